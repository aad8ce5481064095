/* SPDX-License-Identifier: MIT */
/* madvise.c - advice about ranges; msync and mincore
 *
 * All three walk the areas of a range.  madvise and msync pass over holes and report them at the end (-ENOMEM); mincore
 * stops at one.  Some advice lets go of the lock (pages that are busy are waited for, pages go to the store), so the walk goes on
 * by address and holds on to no area.
 *
 *     kind            what it does
 *     flags of areas  NORMAL RANDOM SEQUENTIAL, DO/DONTFORK, WIPE/KEEPONFORK, DO/DONTDUMP, (UN)MERGEABLE, (NO)HUGEPAGE
 *     contents        DONTNEED, DONTNEED_LOCKED, FREE, REMOVE, GUARD_INSTALL, GUARD_REMOVE
 *     residence       WILLNEED, COLD, PAGEOUT, POPULATE_READ, POPULATE_WRITE
 *
 * FREE makes pages read-only and lets their copies in the store go; reclaim then drops what was not written since.
 * DONTNEED of shared anonymous memory does nothing: the contents belong to the memory, not to this view of it.
 * REMOVE punches a hole in the file, without the lock.  What could not be written may not be discarded once it is sealed.
 *
 * Source: Linux mm/madvise.c, mm/msync.c, mm/mincore.c. */
#include "mm/area.h"
#include "mm/internal.h"

#include <linux/mman.h>

#define ADV_GUARD_INSTALL 102 /* MADV_*, newer than the headers may be */
#define ADV_GUARD_REMOVE 103
#define WILLNEED_PAGES 4096u /* most pages that one WILLNEED brings in */

/* ---------------------------------------------------------------- flags of areas */

struct flag_advice {
	int advice;
	uint32_t clear, set;
	enum { ANY, PRIVATE_ANON, PRIVATE_OR_SKIP } who;
};

static const struct flag_advice flag_advice[] = {
	{ MADV_NORMAL, VM_RAND_READ | VM_SEQ_READ, 0, ANY },
	{ MADV_RANDOM, VM_SEQ_READ, VM_RAND_READ, ANY },
	{ MADV_SEQUENTIAL, VM_RAND_READ, VM_SEQ_READ, ANY },
	{ MADV_DONTFORK, 0, VM_DONTFORK, ANY },
	{ MADV_DOFORK, VM_DONTFORK, 0, ANY },
	{ MADV_WIPEONFORK, 0, VM_WIPEONFORK, PRIVATE_ANON },
	{ MADV_KEEPONFORK, VM_WIPEONFORK, 0, ANY },
	{ MADV_DONTDUMP, 0, VM_DONTDUMP, ANY },
	{ MADV_DODUMP, VM_DONTDUMP, 0, ANY },
	{ MADV_MERGEABLE, 0, VM_MERGEABLE, PRIVATE_OR_SKIP },
	{ MADV_UNMERGEABLE, VM_MERGEABLE, 0, ANY },
	{ MADV_HUGEPAGE, VM_NOHUGE_ADV, VM_HUGE_ADV, ANY },
	{ MADV_NOHUGEPAGE, VM_HUGE_ADV, VM_NOHUGE_ADV, ANY },
};

static const struct flag_advice *find_flag_advice(int advice)
{
	for (unsigned i = 0; i < ARRAY_SIZE(flag_advice); i++)
		if (flag_advice[i].advice == advice)
			return &flag_advice[i];
	return NULL;
}

static int advise_flags(struct mm *mm, struct vm_area *v, vaddr_t start, vaddr_t end, const struct flag_advice *fa)
{
	if (fa->who == PRIVATE_ANON && (v->file || v->flags & VM_SHARED))
		return -EINVAL;
	if (fa->who == PRIVATE_OR_SKIP && v->flags & VM_SHARED)
		return 0;
	int err = area_modify(mm, v, start, end, (v->flags & ~fa->clear) | fa->set, &v);

	return err ? -EAGAIN : 0; /* Linux's word for being out of kernel memory here */
}

/* ---------------------------------------------------------------- contents */

static int advise_dontneed(struct mm *mm, struct vm_area *v, vaddr_t start, vaddr_t end, bool locked_too)
{
	if (v->flags & VM_LOCKED && !locked_too)
		return -EINVAL;
	if (!area_is_shared_anon(v)) {
		area_note_touched(mm, v);
		zap_contents(mm, start, end);
	}
	return 0;
}

