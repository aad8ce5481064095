/* SPDX-License-Identifier: MIT */
/* objpool.c - size classes on spans of pages, spans on chunks of memory
 *
 *   port --alloc--> chunk, 32 pages --> span, 1…8 pages --> up to 64 objects of one class
 *
 * Classes lie a sixteenth to an eighth apart, and each class takes the span length that wastes least, so about a twentieth is lost on
 * average.  A class fills its partial spans before it takes a new one; a span without objects gives its pages
 * back to the chunk, where any class may have them; a chunk without spans goes back to the port.  A page counts as
 * memory from its first use until its chunk goes.
 *
 * Descriptors stand outside the chunks, in one table that the port backs as it is touched, so full pages hold objects
 * only.  An object is named by chunk number and offset; a descriptor's base never changes while objects live, which is
 * why objpool_ptr needs no lock.
 *
 * The lock covers everything else.  It is let go of around the port's alloc and free. */

#include "store/objpool.h"

#define CHUNK_PAGES 32u
#define CHUNK_BYTES (CHUNK_PAGES * PAGE_SIZE)
#define UNIT_SHIFT  4u  /* objects start on 16-byte units */
#define UNIT_BITS   13u /* units in a chunk, log2 */

_Static_assert(CHUNK_BYTES >> UNIT_SHIFT == 1u << UNIT_BITS, "an offset fits its bits");

struct span {
	uint64_t free;       /* a bit for each free object */
	uint32_t next, prev; /* spans of the class with free objects: chunk * CHUNK_PAGES + first page */
	uint8_t cls, pages;
	uint8_t head;        /* of each page of a span: the span's first page */
	bool listed;
};

struct obj_chunk {
	uint8_t *base;          /* NULL: descriptor unused */
	uint32_t used, touched; /* a bit for each page */
	uint32_t next, prev;    /* chunks of equal room */
	uint32_t room;          /* longest free run, at most OBJ_SPAN_MAX_PAGES */
	struct span span[CHUNK_PAGES];
};

/* ---------------------------------------------------------------- classes */

static unsigned class_of(unsigned size)
{
	if (size <= 64)
		return 0;
	if (size <= 256)
		return (size - 64 + 15) / 16;
	if (size <= 512)
		return 12 + (size - 256 + 31) / 32;
	if (size <= 1024)
		return 20 + (size - 512 + 63) / 64;
	return 28 + (size - 1024 + 127) / 128;
}

static unsigned class_size(unsigned cls)
{
	if (cls <= 12)
		return 64 + cls * 16;
	if (cls <= 20)
		return 256 + (cls - 12) * 32;
	if (cls <= 28)
		return 512 + (cls - 20) * 64;
	return 1024 + (cls - 28) * 128;
}

/* The shortest span that wastes no more than a 32nd, else the one that wastes the least share. */
static void class_init(struct obj_class *c, unsigned size)
{
	unsigned best_waste = ~0u;

	c->size = (uint16_t)size;
	for (unsigned pages = 1; pages <= OBJ_SPAN_MAX_PAGES; pages++) {
		unsigned count = MIN(pages * (unsigned)PAGE_SIZE / size, 64u);
		unsigned waste = (pages * (unsigned)PAGE_SIZE - count * size) / pages;
		if (waste < best_waste) {
			best_waste = waste;
			c->pages = (uint8_t)pages;
			c->count = (uint8_t)count;
		}
		if (waste <= PAGE_SIZE / 32)
			break;
	}
}

/* ---------------------------------------------------------------- charging; locked */

static bool charge(struct objpool *op, uint64_t n)
{
	if (n > op->max_bytes || op->bytes > op->max_bytes - n)
		return false;
	WRITE_ONCE(op->bytes, op->bytes + n);
	return true;
}

bool objpool_charge(struct objpool *op, uint64_t n)
{
	store_lock(&op->lock, op->port);
	bool ok = charge(op, n);
	store_unlock(&op->lock, op->port);
	return ok;
}

void objpool_uncharge(struct objpool *op, uint64_t n)
{
	store_lock(&op->lock, op->port);
	SF_MISUSE(n > op->bytes);
	WRITE_ONCE(op->bytes, op->bytes - n);
	store_unlock(&op->lock, op->port);
}

