/* SPDX-License-Identifier: MIT */
/* mmap.c - mmap, munmap, brk, and growing stacks
 *
 * A mapping comes about in four steps, each of which can fail without trace:
 *
 *     judge the arguments      in Linux's order, so that several mistakes at once give Linux's errno
 *     empty the range          MAP_FIXED only; may let go of the lock, so limits are judged before and
 *                              the range is known to be free after it
 *     port reserves            for a shared file this is where the host may refuse
 *     area is placed           stretches a neighbour, or is new
 *
 * Unmapping empties the range while its areas still stand: whoever faults meanwhile (the lock may be let go of while a
 * page is busy) finds the old area, and nobody else can map something there that would then be torn down.
 *
 * Source: Linux mm/mmap.c do_mmap, mm/vma.c __mmap_region and do_vmi_align_munmap, arch/x86/kernel/sys_x86_64.c. */
#include "mm/area.h"

#include <linux/mman.h>

#define LEGACY_MAP_MASK (MAP_SHARED | MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS | MAP_DENYWRITE | MAP_EXECUTABLE | \
			 MAP_GROWSDOWN | MAP_LOCKED | MAP_NORESERVE | MAP_POPULATE | MAP_NONBLOCK | MAP_STACK | \
			 MAP_HUGETLB | 0x40u /* MAP_32BIT */ | 0x80u /* MAP_ABOVE4G */ | (21u << 26) | (30u << 26))
#define SF_MAP_32BIT 0x40u
#define LOW32_START 0x40000000ull
#define LOW32_END   0x80000000ull

/* ---------------------------------------------------------------- limits */

bool may_expand(struct mm *mm, uint32_t flags, uint64_t n)
{
	if (mm->total_vm + n > limit_pages(mm->limits.as))
		return false;
	if ((flags & (VM_WRITE | VM_SHARED | VM_GROWSDOWN)) != VM_WRITE)
		return true;
	/* A limit of nothing is meant for brk: valgrind sets it, and Linux then looks at the hard limit. */
	return mm->data_vm + n <= limit_pages(mm->limits.data ? mm->limits.data : mm->limits.data_max);
}

bool enough_memory(struct mm *mm, uint64_t n)
{
	if (mm->overcommit == 2)
		return mm->account_vm + n <= mm->commit_limit;
	return mm->overcommit || !mm->guess_limit || n <= mm->guess_limit;
}

bool mlock_future_ok(struct mm *mm, uint32_t flags, uint64_t bytes)
{
	return !(flags & VM_LOCKED) || mm->locked_vm + PFN(bytes) <= mlock_limit(mm);
}

static bool accountable(const struct sf_file *file, uint32_t flags)
{
	if (flags & VM_NORESERVE)
		return false;
	if (flags & VM_SHARED)
		return !file; /* memory of ours, though shared */
	return flags & VM_WRITE;
}

/* ---------------------------------------------------------------- the port's part */

static int reserve_shared(struct mm *mm, vaddr_t va, uint64_t len, struct sf_file *file, uint64_t pgoff, uint32_t flags)
{
	struct port *port = mm->mc->port;

	return port->ops->reserve_shared(port, va, PFN(len), file->fd, pgoff << PAGE_SHIFT, flags >> 4 & VM_PROT);
}

int port_reserve(struct mm *mm, vaddr_t va, uint64_t len, struct sf_file *file, uint64_t pgoff, uint32_t *flags)
{
	/* Rights that are not asked for now but that the file may refuse: a filesystem mounted noexec, a sealed memory file. */
	static const uint32_t optional[] = { VM_EXEC, VM_WRITE };
	struct port *port = mm->mc->port;
	uint32_t fl = *flags;

	if (!file || !(fl & VM_SHARED))
		return port->ops->reserve(port, va, PFN(len), fl & VM_EXEC);
	int err = reserve_shared(mm, va, len, file, pgoff, fl);

	for (unsigned i = 0; err == -EPERM && i < ARRAY_SIZE(optional); i++)
		if (!(fl & optional[i]) && fl & optional[i] << 4) {
			fl &= ~(optional[i] << 4);
			err = reserve_shared(mm, va, len, file, pgoff, fl);
		}
	if (!err)
		*flags = fl;
	return err;
}

static void port_release(struct mm *mm, vaddr_t start, vaddr_t end)
{
	mm->mc->port->ops->release(mm->mc->port, start, PFN(end - start));
}

/* ---------------------------------------------------------------- unmapping */

/* Make area borders at start and end.  The first split may take the number of areas one above the limit, unless the call
 * would leave it there. */
