/* SPDX-License-Identifier: MIT */
/* sys_names.c - files by name and by descriptor: what opens, what is refused in which order, locks, leases, seals, watches, pipes' sizes */
#include "transcript.h"

#include <dirent.h>
#include <linux/openat2.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>

static char deep[PG + 300], longname[300];

static int file(const char *name, const char *text)
{
	int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0644);
	(void)!write(fd, text, strlen(text));
	lseek(fd, 0, SEEK_SET);
	return fd;
}

static void flags_of(int fd)
{
	printf("  flags %o, on exec %d\n", fcntl(fd, F_GETFL), fcntl(fd, F_GETFD));
}

static void opening(void)
{
	struct open_how how = { .flags = O_RDONLY };
	int fd, dir = open(".", O_RDONLY | O_DIRECTORY);
	puts("-- opening");
	close(file("file", "some text"));
	(void)!symlink("file", "link");
	(void)!symlink("loop2", "loop1");
	(void)!symlink("loop1", "loop2");
	(void)!symlink("absent", "dangling");
	mkdir("dir", 0755);
	OK(SYS_open, "file", O_RDONLY | O_DIRECTORY);
	OK(SYS_open, "dir", O_RDWR);
	OK(SYS_open, "dir", O_RDONLY | O_CREAT, 0644);
	OK(SYS_open, "file", O_RDONLY | O_CREAT | O_EXCL, 0644);
	OK(SYS_open, "dangling", O_RDWR | O_CREAT | O_EXCL, 0644);
	OK(SYS_open, "link", O_RDONLY | O_NOFOLLOW);
	OK(SYS_open, "loop1", O_RDONLY);
	OK(SYS_open, longname, O_RDONLY);
	OK(SYS_open, deep, O_RDONLY);
	OK(SYS_open, "", O_RDONLY);
	OK(SYS_open, "file/", O_RDONLY);
	OK(SYS_open, "file/x", O_RDONLY);
	OK(SYS_open, "file", O_RDONLY | O_TRUNC | 3);
	OK(SYS_open, ".", O_RDWR | O_TMPFILE, 0600);
	OK(SYS_open, ".", O_RDONLY | O_TMPFILE, 0600);
	OK(SYS_open, "file", O_RDWR | O_TMPFILE, 0600);
	OK(SYS_openat, dir, "file", O_RDONLY);
	OK(SYS_openat, 999, "file", O_RDONLY);
	OK(SYS_openat, 999, "/dev/null", O_RDONLY);
	fd = open("file", O_RDONLY);
	OK(SYS_openat, fd, "file", O_RDONLY);
	OK(SYS_openat, fd, "", O_RDONLY);
	close(fd);
	fd = open("link", O_PATH | O_NOFOLLOW);
	flags_of(fd);
	C(SYS_read, fd, good, 1);
	C(SYS_write, fd, good, 1);
	C(SYS_fchmod, fd, 0600);
	C(SYS_fchown, fd, -1, -1);
	C(SYS_ioctl, fd, 0x541b, good);
	C(SYS_fsync, fd);
	C(SYS_ftruncate, fd, 1);
	C(SYS_fchdir, fd);
	C(SYS_lseek, fd, 0, SEEK_CUR);
	C(SYS_fgetxattr, fd, "user.a", good, 10);
	C(SYS_mmap, NULL, PG, PROT_READ, MAP_PRIVATE, fd, 0);
	C(SYS_readlinkat, fd, "", good, 100);
	OK(SYS_dup, fd);
	close(fd);
	fd = open("file", O_RDWR | O_APPEND | O_SYNC | O_NONBLOCK | O_CLOEXEC | O_NOATIME);
	flags_of(fd);
	C(SYS_fcntl, fd, F_SETFL, O_RDWR);
	flags_of(fd);
	C(SYS_fcntl, fd, F_SETFL, O_DIRECT);
	close(fd);
	C(SYS_openat2, AT_FDCWD, "file", &how, 8);
	C(SYS_openat2, AT_FDCWD, "file", &how, 0);
	how.mode = 0600;
	C(SYS_openat2, AT_FDCWD, "file", &how, sizeof how);
	how = (struct open_how){ .flags = 1ull << 40 };
	C(SYS_openat2, AT_FDCWD, "file", &how, sizeof how);
	how = (struct open_how){ .resolve = 0x1000 };
	C(SYS_openat2, AT_FDCWD, "file", &how, sizeof how);
	how = (struct open_how){ .resolve = RESOLVE_NO_SYMLINKS };
	OK(SYS_openat2, AT_FDCWD, "link", &how, sizeof how);
	how = (struct open_how){ .resolve = RESOLVE_BENEATH };
	OK(SYS_openat2, AT_FDCWD, "../x", &how, sizeof how);
	OK(SYS_openat2, AT_FDCWD, "/dev/null", &how, sizeof how);
	how = (struct open_how){ .resolve = RESOLVE_IN_ROOT };
	OK(SYS_openat2, dir, "/file", &how, sizeof how);
	how = (struct open_how){ .resolve = RESOLVE_NO_MAGICLINKS };
	OK(SYS_openat2, AT_FDCWD, "/proc/self/exe", &how, sizeof how);
	OK(SYS_openat2, AT_FDCWD, "/proc/self/fd/0", &how, sizeof how);
	how = (struct open_how){ .resolve = RESOLVE_NO_XDEV };
	OK(SYS_openat2, AT_FDCWD, "/proc/version", &how, sizeof how);
	how = (struct open_how){ .resolve = RESOLVE_NO_SYMLINKS };
	OK(SYS_openat2, AT_FDCWD, "/proc/self/status", &how, sizeof how);
	how = (struct open_how){ .flags = O_RDONLY };
	OK(SYS_openat2, AT_FDCWD, "/proc/self/status", &how, sizeof how);
	close(dir);
}

