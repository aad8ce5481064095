/* SPDX-License-Identifier: MIT */
/* home.c - private pages that belong to a file and go back to it
 *
 *     first touch       read from the file, in clusters or as far as the pattern of touches suggests; or seen in place (inplace.c)
 *     changed           PG_FILE is off: the file has something else.  A copy in the swap store does not alter that
 *     evicted, changed  write_back:      written to the file, then dropped
 *                       else (ordered):  to the swap store, as any page; the file changes by home_sync alone
 *     synced            written, and PG_FILE is on again
 *
 * A page on its way home is hidden, off the policy's lists, and busy: whoever touches it waits until the write is over.  So one page never has two
 * writes under way, and nobody reads from the file what a write is just changing. */
#include "mm/internal.h"

/* ---------------------------------------------------------------- bringing in */

/* Contents for the run into buf; when that fails, for the faulting page alone (at its place).  Bytes, or -errno.  Not locked. */
static int64_t home_read(struct io_run *run, char *buf, bool *ret_alone)
{
	struct sf_file *f = run->file;
	int64_t got = f->ops->read(f, buf, run->n * PAGE_SIZE, run->pgoff << PAGE_SHIFT);

	*ret_alone = got < 0 && run->n > 1;
	if (!*ret_alone)
		return got;
	got = f->ops->read(f, buf + run->at * PAGE_SIZE, PAGE_SIZE, (run->pgoff + run->at) << PAGE_SHIFT);
	return got > 0 ? got + (int64_t)(run->at * PAGE_SIZE) : got;
}

static unsigned home_lost(struct fault_ctx *fc, struct io_run *run, int err)
{
	uint64_t pfn = fc->pfn;

	run_undo(fc, run, 0, run->n);
	fc->task->error = err == FILE_POISON ? -EIO : err;
	if (err == FILE_POISON && pte_alloc(fc->mm, pfn))
		pte_set(fc->mm, pfn, PTE_POISON);
	return VM_FAULT_SIGBUS;
}

static unsigned home_fill(struct fault_ctx *fc, struct io_run *run, char *buf, int64_t got, bool alone)
{
	uint64_t end = got > 0 ? PAGE_ALIGN((uint64_t)got) : 0;
	unsigned good = (unsigned)MIN(end >> PAGE_SHIFT, run->n);

	if (good <= run->at)
		return home_lost(fc, run, got < 0 ? (int)got : -ENXIO);
	memset(buf + got, 0, end - (uint64_t)got);
	run_undo(fc, run, good, run->n);
	run->n = good;
	if (alone) {
		buf += run->at * PAGE_SIZE;
		run_alone(fc, run);
	}
	sf_count(&fc->mm->mc->stats->pages_read, run->n);
	return run_fill(fc, run, buf, PG_FILE);
}

static unsigned home_copy(struct fault_ctx *fc)
{
	struct machine *mc = fc->mm->mc;
	struct window w = window_cluster(fc);
	struct io_run run;
	bool alone;
	unsigned res;

	if (!w.n)
		w = fault_window(fc, MAX_WINDOW, pte_absent);
	res = run_begin(fc, &run, w.lo, w.n);
	if (res)
		return res;
	run_unlock(fc, &run);
	char *buf = iobuf_get(mc);
	int64_t got = home_read(&run, buf, &alone);

	if (run_relock(fc, &run)) {
		res = home_fill(fc, &run, buf, got, alone);
		fault_window_done(fc, run.lo, run.n);
	} else {
		run_undo(fc, &run, 0, run.n);
		res = VM_FAULT_RETRY;
	}
	iobuf_put(mc, buf);
	return res ? res : VM_FAULT_MAJOR;
}

static unsigned do_home_page(struct fault_ctx *fc)
{
	struct page *pg = page_at(fc->mm, fc->pfn);
	unsigned res;

	if (pg && !place_leave(fc, pg))
		return VM_FAULT_NOPAGE;
	res = pg ? 0 : place_window(fc);
	return res ? res : home_copy(fc);
}

const struct vm_type vm_home = { .name = "home", .fault = do_home_page };

/* ---------------------------------------------------------------- on the way */

