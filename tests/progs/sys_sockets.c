/* SPDX-License-Identifier: MIT */
/* sys_sockets.c - sockets: what is refused and in which order, descriptors and credentials that travel, what is cut off, readiness */
#include "transcript.h"

#include <arpa/inet.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

static struct sockaddr_in here(int port)
{
	return (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
}

static void refusals(void)
{
	struct sockaddr_in in = here(0), no = { .sin_family = 77 };
	struct sockaddr_un un = { AF_UNIX, "sock" }, far = { AF_UNIX, "no/sock" };
	socklen_t len;
	int s, d, u, fd = open("/dev/null", O_RDWR);
	puts("-- refused");
	OK(SYS_socket, 77, SOCK_STREAM, 0);
	OK(SYS_socket, AF_INET, 77, 0);
	OK(SYS_socket, AF_INET, SOCK_STREAM, 17);
	OK(SYS_socket, AF_INET, SOCK_DGRAM, 6);
	OK(SYS_socket, AF_UNIX, SOCK_STREAM, 1);
	OK(SYS_socket, AF_UNIX, SOCK_STREAM, 2);
	OK(SYS_socket, AF_UNIX, SOCK_RAW, 0);
	C(SYS_socketpair, AF_INET, SOCK_STREAM, 0, good);
	C(SYS_socketpair, AF_INET, SOCK_STREAM, 0, none);
	C(SYS_socketpair, 77, SOCK_STREAM, 0, none);
	C(SYS_socketpair, AF_UNIX, 0xfff0, 0, none);
	s = socket(AF_INET, SOCK_STREAM, 0), d = socket(AF_INET, SOCK_DGRAM, 0), u = socket(AF_UNIX, SOCK_STREAM, 0);
	C(SYS_bind, s, &in, 2);
	C(SYS_bind, s, &no, sizeof no);
	C(SYS_bind, s, &in, 200);
	C(SYS_bind, fd, &in, sizeof in);
	C(SYS_bind, -1, &in, sizeof in);
	in.sin_addr.s_addr = htonl(0x01020304);
	C(SYS_bind, s, &in, sizeof in);
	in = here(0);
	C(SYS_bind, s, &in, sizeof in);
	C(SYS_bind, s, &in, sizeof in);
	C(SYS_bind, u, &far, sizeof far);
	C(SYS_bind, u, &un, 2);
	C(SYS_bind, u, &un, 120);
	unlink("sock");
	u = socket(AF_UNIX, SOCK_STREAM, 0);
	C(SYS_bind, u, &un, sizeof un);
	int u2 = socket(AF_UNIX, SOCK_STREAM, 0);
	C(SYS_bind, u2, &un, sizeof un);
	C(SYS_connect, u2, &un, sizeof un);
	C(SYS_connect, u2, &far, sizeof far);
	C(SYS_listen, d, 5);
	C(SYS_listen, fd, 5);
	C(SYS_listen, u, -1);
	len = 0;
	C(SYS_accept, d, NULL, NULL);
	C(SYS_accept, fd, NULL, NULL);
	C(SYS_accept, s, NULL, NULL);
	C(SYS_accept4, u, NULL, NULL, 99);
	C(SYS_getpeername, s, &in, &len);
	len = -1;
	C(SYS_getsockname, s, &in, &len);
	len = 0;
	C(SYS_getsockname, s, &in, &len);
	printf("  %d\n", len);
	C(SYS_shutdown, s, 2);
	C(SYS_shutdown, s, 9);
	C(SYS_shutdown, fd, 2);
	C(SYS_sendto, s, "x", 1, MSG_NOSIGNAL, NULL, 0);
	C(SYS_sendto, d, "x", 1, 0, NULL, 0);
	C(SYS_sendto, d, good, 70000, 0, &in, sizeof in);
	C(SYS_recvfrom, s, good, 1, MSG_DONTWAIT, NULL, NULL);
	C(SYS_recvfrom, d, good, 1, MSG_DONTWAIT, NULL, NULL);
	C(SYS_recvfrom, d, good, 1, MSG_DONTWAIT | MSG_ERRQUEUE, NULL, NULL);
	C(SYS_recvfrom, u, good, 1, MSG_DONTWAIT | MSG_OOB, NULL, NULL);
	struct msghdr m = { .msg_iov = (void *)good, .msg_iovlen = 1025 };
	C(SYS_sendmsg, d, &m, 0);
	C(SYS_recvmsg, d, &m, MSG_DONTWAIT);
	m = (struct msghdr){ .msg_name = &in, .msg_namelen = (socklen_t)-1 };
	C(SYS_sendmsg, d, &m, 0);
	C(SYS_recvmsg, d, &m, MSG_DONTWAIT);
	m = (struct msghdr){ .msg_control = good, .msg_controllen = 1ul << 33 };
	C(SYS_sendmsg, d, &m, 0);
	C(SYS_sendmmsg, d, NULL, 0, 0);
	C(SYS_recvmmsg, d, NULL, 0, MSG_DONTWAIT, NULL);
	C(SYS_sendmmsg, fd, NULL, 0, 0);
	C(SYS_recvmmsg, fd, hole, 1, 0, NULL);
	C(SYS_sendmmsg, -1, hole, 1, 0);
	C(SYS_setsockopt, s, SOL_SOCKET, SO_REUSEADDR, good, 0);
	C(SYS_setsockopt, s, SOL_SOCKET, SO_REUSEADDR, good, -1);
	C(SYS_setsockopt, s, 99, 1, good, 4);
	C(SYS_setsockopt, s, SOL_SOCKET, SO_LINGER, good, 4);
	C(SYS_setsockopt, fd, SOL_SOCKET, SO_REUSEADDR, hole, 4);
	C(SYS_getsockopt, fd, SOL_SOCKET, SO_TYPE, hole, hole);
	C(SYS_getsockopt, s, 99, 1, good, good + 100);
	close(s), close(d), close(u), close(u2), close(fd);
	unlink("sock");
}

/* Send and receive with control messages; prints what came. */
static void came(int s, size_t room, size_t control, int flags)
{
	char c[512] __attribute__((aligned(16)));
	struct iovec v = { good, room };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1, .msg_control = c, .msg_controllen = control };
	memset(c, 0, sizeof c);
	errno = 0;
	long r = syscall(SYS_recvmsg, s, &m, flags);
	printf("  got %s, flags %x, control %zu", answer(r), m.msg_flags, r < 0 ? 0 : m.msg_controllen);
	for (struct cmsghdr *h = r < 0 ? NULL : CMSG_FIRSTHDR(&m); h; h = CMSG_NXTHDR(&m, h)) {
		printf(", type %d len %zu", h->cmsg_type, h->cmsg_len);
		if (h->cmsg_type == SCM_RIGHTS) {
			size_t n = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);
			for (size_t i = 0; i < n; i++) {
				int f;
				memcpy(&f, CMSG_DATA(h) + i * sizeof f, sizeof f);
				printf(" fd(%d)", fcntl(f, F_GETFD));
				close(f);
			}
		} else if (h->cmsg_type == SCM_CREDENTIALS) {
			struct ucred u;
			memcpy(&u, CMSG_DATA(h), sizeof u);
			printf(" me %d, uid %d", u.pid == getpid(), u.uid == getuid());
		}
	}
	puts("");
}

