/* SPDX-License-Identifier: MIT */
/* mremap.c - resize and move mappings
 *
 *                     in place                          elsewhere (FIXED, DONTUNMAP, or no room and MAYMOVE)
 *     shrink          unmap the tail                    unmap the tail, then move
 *     same size       nothing                           move
 *     grow            stretch into the hole behind      new range of the new size, move the old pages
 *     from nothing    -                                 a second mapping of a shared file's pages
 *
 * Moving: reserve and place the new area, carry pages and port contents over (move_range), unmap the old one.  Shared file
 * pages are not carried: the file has them.  The lock may be let go of while pages are busy, but only before anything is
 * placed: the old range is settled first and areas are looked up anew, so nobody sees a half-made move.
 *
 * Refused, where Linux allows it: a second view (old_len 0, DONTUNMAP) of shared anonymous memory, whose pages are named by
 * their address here.
 *
 * Source: Linux mm/mremap.c check_mremap_params, check_prep_vma, mremap_to, move_vma, remap_move. */
#include "mm/area.h"
#include "mm/text.h"

#include <linux/mman.h>

#define EAGAIN_AREA 4095 /* the lock was let go of before anything was done: begin again */

struct remap {
	struct mm *mm;
	vaddr_t addr, new_addr;
	uint64_t old_len, new_len;
	unsigned flags;
	vaddr_t populate_start, populate_end; /* to fault in at the end: mlocked growth */
};

static bool implies_new_addr(const struct remap *r)
{
	return r->flags & (MREMAP_FIXED | MREMAP_DONTUNMAP);
}

static int judge_args(const struct remap *r)
{
	const struct mm *mm = r->mm;

	if (r->flags & ~(MREMAP_FIXED | MREMAP_MAYMOVE | MREMAP_DONTUNMAP) || r->addr & ~PAGE_MASK)
		return -EINVAL;
	if (!r->new_len || r->new_len > mm->task_size)
		return -EINVAL;
	if (!implies_new_addr(r))
		return 0;
	if (r->new_addr > mm->task_size - r->new_len || r->new_addr & ~PAGE_MASK || !(r->flags & MREMAP_MAYMOVE))
		return -EINVAL;
	if (r->flags & MREMAP_DONTUNMAP && r->old_len != r->new_len)
		return -EINVAL;
	if (r->addr + r->old_len > r->new_addr && r->new_addr + r->new_len > r->addr)
		return -EINVAL;
	return mm->nr_areas + 2 >= mm->max_areas - 3 ? -ENOMEM : 0;
}

/* Only what maps something new is judged further. */
static int judge_area(const struct remap *r, const struct vm_area *v)
{
	struct mm *mm = r->mm;
	uint64_t old_len = r->old_len, new_len = r->new_len;

	if (!v)
		return -EFAULT;
	if (v->flags & VM_SEALED)
		return -EPERM;
	if (new_len <= old_len && !implies_new_addr(r))
		return 0;
	if (!old_len && !(v->flags & VM_SHARED))
		return -EINVAL;
	if (area_is_shared_anon(v) && (!old_len || r->flags & MREMAP_DONTUNMAP))
		return -EINVAL;
	old_len = MIN(old_len, new_len);
	if (old_len > v->end - r->addr)
		return -EFAULT;
	if (new_len == old_len)
		return 0;
	if (area_pgoff(v, r->addr) + PFN(new_len) < v->pgoff)
		return -EINVAL;
	if (!mlock_future_ok(mm, v->flags, new_len - old_len))
		return -EAGAIN;
	return may_expand(mm, v->flags, PFN(new_len - old_len)) ? 0 : -ENOMEM;
}

static void populate_growth(struct remap *r, const struct vm_area *v, vaddr_t new_addr)
{
	if (!(v->flags & VM_LOCKED) || r->new_len <= r->old_len)
		return;
	r->populate_start = new_addr + r->old_len;
	r->populate_end = new_addr + r->new_len;
}

/* ---------------------------------------------------------------- moving */

/* Accounted pages that the call adds. */
static bool charge_ok(const struct remap *r, const struct vm_area *v)
{
	uint64_t n = PFN(r->flags & MREMAP_DONTUNMAP ? r->new_len : r->new_len - r->old_len);

	return !(v->flags & VM_ACCOUNT) || enough_memory(r->mm, n);
}

