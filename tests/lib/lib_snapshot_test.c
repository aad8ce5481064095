/* SPDX-License-Identifier: MIT */
/* lib_snapshot_test.c - snapshots of regions: read, mapped, compared, rolled back, saved, dropped */
#include "lib_test.h"

#include <pthread.h>
#include <sys/stat.h>

#define PAGES 200u /* more than three times the bound */

static sf_pool *pool;
static sf_region *region;
static char *mem;

static void open_region(const struct sf_map_options *opt)
{
	void *at;

	pool = open_pool(BOUND);
	OK(sf_map(pool, PAGES * PAGE, opt, &region, &at));
	mem = at;
}

static void close_region(void)
{
	OK(sf_unmap(region));
	close_pool(pool);
}

static sf_snapshot *take(void)
{
	sf_snapshot *s;

	OK(sf_snapshot_create(region, NULL, &s));
	return s;
}

static void put(unsigned page, uint64_t word)
{
	fill_page(mem + page * PAGE, word);
}

static bool snap_has(sf_snapshot *s, unsigned page, uint64_t word)
{
	uint64_t buf[PAGE / 8];

	return sf_snapshot_read(s, page * PAGE, buf, PAGE) == (ssize_t)PAGE && page_has(buf, word);
}

/* ---------------------------------------------------------------- */

static void generations_larger_than_the_bound(void **state)
{
	sf_snapshot *s[3];

	open_region(NULL);
	for (unsigned g = 0; g < 3; g++) {
		for (unsigned i = 0; i < PAGES; i += g + 1)
			put(i, g * 1000 + i + 1);
		s[g] = take();
	}
	for (unsigned i = 0; i < PAGES; i += 7)
		put(i, 9);
	for (unsigned i = 0; i < PAGES; i++) {
		assert_true(snap_has(s[0], i, i + 1));
		assert_true(snap_has(s[1], i, (i % 2 ? 0 : 1000) + i + 1));
		assert_true(snap_has(s[2], i, (i % 3 ? i % 2 ? 0 : 1000 : 2000) + i + 1));
		assert_true(page_has(mem + i * PAGE, i % 7 ? (i % 3 ? i % 2 ? 0 : 1000 : 2000) + i + 1 : 9));
	}
	assert_true(pool_stats(pool).peak_resident <= BOUND);
	OK(sf_snapshot_drop(s[1]));
	assert_true(snap_has(s[0], 2, 3));
	assert_int_equal(sf_snapshot_drop(s[1]), -EBADF);
	OK(sf_snapshot_drop(s[2]));
	assert_true(snap_has(s[0], 3, 4));
	OK(sf_snapshot_drop(s[0]));
	close_region();
}

static void reads_of_any_length(void **state)
{
	char buf[3 * PAGE], want[3 * PAGE];

	open_region(NULL);
	for (unsigned i = 0; i < PAGES * PAGE; i += 64)
		mem[i] = (char)(i / 64);
	memcpy(want, mem + 100, sizeof(want));
	sf_snapshot *s = take();

	memset(mem, 0, 4 * PAGE);
	assert_int_equal(sf_snapshot_read(s, 100, buf, 2 * PAGE + 5), 2 * PAGE + 5);
	assert_memory_equal(buf, want, 2 * PAGE + 5);
	assert_int_equal(sf_snapshot_read(s, PAGES * PAGE - 10, buf, 100), 10);
	assert_int_equal(sf_snapshot_read(s, PAGES * PAGE, buf, 100), 0);
	assert_int_equal(sf_snapshot_read(s, UINT64_MAX, buf, 100), 0);
	assert_int_equal(sf_snapshot_read(s, 0, (void *)0x1000, 100), -EFAULT);
	assert_int_equal(sf_snapshot_read(s, 100, mem + 20 * PAGE + 1, 3 * PAGE), 3 * PAGE); /* into the region itself */
	assert_memory_equal(mem + 20 * PAGE + 1, want, 3 * PAGE);
	OK(sf_snapshot_drop(s));
	close_region();
}

