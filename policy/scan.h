/* SPDX-License-Identifier: MIT */
/* scan.h - walks over page lists that every policy needs
 *
 * Pages that cannot go now (pinned, locked, busy) are rotated to the head as they are met, so the next walk does not
 * meet them again before it has seen all others. */
#ifndef SF_POLICY_SCAN_H
#define SF_POLICY_SCAN_H

#include "mm/mm.h"

/* Take the page from its list to the head or tail of another (or the same). */
static inline void policy_move_head(struct machine *mc, unsigned list, struct page *pg)
{
	list_del(mc, pg);
	list_add_head(mc, list, pg);
}

static inline void policy_move_tail(struct machine *mc, unsigned list, struct page *pg)
{
	list_del(mc, pg);
	list_add_tail(mc, list, pg);
}

/* The ready-made remove(). */
void policy_remove(struct machine *mc, struct page *pg);

/* The ready-made victims(): evictable pages from the tails of lists, in this order.  They stay where they are, so the same ones are named
 * again until the core has evicted them or advises that they are hot (it could not write them). */
unsigned policy_victims(struct machine *mc, const uint8_t *lists, unsigned nr, struct page **out, unsigned max);

/* The coldest page of a list that is visible and evictable, or NULL.  Pages met that are hidden already go to the head of hidden_list. */
struct page *policy_coldest_visible(struct machine *mc, unsigned list, unsigned hidden_list);

/* How many more pages should be hidden now: while memory is short, until one resident page in hidden_share is on hidden_list; and max
 * when the host's limit on mappings is near.  At most max. */
unsigned policy_hide_wanted(struct machine *mc, unsigned hidden_list, unsigned hidden_share, unsigned max);

/* Pages on all lists. */
uint64_t policy_resident(const struct machine *mc);

#endif
