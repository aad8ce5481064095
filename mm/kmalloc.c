/* SPDX-License-Identifier: MIT */
/* kmalloc.c - small memory of the core
 *
 *      port->alloc ─► chunk, 16 slabs ─► slab, 64 KiB at a multiple of 64 KiB ─► objects of one size class
 *
 *      slab:  | head, 128 bytes | object | object | … | never used yet … |
 *
 * A slab lies at a multiple of its size, so kfree finds the head by masking the pointer.  Objects that were never used are
 * known to be zero and untouched: they are handed out without clearing, and cost the host nothing before.  An empty
 * slab may serve another class; an empty chunk goes back to the port unless it is the only one.  What is larger than
 * the largest class has a slab head of its own in front and memory straight from the port.
 *
 * One lock of three states over everything; it is held for a few instructions, or for one call of port->alloc.  It nests in the
 * mm lock and nothing nests in it.
 *
 * Invariants: a slab is on its class's partial list if and only if it has objects used and objects free; used counts the
 * objects that are out; a chunk's used counts its slabs that are not on the spare list or untouched. */
#include "mm/mm.h"
#include "mm/lock.h"

#define SLAB_SIZE   0x10000ul
#define CHUNK_SLABS 16u
#define HEAD_SIZE   128u
#define SLAB_MAGIC  0x51ab51abu
#define LARGE       0xffffu

static const uint16_t class_size[] = { 16, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096, 8192 };
#define NR_CLASSES ARRAY_SIZE(class_size)
#define MAX_SMALL  8192u

struct slab {
	uint32_t magic;
	uint16_t class_nr;     /* or LARGE */
	uint16_t used, fresh;  /* objects out; objects ever used, all below this index */
	bool dirty;            /* the part above fresh is not zero: it has served another class */
	void *free;            /* freed objects, linked through their first word */
	LIST_ENTRY(slab) link; /* partial, spare, or large */
	struct slab *chunk;    /* the chunk's first slab, in which the rest is kept */
	LIST_ENTRY(slab) chunk_link;
	void *mem; size_t bytes; /* as the port gave it */
	uint32_t chunk_used, chunk_touched; /* slabs */
};
_Static_assert(sizeof(struct slab) <= HEAD_SIZE, "a slab's head fits");
LIST_HEAD(slab_list, slab);

struct kmem {
	uint32_t lock;
	struct port *port;
	struct slab_list partial[NR_CLASSES], spare, chunks, large;
	struct slab *filling;  /* chunk with untouched slabs left, or NULL */
	uint32_t empty_chunks;
	uint64_t bytes;
};

/* ---------------------------------------------------------------- chunks and slabs */

/* Memory for bytes at a multiple of SLAB_SIZE, the head filled in. */
static struct slab *slab_map(struct kmem *k, size_t bytes)
{
	size_t total = bytes + SLAB_SIZE - PAGE_SIZE;
	char *mem = total > bytes ? k->port->ops->alloc(k->port, total) : NULL;

	if (!mem)
		return NULL;
	struct slab *s = (struct slab *)(((uintptr_t)mem + SLAB_SIZE - 1) & ~(SLAB_SIZE - 1));

	s->magic = SLAB_MAGIC;
	s->mem = mem;
	s->bytes = total;
	return s;
}

static struct slab *untouched_slab(struct kmem *k)
{
	struct slab *c = k->filling;

	if (!c) {
		c = slab_map(k, CHUNK_SLABS * SLAB_SIZE);
		if (!c)
			return NULL;
		LIST_INSERT_HEAD(&k->chunks, c, chunk_link);
		k->filling = c;
		k->empty_chunks++;
	}
	struct slab *s = (struct slab *)((char *)c + c->chunk_touched * SLAB_SIZE);

	s->magic = SLAB_MAGIC;
	s->chunk = c;
	if (++c->chunk_touched == CHUNK_SLABS)
		k->filling = NULL;
	return s;
}

static struct slab *slab_take(struct kmem *k, unsigned class_nr)
{
	struct slab *s = LIST_FIRST(&k->spare);

	if (s)
		LIST_REMOVE(s, link);
	else
		s = untouched_slab(k);
	if (!s)
		return NULL;
	if (!s->chunk->chunk_used++)
		k->empty_chunks--;
	s->class_nr = (uint16_t)class_nr;
	s->used = s->fresh = 0;
	s->free = NULL;
	LIST_INSERT_HEAD(&k->partial[class_nr], s, link);
	return s;
}

static void chunk_unmap(struct kmem *k, struct slab *c)
{
	struct slab *s, *next;

	for (s = LIST_FIRST(&k->spare); s; s = next) {
		next = LIST_NEXT(s, link);
		if (s->chunk == c)
			LIST_REMOVE(s, link);
	}
	if (k->filling == c)
		k->filling = NULL;
	LIST_REMOVE(c, chunk_link);
	k->port->ops->free(k->port, c->mem, c->bytes);
}

