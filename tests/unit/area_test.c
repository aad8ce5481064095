/* SPDX-License-Identifier: MIT */
/* area_test.c - areas: list and tree, find with a cache, split and merge */
#include "harness.h"

#include <time.h>

static struct vm_area *find(struct rig *r, vaddr_t addr)
{
	mm_lock(r->mm);
	struct vm_area *v = find_vma(r->mm, &r->tk, addr);
	mm_unlock(r->mm);
	return v;
}

static struct vm_area *lookup(struct rig *r, vaddr_t addr)
{
	mm_lock(r->mm);
	struct vm_area *v = vma_lookup(r->mm, &r->tk, addr);
	mm_unlock(r->mm);
	return v;
}

/* row 6 */
static void find_vma_gives_the_first_area_that_ends_above(void **state)
{
	struct rig r;

	rig_open(&r);
	row_map(&r, ROW, "..rr..ww.");
	assert_int_equal(find(&r, AT(0))->start, AT(2));
	assert_int_equal(find(&r, AT(2))->start, AT(2));
	assert_int_equal(find(&r, AT(4) - 1)->start, AT(2));
	assert_int_equal(find(&r, AT(4))->start, AT(6));
	assert_int_equal(find(&r, AT(7) + 123)->start, AT(6));
	assert_null(find(&r, AT(8)));
	assert_null(lookup(&r, AT(4)));
	assert_non_null(lookup(&r, AT(6)));
	assert_null(lookup(&r, AT(8)));
	rig_close(&r);
}

static void intersection_and_neighbours_are_found(void **state)
{
	struct rig r;

	rig_open(&r);
	row_map(&r, ROW, "rr..ww");
	mm_lock(r.mm);
	assert_int_equal(find_vma_intersection(r.mm, AT(1), AT(5))->start, AT(0));
	assert_null(find_vma_intersection(r.mm, AT(2), AT(4)));
	struct vm_area *w = find_vma_intersection(r.mm, AT(2), AT(4) + 1);
	assert_int_equal(w->start, AT(4));
	assert_int_equal(vma_prev(r.mm, w)->start, AT(0));
	assert_null(vma_prev(r.mm, vma_prev(r.mm, w)));
	assert_null(vma_next(w));
	mm_unlock(r.mm);
	rig_close(&r);
}

/* row 6 */
static void cached_area_is_not_used_after_it_has_changed(void **state)
{
	struct rig r;

	rig_open(&r);
	row_map(&r, ROW, "wwww");
	assert_int_equal(lookup(&r, AT(3))->start, AT(0));
	assert_int_equal(do_munmap(r.mm, AT(2), 2 * PAGE_SIZE), 0);
	assert_null(lookup(&r, AT(3)));
	assert_int_equal(lookup(&r, AT(1))->end, AT(2));
	assert_int_equal(do_munmap(r.mm, AT(0), 2 * PAGE_SIZE), 0);
	assert_null(find(&r, AT(0)));
	row_map(&r, ROW, "rr");
	assert_int_equal(lookup(&r, AT(0))->flags & VM_PROT, VM_READ);
	rig_close(&r);
}

/* row 6: 1,000,000 areas; anything but a logarithmic search would take hours */
static void a_million_areas_stay_fast(void **state)
{
	const char *wish = getenv("SF_TEST_AREAS");
	const uint64_t n = wish ? strtoull(wish, NULL, 10) : 1000000;
	struct timespec t0, t1;
	struct rig r;
	uint64_t at = 12345;

	rig_open(&r);
	r.mm->max_areas = 2 * n + 10;
	clock_gettime(CLOCK_MONOTONIC, &t0);
	for (uint64_t i = 0; i < n; i++)
		assert_int_equal(map_anon(&r, AT(i), 1, i & 1 ? PROT_READ : PROT_NONE, 0), AT(i));
	assert_int_equal(rig_areas(&r), n);
	mm_lock(r.mm);
	for (uint64_t i = 0; i < n; i++) {
		at = (at * 6364136223846793005ull + 1442695040888963407ull) % n;
		if (find_vma(r.mm, &r.tk, AT(at))->start != AT(at))
			fail();
	}
	mm_unlock(r.mm);
	clock_gettime(CLOCK_MONOTONIC, &t1);
	assert_true(t1.tv_sec - t0.tv_sec < 120);
	assert_int_equal(do_munmap(r.mm, ROW, n * PAGE_SIZE), 0);
	assert_int_equal(rig_areas(&r), 0);
	rig_close(&r);
}

static void equal_neighbours_merge_and_others_do_not(void **state)
{
	struct rig r;

	rig_open(&r);
	row_map(&r, ROW, "ww|ww|rr|ww");
	assert_areas(&r, ROW, "wwww|rr|ww");
	assert_int_equal(do_mprotect(r.mm, AT(4), 2 * PAGE_SIZE, PROT_READ | PROT_WRITE), 0);
	assert_areas(&r, ROW, "wwwwwwww");
	assert_int_equal(rig_areas(&r), 1);
	rig_close(&r);
}

