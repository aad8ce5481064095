/* SPDX-License-Identifier: MIT */
/* mm.h - the memory core: one machine, its address space, its pages
 *
 *   machine ── bound, policy, store, frame table, swap map, counters, port
 *      └─ mm ── areas (list + tree), page table (4-level radix of ptes), limits
 *
 * Lock order: mm->lock is the only sleeping lock of the core and protects areas, ptes, frames, lists and swap map.
 * It is never held while program memory is touched, nor over store or file I/O: such work marks the pages PG_BUSY,
 * lets go, and afterwards looks everything up anew (mm->seq tells whether any area changed).
 * kmalloc has a spin lock of its own, below mm->lock.
 *
 * Inside, functions return 0 or a negative errno and leave outputs untouched on failure. */
#ifndef SF_MM_H
#define SF_MM_H

#include "mm/base.h"
#include "mm/stats.h"
#include "mm/tree.h"
#include "policy/policy.h"
#include "port/port.h"
#include "store/store.h"

#include <bsd/sys/queue.h>
#include <bsd/sys/tree.h>

struct mm;
struct machine;

/* ---------------------------------------------------------------- areas (mm/area.c) */

#define VM_READ      0x0001u /* = PT_R */
#define VM_WRITE     0x0002u
#define VM_EXEC      0x0004u
#define VM_PROT      0x0007u
#define VM_SHARED    0x0008u
#define VM_MAYREAD   0x0010u
#define VM_MAYWRITE  0x0020u
#define VM_MAYEXEC   0x0040u
#define VM_GROWSDOWN 0x0100u
#define VM_LOCKED    0x0200u
#define VM_LOCKONFAULT 0x0400u
#define VM_NORESERVE 0x0800u
#define VM_DONTFORK  0x1000u
#define VM_WIPEONFORK 0x2000u
#define VM_SEQ_READ  0x4000u
#define VM_RAND_READ 0x8000u
#define VM_DONTDUMP  0x10000u
#define VM_ACCOUNT   0x20000u /* counted against strict overcommit */
#define VM_STACK     0x40000u /* the main stack (for its name) */
#define VM_HUGE_ADV  0x80000u /* MADV_HUGEPAGE given (no effect but on smaps) */
#define VM_MERGEABLE 0x100000u
#define VM_TOUCHED   0x400000u /* private anonymous: was written once (where Linux has an anon_vma); set late, no obstacle to merging */
#define VM_SEALED    0x800000u /* mseal */
#define VM_HIDDEN    0x1000000u /* ours (mm/text.c): /proc does not show it */
/* Touched when it came by fork: in which generation of processes (modulo).  What is mapped beside it later stays apart, as Linux's anon_vma
 * chains have it. */
#define VM_COPIED       0x1e000000u
#define VM_COPIED_BY(g) (((g) % 15u + 1u) << 25)
#define VM_LENT      0x20000000u /* ours (mm/lend.c): private and not writable, the host maps the file itself */
#define VM_NOHUGE_ADV 0x200000u /* MADV_NOHUGEPAGE or MAP_STACK (no effect but on smaps and merging) */

/* A file behind areas.  Reference counted; the last area to go releases it. */
struct sf_file;
struct file_piece;
struct file_place;
struct sf_file_ops {
	/* Read up to len bytes at off into buf (ours); bytes read, short only at end of file, or -errno.  No lock held. */
	int64_t (*read)(struct sf_file *f, void *buf, size_t len, uint64_t off);
	/* Size in bytes now, or -errno. */
	int64_t (*size)(struct sf_file *f);
	/* Give a range up, so that it reads as zeros; NULL: no such thing.  0 or -errno.  No lock held. */
	int (*punch)(struct sf_file *f, uint64_t off, uint64_t len);
	/* Optional: which of n pages are in memory, one byte each, 1 or 0.  0 or -errno.  mm lock held. */
	int (*in_core)(struct sf_file *f, uint64_t pgoff, uint64_t n, unsigned char *vec);
	/* Last reference gone.  mm lock held. */
	void (*release)(struct sf_file *f);
	/* Optional: the type of private areas of such files; NULL: vm_file_private. */
	const struct vm_type *type;
	/* Types with a home (mm/home.c): write len bytes at off; 0 or -errno.  No lock held. */
	int (*write)(struct sf_file *f, const void *buf, size_t len, uint64_t off);
	/* Optional: how much of [off, off+len) may be seen in the host's page cache (mm/inplace.c), in bytes from off, and where.  Locked: mm. */
	uint64_t (*in_place)(struct sf_file *f, uint64_t off, uint64_t len, struct file_place *ret);
	/* With it: so many pages have come to be seen so. */
	void (*placed)(struct sf_file *f, uint64_t pages);
	/* Optional: several such writes at once; each has its own result.  What fails is tried once more by write. */
	void (*write_all)(struct sf_file *f, struct file_piece *pieces, unsigned n);
};
struct file_place { int fd; uint64_t off; }; /* a host descriptor, open for reading */
struct file_piece { const char *buf; uint64_t len, off; int err; };
#define FILE_POISON (-4095) /* read: the page is lost for ever */
struct sf_file {
	const struct sf_file_ops *ops;
	uint32_t refs;
	int fd;            /* a host descriptor of ours, or -1 */
	uint32_t major, minor;
	uint64_t ino;
	bool always_in_core; /* reading it is no device access: faults are minor */
	bool lend;           /* private areas that are not writable may be the host's own mapping of fd (mm/lend.c) */
	bool write_back;     /* changed pages are evicted to it, not to the swap store */
	uint32_t cluster;    /* > 0: pages that come in together, a power of two; 0: adapts */
	uint64_t faults, majors;
	char *path;        /* for maps; freed by release */
	uint64_t first_page; /* maps shows offsets from here (in pages) */
};
static inline void file_get(struct sf_file *f) { if (f) __atomic_fetch_add(&f->refs, 1, __ATOMIC_RELAXED); }
void file_put(struct sf_file *f); /* mm/area.c */

