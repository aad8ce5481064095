/* SPDX-License-Identifier: MIT */
/* sys_efault.c - every call that takes a pointer, with each kind of bad one
 *
 * For each call one pointer is bad and everything else good: NULL, a hole, no access, read-only, its last byte beyond the end, and the
 * kernel's half.  What is good is made anew for each case. */
#include "transcript.h"

#include <poll.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

#define BAD 0x5bad5badL /* the place of the bad pointer in the arguments */
static char buf[8192] __attribute__((aligned(64)));
static int fd, pfd[2], sv[2], dg[2], ep, q = -1, sem, tfd, mq;
static timer_t timer;

static void calm(void)
{
	/* things that calls may have left behind */
	char junk[512];
	while (recv(dg[1], junk, sizeof junk, MSG_DONTWAIT) >= 0)
		;
	while (recv(sv[1], junk, sizeof junk, MSG_DONTWAIT) > 0)
		;
	(void)!write(sv[0], "hello", 5);
	(void)!write(dg[0], "hello", 5);
	int f = fcntl(pfd[0], F_GETFL);
	fcntl(pfd[0], F_SETFL, f | O_NONBLOCK);
	while (read(pfd[0], junk, sizeof junk) > 0)
		;
	fcntl(pfd[0], F_SETFL, f);
	(void)!write(pfd[1], "pipe", 4);
	lseek(fd, 0, SEEK_SET);
}

