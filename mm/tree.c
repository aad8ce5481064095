/* SPDX-License-Identifier: MIT */
/* tree.c - members of a tree: who holds what, asking, giving, and clearing up after the dead
 *
 * Frames:   granted (tree) >= sum of granted (members) >= sum of used + store memory
 *           up:   tree first, then the member        down: the member first, then the tree
 *
 * So a kill between two steps leaves the tree's count too high.  tree_recount makes it right when somebody has died and nothing moves for a moment.
 *
 * Slots:    see tree_slots.c
 *
 * Entries:  FREE -> BORN or LIVE -> REAPED -> FREE.  All but BORN -> LIVE is done by whoever has his number in the entry's reaper word, which can be
 *           taken from the dead. */
#include "mm/internal.h"

#define WORD_BITS 64u
#define BORN_NS 20000000ull    /* a new member whose life nobody stands for yet is looked at more closely after so long */
#define UNBORN_NS 1000000000ull /* the same for a child of a dead parent, if nobody knows its number: it may exist and not have run yet */
#define BARREN_NS 20000000ull  /* who had nothing is not asked again for so long */
#define ASK_NS 2000000ull
#define COLD_NS 50000000ull
#define FLOOR 16u              /* so few frames are not worth asking for, unless everybody has about as few */

static uint64_t words(uint64_t slots) { return (slots + WORD_BITS - 1) / WORD_BITS; }
static uint64_t map_bytes(uint64_t slots) { return PAGE_ALIGN(words(slots) * 8); }
static uint64_t map_off(void) { return PAGE_ALIGN(sizeof(struct sf_tree)); }
static uint64_t sums_off(uint64_t slots) { return map_off() + map_bytes(slots); }
static uint64_t uses_off(uint64_t slots) { return sums_off(slots) + PAGE_ALIGN(slots * 4); }
static uint64_t held_off(uint64_t slots) { return uses_off(slots) + PAGE_ALIGN(slots * 2); }
static uint64_t windows_off(uint64_t slots) { return held_off(slots) + TREE_MEMBERS * map_bytes(slots); }

size_t tree_bytes(uint64_t max_slots)
{
	uint64_t slots = max_slots ? max_slots + 1 : 0;

	return windows_off(slots) + TREE_MEMBERS * TREE_WINDOW;
}

void *tree_window(struct sf_tree *t, const struct tree_member *m)
{
	return (char *)t + windows_off(t->nr_slots) + (uint64_t)(m - t->member) * TREE_WINDOW;
}

void tree_init(struct sf_tree *t, uint64_t bound, uint64_t max_slots)
{
	t->bound = bound;
	t->nr_slots = max_slots ? max_slots + 1 : 0;
	t->slots_high = t->slots_hint = 1;
}

uint64_t *tree_map(struct sf_tree *t) { return (uint64_t *)((char *)t + map_off()); }
uint32_t *tree_sums(struct sf_tree *t) { return (uint32_t *)((char *)t + sums_off(t->nr_slots)); }
uint16_t *tree_uses(struct sf_tree *t) { return (uint16_t *)((char *)t + uses_off(t->nr_slots)); }

uint64_t *tree_held(struct sf_tree *t, const struct tree_member *m)
{
	return (uint64_t *)((char *)t + held_off(t->nr_slots) + (uint64_t)(m - t->member) * map_bytes(t->nr_slots));
}

static uint64_t now_ns(struct machine *mc) { return mc->port->ops->now(mc->port); }

/* ---------------------------------------------------------------- frames */

/* A member's grant has one writer at a time: its process under the mm lock, its parent before it is born, its reaper. */
static void move_begin(struct machine *mc, struct tree_member *m)
{
	tree_step(mc->tree_ops);
	__atomic_store_n(&m->moves, (READ_ONCE(m->moves) + 1) | 1, __ATOMIC_RELEASE);
	tree_step(mc->tree_ops);
}

static void move_end(struct machine *mc, struct tree_member *m)
{
	tree_step(mc->tree_ops);
	__atomic_store_n(&m->moves, (READ_ONCE(m->moves) | 1) + 1, __ATOMIC_RELEASE);
}

