/* SPDX-License-Identifier: MIT */
/* reclaim.c - giving frames back: which pages leave, and how
 *
 *     visible --balance--> hidden --evict--> in the store, in the file, or nowhere (all zeros)
 *        ^                    |
 *        '---- soft fault ----'   (until the very moment the copy in the store is complete)
 *
 * One batch (evict_batch pages, chosen by the policy) goes through:
 *
 *     clean         dropped at once: its slot, its file or its being zero says what it was
 *     dirty         hidden, so that nobody can change it; then
 *       all zeros   dropped, if of an anonymous area
 *       else        copied to a buffer, PG_WRITEBACK, and the lock let go of for the write;
 *                   afterwards dropped unless somebody has taken it back
 *
 * A page whose write fails stays, and the policy is told to look elsewhere; when the store takes nothing more, every list is searched
 * for pages that need no store.  Only when that finds nothing, and no other thread is about to free a frame, is memory
 * exhausted.
 *
 * A slot under write belongs to the writer: the page carries its number as a token (PG_WRITEBACK and slot); whoever
 * frees or dirties the page meanwhile takes the token off, and the writer frees the slot. */
#include "mm/internal.h"

struct evict {
	struct mm *mm;
	struct task *tk;         /* to whose account; may be NULL */
	unsigned n;
	struct page *pg[SF_IOBUF_PAGES];
	uint64_t slot[SF_IOBUF_PAGES];
	int err[SF_IOBUF_PAGES];
	unsigned freed;
	bool dropped;            /* the lock was let go of */
	bool written;            /* the batch is clean only since we wrote it */
	bool wide;               /* placed pages may take along neighbours that are not of the batch */
};

uint64_t store_pages(struct machine *mc)
{
	uint64_t bytes = 0;

	for (struct store *s = mc->store; s; s = s->below)
		if (s->ops->memory)
			bytes += s->ops->memory(s);
	return (bytes + PAGE_SIZE - 1) >> PAGE_SHIFT;
}

unsigned evict_batch(struct machine *mc)
{
	uint64_t n = mc->bound ? tree_share(mc) / 8 : SF_IOBUF_PAGES;

	return (unsigned)MAX(1, MIN(n, SF_IOBUF_PAGES));
}

void count_store(struct machine *mc)
{
	uint64_t bytes = store_pages(mc) << PAGE_SHIFT;

	if (bytes > 16 * PAGE_SIZE + swap_used(mc) * (PAGE_SIZE / 64)) /* more than a table of what lies elsewhere */
		swap_seen_in_memory(mc);
	WRITE_ONCE(mc->stats->store_bytes, bytes);
	sf_peak(&mc->stats->peak_store_bytes, bytes);
	if (!mc->tree || !mc->bound)
		sf_peak(&mc->stats->peak_resident, mc->stats->resident + (bytes >> PAGE_SHIFT));
}

/* ---------------------------------------------------------------- dropping what is clean */

static void page_evicted(struct evict *ev, struct page *pg)
{
	struct mm *mm = ev->mm;
	uint64_t pfn = pg->pfn;
	uint32_t slot = pg->slot;

	pg->slot = 0; /* passes to the entry */
	page_release(mm, pg);
	pte_set(mm, pfn, slot ? pte_mk_swap(slot) : 0);
	mm->swapped += slot > 0;
	if (slot && !ev->written)
		swap_habit(mm->mc, false);
	ev->freed++;
	if (ev->tk && !ev->tk->nr_evicted++)
		ev->tk->evicted_pfn = pfn;
}

/* Port or store will not let it go now: the policy is to name others. */
static void page_refused(struct mm *mm, struct page *pg)
{
	mm->mc->policy->advise(mm->mc, pg, true);
}

static int drop_run(struct mm *mm, const struct page *pg, unsigned n)
{
	struct port *port = mm->mc->port;
	vaddr_t va = PVA(pg->pfn);

	if (pg->flags & PG_SHARED)
		return pg->flags & PG_VISIBLE ? shared_hide(mm, pg, n) : 0;
	return pg->flags & PG_VISIBLE ? port->ops->drop(port, va, n) : port->ops->drop_hidden(port, va, pg->hid, n);
}

/* Drop pages [0, n) of pgs, all clean; those that the port will not drop stay as they are. */
static void evict_run(struct evict *ev, struct page **pgs, unsigned n)
{
	if (drop_run(ev->mm, pgs[0], n)) {
		if (n > 1) {
			evict_run(ev, pgs, n / 2);
			evict_run(ev, pgs + n / 2, n - n / 2);
		} else {
			page_refused(ev->mm, pgs[0]);
		}
		return;
	}
	for (unsigned i = 0; i < n; i++)
		page_evicted(ev, pgs[i]);
}

