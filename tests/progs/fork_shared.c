/* SPDX-License-Identifier: MIT */
/* fork_shared.c - what fork shares and what it copies, one line a fact */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define N 64
#define PAGE 4096

static int wait_status(pid_t pid)
{
	int st = -1;

	if (waitpid(pid, &st, 0) != pid)
		return -errno;
	return WIFEXITED(st) ? WEXITSTATUS(st) : 256 + WTERMSIG(st);
}

static char *map(int flags)
{
	return mmap(NULL, N * PAGE, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);
}

static void fill(char *p, int v)
{
	for (int i = 0; i < N; i++)
		memset(p + i * PAGE, v + i, PAGE);
}

static int wrong(const char *p, int v)
{
	int bad = 0;

	for (int i = 0; i < N; i++)
		bad += p[i * PAGE] != (char)(v + i) || p[i * PAGE + PAGE - 1] != (char)(v + i);
	return bad;
}

/* Neither sees what the other writes after fork; both see what was there before. */
static void copies(void)
{
	char *p = map(MAP_PRIVATE);
	int ping[2], pong[2];
	char c;

	if (pipe(ping) || pipe(pong))
		return;
	fill(p, 1);
	pid_t pid = fork();
	if (!pid) {
		int bad = wrong(p, 1);
		if (write(pong[1], "x", 1) != 1 || read(ping[0], &c, 1) != 1)
			_exit(99);
		bad += wrong(p, 1); /* the parent has written */
		fill(p, 100);
		bad += wrong(p, 100);
		if (write(pong[1], "x", 1) != 1)
			_exit(99);
		_exit(bad);
	}
	if (read(pong[0], &c, 1) != 1)
		return;
	fill(p, 50);
	if (write(ping[1], "x", 1) != 1 || read(pong[0], &c, 1) != 1)
		return;
	int st = wait_status(pid);
	printf("copies: parent %d child %d\n", wrong(p, 50), st);
	munmap(p, N * PAGE);
}

static void shared(void)
{
	char *p = map(MAP_SHARED), *q;

	fill(p, 1);
	pid_t pid = fork();
	if (!pid) {
		int bad = wrong(p, 1);
		fill(p, 9);
		_exit(bad);
	}
	int st = wait_status(pid);
	printf("shared: child %d parent %d\n", st, wrong(p, 9));
	q = mremap(p, N * PAGE, 2 * N * PAGE, MREMAP_MAYMOVE);
	printf("shared: grown %d\n", q == MAP_FAILED ? -errno : wrong(q, 9));
	munmap(q, 2 * N * PAGE);
}

static void advice(void)
{
	char *gone = map(MAP_PRIVATE), *wiped = map(MAP_PRIVATE), *kept = map(MAP_PRIVATE);
	unsigned char vec[N];

	fill(gone, 1), fill(wiped, 2), fill(kept, 3);
	printf("advice: %d %d %d\n", madvise(gone, N * PAGE, MADV_DONTFORK), madvise(wiped, N * PAGE, MADV_WIPEONFORK),
	       madvise(kept, N * PAGE, MADV_DONTFORK) || madvise(kept, N * PAGE, MADV_DOFORK));
	pid_t pid = fork();
	if (!pid) {
		int bad = mincore(gone, N * PAGE, vec) == 0 || errno != ENOMEM;
		for (int i = 0; i < N * PAGE; i++)
			bad |= wiped[i] ? 2 : 0;
		bad |= wrong(kept, 3) ? 4 : 0;
		_exit(bad);
	}
	int st = wait_status(pid);
	printf("advice: child %d parent %d %d %d\n", st, wrong(gone, 1), wrong(wiped, 2), wrong(kept, 3));
	pid = fork();
	if (!pid) {
		*(volatile char *)gone = 1;
		_exit(0);
	}
	printf("advice: touching it %d\n", wait_status(pid));
}

