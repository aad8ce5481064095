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
 * The map is under the mm lock.  swap_read and swap_write run without it: their slots belong to the caller (the page is PG_BUSY or
 * PG_WRITEBACK), so sum[slot] has one writer and no reader meanwhile. */
#include "mm/internal.h"

#define XXH_INLINE_ALL
#define XXH_FORCE_MEMORY_ACCESS 1 /* memcpy is a call in freestanding code */
#include <xxhash.h>

#define WORD_BITS 64u

struct swap_map {
	uint64_t nr;         /* slots 1 … nr-1 exist */
	uint64_t used, high; /* slots in use; all slots at and above high have never been used */
	uint64_t hint;
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

static void swap_free_arrays(struct port *port, struct swap_map *sm)
{
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
	sm->high = sm->hint = 1;
	sm->in_memory = store_in_memory(top);
	sm->map = port->ops->alloc(port, MAP_BYTES(sm->nr));
	sm->sum = port->ops->alloc(port, sm->nr * sizeof(*sm->sum));
	sm->use = port->ops->alloc(port, sm->nr * sizeof(*sm->use));
	if (!sm->map || !sm->sum || !sm->use) {
		swap_free_arrays(port, sm);
		kfree(mc, sm);
		return -ENOMEM;
	}
	sm->map[0] |= 1;
	if (sm->nr % WORD_BITS)
		sm->map[sm->nr / WORD_BITS] |= ~0ull << sm->nr % WORD_BITS;
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
	word = (set ? sm->map[w] : ~sm->map[w]) & ~0ull << from % WORD_BITS;
	while (!word) {
		if (++w * WORD_BITS >= end)
			return end;
		word = set ? sm->map[w] : ~sm->map[w];
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
	return sm->high > 4 * want && sm->used < sm->high / 4 * 3 ? sm->high : sm->nr;
}

unsigned swap_alloc(struct machine *mc, unsigned want, uint64_t *ret_slot)
{
	struct swap_map *sm = mc->swap;

	if (!sm || sm->used == sm->nr - 1)
		return 0;
	uint64_t end = search_end(sm, want);
	struct slot_run run = find_run(sm, sm->hint < end ? sm->hint : 1, end, want);

	if (run.n < want) {
		struct slot_run low = find_run(sm, 1, end, want);

		if (low.n > run.n)
			run = low;
	}
	if (!run.n)
		run = find_run(sm, 1, sm->nr, want);
	SF_BUG_ON(!run.n);
	for (uint64_t s = run.slot; s < run.slot + run.n; s++) {
		sm->map[s / WORD_BITS] |= 1ull << s % WORD_BITS;
		sm->use[s] = 1;
	}
	sm->used += run.n;
	sm->hint = run.slot + run.n;
	if (sm->hint > sm->high) {
		sm->high = sm->hint;
		machine_count_tables(mc);
	}
	sf_peak(&mc->stats->peak_swapped, __atomic_add_fetch(&mc->stats->swapped, run.n, __ATOMIC_RELAXED));
	*ret_slot = run.slot;
	return run.n;
}

void swap_dup(struct machine *mc, uint64_t slot)
{
	SF_MISUSE(!mc->swap->use[slot] || mc->swap->use[slot] == UINT16_MAX);
	mc->swap->use[slot]++;
}

static void slots_gone(struct machine *mc, uint64_t slot, unsigned n)
{
	struct swap_map *sm = mc->swap;

	if (!n)
		return;
	for (uint64_t s = slot; s < slot + n; s++)
		sm->map[s / WORD_BITS] &= ~(1ull << s % WORD_BITS);
	sm->used -= n;
	__atomic_fetch_sub(&mc->stats->swapped, n, __ATOMIC_RELAXED);
	mc->store->ops->discard(mc->store, slot, n);
}

void swap_free(struct machine *mc, uint64_t slot, unsigned n)
{
	struct swap_map *sm = mc->swap;
	uint64_t first = slot, end = slot + n;

	SF_MISUSE(!slot || end > sm->nr);
	for (; slot < end; slot++) {
		SF_MISUSE(!sm->use[slot]);
		if (--sm->use[slot]) {
			slots_gone(mc, first, (unsigned)(slot - first));
			first = slot + 1;
		}
	}
	slots_gone(mc, first, (unsigned)(end - first));
}

uint64_t swap_used(struct machine *mc)
{
	return mc->swap ? mc->swap->used : 0;
}

uint64_t swap_map_bytes(struct machine *mc)
{
	const struct swap_map *sm = mc->swap;

	return sm ? sm->high * (sizeof(*sm->sum) + sizeof(*sm->use)) + MAP_BYTES(sm->high) : 0;
}

bool swap_nearly_full(struct machine *mc)
{
	return mc->swap && mc->swap->used > (mc->swap->nr - 1) / 2;
}

bool swap_full(struct machine *mc)
{
	return !mc->swap || mc->swap->used == mc->swap->nr - 1;
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
	return 0;
}

int swap_write(struct machine *mc, uint64_t slot, unsigned n, const void *buf)
{
	for (unsigned i = 0; i < n; i++)
		swap_set_sum(mc, slot + i, (const char *)buf + i * PAGE_SIZE);
	int err = mc->store->ops->write(mc->store, slot, n, buf);

	if (err)
		sf_count(&mc->stats->swap_errors, 1);
	else
		sf_count(&mc->stats->swap_out, n);
	return err;
}
