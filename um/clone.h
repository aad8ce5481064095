/* SPDX-License-Identifier: MIT */
/* clone.h - between thread.c (threads) and fork.c (processes) */
#ifndef SF_UM_CLONE_H
#define SF_UM_CLONE_H

#include "um/um.h"
#include "um/trap.h"

#define CSIGNAL 0xffu
#define CLONE_NEWTIME 0x80ull
#define CLONE_VM 0x100ull
#define CLONE_FS 0x200ull
#define CLONE_FILES 0x400ull
#define CLONE_SIGHAND 0x800ull
#define CLONE_PIDFD 0x1000ull
#define CLONE_PTRACE 0x2000ull
#define CLONE_VFORK 0x4000ull
#define CLONE_PARENT 0x8000ull
#define CLONE_THREAD 0x10000ull
#define CLONE_NEWNS 0x20000ull
#define CLONE_SYSVSEM 0x40000ull
#define CLONE_SETTLS 0x80000ull
#define CLONE_PARENT_SETTID 0x100000ull
#define CLONE_CHILD_CLEARTID 0x200000ull
#define CLONE_DETACHED 0x400000ull
#define CLONE_UNTRACED 0x800000ull
#define CLONE_CHILD_SETTID 0x1000000ull
#define CLONE_NEWIPC 0x08000000ull
#define CLONE_NEWUSER 0x10000000ull
#define CLONE_NEWPID 0x20000000ull
#define CLONE_IO 0x80000000ull
#define CLONE_CLEAR_SIGHAND 0x100000000ull
#define CLONE_INTO_CGROUP 0x200000000ull
#define THREAD_FLAGS (CLONE_VM | CLONE_SIGHAND | CLONE_THREAD)

#define FRAME_ROOM 0x6000ul /* first frame and FP state at a kernel stack's top */

/* As clone3 has it; for the older calls pidfd and parent_tid are the same argument. */
struct clone_args { uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size, cgroup; };

/* thread.c: a struct thread with the context of t, changed as a says, ready for um_host_clone; NULL: no memory.  It belongs to proc and sighand,
 * whose counts are raised. */
struct thread *um_child_make(struct thread *t, const struct clone_args *a, struct um_proc *proc, struct um_sighand *sighand);
/* It never ran. */
void um_child_unmake(struct thread *c);
int64_t um_clone_thread(struct thread *t, const struct clone_args *a);
/* A thread of ours in the calling process: its number; 0: the host refuses. */
uint32_t um_kernel_thread(struct thread *t, void (*fn)(struct thread *t));
/* t is the only thread of a forked address space now. */
void um_threads_forked(struct thread *t);
/* Is that a process, or a thread of one, on this address space? */
bool um_shares_memory(uint32_t pid);
void um_lock_threads(void);
void um_unlock_threads(void);

/* fork.c: everything that is not a thread. */
int64_t um_clone_process(struct thread *t, const struct clone_args *a);
/* The first words of a process that shares its parent's memory. */
void um_process_born(struct thread *t);

/* signal.c: the calling process's handlers become the default (CLONE_CLEAR_SIGHAND). */
void um_clear_handlers(struct thread *t);

#endif
