/* SPDX-License-Identifier: MIT */
/* sys_rights.c - calls that ask for rights or for limits: what nobody may do, in which order it is refused, and how processes are told apart */
#include "transcript.h"

#include <grp.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <linux/perf_event.h>
#include <mqueue.h>
#include <poll.h>
#include <pty.h>
#include <sched.h>
#include <sys/fanotify.h>
#include <sys/fsuid.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/mount.h>
#include <sys/msg.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/quota.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/swap.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>

static void become_nobody(void)
{
	if (!getuid() && (syscall(SYS_setgroups, 0, NULL) || setresgid(65534, 65534, 65534) || setresuid(65534, 65534, 65534)))
		abort();
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

static void privileged(void)
{
	struct timespec ts = { 1, 0 }, bad = { 1, -1 };
	struct timeval tv = { 1, 0 }, bad_tv = { 1, 1000000 };
	struct timex tx = { .modes = ADJ_FREQUENCY };
	puts("-- what nobody may do");
	C(SYS_mount, "none", "/tmp", "tmpfs", 0L, NULL);
	C(SYS_mount, "none", "absent", "tmpfs", 0L, NULL);
	C(SYS_mount, "none", "/tmp", NULL, MS_REMOUNT, NULL);
	C(SYS_umount2, "/tmp", 0);
	C(SYS_umount2, "/tmp", 0x1000);
	C(SYS_pivot_root, ".", ".");
	C(SYS_chroot, ".");
	C(SYS_chroot, "absent");
	C(SYS_swapon, "absent", 0);
	C(SYS_swapoff, "absent");
	C(SYS_acct, "absent");
	C(SYS_acct, NULL);
	C(SYS_reboot, 0, 0, 0, NULL);
	C(SYS_vhangup);
	C(SYS_iopl, 3);
	C(SYS_iopl, 4);
	C(SYS_ioperm, 0x80L, 1L, 1);
	C(SYS_ioperm, 70000L, 1L, 1);
	C(SYS_sethostname, "x", 1);
	C(SYS_sethostname, "x", -1);
	C(SYS_setdomainname, "x", 1);
	C(SYS_settimeofday, &tv, NULL);
	C(SYS_settimeofday, &bad_tv, NULL);
	C(SYS_clock_settime, CLOCK_REALTIME, &ts);
	C(SYS_clock_settime, CLOCK_REALTIME, &bad);
	C(SYS_clock_settime, CLOCK_MONOTONIC, &ts);
	C(SYS_clock_settime, 99, &ts);
	C(SYS_adjtimex, &tx);
	tx.modes = 0x8000;
	C(SYS_adjtimex, &tx);
	C(SYS_clock_adjtime, CLOCK_MONOTONIC, &tx);
	C(SYS_init_module, good, 10L, "");
	C(SYS_finit_module, 0, "", 0);
	C(SYS_delete_module, "x", 0);
	C(SYS_quotactl, QCMD(Q_SYNC, USRQUOTA), NULL, 0, NULL);
	C(SYS_quotactl, QCMD(Q_GETFMT, USRQUOTA), "/dev/null", 0, good);
	C(SYS_quotactl, QCMD(Q_GETFMT, 9), "/dev/null", 0, good);
	C(SYS_syslog, 5, NULL, 0);
	C(SYS_syslog, 99, NULL, 0);
	C(SYS_unshare, CLONE_NEWNS);
	C(SYS_unshare, 0x7);
	C(SYS_setns, 0, 0);
	C(SYS_setns, -1, 0);
	C(SYS_fanotify_init, 0, 99);
	C(SYS_fanotify_init, FAN_CLASS_CONTENT, O_RDONLY);
	C(SYS_open_by_handle_at, AT_FDCWD, good, 0);
	C(SYS_mknod, "dev", S_IFCHR | 0600, 0x103);
	C(SYS_setuid, 0);
	C(SYS_setgid, 0);
	C(SYS_setreuid, 0, 0);
	C(SYS_setresuid, -1, 0, -1);
	C(SYS_setresgid, 0, -1, -1);
	C(SYS_setfsuid, 0);
	C(SYS_setgroups, 0, NULL);
	C(SYS_setgroups, -1, NULL);
	C(SYS_getgroups, 0, NULL);
	C(SYS_chown, ".", 0, 0);
	C(SYS_link, "/etc/shadow", "x");
	OK(SYS_open, "/etc/shadow", O_RDONLY);
	OK(SYS_open, "/dev/mem", O_RDONLY);
	OK(SYS_open, "/etc/passwd", O_RDONLY | O_NOATIME);
	C(SYS_setxattr, ".", "trusted.a", "v", 1L, 0);
	C(SYS_setxattr, ".", "security.a", "v", 1L, 0);
	C(SYS_getxattr, ".", "trusted.a", good, 10L);
	C(SYS_setpriority, 0, 0, -5);
	C(SYS_setpriority, 0, 1, 0);
	C(SYS_setpriority, 9, 0, 0);
	C(SYS_getpriority, 0, 0x7fffffff);
	C(SYS_ioprio_set, 1, 0, 1 << 13);
	C(SYS_ioprio_set, 1, 0, 2 << 13 | 9);
	C(SYS_ioprio_get, 9, 0);
	C(SYS_kill, 1, 0);
	C(SYS_kill, 1, 99);
	C(SYS_kill, 0x7fffffff, 0);
	C(SYS_tgkill, -1, 1, 0);
	C(SYS_tkill, 0, 0);
	C(SYS_tkill, 0x7fffffff, 0);
	C(SYS_pidfd_open, 0x7fffffff, 0);
	C(SYS_pidfd_open, -1, 0);
	C(SYS_pidfd_open, getpid(), 77);
	C(SYS_pidfd_getfd, 0, 0, 0);
	C(SYS_prlimit64, 1, RLIMIT_CORE, NULL, good);
	C(SYS_sched_setaffinity, 1, 8, "\377\377\377\377\377\377\377");
	C(SYS_sched_setscheduler, 0, SCHED_FIFO, &(int){ 10 });
	C(SYS_sched_setscheduler, 0, SCHED_FIFO, &(int){ 1000 });
	C(SYS_sched_setscheduler, 0x7fffffff, SCHED_OTHER, &(int){ 0 });
	C(SYS_process_vm_readv, 1, good, 0, good, 0, 0);
	C(SYS_process_vm_readv, 1, good, 0, good, 0, 1);
	C(SYS_kcmp, 1, getpid(), 0, 0, 0);
	C(SYS_kcmp, getpid(), getpid(), 99, 0, 0);
	C(SYS_kcmp, getpid(), getpid(), 0, 0, 999);
	C(SYS_move_pages, 1, 0, NULL, NULL, NULL, 2);
	C(SYS_lookup_dcookie, 1L, good, 10L);
	C(SYS_vserver);
	C(SYS_nfsservctl);
	C(SYS_create_module);
}

static void limits(void)
{
	struct rlimit r;
	puts("-- limits");
	r = (struct rlimit){ 100, 50 };
	C(SYS_setrlimit, RLIMIT_CORE, &r);
	C(SYS_setrlimit, RLIMIT_NOFILE, &r);
	C(SYS_setrlimit, RLIMIT_STACK, &r);
	C(SYS_setrlimit, 16, &r);
	r = (struct rlimit){ 1ul << 40, 1ul << 40 };
	C(SYS_setrlimit, RLIMIT_NOFILE, &r);
	r = (struct rlimit){ 0, 0 };
	C(SYS_setrlimit, RLIMIT_CORE, &r);
	r = (struct rlimit){ 0, 1 };
	C(SYS_setrlimit, RLIMIT_CORE, &r);
	C(SYS_prlimit64, -1, RLIMIT_CORE, NULL, &r);
	C(SYS_getrusage, 2, good);
	C(SYS_getrusage, -1, good);
	OK(SYS_times, NULL);
}

static void prctls(void)
{
	puts("-- prctl and personality");
	C(SYS_prctl, 0);
	C(SYS_prctl, 9999);
	C(SYS_prctl, PR_SET_PDEATHSIG, 99);
	C(SYS_prctl, PR_SET_PDEATHSIG, SIGUSR1);
	C(SYS_prctl, PR_GET_PDEATHSIG, good);
	C(SYS_prctl, PR_SET_DUMPABLE, 2);
	C(SYS_prctl, PR_SET_DUMPABLE, 1);
	C(SYS_prctl, PR_GET_DUMPABLE);
	C(SYS_prctl, PR_SET_KEEPCAPS, 2);
	C(SYS_prctl, PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0);
	C(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 1, 0, 0);
	C(SYS_prctl, PR_GET_NO_NEW_PRIVS, 1, 0, 0, 0);
	C(SYS_prctl, PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0);
	C(SYS_prctl, PR_SET_TIMING, 1);
	C(SYS_prctl, PR_CAPBSET_READ, 99);
	C(SYS_prctl, PR_CAPBSET_DROP, 0);
	C(SYS_prctl, PR_CAPBSET_DROP, 99);
	C(SYS_prctl, PR_SET_SECUREBITS, 1);
	C(SYS_prctl, PR_GET_SECUREBITS);
	C(SYS_prctl, PR_CAP_AMBIENT, 4, 0, 0, 0);
	C(SYS_prctl, PR_CAP_AMBIENT, 9, 0, 0, 0);
	C(SYS_prctl, PR_CAP_AMBIENT, 2, 0, 0, 0);
	C(SYS_prctl, PR_GET_SPECULATION_CTRL, 99, 0, 0, 0);
	C(SYS_prctl, PR_GET_SPECULATION_CTRL, 0, 1, 0, 0);
	C(SYS_prctl, PR_SET_TIMERSLACK, 5000);
	C(SYS_prctl, PR_GET_TIMERSLACK);
	C(SYS_prctl, PR_SET_TIMERSLACK, 0);
	C(SYS_prctl, PR_GET_TIMERSLACK);
	C(SYS_prctl, PR_SET_CHILD_SUBREAPER, 1);
	C(SYS_prctl, PR_GET_CHILD_SUBREAPER, good);
	C(SYS_prctl, PR_SET_MM, 99, 0, 0, 0);
	C(SYS_prctl, PR_SET_NAME, "a name of more than fifteen");
	C(SYS_prctl, PR_GET_NAME, good);
	printf("  %s\n", good);
	C(SYS_personality, -1);
	C(SYS_personality, 0x0080000);
	C(SYS_personality, 0);
}

static void one_session(void)
{
	int status;
	puts("-- groups and sessions");
	pid_t pid = fork();
	if (!pid) {
		C(SYS_getsid, 0x7fffffff);
		C(SYS_getsid, -1);
		C(SYS_getpgid, -1);
		C(SYS_setpgid, -1, 0);
		C(SYS_setpgid, 0, -1);
		C(SYS_setpgid, 1, 0);
		C(SYS_setpgid, 0, 0x7fffffff);
		C(SYS_setpgid, 0, 0);
		OK(SYS_setsid);
		fflush(stdout);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	pid = fork();
	if (!pid) {
		setsid();
		C(SYS_setsid);
		C(SYS_setpgid, 0, 0);
		int m = open("/dev/ptmx", O_RDWR | O_NOCTTY), n = 0;
		if (m < 0 || grantpt(m) || unlockpt(m)) {
			puts("no terminal");
			fflush(stdout);
			_exit(0);
		}
		int s = open(ptsname(m), O_RDWR | O_NOCTTY);
		struct termios t;
		struct winsize w = { 5, 6, 7, 8 };
		C(SYS_ioctl, s, TIOCGPGRP, &n);
		C(SYS_ioctl, s, TIOCSCTTY, 0);
		C(SYS_ioctl, s, TIOCGPGRP, &n);
		printf("  mine %d\n", n == getpgrp());
		C(SYS_ioctl, s, TIOCGSID, &n);
		printf("  mine %d\n", n == getsid(0));
		n = 0x7fffffff;
		C(SYS_ioctl, s, TIOCSPGRP, &n);
		C(SYS_ioctl, s, TIOCSWINSZ, &w);
		memset(&w, 0, sizeof w);
		C(SYS_ioctl, m, TIOCGWINSZ, &w);
		printf("  %d %d\n", w.ws_row, w.ws_col);
		tcgetattr(s, &t);
		t.c_lflag &= ~(tcflag_t)ICANON;
		t.c_cc[VMIN] = 0, t.c_cc[VTIME] = 1;
		C(SYS_ioctl, s, TCSETS, &t);
		C(SYS_read, s, good, 5);
		C(SYS_write, m, "abc", 3);
		C(SYS_ioctl, s, FIONREAD, &n);
		printf("  %d\n", n);
		C(SYS_read, s, edge(2), 5);
		C(SYS_read, s, good, 5);
		C(SYS_ioctl, s, TIOCSTI, "x");
		C(SYS_ioctl, s, TIOCSTI, none);
		C(SYS_ioctl, s, TCFLSH, 99);
		C(SYS_ioctl, s, TCFLSH, 0);
		C(SYS_ioctl, s, TCSBRK, 1);
		C(SYS_ioctl, s, TIOCEXCL);
		C(SYS_ioctl, s, TIOCNXCL);
		C(SYS_ioctl, s, TIOCSETD, &(int){ 99 });
		C(SYS_ioctl, s, TIOCOUTQ, &n);
		C(SYS_ioctl, s, 0x5498);
		C(SYS_ioctl, s, 0x80045498, none);
		OK(SYS_ioctl, m, 0x5441 /* TIOCGPTPEER */, O_RDWR | O_NOCTTY);
		C(SYS_ioctl, s, TIOCNOTTY);
		close(m);
		C(SYS_write, s, "x", 1);
		C(SYS_read, s, good, 1);
		fflush(stdout);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	printf("  %x\n", status);
}

static void queues(void)
{
	struct { long type; char text[8]; } m = { 0, "text" };
	struct sembuf op = { 0, 0, 0 };
	struct mq_attr attr = { .mq_maxmsg = 2, .mq_msgsize = 8 };
	char name[32];
	int q = msgget(IPC_PRIVATE, 0600), s = semget(IPC_PRIVATE, 2, 0600);
	puts("-- queues and semaphores");
	C(SYS_msgget, 0x5f5f5f01, 0);
	C(SYS_msgsnd, q, &m, 4L, 0);
	m.type = 1;
	C(SYS_msgsnd, q, &m, -1L, 0);
	C(SYS_msgsnd, q, &m, 100000L, IPC_NOWAIT);
	C(SYS_msgsnd, q, &m, 0L, 0);
	C(SYS_msgrcv, q, &m, -1L, 0L, 0);
	C(SYS_msgrcv, q, &m, 4L, 9L, IPC_NOWAIT);
	C(SYS_msgrcv, q, &m, 4L, -1L, IPC_NOWAIT);
	C(SYS_msgrcv, q, &m, 4L, 0L, IPC_NOWAIT | 040000 /* COPY */ | MSG_NOERROR);
	C(SYS_msgctl, q, 99, NULL);
	C(SYS_msgctl, q, IPC_RMID, NULL);
	C(SYS_msgctl, q, IPC_RMID, NULL);
	C(SYS_semget, 0x5f5f5f01, 0, 0);
	C(SYS_semget, IPC_PRIVATE, 0, 0600);
	C(SYS_semget, IPC_PRIVATE, -1, 0600);
	C(SYS_semop, s, &op, 0);
	C(SYS_semop, s, &op, 501);
	op = (struct sembuf){ 0, 32767, 0 };
	C(SYS_semop, s, &op, 1);
	C(SYS_semop, s, &op, 1);
	op = (struct sembuf){ 1, -1, IPC_NOWAIT };
	C(SYS_semop, s, &op, 1);
	C(SYS_semctl, s, 5, GETVAL, 0);
	C(SYS_semctl, s, 0, SETVAL, 40000);
	C(SYS_semctl, s, 0, SETVAL, -1);
	C(SYS_semctl, s, 0, 99, 0);
	C(SYS_semctl, s, 0, GETNCNT, 0);
	OK(SYS_semctl, s, 0, GETPID, 0);
	C(SYS_semctl, s, 0, IPC_RMID, 0);
	snprintf(name, sizeof name, "sfr%d", getpid());
	C(SYS_mq_open, "", O_CREAT | O_RDWR, 0600, NULL);
	C(SYS_mq_open, "a/b", O_CREAT | O_RDWR, 0600, NULL);
	attr.mq_maxmsg = -1;
	C(SYS_mq_open, name, O_CREAT | O_RDWR, 0600, &attr);
	attr.mq_maxmsg = 2;
	int mq = (int)syscall(SYS_mq_open, name, O_CREAT | O_RDWR | O_NONBLOCK | O_EXCL, 0600, &attr);
	C(SYS_mq_open, name, O_CREAT | O_RDWR | O_EXCL, 0600, &attr);
	C(SYS_mq_timedsend, mq, "x", 9L, 0, NULL);
	C(SYS_mq_timedsend, mq, "x", 1L, 32768, NULL);
	C(SYS_mq_timedsend, mq, "x", 1L, 5, NULL);
	C(SYS_mq_timedsend, mq, "y", 1L, 7, NULL);
	C(SYS_mq_timedsend, mq, "z", 1L, 7, NULL);
	C(SYS_mq_timedreceive, mq, good, 7L, NULL, NULL);
	C(SYS_mq_timedreceive, mq, good, 8L, good + 64, NULL);
	printf("  %c %u\n", good[0], *(unsigned *)(good + 64));
	C(SYS_mq_timedreceive, 0, good, 8L, NULL, NULL);
	C(SYS_mq_unlink, name);
	C(SYS_mq_unlink, name);
	close(mq);
}

static void keys(void)
{
	char buf[64];
	puts("-- keys");
	long k = OK(SYS_add_key, "user", "sf", "payload", 7L, KEY_SPEC_PROCESS_KEYRING);
	C(SYS_add_key, "user", "sf", "payload", 100000L, KEY_SPEC_PROCESS_KEYRING);
	C(SYS_add_key, "user", "sf", NULL, 5L, KEY_SPEC_PROCESS_KEYRING);
	C(SYS_add_key, "user", "", "p", 1L, KEY_SPEC_PROCESS_KEYRING);
	C(SYS_add_key, ".dot", "sf", "p", 1L, KEY_SPEC_PROCESS_KEYRING);
	C(SYS_add_key, "keyring", "sf", "p", 1L, KEY_SPEC_PROCESS_KEYRING);
	C(SYS_keyctl, 99);
	C(SYS_keyctl, KEYCTL_READ, k, buf, 64L);
	C(SYS_keyctl, KEYCTL_UPDATE, k, "new", 3L);
	C(SYS_keyctl, KEYCTL_UPDATE, 0x7ffffff, "new", 3L);
	C(SYS_keyctl, KEYCTL_SETPERM, k, 0x3f3f0000);
	C(SYS_keyctl, KEYCTL_SET_TIMEOUT, k, 100);
	C(SYS_keyctl, KEYCTL_REVOKE, k);
	C(SYS_keyctl, KEYCTL_READ, k, buf, 64L);
	C(SYS_keyctl, KEYCTL_UNLINK, k, KEY_SPEC_PROCESS_KEYRING);
	C(SYS_keyctl, KEYCTL_GET_KEYRING_ID, 99, 0);
	C(SYS_request_key, "user", "sf-absent", NULL, KEY_SPEC_PROCESS_KEYRING);
}

int main(void)
{
	transcript_begin();
	chmod(".", 0777);
	become_nobody();
	privileged();
	limits();
	prctls();
	one_session();
	queues();
	keys();
	return 0;
}
