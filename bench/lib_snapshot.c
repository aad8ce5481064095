/* SPDX-License-Identifier: MIT */
/* lib_snapshot.c - what a snapshot costs: to take, by resident page; and the first write to each page afterwards
 *
 *	lib_snapshot [MIB]     nanoseconds of processor time a page, medians of seven, each engine */
#include <softfault.h>

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define ROUNDS 7
#include "lib_bench.h"

static void die(const char *what, int err)
{
	fprintf(stderr, "%s: %d\n", what, err);
	exit(1);
}

static double touch(char *mem, size_t n, size_t step)
{
	double start = now();

	for (size_t i = 0; i < n; i += step)
		mem[i * SF_PAGE]++;
	return (now() - start) / ((double)n / (double)step);
}

static void measure(const char *name, uint32_t engine, size_t pages, size_t step)
{
	struct sf_pool_options po = { .struct_size = sizeof(po), .bound = pages * 3 * SF_PAGE, .engine = engine };
	double take[ROUNDS], write[ROUNDS], drop[ROUNDS], start;
	sf_pool *pool;
	sf_region *region;
	sf_snapshot *s;
	void *mem;
	int err = sf_pool_create(&po, &pool);

	if (err) {
		printf("%-5s %d\n", name, err);
		return;
	}
	if ((err = sf_map(pool, pages * SF_PAGE, NULL, &region, &mem)))
		die("sf_map", err);
	double first = touch(mem, pages, step);

	for (unsigned i = 0; i < ROUNDS; i++) {
		start = now();
		if ((err = sf_snapshot_create(region, NULL, &s)))
			die("sf_snapshot_create", err);
		take[i] = (now() - start) / ((double)pages / (double)step);
		write[i] = touch(mem, pages, step);
		start = now();
		if ((err = sf_snapshot_drop(s)))
			die("sf_snapshot_drop", err);
		drop[i] = (now() - start) / ((double)pages / (double)step);
	}
	printf("%-5s every %zu. of %zu pages: first touch %.0f, take %.1f, write after %.0f, drop %.0f ns a page\n", name, step, pages, first,
	       median(take), median(write), median(drop));
	if ((err = sf_unmap(region)) || (err = sf_pool_destroy(pool)))
		die("end", err);
}

int main(int argc, char **argv)
{
	size_t pages = (size_t)(argc > 1 ? atoi(argv[1]) : 32) << 8;

	for (size_t step = 1; step <= 4; step += 3) {
		measure("uffd", SF_ENGINE_UFFD, pages, step);
		measure("segv", SF_ENGINE_SEGV, pages, step);
	}
	return 0;
}
