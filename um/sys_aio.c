/* SPDX-License-Identifier: MIT */
/* sys_aio.c - Linux's asynchronous input and output (io_setup and its kin)
 *
 * A request is carried out by io_submit itself, through the ordinary paths of read and write, as Linux does for files in its page cache; what is left is to
 * keep the results until they are fetched.  They lie in the ring that io_setup maps for the program, in the format of Linux's, because programs look
 * at it themselves: they may take results by moving its head.
 *
 *	ring->head  program and io_getevents       ring->tail  io_submit
 *
 * Errors of a request are the call's own if Linux finds them before it starts (bad descriptor, vector, position), else they are its result.  Requests that
 * would have to wait for something (IOCB_CMD_POLL) are EINVAL, as in Linux before 4.18.
 *
 * Contexts belong to the address space: a child of fork has none.  Lock: aio_lock (sleeping; program memory is touched under it), below nothing. */
#include "um/syscall.h"

#include <asm/stat.h>
#include <linux/aio_abi.h>
#include <linux/futex.h>

#define RING_MAGIC 0xa10a10a1u
#define RINGS_MOST 65536u /* requests of all contexts: Linux's default aio-max-nr, here for each process */
#define O_ACCMODE 3
#define O_PATH 010000000
#define S_FMT 0170000u
#define S_DIR 0040000u
#define NR_FSYNC_CALLS 2

struct ring {
	uint32_t id, nr, head, tail;
	uint32_t magic, compat, incompat, header;
};

struct aio {
	struct aio *next;
	vaddr_t ring;
	uint64_t bytes;
	uint32_t nr, max;   /* places in the ring; what was asked for */
	uint32_t tail;
	uint32_t refs, dead;
	uint32_t seq;       /* counts results: who waits, waits for it to change */
};

static struct aio *contexts;
static uint32_t aio_lock, promised;

static void lock_aio(void)
{
	while (__atomic_exchange_n(&aio_lock, 2, __ATOMIC_ACQUIRE))
		host_call6(__NR_futex, HC_A(&aio_lock), FUTEX_WAIT_PRIVATE, 2, 0, 0, 0);
}

static void unlock_aio(void)
{
	__atomic_store_n(&aio_lock, 0, __ATOMIC_RELEASE);
	host_call6(__NR_futex, HC_A(&aio_lock), FUTEX_WAKE_PRIVATE, 1, 0, 0, 0);
}

void um_aio_forked(void)
{
	aio_lock = promised = 0;
	contexts = NULL;
}

/* ---------------------------------------------------------------- contexts */

static struct aio *aio_get(uint64_t id)
{
	lock_aio();
	struct aio *x = contexts;
	while (x && x->ring != id)
		x = x->next;
	if (x)
		x->refs++;
	unlock_aio();
	return x;
}

static void aio_put(struct aio *x)
{
	lock_aio();
	bool last = !--x->refs;
	unlock_aio();
	if (last)
		kfree(um.mc, x);
}

/* Out of the list, so that nobody finds it; who waits is woken. */
static bool aio_kill(struct aio *x)
{
	lock_aio();
	struct aio **at = &contexts;
	while (*at && *at != x)
		at = &(*at)->next;
	bool found = *at;
	if (found) {
		*at = x->next;
		x->dead = 1;
		x->refs--;
		promised -= x->max;
	}
	__atomic_fetch_add(&x->seq, 1, __ATOMIC_RELEASE);
	unlock_aio();
	host_call6(__NR_futex, HC_A(&x->seq), FUTEX_WAKE_PRIVATE, INT32_MAX, 0, 0, 0);
	if (found)
		(void)do_munmap(um.mm, x->ring, x->bytes);
	return found;
}

static bool promise(uint32_t n)
{
	lock_aio();
	bool ok = n <= RINGS_MOST - promised;
	if (ok)
		promised += n;
	unlock_aio();
	return ok;
}

/* Linux makes it twice as long as asked for and rounds up to pages. */
static int64_t aio_make(struct thread *t, uint32_t n, struct aio **ret)
{
	struct aio *x = kmalloc(um.mc, sizeof(*x));
	if (!x)
		return -ENOMEM;
	uint64_t want = sizeof(struct ring) + (MAX(n, 8u) * 2 + 2) * sizeof(struct io_event);
	*x = (struct aio){ .bytes = PAGE_ALIGN(want), .max = n, .refs = 2 };
	x->nr = (uint32_t)((x->bytes - sizeof(struct ring)) / sizeof(struct io_event));
	struct ring head = { .id = 0, .nr = x->nr, .magic = RING_MAGIC, .compat = 1, .header = sizeof(head) };
	int64_t r = do_mmap(um.mm, 0, x->bytes, PT_R | PT_W, 0x22 /* MAP_PRIVATE | MAP_ANONYMOUS */, NULL, 0, 0);
	if (r < 0 || !copy_out(t, (vaddr_t)r, &head, sizeof(head))) {
		kfree(um.mc, x);
		return -ENOMEM;
	}
	x->ring = (vaddr_t)r;
	lock_aio();
	x->next = contexts;
	contexts = x;
	unlock_aio();
	*ret = x;
	return 0;
}

