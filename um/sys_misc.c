/* SPDX-License-Identifier: MIT */
/* sys_misc.c - calls whose answer is partly ours, and System V messages and semaphores */
#include "um/args.h"
#include "um/syscall.h"
#include "um/tree.h"

/* ---------------------------------------------------------------- getrusage */

struct rusage { int64_t utime[2], stime[2], maxrss, ixrss, idrss, isrss, minflt, majflt, rest[8]; };
_Static_assert(sizeof(struct rusage) == 144, "struct rusage");
#define RUSAGE_CHILDREN (-1)
#define RUSAGE_THREAD 1

int64_t sys_getrusage(struct thread *t)
{
	struct rusage ru;
	int who = (int)t->arg[0];
	int64_t r = host_call2(__NR_getrusage, who, HC_A(&ru));
	if (r < 0)
		return r;
	if (who == RUSAGE_THREAD) {
		ru.minflt = (int64_t)t->task.min_flt;
		ru.majflt = (int64_t)t->task.maj_flt;
	} else if (who != RUSAGE_CHILDREN) {
		uint64_t min, maj;
		um_fault_counts(&min, &maj);
		ru.minflt = (int64_t)min;
		ru.majflt = (int64_t)maj;
	}
	if (who != RUSAGE_CHILDREN)
		ru.maxrss = (int64_t)(READ_ONCE(um.shm->stats.peak_resident) * (PAGE_SIZE / 1024));
	return copy_out(t, t->arg[1], &ru, sizeof(ru)) ? 0 : -EFAULT;
}

/* ---------------------------------------------------------------- what would change the ground we stand on */

/* What is harmless to us goes to the host too, where a later execve finds it; what changes how memory is mapped is only remembered. */
#define PERSONA_HARMLESS 0x070600ffu /* the type, UNAME26, ADDR_NO_RANDOMIZE, WHOLE_SECONDS, SHORT_INODE, STICKY_TIMEOUTS */

#define READ_IMPLIES_EXEC 0x0400000u
static uint32_t more; /* the bits that the host does not know */

unsigned um_implied_rights(unsigned prot)
{
	return prot & PT_R && READ_ONCE(more) & READ_IMPLIES_EXEC ? prot | PT_X : prot;
}

int64_t sys_personality(struct thread *t)
{
	uint32_t want = (uint32_t)t->arg[0];
	if (want == UINT32_MAX)
		return host_call1(__NR_personality, UINT32_MAX) | READ_ONCE(more);
	int64_t old = host_call1(__NR_personality, want & PERSONA_HARMLESS);
	return old < 0 ? old : old | __atomic_exchange_n(&more, want & ~PERSONA_HARMLESS, __ATOMIC_RELAXED);
}

#define CLONE_VM 0x100u
#define CLONE_FILES 0x400u
#define CLONE_SIGHAND 0x800u
#define CLONE_THREAD 0x10000u
#define CLONE_NEWIPC 0x08000000u
#define CLONE_NEWPID 0x20000000u

#define CLONE_ALONE (CLONE_VM | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD)

/* Threads of one process share what we hold for them.  A thread that is alone shares with nobody: there is nothing to do. */
int64_t sys_unshare(struct thread *t)
{
	uint64_t flags = t->arg[0];
	if (flags & CLONE_ALONE && (READ_ONCE(t->proc->threads) > 1 || t->proc != &um.first || t->clone_flags & CLONE_FILES))
		return -EINVAL;
	if (flags & CLONE_NEWPID)
		um.foreign_pids = true;
	flags &= ~(uint64_t)(um.helper_tid ? CLONE_ALONE : CLONE_ALONE & ~CLONE_FILES);
	int64_t r = um_tree_alone(t, __NR_unshare, flags, 0);
	if (!r && flags & CLONE_NEWIPC)
		um_shm_arena();
	return r;
}

int64_t sys_setns(struct thread *t)
{
	return um_tree_alone(t, __NR_setns, fd_arg(t->arg[0]), t->arg[1]);
}

/* ---------------------------------------------------------------- System V */

enum { IPC_SET = 1, IPC_STAT = 2, IPC_INFO = 3, MSG_STAT = 11, MSG_INFO = 12, MSG_STAT_ANY = 13, GETALL = 13, SETALL = 17,
       SEM_STAT = 18, SEM_INFO = 19, SEM_STAT_ANY = 20 };
#define SEMID_DS 104u
#define SEMID_NSEMS 80u
#define SEMINFO 40u
#define MSQID_DS 120u
#define MSGINFO 32u

