/* SPDX-License-Identifier: MIT */
/* sync_atomic.c - a region's changes reach its home all at once, or not at all
 *
 *     snapshot ── changed pages ──► log, flush ──► commit, flush ──► home, flush ──► log emptied, flush
 *                  crash here: discarded          │ crash here: sf_recover applies the log, and flushes home
 *
 * The snapshot keeps what threads write meanwhile out of it: home gets exactly what the log has.  Pages that nobody has
 * written since are then clean; the others stay changed, for the next sync.
 *
 * A log that could not be applied (home fails) stays; the next call, or sf_recover, applies it first. */
#define SF_BUILDING
#include "lib/atomic_log.h"
#include "lib/lib.h"

#include <stdlib.h>
#include <sys/stat.h>

/* ---------------------------------------------------------------- recovery */

struct home { int fd; uint64_t size; bool grows; };

static int write_home(void *arg, uint64_t off, const void *page)
{
	const struct home *h = arg;
	uint64_t len = PAGE_SIZE;

	if (!h->grows)
		len = off < h->size ? MIN(len, h->size - off) : 0;
	return write_all(h->fd, page, len, off);
}

static int home_open(struct home *h, int fd, uint32_t flags)
{
	struct stat st;
	int err = (int)host_call2(__NR_fstat, fd, &st);

	if (err)
		return err;
	*h = (struct home){ .fd = fd, .size = (uint64_t)st.st_size, .grows = flags & LOG_GROWS || !S_ISREG(st.st_mode) };
	return 0;
}

/* 1: applied, 0: nothing to apply; the log is empty then. */
static int recover(int home_fd, int log_fd, char *buf)
{
	uint32_t flags = 0;
	struct home h;
	int found = log_look(log_fd, &flags, buf), err = found < 0 ? found : 0;

	if (found == LOG_IS_EMPTY)
		return 0;
	if (found == LOG_IS_WHOLE) {
		err = home_open(&h, home_fd, flags);
		if (!err)
			err = log_apply(log_fd, write_home, &h, buf);
		if (!err)
			err = (int)host_call1(__NR_fdatasync, home_fd);
	}
	if (!err)
		err = log_empty(log_fd);
	return err ? err : found == LOG_IS_WHOLE;
}

int sf_recover(int home_fd, int log_fd)
{
	struct scope sc;
	int r = home_fd < 0 || log_fd < 0 ? -EBADF : home_fd == log_fd ? -EINVAL : lib_enter(&sc);
	char *buf;

	if (r)
		return r;
	buf = malloc(LOG_BUF);
	r = buf ? recover(home_fd, log_fd, buf) : -ENOMEM;
	free(buf);
	lib_leave(&sc);
	return r;
}

/* ---------------------------------------------------------------- which pages */

struct sync {
	struct region *r;
	struct snap *snap;
	struct task tk;
	struct log log;
	char *page;
};

/* The first page at or after index i that differs from home, or did when the snapshot was taken. */
static uint64_t next_changed(struct sync *sy, uint64_t i)
{
	struct mm *mm = sy->r->pool->mm;
	uint64_t lo = PFN(sy->r->addr), end = PFN(sy->r->len), k = i;

	mm_lock(mm);
	for (; (k = pte_next(mm, lo + k, lo + end) - lo) < end; k++) {
		struct page *pg = page_at(mm, lo + k);

		if (pg && pg->flags & PG_BUSY) {
			page_wait(mm);
			k--;
			continue;
		}
		if (pg ? page_unsaved(pg) : pte_get(mm, lo + k) & PTE_SWAP)
			break;
	}
	mm_unlock(mm);
	return snap_next_diff(sy->snap, NULL, i, k);
}

/* Home has this page of the snapshot's now.  Has nobody written it since, then it is clean. */
static void mark_saved(struct sync *sy, uint64_t i)
{
	struct mm *mm = sy->r->pool->mm;
	uint64_t pfn = PFN(sy->r->addr) + i;
	struct page *pg;

	mm_lock(mm);
	while ((pg = page_at(mm, pfn)) && pg->flags & PG_BUSY)
		page_wait(mm);
	if (!snap_written(sy->snap, i) && !(pte_get(mm, pfn) & PTE_POISON))
		home_saved(mm, pfn);
	mm_unlock(mm);
}

