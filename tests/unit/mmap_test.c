/* SPDX-License-Identifier: MIT */
/* mmap_test.c - mmap, munmap, mprotect, msync, and the limits that refuse them */
#include "harness.h"

static char c;
#define RW   (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)

static int64_t mmap_anon(struct rig *r, vaddr_t at, uint64_t len, unsigned prot, unsigned flags)
{
	return do_mmap(r->mm, at, len, prot, flags, NULL, 0, 0);
}

static void bad_arguments_are_einval(void **state)
{
	struct rig r;

	rig_open(&r);
	assert_int_equal(mmap_anon(&r, 0, 0, RW, ANON), -EINVAL);
	assert_int_equal(mmap_anon(&r, AT(0) + 1, PAGE_SIZE, RW, ANON | MAP_FIXED), -EINVAL);
	assert_int_equal(mmap_anon(&r, 0, PAGE_SIZE, RW, MAP_ANONYMOUS), -EINVAL); /* neither private nor shared */
	assert_int_equal(mmap_anon(&r, 0, UINT64_MAX, RW, ANON), -ENOMEM);
	assert_int_equal(mmap_anon(&r, 0, RIG_TASK_SIZE + PAGE_SIZE, RW, ANON), -ENOMEM);
	assert_int_equal(mmap_anon(&r, RIG_TASK_SIZE - PAGE_SIZE, 2 * PAGE_SIZE, RW, ANON | MAP_FIXED), -ENOMEM);
	assert_int_equal(do_mmap(r.mm, 0, PAGE_SIZE, RW, MAP_PRIVATE, &rig_file(&r)->f, PT_R, 100), -EINVAL);
	assert_int_equal(do_munmap(r.mm, AT(0) + 1, PAGE_SIZE), -EINVAL);
	assert_int_equal(do_munmap(r.mm, AT(0), 0), -EINVAL);
	assert_int_equal(do_mprotect(r.mm, AT(0) + 1, PAGE_SIZE, RW), -EINVAL);
	assert_int_equal(do_mprotect(r.mm, AT(0), PAGE_SIZE, 0x1000), -EINVAL);
	assert_int_equal(rig_areas(&r), 0);
	rig_close(&r);
}

static void length_is_rounded_up_to_pages(void **state)
{
	struct rig r;

	rig_open(&r);
	assert_int_equal(mmap_anon(&r, AT(0), PAGE_SIZE + 1, RW, ANON | MAP_FIXED), AT(0));
	assert_areas(&r, ROW, "ww.");
	assert_int_equal(do_munmap(r.mm, AT(0), 1), 0);
	assert_areas(&r, ROW, ".w.");
	rig_close(&r);
}

static void free_address_is_taken_top_down(void **state)
{
	struct rig r;

	rig_open(&r);
	int64_t a = mmap_anon(&r, 0, 4 * PAGE_SIZE, RW, ANON);
	assert_int_equal(a, RIG_MMAP_BASE - 4 * PAGE_SIZE);
	int64_t b = mmap_anon(&r, 0, 2 * PAGE_SIZE, PROT_READ, ANON);
	assert_int_equal(b, a - 2 * PAGE_SIZE);
	assert_int_equal(do_munmap(r.mm, a, 4 * PAGE_SIZE), 0);
	assert_int_equal(mmap_anon(&r, 0, 5 * PAGE_SIZE, RW, ANON), b - 5 * PAGE_SIZE); /* too big for the gap */
	assert_int_equal(mmap_anon(&r, 0, 3 * PAGE_SIZE, RW, ANON), RIG_MMAP_BASE - 3 * PAGE_SIZE);
	rig_close(&r);
}

static void free_hint_is_honoured_and_a_taken_one_ignored(void **state)
{
	struct rig r;

	rig_open(&r);
	assert_int_equal(mmap_anon(&r, AT(3), PAGE_SIZE, RW, ANON), AT(3));
	assert_int_equal(mmap_anon(&r, AT(8) + 5, PAGE_SIZE, RW, ANON), AT(8));
	assert_int_equal(mmap_anon(&r, AT(5), 3 * PAGE_SIZE, PROT_READ, ANON), AT(5));
	assert_int_equal(mmap_anon(&r, AT(2), 2 * PAGE_SIZE, RW, ANON), RIG_MMAP_BASE - 2 * PAGE_SIZE);
	rig_close(&r);
}

