/* SPDX-License-Identifier: MIT */
/* sig_send.c - who sends what to whom: siginfo of every sender, queues and their order, children that stop and go, errors */
#include "transcript.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>

static volatile int count, order[64];
static siginfo_t last;

static void note(int sig, siginfo_t *si, void *uc)
{
	(void)uc;
	if (count < 64)
		order[count] = sig == SIGRTMIN + 1 || sig == SIGRTMIN ? si->si_value.sival_int * 100 + sig - SIGRTMIN : sig;
	count++;
	last = *si;
}

static void handle(int sig, int flags)
{
	struct sigaction sa = { .sa_sigaction = note, .sa_flags = SA_SIGINFO | SA_RESTART | flags };
	sigaction(sig, &sa, NULL);
}

static sigset_t set_of(int a, int b)
{
	sigset_t s;
	sigemptyset(&s);
	sigaddset(&s, a);
	if (b)
		sigaddset(&s, b);
	return s;
}

static const char *who(pid_t pid, pid_t child)
{
	return pid == getpid() ? "me" : pid == child ? "child" : pid == getppid() ? "parent" : pid ? "somebody" : "0";
}

static void show(const char *what, pid_t child)
{
	printf("  %s: %d sig %d code %d errno %d", what, count, last.si_signo, last.si_code, last.si_errno);
	if (last.si_code == SI_TIMER)
		printf(" value %d overrun %d", last.si_value.sival_int, last.si_overrun);
	else if (last.si_code == SI_QUEUE || last.si_code == SI_MESGQ)
		printf(" value %d from %s", last.si_value.sival_int, who(last.si_pid, child));
	else if (last.si_signo == SIGCHLD)
		printf(" status %d from %s", last.si_status, who(last.si_pid, child));
	else
		printf(" from %s uid %d", who(last.si_pid, child), (int)last.si_uid);
	puts("");
	count = 0;
	memset(&last, 0, sizeof last);
}

static void nap(int ms) { nanosleep(&(struct timespec){ ms / 1000, ms % 1000 * 1000000L }, NULL); }
static void until(int n) { for (int i = 0; i < 2000 && count < n; i++) nap(1); }

static void senders(void)
{
	puts("-- senders");
	handle(SIGUSR1, 0);
	kill(getpid(), SIGUSR1);
	show("kill", 0);
	raise(SIGUSR1);
	show("raise", 0);
	syscall(SYS_tkill, syscall(SYS_gettid), SIGUSR1);
	show("tkill", 0);
	sigqueue(getpid(), SIGUSR1, (union sigval){ 77 });
	show("sigqueue", 0);
	int pfd = (int)syscall(SYS_pidfd_open, getpid(), 0);
	C(SYS_pidfd_send_signal, pfd, SIGUSR1, NULL, 0);
	show("pidfd", 0);
	handle(SIGALRM, 0);
	setitimer(ITIMER_REAL, &(struct itimerval){ { 0, 0 }, { 0, 1000 } }, NULL);
	until(1);
	show("itimer", 0);
	handle(SIGVTALRM, 0);
	setitimer(ITIMER_VIRTUAL, &(struct itimerval){ { 0, 0 }, { 0, 1000 } }, NULL);
	while (!count)
		;
	show("virtual itimer", 0);
	timer_t t;
	struct sigevent ev = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1, .sigev_value.sival_int = 5 };
	timer_create(CLOCK_MONOTONIC, &ev, &t);
	timer_settime(t, 0, &(struct itimerspec){ { 0, 0 }, { 0, 1000000 } }, NULL);
	until(1);
	show("timer", 0);
	timer_delete(t);
	ev.sigev_notify = SIGEV_THREAD_ID;
	ev._sigev_un._tid = (int)syscall(SYS_gettid);
	timer_create(CLOCK_MONOTONIC, &ev, &t);
	timer_settime(t, 0, &(struct itimerspec){ { 0, 0 }, { 0, 1000000 } }, NULL);
	until(1);
	show("timer to a thread", 0);
	timer_delete(t);
	ev._sigev_un._tid = 1;
	C(SYS_timer_create, CLOCK_MONOTONIC, &ev, &t);
	ev.sigev_notify = 77;
	C(SYS_timer_create, CLOCK_MONOTONIC, &ev, &t);
	ev = (struct sigevent){ .sigev_notify = SIGEV_SIGNAL, .sigev_signo = 99 };
	C(SYS_timer_create, CLOCK_MONOTONIC, &ev, &t);
	C(SYS_timer_create, 99, NULL, &t);
	C(SYS_timer_gettime, 1234, &ev);
	C(SYS_timer_delete, 1234);
	handle(SIGPIPE, 0);
	int p[2];
	(void)!pipe(p);
	close(p[0]);
	C(SYS_write, p[1], "x", 1);
	show("pipe", 0);
	handle(SIGIO, 0);
	(void)!pipe(p);
	fcntl(p[0], F_SETOWN, getpid());
	fcntl(p[0], F_SETFL, O_ASYNC | O_NONBLOCK);
	(void)!write(p[1], "x", 1);
	until(1);
	printf("  io: %d sig %d\n", count, last.si_signo);
	count = 0;
	fcntl(p[0], F_SETSIG, SIGRTMIN + 3);
	handle(SIGRTMIN + 3, 0);
	(void)!write(p[1], "x", 1);
	until(1);
	printf("  io: %d sig %d code %d fd %d\n", count, last.si_signo - SIGRTMIN, last.si_code, last.si_fd == p[0]);
	count = 0;
	pid_t kid = fork();
	if (!kid) {
		sigqueue(getppid(), SIGUSR1, (union sigval){ 9 });
		_exit(0);
	}
	waitpid(kid, NULL, 0);
	until(1);
	show("child's sigqueue", kid);
}