static void naming(void)
{
	struct stat st;
	puts("-- names");
	C(SYS_mkdir, "dir", 0755);
	C(SYS_mkdir, "file/x", 0755);
	C(SYS_mkdir, "no/x", 0755);
	C(SYS_mkdir, longname, 0755);
	C(SYS_mkdir, deep, 0755);
	C(SYS_mkdir, "loop1/x", 0755);
	C(SYS_rmdir, "dir/.");
	C(SYS_rmdir, "dir/..");
	C(SYS_rmdir, "file");
	C(SYS_rmdir, "/");
	C(SYS_unlink, "dir");
	C(SYS_unlink, "file/");
	C(SYS_unlinkat, AT_FDCWD, "file", AT_REMOVEDIR);
	C(SYS_unlinkat, AT_FDCWD, "dir", 0);
	C(SYS_unlinkat, AT_FDCWD, "dir", 77);
	C(SYS_unlinkat, 99, "dir", 0);
	C(SYS_link, "dir", "x");
	C(SYS_link, "file", "dir");
	C(SYS_link, "absent", "x");
	C(SYS_link, "file", "/proc/x");
	C(SYS_linkat, AT_FDCWD, "link", AT_FDCWD, "hard", AT_SYMLINK_FOLLOW);
	C(SYS_stat, "hard", &st);
	printf("  %lu links\n", (unsigned long)st.st_nlink);
	int fd = open("hard", O_RDONLY);
	C(SYS_linkat, fd, "", AT_FDCWD, "hard2", AT_EMPTY_PATH);
	char name[40];
	snprintf(name, sizeof name, "/proc/self/fd/%d", open(".", O_RDWR | O_TMPFILE, 0600));
	C(SYS_linkat, AT_FDCWD, name, AT_FDCWD, "made", AT_SYMLINK_FOLLOW);
	C(SYS_rename, "dir", "dir/in");
	C(SYS_rename, "file", "dir");
	C(SYS_rename, "dir", "file");
	C(SYS_rename, "absent", "x");
	C(SYS_rename, "file", "/proc/x");
	C(SYS_rename, "dir/.", "x");
	C(SYS_rename, "hard", "file");
	C(SYS_renameat2, AT_FDCWD, "file", AT_FDCWD, "dir", 2 /* exchange */);
	C(SYS_renameat2, AT_FDCWD, "file", AT_FDCWD, "dir", 2);
	C(SYS_renameat2, AT_FDCWD, "file", AT_FDCWD, "dir", 1);
	C(SYS_renameat2, AT_FDCWD, "file", AT_FDCWD, "dir", 3);
	C(SYS_symlink, "x", "file");
	C(SYS_symlink, "", "x");
	C(SYS_symlink, deep, "x");
	C(SYS_readlink, "link", good, 0);
	C(SYS_readlink, "link", good, -1);
	C(SYS_readlink, "link", good, 2);
	C(SYS_readlink, "file", good, 20);
	C(SYS_readlink, "", good, 20);
	C(SYS_readlink, "file/x", good, 20);
	C(SYS_readlink, "loop1/x", good, 20);
	C(SYS_readlinkat, 99, "link", good, 20);
	C(SYS_readlinkat, fd, "link", good, 20);
	C(SYS_mknod, "node", S_IFREG | 0644, 0);
	C(SYS_mknod, "node", S_IFREG | 0644, 0);
	C(SYS_mknod, "node2", S_IFDIR | 0644, 0);
	C(SYS_mknod, "fifo", S_IFIFO | 0644, 0);
	C(SYS_mknod, "sock", S_IFSOCK | 0644, 0);
	OK(SYS_open, "sock", O_RDWR);
	OK(SYS_open, "fifo", O_WRONLY | O_NONBLOCK);
	OK(SYS_open, "fifo", O_RDONLY | O_NONBLOCK);
	C(SYS_chdir, "file");
	C(SYS_chdir, longname);
	C(SYS_chdir, "loop1");
	C(SYS_fchdir, fd);
	C(SYS_fchdir, 99);
	C(SYS_access, "file", 8);
	C(SYS_access, "file/x", 0);
	C(SYS_faccessat2, AT_FDCWD, "dangling", 0, AT_SYMLINK_NOFOLLOW);
	C(SYS_faccessat2, AT_FDCWD, "dangling", 0, 0);
	C(SYS_faccessat2, fd, "", R_OK, AT_EMPTY_PATH);
	C(SYS_faccessat2, fd, "", R_OK, 0x55);
	C(SYS_chmod, "absent", 0);
	C(SYS_chmod, "file/x", 0);
	C(SYS_fchmodat, 99, "file", 0600);
	C(SYS_fchmod, 99, 0600);
	C(452L, AT_FDCWD, "link", 0600, AT_SYMLINK_NOFOLLOW);
	C(452L, AT_FDCWD, "file", 0600, 7);
	C(SYS_fchownat, AT_FDCWD, "file", -1, -1, 7);
	C(SYS_fchownat, fd, "", -1, -1, AT_EMPTY_PATH);
	C(SYS_umask, 027);
	C(SYS_umask, 022);
	C(SYS_truncate, "dir", 0);
	C(SYS_truncate, "absent", 0);
	C(SYS_truncate, "file/x", 0);
	C(SYS_ftruncate, fd, 5);
	C(SYS_ftruncate, 99, 5);
	C(SYS_getcwd, good, 0);
	C(SYS_getcwd, good, 1);
	C(SYS_getdents64, fd, good, 1000);
	C(SYS_getdents64, 99, good, 1000);
	int d = open("dir", O_RDONLY);
	C(SYS_getdents64, d, good, 1);
	C(SYS_getdents, d, good, 1);
	close(d);
	mkdir("gone", 0755);
	d = open("gone", O_RDONLY);
	rmdir("gone");
	C(SYS_getdents64, d, good, 1000);
	C(SYS_openat, d, "x", O_CREAT | O_RDWR, 0600);
	close(d);
	close(fd);
}

