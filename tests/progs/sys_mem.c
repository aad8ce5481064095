/* SPDX-License-Identifier: MIT */
/* sys_mem.c - the calls that shape memory: arguments that are wrong in one way each, and what is left afterwards */
#include "transcript.h"

#include <sys/resource.h>
#include <sys/uio.h>

#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)

static int pipefd[2];

static char *area(size_t pages)
{
	return mmap(NULL, pages * PG, RW, ANON, -1, 0);
}

static void maps(void)
{
	int fd = open("f", O_RDWR | O_CREAT, 0600), rd, wr, dir = open(".", O_RDONLY);
	char *a = area(8);
	static char text[10000];
	puts("-- mmap");
	fill(text, sizeof text, 3);
	(void)!write(fd, text, sizeof text);
	rd = open("f", O_RDONLY);
	wr = open("f", O_WRONLY);
	C(SYS_mmap, NULL, 0L, RW, ANON, -1, 0L);
	C(SYS_mmap, NULL, PG, RW, 0, -1, 0L);
	C(SYS_mmap, NULL, PG, RW, MAP_ANONYMOUS, -1, 0L);
	C(SYS_mmap, NULL, PG, RW, MAP_PRIVATE, -1, 0L);
	C(SYS_mmap, NULL, PG, RW, MAP_PRIVATE, fd, 5L);
	C(SYS_mmap, NULL, PG, RW, MAP_PRIVATE, 1010, 0L);
	C(SYS_mmap, NULL, 1ul << 60, RW, ANON, -1, 0L);
	C(SYS_mmap, a + 1, PG, RW, ANON | MAP_FIXED, -1, 0L);
	C(SYS_mmap, a, PG, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0L);
	C(SYS_mmap, kern, PG, RW, ANON | MAP_FIXED, -1, 0L);
	C(SYS_mmap, NULL, PG, PROT_READ, MAP_PRIVATE, wr, 0L);
	C(SYS_mmap, NULL, PG, RW, MAP_SHARED, rd, 0L);
	C(SYS_mmap, NULL, PG, PROT_READ, MAP_PRIVATE, dir, 0L);
	C(SYS_mmap, NULL, PG, PROT_READ, MAP_PRIVATE, pipefd[0], 0L);
	OK(SYS_mmap, NULL, PG, RW, MAP_PRIVATE, rd, 0L);
	OK(SYS_mmap, NULL, PG, RW, ANON, 12345, 0L);
	char *m = mmap(NULL, 3 * PG, PROT_READ, MAP_PRIVATE, rd, 0);
	sum("file", m, sizeof text);
	printf("  tail zero %d\n", m[sizeof text] == 0 && m[3 * PG - 1] == 0);
	char *s = mmap(NULL, 3 * PG, RW, MAP_SHARED, fd, 0);
	s[5] = 'S';
	(void)!pwrite(fd, "W", 1, 6);
	printf("  shared %c%c\n", text[5] == s[5] ? '?' : s[5], s[6]);
	(void)!pread(fd, text, 10, 0);
	printf("  file %c%c\n", text[5], text[6]);
	C(SYS_msync, s, 3 * PG, MS_SYNC);
	C(SYS_msync, s + 1, 3 * PG, MS_SYNC);
	C(SYS_msync, s, 3 * PG, MS_SYNC | MS_ASYNC);
	C(SYS_msync, hole, PG, MS_SYNC);
	C(SYS_msync, s, 0L, MS_SYNC);
	/* a descriptor closed after mmap is not needed */
	close(rd);
	close(fd);
	sum("still", m + PG, PG);
	munmap(m, 3 * PG);
	munmap(s, 3 * PG);
	unlink("f");
}

