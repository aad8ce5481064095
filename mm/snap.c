/* SPDX-License-Identifier: MIT */
/* snap.c - snapshots of a range: protect, and save before the first write
 *
 *     oldest ──► … ──► newest ──► the range itself          one line of generations
 *        │               │             │
 *     shadow area     shadow area    areas with the line's guard
 *
 * A snapshot is an area of its own, its shadow, as long as the range and absent at first.  A page of it holds what the range had there, if that
 * is not what the next newer generation has: page i of a snapshot is the first page i that was *saved* in it or in a newer one, else that of the
 * range itself.  Saved pages are ordinary pages: they count against the bound and are evicted to the store.
 *
 * Taking one write-protects the range.  The guard (before_write) then sees the first write to each page and saves it to the newest:
 *     page of the range                   saved by
 *     absent, anonymous                   a mark, PTE_BLANK: zeros
 *     never written, anonymous            the same
 *     unchanged since it was in the store giving its slot away
 *     else in memory                      copying it
 *     else (in the store, at home)        bringing it in first
 *
 * Entries of a shadow:
 *     0                  not saved: look in newer ones
 *     present, PG_FILE   a copy for readers in place (do_snap_page); clean, so it can go at any time
 *     any other          saved.  PG_ANON stays off, for a saved page of zeros must not become 0
 *
 * Dropping one hands what it saved to the next older one, if that has nothing of its own there, by moving entries.
 *
 * A page that is being read in for a write while a snapshot is taken arrives read-only (run_fill asks may_write), and the
 * write is then seen as any other.
 *
 * Locks: everything is under the mm lock.  What lets go of it (a frame is needed, I/O) is followed by looking anew. */
#include "mm/snap_priv.h"

static unsigned before_write(struct page_guard *g, struct fault_ctx *fc);
static bool may_write(const struct page_guard *g, struct mm *mm, uint64_t pfn);
static unsigned shadow_before_write(struct page_guard *g, struct fault_ctx *fc);
static bool shadow_may_write(const struct page_guard *g, struct mm *mm, uint64_t pfn);

/* ---------------------------------------------------------------- who has what */

static bool is_line(const struct page_guard *g)
{
	return g && g->before_write == before_write;
}

static bool reader_copy(struct mm *mm, pte_t e)
{
	return e & PTE_PRESENT && frame_page(mm->mc, pte_frame(e))->flags & PG_FILE;
}

bool snap_saved(const struct snap *s, uint64_t i)
{
	pte_t e = pte_get(s->line->mm, s->base + i);

	return e && !reader_copy(s->line->mm, e);
}

struct snap *snap_holder(struct snap *s, uint64_t i)
{
	while (s && !snap_saved(s, i))
		s = s->newer;
	return s;
}

static uint64_t holder_pfn(struct snap *s, uint64_t i)
{
	struct snap *h = snap_holder(s, i);

	return h ? h->base + i : s->line->lo + i;
}

static struct vm_area *area_at(struct mm *mm, uint64_t pfn)
{
	return vma_lookup(mm, NULL, PVA(pfn));
}

bool snap_absent_is_zero(const struct snap_line *l, uint64_t i)
{
	const struct vm_area *v = area_at(l->mm, l->lo + i);

	return !v || v->type == &vm_anon;
}

/* ---------------------------------------------------------------- contents */

const void *snap_contents(struct snap_line *l, const struct page *pg)
{
	struct port *port = l->mm->mc->port;
	vaddr_t va = PVA(pg->pfn);
	const void *p;

	if (pg->flags & PG_VISIBLE)
		return port->ops->view(port, va);
	if (port->ops->peek && (p = port->ops->peek(port, va, pg->hid)))
		return p;
	return port->ops->read_hidden(port, va, pg->hid, 1, l->scratch) ? NULL : l->scratch;
}

void snap_conceal(struct mm *mm, uint64_t pfn)
{
	struct vm_area *v = area_at(mm, pfn);

	if (v && !(v->flags & VM_PROT))
		(void)protect_range(mm, v, MAX(v->start, PVA(pfn - MIN(pfn, MAX_WINDOW))), MIN(v->end, PVA(pfn + MAX_WINDOW)));
}