/* The same for placed pages and what goes along with them.  False: they did not go. */
static bool evict_wide(struct evict *ev, const struct page *pg, unsigned n)
{
	struct mm *mm = ev->mm;
	uint64_t lo = pg->pfn, all = n;

	place_extend(mm, pg, &lo, &all);
	if (shared_hide(mm, page_at(mm, lo), all))
		return false;
	for (uint64_t i = 0; i < all; i++)
		page_evicted(ev, page_at(mm, lo + i));
	return true;
}

/* Drop the clean ones; the others are left in ev->pg, sorted. */
static unsigned evict_clean(struct evict *ev)
{
	struct page *clean[SF_IOBUF_PAGES];
	unsigned nc = 0, nd = 0, before = ev->freed;

	for (unsigned i = 0; i < ev->n; i++) {
		struct page *pg = ev->pg[i];

		if (!page_evictable(pg))
			continue;
		if (page_clean(pg))
			clean[nc++] = pg;
		else
			ev->pg[nd++] = pg;
	}
	ev->n = nd;
	pages_sort(clean, nc);
	for (unsigned i = 0, run; i < nc; i += run) {
		run = pages_run(clean + i, nc - i);
		if (!(clean[i]->flags & (PG_VISIBLE | PG_HIDDEN)))
			continue; /* went along with another */
		if (!ev->wide || !page_placed(clean[i]) || clean[i]->flags & PG_HIDDEN || !evict_wide(ev, clean[i], run))
			evict_run(ev, clean + i, run);
	}
	return ev->freed - before;
}

/* The same for pages that were clean before we came. */
static unsigned drop_clean(struct evict *ev)
{
	unsigned n = evict_clean(ev);

	sf_count(&ev->mm->mc->stats->pages_dropped, n);
	return n;
}

/* ---------------------------------------------------------------- writing what is dirty */

static bool all_zero(const void *page)
{
	const uint64_t *w = page;

	for (unsigned i = 0; i < PAGE_SIZE / 8; i += 8)
		if (w[i] | w[i + 1] | w[i + 2] | w[i + 3] | w[i + 4] | w[i + 5] | w[i + 6] | w[i + 7])
			return false;
	return true;
}

/* Hide what is visible; what stays visible leaves the batch. */
static void evict_hide(struct evict *ev)
{
	unsigned k = 0;

	pages_hide(ev->mm, ev->pg, ev->n);
	for (unsigned i = 0; i < ev->n; i++)
		if (ev->pg[i]->flags & PG_HIDDEN)
			ev->pg[k++] = ev->pg[i];
		else
			page_refused(ev->mm, ev->pg[i]);
	ev->n = k;
	pages_sort(ev->pg, k);
}

/* Contents of hidden pages [0, n), one run, to buf. */
static int copy_run(struct mm *mm, struct page **pgs, unsigned n, char *buf)
{
	struct port *port = mm->mc->port;
	const void *p;

	if (n == 1 && port->ops->peek && (p = port->ops->peek(port, PVA(pgs[0]->pfn), pgs[0]->hid))) {
		memcpy(buf, p, PAGE_SIZE);
		return 0;
	}
	return port->ops->read_hidden(port, PVA(pgs[0]->pfn), pgs[0]->hid, n, buf);
}

static void run_refused(struct mm *mm, struct page **pgs, unsigned n)
{
	while (n--)
		page_refused(mm, *pgs++);
}

/* Copy the batch to buf.  Pages that turn out to be all zero are marked so and go to zero[]; what cannot be read leaves the batch. */
static unsigned evict_copy(struct evict *ev, char *buf, struct page **zero)
{
	unsigned k = 0, nz = 0;

	for (unsigned i = 0, run; i < ev->n; i += run) {
		char *to = buf + k * PAGE_SIZE;

		run = pages_run(ev->pg + i, ev->n - i);
		if (copy_run(ev->mm, ev->pg + i, run, to)) {
			run_refused(ev->mm, ev->pg + i, run);
			continue;
		}
		for (unsigned j = 0; j < run; j++) {
			struct page *pg = ev->pg[i + j];

			if (pg->flags & PG_ANON && all_zero(to + j * PAGE_SIZE)) {
				pg->flags = (uint16_t)((pg->flags & ~PG_DIRTY) | PG_ZERO);
				zero[nz++] = pg;
				continue;
			}
			if (buf + k * PAGE_SIZE != to + j * PAGE_SIZE)
				memmove(buf + k * PAGE_SIZE, to + j * PAGE_SIZE, PAGE_SIZE);
			ev->pg[k++] = pg;
		}
	}
	ev->n = k;
	return nz;
}

