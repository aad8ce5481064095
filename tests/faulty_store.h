/* SPDX-License-Identifier: MIT */
/* faulty_store.h - a tier that does wrong to order, above any store
 *
 *	struct faulty_store fs;
 *	faulty_store_init(&fs, real);
 *	fs.write.fail_at = 3; fs.write.err = -ENOSPC;   the third write from now on fails
 *	machine_config.store = &fs.store;
 *
 * For tests; linked with libc.  Counting is safe with several threads, settings are to be made while nobody calls. */
#ifndef SF_FAULTY_STORE_H
#define SF_FAULTY_STORE_H

#include "store/store.h"

struct faulty_op {
	uint64_t calls, pages; /* so far */
	uint64_t fail_at;      /* the call, counted from 1 since faulty_arm, that goes wrong; 0: none */
	uint64_t fail_times;   /* and how many from there on; 0 counts as 1 */
	int err;               /* what it answers, e.g. -EIO; 0: it says that all is well */
	bool short_count;      /* it does the first half of its pages (rounded down), else none */
	uint64_t since;        /* calls since faulty_arm */
};

struct faulty_store {
	struct store store;
	struct faulty_op write, read;
	uint64_t discards;
	uint64_t corrupt_slot;  /* reads of this slot have a bit flipped; 0: none */
	bool corrupt_all;       /* of every slot */
	unsigned corrupt_bit;   /* which bit of the page */
	void (*slow)(void *arg, bool is_write); /* called in the middle of each read and write, e.g. to wait for a test's signal */
	void *slow_arg;
	uint64_t memory;        /* what memory() answers beside the one below */
};

/* below is the caller's and must outlive it. */
void faulty_store_init(struct faulty_store *fs, struct store *below);
/* From the at-th call from now on, times calls go wrong with err. */
void faulty_arm(struct faulty_op *op, uint64_t at, uint64_t times, int err, bool short_count);

#endif
