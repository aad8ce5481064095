/* SPDX-License-Identifier: MIT */
/* lock.h - a mutex of one word on a port's wait and wake
 *
 *      0 free  ──► 1 taken ──► 2 taken, and somebody may sleep
 *
 * Holders are quick, so whoever comes second waits a little before he sleeps: a sleep and a wake cost more than most holds.
 *
 * Used with all signals blocked (kernel mode) or from ordinary threads, never from a signal handler of the latter. */
#ifndef SF_LOCK_H
#define SF_LOCK_H

#include "port/port.h"

#define LOCK_SPINS 300u

static inline bool lock_try(uint32_t *word)
{
	uint32_t free_ = 0;

	return __atomic_compare_exchange_n(word, &free_, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

static inline void lock_take(struct port *p, uint32_t *word)
{
	if (likely(lock_try(word)))
		return;
	for (unsigned i = 0; i < LOCK_SPINS; i++) {
		__builtin_ia32_pause();
		if (!READ_ONCE(*word) && lock_try(word))
			return;
	}
	while (__atomic_exchange_n(word, 2, __ATOMIC_ACQUIRE))
		p->ops->wait(p, word, 2);
}

static inline void lock_drop(struct port *p, uint32_t *word)
{
	if (unlikely(__atomic_exchange_n(word, 0, __ATOMIC_RELEASE) == 2))
		p->ops->wake(p, word, 1);
}

#endif