int64_t sys_io_setup(struct thread *t)
{
	uint64_t id;
	uint32_t n = (uint32_t)t->arg[0];
	struct aio *x;
	if (GET_USER(t, uint64_t, t->arg[1], &id))
		return -EFAULT;
	if (id || !n || n > 0x10000000u / sizeof(struct io_event))
		return -EINVAL;
	if (!promise(n))
		return -EAGAIN;
	int64_t r = aio_make(t, n, &x);
	if (r) {
		__atomic_fetch_sub(&promised, n, __ATOMIC_RELAXED);
		return r;
	}
	if (PUT_USER(t, uint64_t, t->arg[1], x->ring)) {
		aio_kill(x);
		r = -EFAULT;
	}
	aio_put(x);
	return r;
}

int64_t sys_io_destroy(struct thread *t)
{
	struct aio *x = aio_get(t->arg[0]);
	if (!x)
		return -EINVAL;
	bool found = aio_kill(x);
	aio_put(x);
	return found ? 0 : -EINVAL;
}

/* ---------------------------------------------------------------- the ring */

static uint32_t ring_head(struct thread *t, const struct aio *x)
{
	uint32_t head = 0;
	(void)GET_USER(t, uint32_t, x->ring + offsetof(struct ring, head), &head);
	return head % x->nr;
}

static vaddr_t ring_place(const struct aio *x, uint32_t i)
{
	return x->ring + sizeof(struct ring) + i * sizeof(struct io_event);
}

static bool ring_full(struct thread *t, struct aio *x)
{
	lock_aio();
	bool full = (x->tail + 1) % x->nr == ring_head(t, x);
	unlock_aio();
	return full;
}

static void ring_add(struct thread *t, struct aio *x, const struct io_event *ev)
{
	lock_aio();
	if (copy_out(t, ring_place(x, x->tail), ev, sizeof(*ev))) {
		x->tail = (x->tail + 1) % x->nr;
		(void)PUT_USER(t, uint32_t, x->ring + offsetof(struct ring, tail), x->tail);
	}
	__atomic_fetch_add(&x->seq, 1, __ATOMIC_RELEASE);
	unlock_aio();
	host_call6(__NR_futex, HC_A(&x->seq), FUTEX_WAKE_PRIVATE, INT32_MAX, 0, 0, 0);
}

/* At most n results to the program.  What cannot be stored stays. */
static int64_t ring_take(struct thread *t, struct aio *x, vaddr_t to, int64_t n)
{
	int64_t done = 0, err = 0;
	lock_aio();
	uint32_t head = ring_head(t, x);
	for (; done < n && head != x->tail && !err; done++) {
		struct io_event ev;
		if (!copy_in(t, &ev, ring_place(x, head), sizeof(ev)) || !copy_out(t, to + (uint64_t)done * sizeof(ev), &ev, sizeof(ev))) {
			err = -EFAULT;
			break;
		}
		head = (head + 1) % x->nr;
	}
	if (done)
		(void)PUT_USER(t, uint32_t, x->ring + offsetof(struct ring, head), head);
	unlock_aio();
	return done ? done : err;
}

/* ---------------------------------------------------------------- requests */

struct request { struct iocb cb; bool writes, vector; bool here; /* the descriptor has no positions */ };

static int64_t issue_request(struct rw *rw, struct abi_iovec *v, uint64_t n, uint64_t done, bool sleep)
{
	struct request *q = rw->arg;
	int64_t r = -ESPIPE;
	if (!q->here)
		r = rw_host(rw, sleep, (uint32_t)rw->fd, HC_A(v), n, (uint64_t)q->cb.aio_offset + done, 0, rw->flags);
	if (r == -ESPIPE && !q->cb.aio_offset) {
		q->here = true;
		r = rw_host(rw, sleep, (uint32_t)rw->fd, HC_A(v), n, UINT64_MAX, 0, rw->flags);
	}
	return r;
}

/* What Linux refuses before it starts. */
static int64_t check_file(const struct request *q)
{
	struct stat st;
	uint64_t fd = fd_arg(q->cb.aio_fildes);
	int64_t mode = host_call2(__NR_fcntl, fd, 3 /* F_GETFL */);
	if (mode < 0 || (mode & O_ACCMODE) == (q->writes ? 0 : 1))
		return -EBADF;
	if (host_call2(__NR_fstat, fd, HC_A(&st)) || (st.st_mode & S_FMT) == S_DIR || q->cb.aio_offset < 0)
		return -EINVAL;
	return 0;
}

