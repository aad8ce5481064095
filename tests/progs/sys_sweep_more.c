/* SPDX-License-Identifier: MIT */
/* sys_sweep_more.c - every pointer of every call on processes, signals, time, memory and the system (sweep.h) */
#include "sweep_world.h"

#include <linux/futex.h>
#include <linux/sched.h>
#include <sched.h>
#include <sys/shm.h>
#include <sys/sysinfo.h>
#include <sys/timex.h>
#include <sys/utsname.h>

static const struct timespec zero_ts, bad_ts = { 0, 1000000000 };
static const uint64_t some_set = 1ul << (SIGUSR1 - 1), usr2_set = 1ul << (SIGUSR2 - 1);

static void waiting(void)
{
	const struct pollfd two[2] = { { pfd[0], POLLIN, 0 }, { tfd, POLLIN, 0 } };
	const struct epoll_event ev = { EPOLLIN, { .u64 = 5 } };
	uint64_t readable_[2] = { 1ul << pfd[0] | 1ul << tfd, 0 };
	puts("-- waiting");
	CALL(poll, IO(two, 16), N(2), N(0));
	CALL(poll, IO(two, 16), N(2), N(-1));
	CALL(ppoll, IO(two, 16), N(2), IO(&zero_ts, 16), IN(&some_set, 8), N(8));
	CALL(ppoll, IO(two, 16), N(2), IO(&bad_ts, 16), IN(&some_set, 8), N(8));
	CALL(ppoll, IO(two, 16), N(2), IO(&zero_ts, 16), IN(&some_set, 8), N(7));
	CALL(ppoll, IO(two, 16), N(2), IOV((&(struct timespec){ 9, 9 }), 16), N(0), N(0));
	CALL(select, N(tfd + 1), IO(readable_, 8), IO(readable_, 8), IO(readable_, 8), IO((&(struct timeval){ 0, 0 }), 16));
	CALL(select, N(70), IO(readable_, 16), N(0), N(0), IOV((&(struct timeval){ 9, 9 }), 16));
	CALL(select, N(-1), IO(readable_, 8), N(0), N(0), IO((&(struct timeval){ 0, 0 }), 16));
	CALL(select, N(tfd + 1), IO(readable_, 8), N(0), N(0), IO((&(struct timeval){ -1, 0 }), 16));
	CALL(pselect6, N(tfd + 1), IO(readable_, 8), IO(readable_, 8), N(0), IO(&zero_ts, 16), IN(((long[2]){ 0, 8 }), 16, SUB(0, IN_(&some_set, 8))));
	CALL(pselect6, N(tfd + 1), IO(readable_, 8), N(0), N(0), IO(&bad_ts, 16), IN(((long[2]){ 0, 9 }), 16, SUB(0, IN_(&some_set, 8))));
	CALL(epoll_ctl, N(ep), N(EPOLL_CTL_MOD), N(pfd[0]), IN((&(struct epoll_event){ EPOLLIN, { .u64 = 17 } }), 12));
	CALL(epoll_ctl, N(ep), N(EPOLL_CTL_ADD), N(fd), IN(&ev, 12));
	CALL(epoll_ctl, N(ep), N(EPOLL_CTL_ADD), N(-1), IN(&ev, 12));
	CALL(epoll_ctl, N(ep), N(EPOLL_CTL_DEL), N(tfd), IN(&ev, 12));
	CALL(epoll_ctl, N(fd), N(77), N(tfd), IN(&ev, 12));
	CALL(epoll_wait, N(ep), OUT(12), N(1), N(0));
	CALL(epoll_wait, N(ep), OUT(36), N(3), N(0));
	CALL(epoll_wait, N(ep), OUT(12), N(0), N(0));
	CALL(epoll_wait, N(fd), OUT(12), N(1), N(0));
	CALL(epoll_pwait, N(ep), OUT(12), N(1), N(0), IN(&some_set, 8), N(8));
	CALL(epoll_pwait, N(ep), OUT(12), N(1), N(0), IN(&some_set, 8), N(9));
	CALL(epoll_pwait2, N(ep), OUT(12), N(1), IN(&zero_ts, 16), IN(&some_set, 8), N(8));
	CALL(epoll_pwait2, N(ep), OUT(12), N(1), IN(&bad_ts, 16), IN(&some_set, 8), N(9));
	CALL(nanosleep, IN(&zero_ts, 16), OUT(16));
	CALL(nanosleep, IN(&bad_ts, 16), OUT(16));
	CALL(clock_nanosleep, N(CLOCK_MONOTONIC), N(0), IN(&zero_ts, 16), OUT(16));
	CALL(clock_nanosleep, N(99), N(0), IN(&zero_ts, 16), OUT(16));
	CALL(clock_nanosleep, N(CLOCK_MONOTONIC), N(TIMER_ABSTIME), IN(&zero_ts, 16), OUT(16));
}

