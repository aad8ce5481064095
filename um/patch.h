/* SPDX-License-Identifier: MIT */
/* patch.h - system-call instructions that were replaced by a jump (patch.c), and the way into the kernel that the jump takes (fast.c) */
#ifndef SF_UM_PATCH_H
#define SF_UM_PATCH_H

#include "um/um.h"

/* patch.c: once, with the machine made; on: the user has not forbidden it. */
void um_patch_init(bool on);
/* A call with number nr was trapped at the instruction that ends at next.  Now and then this is the moment to replace it.  Not locked. */
void um_patch_note(struct thread *t, vaddr_t next, long nr);
/* Where to go on instead of next, which lies inside a jump of ours; next itself if it does not. */
vaddr_t um_patch_tail(vaddr_t next);
/* rip lies in a stub: where the program believes to be.  False: it does not.  *ret_entry: the call has not begun. */
bool um_patch_where(vaddr_t rip, vaddr_t *ret_rip, bool *ret_entry);
/* The program reads these bytes by a system call, or uses %gs: what was there is put back for good.  Not locked. */
void um_patch_restore(vaddr_t addr, uint64_t len);
void um_patch_stop(void);
/* The calling thread will run patched code. */
void um_patch_thread(struct thread *t);
void um_patch_forked(void);
extern bool um_patch_on;
extern vaddr_t um_patch_lo, um_patch_hi; /* all replaced instructions lie in between */
static inline bool um_patch_overlaps(vaddr_t addr, uint64_t len) { return addr < um_patch_hi && addr + len > um_patch_lo; }

/* fast.c */
bool um_fast_eligible(long nr);
/* The context of a signal: where fast.c was on its way in or out, or in a stub, make it the program's. */
void um_fast_settle(struct thread *t, struct abi_ucontext *uc);
bool um_fast_in_entry(vaddr_t ip);

/* entry.S */
extern const char um_fast_entry[], um_fast_body[], um_fast_leave[], um_fast_trap[];
extern const char um_open_begin[], um_open_syscall[], um_open_end[], um_open_abort[];
int64_t um_window_open(long nr, const uint64_t arg[6]);

/* trap.c: the end of a call from the program; uc has the registers after it. */
void um_end_call(struct thread *t, struct abi_ucontext *uc, int64_t ret);

#endif
