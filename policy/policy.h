/* SPDX-License-Identifier: MIT */
/* policy.h - which page goes next: one table of operations, one file a policy
 *
 * The host's page tables have no accessed bit that we can read, so references are seen only as faults.  A policy may ask
 * for visible pages to be hidden (cold); a touch of a hidden page is a soft fault, which the policy hears as touch().
 * What stays hidden and untouched is what victims() should name.
 *
 * Every resident page is on exactly one of the machine's NR_LISTS page lists, which belong to the policy; page->list says
 * on which.  All methods are called with the mm lock held and only edit lists.  Pages that are pinned, locked (mlock) or busy may stand on lists;
 * a policy passes over them with page_evictable().
 *
 * To add a policy: write policy/NAME.c with one const struct policy_ops, name it in policy_find (policy/policy.c) and meson.build. */
#ifndef SF_POLICY_H
#define SF_POLICY_H

#include "mm/base.h"

struct machine;
struct page;

enum fill_kind {
	FILL_DEMAND, /* the page that was touched */
	FILL_AHEAD,  /* a neighbour that came along; nobody has touched it yet */
};

struct policy_ops {
	const char *name;
	/* A page became resident (visible); put it on a list. */
	void (*insert)(struct machine *mc, struct page *pg, enum fill_kind how);
	/* A hidden page was touched and is visible again. */
	void (*touch)(struct machine *mc, struct page *pg);
	/* The page is no longer resident; take it off its list. */
	void (*remove)(struct machine *mc, struct page *pg);
	/* Advice: hot false = MADV_COLD, next to go. */
	void (*advise)(struct machine *mc, struct page *pg, bool hot);
	/* Up to max visible, evictable pages that should be hidden now, coldest first; they move to wherever the policy keeps hidden
	 * pages.  0: none wanted. */
	unsigned (*cold)(struct machine *mc, struct page **out, unsigned max);
	/* Up to max evictable pages to evict now, best first, visible or hidden; they stay on their lists (the core calls remove
	 * when each has gone).  Must name at least one whenever an evictable page exists. */
	unsigned (*victims)(struct machine *mc, struct page **out, unsigned max);
};

extern const struct policy_ops policy_fifo, policy_clock, policy_twolist;

/* The policy of that name, or NULL.  policy_names: all names, separated by spaces. */
const struct policy_ops *policy_find(const char *name);
extern const char policy_names[];

#endif
