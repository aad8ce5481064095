/* SPDX-License-Identifier: MIT */
/* page.c - frames: who has one, what state its page is in, and how ranges of pages change together
 *
 *     FREE -- page_alloc --> taken -- page_install --> VISIBLE --pages_hide--> HIDDEN
 *      ^                       |                         |  ^---page_shown------'  |
 *      |<----- page_free ------'                         |                         |
 *      '<---------------------- page_release ------------'-------------------------'
 *
 *     taken + PG_BUSY:      in the page table, contents being read (run_begin … run_fill or run_undo, fault.c)
 *     HIDDEN + PG_WRITEBACK: a copy is on its way to slot; it may be shown at any moment, and then the copy counts
 *                           only if the page has not become writable (page_taint disowns it)
 *
 * Invariants, checked by pages_check:
 *   1  every pte that is present names a frame whose pfn is that page, and every used frame is named once
 *   2  a page is exactly one of visible, hidden, busy; hidden ones are counted in mc->hidden
 *   3  pages that are not busy are on one list of the policy, and the lists hold nothing else
 *   4  PG_WRITABLE only when visible; a writable private page is PG_DIRTY
 *   5  a page with a slot is not dirty, unless PG_WRITEBACK
 *   6  rss and swap counters equal what the page table says; every page lies in an area
 *   7  pinned, locked and in-flight counters equal the frames so marked; the write-back counter too, but for pages that
 *      were disowned while their copy is still being written
 *   8  frames in use and store memory together stay within the bound
 *   9  with no write in flight, slots in use are those that ptes and pages name */
#include "mm/internal.h"

struct page *frame_page(struct machine *mc, uint32_t frame)
{
	return &mc->frames[frame];
}

uint32_t page_frame(struct machine *mc, const struct page *pg)
{
	return (uint32_t)(pg - mc->frames);
}

struct page *page_at(struct mm *mm, uint64_t pfn)
{
	pte_t e = pte_get(mm, pfn);

	return e & PTE_PRESENT ? frame_page(mm->mc, pte_frame(e)) : NULL;
}

/* ---------------------------------------------------------------- lists */

static struct page *page_or_null(struct machine *mc, uint32_t frame)
{
	return frame ? frame_page(mc, frame) : NULL;
}

void list_add_head(struct machine *mc, unsigned list, struct page *pg)
{
	struct page_list *l = &mc->lists[list];
	uint32_t f = page_frame(mc, pg);

	SF_MISUSE(list >= NR_LISTS || pg->list != NO_LIST);
	pg->list = (uint8_t)list;
	pg->prev = 0;
	pg->next = l->head;
	if (l->head)
		frame_page(mc, l->head)->prev = f;
	else
		l->tail = f;
	l->head = f;
	l->count++;
}

void list_add_tail(struct machine *mc, unsigned list, struct page *pg)
{
	struct page_list *l = &mc->lists[list];
	uint32_t f = page_frame(mc, pg);

	SF_MISUSE(list >= NR_LISTS || pg->list != NO_LIST);
	pg->list = (uint8_t)list;
	pg->next = 0;
	pg->prev = l->tail;
	if (l->tail)
		frame_page(mc, l->tail)->next = f;
	else
		l->head = f;
	l->tail = f;
	l->count++;
}

void list_del(struct machine *mc, struct page *pg)
{
	SF_MISUSE(pg->list >= NR_LISTS);
	struct page_list *l = &mc->lists[pg->list];

	if (pg->prev)
		frame_page(mc, pg->prev)->next = pg->next;
	else
		l->head = pg->next;
	if (pg->next)
		frame_page(mc, pg->next)->prev = pg->prev;
	else
		l->tail = pg->prev;
	pg->next = pg->prev = 0;
	pg->list = NO_LIST;
	l->count--;
}

struct page *list_tail(struct machine *mc, unsigned list)
{
	return page_or_null(mc, mc->lists[list].tail);
}

struct page *list_prev(struct machine *mc, struct page *pg)
{
	return page_or_null(mc, pg->prev);
}

/* ---------------------------------------------------------------- frames */

/* Frames that members of a tree get, keep unused, and give back together. */
static uint64_t grant_batch(struct machine *mc)
{
	return MAX(1, MIN(32, tree_share(mc) / 32));
}

