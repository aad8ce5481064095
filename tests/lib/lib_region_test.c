/* SPDX-License-Identifier: MIT */
/* region_test.c - pools and regions: bounds, contents, ranges, advice, many regions, several pools */
#include "lib_test.h"

static void more_than_the_bound_keeps_every_byte(void **state)
{
	sf_pool *pool = open_pool(BOUND);
	sf_region *r;
	char *m;

	OK(sf_map(pool, 1000 * PAGE, NULL, &r, (void **)&m));
	for (unsigned round = 0; round < 3; round++)
		for (unsigned i = 0; i < 1000; i++) {
			if (round)
				assert_true(page_has(m + i * PAGE, mark(i + round - 1)));
			fill_page(m + i * PAGE, mark(i + round));
		}
	assert_in_range(pool_stats(pool).peak_resident, 1, BOUND);
	assert_in_range(pool_stats(pool).store_out, 900, 4000);
	assert_true(region_stats(r).faults > 0);
	OK(sf_unmap(r));
	close_pool(pool);
}

static void a_sparse_hundred_gigabytes(void **state)
{
	const uint64_t step = 1ull << 30;
	sf_pool *pool = open_pool(BOUND);
	sf_region *r;
	char *m;

	OK(sf_map(pool, 100 * step, NULL, &r, (void **)&m));
	for (uint64_t i = 0; i < 100; i++)
		m[i * step + i] = (char)(i + 1);
	for (uint64_t i = 0; i < 100; i++)
		assert_int_equal(m[i * step + i], i + 1);
	assert_int_equal(m[50 * step], 0);
	OK(sf_unmap(r));
	close_pool(pool);
}

static void many_regions(void **state)
{
	enum { N = 100000 };
	sf_region **r = calloc(N, sizeof(*r)), *at;
	struct sf_region_info info = { .struct_size = sizeof(info) };
	sf_pool *pool = open_pool(BOUND);

	for (unsigned i = 0; i < N; i++)
		OK(sf_map(pool, 16 * PAGE, NULL, &r[i], NULL));
	for (unsigned i = 0; i < N; i += 501) {
		OK(sf_region_info(r[i], &info));
		*(unsigned *)info.addr = i;
	}
	for (unsigned i = 0; i < N; i += 501) {
		OK(sf_region_info(r[i], &info));
		assert_int_equal(*(unsigned *)info.addr, i);
		OK(sf_region_at((char *)info.addr + 15 * PAGE, &at));
		assert_ptr_equal(at, r[i]);
	}
	for (unsigned i = 0; i < N; i++)
		OK(sf_unmap(r[i]));
	close_pool(pool);
	free(r);
}

static void pools_are_apart(void **state)
{
	enum { N = 8 };
	sf_pool *pool[N];
	sf_region *r[N];
	char *m[N];

	for (unsigned i = 0; i < N; i++) {
		OK(sf_pool_create(POOL_OPTIONS(.bound = BOUND), &pool[i]));
		OK(sf_map(pool[i], 10 * PAGE, NULL, &r[i], (void **)&m[i]));
	}
	assert_true(sf_rearm() >= 0);
	for (unsigned i = 0; i < N; i++)
		fill_page(m[i] + PAGE, mark(i));
	OK(sf_unmap(r[3]));
	OK(sf_pool_destroy(pool[3]));
	for (unsigned i = 0; i < N; i++)
		if (i != 3) {
			assert_true(page_has(m[i] + PAGE, mark(i)));
			assert_int_equal(pool_stats(pool[i]).resident, PAGE);
			assert_int_equal(sf_pool_destroy(pool[i]), -EBUSY);
			OK(sf_unmap(r[i]));
			OK(sf_pool_destroy(pool[i]));
		}
	assert_int_equal(try_read(m[3]), -EFAULT);
}

static void bad_touches_are_told_apart(void **state)
{
	sf_pool *pool = open_pool(BOUND);
	sf_region *r;
	char *m;

	OK(sf_map(pool, 4 * PAGE, MAP(.prot = SF_READ), &r, (void **)&m));
	OK(try_read(m));
	assert_int_equal(try_write(m + 5, 1), -EACCES);
	assert_int_equal(try_read(m + 4 * PAGE), -EFAULT);
	assert_int_equal(try_read((char *)16), -EFAULT);
	OK(sf_protect(r, PAGE, PAGE, SF_WRITE));
	OK(try_write(m + PAGE, 7));
	OK(sf_protect(r, PAGE, PAGE, 0));
	assert_int_equal(try_read(m + PAGE), -EACCES);
	OK(sf_protect(r, 0, 4 * PAGE, SF_READ));
	assert_int_equal(m[PAGE], 7);
	OK(sf_unmap(r));
	assert_int_equal(try_read(m), -EFAULT);
	close_pool(pool);
}

