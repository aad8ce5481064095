/* SPDX-License-Identifier: MIT */
/* inject_test.c - the n-th call to the host fails, for every n: errors are errors, contents are right or refused, nothing is left behind
 *
 * Linked with the library's inside, to stand between it and the host. */
#include "lib_test.h"

#include "port/host/host.h"

static uint64_t to_go;
static int fail_with;
static bool failed;

/* What takes memory away is not made to fail here: the core may rely on one of two tries, which other tests are about. */
static bool may_fail(long nr, uint64_t advice)
{
	return nr != __NR_futex && nr != __NR_munmap && nr != __NR_gettid && nr != __NR_clock_gettime && nr != __NR_write &&
	       nr != __NR_tgkill && nr != __NR_rt_tgsigqueueinfo && nr != __NR_close && !(nr == __NR_madvise && advice == 4);
}

static int64_t failing(long nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f)
{
	if (may_fail(nr, c) && __atomic_load_n(&to_go, __ATOMIC_RELAXED) && !__atomic_sub_fetch(&to_go, 1, __ATOMIC_RELAXED)) {
		failed = true;
		return fail_with;
	}
	return host_syscall_raw(nr, a, b, c, d, e, f);
}

static void arm(uint64_t n, int err)
{
	failed = false;
	fail_with = err;
	to_go = n;
	host_table.call = failing;
}

static bool disarm(void)
{
	host_table.call = host_syscall_raw;
	return failed;
}

static const int errors[] = { -ENOMEM, -EIO, -EAGAIN };

static void make_pools(unsigned flags)
{
	for (unsigned n = 1;; n++) {
		sf_pool *pool;
		int err;

		arm(n, errors[n % 3]);
		err = sf_pool_create(POOL_OPTIONS(.bound = BOUND, .flags = flags), &pool);
		bool hit = disarm();

		if (!err)
			OK(sf_pool_destroy(pool));
		if (!hit)
			break;
		assert_true(err <= 0 && err > -4096);
	}
}

static void making_a_pool(void **state)
{
	make_pools(0);
	make_pools(SF_POOL_CHECKSUM);
	make_pools(SF_POOL_HOST_TOUCH);
}

/* One round of everything; true: some call failed on the way. */
static bool one_round(unsigned n, int error, unsigned pages)
{
	int fd = memory_file(pages), err;
	sf_pool *pool = open_pool(BOUND);
	sf_region *r = NULL, *f = NULL;
	char *m, *g;

	arm(n, error);
	err = sf_map(pool, pages * PAGE, NULL, &r, (void **)&m);
	if (!err)
		err = sf_map(pool, pages * PAGE, MAP(.kind = SF_FILE_SHARED, .fd = fd), &f, (void **)&g);
	for (unsigned i = 0; !err && i < pages; i++) {
		struct sf_try t;

		if (!sf_try(&t)) {
			fill_page(m + i * PAGE, mark(i));
			fill_page(g + i * PAGE, mark(i + 1));
			sf_try_end(&t);
		} else {
			i--; /* once more: only one call fails */
		}
	}
	if (!err) {
		(void)sf_protect(r, 0, 50 * PAGE, SF_READ);
		(void)sf_sync(f, 0, 0, 0);
		(void)sf_resize(r, (pages - 10) * PAGE, 0, NULL);
		(void)sf_move(r, NULL, (void **)&m);
	}
	bool hit = disarm();

	for (unsigned i = 0; !err && i < pages - 10; i++) {
		assert_true(page_has(m + i * PAGE, mark(i)));
		assert_true(page_has(g + i * PAGE, mark(i + 1)));
	}
	if (f) {
		OK(sf_sync(f, 0, 0, 0));
		for (unsigned i = 0; !err && i < pages; i++)
			assert_true(file_has(fd, i, mark(i + 1)));
		OK(sf_unmap(f));
	}
	if (r)
		OK(sf_unmap(r));
	close(fd);
	close_pool(pool);
	return hit;
}

