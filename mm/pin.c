/* SPDX-License-Identifier: MIT */
/* pin.c - user memory that somebody else is about to touch: the host kernel, for a system call
 *
 * The host takes no faults of ours, so every page of a buffer is made visible (and writable, if it will be written) and kept so
 * by a pin until the call is over.  What is visible already costs one lock, one area lookup and a walk along the page table;
 * anything else goes through do_page_fault as a kernel-mode fault without an instruction.
 *
 * Pins are counted in 16 bits on the frame.  Few frames may be pinned at once (pin_limit): the rest must remain for the program.
 * A page that is unmapped or moved loses its pins with its frame, so unpinning only finds what is still there. */
#include "mm/area.h"
#include "mm/internal.h"

#define PINS_AT_LEAST 8u /* twice what one call names beside its data; sleepers keep their pins, and nobody can take them */

bool access_ok(struct mm *mm, vaddr_t addr, uint64_t len)
{
	return addr <= mm->task_size && len <= mm->task_size - addr;
}

uint64_t pin_limit(struct machine *mc)
{
	return mc->bound ? MAX(tree_share(mc) / 4, PINS_AT_LEAST) : mc->max_frames / 4;
}

/* A walk along the pages of a buffer. */
struct walk {
	struct mm *mm;
	struct task *tk;
	uint64_t pfn, end;     /* next page; first beyond */
	bool write, pin;
	uint64_t seq;          /* area is valid while this is mm->seq and the lock was not let go of */
	struct vm_area *area;
	int err;
};

static struct walk walk_start(struct mm *mm, struct task *tk, vaddr_t addr, uint64_t len, bool write, bool pin)
{
	return (struct walk){ .mm = mm, .tk = tk, .pfn = PFN(addr), .end = PFN(addr + len - 1) + 1, .write = write, .pin = pin };
}

static bool walk_allowed(struct walk *w)
{
	vaddr_t va = PVA(w->pfn);

	if (!w->area || va < w->area->start || va >= w->area->end)
		w->area = vma_lookup(w->mm, w->tk, va);
	return w->area && !access_error(w->area, w->write ? PF_WRITE : 0);
}

static bool pin_page(struct walk *w, struct page *pg)
{
	struct machine *mc = w->mm->mc;

	if (!w->pin)
		return true;
	if (pg->pins == UINT16_MAX || (!pg->pins && mc->pinned >= pin_limit(mc))) {
		w->err = -ENOMEM;
		return false;
	}
	mc->pinned += !pg->pins;
	pg->pins++;
	return true;
}

/* Over the pages that are as they should be.  True when the walk is over (or w->err says why it cannot go on).  Locked: mm. */
static bool walk_ready(struct walk *w)
{
	unsigned need = PG_VISIBLE | (w->write ? PG_WRITABLE : 0);

	w->area = NULL;
	for (; w->pfn < w->end; w->pfn++) {
		if (!walk_allowed(w))
			return false;
		struct page *pg = page_at(w->mm, w->pfn);

		if (!pg || (pg->flags & need) != need || (w->pin && page_placed(pg)))
			return false;
		if (!pin_page(w, pg))
			return true;
	}
	return true;
}

/* One page that is not.  False: it cannot be had. */
static bool walk_fault(struct walk *w)
{
	struct fault_report rep;
	enum fault_verdict v = do_page_fault(w->mm, w->tk, PVA(w->pfn), w->write ? PF_WRITE : 0, 0, &rep);

	if (v == FAULT_KILL)
		w->err = -ENOMEM;
	else if (v != FAULT_FIXED)
		w->err = -EFAULT;
	return v == FAULT_FIXED;
}

static void walk(struct walk *w)
{
	bool done;

	do {
		mm_lock(w->mm);
		done = walk_ready(w);
		mm_unlock(w->mm);
	} while (!done && walk_fault(w));
}

/* Bytes from addr that lie below page number pfn. */
static uint64_t bytes_below(vaddr_t addr, uint64_t len, uint64_t pfn)
{
	return PVA(pfn) <= addr ? 0 : MIN(len, PVA(pfn) - addr);
}