/* Slots for the batch, as long a run as there is; the batch shrinks to what has slots. */
static void evict_slots(struct evict *ev)
{
	struct machine *mc = ev->mm->mc;
	unsigned i = 0;

	while (i < ev->n) {
		uint64_t slot;
		unsigned got = swap_alloc(mc, ev->n - i, &slot);

		if (!got) {
			swap_warn(mc, SWAP_FULL);
			break;
		}
		for (unsigned j = 0; j < got; j++, i++) {
			ev->slot[i] = slot + j;
			ev->pg[i]->slot = (uint32_t)(slot + j);
			ev->pg[i]->flags |= PG_WRITEBACK;
		}
	}
	ev->n = i;
	mc->writeback += i;
	mc->inflight += i;
}

static unsigned slot_run(const struct evict *ev, unsigned from)
{
	unsigned n = 1;

	while (from + n < ev->n && ev->slot[from + n] == ev->slot[from] + n)
		n++;
	return n;
}

/* One run of slots; if the store refuses it, page by page, until it is full: one bad slot keeps one page back, not its neighbours.  Not locked. */
static void write_run(struct evict *ev, unsigned from, unsigned n, const char *buf)
{
	struct machine *mc = ev->mm->mc;
	int err = swap_write(mc, ev->slot[from], n, buf + from * PAGE_SIZE);
	bool single = err && n > 1;

	for (unsigned i = from; i < from + n; i++) {
		if (single)
			err = swap_write(mc, ev->slot[i], 1, buf + i * PAGE_SIZE);
		if (err == -ENOSPC)
			single = false;
		if (err)
			swap_warn(mc, err == -ENOSPC ? SWAP_FULL : SWAP_WRITE_ERROR);
		ev->err[i] = err;
	}
}

/* The page is still ours to finish: nobody has freed it or made it writable. */
static bool still_ours(const struct page *pg, uint64_t slot)
{
	return pg->flags & PG_WRITEBACK && pg->slot == slot;
}

/* Written pages are clean now; those that nobody took back meanwhile are left in the batch, to be dropped. */
static void evict_finish(struct evict *ev)
{
	struct machine *mc = ev->mm->mc;
	unsigned k = 0;

	mc->writeback -= ev->n;
	mc->inflight -= ev->n;
	for (unsigned i = 0; i < ev->n; i++) {
		struct page *pg = ev->pg[i];

		if (!still_ours(pg, ev->slot[i])) {
			swap_free(mc, ev->slot[i], 1);
			continue;
		}
		pg->flags &= (uint16_t)~PG_WRITEBACK;
		if (ev->err[i]) {
			pg->slot = 0;
			swap_free(mc, ev->slot[i], 1);
			page_refused(ev->mm, pg);
			continue;
		}
		pg->flags &= (uint16_t)~PG_DIRTY;
		if (pg->flags & PG_HIDDEN)
			ev->pg[k++] = pg;
	}
	ev->n = k;
}

/* How many more pages may be on their way: all that memory tiers add must fit what frames_free keeps back. */
static unsigned writeback_room(struct machine *mc)
{
	uint64_t most = (swap_in_memory(mc) ? 1u : 4u) * evict_batch(mc);

	return mc->writeback < most ? (unsigned)(most - mc->writeback) : 0;
}

/* The batch is dirty.  Lets go of the lock to write it. */
static void evict_dirty(struct evict *ev, char *buf)
{
	struct mm *mm = ev->mm;
	struct evict zero = { .mm = mm, .tk = ev->tk };

	ev->n = MIN(ev->n, writeback_room(mm->mc));
	evict_hide(ev);
	zero.n = evict_copy(ev, buf, zero.pg);
	drop_clean(&zero);
	ev->freed += zero.freed;
	evict_slots(ev);
	if (!ev->n)
		return;
	mm_unlock(mm);
	for (unsigned i = 0, run; i < ev->n; i += run) {
		run = slot_run(ev, i);
		write_run(ev, i, run, buf);
	}
	mm_lock(mm);
	ev->dropped = true;
	evict_finish(ev);
	ev->written = true;
	evict_clean(ev);
	count_store(mm->mc);
}