/* Offset of a shared anonymous area within its mapping, in pages (what maps shows): pgoff & (VM_SERIAL_UNIT - 1). */
#define VM_SERIAL_UNIT (1ull << 40)

struct vm_area;
struct fault_ctx;

/* A memory type: how an absent page of such an area comes to be.  Reached only through this const table. */
struct vm_type {
	const char *name;
	/* No content anywhere: make the page (and perhaps neighbours) visible.  Locked: mm.  VM_FAULT_* flags; may
	 * let go of the lock and then answers VM_FAULT_RETRY if anything may have changed. */
	unsigned (*fault)(struct fault_ctx *fc);
};
extern const struct vm_type vm_anon, vm_file_private, vm_file_shared, vm_file_lent; /* mm/memtype.c */
extern const struct vm_type vm_snap; /* mm/snap.c: a snapshot of other pages */
extern const struct vm_type vm_home; /* mm/home.c: private pages that are written back to their file */
/* Write the changed pages of [start, end), which is of vm_home areas, to their files, in ascending order.  The first error; the others are
 * written all the same.  -EBUSY: a page is pinned, or is not there any more.  Not locked. */
int home_sync(struct mm *mm, vaddr_t start, vaddr_t end);
/* The file has what the page at pfn has (locked: mm, the page neither busy nor writable). */
void home_saved(struct mm *mm, uint64_t pfn);
/* Does a page of a vm_home area differ from its file? */
#define page_unsaved(pg) (!((pg)->flags & (PG_FILE | PG_BUSY)))

/* Who wants to know before pages of an area are written: each page once, for it may be writable afterwards until protect_writes.  mm lock held. */
struct page_guard {
	/* Page fc->pfn is about to become writable.  0: it may; else VM_FAULT_*, as a type's fault(). */
	unsigned (*before_write)(struct page_guard *g, struct fault_ctx *fc);
	/* May it be writable as things stand? */
	bool (*may_write)(const struct page_guard *g, struct mm *mm, uint64_t pfn);
};

struct vm_area {
	vaddr_t start, end;        /* a walk down the tree touches the first 64 bytes only */
	RB_ENTRY(vm_area) node;
	uint64_t max_gap;          /* largest hole below any area of this subtree (mm/area.c) */
	uint32_t flags;            /* VM_* */
	uint32_t stat;             /* index in sf_stats.area */
	const struct vm_type *type;
	struct sf_file *file;      /* NULL: anonymous */
	uint64_t pgoff;            /* page offset in file of start; for anonymous areas start's page number at creation;
				      for shared anonymous ones serial * VM_SERIAL_UNIT + offset, so that only pieces of one mapping merge */
	uint64_t next_pfn;         /* where a sequential reader would fault next */
	uint32_t window;           /* windows to be copied before one is placed again (mm/inplace.c) */
	const char *name;          /* fixed name for maps ("[heap]") or NULL */
	struct page_guard *guard;  /* NULL: nobody */
	uint32_t policy;           /* where its pages should lie: a number of um/sys_numa.c's; 0: wherever */
	TAILQ_ENTRY(vm_area) link;
};
RB_HEAD(area_tree, vm_area);
TAILQ_HEAD(area_list, vm_area);

