/* SPDX-License-Identifier: MIT */
/* wp_test.c - first writes to pages that are visible but write-protected (do_wp_page) */
#include "harness.h"

static char c = 1;

/* row 25 */
static void write_to_the_zero_page_makes_it_a_page_of_its_own(void **state)
{
	struct rig r;

	rig_open(&r, .fault_around = 1);
	row_map(&r, ROW, "ww");
	peek_byte(&r, AT(0));
	peek_byte(&r, AT(1));
	assert_pages(&r, ROW, "RR");
	poke(&r, AT(0), 7);
	assert_pages(&r, ROW, "WR");
	assert_int_equal(faults(&r, FK_COW), 1);
	assert_zero_page(&r, AT(1));
	rig_close(&r);
}

/* row 25: sole owner is reused in place */
static void sole_owner_is_reused_in_place(void **state)
{
	struct rig r;

	rig_open(&r, .fault_around = 1);
	row_map(&r, ROW, "w");
	stamp(&r, AT(0), 1);
	assert_int_equal(do_mprotect(r.mm, AT(0), PAGE_SIZE, PROT_READ), 0);
	assert_int_equal(do_mprotect(r.mm, AT(0), PAGE_SIZE, PROT_READ | PROT_WRITE), 0);
	uint64_t used = r.mc->used;
	pte_t before = rig_pte(&r, AT(0));
	poke(&r, AT(0) + 8, 0);
	assert_int_equal(r.mc->used, used);
	assert_int_equal(rig_pte(&r, AT(0)), before);
	assert_pages(&r, ROW, "W");
	assert_int_equal(r.mc->stats->cow_copied, 0);
	rig_close(&r);
}

/* row 25 */
static void write_to_a_clean_file_page_makes_it_private(void **state)
{
	struct rig r;

	rig_open(&r, .fault_around = 1);
	row_map(&r, ROW, "f");
	assert_file_page(&r, AT(0), 0);
	assert_int_equal(r.mm->rss_file, 1);
	poke(&r, AT(0) + 3, 0x77);
	assert_int_equal(r.mm->rss_file, 0);
	assert_int_equal(r.mm->rss_anon, 1);
	assert_int_equal(faults(&r, FK_COW), 1);
	evict_range(&r, ROW, 1);
	assert_pages(&r, ROW, "S"); /* what was written cannot be had from the file again */
	assert_int_equal(peek_byte(&r, AT(0) + 3), 0x77);
	assert_int_equal(peek_byte(&r, AT(0) + 4), fake_byte(4));
	rig_close(&r);
}

/* row 25, row 26 */
static void write_after_swap_in_gives_up_the_stale_slot(void **state)
{
	struct rig r;

	rig_open(&r, .fault_around = 1);
	row_map(&r, ROW, "w");
	stamp(&r, AT(0), 1);
	evict_range(&r, ROW, 1);
	assert_stamp(&r, AT(0), 1); /* read: a clean copy may stay in the store */
	poke(&r, AT(0) + 100, 0x42);
	evict_range(&r, ROW, 1);
	assert_pages(&r, ROW, "S");
	assert_int_equal(peek_byte(&r, AT(0) + 100), 0x42);
	rig_close(&r);
}

static void write_to_a_hidden_page_needs_one_fault_only(void **state)
{
	struct rig r;

	rig_open(&r);
	row_map(&r, ROW, "w");
	stamp(&r, AT(0), 1);
	hide_range(&r, AT(0), 1);
	uint64_t before = r.tk.min_flt + r.tk.maj_flt;
	poke(&r, AT(0), 9);
	assert_int_equal(r.tk.min_flt + r.tk.maj_flt, before + 1);
	assert_pages(&r, ROW, "W");
	rig_close(&r);
}

/* row 10, row 25 */
static void write_to_a_visible_page_of_a_readonly_area_is_refused(void **state)
{
	struct rig r;

	rig_open(&r);
	row_map(&r, ROW, "w");
	stamp(&r, AT(0), 1);
	assert_int_equal(do_mprotect(r.mm, AT(0), PAGE_SIZE, PROT_READ), 0);
	assert_accerr(try_write(&r, AT(0) + 1, &c, 1), AT(0) + 1);
	assert_stamp(&r, AT(0), 1);
	rig_close(&r);
}

static void many_alternating_writes_keep_every_page_apart(void **state)
{
	struct rig r;

	rig_open(&r);
	row_map(&r, ROW, "wwwwwwwwwwwwwwwwffffffffffffffff");
	for (unsigned i = 0; i < 32; i++)
		peek_byte(&r, AT(i));
	for (unsigned i = 0; i < 32; i += 2)
		stamp(&r, AT(i), i);
	for (unsigned i = 0; i < 32; i++) {
		if (!(i & 1))
			assert_stamp(&r, AT(i), i);
		else if (i < 16)
			assert_zero_page(&r, AT(i));
		else
			assert_file_page(&r, AT(i), i);
	}
	rig_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(write_to_the_zero_page_makes_it_a_page_of_its_own),
		cmocka_unit_test(sole_owner_is_reused_in_place),
		cmocka_unit_test(write_to_a_clean_file_page_makes_it_private),
		cmocka_unit_test(write_after_swap_in_gives_up_the_stale_slot),
		cmocka_unit_test(write_to_a_hidden_page_needs_one_fault_only),
		cmocka_unit_test(write_to_a_visible_page_of_a_readonly_area_is_refused),
		cmocka_unit_test(many_alternating_writes_keep_every_page_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
