/* SPDX-License-Identifier: MIT */
/* swap.c - the swap map: which slots of the store are in use, by how many, and what their contents must hash to
 *
 * A slot costs six bytes and a bit: a 32-bit checksum, a 16-bit use count, and its bit in a map of free slots.  The three arrays are sized for
 * the most slots there may ever be; what is not touched costs nothing.
 *
 * Free runs are found next-fit, so that pages evicted together lie together and come back with one read.  The search
 * wraps at the highest slot ever used while a quarter of what lies below is free: otherwise a swap file, which grows on demand, would
 * grow to its limit under a small but busy program.
 *
 * In a tree of processes the arrays and the counters lie in the shared area (tree.h) and each member has a map of the slots it holds.  The map
 * is under the mm lock of one process but not of the others, so bits are claimed and counts changed by atomics; whoever sets a bit owns the slot.
 * A slot that several processes hold was inherited by fork.  Stores hear of every slot that a process gives up: what a memory tier has for it is
 * this process's own copy; the file below is shared then and does not care.
 *
 * swap_read and swap_write run without the lock: their slots belong to the caller (the page is PG_BUSY or
 * PG_WRITEBACK), so sum[slot] has one writer and no reader meanwhile. */
#include "mm/internal.h"

#define XXH_INLINE_ALL
#define XXH_FORCE_MEMORY_ACCESS 1 /* memcpy is a call in freestanding code */
#include <xxhash.h>

#define WORD_BITS 64u

struct swap_map {
	uint64_t nr;         /* slots 1 … nr-1 exist */
	struct swap_counts {
		uint64_t used, high; /* slots in use; all slots at and above high have never been used */
		uint64_t hint;
	} *c, own;
	uint64_t *map;       /* bit set: in use; slot 0 and the tail of the last word are */
	uint32_t *sum;
	uint16_t *use;
	bool in_memory;
	uint32_t warned;     /* bit: this enum swap_trouble has been told */
};

#define MAP_BYTES(nr) (((nr) + WORD_BITS - 1) / WORD_BITS * 8)

static bool same_name(const char *a, const char *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	return *a == *b;
}

/* Others are known by what their memory() says once they hold something. */
static bool store_in_memory(const struct store *s)
{
	for (; s; s = s->below)
		if (same_name(s->ops->name, "zram"))
			return true;
	return false;
}

_Static_assert(offsetof(struct sf_tree, slots_hint) - offsetof(struct sf_tree, slots_used) == offsetof(struct swap_counts, hint), "same order");

static int arrays_of_own(struct port *port, struct swap_map *sm)
{
	sm->c = &sm->own;
	sm->c->high = sm->c->hint = 1;
	sm->map = port->ops->alloc(port, MAP_BYTES(sm->nr));
	sm->sum = port->ops->alloc(port, sm->nr * sizeof(*sm->sum));
	sm->use = port->ops->alloc(port, sm->nr * sizeof(*sm->use));
	return sm->map && sm->sum && sm->use ? 0 : -ENOMEM;
}

static void arrays_of_tree(struct sf_tree *t, struct swap_map *sm)
{
	sm->nr = t->nr_slots;
	sm->c = (struct swap_counts *)&t->slots_used;
	sm->map = tree_map(t);
	sm->sum = tree_sums(t);
	sm->use = tree_uses(t);
}

static void swap_free_arrays(struct port *port, struct swap_map *sm)
{
	if (sm->c != &sm->own)
		return;
	if (sm->map)
		port->ops->free(port, sm->map, MAP_BYTES(sm->nr));
	if (sm->sum)
		port->ops->free(port, sm->sum, sm->nr * sizeof(*sm->sum));
	if (sm->use)
		port->ops->free(port, sm->use, sm->nr * sizeof(*sm->use));
}

