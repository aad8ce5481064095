/* SPDX-License-Identifier: MIT */
/* sig_mask.c - sending, blocking, nesting: what arrives, in which order, with which information, and what is pending meanwhile */
#include "signals.h"

static char log_[4096];
static void say(const char *s) { strcat(log_, s); strcat(log_, " "); }
static void show(const char *what) { printf("%s: %s\n", what, log_); log_[0] = 0; }

static void masks(const char *when)
{
	sigset_t now, pend;
	char m[200] = "", p[200] = "";
	pthread_sigmask(SIG_BLOCK, NULL, &now);
	sigpending(&pend);
	for (int s = 1; s <= SIGRTMAX; s++) {
		if (sigismember(&now, s) == 1)
			snprintf(m + strlen(m), 20, "%s ", name_of(s));
		if (sigismember(&pend, s) == 1)
			snprintf(p + strlen(p), 20, "%s ", name_of(s));
	}
	printf("%s: blocked %s- pending %s\n", when, m, p);
}

static void note(int signo, siginfo_t *si, void *ctx)
{
	char b[100];
	bool me = si->si_pid == getpid() && si->si_uid == getuid();
	snprintf(b, sizeof b, "%s/%d/%s/%d", name_of(signo), si->si_code, me ? "me" : "other",
		 si->si_code == SI_QUEUE ? si->si_value.sival_int : 0);
	say(b);
}

static void sent_ways(int signo)
{
	union sigval v = { .sival_int = 77 };
	pid_t me = getpid();
	on(signo, note, 0);
	printf("-- %s\n", name_of(signo));
	kill(me, signo); show("kill");
	syscall(SYS_tkill, syscall(SYS_gettid), signo); show("tkill");
	syscall(SYS_tgkill, me, syscall(SYS_gettid), signo); show("tgkill");
	raise(signo); show("raise");
	pthread_kill(pthread_self(), signo); show("pthread_kill");
	sigqueue(me, signo, v); show("sigqueue");
	pthread_sigqueue(pthread_self(), signo, v); show("pthread_sigqueue");
	block(signo);
	kill(me, signo); kill(me, signo);
	v.sival_int++;
	sigqueue(me, signo, v);
	show("blocked");
	masks("blocked");
	unblock(signo);
	show("unblocked");
	masks("unblocked");
	block(signo);
	kill(me, signo);
	signal(signo, SIG_IGN);
	masks("ignored while pending");
	on(signo, note, 0);
	unblock(signo);
	show("handled again");
	signal(signo, SIG_IGN);
	kill(me, signo);
	on(signo, note, 0);
	show("ignored");
}

/* A signal with information made up by the program itself, as crash reporters send it again. */
static void made_up(int signo)
{
	siginfo_t si;
	memset(&si, 0, sizeof si);
	si.si_signo = signo;
	si.si_code = 1;
	si.si_addr = (void *)0x12345;
	on(signo, note, 0);
	printf("made up %s = %s\n", name_of(signo), answer(syscall(SYS_rt_tgsigqueueinfo, getpid(), syscall(SYS_gettid), signo, &si)));
	printf("  %s\n", log_[0] ? "arrived" : "lost");
	log_[0] = 0;
	printf("made up %s = %s\n", name_of(signo), answer(syscall(SYS_rt_sigqueueinfo, getpid(), signo, &si)));
	printf("  %s\n", log_[0] ? "arrived" : "lost");
	log_[0] = 0;
	block(signo);
	syscall(SYS_rt_tgsigqueueinfo, getpid(), syscall(SYS_gettid), signo, &si);
	sigset_t s = set_of(signo, 0);
	siginfo_t got;
	printf("  waited for: %s", name_of(sigwaitinfo(&s, &got)));
	printf(" code %d addr %lx\n", got.si_code, (long)got.si_addr);
	unblock(signo);
}

static volatile int depth, deepest, runs;
static void nest(int signo, siginfo_t *si, void *ctx)
{
	char b[64];
	depth++;
	if (depth > deepest)
		deepest = depth;
	snprintf(b, sizeof b, "%s{", name_of(signo));
	say(b);
	if (depth < 4 && ++runs < 20) {
		raise(SIGUSR1);
		raise(SIGUSR2);
		raise(SIGRTMIN + 1);
		raise(SIGSEGV);
	}
	say("}");
	depth--;
}

