/* SPDX-License-Identifier: MIT */
/* transcript.h - for programs that print what each system call answered
 *
 * Each program prints the same text whenever and wherever it runs; run natively and under softfault the two must be equal.  So
 * nothing that varies is printed: no addresses, times, process or descriptor numbers.
 *
 *	C(SYS_read, fd, none, 10);    read(...) = -1 EFAULT, by the text of the call
 *	OK(SYS_open, "x", 0)          only whether it worked; gives the result */
#ifndef TRANSCRIPT_H
#define TRANSCRIPT_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PG 4096ul

static char *good __attribute__((unused));  /* two pages, the second followed by one without access */
static char *none __attribute__((unused));  /* a page without access */
static char *ro __attribute__((unused));    /* a page that may be read */
static char *hole __attribute__((unused));  /* nothing mapped there */
static char *const kern __attribute__((unused)) = (char *)0xffff800000000000ull;

static inline char *edge(size_t n) { return good + 2 * PG - n; } /* n good bytes, then bad */

static inline const char *answer(long r)
{
	static char buf[64];
	if (r == -1)
		snprintf(buf, sizeof buf, "-1 %s", strerrorname_np(errno) ? strerrorname_np(errno) : "?");
	else
		snprintf(buf, sizeof buf, "%ld", r);
	return buf;
}

static inline long report(const char *text, long r, bool exact)
{
	int e = errno;
	if (!strncmp(text, "SYS_", 4))
		text += 4;
	printf("%s = %s\n", text, r != -1 && !exact ? "ok" : answer(r));
	errno = e;
	return r;
}
#define C(...)  (errno = 0, report(#__VA_ARGS__, (long)syscall(__VA_ARGS__), true))
#define OK(...) (errno = 0, report(#__VA_ARGS__, (long)syscall(__VA_ARGS__), false))

/* A number for the contents of memory. */
static inline void sum(const char *what, const void *p, size_t n)
{
	uint64_t h = 1469598103934665603ull;
	const unsigned char *c = p;
	for (size_t i = 0; i < n; i++)
		h = (h ^ c[i]) * 1099511628211ull;
	printf("  %s: %zu bytes, %016llx\n", what, n, (unsigned long long)h);
}

static inline void fill(void *p, size_t n, unsigned seed)
{
	unsigned char *c = p;
	for (size_t i = 0; i < n; i++, seed = seed * 1103515245u + 12345u)
		c[i] = (unsigned char)(seed >> 16);
}

static char scratch_dir[64];

static inline void leave_scratch(void)
{
	char cmd[64];
	if (chdir("/") == 0 && snprintf(cmd, sizeof cmd, "%s", scratch_dir) > 0)
		(void)!rmdir(cmd);
}

/* Memory of every kind, and an empty directory to be in. */
static inline void transcript_begin(void)
{
	char *m = mmap(NULL, 8 * PG, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (m == MAP_FAILED)
		abort();
	good = m;
	none = m + 2 * PG;
	ro = m + 4 * PG;
	hole = (char *)0x1000000000; /* where nobody maps anything by chance */
	memset(ro, 'r', PG);
	if (mprotect(none, PG, PROT_NONE) || mprotect(ro, PG, PROT_READ))
		abort();
	setvbuf(stdout, NULL, _IOFBF, 1 << 16);
	const char *tmp = getenv("TMPDIR");
	snprintf(scratch_dir, sizeof scratch_dir, "%.40s/sfXXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(scratch_dir) || chdir(scratch_dir))
		abort();
	atexit(leave_scratch);
	umask(022);
}

#endif