/* Out of view, off the lists, busy.  The page is hidden. */
static void home_mark(struct mm *mm, struct home_batch *hb, struct page *pg, bool was_hidden)
{
	mm->mc->policy->remove(mm->mc, pg);
	if (pg->flags & PG_FILE)
		mm->rss_file--;
	else
		mm->rss_anon--;
	pg->flags &= (uint16_t)~PG_HIDDEN;
	mm->mc->hidden--;
	page_set_busy(mm, pg);
	hb->hidden[hb->n] = was_hidden;
	hb->pg[hb->n++] = pg;
}

/* Rights may have been taken away while the lock was. */
static bool touchable(struct mm *mm, uint64_t pfn)
{
	struct vm_area *v = vma_lookup(mm, NULL, PVA(pfn));

	return v && v->flags & VM_PROT;
}

/* Back to what it was.  saved: the file has its contents now. */
static void home_unmark(struct mm *mm, struct page *pg, bool hidden, bool saved)
{
	struct machine *mc = mm->mc;
	struct port *port = mc->port;

	page_clear_busy(mm, pg);
	if (saved) {
		page_forget_slot(mm, pg);
		pg->flags = (uint16_t)((pg->flags & ~PG_DIRTY) | PG_FILE);
	}
	if (pg->flags & PG_FILE)
		mm->rss_file++;
	else
		mm->rss_anon++;
	if (!hidden && touchable(mm, pg->pfn) && !port->ops->show(port, PVA(pg->pfn), pg->hid, 1, PT_R)) {
		pg->flags |= PG_VISIBLE;
		mc->policy->insert(mc, pg, FILL_DEMAND);
		return;
	}
	pg->flags |= PG_HIDDEN;
	mc->hidden++;
	mc->policy->insert(mc, pg, FILL_DEMAND);
	mc->policy->advise(mc, pg, false);
}

static void home_drop(struct mm *mm, struct page *pg)
{
	struct port *port = mm->mc->port;

	if (port->ops->drop_hidden(port, PVA(pg->pfn), pg->hid, 1)) {
		home_unmark(mm, pg, true, true);
		return;
	}
	pte_set(mm, pg->pfn, 0);
	page_clear_busy(mm, pg);
	page_free(mm->mc, pg);
}

static struct sf_file *home_of(struct mm *mm, const struct page *pg, uint64_t *ret_off)
{
	struct vm_area *v = vma_lookup(mm, NULL, PVA(pg->pfn));

	if (!v || v->type != &vm_home)
		return NULL;
	*ret_off = (v->pgoff + pg->pfn - PFN(v->start)) << PAGE_SHIFT;
	return v->file;
}

/* Hide those of pgs that are not, and mark them all.  Those that cannot be hidden are left alone. */
static void home_begin(struct mm *mm, struct page **pgs, unsigned n, struct home_batch *hb)
{
	bool hidden[SF_IOBUF_PAGES];

	pages_sort(pgs, n);
	for (unsigned i = 0; i < n; i++)
		hidden[i] = pgs[i]->flags & PG_HIDDEN;

	struct page *some[SF_IOBUF_PAGES];

	memcpy(some, pgs, n * sizeof(*some));
	pages_hide(mm, some, n);
	for (unsigned i = 0; i < n; i++)
		if (pgs[i]->flags & PG_HIDDEN)
			home_mark(mm, hb, pgs[i], hidden[i]);
}

void home_take(struct mm *mm, struct page **pgs, unsigned *n, struct home_batch *hb)
{
	struct page *mine[SF_IOBUF_PAGES];
	unsigned k = 0, nm = 0;

	for (unsigned i = 0; i < *n; i++) {
		uint64_t off;
		struct sf_file *f = home_of(mm, pgs[i], &off);

		if (f && f->write_back && nm < SF_IOBUF_PAGES)
			mine[nm++] = pgs[i];
		else
			pgs[k++] = pgs[i];
	}
	*n = k;
	home_begin(mm, mine, nm, hb);
}

/* ---------------------------------------------------------------- writing */

struct home_run { struct sf_file *file; uint64_t off; unsigned at, n; };

