/* SPDX-License-Identifier: MIT */
/* sys_misc.c - identity, limits, scheduling, signals sent, futexes, System V and POSIX queues, prctl */
#include "transcript.h"

#include <linux/capability.h>
#include <linux/futex.h>
#include <mqueue.h>
#include <pthread.h>
#include <sched.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <time.h>

static void identity(void)
{
	struct utsname u;
	struct sysinfo si;
	unsigned r, e, s;
	gid_t g[100];
	puts("-- identity");
	C(SYS_uname, &u);
	C(SYS_uname, none);
	C(SYS_uname, edge(100));
	C(SYS_sysinfo, &si);
	C(SYS_sysinfo, none);
	C(SYS_getresuid, &r, &e, &s);
	C(SYS_getresuid, none, &e, &s);
	C(SYS_getresgid, &r, &e, none);
	OK(SYS_getgroups, 100, g);
	OK(SYS_getgroups, 0, none);
	C(SYS_getgroups, -1, g);
	C(SYS_setgroups, 70000, g);
	C(SYS_setgroups, -1, g);
	OK(SYS_getpid);
	OK(SYS_getppid);
	OK(SYS_gettid);
	OK(SYS_getpgid, 0);
	C(SYS_getpgid, -5);
	printf("  same %d\n", getpid() == syscall(SYS_gettid));
	C(SYS_sethostname, none, 500);
	struct __user_cap_header_struct h = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct d[2];
	C(SYS_capget, &h, d);
	C(SYS_capget, none, d);
	C(SYS_capget, &h, none);
	h.version = 1;
	C(SYS_capget, &h, NULL);
	h.version = 1;
	C(SYS_capget, &h, d);
	printf("  version %x\n", h.version);
	C(SYS_capset, none, d);
	C(SYS_personality, 0xffffffff);
	C(SYS_ustat, 0, none);
	C(SYS_getcpu, &r, &e, NULL);
	C(SYS_getcpu, none, NULL, NULL);
	C(SYS_getcpu, NULL, NULL, NULL);
}

static void limits(void)
{
	struct rlimit rl;
	struct rusage ru;
	puts("-- limits");
	C(SYS_getrlimit, RLIMIT_CORE, &rl);
	C(SYS_getrlimit, RLIMIT_CORE, none);
	C(SYS_getrlimit, RLIMIT_AS, none);
	C(SYS_getrlimit, 99, &rl);
	C(SYS_setrlimit, RLIMIT_AS, none);
	C(SYS_setrlimit, 99, none);
	rl = (struct rlimit){ 10, 5 };
	C(SYS_setrlimit, RLIMIT_AS, &rl);
	C(SYS_setrlimit, RLIMIT_CORE, &rl);
	C(SYS_getrlimit, RLIMIT_MEMLOCK, &rl);
	C(SYS_setrlimit, RLIMIT_MEMLOCK, &rl);
	C(SYS_prlimit64, 0, RLIMIT_STACK, NULL, &rl);
	printf("  stack %ld\n", (long)rl.rlim_cur);
	C(SYS_prlimit64, 0, RLIMIT_STACK, &rl, none);
	C(SYS_prlimit64, 0, RLIMIT_STACK, none, &rl);
	C(SYS_prlimit64, getpid(), RLIMIT_NPROC, NULL, &rl);
	C(SYS_prlimit64, 1 << 30, RLIMIT_AS, NULL, &rl);
	rl = (struct rlimit){ 64ul << 20, 64ul << 20 };
	C(SYS_prlimit64, 0, RLIMIT_DATA, NULL, &rl);
	C(SYS_getrusage, RUSAGE_SELF, &ru);
	printf("  faults %d resident %d\n", ru.ru_minflt > 0, ru.ru_maxrss > 0);
	C(SYS_getrusage, RUSAGE_THREAD, &ru);
	C(SYS_getrusage, RUSAGE_CHILDREN, &ru);
	C(SYS_getrusage, 55, &ru);
	C(SYS_getrusage, RUSAGE_SELF, none);
	C(SYS_getpriority, PRIO_PROCESS, 0);
	C(SYS_setpriority, PRIO_PROCESS, 0, 1);
}

