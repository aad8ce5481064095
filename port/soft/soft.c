/* SPDX-License-Identifier: MIT */
/* soft.c - a software MMU
 *
 *   address ── TLB ──miss── four-level radix of entries ──┬─ visible: frame (malloc'd) and permission
 *                                                         ├─ hidden:  name, index in the table of names
 *                                                         ├─ shown:   permission; the object is the range's
 *                                                         └─ 0:       absent
 *
 * Reserved ranges are kept in a tree beside it (they may be huge, entries exist for pages with a state only).  One mutex
 * covers all of it: an instruction's translation and its copy are one step, so no page changes under a copy, as a port must
 * promise.  It is a leaf: nothing is called back with it held.
 *
 * Alternatives rejected: an mmap'd window with real protections (signals, not deterministic, no error codes under
 * valgrind); entries for reserved pages (a terabyte range would cost gigabytes). */
#include "port/soft/soft_priv.h"

#include <linux/futex.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---------------------------------------------------------------- the table's methods */

static int inject(struct soft_port *s, enum soft_op op)
{
	s->count.calls[op]++;
	if (!(s->fail_ops & SOFT_OP(op)) || !s->fail_times)
		return 0;
	if (s->fail_skip) {
		s->fail_skip--;
		return 0;
	}
	s->fail_times--;
	s->failed++;
	return -s->fail_err;
}

/* Every method runs between enter and leave; enter's error is the injected one. */
static int enter(struct soft_port *s, enum soft_op op, vaddr_t va, size_t n)
{
	pthread_mutex_lock(&s->lock);
	SF_MISUSE(va & ~PAGE_MASK);
	SF_MISUSE(!n || va < s->lo || va > s->hi || n > (s->hi - va) / PAGE_SIZE);
	if (s->base.host_calls)
		(*s->base.host_calls)++;
	return inject(s, op);
}

static int leave(struct soft_port *s, int err)
{
	pthread_mutex_unlock(&s->lock);
	return err;
}

static void reserve_region(struct soft_port *s, struct soft_region r)
{
	spt_discard(s, r.start, r.end);
	spt_region_clear(s, r.start, r.end);
	spt_region_add(s, r);
	spt_region_join(s, r.end);
	spt_region_join(s, r.start);
}

static int soft_reserve(struct port *p, vaddr_t va, size_t n, bool exec)
{
	struct soft_port *s = soft(p);
	int err = enter(s, SOFT_RESERVE, va, n);

	if (!err)
		reserve_region(s, (struct soft_region){ .start = va, .end = va + n * PAGE_SIZE, .exec = exec });
	return leave(s, err);
}

static int reserve_object(struct port *p, enum soft_op op, vaddr_t va, size_t n, int fd, uint64_t off, unsigned maxprot)
{
	struct soft_port *s = soft(p);
	int err = enter(s, op, va, n);
	struct soft_object *obj = soft_object_of(s, fd);

	SF_MISUSE(off & ~PAGE_MASK);
	if (!err && !obj)
		err = -ENODEV;
	if (!err)
		reserve_region(s,
			       (struct soft_region){ .start = va, .end = va + n * PAGE_SIZE, .obj = obj, .off = off, .maxprot = maxprot });
	return leave(s, err);
}

static int soft_reserve_shared(struct port *p, vaddr_t va, size_t n, int fd, uint64_t off, unsigned maxprot)
{
	return reserve_object(p, SOFT_RESERVE_SHARED, va, n, fd, off, maxprot);
}

/* prot is what is asked for now; execution may come later only by way of reserve. */
static int soft_lend(struct port *p, vaddr_t va, size_t n, int fd, uint64_t off, unsigned prot)
{
	SF_MISUSE(prot & PT_W);
	return reserve_object(p, SOFT_LEND, va, n, fd, off, PT_R | PT_X);
}

static void soft_release(struct port *p, vaddr_t va, size_t n)
{
	struct soft_port *s = soft(p);

	enter(s, SOFT_RELEASE, va, n); /* cannot fail: an injected error is ignored */
	spt_discard(s, va, va + n * PAGE_SIZE);
	spt_region_clear(s, va, va + n * PAGE_SIZE);
	leave(s, 0);
}