static void everything_else(void **state)
{
	unsigned rounds = 0;

	for (unsigned n = 1; one_round(n, errors[n % 3], 150); n += n < 40 ? 1 : 1 + n / 12)
		rounds++;
	assert_in_range(rounds, 10, 100000);
}

/* The same in small, where each of the calls gets its turn. */
static void every_single_call(void **state)
{
	for (unsigned n = 1; one_round(n, errors[n % 3], 70); n++)
		;
}

/* A scan in order, whose pages are the host's, and some writes: small enough for every single call. */
static bool scan_round(unsigned n, int error)
{
	sf_pool *pool = open_pool(3 * BOUND);
	int fd = memory_file(300), err;
	sf_region *f = NULL;
	char *g;

	arm(n, error);
	err = sf_map(pool, 300 * PAGE, MAP(.kind = SF_FILE_SHARED, .fd = fd), &f, (void **)&g);
	if (!err)
		(void)sf_advise(f, 0, 0, SF_SEQUENTIAL);
	for (unsigned i = 0; !err && i < 300; i++) {
		struct sf_try t;

		if (!sf_try(&t)) {
			assert_true(page_has(g + i * PAGE, mark(i)));
			if (i % 100 == 99)
				g[(i - 20) * PAGE] = 0;
			sf_try_end(&t);
		} else {
			i--;
		}
	}
	if (!err) {
		(void)sf_protect(f, 100 * PAGE, 50 * PAGE, SF_READ);
		(void)sf_advise(f, 0, 200 * PAGE, SF_PAGEOUT);
		(void)sf_move(f, NULL, (void **)&g);
	}
	bool hit = disarm();

	for (unsigned i = 0; !err && i < 300; i++)
		assert_int_equal(g[i * PAGE], i % 100 == 79 ? 0 : (char)mark(i));
	if (f)
		OK(sf_unmap(f));
	close(fd);
	close_pool(pool);
	return hit;
}

static void scanning(void **state)
{
	for (unsigned n = 1; scan_round(n, errors[n % 3]); n++)
		;
}

/* ---------------------------------------------------------------- the store */

static struct { char mem[100 * PAGE]; bool hit; } flaky;

static bool flaky_fails(void)
{
	bool fails = to_go && !--to_go;

	flaky.hit |= fails;
	return fails;
}

static int64_t flaky_read(void *arg, void *buf, size_t len, uint64_t off)
{
	if (flaky_fails())
		return fail_with;
	memcpy(buf, flaky.mem + off, len);
	return (int64_t)len;
}

static int64_t flaky_write(void *arg, const void *buf, size_t len, uint64_t off)
{
	if (flaky_fails())
		return fail_with;
	memcpy(flaky.mem + off, buf, len);
	return (int64_t)len;
}

/* Each page written, and read and written once more, through a store whose n-th call fails: at most one touch has an error, and nothing is lost. */
static bool store_round(unsigned n, int error)
{
	static const struct sf_store_ops ops = {
		.struct_size = sizeof(ops), .flags = SF_STORE_INLINE, .read = flaky_read, .write = flaky_write,
	};
	unsigned errs = 0;
	sf_store *store;
	sf_pool *pool;
	sf_region *r;
	char *m;

	OK(sf_store_create(&ops, NULL, &store));
	OK(sf_pool_create(POOL_OPTIONS(.bound = BOUND, .store = store, .store_bytes = sizeof(flaky.mem) - 2 * PAGE), &pool));
	assert_true(sf_rearm() >= 0);
	OK(sf_map(pool, 90 * PAGE, NULL, &r, (void **)&m));
	to_go = n;
	fail_with = error;
	flaky.hit = false;
	for (unsigned i = 0; i < 180; i++) {
		uint64_t *page = (uint64_t *)(m + i % 90 * PAGE);
		int err = try_read(page);

		if (err) {
			assert_int_equal(err, -EIO);
			assert_true(++errs == 1);
			i--;
			continue;
		}
		assert_true(page_has(page, i < 90 ? 0 : mark(i - 90)));
		fill_page(page, mark(i));
	}
	to_go = 0;
	for (unsigned i = 0; i < 90; i++)
		assert_true(page_has(m + i * PAGE, mark(90 + i)));
	OK(sf_unmap(r));
	assert_int_equal(pool_stats(pool).resident, 0);
	OK(sf_pool_destroy(pool));
	OK(sf_store_close(store));
	return flaky.hit;
}

