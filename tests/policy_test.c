/* SPDX-License-Identifier: MIT */
/* policy_test.c - replacement policies on a simulated memory
 *
 * The simulator plays the core's part: fills on a miss, shows and touches on a soft fault, hides what cold() asks for,
 * evicts what victims() name.  Lists are the test's own, in the simplest form, so that a policy is tested alone.
 * After every step that edits lists the invariants are checked on the pages concerned, and on all pages now and then. */

#include "mm/mm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MEMORY   1024u /* frames */
#define SPACE    (64u * MEMORY) /* pages of the simulated program */
#define NO_LIST  0xffu
#define BATCH    16u

/* ---------------------------------------------------------------- what policies take from outside */

__attribute__((weak, noreturn)) void sf_panic(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: %s\n", file, line, what);
	abort();
}

struct page *frame_page(struct machine *mc, uint32_t frame)
{
	return &mc->frames[frame];
}

uint32_t page_frame(struct machine *mc, const struct page *pg)
{
	return (uint32_t)(pg - mc->frames);
}

static void insert_between(struct machine *mc, unsigned list, struct page *pg, uint32_t prev, uint32_t next)
{
	struct page_list *l = &mc->lists[list];
	uint32_t f = page_frame(mc, pg);

	assert_true(list < NR_LISTS);
	assert_int_equal(pg->list, NO_LIST);
	pg->list = (uint8_t)list;
	pg->prev = prev;
	pg->next = next;
	*(prev ? &mc->frames[prev].next : &l->head) = f;
	*(next ? &mc->frames[next].prev : &l->tail) = f;
	l->count++;
}

void list_add_head(struct machine *mc, unsigned list, struct page *pg)
{
	insert_between(mc, list, pg, 0, mc->lists[list].head);
}

void list_add_tail(struct machine *mc, unsigned list, struct page *pg)
{
	insert_between(mc, list, pg, mc->lists[list].tail, 0);
}

void list_del(struct machine *mc, struct page *pg)
{
	struct page_list *l = &mc->lists[pg->list];

	assert_true(pg->list < NR_LISTS);
	*(pg->prev ? &mc->frames[pg->prev].next : &l->head) = pg->next;
	*(pg->next ? &mc->frames[pg->next].prev : &l->tail) = pg->prev;
	pg->prev = pg->next = 0;
	pg->list = NO_LIST;
	l->count--;
}

struct page *list_tail(struct machine *mc, unsigned list)
{
	return mc->lists[list].tail ? &mc->frames[mc->lists[list].tail] : NULL;
}

struct page *list_prev(struct machine *mc, struct page *pg)
{
	return pg->prev ? &mc->frames[pg->prev] : NULL;
}

size_t frames_free(struct machine *mc)
{
	return mc->bound ? mc->bound - mc->used : SIZE_MAX;
}

/* ---------------------------------------------------------------- the simulator */

struct sim {
	struct machine mc;
	struct page frames[MEMORY + 1];
	uint32_t where[SPACE]; /* frame of a page, 0: absent */
	uint64_t refs, hits, soft, misses, hidden, ahead;
	uint64_t rnd;
	unsigned cluster;      /* pages that one miss fills */
};

static uint64_t rnd(struct sim *s)
{
	s->rnd ^= s->rnd << 13;
	s->rnd ^= s->rnd >> 7;
	s->rnd ^= s->rnd << 17;
	return s->rnd * 0x2545f4914f6cdd1dull >> 11;
}

static struct sim *sim_new(const struct policy_ops *policy)
{
	struct sim *s = calloc(1, sizeof(*s));

	assert_non_null(s);
	s->mc.policy = policy;
	s->mc.bound = MEMORY;
	s->mc.frames = s->frames;
	s->rnd = 88172645463325252ull;
	s->cluster = 1;
	for (unsigned i = 1; i <= MEMORY; i++) {
		s->frames[i].list = NO_LIST;
		s->frames[i].next = s->mc.free_head;
		s->mc.free_head = i;
	}
	return s;
}

