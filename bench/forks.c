/* SPDX-License-Identifier: MIT */
/* forks.c - what a process costs: microseconds for each fork + exit, or fork + exec + exit, of a process of some size
 *
 *     forks fork|exec|vfork|spawn MIB COUNT      prints wall and processor time (of parent and children, all of it) for one
 *
 * exec runs this very program again, which then does nothing. */
#define _GNU_SOURCE
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;
static char self[] = "/proc/self/exe";
static char *const nothing[] = { self, NULL };

static double wall(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static double used_by(int who)
{
	struct rusage r;
	getrusage(who, &r);
	return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) * 1e6 + (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec);
}

static double processor(void) { return used_by(RUSAGE_SELF) + used_by(RUSAGE_CHILDREN); }

static pid_t start(const char *how)
{
	pid_t pid;
	if (!strcmp(how, "spawn"))
		return posix_spawn(&pid, self, NULL, NULL, nothing, environ) ? -1 : pid;
	pid = !strcmp(how, "vfork") ? vfork() : fork();
	if (pid)
		return pid;
	if (!strcmp(how, "fork"))
		_exit(0);
	execv(self, nothing);
	_exit(127);
}

int main(int argc, char **argv)
{
	if (argc < 2)
		return 0;
	if (argc != 4)
		return 2;
	size_t bytes = strtoul(argv[2], NULL, 0) << 20;
	int n = atoi(argv[3]), st;
	char *mem = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (mem == MAP_FAILED || n < 1)
		return 1;
	memset(mem, 1, bytes);
	double w = wall(), p = processor();
	for (int i = 0; i < n; i++) {
		pid_t pid = start(argv[1]);
		if (pid < 0 || waitpid(pid, &st, 0) != pid || st)
			return 1;
	}
	printf("%.1f %.1f\n", (wall() - w) / n, (processor() - p) / n);
	return 0;
}