/* First area with end > addr (it may start above addr), or NULL.  Locked: mm.  The cache is the calling thread's. */
struct task;
struct vm_area *find_vma(struct mm *mm, struct task *tk, vaddr_t addr);
/* The area that contains addr, or NULL. */
struct vm_area *vma_lookup(struct mm *mm, struct task *tk, vaddr_t addr);
/* First area that intersects [start, end), or NULL. */
struct vm_area *find_vma_intersection(struct mm *mm, vaddr_t start, vaddr_t end);
static inline struct vm_area *vma_next(struct vm_area *v) { return TAILQ_NEXT(v, link); }
struct vm_area *vma_prev(struct mm *mm, struct vm_area *v);
/* The ends of what the program knows as one area with v, though part of it is lent and part is not (mm/lend.c). */
struct vm_area *area_first_part(struct mm *mm, struct vm_area *v);
struct vm_area *area_last_part(struct vm_area *v);
/* Split v at addr (page-aligned, inside); v keeps the lower part.  -ENOMEM. */
int split_vma(struct mm *mm, struct vm_area *v, vaddr_t addr, struct vm_area **ret_upper);
/* Merge v with its neighbours where Linux would; returns the area that now covers v's range. */
struct vm_area *vma_merge(struct mm *mm, struct vm_area *v);
/* Give [start, end) a policy, area by area.  -ENOMEM.  Locked: mm. */
int area_set_policy(struct mm *mm, vaddr_t start, vaddr_t end, uint32_t policy);
/* Insert / unlink; keeps counts (total_vm, nr_areas, …) and bumps mm->seq. */
struct vm_area *vma_alloc(struct mm *mm, vaddr_t start, vaddr_t end, uint32_t flags, struct sf_file *file, uint64_t pgoff);
void vma_insert(struct mm *mm, struct vm_area *v);
void vma_remove(struct mm *mm, struct vm_area *v); /* unlink and free; pages are the caller's business */
/* Lowest-from-the-top gap of len bytes below mm->mmap_base (top-down as Linux), or -ENOMEM.  align ≥ PAGE_SIZE. */
int64_t get_unmapped_area(struct mm *mm, vaddr_t hint, uint64_t len);
void areas_check(struct mm *mm); /* panics unless list, tree and counts agree, areas are disjoint and could not be merged */

/* The area's line in stats, made on first use. Locked: mm. */
uint32_t area_stat(struct mm *mm, struct vm_area *v);
/* Name for maps and stats: "[heap]", "[stack]", file path, or "". */
const char *vma_name(struct mm *mm, struct vm_area *v);

/* ---------------------------------------------------------------- page table (mm/ptable.c)
 *
 * One 64-bit entry a page, in a four-level radix of 512-entry nodes, kept for every page that is resident or swapped.
 *   0                      nothing: contents come from the area's type
 *   …|PTE_PRESENT          frame number in the upper half: resident (visible, hidden or busy: see the frame)
 *   …|PTE_SWAP             slot number in the bits from 8: contents are in the store
 *   PTE_POISON             contents were lost (bad checksum, I/O error at swap-in): SIGBUS for ever
 *   PTE_BLANK              of a snapshot: zeros (mm/snap.c)
 *   PTE_GUARD              nothing, and a touch is SIGSEGV (MADV_GUARD_INSTALL); stays when contents are given up */
typedef uint64_t pte_t;
#define PTE_PRESENT 1ull
#define PTE_SWAP    2ull
#define PTE_POISON  4ull
#define PTE_BLANK   8ull
#define PTE_GUARD   16ull
static inline pte_t pte_mk_frame(uint32_t frame) { return (uint64_t)frame << 32 | PTE_PRESENT; }
static inline uint32_t pte_frame(pte_t e) { return (uint32_t)(e >> 32); }
static inline pte_t pte_mk_swap(uint64_t slot) { return slot << 8 | PTE_SWAP; }
static inline uint64_t pte_slot(pte_t e) { return e >> 8; }

pte_t pte_get(struct mm *mm, uint64_t pfn);
/* Pointer to the entry, making nodes as needed; NULL only when out of memory for a node. */
pte_t *pte_alloc(struct mm *mm, uint64_t pfn);
/* Set an entry for which pte_alloc has succeeded before, or whose value is already non-zero.  Keeps node use counts; empty nodes are freed. */
void pte_set(struct mm *mm, uint64_t pfn, pte_t e);
/* First page number ≥ pfn and < end with a non-zero entry, or end.  Skips empty nodes without visiting them. */
uint64_t pte_next(struct mm *mm, uint64_t pfn, uint64_t end);
void pte_free_all(struct mm *mm);

/* ---------------------------------------------------------------- frames (mm/page.c)
 *
 * A frame is the right to keep one page in memory; its contents lie with the port.  struct page describes it.
 *
 *   FREE --page_alloc--> (caller's) --page_installed--> VISIBLE <--show/hide--> HIDDEN
 *     ^------------------------- page_free ------------------'-------------------'
 * PG_BUSY marks I/O in flight for the page (being read in, or written out): nobody else may move it; wait with
 * page_wait().  */
struct page {
	uint64_t pfn;      /* page number in the address space */
	uint32_t next, prev; /* list links: frame numbers, 0 ends */
	uint32_t slot;     /* swap slot with a clean copy, 0: none */
	hid_t hid;         /* name while hidden */
	uint16_t pins;     /* nobody may hide or evict it */
	uint16_t flags;    /* PG_* */
	uint8_t list;      /* policy's list number */
	uint8_t age;       /* the policy's own */
};
_Static_assert(sizeof(struct page) <= 40, "frame descriptors stay small");