static bool resident(const struct page *pg)
{
	return pg->flags & (PG_VISIBLE | PG_HIDDEN);
}

/* Every resident page is on exactly one list, links agree both ways, counts are right. */
static void sim_check(struct sim *s)
{
	uint64_t on_lists = 0;

	for (unsigned l = 0; l < NR_LISTS; l++) {
		uint64_t n = 0;
		uint32_t prev = 0;
		for (uint32_t f = s->mc.lists[l].head; f; prev = f, f = s->frames[f].next, n++) {
			assert_true(n <= MEMORY);
			assert_int_equal(s->frames[f].prev, prev);
			assert_int_equal(s->frames[f].list, l);
			assert_true(resident(&s->frames[f]));
		}
		assert_int_equal(s->mc.lists[l].tail, prev);
		assert_int_equal(s->mc.lists[l].count, n);
		on_lists += n;
	}
	assert_int_equal(on_lists, s->mc.used);
}

static void sim_hide(struct sim *s, unsigned max)
{
	struct page *out[BATCH * 2];
	unsigned n = s->mc.policy->cold(&s->mc, out, MIN(max, ARRAY_SIZE(out)));

	assert_true(n <= max);
	for (unsigned i = 0; i < n; i++) {
		assert_true(page_evictable(out[i]));
		assert_true(out[i]->flags & PG_VISIBLE);
		out[i]->flags ^= PG_VISIBLE | PG_HIDDEN; /* a page named twice would fail above */
		s->mc.hidden++;
		s->hidden++;
	}
}

static void sim_drop(struct sim *s, struct page *pg)
{
	s->mc.policy->remove(&s->mc, pg);
	assert_int_equal(pg->list, NO_LIST);
	s->mc.hidden -= !!(pg->flags & PG_HIDDEN);
	s->where[pg->pfn] = 0;
	memset(pg, 0, sizeof(*pg));
	pg->list = NO_LIST;
	pg->next = s->mc.free_head;
	s->mc.free_head = page_frame(&s->mc, pg);
	s->mc.used--;
}

static unsigned count_evictable(struct sim *s)
{
	unsigned n = 0;

	for (unsigned f = 1; f <= MEMORY; f++)
		n += resident(&s->frames[f]) && page_evictable(&s->frames[f]);
	return n;
}

/* What victims() says, checked; the caller evicts them or not. */
static unsigned sim_victims(struct sim *s, struct page **out, unsigned max)
{
	unsigned n = s->mc.policy->victims(&s->mc, out, max);

	assert_true(n <= max);
	for (unsigned i = 0; i < n; i++) {
		assert_true(page_evictable(out[i]));
		assert_true(resident(out[i]));
		for (unsigned j = 0; j < i; j++)
			assert_ptr_not_equal(out[i], out[j]);
	}
	return n;
}

static void sim_reclaim(struct sim *s)
{
	struct page *out[BATCH];

	sim_hide(s, BATCH * 2);
	unsigned n = sim_victims(s, out, BATCH);
	assert_true(n > 0);
	for (unsigned i = 0; i < n; i++)
		sim_drop(s, out[i]);
}

static void sim_fill(struct sim *s, uint64_t pfn, enum fill_kind how)
{
	uint32_t f = s->mc.free_head;
	struct page *pg = &s->frames[f];

	s->mc.free_head = pg->next;
	memset(pg, 0, sizeof(*pg));
	pg->list = NO_LIST;
	pg->pfn = pfn;
	pg->flags = PG_VISIBLE | (how == FILL_AHEAD ? PG_AHEAD : 0);
	s->where[pfn] = f;
	s->mc.used++;
	s->mc.policy->insert(&s->mc, pg, how);
	assert_true(pg->list < NR_LISTS);
}