/* What is there goes; what comes afterwards meets the guard.  The area may change while busy pages are waited for. */
static int guard_install(struct mm *mm, struct vm_area *v, vaddr_t start, vaddr_t end)
{
	if (v->flags & VM_LOCKED)
		return -EINVAL;
	area_note_touched(mm, v);
	zap_contents(mm, start, end);
	for (uint64_t pfn = PFN(start); pfn < PFN(end); pfn++) {
		if (pfn == PFN(start) || PVA(pfn) >= v->end)
			v = vma_lookup(mm, NULL, PVA(pfn));
		if (!v)
			return -ENOMEM;
		if (!pte_alloc(mm, pfn))
			return -ENOMEM;
		pte_set(mm, pfn, PTE_GUARD);
	}
	return 0;
}

static int guard_remove(struct mm *mm, vaddr_t start, vaddr_t end)
{
	for (uint64_t pfn = PFN(start); (pfn = pte_next(mm, pfn, PFN(end))) < PFN(end); pfn++) {
		pte_t e = pte_get(mm, pfn);

		if (!(e & PTE_PRESENT) && e & PTE_GUARD)
			pte_set(mm, pfn, 0);
	}
	return 0;
}

/* Lets go of the lock. */
static int punch_file(struct mm *mm, struct vm_area *v, vaddr_t start, vaddr_t end)
{
	struct sf_file *f = v->file;
	uint64_t off = area_pgoff(v, start) << PAGE_SHIFT;

	if (!f->ops->punch)
		return -EOPNOTSUPP;
	file_get(f);
	zap_contents(mm, start, end);
	mm_unlock(mm);
	int err = f->ops->punch(f, off, end - start);

	mm_lock(mm);
	file_put(f);
	return err;
}

static int advise_remove(struct mm *mm, struct vm_area *v, vaddr_t start, vaddr_t end)
{
	if (v->flags & VM_LOCKED || (!v->file && !(v->flags & VM_SHARED)))
		return -EINVAL;
	if ((v->flags & (VM_SHARED | VM_MAYWRITE)) != (VM_SHARED | VM_MAYWRITE))
		return -EACCES;
	return v->file ? punch_file(mm, v, start, end) : (zap_range(mm, start, end), 0);
}

static bool lazy_candidate(const struct page *pg)
{
	return pg && !pg->pins && !(pg->flags & (PG_BUSY | PG_SHARED | PG_FILE)) && pg->flags & (PG_VISIBLE | PG_HIDDEN);
}

/* Pages from pfn on that are visible and writable and may be freed lazily. */
static uint64_t writable_run(struct mm *mm, uint64_t pfn, uint64_t end)
{
	uint64_t n = 0;

	for (; pfn + n < end; n++) {
		struct page *pg = page_at(mm, pfn + n);

		if (!lazy_candidate(pg) || !(pg->flags & PG_WRITABLE))
			break;
	}
	return n;
}

static void make_lazy(struct mm *mm, struct page *pg)
{
	page_forget_slot(mm, pg);
	pg->flags &= (uint16_t)~PG_WRITABLE;
	pg->flags |= PG_LAZYFREE;
	mm->mc->policy->advise(mm->mc, pg, false);
}

/* What could not be write-protected is not freed: that is allowed. */
static int advise_free(struct mm *mm, struct vm_area *v, vaddr_t start, vaddr_t end)
{
	struct port *port = mm->mc->port;
	uint64_t last = PFN(end);

	if (v->flags & VM_LOCKED || v->file || v->flags & VM_SHARED)
		return -EINVAL;
	area_note_touched(mm, v);
	for (uint64_t p = PFN(start), n; (p = pte_next(mm, p, last)) < last; p += n) {
		bool ok = true;

		n = writable_run(mm, p, last);
		if (n)
			ok = !port->ops->protect(port, PVA(p), n, PT_R);
		else if (pte_get(mm, p) & PTE_SWAP)
			zap_range(mm, PVA(p), PVA(p + 1));
		n = MAX(n, 1);
		for (uint64_t i = 0; ok && i < n; i++) {
			struct page *pg = page_at(mm, p + i);

			if (lazy_candidate(pg))
				make_lazy(mm, pg);
		}
	}
	return 0;
}

/* ---------------------------------------------------------------- residence */

