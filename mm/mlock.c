/* SPDX-License-Identifier: MIT */
/* mlock.c - memory that stays, and bringing ranges in
 *
 * Locking has two halves: the area says VM_LOCKED, which page_install copies to each page that comes (PG_LOCKED), and
 * the pages that are there already are marked here.  Then the range is faulted in, unless only what is touched shall be
 * locked (MLOCK_ONFAULT).
 *
 * A bound is a promise too: at most three quarters of it can be locked, so the rest of the program can still run.
 *
 * populate works as kernel-mode faults do: it holds the lock only to find the next page that is not ready, so it sees
 * each change of the areas that happens meanwhile.
 *
 * Source: Linux mm/mlock.c, mm/gup.c __mm_populate and populate_vma_page_range. */
#include "mm/area.h"

#include <linux/mman.h>

uint64_t mlock_limit(struct mm *mm)
{
	uint64_t bound = mm->mc->bound, rlim = limit_pages(mm->limits.memlock);

	return bound ? MIN(rlim, bound - bound / 4) : rlim;
}

/* ---------------------------------------------------------------- bringing in */

/* Access that brings a page of the area in as asked: 0 read, 1 write, -errno not at all, 2 leave the area out. */
static int populate_mode(const struct vm_area *v, enum populate how)
{
	switch (how) {
	case POPULATE_READ:
		return v->flags & VM_READ ? 0 : -EINVAL;
	case POPULATE_WRITE:
		return v->flags & VM_WRITE ? 1 : -EINVAL;
	default:
		if (v->flags & VM_LOCKONFAULT)
			return 2;
		if (!(v->flags & VM_PROT))
			return -EFAULT;
		return v->flags & VM_WRITE && v->type != &vm_file_shared; /* private: copied now, not later */
	}
}

static bool page_ready(struct mm *mm, uint64_t pfn, bool write)
{
	struct page *pg = page_at(mm, pfn);

	return pg && pg->flags & PG_VISIBLE && (!write || pg->flags & PG_WRITABLE);
}

/* The next page of [*addr, end) to fault in: 1, and *addr, *ret_write say which and how.  0: none left. */
static int next_missing(struct mm *mm, vaddr_t *addr, vaddr_t end, enum populate how, bool *ret_write)
{
	while (*addr < end) {
		struct vm_area *v = find_vma_intersection(mm, *addr, end);

		if (!v || (v->start > *addr && how != POPULATE_AREA))
			return how == POPULATE_AREA ? 0 : -ENOMEM;
		vaddr_t at = MAX(*addr, v->start), stop = MIN(v->end, end);
		int mode = populate_mode(v, how);

		if (mode < 0)
			return mode;
		while (at < stop && (mode == 2 || page_ready(mm, PFN(at), mode)))
			at = mode == 2 ? stop : at + PAGE_SIZE;
		*addr = at;
		*ret_write = mode;
		if (at < stop)
			return 1;
	}
	return 0;
}

int populate(struct mm *mm, struct task *tk, vaddr_t start, vaddr_t end, enum populate how)
{
	struct task nobody = { 0 };
	struct fault_report rep;
	vaddr_t addr = PAGE_ALIGN_DOWN(start);
	bool write;

	for (;; addr += PAGE_SIZE) {
		mm_lock(mm);
		int more = next_missing(mm, &addr, end, how, &write);

		mm_unlock(mm);
		if (more <= 0)
			return more;
		enum fault_verdict v = do_page_fault(mm, tk ? tk : &nobody, addr, write ? PF_WRITE : 0, 0, &rep);

		if (v != FAULT_FIXED)
			return v == FAULT_KILL ? -ENOMEM : -EFAULT;
	}
}

int64_t populate_range(struct mm *mm, struct task *tk, vaddr_t addr, uint64_t len, bool write)
{
	return populate(mm, tk, addr, addr + len, write ? POPULATE_WRITE : POPULATE_AREA);
}

/* Every area, errors ignored. */
static void populate_all(struct mm *mm, struct task *tk)
{
	vaddr_t at = 0, end;

	for (;;) {
		mm_lock(mm);
		struct vm_area *v = find_vma(mm, NULL, at);

		at = v ? v->start : 0;
		end = v ? v->end : 0;
		mm_unlock(mm);
		if (!v)
			return;
		(void)populate(mm, tk, at, end, POPULATE_AREA);
		at = end;
	}
}

/* ---------------------------------------------------------------- locking */

