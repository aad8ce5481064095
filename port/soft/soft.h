/* SPDX-License-Identifier: MIT */
/* soft.h - a software MMU as a port, and the instructions that run on it
 *
 * The same core that serves real faults runs here on page tables, a TLB and error codes made of plain memory, one
 * step at a time and the same every time.  Unit tests, fuzzers and the simulator stand on it.
 *
 *	struct port *p;
 *	soft_port_create(0x10000, 1ull << 40, &p);
 *	machine_create(&(struct machine_config){ .port = p, … }, &mc);
 *	verdict = soft_access(p, mc->mm, &task, addr, buf, n, PT_W, &report);   // one program instruction
 *	machine_destroy(mc);
 *	soft_port_destroy(p);                                                   // frames that leaked
 *
 * The port is strict: what port.h forbids (filling a visible page, showing a page under another's name …) ends in
 * sf_panic.  It is not for kernel mode: it takes malloc, a mutex and the futex call from libc. */
#ifndef SF_SOFT_H
#define SF_SOFT_H

#include "mm/mm.h"
#include "port/port.h"

enum soft_op {
	SOFT_RESERVE,
	SOFT_RESERVE_SHARED,
	SOFT_LEND,
	SOFT_RELEASE,
	SOFT_SET_EXEC,
	SOFT_FILL,
	SOFT_PROTECT,
	SOFT_HIDE,
	SOFT_SHOW,
	SOFT_READ_HIDDEN,
	SOFT_PEEK,
	SOFT_DROP,
	SOFT_DROP_HIDDEN,
	SOFT_MOVE,
	SOFT_SHOW_SHARED,
	SOFT_HIDE_SHARED,
	SOFT_SYNC,
	SOFT_ALLOC,
	SOFT_NR_OPS
};
#define SOFT_OP(op) (1u << (op))

/* Program memory is [lo, hi), page-aligned.  -EINVAL, -ENOMEM. */
int soft_port_create(vaddr_t lo, vaddr_t hi, struct port **ret);
/* Frees everything; returns how many frames, allocations and reserved ranges were still live. */
uint64_t soft_port_destroy(struct port *p);

/* ---- instructions */

/* One program instruction (or a string of them when n crosses pages) that reads n bytes into buf (PT_R, PT_X: fetches) or
 * writes them from buf (PT_W).  Translates by TLB and page tables; a miss or a violation goes to do_page_fault with the
 * processor's error code, and is tried again while that answers FAULT_FIXED.  Returns FAULT_FIXED when all is done, else
 * the verdict, with *ret filled; the bytes before the bad page have then been transferred.  ret may be NULL. */
int soft_access(struct port *p, struct mm *mm, struct task *tk, vaddr_t addr, void *buf, size_t n, unsigned access,
		struct fault_report *ret);

/* The same in kernel mode, by the instruction at ip.  fn does the work on one piece that lies in one page (at: program
 * bytes, buf: ours) and returns false to stop early.  *ret_done: bytes for which fn has run. */
typedef bool (*soft_copy_fn)(void *at, void *buf, size_t n);
struct soft_kernel_access {
	vaddr_t addr;
	void *buf;
	size_t n;
	unsigned access; /* PT_R or PT_W */
	vaddr_t ip;
	soft_copy_fn fn;
};
int soft_kernel_access(struct mm *mm, struct task *tk, const struct soft_kernel_access *a, size_t *ret_done, struct fault_report *ret);

/* The instruction pointer that soft_access reports for reads and writes (a fetch reports its own address). */
void soft_set_ip(struct port *p, vaddr_t ip);

/* ---- shared objects: files in memory, under numbers that serve as fd of reserve_shared */

int soft_object_create(struct port *p, uint64_t size); /* zeros; returns its number */
void soft_object_close(struct port *p, int fd);        /* nothing may map it any more */
void soft_object_resize(struct port *p, int fd, uint64_t size);
uint64_t soft_object_size(struct port *p, int fd);
size_t soft_object_read(struct port *p, int fd, void *buf, size_t n, uint64_t off);      /* short at end of file */
void soft_object_write(struct port *p, int fd, const void *buf, size_t n, uint64_t off); /* grows the file */

/* ---- control of the machine */

void soft_set_time(struct port *p, uint64_t ns);
void soft_advance(struct port *p, uint64_t ns);
void soft_set_tick(struct port *p, uint64_t ns); /* what each call of now() adds; 1 at first */
/* Without threads (the default) a sleep that nobody can end is a panic, not a hang. */
void soft_set_threaded(struct port *p, bool on);

/* Let calls of the operations in the mask ops fail: the first skip of them work, the next times fail with -err (alloc and
 * peek: NULL), later ones work.  times 0 switches it off.  Errors that port.h does not allow are the caller's business. */
void soft_fail(struct port *p, unsigned ops, uint64_t skip, uint64_t times, int err);
uint64_t soft_failed(struct port *p); /* calls that failed by it, since soft_fail */

/* ---- what is so */

struct soft_counts {
	uint64_t visible, hidden;     /* private pages */
	uint64_t shared;              /* shared pages shown */
	uint64_t peak;                /* most visible + hidden + shared there ever were */
	uint64_t allocs, alloc_bytes; /* memory of the core */
	uint64_t nodes, regions;      /* of the page table; reserved ranges */
	uint64_t tlb_hits, tlb_misses;
	uint64_t calls[SOFT_NR_OPS];
};
void soft_counts(struct port *p, struct soft_counts *ret);
void soft_reset_peak(struct port *p);

enum soft_state { SOFT_UNRESERVED, SOFT_ABSENT, SOFT_VISIBLE, SOFT_HIDDEN, SOFT_SHOWN /* shared */ };
/* *ret_prot: PT_* (visible, shown); *ret_hid: name (hidden).  Either may be NULL. */
enum soft_state soft_state(struct port *p, vaddr_t va, unsigned *ret_prot, hid_t *ret_hid);
bool soft_is_exec(struct port *p, vaddr_t va);
void soft_check(struct port *p); /* counts, names and page table agree */

#endif