static void scheduling(void)
{
	struct sched_param sp = { 0 };
	struct { uint32_t size, policy; uint64_t flags; int32_t nice; uint32_t prio; uint64_t a, b, c; } attr = { .size = 48 };
	cpu_set_t set;
	struct timespec ts;
	puts("-- sched");
	OK(SYS_sched_getaffinity, 0, sizeof set, &set);
	C(SYS_sched_getaffinity, 0, sizeof set, none);
	C(SYS_sched_getaffinity, 0, 3, &set);
	C(SYS_sched_setaffinity, 0, sizeof set, &set);
	C(SYS_sched_setaffinity, 0, sizeof set, none);
	C(SYS_sched_getscheduler, 0);
	C(SYS_sched_getparam, 0, &sp);
	C(SYS_sched_getparam, 0, none);
	C(SYS_sched_setparam, 0, none);
	C(SYS_sched_setscheduler, 0, SCHED_OTHER, &sp);
	C(SYS_sched_setscheduler, 0, SCHED_OTHER, none);
	C(SYS_sched_rr_get_interval, 0, &ts);
	C(SYS_sched_rr_get_interval, 0, none);
	C(SYS_sched_get_priority_max, SCHED_FIFO);
	C(SYS_sched_getattr, 0, &attr, 48, 0);
	C(SYS_sched_getattr, 0, none, 48, 0);
	C(SYS_sched_getattr, 0, &attr, 3, 0);
	C(SYS_sched_setattr, 0, none, 0);
	attr.size = 5000;
	C(SYS_sched_setattr, 0, &attr, 0);
	C(SYS_sched_yield);
	C(SYS_membarrier, 0x7777, 0);
}

static volatile int got, got_value;
static void on_info(int s, siginfo_t *i, void *u) { got++; got_value = i->si_value.sival_int; }

static void signals(void)
{
	struct sigaction sa = { .sa_sigaction = on_info, .sa_flags = SA_SIGINFO };
	siginfo_t si = { .si_signo = SIGUSR1, .si_code = SI_QUEUE };
	puts("-- signals");
	sigaction(SIGUSR1, &sa, NULL);
	C(SYS_kill, getpid(), SIGUSR1);
	printf("  %d\n", got);
	C(SYS_tgkill, getpid(), gettid(), SIGUSR1);
	C(SYS_tkill, gettid(), SIGUSR1);
	printf("  %d\n", got);
	si.si_value.sival_int = 1234;
	C(SYS_rt_sigqueueinfo, getpid(), SIGUSR1, &si);
	printf("  %d value %d\n", got, got_value);
	C(SYS_rt_sigqueueinfo, getpid(), SIGUSR1, none);
	C(SYS_rt_tgsigqueueinfo, getpid(), gettid(), SIGUSR1, &si);
	C(SYS_rt_tgsigqueueinfo, getpid(), gettid(), SIGUSR1, none);
	printf("  %d\n", got);
	int pfd = (int)OK(SYS_pidfd_open, getpid(), 0);
	C(SYS_pidfd_send_signal, pfd, SIGUSR1, NULL, 0);
	C(SYS_pidfd_send_signal, pfd, SIGUSR1, none, 0);
	printf("  %d\n", got);
	C(SYS_kill, getpid(), 0);
	C(SYS_kill, getpid(), 99);
	C(SYS_tgkill, getpid(), 1 << 30, SIGUSR1);
	C(SYS_rt_sigaction, SIGUSR1, none, NULL, 8);
	C(SYS_rt_sigaction, SIGUSR1, NULL, none, 8);
	C(SYS_rt_sigprocmask, SIG_BLOCK, none, NULL, 8);
	C(SYS_rt_sigprocmask, SIG_BLOCK, NULL, none, 8);
	C(SYS_rt_sigpending, none, 8);
	C(SYS_rt_sigtimedwait, none, NULL, NULL, 8);
	C(SYS_rt_sigsuspend, none, 8);
	C(SYS_sigaltstack, none, NULL);
	close(pfd);
}