/* An anonymous area that was never written has no identity yet: it is numbered by its new place and merges there. */
static uint64_t new_pgoff(const struct remap *r, const struct vm_area *v, vaddr_t new_addr)
{
	if (!v->file && !(v->flags & (VM_SHARED | VM_TOUCHED)))
		return PFN(new_addr);
	return area_pgoff(v, r->addr);
}

static struct vm_area *place_copy(const struct remap *r, struct vm_area *v, vaddr_t new_addr)
{
	uint32_t flags = v->flags, stat = v->stat, policy = v->policy;
	uint64_t pgoff = new_pgoff(r, v, new_addr);
	const char *name = v->name;

	struct vm_area *nv = area_place(r->mm, new_addr, new_addr + r->new_len, flags, v->file, pgoff);

	if (!nv)
		return NULL;
	if (name && nv->start == new_addr && nv->end == new_addr + r->new_len)
		nv->name = name;
	if (policy && nv->start == new_addr && nv->end == new_addr + r->new_len)
		nv->policy = policy;
	if (!nv->stat)
		nv->stat = stat;
	return nv;
}

/* DONTUNMAP: the old range stays, empty; its whole area is no longer locked. */
static void keep_source(const struct remap *r)
{
	struct vm_area *v = vma_lookup(r->mm, NULL, r->addr);

	if (v && v->flags & VM_LOCKED_MASK)
		(void)mlock_area(r->mm, v, v->start, v->end, 0);
}

static int64_t move_area(struct remap *r, struct vm_area *v, vaddr_t new_addr)
{
	struct mm *mm = r->mm;
	uint32_t flags;
	bool carry = v->type != &vm_file_shared;

	if (mm->nr_areas >= mm->max_areas - 3 || !charge_ok(r, v))
		return -ENOMEM;
	area_note_touched(mm, v);
	flags = v->flags;
	if (port_reserve(mm, new_addr, r->new_len, v->file, area_pgoff(v, r->addr), &flags))
		return -ENOMEM;
	v = place_copy(r, v, new_addr);
	if (!v) {
		mm->mc->port->ops->release(mm->mc->port, new_addr, PFN(r->new_len));
		return -ENOMEM;
	}
	int err = (carry ? move_range : move_guards)(mm, r->addr, new_addr, r->old_len);

	if (err) {
		(void)unmap_range(mm, new_addr, new_addr + r->new_len, true);
		return err;
	}
	v = vma_lookup(mm, NULL, new_addr);
	if (v)
		populate_growth(r, v, new_addr);
	if (r->flags & MREMAP_DONTUNMAP)
		keep_source(r);
	else if (r->old_len)
		(void)unmap_range(mm, r->addr, r->addr + r->old_len, true); /* fails only out of memory: then both stay */
	return (int64_t)new_addr;
}

/* Wait until no page of the old range is busy, so that the move itself need not let go of the lock.  True: it was let go of. */
static bool settle(const struct remap *r)
{
	uint64_t start = PFN(r->addr), end = PFN(r->addr + MIN(r->old_len, r->new_len)), p = start;
	uint64_t seq = r->mm->seq;

	mm_text_forget(r->mm, r->addr, r->addr + r->old_len);
	bool waited = seq != r->mm->seq;

	while ((p = pte_next(r->mm, p, end)) < end) {
		struct page *pg = page_at(r->mm, p);

		p++;
		if (pg && pg->flags & PG_BUSY) {
			page_wait(r->mm);
			waited = true;
			p = start;
		}
	}
	return waited;
}

/* Empty the new range, cut off the old one's surplus. */
static int64_t clear_way(struct remap *r)
{
	int64_t err = 0;

	if (r->flags & MREMAP_FIXED)
		err = munmap_locked(r->mm, r->new_addr, r->new_len);
	if (!err && r->old_len > r->new_len) {
		err = munmap_locked(r->mm, r->addr + r->new_len, r->old_len - r->new_len);
		r->old_len = r->new_len;
	}
	return err;
}

/* FIXED or DONTUNMAP. */
static int64_t move_to(struct remap *r)
{
	struct mm *mm = r->mm;
	struct vm_area *v;
	int64_t err, at;

	do
		err = clear_way(r);
	while (!err && settle(r));
	if (err)
		return err;
	v = vma_lookup(mm, NULL, r->addr);
	if (!v || r->old_len > v->end - r->addr)
		return -EFAULT;
	if (r->flags & MREMAP_DONTUNMAP && !may_expand(mm, v->flags, PFN(r->old_len)))
		return -ENOMEM;
	at = choose_address(mm, r->new_addr, r->new_len, r->flags & MREMAP_FIXED ? MAP_FIXED : 0);
	return at < 0 ? at : move_area(r, v, (vaddr_t)at);
}

