/* SPDX-License-Identifier: MIT */
/* advise.c - advice, write-back, and what of a region is where
 *
 * SF_WILLNEED and SF_SYNC_ASYNC are done by the pool's threads, piece by piece, holding the region's lock for one piece at a
 * time so that nobody waits long for it. */
#include "lib/lib.h"

#include <linux/mman.h>
#include <stdlib.h>

/* ---------------------------------------------------------------- work for the pool's threads */

#define PIECE (64 * PAGE_SIZE)

struct job {
	struct work work;
	struct region *region;
	uint64_t off, end;
	unsigned flags;
};

/* Bring one piece in as touches would.  False: enough. */
static bool bring(struct region *r, uint64_t off, uint64_t len)
{
	struct mm *mm = r->pool->mm;
	struct task tk = { .tid = thread_number() };

	return !fault_in_user(mm, &tk, r->addr + off, len, false);
}

/* Half of the bound, at most, is ever on its way at the wish of SF_WILLNEED. */
static bool ahead_take(struct pool *p, uint64_t pages)
{
	uint64_t most = p->mc->bound ? p->mc->bound / 2 : UINT64_MAX;

	if (__atomic_add_fetch(&p->ahead, pages, __ATOMIC_RELAXED) <= most)
		return true;
	__atomic_fetch_sub(&p->ahead, pages, __ATOMIC_RELAXED);
	return false;
}

static void job_done(struct job *j)
{
	struct region *r = j->region;

	free(j);
	region_job_done(r);
	fork_end_work();
}

static void run_willneed(struct work *w)
{
	struct job *j = container_of(w, struct job, work);
	struct region *r = j->region;
	uint64_t all = PFN(j->end - j->off);
	bool go = true;

	for (; go && j->off < j->end; j->off += PIECE) {
		lk_take(&r->op_lock);
		uint64_t len = MIN(MIN(j->end, r->len) - MIN(j->off, r->len), PIECE);

		go = !r->gone && len && bring(r, j->off, len);
		lk_drop(&r->op_lock);
	}
	__atomic_fetch_sub(&r->pool->ahead, all, __ATOMIC_RELAXED);
	job_done(j);
}

static int sync_range(struct region *r, uint64_t off, uint64_t end, unsigned flags)
{
	int err = home_sync(r->pool->mm, r->addr + off, r->addr + end), err2 = 0;

	if (!(flags & SF_SYNC_NOFLUSH))
		err2 = region_flush(r);
	return err ? err : err2;
}

static void run_sync(struct work *w)
{
	struct job *j = container_of(w, struct job, work);
	struct region *r = j->region;

	lk_take(&r->op_lock);
	if (!r->gone) {
		int err = sync_range(r, MIN(j->off, r->len), MIN(j->end, r->len), j->flags);

		if (err && !r->async_error)
			r->async_error = err;
	}
	lk_drop(&r->op_lock);
	job_done(j);
}

/* locked: op_lock */
static int job_post(struct region *r, void (*fn)(struct work *w), uint64_t off, uint64_t end, unsigned flags)
{
	int err = workers_start(&r->pool->helpers, r->pool->nr_workers);
	struct job *j = err ? NULL : malloc(sizeof(*j));

	if (!j)
		return err ? err : -ENOMEM;
	*j = (struct job){ .work.fn = fn, .region = r, .off = off, .end = end, .flags = flags };
	region_job(r);
	fork_begin_work();
	workers_post(&r->pool->helpers, &j->work);
	return 0;
}

/* ---------------------------------------------------------------- advice */

static int willneed(struct region *r, uint64_t off, uint64_t len)
{
	uint64_t most = r->pool->mc->bound ? r->pool->mc->bound / 2 : UINT64_MAX;
	uint64_t pages = MIN(PFN(len), most);
	int err;

	if (!ahead_take(r->pool, pages))
		return 0; /* advice that comes too thick is not taken */
	err = job_post(r, run_willneed, off, off + PVA(pages), 0);
	if (err)
		__atomic_fetch_sub(&r->pool->ahead, pages, __ATOMIC_RELAXED);
	return err;
}

static int populate(struct region *r, uint64_t off, uint64_t len)
{
	struct task tk = { .tid = thread_number() };

	uint64_t left = fault_in_user(r->pool->mm, &tk, r->addr + off, len, false);
	struct vm_area *v;

	if (!left || tk.error)
		return tk.error;
	mm_lock(r->pool->mm);
	v = vma_lookup(r->pool->mm, NULL, r->addr + off + len - left);
	bool allowed = v && v->flags & VM_PROT;

	mm_unlock(r->pool->mm);
	return allowed ? -ENOMEM : -EACCES;
}

