/* SPDX-License-Identifier: MIT */
/* policy.c - a replacement policy of one's own, tried on the software MMU against those that there are
 *
 *	policy          misses of each policy on a loop that is one half longer than memory, and on a scan with a hot corner
 *
 * "latest" gives up what came in last.  For a loop that is right: the oldest page is the one that comes next.  To have it in the command and in the
 * library, move the upper half to policy/latest.c and name it in policy/policy.c and meson.build. */
#include "policy/scan.h"

/* ---------------------------------------------------------------- the policy */

enum { L_ALL };

static void latest_insert(struct machine *mc, struct page *pg, enum fill_kind how)
{
	list_add_tail(mc, L_ALL, pg); /* victims are named from the tail */
}

static void latest_touch(struct machine *mc, struct page *pg)
{
}

static void latest_advise(struct machine *mc, struct page *pg, bool hot)
{
	if (hot)
		policy_move_head(mc, L_ALL, pg);
	else
		policy_move_tail(mc, L_ALL, pg);
}

/* It learns nothing from references, so nothing need be hidden. */
static unsigned latest_cold(struct machine *mc, struct page **out, unsigned max)
{
	return 0;
}

static unsigned latest_victims(struct machine *mc, struct page **out, unsigned max)
{
	static const uint8_t order[] = { L_ALL };

	return policy_victims(mc, order, ARRAY_SIZE(order), out, max);
}

static const struct policy_ops policy_latest = {
	.name = "latest", .insert = latest_insert, .touch = latest_touch, .remove = policy_remove, .advise = latest_advise, .cold = latest_cold,
	.victims = latest_victims,
};

/* ---------------------------------------------------------------- trying it */

#include "port/soft/soft.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#define BASE   0x40000000ull
#define BOUND  256u
#define ROUNDS 20u

void sf_panic(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: %s\n", file, line, what);
	abort();
}

struct lab { struct port *port; struct machine *mc; struct task tk; };

static void touch(struct lab *l, uint64_t page)
{
	struct fault_report rep;
	char c;

	if (soft_access(l->port, l->mc->mm, &l->tk, BASE + page * PAGE_SIZE, &c, 1, PT_R, &rep) != FAULT_FIXED)
		abort();
}

static void loop(struct lab *l)
{
	for (unsigned r = 0; r < ROUNDS; r++)
		for (unsigned i = 0; i < BOUND * 3 / 2; i++)
			touch(l, i);
}

static void scan_with_corner(struct lab *l)
{
	for (unsigned i = 0; i < BOUND * ROUNDS; i++) {
		touch(l, BOUND + i);
		touch(l, i % (BOUND / 8));
	}
}

static unsigned long misses(const struct policy_ops *policy, void (*pattern)(struct lab *))
{
	struct lab l = { .tk = { .tid = 1 } };
	const unsigned flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
	uint64_t len = (ROUNDS + 2) * BOUND * PAGE_SIZE;

	if (soft_port_create(0x10000, 1ull << 40, &l.port))
		abort();
	struct machine_config cfg = {
		.port = l.port, .policy = policy, .bound_pages = BOUND, .mmap_min = 0x10000, .task_size = 1ull << 40, .mmap_base = 0xf000000000ull,
	};

	if (machine_create(&cfg, &l.mc))
		abort();
	l.mc->fault_around = 1;
	if (do_mmap(l.mc->mm, BASE, len, PROT_READ, flags, NULL, 0, 0) != BASE)
		abort();
	pattern(&l);
	unsigned long n = (unsigned long)l.mc->stats->faults[FK_MINOR];

	do_munmap(l.mc->mm, BASE, len);
	machine_check(l.mc);
	machine_destroy(l.mc);
	if (soft_port_destroy(l.port))
		abort();
	return n;
}

int main(void)
{
	const struct policy_ops *all[] = { &policy_fifo, &policy_clock, &policy_twolist, &policy_latest };

	printf("%-10s%10s%20s\n", "misses", "loop", "scan with corner");
	for (unsigned i = 0; i < ARRAY_SIZE(all); i++)
		printf("%-10s%10lu%20lu\n", all[i]->name, misses(all[i], loop), misses(all[i], scan_with_corner));
	return 0;
}
