/* SPDX-License-Identifier: MIT */
/* sig_restart.c - what a handler does to a call that sleeps: EINTR, or begun anew with SA_RESTART, and what is left of the time
 *
 * Another thread sends the signal until the call is over, then makes the call's wish come true. */
#include "signals.h"

#include <linux/futex.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/wait.h>

static volatile int handled, sending, done;
static bool fulfils;
static pthread_t main_thread;
static int pipe_[2], sock[2], listener, efd, tfd, epfd, word;
static char name[108];

static void on_usr1(int signo, siginfo_t *si, void *ctx) { __atomic_add_fetch(&handled, 1, __ATOMIC_RELEASE); }

/* What a waiting call waits for. */
static void fulfil(void)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	uint64_t one = 1;
	static int client = -1;
	strcpy(sa.sun_path, name);
	(void)!write(pipe_[1], "x", 1);
	(void)!write(sock[1], "y", 1);
	(void)!write(efd, &one, 8);
	__atomic_store_n(&word, 1, __ATOMIC_RELEASE);
	syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1);
	close(client);
	client = socket(AF_UNIX, SOCK_STREAM, 0);
	connect(client, (void *)&sa, sizeof sa);
}

static void *sender(void *arg)
{
	for (;;) {
		while (!arrived(sending))
			nap_ms(1);
		nap_ms(3);
		/* at least one signal while it sleeps; then, if it goes on sleeping, what it waits for */
		for (int i = 0; i < 3 && !arrived(done); i++) {
			pthread_kill(main_thread, SIGUSR1);
			nap_ms(2);
		}
		if (!arrived(done) && fulfils)
			fulfil();
		while (!arrived(done)) { /* whoever was late to sleep */
			nap_ms(5);
			pthread_kill(main_thread, SIGUSR1);
		}
		__atomic_store_n(&sending, 0, __ATOMIC_RELEASE);
	}
	return arg;
}

