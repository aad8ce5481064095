/* SPDX-License-Identifier: MIT */
/* sys_rw.c - transfers of any length between the program's memory and a descriptor
 *
 * What fits IO_CHUNK and the bound is pinned whole and is one host call: all that Linux promises about atomicity holds by itself.
 * What is longer depends on what the descriptor is:
 *
 *   regular file, block device, /dev/zero and kin   in pieces until done; no signal can cut it, as on Linux
 *   the same opened O_APPEND, written               whole if the bound holds it (other writers must not come in between)
 *   stream or pipe, written; MSG_WAITALL            in pieces, each may sleep
 *   stream, pipe or terminal, read                  one piece: a short count is what readers of these expect
 *   datagrams                                       whole, in a buffer of ours if it cannot be pinned
 *
 * A range that goes bad half-way is given to the host as it is, with the good part pinned: the host stops where Linux would. */
#include "um/syscall.h"

#include <asm/stat.h>

#define S_FMT  0170000u
#define S_FIFO 0010000u
#define S_CHR  0020000u
#define S_BLK  0060000u
#define S_REG  0100000u
#define S_SOCK 0140000u
#define O_ACCMODE 3
#define O_APPEND 02000
#define O_PATH 010000000
#define SOL_SOCKET 1
#define SO_TYPE 3
#define SOCK_STREAM 1
#define MSG_PEEK 2u
#define MSG_WAITALL 0x100u
#define MEM_MAJOR 1u
#define SMALL_BOUNCE 0x10000ul /* a piece when nothing can be pinned at the moment */

enum mode { RW_WHOLE, RW_PIECES, RW_ONE };

/* ---------------------------------------------------------------- what kind of transfer */

static enum mode mode_of_socket(const struct rw *rw)
{
	int32_t type = 0, len = sizeof(type);
	host_call5(__NR_getsockopt, rw->fd, SOL_SOCKET, SO_TYPE, HC_A(&type), HC_A(&len));
	if (type != SOCK_STREAM)
		return RW_WHOLE;
	if (rw->dir == DIR_IN)
		return RW_PIECES;
	return (rw->flags & (MSG_WAITALL | MSG_PEEK)) == MSG_WAITALL ? RW_PIECES : RW_ONE;
}

static enum mode mode_of_file(const struct rw *rw)
{
	bool append = rw->dir == DIR_IN && (host_call2(__NR_fcntl, rw->fd, 3 /* F_GETFL */) & O_APPEND);
	return append && rw->total >> PAGE_SHIFT < pin_limit(um.mc) / 2 ? RW_WHOLE : RW_PIECES;
}

static enum mode mode_of(const struct rw *rw, bool *ret_sleep)
{
	struct stat st;
	*ret_sleep = true;
	if (rw->nr == __NR_getrandom) {
		*ret_sleep = false;
		return RW_PIECES;
	}
	if (host_call2(__NR_fstat, rw->fd, HC_A(&st)))
		return RW_ONE;
	switch (st.st_mode & S_FMT) {
	case S_REG:
	case S_BLK:
		*ret_sleep = false;
		return mode_of_file(rw);
	case S_CHR:
		*ret_sleep = (st.st_rdev >> 8 & 0xfff) != MEM_MAJOR;
		return *ret_sleep ? RW_ONE : RW_PIECES;
	case S_FIFO:
		return rw->dir == DIR_IN ? RW_PIECES : RW_ONE;
	case S_SOCK:
		return mode_of_socket(rw);
	default:
		return RW_ONE;
	}
}

/* ---------------------------------------------------------------- pieces */

struct cursor {
	uint64_t i, off; /* segment and place in it */
	uint64_t max;    /* bytes of one piece */
	bool whole;      /* what cannot be pinned must be bounced */
	bool bad;        /* the piece ends in bad memory */
	uint64_t nv;     /* segments of the piece */
};

/* Make up to len bytes at addr usable; how many, or -ENOMEM: end the piece before it. */
static int64_t take_segment(struct rw *rw, struct cursor *cur, vaddr_t addr, uint64_t len, bool first, uint64_t *ret_host)
{
	int64_t r = call_pin(rw->c, addr, len, rw->dir, ret_host);
	if (r != -ENOMEM) {
		cur->bad = (uint64_t)r < len;
		return (int64_t)len;
	}
	if (!cur->whole && !first)
		return r;
	if (!cur->whole)
		len = MIN(len, SMALL_BOUNCE);
	*ret_host = call_bounce(rw->c, addr, len, rw->dir);
	cur->bad = is_bad(*ret_host);
	return (int64_t)len;
}

