/* SPDX-License-Identifier: MIT */
/* sys_map.c - mapping, moving and sealing: every flag, every refusal, and what the memory holds afterwards */
#include "transcript.h"

#include <setjmp.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#define SANON (MAP_SHARED | MAP_ANONYMOUS)
#define NR_mseal 462
#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

static sigjmp_buf back;
static volatile int got_sig, got_code;
static void *volatile got_addr;

static void on_fault(int sig, siginfo_t *si, void *uc)
{
	(void)uc;
	got_sig = sig;
	got_code = si->si_code;
	got_addr = si->si_addr;
	siglongjmp(back, 1);
}

/* What a touch does: nothing, or signal, code, and whether the address is right. */
static void touch(const char *what, volatile char *p, bool write)
{
	if (sigsetjmp(back, 1)) {
		printf("  %s: %s code %d %s\n", what, got_sig == SIGBUS ? "SIGBUS" : "SIGSEGV", got_code,
		       got_addr == (void *)p ? "there" : "elsewhere");
		return;
	}
	if (write)
		*p = 'w';
	else
		(void)*p;
	printf("  %s: fine\n", what);
}

static char *area(size_t pages) { return mmap(NULL, pages * PG, RW, ANON, -1, 0); }

static void flags(int fd)
{
	char *a = area(8);
	puts("-- flags");
	OK(SYS_mmap, NULL, PG, RW, ANON | MAP_NORESERVE, -1, 0L);
	OK(SYS_mmap, NULL, PG, RW, ANON | MAP_STACK, -1, 0L);
	OK(SYS_mmap, NULL, PG, RW, ANON | MAP_POPULATE, -1, 0L);
	OK(SYS_mmap, NULL, PG, RW, ANON | MAP_NONBLOCK | MAP_POPULATE, -1, 0L);
	OK(SYS_mmap, NULL, PG, RW, ANON | MAP_GROWSDOWN, -1, 0L);
	OK(SYS_mmap, NULL, PG, RW, ANON | MAP_DENYWRITE | MAP_EXECUTABLE, -1, 0L);
	OK(SYS_mmap, NULL, PG, RW, ANON | 0x1000000, -1, 0L);
	OK(SYS_mmap, NULL, PG, 0xf0L, ANON, -1, 0L);
	C(SYS_mmap, NULL, PG, RW, SANON | MAP_GROWSDOWN, -1, 0L);
	C(SYS_mmap, NULL, PG, RW, MAP_SHARED | MAP_GROWSDOWN, fd, 0L);
	C(SYS_mmap, NULL, PG, RW, MAP_SHARED_VALIDATE | MAP_ANONYMOUS, -1, 0L);
	OK(SYS_mmap, NULL, PG, RW, MAP_SHARED_VALIDATE, fd, 0L);
	C(SYS_mmap, NULL, PG, RW, MAP_SHARED_VALIDATE | MAP_SYNC, fd, 0L);
	C(SYS_mmap, NULL, PG, RW, ANON, -1, 1L);
	OK(SYS_mmap, NULL, PG, RW, ANON, -1, (long)PG);
	C(SYS_mmap, NULL, PG, RW, MAP_PRIVATE, fd, -(long)PG);
	C(SYS_mmap, NULL, 2 * PG, RW, MAP_PRIVATE, fd, 0x7ffffffffffff000);
	C(SYS_mmap, NULL, -1L, RW, ANON, -1, 0L);
	C(SYS_mmap, NULL, -PG, RW, ANON, -1, 0L);
	C(SYS_mmap, NULL, 1ul << 47, RW, ANON, -1, 0L);
	C(SYS_mmap, a + PG, PG, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0L);
	printf("  between: %d\n", mmap(a + PG, PG, PROT_NONE, ANON | MAP_FIXED, -1, 0) == a + PG);
	touch("before the middle", a, true);
	touch("the middle", a + PG, true);
	touch("after the middle", a + 2 * PG, true);
	munmap(a + 3 * PG, PG);
	touch("a hole", a + 3 * PG + 5, false);
	printf("  into the hole: %d\n", mmap(a + 3 * PG, PG, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0) == a + 3 * PG);
	printf("  low: %d\n", (unsigned long)mmap(NULL, PG, RW, ANON | MAP_32BIT, -1, 0) < 1ul << 32);
	C(SYS_mmap, NULL, PG, RW, ANON | MAP_HUGETLB | (5 << 26), -1, 0L);
	C(SYS_mmap, NULL, PG, RW, MAP_PRIVATE | MAP_HUGETLB, fd, 0L);
	C(SYS_munmap, a + 1, PG);
	C(SYS_munmap, a, 0L);
	C(SYS_munmap, kern, PG);
	C(SYS_munmap, a, -1L);
	C(SYS_munmap, hole, 64 * PG);
	C(SYS_munmap, a, 8 * PG - 5);
	touch("all gone", a + 7 * PG, false);
}