/* What a machine in a tree needs of its grant. */
static uint64_t frames_needed(struct machine *mc)
{
	return mc->used + store_pages(mc) + (swap_in_memory(mc) ? evict_batch(mc) : 0);
}

static size_t frames_free_tree(struct machine *mc)
{
	uint64_t need = frames_needed(mc), want = need + grant_batch(mc);

	if (mc->me->granted <= need)
		tree_grant_some(mc, mc->me, want - mc->me->granted);
	return mc->me->granted > need ? mc->me->granted - need : 0;
}

uint64_t frames_trim(struct machine *mc, uint64_t keep)
{
	uint64_t need = frames_needed(mc) + keep, n = mc->me->granted > need ? mc->me->granted - need : 0;

	tree_give(mc, mc->me, n);
	return n;
}

size_t frames_free(struct machine *mc)
{
	uint64_t most = mc->max_frames ? mc->max_frames - 1 : 0; /* frame 0 ends lists */

	if (!mc->bound)
		return mc->used < most ? SIZE_MAX : 0;
	if (mc->tree)
		return frames_free_tree(mc);
	uint64_t kept = store_pages(mc) + (swap_in_memory(mc) ? evict_batch(mc) : 0); /* a batch on its way grows the store */

	most = MIN(most, mc->bound > kept ? mc->bound - kept : 0);
	return most > mc->used ? most - mc->used : 0;
}

static void count_resident(struct machine *mc)
{
	uint64_t now = __atomic_add_fetch(&mc->stats->resident, 1, __ATOMIC_RELAXED);

	if (mc->used > READ_ONCE(mc->own->peak_resident))
		WRITE_ONCE(mc->own->peak_resident, mc->used);
	if (mc->me) {
		WRITE_ONCE(mc->me->used, mc->used);
		if (mc->bound) /* the dead that nobody has missed yet do not count */
			now = MIN(now, READ_ONCE(mc->tree->granted));
	}
	if (now > READ_ONCE(mc->stats->peak_resident))
		sf_peak(&mc->stats->peak_resident, now);
}

struct page *page_alloc_nowait(struct machine *mc)
{
	struct page *pg;

	if (mc->free_head) {
		pg = frame_page(mc, mc->free_head);
		mc->free_head = pg->next;
	} else {
		SF_BUG_ON(mc->frames_touched + 1 >= mc->max_frames);
		pg = frame_page(mc, (uint32_t)++mc->frames_touched);
		if (!(mc->frames_touched & 1023))
			machine_count_tables(mc);
	}
	*pg = (struct page){ .list = NO_LIST };
	mc->used++;
	count_resident(mc);
	return pg;
}

struct page *page_alloc_for(struct mm *mm, struct task *tk, bool *dropped)
{
	struct machine *mc = mm->mc;

	if (mc->me)
		WRITE_ONCE(mc->me->active, mc->port->ops->now(mc->port));
	if (unlikely(!frames_free(mc))) {
		reclaim_for(mm, tk, 1, dropped);
		if (!frames_free(mc))
			return NULL;
	}
	return page_alloc_nowait(mc);
}

struct page *page_alloc(struct mm *mm, bool *dropped)
{
	return page_alloc_for(mm, NULL, dropped);
}

void page_free(struct machine *mc, struct page *pg)
{
	SF_MISUSE(pg->list != NO_LIST);
	if (pg->flags & PG_HIDDEN)
		mc->hidden--;
	if (pg->flags & PG_LOCKED)
		mc->mlocked--;
	if (pg->pins)
		mc->pinned--;
	*pg = (struct page){ .next = mc->free_head, .list = NO_LIST, .pfn = UINT64_MAX };
	mc->free_head = page_frame(mc, pg);
	mc->used--;
	__atomic_fetch_sub(&mc->stats->resident, 1, __ATOMIC_RELAXED);
	if (!mc->me)
		return;
	WRITE_ONCE(mc->me->used, mc->used);
	if (mc->bound && mc->me->granted > mc->used + store_pages(mc) + 2 * grant_batch(mc))
		frames_trim(mc, grant_batch(mc));
}

static uint64_t *rss_of(struct mm *mm, const struct page *pg)
{
	if (pg->flags & PG_FILE)
		return &mm->rss_file;
	return pg->flags & PG_SHARED ? &mm->rss_shared : &mm->rss_anon;
}

