/* SPDX-License-Identifier: MIT */
/* sys_remote.c - memory of this process and of a child: process_vm_*, /proc/PID/mem, process_madvise */
#include "transcript.h"

#include <sys/uio.h>
#include <sys/wait.h>

#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#define N 64ul

static char *mem, *shared, *deny, *text, *back;
static int to[2], from[2];
static pid_t kid;

static char *area(size_t pages, int prot) { return mmap(NULL, pages * PG, prot, ANON, -1, 0); }

/* The child does what it is told, and says when. */
static void serve(void)
{
	char what;
	close(to[1]);
	while (read(to[0], &what, 1) == 1) {
		if (what == 's')
			sum("the child's memory", mem, N * PG);
		if (what == 'm')
			printf("  child: shared %d, read-only %d, private %d\n", *shared, *text, mem[0]);
		if (what == 'p')
			madvise(mem, N * PG, MADV_PAGEOUT);
		fflush(stdout);
		(void)!write(from[1], &what, 1);
	}
	_exit(0);
}

static void tell(char what)
{
	fflush(stdout);
	(void)!write(to[1], &what, 1);
	(void)!read(from[0], &what, 1);
}

static void setup(void)
{
	int fd = open("f", O_RDWR | O_CREAT, 0600);
	mem = area(N + 1, RW);
	munmap(mem + N * PG, PG);
	shared = mmap(NULL, PG, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	deny = area(1, RW);
	*deny = 'd';
	mprotect(deny, PG, PROT_NONE);
	fill(good, 2 * PG, 5);
	(void)!write(fd, good, 2 * PG);
	text = mmap(NULL, 2 * PG, PROT_READ, MAP_PRIVATE, fd, 0);
	back = area(N, RW);
	close(fd);
	unlink("f");
	*shared = 'S';
	(void)!pipe(to);
	(void)!pipe(from);
	fflush(stdout);
	kid = fork();
	if (!kid)
		serve();
}

#define VM(call, mine, n, theirs, m) \
	C(SYS_process_vm_##call, kid, &(struct iovec){ mine, n }, 1L, &(struct iovec){ theirs, m }, 1L, 0L)

static void child(void)
{
	struct iovec three[3] = { { good, 10 }, { none, 10 }, { good, 10 } };
	puts("-- process_vm_* of a child");
	fill(back, N * PG, 77);
	VM(writev, back, N * PG, mem, N * PG);
	tell('s');
	memset(back, 0, N * PG);
	VM(readv, back, N * PG, mem, N * PG);
	sum("read back", back, N * PG);
	tell('p');
	memset(back, 0, N * PG);
	VM(readv, back + 3, N * PG - 3, mem + 1, N * PG - 1);
	sum("shifted", back, N * PG);
	VM(readv, back, 2 * PG, mem + (N - 1) * PG, 2 * PG);
	VM(readv, back, PG, mem + N * PG, PG);
	VM(writev, back, 2 * PG, mem + N * PG - 5, 10);
	VM(readv, back, 2 * PG, text, 2 * PG);
	sum("never touched", back, 2 * PG);
	VM(writev, back, 1, text, 1);
	VM(readv, back, 1, deny, 1);
	VM(writev, "X", 1, shared, 1);
	printf("  shared %c\n", *shared);
	VM(readv, none, 1, mem, 1);
	VM(readv, kern, 1, mem, 1);
	VM(readv, back, 1, kern, 1);
	VM(readv, back, 1, NULL, 1);
	VM(readv, edge(10), 20, mem, 20);
	VM(readv, back, 0, none, 1);
	VM(readv, back, 10, mem, 0);
	C(SYS_process_vm_readv, kid, three, 3, &(struct iovec){ mem, 30 }, 1L, 0L);
	C(SYS_process_vm_readv, kid, &(struct iovec){ back, 30 }, 1L, three, 3, 0L);
	C(SYS_process_vm_writev, kid, &(struct iovec){ mem, 30 }, 1L, three, 3, 0L);
	C(SYS_process_vm_readv, kid, three, 1, three, -1L, 0L);
	C(SYS_process_vm_readv, kid, three, 1, three, 1, 1L);
	C(SYS_process_vm_readv, 1 << 22, three, 1, three, 1, 0L);
	C(SYS_process_vm_readv, -1, three, 1, three, 1, 0L);
}

static void mem_of(const char *name, pid_t pid)
{
	char path[64], buf[64] = "";
	struct iovec v[2] = { { buf, 4 }, { buf + 8, 4 } };
	snprintf(path, sizeof path, "/proc/%d/mem", (int)pid);
	int fd = open(path, O_RDWR), ro_fd = open(path, O_RDONLY), wo = open(path, O_WRONLY);
	printf("-- /proc/%s/mem\n", name);
	printf("  opened %d %d %d\n", fd >= 0, ro_fd >= 0, wo >= 0);
	C(SYS_pwrite64, fd, "written from far", 16, mem + 100);
	C(SYS_pread64, fd, buf, 16, mem + 100);
	printf("  %s\n", buf);
	C(SYS_pwrite64, ro_fd, "x", 1, mem);
	C(SYS_pread64, wo, buf, 1, mem);
	C(SYS_pread64, fd, buf, 1, deny);
	printf("  by force: %c\n", buf[0]);
	C(SYS_pwrite64, fd, "E", 1, deny);
	C(SYS_pread64, fd, buf, 1, deny);
	printf("  by force: %c\n", buf[0]);
	C(SYS_pwrite64, fd, "T", 1, text);
	C(SYS_pwrite64, fd, "M", 1, shared);
	C(SYS_pread64, fd, buf, 1, NULL);
	C(SYS_pread64, fd, buf, 1, -1L);
	C(SYS_pread64, fd, buf, 32, mem + N * PG - 16);
	C(SYS_pread64, fd, buf, 32, mem + N * PG);
	C(SYS_pread64, fd, none, 32, mem);
	C(SYS_pwrite64, fd, none, 32, mem);
	C(SYS_read, fd, buf, 1);
	OK(SYS_lseek, fd, mem + 100, SEEK_SET);
	C(SYS_read, fd, buf, 7);
	C(SYS_readv, fd, v, 2);
	printf("  %.7s|%.4s|%.4s, moved %ld\n", buf, buf, buf + 8, (long)(lseek(fd, 0, SEEK_CUR) - (long)mem));
	C(SYS_write, fd, "zz", 2);
	C(SYS_preadv, fd, v, 2, mem + 100, 0L);
	printf("  %.4s|%.4s\n", buf, buf + 8);
	C(SYS_lseek, fd, 0L, SEEK_END);
	OK(SYS_dup2, fd, 200);
	C(SYS_pread64, 200, buf, 16, mem + 100);
	close(200);
	close(fd);
	close(ro_fd);
	close(wo);
}

static void faulty(void)
{
	char *p = area(2, PROT_READ);
	int fd = open("/proc/self/mem", O_RDWR);
	puts("-- written by force where nothing may be written");
	C(SYS_pwrite64, fd, "abc", 3, p + PG - 1);
	printf("  %c%c%c\n", p[PG - 1], p[PG], p[PG + 1]);
	fflush(stdout);
	pid_t c = fork();
	if (!c) {
		signal(SIGSEGV, SIG_DFL);
		*(volatile char *)p = 1;
		_exit(0);
	}
	int st;
	waitpid(c, &st, 0);
	printf("  and then: %s\n", WIFSIGNALED(st) ? "killed" : "went on");
	madvise(p, 2 * PG, MADV_PAGEOUT);
	printf("  %c%c%c\n", p[PG - 1], p[PG], p[PG + 1]);
	close(fd);
}

static void advise(void)
{
	struct iovec v[2] = { { mem, 4 * PG }, { mem + 8 * PG, PG } }, bad = { mem + N * PG, PG };
	int fd = (int)syscall(SYS_pidfd_open, kid, 0);
	puts("-- process_madvise of a child");
	C(SYS_process_madvise, fd, v, 2, MADV_PAGEOUT, 0);
	C(SYS_process_madvise, fd, v, 2, MADV_COLD, 0);
	C(SYS_process_madvise, fd, v, 2, MADV_WILLNEED, 0);
	C(SYS_process_madvise, fd, v, 2, MADV_DONTNEED, 0);
	C(SYS_process_madvise, fd, v, 2, 9999, 0);
	C(SYS_process_madvise, fd, &bad, 1, MADV_COLD, 0);
	C(SYS_process_madvise, fd, v, 0, MADV_COLD, 0);
	close(fd);
	tell('s');
}

int main(void)
{
	transcript_begin();
	setup();
	child();
	tell('m');
	mem_of("self", getpid());
	tell('m');
	mem_of("child", kid);
	tell('m');
	faulty();
	advise();
	close(to[1]);
	wait(NULL);
	VM(readv, back, 1, mem, 1);
	return 0;
}
