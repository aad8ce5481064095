/* SPDX-License-Identifier: MIT */
/* worker.c - threads of the library's own
 *
 * They are made by ordinary calls, never in the fault handler, with all signals blocked but the synchronous ones.  Work is queued by
 * anybody, in the fault handler too, so the queue has a futex lock and the work brings its own memory. */
#include "lib/lib.h"

#include <signal.h>

static struct lk starting;

static struct work *take_locked(struct workers *ws)
{
	struct work *w = ws->head;

	if (w)
		ws->head = w->next;
	return w;
}

struct work *workers_take(struct workers *ws, bool wait)
{
	for (;;) {
		uint32_t seq = __atomic_load_n(&ws->seq, __ATOMIC_ACQUIRE);

		lk_take(&ws->lock);
		struct work *w = take_locked(ws);
		bool stop = ws->stop;

		lk_drop(&ws->lock);
		if (w || stop || !wait)
			return w;
		futex_wait(&ws->seq, seq);
	}
}

void workers_post(struct workers *ws, struct work *w)
{
	w->next = NULL;
	lk_take(&ws->lock);
	if (ws->head)
		ws->tail->next = w;
	else
		ws->head = w;
	ws->tail = w;
	lk_drop(&ws->lock);
	__atomic_fetch_add(&ws->seq, 1, __ATOMIC_RELEASE);
	futex_wake(&ws->seq, 1);
}

static void *worker_main(void *arg)
{
	struct workers *ws = arg;
	struct work *w;

	lib_thread.in_callback = ws->callbacks;
	while ((w = workers_take(ws, true)))
		w->fn(w);
	return NULL;
}

int thread_start(pthread_t *ret, void *(*main)(void *arg), void *arg)
{
	sigset_t all, old;
	int err;

	sigfillset(&all);
	sigdelset(&all, SIGSEGV);
	sigdelset(&all, SIGBUS);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = pthread_create(ret, NULL, main, arg);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return -err;
}

static int start_one(struct workers *ws)
{
	int err = thread_start(&ws->thread[ws->nr], worker_main, ws);

	if (!err)
		ws->nr++;
	return err;
}

int workers_start(struct workers *ws, unsigned n)
{
	int err = 0;

	lk_take(&starting);
	while (!err && ws->nr < MIN(n, WORKERS_MAX))
		err = start_one(ws);
	lk_drop(&starting);
	return err && !ws->nr ? err : 0;
}

void workers_stop(struct workers *ws)
{
	lk_take(&ws->lock);
	ws->stop = true;
	lk_drop(&ws->lock);
	__atomic_fetch_add(&ws->seq, 1, __ATOMIC_RELEASE);
	futex_wake(&ws->seq, INT32_MAX);
	for (unsigned i = 0; i < ws->nr; i++)
		pthread_join(ws->thread[i], NULL);
	ws->nr = 0;
}

void workers_forked(struct workers *ws)
{
	unsigned n = ws->nr;

	starting.word = ws->lock.word = 0;
	ws->head = ws->tail = NULL;
	ws->nr = 0;
	if (n)
		workers_start(ws, n); /* if there are none to be had, the next call that wants them tells */
}

/* ---------------------------------------------------------------- calls */

struct call {
	struct work work;
	void (*fn)(void *arg);
	void *arg;
	uint32_t done;
};

static void call_run(struct work *w)
{
	struct call *c = container_of(w, struct call, work);

	c->fn(c->arg);
	__atomic_store_n(&c->done, 1, __ATOMIC_RELEASE);
	futex_wake(&c->done, 1); /* of an address that may be gone: then nobody sleeps there */
}

void workers_call(struct workers *ws, void (*fn)(void *arg), void *arg)
{
	struct call c = { .work.fn = call_run, .fn = fn, .arg = arg };

	workers_post(ws, &c.work);
	while (!__atomic_load_n(&c.done, __ATOMIC_ACQUIRE))
		futex_wait(&c.done, 0);
}