#define PG_VISIBLE  0x0001u
#define PG_HIDDEN   0x0002u
#define PG_WRITABLE 0x0004u /* visible: a write does not fault */
#define PG_DIRTY    0x0008u /* differs from its backing (slot or file); anonymous pages without a slot are dirty */
#define PG_BUSY     0x0010u
#define PG_FILE     0x0020u /* clean contents can be had again from the area's file */
#define PG_SHARED   0x0040u /* of a host mapping: shared, or of a private area (with PG_FILE): lent, or placed */
#define PG_LOCKED   0x0080u /* mlock */
#define PG_LAZYFREE 0x0100u /* MADV_FREE: may be dropped while still clean since then */
#define PG_AHEAD    0x0200u /* brought in speculatively, not yet known to be used */
#define PG_WRITEBACK 0x0400u /* its copy is on the way to the store; a touch may take it back at any moment */
#define PG_ZERO     0x0800u /* filled with zeros for a read; may still be all zero */
#define PG_REFERENCED 0x1000u /* came back by a soft fault (for policies) */
#define PG_ANON     0x2000u /* of an anonymous area: all-zero contents need no slot */
#define PG_PLACED   0x2000u /* with PG_SHARED: placed (mm/inplace.c) */
#define PG_FORKED   0x8000u /* write-protected by fork: the first write is do_wp_page's to see (mc->fork_faults) */
#define PG_DEFERRED 0x4000u /* pinned when its area's protection changed: applied when the last pin goes */

#define NR_LISTS 4
struct page_list { uint32_t head, tail; uint64_t count; };

struct page *frame_page(struct machine *mc, uint32_t frame);
uint32_t page_frame(struct machine *mc, const struct page *pg);
/* The descriptor of a resident page, or NULL. */
struct page *page_at(struct mm *mm, uint64_t pfn);
static inline bool page_evictable(const struct page *pg)
{
	return !pg->pins && !(pg->flags & (PG_BUSY | PG_LOCKED | PG_WRITEBACK));
}
/* Lists, for policies: head is where pages enter, tail where the coldest are. */
void list_add_head(struct machine *mc, unsigned list, struct page *pg);
void list_add_tail(struct machine *mc, unsigned list, struct page *pg);
void list_del(struct machine *mc, struct page *pg);
struct page *list_tail(struct machine *mc, unsigned list);
struct page *list_prev(struct machine *mc, struct page *pg); /* towards the head; NULL at its end */

/* Take one frame.  Reclaims when the bound is reached; may let go of the lock and then sets *dropped.  NULL: nothing left
 * to evict (OOM).  Locked: mm. */
struct page *page_alloc(struct mm *mm, bool *dropped);
/* Frames that could be had right now without evicting (for batches); SIZE_MAX when unbounded. */
size_t frames_free(struct machine *mc);
/* Frames granted by the tree that are not used, but for keep, go back to it; how many. */
uint64_t frames_trim(struct machine *mc, uint64_t keep);
struct page *page_alloc_nowait(struct machine *mc); /* only while frames_free() */
void page_free(struct machine *mc, struct page *pg); /* the frame is free; pte and port are the caller's business */
/* Sleep until some busy page has changed; lets go of the lock and takes it again. */
void page_wait(struct mm *mm);
void page_wake(struct mm *mm);
/* Visible -> hidden for pages in any order; finds the runs.  Pages that the port refuses stay visible.  Returns how many were hidden. */
unsigned pages_hide(struct mm *mm, struct page **pgs, unsigned n);
void pages_check(struct mm *mm); /* the numbered invariants of page.c */

/* Give up the contents of every page of [start, end): frames, slots, hidden copies; busy pages are waited for (the lock
 * may be let go of).  The range's ptes are zero afterwards and its pages absent at the port.  */
void zap_range(struct mm *mm, vaddr_t start, vaddr_t end);
/* Drop the pages of a private file range that have never been written; busy ones stay.  Locked: mm. */
void drop_file_pages(struct mm *mm, vaddr_t start, vaddr_t end);
void zap_contents(struct mm *mm, vaddr_t start, vaddr_t end); /* the same, but PTE_GUARD stays */
/* Adapt the visible pages of a range to its (already changed) area flags: hide where nothing may be read, protect where nothing
 * may be written.  Writability is given back lazily by faults, or at once for dirty pages when that is one call. */
int protect_range(struct mm *mm, struct vm_area *v, vaddr_t start, vaddr_t end);
/* Every visible page of the range becomes read-only, whatever its area allows. */
int protect_writes(struct mm *mm, vaddr_t start, vaddr_t end);
static inline bool area_may_write(const struct vm_area *v, struct mm *mm, uint64_t pfn)
{
	return likely(!v->guard) || v->guard->may_write(v->guard, mm, pfn);
}
/* Move ptes, frames, slots and port contents (mremap). */
int move_range(struct mm *mm, vaddr_t from, vaddr_t to, uint64_t len);
int move_guards(struct mm *mm, vaddr_t from, vaddr_t to, uint64_t len); /* nothing but PTE_GUARD */