int swap_init(struct machine *mc, struct store *top, uint64_t max_slots)
{
	struct port *port = mc->port;

	if (!top || !max_slots)
		return 0;
	if (max_slots >= UINT32_MAX)
		max_slots = UINT32_MAX - 1; /* struct page keeps 32 bits */
	struct swap_map *sm = kmalloc(mc, sizeof(*sm));

	if (!sm)
		return -ENOMEM;
	sm->nr = max_slots + 1;
	sm->in_memory = store_in_memory(top);
	if (mc->tree && mc->tree->nr_slots) {
		arrays_of_tree(mc->tree, sm);
	} else if (arrays_of_own(port, sm)) {
		swap_free_arrays(port, sm);
		kfree(mc, sm);
		return -ENOMEM;
	}
	__atomic_fetch_or(&sm->map[0], 1, __ATOMIC_RELAXED);
	if (sm->nr % WORD_BITS)
		__atomic_fetch_or(&sm->map[sm->nr / WORD_BITS], ~0ull << sm->nr % WORD_BITS, __ATOMIC_RELAXED);
	mc->store = top;
	mc->swap = sm;
	return 0;
}

void swap_exit(struct machine *mc)
{
	if (!mc->swap)
		return;
	swap_free_arrays(mc->port, mc->swap);
	kfree(mc, mc->swap);
	mc->swap = NULL;
}

/* ---------------------------------------------------------------- free runs */

/* First slot ≥ from and < end that is free (or in use, if set), or end. */
static uint64_t map_find(const struct swap_map *sm, uint64_t from, uint64_t end, bool set)
{
	uint64_t w = from / WORD_BITS, word;

	if (from >= end)
		return end;
	word = (set ? READ_ONCE(sm->map[w]) : ~READ_ONCE(sm->map[w])) & ~0ull << from % WORD_BITS;
	while (!word) {
		if (++w * WORD_BITS >= end)
			return end;
		word = set ? READ_ONCE(sm->map[w]) : ~READ_ONCE(sm->map[w]);
	}
	return MIN(end, w * WORD_BITS + (unsigned)__builtin_ctzll(word));
}

struct slot_run { uint64_t slot; unsigned n; };

/* The first run of want in [from, end), or the longest met within a fair search. */
static struct slot_run find_run(const struct swap_map *sm, uint64_t from, uint64_t end, unsigned want)
{
	struct slot_run best = { 0, 0 };
	unsigned looks = 0;

	while (best.n < want && !(best.n && looks++ > 64)) {
		uint64_t s = map_find(sm, from, end, false);

		if (s >= end)
			break;
		from = map_find(sm, s, MIN(end, s + want), true);
		if (from - s > best.n)
			best = (struct slot_run){ s, (unsigned)(from - s) };
	}
	return best;
}

/* Worth looking below the high mark again rather than growing the store? */
static uint64_t search_end(const struct swap_map *sm, unsigned want)
{
	return sm->c->high > 4 * want && sm->c->used < sm->c->high / 4 * 3 ? MIN(sm->c->high, sm->nr) : sm->nr;
}

/* The start of the run that another process has not taken meanwhile. */
static unsigned claim_run(struct machine *mc, struct slot_run run)
{
	struct swap_map *sm = mc->swap;

	for (unsigned i = 0; i < run.n; i++) {
		uint64_t s = run.slot + i, bit = 1ull << s % WORD_BITS;

		tree_step(mc->tree_ops);
		if (__atomic_fetch_or(&sm->map[s / WORD_BITS], bit, __ATOMIC_ACQ_REL) & bit)
			return i;
		tree_step(mc->tree_ops);
		__atomic_store_n(&sm->use[s], 1, __ATOMIC_RELAXED);
	}
	return run.n;
}

/* The tables reach so far. */
static void raise_high(struct machine *mc, uint64_t end)
{
	struct swap_map *sm = mc->swap;

	if (end <= READ_ONCE(sm->c->high))
		return;
	sf_peak(&sm->c->high, end);
	machine_count_tables(mc);
}

static struct slot_run best_run(const struct swap_map *sm, unsigned want)
{
	uint64_t end = search_end(sm, want), hint = READ_ONCE(sm->c->hint);
	struct slot_run run = find_run(sm, hint < end ? hint : 1, end, want);

	if (run.n < want) {
		struct slot_run low = find_run(sm, 1, end, want);

		if (low.n > run.n)
			run = low;
	}
	return run.n ? run : find_run(sm, 1, sm->nr, want);
}

