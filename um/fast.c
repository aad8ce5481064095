/* SPDX-License-Identifier: MIT */
/* fast.c - a system call without a signal: what a patched call site does
 *
 *   site: jmp stub ─ stub (patch.c) ─ um_fast_entry ─ um_fast_body … um_fast_call … um_fast_leave ─ rest of the stub ─ program
 *                                     (entry.S)                                        └ um_fast_trap
 *
 * The thread is found through GS, which is ours while sites are patched.  It goes to its kernel stack; all that C may change is kept in thread.fast;
 * the kernel is compiled without vector registers, so there is no more to save.  The host's signal mask stays the program's.  Therefore a signal may come at
 * any instruction, and its address alone tells what to do:
 *
 *   stub, um_fast_entry … um_fast_body   the call has not begun: the program is at its system-call instruction
 *   um_fast_body … um_fast_leave         in the kernel: the signal is taken (as in the window of um_block_call) and all others are blocked until the way out
 *   um_fast_leave … um_fast_trap         on the way out: the saved registers are the program's
 *
 * The way out is a jump if there is nothing else to do.  If there is (a signal was taken, a call is to be begun anew), or if this
 * call needs the program's whole context (fork, sigreturn …), the registers are put back and um_fast_trap, a privileged instruction, makes
 * the host build the frame that a trapped call has. */
#include "um/patch.h"
#include "um/syscall.h"
#include "um/trap.h"

#define PRIVATE_NOW() __asm__ volatile("" ::: "memory")

/* For entry.S. */
#define OFFSET(name, field) __asm__ volatile(".globl " #name "\n\t.set " #name ", %c0" :: "i"(offsetof(struct thread, field)))
__attribute__((used)) static void offsets(void)
{
	OFFSET(FAST_MAGIC, fast.magic);
	OFFSET(FAST_STATE, fast.state);
	OFFSET(FAST_ON, fast.on);
	OFFSET(FAST_SELF, fast.self);
	OFFSET(FAST_STACK, fast.stack);
	OFFSET(FAST_RSP, fast.rsp);
	OFFSET(FAST_NEXT, fast.next);
	OFFSET(FAST_TAIL, fast.tail);
	OFFSET(FAST_FLAGS, fast.flags);
	OFFSET(FAST_RAX, fast.rax);
	OFFSET(FAST_ARG, fast.arg);
}

/* Calls with a handler that looks at nothing but numbers and memory: no registers, no masks, no other thread of control. */
static const uint8_t plain_handler[] = {
	[__NR_read] = 1, [__NR_write] = 1, [__NR_open] = 1, [__NR_poll] = 1, [__NR_mmap] = 1, [__NR_mprotect] = 1, [__NR_munmap] = 1,
	[__NR_brk] = 1, [__NR_ioctl] = 1, [__NR_pread64] = 1, [__NR_pwrite64] = 1, [__NR_readv] = 1, [__NR_writev] = 1, [__NR_mremap] = 1,
	[__NR_madvise] = 1, [__NR_mincore] = 1, [__NR_msync] = 1, [__NR_connect] = 1, [__NR_accept] = 1, [__NR_sendto] = 1,
	[__NR_recvfrom] = 1, [__NR_sendmsg] = 1, [__NR_recvmsg] = 1, [__NR_getsockopt] = 1, [__NR_setsockopt] = 1, [__NR_fcntl] = 1,
	[__NR_readlink] = 1, [__NR_getrusage] = 1, [__NR_futex] = 1, [__NR_getdents64] = 1, [__NR_epoll_wait] = 1, [__NR_openat] = 1,
	[__NR_readlinkat] = 1, [__NR_accept4] = 1, [__NR_preadv] = 1, [__NR_pwritev] = 1, [__NR_sendmmsg] = 1, [__NR_recvmmsg] = 1,
	[__NR_getrandom] = 1, [__NR_dup2] = 1, [__NR_dup3] = 1, [__NR_select] = 1,
};

bool um_fast_eligible(long nr)
{
	if ((unsigned long)nr >= um_nr_syscalls || !um_systab[nr].name || um_systab[nr].flags & SYSF_REFUSE)
		return false;
	return !um_systab[nr].handler || ((unsigned long)nr < sizeof(plain_handler) && plain_handler[nr]);
}

/* From um_fast_body, on the kernel stack.  True: the way out leads through um_fast_trap. */
__attribute__((used)) bool um_fast_call(struct thread *t)
{
	struct um_fast *f = &t->fast;
	long nr = (long)(int32_t)f->rax;
	f->state = FAST_CALL;
	if (!um_fast_eligible(nr))
		return true;
	t->uc = NULL;
	t->nr = nr;
	memcpy(t->arg, f->arg, sizeof(t->arg));
	f->shut = 0;
	f->ret = um_syscall(t);
	f->rax = (uint64_t)f->ret;
	sf_count(&um.shm->stats.fast_calls, 1);
	t->virt_new = 0;
	PRIVATE_NOW();
	bool plain = !t->has_taken && !(um_virtual_pending(t) & ~t->sigmask) && !f->shut && f->ret != -ERESTART_NOTSTARTED;
	f->tail = um_patch_tail(f->next);
	f->state = plain ? FAST_DONE : FAST_END;
	return !plain;
}

bool um_fast_in_entry(vaddr_t ip) { return ip >= (uintptr_t)um_fast_entry && ip < (uintptr_t)um_fast_body; }

static void settle_leave(struct thread *t, struct abi_ucontext *uc)
{
	struct um_fast *f = &t->fast;
	struct abi_sigcontext *r = &uc->mc;
	f->on = 0;
	r->rdi = f->arg[0]; r->rsi = f->arg[1]; r->rdx = f->arg[2];
	r->r10 = f->arg[3]; r->r8 = f->arg[4];  r->r9 = f->arg[5];
	r->rsp = f->rsp;
	r->eflags = f->flags;
	r->rcx = r->rip = f->next;
	r->r11 = f->flags;
	r->rax = f->rax;
	if (f->state == FAST_CALL)
		r->rip -= 2;
	else if (f->state == FAST_END)
		um_end_call(t, uc, f->ret);
}

void um_fast_settle(struct thread *t, struct abi_ucontext *uc)
{
	struct abi_sigcontext *r = &uc->mc;
	uintptr_t base = (uintptr_t)t;
	bool entry;
	if (um_fast_in_entry(r->rip)) {
		t->fast.on = 0;
		if (r->rsp > base && r->rsp <= base + KSTACK_SIZE)
			r->rsp = t->fast.rsp;
		r->rip = r->r11 - 2;
	} else if (r->rip >= (uintptr_t)um_fast_leave && r->rip <= (uintptr_t)um_fast_trap) {
		settle_leave(t, uc);
	} else {
		um_patch_where(r->rip, &r->rip, &entry);
	}
}