/* ---------------------------------------------------------------- reclaim (mm/reclaim.c), swap map (mm/swap.c) */

/* Evict until at least want frames are free, by batches.  Lets go of the lock over I/O.  Number freed; 0 when nothing could be.  */
unsigned reclaim(struct mm *mm, unsigned want);
/* Hide pages as the policy asks when memory is short. */
void balance(struct mm *mm);
/* MADV_PAGEOUT: evict what can be of a range. */
void reclaim_range(struct mm *mm, vaddr_t start, vaddr_t end);
/* stats->store_bytes anew: what the stores' memory takes from the bound.  Locked: mm. */
void count_store(struct machine *mc);
/* When no slot is in use: the stores' memory is given back, but for a few pages.  Locked: mm. */
void stores_relax(struct machine *mc);
/* Change the bound while in use; reclaims down to it.  -EBUSY when pinned and locked pages exceed it. */
int machine_set_bound(struct machine *mc, uint64_t pages);

struct swap_map; /* per slot: use count and checksum; free runs are found next-fit */
int swap_init(struct machine *mc, struct store *top, uint64_t max_slots);
void swap_exit(struct machine *mc); /* frees the map; the store stays the caller's */
/* A run of up to want free slots with use count 1; returns the length of the run, 0 when full. */
unsigned swap_alloc(struct machine *mc, unsigned want, uint64_t *ret_slot);
void swap_dup(struct machine *mc, uint64_t slot);
void swap_dup_for(struct machine *mc, struct tree_member *m, uint64_t slot); /* another member holds it too */
void swap_put_dead(struct machine *mc, uint64_t slot); /* a member that held it died; any context */
void swap_free(struct machine *mc, uint64_t slot, unsigned n); /* discards in the store what reaches zero */
void swap_set_sum(struct machine *mc, uint64_t slot, const void *page);
/* Read n slots, verify each.  -EIO on I/O error, -EBADMSG on a wrong checksum.  No lock held. */
int swap_read(struct machine *mc, uint64_t slot, unsigned n, void *buf);
int swap_write(struct machine *mc, uint64_t slot, unsigned n, const void *buf); /* sums and writes; no lock held */
uint64_t swap_used(struct machine *mc);
uint64_t swap_map_bytes(struct machine *mc); /* touched so far */

/* ---------------------------------------------------------------- the fault path (mm/fault.c) */

#define VM_FAULT_MINOR  0x01u
#define VM_FAULT_MAJOR  0x02u
#define VM_FAULT_OOM    0x04u
#define VM_FAULT_SIGBUS 0x08u
#define VM_FAULT_RETRY  0x10u /* something changed while the lock was dropped: look up anew */
#define VM_FAULT_SOFT   0x20u
#define VM_FAULT_COW    0x40u
#define VM_FAULT_NOPAGE 0x80u /* found the work done */
#define VM_FAULT_SIGSEGV 0x100u
#define VM_FAULT_ERROR  (VM_FAULT_OOM | VM_FAULT_SIGBUS | VM_FAULT_SIGSEGV)

/* The processor's page-fault error code. */
#define PF_PROT  1u  /* 0: page absent, 1: protection */
#define PF_WRITE 2u
#define PF_USER  4u
#define PF_INSTR 16u

/* What the core keeps for each thread: the "thread structure" of the UML paper. */
#define TASK_RECENT 8u          /* more pages than one instruction needs */
struct task {
	uint32_t tid;
	struct vm_area *vma_cache; uint64_t vma_cache_seq;
	vaddr_t fault_addr;     /* address of the last kernel-mode fault that went to its fixup */
	uint32_t fault_disabled;/* > 0: kernel-mode faults go to their fixup at once (row 21) */
	uint64_t min_flt, maj_flt;
	uint64_t evicted_pfn; uint32_t nr_evicted; /* during the current fault, for the trace */
	int error;              /* why the last fault was a SIGBUS, if known */
	uint64_t recent[TASK_RECENT]; uint32_t recent_at; /* page numbers of the last faults: what the thread itself evicts last */
	uint64_t want_lo, want_hi; /* page numbers that the last fault's cluster asks for beside what it brought in */
};

struct fault_ctx {
	struct mm *mm;
	struct task *task;
	struct vm_area *area;
	vaddr_t addr;       /* exact */
	uint64_t pfn;
	unsigned error_code;
	bool write;
};

