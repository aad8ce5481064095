/* SPDX-License-Identifier: MIT */
/* fork.c - processes: fork, and those that share their parent's memory
 *
 *                memory    the child runs on                      what it must do first
 *   fork         a copy    its copy of the same kernel stack      make the copy its own (mm_fork_child), arm dispatch
 *   vfork,       shared    a kernel stack of its own, as a        as a thread, and know its process number
 *   posix_spawn            thread does (um_thread_born)
 *
 * The host copies everything, ours included, as it stands at that instant; so the parent takes every lock of ours first, and the child finds
 * nothing half done.  Threads are not copied: what they had pinned, were reading or were writing is undone in the child's copy. */
#include "um/clone.h"
#include "um/patch.h"
#include "um/tree.h"

#define KNOWN (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_PIDFD | CLONE_PTRACE | CLONE_VFORK | CLONE_PARENT | CLONE_NEWNS | \
	       CLONE_SYSVSEM | CLONE_SETTLS | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID | CLONE_DETACHED | CLONE_UNTRACED | \
	       CLONE_CHILD_SETTID | 0x7e000000ull /* CLONE_NEW* */ | CLONE_IO | CLONE_CLEAR_SIGHAND)
#define OURS (CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | CLONE_DETACHED | CLONE_CLEAR_SIGHAND) /* done by us, not by the host */

#define PR_SET_PDEATHSIG 1

/* ---------------------------------------------------------------- fork */

/* The mm lock is held already. */
static void lock_all(struct thread *t)
{
	um_lock_threads();
	while (__atomic_exchange_n(&t->sighand->lock, 1, __ATOMIC_ACQUIRE))
		__builtin_ia32_pause();
}

static void unlock_all(struct thread *t)
{
	__atomic_store_n(&t->sighand->lock, 0, __ATOMIC_RELEASE);
	um_unlock_threads();
	mm_unlock(um.mm);
}

/* The thread itself in its new process.  Pending signals stay with the parent. */
static void child_thread(struct thread *t, const struct clone_args *a)
{
	t->task.min_flt = t->task.maj_flt = 0;
	t->has_taken = false;
	t->virt_pending = 0;
	t->robust_list = 0;
	t->clear_child_tid = a->flags & CLONE_CHILD_CLEARTID ? a->child_tid : 0;
	host_call1(__NR_set_tid_address, &t->host_alive);
	um_threads_forked(t);
	um.first.pid = (uint32_t)host_call0(__NR_getpid);
	um.first.ppid = (uint32_t)host_call0(__NR_getppid);
	if (a->flags & CLONE_CLEAR_SIGHAND)
		um_clear_handlers(t);
	if (a->flags & CLONE_NEWIPC)
		um_shm_arena();
	if (a->stack)
		t->uc->mc.rsp = a->stack + a->stack_size;
}

static int64_t child_side(struct thread *t, const struct clone_args *a)
{
	t->task.tid = (uint32_t)host_call0(__NR_gettid);
	um_tree_forked(t);
	child_thread(t, a);
	um_limits_forked();
	um_patch_forked();
	um.foreign_pids |= (a->flags & CLONE_NEWPID) != 0;
	um_account_open(-1);
	um_account_name();
	um_account_program();
	int err = mm_fork_child(um.mm, um_tree_pid(), a->flags & CLONE_FILES);
	um_unlock_threads();
	mm_unlock(um.mm);
	if (!err)
		um_tree_born(t);
	if (!err)
		err = um_arm_dispatch();
	if (err) { /* the parent has been told that we exist: all that is left is to say why not for long */
		um_log("a forked process cannot set up its memory: error %d", -err);
		um_exit_group(125);
	}
	if (a->flags & CLONE_CHILD_SETTID)
		put_user(um.mm, &t->task, uint32_t, a->child_tid, t->task.tid);
	return 0;
}

