/* SPDX-License-Identifier: MIT */
/* area.h - what area.c, mmap.c, mprotect.c, mremap.c, madvise.c and mlock.c share among themselves
 *
 * Everything here is called with the mm lock held unless it says otherwise. */
#ifndef SF_AREA_H
#define SF_AREA_H

#include "mm/mm.h"

#define VM_LOCKED_MASK (VM_LOCKED | VM_LOCKONFAULT)
#define VM_MAY_ALL     (VM_MAYREAD | VM_MAYWRITE | VM_MAYEXEC)

static inline uint64_t area_pages(const struct vm_area *v) { return PFN(v->end - v->start); }
static inline uint64_t limit_pages(uint64_t bytes) { return bytes == UINT64_MAX ? UINT64_MAX : bytes >> PAGE_SHIFT; }
static inline bool area_is_shared_anon(const struct vm_area *v) { return !v->file && v->flags & VM_SHARED; }
/* The host maps the file itself: pages are shown and hidden, never filled. */
static inline bool area_is_hosted(const struct vm_area *v) { return v->type == &vm_file_shared || v->type == &vm_file_lent; }
/* Page offset of addr in the area's object. */
static inline uint64_t area_pgoff(const struct vm_area *v, vaddr_t addr) { return v->pgoff + PFN(addr - v->start); }

/* Lowest address that others must keep away from: the guard gap of a growing area included. */
vaddr_t area_start_gap(struct mm *mm, const struct vm_area *v);
/* Highest (lowest) hole of len bytes inside [low, high), or -ENOMEM. */
int64_t find_gap_down(struct mm *mm, uint64_t len, vaddr_t low, vaddr_t high);
int64_t find_gap_up(struct mm *mm, uint64_t len, vaddr_t low, vaddr_t high);

/* Move the area's ends; the new range must be free of others.  pgoff follows start. */
void area_resize(struct mm *mm, struct vm_area *v, vaddr_t start, vaddr_t end);
void area_set_flags(struct mm *mm, struct vm_area *v, uint32_t flags);
/* split_vma without the limit on the number of areas. */
int area_split(struct mm *mm, struct vm_area *v, vaddr_t addr, struct vm_area **ret_upper);
/* Cover the free range [start, end): by stretching a neighbour where it merges, else by a new area.  NULL: out of memory. */
struct vm_area *area_place(struct mm *mm, vaddr_t start, vaddr_t end, uint32_t flags, struct sf_file *file, uint64_t pgoff);
/* Give [start, end) inside v other flags, splitting and merging as needed; *ret_v is the area that covers it then.
 * -ENOMEM (also by the limit on areas), nothing changed. */
int area_modify(struct mm *mm, struct vm_area *v, vaddr_t start, vaddr_t end, uint32_t flags, struct vm_area **ret_v);
/* Is any area of the range sealed? */
bool range_sealed(struct mm *mm, vaddr_t start, vaddr_t end);
/* Set VM_TOUCHED if the area has pages that were written.  Called before pages leave an area that stays. */
void area_note_touched(struct mm *mm, struct vm_area *v);
/* Page counts per kind of area; n may be negative. */
void area_account(struct mm *mm, uint32_t flags, int64_t n);

/* ---------------------------------------------------------------- mmap.c */

/* May n more pages of such areas be mapped under RLIMIT_AS and RLIMIT_DATA? */
bool may_expand(struct mm *mm, uint32_t flags, uint64_t n);
/* Does the commit limit allow n more pages? */
bool enough_memory(struct mm *mm, uint64_t n);
bool mlock_future_ok(struct mm *mm, uint32_t flags, uint64_t bytes);
/* The address that mmap would choose: every check of Linux's get_unmapped_area. */
int64_t choose_address(struct mm *mm, vaddr_t addr, uint64_t len, unsigned flags);
/* Make [va, va+len) the port's memory for an area of these flags; may take VM_MAY* bits away that the file refuses. */
int port_reserve(struct mm *mm, vaddr_t va, uint64_t len, struct sf_file *file, uint64_t pgoff, uint32_t *flags);
/* Pages, areas and (release) the port's memory of a range go.  May let go of the lock before it begins; when it
 * returns 0 the range is free and the lock has been held since.  -ENOMEM: an area cannot be split. */
int unmap_range(struct mm *mm, vaddr_t start, vaddr_t end, bool release);
/* The system call's body. */
int64_t munmap_locked(struct mm *mm, vaddr_t addr, uint64_t len);

/* ---------------------------------------------------------------- lend.c */

/* The port's part of a private area that it can lend; *flags gets VM_LENT.  -EOPNOTSUPP: to be reserved like any other; -EPERM: the file may not be
 * executed. */
int lend_reserve(struct mm *mm, vaddr_t va, uint64_t len, struct sf_file *file, uint64_t pgoff, uint32_t *flags);
/* Whatever the range has of lent areas is ordinary private memory from now on, without contents.  May let go of the lock.  -ENOMEM. */
int lend_end(struct mm *mm, vaddr_t start, vaddr_t end);
/* The same for the whole of each area, as the program knows them, that the range touches. */
int lend_end_areas(struct mm *mm, vaddr_t start, vaddr_t end);

/* ---------------------------------------------------------------- mlock.c */

/* Pages that may be locked in all: RLIMIT_MEMLOCK, and what the bound can spare. */
uint64_t mlock_limit(struct mm *mm);
/* Give [start, end) of v the lock flags add (or none), pages included. */
int mlock_area(struct mm *mm, struct vm_area *v, vaddr_t start, vaddr_t end, uint32_t add);
enum populate { POPULATE_AREA /* as each area likes it */, POPULATE_READ, POPULATE_WRITE };
/* Bring a range in; not locked.  -ENOMEM (a hole, or out of memory), -EFAULT, -EINVAL (the area does not allow it). */
int populate(struct mm *mm, struct task *tk, vaddr_t start, vaddr_t end, enum populate how);

/* Memory that could be written may not be executed, by the program's own wish.  Source: Linux map_deny_write_exec. */
static inline bool exec_denied(const struct mm *mm, uint32_t old, uint32_t flags)
{
	return mm->mdwe && flags & VM_EXEC && (flags & VM_WRITE || !(old & VM_EXEC));
}

#endif