static void times(void)
{
	struct timespec ts[2] = { { 5, 1000000000 }, { 6, 0 } }, set[2] = { { 5, 7 }, { 6, UTIME_OMIT } }, now[2] = { { 0, UTIME_NOW }, { 0, UTIME_NOW } };
	struct stat st;
	int fd = open("made", O_RDONLY);
	puts("-- times");
	C(SYS_utimensat, AT_FDCWD, "made", ts, 0);
	C(SYS_utimensat, AT_FDCWD, "made", set, 0);
	C(SYS_utimensat, AT_FDCWD, "made", set, 7);
	C(SYS_utimensat, AT_FDCWD, NULL, set, 0);
	C(SYS_utimensat, fd, NULL, set, AT_SYMLINK_NOFOLLOW);
	C(SYS_utimensat, 99, NULL, set, 0);
	C(SYS_utimensat, fd, "", set, AT_EMPTY_PATH);
	C(SYS_utimensat, AT_FDCWD, "dangling", set, AT_SYMLINK_NOFOLLOW);
	C(SYS_utimensat, AT_FDCWD, "dangling", set, 0);
	C(SYS_utimensat, AT_FDCWD, "made", now, 0);
	C(SYS_utimensat, AT_FDCWD, "made", NULL, 0);
	C(SYS_utimensat, AT_FDCWD, "made", set, 0);
	stat("made", &st);
	printf("  %ld.%ld\n", st.st_atim.tv_sec, st.st_atim.tv_nsec);
	C(SYS_utime, "absent", NULL);
	C(SYS_utimes, "", NULL);
	C(SYS_statx, AT_FDCWD, "made", 0x6000, 0x7ff, good);
	C(SYS_statx, AT_FDCWD, "made", 0, 0x80000000u, good);
	C(SYS_statx, AT_FDCWD, "", 0, 0x7ff, good);
	C(SYS_statx, 99, "made", 0, 0x7ff, good);
	C(SYS_statx, fd, NULL, AT_EMPTY_PATH, 0x7ff, good);
	C(SYS_newfstatat, fd, NULL, good, AT_EMPTY_PATH);
	C(SYS_newfstatat, AT_FDCWD, "", good, AT_EMPTY_PATH);
	C(SYS_newfstatat, 99, "/dev/null", good, 0);
	C(SYS_fstatfs, 99, good);
	C(SYS_ustat, 0xffffffff, good);
	C(SYS_fsync, 99);
	C(SYS_fdatasync, fd);
	C(SYS_syncfs, fd);
	C(SYS_syncfs, 99);
	C(SYS_sync_file_range, fd, 0L, 10L, 7);
	C(SYS_sync_file_range, fd, -1L, 10L, 7);
	C(SYS_sync_file_range, fd, 0L, 10L, 99);
	C(SYS_readahead, fd, 0L, 100L);
	C(SYS_readahead, 99, 0L, 100L);
	C(SYS_fadvise64, fd, 0L, 100L, 4);
	C(SYS_fadvise64, fd, 0L, 100L, 99);
	C(SYS_fadvise64, fd, 0L, -1L, 4);
	C(SYS_fallocate, fd, 0, 0L, 100L);
	close(fd);
	fd = open("made", O_RDWR);
	C(SYS_fallocate, fd, 0, -1L, 100L);
	C(SYS_fallocate, fd, 0, 0L, 0L);
	C(SYS_fallocate, fd, 2, 0L, 10L);
	C(SYS_fallocate, fd, 3, 0L, 10L);
	C(SYS_fallocate, fd, 0, 0L, 8192L);
	C(SYS_fallocate, fd, 1, 0L, 1L << 20);
	C(SYS_fallocate, fd, 0, 1L, INT64_MAX);
	C(SYS_lseek, fd, 0L, SEEK_END);
	C(SYS_lseek, fd, -1L, SEEK_SET);
	C(SYS_lseek, fd, 0L, 99);
	C(SYS_lseek, fd, 1L << 20, SEEK_DATA);
	C(SYS_lseek, fd, 1L << 20, SEEK_HOLE);
	C(SYS_lseek, fd, INT64_MAX, SEEK_CUR);
	struct rlimit old, small = { 4096, RLIM_INFINITY };
	getrlimit(RLIMIT_FSIZE, &old);
	small.rlim_max = old.rlim_max;
	signal(SIGXFSZ, SIG_IGN);
	setrlimit(RLIMIT_FSIZE, &small);
	C(SYS_pwrite64, fd, good, 100, 4090L);
	C(SYS_pwrite64, fd, good, 100, 4096L);
	C(SYS_ftruncate, fd, 10000L);
	C(SYS_fallocate, fd, 0, 0L, 10000L);
	C(SYS_truncate, "made", 5000L);
	setrlimit(RLIMIT_FSIZE, &old);
	close(fd);
}

