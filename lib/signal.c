/* SPDX-License-Identifier: MIT */
/* signal.c - SIGSEGV and SIGBUS: ours, a fixup, a scope, or somebody else's
 *
 * Handlers of others stand in a chain for each signal, the one found first at the bottom.  sf_rearm puts the newcomer on top.  A newcomer
 * that chains to us calls us while we are calling it; then the one below it is meant.  That call is told from a new
 * signal by its frame: the host puts the return address right below the ucontext.
 *
 *     fault --> on_signal --not ours--> chain[top] --it calls on_signal--> chain[top - 1] ... chain[0]
 *
 * To die of a signal as the host would have it, the default action is put back and the signal queued while it is blocked, so that it arrives at the
 * faulting instruction, with the siginfo that is right. */
#include "lib/lib.h"

#include <signal.h>
#include <ucontext.h>
#include <unistd.h>

#define CHAIN_MAX 16

struct chain {
	unsigned n;
	struct sigaction sa[CHAIN_MAX];
};

static struct chain chains[2]; /* SIGSEGV, SIGBUS */
static struct lk chain_lock;
static uint32_t installed;

/* Of the address sanitizer's runtime, if the application has one: what the frames that are left behind marked is void. */
void __asan_handle_no_return(void) __attribute__((weak));
bool access_lookup(vaddr_t ip, vaddr_t *ret_fixup, int *ret_type) __attribute__((weak));

static struct chain *chain_of(int signo)
{
	return &chains[signo == SIGBUS];
}

/* ---------------------------------------------------------------- scopes */

/* struct sf_try: regs[0] rbx, 1 rbp, 2-5 r12-r15, 6 rsp after the return, 7 rip */
__asm__(".pushsection .text\n"
	".globl sf_try\n\t.type sf_try, @function\n"
	"sf_try:\n\t.cfi_startproc\n\t"
	"testq %rdi, %rdi\n\t"
	"jz 1f\n\t"
	"movq %rbx, (%rdi)\n\t"
	"movq %rbp, 8(%rdi)\n\t"
	"movq %r12, 16(%rdi)\n\t"
	"movq %r13, 24(%rdi)\n\t"
	"movq %r14, 32(%rdi)\n\t"
	"movq %r15, 40(%rdi)\n\t"
	"leaq 8(%rsp), %rax\n\t"
	"movq %rax, 48(%rdi)\n\t"
	"movq (%rsp), %rax\n\t"
	"movq %rax, 56(%rdi)\n\t"
	"jmp sf_try_enter_\n"
	"1:\tmovl $-22, %eax\n\t"
	"ret\n\t.cfi_endproc\n\t.size sf_try, . - sf_try\n"
	".popsection\n");
_Static_assert(offsetof(struct sf_try, regs) == 0 && EINVAL == 22, "as sf_try stores them");

__attribute__((used, visibility("hidden"))) int sf_try_enter_(struct sf_try *t);
int sf_try_enter_(struct sf_try *t)
{
	t->outer = lib_thread.top;
	t->addr = NULL;
	t->error = 0;
	t->write = 0;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	lib_thread.top = t;
	return 0;
}

int sf_try_end(struct sf_try *t)
{
	if (!t || lib_thread.top != t)
		return -EINVAL;
	lib_thread.top = t->outer;
	return 0;
}

static void leave_scope(greg_t *g, struct sf_try *t, void *addr, int err)
{
	if (__asan_handle_no_return)
		__asan_handle_no_return();
	lib_thread.top = t->outer;
	t->addr = addr;
	t->error = err;
	t->write = g[REG_TRAPNO] == 14 && g[REG_ERR] & PF_WRITE;
	g[REG_RBX] = (greg_t)t->regs[0];
	g[REG_RBP] = (greg_t)t->regs[1];
	g[REG_R12] = (greg_t)t->regs[2];
	g[REG_R13] = (greg_t)t->regs[3];
	g[REG_R14] = (greg_t)t->regs[4];
	g[REG_R15] = (greg_t)t->regs[5];
	g[REG_RSP] = (greg_t)t->regs[6];
	g[REG_RIP] = (greg_t)t->regs[7];
	g[REG_RAX] = err;
	g[REG_EFL] &= ~0x400; /* string instructions run upwards between functions */
}