static void clocks(void)
{
	const struct itimerspec later = { { 0, 0 }, { 500, 0 } }, wrong = { { 0, 0 }, { 5, 1000000000 } };
	const struct itimerval later_tv = { { 0, 0 }, { 500, 0 } }, wrong_tv = { { 0, 0 }, { 5, 1000000 } };
	puts("-- clocks and timers");
	CALL(clock_gettime, N(CLOCK_MONOTONIC), OUTV(16));
	CALL(clock_gettime, N(99), OUTV(16));
	CALL(clock_gettime, N(CLOCK_PROCESS_CPUTIME_ID), OUTV(16));
	CALL(clock_getres, N(CLOCK_MONOTONIC), OUT(16));
	CALL(clock_getres, N(99), OUT(16));
	CALL(clock_settime, N(CLOCK_REALTIME), IN(&bad_ts, 16));
	CALL(clock_settime, N(CLOCK_MONOTONIC), IN(&bad_ts, 16));
	CALL(gettimeofday, OUTV(16), OUT(8));
	CALL(settimeofday, IN((&(struct timeval){ 5, 1000000 }), 16), N(0));
	CALL_ANY(time, OUTV(8));
	CALL_ANY(times, OUTV(32));
	CALL_ANY(adjtimex, IOV((&(struct timex){ .modes = 0 }), sizeof(struct timex)));
	CALL_ANY(clock_adjtime, N(CLOCK_REALTIME), IOV((&(struct timex){ .modes = 0 }), sizeof(struct timex)));
	CALL_ANY(clock_adjtime, N(99), IOV((&(struct timex){ .modes = 0 }), sizeof(struct timex)));
	CALL(getitimer, N(ITIMER_REAL), OUT(32));
	CALL(getitimer, N(9), OUT(32));
	CALL(setitimer, N(ITIMER_REAL), IN(&later_tv, 32), OUT(32));
	CALL(setitimer, N(ITIMER_REAL), IN(&wrong_tv, 32), OUT(32));
	CALL(setitimer, N(9), IN(&later_tv, 32), OUT(32));
	CALL(timer_create, N(CLOCK_MONOTONIC), IN((&(struct sigevent){ .sigev_notify = SIGEV_NONE }), 64), OUTV(4));
	CALL(timer_create, N(CLOCK_MONOTONIC), IN((&(struct sigevent){ .sigev_notify = 77 }), 64), OUTV(4));
	CALL(timer_create, N(99), IN((&(struct sigevent){ .sigev_notify = SIGEV_NONE }), 64), OUTV(4));
	CALL(timer_settime, N(the_timer), N(0), IN(&later, 32), OUT(32));
	CALL(timer_settime, N(the_timer), N(0), IN(&wrong, 32), OUT(32));
	CALL(timer_settime, N(999999), N(0), IN(&later, 32), OUT(32));
	CALL(timer_gettime, N(the_timer), OUT(32));
	CALL(timer_gettime, N(999999), OUT(32));
	CALL(timerfd_settime, N(tfd), N(0), IN(&later, 32), OUT(32));
	CALL(timerfd_settime, N(tfd), N(0), IN(&wrong, 32), OUT(32));
	CALL(timerfd_settime, N(fd), N(0), IN(&later, 32), OUT(32));
	CALL(timerfd_gettime, N(tfd), OUT(32));
	CALL(timerfd_gettime, N(fd), OUT(32));
}

