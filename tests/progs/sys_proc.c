/* SPDX-License-Identifier: MIT */
/* sys_proc.c - processes: making, waiting, groups and sessions, executing, and what is handed on */
#include "transcript.h"

#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/times.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>

extern char **environ;
static void nap(int ms) { nanosleep(&(struct timespec){ ms / 1000, ms % 1000 * 1000000L }, NULL); }

static int status_of(pid_t pid)
{
	int st = -1;
	waitpid(pid, &st, 0);
	return WIFEXITED(st) ? WEXITSTATUS(st) : 1000 + WTERMSIG(st);
}

/* In a child of its own, with its output before ours. */
#define CHILD(...) do { fflush(stdout); pid_t k_ = fork(); if (!k_) { __VA_ARGS__; fflush(stdout); _exit(0); } \
	int r_ = status_of(k_); if (r_) printf("  ended with %d\n", r_); } while (0)

static void cloning(void)
{
	struct clone_args ca = { .exit_signal = SIGCHLD };
	puts("-- clone");
	C(SYS_clone, CLONE_SIGHAND, 0, 0, 0, 0);
	C(SYS_clone, CLONE_THREAD, 0, 0, 0, 0);
	C(SYS_clone, CLONE_FS | CLONE_NEWNS, 0, 0, 0, 0);
	C(SYS_clone, CLONE_NEWIPC | CLONE_SYSVSEM, 0, 0, 0, 0);
	C(SYS_clone, CLONE_PIDFD | CLONE_PARENT_SETTID, 0, 0, 0, 0);
	C(SYS_clone3, &ca, 0L);
	C(SYS_clone3, &ca, 63L);
	C(SYS_clone3, &ca, 5000L);
	C(SYS_clone3, NULL, sizeof ca);
	ca.exit_signal = 65;
	C(SYS_clone3, &ca, sizeof ca);
	ca = (struct clone_args){ .flags = CLONE_SIGHAND, .exit_signal = SIGCHLD };
	C(SYS_clone3, &ca, sizeof ca);
	ca = (struct clone_args){ .flags = 1ull << 60 };
	C(SYS_clone3, &ca, sizeof ca);
	ca = (struct clone_args){ .flags = CLONE_THREAD | CLONE_SIGHAND | CLONE_VM, .exit_signal = SIGCHLD };
	C(SYS_clone3, &ca, sizeof ca);
	ca = (struct clone_args){ .stack = 0x10000, .exit_signal = SIGCHLD };
	C(SYS_clone3, &ca, sizeof ca);
	ca = (struct clone_args){ .flags = CLONE_CLEAR_SIGHAND | CLONE_SIGHAND | CLONE_VM };
	C(SYS_clone3, &ca, sizeof ca);
	int pfd = -1, tid = 0, ctid = 0, st;
	fflush(stdout);
	ca = (struct clone_args){ .flags = CLONE_PIDFD | CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID, .exit_signal = SIGCHLD,
				  .pidfd = (uint64_t)(uintptr_t)&pfd, .parent_tid = (uint64_t)(uintptr_t)&tid,
				  .child_tid = (uint64_t)(uintptr_t)&ctid };
	pid_t k = (pid_t)syscall(SYS_clone3, &ca, sizeof ca);
	if (!k)
		_exit(ctid == getpid() ? 5 : 6);
	siginfo_t si = { 0 };
	printf("  parent's tid %d, mine untouched %d\n", tid == k, ctid == 0);
	struct pollfd pf = { pfd, POLLIN, 0 };
	poll(&pf, 1, 5000);
	printf("  ready %x\n", pf.revents);
	C(SYS_waitid, P_PIDFD, pfd, &si, WEXITED, NULL);
	printf("  code %d status %d\n", si.si_code, si.si_status);
	C(SYS_waitid, P_PIDFD, pfd, &si, WEXITED, NULL);
	C(SYS_pidfd_send_signal, pfd, 0, NULL, 0);
	/* no exit signal: only __WALL or __WCLONE finds it */
	k = (pid_t)syscall(SYS_clone, 0L, 0, 0, 0, 0);
	if (!k)
		_exit(9);
	nap(20);
	C(SYS_wait4, k, &st, WNOHANG, NULL);
	printf("  %d\n", waitpid(k, &st, __WALL) == k && WEXITSTATUS(st) == 9);
	k = vfork();
	if (!k) {
		tid = 1234;
		_exit(0);
	}
	waitpid(k, NULL, 0);
	printf("  shared %d\n", tid == 1234);
	k = (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0);
	if (!k) {
		dup2(0, 33);
		_exit(0);
	}
	waitpid(k, NULL, 0);
	printf("  shared files %d\n", fcntl(33, F_GETFD) >= 0);
	close(33);
	k = (pid_t)syscall(SYS_clone, CLONE_FS | SIGCHLD, 0, 0, 0, 0);
	if (!k) {
		umask(077);
		_exit(0);
	}
	waitpid(k, NULL, 0);
	printf("  shared umask %o\n", umask(022));
	k = (pid_t)syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0);
	if (!k)
		_exit(0);
	printf("  my sibling: %s\n", waitpid(k, NULL, 0) == -1 ? strerrorname_np(errno) : "child");
}

