/* SPDX-License-Identifier: MIT */
/* probe.c - what this machine offers, found by trying it on scratch memory
 *
 * Version numbers and feature lists lie: sandboxes filter calls, distributions backport them.  So each thing is done once,
 * and its effect looked at.  Whether program memory can be touched is asked of the host without any signal handler: uname() into a
 * page is refused with -EFAULT where a touch would have been a fault. */
#include "port/host/host_priv.h"

#define O_CLOEXEC_ 02000000
#define O_RDWR_    2
#define O_NONBLOCK_ 04000
#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif
#ifndef USERFAULTFD_IOC_NEW
#define USERFAULTFD_IOC_NEW _IO(0xAA, 0x00)
#endif

/* ---------------------------------------------------------------- scratch memory */

static vaddr_t scratch_map(unsigned pages, int prot)
{
	int64_t r = host_call6(__NR_mmap, 0, pages * PAGE_SIZE, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return r > 0 ? (vaddr_t)r : 0;
}

static void scratch_unmap(vaddr_t va, unsigned pages)
{
	if (va)
		host_call2(__NR_munmap, va, pages * PAGE_SIZE);
}

static bool host_can_write(vaddr_t va)
{
	return host_call1(__NR_uname, va) == 0;
}

uint64_t host_read_number(const char *path, uint64_t otherwise)
{
	char buf[32];
	int64_t fd = host_call4(__NR_openat, -100, path, O_CLOEXEC_, 0), got;
	uint64_t val = 0;

	if (fd < 0)
		return otherwise;
	got = host_call3(__NR_read, fd, buf, sizeof(buf));
	host_call1(__NR_close, fd);
	if (got <= 0 || buf[0] < '0' || buf[0] > '9')
		return otherwise;
	for (int64_t i = 0; i < got && buf[i] >= '0' && buf[i] <= '9'; i++)
		val = val * 10 + (uint64_t)(buf[i] - '0');
	return val;
}

/* ---------------------------------------------------------------- userfaultfd */

/* The system call, without USER_MODE_ONLY for kernels before 5.11, then the device for those who may open it. */
static int uffd_get(bool *ret_user_only)
{
	int64_t fd = host_call1(__NR_userfaultfd, O_CLOEXEC_ | UFFD_USER_MODE_ONLY), dev, err;

	*ret_user_only = true;
	if (fd != -EINVAL && fd != -EPERM && fd != -ENOSYS)
		return (int)fd;
	err = fd;
	*ret_user_only = false;
	if (fd == -EINVAL && (fd = host_call1(__NR_userfaultfd, O_CLOEXEC_)) >= 0)
		return (int)fd;
	dev = host_call4(__NR_openat, -100, "/dev/userfaultfd", O_RDWR_ | O_CLOEXEC_, 0);
	if (dev < 0)
		return (int)err;
	fd = host_call3(__NR_ioctl, dev, USERFAULTFD_IOC_NEW, O_CLOEXEC_);
	host_call1(__NR_close, dev);
	return (int)fd;
}

/* Agree on features; a kernel that does not know one refuses them all and may be asked again. */
static int uffd_agree(int fd, uint64_t want, uint64_t *ret_features)
{
	struct uffdio_api api = { .api = UFFD_API, .features = want };
	int r = (int)host_call3(__NR_ioctl, fd, UFFDIO_API, &api);

	if (!r)
		*ret_features = api.features;
	return r;
}

static int uffd_set_up(int fd, uint64_t needed, struct uffd_open *ret)
{
	int r = uffd_agree(fd, needed | UFFD_FEATURE_MOVE, &ret->features);

	if (r)
		r = uffd_agree(fd, needed, &ret->features);
	if (r) {
		host_call1(__NR_close, fd);
		return r;
	}
	ret->fd = fd;
	return 0;
}

int uffd_try_open(struct uffd_open *ret)
{
	int fd = uffd_get(&ret->user_only);

	return fd < 0 ? fd : uffd_set_up(fd, UFFD_NEEDED, ret);
}

/* The system call for those who have CAP_SYS_PTRACE (or where everybody may), else the device. */
int uffd_try_open_touch(struct uffd_open *ret)
{
	int64_t fd = host_call1(__NR_userfaultfd, O_CLOEXEC_ | O_NONBLOCK_), dev, err = fd;

	ret->user_only = false;
	if (fd < 0) {
		dev = host_call4(__NR_openat, -100, "/dev/userfaultfd", O_RDWR_ | O_CLOEXEC_, 0);
		if (dev < 0)
			return (int)err;
		fd = host_call3(__NR_ioctl, dev, USERFAULTFD_IOC_NEW, O_CLOEXEC_ | O_NONBLOCK_);
		host_call1(__NR_close, dev);
	}
	return fd < 0 ? (int)fd : uffd_set_up((int)fd, UFFD_FEATURE_PAGEFAULT_FLAG_WP, ret);
}

static int uffd_copy_page(int fd, vaddr_t dst, vaddr_t src, uint64_t mode)
{
	struct uffdio_copy c = { .dst = dst, .src = src, .len = PAGE_SIZE, .mode = mode };

	return (int)host_call3(__NR_ioctl, fd, UFFDIO_COPY, &c);
}

/* s: four pages, registered, absent; zeros: one page.  0: missing pages and write-protection do what they should. */
static int uffd_try_pages(int fd, vaddr_t s, vaddr_t zeros)
{
	struct uffdio_writeprotect w = { .range = { s, PAGE_SIZE }, .mode = 0 };
	int r;

	if (host_can_write(s))
		return -EOPNOTSUPP;
	r = uffd_copy_page(fd, s, zeros, UFFDIO_COPY_MODE_WP);
	if (r)
		return r;
	if (host_can_write(s))
		return -EOPNOTSUPP;
	r = (int)host_call3(__NR_ioctl, fd, UFFDIO_WRITEPROTECT, &w);
	if (r)
		return r;
	return host_can_write(s) ? 0 : -EOPNOTSUPP;
}

static bool uffd_try_move(int fd, vaddr_t s)
{
	struct uffdio_move m = { .dst = s + 2 * PAGE_SIZE, .src = s, .len = PAGE_SIZE, .mode = 0 };

	return !host_call3(__NR_ioctl, fd, UFFDIO_MOVE, &m) && !host_can_write(s) && host_can_write(m.dst);
}

static int uffd_try(int fd, bool *ret_move)
{
	vaddr_t s = scratch_map(4, PROT_READ | PROT_WRITE), zeros = scratch_map(1, PROT_READ);
	struct uffdio_register reg = {
		.range = { s, 4 * PAGE_SIZE },
		.mode = UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_WP,
	};
	int r = s && zeros ? (int)host_call3(__NR_ioctl, fd, UFFDIO_REGISTER, &reg) : -ENOMEM;

	if (!r)
		r = uffd_try_pages(fd, s, zeros);
	if (!r)
		*ret_move = uffd_try_move(fd, s);
	scratch_unmap(s, 4);
	scratch_unmap(zeros, 1);
	return r;
}

static void probe_uffd(struct host_probe *p)
{
	struct uffd_open u;
	int r = uffd_try_open(&u);

	if (!r) {
		p->uffd_user_only = u.user_only;
		p->uffd_features = u.features;
		r = uffd_try(u.fd, &p->uffd_move);
		host_call1(__NR_close, u.fd);
	}
	p->uffd = !r;
	p->uffd_errno = -r;
}

/* ---------------------------------------------------------------- /proc/self/mem and madvise */

static int proc_mem_try(int fd)
{
	vaddr_t s = scratch_map(1, PROT_NONE);
	char mark = 42, back = 0;
	int64_t r = -ENOMEM;

	if (s)
		r = host_call4(__NR_pwrite64, fd, &mark, 1, s);
	if (r == 1)
		r = host_call4(__NR_pread64, fd, &back, 1, s);
	scratch_unmap(s, 1);
	if (r != 1)
		return r < 0 ? (int)r : -EIO;
	return back == mark ? 0 : -EIO;
}

int host_proc_dir = -1;

int proc_mem_try_open(void)
{
	int64_t fd = host_call4(__NR_openat, -100, "/proc/self/mem", O_RDWR_ | O_CLOEXEC_, 0);
	int r;

	if (fd == -2 /* ENOENT */ && host_proc_dir >= 0)
		fd = host_call4(__NR_openat, host_proc_dir, "self/mem", O_RDWR_ | O_CLOEXEC_, 0);
	if (fd < 0)
		return (int)fd;
	r = proc_mem_try((int)fd);
	if (r)
		host_call1(__NR_close, fd);
	return r ? r : (int)fd;
}

static void probe_proc_mem(struct host_probe *p)
{
	int fd = proc_mem_try_open();

	p->proc_mem = fd >= 0;
	p->proc_mem_errno = fd < 0 ? -fd : 0;
	if (fd >= 0)
		host_call1(__NR_close, fd);
}

static void probe_populate(struct host_probe *p)
{
	vaddr_t s = scratch_map(2, PROT_READ | PROT_WRITE);

	p->madv_populate = s && !host_call3(__NR_madvise, s, 2 * PAGE_SIZE, MADV_POPULATE_WRITE);
	scratch_unmap(s, 2);
}

/* Two pages apart, dropped by one call, must both read as zero. */
static void probe_process_madvise(struct host_probe *p)
{
	vaddr_t s = scratch_map(3, PROT_READ | PROT_WRITE);
	struct { uint64_t base, len; } iov[2] = { { s, PAGE_SIZE }, { s + 2 * PAGE_SIZE, PAGE_SIZE } };
	int64_t r;
	volatile char *b = (volatile char *)s;

	if (s) {
		b[0] = b[2 * PAGE_SIZE] = 1;
		r = host_call5(__NR_process_madvise, PIDFD_SELF, iov, 2, MADV_DONTNEED, 0);
		p->process_madvise = r == (int64_t)(2 * PAGE_SIZE) && !b[0] && !b[2 * PAGE_SIZE];
	}
	scratch_unmap(s, 3);
}

void host_probe(struct host_probe *ret)
{
	*ret = (struct host_probe){ 0 };
	probe_uffd(ret);
	probe_proc_mem(ret);
	probe_populate(ret);
	probe_process_madvise(ret);
	ret->max_map_count = host_read_number("/proc/sys/vm/max_map_count", 0);
}
