/* SPDX-License-Identifier: MIT */
/* thread.c - birth, death and identity of threads; processes are fork.c's
 *
 * A program's thread is a host thread.  Birth: the parent prepares the child's kernel stack (struct thread, the frame that will be its first context) and
 * calls host clone; the child arms itself (signal stack, system-call dispatch: neither is inherited) and lets the host load the frame.
 *
 * Death (hazard 7): robust list, clear tid, wake, host exit.  The kernel stack is in use until the last instruction, so it is
 * reused only when the host has zeroed thread.host_alive, which it does after it has left our text for good.
 *
 *   kernel stack, KSTACK_SIZE aligned:   struct thread | guard page | stack … first frame at its top */
#include "um/clone.h"
#include "um/patch.h"
#include "um/tree.h"

#define KNOWN_FLAGS (THREAD_FLAGS | CLONE_FS | CLONE_FILES | CLONE_SYSVSEM | CLONE_SETTLS | CLONE_PARENT_SETTID | \
		     CLONE_CHILD_CLEARTID | CLONE_DETACHED | CLONE_UNTRACED | CLONE_CHILD_SETTID | CLONE_IO | CLONE_PTRACE)

#define PR_SET_SUD 59
#define STACKS_PER_BLOCK 8u
_Static_assert(sizeof(struct thread) <= PAGE_SIZE, "struct thread fits below the guard page");

#define FUTEX_WAKE 1
#define FUTEX_TID_MASK 0x3fffffffu
#define FUTEX_OWNER_DIED 0x40000000u
#define FUTEX_WAITERS 0x80000000u
#define ROBUST_LIMIT 2048

/* ---------------------------------------------------------------- kernel stacks */

static struct thread *thread_list; /* every struct thread ever made, linked by all_next */

void um_lock_threads(void)
{
	while (__atomic_exchange_n(&um.thread_lock, 1, __ATOMIC_ACQUIRE))
		__builtin_ia32_pause();
}

void um_unlock_threads(void) { __atomic_store_n(&um.thread_lock, 0, __ATOMIC_RELEASE); }

/* locked: threads */
static void forget_process(struct thread *t)
{
	struct um_proc *p = t->proc;
	struct um_sighand *h = t->sighand;
	if (p && !--p->refs && p != &um.first)
		kfree(um.mc, p);
	if (h && !--h->refs && h != &um.sighand)
		kfree(um.mc, h);
	t->proc = NULL;
	t->sighand = NULL;
}

static struct thread *reuse_dead(void)
{
	for (struct thread *t = thread_list; t; t = t->all_next)
		if (!__atomic_load_n(&t->host_alive, __ATOMIC_ACQUIRE)) {
			forget_process(t);
			return t;
		}
	return NULL;
}

/* A block of stacks more; all but one are put on the list as dead. */
static struct thread *more_stacks(void)
{
	size_t want = (STACKS_PER_BLOCK + 1) * KSTACK_SIZE;
	char *mem = um.port->ops->alloc(um.port, want);
	if (!mem)
		return NULL;
	uintptr_t p = ((uintptr_t)mem + KSTACK_SIZE - 1) & ~(KSTACK_SIZE - 1);
	struct thread *t = NULL;
	for (unsigned i = 0; i < STACKS_PER_BLOCK; i++, p += KSTACK_SIZE) {
		t = (struct thread *)p;
		host_call3(__NR_mprotect, p + PAGE_SIZE, PAGE_SIZE, 0);
		t->exiting = 1;
		t->all_next = thread_list;
		thread_list = t;
	}
	return t;
}

static struct thread *thread_alloc(struct um_proc *proc, struct um_sighand *sighand)
{
	um_lock_threads();
	struct thread *t = reuse_dead();
	if (!t)
		t = more_stacks();
	if (t) {
		struct thread *next = t->all_next;
		memset(t, 0, sizeof(*t));
		t->all_next = next;
		t->proc = proc;
		t->sighand = sighand;
		proc->refs++;
		sighand->refs++;
		t->host_alive = 1;
	}
	um_unlock_threads();
	return t;
}

void um_child_unmake(struct thread *c)
{
	c->exiting = 1;
	__atomic_store_n(&c->host_alive, 0, __ATOMIC_RELEASE);
}

/* ---------------------------------------------------------------- arming */

