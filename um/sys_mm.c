/* SPDX-License-Identifier: MIT */
/* sys_mm.c - the calls that shape memory: from the program's arguments to the core's
 *
 * None of these reaches the host as it is.  A file to be mapped becomes a struct sf_file on a descriptor of ours, so the program may close its own. */
#include "um/syscall.h"

#include <linux/mman.h>

#define O_ACCMODE 3
#define O_RDWR 2
#define PROT_EXEC_BIT 4u
#define MINCORE_PAGES 2048u /* answered at once */

/* ---------------------------------------------------------------- mmap */

static int64_t map_file(struct thread *t, vaddr_t addr, uint64_t len, unsigned prot, unsigned flags, uint64_t off)
{
	int err = 0;
	int32_t fd = (int32_t)fd_arg(t->arg[4]);
	int64_t mode = host_call2(__NR_fcntl, fd, 3 /* F_GETFL */);
	if (mode < 0)
		return mode;
	if (!len)
		return -EINVAL;
	struct sf_file *f = um_file_from_fd(fd, &err);
	if (!f)
		return err;
	int64_t r = do_mmap(um.mm, addr, len, prot, flags, f, (mode & O_ACCMODE) == O_RDWR ? PT_R | PT_W : PT_R, off);
	if (r >= 0 && (prot & PROT_EXEC_BIT) && f->path)
		um_note_map((vaddr_t)r, (vaddr_t)r + PAGE_ALIGN(len), off >> PAGE_SHIFT, f->path);
	file_put(f);
	return r;
}

/* Shared with whoever will be forked, so it is a file without a name.  MAP_FIXED is judged with the rest by do_mmap. */
static int64_t map_shared_anon(struct thread *t, unsigned prot, unsigned flags)
{
	uint64_t len = PAGE_ALIGN(t->arg[1]);
	int err = 0;
	if (!len || len > TASK_SIZE)
		return t->arg[1] ? -ENOMEM : -EINVAL;
	int64_t fd = host_call2(__NR_memfd_create, HC_A("softfault-shared"), 1 /* MFD_CLOEXEC */);
	if (fd < 0)
		return fd;
	struct sf_file *f = host_call2(__NR_ftruncate, fd, len) ? NULL : um_file_from_fd((int)fd, &err);
	host_call1(__NR_close, fd);
	if (!f)
		return err ? err : -ENOMEM;
	um_file_rename(f, "/dev/zero (deleted)");
	int64_t r = do_mmap(um.mm, t->arg[0], t->arg[1], prot, flags & ~(unsigned)MAP_ANONYMOUS, f, PT_R | PT_W, 0);
	file_put(f);
	return r;
}

int64_t sys_mmap(struct thread *t)
{
	unsigned prot = (unsigned)t->arg[2], flags = (unsigned)t->arg[3];
	uint64_t off = t->arg[5];
	if (off & ~PAGE_MASK)
		return -EINVAL;
	if (flags & MAP_ANONYMOUS && (flags & MAP_TYPE) == MAP_SHARED && !(flags & (MAP_HUGETLB | MAP_GROWSDOWN)))
		return map_shared_anon(t, prot, flags);
	if (flags & MAP_ANONYMOUS)
		return do_mmap(um.mm, t->arg[0], t->arg[1], prot, flags, NULL, 0, off);
	return map_file(t, t->arg[0], t->arg[1], prot, flags, off);
}

int64_t sys_munmap(struct thread *t) { return do_munmap(um.mm, t->arg[0], t->arg[1]); }
int64_t sys_brk(struct thread *t) { return do_brk(um.mm, t->arg[0]); }
int64_t sys_mprotect(struct thread *t) { return do_mprotect(um.mm, t->arg[0], t->arg[1], (unsigned)t->arg[2]); }
int64_t sys_msync(struct thread *t) { return do_msync(um.mm, t->arg[0], t->arg[1], (int)t->arg[2]); }
int64_t sys_madvise(struct thread *t) { return do_madvise(um.mm, &t->task, t->arg[0], t->arg[1], (int)t->arg[2]); }

int64_t sys_mseal(struct thread *t) { return t->arg[2] ? -EINVAL : do_mseal(um.mm, t->arg[0], t->arg[1]); }

int64_t sys_mremap(struct thread *t)
{
	return do_mremap(um.mm, t->arg[0], t->arg[1], t->arg[2], (unsigned)t->arg[3], t->arg[4]);
}

/* The shared mapping that covers the range, perhaps in several areas; its file referenced.  Source: Linux mm/mmap.c remap_file_pages. */
static struct sf_file *remap_source(vaddr_t start, vaddr_t end, uint32_t *ret_flags)
{
	mm_lock(um.mm);
	struct vm_area *v = vma_lookup(um.mm, NULL, start), *first = v;
	struct sf_file *f = v && v->flags & VM_SHARED ? v->file : NULL;
	*ret_flags = f ? v->flags : 0;
	for (; f && v->end < end; v = vma_next(v)) {
		struct vm_area *n = vma_next(v);
		if (!n || n->start != v->end || n->file != f || n->flags != first->flags)
			f = NULL;
	}
	file_get(f);
	mm_unlock(um.mm);
	return f;
}

