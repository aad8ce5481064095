/* SPDX-License-Identifier: MIT */
/* sys_time.c - sleeping, timers, and signals that end a call or do not */
#include "transcript.h"

#include <pthread.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/times.h>
#include <time.h>

static volatile int handled;
static void on_signal(int s) { handled++; }

static void handle(int signo, int flags)
{
	struct sigaction sa = { .sa_handler = on_signal, .sa_flags = flags };
	handled = 0;
	sigaction(signo, &sa, NULL);
}

static void alarm_in(long usec)
{
	struct itimerval it = { .it_value = { 0, usec } };
	setitimer(ITIMER_REAL, &it, NULL);
}

static void sleeps(void)
{
	struct timespec ts = { 0, 1000 }, rem = { 7, 7 };
	puts("-- sleep");
	C(SYS_nanosleep, &ts, &rem);
	printf("  %ld %ld\n", (long)rem.tv_sec, rem.tv_nsec);
	C(SYS_nanosleep, none, &rem);
	C(SYS_nanosleep, NULL, NULL);
	C(SYS_nanosleep, &ts, none);
	ts.tv_nsec = 1000000000;
	C(SYS_nanosleep, &ts, NULL);
	for (int restart = 0; restart < 2; restart++) {
		handle(SIGALRM, restart ? SA_RESTART : 0);
		ts = (struct timespec){ 100, 0 };
		alarm_in(20000);
		C(SYS_nanosleep, &ts, &rem);
		printf("  handled %d, 99 left: %d\n", handled, rem.tv_sec == 99);
	}
	alarm_in(20000);
	C(SYS_nanosleep, &ts, none);
	alarm_in(20000);
	C(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &ts, &rem);
	printf("  handled %d, 99 left: %d\n", handled, rem.tv_sec == 99);
	clock_gettime(CLOCK_MONOTONIC, &ts);
	C(SYS_clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL);
	ts.tv_sec += 100;
	alarm_in(20000);
	C(SYS_clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL);
	C(SYS_clock_nanosleep, 777, 0, &ts, NULL);
	C(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, none, NULL);
}

static void clocks(void)
{
	struct timespec ts;
	struct timeval tv;
	struct tms tms;
	time_t t;
	puts("-- clocks");
	C(SYS_clock_gettime, CLOCK_MONOTONIC, &ts);
	C(SYS_clock_gettime, CLOCK_MONOTONIC, none);
	C(SYS_clock_gettime, CLOCK_MONOTONIC, ro);
	C(SYS_clock_gettime, 777, &ts);
	C(SYS_clock_getres, CLOCK_MONOTONIC, &ts);
	C(SYS_clock_getres, CLOCK_MONOTONIC, NULL);
	C(SYS_clock_getres, CLOCK_MONOTONIC, none);
	C(SYS_clock_settime, CLOCK_MONOTONIC, none);
	C(SYS_clock_settime, CLOCK_MONOTONIC, &ts);
	C(SYS_gettimeofday, &tv, NULL);
	C(SYS_gettimeofday, none, NULL);
	C(SYS_gettimeofday, NULL, none);
	OK(SYS_time, NULL);
	OK(SYS_time, &t);
	C(SYS_time, none);
	OK(SYS_times, &tms);
	C(SYS_times, none);
	printf("  vdso %d %d\n", clock_gettime(CLOCK_REALTIME, &ts), gettimeofday(&tv, NULL));
}

static void timers(void)
{
	struct itimerval it = { .it_value = { 100, 0 } }, old;
	struct itimerspec its = { .it_value = { 0, 5000000 } }, was;
	struct sigevent ev = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1, .sigev_value.sival_int = 42 };
	int id;
	puts("-- timers");
	C(SYS_setitimer, ITIMER_REAL, &it, NULL);
	C(SYS_getitimer, ITIMER_REAL, &old);
	printf("  99 left: %d\n", old.it_value.tv_sec == 99);
	C(SYS_getitimer, ITIMER_REAL, none);
	C(SYS_getitimer, 9, &old);
	C(SYS_setitimer, ITIMER_REAL, none, &old);
	C(SYS_setitimer, ITIMER_REAL, &it, none);
	C(SYS_alarm, 50);
	C(SYS_alarm, 0);
	C(SYS_timer_create, CLOCK_MONOTONIC, none, &id);
	C(SYS_timer_create, CLOCK_MONOTONIC, &ev, none);
	C(SYS_timer_create, 777, &ev, &id);
	OK(SYS_timer_create, CLOCK_MONOTONIC, &ev, &id);
	handle(SIGUSR1, 0);
	C(SYS_timer_settime, id, 0, none, NULL);
	C(SYS_timer_settime, id, 0, &its, none);
	C(SYS_timer_settime, id, 0, &its, &was);
	C(SYS_timer_gettime, id, none);
	while (!handled)
		pause();
	printf("  handled %d\n", handled);
	C(SYS_timer_gettime, id, &was);
	C(SYS_timer_getoverrun, id);
	C(SYS_timer_delete, id);
	C(SYS_timer_delete, id);
	C(SYS_timer_gettime, 9999, none);
}

