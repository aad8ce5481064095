/* SPDX-License-Identifier: MIT */
/* sys_file.c - names, directories, attributes, locks, and descriptors */
#include "transcript.h"

#include <dirent.h>
#include <limits.h>
#include <poll.h>
#include <linux/openat2.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/xattr.h>
#include <termios.h>
#include <pty.h>
#include <utime.h>

static char longname[6000];

static void opens(void)
{
	int fd;
	struct open_how how = { .flags = O_RDONLY };
	puts("-- open");
	memset(longname, 'n', sizeof longname - 1);
	C(SYS_open, none, O_RDONLY);
	C(SYS_open, NULL, O_RDONLY);
	C(SYS_open, kern, O_RDONLY);
	C(SYS_open, "", O_RDONLY);
	C(SYS_open, "missing", O_RDONLY);
	C(SYS_open, longname, O_RDONLY);
	C(SYS_openat, AT_FDCWD, none, O_RDONLY);
	C(SYS_openat, -77, "x", O_RDONLY);
	C(SYS_openat, 1010, "x", O_RDONLY);
	strcpy(edge(4), "fil");
	OK(SYS_open, edge(4), O_RDWR | O_CREAT | O_EXCL, 0600);
	C(SYS_open, edge(4), O_RDWR | O_CREAT | O_EXCL, 0600);
	memset(edge(20), 'q', 20);
	C(SYS_open, edge(20), O_RDONLY);
	C(SYS_creat, none, 0600);
	OK(SYS_creat, "c", 0600);
	fd = (int)OK(SYS_openat, AT_FDCWD, ".", O_RDONLY | O_DIRECTORY);
	OK(SYS_openat, fd, "fil", O_RDONLY);
	OK(SYS_openat2, fd, "fil", &how, sizeof how);
	C(SYS_openat2, fd, "fil", none, sizeof how);
	C(SYS_openat2, fd, "fil", &how, 5);
	C(SYS_openat2, fd, "fil", &how, 500);
	how.resolve = RESOLVE_BENEATH;
	C(SYS_openat2, fd, "/etc/passwd", &how, sizeof how);
	C(SYS_open, "fil/x", O_RDONLY);
	C(SYS_close, fd);
	C(SYS_close, fd);
	C(SYS_close, 1015);
	C(SYS_truncate, "fil", 1000L);
	C(SYS_truncate, none, 1000L);
	C(SYS_truncate, "fil", -1L);
}