void page_install(struct mm *mm, struct page *pg, const struct vm_area *area, unsigned flags, enum fill_kind how)
{
	SF_MISUSE(!mm_is_locked(mm) || pg->flags & (PG_VISIBLE | PG_HIDDEN | PG_BUSY));
	if (area->flags & VM_LOCKED) {
		flags |= PG_LOCKED;
		mm->mc->mlocked++;
	}
	if (how == FILL_AHEAD) {
		flags |= PG_AHEAD;
		sf_count(&mm->mc->stats->readahead, 1);
	}
	pg->flags |= (uint16_t)(flags | PG_VISIBLE);
	++*rss_of(mm, pg);
	mm->mc->policy->insert(mm->mc, pg, how);
}

void page_release(struct mm *mm, struct page *pg)
{
	SF_MISUSE(pg->flags & PG_BUSY);
	page_forget_slot(mm, pg);
	mm->mc->policy->remove(mm->mc, pg);
	--*rss_of(mm, pg);
	page_free(mm->mc, pg);
}

void page_forget_slot(struct mm *mm, struct page *pg)
{
	if (pg->flags & PG_WRITEBACK)
		pg->flags &= (uint16_t)~PG_WRITEBACK;
	else if (pg->slot)
		swap_free(mm->mc, pg->slot, 1);
	pg->slot = 0;
}

void page_taint(struct mm *mm, struct page *pg)
{
	if (pg->flags & PG_SHARED)
		return;
	if (pg->slot && !(pg->flags & PG_WRITEBACK))
		swap_habit(mm->mc, true);
	page_forget_slot(mm, pg);
	--*rss_of(mm, pg);
	pg->flags &= (uint16_t)~(PG_FILE | PG_ZERO | PG_LAZYFREE);
	pg->flags |= PG_DIRTY;
	++*rss_of(mm, pg);
}

void page_shown(struct mm *mm, struct page *pg, bool writable)
{
	pg->flags &= (uint16_t)~PG_HIDDEN;
	pg->flags |= PG_VISIBLE;
	mm->mc->hidden--;
	if (writable)
		pg->flags |= PG_WRITABLE;
}

void page_set_busy(struct mm *mm, struct page *pg)
{
	pg->flags |= PG_BUSY;
	mm->mc->inflight++;
}

void page_clear_busy(struct mm *mm, struct page *pg)
{
	pg->flags &= (uint16_t)~PG_BUSY;
	mm->mc->inflight--;
}

void page_wait(struct mm *mm)
{
	struct port *port = mm->mc->port;
	uint32_t seq = READ_ONCE(mm->wait_seq);

	mm->waiters++;
	mm_unlock(mm);
	port->ops->wait(port, &mm->wait_seq, seq);
	mm_lock(mm);
	mm->waiters--;
}

void page_wake(struct mm *mm)
{
	struct port *port = mm->mc->port;

	__atomic_fetch_add(&mm->wait_seq, 1, __ATOMIC_RELEASE);
	if (mm->waiters)
		port->ops->wake(port, &mm->wait_seq, INT32_MAX);
}

/* ---------------------------------------------------------------- hiding */

void pages_sort(struct page **pgs, unsigned n)
{
	static const unsigned gaps[] = { 57, 23, 10, 4, 1 };

	for (unsigned g = 0; g < ARRAY_SIZE(gaps); g++)
		for (unsigned gap = gaps[g], i = gap; i < n; i++) {
			struct page *pg = pgs[i];
			unsigned j = i;

			for (; j >= gap && pgs[j - gap]->pfn > pg->pfn; j -= gap)
				pgs[j] = pgs[j - gap];
			pgs[j] = pg;
		}
}

static unsigned run_kind(const struct page *pg)
{
	return pg->flags & (PG_VISIBLE | PG_HIDDEN | PG_SHARED | (pg->flags & PG_SHARED ? PG_PLACED : 0));
}

unsigned pages_run(struct page **pgs, unsigned n)
{
	unsigned kind = run_kind(pgs[0]);
	unsigned i = 1;

	while (i < n && pgs[i]->pfn == pgs[0]->pfn + i && run_kind(pgs[i]) == kind &&
	       (kind != PG_HIDDEN || pgs[i]->hid == pgs[0]->hid + i))
		i++;
	return i;
}

