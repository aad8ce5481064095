/* SPDX-License-Identifier: MIT */
/* sys_mm.c - the calls that shape memory: from the program's arguments to the core's
 *
 * None of these reaches the host as it is.  A file to be mapped becomes a struct sf_file on a descriptor of ours, so the program may close its own. */
#include "um/syscall.h"

#include <linux/mman.h>

#define O_ACCMODE 3
#define O_RDWR 2
#define PROT_EXEC_BIT 4u
#define HOST_TASK_SIZE 0x7ffffffff000ull
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

/* MAP_FIXED is judged with the rest by do_mmap. */
static int64_t map_shared_anon(struct thread *t, unsigned prot, unsigned flags)
{
	uint64_t len = PAGE_ALIGN(t->arg[1]);
	int err = 0;
	if (!len || len > TASK_SIZE)
		return t->arg[1] ? -ENOMEM : -EINVAL;
	struct sf_file *f = um_anon_shared(len, &err);
	if (!f)
		return err;
	int64_t r = do_mmap(um.mm, t->arg[0], t->arg[1], prot, flags & ~(unsigned)MAP_ANONYMOUS, f, PT_R | PT_W,
			    f->first_page << PAGE_SHIFT);
	file_put(f);
	return r;
}

int64_t sys_mmap(struct thread *t)
{
	unsigned prot = um_implied_rights((unsigned)t->arg[2]), flags = (unsigned)t->arg[3];
	uint64_t off = t->arg[5];
	if (unlikely(READ_ONCE(um.shm->sysctls)))
		um_read_sysctls(um.mm);
	if (off & ~PAGE_MASK)
		return -EINVAL;
	if (flags & MAP_ANONYMOUS && (flags & MAP_TYPE) == MAP_SHARED && !(flags & (MAP_HUGETLB | MAP_GROWSDOWN)))
		return map_shared_anon(t, prot, flags);
	if (flags & MAP_ANONYMOUS)
		return do_mmap(um.mm, t->arg[0], t->arg[1], prot, flags, NULL, 0, off);
	return map_file(t, t->arg[0], t->arg[1], prot, flags, off);
}

/* Above TASK_SIZE, where the program may have nothing, there is nothing of its own to unmap. */
int64_t sys_munmap(struct thread *t)
{
	vaddr_t addr = t->arg[0];
	uint64_t len = t->arg[1];
	if (!(addr & ~PAGE_MASK) && len && addr < HOST_TASK_SIZE && len <= HOST_TASK_SIZE - addr) {
		if (addr >= TASK_SIZE)
			return 0;
		len = MIN(len, TASK_SIZE - addr);
	}
	return do_munmap(um.mm, addr, len);
}

int64_t sys_brk(struct thread *t) { return do_brk(um.mm, t->arg[0]); }
int64_t sys_mprotect(struct thread *t) { return do_mprotect(um.mm, t->arg[0], t->arg[1], um_implied_rights((unsigned)t->arg[2])); }
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
	int64_t r = do_mmap(um.mm, start, size, vm & VM_PROT, flags, f, vm & VM_MAYWRITE ? PT_R | PT_W : PT_R,
			    (f->first_page + pgoff) << PAGE_SHIFT);
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
	int64_t key = host_call2(__NR_pkey_alloc, t->arg[0], t->arg[1]);
	if (key < 0)
		return key;
	host_call1(__NR_pkey_free, key);
	return -ENOSPC;
}

int64_t sys_pkey_free(struct thread *t) { return -EINVAL; }