static int soft_set_exec(struct port *p, vaddr_t va, size_t n, bool exec)
{
	struct soft_port *s = soft(p);
	vaddr_t end = va + n * PAGE_SIZE;
	int err = enter(s, SOFT_SET_EXEC, va, n);

	if (err)
		return leave(s, err);
	spt_require_private(s, va, n);
	spt_region_split(s, va);
	spt_region_split(s, end);
	for (struct soft_region *r = spt_region_of(s, va); r && r->start < end; r = RB_NEXT(soft_region_tree, &s->regions, r))
		r->exec = exec;
	spt_region_join(s, end);
	spt_region_join(s, va);
	spt_tlb_flush(s);
	return leave(s, 0);
}

static int soft_fill(struct port *p, vaddr_t va, size_t n, const void *src, unsigned prot)
{
	struct soft_port *s = soft(p);
	int err = enter(s, SOFT_FILL, va, n);

	if (err)
		return leave(s, err);
	spt_require_private(s, va, n);
	SF_MISUSE(!(prot & PT_R) || (prot & ~(PT_R | PT_W)));
	for (size_t i = 0; i < n; i++) {
		SF_MISUSE(spt_get(s, PFN(va) + i));
		unsigned char *f = spt_frame_new(s);

		if (src)
			memcpy(f, (const unsigned char *)src + i * PAGE_SIZE, PAGE_SIZE);
		else
			memset(f, 0, PAGE_SIZE);
		spt_set(s, PFN(va) + i, mk_visible(f, prot));
	}
	return leave(s, 0);
}

static int soft_protect(struct port *p, vaddr_t va, size_t n, unsigned prot)
{
	struct soft_port *s = soft(p);
	int err = enter(s, SOFT_PROTECT, va, n);

	if (err)
		return leave(s, err);
	SF_MISUSE(!(prot & PT_R) || (prot & ~(PT_R | PT_W)));
	for (size_t i = 0; i < n; i++) {
		uint64_t e = spt_get(s, PFN(va) + i);

		SF_MISUSE(!is_visible(e));
		spt_set(s, PFN(va) + i, mk_visible(entry_frame(e), prot));
	}
	return leave(s, 0);
}

/* ---------------------------------------------------------------- hidden pages */

static bool names_free(struct soft_port *s, uint32_t first, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (s->names[first + i].frame)
			return false;
	return true;
}

/* n consecutive free names.  Names move on round the table, so a stale one is not soon valid again. */
static hid_t names_take(struct soft_port *s, size_t n)
{
	for (uint32_t tried = 0; tried < s->nr_names; tried++) {
		uint32_t at = (s->next_name + tried) % s->nr_names;

		if (at + n <= s->nr_names && names_free(s, at, n)) {
			s->next_name = at + (uint32_t)n;
			return at;
		}
	}
	uint32_t at = s->nr_names, room = MAX(64u, 2 * s->nr_names + (uint32_t)n);
	struct name *grown = realloc(s->names, room * sizeof(*grown));

	SF_ASSERT(grown);
	memset(grown + at, 0, (room - at) * sizeof(*grown));
	s->names = grown;
	s->nr_names = room;
	s->next_name = at + (uint32_t)n;
	return at;
}

/* The frame under that name, which must be the hidden page's at va. */
static struct name *spt_named(struct soft_port *s, vaddr_t va, hid_t hid)
{
	SF_MISUSE(spt_get(s, PFN(va)) != mk_hidden(hid));
	SF_ASSERT(hid < s->nr_names && s->names[hid].frame && s->names[hid].va == va);
	return &s->names[hid];
}

static int soft_hide(struct port *p, vaddr_t va, size_t n, hid_t *ret_first)
{
	struct soft_port *s = soft(p);
	int err = enter(s, SOFT_HIDE, va, n);

	if (err)
		return leave(s, err);
	hid_t first = names_take(s, n);
	for (size_t i = 0; i < n; i++) {
		uint64_t e = spt_get(s, PFN(va) + i);

		SF_MISUSE(!is_visible(e));
		s->names[first + i] = (struct name){ entry_frame(e), va + i * PAGE_SIZE };
		spt_set(s, PFN(va) + i, mk_hidden(first + (hid_t)i));
	}
	s->count.visible -= n;
	s->count.hidden += n;
	*ret_first = first;
	return leave(s, 0);
}

static int soft_show(struct port *p, vaddr_t va, hid_t first, size_t n, unsigned prot)
{
	struct soft_port *s = soft(p);
	int err = enter(s, SOFT_SHOW, va, n);

	if (err)
		return leave(s, err);
	spt_require_private(s, va, n);
	SF_MISUSE(!(prot & PT_R) || (prot & ~(PT_R | PT_W)));
	for (size_t i = 0; i < n; i++) {
		struct name *nm = spt_named(s, va + i * PAGE_SIZE, first + (hid_t)i);

		spt_set(s, PFN(va) + i, mk_visible(nm->frame, prot));
		nm->frame = NULL;
	}
	s->count.visible += n;
	s->count.hidden -= n;
	return leave(s, 0);
}