/* Bring a page in, as a read would.  VM_FAULT_RETRY: look again; or VM_FAULT_OOM, VM_FAULT_SIGBUS. */
static unsigned bring(struct mm *mm, struct task *tk, uint64_t pfn)
{
	struct fault_ctx fc = { .mm = mm, .task = tk, .area = area_at(mm, pfn), .addr = PVA(pfn), .pfn = pfn };

	if (!fc.area)
		return VM_FAULT_SIGBUS;
	unsigned res = handle_mm_fault(&fc);

	snap_conceal(mm, pfn);
	return res & VM_FAULT_ERROR ? res : VM_FAULT_RETRY | (res & VM_FAULT_MAJOR);
}

struct page *snap_settled(struct mm *mm, struct task *tk, uint64_t pfn, unsigned *ret_res)
{
	struct page *pg = page_at(mm, pfn);

	if (pg && !(pg->flags & PG_BUSY))
		return pg;
	if (pg) {
		page_wait(mm);
		*ret_res = VM_FAULT_RETRY;
	} else {
		*ret_res = pte_get(mm, pfn) & PTE_POISON ? VM_FAULT_SIGBUS : bring(mm, tk, pfn);
	}
	return NULL;
}

struct page *snap_frame(struct mm *mm, struct task *tk, uint64_t pfn, unsigned *ret_res)
{
	bool dropped = false;
	struct page *pg = page_alloc_for(mm, tk, &dropped);

	*ret_res = pg && dropped ? VM_FAULT_RETRY : VM_FAULT_OOM;
	if (pg && !dropped && pte_alloc(mm, pfn))
		return pg;
	if (pg)
		page_free(mm->mc, pg);
	return NULL;
}

int snap_put_page(struct mm *mm, struct page *pg, uint64_t pfn, const void *src, unsigned flags)
{
	struct port *port = mm->mc->port;
	int err = port->ops->fill(port, PVA(pfn), 1, src, PT_R);

	if (err)
		return err;
	pg->pfn = pfn;
	pte_set(mm, pfn, pte_mk_frame(page_frame(mm->mc, pg)));
	page_install(mm, pg, area_at(mm, pfn), flags, FILL_DEMAND);
	sf_count(&mm->mc->stats->pages_filled, 1);
	return 0;
}

/* ---------------------------------------------------------------- before the first write */

void snap_drop_copy(struct snap *s, uint64_t i)
{
	zap_range(s->line->mm, PVA(s->base + i), PVA(s->base + i + 1));
}

unsigned snap_save_mark(struct snap *s, uint64_t i, pte_t e)
{
	if (!pte_alloc(s->line->mm, s->base + i))
		return VM_FAULT_OOM;
	pte_set(s->line->mm, s->base + i, e);
	return 0;
}

/* The page is as the store has it: the slot goes to the snapshot. */
static unsigned save_slot(struct snap *s, uint64_t i, struct page *pg)
{
	unsigned res = snap_save_mark(s, i, pte_mk_swap(pg->slot));

	if (res)
		return res;
	s->line->mm->swapped++;
	pg->slot = 0;
	pg->flags |= PG_DIRTY;
	return 0;
}

static unsigned save_copy(struct snap *s, uint64_t i, struct task *tk)
{
	struct mm *mm = s->line->mm;
	unsigned res;
	struct page *mine = snap_frame(mm, tk, s->base + i, &res), *pg;

	if (!mine)
		return res;
	pg = page_at(mm, s->line->lo + i);
	if (!pg || pg->flags & PG_BUSY || pte_get(mm, s->base + i)) {
		page_free(mm->mc, mine);
		return VM_FAULT_RETRY;
	}
	const void *src = snap_contents(s->line, pg);

	if (!src || snap_put_page(mm, mine, s->base + i, src, PG_DIRTY)) {
		page_free(mm->mc, mine);
		return port_relieve(mm, tk) ? VM_FAULT_RETRY : VM_FAULT_OOM;
	}
	mm->mc->policy->advise(mm->mc, mine, false);
	return 0;
}

/* Nobody has written it since it was zeros. */
static bool never_written(const struct snap_line *l, const struct page *pg)
{
	return !(pg->flags & (PG_DIRTY | PG_WRITABLE | PG_FILE | PG_LAZYFREE)) && !pg->slot && snap_absent_is_zero(l, pg->pfn - l->lo);
}