static void files(int fd)
{
	puts("-- a file's end");
	(void)!ftruncate(fd, 2 * PG + 100);
	char *s = mmap(NULL, 4 * PG, RW, MAP_SHARED, fd, 0), *p = mmap(NULL, 4 * PG, RW, MAP_PRIVATE, fd, 0);
	touch("shared, last page", s + 2 * PG + 200, true);
	touch("shared, beyond", s + 3 * PG, false);
	touch("shared, beyond, writing", s + 3 * PG + 7, true);
	touch("private, last page", p + 2 * PG + 4000, true);
	touch("private, beyond", p + 3 * PG, true);
	p[0] = 'P';
	s[1] = 'S';
	(void)!ftruncate(fd, 0);
	touch("shared, cut off", s + 1, false);
	(void)!ftruncate(fd, 4 * PG);
	touch("shared, long again", s + 3 * PG, true);
	printf("  %d %d\n", s[1], s[2 * PG + 200]);
	sum("zeros", s, 3 * PG);
	C(SYS_write, 1010, s, PG);
	C(SYS_madvise, s, 2 * PG, MADV_REMOVE);
	s[0] = 'a', s[PG] = 'b', s[2 * PG] = 'c';
	C(SYS_madvise, s + PG, PG, MADV_REMOVE);
	printf("  hole: %d %d %d\n", s[0], s[PG], s[2 * PG]);
	C(SYS_madvise, p, PG, MADV_REMOVE);
	C(SYS_madvise, good, PG, MADV_REMOVE);
	puts("-- shared anonymous");
	char *n = mmap(NULL, 4 * PG, RW, SANON, -1, 0);
	memset(n, 'n', 4 * PG);
	C(SYS_madvise, n, PG, MADV_DONTNEED);
	C(SYS_madvise, n + PG, PG, MADV_REMOVE);
	C(SYS_madvise, n + 2 * PG, PG, MADV_FREE);
	printf("  %d %d %d\n", n[0], n[PG], n[2 * PG]);
	if (!fork()) {
		n[3 * PG] = 'k';
		madvise(n, PG, MADV_REMOVE);
		_exit(0);
	}
	wait(NULL);
	printf("  after a child: %d %d\n", n[0], n[3 * PG]);
	char *m = mremap(n, 0, 4 * PG, MREMAP_MAYMOVE);
	if (m != MAP_FAILED) {
		m[PG] = 'm';
		printf("  second view: %d %d\n", n[PG], m[2 * PG]);
	} else {
		printf("  second view: %s\n", strerrorname_np(errno));
	}
	OK(SYS_mremap, n, 4 * PG, 8 * PG, MREMAP_MAYMOVE, 0L);
}

