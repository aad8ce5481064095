/* SPDX-License-Identifier: MIT */
/* policy.c - the policies by name, and the list walks that they share */

#include "policy/scan.h"

#define HEADROOM_SHARE 32 /* memory is short when fewer than one frame in so many is free */

const char policy_names[] = "twolist clock fifo";

static bool same_name(const char *a, const char *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	return *a == *b;
}

const struct policy_ops *policy_find(const char *name)
{
	static const struct policy_ops *const all[] = { &policy_twolist, &policy_clock, &policy_fifo };

	for (unsigned i = 0; i < ARRAY_SIZE(all); i++)
		if (same_name(all[i]->name, name))
			return all[i];
	return NULL;
}

void policy_remove(struct machine *mc, struct page *pg)
{
	list_del(mc, pg);
}

uint64_t policy_resident(const struct machine *mc)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < NR_LISTS; i++)
		n += mc->lists[i].count;
	return n;
}

/* Add evictable pages from the tail of a list to out[n…max).  The new n. */
static unsigned name_victims(struct machine *mc, unsigned list, struct page **out, unsigned n, unsigned max)
{
	uint64_t left = mc->lists[list].count;
	struct page *pg = list_tail(mc, list), *prev;

	for (; pg && left && n < max; pg = prev, left--) {
		prev = list_prev(mc, pg);
		if (page_evictable(pg))
			out[n++] = pg;
		else
			policy_move_head(mc, list, pg);
	}
	return n;
}

unsigned policy_victims(struct machine *mc, const uint8_t *lists, unsigned nr, struct page **out, unsigned max)
{
	unsigned n = 0;

	for (unsigned i = 0; i < nr && n < max; i++)
		n = name_victims(mc, lists[i], out, n, max);
	return n;
}

struct page *policy_coldest_visible(struct machine *mc, unsigned list, unsigned hidden_list)
{
	uint64_t left = mc->lists[list].count;

	for (; left; left--) {
		struct page *pg = list_tail(mc, list);
		if (!page_evictable(pg))
			policy_move_head(mc, list, pg);
		else if (!(pg->flags & PG_VISIBLE))
			policy_move_head(mc, hidden_list, pg);
		else
			return pg;
	}
	return NULL;
}

unsigned policy_hide_wanted(struct machine *mc, unsigned hidden_list, unsigned hidden_share, unsigned max)
{
	uint64_t resident = policy_resident(mc), hidden = mc->lists[hidden_list].count;
	uint64_t target = resident / hidden_share, want = 0;
	const struct port *port = mc->port;

	if (frames_free(mc) <= resident / HEADROOM_SHARE && hidden < target)
		want = target - hidden;
	if (port && port->max_maps && port->nr_maps > port->max_maps - port->max_maps / 8)
		want = max;
	return (unsigned)MIN(want, max);
}
