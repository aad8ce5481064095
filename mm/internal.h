/* SPDX-License-Identifier: MIT */
/* internal.h - what fault.c, memtype.c, page.c, reclaim.c, swap.c and pin.c share among themselves
 *
 * Everything here is called with the mm lock held unless it says otherwise. */
#ifndef SF_INTERNAL_H
#define SF_INTERNAL_H

#include "mm/mm.h"

#define NO_LIST 0xff    /* page->list while on no list of the policy's */
#define MAX_WINDOW 32u  /* most pages that one fault brings in; at most SF_IOBUF_PAGES */
_Static_assert(MAX_WINDOW <= SF_IOBUF_PAGES, "a window fits a buffer");

/* ---------------------------------------------------------------- page.c */

/* A page whose visible or hidden copy nobody can have changed since it was last saved. */
static inline bool page_clean(const struct page *pg)
{
	if (pg->flags & PG_WRITABLE)
		return pg->flags & PG_SHARED;
	if (pg->flags & (PG_SHARED | PG_LAZYFREE))
		return true;
	return !(pg->flags & PG_DIRTY);
}

/* Count the page, mark it visible with flags and hand it to the policy; PG_LOCKED comes from area. */
void page_install(struct mm *mm, struct page *pg, const struct vm_area *area, unsigned flags, enum fill_kind how);
/* The opposite: off the policy's list, uncounted, the frame free.  A slot it owns goes too; pte and port are the caller's business. */
void page_release(struct mm *mm, struct page *pg);
/* The page is about to be writable (or has no copy any more): every copy elsewhere is stale. */
void page_taint(struct mm *mm, struct page *pg);
/* Give up the clean copy in the store, or disown the one on its way there (the writer then frees the slot). */
void page_forget_slot(struct mm *mm, struct page *pg);
/* A page that came along unasked has been used. */
static inline void page_ahead_hit(struct machine *mc, struct page *pg)
{
	if (!(pg->flags & PG_AHEAD))
		return;
	pg->flags &= (uint16_t)~PG_AHEAD;
	sf_count(&mc->stats->readahead_hit, 1);
}
/* Hidden -> visible bookkeeping, after the port has shown it. */
void page_shown(struct mm *mm, struct page *pg, bool writable);
/* Start and end of I/O on a frame. */
void page_set_busy(struct mm *mm, struct page *pg);
void page_clear_busy(struct mm *mm, struct page *pg);
/* For one page that is not busy nor shared, and whose entry is there or can be (pte_alloc): give up its contents, and say so. */
void zap_poison(struct mm *mm, uint64_t pfn);
/* Move such a page to an absent place and leave PTE_POISON behind.  -ENOMEM. */
int move_page(struct mm *mm, uint64_t from, uint64_t to);
/* By page number, for runs. */
void pages_sort(struct page **pgs, unsigned n);
/* Take n visible pages of a shared mapping, or placed ones, out of sight.  -errno: all are as they were. */
int shared_hide(struct mm *mm, const struct page *pg, uint64_t n);
/* Pages from pgs[0] on whose addresses, and names if they are hidden, are consecutive; all visible or all hidden. */
unsigned pages_run(struct page **pgs, unsigned n);
/* The permission bits that a visible page of this area may have. */
static inline unsigned area_prot(const struct vm_area *v, bool write)
{
	return PT_R | (write && (v->flags & VM_WRITE) ? PT_W : 0) | (v->flags & (VM_SHARED | VM_LENT) ? v->flags & PT_X : 0);
}
/* page_alloc with the evictions put down to tk (may be NULL). */
struct page *page_alloc_for(struct mm *mm, struct task *tk, bool *dropped);
/* Apply protection that waited for the last pin. */
void page_apply_deferred(struct mm *mm, struct page *pg);

/* ---------------------------------------------------------------- reclaim.c */

unsigned reclaim_for(struct mm *mm, struct task *tk, unsigned want, bool *dropped);
/* The frames that each of the tree's processes would have if all had the same. */
static inline uint64_t tree_share(const struct machine *mc)
{
	return mc->tree ? mc->bound / MAX(READ_ONCE(mc->tree->live), 1) : mc->bound;
}
/* We have nothing left to give up ourselves.  False: nor has anybody else given anything for a long time.  Lets go of the lock. */
struct begging { unsigned vain; uint32_t given; uint64_t since; }; /* zeros at first */
bool others_at_last(struct mm *mm, struct begging *b, bool *dropped);
/* One batch, whatever is free.  Frames freed; may let go of the lock. */
unsigned reclaim_own(struct mm *mm);
/* Write what memory tiers hold to the store below them, so many pages' worth of memory.  Pages moved; 0 while any is in flight. */
uint64_t stores_sink(struct machine *mc, uint64_t pages);
/* Drop every page that needs no write. */
void reclaim_clean(struct mm *mm);
/* One batch by the policy's choice, of which what is clean goes.  Never lets go of the lock. */
void reclaim_clean_batch(struct mm *mm, struct task *tk);
/* Pages that the stores' memory takes from the bound. */
uint64_t store_pages(struct machine *mc);
/* Pages evicted together; small bounds have small batches. */
unsigned evict_batch(struct machine *mc);
/* The port is out of host mappings or memory: make it room.  False when nothing could be done. */
bool port_relieve(struct mm *mm, struct task *tk);
/* After a fault: reference tracing and host mappings. */
void watch_visible(struct mm *mm, uint64_t pfn);
void relieve_maps(struct mm *mm);

/* ---------------------------------------------------------------- swap.c */

