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

static void making_a_pool(void **state)
{
	for (unsigned n = 1;; n++) {
		sf_pool *pool;
		int err;

		arm(n, errors[n % 3]);
		err = sf_pool_create(POOL_OPTIONS(.bound = BOUND), &pool);
		bool hit = disarm();

		if (!err)
			OK(sf_pool_destroy(pool));
		if (!hit)
			break;
		assert_true(err <= 0 && err > -4096);
	}
}

/* One round of everything; true: some call failed on the way. */
static bool one_round(unsigned n, int error)
{
	int fd = temp_file(150), err;
	sf_pool *pool = open_pool(BOUND);
	sf_region *r = NULL, *f = NULL;
	char *m, *g;

	arm(n, error);
	err = sf_map(pool, 150 * PAGE, NULL, &r, (void **)&m);
	if (!err)
		err = sf_map(pool, 150 * PAGE, MAP(.kind = SF_FILE_SHARED, .fd = fd), &f, (void **)&g);
	for (unsigned i = 0; !err && i < 150; i++) {
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
		(void)sf_resize(r, 140 * PAGE, 0, NULL);
		(void)sf_move(r, NULL, (void **)&m);
	}
	bool hit = disarm();

	for (unsigned i = 0; !err && i < 140; i++) {
		assert_true(page_has(m + i * PAGE, mark(i)));
		assert_true(page_has(g + i * PAGE, mark(i + 1)));
	}
	if (f) {
		OK(sf_sync(f, 0, 0, 0));
		for (unsigned i = 0; !err && i < 150; i++)
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

	for (unsigned n = 1; one_round(n, errors[n % 3]); n += n < 40 ? 1 : 1 + n / 12)
		rounds++;
	assert_in_range(rounds, 10, 100000);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(making_a_pool),
	cmocka_unit_test(everything_else),
};
MAIN(tests)