static unsigned save_page(struct snap *s, uint64_t i, struct task *tk)
{
	struct snap_line *l = s->line;
	struct mm *mm = l->mm;
	pte_t e = pte_get(mm, l->lo + i);
	struct page *pg;
	unsigned res;

	if (e & PTE_POISON)
		return 0; /* the write fails anyhow */
	if (!e && snap_absent_is_zero(l, i))
		return snap_save_mark(s, i, PTE_BLANK);
	pg = snap_settled(mm, tk, l->lo + i, &res);
	if (!pg)
		return res;
	if (never_written(l, pg))
		return snap_save_mark(s, i, PTE_BLANK);
	if (pg->slot && !(pg->flags & (PG_DIRTY | PG_WRITEBACK | PG_LAZYFREE)))
		return save_slot(s, i, pg);
	return save_copy(s, i, tk);
}

static unsigned before_write(struct page_guard *g, struct fault_ctx *fc)
{
	struct snap_line *l = container_of(g, struct snap_line, guard);
	struct snap *s = l->newest;
	uint64_t i = fc->pfn - l->lo;
	struct page *copy;

	if (!s || snap_saved(s, i))
		return 0;
	copy = page_at(l->mm, s->base + i);
	if (!copy)
		return save_page(s, i, fc->task);
	page_taint(l->mm, copy); /* a reader's copy is as good as any */
	return 0;
}

static bool may_write(const struct page_guard *g, struct mm *mm, uint64_t pfn)
{
	const struct snap_line *l = container_of(g, struct snap_line, guard);

	return !l->newest || snap_saved(l->newest, pfn - l->lo);
}

/* ---------------------------------------------------------------- reading in place: faults in a shadow */

static unsigned shadow_before_write(struct page_guard *g, struct fault_ctx *fc)
{
	return VM_FAULT_SIGBUS;
}

static bool shadow_may_write(const struct page_guard *g, struct mm *mm, uint64_t pfn)
{
	return false;
}

/* pfn: where the contents are.  Zeros that were saved stay saved; everything else is a reader's copy. */
static unsigned shadow_fill(struct fault_ctx *fc, struct snap *s, uint64_t i)
{
	struct mm *mm = fc->mm;
	bool blank = pte_get(mm, fc->pfn) & PTE_BLANK;
	unsigned res;
	struct page *mine = snap_frame(mm, fc->task, fc->pfn, &res), *pg;
	uint64_t from = holder_pfn(s, i);
	pte_t e = pte_get(mm, from);
	const void *src = NULL;

	if (!mine)
		return res;
	pg = page_at(mm, from);
	if (pg && !(pg->flags & PG_BUSY)) {
		src = snap_contents(s->line, pg);
		res = src ? 0 : VM_FAULT_OOM;
	} else {
		res = !pg && (e & PTE_BLANK || (!e && snap_absent_is_zero(s->line, i))) ? 0 : VM_FAULT_RETRY;
	}
	if (!res && snap_put_page(mm, mine, fc->pfn, src, blank ? PG_DIRTY : PG_FILE))
		res = port_relieve(mm, fc->task) ? VM_FAULT_RETRY : VM_FAULT_OOM;
	else if (!res)
		return VM_FAULT_MINOR;
	page_free(mm->mc, mine);
	return res;
}

static unsigned do_snap_page(struct fault_ctx *fc)
{
	struct snap *s = container_of(fc->area->guard, struct snap, guard);
	uint64_t i = fc->pfn - s->base, from = holder_pfn(s, i);
	pte_t e = pte_get(fc->mm, from);
	unsigned res;

	if (from != fc->pfn && (e ? !(e & PTE_BLANK) : !snap_absent_is_zero(s->line, i)) && !snap_settled(fc->mm, fc->task, from, &res))
		return res;
	return shadow_fill(fc, s, i);
}

const struct vm_type vm_snap = { .name = "snapshot", .fault = do_snap_page };

/* ---------------------------------------------------------------- taking */

