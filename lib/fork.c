/* SPDX-License-Identifier: MIT */
/* fork.c - before, and in the child of, a fork
 *
 *     SF_FORK_REFUSE   the child has a copy of our memory, but no threads of ours, and its userfaultfd would be the parent's.  So the pool stays over
 *                      there: its addresses become inaccessible before the application runs on, and every handle of it is stale.
 *     SF_FORK_KEEP     the child gets a pool of its own that has what the parent's had at that instant.  All that it is made of is private memory, the
 *                      store too, which the host copies; the core takes possession of it in the child (mm/fork.c).
 *
 * For the latter the copy must be whole, so the parent waits until no call, no job and no I/O of such pools is under way, and holds
 * their locks while it forks.  New calls and faults wait meanwhile at the gate.  Those of the forking thread itself, in fork handlers of the
 * application's, cannot wait: they are refused.  In a callback, too, nobody can wait: a child made there keeps nothing. */
#include "lib/lib.h"

#include <sys/mman.h>

static uint32_t gate;     /* 1: somebody forks */
static uint32_t under_way;/* calls and jobs */
static uint32_t keepers;  /* pools */
static struct lk fork_lock;
static struct scope fork_scope;

/* ---------------------------------------------------------------- the gate */

void fork_wait(void)
{
	while (__atomic_load_n(&gate, __ATOMIC_SEQ_CST) && !lib_thread.in_callback && !lib_thread.in_call)
		futex_wait(&gate, 1);
}

void fork_begin_work(void)
{
	__atomic_fetch_add(&under_way, 1, __ATOMIC_SEQ_CST);
}

void fork_end_work(void)
{
	__atomic_fetch_sub(&under_way, 1, __ATOMIC_SEQ_CST);
	if (unlikely(__atomic_load_n(&gate, __ATOMIC_SEQ_CST)))
		futex_wake(&under_way, 1);
}

void fork_enter(void)
{
	for (;;) {
		fork_begin_work();
		if (likely(!__atomic_load_n(&gate, __ATOMIC_SEQ_CST)))
			return;
		fork_end_work();
		fork_wait();
	}
}

static void gate_close(void)
{
	uint32_t n;

	__atomic_store_n(&gate, 1, __ATOMIC_SEQ_CST);
	while ((n = __atomic_load_n(&under_way, __ATOMIC_SEQ_CST)))
		futex_wait(&under_way, n);
}

static void gate_open(void)
{
	__atomic_store_n(&gate, 0, __ATOMIC_SEQ_CST);
	futex_wake(&gate, INT32_MAX);
}

/* ---------------------------------------------------------------- the pools that are kept */

void fork_keep(struct pool *p)
{
	p->mc->forks_apart = true;
	p->keep = true;
	__atomic_fetch_add(&keepers, 1, __ATOMIC_SEQ_CST);
}

void fork_unkeep(struct pool *p)
{
	if (p->keep)
		__atomic_fetch_sub(&keepers, 1, __ATOMIC_SEQ_CST);
	p->keep = false;
}

bool fork_can_copy(const struct store_obj *s)
{
	return s->kind == STORE_MEMORY || (s->kind == STORE_COMPRESSED && (!s->below || fork_can_copy(s->below)));
}

/* Its lock is held, and nothing under way, until hold_end or take_over. */
static void hold(struct pool *p)
{
	if (!p->keep)
		return;
	mm_lock(p->mm);
	while (p->mc->inflight || p->mc->writeback)
		page_wait(p->mm);
	SF_BUG_ON(mm_fork_begin(p->mm));
}

static void hold_end(struct pool *p)
{
	if (!p->keep)
		return;
	mm_fork_end(p->mm, 0);
	mm_unlock(p->mm);
}

static void before(void)
{
	if (lib_thread.in_callback || !__atomic_load_n(&keepers, __ATOMIC_SEQ_CST))
		return;
	struct scope sc;

	signals_block(&sc);
	lk_take(&fork_lock);
	fork_scope = sc;
	gate_close();
	lib_thread.forking = true;
	windows_hold(hold);
}

static void in_parent(void)
{
	if (!lib_thread.forking)
		return;
	struct scope sc = fork_scope;

	windows_release(hold_end);
	lib_thread.forking = false;
	gate_open();
	lk_drop(&fork_lock);
	signals_restore(&sc);
}

/* ---------------------------------------------------------------- in the child */

static void forget(struct pool *p)
{
	p->keep = false;
	(void)mmap((void *)p->own_lo, p->hi - p->own_lo, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
}

/* False: it is not to be had here. */
static bool take_over(struct pool *p)
{
	if (!p->keep || !lib_thread.forking || mm_fork_child(p->mm, thread_number(), false)) {
		forget(p);
		return false;
	}
	mm_unlock(p->mm);
	p->visits = 0;
	workers_forked(&p->helpers);
	workers_forked(&p->callers);
	return true;
}

static bool is_kept_store(struct pool *p, void *store)
{
	for (struct store_obj *s = p->keep ? p->store : NULL; s; s = s->below)
		if (s == store)
			return true;
	return false;
}

/* Does this object belong to a pool that is still there? */
static bool kept(struct obj *o)
{
	if (o->kind == OBJ_STORE)
		return windows_find(is_kept_store, o);
	struct pool *p = o->kind == OBJ_POOL ? container_of(o, struct pool, o) : o->kind == OBJ_REGION ? container_of(o, struct region, o)->pool :
		snapshot_pool(o);

	return p->keep;
}

static void in_child(void)
{
	bool forking = lib_thread.forking;
	struct scope sc = fork_scope;

	keepers = windows_forked(take_over);
	handles_forked(kept);
	requests_forked();
	gate = under_way = 0;
	fork_lock.word = 0;
	lib_thread = (struct lib_thread){ .top = lib_thread.top };
	if (forking)
		signals_restore(&sc);
}

int fork_watch(void)
{
	static uint32_t watching;
	uint32_t none = 0;
	int err;

	if (!__atomic_compare_exchange_n(&watching, &none, 1, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
		return 0;
	err = pthread_atfork(before, in_parent, in_child);
	if (err)
		watching = 0;
	return -err;
}