static void a_mapped_snapshot_is_a_region_to_read(void **state)
{
	sf_region *r, *found;
	void *at, *other;

	open_region(NULL);
	for (unsigned i = 0; i < PAGES; i++)
		put(i, mark(i));
	sf_snapshot *s = take();

	for (unsigned i = 0; i < PAGES; i += 2)
		put(i, 5);
	OK(sf_snapshot_map(s, &r, &at));
	assert_int_equal(sf_snapshot_map(s, &found, &other), -EBUSY);
	for (unsigned i = 0; i < PAGES; i++)
		assert_true(page_has((char *)at + i * PAGE, mark(i)));
	for (unsigned i = 1; i < PAGES; i += 2)
		put(i, 6);
	for (unsigned i = 0; i < PAGES; i++)
		assert_true(page_has((char *)at + i * PAGE, mark(i)));
	assert_int_equal(try_write(at, 1), -EACCES);
	OK(sf_region_at((char *)at + 5, &found));
	assert_ptr_equal(found, r);
	assert_int_equal(sf_resize(r, PAGE, 0, NULL), -EBUSY);
	assert_int_equal(sf_move(r, NULL, NULL), -EBUSY);
	assert_int_equal(sf_protect(r, 0, PAGE, SF_READ | SF_WRITE), -EACCES);
	assert_int_equal(sf_snapshot_create(r, NULL, &(sf_snapshot *){ NULL }), -EINVAL);
	assert_int_equal(sf_advise(r, 0, PAGE, SF_DONTNEED), -EBUSY);
	assert_int_equal(sf_snapshot_drop(s), -EBUSY);
	OK(sf_unmap(r));
	assert_int_equal(sf_unmap(r), -EBADF);
	OK(sf_snapshot_map(s, &r, &at));
	assert_true(page_has((char *)at + 3 * PAGE, mark(3)));
	OK(sf_unmap(r));
	OK(sf_snapshot_drop(s));
	close_region();
}

static void differences_are_listed(void **state)
{
	struct sf_range r[8];
	uint64_t off = 0;

	open_region(NULL);
	put(0, 1);
	sf_snapshot *a = take();

	put(3, 1);
	put(4, 1);
	put(9, 1);
	sf_snapshot *b = take();

	put(4, 2);
	put(199, 2);
	assert_int_equal(sf_snapshot_diff(a, b, &off, r, 8), 2);
	assert_int_equal(r[0].off, 3 * PAGE);
	assert_int_equal(r[0].len, 2 * PAGE);
	assert_int_equal(r[1].off, 9 * PAGE);
	assert_int_equal(off, PAGES * PAGE);
	assert_int_equal(sf_snapshot_diff(a, b, &off, r, 8), 0);
	off = 0;
	assert_int_equal(sf_snapshot_diff(b, a, &off, r, 1), 1);
	assert_int_equal(off, 9 * PAGE);
	assert_int_equal(sf_snapshot_diff(b, a, &off, r, 1), 1);
	assert_int_equal(r[0].off, 9 * PAGE);
	off = 0;
	assert_int_equal(sf_snapshot_diff(b, NULL, &off, r, 8), 2);
	assert_int_equal(r[0].off, 4 * PAGE);
	assert_int_equal(r[1].off, 199 * PAGE);
	off = PAGES * PAGE + PAGE;
	assert_int_equal(sf_snapshot_diff(a, NULL, &off, r, 8), -EINVAL);
	off = 1;
	assert_int_equal(sf_snapshot_diff(a, NULL, &off, r, 8), -EINVAL);
	OK(sf_snapshot_drop(a));
	OK(sf_snapshot_drop(b));
	close_region();
}

