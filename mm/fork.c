/* SPDX-License-Identifier: MIT */
/* fork.c - an address space that the host has just copied becomes a second one
 *
 * The host's fork copies program memory and all tables of ours copy-on-write.  Between mm_fork_begin and mm_fork_end
 * (parent) or mm_fork_child (child) every lock of the core and of the port is held by the forking thread, so the copy is whole.  What it still
 * holds of other threads is undone in the child:
 *
 *     page                          in the child
 *     PG_BUSY, being read           as before the fault: its slot, or nothing
 *     PG_WRITEBACK                  dirty and hidden again: the parent's writer owns the slot
 *     pinned for a call             not pinned: the call is not ours
 *     locked                        not locked: fork does not inherit locks
 *
 * Slots named by entries and by clean pages have one more user each, counted before the copy is made, so that the parent
 * cannot be faster in giving them up.  Where fork copies the stores as well (mc->forks_apart) each side has slots of its own. */
#include "mm/area.h"
#include "mm/internal.h"

/* ---------------------------------------------------------------- slots */

static uint64_t slot_inherited(struct mm *mm, pte_t e)
{
	if (e & PTE_SWAP)
		return pte_slot(e);
	if (!(e & PTE_PRESENT))
		return 0;
	const struct page *pg = frame_page(mm->mc, pte_frame(e));

	return pg->flags & PG_WRITEBACK ? 0 : pg->slot;
}

/* One more user for each slot, or (undo) one less.  In a tree the child's entry goes as a whole when fork fails. */
static void slots_dup(struct mm *mm, bool undo)
{
	uint64_t end = PFN(mm->task_size);

	if (!mm->mc->swap || mm->mc->forks_apart || (mm->mc->tree && !mm->mc->me->swapped))
		return;
	for (uint64_t pfn = 0; (pfn = pte_next(mm, pfn, end)) < end; pfn++) {
		uint64_t slot = slot_inherited(mm, pte_get(mm, pfn));

		if (slot && undo)
			swap_free(mm->mc, slot, 1);
		else if (slot)
			swap_dup_for(mm->mc, mm->mc->child, slot);
	}
}

/* ---------------------------------------------------------------- room
 *
 * The child has every page that the parent has, and each counts twice.  If that is too much it does without those that can be had
 * again without having been written (files, clean copies in the store, zeros); and if the others do not fit either, the parent gives up
 * some first: the child inherits their slots. */

static uint64_t dirty_pages(struct machine *mc)
{
	uint64_t n = 0;

	for (unsigned l = 0; l < NR_LISTS; l++)
		for (struct page *pg = list_tail(mc, l); pg; pg = list_prev(mc, pg))
			n += !page_clean(pg);
	return n;
}

static bool room_for_child(struct machine *mc)
{
	uint64_t extra = store_pages(mc);

	mc->child_drops = false;
	if (!mc->bound || tree_grant(mc, mc->child, mc->used + extra))
		return true;
	mc->child_drops = true;
	return tree_grant(mc, mc->child, dirty_pages(mc) + extra);
}

/* As patient as a fault is: while anybody gives anything, memory is not exhausted. */
static int make_room(struct mm *mm)
{
	struct machine *mc = mm->mc;
	struct begging begging = { 0, 0, 0 };
	bool dropped;

	while (!room_for_child(mc)) {
		frames_trim(mc, 0);
		if (!stores_sink(mc, 64) && !reclaim_own(mm) && !others_at_last(mm, &begging, &dropped))
			return -ENOMEM;
	}
	return 0;
}

/* Memory tiers cannot be copied with a page half way in. */
static bool tiers_busy(struct machine *mc)
{
	return mc->inflight && swap_in_memory(mc);
}

