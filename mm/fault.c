/* SPDX-License-Identifier: MIT */
/* fault.c - turn one bad access into a visible page, or into a reason why not
 *
 * Is it legal?
 *     address                    access                    then
 *     at or above task_size      any                       SIGSEGV MAPERR to the program, fixup or oops for us
 *     in no area, stack cannot   any                       the same
 *       grow to it
 *     in an area                 write, not VM_WRITE       SIGSEGV ACCERR, fixup or oops
 *                                read of a present page    "
 *                                execute, not VM_EXEC      "
 *                                any, area has no rights   "
 *     in an area                 else                      handle_mm_fault
 *
 * handle_mm_fault, by the page-table entry (a write to an area with a guard asks it first; what it has not agreed to is filled
 * or shown read-only):
 *     entry           page                      then
 *     nothing         -                         the area's type makes it (memtype.c)
 *     swap slot       -                         do_swap_page: read it and its neighbours back
 *     poison          -                         SIGBUS: the store has lost it
 *     guard           -                         SIGSEGV: the program wants that
 *     present         busy                      wait, look again
 *     present         hidden                    do_soft_fault: show it
 *     present         visible, write-protected  do_wp_page, if this is a write
 *     present         visible                   somebody else did the work
 *
 * The lock is let go of only between run_unlock and run_relock (I/O), in page_wait and in page_alloc.  Whoever finds then
 * that an area has changed undoes what he began and answers VM_FAULT_RETRY, and the loop in fault_locked looks up everything
 * anew.  A page under I/O is in the page table as PG_BUSY, so a second fault on it waits instead of reading it again. */
#include "mm/internal.h"

#define SIGBUS_NR 7
#define SIGSEGV_NR 11
#define SEGV_MAPERR_ 1
#define SEGV_ACCERR_ 2
#define BUS_ADRERR_ 2

/* ---------------------------------------------------------------- runs of pages being brought in */

/* Give up pages at the far end until only those that frames are there for remain. */
static void run_trim(struct fault_ctx *fc, struct io_run *run)
{
	size_t more = frames_free(fc->mm->mc);

	while (run->n > 1 && run->n - 1 > more) {
		if (run->lo + run->n - 1 == fc->pfn)
			run->lo++;
		run->n--;
	}
}

static bool run_entries(struct fault_ctx *fc, struct io_run *run)
{
	for (unsigned i = 0; i < run->n; i++)
		if (!pte_alloc(fc->mm, run->lo + i)) {
			run->lo = fc->pfn;
			run->n = 1;
			return pte_alloc(fc->mm, fc->pfn) != NULL;
		}
	return true;
}

static void run_mark(struct fault_ctx *fc, uint64_t pfn, struct page *pg)
{
	pte_t old = pte_get(fc->mm, pfn);

	pg->pfn = pfn;
	if (old & PTE_SWAP) {
		pg->slot = (uint32_t)pte_slot(old);
		fc->mm->swapped--;
	}
	pte_set(fc->mm, pfn, pte_mk_frame(page_frame(fc->mm->mc, pg)));
	page_set_busy(fc->mm, pg);
}

unsigned run_begin(struct fault_ctx *fc, struct io_run *run, uint64_t lo, unsigned n)
{
	struct machine *mc = fc->mm->mc;
	bool dropped = false;

	/* else what a batch of reclaim leaves over makes every other run of a scan short */
	if (unlikely(fc->area->flags & VM_SEQ_READ && n >= SF_IOBUF_PAGES / 2 && frames_free(mc) < n))
		reclaim_clean_batch(fc->mm, fc->task);

	struct page *pg = page_alloc_for(fc->mm, fc->task, &dropped);

	if (!pg)
		return VM_FAULT_OOM;
	if (dropped) {
		page_free(mc, pg);
		return VM_FAULT_RETRY;
	}
	*run = (struct io_run){ .lo = lo, .n = n };
	run_trim(fc, run);
	if (!run_entries(fc, run)) {
		page_free(mc, pg);
		return VM_FAULT_OOM;
	}
	run->at = (unsigned)(fc->pfn - run->lo);
	SF_BUG_ON(run->at >= run->n);
	for (unsigned i = 0; i < run->n; i++) {
		run->pg[i] = i == run->at ? pg : page_alloc_nowait(mc);
		run_mark(fc, run->lo + i, run->pg[i]);
	}
	return 0;
}