static void page_hidden(struct mm *mm, struct page *pg, hid_t hid)
{
	unsigned gone = PG_VISIBLE | PG_WRITABLE;

	if (pg->flags & PG_WRITABLE)
		gone |= PG_LAZYFREE; /* it may have been written since */
	pg->flags &= (uint16_t)~gone;
	pg->flags |= PG_HIDDEN;
	pg->hid = hid;
	mm->mc->hidden++;
}

int shared_hide(struct mm *mm, const struct page *pg, uint64_t n)
{
	struct port *port = mm->mc->port;

	return (page_placed(pg) ? port->ops->unplace : port->ops->hide_shared)(port, PVA(pg->pfn), n);
}

/* One run; tries halves when the port refuses.  Pages hidden. */
static unsigned hide_run(struct mm *mm, struct page **pgs, unsigned n)
{
	struct port *port = mm->mc->port;
	bool shared = pgs[0]->flags & PG_SHARED;
	hid_t hid = 0;
	int err = shared ? shared_hide(mm, pgs[0], n) : port->ops->hide(port, PVA(pgs[0]->pfn), n, &hid);

	if (err)
		return n == 1 ? 0 : hide_run(mm, pgs, n / 2) + hide_run(mm, pgs + n / 2, n - n / 2);
	for (unsigned i = 0; i < n; i++)
		page_hidden(mm, pgs[i], shared ? 0 : hid + i);
	return n;
}

/* Moves the pages that may be hidden to the front. */
static unsigned only_hideable(struct page **pgs, unsigned n)
{
	unsigned k = 0;

	for (unsigned i = 0; i < n; i++)
		if ((pgs[i]->flags & (PG_VISIBLE | PG_BUSY)) == PG_VISIBLE && !pgs[i]->pins) {
			struct page *pg = pgs[i];

			pgs[i] = pgs[k];
			pgs[k++] = pg;
		}
	return k;
}

unsigned pages_hide(struct mm *mm, struct page **pgs, unsigned n)
{
	unsigned done = 0;

	SF_MISUSE(!mm_is_locked(mm));
	n = only_hideable(pgs, n);
	pages_sort(pgs, n);
	for (unsigned i = 0, run; i < n; i += run) {
		run = pages_run(pgs + i, n - i);
		done += hide_run(mm, pgs + i, run);
	}
	sf_count(&mm->mc->stats->pages_hidden, done);
	return done;
}

/* ---------------------------------------------------------------- zap: a range gives up its contents
 *
 * The range is cut into runs that the port can drop with one call, and each run is walked twice: dropped, then forgotten. */

enum zap_kind { ZAP_VISIBLE, ZAP_HIDDEN, ZAP_SHARED, ZAP_PLACED, ZAP_SWAP, ZAP_POISON, ZAP_BUSY };

static enum zap_kind zap_kind(struct mm *mm, pte_t e)
{
	if (e & PTE_SWAP)
		return ZAP_SWAP;
	if (e & (PTE_POISON | PTE_BLANK | PTE_GUARD))
		return ZAP_POISON;
	struct page *pg = frame_page(mm->mc, pte_frame(e));

	if (pg->flags & PG_BUSY)
		return ZAP_BUSY;
	if (pg->flags & PG_SHARED)
		return page_placed(pg) ? ZAP_PLACED : ZAP_SHARED;
	return pg->flags & PG_VISIBLE ? ZAP_VISIBLE : ZAP_HIDDEN;
}

/* Does the entry at pfn + n continue a run that began with first at pfn? */
static bool zap_continues(struct mm *mm, enum zap_kind kind, pte_t first, pte_t e, uint64_t n)
{
	if (!e || zap_kind(mm, e) != kind)
		return false;
	if (kind == ZAP_SWAP)
		return pte_slot(e) == pte_slot(first) + n;
	if (kind == ZAP_HIDDEN)
		return frame_page(mm->mc, pte_frame(e))->hid == frame_page(mm->mc, pte_frame(first))->hid + n;
	return true;
}

