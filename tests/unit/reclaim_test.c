/* SPDX-License-Identifier: MIT */
/* reclaim_test.c - the bound is hard, victims are written out or dropped, and everything comes back */
#include "harness.h"

static uint64_t rnd(uint64_t *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 7;
	return *s ^= *s << 17;
}

/* row 27 */
static void working_set_larger_than_the_bound_survives(void **state)
{
	struct rig r;

	rig_open(&r, .bound = 64);
	assert_int_equal(map_anon(&r, ROW, 300, PROT_READ | PROT_WRITE, 0), ROW);
	for (unsigned i = 0; i < 300; i++)
		stamp(&r, AT(i), i);
	for (unsigned i = 300; i-- > 0;)
		assert_stamp(&r, AT(i), i);
	assert_true(rig_peak(&r) <= 64);
	assert_true(r.mc->stats->peak_resident <= 64);
	assert_true(r.mc->stats->swap_out >= 300 - 64);
	rig_close(&r);
}

static void bound_holds_at_every_step_under_random_load(void **state)
{
	struct rig r;
	uint64_t s = 88172645463325252ull, tag[256] = { 0 };

	rig_open(&r, .bound = 64, .fault_around = 16);
	assert_int_equal(map_anon(&r, ROW, 256, PROT_READ | PROT_WRITE, 0), ROW);
	for (unsigned i = 0; i < 6000; i++) {
		unsigned page = rnd(&s) % 256;

		if (rnd(&s) % 2) {
			tag[page] = i + 1;
			stamp(&r, AT(page), i + 1);
		} else {
			assert_int_equal(content(&r, AT(page), tag[page]), tag[page] ? HAS_TAG : HAS_ZEROS);
		}
		assert_true(rig_resident(&r) <= 64);
		if (i % 500 == 0)
			rig_check(&r);
	}
	assert_true(rig_peak(&r) <= 64);
	rig_close(&r);
}

/* row 27: clean one dropped */
static void clean_file_pages_are_dropped_without_a_write(void **state)
{
	struct rig r;

	rig_open(&r, .bound = 64);
	assert_int_equal(do_mmap(r.mm, ROW, 200 * PAGE_SIZE, PROT_READ, MAP_PRIVATE | MAP_FIXED, &rig_file(&r)->f, PT_R, 0), ROW);
	for (unsigned i = 0; i < 200; i++)
		assert_file_page(&r, AT(i), i);
	assert_int_equal(r.store.writes, 0);
	assert_true(r.mc->stats->pages_dropped >= 200 - 64);
	assert_file_page(&r, AT(0), 0);
	rig_close(&r);
}

static void shared_pages_are_dropped_and_come_back_from_the_file(void **state)
{
	struct rig r;

	rig_open(&r, .bound = 64);
	assert_int_equal(
		do_mmap(r.mm, ROW, 200 * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, &rig_file(&r)->f, PT_R | PT_W, 0), ROW);
	for (unsigned i = 0; i < 200; i++)
		stamp(&r, AT(i), i);
	assert_true(rig_peak(&r) <= 64);
	assert_int_equal(r.store.writes, 0);
	for (unsigned i = 0; i < 200; i++)
		assert_stamp(&r, AT(i), i);
	rig_close(&r);
}

/* row 27: written in batches */
static void victims_are_written_in_batches(void **state)
{
	struct rig r;

	rig_open(&r, .bound = 256);
	assert_int_equal(map_anon(&r, ROW, 1024, PROT_READ | PROT_WRITE, 0), ROW);
	for (unsigned i = 0; i < 1024; i++)
		stamp(&r, AT(i), i);
	assert_true(r.store.writes * 2 < r.store.pages_written);
	rig_close(&r);
}

static void pages_touched_again_and_again_stay(void **state)
{
	struct rig r;

	rig_open(&r, .bound = 128, .fault_around = 1);
	assert_int_equal(map_anon(&r, ROW, 1000, PROT_READ | PROT_WRITE, 0), ROW);
	uint64_t major = 0;
	for (unsigned i = 8; i < 1000; i++) {
		stamp(&r, AT(i), i);
		uint64_t before = r.tk.maj_flt;
		for (unsigned hot = 0; hot < 8; hot++)
			poke(&r, AT(hot), (unsigned char)i);
		major += r.tk.maj_flt - before;
	}
	assert_true(major < 100); /* of 7,936 touches */
	rig_close(&r);
}

static void hot_pages_come_back_by_soft_faults_not_by_io(void **state)
{
	struct rig r;

	rig_open(&r, .bound = 128, .policy = "twolist");
	assert_int_equal(map_anon(&r, ROW, 1000, PROT_READ | PROT_WRITE, 0), ROW);
	for (unsigned i = 8; i < 1000; i++) {
		stamp(&r, AT(i), i);
		poke(&r, AT(i % 8), 1);
	}
	assert_true(faults(&r, FK_SOFT) > 0);
	rig_close(&r);
}

