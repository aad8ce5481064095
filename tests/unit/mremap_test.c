/* SPDX-License-Identifier: MIT */
/* mremap_test.c - areas that grow, shrink and move, with pages in every state */
#include "harness.h"

static char c;

/* Pages 0 visible, 1 hidden, 2 swapped, 3 never touched. */
static void map_mixed(struct rig *r)
{
	row_map(r, ROW, "wwww");
	for (unsigned i = 0; i < 3; i++)
		stamp(r, AT(i), i);
	hide_range(r, AT(1), 1);
	evict_range(r, AT(2), 1);
	assert_pages(r, ROW, "WHS.");
}

static void assert_mixed(struct rig *r, vaddr_t at)
{
	for (unsigned i = 0; i < 3; i++)
		assert_stamp(r, at + i * PAGE_SIZE, i);
	assert_zero_page(r, at + 3 * PAGE_SIZE);
}

static void grows_in_place_when_there_is_room(void **state)
{
	struct rig r;

	rig_open(&r, .fault_around = 1);
	map_mixed(&r);
	assert_int_equal(do_mremap(r.mm, ROW, 4 * PAGE_SIZE, 8 * PAGE_SIZE, 0, 0), ROW);
	assert_areas(&r, ROW, "wwwwwwww.");
	assert_mixed(&r, ROW);
	assert_zero_page(&r, AT(7));
	rig_close(&r);
}

static void shrinks_and_gives_up_the_rest(void **state)
{
	struct rig r;

	rig_open(&r, .fault_around = 1);
	map_mixed(&r);
	assert_int_equal(do_mremap(r.mm, ROW, 4 * PAGE_SIZE, PAGE_SIZE, 0, 0), ROW);
	assert_areas(&r, ROW, "w...");
	assert_stamp(&r, AT(0), 0);
	assert_maperr(try_read(&r, AT(1), &c, 1), AT(1));
	rig_close(&r);
}

static void without_maymove_a_blocked_growth_is_enomem(void **state)
{
	struct rig r;

	rig_open(&r, .fault_around = 1);
	map_mixed(&r);
	row_map(&r, AT(5), "r");
	assert_int_equal(do_mremap(r.mm, ROW, 4 * PAGE_SIZE, 8 * PAGE_SIZE, 0, 0), -ENOMEM);
	assert_areas(&r, ROW, "wwww.r");
	assert_mixed(&r, ROW);
	rig_close(&r);
}

static void moves_with_pages_in_every_state(void **state)
{
	struct rig r;

	rig_open(&r, .fault_around = 1);
	map_mixed(&r);
	row_map(&r, AT(4), "r");
	int64_t to = do_mremap(r.mm, ROW, 4 * PAGE_SIZE, 8 * PAGE_SIZE, MREMAP_MAYMOVE, 0);
	assert_true(to > 0 && to != ROW);
	assert_areas(&r, ROW, "....r");
	assert_areas(&r, to, "wwwwwwww");
	assert_pages(&r, to, "WHS.....");
	assert_mixed(&r, to);
	assert_maperr(try_read(&r, ROW, &c, 1), ROW);
	rig_close(&r);
}

static void fixed_move_replaces_what_is_there(void **state)
{
	struct rig r;

	rig_open(&r, .fault_around = 1);
	map_mixed(&r);
	row_map(&r, AT(16), "rrrrrr");
	peek_byte(&r, AT(17));
	assert_int_equal(do_mremap(r.mm, ROW, 4 * PAGE_SIZE, 4 * PAGE_SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, AT(17)), AT(17));
	assert_areas(&r, AT(16), "r|wwww|r");
	assert_areas(&r, ROW, "....");
	assert_mixed(&r, AT(17));
	rig_close(&r);
}

static void dontunmap_leaves_an_empty_area_behind(void **state)
{
	struct rig r;

	rig_open(&r, .fault_around = 1);
	map_mixed(&r);
	int64_t to = do_mremap(r.mm, ROW, 4 * PAGE_SIZE, 4 * PAGE_SIZE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, 0);
	assert_true(to > 0 && to != ROW);
	assert_mixed(&r, to);
	assert_areas(&r, ROW, "wwww");
	for (unsigned i = 0; i < 4; i++)
		assert_zero_page(&r, AT(i));
	rig_close(&r);
}

static void part_of_an_area_can_move(void **state)
{
	struct rig r;

	rig_open(&r);
	row_map(&r, ROW, "wwwwww");
	for (unsigned i = 0; i < 6; i++)
		stamp(&r, AT(i), i);
	assert_int_equal(do_mremap(r.mm, AT(2), 2 * PAGE_SIZE, 2 * PAGE_SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, AT(20)), AT(20));
	assert_areas(&r, ROW, "ww..ww");
	assert_stamp(&r, AT(20), 2);
	assert_stamp(&r, AT(21), 3);
	assert_stamp(&r, AT(4), 4);
	rig_close(&r);
}

