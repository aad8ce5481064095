/* SPDX-License-Identifier: MIT */
/* fork_calls.c - vfork, posix_spawn, clone with its flags, exec from threads, signals to children: what the calls promise */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;
static const char *self;

static int wait_status(pid_t pid)
{
	int st = -1;

	if (waitpid(pid, &st, __WALL) != pid)
		return -errno;
	return WIFEXITED(st) ? WEXITSTATUS(st) : 256 + WTERMSIG(st);
}

static volatile int seen;

/* The child writes our memory, we do not run meanwhile, and its signal actions are its own. */
static void vforks(void)
{
	volatile int in_child = 0;

	pid_t pid = vfork();
	if (!pid) {
		signal(SIGUSR1, SIG_IGN);
		in_child = getpid() != getppid();
		usleep(20000);
		seen = 42;
		_exit(5);
	}
	int at_once = seen, st = wait_status(pid);
	struct sigaction sa;
	sigaction(SIGUSR1, NULL, &sa);
	printf("vfork: seen %d status %d child %d action %d\n", at_once, st, in_child, sa.sa_handler == SIG_DFL);
	pid = vfork();
	if (!pid) {
		execl(self, self, "exit", "9", NULL);
		_exit(1);
	}
	st = wait_status(pid);
	printf("vfork: exec %d\n", st);
	volatile int err = 0;
	pid = vfork();
	if (!pid) {
		execl("/nowhere/at/all", "x", NULL);
		err = errno;
		_exit(127);
	}
	st = wait_status(pid);
	printf("vfork: failed exec %d, errno %d\n", st, err);
}

static void spawns(void)
{
	char *good[] = { (char *)self, (char *)"exit", (char *)"11", NULL };
	pid_t pid = 0;
	int err = posix_spawn(&pid, self, NULL, NULL, good, environ);

	printf("spawn: %d status %d\n", err, err ? -1 : wait_status(pid));
	err = posix_spawn(&pid, "/nowhere", NULL, NULL, good, environ);
	printf("spawn: missing %d\n", err);
	err = posix_spawn(&pid, "/etc/passwd", NULL, NULL, good, environ);
	printf("spawn: not executable %d\n", err);
	int bad = 0;
	for (int i = 0; i < 30; i++)
		bad += posix_spawn(&pid, self, NULL, NULL, good, environ) || wait_status(pid) != 11;
	printf("spawn: many %d\n", bad);
	printf("system: %d\n", WEXITSTATUS(system("exit 6")));
	FILE *f = popen("echo popen", "r");
	char line[32] = "";
	fgets(line, sizeof line, f);
	printf("%s: %d\n", strtok(line, "\n"), pclose(f));
}

static char stack[65536] __attribute__((aligned(16)));
static volatile int tid_word = -1, ptid_word = -1;

static int clone_child(void *arg)
{
	seen = (int)(intptr_t)arg;
	return getpid() == gettid() ? 3 : 4;
}

static void clones(void)
{
	seen = 0;
	pid_t pid = clone(clone_child, stack + sizeof stack, SIGCHLD, (void *)1);
	int st = wait_status(pid);
	printf("clone: copy %d seen %d\n", st, seen);
	pid = clone(clone_child, stack + sizeof stack, CLONE_VM | SIGCHLD, (void *)2);
	st = wait_status(pid);
	printf("clone: shared %d seen %d\n", st, seen);
	pid = clone(clone_child, stack + sizeof stack, CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | SIGCHLD, (void *)3);
	st = wait_status(pid);
	printf("clone: all shared %d seen %d\n", st, seen);
	pid = clone(clone_child, stack + sizeof stack, CLONE_VM | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID | CLONE_CHILD_SETTID, (void *)4,
		    &ptid_word, NULL, &tid_word);
	st = wait_status(pid);
	printf("clone: tid %d cleared %d status %d\n", ptid_word == pid, tid_word, st);
	int pidfd = -1;
	pid = clone(clone_child, stack + sizeof stack, CLONE_PIDFD | SIGCHLD, (void *)5, &pidfd);
	siginfo_t si = { 0 };
	int w = waitid(P_PIDFD, (id_t)pidfd, &si, WEXITED);
	printf("clone: pidfd %d wait %d status %d pid %d\n", pidfd >= 0, w, si.si_status, si.si_pid == pid);
	pid = clone(clone_child, stack + sizeof stack, CLONE_SIGHAND, NULL);
	printf("clone: sighand without vm %d errno %d\n", pid, errno);
	pid = clone(clone_child, stack + sizeof stack, CLONE_FILES | SIGCHLD, (void *)6);
	st = wait_status(pid);
	printf("clone: files %d\n", st);
	void *p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memset(p, 1, 1 << 20); /* descriptors were not ours alone */
	munmap(p, 1 << 20);
}

static volatile int caught;
static void on_signal(int signo) { caught = signo; }

static void raise_fault(void)
{
	int *volatile nowhere = (int *)8;

	*nowhere = 1;
}

