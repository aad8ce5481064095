/* SPDX-License-Identifier: MIT */
/* trap.c - entry into kernel mode by a host signal, and the way back
 *
 *   signal            from          what
 *   SIGSYS            program       system call: um_syscall
 *   SIGSEGV, SIGBUS   program       trapno 14: page fault -> the core; else the program's own signal
 *   SIGSEGV, SIGBUS   kernel text   page fault on program memory (user copy) -> the core; fixup; or oops
 *   any other         program       its handler runs: build a frame
 *   any other         the window    taken; the blocking call ends (um_window in entry.S)
 *
 * Handlers run with every signal blocked but SIGSEGV, SIGBUS and SIGSYS, so nothing else nests outside the window.
 * Whether the kernel or the program was interrupted is told by the instruction's address alone (row 3).
 *
 * SIGSEGV, SIGBUS and SIGSYS that somebody sends may come at any instruction of the kernel.  They are only noted there (virt_pending), and
 * virt_new makes the two places look again where a thread may go away with one unseen: the window and the way out.
 *
 * Known limit: the host keeps one pending signal of a number per thread, so one of these three that tgkill sends in the instant between a
 * trap of ours and its delivery is merged with it (kill does not suffer: it queues with the process). */
#include "um/um.h"
#include "um/patch.h"
#include "um/trap.h"
#include "um/syscall.h"

extern const char __executable_start[], etext[];
extern const char um_win_begin[], um_win_syscall[], um_win_end[], um_win_close[], um_win_abort[];
extern const char um_leave_check[], um_leave_syscall[];
extern char um_restorer[];

#define EFLAGS_AC 0x40000ull
#define EFLAGS_TF 0x100ull
#define TRAP_GP 13
#define ARCH_X86_64 0xc000003eu /* AUDIT_ARCH_X86_64 */
#define TRAP_SIGNALS (SIGBIT(SIGILL) | SIGBIT(SIGTRAP) | SIGBIT(SIGFPE))
#define PRIVATE_NOW() __asm__ volatile("" ::: "memory") /* order against a handler on this thread */

/* For entry.S. */
__attribute__((used)) static void offsets(void)
{
	__asm__ volatile(".globl THREAD_VIRT_NEW\n\t.set THREAD_VIRT_NEW, %c0" :: "i"(offsetof(struct thread, virt_new)));
}

/* The host leaves the program's AC flag on, and what is misaligned in here is none of its business.  The compiler may use the red zone. */
static inline void clear_ac(const struct abi_ucontext *uc)
{
	if (unlikely(uc->mc.eflags & EFLAGS_AC))
		__asm__ volatile("lea -128(%%rsp), %%rsp\n\tpushfq\n\tandl %0, (%%rsp)\n\tpopfq\n\tlea 128(%%rsp), %%rsp"
				 :: "i"(~0x40000) : "memory", "cc");
}

bool in_kernel_text(vaddr_t ip)
{
	return ip >= (uintptr_t)__executable_start && ip < (uintptr_t)etext;
}

static bool in_window(vaddr_t ip)
{
	return ip >= (uintptr_t)um_win_begin && ip <= (uintptr_t)um_win_close;
}

/* ---------------------------------------------------------------- oops (row 19) */

static void oops_areas(vaddr_t addr)
{
	struct mm *mm = um.mm;
	if (!mm || READ_ONCE(mm->lock))
		return;
	mm_lock(mm);
	struct vm_area *v = find_vma(mm, NULL, addr);
	for (int i = 0; v && i < 3; i++, v = vma_next(v))
		um_log("  area %012lx-%012lx flags %x %s", v->start, v->end, v->flags, vma_name(mm, v));
	mm_unlock(mm);
}

