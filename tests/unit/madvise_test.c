/* SPDX-License-Identifier: MIT */
/* madvise_test.c - advice about ranges, and mincore */
#include "harness.h"

static int64_t advise(struct rig *r, unsigned page, unsigned pages, int advice)
{
	return do_madvise(r->mm, &r->tk, AT(page), pages * PAGE_SIZE, advice);
}

static void dontneed_gives_zeros_and_file_contents_again(void **state)
{
	struct rig r;

	rig_open(&r, .fault_around = 1);
	row_map(&r, ROW, "wwwwff");
	for (unsigned i = 0; i < 6; i++)
		stamp(&r, AT(i), i);
	evict_range(&r, AT(1), 1);
	hide_range(&r, AT(2), 1);
	assert_int_equal(advise(&r, 0, 3, MADV_DONTNEED), 0);
	assert_int_equal(advise(&r, 5, 1, MADV_DONTNEED), 0);
	assert_pages(&r, ROW, "...WW.");
	for (unsigned i = 0; i < 3; i++)
		assert_zero_page(&r, AT(i));
	assert_stamp(&r, AT(3), 3);
	assert_stamp(&r, AT(4), 4);
	assert_file_page(&r, AT(5), 5);
	rig_close(&r);
}

static void dontneed_of_a_shared_mapping_loses_nothing(void **state)
{
	struct rig r;

	rig_open(&r);
	row_map(&r, ROW, "ss");
	stamp(&r, AT(0), 3);
	assert_int_equal(advise(&r, 0, 2, MADV_DONTNEED), 0);
	assert_stamp(&r, AT(0), 3);
	rig_close(&r);
}

static void dontneed_of_locked_memory_is_einval(void **state)
{
	struct rig r;

	rig_open(&r);
	row_map(&r, ROW, "ww");
	stamp(&r, AT(0), 1);
	assert_int_equal(do_mlock(r.mm, &r.tk, AT(0), PAGE_SIZE, 0), 0);
	assert_int_equal(advise(&r, 0, 1, MADV_DONTNEED), -EINVAL);
	assert_int_equal(advise(&r, 0, 1, MADV_FREE), -EINVAL);
	assert_int_equal(advise(&r, 0, 1, MADV_COLD), -EINVAL);
	assert_int_equal(advise(&r, 0, 1, MADV_PAGEOUT), -EINVAL);
	assert_stamp(&r, AT(0), 1);
	rig_close(&r);
}

static void freed_page_may_vanish_until_it_is_written_again(void **state)
{
	struct rig r;

	rig_open(&r, .fault_around = 1);
	row_map(&r, ROW, "www");
	for (unsigned i = 0; i < 3; i++)
		stamp(&r, AT(i), i);
	assert_int_equal(advise(&r, 0, 3, MADV_FREE), 0);
	assert_stamp(&r, AT(0), 0); /* nobody wants the memory yet */
	stamp(&r, AT(1), 11);
	uint64_t written = r.store.pages_written;
	evict_range(&r, ROW, 3);
	assert_stamp(&r, AT(1), 11);
	assert_zero_page(&r, AT(0));
	assert_zero_page(&r, AT(2));
	assert_int_equal(r.store.pages_written, written + 1);
	rig_close(&r);
}

static void freed_swapped_page_is_zero_at_once(void **state)
{
	struct rig r;

	rig_open(&r, .fault_around = 1);
	row_map(&r, ROW, "w");
	stamp(&r, AT(0), 1);
	evict_range(&r, ROW, 1);
	assert_int_equal(advise(&r, 0, 1, MADV_FREE), 0);
	assert_int_equal(swap_used(r.mc), 0);
	assert_zero_page(&r, AT(0));
	rig_close(&r);
}

