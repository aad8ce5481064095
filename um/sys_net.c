/* SPDX-License-Identifier: MIT */
/* sys_net.c - socket calls whose arguments hold pointers, or whose restart depends on the socket
 *
 * struct msghdr is copied in and rebuilt with what the host may touch; what recvmsg changes in it (name's length, control's length, flags) is
 * stored back as Linux stores it.  Control messages are plain data both ways, but descriptors of ours that a program would send do not exist.
 * sendmmsg and recvmmsg are made of single messages: that is how Linux defines them, and nothing is received that has no place to go. */
#include "um/syscall.h"

#define SOL_SOCKET 1
#define SCM_RIGHTS 1
#define SO_ATTACH_FILTER 26
#define SO_ATTACH_REUSEPORT_CBPF 51
#define SO_RCVTIMEO 20
#define SO_SNDTIMEO 21
#define IPPROTO_TCP 6
#define TCP_ZEROCOPY_RECEIVE 35
#define MSG_DONTWAIT 0x40u
#define MSG_WAITFORONE 0x10000u
#define MSG_CMSG_COMPAT 0x80000000u
#define ADDR_MOST 128u /* sizeof(struct sockaddr_storage) */
#define CONTROL_MOST (1ul << 20)
#define MMSG_MOST 1024u

struct msghdr { uint64_t name; int32_t namelen, pad; uint64_t iov, iovlen, control, controllen; uint32_t flags, pad2; };
struct mmsghdr { struct msghdr hdr; uint32_t len, pad; };
struct cmsghdr { uint64_t len; int32_t level, type; };

/* A call that a signal ended: with a timeout on the socket Linux never restarts it (signal(7)). */
static int64_t sock_interrupted(struct thread *t, int64_t r, uint64_t fd, int timeo)
{
	int64_t tv[2] = { 0, 0 };
	int32_t len = sizeof(tv);
	if (r != -EINTR)
		return r;
	if (!host_call5(__NR_getsockopt, fd, SOL_SOCKET, timeo, HC_A(tv), HC_A(&len)) && (tv[0] || tv[1]))
		t->desc = &um_never_restarts;
	return r;
}

/* ---------------------------------------------------------------- plain ones */

static int64_t issue_sendto(struct rw *rw, struct abi_iovec *v, uint64_t n, uint64_t done, bool sleep)
{
	const uint64_t *a = rw->arg;
	return rw_host(rw, sleep, rw->fd, v->base, v->len, rw->flags, a[4], a[5]);
}

int64_t sys_sendto(struct thread *t)
{
	struct call c;
	struct abi_iovec iov = { t->arg[1], MIN(t->arg[2], RW_MOST) };
	call_begin(&c, t);
	int32_t alen = (int32_t)t->arg[5];
	if (alen > 0)
		c.a[4] = call_in(&c, t->arg[4], MIN((uint32_t)alen, ADDR_MOST));
	struct rw rw = { .c = &c, .iov = &iov, .n = 1, .total = iov.len, .dir = DIR_IN, .nr = __NR_sendto, .issue = issue_sendto,
			 .fd = (int32_t)fd_arg(t->arg[0]), .flags = (uint32_t)t->arg[3], .arg = c.a };
	int64_t r = rw_run(&rw);
	return call_end(&c, sock_interrupted(t, r, t->arg[0], SO_SNDTIMEO));
}

/* Address and its length, by value-result. */
static void map_address(struct call *c, unsigned addr, unsigned len)
{
	struct thread *t = c->t;
	int32_t room;
	if (!t->arg[addr])
		return;
	c->a[len] = call_map(c, t->arg[len], 4, DIR_INOUT);
	if (GET_USER(t, int32_t, t->arg[len], &room))
		c->a[addr] = bad_address(t->arg[addr]);
	else if (room > 0)
		c->a[addr] = call_map(c, t->arg[addr], MIN((uint32_t)room, ADDR_MOST), DIR_OUT);
}

/* The address is mapped with each piece, as a piece's end gives up all that is mapped. */
static int64_t issue_recvfrom(struct rw *rw, struct abi_iovec *v, uint64_t n, uint64_t done, bool sleep)
{
	struct call *c = rw->c;
	map_address(c, 4, 5);
	return c->err ? c->err : rw_host(rw, sleep, rw->fd, v->base, v->len, rw->flags, c->a[4], c->a[5]);
}