static bool refused_address(const struct iocb *cb)
{
	return cb->aio_buf >= HOST_USER_END || cb->aio_nbytes > HOST_USER_END - cb->aio_buf;
}

/* *ret_res: the request's result, if 0 is returned. */
static int64_t transfer(struct thread *t, struct request *q, int64_t *ret_res)
{
	struct call c;
	struct abi_iovec one = { q->cb.aio_buf, MIN(q->cb.aio_nbytes, RW_MOST) };
	call_begin(&c, t);
	struct rw rw = { .c = &c, .iov = &one, .n = 1, .total = one.len, .dir = q->writes ? DIR_IN : DIR_OUT,
			 .nr = q->writes ? __NR_pwritev2 : __NR_preadv2, .issue = issue_request, .fd = (int32_t)q->cb.aio_fildes,
			 .flags = (uint32_t)q->cb.aio_rw_flags, .arg = q };
	if (q->vector && !rw_import(&rw, q->cb.aio_buf, q->cb.aio_nbytes)) {
		int64_t r = issue_request(&rw, rw.iov, rw.n, 0, false);
		return call_end(&c, r < 0 ? r : -EFAULT);
	}
	if (!q->vector && refused_address(&q->cb))
		return call_end(&c, -EFAULT);
	int64_t r = call_end(&c, rw_run(&rw));
	*ret_res = r;
	return r == -EOPNOTSUPP || r == -EBADF || r == -ERESTART_NOTSTARTED ? r : 0;
}

static int64_t sync_file(struct request *q, int64_t *ret_res)
{
	static const long nr[NR_FSYNC_CALLS] = { __NR_fsync, __NR_fdatasync };
	const struct iocb *cb = &q->cb;
	if (cb->aio_buf || cb->aio_offset || cb->aio_nbytes || cb->aio_rw_flags)
		return -EINVAL;
	*ret_res = host_call1(nr[cb->aio_lio_opcode - IOCB_CMD_FSYNC], fd_arg(cb->aio_fildes));
	return *ret_res == -EINVAL ? -EINVAL : 0;
}

static int64_t carry_out(struct thread *t, struct request *q, int64_t *ret_res)
{
	uint32_t op = q->cb.aio_lio_opcode;
	if (op == IOCB_CMD_FSYNC || op == IOCB_CMD_FDSYNC)
		return sync_file(q, ret_res);
	if (op != IOCB_CMD_PREAD && op != IOCB_CMD_PWRITE && op != IOCB_CMD_PREADV && op != IOCB_CMD_PWRITEV)
		return -EINVAL;
	int64_t r = check_file(q);
	return r ? r : transfer(t, q, ret_res);
}

static bool is_eventfd(uint64_t fd)
{
	static const char want[] = "anon_inode:[eventfd]";
	char link[40], name[64];
	um_snprintf(link, sizeof(link), "/proc/thread-self/fd/%d", (int)fd);
	int64_t n = host_call3(__NR_readlink, HC_A(link), HC_A(name), sizeof(name));
	return n == sizeof(want) - 1 && !memcmp(name, want, sizeof(want) - 1);
}

static int64_t check_request(struct thread *t, struct request *q, vaddr_t ucb)
{
	const struct iocb *cb = &q->cb;
	uint64_t resfd = fd_arg(cb->aio_resfd);
	int64_t mode = host_call2(__NR_fcntl, fd_arg(cb->aio_fildes), 3 /* F_GETFL */);
	if (mode < 0 || mode & O_PATH)
		return -EBADF;
	if (cb->aio_flags & IOCB_FLAG_RESFD) {
		if (host_call2(__NR_fcntl, resfd, 1 /* F_GETFD */) < 0)
			return -EBADF;
		if (!is_eventfd(resfd))
			return -EINVAL;
	}
	return PUT_USER(t, uint32_t, ucb + offsetof(struct iocb, aio_key), 0) ? -EFAULT : 0;
}

static int64_t submit_one(struct thread *t, struct aio *x, vaddr_t ucb)
{
	struct request q = { .here = false };
	int64_t res = 0, r;
	if (!copy_in(t, &q.cb, ucb, sizeof(q.cb)))
		return -EFAULT;
	if (q.cb.aio_reserved2 || (int64_t)q.cb.aio_nbytes < 0)
		return -EINVAL;
	if (ring_full(t, x))
		return -EAGAIN;
	q.vector = q.cb.aio_lio_opcode == IOCB_CMD_PREADV || q.cb.aio_lio_opcode == IOCB_CMD_PWRITEV;
	q.writes = q.cb.aio_lio_opcode == IOCB_CMD_PWRITE || q.cb.aio_lio_opcode == IOCB_CMD_PWRITEV;
	r = check_request(t, &q, ucb);
	if (!r)
		r = carry_out(t, &q, &res);
	if (r)
		return r;
	struct io_event ev = { .data = q.cb.aio_data, .obj = ucb, .res = res };
	const uint64_t once = 1;
	ring_add(t, x, &ev);
	if (q.cb.aio_flags & IOCB_FLAG_RESFD)
		host_call3(__NR_write, q.cb.aio_resfd, HC_A(&once), sizeof(once));
	return 0;
}