/* The last object of the slab has come back. */
static void slab_give(struct kmem *k, struct slab *s)
{
	struct slab *c = s->chunk;

	LIST_REMOVE(s, link);
	s->dirty = true;
	LIST_INSERT_HEAD(&k->spare, s, link);
	if (--c->chunk_used)
		return;
	if (k->empty_chunks)
		chunk_unmap(k, c);
	else
		k->empty_chunks++;
}

/* ---------------------------------------------------------------- objects */

static unsigned class_for(size_t size)
{
	unsigned c = 0;

	while (class_size[c] < size)
		c++;
	return c;
}

static unsigned slab_capacity(unsigned class_nr)
{
	return (SLAB_SIZE - HEAD_SIZE) / class_size[class_nr];
}

static void *small_alloc(struct kmem *k, unsigned class_nr, bool *ret_zero)
{
	struct slab *s = LIST_FIRST(&k->partial[class_nr]);
	void *p;

	if (!s)
		s = slab_take(k, class_nr);
	if (!s)
		return NULL;
	if (s->free) {
		p = s->free;
		memcpy(&s->free, p, sizeof(s->free));
		*ret_zero = false;
	} else {
		p = (char *)s + HEAD_SIZE + (size_t)s->fresh++ * class_size[class_nr];
		*ret_zero = !s->dirty;
	}
	if (++s->used == slab_capacity(class_nr))
		LIST_REMOVE(s, link);
	k->bytes += class_size[class_nr];
	return p;
}

static void *large_alloc(struct kmem *k, size_t size)
{
	struct slab *s = size < SIZE_MAX / 2 ? slab_map(k, size + HEAD_SIZE) : NULL;

	if (!s)
		return NULL;
	s->class_nr = LARGE;
	LIST_INSERT_HEAD(&k->large, s, link);
	k->bytes += s->bytes;
	return (char *)s + HEAD_SIZE;
}

void *kmalloc(struct machine *mc, size_t size)
{
	struct kmem *k = mc->kmem;
	bool zero = true, small = size <= MAX_SMALL;
	unsigned c = small ? class_for(size) : 0;

	lock_take(k->port, &k->lock);
	void *p = small ? small_alloc(k, c, &zero) : large_alloc(k, size);

	lock_drop(k->port, &k->lock);
	if (p && !zero)
		memset(p, 0, class_size[c]);
	return p;
}

static void small_free(struct kmem *k, struct slab *s, void *p)
{
	SF_MISUSE(!s->used || s->class_nr >= NR_CLASSES);
	if (s->used == slab_capacity(s->class_nr))
		LIST_INSERT_HEAD(&k->partial[s->class_nr], s, link);
	memcpy(p, &s->free, sizeof(s->free));
	s->free = p;
	k->bytes -= class_size[s->class_nr];
	if (!--s->used)
		slab_give(k, s);
}

void kfree(struct machine *mc, void *p)
{
	struct kmem *k = mc->kmem;
	struct slab *s = (struct slab *)((uintptr_t)p & ~(SLAB_SIZE - 1));

	if (!p)
		return;
	SF_MISUSE(s->magic != SLAB_MAGIC);
	lock_take(k->port, &k->lock);
	if (s->class_nr == LARGE) {
		LIST_REMOVE(s, link);
		k->bytes -= s->bytes;
		k->port->ops->free(k->port, s->mem, s->bytes);
	} else {
		small_free(k, s, p);
	}
	lock_drop(k->port, &k->lock);
}

/* ---------------------------------------------------------------- beginning and end */

int kmem_init(struct machine *mc)
{
	struct kmem *k = mc->port->ops->alloc(mc->port, sizeof(*k));

	if (!k)
		return -ENOMEM;
	k->port = mc->port;
	mc->kmem = k;
	return 0;
}

static void unmap_list(struct kmem *k, struct slab *s, bool large)
{
	while (s) {
		struct slab *next = large ? LIST_NEXT(s, link) : LIST_NEXT(s, chunk_link);

		k->port->ops->free(k->port, s->mem, s->bytes);
		s = next;
	}
}

void kmem_destroy(struct machine *mc)
{
	struct kmem *k = mc->kmem;

	unmap_list(k, LIST_FIRST(&k->large), true);
	unmap_list(k, LIST_FIRST(&k->chunks), false);
	k->port->ops->free(k->port, k, sizeof(*k));
	mc->kmem = NULL;
}

void kmem_fork_begin(struct machine *mc)
{
	struct kmem *k = mc->kmem;

	lock_take(k->port, &k->lock);
}

void kmem_fork_end(struct machine *mc)
{
	struct kmem *k = mc->kmem;

	lock_drop(k->port, &k->lock);
}

uint64_t kmem_bytes(struct machine *mc)
{
	return READ_ONCE(((struct kmem *)mc->kmem)->bytes);
}