static void moves(void)
{
	char *a = area(8), *to = area(8), *r;
	puts("-- mremap");
	memset(a, 'a', 8 * PG);
	C(SYS_mremap, a + 1, PG, PG, 0L, 0L);
	C(SYS_mremap, a, PG, 0L, 0L, 0L);
	C(SYS_mremap, a, PG, PG, 8L, 0L);
	C(SYS_mremap, a, PG, PG, MREMAP_FIXED, to);
	C(SYS_mremap, a, PG, PG, MREMAP_DONTUNMAP, to);
	C(SYS_mremap, a, PG, PG, MREMAP_FIXED | MREMAP_MAYMOVE, to + 1);
	C(SYS_mremap, a, 2 * PG, 2 * PG, MREMAP_FIXED | MREMAP_MAYMOVE, a + PG);
	C(SYS_mremap, a, PG, 2 * PG, MREMAP_DONTUNMAP | MREMAP_MAYMOVE, 0L);
	C(SYS_mremap, a, PG, PG, MREMAP_FIXED | MREMAP_MAYMOVE, kern);
	C(SYS_mremap, hole, PG, 2 * PG, MREMAP_MAYMOVE, 0L);
	C(SYS_mremap, a, 100 * PG, 101 * PG, MREMAP_MAYMOVE, 0L);
	C(SYS_mremap, a, 1ul << 50, 2ul << 50, MREMAP_MAYMOVE, 0L);
	C(SYS_mremap, a, 0L, PG, MREMAP_MAYMOVE, 0L);
	C(SYS_mremap, kern, PG, PG, MREMAP_MAYMOVE, 0L);
	C(SYS_mremap, a, PG, 1ul << 62, MREMAP_MAYMOVE, 0L);
	mmap(a + 8 * PG, PG, PROT_NONE, ANON | MAP_FIXED_NOREPLACE, -1, 0);
	C(SYS_mremap, a, 8 * PG, 9 * PG, 0L, 0L);
	r = mremap(a, 2 * PG, 2 * PG, MREMAP_MAYMOVE | MREMAP_FIXED, to);
	printf("  moved: %d %c\n", r == to, r[PG]);
	touch("where it was", a, false);
	r = mremap(a + 2 * PG, 2 * PG, 2 * PG, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, 0);
	printf("  left behind: %d, %d there\n", r == MAP_FAILED ? -1 : r[PG], a[2 * PG]);
	touch("left behind", a + 2 * PG, true);
	r = mremap(a + 4 * PG, 4 * PG, 2 * PG, 0);
	touch("shrunk, kept", a + 5 * PG, true);
	touch("shrunk, gone", a + 6 * PG, true);
	r = mremap(r, 2 * PG, 64 * PG, MREMAP_MAYMOVE);
	printf("  grown: %c %d\n", r[0], r[63 * PG]);
	int fd = memfd_create("m", 0);
	(void)!ftruncate(fd, 4 * PG);
	char *s = mmap(NULL, 2 * PG, RW, MAP_SHARED, fd, 0);
	s[0] = 's';
	char *t = mremap(s, 0, 2 * PG, MREMAP_MAYMOVE);
	printf("  twice: %d\n", t == MAP_FAILED ? -1 : t[0]);
	OK(SYS_mremap, s, PG, PG, MREMAP_DONTUNMAP | MREMAP_MAYMOVE, 0L);
	close(fd);
}

static void pieces(void)
{
	int fd = memfd_create("r", 0);
	puts("-- remap_file_pages");
	(void)!ftruncate(fd, 4 * PG);
	char *s = mmap(NULL, 4 * PG, RW, MAP_SHARED, fd, 0);
	for (int i = 0; i < 4; i++)
		s[(size_t)i * PG] = (char)('0' + i);
	C(SYS_remap_file_pages, s, PG, 0L, 3L, 0L);
	C(SYS_remap_file_pages, s + 3 * PG, PG, 0L, 0L, 0L);
	printf("  %c%c%c%c\n", s[0], s[PG], s[2 * PG], s[3 * PG]);
	C(SYS_remap_file_pages, s, PG, RW, 3L, 0L);
	C(SYS_remap_file_pages, s, 0L, 0L, 3L, 0L);
	C(SYS_remap_file_pages, good, PG, 0L, 0L, 0L);
	C(SYS_remap_file_pages, hole, PG, 0L, 0L, 0L);
	C(SYS_remap_file_pages, s, 8 * PG, 0L, 0L, 0L);
	C(SYS_remap_file_pages, s, -PG, 0L, 0L, 0L);
	close(fd);
}

static void seals(void)
{
	int fd = memfd_create("s", MFD_ALLOW_SEALING), ro_fd = memfd_create("t", 0);
	puts("-- memory file seals");
	(void)!ftruncate(fd, 4 * PG);
	char *s = mmap(NULL, PG, RW, MAP_SHARED, fd, 0);
	C(SYS_fcntl, fd, F_GET_SEALS);
	C(SYS_fcntl, fd, F_ADD_SEALS, F_SEAL_WRITE);
	munmap(s, PG);
	C(SYS_fcntl, fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK);
	C(SYS_ftruncate, fd, 8 * PG);
	C(SYS_ftruncate, fd, PG);
	C(SYS_fcntl, fd, F_ADD_SEALS, 0x10 /* future write */);
	C(SYS_mmap, NULL, PG, RW, MAP_SHARED, fd, 0L);
	OK(SYS_mmap, NULL, PG, PROT_READ, MAP_SHARED, fd, 0L);
	OK(SYS_mmap, NULL, PG, RW, MAP_PRIVATE, fd, 0L);
	C(SYS_fcntl, fd, F_ADD_SEALS, F_SEAL_WRITE);
	s = mmap(NULL, PG, PROT_READ, MAP_SHARED, fd, 0);
	if (s != MAP_FAILED)
		C(SYS_mprotect, s, PG, RW);
	C(SYS_fcntl, fd, F_ADD_SEALS, F_SEAL_SEAL);
	C(SYS_fcntl, fd, F_ADD_SEALS, F_SEAL_GROW);
	C(SYS_fcntl, ro_fd, F_ADD_SEALS, F_SEAL_GROW);
	C(SYS_memfd_create, NULL, 0L);
	C(SYS_memfd_create, "x", 0x4000L);
	C(SYS_memfd_create, none, 0L);
	close(fd);
	close(ro_fd);
}

