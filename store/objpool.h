/* SPDX-License-Identifier: MIT */
/* objpool.h - memory for many small objects of odd sizes, given back when they go
 *
 *	obj_t o = objpool_get(&pool, 1234);
 *	if (o) memcpy(objpool_ptr(&pool, o), data, 1234);
 *	objpool_put(&pool, o);
 *
 * Objects never move.  get and put may be called by several threads at once; ptr takes no lock. */
#ifndef SF_OBJPOOL_H
#define SF_OBJPOOL_H

#include "store/lock.h"

typedef uint64_t obj_t; /* 0: none; fits in OBJ_BITS bits */
#define OBJ_BITS 44
#define OBJ_MAX_SIZE 3072u
#define OBJ_NR_CLASSES 45u
#define OBJ_SPAN_MAX_PAGES 8u

struct obj_chunk;
struct obj_class {
	uint16_t size;   /* bytes of each object */
	uint8_t pages;   /* of a span */
	uint8_t count;   /* objects in a span, at most 64 */
	uint32_t partial; /* head of the list of spans with some objects free; 0 ends */
};

struct objpool {
	struct port *port;
	struct store_lock lock;
	struct obj_chunk *chunks; /* [1, nr_chunks) have been in use */
	uint32_t nr_chunks, max_chunks;
	uint32_t free_chunks;     /* list of unused descriptors */
	uint32_t by_room[OBJ_SPAN_MAX_PAGES + 1]; /* chunks by their longest free run of pages */
	uint64_t bytes, max_bytes; /* all that was charged */
	uint64_t chunk_bytes;      /* touched pages of chunks */
	struct obj_class classes[OBJ_NR_CLASSES];
};

/* max_bytes: the most that may ever be charged, by the pool itself and by objpool_charge.  max_objects bounds its tables.  -ENOMEM. */
int objpool_init(struct objpool *op, struct port *port, uint64_t max_bytes, uint64_t max_objects);
void objpool_destroy(struct objpool *op);
/* 1 … OBJ_MAX_SIZE bytes, 16-byte aligned; 0 when that would exceed max_bytes or the port has no memory. */
obj_t objpool_get(struct objpool *op, unsigned size);
void objpool_put(struct objpool *op, obj_t obj);
void *objpool_ptr(const struct objpool *op, obj_t obj);
/* Count n bytes of the caller's own against max_bytes.  False: no room, nothing counted. */
bool objpool_charge(struct objpool *op, uint64_t n);
/* They are no longer in memory. */
void objpool_uncharge(struct objpool *op, uint64_t n);
/* Bytes charged now. */
uint64_t objpool_bytes(struct objpool *op);
/* Panics unless lists, bitmaps and counts agree.  Nobody else may be using the pool. */
void objpool_check(struct objpool *op);

#endif