static void noreplace_refuses_what_fixed_replaces(void **state)
{
	struct rig r;

	rig_open(&r);
	row_map(&r, ROW, "wwww");
	stamp(&r, AT(1), 1);
	assert_int_equal(mmap_anon(&r, AT(1), PAGE_SIZE, PROT_READ, ANON | MAP_FIXED_NOREPLACE), -EEXIST);
	assert_stamp(&r, AT(1), 1);
	assert_int_equal(mmap_anon(&r, AT(1), PAGE_SIZE, PROT_READ, ANON | MAP_FIXED), AT(1));
	assert_areas(&r, ROW, "w|r|ww");
	assert_zero_page(&r, AT(1));
	assert_int_equal(mmap_anon(&r, AT(4), PAGE_SIZE, RW, ANON | MAP_FIXED_NOREPLACE), AT(4));
	rig_close(&r);
}

static void fixed_mapping_over_swapped_and_hidden_pages_starts_afresh(void **state)
{
	struct rig r;

	rig_open(&r, .fault_around = 1);
	row_map(&r, ROW, "wwww");
	for (unsigned i = 0; i < 4; i++)
		stamp(&r, AT(i), i);
	evict_range(&r, AT(0), 1);
	hide_range(&r, AT(1), 1);
	assert_pages(&r, ROW, "SHWW");
	row_map(&r, ROW, "www");
	assert_pages(&r, ROW, "...W");
	for (unsigned i = 0; i < 3; i++)
		assert_zero_page(&r, AT(i));
	assert_stamp(&r, AT(3), 3);
	rig_close(&r);
}

static void populate_brings_everything_in(void **state)
{
	struct rig r;

	rig_open(&r);
	assert_int_equal(mmap_anon(&r, ROW, 4 * PAGE_SIZE, RW, ANON | MAP_FIXED | MAP_POPULATE), ROW);
	assert_pages(&r, ROW, "WWWW");
	uint64_t before = r.tk.min_flt;
	poke(&r, AT(2), 1);
	assert_int_equal(r.tk.min_flt, before);
	rig_close(&r);
}

static void addresses_below_the_minimum_are_refused(void **state)
{
	struct rig r;

	rig_open(&r);
	assert_int_equal(mmap_anon(&r, 0x1000, PAGE_SIZE, RW, ANON | MAP_FIXED), -EPERM);
	assert_int_equal(mmap_anon(&r, 0, PAGE_SIZE, RW, ANON | MAP_FIXED), -EPERM);
	rig_close(&r);
}

/* ---- munmap, mprotect */

static void munmap_punches_holes_and_cuts_ends(void **state)
{
	struct rig r;

	rig_open(&r);
	row_map(&r, ROW, "wwwwwwww");
	assert_int_equal(do_munmap(r.mm, AT(3), 2 * PAGE_SIZE), 0);
	assert_areas(&r, ROW, "www..www");
	assert_int_equal(do_munmap(r.mm, AT(0), PAGE_SIZE), 0);
	assert_int_equal(do_munmap(r.mm, AT(7), PAGE_SIZE), 0);
	assert_areas(&r, ROW, ".ww..ww.");
	assert_int_equal(do_munmap(r.mm, AT(0), 8 * PAGE_SIZE), 0); /* holes are no error */
	assert_areas(&r, ROW, "........");
	assert_int_equal(do_munmap(r.mm, AT(0), 8 * PAGE_SIZE), 0);
	rig_close(&r);
}

static void munmap_gives_up_the_contents(void **state)
{
	struct rig r;

	rig_open(&r);
	row_map(&r, ROW, "ww");
	stamp(&r, AT(0), 1);
	assert_int_equal(do_munmap(r.mm, AT(0), PAGE_SIZE), 0);
	assert_maperr(try_read(&r, AT(0), &c, 1), AT(0));
	row_map(&r, ROW, "w");
	assert_zero_page(&r, AT(0));
	rig_close(&r);
}

static void mprotect_splits_and_merges(void **state)
{
	struct rig r;

	rig_open(&r);
	row_map(&r, ROW, "wwwwww");
	assert_int_equal(do_mprotect(r.mm, AT(2), 2 * PAGE_SIZE, PROT_READ), 0);
	assert_areas(&r, ROW, "ww|rr|ww");
	assert_int_equal(do_mprotect(r.mm, AT(1), 2 * PAGE_SIZE, PROT_READ), 0);
	assert_areas(&r, ROW, "w|rrr|ww");
	assert_int_equal(do_mprotect(r.mm, AT(0), 6 * PAGE_SIZE, PROT_READ), 0);
	assert_areas(&r, ROW, "rrrrrr");
	rig_close(&r);
}