enum fault_verdict {
	FAULT_FIXED,  /* run the instruction again */
	FAULT_SIGNAL, /* deliver report.signo to the program */
	FAULT_FIXUP,  /* kernel mode: continue at report.fixup */
	FAULT_OOPS,   /* kernel mode without an entry */
	FAULT_KILL,   /* OOM: this process has been chosen */
};
struct fault_report {
	int signo;       /* SIGSEGV 11 or SIGBUS 7 */
	int code;        /* SEGV_MAPERR 1, SEGV_ACCERR 2, BUS_ADRERR 2 */
	vaddr_t addr;
	unsigned error_code; /* for err in the frame, as Linux fills it */
	vaddr_t fixup;
	enum fault_kind kind;
};
/* One page fault, user or kernel mode (by PF_USER in error_code); ip is the faulting instruction.  Not locked.  Counts, times and traces
 * the fault.  Source: Linux arch/x86/mm/fault.c do_user_addr_fault, bad_area, fixup_exception. */
enum fault_verdict do_page_fault(struct mm *mm, struct task *tk, vaddr_t addr, unsigned error_code, vaddr_t ip,
				 struct fault_report *ret);
/* Correct one legal fault; machine-independent.  Locked: mm.  VM_FAULT_* flags. */
unsigned handle_mm_fault(struct fault_ctx *fc);

/* Make [addr, addr+len) resident and pinned, writable too if write; no fault on it and no eviction until unpin_user.  Returns the number of
 * bytes from addr that are good (whole len, or fewer when a page is bad), or -EFAULT when not even the first is, -ENOMEM when
 * the bound does not hold so many pinned pages (then fewer bytes may be returned instead), -EINTR never.  Not locked.
 * Pins nest; up to 65535 for each page. */
int64_t pin_user(struct mm *mm, struct task *tk, vaddr_t addr, uint64_t len, bool write);
void unpin_user(struct mm *mm, vaddr_t addr, uint64_t len);
/* The same for the one page of addr, as a debugger has it: with force, rights that the area does not give now but may give do not matter; a page that
 * is written so stays private.  0 or -errno. */
int pin_forced(struct mm *mm, struct task *tk, vaddr_t addr, bool write, bool force);
/* Most pages that one call may hope to pin at once under the bound. */
uint64_t pin_limit(struct machine *mc);
/* Like pin_user without keeping it: Linux's fault_in_readable/writeable.  Bytes not faulted in. */
uint64_t fault_in_user(struct mm *mm, struct task *tk, vaddr_t addr, uint64_t len, bool write);
/* addr+len does not wrap and lies below TASK_SIZE: the only check made before a user copy touches memory (row 13). */
bool access_ok(struct mm *mm, vaddr_t addr, uint64_t len);

/* ---------------------------------------------------------------- exception tables (mm/extable.c) */

enum ex_type { EX_FIXUP, EX_EFAULT_RAX }; /* jump to fixup; also put -EFAULT in rax */
struct exception_entry { int32_t insn, fixup; int32_t type; }; /* insn and fixup: relative to their own field, as in Linux */
struct ex_module { struct exception_entry *start, *stop; LIST_ENTRY(ex_module) link; };
void extable_sort(struct exception_entry *start, struct exception_entry *stop);
void extable_register(struct ex_module *m); /* sorts; searched after the main table */
void extable_unregister(struct ex_module *m);
/* The fixup's address for an instruction address, 0 if there is none.  Searches the main table between
 * __start___ex_table and __stop___ex_table (weak: may be absent) and then each module's. */
vaddr_t search_exception_table(vaddr_t ip, enum ex_type *ret_type);

/* ---------------------------------------------------------------- calls that shape areas (mm/mmap.c, …)
 *
 * All take the lock themselves.  Values of prot, flags and advice are Linux's (x86-64).  Results as the system calls':
 * an address or 0, or -errno. */
int64_t do_mmap(struct mm *mm, vaddr_t addr, uint64_t len, unsigned prot, unsigned flags, struct sf_file *file,
		unsigned file_mode /* PT_R|PT_W: how file is open */, uint64_t off);
int64_t do_munmap(struct mm *mm, vaddr_t addr, uint64_t len);
int64_t do_mprotect(struct mm *mm, vaddr_t addr, uint64_t len, unsigned prot);
int64_t do_mseal(struct mm *mm, vaddr_t addr, uint64_t len);
int64_t do_mremap(struct mm *mm, vaddr_t addr, uint64_t old_len, uint64_t new_len, unsigned flags, vaddr_t new_addr);
int64_t do_brk(struct mm *mm, vaddr_t brk);
int64_t do_madvise(struct mm *mm, struct task *tk, vaddr_t addr, uint64_t len, int advice);
int64_t do_msync(struct mm *mm, vaddr_t addr, uint64_t len, int flags);
/* vec: one byte a page in our own memory; the caller copies it out. */
int64_t do_mincore(struct mm *mm, vaddr_t addr, uint64_t len, unsigned char *vec);
int64_t do_mlock(struct mm *mm, struct task *tk, vaddr_t addr, uint64_t len, int flags);
int64_t do_munlock(struct mm *mm, vaddr_t addr, uint64_t len);
int64_t do_mlockall(struct mm *mm, struct task *tk, int flags);
int64_t do_munlockall(struct mm *mm);
/* Bring a range in as MAP_POPULATE and mlock do; -errno of the first page that fails. */
int64_t populate_range(struct mm *mm, struct task *tk, vaddr_t addr, uint64_t len, bool write);
/* Grow a GROWSDOWN area down to addr (row 8).  Locked: mm.  -ENOMEM when rlimit or guard gap forbid. */
int expand_stack(struct mm *mm, struct vm_area *v, vaddr_t addr);

