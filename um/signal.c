/* SPDX-License-Identifier: MIT */
/* signal.c - the program's signals: actions, masks, frames
 *
 * Sending, queueing and waiting stay the host's.  A signal for which the program has a handler is caught by ours (trap.c), which
 * builds the frame that Linux would build on the program's stack; the host never touches that stack, as it may be absent.  A
 * signal with the default action or ignored has that disposition on the host, so stops, core dumps and exit
 * statuses are right by themselves.
 *
 * SIGSEGV, SIGBUS and SIGSYS are never blocked on the host: we live by them.  For the program their mask is virtual: one that somebody
 * sent while blocked waits in thread.virt.
 *
 * Frame, from high to low, as in Linux's arch/x86/kernel/signal_64.c: FP state (64-aligned), struct rt_sigframe. */
#include "um/syscall.h"
#include "um/clone.h"

#define MINSIGSTKSZ 2048ul
#define FP_XSTATE_MAGIC1 0x46505853u
#define FP_XSTATE_MAGIC2 0x46505845u
#define UNBLOCKABLE (SIGBIT(SIGKILL) | SIGBIT(SIGSTOP))
#define EFLAGS_TF 0x100ull
#define EFLAGS_DF 0x400ull
#define EFLAGS_RF 0x10000ull
#define EFLAGS_USER 0x50dd5ull /* what sigreturn lets the program set */
#define UC_SIGCONTEXT_SS 2ull
#define UC_STRICT_RESTORE_SS 4ull
#define USER_CS 0x33

static const uint64_t sync_signals = SIGBIT(SIGSEGV) | SIGBIT(SIGBUS) | SIGBIT(SIGSYS);

static struct um_sigaction *my_actions(void) { return current()->sighand->action; }

static void lock_actions(void)
{
	while (__atomic_exchange_n(&current()->sighand->lock, 1, __ATOMIC_ACQUIRE))
		__builtin_ia32_pause();
}

static void unlock_actions(void) { __atomic_store_n(&current()->sighand->lock, 0, __ATOMIC_RELEASE); }

/* ---------------------------------------------------------------- ends */

void um_memory_leaves(struct thread *t, bool leaves)
{
	uint64_t used = um.mc ? READ_ONCE(um.mc->used) : 0;
	if (t->proc == &um.first && um.mc && !um.mc->tree) /* a tree has entries for the dead */
		__atomic_fetch_add(&um.shm->stats.resident, leaves ? -used : used, __ATOMIC_RELAXED);
}

void um_exit_group(int status)
{
	um_account_close(current());
	um_memory_leaves(current(), true);
	for (;;)
		host_call1(__NR_exit_group, status);
}

void um_die_by_signal(int signo)
{
	const uint64_t others = ~SIGBIT(signo);
	um_uncatch(signo, SIG_DFL, 0);
	um_memory_leaves(current(), true);
	um_account_close(current());
	host_call3(__NR_tgkill, my_pid(), current()->task.tid, signo);
	host_call4(__NR_rt_sigprocmask, SIG_SETMASK, HC_A(&others), 0, 8);
	for (;;) /* not reached unless the host refuses to kill us */
		host_call1(__NR_exit_group, 128 + signo);
}

/* ---------------------------------------------------------------- the three virtual signals */

static int virt_index(int signo) { return signo == SIGSEGV ? 0 : signo == SIGBUS ? 1 : 2; }
static const int virt_signo[3] = { SIGSEGV, SIGBUS, SIGSYS };

/* One instruction, as um_post_virtual may interrupt. */
static void virt_clear(struct thread *t, int i) { __atomic_fetch_and(&t->virt_pending, ~(1u << i), __ATOMIC_RELAXED); }

void um_post_virtual(struct thread *t, const struct abi_siginfo *info)
{
	int i = virt_index(info->signo);
	if (!(t->virt_pending & (1u << i)))
		t->virt[i] = *info;
	__atomic_fetch_or(&t->virt_pending, 1u << i, __ATOMIC_RELAXED);
}

bool um_ignores(int signo) { return __atomic_load_n(&current()->sighand->action[signo].handler, __ATOMIC_RELAXED) == SIG_IGN; }

uint64_t um_virtual_pending(const struct thread *t)
{
	uint64_t set = 0;
	for (int i = 0; i < 3; i++)
		if (t->virt_pending & (1u << i))
			set |= SIGBIT(virt_signo[i]);
	return set;
}

