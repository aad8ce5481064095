/* SPDX-License-Identifier: MIT */
/* lib_access.c - what fault-safe access costs beside memcpy and a bare signal: processor time, medians of eleven
 *
 *	lib_access      one line each: name, nanoseconds, what it is compared with, nanoseconds, ratio */
#include <softfault.h>

#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <ucontext.h>

#define ROUNDS 11
#include "lib_bench.h"
#define BAD ((char *)0x1000)

static char a[1 << 16] __attribute__((aligned(4096))), b[1 << 16] __attribute__((aligned(4096)));

static double run_once(void (*f)(size_t), size_t n, unsigned times)
{
	double start = now();

	for (unsigned i = 0; i < times; i++)
		f(n);
	return (now() - start) / times;
}

/* Alternating, so that both see the same machine. */
static void compare(const char *name, void (*f)(size_t), const char *with, void (*g)(size_t), size_t n, unsigned times)
{
	double x[ROUNDS], y[ROUNDS];

	for (unsigned i = 0; i < ROUNDS; i++) {
		x[i] = run_once(f, n, times);
		y[i] = run_once(g, n, times);
	}
	qsort(x, ROUNDS, sizeof(*x), ascending);
	qsort(y, ROUNDS, sizeof(*y), ascending);
	printf("%-16s %6zu  %8.1f ns   %-14s %8.1f ns   %5.2f\n", name, n, x[ROUNDS / 2], with, y[ROUNDS / 2], x[ROUNDS / 2] / y[ROUNDS / 2]);
}

static void do_memcpy(size_t n)
{
	memcpy(a, b, n);
	__asm__ volatile("" ::: "memory");
}

static void do_from(size_t n) { sf_copy_from(a, b, n, NULL); }
static void do_to(size_t n) { sf_copy_to(a, b, n, NULL); }

static void do_get(size_t n)
{
	int v;

	if (sf_get((int *)(b + n), &v))
		abort();
}

static void do_load(size_t n)
{
	(void)*(volatile int *)(b + n);
}

static void do_bad_copy(size_t n)
{
	if (sf_copy_from(a, BAD, n, NULL) != n)
		abort();
}

static void do_bad_get(size_t n)
{
	int v;

	if (sf_get((int *)BAD, &v) != -EFAULT)
		abort();
}

/* The least that any handler does: go on behind the instruction. */
extern char bare_after[];
static void bare(int signo, siginfo_t *si, void *uc)
{
	((ucontext_t *)uc)->uc_mcontext.gregs[REG_RIP] = (greg_t)bare_after;
}

static __attribute__((noinline, noclone)) void do_bare(size_t n)
{
	__asm__ volatile("movb (%0), %%al\nbare_after:\n" :: "r"(BAD) : "rax");
}

static struct sigaction ours;
static void with_bare(size_t n)
{
	do_bare(n);
}

static double bare_ns(unsigned times)
{
	struct sigaction sa = { .sa_sigaction = bare, .sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK };
	double t;

	sigaction(SIGSEGV, &sa, &ours);
	t = run_once(with_bare, 0, times);
	sigaction(SIGSEGV, &ours, NULL);
	return t;
}

static void compare_bad(const char *name, void (*f)(size_t), size_t n)
{
	double x[ROUNDS], y[ROUNDS];

	for (unsigned i = 0; i < ROUNDS; i++) {
		x[i] = run_once(f, n, 5000);
		y[i] = bare_ns(5000);
	}
	qsort(x, ROUNDS, sizeof(*x), ascending);
	qsort(y, ROUNDS, sizeof(*y), ascending);
	printf("%-16s %6zu  %8.1f ns   %-14s %8.1f ns   %5.2f\n", name, n, x[ROUNDS / 2], "bare SIGSEGV", y[ROUNDS / 2], x[ROUNDS / 2] / y[ROUNDS / 2]);
}

int main(void)
{
	static const size_t sizes[] = { 8, 16, 64, 128, 200, 256, 512, 1024, 4096, 65536 };

	memset(b, 1, sizeof(b));
	do_from(1);
	for (unsigned i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		unsigned times = sizes[i] > 1000 ? 20000 : 200000;

		compare("sf_copy_from", do_from, "memcpy", do_memcpy, sizes[i], times);
	}
	compare("sf_copy_to", do_to, "memcpy", do_memcpy, 64, 200000);
	compare("sf_copy_to", do_to, "memcpy", do_memcpy, 4096, 20000);
	compare("sf_get", do_get, "a load", do_load, 64, 200000);
	compare_bad("bad copy", do_bad_copy, 64);
	compare_bad("bad copy", do_bad_copy, 4096);
	compare_bad("bad sf_get", do_bad_get, 4);
	return 0;
}
