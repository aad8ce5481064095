/* SPDX-License-Identifier: MIT */
/* lib.h - what the files of lib/ share
 *
 *   handle.c     names for pools, regions, stores, snapshots; who may still use what
 *   pool.c       pools, their address ranges, their machines        region.c  mapping and everything done to a region's range
 *   home.c       the file or store behind a region                  store.c   stores, their requests, worker threads
 *   signal.c     handlers, chaining, sf_try                         pin.c     pins and system-call wrappers
 *   access.c     fault-safe access                                  snapshot.c, sync_atomic.c
 *
 * Code that runs in the fault handler (marked so) obeys the core's rules: no libc state.  Lock order: lib_lock (a pthread mutex of calls that
 * make and free things) -> mm->lock -> kmalloc's. */
#ifndef SF_LIB_H
#define SF_LIB_H

#define SF_NO_OBJECT
#include "include/softfault.h"
#include "mm/mm.h"
#include "port/host/host.h"

/* signal.c asks access.c: has the instruction at ip an entry in some object's table?  If so set *ret_fixup and *ret_type (SF_EX_*).  Runs in
 * the fault handler. */
bool access_lookup(vaddr_t ip, vaddr_t *ret_fixup, int *ret_type);
/* And access.c asks signal.c, at the first access or the first object attached, if no pool was made before: install the handlers, if they
 * are not.  Async-signal-safe.  0 or -errno. */
int handlers_install(void);

#endif
