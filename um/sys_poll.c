/* SPDX-License-Identifier: MIT */
/* sys_poll.c - waiting for descriptors
 *
 * Waits can be long and many threads may wait, so poll and select work on copies and keep nothing of the program's pinned meanwhile; both only
 * report, and nothing is lost if the report cannot be stored.  epoll hands out events that may be gone afterwards, so its array is
 * pinned and the host itself stores into it.
 *
 * The calls with a signal set wait under it: the host gets no set, as the window opens with ours (um_use_sigmask).  None of them is ever
 * restarted after a handler. */
#include "um/syscall.h"

#define NSEC 1000000000ll
#define EPOLL_EVENT 12u
#define EPOLL_BYTES IO_CHUNK /* most that one wait hands out here */
#define MOST_FDS (1u << 20)

struct pollfd { int32_t fd; uint16_t events, revents; };
struct timespec64 { int64_t sec, nsec; };

/* ---------------------------------------------------------------- the common arguments */

/* The program's sigset at addr, size bytes as it says, becomes the mask while we wait. */
static int64_t use_sigset(struct thread *t, vaddr_t addr, uint64_t size)
{
	uint64_t set;
	if (!addr)
		return 0;
	if (size != sizeof(set))
		return -EINVAL;
	if (!copy_in(t, &set, addr, sizeof(set)))
		return -EFAULT;
	um_use_sigmask(t, set);
	return 0;
}

/* A timeout that Linux updates with what is left; if that cannot be stored nobody minds. */
struct timeout { vaddr_t at; struct timespec64 before, ts; };

static int64_t timeout_get(struct thread *t, struct timeout *to, vaddr_t addr)
{
	memset(to, 0, sizeof(*to));
	to->at = addr;
	if (addr && !copy_in(t, &to->before, addr, sizeof(to->before)))
		return -EFAULT;
	to->ts = to->before;
	return 0;
}

/* A call that failed before it waited has taken its time, too. */
static void timeout_spent(struct timespec64 *ts)
{
	int64_t spent = 1000;
	if (ts->nsec < spent) {
		if (!ts->sec)
			spent = ts->nsec;
		else
			ts->sec--, ts->nsec += NSEC;
	}
	ts->nsec -= spent;
}

static void timeout_put(struct thread *t, const struct timeout *to)
{
	if (to->at && memcmp(&to->before, &to->ts, sizeof(to->ts)))
		(void)copy_out(t, to->at, &to->ts, sizeof(to->ts));
}

static int64_t wait_call(struct call *c, long nr, uint64_t a, uint64_t b, uint64_t d, uint64_t e, uint64_t f, uint64_t g)
{
	return c->err ? c->err : um_block_call(c->t, c->t->sigmask, nr, a, b, d, e, f, g);
}

/* ---------------------------------------------------------------- poll */

/* Copy of the program's array; our own descriptors are not open for it. */
static struct pollfd *poll_get(struct call *c, vaddr_t ufds, uint64_t n)
{
	struct pollfd *p = call_mem(c, n * sizeof(*p));
	if (!p || !copy_in(c->t, p, ufds, n * sizeof(*p)))
		return NULL;
	for (uint64_t i = 0; i < n; i++)
		if (fd_is_ours((uint32_t)p[i].fd))
			p[i].fd = INT32_MAX;
	return p;
}

/* Only revents is stored, in every entry, as Linux does. */
static int poll_put(struct thread *t, vaddr_t ufds, const struct pollfd *p, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		if (PUT_USER(t, uint16_t, ufds + i * sizeof(*p) + offsetof(struct pollfd, revents), p[i].revents))
			return -EFAULT;
	return 0;
}

static int64_t do_poll(struct call *c, vaddr_t ufds, uint64_t n, struct timespec64 *ts)
{
	uint64_t cur, max;
	fd_limit_get(&cur, &max);
	if (n > cur || n > MOST_FDS)
		return -EINVAL;
	struct pollfd *p = n ? poll_get(c, ufds, n) : NULL;
	if (n && !p)
		return c->err ? c->err : -EFAULT;
	int64_t r = wait_call(c, __NR_ppoll, HC_A(p), n, HC_A(ts), 0, 8, 0);
	if (n && (r >= 0 || r == -EINTR) && poll_put(c->t, ufds, p, n))
		return -EFAULT;
	return r;
}

int64_t sys_poll(struct thread *t)
{
	struct call c;
	int32_t ms = (int32_t)t->arg[2];
	struct timespec64 ts = { ms / 1000, ms % 1000 * 1000000ll };
	call_begin(&c, t);
	return call_end(&c, do_poll(&c, t->arg[0], (uint32_t)t->arg[1], ms < 0 ? NULL : &ts));
}

int64_t sys_ppoll(struct thread *t)
{
	struct call c;
	struct timeout to;
	int64_t r = timeout_get(t, &to, t->arg[2]);
	if (r)
		return r;
	if (to.at && (to.ts.sec < 0 || to.ts.nsec < 0 || to.ts.nsec >= NSEC))
		return -EINVAL;
	r = use_sigset(t, t->arg[3], t->arg[4]);
	if (r)
		return r;
	call_begin(&c, t);
	r = call_end(&c, do_poll(&c, t->arg[0], (uint32_t)t->arg[1], to.at ? &to.ts : NULL));
	if (r == -EFAULT || r == -EINVAL)
		timeout_spent(&to.ts);
	timeout_put(t, &to);
	return r;
}