static void oops_trace(uint64_t fp)
{
	uintptr_t base = (uintptr_t)current();
	for (int i = 0; i < 16 && fp > base && fp < base + KSTACK_SIZE - 16; i++) {
		uint64_t *frame = (uint64_t *)(uintptr_t)fp;
		um_log("  #%d %lx", i, frame[1]);
		if (i < (int)ARRAY_SIZE(um.shm->oops_ip))
			um.shm->oops_ip[i] = frame[1];
		if (frame[0] <= fp)
			break;
		fp = frame[0];
	}
}

/* The kernel itself is wrong: say all that is known and end this process; others live. */
void um_oops(const char *why, const struct abi_ucontext *uc)
{
	static uint32_t once;
	if (__atomic_exchange_n(&once, 1, __ATOMIC_ACQ_REL))
		host_call1(__NR_exit_group, 125);
	um.shm->oops = 1;
	um_log("oops: %s (pid %u, thread %u, call %ld)", why, my_pid(), current()->task.tid, current()->nr);
	if (uc) {
		const struct abi_sigcontext *r = &uc->mc;
		um_log("  rip %016lx rsp %016lx rbp %016lx eflags %lx", r->rip, r->rsp, r->rbp, r->eflags);
		um_log("  rax %016lx rbx %016lx rcx %016lx rdx %016lx", r->rax, r->rbx, r->rcx, r->rdx);
		um_log("  rsi %016lx rdi %016lx r8  %016lx r9  %016lx", r->rsi, r->rdi, r->r8, r->r9);
		um_log("  r10 %016lx r11 %016lx r12 %016lx r13 %016lx", r->r10, r->r11, r->r12, r->r13);
		um_log("  r14 %016lx r15 %016lx trap %lu err %lx cr2 %016lx", r->r14, r->r15, r->trapno, r->err, r->cr2);
		um.shm->oops_ip[15] = r->rip;
		oops_trace(r->rbp);
		oops_areas(r->cr2);
	} else {
		oops_trace((uint64_t)(uintptr_t)__builtin_frame_address(0));
	}
	host_call1(__NR_exit_group, 125);
	__builtin_trap();
}

void sf_panic(const char *file, int line, const char *what)
{
	char text[300];
	um_snprintf(text, sizeof(text), "%s:%d: %s", file, line, what);
	um_oops(text, NULL);
	__builtin_trap();
}

/* ---------------------------------------------------------------- return to user mode */

/* Everything that must happen before the program runs again: signals that were taken, masks. */
static void exit_to_user(struct thread *t)
{
	t->virt_new = 0;
	PRIVATE_NOW();
	while (um_deliver_pending(t))
		;
	if (t->restore_sigmask) {
		t->restore_sigmask = false;
		t->sigmask = t->saved_sigmask;
		while (um_deliver_pending(t))
			;
	}
	t->uc->sigmask = t->sigmask & ~HOST_NEVER_BLOCKED;
}

/* From um_restorer; false: a handler that interrupted the kernel leaves the work to the outer one. */
__attribute__((used)) bool um_leave_again(struct abi_rt_sigframe *frame)
{
	struct thread *t = current();
	if (in_kernel_text(frame->uc.mc.rip))
		return false;
	t->uc = &frame->uc;
	exit_to_user(t);
	return true;
}

/* ---------------------------------------------------------------- system calls */

static bool signal_due(const struct thread *t) { return t->has_taken || (um_virtual_pending(t) & ~t->sigmask); }

/* The call did not run, or was cut off by a handler that asks for a restart: run it again from the start. */
static bool wants_restart(struct thread *t, int64_t ret)
{
	if (ret == -ERESTART_NOTSTARTED)
		return !(t->restore_sigmask && signal_due(t));
	if (!t->has_taken || ret != -EINTR || !t->desc || t->desc->restart != RS_SYS)
		return false;
	return t->sighand->action[t->taken.signo].flags & SA_RESTART;
}