static void stats(void)
{
	struct stat st;
	struct statfs fs;
	struct { char c[256]; } sx;
	struct timespec ts[2] = { { 1000000000, 5 }, { 1100000000, 7 } };
	struct timeval tv[2] = { { 900000000, 5 }, { 950000000, 7 } };
	struct utimbuf ut = { 800000000, 850000000 };
	puts("-- stat");
	C(SYS_utimensat, AT_FDCWD, "fil", ts, 0);
	C(SYS_utimensat, AT_FDCWD, "fil", none, 0);
	C(SYS_utimensat, AT_FDCWD, none, ts, 0);
	C(SYS_stat, "fil", &st);
	printf("  size %ld mode %o mtime %ld.%ld\n", (long)st.st_size, st.st_mode, st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
	C(SYS_utimes, "fil", tv);
	C(SYS_utime, "fil", &ut);
	C(SYS_utime, "fil", none);
	C(SYS_futimesat, AT_FDCWD, "fil", tv);
	C(SYS_stat, none, &st);
	C(SYS_stat, "fil", none);
	C(SYS_stat, "fil", edge(10));
	C(SYS_stat, "fil", ro);
	C(SYS_lstat, "fil", edge(144));
	C(SYS_fstat, 0, none);
	C(SYS_fstat, -1, none);
	C(SYS_newfstatat, AT_FDCWD, "fil", &st, 0);
	C(SYS_newfstatat, AT_FDCWD, "fil", &st, 0x77777);
	C(SYS_newfstatat, AT_FDCWD, "fil", none, 0);
	C(SYS_statx, AT_FDCWD, "fil", 0, 0x7ff, &sx);
	C(SYS_statx, AT_FDCWD, "fil", 0, 0x7ff, none);
	C(SYS_statx, AT_FDCWD, none, 0, 0x7ff, &sx);
	C(SYS_statfs, ".", &fs);
	C(SYS_statfs, ".", none);
	C(SYS_statfs, none, &fs);
	C(SYS_fstatfs, 99, none);
	C(SYS_access, "fil", R_OK);
	C(SYS_access, none, R_OK);
	C(SYS_faccessat, AT_FDCWD, "missing", R_OK);
	C(SYS_faccessat2, AT_FDCWD, "fil", R_OK, AT_SYMLINK_NOFOLLOW);
	C(SYS_chmod, "fil", 0640);
	C(SYS_chmod, none, 0640);
	C(SYS_fchmodat, AT_FDCWD, "fil", 0600);
	C(SYS_chown, "fil", -1, -1);
	C(SYS_fchownat, AT_FDCWD, "fil", -1, -1, 0);
}

static void names(void)
{
	char buf[100];
	puts("-- names");
	C(SYS_mkdir, "d", 0755);
	C(SYS_mkdir, none, 0755);
	C(SYS_mkdirat, AT_FDCWD, "d", 0755);
	C(SYS_symlink, "fil", "l");
	C(SYS_symlink, none, "l2");
	C(SYS_symlink, "fil", none);
	C(SYS_symlinkat, "dangling", AT_FDCWD, "l3");
	C(SYS_readlink, "l", buf, 100);
	C(SYS_readlink, "l", buf, 2);
	C(SYS_readlink, "l", buf, 0);
	C(SYS_readlink, "l", buf, -1);
	C(SYS_readlink, "l", none, 100);
	C(SYS_readlink, "l", edge(2), 100);
	C(SYS_readlink, "l", edge(3), 100);
	C(SYS_readlink, "fil", buf, 100);
	C(SYS_readlinkat, AT_FDCWD, "l3", buf, 100);
	C(SYS_readlinkat, AT_FDCWD, none, buf, 100);
	C(SYS_link, "fil", "hard");
	C(SYS_link, none, "hard");
	C(SYS_linkat, AT_FDCWD, "l", AT_FDCWD, "hard2", AT_SYMLINK_FOLLOW);
	C(SYS_rename, "hard", "d/hard");
	C(SYS_rename, none, "x");
	C(SYS_rename, "d", none);
	C(SYS_renameat, AT_FDCWD, "hard2", AT_FDCWD, "d/h2");
	C(SYS_renameat2, AT_FDCWD, "d/h2", AT_FDCWD, "d/hard", 1 /* NOREPLACE */);
	C(SYS_chdir, "d");
	C(SYS_chdir, none);
	C(SYS_getcwd, buf, 3);
	C(SYS_getcwd, none, 100);
	C(SYS_getcwd, buf, 0);
	OK(SYS_getcwd, buf, 100);
	C(SYS_chdir, "..");
	C(SYS_unlink, none);
	C(SYS_unlink, "d");
	C(SYS_rmdir, "d");
	C(SYS_unlinkat, AT_FDCWD, "d/hard", 0);
	C(SYS_unlinkat, AT_FDCWD, "d/h2", 0);
	C(SYS_rmdir, none);
	C(SYS_mknod, "fifo", S_IFIFO | 0600, 0);
	C(SYS_mknod, none, S_IFIFO | 0600, 0);
	C(SYS_unlink, "fifo");
	C(SYS_unlink, "l");
	C(SYS_unlink, "l3");
	C(SYS_umask, 077);
	C(SYS_umask, 022);
	C(SYS_chroot, none);
	C(SYS_acct, kern);
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static void directories(void)
{
	char buf[4000], *list[300], name[20];
	int fd, n = 0;
	puts("-- directories");
	for (int i = 0; i < 200; i++) {
		snprintf(name, sizeof name, "d/f%03d", i);
		close(open(name, O_CREAT | O_WRONLY, 0600));
	}
	fd = open("d", O_RDONLY | O_DIRECTORY);
	C(SYS_getdents64, fd, none, 1000);
	C(SYS_getdents64, fd, buf, 10);
	C(SYS_getdents64, fd, edge(60), 1000);
	C(SYS_getdents64, fd, ro, 1000);
	C(SYS_getdents64, 99, none, 1000);
	C(SYS_getdents, fd, none, 1000);
	lseek(fd, 0, SEEK_SET);
	for (long len; (len = syscall(SYS_getdents64, fd, buf, sizeof buf)) > 0;)
		for (long at = 0; at < len;) {
			struct dirent64 *d = (struct dirent64 *)(buf + at);
			list[n++] = strdup(d->d_name);
			at += d->d_reclen;
		}
	qsort(list, (size_t)n, sizeof *list, by_name);
	printf("  %d entries, %s %s … %s\n", n, list[0], list[2], list[n - 1]);
	for (int i = 0; i < 200; i++) {
		snprintf(name, sizeof name, "d/f%03d", i);
		unlink(name);
	}
	C(SYS_getdents64, open("fil", O_RDONLY), buf, 1000);
	close(fd);
	/* what /proc lists is what is open */
	int closed = 0;
	DIR *d = opendir("/proc/self/fd");
	for (struct dirent *e; (e = readdir(d));)
		closed += e->d_name[0] != '.' && fcntl(atoi(e->d_name), F_GETFD) < 0;
	printf("  listed but not open: %d\n", closed);
	closedir(d);
}

static void attributes(void)
{
	char buf[100];
	static char big[70000];
	puts("-- xattr");
	C(SYS_setxattr, "fil", "user.a", "value", 5, 0);
	C(SYS_setxattr, "fil", none, "value", 5, 0);
	C(SYS_setxattr, "fil", "user.a", none, 5, 0);
	C(SYS_setxattr, none, "user.a", "value", 5, 0);
	C(SYS_setxattr, "fil", longname, "value", 5, 0);
	C(SYS_setxattr, "fil", "user.a", big, sizeof big, 0);
	C(SYS_setxattr, "fil", "user.a", "value", 5, 7);
	C(SYS_lsetxattr, "fil", "user.b", "other", 5, 0);
	C(SYS_getxattr, "fil", "user.a", buf, 100);
	C(SYS_getxattr, "fil", "user.a", buf, 2);
	C(SYS_getxattr, "fil", "user.a", none, 100);
	C(SYS_getxattr, "fil", "user.a", edge(2), 100);
	C(SYS_getxattr, "fil", "user.a", NULL, 0);
	C(SYS_getxattr, "fil", "user.z", buf, 100);
	C(SYS_getxattr, "fil", none, buf, 100);
	OK(SYS_listxattr, "fil", buf, 100);
	C(SYS_listxattr, "fil", none, 100);
	C(SYS_listxattr, "fil", buf, 1);
	int fd = open("fil", O_RDWR);
	C(SYS_fgetxattr, fd, "user.a", buf, 100);
	C(SYS_fsetxattr, fd, "user.c", "x", 1, 0);
	C(SYS_fremovexattr, fd, "user.c");
	C(SYS_fremovexattr, fd, "user.c");
	C(SYS_removexattr, "fil", "user.a");
	C(SYS_lremovexattr, "fil", none);
	OK(SYS_flistxattr, fd, buf, 100);
	close(fd);
}

static void locks(void)
{
	struct flock fl = { .l_type = F_WRLCK, .l_len = 10 };
	int fd = open("fil", O_RDWR), dup_fd;
	struct { int type, pid; } own = { 1, 0 };
	puts("-- fcntl");
	C(SYS_flock, fd, LOCK_EX);
	C(SYS_flock, open("fil", O_RDONLY), LOCK_EX | LOCK_NB);
	C(SYS_flock, fd, LOCK_UN);
	C(SYS_flock, fd, 99);
	C(SYS_fcntl, fd, F_SETLK, &fl);
	C(SYS_fcntl, fd, F_SETLK, none);
	C(SYS_fcntl, fd, F_GETLK, &fl);
	printf("  type %d\n", fl.l_type);
	C(SYS_fcntl, fd, F_GETLK, none);
	C(SYS_fcntl, fd, F_GETLK, edge(16));
	fl.l_type = 77;
	C(SYS_fcntl, fd, F_SETLKW, &fl);
	fl = (struct flock){ .l_type = F_RDLCK };
	C(SYS_fcntl, fd, F_OFD_SETLK, &fl);
	C(SYS_fcntl, fd, F_GETFL);
	C(SYS_fcntl, fd, F_SETFL, O_APPEND);
	C(SYS_fcntl, fd, F_GETFD);
	C(SYS_fcntl, fd, F_SETOWN_EX, &own);
	C(SYS_fcntl, fd, F_GETOWN_EX, &own);
	C(SYS_fcntl, fd, F_GETOWN_EX, none);
	C(SYS_fcntl, fd, 9999, none);
	C(SYS_fcntl, -1, F_GETLK, none);
	C(SYS_fcntl, -1, 9999, none);
	C(SYS_fcntl, fd, F_DUPFD, -1);
	C(SYS_fcntl, fd, F_DUPFD, 1 << 20);
	C(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 300);
	C(SYS_fcntl, 300, F_GETFD);
	C(SYS_dup2, fd, 301);
	C(SYS_dup2, fd, -1);
	C(SYS_dup2, fd, 1 << 20);
	C(SYS_dup3, fd, 302, O_CLOEXEC);
	C(SYS_dup3, fd, fd, 0);
	C(SYS_dup3, fd, 303, 0x333);
	dup_fd = (int)OK(SYS_dup, fd);
	C(SYS_close_range, 300, -1, 0);
	C(SYS_fcntl, 302, F_GETFD);
	C(SYS_close_range, 5, 4, 0);
	C(SYS_close_range, 5000, 6000, 0);
	C(SYS_close_range, 5000, 6000, 77);
	C(SYS_close_range, dup_fd, dup_fd, 4);
	C(SYS_fcntl, dup_fd, F_GETFD);
	C(SYS_fallocate, fd, 0, 0L, 9000L);
	C(SYS_fadvise64, fd, 0L, 100L, 2);
	C(SYS_fsync, fd);
	C(SYS_fdatasync, -1);
	C(SYS_sync_file_range, fd, 0L, 0L, 2);
	C(SYS_readahead, fd, 0L, 100L);
	C(SYS_ftruncate, fd, 10L);
	close(fd);
}

static void memory_files(void)
{
	char buf[10];
	puts("-- memfd");
	C(SYS_memfd_create, none, 0);
	C(SYS_memfd_create, longname, 0);
	int fd = (int)OK(SYS_memfd_create, "m", 2 /* MFD_ALLOW_SEALING */);
	C(SYS_write, fd, "sealed", 6);
	C(SYS_fcntl, fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK);
	C(SYS_fcntl, fd, F_GET_SEALS);
	C(SYS_write, fd, "x", 1);
	C(SYS_write, fd, none, 1);
	C(SYS_ftruncate, fd, 0L);
	C(SYS_pread64, fd, buf, 10, 0L);
	close(fd);
}

static void limits(void)
{
	struct rlimit rl, old;
	int fds[40], n = 0;
	puts("-- descriptors' limit");
	getrlimit(RLIMIT_NOFILE, &old);
	rl = (struct rlimit){ 30, old.rlim_max };
	C(SYS_setrlimit, RLIMIT_NOFILE, &rl);
	while (n < 40 && (fds[n] = dup(0)) >= 0)
		n++;
	printf("  highest is 29: %d, %s\n", n && fds[n - 1] == 29, strerrorname_np(errno));
	C(SYS_open, ".", O_RDONLY);
	C(SYS_dup2, 0, 30);
	C(SYS_fcntl, 0, F_DUPFD, 30);
	C(SYS_pipe2, fds + 39, 0);
	while (n)
		close(fds[--n]);
	C(SYS_prlimit64, 0, RLIMIT_NOFILE, NULL, &rl);
	printf("  %ld\n", (long)rl.rlim_cur);
	setrlimit(RLIMIT_NOFILE, &old);
}

static void terminals(void)
{
	int m, s, v;
	struct winsize ws = { 25, 80, 0, 0 };
	struct termios t;
	puts("-- ioctl");
	if (openpty(&m, &s, NULL, NULL, NULL))
		return;
	C(SYS_ioctl, s, TIOCSWINSZ, &ws);
	C(SYS_ioctl, s, TIOCSWINSZ, none);
	C(SYS_ioctl, m, TIOCGWINSZ, &ws);
	C(SYS_ioctl, m, TIOCGWINSZ, none);
	C(SYS_ioctl, s, TCGETS, &t);
	C(SYS_ioctl, s, TCGETS, none);
	C(SYS_ioctl, s, TCGETS, edge(20));
	t.c_lflag &= ~(tcflag_t)ECHO;
	C(SYS_ioctl, s, TCSETS, &t);
	C(SYS_ioctl, s, TCSETS, none);
	C(SYS_ioctl, m, TIOCGPTN, &v);
	C(SYS_ioctl, m, TIOCGPTN, none);
	v = 0;
	C(SYS_ioctl, m, TIOCSPTLCK, &v);
	C(SYS_write, m, "typed\n", 6);
	C(SYS_poll, (&(struct pollfd){ s, POLLIN, 0 }), 1, -1);
	C(SYS_ioctl, s, FIONREAD, &v);
	printf("  %d\n", v);
	C(SYS_read, s, none, 10);
	C(SYS_ioctl, s, TCFLSH, 2);
	C(SYS_ioctl, s, 0xdead, none);
	C(SYS_ioctl, s, 0xdead, 0);
	C(SYS_ioctl, -1, TCGETS, none);
	C(SYS_ioctl, -1, 0xdead, none);
	v = 1;
	C(SYS_ioctl, s, FIONBIO, &v);
	C(SYS_read, s, good, 10);
	C(SYS_ioctl, s, FIOCLEX, 0);
	C(SYS_fcntl, s, F_GETFD);
	C(SYS_ioctl, open(".", O_RDONLY), TCGETS, &t);
	C(SYS_ioctl, open("fil", O_RDONLY), 2 /* FIGETBSZ */, none);
	close(m);
	close(s);
}

int main(void)
{
	transcript_begin();
	opens();
	stats();
	names();
	directories();
	attributes();
	locks();
	memory_files();
	limits();
	terminals();
	C(SYS_unlink, "fil");
	C(SYS_unlink, "c");
	C(SYS_rmdir, "d");
	return 0;
}
