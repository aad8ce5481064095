/* SPDX-License-Identifier: MIT */
/* conf_snap.c - snapshots over every port and engine: what was there stays to be had, whatever happens to the range */
#include "conf_core.h"
#include "mm/snap.h"

#define PAGES 48u
#define LINES 5u

static struct snap *take(unsigned page, uint64_t n)
{
	struct snap *s = NULL;

	assert_int_equal(snap_take(MM, TK, AT(page), n * PAGE_SIZE, &s), 0);
	return s;
}

static uint8_t was(struct snap *s, uint64_t page)
{
	uint8_t byte = 0xee;

	assert_int_equal(snap_read(s, TK, page * PAGE_SIZE + 77, &byte, 1), 0);
	return byte;
}

static void put(uint64_t page, uint8_t byte)
{
	poke(AT(page) + 77, byte);
}

static uint8_t is(uint64_t page)
{
	return peek(AT(page) + 77);
}

static void evict(void)
{
	mm_lock(MM);
	reclaim_range(MM, AT(0), AT(PAGES));
	mm_unlock(MM);
}

static void open_range(void)
{
	open_rig(BOUND);
	map_anon(0, PAGES, RW);
}

/* ---------------------------------------------------------------- one at a time */

static void a_snapshot_keeps_what_was_there(void **state)
{
	open_range();
	put(0, 1);
	put(1, 2);
	(void)is(2);
	struct snap *s = take(0, PAGES);

	put(0, 11);
	put(2, 13);
	put(3, 14);
	assert_int_equal(was(s, 0), 1);
	assert_int_equal(was(s, 1), 2);
	assert_int_equal(was(s, 2), 0);
	assert_int_equal(was(s, 3), 0);
	assert_int_equal(was(s, 40), 0);
	assert_int_equal(is(0), 11);
	assert_int_equal(is(1), 2);
	snap_check(MM, AT(0));
	assert_int_equal(snap_drop(s), 0);
	put(1, 22);
	assert_int_equal(is(1), 22);
	close_rig();
}

static void only_written_pages_are_copied(void **state)
{
	open_range();
	for (unsigned i = 0; i < 20; i++)
		put(i, (uint8_t)(i + 1));
	uint64_t used = rig.mc->used;
	struct snap *s = take(0, PAGES);

	assert_int_equal(rig.mc->used, used);
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(was(s, i), i + 1);
	assert_int_equal(rig.mc->used, used);
	put(3, 90);
	put(3, 91);
	put(17, 92);
	assert_int_equal(rig.mc->used, used + 2);
	put(30, 1); /* nothing was there: nothing to copy */
	assert_int_equal(rig.mc->used, used + 3);
	assert_int_equal(snap_next_diff(s, NULL, 0, PAGES), 3);
	assert_int_equal(snap_next_diff(s, NULL, 4, PAGES), 17);
	assert_int_equal(snap_next_diff(s, NULL, 18, PAGES), 30);
	assert_int_equal(snap_next_diff(s, NULL, 31, PAGES), PAGES);
	assert_int_equal(snap_drop(s), 0);
	assert_int_equal(rig.mc->used, used + 1);
	close_rig();
}

static void evicted_pages_are_kept_without_reading(void **state)
{
	open_range();
	for (unsigned i = 0; i < PAGES; i++)
		put(i, (uint8_t)(i + 1));
	evict();
	struct snap *s = take(0, PAGES);

	for (unsigned i = 0; i < PAGES; i += 2)
		put(i, 200);
	evict();
	for (unsigned i = 0; i < PAGES; i++) {
		assert_int_equal(was(s, i), i + 1);
		assert_int_equal(is(i), i % 2 ? i + 1 : 200);
	}
	snap_check(MM, AT(0));
	assert_int_equal(snap_drop(s), 0);
	close_rig();
}