static void give(int s, const int *fds, size_t n, int type, const void *cred)
{
	char c[2048] __attribute__((aligned(16)));
	size_t bytes = type == SCM_RIGHTS ? n * sizeof(int) : sizeof(struct ucred);
	struct iovec v = { (char *)"data", 4 };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1, .msg_control = c, .msg_controllen = CMSG_SPACE(bytes) };
	memset(c, 0, sizeof c);
	*CMSG_FIRSTHDR(&m) = (struct cmsghdr){ CMSG_LEN(bytes), SOL_SOCKET, type };
	memcpy(CMSG_DATA(CMSG_FIRSTHDR(&m)), type == SCM_RIGHTS ? (const void *)fds : cred, bytes);
	errno = 0;
	printf("  sent %s\n", answer(syscall(SYS_sendmsg, s, &m, 0)));
}

static void travellers(void)
{
	int sv[2], on = 1, fds[300];
	struct ucred me = { getpid(), getuid(), getgid() }, other = { 1, getuid(), getgid() };
	for (int kind = SOCK_STREAM; kind <= SOCK_DGRAM; kind++) {
		printf("-- descriptors and credentials, kind %d\n", kind);
		socketpair(AF_UNIX, kind, 0, sv);
		for (int i = 0; i < 300; i++)
			fds[i] = sv[0];
		give(sv[0], fds, 2, SCM_RIGHTS, NULL);
		came(sv[1], 10, 200, 0);
		give(sv[0], fds, 2, SCM_RIGHTS, NULL);
		came(sv[1], 10, CMSG_LEN(4), MSG_CMSG_CLOEXEC);
		give(sv[0], fds, 2, SCM_RIGHTS, NULL);
		came(sv[1], 10, 0, 0);
		give(sv[0], fds, 2, SCM_RIGHTS, NULL);
		came(sv[1], 2, 8, 0);
		came(sv[1], 10, 200, MSG_DONTWAIT);
		give(sv[0], fds, 253, SCM_RIGHTS, NULL);
		came(sv[1], 10, 100, MSG_DONTWAIT);
		give(sv[0], fds, 254, SCM_RIGHTS, NULL);
		fds[0] = 9999;
		give(sv[0], fds, 1, SCM_RIGHTS, NULL);
		fds[0] = sv[0];
		give(sv[0], fds, 1, SCM_RIGHTS, NULL);
		came(sv[1], 10, 200, MSG_PEEK);
		came(sv[1], 10, 200, 0);
		setsockopt(sv[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof on);
		give(sv[0], fds, 1, SCM_CREDENTIALS, &me);
		came(sv[1], 10, 200, 0);
		me.pid = getpid();
		if (getuid())
			give(sv[0], fds, 1, SCM_CREDENTIALS, &other);
		(void)!write(sv[0], "plain", 5);
		came(sv[1], 10, 200, MSG_DONTWAIT);
		give(sv[0], fds, 1, SCM_RIGHTS, NULL);
		came(sv[1], 10, 200, MSG_DONTWAIT);
		give(sv[0], fds, 1, 99, &me);
		socklen_t len = sizeof me;
		C(SYS_getsockopt, sv[0], SOL_SOCKET, SO_PEERCRED, &other, &len);
		printf("  me %d\n", other.pid == getpid());
		close(sv[0]), close(sv[1]);
	}
}

static void cut_off(void)
{
	int sv[2], dg[2], sq[2], n = 0;
	puts("-- what is cut off");
	socketpair(AF_UNIX, SOCK_STREAM, 0, sv);
	socketpair(AF_UNIX, SOCK_DGRAM, 0, dg);
	socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sq);
	C(SYS_write, dg[0], "a long one", 10);
	C(SYS_ioctl, dg[1], FIONREAD, &n);
	printf("  %d\n", n);
	C(SYS_recvfrom, dg[1], good, 3, MSG_PEEK | MSG_TRUNC, NULL, NULL);
	came(dg[1], 3, 0, MSG_TRUNC);
	C(SYS_write, sq[0], "a long one", 10);
	came(sq[1], 3, 0, 0);
	C(SYS_write, sq[0], "", 0);
	came(sq[1], 3, 0, MSG_DONTWAIT);
	C(SYS_write, dg[0], "", 0);
	C(SYS_read, dg[1], good, 5);
	C(SYS_write, sv[0], "stream of text", 14);
	C(SYS_recvfrom, sv[1], good, 20, MSG_WAITALL | MSG_DONTWAIT, NULL, NULL);
	C(SYS_sendto, sv[0], "x", 1, MSG_OOB, NULL, 0);
	C(SYS_recvfrom, sv[1], good, 20, MSG_DONTWAIT, NULL, NULL);
	C(SYS_recvfrom, sv[1], good, 20, MSG_OOB, NULL, NULL);
	shutdown(sv[0], SHUT_WR);
	C(SYS_read, sv[1], good, 5);
	C(SYS_sendto, sv[0], "x", 1, MSG_NOSIGNAL, NULL, 0);
	close(sv[0]);
	C(SYS_sendto, sv[1], "x", 1, MSG_NOSIGNAL, NULL, 0);
	C(SYS_read, sv[1], good, 5);
	close(sq[0]);
	C(SYS_read, sq[1], good, 5);
	close(dg[0]);
	C(SYS_sendto, dg[1], "x", 1, MSG_NOSIGNAL, NULL, 0);
	C(SYS_recvfrom, dg[1], good, 5, MSG_DONTWAIT, NULL, NULL);
	close(sv[1]), close(dg[1]), close(sq[1]);
	struct mmsghdr mm[3];
	struct iovec v[3] = { { good, 2 }, { good, 20 }, { good, 20 } };
	struct timespec ts = { 0, 1000000 };
	socketpair(AF_UNIX, SOCK_DGRAM, 0, dg);
	for (int i = 0; i < 3; i++)
		mm[i] = (struct mmsghdr){ { .msg_iov = &v[i], .msg_iovlen = 1 }, 77 };
	C(SYS_sendmmsg, dg[0], mm, 3, 0);
	printf("  %u %u %u\n", mm[0].msg_len, mm[1].msg_len, mm[2].msg_len);
	C(SYS_recvmmsg, dg[1], mm, 2, MSG_WAITFORONE, NULL);
	printf("  %u %u\n", mm[0].msg_len, mm[1].msg_len);
	C(SYS_recvmmsg, dg[1], mm, 3, MSG_WAITFORONE, NULL);
	C(SYS_recvmmsg, dg[1], mm, 3, MSG_DONTWAIT, &ts);
	mm[1].msg_hdr.msg_iov = (void *)hole;
	C(SYS_sendmmsg, dg[0], mm, 3, 0);
	C(SYS_recvmmsg, dg[1], mm, 3, MSG_DONTWAIT, NULL);
	close(dg[0]), close(dg[1]);
}