/* All of it is mapped, private, and guarded by nobody or by this line. */
static int range_good(struct mm *mm, vaddr_t start, vaddr_t end, struct page_guard **ret)
{
	vaddr_t at = start;

	for (struct vm_area *v = vma_lookup(mm, NULL, start); at < end; v = vma_next(v)) {
		if (!v || v->start > at || v->flags & VM_SHARED)
			return -EINVAL;
		if (at == start)
			*ret = v->guard;
		if (v->guard != *ret || (v->guard && !is_line(v->guard)))
			return -EINVAL;
		at = v->end;
	}
	for (uint64_t p = PFN(start); (p = pte_next(mm, p, PFN(end))) < PFN(end); p++) {
		struct page *pg = page_at(mm, p);

		if (pg && pg->pins && pg->flags & PG_WRITABLE)
			return -EBUSY;
	}
	return 0;
}

static void set_guard(struct mm *mm, uint64_t lo, uint64_t pages, struct page_guard *g)
{
	vaddr_t end = PVA(lo + pages);

	for (struct vm_area *v = find_vma_intersection(mm, PVA(lo), end); v && v->start < end; v = vma_next(v)) {
		v->guard = g;
		if (!g)
			v = vma_merge(mm, v);
	}
}

static void line_free(struct snap_line *l)
{
	struct port *port = l->mm->mc->port;

	if (l->scratch)
		port->ops->free(port, l->scratch, PAGE_SIZE);
	kfree(l->mm->mc, l);
}

static struct snap_line *line_new(struct mm *mm, uint64_t lo, uint64_t pages)
{
	struct snap_line *l = kmalloc(mm->mc, sizeof(*l));

	if (!l)
		return NULL;
	*l = (struct snap_line){ .guard = { before_write, may_write }, .mm = mm, .lo = lo, .pages = pages };
	l->scratch = mm->mc->port->ops->alloc(mm->mc->port, PAGE_SIZE);
	if (l->scratch)
		return l;
	line_free(l);
	return NULL;
}

static int shadow_make(struct snap *s)
{
	struct mm *mm = s->line->mm;
	struct port *port = mm->mc->port;
	uint64_t len = PVA(s->line->pages);
	int64_t at = get_unmapped_area(mm, 0, len);
	struct vm_area *v;

	if (at < 0)
		return -ENOMEM;
	int err = mm->nr_areas >= mm->max_areas ? -ENOMEM : port->ops->reserve(port, (vaddr_t)at, s->line->pages, false);

	if (err)
		return err;
	v = vma_alloc(mm, (vaddr_t)at, (vaddr_t)at + len, VM_READ | VM_MAYREAD | VM_NORESERVE, NULL, PFN(at));
	if (!v) {
		port->ops->release(port, (vaddr_t)at, s->line->pages);
		return -ENOMEM;
	}
	v->type = &vm_snap;
	v->guard = &s->guard;
	v->name = "[snapshot]";
	s->base = PFN(at);
	vma_insert(mm, v);
	return 0;
}

static void unlink_snap(struct snap *s)
{
	struct snap_line *l = s->line;

	*(s->older ? &s->older->newer : &l->oldest) = s->newer;
	*(s->newer ? &s->newer->older : &l->newest) = s->older;
	kfree(l->mm->mc, s);
	if (l->oldest)
		return;
	set_guard(l->mm, l->lo, l->pages, NULL);
	line_free(l);
}

static void link_snap(struct snap *s)
{
	struct snap_line *l = s->line;

	s->older = l->newest;
	*(s->older ? &s->older->newer : &l->oldest) = s;
	l->newest = s;
	set_guard(l->mm, l->lo, l->pages, &l->guard);
}

static int take_locked(struct mm *mm, vaddr_t start, vaddr_t end, struct snap **ret)
{
	struct page_guard *g = NULL;
	int err = range_good(mm, start, end, &g);
	struct snap_line *l = g ? container_of(g, struct snap_line, guard) : NULL;

	if (err)
		return err;
	if (l && (l->lo != PFN(start) || l->pages != PFN(end - start)))
		return -EINVAL;
	struct snap *s = kmalloc(mm->mc, sizeof(*s));

	if (s && !l)
		l = line_new(mm, PFN(start), PFN(end - start));
	if (!s || !l) {
		if (s)
			kfree(mm->mc, s);
		return -ENOMEM;
	}
	place_none(mm, start, end);
	*s = (struct snap){ .guard = { shadow_before_write, shadow_may_write }, .line = l };
	err = shadow_make(s);
	if (err) {
		kfree(mm->mc, s);
		if (!g)
			line_free(l);
		return err;
	}
	link_snap(s);
	err = protect_writes(mm, start, end);
	if (err) {
		SF_BUG_ON(unmap_range(mm, PVA(s->base), PVA(s->base + l->pages), true));
		unlink_snap(s);
		return err;
	}
	*ret = s;
	return 0;
}