static void scopes_nest(void **state)
{
	struct sf_try outer, inner;
	char *volatile low = (char *)32;
	volatile int step = 0;

	assert_true(sf_rearm() >= 0);

	if (!sf_try(&outer)) {
		if (!sf_try(&inner)) {
			*(volatile char *)low = 1;
			fail();
		}
		assert_int_equal(inner.error, -EFAULT);
		step = 1;
		assert_int_equal(sf_try_end(&inner), -EINVAL);
		(void)*(volatile char *)(low + 16);
		fail();
	}
	assert_ptr_equal(outer.addr, 48);
	assert_int_equal(step, 1);
	assert_int_equal(sf_try_end(&outer), -EINVAL);
	assert_int_equal(sf_try_end(NULL), -EINVAL);
}

static void growing_shrinking_moving(void **state)
{
	sf_pool *pool = open_pool(BOUND);
	sf_region *r, *wall;
	char *m, *w, *n;

	OK(sf_map(pool, 200 * PAGE, NULL, &wall, (void **)&w));
	OK(sf_map(pool, 200 * PAGE, NULL, &r, (void **)&m));
	for (unsigned i = 0; i < 200; i++)
		fill_page(m + i * PAGE, mark(i));
	OK(sf_resize(r, 150 * PAGE, 0, NULL));
	assert_int_equal(try_read(m + 150 * PAGE), -EFAULT);
	OK(sf_resize(r, 200 * PAGE, 0, (void **)&n));
	assert_ptr_equal(n, m);
	assert_int_equal(m[150 * PAGE], 0);
	assert_int_equal(sf_resize(r, 400 * PAGE, 0, NULL), -ENOMEM);
	OK(sf_resize(r, 400 * PAGE, SF_MAY_MOVE, (void **)&n));
	assert_ptr_not_equal(n, m);
	for (unsigned i = 0; i < 150; i++)
		assert_true(page_has(n + i * PAGE, mark(i)));
	assert_int_equal(try_read(m), -EFAULT);
	assert_int_equal(sf_move(r, w - 300 * PAGE, NULL), -EEXIST);
	OK(sf_move(r, NULL, (void **)&m));
	for (unsigned i = 0; i < 150; i++)
		assert_true(page_has(m + i * PAGE, mark(i)));
	OK(sf_move(r, n, (void **)&m));
	assert_ptr_equal(m, n);
	assert_true(page_has(m + 100 * PAGE, mark(100)));
	OK(sf_unmap(r));
	OK(sf_unmap(wall));
	close_pool(pool);
}

static void fixed_addresses(void **state)
{
	sf_pool *pool = open_pool(BOUND);
	sf_region *r, *r2;
	char *m, *n;

	OK(sf_map(pool, 10 * PAGE, NULL, &r, (void **)&m));
	assert_int_equal(sf_map(pool, PAGE, MAP(.flags = SF_MAP_FIXED, .addr = m + PAGE), &r2, NULL), -EEXIST);
	OK(sf_map(pool, PAGE, MAP(.flags = SF_MAP_FIXED, .addr = m - 5 * PAGE), &r2, (void **)&n));
	assert_ptr_equal(n, m - 5 * PAGE);
	OK(sf_unmap(r2));
	assert_int_equal(sf_map(pool, PAGE, MAP(.flags = SF_MAP_FIXED, .addr = (void *)(16 * PAGE)), &r2, NULL), -EINVAL);
	assert_int_equal(sf_map(pool, PAGE, MAP(.flags = SF_MAP_FIXED, .addr = m - 5), &r2, NULL), -EINVAL);
	OK(sf_unmap(r));
	close_pool(pool);
}

static void advice(void **state)
{
	unsigned char in[100];
	sf_pool *pool = open_pool(4 * BOUND);
	sf_region *r;
	char *m;
	unsigned n = 0;

	OK(sf_map(pool, 100 * PAGE, NULL, &r, (void **)&m));
	for (unsigned i = 0; i < 100; i++)
		fill_page(m + i * PAGE, mark(i));
	OK(sf_advise(r, 0, 100 * PAGE, SF_COLD));
	OK(sf_advise(r, 0, 100 * PAGE, SF_PAGEOUT));
	OK(sf_residency(r, 0, 100 * PAGE, in));
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(in[i], SF_IN_STORE | SF_IN_DIRTY);
	OK(sf_advise(r, 10 * PAGE, 20 * PAGE, SF_POPULATE));
	OK(sf_residency(r, 10 * PAGE, 20 * PAGE, in));
	for (unsigned i = 0; i < 20; i++)
		assert_true(in[i] & SF_IN_MEMORY);
	OK(sf_advise(r, 40 * PAGE, 40 * PAGE, SF_WILLNEED));
	while (n < 40) {
		OK(sf_residency(r, 40 * PAGE, 40 * PAGE, in));
		for (n = 0; n < 40 && in[n] & SF_IN_MEMORY; n++)
			;
	}
	OK(sf_advise(r, 0, 5 * PAGE, SF_DONTNEED));
	assert_true(page_has(m, 0));
	for (unsigned i = 5; i < 100; i++)
		assert_true(page_has(m + i * PAGE, mark(i)));
	OK(sf_advise(r, 0, 0, SF_RANDOM));
	assert_int_equal(sf_advise(r, 0, PAGE, SF_SEQUENTIAL), -EINVAL);
	OK(sf_advise(r, 0, 100 * PAGE, SF_SEQUENTIAL));
	OK(sf_unmap(r));
	close_pool(pool);
}