static void mprotect_over_a_hole_is_enomem_after_the_part_before_it(void **state)
{
	struct rig r;

	rig_open(&r);
	row_map(&r, ROW, "ww.w");
	assert_int_equal(do_mprotect(r.mm, AT(1), 3 * PAGE_SIZE, PROT_READ), -ENOMEM);
	assert_areas(&r, ROW, "w|r.w");
	rig_close(&r);
}

static void mprotect_takes_and_gives_access_and_keeps_contents(void **state)
{
	struct rig r;

	rig_open(&r, .fault_around = 1);
	row_map(&r, ROW, "wwww");
	for (unsigned i = 0; i < 4; i++)
		stamp(&r, AT(i), i);
	evict_range(&r, AT(2), 1);
	hide_range(&r, AT(3), 1);
	assert_int_equal(do_mprotect(r.mm, ROW, 4 * PAGE_SIZE, PROT_NONE), 0);
	for (unsigned i = 0; i < 4; i++)
		assert_accerr(try_read(&r, AT(i), &c, 1), AT(i));
	assert_int_equal(do_mprotect(r.mm, ROW, 4 * PAGE_SIZE, PROT_READ), 0);
	for (unsigned i = 0; i < 4; i++) {
		assert_stamp(&r, AT(i), i);
		assert_accerr(try_write(&r, AT(i), &c, 1), AT(i));
	}
	assert_int_equal(do_mprotect(r.mm, ROW, 4 * PAGE_SIZE, PROT_READ | PROT_EXEC), 0);
	assert_fixed(try_exec(&r, AT(1)));
	assert_int_equal(do_mprotect(r.mm, ROW, 4 * PAGE_SIZE, RW), 0);
	assert_accerr(try_exec(&r, AT(1)), AT(1));
	for (unsigned i = 0; i < 4; i++)
		stamp(&r, AT(i), i + 10);
	rig_close(&r);
}

static void mprotect_and_shared_mapping_obey_how_the_file_is_open(void **state)
{
	struct rig r;

	rig_open(&r);
	struct sf_file *f = &rig_file(&r)->f;
	assert_int_equal(do_mmap(r.mm, AT(0), PAGE_SIZE, RW, MAP_SHARED | MAP_FIXED, f, PT_R, 0), -EACCES);
	assert_int_equal(do_mmap(r.mm, AT(0), PAGE_SIZE, PROT_READ, MAP_PRIVATE | MAP_FIXED, f, PT_W, 0), -EACCES);
	assert_int_equal(do_mmap(r.mm, AT(0), PAGE_SIZE, PROT_READ, MAP_SHARED | MAP_FIXED, f, PT_R, 0), AT(0));
	assert_int_equal(do_mprotect(r.mm, AT(0), PAGE_SIZE, RW), -EACCES);
	assert_int_equal(do_mmap(r.mm, AT(1), PAGE_SIZE, PROT_READ, MAP_PRIVATE | MAP_FIXED, f, PT_R, 0), AT(1));
	assert_int_equal(do_mprotect(r.mm, AT(1), PAGE_SIZE, RW), 0); /* a private copy may always be written */
	rig_close(&r);
}

static void mprotect_of_a_shared_mapping_changes_what_a_touch_may_do(void **state)
{
	struct rig r;

	rig_open(&r);
	row_map(&r, ROW, "ss");
	stamp(&r, AT(0), 1);
	assert_int_equal(do_mprotect(r.mm, AT(0), PAGE_SIZE, PROT_READ), 0);
	assert_stamp(&r, AT(0), 1);
	assert_accerr(try_write(&r, AT(0), &c, 1), AT(0));
	assert_int_equal(do_mprotect(r.mm, AT(0), PAGE_SIZE, RW), 0);
	stamp(&r, AT(0), 2);
	assert_stamp(&r, AT(0), 2);
	rig_close(&r);
}

static void munmap_of_a_shared_mapping_leaves_the_file_written(void **state)
{
	struct rig r;
	unsigned char b;

	rig_open(&r);
	row_map(&r, ROW, "ss");
	poke(&r, AT(1) + 5, 0x99);
	assert_int_equal(do_munmap(r.mm, ROW, 2 * PAGE_SIZE), 0);
	soft_object_read(r.port, r.file->f.fd, &b, 1, PAGE_SIZE + 5);
	assert_int_equal(b, 0x99);
	rig_close(&r);
}