static uint64_t area_pgoff(const struct vm_area *v, uint64_t pfn)
{
	return v->pgoff + (pfn - PFN(v->start));
}

void run_unlock(struct fault_ctx *fc, struct io_run *run)
{
	run->seq = fc->mm->seq;
	run->type = fc->area->type;
	run->file = fc->area->file;
	run->pgoff = area_pgoff(fc->area, run->lo);
	file_get(run->file);
	mm_unlock(fc->mm);
}

static bool run_area_same(struct fault_ctx *fc, struct io_run *run)
{
	struct vm_area *v = vma_lookup(fc->mm, fc->task, PVA(run->lo));

	if (!v || v->type != run->type || v->file != run->file || PFN(v->end) < run->lo + run->n)
		return false;
	if (v->file && area_pgoff(v, run->lo) != run->pgoff)
		return false;
	fc->area = v;
	return !access_error(v, fc->error_code & ~PF_PROT);
}

bool run_relock(struct fault_ctx *fc, struct io_run *run)
{
	mm_lock(fc->mm);
	page_wake(fc->mm);

	bool same = fc->mm->seq == run->seq || run_area_same(fc, run);

	if (run->file)
		file_put(run->file);
	return same;
}

void run_undo(struct fault_ctx *fc, struct io_run *run, unsigned from, unsigned to)
{
	for (unsigned i = from; i < to; i++) {
		struct page *pg = run->pg[i];

		pte_set(fc->mm, pg->pfn, pg->slot ? pte_mk_swap(pg->slot) : 0);
		fc->mm->swapped += pg->slot > 0;
		page_clear_busy(fc->mm, pg);
		page_free(fc->mm->mc, pg);
	}
}

void run_alone(struct fault_ctx *fc, struct io_run *run)
{
	run_undo(fc, run, 0, run->at);
	run_undo(fc, run, run->at + 1, run->n);
	run->pg[0] = run->pg[run->at];
	run->lo = fc->pfn;
	run->n = 1;
	run->at = 0;
}

/* The flags of a page that has just been filled.  A copy in the store is kept only while the page cannot differ from it. */
static unsigned filled_flags(struct fault_ctx *fc, struct page *pg, unsigned flags, bool writable)
{
	if (fc->area->type == &vm_anon)
		flags |= PG_ANON;
	if (writable)
		flags = (flags & ~(PG_FILE | PG_ZERO)) | PG_WRITABLE | PG_DIRTY;
	if (pg->slot && (writable || swap_nearly_full(fc->mm->mc))) {
		page_forget_slot(fc->mm, pg);
		flags |= PG_DIRTY;
	}
	return flags;
}

static int fill_part(struct fault_ctx *fc, struct io_run *run, const char *buf, unsigned from, unsigned to, bool writable, unsigned flags)
{
	struct port *port = fc->mm->mc->port;
	unsigned n = to - from;

	if (!n)
		return 0;
	int err = port->ops->fill(port, PVA(run->lo + from), n, buf ? buf + from * PAGE_SIZE : NULL, PT_R | (writable ? PT_W : 0));

	if (err)
		return err;
	for (unsigned i = from; i < to; i++) {
		struct page *pg = run->pg[i];

		page_clear_busy(fc->mm, pg);
		page_install(fc->mm, pg, fc->area, filled_flags(fc, pg, flags, writable), i == run->at ? FILL_DEMAND : FILL_AHEAD);
	}
	sf_count(&fc->mm->mc->stats->pages_filled, n);
	return 0;
}