static void bounds_change_in_use(void **state)
{
	sf_pool *pool = open_pool(BOUND);
	sf_region *r;
	char *m;

	OK(sf_map(pool, 1000 * PAGE, NULL, &r, (void **)&m));
	for (unsigned i = 0; i < 1000; i++)
		fill_page(m + i * PAGE, mark(i));
	OK(sf_pool_resize(pool, 16 * BOUND));
	for (unsigned i = 0; i < 1000; i++)
		assert_true(page_has(m + i * PAGE, mark(i)));
	assert_int_equal(pool_stats(pool).resident, 1000 * PAGE);
	OK(sf_pool_resize(pool, 2 * BOUND));
	assert_in_range(pool_stats(pool).resident, 1, 2 * BOUND);
	assert_int_equal(sf_pool_resize(pool, PAGE), -EINVAL);
	for (unsigned i = 0; i < 1000; i++)
		assert_true(page_has(m + i * PAGE, mark(i)));
	OK(sf_unmap(r));
	close_pool(pool);
}

static void without_a_store_memory_runs_out_as_an_error(void **state)
{
	sf_pool *pool;
	sf_region *r;
	char *m;
	unsigned i;

	OK(sf_pool_create(POOL_OPTIONS(.bound = BOUND), &pool));
	sf_rearm();
	OK(sf_map(pool, 1000 * PAGE, NULL, &r, (void **)&m));
	for (i = 0; i < 1000 && !try_write(m + i * PAGE, 1); i++)
		;
	assert_in_range(i, 50, 64);
	assert_int_equal(try_write(m + i * PAGE, 1), -ENOMEM);
	OK(sf_advise(r, 0, 10 * PAGE, SF_DONTNEED));
	OK(try_write(m + i * PAGE, 1));
	OK(sf_unmap(r));
	OK(sf_pool_destroy(pool));
}

static void clusters_come_in_whole(void **state)
{
	static const unsigned sizes[] = { 1, 4, 16, 64, 512 };
	sf_pool *pool = open_pool(64 * BOUND);
	int fd = temp_file(1024);

	for (unsigned k = 0; k < 5; k++) {
		unsigned n = sizes[k];
		sf_region *r;
		char *m;

		OK(sf_map(pool, 1024 * PAGE, MAP(.kind = SF_FILE_PRIVATE, .fd = fd, .cluster = n * PAGE, .prot = SF_READ), &r, (void **)&m));
		assert_true(page_has(m + 700 * PAGE, mark(700)));
		assert_int_equal(region_stats(r).resident, n * PAGE);
		for (unsigned i = 0; i < 1024; i++)
			assert_true(page_has(m + i * PAGE, mark(i)));
		OK(sf_unmap(r));
	}
	close(fd);
	close_pool(pool);
}

static void compressed_and_file_stores(void **state)
{
	int fd = temp_file(0);
	sf_store *file, *zram;
	sf_pool *pool;
	sf_region *r;
	uint64_t empty;
	char *m;

	OK(sf_store_file(fd, 0, 0, &file));
	OK(sf_store_compressed(40 * PAGE, file, &zram));
	OK(sf_pool_create(POOL_OPTIONS(.bound = 4 * BOUND, .store = zram), &pool));
	sf_rearm();
	empty = pool_stats(pool).resident;
	assert_in_range(empty, 0, 4 * PAGE);
	assert_int_equal(sf_store_close(zram), -EBUSY);
	assert_int_equal(sf_store_close(file), -EBUSY);
	OK(sf_map(pool, 2000 * PAGE, NULL, &r, (void **)&m));
	for (unsigned i = 0; i < 2000; i++)
		for (unsigned k = 0; k < 512; k++)
			((uint64_t *)(m + i * PAGE))[k] = k % 8 ? i : mark(i * 512 + k);
	for (unsigned i = 0; i < 2000; i++)
		assert_int_equal(((uint64_t *)(m + i * PAGE))[8], mark(i * 512 + 8));
	assert_in_range(pool_stats(pool).peak_resident, 1, 4 * BOUND);
	OK(sf_unmap(r));
	assert_in_range(pool_stats(pool).resident, 0, empty + 2 * PAGE); /* what the store keeps is a matter of its size */
	OK(sf_pool_destroy(pool));
	OK(sf_store_close(zram));
	OK(sf_store_close(file));
	close(fd);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(more_than_the_bound_keeps_every_byte),
	cmocka_unit_test(a_sparse_hundred_gigabytes),
	cmocka_unit_test(many_regions),
	cmocka_unit_test(pools_are_apart),
	cmocka_unit_test(bad_touches_are_told_apart),
	cmocka_unit_test(scopes_nest),
	cmocka_unit_test(growing_shrinking_moving),
	cmocka_unit_test(fixed_addresses),
	cmocka_unit_test(advice),
	cmocka_unit_test(bounds_change_in_use),
	cmocka_unit_test(without_a_store_memory_runs_out_as_an_error),
	cmocka_unit_test(clusters_come_in_whole),
	cmocka_unit_test(compressed_and_file_stores),
};
MAIN(tests)