/* ---- limits */

/* row 35 */
static void mmap_beyond_rlimit_as_is_enomem(void **state)
{
	struct rig r;

	rig_open(&r);
	r.mm->limits.as = 4 * PAGE_SIZE;
	row_map(&r, ROW, "www");
	assert_int_equal(map_anon(&r, AT(8), 2, PROT_READ, 0), -ENOMEM);
	assert_int_equal(map_anon(&r, AT(8), 1, PROT_READ, 0), AT(8));
	assert_int_equal(map_anon(&r, AT(9), 1, PROT_READ, 0), -ENOMEM);
	assert_int_equal(map_anon(&r, AT(8), 1, PROT_NONE, 0), AT(8)); /* replacing adds nothing */
	assert_int_equal(do_munmap(r.mm, AT(8), PAGE_SIZE), 0);
	assert_int_equal(map_anon(&r, AT(9), 1, PROT_READ, 0), AT(9));
	rig_close(&r);
}

/* row 35 */
static void private_writable_memory_beyond_rlimit_data_is_enomem(void **state)
{
	struct rig r;

	rig_open(&r);
	r.mm->limits.data = 4 * PAGE_SIZE;
	row_map(&r, ROW, "www");
	assert_int_equal(map_anon(&r, AT(8), 2, RW, 0), -ENOMEM);
	assert_int_equal(map_anon(&r, AT(8), 2, PROT_READ, 0), AT(8)); /* not data */
	assert_int_equal(do_mprotect(r.mm, AT(8), 2 * PAGE_SIZE, RW), -ENOMEM);
	assert_int_equal(do_mprotect(r.mm, AT(8), PAGE_SIZE, RW), 0);
	assert_int_equal(r.mm->data_vm, 4);
	rig_close(&r);
}

/* row 35 */
static void strict_overcommit_refuses_beyond_the_commit_limit(void **state)
{
	struct rig r;

	rig_open(&r);
	r.mm->overcommit = 2;
	r.mm->commit_limit = 10;
	assert_int_equal(map_anon(&r, AT(0), 8, RW, 0), AT(0));
	assert_int_equal(map_anon(&r, AT(20), 3, RW, 0), -ENOMEM);
	assert_int_equal(map_anon(&r, AT(20), 3, RW, MAP_NORESERVE), -ENOMEM); /* in this mode the flag counts for nothing */
	assert_int_equal(map_anon(&r, AT(20), 100, PROT_READ, 0), AT(20));
	assert_int_equal(do_mprotect(r.mm, AT(20), 3 * PAGE_SIZE, RW), -ENOMEM);
	assert_int_equal(do_mprotect(r.mm, AT(20), 2 * PAGE_SIZE, RW), 0);
	assert_int_equal(do_munmap(r.mm, AT(0), 4 * PAGE_SIZE), 0);
	assert_int_equal(map_anon(&r, AT(200), 4, RW, 0), AT(200));
	rig_close(&r);
}

static void counts_follow_areas(void **state)
{
	struct rig r;

	rig_open(&r);
	row_map(&r, ROW, "wwrrrxx.ss");
	assert_int_equal(r.mm->total_vm, 9);
	assert_int_equal(r.mm->data_vm, 2);
	assert_int_equal(r.mm->exec_vm, 2);
	assert_int_equal(do_mprotect(r.mm, AT(2), 3 * PAGE_SIZE, RW), 0);
	assert_int_equal(r.mm->data_vm, 5);
	assert_int_equal(do_munmap(r.mm, AT(4), 3 * PAGE_SIZE), 0);
	assert_int_equal(r.mm->total_vm, 6);
	assert_int_equal(r.mm->data_vm, 4);
	assert_int_equal(r.mm->exec_vm, 0);
	rig_close(&r);
}

static void msync_checks_its_arguments(void **state)
{
	struct rig r;

	rig_open(&r);
	row_map(&r, ROW, "ss.w");
	assert_int_equal(do_msync(r.mm, AT(0), 2 * PAGE_SIZE, MS_SYNC), 0);
	assert_int_equal(do_msync(r.mm, AT(3), PAGE_SIZE, MS_ASYNC), 0);
	assert_int_equal(do_msync(r.mm, AT(0), 4 * PAGE_SIZE, MS_SYNC), -ENOMEM);
	assert_int_equal(do_msync(r.mm, AT(0) + 1, PAGE_SIZE, MS_SYNC), -EINVAL);
	assert_int_equal(do_msync(r.mm, AT(0), PAGE_SIZE, MS_SYNC | MS_ASYNC), -EINVAL);
	assert_int_equal(do_msync(r.mm, AT(0), PAGE_SIZE, 0x100), -EINVAL);
	assert_int_equal(do_msync(r.mm, AT(0), 0, MS_SYNC), 0);
	rig_close(&r);
}