/* The pages beside the faulting one; none of them matters enough to fail for. */
static void fill_ahead(struct fault_ctx *fc, struct io_run *run, const char *buf, unsigned from, unsigned to, unsigned flags)
{
	if (fill_part(fc, run, buf, from, to, false, flags))
		run_undo(fc, run, from, to);
}

unsigned run_fill(struct fault_ctx *fc, struct io_run *run, const char *buf, unsigned flags)
{
	bool writable = (fc->write || run->writable) && area_may_write(fc->area, fc->mm, fc->pfn);
	bool alike = (!buf || writable == run->writable) && !(writable && fc->area->guard); /* zeros are as good writable; read data had better stay clean */

	if (alike && !fill_part(fc, run, buf, 0, run->n, writable, flags))
		return 0;
	if (fill_part(fc, run, buf, run->at, run->at + 1, writable, flags)) {
		run_undo(fc, run, 0, run->n);
		return fault_port_error(fc);
	}
	if (alike) {
		run_alone(fc, run); /* together they did not go in */
	} else {
		fill_ahead(fc, run, buf, 0, run->at, flags);
		fill_ahead(fc, run, buf, run->at + 1, run->n, flags);
	}
	return 0;
}

unsigned fault_port_error(struct fault_ctx *fc)
{
	return port_relieve(fc->mm, fc->task) ? VM_FAULT_RETRY : VM_FAULT_OOM;
}

/* ---------------------------------------------------------------- a page in the store */

/* A neighbour whose slot follows on: one read brings both. */
static bool slot_follows(struct fault_ctx *fc, uint64_t pfn, uint64_t base)
{
	pte_t e = pte_get(fc->mm, pfn), b = pte_get(fc->mm, base);

	return e & PTE_SWAP && pte_slot(e) - pte_slot(b) == pfn - base;
}

/* What was there is lost.  The entry says so for ever. */
static unsigned swap_poison(struct fault_ctx *fc, struct io_run *run, int err)
{
	struct page *pg = run->pg[run->at];

	swap_free(fc->mm->mc, pg->slot, 1);
	pg->slot = 0;
	page_clear_busy(fc->mm, pg);
	page_free(fc->mm->mc, pg);
	pte_set(fc->mm, fc->pfn, PTE_POISON);
	swap_warn(fc->mm->mc, err == -EBADMSG ? SWAP_BAD_SUM : SWAP_READ_ERROR);
	return VM_FAULT_SIGBUS;
}

/* Ask whoever owns the page what is to become of it. */
static int swap_ask(struct fault_ctx *fc, struct io_run *run, char *buf, int err, enum swap_verdict *ret)
{
	struct machine *mc = fc->mm->mc;

	for (unsigned attempt = 1; err && mc->swap_error; attempt++) {
		*ret = mc->swap_error(mc, run->file, run->pgoff + run->at, err, attempt, buf);
		if (*ret == SWAP_SUPPLIED)
			return 0;
		if (*ret != SWAP_RETRY)
			break;
		err = swap_read(mc, run->pg[run->at]->slot, 1, buf);
	}
	return err;
}

/* Read the run's slots; a fault of a neighbour's is not held against the page that is wanted.  Not locked. */
static int swap_read_run(struct fault_ctx *fc, struct io_run *run, char *buf, bool *ret_alone, enum swap_verdict *ret)
{
	struct machine *mc = fc->mm->mc;
	int err = swap_read(mc, run->pg[0]->slot, run->n, buf);

	*ret = SWAP_POISON;
	*ret_alone = err && run->n > 1;
	if (*ret_alone)
		err = swap_read(mc, run->pg[run->at]->slot, 1, buf);
	return err ? swap_ask(fc, run, buf, err, ret) : 0;
}

/* The owner gave other contents: the store's copy is void. */
static unsigned swap_supplied(struct fault_ctx *fc, struct io_run *run, const char *buf)
{
	page_forget_slot(fc->mm, run->pg[0]);
	return run_fill(fc, run, buf, PG_DIRTY);
}