static int advise_cold(struct mm *mm, struct vm_area *v, vaddr_t start, vaddr_t end)
{
	uint64_t last = PFN(end);

	if (v->flags & VM_LOCKED)
		return -EINVAL;
	for (uint64_t p = PFN(start); (p = pte_next(mm, p, last)) < last; p++) {
		struct page *pg = page_at(mm, p);

		if (pg && page_evictable(pg))
			mm->mc->policy->advise(mm->mc, pg, false);
	}
	return 0;
}

static int advise_pageout(struct mm *mm, struct vm_area *v, vaddr_t start, vaddr_t end)
{
	if (v->flags & VM_LOCKED)
		return -EINVAL;
	reclaim_range(mm, start, end);
	return 0;
}

static bool next_swapped(struct mm *mm, uint64_t *pfn, uint64_t end)
{
	bool found = false;

	mm_lock(mm);
	for (; !found && (*pfn = pte_next(mm, *pfn, end)) < end; *pfn += !found)
		found = pte_get(mm, *pfn) & PTE_SWAP;
	found = found && frames_free(mm->mc);
	mm_unlock(mm);
	return found;
}

/* WILLNEED: what is swapped comes back while there is room for it.  Not locked. */
static void bring_back(struct mm *mm, struct task *tk, vaddr_t start, vaddr_t end)
{
	struct fault_report rep;
	uint64_t pfn = PFN(start), last = PFN(end);

	for (unsigned n = 0; n < WILLNEED_PAGES && next_swapped(mm, &pfn, last); n++, pfn++)
		if (do_page_fault(mm, tk, PVA(pfn), 0, 0, &rep) != FAULT_FIXED)
			return;
}

/* ---------------------------------------------------------------- the walk */

/* Does it lose contents, now or in a child? */
static bool discards(int advice)
{
	return advice == MADV_FREE || advice == MADV_DONTNEED || advice == MADV_DONTNEED_LOCKED || advice == MADV_REMOVE ||
	       advice == MADV_DONTFORK || advice == ADV_GUARD_INSTALL || advice == MADV_WIPEONFORK;
}

static int advise_area(struct mm *mm, struct vm_area *v, vaddr_t start, vaddr_t end, int advice)
{
	const struct flag_advice *fa = find_flag_advice(advice);

	if ((v->flags & (VM_SEALED | VM_SHARED | VM_WRITE)) == VM_SEALED && !v->file && discards(advice))
		return -EPERM;
	if (fa)
		return advise_flags(mm, v, start, end, fa);
	switch (advice) {
	case MADV_DONTNEED:
	case MADV_DONTNEED_LOCKED:
		return advise_dontneed(mm, v, start, end, advice == MADV_DONTNEED_LOCKED);
	case ADV_GUARD_INSTALL:
		return guard_install(mm, v, start, end);
	case ADV_GUARD_REMOVE:
		return guard_remove(mm, start, end);
	case MADV_FREE:
		return advise_free(mm, v, start, end);
	case MADV_REMOVE:
		return advise_remove(mm, v, start, end);
	case MADV_COLD:
		return advise_cold(mm, v, start, end);
	case MADV_PAGEOUT:
		return advise_pageout(mm, v, start, end);
	default:
		return 0; /* WILLNEED: done without the lock */
	}
}

static int advise_range(struct mm *mm, vaddr_t start, vaddr_t end, int advice)
{
	int hole = 0;

	mm_lock(mm);
	while (start < end) {
		struct vm_area *v = find_vma(mm, NULL, start);

		if (!v || v->start > start)
			hole = -ENOMEM;
		if (!v || v->start >= end)
			break;
		start = MAX(start, v->start);
		vaddr_t stop = MIN(v->end, end);
		int err = advise_area(mm, v, start, stop, advice);

		if (err) {
			hole = err;
			break;
		}
		start = stop;
	}
	mm_unlock(mm);
	return hole;
}

static bool advice_known(int advice)
{
	switch (advice) {
	case MADV_WILLNEED:
	case MADV_DONTNEED:
	case MADV_DONTNEED_LOCKED:
	case MADV_FREE:
	case MADV_REMOVE:
	case MADV_COLD:
	case MADV_PAGEOUT:
	case MADV_POPULATE_READ:
	case MADV_POPULATE_WRITE:
	case ADV_GUARD_INSTALL:
	case ADV_GUARD_REMOVE:
		return true;
	default:
		return find_flag_advice(advice);
	}
}