void um_end_call(struct thread *t, struct abi_ucontext *uc, int64_t ret)
{
	struct abi_sigcontext *r = &uc->mc;
	r->rcx = r->rip;
	r->r11 = r->eflags;
	if (wants_restart(t, ret)) {
		r->rip -= 2;
		r->rax = (uint64_t)t->nr;
	} else {
		r->rax = (uint64_t)(ret == -ERESTART_NOTSTARTED ? -EINTR : ret);
	}
}

static void trap_syscall(struct thread *t, struct abi_ucontext *uc)
{
	struct abi_sigcontext *r = &uc->mc;
	const vaddr_t next = r->rip;
	t->uc = uc;
	t->fast.on = 0;
	t->nr = (long)(int32_t)r->rax;
	t->arg[0] = r->rdi; t->arg[1] = r->rsi; t->arg[2] = r->rdx;
	t->arg[3] = r->r10; t->arg[4] = r->r8;  t->arg[5] = r->r9;
	t->desc = NULL;
	int64_t ret = um_syscall(t);
	if (ret != -UM_NORETURN) {
		um_end_call(t, uc, ret);
		um_patch_note(t, next, t->nr);
	}
	exit_to_user(t);
	r->rip = um_patch_tail(r->rip);
}

/* A call from a patched site that needs the program's whole context, or at whose end there is more to do. */
static void fast_trap(struct thread *t, struct abi_ucontext *uc)
{
	uc->mc.rip = t->fast.next;
	t->fast.on = 0;
	if (t->fast.state == FAST_CALL) {
		trap_syscall(t, uc);
		return;
	}
	t->uc = uc;
	um_end_call(t, uc, t->fast.ret);
	exit_to_user(t);
	uc->mc.rip = um_patch_tail(uc->mc.rip);
}

/* The program has loaded GS with something of its own: from now on it is left alone. */
static void fast_lost(struct abi_ucontext *uc)
{
	um_patch_stop();
	uc->mc.rip = uc->mc.r11 - 2;
}

/* Single-stepping over a stub and into the kernel: no instruction of the program's has been completed. */
static bool step_of_ours(const struct thread *t, const struct abi_siginfo *info, const struct abi_ucontext *uc)
{
	vaddr_t rip;
	bool entry = false;
	if (info->signo != SIGTRAP || !(uc->mc.eflags & EFLAGS_TF) || info->code <= 0)
		return false;
	return in_kernel_text(uc->mc.rip) || (um_patch_where(uc->mc.rip, &rip, &entry) && entry);
}

#define VSYSCALL_PAGE 0xffffffffff600000ull

/* The fixed page of old.  The host runs it itself, or not at all, or fails where the program's buffer is not in memory. */
static bool emulate_vsyscall(struct thread *t, struct abi_ucontext *uc)
{
	static const long nr[] = { __NR_gettimeofday, __NR_time, __NR_getcpu };
	struct abi_sigcontext *r = &uc->mc;
	uint64_t at = r->rip - VSYSCALL_PAGE, caller;
	if (at > 0x800 || (at & 0x3ff) || get_user(um.mm, &t->task, uint64_t, r->rsp, &caller))
		return false;
	t->nr = nr[at >> 10];
	t->arg[0] = r->rdi;
	t->arg[1] = r->rsi;
	t->arg[2] = r->rdx;
	int64_t ret = um_syscall(t);
	if (ret == -EFAULT) {
		um_force_signal(t, SIGSEGV, SI_KERNEL, 0, 0, 0);
		return true;
	}
	r->rax = (uint64_t)ret;
	r->rip = caller;
	r->rsp += 8;
	return true;
}

/* A filter's trap in that page comes after the host has returned to the caller. */
static void trap_vsyscall(struct thread *t, const struct abi_siginfo *info, struct abi_ucontext *uc)
{
	t->uc = uc;
	uc->mc.rip = info->sys.call_addr;
	uc->mc.rsp -= 8;
	if (!emulate_vsyscall(t, uc))
		um_force_signal(t, SIGSEGV, SI_KERNEL, 0, 0, 0);
	exit_to_user(t);
}