static void signals(void)
{
	sigset_t set, old;
	struct sigaction sa = { .sa_handler = on_signal };

	sigaction(SIGUSR1, &sa, NULL);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, &old);
	raise(SIGUSR1); /* pending: not inherited */
	int looked[2];
	if (pipe(looked))
		abort();
	pid_t pid = fork();
	if (!pid) {
		sigset_t pend;
		sigpending(&pend);
		int inherited = sigismember(&pend, SIGUSR1);
		(void)!write(looked[1], "", 1);
		sigprocmask(SIG_SETMASK, &old, NULL);
		while (!caught)
			usleep(1000);
		_exit(inherited * 100 + caught);
	}
	char c;
	(void)!read(looked[0], &c, 1);
	kill(pid, SIGUSR1);
	int st = wait_status(pid);
	sigprocmask(SIG_SETMASK, &old, NULL);
	printf("signals: child %d parent %d\n", st, caught);
	pid = fork();
	if (!pid) {
		pause();
		_exit(1);
	}
	kill(pid, SIGSTOP);
	waitpid(pid, &st, WUNTRACED);
	printf("signals: stopped %d\n", WIFSTOPPED(st) ? WSTOPSIG(st) : -1);
	kill(pid, SIGCONT);
	waitpid(pid, &st, WCONTINUED);
	printf("signals: continued %d\n", WIFCONTINUED(st));
	kill(pid, SIGKILL);
	printf("signals: killed %d\n", wait_status(pid));
	int bad = 0;
	for (int i = 0; i < 50; i++) {
		pid = fork();
		if (!pid)
			for (volatile char *p = malloc(1 << 22);;)
				for (int k = 0; k < 1 << 22; k += 4096)
					p[k]++;
		usleep((useconds_t)(i * 100));
		kill(pid, SIGKILL);
		bad += wait_status(pid) != 256 + SIGKILL;
	}
	printf("signals: kill loop %d\n", bad);
	pid = fork();
	if (!pid)
		raise_fault();
	printf("signals: segv %d\n", wait_status(pid));
}

static void *exec_thread(void *arg)
{
	execl(self, self, "exit", "21", NULL);
	return NULL;
}

static void execs(void)
{
	fflush(stdout);
	pid_t pid = fork();
	if (!pid) {
		pthread_t th;
		pthread_create(&th, NULL, exec_thread, NULL);
		pause();
		_exit(1);
	}
	printf("exec: from a thread %d\n", wait_status(pid));
	pid = fork();
	if (!pid) {
		signal(SIGUSR1, SIG_IGN);
		signal(SIGSEGV, SIG_IGN);
		sigset_t set;
		sigemptyset(&set);
		sigaddset(&set, SIGUSR2);
		sigprocmask(SIG_BLOCK, &set, NULL);
		execl(self, self, "state", NULL);
		_exit(1);
	}
	printf("exec: state %d\n", wait_status(pid));
}

/* What execve carried over. */
static int state(void)
{
	struct sigaction a, b, c;
	sigset_t set;

	sigaction(SIGUSR1, NULL, &a);
	sigaction(SIGSEGV, NULL, &b);
	sigaction(SIGTERM, NULL, &c);
	sigprocmask(SIG_BLOCK, NULL, &set);
	return (a.sa_handler == SIG_IGN) | (b.sa_handler == SIG_IGN) << 1 | (c.sa_handler == SIG_DFL) << 2 |
	       !!sigismember(&set, SIGUSR2) << 3 | !!sigismember(&set, SIGUSR1) << 4;
}

static void ids(void)
{
	char buf[64], own[32];
	pid_t me = getpid();

	fflush(stdout);
	pid_t pid = fork();
	if (!pid) {
		ssize_t n = readlink("/proc/self", buf, sizeof buf - 1);
		buf[n < 0 ? 0 : n] = 0;
		snprintf(own, sizeof own, "%d", getpid());
		FILE *f = fopen("/proc/self/stat", "r");
		int a = 0, ppid = 0;
		if (!f || fscanf(f, "%d %*s %*c %d", &a, &ppid) != 2)
			_exit(50);
		_exit(!strcmp(buf, own) + (a == getpid()) + (ppid == me) + (getppid() == me) + (getpid() != me) + (gettid() == getpid()));
	}
	printf("ids: %d\n", wait_status(pid));
	pid = fork();
	if (!pid) {
		setsid();
		_exit(getsid(0) == getpid() && getpgrp() == getpid());
	}
	printf("ids: session %d\n", wait_status(pid));
	errno = 0;
	int none = wait(NULL);
	printf("ids: no more %d %d\n", none, errno == ECHILD);
}

int main(int argc, char **argv)
{
	if (argc == 3)
		return atoi(argv[2]);
	if (argc == 2)
		return state();
	self = "/proc/self/exe";
	setvbuf(stdout, NULL, _IOLBF, 0);
	vforks();
	spawns();
	clones();
	signals();
	execs();
	ids();
	return 0;
}