/* ---------------------------------------------------------------- batches */

static bool page_recent(const struct task *tk, const struct page *pg)
{
	for (unsigned i = 0; i < TASK_RECENT; i++)
		if (tk->recent[i] == pg->pfn)
			return true;
	return false;
}

static struct page *any_older(struct machine *mc, const struct task *tk)
{
	for (unsigned l = NR_LISTS; l--;)
		for (struct page *pg = list_tail(mc, l); pg; pg = list_prev(mc, pg))
			if (page_evictable(pg) && !page_recent(tk, pg))
				return pg;
	return NULL;
}

/* An instruction may need several pages at once.  Those that the thread has just got are no victims of its next fault while there are
 * others, or it would not get on: with few frames a batch is all there are, and what comes along with one page fills them. */
static void spare_recent(struct evict *ev)
{
	struct page *pg;
	unsigned k = 0;

	for (unsigned i = 0; i < ev->n; i++)
		if (!page_recent(ev->tk, ev->pg[i]))
			ev->pg[k++] = ev->pg[i];
	if (!k && ev->n && (pg = any_older(ev->mm->mc, ev->tk)))
		ev->pg[k++] = pg;
	if (k)
		ev->n = k;
}

static void pick_victims(struct evict *ev)
{
	struct machine *mc = ev->mm->mc;

	ev->n = mc->policy->victims(mc, ev->pg, evict_batch(mc));
	if (ev->tk)
		spare_recent(ev);
}

/* The dirty rest of a batch: some to the store, some home.  The lock is let go of. */
static void evict_out(struct evict *ev, char *buf)
{
	struct machine *mc = ev->mm->mc;
	struct home_batch hb = { .n = 0 };

	if (mc->homes)
		home_take(ev->mm, ev->pg, &ev->n, &hb);
	if (!swap_full(mc))
		evict_dirty(ev, buf);
	else
		ev->n = 0;
	if (hb.n) {
		ev->freed += home_write(ev->mm, &hb, buf, true);
		ev->dropped = true;
	}
}

/* One batch by the policy's choice.  ev->freed says what came of it. */
static void evict_one_batch(struct evict *ev)
{
	struct machine *mc = ev->mm->mc;

	ev->wide = true;
	balance(ev->mm);
	pick_victims(ev);

	unsigned picked = ev->n;

	if (drop_clean(ev) * 4 >= picked || !writeback_room(mc))
		return;
	if (swap_full(mc)) {
		if (mc->swap)
			swap_warn(mc, SWAP_FULL);
		if (!mc->homes)
			return;
	}
	mm_unlock(ev->mm);
	char *buf = iobuf_get(mc);
	mm_lock(ev->mm);
	ev->dropped = true;
	if (!frames_free(mc) || !ev->freed) { /* nobody was faster */
		pick_victims(ev);
		drop_clean(ev);
		evict_out(ev, buf);
	}
	iobuf_put(mc, buf);
	page_wake(ev->mm);
}

/* The store takes nothing more: any page, wherever it stands, that needs no store. */
static void evict_scan(struct evict *ev)
{
	struct machine *mc = ev->mm->mc;

	for (unsigned l = 0; l < NR_LISTS && !ev->freed; l++) {
		struct page *pg = list_tail(mc, l);

		while (pg && !ev->freed) {
			for (ev->n = 0; pg && ev->n < evict_batch(mc); pg = list_prev(mc, pg))
				if (page_evictable(pg) && page_clean(pg))
					ev->pg[ev->n++] = pg;
			drop_clean(ev);
		}
	}
}

unsigned reclaim_own(struct mm *mm)
{
	struct evict ev = { .mm = mm };

	evict_one_batch(&ev);
	if (!ev.freed)
		evict_scan(&ev);
	return ev.freed;
}

uint64_t stores_sink(struct machine *mc, uint64_t pages)
{
	uint64_t n = 0;

	for (struct store *s = mc->inflight ? NULL : mc->store; s; s = s->below)
		if (s->ops->sink)
			n += s->ops->sink(s, pages << PAGE_SHIFT);
	count_store(mc);
	return n;
}

void stores_relax(struct machine *mc)
{
	if (!swap_used(mc))
		stores_sink(mc, 1u << 30);
}