int64_t sys_recvfrom(struct thread *t)
{
	struct call c;
	struct abi_iovec iov = { t->arg[1], MIN(t->arg[2], RW_MOST) };
	call_begin(&c, t);
	struct rw rw = { .c = &c, .iov = &iov, .n = 1, .total = iov.len, .dir = DIR_OUT, .nr = __NR_recvfrom,
			 .issue = issue_recvfrom, .fd = (int32_t)fd_arg(t->arg[0]), .flags = (uint32_t)t->arg[3] };
	int64_t r = rw_run(&rw);
	return call_end(&c, sock_interrupted(t, r, t->arg[0], SO_RCVTIMEO));
}

static int64_t do_accept(struct thread *t)
{
	struct call c;
	call_begin(&c, t);
	c.a[0] = fd_arg(t->arg[0]);
	map_address(&c, 1, 2);
	int64_t r = fd_result(call_sleep(&c, t->nr));
	return call_end(&c, sock_interrupted(t, r, t->arg[0], SO_RCVTIMEO));
}

int64_t sys_accept(struct thread *t) { return do_accept(t); }
int64_t sys_accept4(struct thread *t) { return do_accept(t); }

int64_t sys_connect(struct thread *t)
{
	struct call c;
	int32_t alen = (int32_t)t->arg[2];
	call_begin(&c, t);
	c.a[0] = fd_arg(t->arg[0]);
	if (alen > 0)
		c.a[1] = call_in(&c, t->arg[1], MIN((uint32_t)alen, ADDR_MOST));
	int64_t r = call_sleep(&c, t->nr);
	return call_end(&c, sock_interrupted(t, r, t->arg[0], SO_SNDTIMEO));
}

/* ---------------------------------------------------------------- options */

struct fprog { uint16_t len, pad[3]; uint64_t insns; };

/* A filter program: a count and a pointer to 8-byte instructions. */
static void map_filter(struct call *c)
{
	struct thread *t = c->t;
	struct fprog *f = call_mem(c, sizeof(*f));
	if (!f || !copy_in(t, f, t->arg[3], sizeof(*f))) {
		c->a[3] = bad_address(t->arg[3]);
		return;
	}
	f->insns = call_map(c, f->insns, (uint64_t)f->len * 8, DIR_IN);
	c->a[3] = HC_A(f);
}

int64_t sys_setsockopt(struct thread *t)
{
	struct call c;
	int32_t level = (int32_t)t->arg[1], opt = (int32_t)t->arg[2], len = (int32_t)t->arg[4];
	call_begin(&c, t);
	c.a[0] = fd_arg(t->arg[0]);
	if (level == SOL_SOCKET && (opt == SO_ATTACH_FILTER || opt == SO_ATTACH_REUSEPORT_CBPF) && len >= (int32_t)sizeof(struct fprog))
		map_filter(&c);
	else if (len > 0)
		c.a[3] = call_map(&c, t->arg[3], (uint32_t)len, DIR_IN);
	return call_end(&c, call_host(&c, t->nr));
}

int64_t sys_getsockopt(struct thread *t)
{
	struct call c;
	int32_t room;
	if ((int32_t)t->arg[1] == IPPROTO_TCP && (int32_t)t->arg[2] == TCP_ZEROCOPY_RECEIVE)
		return -ENOPROTOOPT; /* it would map the host's pages over the program's */
	call_begin(&c, t);
	c.a[0] = fd_arg(t->arg[0]);
	c.a[4] = call_map(&c, t->arg[4], 4, DIR_INOUT);
	if (GET_USER(t, int32_t, t->arg[4], &room))
		c.a[3] = bad_address(t->arg[3]);
	else if (room > 0)
		c.a[3] = call_map(&c, t->arg[3], (uint32_t)room, DIR_INOUT);
	return call_end(&c, call_host(&c, t->nr));
}

/* ---------------------------------------------------------------- messages */

