/* SPDX-License-Identifier: MIT */
/* sig_stack.c - alternate stacks, and a main stack that overflows */
#include "signals.h"

#include <sys/resource.h>

#define ALT 16384ul
static char *alt;
static volatile int runs;
static sigjmp_buf back;

static bool on_alt(const void *p) { return (char *)p >= alt && (char *)p < alt + ALT; }

static void show_stack(const char *what)
{
	stack_t ss;
	int r = sigaltstack(NULL, &ss);
	printf("%s: %d sp %s size %zu flags %x\n", what, r, ss.ss_sp == alt ? "alt" : ss.ss_sp ? "other" : "none", ss.ss_size, (unsigned)ss.ss_flags);
}

static void inner(int signo, siginfo_t *si, void *ctx)
{
	printf("  inner on %s\n", on_alt(&signo) ? "alt" : "main");
	runs++;
}

static void outer(int signo, siginfo_t *si, void *ctx)
{
	ucontext_t *uc = ctx;
	stack_t ss = { .ss_sp = alt, .ss_size = ALT };
	printf("outer on %s, interrupted on %s\n", on_alt(&signo) ? "alt" : "main", on_alt((void *)uc->uc_mcontext.gregs[REG_RSP]) ? "alt" : "main");
	show_stack("  in the handler");
	printf("  saved: sp %s size %zu flags %x\n", uc->uc_stack.ss_sp == alt ? "alt" : uc->uc_stack.ss_sp ? "other" : "none",
	       uc->uc_stack.ss_size, (unsigned)uc->uc_stack.ss_flags);
	if (!(uc->uc_stack.ss_flags & (1u << 31))) { /* else kernels differ in what sigreturn makes of it */
		C(SYS_sigaltstack, &ss, NULL);
		ss.ss_flags = SS_DISABLE;
		C(SYS_sigaltstack, &ss, NULL);
	}
	raise(SIGUSR2);
	runs++;
}

static void plain(const char *what, unsigned flags)
{
	stack_t ss = { .ss_sp = alt, .ss_size = ALT, .ss_flags = (int)flags };
	printf("-- %s\n", what);
	C(SYS_sigaltstack, &ss, NULL);
	show_stack("set");
	on(SIGUSR1, outer, SA_ONSTACK);
	on(SIGUSR2, inner, SA_ONSTACK);
	raise(SIGUSR1);
	show_stack("after");
	on(SIGUSR2, inner, 0);
	raise(SIGUSR1);
	on(SIGUSR1, outer, 0);
	raise(SIGUSR1);
	show_stack("after");
	ss.ss_flags = SS_DISABLE;
	C(SYS_sigaltstack, &ss, NULL);
	on(SIGUSR1, outer, SA_ONSTACK);
	raise(SIGUSR1);
	show_stack("disabled");
}

static void bad_ones(void)
{
	stack_t ss = { .ss_sp = alt, .ss_size = 2047 }, old;
	puts("-- errors");
	C(SYS_sigaltstack, &ss, NULL);
	ss.ss_size = 2048;
	C(SYS_sigaltstack, &ss, NULL);
	ss.ss_flags = 4;
	C(SYS_sigaltstack, &ss, NULL);
	ss.ss_flags = SS_ONSTACK;
	C(SYS_sigaltstack, &ss, &old);
	show_stack("as it is now");
	C(SYS_sigaltstack, none, &old);
	C(SYS_sigaltstack, &ss, none);
	C(SYS_sigaltstack, NULL, NULL);
}

static volatile long depth_reached;
static volatile uintptr_t bottom;
static __attribute__((noinline)) long dive(long n)
{
	volatile char room[2048];
	room[0] = room[2047] = (char)n;
	depth_reached = n;
	bottom = (uintptr_t)room;
	return n < LONG_MAX ? dive(n + 1) + room[0] : 0;
}

static void overflowed(int signo, siginfo_t *si, void *ctx)
{
	const greg_t *g = ((ucontext_t *)ctx)->uc_mcontext.gregs;
	long apart = (long)(bottom - (uintptr_t)si->si_addr);
	printf("  %s code %d on %s, %s, err %llx\n", name_of(signo), si->si_code, on_alt(&signo) ? "alt" : "main",
	       apart > -8192 && apart < 8192 ? "near the end" : "far", (unsigned long long)g[REG_ERR]);
	siglongjmp(back, 1);
}

