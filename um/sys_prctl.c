/* SPDX-License-Identifier: MIT */
/* sys_prctl.c - prctl, option by option
 *
 * An option that is not here is refused with EINVAL, as an older kernel would: its argument might be a pointer.  Refused on purpose are those
 * that would take the ground from under us: dispatch of system calls, seccomp, the host's memory layout. */
#include "um/syscall.h"

enum {
	PR_SET_PDEATHSIG = 1, PR_GET_PDEATHSIG = 2, PR_GET_DUMPABLE = 3, PR_SET_DUMPABLE = 4, PR_GET_KEEPCAPS = 7, PR_SET_KEEPCAPS = 8,
	PR_GET_TIMING = 13, PR_SET_TIMING = 14, PR_SET_NAME = 15, PR_GET_NAME = 16, PR_GET_SECCOMP = 21, PR_SET_SECCOMP = 22,
	PR_CAPBSET_READ = 23, PR_CAPBSET_DROP = 24, PR_GET_TSC = 25, PR_SET_TSC = 26, PR_GET_SECUREBITS = 27, PR_SET_SECUREBITS = 28,
	PR_SET_TIMERSLACK = 29, PR_GET_TIMERSLACK = 30, PR_TASK_PERF_EVENTS_DISABLE = 31, PR_TASK_PERF_EVENTS_ENABLE = 32,
	PR_MCE_KILL = 33, PR_MCE_KILL_GET = 34, PR_SET_MM = 35, PR_SET_CHILD_SUBREAPER = 36, PR_GET_CHILD_SUBREAPER = 37,
	PR_SET_NO_NEW_PRIVS = 38, PR_GET_NO_NEW_PRIVS = 39, PR_GET_TID_ADDRESS = 40, PR_SET_THP_DISABLE = 41, PR_GET_THP_DISABLE = 42,
	PR_CAP_AMBIENT = 47, PR_GET_SPECULATION_CTRL = 52, PR_SET_SPECULATION_CTRL = 53, PR_SET_IO_FLUSHER = 57, PR_GET_IO_FLUSHER = 58,
	PR_SET_MDWE = 65, PR_GET_MDWE = 66, PR_SET_MEMORY_MERGE = 67, PR_GET_MEMORY_MERGE = 68, PR_TIMER_CREATE_RESTORE_IDS = 77,
	PR_GET_AUXV = 0x41555856, PR_SET_PTRACER = 0x59616d61,
};
#define COMM_LEN 16u
#define PR_TSC_ENABLE 1u
#define SECCOMP_MODE_STRICT 1u

static int64_t pass(struct thread *t)
{
	const uint64_t *a = t->arg;
	return host_call5(__NR_prctl, a[0], a[1], a[2], a[3], a[4]);
}

/* The second argument is where an int goes. */
static int64_t get_int(struct thread *t)
{
	int32_t v = 0;
	const uint64_t *a = t->arg;
	int64_t r = host_call5(__NR_prctl, a[0], HC_A(&v), a[2], a[3], a[4]);
	return r >= 0 && PUT_USER(t, int32_t, a[1], v) ? -EFAULT : r;
}

static int64_t set_name(struct thread *t)
{
	char name[COMM_LEN] = "";
	int64_t n = strncpy_from_user(um.mm, &t->task, name, t->arg[1], COMM_LEN - 1);
	if (n < 0)
		return n;
	name[n] = 0;
	if (t->task.tid == my_pid())
		memcpy(um.comm, name, COMM_LEN);
	return host_call2(__NR_prctl, PR_SET_NAME, HC_A(name));
}

static int64_t get_name(struct thread *t)
{
	char name[COMM_LEN] = "";
	host_call2(__NR_prctl, PR_GET_NAME, HC_A(name));
	return copy_out(t, t->arg[1], name, COMM_LEN) ? 0 : -EFAULT;
}

static int64_t get_auxv(struct thread *t)
{
	uint64_t bytes = um.auxv_len * sizeof(um.auxv[0]);
	if (t->arg[3] || t->arg[4])
		return -EINVAL;
	return copy_out(t, t->arg[1], um.auxv, MIN(bytes, t->arg[2])) ? (int64_t)bytes : -EFAULT;
}

/* Our own use of seccomp is nobody's business; a process without a filter answers 0. */
static int64_t get_seccomp(struct thread *t)
{
	return um.seccomp ? 0 : pass(t);
}

/* Filters are refused: they would have to be asked about the program's calls, never about ours. */
static int64_t set_strict(struct thread *t)
{
	t->strict = true;
	return 0;
}

int64_t sys_seccomp(struct thread *t)
{
	bool strict = !t->arg[0] /* SECCOMP_SET_MODE_STRICT */ && !(uint32_t)t->arg[1] && !t->arg[2];
	return strict ? set_strict(t) : -EINVAL;
}

/* The command has the first process killed if it dies itself, unless the program asks for another signal. */
static uint32_t pdeath_asked; /* the process that has asked */