static void file_areas_merge_only_when_offsets_continue(void **state)
{
	struct rig r;

	rig_open(&r);
	row_map(&r, ROW, "FF|FF");
	assert_areas(&r, ROW, "FFFF");
	assert_int_equal(do_mmap(r.mm, AT(4), PAGE_SIZE, PROT_READ, MAP_PRIVATE | MAP_FIXED, &r.file->f, PT_R, 9 * PAGE_SIZE), AT(4));
	assert_areas(&r, ROW, "FFFF|F");
	rig_close(&r);
}

static void hole_in_the_middle_joins_when_filled(void **state)
{
	struct rig r;

	rig_open(&r);
	row_map(&r, ROW, "www.www");
	assert_int_equal(rig_areas(&r), 2);
	row_map(&r, AT(3), "w");
	assert_areas(&r, ROW, "wwwwwww");
	rig_close(&r);
}

static void split_without_memory_changes_nothing(void **state)
{
	struct rig r;
	unsigned failed = 0;

	rig_open(&r);
	row_map(&r, ROW, "wwww");
	soft_fail(r.port, SOFT_OP(SOFT_ALLOC), 0, UINT64_MAX, ENOMEM);
	for (unsigned i = 0; i < 4096 && !failed; i++) { /* the allocator may have room for some yet */
		vaddr_t at = AT(16 + 4 * i);

		if (map_anon(&r, at, 3, PROT_READ, 0) < 0)
			break;
		failed = do_mprotect(r.mm, at + PAGE_SIZE, PAGE_SIZE, PROT_NONE) == -ENOMEM;
		rig_check(&r);
		if (failed)
			assert_areas(&r, at, "rrr");
	}
	soft_fail(r.port, 0, 0, 0, 0);
	assert_areas(&r, ROW, "wwww");
	rig_close(&r);
}

static void area_limit_is_enomem_for_mmap_and_for_a_hole(void **state)
{
	struct rig r;

	rig_open(&r);
	row_map(&r, ROW, "www.rrr");
	r.mm->max_areas = 2; /* as Linux, which checks mmap before it adds one and splits before they make two */
	assert_int_equal(map_anon(&r, AT(20), 1, PROT_NONE, 0), AT(20));
	assert_int_equal(map_anon(&r, AT(30), 1, PROT_NONE, 0), -ENOMEM);
	assert_int_equal(do_munmap(r.mm, AT(1), PAGE_SIZE), -ENOMEM);
	assert_int_equal(do_mprotect(r.mm, AT(1), PAGE_SIZE, PROT_NONE), -ENOMEM);
	assert_areas(&r, ROW, "www.rrr");
	assert_int_equal(do_munmap(r.mm, AT(2), PAGE_SIZE), 0); /* no split: fewer pages, as many areas */
	assert_areas(&r, ROW, "ww..rrr");
	rig_close(&r);
}

static void names_tell_heap_stack_and_files(void **state)
{
	struct rig r;

	rig_open(&r);
	row_map(&r, ROW, "F.w");
	mm_lock(r.mm);
	assert_string_equal(vma_name(r.mm, vma_lookup(r.mm, &r.tk, AT(0))), r.file->f.path);
	assert_string_equal(vma_name(r.mm, vma_lookup(r.mm, &r.tk, AT(2))), "");
	mm_unlock(r.mm);
	rig_close(&r);
}

static void last_area_of_a_file_releases_it(void **state)
{
	struct rig r;
	bool gone;

	rig_open(&r);
	struct fake_file *ff = fake_file_new(r.port, 3 * PAGE_SIZE, &gone);
	assert_int_equal(do_mmap(r.mm, AT(0), 3 * PAGE_SIZE, PROT_READ, MAP_PRIVATE | MAP_FIXED, &ff->f, PT_R, 0), AT(0));
	file_put(&ff->f);
	assert_int_equal(do_munmap(r.mm, AT(1), PAGE_SIZE), 0);
	assert_int_equal(do_munmap(r.mm, AT(0), PAGE_SIZE), 0);
	assert_false(gone);
	assert_int_equal(do_munmap(r.mm, AT(2), PAGE_SIZE), 0);
	assert_true(gone);
	rig_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(find_vma_gives_the_first_area_that_ends_above),
		cmocka_unit_test(intersection_and_neighbours_are_found),
		cmocka_unit_test(cached_area_is_not_used_after_it_has_changed),
		cmocka_unit_test(a_million_areas_stay_fast),
		cmocka_unit_test(equal_neighbours_merge_and_others_do_not),
		cmocka_unit_test(file_areas_merge_only_when_offsets_continue),
		cmocka_unit_test(hole_in_the_middle_joins_when_filled),
		cmocka_unit_test(split_without_memory_changes_nothing),
		cmocka_unit_test(area_limit_is_enomem_for_mmap_and_for_a_hole),
		cmocka_unit_test(names_tell_heap_stack_and_files),
		cmocka_unit_test(last_area_of_a_file_releases_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