static unsigned do_swap_page(struct fault_ctx *fc)
{
	struct machine *mc = fc->mm->mc;
	struct window w = fault_window(fc, 16, slot_follows);
	struct io_run run;
	unsigned res = run_begin(fc, &run, w.lo, w.n);
	enum swap_verdict verdict;
	bool alone;

	if (res)
		return res;
	run_unlock(fc, &run);
	char *buf = iobuf_get(mc);
	int err = swap_read_run(fc, &run, buf, &alone, &verdict);
	bool same = run_relock(fc, &run);

	if (alone)
		run_alone(fc, &run);
	if (err)
		fc->task->error = err;
	if (err && verdict == SWAP_FAIL) {
		run_undo(fc, &run, 0, run.n);
		res = VM_FAULT_SIGBUS;
	} else if (err) {
		res = swap_poison(fc, &run, err);
	} else if (!same) {
		run_undo(fc, &run, 0, run.n);
		res = VM_FAULT_RETRY;
	} else if (verdict == SWAP_SUPPLIED) {
		run_alone(fc, &run);
		res = swap_supplied(fc, &run, buf);
	} else {
		run.writable = fc->area->flags & VM_WRITE && swap_expects_write(mc, fc->pfn);
		res = run_fill(fc, &run, buf, 0);
		fault_window_done(fc, run.lo, run.n);
	}
	iobuf_put(mc, buf);
	return res ? res : VM_FAULT_MAJOR;
}

/* ---------------------------------------------------------------- a page in memory */

/* May a read of this hidden page show it writable at once?  Only if it has nothing clean to lose. */
static bool show_writable(struct fault_ctx *fc, const struct page *pg)
{
	const struct vm_area *v = fc->area;

	return area_may_write(v, fc->mm, pg->pfn) && v->flags & VM_WRITE && (pg->flags & (PG_DIRTY | PG_LAZYFREE | PG_WRITEBACK)) == PG_DIRTY;
}

/* A hidden neighbour that one call can show together with the page at base. */
static bool name_follows(struct fault_ctx *fc, uint64_t pfn, uint64_t base)
{
	const struct page *pg = page_at(fc->mm, pfn), *bp = page_at(fc->mm, base);

	return pg && (pg->flags & (PG_HIDDEN | PG_SHARED | PG_WRITEBACK)) == PG_HIDDEN && pg->hid - bp->hid == (hid_t)(pfn - base) &&
	       show_writable(fc, pg) == (fc->write || show_writable(fc, bp));
}

static void shown_ahead(struct fault_ctx *fc, struct page *pg, bool writable)
{
	struct machine *mc = fc->mm->mc;

	page_shown(fc->mm, pg, writable);
	pg->flags |= PG_AHEAD;
	mc->policy->remove(mc, pg);
	mc->policy->insert(mc, pg, FILL_AHEAD);
}

static void shown_demand(struct fault_ctx *fc, struct page *pg, bool writable)
{
	page_shown(fc->mm, pg, writable);
	page_ahead_hit(fc->mm->mc, pg);
	pg->flags |= PG_REFERENCED;
	if (fc->write)
		page_taint(fc->mm, pg);
	fc->mm->mc->policy->touch(fc->mm->mc, pg);
}

static unsigned do_soft_fault(struct fault_ctx *fc, struct page *pg)
{
	struct port *port = fc->mm->mc->port;
	bool writable = fc->write || show_writable(fc, pg);
	unsigned prot = PT_R | (writable ? PT_W : 0);
	struct window w = fault_window(fc, 16, name_follows);

	if (port->ops->show(port, PVA(w.lo), page_at(fc->mm, w.lo)->hid, w.n, prot)) {
		w = (struct window){ fc->pfn, 1 };
		if (port->ops->show(port, PVA(w.lo), pg->hid, 1, prot))
			return fault_port_error(fc);
	}
	for (uint64_t pfn = w.lo; pfn < w.lo + w.n; pfn++)
		if (pfn == fc->pfn)
			shown_demand(fc, pg, writable);
		else
			shown_ahead(fc, page_at(fc->mm, pfn), writable);
	fault_window_done(fc, w.lo, w.n);
	return VM_FAULT_SOFT;
}