int64_t do_madvise(struct mm *mm, struct task *tk, vaddr_t addr, uint64_t len, int advice)
{
	uint64_t n = PAGE_ALIGN(len);
	vaddr_t end = addr + n;
	int err;

	if (!advice_known(advice) || addr & ~PAGE_MASK || (len && !n) || end < addr)
		return -EINVAL;
	if (end == addr)
		return 0;
	switch (advice) {
	case MADV_POPULATE_READ:
		return populate(mm, tk, addr, end, POPULATE_READ);
	case MADV_POPULATE_WRITE:
		return populate(mm, tk, addr, end, POPULATE_WRITE);
	}
	err = advise_range(mm, addr, end, advice);
	if (advice == MADV_WILLNEED && tk)
		bring_back(mm, tk, addr, end);
	return err;
}

/* ---------------------------------------------------------------- msync */

/* Write a piece of a shared file mapping back; lets go of the lock meanwhile. */
static int sync_piece(struct mm *mm, vaddr_t start, vaddr_t end, int flags)
{
	struct port *port = mm->mc->port;
	int err = 0;

	mm_unlock(mm);
	if (port->ops->sync_shared)
		err = port->ops->sync_shared(port, start, PFN(end - start), flags);
	mm_lock(mm);
	return err;
}

static int sync_range(struct mm *mm, vaddr_t start, vaddr_t end, int flags)
{
	int hole = 0;

	while (start < end) {
		struct vm_area *v = find_vma(mm, NULL, start);

		if (!v)
			return -ENOMEM;
		if (v->start > start) {
			if (flags == MS_ASYNC || v->start >= end)
				return -ENOMEM;
			start = v->start;
			hole = -ENOMEM;
		}
		if (flags & MS_INVALIDATE && v->flags & VM_LOCKED)
			return -EBUSY;
		vaddr_t stop = MIN(v->end, end);
		int err = flags & MS_SYNC && v->type == &vm_file_shared ? sync_piece(mm, start, stop, flags) : 0;

		if (err)
			return err;
		start = stop;
	}
	return hole;
}

int64_t do_msync(struct mm *mm, vaddr_t addr, uint64_t len, int flags)
{
	if (flags & ~(MS_ASYNC | MS_INVALIDATE | MS_SYNC) || addr & ~PAGE_MASK || (flags & MS_ASYNC && flags & MS_SYNC))
		return -EINVAL;
	vaddr_t end = addr + PAGE_ALIGN(len);

	if (end < addr)
		return -ENOMEM;
	if (end == addr)
		return 0;
	mm_lock(mm);
	int err = sync_range(mm, addr, end, flags);

	mm_unlock(mm);
	return err;
}

/* ---------------------------------------------------------------- mincore */

/* What nobody has touched may be in memory all the same, if it is a file's: those who hold the file know. */
static bool mincore_file(struct mm *mm, struct vm_area *v, vaddr_t start, vaddr_t end, unsigned char *vec)
{
	struct port *port = mm->mc->port;
	struct sf_file *f = v->file;

	if (area_is_hosted(v))
		return port->ops->in_core && !port->ops->in_core(port, start, PFN(end - start), vec);
	return v->type == &vm_file_private && f->ops->in_core &&
	       !f->ops->in_core(f, v->pgoff + PFN(start - v->start), PFN(end - start), vec);
}

static void mincore_area(struct mm *mm, struct vm_area *v, vaddr_t start, vaddr_t end, unsigned char *vec)
{
	uint64_t last = PFN(end);

	if (!mincore_file(mm, v, start, end, vec))
		memset(vec, 0, PFN(end - start));
	else if (area_is_hosted(v))
		return;
	for (uint64_t p = PFN(start); (p = pte_next(mm, p, last)) < last; p++) {
		struct page *pg = page_at(mm, p);

		if (pg && pg->flags & (PG_VISIBLE | PG_HIDDEN))
			vec[p - PFN(start)] = 1;
	}
}

int64_t do_mincore(struct mm *mm, vaddr_t addr, uint64_t len, unsigned char *vec)
{
	vaddr_t at = addr, stop;

	if (addr & ~PAGE_MASK)
		return -EINVAL;
	if (!access_ok(mm, addr, len))
		return -ENOMEM;
	vaddr_t end = addr + PAGE_ALIGN(len);

	mm_lock(mm);
	for (; at < end; at = stop) {
		struct vm_area *v = vma_lookup(mm, NULL, at);

		if (!v)
			break;
		stop = MIN(v->end, end);
		mincore_area(mm, v, at, stop, vec + PFN(at - addr));
	}
	mm_unlock(mm);
	return at < end ? -ENOMEM : 0;
}
