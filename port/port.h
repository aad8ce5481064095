/* SPDX-License-Identifier: MIT */
/* port.h - what the memory core asks of a machine
 *
 * The core decides which page is in memory, which is visible and which may be written; a port makes it so.
 * `soft` is a software MMU for tests and simulation, `host` is this process's own address space through
 * userfaultfd or mprotect.  The same core object code runs on all of them.
 *
 * A private page is in one of three conditions:
 *
 *     absent   --fill-->   visible   --hide-->  hidden
 *                             ^  <------show------'
 *     absent  <--drop-----    |
 *     absent  <--drop_hidden----------------- hidden
 *
 * absent:  no content; a touch is a fault with error-code bit 0 clear.
 * visible: content at its address; a touch allowed by the page's permission does not fault, any other touch is a
 *          fault with bit 0 set.  (Execution: permission to execute belongs to the range, see reserve.)
 * hidden:  content kept out of view under a port-chosen name (hid_t); a touch is a fault with bit 0 clear.
 *
 * Rules for every method: addresses are page-aligned, n counts pages and is at least 1, ranges lie in reserved
 * memory; the caller holds the mm lock unless the method says otherwise, so calls never overlap; 0 or a negative
 * errno, and on failure nothing has changed (unless said otherwise).  A method never touches program memory
 * through a program address, and other threads of the program may touch the range at any moment: each change of
 * one page is atomic for them. */
#ifndef SF_PORT_H
#define SF_PORT_H

#include "mm/base.h"

typedef uint32_t hid_t; /* a hidden page's name; only the port gives it meaning; 0 is valid */

struct port;

struct port_ops {
	const char *name; /* "soft", "uffd", "segv" */

	/* [va, va+n) becomes private memory of the program, every page absent; whatever the range was before is
	 * gone (visible pages are discarded; the core has dropped hidden ones).  exec: pages may be executed.
	 * -ENOMEM. */
	int (*reserve)(struct port *p, vaddr_t va, size_t n, bool exec);

	/* [va, va+n) becomes a shared mapping of fd from byte offset off, wholly invisible.  maxprot: the most that
	 * will ever be asked of it (PT_*).  -ENOMEM, -EACCES, -ENODEV as mmap. */
	int (*reserve_shared)(struct port *p, vaddr_t va, size_t n, int fd, uint64_t off, unsigned maxprot);

	/* Optional.  The same for a mapping that is never written: the file's own pages, whether or not the file is open for writing.  -EPERM when prot
	 * (PT_R, PT_X) has PT_X and the file may not be executed. */
	int (*lend)(struct port *p, vaddr_t va, size_t n, int fd, uint64_t off, unsigned prot);

	/* The range is no longer the program's.  May touch ranges that were never reserved.  Cannot fail for the caller: a port
	 * that is out of host mappings keeps the range absent instead. */
	void (*release)(struct port *p, vaddr_t va, size_t n);

	/* Change whether private memory may be executed; visible pages stay as they are. -ENOMEM. */
	int (*set_exec)(struct port *p, vaddr_t va, size_t n, bool exec);

	/* absent -> visible, contents copied from src (n pages, port-readable memory of ours) or zeros when NULL, with
	 * permission prot (has PT_R; PT_W only if a write shall not fault).  -ENOMEM. */
	int (*fill)(struct port *p, vaddr_t va, size_t n, const void *src, unsigned prot);

	/* Change the permission of n visible pages; prot has PT_R. */
	int (*protect)(struct port *p, vaddr_t va, size_t n, unsigned prot);

	/* Optional: whatever pages of [va, va+n) are visible become read-only with one call, however they lie. */
	int (*write_protect)(struct port *p, vaddr_t va, size_t n);

	/* visible -> hidden for n pages; they get the names *ret_first, *ret_first+1, …  On -EAGAIN or -ENOMEM nothing is
	 * hidden and the core tries smaller runs or other pages.  After return no write can reach the contents. */
	int (*hide)(struct port *p, vaddr_t va, size_t n, hid_t *ret_first);

	/* hidden -> visible with permission prot for n pages named first, first+1, … */
	int (*show)(struct port *p, vaddr_t va, hid_t first, size_t n, unsigned prot);

	/* Copy the contents of n hidden pages (consecutive names, consecutive addresses) to dst. */
	int (*read_hidden)(struct port *p, vaddr_t va, hid_t first, size_t n, void *dst);