static void sequential_and_random_advice_change_what_comes_along(void **state)
{
	struct rig r;

	rig_open(&r);
	assert_int_equal(do_mmap(r.mm, ROW, 64 * PAGE_SIZE, PROT_READ, MAP_PRIVATE | MAP_FIXED, &rig_file(&r)->f, PT_R, 0), ROW);
	assert_int_equal(advise(&r, 0, 32, MADV_SEQUENTIAL), 0);
	assert_int_equal(advise(&r, 32, 32, MADV_RANDOM), 0);
	assert_file_page(&r, AT(3), 3);
	assert_true(rig_resident(&r) > 4);
	uint64_t before = rig_resident(&r);
	assert_file_page(&r, AT(40), 40);
	assert_int_equal(rig_resident(&r), before + 1);
	rig_close(&r);
}

static void free_is_for_private_anonymous_memory_only(void **state)
{
	struct rig r;

	rig_open(&r);
	row_map(&r, ROW, "sf");
	assert_int_equal(advise(&r, 0, 1, MADV_FREE), -EINVAL);
	assert_int_equal(advise(&r, 1, 1, MADV_FREE), -EINVAL);
	rig_close(&r);
}

static void pageout_evicts_and_cold_keeps(void **state)
{
	struct rig r;

	rig_open(&r, .fault_around = 1);
	row_map(&r, ROW, "wwFs");
	stamp(&r, AT(0), 0);
	stamp(&r, AT(1), 1);
	assert_file_page(&r, AT(2), 2);
	assert_int_equal(advise(&r, 0, 2, MADV_COLD), 0);
	assert_stamp(&r, AT(1), 1);
	assert_int_equal(advise(&r, 0, 3, MADV_PAGEOUT), 0);
	assert_pages(&r, ROW, "SS..");
	assert_stamp(&r, AT(0), 0);
	assert_stamp(&r, AT(1), 1);
	assert_file_page(&r, AT(2), 2);
	rig_close(&r);
}

static void cold_pages_go_first(void **state)
{
	struct rig r;
	unsigned gone = 0;

	rig_open(&r, .bound = 128, .fault_around = 1, .policy = "twolist");
	assert_int_equal(map_anon(&r, ROW, 128, PROT_READ | PROT_WRITE, 0), ROW);
	for (unsigned i = 0; i < 100; i++)
		stamp(&r, AT(i), i);
	assert_int_equal(advise(&r, 90, 8, MADV_COLD), 0);
	evict(&r, 28 + 8);
	for (unsigned i = 90; i < 98; i++)
		gone += rig_pte(&r, AT(i)) & PTE_SWAP ? 1 : 0;
	assert_int_equal(gone, 8);
	rig_close(&r);
}

static void willneed_brings_swapped_pages_in(void **state)
{
	struct rig r;

	rig_open(&r, .fault_around = 1);
	row_map(&r, ROW, "wwwwFFFF");
	for (unsigned i = 0; i < 4; i++)
		stamp(&r, AT(i), i);
	evict_range(&r, ROW, 4);
	assert_int_equal(advise(&r, 0, 8, MADV_WILLNEED), 0);
	rig_check(&r);
	for (unsigned i = 0; i < 4; i++)
		assert_stamp(&r, AT(i), i);
	for (unsigned i = 4; i < 8; i++)
		assert_file_page(&r, AT(i), i);
	rig_close(&r);
}

static void populate_read_and_write_fault_pages_in(void **state)
{
	struct rig r;

	rig_open(&r, .fault_around = 1);
	row_map(&r, ROW, "wwwwrr");
	assert_int_equal(advise(&r, 0, 2, MADV_POPULATE_READ), 0);
	assert_int_equal(advise(&r, 2, 2, MADV_POPULATE_WRITE), 0);
	assert_pages(&r, ROW, "RRWW..");
	assert_int_equal(advise(&r, 4, 2, MADV_POPULATE_WRITE), -EINVAL);
	assert_int_equal(advise(&r, 5, 2, MADV_POPULATE_READ), -ENOMEM);
	rig_close(&r);
}

static void populate_beyond_eof_is_efault(void **state)
{
	struct rig r;

	rig_open(&r);
	r.file_size = PAGE_SIZE;
	row_map(&r, ROW, "FF");
	assert_int_equal(advise(&r, 0, 2, MADV_POPULATE_READ), -EFAULT);
	rig_close(&r);
}