static void queues(void)
{
	sigset_t both = set_of(SIGRTMIN, SIGRTMIN + 1), s, old;
	siginfo_t si;
	puts("-- queues");
	handle(SIGRTMIN, 0);
	handle(SIGRTMIN + 1, 0);
	sigprocmask(SIG_BLOCK, &both, &old);
	for (int i = 1; i <= 3; i++) {
		sigqueue(getpid(), SIGRTMIN + 1, (union sigval){ i });
		sigqueue(getpid(), SIGRTMIN, (union sigval){ i });
	}
	sigpending(&s);
	printf("  pending %d %d %d\n", sigismember(&s, SIGRTMIN), sigismember(&s, SIGRTMIN + 1), sigismember(&s, SIGUSR1));
	sigprocmask(SIG_SETMASK, &old, NULL);
	/* each handler is entered on top of the last, so the last delivered runs first */
	printf("  %d:", count);
	for (int i = 0; i < count; i++)
		printf(" %d", order[i]);
	puts("");
	count = 0;
	sigprocmask(SIG_BLOCK, &both, NULL);
	sigset_t usr = set_of(SIGUSR1, SIGUSR2);
	sigprocmask(SIG_BLOCK, &usr, NULL);
	for (int i = 0; i < 3; i++)
		kill(getpid(), SIGUSR1);
	for (int i = 0; i < 3; i++)
		sigqueue(getpid(), SIGRTMIN, (union sigval){ i });
	struct timespec zero = { 0, 0 }, wait = { 0, 2000000 };
	printf("  wait %d\n", sigtimedwait(&usr, &si, &zero) == SIGUSR1 && si.si_code == SI_USER);
	int none_left = sigtimedwait(&usr, &si, &zero);
	printf("  again %d %s\n", none_left, strerrorname_np(errno));
	for (int i = 0; i < 4; i++) {
		int r = sigtimedwait(&both, &si, &wait);
		printf("  real-time %d value %d\n", r < 0 ? -1 : r - SIGRTMIN, r < 0 ? 0 : si.si_value.sival_int);
	}
	C(SYS_rt_sigtimedwait, &both, &si, &((struct timespec){ -1, 0 }), 8);
	C(SYS_rt_sigtimedwait, &both, &si, &((struct timespec){ 0, 1000000000 }), 8);
	C(SYS_rt_sigtimedwait, &both, &si, &zero, 4);
	struct rlimit rl, was;
	getrlimit(RLIMIT_SIGPENDING, &was);
	rl = (struct rlimit){ 5, was.rlim_max };
	if (!setrlimit(RLIMIT_SIGPENDING, &rl)) {
		int n = 0;
		while (n < 100 && !sigqueue(getpid(), SIGRTMIN, (union sigval){ n }))
			n++;
		printf("  full: %s, fewer than six %d\n", strerrorname_np(errno), n < 6);
		C(SYS_kill, getpid(), SIGUSR1);
		setrlimit(RLIMIT_SIGPENDING, &was);
		while (sigtimedwait(&both, &si, &zero) > 0)
			;
		sigtimedwait(&usr, &si, &zero);
	}
	int sfd = signalfd(-1, &both, SFD_NONBLOCK);
	struct signalfd_siginfo fi[4];
	sigqueue(getpid(), SIGRTMIN + 1, (union sigval){ 41 });
	sigqueue(getpid(), SIGRTMIN, (union sigval){ 42 });
	printf("  signalfd %zd", read(sfd, fi, sizeof fi) / (ssize_t)sizeof fi[0]);
	printf(" %d %d %d\n", (int)fi[0].ssi_signo - SIGRTMIN, fi[0].ssi_int, fi[1].ssi_int);
	C(SYS_read, sfd, fi, sizeof fi);
	C(SYS_read, sfd, fi, 10L);
	C(SYS_signalfd4, -1, &both, 4L, 0L);
	C(SYS_signalfd4, -1, &both, 8L, 0x1000000L);
	C(SYS_signalfd4, 0, &both, 8L, 0L);
	close(sfd);
	sigprocmask(SIG_SETMASK, &old, NULL);
	handle(SIGUSR1, SA_RESETHAND);
	kill(getpid(), SIGUSR1);
	struct sigaction sa;
	sigaction(SIGUSR1, NULL, &sa);
	printf("  reset %d\n", sa.sa_handler == SIG_DFL);
	count = 0;
}