static bool is_protected(struct fault_ctx *fc, uint64_t pfn, uint64_t base)
{
	const struct page *pg = page_at(fc->mm, pfn);

	return pg && (pg->flags & (PG_VISIBLE | PG_WRITABLE | PG_SHARED | PG_LAZYFREE)) == PG_VISIBLE && area_may_write(fc->area, fc->mm, pfn);
}

/* Has the host to copy the page, because another process has it since fork?  Source: Linux wp_can_reuse_anon_folio. */
static bool wp_is_shared(struct port *port, struct page *pg)
{
	bool forked = pg->flags & PG_FORKED;

	pg->flags &= (uint16_t)~PG_FORKED;
	return forked && port->ops->sole && port->ops->sole(port, PVA(pg->pfn)) == 0;
}

/* The sole owner of a page keeps it: whatever clean copies there are become stale.  A writer that goes through pages in order gets
 * several at a time. */
static unsigned do_wp_page(struct fault_ctx *fc, struct page *pg)
{
	struct machine *mc = fc->mm->mc;
	struct port *port = mc->port;
	struct window w = fault_window(fc, 16, is_protected);
	unsigned copied = 0;

	for (uint64_t pfn = w.lo; mc->fork_faults && pfn < w.lo + w.n; pfn++)
		copied += wp_is_shared(port, page_at(fc->mm, pfn));
	if (port->ops->protect(port, PVA(w.lo), w.n, PT_R | PT_W)) {
		w = (struct window){ fc->pfn, 1 };
		if (port->ops->protect(port, PVA(w.lo), 1, PT_R | PT_W))
			return fault_port_error(fc);
	}
	for (uint64_t pfn = w.lo; pfn < w.lo + w.n; pfn++) {
		struct page *p = page_at(fc->mm, pfn);

		page_taint(fc->mm, p);
		p->flags |= PG_WRITABLE;
	}
	page_ahead_hit(fc->mm->mc, pg);
	fault_window_done(fc, w.lo, w.n);
	sf_count(&mc->stats->cow_reused, w.n - MIN(copied, w.n));
	sf_count(&mc->stats->cow_copied, copied);
	return VM_FAULT_COW;
}

static unsigned do_present_page(struct fault_ctx *fc, struct page *pg)
{
	if (pg->flags & PG_BUSY) {
		page_wait(fc->mm);
		return VM_FAULT_RETRY;
	}
	if (pg->flags & PG_SHARED)
		return fc->area->type->fault(fc); /* the file decides, every time */
	if (pg->flags & PG_HIDDEN)
		return do_soft_fault(fc, pg);
	if (fc->write && !(pg->flags & PG_WRITABLE))
		return do_wp_page(fc, pg);
	return VM_FAULT_NOPAGE;
}

unsigned handle_mm_fault(struct fault_ctx *fc)
{
	pte_t e = pte_get(fc->mm, fc->pfn);

	SF_MISUSE(!mm_is_locked(fc->mm));
	if (unlikely(fc->area->guard) && fc->write) {
		unsigned res = fc->area->guard->before_write(fc->area->guard, fc);

		if (res)
			return res;
		e = pte_get(fc->mm, fc->pfn);
	}
	if (e & PTE_PRESENT)
		return do_present_page(fc, frame_page(fc->mm->mc, pte_frame(e)));
	if (e & PTE_SWAP)
		return do_swap_page(fc);
	if (e & PTE_POISON)
		return VM_FAULT_SIGBUS;
	if (e & PTE_GUARD)
		return VM_FAULT_SIGSEGV;
	return fc->area->type->fault(fc);
}

/* ---------------------------------------------------------------- legal or not */