static long overflow_once(void)
{
	struct rlimit rl;
	getrlimit(RLIMIT_STACK, &rl);
	depth_reached = 0;
	char *top = (char *)&rl;
	if (!sigsetjmp(back, 1))
		dive(0);
	long used = (long)((uintptr_t)top - bottom);
	printf("  used the limit: %d\n", used <= (long)rl.rlim_cur && used > (long)rl.rlim_cur - 256 * 1024);
	return depth_reached;
}

static void overflow(void)
{
	stack_t ss = { .ss_sp = alt, .ss_size = ALT };
	struct rlimit rl;
	puts("-- the main stack overflows");
	sigaltstack(&ss, NULL);
	on(SIGSEGV, overflowed, SA_ONSTACK);
	getrlimit(RLIMIT_STACK, &rl);
	rl.rlim_cur = 512 * 1024;
	setrlimit(RLIMIT_STACK, &rl);
	long a = overflow_once();
	rl.rlim_cur = 1024 * 1024;
	setrlimit(RLIMIT_STACK, &rl);
	long b = overflow_once();
	printf("deeper with a higher limit: %d\n", b > a + 200);
	/* the guard gap: a mapping close below stops growth 1 MiB above it */
	rl.rlim_cur = 8 << 20;
	setrlimit(RLIMIT_STACK, &rl);
	char *at = (char *)(((uintptr_t)&rl - (3ul << 20)) & ~(PG - 1));
	char *m = mmap(at, PG, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	printf("mapping below the stack: %s\n", m == at ? "there" : "elsewhere");
	if (!sigsetjmp(back, 1))
		dive(0);
	long gap = (long)(bottom - (uintptr_t)at);
	printf("gap kept: %d\n", gap >= (1 << 20) - 8192 && gap < (1 << 20) + 65536);
	munmap(m, PG);
}

/* A far touch below the stack pointer grows the stack too; beyond the limit it does not. */
static void far_touch(void)
{
	char *sp = __builtin_frame_address(0);
	puts("-- far touches");
	on(SIGSEGV, overflowed, SA_ONSTACK);
	bottom = 0;
	if (!sigsetjmp(back, 1)) {
		*(volatile char *)(sp - (6 << 20)) = 1;
		puts("  6 MiB below: fine");
	}
	if (!sigsetjmp(back, 1)) {
		*(volatile char *)(sp - (9 << 20)) = 1;
		puts("  9 MiB below: fine");
	}
}

static void deep(int signo, siginfo_t *si, void *ctx)
{
	if (signo == SIGUSR1 && ++runs < 100)
		raise(SIGUSR1);
}

static void alt_overflows(int signo, siginfo_t *si, void *ctx)
{
	printf("  %s code %d on %s after some %s\n", name_of(signo), si->si_code, on_alt(&signo) ? "alt" : "main", runs > 2 && runs < 20 ? "runs" : "?");
	siglongjmp(back, 1);
}

/* Nested handlers fill the alternate stack; the next frame has no room: SIGSEGV, whose handler runs elsewhere or kills. */
static void nested_overflow(void)
{
	stack_t ss = { .ss_sp = alt, .ss_size = ALT };
	puts("-- the alternate stack overflows by frames");
	sigaltstack(&ss, NULL);
	on(SIGUSR1, deep, SA_ONSTACK | SA_NODEFER);
	on(SIGSEGV, alt_overflows, 0);
	runs = 0;
	if (!sigsetjmp(back, 1))
		raise(SIGUSR1);
	show_stack("after");
}

int main(void)
{
	transcript_begin();
	alt = mmap(NULL, ALT + PG, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	mprotect(alt, PG, PROT_READ | PROT_WRITE);
	bad_ones();
	plain("alternate stack", 0);
	plain("SS_AUTODISARM", 1u << 31);
	plain("SS_ONSTACK", SS_ONSTACK);
	overflow();
	far_touch();
	fflush(stdout);
	nested_overflow();
	return 0;
}