struct kact { uint64_t handler, flags, restorer, mask; };

static void signals(void)
{
	const struct kact ign = { 1, 0, 0, 0 };
	siginfo_t si = { .si_signo = SIGUSR2, .si_code = -1 }, si_user = { .si_signo = SIGUSR2, .si_code = 0 };
	stack_t ss = { .ss_sp = arena, .ss_size = 16384 }, tiny = { .ss_sp = arena, .ss_size = 16 };
	puts("-- signals");
	CALL(rt_sigaction, N(SIGUSR1), IN(&ign, 32), OUTV(32), N(8));
	CALL(rt_sigaction, N(SIGUSR1), IN(&ign, 32), OUT(32), N(9));
	CALL(rt_sigaction, N(SIGKILL), IN(&ign, 32), OUT(32), N(8));
	CALL(rt_sigaction, N(99), IN(&ign, 32), OUT(32), N(8));
	CALL(rt_sigprocmask, N(SIG_BLOCK), IN(&some_set, 8), OUT(8), N(8));
	CALL(rt_sigprocmask, N(99), IN(&some_set, 8), OUT(8), N(8));
	CALL(rt_sigprocmask, N(SIG_BLOCK), IN(&some_set, 8), OUT(8), N(4));
	CALL(rt_sigpending, OUT(8), N(8));
	CALL(rt_sigpending, OUT(4), N(4));
	CALL(rt_sigpending, OUT(9), N(9));
	CALL(rt_sigtimedwait, IN(&some_set, 8), OUT(128), INX(&zero_ts, 16), N(8));
	CALL(rt_sigtimedwait, IN(&some_set, 8), OUT(128), INX(&bad_ts, 16), N(8));
	CALL(rt_sigtimedwait, IN(&some_set, 8), OUT(128), IN(&zero_ts, 16), N(9));
	want_signal = true;
	CALL(rt_sigtimedwait, IN(&usr2_set, 8), OUTV(128), IN(&zero_ts, 16), N(8));
	CALL(rt_sigpending, OUT(8), N(8));
	want_signal = false;
	CALL(rt_sigqueueinfo, N(getpid()), N(SIGUSR2), IN(&si, 128));
	CALL(rt_sigqueueinfo, N(getpid()), N(99), IN(&si, 128));
	CALL(rt_sigqueueinfo, N(getppid()), N(0), IN(&si_user, 128));
	CALL(rt_tgsigqueueinfo, N(getpid()), N(getpid()), N(SIGUSR2), IN(&si, 128));
	CALL(rt_sigsuspend, IN(&some_set, 8), N(9));
	CALL(sigaltstack, IN(&ss, 24), OUT(24));
	CALL(sigaltstack, IN(&tiny, 24), OUT(24));
	CALL_FD(signalfd, N(-1), IN(&some_set, 8), N(8));
	CALL_FD(signalfd4, N(-1), IN(&some_set, 8), N(8), N(0));
	CALL_FD(signalfd4, N(-1), IN(&some_set, 8), N(8), N(1));
	CALL_FD(signalfd4, N(fd), IN(&some_set, 8), N(8), N(0));
	CALL_FD(signalfd4, N(-1), IN(&some_set, 8), N(9), N(0));
	int pf = (int)syscall(SYS_pidfd_open, getpid(), 0);
	first_free = dup(0), close(first_free);
	CALL(pidfd_send_signal, N(pf), N(SIGUSR2), IN(&si, 128), N(0));
	CALL(pidfd_send_signal, N(pf), N(SIGCHLD), IN(&si, 128), N(0));
	CALL(pidfd_send_signal, N(pf), N(SIGUSR2), IN(&si, 128), N(999));
}

