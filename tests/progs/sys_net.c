/* SPDX-License-Identifier: MIT */
/* sys_net.c - sockets: what a bad pointer loses and what it does not, addresses, messages, descriptors passed, options */
#include "transcript.h"

#include <arpa/inet.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <net/if.h>

static int sv[2];

static void pair(int type)
{
	close(sv[0]);
	close(sv[1]);
	(void)!socketpair(AF_UNIX, type | SOCK_NONBLOCK, 0, sv);
}

static void datagrams(void)
{
	char buf[9000];
	puts("-- datagrams");
	C(SYS_socketpair, AF_UNIX, SOCK_DGRAM, 0, none);
	C(SYS_socketpair, AF_UNIX, 77, 0, sv);
	C(SYS_socketpair, AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, sv);
	C(SYS_recvfrom, sv[0], none, 10, 0, NULL, NULL);
	C(SYS_sendto, sv[1], "first", 5, 0, NULL, 0);
	C(SYS_sendto, sv[1], "second", 6, 0, NULL, 0);
	C(SYS_sendto, sv[1], none, 6, 0, NULL, 0);
	C(SYS_sendto, sv[1], edge(3), 6, 0, NULL, 0);
	C(SYS_write, sv[1], edge(3), 6);
	C(SYS_sendto, sv[1], kern, 6, 0, NULL, 0);
	C(SYS_recvfrom, sv[0], none, 10, 0, NULL, NULL);
	C(SYS_recvfrom, sv[0], buf, 10, 0, NULL, NULL);
	sum("after a bad one", buf, 6);
	C(SYS_sendto, sv[1], "third", 5, 0, NULL, 0);
	C(SYS_recvfrom, sv[0], edge(3), 10, 0, NULL, NULL);
	C(SYS_recvfrom, sv[0], buf, 10, 0, NULL, NULL);
	C(SYS_sendto, sv[1], "fourth", 6, 0, NULL, 0);
	C(SYS_recvfrom, sv[0], edge(6), 10, 0, NULL, NULL);
	C(SYS_sendto, sv[1], "fifth", 5, 0, NULL, 0);
	C(SYS_recvfrom, sv[0], buf, 2, MSG_PEEK | MSG_TRUNC, NULL, NULL);
	C(SYS_recvfrom, sv[0], buf, 2, MSG_TRUNC, NULL, NULL);
	C(SYS_sendto, sv[1], NULL, 0, 0, NULL, 0);
	C(SYS_recvfrom, sv[0], none, 0, 0, NULL, NULL);
	static char big[3 << 20];
	C(SYS_sendto, sv[1], big, sizeof big, 0, NULL, 0);
	fill(big, 100000, 7);
	C(SYS_sendto, sv[1], big, 100000, 0, NULL, 0);
	memset(big, 0, 100000);
	C(SYS_recvfrom, sv[0], big, sizeof big, 0, NULL, NULL);
	sum("big", big, 100000);
	C(SYS_sendto, -1, none, 6, 0, none, 16);
	C(SYS_sendto, 0, none, 6, 0, none, 16);
}

static void streams(void)
{
	char buf[5000];
	puts("-- streams");
	pair(SOCK_STREAM);
	memset(good, 'x', 2 * PG);
	C(SYS_sendto, sv[1], none, 6, 0, NULL, 0);
	C(SYS_write, sv[1], "abcdef", 6);
	C(SYS_recvfrom, sv[0], none, 3, 0, NULL, NULL);
	C(SYS_recvfrom, sv[0], edge(2), 4, 0, NULL, NULL);
	C(SYS_recvfrom, sv[0], buf, 100, 0, NULL, NULL);
	C(SYS_recvfrom, sv[0], buf, 100, MSG_OOB, NULL, NULL);
	C(SYS_shutdown, sv[1], SHUT_WR);
	C(SYS_recvfrom, sv[0], none, 100, 0, NULL, NULL);
	signal(SIGPIPE, SIG_IGN);
	C(SYS_write, sv[1], "x", 1);
	C(SYS_shutdown, sv[1], 77);
}