static void generations_each_keep_their_own(void **state)
{
	struct snap *s[4];

	open_range();
	for (unsigned g = 0; g < 4; g++) {
		for (unsigned i = 0; i < PAGES; i += g + 1)
			put(i, (uint8_t)(g * 50 + i + 1));
		s[g] = take(0, PAGES);
	}
	put(12, 255);
	for (unsigned g = 0; g < 4; g++)
		for (unsigned i = 0; i < PAGES; i++) {
			int last = (int)g;

			while (last > 0 && i % (unsigned)(last + 1))
				last--;
			assert_int_equal(was(s[g], i), (uint8_t)((unsigned)last * 50 + i + 1));
		}
	assert_true(snap_before(s[0], s[3]) && !snap_before(s[3], s[0]));
	assert_int_equal(snap_next_diff(s[0], s[1], 1, PAGES), 2);
	assert_int_equal(snap_next_diff(s[3], NULL, 0, PAGES), 12);
	assert_int_equal(snap_drop(s[1]), 0); /* what the first lacks goes there */
	assert_int_equal(was(s[0], 2), 3);
	assert_int_equal(was(s[2], 3), 104);
	assert_int_equal(snap_drop(s[3]), 0);
	assert_int_equal(was(s[2], 12), 113);
	assert_int_equal(snap_drop(s[0]), 0);
	assert_int_equal(was(s[2], 12), 113);
	assert_int_equal(snap_drop(s[2]), 0);
	close_rig();
}

static void a_snapshot_is_read_in_place(void **state)
{
	open_range();
	put(0, 1);
	put(1, 2);
	struct snap *s = take(0, PAGES);
	vaddr_t base = snap_base(s);
	uint8_t byte = 9;
	struct fault_report rep;

	put(1, 3);
	put(5, 4);
	assert_int_equal(peek(base + 77), 1);
	assert_int_equal(peek(base + PAGE_SIZE + 77), 2);
	assert_int_equal(peek(base + 5 * PAGE_SIZE + 77), 0);
	assert_int_equal(peek(base + 9 * PAGE_SIZE + 77), 0);
	assert_int_equal(touch(&rig, TK, base, PT_W, &byte, &rep), FAULT_SIGNAL);
	put(0, 30); /* the reader's copy becomes the saved one */
	assert_int_equal(peek(base + 77), 1);
	mm_lock(MM);
	reclaim_range(MM, base, base + PAGES * PAGE_SIZE);
	mm_unlock(MM);
	assert_int_equal(peek(base + 77), 1);
	assert_int_equal(peek(base + PAGE_SIZE + 77), 2);
	assert_int_equal(peek(base + 5 * PAGE_SIZE + 77), 0);
	snap_check(MM, AT(0));
	assert_int_equal(snap_next_diff(s, NULL, 6, PAGES), PAGES); /* reading is no change */
	assert_int_equal(snap_drop(s), 0);
	close_rig();
}

static void rolling_back_brings_it_all_again(void **state)
{
	open_range();
	put(0, 1);
	put(1, 2);
	struct snap *a = take(0, PAGES);

	put(0, 11);
	put(2, 12);
	struct snap *b = take(0, PAGES);

	put(1, 21);
	put(3, 22);
	assert_int_equal(snap_rollback(b, TK), 0);
	assert_int_equal(is(0), 11);
	assert_int_equal(is(1), 2);
	assert_int_equal(is(2), 12);
	assert_int_equal(is(3), 0);
	assert_int_equal(snap_next_diff(b, NULL, 0, PAGES), PAGES);
	put(0, 31);
	assert_int_equal(snap_rollback(a, TK), 0);
	assert_int_equal(is(0), 1);
	assert_int_equal(is(1), 2);
	assert_int_equal(is(2), 0);
	assert_int_equal(was(b, 0), 11);
	assert_int_equal(was(b, 2), 12);
	put(0, 41);
	assert_int_equal(was(a, 0), 1);
	assert_int_equal(was(b, 0), 11);
	assert_int_equal(snap_rollback(b, TK), 0);
	assert_int_equal(is(0), 11);
	snap_check(MM, AT(0));
	assert_int_equal(snap_drop(a), 0);
	assert_int_equal(snap_drop(b), 0);
	close_rig();
}