/* The next piece, as the host shall see it; its length. */
static uint64_t take_piece(struct rw *rw, struct cursor *cur, struct abi_iovec *v)
{
	uint64_t bytes = 0;
	cur->nv = 0;
	cur->bad = false;
	while (cur->i < rw->n && bytes < cur->max && !cur->bad) {
		const struct abi_iovec *s = &rw->iov[cur->i];
		uint64_t host, len = MIN(s->len - cur->off, cur->max - bytes);
		if (len) {
			int64_t r = take_segment(rw, cur, s->base + cur->off, len, !bytes, &host);
			if (r < 0)
				break;
			v[cur->nv++] = (struct abi_iovec){ host, (uint64_t)r };
			bytes += (uint64_t)r;
			cur->off += (uint64_t)r;
			if ((uint64_t)r < len) /* one segment never becomes two: v has no room for it */
				break;
		}
		if (cur->off == s->len)
			cur->i++, cur->off = 0;
	}
	if (!cur->nv) /* nothing to move: the host still checks the descriptor */
		v[0] = (struct abi_iovec){ rw->n ? rw->iov[0].base : 0, 0 };
	return bytes;
}

int64_t rw_run(struct rw *rw)
{
	struct call *c = rw->c;
	uint64_t limit = pin_limit(um.mc) / 2, done = 0, piece;
	struct cursor cur = { .max = limit < IO_CHUNK >> PAGE_SHIFT ? MAX(limit, 1) << PAGE_SHIFT : IO_CHUNK };
	enum mode mode = RW_WHOLE;
	struct abi_iovec one, *v = rw->n > 1 ? call_mem(c, rw->n * sizeof(*v)) : &one;
	bool sleep = true;
	int64_t r;

	if (!v)
		return -ENOMEM;
	if (rw->total > cur.max)
		mode = mode_of(rw, &sleep);
	cur.whole = mode == RW_WHOLE;
	if (cur.whole)
		cur.max = rw->total;
	struct call_mark mark = call_mark(c);
	do {
		piece = take_piece(rw, &cur, v);
		r = c->err ? c->err : rw->issue(rw, v, cur.nv, done, sleep);
		call_release(c, mark);
		if (r > 0)
			done += (uint64_t)r;
	} while (mode == RW_PIECES && piece && r == (int64_t)piece && !cur.bad && !c->err && done < rw->total && !c->t->has_taken);
	if (!done)
		return r;
	c->err = 0;
	return (int64_t)done;
}

/* ---------------------------------------------------------------- one buffer */

static int64_t issue_plain(struct rw *rw, struct abi_iovec *v, uint64_t n, uint64_t done, bool sleep)
{
	uint64_t pos = rw->arg ? *(uint64_t *)rw->arg + done : 0;
	return rw_host(rw, sleep, rw->fd, v->base, v->len, pos, 0, 0);
}

static int64_t plain(struct thread *t, unsigned dir, bool at)
{
	struct call c;
	if (unlikely(READ_ONCE(um.shm->mem_files)) && um_is_mem_file(t->arg[0]))
		return um_mem_file_rw(t, dir, at, false);
	struct abi_iovec iov = { t->arg[1], MIN(t->arg[2], RW_MOST) };
	call_begin(&c, t);
	struct rw rw = { .c = &c, .iov = &iov, .n = 1, .total = iov.len, .dir = dir, .nr = t->nr, .issue = issue_plain,
			 .fd = (int32_t)fd_arg(t->arg[0]), .arg = at ? &c.a[3] : NULL };
	if ((int64_t)t->arg[2] < 0) { /* EINVAL or EFAULT, but EBADF first */
		c.a[0] = fd_arg(c.a[0]);
		return call_end(&c, call_host(&c, t->nr));
	}
	return call_end(&c, rw_run(&rw));
}

int64_t sys_read(struct thread *t) { return plain(t, DIR_OUT, false); }
int64_t sys_write(struct thread *t) { return plain(t, DIR_IN, false); }
int64_t sys_pread64(struct thread *t) { return plain(t, DIR_OUT, true); }
int64_t sys_pwrite64(struct thread *t) { return plain(t, DIR_IN, true); }

static int64_t issue_random(struct rw *rw, struct abi_iovec *v, uint64_t n, uint64_t done, bool sleep)
{
	return rw_host(rw, sleep, v->base, v->len, rw->flags, 0, 0, 0);
}

int64_t sys_getrandom(struct thread *t)
{
	struct call c;
	struct abi_iovec iov = { t->arg[0], MIN(t->arg[1], INT32_MAX) };
	call_begin(&c, t);
	struct rw rw = { .c = &c, .iov = &iov, .n = 1, .total = iov.len, .dir = DIR_OUT, .nr = __NR_getrandom, .issue = issue_random,
			 .fd = -1, .flags = (uint32_t)t->arg[2] };
	return call_end(&c, rw_run(&rw));
}

/* ---------------------------------------------------------------- vectors */

/* Lengths that Linux refuses, or addresses that its access_ok refuses: it looks at all of them before it touches any. */
static bool refused_at_import(const struct abi_iovec *s)
{
	return (int64_t)s->len < 0 || s->base >= HOST_USER_END || s->len > HOST_USER_END - s->base;
}

