/* SPDX-License-Identifier: MIT */
/* machine.c - a machine from beginning to end, the mm lock, and the buffers for I/O
 *
 * The machine and its tables come from port->alloc, where untouched pages cost nothing, so the frame table is laid out
 * for more frames than there will ever be.  Everything smaller comes from kmalloc and dies with it.
 *
 * I/O buffers: up to eight spare ones wait in slots that are swapped in and out atomically; no lock, so that
 * a thread may come with the mm lock or without.  One is made at the start, so whoever finds neither a spare one nor
 * memory for another can wait for it. */
#include "mm/area.h"
#include "mm/lock.h"

#define FRAMES_UNBOUNDED (1ull << 26) /* 256 GiB */
#define FRAMES_AT_LEAST  (1ull << 20)
#define FRAMES_SMALLEST  (1ull << 16)

struct machine_box {
	struct machine mc;
	struct mm mm;
	bool own_stats;
};

/* ---------------------------------------------------------------- lock */

void mm_lock(struct mm *mm)
{
	struct port *p = mm->mc->port;

	SF_EXPENSIVE(!mm_is_locked(mm));
	lock_take(p, &mm->lock);
	WRITE_ONCE(mm->lock_owner, p->ops->self(p));
}

void mm_unlock(struct mm *mm)
{
	SF_EXPENSIVE(mm_is_locked(mm));
	WRITE_ONCE(mm->lock_owner, 0);
	lock_drop(mm->mc->port, &mm->lock);
}

bool mm_is_locked(struct mm *mm)
{
	return READ_ONCE(mm->lock_owner) == mm->mc->port->ops->self(mm->mc->port);
}

/* ---------------------------------------------------------------- buffers */

static void *iobuf_spare(struct machine *mc)
{
	for (unsigned i = 0; i < ARRAY_SIZE(mc->iobufs); i++) {
		void *buf = READ_ONCE(mc->iobufs[i]) ? __atomic_exchange_n(&mc->iobufs[i], NULL, __ATOMIC_ACQ_REL) : NULL;

		if (buf)
			return buf;
	}
	return NULL;
}

/* nr_iobufs counts the buffers ever put back: it is what the waiters wait on. */
void *iobuf_get(struct machine *mc)
{
	struct port *p = mc->port;

	for (;;) {
		uint32_t seen = __atomic_load_n(&mc->nr_iobufs, __ATOMIC_ACQUIRE);
		void *buf = iobuf_spare(mc);

		if (!buf)
			buf = p->ops->alloc(p, SF_IOBUF);
		if (buf)
			return buf;
		__atomic_fetch_add(&mc->iobuf_waiters, 1, __ATOMIC_SEQ_CST);
		buf = iobuf_spare(mc); /* one that came before anybody could know of us */
		if (!buf)
			p->ops->wait(p, &mc->nr_iobufs, seen);
		__atomic_fetch_sub(&mc->iobuf_waiters, 1, __ATOMIC_SEQ_CST);
		if (buf)
			return buf;
	}
}

