/* SPDX-License-Identifier: MIT */
/* atomic_log.c - a log of pages that counts wholly or not at all
 *
 *     head      64 bytes  magic, nonce, flags                        ┐
 *     record    16 + 4096 offset, sum, page                          │ flushed, then
 *     record    …                                                    ┘
 *     commit    64 bytes  magic, nonce, count, sum of all sums, own sum        flushed, then home is written
 *
 * The commit is written after everything before it is durable.  So a commit that is whole vouches for the records: if they are not what it
 * says, the log was damaged later, and home may be half written: that is an error for a human.  A commit that is
 * torn, or missing, means that home was never touched.
 *
 * The nonce ties a commit to its head: a file that is emptied and filled again may show old bytes after a crash.  Each record's sum
 * is bound to nonce and offset.
 *
 * A file whose first bytes are neither ours nor zeros (which a crash can leave) is not taken for a log, and not emptied. */
#define SF_BUILDING
#include "lib/atomic_log.h"
#include "lib/lib.h"

#include <sys/stat.h>
#include <time.h>

#define XXH_INLINE_ALL
#define XXH_FORCE_MEMORY_ACCESS 1
#include <xxhash.h>

#define HEAD_MAGIC   0x31474f4c4f465453ull /* "STFOLOG1" */
#define COMMIT_MAGIC 0x31544d4d4f434653ull /* "SFCOMMT1" */
#define VERSION 1u

struct log_head { uint64_t magic, nonce; uint32_t version, flags; uint64_t zero[4]; uint64_t sum; };
struct log_record { uint64_t off, sum; };
struct log_commit { uint64_t magic, nonce, count, sum; uint64_t zero[3]; uint64_t self; };
_Static_assert(sizeof(struct log_head) == 64 && sizeof(struct log_commit) == 64, "as on disk");

#define RECORD (sizeof(struct log_record) + PAGE_SIZE)
#define PER_BUF (LOG_BUF / RECORD)

static uint64_t head_sum(const struct log_head *h)
{
	return XXH3_64bits(h, offsetof(struct log_head, sum));
}

static uint64_t commit_sum(const struct log_commit *c)
{
	return XXH3_64bits(c, offsetof(struct log_commit, self));
}

static uint64_t record_sum(uint64_t nonce, uint64_t off, const void *page)
{
	return XXH3_64bits_withSeed(page, PAGE_SIZE, nonce ^ off * 0x9e3779b97f4a7c15ull);
}

static uint64_t sum_add(uint64_t sum, uint64_t more)
{
	return (sum << 1 | sum >> 63) ^ more;
}

/* ---------------------------------------------------------------- host calls */

int write_all(int fd, const void *from, uint64_t len, uint64_t off)
{
	const char *buf = from;

	while (len) {
		int64_t r = host_call4(__NR_pwrite64, fd, buf, len, off);

		if (r == -EINTR)
			continue;
		if (r <= 0)
			return r ? (int)r : -EIO;
		buf += r;
		off += (uint64_t)r;
		len -= (uint64_t)r;
	}
	return 0;
}

/* -EBADMSG: the file ends before. */
static int read_all(int fd, void *to, uint64_t len, uint64_t off)
{
	char *buf = to;

	while (len) {
		int64_t r = host_call4(__NR_pread64, fd, buf, len, off);

		if (r == -EINTR)
			continue;
		if (r <= 0)
			return r ? (int)r : -EBADMSG;
		buf += r;
		off += (uint64_t)r;
		len -= (uint64_t)r;
	}
	return 0;
}

static int64_t size_of(int fd)
{
	struct stat st;
	int64_t r = host_call2(__NR_fstat, fd, &st);

	if (r < 0)
		return r;
	return S_ISREG(st.st_mode) ? st.st_size : -EINVAL;
}

static int flush(int fd)
{
	return (int)host_call1(__NR_fdatasync, fd);
}

int log_empty(int fd)
{
	int err = (int)host_call2(__NR_ftruncate, fd, 0);

	return err ? err : (int)host_call1(__NR_fsync, fd);
}

/* ---------------------------------------------------------------- writing */

static uint64_t new_nonce(int fd)
{
	struct timespec t = { 0 };

	host_call2(__NR_clock_gettime, CLOCK_REALTIME, &t);
	return ((uint64_t)t.tv_sec * 1000000007u + (uint64_t)t.tv_nsec) * 0x9e3779b97f4a7c15ull ^ (uint64_t)fd << 56;
}

int log_begin(struct log *l, int fd, uint32_t flags, char *buf)
{
	struct log_head h = { .magic = HEAD_MAGIC, .nonce = new_nonce(fd), .version = VERSION, .flags = flags };

	h.sum = head_sum(&h);
	*l = (struct log){ .fd = fd, .buf = buf, .nonce = h.nonce, .at = sizeof(h) };
	return write_all(fd, (const char *)&h, sizeof(h), 0);
}

