/* SPDX-License-Identifier: MIT */
/* clock.c - second chance with two hands
 *
 * The ring is cut open at the hands:
 *
 *   fill --> [ RING: visible ] --front hand hides--> [ PASSED: hidden ] --back hand evicts--> gone
 *               ^------------------- touch -----------------'
 *
 * Hiding is what clearing the accessed bit is elsewhere; a page touched between the hands gets another round.  All
 * pages are alike: one that was used once has the same life as one used a thousand times. */

#include "policy/scan.h"

#define PASSED_SHARE 4 /* the hands are a quarter of the ring apart */

enum { L_RING, L_PASSED };

static void clock_insert(struct machine *mc, struct page *pg, enum fill_kind how)
{
	list_add_head(mc, L_RING, pg);
}

static void clock_touch(struct machine *mc, struct page *pg)
{
	policy_move_head(mc, L_RING, pg);
}

static void clock_advise(struct machine *mc, struct page *pg, bool hot)
{
	if (hot)
		policy_move_head(mc, L_RING, pg);
	else
		policy_move_tail(mc, L_PASSED, pg);
}

static unsigned clock_cold(struct machine *mc, struct page **out, unsigned max)
{
	unsigned n = 0, want = policy_hide_wanted(mc, L_PASSED, PASSED_SHARE, max);
	struct page *pg;

	while (n < want && (pg = policy_coldest_visible(mc, L_RING, L_PASSED))) {
		policy_move_head(mc, L_PASSED, pg);
		out[n++] = pg;
	}
	return n;
}

static unsigned clock_victims(struct machine *mc, struct page **out, unsigned max)
{
	static const uint8_t order[] = { L_PASSED, L_RING };

	return policy_victims(mc, order, ARRAY_SIZE(order), out, max);
}

const struct policy_ops policy_clock = {
	.name = "clock",
	.insert = clock_insert,
	.touch = clock_touch,
	.remove = policy_remove,
	.advise = clock_advise,
	.cold = clock_cold,
	.victims = clock_victims,
};