static int advise(struct region *r, uint64_t off, uint64_t len, unsigned advice)
{
	static const int pattern[] = { [SF_NORMAL] = MADV_NORMAL, [SF_SEQUENTIAL] = MADV_SEQUENTIAL, [SF_RANDOM] = MADV_RANDOM };
	struct mm *mm = r->pool->mm;

	switch (advice) {
	case SF_NORMAL:
	case SF_SEQUENTIAL:
	case SF_RANDOM:
		return off || len != r->len ? -EINVAL : (int)do_madvise(mm, NULL, r->addr, len, pattern[advice]);
	case SF_WILLNEED:
		return willneed(r, off, len);
	case SF_DONTNEED:
		return region_pinned(r, off, len) ? -EBUSY : (int)do_madvise(mm, NULL, r->addr + off, len, MADV_DONTNEED);
	case SF_COLD:
		return (int)do_madvise(mm, NULL, r->addr + off, len, MADV_COLD);
	case SF_PAGEOUT:
		return (int)do_madvise(mm, NULL, r->addr + off, len, MADV_PAGEOUT);
	default:
		return populate(r, off, len);
	}
}

int sf_advise(sf_region *region, uint64_t off, uint64_t len, unsigned advice)
{
	struct region *r;
	struct scope sc;
	int err = advice > SF_POPULATE ? -EINVAL : region_begin(&sc, region, &r);

	if (err)
		return err;
	if (!off && !len && advice <= SF_RANDOM)
		len = r->len;
	err = region_range(r, off, len);
	if (!err && advice == SF_DONTNEED && r->snapshots)
		err = -EBUSY;
	if (!err)
		err = advise(r, off, len, advice);
	region_end(&sc, r);
	return err;
}

/* ---------------------------------------------------------------- sync */

static int sync_now(struct region *r, uint64_t off, uint64_t len, unsigned flags)
{
	int err = sync_range(r, off, off + len, flags), before = r->async_error;

	r->async_error = 0;
	return err ? err : before;
}

int sf_sync(sf_region *region, uint64_t off, uint64_t len, unsigned flags)
{
	struct region *r;
	struct scope sc;
	int err = flags & ~(SF_SYNC_ASYNC | SF_SYNC_NOFLUSH) ? -EINVAL : region_begin(&sc, region, &r);

	if (err)
		return err;
	if (!len && !(off & ~PAGE_MASK) && off < r->len)
		len = r->len - off;
	err = region_range(r, off, len);
	if (!err && has_home(r))
		err = flags & SF_SYNC_ASYNC ? job_post(r, run_sync, off, off + len, flags & SF_SYNC_NOFLUSH) : sync_now(r, off, len, flags);
	region_end(&sc, r);
	return err;
}

/* ---------------------------------------------------------------- what is where */

#define LOOK 4096u /* pages looked at under the lock at once */

static bool page_changed(const struct region *r, pte_t e, const struct page *pg)
{
	if (e & PTE_SWAP)
		return true;
	if (!pg || pg->flags & PG_BUSY)
		return pg && r->kind == SF_ANON;
	return r->kind == SF_ANON ? !(pg->flags & PG_ZERO) || pg->flags & PG_WRITABLE : page_unsaved(pg);
}

static unsigned char page_state(const struct region *r, pte_t e, const struct page *pg)
{
	unsigned char s = page_changed(r, e, pg) ? SF_IN_DIRTY : 0;

	if (e & PTE_POISON)
		return SF_IN_POISON;
	if (e & PTE_SWAP || (pg && pg->slot && !(pg->flags & PG_WRITEBACK)))
		s |= SF_IN_STORE;
	if (!pg || pg->flags & PG_BUSY)
		return s;
	return s | SF_IN_MEMORY | (pg->flags & PG_VISIBLE ? SF_IN_VIEW : 0) | (pg->pins ? SF_IN_PINNED : 0);
}