static int write_out(struct log *l)
{
	int err = write_all(l->fd, l->buf, l->have, l->at);

	l->at += err ? 0 : l->have;
	l->have = 0;
	return err;
}

int log_add(struct log *l, uint64_t off, const void *page)
{
	struct log_record r = { .off = off, .sum = record_sum(l->nonce, off, page) };
	int err = l->have + RECORD > LOG_BUF ? write_out(l) : 0;

	if (err)
		return err;
	memcpy(l->buf + l->have, &r, sizeof(r));
	memcpy(l->buf + l->have + sizeof(r), page, PAGE_SIZE);
	l->have += RECORD;
	l->count++;
	l->sum = sum_add(l->sum, r.sum);
	return 0;
}

int log_commit(struct log *l)
{
	struct log_commit c = { .magic = COMMIT_MAGIC, .nonce = l->nonce, .count = l->count, .sum = l->sum };
	int err = write_out(l);

	if (!err)
		err = flush(l->fd);
	if (err)
		return err;
	c.self = commit_sum(&c);
	err = write_all(l->fd, (const char *)&c, sizeof(c), l->at);
	return err ? err : flush(l->fd);
}

/* ---------------------------------------------------------------- reading */

struct reader { int fd; uint64_t nonce, count, sum; uint32_t flags; };

/* Is this how a log begins, or what a crash can leave of that? */
static int judge_start(int fd, uint64_t size)
{
	uint64_t n = MIN(size, 8), magic = 0, mask = n < 8 ? (1ull << n * 8) - 1 : UINT64_MAX;
	int err = read_all(fd, &magic, n, 0);

	if (err)
		return err;
	return magic && magic != (HEAD_MAGIC & mask) ? -EINVAL : 0;
}

static int judge_ends(const struct log_head *h, const struct log_commit *c, uint64_t size, struct reader *r)
{
	bool head = h->magic == HEAD_MAGIC && h->sum == head_sum(h);

	if (c->magic != COMMIT_MAGIC || c->self != commit_sum(c) || (head && c->nonce != h->nonce))
		return LOG_IS_TORN;
	if (!head || size != sizeof(*h) + sizeof(*c) + c->count * RECORD)
		return -EBADMSG;
	if (h->version != VERSION)
		return -EINVAL;
	r->nonce = h->nonce;
	r->flags = h->flags;
	r->count = c->count;
	r->sum = c->sum;
	return LOG_IS_WHOLE;
}

/* What head and commit say. */
static int read_ends(int fd, struct reader *r)
{
	struct log_head h;
	struct log_commit c;
	int64_t size = size_of(fd);
	int err = size > 0 ? judge_start(fd, (uint64_t)size) : (int)size;

	*r = (struct reader){ .fd = fd };
	if (err || !size)
		return err ? err : LOG_IS_EMPTY;
	if ((uint64_t)size < sizeof(h) + sizeof(c))
		return LOG_IS_TORN;
	err = read_all(fd, &h, sizeof(h), 0);
	if (!err)
		err = read_all(fd, &c, sizeof(c), (uint64_t)size - sizeof(c));
	return err ? err : judge_ends(&h, &c, (uint64_t)size, r);
}

/* Every record, verified; fn may be NULL. */
static int read_records(const struct reader *r, log_fn fn, void *arg, char *buf)
{
	uint64_t sum = 0;
	int err = 0;

	for (uint64_t i = 0, n; i < r->count && !err; i += n) {
		n = MIN(r->count - i, PER_BUF);
		err = read_all(r->fd, buf, n * RECORD, sizeof(struct log_head) + i * RECORD);
		for (uint64_t k = 0; k < n && !err; k++) {
			const char *page = buf + k * RECORD + sizeof(struct log_record);
			struct log_record rec;

			memcpy(&rec, buf + k * RECORD, sizeof(rec));
			sum = sum_add(sum, rec.sum);
			if (rec.sum != record_sum(r->nonce, rec.off, page))
				err = -EBADMSG;
			else if (fn)
				err = fn(arg, rec.off, page);
		}
	}
	return err ? err : sum == r->sum ? 0 : -EBADMSG;
}

int log_look(int fd, uint32_t *ret_flags, char *buf)
{
	struct reader r;
	int found = read_ends(fd, &r);

	if (found != LOG_IS_WHOLE)
		return found;
	int err = read_records(&r, NULL, NULL, buf);

	if (err)
		return err;
	*ret_flags = r.flags;
	return LOG_IS_WHOLE;
}

int log_apply(int fd, log_fn fn, void *arg, char *buf)
{
	struct reader r;
	int found = read_ends(fd, &r);

	return found == LOG_IS_WHOLE ? read_records(&r, fn, arg, buf) : found < 0 ? found : -EBADMSG;
}