static void unmaps(void)
{
	char *a = area(10);
	puts("-- munmap, mprotect");
	memset(a, 'a', 10 * PG);
	C(SYS_munmap, a + 1, PG);
	C(SYS_munmap, a, 0L);
	C(SYS_munmap, kern, PG);
	C(SYS_munmap, a + 3 * PG, 2 * PG);
	C(SYS_munmap, a + 3 * PG, 2 * PG);
	C(SYS_write, pipefd[1], a + 3 * PG, 1);
	C(SYS_mprotect, a + 1, PG, PROT_READ);
	C(SYS_mprotect, a, 0L, PROT_READ);
	C(SYS_mprotect, a, PG, 0x80);
	C(SYS_mprotect, a, 10 * PG, PROT_READ);
	C(SYS_mprotect, hole, PG, PROT_READ);
	C(SYS_mprotect, a, -1L, PROT_READ);
	C(SYS_getcwd, a, PG);
	OK(SYS_getcwd, a + 6 * PG, PG);
	C(SYS_mprotect, a, 2 * PG, RW);
	OK(SYS_getcwd, a, PG);
	C(SYS_pkey_mprotect, a, PG, PROT_READ, -1);
	C(SYS_pkey_free, 5);
	C(SYS_pkey_alloc, 5, 0);
	munmap(a, 10 * PG);
}

static void remaps(void)
{
	char *a = area(6), *b;
	puts("-- mremap");
	memset(a, 'm', 6 * PG);
	C(SYS_mremap, a + 1, PG, PG, 0);
	C(SYS_mremap, a, PG, 0L, 0);
	C(SYS_mremap, a, PG, PG, 0x80);
	C(SYS_mremap, hole, PG, 2 * PG, MREMAP_MAYMOVE);
	C(SYS_mremap, a, 2 * PG, 4 * PG, 0);
	C(SYS_mremap, a, 2 * PG, PG, MREMAP_FIXED, a);
	C(SYS_mremap, a, 2 * PG, 2 * PG, MREMAP_FIXED | MREMAP_MAYMOVE, a + PG);
	b = mremap(a, 6 * PG, 12 * PG, MREMAP_MAYMOVE);
	printf("  moved %c %d\n", b[5 * PG], b[7 * PG]);
	printf("  shrunk %d\n", mremap(b, 12 * PG, 2 * PG, 0) == b);
	C(SYS_write, pipefd[1], b + 2 * PG, 1);
	a = area(20);
	printf("  fixed %d\n", mremap(b, 2 * PG, 2 * PG, MREMAP_MAYMOVE | MREMAP_FIXED, a + 4 * PG) == a + 4 * PG);
	printf("  %c%d\n", a[4 * PG], a[6 * PG]);
	munmap(a, 20 * PG);
}