static void msync_of_a_shared_mapping_reaches_the_port_and_reports_its_error(void **state)
{
	struct rig r;
	struct soft_counts n;

	rig_open(&r);
	row_map(&r, ROW, "ssw");
	assert_int_equal(do_msync(r.mm, AT(0), 3 * PAGE_SIZE, MS_SYNC), 0);
	soft_counts(r.port, &n);
	assert_int_equal(n.calls[SOFT_SYNC], 1);
	soft_fail(r.port, SOFT_OP(SOFT_SYNC), 0, 1, EIO);
	assert_int_equal(do_msync(r.mm, AT(0), 2 * PAGE_SIZE, MS_SYNC), -EIO);
	rig_close(&r);
}

/* ---- shared anonymous memory: one process only, but its own rules */

static int64_t map_shared_anon(struct rig *r, vaddr_t at, uint64_t pages)
{
	return mmap_anon(r, at, pages * PAGE_SIZE, RW, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED);
}

static void shared_anonymous_memory_is_kept_by_dontneed_and_eviction(void **state)
{
	struct rig r;

	rig_open(&r, .fault_around = 1);
	assert_int_equal(map_shared_anon(&r, ROW, 4), ROW);
	assert_zero_page(&r, AT(3));
	for (unsigned i = 0; i < 3; i++)
		stamp(&r, AT(i), i);
	evict_range(&r, ROW, 2);
	assert_int_equal(do_madvise(r.mm, &r.tk, ROW, 4 * PAGE_SIZE, MADV_DONTNEED), 0);
	for (unsigned i = 0; i < 3; i++)
		assert_stamp(&r, AT(i), i);
	assert_int_equal(do_madvise(r.mm, &r.tk, ROW, PAGE_SIZE, MADV_FREE), -EINVAL);
	assert_int_equal(do_madvise(r.mm, &r.tk, AT(1), PAGE_SIZE, MADV_REMOVE), 0);
	assert_stamp(&r, AT(0), 0);
	assert_zero_page(&r, AT(1));
	assert_int_equal(do_munmap(r.mm, ROW, 4 * PAGE_SIZE), 0);
	assert_int_equal(map_shared_anon(&r, ROW, 1), ROW);
	assert_zero_page(&r, AT(0));
	rig_close(&r);
}

static void shared_anonymous_mappings_do_not_merge(void **state)
{
	struct rig r;

	rig_open(&r);
	assert_int_equal(map_shared_anon(&r, AT(0), 2), AT(0));
	assert_int_equal(map_shared_anon(&r, AT(2), 2), AT(2));
	assert_areas(&r, ROW, "ss|ss");
	assert_int_equal(do_mprotect(r.mm, AT(1), PAGE_SIZE, PROT_READ), 0);
	assert_int_equal(do_mprotect(r.mm, AT(1), PAGE_SIZE, RW), 0);
	assert_areas(&r, ROW, "ss|ss");
	rig_close(&r);
}

static void shared_anonymous_memory_can_be_locked_moved_and_pinned(void **state)
{
	struct rig r;

	rig_open(&r, .fault_around = 1);
	assert_int_equal(map_shared_anon(&r, ROW, 4), ROW);
	for (unsigned i = 0; i < 4; i++)
		stamp(&r, AT(i), i);
	hide_range(&r, AT(1), 1);
	evict_range(&r, AT(2), 1);
	assert_int_equal(do_mremap(r.mm, ROW, 4 * PAGE_SIZE, 4 * PAGE_SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, AT(50)), AT(50));
	assert_int_equal(pin_user(r.mm, &r.tk, AT(50), 4 * PAGE_SIZE, true), 4 * PAGE_SIZE);
	assert_int_equal(do_mprotect(r.mm, AT(50), PAGE_SIZE, PROT_READ), 0);
	unpin_user(r.mm, AT(50), 4 * PAGE_SIZE);
	assert_accerr(try_write(&r, AT(50), &c, 1), AT(50));
	for (unsigned i = 0; i < 4; i++)
		assert_stamp(&r, AT(50 + i), i);
	rig_close(&r);
}