static void children(void)
{
	char *const words[] = { NULL, NULL };
	const int set_tid[1] = { 0 };
	struct clone_args ca = { .flags = CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | CLONE_PIDFD, .exit_signal = SIGCHLD };
	puts("-- children");
	want_child = true;
	CALL_ANY(wait4, N(-1), OUT(4), N(WNOHANG), OUTV(144));
	CALL_ANY(wait4, N(-1), OUT(4), N(WNOHANG | 0x777), OUTV(144));
	CALL_ANY(waitid, N(P_ALL), N(0), OUTV(128), N(WEXITED | WNOHANG), OUTV(144));
	CALL_ANY(waitid, N(P_ALL), N(0), OUTV(128), N(WEXITED | WNOHANG | WNOWAIT), OUTV(144));
	want_child = false;
	CALL_ANY(wait4, N(-1), OUT(4), N(WNOHANG), OUTV(144));
	CALL(waitid, N(P_ALL), N(0), OUT(128), N(WEXITED | WNOHANG), OUTV(144));
	ROW("clone", SYS_clone, CHILD, N(CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | SIGCHLD), N(0), OUTV(4), OUTV(4), N(0));
	ROW("clone clear", SYS_clone, CHILD, N(CLONE_CHILD_CLEARTID | SIGCHLD), N(0), N(0), OUT(4), N(0));
	ROW("clone pidfd", SYS_clone, CHILD, N(CLONE_PIDFD | SIGCHLD), N(0), OUTV(4), N(0), N(0));
	ROW("clone3", SYS_clone3, CHILD, IN(&ca, sizeof ca, SUB(8, OUTV_(4)) SUB(16, OUTV_(4)) SUB(24, OUTV_(4))), N(sizeof ca));
	ca.set_tid_size = 1;
	ROW("clone3 set_tid", SYS_clone3, CHILD, IN(&ca, sizeof ca, SUB(64, IN_(set_tid, 4))), N(sizeof ca));
	ROW("execve", SYS_execve, EXEC, STR("/bin/true"), IN(words, 16, SUB(0, STR_("true"))), IN(words, 16, SUB(0, STR_("A=b"))));
	ROW("execve of nothing", SYS_execve, EXEC, STR("nothing"), IN(words, 16, SUB(0, STR_("true"))), IN(words, 16, SUB(0, STR_("A=b"))));
	ROW("execveat", SYS_execveat, EXEC, N(AT_FDCWD), STR("/bin/true"), IN(words, 16, SUB(0, STR_("true"))), N(0), N(0));
}

static void processes(void)
{
	puts("-- processes");
	CALL(prlimit64, N(0), N(RLIMIT_CORE), IN((&(struct rlimit){ 5, RLIM_INFINITY }), 16), OUT(16));
	CALL(prlimit64, N(0), N(99), IN((&(struct rlimit){ 5, RLIM_INFINITY }), 16), OUT(16));
	CALL(prlimit64, N(0), N(RLIMIT_CORE), IN((&(struct rlimit){ 5, 4 }), 16), OUT(16));
	CALL(setrlimit, N(RLIMIT_CORE), IN((&(struct rlimit){ 5, RLIM_INFINITY }), 16));
	CALL(setrlimit, N(99), IN((&(struct rlimit){ 5, RLIM_INFINITY }), 16));
	CALL(getrlimit, N(RLIMIT_CORE), OUT(16));
	CALL(getrlimit, N(99), OUT(16));
	CALL(getrusage, N(0), OUTV(144));
	CALL(getrusage, N(77), OUTV(144));
	CALL(getresuid, OUT(4), OUT(4), OUT(4));
	CALL(getresgid, OUT(4), OUT(4), OUT(4));
	CALL_ANY(getgroups, N(100), OUT(400));
	CALL_ANY(getgroups, N(-1), OUT(400));
	CALL(setgroups, N(1), IN("\0\0\0\0", 4));
	CALL(setgroups, N(-1), IN("\0\0\0\0", 4));
	CALL(capget, IO(((int[2]){ 0x20080522, 0 }), 8), OUTV(24));
	CALL(capget, IO(((int[2]){ 0x77, 0 }), 8), OUTV(24));
	CALL(capset, IN(((int[2]){ 0x77, 0 }), 8), IN(((int[6]){ 0 }), 24));
	CALL(sched_getparam, N(0), OUT(4));
	CALL(sched_getparam, N(-1), OUT(4));
	CALL(sched_setparam, N(0), IN("\0\0\0\0", 4));
	CALL(sched_setparam, N(-1), IN("\0\0\0\0", 4));
	CALL(sched_setscheduler, N(0), N(SCHED_OTHER), IN("\0\0\0\0", 4));
	CALL(sched_setscheduler, N(0), N(77), IN("\0\0\0\0", 4));
	CALL(sched_rr_get_interval, N(0), OUTV(16));
	CALL_ANY(sched_getaffinity, N(0), N(128), OUTV(128));
	CALL(sched_getaffinity, N(0), N(127), OUTV(127));
	CALL(sched_setaffinity, N(0), N(8), IN("\377\377\377\377\377\377\377\377", 8));
	CALL(sched_getattr, N(0), OUTV(56), N(56), N(0));
	CALL(sched_getattr, N(0), OUTV(20), N(20), N(0));
	CALL(sched_setattr, N(0), IO(((int[12]){ 48 }), 48), N(0));
	CALL(sched_setattr, N(0), IO(((int[12]){ 7 }), 48), N(0));
	CALL_ANY(getcpu, OUTV(4), OUTV(4), N(0));
	CALL(set_robust_list, IN(((long[3]){ 0 }), 24), N(24));
	CALL(get_robust_list, N(0), OUTV(8), OUT(8));
	CALL_ANY(kcmp, N(getpid()), N(getpid()), N(7), N(fd), IN(((int[3]){ ep, pfd[0], 0 }), 12));
	CALL_ANY(set_tid_address, OUT(4));
}

