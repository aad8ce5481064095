/* SPDX-License-Identifier: MIT */
/* tree.h - what the machines of several processes share: one bound, one swap map
 *
 *   struct sf_tree | map: a bit a slot | sums: 4 bytes a slot | uses: 2 bytes a slot | for each member a bit a slot: "I hold it" | a window
 *
 * Memory that all of them map, sparse and of zeros at first, touched by atomics alone: a member may be killed at any instruction.  What it held is
 * then given back by whoever needs it (tree_reap), from its entry: frames granted, and the slots in its map.  Every update is ordered so that a kill
 * between two steps leaves something counted that is free, never something free that is used; the count of frames is made right again at the next
 * reaping.  Slots that change hands stand in the member's note meanwhile, so those too are found.
 *
 * A frame counts for the bound when it is granted to a member, and grants are made in batches: members keep a few frames unused. */
#ifndef SF_TREE_H
#define SF_TREE_H

#include "mm/base.h"

#define TREE_MEMBERS 512u
#define TREE_SHARERS 4u
#define TREE_UNTOLD 0xffffffffu
#define TREE_DEAD 0x40000000u /* in life: the host has seen the process die (FUTEX_OWNER_DIED) */

enum tree_state { TREE_FREE, TREE_BORN /* promised to a child that may not run yet */, TREE_LIVE, TREE_REAPED };

struct tree_member {
	uint32_t state;     /* enum tree_state */
	uint32_t life;      /* futex word owned by a thread of the process; a robust list makes the host set TREE_DEAD in it */
	uint32_t pid;       /* while TREE_BORN: the parent's; 0: of another name space of processes */
	uint32_t wake;      /* bumped for the member's helper, who sleeps on it */
	uint64_t granted;   /* frames it may use */
	uint64_t moves;     /* goes up before and after each change of granted: odd while one is under way */
	uint64_t used;      /* frames it uses, for choices and reports */
	uint64_t swapped;   /* slots it holds, the same */
	uint64_t asked;     /* frames others would like to have */
	uint64_t barren;    /* tree->now at which it had nothing to give */
	uint64_t born;      /* time of joining */
	uint64_t slots_lo, slots_hi; /* its slots are in [lo, hi) */
	uint64_t note;      /* slots that are changing hands now; see tree_slots.c */
	uint32_t reaper;    /* the process that clears up after it, or makes it anew; 0: nobody.  Others leave it alone while that one lives */
	uint32_t child;     /* while TREE_BORN: written by the host when it has made the child, before that runs; TREE_UNTOLD: it will not be */
	uint64_t active;    /* when it last needed a frame */
	struct tree_question { /* one at a time, answered by the helper; the user-mode kernel's own business */
		uint32_t lock;      /* process that asks; 0: nobody */
		uint32_t what, tid; /* 0: nothing is asked */
		int32_t answer;
		uint32_t answerer;  /* thread whose descriptor the answer is */
		uint32_t done;      /* bumped with each answer */
		uint64_t addr, len; /* memory that it is about */
	} question;
	uint32_t sharers[TREE_SHARERS]; /* other processes that work on its memory now (vfork), or 0 */
} __attribute__((aligned(64)));

enum tree_count { TREE_COUNT_FRAMES = 1, TREE_COUNT_SLOTS = 2 };

struct sf_tree {
	uint64_t bound;     /* 0: none */
	uint64_t granted;   /* frames, all members; at least the sum of theirs */
	uint64_t nr_slots;
	uint64_t slots_used, slots_high, slots_hint; /* see swap.c */
	uint32_t freed;     /* bumped when frames come back; those in need sleep on it */
	uint32_t waiting;   /* how many do */
	uint32_t given;     /* times that frames came back, or that a member got on with its own */
	uint32_t top;       /* members from here on were never used */
	uint32_t live;      /* about how many there are */
	uint32_t oom;       /* pid of the member that is choosing a victim */
	uint32_t victim;    /* pid of the last one chosen, who may not have ended yet */
	uint32_t root;      /* member of the first process */
	uint32_t mender;    /* pid of the process that looks for slots which the dead dropped */
	uint32_t miscounted; /* enum tree_count, bits: somebody was killed who may have been between two steps */
	struct tree_member member[TREE_MEMBERS];
};