/* size: bytes that the call needs there, for the pointer whose end is missing */
static void each(const char *name, size_t size, long nr, long a, long b, long c, long d, long e, long f)
{
	struct { const char *what; char *p; } bad[] = {
		{ "null", NULL }, { "hole", hole }, { "none", none }, { "ro", ro }, { "edge", edge(size - 1) }, { "kern", kern }, { "top", (char *)-1L },
		{ "last", (char *)0x7fffffffefffL },
	};
	long arg[6] = { a, b, c, d, e, f }, v[6];
	printf("%s:", name);
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		calm();
		memset(buf, 0, sizeof buf);
		for (int k = 0; k < 6; k++)
			v[k] = arg[k] == BAD ? (long)bad[i].p : arg[k];
		errno = 0;
		long r = syscall(nr, v[0], v[1], v[2], v[3], v[4], v[5]);
		printf(" %s %s", bad[i].what, r == -1 ? strerrorname_np(errno) : "ok");
	}
	puts("");
	fflush(stdout);
}
#define EACH(name, size, ...) EACH6(name, size, __VA_ARGS__, 0, 0, 0, 0, 0, 0)
#define EACH6(name, size, a, b, c, d, e, f, ...) \
	each(#name, size, SYS_##name, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

static void paths(void)
{
	puts("-- paths");
	EACH(open, 2, BAD, O_RDONLY);
	EACH(openat, 2, AT_FDCWD, BAD, O_RDONLY);
	EACH(creat, 2, BAD, 0600);
	EACH(stat, 2, BAD, buf);
	EACH(stat, 144, ".", BAD);
	EACH(lstat, 2, BAD, buf);
	EACH(lstat, 144, ".", BAD);
	EACH(fstat, 144, fd, BAD);
	EACH(newfstatat, 2, AT_FDCWD, BAD, buf, 0);
	EACH(newfstatat, 144, AT_FDCWD, ".", BAD, 0);
	EACH(statx, 2, AT_FDCWD, BAD, 0, 0x7ff, buf);
	EACH(statx, 256, AT_FDCWD, ".", 0, 0x7ff, BAD);
	EACH(statfs, 2, BAD, buf);
	EACH(statfs, 120, ".", BAD);
	EACH(fstatfs, 120, fd, BAD);
	EACH(access, 2, BAD, 0);
	EACH(faccessat, 2, AT_FDCWD, BAD, 0);
	EACH(chdir, 2, BAD);
	EACH(mkdir, 2, BAD, 0700);
	EACH(mkdirat, 2, AT_FDCWD, BAD, 0700);
	EACH(rmdir, 2, BAD);
	EACH(unlink, 2, BAD);
	EACH(unlinkat, 2, AT_FDCWD, BAD, 0);
	EACH(rename, 2, BAD, "x");
	EACH(rename, 2, "nofile", BAD);
	EACH(renameat2, 2, AT_FDCWD, "nofile", AT_FDCWD, BAD, 0);
	EACH(link, 2, BAD, "x");
	EACH(link, 2, "file", BAD);
	EACH(linkat, 2, AT_FDCWD, BAD, AT_FDCWD, "x", 0);
	EACH(symlink, 2, BAD, "x");
	EACH(symlink, 2, "x", BAD);
	EACH(readlink, 2, BAD, buf, 100);
	EACH(readlink, 4, "link", BAD, 100);
	EACH(readlinkat, 4, AT_FDCWD, "link", BAD, 100);
	EACH(chmod, 2, BAD, 0700);
	EACH(fchmodat, 2, AT_FDCWD, BAD, 0700);
	EACH(chown, 2, BAD, -1, -1);
	EACH(lchown, 2, BAD, -1, -1);
	EACH(fchownat, 2, AT_FDCWD, BAD, -1, -1, 0);
	EACH(truncate, 2, BAD, 0);
	EACH(mknod, 2, BAD, S_IFIFO | 0600, 0);
	EACH(utime, 2, BAD, NULL);
	EACH(utime, 16, "file", BAD);
	EACH(utimes, 32, "file", BAD);
	EACH(utimensat, 32, AT_FDCWD, "file", BAD, 0);
	EACH(futimesat, 32, AT_FDCWD, "file", BAD);
	EACH(getcwd, 200, BAD, PG);
	EACH(chroot, 2, BAD);
	EACH(mount, 2, "x", BAD, "tmpfs", 0, NULL);
	EACH(umount2, 2, BAD, 0);
	EACH(swapon, 2, BAD, 0);
	EACH(setxattr, 2, BAD, "user.a", "v", 1, 0);
	EACH(setxattr, 2, "file", BAD, "v", 1, 0);
	EACH(setxattr, 8, "file", "user.a", BAD, 8, 0);
	EACH(getxattr, 2, BAD, "user.a", buf, 10);
	EACH(getxattr, 2, "file", BAD, buf, 10);
	EACH(getxattr, 8, "file", "user.b", BAD, 8);
	EACH(listxattr, 7, "file", BAD, 100);
	EACH(removexattr, 2, "file", BAD);
	EACH(name_to_handle_at, 2, AT_FDCWD, BAD, buf, buf, 0);
	EACH(inotify_add_watch, 2, -1, BAD, 1);
	EACH(memfd_create, 2, BAD, 0);
	EACH(execve, 2, BAD, NULL, NULL);
	EACH(execve, 8, "file", BAD, NULL);
	EACH(execve, 8, "file", NULL, BAD);
}

static void transfers(void)
{
	struct iovec iov[2] = { { buf, 4 }, { buf + 4, 4 } };
	struct msghdr mh = { .msg_iov = iov, .msg_iovlen = 1 };
	struct sockaddr_un un = { AF_UNIX, "nobody" };
	socklen_t len = sizeof un;
	puts("-- reading and writing");
	EACH(read, 5, fd, BAD, 5);
	EACH(read, 4, pfd[0], BAD, 4);
	EACH(write, 5, fd, BAD, 5);
	EACH(write, 5, pfd[1], BAD, 5);
	EACH(pread64, 5, fd, BAD, 5, 0);
	EACH(pwrite64, 5, fd, BAD, 5, 0);
	EACH(readv, 32, fd, BAD, 2);
	EACH(writev, 32, fd, BAD, 2);
	EACH(preadv, 32, fd, BAD, 2, 0, 0);
	EACH(pwritev, 32, fd, BAD, 2, 0, 0);
	EACH(preadv2, 32, fd, BAD, 2, 0, 0, 0);
	EACH(vmsplice, 32, pfd[1], BAD, 2, 0);
	EACH(sendfile, 8, pfd[1], fd, BAD, 4);
	EACH(splice, 8, fd, BAD, pfd[1], NULL, 4, 0);
	EACH(copy_file_range, 8, fd, BAD, fd, NULL, 0, 0);
	EACH(getdents, 200, open(".", O_RDONLY), BAD, 1000);
	EACH(getdents64, 200, open(".", O_RDONLY), BAD, 1000);
	EACH(getrandom, 16, BAD, 16, 0);
	EACH(pipe, 8, BAD);
	EACH(pipe2, 8, BAD, 0);
	EACH(fcntl, 32, fd, F_GETLK, BAD);
	EACH(fcntl, 32, fd, F_SETLK, BAD);
	EACH(fcntl, 8, fd, F_GETOWN_EX, BAD);
	EACH(ioctl, 4, pfd[0], 0x541b /* FIONREAD */, BAD);
	EACH(ioctl, 4, pfd[0], 0x5421 /* FIONBIO */, BAD);
	puts("-- sockets");
	EACH(socketpair, 8, AF_UNIX, SOCK_STREAM, 0, BAD);
	EACH(bind, 20, socket(AF_UNIX, SOCK_STREAM, 0), BAD, 20);
	EACH(connect, 20, socket(AF_UNIX, SOCK_STREAM, 0), BAD, 20);
	EACH(getsockname, 20, sv[0], BAD, &len);
	EACH(getsockname, 4, sv[0], buf, BAD);
	EACH(getpeername, 2, sv[0], BAD, &len);
	EACH(sendto, 5, dg[0], BAD, 5, 0, NULL, 0);
	EACH(sendto, 20, dg[0], buf, 5, 0, BAD, 20);
	EACH(recvfrom, 5, dg[1], BAD, 5, MSG_DONTWAIT, NULL, NULL);
	EACH(recvfrom, 4, dg[1], buf, 5, MSG_DONTWAIT, buf + 100, BAD);
	EACH(sendmsg, 56, dg[0], BAD, 0);
	EACH(recvmsg, 56, dg[1], BAD, MSG_DONTWAIT);
	mh.msg_iov = (void *)none;
	EACH(sendmsg, 56, dg[0], &mh, 0);
	EACH(sendmmsg, 64, dg[0], BAD, 1, 0);
	EACH(recvmmsg, 64, dg[1], BAD, 1, MSG_DONTWAIT, NULL);
	EACH(recvmmsg, 16, dg[1], buf, 1, MSG_DONTWAIT, BAD);
	EACH(setsockopt, 4, sv[0], SOL_SOCKET, SO_SNDBUF, BAD, 4);
	EACH(getsockopt, 4, sv[0], SOL_SOCKET, SO_SNDBUF, BAD, &len);
	EACH(getsockopt, 4, sv[0], SOL_SOCKET, SO_SNDBUF, buf, BAD);
	EACH(accept, 4, sv[0], buf, BAD);
}

static void waiting(void)
{
	struct timespec zero = { 0, 0 };
	struct pollfd ready = { fd, POLLIN, 0 };
	fd_set readable;
	uint64_t set = 1ul << (SIGUSR2 - 1);
	FD_ZERO(&readable);
	FD_SET(fd, &readable);
	puts("-- waiting");
	EACH(poll, 8, BAD, 1, 0);
	EACH(ppoll, 16, &ready, 1, BAD, NULL, 8);
	EACH(ppoll, 8, buf, 0, &zero, BAD, 8);
	EACH(select, 8, 10, BAD, NULL, NULL, &zero);
	EACH(select, 16, 40, &readable, NULL, NULL, BAD);
	EACH(pselect6, 16, 40, &readable, NULL, NULL, BAD, NULL);
	EACH(pselect6, 16, 0, NULL, NULL, NULL, &zero, BAD);
	EACH(epoll_ctl, 12, ep, EPOLL_CTL_MOD, pfd[0], BAD);
	EACH(epoll_wait, 12, ep, BAD, 1, 0);
	EACH(epoll_pwait, 8, ep, buf, 1, 0, BAD, 8);
	EACH(nanosleep, 16, BAD, NULL);
	EACH(clock_nanosleep, 16, CLOCK_MONOTONIC, 0, BAD, NULL);
	EACH(clock_gettime, 16, CLOCK_MONOTONIC, BAD);
	EACH(clock_getres, 16, CLOCK_MONOTONIC, BAD);
	EACH(clock_settime, 16, CLOCK_MONOTONIC, BAD);
	EACH(gettimeofday, 16, BAD, NULL);
	EACH(gettimeofday, 8, NULL, BAD);
	EACH(time, 8, BAD);
	EACH(times, 32, BAD);
	EACH(adjtimex, 208, BAD);
	EACH(getitimer, 32, ITIMER_REAL, BAD);
	EACH(setitimer, 32, ITIMER_REAL, buf, BAD);
	EACH(timer_create, 64, CLOCK_MONOTONIC, BAD, buf);
	EACH(timer_create, 4, CLOCK_MONOTONIC, NULL, BAD);
	EACH(timer_settime, 32, timer, 0, BAD, NULL);
	EACH(timer_gettime, 32, timer, BAD);
	EACH(timerfd_settime, 32, tfd, 0, BAD, NULL);
	EACH(timerfd_settime, 32, tfd, 0, buf, BAD);
	EACH(timerfd_gettime, 32, tfd, BAD);
	EACH(futex, 4, BAD, 128, 77, &zero);
	EACH(futex, 4, BAD, 0, 77, &zero);
	EACH(futex, 4, BAD, 1, 1);
	EACH(futex, 16, buf, 128, 1, BAD);
	EACH(set_robust_list, 24, BAD, 24);
	EACH(get_robust_list, 8, 0, BAD, buf);
	EACH(wait4, 4, -1, BAD, WNOHANG, NULL);
	EACH(waitid, 128, P_ALL, 0, BAD, WEXITED | WNOHANG, NULL);
	EACH(rt_sigaction, 32, SIGUSR1, BAD, NULL, 8);
	EACH(rt_sigaction, 32, SIGUSR1, NULL, BAD, 8);
	EACH(rt_sigprocmask, 8, SIG_BLOCK, BAD, NULL, 8);
	EACH(rt_sigprocmask, 8, SIG_BLOCK, NULL, BAD, 8);
	EACH(rt_sigpending, 8, BAD, 8);
	EACH(rt_sigtimedwait, 8, BAD, NULL, &zero, 8);
	sigset_t usr2;
	sigemptyset(&usr2);
	sigaddset(&usr2, SIGUSR2);
	sigprocmask(SIG_BLOCK, &usr2, NULL);
	for (int i = 0; i < 8; i++)
		sigqueue(getpid(), SIGUSR2, (union sigval){ 0 }); /* one is queued: the NULL case takes it */
	EACH(rt_sigtimedwait, 16, &set, NULL, BAD, 8);
	EACH(rt_sigqueueinfo, 128, getpid(), 0, BAD);
	EACH(sigaltstack, 24, BAD, NULL);
	EACH(sigaltstack, 24, NULL, BAD);
	EACH(signalfd4, 8, -1, BAD, 8, 0);
}

static void system_v(void)
{
	struct sembuf sop = { 0, 1, 0 };
	puts("-- messages and semaphores");
	(void)sop;
	EACH(msgsnd, 8, q, BAD, 4, IPC_NOWAIT);
	EACH(msgrcv, 8, q, BAD, 0, 0, IPC_NOWAIT | MSG_NOERROR);
	EACH(msgctl, 120, q, IPC_STAT, BAD);
	EACH(msgctl, 120, q, IPC_SET, BAD);
	EACH(semop, 6, sem, BAD, 1);
	EACH(semctl, 104, sem, 0, IPC_STAT, BAD);
	EACH(semctl, 4, sem, 0, GETALL, BAD);
	EACH(semctl, 4, sem, 0, SETALL, BAD);
	EACH(mq_open, 2, BAD, O_RDWR);
	EACH(mq_open, 64, "sf-none", O_RDWR, 0600, BAD);
	EACH(mq_unlink, 2, BAD);
	EACH(mq_timedsend, 5, mq, BAD, 5, 0, NULL);
	EACH(mq_timedreceive, 64, mq, BAD, 64, NULL, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
	EACH(mq_getsetattr, 64, mq, NULL, BAD);
	EACH(mq_notify, 64, mq, BAD);
}

static void rest(void)
{
	puts("-- the rest");
	EACH(uname, 390, BAD);
	EACH(sysinfo, 112, BAD);
	EACH(getrusage, 144, 0, BAD);
	EACH(getrlimit, 16, RLIMIT_CORE, BAD);
	EACH(prlimit64, 16, 0, RLIMIT_CORE, NULL, BAD);
	EACH(prlimit64, 16, 0, RLIMIT_CORE, BAD, NULL);
	EACH(getresuid, 4, BAD, buf, buf);
	EACH(getresgid, 4, buf, buf, BAD);
	EACH(getgroups, 4, 1, BAD);
	EACH(setgroups, 4, 1, BAD);
	EACH(sethostname, 4, BAD, 4);
	EACH(setdomainname, 4, BAD, 4);
	EACH(capget, 8, BAD, buf);
	EACH(sched_getparam, 4, 0, BAD);
	EACH(sched_setparam, 4, 0, BAD);
	EACH(sched_setscheduler, 4, 0, SCHED_OTHER, BAD);
	EACH(sched_rr_get_interval, 16, 0, BAD);
	EACH(sched_getaffinity, 8, 0, 128, BAD);
	EACH(sched_setaffinity, 8, 0, 8, BAD);
	EACH(sched_setattr, 48, 0, BAD, 0);
	EACH(sched_getattr, 48, 0, BAD, 48, 0);
	EACH(getcpu, 4, BAD, NULL, NULL);
	EACH(prctl, 16, 15, BAD);
	EACH(prctl, 16, 16, BAD);
	EACH(prctl, 4, 2, BAD);
	EACH(prctl, 4, 37, BAD);
	EACH(arch_prctl, 8, 0x1003, BAD);
	EACH(mincore, 1, good, PG, BAD);
	EACH(get_mempolicy, 4, BAD, NULL, 0, NULL, 0);
	EACH(set_mempolicy, 8, 2, BAD, 64);
	EACH(process_vm_readv, 16, getpid(), BAD, 1, NULL, 0, 0);
	EACH(kcmp, 12, getpid(), getpid(), 7, 0, BAD);
	EACH(ustat, 32, 0, BAD);
	EACH(sysfs, 4, 1, BAD);
	EACH(add_key, 5, BAD, "sf-key", "payload", 7, -3);
	EACH(add_key, 5, "user", BAD, "payload", 7, -3);
	EACH(add_key, 7, "user", "sf-key", BAD, 7, -3);
	EACH(keyctl, 7, 2, syscall(SYS_add_key, "user", "sf-key", "payload", 7L, -3L), BAD, 7);
	EACH(keyctl, 5, 10, -3, BAD, "sf-key", 0);
	EACH(request_key, 5, BAD, "sf-key", NULL, 0);
	EACH(perf_event_open, 64, BAD, 0, -1, -1, 0);
	EACH(modify_ldt, 16, 1, BAD, 16);
	EACH(delete_module, 2, BAD, 0);
	EACH(quotactl, 2, 0x80000700, BAD, 0, buf);
	EACH(clone3, 88, BAD, 88);
	EACH(openat2, 24, AT_FDCWD, ".", BAD, 24);
}

int main(void)
{
	transcript_begin();
	signal(SIGPIPE, SIG_IGN);
	fd = open("file", O_RDWR | O_CREAT, 0600);
	(void)!write(fd, "contents", 8);
	syscall(SYS_setxattr, "file", "user.b", "attribute", 8L, 0L);
	(void)!symlink("target", "link");
	(void)!pipe(pfd);
	socketpair(AF_UNIX, SOCK_STREAM, 0, sv);
	socketpair(AF_UNIX, SOCK_DGRAM, 0, dg);
	ep = epoll_create1(0);
	struct epoll_event e = { EPOLLIN, { 0 } };
	epoll_ctl(ep, EPOLL_CTL_ADD, pfd[0], &e);
	q = msgget(IPC_PRIVATE, 0600);
	sem = semget(IPC_PRIVATE, 2, 0600);
	tfd = (int)syscall(SYS_timerfd_create, CLOCK_MONOTONIC, 0);
	timer_create(CLOCK_MONOTONIC, NULL, &timer);
	struct { long flags, most, size, now, pad[4]; } attr = { 0, 4, 64, 0, { 0 } };
	char name[32];
	snprintf(name, sizeof name, "sf%d", getpid());
	mq = (int)syscall(SYS_mq_open, name, O_RDWR | O_CREAT | O_NONBLOCK, 0600, &attr);
	syscall(SYS_mq_unlink, name);
	paths();
	transfers();
	waiting();
	system_v();
	rest();
	msgctl(q, IPC_RMID, NULL);
	semctl(sem, 0, IPC_RMID);
	(void)!system("rm -rf *");
	return 0;
}