static int soft_read_hidden(struct port *p, vaddr_t va, hid_t first, size_t n, void *dst)
{
	struct soft_port *s = soft(p);
	int err = enter(s, SOFT_READ_HIDDEN, va, n);

	for (size_t i = 0; !err && i < n; i++)
		memcpy((unsigned char *)dst + i * PAGE_SIZE, spt_named(s, va + i * PAGE_SIZE, first + (hid_t)i)->frame, PAGE_SIZE);
	return leave(s, err);
}

static const void *soft_peek(struct port *p, vaddr_t va, hid_t hid)
{
	struct soft_port *s = soft(p);
	int err = enter(s, SOFT_PEEK, va, 1);
	const void *at = err ? NULL : spt_named(s, va, hid)->frame;

	leave(s, err);
	return at;
}

static const void *soft_view(struct port *p, vaddr_t va)
{
	struct soft_port *s = soft(p);
	int err = enter(s, SOFT_PEEK, va, 1);
	uint64_t e = spt_get(s, PFN(va));

	SF_MISUSE(!is_visible(e));
	leave(s, err);
	return entry_frame(e);
}

static int soft_drop(struct port *p, vaddr_t va, size_t n)
{
	struct soft_port *s = soft(p);
	int err = enter(s, SOFT_DROP, va, n);

	if (err)
		return leave(s, err);
	for (size_t i = 0; i < n; i++)
		SF_MISUSE(!is_visible(spt_get(s, PFN(va) + i)));
	spt_discard(s, va, va + n * PAGE_SIZE);
	return leave(s, 0);
}

static int soft_drop_hidden(struct port *p, vaddr_t va, hid_t first, size_t n)
{
	struct soft_port *s = soft(p);
	int err = enter(s, SOFT_DROP_HIDDEN, va, n);

	if (err)
		return leave(s, err);
	for (size_t i = 0; i < n; i++) {
		struct name *nm = spt_named(s, va + i * PAGE_SIZE, first + (hid_t)i);

		spt_frame_free(nm->frame);
		nm->frame = NULL;
		spt_set(s, PFN(va) + i, 0);
	}
	s->count.hidden -= n;
	return leave(s, 0);
}

static int soft_move(struct port *p, vaddr_t from, vaddr_t to, size_t n)
{
	struct soft_port *s = soft(p);
	int err = enter(s, SOFT_MOVE, from, n);

	if (err)
		return leave(s, err);
	spt_require_private(s, from, n);
	spt_require_private(s, to, n);
	SF_MISUSE(from < to + n * PAGE_SIZE && to < from + n * PAGE_SIZE);
	SF_MISUSE(spt_next(s, PFN(to), PFN(to) + n) != PFN(to) + n);
	for (uint64_t v = PFN(from), end = v + n; (v = spt_next(s, v, end)) < end; v++) {
		uint64_t e = spt_get(s, v), there = v - PFN(from) + PFN(to);

		if (is_hidden(e))
			s->names[entry_name(e)].va = PVA(there);
		spt_set(s, v, 0);
		spt_set(s, there, e);
	}
	return leave(s, 0);
}

/* ---------------------------------------------------------------- shared mappings */

static int soft_show_shared(struct port *p, vaddr_t va, size_t n, unsigned prot)
{
	struct soft_port *s = soft(p);
	int err = enter(s, SOFT_SHOW_SHARED, va, n);

	if (err)
		return leave(s, err);
	spt_require_shared(s, va, n);
	SF_MISUSE(!prot || (prot & ~PT_ALL));
	for (size_t i = 0; i < n; i++) {
		SF_MISUSE(prot & ~spt_region_of(s, va + i * PAGE_SIZE)->maxprot);
		s->count.shared += !spt_get(s, PFN(va) + i);
		spt_set(s, PFN(va) + i, prot | SPTE_SHARED);
	}
	spt_note_peak(s);
	return leave(s, 0);
}

static int soft_hide_shared(struct port *p, vaddr_t va, size_t n)
{
	struct soft_port *s = soft(p);
	int err = enter(s, SOFT_HIDE_SHARED, va, n);

	if (err)
		return leave(s, err);
	spt_require_shared(s, va, n);
	spt_discard(s, va, va + n * PAGE_SIZE);
	return leave(s, 0);
}