static void sim_miss(struct sim *s, uint64_t pfn)
{
	s->misses++;
	while (s->mc.bound - s->mc.used < s->cluster)
		sim_reclaim(s);
	sim_fill(s, pfn, FILL_DEMAND);
	for (unsigned i = 1; i < s->cluster && pfn + i < SPACE; i++) {
		if (s->where[pfn + i])
			break;
		sim_fill(s, pfn + i, FILL_AHEAD);
		s->ahead++;
	}
}

static void sim_touch(struct sim *s, uint64_t pfn)
{
	struct page *pg = &s->frames[s->where[pfn]];

	assert_true(pfn < SPACE);
	s->refs++;
	if (!s->where[pfn]) {
		sim_miss(s, pfn);
	} else if (pg->flags & PG_HIDDEN) {
		s->soft++;
		s->mc.hidden--;
		pg->flags ^= PG_VISIBLE | PG_HIDDEN;
		s->mc.policy->touch(&s->mc, pg);
		assert_true(pg->list < NR_LISTS);
	} else {
		s->hits++;
	}
	if (s->refs % 5000 == 0)
		sim_check(s);
}

static void sim_reset_counts(struct sim *s)
{
	s->refs = s->hits = s->soft = s->misses = s->hidden = s->ahead = 0;
}

/* ---------------------------------------------------------------- reference patterns */

#define REFS 200000u

/* Half of the references to a hot set of half the memory, half to a scan that never comes back in time. */
static void pattern_hot_and_scan(struct sim *s)
{
	uint64_t scan = 0;

	for (unsigned i = 0; i < REFS; i++) {
		if (rnd(s) & 1)
			sim_touch(s, rnd(s) % (MEMORY / 2));
		else
			sim_touch(s, MEMORY + scan++ % (SPACE - MEMORY));
	}
}

/* The same by turns: a burst on the hot set, then a scan of twice the memory.  While the hot set is in use nothing is hidden, as all of
 * it fits: no policy can know it from the scan. */
static void pattern_hot_then_scan(struct sim *s)
{
	uint64_t scan = 0;

	for (unsigned turn = 0; turn < 20; turn++) {
		for (unsigned i = 0; i < 6 * MEMORY; i++)
			sim_touch(s, rnd(s) % (MEMORY / 2));
		for (unsigned i = 0; i < 2 * MEMORY; i++)
			sim_touch(s, MEMORY + scan++ % (SPACE - MEMORY));
	}
}

static void loop_of(struct sim *s, uint64_t pages)
{
	for (unsigned i = 0; i < REFS; i++)
		sim_touch(s, i % pages);
}

static void pattern_loop_110(struct sim *s) { loop_of(s, MEMORY * 11 / 10); }
static void pattern_loop_90(struct sim *s) { loop_of(s, MEMORY * 9 / 10); }

/* Zipf-like: the r-th page with weight 1/r, over four times the memory. */
static void pattern_zipf(struct sim *s)
{
	const unsigned pages = 4 * MEMORY;
	double *sum = malloc(pages * sizeof(*sum)), total = 0;

	for (unsigned i = 0; i < pages; i++)
		sum[i] = total += 1.0 / (i + 1);
	for (unsigned i = 0; i < REFS; i++) {
		double x = (double)rnd(s) / (double)(1ull << 53) * total;
		unsigned lo = 0, hi = pages - 1;
		while (lo < hi) {
			unsigned mid = (lo + hi) / 2;
			if (sum[mid] < x)
				lo = mid + 1;
			else
				hi = mid;
		}
		sim_touch(s, lo * 2654435761ull % pages); /* neighbours are unlike */
	}
	free(sum);
}

static void pattern_random(struct sim *s)
{
	for (unsigned i = 0; i < REFS; i++)
		sim_touch(s, rnd(s) % (MEMORY * 3 / 2));
}

/* A working set that fits, then another one; counts are of the second alone. */
static void pattern_new_phase(struct sim *s)
{
	for (unsigned i = 0; i < REFS / 2; i++)
		sim_touch(s, rnd(s) % (MEMORY * 12 / 10));
	sim_reset_counts(s);
	for (unsigned i = 0; i < REFS / 2; i++)
		sim_touch(s, 4 * MEMORY + rnd(s) % (MEMORY * 8 / 10));
}

