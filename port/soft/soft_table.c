/* SPDX-License-Identifier: MIT */
/* soft_table.c - the software MMU's tables: entries, frames, reserved ranges */
#include "port/soft/soft_priv.h"

#include <stdlib.h>

static int soft_region_cmp(struct soft_region *a, struct soft_region *b) { return a->start < b->start ? -1 : a->start > b->start; }
RB_GENERATE(soft_region_tree, soft_region, link, soft_region_cmp)

void *spt_alloc(size_t n)
{
	void *m = calloc(1, n);

	if (!m)
		sf_panic(__FILE__, __LINE__, "the soft port is out of memory");
	return m;
}

/* ---------------------------------------------------------------- entries */

static unsigned slot_of(uint64_t vpn, int level) { return (unsigned)(vpn >> (NODE_SHIFT * level)) & (NODE_SLOTS - 1); }

uint64_t spt_get(struct soft_port *s, uint64_t vpn)
{
	struct node *n = s->root;

	for (int level = NODE_LEVELS - 1; n && level > 0; level--)
		n = (struct node *)(uintptr_t)n->e[slot_of(vpn, level)];
	return n ? n->e[slot_of(vpn, 0)] : 0;
}

struct node *spt_node(struct soft_port *s)
{
	s->count.nodes++;
	return spt_alloc(sizeof(struct node));
}

/* Free the nodes of a path that have become empty; path[level], the root stays. */
static void prune(struct soft_port *s, struct node **path, uint64_t vpn)
{
	for (int level = 0; level < NODE_LEVELS - 1 && !path[level]->used; level++) {
		free(path[level]);
		s->count.nodes--;
		path[level + 1]->e[slot_of(vpn, level + 1)] = 0;
		path[level + 1]->used--;
	}
}

static void tlb_drop(struct soft_port *s, uint64_t vpn)
{
	struct tlb_entry *t = &s->tlb[vpn % TLB_SIZE];

	if (t->tag == vpn + 1)
		t->tag = 0;
}

void spt_tlb_flush(struct soft_port *s) { memset(s->tlb, 0, sizeof(s->tlb)); }

void spt_set(struct soft_port *s, uint64_t vpn, uint64_t e)
{
	struct node *path[NODE_LEVELS];

	path[NODE_LEVELS - 1] = s->root;
	for (int level = NODE_LEVELS - 1; level > 0; level--) {
		uint64_t *slot = &path[level]->e[slot_of(vpn, level)];

		if (!*slot) {
			*slot = (uintptr_t)spt_node(s);
			path[level]->used++;
		}
		path[level - 1] = (struct node *)(uintptr_t)*slot;
	}
	uint64_t *leaf = &path[0]->e[slot_of(vpn, 0)];
	path[0]->used += !!e - !!*leaf;
	*leaf = e;
	tlb_drop(s, vpn);
	prune(s, path, vpn);
}

static uint64_t next_below(struct node *n, int level, uint64_t vpn, uint64_t end)
{
	while (vpn < end) {
		unsigned i = slot_of(vpn, level);
		uint64_t after = ((vpn >> (NODE_SHIFT * level)) + 1) << (NODE_SHIFT * level);
		uint64_t stop = MIN(after, end);

		if (n->e[i] && !level)
			return vpn;
		if (n->e[i]) {
			uint64_t found = next_below((struct node *)(uintptr_t)n->e[i], level - 1, vpn, stop);

			if (found < stop)
				return found;
		}
		vpn = stop;
		if (i == NODE_SLOTS - 1)
			break;
	}
	return vpn;
}

/* First page number ≥ vpn and < end that has an entry, or end. */
uint64_t spt_next(struct soft_port *s, uint64_t vpn, uint64_t end) { return next_below(s->root, NODE_LEVELS - 1, vpn, end); }

/* ---------------------------------------------------------------- frames */

void spt_note_peak(struct soft_port *s)
{
	uint64_t now = s->count.visible + s->count.hidden + s->count.shared;

	s->count.peak = MAX(s->count.peak, now);
}

