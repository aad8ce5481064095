/* SPDX-License-Identifier: MIT */
/* sweep_world.h - the world in which sweep.h makes its calls: one of each thing that calls work on, made anew before every call */
#ifndef SWEEP_WORLD_H
#define SWEEP_WORLD_H

#include "sweep.h"

#include <mqueue.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>

static int fd, dirfd_, pfd[2], pfull[2], sv[2], dg[2], lst, ep, q, sem, tfd, mq, ino, first_free;
static int the_timer;
static bool want_child, want_signal, want_rights;
static struct sockaddr_un lst_addr;

static const char *const world_names[LOOKS] = {
	"nextfd", "pos", "size", "pipe", "stream", "dgram", "msgs", "sem", "mq", "mask", "handler", "altstack", "child", "pending", "itimer", "timer",
	"tfd", "backlog", "nonblock", "sndbuf", "core", "dirpos", "events",
};

static void drain(int s)
{
	char junk[2048];
	socklen_t len = sizeof(int);
	getsockopt(s, SOL_SOCKET, SO_ERROR, junk, &len); /* recvmmsg may have left one */
	while (recv(s, junk, sizeof junk, MSG_DONTWAIT) >= 0)
		;
}

static void drain_pipe(int p)
{
	char junk[8192];
	int f = fcntl(p, F_GETFL);
	fcntl(p, F_SETFL, f | O_NONBLOCK);
	while (read(p, junk, sizeof junk) > 0)
		;
	fcntl(p, F_SETFL, 0);
}

/* A datagram that brings a descriptor along. */
static void send_rights(void)
{
	char control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec v = { "hello", 5 };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control };
	*CMSG_FIRSTHDR(&m) = (struct cmsghdr){ CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS };
	memcpy(CMSG_DATA(CMSG_FIRSTHDR(&m)), &fd, sizeof fd);
	sendmsg(dg[0], &m, 0);
}

static void queues_reset(void)
{
	struct { long type; char text[64]; } m;
	drain(sv[0]), drain(sv[1]), drain(dg[0]), drain(dg[1]);
	drain_pipe(pfd[0]), drain_pipe(pfull[0]);
	(void)!write(sv[0], "hello", 5);
	if (want_rights)
		send_rights();
	else
		(void)!write(dg[0], "hello", 5);
	(void)!write(dg[0], "second", 6);
	(void)!write(pfd[1], "pipe", 4);
	while (msgrcv(q, &m, 64, 0, IPC_NOWAIT | MSG_NOERROR) >= 0)
		;
	m.type = 3;
	memcpy(m.text, "message", 8);
	msgsnd(q, &m, 8, IPC_NOWAIT);
	while (mq_receive(mq, m.text, 64, NULL) >= 0)
		;
	mq_send(mq, "posted", 6, 1);
	semctl(sem, 0, SETVAL, 5);
	semctl(sem, 1, SETVAL, 0);
}

static void signals_reset(void)
{
	struct timespec zero = { 0, 0 };
	struct sigaction dfl = { .sa_handler = SIG_DFL };
	stack_t off = { .ss_flags = SS_DISABLE };
	sigset_t usr2;
	sigaction(SIGUSR1, &dfl, NULL);
	sigaltstack(&off, NULL);
	sigemptyset(&usr2);
	sigaddset(&usr2, SIGUSR2);
	sigprocmask(SIG_SETMASK, &usr2, NULL);
	while (sigtimedwait(&usr2, NULL, &zero) > 0)
		;
	if (want_signal)
		sigqueue(getpid(), SIGUSR2, (union sigval){ 7 });
}

static void child_reset(void)
{
	siginfo_t si;
	while (waitpid(-1, NULL, WNOHANG | __WALL) > 0)
		;
	if (!want_child)
		return;
	pid_t pid = fork();
	if (!pid)
		_exit(3);
	waitid(P_PID, (id_t)pid, &si, WEXITED | WNOWAIT);
}

static void world_reset(void)
{
	static const struct itimerval none_tv;
	static const struct itimerspec none_ts;
	char junk[512];
	close_range((unsigned)first_free, ~0u, 0);
	queues_reset();
	signals_reset();
	child_reset();
	setitimer(ITIMER_REAL, &none_tv, NULL);
	syscall(SYS_timer_settime, the_timer, 0, &none_ts, NULL);
	timerfd_settime(tfd, 0, &none_ts, NULL);
	setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, RLIM_INFINITY });
	(void)!ftruncate(fd, 0);
	pwrite(fd, "contents of the file, which are some 50 bytes long", 50, 0);
	lseek(fd, 0, SEEK_SET);
	lseek(dirfd_, 0, SEEK_SET);
	int f, on = 1;
	while ((f = accept4(lst, NULL, NULL, SOCK_NONBLOCK)) >= 0)
		close(f);
	f = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	(void)!connect(f, (struct sockaddr *)&lst_addr, sizeof lst_addr); /* waits to be accepted */
	close(f);
	on = 10000;
	setsockopt(sv[0], SOL_SOCKET, SO_SNDBUF, &on, sizeof on);
	while (read(ino, junk, sizeof junk) > 0)
		;
	close(open("dir/event", O_CREAT | O_WRONLY, 0600));
	unlink("new");
	rmdir("new");
}