/* Between least and most frames, or none. */
static uint64_t grant(struct machine *mc, struct tree_member *m, uint64_t least, uint64_t most)
{
	struct sf_tree *t = mc->tree;
	uint64_t old = READ_ONCE(t->granted), got;

	if (old >= t->bound || t->bound - old < least)
		return 0;
	move_begin(mc, m);
	do {
		got = t->bound > old ? MIN(most, t->bound - old) : 0;
		if (got < least)
			got = 0;
	} while (got && !__atomic_compare_exchange_n(&t->granted, &old, old + got, true, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED));
	tree_step(mc->tree_ops);
	__atomic_fetch_add(&m->granted, got, __ATOMIC_RELEASE);
	move_end(mc, m);
	return got;
}

uint64_t tree_grant_some(struct machine *mc, struct tree_member *m, uint64_t n)
{
	return grant(mc, m, 0, n);
}

/* What does not fit is not taken for a moment and given back: that would look as if somebody had something to give. */
bool tree_grant(struct machine *mc, struct tree_member *m, uint64_t n)
{
	return !n || grant(mc, m, n, n) == n;
}

void tree_give(struct machine *mc, struct tree_member *m, uint64_t n)
{
	struct sf_tree *t = mc->tree;

	if (!n)
		return;
	move_begin(mc, m);
	__atomic_fetch_sub(&m->granted, n, __ATOMIC_RELEASE);
	tree_step(mc->tree_ops);
	__atomic_fetch_sub(&t->granted, n, __ATOMIC_ACQ_REL);
	move_end(mc, m);
	__atomic_fetch_add(&t->given, 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&t->freed, 1, __ATOMIC_RELEASE);
	if (READ_ONCE(t->waiting))
		mc->tree_ops->wake(&t->freed, INT32_MAX);
}

/* ---------------------------------------------------------------- the dead */

