/* SPDX-License-Identifier: MIT */
/* host.h - this process's own address space as a port, and the one way to call the host
 *
 * Every system call that softfault's kernel-mode code makes goes through host_call(), so a test can make the k-th
 * one fail.  Results are the kernel's: negative errno on failure; errno is never touched. */
#ifndef SF_HOST_H
#define SF_HOST_H

#include "mm/base.h"
#include "port/port.h"
#include <asm/unistd.h>

typedef int64_t (*host_call_fn)(long nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f);
struct host_table { host_call_fn call; };
extern struct host_table host_table; /* starts as the raw system call; tests replace .call */

#define HC_A(x) ((uint64_t)(uintptr_t)(x))
#define host_call6(nr, a, b, c, d, e, f) host_table.call(nr, (uint64_t)(a), (uint64_t)(b), (uint64_t)(c), (uint64_t)(d), (uint64_t)(e), (uint64_t)(f))
#define host_call5(nr, a, b, c, d, e) host_call6(nr, a, b, c, d, e, 0)
#define host_call4(nr, a, b, c, d) host_call6(nr, a, b, c, d, 0, 0)
#define host_call3(nr, a, b, c) host_call6(nr, a, b, c, 0, 0, 0)
#define host_call2(nr, a, b) host_call6(nr, a, b, 0, 0, 0, 0)
#define host_call1(nr, a) host_call6(nr, a, 0, 0, 0, 0, 0)
#define host_call0(nr) host_call6(nr, 0, 0, 0, 0, 0, 0)
/* The raw instruction, in softfault's own text. */
int64_t host_syscall_raw(long nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f);

enum host_engine { ENGINE_AUTO, ENGINE_UFFD, ENGINE_SEGV };

/* What the machine offers, found by trying it (doctor prints it; engines obey it). */
struct host_probe {
	bool uffd;            /* userfaultfd opens, with SIGBUS and write-protect */
	int uffd_errno;       /* why not */
	bool uffd_user_only;  /* needed UFFD_USER_MODE_ONLY */
	uint64_t uffd_features;
	bool uffd_move;       /* UFFDIO_MOVE works (6.8) */
	bool proc_mem;        /* /proc/self/mem writes through PROT_NONE */
	int proc_mem_errno;
	bool madv_populate;   /* MADV_POPULATE_WRITE (5.14) */
	bool process_madvise; /* of our own ranges with MADV_DONTNEED, named by PIDFD_SELF (6.15) */
	uint64_t max_map_count;
};
void host_probe(struct host_probe *ret); /* leaves nothing behind */

/* Program memory is [lo, hi); the port's own memory (arena, tables, alloc()) is taken from [own_lo, own_hi), which is free.  Host descriptors it keeps are moved to
 * fd_base and up, close-on-exec. */
struct host_port_config {
	enum host_engine engine;
	vaddr_t lo, hi;
	vaddr_t own_lo, own_hi;
	uint64_t bound_pages; /* sizes the arena; 0: by physical memory */
	int fd_base;
	bool reserved; /* both ranges are mappings of the caller's already (PROT_NONE), and stay so: nobody else may ever get addresses there */
	bool scarce; /* addresses may run out: have what will be needed now, or fail now */
	bool alone; /* one thread for all of the program's memory, until host_port_shared */
	bool no_huge; /* the process has no huge pages at all (PR_SET_THP_DISABLE) */
	bool host_touch; /* uffd only: faults are messages to host_port_uffd, those of the host kernel's own touches too */
	uint32_t (*self)(struct port *p); /* this thread's number, never 0; NULL: the host's thread id (a system call each time) */
};
struct host_port;
/* -ENODEV: the asked-for engine does not work here; *ret_why says what failed. */
int host_port_create(const struct host_port_config *cfg, struct port **ret, const char **ret_why);
/* /proc, opened before anybody changed the root; -1: only by name. */
extern int host_proc_dir;
void host_port_destroy(struct port *p);
/* From here on other threads may touch the program's memory at any time. */
void host_port_shared(struct port *p);
/* The signal by which this engine reports faults on private memory (SIGBUS for uffd, SIGSEGV for segv); shared mappings always SIGSEGV. */
int host_port_signo(struct port *p);
/* The descriptor of a port with host_touch; readers never block in it. */
int host_port_uffd(struct port *p);
/* Of such a port: whoever waits for this page looks again. */
void host_port_wake(struct port *p, vaddr_t va);
/* Of such a port: no touch of this page succeeds, or waits, until it is allowed again; the page stays as it is.  -errno. */
int host_port_bar(struct port *p, vaddr_t va, bool barred);
/* Is this host siginfo/ucontext a page fault that the core should see?  trapno 14 and an address below hi. */
bool host_is_page_fault(uint64_t trapno, int si_code, vaddr_t addr, struct port *p);
/* Recount host mappings from /proc/self/maps (slow; for tests and after surprises). */
uint64_t host_count_maps(void);

#endif