unsigned swap_alloc(struct machine *mc, unsigned want, uint64_t *ret_slot)
{
	struct swap_map *sm = mc->swap;
	struct slot_run run;
	unsigned got = 0;

	if (!sm || READ_ONCE(sm->c->used) >= sm->nr - 1)
		return 0;
	do {
		run = best_run(sm, want);
		if (!run.n)
			break; /* the last ones went to others */
		raise_high(mc, run.slot + run.n);
		if (mc->me)
			tree_note(mc, mc->me, run.slot, run.n);
		got = claim_run(mc, run);
	} while (!got);
	/* Counted before they are held: what a dead member holds is taken off the counts. */
	tree_step(mc->tree_ops);
	__atomic_fetch_add(&sm->c->used, got, __ATOMIC_RELAXED);
	tree_step(mc->tree_ops);
	sf_peak(&mc->stats->peak_swapped, __atomic_add_fetch(&mc->stats->swapped, got, __ATOMIC_ACQ_REL));
	if (mc->me && got)
		tree_hold(mc, mc->me, run.slot, got);
	if (mc->me)
		tree_note_end(mc, mc->me);
	if (got)
		WRITE_ONCE(sm->c->hint, run.slot + got);
	*ret_slot = run.slot;
	return got;
}

void swap_dup(struct machine *mc, uint64_t slot)
{
	uint16_t was = __atomic_fetch_add(&mc->swap->use[slot], 1, __ATOMIC_ACQ_REL);

	SF_MISUSE(!was || was == UINT16_MAX);
}

void swap_dup_for(struct machine *mc, struct tree_member *m, uint64_t slot)
{
	if (m)
		tree_note(mc, mc->me, slot, 1);
	swap_dup(mc, slot);
	if (!m)
		return;
	tree_hold(mc, m, slot, 1);
	tree_note_end(mc, mc->me);
}

static void slots_gone(struct machine *mc, uint64_t slot, unsigned n)
{
	struct swap_map *sm = mc->swap;

	if (!n)
		return;
	if (!mc->me) /* while the slots are still taken */
		mc->store->ops->discard(mc->store, slot, n);
	for (uint64_t s = slot; s < slot + n; s++) {
		tree_step(mc->tree_ops);
		__atomic_fetch_and(&sm->map[s / WORD_BITS], ~(1ull << s % WORD_BITS), __ATOMIC_RELEASE);
	}
	tree_step(mc->tree_ops);
	__atomic_fetch_sub(&sm->c->used, n, __ATOMIC_RELAXED);
	tree_step(mc->tree_ops);
	__atomic_fetch_sub(&mc->stats->swapped, n, __ATOMIC_RELAXED);
}

void swap_put_dead(struct machine *mc, uint64_t slot)
{
	if (__atomic_sub_fetch(&mc->swap->use[slot], 1, __ATOMIC_ACQ_REL) == 0)
		slots_gone(mc, slot, 1);
}

/* One note's worth. */
static void free_some(struct machine *mc, uint64_t slot, unsigned n)
{
	struct swap_map *sm = mc->swap;
	uint64_t first = slot, end = slot + n;

	for (; slot < end; slot++) {
		SF_MISUSE(!READ_ONCE(sm->use[slot]));
		if (mc->me)
			tree_unhold(mc, mc->me, slot);
		if (__atomic_sub_fetch(&sm->use[slot], 1, __ATOMIC_ACQ_REL)) {
			slots_gone(mc, first, (unsigned)(slot - first));
			first = slot + 1;
		}
	}
	slots_gone(mc, first, (unsigned)(end - first));
}

void swap_free(struct machine *mc, uint64_t slot, unsigned n)
{
	SF_MISUSE(!slot || slot + n > mc->swap->nr);
	if (!mc->me) {
		free_some(mc, slot, n);
		return;
	}
	if (n)
		mc->store->ops->discard(mc->store, slot, n);
	for (unsigned some; n; slot += some, n -= some) {
		some = MIN(n, TREE_NOTE_MOST);
		tree_note(mc, mc->me, slot, some);
		free_some(mc, slot, some);
		tree_note_end(mc, mc->me);
	}
}

uint64_t swap_used(struct machine *mc)
{
	return mc->swap ? READ_ONCE(mc->swap->c->used) : 0;
}