/* Descriptors of ours in a control message to be sent: they do not exist. */
static void hide_rights(char *buf, uint64_t len)
{
	for (uint64_t at = 0; at + sizeof(struct cmsghdr) <= len;) {
		struct cmsghdr *m = (struct cmsghdr *)(buf + at);
		if (m->len < sizeof(*m) || m->len > len - at)
			return;
		int32_t *fd = (int32_t *)(m + 1);
		if (m->level == SOL_SOCKET && m->type == SCM_RIGHTS)
			for (uint64_t n = (m->len - sizeof(*m)) / 4; n; n--, fd++)
				*fd = fd_is_ours((uint32_t)*fd) ? -1 : *fd;
		at += (m->len + 7) & ~7ull;
	}
}

static uint64_t copy_control(struct call *c, vaddr_t addr, uint64_t len)
{
	uint64_t host = call_in(c, addr, len);
	if (host && !is_bad(host))
		hide_rights((char *)host, len);
	return host;
}

struct message {
	struct msghdr user, host;
	bool recv;
};

/* Send: name and control are copied once.  Only the first piece carries control, as only then it belongs to its bytes. */
static bool prepare_send(struct call *c, struct message *m)
{
	struct msghdr *h = &m->host;
	if (h->name && h->namelen > 0)
		h->name = call_in(c, h->name, MIN((uint32_t)h->namelen, ADDR_MOST));
	if (h->control && h->controllen) {
		if (h->controllen > CONTROL_MOST)
			c->err = -ENOBUFS;
		else
			h->control = copy_control(c, h->control, h->controllen);
	}
	return !c->err;
}

/* Linux stores what a control message brings before its head: that may lie in the next page. */
static uint64_t map_control(struct call *c, vaddr_t addr, uint64_t len)
{
	uint64_t next = (addr | ~PAGE_MASK) + 1, host = call_map(c, addr, len, DIR_OUT), rest;
	if (is_bad(host) && next < TASK_SIZE && next - addr < len && call_pin(c, next, len - (next - addr), DIR_OUT, &rest) > 0)
		return addr;
	return host;
}

static void map_recv(struct call *c, struct message *m)
{
	struct msghdr *h = &m->host;
	h->name = m->user.name;
	h->namelen = m->user.namelen;
	h->control = m->user.control;
	h->controllen = m->user.controllen;
	if (h->name && h->namelen > 0)
		h->name = call_map(c, h->name, MIN((uint32_t)h->namelen, ADDR_MOST), DIR_OUT);
	if (h->control && h->controllen) {
		h->controllen = MIN(h->controllen, CONTROL_MOST);
		h->control = map_control(c, h->control, h->controllen);
	}
}

static int64_t issue_msg(struct rw *rw, struct abi_iovec *v, uint64_t n, uint64_t done, bool sleep)
{
	struct message *m = rw->arg;
	struct call *c = rw->c;
	if (m->recv)
		map_recv(c, m);
	else if (done)
		m->host.control = m->host.controllen = 0;
	m->host.iov = HC_A(v);
	m->host.iovlen = n;
	return c->err ? c->err : rw_host(rw, sleep, rw->fd, HC_A(&m->host), rw->flags, 0, 0, 0);
}

/* Linux's ____sys_recvmsg: name length if there is a name, flags, control length. */
static int store_result(struct thread *t, vaddr_t umsg, const struct message *m)
{
	uint64_t used = m->host.controllen;
	if (m->user.name && PUT_USER(t, int32_t, umsg + offsetof(struct msghdr, namelen), m->host.namelen))
		return -EFAULT;
	if (PUT_USER(t, uint32_t, umsg + offsetof(struct msghdr, flags), m->host.flags) ||
	    PUT_USER(t, uint64_t, umsg + offsetof(struct msghdr, controllen), used))
		return -EFAULT;
	return 0;
}