/* ---------------------------------------------------------------- alternate stack */

static bool on_altstack(const struct thread *t, vaddr_t sp)
{
	if (t->ss_flags & SS_AUTODISARM)
		return false;
	return t->ss_size && sp > t->ss_sp && sp - t->ss_sp <= t->ss_size;
}

static uint32_t altstack_state(const struct thread *t, vaddr_t sp)
{
	if (!t->ss_size)
		return SS_DISABLE;
	return on_altstack(t, sp) ? SS_ONSTACK : 0;
}

static struct abi_stack altstack_get(const struct thread *t, vaddr_t sp)
{
	return (struct abi_stack){ .sp = t->ss_sp, .size = t->ss_size,
				   .flags = altstack_state(t, sp) | (t->ss_flags & SS_AUTODISARM) };
}

static int altstack_set(struct thread *t, const struct abi_stack *st, vaddr_t sp)
{
	uint32_t mode = st->flags & ~SS_AUTODISARM;
	if (on_altstack(t, sp))
		return -EPERM;
	if (mode != SS_DISABLE && mode != SS_ONSTACK && mode != 0)
		return -EINVAL;
	if (mode == SS_DISABLE) {
		t->ss_sp = t->ss_size = 0;
		t->ss_flags = st->flags;
		return 0;
	}
	if (st->size < MINSIGSTKSZ)
		return -ENOMEM;
	t->ss_sp = st->sp;
	t->ss_size = st->size;
	t->ss_flags = st->flags;
	return 0;
}

int64_t sys_sigaltstack(struct thread *t)
{
	struct abi_stack st, old = altstack_get(t, t->uc->mc.rsp);
	if (t->arg[0]) {
		if (copy_from_user(um.mm, &t->task, &st, t->arg[0], sizeof(st)))
			return -EFAULT;
		int err = altstack_set(t, &st, t->uc->mc.rsp);
		if (err)
			return err;
	}
	if (t->arg[1]) {
		old.pad = 0;
		if (copy_to_user(um.mm, &t->task, t->arg[1], &old, sizeof(old)))
			return -EFAULT;
	}
	return 0;
}

/* ---------------------------------------------------------------- frames */

/* Size of the FP state behind a fpstate pointer of the host's, trailing magic included. */
static uint32_t fp_size(const void *fp)
{
	const uint32_t *sw = (const uint32_t *)((const char *)fp + 464); /* sw_reserved of the fxsave image */
	return sw[0] == FP_XSTATE_MAGIC1 ? sw[1] : 512;
}

/* Where the frame goes; 0 when it would leave the alternate stack. */
static vaddr_t frame_place(const struct thread *t, const struct um_sigaction *act, uint32_t fpsize, vaddr_t *ret_fp)
{
	vaddr_t sp = t->uc->mc.rsp - 128;
	bool on = on_altstack(t, t->uc->mc.rsp), entering = false;
	if ((act->flags & SA_ONSTACK) && t->ss_size && !on) {
		sp = t->ss_sp + t->ss_size;
		entering = true;
	}
	*ret_fp = (sp - fpsize) & ~63ull;
	vaddr_t frame = ((*ret_fp - sizeof(struct abi_rt_sigframe)) & ~15ull) - 8;
	if ((on || entering) && (frame <= t->ss_sp || frame > t->ss_sp + t->ss_size))
		return 0;
	return frame;
}

static int frame_write(struct thread *t, const struct um_sigaction *act, const struct abi_siginfo *info, vaddr_t frame, vaddr_t fp,
		       uint32_t fpsize)
{
	struct abi_rt_sigframe f;
	struct abi_ucontext *uc = t->uc;
	memset(&f, 0, sizeof(f));
	f.pretcode = act->restorer;
	f.uc.flags = uc->flags;
	f.uc.stack = (struct abi_stack){ .sp = t->ss_sp, .size = t->ss_size, .flags = t->ss_flags }; /* not whether we are on it */
	f.uc.mc = uc->mc;
	f.uc.mc.fpstate = fpsize ? fp : 0;
	f.uc.mc.trapno = t->trap.no;
	f.uc.mc.err = t->trap.err;
	f.uc.mc.cr2 = t->trap.cr2;
	f.uc.sigmask = t->restore_sigmask ? t->saved_sigmask : t->sigmask;
	f.uc.mc.oldmask = f.uc.sigmask;
	f.info = *info;
	if (fpsize && copy_to_user(um.mm, &t->task, fp, (void *)(uintptr_t)uc->mc.fpstate, fpsize))
		return -EFAULT;
	return copy_to_user(um.mm, &t->task, frame, &f, sizeof(f)) ? -EFAULT : 0;
}