static void advice_is_checked(void **state)
{
	struct rig r;

	rig_open(&r);
	row_map(&r, ROW, "ww.w");
	assert_int_equal(do_madvise(r.mm, &r.tk, AT(0) + 1, PAGE_SIZE, MADV_NORMAL), -EINVAL);
	assert_int_equal(advise(&r, 0, 1, 12345), -EINVAL);
	assert_int_equal(do_madvise(r.mm, &r.tk, AT(0), 0, MADV_DONTNEED), 0);
	stamp(&r, AT(3), 3);
	assert_int_equal(advise(&r, 0, 4, MADV_DONTNEED), -ENOMEM); /* a hole, but the rest is done */
	assert_zero_page(&r, AT(3));
	rig_close(&r);
}

static void hints_set_flags_and_split_areas(void **state)
{
	struct rig r;

	rig_open(&r);
	row_map(&r, ROW, "wwww");
	assert_int_equal(advise(&r, 1, 1, MADV_RANDOM), 0);
	assert_areas(&r, ROW, "w|w|ww");
	assert_int_equal(advise(&r, 1, 1, MADV_NORMAL), 0);
	assert_areas(&r, ROW, "wwww");
	assert_int_equal(advise(&r, 0, 4, MADV_DONTFORK), 0);
	assert_int_equal(rig_area(&r, AT(0))->flags & VM_DONTFORK, VM_DONTFORK);
	assert_int_equal(advise(&r, 0, 4, MADV_DOFORK), 0);
	assert_int_equal(advise(&r, 0, 4, MADV_WIPEONFORK), 0);
	assert_int_equal(rig_area(&r, AT(0))->flags & VM_WIPEONFORK, VM_WIPEONFORK);
	assert_int_equal(advise(&r, 0, 4, MADV_KEEPONFORK), 0);
	rig_close(&r);
}

static void mincore_tells_what_is_in_memory(void **state)
{
	struct rig r;
	unsigned char vec[8];

	rig_open(&r, .fault_around = 1);
	row_map(&r, ROW, "wwww");
	for (unsigned i = 0; i < 3; i++)
		stamp(&r, AT(i), i);
	evict_range(&r, AT(1), 1);
	hide_range(&r, AT(2), 1);
	memset(vec, 0x55, sizeof(vec));
	assert_int_equal(do_mincore(r.mm, ROW, 4 * PAGE_SIZE, vec), 0);
	assert_int_equal(vec[0] & 1, 1);
	assert_int_equal(vec[1] & 1, 0);
	assert_int_equal(vec[2] & 1, 1);
	assert_int_equal(vec[3] & 1, 0);
	assert_int_equal(vec[4], 0x55);
	assert_int_equal(do_mincore(r.mm, AT(2), 4 * PAGE_SIZE, vec), -ENOMEM);
	assert_int_equal(do_mincore(r.mm, AT(2) + 1, PAGE_SIZE, vec), -EINVAL);
	rig_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dontneed_gives_zeros_and_file_contents_again),
		cmocka_unit_test(dontneed_of_a_shared_mapping_loses_nothing),
		cmocka_unit_test(dontneed_of_locked_memory_is_einval),
		cmocka_unit_test(freed_page_may_vanish_until_it_is_written_again),
		cmocka_unit_test(freed_swapped_page_is_zero_at_once),
		cmocka_unit_test(sequential_and_random_advice_change_what_comes_along),
		cmocka_unit_test(free_is_for_private_anonymous_memory_only),
		cmocka_unit_test(pageout_evicts_and_cold_keeps),
		cmocka_unit_test(cold_pages_go_first),
		cmocka_unit_test(willneed_brings_swapped_pages_in),
		cmocka_unit_test(populate_read_and_write_fault_pages_in),
		cmocka_unit_test(populate_beyond_eof_is_efault),
		cmocka_unit_test(advice_is_checked),
		cmocka_unit_test(hints_set_flags_and_split_areas),
		cmocka_unit_test(mincore_tells_what_is_in_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
