/* SPDX-License-Identifier: MIT */
/* snap_priv.h - what snap.c and snap_back.c share.  Everything is called with the mm lock held. */
#ifndef SF_SNAP_PRIV_H
#define SF_SNAP_PRIV_H

#include "mm/snap.h"
#include "mm/area.h"
#include "mm/internal.h"

struct snap_line {
	struct page_guard guard;
	struct mm *mm;
	uint64_t lo, pages;           /* page number, count */
	struct snap *oldest, *newest;
	void *scratch;                /* a page, for hidden ones that have no address */
};

struct snap {
	struct page_guard guard;      /* of the shadow: nobody writes there */
	struct snap_line *line;
	struct snap *older, *newer;
	uint64_t base;                /* page number of the shadow */
	bool dying;                   /* dropped in part */
	void *owner;
};

bool snap_saved(const struct snap *s, uint64_t i);
/* The generation that has page i of s; NULL: the range itself. */
struct snap *snap_holder(struct snap *s, uint64_t i);
/* The first page at or after from that was saved in s, or end. */
uint64_t snap_next_saved(const struct snap *s, uint64_t from, uint64_t end);
/* Absent pages of the range are zeros. */
bool snap_absent_is_zero(const struct snap_line *l, uint64_t i);
/* Where the contents of a page in memory can be read (until the next call), NULL if they cannot.  Busy pages have none. */
const void *snap_contents(struct snap_line *l, const struct page *pg);
/* A page that is in memory and not busy, or NULL and *ret_res says what to answer. */
struct page *snap_settled(struct mm *mm, struct task *tk, uint64_t pfn, unsigned *ret_res);
/* A frame and an entry for page pfn.  Afterwards everything must be looked at anew, even if it is there: other pages may have gone for it. */
struct page *snap_frame(struct mm *mm, struct task *tk, uint64_t pfn, unsigned *ret_res);
/* What came in around pfn goes out of sight again if nothing may be touched there; before anybody else has the lock. */
void snap_conceal(struct mm *mm, uint64_t pfn);
/* Page pfn, absent, becomes pg with these contents (NULL: zeros). */
int snap_put_page(struct mm *mm, struct page *pg, uint64_t pfn, const void *src, unsigned flags);
/* Only a copy is lost that a reader has made; the page itself is absent then. */
void snap_drop_copy(struct snap *s, uint64_t i);
/* Entry i of the shadow.  VM_FAULT_OOM or 0. */
unsigned snap_save_mark(struct snap *s, uint64_t i, pte_t e);
int snap_errno(struct task *tk, unsigned res);

#endif
