/* SPDX-License-Identifier: MIT */
/* pin.c - memory that the host kernel may touch: pins, and system calls on buffers anywhere
 *
 * A range is cut where it enters and leaves pools' windows; what lies outside is the host's own and needs nothing.  The wrappers
 * pin piece by piece, at most what may be pinned, and stop at the first call that does less than was asked. */
#include "lib/lib.h"

#include <sys/stat.h>

#define SIZE_MOST ((size_t)1 << 62)

#define PIN_MAGIC 0x73665f70696e0000ull

/* ---------------------------------------------------------------- pieces of a range inside pools */

/* The next piece of [at, end) that a pool holds; the pool is visited. */
static struct pool *next_piece(vaddr_t at, vaddr_t end, vaddr_t *ret_lo, vaddr_t *ret_hi)
{
	struct pool *p = pool_visit_next(at, end);

	if (p) {
		*ret_lo = MAX(at, p->lo);
		*ret_hi = MIN(end, p->hi);
	}
	return p;
}

static void unpin(vaddr_t at, vaddr_t end)
{
	struct pool *p;

	for (vaddr_t lo, hi; at < end && (p = next_piece(at, end, &lo, &hi)); at = hi) {
		unpin_user(p->mm, lo, hi - lo);
		pool_leave(p);
	}
}

static int pin_error(const struct task *tk, int64_t got)
{
	if (tk->error)
		return tk->error;
	return got < 0 && got != -ENOMEM ? (int)got : got == -ENOMEM ? -ENOBUFS : 0;
}

/* All of [lo, hi), or none of it. */
static int pin_piece(struct pool *p, vaddr_t lo, vaddr_t hi, bool write)
{
	struct task tk = { .tid = thread_number() };
	int64_t got = pin_user(p->mm, &tk, lo, hi - lo, write);
	int err = pin_error(&tk, got);

	if (got == (int64_t)(hi - lo))
		return 0;
	if (got <= 0)
		return err ? err : -EFAULT;
	unpin_user(p->mm, lo, (uint64_t)got);
	if (err)
		return err;
	/* why it stopped there: ask for that page alone */
	lo += (uint64_t)got;
	got = pin_user(p->mm, &tk, lo, 1, write);
	if (got <= 0)
		return pin_error(&tk, got) ?: -EFAULT;
	unpin_user(p->mm, lo, 1);
	return -ENOBUFS;
}

static int pin(vaddr_t at, vaddr_t end, bool write)
{
	vaddr_t start = at, lo, hi;
	struct pool *p;
	int err = 0;

	for (; !err && at < end && (p = next_piece(at, end, &lo, &hi)); at = err ? at : hi) {
		err = pin_piece(p, lo, hi, write);
		pool_leave(p);
	}
	if (err)
		unpin(start, at);
	return err;
}

/* ---------------------------------------------------------------- calls */

int sf_pin(const void *addr, size_t len, int write, struct sf_pin *ret)
{
	vaddr_t at = (vaddr_t)addr;
	struct scope sc;
	int err = !ret || !addr || !len || at + len < at || write & ~1 ? -EINVAL : 0;

	if (!err) {
		*(volatile uint64_t *)&ret->reserved[0] = 0; /* what cannot be written is better known now than when all is pinned */
		err = lib_enter(&sc);
	}
	if (err)
		return err;
	err = pin(at, at + len, write);
	lib_leave(&sc);
	if (!err) {
		*ret = (struct sf_pin){ .addr = addr, .len = len };
		ret->reserved[0] = PIN_MAGIC ^ at ^ len;
	}
	return err;
}

int sf_unpin(struct sf_pin *p)
{
	struct scope sc;
	vaddr_t at = p ? (vaddr_t)p->addr : 0, end = p ? at + p->len : 0;
	uint64_t magic = PIN_MAGIC ^ at ^ (end - at);
	int err = !p || p->reserved[0] != magic ? -EINVAL : 0;

	if (err)
		return err;
	p->reserved[0] = 0;
	err = lib_enter(&sc);
	if (err) {
		p->reserved[0] = magic;
		return err;
	}
	unpin(at, end);
	lib_leave(&sc);
	return 0;
}

/* ---------------------------------------------------------------- system calls */

/* Most bytes of a buffer at addr that one call may have pinned. */
static size_t piece_bytes(vaddr_t addr, size_t n)
{
	vaddr_t lo, hi;
	struct pool *p = next_piece(addr, addr + n, &lo, &hi);
	uint64_t pages;

	if (!p)
		return n;
	pages = MAX(pin_limit(p->mc) / 4, 1); /* others pin too */
	pool_leave(p);
	return lo > addr ? MIN(n, lo - addr) : MIN(n, (pages << PAGE_SHIFT) - (addr & ~PAGE_MASK));
}

struct io {
	long nr;
	int fd;
	char *buf;
	size_t n;
	off_t off;
	int flags;
	bool in;     /* the host writes to the buffer */
	bool at_off;
};

static int guard(bool take, const struct io *io, size_t n)
{
	struct scope sc;
	int err = lib_enter(&sc);

	if (err)
		return err;
	if (take)
		err = pin((vaddr_t)io->buf, (vaddr_t)io->buf + n, io->in);
	else
		unpin((vaddr_t)io->buf, (vaddr_t)io->buf + n);
	lib_leave(&sc);
	return err;
}

