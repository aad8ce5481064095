/* SPDX-License-Identifier: MIT */
/* inplace.c - pages of a file, seen where the host has them: in its page cache
 *
 * Copying a page into one of ours costs more than reading it does.  So where an area is gone through in order (VM_SEQ_READ) and its file allows it
 * (in_place), a whole window of absent pages becomes one host mapping of the file, for reading alone:
 *
 *     absent   --place_window-->                         placed: visible, PG_SHARED and PG_PLACED, never writable, never pinned
 *     placed   --evicted, zapped, moved, snapshot-->     absent
 *     placed   --written, pinned, refused by the host--> absent, and then a page of ours, like any other
 *
 * A placed page takes a frame like any page in memory.  If the file is cut short, or cannot be read when the host has given the data up meanwhile, a touch
 * of a visible page faults; the page is then read as if nothing had ever been placed, and that tells what is wrong.
 * One such fault alone proves nothing: it may be older than the placing. */
#include "mm/internal.h"

#define PLACE_MOST  256u /* a window: one call each to place it and to take it away */
#define PLACE_LEAST 16u  /* less is cheaper to copy */
#define PLACE_PAUSE 64u  /* windows that are copied after one that had to be given up for a write */

/* ---------------------------------------------------------------- how much */

/* Absent pages from the faulting one on that may be placed; 0: too few, or not here. */
static unsigned place_wanted(struct fault_ctx *fc)
{
	struct machine *mc = fc->mm->mc;
	struct vm_area *v = fc->area;
	uint64_t most = mc->bound ? MIN(PLACE_MOST, tree_share(mc) / 8) : PLACE_MOST;

	if (!(v->flags & VM_SEQ_READ) || fc->write || v->guard || mc->watch || !mc->port->ops->place || !v->file || !v->file->ops->in_place)
		return 0;
	if (v->window) {
		v->window--;
		return 0;
	}
	uint64_t n = pte_next(fc->mm, fc->pfn, MIN(PFN(v->end), fc->pfn + most)) - fc->pfn;

	return n < PLACE_LEAST ? 0 : (unsigned)n;
}

/* Frames for so many, as far as clean pages can make room. */
static unsigned place_room(struct fault_ctx *fc, unsigned n)
{
	struct machine *mc = fc->mm->mc;
	size_t had, have = frames_free(mc);

	do {
		had = have;
		if (have < n)
			reclaim_clean_batch(fc->mm, fc->task);
		have = frames_free(mc);
	} while (have < n && have > had); /* what is dirty is left to who copies */
	n = (unsigned)MIN(n, have);
	return n < PLACE_LEAST ? 0 : n;
}

/* ---------------------------------------------------------------- placing */

static unsigned place_mark(struct fault_ctx *fc, unsigned n)
{
	struct mm *mm = fc->mm;

	for (unsigned i = 0; i < n; i++) {
		if (!pte_alloc(mm, fc->pfn + i))
			return i;
		struct page *pg = page_alloc_nowait(mm->mc);

		pg->pfn = fc->pfn + i;
		pte_set(mm, pg->pfn, pte_mk_frame(page_frame(mm->mc, pg)));
		page_set_busy(mm, pg);
	}
	return n;
}

static void place_unmark(struct fault_ctx *fc, unsigned n)
{
	struct mm *mm = fc->mm;

	for (unsigned i = 0; i < n; i++) {
		struct page *pg = page_at(mm, fc->pfn + i);

		pte_set(mm, pg->pfn, 0);
		page_clear_busy(mm, pg);
		page_free(mm->mc, pg);
	}
}

static void place_install(struct fault_ctx *fc, unsigned n)
{
	struct mm *mm = fc->mm;

	for (unsigned i = 0; i < n; i++) {
		struct page *pg = page_at(mm, fc->pfn + i);

		page_clear_busy(mm, pg);
		page_install(mm, pg, fc->area, PG_SHARED | PG_FILE | PG_PLACED, i ? FILL_AHEAD : FILL_DEMAND);
	}
	sf_count(&mm->mc->stats->pages_filled, n);
	sf_count(&mm->mc->stats->pages_read, n);
	fc->area->file->ops->placed(fc->area->file, n);
	fault_window_done(fc, fc->pfn, n);
}