static void advice(void)
{
	char *a = area(8);
	unsigned char vec[16];
	puts("-- madvise, mincore, mlock");
	memset(a, 'v', 8 * PG);
	C(SYS_madvise, a, 8 * PG, MADV_NORMAL);
	C(SYS_madvise, a + 1, PG, MADV_NORMAL);
	C(SYS_madvise, a, PG, 9999);
	C(SYS_madvise, a, 0L, MADV_DONTNEED);
	C(SYS_madvise, hole, PG, MADV_DONTNEED);
	C(SYS_madvise, a, -1L, MADV_DONTNEED);
	C(SYS_madvise, a + PG, PG, MADV_DONTNEED);
	printf("  %d %c\n", a[PG], a[2 * PG]);
	C(SYS_madvise, a, 8 * PG, MADV_WILLNEED);
	C(SYS_madvise, a, 8 * PG, MADV_POPULATE_READ);
	C(SYS_madvise, a, 8 * PG, MADV_POPULATE_WRITE);
	C(SYS_madvise, none, PG, MADV_POPULATE_READ);
	C(SYS_mincore, a, 8 * PG, vec);
	C(SYS_mincore, a + 1, 8 * PG, vec);
	C(SYS_mincore, a, 8 * PG, none);
	C(SYS_mincore, a, 8 * PG, edge(4));
	C(SYS_mincore, hole, PG, vec);
	C(SYS_mincore, a, 1ul << 62, vec);
	C(SYS_mincore, a, 0L, vec);
	C(SYS_madvise, a + 4 * PG, PG, MADV_DONTNEED);
	memset(vec, 9, sizeof vec);
	C(SYS_mincore, a, 8 * PG, vec);
	printf("  %d%d%d%d%d%d%d%d %d\n", vec[0], vec[1], vec[2], vec[3], vec[4], vec[5], vec[6], vec[7], vec[8]);
	C(SYS_mlock, a, 2 * PG);
	C(SYS_mlock, hole, PG);
	C(SYS_mlock, a, -1L);
	C(SYS_mlock2, a, PG, 77);
	C(SYS_mlock2, a, PG, 1);
	C(SYS_munlock, a, 8 * PG);
	C(SYS_munlock, hole, PG);
	C(SYS_mlockall, 0);
	C(SYS_mlockall, 88);
	C(SYS_munlockall);
	struct iovec v[2] = { { a, PG }, { a + PG, PG } };
	int self = (int)syscall(SYS_pidfd_open, getpid(), 0);
	C(SYS_process_madvise, self, v, 2, MADV_WILLNEED, 0);
	C(SYS_process_madvise, self, none, 2, MADV_WILLNEED, 0);
	C(SYS_process_madvise, self, v, 2, MADV_WILLNEED, 1);
	C(SYS_process_madvise, -1, v, 2, MADV_WILLNEED, 0);
	close(self);
	munmap(a, 8 * PG);
}

/* What of a file is in memory does not depend on who touched it here. */
static void in_core(const char *what, char *p)
{
	unsigned char vec[8];
	memset(vec, 9, sizeof vec);
	syscall(SYS_mincore, p, 8 * PG, vec);
	printf("  %s:", what);
	for (int i = 0; i < 8; i++)
		printf(" %d", vec[i] & 1);
	puts("");
}