/* One message; for the host to refuse if the header itself is bad. */
static int64_t one_message(struct thread *t, vaddr_t umsg, uint32_t flags, bool recv)
{
	struct call c;
	struct message m = { .recv = recv };
	uint64_t fd = fd_arg(t->arg[0]);
	long nr = recv ? __NR_recvmsg : __NR_sendmsg;
	if (!copy_in(t, &m.user, umsg, sizeof(m.user)))
		return host_call3(nr, fd, bad_address(umsg), flags);
	m.host = m.user;
	call_begin(&c, t);
	struct rw rw = { .c = &c, .dir = recv ? DIR_OUT : DIR_IN, .nr = nr, .issue = issue_msg, .fd = (int32_t)fd, .flags = flags, .arg = &m };
	int64_t r;
	if (!rw_import(&rw, m.user.iov, m.user.iovlen)) {
		m.host.iov = HC_A(rw.iov);
		m.host.control = m.host.controllen = 0;
		if (m.host.name && !recv && (int32_t)m.host.namelen > 0) /* which the host looks at first */
			m.host.name = call_in(&c, m.host.name, MIN(m.host.namelen, ADDR_MOST));
		r = c.err ? c.err : host_call3(nr, fd, HC_A(&m.host), flags);
	} else if (recv || prepare_send(&c, &m)) {
		r = rw_run(&rw);
	} else {
		r = c.err;
	}
	r = call_end(&c, sock_interrupted(t, r, fd, recv ? SO_RCVTIMEO : SO_SNDTIMEO));
	return r >= 0 && recv && store_result(t, umsg, &m) ? -EFAULT : r;
}

int64_t sys_sendmsg(struct thread *t) { return one_message(t, t->arg[1], (uint32_t)t->arg[2], false); }
int64_t sys_recvmsg(struct thread *t) { return one_message(t, t->arg[1], (uint32_t)t->arg[2], true); }

/* ---------------------------------------------------------------- several messages */

int64_t sys_sendmmsg(struct thread *t)
{
	uint32_t n = MIN((uint32_t)t->arg[2], MMSG_MOST), i;
	int64_t r = 0;
	if (!n) /* EBADF, ENOTSOCK, or 0 */
		return host_call4(__NR_sendmmsg, fd_arg(t->arg[0]), 0, 0, t->arg[3]);
	for (i = 0; i < n && !t->has_taken; i++) {
		vaddr_t at = t->arg[1] + i * sizeof(struct mmsghdr);
		r = one_message(t, at, (uint32_t)t->arg[3], false);
		if (r < 0 || (r = PUT_USER(t, uint32_t, at + offsetof(struct mmsghdr, len), r)))
			break;
	}
	return i ? i : r;
}

/* Time left of a timeout that ends at end (monotonic ns); negative: over. */
static int64_t time_left(uint64_t end)
{
	return (int64_t)(end - um.port->ops->now(um.port));
}

struct timespec64 { int64_t sec, nsec; };

static int64_t recv_many(struct thread *t, uint32_t n, uint64_t end)
{
	uint32_t flags = (uint32_t)t->arg[3], i;
	int64_t r = 0;
	for (i = 0; i < n && !t->has_taken; i++) {
		vaddr_t at = t->arg[1] + i * sizeof(struct mmsghdr);
		uint32_t now = flags & ~MSG_WAITFORONE;
		if (i && (flags & MSG_WAITFORONE))
			now |= MSG_DONTWAIT;
		r = one_message(t, at, now, true);
		if (r < 0 || (r = PUT_USER(t, uint32_t, at + offsetof(struct mmsghdr, len), r)))
			break;
		if (end && time_left(end) <= 0) {
			i++;
			break;
		}
	}
	return i ? i : r;
}

int64_t sys_recvmmsg(struct thread *t)
{
	struct timespec64 ts = { 0, 0 };
	uint32_t n = MIN((uint32_t)t->arg[2], MMSG_MOST);
	uint64_t end = 0;
	if ((uint32_t)t->arg[3] & MSG_CMSG_COMPAT)
		return -EINVAL;
	if (t->arg[4]) {
		if (!copy_in(t, &ts, t->arg[4], sizeof(ts)))
			return -EFAULT;
		if (ts.sec < 0 || (uint64_t)ts.nsec >= 1000000000ull)
			return -EINVAL;
		end = um.port->ops->now(um.port) + (uint64_t)MIN(ts.sec, 1 << 30) * 1000000000ull + (uint64_t)ts.nsec;
	}
	if (!n)
		return host_call5(__NR_recvmmsg, fd_arg(t->arg[0]), 0, 0, t->arg[3], 0);
	int64_t r = recv_many(t, n, end);
	if (r > 0 && end) {
		int64_t left = MAX(time_left(end), 0);
		ts = (struct timespec64){ left / 1000000000, left % 1000000000 };
		if (!copy_out(t, t->arg[4], &ts, sizeof(ts)))
			return -EFAULT;
	}
	return r;
}