/* ---------------------------------------------------------------- the steps */

static int fill_log(struct sync *sy)
{
	uint64_t end = PFN(sy->r->len);
	int err = 0;

	for (uint64_t i = 0; !err && (i = next_changed(sy, i)) < end; i++) {
		err = snap_read(sy->snap, &sy->tk, PVA(i), sy->page, PAGE_SIZE);
		if (!err)
			err = log_add(&sy->log, sy->r->offset + PVA(i), sy->page);
	}
	return err;
}

static int apply_page(void *arg, uint64_t off, const void *page)
{
	struct sync *sy = arg;

	return sy->r->file.ops->write(&sy->r->file, page, PAGE_SIZE, off - sy->r->offset);
}

static int saved_page(void *arg, uint64_t off, const void *page)
{
	struct sync *sy = arg;

	mark_saved(sy, PFN(off - sy->r->offset));
	return 0;
}

/* After the commit: nothing is lost any more, whatever happens. */
static int carry_out(struct sync *sy, int log_fd, char *buf)
{
	int err = log_apply(log_fd, apply_page, sy, buf);

	if (!err)
		err = region_flush(sy->r);
	if (!err)
		err = log_apply(log_fd, saved_page, sy, buf);
	return err ? err : log_empty(log_fd);
}

static int sync_snapshot(struct sync *sy, int log_fd, char *buf)
{
	int err = log_begin(&sy->log, log_fd, sy->r->store ? LOG_GROWS : 0, buf);

	if (!err)
		err = fill_log(sy);
	if (!err && !sy->log.count) {
		err = region_flush(sy->r);
		return err ? err : log_empty(log_fd);
	}
	if (!err)
		err = log_commit(&sy->log);
	return err ? err : carry_out(sy, log_fd, buf);
}

static int home_fd(const struct region *r)
{
	if (r->kind == SF_FILE_SHARED)
		return r->fd;
	return r->kind == SF_STORE && r->store->kind == STORE_FILE ? r->store->fd : -1;
}

/* locked: op_lock */
static int sync_atomic(struct region *r, int log_fd, char *buf)
{
	struct sync sy = { .r = r, .tk = { .tid = thread_number() }, .page = buf + LOG_BUF };
	struct mm *mm = r->pool->mm;
	int err = recover(home_fd(r), log_fd, buf), err2;

	if (err < 0)
		return err;
	if (err && r->sums)
		memset(r->sums, 0, r->sums_len * sizeof(*r->sums)); /* home is not what they were made of */
	lk_take(&r->pool->map_lock);
	err = snap_take(mm, &sy.tk, r->addr, r->len, &sy.snap);
	lk_drop(&r->pool->map_lock);
	if (err)
		return err;
	err = sync_snapshot(&sy, log_fd, buf);
	lk_take(&r->pool->map_lock);
	err2 = snap_drop(sy.snap);
	lk_drop(&r->pool->map_lock);
	return err ? err : err2;
}

int sf_sync_atomic(sf_region *region, const struct sf_atomic_options *opt)
{
	struct region *r;
	struct scope sc;
	int err = check_struct(opt, sizeof(*opt), sizeof(*opt)), log_fd = err ? -1 : opt->log_fd;
	char *buf;

	if (!err && opt->flags)
		err = -EINVAL;
	if (!err && log_fd < 0)
		err = -EBADF;
	if (!err)
		err = region_begin(&sc, region, &r);
	if (err)
		return err;
	if (!has_home(r) || !(r->flags & SF_MAP_ORDERED))
		err = -EINVAL;
	else if (home_fd(r) < 0)
		err = -EOPNOTSUPP;
	buf = err ? NULL : malloc(LOG_BUF + PAGE_SIZE);
	if (!err)
		err = buf ? sync_atomic(r, log_fd, buf) : -ENOMEM;
	free(buf);
	region_end(&sc, r);
	return err;
}