static void errors(void)
{
	puts("-- errors");
	C(SYS_kill, getpid(), 65);
	C(SYS_kill, getpid(), -1);
	C(SYS_kill, getpid(), 0);
	C(SYS_kill, 99999999, 0);
	C(SYS_kill, -99999999, 0);
	C(SYS_kill, 0x80000000, 0);
	C(SYS_tkill, 0, 0);
	C(SYS_tkill, -1, 0);
	C(SYS_tkill, 99999999, 0);
	C(SYS_tgkill, getpid(), -1, 0);
	C(SYS_tgkill, -1, getpid(), 0);
	C(SYS_tgkill, getpid(), 99999999, 0);
	C(SYS_tgkill, getpid(), 1, 0);
	C(SYS_tgkill, getpid(), getpid(), 65);
	C(SYS_rt_sigaction, 0, NULL, NULL, 8);
	C(SYS_rt_sigaction, 65, NULL, NULL, 8);
	C(SYS_rt_sigaction, SIGKILL, &((struct sigaction){ 0 }), NULL, 8);
	C(SYS_rt_sigaction, SIGSTOP, &((struct sigaction){ 0 }), NULL, 8);
	C(SYS_rt_sigaction, SIGKILL, NULL, &((struct sigaction){ 0 }), 8);
	C(SYS_rt_sigaction, SIGUSR1, NULL, NULL, 7);
	C(SYS_rt_sigprocmask, 9, good, NULL, 8);
	C(SYS_rt_sigprocmask, 9, NULL, NULL, 8);
	C(SYS_rt_sigprocmask, 0, good, NULL, 16);
	C(SYS_rt_sigpending, good, 9);
	C(SYS_rt_sigsuspend, good, 4);
	C(SYS_sigaltstack, &((stack_t){ good, 0, 100 }), NULL);
	C(SYS_sigaltstack, &((stack_t){ good, 77, 8192 }), NULL);
	C(SYS_sigaltstack, &((stack_t){ NULL, SS_DISABLE, 0 }), NULL);
	C(SYS_pidfd_send_signal, -1, 0, NULL, 0);
	C(SYS_pidfd_send_signal, 0, 0, NULL, 0);
	C(SYS_pidfd_open, getpid(), 77);
	C(SYS_pidfd_open, -1, 0);
	C(SYS_pidfd_open, 99999999, 0);
	siginfo_t si = { .si_signo = SIGUSR2, .si_code = SI_USER };
	C(SYS_rt_sigqueueinfo, 1, 0, &si);
	si.si_code = SI_QUEUE;
	C(SYS_rt_sigqueueinfo, getpid(), 0, &si);
	C(SYS_rt_sigqueueinfo, getpid(), 77, &si);
	C(SYS_rt_tgsigqueueinfo, getpid(), -1, 0, &si);
	C(SYS_setitimer, 9, good, NULL);
	C(SYS_setitimer, ITIMER_REAL, &((struct itimerval){ { 0, 0 }, { 0, 1000000 } }), NULL);
	C(SYS_getitimer, 9, good);
	if (!fork()) {
		if (!setresuid(65534, 65534, 65534)) {
			C(SYS_kill, 1, 0);
			C(SYS_kill, getppid(), 0);
			C(SYS_kill, -1, 0);
		}
		fflush(stdout);
		_exit(0);
	}
	wait(NULL);
}

static int wait_for(pid_t pid, int options, const char *what)
{
	int st = 0;
	pid_t r = waitpid(pid, &st, options);
	printf("  %s: %s", what, r == pid ? "child" : r ? strerrorname_np(errno) : "0");
	if (r > 0)
		printf(" %s %d", WIFSTOPPED(st) ? "stopped" : WIFCONTINUED(st) ? "continued" : WIFEXITED(st) ? "exited" : "killed",
		       WIFSTOPPED(st) ? WSTOPSIG(st) : WIFCONTINUED(st) ? 0 : WIFEXITED(st) ? WEXITSTATUS(st) : WTERMSIG(st));
	puts("");
	return st;
}