/* int $0x80 and sysenter: their numbers and arguments are those of 32-bit programs, which are refused. */
static void trap_compat(struct thread *t, const struct abi_siginfo *info, struct abi_ucontext *uc)
{
	t->uc = uc;
	t->nr = -1;
	if (um.verbose)
		um_log("refused: system call %d of 32-bit programs", info->sys.syscall);
	uc->mc.rax = (uint64_t)-ENOSYS;
	exit_to_user(t);
}

static void um_sigsys(int signo, struct abi_siginfo *info, struct abi_ucontext *uc)
{
	clear_ac(uc);
	if (info->code <= 0)
		um_async_signal(current(), info, uc);
	else if (in_kernel_text(uc->mc.rip))
		um_oops("a system call of the kernel was trapped", uc);
	else if (info->sys.arch != ARCH_X86_64)
		trap_compat(current(), info, uc);
	else if (info->sys.call_addr >= VSYSCALL_PAGE)
		trap_vsyscall(current(), info, uc);
	else
		trap_syscall(current(), uc);
}

/* ---------------------------------------------------------------- faults */

/* The core found nothing to do, yet the host sent SIGBUS: a shared file mapping whose file is shorter now (row 33). */
static bool host_refuses_shared(int signo, vaddr_t addr, const struct fault_report *rep)
{
	if (signo != SIGBUS || rep->kind != FK_SPURIOUS)
		return false;
	mm_lock(um.mm);
	struct vm_area *v = vma_lookup(um.mm, NULL, addr);
	bool yes = v && (v->type == &vm_file_shared || v->type == &vm_file_lent);
	mm_unlock(um.mm);
	return yes;
}

static void kernel_fault(struct thread *t, int signo, struct abi_ucontext *uc)
{
	struct fault_report rep = { 0 };
	enum ex_type type = EX_FIXUP;
	vaddr_t addr = uc->mc.cr2;
	vaddr_t fixup = search_exception_table(uc->mc.rip, &type);
	bool ours = addr >= TASK_SIZE || uc->mc.trapno != 14;
	enum fault_verdict v = FAULT_FIXUP;

	/* Program memory is touched by instructions that have an entry only, so this is a bug of ours: the core, which may
	 * be what is broken, is not asked. */
	if (!fixup)
		um_oops("page fault in kernel mode without a fixup", uc);
	if (!ours)
		v = do_page_fault(um.mm, &t->task, addr, (unsigned)uc->mc.err & ~PF_USER, uc->mc.rip, &rep);
	if (v == FAULT_FIXED && !host_refuses_shared(signo, addr, &rep))
		return;
	if (v == FAULT_KILL)
		um_die_by_signal(SIGKILL);
	t->task.fault_addr = addr;
	uc->mc.rip = fixup;
	if (type == EX_EFAULT_RAX)
		uc->mc.rax = (uint64_t)-EFAULT;
}

static void user_fault(struct thread *t, int signo, struct abi_siginfo *info, struct abi_ucontext *uc)
{
	struct fault_report rep = { 0 };
	struct abi_sigcontext *r = &uc->mc;
	t->uc = uc;
	t->nr = -1;
	if (r->trapno == TRAP_GP && um_patch_tail(r->rip) != r->rip) { /* the middle of a patched site, see patch.c */
		r->rip = um_patch_tail(r->rip);
		return;
	}
	um_fast_settle(t, uc);
	if (signo == SIGSEGV && emulate_vsyscall(t, uc)) {
		exit_to_user(t);
		return;
	}
	if (r->trapno != 14 || info->code == SI_KERNEL) { /* #GP, #AC, machine check …: not page faults (row 5) */
		um_force_info(t, info, (unsigned)r->trapno, (unsigned)r->err, t->trap.cr2);
		exit_to_user(t);
		return;
	}
	switch (do_page_fault(um.mm, &t->task, r->cr2, (unsigned)r->err | PF_USER, r->rip, &rep)) {
	case FAULT_FIXED:
		if (!host_refuses_shared(signo, r->cr2, &rep))
			return;
		um_force_signal(t, SIGBUS, BUS_ADRERR, r->cr2, 14, (unsigned)r->err);
		break;
	case FAULT_SIGNAL:
		um_force_signal(t, rep.signo, rep.code, rep.addr, 14, rep.error_code);
		break;
	case FAULT_KILL:
		um_die_by_signal(SIGKILL);
	default:
		um_oops("unknown verdict on a user-mode fault", uc);
	}
	exit_to_user(t);
}