/* ---------------------------------------------------------------- select */

/* Three sets in the program's memory and their copies; NULL ones stay NULL. */
struct sets { vaddr_t at[3]; uint64_t *copy[3]; uint64_t bytes; };

static int64_t sets_get(struct call *c, struct sets *s, const uint64_t *arg, uint64_t n)
{
	s->bytes = (n + 63) / 64 * 8;
	for (int i = 0; i < 3; i++) {
		s->at[i] = arg[i];
		s->copy[i] = arg[i] ? call_mem(c, s->bytes + 8) : NULL;
		if (arg[i] && (!s->copy[i] || !copy_in(c->t, s->copy[i], arg[i], s->bytes)))
			return c->err ? c->err : -EFAULT;
	}
	return 0;
}

static int64_t sets_put(struct thread *t, const struct sets *s)
{
	for (int i = 0; i < 3; i++)
		if (s->copy[i] && !copy_out(t, s->at[i], s->copy[i], s->bytes))
			return -EFAULT;
	return 0;
}

static int64_t do_select(struct thread *t, struct timespec64 *ts)
{
	struct call c;
	struct sets s = { 0 };
	int32_t n = (int32_t)t->arg[0];
	if (n < 0) {
		if (ts)
			timeout_spent(ts);
		return -EINVAL;
	}
	n = MIN(n, um.shm->cfg.fd_base);
	call_begin(&c, t);
	int64_t r = sets_get(&c, &s, t->arg + 1, (uint64_t)n);
	if (!r)
		r = wait_call(&c, __NR_pselect6, (uint64_t)n, HC_A(s.copy[0]), HC_A(s.copy[1]), HC_A(s.copy[2]), HC_A(ts), 0);
	if (r >= 0 && sets_put(t, &s))
		r = -EFAULT;
	else if (r == -EFAULT && ts)
		timeout_spent(ts);
	return call_end(&c, r);
}

int64_t sys_pselect6(struct thread *t)
{
	struct timeout to;
	uint64_t set[2] = { 0, 0 };
	int64_t r;
	if (t->arg[5] && !copy_in(t, set, t->arg[5], sizeof(set)))
		return -EFAULT;
	r = timeout_get(t, &to, t->arg[4]);
	if (r)
		return r;
	if (to.at && (to.ts.sec < 0 || to.ts.nsec < 0 || to.ts.nsec >= NSEC))
		return -EINVAL;
	r = use_sigset(t, set[0], set[1]);
	if (r)
		return r;
	r = do_select(t, to.at ? &to.ts : NULL);
	timeout_put(t, &to);
	return r;
}

/* The timeout is a timeval: microseconds, of which there may be more than a million. */
int64_t sys_select(struct thread *t)
{
	struct timeout to;
	struct timespec64 ts = { 0, 0 };
	int64_t r = timeout_get(t, &to, t->arg[4]);
	if (r)
		return r;
	if (to.at) {
		ts.sec = to.ts.sec + to.ts.nsec / 1000000;
		ts.nsec = to.ts.nsec % 1000000 * 1000;
		if (ts.sec < 0 || ts.nsec < 0)
			return -EINVAL;
	}
	r = do_select(t, to.at ? &ts : NULL);
	to.ts = (struct timespec64){ ts.sec, ts.nsec / 1000 };
	timeout_put(t, &to);
	return r;
}

/* ---------------------------------------------------------------- epoll */

/* c->a is ready but for descriptor and array. */
static int64_t do_epoll(struct call *c, long nr, uint64_t timeout)
{
	int32_t n = (int32_t)c->t->arg[2];
	c->a[0] = fd_arg(c->t->arg[0]);
	if (n > 0 && n <= INT32_MAX / (int32_t)EPOLL_EVENT) {
		n = MIN(n, (int32_t)(EPOLL_BYTES / EPOLL_EVENT));
		c->a[1] = call_map(c, c->t->arg[1], (uint64_t)n * EPOLL_EVENT, DIR_OUT);
	}
	return wait_call(c, nr, c->a[0], c->a[1], (uint64_t)(int64_t)n, timeout, 0, 8);
}

int64_t sys_epoll_wait(struct thread *t)
{
	struct call c;
	call_begin(&c, t);
	return call_end(&c, do_epoll(&c, __NR_epoll_wait, t->arg[3]));
}

int64_t sys_epoll_pwait(struct thread *t)
{
	struct call c;
	int64_t r = use_sigset(t, t->arg[4], t->arg[5]);
	if (r)
		return r;
	call_begin(&c, t);
	return call_end(&c, do_epoll(&c, __NR_epoll_wait, t->arg[3]));
}

int64_t sys_epoll_pwait2(struct thread *t)
{
	struct call c;
	struct timespec64 ts;
	if (t->arg[3] && !copy_in(t, &ts, t->arg[3], sizeof(ts)))
		return -EFAULT;
	int64_t r = use_sigset(t, t->arg[4], t->arg[5]);
	if (r)
		return r;
	call_begin(&c, t);
	return call_end(&c, do_epoll(&c, __NR_epoll_pwait2, t->arg[3] ? HC_A(&ts) : 0));
}