/* ---- flags that ask for something special */

static void low_addresses_are_given_on_request(void **state)
{
	struct rig r;

	rig_open(&r);
	int64_t a = mmap_anon(&r, 0, PAGE_SIZE, RW, ANON | MAP_32BIT);
	assert_true(a > 0 && a + PAGE_SIZE <= 0x80000000ll);
	assert_int_equal(mmap_anon(&r, AT(77), PAGE_SIZE, RW, ANON | MAP_32BIT), AT(77));
	rig_close(&r);
}

static void what_cannot_be_had_is_refused_as_linux_does(void **state)
{
	struct rig r;

	rig_open(&r);
	struct sf_file *f = &rig_file(&r)->f;
	assert_int_equal(mmap_anon(&r, 0, PAGE_SIZE << 9, RW, ANON | MAP_HUGETLB), -ENOMEM); /* none reserved */
	assert_int_equal(do_mmap(r.mm, 0, PAGE_SIZE, PROT_READ, MAP_SHARED_VALIDATE | MAP_SYNC, f, PT_R, 0), -EOPNOTSUPP);
	assert_int_equal(do_mmap(r.mm, 0, PAGE_SIZE, PROT_READ, MAP_PRIVATE | MAP_GROWSDOWN, f, PT_R, 0), -EINVAL);
	assert_int_equal(do_mmap(r.mm, 0, PAGE_SIZE, PROT_READ, MAP_PRIVATE, f, PT_R, INT64_MAX & PAGE_MASK), -EOVERFLOW);
	r.mm->limits.memlock = PAGE_SIZE;
	assert_int_equal(mmap_anon(&r, 0, 2 * PAGE_SIZE, RW, ANON | MAP_LOCKED), -EAGAIN);
	rig_close(&r);
}

static void grows_down_mapping_is_a_stack(void **state)
{
	struct rig r;

	rig_open(&r);
	assert_int_equal(map_anon(&r, AT(100), 1, RW, MAP_GROWSDOWN), AT(100));
	assert_fixed(try_write(&r, AT(99), &c, 1));
	assert_areas(&r, AT(98), ".ww");
	rig_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bad_arguments_are_einval),
		cmocka_unit_test(length_is_rounded_up_to_pages),
		cmocka_unit_test(free_address_is_taken_top_down),
		cmocka_unit_test(free_hint_is_honoured_and_a_taken_one_ignored),
		cmocka_unit_test(noreplace_refuses_what_fixed_replaces),
		cmocka_unit_test(fixed_mapping_over_swapped_and_hidden_pages_starts_afresh),
		cmocka_unit_test(populate_brings_everything_in),
		cmocka_unit_test(addresses_below_the_minimum_are_refused),
		cmocka_unit_test(munmap_punches_holes_and_cuts_ends),
		cmocka_unit_test(munmap_gives_up_the_contents),
		cmocka_unit_test(mprotect_splits_and_merges),
		cmocka_unit_test(mprotect_over_a_hole_is_enomem_after_the_part_before_it),
		cmocka_unit_test(mprotect_takes_and_gives_access_and_keeps_contents),
		cmocka_unit_test(mprotect_and_shared_mapping_obey_how_the_file_is_open),
		cmocka_unit_test(mprotect_of_a_shared_mapping_changes_what_a_touch_may_do),
		cmocka_unit_test(munmap_of_a_shared_mapping_leaves_the_file_written),
		cmocka_unit_test(mmap_beyond_rlimit_as_is_enomem),
		cmocka_unit_test(private_writable_memory_beyond_rlimit_data_is_enomem),
		cmocka_unit_test(strict_overcommit_refuses_beyond_the_commit_limit),
		cmocka_unit_test(counts_follow_areas),
		cmocka_unit_test(msync_checks_its_arguments),
		cmocka_unit_test(msync_of_a_shared_mapping_reaches_the_port_and_reports_its_error),
		cmocka_unit_test(shared_anonymous_memory_is_kept_by_dontneed_and_eviction),
		cmocka_unit_test(shared_anonymous_mappings_do_not_merge),
		cmocka_unit_test(shared_anonymous_memory_can_be_locked_moved_and_pinned),
		cmocka_unit_test(low_addresses_are_given_on_request),
		cmocka_unit_test(what_cannot_be_had_is_refused_as_linux_does),
		cmocka_unit_test(grows_down_mapping_is_a_stack),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
