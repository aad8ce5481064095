/* SPDX-License-Identifier: MIT */
/* text.c - text that is changed as it is filled; see text.h
 *
 * Nothing is ever written to a page that is in view: it is dropped, and whoever touches it next reads it again, with the changes that are wanted
 * then.  The host has made the page invisible to every processor in between. */
#include "mm/area.h"
#include "mm/internal.h"
#include "mm/text.h"

#include <linux/mman.h>

static struct vm_area *text_area(struct mm *mm, vaddr_t addr)
{
	struct vm_area *v = vma_lookup(mm, NULL, addr);

	bool file = v && (v->type == &vm_file_private || v->type == &vm_file_lent);

	return file && (v->flags & (VM_EXEC | VM_WRITE)) == VM_EXEC ? v : NULL;
}

static bool rereadable(const struct page *pg)
{
	return pg->flags & PG_FILE && page_clean(pg) && !pg->slot;
}

bool mm_text_may_change(struct mm *mm, vaddr_t addr, uint64_t len)
{
	if (!text_area(mm, addr) || PFN(addr) != PFN(addr + len - 1))
		return false;
	pte_t e = pte_get(mm, PFN(addr));
	struct page *pg = page_at(mm, PFN(addr));

	return !e || (pg && page_evictable(pg) && rereadable(pg));
}

bool mm_text_refill(struct mm *mm, vaddr_t addr)
{
	struct page *pg = page_at(mm, PFN(addr));
	struct vm_area *v = text_area(mm, addr);

	if (v && v->flags & VM_LENT && (!pg || page_evictable(pg)))
		return !lend_end(mm, addr & PAGE_MASK, (addr & PAGE_MASK) + PAGE_SIZE);
	if (!v || !pg || !rereadable(pg))
		return !pg;
	zap_range(mm, addr & PAGE_MASK, (addr & PAGE_MASK) + PAGE_SIZE);
	return true;
}

static void drop_text(struct mm *mm, vaddr_t start, vaddr_t end)
{
	for (vaddr_t a = start; a < end; a += PAGE_SIZE) {
		a = pte_next(mm, PFN(a), PFN(end)) << PAGE_SHIFT;
		if (a < end && !(page_at(mm, PFN(a)) && page_at(mm, PFN(a))->flags & PG_SHARED)) /* lent: as the file has it */
			mm_text_refill(mm, a);
	}
}

void mm_text_forget(struct mm *mm, vaddr_t start, vaddr_t end)
{
	struct machine *mc = mm->mc;

	if (mc->text_gone && mc->text_gone(mc, start, end))
		drop_text(mm, start, end);
}

/* Above mmap_base, where nobody looks for room; else anywhere near. */
static int64_t find_zone(struct mm *mm, vaddr_t near, uint64_t reach)
{
	vaddr_t low = near > reach ? near - reach : 0, high = MIN(near + reach, mm->task_size), above = mm->mmap_base + (1ull << 20);
	int64_t r = -ENOMEM;

	low = MAX(low, MAX(mm->mmap_min, (vaddr_t)PAGE_SIZE));
	if (above >= low && above + TEXT_ZONE <= high)
		r = find_gap_up(mm, TEXT_ZONE, above, high);
	if (r < 0 && low + TEXT_ZONE < near)
		r = find_gap_down(mm, TEXT_ZONE, low, near);
	return r;
}

int64_t mm_text_zone(struct mm *mm, vaddr_t near, uint64_t reach)
{
	mm_lock(mm);
	int64_t r = find_zone(mm, near, reach);

	mm_unlock(mm);
	if (r < 0)
		return r;
	r = do_mmap(mm, (vaddr_t)r, TEXT_ZONE, PROT_READ | PROT_WRITE | PROT_EXEC,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, NULL, 0, 0);
	if (r < 0)
		return r;
	mm_lock(mm);
	struct vm_area *v = vma_lookup(mm, NULL, (vaddr_t)r);

	bool alone = v && v->start == (vaddr_t)r && v->end == (vaddr_t)r + TEXT_ZONE;

	if (alone)
		area_set_flags(mm, v, v->flags | VM_HIDDEN);
	mm_unlock(mm);
	if (alone)
		return r;
	do_munmap(mm, (vaddr_t)r, TEXT_ZONE); /* one of the program's has swallowed it */
	return -EEXIST;
}
