/* SPDX-License-Identifier: MIT */
/* backing.c - the file or store behind a region, and what is done about its errors
 *
 * The core reads and writes by these functions; it tries several pages at once first and the one that matters alone
 * afterwards.  So errors of more than one page are only reported, and those of a single page are taken to the region's callback. */
#include "lib/atomic_log.h"
#include "lib/lib.h"

#define XXH_INLINE_ALL
#define XXH_FORCE_MEMORY_ACCESS 1
#include <sys/stat.h>
#include <xxhash.h>

/* ---------------------------------------------------------------- the callback */

struct ask { struct region *r; struct sf_error err; enum sf_action answer; };

static void ask_run(void *arg)
{
	struct ask *a = arg;

	lib_thread.callback_pool = a->r->pool;
	a->answer = a->r->on_error(a->r->arg, &a->err);
}

static enum sf_action ask(struct region *r, enum sf_io_op op, int err, uint64_t off, unsigned attempt, void *data)
{
	struct ask a = {
		.r = r, .answer = SF_FAIL,
		.err = { .struct_size = sizeof(a.err), .region = r->o.handle, .region_arg = r->arg, .op = op, .error = err,
			 .addr = (void *)(READ_ONCE(r->addr) + off), .off = off, .len = PAGE_SIZE, .attempt = attempt, .data = data },
	};

	if (r->on_error)
		workers_call(&r->pool->callers, ask_run, &a);
	return a.answer;
}

enum swap_verdict region_swap_error(struct machine *mc, struct sf_file *f, uint64_t pgoff, int err, unsigned attempt, void *buf)
{
	struct region *r;

	if (!is_region(f))
		return SWAP_FAIL;
	r = region_of(f);
	sf_count(&r->read_errors, 1);
	switch (ask(r, SF_IO_READ, err, pgoff << PAGE_SHIFT, attempt, buf)) {
	case SF_RETRY:
		return SWAP_RETRY;
	case SF_SUPPLY:
		return SWAP_SUPPLIED;
	case SF_POISON:
		return SWAP_POISON;
	default:
		return SWAP_FAIL;
	}
}

/* ---------------------------------------------------------------- sums */

static uint32_t page_sum(const char *page)
{
	uint32_t sum = (uint32_t)XXH3_64bits(page, PAGE_SIZE);

	return sum ? sum : 1;
}

static void sums_set(struct region *r, const char *buf, uint64_t len, uint64_t off)
{
	for (uint64_t i = 0; r->sums && i < len; i += PAGE_SIZE)
		if ((off + i) >> PAGE_SHIFT < r->sums_len)
			WRITE_ONCE(r->sums[(off + i) >> PAGE_SHIFT], page_sum(buf + i));
}

/* Pages read for the first time are believed, and remembered. */
static int sums_check(struct region *r, const char *buf, uint64_t len, uint64_t off)
{
	for (uint64_t i = 0; r->sums && i < len; i += PAGE_SIZE) {
		uint64_t at = (off + i) >> PAGE_SHIFT;
		uint32_t want = at < r->sums_len ? READ_ONCE(r->sums[at]) : 0, is = want ? page_sum(buf + i) : 0;

		if (want != is)
			return -EBADMSG;
	}
	return 0;
}

static void sums_learn(struct region *r, const char *buf, uint64_t len, uint64_t off)
{
	for (uint64_t i = 0; r->sums && i < len; i += PAGE_SIZE)
		if ((off + i) >> PAGE_SHIFT < r->sums_len && !READ_ONCE(r->sums[(off + i) >> PAGE_SHIFT]))
			WRITE_ONCE(r->sums[(off + i) >> PAGE_SHIFT], page_sum(buf + i));
}

/* ---------------------------------------------------------------- reading */

/* Bytes up to the file's end. */
static int64_t file_read(int fd, char *buf, uint64_t len, uint64_t off)
{
	uint64_t done = 0;

	while (done < len) {
		int64_t r = host_call4(__NR_pread64, fd, buf + done, len - done, off + done);

		if (r == -EINTR)
			continue;
		if (r < 0)
			return r;
		if (!r)
			break;
		done += (uint64_t)r;
	}
	return (int64_t)done;
}

static int64_t home_read(struct region *r, char *buf, uint64_t len, uint64_t off)
{
	int64_t got = r->store ? store_io(r->store, SF_IO_READ, buf, len, r->offset + off) : file_read(r->fd, buf, len, r->offset + off);

	if (got <= 0)
		return got;
	if (r->sums) {
		uint64_t whole = PAGE_ALIGN((uint64_t)got);

		memset(buf + got, 0, whole - (uint64_t)got);
		if (sums_check(r, buf, whole, off)) {
			sf_count(&r->checksum_errors, 1);
			sf_count(&r->pool->checksum_errors, 1);
			return -EBADMSG;
		}
		sums_learn(r, buf, whole, off);
	}
	return got;
}

static void count_in(struct region *r, int64_t bytes)
{
	uint64_t n = PAGE_ALIGN((uint64_t)bytes) >> PAGE_SHIFT;

	sf_count(&r->home_in, n);
	sf_count(&r->pool->home_in, n);
}

static int64_t region_read(struct sf_file *f, void *buf, size_t len, uint64_t off)
{
	struct region *r = region_of(f);

	for (unsigned attempt = 1;; attempt++) {
		int64_t got = home_read(r, buf, len, off);

		if (got >= 0) {
			count_in(r, got);
			return got;
		}
		sf_count(&r->read_errors, 1);
		sf_count(&r->pool->read_errors, 1);
		if (len > PAGE_SIZE)
			return got;
		switch (ask(r, SF_IO_READ, (int)got, off, attempt, buf)) {
		case SF_RETRY:
			continue;
		case SF_SUPPLY:
			return (int64_t)len;
		case SF_POISON:
			return FILE_POISON;
		default:
			return got;
		}
	}
}