/* Semaphores in a set, 0 if it cannot be told: then the call will fail too. */
static uint64_t nr_semaphores(uint64_t id)
{
	char ds[SEMID_DS];
	uint64_t n = 0;
	if (!host_call4(__NR_semctl, id, 0, IPC_STAT, HC_A(ds)))
		memcpy(&n, ds + SEMID_NSEMS, sizeof(n));
	return n;
}

static uint64_t semctl_arg(struct call *c, vaddr_t arg)
{
	switch ((int)c->t->arg[2]) {
	case IPC_SET:      return call_in(c, arg, SEMID_DS);
	case IPC_STAT:
	case SEM_STAT:
	case SEM_STAT_ANY: return call_map(c, arg, SEMID_DS, DIR_OUT);
	case IPC_INFO:
	case SEM_INFO:     return call_map(c, arg, SEMINFO, DIR_OUT);
	case GETALL:       return call_map(c, arg, nr_semaphores(c->t->arg[0]) * 2, DIR_OUT);
	case SETALL:       return call_map(c, arg, nr_semaphores(c->t->arg[0]) * 2, DIR_IN);
	default:           return arg;
	}
}

int64_t sys_semctl(struct thread *t)
{
	struct call c;
	call_begin(&c, t);
	c.a[3] = semctl_arg(&c, t->arg[3]);
	return call_end(&c, call_host(&c, t->nr));
}

int64_t sys_msgctl(struct thread *t)
{
	struct call c;
	vaddr_t arg = t->arg[2];
	call_begin(&c, t);
	switch ((int)t->arg[1]) {
	case IPC_SET:  c.a[2] = call_in(&c, arg, MSQID_DS); break;
	case IPC_STAT:
	case MSG_STAT:
	case MSG_STAT_ANY: c.a[2] = call_map(&c, arg, MSQID_DS, DIR_OUT); break;
	case IPC_INFO:
	case MSG_INFO: c.a[2] = call_map(&c, arg, MSGINFO, DIR_OUT); break;
	default: break;
	}
	return call_end(&c, call_host(&c, t->nr));
}

/* A message is a long and then size bytes. */
static int64_t message(struct thread *t, unsigned dir)
{
	struct call c;
	call_begin(&c, t);
	c.a[1] = call_map(&c, t->arg[1], 8 + MIN(t->arg[2], RW_MOST), dir);
	return call_end(&c, call_sleep(&c, t->nr));
}

int64_t sys_msgsnd(struct thread *t) { return message(t, DIR_IN); }
int64_t sys_msgrcv(struct thread *t) { return message(t, DIR_OUT); }

/* ---------------------------------------------------------------- structures that say what more there is */

struct sigevent { uint64_t value; int32_t signo, notify; uint64_t rest[6]; };
#define SIGEV_THREAD 2
#define NOTIFY_COOKIE 32u

int64_t sys_mq_notify(struct thread *t)
{
	struct call c;
	call_begin(&c, t);
	c.a[0] = fd_arg(t->arg[0]);
	c.a[1] = call_in(&c, t->arg[1], sizeof(struct sigevent));
	if (c.a[1] && !is_bad(c.a[1])) {
		struct sigevent *ev = (struct sigevent *)c.a[1];
		if (ev->notify == SIGEV_THREAD)
			ev->value = call_in(&c, ev->value, NOTIFY_COOKIE);
	}
	return call_end(&c, call_host(&c, t->nr));
}

#define KCMP_EPOLL_TFD 7

int64_t sys_kcmp(struct thread *t)
{
	struct call c;
	call_begin(&c, t);
	if ((int)t->arg[2] == KCMP_EPOLL_TFD)
		c.a[4] = call_in(&c, t->arg[4], 12);
	return call_end(&c, call_host(&c, t->nr));
}

/* ---------------------------------------------------------------- calls that are several */

/* Segments of the program's own: our entry does not depend on any. */
int64_t sys_modify_ldt(struct thread *t)
{
	static const struct syscall_desc read = { .name = "modify_ldt", ARGS(INT, OUTB(2, 1), INT) };
	static const struct syscall_desc write = { .name = "modify_ldt", ARGS(INT, INB(2, 1), INT) };
	return call_generic(t, (int)t->arg[0] & 1 ? &write : &read);
}

/* 1: a filesystem's number by its name; 2: its name, whose length nobody says; 3: how many there are. */
int64_t sys_sysfs(struct thread *t)
{
	static const struct syscall_desc by_name = { .name = "sysfs", ARGS(INT, STR, INT) };
	static const struct syscall_desc by_number = { .name = "sysfs", ARGS(INT, INT, OUT(PAGE_SIZE)) };
	static const struct syscall_desc other = { .name = "sysfs", ARGS(INT, INT, INT) };
	return call_generic(t, (int)t->arg[0] == 1 ? &by_name : (int)t->arg[0] == 2 ? &by_number : &other);
}
