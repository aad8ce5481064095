/* SPDX-License-Identifier: MIT */
/* touch_test.c - pools in which the host kernel's own touches work; callbacks that touch memory; reads that are under way together */
#include "lib_test.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/wait.h>

enum { PAGES = 256, THREADS = 8 };

static struct { sf_pool *pool; sf_store *memory, *faulty; sf_region *r; char *m; } rig;

/* False: the host does not let us. */
static bool open_rig(unsigned flags)
{
	int err;

	OK(sf_store_memory(1 << 30, &rig.memory));
	OK(sf_store_faulty(rig.memory, &rig.faulty));
	err = sf_pool_create(POOL_OPTIONS(.bound = BOUND, .store = rig.faulty, .flags = flags), &rig.pool);
	if (err) {
		if (lib_engine == SF_ENGINE_SEGV)
			assert_int_equal(err, -EOPNOTSUPP);
		else
			assert_int_equal(err, -EPERM);
		OK(sf_store_close(rig.faulty));
		OK(sf_store_close(rig.memory));
		return false;
	}
	sf_rearm();
	OK(sf_map(rig.pool, PAGES * PAGE, NULL, &rig.r, (void **)&rig.m));
	return true;
}

static void close_rig(void)
{
	OK(sf_unmap(rig.r));
	assert_int_equal(pool_stats(rig.pool).resident, 0);
	OK(sf_pool_destroy(rig.pool));
	OK(sf_store_close(rig.faulty));
	OK(sf_store_close(rig.memory));
}

static void plan(struct sf_fault_plan p)
{
	p.struct_size = sizeof(p);
	OK(sf_store_faulty_plan(rig.faulty, &p));
}

static void the_host_kernel_may_touch_everything(void **state)
{
	if (!open_rig(SF_POOL_HOST_TOUCH))
		skip();
	int fd = temp_file(PAGES), out = temp_file(0);

	for (unsigned round = 0; round < 3; round++) {
		assert_int_equal(pread(fd, rig.m, PAGES * PAGE, 0), PAGES * PAGE);
		assert_true(pool_stats(rig.pool).resident <= BOUND);
		assert_int_equal(pwrite(out, rig.m, PAGES * PAGE, 0), PAGES * PAGE);
		for (unsigned i = 0; i < PAGES; i++)
			assert_true(page_has(rig.m + i * PAGE, mark(i)) && file_has(out, i, mark(i)));
		for (unsigned i = 0; i < PAGES; i++)
			fill_page(rig.m + i * PAGE, i + round);
	}
	close(fd);
	close(out);
	close_rig();
}

static void what_is_not_allowed_is_efault_there(void **state)
{
	if (!open_rig(SF_POOL_HOST_TOUCH))
		skip();
	int fd = temp_file(PAGES);

	for (unsigned i = 0; i < PAGES; i++)
		fill_page(rig.m + i * PAGE, mark(i));
	OK(sf_protect(rig.r, 10 * PAGE, PAGE, SF_READ));
	OK(sf_protect(rig.r, 12 * PAGE, PAGE, 0));
	for (unsigned round = 0; round < 3; round++) {
		assert_int_equal(pread(fd, rig.m + 10 * PAGE, PAGE, 0), -1);
		assert_int_equal(errno, EFAULT);
		assert_int_equal(try_write(rig.m + 10 * PAGE + 5, 1), -EACCES);
		assert_true(page_has(rig.m + 10 * PAGE, mark(10)));
		assert_int_equal(try_read(rig.m + 12 * PAGE), -EACCES);
		assert_int_equal(pwrite(fd, rig.m + 12 * PAGE, PAGE, 0), -1);
	}
	OK(sf_protect(rig.r, 10 * PAGE, 3 * PAGE, SF_WRITE));
	assert_int_equal(pread(fd, rig.m + 10 * PAGE, PAGE, 0), PAGE);
	assert_true(page_has(rig.m + 12 * PAGE, mark(12)));
	OK(sf_advise(rig.r, 0, PAGES * PAGE, SF_PAGEOUT));
	plan((struct sf_fault_plan){ .fail_read = 1, .fail_times = UINT64_MAX });
	assert_int_equal(pwrite(fd, rig.m + 99 * PAGE, PAGE, 0), -1);
	assert_int_equal(errno, EFAULT);
	assert_int_equal(try_read(rig.m + 98 * PAGE + 7), -EIO);
	plan((struct sf_fault_plan){ .fail_read = 0 });
	while (pwrite(fd, rig.m + 99 * PAGE, PAGE, 0) != PAGE) /* barred for some milliseconds still */
		assert_int_equal(errno, EFAULT);
	for (unsigned i = 0; i < PAGES; i++)
		assert_true(page_has(rig.m + i * PAGE, i == 10 ? mark(0) : mark(i)));
	close(fd);
	close_rig();
}