/* As before, but the second phase is a loop, which shows no page twice before it has gone round. */
static void pattern_new_loop(struct sim *s)
{
	for (unsigned i = 0; i < REFS / 2; i++)
		sim_touch(s, rnd(s) % (MEMORY * 12 / 10));
	sim_reset_counts(s);
	for (unsigned i = 0; i < REFS; i++)
		sim_touch(s, 4 * MEMORY + i % (MEMORY * 8 / 10));
}

/* Four interleaved streams, 16 pages a fill, beside a hot set. */
static void pattern_streams(struct sim *s)
{
	uint64_t pos[4] = { 0 };

	s->cluster = 16;
	for (unsigned i = 0; i < REFS; i++) {
		unsigned k = i % 8;
		if (k < 4)
			sim_touch(s, (1 + k) * 8 * MEMORY + pos[k]++ % (8 * MEMORY));
		else
			sim_touch(s, rnd(s) % (MEMORY / 2));
	}
}

/* Random single pages while each fill brings 15 unused neighbours, beside a hot set. */
static void pattern_useless_ahead(struct sim *s)
{
	s->cluster = 16;
	for (unsigned i = 0; i < REFS; i++)
		sim_touch(s, i % 16 ? rnd(s) % (MEMORY / 2) : MEMORY + rnd(s) % (SPACE - MEMORY));
}

struct result { double in_memory, soft, misses, cost; };

/* Cost of a reference in microseconds when a soft fault takes 4 and a miss 25. */
static struct result measure_costs(const struct policy_ops *policy, const char *name, void (*pattern)(struct sim *), uint32_t soft_ns,
				   uint32_t major_ns)
{
	struct sim *s = sim_new(policy);
	struct result r;

	s->mc.policy_state.soft_ns = soft_ns;
	s->mc.policy_state.major_ns = major_ns;
	pattern(s);
	sim_check(s);
	r.in_memory = 100.0 * (double)(s->refs - s->misses) / (double)s->refs;
	r.soft = 100.0 * (double)s->soft / (double)s->refs;
	r.misses = 100.0 * (double)s->misses / (double)s->refs;
	r.cost = (4 * r.soft + 25 * r.misses) / 100;
	print_message("    %-8s %-14s in memory %5.1f %%  soft %5.1f %%  miss %5.1f %%  cost %5.2f\n", policy->name, name,
		      r.in_memory, r.soft, r.misses, r.cost);
	free(s);
	return r;
}

static struct result measure(const struct policy_ops *policy, const char *name, void (*pattern)(struct sim *))
{
	return measure_costs(policy, name, pattern, 0, 0);
}

#define MEASURE(policy, pattern) measure(&policy_##policy, #pattern, pattern_##pattern)

/* ---------------------------------------------------------------- how well they choose */

static void twolist_keeps_a_hot_set_while_a_scan_passes(void **state)
{
	struct result fifo = MEASURE(fifo, hot_and_scan), clock = MEASURE(clock, hot_and_scan);
	struct result two = MEASURE(twolist, hot_and_scan);

	/* 50 is all there is to have. */
	assert_true(two.in_memory > fifo.in_memory + 12);
	assert_true(two.in_memory > clock.in_memory + 10);
}

static void bursts_that_hide_all_use_are_no_worse_than_fifo(void **state)
{
	struct result fifo = MEASURE(fifo, hot_then_scan), two = MEASURE(twolist, hot_then_scan);

	MEASURE(clock, hot_then_scan);
	assert_true(two.misses <= fifo.misses + 1);
	assert_true(two.cost <= fifo.cost + 0.5);
}

static void twolist_beats_fifo_on_skewed_use(void **state)
{
	struct result fifo = MEASURE(fifo, zipf), clock = MEASURE(clock, zipf), two = MEASURE(twolist, zipf);

	assert_true(two.in_memory > fifo.in_memory + 2);
	assert_true(clock.in_memory > fifo.in_memory + 2);
}

