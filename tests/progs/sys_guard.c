/* SPDX-License-Identifier: MIT */
/* sys_guard.c - guard pages, PR_SET_MDWE, views of shared memory, huge advice */
#include "transcript.h"

#include <setjmp.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define RW (PROT_READ | PROT_WRITE)
#define RX (PROT_READ | PROT_EXEC)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#define INSTALL 102
#define REMOVE 103

static sigjmp_buf out;
static char *area(size_t pages) { return mmap(NULL, pages * PG, RW, ANON, -1, 0); }

static void caught(int signo, siginfo_t *si, void *uc)
{
	(void)uc;
	siglongjmp(out, signo << 8 | si->si_code);
}

static void look(volatile char *c)
{
	int r = sigsetjmp(out, 1);
	if (!r)
		printf(" %d", *c);
	else
		printf(" signal %d/%d", r >> 8, r & 255);
}

static void change(volatile char *c)
{
	if (!sigsetjmp(out, 1)) {
		++*c;
		putchar('w');
	} else {
		putchar('-');
	}
}

static void touch(const char *what, char *p, size_t pages)
{
	printf("  %s:", what);
	for (size_t i = 0; i < pages; i++)
		look(p + i * PG + 7);
	for (size_t i = 0; i < pages; i++)
		change(p + i * PG + 8);
	puts("");
}

static void core(const char *what, char *p, size_t pages)
{
	unsigned char v[64] = { 0 };
	printf("  %s: %s", what, mincore(p, pages * PG, v) ? strerrorname_np(errno) : "in core");
	for (size_t i = 0; i < pages; i++)
		printf(" %d", v[i] & 1);
	puts("");
}

static void guards(void)
{
	char *p = area(8), *q, *m;
	puts("-- guards");
	memset(p, 5, 8 * PG);
	C(SYS_madvise, p + PG, 3 * PG, INSTALL);
	C(SYS_madvise, p + 2 * PG, PG, INSTALL);
	touch("guarded", p, 6);
	core("guarded", p, 6);
	C(SYS_madvise, p, 8 * PG, MADV_DONTNEED);
	C(SYS_madvise, p, 8 * PG, MADV_FREE);
	C(SYS_madvise, p, 8 * PG, MADV_PAGEOUT);
	C(SYS_madvise, p, 8 * PG, MADV_WILLNEED);
	touch("after advice", p, 6);
	C(SYS_madvise, p, 4 * PG, MADV_POPULATE_READ);
	C(SYS_madvise, p, 4 * PG, MADV_POPULATE_WRITE);
	C(SYS_mprotect, p, 4 * PG, PROT_READ);
	C(SYS_mprotect, p, 4 * PG, RW);
	C(SYS_write, 1000, p, 1);
	C(SYS_getcwd, p + PG, PG);
	C(SYS_getcwd, p + PG - 2, PG);
	memset(p + 4 * PG, 9, 4 * PG);
	q = area(16);
	m = mremap(p, 8 * PG, 8 * PG, MREMAP_MAYMOVE | MREMAP_FIXED, q);
	touch("moved", m, 8);
	C(SYS_madvise, m + PG, PG, REMOVE);
	touch("one removed", m, 4);
	C(SYS_madvise, m, 8 * PG, REMOVE);
	touch("all removed", m, 8);
	C(SYS_madvise, m, PG, INSTALL);
	fflush(stdout);
	if (!fork()) {
		touch("in a child", m, 2);
		madvise(m, PG, REMOVE);
		touch("its own", m, 2);
		fflush(stdout);
		_exit(0);
	}
	wait(NULL);
	touch("still", m, 2);
	C(SYS_munmap, m, PG);
	mmap(m, PG, RW, ANON | MAP_FIXED, -1, 0);
	touch("mapped anew", m, 2);
}

