/* SPDX-License-Identifier: MIT */
/* own.c - memory of ours, beside the program's
 *
 * Pages come from [own_lo, own_hi), never where the host would choose, so they cannot meet the program's.  Freed ranges are
 * unmapped and their addresses used again, first fit; neighbours of equal kind cost the host one mapping. */
#include "port/host/host_priv.h"

static void own_lock(struct own *o)
{
	while (__atomic_exchange_n(&o->lock, 1, __ATOMIC_ACQUIRE))
		__builtin_ia32_pause();
}

static void own_unlock(struct own *o)
{
	__atomic_store_n(&o->lock, 0, __ATOMIC_RELEASE);
}

void own_hold(struct host_port *hp, bool on)
{
	if (on)
		own_lock(&hp->own);
	else
		own_unlock(&hp->own);
}

/* locked: own */
static vaddr_t take_address(struct own *o, size_t bytes)
{
	vaddr_t va;

	for (unsigned i = 0; i < o->nr_holes; i++) {
		struct own_hole *h = &o->hole[i];

		if (h->hi - h->lo < bytes)
			continue;
		va = h->lo;
		h->lo += bytes;
		if (h->lo == h->hi)
			*h = o->hole[--o->nr_holes];
		return va;
	}
	if (o->hi - o->next < bytes)
		return 0;
	va = o->next;
	o->next += bytes;
	return va;
}

/* Holes that touch become one; when there are too many, the addresses are forgotten.  locked: own */
static void give_address(struct own *o, vaddr_t lo, vaddr_t hi)
{
	for (unsigned i = 0; i < o->nr_holes;) {
		struct own_hole *h = &o->hole[i];

		if (h->hi != lo && h->lo != hi) {
			i++;
			continue;
		}
		lo = MIN(lo, h->lo);
		hi = MAX(hi, h->hi);
		*h = o->hole[--o->nr_holes];
		i = 0;
	}
	if (hi == o->next)
		o->next = lo;
	else if (o->nr_holes < OWN_HOLES)
		o->hole[o->nr_holes++] = (struct own_hole){ lo, hi };
}

void *own_alloc(struct host_port *hp, size_t bytes, int prot)
{
	const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | (hp->cfg.reserved ? MAP_FIXED : MAP_FIXED_NOREPLACE) |
			  (bytes <= PAGE_SIZE && hp->cfg.no_huge ? MAP_POPULATE : 0); /* else it would not merge with its neighbour */
	vaddr_t va;
	int64_t r;

	bytes = PAGE_ALIGN(bytes);
	do {
		own_lock(&hp->own);
		va = bytes ? take_address(&hp->own, bytes) : 0;
		own_unlock(&hp->own);
		if (!va)
			return NULL;
		r = hp_call(hp, __NR_mmap, va, bytes, prot, flags, -1, 0);
		if (r == -EEXIST) /* somebody else lives there: these addresses are lost to us */
			continue;
		if (r == (int64_t)va) {
			if (!hp->cfg.no_huge)
				hp_call(hp, __NR_madvise, va, bytes, MADV_NOHUGEPAGE);
			return (void *)va;
		}
		if (r > 0) { /* a host that takes NOREPLACE for a hint */
			hp_call(hp, __NR_munmap, r, bytes);
			continue;
		}
		own_lock(&hp->own);
		give_address(&hp->own, va, va + bytes);
		own_unlock(&hp->own);
		return NULL;
	} while (true);
}

/* A host at its limit of mappings refuses to unmap: then only the contents go, and the addresses are lost. */
void own_free(struct host_port *hp, void *mem, size_t bytes)
{
	vaddr_t va = (vaddr_t)mem;

	bytes = PAGE_ALIGN(bytes);
	if (hp_unmap(hp, va, bytes)) {
		hp_call(hp, __NR_madvise, va, bytes, MADV_DONTNEED);
		return;
	}
	own_lock(&hp->own);
	give_address(&hp->own, va, va + bytes);
	own_unlock(&hp->own);
}
