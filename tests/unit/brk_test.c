/* SPDX-License-Identifier: MIT */
/* brk_test.c - the heap grows, shrinks, and answers with the old end when it cannot */
#include "harness.h"

static char c;

static void heap_at(struct rig *r, vaddr_t at) { r->mm->start_brk = r->mm->brk = at; }

static void brk_zero_asks_and_growth_maps_zeros(void **state)
{
	struct rig r;

	rig_open(&r);
	heap_at(&r, AT(0));
	assert_int_equal(do_brk(r.mm, 0), AT(0));
	assert_int_equal(do_brk(r.mm, AT(2) + 10), AT(2) + 10);
	assert_areas(&r, ROW, "www.");
	assert_zero_page(&r, AT(1));
	struct vm_area *v = rig_area(&r, AT(0));
	mm_lock(r.mm);
	assert_string_equal(vma_name(r.mm, v), "[heap]");
	mm_unlock(r.mm);
	rig_close(&r);
}

static void growth_joins_the_heap_to_one_area(void **state)
{
	struct rig r;

	rig_open(&r);
	heap_at(&r, AT(0) + 123);
	for (unsigned i = 1; i < 8; i++)
		assert_int_equal(do_brk(r.mm, AT(i)), AT(i));
	assert_int_equal(rig_areas(&r), 1);
	assert_areas(&r, AT(1), "wwwwww.");
	rig_close(&r);
}

static void shrinking_gives_up_the_pages(void **state)
{
	struct rig r;

	rig_open(&r);
	heap_at(&r, AT(0));
	do_brk(r.mm, AT(4));
	for (unsigned i = 0; i < 4; i++)
		stamp(&r, AT(i), i);
	assert_int_equal(do_brk(r.mm, AT(1) + 1), AT(1) + 1);
	assert_areas(&r, ROW, "ww..");
	assert_maperr(try_read(&r, AT(2), &c, 1), AT(2));
	assert_stamp(&r, AT(1), 1);
	assert_int_equal(do_brk(r.mm, AT(4)), AT(4));
	assert_zero_page(&r, AT(3));
	assert_int_equal(do_brk(r.mm, AT(0)), AT(0));
	assert_int_equal(rig_areas(&r), 0);
	rig_close(&r);
}

static void below_the_start_nothing_changes(void **state)
{
	struct rig r;

	rig_open(&r);
	heap_at(&r, AT(4));
	assert_int_equal(do_brk(r.mm, AT(6)), AT(6));
	assert_int_equal(do_brk(r.mm, AT(3)), AT(6));
	assert_areas(&r, AT(3), ".ww.");
	rig_close(&r);
}

static void growth_into_another_area_answers_the_old_end(void **state)
{
	struct rig r;

	rig_open(&r);
	heap_at(&r, AT(0));
	row_map(&r, AT(4), "r");
	assert_int_equal(do_brk(r.mm, AT(2)), AT(2));
	assert_int_equal(do_brk(r.mm, AT(5)), AT(2));
	assert_int_equal(do_brk(r.mm, AT(3)), AT(3));
	assert_areas(&r, ROW, "www.r");
	rig_close(&r);
}

/* row 35 */
static void limits_answer_the_old_end(void **state)
{
	struct rig r;

	rig_open(&r);
	heap_at(&r, AT(0));
	r.mm->limits.data = 3 * PAGE_SIZE;
	assert_int_equal(do_brk(r.mm, AT(3)), AT(3));
	assert_int_equal(do_brk(r.mm, AT(4)), AT(3));
	r.mm->limits.data = UINT64_MAX;
	r.mm->limits.as = 4 * PAGE_SIZE;
	assert_int_equal(do_brk(r.mm, AT(5)), AT(3));
	assert_int_equal(do_brk(r.mm, AT(4)), AT(4));
	rig_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(brk_zero_asks_and_growth_maps_zeros),
		cmocka_unit_test(growth_joins_the_heap_to_one_area),
		cmocka_unit_test(shrinking_gives_up_the_pages),
		cmocka_unit_test(below_the_start_nothing_changes),
		cmocka_unit_test(growth_into_another_area_answers_the_old_end),
		cmocka_unit_test(limits_answer_the_old_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
