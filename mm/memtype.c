/* SPDX-License-Identifier: MIT */
/* memtype.c - how an absent page comes to be, by the type of its area
 *
 *     type            first touch            brings along                    a page it can lose without a write
 *     vm_anon         zeros; read-only if    the pages next to it, when      never written: zeros again
 *                     it was a read          touches come in order
 *     vm_file_private read from the file;    the aligned block around it     not written: the file has it
 *                     copied if a write
 *     vm_file_shared  the host's mapping     the same                        always: the file is the page
 *     vm_file_lent    made accessible
 *
 * Order is seen per stream: a fault right behind (or right before) what an earlier one brought in doubles that one's window, 1, 2, 4
 * … pages; any other fault begins a stream with a window of one.  So a run of n touches brings in less than 2n pages, and
 * a program that hops about gets what it touches.  Several streams are remembered, because programs merge, copy and compare. */
#include "mm/internal.h"

/* ---------------------------------------------------------------- windows */

static struct fault_stream *stream_find(struct mm *mm, uint64_t pfn)
{
	for (unsigned i = 0; i < NR_STREAMS; i++) {
		struct fault_stream *s = &mm->streams[(mm->stream_last + i) % NR_STREAMS];

		if (s->hi == pfn || s->lo == pfn + 1) {
			mm->stream_last = (uint32_t)(s - mm->streams);
			return s;
		}
	}
	return NULL;
}

static unsigned window_limit(struct fault_ctx *fc, unsigned max)
{
	struct machine *mc = fc->mm->mc;

	if (mc->watch || mc->fault_around <= 1 || fc->area->flags & VM_RAND_READ)
		return 1;
	max = MIN(max, max > 16 ? 2 * mc->fault_around : mc->fault_around); /* zeros cost less than data */
	return MIN(MIN(max, MAX_WINDOW), evict_batch(mc));
}

static unsigned window_size(struct fault_ctx *fc, const struct fault_stream *s, unsigned max)
{
	max = window_limit(fc, max);
	if (fc->area->flags & VM_SEQ_READ)
		return max;
	return s ? MIN(s->window * 2, max) : 1;
}

struct window fault_window(struct fault_ctx *fc, unsigned max, bool (*same)(struct fault_ctx *, uint64_t pfn, uint64_t base))
{
	const struct fault_stream *s = stream_find(fc->mm, fc->pfn);
	unsigned want = window_size(fc, s, max);
	struct window w = { fc->pfn, 1 };

	if (s && s->lo == fc->pfn + 1) {
		while (w.n < want && w.lo > PFN(fc->area->start) && same(fc, w.lo - 1, fc->pfn)) {
			w.lo--;
			w.n++;
		}
		return w;
	}
	while (w.n < want && w.lo + w.n < PFN(fc->area->end) && same(fc, w.lo + w.n, fc->pfn))
		w.n++;
	return w;
}

/* The stream has got past what was brought in last: those pages were wanted.  Where the program has said that it goes through in
 * order they are not wanted any more: they are the next to leave, without being hidden first. */
static void stream_hits(struct fault_ctx *fc, uint64_t lo, unsigned n)
{
	struct machine *mc = fc->mm->mc;

	for (uint64_t pfn = lo; pfn < lo + n; pfn++) {
		struct page *pg = page_at(fc->mm, pfn);

		if (!pg)
			continue;
		page_ahead_hit(mc, pg);
		if (fc->area->flags & VM_SEQ_READ && pg->list != NO_LIST)
			mc->policy->advise(mc, pg, false);
	}
}

void fault_window_done(struct fault_ctx *fc, uint64_t lo, unsigned n)
{
	struct mm *mm = fc->mm;
	struct fault_stream *s = stream_find(mm, fc->pfn);

	if (!s) {
		s = &mm->streams[mm->stream_victim++ % NR_STREAMS];
		*s = (struct fault_stream){ lo, lo + n, n, n };
		return;
	}
	if (s->hi == fc->pfn) {
		stream_hits(fc, s->hi - s->last, s->last);
		s->hi = lo + n;
	} else {
		stream_hits(fc, s->lo, s->last);
		s->lo = lo;
	}
	s->window = MIN(s->window * 2, MAX_WINDOW);
	s->last = n;
}