static void nonsense_is_refused(void **state)
{
	struct snap *s, *t;

	open_range();
	assert_int_equal(snap_take(MM, TK, AT(0), 0, &s), -EINVAL);
	assert_int_equal(snap_take(MM, TK, AT(0) + 1, PAGE_SIZE, &s), -EINVAL);
	assert_int_equal(snap_take(MM, TK, AT(PAGES - 1), 2 * PAGE_SIZE, &s), -EINVAL);
	put(0, 1);
	assert_int_equal(pin_user(MM, TK, AT(0), 10, true), 10);
	assert_int_equal(snap_take(MM, TK, AT(0), PAGES * PAGE_SIZE, &s), -EBUSY);
	unpin_user(MM, AT(0), 10);
	s = take(0, PAGES);
	assert_int_equal(snap_take(MM, TK, AT(0), PAGE_SIZE, &t), -EINVAL);
	assert_int_equal(pin_user(MM, TK, AT(0), 10, true), 10); /* a pin is a write */
	mm_lock(MM);
	assert_true(snap_written(s, 0) && !snap_written(s, 1));
	mm_unlock(MM);
	assert_int_equal(snap_rollback(s, TK), -EBUSY);
	unpin_user(MM, AT(0), 10);
	assert_int_equal(snap_rollback(s, TK), 0);
	assert_int_equal(snap_drop(s), 0);
	close_rig();
}

/* ---------------------------------------------------------------- all at random, against a model */

static uint64_t rnd_state;
static unsigned rnd(unsigned n)
{
	rnd_state = rnd_state * 6364136223846793005ull + 1442695040888963407ull;
	return (unsigned)(rnd_state >> 33) % n;
}

struct model {
	uint8_t now[PAGES];
	unsigned n;
	struct { struct snap *s; uint8_t was[PAGES]; } g[LINES];
};

static void check_all(struct model *m)
{
	snap_check(MM, AT(0));
	machine_check(rig.mc);
	for (unsigned i = 0; i < PAGES; i++) {
		for (unsigned k = 0; k < m->n; k++)
			assert_int_equal(was(m->g[k].s, i), m->g[k].was[i]);
		assert_int_equal(is(i), m->now[i]);
	}
}

static void check_diff(struct model *m, unsigned k, unsigned to)
{
	struct snap *s = m->g[k].s, *t = to < m->n ? m->g[to].s : NULL;
	const uint8_t *x = m->g[k].was, *y = t ? m->g[to].was : m->now;

	for (unsigned i = 0; i < PAGES; i++)
		if (x[i] != y[i])
			assert_int_equal(snap_next_diff(s, t, i, PAGES), i);
}

static void step(struct model *m)
{
	unsigned i = rnd(PAGES), k = m->n ? rnd(m->n) : 0;

	switch (rnd(20)) {
	case 0:
		if (m->n < LINES) {
			memcpy(m->g[m->n].was, m->now, PAGES);
			m->g[m->n++].s = take(0, PAGES);
		}
		break;
	case 1:
		if (m->n) {
			assert_int_equal(snap_drop(m->g[k].s), 0);
			memmove(&m->g[k], &m->g[k + 1], (--m->n - k) * sizeof(m->g[0]));
		}
		break;
	case 2:
		if (m->n && !rnd(3)) {
			assert_int_equal(snap_rollback(m->g[k].s, TK), 0);
			memcpy(m->now, m->g[k].was, PAGES);
		}
		break;
	case 3:
		evict();
		break;
	case 4:
		if (m->n)
			check_diff(m, k, k + 1 + rnd(m->n - k));
		break;
	case 5: case 6:
		if (m->n)
			assert_int_equal(peek(snap_base(m->g[k].s) + i * PAGE_SIZE + 77), m->g[k].was[i]);
		break;
	case 7: case 8:
		assert_int_equal(is(i), m->now[i]);
		break;
	default:
		put(i, m->now[i] = (uint8_t)rnd(256));
	}
}

static void many_steps_agree_with_a_model(void **state)
{
	struct model m = { .n = 0 };

	rnd_state = 12345;
	open_range();
	for (unsigned n = 0; n < 4000; n++) {
		step(&m);
		if (n % 100 == 0)
			check_all(&m);
	}
	while (m.n)
		assert_int_equal(snap_drop(m.g[--m.n].s), 0);
	close_rig();
}

/* ---------------------------------------------------------------- the k-th host call fails */

#define SOME 8u

static bool failed_once;
static void arm(uint64_t k)
{
	if (k)
		failed_once = false;
	else
		failed_once |= conf_face->soft ? soft_failed(rig.port) > 0 : host_call_has_failed();
	if (conf_face->soft)
		soft_fail(rig.port, k ? ~SOFT_OP(SOFT_RELEASE) : 0, k ? k - 1 : 0, 1, -ENOMEM);
	else
		fail_host_call(k, ENOMEM);
}

