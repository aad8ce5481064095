/* SPDX-License-Identifier: MIT */
/* home_test.c - regions with a file or store behind them: what is read, what is written back, and when */
#include "lib_test.h"

#include <fcntl.h>

static void private_changes_stay_private(void **state)
{
	sf_pool *pool = open_pool(BOUND);
	int fd = temp_file(300);
	sf_region *r;
	char *m;

	OK(sf_map(pool, 300 * PAGE, MAP(.kind = SF_FILE_PRIVATE, .fd = fd), &r, (void **)&m));
	for (unsigned i = 0; i < 300; i++) {
		assert_true(page_has(m + i * PAGE, mark(i)));
		if (i % 3 == 0)
			fill_page(m + i * PAGE, 7);
	}
	for (unsigned i = 0; i < 300; i++)
		assert_true(page_has(m + i * PAGE, i % 3 ? mark(i) : 7));
	OK(sf_sync(r, 0, 0, 0));
	for (unsigned i = 0; i < 300; i++)
		assert_true(file_has(fd, i, mark(i)));
	OK(sf_unmap(r));
	close(fd);
	close_pool(pool);
}

static void shared_changes_reach_the_file(void **state)
{
	sf_pool *pool;
	int fd = temp_file(300);
	sf_region *r;
	char *m;

	OK(sf_pool_create(POOL_OPTIONS(.bound = BOUND), &pool)); /* no store: everything has a home */
	sf_rearm();
	OK(sf_map(pool, 200 * PAGE, MAP(.kind = SF_FILE_SHARED, .fd = fd, .offset = 100 * PAGE), &r, (void **)&m));
	for (unsigned i = 0; i < 200; i++) {
		assert_true(page_has(m + i * PAGE, mark(100 + i)));
		fill_page(m + i * PAGE, mark(5000 + i));
	}
	for (unsigned i = 0; i < 200; i++)
		assert_true(page_has(m + i * PAGE, mark(5000 + i)));
	assert_in_range(region_stats(r).home_out, 130, 400);
	OK(sf_sync(r, 0, 0, 0));
	assert_int_equal(region_stats(r).dirty, 0);
	for (unsigned i = 0; i < 300; i++)
		assert_true(file_has(fd, i, i < 100 ? mark(i) : mark(4900 + i)));
	m[3 * PAGE] = 1;
	assert_int_equal(region_stats(r).dirty, PAGE);
	OK(sf_advise(r, 0, 200 * PAGE, SF_DONTNEED));
	assert_true(page_has(m + 3 * PAGE, mark(5003)));
	OK(sf_unmap(r));
	OK(sf_pool_destroy(pool));
	close(fd);
}

static void ordered_regions_write_at_sync_only(void **state)
{
	sf_pool *pool = open_pool(BOUND);
	int fd = temp_file(300);
	struct sf_range range[4];
	uint64_t at = 0;
	sf_region *r;
	char *m;

	OK(sf_map(pool, 300 * PAGE, MAP(.kind = SF_FILE_SHARED, .flags = SF_MAP_ORDERED, .fd = fd), &r, (void **)&m));
	for (unsigned i = 20; i < 280; i++)
		fill_page(m + i * PAGE, mark(1000 + i));
	OK(sf_advise(r, 0, 300 * PAGE, SF_PAGEOUT));
	for (unsigned i = 0; i < 300; i++)
		assert_true(file_has(fd, i, mark(i)));
	assert_int_equal(region_stats(r).dirty, 260 * PAGE);
	assert_int_equal(sf_dirty_ranges(r, &at, range, 4), 1);
	assert_int_equal(range[0].off, 20 * PAGE);
	assert_int_equal(range[0].len, 260 * PAGE);
	assert_int_equal(sf_dirty_ranges(r, &at, range, 4), 0);
	OK(sf_sync(r, 100 * PAGE, 50 * PAGE, 0));
	for (unsigned i = 0; i < 300; i++)
		assert_true(file_has(fd, i, i >= 100 && i < 150 ? mark(1000 + i) : mark(i)));
	at = 0;
	assert_int_equal(sf_dirty_ranges(r, &at, range, 4), 2);
	OK(sf_sync(r, 0, 0, SF_SYNC_NOFLUSH));
	for (unsigned i = 0; i < 300; i++) {
		assert_true(file_has(fd, i, i >= 20 && i < 280 ? mark(1000 + i) : mark(i)));
		assert_true(page_has(m + i * PAGE, i >= 20 && i < 280 ? mark(1000 + i) : mark(i)));
	}
	assert_int_equal(pool_stats(pool).store_bytes, 0);
	OK(sf_unmap(r));
	close(fd);
	close_pool(pool);
}

