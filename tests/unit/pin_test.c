/* SPDX-License-Identifier: MIT */
/* pin_test.c - memory that somebody else is about to touch */
#include "harness.h"

#define pin(r, page, pages, write) pin_user((r)->mm, &(r)->tk, AT(page), (pages) * PAGE_SIZE, write)
#define unpin(r, page, pages) unpin_user((r)->mm, AT(page), (pages) * PAGE_SIZE)

/* row 14: pages in every state are brought in */
static void pinning_brings_in_pages_of_every_state(void **state)
{
	struct rig r;

	rig_open(&r, .fault_around = 1);
	row_map(&r, ROW, "wwwwff");
	for (unsigned i = 0; i < 3; i++)
		stamp(&r, AT(i), i);
	hide_range(&r, AT(1), 1);
	evict_range(&r, AT(2), 1);
	assert_int_equal(pin(&r, 0, 6, true), 6 * PAGE_SIZE);
	assert_pages(&r, ROW, "WWWWWW");
	assert_int_equal(r.mc->pinned, 6);
	for (unsigned i = 0; i < 3; i++)
		assert_stamp(&r, AT(i), i);
	unpin(&r, 0, 6);
	assert_int_equal(r.mc->pinned, 0);
	rig_close(&r);
}

static void pinned_pages_are_neither_hidden_nor_evicted(void **state)
{
	struct rig r;

	rig_open(&r, .bound = 64);
	assert_int_equal(map_anon(&r, ROW, 400, PROT_READ | PROT_WRITE, 0), ROW);
	for (unsigned i = 0; i < 8; i++)
		stamp(&r, AT(i), i);
	assert_int_equal(pin(&r, 0, 8, true), 8 * PAGE_SIZE);
	for (unsigned i = 8; i < 400; i++)
		stamp(&r, AT(i), i);
	evict_range(&r, ROW, 8);
	assert_pages(&r, ROW, "WWWWWWWW");
	unpin(&r, 0, 8);
	evict_range(&r, ROW, 8);
	assert_pages(&r, ROW, "SSSSSSSS");
	rig_close(&r);
}

static void pinned_clean_pages_are_not_dropped(void **state)
{
	struct rig r;

	rig_open(&r, .fault_around = 1);
	row_map(&r, ROW, "FFww");
	assert_int_equal(pin(&r, 0, 3, false), 3 * PAGE_SIZE);
	evict_range(&r, ROW, 4);
	evict(&r, 10);
	assert_pages(&r, ROW, "RRR.");
	unpin(&r, 0, 3);
	evict_range(&r, ROW, 4);
	assert_pages(&r, ROW, "....");
	rig_close(&r);
}

static void pins_nest(void **state)
{
	struct rig r;

	rig_open(&r);
	row_map(&r, ROW, "wwww");
	assert_int_equal(pin(&r, 0, 3, true), 3 * PAGE_SIZE);
	assert_int_equal(pin(&r, 1, 3, true), 3 * PAGE_SIZE);
	assert_int_equal(r.mc->pinned, 4);
	unpin(&r, 0, 3);
	assert_int_equal(r.mc->pinned, 3);
	evict_range(&r, ROW, 4);
	assert_true(rig_pte(&r, AT(1)) & PTE_PRESENT);
	unpin(&r, 1, 3);
	assert_int_equal(r.mc->pinned, 0);
	rig_close(&r);
}

/* row 18 */
static void good_bytes_before_a_bad_page_are_counted_to_the_byte(void **state)
{
	struct rig r;
	uint64_t got;

	rig_open(&r);
	row_map(&r, ROW, "wwr.");
	got = (uint64_t)pin_user(r.mm, &r.tk, AT(0) + 100, 3 * PAGE_SIZE, true);
	assert_int_equal(got, 2 * PAGE_SIZE - 100);
	unpin_user(r.mm, AT(0) + 100, got);
	assert_int_equal(pin_user(r.mm, &r.tk, AT(2), 10, true), -EFAULT);
	assert_int_equal(pin_user(r.mm, &r.tk, AT(3) + 1, 1, false), -EFAULT);
	assert_int_equal(pin_user(r.mm, &r.tk, RIG_TASK_SIZE - 1, 2, false), -EFAULT);
	assert_int_equal(r.mc->pinned, 0);
	rig_close(&r);
}

