/* SPDX-License-Identifier: MIT */
/* policy.c - a replacement policy of one's own, against those that there are
 *
 *	policy          pages read from the store on a loop that is one half longer than memory
 *
 * "latest" gives up what came in last.  For a loop that is right: the oldest page is the one that comes next. Each page's two first words are its links. */
#include <softfault.h>

#include <stdio.h>
#include <stdlib.h>

#define BOUND  256u /* pages */
#define ROUNDS 20u

/* ---------------------------------------------------------------- the policy */

#define older(page) (*(struct sf_page **)&(page)->user[0].ptr)
#define newer(page) (*(struct sf_page **)&(page)->user[1].ptr)

static struct sf_page *oldest, *newest;

static void unlink_page(struct sf_page *pg)
{
	*(newer(pg) ? &older(newer(pg)) : &newest) = older(pg);
	*(older(pg) ? &newer(older(pg)) : &oldest) = newer(pg);
}

static void latest_insert(void *arg, struct sf_page *pg, enum sf_page_how how)
{
	(void)arg, (void)how;
	older(pg) = newest;
	newer(pg) = NULL;
	*(newest ? &newer(newest) : &oldest) = pg;
	newest = pg;
}

static void latest_remove(void *arg, struct sf_page *pg)
{
	(void)arg;
	unlink_page(pg);
}

/* What cannot go now makes way for others. */
static void latest_advise(void *arg, struct sf_page *pg, enum sf_page_advice advice)
{
	unlink_page(pg);
	if (advice == SF_PAGE_COLD) {
		latest_insert(arg, pg, SF_PAGE_TOUCHED);
		return;
	}
	newer(pg) = oldest;
	older(pg) = NULL;
	*(oldest ? &older(oldest) : &newest) = pg;
	oldest = pg;
}

/* The very latest may be what the running instruction needs beside the page that it waits for: it stays. */
static unsigned latest_victims(void *arg, struct sf_page **ret, unsigned max)
{
	unsigned n = 0;

	(void)arg;
	for (struct sf_page *pg = newest && older(newest) ? older(newest) : newest; pg && n < max; pg = older(pg))
		if (!(sf_page_state(pg, NULL) & SF_PAGE_STAYS))
			ret[n++] = pg;
	if (!n && newest)
		ret[n++] = newest;
	return n;
}

/* It learns nothing from touches, so nothing need be out of view. */
static const struct sf_policy_ops latest = {
	.struct_size = sizeof(latest), .insert = latest_insert, .remove = latest_remove, .advise = latest_advise, .victims = latest_victims,
};

/* ---------------------------------------------------------------- trying it */

static void check(const char *what, int err)
{
	if (!err)
		return;
	fprintf(stderr, "%s: %s\n", what, strerror(-err));
	exit(1);
}

static void loop(const char *name, const struct sf_policy_ops *ops)
{
	struct sf_pool_options po = { .struct_size = sizeof(po), .bound = BOUND * SF_PAGE, .policy = ops ? NULL : name, .policy_ops = ops };
	struct sf_pool_stats st = { .struct_size = sizeof(st) };
	struct sf_map_options mo = { .struct_size = sizeof(mo), .cluster = SF_PAGE };
	const unsigned pages = BOUND * 3 / 2;
	uint64_t wrong = 0;
	sf_region *region;
	sf_pool *pool;
	void *mem;

	check("sf_store_memory", sf_store_memory(1 << 24, &po.store));
	check("sf_pool_create", sf_pool_create(&po, &pool));
	check("sf_map", sf_map(pool, pages * SF_PAGE, &mo, &region, &mem));
	for (unsigned i = 0; i < pages; i++)
		((volatile uint64_t *)mem)[i * (SF_PAGE / 8)] = i + 1;
	for (unsigned r = 0; r < ROUNDS; r++)
		for (unsigned i = 0; i < pages; i++)
			wrong += ((volatile uint64_t *)mem)[i * (SF_PAGE / 8)] != i + 1;
	check("sf_pool_stats", sf_pool_stats(pool, &st));
	printf("%-10s%10llu pages read, %llu wrong words, %llu wrong answers\n", name, (unsigned long long)st.store_in, (unsigned long long)wrong,
	       (unsigned long long)st.policy_errors);
	check("sf_unmap", sf_unmap(region));
	check("sf_pool_destroy", sf_pool_destroy(pool));
	check("sf_store_close", sf_store_close(po.store));
}

int main(void)
{
	loop("fifo", NULL);
	loop("clock", NULL);
	loop("twolist", NULL);
	loop("latest", &latest);
	return 0;
}
