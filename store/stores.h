/* SPDX-License-Identifier: MIT */
/* stores.h - the stores there are, and how each is made
 *
 * All take their memory from a port (alloc, free, wait, wake; nothing else of it is used) and may be created before the machine.
 * close() frees one tier only: close the upper ones first, then `below`.  The caller keeps what it passed in. */
#ifndef SF_STORES_H
#define SF_STORES_H

#include "port/port.h"
#include "store/store.h"

/* file: slot i lies at byte i * 4096 of a regular file, which grows as slots are written and stays sparse below.
 * Discarded slots give their blocks back a whole aligned megabyte at a time. */
struct store_file_config {
	int fd;             /* open for reading and writing; stays the caller's */
	uint64_t max_bytes; /* writes beyond it answer -ENOSPC; 0: one tebibyte */
	bool shared;        /* other processes use the same file's slots: punch no holes, believe every slot is there */
};
/* -EBADF, -ESPIPE (not seekable), -ENOMEM, -EINVAL. */
int store_file_create(const struct store_file_config *cfg, struct port *port, struct store **ret);

/* zram: compressed pages in memory.  Pages of one repeated 64-bit word take no object; pages that compress badly, or come when
 * memory has reached max_bytes, are kept by the store below. */
struct store_zram_config {
	uint64_t max_bytes; /* the most that memory() will ever say; 0: none but that of max_slots */
	uint64_t max_slots; /* slots from here on belong to the store below; 8 bytes each once touched */
	struct store *below; /* or NULL: what is not kept is -ENOSPC */
};
/* -ENOMEM, -EINVAL (no slots, or max_bytes below 32 KiB). */
int store_zram_create(const struct store_zram_config *cfg, struct port *port, struct store **ret);

struct store_zram_info {
	uint64_t objects;      /* compressed pages kept */
	uint64_t object_bytes; /* their compressed sizes together */
	uint64_t chunk_bytes;  /* memory that holds them */
	uint64_t filled;       /* pages of one repeated word */
	uint64_t passed;       /* pages ever handed below */
};
void store_zram_info(struct store *s, struct store_zram_info *ret);

/* inject: bad slots on purpose, for tests.  All else is the store's below. */
struct store_fault {
	uint64_t every; /* slots that this divides are bad (1: all); 0: none */
	uint64_t after; /* but nothing goes wrong before so many pages went well */
	int32_t err;    /* -errno for the caller; 0: reads flip one bit of each bad page */
};
struct store_inject_config {
	struct store_fault read, write; /* write.err must not be 0 */
	struct store *below;
};
/* -ENOMEM, -EINVAL (nothing below). */
int store_inject_create(const struct store_inject_config *cfg, struct port *port, struct store **ret);

#endif