bool pte_absent(struct fault_ctx *fc, uint64_t pfn, uint64_t base)
{
	return !pte_get(fc->mm, pfn);
}

struct window window_around(struct fault_ctx *fc, unsigned block)
{
	uint64_t mask = ~(uint64_t)(block - 1), from = MAX(fc->pfn & mask, PFN(fc->area->start));
	uint64_t to = MIN((fc->pfn & mask) + block, PFN(fc->area->end));
	struct window w = { fc->pfn, 1 };

	while (w.lo > from && pte_absent(fc, w.lo - 1, 0)) {
		w.lo--;
		w.n++;
	}
	while (w.lo + w.n < to && pte_absent(fc, w.lo + w.n, 0))
		w.n++;
	return w;
}

struct window window_cluster(struct fault_ctx *fc)
{
	struct sf_file *f = fc->area->file;
	unsigned most = window_limit(fc, MAX_WINDOW), block = 1;

	if (!f || !f->cluster)
		return (struct window){ fc->pfn, 0 };
	while (block * 2 <= most && block < f->cluster)
		block *= 2;
	if (block < f->cluster && fc->task) {
		uint64_t mask = ~(uint64_t)(f->cluster - 1);

		fc->task->want_lo = MAX(fc->pfn & mask, PFN(fc->area->start));
		fc->task->want_hi = MIN((fc->pfn & mask) + f->cluster, PFN(fc->area->end));
	}
	return window_around(fc, block);
}

static struct window file_window(struct fault_ctx *fc)
{
	unsigned most = window_limit(fc, fc->mm->mc->fault_around), block = 1;

	while (block * 2 <= most)
		block *= 2;
	return window_around(fc, block);
}

/* ---------------------------------------------------------------- anonymous memory */

/* A port that pays for each change of permission along the address space (a host mapping) asks for whole clusters, once there are many
 * such changes; they cost frames, so only while those are plenty. */
static bool wants_cluster(struct fault_ctx *fc)
{
	struct machine *mc = fc->mm->mc;
	const struct port *port = mc->port;

	return port->cluster > 1 && port->nr_maps > port->max_maps / 8 && window_limit(fc, port->cluster) == port->cluster &&
	       (!mc->bound || (mc->tree ? mc->bound - MIN(mc->bound, mc->tree->granted) : frames_free(mc)) > mc->bound / 4);
}

static unsigned do_anonymous_page(struct fault_ctx *fc)
{
	struct window w = window_cluster(fc);

	if (!w.n)
		w = wants_cluster(fc) ? window_around(fc, fc->mm->mc->port->cluster) : fault_window(fc, MAX_WINDOW, pte_absent);
	struct io_run run;
	unsigned res = run_begin(fc, &run, w.lo, w.n);

	if (res)
		return res;
	res = run_fill(fc, &run, NULL, PG_ZERO);
	fault_window_done(fc, run.lo, run.n);
	return res ? res : VM_FAULT_MINOR;
}

/* ---------------------------------------------------------------- private files */

#define IN_CORE_NS 50000u /* a read that came back sooner found its data in the host's memory */

struct file_read { int64_t got; uint64_t ns; bool alone; };

/* Read the run's contents; when that fails, the faulting page alone (buf then holds it at its place all the same).  Not locked. */
static struct file_read file_read_run(struct fault_ctx *fc, struct io_run *run, char *buf)
{
	struct port *port = fc->mm->mc->port;
	struct sf_file *f = run->file;
	uint64_t start = port->ops->now(port);
	struct file_read r = { .got = f->ops->read(f, buf, run->n * PAGE_SIZE, run->pgoff << PAGE_SHIFT) };