int mm_fork_room(struct mm *mm)
{
	struct machine *mc = mm->mc;
	int err;

	SF_MISUSE(!mm_is_locked(mm));
	do {
		while (tiers_busy(mc))
			page_wait(mm);
		if (!mc->tree)
			return 0;
		mc->child = tree_join(mc, mc->me->pid, TREE_BORN);
		if (!mc->child)
			return -EAGAIN;
		err = make_room(mm);
		if (err || tiers_busy(mc)) {
			tree_reap(mc, mc->child);
			mc->child = NULL;
		}
	} while (!err && !mc->child);
	return err;
}

/* ---------------------------------------------------------------- the parent's side */

void mm_fork_stores(struct mm *mm)
{
	for (struct store *s = mm->mc->store; s; s = s->below)
		if (s->ops->share)
			s->ops->share(s);
}

/* A run of pages that may be written; those being written for a call keep their rights. */
static uint64_t writable_run(struct mm *mm, uint64_t pfn, uint64_t end)
{
	for (; pfn < end; pfn++) {
		const struct page *pg = page_at(mm, pfn);

		if (!pg || pg->pins || pg->flags & PG_BUSY || (pg->flags & (PG_VISIBLE | PG_WRITABLE | PG_SHARED)) != (PG_VISIBLE | PG_WRITABLE))
			break;
	}
	return pfn;
}

/* Both sides fault at their next write, and do_wp_page sees who still shares the page.  What the port refuses stays unseen. */
static void fork_protect(struct mm *mm)
{
	struct port *port = mm->mc->port;
	uint64_t end = PFN(mm->task_size), stop;

	for (uint64_t pfn = 0; (pfn = pte_next(mm, pfn, end)) < end; pfn = MAX(stop, pfn + 1)) {
		stop = writable_run(mm, pfn, end);
		if (stop == pfn || port->ops->protect(port, PVA(pfn), stop - pfn, PT_R))
			continue;
		for (uint64_t i = pfn; i < stop; i++) {
			struct page *pg = page_at(mm, i);

			pg->flags = (uint16_t)((pg->flags & ~PG_WRITABLE) | PG_FORKED);
		}
	}
}

int mm_fork_begin(struct mm *mm)
{
	struct port *port = mm->mc->port;

	SF_MISUSE(!mm_is_locked(mm));
	if (mm->mc->fork_faults)
		fork_protect(mm);
	slots_dup(mm, false);
	if (mm->mc->child)
		WRITE_ONCE(mm->mc->child->born, port->ops->now(port));
	mm_fork_stores(mm);
	kmem_fork_begin(mm->mc);
	if (port->ops->fork_begin)
		port->ops->fork_begin(port);
	return 0;
}