static void kinds(void)
{
	int fd = open("f", O_RDWR | O_CREAT, 0600);
	char *a = area(4), *s, *r;
	puts("-- guards of every kind");
	memset(good, 3, PG);
	for (int i = 0; i < 4; i++)
		(void)!write(fd, good, PG);
	s = mmap(NULL, 4 * PG, RW, MAP_SHARED, fd, 0);
	r = mmap(NULL, 4 * PG, RW, MAP_PRIVATE, fd, 0);
	touch("shared", s, 4);
	C(SYS_madvise, s, PG, INSTALL);
	C(SYS_madvise, s + 2 * PG, PG, INSTALL);
	touch("shared", s, 4);
	s = mremap(s, 4 * PG, 6 * PG, MREMAP_MAYMOVE);
	touch("moved", s, 4);
	C(SYS_madvise, s, 4 * PG, REMOVE);
	touch("shared", s, 4);
	touch("private", r, 3);
	C(SYS_madvise, r, 2 * PG, INSTALL);
	touch("private", r, 3);
	C(SYS_madvise, r, 2 * PG, REMOVE);
	touch("private", r, 3);
	C(SYS_mlock, a, PG);
	C(SYS_madvise, a, PG, INSTALL);
	C(SYS_madvise, a + PG, PG, INSTALL);
	C(SYS_madvise, a, PG, REMOVE);
	C(SYS_mlock, a, 2 * PG);
	C(SYS_munlock, a, 4 * PG);
	C(SYS_madvise, a + 1, PG, INSTALL);
	C(SYS_madvise, a, 0, INSTALL);
	C(SYS_madvise, hole, PG, INSTALL);
	munmap(a + 2 * PG, PG);
	C(SYS_madvise, a, 4 * PG, INSTALL);
	touch("around a hole", a + 3 * PG, 1);
	C(SYS_madvise, none, PG, INSTALL);
	C(SYS_madvise, none, PG, REMOVE);
	C(SYS_madvise, ro, PG, INSTALL);
	C(SYS_madvise, ro, PG, REMOVE);
	close(fd);
	unlink("f");
}

static void mdwe(void)
{
	char *x = mmap(NULL, PG, RX, ANON, -1, 0), *w = area(1);
	puts("-- PR_SET_MDWE");
	C(SYS_prctl, 66, 0, 0, 0, 0);
	C(SYS_prctl, 65, 2, 0, 0, 0);
	C(SYS_prctl, 65, 4, 0, 0, 0);
	C(SYS_prctl, 65, 1, 1, 0, 0);
	C(SYS_prctl, 66, 1, 0, 0, 0);
	C(SYS_prctl, 65, 1, 0, 0, 0);
	C(SYS_prctl, 65, 1, 0, 0, 0);
	C(SYS_prctl, 65, 3, 0, 0, 0);
	C(SYS_prctl, 65, 0, 0, 0, 0);
	C(SYS_prctl, 66, 0, 0, 0, 0);
	C(SYS_mmap, NULL, PG, RW | PROT_EXEC, ANON, -1, 0);
	OK(SYS_mmap, NULL, PG, RX, ANON, -1, 0);
	C(SYS_mprotect, w, PG, RX);
	C(SYS_mprotect, x, PG, RX);
	C(SYS_mprotect, x, PG, RW | PROT_EXEC);
	C(SYS_mprotect, x, PG, RW);
	C(SYS_mprotect, x, PG, RX);
	fflush(stdout);
	if (!fork()) {
		C(SYS_prctl, 66, 0, 0, 0, 0);
		C(SYS_mprotect, w, PG, RX);
		fflush(stdout);
		_exit(0);
	}
	wait(NULL);
}

static void views(void)
{
	char *s = mmap(NULL, 4 * PG, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0), *v, *d;
	puts("-- views of shared memory");
	memset(s, 1, 4 * PG);
	v = mremap(s, 0, 4 * PG, MREMAP_MAYMOVE);
	printf("  %d\n", v != MAP_FAILED);
	v[5] = 42;
	printf("  the same %d\n", s[5]);
	d = mremap(s, 4 * PG, 4 * PG, MREMAP_MAYMOVE | MREMAP_DONTUNMAP);
	printf("  %d\n", d != MAP_FAILED);
	d[5]++;
	printf("  still the same %d %d\n", s[5], v[5]);
	C(SYS_mremap, good, 0, PG, MREMAP_MAYMOVE);
}

int main(void)
{
	struct sigaction sa = { .sa_sigaction = caught, .sa_flags = SA_SIGINFO };
	transcript_begin();
	sigaction(SIGSEGV, &sa, NULL);
	sigaction(SIGBUS, &sa, NULL);
	guards();
	kinds();
	views();
	mdwe();
	return 0;
}
