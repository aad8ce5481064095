/* SPDX-License-Identifier: MIT */
/* leak_test.c - everything made and given up many times: the process has as many descriptors, threads, mappings and bytes of address space as before */
#include "lib_test.h"

#include <dirent.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>

static int64_t user_read(void *arg, void *buf, size_t len, uint64_t off)
{
	if (off / PAGE == 7)
		return -EIO;
	memset(buf, 1, len);
	return (int64_t)len;
}

static int user_submit(void *arg, struct sf_io *const *ios, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		memset(ios[i]->buf, 2, ios[i]->op == SF_IO_READ ? ios[i]->len : 0);
		sf_io_done(ios[i], (int64_t)ios[i]->len);
	}
	return (int)n;
}

static enum sf_action supply(void *arg, const struct sf_error *e)
{
	memset(e->data, 3, PAGE);
	return SF_SUPPLY;
}

static void regions_of_all_kinds(sf_pool *pool, int fd)
{
	struct sf_store_ops plain = { .struct_size = sizeof(plain), .read = user_read }, batch = { .struct_size = sizeof(batch), .submit = user_submit };
	sf_store *s[2];
	sf_region *r[6];
	char *m[6];

	OK(sf_store_create(&plain, NULL, &s[0]));
	OK(sf_store_create(&batch, NULL, &s[1]));
	OK(sf_map(pool, 200 * PAGE, NULL, &r[0], (void **)&m[0]));
	OK(sf_map(pool, 100 * PAGE, MAP(.kind = SF_FILE_PRIVATE, .fd = fd, .flags = SF_MAP_CHECKSUM), &r[1], (void **)&m[1]));
	OK(sf_map(pool, 100 * PAGE, MAP(.kind = SF_FILE_SHARED, .fd = fd), &r[2], (void **)&m[2]));
	OK(sf_map(pool, 100 * PAGE, MAP(.kind = SF_FILE_SHARED, .fd = fd, .flags = SF_MAP_ORDERED), &r[3], (void **)&m[3]));
	OK(sf_map(pool, 100 * PAGE, MAP(.kind = SF_STORE, .store = s[0], .prot = SF_READ, .on_error = supply), &r[4], (void **)&m[4]));
	OK(sf_map(pool, 100 * PAGE, MAP(.kind = SF_STORE, .store = s[1], .prot = SF_READ), &r[5], (void **)&m[5]));
	for (unsigned k = 0; k < 6; k++)
		for (unsigned i = 0; i < 100; i += 3) {
			assert_true(m[k][i * PAGE] || 1);
			if (k < 4)
				m[k][i * PAGE + 1] = (char)i;
		}
	OK(sf_advise(r[0], 0, 200 * PAGE, SF_WILLNEED));
	OK(sf_sync(r[2], 0, 0, SF_SYNC_ASYNC));
	OK(sf_sync(r[2], 0, 0, 0));
	OK(sf_sync(r[3], 0, 0, 0));
	OK(sf_resize(r[0], 300 * PAGE, SF_MAY_MOVE, NULL));
	OK(sf_move(r[0], NULL, NULL));
	for (unsigned k = 0; k < 6; k++)
		OK(sf_unmap(r[k]));
	OK(sf_store_close(s[0]));
	OK(sf_store_close(s[1]));
}

static void snapshots(sf_pool *pool)
{
	sf_snapshot *s[3];
	sf_region *r, *view;
	char *m;

	OK(sf_map(pool, 100 * PAGE, NULL, &r, (void **)&m));
	for (unsigned k = 0; k < 3; k++) {
		for (unsigned i = k; i < 100; i += 4)
			m[i * PAGE]++;
		OK(sf_snapshot_create(r, NULL, &s[k]));
	}
	memset(m, 9, 100 * PAGE);
	OK(sf_snapshot_map(s[1], &view, NULL));
	OK(sf_snapshot_rollback(s[0]));
	OK(sf_unmap(view));
	for (unsigned k = 0; k < 3; k++)
		OK(sf_snapshot_drop(s[k]));
	OK(sf_unmap(r));
}

static void one_life(void)
{
	sf_store *memory, *file, *squeezed, *faulty;
	int fd = temp_file(100), fd2 = temp_file(0);
	sf_pool *pool, *none;

	OK(sf_store_memory(1 << 30, &memory));
	OK(sf_store_file(fd2, 0, 0, &file));
	OK(sf_store_faulty(memory, &faulty));
	OK(sf_store_compressed(1 << 20, faulty, &squeezed));
	OK(sf_pool_create(POOL_OPTIONS(.bound = BOUND, .store = squeezed, .workers = 2), &pool));
	assert_int_equal(sf_pool_create(POOL_OPTIONS(.bound = BOUND, .store = squeezed), &none), -EBUSY);
	sf_rearm();
	regions_of_all_kinds(pool, fd);
	snapshots(pool);
	OK(sf_pool_destroy(pool));
	OK(sf_pool_create(POOL_OPTIONS(.bound = BOUND, .store = file, .flags = lib_engine == SF_ENGINE_UFFD && !geteuid() ? SF_POOL_HOST_TOUCH : 0), &pool));
	snapshots(pool);
	OK(sf_pool_destroy(pool));
	OK(sf_store_close(squeezed));
	OK(sf_store_close(faulty));
	OK(sf_store_close(memory));
	OK(sf_store_close(file));
	close(fd);
	close(fd2);
}

struct census { unsigned fds, threads, maps; unsigned long pages, resident; };

static unsigned entries(const char *path)
{
	DIR *d = opendir(path);
	unsigned n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static struct census count(void)
{
	struct census c = { .fds = entries("/proc/self/fd") };
	static char text[1 << 20];
	int fd = open("/proc/self/maps", O_RDONLY);
	ssize_t got;

	while ((got = read(fd, text, sizeof(text))) > 0)
		for (ssize_t i = 0; i < got; i++)
			c.maps += text[i] == '\n';
	close(fd);
	for (unsigned tries = 0; (c.threads = entries("/proc/self/task")) > 3 && tries < 10000; tries++)
		sched_yield(); /* one that has been joined is seen for a moment still */
	fd = open("/proc/self/statm", O_RDONLY);
	got = read(fd, text, 100);
	text[got > 0 ? got : 0] = 0;
	assert_int_equal(sscanf(text, "%lu %lu", &c.pages, &c.resident), 2);
	close(fd);
	return c;
}

static void nothing_is_left(void **state)
{
	struct census was, is;

	mallopt(M_ARENA_MAX, 1); /* else threads bring address space that stays */
	for (unsigned i = 0; i < 5; i++)
		one_life(); /* what libc keeps for later: stacks, arenas */
	was = count();
	for (unsigned i = 0; i < 25; i++)
		one_life();
	is = count();
	assert_int_equal(is.fds, was.fds);
	assert_int_equal(is.threads, 3); /* ".", "..", and this one */
	assert_in_range(is.maps, 0, was.maps + 10); /* one left by each life would be 25 */
	assert_in_range(is.pages, 0, was.pages + 8 * 2048); /* stacks that libc keeps; 25 times the least buffer of ours would be more */
#ifndef __SANITIZE_ADDRESS__ /* which keeps what was freed */
	assert_in_range(is.resident, 0, was.resident + 512);
#endif
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(nothing_is_left),
};
MAIN(tests)
