/* SPDX-License-Identifier: MIT */
/* touch.c - pools in which the host kernel's own touches work
 *
 * Their userfaultfd was opened without user-mode-only and without SIGBUS, so that every fault, a system call's too, is a message.  Threads
 * of the pool's answer them by the ordinary fault path and wake who waits.  That costs two thread switches a fault, which
 * other pools do not pay.
 *
 * What cannot be had is told like this:
 *
 *     message --error--> page barred (no access at all), waiter woken --> a system call: EFAULT
 *                                                                     --> a thread:    SIGSEGV, our handler: page allowed again,
 *                                                                                      and the fault path once more, in the thread
 *
 * A barred page that no thread has touched is allowed again a little later; who comes too late then begins anew. */
#include "lib/lib.h"

#include <linux/userfaultfd.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define BARRED_MAX 64u
#define BARRED_MS 10
#define MESSAGES 8

struct touch {
	struct pool *pool;
	int stop_fd;
	unsigned nr;
	pthread_t thread[WORKERS_MAX];
	unsigned nr_barred;          /* mm lock */
	vaddr_t barred[BARRED_MAX];  /* pages; mm lock */
};

/* ---------------------------------------------------------------- pages that answer with errors */

/* locked: mm.  Where no area is, the host has nothing that could be allowed. */
static void allow(struct pool *p, vaddr_t page)
{
	if (vma_lookup(p->mm, NULL, page))
		(void)host_port_bar(p->port, page, false);
}

static void allow_all(struct touch *t)
{
	mm_lock(t->pool->mm);
	while (t->nr_barred)
		allow(t->pool, t->barred[--t->nr_barred]);
	mm_unlock(t->pool->mm);
}

static void bar(struct touch *t, vaddr_t page)
{
	struct mm *mm = t->pool->mm;

	mm_lock(mm);
	if (t->nr_barred == BARRED_MAX)
		allow(t->pool, t->barred[--t->nr_barred]);
	if (vma_lookup(mm, NULL, page) && !host_port_bar(t->pool->port, page, true))
		t->barred[t->nr_barred++] = page;
	mm_unlock(mm);
}

/* Fault handler. */
void touch_allow(struct pool *p, vaddr_t addr)
{
	struct touch *t = p->touch;
	vaddr_t page = addr & PAGE_MASK;

	mm_lock(p->mm);
	for (unsigned i = 0; i < t->nr_barred; i++)
		if (t->barred[i] == page) {
			t->barred[i] = t->barred[--t->nr_barred];
			allow(p, page);
			break;
		}
	mm_unlock(p->mm);
}

/* ---------------------------------------------------------------- messages */

static void answer(struct touch *t, const struct uffd_msg *m)
{
	vaddr_t addr = m->arg.pagefault.address;
	unsigned code = (m->arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_WRITE ? PF_WRITE : 0) |
			(m->arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_WP ? PF_PROT : 0);
	struct fault_answer ans;

	if (m->event != UFFD_EVENT_PAGEFAULT)
		return;
	if (pool_fault(t->pool, addr, code, 0, &ans))
		bar(t, addr & PAGE_MASK);
	host_port_wake(t->pool->port, addr);
}

static void *touch_main(void *arg)
{
	struct touch *t = arg;
	int fd = host_port_uffd(t->pool->port);
	struct pollfd pfd[2] = { { .fd = fd, .events = POLLIN }, { .fd = t->stop_fd, .events = POLLIN } };
	struct uffd_msg m[MESSAGES];

	for (;;) {
		if (!poll(pfd, 2, READ_ONCE(t->nr_barred) ? BARRED_MS : -1))
			allow_all(t);
		if (pfd[1].revents)
			return NULL;
		int64_t got = host_call3(__NR_read, fd, m, sizeof(m)) / (int64_t)sizeof(*m);

		for (int64_t i = 0; i < got; i++)
			answer(t, &m[i]);
	}
}

/* ---------------------------------------------------------------- life */

int touch_start(struct pool *p, unsigned threads)
{
	struct touch *t = calloc(1, sizeof(*t));
	int err = 0;

	if (!t)
		return -ENOMEM;
	p->touch = t;
	t->pool = p;
	t->stop_fd = eventfd(0, EFD_CLOEXEC);
	if (t->stop_fd < 0)
		err = -errno;
	for (; !err && t->nr < threads; t->nr += !err)
		err = thread_start(&t->thread[t->nr], touch_main, t);
	return t->nr ? 0 : err;
}

void touch_stop(struct pool *p)
{
	struct touch *t = p->touch;
	uint64_t one = 1;

	if (!t)
		return;
	if (t->nr)
		SF_BUG_ON(write(t->stop_fd, &one, sizeof(one)) != sizeof(one));
	for (unsigned i = 0; i < t->nr; i++)
		pthread_join(t->thread[i], NULL);
	if (t->stop_fd >= 0)
		close(t->stop_fd);
	p->touch = NULL;
	free(t);
}