static int cut_edges(struct mm *mm, vaddr_t start, vaddr_t end)
{
	struct vm_area *v = find_vma_intersection(mm, start, end), *lower = NULL, *up;

	if (v && v->start < start) {
		if (end < v->end && mm->nr_areas >= mm->max_areas)
			return -ENOMEM;
		lower = v;
		if (area_split(mm, v, start, &up))
			return -ENOMEM;
	}
	v = vma_lookup(mm, NULL, end);
	if (v && v->start < end && area_split(mm, v, end, &up)) {
		if (lower)
			(void)vma_merge(mm, lower);
		return -ENOMEM;
	}
	return 0;
}

static void remove_areas(struct mm *mm, vaddr_t start, vaddr_t end, bool release)
{
	struct vm_area *v = find_vma_intersection(mm, start, end), *next;
	vaddr_t run = v ? v->start : 0, stop = run;

	for (; v && v->start < end; v = next) {
		next = vma_next(v);
		if (v->start != stop) {
			if (release)
				port_release(mm, run, stop);
			run = v->start;
		}
		stop = v->end;
		vma_remove(mm, v);
	}
	if (release && run < stop)
		port_release(mm, run, stop);
}

int unmap_range(struct mm *mm, vaddr_t start, vaddr_t end, bool release)
{
	uint64_t seq;

	do {
		if (mm->mc->text_gone)
			(void)mm->mc->text_gone(mm->mc, start, end);
		int err = cut_edges(mm, start, end);

		if (err)
			return err;
		seq = mm->seq;
		zap_range(mm, start, end);
	} while (seq != mm->seq);
	remove_areas(mm, start, end, release);
	return 0;
}

int64_t munmap_locked(struct mm *mm, vaddr_t addr, uint64_t len)
{
	if (addr & ~PAGE_MASK || addr > mm->task_size || len > mm->task_size - addr)
		return -EINVAL;
	len = PAGE_ALIGN(len);
	if (!len)
		return -EINVAL;
	if (!find_vma_intersection(mm, addr, addr + len))
		return 0;
	if (range_sealed(mm, addr, addr + len))
		return -EPERM;
	return unmap_range(mm, addr, addr + len, true);
}

int64_t do_munmap(struct mm *mm, vaddr_t addr, uint64_t len)
{
	mm_lock(mm);
	int64_t r = munmap_locked(mm, addr, len);

	mm_unlock(mm);
	return r;
}

/* ---------------------------------------------------------------- mapping */

struct map_req {
	struct mm *mm;
	vaddr_t addr;
	uint64_t len, pgoff;
	unsigned prot, flags, mode;
	struct sf_file *file;
	uint32_t vm;
};

int64_t choose_address(struct mm *mm, vaddr_t addr, uint64_t len, unsigned flags)
{
	int64_t r = (int64_t)addr;

	if (len > mm->task_size)
		return -ENOMEM;
	if (!(flags & MAP_FIXED)) {
		if (flags & SF_MAP_32BIT) {
			struct vm_area *v = addr ? find_vma(mm, NULL, addr) : NULL;
			bool fits = addr && addr <= LOW32_END - MIN(len, LOW32_END) && (!v || addr + len <= area_start_gap(mm, v));

			r = fits ? (int64_t)addr : find_gap_up(mm, len, LOW32_START, LOW32_END);
		} else {
			r = get_unmapped_area(mm, addr, len);
		}
		if (r < 0)
			return r;
	}
	addr = (vaddr_t)r;
	if (addr > mm->task_size - len)
		return -ENOMEM;
	if (addr & ~PAGE_MASK)
		return -EINVAL;
	return addr < mm->mmap_min ? -EPERM : r;
}

static int judge_file(struct map_req *r)
{
	unsigned type = r->flags & MAP_TYPE, flags = r->flags;

	if (r->len > INT64_MAX || r->pgoff > (INT64_MAX - r->len) >> PAGE_SHIFT)
		return -EOVERFLOW;
	if (type != MAP_SHARED && type != MAP_SHARED_VALIDATE && type != MAP_PRIVATE)
		return -EINVAL;
	if (type == MAP_SHARED)
		flags &= LEGACY_MAP_MASK;
	if (type != MAP_PRIVATE) {
		if (flags & ~LEGACY_MAP_MASK)
			return -EOPNOTSUPP;
		if (r->prot & PROT_WRITE && !(r->mode & PT_W))
			return -EACCES;
		r->vm |= VM_SHARED;
		if (!(r->mode & PT_W))
			r->vm &= ~VM_MAYWRITE;
	}
	if (!(r->mode & PT_R))
		return -EACCES;
	return r->vm & VM_GROWSDOWN ? -EINVAL : 0;
}