static void nesting(const char *what, int flags, int masked)
{
	const int sigs[] = { SIGUSR1, SIGUSR2, SIGRTMIN + 1, SIGSEGV };
	for (unsigned i = 0; i < sizeof sigs / sizeof *sigs; i++) {
		struct sigaction sa = { .sa_sigaction = nest, .sa_flags = SA_SIGINFO | flags };
		sa.sa_mask = set_of(masked, 0);
		sigaction(sigs[i], &sa, NULL);
	}
	deepest = runs = 0;
	raise(SIGUSR1);
	show(what);
	printf("  depth %d\n", deepest);
	masks("  after");
}

static void show_mask(int signo, siginfo_t *si, void *ctx)
{
	masks("  in the handler");
	const uint64_t *m = (const uint64_t *)&((ucontext_t *)ctx)->uc_sigmask;
	printf("  to be restored: %llx\n", (unsigned long long)*m);
}

static void change_mask(int signo, siginfo_t *si, void *ctx)
{
	sigaddset(&((ucontext_t *)ctx)->uc_sigmask, SIGHUP);
	sigaddset(&((ucontext_t *)ctx)->uc_sigmask, SIGBUS);
	sigaddset(&((ucontext_t *)ctx)->uc_sigmask, SIGKILL);
}

static void handler_masks(void)
{
	struct sigaction sa = { .sa_sigaction = show_mask, .sa_flags = SA_SIGINFO };
	sigfillset(&sa.sa_mask);
	puts("-- masks in handlers");
	sigaction(SIGUSR1, &sa, NULL);
	block(SIGWINCH);
	raise(SIGUSR1);
	sa.sa_flags |= SA_NODEFER;
	sa.sa_mask = set_of(SIGSEGV, SIGSYS);
	sigaction(SIGUSR1, &sa, NULL);
	raise(SIGUSR1);
	on(SIGUSR1, change_mask, 0);
	raise(SIGUSR1);
	masks("changed by the handler");
	unblock(SIGHUP);
	unblock(SIGBUS);
	unblock(SIGWINCH);
	sigset_t all;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, NULL);
	masks("all");
	sigemptyset(&all);
	pthread_sigmask(SIG_SETMASK, &all, NULL);
	masks("none");
}

static void actions(void)
{
	struct { void *handler; unsigned long flags; void *restorer; uint64_t mask; } act = { NULL, ~0ul, NULL, ~0ull }, old;
	puts("-- actions");
	C(SYS_rt_sigaction, SIGUSR1, NULL, NULL, 8);
	C(SYS_rt_sigaction, SIGUSR1, NULL, NULL, 4);
	C(SYS_rt_sigaction, SIGKILL, &act, NULL, 8);
	C(SYS_rt_sigaction, SIGSTOP, &act, NULL, 8);
	C(SYS_rt_sigaction, SIGKILL, NULL, &old, 8);
	C(SYS_rt_sigaction, 0, NULL, &old, 8);
	C(SYS_rt_sigaction, 65, NULL, &old, 8);
	C(SYS_rt_sigaction, SIGUSR1, none, &old, 8);
	C(SYS_rt_sigaction, SIGUSR1, &act, none, 8);
	C(SYS_rt_sigaction, SIGUSR1, NULL, &old, 8);
	printf("  %p %lx %llx\n", old.handler, old.flags, (unsigned long long)old.mask);
	for (int s = SIGSEGV; s; s = s == SIGSEGV ? SIGSYS : 0) {
		struct sigaction was;
		signal(s, SIG_IGN);
		sigaction(s, NULL, &was);
		printf("  %s %s %x\n", name_of(s), was.sa_handler == SIG_IGN ? "ignored" : "not ignored", was.sa_flags & ~0x04000000);
		on(s, note, SA_RESETHAND | SA_RESTART);
		raise(s);
		sigaction(s, NULL, &was);
		printf("  %s %s %x\n", name_of(s), was.sa_handler == SIG_DFL ? "default" : "not default", was.sa_flags & ~0x04000000);
		show("  once");
	}
	on(SIGUSR2, note, SA_RESETHAND);
	raise(SIGUSR2);
	show("once");
	struct sigaction was;
	sigaction(SIGUSR2, NULL, &was);
	printf("%s\n", was.sa_handler == SIG_DFL ? "default" : "not default");
	uint64_t set = 0;
	C(SYS_rt_sigprocmask, 7, &set, NULL, 8);
	C(SYS_rt_sigprocmask, 7, NULL, NULL, 8);
	C(SYS_rt_sigprocmask, SIG_BLOCK, none, NULL, 8);
	C(SYS_rt_sigprocmask, SIG_BLOCK, NULL, none, 8);
	C(SYS_rt_sigprocmask, SIG_BLOCK, NULL, NULL, 16);
	C(SYS_rt_sigpending, none, 8);
	C(SYS_rt_sigpending, &set, 16);
	C(SYS_kill, getpid(), 65);
	C(SYS_kill, getpid(), 0);
	C(SYS_tgkill, getpid(), 0x7ffffff, SIGUSR1);
	C(SYS_tgkill, -1, 1, SIGUSR1);
}