int snap_take(struct mm *mm, struct task *tk, vaddr_t start, uint64_t len, struct snap **ret)
{
	if (!len || (start | len) & ~PAGE_MASK || !access_ok(mm, start, len))
		return -EINVAL;
	mm_lock(mm);
	int err = take_locked(mm, start, start + len, ret);

	mm_unlock(mm);
	return err;
}

/* ---------------------------------------------------------------- dropping */

/* Pages from i on that s has saved and its elder lacks; a reader's copy of the elder's is no more.  0: the page must be waited for. */
static uint64_t heir_run(struct snap *s, uint64_t i)
{
	struct mm *mm = s->line->mm;
	uint64_t n = 0;

	for (; i + n < s->line->pages && snap_saved(s, i + n) && !snap_saved(s->older, i + n); n++) {
		struct page *pg = page_at(mm, s->base + i + n);

		if (pg && (pg->flags & PG_BUSY || pg->pins))
			break;
		if (pte_get(mm, s->older->base + i + n))
			snap_drop_copy(s->older, i + n);
	}
	return n;
}

static bool pinned(struct mm *mm, uint64_t pfn)
{
	struct page *pg = page_at(mm, pfn);

	return pg && pg->pins;
}

/* Everything that the next older one would miss goes there. */
static int bequeath(struct snap *s)
{
	struct mm *mm = s->line->mm;
	uint64_t i = 0, end = s->line->pages, n;

	while ((i = pte_next(mm, s->base + i, s->base + end) - s->base) < end) {
		if (!snap_saved(s, i) || snap_saved(s->older, i)) {
			i++;
			continue;
		}
		n = heir_run(s, i);
		if (!n && pinned(mm, s->base + i))
			return -EBUSY;
		if (!n) {
			page_wait(mm);
			continue;
		}
		int err = move_range(mm, PVA(s->base + i), PVA(s->older->base + i), n * PAGE_SIZE);

		if (err && n > 1)
			err = move_range(mm, PVA(s->base + i), PVA(s->older->base + i), PAGE_SIZE);
		if (err)
			return err;
	}
	return 0;
}

int snap_drop(struct snap *s)
{
	struct snap_line *l = s->line;
	struct mm *mm = l->mm;
	int err = 0;

	mm_lock(mm);
	s->dying = true;
	if (s->older)
		err = bequeath(s);
	if (!err)
		err = unmap_range(mm, PVA(s->base), PVA(s->base + l->pages), true);
	if (!err) {
		page_wake(mm);
		unlink_snap(s);
	}
	mm_unlock(mm);
	return err;
}

/* ---------------------------------------------------------------- reading */

int snap_errno(struct task *tk, unsigned res)
{
	if (res & VM_FAULT_OOM)
		return -ENOMEM;
	return tk->error ? tk->error : -EIO;
}

/* VM_FAULT_RETRY, or what went wrong.  Locked: mm. */
static unsigned read_locked(struct snap *s, struct task *tk, uint64_t off, void *buf, uint64_t n)
{
	struct mm *mm = s->line->mm;
	uint64_t i = PFN(off), from = holder_pfn(s, i);
	pte_t e = pte_get(mm, from);
	const void *src;
	struct page *pg;
	unsigned res = 0;

	if (e & PTE_BLANK || (!e && snap_absent_is_zero(s->line, i))) {
		memset(buf, 0, n);
		return 0;
	}
	pg = snap_settled(mm, tk, from, &res);
	if (!pg)
		return res;
	src = snap_contents(s->line, pg);
	if (!src)
		return VM_FAULT_OOM;
	memcpy(buf, (const char *)src + (off & ~PAGE_MASK), n);
	return 0;
}

