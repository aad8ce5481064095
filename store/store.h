/* SPDX-License-Identifier: MIT */
/* store.h - where evicted pages go
 *
 * A store keeps pages under slot numbers that the swap map chooses (slot 0 is never used).  Stores stack: a tier that does not
 * want a page hands it to the one below under the same slot number, so the swap map knows nothing of tiers.
 *
 * Every method may be called from several threads at once, without the mm lock, from kernel mode on a program's thread:
 * no libc state.  The swap map guarantees that no slot is written, read or discarded by two callers at the same time
 * (two readers excepted). */
#ifndef SF_STORE_H
#define SF_STORE_H

#include "mm/base.h"

struct store;

struct store_ops {
	const char *name;
	/* Keep n pages at buf under slots slot…slot+n-1.  0, or -errno and the slots' contents are undefined (-ENOSPC, -EIO); a
	 * short write of the host is continued, or is -EIO. */
	int (*write)(struct store *s, uint64_t slot, unsigned n, const void *buf);
	/* Read them back.  -EIO when fewer bytes than asked for exist. */
	int (*read)(struct store *s, uint64_t slot, unsigned n, void *buf);
	/* The slots will not be read again before they are written. */
	void (*discard)(struct store *s, uint64_t slot, unsigned n);
	/* Bytes of memory this tier (not the ones below) holds now; they count against the bound. */
	uint64_t (*memory)(struct store *s);
	/* Optional.  From now on other processes use slots of the same store: what was private bookkeeping of contents below memory is given up.  Called before
	 * the first fork, with no slot in flight if a tier keeps pages in memory; such a tier is private to each process. */
	void (*share)(struct store *s);
	/* Optional, of a memory tier with a store below: move pages down until memory() is less by so many bytes, or nothing is left to move, and
	 * give up tables that are empty then.  No slot may be in flight.  0: nothing has changed. */
	uint64_t (*sink)(struct store *s, uint64_t bytes);
	void (*close)(struct store *s);
};

struct store {
	const struct store_ops *ops;
	struct store *below; /* the next tier, or NULL */
};

#endif
