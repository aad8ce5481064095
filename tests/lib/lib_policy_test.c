/* SPDX-License-Identifier: MIT */
/* policy_test.c - policies of the application's own: they are told everything, obeyed when they are right, and survived when they are not */
#include "lib_test.h"

enum { MOST = 4096 };

/* A policy that keeps what it is told in an array, and answers by the mode it is in. */
enum mode { OLDEST, NOTHING, TWICE, WILD, PINNED, TOO_MANY, STUBBORN, TOUCHES, CALLS, RANDOM };
static struct sf_page *list[MOST];
static unsigned nr, touched, kept, cold_named, wild_named;
static enum mode mode;
static char *forbidden, *pinned_at;
static int forbidden_error, call_error, state_error;
static uint64_t dice = 88172645463325252ull;

static unsigned rnd(unsigned n)
{
	dice ^= dice << 13;
	dice ^= dice >> 7;
	dice ^= dice << 17;
	return (unsigned)(dice >> 20) % n;
}

static void on_insert(void *arg, struct sf_page *pg, enum sf_page_how how)
{
	if (arg != list || nr == MOST || pg->user[0].num || pg->user[3].num)
		abort();
	pg->user[0].num = 1;
	pg->user[3].num = ++dice;
	list[nr++] = pg;
}

static void on_remove(void *arg, struct sf_page *pg)
{
	unsigned i = 0;

	while (i < nr && list[i] != pg)
		i++;
	if (i == nr || pg->user[0].num != 1)
		abort();
	memmove(list + i, list + i + 1, (--nr - i) * sizeof(list[0]));
}

static void on_touch(void *arg, struct sf_page *pg)
{
	touched++;
	if (pg->user[0].num != 1 || sf_page_state(pg, NULL) & SF_PAGE_UNSEEN)
		abort();
	on_remove(arg, pg);
	list[nr++] = pg;
}

static void on_advise(void *arg, struct sf_page *pg, enum sf_page_advice advice)
{
	kept += advice == SF_PAGE_KEEP;
	on_remove(arg, pg);
	if (advice == SF_PAGE_KEEP) {
		list[nr++] = pg;
		return;
	}
	memmove(list + 1, list, nr++ * sizeof(list[0]));
	list[0] = pg;
}

static unsigned name_pinned(struct sf_page **ret, unsigned max)
{
	unsigned n = 0;
	void *at;

	for (unsigned i = 0; i < nr && n < max; i++)
		if (sf_page_state(list[i], &at) & SF_PAGE_STAYS && at == pinned_at)
			ret[n++] = list[i];
	return n;
}

static unsigned name_wild(struct sf_page **ret, unsigned max)
{
	static struct sf_page mine;
	struct sf_page *const all[] = { NULL, &mine, (struct sf_page *)((char *)list[0] + 8), list[0] + 100000, (struct sf_page *)-1l, list[0] - 1 };
	unsigned n = 0;

	for (; n < max && n < 6; n++)
		ret[n] = all[n];
	wild_named += n;
	state_error = sf_page_state(&mine, NULL) == -EINVAL && sf_page_state(NULL, NULL) == -EINVAL;
	return n;
}

static unsigned name_random(struct sf_page **ret, unsigned max)
{
	unsigned n = 0;

	for (; n < max && rnd(8); n++)
		ret[n] = rnd(16) ? list[rnd(nr)] : (struct sf_page *)((char *)list[rnd(nr)] + (rnd(4) ? 4096 * rnd(4096) : rnd(64)));
	return rnd(32) ? n : rnd(1000);
}

static unsigned on_victims(void *arg, struct sf_page **ret, unsigned max)
{
	unsigned n = 0;

	if (!nr)
		return 0;
	switch (mode) {
	case NOTHING:
		return 0;
	case WILD:
		return name_wild(ret, max);
	case PINNED:
		return name_pinned(ret, max);
	case TOO_MANY:
		return max + 1000;
	case RANDOM:
		return name_random(ret, max);
	case STUBBORN:
		ret[0] = list[0];
		return 1;
	case TOUCHES:
		forbidden_error = try_read(forbidden);
		break;
	case CALLS:
		call_error = sf_pool_resize((sf_pool *)forbidden, BOUND);
		break;
	default:
		break;
	}
	for (unsigned i = 0; i < nr && n < max; i++)
		if (mode == TWICE)
			ret[n++] = list[0];
		else if (!(sf_page_state(list[i], NULL) & SF_PAGE_STAYS))
			ret[n++] = list[i];
	return n;
}

static unsigned on_cold(void *arg, struct sf_page **ret, unsigned max)
{
	unsigned n = 0;

	if (mode == RANDOM)
		return nr ? name_random(ret, max) : 0;
	for (unsigned i = 0; i < nr && n < max; i++)
		if (!(sf_page_state(list[i], NULL) & (SF_PAGE_STAYS | SF_PAGE_UNSEEN)))
			ret[n++] = list[i];
	cold_named += n;
	return n;
}