static int judge_anon(struct map_req *r)
{
	switch (r->flags & MAP_TYPE) {
	case MAP_SHARED:
		if (r->vm & VM_GROWSDOWN)
			return -EINVAL;
		r->vm |= VM_SHARED;
		r->pgoff = ++r->mm->shared_serial * VM_SERIAL_UNIT;
		return 0;
	case MAP_PRIVATE:
		r->pgoff = PFN(r->addr);
		return 0;
	default:
		return -EINVAL;
	}
}

static uint32_t vm_flags_for(const struct mm *mm, unsigned prot, unsigned flags)
{
	uint32_t vm = (prot & VM_PROT) | VM_MAY_ALL | mm->def_flags;

	if (flags & MAP_GROWSDOWN)
		vm |= VM_GROWSDOWN;
	if (flags & MAP_LOCKED)
		vm |= VM_LOCKED;
	if (flags & MAP_STACK)
		vm |= VM_NOHUGE_ADV;
	return vm;
}

/* Pages of areas in a range, and how many of them are accounted. */
static uint64_t count_covered(struct mm *mm, vaddr_t start, vaddr_t end, uint64_t *ret_accounted)
{
	uint64_t n = 0, acc = 0;

	for (struct vm_area *v = find_vma_intersection(mm, start, end); v && v->start < end; v = vma_next(v)) {
		uint64_t part = PFN(MIN(v->end, end) - MAX(v->start, start));

		n += part;
		acc += v->flags & VM_ACCOUNT ? part : 0;
	}
	*ret_accounted = acc;
	return n;
}

static int64_t map_region(struct map_req *r)
{
	struct mm *mm = r->mm;
	vaddr_t end = r->addr + r->len;
	uint64_t accounted, n = PFN(r->len), covered = count_covered(mm, r->addr, end, &accounted);

	if (covered && range_sealed(mm, r->addr, end))
		return -EPERM;
	if (!may_expand(mm, r->vm, n - covered))
		return -ENOMEM;
	if (accountable(r->file, r->vm)) {
		if (!enough_memory(mm, n - accounted))
			return -ENOMEM;
		r->vm |= VM_ACCOUNT;
	}
	int err = covered ? unmap_range(mm, r->addr, end, false) : 0;

	if (err)
		return err;
	err = lend_reserve(mm, r->addr, r->len, r->file, r->pgoff, &r->vm);
	if (err == -EOPNOTSUPP)
		err = port_reserve(mm, r->addr, r->len, r->file, r->pgoff, &r->vm);
	if (!err && !area_place(mm, r->addr, end, r->vm, r->file, r->pgoff))
		err = -ENOMEM;
	if (err) {
		port_release(mm, r->addr, end);
		return err;
	}
	return (int64_t)r->addr;
}

static int64_t mmap_locked(struct map_req *r)
{
	struct mm *mm = r->mm;

	if (mm->nr_areas > mm->max_areas)
		return -ENOMEM;
	int64_t a = choose_address(mm, r->addr, r->len, r->flags);

	if (a < 0)
		return a;
	r->addr = (vaddr_t)a;
	if (r->flags & MAP_FIXED_NOREPLACE && find_vma_intersection(mm, r->addr, r->addr + r->len))
		return -EEXIST;
	r->vm = vm_flags_for(mm, r->prot, r->flags);
	if (r->flags & MAP_LOCKED && !mm->limits.memlock)
		return -EPERM;
	if (!mlock_future_ok(mm, r->vm, r->len))
		return -EAGAIN;
	int err = r->file ? judge_file(r) : judge_anon(r);

	if (err)
		return err;
	if (r->flags & MAP_NORESERVE && mm->overcommit != 2)
		r->vm |= VM_NORESERVE;
	return exec_denied(mm, r->vm, r->vm) ? -EACCES : map_region(r);
}

/* There are no huge pages in the pool: as on a host without any. */
static int refuse_huge(const struct map_req *r)
{
	unsigned log = r->flags >> 26 & 0x3f;

	if (r->file || !r->len || (log && log != 21 && log != 30))
		return -EINVAL;
	return -ENOMEM;
}

static int prepare_request(struct map_req *r, uint64_t off)
{
	if (off & ~PAGE_MASK)
		return -EINVAL;
	if (r->flags & MAP_ANONYMOUS)
		r->file = NULL;
	else if (!r->file)
		return -EBADF;
	if (r->flags & MAP_HUGETLB)
		return refuse_huge(r);
	if (!r->len)
		return -EINVAL;
	if (r->flags & MAP_FIXED_NOREPLACE)
		r->flags |= MAP_FIXED;
	if (!(r->flags & MAP_FIXED)) {
		r->addr &= PAGE_MASK;
		if (r->addr && r->addr < r->mm->mmap_min)
			r->addr = PAGE_ALIGN(r->mm->mmap_min);
	}
	r->len = PAGE_ALIGN(r->len);
	return r->len ? 0 : -ENOMEM;
}