static void every_call_of_a_store(void **state)
{
	static const int store_errors[] = { -EIO, -ENOSPC, -ETIMEDOUT };
	unsigned n = 1;

	while (store_round(n, store_errors[n % 3]))
		n++;
	assert_in_range(n, 5, 10000);
}

/* ---------------------------------------------------------------- batches of writes */

static struct { unsigned writes, enters; bool no_uring; uint64_t cut; } seen;

static int64_t watching(long nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f)
{
	seen.writes += nr == __NR_pwrite64 && d < 60 * PAGE; /* not into /proc/self/mem */
	seen.enters += nr == __NR_io_uring_enter;
	if (nr == __NR_io_uring_setup && seen.no_uring)
		return -EPERM;
	if (nr == __NR_io_uring_enter && seen.cut) { /* the host takes some of them only */
		b = b > seen.cut ? seen.cut : b;
		c = c > b ? b : c;
	}
	return host_syscall_raw(nr, a, b, c, d, e, f);
}

/* Every other page of 60 is changed and synced: 30 runs. */
static void sync_scattered(bool direct)
{
	int fd = temp_file(60);
	sf_store *store = NULL;
	sf_pool *pool;
	sf_region *r;
	char *m;

	host_table.call = watching;
	seen.writes = seen.enters = 0;
	OK(sf_pool_create(POOL_OPTIONS(.bound = BOUND), &pool));
	sf_rearm();
	if (direct) {
		OK(sf_store_file(fd, 0, SF_STORE_DIRECT, &store));
		OK(sf_map(pool, 60 * PAGE, MAP(.kind = SF_STORE, .store = store), &r, (void **)&m));
	} else {
		OK(sf_map(pool, 60 * PAGE, MAP(.kind = SF_FILE_SHARED, .fd = fd), &r, (void **)&m));
	}
	for (unsigned i = 0; i < 60; i += 2)
		fill_page(m + i * PAGE, mark(i + 1000));
	OK(sf_sync(r, 0, 0, 0));
	assert_int_equal(region_stats(r).home_out, 30);
	assert_int_equal(region_stats(r).dirty, 0);
	for (unsigned i = 0; i < 60; i++)
		assert_true(file_has(fd, i, mark(i % 2 ? i : i + 1000)));
	OK(sf_unmap(r));
	OK(sf_pool_destroy(pool));
	if (store)
		OK(sf_store_close(store));
	host_table.call = host_syscall_raw;
	close(fd);
}

static void scattered_pages_are_written_at_once(void **state)
{
	struct { int fd; } probe = { (int)host_syscall_raw(__NR_io_uring_setup, 0, 0, 0, 0, 0, 0) };
	bool have = probe.fd != -EPERM && probe.fd != -ENOSYS;

	for (unsigned direct = 0; direct < 2; direct++) {
		seen.no_uring = true;
		sync_scattered(direct);
		assert_int_equal(seen.writes, 30);
		seen.no_uring = false;
		for (seen.cut = 0; have && seen.cut < 20; seen.cut += 7) {
			sync_scattered(direct);
			assert_int_equal(seen.writes, seen.cut ? 30 - seen.cut : 0);
			assert_in_range(seen.enters, 1, 30);
		}
	}
	seen.cut = 0;
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(scattered_pages_are_written_at_once),
	cmocka_unit_test(making_a_pool),
	cmocka_unit_test(everything_else),
	cmocka_unit_test(every_single_call),
	cmocka_unit_test(every_call_of_a_store),
	cmocka_unit_test(scanning),
};
MAIN(tests)