void mm_fork_end(struct mm *mm, uint32_t child_pid)
{
	struct port *port = mm->mc->port;
	struct machine *mc = mm->mc;

	if (port->ops->fork_end)
		port->ops->fork_end(port);
	kmem_fork_end(mc);
	if (mc->child && child_pid) {
		uint32_t promised = mc->me->pid;

		__atomic_compare_exchange_n(&mc->child->pid, &promised, child_pid, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
	} else if (mc->child) {
		tree_reap(mc, mc->child);
	} else if (!child_pid) {
		slots_dup(mm, true);
	}
	mc->child = NULL;
}

/* ---------------------------------------------------------------- the child's side: pages */

static void forget_pins(struct machine *mc, struct page *pg)
{
	mc->pinned -= pg->pins > 0;
	pg->pins = 0;
	if (pg->flags & PG_LOCKED) {
		pg->flags &= (uint16_t)~PG_LOCKED;
		mc->mlocked--;
	}
}

/* The other thread's read will not end here. */
static void undo_read(struct mm *mm, struct page *pg, uint64_t pfn)
{
	pte_set(mm, pfn, pg->slot ? pte_mk_swap(pg->slot) : 0);
	mm->swapped += pg->slot > 0;
	pg->flags &= (uint16_t)~PG_BUSY;
	page_free(mm->mc, pg);
}

static void child_page(struct mm *mm, struct page *pg, uint64_t pfn)
{
	forget_pins(mm->mc, pg);
	if (pg->flags & PG_BUSY) {
		undo_read(mm, pg, pfn);
		return;
	}
	if (pg->flags & PG_WRITEBACK) {
		pg->flags &= (uint16_t)~PG_WRITEBACK;
		pg->slot = 0;
	}
	if (pg->flags & PG_DEFERRED)
		page_apply_deferred(mm, pg);
}

/* No page is as child_page would not leave it.  A page whose protection waits has a pin. */
static bool nothing_under_way(const struct machine *mc)
{
	return !mc->pinned && !mc->mlocked && !mc->inflight && !mc->writeback;
}

static void child_pages(struct mm *mm)
{
	uint64_t end = PFN(mm->task_size);

	for (uint64_t pfn = 0; (pfn = pte_next(mm, pfn, end)) < end; pfn++) {
		struct page *pg = page_at(mm, pfn);

		if (pg)
			child_page(mm, pg, pfn);
	}
}

/* ---------------------------------------------------------------- areas */

/* Areas that fork does not hand on, those it hands on empty, and locks that it drops. */
static int child_areas(struct mm *mm)
{
	struct vm_area *v, *next;
	int err;

	mm->def_flags &= ~VM_LOCKED_MASK;
	mm->generation++;
	for (v = TAILQ_FIRST(&mm->list); v; v = next) {
		if (v->flags & VM_DONTFORK) {
			vaddr_t end = v->end;

			err = unmap_range(mm, v->start, end, true);
			if (err)
				return err;
			next = find_vma(mm, NULL, end);
			continue;
		}
		area_note_touched(mm, v);
		if (v->flags & VM_WIPEONFORK)
			zap_range(mm, v->start, v->end);
		if (v->flags & VM_TOUCHED && !(v->flags & VM_COPIED))
			v->flags |= VM_COPIED_BY(mm->generation);
		if (v->flags & VM_LOCKED_MASK)
			area_set_flags(mm, v, v->flags & ~VM_LOCKED_MASK);
		next = vma_next(vma_merge(mm, v));
	}
	return 0;
}

/* Private ranges, neighbours together, become the port's in this process too. */
static int adopt_ranges(struct mm *mm)
{
	struct port *port = mm->mc->port;
	struct vm_area *v = TAILQ_FIRST(&mm->list);

	while (port->ops->fork_range && v) {
		vaddr_t start = v->start, end = v->end;

		v = area_is_hosted(v) ? (start = end, vma_next(v)) : vma_next(v);
		for (; start < end && v && v->start == end && !area_is_hosted(v); v = vma_next(v))
			end = v->end;
		int err = start < end ? port->ops->fork_range(port, start, PFN(end - start)) : 0;

		if (err)
			return err;
	}
	return 0;
}

static void reset_machine(struct mm *mm, uint32_t pid)
{
	struct machine *mc = mm->mc;

	WRITE_ONCE(mm->lock_owner, mc->port->ops->self(mc->port));
	mm->waiters = 0;
	mc->inflight = mc->writeback = 0;
	if (!mc->forks_apart)
		sf_count(&mc->stats->resident, mc->used);
	if (!mc->tree)
		return;
	mc->me = mc->child;
	mc->child = NULL;
	WRITE_ONCE(mc->me->used, mc->used);
	WRITE_ONCE(mc->me->pid, pid);
}

int mm_fork_child(struct mm *mm, uint32_t pid, bool shares_files)
{
	struct port *port = mm->mc->port;
	int err = 0;

	bool quiet = nothing_under_way(mm->mc);

	reset_machine(mm, pid);
	if (port->ops->fork_end)
		port->ops->fork_end(port);
	kmem_fork_end(mm->mc);
	if (port->ops->fork_child)
		err = port->ops->fork_child(port, shares_files);
	if (!err)
		err = adopt_ranges(mm);
	if (err)
		return err;
	if (!quiet)
		child_pages(mm);
	mm->mdwe = mm->mdwe & MDWE_NO_INHERIT ? 0 : mm->mdwe;
	err = child_areas(mm);
	if (!err && mm->mc->child_drops)
		reclaim_clean(mm);
	return err;
}