static void *write_own_pages(void *arg)
{
	unsigned me = (unsigned)(uintptr_t)arg;
	int s[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, s), 0);
	for (unsigned round = 0; round < 4; round++)
		for (unsigned i = me; i + THREADS < PAGES; i += THREADS) {
			fill_page(rig.m + i * PAGE, mark(i + round));
			assert_int_equal(send(s[0], rig.m + i * PAGE, PAGE, 0), PAGE);
			assert_int_equal(recv(s[1], rig.m + (i + THREADS) * PAGE, PAGE, MSG_WAITALL), PAGE);
			assert_true(page_has(rig.m + (i + THREADS) * PAGE, mark(i + round)));
		}
	close(s[0]);
	close(s[1]);
	return NULL;
}

static void threads_and_system_calls(void **state)
{
	pthread_t th[THREADS];

	if (!open_rig(SF_POOL_HOST_TOUCH))
		skip();
	for (uintptr_t i = 0; i < THREADS; i++)
		OK(pthread_create(&th[i], NULL, write_own_pages, (void *)i));
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(th[i], NULL);
	close_rig();
}

/* ---------------------------------------------------------------- callbacks */

static char *own_memory, *other_memory;
static int own_answer, other_answer;
static struct sf_fault own_fault;

static int64_t touching_read(void *arg, void *buf, size_t len, uint64_t off)
{
	char c;

	own_answer = try_read(own_memory + 9 * PAGE);
	if (sf_copy_from(&c, own_memory + 9 * PAGE, 1, &own_fault) != 1)
		own_answer = 1;
	other_answer = try_write(other_memory, 1);
	memset(buf, 7, len);
	return (int64_t)len;
}

static enum sf_action touching_error(void *arg, const struct sf_error *e)
{
	own_answer = try_read(own_memory + 9 * PAGE);
	other_answer = try_write(other_memory + PAGE, 1);
	memset(e->data, 8, PAGE);
	return SF_SUPPLY;
}

static int64_t failing_read(void *arg, void *buf, size_t len, uint64_t off)
{
	return -EIO;
}

static void callbacks_touch_other_pools_only(void **state)
{
	for (unsigned how = 0; how < 3; how++) {
		struct sf_store_ops ops = { .struct_size = sizeof(ops), .read = how < 2 ? touching_read : failing_read,
					    .flags = how == 1 ? SF_STORE_INLINE : 0 };
		struct sf_map_options mo = { .struct_size = sizeof(mo), .kind = SF_STORE, .prot = SF_READ, .on_error = how == 2 ? touching_error : NULL };
		sf_pool *pool, *other = open_pool(BOUND);
		sf_region *r, *r2;
		sf_store *store;

		OK(sf_store_create(&ops, NULL, &store));
		mo.store = store;
		OK(sf_pool_create(POOL_OPTIONS(.bound = BOUND), &pool));
		OK(sf_map(pool, 100 * PAGE, &mo, &r, (void **)&own_memory));
		OK(sf_map(other, 100 * PAGE, NULL, &r2, (void **)&other_memory));
		OK(sf_advise(r, 0, 0, SF_RANDOM));
		own_answer = other_answer = 1;
		assert_int_equal(own_memory[50 * PAGE], how == 2 ? 8 : 7);
		assert_int_equal(own_answer, -EDEADLK);
		assert_int_equal(other_answer, 0);
		if (how < 2)
			assert_int_equal(own_fault.error, -EDEADLK);
		OK(sf_unmap(r));
		OK(sf_unmap(r2));
		OK(sf_pool_destroy(pool));
		OK(sf_store_close(store));
		close_pool(other);
	}
}

/* ---------------------------------------------------------------- together */

static pthread_barrier_t all_here;

/* Returns when as many as there are threads are in here at once. */
static int64_t meeting_read(void *arg, void *buf, size_t len, uint64_t off)
{
	if (off / PAGE % 20 == 0)
		pthread_barrier_wait(&all_here);
	memset(buf, 3, len);
	return (int64_t)len;
}

static void *touch_one(void *at)
{
	assert_int_equal(*(volatile char *)at, 3);
	return NULL;
}

static void reads_of_one_pool_are_under_way_together(void **state)
{
	struct sf_store_ops ops = { .struct_size = sizeof(ops), .read = meeting_read, .workers = THREADS };
	pthread_t th[THREADS];
	sf_store *store;
	sf_pool *pool;
	sf_region *r;
	char *m;

	OK(pthread_barrier_init(&all_here, NULL, THREADS));
	OK(sf_store_create(&ops, NULL, &store));
	OK(sf_pool_create(POOL_OPTIONS(.bound = BOUND), &pool));
	sf_rearm();
	OK(sf_map(pool, 20 * THREADS * PAGE, MAP(.kind = SF_STORE, .store = store), &r, (void **)&m));
	OK(sf_advise(r, 0, 0, SF_RANDOM));
	for (unsigned i = 0; i < THREADS; i++)
		OK(pthread_create(&th[i], NULL, touch_one, m + i * 20 * PAGE));
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(th[i], NULL);
	OK(sf_unmap(r));
	OK(sf_pool_destroy(pool));
	OK(sf_store_close(store));
	pthread_barrier_destroy(&all_here);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(the_host_kernel_may_touch_everything),
	cmocka_unit_test(what_is_not_allowed_is_efault_there),
	cmocka_unit_test(threads_and_system_calls),
	cmocka_unit_test(callbacks_touch_other_pools_only),
	cmocka_unit_test(reads_of_one_pool_are_under_way_together),
};
MAIN(tests)
