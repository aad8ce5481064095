/* SPDX-License-Identifier: MIT */
/* sys_advice.c - advice, locking, limits, and what fork makes of them */
#include "transcript.h"

#include <sys/resource.h>
#include <sys/uio.h>
#include <sys/wait.h>

#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#define LEN(a) (sizeof(a) / sizeof((a)[0]))

static char *area(size_t pages) { return mmap(NULL, pages * PG, RW, ANON, -1, 0); }

/* Run f in a child; what it printed, and how it ended. */
static void in_child(const char *what, void (*f)(void))
{
	int st;
	printf("-- %s\n", what);
	fflush(stdout);
	if (!fork()) {
		f();
		fflush(stdout);
		_exit(0);
	}
	wait(&st);
	printf("  %s %d\n", WIFEXITED(st) ? "ended with" : "died by", WIFEXITED(st) ? WEXITSTATUS(st) : WTERMSIG(st));
}

static const int advices[] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 26, 100, 101, -1 };

static void advise_all(const char *what, char *p, size_t n)
{
	printf("  %s:", what);
	for (size_t i = 0; i < LEN(advices); i++) {
		errno = 0;
		printf(" %d:%s", advices[i], madvise(p, n, advices[i]) ? strerrorname_np(errno) : "0");
	}
	puts("");
}

static void advice(void)
{
	int fd = open("f", O_RDWR | O_CREAT, 0600);
	char *a = area(4), *s, *p;
	puts("-- every advice on every kind");
	(void)!ftruncate(fd, 4 * PG);
	s = mmap(NULL, 4 * PG, RW, MAP_SHARED, fd, 0);
	p = mmap(NULL, 4 * PG, RW, MAP_PRIVATE, fd, 0);
	memset(a, 'a', 4 * PG);
	advise_all("anonymous", a, 4 * PG);
	advise_all("misaligned", a + 1, PG);
	advise_all("empty", a, 0);
	advise_all("around", a, -PG);
	advise_all("shared", mmap(NULL, PG, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0), PG);
	advise_all("read-only", mmap(NULL, PG, PROT_READ, ANON, -1, 0), PG);
	advise_all("nothing allowed", mmap(NULL, PG, PROT_NONE, ANON, -1, 0), PG);
	advise_all("private file", p, 2 * PG);
	advise_all("shared file", s, 2 * PG);
	advise_all("unmapped", hole, PG);
	munmap(a + PG, PG);
	advise_all("with a hole", a, 4 * PG);
	a = area(2);
	C(SYS_mlock, a, PG);
	advise_all("locked", a, PG);
	close(fd);
	unlink("f");
}

static void free_pages(void)
{
	char *a = area(4);
	puts("-- contents");
	memset(a, 'f', 4 * PG);
	C(SYS_madvise, a, 2 * PG, MADV_FREE);
	a[0] = 'k';
	printf("  kept %c\n", a[0]);
	C(SYS_madvise, a + 2 * PG, PG, MADV_PAGEOUT);
	C(SYS_madvise, a + 2 * PG, PG, MADV_WILLNEED);
	printf("  back %c\n", a[2 * PG]);
	C(SYS_madvise, a, 4 * PG, MADV_COLD);
	printf("  cold %c\n", a[3 * PG]);
}

static void forks(void)
{
	char *wiped = area(1), *gone = area(1), *kept = area(1), *both = area(1);
	int st;
	puts("-- advice about fork");
	*wiped = *gone = *kept = *both = 'x';
	madvise(wiped, PG, MADV_WIPEONFORK);
	madvise(gone, PG, MADV_DONTFORK);
	madvise(kept, PG, MADV_WIPEONFORK);
	madvise(kept, PG, MADV_KEEPONFORK);
	madvise(both, PG, MADV_DONTFORK);
	madvise(both, PG, MADV_DOFORK);
	fflush(stdout);
	if (!fork()) {
		unsigned char v;
		printf("  wiped %d, gone %s, kept %c, forked after all %c\n", *wiped,
		       mincore(gone, PG, &v) ? strerrorname_np(errno) : "not", *kept, *both);
		*wiped = 'y';
		fflush(stdout);
		if (!fork()) {
			printf("  grandchild: wiped %d\n", *wiped);
			fflush(stdout);
			_exit(0);
		}
		wait(NULL);
		_exit(0);
	}
	wait(&st);
	printf("  mine: %c %c %c %c\n", *wiped, *gone, *kept, *both);
}