static void drain(void)
{
	char b[64];
	uint64_t v;
	while (read(pipe_[0], b, sizeof b) > 0)
		;
	while (recv(sock[0], b, sizeof b, MSG_DONTWAIT) > 0)
		;
	while (read(efd, &v, 8) > 0)
		;
	int c;
	while ((c = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0)
		close(c);
	word = 0;
}

static void set_blocking(bool yes)
{
	int all[] = { pipe_[0], efd, listener };
	for (unsigned i = 0; i < 3; i++)
		fcntl(all[i], F_SETFL, (fcntl(all[i], F_GETFL) & ~O_NONBLOCK) | (yes ? 0 : O_NONBLOCK));
}

#define SLEEPS(...) sleeps(#__VA_ARGS__, ({ begin(); errno = 0; (long)syscall(__VA_ARGS__); }), false)
#define SLEEPS_OK(...) sleeps(#__VA_ARGS__, ({ begin(); errno = 0; (long)syscall(__VA_ARGS__); }), true)

static void begin(void)
{
	handled = 0;
	done = 0;
	__atomic_store_n(&sending, 1, __ATOMIC_RELEASE);
}

static void sleeps(const char *text, long r, bool fd)
{
	int e = errno;
	__atomic_store_n(&done, 1, __ATOMIC_RELEASE);
	while (arrived(sending))
		nap_ms(1);
	errno = e;
	printf("%s = %s, %s\n", text + 4, fd && r >= 0 ? "ok" : answer(r), handled ? "handled" : "not handled");
	if (fd && r >= 0)
		close((int)r);
	set_blocking(false);
	drain();
	set_blocking(true);
}

static void calls(void)
{
	char b[16];
	struct iovec v = { b, sizeof b };
	struct msghdr mh = { .msg_iov = &v, .msg_iovlen = 1 };
	struct pollfd pf = { .fd = pipe_[0], .events = POLLIN };
	struct epoll_event ev;
	struct timespec sec = { 3, 0 }, left = { 0, 0 };
	struct timeval tv = { 3, 0 };
	fd_set fds;
	sigset_t empty, u2 = set_of(SIGUSR2, 0);
	sigemptyset(&empty);
	int fifo = mkfifo("fifo", 0600);
	SLEEPS(SYS_read, pipe_[0], b, 1);
	SLEEPS(SYS_readv, pipe_[0], &v, 1);
	SLEEPS(SYS_read, efd, b, 8);
	SLEEPS(SYS_recvfrom, sock[0], b, 1, 0, NULL, NULL);
	SLEEPS(SYS_recvmsg, sock[0], &mh, 0);
	SLEEPS_OK(SYS_accept, listener, NULL, NULL);
	SLEEPS_OK(SYS_accept4, listener, NULL, NULL, 0);
	SLEEPS(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, NULL);
	SLEEPS(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, &sec);
	SLEEPS(SYS_futex, &word, FUTEX_WAIT_BITSET_PRIVATE, 0, NULL, NULL, -1);
	SLEEPS(SYS_poll, &pf, 1, 3000);
	SLEEPS(SYS_ppoll, &pf, 1, &sec, NULL, 8);
	SLEEPS(SYS_ppoll, &pf, 1, NULL, &empty, 8);
	FD_ZERO(&fds); FD_SET(pipe_[0], &fds);
	SLEEPS(SYS_select, pipe_[0] + 1, &fds, NULL, NULL, &tv);
	FD_ZERO(&fds); FD_SET(pipe_[0], &fds);
	SLEEPS(SYS_pselect6, pipe_[0] + 1, &fds, NULL, NULL, NULL, NULL);
	SLEEPS(SYS_epoll_wait, epfd, &ev, 1, 3000);
	SLEEPS(SYS_epoll_pwait, epfd, &ev, 1, 3000, &empty, 8);
	SLEEPS(SYS_nanosleep, &sec, &left);
	printf("  left %d\n", left.tv_sec == 2 || left.tv_sec == 1);
	SLEEPS(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &sec, &left);
	printf("  left %d\n", left.tv_sec == 2 || left.tv_sec == 1);
	SLEEPS(SYS_rt_sigsuspend, &empty, 8);
	SLEEPS(SYS_pause);
	SLEEPS(SYS_rt_sigtimedwait, &u2, NULL, &sec, 8);
	(void)fifo;
}

static void fill_pipe(void)
{
	static char page[PG];
	fcntl(pipe_[1], F_SETFL, O_NONBLOCK);
	while (write(pipe_[1], page, sizeof page) > 0)
		;
	fcntl(pipe_[1], F_SETFL, 0);
}

/* Calls that nobody fulfils: only without SA_RESTART. */
static void endless(void)
{
	int m = msgget(IPC_PRIVATE, 0600), s = semget(IPC_PRIVATE, 1, 0600);
	struct { long type; char text[8]; } msg;
	struct sembuf op = { 0, -1, 0 };
	sigset_t u2 = set_of(SIGUSR2, 0);
	uint64_t v;
	struct flock fl = { .l_type = F_WRLCK };
	SLEEPS(SYS_open, "fifo", O_RDONLY);
	SLEEPS(SYS_read, tfd, &v, 8);
	pthread_sigmask(SIG_BLOCK, &u2, NULL);
	int sfd = signalfd(-1, &u2, 0);
	struct signalfd_siginfo ssi;
	SLEEPS(SYS_read, sfd, &ssi, sizeof ssi);
	raise(SIGUSR2);
	C(SYS_read, sfd, &ssi, sizeof ssi);
	printf("  signal %s code %d\n", name_of((int)ssi.ssi_signo), ssi.ssi_code);
	close(sfd);
	pthread_sigmask(SIG_UNBLOCK, &u2, NULL);
	SLEEPS(SYS_msgrcv, m, &msg, 8, 0, 0);
	SLEEPS(SYS_semop, s, &op, 1);
	msgctl(m, IPC_RMID, NULL);
	semctl(s, 0, IPC_RMID);
	int a = open("lock", O_RDWR | O_CREAT, 0600), b = open("lock", O_RDWR);
	flock(a, LOCK_EX);
	SLEEPS(SYS_flock, b, LOCK_EX);
	flock(a, LOCK_UN);
	fcntl(a, F_OFD_SETLK, &fl);
	SLEEPS(SYS_fcntl, b, F_OFD_SETLKW, &fl);
	close(a);
	close(b);
	fill_pipe();
	SLEEPS(SYS_write, pipe_[1], &v, 8);
	/* part of it goes out before the signal: the short count */
	static char big[65536];
	fill_pipe();
	(void)!read(pipe_[0], big, 8192);
	SLEEPS(SYS_write, pipe_[1], big, sizeof big);
}

static volatile int alarms;
static void on_alarm(int signo, siginfo_t *si, void *ctx)
{
	alarms++;
	if (si->si_code == SI_TIMER)
		alarms += si->si_value.sival_int;
}

static void timers(void)
{
	struct itimerval it = { .it_value = { 0, 50000 } }, old;
	struct sigevent ev = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN, .sigev_value.sival_int = 1000 };
	struct itimerspec its = { .it_value = { 0, 50000000 } };
	struct timespec sec = { 3, 0 };
	timer_t timer;
	puts("-- timers");
	on(SIGALRM, on_alarm, 0);
	on(SIGRTMIN, on_alarm, 0);
	setitimer(ITIMER_REAL, &it, NULL);
	C(SYS_nanosleep, &sec, NULL);
	printf("  alarms %d\n", alarms);
	timer_create(CLOCK_MONOTONIC, &ev, &timer);
	timer_settime(timer, 0, &its, NULL);
	C(SYS_nanosleep, &sec, NULL);
	printf("  alarms %d\n", alarms);
	timer_delete(timer);
	printf("alarm %u\n", alarm(100));
	getitimer(ITIMER_REAL, &old);
	printf("alarm left %d\n", old.it_value.tv_sec >= 98);
	printf("alarm %d\n", alarm(0) >= 99);
	on(SIGVTALRM, on_alarm, 0);
	alarms = 0;
	it.it_interval = it.it_value = (struct timeval){ 0, 2000 };
	setitimer(ITIMER_VIRTUAL, &it, NULL);
	while (alarms < 3)
		;
	memset(&it, 0, sizeof it);
	setitimer(ITIMER_VIRTUAL, &it, NULL);
	puts("virtual timer");
}