static void messages(void)
{
	char a[16], b[16], ctl[64];
	struct iovec w[3] = { { "one ", 4 }, { "two ", 4 }, { "three", 5 } }, r[2] = { { a, 6 }, { b, 16 } };
	struct msghdr m = { .msg_iov = w, .msg_iovlen = 3 };
	puts("-- messages");
	pair(SOCK_DGRAM);
	C(SYS_sendmsg, sv[1], &m, 0);
	C(SYS_sendmsg, sv[1], none, 0);
	C(SYS_sendmsg, sv[1], NULL, 0);
	m.msg_iov = (struct iovec *)none;
	C(SYS_sendmsg, sv[1], &m, 0);
	m.msg_iovlen = 2000;
	C(SYS_sendmsg, sv[1], &m, 0);
	struct iovec bad[2] = { { "good", 4 }, { none, 4 } };
	m = (struct msghdr){ .msg_iov = bad, .msg_iovlen = 2 };
	C(SYS_sendmsg, sv[1], &m, 0);
	m = (struct msghdr){ .msg_iov = w, .msg_iovlen = 1, .msg_control = none, .msg_controllen = 32 };
	C(SYS_sendmsg, sv[1], &m, 0);
	m = (struct msghdr){ .msg_iov = w, .msg_iovlen = 1, .msg_name = none, .msg_namelen = 16 };
	C(SYS_sendmsg, sv[1], &m, 0);
	m = (struct msghdr){ .msg_iov = r, .msg_iovlen = 2, .msg_control = ctl, .msg_controllen = sizeof ctl };
	C(SYS_recvmsg, sv[0], &m, 0);
	printf("  '%.6s' '%.7s' control %zu flags %x\n", a, b, m.msg_controllen, m.msg_flags);
	C(SYS_recvmsg, sv[0], &m, 0);
	C(SYS_write, sv[1], "lost by a bad vector", 20);
	C(SYS_write, sv[1], "kept", 4);
	bad[0] = (struct iovec){ a, 4 };
	m = (struct msghdr){ .msg_iov = bad, .msg_iovlen = 2 };
	C(SYS_recvmsg, sv[0], &m, 0);
	C(SYS_recvmsg, sv[0], none, 0);
	m.msg_iov = (struct iovec *)none;
	C(SYS_recvmsg, sv[0], &m, 0);
	m.msg_iov = r, m.msg_iovlen = 1;
	C(SYS_recvmsg, sv[0], &m, 0);
	C(SYS_write, sv[1], "far too long", 12);
	C(SYS_recvmsg, sv[0], &m, 0);
	printf("  truncated %d\n", !!(m.msg_flags & MSG_TRUNC));
	C(SYS_write, sv[1], "header in read-only memory", 26);
	mprotect(ro, PG, PROT_READ | PROT_WRITE);
	memcpy(ro, &m, sizeof m);
	mprotect(ro, PG, PROT_READ);
	C(SYS_recvmsg, sv[0], ro, 0);
	C(SYS_recvmsg, sv[0], &m, 0);
}