uint64_t swap_map_bytes(struct machine *mc)
{
	const struct swap_map *sm = mc->swap;

	return sm ? READ_ONCE(sm->c->high) * (sizeof(*sm->sum) + sizeof(*sm->use)) + MAP_BYTES(sm->c->high) : 0;
}

bool swap_nearly_full(struct machine *mc)
{
	return mc->swap && READ_ONCE(mc->swap->c->used) > (mc->swap->nr - 1) / 2;
}

bool swap_full(struct machine *mc)
{
	return !mc->swap || READ_ONCE(mc->swap->c->used) >= mc->swap->nr - 1;
}

bool swap_in_memory(struct machine *mc)
{
	return mc->swap && mc->swap->in_memory;
}

void swap_seen_in_memory(struct machine *mc)
{
	mc->swap->in_memory = true;
}

void swap_warn(struct machine *mc, enum swap_trouble what)
{
	static const char *const msg[] = {
		[SWAP_FULL] = "swap is full",
		[SWAP_WRITE_ERROR] = "cannot write to swap, I/O error: pages stay in memory",
		[SWAP_READ_ERROR] = "cannot read a page back from swap, I/O error: its contents are lost (SIGBUS)",
		[SWAP_BAD_SUM] = "a page came back from swap with a wrong checksum: its contents are lost (SIGBUS)",
	};

	if (mc->warn && !(__atomic_fetch_or(&mc->swap->warned, 1u << what, __ATOMIC_RELAXED) & 1u << what))
		mc->warn(mc, msg[what]);
}

/* ---------------------------------------------------------------- habit
 *
 * A page that is read back keeps its slot, so that it can leave again without a write; the price is a fault more if it is
 * written after all.  Which is the likelier is learnt from the pages themselves.  Once most are written, they come back
 * writable and without slot, but for one in eight that go on being watched. */

#define HABIT_MEMORY 512u
#define HABIT_WATCH  8u

void swap_habit(struct machine *mc, bool written)
{
	if (written)
		mc->rewritten++;
	else
		mc->reread++;
	if (mc->rewritten + mc->reread < HABIT_MEMORY)
		return;
	mc->rewritten /= 2;
	mc->reread /= 2;
}

bool swap_expects_write(struct machine *mc, uint64_t pfn)
{
	bool watched = (pfn * 0x9e3779b97f4a7c15ull >> 40) % HABIT_WATCH == 0;

	return !watched && mc->rewritten > HABIT_MEMORY / 16 && mc->rewritten > mc->reread;
}

/* ---------------------------------------------------------------- contents */

/* Bound to the slot's number, so that a store which returns another slot's page is found out too. */
static uint32_t page_sum(uint64_t slot, const void *page)
{
	return (uint32_t)XXH3_64bits(page, PAGE_SIZE) ^ (uint32_t)slot * 0x9e3779b1u;
}

void swap_set_sum(struct machine *mc, uint64_t slot, const void *page)
{
	mc->swap->sum[slot] = page_sum(slot, page);
}


int swap_read(struct machine *mc, uint64_t slot, unsigned n, void *buf)
{
	int err = mc->store->ops->read(mc->store, slot, n, buf);

	if (err) {
		sf_count(&mc->stats->swap_errors, 1);
		return -EIO;
	}
	for (unsigned i = 0; i < n; i++)
		if (mc->swap->sum[slot + i] != page_sum(slot + i, (char *)buf + i * PAGE_SIZE)) {
			sf_count(&mc->stats->checksum_errors, 1);
			return -EBADMSG;
		}
	sf_count(&mc->stats->swap_in, n);
	sf_count(&mc->own->swap_in, n);
	return 0;
}

int swap_write(struct machine *mc, uint64_t slot, unsigned n, const void *buf)
{
	for (unsigned i = 0; i < n; i++)
		swap_set_sum(mc, slot + i, (const char *)buf + i * PAGE_SIZE);
	int err = mc->store->ops->write(mc->store, slot, n, buf);

	if (err) {
		sf_count(&mc->stats->swap_errors, 1);
		return err;
	}
	sf_count(&mc->stats->swap_out, n);
	sf_count(&mc->own->swap_out, n);
	return 0;
}