static void mseals(int fd)
{
	char *a = area(4), *p = mmap(NULL, 2 * PG, PROT_READ, MAP_PRIVATE, fd, 0);
	puts("-- mseal");
	memset(a, 'x', 4 * PG);
	C(NR_mseal, a, PG, 1L);
	C(NR_mseal, a + 1, PG, 0L);
	C(NR_mseal, a, 0L, 0L);
	C(NR_mseal, a, -1L, 0L);
	C(NR_mseal, a, -PG, 0L);
	C(NR_mseal, hole, PG, 0L);
	C(NR_mseal, p, 2 * PG, 0L);
	C(SYS_madvise, p, PG, MADV_DONTNEED);
	C(SYS_munmap, p, PG);
	C(NR_mseal, a + PG, 2 * PG, 0L);
	C(NR_mseal, a + PG, PG, 0L);
	C(SYS_mprotect, a + PG, PG, PROT_READ);
	C(SYS_mprotect, a + PG, PG, RW);
	C(SYS_mprotect, a, 4 * PG, PROT_READ);
	C(SYS_mprotect, a, PG, RW);
	C(SYS_munmap, a, 4 * PG);
	C(SYS_munmap, a, 2 * PG);
	C(SYS_mremap, a + PG, PG, 2 * PG, MREMAP_MAYMOVE, 0L);
	C(SYS_mremap, a + PG, 2 * PG, PG, 0L, 0L);
	C(SYS_mremap, a + PG, PG, PG, 0L, 0L);
	C(SYS_mremap, good, PG, PG, MREMAP_MAYMOVE | MREMAP_FIXED, a + PG);
	C(SYS_mmap, a, 2 * PG, RW, ANON | MAP_FIXED, -1, 0L);
	C(SYS_madvise, a + PG, PG, MADV_DONTNEED);
	printf("  %d\n", a[PG]);
	C(SYS_madvise, a + PG, PG, MADV_WILLNEED);
	C(SYS_mlock, a + PG, PG);
	C(SYS_munlock, a + PG, PG);
	int st = 0;
	if (!fork())
		_exit(munmap(a + PG, PG) == -1 && errno == EPERM ? 7 : 1);
	wait(&st);
	printf("  in a child: %d\n", WEXITSTATUS(st));
	C(SYS_munmap, a, PG);
	C(SYS_munmap, a + 3 * PG, PG);
}

static void protection(int fd)
{
	char *a = area(4), *s = mmap(NULL, PG, PROT_READ, MAP_SHARED, fd, 0);
	int rd = open("f", O_RDONLY);
	puts("-- mprotect");
	C(SYS_mprotect, a + 1, PG, PROT_READ);
	C(SYS_mprotect, a, PG, 0xffff00L);
	C(SYS_mprotect, a, 0L, PROT_READ);
	C(SYS_mprotect, a, -PG, PROT_READ);
	C(SYS_mprotect, hole, PG, PROT_READ);
	C(SYS_mprotect, a, PG, PROT_READ | PROT_GROWSDOWN);
	C(SYS_mprotect, a, PG, PROT_READ | PROT_GROWSUP);
	C(SYS_mprotect, a, PG, PROT_READ | PROT_GROWSDOWN | PROT_GROWSUP);
	C(SYS_mprotect, s, PG, RW);
	char *r = mmap(NULL, PG, PROT_READ, MAP_SHARED, rd, 0);
	C(SYS_mprotect, r, PG, RW);
	munmap(a + 2 * PG, PG);
	C(SYS_mprotect, a, 4 * PG, PROT_READ);
	touch("before the hole", a + PG, true);
	touch("behind the hole", a + 3 * PG, true);
	C(SYS_mprotect, a, PG, PROT_WRITE);
	touch("written", a, true);
	touch("read", a, false);
	C(SYS_mprotect, a, PG, PROT_EXEC);
	touch("executable only", a, false);
	C(SYS_mprotect, a, PG, PROT_NONE);
	touch("none", a + 9, false);
	C(SYS_pkey_mprotect, a, PG, RW, -1L);
	C(SYS_pkey_mprotect, a, PG, RW, 20L);
	C(SYS_pkey_alloc, 1L, 0L);
	C(SYS_pkey_alloc, 0L, 8L);
	C(SYS_pkey_free, 30L);
	close(rd);
}