static void locks(void)
{
	struct flock fl = { F_WRLCK, SEEK_SET, 0, 10, 0 }, rd = { F_RDLCK, SEEK_SET, 0, 0, 0 }, bad = { 99, SEEK_SET, 0, 10, 0 };
	int fd = open("made", O_RDWR), ro_fd = open("made", O_RDONLY), wo = open("made", O_WRONLY);
	puts("-- locks");
	C(SYS_fcntl, fd, F_SETLK, &bad);
	bad = (struct flock){ F_WRLCK, 99, 0, 10, 0 };
	C(SYS_fcntl, fd, F_SETLK, &bad);
	bad = (struct flock){ F_WRLCK, SEEK_SET, -5, 10, 0 };
	C(SYS_fcntl, fd, F_SETLK, &bad);
	C(SYS_fcntl, ro_fd, F_SETLK, &fl);
	C(SYS_fcntl, wo, F_SETLK, &rd);
	C(SYS_fcntl, fd, F_SETLK, &fl);
	fl.l_pid = 5;
	C(SYS_fcntl, fd, F_OFD_SETLK, &fl);
	fl.l_pid = 0;
	C(SYS_fcntl, fd, F_OFD_SETLK, &fl);
	pid_t pid = fork();
	if (!pid) {
		pid_t parent = getppid();
		C(SYS_fcntl, fd, F_GETLK, &fl);
		printf("  held by the parent: %d\n", fl.l_pid == parent);
		fl = (struct flock){ F_WRLCK, SEEK_SET, 0, 10, 0 };
		C(SYS_fcntl, fd, F_SETLK, &fl);
		C(SYS_flock, wo, LOCK_EX | LOCK_NB);
		fflush(stdout);
		_exit(0);
	}
	waitpid(pid, NULL, 0);
	C(SYS_flock, fd, LOCK_SH | LOCK_NB);
	C(SYS_flock, wo, LOCK_EX | LOCK_NB);
	C(SYS_flock, fd, 99);
	C(SYS_flock, 99, LOCK_SH);
	C(SYS_flock, fd, LOCK_UN);
	close(fd), close(wo), close(ro_fd);
	puts("-- leases");
	fd = open("made", O_RDONLY);
	C(SYS_fcntl, fd, F_SETLEASE, F_RDLCK);
	C(SYS_fcntl, fd, F_GETLEASE);
	C(SYS_fcntl, fd, F_SETLEASE, 99);
	signal(SIGIO, SIG_IGN);
	OK(SYS_open, "made", O_WRONLY | O_NONBLOCK);
	C(SYS_fcntl, fd, F_SETLEASE, F_UNLCK);
	C(SYS_fcntl, fd, F_SETLEASE, F_WRLCK);
	C(SYS_fcntl, fd, F_GETLEASE);
	close(fd);
	puts("-- numbers");
	C(SYS_fcntl, 99, F_GETFD);
	C(SYS_fcntl, 0, 9999);
	C(SYS_fcntl, 0, F_DUPFD, -1);
	C(SYS_fcntl, 0, F_DUPFD, 1 << 30);
	C(SYS_fcntl, 99, F_DUPFD, 1 << 30);
	C(SYS_fcntl, 0, F_DUPFD, 700);
	C(SYS_fcntl, 0, F_DUPFD_CLOEXEC, 700);
	C(SYS_fcntl, 701, F_GETFD);
	C(SYS_fcntl, 700, 1027 /* F_DUPFD_QUERY */, 701);
	C(SYS_fcntl, 0, F_SETSIG, 99);
	C(SYS_fcntl, 0, F_SETSIG, SIGUSR1);
	C(SYS_fcntl, 0, F_GETSIG);
	C(SYS_fcntl, 0, F_SETOWN, getpid());
	C(SYS_fcntl, 0, F_SETOWN, 1 << 28);
	C(SYS_dup2, 700, 700);
	C(SYS_dup2, 99, 99);
	C(SYS_dup2, 99, 700);
	C(SYS_dup2, 700, -1);
	C(SYS_dup3, 700, 700, 0);
	C(SYS_dup3, 700, 702, 7);
	C(SYS_dup3, 700, 702, O_CLOEXEC);
	C(SYS_close_range, 702, 701, 0);
	C(SYS_close_range, 700, ~0u, 8);
	C(SYS_close_range, 700, ~0u, 4 /* CLOEXEC */);
	C(SYS_fcntl, 700, F_GETFD);
	C(SYS_close_range, 700, ~0u, 0);
	C(SYS_close_range, 700, ~0u, 2 /* UNSHARE */);
	C(SYS_fcntl, 700, F_GETFD);
	C(SYS_close, 700);
	struct rlimit old, small;
	getrlimit(RLIMIT_NOFILE, &old);
	small = old;
	small.rlim_cur = 20;
	setrlimit(RLIMIT_NOFILE, &small);
	C(SYS_dup2, 0, 20);
	C(SYS_dup2, 0, 19);
	C(SYS_fcntl, 0, F_DUPFD, 20);
	C(SYS_fcntl, 0, F_DUPFD, 19);
	while (dup(0) >= 0)
		;
	OK(SYS_open, "made", O_RDONLY);
	C(SYS_pipe, good);
	C(SYS_eventfd2, 0, 0);
	C(SYS_epoll_create1, 0);
	C(SYS_socket, 1, 1, 0);
	C(SYS_socketpair, 1, 1, 0, good);
	C(SYS_memfd_create, "x", 0);
	C(SYS_timerfd_create, 1, 0);
	C(SYS_inotify_init1, 0);
	C(SYS_pidfd_open, getpid(), 0);
	close_range(3, 19, 0);
	setrlimit(RLIMIT_NOFILE, &old);
}

