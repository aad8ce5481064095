/* SPDX-License-Identifier: MIT */
/* sys_sweep.c - every pointer of every call on names, files and sockets, in every good and bad place (sweep.h) */
#include "sweep_world.h"

#include <linux/fiemap.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <net/if.h>
#include <sys/statfs.h>

#define CWD N(AT_FDCWD)
#define HEADER(iov, n) IN_((&(struct msghdr){ .msg_iovlen = (n) }), sizeof(struct msghdr), SUB(16, iov))

static void names(void)
{
	puts("-- names");
	CALL_FD(open, STR("file"), N(O_RDONLY));
	CALL_FD(open, STR("/proc/self/status"), N(O_RDONLY));
	CALL_FD(openat, CWD, STR("file"), N(O_RDONLY));
	CALL_FD(openat, N(-1), STR("file"), N(O_RDONLY));
	CALL_FD(creat, STR("new"), N(0600));
	CALL_FD(openat2, CWD, STR("file"), IN((&(struct open_how){ .flags = O_RDONLY }), sizeof(struct open_how)), N(sizeof(struct open_how)));
	CALL_FD(openat2, CWD, STR("file"), IN("\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 32), N(32));
	CALL(access, STR("file"), N(R_OK));
	CALL(faccessat, CWD, STR("file"), N(R_OK));
	CALL(faccessat2, CWD, STR("file"), N(R_OK), N(0));
	CALL(faccessat2, CWD, STR(""), N(F_OK), N(AT_EMPTY_PATH));
	CALL(chdir, STR("."));
	CALL(chroot, STR("file"));
	CALL(mkdir, STR("new"), N(0700));
	CALL(mkdirat, CWD, STR("new"), N(0700));
	CALL(rmdir, STR("file"));
	CALL(unlink, STR("dir"));
	CALL(unlinkat, CWD, STR("nothing"), N(0));
	CALL(unlinkat, CWD, STR("nothing"), N(0x777));
	CALL(rename, STR("nothing"), STR("new"));
	CALL(renameat, CWD, STR("nothing"), CWD, STR("new"));
	CALL(renameat2, CWD, STR("nothing"), CWD, STR("new"), N(1));
	CALL(renameat2, CWD, STR("nothing"), CWD, STR("new"), N(64));
	CALL(link, STR("file"), STR("new"));
	CALL(linkat, CWD, STR("file"), CWD, STR("new"), N(0));
	CALL(linkat, CWD, STR("file"), CWD, STR("new"), N(1));
	CALL(symlink, STR("target"), STR("new"));
	CALL(symlinkat, STR("target"), CWD, STR("new"));
	CALL(readlink, STR("link"), OUT(100), N(100));
	CALL(readlink, STR("link"), OUT(5), N(5));
	CALL(readlink, STR("file"), OUT(100), N(100));
	CALL(readlink, STR("/proc/self/exe"), OUTV(4), N(4));
	CALL(readlinkat, CWD, STR("link"), OUT(100), N(100));
	CALL(chmod, STR("file"), N(0600));
	CALL(fchmodat, CWD, STR("file"), N(0600));
	CALL(chown, STR("file"), N(-1), N(-1));
	CALL(lchown, STR("file"), N(-1), N(-1));
	CALL(fchownat, CWD, STR("file"), N(-1), N(-1), N(0));
	CALL(truncate, STR("file"), N(10));
	CALL(truncate, STR("file"), N(-1));
	CALL(mknod, STR("new"), N(S_IFIFO | 0600), N(0));
	CALL(mknodat, CWD, STR("new"), N(S_IFIFO | 0600), N(0));
	CALL(mknodat, CWD, STR("new"), N(S_IFLNK | 0600), N(0));
	CALL(utime, STR("file"), IN("\1\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0", 16));
	CALL(utimes, STR("file"), IN((&(struct timeval[2]){ { 5, 5 }, { 6, 6 } }), 32));
	CALL(utimes, STR("file"), IN((&(struct timeval[2]){ { 5, 5 }, { 6, 6000000 } }), 32));
	CALL(futimesat, CWD, STR("file"), IN((&(struct timeval[2]){ { 5, 5 }, { 6, 6 } }), 32));
	CALL(futimesat, N(fd), N(0), IN((&(struct timeval[2]){ { 5, 5 }, { 6, 6 } }), 32));
	CALL(utimensat, CWD, STR("file"), IN((&(struct timespec[2]){ { 5, 5 }, { 6, UTIME_OMIT } }), 32), N(0));
	CALL(utimensat, CWD, STR("nothing"), IN((&(struct timespec[2]){ { 0, UTIME_OMIT }, { 0, UTIME_OMIT } }), 32), N(0));
	CALL(utimensat, N(fd), N(0), IN((&(struct timespec[2]){ { 5, 5 }, { 6, 6 } }), 32), N(0));
	CALL(umount2, STR("nothing"), N(0));
	CALL(swapon, STR("nothing"), N(0));
	CALL(swapoff, STR("nothing"));
	CALL(acct, STR("nothing"));
	CALL(pivot_root, STR("file"), STR("file"));
	CALL(mount, STR("source"), STR("file"), STR("sf-no-such-fs"), N(0), STR("options"));
	CALL(delete_module, STR("sf_no_such"), N(0));
	CALL_FD(memfd_create, STR("name"), N(0));
	CALL_FD(memfd_create, STR("name"), N(0x8000));
	CALL_ANY(inotify_add_watch, N(ino), STR("file"), N(IN_OPEN));
	CALL_ANY(inotify_add_watch, N(fd), STR("file"), N(IN_OPEN));
	CALL(fanotify_mark, N(fd), N(1), N(1), CWD, STR("file"));
	CALL(quotactl, N(0x80000700), STR("nothing"), N(0), OUT(64));
	CALL_FD(open_tree, CWD, STR("nothing"), N(0));
	CALL(move_mount, CWD, STR("nothing"), CWD, STR("file"), N(0));
	CALL_FD(fsopen, STR("sf-no-such-fs"), N(0));
	CALL_FD(fspick, CWD, STR("nothing"), N(0));
}

static void attributes(void)
{
	puts("-- what files are");
	CALL(stat, STR("file"), OUTV(144));
	CALL(lstat, STR("link"), OUTV(144));
	CALL(fstat, N(fd), OUTV(144));
	CALL(newfstatat, CWD, STR("file"), OUTV(144), N(0));
	CALL(newfstatat, N(fd), STR(""), OUTV(144), N(AT_EMPTY_PATH));
	CALL(newfstatat, CWD, STR("file"), OUTV(144), N(0x77));
	CALL(statx, CWD, STR("file"), N(0), N(0x7ff), OUTV(256));
	CALL(statx, N(fd), STR(""), N(AT_EMPTY_PATH), N(0x7ff), OUTV(256));
	CALL(statx, CWD, STR("file"), N(0), N(0x80000000), OUTV(256));
	CALL(statfs, STR("file"), OUTV(120));
	CALL(fstatfs, N(fd), OUTV(120));
	CALL(ustat, N(0), OUTV(32));
	CALL_ANY(getcwd, OUTV(200), N(200));
	CALL_ANY(getcwd, OUTV(2), N(2));
	CALL_ANY(getdents, N(dirfd_), OUTV(200), N(200));
	CALL_ANY(getdents64, N(dirfd_), OUTV(200), N(200));
	CALL_ANY(getdents64, N(dirfd_), OUTV(8), N(8));
	CALL_ANY(getdents64, N(open("/proc/self/fd", O_RDONLY)), OUTV(2000), N(2000));
	CALL(setxattr, STR("file"), STR("user.a"), IN("value", 5), N(5), N(0));
	CALL(setxattr, STR("file"), STR("sf.a"), IN("value", 5), N(5), N(7));
	CALL(lsetxattr, STR("file"), STR("user.a"), IN("value", 5), N(5), N(0));
	CALL(fsetxattr, N(fd), STR("user.a"), IN("value", 5), N(5), N(0));
	CALL(getxattr, STR("file"), STR("user.b"), OUT(20), N(20));
	CALL(getxattr, STR("file"), STR("user.b"), OUT(3), N(3));
	CALL(lgetxattr, STR("file"), STR("user.b"), OUT(20), N(20));
	CALL(fgetxattr, N(fd), STR("user.b"), OUT(9), N(9));
	CALL_ANY(listxattr, STR("file"), OUT(200), N(200));
	CALL_ANY(llistxattr, STR("file"), OUT(200), N(200));
	CALL_ANY(flistxattr, N(fd), OUT(200), N(200));
	CALL(removexattr, STR("file"), STR("user.c"));
	CALL(lremovexattr, STR("file"), STR("user.c"));
	CALL(fremovexattr, N(fd), STR("user.c"));
	CALL(name_to_handle_at, CWD, STR("file"), IOV("\200\0\0\0", 136), OUTV(4), N(0));
	CALL(name_to_handle_at, CWD, STR("file"), IOV("\0\0\0\0", 8), OUTV(4), N(0));
	CALL(name_to_handle_at, CWD, STR("file"), IOV("\377\0\0\0", 8), OUTV(4), N(0));
	CALL_FD(open_by_handle_at, CWD, IN("\10\0\0\0\1\0\0\0abcdefgh", 16), N(0));
	CALL_FD(open_by_handle_at, CWD, IN("\0\0\0\0\1\0\0\0abcdefgh", 16), N(0));
}

static void transfers(void)
{
	long off = 3;
	puts("-- transfers");
	CALL(read, N(fd), OUT(20), N(20));
	CALL(read, N(fd), OUT(100), N(100));
	CALL(read, N(pfd[0]), OUT(4), N(4));
	CALL(read, N(pfd[0]), OUT(10), N(10));
	CALL(read, N(sv[1]), OUT(5), N(5));
	CALL(read, N(dg[1]), OUT(5), N(5));
	CALL(read, N(dirfd_), OUT(5), N(5));
	CALL(read, N(tfd), OUT(8), N(8));
	CALL(read, N(ino), OUTV(32), N(32));
	CALL(read, N(ino), OUTV(8), N(8));
	CALL(read, N(open("/dev/zero", O_RDONLY)), OUT(5000), N(5000));
	CALL(read, N(-1), OUT(5), N(5));
	CALL(write, N(fd), IN("0123456789", 10), N(10));
	CALL(write, N(pfd[1]), IN("0123456789", 10), N(10));
	CALL(write, N(sv[0]), IN("0123456789", 10), N(10));
	CALL(write, N(dg[0]), IN("0123456789", 10), N(10));
	CALL(write, N(pfd[0]), IN("0123456789", 10), N(10));
	CALL(write, N(tfd), IN("0123456789", 10), N(10));
	CALL(pread64, N(fd), OUT(20), N(20), N(7));
	CALL(pread64, N(fd), OUT(20), N(20), N(-7));
	CALL(pread64, N(pfd[0]), OUT(4), N(4), N(0));
	CALL(pwrite64, N(fd), IN("0123456789", 10), N(10), N(45));
	CALL(readv, N(fd), IN((&(struct iovec[2]){ { 0, 6 }, { 0, 8 } }), 32, SUB(0, OUT_(6)) SUB(16, OUT_(8))), N(2));
	CALL(readv, N(pfd[0]), IN((&(struct iovec[2]){ { 0, 2 }, { 0, 8 } }), 32, SUB(0, OUT_(2)) SUB(16, OUT_(8))), N(2));
	CALL(readv, N(dg[1]), IN((&(struct iovec[2]){ { 0, 2 }, { 0, 8 } }), 32, SUB(0, OUT_(2)) SUB(16, OUT_(8))), N(2));
	CALL(writev, N(fd), IN((&(struct iovec[2]){ { 0, 6 }, { 0, 8 } }), 32, SUB(0, IN_("abcdef", 6)) SUB(16, IN_("ghijklmn", 8))), N(2));
	CALL(writev, N(pfd[1]), IN((&(struct iovec[2]){ { 0, 6 }, { 0, 8 } }), 32, SUB(0, IN_("abcdef", 6)) SUB(16, IN_("ghijklmn", 8))), N(2));
	CALL(writev, N(sv[0]), IN((&(struct iovec[2]){ { 0, 6 }, { 0, 8 } }), 32, SUB(0, IN_("abcdef", 6)) SUB(16, IN_("ghijklmn", 8))), N(2));
	CALL(writev, N(dg[0]), IN((&(struct iovec[2]){ { 0, 6 }, { 0, 8 } }), 32, SUB(0, IN_("abcdef", 6)) SUB(16, IN_("ghijklmn", 8))), N(2));
	CALL(preadv, N(fd), IN((&(struct iovec[1]){ { 0, 6 } }), 16, SUB(0, OUT_(6))), N(1), N(4), N(0));
	CALL(pwritev, N(fd), IN((&(struct iovec[1]){ { 0, 6 } }), 16, SUB(0, IN_("abcdef", 6))), N(1), N(4), N(0));
	CALL(preadv2, N(fd), IN((&(struct iovec[1]){ { 0, 6 } }), 16, SUB(0, OUT_(6))), N(1), N(-1), N(-1), N(0));
	CALL(preadv2, N(fd), IN((&(struct iovec[1]){ { 0, 6 } }), 16, SUB(0, OUT_(6))), N(1), N(0), N(0), N(0x800));
	CALL(pwritev2, N(fd), IN((&(struct iovec[1]){ { 0, 6 } }), 16, SUB(0, IN_("abcdef", 6))), N(1), N(-1), N(-1), N(0x10));
	CALL(vmsplice, N(pfull[1]), IN((&(struct iovec[1]){ { 0, 6 } }), 16, SUB(0, IN_("abcdef", 6))), N(1), N(2));
	CALL(vmsplice, N(pfd[0]), IN((&(struct iovec[1]){ { 0, 6 } }), 16, SUB(0, OUT_(6))), N(1), N(2));
	CALL(vmsplice, N(fd), IN((&(struct iovec[1]){ { 0, 6 } }), 16, SUB(0, OUT_(6))), N(1), N(2));
	CALL(sendfile, N(pfull[1]), N(fd), IO(&off, 8), N(9));
	CALL(splice, N(fd), IO(&off, 8), N(pfull[1]), N(0), N(9), N(0));
	CALL(splice, N(pfd[0]), N(0), N(fd), IO(&off, 8), N(4), N(0));
	CALL(splice, N(pfd[0]), IO(&off, 8), N(fd), IO(&off, 8), N(4), N(0));
	CALL(copy_file_range, N(fd), IO(&off, 8), N(fd), IO((&(long){ 40 }), 8), N(9), N(0));
	CALL(copy_file_range, N(fd), IO(&off, 8), N(pfd[1]), IO((&(long){ 40 }), 8), N(9), N(0));
	CALL(getrandom, OUTV(16), N(16), N(0));
	CALL(getrandom, OUTV(1000), N(1000), N(0));
	CALL(getrandom, OUTV(16), N(16), N(0x70));
	CALL(pipe, OUT(8));
	CALL(pipe2, OUT(8), N(O_CLOEXEC));
	CALL(pipe2, OUT(8), N(0x77777777));
	CALL(process_vm_readv, N(getpid()), IN((&(struct iovec[1]){ { 0, 6 } }), 16, SUB(0, OUT_(6))), N(1),
	     IN((&(struct iovec[1]){ { 0, 6 } }), 16, SUB(0, IN_("abcdef", 6))), N(1), N(0));
	CALL(process_vm_writev, N(getpid()), IN((&(struct iovec[1]){ { 0, 6 } }), 16, SUB(0, IN_("abcdef", 6))), N(1),
	     IN((&(struct iovec[1]){ { 0, 6 } }), 16, SUB(0, OUT_(6))), N(1), N(0));
}

static void controls(void)
{
	static struct flock fl = { F_WRLCK, SEEK_SET, 0, 4, 0 };
	int flags = 0; /* as they are: ext4 takes time over some changes */
	ioctl(fd, FS_IOC_GETFLAGS, &flags);
	puts("-- fcntl and ioctl");
	NAMED("GETLK", fcntl, N(fd), N(F_GETLK), IO(&fl, sizeof fl));
	NAMED("SETLK", fcntl, N(fd), N(F_SETLK), IN(&fl, sizeof fl));
	NAMED("SETLKW", fcntl, N(fd), N(F_SETLKW), IN(&fl, sizeof fl));
	NAMED("OFD_GETLK", fcntl, N(fd), N(F_OFD_GETLK), IOV(&fl, sizeof fl));
	NAMED("OFD_SETLK", fcntl, N(fd), N(F_OFD_SETLK), IN(&fl, sizeof fl));
	NAMED("SETLK of no file", fcntl, N(-1), N(F_SETLK), IN(&fl, sizeof fl));
	NAMED("SETOWN_EX", fcntl, N(sv[0]), N(F_SETOWN_EX), IN((&(int[2]){ 1, 0 }), 8));
	NAMED("GETOWN_EX", fcntl, N(sv[0]), N(F_GETOWN_EX), OUT(8));
	NAMED("GETOWNER_UIDS", fcntl, N(sv[0]), N(17), OUT(8));
	NAMED("GET_RW_HINT", fcntl, N(fd), N(F_GET_RW_HINT), OUT(8));
	NAMED("SET_RW_HINT", fcntl, N(fd), N(F_SET_RW_HINT), IN((&(long){ 2 }), 8));
	NAMED("FIONREAD pipe", ioctl, N(pfd[0]), N(FIONREAD), OUT(4));
	NAMED("FIONREAD socket", ioctl, N(sv[1]), N(FIONREAD), OUT(4));
	NAMED("FIONREAD file", ioctl, N(fd), N(FIONREAD), OUT(4));
	NAMED("FIONBIO", ioctl, N(pfd[0]), N(FIONBIO), IN((&(int){ 1 }), 4));
	NAMED("FIOASYNC", ioctl, N(pfd[0]), N(FIOASYNC), IN((&(int){ 0 }), 4));
	NAMED("FIOQSIZE", ioctl, N(fd), N(0x5460), OUT(8));
	NAMED("TCGETS of a file", ioctl, N(fd), N(0x5401), OUT(36));
	NAMED("SIOCOUTQ", ioctl, N(sv[0]), N(0x5411), OUT(4));
	NAMED("SIOCATMARK", ioctl, N(sv[0]), N(0x8905), OUT(4));
	NAMED("FIOSETOWN", ioctl, N(sv[0]), N(0x8901), IN((&(int){ 0 }), 4));
	NAMED("FIOGETOWN", ioctl, N(sv[0]), N(0x8903), OUT(4));
	NAMED("FS_IOC_GETFLAGS", ioctl, N(fd), N(FS_IOC_GETFLAGS), OUT(4));
	NAMED("FS_IOC_SETFLAGS", ioctl, N(fd), N(FS_IOC_SETFLAGS), IN(&flags, 4));
	NAMED("FS_IOC_FSGETXATTR", ioctl, N(fd), N(FS_IOC_FSGETXATTR), OUT(28));
	NAMED("FIGETBSZ", ioctl, N(fd), N(FIGETBSZ), OUT(4));
	NAMED("FS_IOC_FIEMAP", ioctl, N(fd), N(FS_IOC_FIEMAP), IOV((&(struct fiemap){ .fm_length = -1ull, .fm_extent_count = 1 }), sizeof(struct fiemap) + 56));
	NAMED("FIDEDUPERANGE", ioctl, N(fd), N(FIDEDUPERANGE), IO(((long[7]){ 0, 4, 1, fd, 8 }), 56));
	NAMED("FICLONERANGE", ioctl, N(fd), N(FICLONERANGE), IN(((long[4]){ fd, 0, 4, 8 }), 32));
	NAMED("FITRIM of a file", ioctl, N(fd), N(FITRIM), IO(((long[3]){ 0 }), 24));
	NAMED("BLKGETSIZE64 of a file", ioctl, N(fd), N(0x80081272), OUT(8));
	NAMED("RNDGETENTCNT", ioctl, N(open("/dev/urandom", O_RDONLY)), N(0x80045200), OUTV(4));
	int in = socket(AF_INET, SOCK_DGRAM, 0);
	NAMED("SIOCGIFCONF", ioctl, N(in), N(0x8912), IO(((long[2]){ 80, 0 }), 16, SUB(8, OUTV_(80))));
	NAMED("SIOCGIFINDEX", ioctl, N(in), N(0x8933), IO("lo", 40));
	NAMED("SIOCGIFNAME", ioctl, N(in), N(0x8910), IO(((int[10]){ 0, 0, 0, 0, 1 }), 40));
	NAMED("SIOCGIFADDR", ioctl, N(in), N(0x8915), IO("lo", 40));
	NAMED("SIOCGIFFLAGS of none", ioctl, N(in), N(0x8913), IO("sfnone", 40));
	int tty = open("/dev/ptmx", O_RDWR | O_NOCTTY);
	if (tty >= 0) {
		NAMED("TIOCGPTN", ioctl, N(tty), N(0x80045430), OUTV(4));
		NAMED("TIOCSPTLCK", ioctl, N(tty), N(0x40045431), IN((&(int){ 0 }), 4));
		NAMED("TCGETS", ioctl, N(tty), N(0x5401), OUT(36));
		NAMED("TCGETS2", ioctl, N(tty), N(0x802c542a), OUT(44));
		NAMED("TCSETS", ioctl, N(tty), N(0x5402), IN("\0\5\0\0\5", 36));
		NAMED("TIOCGWINSZ", ioctl, N(tty), N(0x5413), OUT(8));
		NAMED("TIOCSWINSZ", ioctl, N(tty), N(0x5414), IN("\1\0\2\0\3\0\4", 8));
		NAMED("TIOCGPGRP", ioctl, N(tty), N(0x540f), OUT(4));
		NAMED("TIOCSPGRP", ioctl, N(tty), N(0x5410), IN((&(int){ 1 }), 4));
		NAMED("TIOCPKT", ioctl, N(tty), N(0x5420), IN((&(int){ 0 }), 4));
		NAMED("TIOCOUTQ", ioctl, N(tty), N(0x5411), OUT(4));
		NAMED("TIOCGETD", ioctl, N(tty), N(0x5424), OUT(4));
	}
}

static void sockets(void)
{
	struct sockaddr_un un = { AF_UNIX, "nobody" };
	int room = 20, small = 3, one_ = 1, s = socket(AF_INET, SOCK_STREAM, 0);
	puts("-- sockets");
	CALL(socketpair, N(AF_UNIX), N(SOCK_STREAM), N(0), OUT(8));
	CALL(socketpair, N(AF_UNIX), N(77), N(0), OUT(8));
	CALL(bind, N(sv[0]), IN(&un, 20), N(20));
	CALL(bind, N(fd), IN(&un, 20), N(20));
	CALL(bind, N(sv[0]), IN(&un, 20), N(-1));
	CALL(bind, N(sv[0]), IN(&un, 20), N(300));
	CALL(connect, N(socket(AF_UNIX, SOCK_STREAM, 0)), IN(&un, 20), N(20));
	CALL(connect, N(fd), IN(&un, 20), N(20));
	CALL(connect, N(-1), IN(&un, 20), N(200));
	CALL_FD(accept, N(lst), OUT(20), IO(&room, 4));
	CALL_FD(accept, N(lst), OUT(3), IO(&small, 4));
	CALL_FD(accept, N(lst), OUT(20), IO((&(int){ -1 }), 4));
	CALL_FD(accept4, N(lst), OUT(20), IO(&room, 4), N(SOCK_CLOEXEC));
	CALL_FD(accept4, N(lst), OUT(20), IO(&room, 4), N(0x1234567));
	CALL_FD(accept, N(sv[0]), OUT(20), IO(&room, 4));
	CALL_FD(accept, N(fd), OUT(20), IO(&room, 4));
	CALL(getsockname, N(lst), OUT(20), IO(&room, 4));
	CALL(getsockname, N(lst), OUT(3), IO(&small, 4));
	CALL(getsockname, N(lst), OUT(20), IO((&(int){ -1 }), 4));
	CALL(getsockname, N(fd), OUT(20), IO(&room, 4));
	CALL(getpeername, N(sv[0]), OUT(20), IO(&room, 4));
	CALL(getpeername, N(lst), OUT(20), IO(&room, 4));
	CALL(sendto, N(dg[0]), IN("0123456789", 10), N(10), N(0), N(0), N(0));
	CALL(sendto, N(dg[0]), IN("0123456789", 10), N(10), N(0), IN(&un, 20), N(20));
	CALL(sendto, N(sv[0]), IN("0123456789", 10), N(10), N(0), IN(&un, 20), N(20));
	CALL(sendto, N(fd), IN("0123456789", 10), N(10), N(0), IN(&un, 20), N(20));
	CALL(recvfrom, N(dg[1]), OUT(5), N(5), N(MSG_DONTWAIT), OUT(20), IO(&room, 4));
	CALL(recvfrom, N(dg[1]), OUT(2), N(2), N(MSG_DONTWAIT | MSG_TRUNC), N(0), N(0));
	CALL(recvfrom, N(dg[1]), OUT(5), N(5), N(MSG_PEEK), N(0), N(0));
	CALL(recvfrom, N(sv[1]), OUT(9), N(9), N(MSG_DONTWAIT), N(0), N(0));
	CALL(recvfrom, N(fd), OUT(5), N(5), N(0), OUT(20), IO(&room, 4));
	puts("-- messages");
	CALL(sendmsg, N(dg[0]), { 0, &(const struct ptr)HEADER(IN_((&(struct iovec){ 0, 6 }), 16, SUB(0, IN_("abcdef", 6))), 1) }, N(0));
	CALL(sendmsg, N(sv[0]), { 0, &(const struct ptr)HEADER(IN_(((struct iovec[2]){ { 0, 6 }, { 0, 3 } }), 32, SUB(0, IN_("abcdef", 6)) SUB(16, IN_("ghi", 3))), 2) }, N(0));
	CALL(sendmsg, N(dg[0]), IN((&(struct msghdr){ .msg_namelen = 20, .msg_iovlen = 1 }), 56, SUB(0, IN_(&un, 20)) SUB(16, IN_((&(struct iovec){ 0, 6 }), 16, SUB(0, IN_("abcdef", 6))))), N(0));
	struct { struct cmsghdr h; int fd; } rights = { { CMSG_LEN(4), SOL_SOCKET, SCM_RIGHTS }, 1 };
	CALL(sendmsg, N(dg[0]), IN((&(struct msghdr){ .msg_controllen = sizeof rights, .msg_iovlen = 1 }), 56, SUB(32, IN_(&rights, sizeof rights)) SUB(16, IN_((&(struct iovec){ 0, 6 }), 16, SUB(0, IN_("abcdef", 6))))), N(0));
	CALL(sendmsg, N(fd), { 0, &(const struct ptr)HEADER(IN_((&(struct iovec){ 0, 6 }), 16, SUB(0, IN_("abcdef", 6))), 1) }, N(0));
	CALL(recvmsg, N(dg[1]), IO((&(struct msghdr){ .msg_namelen = 20, .msg_iovlen = 2 }), 56, SUB(0, OUT_(20)) SUB(16, IN_(&((struct iovec[2]){ { 0, 2 }, { 0, 8 } }), 32, SUB(0, OUT_(2)) SUB(16, OUT_(8))))), N(MSG_DONTWAIT));
	CALL(recvmsg, N(sv[1]), IO((&(struct msghdr){ .msg_iovlen = 2 }), 56, SUB(16, IN_(&((struct iovec[2]){ { 0, 2 }, { 0, 8 } }), 32, SUB(0, OUT_(2)) SUB(16, OUT_(8))))), N(MSG_DONTWAIT));
	CALL(recvmsg, N(fd), IO((&(struct msghdr){ .msg_iovlen = 1 }), 56, SUB(16, IN_(&((struct iovec[1]){ { 0, 2 } }), 16, SUB(0, OUT_(2))))), N(MSG_DONTWAIT));
	CALL(recvmsg, N(pfd[0]), IO((&(struct msghdr){ .msg_iovlen = 2000 }), 56, SUB(16, IN_(&((struct iovec[1]){ { 0, 2 } }), 16, SUB(0, OUT_(2))))), N(MSG_DONTWAIT));
	want_rights = true;
	CALL(recvmsg, N(dg[1]), IO((&(struct msghdr){ .msg_controllen = 40, .msg_iovlen = 1 }), 56, SUB(32, OUT_(40)) SUB(16, IN_(&((struct iovec[1]){ { 0, 8 } }), 16, SUB(0, OUT_(8))))), N(MSG_DONTWAIT));
	CALL(recvmsg, N(dg[1]), IO((&(struct msghdr){ .msg_controllen = 10, .msg_iovlen = 1 }), 56, SUB(32, OUT_(10)) SUB(16, IN_(&((struct iovec[1]){ { 0, 8 } }), 16, SUB(0, OUT_(8))))), N(MSG_DONTWAIT));
	want_rights = false;
	CALL(sendmmsg, N(dg[0]), IO(((long[16]){ [3] = 1, [11] = 1 }), 128, SUB(16, IN_((&(struct iovec){ 0, 6 }), 16, SUB(0, IN_("abcdef", 6)))) SUB(80, IN_((&(struct iovec){ 0, 4 }), 16, SUB(0, IN_("ghij", 4))))), N(2), N(0));
	CALL(recvmmsg, N(dg[1]), IO(((long[16]){ [3] = 1, [11] = 1 }), 128, SUB(16, IN_((&(struct iovec){ 0, 6 }), 16, SUB(0, OUT_(6)))) SUB(80, IN_((&(struct iovec){ 0, 4 }), 16, SUB(0, OUT_(4))))), N(2), N(MSG_DONTWAIT), N(0));
	CALL(recvmmsg, N(dg[1]), IO(((long[8]){ [3] = 1 }), 64, SUB(16, IN_((&(struct iovec){ 0, 6 }), 16, SUB(0, OUT_(6))))), N(1), N(MSG_DONTWAIT), IOV((&(struct timespec){ 5, 0 }), 16));
	CALL(recvmmsg, N(dg[1]), IO(((long[8]){ [3] = 1 }), 64, SUB(16, IN_((&(struct iovec){ 0, 6 }), 16, SUB(0, OUT_(6))))), N(1), N(MSG_DONTWAIT), IOV((&(struct timespec){ 5, 1000000000 }), 16));
	CALL(recvmmsg, N(fd), IO(((long[8]){ [3] = 1 }), 64, SUB(16, IN_((&(struct iovec){ 0, 6 }), 16, SUB(0, OUT_(6))))), N(1), N(MSG_DONTWAIT), IOV((&(struct timespec){ 5, 0 }), 16));
	puts("-- options");
	CALL(setsockopt, N(sv[0]), N(SOL_SOCKET), N(SO_SNDBUF), IN((&(int){ 20000 }), 4), N(4));
	CALL(setsockopt, N(sv[0]), N(SOL_SOCKET), N(SO_SNDBUF), IN((&(int){ 20000 }), 3), N(3));
	CALL(setsockopt, N(sv[0]), N(SOL_SOCKET), N(SO_LINGER), IN((&(int[2]){ 0, 5 }), 8), N(8));
	CALL(setsockopt, N(sv[0]), N(SOL_SOCKET), N(SO_RCVTIMEO), IN((&(long[2]){ 0, 0 }), 16), N(16));
	CALL(setsockopt, N(sv[0]), N(SOL_SOCKET), N(9999), IN(&one_, 4), N(4));
	CALL(setsockopt, N(fd), N(SOL_SOCKET), N(SO_SNDBUF), IN(&one_, 4), N(4));
	CALL(setsockopt, N(s), N(6), N(1), IN(&one_, 4), N(4));
	CALL(setsockopt, N(s), N(6), N(13 /* congestion control */), IN("sf-no-such", 11), N(11));
	CALL(setsockopt, N(s), N(0), N(2 /* TTL */), IN("\5", 1), N(1));
	CALL(setsockopt, N(s), N(0), N(4 /* options */), IN("\1\1\1\1", 4), N(4));
	CALL(setsockopt, N(s), N(SOL_SOCKET), N(25 /* device */), IN("sfnone", 7), N(7));
	CALL(setsockopt, N(sv[0]), N(SOL_SOCKET), N(26 /* filter */), IN(((long[2]){ 1, 0 }), 16, SUB(8, IN_("\6\0\0\0\377\377\0\0", 8))), N(16));
	CALL(getsockopt, N(sv[0]), N(SOL_SOCKET), N(SO_TYPE), OUT(4), IO((&(int){ 4 }), 4));
	CALL(getsockopt, N(sv[0]), N(SOL_SOCKET), N(SO_TYPE), OUT(2), IO((&(int){ 2 }), 4));
	CALL(getsockopt, N(sv[0]), N(SOL_SOCKET), N(SO_LINGER), OUT(8), IO((&(int){ 8 }), 4));
	CALL(getsockopt, N(sv[0]), N(SOL_SOCKET), N(SO_PEERCRED), OUTV(12), IO((&(int){ 12 }), 4));
	CALL(getsockopt, N(sv[0]), N(SOL_SOCKET), N(SO_PEERGROUPS), OUTV(400), IOV((&(int){ 400 }), 4));
	CALL(getsockopt, N(sv[0]), N(SOL_SOCKET), N(SO_TYPE), OUT(4), IO((&(int){ -4 }), 4));
	CALL(getsockopt, N(sv[0]), N(SOL_SOCKET), N(9999), OUT(4), IO((&(int){ 4 }), 4));
	CALL(getsockopt, N(fd), N(SOL_SOCKET), N(SO_TYPE), OUT(4), IO((&(int){ 4 }), 4));
	CALL(getsockopt, N(s), N(6), N(11 /* info */), OUTV(104), IO((&(int){ 104 }), 4));
	CALL(getsockopt, N(s), N(6), N(13), OUTV(16), IOV((&(int){ 16 }), 4));
	CALL(getsockopt, N(s), N(0), N(1 /* TOS */), OUT(4), IO((&(int){ 4 }), 4));
	CALL(getsockopt, N(s), N(0), N(1 /* TOS */), OUT(1), IO((&(int){ 1 }), 4));
}

int main(void)
{
	world_begin();
	names();
	attributes();
	transfers();
	controls();
	sockets();
	world_end();
	return 0;
}
