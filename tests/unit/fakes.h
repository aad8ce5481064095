/* SPDX-License-Identifier: MIT */
/* fakes.h - a store and files made of memory, with faults to order
 *
 * For unit tests and the fuzzer; free of cmocka.  Both fakes are strict: what a real one would punish at some later time
 * (reading a slot that was never written, two callers on one slot) is a panic at once. */
#ifndef SF_TEST_FAKES_H
#define SF_TEST_FAKES_H

#include "mm/mm.h"
#include "port/soft/soft.h"

#include <pthread.h>

/* Fail the calls skip+1 … skip+times by -err; counts down as calls pass. */
struct fake_fail {
	uint64_t skip, times;
	int err;
};
/* 0, or the negative errno that this call shall fail with. */
int fake_fail_hit(struct fake_fail *f);

enum fake_slot_state { FAKE_FREE, FAKE_GOOD, FAKE_UNDEFINED /* its write failed */ };
struct fake_slot {
	unsigned char *data;
	enum fake_slot_state state;
	int readers, writers; /* calls under way */
};

struct fake_store {
	struct store s;
	pthread_mutex_t lock;
	struct fake_slot *slots;
	uint64_t nr_slots; /* highest slot number allowed, plus one */
	uint64_t capacity; /* pages it holds before it says -ENOSPC; 0: nr_slots */
	uint64_t live, writes, reads, pages_written, pages_read, discards;
	struct fake_fail write_fail, read_fail;
	bool tear;                   /* a failing write writes its first half, a failing read reads it */
	void (*on_write)(void *arg); /* called in the middle of a write / read, no lock held */
	void (*on_read)(void *arg);
	void *hook_arg;
	uint64_t memory; /* what memory() answers */
};
void fake_store_init(struct fake_store *st, uint64_t nr_slots);
void fake_store_fini(struct fake_store *st);
void fake_store_corrupt(struct fake_store *st, uint64_t slot); /* flip one bit of what it keeps */
uint64_t fake_store_corrupt_all(struct fake_store *st);        /* number of slots */

struct fake_file {
	struct sf_file f;
	struct port *port; /* contents are a shared object of the soft port, number f.fd */
	uint64_t reads, bytes_read;
	struct fake_fail read_fail;
	void (*on_read)(void *arg);
	void *hook_arg;
	bool *released; /* set when the last reference goes */
};
/* size bytes of fake_byte(); the caller has one reference.  released may be NULL. */
struct fake_file *fake_file_new(struct port *p, uint64_t size, bool *released);
void fake_file_resize(struct fake_file *ff, uint64_t size);
static inline unsigned char fake_byte(uint64_t off) { return (unsigned char)((off * 2654435761u) >> 13 ^ off >> 12 ^ 0x5a); }

/* sf_panic prints its message and aborts, or comes back here when a test expects it. */
#include <setjmp.h>
extern jmp_buf *fake_panic_jump;
extern const char *fake_panic_what;
/* Printed by sf_panic too (the fuzzer's seed); may be NULL. */
extern void (*fake_panic_note)(void);

#endif
