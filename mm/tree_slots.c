/* SPDX-License-Identifier: MIT */
/* tree_slots.c - which member holds which slot, and what becomes of slots that were changing hands when their member was killed
 *
 *   taking       bit in the map, use count 1, used, the member's bit        each step by itself; all of them within a note
 *   sharing      use count up, the child's bit
 *   giving up    the member's bit, use count down; the last one: bit in the map, used
 *
 * So a slot has at least as many uses as members that hold it, and one without either is free but for its bit in the map.  A note names the slots on which
 * its member is at work: where no living member's note names a slot, both numbers are the same, and whoever finds them different after a death knows what
 * the dead has left (mend).  One process mends at a time.  The count of slots in use is made right when no note is open at all.
 *
 *   note:   slot << 32 | n << 20 | number << 1 | left       n 0: nothing under way; left: nobody is at work on it, a reaper has it */
#include "mm/internal.h"

#define WORD_BITS 64u
#define NOTE_LEFT 1ull
#define NOTE_NUMBER 0xffffeull
#define MEND_TRIES 1000u
#define MEND_WAIT_NS 200000ull
#define MENDER_TRIES 500u

_Static_assert(TREE_NOTE_MOST < 4096, "a note holds the number of slots in 12 bits");

static unsigned note_slots(uint64_t note) { return note >> 20 & 4095; }

static bool note_names(uint64_t note, uint64_t slot) { return slot - (note >> 32) < note_slots(note); }

static bool test_bit(const uint64_t *map, uint64_t i) { return READ_ONCE(map[i / WORD_BITS]) >> i % WORD_BITS & 1; }

void tree_note(struct machine *mc, struct tree_member *m, uint64_t slot, unsigned n)
{
	uint64_t number = (READ_ONCE(m->note) + 2) & NOTE_NUMBER;

	SF_MISUSE(n > TREE_NOTE_MOST);
	tree_step(mc->tree_ops);
	__atomic_store_n(&m->note, slot << 32 | (uint64_t)n << 20 | number, __ATOMIC_RELEASE);
	tree_step(mc->tree_ops);
}

void tree_note_end(struct machine *mc, struct tree_member *m)
{
	tree_step(mc->tree_ops);
	__atomic_store_n(&m->note, READ_ONCE(m->note) & NOTE_NUMBER, __ATOMIC_RELEASE);
}

void tree_hold(struct machine *mc, struct tree_member *m, uint64_t slot, unsigned n)
{
	uint64_t *held = tree_held(mc->tree, m);

	if (slot < m->slots_lo || !m->slots_hi)
		WRITE_ONCE(m->slots_lo, slot);
	if (slot + n > m->slots_hi)
		WRITE_ONCE(m->slots_hi, slot + n);
	for (uint64_t s = slot; s < slot + n; s++) {
		tree_step(mc->tree_ops);
		__atomic_fetch_or(&held[s / WORD_BITS], 1ull << s % WORD_BITS, __ATOMIC_RELEASE);
	}
	WRITE_ONCE(m->swapped, m->swapped + n);
}

void tree_unhold(struct machine *mc, struct tree_member *m, uint64_t slot)
{
	uint64_t *held = tree_held(mc->tree, m);

	tree_step(mc->tree_ops);
	__atomic_fetch_and(&held[slot / WORD_BITS], ~(1ull << slot % WORD_BITS), __ATOMIC_ACQ_REL);
	tree_step(mc->tree_ops);
	WRITE_ONCE(m->swapped, m->swapped - 1);
}

/* ---------------------------------------------------------------- mending */

/* A number that changes with every note, and whether anybody is at work on the slot (0: on any slot). */
static uint64_t notes_sum(struct machine *mc, uint64_t slot, bool *ret_busy)
{
	struct sf_tree *t = mc->tree;
	uint64_t sum = 0, now = mc->port->ops->now(mc->port);

	*ret_busy = false;
	for (unsigned i = 0; i < READ_ONCE(t->top); i++) {
		struct tree_member *m = &t->member[i];
		uint64_t note = __atomic_load_n(&m->note, __ATOMIC_ACQUIRE);

		sum = sum * 31 + note;
		if (!note_slots(note) || note & NOTE_LEFT || (slot && !note_names(note, slot)))
			continue;
		*ret_busy |= !slot || !tree_is_dead(mc, m, now);
	}
	return sum;
}

static unsigned holders(struct sf_tree *t, uint64_t slot)
{
	unsigned n = 0;

	for (unsigned i = 0; i < READ_ONCE(t->top); i++)
		n += test_bit(tree_held(t, &t->member[i]), slot);
	return n;
}

