/* SPDX-License-Identifier: MIT */
/* child.c - start the user-mode kernel and stay with it until it ends
 *
 * The child gets everything as the caller of softfault had it: environment, signal dispositions and mask, directory, umask,
 * descriptors; besides these, only our own descriptors at numbers from cfg.fd_base up.
 *
 * The parent blocks every signal and takes them one by one:
 *
 *     from the terminal or the kernel    the child, of the same process group, has had it too: nothing to do
 *     from a process                     meant for the program: passed on
 *     from the child itself              kill(0, …) or a message to its parent: not sent back
 *     SIGCHLD                            ended: done.  Stopped: stop as well, so that a shell's job control works
 *
 * A stop signal passed on stops the child, and that in turn stops us; SIGCONT continues us first and then the child. */
#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* With an unlimited stack the host would lay out memory bottom-up; this much still allows the longest argument lists. */
#define HOST_STACK (64ull << 20)

struct before { /* what the child must get back */
	sigset_t mask;
	struct sigaction chld;
};

/* The program's soft limits of memory are the core's business; our tables must not count against them. */
static void raise_host_limit(int which)
{
	struct rlimit rl;

	if (getrlimit(which, &rl) || rl.rlim_cur == rl.rlim_max)
		return;
	rl.rlim_cur = rl.rlim_max;
	setrlimit(which, &rl);
}

static void limit_host_stack(void)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_STACK, &rl) || rl.rlim_cur <= HOST_STACK)
		return;
	rl.rlim_cur = HOST_STACK;
	setrlimit(RLIMIT_STACK, &rl);
}

static void child_fail(struct um_shared *shm, const char *what, const char *name)
{
	shm->fail_status = EXIT_OURS;
	snprintf(shm->fail_message, sizeof shm->fail_message, "%s%s: %s", what, name, strerror(errno));
	shm->phase = UM_FAILED;
	_exit(EXIT_OURS);
}

/* Give *fd a number of its own at or above the base that outlives exec. */
static void pass_fd(struct um_shared *shm, int32_t *fd)
{
	int n;

	if (*fd < 0)
		return;
	n = fcntl(*fd, F_DUPFD, shm->cfg.fd_base);
	if (n < 0)
		child_fail(shm, "cannot pass descriptors", "");
	*fd = n;
}

__attribute__((noreturn)) static void child_exec(const char *kernel, char **argv, struct um_shared *shm, const struct before *old, pid_t parent)
{
	char first[sizeof(UM_ENV) + 12];
	size_t n = 0;

	while (environ[n])
		n++;
	char **env = xcalloc(n + 2, sizeof *env);
	memcpy(env + 1, environ, n * sizeof *env);
	shm->cfg.proc_fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	pass_fd(shm, &shm->cfg.proc_fd);
	pass_fd(shm, &shm->cfg.shm_fd);
	pass_fd(shm, &shm->cfg.swap_fd);
	pass_fd(shm, &shm->cfg.trace_fd);
	snprintf(first, sizeof first, UM_ENV "%d", shm->cfg.shm_fd);
	env[0] = first;
	limit_host_stack();
	raise_host_limit(RLIMIT_AS);
	raise_host_limit(RLIMIT_DATA);
	/* if the command is killed outright, nobody is left to look after the program or to tell how it ended */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(EXIT_OURS);
	sigaction(SIGCHLD, &old->chld, NULL);
	sigprocmask(SIG_SETMASK, &old->mask, NULL);
	execve(kernel, argv, env);
	child_fail(shm, "cannot start ", kernel);
	abort(); /* not reached */
}

/* Stop as the child did; when continued, see that the child is too. */
static void stop_with_child(pid_t pid)
{
	siginfo_t si = { .si_pid = 0 };

	raise(SIGSTOP);
	/* not waitpid: that would take the end of a child that has ended meanwhile, too */
	if (!waitid(P_PID, (id_t)pid, &si, WNOHANG | WCONTINUED) && !si.si_pid)
		kill(pid, SIGCONT);
}

/* Pass a signal on to the program. */
static void forward(pid_t pid, const siginfo_t *si)
{
	if (si->si_code > 0 || si->si_pid == pid)
		return;
	if (si->si_code == SI_QUEUE)
		sigqueue(pid, si->si_signo, si->si_value);
	else
		kill(pid, si->si_signo);
}

/* After SIGCHLD: true when the child has ended. */
static bool reap(pid_t pid, struct child_end *ret)
{
	int status;

	while (wait4(pid, &status, WNOHANG | WUNTRACED, &ret->usage) == pid) {
		if (!WIFSTOPPED(status)) {
			ret->end_ns = monotonic_ns();
			ret->status = status;
			return true;
		}
		stop_with_child(pid);
	}
	return false;
}

static void wait_for(pid_t pid, struct child_end *ret)
{
	sigset_t all;

	sigfillset(&all);
	while (!reap(pid, ret)) {
		siginfo_t si;
		int signo;

		do
			signo = sigwaitinfo(&all, &si);
		while (signo < 0 && errno == EINTR);
		if (signo > 0 && signo != SIGCHLD)
			forward(pid, &si);
	}
}

/* Forget what arrived for the program too late; from here on signals are for us again. */
static void take_signals_back(const struct before *old)
{
	const struct timespec now = { 0 };
	sigset_t all;

	sigfillset(&all);
	while (sigtimedwait(&all, NULL, &now) > 0)
		;
	signal(SIGPIPE, SIG_IGN); /* the summary's reader may be gone: no reason to change the exit status */
	sigprocmask(SIG_SETMASK, &old->mask, NULL);
}

int child_run(const char *kernel, char **argv, struct um_shared *shm, struct child_end *ret)
{
	const struct sigaction dfl = { .sa_handler = SIG_DFL };
	struct before old;
	pid_t pid, parent = getpid();
	sigset_t all;

	fflush(NULL);
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &old.mask);
	sigaction(SIGCHLD, &dfl, &old.chld); /* an ignored SIGCHLD would lose the status */
	pid = fork();
	if (pid < 0) {
		int err = -errno;
		sigprocmask(SIG_SETMASK, &old.mask, NULL);
		return err;
	}
	if (!pid)
		child_exec(kernel, argv, shm, &old, parent);
	wait_for(pid, ret);
	take_signals_back(&old);
	return 0;
}