/* Contents of the batch to buf, and the runs that are one write each.  Pages that cannot be read keep their error. */
static unsigned home_gather(struct mm *mm, struct home_batch *hb, char *buf, struct home_run *runs)
{
	struct port *port = mm->mc->port;
	struct home_run *r = NULL;
	unsigned nr = 0;

	for (unsigned i = 0; i < hb->n; i++) {
		struct page *pg = hb->pg[i];
		uint64_t off;
		struct sf_file *f = home_of(mm, pg, &off);

		hb->err[i] = f ? port->ops->read_hidden(port, PVA(pg->pfn), pg->hid, 1, buf + i * PAGE_SIZE) : -EIO;
		if (hb->err[i])
			continue;
		if (r && r->file == f && r->off + r->n * PAGE_SIZE == off && r->at + r->n == i) {
			r->n++;
			continue;
		}
		r = &runs[nr++];
		*r = (struct home_run){ f, off, i, 1 };
		file_get(f);
	}
	return nr;
}

/* One run, unless it has been written; when the file refuses it, page by page.  Not locked. */
static void home_write_run(struct home_batch *hb, const struct home_run *r, const char *buf, bool done)
{
	int err = done ? 0 : r->file->ops->write(r->file, buf + r->at * PAGE_SIZE, r->n * PAGE_SIZE, r->off);
	bool single = err && r->n > 1;

	for (unsigned i = 0; i < r->n; i++) {
		if (single)
			err = r->file->ops->write(r->file, buf + (r->at + i) * PAGE_SIZE, PAGE_SIZE, r->off + i * PAGE_SIZE);
		hb->err[r->at + i] = err;
	}
}

/* Runs of one file together if it can take them so.  Not locked. */
static void home_write_runs(struct home_batch *hb, const struct home_run *runs, unsigned nr, const char *buf)
{
	struct file_piece piece[SF_IOBUF_PAGES];
	unsigned n;

	for (unsigned i = 0; i < nr; i += n) {
		struct sf_file *f = runs[i].file;

		for (n = 0; i + n < nr && runs[i + n].file == f; n++) {
			const struct home_run *r = &runs[i + n];

			piece[n] = (struct file_piece){ buf + r->at * PAGE_SIZE, r->n * PAGE_SIZE, r->off, -EAGAIN };
		}
		if (n > 1 && f->ops->write_all)
			f->ops->write_all(f, piece, n);
		for (unsigned k = 0; k < n; k++)
			home_write_run(hb, &runs[i + k], buf, !piece[k].err);
	}
}

unsigned home_write(struct mm *mm, struct home_batch *hb, char *buf, bool evict)
{
	struct home_run runs[SF_IOBUF_PAGES];
	unsigned nr = home_gather(mm, hb, buf, runs), freed = 0;

	mm_unlock(mm);
	home_write_runs(hb, runs, nr, buf);
	mm_lock(mm);
	for (unsigned i = 0; i < nr; i++)
		file_put(runs[i].file);
	for (unsigned i = 0; i < hb->n; i++)
		if (hb->err[i]) {
			home_unmark(mm, hb->pg[i], hb->hidden[i], false);
			if (evict)
				mm->mc->policy->advise(mm->mc, hb->pg[i], true); /* name others */
		} else if (evict) {
			home_drop(mm, hb->pg[i]);
			freed++;
		} else {
			home_unmark(mm, hb->pg[i], hb->hidden[i], true);
		}
	page_wake(mm);
	return freed;
}

void home_saved(struct mm *mm, uint64_t pfn)
{
	struct page *pg = page_at(mm, pfn);

	SF_MISUSE(pg && pg->flags & (PG_BUSY | PG_WRITABLE));
	if (!pg) {
		zap_range(mm, PVA(pfn), PVA(pfn + 1));
		return;
	}
	page_forget_slot(mm, pg);
	mm->rss_anon -= !(pg->flags & PG_FILE);
	mm->rss_file += !(pg->flags & PG_FILE);
	pg->flags = (uint16_t)((pg->flags & ~(PG_DIRTY | PG_ZERO | PG_LAZYFREE)) | PG_FILE);
}

/* ---------------------------------------------------------------- sync */

struct home_walk { struct mm *mm; uint64_t pfn, end; int err; };

enum step { STEP_BATCH, STEP_SWAPPED, STEP_DONE };