static uint32_t word, word2;
static volatile int asleep;

static void *waiter(void *arg)
{
	asleep = 1;
	while (__atomic_load_n(&word, __ATOMIC_ACQUIRE) == 7)
		syscall(SYS_futex, &word, arg ? FUTEX_WAIT_PRIVATE : FUTEX_WAIT, 7, NULL);
	return NULL;
}

static void futexes(void)
{
	struct timespec ts = { 0, 1000000 };
	puts("-- futex");
	word = 5;
	C(SYS_futex, &word, FUTEX_WAIT, 4, NULL);
	C(SYS_futex, &word, FUTEX_WAIT, 5, &ts);
	C(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 5, &ts);
	C(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 5, none);
	C(SYS_futex, none, FUTEX_WAIT_PRIVATE, 5, &ts);
	C(SYS_futex, none, FUTEX_WAIT, 5, &ts);
	C(SYS_futex, kern, FUTEX_WAIT, 5, &ts);
	C(SYS_futex, none + 1, FUTEX_WAIT, 5, &ts);
	C(SYS_futex, NULL, FUTEX_WAIT_PRIVATE, 5, &ts);
	C(SYS_futex, &word, FUTEX_WAKE, 1);
	C(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1);
	C(SYS_futex, none, FUTEX_WAKE_PRIVATE, 1);
	C(SYS_futex, none, FUTEX_WAKE, 1);
	C(SYS_futex, ro, FUTEX_WAIT_PRIVATE, 0x72727272, &ts);
	C(SYS_futex, &word, FUTEX_WAIT_BITSET, 5, NULL, NULL, 0);
	C(SYS_futex, &word, FUTEX_REQUEUE, 1, 1L, &word2);
	C(SYS_futex, &word, FUTEX_CMP_REQUEUE, 1, 1L, &word2, 5);
	C(SYS_futex, &word, FUTEX_CMP_REQUEUE, 1, 1L, &word2, 6);
	C(SYS_futex, none, FUTEX_CMP_REQUEUE_PRIVATE, 1, 1L, &word2, 6);
	word2 = 1;
	C(SYS_futex, &word, FUTEX_WAKE_OP_PRIVATE, 1, 1L, &word2, FUTEX_OP(FUTEX_OP_ADD, 3, FUTEX_OP_CMP_EQ, 1));
	printf("  %u\n", word2);
	C(SYS_futex, &word, FUTEX_WAKE_OP_PRIVATE, 1, 1L, none, FUTEX_OP(FUTEX_OP_ADD, 3, FUTEX_OP_CMP_EQ, 1));
	C(SYS_futex, &word, FUTEX_WAKE_OP_PRIVATE, 1, 1L, ro, FUTEX_OP(FUTEX_OP_ADD, 3, FUTEX_OP_CMP_EQ, 1));
	word = 0;
	C(SYS_futex, &word, FUTEX_LOCK_PI_PRIVATE, 0, NULL);
	printf("  mine %d\n", word == (uint32_t)gettid());
	C(SYS_futex, &word, FUTEX_LOCK_PI_PRIVATE, 0, NULL);
	C(SYS_futex, &word, FUTEX_UNLOCK_PI_PRIVATE, 0, NULL);
	C(SYS_futex, none, FUTEX_LOCK_PI_PRIVATE, 0, NULL);
	C(SYS_futex, ro, FUTEX_TRYLOCK_PI_PRIVATE, 0, NULL);
	C(SYS_futex, &word, 99, 0, NULL);
	for (long private = 0; private < 2; private++) {
		pthread_t th;
		word = 7;
		pthread_create(&th, NULL, waiter, (void *)private);
		while (!asleep) /* the waiter says so just before; then it takes a moment */
			usleep(1000);
		asleep = 0;
		usleep(100000);
		__atomic_store_n(&word, 8, __ATOMIC_RELEASE);
		C(SYS_futex, &word, private ? FUTEX_WAKE_PRIVATE : FUTEX_WAKE, 10);
		pthread_join(th, NULL);
	}
	struct { uint64_t val, addr; uint32_t flags, res; } wv[2] = { { 8, (uintptr_t)&word, 2, 0 }, { 9, (uintptr_t)&word2, 2 | 128, 0 } };
	C(SYS_futex_waitv, wv, 2, 0, NULL, CLOCK_MONOTONIC);
	C(SYS_futex_waitv, none, 2, 0, NULL, CLOCK_MONOTONIC);
	C(SYS_futex_waitv, wv, 200, 0, NULL, CLOCK_MONOTONIC);
	wv[1].addr = (uintptr_t)none;
	C(SYS_futex_waitv, wv, 2, 0, NULL, CLOCK_MONOTONIC);
	C(SYS_set_robust_list, none, 24);
	C(SYS_set_robust_list, none, 23);
}

