/* SPDX-License-Identifier: MIT */
/* request.c - requests to stores of the application's own, on threads of ours
 *
 *     FREE --request_io--> QUEUED --worker--> UNDER_WAY --sf_io_done--> DONE --request_io--> FREE
 *                            |                    |
 *                            '---- time is up ----+---> ORPHAN --sf_io_done (or worker)--> FREE
 *
 * Each request has a buffer of its own, for a store may still write into it long after nobody waits any more.  The
 * buffers are address space until they are used.  A thread that finds no free request waits for one. */
#include "lib/lib.h"

#include <stdlib.h>
#include <sys/mman.h>

#define NR_REQ 32u
#define REQ_BYTES SF_IOBUF
#define BATCH 16u

enum req_state { REQ_FREE, REQ_QUEUED, REQ_UNDER_WAY, REQ_DONE, REQ_ORPHAN };

struct request {
	struct sf_io io;
	struct work work;
	struct store_obj *store;
	uint32_t state;
	int64_t result;
};

struct requests {
	struct request req[NR_REQ];
	struct workers workers;
	uint32_t freed;      /* bumped as one gets free */
	char *buffers;
	struct requests *next;
};

/* All there are, so that sf_io_done can tell a request from anything else. */
static struct lk all_lock;
static struct requests *all;