/* What an instruction needs must all be there at once, whatever is read ahead and however few frames there are.  Faults of a loop over n pages. */
static uint64_t faults_of_few_frames(const char *policy, unsigned n, unsigned pinned)
{
	struct rig r;

	rig_open(&r, .bound = 64, .policy = policy, .fault_around = 8);
	row_map(&r, ROW, "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF");
	assert_int_equal(map_anon(&r, AT(100), 47, PROT_READ | PROT_WRITE, 0), AT(100));
	assert_int_equal(map_anon(&r, AT(200), pinned, PROT_READ | PROT_WRITE, 0), AT(200));
	assert_int_equal(do_mlock(r.mm, &r.tk, AT(100), 47 * PAGE_SIZE, 0), 0);
	assert_int_equal(pin_user(r.mm, &r.tk, AT(200), pinned * PAGE_SIZE, true), pinned * PAGE_SIZE);
	uint64_t before = r.tk.min_flt + r.tk.maj_flt;
	for (unsigned round = 0; round < 100; round++)
		for (unsigned i = 0; i < n; i++)
			assert_file_page(&r, AT(i * 8 + 3), i * 8 + 3);
	uint64_t took = r.tk.min_flt + r.tk.maj_flt - before;
	unpin_user(r.mm, AT(200), pinned * PAGE_SIZE);
	rig_close(&r);
	return took;
}

static void pages_needed_together_do_not_drive_each_other_out(void **state)
{
	static const char *const policies[] = { "fifo", "clock", "twolist" };

	for (unsigned p = 0; p < ARRAY_SIZE(policies); p++)
		for (unsigned n = 2; n <= 6; n++)
			for (unsigned frames = n + 1; frames <= 12; frames++)
				assert_in_range(faults_of_few_frames(policies[p], n, 17 - frames), n, 8 * n);
}

/* The same for a page in the store and one of a scan, while all the rest has been used more often. */
static void scan_leaves_the_page_just_read_back(void **state)
{
	struct rig r;

	rig_open(&r, .bound = 64, .policy = "twolist", .fault_around = 8);
	assert_int_equal(map_anon(&r, ROW, 300, PROT_READ | PROT_WRITE, 0), ROW);
	for (unsigned i = 0; i < 300; i++)
		stamp(&r, AT(i), i);
	for (unsigned round = 0; round < 20; round++)
		for (unsigned i = 100; i < 150; i++)
			assert_stamp(&r, AT(i), i);
	assert_int_equal(do_madvise(r.mm, &r.tk, AT(200), 100 * PAGE_SIZE, MADV_SEQUENTIAL), 0);
	r.mc->policy_state.share = 64; /* nothing is hidden */
	uint64_t before = r.tk.min_flt + r.tk.maj_flt;
	for (unsigned round = 0; round < 100; round++) {
		assert_stamp(&r, AT(7), 7);
		assert_stamp(&r, AT(203), 203);
	}
	assert_in_range(r.tk.min_flt + r.tk.maj_flt - before, 2, 16);
	rig_close(&r);
}

static void evicting_by_hand_frees_as_many_as_asked(void **state)
{
	struct rig r;

	rig_open(&r, .bound = 64);
	assert_int_equal(map_anon(&r, ROW, 64, PROT_READ | PROT_WRITE, 0), ROW);
	for (unsigned i = 0; i < 60; i++)
		stamp(&r, AT(i), i);
	uint64_t used = r.mc->used;
	unsigned n = evict(&r, 20);
	assert_true(n >= 16); /* four were free */
	assert_int_equal(r.mc->used, used - n);
	for (unsigned i = 0; i < 60; i++)
		assert_stamp(&r, AT(i), i);
	rig_close(&r);
}

static void reclaim_of_an_empty_machine_frees_nothing(void **state)
{
	struct rig r;

	rig_open(&r, .bound = 64);
	assert_int_equal(evict(&r, 64 + 1), 0);
	rig_close(&r);
}

static void bound_can_shrink_and_grow_in_use(void **state)
{
	struct rig r;

	rig_open(&r, .bound = 256);
	assert_int_equal(map_anon(&r, ROW, 256, PROT_READ | PROT_WRITE, 0), ROW);
	for (unsigned i = 0; i < 250; i++)
		stamp(&r, AT(i), i);
	assert_int_equal(machine_set_bound(r.mc, 80), 0);
	assert_true(rig_resident(&r) <= 80);
	assert_int_equal(r.mc->bound, 80);
	for (unsigned i = 0; i < 250; i++)
		assert_stamp(&r, AT(i), i);
	assert_true(rig_resident(&r) <= 80);
	assert_int_equal(machine_set_bound(r.mc, 300), 0);
	for (unsigned i = 0; i < 250; i++)
		assert_stamp(&r, AT(i), i);
	rig_close(&r);
}