bool swap_nearly_full(struct machine *mc); /* clean copies of resident pages are not worth their slots any more */
bool swap_full(struct machine *mc);        /* or there is none */
bool swap_in_memory(struct machine *mc);   /* a tier keeps pages in memory: writing takes from the bound */
void swap_seen_in_memory(struct machine *mc);
enum swap_trouble { SWAP_FULL, SWAP_WRITE_ERROR, SWAP_READ_ERROR, SWAP_BAD_SUM };
void swap_warn(struct machine *mc, enum swap_trouble what); /* each once; any context */

/* A page that came back read-only has left unchanged, or was written. */
void swap_habit(struct machine *mc, bool written);
/* Will this page, which is coming back, probably be written?  Then its slot is not worth keeping. */
bool swap_expects_write(struct machine *mc, uint64_t pfn);

/* ---------------------------------------------------------------- fault.c */

/* The (present, write) switch of row 10, and execution (row 11). */
bool access_error(const struct vm_area *v, unsigned error_code);

/* Pages of one area that are being read in: consecutive, marked busy, the faulting one among them. */
struct io_run {
	uint64_t lo;      /* first page number */
	unsigned n, at;   /* pages; index of the faulting one */
	bool writable;    /* all of it, whatever the fault was */
	struct page *pg[MAX_WINDOW];
	uint64_t seq;     /* of the mm when the lock was let go of */
	const struct vm_type *type;
	struct sf_file *file; /* referenced while the lock is dropped */
	uint64_t pgoff;   /* of page lo */
};
/* Frames for [lo, lo+n) around fc->pfn, shrinking the run where frames are short.  0, or VM_FAULT_OOM or _RETRY. */
unsigned run_begin(struct fault_ctx *fc, struct io_run *run, uint64_t lo, unsigned n);
/* Let go of the lock for the run's I/O / take it again; run_relock is true when the area still is what it was. */
void run_unlock(struct fault_ctx *fc, struct io_run *run);
bool run_relock(struct fault_ctx *fc, struct io_run *run);
/* Pages [from, to) of the run are not to be: back to what they were before. */
void run_undo(struct fault_ctx *fc, struct io_run *run, unsigned from, unsigned to);
/* Shrink the run to the faulting page, undoing the others. */
void run_alone(struct fault_ctx *fc, struct io_run *run);
/* Make the run visible with contents from buf, the faulting page as the fault needs it, the others read-only.  flags: for page_install.
 * 0, or the VM_FAULT_* that says why the faulting page is still absent (then the whole run is undone). */
unsigned run_fill(struct fault_ctx *fc, struct io_run *run, const char *buf, unsigned flags);
/* What to answer when the port refuses to fill or show. */
unsigned fault_port_error(struct fault_ctx *fc);

/* ---------------------------------------------------------------- memtype.c */

struct window { uint64_t lo; unsigned n; }; /* contains the faulting page */
/* The pages worth bringing in for this fault: those next to it, in the direction it comes from, for which same(fc, pfn, arg) holds; at most
 * max, inside the area.  Learns from each call. */
struct window fault_window(struct fault_ctx *fc, unsigned max, bool (*same)(struct fault_ctx *, uint64_t pfn, uint64_t base));
/* What was brought in, so that the next fault beside it is seen as a continuation. */
void fault_window_done(struct fault_ctx *fc, uint64_t lo, unsigned n);
bool pte_absent(struct fault_ctx *fc, uint64_t pfn, uint64_t base);
/* The absent pages around the fault inside its aligned block of so many pages. */
struct window window_around(struct fault_ctx *fc, unsigned block);
/* The same for areas that ask for clusters; n is 0 for others.  Notes in the task what does not fit into one run. */
struct window window_cluster(struct fault_ctx *fc);

/* ---------------------------------------------------------------- inplace.c */

static inline bool page_placed(const struct page *pg) { return (pg->flags & (PG_SHARED | PG_PLACED)) == (PG_SHARED | PG_PLACED); }
/* For an absent page: place a window that begins with it.  0: that is not to be, the lock was not let go of; else VM_FAULT_*. */
unsigned place_window(struct fault_ctx *fc);
/* A touch of a placed page, or a write to one, has come to us.  True: it is absent now, and perhaps some behind it; false: look again. */
bool place_leave(struct fault_ctx *fc, const struct page *pg);
/* No placed pages are left in the range, but for those that are on their way. */
void place_none(struct mm *mm, vaddr_t start, vaddr_t end);
/* Placed pages [lo, lo+n) are leaving: which ones beside them are as cold, so that one call takes all. */
void place_extend(struct mm *mm, const struct page *pg, uint64_t *lo, uint64_t *n);
/* The port's part of giving them up, which may not fail. */
void unplace(struct mm *mm, uint64_t pfn, uint64_t n);

/* ---------------------------------------------------------------- home.c */

/* Pages on their way home: busy, their contents hidden. */
struct home_batch {
	unsigned n;
	struct page *pg[SF_IOBUF_PAGES];
	bool hidden[SF_IOBUF_PAGES]; /* before we came */
	int err[SF_IOBUF_PAGES];
};
/* Take the pages that have a home out of pgs[0..*n) (evictable, not clean), and hide and mark them. */
void home_take(struct mm *mm, struct page **pgs, unsigned *n, struct home_batch *hb);
/* Write them; those that were written are dropped (evict) or clean and as they were before.  Lets go of the lock.  Pages freed. */
unsigned home_write(struct mm *mm, struct home_batch *hb, char *buf, bool evict);

#endif