int64_t sys_remap_file_pages(struct thread *t)
{
	vaddr_t start = t->arg[0] & PAGE_MASK;
	uint64_t size = t->arg[1] & PAGE_MASK, pgoff = t->arg[3];
	uint32_t vm;
	if (t->arg[2] || start + size <= start || pgoff + PFN(size) < pgoff)
		return -EINVAL;
	struct sf_file *f = remap_source(start, start + size, &vm);
	if (!f)
		return -EINVAL;
	unsigned flags = (t->arg[4] & MAP_NONBLOCK) | MAP_SHARED | MAP_FIXED | MAP_POPULATE | (vm & VM_LOCKED ? MAP_LOCKED : 0);
	int64_t r = do_mmap(um.mm, start, size, vm & VM_PROT, flags, f, vm & VM_MAYWRITE ? PT_R | PT_W : PT_R, pgoff << PAGE_SHIFT);
	file_put(f);
	return r < 0 ? r : 0;
}

/* ---------------------------------------------------------------- mlock and mincore */

int64_t sys_mlock(struct thread *t) { return do_mlock(um.mm, &t->task, t->arg[0], t->arg[1], 0); }
int64_t sys_munlock(struct thread *t) { return do_munlock(um.mm, t->arg[0], t->arg[1]); }
int64_t sys_mlockall(struct thread *t) { return do_mlockall(um.mm, &t->task, (int)t->arg[0]); }
int64_t sys_munlockall(struct thread *t) { return do_munlockall(um.mm); }

int64_t sys_mlock2(struct thread *t)
{
	int flags = (int)t->arg[2];
	return flags & ~MLOCK_ONFAULT ? -EINVAL : do_mlock(um.mm, &t->task, t->arg[0], t->arg[1], flags);
}

int64_t sys_mincore(struct thread *t)
{
	unsigned char vec[MINCORE_PAGES];
	vaddr_t addr = t->arg[0], to = t->arg[2];
	if (addr & ~PAGE_MASK)
		return -EINVAL;
	if (!access_ok(um.mm, addr, t->arg[1]))
		return -ENOMEM;
	uint64_t pages = PFN(PAGE_ALIGN(t->arg[1]));
	if (!access_ok(um.mm, to, pages))
		return -EFAULT;
	while (pages) {
		uint64_t n = MIN(pages, MINCORE_PAGES);
		int64_t r = do_mincore(um.mm, addr, n << PAGE_SHIFT, vec);
		if (r < 0)
			return r;
		if (!copy_out(t, to, vec, n))
			return -EFAULT;
		addr += n << PAGE_SHIFT;
		to += n;
		pages -= n;
	}
	return 0;
}

/* ---------------------------------------------------------------- protection keys: a processor without them */

int64_t sys_pkey_mprotect(struct thread *t)
{
	return (int)t->arg[3] == -1 ? sys_mprotect(t) : -EINVAL;
}

int64_t sys_pkey_alloc(struct thread *t)
{
	return t->arg[0] || t->arg[1] & ~3ull ? -EINVAL : -ENOSPC;
}

int64_t sys_pkey_free(struct thread *t) { return -EINVAL; }

/* ---------------------------------------------------------------- process_madvise: of ourselves */

#define PIDFD_SELF_THREAD (-10000)
#define PIDFD_SELF_GROUP (-10001)

/* The process behind a pidfd by what /proc says of it, or -EBADF. */
static int64_t pidfd_pid(int32_t fd)
{
	char path[40], text[512];
	um_snprintf(path, sizeof(path), "/proc/thread-self/fdinfo/%d", fd);
	int64_t f = host_call4(__NR_openat, -100, HC_A(path), 02000000 /* O_CLOEXEC */, 0);
	if (f < 0)
		return -EBADF;
	int64_t n = host_call3(__NR_read, f, HC_A(text), sizeof(text) - 1);
	host_call1(__NR_close, f);
	text[MAX(n, 0)] = 0;
	for (const char *s = text; s + 4 < text + n; s++) {
		if (memcmp(s, "\nPid:", 5))
			continue;
		int64_t pid = 0;
		for (s += 5; *s == '\t' || *s == ' '; s++)
			;
		for (; *s >= '0' && *s <= '9'; s++)
			pid = pid * 10 + (*s - '0');
		return pid;
	}
	return -EBADF;
}

static bool advice_for_process(int advice)
{
	return advice == MADV_COLD || advice == MADV_PAGEOUT || advice == MADV_WILLNEED || advice == 25 /* MADV_COLLAPSE */;
}

static int64_t advise_vector(struct thread *t, const struct rw *rw, int advice)
{
	int64_t done = 0, r = 0;
	for (uint64_t i = 0; i < rw->n; i++) {
		r = do_madvise(um.mm, &t->task, rw->iov[i].base, rw->iov[i].len, advice);
		if (r < 0)
			break;
		done += (int64_t)rw->iov[i].len;
	}
	return done ? done : r;
}

int64_t sys_process_madvise(struct thread *t)
{
	struct call c;
	int32_t fd = (int32_t)t->arg[0];
	call_begin(&c, t);
	struct rw rw = { .c = &c };
	if (t->arg[4])
		return call_end(&c, -EINVAL);
	if (!rw_import(&rw, t->arg[1], t->arg[2]))
		return call_end(&c, t->arg[2] > IOV_MOST ? -EINVAL : -EFAULT);
	int64_t pid = fd == PIDFD_SELF_THREAD || fd == PIDFD_SELF_GROUP ? my_pid() : pidfd_pid((int32_t)fd_arg(t->arg[0]));
	if (pid != my_pid())
		return call_end(&c, pid < 0 ? pid : -EPERM);
	if (!advice_for_process((int)t->arg[3]))
		return call_end(&c, -EINVAL);
	return call_end(&c, advise_vector(t, &rw, (int)t->arg[3]));
}