static void children(void)
{
	siginfo_t si;
	puts("-- children");
	handle(SIGCHLD, 0);
	pid_t kid = fork();
	if (!kid)
		for (;;)
			pause();
	kill(kid, SIGSTOP);
	until(1);
	show("stopped", kid);
	wait_for(kid, WUNTRACED, "stopped");
	wait_for(kid, WUNTRACED | WNOHANG, "once only");
	kill(kid, SIGCONT);
	until(1);
	show("continued", kid);
	wait_for(kid, WCONTINUED, "continued");
	kill(kid, SIGTSTP);
	memset(&si, 0, sizeof si);
	waitid(P_PID, (id_t)kid, &si, WSTOPPED | WNOWAIT);
	printf("  waitid: code %d status %d\n", si.si_code, si.si_status);
	waitid(P_PID, (id_t)kid, &si, WSTOPPED);
	printf("  waitid: code %d status %d\n", si.si_code, si.si_status);
	kill(kid, SIGKILL);
	waitid(P_PID, (id_t)kid, &si, WEXITED | WNOWAIT);
	printf("  waitid: code %d status %d\n", si.si_code, si.si_status);
	wait_for(kid, 0, "killed");
	wait_for(kid, 0, "gone");
	count = 0;
	handle(SIGCHLD, SA_NOCLDSTOP);
	kid = fork();
	if (!kid)
		for (;;)
			pause();
	kill(kid, SIGSTOP);
	wait_for(kid, WUNTRACED, "stopped");
	printf("  told %d\n", count);
	kill(kid, SIGCONT);
	kill(kid, SIGTERM);
	until(1);
	show("terminated", kid);
	wait_for(kid, 0, "terminated");
	handle(SIGCHLD, SA_NOCLDWAIT);
	kid = fork();
	if (!kid)
		_exit(3);
	until(1);
	show("without waiting", kid);
	wait_for(kid, 0, "no zombie");
	signal(SIGCHLD, SIG_IGN);
	kid = fork();
	if (!kid)
		_exit(3);
	wait_for(kid, 0, "ignored");
	signal(SIGCHLD, SIG_DFL);
	/* a group */
	kid = fork();
	if (!kid) {
		setpgid(0, 0);
		if (!fork())
			for (;;)
				pause();
		int st;
		signal(SIGTERM, SIG_IGN);
		wait(&st);
		_exit(WTERMSIG(st));
	}
	setpgid(kid, kid);
	nap(20);
	C(SYS_kill, -kid, SIGTERM);
	wait_for(kid, 0, "group");
}

static void inherited(void)
{
	sigset_t usr = set_of(SIGUSR1, SIGUSR2), s;
	puts("-- fork and exec");
	signal(SIGUSR2, SIG_IGN);
	handle(SIGUSR1, 0);
	sigprocmask(SIG_BLOCK, &usr, NULL);
	kill(getpid(), SIGUSR1);
	fflush(stdout);
	if (!fork()) {
		sigpending(&s);
		printf("  child: pending %d", sigismember(&s, SIGUSR1));
		sigprocmask(0, NULL, &s);
		struct sigaction a, b;
		sigaction(SIGUSR1, NULL, &a);
		sigaction(SIGUSR2, NULL, &b);
		printf(" blocked %d handled %d ignored %d\n", sigismember(&s, SIGUSR1), a.sa_sigaction == note, b.sa_handler == SIG_IGN);
		fflush(stdout);
		execl("/bin/sh", "sh", "-c", "grep -E '^Sig(Blk|Ign|Cgt)|^ShdPnd' /proc/self/status", NULL);
	}
	wait(NULL);
	sigpending(&s);
	printf("  parent: pending %d\n", sigismember(&s, SIGUSR1));
	sigprocmask(SIG_UNBLOCK, &usr, NULL);
	count = 0;
	/* a death signal */
	int p[2];
	char c = '-';
	(void)!pipe(p);
	fflush(stdout);
	if (!fork()) {
		pid_t mid = getpid();
		if (!fork()) {
			sigset_t t = set_of(SIGUSR1, 0);
			siginfo_t si;
			sigprocmask(SIG_BLOCK, &t, NULL);
			prctl(PR_SET_PDEATHSIG, SIGUSR1);
			(void)!write(p[1], getppid() == mid ? "r" : "n", 1);
			c = sigtimedwait(&t, &si, &(struct timespec){ 5, 0 }) == SIGUSR1 ? 'y' : 'n';
			(void)!write(p[1], &c, 1);
			_exit(0);
		}
		(void)!read(p[0], &c, 1);
		_exit(0);
	}
	wait(NULL);
	(void)!read(p[0], &c, 1);
	printf("  parent died: %c\n", c);
	C(SYS_prctl, PR_SET_PDEATHSIG, 65, 0, 0, 0);
	C(SYS_prctl, PR_SET_PDEATHSIG, -1, 0, 0, 0);
}

int main(void)
{
	transcript_begin();
	senders();
	queues();
	errors();
	children();
	inherited();
	return 0;
}