/* Point the program's context at its handler. */
static int setup_frame(struct thread *t, const struct um_sigaction *act, const struct abi_siginfo *info)
{
	struct abi_sigcontext *r = &t->uc->mc;
	uint32_t fpsize = r->fpstate ? fp_size((void *)(uintptr_t)r->fpstate) : 0;
	vaddr_t fp, frame = frame_place(t, act, fpsize, &fp);
	if (!frame || !(act->flags & SA_RESTORER) || frame_write(t, act, info, frame, fp, fpsize))
		return -EFAULT;
	if (t->ss_flags & SS_AUTODISARM) {
		t->ss_sp = t->ss_size = 0;
		t->ss_flags = SS_DISABLE;
	}
	r->rdi = (uint64_t)info->signo;
	r->rsi = frame + offsetof(struct abi_rt_sigframe, info);
	r->rdx = frame + offsetof(struct abi_rt_sigframe, uc);
	r->rax = 0;
	r->rip = act->handler;
	r->rsp = frame;
	r->eflags &= ~(EFLAGS_DF | EFLAGS_RF | EFLAGS_TF);
	r->fpstate = 0; /* the handler starts with a fresh FP state */
	r->cs = USER_CS;
	t->uc->flags &= ~UC_STRICT_RESTORE_SS; /* a stack segment that is no good in 64-bit mode is replaced by the host */
	t->restore_sigmask = false;
	t->sigmask |= act->mask | (act->flags & SA_NODEFER ? 0 : SIGBIT(info->signo));
	t->sigmask &= ~UNBLOCKABLE;
	return 0;
}

/* Take the action for signo, resetting it if it is one-shot. */
static struct um_sigaction action_take(int signo)
{
	lock_actions();
	struct um_sigaction act = my_actions()[signo];
	if (act.handler > SIG_IGN && (act.flags & SA_RESETHAND)) {
		my_actions()[signo].handler = SIG_DFL;
		if (!(SIGBIT(signo) & sync_signals))
			um_uncatch(signo, SIG_DFL, 0);
	}
	unlock_actions();
	return act;
}

static void frame_failed(struct thread *t, int signo)
{
	if (signo == SIGSEGV)
		um_die_by_signal(SIGSEGV);
	um_force_signal(t, SIGSEGV, SI_KERNEL, 0, 0, 0);
}

/* The default action of one that we caught: let the host do it, with the same sender. */
static void default_action(struct thread *t, const struct abi_siginfo *info)
{
	if (SIGBIT(info->signo) & sync_signals)
		um_die_by_signal(info->signo);
	host_call4(__NR_rt_tgsigqueueinfo, my_pid(), t->task.tid, info->signo, HC_A(info));
}

static void deliver(struct thread *t, const struct abi_siginfo *info)
{
	struct um_sigaction act = action_take(info->signo);
	if (act.handler == SIG_IGN)
		return;
	if (act.handler == SIG_DFL)
		default_action(t, info);
	else if (setup_frame(t, &act, info))
		frame_failed(t, info->signo);
}

bool um_deliver_pending(struct thread *t)
{
	if (t->has_taken) {
		struct abi_siginfo info = t->taken;
		t->has_taken = false;
		deliver(t, &info);
		return true;
	}
	for (int i = 0; i < 3; i++) {
		if ((t->virt_pending & (1u << i)) && !(t->sigmask & SIGBIT(virt_signo[i]))) {
			struct abi_siginfo info = t->virt[i];
			virt_clear(t, i);
			deliver(t, &info);
			return true;
		}
	}
	return false;
}

void um_post_or_deliver(struct thread *t, const struct abi_siginfo *info)
{
	if ((SIGBIT(info->signo) & HOST_NEVER_BLOCKED) && (t->sigmask & SIGBIT(info->signo)))
		um_post_virtual(t, info);
	else
		deliver(t, info);
}