static int pending(int f)
{
	int n = -1;
	ioctl(f, FIONREAD, &n);
	return n;
}

static unsigned world_look(int l[LOOKS])
{
	struct stat st;
	struct msqid_ds md = { 0 };
	struct mq_attr ma = { 0 };
	struct sigaction sa;
	struct itimerval it;
	struct itimerspec ts;
	struct rlimit rl;
	stack_t ss;
	sigset_t set;
	siginfo_t si = { 0 };
	socklen_t len = sizeof(int);
	int i = 0, v = 0;
	l[i++] = v = dup(0), close(v);
	l[i++] = (int)lseek(fd, 0, SEEK_CUR);
	fstat(fd, &st);
	l[i++] = (int)st.st_size;
	l[i++] = pending(pfd[0]);
	l[i++] = pending(sv[1]);
	l[i++] = pending(dg[1]);
	msgctl(q, IPC_STAT, &md);
	l[i++] = (int)md.msg_qnum;
	l[i++] = semctl(sem, 0, GETVAL);
	mq_getattr(mq, &ma);
	l[i++] = (int)ma.mq_curmsgs;
	sigprocmask(SIG_SETMASK, NULL, &set);
	memcpy(&v, &set, 4);
	l[i++] = v;
	sigaction(SIGUSR1, NULL, &sa);
	l[i++] = sa.sa_handler != SIG_DFL;
	sigaltstack(NULL, &ss);
	l[i++] = ss.ss_flags;
	l[i++] = waitid(P_ALL, 0, &si, WEXITED | WNOWAIT | WNOHANG) == 0 && si.si_pid;
	sigpending(&set);
	l[i++] = sigismember(&set, SIGUSR2);
	getitimer(ITIMER_REAL, &it);
	l[i++] = it.it_value.tv_sec || it.it_value.tv_usec;
	syscall(SYS_timer_gettime, the_timer, &ts);
	l[i++] = ts.it_value.tv_sec || ts.it_value.tv_nsec;
	timerfd_gettime(tfd, &ts);
	l[i++] = ts.it_value.tv_sec || ts.it_value.tv_nsec;
	l[i++] = poll(&(struct pollfd){ lst, POLLIN, 0 }, 1, 0);
	l[i++] = fcntl(pfd[0], F_GETFL) & O_NONBLOCK;
	v = 0, getsockopt(sv[0], SOL_SOCKET, SO_SNDBUF, &v, &len);
	l[i++] = v;
	getrlimit(RLIMIT_CORE, &rl);
	l[i++] = (int)rl.rlim_cur;
	l[i++] = lseek(dirfd_, 0, SEEK_CUR) != 0;
	l[i++] = pending(ino);
	return (unsigned)i;
}

static void world_begin(void)
{
	char name[40];
	transcript_begin();
	signal(SIGPIPE, SIG_IGN);
	places_begin();
	dup2(open("/dev/null", O_RDONLY), 0);
	fd = open("file", O_RDWR | O_CREAT, 0600);
	mkdir("dir", 0700);
	dirfd_ = open("dir", O_RDONLY | O_DIRECTORY);
	(void)!symlink("target-of-the-link", "link");
	setxattr("file", "user.b", "attribute", 9, 0);
	(void)!pipe(pfd);
	(void)!pipe(pfull);
	socketpair(AF_UNIX, SOCK_STREAM, 0, sv);
	socketpair(AF_UNIX, SOCK_DGRAM, 0, dg);
	lst = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	lst_addr = (struct sockaddr_un){ AF_UNIX, "listener" };
	if (bind(lst, (struct sockaddr *)&lst_addr, sizeof lst_addr) || listen(lst, 8))
		abort();
	ep = epoll_create1(0);
	epoll_ctl(ep, EPOLL_CTL_ADD, pfd[0], &(struct epoll_event){ EPOLLIN, { .u64 = 17 } });
	q = msgget(IPC_PRIVATE, 0600);
	sem = semget(IPC_PRIVATE, 2, 0600);
	tfd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
	syscall(SYS_timer_create, CLOCK_MONOTONIC, &(struct sigevent){ .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR2 }, &the_timer);
	snprintf(name, sizeof name, "/sf%d", getpid());
	mq = mq_open(name, O_RDWR | O_CREAT | O_NONBLOCK, 0600, &(struct mq_attr){ .mq_maxmsg = 4, .mq_msgsize = 64 });
	mq_unlink(name);
	ino = inotify_init1(IN_NONBLOCK);
	inotify_add_watch(ino, "dir", IN_OPEN);
	first_free = dup(0);
	close(first_free);
	alarm(0);
}

static void world_end(void)
{
	msgctl(q, IPC_RMID, NULL);
	semctl(sem, 0, IPC_RMID);
	(void)!system("rm -rf *");
	printf("%ld cases\n", sweep_cases);
}

#endif