/* A child whose number is chosen: once as its name space's first, then the number of one that is gone, and one that is taken. */
static int chosen(uint64_t flags, pid_t *tids, uint64_t n)
{
	struct clone_args ca = { .flags = flags, .exit_signal = SIGCHLD, .set_tid = (uint64_t)(uintptr_t)tids, .set_tid_size = n };
	fflush(stdout);
	pid_t k = (pid_t)syscall(SYS_clone3, &ca, sizeof ca);
	if (!k)
		_exit(getpid() == tids[0] ? 7 : 8);
	return k < 0 ? -errno : status_of(k);
}

static void numbered(void)
{
	pid_t tids[33] = { 1 }, me[] = { getpid() };
	puts("-- chosen numbers");
	printf("  %d %d %d %d\n", chosen(0, NULL, 1), chosen(0, tids, 0), chosen(0, tids, 33), chosen(0, (pid_t *)none, 1));
	printf("  %d %d %d\n", chosen(CLONE_NEWPID, tids, 1), chosen(0, me, 1), chosen(0, tids + 1, 1));
	pid_t k = fork();
	if (!k)
		_exit(0);
	printf("  %d", status_of(k));
	printf(" %d\n", chosen(0, &k, 1));
}

/* What nobody shares is unshared already. */
static void unsharing(void)
{
	puts("-- unshare");
	C(SYS_unshare, CLONE_FILES);
	C(SYS_unshare, CLONE_FILES | CLONE_FS | CLONE_SYSVSEM);
	C(SYS_unshare, CLONE_THREAD | CLONE_SIGHAND | CLONE_VM);
	C(SYS_unshare, 1);
	int fd = open("/proc/self/ns/uts", O_RDONLY), uid = -1;
	printf("  type %x\n", ioctl(fd, 0xb703));
	printf("  user name space %d\n", ioctl(fd, 0xb701) != -1);
	printf("  owner %d\n", ioctl(ioctl(fd, 0xb701), 0xb704, &uid) + uid);
	C(SYS_ioctl, fd, 0xb702, 0);
	close(fd);
}