	if (r.got < 0 && run->n > 1) {
		r.alone = true;
		r.got = f->ops->read(f, buf + run->at * PAGE_SIZE, PAGE_SIZE, (run->pgoff + run->at) << PAGE_SHIFT);
		if (r.got > 0)
			r.got += (int64_t)(run->at * PAGE_SIZE);
	}
	r.ns = port->ops->now(port) - start;
	return r;
}

/* Pages with contents, from the run's start: the tail of the last is zero, what lies beyond the end of file is not there. */
static unsigned file_pages(struct file_read r, char *buf)
{
	if (r.got <= 0)
		return 0;
	uint64_t end = PAGE_ALIGN((uint64_t)r.got);

	memset(buf + r.got, 0, end - (uint64_t)r.got);
	return (unsigned)(end >> PAGE_SHIFT);
}

/* Told once; beyond the end of file is no trouble of ours. */
static void file_warn(struct machine *mc)
{
	if (mc->warn && !__atomic_exchange_n(&mc->file_warned, 1, __ATOMIC_RELAXED))
		mc->warn(mc, "cannot read a page of a mapped file, I/O error (SIGBUS)");
}

/* Make visible what was read. */
static unsigned file_fill(struct fault_ctx *fc, struct io_run *run, struct file_read r, char *buf)
{
	unsigned good = MIN(file_pages(r, buf), run->n);

	if (good <= run->at) {
		run_undo(fc, run, 0, run->n);
		if (r.got < 0)
			file_warn(fc->mm->mc);
		return VM_FAULT_SIGBUS;
	}
	run_undo(fc, run, good, run->n);
	run->n = good;
	if (r.alone) {
		buf += run->at * PAGE_SIZE;
		run_alone(fc, run);
	}
	sf_count(&fc->mm->mc->stats->pages_read, run->n);
	if (fc->mm->mc->text_filled && (fc->area->flags & (VM_EXEC | VM_WRITE)) == VM_EXEC)
		fc->mm->mc->text_filled(fc->mm->mc, run->lo, run->n, buf);
	return run_fill(fc, run, buf, PG_FILE);
}

static unsigned do_private_file(struct fault_ctx *fc)
{
	struct machine *mc = fc->mm->mc;
	struct window w = file_window(fc);
	bool in_core = fc->area->file->always_in_core;
	struct io_run run;
	unsigned res = run_begin(fc, &run, w.lo, w.n);

	if (res)
		return res;
	run_unlock(fc, &run);
	char *buf = iobuf_get(mc);
	struct file_read r = file_read_run(fc, &run, buf);

	if (run_relock(fc, &run)) {
		res = file_fill(fc, &run, r, buf);
	} else {
		run_undo(fc, &run, 0, run.n);
		res = VM_FAULT_RETRY;
	}
	iobuf_put(mc, buf);
	if (res)
		return res;
	return in_core || r.ns < IN_CORE_NS ? VM_FAULT_MINOR : VM_FAULT_MAJOR;
}

/* ---------------------------------------------------------------- shared files: the host's own mapping */

/* Pages of the area, from its start, that the file has. */
static uint64_t shared_pages(struct fault_ctx *fc)
{
	struct sf_file *f = fc->area->file;
	uint64_t all = PFN(fc->area->end) - PFN(fc->area->start);
	int64_t size = f ? f->ops->size(f) : INT64_MAX;
	uint64_t pages = size < 0 ? UINT64_MAX : ((uint64_t)size + PAGE_SIZE - 1) >> PAGE_SHIFT; /* not to be had: the host will say */

	return pages > fc->area->pgoff ? MIN(all, pages - fc->area->pgoff) : 0;
}