static void system_v(void)
{
	struct { long type; char text[100]; } m = { 3, "message" };
	struct msqid_ds ds;
	struct semid_ds sds;
	unsigned short vals[3] = { 1, 2, 3 };
	struct sembuf ops[2] = { { 0, -1, IPC_NOWAIT }, { 1, 1, 0 } };
	struct timespec ts = { 0, 1000000 };
	puts("-- System V");
	int q = (int)OK(SYS_msgget, IPC_PRIVATE, 0600 | IPC_CREAT);
	C(SYS_msgsnd, q, &m, 8, 0);
	C(SYS_msgsnd, q, none, 8, 0);
	C(SYS_msgsnd, q, edge(10), 8, 0);
	C(SYS_msgsnd, q, &m, -1L, 0);
	C(SYS_msgrcv, q, none, 100, 0L, 0);
	C(SYS_msgrcv, q, &m, 100, 0L, IPC_NOWAIT);
	C(SYS_msgsnd, q, &m, 8, 0);
	C(SYS_msgrcv, q, &m, 3, 0L, 0);
	C(SYS_msgrcv, q, &m, 100, 3L, 0);
	C(SYS_msgctl, q, IPC_STAT, &ds);
	C(SYS_msgctl, q, IPC_STAT, none);
	C(SYS_msgctl, q, IPC_SET, none);
	C(SYS_msgctl, q, IPC_RMID, NULL);
	C(SYS_msgctl, q, IPC_STAT, &ds);
	int s = (int)OK(SYS_semget, IPC_PRIVATE, 3, 0600 | IPC_CREAT);
	C(SYS_semctl, s, 0, SETALL, vals);
	C(SYS_semctl, s, 0, SETALL, none);
	C(SYS_semctl, s, 0, GETALL, vals);
	C(SYS_semctl, s, 0, GETALL, none);
	C(SYS_semctl, s, 0, GETALL, edge(2));
	C(SYS_semctl, s, 1, GETVAL, 0);
	C(SYS_semctl, s, 1, SETVAL, 5);
	C(SYS_semctl, s, 0, IPC_STAT, &sds);
	C(SYS_semctl, s, 0, IPC_STAT, none);
	C(SYS_semop, s, ops, 2);
	C(SYS_semop, s, ops, 2);
	C(SYS_semop, s, none, 2);
	C(SYS_semop, s, ops, 10000);
	ops[0].sem_flg = 0;
	C(SYS_semtimedop, s, ops, 1, &ts);
	C(SYS_semtimedop, s, ops, 1, none);
	C(SYS_semctl, s, 0, IPC_RMID, 0);
}