static bool leave_by_table(greg_t *g, void *addr, int err)
{
	vaddr_t fixup;
	int type;

	if (!access_lookup || !access_lookup((vaddr_t)g[REG_RIP], &fixup, &type))
		return false;
	g[REG_RIP] = (greg_t)fixup;
	if (type != SF_EX_FIXUP)
		g[REG_RAX] = err;
	if (type == SF_EX_ERRNO)
		g[REG_RDX] = (greg_t)addr;
	return true;
}

/* ---------------------------------------------------------------- those who were there before */

#define SIGMASK(set) ((uint64_t *)(void *)(set))

static void set_mask(uint64_t mask)
{
	host_syscall_raw(__NR_rt_sigprocmask, 2 /* SIG_SETMASK */, HC_A(&mask), 0, 8, 0, 0);
}

/* Die as the host would have it: see above. */
static void die(int signo, siginfo_t *si)
{
	struct sigaction dfl = { .sa_handler = SIG_DFL };
	uint64_t one = 1ull << (signo - 1);

	sigaction(signo, &dfl, NULL);
	host_syscall_raw(__NR_rt_sigprocmask, 0 /* SIG_BLOCK */, HC_A(&one), 0, 8, 0, 0);
	host_call4(__NR_rt_tgsigqueueinfo, getpid(), host_call0(__NR_gettid), signo, si);
}

/* The next one to call, taken down if it wants to be called once only. */
static struct sigaction chain_pick(int signo, unsigned level)
{
	struct chain *c = chain_of(signo);
	struct sigaction sa = c->sa[level];

	if (sa.sa_flags & (int)SA_RESETHAND)
		c->sa[level].sa_handler = SIG_DFL;
	return sa;
}

static void call_handler(const struct sigaction *sa, int signo, siginfo_t *si, ucontext_t *uc)
{
	uint64_t mask = *SIGMASK(&uc->uc_sigmask) | *(const uint64_t *)(const void *)&sa->sa_mask;

	if (!(sa->sa_flags & SA_NODEFER))
		mask |= 1ull << (signo - 1);
	set_mask(mask);
	if (sa->sa_flags & SA_SIGINFO)
		sa->sa_sigaction(signo, si, uc);
	else
		sa->sa_handler(signo);
}

static void chain(int signo, siginfo_t *si, ucontext_t *uc, bool again)
{
	struct lib_thread *me = &lib_thread;
	unsigned n = __atomic_load_n(&chain_of(signo)->n, __ATOMIC_ACQUIRE);
	unsigned level = !again || !me->chaining ? n : me->chain_level;
	struct sigaction sa = { .sa_handler = SIG_DFL };

	if (level)
		sa = chain_pick(signo, --level);
	if (sa.sa_handler == SIG_DFL || sa.sa_handler == SIG_IGN) {
		if (sa.sa_handler == SIG_IGN && si->si_code <= 0)
			return;
		die(signo, si);
		return;
	}
	me->chaining = true;
	me->chain_level = level;
	call_handler(&sa, signo, si, uc);
	me->chaining = again;
}

/* ---------------------------------------------------------------- the handler */

/* What the host says about an address that is in no pool. */
static int host_error(int signo, const siginfo_t *si)
{
	if (signo == SIGBUS)
		return si->si_code == BUS_ADRERR ? -ENXIO : -EIO;
	return si->si_code == SEGV_ACCERR ? -EACCES : -EFAULT;
}

static bool is_page_fault(const greg_t *g, const siginfo_t *si)
{
	return g[REG_TRAPNO] == 14 && (si->si_code == 1 || si->si_code == 2);
}