static void internet(void)
{
	struct sockaddr_in a = here(0), from;
	socklen_t len = sizeof a;
	int l = socket(AF_INET, SOCK_STREAM, 0), c = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), d = socket(AF_INET, SOCK_DGRAM, 0), e, v = 0;
	puts("-- internet");
	bind(l, (struct sockaddr *)&a, sizeof a);
	getsockname(l, (struct sockaddr *)&a, &len);
	C(SYS_connect, c, &a, sizeof a);
	poll(&(struct pollfd){ c, POLLOUT, 0 }, 1, 1000);
	len = sizeof v;
	C(SYS_getsockopt, c, SOL_SOCKET, SO_ERROR, &v, &len);
	printf("  %s\n", v ? strerrorname_np(v) : "none");
	close(c);
	listen(l, 5);
	c = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	C(SYS_connect, c, &a, sizeof a);
	len = sizeof from;
	OK(SYS_accept4, l, &from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
	printf("  from %d, len %d\n", from.sin_family, len);
	C(SYS_connect, c, &a, sizeof a);
	C(SYS_connect, c, &a, sizeof a);
	C(SYS_sendto, c, "hello", 5, MSG_MORE, NULL, 0);
	C(SYS_sendto, c, "hello", 5, 0, &a, sizeof a);
	C(SYS_setsockopt, c, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, 4);
	C(SYS_setsockopt, c, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, 1);
	C(SYS_ioctl, c, 0x5411 /* SIOCOUTQ */, &v);
	struct sockaddr_in da = here(0);
	bind(d, (struct sockaddr *)&da, sizeof da);
	len = sizeof da;
	getsockname(d, (struct sockaddr *)&da, &len);
	C(SYS_sendto, d, "datagram", 8, 0, &da, sizeof da);
	C(SYS_ioctl, d, FIONREAD, &v);
	printf("  %d\n", v);
	C(SYS_recvfrom, d, good, 3, MSG_TRUNC, &from, &len);
	printf("  itself %d\n", from.sin_port == da.sin_port);
	C(SYS_sendto, d, "datagram", 8, 0, &da, 4);
	C(SYS_connect, d, &da, sizeof da);
	C(SYS_sendto, d, "datagram", 8, MSG_DONTWAIT, NULL, 0);
	da.sin_family = AF_UNSPEC;
	C(SYS_connect, d, &da, sizeof da);
	C(SYS_sendto, d, "datagram", 8, MSG_DONTWAIT, NULL, 0);
	e = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
	struct { struct nlmsghdr h; struct rtgenmsg g; } req = { { sizeof req, RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP, 7, 0 }, { AF_UNSPEC } };
	C(SYS_sendto, e, &req, sizeof req, 0, NULL, 0);
	long n = syscall(SYS_recvfrom, e, good, 2 * PG, 0, NULL, NULL);
	const struct nlmsghdr *h = (const struct nlmsghdr *)good;
	printf("  netlink: %d, type %d, seq %u, port mine %d\n", n > 0, h->nlmsg_type, h->nlmsg_seq, h->nlmsg_pid == (unsigned)getpid());
	close(l), close(c), close(d), close(e);
}

