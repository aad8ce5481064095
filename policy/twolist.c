/* SPDX-License-Identifier: MIT */
/* twolist.c - active and inactive pages, told apart by soft faults; the default
 *
 *                 demand --> [ NEW ]----cold----.
 *   fill                                        v      victims
 *                 ahead ---> [ AHEAD ]-cold-> [ INACTIVE ] ----> gone
 *                                               ^   |
 *                         [ ACTIVE ]-----cold---'   | touch
 *                            ^----------------------'
 *
 * INACTIVE pages are hidden, so a touch is a soft fault and proves that the page is used again: it becomes ACTIVE.  The visible pages
 * are on three lists by what is known of them:
 *
 *   AHEAD   came along with a neighbour.  They get a short while, so that interleaved streams can use theirs; the
 *           first touch after that only makes them NEW.
 *   NEW     were touched when filled.  All but a small part are hidden before any ACTIVE page is, so a stream of pages
 *           used once passes through without moving out what was used twice.
 *   ACTIVE  were used again.
 *
 * At one NEW page in 32 that would be hidden, the coldest ACTIVE page is hidden first.  Without that, a working set that grew
 * stale would stay for ever when the next one is too large to be noticed between NEW and INACTIVE.
 *
 * How many pages are hidden adapts.  Soft faults are worth having while they tell which pages to keep; a program that hops about in more than
 * fits would pay for them all the time and learn nothing.  They may cost a fixed part of what reading pages back costs,
 * both as measured: over that, fewer pages are hidden; well below, more. */

#include "policy/scan.h"

#define INACTIVE_MOST  4  /* one resident page in so many is hidden when memory is short … */
#define INACTIVE_LEAST 64 /* … and when soft faults are too many */
#define ADAPT_EVERY    1024 /* soft faults and fills */
#define SOFT_MANY      3  /* soft faults for each fill, while their costs are not known */
#define SOFT_PART      4  /* all soft faults may cost this part of all fills */
#define AHEAD_SHARE   16 /* may be unused read-ahead before it is hidden first */
#define NEW_SHARE     16 /* stay NEW and visible while there are ACTIVE pages to hide */
#define TEST_SHARE    32 /* NEW pages for each ACTIVE page that is put to the test */

#define AGE_AHEAD  1u /* filled ahead, never yet touched as far as we know */
#define AGE_TESTED 2u /* has stepped aside for an ACTIVE page */

enum { L_ACTIVE, L_NEW, L_AHEAD, L_INACTIVE };

/* So many soft faults may go with these fills. */
static uint64_t soft_budget(const struct policy_state *st)
{
	uint64_t soft = READ_ONCE(st->soft_ns), major = READ_ONCE(st->major_ns);

	return soft && major ? st->fills * major / soft / SOFT_PART : st->fills * SOFT_MANY;
}

static void adapt(struct machine *mc)
{
	struct policy_state *st = &mc->policy_state;

	if (!st->share)
		st->share = INACTIVE_MOST;
	if (st->touches + st->fills < ADAPT_EVERY)
		return;
	if (st->touches > soft_budget(st))
		st->share = MIN(st->share + (st->share + 1) / 2, INACTIVE_LEAST);
	else if (st->touches * 3 < soft_budget(st))
		st->share = MAX(st->share - st->share / 3, INACTIVE_MOST);
	st->touches = st->fills = 0;
}

static void twolist_insert(struct machine *mc, struct page *pg, enum fill_kind how)
{
	mc->policy_state.fills += how == FILL_DEMAND;
	pg->age = how == FILL_AHEAD ? AGE_AHEAD : 0;
	list_add_head(mc, how == FILL_AHEAD ? L_AHEAD : L_NEW, pg);
}

static void twolist_touch(struct machine *mc, struct page *pg)
{
	unsigned list = pg->age & AGE_AHEAD ? L_NEW : L_ACTIVE;

	mc->policy_state.touches++;
	pg->age = 0;
	policy_move_head(mc, list, pg);
}

static void twolist_advise(struct machine *mc, struct page *pg, bool hot)
{
	if (hot)
		policy_move_head(mc, L_ACTIVE, pg);
	else
		policy_move_tail(mc, L_INACTIVE, pg);
}

/* Some NEW pages, chosen by their number, step aside once for an ACTIVE one. */
static bool tests_active(struct machine *mc, struct page *pg)
{
	if (pg->age & AGE_TESTED || !mc->lists[L_ACTIVE].count)
		return false;
	pg->age |= AGE_TESTED;
	return (pg->pfn * 0x9e3779b97f4a7c15ull >> 40) % TEST_SHARE == 0;
}

/* The next page to hide, or NULL. */
static struct page *next_cold(struct machine *mc, uint64_t resident)
{
	struct page *pg = NULL;

	if (mc->lists[L_AHEAD].count > resident / AHEAD_SHARE)
		pg = policy_coldest_visible(mc, L_AHEAD, L_INACTIVE);
	if (!pg && mc->lists[L_NEW].count > resident / NEW_SHARE) {
		pg = policy_coldest_visible(mc, L_NEW, L_INACTIVE);
		if (pg && tests_active(mc, pg))
			pg = policy_coldest_visible(mc, L_ACTIVE, L_INACTIVE) ?: pg;
	}
	if (!pg)
		pg = policy_coldest_visible(mc, L_ACTIVE, L_INACTIVE);
	if (!pg)
		pg = policy_coldest_visible(mc, L_NEW, L_INACTIVE);
	if (!pg)
		pg = policy_coldest_visible(mc, L_AHEAD, L_INACTIVE);
	return pg;
}

static unsigned twolist_cold(struct machine *mc, struct page **out, unsigned max)
{
	adapt(mc);
	unsigned n = 0, want = policy_hide_wanted(mc, L_INACTIVE, mc->policy_state.share, max);
	uint64_t resident = policy_resident(mc);
	struct page *pg;

	while (n < want && (pg = next_cold(mc, resident))) {
		policy_move_head(mc, L_INACTIVE, pg);
		out[n++] = pg;
	}
	return n;
}

static unsigned twolist_victims(struct machine *mc, struct page **out, unsigned max)
{
	static const uint8_t order[] = { L_INACTIVE, L_AHEAD, L_NEW, L_ACTIVE };

	return policy_victims(mc, order, ARRAY_SIZE(order), out, max);
}

const struct policy_ops policy_twolist = {
	.name = "twolist",
	.insert = twolist_insert,
	.touch = twolist_touch,
	.remove = policy_remove,
	.advise = twolist_advise,
	.cold = twolist_cold,
	.victims = twolist_victims,
};
