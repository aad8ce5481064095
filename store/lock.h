/* SPDX-License-Identifier: MIT */
/* lock.h - a sleeping lock for the stores: spin a little, then wait through the port
 *
 *   0 free    1 held    2 held, and somebody may sleep
 *
 * Held for tens of instructions, never over host calls.  Innermost: no other lock is taken under it. */
#ifndef SF_STORE_LOCK_H
#define SF_STORE_LOCK_H

#include "port/port.h"

struct store_lock { uint32_t word; };

static inline void store_lock(struct store_lock *l, struct port *port)
{
	for (unsigned i = 0; i < 128; i++) {
		uint32_t free = 0;
		if (READ_ONCE(l->word) == 0 &&
		    __atomic_compare_exchange_n(&l->word, &free, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
			return;
		atomic_signal_fence(memory_order_seq_cst);
	}
	while (__atomic_exchange_n(&l->word, 2, __ATOMIC_ACQUIRE) != 0)
		port->ops->wait(port, &l->word, 2);
}

static inline void store_unlock(struct store_lock *l, struct port *port)
{
	if (__atomic_exchange_n(&l->word, 0, __ATOMIC_RELEASE) == 2)
		port->ops->wake(port, &l->word, 1);
}

#endif
