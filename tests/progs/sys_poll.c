/* SPDX-License-Identifier: MIT */
/* sys_poll.c - waiting for descriptors, with bad arrays, bad timeouts, signal sets and interruptions */
#include "transcript.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <time.h>

static int p[2];
static volatile int handled;

static void on_alarm(int s) { handled++; }

static void alarm_soon(bool restart)
{
	struct sigaction sa = { .sa_handler = on_alarm, .sa_flags = restart ? SA_RESTART : 0 };
	struct itimerval it = { .it_value = { 0, 30000 } };
	handled = 0;
	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &it, NULL);
}

static void polls(void)
{
	struct pollfd f[3] = { { p[0], POLLIN, 77 }, { p[1], POLLOUT, 77 }, { 555, POLLIN, 77 } };
	struct timespec ts = { 0, 1000000 };
	puts("-- poll");
	C(SYS_poll, f, 3, 0);
	printf("  %x %x %x\n", f[0].revents, f[1].revents, f[2].revents);
	f[2].fd = -1;
	C(SYS_poll, f, 3, 100);
	C(SYS_poll, f, 1, 1);
	C(SYS_poll, none, 1, 0);
	C(SYS_poll, none, 0, 0);
	C(SYS_poll, NULL, 1, 0);
	C(SYS_poll, f, -1, 0);
	C(SYS_poll, f, 100000000, 0);
	memcpy(edge(12), f, 12);
	C(SYS_poll, edge(12), 2, 0);
	mprotect(ro, PG, PROT_READ | PROT_WRITE);
	memcpy(ro, f, sizeof f);
	mprotect(ro, PG, PROT_READ);
	C(SYS_poll, ro, 2, 0);
	C(SYS_ppoll, f, 1, &ts, NULL, 8);
	printf("  left %d\n", ts.tv_nsec != 0 || ts.tv_sec != 0);
	ts.tv_nsec = -1;
	C(SYS_ppoll, f, 1, &ts, NULL, 8);
	C(SYS_ppoll, f, 1, none, NULL, 8);
	ts = (struct timespec){ 5, 0 };
	C(SYS_ppoll, f + 1, 1, &ts, NULL, 8);
	printf("  left %d\n", ts.tv_sec == 4);
	mprotect(ro, PG, PROT_READ | PROT_WRITE);
	memcpy(ro, &(struct timespec){ 0, 1000000 }, sizeof ts);
	mprotect(ro, PG, PROT_READ);
	C(SYS_ppoll, f, 1, ro, NULL, 8);
	uint64_t set = 0;
	C(SYS_ppoll, f + 1, 1, NULL, &set, 4);
	C(SYS_ppoll, f + 1, 1, NULL, none, 8);
	alarm_soon(true);
	C(SYS_poll, f, 1, -1);
	printf("  handled %d revents %x\n", handled, f[0].revents);
}

static void selects(void)
{
	fd_set r, w, e;
	struct timeval tv = { 0, 1000 };
	int n = (p[0] > p[1] ? p[0] : p[1]) + 1;
	puts("-- select");
	FD_ZERO(&r); FD_ZERO(&w); FD_ZERO(&e);
	FD_SET(p[0], &r), FD_SET(p[1], &w), FD_SET(p[0], &e);
	C(SYS_select, n, &r, &w, &e, &tv);
	printf("  %d %d %d left %d\n", FD_ISSET(p[0], &r), FD_ISSET(p[1], &w), FD_ISSET(p[0], &e), tv.tv_usec != 0);
	FD_SET(p[0], &r);
	tv = (struct timeval){ 0, 1000 };
	C(SYS_select, n, &r, NULL, NULL, &tv);
	printf("  %d\n", FD_ISSET(p[0], &r));
	C(SYS_select, 0, NULL, NULL, NULL, &tv);
	C(SYS_select, -1, NULL, NULL, NULL, &tv);
	C(SYS_select, n, none, NULL, NULL, &tv);
	C(SYS_select, n, NULL, none, NULL, NULL);
	C(SYS_select, n, &r, NULL, NULL, none);
	tv.tv_usec = -1;
	C(SYS_select, n, &r, NULL, NULL, &tv);
	FD_SET(50, &r);
	C(SYS_select, 51, &r, NULL, NULL, NULL);
	mprotect(ro, PG, PROT_READ | PROT_WRITE);
	memcpy(ro, &w, sizeof w);
	mprotect(ro, PG, PROT_READ);
	C(SYS_select, n, NULL, ro, NULL, NULL);
	struct timespec ts = { 3, 0 };
	struct { uint64_t *set; size_t size; } mask = { NULL, 8 };
	uint64_t set = 0;
	C(SYS_pselect6, n, NULL, &w, NULL, &ts, &mask);
	printf("  left %d\n", ts.tv_sec == 2);
	C(SYS_pselect6, n, NULL, &w, NULL, &ts, none);
	mask.set = (uint64_t *)none;
	C(SYS_pselect6, n, NULL, &w, NULL, &ts, &mask);
	mask.set = &set, mask.size = 7;
	C(SYS_pselect6, n, NULL, &w, NULL, &ts, &mask);
	FD_ZERO(&r); FD_SET(p[0], &r);
	alarm_soon(true);
	C(SYS_select, n, &r, NULL, NULL, NULL);
	printf("  handled %d still %d\n", handled, FD_ISSET(p[0], &r));
}