static void posix_queues(void)
{
	struct mq_attr a = { .mq_maxmsg = 3, .mq_msgsize = 64 }, b;
	char name[40], buf[64];
	unsigned prio;
	struct timespec ts = { 1, 0 };
	puts("-- mq");
	snprintf(name, sizeof name, "sf%d", getpid());
	int q = (int)OK(SYS_mq_open, name, O_CREAT | O_RDWR | O_NONBLOCK, 0600, &a);
	if (q < 0)
		return;
	C(SYS_mq_open, none, O_RDWR, 0, NULL);
	C(SYS_mq_open, name, O_CREAT | O_RDWR, 0600, none);
	C(SYS_mq_timedsend, q, "hello", 5, 2, NULL);
	C(SYS_mq_timedsend, q, none, 5, 2, NULL);
	C(SYS_mq_timedsend, q, "hello", 500, 2, NULL);
	C(SYS_mq_timedsend, q, "hello", 5, 2, none);
	C(SYS_mq_timedreceive, q, none, 64, NULL, NULL);
	C(SYS_mq_timedreceive, q, buf, 64, &prio, NULL);
	C(SYS_mq_timedsend, q, "again", 5, 9, NULL);
	C(SYS_mq_timedreceive, q, buf, 64, none, NULL);
	C(SYS_mq_timedreceive, q, buf, 10, NULL, NULL);
	C(SYS_mq_getsetattr, q, NULL, &b);
	C(SYS_mq_getsetattr, q, none, &b);
	C(SYS_mq_getsetattr, q, NULL, none);
	C(SYS_mq_notify, q, none);
	C(SYS_mq_notify, q, NULL);
	a.mq_flags = 0;
	C(SYS_mq_getsetattr, q, &a, NULL);
	C(SYS_mq_timedreceive, q, buf, 64, NULL, &ts);
	C(SYS_mq_unlink, name);
	C(SYS_mq_unlink, none);
	close(q);
}

static void options(void)
{
	char name[16];
	int v;
	puts("-- prctl");
	C(SYS_prctl, PR_SET_NAME, "a name that is too long");
	C(SYS_prctl, PR_GET_NAME, name);
	printf("  '%s'\n", name);
	C(SYS_prctl, PR_SET_NAME, none);
	C(SYS_prctl, PR_GET_NAME, none);
	C(SYS_prctl, PR_GET_NAME, edge(5));
	C(SYS_prctl, PR_SET_PDEATHSIG, SIGTERM);
	C(SYS_prctl, PR_GET_PDEATHSIG, &v);
	printf("  %d\n", v);
	C(SYS_prctl, PR_GET_PDEATHSIG, none);
	C(SYS_prctl, PR_GET_DUMPABLE);
	C(SYS_prctl, PR_SET_KEEPCAPS, 5);
	C(SYS_prctl, PR_GET_SECCOMP);
	C(SYS_prctl, PR_SET_TIMERSLACK, 60000);
	C(SYS_prctl, PR_GET_TIMERSLACK);
	C(SYS_prctl, PR_GET_THP_DISABLE, 0, 0, 0, 0);
	C(SYS_prctl, PR_SET_THP_DISABLE, 1, 0, 0, 0);
	C(SYS_prctl, PR_GET_THP_DISABLE, 0, 0, 0, 0);
	C(SYS_prctl, PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	C(SYS_prctl, PR_GET_CHILD_SUBREAPER, &v, 0, 0, 0);
	C(SYS_prctl, 0x7fff, none);
	C(SYS_restart_syscall);
	C(999, none);
	C(SYS_uselib, none);
	C(SYS_create_module, none);
}

int main(void)
{
	transcript_begin();
	identity();
	limits();
	scheduling();
	signals();
	futexes();
	system_v();
	posix_queues();
	options();
	return 0;
}