/* What the host calls the signal stack; it may be set only while the thread is not on it. */
struct abi_stack um_kernel_stack(struct thread *t)
{
	return (struct abi_stack){ .sp = (uintptr_t)t + 2 * PAGE_SIZE, .size = KSTACK_SIZE - 2 * PAGE_SIZE - FRAME_ROOM };
}

int um_arm_stack(struct thread *t)
{
	struct abi_stack ss = um_kernel_stack(t);
	return (int)host_call2(__NR_sigaltstack, HC_A(&ss), 0);
}

int um_arm_dispatch(void)
{
	if (um.seccomp)
		return 0;
	return (int)host_call5(__NR_prctl, PR_SET_SUD, 1, um.host_sigsys_text, um.host_sigsys_len, 0);
}

/* ---------------------------------------------------------------- birth */

/* The context of the thread that clones, with what differs, as a frame on the child's kernel stack. */
struct abi_rt_sigframe *um_first_frame(struct thread *t)
{
	char *base = (char *)t + KSTACK_SIZE - FRAME_ROOM + 0x100;
	struct abi_rt_sigframe *f = (struct abi_rt_sigframe *)base;
	memset(f, 0, sizeof(*f));
	f->uc.stack = um_kernel_stack(t);
	return f;
}

static void copy_context(struct thread *t, const struct thread *parent)
{
	struct abi_rt_sigframe *f = um_first_frame(t);
	struct abi_stack own = f->uc.stack;
	char *fp = (char *)(((uintptr_t)(f + 1) + 63) & ~63ul);
	f->uc = *parent->uc;
	f->uc.stack = own;
	if (parent->uc->mc.fpstate) {
		const char *from = (const char *)(uintptr_t)parent->uc->mc.fpstate;
		uint32_t size = *(const uint32_t *)(from + 464) == 0x46505853u ? *(const uint32_t *)(from + 468) : 512;
		SF_BUG_ON(size > FRAME_ROOM - 2048);
		memcpy(fp, from, size);
		f->uc.mc.fpstate = (uintptr_t)fp;
	}
	t->uc = &f->uc;
}

/* First C code of a new thread, on its own kernel stack. */
void um_thread_born(void)
{
	struct thread *t = current();
	t->task.tid = (uint32_t)host_call0(__NR_gettid);
	if (t->kernel_fn)
		t->kernel_fn(t);
	if (um_arm_stack(t) || um_arm_dispatch())
		um_oops("a new thread cannot be armed", NULL);
	um_patch_thread(t);
	if (!(t->clone_flags & CLONE_THREAD))
		um_process_born(t);
	if (t->child_settid)
		put_user(um.mm, &t->task, uint32_t, t->child_settid, t->task.tid);
	t->uc->sigmask = t->sigmask & ~HOST_NEVER_BLOCKED;
	um_enter_user((struct abi_rt_sigframe *)((char *)t->uc - offsetof(struct abi_rt_sigframe, uc)));
}

struct thread *um_child_make(struct thread *t, const struct clone_args *a, struct um_proc *proc, struct um_sighand *sighand)
{
	struct thread *c = thread_alloc(proc, sighand);
	if (!c)
		return NULL;
	c->clone_flags = a->flags;
	c->sigmask = t->sigmask;
	c->clear_child_tid = a->flags & CLONE_CHILD_CLEARTID ? a->child_tid : 0;
	c->child_settid = a->flags & CLONE_CHILD_SETTID ? a->child_tid : 0;
	copy_context(c, t);
	c->uc->mc.rax = 0;
	c->uc->mc.rcx = c->uc->mc.rip;
	c->uc->mc.r11 = c->uc->mc.eflags;
	if (a->stack)
		c->uc->mc.rsp = a->stack + a->stack_size;
	return c;
}

uint32_t um_kernel_thread(struct thread *t, void (*fn)(struct thread *))
{
	struct thread *c = thread_alloc(t->proc, t->sighand);
	if (!c)
		return 0;
	c->kernel_fn = fn;
	int64_t r = um_host_clone(THREAD_FLAGS | CLONE_FS | CLONE_FILES | CLONE_SYSVSEM | CLONE_CHILD_CLEARTID,
				  (char *)c + KSTACK_SIZE - FRAME_ROOM, 0, &c->host_alive, 0);
	if (r > 0)
		return (uint32_t)r;
	um_child_unmake(c);
	return 0;
}