void iobuf_put(struct machine *mc, void *buf)
{
	struct port *p = mc->port;

	for (unsigned i = 0; i < ARRAY_SIZE(mc->iobufs); i++) {
		void *none = NULL;

		if (__atomic_compare_exchange_n(&mc->iobufs[i], &none, buf, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {
			__atomic_fetch_add(&mc->nr_iobufs, 1, __ATOMIC_SEQ_CST);
			if (__atomic_load_n(&mc->iobuf_waiters, __ATOMIC_SEQ_CST))
				p->ops->wake(p, &mc->nr_iobufs, 1);
			return;
		}
	}
	p->ops->free(p, buf, SF_IOBUF);
}

/* ---------------------------------------------------------------- making */

static void mm_init(struct mm *mm, struct machine *mc, const struct machine_config *cfg)
{
	mm->mc = mc;
	RB_INIT(&mm->tree);
	TAILQ_INIT(&mm->list);
	mm->seq = 1;
	mm->task_size = cfg->task_size ? cfg->task_size : 0x700000000000ull;
	mm->mmap_min = cfg->mmap_min ? cfg->mmap_min : 0x10000;
	mm->mmap_base = cfg->mmap_base ? cfg->mmap_base : mm->task_size - MIN(mm->task_size / 8, 1ull << 30);
	mm->max_areas = 65530;
	mm->commit_limit = UINT64_MAX;
	mm->limits = (struct mm_limits){ .as = UINT64_MAX, .data = UINT64_MAX, .stack = 8ull << 20, .memlock = UINT64_MAX };
	mm->stack_guard = 1ull << 20;
	mc->mm = mm;
}

static uint64_t frame_bytes(uint64_t n)
{
	return n * sizeof(struct page);
}

static int frames_init(struct machine *mc)
{
	struct port *p = mc->port;
	uint64_t n = mc->bound ? MAX(mc->bound * 4, FRAMES_AT_LEAST) : FRAMES_UNBOUNDED;
	uint64_t least = MAX(mc->bound + 1, FRAMES_SMALLEST); /* frame 0 is none */

	n = MIN(n, UINT32_MAX);
	while (n >= least && !(mc->frames = p->ops->alloc(p, frame_bytes(n))))
		n /= 2;
	if (!mc->frames)
		return -ENOMEM;
	mc->max_frames = n;
	return 0;
}

static int machine_tables(struct machine_box *box, const struct machine_config *cfg)
{
	struct machine *mc = &box->mc;
	struct port *p = mc->port;
	int err = kmem_init(mc);

	if (err)
		return err;
	box->own_stats = !cfg->stats;
	mc->stats = cfg->stats ? cfg->stats : p->ops->alloc(p, sizeof(*mc->stats));
	mc->own = &mc->own_default;
	mc->iobufs[0] = p->ops->alloc(p, SF_IOBUF);
	if (!mc->stats || !mc->iobufs[0])
		return -ENOMEM;
	mc->stats->bound_pages = mc->bound;
	err = frames_init(mc);
	if (!err)
		err = swap_init(mc, cfg->store, cfg->swap_slots);
	if (err || !mc->tree)
		return err;
	mc->me = tree_join(mc, cfg->pid, TREE_LIVE); /* may clear up after others: the map must be there */
	return mc->me ? 0 : -EAGAIN;
}

static void machine_free(struct machine_box *box)
{
	struct machine *mc = &box->mc;
	struct port *p = mc->port;
	void *buf;

	while ((buf = iobuf_spare(mc)))
		p->ops->free(p, buf, SF_IOBUF);
	swap_exit(mc);
	if (mc->frames)
		p->ops->free(p, mc->frames, frame_bytes(mc->max_frames));
	if (box->own_stats && mc->stats)
		p->ops->free(p, mc->stats, sizeof(*mc->stats));
	if (mc->kmem)
		kmem_destroy(mc);
	p->ops->free(p, box, sizeof(*box));
}

int machine_create(const struct machine_config *cfg, struct machine **ret)
{
	struct port *p = cfg->port;

	if (cfg->bound_pages && (cfg->bound_pages < MACHINE_MIN_PAGES || cfg->bound_pages >= UINT32_MAX))
		return -EINVAL;
	struct machine_box *box = p->ops->alloc(p, sizeof(*box));

	if (!box)
		return -ENOMEM;
	box->mc.port = p;
	box->mc.policy = cfg->policy ? cfg->policy : &policy_twolist;
	box->mc.bound = cfg->bound_pages;
	box->mc.fault_around = 16;
	box->mc.tree = cfg->tree;
	box->mc.tree_ops = cfg->tree_ops;
	mm_init(&box->mm, &box->mc, cfg);
	int err = machine_tables(box, cfg);

	if (err) {
		machine_free(box);
		return err;
	}
	*ret = &box->mc;
	return 0;
}

void machine_destroy(struct machine *mc)
{
	struct mm *mm = mc->mm;

	mm_lock(mm);
	SF_BUG_ON(unmap_range(mm, 0, mm->task_size, true));
	SF_BUG_ON(mm->nr_areas || mm->total_vm);
	pte_free_all(mm);
	mm_unlock(mm);
	SF_MISUSE(mc->used); /* pages still pinned or in flight */
	machine_free(container_of(mc, struct machine_box, mc));
}

void machine_count_tables(struct machine *mc)
{
	uint64_t frames = mc->frames_touched * sizeof(struct page);

	WRITE_ONCE(mc->stats->table_bytes, kmem_bytes(mc) + frames + swap_map_bytes(mc) + mc->port->table_bytes);
}

void machine_check(struct machine *mc)
{
	mm_lock(mc->mm);
	areas_check(mc->mm);
	pages_check(mc->mm);
	mm_unlock(mc->mm);
}