/* ---------------------------------------------------------------- mm and machine (mm/machine.c) */

struct mm_limits { uint64_t as, data, stack, memlock, data_max; }; /* bytes; UINT64_MAX: none; data_max counts when data is 0 */

/* Sequential patterns seen lately: a fault next to [lo, hi) goes on with one (mm/memtype.c). */
#define NR_STREAMS 16
struct fault_stream { uint64_t lo, hi; uint32_t window, last; }; /* last: pages brought in last */

struct mm {
	struct machine *mc;
	uint32_t lock, lock_owner, lock_waiters;
	uint32_t wait_seq, waiters;  /* page_wait */
	struct area_tree tree;
	struct area_list list;
	uint64_t seq;            /* bumped by each change of any area */
	void *ptable; uint64_t ptable_pages; /* radix root; nodes in use */
	vaddr_t task_size, mmap_min, mmap_base;
	vaddr_t start_code, end_code, start_data, end_data, start_brk, brk, start_stack;
	vaddr_t arg_start, arg_end, env_start, env_end;
	uint64_t nr_areas, total_vm, data_vm, stack_vm, exec_vm, shared_vm, locked_vm, account_vm, hidden_vm; /* the last eight in pages */
	uint64_t max_areas;      /* 65530 as vm.max_map_count, settable */
	uint32_t def_flags;      /* mlockall(MCL_FUTURE) */
	uint32_t mdwe;           /* PR_SET_MDWE: MDWE_* */
#define MDWE_REFUSE_EXEC_GAIN 1u
#define MDWE_NO_INHERIT 2u
	int overcommit;          /* 0, 1, 2 as vm.overcommit_memory; 2 refuses beyond commit_limit pages */
	uint64_t commit_limit;
	uint64_t guess_limit;    /* mode 0: no single request is for more pages than there are, swap included; 0: not checked */
	struct mm_limits limits;
	uint64_t stack_guard;    /* bytes, 1 MiB */
	uint64_t rss_anon, rss_file, rss_shared, swapped; /* pages */
	uint32_t generation;     /* how many forks down from the first process */
	uint64_t placed_twice;   /* page number of the last placed page that was touched in vain (mm/inplace.c) */
	uint64_t shared_serial;  /* shared anonymous mappings made so far */
	struct fault_stream streams[NR_STREAMS]; uint32_t stream_last, stream_victim;
};

/* What a policy keeps for itself, zeroed at the start; and what faults cost lately, trap included, as the core measures it (0: unknown). */
struct policy_state { uint32_t share; uint64_t touches, fills; uint32_t soft_ns, major_ns; };

struct machine {
	struct port *port;
	const struct policy_ops *policy; void *policy_arg; /* the policy's own */
	struct mm *mm;
	struct sf_stats *stats;   /* never NULL */
	struct sf_proc_stat *own; /* this process's share of them; never NULL */
	struct sf_proc_stat own_default;
	uint64_t bound;           /* pages; 0: none */
	uint64_t used;            /* frames in use */
	struct sf_tree *tree;     /* shared with the machines of other processes (tree.h), or NULL */
	struct tree_member *me;   /* our entry there */
	const struct tree_ops *tree_ops;
	uint64_t asked_ns;        /* when we last asked others for what they do not use */
	struct tree_member *child; bool child_drops; /* during fork: the child's entry; it shall not inherit clean pages */
	uint64_t pinned, mlocked; /* frames */
	struct page *frames; uint64_t max_frames; uint32_t free_head; uint64_t frames_touched;
	struct page_list lists[NR_LISTS];
	struct policy_state policy_state;
	uint64_t hidden;          /* frames that are PG_HIDDEN */
	uint64_t inflight, writeback; /* pages with I/O under way: all, and those being written (even if disowned meanwhile) */
	struct swap_map *swap; struct store *store;
	uint32_t reread, rewritten; /* pages back from the store lately: left again unchanged; were written (mm/swap.c) */
	uint32_t nr_iobufs, iobuf_waiters; void *iobufs[8]; /* spare SF_IOBUF buffers */
	void *kmem;               /* allocator's state (mm/kmalloc.c) */
	bool fork_faults;         /* fork write-protects, so that each copy-on-write is a fault of ours */
	unsigned fault_around;    /* most pages that one fault brings in: 16 */
	unsigned watch;           /* > 0: keep at most so many pages visible (reference tracing for curves); one instruction may touch six */
	uint64_t *watch_ring; uint32_t watch_len, watch_at; /* page numbers of the visible ones, oldest at watch_at */
	uint64_t maps_enough;     /* host mappings from which on hiding pages is tried again */
	/* Called after each fault when set; any context a fault may be in. */
	void (*trace)(struct machine *mc, const struct sf_trace_rec *rec); void *trace_arg;
	/* No memory and nothing to evict (rows 31, 32).  Not locked.  Returns true to try again, false when this process is to die. */
	bool (*oom)(struct machine *mc, struct task *tk, vaddr_t addr); void *oom_arg;
	bool forks_apart;       /* the child of a fork has copies of the stores, the swap map and the counters */
	uint64_t homes;           /* files in use with write_back */
	/* A page of the swap store cannot be read (err).  buf: a page that may be filled instead.  Not locked; f may be NULL. */
	enum swap_verdict { SWAP_POISON, SWAP_RETRY, SWAP_SUPPLIED, SWAP_FAIL } (*swap_error)(struct machine *mc, struct sf_file *f, uint64_t pgoff,
											       int err, unsigned attempt, void *buf);
	/* Something to tell the user, one line without newline (swap full, checksum error …). May be NULL. */
	void (*warn)(struct machine *mc, const char *msg); void *warn_arg;
	void (*text_filled)(struct machine *mc, uint64_t pfn, unsigned n, char *buf); /* see text.h; both may be NULL.  Locked: mm */
	bool (*text_gone)(struct machine *mc, vaddr_t start, vaddr_t end); /* true: changed pages were there */
	uint32_t file_warned;     /* that a file's page cannot be read has been told */
};