static void memory(void)
{
	int word = 7;
	uint64_t mask = 1;
	puts("-- memory");
	CALL(mincore, N(arena), N(2 * PG), OUT(2));
	CALL(get_mempolicy, OUT(4), OUT(8), N(64), N(0), N(0));
	CALL(get_mempolicy, OUT(4), N(0), N(0), N(arena), N(2));
	CALL(set_mempolicy, N(0), IN(((long[1]){ 0 }), 8), N(64));
	CALL(set_mempolicy, N(2), IN(&mask, 8), N(64));
	CALL(set_mempolicy, N(0), N(0), N(0));
	CALL(mbind, N(arena), N(PG), N(2), IN(&mask, 8), N(64), N(0));
	CALL(mbind, N(arena), N(PG), N(77), IN(&mask, 8), N(64), N(0));
	CALL(move_pages, N(0), N(1), IN(&arena, 8), N(0), OUT(4), N(0));
	CALL(move_pages, N(0), N(1), IN(&arena, 8), IN("\0\0\0\0", 4), OUT(4), N(2));
	puts("-- futexes");
	NAMED("WAIT", futex, IN(&word, 4), N(FUTEX_WAIT), N(8), IN(&zero_ts, 16));
	NAMED("WAIT private", futex, IN(&word, 4), N(FUTEX_WAIT | 128), N(7), INX(&zero_ts, 16));
	NAMED("WAIT wrong", futex, IN(&word, 4), N(FUTEX_WAIT | 128), N(7), INX(&bad_ts, 16));
	NAMED("WAIT_BITSET", futex, IN(&word, 4), N(FUTEX_WAIT_BITSET), N(7), INX(&zero_ts, 16), N(0), N(0));
	NAMED("WAKE", futex, IN(&word, 4), N(FUTEX_WAKE), N(1));
	NAMED("WAKE private", futex, IN(&word, 4), N(FUTEX_WAKE | 128), N(1));
	NAMED("REQUEUE", futex, IN(&word, 4), N(FUTEX_REQUEUE), N(1), N(1), IN(&word, 4), N(7));
	NAMED("CMP_REQUEUE", futex, IN(&word, 4), N(FUTEX_CMP_REQUEUE), N(1), N(1), IN(&word, 4), N(7));
	NAMED("CMP_REQUEUE private", futex, IN(&word, 4), N(FUTEX_CMP_REQUEUE | 128), N(1), N(1), IN(&word, 4), N(7));
	NAMED("CMP_REQUEUE unequal", futex, IN(&word, 4), N(FUTEX_CMP_REQUEUE | 128), N(1), N(1), IN(&word, 4), N(8));
	NAMED("WAKE_OP", futex, IN(&word, 4), N(FUTEX_WAKE_OP), N(1), N(1), IO(&word, 4), N(FUTEX_OP(FUTEX_OP_ADD, 3, FUTEX_OP_CMP_EQ, 7)));
	NAMED("WAKE_OP private", futex, IN(&word, 4), N(FUTEX_WAKE_OP | 128), N(1), N(1), IO(&word, 4), N(FUTEX_OP(FUTEX_OP_ADD, 3, FUTEX_OP_CMP_EQ, 7)));
	NAMED("WAKE_OP wrong", futex, IN(&word, 4), N(FUTEX_WAKE_OP | 128), N(1), N(1), IO(&word, 4), N(0x7f000000));
	NAMED("LOCK_PI", futex, IOV("\0\0\0\0", 4), N(FUTEX_LOCK_PI | 128), N(0), IN(&zero_ts, 16));
	NAMED("TRYLOCK_PI", futex, IOV("\0\0\0\0", 4), N(FUTEX_TRYLOCK_PI), N(0), N(0));
	NAMED("UNLOCK_PI", futex, IOV("\0\0\0\0", 4), N(FUTEX_UNLOCK_PI | 128), N(0), N(0));
	NAMED("WAIT_REQUEUE_PI", futex, IN(&word, 4), N(FUTEX_WAIT_REQUEUE_PI | 128), N(8), IN(&zero_ts, 16), IO(&word, 4), N(0));
	NAMED("CMP_REQUEUE_PI", futex, IN(&word, 4), N(FUTEX_CMP_REQUEUE_PI | 128), N(1), N(1), IO(&word, 4), N(8));
	NAMED("no such operation", futex, IN(&word, 4), N(99), N(1), N(1), IO(&word, 4), N(8));
	CALL(futex_waitv, IN(((uint64_t[3]){ 8, 0, 2 | 128 }), 24, SUB(8, IN_(&word, 4))), N(1), N(0), INX(&zero_ts, 16), N(CLOCK_MONOTONIC));
	CALL(futex_waitv, IN(((uint64_t[3]){ 7, 0, 2 }), 24, SUB(8, IN_(&word, 4))), N(1), N(0), INX(&zero_ts, 16), N(CLOCK_MONOTONIC));
	CALL(futex_waitv, IN(((uint64_t[3]){ 7, 0, 77 }), 24, SUB(8, IN_(&word, 4))), N(1), N(0), IN(&zero_ts, 16), N(99));
	ROW("futex_wake", 454, EXACT, IN(&word, 4), N(-1), N(1), N(2 | 128));
	ROW("futex_wait", 455, EXACT, IN(&word, 4), N(8), N(-1), N(2 | 128), INX(&zero_ts, 16), N(CLOCK_MONOTONIC));
	ROW("futex_requeue", 456, EXACT, IN(((uint64_t[6]){ 7, 0, 2 | 128, 7, 0, 2 | 128 }), 48, SUB(8, IN_(&word, 4)) SUB(32, IN_(&word, 4))), N(0), N(1), N(1));
}