static const struct sf_policy_ops ops = {
	.struct_size = sizeof(ops), .insert = on_insert, .touch = on_touch, .remove = on_remove, .advise = on_advise, .cold = on_cold, .victims = on_victims,
};

static sf_store *memory;
static unsigned told;

static void on_warn(void *arg, const char *msg)
{
	told++;
}

static sf_pool *open_own(enum mode m)
{
	sf_pool *pool;

	mode = m;
	nr = touched = kept = cold_named = wild_named = told = 0;
	OK(sf_store_memory(1ull << 30, &memory));
	OK(sf_pool_create(POOL_OPTIONS(.bound = BOUND, .store = memory, .policy_ops = &ops, .policy_arg = list, .warn = on_warn), &pool));
	assert_true(sf_rearm() >= 0);
	return pool;
}

static void close_own(sf_pool *pool)
{
	assert_int_equal(pool_stats(pool).resident, 0);
	assert_int_equal(nr, 0);
	OK(sf_pool_destroy(pool));
	OK(sf_store_close(memory));
}

/* Contents hold, and the bound, whatever the policy says. */
static void work(sf_pool *pool, unsigned pages)
{
	sf_region *r;
	char *m;

	OK(sf_map(pool, pages * PAGE, NULL, &r, (void **)&m));
	for (unsigned round = 0; round < 3; round++)
		for (unsigned i = 0; i < pages; i++) {
			if (round)
				assert_true(page_has(m + i * PAGE, mark(i + round - 1)));
			fill_page(m + i * PAGE, mark(i + round));
			assert_in_range(nr, 1, 64);
		}
	assert_in_range(pool_stats(pool).peak_resident, 1, BOUND);
	OK(sf_unmap(r));
}

static void it_is_told_and_obeyed(void **state)
{
	sf_pool *pool = open_own(OLDEST);

	work(pool, 300);
	assert_true(cold_named > 0);
	assert_int_equal(pool_stats(pool).policy_errors, 0);
	assert_int_equal(told, 0);
	close_own(pool);
}

static void a_touch_of_a_cold_page_is_heard_of(void **state)
{
	sf_pool *pool = open_own(OLDEST);
	sf_region *r;
	char *m;

	OK(sf_map(pool, 400 * PAGE, MAP(.cluster = PAGE), &r, (void **)&m));
	for (unsigned i = 0; i < 400; i++) {
		m[i * PAGE] = 1;
		assert_int_equal(m[0], 1); /* used all the time: it stays */
	}
	assert_in_range(touched, 4, 100);
	assert_in_range(region_stats(r).home_in + pool_stats(pool).store_in, 0, 10);
	assert_int_equal(pool_stats(pool).policy_errors, 0);
	OK(sf_unmap(r));
	close_own(pool);
}

static void wrong_answers_are_survived(void **state)
{
	static const enum mode bad[] = { NOTHING, TWICE, WILD, TOO_MANY, STUBBORN };

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		sf_pool *pool = open_own(bad[i]);

		work(pool, 200);
		assert_true((pool_stats(pool).policy_errors > 0) == (bad[i] != STUBBORN));
		assert_int_equal(told, bad[i] != STUBBORN);
		if (bad[i] == WILD)
			assert_true(wild_named && state_error);
		close_own(pool);
	}
}

static void a_pinned_page_that_is_named_stays(void **state)
{
	sf_pool *pool = open_own(PINNED);
	struct sf_pin pin;
	sf_region *r;
	char *m;

	OK(sf_map(pool, PAGE, NULL, &r, (void **)&m));
	fill_page(m, mark(5));
	OK(sf_pin(m, PAGE, 1, &pin));
	pinned_at = m;
	work(pool, 200);
	assert_true(page_has(m, mark(5)));
	assert_true(pool_stats(pool).policy_errors > 0);
	OK(sf_unpin(&pin));
	OK(sf_unmap(r));
	close_own(pool);
}

static void a_callback_can_neither_touch_regions_nor_call(void **state)
{
	sf_pool *other = open_pool(BOUND), *pool;
	sf_region *r;

	OK(sf_map(other, PAGE, NULL, &r, (void **)&forbidden));
	forbidden_error = 0;
	pool = open_own(TOUCHES);
	work(pool, 200);
	assert_int_equal(forbidden_error, -EDEADLK);
	close_own(pool);
	OK(sf_unmap(r));
	close_pool(other);

	pool = open_own(CALLS);
	forbidden = (char *)pool;
	work(pool, 200);
	assert_int_equal(call_error, -EDEADLK);
	assert_int_equal(sf_page_state(list[0], NULL), -EINVAL);
	close_own(pool);
}