int64_t um_clone_thread(struct thread *t, const struct clone_args *a)
{
	vaddr_t ptid = a->flags & CLONE_PARENT_SETTID ? a->parent_tid : 0;
	if (ptid && pin_user(um.mm, &t->task, ptid, 4, true) != 4)
		ptid = 0; /* Linux too goes on when it cannot store the number */
	struct thread *c = um_child_make(t, a, t->proc, t->sighand);
	int64_t r = -ENOMEM;
	if (c) {
		uint64_t flags = (a->flags & ~(uint64_t)(CLONE_CHILD_SETTID | CLONE_PARENT_SETTID | CLONE_DETACHED)) |
				 CLONE_CHILD_CLEARTID | (ptid ? CLONE_PARENT_SETTID : 0);
		__atomic_fetch_add(&t->proc->threads, 1, __ATOMIC_RELAXED);
		host_port_shared(um.port);
		r = um_host_clone(flags, (char *)c + KSTACK_SIZE - FRAME_ROOM, ptid, &c->host_alive, a->tls);
		if (r < 0) {
			__atomic_fetch_sub(&t->proc->threads, 1, __ATOMIC_RELAXED);
			um_child_unmake(c);
		}
	}
	if (ptid)
		unpin_user(um.mm, ptid, 4);
	return r;
}

static int64_t do_clone(struct thread *t, const struct clone_args *a)
{
	if ((a->flags & CLONE_SIGHAND) && !(a->flags & CLONE_VM))
		return -EINVAL;
	if ((a->flags & CLONE_THREAD) && !(a->flags & CLONE_SIGHAND))
		return -EINVAL;
	if ((a->flags & THREAD_FLAGS) != THREAD_FLAGS)
		return um_clone_process(t, a);
	if (a->flags & ~(uint64_t)KNOWN_FLAGS || a->set_tid_size)
		return -EINVAL;
	return um_clone_thread(t, a);
}

int64_t sys_clone(struct thread *t)
{
	struct clone_args a = { .flags = (uint32_t)t->arg[0] & ~(uint64_t)CSIGNAL, .exit_signal = t->arg[0] & CSIGNAL, .stack = t->arg[1],
				.parent_tid = t->arg[2], .pidfd = t->arg[2], .child_tid = t->arg[3], .tls = t->arg[4] };
	if ((a.flags & CLONE_PIDFD) && (a.flags & (CLONE_PARENT_SETTID | CLONE_DETACHED | CLONE_THREAD)))
		return -EINVAL;
	return do_clone(t, &a);
}

/* Bytes behind the structure that we know must be zero. */
static int64_t clone3_tail(struct thread *t, vaddr_t from, vaddr_t to)
{
	for (char c; from < to; from++) {
		if (get_user(um.mm, &t->task, char, from, &c))
			return -EFAULT;
		if (c)
			return -E2BIG;
	}
	return 0;
}

#define SET_TID_MOST 32u

int64_t sys_clone3(struct thread *t)
{
	struct clone_args a;
	uint64_t size = t->arg[1];
	int32_t set_tid[SET_TID_MOST];
	memset(&a, 0, sizeof(a));
	if (size < 64 || size > PAGE_SIZE)
		return size > PAGE_SIZE ? -E2BIG : -EINVAL;
	int64_t err = clone3_tail(t, t->arg[0] + sizeof(a), t->arg[0] + size);
	if (err)
		return err;
	if (copy_from_user(um.mm, &t->task, &a, t->arg[0], MIN(size, sizeof(a))))
		return -EFAULT;
	if ((a.stack != 0) != (a.stack_size != 0) || (a.stack && !access_ok(um.mm, a.stack, a.stack_size)) || a.exit_signal > NSIG ||
	    a.flags & (CLONE_DETACHED | (CSIGNAL & ~CLONE_NEWTIME)))
		return -EINVAL;
	if (a.flags & CLONE_INTO_CGROUP && (a.cgroup > INT32_MAX || size < sizeof(a)))
		return -EINVAL;
	if ((a.set_tid != 0) != (a.set_tid_size != 0) || a.set_tid_size > SET_TID_MOST)
		return -EINVAL;
	if (a.set_tid_size && copy_from_user(um.mm, &t->task, set_tid, a.set_tid, a.set_tid_size * sizeof(set_tid[0])))
		return -EFAULT;
	if (a.set_tid_size && a.flags & CLONE_VM)
		return -EPERM; /* as for whom may not choose numbers */
	a.set_tid = a.set_tid_size ? HC_A(set_tid) : 0;
	if ((a.flags & (CLONE_THREAD | CLONE_PARENT)) && a.exit_signal)
		return -EINVAL;
	return do_clone(t, &a);
}