/* Calls that sleep: what a handler with and without SA_RESTART does to each. */
struct sleeper { pthread_t main; int fd, after; };

static void *later(void *arg)
{
	struct sleeper *s = arg;
	for (int i = 0; i < 3; i++) {
		usleep(30000);
		pthread_kill(s->main, SIGUSR2);
	}
	usleep(30000);
	if (s->after)
		(void)!write(s->fd, "done", 4);
	return NULL;
}

static void interrupted(const char *what, int flags, int pair[2], long (*call)(int fd))
{
	struct sleeper s = { pthread_self(), pair[1], flags & SA_RESTART };
	pthread_t th;
	sigset_t set, old;
	handle(SIGUSR2, flags);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	pthread_sigmask(SIG_BLOCK, &set, &old);
	pthread_create(&th, NULL, later, &s);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	errno = 0;
	long r = call(pair[0]);
	printf("%s, %s = %s, handled %s\n", what, flags & SA_RESTART ? "restarting" : "not", answer(r),
	       handled == 3 ? "all" : handled ? "some" : "none");
	pthread_join(th, NULL);
}

static char buf[100];
static long do_read(int fd) { return syscall(SYS_read, fd, buf, 100); }
static long do_recv(int fd) { return syscall(SYS_recvfrom, fd, buf, 100, 0, NULL, NULL); }
static long do_recv_timeo(int fd)
{
	struct timeval tv = { 20, 0 };
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
	return do_recv(fd);
}
static long do_recvmsg(int fd)
{
	struct iovec v = { buf, 100 };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1 };
	struct timeval tv = { 0, 0 };
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
	return syscall(SYS_recvmsg, fd, &m, 0);
}
static long do_sigsuspend(int fd)
{
	uint64_t set = 0;
	return syscall(SYS_rt_sigsuspend, &set, 8);
}
static long do_pause(int fd) { return syscall(SYS_pause); }

static void interruptions(void)
{
	static const struct { const char *what; long (*call)(int); bool restarts; } t[] = {
		{ "read", do_read, true }, { "recvfrom", do_recv, true }, { "recvfrom with timeout", do_recv_timeo, false },
		{ "recvmsg", do_recvmsg, true }, { "rt_sigsuspend", do_sigsuspend, false }, { "pause", do_pause, false },
	};
	int sv[2];
	puts("-- interruptions");
	(void)!socketpair(AF_UNIX, SOCK_STREAM, 0, sv);
	for (unsigned i = 0; i < sizeof t / sizeof t[0]; i++) {
		interrupted(t[i].what, 0, sv, t[i].call);
		interrupted(t[i].what, SA_RESTART, sv, t[i].call);
		fcntl(sv[0], F_SETFL, O_NONBLOCK);
		while (read(sv[0], buf, 100) > 0)
			;
		fcntl(sv[0], F_SETFL, 0);
	}
}

/* A write that is cut off has written something. */
static void partial_write(void)
{
	static char big[1 << 20];
	int p[2];
	puts("-- partial write");
	(void)!pipe(p);
	handle(SIGALRM, 0);
	alarm_in(30000);
	C(SYS_write, p[1], big, sizeof big);
	printf("  handled %d\n", handled);
	alarm_in(30000);
	C(SYS_write, p[1], big, sizeof big);
	printf("  handled %d\n", handled);
}

int main(void)
{
	transcript_begin();
	sleeps();
	clocks();
	timers();
	interruptions();
	partial_write();
	return 0;
}