/* A store that refuses everything for a while: named pages stay, and are heard of as such; nothing is lost. */
static void what_cannot_be_written_stays(void **state)
{
	struct sf_fault_plan gone = { .struct_size = sizeof(gone), .fail_write = 1, .fail_times = 1000000, .error = -EIO };
	sf_store *below, *faulty;
	sf_pool *pool;
	sf_region *r;
	unsigned i;
	char *m;

	mode = STUBBORN;
	nr = kept = 0;
	OK(sf_store_memory(1ull << 30, &below));
	OK(sf_store_faulty(below, &faulty));
	OK(sf_pool_create(POOL_OPTIONS(.bound = BOUND, .store = faulty, .policy_ops = &ops, .policy_arg = list), &pool));
	sf_rearm();
	OK(sf_map(pool, 200 * PAGE, NULL, &r, (void **)&m));
	OK(sf_store_faulty_plan(faulty, &gone));
	for (i = 0; i < 200 && !try_write(m + i * PAGE, 1); i++)
		fill_page(m + i * PAGE, mark(i));
	assert_in_range(i, 40, 64);
	assert_true(kept > 0);
	OK(sf_store_faulty_plan(faulty, &(struct sf_fault_plan){ .struct_size = sizeof(gone) }));
	for (; i < 200; i++)
		fill_page(m + i * PAGE, mark(i));
	for (i = 0; i < 200; i++)
		assert_true(page_has(m + i * PAGE, mark(i)));
	OK(sf_unmap(r));
	OK(sf_pool_destroy(pool));
	OK(sf_store_close(faulty));
	OK(sf_store_close(below));
}

static void any_answer_at_random(void **state)
{
	for (unsigned i = 0; i < 5; i++) {
		sf_pool *pool = open_own(RANDOM);
		struct sf_pin pin;
		sf_region *r;
		char *m;

		OK(sf_map(pool, 100 * PAGE, NULL, &r, (void **)&m));
		for (unsigned k = 0; k < 100; k++)
			fill_page(m + k * PAGE, mark(k));
		OK(sf_pin(m + i * PAGE, 5 * PAGE, 1, &pin));
		work(pool, 300);
		OK(sf_unpin(&pin));
		OK(sf_advise(r, 0, 50 * PAGE, SF_COLD));
		OK(sf_advise(r, 0, 50 * PAGE, SF_PAGEOUT));
		OK(sf_advise(r, 0, 0, SF_SEQUENTIAL));
		for (unsigned k = 0; k < 100; k++)
			assert_true(page_has(m + k * PAGE, mark(k)));
		OK(sf_move(r, NULL, (void **)&m));
		for (unsigned k = 0; k < 100; k++)
			assert_true(page_has(m + k * PAGE, mark(k)));
		OK(sf_unmap(r));
		close_own(pool);
	}
}

static void tables_that_lack_something(void **state)
{
	struct { struct sf_policy_ops ops; char later[8]; } big = { .ops = ops, .later = { 1 } };
	struct sf_policy_ops o = ops;
	sf_pool *p;

#define REFUSED(...) assert_int_equal(sf_pool_create(POOL_OPTIONS(.bound = BOUND, __VA_ARGS__), &p), -EINVAL)
	REFUSED(.policy = "fifo", .policy_ops = &o);
	REFUSED(.policy_arg = list);
	o.insert = NULL;
	REFUSED(.policy_ops = &o);
	o = ops;
	o.remove = NULL;
	REFUSED(.policy_ops = &o);
	o = ops;
	o.victims = NULL;
	REFUSED(.policy_ops = &o);
	o = ops;
	o.flags = 1;
	REFUSED(.policy_ops = &o);
	o = ops;
	o.struct_size = 8;
	REFUSED(.policy_ops = &o);
	big.ops.struct_size = sizeof(big);
	REFUSED(.policy_ops = &big.ops);
	o = (struct sf_policy_ops){ .struct_size = sizeof(o), .insert = on_insert, .remove = on_remove, .victims = on_victims };
	OK(sf_store_memory(1 << 30, &memory));
	OK(sf_pool_create(POOL_OPTIONS(.bound = BOUND, .store = memory, .policy_ops = &o, .policy_arg = list), &p));
	sf_rearm();
	mode = OLDEST;
	memset(&o, 0, sizeof(o)); /* it was copied */
	work(p, 200);
	close_own(p);
	/* Options of before there were such members. */
	struct sf_pool_options old = { .struct_size = offsetof(struct sf_pool_options, policy_ops), .bound = BOUND, .policy_ops = (void *)1 };
	OK(sf_pool_create(&old, &p));
	OK(sf_pool_destroy(p));
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(it_is_told_and_obeyed),
	cmocka_unit_test(a_touch_of_a_cold_page_is_heard_of),
	cmocka_unit_test(wrong_answers_are_survived),
	cmocka_unit_test(a_pinned_page_that_is_named_stays),
	cmocka_unit_test(a_callback_can_neither_touch_regions_nor_call),
	cmocka_unit_test(what_cannot_be_written_stays),
	cmocka_unit_test(any_answer_at_random),
	cmocka_unit_test(tables_that_lack_something),
};
MAIN(tests)