static int32_t own_pdeathsig(void)
{
	int32_t v = 0;
	host_call5(__NR_prctl, PR_GET_PDEATHSIG, HC_A(&v), 0, 0, 0);
	return v == SIGKILL && READ_ONCE(pdeath_asked) != my_pid() ? v : 0;
}

bool um_pdeathsig_is_theirs(void)
{
	return READ_ONCE(pdeath_asked) == my_pid();
}

static int64_t set_pdeathsig(struct thread *t)
{
	if (!t->arg[1] && own_pdeathsig())
		return 0;
	int64_t r = pass(t);
	if (!r)
		WRITE_ONCE(pdeath_asked, my_pid());
	return r;
}

static int64_t get_pdeathsig(struct thread *t)
{
	return own_pdeathsig() ? PUT_USER(t, int32_t, t->arg[1], 0) : get_int(t);
}

/* Transparent huge pages are off on the host for our own sake, and pages of ours are not merged: the program's switches are kept here. */
static uint32_t thp_disabled, merge;

static int64_t set_switch(struct thread *t, uint32_t *which)
{
	if (t->arg[2] || t->arg[3] || t->arg[4])
		return -EINVAL;
	WRITE_ONCE(*which, t->arg[1] != 0);
	return 0;
}

static int64_t get_switch(struct thread *t, const uint32_t *which)
{
	return t->arg[1] || t->arg[2] || t->arg[3] || t->arg[4] ? -EINVAL : (int64_t)READ_ONCE(*which);
}

/* Once is for ever.  Source: Linux kernel/sys.c prctl_set_mdwe. */
static int64_t set_mdwe(struct thread *t)
{
	uint64_t bits = t->arg[1];
	if (t->arg[2] || t->arg[3] || t->arg[4] || bits & ~(uint64_t)(MDWE_REFUSE_EXEC_GAIN | MDWE_NO_INHERIT) || bits == MDWE_NO_INHERIT)
		return -EINVAL;
	mm_lock(um.mm);
	uint32_t now = um.mm->mdwe;
	if (!now)
		um.mm->mdwe = (uint32_t)bits;
	mm_unlock(um.mm);
	return now && now != bits ? -EPERM : 0;
}

int64_t sys_prctl(struct thread *t)
{
	switch ((int)t->arg[0]) {
	case PR_GET_DUMPABLE: case PR_SET_DUMPABLE: case PR_GET_KEEPCAPS: case PR_SET_KEEPCAPS:
	case PR_GET_TIMING: case PR_SET_TIMING: case PR_CAPBSET_READ: case PR_CAPBSET_DROP: case PR_GET_SECUREBITS:
	case PR_SET_SECUREBITS: case PR_SET_TIMERSLACK: case PR_GET_TIMERSLACK: case PR_TASK_PERF_EVENTS_DISABLE:
	case PR_TASK_PERF_EVENTS_ENABLE: case PR_MCE_KILL: case PR_MCE_KILL_GET: case PR_SET_CHILD_SUBREAPER:
	case PR_SET_NO_NEW_PRIVS: case PR_GET_NO_NEW_PRIVS: case PR_CAP_AMBIENT: case PR_GET_SPECULATION_CTRL:
	case PR_SET_SPECULATION_CTRL: case PR_SET_IO_FLUSHER: case PR_GET_IO_FLUSHER:
	case PR_SET_PTRACER: case PR_TIMER_CREATE_RESTORE_IDS:
		return pass(t);
	case PR_SET_TSC: return t->arg[1] == PR_TSC_ENABLE ? pass(t) : -EINVAL; /* we read the clock ourselves */
	case PR_SET_PDEATHSIG: return set_pdeathsig(t);
	case PR_GET_PDEATHSIG: return get_pdeathsig(t);
	case PR_GET_TSC: case PR_GET_CHILD_SUBREAPER:
		return get_int(t);
	case PR_SET_NAME: return set_name(t);
	case PR_GET_NAME: return get_name(t);
	case PR_GET_SECCOMP: return get_seccomp(t);
	case PR_SET_SECCOMP: return t->arg[1] == SECCOMP_MODE_STRICT ? set_strict(t) : -EINVAL;
	case PR_SET_THP_DISABLE: return set_switch(t, &thp_disabled);
	case PR_GET_THP_DISABLE: return get_switch(t, &thp_disabled);
	case PR_SET_MEMORY_MERGE: return set_switch(t, &merge);
	case PR_GET_MEMORY_MERGE: return get_switch(t, &merge);
	case PR_SET_MDWE: return set_mdwe(t);
	case PR_GET_MDWE: return t->arg[1] || t->arg[2] || t->arg[3] || t->arg[4] ? -EINVAL : (int64_t)READ_ONCE(um.mm->mdwe);
	case PR_GET_TID_ADDRESS: return PUT_USER(t, uint64_t, t->arg[1], t->clear_child_tid);
	case PR_GET_AUXV: return get_auxv(t);
	case PR_SET_MM: return -EPERM;
	default: return -EINVAL;
	}
}