/* Read-only pages of the parent are read-only in the child, absent ones fault properly, PROT_NONE stays. */
static void protection(void)
{
	char *p = map(MAP_PRIVATE);
	int res[3];

	memset(p, 7, 4 * PAGE);
	mprotect(p, PAGE, PROT_READ);
	mprotect(p + PAGE, PAGE, PROT_NONE);
	volatile char sum = p[8 * PAGE]; /* a zero page, read only so far */
	for (int i = 0; i < 3; i++) {
		pid_t pid = fork();
		if (!pid) {
			if (i < 2)
				p[i * PAGE] = 1;
			p[8 * PAGE] = 5;
			p[20 * PAGE] = 6;
			_exit(p[8 * PAGE] + p[20 * PAGE] + p[30 * PAGE] + sum);
		}
		res[i] = wait_status(pid);
	}
	printf("protection: %d %d %d parent %d %d\n", res[0], res[1], res[2], p[8 * PAGE], p[20 * PAGE]);
}

static void *reader(void *arg)
{
	int *fd = arg;
	char *buf = map(MAP_PRIVATE);

	memset(buf, 1, 8 * PAGE);
	ssize_t n = read(fd[0], buf, 8 * PAGE);
	return (void *)(intptr_t)(n + buf[0] + buf[PAGE]);
}

/* Another thread sleeps in read with its buffer pinned; the child has neither thread nor pin, and may unmap, write and fork. */
static void pinned(void)
{
	pthread_t th;
	int fd[2];
	void *ret;

	if (pipe(fd))
		return;
	pthread_create(&th, NULL, reader, fd);
	usleep(50000);
	pid_t pid = fork();
	if (!pid) {
		pid_t grand = fork();
		if (!grand)
			_exit(4);
		_exit(wait_status(grand) + 1);
	}
	int st = wait_status(pid);
	char data[2 * PAGE];
	memset(data, 2, sizeof data);
	if (write(fd[1], data, sizeof data) != sizeof data)
		return;
	pthread_join(th, &ret);
	printf("pinned: child %d read %d\n", st, (int)(intptr_t)ret);
}

static void *spin(void *arg)
{
	volatile int *stop = arg;
	char *p = map(MAP_PRIVATE);

	for (int i = 0; !*stop; i++) {
		fill(p, i);
		if (wrong(p, i))
			abort();
		madvise(p, N * PAGE, MADV_DONTNEED);
	}
	return NULL;
}

/* Many forks while other threads fault. */
static void threads(void)
{
	int stop = 0, bad = 0;
	pthread_t th[2];
	char *p = map(MAP_PRIVATE);

	fill(p, 3);
	for (int i = 0; i < 2; i++)
		pthread_create(&th[i], NULL, spin, &stop);
	for (int i = 0; i < 40; i++) {
		pid_t pid = fork();
		if (!pid) {
			char *q = malloc(100000);
			memset(q, 1, 100000);
			int b = wrong(p, 3 + i);
			fill(p, 77);
			_exit(b + wrong(p, 77));
		}
		fill(p, 4 + i);
		bad += wait_status(pid) != 0;
	}
	stop = 1;
	for (int i = 0; i < 2; i++)
		pthread_join(th[i], NULL);
	printf("threads: %d %d\n", bad, wrong(p, 43));
}

static void generations(void)
{
	char *p = map(MAP_PRIVATE);
	int depth = 0;

	fill(p, 0);
	fflush(stdout);
	while (depth < 6) {
		pid_t pid = fork();
		if (pid)
			break;
		if (wrong(p, depth))
			_exit(200);
		fill(p, ++depth);
	}
	int st = 0;
	if (depth < 6 && wait(&st) > 0 && st)
		_exit(202);
	if (depth)
		_exit(wrong(p, depth) ? 201 : 0);
	printf("generations: %d\n", wrong(p, 0));
}

static void locked(void)
{
	char *p = map(MAP_PRIVATE);
	char line[200];
	long kb = -1;

	mlock(p, 4 * PAGE);
	fflush(stdout);
	pid_t pid = fork();
	if (!pid) {
		FILE *f = fopen("/proc/self/status", "r");
		while (fgets(line, sizeof line, f))
			if (sscanf(line, "VmLck: %ld", &kb) == 1)
				break;
		_exit((int)kb);
	}
	printf("locked: child %d\n", wait_status(pid));
}

int main(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	copies();
	shared();
	advice();
	protection();
	pinned();
	threads();
	generations();
	locked();
	return 0;
}
