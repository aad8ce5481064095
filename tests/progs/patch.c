/* SPDX-License-Identifier: MIT */
/* patch.c - call sites that are replaced while the program runs: what a call must leave alone, and signals in the middle of it
 *
 *     patch calls          registers, flags, red zone, vector registers over many calls
 *     patch signals [SEC]  five threads in calls (some sleeping) and a storm of signals whose handlers make calls too; forks in between
 *     patch text           the program reads its own code by a system call: it finds what is in the file
 *     patch write          code that is made writable is the program's own again
 *     patch gs             the program takes GS for itself
 *     patch step           the program steps through its calls (TF) */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <ucontext.h>
#include <sys/wait.h>
#include <unistd.h>

#define CALLS 5000
#define ARCH_SET_GS 0x1001
#define ARCH_GET_GS 0x1004

static void fail(const char *what)
{
	printf("wrong: %s\n", what);
	fflush(stdout);
	_exit(3);
}

/* getppid by an instruction of our own, with everything that it must not touch set before and compared after. */
static int call_disturbs(void)
{
	int bad;
	__asm__ volatile(
		"movq $0x5a5a, %%rbx; movq %%rbx, -8(%%rsp); movq %%rbx, -128(%%rsp); movq %%rbx, %%xmm5\n\t"
		"movq $11, %%rdi; movq $22, %%rsi; movq $33, %%rdx; movq $44, %%r10; movq $55, %%r8; movq $66, %%r9; movq $77, %%r15\n\t"
		"stc; movl $110, %%eax\n\t"
		"call_at: .globl call_at\n\t"
		"syscall\n\t"
		"movl $0, %%ecx\n\t"
		"jnc 1f\n\t"
		"cmpq %%rbx, -8(%%rsp); jne 1f; cmpq %%rbx, -128(%%rsp); jne 1f; movq %%xmm5, %%rax; cmpq %%rbx, %%rax; jne 1f\n\t"
		"cmp $11, %%rdi; jne 1f; cmp $22, %%rsi; jne 1f; cmp $33, %%rdx; jne 1f; cmp $44, %%r10; jne 1f\n\t"
		"cmp $55, %%r8; jne 1f; cmp $66, %%r9; jne 1f; cmp $77, %%r15; je 2f\n\t"
		"1: movl $1, %%ecx; 2:"
		: "=c"(bad) : : "rax", "rbx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r15", "xmm5", "memory", "cc");
	return bad;
}
extern const unsigned char call_at[];

static void calls(void)
{
	pid_t me = getpid(), parent = getppid();
	for (int i = 0; i < CALLS; i++) {
		if (call_disturbs())
			fail("a register");
		if (syscall(SYS_getppid) != parent || syscall(SYS_gettid) != me || syscall(SYS_close, -1) != -1 || errno != EBADF)
			fail("a result");
	}
}

/* ---------------------------------------------------------------- signals */

static volatile long hits;
static volatile int stop;
static int pipe_fd[2];

static void on_signal(int s)
{
	int e = errno;
	char c;
	hits++;
	if (call_disturbs() || read(-1, &c, 1) != -1 || errno != EBADF)
		_exit(9);
	errno = e;
}

static void *caller(void *arg)
{
	while (!stop) {
		if (call_disturbs())
			fail("a register");
		int fd = dup(1);
		if (fd < 0 || close(fd))
			fail("dup");
	}
	return arg;
}

static void *reader(void *arg)
{
	char buf[100];
	ssize_t r;
	while ((r = read(pipe_fd[0], buf, sizeof(buf))) != 0) {
		if (r < 0)
			fail("read was cut short by a handler with SA_RESTART");
		*(long *)arg += r;
	}
	return NULL;
}

static void *writer(void *arg)
{
	while (!stop) {
		if (write(pipe_fd[1], "hello", 5) != 5)
			fail("write");
		*(long *)arg += 5;
	}
	return NULL;
}

static void fork_one(void)
{
	int st;
	pid_t k = fork();
	if (!k)
		_exit(call_disturbs() ? 7 : 0);
	if (k < 0 || waitpid(k, &st, 0) != k || st)
		fail("a forked process");
}

static void storm(pthread_t *t, int n, int seconds)
{
	struct timeval from, now;
	const struct timespec pause = { 0, 50000 };
	gettimeofday(&from, NULL);
	for (int i = 0;; i++) {
		for (int k = 0; k < n; k++)
			pthread_kill(t[k], SIGUSR1);
		raise(SIGUSR2);
		if (i % 16 == 0)
			fork_one();
		nanosleep(&pause, NULL);
		gettimeofday(&now, NULL);
		if (now.tv_sec - from.tv_sec >= seconds)
			return;
	}
}

