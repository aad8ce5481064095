/* SPDX-License-Identifier: MIT */
/* uring.c - many writes to a file with one call of the host
 *
 * A batch of changed pages on its way home is often many short runs.  With io_uring they are one call, and all under way at once, which is what
 * O_DIRECT files want.  Rings are made when the first region with such a home is mapped; where io_uring is not permitted, or all rings
 * are in use, the caller writes one by one.  Raw calls, for batches are written in the fault handler too: eviction does it. */
#include "lib/lib.h"

#include <linux/io_uring.h>
#include <sched.h>
#include <sys/mman.h>

#define FD_BASE 100

enum { SQ_HEAD, SQ_TAIL, SQ_MASK, SQ_ARRAY, CQ_HEAD, CQ_TAIL, CQ_MASK, CQES };

static uint32_t *word(const struct uring *u, unsigned which)
{
	return (uint32_t *)(void *)(u->mem + u->off[which]);
}

/* ---------------------------------------------------------------- making */

static char *map_ring(int fd, size_t len, uint64_t what)
{
	int64_t at = host_call6(__NR_mmap, 0, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, what);

	if (at < 0 && at > -4096)
		return NULL;
	host_call3(__NR_madvise, at, len, MADV_DONTFORK);
	return (char *)at;
}

static void ring_close(struct uring *u)
{
	if (u->mem)
		host_call2(__NR_munmap, u->mem, u->mem_len);
	if (u->sqes)
		host_call2(__NR_munmap, u->sqes, u->sqes_len);
	if (u->fd > 0)
		host_call1(__NR_close, u->fd);
	*u = (struct uring){ 0 };
}

static bool ring_map(struct uring *u, const struct io_uring_params *p)
{
	size_t sq = p->sq_off.array + p->sq_entries * sizeof(uint32_t), cq = p->cq_off.cqes + p->cq_entries * sizeof(struct io_uring_cqe);
	const uint32_t off[] = { p->sq_off.head, p->sq_off.tail, p->sq_off.ring_mask, p->sq_off.array,
				 p->cq_off.head, p->cq_off.tail, p->cq_off.ring_mask, p->cq_off.cqes };

	if (!(p->features & IORING_FEAT_SINGLE_MMAP) || p->sq_entries < URING_MOST)
		return false;
	memcpy(u->off, off, sizeof(off));
	u->mem_len = MAX(sq, cq);
	u->sqes_len = p->sq_entries * sizeof(struct io_uring_sqe);
	u->mem = map_ring(u->fd, u->mem_len, IORING_OFF_SQ_RING);
	u->sqes = map_ring(u->fd, u->sqes_len, IORING_OFF_SQES);
	return u->mem && u->sqes;
}

static bool ring_open(struct uring *u)
{
	struct io_uring_params p = { 0 };
	int64_t fd = host_call2(__NR_io_uring_setup, URING_MOST, &p), kept;

	if (fd < 0)
		return false;
	kept = host_call3(__NR_fcntl, fd, 1030 /* F_DUPFD_CLOEXEC */, FD_BASE);
	host_call1(__NR_close, fd);
	u->fd = kept > 0 ? (int)kept : 0;
	if (u->fd && ring_map(u, &p))
		return true;
	ring_close(u);
	return false;
}

void rings_open(struct rings *rs)
{
	static struct lk opening;

	lk_take(&opening);
	for (uint32_t n = rs->nr; n < NR_RINGS && ring_open(&rs->ring[n]); n++)
		__atomic_store_n(&rs->nr, n + 1, __ATOMIC_RELEASE);
	lk_drop(&opening);
}

void rings_close(struct rings *rs)
{
	while (rs->nr)
		ring_close(&rs->ring[--rs->nr]);
}

/* ---------------------------------------------------------------- a batch */

static void queue(struct uring *u, int fd, const struct uring_write *w, unsigned n)
{
	struct io_uring_sqe *sqes = (struct io_uring_sqe *)(void *)u->sqes;
	uint32_t tail = *word(u, SQ_TAIL), mask = *word(u, SQ_MASK);

	for (unsigned i = 0; i < n; i++, tail++) {
		word(u, SQ_ARRAY)[tail & mask] = tail & mask;
		sqes[tail & mask] = (struct io_uring_sqe){
			.opcode = IORING_OP_WRITE, .fd = fd, .addr = HC_A(w[i].buf), .len = w[i].len, .off = w[i].off, .user_data = i,
		};
	}
	__atomic_store_n(word(u, SQ_TAIL), tail, __ATOMIC_RELEASE);
}

/* What the host did not take is ours again.  How many it took. */
static unsigned take_back(struct uring *u, unsigned n)
{
	uint32_t head = __atomic_load_n(word(u, SQ_HEAD), __ATOMIC_ACQUIRE), left = *word(u, SQ_TAIL) - head;

	__atomic_store_n(word(u, SQ_TAIL), head, __ATOMIC_RELEASE);
	return n - left;
}

static unsigned reap(struct uring *u, struct uring_write *w)
{
	const struct io_uring_cqe *cqes = (const void *)(u->mem + u->off[CQES]);
	uint32_t head = *word(u, CQ_HEAD), tail = __atomic_load_n(word(u, CQ_TAIL), __ATOMIC_ACQUIRE), n = tail - head;

	for (; head != tail; head++) {
		const struct io_uring_cqe *c = &cqes[head & *word(u, CQ_MASK)];

		w[c->user_data].result = c->res;
	}
	__atomic_store_n(word(u, CQ_HEAD), head, __ATOMIC_RELEASE);
	return n;
}

/* The buffers are the host's until everything it took is complete, whatever its calls answer. */
static void run(struct uring *u, int fd, struct uring_write *w, unsigned n)
{
	unsigned taken, done = 0;
	int64_t r;

	queue(u, fd, w, n);
	do
		r = host_call6(__NR_io_uring_enter, u->fd, n, n, IORING_ENTER_GETEVENTS, 0, 0);
	while (r == -EINTR);
	taken = take_back(u, n);
	while ((done += reap(u, w)) < taken)
		if (host_call6(__NR_io_uring_enter, u->fd, 0, taken - done, IORING_ENTER_GETEVENTS, 0, 0) < 0)
			sched_yield();
}

bool rings_write(struct rings *rs, int fd, struct uring_write *w, unsigned n)
{
	for (uint32_t i = 0, nr = __atomic_load_n(&rs->nr, __ATOMIC_ACQUIRE); i < nr; i++) {
		uint32_t none = 0;

		if (!__atomic_compare_exchange_n(&rs->ring[i].lock.word, &none, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
			continue;
		run(&rs->ring[i], fd, w, n);
		lk_drop(&rs->ring[i].lock);
		return true;
	}
	return false;
}