static void no_policy_is_much_worse_than_fifo_on_random_use(void **state)
{
	struct result fifo = MEASURE(fifo, random), clock = MEASURE(clock, random), two = MEASURE(twolist, random);

	assert_true(clock.in_memory > fifo.in_memory - 2);
	assert_true(two.in_memory > fifo.in_memory - 2);
}

static void what_fits_stays_and_costs_nothing(void **state)
{
	struct result fifo = MEASURE(fifo, loop_90), clock = MEASURE(clock, loop_90), two = MEASURE(twolist, loop_90);

	assert_true(fifo.misses < 1 && clock.misses < 1 && two.misses < 1);
	assert_true(clock.soft < 1 && two.soft < 1);
}

static void a_loop_a_little_too_large_is_no_worse_than_fifo(void **state)
{
	struct result fifo = MEASURE(fifo, loop_110), clock = MEASURE(clock, loop_110), two = MEASURE(twolist, loop_110);

	assert_true(clock.misses <= fifo.misses && two.misses <= fifo.misses);
}

static void twolist_forgets_a_stale_working_set(void **state)
{
	struct result two = MEASURE(twolist, new_phase);

	MEASURE(fifo, new_phase);
	assert_true(two.misses < 5);
	MEASURE(fifo, new_loop);
	two = MEASURE(twolist, new_loop);
	assert_true(two.misses < 10);
}

static void interleaved_streams_use_what_was_read_ahead(void **state)
{
	struct result fifo = MEASURE(fifo, streams), two = MEASURE(twolist, streams);

	MEASURE(clock, streams);
	assert_true(two.misses < 4.5); /* a sixteenth of half the references, and the start */
	assert_true(two.misses <= fifo.misses);
	assert_true(two.soft < 3);
}

static void unused_read_ahead_goes_before_pages_in_use(void **state)
{
	struct result fifo = MEASURE(fifo, useless_ahead), two = MEASURE(twolist, useless_ahead);

	MEASURE(clock, useless_ahead);
	assert_true(two.misses < 8); /* 6.25 are unavoidable */
	assert_true(two.misses < fifo.misses / 2);
}

/* ---------------------------------------------------------------- rules for every policy */

