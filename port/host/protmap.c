/* SPDX-License-Identifier: MIT */
/* protmap.c - each page's permission, and the host mappings that it costs
 *
 * The host merges neighbours of equal permission into one mapping and allows only so many mappings (vm.max_map_count), so
 * an engine that works by mprotect must know what a change will cost before it asks.  Three levels of 4096 cover
 * 48-bit addresses: root and middle tables of pointers, leaves of one byte a page (16 MiB of program memory).
 * Everything is done under the mm lock. */
#include "port/host/host_priv.h"

#define TABLE_BYTES (PM_LEVEL * sizeof(void *))

int pm_init(struct host_port *hp, uint8_t count_if)
{
	hp->pm.count_if = count_if;
	hp->pm.edges = 0;
	hp->pm.root = own_alloc(hp, TABLE_BYTES, PROT_READ | PROT_WRITE);
	return hp->pm.root ? 0 : -ENOMEM;
}

static uint8_t *leaf_of(const struct protmap *pm, uint64_t pfn)
{
	uint8_t **mid = pm->root[pfn >> 2 * PM_LEVEL_BITS & (PM_LEVEL - 1)];

	return mid ? mid[pfn >> PM_LEVEL_BITS & (PM_LEVEL - 1)] : NULL;
}

uint8_t pm_get(const struct protmap *pm, uint64_t pfn)
{
	const uint8_t *leaf = leaf_of(pm, pfn);

	return leaf ? leaf[pfn & (PM_LEVEL - 1)] : 0;
}

/* Pages from pfn to the end of its leaf, at most n. */
static uint64_t in_leaf(uint64_t pfn, uint64_t n)
{
	return MIN(n, PM_LEVEL - (pfn & (PM_LEVEL - 1)));
}

static int make_leaf(struct host_port *hp, uint64_t pfn)
{
	uint8_t ***mid = &hp->pm.root[pfn >> 2 * PM_LEVEL_BITS & (PM_LEVEL - 1)];
	uint8_t **leaf;

	if (!*mid) {
		*mid = own_alloc(hp, TABLE_BYTES, PROT_READ | PROT_WRITE);
		if (!*mid)
			return -ENOMEM;
		hp->port.table_bytes += PAGE_SIZE; /* what is touched of it */
	}
	leaf = &(*mid)[pfn >> PM_LEVEL_BITS & (PM_LEVEL - 1)];
	if (!*leaf) {
		*leaf = own_alloc(hp, PM_LEVEL, PROT_READ | PROT_WRITE);
		if (!*leaf)
			return -ENOMEM;
		hp->port.table_bytes += PM_LEVEL;
	}
	return 0;
}

int pm_prepare(struct host_port *hp, uint64_t pfn, uint64_t n)
{
	for (uint64_t step; n; pfn += step, n -= step) {
		step = in_leaf(pfn, n);
		if (!leaf_of(&hp->pm, pfn) && make_leaf(hp, pfn))
			return -ENOMEM;
	}
	return 0;
}

static uint8_t counted(const struct protmap *pm, uint8_t byte)
{
	return byte & pm->count_if ? byte : 0;
}

/* Edges from the one before pfn to the one after the last of n pages. */
static uint64_t edges_in(const struct protmap *pm, uint64_t pfn, uint64_t n)
{
	uint8_t last = counted(pm, pm_get(pm, pfn - 1));
	uint64_t edges = 0;

	for (uint64_t i = 0; i <= n; i++) {
		uint8_t now = counted(pm, pm_get(pm, pfn + i));

		edges += now != last;
		last = now;
	}
	return edges;
}

int64_t pm_delta(const struct protmap *pm, uint64_t pfn, uint64_t n, uint8_t value)
{
	uint8_t now = counted(pm, value);
	uint64_t after = (counted(pm, pm_get(pm, pfn - 1)) != now) + (counted(pm, pm_get(pm, pfn + n)) != now);

	return (int64_t)after - (int64_t)edges_in(pm, pfn, n);
}

static void set_in_leaf(struct protmap *pm, uint8_t *leaf, uint64_t pfn, uint64_t n, uint8_t keep, uint8_t bits)
{
	uint8_t *b = leaf + (pfn & (PM_LEVEL - 1));

	pm->edges -= edges_in(pm, pfn, n);
	for (uint64_t i = 0; i < n; i++)
		b[i] = (b[i] & keep) | bits;
	pm->edges += edges_in(pm, pfn, n);
}

void pm_set(struct host_port *hp, uint64_t pfn, uint64_t n, uint8_t keep, uint8_t bits)
{
	for (uint64_t step; n; pfn += step, n -= step) {
		uint8_t *leaf = leaf_of(&hp->pm, pfn);

		step = in_leaf(pfn, n);
		SF_BUG_ON(!leaf && bits);
		if (leaf)
			set_in_leaf(&hp->pm, leaf, pfn, step, keep, bits);
	}
}

/* First page at or after pfn that may have a byte: skips tables that are not there. */
static uint64_t skip_missing(const struct protmap *pm, uint64_t pfn, uint64_t end)
{
	while (pfn < end && !leaf_of(pm, pfn)) {
		unsigned shift = pm->root[pfn >> 2 * PM_LEVEL_BITS & (PM_LEVEL - 1)] ? PM_LEVEL_BITS : 2 * PM_LEVEL_BITS;

		pfn = ((pfn >> shift) + 1) << shift;
	}
	return MIN(pfn, end);
}

void pm_clear(struct host_port *hp, uint64_t pfn, uint64_t n)
{
	uint64_t end = pfn + n, step;

	for (pfn = skip_missing(&hp->pm, pfn, end); pfn < end; pfn = skip_missing(&hp->pm, pfn + step, end)) {
		uint8_t *leaf = leaf_of(&hp->pm, pfn);

		step = in_leaf(pfn, end - pfn);
		set_in_leaf(&hp->pm, leaf, pfn, step, 0, 0);
		if (step == PM_LEVEL) {
			hp->pm.root[pfn >> 2 * PM_LEVEL_BITS & (PM_LEVEL - 1)][pfn >> PM_LEVEL_BITS & (PM_LEVEL - 1)] = NULL;
			own_free(hp, leaf, PM_LEVEL);
			hp->port.table_bytes -= PM_LEVEL;
		}
	}
}

uint64_t pm_run(const struct protmap *pm, uint64_t pfn, uint64_t end, uint8_t want, uint64_t *ret_first, uint8_t *ret_value)
{
	uint64_t first;
	uint8_t value;

	for (pfn = skip_missing(pm, pfn, end); pfn < end && !(pm_get(pm, pfn) & want); pfn = skip_missing(pm, pfn + 1, end))
		;
	if (pfn >= end)
		return 0;
	first = pfn;
	value = pm_get(pm, pfn);
	while (pfn < end && pm_get(pm, pfn) == value)
		pfn++;
	*ret_first = first;
	*ret_value = value;
	return pfn - first;
}

void pm_free(struct host_port *hp)
{
	for (unsigned i = 0; i < PM_LEVEL; i++) {
		uint8_t **mid = hp->pm.root[i];

		for (unsigned k = 0; mid && k < PM_LEVEL; k++)
			if (mid[k])
				own_free(hp, mid[k], PM_LEVEL);
		if (mid)
			own_free(hp, mid, TABLE_BYTES);
	}
	own_free(hp, hp->pm.root, TABLE_BYTES);
}
