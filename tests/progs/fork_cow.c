/* SPDX-License-Identifier: MIT */
/* fork_cow.c - a known number of pages written by the child while they are shared, and by the parent when they no longer are
 *
 * tests/tree.sh compares the counts of copied and reused pages under --fork-faults: 400 copied for the child, 1000 reused by the parent. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096
#define PAGES 1000
#define WRITTEN 400

static void child(volatile char *m)
{
	for (size_t i = 0; i < WRITTEN; i++)
		m[2 * i * PAGE] = 2;
	for (size_t i = 0; i < PAGES; i++)
		if (m[i * PAGE] != (i < 2 * WRITTEN && i % 2 == 0 ? 2 : 1))
			_exit(1);
	_exit(0);
}

int main(void)
{
	char *m = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int status = -1;

	if (m == MAP_FAILED)
		return 1;
	memset(m, 1, PAGES * PAGE);
	pid_t pid = fork();
	if (!pid)
		child(m);
	if (waitpid(pid, &status, 0) != pid)
		return 2;
	for (size_t i = 0; i < PAGES; i++)
		if (m[i * PAGE] != 1)
			return 3;
	memset(m, 3, PAGES * PAGE);
	printf("child %d\n", status);
	return 0;
}
