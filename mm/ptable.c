/* SPDX-License-Identifier: MIT */
/* ptable.c - the page table: one entry for each page that is resident or swapped
 *
 *      mm->ptable ── root ──┬── node ──┬── node ──┬── leaf   512 ptes, 2 MiB of address space
 *           level 3         │ level 2  │ level 1  │ level 0
 *
 * An entry above the leaves is  uses << 48 | address : how many of the child's 512 entries are non-zero lies with the
 * pointer to it, so a node is exactly 4 KiB and an unused one is known without a look inside.  A node whose count falls to
 * zero goes.  pte_alloc makes nodes with count zero; one that is never filled stays until something in it comes and
 * goes, or the mm ends.
 *
 * Invariant: a count equals the non-zero entries of the node it stands for. */
#include "mm/mm.h"

#define LEVELS 4
#define BITS 9
#define ENTRIES 512u
#define USE_ONE (1ull << 48)
#define ADDR_MASK (USE_ONE - 1)
#define PFN_LIMIT (1ull << (LEVELS * BITS))

static uint64_t *node_of(uint64_t e)
{
	return (uint64_t *)(uintptr_t)(e & ADDR_MASK);
}

static unsigned uses_of(uint64_t e)
{
	return (unsigned)(e >> 48);
}

static unsigned index_at(uint64_t pfn, unsigned level)
{
	return pfn >> (level * BITS) & (ENTRIES - 1);
}

static uint64_t *node_new(struct mm *mm)
{
	uint64_t *n = kmalloc(mm->mc, ENTRIES * sizeof(*n));

	mm->ptable_pages += n != NULL;
	if (mm->mc->kmem)
		machine_count_tables(mm->mc);
	return n;
}

static void node_free(struct mm *mm, uint64_t *n)
{
	kfree(mm->mc, n);
	mm->ptable_pages--;
}

static uint64_t *leaf_of(struct mm *mm, uint64_t pfn)
{
	uint64_t *n = mm->ptable;

	for (unsigned level = LEVELS - 1; level && n; level--)
		n = node_of(n[index_at(pfn, level)]);
	return n;
}

pte_t pte_get(struct mm *mm, uint64_t pfn)
{
	uint64_t *leaf = pfn < PFN_LIMIT ? leaf_of(mm, pfn) : NULL;

	return leaf ? leaf[index_at(pfn, 0)] : 0;
}

/* The way down to a page: path[l] is the entry that leads to the node of level l.  (path[LEVELS-1], to the root, is not an entry
 * and has no count.) */
struct walk {
	uint64_t *path[LEVELS];
	uint64_t *leaf;
};

/* Make what is missing, if make.  False: something still is. */
static bool walk_down(struct mm *mm, uint64_t pfn, struct walk *w, bool make)
{
	if (!mm->ptable && make)
		mm->ptable = node_new(mm);
	uint64_t *n = mm->ptable;

	w->path[LEVELS - 1] = NULL;
	for (unsigned level = LEVELS - 1; level && n; level--) {
		uint64_t *e = &n[index_at(pfn, level)];

		if (!*e && make) {
			uint64_t *child = node_new(mm);

			if (!child)
				return false;
			*e = (uintptr_t)child;
			if (w->path[level])
				*w->path[level] += USE_ONE;
		}
		w->path[level - 1] = e;
		n = node_of(*e);
	}
	w->leaf = n;
	return n != NULL;
}

pte_t *pte_alloc(struct mm *mm, uint64_t pfn)
{
	struct walk w;

	SF_MISUSE(pfn >= PFN_LIMIT);
	uint64_t *leaf = leaf_of(mm, pfn);

	if (likely(leaf))
		return &leaf[index_at(pfn, 0)];
	return walk_down(mm, pfn, &w, true) ? &w.leaf[index_at(pfn, 0)] : NULL;
}

/* One entry of the leaf went away; free what has become empty, upwards. */
static void uncount(struct mm *mm, struct walk *w)
{
	for (unsigned level = 0; level < LEVELS - 1; level++) {
		uint64_t *e = w->path[level];

		*e -= USE_ONE;
		if (uses_of(*e))
			return;
		node_free(mm, node_of(*e));
		*e = 0;
	}
}

void pte_set(struct mm *mm, uint64_t pfn, pte_t e)
{
	struct walk w;

	SF_MISUSE(pfn >= PFN_LIMIT);
	/* The node made by pte_alloc can have gone since, if a neighbour came and went while the lock was dropped. */
	if (!walk_down(mm, pfn, &w, e != 0)) {
		SF_BUG_ON(e);
		return;
	}
	uint64_t *at = &w.leaf[index_at(pfn, 0)], old = *at;

	*at = e;
	if (!old && e)
		*w.path[0] += USE_ONE;
	else if (old && !e)
		uncount(mm, &w);
}

/* First non-zero page in [pfn, end) of one leaf, or end. */
static uint64_t scan_leaf(const uint64_t *leaf, uint64_t pfn, uint64_t end)
{
	uint64_t stop = MIN(end, (pfn | (ENTRIES - 1)) + 1);

	for (; pfn < stop; pfn++)
		if (leaf[index_at(pfn, 0)])
			return pfn;
	return stop;
}

/* Where the first empty subtree on the way to pfn ends, or pfn itself when there is a leaf in use (*ret_leaf). */
static uint64_t skip_empty(struct mm *mm, uint64_t pfn, uint64_t **ret_leaf)
{
	uint64_t *n = mm->ptable;

	for (unsigned level = LEVELS - 1; level; level--) {
		uint64_t e = n[index_at(pfn, level)];

		if (!uses_of(e))
			return ((pfn >> (level * BITS)) + 1) << (level * BITS);
		n = node_of(e);
	}
	*ret_leaf = n;
	return pfn;
}

uint64_t pte_next(struct mm *mm, uint64_t pfn, uint64_t end)
{
	uint64_t limit = MIN(end, PFN_LIMIT);

	if (!mm->ptable)
		return end;
	while (pfn < limit) {
		uint64_t *leaf = NULL, at = skip_empty(mm, pfn, &leaf);

		if (leaf) {
			at = scan_leaf(leaf, pfn, limit);
			if (at < limit && leaf[index_at(at, 0)] && at >> BITS == pfn >> BITS)
				return at;
		}
		pfn = at;
	}
	return end;
}

static void free_below(struct mm *mm, uint64_t *n, unsigned level)
{
	for (unsigned i = 0; level && i < ENTRIES; i++)
		if (n[i])
			free_below(mm, node_of(n[i]), level - 1);
	node_free(mm, n);
}

void pte_free_all(struct mm *mm)
{
	if (mm->ptable)
		free_below(mm, mm->ptable, LEVELS - 1);
	mm->ptable = NULL;
	SF_BUG_ON(mm->ptable_pages);
}