struct machine_config {
	struct port *port;
	const struct policy_ops *policy; /* NULL: policy_twolist */
	struct store *store;             /* NULL: nothing can be swapped */
	uint64_t swap_slots;             /* most slots */
	uint64_t bound_pages;            /* 0: none */
	struct sf_stats *stats;          /* NULL: allocated from the port */
	struct sf_tree *tree; const struct tree_ops *tree_ops; /* NULL: alone.  The tree has the bound and the slots; the machine joins it */
	uint32_t pid;                    /* for the tree */
	vaddr_t mmap_min, task_size, mmap_base;
};
/* Make a machine with one empty mm.  Memory comes from the port.  -ENOMEM, -EINVAL (bound below MACHINE_MIN_PAGES). */
int machine_create(const struct machine_config *cfg, struct machine **ret);
/* Free everything.  The machine must be quiet.  Stores and port stay the caller's. */
void machine_destroy(struct machine *mc);
#define MACHINE_MIN_PAGES 64u
void machine_count_tables(struct machine *mc); /* stats->table_bytes anew; locked: mm */
void machine_check(struct machine *mc); /* areas_check, pages_check, swap map agree */

/* ---------------------------------------------------------------- fork (mm/fork.c)
 *
 * Around the host's fork of this process, by a thread that has no user memory pinned.  begin: the lock is held by the caller throughout.  end: in the parent,
 * child_pid 0 if there is none.  child: in the child instead of end, by the same thread under its new number; the lock is still held.
 * shares_files: descriptors are the parent's too.  -errno: the child's memory cannot be used. */
/* Room for the child's pages under the bound of the tree, and its place there; lets go of the lock meanwhile.  -EAGAIN, -ENOMEM.  begin follows without
 * letting go of the lock again. */
int mm_fork_room(struct mm *mm);
int mm_fork_begin(struct mm *mm);
void mm_fork_stores(struct mm *mm); /* another process will use the stores, with memory of its own or not.  Locked: mm. */
void mm_fork_end(struct mm *mm, uint32_t child_pid);
int mm_fork_child(struct mm *mm, uint32_t pid, bool shares_files);
void kmem_fork_begin(struct machine *mc); /* nobody is inside the allocator until kmem_fork_end */
void kmem_fork_end(struct machine *mc);

void mm_lock(struct mm *mm);
void mm_unlock(struct mm *mm);
bool mm_is_locked(struct mm *mm); /* by this thread */

/* Buffers of SF_IOBUF bytes for reads and writes.  Never NULL (waits for one; call without pages marked busy or with the lock dropped). */
#define SF_IOBUF_PAGES 32u
#define SF_IOBUF (SF_IOBUF_PAGES * PAGE_SIZE)
void *iobuf_get(struct machine *mc);
void iobuf_put(struct machine *mc, void *buf);

/* Small memory of the core: any size, 16-byte aligned, zeroed; NULL when there is none.  kfree needs no size. (mm/kmalloc.c) */
void *kmalloc(struct machine *mc, size_t size);
void kfree(struct machine *mc, void *p);
int kmem_init(struct machine *mc);
void kmem_destroy(struct machine *mc);   /* frees whatever is still allocated */
uint64_t kmem_bytes(struct machine *mc); /* handed out now, headers included */

#endif