/* Ignored signals and blocked ones interrupt nothing, the three that the kernel itself lives by included. */
static void *nuisance(void *arg)
{
	for (int i = 0; i < 5; i++) {
		nap_ms(2);
		pthread_kill(main_thread, (int)(long)arg);
	}
	nap_ms(2);
	fulfil();
	return NULL;
}

static void undisturbed(int signo, bool blocked)
{
	pthread_t t;
	char b;
	printf("-- %s %s\n", name_of(signo), blocked ? "blocked" : "ignored");
	on(signo, on_usr1, 0);
	if (blocked)
		block(signo);
	else
		signal(signo, SIG_IGN);
	handled = 0;
	pthread_create(&t, NULL, nuisance, (void *)(long)signo);
	C(SYS_read, pipe_[0], &b, 1);
	pthread_join(t, NULL);
	set_blocking(false);
	drain();
	set_blocking(true);
	pthread_create(&t, NULL, nuisance, (void *)(long)signo);
	struct epoll_event ev;
	C(SYS_epoll_wait, epfd, &ev, 1, 3000);
	pthread_join(t, NULL);
	set_blocking(false);
	drain();
	set_blocking(true);
	if (blocked)
		unblock(signo);
	printf("  handled %d\n", handled);
	signal(signo, SIG_DFL);
}

int main(void)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	struct epoll_event ev = { .events = EPOLLIN };
	pthread_t t;
	transcript_begin();
	main_thread = pthread_self();
	if (pipe(pipe_) || socketpair(AF_UNIX, SOCK_STREAM, 0, sock))
		abort();
	efd = eventfd(0, 0);
	tfd = timerfd_create(CLOCK_MONOTONIC, 0);
	epfd = epoll_create1(0);
	epoll_ctl(epfd, EPOLL_CTL_ADD, pipe_[0], &ev);
	listener = socket(AF_UNIX, SOCK_STREAM, 0);
	snprintf(name, sizeof name, "%s/socket", scratch_dir);
	strcpy(sa.sun_path, name);
	if (bind(listener, (void *)&sa, sizeof sa) || listen(listener, 5))
		abort();
	sigset_t all, old; /* a timer prefers the thread that runs when it expires */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	pthread_create(&t, NULL, sender, NULL);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	on(SIGUSR1, on_usr1, 0);
	puts("-- without SA_RESTART");
	calls();
	endless();
	puts("-- with SA_RESTART");
	on(SIGUSR1, on_usr1, SA_RESTART);
	fulfils = true;
	set_blocking(false);
	char b[4096];
	while (read(pipe_[0], b, sizeof b) > 0)
		;
	set_blocking(true);
	calls();
	undisturbed(SIGUSR1, false);
	undisturbed(SIGUSR1, true);
	undisturbed(SIGSEGV, false);
	undisturbed(SIGSEGV, true);
	undisturbed(SIGSYS, true);
	undisturbed(SIGBUS, false);
	timers();
	unlink("socket");
	unlink("fifo");
	unlink("lock");
	return 0;
}
