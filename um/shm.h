/* SPDX-License-Identifier: MIT */
/* shm.h - what the command and the user-mode kernel share
 *
 * The command (softfault run) makes one memory file, fills in the configuration, and executes the user-mode kernel
 * (softfault-um) with that file as descriptor UM_SHM_FD.  The kernel reports through it; the command reads it when the
 * program has ended, however it ended. */
#ifndef SF_UM_SHM_H
#define SF_UM_SHM_H

#include "mm/stats.h"
#include "store/stores.h"

#define UM_SHM_MAGIC 0x31304d55u /* "UM01" */

/* The first string of the kernel's environment, before the program's own: this and "SHM" or "SHM,STATE", two descriptors.  The arguments are the
 * program's, so that ps and pgrep show it as what it is. */
#define UM_ENV "SOFTFAULT_UM="

/* Descriptors of ours start here in the kernel's process (the command passes them at these numbers, after raising the hard use of RLIMIT_NOFILE is not
 * needed: numbers are chosen at run time below the limit; see cfg.fd_base). */

#define UM_F_VERBOSE 1u
#define UM_F_NOSUD   2u /* trap system calls by seccomp although SUD works (for tests) */
#define UM_F_ZRAM    4u /* compressed memory tier above the swap file */
#define UM_F_TRACE   8u
#define UM_F_FORKFAULTS 32u /* each copy-on-write after fork is to be seen */
#define UM_F_NOPATCH 16u /* system-call instructions are left as they are */

/* What shall go wrong on purpose ($SOFTFAULT_INJECT). */
struct um_inject {
	struct store_fault read, write; /* of the swap store */
	uint64_t call;            /* the host call that fails, counted from 1; 0: none */
	int32_t call_err;         /* -errno; 0: one that the call is known for */
	uint32_t armed;           /* any of these: host calls are counted */
};

struct um_config {
	uint32_t magic, flags;
	uint32_t engine;          /* enum host_engine */
	char policy[16];
	uint64_t bound_pages;     /* 0: none */
	uint64_t swap_slots;      /* most pages in the swap file */
	uint64_t zram_bytes;      /* most memory of the compressed tier */
	int32_t fd_base;          /* descriptors ≥ this are ours; the program never sees them */
	int32_t shm_fd, swap_fd, trace_fd; /* ≥ fd_base, or -1 */
	int32_t proc_fd;          /* /proc, for who has changed its root to where there is none; or -1 */
	int32_t tree_fd;          /* the kernel's own: what its processes share (mm/tree.h) */
	uint64_t rlim_stack_cur, rlim_stack_max; /* the program's own limits; the command may have changed the host's */
	uint64_t rlim_as_cur, rlim_data_cur, rlim_nofile_cur;
	uint64_t fault_around;    /* 0: default */
	uint32_t patch_after;     /* traps; 0: default */
	char program[4096];       /* file to execute, as found through PATH */
	char command[256];        /* command line for people */
	struct um_inject inject;
};

enum um_phase { UM_STARTING, UM_RUNNING, UM_FAILED };

struct um_map_rec { uint64_t start, end, pgoff; char path[256]; }; /* executable mappings, for symbols */
#define UM_MAPS 192

#define UM_PROCS 2048 /* processes told apart; the first entry stands for all others */

#define UM_TRACE_BLOCK 1024u /* records */
#define UM_TRACE_BLOCKS 16u

struct um_shared {
	struct um_config cfg;
	uint32_t phase;           /* enum um_phase */
	int32_t fail_status;      /* UM_FAILED: exit status the command shall use (125, 126, 127) */
	char fail_message[512];
	char engine_name[16], engine_why[128]; /* what auto chose and why */
	char trap_name[16];       /* "sud" or "seccomp" */
	uint64_t start_ns, start_real_ns; /* CLOCK_MONOTONIC / REALTIME when the program's first instruction ran */
	uint32_t oops;            /* the kernel itself failed */
	uint64_t oops_ip[16];     /* return addresses, [15] the faulting one; 0: none */
	char killed_by[128];      /* OOM text, if that ended it */
	uint64_t host_calls;      /* made so far; counted only while cfg.inject is armed */
	uint64_t kernel_bytes;    /* fixed memory of our own at start */
	uint32_t sysctls;         /* somebody may have changed how memory is handed out: mappings look twice */
	uint32_t mem_files;       /* a /proc/PID/mem has been opened: reads and writes look twice (um/remote.c) */
	uint32_t nr_procs;        /* processes that ever were; entry i + 1 is process i's */
	struct sf_proc_stat procs[UM_PROCS];
	uint32_t nr_maps; struct um_map_rec maps[UM_MAPS];
	uint64_t trace_next;      /* records handed out so far */
	uint64_t trace_done[UM_TRACE_BLOCKS]; /* records completed in the block */
	uint64_t trace_written;   /* blocks written to the file */
	struct sf_trace_rec trace[UM_TRACE_BLOCKS * UM_TRACE_BLOCK];
	struct sf_stats stats;
};

#endif
