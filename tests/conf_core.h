/* SPDX-License-Identifier: MIT */
/* conf_core.h - what the tests of the core share: one rig with a store in memory, and touches that must succeed */
#ifndef SF_TESTS_CONF_CORE_H
#define SF_TESTS_CONF_CORE_H

#include "conf.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#define BOUND 64
#define SLOTS (1u << 16)
#define RW (PT_R | PT_W)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#define AT(page) (CONF_BASE + (vaddr_t)(page) * PAGE_SIZE)

extern struct rig rig;
#define TK (&rig.task)
#define MM (rig.mc->mm)

void open_rig(uint64_t bound);
/* Checks the machine, unmaps everything, and checks that no frame is left. */
void close_rig(void);
void map_anon(unsigned page, uint64_t n, unsigned prot);
void poke(vaddr_t addr, uint8_t byte);
uint8_t peek(vaddr_t addr);

/* conf_model.c: runs its tests for conf_face and returns how many failed. */
int conf_model_tests(void);
int conf_snap_tests(void); /* conf_snap.c: the same */

#endif