static void drop_root(void) { (void)!setresuid(65534, 65534, 65534); }

static void limit(int which, unsigned long cur)
{
	struct rlimit rl;
	getrlimit(which, &rl);
	rl.rlim_cur = cur;
	setrlimit(which, &rl);
}

static void locks(void)
{
	char *a = area(32);
	drop_root();
	limit(RLIMIT_MEMLOCK, 8 * PG);
	C(SYS_mlock, a, 8 * PG);
	C(SYS_mlock, a, 9 * PG);
	C(SYS_mlock, a + PG, 2 * PG);
	C(SYS_mlock2, a + 8 * PG, PG, 1L);
	C(SYS_mlock2, a, PG, 2L);
	C(SYS_munlock, a, 4 * PG);
	C(SYS_mlock, a + 20 * PG + 5, PG);
	C(SYS_mlock, a, -1L);
	C(SYS_mlock, hole, PG);
	C(SYS_munlock, hole, PG);
	C(SYS_mmap, NULL, 16 * PG, RW, ANON | MAP_LOCKED, -1, 0L);
	C(SYS_mlockall, MCL_CURRENT);
	C(SYS_mlockall, 0L);
	C(SYS_mlockall, 0x10L);
	C(SYS_mlockall, MCL_ONFAULT);
	C(SYS_mlockall, MCL_FUTURE);
	C(SYS_mmap, NULL, 16 * PG, RW, ANON, -1, 0L);
	OK(SYS_mmap, NULL, PG, RW, ANON, -1, 0L);
	C(SYS_munlockall);
	OK(SYS_mmap, NULL, 16 * PG, RW, ANON, -1, 0L);
	limit(RLIMIT_MEMLOCK, 0);
	C(SYS_mlock, a, PG);
	C(SYS_mlockall, MCL_FUTURE);
	C(SYS_mmap, NULL, PG, RW, ANON | MAP_LOCKED, -1, 0L);
	C(SYS_munlock, a, PG);
	C(SYS_munlockall);
}

static void spaces(void)
{
	limit(RLIMIT_AS, 64ul << 20);
	C(SYS_mmap, NULL, 128ul << 20, PROT_NONE, ANON, -1, 0L);
	OK(SYS_mmap, NULL, 1ul << 20, PROT_NONE, ANON, -1, 0L);
	char *a = area(4);
	C(SYS_mremap, a, 4 * PG, 128ul << 20, MREMAP_MAYMOVE, 0L);
	char *b = sbrk(0);
	printf("  brk refused %d\n", (char *)syscall(SYS_brk, b + (128ul << 20)) == b);
	limit(RLIMIT_AS, RLIM_INFINITY);
	limit(RLIMIT_DATA, 16ul << 20);
	C(SYS_mmap, NULL, 32ul << 20, RW, ANON, -1, 0L);
	OK(SYS_mmap, NULL, 32ul << 20, PROT_READ, ANON, -1, 0L);
	OK(SYS_mmap, NULL, 32ul << 20, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0L);
	char *r = mmap(NULL, 32ul << 20, PROT_READ, ANON, -1, 0);
	C(SYS_mprotect, r, 32ul << 20, RW);
	b = sbrk(0);
	printf("  brk refused %d\n", (char *)syscall(SYS_brk, b + (32ul << 20)) == b);
	printf("  brk granted %d\n", (char *)syscall(SYS_brk, b + PG) == b + PG);
}

static volatile char sink;
static void __attribute__((noinline)) deep(int n)
{
	volatile char room[4096];
	room[0] = (char)n;
	if (n)
		deep(n - 1);
	sink = room[0];
}

