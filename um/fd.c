/* SPDX-License-Identifier: MIT */
/* fd.c - the program's descriptors against ours, and its limits against the host's
 *
 * Numbers from cfg.fd_base up are the kernel's own.  For the program they do not exist: an argument in that range becomes -1 (fd_arg), a new
 * descriptor that lands there is closed again with EMFILE (fd_result), and RLIMIT_NOFILE never exceeds fd_base.  The host's own limit stays
 * as it is, as ours must fit too; the program's is kept here and checked when a descriptor is made.
 *
 * RLIMIT_AS, DATA, STACK and MEMLOCK are the core's: soft limits in mm->limits, hard ones here.  All others are the host's. */
#include "um/syscall.h"

enum { RLIM_DATA = 2, RLIM_STACK = 3, RLIM_NOFILE = 7, RLIM_MEMLOCK = 8, RLIM_AS = 9, NR_RLIMS = 16 };
#define CAP_SYS_RESOURCE 24
#define CAPABILITY_VERSION_3 0x20080522u

struct rlim { uint64_t cur, max; };

/* What the program has set.  max of the four memory limits, and both of NOFILE. */
static struct { uint32_t lock; bool ready; uint64_t hard[NR_RLIMS], nofile; } lim;
_Static_assert(sizeof(lim.hard) == sizeof(((struct um_limits *)0)->hard), "one hard limit each");

static void load_limits(void)
{
	static const uint8_t own[] = { RLIM_DATA, RLIM_STACK, RLIM_NOFILE, RLIM_MEMLOCK, RLIM_AS };
	const struct um_config *cfg = &um.shm->cfg;
	uint64_t base = (uint64_t)cfg->fd_base;
	struct rlim r;
	for (unsigned i = 0; i < ARRAY_SIZE(own); i++) {
		r = (struct rlim){ UINT64_MAX, UINT64_MAX };
		host_call4(__NR_prlimit64, 0, own[i], 0, HC_A(&r));
		lim.hard[own[i]] = r.max;
		if (own[i] == RLIM_NOFILE)
			lim.nofile = MIN(cfg->rlim_nofile_cur ? cfg->rlim_nofile_cur : r.cur, base);
	}
	lim.hard[RLIM_NOFILE] = MIN(lim.hard[RLIM_NOFILE], base);
	if (cfg->rlim_stack_max)
		lim.hard[RLIM_STACK] = cfg->rlim_stack_max;
	__atomic_store_n(&lim.ready, true, __ATOMIC_RELEASE);
}

static void lock_limits(void)
{
	while (__atomic_exchange_n(&lim.lock, 1, __ATOMIC_ACQUIRE))
		__builtin_ia32_pause();
	if (!lim.ready)
		load_limits();
}

static void unlock_limits(void) { __atomic_store_n(&lim.lock, 0, __ATOMIC_RELEASE); }

void um_limits_forked(void) { unlock_limits(); }

/* The cell of a soft limit that is ours, or NULL. */
static uint64_t *soft_limit(uint32_t which)
{
	switch (which) {
	case RLIM_DATA:    return &um.mm->limits.data;
	case RLIM_STACK:   return &um.mm->limits.stack;
	case RLIM_MEMLOCK: return &um.mm->limits.memlock;
	case RLIM_AS:      return &um.mm->limits.as;
	case RLIM_NOFILE:  return &lim.nofile;
	default:           return NULL;
	}
}

void fd_limit_get(uint64_t *ret_cur, uint64_t *ret_max)
{
	if (!__atomic_load_n(&lim.ready, __ATOMIC_ACQUIRE)) {
		lock_limits();
		unlock_limits();
	}
	*ret_cur = READ_ONCE(lim.nofile);
	*ret_max = READ_ONCE(lim.hard[RLIM_NOFILE]);
}

void um_limits_save(struct um_limits *ret)
{
	lock_limits();
	ret->nofile = lim.nofile;
	memcpy(ret->hard, lim.hard, sizeof(lim.hard));
	ret->soft = um.mm->limits;
	unlock_limits();
}

void um_limits_load(const struct um_limits *from)
{
	lock_limits();
	lim.nofile = from->nofile;
	memcpy(lim.hard, from->hard, sizeof(lim.hard));
	um.mm->limits = from->soft;
	unlock_limits();
}

static bool may_raise(void)
{
	uint32_t head[2] = { CAPABILITY_VERSION_3, 0 }, data[6] = { 0 };
	return !host_call2(__NR_capget, HC_A(head), HC_A(data)) && (data[0] >> CAP_SYS_RESOURCE & 1);
}

