/* SPDX-License-Identifier: MIT */
/* sane.c - a small application of the library, to be run under valgrind and built with the thread sanitizer
 *
 *	sane [uffd|segv]
 *
 * Two threads each use a region four times the bound, meet bad addresses and pages that cannot be read, and copy safely. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <softfault.h>

enum { PAGES = 256, THREADS = 2 };

static sf_pool *pool;
static unsigned char *mem[THREADS], *lost;

#define CHECK(what)                                                                  \
	do {                                                                         \
		if (!(what)) {                                                       \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #what);   \
			exit(1);                                                     \
		}                                                                    \
	} while (0)

static int touch(const volatile unsigned char *p)
{
	struct sf_try t;

	if (!sf_try(&t)) {
		(void)*p;
		sf_try_end(&t);
		return 0;
	}
	CHECK(t.addr == p);
	return t.error;
}

static int64_t no_read(void *arg, void *buf, size_t len, uint64_t off)
{
	(void)arg, (void)buf, (void)len, (void)off;
	return -EIO;
}

static void *work(void *arg)
{
	unsigned char *m = mem[(uintptr_t)arg], back[64];
	struct sf_fault f;
	int v = 0;

	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < PAGES; i++)
			memset(m + i * SF_PAGE + 7, (int)(i + round), 64);
		for (unsigned i = 0; i < PAGES; i++) {
			CHECK(m[i * SF_PAGE + 70] == (unsigned char)(i + round));
			CHECK(!sf_copy_from(back, m + i * SF_PAGE + 7, 64, &f) && back[63] == (unsigned char)(i + round));
		}
		CHECK(touch((unsigned char *)16) == -EFAULT);
		CHECK(touch(lost + 5) == -EIO);
		CHECK(sf_get((int *)16, &v) == -EFAULT);
		CHECK(sf_copy_from(back, (void *)16, 8, &f) == 8 && f.error == -EFAULT);
		CHECK(sf_copy_to(lost, back, 8, NULL) == 8);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	struct sf_pool_options po = { .struct_size = sizeof(po), .bound = 256 << 10, .window = 8ull << 30 };
	struct sf_store_ops ops = { .struct_size = sizeof(ops), .read = no_read };
	struct sf_map_options mo = { .struct_size = sizeof(mo), .kind = SF_STORE };
	sf_region *r[THREADS], *bad;
	pthread_t th[THREADS];
	int err;

	po.engine = argc < 2 ? SF_ENGINE_AUTO : !strcmp(argv[1], "uffd") ? SF_ENGINE_UFFD : SF_ENGINE_SEGV;
	CHECK(!sf_store_memory(1 << 24, &po.store));
	err = sf_pool_create(&po, &pool);
	if (err) {
		fprintf(stderr, "sf_pool_create: %s\n", strerror(-err));
		return 77;
	}
	CHECK(!sf_store_create(&ops, NULL, &mo.store));
	CHECK(!sf_map(pool, 16 * SF_PAGE, &mo, &bad, (void **)&lost));
	for (uintptr_t i = 0; i < THREADS; i++)
		CHECK(!sf_map(pool, PAGES * SF_PAGE, NULL, &r[i], (void **)&mem[i]));
	for (uintptr_t i = 0; i < THREADS; i++)
		CHECK(!pthread_create(&th[i], NULL, work, (void *)i));
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(th[i], NULL);
	for (unsigned i = 0; i < THREADS; i++)
		CHECK(!sf_unmap(r[i]));
	CHECK(!sf_unmap(bad) && !sf_store_close(mo.store) && !sf_pool_destroy(pool) && !sf_store_close(po.store));
	puts("all is well");
	return 0;
}