static void order(void)
{
	union sigval v = { .sival_int = 0 };
	puts("-- order");
	block(SIGRTMIN + 2);
	block(SIGRTMIN + 1);
	on(SIGRTMIN + 1, note, 0);
	on(SIGRTMIN + 2, note, 0);
	for (int i = 0; i < 6; i++, v.sival_int++)
		sigqueue(getpid(), i & 1 ? SIGRTMIN + 1 : SIGRTMIN + 2, v);
	sigset_t s = set_of(SIGRTMIN + 1, SIGRTMIN + 2);
	pthread_sigmask(SIG_UNBLOCK, &s, NULL);
	show("real time, six queued");
}

static void waiting(int signo)
{
	sigset_t s = set_of(signo, SIGUSR1);
	struct timespec zero = { 0, 0 }, soon = { 0, 2000000 };
	siginfo_t si;
	union sigval v = { .sival_int = 5 };
	printf("-- sigwait %s\n", name_of(signo));
	on(signo, note, 0);
	pthread_sigmask(SIG_BLOCK, &s, NULL);
	C(SYS_rt_sigtimedwait, &s, &si, &zero, 8);
	C(SYS_rt_sigtimedwait, &s, &si, &soon, 8);
	soon.tv_nsec = -1;
	C(SYS_rt_sigtimedwait, &s, &si, &soon, 8);
	C(SYS_rt_sigtimedwait, none, &si, &zero, 8);
	C(SYS_rt_sigtimedwait, &s, &si, &zero, 9);
	kill(getpid(), signo);
	masks("pending");
	printf("got %s", name_of(sigwaitinfo(&s, &si)));
	printf(" code %d pid %s\n", si.si_code, si.si_pid == getpid() ? "me" : "?");
	sigqueue(getpid(), signo, v);
	printf("got %s", name_of(sigwaitinfo(&s, &si)));
	printf(" code %d value %d\n", si.si_code, si.si_value.sival_int);
	raise(signo);
	C(SYS_rt_sigtimedwait, &s, none, &zero, 8);
	masks("after EFAULT");
	pthread_sigmask(SIG_UNBLOCK, &s, NULL);
	show("handlers");
}

int main(void)
{
	transcript_begin();
	sent_ways(SIGUSR1);
	sent_ways(SIGRTMIN + 3);
	sent_ways(SIGSEGV);
	sent_ways(SIGBUS);
	sent_ways(SIGSYS);
	sent_ways(SIGFPE);
	made_up(SIGSEGV);
	made_up(SIGBUS);
	made_up(SIGSYS);
	made_up(SIGUSR2);
	nesting("-- nested", 0, 0);
	nesting("-- nested, SIGUSR2 masked", 0, SIGUSR2);
	nesting("-- nested, SIGSEGV masked", 0, SIGSEGV);
	nesting("-- nested, SA_NODEFER", SA_NODEFER, 0);
	handler_masks();
	actions();
	order();
	waiting(SIGUSR2);
	waiting(SIGSEGV);
	waiting(SIGSYS);
	return 0;
}
