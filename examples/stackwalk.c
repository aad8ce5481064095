/* SPDX-License-Identifier: MIT */
/* stackwalk.c - walk a stack by its frame pointers, wherever they point: a crash reporter that does not crash
 *
 *	stackwalk           walks a sound stack, then one of which a frame was overwritten, from within the SIGSEGV handler
 *
 * Each word is read by sf_get: one instruction, no system call, and an error instead of a second SIGSEGV. */
#define _GNU_SOURCE
#include <softfault.h>

#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <ucontext.h>
#include <unistd.h>

#define MOST 64

static void name(uintptr_t ip)
{
	Dl_info di;

	if (dladdr((void *)ip, &di) && di.dli_sname)
		printf("  %s\n", di.dli_sname);
	else
		printf("  ?\n");
}

/* Frames from fp on.  The error that ended the walk: 0 at the outermost frame. */
static int walk(uintptr_t fp, struct sf_fault *fault)
{
	for (int i = 0; fp && i < MOST; i++) {
		const uintptr_t *frame = (const uintptr_t *)fp; /* the caller's frame, and where it goes on */
		uintptr_t next, ip;
		int err = sf_get_fault(&frame[1], &ip, fault);

		if (!err)
			err = sf_get_fault(&frame[0], &next, fault);
		if (err)
			return err;
		name(ip);
		if (next <= fp)
			return 0;
		fp = next;
	}
	return 0;
}

static void report(uintptr_t ip, uintptr_t fp)
{
	struct sf_fault fault;

	name(ip);
	int err = walk(fp, &fault);

	if (err)
		printf("  the stack is damaged: %s at %p\n", strerror(-err), fault.addr);
	fflush(stdout);
}

/* printf in a handler is for an example only: this one knows where the signal comes from. */
static void on_crash(int signo, siginfo_t *si, void *uc_)
{
	const ucontext_t *uc = uc_;

	printf("SIGSEGV at %p\n", si->si_addr);
	report((uintptr_t)uc->uc_mcontext.gregs[REG_RIP], (uintptr_t)uc->uc_mcontext.gregs[REG_RBP]);
	_exit(0);
}

__attribute__((noinline)) void inner(uintptr_t *damage)
{
	uintptr_t *fp = __builtin_frame_address(0);

	if (!damage) {
		printf("sound\n");
		report((uintptr_t)inner, (uintptr_t)fp);
		return;
	}
	*(uintptr_t *)fp[0] = *damage; /* our caller's saved frame pointer */
	*(volatile int *)(uintptr_t)damage[1] = 1;
}

__attribute__((noinline)) void middle(uintptr_t *damage)
{
	inner(damage);
	__asm__ volatile("");
}

__attribute__((noinline)) void outer(uintptr_t *damage)
{
	middle(damage);
	__asm__ volatile("");
}

int main(void)
{
	/* SA_NODEFER: on_crash will itself touch what is not there, and a fault while SIGSEGV is blocked is the end */
	struct sigaction sa = { .sa_sigaction = on_crash, .sa_flags = SA_SIGINFO | SA_NODEFER };
	uintptr_t wild[] = { 0x7ffffffff008, 8 };

	sigaction(SIGSEGV, &sa, NULL);
	sf_rearm(); /* ours in front: sf_get's faults are handled, all others go on to on_crash */
	outer(NULL);
	outer(wild);
	return 1;
}
