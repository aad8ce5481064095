/* SPDX-License-Identifier: MIT */
/* fork_test.c - SF_FORK_KEEP: parent and child go on with the same contents, and neither sees what the other does */
#include "lib_test.h"

#include <errno.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/wait.h>

enum { PAGES = 600 };

static sf_store *store;
static sf_pool *pool;
static sf_region *region;
static char *mem;
static bool compressed_store;

#define CHILD(cond)                                                             \
	do {                                                                    \
		if (!(cond)) {                                                  \
			fprintf(stderr, "# %s:%d: child: %s\n", __FILE__, __LINE__, #cond); \
			_exit(1);                                               \
		}                                                               \
	} while (0)

static sf_pool *open_keeper(bool compressed)
{
	sf_pool *p;

	compressed_store = compressed;
	OK(compressed ? sf_store_compressed(1 << 24, NULL, &store) : sf_store_memory(1ull << 30, &store));
	OK(sf_pool_create(POOL_OPTIONS(.bound = 2 * BOUND, .store = store, .fork = SF_FORK_KEEP), &p));
	assert_true(sf_rearm() >= 0);
	return p;
}

static void close_keeper(sf_pool *p)
{
	struct sf_pool_stats st = pool_stats(p);

	assert_int_equal(st.store_bytes, 0);
	assert_true(compressed_store || !st.resident); /* it has tables of its own */
	OK(sf_pool_destroy(p));
	OK(sf_store_close(store));
}

static void open_all(bool compressed)
{
	pool = open_keeper(compressed);
	OK(sf_map(pool, PAGES * PAGE, NULL, &region, (void **)&mem));
	for (unsigned i = 0; i < PAGES; i++)
		((uint64_t *)(mem + i * PAGE))[i % 512] = mark(i);
}

static void close_all(void)
{
	OK(sf_unmap(region));
	close_keeper(pool);
}

static bool all_marked(uint64_t salt, unsigned step)
{
	for (unsigned i = 0; i < PAGES; i += step)
		if (((volatile uint64_t *)(mem + i * PAGE))[i % 512] != mark(i) + salt)
			return false;
	return true;
}

static void mark_all(uint64_t from, uint64_t to)
{
	for (unsigned i = 0; i < PAGES; i++) {
		volatile uint64_t *w = (volatile uint64_t *)(mem + i * PAGE) + i % 512;

		if (*w != mark(i) + from)
			abort();
		*w = mark(i) + to;
	}
}

static int wait_for(pid_t pid)
{
	int st;

	while (waitpid(pid, &st, 0) < 0 && errno == EINTR)
		;
	return st;
}

/* Everything that the pool can do it can do in the child. */
static void use_it_all(void)
{
	struct sf_pool_stats st = { .struct_size = sizeof(st) };
	sf_region *more;
	sf_snapshot *snap;
	char *m;

	CHILD(all_marked(0, 1));
	mark_all(0, 1000);
	CHILD(!sf_snapshot_create(region, NULL, &snap));
	mark_all(1000, 2000);
	CHILD(!sf_snapshot_rollback(snap) && all_marked(1000, 1));
	CHILD(!sf_snapshot_drop(snap));
	CHILD(!sf_map(pool, 300 * PAGE, NULL, &more, (void **)&m));
	for (unsigned i = 0; i < 300; i++)
		fill_page(m + i * PAGE, mark(i));
	CHILD(!sf_advise(region, 0, 20 * PAGE, SF_WILLNEED));
	for (unsigned i = 0; i < 300; i++)
		CHILD(page_has(m + i * PAGE, mark(i)));
	CHILD(!sf_resize(region, 700 * PAGE, SF_MAY_MOVE, (void **)&mem) && all_marked(1000, 3));
	CHILD(!sf_pool_stats(pool, &st) && st.resident <= st.bound);
	CHILD(!sf_unmap(more) && !sf_unmap(region));
	CHILD(!sf_pool_stats(pool, &st) && (compressed_store || !st.resident) && !st.store_bytes);
	CHILD(!sf_pool_destroy(pool) && !sf_store_close(store));
}

static void both_go_on(bool compressed)
{
	open_all(compressed);
	for (unsigned round = 0; round < 3; round++) {
		pid_t pid = fork();

		if (!pid) {
			alarm(60);
			use_it_all();
			_exit(0);
		}
		mark_all(0, 7);
		mark_all(7, 0);
		assert_int_equal(wait_for(pid), 0);
		assert_true(all_marked(0, 1));
	}
	close_all();
}

static void each_has_its_own_from_then_on(void **state)
{
	both_go_on(false);
}

static void with_compressed_memory(void **state)
{
	both_go_on(true);
}

static void grandchildren(void **state)
{
	open_all(false);
	pid_t pid = fork();

	if (!pid) {
		alarm(60);
		mark_all(0, 1);
		pid = fork();
		if (!pid) {
			mark_all(1, 2);
			_exit(!all_marked(2, 1));
		}
		mark_all(1, 5);
		_exit(wait_for(pid) || !all_marked(5, 1));
	}
	assert_int_equal(wait_for(pid), 0);
	assert_true(all_marked(0, 1));
	close_all();
}

/* ---------------------------------------------------------------- while others work */

static volatile bool stop;

static void *busy(void *arg)
{
	sf_region *r;
	char *m;

	for (uint64_t n = 1; !stop; n++) {
		OK(sf_map(pool, 100 * PAGE, NULL, &r, (void **)&m));
		for (unsigned i = 0; i < 100; i++)
			*(volatile uint64_t *)(m + i * PAGE) = n;
		OK(sf_advise(r, 0, 50 * PAGE, SF_PAGEOUT));
		OK(sf_advise(r, 0, 50 * PAGE, SF_WILLNEED));
		for (unsigned i = 0; i < 100; i++)
			assert_int_equal(*(volatile uint64_t *)(m + i * PAGE), n);
		OK(sf_unmap(r));
	}
	return NULL;
}

static void other_threads_at_work(void **state)
{
	pthread_t th[3];

	open_all(false);
	stop = false;
	for (unsigned i = 0; i < 3; i++)
		OK(pthread_create(&th[i], NULL, busy, NULL));
	for (unsigned round = 0; round < 30; round++) {
		pid_t pid = fork();

		if (!pid) {
			alarm(60);
			mark_all(0, round + 1);
			CHILD(all_marked(round + 1, 1));
			CHILD(!sf_unmap(region));
			_exit(0);
		}
		assert_true(all_marked(0, 17));
		assert_int_equal(wait_for(pid), 0);
	}
	stop = true;
	for (unsigned i = 0; i < 3; i++)
		pthread_join(th[i], NULL);
	close_all();
}

/* ---------------------------------------------------------------- what comes along, what does not */

static void snapshots_files_and_pins_come_along(void **state)
{
	int fd = temp_file(300);
	struct sf_pin pin;
	sf_snapshot *snap;
	sf_region *file;
	char *m;

	open_all(false);
	OK(sf_map(pool, 300 * PAGE, MAP(.kind = SF_FILE_PRIVATE, .fd = fd), &file, (void **)&m));
	fill_page(m + 5 * PAGE, 55);
	OK(sf_snapshot_create(region, NULL, &snap));
	mark_all(0, 3);
	OK(sf_pin(mem, 3 * PAGE, 1, &pin));
	pid_t pid = fork();

	if (!pid) {
		uint64_t w;

		alarm(60);
		CHILD(all_marked(3, 1));
		for (unsigned i = 0; i < 300; i++)
			CHILD(page_has(m + i * PAGE, i == 5 ? 55 : mark(i)));
		CHILD(sf_snapshot_read(snap, 9 * PAGE + 9 * 8, &w, 8) == 8 && w == mark(9));
		mark_all(3, 4);
		CHILD(!sf_snapshot_rollback(snap) && all_marked(0, 1));
		_exit(0);
	}
	mark_all(3, 9);
	assert_int_equal(wait_for(pid), 0);
	OK(sf_unpin(&pin));
	OK(sf_snapshot_rollback(snap));
	assert_true(all_marked(0, 1));
	OK(sf_snapshot_drop(snap));
	OK(sf_unmap(file));
	close_all();
	close(fd);
}

static void only_those_that_asked_for_it(void **state)
{
	sf_pool *other = open_pool(BOUND);
	sf_region *r;
	char *m;

	OK(sf_map(other, 100 * PAGE, NULL, &r, (void **)&m));
	fill_page(m, 1);
	open_all(false);
	pid_t pid = fork();

	if (!pid) {
		struct sf_pool_stats st = { .struct_size = sizeof(st) };

		alarm(60);
		CHILD(sf_pool_stats(other, &st) == -ESTALE && sf_unmap(r) == -ESTALE && try_read(m) < 0);
		CHILD(all_marked(0, 1));
		_exit(0);
	}
	assert_int_equal(wait_for(pid), 0);
	assert_true(page_has(m, 1));
	close_all();
	OK(sf_unmap(r));
	close_pool(other);
}

static void what_cannot_be_kept_is_refused(void **state)
{
	int fd = temp_file(4);
	sf_store *file, *over, *faulty;
	sf_region *r;
	sf_pool *p;

	OK(sf_store_file(fd, 0, 0, &file));
	assert_int_equal(sf_pool_create(POOL_OPTIONS(.fork = SF_FORK_KEEP, .store = file), &p), -EOPNOTSUPP);
	OK(sf_store_faulty(file, &faulty));
	assert_int_equal(sf_pool_create(POOL_OPTIONS(.fork = SF_FORK_KEEP, .store = faulty), &p), -EOPNOTSUPP);
	OK(sf_store_compressed(1 << 20, faulty, &over));
	assert_int_equal(sf_pool_create(POOL_OPTIONS(.fork = SF_FORK_KEEP, .store = over), &p), -EOPNOTSUPP);
	OK(sf_store_close(over));
	OK(sf_store_close(faulty));
	p = open_keeper(false);
	assert_int_equal(sf_map(p, PAGE, MAP(.kind = SF_FILE_SHARED, .fd = fd), &r, NULL), -EOPNOTSUPP);
	assert_int_equal(sf_map(p, PAGE, MAP(.kind = SF_STORE, .store = file), &r, NULL), -EOPNOTSUPP);
	close_keeper(p);
	OK(sf_store_close(file));
	close(fd);
}

/* The child gets no engine, for want of a descriptor where the library has its own. */
static void without_an_engine_the_child_is_refused(void **state)
{
	struct rlimit was, low;

	open_all(false);
	OK(getrlimit(RLIMIT_NOFILE, &was));
	low = was;
	low.rlim_cur = 60;
	OK(setrlimit(RLIMIT_NOFILE, &low));
	pid_t pid = fork();

	if (!pid) {
		struct sf_pool_stats st = { .struct_size = sizeof(st) };

		alarm(60);
		CHILD(sf_pool_stats(pool, &st) == -ESTALE && sf_unmap(region) == -ESTALE && sf_store_close(store) == -ESTALE);
		CHILD(try_read(mem) == -EACCES || try_read(mem) == -EFAULT);
		_exit(0);
	}
	OK(setrlimit(RLIMIT_NOFILE, &was));
	assert_int_equal(wait_for(pid), 0);
	assert_true(all_marked(0, 1));
	close_all();
}

/* Buffers of calls may lie in regions, and be absent, at any moment of a fork. */
static void *reading(void *arg)
{
	sf_snapshot *snap;
	sf_region *r;
	char *m;

	OK(sf_map(pool, 200 * PAGE, NULL, &r, (void **)&m));
	OK(sf_snapshot_create(region, NULL, &snap));
	while (!stop) {
		OK(sf_advise(r, 0, 200 * PAGE, SF_PAGEOUT));
		assert_int_equal(sf_snapshot_read(snap, 0, m, 200 * PAGE), 200 * PAGE);
		assert_int_equal(((uint64_t *)(m + 7 * PAGE))[7], mark(7));
	}
	OK(sf_snapshot_drop(snap));
	OK(sf_unmap(r));
	return NULL;
}

static void calls_with_buffers_in_regions(void **state)
{
	pthread_t th;

	open_all(false);
	stop = false;
	OK(pthread_create(&th, NULL, reading, NULL));
	for (unsigned i = 0; i < 50; i++) {
		pid_t pid = fork();

		if (!pid) {
			alarm(60);
			_exit(!all_marked(0, 7));
		}
		assert_int_equal(wait_for(pid), 0);
	}
	stop = true;
	pthread_join(th, NULL);
	close_all();
}

/* ---------------------------------------------------------------- fork handlers of the application's */

static int touch_error[3], call_error[3];

static void in_handler(unsigned i)
{
	struct sf_pool_stats st = { .struct_size = sizeof(st) };

	if (!mem)
		return;
	touch_error[i] = i ? 0 : try_read(mem + 2 * PAGE);
	call_error[i] = sf_pool_stats(pool, &st);
}

static void handler_before(void) { in_handler(0); }
static void handler_parent(void) { in_handler(1); }

/* Registered before the library's, so they run inside of it. */
static void handlers_inside(void **state)
{
	open_all(false);
	OK(sf_advise(region, 0, PAGES * PAGE, SF_PAGEOUT));
	pid_t pid = fork();

	if (!pid)
		_exit(!all_marked(0, 1));
	assert_int_equal(wait_for(pid), 0);
	assert_int_equal(touch_error[0], -EDEADLK);
	assert_int_equal(call_error[0], -EDEADLK);
	assert_int_equal(call_error[1], -EDEADLK);
	close_all();
	mem = NULL;
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(each_has_its_own_from_then_on),
	cmocka_unit_test(with_compressed_memory),
	cmocka_unit_test(grandchildren),
	cmocka_unit_test(other_threads_at_work),
	cmocka_unit_test(snapshots_files_and_pins_come_along),
	cmocka_unit_test(only_those_that_asked_for_it),
	cmocka_unit_test(what_cannot_be_kept_is_refused),
	cmocka_unit_test(without_an_engine_the_child_is_refused),
	cmocka_unit_test(calls_with_buffers_in_regions),
	cmocka_unit_test(handlers_inside),
};

int main(void)
{
	pthread_atfork(handler_before, handler_parent, NULL);
	return run_on_engines("fork", tests, sizeof(tests) / sizeof(tests[0]));
}