uint64_t objpool_bytes(struct objpool *op)
{
	return READ_ONCE(op->bytes); /* asked for often; as good as an answer that is old when the lock is let go of */
}

/* ---------------------------------------------------------------- chunks; locked */

/* A bit at each page where a free run of n pages starts. */
static uint32_t runs_of(uint32_t used, unsigned n)
{
	uint32_t runs = ~used;

	for (unsigned i = 1; i < n; i++)
		runs &= ~used >> i; /* what shifts in from above is 0: no run beyond the end */
	return runs;
}

static uint32_t run_mask(unsigned page, unsigned n)
{
	return ((1u << n) - 1) << page;
}

static unsigned count_bits(uint32_t mask)
{
	unsigned n = 0;

	for (; mask; mask &= mask - 1)
		n++;
	return n;
}

static void chunk_link(struct objpool *op, uint32_t idx)
{
	struct obj_chunk *ch = &op->chunks[idx];
	uint32_t *head;

	ch->room = 0;
	while (ch->room < OBJ_SPAN_MAX_PAGES && runs_of(ch->used, ch->room + 1))
		ch->room++;
	head = &op->by_room[ch->room];
	ch->prev = 0;
	ch->next = *head;
	if (*head)
		op->chunks[*head].prev = idx;
	*head = idx;
}

static void chunk_unlink(struct objpool *op, uint32_t idx)
{
	struct obj_chunk *ch = &op->chunks[idx];

	if (ch->prev)
		op->chunks[ch->prev].next = ch->next;
	else
		op->by_room[ch->room] = ch->next;
	if (ch->next)
		op->chunks[ch->next].prev = ch->prev;
}

/* A descriptor for memory at base; 0 when there is none. */
static uint32_t chunk_add(struct objpool *op, void *base)
{
	uint32_t idx = op->free_chunks;

	if (idx) {
		op->free_chunks = op->chunks[idx].next;
	} else {
		uint64_t size = sizeof(struct obj_chunk);
		if (op->nr_chunks == op->max_chunks ||
		    !charge(op, PAGE_ALIGN((op->nr_chunks + 1) * size) - PAGE_ALIGN(op->nr_chunks * size)))
			return 0;
		idx = op->nr_chunks++;
	}
	op->chunks[idx].base = base;
	op->chunks[idx].used = op->chunks[idx].touched = 0;
	chunk_link(op, idx);
	return idx;
}

/* The chunk, which is on no list, has no spans: forget it.  The memory to give back. */
static void *chunk_remove(struct objpool *op, uint32_t idx)
{
	struct obj_chunk *ch = &op->chunks[idx];
	void *base = ch->base;
	uint64_t bytes = count_bits(ch->touched) * PAGE_SIZE;

	WRITE_ONCE(op->bytes, op->bytes - bytes);
	WRITE_ONCE(op->chunk_bytes, op->chunk_bytes - bytes);
	ch->base = NULL;
	ch->next = op->free_chunks;
	op->free_chunks = idx;
	return base;
}

/* ---------------------------------------------------------------- spans; locked */

static struct span *span_at(struct objpool *op, uint32_t id)
{
	return &op->chunks[id / CHUNK_PAGES].span[id % CHUNK_PAGES];
}

static void span_link(struct objpool *op, uint32_t id)
{
	struct span *sp = span_at(op, id);
	uint32_t *head = &op->classes[sp->cls].partial;

	sp->prev = 0;
	sp->next = *head;
	if (*head)
		span_at(op, *head)->prev = id;
	*head = id;
	sp->listed = true;
}

static void span_unlink(struct objpool *op, uint32_t id)
{
	struct span *sp = span_at(op, id);

	if (sp->prev)
		span_at(op, sp->prev)->next = sp->next;
	else
		op->classes[sp->cls].partial = sp->next;
	if (sp->next)
		span_at(op, sp->next)->prev = sp->prev;
	sp->listed = false;
}

static uint64_t all_free(const struct obj_class *c)
{
	return ~0ull >> (64 - c->count);
}