static void epolls(void)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLET, .data.u64 = 0x1122334455667788 }, got[4];
	puts("-- epoll");
	C(SYS_epoll_create, 0);
	C(SYS_epoll_create1, 0x333);
	int e = (int)OK(SYS_epoll_create1, EPOLL_CLOEXEC);
	C(SYS_epoll_ctl, e, EPOLL_CTL_ADD, p[0], none);
	C(SYS_epoll_ctl, e, EPOLL_CTL_ADD, p[0], &ev);
	C(SYS_epoll_ctl, e, EPOLL_CTL_ADD, p[0], &ev);
	C(SYS_epoll_ctl, e, EPOLL_CTL_ADD, 600, &ev);
	C(SYS_epoll_ctl, e, EPOLL_CTL_ADD, 1023, &ev);
	C(SYS_epoll_ctl, e, EPOLL_CTL_DEL, p[1], NULL);
	C(SYS_epoll_wait, e, got, 4, 0);
	(void)!write(p[1], "x", 1);
	C(SYS_epoll_wait, e, none, 4, 0); /* an edge that must not be lost */
	memset(good, 0, 2 * PG);
	C(SYS_epoll_wait, e, edge(12), 4, 0);
	printf("  %llx\n", (unsigned long long)((struct epoll_event *)edge(12))->data.u64);
	C(SYS_epoll_wait, e, got, 4, 0);
	C(SYS_epoll_wait, e, got, 0, 0);
	C(SYS_epoll_wait, e, got, -5, 0);
	C(SYS_epoll_wait, e, got, 0x7fffffff, 0);
	C(SYS_epoll_wait, p[0], got, 4, 0);
	C(SYS_epoll_pwait, e, got, 4, 0, NULL, 8);
	uint64_t set = 0;
	C(SYS_epoll_pwait, e, got, 4, 0, &set, 3);
	C(SYS_epoll_pwait, e, got, 4, 0, none, 8);
	struct timespec ts = { 0, 1000 };
	C(SYS_epoll_pwait2, e, got, 4, &ts, &set, 8);
	C(SYS_epoll_pwait2, e, got, 4, none, &set, 8);
	alarm_soon(true);
	C(SYS_epoll_wait, e, got, 4, -1);
	printf("  handled %d\n", handled);
	(void)!read(p[0], got, 1);
	close(e);
}

/* All that is ready is told at once, however much it is. */
static void epoll_crowd(void)
{
	static struct epoll_event got[7000];
	struct epoll_event ev = { .events = EPOLLIN };
	struct rlimit old, all;
	int n = 0, fd, fds[6000], e = epoll_create1(0), ready = eventfd(1, 0);
	puts("-- a crowd");
	getrlimit(RLIMIT_NOFILE, &old);
	all = (struct rlimit){ old.rlim_max, old.rlim_max };
	setrlimit(RLIMIT_NOFILE, &all);
	while (n < 6000 && (fd = dup(ready)) >= 0) {
		epoll_ctl(e, EPOLL_CTL_ADD, fd, &ev);
		fds[n++] = fd;
	}
	printf("  all %d\n", epoll_wait(e, got, 7000, 0) == n);
	while (n)
		close(fds[--n]);
	close(e);
	close(ready);
	setrlimit(RLIMIT_NOFILE, &old);
}