int64_t do_mmap(struct mm *mm, vaddr_t addr, uint64_t len, unsigned prot, unsigned flags, struct sf_file *file,
		unsigned file_mode, uint64_t off)
{
	struct map_req r = { .mm = mm, .addr = addr, .len = len, .pgoff = PFN(off), .prot = prot, .flags = flags,
			     .mode = file_mode, .file = file };
	int err = prepare_request(&r, off);

	if (err)
		return err;
	mm_lock(mm);
	int64_t a = mmap_locked(&r);

	mm_unlock(mm);
	if (a >= 0 && (r.vm & VM_LOCKED || (flags & (MAP_POPULATE | MAP_NONBLOCK)) == MAP_POPULATE))
		(void)populate(mm, NULL, (vaddr_t)a, (vaddr_t)a + r.len, POPULATE_AREA); /* best effort, as in Linux */
	return a;
}

/* ---------------------------------------------------------------- brk */

static bool brk_in_limit(const struct mm *mm, vaddr_t brk)
{
	uint64_t used = brk - mm->start_brk + (mm->end_data - mm->start_data);

	return mm->limits.data == UINT64_MAX || used <= mm->limits.data;
}

static bool brk_grow(struct mm *mm, vaddr_t old, vaddr_t new_)
{
	uint32_t flags = VM_READ | VM_WRITE | VM_MAY_ALL | VM_ACCOUNT | mm->def_flags;
	uint64_t len = new_ - old;

	if (new_ > mm->task_size || !mlock_future_ok(mm, mm->def_flags, len))
		return false;
	/* One page is kept free above the heap, and the guard gap of a growing area. */
	struct vm_area *next = find_vma_intersection(mm, old, new_ + PAGE_SIZE + mm->stack_guard);

	if (next && new_ + PAGE_SIZE > area_start_gap(mm, next))
		return false;
	if (!may_expand(mm, flags, PFN(len)) || mm->nr_areas > mm->max_areas || !enough_memory(mm, PFN(len)))
		return false;
	if (port_reserve(mm, old, len, NULL, 0, &flags))
		return false;
	if (area_place(mm, old, new_, flags, NULL, PFN(old)))
		return true;
	port_release(mm, old, new_);
	return false;
}

static bool brk_shrink(struct mm *mm, vaddr_t new_, vaddr_t old)
{
	return find_vma_intersection(mm, new_, old) && !range_sealed(mm, new_, old) && !unmap_range(mm, new_, old, true);
}

int64_t do_brk(struct mm *mm, vaddr_t brk)
{
	mm_lock(mm);
	vaddr_t was = mm->brk, old = PAGE_ALIGN(was), new_ = PAGE_ALIGN(brk);
	bool ok = brk >= mm->start_brk && new_ >= brk && brk_in_limit(mm, brk), grown = false;

	if (ok && new_ > old)
		ok = grown = brk_grow(mm, old, new_);
	else if (ok && new_ < old)
		ok = brk_shrink(mm, new_, old);
	if (ok)
		mm->brk = brk;
	bool lock = grown && mm->def_flags & VM_LOCKED;

	mm_unlock(mm);
	if (lock)
		(void)populate(mm, NULL, old, new_, POPULATE_AREA);
	return (int64_t)(ok ? brk : was);
}

/* ---------------------------------------------------------------- stacks */

static bool stack_may_grow(struct mm *mm, const struct vm_area *v, vaddr_t addr)
{
	uint64_t grow = v->start - addr;

	return may_expand(mm, v->flags, PFN(grow)) && v->end - addr <= mm->limits.stack && PFN(grow) <= v->pgoff &&
	       mlock_future_ok(mm, v->flags, grow) && (!(v->flags & VM_ACCOUNT) || enough_memory(mm, PFN(grow)));
}

int expand_stack(struct mm *mm, struct vm_area *v, vaddr_t addr)
{
	struct vm_area *prev = vma_prev(mm, v);
	uint32_t flags = v->flags;

	addr &= PAGE_MASK;
	if (!(v->flags & VM_GROWSDOWN))
		return -EFAULT;
	if (addr < mm->mmap_min)
		return -EPERM;
	if (addr >= v->start)
		return 0;
	if (prev && !(prev->flags & VM_GROWSDOWN) && prev->flags & VM_PROT && addr - prev->end < mm->stack_guard)
		return -ENOMEM;
	if (!stack_may_grow(mm, v, addr))
		return -ENOMEM;
	if (port_reserve(mm, addr, v->start - addr, NULL, 0, &flags))
		return -ENOMEM;
	area_resize(mm, v, addr, v->end);
	return 0;
}