static void growing(void)
{
	puts("-- growing down");
	char *a = area(300);
	munmap(a, 300 * PG);
	char *g = mmap(a + 290 * PG, 2 * PG, RW, ANON | MAP_GROWSDOWN | MAP_FIXED, -1, 0);
	touch("itself", g, true);
	touch("just below", g - 1, true);
	touch("ten below", g - 10 * PG, true);
	char *b = mmap(a, PG, RW, ANON | MAP_FIXED, -1, 0);
	touch("in the guard gap", b + 100 * PG, true);
	touch("outside it", g - 20 * PG, true);
	C(SYS_mprotect, g - 4 * PG, PG, PROT_READ | PROT_GROWSDOWN);
	touch("read-only now", g - 20 * PG, true);
}

#define CROWD 3000

static int wrong(char **m, int from, int to, int add)
{
	int n = 0;
	for (int i = from; i < to; i++)
		n += *(int *)m[i] != i + add;
	return n;
}

/* More shared mappings than there are descriptors, each a memory of its own, before and after a fork. */
static void crowd(void)
{
	static char *m[CROWD + 200];
	int st;
	puts("-- a crowd of shared mappings");
	for (int i = 0; i < CROWD; i++) {
		m[i] = mmap(NULL, PG, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		if (m[i] == MAP_FAILED)
			exit(puts("too many"));
		*(int *)m[i] = i;
	}
	pid_t pid = fork();
	for (int i = CROWD; i < CROWD + 200; i++) { /* the same slots in both, if they had any in common */
		m[i] = mmap(NULL, PG, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		*(int *)m[i] = pid ? i : -i;
	}
	if (!pid) {
		int bad = wrong(m, 0, CROWD, 0);
		for (int i = 0; i < CROWD; i++)
			*(int *)m[i] = i + 1;
		_exit(bad > 0);
	}
	waitpid(pid, &st, 0);
	printf("  child %x, wrong %d, of the later ones %d\n", st, wrong(m, 0, CROWD, 1), wrong(m, CROWD, CROWD + 200, 0));
	for (int i = 0; i < CROWD; i += 2)
		munmap(m[i], PG);
	int dirty = 0;
	for (int i = 0; i < CROWD; i += 2) {
		m[i] = mmap(NULL, PG, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		dirty += *(int *)m[i];
		*(int *)m[i] = i + 1;
	}
	printf("  dirty %d, wrong %d\n", dirty, wrong(m, 0, CROWD, 1));
	char *more = mremap(m[1], PG, 3 * PG, MREMAP_MAYMOVE);
	touch("what grew", more, false);
	touch("beyond its file", more + PG, true);
	C(SYS_remap_file_pages, more, PG, 0, 0L, 0);
	touch("its first page", more, false);
	C(SYS_madvise, more, PG, MADV_REMOVE);
	printf("  %d\n", *(int *)more);
	for (int i = 0; i < CROWD + 200; i++)
		munmap(i == 1 ? more : m[i], i == 1 ? 3 * PG : PG);
}

/* As many shared mappings as the host allows, more than half of what Linux would: each can be touched, other memory too, and twice. */
static int as_many_as_possible(void)
{
	static char *p[70000];
	int fd = memfd_create("many", 0);
	(void)!ftruncate(fd, PG);
	for (int round = 0; round < 2; round++) {
		int n = 0;
		while (n < 70000 && (p[n] = mmap(NULL, PG, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)) != MAP_FAILED)
			n++;
		char *other = n < 70000 && errno == ENOMEM && n > 32768 ? malloc(200000) : NULL;
		if (!other)
			return 1;
		memset(other, 1, 200000);
		p[0][0] = 0;
		for (int i = 0; i < n; i += 16)
			p[i][0]++;
		if (p[1][0] != (char)((n + 15) / 16))
			return 2;
		for (int i = 0; i < n; i++)
			munmap(p[i], PG);
		free(other);
	}
	return 0;
}

int main(int argc, char **argv)
{
	if (argc > 1)
		return as_many_as_possible();
	struct sigaction sa = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO };
	transcript_begin();
	sigaction(SIGSEGV, &sa, NULL);
	sigaction(SIGBUS, &sa, NULL);
	int fd = open("f", O_RDWR | O_CREAT, 0600);
	(void)!ftruncate(fd, 4 * PG);
	flags(fd);
	moves();
	pieces();
	seals();
	mseals(fd);
	protection(fd);
	growing();
	files(fd);
	crowd();
	unlink("f");
	return 0;
}
