/* SPDX-License-Identifier: MIT */
/* signal_min.c - the smallest handler for fault-safe access alone: tables, else what was there before
 *
 * Stands in for signal.c in programs that link no pools. */
#include "lib/lib.h"

#include <signal.h>
#include <ucontext.h>

static struct sigaction before[2];
static uint32_t state; /* 0, 1 being installed, 2 installed */

static int errno_of(int signo, const siginfo_t *si)
{
	if (signo == SIGBUS)
		return si->si_code == BUS_ADRERR ? -ENXIO : -EIO;
	return si->si_code == SEGV_ACCERR ? -EACCES : -EFAULT;
}

static void on_fault(int signo, siginfo_t *si, void *uc_)
{
	greg_t *g = ((ucontext_t *)uc_)->uc_mcontext.gregs;
	vaddr_t fixup;
	int type;

	if (si->si_code <= 0 || !access_lookup((vaddr_t)g[REG_RIP], &fixup, &type)) {
		sigaction(signo, &before[signo == SIGBUS], NULL); /* the instruction faults again */
		return;
	}
	g[REG_RIP] = (greg_t)fixup;
	if (type != SF_EX_FIXUP)
		g[REG_RAX] = errno_of(signo, si);
	if (type == SF_EX_ERRNO)
		g[REG_RDX] = (greg_t)si->si_addr;
}

int handlers_install(void)
{
	struct sigaction sa = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER | SA_RESTART };
	uint32_t none = 0;

	if (!__atomic_compare_exchange_n(&state, &none, 1, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
		while (__atomic_load_n(&state, __ATOMIC_ACQUIRE) != 2)
			__builtin_ia32_pause();
		return 0;
	}
	if (sigaction(SIGSEGV, &sa, &before[0]) || sigaction(SIGBUS, &sa, &before[1])) {
		__atomic_store_n(&state, 0, __ATOMIC_RELEASE);
		return -EINVAL;
	}
	__atomic_store_n(&state, 2, __ATOMIC_RELEASE);
	return 0;
}

int sf_rearm(void)
{
	struct sigaction sa = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER | SA_RESTART }, was;
	int changed = 0;

	for (unsigned i = 0; i < 2; i++) {
		sigaction(i ? SIGBUS : SIGSEGV, &sa, &was);
		if (was.sa_sigaction == on_fault)
			continue;
		before[i] = was;
		changed = 1;
	}
	return changed;
}
