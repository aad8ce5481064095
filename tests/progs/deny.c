/* SPDX-License-Identifier: MIT */
/* deny.c - run a command on a machine that lacks something, by a seccomp filter
 *
 *     deny WHAT[=ERRNO][,…] COMMAND [ARG...]
 *
 * WHAT is uffd (userfaultfd), sud (prctl PR_SET_SYSCALL_USER_DISPATCH), seccomp (no further filters) or the number of a system call;
 * ERRNO is a number, ENOSYS if not given. */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MOST 64
static struct sock_filter prog[MOST];
static unsigned short len;

static void add(struct sock_filter f)
{
	if (len == MOST)
		exit(99);
	prog[len++] = f;
}

/* System call nr, if its argument at (counted from 0) is *arg, answers err. */
static void deny_at(unsigned nr, unsigned at, const unsigned *arg, unsigned err)
{
	add((struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)));
	add((struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, arg ? 3 : 1));
	if (arg) {
		add((struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (unsigned)(offsetof(struct seccomp_data, args) + at * 8)));
		add((struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, *arg, 0, 1));
	}
	add((struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | err));
}

static void deny(unsigned nr, const unsigned *arg, unsigned err) { deny_at(nr, 0, arg, err); }

static void deny_named(char *word)
{
	static const unsigned sud = 59, filter = 22, new_uffd = 0xaa00 /* USERFAULTFD_IOC_NEW, of /dev/userfaultfd */;
	char *eq = strchr(word, '=');
	unsigned err = eq ? (unsigned)atoi(eq + 1) : ENOSYS;

	if (eq)
		*eq = 0;
	if (!strcmp(word, "uffd"))
		deny(SYS_userfaultfd, NULL, err), deny_at(SYS_ioctl, 1, &new_uffd, err);
	else if (!strcmp(word, "sud"))
		deny(SYS_prctl, &sud, err);
	else if (!strcmp(word, "seccomp"))
		deny(SYS_seccomp, NULL, err), deny(SYS_prctl, &filter, err);
	else
		deny((unsigned)atoi(word), NULL, err);
}

int main(int argc, char **argv)
{
	struct sock_fprog p = { .filter = prog };

	if (argc < 3)
		return 99;
	for (char *w = strtok(argv[1], ","); w; w = strtok(NULL, ","))
		deny_named(w);
	add((struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
	p.len = len;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &p)) {
		perror("deny: seccomp");
		return 98;
	}
	execvp(argv[2], argv + 2);
	perror(argv[2]);
	return 127;
}