static void pass_descriptors(void)
{
	union { char buf[CMSG_SPACE(3 * sizeof(int))]; struct cmsghdr align; } u;
	char x = 'x', got[100];
	int p[2], fds[3];
	puts("-- descriptors");
	pair(SOCK_STREAM);
	(void)!pipe(p);
	memset(&u, 0, sizeof u);
	struct iovec v = { &x, 1 };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1, .msg_control = u.buf, .msg_controllen = CMSG_SPACE(2 * sizeof(int)) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(2 * sizeof(int));
	memcpy(CMSG_DATA(c), p, 2 * sizeof(int));
	C(SYS_sendmsg, sv[1], &m, 0);
	fds[0] = p[0];
	fds[1] = 1020;
	memcpy(CMSG_DATA(c), fds, 2 * sizeof(int));
	C(SYS_sendmsg, sv[1], &m, 0);
	memset(&u, 0, sizeof u);
	m.msg_controllen = sizeof u.buf;
	C(SYS_recvmsg, sv[0], &m, MSG_CMSG_CLOEXEC);
	c = CMSG_FIRSTHDR(&m);
	printf("  control %zu level %d type %d len %zu flags %x\n", m.msg_controllen, c->cmsg_level, c->cmsg_type, (size_t)c->cmsg_len,
	       m.msg_flags);
	memcpy(fds, CMSG_DATA(c), 2 * sizeof(int));
	C(SYS_write, fds[1], "through", 7);
	C(SYS_read, p[0], got, 100);
	/* no room for control: descriptors are dropped, data is not */
	memcpy(CMSG_DATA(c), p, 2 * sizeof(int));
	m.msg_controllen = CMSG_SPACE(2 * sizeof(int));
	C(SYS_sendmsg, sv[1], &m, 0);
	m.msg_control = none;
	m.msg_controllen = 64;
	C(SYS_recvmsg, sv[0], &m, 0);
	printf("  flags %x control %zu\n", m.msg_flags, m.msg_controllen);
	C(SYS_recvmsg, sv[0], &m, 0);
}

static void many_messages(void)
{
	struct mmsghdr mm[4];
	struct iovec v[4] = { { "a", 1 }, { "bb", 2 }, { none, 3 }, { "dddd", 4 } };
	char buf[4][16];
	puts("-- many messages");
	pair(SOCK_DGRAM);
	memset(mm, 0, sizeof mm);
	for (int i = 0; i < 4; i++) {
		mm[i].msg_hdr.msg_iov = &v[i];
		mm[i].msg_hdr.msg_iovlen = 1;
	}
	C(SYS_sendmmsg, sv[1], mm, 4, 0);
	printf("  %u %u %u\n", mm[0].msg_len, mm[1].msg_len, mm[2].msg_len);
	C(SYS_sendmmsg, sv[1], mm + 2, 2, 0);
	C(SYS_sendmmsg, sv[1], mm + 3, 1, 0);
	C(SYS_sendmmsg, sv[1], mm, 0, 0);
	C(SYS_sendmmsg, sv[1], none, 2, 0);
	C(SYS_sendmmsg, -1, none, 2, 0);
	for (int i = 0; i < 4; i++)
		v[i] = (struct iovec){ buf[i], 16 };
	struct timespec ts = { 5, 0 };
	C(SYS_recvmmsg, sv[0], mm, 4, MSG_WAITFORONE, &ts);
	printf("  %u %u %u, time left %d\n", mm[0].msg_len, mm[1].msg_len, mm[2].msg_len, ts.tv_sec == 4);
	C(SYS_recvmmsg, sv[0], mm, 4, 0, NULL);
	C(SYS_recvmmsg, sv[0], mm, 4, 0, none);
	ts.tv_nsec = -1;
	C(SYS_recvmmsg, sv[0], mm, 4, 0, &ts);
	C(SYS_write, sv[1], "last", 4);
	C(SYS_recvmmsg, sv[0], none, 4, 0, NULL);
	C(SYS_recvmmsg, sv[0], mm, 1, 0, NULL);
}

