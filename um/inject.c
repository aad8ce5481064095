/* SPDX-License-Identifier: MIT */
/* inject.c - the k-th host call fails, so that a test can see what comes of it
 *
 * Every call of the kernel's goes through host_table, the program's own system calls among them; only those that may sleep (um_window)
 * do not.  The count lies in the shared area: it goes on over execve and the command can tell how many there were. */
#include "um/um.h"

/* An error that Linux is known to give for this call, or 0 if it cannot fail when its arguments are good. */
static int likely_error(long nr)
{
	switch (nr) {
	case __NR_mmap: case __NR_munmap: case __NR_mprotect: case __NR_mremap: case __NR_madvise: case __NR_process_madvise:
	case __NR_ioctl: case __NR_clone: case __NR_memfd_create: case __NR_seccomp:
		return -ENOMEM;
	case __NR_read: case __NR_write: case __NR_pread64: case __NR_pwrite64: case __NR_readv: case __NR_writev: case __NR_msync:
	case __NR_fstat: case __NR_newfstatat: case __NR_statx: case __NR_fallocate: case __NR_ftruncate: case __NR_lseek:
		return -EIO;
	case __NR_openat: case __NR_fcntl: case __NR_userfaultfd: case __NR_pidfd_open:
		return -EMFILE;
	case __NR_gettid: case __NR_getpid: case __NR_getppid: case __NR_getuid: case __NR_geteuid: case __NR_getgid: case __NR_getegid:
	case __NR_sched_yield: case __NR_exit: case __NR_exit_group: case __NR_clock_gettime: case __NR_futex: case __NR_close:
	case __NR_rt_sigaction: case __NR_rt_sigprocmask: case __NR_sigaltstack: case __NR_tgkill: case __NR_uname:
	case __NR_prlimit64: case __NR_umask: case __NR_getrusage:
		return 0;
	default:
		return -EPERM;
	}
}

static int64_t counted_call(long nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f)
{
	const struct um_inject *in = &um.shm->cfg.inject;
	uint64_t n = __atomic_add_fetch(&um.shm->host_calls, 1, __ATOMIC_RELAXED);
	int err = n == in->call ? in->call_err ? in->call_err : likely_error(nr) : 0;

	if (!err)
		return host_syscall_raw(nr, a, b, c, d, e, f);
	if (um.verbose)
		um_log("host call %lu, number %ld, fails with error %d on purpose", n, nr, -err);
	return err;
}

void um_inject_calls(void)
{
	if (um.shm->cfg.inject.armed)
		host_table.call = counted_call;
}

/* top with the faults that are asked for; 0 or -errno. */
int um_inject_store(struct store **top)
{
	const struct um_inject *in = &um.shm->cfg.inject;
	struct store_inject_config cfg = { .read = in->read, .write = in->write, .below = *top };

	return *top && (in->read.every || in->write.every) ? store_inject_create(&cfg, um.port, top) : 0;
}
