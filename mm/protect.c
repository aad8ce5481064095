/* SPDX-License-Identifier: MIT */
/* protect.c - visible pages of a range follow the rights of their area, or all become read-only for a snapshot
 *
 * Pages that somebody outside is touching (pinned) keep their rights until he is done: PG_DEFERRED. */
#include "mm/area.h"
#include "mm/internal.h"

struct protect {
	struct mm *mm;
	struct vm_area *area;
	bool hide;        /* nothing may be touched, or a shared mapping: faults bring it back with the new rights */
	bool read_only;
	unsigned granted; /* calls spent on giving writability back */
	int err;
};

/* The permission that this page should change to now, 0 to leave it. */
static unsigned protect_wants(const struct protect *p, const struct page *pg)
{
	if (!(pg->flags & PG_VISIBLE) || pg->flags & PG_SHARED)
		return 0;
	if (p->read_only)
		return pg->flags & PG_WRITABLE ? PT_R : 0;
	if ((pg->flags & (PG_DIRTY | PG_WRITABLE | PG_WRITEBACK | PG_LAZYFREE)) == PG_DIRTY && area_may_write(p->area, p->mm, pg->pfn))
		return PT_R | PT_W;
	return 0;
}

static void protect_run(struct protect *p, uint64_t pfn, uint64_t n, unsigned prot)
{
	struct port *port = p->mm->mc->port;

	if (prot & PT_W && (n < 2 || ++p->granted > 4))
		return; /* faults will do it lazily */
	int err = port->ops->protect(port, PVA(pfn), n, prot);

	if (err) {
		if (!(prot & PT_W))
			p->err = err;
		return;
	}
	for (uint64_t i = 0; i < n; i++) {
		struct page *pg = page_at(p->mm, pfn + i);

		if (prot & PT_W)
			pg->flags |= PG_WRITABLE;
		else
			pg->flags &= (uint16_t)~PG_WRITABLE;
	}
}

/* Pages that somebody outside is writing to now keep their rights until he is done. */
static bool protect_deferred(const struct protect *p, struct page *pg)
{
	if (!pg->pins || !(pg->flags & PG_VISIBLE) || !(p->hide || p->read_only))
		return false;
	pg->flags |= PG_DEFERRED;
	return true;
}

static void protect_hide(struct protect *p, uint64_t pfn, uint64_t end)
{
	struct page *pgs[64];

	while (pfn < end) {
		unsigned n = 0;

		for (; n < ARRAY_SIZE(pgs) && (pfn = pte_next(p->mm, pfn, end)) < end; pfn++) {
			struct page *pg = page_at(p->mm, pfn);

			if (pg && pg->flags & PG_VISIBLE && !(pg->flags & PG_BUSY) && !protect_deferred(p, pg))
				pgs[n++] = pg;
		}
		if (n && pages_hide(p->mm, pgs, n) < n)
			p->err = -ENOMEM;
	}
}

static void protect_visible(struct protect *p, uint64_t pfn, uint64_t end)
{
	while ((pfn = pte_next(p->mm, pfn, end)) < end) {
		struct page *pg = page_at(p->mm, pfn);
		unsigned prot = pg && !protect_deferred(p, pg) ? protect_wants(p, pg) : 0;
		uint64_t n = 1;

		for (; prot && pfn + n < end; n++) {
			pg = page_at(p->mm, pfn + n);
			if (!pg || protect_deferred(p, pg) || protect_wants(p, pg) != prot)
				break;
		}
		if (prot)
			protect_run(p, pfn, n, prot);
		pfn += n;
	}
}

int protect_range(struct mm *mm, struct vm_area *v, vaddr_t start, vaddr_t end)
{
	struct protect p = {
		.mm = mm, .area = v,
		.hide = !(v->flags & VM_PROT) || area_is_hosted(v),
		.read_only = !(v->flags & VM_WRITE),
	};

	SF_MISUSE(!mm_is_locked(mm));
	if (p.hide)
		protect_hide(&p, PFN(start), PFN(end));
	else
		protect_visible(&p, PFN(start), PFN(end));
	return p.err;
}

#define SPAN_GAP 64u /* pages in between that cost less than another call */

/* [from, to) at once, if the port can. */
static bool protect_span(struct protect *p, uint64_t from, uint64_t to)
{
	struct mm *mm = p->mm;
	struct port *port = mm->mc->port;

	if (!port->ops->write_protect || to - from < 2 || port->ops->write_protect(port, PVA(from), to - from))
		return false;
	for (; (from = pte_next(mm, from, to)) < to; from++) {
		struct page *pg = page_at(mm, from);

		if (pg)
			pg->flags &= (uint16_t)~PG_WRITABLE;
	}
	return true;
}

int protect_writes(struct mm *mm, vaddr_t start, vaddr_t end)
{
	struct protect p = { .mm = mm, .read_only = true };
	uint64_t pfn = PFN(start), last = PFN(end), from = 0, to = 0;

	SF_MISUSE(!mm_is_locked(mm));
	for (; (pfn = pte_next(mm, pfn, last)) < last; pfn++) {
		struct page *pg = page_at(mm, pfn);

		if (!pg || !protect_wants(&p, pg))
			continue;
		if (pfn - to > SPAN_GAP || to - from >= 4096) {
			if (to > from && !protect_span(&p, from, to))
				protect_visible(&p, from, to);
			from = pfn;
		}
		to = pfn + 1;
	}
	if (to > from && !protect_span(&p, from, to))
		protect_visible(&p, from, to);
	return p.err;
}

void page_apply_deferred(struct mm *mm, struct page *pg)
{
	struct vm_area *v = vma_lookup(mm, NULL, PVA(pg->pfn));

	pg->flags &= (uint16_t)~PG_DEFERRED;
	if (v)
		(void)protect_range(mm, v, PVA(pg->pfn), PVA(pg->pfn + 1));
}