bool access_error(const struct vm_area *v, unsigned error_code)
{
	if (error_code & PF_WRITE)
		return !(v->flags & VM_WRITE);
	if (error_code & PF_INSTR)
		return !(v->flags & VM_EXEC);
	if (error_code & PF_PROT)
		return true; /* a present page refused a read: its area, not its absence, is the reason */
	return !(v->flags & VM_PROT);
}

/* One fault from arrival to verdict. */
struct arrival {
	struct mm *mm;
	struct task *tk;
	struct fault_report *ret;
	vaddr_t ip;
	uint32_t area;      /* its line in stats */
	unsigned seen;      /* VM_FAULT_MAJOR of attempts that had to be retried */
};

/* The area that makes the access legal, or NULL and ret says why not. */
static struct vm_area *legal_area(struct arrival *a)
{
	struct fault_report *ret = a->ret;
	struct vm_area *v = find_vma(a->mm, a->tk, ret->addr);

	ret->code = SEGV_MAPERR_;
	ret->kind = FK_ILLEGAL;
	if (!v || (v->start > ret->addr && (!(v->flags & VM_GROWSDOWN) || expand_stack(a->mm, v, ret->addr))))
		return NULL;
	a->area = area_stat(a->mm, v);
	if (!access_error(v, ret->error_code))
		return v;
	ret->code = SEGV_ACCERR_;
	ret->kind = FK_PROT;
	/* The processor would have said whether Linux had the page mapped, and so do we. */
	ret->error_code &= ~PF_PROT;
	if (v->flags & VM_PROT && page_at(a->mm, PFN(ret->addr)))
		ret->error_code |= PF_PROT;
	return NULL;
}

static enum fault_kind kind_of(unsigned res)
{
	if (res & VM_FAULT_MAJOR)
		return FK_MAJOR;
	if (res & VM_FAULT_SOFT)
		return FK_SOFT;
	if (res & VM_FAULT_COW)
		return FK_COW;
	return res & VM_FAULT_MINOR ? FK_MINOR : FK_SPURIOUS;
}

#define VM_FAULT_KNOWN (VM_FAULT_MINOR | VM_FAULT_MAJOR | VM_FAULT_ERROR | VM_FAULT_RETRY | VM_FAULT_SOFT | VM_FAULT_COW | VM_FAULT_NOPAGE)

static void count_file(struct sf_file *f, unsigned res)
{
	sf_count(&f->faults, 1);
	sf_count(&f->majors, !!(res & VM_FAULT_MAJOR));
}

/* Until the page is there or will never be.  0: the access is illegal.  Locked: mm. */
static unsigned fault_locked(struct arrival *a)
{
	vaddr_t addr = a->ret->addr;
	unsigned res;

	do {
		struct fault_ctx fc = {
			.mm = a->mm, .task = a->tk, .area = legal_area(a), .addr = addr, .pfn = PFN(addr),
			.error_code = a->ret->error_code, .write = a->ret->error_code & PF_WRITE,
		};

		if (!fc.area)
			return 0;
		res = handle_mm_fault(&fc);
		SF_BUG_ON(!res || res & ~VM_FAULT_KNOWN); /* row 22 */
		a->seen |= res & VM_FAULT_MAJOR;
		if (!(res & (VM_FAULT_ERROR | VM_FAULT_RETRY)) && fc.area->file)
			count_file(fc.area->file, res | a->seen);
	} while (res & VM_FAULT_RETRY);
	if (!(res & (VM_FAULT_ERROR | VM_FAULT_NOPAGE))) {
		watch_visible(a->mm, PFN(addr));
		relieve_maps(a->mm);
	}
	return res | a->seen;
}

/* ---------------------------------------------------------------- verdicts */

/* Kernel mode, and the access cannot be made good: rows 17, 19, 21. */
static enum fault_verdict no_context(struct arrival *a)
{
	enum ex_type type;

