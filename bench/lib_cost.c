/* SPDX-License-Identifier: MIT */
/* lib_cost.c - what does not depend on a file: many regions, sparse ones, and bare traps; nanoseconds of processor time, medians of five
 *
 *	lib_cost regions N     N regions of two pages: map one, find one (sf_region_at), touch one, unmap one
 *	lib_cost sparse GIB    first touches all over a region so large, in a pool of 16 MiB with a store
 *	lib_cost trap          a write to a page without rights, made good by mprotect: a handler of our own, libsigsegv if
 *	                       built with it, and a first touch in a region, by engine */
#include <softfault.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#ifdef HAVE_SIGSEGV
#include <sigsegv.h>
#endif

#define ROUNDS 5
#include "lib_bench.h"
#define PAGES 4096u

static void check(const char *what, int err)
{
	if (!err)
		return;
	fprintf(stderr, "lib_cost: %s: %s\n", what, strerror(-err));
	exit(1);
}

static uint64_t rng(void)
{
	static uint64_t s = 88172645463325252ull;

	s ^= s << 13;
	s ^= s >> 7;
	s ^= s << 17;
	return s;
}

/* ---------------------------------------------------------------- many regions */

static sf_region **region;
static char **mem;

static double map_all(sf_pool *pool, unsigned n)
{
	double start = now();

	for (unsigned i = 0; i < n; i++)
		check("sf_map", sf_map(pool, 2 * SF_PAGE, NULL, &region[i], (void **)&mem[i]));
	return (now() - start) / n;
}

static double find_some(unsigned n, unsigned some)
{
	double start = now();
	sf_region *r;

	for (unsigned i = 0; i < some; i++)
		check("sf_region_at", sf_region_at(mem[rng() % n] + 99, &r));
	return (now() - start) / some;
}

/* Every touch a fault, of a region not touched before. */
static double touch_some(unsigned n, unsigned some)
{
	uint64_t step = 7919, at = rng() % n;
	double start = now();

	for (unsigned i = 0; i < some; i++, at = (at + step) % n)
		mem[at][0] = 1;
	return (now() - start) / some;
}

static double unmap_all(unsigned n)
{
	double start = now();

	for (unsigned i = 0; i < n; i++)
		check("sf_unmap", sf_unmap(region[i]));
	return (now() - start) / n;
}

static void regions(unsigned n)
{
	struct sf_pool_options po = { .struct_size = sizeof(po), .bound = 64ull << 20 };
	double map[ROUNDS], find[ROUNDS], touch[ROUNDS], unmap[ROUNDS];
	unsigned some = n < 1000 ? n : 1000;
	sf_pool *pool;

	region = calloc(n, sizeof(*region));
	mem = calloc(n, sizeof(*mem));
	check("sf_pool_create", sf_pool_create(&po, &pool));
	for (unsigned i = 0; i < ROUNDS; i++) {
		map[i] = map_all(pool, n);
		find[i] = find_some(n, 10 * some);
		touch[i] = touch_some(n, some);
		unmap[i] = unmap_all(n);
	}
	check("sf_pool_destroy", sf_pool_destroy(pool));
	printf("%u regions: sf_map %.0f, sf_region_at %.0f, first touch %.0f, sf_unmap %.0f\n", n, median(map), median(find), median(touch),
	       median(unmap));
}

/* ---------------------------------------------------------------- sparse */

static void sparse(uint64_t gib)
{
	struct sf_pool_options po = { .struct_size = sizeof(po), .bound = 16ull << 20 };
	double touch[ROUNDS];
	sf_region *r;
	sf_pool *pool;
	char *m;

	check("sf_store_memory", sf_store_memory(1ull << 30, &po.store));
	check("sf_pool_create", sf_pool_create(&po, &pool));
	for (unsigned i = 0; i < ROUNDS; i++) {
		check("sf_map", sf_map(pool, gib << 30, NULL, &r, (void **)&m));
		double start = now();

		for (unsigned k = 0; k < PAGES * 4; k++)
			m[rng() % (gib << 30)] = 1;
		touch[i] = (now() - start) / (PAGES * 4);
		check("sf_unmap", sf_unmap(r));
	}
	check("sf_pool_destroy", sf_pool_destroy(pool));
	printf("%llu GiB sparse: touch %.0f\n", (unsigned long long)gib, median(touch));
}

/* ---------------------------------------------------------------- traps */

static void bare(int signo, siginfo_t *si, void *uc)
{
	mprotect((void *)((uintptr_t)si->si_addr & ~(SF_PAGE - 1)), SF_PAGE, PROT_READ | PROT_WRITE);
}

#ifdef HAVE_SIGSEGV
static int by_libsigsegv(void *addr, int serious)
{
	return !mprotect((void *)((uintptr_t)addr & ~(SF_PAGE - 1)), SF_PAGE, PROT_READ | PROT_WRITE);
}
#endif

/* Pages that are there and only lack the right. */
static double write_all(char *m)
{
	memset(m, 1, PAGES * SF_PAGE);
	mprotect(m, PAGES * SF_PAGE, PROT_READ);
	double start = now();

	for (unsigned i = 0; i < PAGES; i++)
		m[(i * 1021ul % PAGES) * SF_PAGE] = 2;
	return (now() - start) / PAGES;
}

static double bare_trap(char *m)
{
	struct sigaction sa = { .sa_sigaction = bare, .sa_flags = SA_SIGINFO };

	sigaction(SIGSEGV, &sa, NULL);
	return write_all(m);
}

static double libsigsegv_trap(char *m)
{
#ifdef HAVE_SIGSEGV
	sigsegv_install_handler(by_libsigsegv);
	double t = write_all(m);

	sigsegv_deinstall_handler();
	return t;
#else
	return 0;
#endif
}

static double first_touch(uint32_t engine)
{
	struct sf_pool_options po = { .struct_size = sizeof(po), .engine = engine };
	sf_region *r;
	sf_pool *pool;
	char *m;

	check("sf_pool_create", sf_pool_create(&po, &pool));
	check("sf_map", sf_map(pool, PAGES * SF_PAGE, NULL, &r, (void **)&m));
	double start = now();

	for (unsigned i = 0; i < PAGES; i++)
		m[(i * 1021ul % PAGES) * SF_PAGE] = 2;
	start = (now() - start) / PAGES;
	check("sf_unmap", sf_unmap(r));
	check("sf_pool_destroy", sf_pool_destroy(pool));
	return start;
}

static void traps(void)
{
	double own[ROUNDS], lib[ROUNDS], uffd[ROUNDS], segv[ROUNDS];
	char *m = mmap(NULL, PAGES * SF_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	for (unsigned i = 0; i < ROUNDS; i++) {
		lib[i] = libsigsegv_trap(m);
		own[i] = bare_trap(m);
	}
	munmap(m, PAGES * SF_PAGE);
	for (unsigned i = 0; i < ROUNDS; i++) {
		uffd[i] = first_touch(SF_ENGINE_UFFD);
		segv[i] = first_touch(SF_ENGINE_SEGV);
	}
	printf("trap and mprotect: handler of one's own %.0f, libsigsegv %.0f; first touch: uffd %.0f, segv %.0f\n", median(own), median(lib),
	       median(uffd), median(segv));
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "regions"))
		regions((unsigned)atoi(argv[2]));
	else if (argc == 3 && !strcmp(argv[1], "sparse"))
		sparse(strtoull(argv[2], NULL, 0));
	else if (argc == 2 && !strcmp(argv[1], "trap"))
		traps();
	else
		return 2;
	return 0;
}
