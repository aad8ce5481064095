/* SPDX-License-Identifier: MIT */
/* mprotect.c - other rights for a range, and none to change them any more (mseal)
 *
 * Areas are changed one after the other; at a hole, or at an area that does not allow it, the call stops with an
 * error and what lies before stays changed.  For each part: the port's execution right first (it may fail), then the area
 * then the visible pages; whatever fails, what was done for the part before is put back.
 *
 * Source: Linux mm/mprotect.c do_mprotect_pkey and mprotect_fixup. */
#include "mm/area.h"
#include "mm/text.h"

#include <linux/mman.h>

#define PROT_SEM_BIT 8u

/* Accounting of an area that becomes writable (or was never used and is writable no more); may change flags. */
static int charge(struct mm *mm, struct vm_area *v, uint64_t n, uint32_t *flags)
{
	if (*flags & VM_WRITE) {
		if (!may_expand(mm, *flags, n) && may_expand(mm, v->flags, n))
			return -ENOMEM;
		if (v->flags & (VM_ACCOUNT | VM_WRITE | VM_SHARED | VM_NORESERVE))
			return 0;
		if (!enough_memory(mm, n))
			return -ENOMEM;
		*flags |= VM_ACCOUNT;
	} else if (v->flags & VM_ACCOUNT && !v->file && !(v->flags & (VM_SHARED | VM_TOUCHED))) {
		*flags &= ~VM_ACCOUNT;
	}
	return 0;
}

static int set_exec(struct mm *mm, const struct vm_area *v, vaddr_t start, vaddr_t end, uint32_t from, uint32_t to)
{
	struct port *port = mm->mc->port;

	if (area_is_hosted(v) || !((from ^ to) & VM_EXEC))
		return 0;
	return port->ops->set_exec(port, start, PFN(end - start), to & VM_EXEC);
}

static int protect_area(struct mm *mm, struct vm_area *v, vaddr_t start, vaddr_t end, unsigned prot)
{
	area_note_touched(mm, v);
	uint32_t old = v->flags, flags = (old & ~VM_PROT) | (prot & VM_PROT);

	if (flags & ~(flags >> 4) & VM_PROT || exec_denied(mm, old, flags))
		return -EACCES;
	if (old & VM_SEALED)
		return -EPERM;
	if (flags == old)
		return 0;
	if (old & VM_LENT && flags & ~old & (VM_WRITE | VM_EXEC)) {
		int err = lend_end(mm, start, end);

		return err ? err : -EAGAIN; /* the area may be another now */
	}
	int err = charge(mm, v, PFN(end - start), &flags);

	if (!err)
		err = set_exec(mm, v, start, end, old, flags);
	if (err)
		return err;
	err = area_modify(mm, v, start, end, flags, &v);
	if (!err) {
		err = protect_range(mm, v, start, end);
		if (!err)
			return 0;
		(void)area_modify(mm, v, start, end, old, &v); /* pages that did change come back by faults */
	}
	(void)set_exec(mm, v, start, end, flags, old);
	return err;
}

static int protect_areas(struct mm *mm, vaddr_t start, vaddr_t end, unsigned prot)
{
	while (start < end) {
		struct vm_area *v = vma_lookup(mm, NULL, start);

		if (!v)
			return -ENOMEM;
		vaddr_t stop = MIN(v->end, end);
		int err = protect_area(mm, v, start, stop, prot);

		if (err == -EAGAIN)
			continue;
		if (err)
			return err;
		start = stop;
	}
	return 0;
}

/* Where the call begins and ends, given PROT_GROWSDOWN and PROT_GROWSUP. */
static int grow_range(struct mm *mm, unsigned grows, vaddr_t *start, vaddr_t end)
{
	struct vm_area *v = find_vma_intersection(mm, *start, end);

	if (!v)
		return -ENOMEM;
	if (grows & PROT_GROWSDOWN) {
		*start = v->start;
		return v->flags & VM_GROWSDOWN ? 0 : -EINVAL;
	}
	if (v->start > *start)
		return -ENOMEM;
	return grows & PROT_GROWSUP ? -EINVAL : 0; /* nothing grows up here */
}

int64_t do_mseal(struct mm *mm, vaddr_t addr, uint64_t len)
{
	vaddr_t end = addr + PAGE_ALIGN(len), at = addr;
	int err = 0;

	if (addr & ~PAGE_MASK || end < addr || (len && end == addr))
		return -EINVAL;
	mm_lock(mm);
	for (struct vm_area *v = vma_lookup(mm, NULL, at); v && at < end; v = vma_lookup(mm, NULL, at))
		at = v->end;
	if (at < end)
		err = -ENOMEM; /* a hole: nothing is sealed */
	for (at = addr; !err && at < end;) {
		struct vm_area *v = vma_lookup(mm, NULL, at);
		vaddr_t stop = MIN(v->end, end);

		err = area_modify(mm, v, at, stop, v->flags | VM_SEALED, &v);
		at = stop;
	}
	mm_unlock(mm);
	return err;
}

/* Is there a private area that is locked and cannot be written?  Its pages come with the right to write, as in Linux. */
static bool locked_unwritable(struct mm *mm, vaddr_t start, vaddr_t end)
{
	struct vm_area *v = mm->locked_vm ? find_vma_intersection(mm, start, end) : NULL;

	for (; v && v->start < end; v = vma_next(v))
		if ((v->flags & (VM_WRITE | VM_SHARED | VM_LOCKED_MASK)) == VM_LOCKED)
			return true;
	return false;
}

int64_t do_mprotect(struct mm *mm, vaddr_t addr, uint64_t len, unsigned prot)
{
	unsigned grows = prot & (PROT_GROWSDOWN | PROT_GROWSUP);

	prot &= ~(PROT_GROWSDOWN | PROT_GROWSUP);
	if (grows == (PROT_GROWSDOWN | PROT_GROWSUP) || addr & ~PAGE_MASK)
		return -EINVAL;
	if (!len)
		return 0;
	vaddr_t end = addr + PAGE_ALIGN(len);

	if (end <= addr)
		return -ENOMEM;
	if (prot & ~(VM_PROT | PROT_SEM_BIT))
		return -EINVAL;
	mm_lock(mm);
	int err = grow_range(mm, grows, &addr, end);

	if (!err && prot & VM_WRITE)
		mm_text_forget(mm, addr, end);
	bool bring = !err && prot & VM_WRITE && locked_unwritable(mm, addr, end);

	if (!err)
		err = protect_areas(mm, addr, end, prot);
	mm_unlock(mm);
	if (!err && bring)
		(void)populate(mm, NULL, addr, end, POPULATE_AREA);
	return err;
}