/* Discarding may not fail for the caller: a port that refuses a run is asked page by page, then to make the page anew. */
static void drop_visible(struct mm *mm, uint64_t pfn, uint64_t n)
{
	struct port *port = mm->mc->port;

	if (!port->ops->drop(port, PVA(pfn), n))
		return;
	for (uint64_t i = 0; i < n; i++) {
		struct vm_area *v = find_vma(mm, NULL, PVA(pfn + i));
		bool exec = v && v->start <= PVA(pfn + i) && v->flags & VM_EXEC;

		if (port->ops->drop(port, PVA(pfn + i), 1) && port->ops->reserve(port, PVA(pfn + i), 1, exec))
			SF_BUG_ON("the port can neither drop nor reserve a page");
	}
}

static void drop_hidden(struct mm *mm, uint64_t pfn, uint64_t n, hid_t hid)
{
	struct port *port = mm->mc->port;

	if (!port->ops->drop_hidden(port, PVA(pfn), hid, n))
		return;
	for (uint64_t i = 0; i < n; i++) {
		int err = -EAGAIN;

		for (unsigned tries = 0; err && tries < 2; tries++)
			err = port->ops->drop_hidden(port, PVA(pfn + i), hid + (hid_t)i, 1);
		SF_BUG_ON(err && "the port cannot drop a hidden page");
	}
}

static void drop_shared(struct mm *mm, uint64_t pfn, uint64_t n)
{
	struct port *port = mm->mc->port;

	if (!port->ops->hide_shared(port, PVA(pfn), n))
		return;
	for (uint64_t i = 0; i < n; i++)
		(void)port->ops->hide_shared(port, PVA(pfn + i), 1); /* left visible: the file's own contents, no harm */
}

/* left: what the entries say afterwards. */
static void zap_run(struct mm *mm, uint64_t pfn, uint64_t n, enum zap_kind kind, pte_t first, pte_t left)
{
	switch (kind) {
	case ZAP_VISIBLE:
		drop_visible(mm, pfn, n);
		break;
	case ZAP_HIDDEN:
		drop_hidden(mm, pfn, n, frame_page(mm->mc, pte_frame(first))->hid);
		break;
	case ZAP_SHARED:
		drop_shared(mm, pfn, n);
		break;
	case ZAP_PLACED:
		unplace(mm, pfn, n);
		break;
	case ZAP_SWAP:
		swap_free(mm->mc, pte_slot(first), (unsigned)n);
		mm->swapped -= n;
		break;
	case ZAP_POISON:
	case ZAP_BUSY:
		break;
	}
	for (uint64_t i = 0; i < n; i++) {
		if (kind < ZAP_SWAP)
			page_release(mm, page_at(mm, pfn + i));
		pte_set(mm, pfn + i, left);
	}
}

void zap_poison(struct mm *mm, uint64_t pfn)
{
	pte_t e = pte_get(mm, pfn);

	if (e)
		zap_run(mm, pfn, 1, zap_kind(mm, e), e, PTE_POISON);
	else
		pte_set(mm, pfn, PTE_POISON);
}

static void zap_pages(struct mm *mm, vaddr_t start, vaddr_t end, pte_t keep)
{
	uint64_t from = PFN(start), to = PFN(end), pfn = from;
	bool woke = false;

	SF_MISUSE(!mm_is_locked(mm));
	while ((pfn = pte_next(mm, pfn, to)) < to) {
		pte_t first = pte_get(mm, pfn);

		if (!(first & PTE_PRESENT) && first & keep) {
			pfn++;
			continue;
		}
		enum zap_kind kind = zap_kind(mm, first);
		uint64_t n = 1;

		if (kind == ZAP_BUSY) {
			page_wait(mm);
			pfn = from; /* the lock was away: anything may have come */
			continue;
		}
		while (pfn + n < to && kind != ZAP_POISON && zap_continues(mm, kind, first, pte_get(mm, pfn + n), n))
			n++;
		zap_run(mm, pfn, n, kind, first, 0);
		pfn += n;
		woke = true;
	}
	if (woke)
		page_wake(mm); /* frames for whoever waits for some */
}

void zap_range(struct mm *mm, vaddr_t start, vaddr_t end) { zap_pages(mm, start, end, 0); }
void zap_contents(struct mm *mm, vaddr_t start, vaddr_t end) { zap_pages(mm, start, end, PTE_GUARD); }