/* locked: lim */
static int set_own(uint32_t which, const struct rlim *r)
{
	uint64_t cur = r->cur, max = r->max;
	if (max > lim.hard[which] && !may_raise())
		return -EPERM;
	if (which == RLIM_NOFILE) { /* more than there are numbers is promised to nobody */
		cur = MIN(cur, (uint64_t)um.shm->cfg.fd_base);
		max = MIN(max, (uint64_t)um.shm->cfg.fd_base);
	}
	lim.hard[which] = max;
	if (which == RLIM_DATA)
		WRITE_ONCE(um.mm->limits.data_max, max);
	WRITE_ONCE(*soft_limit(which), cur);
	return 0;
}

static int64_t own_limit(uint32_t which, const struct rlim *new_, struct rlim *ret_old)
{
	int err = 0;
	if (new_ && new_->cur > new_->max)
		return -EINVAL;
	lock_limits();
	*ret_old = (struct rlim){ READ_ONCE(*soft_limit(which)), lim.hard[which] };
	if (new_)
		err = set_own(which, new_);
	unlock_limits();
	return err;
}

static int64_t limit_call(struct thread *t, int64_t pid, uint32_t which, vaddr_t unew, vaddr_t uold)
{
	struct rlim new_, old = { 0, 0 };
	bool self = !pid || pid == my_pid() || pid == t->task.tid;
	int64_t r;
	if (unew && !copy_in(t, &new_, unew, sizeof(new_)))
		return -EFAULT;
	if (self && soft_limit(which))
		r = own_limit(which, unew ? &new_ : NULL, &old);
	else
		r = host_call4(__NR_prlimit64, pid, which, unew ? HC_A(&new_) : 0, uold ? HC_A(&old) : 0);
	if (!r && uold && !copy_out(t, uold, &old, sizeof(old)))
		return -EFAULT;
	return r;
}

int64_t sys_prlimit64(struct thread *t)
{
	return limit_call(t, (int32_t)t->arg[0], (uint32_t)t->arg[1], t->arg[2], t->arg[3]);
}

int64_t sys_getrlimit(struct thread *t)
{
	return (uint32_t)t->arg[0] >= NR_RLIMS ? -EINVAL : t->arg[1] ? limit_call(t, 0, (uint32_t)t->arg[0], 0, t->arg[1]) : -EFAULT;
}

int64_t sys_setrlimit(struct thread *t)
{
	return t->arg[1] ? limit_call(t, 0, (uint32_t)t->arg[0], t->arg[1], 0) : -EFAULT;
}

/* ---------------------------------------------------------------- ranges and pairs */

/* The number to be taken must be one that the program may have. */
static int64_t dup_to(struct thread *t)
{
	uint64_t cur, max;
	uint32_t to = (uint32_t)t->arg[1];
	fd_limit_get(&cur, &max);
	return host_call3(t->nr, fd_arg(t->arg[0]), to < cur ? to : UINT32_MAX, t->arg[2]);
}

int64_t sys_dup2(struct thread *t) { return dup_to(t); }
int64_t sys_dup3(struct thread *t) { return dup_to(t); }

int64_t sys_close_range(struct thread *t)
{
	uint32_t first = (uint32_t)t->arg[0], last = (uint32_t)t->arg[1], base = (uint32_t)um.shm->cfg.fd_base;
	if (first <= last) {
		if (first >= base)
			return (uint32_t)t->arg[2] & ~6u ? -EINVAL : 0;
		last = MIN(last, base - 1);
	}
	return host_call3(__NR_close_range, first, last, t->arg[2]);
}

/* Hand two new descriptors to the program, or none. */
static int64_t give_pair(struct thread *t, int32_t pair[2], vaddr_t to)
{
	int64_t a = fd_result(pair[0]), b = fd_result(pair[1]);
	if (a >= 0 && b >= 0 && copy_out(t, to, pair, 8))
		return 0;
	if (a >= 0)
		host_call1(__NR_close, a);
	if (b >= 0)
		host_call1(__NR_close, b);
	return a < 0 || b < 0 ? -EMFILE : -EFAULT;
}

static int64_t make_pipe(struct thread *t, uint32_t flags)
{
	int32_t pair[2];
	int64_t r = host_call2(__NR_pipe2, HC_A(pair), flags);
	return r < 0 ? r : give_pair(t, pair, t->arg[0]);
}

int64_t sys_pipe(struct thread *t) { return make_pipe(t, 0); }
int64_t sys_pipe2(struct thread *t) { return make_pipe(t, (uint32_t)t->arg[1]); }

/* Linux stores the two numbers before it looks at family and protocol: the host does. */
int64_t sys_socketpair(struct thread *t)
{
	struct call c;
	int32_t pair[2];
	call_begin(&c, t);
	c.a[3] = call_map(&c, t->arg[3], sizeof(pair), DIR_OUT);
	int64_t r = call_end(&c, call_host(&c, t->nr));
	if (r < 0 || !copy_in(t, pair, t->arg[3], sizeof(pair)))
		return r;
	return give_pair(t, pair, t->arg[3]);
}