static void waiting(void)
{
	siginfo_t si;
	struct rusage ru;
	int st;
	puts("-- wait");
	C(SYS_wait4, -1, &st, 0, NULL);
	C(SYS_wait4, -1, &st, 0x100, NULL);
	C(SYS_wait4, 0x80000000, &st, 0, NULL);
	C(SYS_wait4, 1, &st, 0, NULL);
	C(SYS_waitid, P_ALL, 0, &si, 0, NULL);
	C(SYS_waitid, P_ALL, 0, &si, WNOHANG, NULL);
	C(SYS_waitid, P_ALL, 0, &si, WEXITED | 0x10000, NULL);
	C(SYS_waitid, 77, 0, &si, WEXITED, NULL);
	C(SYS_waitid, P_PID, 0, &si, WEXITED, NULL);
	C(SYS_waitid, P_PID, -1, &si, WEXITED, NULL);
	C(SYS_waitid, P_PGID, -1, &si, WEXITED, NULL);
	C(SYS_waitid, P_PIDFD, -1, &si, WEXITED, NULL);
	C(SYS_waitid, P_PIDFD, 0, &si, WEXITED, NULL);
	pid_t a = fork();
	if (!a) {
		for (;;)
			pause();
	}
	C(SYS_wait4, a, &st, WNOHANG, NULL);
	memset(&si, 7, sizeof si);
	C(SYS_waitid, P_PID, a, &si, WEXITED | WNOHANG, NULL);
	printf("  %d %d\n", si.si_signo, si.si_pid);
	setpgid(a, a);
	C(SYS_wait4, 0, &st, WNOHANG, NULL);
	OK(SYS_wait4, -a, &st, WNOHANG, NULL);
	kill(a, SIGKILL);
	OK(SYS_wait4, -a, &st, 0, &ru);
	printf("  signal %d core %d\n", WTERMSIG(st), !!WCOREDUMP(st));
	a = fork();
	if (!a)
		_exit(256 + 7);
	OK(SYS_wait4, a, &st, 0, NULL);
	printf("  status %d\n", WEXITSTATUS(st));
	a = fork();
	if (!a) {
		for (volatile long i = 0; i < 30000000; i++)
			;
		_exit(0);
	}
	wait4(a, &st, 0, &ru);
	struct rusage kids;
	getrusage(RUSAGE_CHILDREN, &kids);
	struct tms t;
	times(&t);
	printf("  used time %d, counted %d, minor faults %d, ticks %d\n", ru.ru_utime.tv_usec + ru.ru_utime.tv_sec > 0,
	       kids.ru_utime.tv_sec > ru.ru_utime.tv_sec || kids.ru_utime.tv_usec >= ru.ru_utime.tv_usec, ru.ru_minflt > 0, t.tms_cutime >= 0);
	C(SYS_getrusage, 2, &ru);
	C(SYS_getrusage, -2, &ru);
}

static void orphans(void)
{
	int p[2], st;
	char c;
	puts("-- orphans");
	(void)!pipe(p);
	C(SYS_prctl, PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	int v = 0;
	C(SYS_prctl, PR_GET_CHILD_SUBREAPER, &v, 0, 0, 0);
	printf("  %d\n", v);
	pid_t me = getpid(), mid = fork();
	if (!mid) {
		if (!fork()) {
			for (int i = 0; i < 1000 && getppid() != me; i++)
				nap(1);
			(void)!write(p[1], getppid() == me ? "y" : "n", 1);
			_exit(4);
		}
		_exit(3);
	}
	waitpid(mid, &st, 0);
	(void)!read(p[0], &c, 1);
	pid_t k = wait(&st);
	printf("  adopted %c, reaped %d with %d\n", c, k > 0 && k != mid, WEXITSTATUS(st));
	prctl(PR_SET_CHILD_SUBREAPER, 0);
	close(p[0]);
	close(p[1]);
}

static void groups(void)
{
	puts("-- groups and sessions");
	C(SYS_getpgid, -1);
	C(SYS_getpgid, 99999999);
	C(SYS_getsid, -1);
	C(SYS_setpgid, -1, 0);
	C(SYS_setpgid, 0, -1);
	C(SYS_setpgid, 1, 0);
	C(SYS_setpgid, 0, 99999999);
	C(SYS_getpriority, 9, 0);
	C(SYS_getpriority, PRIO_PROCESS, 99999999);
	C(SYS_setpriority, 9, 0, 0);
	C(SYS_setpriority, PRIO_PROCESS, 99999999, 0);
	CHILD(
		printf("  new session %d\n", setsid() == getpid());
		C(SYS_setsid);
		C(SYS_setpgid, 0, 0);
		printf("  %d %d\n", getsid(0) == getpid(), getpgrp() == getpid());
		pid_t k = fork();
		if (!k) {
			nap(50);
			_exit(0);
		}
		C(SYS_setpgid, k, k);
		C(SYS_setpgid, k, 1);
		printf("  %d\n", getpgid(k) == k);
		int tty = open("/dev/tty", O_RDWR);
		printf("  no terminal: %s\n", tty < 0 ? strerrorname_np(errno) : "?");
		C(SYS_ioctl, 0, TIOCSPGRP, &k);
		waitpid(k, NULL, 0));
	int go[2];
	(void)!pipe(go);
	pid_t k = fork();
	if (!k) {
		char c;
		close(go[1]);
		(void)!read(go[0], &c, 1);
		execl("/bin/cat", "cat", "/dev/null", NULL);
		_exit(1);
	}
	close(go[0]);
	C(SYS_setpgid, k, 0);
	close(go[1]);
	waitpid(k, NULL, 0);
	CHILD(int pt = open("/dev/ptmx", O_RDWR | O_NOCTTY), n = 0, zero = 0; pid_t got = 0;
		ioctl(pt, TIOCSPTLCK, &zero);
		ioctl(pt, TIOCGPTN, &n);
		char name[32];
		snprintf(name, sizeof name, "/dev/pts/%d", n);
		setsid();
		int sl = open(name, O_RDWR);
		C(SYS_ioctl, sl, TIOCGPGRP, &got);
		printf("  %d\n", got == getpid());
		pid_t c = fork();
		if (!c) {
			setpgid(0, 0);
			char b;
			signal(SIGTTIN, SIG_DFL);
			(void)!read(sl, &b, 1); /* stops: in the background */
			_exit(8);
		}
		setpgid(c, c);
		int st;
		waitpid(c, &st, WUNTRACED);
		printf("  background read: %s %d\n", WIFSTOPPED(st) ? "stopped" : "?", WSTOPSIG(st));
		C(SYS_ioctl, sl, TIOCSPGRP, &c);
		(void)!write(pt, "line\n", 5);
		kill(c, SIGCONT);
		waitpid(c, &st, 0);
		printf("  foreground read: %d\n", WEXITSTATUS(st)));
}

static void put(const char *name, const char *text, int mode)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0700);
	(void)!write(fd, text, strlen(text));
	close(fd);
	chmod(name, (mode_t)mode);
}