/* In a pool?  True: *ret_err is 0, or why not, and si and the frame tell the same. */
static bool fault_in_pool(siginfo_t *si, greg_t *g, int *ret_err)
{
	vaddr_t addr = (vaddr_t)g[REG_CR2];
	struct fault_answer ans;
	struct pool *p;

	if (!is_page_fault(g, si))
		return false;
	if (!lib_thread.forking)
		fork_wait();
	p = pool_visit(addr);
	if (!p)
		return false;
	if (p->touch)
		touch_allow(p, addr);
	if (lib_thread.in_policy || lib_thread.forking || (lib_thread.in_callback && lib_thread.callback_pool == p)) { /* it might wait for what this thread should do */
		*ret_err = -EDEADLK;
		ans = (struct fault_answer){ SIGBUS, BUS_ADRERR, (unsigned)g[REG_ERR] };
	} else {
		*ret_err = pool_fault(p, addr, (unsigned)g[REG_ERR], (vaddr_t)g[REG_RIP], &ans);
	}
	pool_leave(p);
	if (*ret_err) {
		si->si_signo = ans.signo;
		si->si_code = ans.code;
		si->si_addr = (void *)addr;
		g[REG_ERR] = ans.error_code;
	}
	return true;
}

/* Called by the host with all signals blocked but these two; or by a handler that chains to us. */
static void on_signal(int signo, siginfo_t *si, void *uc_)
{
	bool again = (uintptr_t)__builtin_frame_address(0) + 8 != (uintptr_t)uc_ - 8;
	ucontext_t *uc = uc_;
	greg_t *g = uc->uc_mcontext.gregs;
	bool sent = si->si_code <= 0;
	int err;

	if (!again || !lib_thread.chaining) {
		lib_thread.chaining = false;
		if (!fault_in_pool(si, g, &err))
			err = sent ? 0 : host_error(signo, si);
		else if (!err)
			return;
		if (!sent && leave_by_table(g, si->si_addr, err))
			return;
		if (!sent && lib_thread.top) {
			leave_scope(g, lib_thread.top, si->si_addr, err);
			return;
		}
	}
	chain(si->si_signo == SIGBUS || si->si_signo == SIGSEGV ? si->si_signo : signo, si, uc, again && lib_thread.chaining);
}

/* ---------------------------------------------------------------- installing */

static bool is_ours(const struct sigaction *sa)
{
	return sa->sa_flags & SA_SIGINFO && sa->sa_sigaction == on_signal;
}

/* On top; somebody who comes back leaves his old place.  locked: chain_lock */
static int chain_push(struct chain *c, const struct sigaction *sa)
{
	unsigned n = c->n, k = 0;

	while (k < n && c->sa[k].sa_sigaction != sa->sa_sigaction)
		k++;
	if (k == CHAIN_MAX)
		return -ENOSPC;
	for (; k + 1 < n; k++)
		c->sa[k] = c->sa[k + 1];
	c->sa[k] = *sa;
	__atomic_store_n(&c->n, k + 1, __ATOMIC_RELEASE);
	return 0;
}

/* locked: chain_lock.  1: somebody else's was there. */
static int put_in_front(int signo)
{
	struct sigaction sa = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER }, old;
	struct chain *c = chain_of(signo);

	if (sigaction(signo, NULL, &old))
		return -errno;
	if (is_ours(&old))
		return 0;
	int err = chain_push(c, &old);

	if (err)
		return err;
	sigfillset(&sa.sa_mask);
	for (int open = 0; open < 7; open++)
		sigdelset(&sa.sa_mask, (const int[]){ SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGABRT, SIGSYS }[open]);
	return sigaction(signo, &sa, NULL) ? -errno : 1;
}

static int arm(void)
{
	int a, b = 0;

	lk_take(&chain_lock);
	a = put_in_front(SIGSEGV);
	if (a >= 0)
		b = put_in_front(SIGBUS);
	lk_drop(&chain_lock);
	return a < 0 ? a : b < 0 ? b : a | b;
}

int handlers_install(void)
{
	int err;

	if (__atomic_load_n(&installed, __ATOMIC_ACQUIRE))
		return 0;
	err = arm();
	if (err < 0)
		return err;
	__atomic_store_n(&installed, 1, __ATOMIC_RELEASE);
	return 0;
}

int sf_rearm(void)
{
	struct scope sc;
	int err;

	if (!__atomic_load_n(&installed, __ATOMIC_ACQUIRE))
		return -EPERM;
	err = lib_enter(&sc);
	if (err)
		return err;
	err = arm();
	lib_leave(&sc);
	return err;
}