void drop_file_pages(struct mm *mm, vaddr_t start, vaddr_t end)
{
	uint64_t last = PFN(end);

	for (uint64_t pfn = PFN(start); (pfn = pte_next(mm, pfn, last)) < last; pfn++) {
		struct page *pg = page_at(mm, pfn);

		if (pg && (pg->flags & (PG_FILE | PG_BUSY | PG_SHARED | PG_WRITABLE)) == PG_FILE && !pg->pins)
			zap_pages(mm, PVA(pfn), PVA(pfn + 1), 0);
	}
}

/* ---------------------------------------------------------------- moving */

/* Entries at the new place, so that nothing can fail once the port has moved the pages. */
static int move_prepare(struct mm *mm, uint64_t from, uint64_t to, uint64_t n)
{
	for (uint64_t p = from; (p = pte_next(mm, p, from + n)) < from + n; p++)
		if (!pte_alloc(mm, p - from + to))
			return -ENOMEM;
	return 0;
}

/* Shared pages are not carried over: the file has them, and a fault at the new place finds them. */
static bool move_settle(struct mm *mm, uint64_t from, uint64_t n)
{
	bool any = false;

	for (uint64_t p = from; (p = pte_next(mm, p, from + n)) < from + n;) {
		struct page *pg = page_at(mm, p);

		if (pg && pg->flags & PG_BUSY) {
			page_wait(mm);
			p = from;
			any = false;
			continue;
		}
		if (pg && pg->flags & PG_SHARED)
			zap_run(mm, p, 1, page_placed(pg) ? ZAP_PLACED : ZAP_SHARED, 0, 0);
		else
			any |= pg != NULL;
		p++;
	}
	return any;
}

static void page_moved(struct mm *mm, struct page *pg, uint64_t pfn)
{
	pg->pfn = pfn;
	if (pg->pins)
		mm->mc->pinned--;
	pg->pins = 0; /* pins are of addresses, and this one is gone */
}

int move_page(struct mm *mm, uint64_t from, uint64_t to)
{
	struct port *port = mm->mc->port;
	struct page *pg = page_at(mm, from);
	int err = pte_alloc(mm, to) ? 0 : -ENOMEM;

	if (!err && pg)
		err = port->ops->move(port, PVA(from), PVA(to), 1);
	if (err)
		return err;
	if (pg)
		page_moved(mm, pg, to);
	pte_set(mm, to, pte_get(mm, from));
	pte_set(mm, from, PTE_POISON);
	return 0;
}

int move_range(struct mm *mm, vaddr_t from, vaddr_t to, uint64_t len)
{
	struct port *port = mm->mc->port;
	uint64_t src = PFN(from), dst = PFN(to), n = PFN(len);

	SF_MISUSE(!mm_is_locked(mm));
	bool any = move_settle(mm, src, n);
	int err = move_prepare(mm, src, dst, n);

	if (!err && any)
		err = port->ops->move(port, from, to, n);
	if (err)
		return err;
	for (uint64_t p = src; (p = pte_next(mm, p, src + n)) < src + n; p++) {
		pte_t e = pte_get(mm, p);
		struct page *pg = page_at(mm, p);

		if (pg)
			page_moved(mm, pg, p - src + dst);
		pte_set(mm, p - src + dst, e);
		pte_set(mm, p, 0);
	}
	return 0;
}

int move_guards(struct mm *mm, vaddr_t from, vaddr_t to, uint64_t len)
{
	uint64_t src = PFN(from), dst = PFN(to), n = PFN(len);

	if (move_prepare(mm, src, dst, n))
		return -ENOMEM;
	for (uint64_t p = src; (p = pte_next(mm, p, src + n)) < src + n; p++)
		if (!(pte_get(mm, p) & PTE_PRESENT) && pte_get(mm, p) & PTE_GUARD) {
			pte_set(mm, p - src + dst, PTE_GUARD);
			pte_set(mm, p, 0);
		}
	return 0;
}

/* ---------------------------------------------------------------- the numbered invariants */

struct census {
	struct mm *mm;
	uint64_t resident, hidden, busy, writeback, pinned, locked, anon, file, shared, swapped, slots;
};