/* A child whose number is chosen. */
static int64_t host_fork_numbered(const struct clone_args *a, uint64_t flags, void *told)
{
	struct clone_args h = { .flags = flags & ~(uint64_t)CSIGNAL, .exit_signal = a->exit_signal, .tls = a->tls, .set_tid = a->set_tid, .set_tid_size = a->set_tid_size };
	*(flags & CLONE_PIDFD ? &h.pidfd : &h.parent_tid) = HC_A(told);
	return host_call2(__NR_clone3, HC_A(&h), sizeof(h));
}

/* The host notes the child's number for the others, so that they know of it even if we are killed on the way back: but it has one place for that and for a pidfd. */
static int64_t host_fork(const struct clone_args *a, int32_t *ret_pidfd)
{
	struct tree_member *m = um.mc->child;
	uint64_t flags = (a->flags & ~OURS) | a->exit_signal;
	void *told = ret_pidfd;
	if (m && a->flags & CLONE_PIDFD) {
		WRITE_ONCE(m->child, TREE_UNTOLD);
	} else if (m) {
		flags |= CLONE_PARENT_SETTID;
		told = &m->child;
	}
	if (a->set_tid)
		return host_fork_numbered(a, flags, told);
	return host_call5(__NR_clone, flags, 0, told, 0, a->tls);
}

static int64_t fork_memory(struct thread *t, const struct clone_args *a, int32_t *ret_pidfd)
{
	mm_lock(um.mm);
	int64_t r = mm_fork_room(um.mm);
	if (r) {
		mm_unlock(um.mm);
		return r;
	}
	lock_all(t);
	r = mm_fork_begin(um.mm);
	if (!r) {
		r = host_fork(a, ret_pidfd);
		if (!r)
			return child_side(t, a);
		mm_fork_end(um.mm, r < 0 ? 0 : (uint32_t)r);
	}
	unlock_all(t);
	return r;
}

/* ---------------------------------------------------------------- shared memory */

/* A parent that is killed while its vfork child runs may leave the memory in any condition, locked for ever: the child goes with it.  Until it has memory
 * of its own; the signal of the program's own choice comes first.  Until the child is gone, too, nobody may take what the dead parent held. */
void um_bind_to_parent(struct thread *t, bool on)
{
	struct tree_member *m = um.mc->me;
	if (t->proc == &um.first)
		return;
	if (on && m)
		tree_share_begin(um.mc, m, t->proc->pid);
	if ((t->clone_flags & CLONE_VFORK) && !um_pdeathsig_is_theirs()) {
		host_call2(__NR_prctl, PR_SET_PDEATHSIG, on ? SIGKILL : 0);
		if (on && (uint32_t)host_call0(__NR_getppid) != t->proc->ppid)
			um_exit_group(128 + SIGKILL);
	}
	if (!on && m) /* nothing of the memory is touched from here on until execve */
		tree_share_end(m, t->proc->pid);
}

void um_process_born(struct thread *t)
{
	uint32_t parent = (uint32_t)host_call0(__NR_getppid);
	t->proc->pid = (uint32_t)host_call0(__NR_getpid);
	if ((t->clone_flags & CLONE_VFORK) && parent && parent != t->proc->ppid) /* it died before we could bind ourselves to it */
		um_exit_group(128 + SIGKILL);
	t->proc->ppid = parent; /* 0 in a name space of processes of its own */
	um_bind_to_parent(t, true);
	if (t->clone_flags & CLONE_CLEAR_SIGHAND)
		um_clear_handlers(t);
	if (t->parent_settid)
		put_user(um.mm, &t->task, uint32_t, t->parent_settid, t->task.tid);
}

static struct um_sighand *copy_actions(struct thread *t)
{
	struct um_sighand *h = kmalloc(um.mc, sizeof(*h));
	if (h)
		memcpy(h->action, t->sighand->action, sizeof(h->action));
	return h;
}

