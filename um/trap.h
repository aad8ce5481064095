/* SPDX-License-Identifier: MIT */
/* trap.h - between trap.c, signal.c, thread.c and start.c */
#ifndef SF_UM_TRAP_H
#define SF_UM_TRAP_H

#include "um/um.h"

bool in_kernel_text(vaddr_t ip);
__attribute__((noreturn, cold)) void um_oops(const char *why, const struct abi_ucontext *uc);

/* entry.S */
__attribute__((noreturn)) void um_enter_user(struct abi_rt_sigframe *frame);
int64_t um_window(long nr, const uint64_t arg[6], const uint64_t *open, const uint64_t *shut);
int64_t um_host_clone(uint64_t flags, void *stack, vaddr_t parent_tid, uint32_t *child_tid, uint64_t tls);
uint64_t um_touch(vaddr_t addr);
extern char um_kstack0[];

/* Host dispositions: ours for what the program handles; SIG_DFL or SIG_IGN otherwise. */
void um_catch(int signo, uint64_t program_flags);
void um_uncatch(int signo, uint64_t handler, uint64_t program_flags);

/* signal.c */
void um_async_signal(struct thread *t, struct abi_siginfo *info, struct abi_ucontext *uc);
/* From user mode: run the handler now, or keep it if it is one of the three virtual ones and blocked. */
void um_post_or_deliver(struct thread *t, const struct abi_siginfo *info);
void um_post_virtual(struct thread *t, const struct abi_siginfo *info);
bool um_ignores(int signo);
/* The thread ends, with every signal blocked: of the three what was meant for the process goes to another thread. */
void um_hand_over_signals(struct thread *t);
/* The program sent itself one of the three with the code of a fault: so marked it is told from a real one. */
#define MADE_UP_CODE 0x40000000
static inline bool is_made_up(int32_t code) { return code < -MADE_UP_CODE / 2; }
uint64_t um_virtual_pending(const struct thread *t); /* set */
/* Deliver one signal that is due; false when none is. */
bool um_deliver_pending(struct thread *t);
/* Synchronous signal with the host's own siginfo (not a page fault). */
void um_force_info(struct thread *t, const struct abi_siginfo *info, unsigned trapno, unsigned err, vaddr_t cr2);
void um_signals_init(struct thread *t);
void um_signals_inherit(struct thread *t, const struct um_exec_state *state);

/* thread.c */
struct abi_stack um_kernel_stack(struct thread *t);
int um_arm_stack(struct thread *t); /* the calling host thread enters the kernel on t's stack */
int um_arm_dispatch(void);          /* its system calls are trapped from now on */
int um_arm_seccomp(void);     /* once, where SUD is missing */
/* A frame on t's kernel stack from which the host can load the program's first context. */
struct abi_rt_sigframe *um_first_frame(struct thread *t);

#endif
