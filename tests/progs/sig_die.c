/* SPDX-License-Identifier: MIT */
/* sig_die.c - one way to die for each argument; the exit status tells */
#include "signals.h"

#include <sys/resource.h>

static void returns(int signo, siginfo_t *si, void *ctx) { }

static void fault(void) { *(volatile char *)hole = 1; }
static void *fault_in_thread(void *arg) { fault(); return arg; }
static void *sleep_in_thread(void *arg) { for (;;) pause(); return arg; }
static void beyond(void)
{
	int fd = open("f", O_RDWR | O_CREAT, 0600);
	char *m = mmap(NULL, PG, PROT_READ, MAP_PRIVATE, fd, 0);
	unlink("f");
	leave_scratch();
	(void)*(volatile char *)m;
}

static void segv_plain(void) { fault(); }
static void segv_ignored(void) { signal(SIGSEGV, SIG_IGN); fault(); }
static void segv_blocked(void) { on(SIGSEGV, returns, 0); block(SIGSEGV); fault(); }
static void segv_once(void) { on(SIGSEGV, returns, SA_RESETHAND); fault(); }
static void segv_in_handler(void) { on(SIGSEGV, (void (*)(int, siginfo_t *, void *))(void *)fault, 0); fault(); }
static void segv_in_thread(void)
{
	pthread_t t;
	pthread_create(&t, NULL, sleep_in_thread, NULL);
	pthread_create(&t, NULL, fault_in_thread, NULL);
	pthread_join(t, NULL);
}
static void bus_plain(void) { beyond(); }
static void bus_ignored(void) { signal(SIGBUS, SIG_IGN); beyond(); }
static void ill(void) { block(SIGILL); __asm__ volatile("ud2"); }
static void fpe(void) { signal(SIGFPE, SIG_IGN); volatile int z = 0; __asm__ volatile("cltd; idivl %0" :: "m"(z) : "rax", "rdx"); }
static void trap(void) { __asm__ volatile("int3"); }
static void gp(void) { __asm__ volatile("hlt"); }
static void handler_absent(void) { on(SIGUSR1, (void (*)(int, siginfo_t *, void *))(void *)hole, 0); raise(SIGUSR1); }
static void stack_gone(void)
{
	on(SIGUSR1, returns, 0);
	__asm__ volatile("mov %0, %%rsp; mov $39, %%eax; syscall; mov %%eax, %%edi; mov $10, %%esi; mov $62, %%eax; syscall; 1: jmp 1b" :: "r"(hole + 0x10000));
}
static void no_restorer(void)
{
	struct { void *handler; unsigned long flags; void *restorer; uint64_t mask; } act = { (void *)returns, SA_SIGINFO, NULL, 0 };
	syscall(SYS_rt_sigaction, SIGUSR1, &act, NULL, 8);
	raise(SIGUSR1);
}
static void alt_too_small(void)
{
	stack_t ss = { .ss_sp = good, .ss_size = 2048 };
	sigaltstack(&ss, NULL);
	on(SIGUSR1, returns, SA_ONSTACK);
	block(SIGUSR2);
	raise(SIGUSR1);
	_exit(3); /* where vector registers are narrow it fits */
}
static void killed(int signo) { kill(getpid(), signo); nap_ms(1000); }
static void kill_term(void) { killed(SIGTERM); }
static void kill_kill(void) { killed(SIGKILL); }
static void kill_segv(void) { killed(SIGSEGV); }
static void kill_bus(void) { killed(SIGBUS); }
static void kill_sys(void) { killed(SIGSYS); }
static void kill_rt(void) { killed(SIGRTMAX); }
static void kill_segv_blocked(void) { block(SIGSEGV); kill(getpid(), SIGSEGV); nap_ms(5); unblock(SIGSEGV); }
static void kill_segv_in_call(void)
{
	if (!getenv("NEVER")) {
		pthread_t t;
		pthread_create(&t, NULL, (void *(*)(void *))(void *)kill_segv, NULL);
	}
	nap_ms(2000);
}
static void abort_(void) { abort(); }
static void pipe_(void) { int p[2]; if (!pipe(p)) close(p[0]); (void)!write(p[1], "x", 1); }
static volatile int forever = 1;
static void stack_overflow(void) { volatile char big[100000]; big[0] = 1; if (forever) stack_overflow(); big[1] = big[0]; }
static void exit_code(void) { _exit(300); }
static void exit_others_blocked(void)
{
	pthread_t t;
	for (int i = 0; i < 5; i++)
		pthread_create(&t, NULL, sleep_in_thread, NULL);
	exit(7);
}
static void *exit_from(void *arg) { nap_ms(3); exit(9); return arg; }
static void exit_in_thread(void) { pthread_t t; pthread_create(&t, NULL, exit_from, NULL); for (;;) pause(); }
static void *thread_ends(void *arg) { nap_ms(10); printf("thread outlives main\n"); return arg; }
static void main_first(void) { pthread_t t; pthread_create(&t, NULL, thread_ends, NULL); pthread_exit(NULL); }
static void main_first_raw(void) { pthread_t t; pthread_create(&t, NULL, thread_ends, NULL); syscall(SYS_exit, 4); }
static void *thread_dies(void *arg) { nap_ms(10); fault(); return arg; }
static void main_first_fault(void) { pthread_t t; pthread_create(&t, NULL, thread_dies, NULL); syscall(SYS_exit, 4); }

#define W(name) { #name, name }
static const struct { const char *name; void (*run)(void); } ways[] = {
	W(segv_plain), W(segv_ignored), W(segv_blocked), W(segv_once), W(segv_in_handler), W(segv_in_thread), W(bus_plain), W(bus_ignored), W(ill),
	W(fpe), W(trap), W(gp), W(handler_absent), W(stack_gone), W(no_restorer), W(alt_too_small), W(kill_term), W(kill_kill), W(kill_segv),
	W(kill_bus), W(kill_sys), W(kill_rt), W(kill_segv_blocked), W(kill_segv_in_call), W(abort_), W(pipe_), W(stack_overflow), W(exit_code),
	W(exit_others_blocked), W(exit_in_thread), W(main_first), W(main_first_raw), W(main_first_fault),
};

int main(int argc, char **argv)
{
	struct rlimit no_core = { 0, 0 };
	setrlimit(RLIMIT_CORE, &no_core);
	for (unsigned i = 0; i < sizeof ways / sizeof *ways; i++) {
		if (argc < 2)
			puts(ways[i].name);
		else if (!strcmp(argv[1], ways[i].name)) {
			transcript_begin();
			if (strncmp(argv[1], "bus", 3))
				leave_scratch();
			ways[i].run();
		}
	}
	return 0;
}