static void um_sigfault(int signo, struct abi_siginfo *info, struct abi_ucontext *uc)
{
	clear_ac(uc);
	if (info->code <= 0)
		um_async_signal(current(), info, uc);
	else if (uc->mc.rip == (uintptr_t)um_fast_trap)
		fast_trap(current(), uc);
	else if (um_fast_in_entry(uc->mc.rip))
		fast_lost(uc);
	else if (in_kernel_text(uc->mc.rip))
		kernel_fault(current(), signo, uc);
	else
		user_fault(current(), signo, info, uc);
}

/* ---------------------------------------------------------------- other signals */

static bool may_take(const struct thread *t, int signo)
{
	if (t->has_taken || (t->sigmask & SIGBIT(signo)))
		return false;
	return !(SIGBIT(signo) & HOST_NEVER_BLOCKED) || !um_ignores(signo);
}

static void take_in_window(struct thread *t, const struct abi_siginfo *info, struct abi_ucontext *uc)
{
	t->taken = *info;
	t->has_taken = true;
	uc->sigmask = ~HOST_NEVER_BLOCKED;
	if (uc->mc.rip <= (uintptr_t)um_win_syscall)
		uc->mc.rip = (uintptr_t)um_win_abort;
}

/* In a call from a patched site signals are let in everywhere; of the three only where they may end a call. */
static bool may_take_fast(const struct thread *t, const struct abi_siginfo *info, vaddr_t ip)
{
	if (!may_take(t, info->signo) || (info->code > 0 && (SIGBIT(info->signo) & TRAP_SIGNALS)))
		return false;
	return !(SIGBIT(info->signo) & HOST_NEVER_BLOCKED) || (ip >= (uintptr_t)um_open_begin && ip <= (uintptr_t)um_open_end);
}

static void take_fast(struct thread *t, const struct abi_siginfo *info, struct abi_ucontext *uc)
{
	t->taken = *info;
	t->has_taken = true;
	t->virt_new = 1;
	uc->sigmask = ~HOST_NEVER_BLOCKED;
	if (uc->mc.rip >= (uintptr_t)um_open_begin && uc->mc.rip <= (uintptr_t)um_open_syscall)
		uc->mc.rip = (uintptr_t)um_open_abort;
}

/* One of the three, while the kernel runs. */
static void note_in_kernel(struct thread *t, const struct abi_siginfo *info, struct abi_ucontext *uc)
{
	if ((t->sigmask & SIGBIT(info->signo)) || !um_ignores(info->signo))
		um_post_virtual(t, info);
	t->virt_new = 1;
	if (uc->mc.rip > (uintptr_t)um_leave_check && uc->mc.rip <= (uintptr_t)um_leave_syscall)
		uc->mc.rip = (uintptr_t)um_restorer;
}

/* The host's own record may be of a trap of ours, unless the signal is a trap itself. */
static void note_trap(struct thread *t, const struct abi_siginfo *info, const struct abi_sigcontext *r)
{
	if (info->code > 0 && (SIGBIT(info->signo) & TRAP_SIGNALS)) {
		t->trap.no = (unsigned)r->trapno;
		t->trap.err = (unsigned)r->err;
	}
}