static ssize_t one_call(const struct io *io, size_t n)
{
	int err = n ? guard(true, io, n) : 0;
	ssize_t r;

	if (err)
		return err;
	if (io->nr == __NR_sendto || io->nr == __NR_recvfrom)
		r = host_call6(io->nr, io->fd, io->buf, n, io->flags, 0, 0);
	else
		r = host_call4(io->nr, io->fd, io->buf, n, io->off);
	if (n)
		guard(false, io, n);
	return r;
}

/* Reading on might wait for what never comes. */
static bool may_go_on(const struct io *io)
{
	struct stat st;

	return !io->in || (!host_call2(__NR_fstat, io->fd, &st) && S_ISREG(st.st_mode));
}

static ssize_t do_io(struct io io)
{
	size_t done = 0;

	if ((!io.buf && io.n) || io.n > SIZE_MOST || (vaddr_t)io.buf + io.n < (vaddr_t)io.buf)
		return -EINVAL;
	do {
		size_t n = piece_bytes((vaddr_t)io.buf, io.n - done);
		ssize_t r = one_call(&io, n);

		if (r < 0)
			return done ? (ssize_t)done : r;
		done += (size_t)r;
		io.buf += r;
		io.off += io.at_off ? r : 0;
		if ((size_t)r < n)
			break;
	} while (done < io.n && may_go_on(&io));
	return (ssize_t)done;
}

ssize_t sf_read(int fd, void *buf, size_t n)
{
	return do_io((struct io){ .nr = __NR_read, .fd = fd, .buf = buf, .n = n, .in = true });
}

ssize_t sf_write(int fd, const void *buf, size_t n)
{
	return do_io((struct io){ .nr = __NR_write, .fd = fd, .buf = (char *)(uintptr_t)buf, .n = n });
}

ssize_t sf_pread(int fd, void *buf, size_t n, off_t off)
{
	return do_io((struct io){ .nr = __NR_pread64, .fd = fd, .buf = buf, .n = n, .off = off, .in = true, .at_off = true });
}

ssize_t sf_pwrite(int fd, const void *buf, size_t n, off_t off)
{
	return do_io((struct io){ .nr = __NR_pwrite64, .fd = fd, .buf = (char *)(uintptr_t)buf, .n = n, .off = off, .at_off = true });
}

ssize_t sf_recv(int fd, void *buf, size_t n, int flags)
{
	if ((!buf && n) || n > SIZE_MOST)
		return -EINVAL;
	return one_call(&(struct io){ .nr = __NR_recvfrom, .fd = fd, .buf = buf, .flags = flags, .in = true }, n);
}

ssize_t sf_send(int fd, const void *buf, size_t n, int flags)
{
	if ((!buf && n) || n > SIZE_MOST)
		return -EINVAL;
	return one_call(&(struct io){ .nr = __NR_sendto, .fd = fd, .buf = (char *)(uintptr_t)buf, .flags = flags }, n);
}

static void unpin_iov(const struct iovec *iov, int n)
{
	while (n--)
		unpin((vaddr_t)iov[n].iov_base, (vaddr_t)iov[n].iov_base + iov[n].iov_len);
}

static int pin_iov(const struct iovec *iov, int n, bool in)
{
	int err = 0;

	for (int i = 0; !err && i < n; i++) {
		vaddr_t at = (vaddr_t)iov[i].iov_base;

		err = at + iov[i].iov_len < at ? -EINVAL : pin(at, at + iov[i].iov_len, in);
		if (err)
			unpin_iov(iov, i);
	}
	return err;
}

/* All at once, as the host does it; -ENOBUFS when so much cannot be pinned. */
static ssize_t whole_iov(long nr, int fd, const struct iovec *iov, int n, bool in)
{
	struct scope sc;
	ssize_t r;
	int err = lib_enter(&sc);

	if (err)
		return err;
	err = pin_iov(iov, n, in);
	lib_leave(&sc);
	if (err)
		return err;
	r = host_call3(nr, fd, iov, n);
	lib_enter(&sc);
	unpin_iov(iov, n);
	lib_leave(&sc);
	return r;
}

/* Pieces in order; stops where a piece comes short. */
static ssize_t do_iov(long nr, int fd, const struct iovec *iov, int n, bool in)
{
	ssize_t done = 0, all;

	if (n < 0 || n > 1024 || (n && !iov))
		return -EINVAL;
	if (n && sf_probe(iov, (size_t)n * sizeof(*iov), 0, NULL))
		return -EFAULT;
	all = whole_iov(in ? __NR_readv : __NR_writev, fd, iov, n, in);
	if (all != -ENOBUFS)
		return all;
	for (int i = 0; i < n; i++) {
		ssize_t r;

		if (!iov[i].iov_len)
			continue;
		r = do_io((struct io){ .nr = nr, .fd = fd, .buf = iov[i].iov_base, .n = iov[i].iov_len, .in = in });
		if (r < 0)
			return done ? done : r;
		done += r;
		if ((size_t)r < iov[i].iov_len)
			break;
	}
	return done;
}

ssize_t sf_readv(int fd, const struct iovec *iov, int n)
{
	return do_iov(__NR_read, fd, iov, n, true);
}

ssize_t sf_writev(int fd, const struct iovec *iov, int n)
{
	return do_iov(__NR_write, fd, iov, n, false);
}
