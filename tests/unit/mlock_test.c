/* SPDX-License-Identifier: MIT */
/* mlock_test.c - locked memory stays, and is limited */
#include "harness.h"

static void locked_pages_come_in_at_once_and_stay(void **state)
{
	struct rig r;

	rig_open(&r, .bound = 64);
	assert_int_equal(map_anon(&r, ROW, 300, PROT_READ | PROT_WRITE, 0), ROW);
	assert_int_equal(do_mlock(r.mm, &r.tk, ROW, 8 * PAGE_SIZE, 0), 0);
	assert_int_equal(r.mm->locked_vm, 8);
	assert_int_equal(r.mc->mlocked, 8);
	for (unsigned i = 0; i < 300; i++)
		stamp(&r, AT(i), i);
	for (unsigned i = 0; i < 8; i++)
		assert_true(rig_pte(&r, AT(i)) & PTE_PRESENT);
	uint64_t major = r.tk.maj_flt;
	for (unsigned i = 0; i < 8; i++)
		assert_stamp(&r, AT(i), i);
	assert_int_equal(r.tk.maj_flt, major);
	evict_range(&r, ROW, 8);
	assert_true(rig_pte(&r, AT(0)) & PTE_PRESENT);
	rig_close(&r);
}

static void mlock_splits_and_munlock_merges(void **state)
{
	struct rig r;

	rig_open(&r);
	row_map(&r, ROW, "wwww");
	assert_int_equal(do_mlock(r.mm, &r.tk, AT(1) + 5, 10, 0), 0); /* rounded to its page */
	assert_areas(&r, ROW, "w|w|ww");
	assert_int_equal(r.mm->locked_vm, 1);
	assert_int_equal(do_munlock(r.mm, AT(0), 4 * PAGE_SIZE), 0);
	assert_areas(&r, ROW, "wwww");
	assert_int_equal(r.mm->locked_vm, 0);
	assert_int_equal(r.mc->mlocked, 0);
	rig_close(&r);
}

static void memlock_limit_is_enomem(void **state)
{
	struct rig r;

	rig_open(&r);
	row_map(&r, ROW, "wwwwwwww");
	r.mm->limits.memlock = 4 * PAGE_SIZE;
	assert_int_equal(do_mlock(r.mm, &r.tk, ROW, 5 * PAGE_SIZE, 0), -ENOMEM);
	assert_int_equal(do_mlock(r.mm, &r.tk, ROW, 4 * PAGE_SIZE, 0), 0);
	assert_int_equal(do_mlock(r.mm, &r.tk, ROW, 4 * PAGE_SIZE, 0), 0); /* again: nothing more is locked */
	assert_int_equal(do_mlock(r.mm, &r.tk, AT(4), PAGE_SIZE, 0), -ENOMEM);
	assert_int_equal(r.mm->locked_vm, 4);
	rig_close(&r);
}

static void zero_memlock_limit_is_eperm(void **state)
{
	struct rig r;

	rig_open(&r);
	row_map(&r, ROW, "w");
	r.mm->limits.memlock = 0;
	assert_int_equal(do_mlock(r.mm, &r.tk, ROW, PAGE_SIZE, 0), -EPERM);
	rig_close(&r);
}

static void mlock_over_a_hole_is_enomem(void **state)
{
	struct rig r;

	rig_open(&r);
	row_map(&r, ROW, "w.w");
	assert_int_equal(do_mlock(r.mm, &r.tk, ROW, 3 * PAGE_SIZE, 0), -ENOMEM);
	assert_int_equal(do_munlock(r.mm, ROW, 3 * PAGE_SIZE), -ENOMEM);
	rig_close(&r);
}

static void lock_on_fault_waits_for_the_touch(void **state)
{
	struct rig r;

	rig_open(&r, .fault_around = 1);
	row_map(&r, ROW, "ww");
	assert_int_equal(do_mlock(r.mm, &r.tk, ROW, 2 * PAGE_SIZE, MLOCK_ONFAULT), 0);
	assert_pages(&r, ROW, "..");
	stamp(&r, AT(0), 1);
	evict_range(&r, ROW, 2);
	assert_true(rig_pte(&r, AT(0)) & PTE_PRESENT);
	rig_close(&r);
}

static void swapped_pages_come_in_when_locked(void **state)
{
	struct rig r;

	rig_open(&r, .fault_around = 1);
	row_map(&r, ROW, "www");
	for (unsigned i = 0; i < 3; i++)
		stamp(&r, AT(i), i);
	evict_range(&r, AT(1), 1);
	hide_range(&r, AT(2), 1);
	assert_int_equal(do_mlock(r.mm, &r.tk, ROW, 3 * PAGE_SIZE, 0), 0);
	assert_pages(&r, ROW, "WWW");
	assert_int_equal(r.mc->mlocked, 3);
	for (unsigned i = 0; i < 3; i++)
		assert_stamp(&r, AT(i), i);
	rig_close(&r);
}

static void mlockall_covers_what_is_and_what_will_be(void **state)
{
	struct rig r;

	rig_open(&r);
	row_map(&r, ROW, "ww.r");
	assert_int_equal(do_mlockall(r.mm, &r.tk, MCL_CURRENT), 0);
	assert_int_equal(r.mm->locked_vm, 3);
	row_map(&r, AT(8), "w");
	assert_int_equal(r.mm->locked_vm, 3);
	assert_int_equal(do_mlockall(r.mm, &r.tk, MCL_CURRENT | MCL_FUTURE), 0);
	assert_int_equal(r.mm->locked_vm, 4);
	row_map(&r, AT(16), "ww");
	assert_int_equal(r.mm->locked_vm, 6);
	assert_pages(&r, AT(16), "WW");
	assert_int_equal(do_munlockall(r.mm), 0);
	assert_int_equal(r.mm->locked_vm, 0);
	assert_int_equal(r.mc->mlocked, 0);
	row_map(&r, AT(24), "w");
	assert_int_equal(r.mm->locked_vm, 0);
	assert_int_equal(do_mlockall(r.mm, &r.tk, 0), -EINVAL);
	rig_close(&r);
}

static void map_locked_is_locked_from_the_start(void **state)
{
	struct rig r;

	rig_open(&r);
	assert_int_equal(map_anon(&r, ROW, 2, PROT_READ | PROT_WRITE, MAP_LOCKED), ROW);
	assert_int_equal(r.mm->locked_vm, 2);
	assert_pages(&r, ROW, "WW");
	assert_int_equal(do_munmap(r.mm, AT(0), PAGE_SIZE), 0);
	assert_int_equal(r.mm->locked_vm, 1);
	assert_int_equal(r.mc->mlocked, 1);
	rig_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(locked_pages_come_in_at_once_and_stay),
		cmocka_unit_test(mlock_splits_and_munlock_merges),
		cmocka_unit_test(memlock_limit_is_enomem),
		cmocka_unit_test(zero_memlock_limit_is_eperm),
		cmocka_unit_test(mlock_over_a_hole_is_enomem),
		cmocka_unit_test(lock_on_fault_waits_for_the_touch),
		cmocka_unit_test(swapped_pages_come_in_when_locked),
		cmocka_unit_test(mlockall_covers_what_is_and_what_will_be),
		cmocka_unit_test(map_locked_is_locked_from_the_start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
