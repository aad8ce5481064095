/* SPDX-License-Identifier: MIT */
/* thread_raw.c - clone and clone3 by hand, thread numbers, robust lists, and the broadcast of setuid */
#include "signals.h"

#include <linux/futex.h>
#include <linux/sched.h>
#include <sched.h>

#define THREAD (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM)
static char stacks[8][16384] __attribute__((aligned(64)));
static volatile int ran, child_tid = -1, parent_tid = -1, own_tid;

/* Runs without TLS of its own: no libc that would need it. */
static long raw(long nr, long a, long b, long c, long d, long e)
{
	register long r10 __asm__("r10") = d, r8 __asm__("r8") = e;
	__asm__ volatile("syscall" : "+a"(nr) : "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8) : "rcx", "r11", "memory");
	return nr;
}

static int body(void *arg)
{
	own_tid = (int)raw(SYS_gettid, 0, 0, 0, 0, 0);
	ran += (int)(long)arg;
	return 0;
}

static void wait_word(volatile int *w, int until_not)
{
	while (*w == until_not)
		syscall(SYS_futex, w, FUTEX_WAIT, until_not, NULL);
}

static void by_clone(void)
{
	ran = 0;
	child_tid = 1;
	int r = clone(body, stacks[0] + sizeof stacks[0], THREAD | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID, (void *)3, &parent_tid, NULL, &child_tid);
	wait_word(&child_tid, 1);
	printf("clone: %d, parent tid %d, ran %d, own %d, cleared %d\n", r > 0, parent_tid == r, ran, own_tid == r, child_tid == 0);
	child_tid = 1;
	r = clone(body, stacks[1] + sizeof stacks[1], THREAD | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID, (void *)4, NULL, NULL, &child_tid);
	while (child_tid)
		sched_yield();
	printf("clone with child tid: %d, ran %d\n", r > 0, ran);
	/* bad combinations */
	C(SYS_clone, CLONE_THREAD, 0, NULL, NULL, 0);
	C(SYS_clone, CLONE_THREAD | CLONE_SIGHAND, 0, NULL, NULL, 0);
	C(SYS_clone, CLONE_SIGHAND, 0, NULL, NULL, 0);
}

static long clone3_thread(struct clone_args *a, size_t size, long arg)
{
	long r;
	register long fn __asm__("r12") = (long)body, val __asm__("r13") = arg;
	__asm__ volatile("syscall\n\ttestq %%rax, %%rax\n\tjnz 1f\n\txorl %%ebp, %%ebp\n\tmovq %%r13, %%rdi\n\tcall *%%r12\n\tmovl $60, %%eax\n\txorl %%edi, %%edi\n\tsyscall\n1:"
			 : "=a"(r) : "a"(435l), "D"(a), "S"(size), "r"(fn), "r"(val) : "rcx", "r11", "memory", "rdx", "r8", "r9", "r10");
	return r;
}

static void by_clone3(void)
{
	struct clone_args a = { .flags = THREAD | CLONE_CHILD_CLEARTID | CLONE_PARENT_SETTID, .child_tid = (uintptr_t)&child_tid,
				.parent_tid = (uintptr_t)&parent_tid, .stack = (uintptr_t)stacks[2], .stack_size = sizeof stacks[2] };
	ran = 0;
	child_tid = 1;
	long r = clone3_thread(&a, sizeof a, 5);
	wait_word(&child_tid, 1);
	printf("clone3: %d, parent tid %d, ran %d\n", r > 0, parent_tid == r, ran);
	child_tid = 1;
	r = clone3_thread(&a, 64, 6);
	wait_word(&child_tid, 1);
	printf("clone3, first form: %d, ran %d\n", r > 0, ran);
	errno = (int)-clone3_thread(&a, 56, 0);
	printf("too short: %s\n", strerrorname_np(errno));
	errno = (int)-clone3_thread((void *)none, sizeof a, 0);
	printf("bad address: %s\n", strerrorname_np(errno));
	a.exit_signal = SIGCHLD;
	errno = (int)-clone3_thread(&a, sizeof a, 0);
	printf("thread with a signal: %s\n", strerrorname_np(errno));
	a.exit_signal = 0;
	a.stack = 0;
	errno = (int)-clone3_thread(&a, sizeof a, 0);
	printf("size without stack: %s\n", strerrorname_np(errno));
}

static void numbers(void)
{
	int old = gettid(), word = 5;
	size_t len;
	void *head;
	printf("set_tid_address: %d\n", syscall(SYS_set_tid_address, &word) == old);
	/* leave glibc's word as it was, for whoever joins us */
	C(SYS_set_robust_list, NULL, 23);
	printf("get_robust_list: %ld", syscall(SYS_get_robust_list, 0, &head, &len));
	printf(" %zu\n", len);
	C(SYS_get_robust_list, 0x7ffffff, &head, &len);
	C(SYS_get_robust_list, 0, none, &len);
	C(SYS_get_robust_list, 0, &head, none);
	C(SYS_tgkill, getpid(), gettid(), 0);
}

/* ---------------------------------------------------------------- setuid reaches every thread */

static volatile int stop;
static void *sleeper(void *arg)
{
	char b;
	if (arg)
		(void)!read(*(int *)arg, &b, 1);
	else
		while (!arrived(stop))
			churn();
	uid_t r, e, s;
	getresuid(&r, &e, &s);
	return (void *)(long)(r == e && e == s);
}

static void setxid(void)
{
	int p[2];
	pthread_t t[6];
	uid_t me = getuid();
	gid_t my_group = getgid();
	long good_ones = 0;
	if (pipe(p))
		abort();
	for (int i = 0; i < 6; i++)
		pthread_create(&t[i], NULL, sleeper, i ? p : NULL);
	nap_ms(2);
	for (int i = 0; i < 20; i++) {
		if (setresuid(me, me, me) || setgid(my_group) || setuid(me))
			puts("setuid failed");
	}
	stop = 1;
	close(p[1]);
	for (int i = 0; i < 6; i++) {
		void *r;
		pthread_join(t[i], &r);
		good_ones += (long)r;
	}
	printf("setuid: %ld threads\n", good_ones);
}

int main(void)
{
	transcript_begin();
	by_clone();
	by_clone3();
	setxid();
	numbers();
	fflush(stdout);
	return 0;
}