/* Source: Linux force_sig_info_to_task: a blocked or ignored synchronous signal kills. */
void um_force_info(struct thread *t, const struct abi_siginfo *info, unsigned trapno, unsigned err, vaddr_t cr2)
{
	lock_actions();
	uint64_t handler = my_actions()[info->signo].handler;
	unlock_actions();
	if (handler <= SIG_IGN || (t->sigmask & SIGBIT(info->signo)))
		um_die_by_signal(info->signo);
	t->trap = (struct um_trap_info){ .no = trapno, .err = err, .cr2 = cr2 };
	deliver(t, info);
}

void um_force_signal(struct thread *t, int signo, int code, vaddr_t addr, unsigned trapno, unsigned err)
{
	struct abi_siginfo info;
	memset(&info, 0, sizeof(info));
	info.signo = signo;
	info.code = code;
	info.fault.addr = addr;
	um_force_info(t, &info, trapno, err, addr);
}

/* ---------------------------------------------------------------- sigreturn */

static int restore_fp(struct thread *t, vaddr_t ufp)
{
	struct abi_sigcontext *r = &t->uc->mc;
	if (!ufp) {
		r->fpstate = 0;
		return 0;
	}
	char *fp = (char *)(uintptr_t)r->fpstate;
	uint32_t magic, magic2 = 0, size, ours = fp_size(fp);
	if (get_user(um.mm, &t->task, uint32_t, ufp + 464, &magic) || get_user(um.mm, &t->task, uint32_t, ufp + 468, &size))
		return -EFAULT;
	if (magic == FP_XSTATE_MAGIC1 && size == ours)
		get_user(um.mm, &t->task, uint32_t, ufp + size - 4, &magic2);
	if (magic2 != FP_XSTATE_MAGIC2)
		size = 512; /* the legacy part only; the host sees no magic and resets the rest */
	if (copy_from_user(um.mm, &t->task, fp, ufp, size))
		return -EFAULT;
	if (size == 512)
		memset(fp + 464, 0, sizeof(magic));
	return 0;
}

/* Which segments may be loaded is for the host to say: it refuses where Linux does, with the same signal. */
static void restore_regs(struct abi_ucontext *uc, const struct abi_ucontext *from)
{
	const uint64_t ss_flags = UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS;
	struct abi_sigcontext *r = &uc->mc;
	uint64_t fpstate = r->fpstate, flags = r->eflags;
	uint16_t gs = r->gs, fs = r->fs;
	*r = from->mc;
	r->fpstate = fpstate;
	r->gs = gs, r->fs = fs;
	r->eflags = (flags & ~EFLAGS_USER) | (from->mc.eflags & EFLAGS_USER);
	uc->flags = (uc->flags & ~ss_flags) | (from->flags & ss_flags);
}

int64_t sys_rt_sigreturn(struct thread *t)
{
	struct abi_ucontext uc;
	vaddr_t frame = t->uc->mc.rsp - 8;
	if (copy_from_user(um.mm, &t->task, &uc, frame + offsetof(struct abi_rt_sigframe, uc), sizeof(uc)) ||
	    restore_fp(t, uc.mc.fpstate)) {
		um_force_signal(t, SIGSEGV, SI_KERNEL, 0, 0, 0);
		return -UM_NORETURN;
	}
	altstack_set(t, &uc.stack, t->uc->mc.rsp); /* judged by the handler's stack pointer, as in Linux since 6.12 */
	restore_regs(t->uc, &uc);
	if (!access_ok(um.mm, uc.mc.rip, 1) && uc.mc.rip < OWN_HI + (1ull << 40))
		t->uc->mc.rip = 0; /* never into the kernel: fault where Linux would */
	t->sigmask = uc.sigmask & ~UNBLOCKABLE;
	return -UM_NORETURN;
}

/* ---------------------------------------------------------------- actions and masks */

static void host_disposition(int signo, const struct um_sigaction *act)
{
	if (act->handler > SIG_IGN)
		um_catch(signo, act->flags);
	else if (!(SIGBIT(signo) & sync_signals))
		um_uncatch(signo, act->handler, act->flags);
}

#define SA_KNOWN (SA_NOCLDSTOP | SA_NOCLDWAIT | SA_SIGINFO | SA_ONSTACK | SA_RESTART | SA_NODEFER | SA_RESETHAND | \
		  SA_EXPOSE_TAGBITS | SA_RESTORER)