/* A signal somebody sent, or the program raised itself (SIGFPE, SIGILL, SIGTRAP). */
void um_async_signal(struct thread *t, struct abi_siginfo *info, struct abi_ucontext *uc)
{
	sf_count(&um.shm->stats.signals, 1);
	if (is_made_up(info->code))
		info->code += MADE_UP_CODE;
	um_fast_settle(t, uc);
	if (!in_kernel_text(uc->mc.rip)) {
		t->uc = uc;
		t->nr = -1;
		note_trap(t, info, &uc->mc);
		um_post_or_deliver(t, info);
		exit_to_user(t);
	} else if (in_window(uc->mc.rip) && may_take(t, info->signo)) {
		take_in_window(t, info, uc);
	} else if (t->fast.on && may_take_fast(t, info, uc->mc.rip)) {
		take_fast(t, info, uc);
	} else if (SIGBIT(info->signo) & HOST_NEVER_BLOCKED) {
		note_in_kernel(t, info, uc);
	} else {
		um_oops("signal in kernel mode", uc);
	}
}

static void um_sigother(int signo, struct abi_siginfo *info, struct abi_ucontext *uc)
{
	clear_ac(uc);
	if (step_of_ours(current(), info, uc))
		return;
	um_async_signal(current(), info, uc);
}

static int64_t open_window(struct thread *t, uint64_t mask, long nr, const uint64_t arg[6])
{
	const uint64_t open = mask & ~HOST_NEVER_BLOCKED, shut = ~HOST_NEVER_BLOCKED;
	if (t->fast.on && mask == t->sigmask && !t->fast.shut)
		return um_window_open(nr, arg);
	t->fast.shut = 1;
	return um_window(nr, arg, &open, &shut);
}

int64_t um_block_call(struct thread *t, uint64_t mask, long nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d,
		      uint64_t e, uint64_t f)
{
	const uint64_t arg[6] = { a, b, c, d, e, f };
	t->virt_new = 0;
	PRIVATE_NOW();
	if (t->has_taken || (um_virtual_pending(t) & ~mask))
		return -ERESTART_NOTSTARTED;
	int64_t r = open_window(t, mask, nr, arg);
	PRIVATE_NOW();
	/* cut short by a signal that is blocked or ignored, so not for the program: once more */
	return r == -EINTR && !t->has_taken && t->virt_new ? -ERESTART_NOTSTARTED : r;
}

/* ---------------------------------------------------------------- setting up */

/* The host's struct sigaction for one of our handlers. */
static void host_handler(int signo, void (*fn)(int, struct abi_siginfo *, struct abi_ucontext *), uint64_t more)
{
	struct um_sigaction sa = {
		.handler = (uintptr_t)fn,
		.flags = SA_SIGINFO | SA_ONSTACK | SA_RESTORER | more,
		.restorer = (uintptr_t)um_restorer,
		.mask = ~HOST_NEVER_BLOCKED,
	};
	host_call4(__NR_rt_sigaction, signo, HC_A(&sa), 0, 8);
}

/* Let the host send signo to us, with those of the program's flags that concern the host. */
void um_catch(int signo, uint64_t program_flags)
{
	uint64_t more = program_flags & (SA_NOCLDSTOP | SA_NOCLDWAIT);
	if (signo == SIGSYS)
		host_handler(signo, um_sigsys, SA_NODEFER);
	else if (signo == SIGSEGV || signo == SIGBUS)
		host_handler(signo, um_sigfault, SA_NODEFER);
	else
		host_handler(signo, um_sigother, more);
}

void um_uncatch(int signo, uint64_t handler, uint64_t program_flags)
{
	struct um_sigaction sa = { .handler = handler, .flags = (program_flags & (SA_NOCLDSTOP | SA_NOCLDWAIT)) | SA_RESTORER,
				   .restorer = (uintptr_t)um_restorer };
	host_call4(__NR_rt_sigaction, signo, HC_A(&sa), 0, 8);
}