/* ---------------------------------------------------------------- death */

/* The owner dies: mark the futex word and wake one waiter.  Source: Linux handle_futex_death. */
static void futex_death(struct thread *t, vaddr_t word, bool pi)
{
	uint32_t v, old;
	if ((word & 3) || get_user(um.mm, &t->task, uint32_t, word, &v))
		return;
	for (;;) {
		if ((v & FUTEX_TID_MASK) != t->task.tid)
			return;
		if (cmpxchg_user32(um.mm, &t->task, word, v, (v & FUTEX_WAITERS) | FUTEX_OWNER_DIED, &old))
			return;
		if (old == v)
			break;
		v = old;
	}
	if (!pi && (v & FUTEX_WAITERS) && pin_user(um.mm, &t->task, word, 4, true) == 4) {
		host_call6(__NR_futex, word, FUTEX_WAKE, 1, 0, 0, 0);
		unpin_user(um.mm, word, 4);
	}
}

static void robust_exit(struct thread *t)
{
	uint64_t entry, next, pending, offset;
	um_tree_keep_watch(t);
	if (!t->robust_list || get_user(um.mm, &t->task, uint64_t, t->robust_list, &entry) ||
	    get_user(um.mm, &t->task, uint64_t, t->robust_list + 8, &offset) ||
	    get_user(um.mm, &t->task, uint64_t, t->robust_list + 16, &pending))
		return;
	for (int limit = ROBUST_LIMIT; limit && (entry & ~1ull) != t->robust_list; limit--) {
		int bad = get_user(um.mm, &t->task, uint64_t, entry & ~1ull, &next);
		if ((entry & ~1ull) != (pending & ~1ull))
			futex_death(t, (entry & ~1ull) + offset, entry & 1);
		if (bad)
			return;
		entry = next;
	}
	if (pending & ~1ull)
		futex_death(t, (pending & ~1ull) + offset, pending & 1);
	t->robust_list = 0;
}

static void clear_tid(struct thread *t)
{
	vaddr_t a = t->clear_child_tid;
	t->clear_child_tid = 0;
	if (!a || put_user(um.mm, &t->task, uint32_t, a, 0))
		return;
	if (pin_user(um.mm, &t->task, a, 4, true) != 4)
		return;
	host_call6(__NR_futex, a, FUTEX_WAKE, 1, 0, 0, 0);
	unpin_user(um.mm, a, 4);
}

int64_t sys_exit(struct thread *t)
{
	const uint64_t all = ~0ull;
	robust_exit(t);
	clear_tid(t);
	um_thread_gone(t);
	host_call4(__NR_rt_sigprocmask, 2 /* SIG_SETMASK */, HC_A(&all), 0, 8);
	um_hand_over_signals(t);
	if (!__atomic_sub_fetch(&t->proc->threads, 1, __ATOMIC_ACQ_REL) && um.helper_tid && t->proc == &um.first)
		um_exit_group((int)t->arg[0]); /* our own thread would stay; the last status counts, as in Linux since 6.0 */
	__atomic_store_n(&t->exiting, 1, __ATOMIC_RELEASE);
	for (;;)
		host_call1(__NR_exit, (int)t->arg[0]);
}

/* The other threads' lists are left to the host, which finds what is in memory. */
int64_t sys_exit_group(struct thread *t)
{
	robust_exit(t);
	if (t->proc != &um.first) /* the memory lives on, so the end is seen in it */
		clear_tid(t);
	um_exit_group((int)t->arg[0]);
}

/* Counters of a thread that ends go to the process. */
void um_thread_gone(struct thread *t)
{
	__atomic_fetch_add(&um.dead_min_flt, t->task.min_flt, __ATOMIC_RELAXED);
	__atomic_fetch_add(&um.dead_maj_flt, t->task.maj_flt, __ATOMIC_RELAXED);
	t->task.min_flt = t->task.maj_flt = 0;
}