static void recount_live(struct machine *mc)
{
	struct sf_tree *t = mc->tree;
	uint32_t was = __atomic_load_n(&t->live, __ATOMIC_ACQUIRE), n = 0;

	for (unsigned i = 0; i < READ_ONCE(t->top); i++) {
		struct tree_member *m = &t->member[i];
		uint32_t who = READ_ONCE(m->reaper);

		if (READ_ONCE(m->state) != TREE_FREE)
			n++;
		else if (who && mc->tree_ops->alive(who)) /* it is just changing */
			return;
	}
	if (n != was)
		__atomic_compare_exchange_n(&t->live, &was, n, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

/* A number that changes with every grant, and whether one is under way. */
static uint64_t moves_sum(struct machine *mc, bool *ret_busy)
{
	struct sf_tree *t = mc->tree;
	uint64_t sum = 0, now = now_ns(mc);

	*ret_busy = false;
	for (unsigned i = 0; i < READ_ONCE(t->top); i++) {
		uint64_t moves = __atomic_load_n(&t->member[i].moves, __ATOMIC_ACQUIRE);

		sum += moves;
		*ret_busy |= moves & 1 && !tree_is_dead(mc, &t->member[i], now);
	}
	return sum;
}

/* The tree's count of frames, by its members'.  While nothing moves their difference is what the dead left, and stays that whatever moves afterwards. */
static bool recount_frames(struct machine *mc)
{
	struct sf_tree *t = mc->tree;
	bool busy, still_busy;
	uint64_t moves = moves_sum(mc, &busy), was = __atomic_load_n(&t->granted, __ATOMIC_ACQUIRE), sum = 0;

	for (unsigned i = 0; i < READ_ONCE(t->top); i++)
		sum += __atomic_load_n(&t->member[i].granted, __ATOMIC_ACQUIRE);
	if (moves_sum(mc, &still_busy) != moves || busy || still_busy)
		return false;
	return sum == was || __atomic_compare_exchange_n(&t->granted, &was, sum, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

static void tree_recount(struct machine *mc)
{
	uint32_t *wrong = &mc->tree->miscounted;

	recount_live(mc);
	__atomic_fetch_and(wrong, ~(uint32_t)TREE_COUNT_FRAMES, __ATOMIC_ACQ_REL);
	for (unsigned tries = 0; tries < 3; tries++)
		if (recount_frames(mc))
			return;
	__atomic_fetch_or(wrong, TREE_COUNT_FRAMES, __ATOMIC_RELAXED); /* too busy now: the next one who asks */
}

void tree_share_begin(struct machine *mc, struct tree_member *m, uint32_t pid)
{
	for (unsigned i = 0; i < TREE_SHARERS; i++) {
		uint32_t was = READ_ONCE(m->sharers[i]);

		if ((!was || !mc->tree_ops->alive(was)) &&
		    __atomic_compare_exchange_n(&m->sharers[i], &was, pid, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
			return;
	}
}

void tree_share_end(struct tree_member *m, uint32_t pid)
{
	for (unsigned i = 0; i < TREE_SHARERS; i++) {
		uint32_t was = pid;

		__atomic_compare_exchange_n(&m->sharers[i], &was, 0, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
	}
}

static uint32_t living_sharer(struct machine *mc, const struct tree_member *m)
{
	for (unsigned i = 0; i < TREE_SHARERS; i++) {
		uint32_t pid = READ_ONCE(m->sharers[i]);

		if (pid && mc->tree_ops->alive(pid))
			return pid;
	}
	return 0;
}

/* A promised entry whose parent has died: was there a child, and where is it? */
static bool is_stillborn(struct machine *mc, struct tree_member *m)
{
	if (mc->tree_ops->alive(READ_ONCE(m->pid)))
		return false;
	uint32_t child = __atomic_load_n(&m->child, __ATOMIC_ACQUIRE);

	return !child || !mc->tree_ops->alive(child);
}

/* The mark is made by one thread's end; others of the process may still be running, and writing to its slots, for a moment. */
bool tree_is_dead(struct machine *mc, struct tree_member *m, uint64_t now)
{
	uint32_t state = __atomic_load_n(&m->state, __ATOMIC_ACQUIRE), life = READ_ONCE(m->life);

	if (state == TREE_REAPED) {
		uint32_t who = READ_ONCE(m->reaper);

		return who && !mc->tree_ops->alive(who);
	}
	if (state == TREE_FREE)
		return false;
	if (!READ_ONCE(m->pid)) /* it has no number that we could ask for */
		return life & TREE_DEAD;
	if (state == TREE_BORN && !life && READ_ONCE(m->child) != TREE_UNTOLD)
		return now - m->born > BORN_NS && is_stillborn(mc, m);
	uint64_t grace = state == TREE_BORN && !life ? UNBORN_NS : BORN_NS;
	bool watched = life && life != READ_ONCE(m->pid); /* by its helper; a program's thread may give its robust list to something else */

	if (!(life & TREE_DEAD) && (watched || now - m->born <= grace))
		return false;
	return !mc->tree_ops->alive(READ_ONCE(m->pid)) && !living_sharer(mc, m);
}

/* One at a time; whoever died over it has a successor.  former: what was begun here before execve is ours to go on with. */
static bool take_entry(struct machine *mc, struct tree_member *m, bool former)
{
	uint32_t self = mc->tree_ops->self(), who = READ_ONCE(m->reaper);

	if (who && !(former && who == self) && (who == self || mc->tree_ops->alive(who)))
		return false;
	tree_step(mc->tree_ops);
	return __atomic_compare_exchange_n(&m->reaper, &who, self, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

static void leave_entry(struct machine *mc, struct tree_member *m)
{
	tree_step(mc->tree_ops);
	__atomic_store_n(&m->reaper, 0, __ATOMIC_RELEASE);
}

/* Between the look at an entry and its taking it may have been cleared and given to a new process, so the look is repeated. */
static bool begin_reaping(struct machine *mc, struct tree_member *m, bool ours)
{
	if (!take_entry(mc, m, ours))
		return false;
	uint32_t state = __atomic_load_n(&m->state, __ATOMIC_ACQUIRE);

	if (state == TREE_REAPED) /* begun by one who died */
		return true;
	tree_step(mc->tree_ops);
	if (state != TREE_FREE && (ours || tree_is_dead(mc, m, now_ns(mc))) &&
	    __atomic_compare_exchange_n(&m->state, &state, TREE_REAPED, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
		return true;
	leave_entry(mc, m);
	return false;
}

/* Each thing that is given back is taken off the entry first or with it, so a successor does not give it twice. */
static bool reap(struct machine *mc, struct tree_member *m, bool ours)
{
	if (!begin_reaping(mc, m, ours))
		return false;
	__atomic_fetch_sub(&mc->stats->resident, __atomic_exchange_n(&m->used, 0, __ATOMIC_RELAXED), __ATOMIC_RELAXED);
	if (mc->tree->nr_slots)
		tree_reap_slots(mc, m);
	tree_give(mc, m, m->granted);
	move_end(mc, m); /* of what was cut short */
	m->swapped = m->asked = m->barren = 0;
	memset(m->sharers, 0, sizeof(m->sharers));
	m->life = m->child = 0;
	tree_step(mc->tree_ops);
	__atomic_store_n(&m->state, TREE_FREE, __ATOMIC_RELEASE);
	tree_step(mc->tree_ops);
	__atomic_fetch_sub(&mc->tree->live, 1, __ATOMIC_RELAXED);
	leave_entry(mc, m);
	return true;
}

/* Somebody else may have taken the entry for that of one who died, for a moment. */
void tree_reap(struct machine *mc, struct tree_member *m)
{
	uint32_t who;

	for (unsigned i = 0; !reap(mc, m, true) && READ_ONCE(m->state) != TREE_FREE && i < 1000; i++)
		if ((who = READ_ONCE(m->reaper)))
			mc->tree_ops->wait(&m->reaper, who, 100000);
}

unsigned tree_reap_dead(struct machine *mc)
{
	struct sf_tree *t = mc->tree;
	uint64_t now = now_ns(mc);
	unsigned n = 0;

	for (unsigned i = 0; i < READ_ONCE(t->top); i++)
		if (tree_is_dead(mc, &t->member[i], now))
			n += reap(mc, &t->member[i], false);
	if (n || READ_ONCE(t->miscounted) & TREE_COUNT_FRAMES)
		tree_recount(mc);
	return n;
}

static void unlock_former(uint32_t *word, uint32_t self)
{
	__atomic_compare_exchange_n(word, &self, 0, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

/* What threads of the former image were at when it was replaced: nobody would take it from a process that lives. */
static void end_former_work(struct machine *mc)
{
	struct sf_tree *t = mc->tree;
	uint32_t self = mc->tree_ops->self();

	unlock_former(&t->oom, self);
	unlock_former(&t->mender, self);
	for (unsigned i = 0; i < READ_ONCE(t->top); i++) {
		struct tree_member *m = &t->member[i];

		unlock_former(&m->question.lock, self);
		if (READ_ONCE(m->reaper) == self && READ_ONCE(m->state) == TREE_REAPED)
			tree_reap(mc, m);
		else
			unlock_former(&m->reaper, self);
	}
}

/* What an image of this process held that has been replaced; what is still worked on is left to whoever does. */
static void reap_former_self(struct machine *mc, uint32_t pid)
{
	struct sf_tree *t = mc->tree;

	if (pid)
		end_former_work(mc);
	for (unsigned i = 0; i < READ_ONCE(t->top); i++) {
		struct tree_member *m = &t->member[i];

		if (READ_ONCE(m->state) != TREE_LIVE || READ_ONCE(m->pid) != pid || (!pid && !(READ_ONCE(m->life) & TREE_DEAD)))
			continue;
		uint32_t heir = living_sharer(mc, m);

		if (heir)
			WRITE_ONCE(m->pid, heir);
		else
			tree_reap(mc, m);
	}
}

static void raise_top(struct sf_tree *t, uint32_t top)
{
	uint32_t was = READ_ONCE(t->top);

	while (was < top && !__atomic_compare_exchange_n(&t->top, &was, top, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
		;
}

/* Nobody looks at a free entry, so it becomes whole before it becomes anybody's. */
static bool join_at(struct machine *mc, struct tree_member *m, uint32_t pid, enum tree_state state)
{
	if (READ_ONCE(m->state) != TREE_FREE || !take_entry(mc, m, false))
		return false;
	bool is_free = __atomic_load_n(&m->state, __ATOMIC_ACQUIRE) == TREE_FREE;

	if (is_free) {
		m->pid = pid;
		m->born = now_ns(mc);
		m->child = 0;
		raise_top(mc->tree, (uint32_t)(m - mc->tree->member) + 1);
		tree_step(mc->tree_ops);
		__atomic_fetch_add(&mc->tree->live, 1, __ATOMIC_RELAXED);
		tree_step(mc->tree_ops);
		__atomic_store_n(&m->state, state, __ATOMIC_RELEASE);
	}
	leave_entry(mc, m);
	return is_free;
}

struct tree_member *tree_join(struct machine *mc, uint32_t pid, enum tree_state state)
{
	struct sf_tree *t = mc->tree;

	if (state == TREE_LIVE)
		reap_former_self(mc, pid);
	tree_reap_dead(mc);
	for (unsigned i = 0; i < TREE_MEMBERS; i++)
		if (join_at(mc, &t->member[i], pid, state))
			return &t->member[i];
	return NULL;
}

bool tree_claim(struct tree_member *m, uint32_t promised_by, uint32_t pid)
{
	uint32_t was = promised_by, born = TREE_BORN;

	__atomic_compare_exchange_n(&m->pid, &was, pid, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
	return __atomic_compare_exchange_n(&m->state, &born, TREE_LIVE, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

/* ---------------------------------------------------------------- asking and giving */

static uint64_t worth_asking(struct machine *mc) { return MIN(FLOOR, tree_share(mc) / 4); }

/* The member with the most frames that has not just said that it has none to give; cold ones first. */
static struct tree_member *richest(struct machine *mc, uint64_t now, bool cold_only)
{
	struct sf_tree *t = mc->tree;
	struct tree_member *best = NULL, *cold = NULL;
	uint64_t few = worth_asking(mc);

	for (unsigned i = 0; i < READ_ONCE(t->top); i++) {
		struct tree_member *m = &t->member[i];

		if (m == mc->me || READ_ONCE(m->state) != TREE_LIVE || now - READ_ONCE(m->barren) < BARREN_NS)
			continue;
		uint64_t has = READ_ONCE(m->granted);

		if (has > few && (!best || has > READ_ONCE(best->granted)))
			best = m;
		if (has > few && now - READ_ONCE(m->active) > COLD_NS && (!cold || has > READ_ONCE(cold->granted)))
			cold = m;
	}
	return cold || cold_only ? cold : best;
}

bool tree_ask(struct machine *mc, uint64_t n, bool cold_only)
{
	struct sf_tree *t = mc->tree;
	uint32_t seen = __atomic_load_n(&t->freed, __ATOMIC_ACQUIRE);

	if (tree_reap_dead(mc) || READ_ONCE(t->granted) < t->bound)
		return true;
	struct tree_member *m = richest(mc, now_ns(mc), cold_only);

	if (!m)
		return false;
	__atomic_fetch_add(&m->asked, n, __ATOMIC_ACQ_REL);
	__atomic_fetch_add(&m->wake, 1, __ATOMIC_RELEASE);
	mc->tree_ops->wake(&m->wake, 1); /* each time: who asked before may have been killed just here */
	__atomic_fetch_add(&t->waiting, 1, __ATOMIC_ACQ_REL);
	mc->tree_ops->wait(&t->freed, seen, ASK_NS);
	__atomic_fetch_sub(&t->waiting, 1, __ATOMIC_ACQ_REL);
	if (__atomic_load_n(&t->freed, __ATOMIC_ACQUIRE) != seen)
		return true;
	WRITE_ONCE(m->barren, now_ns(mc)); /* no answer: stopped, or starved of processor time */
	return false;
}

bool tree_answers_due(struct machine *mc)
{
	struct sf_tree *t = mc->tree;
	uint64_t few = worth_asking(mc);

	for (unsigned i = 0; i < READ_ONCE(t->top); i++) {
		struct tree_member *m = &t->member[i];

		if (m != mc->me && READ_ONCE(m->state) == TREE_LIVE && READ_ONCE(m->asked) && READ_ONCE(m->granted) > few)
			return true;
	}
	return false;
}

/* At most a quarter of what we have at a time: others may be richer by now. */
void tree_answer(struct mm *mm)
{
	struct machine *mc = mm->mc;
	struct tree_member *me = mc->me;
	uint64_t n = __atomic_exchange_n(&me->asked, 0, __ATOMIC_ACQ_REL);

	if (!n)
		return;
	mm_lock(mm);
	n = MIN(n, MAX(mc->used / 4, 1));
	uint64_t given = frames_trim(mc, 0);

	while (given < n) {
		bool freed = reclaim_own(mm) || stores_sink(mc, SF_IOBUF_PAGES);
		uint64_t more = frames_trim(mc, 0);

		given += more;
		if (!freed)
			break;
	}
	if (!given)
		WRITE_ONCE(me->barren, now_ns(mc));
	mm_unlock(mm);
	if (!given) { /* those who wait had better ask somebody else */
		__atomic_fetch_add(&mc->tree->freed, 1, __ATOMIC_RELEASE);
		mc->tree_ops->wake(&mc->tree->freed, INT32_MAX);
	}
}