static void new_calls(void)
{
	puts("-- newer calls");
	ROW("cachestat", 451, EXACT, N(fd), IN(((long[2]){ 0, 100 }), 16), OUTV(40), N(0));
	ROW("fchmodat2", 452, EXACT, N(AT_FDCWD), STR("file"), N(0600), N(0));
	ROW("statmount", 457, EXACT, IN(((long[3]){ 24, -1, 1 }), 24), OUTV(512), N(512), N(0));
	ROW("listmount", 458, ANY, IN(((long[3]){ 24, -1, 0 }), 24), OUTV(512), N(64), N(0));
	ROW("lsm_list_modules", 461, ANY, OUTV(64), IO(((int[1]){ 64 }), 4), N(0));
	ROW("setxattrat", 463, EXACT, N(AT_FDCWD), STR("file"), N(0), STR("user.c"), IN(((long[2]){ 0, 5 }), 16, SUB(0, IN_("value", 5))), N(16));
	ROW("getxattrat", 464, EXACT, N(AT_FDCWD), STR("file"), N(0), STR("user.b"), IN(((long[2]){ 0, 20 }), 16, SUB(0, OUT_(20))), N(16));
	ROW("listxattrat", 465, ANY, N(AT_FDCWD), STR("file"), N(0), OUT(100), N(100));
	ROW("removexattrat", 466, EXACT, N(AT_FDCWD), STR("file"), N(0), STR("user.z"));
	ROW("file_getattr", 468, EXACT, N(AT_FDCWD), STR("file"), OUT(24), N(24), N(0));
	ROW("file_setattr", 469, EXACT, N(AT_FDCWD), STR("file"), IN(((long[3]){ 0 }), 24), N(24), N(0));
}