/* Faults of the whole process, living threads and dead. */
void um_fault_counts(uint64_t *ret_min, uint64_t *ret_maj)
{
	um_lock_threads();
	*ret_min = um.dead_min_flt;
	*ret_maj = um.dead_maj_flt;
	for (struct thread *t = thread_list; t; t = t->all_next) {
		*ret_min += t->task.min_flt;
		*ret_maj += t->task.maj_flt;
	}
	um_unlock_threads();
}

void um_thread_first(struct thread *t)
{
	t->proc = &um.first;
	t->sighand = &um.sighand;
	um.first.refs = um.sighand.refs = um.first.threads = 1;
	t->host_alive = 1;
	t->all_next = thread_list;
	thread_list = t;
}

/* The others exist in the parent only; their stacks are free here.  When t was a second process on the parent's memory it
 * owns its own now. */
void um_threads_forked(struct thread *t)
{
	struct um_proc *p = t->proc;
	struct um_sighand *h = t->sighand;
	for (struct thread *i = thread_list; i; i = i->all_next)
		if (i != t) {
			i->exiting = 1;
			i->host_alive = 0;
			i->proc = NULL;
			i->sighand = NULL;
		}
	if (p != &um.first) /* a copy of what is there already would copy the page, too */
		um.first = *p;
	if (h != &um.sighand)
		um.sighand = *h;
	t->proc = &um.first;
	t->sighand = &um.sighand;
	um.first.refs = um.sighand.refs = um.first.threads = 1;
	um.sighand.lock = 0;
	um.helper_tid = 0;
	um.dead_min_flt = um.dead_maj_flt = 0;
}

/* ---------------------------------------------------------------- identity */

int64_t sys_set_tid_address(struct thread *t)
{
	t->clear_child_tid = t->arg[0];
	return t->task.tid;
}

int64_t sys_set_robust_list(struct thread *t)
{
	if (t->arg[1] != 24)
		return -EINVAL;
	host_call2(__NR_set_robust_list, t->arg[0], t->arg[1]); /* for a death that we do not see coming */
	t->robust_list = t->arg[0];
	t->robust_len = t->arg[1];
	return 0;
}

bool um_shares_memory(uint32_t pid)
{
	bool found = false;
	um_lock_threads();
	for (struct thread *i = thread_list; !found && i; i = i->all_next)
		found = __atomic_load_n(&i->host_alive, __ATOMIC_ACQUIRE) && i->proc && (i->proc->pid == pid || i->task.tid == pid);
	um_unlock_threads();
	return found;
}

int64_t sys_get_robust_list(struct thread *t)
{
	int32_t tid = (int32_t)t->arg[0];
	struct thread *who = tid ? NULL : t;
	um_lock_threads();
	for (struct thread *i = thread_list; !who && i; i = i->all_next)
		if (!i->exiting && (int32_t)i->task.tid == tid)
			who = i;
	um_unlock_threads();
	if (!who)
		return -ESRCH;
	if (put_user(um.mm, &t->task, uint64_t, t->arg[2], 24) || put_user(um.mm, &t->task, uint64_t, t->arg[1], who->robust_list))
		return -EFAULT;
	return 0;
}

#define ARCH_SET_GS 0x1001
#define ARCH_SET_FS 0x1002
#define ARCH_GET_FS 0x1003
#define ARCH_GET_GS 0x1004
#define ARCH_GET_CPUID 0x1011
#define ARCH_SET_CPUID 0x1012
#define ARCH_CET_STATUS 0x3001

int64_t sys_arch_prctl(struct thread *t)
{
	uint64_t v = 0;
	int code = (int)t->arg[0];
	switch (code) {
	case ARCH_SET_FS:
	case ARCH_SET_GS:
		if (t->arg[1] >= TASK_SIZE)
			return -EPERM;
		if (code == ARCH_SET_GS)
			um_patch_stop();
		return host_call2(__NR_arch_prctl, code, t->arg[1]);
	case ARCH_GET_FS:
	case ARCH_GET_GS:
		if (code == ARCH_GET_FS || !um_patch_on)
			host_call2(__NR_arch_prctl, code, HC_A(&v));
		return put_user(um.mm, &t->task, uint64_t, t->arg[1], v) ? -EFAULT : 0;
	case ARCH_GET_CPUID:
	case ARCH_SET_CPUID:
		return host_call2(__NR_arch_prctl, code, t->arg[1]);
	default:
		return -EINVAL;
	}
}