/* Objects are never behind what is written to them: only counted, and made to fail. */
static int soft_sync_shared(struct port *p, vaddr_t va, size_t n, int flags)
{
	struct soft_port *s = soft(p);

	return leave(s, enter(s, SOFT_SYNC, va, n));
}

/* ---------------------------------------------------------------- services */

#define ALLOC_MAGIC 0x736f6674616c6c6full
struct alloc_head {
	uint64_t magic, bytes;
}; /* lies in a page of its own before the memory; an unmapped page follows */

static void *soft_alloc(struct port *p, size_t bytes)
{
	struct soft_port *s = soft(p);
	size_t len = PAGE_ALIGN(bytes);
	char *m = MAP_FAILED;

	pthread_mutex_lock(&s->lock);
	if (!inject(s, SOFT_ALLOC))
		m = mmap(NULL, len + 2 * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (m != MAP_FAILED) {
		*(struct alloc_head *)m = (struct alloc_head){ ALLOC_MAGIC, len };
		mprotect(m + PAGE_SIZE + len, PAGE_SIZE, PROT_NONE);
		s->count.allocs++;
		s->count.alloc_bytes += len;
	}
	pthread_mutex_unlock(&s->lock);
	return m == MAP_FAILED ? NULL : m + PAGE_SIZE;
}

static void soft_free(struct port *p, void *mem, size_t bytes)
{
	struct soft_port *s = soft(p);
	struct alloc_head *h = (struct alloc_head *)((char *)mem - PAGE_SIZE);

	pthread_mutex_lock(&s->lock);
	SF_MISUSE(h->magic != ALLOC_MAGIC || h->bytes != PAGE_ALIGN(bytes));
	s->count.allocs--;
	s->count.alloc_bytes -= h->bytes;
	munmap(h, h->bytes + 2 * PAGE_SIZE);
	pthread_mutex_unlock(&s->lock);
}

static void soft_wait(struct port *p, uint32_t *word, uint32_t val)
{
	if (!soft(p)->threaded) {
		SF_MISUSE(__atomic_load_n(word, __ATOMIC_SEQ_CST) == val); /* would sleep for ever */
		return;
	}
	syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, val, NULL, NULL, 0);
}

static void soft_wake(struct port *p, uint32_t *word, int count)
{
	if (soft(p)->threaded)
		syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, NULL, NULL, 0);
}

static uint64_t soft_now(struct port *p)
{
	struct soft_port *s = soft(p);

	return __atomic_add_fetch(&s->time, READ_ONCE(s->tick), __ATOMIC_RELAXED);
}

static uint32_t soft_self(struct port *p)
{
	static _Thread_local uint32_t tid;

	if (!tid)
		tid = (uint32_t)syscall(SYS_gettid);
	return tid;
}

static bool soft_clear(struct port *p, void *mem, size_t bytes)
{
	return !madvise(mem, bytes, MADV_DONTNEED);
}

static const struct port_ops soft_ops = {
	.name = "soft",
	.reserve = soft_reserve,
	.reserve_shared = soft_reserve_shared,
	.lend = soft_lend,
	.release = soft_release,
	.set_exec = soft_set_exec,
	.fill = soft_fill,
	.protect = soft_protect,
	.hide = soft_hide,
	.show = soft_show,
	.read_hidden = soft_read_hidden,
	.peek = soft_peek,
	.view = soft_view,
	.drop = soft_drop,
	.drop_hidden = soft_drop_hidden,
	.move = soft_move,
	.show_shared = soft_show_shared,
	.hide_shared = soft_hide_shared,
	.sync_shared = soft_sync_shared,
	.alloc = soft_alloc,
	.free = soft_free,
	.clear = soft_clear,
	.wait = soft_wait,
	.wake = soft_wake,
	.now = soft_now,
	.self = soft_self,
};

/* ---------------------------------------------------------------- making, controlling, looking */

int soft_port_create(vaddr_t lo, vaddr_t hi, struct port **ret)
{
	if ((lo | hi) & ~PAGE_MASK || lo >= hi || hi > 1ull << 47)
		return -EINVAL;
	struct soft_port *s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	pthread_mutex_init(&s->lock, NULL);
	s->base.ops = &soft_ops;
	s->base.cluster = 1;
	s->lo = lo;
	s->hi = hi;
	s->root = spt_node(s);
	s->tick = 1;
	s->ip = lo;
	RB_INIT(&s->regions);
	*ret = &s->base;
	return 0;
}

