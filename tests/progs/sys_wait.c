/* SPDX-License-Identifier: MIT */
/* sys_wait.c - children waited for with bad pointers: a child whose status cannot be stored is gone all the same */
#include "transcript.h"

#include <sys/resource.h>
#include <sys/wait.h>

static pid_t child(int status)
{
	fflush(stdout);
	pid_t p = fork();
	if (p < 0) {
		printf("fork = %s\n", answer(-1));
		exit(1);
	}
	if (!p)
		_exit(status);
	return p;
}

int main(void)
{
	transcript_begin();
	int st = 0;
	siginfo_t si;
	struct rusage ru;
	pid_t p = child(3);
	printf("right child %d\n", syscall(SYS_wait4, -1, &st, 0, &ru) == p);
	printf("  %d\n", WEXITSTATUS(st));
	C(SYS_wait4, -1, &st, 0, NULL);
	child(4);
	C(SYS_wait4, -1, none, 0, NULL);
	C(SYS_wait4, -1, &st, 0, NULL);
	child(5);
	C(SYS_wait4, -1, &st, 0, none);
	C(SYS_wait4, -1, &st, 0, NULL);
	child(6);
	C(SYS_waitid, P_ALL, 0, &si, WEXITED | WNOWAIT, NULL);
	printf("  status %d\n", si.si_status);
	C(SYS_waitid, P_ALL, 0, none, WEXITED | WNOWAIT, NULL);
	C(SYS_waitid, P_ALL, 0, none, WEXITED, NULL);
	C(SYS_waitid, P_ALL, 0, &si, WEXITED, NULL);
	child(7);
	OK(SYS_wait4, -1, NULL, 0, NULL);
	C(SYS_wait4, -1, &st, 0x7777, NULL);
	C(SYS_waitid, 99, 0, &si, WEXITED, NULL);
	return 0;
}