/* A signal that is blocked but for the wait. */
static void with_masks(void)
{
	struct pollfd f = { p[0], POLLIN, 0 };
	struct epoll_event got;
	sigset_t block, old, now;
	int e = epoll_create1(0);
	puts("-- masks");
	sigemptyset(&block);
	sigaddset(&block, SIGALRM);
	sigprocmask(SIG_BLOCK, &block, &old);
	struct sigaction sa = { .sa_handler = on_alarm };
	sigaction(SIGALRM, &sa, NULL);
	for (int i = 0; i < 3; i++) {
		handled = 0;
		raise(SIGALRM);
		printf("  before %d\n", handled);
		if (i == 0)
			C(SYS_ppoll, &f, 1, NULL, &old, 8);
		else if (i == 1)
			C(SYS_epoll_pwait, e, &got, 1, -1, &old, 8);
		else
			C(SYS_pselect6, 0, NULL, NULL, NULL, NULL, (&(struct { void *s; size_t n; }){ &old, 8 }));
		sigprocmask(SIG_BLOCK, NULL, &now);
		printf("  after %d blocked again %d\n", handled, sigismember(&now, SIGALRM));
	}
	struct pollfd out = { p[1], POLLOUT, 0 };
	C(SYS_ppoll, &out, 1, NULL, &old, 8);
	sigprocmask(SIG_BLOCK, NULL, &now);
	printf("  handled %d blocked again %d\n", handled, sigismember(&now, SIGALRM));
	sigprocmask(SIG_SETMASK, &old, NULL);
	close(e);
}

static void event_files(void)
{
	uint64_t v = 5;
	puts("-- eventfd");
	int e = (int)OK(SYS_eventfd2, 3, EFD_NONBLOCK);
	C(SYS_write, e, &v, 8);
	C(SYS_write, e, none, 8);
	C(SYS_write, e, &v, 7);
	C(SYS_read, e, none, 8);
	C(SYS_read, e, &v, 8);
	printf("  %llu\n", (unsigned long long)v);
	C(SYS_read, e, &v, 8);
	C(SYS_eventfd2, 3, 0x7777);
	close(e);

	puts("-- timerfd");
	struct itimerspec it = { .it_value = { 0, 1000000 } }, old;
	int t = (int)OK(SYS_timerfd_create, CLOCK_MONOTONIC, 0);
	C(SYS_timerfd_create, 999, 0);
	C(SYS_timerfd_settime, t, 0, none, NULL);
	C(SYS_timerfd_settime, t, 0, &it, none);
	C(SYS_timerfd_settime, t, 0, &it, &old);
	C(SYS_read, t, &v, 8);
	printf("  %llu\n", (unsigned long long)v);
	C(SYS_timerfd_gettime, t, &old);
	C(SYS_timerfd_gettime, t, none);
	C(SYS_timerfd_gettime, p[0], &old);
	it.it_value.tv_nsec = -1;
	C(SYS_timerfd_settime, t, 0, &it, NULL);
	close(t);

	puts("-- signalfd");
	sigset_t s, prev;
	sigemptyset(&s);
	sigaddset(&s, SIGUSR1);
	sigprocmask(SIG_BLOCK, &s, &prev);
	int f = (int)OK(SYS_signalfd4, -1, &s, 8, SFD_NONBLOCK);
	C(SYS_signalfd4, -1, none, 8, 0);
	C(SYS_signalfd4, -1, &s, 4, 0);
	C(SYS_signalfd4, p[0], &s, 8, 0);
	struct signalfd_siginfo si;
	C(SYS_read, f, &si, sizeof si);
	raise(SIGUSR1);
	C(SYS_read, f, &si, sizeof si);
	printf("  signal %u code %d mine %d\n", si.ssi_signo, si.ssi_code, si.ssi_pid == (uint32_t)getpid());
	sigprocmask(SIG_SETMASK, &prev, NULL);
	close(f);

	puts("-- inotify");
	char buf[500];
	int n = (int)OK(SYS_inotify_init1, IN_NONBLOCK);
	C(SYS_inotify_add_watch, n, none, IN_CREATE);
	C(SYS_inotify_add_watch, n, ".", IN_CREATE);
	C(SYS_inotify_add_watch, n, "nothing", IN_CREATE);
	close(open("made", O_CREAT | O_WRONLY, 0600));
	C(SYS_read, n, none, 500);
	C(SYS_read, n, buf, 10);
	C(SYS_read, n, buf, 500);
	close(open("more", O_CREAT | O_WRONLY, 0600));
	C(SYS_read, n, buf, 500);
	printf("  %s\n", ((struct inotify_event *)buf)->name);
	C(SYS_inotify_rm_watch, n, 1);
	C(SYS_inotify_rm_watch, n, 1);
	close(n);
	unlink("made");
	unlink("more");
}

int main(void)
{
	transcript_begin();
	(void)!pipe(p);
	polls();
	selects();
	epolls();
	epoll_crowd();
	with_masks();
	event_files();
	return 0;
}