void reclaim_clean(struct mm *mm)
{
	struct machine *mc = mm->mc;

	for (unsigned l = 0; l < NR_LISTS; l++) {
		struct page *pg = list_tail(mc, l);

		while (pg) {
			struct evict ev = { .mm = mm };

			for (; pg && ev.n < SF_IOBUF_PAGES; pg = list_prev(mc, pg))
				if (page_evictable(pg) && page_clean(pg))
					ev.pg[ev.n++] = pg;
			drop_clean(&ev);
		}
	}
}

#define ASK_COLD_NS 1000000u

/* We have less than our share, or there may be somebody who does not use what he has: others had better give.  Lets go of the lock. */
static bool others_first(struct mm *mm, unsigned asked, bool *dropped)
{
	struct machine *mc = mm->mc;

	if (!mc->tree)
		return false;
	uint64_t now = mc->port->ops->now(mc->port);
	bool poor = mc->used <= tree_share(mc) && asked <= 3;

	if (!poor && now - mc->asked_ns < ASK_COLD_NS)
		return false;
	mc->asked_ns = now;
	mm_unlock(mm);
	bool any = tree_ask(mc, SF_IOBUF_PAGES, !poor);

	mm_lock(mm);
	*dropped = true;
	return any;
}

#define BEG_TIMES 200u
#define BEG_NS 2000000000ull
#define BEG_LONG_NS 15000000000ull /* while others have been asked and had no processor yet to answer */

bool others_at_last(struct mm *mm, struct begging *b, bool *dropped)
{
	struct machine *mc = mm->mc;
	uint32_t given = mc->tree ? READ_ONCE(mc->tree->given) : 0;

	uint64_t now = mc->port->ops->now(mc->port);

	if (given != b->given || !b->since)
		*b = (struct begging){ 0, given, now };
	if (!mc->tree)
		return false;
	if (++b->vain > BEG_TIMES && now - b->since > (tree_answers_due(mc) ? BEG_LONG_NS : BEG_NS))
		return false;
	mm_unlock(mm);
	bool any = tree_ask(mc, SF_IOBUF_PAGES, false);

	if (!any) /* all have just said no: one of them may have finished something meanwhile */
		mc->tree_ops->wait(&mc->tree->freed, READ_ONCE(mc->tree->freed), 5000000);
	mm_lock(mm);
	*dropped = true;
	return true;
}

/* Others may have nothing to give us because they live on as little: while they get on, and swap has room, memory is slow but not exhausted. */
static void got_on(struct machine *mc)
{
	if (mc->tree && !swap_full(mc))
		__atomic_fetch_add(&mc->tree->given, 1, __ATOMIC_RELAXED);
}

unsigned reclaim_for(struct mm *mm, struct task *tk, unsigned want, bool *dropped)
{
	struct machine *mc = mm->mc;
	unsigned freed = 0, idle = 0, asked = 0;
	struct begging begging = { 0, 0, 0 };

	SF_MISUSE(!mm_is_locked(mm));
	while (frames_free(mc) < want) {
		struct evict ev = { .mm = mm, .tk = tk };

		if (others_first(mm, asked, dropped)) {
			asked++;
			continue;
		}
		evict_one_batch(&ev); /* what has failed so far was perhaps for a passing reason */
		if (!ev.freed && idle >= 8)
			evict_scan(&ev);
		*dropped |= ev.dropped;
		freed += ev.freed;
		if (ev.freed) {
			idle = 0;
			got_on(mc);
		} else if (mc->inflight) {
			page_wait(mm); /* another thread is about to free or to finish some */
			*dropped = true;
		} else if (idle >= 8 && stores_sink(mc, SF_IOBUF_PAGES)) {
			freed++; /* what a memory tier held is in the store below it now */
		} else if (idle++ >= 8 && !others_at_last(mm, &begging, dropped)) {
			break;
		}
	}
	return freed;
}

void reclaim_clean_batch(struct mm *mm, struct task *tk)
{
	struct evict ev = { .mm = mm, .tk = tk, .wide = true };

	balance(mm);
	pick_victims(&ev);
	drop_clean(&ev);
}

unsigned reclaim(struct mm *mm, unsigned want)
{
	bool dropped = false;

	return reclaim_for(mm, NULL, want, &dropped);
}