static void rolled_back_and_forth(void **state)
{
	open_region(NULL);
	for (unsigned i = 0; i < PAGES; i++)
		put(i, mark(i));
	sf_snapshot *a = take();

	for (unsigned i = 0; i < PAGES; i += 3)
		put(i, 3);
	sf_snapshot *b = take();

	for (unsigned i = 0; i < PAGES; i += 2)
		put(i, 4);
	OK(sf_snapshot_rollback(a));
	for (unsigned i = 0; i < PAGES; i++)
		assert_true(page_has(mem + i * PAGE, mark(i)));
	OK(sf_snapshot_rollback(b));
	for (unsigned i = 0; i < PAGES; i++)
		assert_true(page_has(mem + i * PAGE, i % 3 ? mark(i) : 3));
	for (unsigned i = 0; i < PAGES; i++)
		assert_true(snap_has(a, i, mark(i)));
	OK(sf_snapshot_drop(a));
	OK(sf_snapshot_drop(b));
	close_region();
}

static void saved_whole_and_then_by_differences(void **state)
{
	sf_store *st;
	int fd = temp_file(0);

	open_region(NULL);
	for (unsigned i = 0; i < 150; i++)
		put(i, mark(i));
	sf_snapshot *a = take();

	OK(sf_store_file(fd, 1ull << 30, 0, &st));
	for (unsigned i = 0; i < 160; i += 40)
		put(i, 7);
	OK(sf_snapshot_save(a, NULL, st));
	for (unsigned i = 0; i < 150; i++)
		assert_true(file_has(fd, i, mark(i)));
	struct stat info;

	fstat(fd, &info);
	assert_int_equal(info.st_size, 150 * PAGE); /* never written, not saved */
	sf_snapshot *b = take();

	put(3, 8);
	OK(sf_snapshot_save(b, a, st));
	for (unsigned i = 0; i < 150; i++)
		assert_true(file_has(fd, i, i % 40 ? mark(i) : 7));
	assert_int_equal(sf_snapshot_save(b, NULL, (sf_store *)b), -EBADF);
	OK(sf_store_close(st));
	OK(sf_snapshot_drop(a));
	OK(sf_snapshot_drop(b));
	close_region();
	close(fd);
}

static void a_file_is_snapshotted_too(void **state)
{
	int fd = temp_file(PAGES - 10);

	open_region(MAP(.kind = SF_FILE_SHARED, .fd = fd));
	put(1, 5);
	sf_snapshot *s = take();

	put(1, 6);
	put(2, 6);
	put(100, 6);
	for (unsigned i = 0; i < PAGES - 10; i++)
		assert_true(snap_has(s, i, i == 1 ? 5 : mark(i)));
	OK(sf_sync(region, 0, 0, 0));
	assert_true(file_has(fd, 2, 6));
	for (unsigned i = 0; i < PAGES - 10; i++)
		assert_true(snap_has(s, i, i == 1 ? 5 : mark(i)));
	assert_int_equal(sf_snapshot_read(s, (PAGES - 3) * PAGE, &(char){ 0 }, 1), -ENXIO);
	OK(sf_snapshot_rollback(s));
	OK(sf_sync(region, 0, 0, 0));
	for (unsigned i = 0; i < PAGES - 10; i++)
		assert_true(file_has(fd, i, i == 1 ? 5 : mark(i)));
	OK(sf_snapshot_drop(s));
	close_region();
	close(fd);
}

static void the_range_stays_while_there_are_snapshots(void **state)
{
	struct sf_pin pin;
	sf_snapshot *s;

	open_region(NULL);
	put(0, 1);
	OK(sf_pin(mem, 10, 1, &pin));
	assert_int_equal(sf_snapshot_create(region, NULL, &s), -EBUSY);
	OK(sf_unpin(&pin));
	s = take();
	assert_int_equal(sf_unmap(region), -EBUSY);
	assert_int_equal(sf_resize(region, PAGE, 0, NULL), -EBUSY);
	assert_int_equal(sf_move(region, NULL, NULL), -EBUSY);
	OK(sf_protect(region, 0, PAGE, SF_READ));
	assert_int_equal(try_write(mem, 1), -EACCES);
	OK(sf_protect(region, 0, PAGE, SF_READ | SF_WRITE));
	put(0, 2);
	assert_true(snap_has(s, 0, 1));
	OK(sf_snapshot_drop(s));
	close_region();
}