/* ---------------------------------------------------------------- moving several areas at once
 *
 * FIXED with equal sizes moves whatever areas the range holds, holes between them included (Linux 6.17). */
static int64_t move_many(struct remap *r)
{
	vaddr_t at = r->addr, end = r->addr + r->old_len, base = r->addr;
	int64_t ret = -EFAULT;

	while (at < end) {
		struct vm_area *v = find_vma(r->mm, NULL, at);

		if (!v || v->start >= end)
			break;
		if (at == base && v->start > base)
			return -EFAULT;
		struct remap one = *r;

		one.addr = MAX(v->start, at);
		one.old_len = one.new_len = MIN(v->end, end) - one.addr;
		one.new_addr = r->new_addr + (one.addr - base);
		at = one.addr + one.old_len;
		int64_t res = judge_area(&one, v);

		if (!res)
			res = move_to(&one);
		if (res < 0)
			return res;
		if (one.addr == base)
			ret = res;
	}
	return ret;
}

/* ---------------------------------------------------------------- in place */

static bool can_grow_here(const struct remap *r, const struct vm_area *v)
{
	uint64_t delta = r->new_len - r->old_len;

	if (r->old_len != v->end - r->addr || v->end + delta < v->end || v->end + delta > r->mm->task_size)
		return false;
	return !find_vma_intersection(r->mm, v->end, v->end + delta);
}

static int64_t grow_here(struct remap *r, struct vm_area *v)
{
	uint64_t delta = r->new_len - r->old_len;
	uint32_t flags = v->flags;

	if (v->flags & VM_ACCOUNT && !enough_memory(r->mm, PFN(delta)))
		return -ENOMEM;
	if (port_reserve(r->mm, v->end, delta, v->file, area_pgoff(v, v->end), &flags))
		return -ENOMEM;
	area_resize(r->mm, v, v->start, v->end + delta);
	populate_growth(r, v, r->addr);
	(void)vma_merge(r->mm, v);
	return (int64_t)r->addr;
}

static int64_t resize(struct remap *r, struct vm_area *v)
{
	if (r->new_len == r->old_len)
		return (int64_t)r->addr;
	if (r->new_len < r->old_len) {
		int64_t err = munmap_locked(r->mm, r->addr + r->new_len, r->old_len - r->new_len);

		return err ? err : (int64_t)r->addr;
	}
	if (can_grow_here(r, v))
		return grow_here(r, v);
	if (!(r->flags & MREMAP_MAYMOVE))
		return -ENOMEM;
	if (settle(r))
		return -EAGAIN_AREA;
	int64_t at = choose_address(r->mm, 0, r->new_len, 0);

	return at < 0 ? at : move_area(r, v, (vaddr_t)at);
}

static int64_t mremap_once(struct remap *r)
{
	if (r->flags & MREMAP_FIXED && r->old_len == r->new_len)
		return move_many(r);
	struct vm_area *v = vma_lookup(r->mm, NULL, r->addr);
	int err = judge_area(r, v);

	if (err)
		return err;
	return implies_new_addr(r) ? move_to(r) : resize(r, v);
}

static int64_t mremap_locked(struct remap *r)
{
	int64_t ret;

	do
		ret = mremap_once(r);
	while (ret == -EAGAIN_AREA);
	return ret;
}

int64_t do_mremap(struct mm *mm, vaddr_t addr, uint64_t old_len, uint64_t new_len, unsigned flags, vaddr_t new_addr)
{
	struct remap r = { .mm = mm, .addr = addr, .new_addr = new_addr, .old_len = PAGE_ALIGN(old_len),
			   .new_len = PAGE_ALIGN(new_len), .flags = flags };
	int64_t ret = judge_args(&r);

	if (ret)
		return ret;
	mm_lock(mm);
	if (addr + r.old_len > addr && addr + r.old_len <= mm->task_size)
		ret = lend_end_areas(mm, addr, addr + r.old_len);
	if (!ret)
		ret = mremap_locked(&r);
	mm_unlock(mm);
	if (ret >= 0 && r.populate_start < r.populate_end)
		(void)populate(mm, NULL, r.populate_start, r.populate_end, POPULATE_AREA);
	return ret;
}
