/* SPDX-License-Identifier: MIT */
/* lib_bench.h - what the library's benchmarks share: processor time; medians of ROUNDS values, which the includer defines */
#ifndef SF_LIB_BENCH_H
#define SF_LIB_BENCH_H

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* Nanoseconds of processor time of the process so far. */
static inline double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static inline int ascending(const void *x, const void *y)
{
	double p = *(const double *)x, q = *(const double *)y;

	return (p > q) - (p < q);
}

/* Of ROUNDS values, which it sorts. */
static inline double median(double *v)
{
	qsort(v, ROUNDS, sizeof(*v), ascending);
	return v[ROUNDS / 2];
}

#endif
