/* SPDX-License-Identifier: MIT */
/* place_test.c - file regions that are read in order: their pages are the host's own until something else is wanted of them */
#include "lib_test.h"

#include <fcntl.h>
#include <pthread.h>

enum { PAGES = 900 };

static sf_pool *pool;
static sf_region *region;
static int fd;
static char *mem;

static void open_region(uint64_t bound, const struct sf_map_options *opt)
{
	struct sf_map_options mo = *opt;

	pool = open_pool(bound * PAGE);
	if (!fd)
		fd = temp_file(PAGES);
	mo.fd = fd;
	OK(sf_map(pool, PAGES * PAGE, &mo, &region, (void **)&mem));
	OK(sf_advise(region, 0, 0, SF_SEQUENTIAL));
}

static void close_region(void)
{
	OK(sf_unmap(region));
	close_pool(pool);
	close(fd);
	fd = 0;
}

static void scan(unsigned from, unsigned to)
{
	for (unsigned i = from; i < to; i++)
		assert_true(page_has(mem + i * PAGE, mark(i)));
}

static void change_file(unsigned page, uint64_t word)
{
	uint64_t buf[PAGE / 8];

	fill_page(buf, word);
	assert_int_equal(pwrite(fd, buf, PAGE, (off_t)(page * PAGE)), PAGE);
}

/* Nobody has copied it: what is written to the file shows. */
static bool is_placed(unsigned page)
{
	bool shows;

	change_file(page, 99);
	shows = page_has(mem + page * PAGE, 99);
	change_file(page, mark(page));
	return shows;
}

static void a_scan_stays_within_the_bound(void **state)
{
	for (unsigned bound = 128; bound <= 2048; bound *= 4) {
		open_region(bound, MAP(.kind = SF_FILE_PRIVATE));
		for (unsigned round = 0; round < 3; round++) {
			scan(0, PAGES);
			assert_true(is_placed(PAGES - 10));
			assert_in_range(pool_stats(pool).resident, PAGE, bound * PAGE);
		}
		assert_in_range(region_stats(region).home_in, PAGES, 3 * PAGES + 100);
		assert_true(pool_stats(pool).major < 3 * PAGES / 15);
		close_region();
	}
}

static void a_write_makes_the_page_ours(void **state)
{
	for (unsigned kind = SF_FILE_PRIVATE; kind <= SF_FILE_SHARED; kind++) {
		open_region(2048, MAP(.kind = kind));
		scan(0, PAGES);
		for (unsigned i = 5; i < PAGES; i += 100) {
			assert_true(is_placed(i));
			mem[i * PAGE + 8] = 1;
			assert_true(file_has(fd, i, mark(i)));
			assert_false(is_placed(i));
			assert_int_equal(region_stats(region).dirty, (i / 100 + 1) * PAGE);
		}
		scan(0, 5);
		scan(6, 105);
		scan(106, 205);
		OK(sf_sync(region, 0, 0, 0));
		assert_int_equal(region_stats(region).dirty, kind == SF_FILE_SHARED ? 0 : 9 * PAGE);
		for (unsigned i = 5; i < PAGES; i += 100)
			assert_int_equal(file_has(fd, i, mark(i)), kind == SF_FILE_PRIVATE);
		close_region();
	}
}

static void every_page_read_and_written_in_order(void **state)
{
	open_region(256, MAP(.kind = SF_FILE_SHARED));
	for (unsigned i = 0; i < PAGES; i++) {
		assert_true(page_has(mem + i * PAGE, mark(i)));
		fill_page(mem + i * PAGE, mark(i + 1));
	}
	OK(sf_sync(region, 0, 0, 0));
	for (unsigned i = 0; i < PAGES; i++)
		assert_true(page_has(mem + i * PAGE, mark(i + 1)) && file_has(fd, i, mark(i + 1)));
	close_region();
}

static enum sf_action supply(void *arg, const struct sf_error *err)
{
	fill_page(err->data, 4711);
	return SF_SUPPLY;
}

static void a_file_cut_short_is_an_error(void **state)
{
	open_region(2048, MAP(.kind = SF_FILE_SHARED));
	scan(0, 500);
	OK(ftruncate(fd, 300 * PAGE));
	scan(0, 300);
	assert_int_equal(try_read(mem + 300 * PAGE), -ENXIO);
	assert_int_equal(try_read(mem + 400 * PAGE + 7), -ENXIO);
	assert_int_equal(try_write(mem + 401 * PAGE + 7, 1), -ENXIO);
	OK(ftruncate(fd, PAGES * PAGE));
	assert_true(page_has(mem + 400 * PAGE, 0));
	close_region();
}

static void no_window_reaches_beyond_the_end(void **state)
{
	fd = temp_file(100);
	assert_int_equal(pwrite(fd, "end", 3, 100 * PAGE), 3);
	open_region(2048, MAP(.kind = SF_FILE_PRIVATE, .on_error = supply));
	scan(0, 100);
	assert_memory_equal(mem + 100 * PAGE, "end\0\0\0", 6);
	assert_int_equal(try_read(mem + 101 * PAGE), -ENXIO);
	OK(sf_unmap(region));
	close_pool(pool);
	close(fd);
	fd = 0;
}

