/* SPDX-License-Identifier: MIT */
/* fifo.c - first in, first out: one list, no use of references
 *
 * The yardstick for the others, and the cheapest where nothing is used twice. */

#include "policy/scan.h"

enum { L_ALL };

static void fifo_insert(struct machine *mc, struct page *pg, enum fill_kind how)
{
	list_add_head(mc, L_ALL, pg);
}

static void fifo_touch(struct machine *mc, struct page *pg)
{
}

static void fifo_advise(struct machine *mc, struct page *pg, bool hot)
{
	if (hot)
		policy_move_head(mc, L_ALL, pg);
	else
		policy_move_tail(mc, L_ALL, pg);
}

static unsigned fifo_cold(struct machine *mc, struct page **out, unsigned max)
{
	return 0;
}

static unsigned fifo_victims(struct machine *mc, struct page **out, unsigned max)
{
	static const uint8_t order[] = { L_ALL };

	return policy_victims(mc, order, ARRAY_SIZE(order), out, max);
}

const struct policy_ops policy_fifo = {
	.name = "fifo",
	.insert = fifo_insert,
	.touch = fifo_touch,
	.remove = policy_remove,
	.advise = fifo_advise,
	.cold = fifo_cold,
	.victims = fifo_victims,
};