static void bound_below_what_is_pinned_is_ebusy(void **state)
{
	struct rig r;

	rig_open(&r, .bound = 256);
	assert_int_equal(map_anon(&r, ROW, 128, PROT_READ | PROT_WRITE, 0), ROW);
	assert_int_equal(do_mlock(r.mm, &r.tk, AT(64), 40 * PAGE_SIZE, 0), 0);
	assert_int_equal(pin_user(r.mm, &r.tk, ROW, 40 * PAGE_SIZE, true), 40 * PAGE_SIZE);
	assert_int_equal(machine_set_bound(r.mc, 64), -EBUSY);
	assert_int_equal(r.mc->bound, 256);
	unpin_user(r.mm, ROW, 40 * PAGE_SIZE);
	assert_int_equal(machine_set_bound(r.mc, 64), 0);
	rig_close(&r);
}

static void bound_below_the_minimum_is_refused(void **state)
{
	struct port *p;
	struct machine *mc;

	soft_port_create(RIG_LO, RIG_TASK_SIZE, &p);
	struct machine_config c = {
		.port = p, .bound_pages = MACHINE_MIN_PAGES - 1, .mmap_min = RIG_LO, .task_size = RIG_TASK_SIZE, .mmap_base = RIG_MMAP_BASE
	};
	assert_int_equal(machine_create(&c, &mc), -EINVAL);
	assert_int_equal(soft_port_destroy(p), 0);
}

static void memory_of_the_store_counts_against_the_bound(void **state)
{
	struct rig r;

	rig_open(&r, .bound = 128);
	r.store.memory = 40 * PAGE_SIZE;
	assert_int_equal(map_anon(&r, ROW, 300, PROT_READ | PROT_WRITE, 0), ROW);
	for (unsigned i = 0; i < 300; i++)
		stamp(&r, AT(i), i);
	assert_true(rig_peak(&r) <= 128 - 40);
	for (unsigned i = 0; i < 300; i++)
		assert_stamp(&r, AT(i), i);
	rig_close(&r);
}

/* design, decision 4: the core can run with only a few pages visible at a time */
static void watching_keeps_few_pages_visible_and_sees_each_touch(void **state)
{
	struct rig r;

	rig_open(&r, .fault_around = 1);
	r.mc->watch = 4;
	assert_int_equal(map_anon(&r, ROW, 16, PROT_READ | PROT_WRITE, 0), ROW);
	for (unsigned i = 0; i < 16; i++)
		stamp(&r, AT(i), i);
	assert_true(rig_visible(&r) <= 4);
	uint64_t soft = faults(&r, FK_SOFT);
	for (unsigned i = 0; i < 16; i++)
		assert_stamp(&r, AT(i), i);
	assert_int_equal(faults(&r, FK_SOFT) - soft, 16);
	assert_int_equal(rig_resident(&r), 16);
	rig_close(&r);
}

static void port_that_refuses_to_hide_is_lived_with(void **state)
{
	struct rig r;

	rig_open(&r, .bound = 64);
	soft_fail(r.port, SOFT_OP(SOFT_HIDE), 0, 500, EAGAIN);
	assert_int_equal(map_anon(&r, ROW, 400, PROT_READ | PROT_WRITE, 0), ROW);
	unsigned good = 0;
	while (good < 400 && try_stamp(&r, AT(good), good).verdict == FAULT_FIXED)
		good++;
	assert_true(good >= 64);
	soft_fail(r.port, 0, 0, 0, 0);
	for (unsigned i = 0; i < good; i++)
		assert_stamp(&r, AT(i), i);
	assert_true(rig_peak(&r) <= 64);
	rig_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(working_set_larger_than_the_bound_survives),
		cmocka_unit_test(bound_holds_at_every_step_under_random_load),
		cmocka_unit_test(clean_file_pages_are_dropped_without_a_write),
		cmocka_unit_test(shared_pages_are_dropped_and_come_back_from_the_file),
		cmocka_unit_test(victims_are_written_in_batches),
		cmocka_unit_test(pages_touched_again_and_again_stay),
		cmocka_unit_test(hot_pages_come_back_by_soft_faults_not_by_io),
		cmocka_unit_test(pages_needed_together_do_not_drive_each_other_out),
		cmocka_unit_test(scan_leaves_the_page_just_read_back),
		cmocka_unit_test(evicting_by_hand_frees_as_many_as_asked),
		cmocka_unit_test(reclaim_of_an_empty_machine_frees_nothing),
		cmocka_unit_test(bound_can_shrink_and_grow_in_use),
		cmocka_unit_test(bound_below_what_is_pinned_is_ebusy),
		cmocka_unit_test(bound_below_the_minimum_is_refused),
		cmocka_unit_test(memory_of_the_store_counts_against_the_bound),
		cmocka_unit_test(watching_keeps_few_pages_visible_and_sees_each_touch),
		cmocka_unit_test(port_that_refuses_to_hide_is_lived_with),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