static void files_in_core(void)
{
	static char page[PG];
	puts("-- mincore of files");
	int fd = (int)syscall(SYS_memfd_create, "core", 0);
	(void)!ftruncate(fd, 7 * PG);
	(void)!pwrite(fd, page, PG, 2 * PG);
	char *s = mmap(NULL, 8 * PG, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	char *p = mmap(NULL, 8 * PG, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	char *a = mmap(NULL, 8 * PG, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	in_core("shared, untouched", s);
	in_core("private, untouched", p);
	in_core("no file, untouched", a);
	s[5 * PG] = a[3 * PG] = 1;
	(void)!pwrite(fd, page, PG, 0);
	in_core("shared", s);
	in_core("private", p);
	in_core("no file", a);
	struct stat st;
	fstat(fd, &st);
	printf("  blocks %ld\n", (long)st.st_blocks);
	munmap(s, 8 * PG), munmap(p, 8 * PG), munmap(a, 8 * PG);
	close(fd);
}

static void breaks(void)
{
	char *b = (char *)syscall(SYS_brk, 0), *n;
	puts("-- brk");
	n = (char *)syscall(SYS_brk, b + 3 * PG);
	printf("  grown %ld\n", (long)(n - b));
	n[-1] = 'b';
	n = (char *)syscall(SYS_brk, b + PG);
	printf("  shrunk %ld\n", (long)(n - b));
	n = (char *)syscall(SYS_brk, kern);
	printf("  refused %ld\n", (long)(n - b));
	n = (char *)syscall(SYS_brk, b);
	printf("  back %ld\n", (long)(n - b));
}

static void bounds(void)
{
	struct rlimit rl, old;
	puts("-- limits");
	getrlimit(RLIMIT_DATA, &old);
	rl = (struct rlimit){ 1 << 20, old.rlim_max };
	C(SYS_setrlimit, RLIMIT_DATA, &rl);
	C(SYS_mmap, NULL, 256ul << 20, RW, ANON, -1, 0L);
	setrlimit(RLIMIT_DATA, &old);
	getrlimit(RLIMIT_AS, &old);
	rl = (struct rlimit){ 1 << 20, old.rlim_max };
	C(SYS_setrlimit, RLIMIT_AS, &rl);
	C(SYS_mmap, NULL, 256ul << 20, PROT_NONE, ANON, -1, 0L);
	setrlimit(RLIMIT_AS, &old);
}

static void policies(void)
{
	int mode = 55;
	unsigned long mask[16] = { 1 };
	char *a = area(2);
	puts("-- policies");
	C(SYS_get_mempolicy, &mode, NULL, 0L, NULL, 0);
	printf("  %d\n", mode);
	C(SYS_get_mempolicy, none, NULL, 0L, NULL, 0);
	C(SYS_get_mempolicy, &mode, NULL, 0L, a, 2 /* MPOL_F_ADDR */);
	C(SYS_get_mempolicy, &mode, NULL, 0L, hole, 2);
	C(SYS_set_mempolicy, 0, NULL, 0L);
	C(SYS_set_mempolicy, 77, NULL, 0L);
	C(SYS_set_mempolicy, 2, none, 64L);
	C(SYS_mbind, a, 2 * PG, 0, NULL, 0L, 0);
	C(SYS_mbind, a, 2 * PG, 99, mask, 64L, 0);
	C(SYS_mbind, a, 2 * PG, 2, none, 64L, 0);
	C(SYS_mbind, a + 1, PG, 0, NULL, 0L, 0);
	C(SYS_mbind, hole, PG, 0, NULL, 0L, 0);
	C(SYS_mbind, hole, 0, 0, NULL, 0L, 0);
	C(SYS_mbind, a, -PG, 0, NULL, 0L, 0);
	C(SYS_mbind, a, PG, 0, mask, 64L, 0);
	C(SYS_mbind, a, PG, 2, NULL, 0L, 0);
	C(SYS_mbind, a, PG, 2, mask, 64L, 1);
	C(SYS_mbind, a, PG, 2, mask, 64L, 8);
	C(SYS_mbind, a, PG, 2, mask, 1L << 20, 0);
	C(SYS_mbind, a, 2 * PG, 0x8000 | 0x4000 | 2, mask, 64L, 0);
	C(SYS_mbind, a, PG, 0, NULL, 0L, 4 /* MPOL_MF_MOVE_ALL: for the privileged */);
	C(SYS_move_pages, 0, 0L, NULL, NULL, NULL, 4);
	C(SYS_move_pages, 0, 0L, NULL, NULL, NULL, 8);
	C(SYS_move_pages, 0x3fffffff, 0L, NULL, NULL, NULL, 2);
	munmap(a, 2 * PG);
}

/* What lies beyond the new end of a file is lost to its private mappings, written or not. */
static void cuts(void)
{
	int fd = open("cut", O_RDWR | O_CREAT | O_TRUNC, 0600);
	puts("-- truncate");
	(void)!ftruncate(fd, 3 * PG);
	char *m = mmap(NULL, 3 * PG, RW, MAP_PRIVATE, fd, 0);
	memset(m, 7, 3 * PG);
	C(SYS_ftruncate, fd, PG);
	C(SYS_ftruncate, fd, 3 * PG);
	printf("  %d %d %d\n", m[0], m[PG], m[3 * PG - 1]);
	m[PG] = 8;
	C(SYS_truncate, "cut", PG + 1);
	C(SYS_truncate, "cut", 3 * PG);
	printf("  %d %d %d\n", m[PG - 1], m[PG], m[2 * PG]);
	munmap(m, 3 * PG);
	close(fd);
	unlink("cut");
}

int main(void)
{
	transcript_begin();
	(void)!pipe(pipefd);
	maps();
	unmaps();
	remaps();
	advice();
	files_in_core();
	breaks();
	bounds();
	cuts();
	policies();
	return 0;
}
