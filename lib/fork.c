/* SPDX-License-Identifier: MIT */
/* fork.c - the child of a fork
 *
 * It has a copy of our memory, but no threads of ours, and its userfaultfd would be the parent's.  So all pools are
 * over there: their addresses become inaccessible before the application runs on, every handle is stale, and new pools may be made. */
#include "lib/lib.h"

#include <sys/mman.h>

static void forget(struct pool *p)
{
	(void)mmap((void *)p->own_lo, p->hi - p->own_lo, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
}

static void in_child(void)
{
	windows_forget(forget);
	handles_forget();
	lib_thread = (struct lib_thread){ .top = lib_thread.top };
}

int fork_watch(void)
{
	static uint32_t watching;
	uint32_t none = 0;
	int err;

	if (!__atomic_compare_exchange_n(&watching, &none, 1, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
		return 0;
	err = pthread_atfork(NULL, NULL, in_child);
	if (err)
		watching = 0;
	return -err;
}