static void moved_file_mapping_keeps_its_offset(void **state)
{
	struct rig r;

	rig_open(&r, .fault_around = 1);
	row_map(&r, ROW, "ffff");
	poke(&r, AT(1), 0xab);
	assert_int_equal(do_mremap(r.mm, AT(1), 2 * PAGE_SIZE, 2 * PAGE_SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, AT(20)), AT(20));
	assert_int_equal(peek_byte(&r, AT(20)), 0xab);
	assert_int_equal(peek_byte(&r, AT(20) + 1), fake_byte(PAGE_SIZE + 1));
	assert_file_page(&r, AT(21), 2);
	assert_file_page(&r, AT(3), 3);
	rig_close(&r);
}

static void moved_shared_mapping_still_is_the_file(void **state)
{
	struct rig r;
	unsigned char b;

	rig_open(&r);
	row_map(&r, ROW, "ssss");
	poke(&r, AT(2), 1);
	int64_t to = do_mremap(r.mm, ROW, 4 * PAGE_SIZE, 6 * PAGE_SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, AT(20));
	assert_int_equal(to, AT(20));
	assert_int_equal(peek_byte(&r, AT(22)), 1);
	poke(&r, AT(22), 2);
	poke(&r, AT(25), 3);
	soft_object_read(r.port, r.file->f.fd, &b, 1, 2 * PAGE_SIZE);
	assert_int_equal(b, 2);
	soft_object_read(r.port, r.file->f.fd, &b, 1, 5 * PAGE_SIZE);
	assert_int_equal(b, 3);
	rig_close(&r);
}

static void bad_arguments_are_refused_as_linux_does(void **state)
{
	struct rig r;

	rig_open(&r);
	row_map(&r, ROW, "ww|rr.w");
	assert_int_equal(do_mremap(r.mm, ROW + 1, PAGE_SIZE, PAGE_SIZE, 0, 0), -EINVAL);
	assert_int_equal(do_mremap(r.mm, ROW, PAGE_SIZE, 0, 0, 0), -EINVAL);
	assert_int_equal(do_mremap(r.mm, ROW, PAGE_SIZE, PAGE_SIZE, MREMAP_FIXED, AT(20)), -EINVAL);
	assert_int_equal(do_mremap(r.mm, ROW, PAGE_SIZE, PAGE_SIZE, 0x100, 0), -EINVAL);
	assert_int_equal(do_mremap(r.mm, ROW, 2 * PAGE_SIZE, 2 * PAGE_SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, AT(1)), -EINVAL);
	assert_int_equal(do_mremap(r.mm, ROW, 2 * PAGE_SIZE, PAGE_SIZE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, 0), -EINVAL);
	assert_int_equal(do_mremap(r.mm, AT(4), PAGE_SIZE, 2 * PAGE_SIZE, MREMAP_MAYMOVE, 0), -EFAULT);
	assert_int_equal(do_mremap(r.mm, AT(1), 3 * PAGE_SIZE, 5 * PAGE_SIZE, MREMAP_MAYMOVE, 0), -EFAULT); /* two areas */
	assert_areas(&r, ROW, "ww|rr.w");
	rig_close(&r);
}

/* row 35 */
static void growth_obeys_the_limits(void **state)
{
	struct rig r;

	rig_open(&r);
	row_map(&r, ROW, "ww");
	r.mm->limits.as = 3 * PAGE_SIZE;
	assert_int_equal(do_mremap(r.mm, ROW, 2 * PAGE_SIZE, 4 * PAGE_SIZE, MREMAP_MAYMOVE, 0), -ENOMEM);
	assert_int_equal(do_mremap(r.mm, ROW, 2 * PAGE_SIZE, 3 * PAGE_SIZE, MREMAP_MAYMOVE, 0), ROW);
	rig_close(&r);
}

static void the_port_fails_to_move_and_nothing_has_changed(void **state)
{
	struct rig r;

	rig_open(&r, .fault_around = 1);
	map_mixed(&r);
	soft_fail(r.port, SOFT_OP(SOFT_MOVE) | SOFT_OP(SOFT_RESERVE), 0, UINT64_MAX, ENOMEM);
	int64_t got = do_mremap(r.mm, ROW, 4 * PAGE_SIZE, 4 * PAGE_SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, AT(20));
	assert_int_equal(got, -ENOMEM);
	soft_fail(r.port, 0, 0, 0, 0);
	assert_areas(&r, ROW, "wwww");
	assert_mixed(&r, ROW);
	rig_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(grows_in_place_when_there_is_room),
		cmocka_unit_test(shrinks_and_gives_up_the_rest),
		cmocka_unit_test(without_maymove_a_blocked_growth_is_enomem),
		cmocka_unit_test(moves_with_pages_in_every_state),
		cmocka_unit_test(fixed_move_replaces_what_is_there),
		cmocka_unit_test(dontunmap_leaves_an_empty_area_behind),
		cmocka_unit_test(part_of_an_area_can_move),
		cmocka_unit_test(moved_file_mapping_keeps_its_offset),
		cmocka_unit_test(moved_shared_mapping_still_is_the_file),
		cmocka_unit_test(bad_arguments_are_refused_as_linux_does),
		cmocka_unit_test(growth_obeys_the_limits),
		cmocka_unit_test(the_port_fails_to_move_and_nothing_has_changed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