	a->ret->fixup = search_exception_table(a->ip, &type);
	if (!a->ret->fixup)
		return FAULT_OOPS;
	a->tk->fault_addr = a->ret->addr;
	sf_count(&a->mm->mc->stats->fixups, 1);
	return FAULT_FIXUP;
}

static enum fault_verdict bad_access(struct arrival *a, int signo)
{
	a->ret->signo = signo;
	return a->ret->error_code & PF_USER ? FAULT_SIGNAL : no_context(a);
}

static enum fault_verdict fault_sigbus(struct arrival *a)
{
	a->ret->code = BUS_ADRERR_;
	a->ret->kind = FK_ILLEGAL;
	return bad_access(a, SIGBUS_NR);
}

/* A fault on one that is on the list already does not move it up: whatever an instruction needs is soon on the list, and all of it. */
static void remember_recent(struct task *tk, uint64_t pfn)
{
	for (unsigned i = 0; i < TASK_RECENT; i++)
		if (tk->recent[i] == pfn)
			return;
	tk->recent[tk->recent_at++ % TASK_RECENT] = pfn;
}

/* A guard: as if nothing were there. */
static enum fault_verdict fault_guard(struct arrival *a)
{
	a->ret->code = SEGV_MAPERR_;
	a->ret->kind = FK_ILLEGAL;
	a->ret->error_code &= ~PF_PROT;
	return bad_access(a, SIGSEGV_NR);
}

static enum fault_verdict fault_fixed(struct arrival *a, unsigned res)
{
	remember_recent(a->tk, PFN(a->ret->addr));
	a->ret->kind = kind_of(res);
	if (res & VM_FAULT_MAJOR)
		a->tk->maj_flt++;
	else
		a->tk->min_flt++;
	return FAULT_FIXED;
}

/* Nothing left to evict.  False: the process has been chosen to die. */
static bool fault_survives(struct arrival *a)
{
	struct machine *mc = a->mm->mc;

	if (mc->oom && mc->oom(mc, a->tk, a->ret->addr))
		return true;
	sf_count(&mc->stats->oom_kills, 1);
	a->ret->kind = FK_ILLEGAL;
	return false;
}

static enum fault_verdict fault_user_range(struct arrival *a)
{
	unsigned res;

	do {
		mm_lock(a->mm);
		res = fault_locked(a);
		mm_unlock(a->mm);
		if (!res)
			return bad_access(a, SIGSEGV_NR);
		if (res & VM_FAULT_SIGBUS)
			return fault_sigbus(a);
		if (res & VM_FAULT_SIGSEGV)
			return fault_guard(a);
		if (!(res & VM_FAULT_OOM))
			return fault_fixed(a, res);
	} while (fault_survives(a));
	return FAULT_KILL;
}

static enum fault_verdict fault_dispatch(struct arrival *a)
{
	struct fault_report *ret = a->ret;
	bool user = ret->error_code & PF_USER;

	ret->kind = FK_ILLEGAL;
	if (ret->addr >= a->mm->task_size) {
		if (user)
			ret->error_code |= PF_PROT; /* as Linux, which does not tell programs what kernel memory is mapped */
		ret->code = SEGV_MAPERR_;
		return bad_access(a, SIGSEGV_NR);
	}
	if (!user && (a->tk->fault_disabled || mm_is_locked(a->mm))) {
		ret->signo = SIGSEGV_NR;
		ret->code = SEGV_MAPERR_;
		return no_context(a);
	}
	return fault_user_range(a);
}

/* ---------------------------------------------------------------- accounts */