static void note_error(struct home_walk *w, int err)
{
	if (!w->err)
		w->err = err;
}

/* The next changed pages, at most a buffer full.  STEP_SWAPPED: the one at w->pfn is in the store.  Locked: mm. */
static enum step home_collect(struct home_walk *w, struct page **pgs, unsigned *n)
{
	struct mm *mm = w->mm;

	for (*n = 0; *n < SF_IOBUF_PAGES && (w->pfn = pte_next(mm, w->pfn, w->end)) < w->end; w->pfn++) {
		pte_t e = pte_get(mm, w->pfn);
		struct page *pg = page_at(mm, w->pfn);

		if (e & PTE_POISON)
			continue;
		if (e & PTE_SWAP)
			return *n ? STEP_BATCH : STEP_SWAPPED;
		if (pg->flags & (PG_BUSY | PG_WRITEBACK)) {
			if (*n)
				return STEP_BATCH;
			page_wait(mm);
			w->pfn--;
			continue;
		}
		if (!page_unsaved(pg))
			continue;
		if (pg->pins)
			note_error(w, -EBUSY);
		else
			pgs[(*n)++] = pg;
	}
	return *n ? STEP_BATCH : STEP_DONE;
}

static void sync_batch(struct home_walk *w, struct page **pgs, unsigned n, char *buf)
{
	struct home_batch hb = { .n = 0 };

	home_begin(w->mm, pgs, n, &hb);
	if (hb.n < n)
		note_error(w, -EBUSY);
	home_write(w->mm, &hb, buf, false);
	for (unsigned i = 0; i < hb.n; i++)
		if (hb.err[i])
			note_error(w, hb.err[i]);
}

/* From the store home, without ever being visible: what stands in between is a busy frame.  Lets go of the lock. */
static void sync_moved(struct home_walk *w, struct page *pg, uint64_t slot, char *buf)
{
	struct mm *mm = w->mm;
	uint64_t off;

	pg->pfn = w->pfn;
	pg->slot = (uint32_t)slot;
	mm->swapped--;
	pte_set(mm, w->pfn, pte_mk_frame(page_frame(mm->mc, pg)));
	page_set_busy(mm, pg);

	struct sf_file *f = home_of(mm, pg, &off);

	file_get(f);
	mm_unlock(mm);
	int err = swap_read(mm->mc, slot, 1, buf);

	if (!err)
		err = f ? f->ops->write(f, buf, PAGE_SIZE, off) : -EIO;
	mm_lock(mm);
	file_put(f);
	page_clear_busy(mm, pg);
	if (err) {
		note_error(w, err);
		mm->swapped++;
	} else {
		swap_free(mm->mc, slot, 1);
	}
	pte_set(mm, w->pfn, err ? pte_mk_swap(slot) : 0);
	pg->slot = 0;
	page_free(mm->mc, pg);
	page_wake(mm);
}

/* locked: mm */
static void sync_swapped(struct home_walk *w, char *buf)
{
	bool dropped = false;
	struct page *pg = page_alloc(w->mm, &dropped);
	pte_t e = pte_get(w->mm, w->pfn);

	if (pg && e & PTE_SWAP) {
		sync_moved(w, pg, pte_slot(e), buf);
		w->pfn++;
		return;
	}
	if (pg) { /* something happened while the lock was away: look again */
		page_free(w->mm->mc, pg);
		return;
	}
	note_error(w, -ENOMEM);
	w->pfn++;
}

int home_sync(struct mm *mm, vaddr_t start, vaddr_t end)
{
	struct home_walk w = { .mm = mm, .pfn = PFN(start), .end = PFN(end) };
	struct page *pgs[SF_IOBUF_PAGES];
	char *buf = iobuf_get(mm->mc);
	enum step step;
	unsigned n;

	do {
		mm_lock(mm);
		step = home_collect(&w, pgs, &n);
		if (step == STEP_BATCH)
			sync_batch(&w, pgs, n, buf);
		else if (step == STEP_SWAPPED)
			sync_swapped(&w, buf);
		mm_unlock(mm);
	} while (step != STEP_DONE);
	iobuf_put(mm->mc, buf);
	return w.err;
}
