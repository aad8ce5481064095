/* SPDX-License-Identifier: MIT */
/* policy_soft_test.c - every policy on a whole machine: nothing lost, the bound kept, and the differences they are made for */
#include "harness.h"

static const char *const all[] = { "fifo", "clock", "twolist" };

static uint64_t rnd(uint64_t *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 7;
	return *s ^= *s << 17;
}

/* row 27 */
static void every_policy_keeps_data_and_bound(void **state)
{
	for (unsigned p = 0; p < ARRAY_SIZE(all); p++) {
		struct rig r;
		uint64_t s = 4711, tag[200] = { 0 };

		rig_open(&r, .bound = 64, .policy = all[p]);
		assert_string_equal(r.mc->policy->name, all[p]);
		assert_int_equal(map_anon(&r, ROW, 200, PROT_READ | PROT_WRITE, 0), ROW);
		for (unsigned i = 1; i < 3000; i++) {
			unsigned page = rnd(&s) % (rnd(&s) % 3 ? 40 : 200);

			if (tag[page])
				assert_stamp(&r, AT(page), tag[page]);
			if (rnd(&s) % 2)
				stamp(&r, AT(page), tag[page] = i);
			if (i % 300 == 0)
				rig_check(&r);
		}
		assert_true(rig_peak(&r) <= 64);
		rig_close(&r);
	}
}

static void every_policy_survives_pins_locks_and_unmaps(void **state)
{
	for (unsigned p = 0; p < ARRAY_SIZE(all); p++) {
		struct rig r;
		uint64_t s = 99;

		rig_open(&r, .bound = 96, .policy = all[p]);
		assert_int_equal(map_anon(&r, ROW, 256, PROT_READ | PROT_WRITE, 0), ROW);
		assert_int_equal(do_mlock(r.mm, &r.tk, AT(3), 5 * PAGE_SIZE, 0), 0);
		for (unsigned i = 0; i < 400; i++) {
			unsigned page = rnd(&s) % 240;
			int64_t got = pin_user(r.mm, &r.tk, AT(page), 10 * PAGE_SIZE, true);

			assert_true(got > 0);
			poke(&r, AT(rnd(&s) % 256), 1);
			unpin_user(r.mm, AT(page), (uint64_t)got);
			if (i % 50 == 0) {
				assert_int_equal(do_madvise(r.mm, &r.tk, AT(16 + rnd(&s) % 200), 20 * PAGE_SIZE, MADV_DONTNEED), 0);
				rig_check(&r);
			}
		}
		rig_close(&r);
	}
}

/* Major faults of a loop over hot pages while cold ones stream by. */
static uint64_t hot_majors(const char *policy)
{
	struct rig r;
	uint64_t majors = 0;

	rig_open(&r, .bound = 128, .policy = policy, .fault_around = 1);
	assert_int_equal(map_anon(&r, ROW, 4096, PROT_READ | PROT_WRITE, 0), ROW);
	for (unsigned i = 64; i < 2000; i++) {
		poke(&r, AT(i), 1);
		uint64_t before = r.tk.maj_flt;
		poke(&r, AT(i * 7 % 12), 1);
		majors += r.tk.maj_flt - before;
	}
	rig_close(&r);
	return majors;
}

static void policies_that_see_references_keep_hot_pages(void **state)
{
	uint64_t fifo = hot_majors("fifo"), clock = hot_majors("clock"), twolist = hot_majors("twolist");

	assert_true(twolist < fifo);
	assert_true(clock <= fifo);
	assert_true(twolist < 200); /* of 1,936 touches */
}

static void unknown_names_are_null(void **state)
{
	assert_null(policy_find("lru-of-dreams"));
	assert_null(policy_find(""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_policy_keeps_data_and_bound),
		cmocka_unit_test(every_policy_survives_pins_locks_and_unmaps),
		cmocka_unit_test(policies_that_see_references_keep_hot_pages),
		cmocka_unit_test(unknown_names_are_null),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