static void signals(int seconds)
{
	struct sigaction sa = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
	struct itimerval it = { { 0, 300 }, { 0, 300 } }, off = { 0 };
	long in = 0, out = 0;
	pthread_t t[5];
	sigaction(SIGALRM, &sa, NULL);
	sigaction(SIGUSR1, &sa, NULL);
	sigaction(SIGUSR2, &sa, NULL);
	if (pipe(pipe_fd))
		fail("pipe");
	for (int i = 0; i < 3; i++)
		pthread_create(&t[i], NULL, caller, NULL);
	pthread_create(&t[3], NULL, reader, &in);
	pthread_create(&t[4], NULL, writer, &out);
	setitimer(ITIMER_REAL, &it, NULL);
	storm(t, 5, seconds);
	setitimer(ITIMER_REAL, &off, NULL);
	stop = 1;
	for (int i = 0; i < 5; i++)
		if (i != 3)
			pthread_join(t[i], NULL);
	close(pipe_fd[1]);
	pthread_join(t[3], NULL);
	if (in != out || hits < 100)
		fail("bytes or signals were lost");
}

/* ---------------------------------------------------------------- its own code */

static void text(void)
{
	unsigned char seen[16];
	int fd[2];
	calls();
	if (pipe(fd) || write(fd[1], call_at, sizeof(seen)) != sizeof(seen) || read(fd[0], seen, sizeof(seen)) != sizeof(seen))
		fail("pipe");
	if (seen[0] != 0x0f || seen[1] != 0x05 || memcmp(seen, call_at, sizeof(seen)))
		fail("the code that write saw");
	calls();
}

static void made_writable(void)
{
	unsigned char *page = (unsigned char *)((uintptr_t)call_at & ~4095ul);
	calls();
	if (mprotect(page, 8192, PROT_READ | PROT_WRITE | PROT_EXEC))
		fail("mprotect");
	if (call_at[0] != 0x0f || call_at[1] != 0x05)
		fail("the code under its new rights");
	calls();
	if (call_at[0] != 0x0f || call_at[1] != 0x05)
		fail("writable code was changed");
}

static void own_gs(void)
{
	static unsigned long block[1024];
	unsigned long v = 1;
	calls();
	if (syscall(SYS_arch_prctl, ARCH_GET_GS, &v) || v)
		fail("GS before");
	block[3] = 0x1234;
	if (syscall(SYS_arch_prctl, ARCH_SET_GS, block) || syscall(SYS_arch_prctl, ARCH_GET_GS, &v) || v != (unsigned long)block)
		fail("GS");
	calls();
	__asm__("movq %%gs:24, %0" : "=r"(v));
	if (v != 0x1234)
		fail("what GS points at");
}

/* The same without telling anybody. */
static void own_gs_quietly(void)
{
	static unsigned long block[1024];
	const unsigned short zero = 0;
	calls();
	__asm__ volatile("movw %0, %%gs" : : "r"(zero)); /* loads a base of 0 */
	calls();
	(void)block;
}

static volatile long steps, outside;
extern char __executable_start[], etext[];

static void on_step(int s, siginfo_t *si, void *c)
{
	char *ip = (char *)((ucontext_t *)c)->uc_mcontext.gregs[REG_RIP];
	(void)s, (void)si;
	steps++;
	if (ip < __executable_start || ip > etext)
		outside++;
}

static void step(void)
{
	struct sigaction sa = { .sa_sigaction = on_step, .sa_flags = SA_SIGINFO };
	calls();
	sigaction(SIGTRAP, &sa, NULL);
	for (int i = 0; i < 10; i++) {
		int bad;
		__asm__ volatile("pushfq; orl $0x100, (%%rsp); popfq" : : : "memory", "cc");
		bad = call_disturbs();
		__asm__ volatile("pushfq; andl $~0x100, (%%rsp); popfq" : : : "memory", "cc");
		if (bad)
			fail("a register while stepping");
	}
	if (steps < 100 || outside)
		fail("steps");
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	if (!strcmp(what, "calls"))
		calls();
	else if (!strcmp(what, "signals"))
		signals(argc > 2 ? atoi(argv[2]) : 2);
	else if (!strcmp(what, "text"))
		text();
	else if (!strcmp(what, "write"))
		made_writable();
	else if (!strcmp(what, "gs"))
		own_gs();
	else if (!strcmp(what, "gs-quietly"))
		own_gs_quietly();
	else if (!strcmp(what, "step"))
		step();
	else
		return 2;
	puts("right");
	return 0;
}
