/* SPDX-License-Identifier: MIT */
/* sys_change.c - files that change while they are mapped or run */
#include "transcript.h"

#include <setjmp.h>
#include <sys/wait.h>

#define RW (PROT_READ | PROT_WRITE)

static sigjmp_buf out;
static void caught(int signo) { siglongjmp(out, signo); }

static void look(const char *what, volatile char *p, size_t pages)
{
	printf("  %s:", what);
	for (volatile size_t i = 0; i < pages; i++) {
		int r = sigsetjmp(out, 1);
		if (!r)
			printf(" %d", p[i * PG]);
		else
			printf(" signal %d", r);
	}
	puts("");
}

static int make(void)
{
	int fd = open("f", O_RDWR | O_CREAT | O_TRUNC, 0700);
	memset(good, 3, PG);
	for (int i = 0; i < 6; i++)
		(void)!write(fd, good, PG);
	return fd;
}

static void cut(void)
{
	int fd = make();
	char *p = mmap(NULL, 6 * PG, RW, MAP_PRIVATE, fd, 0);
	puts("-- cut");
	p[PG] = 9;
	look("whole", p, 6);
	close(open("f", O_WRONLY | O_TRUNC));
	look("opened to be cut", p, 6);
	(void)!ftruncate(fd, 6 * PG);
	look("longer again", p, 6);
	p[PG] = 8;
	close(creat("f", 0600));
	look("created anew", p, 2);
	munmap(p, 6 * PG);
	close(fd);
}

static void punch(void)
{
	int fd = make();
	char *p = mmap(NULL, 6 * PG, RW, MAP_PRIVATE, fd, 0);
	puts("-- holes");
	p[PG] = 9;
	look("whole", p, 6);
	C(SYS_fallocate, fd, 3, PG, 3 * PG);
	look("with a hole", p, 6);
	C(SYS_fallocate, fd, 3, 0L, 0L);
	C(SYS_fallocate, -1, 3, 0L, PG);
	C(SYS_fallocate, fd, 0, 0L, 7 * PG);
	munmap(p, 6 * PG);
	close(fd);
	unlink("f");
}

static void copy_self(void)
{
	int in = open("/proc/self/exe", O_RDONLY), to = open("prog", O_WRONLY | O_CREAT, 0755);
	char buf[4096];
	ssize_t n;
	while ((n = read(in, buf, sizeof buf)) > 0)
		(void)!write(to, buf, (size_t)n);
	close(in);
	close(to);
}

static void running(void)
{
	int up[2], down[2], st;
	char c;
	puts("-- a program that runs");
	copy_self();
	(void)!pipe(up);
	(void)!pipe(down);
	fflush(stdout);
	pid_t kid = fork();
	if (!kid) {
		dup2(down[0], 0);
		dup2(up[1], 1);
		close(down[1]);
		close(up[0]);
		execl("./prog", "prog", "wait", NULL);
		_exit(1);
	}
	(void)!read(up[0], &c, 1);
	C(SYS_open, "prog", O_WRONLY);
	C(SYS_open, "prog", O_RDWR | O_CREAT, 0700);
	C(SYS_open, "prog", O_RDWR | O_CREAT | O_EXCL, 0700);
	C(SYS_openat, AT_FDCWD, "prog", O_RDONLY | O_TRUNC);
	C(SYS_creat, "prog", 0700);
	C(SYS_truncate, "prog", 0L);
	OK(SYS_open, "prog", O_RDONLY);
	(void)!write(down[1], "x", 1);
	waitpid(kid, &st, 0);
	printf("  ended with %d\n", WEXITSTATUS(st));
	OK(SYS_open, "prog", O_WRONLY);
	unlink("prog");
}

int main(int argc, char **argv)
{
	char c;
	(void)argv;
	if (argc > 1)
		return write(1, "r", 1) == 1 && read(0, &c, 1) == 1 ? 7 : 8;
	transcript_begin();
	signal(SIGBUS, caught);
	cut();
	punch();
	running();
	return 0;
}