int64_t sys_rt_sigaction(struct thread *t)
{
	struct um_sigaction act, old;
	uint64_t signo = (uint32_t)t->arg[0];
	if (t->arg[3] != 8)
		return -EINVAL;
	if (t->arg[1] && copy_from_user(um.mm, &t->task, &act, t->arg[1], sizeof(act)))
		return -EFAULT;
	if (!signo || signo > NSIG || (t->arg[1] && (signo == SIGKILL || signo == SIGSTOP)))
		return -EINVAL;
	lock_actions();
	old = my_actions()[signo];
	if (t->arg[1]) {
		act.flags &= SA_KNOWN;
		act.mask &= ~UNBLOCKABLE;
		my_actions()[signo] = act;
		host_disposition((int)signo, &act);
	}
	unlock_actions();
	if (t->arg[1] && act.handler == SIG_IGN && (SIGBIT(signo) & sync_signals))
		virt_clear(t, virt_index((int)signo));
	if (t->arg[2] && copy_to_user(um.mm, &t->task, t->arg[2], &old, sizeof(old)))
		return -EFAULT;
	return 0;
}

int64_t sys_rt_sigprocmask(struct thread *t)
{
	uint64_t set, old = t->sigmask;
	if (t->arg[3] != 8)
		return -EINVAL;
	if (t->arg[1]) {
		if (copy_from_user(um.mm, &t->task, &set, t->arg[1], 8))
			return -EFAULT;
		set &= ~UNBLOCKABLE;
		switch ((int)t->arg[0]) {
		case SIG_BLOCK: t->sigmask |= set; break;
		case SIG_UNBLOCK: t->sigmask &= ~set; break;
		case SIG_SETMASK: t->sigmask = set; break;
		default: return -EINVAL;
		}
	}
	if (t->arg[2] && copy_to_user(um.mm, &t->task, t->arg[2], &old, 8))
		return -EFAULT;
	return 0;
}

int64_t sys_rt_sigpending(struct thread *t)
{
	uint64_t set = 0;
	if (t->arg[1] > 8)
		return -EINVAL;
	host_call2(__NR_rt_sigpending, HC_A(&set), 8);
	set = (set | um_virtual_pending(t)) & t->sigmask;
	return copy_to_user(um.mm, &t->task, t->arg[0], &set, t->arg[1]) ? -EFAULT : 0;
}

void um_use_sigmask(struct thread *t, uint64_t mask)
{
	t->saved_sigmask = t->sigmask;
	t->restore_sigmask = true;
	t->sigmask = mask & ~UNBLOCKABLE;
}

int64_t sys_rt_sigsuspend(struct thread *t)
{
	uint64_t mask;
	if (t->arg[1] != 8)
		return -EINVAL;
	if (copy_from_user(um.mm, &t->task, &mask, t->arg[0], 8))
		return -EFAULT;
	um_use_sigmask(t, mask);
	return um_block_call(t, t->sigmask, __NR_pause, 0, 0, 0, 0, 0, 0);
}

int64_t sys_pause(struct thread *t)
{
	return um_block_call(t, t->sigmask, __NR_pause, 0, 0, 0, 0, 0, 0);
}

/* One of the three virtual signals that waits already. */
static int64_t take_virtual(struct thread *t, uint64_t set, struct abi_siginfo *ret)
{
	for (int i = 0; i < 3; i++) {
		if ((t->virt_pending & (1u << i)) && (set & SIGBIT(virt_signo[i]))) {
			*ret = t->virt[i];
			virt_clear(t, i);
			return virt_signo[i];
		}
	}
	return 0;
}

void um_hand_over_signals(struct thread *t)
{
	struct abi_siginfo info;
	while (take_virtual(t, sync_signals, &info)) {
		if (info.code == SI_TKILL)
			continue;
		info.code -= MADE_UP_CODE; /* the host lets us send no other's */
		host_call3(__NR_rt_sigqueueinfo, my_pid(), info.signo, HC_A(&info));
	}
}