#define RUN(...) do { \
	char *run_[] = { __VA_ARGS__, NULL }; \
	CHILD(execve(run_[0], run_, environ); printf("  %s: %s\n", run_[0], strerrorname_np(errno))); \
} while (0)

static void executing(void)
{
	char *big = malloc(200000), *argv[] = { "x", big, NULL };
	puts("-- exec");
	put("plain", "echo hello\n", 0755);
	put("script", "#!/bin/sh\necho script $0 $# $1\n", 0755);
	put("spaced", "#!  /bin/echo   one two  \n", 0755);
	put("nested", "#!./script inner\n", 0755);
	put("deep1", "#!./nested\n", 0755);
	put("deep2", "#!./deep1\n", 0755);
	put("deep3", "#!./deep2\n", 0755);
	put("deep4", "#!./deep3\n", 0755);
	put("nowhere", "#!/no/such/interpreter\n", 0755);
	put("noperm", "#!/bin/sh\n", 0644);
	put("empty", "", 0755);
	put("bare", "#!\n", 0755);
	put("badelf", "\177ELF\2\1\1garbage garbage garbage garbage garbage garbage garbage garbage", 0755);
	(void)!symlink("loop", "loop");
	mkdir("dir", 0755);
	mkfifo("fifo", 0755);
	RUN("./script", "a", "b");
	RUN("./spaced", "a");
	RUN("./nested", "a");
	RUN("./deep1");
	RUN("./deep2");
	RUN("./deep3");
	RUN("./deep4");
	RUN("./plain");
	RUN("./nowhere");
	RUN("./noperm");
	RUN("./empty");
	RUN("./bare");
	RUN("./badelf");
	RUN("./loop");
	RUN("./dir");
	RUN("./fifo");
	RUN("./none");
	RUN("");
	RUN("./script/x");
	RUN("/dev/null");
	memset(big, 'b', 199999);
	big[199999] = 0;
	CHILD(execve("/bin/true", argv, environ); printf("  one long: %s\n", strerrorname_np(errno)));
	big[131071] = 0;
	CHILD(execve("/bin/true", argv, environ); printf("  just fits: %s\n", strerrorname_np(errno)));
	char **many = malloc(100001 * sizeof *many);
	for (int i = 0; i < 100000; i++)
		many[i] = big + 131071 - 90;
	many[100000] = NULL;
	CHILD(execve("/bin/true", many, environ); printf("  too many: %s\n", strerrorname_np(errno)));
	CHILD(syscall(SYS_execve, "/bin/true", NULL, NULL));
	CHILD(char *none_[] = { NULL }; execve("./script", none_, environ));
	int fd = open("/bin/echo", O_RDONLY), sfd = open("script", O_RDONLY), cfd = open("script", O_RDONLY | O_CLOEXEC);
	char *av[] = { "echo", "by", "descriptor", NULL };
	CHILD(syscall(SYS_execveat, fd, "", av, environ, AT_EMPTY_PATH); printf("  %s\n", strerrorname_np(errno)));
	(void)sfd;
	CHILD(syscall(SYS_execveat, cfd, "", av, environ, AT_EMPTY_PATH); printf("  closed script: %s\n", strerrorname_np(errno)));
	CHILD(syscall(SYS_execveat, AT_FDCWD, "./spaced", av, environ, 0); printf("  %s\n", strerrorname_np(errno)));
	C(SYS_execveat, fd, "", av, environ, 0);
	C(SYS_execveat, -1, "x", av, environ, 0);
	C(SYS_execveat, fd, "x", av, environ, 0);
	C(SYS_execveat, AT_FDCWD, "./script", av, environ, 0x7777);
	(void)!symlink("script", "alias");
	C(SYS_execveat, AT_FDCWD, "./alias", av, environ, AT_SYMLINK_NOFOLLOW);
	C(SYS_execveat, AT_FDCWD, "", av, environ, AT_EMPTY_PATH);
	C(SYS_execveat, AT_FDCWD, NULL, av, environ, 0);
	int dfd = open(".", O_RDONLY | O_DIRECTORY);
	CHILD(syscall(SYS_execveat, dfd, "spaced", av, environ, 0); printf("  %s\n", strerrorname_np(errno)));
	C(SYS_execveat, dfd, "alias", av, environ, AT_SYMLINK_NOFOLLOW);
	(void)!system("cp /bin/true mine");
	int w = open("mine", O_WRONLY);
	RUN("./mine");
	close(w);
	RUN("./mine");
	CHILD(fcntl(fd, F_SETFD, FD_CLOEXEC); close(0); close(cfd); dup2(fd, 40); close(dfd);
	      execl("/bin/sh", "sh", "-c", "for i in 0 40 41; do [ -e /proc/self/fd/$i ] && echo open $i || echo closed $i; done", NULL));
	CHILD(umask(031); (void)!nice(3); setrlimit(RLIMIT_CORE, (&(struct rlimit){ 5120, 10240 }));
	      execl("/bin/sh", "sh", "-c", "umask; nice; ulimit -S -c; ulimit -H -c", NULL));
	timer_t t;
	CHILD(timer_create(CLOCK_MONOTONIC, NULL, &t); setitimer(ITIMER_REAL, (&(struct itimerval){ { 0, 0 }, { 0, 30000 } }), NULL);
	      execl("/bin/sleep", "sleep", "5", NULL));
}

