/* SPDX-License-Identifier: MIT */
/* race_test.c - threads that fault, and threads that pull the ground from under them */
#include "lib_test.h"

#include <pthread.h>
#include <time.h>

enum { PAGES = 300 };
static sf_pool *pool;
static sf_region *volatile region;
static char *volatile memory;
static volatile int stop;
static unsigned long touches, misses;

static bool expected(int err)
{
	return err == -EFAULT || err == -EACCES;
}

static void *toucher(void *arg)
{
	volatile unsigned x = (unsigned)(uintptr_t)arg;

	while (!stop) {
		char *m = memory;
		struct sf_try t;

		x = x * 1664525 + 1013904223;
		if (!sf_try(&t)) {
			volatile char *p = m + (x >> 8) % PAGES * PAGE;

			if (x & 1)
				*p = (char)x;
			else
				(void)*p;
			sf_try_end(&t);
			__atomic_fetch_add(&touches, 1, __ATOMIC_RELAXED);
		} else {
			__atomic_fetch_add(&misses, 1, __ATOMIC_RELAXED);
			if (!expected(t.error)) {
				fprintf(stderr, "# error %d\n", t.error);
				abort();
			}
		}
	}
	return NULL;
}

static void *remapper(void *arg)
{
	while (!stop) {
		sf_region *r = region;
		void *at;

		switch (rand() % 8) {
		case 0:
		case 1:
			if (!sf_unmap(r)) {
				OK(sf_map(pool, PAGES * PAGE, NULL, &r, &at));
				memory = at;
				region = r;
			}
			break;
		case 2:
			if (!sf_move(r, NULL, &at))
				memory = at;
			break;
		case 3:
			(void)sf_protect(r, 0, 20 * PAGE, (unsigned)rand() & 3);
			break;
		case 4:
			(void)sf_advise(r, 0, PAGES * PAGE, SF_DONTNEED);
			break;
		case 5:
			(void)sf_advise(r, 0, PAGES * PAGE, SF_WILLNEED);
			break;
		case 6:
			(void)sf_advise(r, 0, PAGES * PAGE, SF_PAGEOUT);
			break;
		default:
			(void)sf_pool_resize(pool, (64 + (unsigned)rand() % 200) * PAGE);
		}
	}
	return NULL;
}

static void unmapping_what_others_touch(void **state)
{
	pthread_t thr[4];
	void *at;
	sf_region *r;

	stop = 0;
	touches = misses = 0;
	pool = open_pool(BOUND);
	OK(sf_map(pool, PAGES * PAGE, NULL, &r, &at));
	region = r;
	memory = at;
	for (unsigned i = 0; i < 4; i++)
		OK(pthread_create(&thr[i], NULL, i == 3 ? remapper : toucher, (void *)(uintptr_t)(i + 1)));
	nanosleep(&(struct timespec){ .tv_sec = 2 }, NULL);
	stop = 1;
	for (unsigned i = 0; i < 4; i++)
		pthread_join(thr[i], NULL);
	assert_true(touches > 1000);
	printf("# %lu touches, %lu misses\n", touches, misses);
	OK(sf_unmap(region));
	close_pool(pool);
}

/* Each thread owns every third word of each page; all write back to one file and sync it. */
static void *owner(void *arg)
{
	unsigned me = (unsigned)(uintptr_t)arg;
	uint64_t *m = (uint64_t *)memory;

	for (uint64_t round = 1; round <= 40; round++)
		for (unsigned i = 0; i < PAGES; i++) {
			uint64_t *w = m + i * (PAGE / 8) + me;

			if (*w != round - 1) {
				fprintf(stderr, "# page %u word %u: %lu, not %lu\n", i, me, *w, round - 1);
				abort();
			}
			*w = round;
		}
	return NULL;
}

static void *syncer(void *arg)
{
	while (!stop)
		OK(sf_sync(region, 0, 0, SF_SYNC_NOFLUSH));
	return NULL;
}

static void writing_back_what_others_write(void **state)
{
	for (unsigned ordered = 0; ordered < 2; ordered++) {
		int fd = temp_file(0);
		pthread_t thr[4];
		sf_region *r;
		void *at;

		stop = 0;
		OK(ftruncate(fd, PAGES * PAGE));
		pool = open_pool(BOUND);
		OK(sf_map(pool, PAGES * PAGE, MAP(.kind = SF_FILE_SHARED, .fd = fd, .flags = ordered ? SF_MAP_ORDERED : 0), &r, &at));
		region = r;
		memory = at;
		for (unsigned i = 0; i < 4; i++)
			OK(pthread_create(&thr[i], NULL, i == 3 ? syncer : owner, (void *)(uintptr_t)i));
		for (unsigned i = 0; i < 3; i++)
			pthread_join(thr[i], NULL);
		stop = 1;
		pthread_join(thr[3], NULL);
		OK(sf_sync(r, 0, 0, 0));
		OK(sf_unmap(r));
		for (unsigned i = 0; i < PAGES; i++) {
			uint64_t w[3];

			assert_int_equal(pread(fd, w, sizeof(w), (off_t)(i * PAGE)), sizeof(w));
			assert_true(w[0] == 40 && w[1] == 40 && w[2] == 40);
		}
		close(fd);
		close_pool(pool);
	}
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(unmapping_what_others_touch),
	cmocka_unit_test(writing_back_what_others_write),
};
MAIN(tests)
