/* SPDX-License-Identifier: MIT */
/* lend.c - private file areas that nobody may write: the file's own pages, lent by the host
 *
 * A page of program text need not be copied to be had: as long as it cannot be written, the host's mapping of the file shows the same.  Such an area
 * (VM_LENT) is private to the program in every respect that it can see, and a shared mapping to the port: made accessible by runs, counted, hidden
 * and dropped like one (memtype.c).  What would make a page differ from its file ends the loan, for the pages concerned and for good:
 *
 *     mprotect to writable, or to executable where it was not (the host has not been asked for that)
 *     mremap, which moves contents
 *     a debugger's write, a call site that is to be patched (one page)
 *
 * The range is then ordinary private memory without contents: faults read the file.  An area may so become several; to the program they are one
 * (area_first_part, area_last_part). */
#include "mm/area.h"
#include "mm/internal.h"

static bool may_lend(const struct mm *mm, const struct sf_file *file, uint32_t flags)
{
	return mm->mc->port->ops->lend && file && file->lend && !(flags & (VM_SHARED | VM_WRITE)) && !file->ops->type;
}

int lend_reserve(struct mm *mm, vaddr_t va, uint64_t len, struct sf_file *file, uint64_t pgoff, uint32_t *flags)
{
	struct port *port = mm->mc->port;
	unsigned prot = PT_R | (*flags & VM_EXEC);

	if (!may_lend(mm, file, *flags))
		return -EOPNOTSUPP;
	int err = port->ops->lend(port, va, PFN(len), file->fd, pgoff << PAGE_SHIFT, prot);

	if (!err)
		*flags |= VM_LENT;
	return err == -EPERM ? err : err ? -EOPNOTSUPP : 0;
}

static bool same_to_the_program(const struct vm_area *lo, const struct vm_area *hi)
{
	return hi->file && hi->file == lo->file && lo->end == hi->start && ((lo->flags ^ hi->flags) | VM_LENT) == VM_LENT &&
	       area_pgoff(lo, lo->end) == hi->pgoff && lo->name == hi->name;
}

struct vm_area *area_first_part(struct mm *mm, struct vm_area *v)
{
	for (struct vm_area *p = vma_prev(mm, v); p && same_to_the_program(p, v); p = vma_prev(mm, v))
		v = p;
	return v;
}

struct vm_area *area_last_part(struct vm_area *v)
{
	for (struct vm_area *n = vma_next(v); n && same_to_the_program(v, n); n = vma_next(v))
		v = n;
	return v;
}

/* One area's part of the range.  -ENOMEM; -EAGAIN: the lock was let go of. */
static int end_part(struct mm *mm, struct vm_area *v, vaddr_t start, vaddr_t end)
{
	struct port *port = mm->mc->port;
	uint64_t seq = mm->seq;

	zap_contents(mm, start, end);
	if (seq != mm->seq)
		return -EAGAIN;
	int err = area_modify(mm, v, start, end, v->flags & ~VM_LENT, &v);

	if (err)
		return err;
	err = port->ops->reserve(port, start, PFN(end - start), v->flags & VM_EXEC);
	if (!err)
		return 0;
	(void)port->ops->lend(port, start, PFN(end - start), v->file->fd, area_pgoff(v, start) << PAGE_SHIFT, PT_R);
	(void)area_modify(mm, v, start, end, v->flags | VM_LENT, &v);
	return err;
}

int lend_end_areas(struct mm *mm, vaddr_t start, vaddr_t end)
{
	struct vm_area *first = vma_lookup(mm, NULL, start), *last = end > start ? vma_lookup(mm, NULL, end - 1) : NULL;

	return lend_end(mm, first ? area_first_part(mm, first)->start : start, last ? area_last_part(last)->end : end);
}

int lend_end(struct mm *mm, vaddr_t start, vaddr_t end)
{
	struct vm_area *v;
	vaddr_t at = start;

	SF_MISUSE(!mm_is_locked(mm));
	while (at < end && (v = find_vma_intersection(mm, at, end))) {
		vaddr_t stop = MIN(v->end, end);
		int err = v->flags & VM_LENT ? end_part(mm, v, MAX(v->start, start), stop) : 0;

		if (err && err != -EAGAIN)
			return err;
		if (!err)
			at = stop;
	}
	return 0;
}