static void system_v(void)
{
	struct { long type; char text[8]; } m = { 5, "message" };
	uint16_t all[2] = { 5, 0 };
	struct msqid_ds md = { .msg_perm.mode = 0600, .msg_qbytes = 4096 };
	struct semid_ds sd = { .sem_perm.mode = 0600 };
	struct sembuf up[2] = { { 0, 1, 0 }, { 0, -1, IPC_NOWAIT } }, wrong = { 99, 1, 0 }, down = { 1, -1, 0 };
	int seg = shmget(IPC_PRIVATE, PG, 0600);
	struct shmid_ds sh = { .shm_perm.mode = 0600 };
	puts("-- messages, semaphores, segments");
	CALL(msgsnd, N(q), IN(&m, 16), N(8), N(IPC_NOWAIT));
	CALL(msgsnd, N(-1), IN(&m, 16), N(8), N(IPC_NOWAIT));
	CALL(msgrcv, N(q), OUT(16), N(8), N(0), N(IPC_NOWAIT));
	CALL(msgrcv, N(q), OUT(12), N(4), N(0), N(IPC_NOWAIT | MSG_NOERROR));
	CALL(msgrcv, N(q), OUT(12), N(4), N(0), N(IPC_NOWAIT));
	CALL(msgrcv, N(q), OUT(16), N(8), N(99), N(IPC_NOWAIT));
	CALL(msgrcv, N(q), OUT(100), N(92), N(0), N(IPC_NOWAIT));
	CALL(msgctl, N(q), N(IPC_STAT), OUTV(120));
	CALL(msgctl, N(q), N(IPC_SET), IN(&md, 120));
	CALL_ANY(msgctl, N(0), N(IPC_INFO), OUTV(32));
	CALL_ANY(msgctl, N(0), N(12), OUTV(32));
	CALL(semop, N(sem), IN(up, 12), N(2));
	CALL(semop, N(sem), IN(&wrong, 6), N(1));
	CALL(semop, N(-1), IN(up, 12), N(2));
	CALL(semop, N(sem), IN(up, 12), N(5000));
	CALL(semtimedop, N(sem), IN(&down, 6), N(1), INX(&zero_ts, 16));
	CALL(semtimedop, N(sem), IN(&down, 6), N(1), INX(&bad_ts, 16));
	CALL(semctl, N(sem), N(0), N(IPC_STAT), OUTV(104));
	CALL(semctl, N(sem), N(0), N(IPC_SET), IN(&sd, 104));
	CALL(semctl, N(sem), N(0), N(GETALL), OUT(4));
	CALL(semctl, N(sem), N(0), N(SETALL), IN(all, 4));
	CALL_ANY(semctl, N(0), N(0), N(IPC_INFO), OUTV(40));
	CALL_ANY(semctl, N(0), N(0), N(19), OUTV(40));
	CALL(shmctl, N(seg), N(IPC_STAT), OUTV(112));
	CALL(shmctl, N(seg), N(IPC_SET), IN(&sh, 112));
	CALL_ANY(shmctl, N(0), N(IPC_INFO), OUTV(72));
	CALL_ANY(shmctl, N(0), N(14), OUTV(48));
	shmctl(seg, IPC_RMID, NULL);
	CALL_FD(mq_open, STR("sf-none"), N(O_RDWR), N(0600), IN((&(struct mq_attr){ 0 }), 64));
	CALL_FD(mq_open, STR("/slash"), N(O_RDWR), N(0600), IN((&(struct mq_attr){ 0 }), 64));
	CALL(mq_unlink, STR("sf-none"));
	CALL(mq_timedsend, N(mq), IN("hello", 5), N(5), N(0), IN(&zero_ts, 16));
	CALL(mq_timedsend, N(mq), IN("hello", 5), N(5), N(0), IN(&bad_ts, 16));
	CALL(mq_timedsend, N(fd), IN("hello", 5), N(5), N(0), IN(&zero_ts, 16));
	CALL(mq_timedreceive, N(mq), OUT(64), N(64), OUT(4), IN(&zero_ts, 16));
	CALL(mq_timedreceive, N(mq), OUT(9), N(9), OUT(4), IN(&zero_ts, 16));
	CALL(mq_getsetattr, N(mq), IN((&(struct mq_attr){ .mq_flags = O_NONBLOCK }), 64), OUT(64));
	CALL(mq_getsetattr, N(fd), IN((&(struct mq_attr){ .mq_flags = O_NONBLOCK }), 64), OUT(64));
	CALL(mq_notify, N(mq), IN((&(struct sigevent){ .sigev_notify = SIGEV_NONE }), 64));
	CALL(mq_notify, N(mq), IN((&(struct sigevent){ .sigev_notify = 99 }), 64));
	CALL(mq_notify, N(mq), IN((&(struct sigevent){ .sigev_notify = SIGEV_THREAD }), 64, SUB(0, IN_("a cookie of thirty-two bytes....", 32))));
	mq_notify(mq, NULL);
}