int64_t pin_user(struct mm *mm, struct task *tk, vaddr_t addr, uint64_t len, bool write)
{
	if (!access_ok(mm, addr, len))
		return -EFAULT;
	if (!len)
		return 0;
	struct walk w = walk_start(mm, tk, addr, len, write, true);

	walk(&w);
	uint64_t good = bytes_below(addr, len, w.pfn);

	return good ? (int64_t)good : w.err;
}

/* ---------------------------------------------------------------- as a debugger does
 *
 * A right that is missing is taken for as long as the pin lasts: the page is then brought in line with its area again as if that had just
 * changed.  Source: Linux mm/gup.c check_vma_flags. */

/* The rights that it takes, and whether it lacks one. */
static int judge_peek(const struct vm_area *v, bool write, bool force, bool *ret_lacks)
{
	if (!v || v->flags & VM_HIDDEN)
		return -EFAULT;
	*ret_lacks = !(v->flags & (write ? VM_WRITE : VM_READ));
	if (!*ret_lacks)
		return 0;
	if (write)
		return force && (v->flags & (VM_MAYWRITE | VM_SHARED)) == VM_MAYWRITE ? 0 : -EFAULT;
	return (force && v->flags & VM_MAYREAD) || v->flags & VM_WRITE ? 0 : -EFAULT;
}

/* One attempt.  Locked: mm.  VM_FAULT_*, or 0 and the page is pinned; *ret_err: it may not be. */
static unsigned peek_page(struct mm *mm, struct task *tk, vaddr_t addr, bool write, bool force, int *ret_err)
{
	struct vm_area *v = vma_lookup(mm, tk, addr);
	unsigned need = PG_VISIBLE | (write ? PG_WRITABLE : 0);
	bool lacks = false;

	*ret_err = judge_peek(v, write, force, &lacks);
	if (*ret_err)
		return 0;
	if (write && v->flags & VM_LENT) {
		*ret_err = lend_end(mm, addr & PAGE_MASK, (addr & PAGE_MASK) + PAGE_SIZE);
		return *ret_err ? 0 : VM_FAULT_RETRY;
	}
	struct page *pg = page_at(mm, PFN(addr));

	if (!pg || (pg->flags & need) != need) {
		struct fault_ctx fc = { .mm = mm, .task = tk, .area = v, .addr = addr, .pfn = PFN(addr), .write = write };

		return handle_mm_fault(&fc);
	}
	if (pg->pins == UINT16_MAX) {
		*ret_err = -ENOMEM;
		return 0;
	}
	mm->mc->pinned += !pg->pins;
	pg->pins++;
	if (lacks)
		pg->flags |= PG_DEFERRED;
	return 0;
}

int pin_forced(struct mm *mm, struct task *tk, vaddr_t addr, bool write, bool force)
{
	struct machine *mc = mm->mc;
	unsigned res;
	int err;

	if (!access_ok(mm, addr, 1))
		return -EFAULT;
	do {
		mm_lock(mm);
		do
			res = peek_page(mm, tk, addr, write, force, &err);
		while (res && !(res & VM_FAULT_ERROR));
		mm_unlock(mm);
	} while (res & VM_FAULT_OOM && mc->oom && mc->oom(mc, tk, addr));
	if (res & VM_FAULT_OOM)
		return -ENOMEM;
	return res ? -EFAULT : err;
}

/* ---------------------------------------------------------------- the end */

static void unpin_page(struct mm *mm, struct page *pg)
{
	if (!pg || !pg->pins || --pg->pins)
		return;
	mm->mc->pinned--;
	if (unlikely(pg->flags & PG_DEFERRED))
		page_apply_deferred(mm, pg);
}

void unpin_user(struct mm *mm, vaddr_t addr, uint64_t len)
{
	if (!len)
		return;
	uint64_t end = PFN(addr + len - 1) + 1;

	mm_lock(mm);
	for (uint64_t pfn = PFN(addr); pfn < end; pfn++)
		unpin_page(mm, page_at(mm, pfn));
	mm_unlock(mm);
}

uint64_t fault_in_user(struct mm *mm, struct task *tk, vaddr_t addr, uint64_t len, bool write)
{
	if (!len || !access_ok(mm, addr, len))
		return len;
	struct walk w = walk_start(mm, tk, addr, len, write, false);

	walk(&w);
	return len - bytes_below(addr, len, w.pfn);
}