/* Take pages of chunk idx for a span of a class.  False: the bound forbids. */
static bool span_make(struct objpool *op, uint32_t idx, unsigned cls)
{
	struct obj_chunk *ch = &op->chunks[idx];
	unsigned pages = op->classes[cls].pages;
	unsigned first = (unsigned)__builtin_ctz(runs_of(ch->used, pages));
	uint32_t mask = run_mask(first, pages);
	uint64_t fresh = count_bits(mask & ~ch->touched) * PAGE_SIZE;

	if (!charge(op, fresh))
		return false;
	WRITE_ONCE(op->chunk_bytes, op->chunk_bytes + fresh);
	chunk_unlink(op, idx);
	ch->used |= mask;
	ch->touched |= mask;
	chunk_link(op, idx);
	for (unsigned i = first; i < first + pages; i++)
		ch->span[i].head = (uint8_t)first;
	ch->span[first].free = all_free(&op->classes[cls]);
	ch->span[first].cls = (uint8_t)cls;
	ch->span[first].pages = (uint8_t)pages;
	span_link(op, idx * CHUNK_PAGES + first);
	return true;
}

/* A span without objects goes; the chunk's memory if that was its last, else NULL. */
static void *span_drop(struct objpool *op, uint32_t id)
{
	uint32_t idx = id / CHUNK_PAGES;
	struct obj_chunk *ch = &op->chunks[idx];

	span_unlink(op, id);
	chunk_unlink(op, idx);
	ch->used &= ~run_mask(id % CHUNK_PAGES, span_at(op, id)->pages);
	if (!ch->used)
		return chunk_remove(op, idx);
	chunk_link(op, idx);
	return NULL;
}

/* A chunk with a free run of so many pages, the tightest fit first; 0: none. */
static uint32_t chunk_with_room(struct objpool *op, unsigned pages)
{
	for (; pages <= OBJ_SPAN_MAX_PAGES; pages++)
		if (op->by_room[pages])
			return op->by_room[pages];
	return 0;
}

/* One more chunk from the port, with the lock let go of meanwhile. */
static bool grow(struct objpool *op)
{
	store_unlock(&op->lock, op->port);
	void *base = op->port->ops->alloc(op->port, CHUNK_BYTES);
	store_lock(&op->lock, op->port);
	if (!base)
		return false;
	if (chunk_add(op, base))
		return true;
	store_unlock(&op->lock, op->port);
	op->port->ops->free(op->port, base, CHUNK_BYTES);
	store_lock(&op->lock, op->port);
	return false;
}

/* ---------------------------------------------------------------- objects */

/* Make sure the class has a span with a free object. */
static bool class_refill(struct objpool *op, unsigned cls)
{
	while (!op->classes[cls].partial) {
		uint32_t idx = chunk_with_room(op, op->classes[cls].pages);
		if (idx ? !span_make(op, idx, cls) : !grow(op))
			return false;
	}
	return true;
}

obj_t objpool_get(struct objpool *op, unsigned size)
{
	unsigned cls = class_of(size);
	obj_t obj = 0;

	SF_MISUSE(!size || size > OBJ_MAX_SIZE);
	store_lock(&op->lock, op->port);
	if (class_refill(op, cls)) {
		uint32_t id = op->classes[cls].partial;
		struct span *sp = span_at(op, id);
		unsigned i = (unsigned)__builtin_ctzll(sp->free);
		uint64_t offset = id % CHUNK_PAGES * PAGE_SIZE + i * op->classes[cls].size;

		sp->free &= sp->free - 1;
		if (!sp->free)
			span_unlink(op, id);
		obj = (uint64_t)(id / CHUNK_PAGES) << UNIT_BITS | offset >> UNIT_SHIFT;
	}
	store_unlock(&op->lock, op->port);
	return obj;
}

static uint64_t obj_offset(obj_t obj)
{
	return (obj & ((1u << UNIT_BITS) - 1)) << UNIT_SHIFT;
}

void *objpool_ptr(const struct objpool *op, obj_t obj)
{
	return op->chunks[obj >> UNIT_BITS].base + obj_offset(obj);
}