struct machine;
struct mm;
struct port;

/* What the tree needs to know of processes; the user-mode kernel's. */
struct tree_ops {
	bool (*alive)(uint32_t pid); /* any thread of it; zombies are dead */
	uint32_t (*self)(void);      /* the calling process */
	void (*wait)(uint32_t *word, uint32_t val, uint64_t ns); /* futex between processes; at most so long */
	void (*wake)(uint32_t *word, int count);
	void (*step)(void);          /* tests: between any two steps, so that a death can be had there; else NULL */
};

size_t tree_bytes(uint64_t max_slots);
void tree_init(struct sf_tree *t, uint64_t bound, uint64_t max_slots); /* of zeroed memory */
uint64_t *tree_map(struct sf_tree *t);
uint32_t *tree_sums(struct sf_tree *t);
uint16_t *tree_uses(struct sf_tree *t);
uint64_t *tree_held(struct sf_tree *t, const struct tree_member *m); /* a bit a slot */

/* Room for what goes between a member and who asks it. */
#define TREE_WINDOW 0x10000ul
void *tree_window(struct sf_tree *t, const struct tree_member *m);

/* A member for a new process, or NULL when there are too many.  now: any clock in ns. */
struct tree_member *tree_join(struct machine *mc, uint32_t pid, enum tree_state state);
/* The child that a member was promised to by its parent makes it its own.  False: the parent has died, and somebody has given up waiting. */
bool tree_claim(struct tree_member *m, uint32_t promised_by, uint32_t pid);
/* A process that shares the member's memory begins and ends to work on it: until then the member does not count as dead.  Only so many at a time. */
void tree_share_begin(struct machine *mc, struct tree_member *m, uint32_t pid);
void tree_share_end(struct tree_member *m, uint32_t pid);
/* Is nobody at work on it any more? */
bool tree_is_dead(struct machine *mc, struct tree_member *m, uint64_t now);
/* Everything a member holds is free again: a child of ours that never came to be, or what we were before execve. */
void tree_reap(struct machine *mc, struct tree_member *m);
/* The same for all who died.  Number of them. */
unsigned tree_reap_dead(struct machine *mc);

/* Frames.  grant: all n or none; up to n: as many as there are. */
bool tree_grant(struct machine *mc, struct tree_member *m, uint64_t n);
uint64_t tree_grant_some(struct machine *mc, struct tree_member *m, uint64_t n);
void tree_give(struct machine *mc, struct tree_member *m, uint64_t n);

/* Slots.  What begins to change hands is noted first, so many at a time; a member has one note, kept under its mm lock, or by its reaper. */
#define TREE_NOTE_MOST 2048u
void tree_note(struct machine *mc, struct tree_member *m, uint64_t slot, unsigned n);
void tree_note_end(struct machine *mc, struct tree_member *m);
/* Before each step that others can see. */
static inline void tree_step(const struct tree_ops *ops)
{
	if (ops && ops->step)
		ops->step();
}
/* The member holds them, or no more. */
void tree_hold(struct machine *mc, struct tree_member *m, uint64_t slot, unsigned n);
void tree_unhold(struct machine *mc, struct tree_member *m, uint64_t slot);
/* A member that nobody runs any more: what it dropped half way, then all it holds. */
void tree_reap_slots(struct machine *mc, struct tree_member *m);

/* Ask another member for n frames and wait a moment: the largest of those who have not needed any for a while, else (unless cold_only) the largest.
 * False: nobody has anything, or the one that was asked did not answer.  Not locked. */
bool tree_ask(struct machine *mc, uint64_t n, bool cold_only);
/* Has anybody been asked who has not answered yet, with a yes or a no? */
bool tree_answers_due(struct machine *mc);
/* A helper's turn: give what is asked of this process.  Not locked. */
void tree_answer(struct mm *mm);

#endif