int64_t sys_io_submit(struct thread *t)
{
	int64_t n = (int64_t)t->arg[1], i, r = 0;
	struct aio *x = n < 0 ? NULL : aio_get(t->arg[0]);
	if (!x)
		return -EINVAL;
	n = MIN(n, (int64_t)x->nr);
	for (i = 0; i < n && !r; i++) {
		uint64_t ucb;
		r = GET_USER(t, uint64_t, t->arg[2] + (uint64_t)i * 8, &ucb) ? -EFAULT : submit_one(t, x, ucb);
		if (r)
			break;
	}
	aio_put(x);
	return i ? i : r;
}

/* Nothing is ever under way. */
int64_t sys_io_cancel(struct thread *t)
{
	uint32_t key;
	return GET_USER(t, uint32_t, t->arg[1] + offsetof(struct iocb, aio_key), &key) ? -EFAULT : -EINVAL;
}

/* ---------------------------------------------------------------- results */

struct timespec64 { int64_t sec, nsec; };

/* Until the count of results differs from seen; end: monotonic ns, 0 for ever. */
static int64_t wait_result(struct thread *t, struct aio *x, uint32_t seen, const struct timespec64 *end)
{
	return um_block_call(t, t->sigmask, __NR_futex, HC_A(&x->seq), FUTEX_WAIT_BITSET_PRIVATE, seen, HC_A(end), 0, FUTEX_BITSET_MATCH_ANY);
}

static int64_t take_events(struct thread *t, struct aio *x, int64_t min, int64_t most, const struct timespec64 *end)
{
	int64_t done = 0, r = 0;
	for (;;) {
		uint32_t seen = __atomic_load_n(&x->seq, __ATOMIC_ACQUIRE);
		r = ring_take(t, x, t->arg[3] + (uint64_t)done * sizeof(struct io_event), most - done);
		if (x->dead)
			r = -EINVAL;
		if (r > 0)
			done += r;
		if (done >= min || r < 0)
			break;
		r = wait_result(t, x, seen, end);
		if (r == -ETIMEDOUT || r == -EINTR || r == -ERESTART_NOTSTARTED)
			break;
	}
	if (done)
		return done;
	return r == -ETIMEDOUT ? 0 : r < 0 ? r : 0;
}

static int64_t get_events(struct thread *t, const struct timespec64 *ts)
{
	struct timespec64 end = { 0, 0 };
	int64_t min = (int64_t)t->arg[1], most = (int64_t)t->arg[2];
	struct aio *x = aio_get(t->arg[0]);
	if (!x)
		return -EINVAL;
	if (ts) {
		uint64_t at = um.port->ops->now(um.port);
		if (ts->sec > 0 || (!ts->sec && ts->nsec > 0))
			at += (uint64_t)MIN(ts->sec, (int64_t)1 << 30) * 1000000000ull + (uint64_t)ts->nsec;
		end = (struct timespec64){ (int64_t)(at / 1000000000), (int64_t)(at % 1000000000) };
	}
	int64_t r = min < 0 || min > most ? -EINVAL : take_events(t, x, min, most, ts ? &end : NULL);
	aio_put(x);
	return r;
}

int64_t sys_io_getevents(struct thread *t)
{
	struct timespec64 ts = { 0 };
	if (t->arg[4] && !copy_in(t, &ts, t->arg[4], sizeof(ts)))
		return -EFAULT;
	return get_events(t, t->arg[4] ? &ts : NULL);
}

int64_t sys_io_pgetevents(struct thread *t)
{
	struct timespec64 ts = { 0 };
	uint64_t sig[2] = { 0, 0 }, set;
	if ((t->arg[4] && !copy_in(t, &ts, t->arg[4], sizeof(ts))) || (t->arg[5] && !copy_in(t, sig, t->arg[5], sizeof(sig))))
		return -EFAULT;
	if (sig[0]) {
		if (sig[1] != sizeof(set))
			return -EINVAL;
		if (!copy_in(t, &set, sig[0], sizeof(set)))
			return -EFAULT;
		um_use_sigmask(t, set);
	}
	return get_events(t, t->arg[4] ? &ts : NULL);
}