static void the_system(void)
{
	char host[66] = "";
	struct utsname un;
	uname(&un);
	memcpy(host, un.nodename, sizeof un.nodename);
	puts("-- the system");
	CALL(uname, OUTV(390));
	CALL(sysinfo, OUTV(112));
	CALL_ANY(syslog, N(3), OUTV(100), N(-1));
	CALL(sethostname, IN(host, strlen(host)), N(strlen(host)));
	CALL(sethostname, IN(host, 65), N(65));
	CALL(setdomainname, IN("sf", 2), N(-1));
	CALL_ANY(sysfs, N(1), STR("tmpfs"));
	CALL(sysfs, N(1), STR("sf-none"));
	CALL_ANY(sysfs, N(2), N(0), OUTV(64));
	CALL_FD(perf_event_open, IN(((int[32]){ 77, 128 }), 128), N(0), N(-1), N(-1), N(0));
	CALL(modify_ldt, N(0), OUT(16), N(16));
	CALL(modify_ldt, N(1), IN(((int[4]){ -1 }), 16), N(16));
	CALL(prctl, N(15), STR("name"));
	CALL(prctl, N(15), STR("a name of more than fifteen"));
	CALL(prctl, N(16), OUT(16));
	CALL(prctl, N(2), OUT(4));
	CALL(prctl, N(37), OUT(4));
	CALL(prctl, N(25), OUT(4));
	CALL(prctl, N(40), OUTV(8));
	CALL(arch_prctl, N(0x1003), OUTV(8));
	CALL(arch_prctl, N(0x1004), OUTV(8));
	CALL_ANY(add_key, STR("user"), STR("sf-key"), IN("payload", 7), N(7), N(-2));
	CALL_ANY(add_key, STR("sfnone"), STR("sf-key"), IN("payload", 7), N(7), N(-2));
	CALL_ANY(request_key, STR("user"), STR("sf-nokey"), N(0), N(0));
	long key = syscall(SYS_add_key, "user", "sf-key", "payload", 7L, -2L);
	CALL(keyctl, N(2), N(key), IN("changed", 7), N(7));
	CALL_ANY(keyctl, N(6), N(key), OUTV(100), N(100));
	CALL_ANY(keyctl, N(10), N(-2), STR("user"), STR("sf-key"), N(0));
	CALL(keyctl, N(11), N(key), OUT(20), N(20));
	CALL(keyctl, N(11), N(key), OUT(3), N(3));
	CALL_ANY(keyctl, N(31), OUT(8), N(8));
	CALL_ANY(keyctl, N(20), N(key), IN(((long[2]){ 0, 5 }), 16, SUB(0, IN_("value", 5))), N(1), N(0));
}

int main(void)
{
	world_begin();
	waiting();
	clocks();
	signals();
	children();
	processes();
	memory();
	new_calls();
	system_v();
	the_system();
	world_end();
	return 0;
}