	/* Direct pointer to the contents of a hidden page, valid until it is shown or dropped, or NULL if the port
	 * cannot (then read_hidden). */
	const void *(*peek)(struct port *p, vaddr_t va, hid_t hid);

	/* Direct pointer to the contents of a visible private page, valid while the lock is held and nothing is done to the page. */
	const void *(*view)(struct port *p, vaddr_t va);

	/* visible -> absent; contents are lost. */
	int (*drop)(struct port *p, vaddr_t va, size_t n);

	/* hidden -> absent, n pages of consecutive names; va is the first one's address if the addresses are consecutive too,
	 * else the call is made page by page. */
	int (*drop_hidden)(struct port *p, vaddr_t va, hid_t first, size_t n);

	/* mremap: the n pages at from are now at to, which is reserved and absent, whatever the condition of each; visible pages
	 * keep contents and permission, hidden ones their names; `from` is left reserved and absent. */
	int (*move)(struct port *p, vaddr_t from, vaddr_t to, size_t n);

	/* Shared mappings: make n pages accessible with prot, or inaccessible again (releasing what they map). */
	int (*show_shared)(struct port *p, vaddr_t va, size_t n, unsigned prot);
	int (*hide_shared)(struct port *p, vaddr_t va, size_t n);
	/* Optional: which of n pages of a shared mapping are in memory, visible or not; one byte each, 1 or 0.  0 or -errno. */
	int (*in_core)(struct port *p, vaddr_t va, size_t n, unsigned char *vec);

	/* Optional, together.  place: n absent private pages, of a range that is not executable, become those of fd from byte offset off as the host has them, for reading
	 * alone; -errno: not this file, or -ENOMEM.  place_read: have what is placed or lent and shown there in memory; no lock held; -errno: not all can be
	 * had.  A touch of a placed page that cannot be had (any more) is a fault.  unplace: they are absent again. */
	int (*place)(struct port *p, vaddr_t va, size_t n, int fd, uint64_t off);
	int (*place_read)(struct port *p, vaddr_t va, size_t n);
	int (*unplace)(struct port *p, vaddr_t va, size_t n);

	/* Optional (NULL: nothing to do).  msync: write the range's changes back to its file and wait, as flags (MS_*) say.  No lock held;
	 * the mapping may go while it works.  0 or -errno. */
	int (*sync_shared)(struct port *p, vaddr_t va, size_t n, int flags);

	/* Optional (NULL: nothing to do).  Around the host's fork: from begin to end, in parent and child alike, no other thread is inside the
	 * port.  Then in the child only: fork_child takes possession (shares_files: descriptors are the parent's too, close none), and fork_range is
	 * called for every reserved private range, whose pages must be as they were in the parent.  The child touches no program memory before. */
	void (*fork_begin)(struct port *p);
	void (*fork_end)(struct port *p);
	int (*fork_child)(struct port *p, bool shares_files);
	int (*fork_range)(struct port *p, vaddr_t va, size_t n);

	/* Optional.  Is this process the only one that has the visible page at va?  1 yes, 0 no: fork has left it to others as well; or -errno. */
	int (*sole)(struct port *p, vaddr_t va);

	/* Services; none needs the mm lock.  alloc: zeroed, page-aligned memory of ours, bytes rounded up to pages,
	 * untouched pages cost nothing; NULL when there is none. */
	void *(*alloc)(struct port *p, size_t bytes);
	void (*free)(struct port *p, void *mem, size_t bytes);
	/* Optional (NULL, or false: it stays as it is).  Whole pages of such memory are zeros again, and cost nothing until they are touched. */
	bool (*clear)(struct port *p, void *mem, size_t bytes);
	/* Futex: sleep while *word == val (may wake early); wake up to count sleepers. */
	void (*wait)(struct port *p, uint32_t *word, uint32_t val);
	void (*wake)(struct port *p, uint32_t *word, int count);
	uint64_t (*now)(struct port *p); /* monotonic, nanoseconds */
	uint32_t (*self)(struct port *p); /* this thread's number, never 0 (for lock assertions) */
};

struct port {
	const struct port_ops *ops;
	unsigned cluster;      /* pages the port would like to see filled together (1 or 16) */
	uint64_t *host_calls;  /* optional counter */
	/* Host mappings in use and the most there may be; the core starts to hide visible pages when nr_maps
	 * comes within 1/8 of max_maps.  max_maps 0: no such limit. */
	uint64_t nr_maps, max_maps;
	uint64_t table_bytes;  /* memory of the port's own tables */
};

#endif