static const struct policy_ops *const all_policies[] = { &policy_fifo, &policy_clock, &policy_twolist };
#define FOR_EACH_POLICY(p) \
	for (unsigned p##_i = 0; p##_i < ARRAY_SIZE(all_policies); p##_i++) \
		for (const struct policy_ops *p = all_policies[p##_i], *p##_once = p; p##_once; p##_once = NULL)

static void policies_are_found_by_name(void **state)
{
	FOR_EACH_POLICY(p) {
		assert_ptr_equal(policy_find(p->name), p);
		assert_non_null(strstr(policy_names, p->name));
	}
	assert_null(policy_find("twolis"));
	assert_null(policy_find("twolists"));
	assert_null(policy_find(""));
}

static void fill_all(struct sim *s)
{
	for (unsigned i = 0; i < MEMORY; i++)
		sim_fill(s, i, i % 3 ? FILL_DEMAND : FILL_AHEAD);
}

static void a_pinned_page_is_never_named(void **state)
{
	static const unsigned marks[] = { PG_BUSY, PG_LOCKED, PG_WRITEBACK };

	FOR_EACH_POLICY(p) {
		struct sim *s = sim_new(p);
		fill_all(s);
		for (unsigned i = 0; i < MEMORY; i++) {
			if (i % 4 == 3)
				s->frames[s->where[i]].pins = 1;
			else if (i % 8 != 1) /* one in eight is left */
				s->frames[s->where[i]].flags |= marks[i % 4];
		}
		unsigned left = count_evictable(s);
		assert_int_equal(left, MEMORY / 8);
		while (left) {
			struct page *out[BATCH];
			sim_hide(s, BATCH);
			unsigned n = sim_victims(s, out, BATCH);
			assert_in_range(n, 1, left);
			for (unsigned i = 0; i < n; i++)
				sim_drop(s, out[i]);
			left -= n;
			sim_check(s);
		}
		struct page *out[BATCH];
		assert_int_equal(sim_victims(s, out, BATCH), 0);
		sim_hide(s, BATCH);
		free(s);
	}
}

static void the_only_evictable_page_is_found_again_and_again(void **state)
{
	FOR_EACH_POLICY(p) {
		struct sim *s = sim_new(p);
		struct page *out[BATCH];
		fill_all(s);
		for (unsigned i = 0; i < MEMORY; i++)
			s->frames[s->where[i]].pins = i != 777;
		for (unsigned i = 0; i < 10; i++) {
			assert_int_equal(sim_victims(s, out, BATCH), 1);
			assert_int_equal(out[0]->pfn, 777);
		}
		free(s);
	}
}

static void victims_that_cannot_go_make_way_for_all_others(void **state)
{
	FOR_EACH_POLICY(p) {
		struct sim *s = sim_new(p);
		struct page *out[BATCH];
		bool named[MEMORY] = { false };
		unsigned distinct = 0;
		fill_all(s);
		sim_hide(s, BATCH);
		for (unsigned call = 0; call < 3 * MEMORY / BATCH && distinct < MEMORY; call++) {
			unsigned n = sim_victims(s, out, BATCH); /* and none of them can be written */
			assert_true(n > 0);
			for (unsigned i = 0; i < n; i++) {
				p->advise(&s->mc, out[i], true);
				distinct += !named[out[i]->pfn];
				named[out[i]->pfn] = true;
			}
		}
		assert_int_equal(distinct, MEMORY);
		sim_check(s);
		free(s);
	}
}

/* The calls that pass over pinned pages must not meet them all each time. */
static void pinned_pages_at_the_cold_end_are_passed_once(void **state)
{
	FOR_EACH_POLICY(p) {
		struct sim *s = sim_new(p);
		struct page *out[1];
		for (unsigned i = 0; i < MEMORY; i++)
			sim_fill(s, i, FILL_DEMAND);
		for (unsigned i = 0; i < MEMORY / 2; i++)
			s->frames[s->where[i]].pins = 1;
		assert_int_equal(sim_victims(s, out, 1), 1);
		unsigned list = out[0]->list;
		assert_ptr_equal(list_tail(&s->mc, list), out[0]);
		free(s);
	}
}

static void cold_advice_makes_a_page_the_next_victim(void **state)
{
	FOR_EACH_POLICY(p) {
		struct sim *s = sim_new(p);
		struct page *out[1];
		fill_all(s);
		p->advise(&s->mc, &s->frames[s->where[500]], false);
		assert_int_equal(sim_victims(s, out, 1), 1);
		assert_int_equal(out[0]->pfn, 500);
		p->advise(&s->mc, out[0], true);
		assert_int_equal(sim_victims(s, out, 1), 1);
		assert_int_not_equal(out[0]->pfn, 500);
		sim_check(s);
		free(s);
	}
}

static void nothing_is_hidden_while_memory_is_plenty(void **state)
{
	FOR_EACH_POLICY(p) {
		struct sim *s = sim_new(p);
		struct page *out[BATCH];
		for (unsigned i = 0; i < MEMORY / 2; i++)
			sim_fill(s, i, FILL_DEMAND);
		assert_int_equal(p->cold(&s->mc, out, BATCH), 0);
		s->mc.bound = 0;
		assert_int_equal(p->cold(&s->mc, out, BATCH), 0);
		free(s);
	}
}

static void scarce_host_mappings_make_pages_hidden(void **state)
{
	static const struct policy_ops *const hiding[] = { &policy_clock, &policy_twolist };

	for (unsigned k = 0; k < ARRAY_SIZE(hiding); k++) {
		struct port port = { .nr_maps = 900, .max_maps = 1000 };
		struct sim *s = sim_new(hiding[k]);
		s->mc.bound = 0;
		s->mc.port = &port;
		for (unsigned i = 0; i < BATCH; i++)
			sim_fill(s, i, FILL_DEMAND);
		sim_hide(s, BATCH);
		assert_int_equal(s->mc.hidden, BATCH);
		sim_check(s);
		free(s);
	}
}

/* Pages are hidden, shown, pinned and dropped behind the policy's back, refused by the port, and named again. */
static void lists_stay_whole_under_any_order_of_events(void **state)
{
	FOR_EACH_POLICY(p) {
		struct sim *s = sim_new(p);
		for (unsigned i = 0; i < 60000; i++) {
			uint64_t pfn = rnd(s) % (2 * MEMORY);
			struct page *pg = s->where[pfn] ? &s->frames[s->where[pfn]] : NULL;
			unsigned what = (unsigned)(rnd(s) % 12);
			if (!pg || what < 4) {
				if (pg || s->mc.used < MEMORY || count_evictable(s))
					sim_touch(s, pfn);
			} else if (what == 4) {
				pg->pins = !pg->pins;
			} else if (what == 5) {
				pg->flags ^= PG_LOCKED;
			} else if (what == 6) {
				p->advise(&s->mc, pg, rnd(s) & 1);
			} else if (what == 7 && page_evictable(pg)) {
				sim_drop(s, pg);
			} else if (what == 8 && pg->flags & PG_VISIBLE) { /* hidden by mprotect */
				pg->flags ^= PG_VISIBLE | PG_HIDDEN;
				s->mc.hidden++;
			} else if (what == 9) {
				pg->flags &= ~(unsigned)PG_LOCKED;
				pg->pins = 0;
			} else if (what == 10) { /* the port refuses to hide */
				struct page *out[4];
				p->cold(&s->mc, out, 4);
			} else if (what == 11 && i % 64 == 0) {
				struct page *out[4];
				sim_victims(s, out, 4);
			}
			if (i % 500 == 0)
				sim_check(s);
		}
		sim_check(s);
		free(s);
	}
}

/* Where reading back is cheap, few pages are hidden to find out which to keep; where it is dear, more. */
static void soft_faults_keep_to_their_budget(void **state)
{
	struct result dear = measure_costs(&policy_twolist, "random, disk", pattern_random, 4000, 400000);
	struct result cheap = measure_costs(&policy_twolist, "random, cached", pattern_random, 4000, 8000);

	assert_true(cheap.soft < dear.soft);
	assert_true(4 * cheap.soft < 8 * cheap.misses);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(policies_are_found_by_name),
		cmocka_unit_test(a_pinned_page_is_never_named),
		cmocka_unit_test(the_only_evictable_page_is_found_again_and_again),
		cmocka_unit_test(victims_that_cannot_go_make_way_for_all_others),
		cmocka_unit_test(pinned_pages_at_the_cold_end_are_passed_once),
		cmocka_unit_test(cold_advice_makes_a_page_the_next_victim),
		cmocka_unit_test(nothing_is_hidden_while_memory_is_plenty),
		cmocka_unit_test(scarce_host_mappings_make_pages_hidden),
		cmocka_unit_test(lists_stay_whole_under_any_order_of_events),
		cmocka_unit_test(twolist_keeps_a_hot_set_while_a_scan_passes),
		cmocka_unit_test(bursts_that_hide_all_use_are_no_worse_than_fifo),
		cmocka_unit_test(twolist_beats_fifo_on_skewed_use),
		cmocka_unit_test(no_policy_is_much_worse_than_fifo_on_random_use),
		cmocka_unit_test(what_fits_stays_and_costs_nothing),
		cmocka_unit_test(a_loop_a_little_too_large_is_no_worse_than_fifo),
		cmocka_unit_test(twolist_forgets_a_stale_working_set),
		cmocka_unit_test(interleaved_streams_use_what_was_read_ahead),
		cmocka_unit_test(unused_read_ahead_goes_before_pages_in_use),
		cmocka_unit_test(soft_faults_keep_to_their_budget),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