static void sync_in_the_background(void **state)
{
	sf_pool *pool = open_pool(BOUND);
	int fd = temp_file(100);
	sf_region *r;
	char *m;

	OK(sf_map(pool, 100 * PAGE, MAP(.kind = SF_FILE_SHARED, .fd = fd), &r, (void **)&m));
	for (unsigned i = 0; i < 100; i++)
		fill_page(m + i * PAGE, 3);
	OK(sf_sync(r, 0, 0, SF_SYNC_ASYNC));
	while (region_stats(r).dirty)
		;
	OK(sf_sync(r, 0, 0, 0));
	for (unsigned i = 0; i < 100; i++)
		assert_true(file_has(fd, i, 3));
	OK(sf_unmap(r));
	close(fd);
	close_pool(pool);
}

static void the_end_of_a_file(void **state)
{
	sf_pool *pool = open_pool(BOUND);
	int fd = temp_file(4);
	sf_region *r;
	char *m;

	OK(ftruncate(fd, 2 * PAGE + 100));
	OK(sf_map(pool, 10 * PAGE, MAP(.kind = SF_FILE_SHARED, .fd = fd), &r, (void **)&m));
	assert_int_equal(m[2 * PAGE + 100], 0);
	memset(m + 2 * PAGE, 'x', 200);
	assert_int_equal(try_read(m + 3 * PAGE), -ENXIO);
	OK(sf_sync(r, 0, 0, 0));
	assert_int_equal(lseek(fd, 0, SEEK_END), 2 * PAGE + 100);
	char c = 0;
	assert_int_equal(pread(fd, &c, 1, 2 * PAGE + 99), 1);
	assert_int_equal(c, 'x');
	OK(ftruncate(fd, 4 * PAGE));
	OK(try_read(m + 3 * PAGE));
	OK(sf_unmap(r));
	close(fd);
	close_pool(pool);
}

static void rights_of_descriptors(void **state)
{
	sf_pool *pool = open_pool(BOUND);
	int fd = temp_file(4), ro, p[2];
	char path[40];
	sf_region *r;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	ro = open(path, O_RDONLY);
	assert_int_equal(sf_map(pool, PAGE, MAP(.kind = SF_FILE_SHARED, .fd = ro), &r, NULL), -EACCES);
	OK(sf_map(pool, PAGE, MAP(.kind = SF_FILE_SHARED, .fd = ro, .prot = SF_READ), &r, NULL));
	assert_int_equal(sf_protect(r, 0, PAGE, SF_WRITE), -EACCES);
	OK(sf_unmap(r));
	OK(sf_map(pool, PAGE, MAP(.kind = SF_FILE_PRIVATE, .fd = ro), &r, NULL));
	OK(sf_unmap(r));
	OK(pipe(p));
	assert_int_equal(sf_map(pool, PAGE, MAP(.kind = SF_FILE_PRIVATE, .fd = p[0]), &r, NULL), -ESPIPE);
	close(p[0]);
	close(p[1]);
	assert_int_equal(sf_map(pool, PAGE, MAP(.kind = SF_FILE_PRIVATE, .fd = 999), &r, NULL), -EINVAL);
	close(fd);
	close(ro);
	close_pool(pool);
}

/* A store of the application's: an array, with a count of what is asked of it. */
static struct { char *mem; unsigned reads, writes, syncs; } mine;

static int64_t my_read(void *arg, void *buf, size_t len, uint64_t off)
{
	__atomic_fetch_add(&mine.reads, 1, __ATOMIC_RELAXED);
	memcpy(buf, mine.mem + off, len);
	return (int64_t)len;
}

static int64_t my_write(void *arg, const void *buf, size_t len, uint64_t off)
{
	free(malloc(100)); /* libc is allowed here */
	__atomic_fetch_add(&mine.writes, 1, __ATOMIC_RELAXED);
	memcpy(mine.mem + off, buf, len);
	return (int64_t)len;
}

static int my_sync(void *arg)
{
	mine.syncs++;
	return 0;
}

/* Completes from another place than where it began: everything when the next batch arrives, or at once. */
static int my_submit(void *arg, struct sf_io *const *ios, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		bool last = ios[i]->op == SF_IO_SYNC; /* no request comes behind it that could stand in its place by then */
		int64_t r = 0;

		if (ios[i]->op == SF_IO_READ)
			r = my_read(arg, ios[i]->buf, ios[i]->len, ios[i]->off);
		else if (ios[i]->op == SF_IO_WRITE)
			r = my_write(arg, ios[i]->buf, ios[i]->len, ios[i]->off);
		else if (ios[i]->op == SF_IO_SYNC)
			r = my_sync(arg);
		assert_int_equal(sf_io_done(ios[i], r), 0);
		if (last)
			assert_int_equal(sf_io_done(ios[i], r), -EINVAL);
	}
	return (int)n;
}