static void sums_and_direct_files_are_never_placed(void **state)
{
	open_region(2048, MAP(.kind = SF_FILE_PRIVATE, .flags = SF_MAP_CHECKSUM));
	scan(0, PAGES);
	assert_false(is_placed(20));
	close_region();
	fd = temp_file(PAGES);
	if (fcntl(fd, F_SETFL, O_DIRECT)) { /* no such thing here */
		close(fd);
		fd = 0;
		return;
	}
	open_region(2048, MAP(.kind = SF_FILE_PRIVATE));
	scan(0, PAGES);
	OK(fcntl(fd, F_SETFL, 0));
	assert_false(is_placed(20));
	close_region();
}

static void pinned_pages_are_ours(void **state)
{
	struct sf_pin pin;

	open_region(2048, MAP(.kind = SF_FILE_PRIVATE));
	scan(0, PAGES);
	assert_true(is_placed(50));
	OK(sf_pin(mem + 50 * PAGE, 3 * PAGE, 0, &pin));
	assert_false(is_placed(50));
	assert_false(is_placed(52));
	assert_true(is_placed(49));
	assert_int_equal(pool_stats(pool).pinned, 3 * PAGE);
	OK(sf_unpin(&pin));
	assert_int_equal(sf_pread(fd, mem + 100 * PAGE, 5 * PAGE, 0), 5 * PAGE);
	for (unsigned i = 0; i < 5; i++)
		assert_true(page_has(mem + (100 + i) * PAGE, mark(i)));
	close_region();
}

static void a_snapshot_keeps_what_was_placed(void **state)
{
	uint64_t buf[PAGE / 8];
	sf_snapshot *s;

	open_region(2048, MAP(.kind = SF_FILE_SHARED));
	scan(0, PAGES);
	OK(sf_snapshot_create(region, NULL, &s));
	for (unsigned i = 0; i < PAGES; i += 3)
		fill_page(mem + i * PAGE, 1);
	scan(1, 3);
	for (unsigned i = 0; i < PAGES; i++) {
		assert_int_equal(sf_snapshot_read(s, i * PAGE, buf, PAGE), PAGE);
		assert_true(page_has(buf, mark(i)));
	}
	OK(sf_snapshot_drop(s));
	close_region();
}

static void rights_moves_and_advice(void **state)
{
	open_region(1024, MAP(.kind = SF_FILE_PRIVATE));
	scan(0, PAGES);
	OK(sf_protect(region, 100 * PAGE, 100 * PAGE, 0));
	assert_int_equal(try_read(mem + 150 * PAGE), -EACCES);
	OK(sf_protect(region, 100 * PAGE, 100 * PAGE, SF_READ));
	scan(90, 210);
	assert_int_equal(try_write(mem + 150 * PAGE, 1), -EACCES);
	OK(sf_protect(region, 0, PAGES * PAGE, SF_READ | SF_WRITE));
	scan(0, PAGES);
	OK(sf_move(region, NULL, (void **)&mem));
	scan(0, PAGES);
	OK(sf_advise(region, 0, 500 * PAGE, SF_DONTNEED));
	OK(sf_advise(region, 0, PAGES * PAGE, SF_PAGEOUT));
	assert_int_equal(pool_stats(pool).resident, 0);
	scan(0, PAGES);
	OK(sf_advise(region, 0, PAGES * PAGE, SF_COLD));
	OK(sf_pool_resize(pool, 64 * PAGE));
	assert_in_range(pool_stats(pool).resident, 0, 64 * PAGE);
	scan(0, PAGES);
	OK(sf_pool_resize(pool, 1024 * PAGE));
	scan(0, PAGES);
	OK(sf_resize(region, 200 * PAGE, 0, NULL));
	scan(0, 200);
	close_region();
}

static void *scan_often(void *arg)
{
	for (unsigned round = 0; round < 4; round++)
		for (unsigned i = 0; i < PAGES; i++)
			if (*(volatile uint64_t *)(mem + i * PAGE + (uintptr_t)arg) != mark(i))
				return arg;
	return NULL;
}

static void *write_often(void *arg)
{
	for (unsigned i = 0; i < 4 * PAGES; i++)
		__atomic_fetch_add((uint64_t *)(mem + i * 7 % PAGES * PAGE), 2, __ATOMIC_RELAXED);
	return NULL;
}

static void threads_scan_while_others_write(void **state)
{
	pthread_t t[4];

	open_region(512, MAP(.kind = SF_FILE_SHARED));
	for (uintptr_t i = 0; i < 4; i++)
		OK(pthread_create(&t[i], NULL, i < 2 ? scan_often : write_often, (void *)(8 * (i + 1))));
	for (unsigned i = 0; i < 4; i++) {
		void *bad;

		pthread_join(t[i], &bad);
		assert_null(bad);
	}
	for (unsigned i = 0; i < PAGES; i++)
		assert_int_equal(*(uint64_t *)(mem + i * PAGE), mark(i) + 2 * 2 * 4);
	close_region();
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(a_scan_stays_within_the_bound),
	cmocka_unit_test(a_write_makes_the_page_ours),
	cmocka_unit_test(every_page_read_and_written_in_order),
	cmocka_unit_test(a_file_cut_short_is_an_error),
	cmocka_unit_test(no_window_reaches_beyond_the_end),
	cmocka_unit_test(sums_and_direct_files_are_never_placed),
	cmocka_unit_test(pinned_pages_are_ours),
	cmocka_unit_test(a_snapshot_keeps_what_was_placed),
	cmocka_unit_test(rights_moves_and_advice),
	cmocka_unit_test(threads_scan_while_others_write),
};
MAIN(tests)