/* False: somebody else is at work on it. */
static bool mend_slot(struct machine *mc, uint64_t slot)
{
	struct sf_tree *t = mc->tree;
	uint16_t *use = &tree_uses(t)[slot];
	bool busy, still_busy;
	uint64_t sum = notes_sum(mc, slot, &busy);
	bool taken = test_bit(tree_map(t), slot);
	unsigned uses = __atomic_load_n(use, __ATOMIC_ACQUIRE), held = holders(t, slot);

	if (notes_sum(mc, slot, &still_busy) != sum || busy || still_busy)
		return false;
	if (!taken || (uses && uses <= held))
		return true;
	tree_step(mc->tree_ops);
	if (!uses || __atomic_sub_fetch(use, (uint16_t)(uses - held), __ATOMIC_ACQ_REL) == 0) {
		tree_step(mc->tree_ops);
		__atomic_fetch_and(&tree_map(t)[slot / WORD_BITS], ~(1ull << slot % WORD_BITS), __ATOMIC_RELEASE);
	}
	return true;
}

/* Nobody is waited for without end: he may be stopped.  A slot that cannot be mended then is lost for the run. */
static void mend(struct machine *mc, uint64_t note)
{
	struct sf_tree *t = mc->tree;
	unsigned tries = 0;

	for (uint64_t slot = note >> 32, end = slot + note_slots(note); slot < end; slot++)
		while (!mend_slot(mc, slot) && tries++ < MEND_TRIES)
			if (tries % 8 == 0) /* he needs the processor, perhaps */
				mc->tree_ops->wait(&t->mender, READ_ONCE(t->mender), MEND_WAIT_NS);
	__atomic_fetch_or(&t->miscounted, TREE_COUNT_SLOTS, __ATOMIC_RELAXED);
}

static bool mender_begin(struct machine *mc)
{
	uint32_t *mender = &mc->tree->mender, self = mc->tree_ops->self();

	for (unsigned i = 0; i < MENDER_TRIES; i++) {
		uint32_t who = READ_ONCE(*mender);

		if ((!who || !mc->tree_ops->alive(who)) &&
		    __atomic_compare_exchange_n(mender, &who, self, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
			return true;
		if (who)
			mc->tree_ops->wait(mender, who, MEND_WAIT_NS);
	}
	return false;
}

/* Slots in use, by the map, if nobody is changing it. */
static void recount_slots(struct machine *mc)
{
	struct sf_tree *t = mc->tree;
	bool busy, still_busy;
	uint64_t sum = notes_sum(mc, 0, &busy), was = READ_ONCE(t->slots_used), n = 0;
	uint64_t high = MIN(READ_ONCE(t->slots_high), t->nr_slots);

	if (busy)
		return;
	for (uint64_t w = 0; w * WORD_BITS < high; w++) {
		uint64_t bits = READ_ONCE(tree_map(t)[w]);

		if (high - w * WORD_BITS < WORD_BITS)
			bits &= (1ull << (high - w * WORD_BITS)) - 1;
		for (; bits; bits &= bits - 1)
			n++;
	}
	n -= 1; /* slot 0 */
	if (notes_sum(mc, 0, &still_busy) != sum || still_busy)
		return;
	__atomic_fetch_and(&t->miscounted, ~(uint32_t)TREE_COUNT_SLOTS, __ATOMIC_RELAXED);
	if (__atomic_compare_exchange_n(&t->slots_used, &was, n, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
		__atomic_fetch_add(&mc->stats->swapped, n - was, __ATOMIC_RELAXED);
}

static void mend_dropped(struct machine *mc, struct tree_member *m)
{
	uint64_t note = READ_ONCE(m->note);

	if (!note_slots(note) && !(READ_ONCE(mc->tree->miscounted) & TREE_COUNT_SLOTS))
		return;
	__atomic_store_n(&m->note, note | NOTE_LEFT, __ATOMIC_RELEASE);
	if (mender_begin(mc)) {
		if (note_slots(note))
			mend(mc, note);
		for (unsigned i = 0; i < 3 && READ_ONCE(mc->tree->miscounted) & TREE_COUNT_SLOTS; i++)
			recount_slots(mc);
		tree_step(mc->tree_ops);
		__atomic_store_n(&mc->tree->mender, 0, __ATOMIC_RELEASE);
		mc->tree_ops->wake(&mc->tree->mender, INT32_MAX);
	}
	tree_note_end(mc, m);
}

void tree_reap_slots(struct machine *mc, struct tree_member *m)
{
	uint64_t *held = tree_held(mc->tree, m), bits;

	mend_dropped(mc, m);
	for (uint64_t w = m->slots_lo / WORD_BITS; w * WORD_BITS < m->slots_hi; w++)
		while ((bits = READ_ONCE(held[w]))) {
			uint64_t slot = w * WORD_BITS + (unsigned)__builtin_ctzll(bits);

			tree_note(mc, m, slot, 1);
			__atomic_fetch_and(&held[w], ~(bits & -bits), __ATOMIC_ACQ_REL);
			tree_step(mc->tree_ops);
			swap_put_dead(mc, slot);
			tree_note_end(mc, m);
		}
	m->slots_lo = m->slots_hi = 0;
}
