/* SPDX-License-Identifier: MIT */
/* window.c - which pool an address belongs to
 *
 * Two sorted arrays, of which one is in use and the other made ready for the next change; the fault handler searches it without a lock.  Whoever has found a pool counts as its
 * visitor before he stops counting as a searcher, so a pool that is out of the array with neither left is nobody's. */
#include "lib/lib.h"

#include <sched.h>

#define WINDOWS_MAX 1024 /* of the smallest useful size they would fill the address space long before */

struct windows {
	unsigned n;
	struct pool *pool[WINDOWS_MAX];
};

static struct windows both[2], *windows; /* the one in use, and the next */
static struct lk change_lock;
static uint32_t searchers;

/* Index of the first pool that ends above addr. */
static unsigned find(const struct windows *w, vaddr_t addr)
{
	unsigned lo = 0, hi = w ? w->n : 0;

	while (lo < hi) {
		unsigned mid = (lo + hi) / 2;

		if (w->pool[mid]->hi <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

struct pool *pool_visit_next(vaddr_t addr, vaddr_t end)
{
	struct pool *p = NULL;

	__atomic_fetch_add(&searchers, 1, __ATOMIC_SEQ_CST);
	struct windows *w = __atomic_load_n(&windows, __ATOMIC_SEQ_CST);
	unsigned i = find(w, addr);

	if (w && i < w->n && w->pool[i]->lo < end) {
		p = w->pool[i];
		__atomic_fetch_add(&p->visits, 1, __ATOMIC_SEQ_CST);
	}
	__atomic_fetch_sub(&searchers, 1, __ATOMIC_SEQ_CST);
	return p;
}

struct pool *pool_visit(vaddr_t addr)
{
	return pool_visit_next(addr, addr == UINT64_MAX ? addr : addr + 1);
}

void pool_leave(struct pool *p)
{
	__atomic_fetch_sub(&p->visits, 1, __ATOMIC_SEQ_CST);
}

static void wait_zero(const uint32_t *count)
{
	while (__atomic_load_n(count, __ATOMIC_SEQ_CST))
		sched_yield();
}

static struct windows *other(void)
{
	return windows == &both[0] ? &both[1] : &both[0];
}

/* locked: change_lock */
static void publish(struct windows *w)
{
	__atomic_store_n(&windows, w, __ATOMIC_SEQ_CST);
	wait_zero(&searchers);
}

int window_add(struct pool *p)
{
	lk_take(&change_lock);
	unsigned n = windows ? windows->n : 0, at = find(windows, p->lo);
	struct windows *w = other();
	int err = n == WINDOWS_MAX ? -ENOMEM : 0;

	if (!err) {
		w->n = n + 1;
		for (unsigned i = 0; i < n; i++)
			w->pool[i + (i >= at)] = windows->pool[i];
		w->pool[at] = p;
		publish(w);
	}
	lk_drop(&change_lock);
	return err;
}

void window_del(struct pool *p)
{
	lk_take(&change_lock);
	struct windows *w = other();

	w->n = 0;
	for (unsigned i = 0; i < windows->n; i++)
		if (windows->pool[i] != p)
			w->pool[w->n++] = windows->pool[i];
	publish(w);
	lk_drop(&change_lock);
	wait_zero(&p->visits);
}

/* ---------------------------------------------------------------- fork */

/* Nobody adds or removes pools until windows_release, or for ever in the child. */
void windows_hold(void (*each)(struct pool *p))
{
	lk_take(&change_lock);
	for (unsigned i = 0; windows && i < windows->n; i++)
		each(windows->pool[i]);
}

void windows_release(void (*each)(struct pool *p))
{
	for (unsigned i = 0; windows && i < windows->n; i++)
		each(windows->pool[i]);
	lk_drop(&change_lock);
}

/* In the child: no other thread exists, and locks may be in any state. */
unsigned windows_forked(bool (*keep)(struct pool *p))
{
	struct windows *w = windows;
	unsigned n = 0;

	searchers = 0;
	change_lock.word = 0;
	for (unsigned i = 0; w && i < w->n; i++)
		if (keep(w->pool[i]))
			w->pool[n++] = w->pool[i];
	if (w)
		w->n = n;
	return n;
}

bool windows_find(bool (*is)(struct pool *p, void *arg), void *arg)
{
	for (unsigned i = 0; windows && i < windows->n; i++)
		if (is(windows->pool[i], arg))
			return true;
	return false;
}