/* row 18 */
static void page_beyond_eof_is_a_bad_page(void **state)
{
	struct rig r;

	rig_open(&r);
	r.file_size = PAGE_SIZE + 1;
	row_map(&r, ROW, "FFF");
	assert_int_equal(pin(&r, 0, 3, false), 2 * PAGE_SIZE);
	unpin(&r, 0, 2);
	rig_close(&r);
}

static void more_than_the_bound_holds_is_cut_short_not_a_deadlock(void **state)
{
	struct rig r;

	rig_open(&r, .bound = 64);
	assert_int_equal(map_anon(&r, ROW, 400, PROT_READ | PROT_WRITE, 0), ROW);
	int64_t got = pin(&r, 0, 400, true);
	assert_true(got > 0 && got <= 64 * (int64_t)PAGE_SIZE);
	assert_true((uint64_t)got <= pin_limit(r.mc) * PAGE_SIZE);
	for (unsigned i = 100; i < 200; i++)
		stamp(&r, AT(i), i); /* the rest of the program still runs */
	unpin_user(r.mm, ROW, (uint64_t)got);
	assert_int_equal(r.mc->pinned, 0);
	rig_close(&r);
}

static void unmapped_page_loses_its_pin(void **state)
{
	struct rig r;

	rig_open(&r);
	row_map(&r, ROW, "www");
	assert_int_equal(pin(&r, 0, 3, true), 3 * PAGE_SIZE);
	assert_int_equal(do_munmap(r.mm, AT(1), PAGE_SIZE), 0);
	assert_int_equal(r.mc->pinned, 2);
	unpin(&r, 0, 3);
	assert_int_equal(r.mc->pinned, 0);
	rig_close(&r);
}

static void protection_of_a_pinned_page_changes_when_it_is_let_go(void **state)
{
	struct rig r;
	char c = 1;

	rig_open(&r);
	row_map(&r, ROW, "ww");
	stamp(&r, AT(0), 0);
	assert_int_equal(pin(&r, 0, 1, true), PAGE_SIZE);
	assert_int_equal(do_mprotect(r.mm, ROW, 2 * PAGE_SIZE, PROT_READ), 0);
	unpin(&r, 0, 1);
	assert_accerr(try_write(&r, AT(0), &c, 1), AT(0));
	assert_stamp(&r, AT(0), 0);
	rig_close(&r);
}

static void right_given_to_a_pinned_shared_page_counts_at_once(void **state)
{
	struct rig r;

	rig_open(&r);
	row_map(&r, ROW, "ss");
	assert_int_equal(pin(&r, 0, 1, true), PAGE_SIZE);
	assert_int_equal(do_mprotect(r.mm, ROW, 2 * PAGE_SIZE, PROT_EXEC), 0);
	assert_fixed(try_exec(&r, AT(0)));
	unpin(&r, 0, 1);
	char c = 1;
	assert_accerr(try_write(&r, AT(0), &c, 1), AT(0));
	rig_close(&r);
}

static void pin_for_reading_does_not_need_write(void **state)
{
	struct rig r;

	rig_open(&r);
	row_map(&r, ROW, "rF");
	assert_int_equal(pin(&r, 0, 2, false), 2 * PAGE_SIZE);
	assert_file_page(&r, AT(1), 1);
	unpin(&r, 0, 2);
	rig_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pinning_brings_in_pages_of_every_state),
		cmocka_unit_test(pinned_pages_are_neither_hidden_nor_evicted),
		cmocka_unit_test(pinned_clean_pages_are_not_dropped),
		cmocka_unit_test(pins_nest),
		cmocka_unit_test(good_bytes_before_a_bad_page_are_counted_to_the_byte),
		cmocka_unit_test(page_beyond_eof_is_a_bad_page),
		cmocka_unit_test(more_than_the_bound_holds_is_cut_short_not_a_deadlock),
		cmocka_unit_test(unmapped_page_loses_its_pin),
		cmocka_unit_test(protection_of_a_pinned_page_changes_when_it_is_let_go),
		cmocka_unit_test(right_given_to_a_pinned_shared_page_counts_at_once),
		cmocka_unit_test(pin_for_reading_does_not_need_write),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