static bool try_put(uint64_t page, uint8_t byte)
{
	return touch(&rig, TK, AT(page) + 77, PT_W, &byte, NULL) == TOUCHED;
}

static void snapshot_is(struct snap *s)
{
	for (unsigned i = 0; i < SOME; i++)
		assert_int_equal(was(s, i), i < 6 ? i + 1 : 0);
}

/* Take, write, roll back, write, drop.  What fails is done again. */
static void go_through(uint64_t k)
{
	struct snap *s, *t = NULL;
	int err;

	arm(k);
	err = snap_take(MM, TK, AT(0), PAGES * PAGE_SIZE, &s);
	if (err) {
		arm(0);
		s = take(0, PAGES);
	}
	for (unsigned i = 0; i < SOME; i++)
		(void)try_put(i, (uint8_t)(100 + i));
	err = snap_take(MM, TK, AT(0), PAGES * PAGE_SIZE, &t);
	if (err) {
		arm(0);
		t = take(0, PAGES);
	}
	(void)try_put(0, 50);
	(void)try_put(1, 51);
	err = snap_rollback(s, TK);
	if (err) {
		arm(0);
		snapshot_is(s);
		assert_int_equal(snap_rollback(s, TK), 0);
	}
	if (snap_drop(t)) {
		arm(0);
		assert_int_equal(snap_drop(t), 0);
	}
	t = NULL;
	arm(0);
	snapshot_is(s);
	for (unsigned i = 0; i < SOME; i++)
		assert_int_equal(is(i), was(s, i));
	assert_int_equal(snap_drop(s), 0);
}

static void any_host_call_may_fail_under_snapshots(void **state)
{
	bool failed = true;

	for (uint64_t k = 1; failed && k < 2000; k++) {
		open_range();
		for (unsigned i = 0; i < 6; i++)
			put(i, (uint8_t)(i + 1));
		mm_lock(MM);
		reclaim_range(MM, AT(2), AT(4));
		mm_unlock(MM);
		go_through(k);
		failed = failed_once;
		close_rig();
	}
	assert_false(failed);
}

/* ---------------------------------------------------------------- while others write */

static volatile bool stop_writing;
static void *write_on(void *arg)
{
	struct task tk = { .tid = 2 };
	uint8_t v = 0;

	touch_thread_start(&tk);
	while (!stop_writing) {
		v++;
		for (unsigned i = 0; i < 16; i++)
			if (touch(&rig, &tk, AT(i) + 77, PT_W, &v, NULL) != TOUCHED)
				abort();
	}
	touch_thread_stop();
	return NULL;
}

/* One writer goes through the pages in order, so what was there is one value up to some page and the one before from there on. */
static void a_snapshot_is_of_one_instant(void **state)
{
	pthread_t t;

	open_range();
	stop_writing = false;
	assert_int_equal(pthread_create(&t, NULL, write_on, NULL), 0);
	for (unsigned round = 0; round < 100; round++) {
		struct snap *s = take(0, PAGES);
		unsigned steps = 0;
		uint8_t last = was(s, 0);

		for (unsigned i = 1; i < 16; i++) {
			uint8_t v = was(s, i);

			assert_true(v == last || (uint8_t)(v + 1) == last);
			steps += v != last;
			last = v;
		}
		assert_true(steps <= 1);
		assert_int_equal(snap_drop(s), 0);
	}
	stop_writing = true;
	pthread_join(t, NULL);
	close_rig();
}

int conf_snap_tests(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_snapshot_keeps_what_was_there),
		cmocka_unit_test(only_written_pages_are_copied),
		cmocka_unit_test(evicted_pages_are_kept_without_reading),
		cmocka_unit_test(generations_each_keep_their_own),
		cmocka_unit_test(a_snapshot_is_read_in_place),
		cmocka_unit_test(rolling_back_brings_it_all_again),
		cmocka_unit_test(nonsense_is_refused),
		cmocka_unit_test(many_steps_agree_with_a_model),
		cmocka_unit_test(any_host_call_may_fail_under_snapshots),
		cmocka_unit_test(a_snapshot_is_of_one_instant),
	};

	return cmocka_run_group_tests_name("snapshots", tests, NULL, NULL);
}