static void shared_install(struct fault_ctx *fc, struct io_run *run)
{
	unsigned flags = PG_SHARED | (fc->area->flags & VM_WRITE ? PG_WRITABLE : 0) | (fc->area->flags & VM_LENT ? PG_FILE : 0);

	for (unsigned i = 0; i < run->n; i++) {
		page_clear_busy(fc->mm, run->pg[i]);
		page_install(fc->mm, run->pg[i], fc->area, flags, i == run->at ? FILL_DEMAND : FILL_AHEAD);
	}
	sf_count(&fc->mm->mc->stats->pages_filled, run->n);
}

/* The window around the fault becomes accessible. */
static unsigned shared_show(struct fault_ctx *fc, struct io_run *run, uint64_t end)
{
	struct port *port = fc->mm->mc->port;
	struct window w = file_window(fc);
	unsigned res = run_begin(fc, run, w.lo, (unsigned)MIN(w.n, end - w.lo));

	if (res)
		return res;
	if (port->ops->show_shared(port, PVA(run->lo), run->n, area_prot(fc->area, true))) {
		run_undo(fc, run, 0, run->n);
		return fault_port_error(fc);
	}
	shared_install(fc, run);
	return VM_FAULT_MINOR;
}

/* Hidden, or visible with fewer rights than the area has now: a pinned page keeps those that it had (protect_deferred). */
static unsigned shared_present(struct fault_ctx *fc, struct page *pg)
{
	struct machine *mc = fc->mm->mc;
	struct port *port = mc->port;
	bool hidden = pg->flags & PG_HIDDEN;
	bool lacks = fc->write ? !(pg->flags & PG_WRITABLE) : fc->error_code & PF_INSTR && pg->flags & PG_DEFERRED;
	unsigned prot = area_prot(fc->area, true) | (pg->flags & PG_WRITABLE ? PT_W : 0);

	if (!hidden && !lacks)
		return VM_FAULT_NOPAGE;
	if (port->ops->show_shared(port, PVA(fc->pfn), 1, prot))
		return fault_port_error(fc);
	if (!hidden) {
		pg->flags |= fc->write ? PG_WRITABLE : 0;
		return VM_FAULT_MINOR;
	}
	page_shown(fc->mm, pg, fc->area->flags & VM_WRITE);
	pg->flags = (uint16_t)((pg->flags & ~PG_AHEAD) | PG_REFERENCED);
	mc->policy->touch(mc, pg);
	return VM_FAULT_SOFT;
}

/* The touch would bring the data of a lent page, but in a fault of the host's: nobody could tell how long it took. */
static unsigned lent_read(struct fault_ctx *fc, struct io_run *run)
{
	struct port *port = fc->mm->mc->port;
	uint64_t start = port->ops->now(port);

	run_unlock(fc, run);
	(void)port->ops->place_read(port, PVA(run->lo), run->n); /* what cannot be had, a touch finds out */
	bool quick = run->file->always_in_core || port->ops->now(port) - start < IN_CORE_NS;

	if (!run_relock(fc, run))
		return VM_FAULT_RETRY;
	sf_count(&fc->mm->mc->stats->pages_read, run->n);
	return quick ? VM_FAULT_MINOR : VM_FAULT_MAJOR;
}

/* Shared or lent. */
static unsigned do_hosted_file(struct fault_ctx *fc)
{
	struct page *pg = page_at(fc->mm, fc->pfn);
	uint64_t end = PFN(fc->area->start) + shared_pages(fc);
	struct io_run run;

	if (fc->pfn >= end)
		return VM_FAULT_SIGBUS;
	if (pg)
		return shared_present(fc, pg);
	unsigned res = shared_show(fc, &run, end);

	return res == VM_FAULT_MINOR && fc->area->flags & VM_LENT && fc->mm->mc->port->ops->place_read ? lent_read(fc, &run) : res;
}

const struct vm_type vm_anon = { .name = "anon", .fault = do_anonymous_page };
const struct vm_type vm_file_private = { .name = "private file", .fault = do_private_file };
const struct vm_type vm_file_shared = { .name = "shared file", .fault = do_hosted_file };
const struct vm_type vm_file_lent = { .name = "lent file", .fault = do_hosted_file };