static bool req_move(struct request *r, uint32_t from, uint32_t to)
{
	return __atomic_compare_exchange_n(&r->state, &from, to, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

static void req_free(struct request *r)
{
	struct requests *rs = r->store->req;

	__atomic_store_n(&r->state, REQ_FREE, __ATOMIC_RELEASE);
	__atomic_fetch_add(&rs->freed, 1, __ATOMIC_RELEASE);
	futex_wake(&rs->freed, 1);
}

static bool req_complete(struct request *r, int64_t result)
{
	uint64_t moved = r->io.op <= SF_IO_WRITE ? r->io.len : 0;

	r->result = result < 0 ? result : (uint64_t)result < moved ? -EIO : (int64_t)moved;
	if (req_move(r, REQ_UNDER_WAY, REQ_DONE)) {
		futex_wake(&r->state, 1);
		return true;
	}
	if (!req_move(r, REQ_ORPHAN, REQ_QUEUED))
		return false;
	req_free(r);
	return true;
}

/* In the child of a fork. */
void requests_forked(void)
{
	all_lock.word = 0;
}

static struct request *req_of(const struct sf_io *io)
{
	struct request *found = NULL;
	uint64_t mask = ~0ull, old;

	host_syscall_raw(__NR_rt_sigprocmask, 0, HC_A(&mask), HC_A(&old), 8, 0, 0);
	lk_take(&all_lock);
	for (struct requests *rs = all; rs && !found; rs = rs->next) {
		uintptr_t off = (uintptr_t)io - (uintptr_t)rs->req;

		if (off < sizeof(rs->req) && off % sizeof(struct request) == 0)
			found = &rs->req[off / sizeof(struct request)];
	}
	lk_drop(&all_lock);
	host_syscall_raw(__NR_rt_sigprocmask, 2, HC_A(&old), 0, 8, 0, 0);
	return found;
}

int sf_io_done(struct sf_io *io, int64_t result)
{
	struct request *r = io ? req_of(io) : NULL;

	return r && req_complete(r, result) ? 0 : -EINVAL;
}

/* ---------------------------------------------------------------- on the threads */

static int64_t call_store(struct store_obj *s, struct sf_io *io)
{
	switch (io->op) {
	case SF_IO_READ:
		return s->ops.read(s->arg, io->buf, io->len, io->off);
	case SF_IO_WRITE:
		return s->ops.write ? s->ops.write(s->arg, io->buf, io->len, io->off) : -EROFS;
	case SF_IO_SYNC:
		return s->ops.sync ? s->ops.sync(s->arg) : 0;
	default:
		return s->ops.trim ? s->ops.trim(s->arg, io->off, io->len) : 0;
	}
}

/* Begin it, unless its time is up already. */
static bool req_start(struct request *r)
{
	if (req_move(r, REQ_QUEUED, REQ_UNDER_WAY))
		return true;
	if (req_move(r, REQ_ORPHAN, REQ_QUEUED))
		req_free(r);
	return false;
}

/* Not taken by the store: once more, alone, and then it has failed. */
static void submit_refused(struct store_obj *s, struct sf_io *io, int err)
{
	int taken = err == -EAGAIN ? s->ops.submit(s->arg, &io, 1) : err;

	if (taken < 1)
		req_complete(container_of(io, struct request, io), taken < 0 ? taken : -EAGAIN);
}

static void submit_batch(struct store_obj *s, struct sf_io **ios, unsigned n)
{
	int taken = s->ops.submit(s->arg, ios, n);
	int err = taken < 0 ? taken : -EAGAIN;

	for (unsigned i = taken < 0 ? 0 : (unsigned)taken; i < n; i++)
		submit_refused(s, ios[i], err);
}

static void req_submit(struct request *r)
{
	struct store_obj *s = r->store;
	struct sf_io *ios[BATCH];
	unsigned n = 0;
	struct work *w = &r->work;

	do {
		r = container_of(w, struct request, work);
		if (req_start(r))
			ios[n++] = &r->io;
	} while (n < BATCH && (w = workers_take(&s->req->workers, false)));
	if (n)
		submit_batch(s, ios, n);
}

static void req_run(struct work *w)
{
	struct request *r = container_of(w, struct request, work);

	lib_thread.callback_pool = r->store->pool;
	if (r->store->ops.submit)
		req_submit(r);
	else if (req_start(r))
		req_complete(r, call_store(r->store, &r->io));
}

/* ---------------------------------------------------------------- who asks; fault handler */

static uint64_t now_ns(void)
{
	struct { int64_t s, ns; } ts = { 0, 0 };

	host_call2(__NR_clock_gettime, 1 /* CLOCK_MONOTONIC */, &ts);
	return (uint64_t)ts.s * 1000000000ull + (uint64_t)ts.ns;
}

/* Sleep until *word is not val any more, or the deadline (0: none).  False: time is up. */
static bool wait_until(uint32_t *word, uint32_t val, uint64_t deadline)
{
	uint64_t now;

	if (!deadline) {
		futex_wait(word, val);
		return true;
	}
	now = now_ns();
	if (now >= deadline)
		return false;
	futex_wait_for(word, val, deadline - now);
	return true;
}

static struct request *req_get(struct requests *rs, uint64_t deadline)
{
	for (;;) {
		uint32_t seen = __atomic_load_n(&rs->freed, __ATOMIC_ACQUIRE);

		for (unsigned i = 0; i < NR_REQ; i++)
			if (req_move(&rs->req[i], REQ_FREE, REQ_QUEUED))
				return &rs->req[i];
		if (!wait_until(&rs->freed, seen, deadline))
			return NULL;
	}
}

/* DONE, or given up. */
static bool req_wait(struct request *r, uint64_t deadline)
{
	for (;;) {
		uint32_t st = __atomic_load_n(&r->state, __ATOMIC_ACQUIRE);

		if (st == REQ_DONE)
			return true;
		if (!wait_until(&r->state, st, deadline) && req_move(r, st, REQ_ORPHAN))
			return false;
	}
}

int64_t request_io(struct store_obj *s, enum sf_io_op op, void *buf, uint64_t len, uint64_t off)
{
	uint64_t deadline = s->ops.timeout_ms ? now_ns() + s->ops.timeout_ms * 1000000ull : 0;
	struct request *r = req_get(s->req, deadline);
	int64_t result;

	if (!r)
		return -ETIMEDOUT;
	r->io.op = op;
	r->io.len = len;
	r->io.off = off;
	if (op == SF_IO_WRITE)
		memcpy(r->io.buf, buf, len);
	workers_post(&s->req->workers, &r->work);
	if (!req_wait(r, deadline))
		return -ETIMEDOUT;
	result = r->result;
	if (op == SF_IO_READ && result > 0)
		memcpy(buf, r->io.buf, len);
	req_free(r);
	return result;
}

/* ---------------------------------------------------------------- making */

int requests_open(struct store_obj *s)
{
	struct requests *rs = calloc(1, sizeof(*rs));
	void *mem = MAP_FAILED;
	int err = -ENOMEM;

	if (rs)
		mem = mmap(NULL, NR_REQ * REQ_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (mem != MAP_FAILED) {
		rs->buffers = mem;
		for (unsigned i = 0; i < NR_REQ; i++)
			rs->req[i] = (struct request){ .io.buf = rs->buffers + i * REQ_BYTES, .work.fn = req_run, .store = s };
		rs->workers.callbacks = true;
		err = workers_start(&rs->workers, s->ops.workers ? s->ops.workers : 2);
	}
	if (err) {
		if (mem != MAP_FAILED)
			munmap(mem, NR_REQ * REQ_BYTES);
		free(rs);
		return err;
	}
	s->req = rs;
	lk_take(&all_lock);
	rs->next = all;
	all = rs;
	lk_drop(&all_lock);
	return 0;
}

static bool any_under_way(const struct requests *rs)
{
	for (unsigned i = 0; i < NR_REQ; i++)
		if (__atomic_load_n(&rs->req[i].state, __ATOMIC_ACQUIRE) != REQ_FREE)
			return true;
	return false;
}

/* Requests that the store never completes keep their memory for ever. */
void requests_close(struct store_obj *s)
{
	struct requests *rs = s->req;

	workers_stop(&rs->workers);
	if (any_under_way(rs))
		return;
	lk_take(&all_lock);
	for (struct requests **at = &all; *at; at = &(*at)->next)
		if (*at == rs) {
			*at = rs->next;
			break;
		}
	lk_drop(&all_lock);
	munmap(rs->buffers, NR_REQ * REQ_BYTES);
	free(rs);
	s->req = NULL;
}