int64_t sys_rt_sigtimedwait(struct thread *t)
{
	struct abi_siginfo info;
	uint64_t set, ts[2];
	if (t->arg[3] != 8)
		return -EINVAL;
	if (copy_from_user(um.mm, &t->task, &set, t->arg[0], 8) ||
	    (t->arg[2] && copy_from_user(um.mm, &t->task, ts, t->arg[2], 16)))
		return -EFAULT;
	memset(&info, 0, sizeof(info));
	int64_t r = take_virtual(t, set, &info);
	if (!r)
		r = um_block_call(t, t->sigmask | set, __NR_rt_sigtimedwait, HC_A(&set), HC_A(&info), t->arg[2] ? HC_A(ts) : 0, 8, 0, 0);
	if (r == -ERESTART_NOTSTARTED)
		r = take_virtual(t, set, &info) ?: r;
	if (r > 0 && is_made_up(info.code))
		info.code += MADE_UP_CODE;
	if (r > 0 && t->arg[1] && copy_to_user(um.mm, &t->task, t->arg[1], &info, sizeof(info)))
		return -EFAULT;
	return r;
}

void um_clear_handlers(struct thread *t)
{
	for (int s = 1; s <= NSIG; s++) {
		struct um_sigaction *act = &t->sighand->action[s];
		if (act->handler <= SIG_IGN)
			continue;
		*act = (struct um_sigaction){ .handler = SIG_DFL };
		if (!(SIGBIT(s) & sync_signals))
			um_uncatch(s, SIG_DFL, 0);
	}
}

void um_signals_inherit(struct thread *t, const struct um_exec_state *state)
{
	t->sigmask = state->sigmask;
	for (int s = 1; s <= NSIG; s++)
		if (state->ignored & SIGBIT(s))
			t->sighand->action[s].handler = SIG_IGN;
}

/* ---------------------------------------------------------------- sending with information */

/* Only to itself may a thread send what looks like the kernel's own signal (Linux: si_code >= 0). */
#define KNOWN_SIGINFO 48 /* the rest is padding in every layout that the host knows, and it does not read that */

static int get_info(struct thread *t, struct abi_siginfo *info, vaddr_t uinfo)
{
	memset(info, 0, sizeof(*info));
	return copy_from_user(um.mm, &t->task, info, uinfo, sizeof(*info)) && copy_from_user(um.mm, &t->task, info, uinfo, KNOWN_SIGINFO) ? -EFAULT : 0;
}

static int64_t send_info(struct thread *t, vaddr_t uinfo, int32_t target, int signo, bool to_thread)
{
	struct abi_siginfo info;
	if (get_info(t, &info, uinfo))
		return -EFAULT;
	if (info.code > 0 && target == (int32_t)t->task.tid && signo > 0 && signo <= NSIG && (SIGBIT(signo) & sync_signals))
		info.code -= MADE_UP_CODE;
	return to_thread ? host_call4(__NR_rt_tgsigqueueinfo, t->arg[0], target, signo, HC_A(&info)) :
			   host_call3(__NR_rt_sigqueueinfo, target, signo, HC_A(&info));
}

int64_t sys_rt_sigqueueinfo(struct thread *t)
{
	return send_info(t, t->arg[2], (int32_t)t->arg[0], (int)t->arg[1], false);
}

int64_t sys_rt_tgsigqueueinfo(struct thread *t)
{
	return send_info(t, t->arg[3], (int32_t)t->arg[1], (int)t->arg[2], true);
}

/* The dispositions and mask that we were started with are the program's. */
void um_signals_init(struct thread *t)
{
	uint64_t all = ~0ull;
	host_call4(__NR_rt_sigprocmask, SIG_SETMASK, HC_A(&all), HC_A(&t->sigmask), 8);
	for (int s = 1; s <= NSIG; s++) {
		struct um_sigaction old;
		memset(&old, 0, sizeof(old));
		host_call4(__NR_rt_sigaction, s, 0, HC_A(&old), 8);
		my_actions()[s].handler = old.handler == SIG_IGN ? SIG_IGN : SIG_DFL;
	}
	um_catch(SIGSEGV, 0);
	um_catch(SIGBUS, 0);
	um_catch(SIGSYS, 0);
	all = ~HOST_NEVER_BLOCKED;
	host_call4(__NR_rt_sigprocmask, SIG_SETMASK, HC_A(&all), 0, 8);
}

/* Linux looks at flags and descriptor first. */
int64_t sys_pidfd_send_signal(struct thread *t)
{
	struct abi_siginfo info;
	uint64_t host = t->arg[2];
	int64_t fd = (int32_t)fd_arg(t->arg[0]);
	if (host)
		host = get_info(t, &info, host) ? BAD_USER : HC_A(&info);
	return host_call4(__NR_pidfd_send_signal, fd, t->arg[1], host, t->arg[3]);
}