void objpool_put(struct objpool *op, obj_t obj)
{
	uint32_t idx = (uint32_t)(obj >> UNIT_BITS);
	struct obj_chunk *ch = &op->chunks[idx];
	void *gone = NULL;

	store_lock(&op->lock, op->port);
	SF_MISUSE(!idx || idx >= op->nr_chunks || !ch->base);
	unsigned head = ch->span[obj_offset(obj) >> PAGE_SHIFT].head;
	struct span *sp = &ch->span[head];
	struct obj_class *c = &op->classes[sp->cls];
	uint64_t bit = 1ull << (obj_offset(obj) - head * PAGE_SIZE) / c->size;

	SF_MISUSE(sp->free & bit);
	sp->free |= bit;
	if (!sp->listed)
		span_link(op, idx * CHUNK_PAGES + head);
	if (sp->free == all_free(c))
		gone = span_drop(op, idx * CHUNK_PAGES + head);
	store_unlock(&op->lock, op->port);
	if (gone)
		op->port->ops->free(op->port, gone, CHUNK_BYTES);
}

/* ---------------------------------------------------------------- the pool */

static uint64_t table_bytes(const struct objpool *op)
{
	return op->max_chunks * sizeof(struct obj_chunk);
}

int objpool_init(struct objpool *op, struct port *port, uint64_t max_bytes, uint64_t max_objects)
{
	/* Twice what full chunks would need, as chunks may be used in part. */
	uint64_t most = MIN(max_bytes, max_objects < UINT64_MAX / PAGE_SIZE ? max_objects * PAGE_SIZE : UINT64_MAX);

	memset(op, 0, sizeof(*op));
	op->port = port;
	op->max_bytes = max_bytes;
	op->max_chunks = (uint32_t)MIN(most / CHUNK_BYTES * 2 + 16, (1ull << (OBJ_BITS - UNIT_BITS - 5)) - 1);
	op->nr_chunks = 1; /* so that no object is named 0 */
	for (unsigned i = 0; i < OBJ_NR_CLASSES; i++)
		class_init(&op->classes[i], class_size(i));
	op->chunks = port->ops->alloc(port, table_bytes(op));
	return op->chunks ? 0 : -ENOMEM;
}

void objpool_destroy(struct objpool *op)
{
	for (uint32_t i = 1; i < op->nr_chunks; i++)
		if (op->chunks[i].base)
			op->port->ops->free(op->port, op->chunks[i].base, CHUNK_BYTES);
	op->port->ops->free(op->port, op->chunks, table_bytes(op));
	op->chunks = NULL;
}

/* ---------------------------------------------------------------- invariants */

/* The chunk's spans tile exactly its used pages; spans with a free object are listed, and none is wholly free. */
static void chunk_check(struct objpool *op, struct obj_chunk *ch)
{
	uint32_t seen = 0;

	for (unsigned i = 0; i < CHUNK_PAGES; i++) {
		if (!(ch->used & 1u << i) || ch->span[i].head != i)
			continue;
		struct span *sp = &ch->span[i];
		SF_ASSERT(seen < 1u << i && sp->pages == op->classes[sp->cls].pages);
		SF_ASSERT(sp->listed == (sp->free != 0));
		SF_ASSERT(sp->free != all_free(&op->classes[sp->cls]));
		seen |= run_mask(i, sp->pages);
	}
	SF_ASSERT(seen == ch->used && !(ch->used & ~ch->touched));
}

void objpool_check(struct objpool *op)
{
	uint64_t bytes = 0;

	for (uint32_t i = 1; i < op->nr_chunks; i++) {
		struct obj_chunk *ch = &op->chunks[i];
		if (!ch->base)
			continue;
		chunk_check(op, ch);
		bytes += count_bits(ch->touched) * PAGE_SIZE;
	}
	SF_ASSERT(bytes == op->chunk_bytes && bytes <= op->bytes && op->bytes <= op->max_bytes);
	for (unsigned room = 0; room <= OBJ_SPAN_MAX_PAGES; room++)
		for (uint32_t i = op->by_room[room]; i; i = op->chunks[i].next)
			SF_ASSERT(op->chunks[i].base && op->chunks[i].room == room);
	for (unsigned c = 0; c < OBJ_NR_CLASSES; c++)
		for (uint32_t id = op->classes[c].partial; id; id = span_at(op, id)->next)
			SF_ASSERT(span_at(op, id)->cls == c && span_at(op, id)->listed);
}