static void stack_overflow(void)
{
	limit(RLIMIT_STACK, 256 * 1024);
	deep(20);
	puts("  shallow is fine");
	fflush(stdout);
	deep(200);
}

static void file_size(void)
{
	int fd = open("g", O_RDWR | O_CREAT, 0600);
	limit(RLIMIT_FSIZE, 10000);
	signal(SIGXFSZ, SIG_IGN);
	static char buf[20000];
	C(SYS_write, fd, buf, 20000L);
	C(SYS_write, fd, buf, 1L);
	C(SYS_ftruncate, fd, 10001L);
	C(SYS_ftruncate, fd, 10000L);
	C(SYS_fallocate, fd, 0L, 0L, 20000L);
	signal(SIGXFSZ, SIG_DFL);
	unlink("g");
	fflush(stdout);
	(void)!write(fd, buf, 1);
}

static void processes(void)
{
	drop_root();
	limit(RLIMIT_NOFILE, 10);
	C(SYS_dup2, 0L, 20L);
	C(SYS_fcntl, 0L, F_DUPFD, 10L);
	while (dup(0) >= 0)
		;
	printf("  %s\n", strerrorname_np(errno));
	limit(RLIMIT_CORE, 0);
	struct rlimit rl = { 20, 10 };
	C(SYS_setrlimit, RLIMIT_NOFILE, &rl);
	C(SYS_setrlimit, 99L, &rl);
	C(SYS_setrlimit, RLIMIT_NOFILE, none);
	C(SYS_getrlimit, RLIMIT_NOFILE, none);
	C(SYS_getrlimit, -1L, &rl);
	rl = (struct rlimit){ 1ul << 40, 1ul << 40 };
	C(SYS_setrlimit, RLIMIT_NOFILE, &rl);
	C(SYS_prlimit64, 1L, RLIMIT_NOFILE, &rl, NULL);
	C(SYS_prlimit64, 99999999L, RLIMIT_NOFILE, NULL, &rl);
}

static void others(void)
{
	char *a = area(4), text[8] = "";
	struct iovec mine = { text, 4 }, far = { a, 4 }, two[2] = { { text, 2 }, { text + 2, 2 } };
	puts("-- process_vm_*");
	memcpy(a, "abcdefgh", 8);
	C(SYS_process_vm_readv, (long)getpid(), &mine, 1L, &far, 1L, 0L);
	C(SYS_process_vm_readv, (long)getpid(), two, 2L, &far, 1L, 0L);
	printf("  %s\n", text);
	C(SYS_process_vm_readv, (long)getpid(), &mine, 1L, &far, 1L, 1L);
	C(SYS_process_vm_readv, (long)getpid(), none, 1L, &far, 1L, 0L);
	C(SYS_process_vm_readv, (long)getpid(), &mine, 1L, none, 1L, 0L);
	C(SYS_process_vm_readv, (long)getpid(), &mine, 2000L, &far, 1L, 0L);
	C(SYS_process_vm_readv, 99999999L, &mine, 1L, &far, 1L, 0L);
	far.iov_base = hole;
	C(SYS_process_vm_readv, (long)getpid(), &mine, 1L, &far, 1L, 0L);
	far.iov_base = edge(2);
	C(SYS_process_vm_readv, (long)getpid(), &mine, 1L, &far, 1L, 0L);
	mine.iov_base = none;
	far.iov_base = a;
	C(SYS_process_vm_readv, (long)getpid(), &mine, 1L, &far, 1L, 0L);
	mine = (struct iovec){ "WXYZ", 4 };
	C(SYS_process_vm_writev, (long)getpid(), &mine, 1L, &far, 1L, 0L);
	far.iov_base = ro;
	C(SYS_process_vm_writev, (long)getpid(), &mine, 1L, &far, 1L, 0L);
}

int main(void)
{
	transcript_begin();
	advice();
	free_pages();
	forks();
	if (!geteuid()) {
		in_child("locks", locks);
		in_child("processes", processes);
	}
	in_child("address space", spaces);
	in_child("stack", stack_overflow);
	in_child("file size", file_size);
	others();
	return 0;
}