/* ---------------------------------------------------------------- writing */

/* Files do not grow: what lies beyond the end is not theirs. */
static int file_write(int fd, const char *buf, uint64_t len, uint64_t off)
{
	struct stat st;
	int64_t err = host_call2(__NR_fstat, fd, &st);

	if (err < 0)
		return (int)err;
	if (S_ISREG(st.st_mode)) {
		if (off >= (uint64_t)st.st_size)
			return 0;
		len = MIN(len, (uint64_t)st.st_size - off);
	}
	return write_all(fd, buf, len, off);
}

static int home_write(struct region *r, const void *buf, uint64_t len, uint64_t off)
{
	int64_t err;

	if (r->store)
		err = MIN(store_io(r->store, SF_IO_WRITE, (void *)(uintptr_t)buf, len, r->offset + off), 0);
	else
		err = file_write(r->fd, buf, len, r->offset + off);
	if (!err)
		sums_set(r, buf, len, off);
	return (int)err;
}

static int region_write(struct sf_file *f, const void *buf, size_t len, uint64_t off)
{
	struct region *r = region_of(f);

	for (unsigned attempt = 1;; attempt++) {
		int err = home_write(r, buf, len, off);

		if (!err) {
			sf_count(&r->home_out, len >> PAGE_SHIFT);
			sf_count(&r->pool->home_out, len >> PAGE_SHIFT);
			return 0;
		}
		sf_count(&r->write_errors, 1);
		sf_count(&r->pool->write_errors, 1);
		if (len > PAGE_SIZE || ask(r, SF_IO_WRITE, err, off, attempt, NULL) != SF_RETRY)
			return err;
	}
}

static int home_fd(const struct region *r)
{
	return !r->store ? r->fd : r->store->kind == STORE_FILE ? r->store->fd : -1;
}

/* What lies within the home's bounds, as one batch; the rest is left to region_write. */
static void region_write_all(struct sf_file *f, struct file_piece *pieces, unsigned n)
{
	struct region *r = region_of(f);
	struct uring_write w[URING_MOST];
	struct stat st = { 0 };
	int fd = home_fd(r);
	unsigned k = 0;

	if (fd < 0 || n > URING_MOST || host_call2(__NR_fstat, fd, &st))
		return;
	uint64_t end = r->store ? r->store->max_bytes : S_ISREG(st.st_mode) ? (uint64_t)st.st_size : INT64_MAX;

	for (unsigned i = 0; i < n; i++) {
		uint64_t off = r->offset + pieces[i].off;

		if (off <= end && pieces[i].len <= end - off)
			w[k++] = (struct uring_write){ pieces[i].buf, (uint32_t)pieces[i].len, off, -EAGAIN, &pieces[i] };
	}
	if (k < 2 || !rings_write(&r->pool->rings, fd, w, k))
		return;
	for (unsigned i = 0; i < k; i++) {
		struct file_piece *p = w[i].arg;

		p->err = w[i].result == (int64_t)p->len ? 0 : -EIO;
		if (p->err)
			continue;
		sums_set(r, p->buf, p->len, p->off);
		sf_count(&r->home_out, p->len >> PAGE_SHIFT);
		sf_count(&r->pool->home_out, p->len >> PAGE_SHIFT);
	}
}

bool region_takes_batches(const struct region *r)
{
	return has_home(r) && home_fd(r) >= 0;
}

int region_flush(struct region *r)
{
	if (r->store)
		return (int)store_io(r->store, SF_IO_SYNC, NULL, 0, 0);
	return (int)host_call1(__NR_fdatasync, r->fd);
}

/* ---------------------------------------------------------------- in place */

/* The host's pages serve if they are what the region would read: of a plain file, whole, and checked by nobody.  In the child of a fork, and to the
 * host kernel's own touches, they would be something else than ours. */
static uint64_t region_in_place(struct sf_file *f, uint64_t off, uint64_t len, struct file_place *ret)
{
	struct region *r = region_of(f);
	struct stat st;

	if (r->store || r->sums || r->pool->keep || r->pool->touch || r->direct || host_call2(__NR_fstat, r->fd, &st) || !S_ISREG(st.st_mode))
		return 0;
	uint64_t at = r->offset + off, end = (uint64_t)st.st_size & PAGE_MASK;

	*ret = (struct file_place){ r->fd, at };
	return at < end ? MIN(len, end - at) : 0;
}

static void region_placed(struct sf_file *f, uint64_t pages)
{
	count_in(region_of(f), (int64_t)(pages << PAGE_SHIFT));
}

/* ---------------------------------------------------------------- as the core knows it */

static int64_t region_size(struct sf_file *f)
{
	return INT64_MAX;
}

/* The mm lock is held, perhaps in the fault handler: an ordinary call will free it. */
static void region_release(struct sf_file *f)
{
	struct region *r = region_of(f);
	struct pool *p = r->pool;

	r->next_dead = __atomic_load_n(&p->dead, __ATOMIC_RELAXED);
	while (!__atomic_compare_exchange_n(&p->dead, &r->next_dead, r, true, __ATOMIC_RELEASE, __ATOMIC_RELAXED))
		;
}

const struct sf_file_ops region_anon_ops = {
	.read = region_read, .size = region_size, .release = region_release, .type = &vm_anon,
};
const struct sf_file_ops region_file_ops = {
	.read = region_read, .size = region_size, .release = region_release, .write = region_write, .in_place = region_in_place, .placed = region_placed, .write_all = region_write_all, .type = &vm_home,
};