/* MADV_PAGEOUT.  Pages that are busy, pinned or locked stay. */
void reclaim_range(struct mm *mm, vaddr_t start, vaddr_t end)
{
	struct machine *mc = mm->mc;
	uint64_t pfn = PFN(start), last = PFN(end);

	SF_MISUSE(!mm_is_locked(mm));
	while (pfn < last) {
		struct evict ev = { .mm = mm };

		mm_unlock(mm);
		char *buf = iobuf_get(mc);
		mm_lock(mm);
		for (; ev.n < evict_batch(mc) && (pfn = pte_next(mm, pfn, last)) < last; pfn++) {
			struct page *pg = page_at(mm, pfn);

			if (pg && page_evictable(pg))
				ev.pg[ev.n++] = pg;
		}
		drop_clean(&ev);
		evict_out(&ev, buf);
		iobuf_put(mc, buf);
		page_wake(mm);
	}
}

int machine_set_bound(struct machine *mc, uint64_t pages)
{
	struct mm *mm = mc->mm;
	uint64_t old;
	int err = 0;

	if (pages && pages < MACHINE_MIN_PAGES)
		return -EINVAL;
	mm_lock(mm);
	old = mc->bound;
	if (pages && mc->pinned + mc->mlocked > pages)
		err = -EBUSY;
	else
		mc->bound = pages;
	while (!err && pages && mc->used + store_pages(mc) > pages)
		if (!reclaim(mm, 1) && mc->used + store_pages(mc) > mc->bound)
			err = -ENOMEM;
	if (err)
		mc->bound = old;
	WRITE_ONCE(mc->stats->bound_pages, mc->bound);
	mm_unlock(mm);
	return err;
}

/* ---------------------------------------------------------------- hiding ahead of need */

/* Called with each batch that is evicted, so that hiding is batched as well. */
void balance(struct mm *mm)
{
	struct machine *mc = mm->mc;
	struct page *pgs[64];
	unsigned n, rounds = 0;

	do {
		n = mc->policy->cold(mc, pgs, ARRAY_SIZE(pgs));
		if (n)
			pages_hide(mm, pgs, n);
	} while (n == ARRAY_SIZE(pgs) && ++rounds < 8);
}

/* Hide some visible pages, cold or not; pages hidden. */
static unsigned hide_some(struct mm *mm)
{
	struct machine *mc = mm->mc;
	struct page *pgs[64];
	unsigned n = mc->policy->cold(mc, pgs, ARRAY_SIZE(pgs));

	if (!n)
		n = mc->policy->victims(mc, pgs, ARRAY_SIZE(pgs));
	return n ? pages_hide(mm, pgs, n) : 0;
}

void relieve_maps(struct mm *mm)
{
	struct port *port = mm->mc->port;

	if (unlikely(port->nr_maps > READ_ONCE(mm->mc->stats->host_maps_peak)))
		sf_peak(&mm->mc->stats->host_maps_peak, port->nr_maps);
	uint64_t many = port->max_maps / 8 * 7;

	if (likely(!many || port->nr_maps <= many) || port->nr_maps < mm->mc->maps_enough)
		return;
	hide_some(mm);
	/* areas have them, not pages: do not hide with each fault what the one before brought */
	mm->mc->maps_enough = port->nr_maps > many ? port->nr_maps + many / 64 : 0;
}

bool port_relieve(struct mm *mm, struct task *tk)
{
	struct evict ev = { .mm = mm, .tk = tk };

	if (hide_some(mm))
		return true;
	evict_one_batch(&ev);
	return ev.freed;
}

/* ---------------------------------------------------------------- reference tracing
 *
 * With mc->watch set, only so many pages are visible at a time: each touch of another resident page is a soft fault. */

static bool watch_resize(struct machine *mc)
{
	uint32_t len = mc->watch;
	uint64_t *ring;

	if (mc->watch_len == len)
		return true;
	ring = kmalloc(mc, len * sizeof(*ring));
	if (!ring)
		return false;
	if (mc->watch_ring)
		kfree(mc, mc->watch_ring);
	mc->watch_ring = ring;
	mc->watch_len = len;
	mc->watch_at = 0;
	return true;
}

void watch_visible(struct mm *mm, uint64_t pfn)
{
	struct machine *mc = mm->mc;

	if (likely(!mc->watch) || !watch_resize(mc))
		return;
	uint64_t old = mc->watch_ring[mc->watch_at]; /* 0 at first: kmalloc clears.  NOLINT(clang-analyzer-core.uninitialized.Assign) */
	struct page *pg = old && old != pfn ? page_at(mm, old) : NULL;

	mc->watch_ring[mc->watch_at] = pfn;
	mc->watch_at = (mc->watch_at + 1) % mc->watch_len;
	if (pg && pg->flags & PG_VISIBLE && page_evictable(pg))
		pages_hide(mm, &pg, 1);
}