static struct thread *sharer_make(struct thread *t, const struct clone_args *a)
{
	struct um_proc *p = kmalloc(um.mc, sizeof(*p));
	struct um_sighand *h = a->flags & CLONE_SIGHAND ? t->sighand : copy_actions(t);
	struct thread *c = p && h ? um_child_make(t, a, p, h) : NULL;
	if (!c) {
		kfree(um.mc, p);
		if (h != t->sighand)
			kfree(um.mc, h);
		return NULL;
	}
	if (a->flags & CLONE_VFORK) {
		c->ss_sp = t->ss_sp;
		c->ss_size = t->ss_size;
		c->ss_flags = t->ss_flags;
	}
	p->threads = 1;
	p->ppid = a->flags & CLONE_PARENT ? (uint32_t)host_call0(__NR_getppid) : my_pid();
	c->parent_settid = a->flags & CLONE_PARENT_SETTID ? a->parent_tid : 0;
	return c;
}

/* We go on because the child executes or has ended.  If it was killed with the lock in its hand, the memory is in any condition, and nobody will
 * ever open it: better an end than a standstill. */
static void check_left(uint32_t child)
{
	if (um.mc->me)
		tree_share_end(um.mc->me, child);
	if (READ_ONCE(um.mm->lock_owner) != child)
		return;
	um_log("process %u was killed while it changed the memory that it shared with its parent %u (vfork): both end", child, my_pid());
	um_die_by_signal(SIGKILL);
}

/* What a vfork child leaves behind when it executes another program is ours to free: the memory stays with us. */
static int64_t share_memory(struct thread *t, const struct clone_args *a, int32_t *ret_pidfd)
{
	struct um_exec_mem left = { NULL, 0 };
	struct thread *c = sharer_make(t, a);
	if (!c)
		return -ENOMEM;
	mm_lock(um.mm);
	mm_fork_stores(um.mm);
	mm_unlock(um.mm);
	c->exec_mem = a->flags & CLONE_VFORK ? &left : NULL;
	host_port_shared(um.port);
	int64_t r = um_host_clone((a->flags & ~OURS) | CLONE_CHILD_CLEARTID | a->exit_signal, (char *)c + KSTACK_SIZE - FRAME_ROOM,
				  (uintptr_t)ret_pidfd, &c->host_alive, a->tls);
	if (r < 0)
		um_child_unmake(c);
	else if (a->flags & CLONE_VFORK)
		check_left((uint32_t)r);
	if (left.mem)
		um.port->ops->free(um.port, left.mem, left.bytes);
	return r;
}

/* ---------------------------------------------------------------- both */

static int check_flags(const struct clone_args *a)
{
	uint64_t f = a->flags;
	if (f & ~KNOWN) {
		if (um.verbose)
			um_log("clone: flags %lx are not supported", (unsigned long)(f & ~KNOWN));
		return -EINVAL;
	}
	if ((f & CLONE_SIGHAND) && (f & CLONE_CLEAR_SIGHAND))
		return -EINVAL;
	return a->exit_signal > NSIG ? -EINVAL : 0;
}

int64_t um_clone_process(struct thread *t, const struct clone_args *a)
{
	int32_t pidfd = -1;
	int err = check_flags(a);
	if (err)
		return err;
	if ((a->flags & CLONE_PIDFD) && fault_in_user(um.mm, &t->task, a->pidfd, 4, true))
		return -EFAULT;
	int64_t r = a->flags & CLONE_VM ? share_memory(t, a, &pidfd) : fork_memory(t, a, &pidfd);
	if (r <= 0)
		return r;
	if (a->flags & CLONE_PARENT_SETTID)
		put_user(um.mm, &t->task, uint32_t, a->parent_tid, (uint32_t)r);
	if (a->flags & CLONE_PIDFD)
		put_user(um.mm, &t->task, int32_t, a->pidfd, pidfd);
	return r;
}

int64_t sys_fork(struct thread *t)
{
	const struct clone_args a = { .exit_signal = SIGCHLD };
	return um_clone_process(t, &a);
}

int64_t sys_vfork(struct thread *t)
{
	const struct clone_args a = { .flags = CLONE_VFORK | CLONE_VM, .exit_signal = SIGCHLD };
	return um_clone_process(t, &a);
}