static int hold(void *fds)
{
	char c;
	return (int)syscall(SYS_read, ((int *)fds)[0], &c, 1);
}

/* A process that has our own memory is asked for it: what nobody has touched is zeros there. */
static void shared_memory(void)
{
	static char stack[8 * 4096] __attribute__((aligned(16)));
	int p[2], fd;
	char name[32], buf[8] = "before", *fresh = mmap(NULL, 2 * PG, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct iovec here = { buf, 8 }, there = { fresh + 5, 8 };
	puts("-- memory of a process that shares ours");
	(void)!pipe(p);
	pid_t pid = clone(hold, stack + sizeof stack, CLONE_VM | SIGCHLD, p);
	C(SYS_process_vm_readv, pid, &here, 1L, &there, 1L, 0L);
	printf("  %d\n", buf[0]);
	memcpy(buf, "written", 8);
	there.iov_base = fresh + PG;
	C(SYS_process_vm_writev, pid, &here, 1L, &there, 1L, 0L);
	printf("  %s\n", fresh + PG);
	there.iov_base = hole;
	C(SYS_process_vm_readv, pid, &here, 1L, &there, 1L, 0L);
	munmap(fresh, PG);
	snprintf(name, sizeof name, "/proc/%d/mem", pid);
	fd = open(name, O_RDWR);
	C(SYS_pread64, fd, buf, 8L, fresh + PG);
	C(SYS_pread64, fd, buf, 8L, fresh);
	close(fd);
	(void)!write(p[1], "x", 1);
	waitpid(pid, NULL, 0);
	C(SYS_process_vm_readv, pid, &here, 1L, &there, 1L, 0L);
	munmap(fresh + PG, PG);
	close(p[0]);
	close(p[1]);
}

int main(void)
{
	transcript_begin();
	cloning();
	shared_memory();
	numbered();
	unsharing();
	waiting();
	orphans();
	groups();
	executing();
	(void)!system("rm -rf *");
	return 0;
}