static void count_ip(struct sf_stats *st, vaddr_t ip)
{
	uint64_t h = ip * 0x9e3779b97f4a7c15ull >> 32;

	for (unsigned i = 0; ip && i < 32; i++) {
		struct sf_ip_stat *s = &st->ip[(h + i) % SF_STAT_IPS];
		uint64_t was = READ_ONCE(s->ip);

		if (!was && __atomic_compare_exchange_n(&s->ip, &was, ip, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
			was = ip;
		if (was == ip) {
			sf_count(&s->faults, 1);
			return;
		}
	}
}

/* A running mean for policies.  Samples out of all proportion (the thread had lost its processor) count little; a lost update does no harm. */
static void learn_cost(uint32_t *mean, uint64_t ns)
{
	int64_t was = READ_ONCE(*mean), now = (int64_t)MIN(ns, 1u << 30);

	if (was)
		now = was + (MIN(now, was * 16) - was) / 32;
	WRITE_ONCE(*mean, (uint32_t)now);
}

static void count_fault(struct arrival *a, uint64_t ns)
{
	struct sf_stats *st = a->mm->mc->stats;
	enum fault_kind kind = a->ret->kind;

	sf_count(&st->faults[kind], 1);
	sf_count(&st->fault_ns[kind], ns);
	sf_count(&st->hist[kind][sf_hist_bucket(ns)], 1);
	sf_count(&a->mm->mc->own->faults[kind], 1);
	sf_count(&a->mm->mc->own->fault_ns, ns);
	if (kind == FK_SOFT)
		learn_cost(&a->mm->mc->policy_state.soft_ns, ns + st->trap_ns);
	else if (kind == FK_MAJOR)
		learn_cost(&a->mm->mc->policy_state.major_ns, ns + st->trap_ns);
	if (!(a->ret->error_code & PF_USER))
		sf_count(&st->kernel_faults, 1);
	if (a->area != UINT32_MAX) {
		sf_count(&st->area[a->area].faults, 1);
		sf_count(&st->area[a->area].majors, kind == FK_MAJOR);
	}
	count_ip(st, a->ip);
}

/* 0 resolved, 1 SIGSEGV, 2 SIGBUS, 3 fixup, 4 OOM */
static uint8_t trace_result(const struct fault_report *ret, enum fault_verdict verdict)
{
	if (verdict == FAULT_FIXED)
		return 0;
	if (verdict == FAULT_FIXUP)
		return 3;
	if (verdict == FAULT_KILL)
		return 4;
	return ret->signo == SIGBUS_NR ? 2 : 1;
}

static void trace_fault(struct arrival *a, enum fault_verdict verdict, unsigned error_code, uint64_t start, uint64_t ns)
{
	struct machine *mc = a->mm->mc;
	struct task *tk = a->tk;
	struct sf_trace_rec rec = {
		.time_ns = start, .ip = a->ip, .addr = a->ret->addr, .tid = tk->tid, .pid = mc->own->pid,
		.error_code = (uint16_t)error_code, .area = a->area == UINT32_MAX ? 0 : (uint16_t)a->area, .cost_ns = (uint32_t)MIN(ns, UINT32_MAX),
		.evicted = tk->nr_evicted ? tk->evicted_pfn : 0, .kind = (uint8_t)a->ret->kind,
		.result = trace_result(a->ret, verdict), .flags = !(error_code & PF_USER),
		.nr_evicted = (uint8_t)MIN(tk->nr_evicted, UINT8_MAX),
		.check = SF_TRACE_CHECK ^ (uint32_t)a->ret->addr, /* the callee adds its seq */
	};

	mc->trace(mc, &rec);
}

enum fault_verdict do_page_fault(struct mm *mm, struct task *tk, vaddr_t addr, unsigned error_code, vaddr_t ip,
				 struct fault_report *ret)
{
	struct port *port = mm->mc->port;
	uint64_t start = port->ops->now(port);
	struct arrival a = { .mm = mm, .tk = tk, .ret = ret, .ip = ip, .area = UINT32_MAX };

	*ret = (struct fault_report){ .addr = addr, .error_code = error_code };
	tk->nr_evicted = 0;
	tk->error = 0;
	tk->want_hi = 0;

	enum fault_verdict verdict = fault_dispatch(&a);
	uint64_t ns = port->ops->now(port) - start;

	count_fault(&a, ns);
	if (unlikely(mm->mc->trace))
		trace_fault(&a, verdict, error_code, start, ns);
	return verdict;
}
