/* SPDX-License-Identifier: MIT */
/* sys_futex.c - futex words are named by address, so they are never copied: the word is pinned where it lies
 *
 *   private, only named (WAKE, REQUEUE's target)  not touched by the host: passed as it is
 *   private, read (WAIT, CMP_REQUEUE)             pinned
 *   written (WAKE_OP, PI operations)              pinned for writing
 *   shared                                        pinned for writing if the page may be written: the host looks the page up for its name
 *
 * If a word that a thread wants to wait on cannot be pinned for lack of frames the wait answers EAGAIN after a nap: the caller looks at its
 * word and comes again. */
#include "um/syscall.h"

#include <linux/futex.h>

#define OP_NONE  0u
#define OP_NAME  1u /* only its address matters, unless shared */
#define OP_READ  2u
#define OP_WRITE 3u

/* What each operation does with its words, and which of its arguments are what. */
struct futex_op { uint8_t word, word2; bool sleeps, timeout; };
static const struct futex_op ops[] = {
	[FUTEX_WAIT]            = { OP_READ, OP_NONE, true, true },
	[FUTEX_WAKE]            = { OP_NAME, OP_NONE, false, false },
	[FUTEX_REQUEUE]         = { OP_NAME, OP_NAME, false, false },
	[FUTEX_CMP_REQUEUE]     = { OP_READ, OP_NAME, false, false },
	[FUTEX_WAKE_OP]         = { OP_NAME, OP_WRITE, false, false },
	[FUTEX_LOCK_PI]         = { OP_WRITE, OP_NONE, true, true },
	[FUTEX_UNLOCK_PI]       = { OP_WRITE, OP_NONE, false, false },
	[FUTEX_TRYLOCK_PI]      = { OP_WRITE, OP_NONE, false, false },
	[FUTEX_WAIT_BITSET]     = { OP_READ, OP_NONE, true, true },
	[FUTEX_WAKE_BITSET]     = { OP_NAME, OP_NONE, false, false },
	[FUTEX_WAIT_REQUEUE_PI] = { OP_READ, OP_WRITE, true, true },
	[FUTEX_CMP_REQUEUE_PI]  = { OP_READ, OP_WRITE, false, false },
	[FUTEX_LOCK_PI2]        = { OP_WRITE, OP_NONE, true, true },
};

/* 0, or -ENOMEM.  *ret: what to give the host. */
static int64_t pin_word(struct call *c, vaddr_t addr, unsigned use, bool private, uint64_t *ret)
{
	*ret = addr;
	if (!addr || (addr & 3) || (use == OP_NAME && private && addr < TASK_SIZE))
		return 0; /* misaligned: EINVAL before anything is touched */
	bool write = use == OP_WRITE || !private;
	int64_t r = call_pin(c, addr, 4, write ? DIR_INOUT : DIR_IN, ret);
	if (!r && write) /* it may be there to be read: then the host fails where it writes */
		r = call_pin(c, addr, 4, DIR_IN, ret);
	return r == -ENOMEM ? r : 0;
}

/* Every frame that may be pinned is.  A wait naps instead. */
static int64_t no_frames(struct thread *t, bool sleeps)
{
	const int64_t nap[2] = { 0, 1000000 };
	if (!sleeps)
		return -ENOMEM;
	int64_t r = um_block_call(t, t->sigmask, __NR_nanosleep, HC_A(nap), 0, 0, 0, 0, 0);
	return r ? r : -EAGAIN;
}

static int64_t run(struct call *c, const struct futex_op *op, bool private)
{
	struct thread *t = c->t;
	if (pin_word(c, t->arg[0], op->word, private, &c->a[0]) ||
	    (op->word2 && pin_word(c, t->arg[4], op->word2, private, &c->a[4])))
		return no_frames(t, op->sleeps);
	if (op->timeout && t->arg[3]) {
		c->a[3] = call_in(c, t->arg[3], 16);
		t->desc = &um_never_restarts;
	}
	if (!op->sleeps)
		return call_host(c, __NR_futex);
	int64_t r = call_sleep(c, __NR_futex);
	/* Linux: ERESTARTNOINTR, anew after any handler */
	return r == -EINTR && op->word == OP_WRITE ? -ERESTART_NOTSTARTED : r;
}

int64_t sys_futex(struct thread *t)
{
	struct call c;
	uint32_t cmd = (uint32_t)t->arg[1] & FUTEX_CMD_MASK;
	bool private = t->arg[1] & FUTEX_PRIVATE_FLAG;
	if (cmd >= ARRAY_SIZE(ops) || !ops[cmd].word)
		return -ENOSYS;
	call_begin(&c, t);
	return call_end(&c, run(&c, &ops[cmd], private));
}

/* ---------------------------------------------------------------- several words */

#define WAITERS_MOST 128u
#define FUTEX2_PRIVATE_ 128u
struct waiter { uint64_t val, addr; uint32_t flags, reserved; };

int64_t sys_futex_waitv(struct thread *t)
{
	struct call c;
	uint32_t n = (uint32_t)t->arg[1];
	struct waiter *w = NULL;
	call_begin(&c, t);
	if (n && n <= WAITERS_MOST)
		w = call_mem(&c, n * sizeof(*w));
	if (!w || !copy_in(t, w, t->arg[0], n * sizeof(*w))) {
		c.a[0] = bad_address(t->arg[0]);
		return call_end(&c, call_host(&c, t->nr));
	}
	for (uint32_t i = 0; i < n; i++)
		if (pin_word(&c, w[i].addr, OP_READ, w[i].flags & FUTEX2_PRIVATE_, &w[i].addr))
			return call_end(&c, no_frames(t, true));
	c.a[0] = HC_A(w);
	c.a[3] = call_in(&c, t->arg[3], 16); /* absolute, so it may be restarted */
	return call_end(&c, call_sleep(&c, t->nr));
}

/* ---------------------------------------------------------------- the same, one call for each operation */

int64_t sys_futex_wake(struct thread *t)
{
	struct call c;
	call_begin(&c, t);
	if (pin_word(&c, t->arg[0], OP_NAME, t->arg[3] & FUTEX2_PRIVATE_, &c.a[0]))
		return call_end(&c, no_frames(t, false));
	return call_end(&c, call_host(&c, t->nr));
}

int64_t sys_futex_wait(struct thread *t)
{
	struct call c;
	call_begin(&c, t);
	if (pin_word(&c, t->arg[0], OP_READ, t->arg[3] & FUTEX2_PRIVATE_, &c.a[0]))
		return call_end(&c, no_frames(t, true));
	c.a[4] = call_in(&c, t->arg[4], 16); /* absolute */
	return call_end(&c, call_sleep(&c, t->nr));
}

int64_t sys_futex_requeue(struct thread *t)
{
	struct call c;
	struct waiter w[2];
	call_begin(&c, t);
	if (!t->arg[0] || t->arg[1] || !copy_in(t, w, t->arg[0], sizeof(w))) {
		c.a[0] = bad_address(t->arg[0]);
		return call_end(&c, call_host(&c, t->nr));
	}
	for (unsigned i = 0; i < 2; i++)
		if (pin_word(&c, w[i].addr, i ? OP_NAME : OP_READ, w[i].flags & FUTEX2_PRIVATE_, &w[i].addr))
			return call_end(&c, no_frames(t, false));
	c.a[0] = HC_A(w);
	return call_end(&c, call_host(&c, t->nr));
}