int sf_residency(sf_region *region, uint64_t off, uint64_t len, unsigned char *vec)
{
	struct region *r;
	struct scope sc;
	int err = vec ? region_begin(&sc, region, &r) : -EINVAL;

	if (err)
		return err;
	err = region_range(r, off, len);
	for (uint64_t i = 0, n = err ? 0 : PFN(len), pfn = PFN(r->addr + off); i < n;) {
		unsigned char part[LOOK];
		unsigned k = 0;

		mm_lock(r->pool->mm);
		for (; k < LOOK && i + k < n; k++)
			part[k] = page_state(r, pte_get(r->pool->mm, pfn + i + k), page_at(r->pool->mm, pfn + i + k));
		mm_unlock(r->pool->mm);
		if (sf_copy_to(vec + i, part, k, NULL)) {
			err = -EFAULT;
			break;
		}
		i += k;
	}
	region_end(&sc, r);
	return err;
}

static void count_pages(struct region *r, struct sf_region_stats *st)
{
	struct mm *mm = r->pool->mm;
	uint64_t pfn = PFN(r->addr), end = pfn + PFN(r->len);

	while (pfn < end) {
		mm_lock(mm);
		for (unsigned k = 0; k < LOOK && (pfn = pte_next(mm, pfn, end)) < end; k++, pfn++) {
			unsigned char s = page_state(r, pte_get(mm, pfn), page_at(mm, pfn));

			st->resident += s & SF_IN_MEMORY ? PAGE_SIZE : 0;
			st->dirty += s & SF_IN_DIRTY ? PAGE_SIZE : 0;
			st->stored += s & SF_IN_STORE ? PAGE_SIZE : 0;
			st->pinned += s & SF_IN_PINNED ? PAGE_SIZE : 0;
		}
		mm_unlock(mm);
	}
}

int sf_region_stats(sf_region *region, struct sf_region_stats *ret)
{
	struct sf_region_stats st = { 0 };
	struct region *r;
	struct scope sc;
	int err = check_struct(ret, sizeof(size_t), SIZE_MAX);

	if (!err)
		err = region_begin(&sc, region, &r);
	if (err)
		return err;
	count_pages(r, &st);
	st.faults = READ_ONCE(r->file.faults);
	st.majors = READ_ONCE(r->file.majors);
	st.home_in = READ_ONCE(r->home_in);
	st.home_out = READ_ONCE(r->home_out);
	st.read_errors = READ_ONCE(r->read_errors);
	st.write_errors = READ_ONCE(r->write_errors);
	st.checksum_errors = READ_ONCE(r->checksum_errors);
	region_end(&sc, r);
	struct_out(ret, &st, sizeof(st));
	return 0;
}

/* ---------------------------------------------------------------- changed pages */

#define RANGES 64u

/* Up to RANGES ranges from *pfn on; the lock is held for a bounded time. */
static unsigned collect(struct region *r, uint64_t *pfn, uint64_t end, struct sf_range *out, unsigned max)
{
	struct mm *mm = r->pool->mm;
	uint64_t base = PFN(r->addr);
	unsigned n = 0;

	mm_lock(mm);
	for (unsigned k = 0; k < LOOK && (*pfn = pte_next(mm, *pfn, end)) < end; k++, ++*pfn) {
		uint64_t off = PVA(*pfn - base);

		if (!page_changed(r, pte_get(mm, *pfn), page_at(mm, *pfn)))
			continue;
		if (n && out[n - 1].off + out[n - 1].len == off)
			out[n - 1].len += PAGE_SIZE;
		else if (n == max)
			break;
		else
			out[n++] = (struct sf_range){ off, PAGE_SIZE };
	}
	mm_unlock(mm);
	return n;
}

int sf_dirty_ranges(sf_region *region, uint64_t *off, struct sf_range *ret, unsigned max)
{
	struct sf_range part[RANGES];
	struct region *r;
	struct scope sc;
	unsigned n = 0;
	uint64_t at = off ? *off : 0;
	int err = !off || !ret || !max || at & ~PAGE_MASK ? -EINVAL : region_begin(&sc, region, &r);

	if (err)
		return err;
	uint64_t pfn = PFN(r->addr + MIN(at, r->len)), end = PFN(r->addr + r->len);

	if (at > r->len)
		err = -EINVAL;
	while (!err && !n && pfn < end)
		n = collect(r, &pfn, end, part, MIN(MIN(max, RANGES), INT32_MAX));
	at = MIN(PVA(pfn) - r->addr, r->len);
	region_end(&sc, r);
	if (err)
		return err;
	*off = at;
	memcpy(ret, part, n * sizeof(*part));
	return (int)n;
}