static void unix_names(void)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX, .sun_path = "sock" }, got;
	socklen_t len = sizeof got;
	puts("-- names");
	int l = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0), c = socket(AF_UNIX, SOCK_STREAM, 0), a;
	C(SYS_bind, l, none, 20);
	C(SYS_bind, l, &sa, 500);
	C(SYS_bind, l, &sa, -1);
	C(SYS_bind, l, &sa, sizeof sa);
	C(SYS_bind, l, &sa, sizeof sa);
	C(SYS_listen, l, 5);
	C(SYS_accept, l, NULL, NULL);
	C(SYS_connect, c, none, 20);
	C(SYS_connect, c, edge(10), sizeof sa);
	C(SYS_connect, c, &sa, sizeof sa);
	C(SYS_connect, c, &sa, sizeof sa);
	C(SYS_getsockname, l, &got, &len);
	printf("  len %u '%s'\n", len, got.sun_path);
	len = 4;
	memset(&got, 0, sizeof got);
	C(SYS_getsockname, l, &got, &len);
	printf("  len %u '%s'\n", len, got.sun_path);
	len = (socklen_t)-1;
	C(SYS_getsockname, l, &got, &len);
	len = sizeof got;
	C(SYS_getsockname, l, none, &len);
	C(SYS_getsockname, l, &got, none);
	C(SYS_getsockname, l, NULL, &len);
	memcpy(edge(4), &len, 4);
	C(SYS_getsockname, l, &got, edge(4));
	C(SYS_getpeername, l, &got, &len);
	OK(SYS_accept, l, none, &len); /* the connection is lost */
	C(SYS_accept, l, NULL, NULL);
	close(c);
	c = socket(AF_UNIX, SOCK_STREAM, 0);
	C(SYS_connect, c, &sa, sizeof sa);
	OK(SYS_accept4, l, &got, none, 0);
	len = sizeof got;
	close(c);
	c = socket(AF_UNIX, SOCK_STREAM, 0);
	C(SYS_connect, c, &sa, sizeof sa);
	a = (int)OK(SYS_accept4, l, &got, &len, SOCK_CLOEXEC);
	printf("  len %u\n", len);
	C(SYS_accept4, l, NULL, NULL, 0x12345);
	close(a);
	close(c);
	close(l);
	unlink("sock");
}

static void *reader(void *arg)
{
	int fd = *(int *)arg;
	char *buf = malloc(1 << 20);
	long n, all = 0;
	uint64_t h = 0;
	while ((n = read(fd, buf, 1 << 20)) > 0) {
		for (long i = 0; i < n; i++)
			h = h * 31 + (unsigned char)buf[i];
		all += n;
	}
	printf("  reader: %ld bytes %016llx\n", all, (unsigned long long)h);
	free(buf);
	return NULL;
}

static void inet(void)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof sa;
	size_t n = 6ul << 20;
	char *m = malloc(n);
	pthread_t th;
	puts("-- inet");
	int l = socket(AF_INET, SOCK_STREAM, 0), c = socket(AF_INET, SOCK_STREAM, 0), a;
	C(SYS_bind, l, &sa, sizeof sa);
	C(SYS_listen, l, 5);
	C(SYS_getsockname, l, &sa, &len);
	C(SYS_connect, c, &sa, sizeof sa);
	a = (int)OK(SYS_accept, l, NULL, NULL);
	pthread_create(&th, NULL, reader, &a);
	fill(m, n, 21);
	C(SYS_write, c, m, n);
	shutdown(c, SHUT_WR);
	pthread_join(th, NULL);
	int u = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0), s = socket(AF_INET, SOCK_DGRAM, 0);
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) }, from;
	bind(u, (struct sockaddr *)&at, sizeof at);
	len = sizeof at;
	getsockname(u, (struct sockaddr *)&at, &len);
	C(SYS_sendto, s, "datagram", 8, 0, &at, sizeof at);
	C(SYS_sendto, s, "datagram", 8, 0, none, sizeof at);
	C(SYS_sendto, s, none, 8, 0, &at, sizeof at);
	C(SYS_sendto, s, "datagram", 8, 0, &at, 3);
	C(SYS_sendto, s, "two", 3, 0, &at, sizeof at);
	C(SYS_sendto, s, "three", 5, 0, &at, sizeof at);
	C(SYS_sendto, s, m, 70000, 0, &at, sizeof at);
	len = sizeof from;
	C(SYS_recvfrom, u, m, 100, 0, &from, &len);
	printf("  len %u family %d\n", len, from.sin_family);
	C(SYS_recvfrom, u, m, 100, 0, none, &len);
	C(SYS_recvfrom, u, m, 100, 0, &from, none);
	C(SYS_recvfrom, u, m, 100, 0, &from, &len);
	free(m);
}