static void nonsense_is_an_error(void **state)
{
	struct sf_snapshot_options o = { .struct_size = sizeof(o), .flags = 1 };
	sf_snapshot *s = (sf_snapshot *)8, *t;
	struct sf_range r;
	uint64_t off = 0;
	char c;

	open_region(NULL);
	assert_int_equal(sf_snapshot_create(NULL, NULL, &t), -EINVAL);
	assert_int_equal(sf_snapshot_create(region, NULL, NULL), -EINVAL);
	assert_int_equal(sf_snapshot_create(region, &o, &t), -EINVAL);
	o = (struct sf_snapshot_options){ .struct_size = 1 };
	assert_int_equal(sf_snapshot_create(region, &o, &t), -EINVAL);
	assert_int_equal(sf_snapshot_create((sf_region *)pool, NULL, &t), -EBADF);
	assert_int_equal(sf_snapshot_read(s, 0, &c, 1), -EBADF);
	assert_int_equal(sf_snapshot_read(NULL, 0, &c, 1), -EINVAL);
	assert_int_equal(sf_snapshot_map(s, &region, NULL), -EBADF);
	assert_int_equal(sf_snapshot_rollback(s), -EBADF);
	assert_int_equal(sf_snapshot_drop(NULL), -EINVAL);
	assert_int_equal(sf_snapshot_diff(s, NULL, &off, &r, 1), -EBADF);
	s = take();
	assert_int_equal(sf_snapshot_read(s, 0, NULL, 1), -EINVAL);
	assert_int_equal(sf_snapshot_map(s, NULL, NULL), -EINVAL);
	assert_int_equal(sf_snapshot_diff(s, (sf_snapshot *)region, &off, &r, 1), -EBADF);
	assert_int_equal(sf_snapshot_diff(s, NULL, NULL, &r, 1), -EINVAL);
	assert_int_equal(sf_snapshot_diff(s, NULL, &off, NULL, 1), -EINVAL);
	assert_int_equal(sf_snapshot_diff(s, NULL, &off, &r, 0), -EINVAL);
	assert_int_equal(sf_snapshot_save(s, NULL, NULL), -EINVAL);
	OK(sf_snapshot_drop(s));
	close_region();
}

static volatile int stop;
static void *scribble(void *arg)
{
	for (uint64_t n = 1; !stop; n++)
		for (unsigned i = 0; i < PAGES; i++)
			*(volatile uint64_t *)(mem + i * PAGE) = n;
	return NULL;
}

/* One writer in order: at any instant there is one step, downwards by one. */
static void taken_while_a_thread_writes(void **state)
{
	pthread_t t;

	open_region(NULL);
	stop = 0;
	assert_int_equal(pthread_create(&t, NULL, scribble, NULL), 0);
	for (unsigned round = 0; round < 20; round++) {
		sf_snapshot *s = take();
		uint64_t first, last, v;

		assert_int_equal(sf_snapshot_read(s, 0, &first, 8), 8);
		last = first;
		for (unsigned i = 1; i < PAGES; i++, last = v) {
			assert_int_equal(sf_snapshot_read(s, i * PAGE, &v, 8), 8);
			assert_true(v == last || (last == first && v + 1 == last));
		}
		OK(sf_snapshot_drop(s));
	}
	stop = 1;
	pthread_join(t, NULL);
	close_region();
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(generations_larger_than_the_bound),
	cmocka_unit_test(reads_of_any_length),
	cmocka_unit_test(a_mapped_snapshot_is_a_region_to_read),
	cmocka_unit_test(differences_are_listed),
	cmocka_unit_test(rolled_back_and_forth),
	cmocka_unit_test(saved_whole_and_then_by_differences),
	cmocka_unit_test(a_file_is_snapshotted_too),
	cmocka_unit_test(the_range_stays_while_there_are_snapshots),
	cmocka_unit_test(nonsense_is_an_error),
	cmocka_unit_test(taken_while_a_thread_writes),
};
MAIN(tests)