static void on_signal(int s) { (void)s; }

static void readiness(void)
{
	int p[2], ep = epoll_create1(0), ep2 = epoll_create1(EPOLL_CLOEXEC), ev = eventfd(3, EFD_NONBLOCK | EFD_SEMAPHORE), tf, sf;
	struct epoll_event e = { EPOLLIN, { .u64 = 1 } }, out[4];
	struct pollfd pf[3];
	uint64_t n;
	puts("-- readiness");
	(void)!pipe(p);
	C(SYS_epoll_create, 0);
	C(SYS_epoll_create1, 99);
	C(SYS_epoll_ctl, ep, EPOLL_CTL_ADD, p[0], &e);
	C(SYS_epoll_ctl, ep, EPOLL_CTL_ADD, p[0], &e);
	C(SYS_epoll_ctl, ep, EPOLL_CTL_ADD, ep, &e);
	C(SYS_epoll_ctl, ep, EPOLL_CTL_ADD, open("/dev/null", O_RDONLY), &e);
	C(SYS_epoll_ctl, ep, EPOLL_CTL_ADD, open("plain", O_RDONLY | O_CREAT, 0600), &e);
	C(SYS_epoll_ctl, ep, EPOLL_CTL_DEL, ev, &e);
	C(SYS_epoll_ctl, ep, EPOLL_CTL_MOD, ev, &e);
	C(SYS_epoll_ctl, ep, 9, p[0], &e);
	C(SYS_epoll_ctl, ep, EPOLL_CTL_ADD, ep2, &e);
	C(SYS_epoll_ctl, ep2, EPOLL_CTL_ADD, ep, &e);
	e.events = EPOLLEXCLUSIVE | EPOLLONESHOT;
	C(SYS_epoll_ctl, ep, EPOLL_CTL_ADD, ev, &e);
	e.events = EPOLLIN | EPOLLONESHOT;
	C(SYS_epoll_ctl, ep, EPOLL_CTL_ADD, ev, &e);
	C(SYS_epoll_wait, ep, out, 4, 0);
	C(SYS_epoll_wait, ep, out, 4, 0);
	C(SYS_epoll_wait, ep, out, -1, 0);
	C(SYS_epoll_wait, ep, out, 1 << 30, 0);
	C(SYS_epoll_wait, p[0], out, 1, 0);
	C(SYS_epoll_wait, -1, out, 1, 0);
	C(SYS_read, ev, &n, 4);
	C(SYS_read, ev, &n, 8);
	printf("  %llu\n", (unsigned long long)n);
	n = UINT64_MAX;
	C(SYS_write, ev, &n, 8);
	n = UINT64_MAX - 1;
	C(SYS_write, ev, &n, 8);
	C(SYS_write, ev, &n, 4);
	C(SYS_eventfd2, 0, 99);
	pf[0] = (struct pollfd){ p[0], POLLIN, 7 }, pf[1] = (struct pollfd){ p[1], POLLOUT | POLLIN, 7 }, pf[2] = (struct pollfd){ 9999, POLLIN, 7 };
	C(SYS_poll, pf, 3, 0);
	printf("  %x %x %x\n", pf[0].revents, pf[1].revents, pf[2].revents);
	pf[0].fd = -5;
	C(SYS_poll, pf, 1, 1);
	printf("  %x\n", pf[0].revents);
	close(p[0]);
	C(SYS_poll, pf + 1, 1, 0);
	printf("  %x\n", pf[1].revents);
	C(SYS_poll, pf, 1u << 31, 0);
	fd_set r;
	FD_ZERO(&r);
	FD_SET(p[0], &r);
	C(SYS_select, p[0] + 1, &r, NULL, NULL, &(struct timeval){ 0, 0 });
	C(SYS_select, 2000, NULL, NULL, NULL, &(struct timeval){ 0, 1000 });
	struct sigaction sa = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
	sigaction(SIGALRM, &sa, NULL);
	sigset_t set, usr;
	sigemptyset(&set);
	sigemptyset(&usr);
	sigaddset(&usr, SIGALRM);
	struct timespec long_ = { 5, 0 };
	ualarm(20000, 0);
	C(SYS_ppoll, NULL, 0, &long_, &set, 8);
	printf("  some left: %d\n", long_.tv_sec == 4);
	ualarm(20000, 0);
	C(SYS_select, 0, NULL, NULL, NULL, &(struct timeval){ 5, 0 });
	ualarm(20000, 0);
	C(SYS_epoll_wait, ep2, out, 1, 5000);
	puts("-- descriptors of signals and timers");
	sigprocmask(SIG_BLOCK, &usr, NULL);
	C(SYS_signalfd4, -1, &usr, 4, 0);
	C(SYS_signalfd4, p[1], &usr, 8, 0);
	C(SYS_signalfd4, -1, &usr, 8, 99);
	sf = signalfd(-1, &usr, SFD_NONBLOCK);
	C(SYS_read, sf, good, 128);
	raise(SIGALRM);
	C(SYS_read, sf, good, 100);
	C(SYS_read, sf, good, 256);
	printf("  signal %u, from me %d\n", *(unsigned *)good, ((struct signalfd_siginfo *)good)->ssi_pid == (unsigned)getpid());
	sigprocmask(SIG_UNBLOCK, &usr, NULL);
	C(SYS_timerfd_create, 99, 0);
	C(SYS_timerfd_create, CLOCK_MONOTONIC, 99);
	tf = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
	struct itimerspec its = { { 0, 1000000 }, { 0, 1000000 } };
	C(SYS_timerfd_settime, tf, 99, &its, NULL);
	C(SYS_timerfd_settime, p[1], 0, &its, NULL);
	C(SYS_timerfd_settime, tf, 0, &its, NULL);
	poll(&(struct pollfd){ tf, POLLIN, 0 }, 1, 1000);
	C(SYS_read, tf, good, 4);
	OK(SYS_read, tf, good, 8);
	close(ep), close(ep2), close(ev), close(sf), close(tf), close(p[1]);
}

int main(void)
{
	transcript_begin();
	signal(SIGPIPE, SIG_IGN);
	refusals();
	travellers();
	cut_off();
	internet();
	readiness();
	fflush(stdout);
	(void)!system("rm -rf *");
	return 0;
}