bool rw_import(struct rw *rw, vaddr_t uiov, uint64_t n)
{
	struct abi_iovec *v = NULL;
	rw->iov = (struct abi_iovec *)BAD_USER;
	rw->n = n;
	rw->total = 0;
	if (n > IOV_MOST)
		return false;
	if (n)
		v = call_mem(rw->c, n * sizeof(*v));
	if (n && (!v || !copy_in(rw->c->t, v, uiov, n * sizeof(*v))))
		return false;
	rw->iov = v;
	for (uint64_t i = 0; i < n; i++)
		if (refused_at_import(&v[i]))
			return false;
	for (uint64_t i = 0; i < n; i++) {
		v[i].len = MIN(v[i].len, RW_MOST - rw->total);
		rw->total += v[i].len;
	}
	return true;
}

struct vec_args { uint64_t pos_low, pos_high, flags; bool at; };

static int64_t issue_vec(struct rw *rw, struct abi_iovec *v, uint64_t n, uint64_t done, bool sleep)
{
	const struct vec_args *a = rw->arg;
	uint64_t pos = a->at && a->pos_low != UINT64_MAX ? a->pos_low + done : a->pos_low;
	return rw_host(rw, sleep, rw->fd, HC_A(v), n, pos, a->pos_high, a->flags);
}

static int64_t vec(struct thread *t, unsigned dir, bool at)
{
	struct call c;
	if (unlikely(READ_ONCE(um.shm->mem_files)) && um_is_mem_file(t->arg[0]))
		return um_mem_file_rw(t, dir, at, true);
	call_begin(&c, t);
	struct vec_args a = { t->arg[3], t->arg[4], t->arg[5], at };
	struct rw rw = { .c = &c, .dir = dir, .nr = t->nr, .issue = issue_vec, .fd = (int32_t)fd_arg(t->arg[0]), .arg = &a };
	if (!rw_import(&rw, t->arg[1], t->arg[2]))
		return call_end(&c, c.err ? c.err : issue_vec(&rw, rw.iov, rw.n, 0, false));
	return call_end(&c, rw_run(&rw));
}

int64_t sys_readv(struct thread *t) { return vec(t, DIR_OUT, false); }
int64_t sys_writev(struct thread *t) { return vec(t, DIR_IN, false); }
int64_t sys_preadv(struct thread *t) { return vec(t, DIR_OUT, true); }
int64_t sys_pwritev(struct thread *t) { return vec(t, DIR_IN, true); }
int64_t sys_preadv2(struct thread *t) { return vec(t, DIR_OUT, true); }
int64_t sys_pwritev2(struct thread *t) { return vec(t, DIR_IN, true); }

/* The good part of a vector is all there is of it. */
static void end_at_bad(struct rw *rw)
{
	struct task *task = &rw->c->t->task;
	uint64_t i, total = 0;
	for (i = 0; i < rw->n; i++) {
		uint64_t bad = fault_in_user(um.mm, task, rw->iov[i].base, rw->iov[i].len, false);
		rw->iov[i].len -= bad;
		total += rw->iov[i].len;
		if (bad)
			break;
	}
	rw->n = MIN(i + 1, rw->n);
	rw->total = total;
	if (!total) { /* for the host to refuse, if the pipe has room */
		rw->iov[0] = (struct abi_iovec){ BAD_USER, 1 };
		rw->n = rw->total = 1;
	}
}

/* The pages of a pipe must be copies: the program's may leave memory while they are queued. */
int64_t sys_vmsplice(struct thread *t)
{
	enum { SPLICE_F_NONBLOCK = 2, RWF_NOWAIT = 8 };
	struct stat st;
	struct call c;
	int64_t fd = (int32_t)fd_arg(t->arg[0]), mode = host_call2(__NR_fcntl, fd, 3 /* F_GETFL */);
	if (t->arg[3] & ~15ull)
		return -EINVAL;
	if (mode < 0 || mode & O_PATH)
		return -EBADF;
	call_begin(&c, t);
	bool out = (mode & O_ACCMODE) == 0;
	struct vec_args a = { UINT64_MAX, 0, t->arg[3] & SPLICE_F_NONBLOCK ? RWF_NOWAIT : 0, false };
	struct rw rw = { .c = &c, .dir = out ? DIR_OUT : DIR_IN, .nr = out ? __NR_preadv2 : __NR_pwritev2, .issue = issue_vec,
			 .fd = (int32_t)fd, .arg = &a };
	if (!rw_import(&rw, t->arg[1], t->arg[2]))
		return call_end(&c, c.err ? c.err : host_call4(__NR_vmsplice, fd, HC_A(rw.iov), rw.n, t->arg[3]));
	if (!rw.total)
		return call_end(&c, 0);
	if (host_call2(__NR_fstat, fd, HC_A(&st)) || (st.st_mode & S_FMT) != S_FIFO)
		return call_end(&c, -EBADF);
	if (!out)
		end_at_bad(&rw);
	return call_end(&c, rw_run(&rw));
}