static void free_hidden(struct soft_port *s)
{
	for (uint32_t i = 0; i < s->nr_names; i++)
		if (s->names[i].frame) {
			spt_frame_free(s->names[i].frame);
			spt_set(s, PFN(s->names[i].va), 0);
		}
	free(s->names);
}

uint64_t soft_port_destroy(struct port *p)
{
	struct soft_port *s = soft(p);
	uint64_t live = s->count.visible + s->count.hidden + s->count.shared + s->count.allocs + s->count.regions;

	free_hidden(s);
	spt_discard(s, s->lo, s->hi);
	spt_region_clear(s, s->lo, s->hi);
	for (int i = 0; i < MAX_OBJECTS; i++)
		free(s->objects[i].data);
	free(s->root);
	pthread_mutex_destroy(&s->lock);
	free(s);
	return live;
}

void soft_set_ip(struct port *p, vaddr_t ip) { soft(p)->ip = ip; }

void soft_set_time(struct port *p, uint64_t ns) { __atomic_store_n(&soft(p)->time, ns, __ATOMIC_RELAXED); }

void soft_advance(struct port *p, uint64_t ns) { __atomic_fetch_add(&soft(p)->time, ns, __ATOMIC_RELAXED); }

void soft_set_tick(struct port *p, uint64_t ns) { WRITE_ONCE(soft(p)->tick, ns); }

void soft_set_threaded(struct port *p, bool on) { soft(p)->threaded = on; }

void soft_fail(struct port *p, unsigned ops, uint64_t skip, uint64_t times, int err)
{
	struct soft_port *s = soft(p);

	pthread_mutex_lock(&s->lock);
	s->fail_ops = ops;
	s->fail_skip = skip;
	s->fail_times = times;
	s->fail_err = err;
	s->failed = 0;
	pthread_mutex_unlock(&s->lock);
}

uint64_t soft_failed(struct port *p) { return soft(p)->failed; }

void soft_counts(struct port *p, struct soft_counts *ret)
{
	struct soft_port *s = soft(p);

	pthread_mutex_lock(&s->lock);
	*ret = s->count;
	pthread_mutex_unlock(&s->lock);
}

void soft_reset_peak(struct port *p)
{
	struct soft_port *s = soft(p);

	pthread_mutex_lock(&s->lock);
	s->count.peak = 0;
	spt_note_peak(s);
	pthread_mutex_unlock(&s->lock);
}

static enum soft_state state_of(struct soft_port *s, vaddr_t va, uint64_t e)
{
	if (!spt_region_of(s, va))
		return SOFT_UNRESERVED;
	if (is_shown(e))
		return SOFT_SHOWN;
	if (is_hidden(e))
		return SOFT_HIDDEN;
	return e ? SOFT_VISIBLE : SOFT_ABSENT;
}

enum soft_state soft_state(struct port *p, vaddr_t va, unsigned *ret_prot, hid_t *ret_hid)
{
	struct soft_port *s = soft(p);

	pthread_mutex_lock(&s->lock);
	uint64_t e = spt_get(s, PFN(va));
	enum soft_state st = state_of(s, va, e);
	if (ret_prot)
		*ret_prot = (unsigned)(e & PT_ALL);
	if (ret_hid && st == SOFT_HIDDEN)
		*ret_hid = entry_name(e);
	pthread_mutex_unlock(&s->lock);
	return st;
}

bool soft_is_exec(struct port *p, vaddr_t va)
{
	struct soft_port *s = soft(p);

	pthread_mutex_lock(&s->lock);
	struct soft_region *r = spt_region_of(s, va);
	bool exec = r && (r->obj ? (spt_get(s, PFN(va)) & PT_X) : r->exec);
	pthread_mutex_unlock(&s->lock);
	return exec;
}

void soft_check(struct port *p)
{
	struct soft_port *s = soft(p);
	uint64_t visible = 0, hidden = 0, shown = 0;

	pthread_mutex_lock(&s->lock);
	for (uint64_t v = PFN(s->lo), end = PFN(s->hi); (v = spt_next(s, v, end)) < end; v++) {
		uint64_t e = spt_get(s, v);

		SF_ASSERT(spt_region_of(s, PVA(v)));
		visible += is_visible(e);
		shown += is_shown(e);
		hidden += is_hidden(e) && spt_named(s, PVA(v), entry_name(e));
	}
	SF_ASSERT(visible == s->count.visible && hidden == s->count.hidden && shown == s->count.shared);
	pthread_mutex_unlock(&s->lock);
}