/* The data are read while the lock is let go of.  Pages on their way are nobody else's business, whoever may touch them already. */
static unsigned place_read(struct fault_ctx *fc, unsigned n)
{
	struct port *port = fc->mm->mc->port;
	struct io_run run = { .lo = fc->pfn, .n = n };

	run_unlock(fc, &run);
	int err = port->ops->place_read(port, PVA(run.lo), n);
	bool same = run_relock(fc, &run) && !fc->area->guard;

	if (same && !err) {
		place_install(fc, n);
		return VM_FAULT_MAJOR;
	}
	unplace(fc->mm, run.lo, n);
	place_unmark(fc, n);
	if (same)
		fc->area->window = 1;
	return VM_FAULT_RETRY;
}

unsigned place_window(struct fault_ctx *fc)
{
	struct port *port = fc->mm->mc->port;
	unsigned n = place_wanted(fc);
	struct file_place at;

	if (!n)
		return 0;
	struct sf_file *f = fc->area->file;
	uint64_t got = f->ops->in_place(f, (fc->area->pgoff + fc->pfn - PFN(fc->area->start)) << PAGE_SHIFT, n * PAGE_SIZE, &at) >> PAGE_SHIFT;

	n = got < PLACE_LEAST ? 0 : place_room(fc, (unsigned)MIN(n, got));
	if (!n)
		return 0;
	n = place_mark(fc, n);
	if (n && !port->ops->place(port, PVA(fc->pfn), n, at.fd, at.off))
		return place_read(fc, n);
	place_unmark(fc, n);
	fc->area->window = PLACE_PAUSE;
	return 0;
}

/* ---------------------------------------------------------------- giving up */

void unplace(struct mm *mm, uint64_t pfn, uint64_t n)
{
	struct port *port = mm->mc->port;

	if (port->ops->unplace(port, PVA(pfn), n))
		SF_BUG_ON(port->ops->unplace(port, PVA(pfn), n) && "the port cannot take placed pages away");
}

bool place_leave(struct fault_ctx *fc, const struct page *pg)
{
	struct mm *mm = fc->mm;
	unsigned n = 1;

	if (pg->flags & PG_VISIBLE && !fc->write && mm->placed_twice != fc->pfn) {
		mm->placed_twice = fc->pfn;
		return false;
	}
	for (; fc->write && n < MAX_WINDOW && PVA(fc->pfn + n) < fc->area->end; n++) {
		pg = page_at(mm, fc->pfn + n);
		if (!pg || !page_placed(pg) || pg->flags & PG_BUSY)
			break;
	}
	if (fc->write)
		fc->area->window = PLACE_PAUSE;
	zap_range(mm, PVA(fc->pfn), PVA(fc->pfn + n));
	return true;
}

void place_none(struct mm *mm, vaddr_t start, vaddr_t end)
{
	uint64_t last = PFN(end);

	for (uint64_t pfn = PFN(start); (pfn = pte_next(mm, pfn, last)) < last; pfn++) {
		uint64_t n = 0;
		struct page *pg;

		while (pfn + n < last && (pg = page_at(mm, pfn + n)) && page_placed(pg))
			n++;
		if (n)
			zap_range(mm, PVA(pfn), PVA(pfn + n));
		pfn += n ? n - 1 : 0;
	}
}

/* ---------------------------------------------------------------- eviction */

static bool goes_along(struct mm *mm, uint64_t pfn, unsigned list)
{
	const struct page *pg = page_at(mm, pfn);

	return pg && page_placed(pg) && page_evictable(pg) && pg->list == list && pg->flags & PG_VISIBLE;
}

void place_extend(struct mm *mm, const struct page *pg, uint64_t *lo, uint64_t *n)
{
	while (*n < PLACE_MOST && goes_along(mm, *lo + *n, pg->list))
		++*n;
	while (*n < PLACE_MOST && goes_along(mm, *lo - 1, pg->list)) {
		--*lo;
		++*n;
	}
}