static void mark_pages(struct mm *mm, vaddr_t start, vaddr_t end, bool on)
{
	uint64_t last = PFN(end);

	for (uint64_t p = PFN(start); (p = pte_next(mm, p, last)) < last; p++) {
		struct page *pg = page_at(mm, p);

		if (!pg || pg->flags & PG_BUSY || !(pg->flags & PG_LOCKED) == !on)
			continue;
		pg->flags ^= PG_LOCKED;
		mm->mc->mlocked += on ? 1 : (uint64_t)-1;
	}
}

int mlock_area(struct mm *mm, struct vm_area *v, vaddr_t start, vaddr_t end, uint32_t add)
{
	int err = area_modify(mm, v, start, end, (v->flags & ~VM_LOCKED_MASK) | add, &v);

	if (!err)
		mark_pages(mm, start, end, add & VM_LOCKED);
	return err;
}

/* Give the areas of [start, end) the lock flags; stops at the first hole. */
static int lock_range(struct mm *mm, vaddr_t start, vaddr_t end, uint32_t add)
{
	if (end < start)
		return -EINVAL;
	while (start < end) {
		struct vm_area *v = vma_lookup(mm, NULL, start);

		if (!v)
			return -ENOMEM;
		vaddr_t stop = MIN(v->end, end);
		int err = mlock_area(mm, v, start, stop, add);

		if (err)
			return err;
		start = stop;
	}
	return 0;
}

static uint64_t locked_in(struct mm *mm, vaddr_t start, vaddr_t end)
{
	uint64_t n = 0;

	for (struct vm_area *v = find_vma_intersection(mm, start, end); v && v->start < end; v = vma_next(v))
		if (v->flags & VM_LOCKED)
			n += PFN(MIN(v->end, end) - MAX(v->start, start));
	return n;
}

int64_t do_mlock(struct mm *mm, struct task *tk, vaddr_t addr, uint64_t len, int flags)
{
	uint32_t add = VM_LOCKED | (flags & MLOCK_ONFAULT ? VM_LOCKONFAULT : 0);

	if (flags & ~MLOCK_ONFAULT)
		return -EINVAL;
	if (!mm->limits.memlock)
		return -EPERM;
	len = PAGE_ALIGN(len + (addr & ~PAGE_MASK));
	addr &= PAGE_MASK;
	mm_lock(mm);
	uint64_t limit = mlock_limit(mm), want = PFN(len) + mm->locked_vm;

	if (want > limit && addr + len >= addr)
		want -= locked_in(mm, addr, addr + len);
	int err = want > limit ? -ENOMEM : lock_range(mm, addr, addr + len, add);

	mm_unlock(mm);
	if (err)
		return err;
	err = populate(mm, tk, addr, addr + len, POPULATE_AREA);
	if (err == -EFAULT)
		return -ENOMEM; /* as POSIX names it */
	return err == -ENOMEM ? -EAGAIN : err;
}

int64_t do_munlock(struct mm *mm, vaddr_t addr, uint64_t len)
{
	len = PAGE_ALIGN(len + (addr & ~PAGE_MASK));
	addr &= PAGE_MASK;
	mm_lock(mm);
	int err = lock_range(mm, addr, addr + len, 0);

	mm_unlock(mm);
	return err;
}

static void lock_all(struct mm *mm, uint32_t add)
{
	struct vm_area *v = TAILQ_FIRST(&mm->list);

	while (v) {
		vaddr_t end = v->end;

		(void)mlock_area(mm, v, v->start, end, add);
		v = find_vma(mm, NULL, end);
	}
}

static uint32_t lock_flags(int flags)
{
	return VM_LOCKED | (flags & MCL_ONFAULT ? VM_LOCKONFAULT : 0);
}

int64_t do_mlockall(struct mm *mm, struct task *tk, int flags)
{
	if (!flags || flags & ~(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) || flags == MCL_ONFAULT)
		return -EINVAL;
	if (!mm->limits.memlock)
		return -EPERM;
	mm_lock(mm);
	bool ok = !(flags & MCL_CURRENT) || mm->total_vm <= mlock_limit(mm);

	if (ok) {
		mm->def_flags &= ~VM_LOCKED_MASK;
		if (flags & MCL_FUTURE)
			mm->def_flags |= lock_flags(flags);
		if (flags & MCL_CURRENT)
			lock_all(mm, lock_flags(flags));
	}
	mm_unlock(mm);
	if (!ok)
		return -ENOMEM;
	if (flags & MCL_CURRENT)
		populate_all(mm, tk);
	return 0;
}

int64_t do_munlockall(struct mm *mm)
{
	mm_lock(mm);
	mm->def_flags &= ~VM_LOCKED_MASK;
	lock_all(mm, 0);
	mm_unlock(mm);
	return 0;
}