static void check_page(struct census *c, const struct page *pg, uint64_t pfn)
{
	unsigned f = pg->flags;

	SF_ASSERT(pg->pfn == pfn);                                                        /* 1 */
	SF_ASSERT(!!(f & PG_VISIBLE) + !!(f & PG_HIDDEN) + !!(f & PG_BUSY) == 1);         /* 2 */
	SF_ASSERT((pg->list < NR_LISTS) == !(f & PG_BUSY));                               /* 3 */
	SF_ASSERT(!(f & PG_WRITABLE) || f & PG_VISIBLE);                                  /* 4 */
	SF_ASSERT((f & (PG_WRITABLE | PG_DIRTY | PG_SHARED)) != PG_WRITABLE);
	SF_ASSERT(!pg->slot || !(f & PG_DIRTY) || f & PG_WRITEBACK);                      /* 5 */
	SF_ASSERT(pg->slot || !(f & PG_WRITEBACK));
	c->resident++;
	c->hidden += !!(f & PG_HIDDEN);
	c->busy += !!(f & PG_BUSY);
	c->writeback += !!(f & PG_WRITEBACK);
	c->pinned += pg->pins > 0;
	c->locked += !!(f & PG_LOCKED);
	c->slots += pg->slot > 0;
	if (f & PG_BUSY)
		return;
	c->shared += (f & (PG_SHARED | PG_FILE)) == PG_SHARED;
	c->file += !!(f & PG_FILE);
	c->anon += !(f & (PG_SHARED | PG_FILE));
}

static void check_ptes(struct census *c)
{
	struct mm *mm = c->mm;
	uint64_t end = PFN(mm->task_size);

	for (uint64_t pfn = 0; (pfn = pte_next(mm, pfn, end)) < end; pfn++) {
		pte_t e = pte_get(mm, pfn);

		SF_ASSERT(vma_lookup(mm, NULL, PVA(pfn)));                                /* 6 */
		pte_t what = e & (PTE_PRESENT | PTE_SWAP | PTE_POISON | PTE_BLANK | PTE_GUARD);
		SF_ASSERT(what && !(what & (what - 1))); /* exactly one */
		if (e & PTE_PRESENT)
			check_page(c, page_at(mm, pfn), pfn);
		if (e & PTE_SWAP) {
			SF_ASSERT(pte_slot(e));
			c->swapped++;
			c->slots++;
		}
	}
}

static void check_lists(struct census *c)
{
	struct machine *mc = c->mm->mc;
	uint64_t listed = 0;

	for (unsigned l = 0; l < NR_LISTS; l++) {
		uint64_t n = 0;
		uint32_t prev = 0;

		for (uint32_t f = mc->lists[l].head; f; prev = f, f = frame_page(mc, f)->next, n++)
			SF_ASSERT(frame_page(mc, f)->list == l && frame_page(mc, f)->prev == prev && n < mc->used);
		SF_ASSERT(mc->lists[l].tail == prev && mc->lists[l].count == n);
		listed += n;
	}
	SF_ASSERT(listed == c->resident - c->busy);                                       /* 3 */

	uint64_t free = 0;

	for (uint32_t f = mc->free_head; f; f = frame_page(mc, f)->next)
		SF_ASSERT(++free <= mc->frames_touched);
	SF_ASSERT(free + mc->used == mc->frames_touched);
}

void pages_check(struct mm *mm)
{
	struct machine *mc = mm->mc;
	struct census c = { .mm = mm };
	bool lock = !mm_is_locked(mm);

	if (lock)
		mm_lock(mm);
	check_ptes(&c);
	check_lists(&c);
	SF_ASSERT(c.resident == mc->used);                                                /* 1 */
	SF_ASSERT(c.hidden == mc->hidden);                                                /* 2 */
	SF_ASSERT(c.anon == mm->rss_anon && c.file == mm->rss_file);                      /* 6 */
	SF_ASSERT(c.shared == mm->rss_shared && c.swapped == mm->swapped);
	SF_ASSERT(c.pinned == mc->pinned && c.locked == mc->mlocked);                     /* 7 */
	SF_ASSERT(c.writeback <= mc->writeback && c.busy + mc->writeback == mc->inflight);
	SF_ASSERT(!mc->bound || mc->used + store_pages(mc) <= mc->bound);                 /* 8 */
	SF_ASSERT(mc->writeback || !mc->swap || mc->tree || c.slots == swap_used(mc));    /* 9 */
	if (lock)
		mm_unlock(mm);
}