static void seals(void)
{
	int fd = (int)syscall(SYS_memfd_create, "m", 2u /* ALLOW_SEALING */), plain = (int)syscall(SYS_memfd_create, "p", 0u);
	puts("-- memory files");
	C(SYS_memfd_create, deep, 0);
	C(SYS_memfd_create, longname, 0);
	C(SYS_memfd_create, "x", 0x100);
	C(SYS_fcntl, plain, F_GET_SEALS);
	C(SYS_fcntl, plain, F_ADD_SEALS, F_SEAL_GROW);
	C(SYS_fcntl, fd, F_GET_SEALS);
	C(SYS_fcntl, 0, F_GET_SEALS);
	C(SYS_fcntl, fd, F_ADD_SEALS, 0x1000);
	C(SYS_ftruncate, fd, 8192L);
	char *m = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	m[0] = 'x';
	C(SYS_fcntl, fd, F_ADD_SEALS, F_SEAL_WRITE);
	munmap(m, 8192);
	m = mmap(NULL, 8192, PROT_READ, MAP_SHARED, fd, 0);
	C(SYS_fcntl, fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE);
	C(SYS_mprotect, m, 8192, PROT_READ | PROT_WRITE);
	C(SYS_fcntl, fd, F_ADD_SEALS, F_SEAL_WRITE);
	munmap(m, 8192);
	C(SYS_fcntl, fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW);
	C(SYS_fcntl, fd, F_GET_SEALS);
	C(SYS_write, fd, "x", 1);
	C(SYS_pwrite64, fd, "x", 1, 0L);
	C(SYS_ftruncate, fd, 4096L);
	C(SYS_ftruncate, fd, 16384L);
	C(SYS_fallocate, fd, 3, 0L, 4096L);
	C(SYS_mmap, NULL, PG, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	OK(SYS_mmap, NULL, PG, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	m = (char *)OK(SYS_mmap, NULL, PG, PROT_READ, MAP_SHARED, fd, 0);
	C(SYS_mprotect, m, PG, PROT_READ | PROT_WRITE);
	C(SYS_fcntl, fd, F_ADD_SEALS, F_SEAL_SEAL);
	C(SYS_fcntl, fd, F_ADD_SEALS, F_SEAL_GROW);
	int again = open("/dev/null", O_RDONLY), exec = (int)syscall(SYS_memfd_create, "e", 8u /* NOEXEC_SEAL */);
	struct stat st;
	fstat(exec, &st);
	printf("  mode %o\n", st.st_mode & 07777);
	C(SYS_fchmod, exec, 0777);
	C(SYS_fcntl, exec, F_GET_SEALS);
	close(again), close(fd), close(plain), close(exec);
}

static void events_of(int in)
{
	char buf[4096] __attribute__((aligned(8)));
	long n = read(in, buf, sizeof buf);
	printf("  events:");
	for (long at = 0; at < n;) {
		const struct inotify_event *e = (const struct inotify_event *)(buf + at);
		printf(" %x%s%s", e->mask, e->len ? ":" : "", e->len ? e->name : "");
		at += (long)sizeof *e + e->len;
	}
	puts("");
}

static void watches(void)
{
	int in = inotify_init1(IN_NONBLOCK), fd, status;
	puts("-- watches");
	mkdir("watched", 0755);
	close(file("watched/f", "text of a file"));
	C(SYS_inotify_init1, 7);
	C(SYS_inotify_add_watch, in, "absent", IN_ALL_EVENTS);
	C(SYS_inotify_add_watch, in, "watched", 0);
	C(SYS_inotify_add_watch, 0, "watched", IN_OPEN);
	C(SYS_inotify_add_watch, in, "file", IN_ONLYDIR | IN_OPEN);
	C(SYS_inotify_add_watch, in, "watched", IN_ALL_EVENTS);
	C(SYS_inotify_add_watch, in, "watched", IN_MASK_CREATE | IN_OPEN);
	C(SYS_inotify_rm_watch, in, 99);
	C(SYS_read, in, good, 4);
	fd = open("watched/f", O_RDWR);
	(void)!read(fd, good, 4);
	(void)!write(fd, "x", 1);
	char *m = mmap(NULL, PG, PROT_READ, MAP_PRIVATE, fd, 0), *s = mmap(NULL, PG, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	events_of(in);
	printf("  %c %c\n", m[1], s[1]);
	s[2] = 'y';
	munmap(m, PG), munmap(s, PG);
	(void)!read(in, good, PG); /* what reads a page in is an access here */
	chmod("watched/f", 0755);
	rename("watched/f", "watched/g");
	(void)!truncate("watched/g", 3);
	close(open("watched/new", O_CREAT | O_WRONLY, 0600));
	unlink("watched/new");
	events_of(in);
	fd = open("watched/sh", O_CREAT | O_WRONLY, 0755);
	int from = open("/bin/true", O_RDONLY);
	while (sendfile(fd, from, NULL, 1 << 20) > 0)
		;
	close(fd), close(from);
	(void)!read(in, good, PG);
	pid_t pid = fork();
	if (!pid) {
		execl("watched/sh", "sh", NULL);
		_exit(9);
	}
	waitpid(pid, &status, 0);
	printf("  ran: %d\n", status);
	unlink("watched/sh"), unlink("watched/g");
	rmdir("watched");
	close(in);
}

static void pipe_sizes(void)
{
	int p[2], q[2];
	puts("-- pipes");
	(void)!pipe2(p, O_NONBLOCK);
	(void)!pipe2(q, O_NONBLOCK);
	C(SYS_fcntl, p[0], F_GETPIPE_SZ);
	C(SYS_fcntl, p[0], F_SETPIPE_SZ, 1);
	C(SYS_fcntl, p[0], F_SETPIPE_SZ, 5000);
	C(SYS_fcntl, p[0], F_SETPIPE_SZ, 1u << 31);
	C(SYS_fcntl, 0, F_GETPIPE_SZ);
	(void)!write(p[1], good, 6000);
	C(SYS_fcntl, p[0], F_SETPIPE_SZ, 4096);
	C(SYS_tee, p[0], q[1], 100, 0);
	C(SYS_tee, p[0], p[1], 100, 0);
	C(SYS_tee, p[0], 0, 100, 0);
	C(SYS_tee, p[0], q[1], 0, 0);
	C(SYS_tee, q[0], p[1], 10, 99);
	C(SYS_splice, p[0], NULL, q[1], NULL, 50, 0);
	C(SYS_splice, p[0], NULL, p[1], NULL, 50, 0);
	C(SYS_splice, p[1], NULL, q[1], NULL, 50, 0);
	int fd = open("made", O_RDWR), ap = open("made", O_RDWR | O_APPEND);
	C(SYS_splice, p[0], NULL, ap, NULL, 50, 0);
	C(SYS_splice, fd, NULL, ap, NULL, 50, 0);
	C(SYS_splice, 99, NULL, ap, NULL, 50, 0);
	C(SYS_sendfile, ap, fd, NULL, 50);
	C(SYS_sendfile, fd, p[0], NULL, 50);
	C(SYS_sendfile, p[1], p[0], NULL, 50);
	C(SYS_copy_file_range, fd, NULL, ap, NULL, 50, 0);
	C(SYS_copy_file_range, fd, NULL, fd, NULL, 50, 0);
	C(SYS_copy_file_range, fd, NULL, fd, NULL, 50, 1);
	C(SYS_copy_file_range, p[0], NULL, fd, NULL, 50, 0);
	C(SYS_preadv2, fd, &(struct iovec){ good, 10 }, 1, 0L, 0L, 0x10 /* APPEND */);
	C(SYS_pwritev2, fd, &(struct iovec){ good, 10 }, 1, 0L, 0L, 2 /* DSYNC */);
	C(SYS_preadv2, q[0], &(struct iovec){ good, 1000 }, 1, -1L, -1L, 8 /* NOWAIT */);
	C(SYS_preadv2, q[0], &(struct iovec){ good, 1000 }, 1, -1L, -1L, 8);
	C(SYS_preadv, q[0], &(struct iovec){ good, 1000 }, 1, 0L, 0L);
	C(SYS_pwritev2, q[1], &(struct iovec){ good, 1000 }, 1, 0L, 0L, 0);
	close(fd), close(ap);
	close(p[0]);
	signal(SIGPIPE, SIG_IGN);
	C(SYS_splice, q[0], NULL, p[1], NULL, 50, 0);
	C(SYS_tee, q[0], p[1], 50, 0);
	close(q[0]), close(q[1]), close(p[1]);
}

int main(void)
{
	memset(deep, 'd', sizeof deep - 1);
	memset(longname, 'l', sizeof longname - 1);
	transcript_begin();
	opening();
	naming();
	times();
	locks();
	seals();
	watches();
	pipe_sizes();
	fflush(stdout);
	(void)!system("rm -rf *");
	return 0;
}