unsigned char *spt_frame_new(struct soft_port *s)
{
	unsigned char *f = malloc(PAGE_SIZE);

	if (!f)
		sf_panic(__FILE__, __LINE__, "the soft port is out of memory");
	SF_ASSERT(!((uintptr_t)f & SPTE_LOW));
	memset(f, JUNK_NEW, PAGE_SIZE);
	s->count.visible++;
	spt_note_peak(s);
	return f;
}

void spt_frame_free(unsigned char *f)
{
	memset(f, JUNK_FREE, PAGE_SIZE);
	free(f);
}

/* Nothing of the range stays: frames are freed, shared pages no longer shown. */
void spt_discard(struct soft_port *s, vaddr_t start, vaddr_t end)
{
	for (uint64_t v = PFN(start); (v = spt_next(s, v, PFN(end))) < PFN(end); v++) {
		uint64_t e = spt_get(s, v);

		SF_MISUSE(is_hidden(e)); /* the core drops hidden pages itself: their names would be lost */
		if (is_shown(e)) {
			s->count.shared--;
		} else {
			spt_frame_free(entry_frame(e));
			s->count.visible--;
		}
		spt_set(s, v, 0);
	}
}

/* ---------------------------------------------------------------- reserved ranges */

/* First range that ends above va. */
struct soft_region *spt_region_after(struct soft_port *s, vaddr_t va)
{
	struct soft_region *best = NULL;

	for (struct soft_region *r = RB_ROOT(&s->regions); r;)
		if (r->end > va) {
			best = r;
			r = RB_LEFT(r, link);
		} else {
			r = RB_RIGHT(r, link);
		}
	return best;
}

struct soft_region *spt_region_of(struct soft_port *s, vaddr_t va)
{
	struct soft_region *r = spt_region_after(s, va);

	return r && r->start <= va ? r : NULL;
}

void spt_region_add(struct soft_port *s, struct soft_region r)
{
	struct soft_region *n = spt_alloc(sizeof(*n));

	*n = r;
	SF_ASSERT(!RB_INSERT(soft_region_tree, &s->regions, n));
	s->count.regions++;
}

static void region_del(struct soft_port *s, struct soft_region *r)
{
	RB_REMOVE(soft_region_tree, &s->regions, r);
	free(r);
	s->count.regions--;
}

/* A range boundary at va, if any range contains va inside. */
void spt_region_split(struct soft_port *s, vaddr_t va)
{
	struct soft_region *r = spt_region_of(s, va);

	if (!r || r->start == va)
		return;
	struct soft_region upper = *r;
	upper.start = va;
	upper.off += va - r->start;
	r->end = va;
	spt_region_add(s, upper);
}

void spt_region_clear(struct soft_port *s, vaddr_t start, vaddr_t end)
{
	spt_region_split(s, start);
	spt_region_split(s, end);
	for (struct soft_region *r; (r = spt_region_after(s, start)) && r->start < end;)
		region_del(s, r);
	spt_tlb_flush(s);
}

static bool alike(const struct soft_region *a, const struct soft_region *b)
{
	return a && b && a->end == b->start && !a->obj && !b->obj && a->exec == b->exec;
}

void spt_region_join(struct soft_port *s, vaddr_t va)
{
	struct soft_region *r = spt_region_of(s, va);
	struct soft_region *before = r ? RB_PREV(soft_region_tree, &s->regions, r) : NULL;

	if (!alike(before, r))
		return;
	before->end = r->end;
	region_del(s, r);
}

void spt_require_private(struct soft_port *s, vaddr_t va, size_t n)
{
	for (vaddr_t at = va, end = va + n * PAGE_SIZE; at < end;) {
		struct soft_region *r = spt_region_of(s, at);

		SF_MISUSE(!r || r->obj);
		at = r->end;
	}
}

void spt_require_shared(struct soft_port *s, vaddr_t va, size_t n)
{
	for (vaddr_t at = va, end = va + n * PAGE_SIZE; at < end;) {
		struct soft_region *r = spt_region_of(s, at);

		SF_MISUSE(!r || !r->obj);
		at = r->end;
	}
}