int snap_read(struct snap *s, struct task *tk, uint64_t off, void *buf, uint64_t n)
{
	struct mm *mm = s->line->mm;
	unsigned res;

	SF_MISUSE(!n || PFN(off) != PFN(off + n - 1) || PFN(off) >= s->line->pages);
	tk->error = 0;
	mm_lock(mm);
	do
		res = read_locked(s, tk, off, buf, n);
	while (res & VM_FAULT_RETRY);
	mm_unlock(mm);
	return res ? snap_errno(tk, res) : 0;
}

/* ---------------------------------------------------------------- differences */

uint64_t snap_next_saved(const struct snap *s, uint64_t from, uint64_t end)
{
	for (; (from = pte_next(s->line->mm, s->base + from, s->base + end) - s->base) < end; from++)
		if (snap_saved(s, from))
			break;
	return from;
}

uint64_t snap_next_diff(struct snap *s, struct snap *to, uint64_t from, uint64_t end)
{
	struct mm *mm = s->line->mm;

	mm_lock(mm);
	for (; s != to && from < end; s = s->newer)
		end = snap_next_saved(s, from, end);
	mm_unlock(mm);
	return end;
}

static uint64_t next_not_blank(struct mm *mm, uint64_t base, uint64_t from, uint64_t end)
{
	for (; (from = pte_next(mm, base + from, base + end) - base) < end; from++)
		if (!(pte_get(mm, base + from) & PTE_BLANK))
			break;
	return from;
}

uint64_t snap_next_used(struct snap *s, uint64_t from, uint64_t end)
{
	struct snap_line *l = s->line;
	struct mm *mm = l->mm;

	mm_lock(mm);
	if (snap_absent_is_zero(l, from)) {
		end = next_not_blank(mm, l->lo, from, end);
		for (; s; s = s->newer)
			end = next_not_blank(mm, s->base, from, end);
	} else {
		end = from;
	}
	mm_unlock(mm);
	return end;
}

bool snap_written(struct snap *s, uint64_t index)
{
	return snap_saved(s, index);
}

/* ---------------------------------------------------------------- looking */

void snap_set_file(struct snap *s, struct sf_file *f)
{
	struct mm *mm = s->line->mm;
	vaddr_t end = PVA(s->base + s->line->pages);

	mm_lock(mm);
	for (struct vm_area *v = find_vma_intersection(mm, PVA(s->base), end); v && v->start < end; v = vma_next(v)) {
		struct sf_file *old = v->file;

		file_get(f);
		v->file = f;
		file_put(old);
	}
	mm->seq++;
	mm_unlock(mm);
}

void snap_set_owner(struct snap *s, void *owner)
{
	s->owner = owner;
}

void *snap_owner(const struct snap *s)
{
	return s->owner;
}

vaddr_t snap_base(const struct snap *s)
{
	return PVA(s->base);
}

uint64_t snap_pages(const struct snap *s)
{
	return s->line->pages;
}

bool snap_before(const struct snap *s, const struct snap *newer)
{
	for (; s; s = s->newer)
		if (s == newer)
			return true;
	return false;
}

struct snap *snap_newest(const struct snap *s)
{
	return s->line->newest;
}

/* A page that is writable has been saved; saved pages are read-only and will not be taken for zeros. */
void snap_check(struct mm *mm, vaddr_t start)
{
	mm_lock(mm);
	struct vm_area *v = vma_lookup(mm, NULL, start);
	struct snap_line *l = v && is_line(v->guard) ? container_of(v->guard, struct snap_line, guard) : NULL;
	struct snap *prev = NULL;

	for (uint64_t i = 0; l && i < l->pages; i++) {
		struct page *pg = page_at(mm, l->lo + i);

		SF_ASSERT(!pg || !(pg->flags & PG_WRITABLE) || snap_saved(l->newest, i));
	}
	for (struct snap *s = l ? l->oldest : NULL; s; prev = s, s = s->newer) {
		SF_ASSERT(s->older == prev && s->line == l);
		for (uint64_t i = 0; i < l->pages; i++) {
			struct page *pg = page_at(mm, s->base + i);

			SF_ASSERT(!pg || !(pg->flags & (PG_WRITABLE | PG_ANON)));
			SF_ASSERT(!pg || pg->flags & PG_BUSY || !(pg->flags & PG_FILE) || !(pg->flags & PG_DIRTY));
		}
	}
	SF_ASSERT(!l || l->newest == prev);
	mm_unlock(mm);
}