static void waitall(void)
{
	static char buf[2 << 20];
	pthread_t th;
	puts("-- waitall");
	(void)!socketpair(AF_UNIX, SOCK_STREAM, 0, sv);
	pthread_create(&th, NULL, reader, &sv[0]);
	fill(buf, sizeof buf, 5);
	C(SYS_sendto, sv[1], buf, sizeof buf, 0, NULL, 0);
	shutdown(sv[1], SHUT_WR);
	pthread_join(th, NULL);
}

static void options(void)
{
	int s = socket(AF_INET, SOCK_STREAM, 0), v = 1, u = socket(AF_INET, SOCK_DGRAM, 0);
	socklen_t len = sizeof v;
	char buf[200];
	puts("-- options");
	C(SYS_setsockopt, s, SOL_SOCKET, SO_REUSEADDR, &v, 4);
	C(SYS_setsockopt, s, SOL_SOCKET, SO_REUSEADDR, none, 4);
	C(SYS_setsockopt, s, SOL_SOCKET, SO_REUSEADDR, &v, 3);
	C(SYS_setsockopt, s, SOL_SOCKET, SO_REUSEADDR, &v, -1);
	C(SYS_setsockopt, s, IPPROTO_TCP, TCP_NODELAY, &v, 4);
	C(SYS_setsockopt, s, IPPROTO_TCP, 9999, &v, 4);
	v = 77;
	C(SYS_getsockopt, s, SOL_SOCKET, SO_TYPE, &v, &len);
	printf("  %d %u\n", v, len);
	len = 2;
	C(SYS_getsockopt, s, SOL_SOCKET, SO_TYPE, &v, &len);
	printf("  %u\n", len);
	len = 4;
	C(SYS_getsockopt, s, SOL_SOCKET, SO_TYPE, none, &len);
	C(SYS_getsockopt, s, SOL_SOCKET, SO_TYPE, &v, none);
	len = (socklen_t)-1;
	C(SYS_getsockopt, s, SOL_SOCKET, SO_TYPE, &v, &len);
	len = sizeof buf;
	C(SYS_getsockopt, s, IPPROTO_TCP, TCP_INFO, buf, &len);
	struct timeval tv = { 0, 50000 };
	C(SYS_setsockopt, u, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	bind(u, (struct sockaddr *)&at, sizeof at);
	C(SYS_recvfrom, u, buf, 10, 0, NULL, NULL);
	struct sock_filter code[] = { { BPF_RET | BPF_K, 0, 0, 5 } };
	struct sock_fprog prog = { 1, code };
	C(SYS_setsockopt, u, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof prog);
	prog.filter = (struct sock_filter *)none;
	C(SYS_setsockopt, u, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof prog);
	C(SYS_setsockopt, u, SOL_SOCKET, SO_ATTACH_FILTER, none, sizeof prog);
	C(SYS_ioctl, s, SIOCATMARK, &v);
	C(SYS_ioctl, u, FIONREAD, &v);
	C(SYS_ioctl, u, FIONREAD, none);
	struct ifreq ifr = { .ifr_name = "lo" };
	C(SYS_ioctl, u, SIOCGIFFLAGS, &ifr);
	printf("  up %d\n", !!(ifr.ifr_flags & IFF_UP));
	C(SYS_ioctl, u, SIOCGIFFLAGS, none);
	struct ifreq list[8];
	struct ifconf ic = { .ifc_len = sizeof list, .ifc_req = list };
	C(SYS_ioctl, u, SIOCGIFCONF, &ic);
	printf("  some %d\n", ic.ifc_len > 0);
	ic.ifc_len = sizeof list;
	ic.ifc_buf = none;
	C(SYS_ioctl, u, SIOCGIFCONF, &ic);
	C(SYS_ioctl, u, SIOCGIFCONF, none);
}

int main(void)
{
	transcript_begin();
	datagrams();
	streams();
	messages();
	pass_descriptors();
	many_messages();
	unix_names();
	inet();
	waitall();
	options();
	return 0;
}