static void stores_of_the_application(void **state)
{
	static const struct sf_store_ops kinds[] = {
		{ .struct_size = sizeof(kinds[0]), .read = my_read, .write = my_write, .sync = my_sync },
		{ .struct_size = sizeof(kinds[0]), .read = my_read, .write = my_write, .sync = my_sync, .flags = SF_STORE_INLINE },
		{ .struct_size = sizeof(kinds[0]), .submit = my_submit, .timeout_ms = 10000, .workers = 3 },
	};

	for (unsigned k = 0; k < 3; k++) {
		sf_pool *pool;
		sf_store *store;
		sf_region *r;
		char *m;

		mine.mem = calloc(300, PAGE);
		mine.syncs = 0;
		for (unsigned i = 0; i < 300; i++)
			fill_page(mine.mem + i * PAGE, mark(i));
		OK(sf_store_create(&kinds[k], NULL, &store));
		OK(sf_pool_create(POOL_OPTIONS(.bound = BOUND), &pool));
		sf_rearm();
		OK(sf_map(pool, 290 * PAGE, MAP(.kind = SF_STORE, .store = store, .offset = 10 * PAGE), &r, (void **)&m));
		assert_int_equal(sf_store_close(store), -EBUSY);
		for (unsigned i = 0; i < 290; i++) {
			assert_true(page_has(m + i * PAGE, mark(10 + i)));
			fill_page(m + i * PAGE, 3 * i);
		}
		OK(sf_sync(r, 0, 0, 0));
		assert_int_equal(mine.syncs, 1);
		for (unsigned i = 0; i < 290; i++)
			assert_true(page_has(mine.mem + (10 + i) * PAGE, 3 * i));
		OK(sf_unmap(r));
		OK(sf_pool_destroy(pool));
		OK(sf_store_close(store));
		free(mine.mem);
	}
}

static void stores_of_the_application_below_a_pool(void **state)
{
	struct sf_store_ops ops = { .struct_size = sizeof(ops), .read = my_read, .write = my_write };
	sf_pool *pool;
	sf_store *store;
	sf_region *r;
	char *m;

	mine.mem = calloc(1001, PAGE);
	OK(sf_store_create(&ops, NULL, &store));
	OK(sf_pool_create(POOL_OPTIONS(.bound = BOUND, .store = store, .store_bytes = 1000 * PAGE), &pool));
	sf_rearm();
	OK(sf_map(pool, 500 * PAGE, NULL, &r, (void **)&m));
	for (unsigned i = 0; i < 500; i++)
		fill_page(m + i * PAGE, mark(i));
	for (unsigned i = 0; i < 500; i++)
		assert_true(page_has(m + i * PAGE, mark(i)));
	OK(sf_unmap(r));
	OK(sf_pool_destroy(pool));
	OK(sf_store_close(store));
	free(mine.mem);
}

static void a_sum_for_each_page(void **state)
{
	sf_pool *pool = open_pool(BOUND);
	int fd = temp_file(100);
	uint64_t word = 12345;
	sf_region *r;
	char *m;

	OK(sf_map(pool, 100 * PAGE, MAP(.kind = SF_FILE_SHARED, .fd = fd, .flags = SF_MAP_CHECKSUM), &r, (void **)&m));
	for (unsigned i = 0; i < 100; i++)
		fill_page(m + i * PAGE, 5);
	OK(sf_sync(r, 0, 0, 0));
	OK(sf_advise(r, 0, 100 * PAGE, SF_DONTNEED));
	for (unsigned i = 0; i < 100; i++)
		assert_true(page_has(m + i * PAGE, 5));
	OK(sf_advise(r, 0, 100 * PAGE, SF_DONTNEED));
	assert_int_equal(pwrite(fd, &word, 8, 50 * PAGE + 80), 8);
	OK(try_read(m + 49 * PAGE));
	assert_int_equal(try_read(m + 50 * PAGE + 3), -EBADMSG);
	OK(try_read(m + 51 * PAGE));
	assert_in_range(region_stats(r).checksum_errors, 1, 10);
	OK(sf_unmap(r));
	close(fd);
	close_pool(pool);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(private_changes_stay_private),
	cmocka_unit_test(shared_changes_reach_the_file),
	cmocka_unit_test(ordered_regions_write_at_sync_only),
	cmocka_unit_test(sync_in_the_background),
	cmocka_unit_test(the_end_of_a_file),
	cmocka_unit_test(rights_of_descriptors),
	cmocka_unit_test(stores_of_the_application),
	cmocka_unit_test(stores_of_the_application_below_a_pool),
	cmocka_unit_test(a_sum_for_each_page),
};
MAIN(tests)
