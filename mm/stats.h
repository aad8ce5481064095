/* SPDX-License-Identifier: MIT */
/* stats.h - counters, cost histograms and trace records: the layout shared with whoever reads them
 *
 * Plain memory of 64-bit cells that writers touch by atomics alone, so it can lie in memory shared between processes and a
 * SIGKILL at any instruction leaves it readable. */
#ifndef SF_STATS_H
#define SF_STATS_H

#include "mm/base.h"

/* How a fault was resolved; the summary's rows. */
enum fault_kind {
	FK_MINOR,    /* zero page or frame, or data already in memory */
	FK_MAJOR,    /* data read from a file or the swap store */
	FK_SOFT,     /* the page was in memory, hidden (on the inactive list) */
	FK_COW,      /* first write to a private page that was write-protected: copied or reused */
	FK_PROT,     /* access refused by the area's protection: SEGV_ACCERR */
	FK_ILLEGAL,  /* no area, or SIGBUS: nothing legal there */
	FK_SPURIOUS, /* another thread had resolved it already */
	NR_FAULT_KINDS
};

/* Cost histogram: bucket b holds costs in [lo(b), lo(b+1)) ns; 8 buckets to a doubling (12.5 % wide). */
#define SF_HIST_SUB 8
#define SF_HIST_BUCKETS (40 * SF_HIST_SUB)

static inline unsigned sf_hist_bucket(uint64_t ns)
{
	if (ns < SF_HIST_SUB)
		return (unsigned)ns;
	unsigned log = 63u - (unsigned)__builtin_clzll(ns); /* ≥ 3 */
	unsigned b = (log - 2) * SF_HIST_SUB + (unsigned)((ns >> (log - 3)) & (SF_HIST_SUB - 1));
	return b < SF_HIST_BUCKETS ? b : SF_HIST_BUCKETS - 1;
}

static inline uint64_t sf_hist_low(unsigned b)
{
	if (b < SF_HIST_SUB)
		return b;
	unsigned log = b / SF_HIST_SUB + 2;
	return (uint64_t)(SF_HIST_SUB + b % SF_HIST_SUB) << (log - 3);
}

#define SF_STAT_AREAS 1024  /* areas that are counted one by one; the rest share entry 0 */
#define SF_STAT_IPS   8192  /* code addresses counted, open addressing */

struct sf_area_stat {
	uint64_t start, end; /* as last seen */
	uint64_t faults, majors;
	char name[104]; /* "[heap]", "[stack]", "[anon]" or the file's path (its tail if long) */
};

struct sf_ip_stat {
	uint64_t ip, faults;
};

struct sf_stats {
	uint64_t faults[NR_FAULT_KINDS];
	uint64_t fault_ns[NR_FAULT_KINDS];
	uint64_t hist[NR_FAULT_KINDS][SF_HIST_BUCKETS];
	uint64_t kernel_faults;   /* of all: taken in kernel mode (user copies, pinning) */
	uint64_t fixups;          /* kernel-mode faults that ended in an exception-table fixup */
	uint64_t pages_filled;    /* pages made visible with fresh contents, read-ahead and batches included */
	uint64_t pages_read;      /* pages read from files */
	uint64_t swap_in, swap_out; /* pages */
	uint64_t pages_dropped;   /* clean pages given up without a write */
	uint64_t pages_hidden;    /* visible -> hidden */
	uint64_t readahead, readahead_hit;
	uint64_t cow_reused, cow_copied;
	uint64_t oom_kills, swap_errors, checksum_errors;
	uint64_t resident, peak_resident; /* pages now / at most, including store memory */
	uint64_t swapped, peak_swapped;   /* slots in use */
	uint64_t store_bytes, peak_store_bytes;
	uint64_t bound_pages;     /* 0: none */
	uint64_t syscalls, signals;
	uint64_t patched_sites, fast_calls; /* call sites replaced by a jump; calls that came that way */
	uint64_t nr_areas, peak_areas;
	uint64_t host_maps_peak;
	uint64_t table_bytes;     /* page tables, descriptors and the like, as of their last growth */
	uint64_t trap_ns;         /* cost of one bare trap (signal round trip), measured at start */
	struct sf_area_stat area[SF_STAT_AREAS];
	struct sf_ip_stat ip[SF_STAT_IPS];
};

static inline void sf_count(uint64_t *cell, uint64_t n) { __atomic_fetch_add(cell, n, __ATOMIC_RELAXED); }
static inline void sf_peak(uint64_t *cell, uint64_t v)
{
	uint64_t old = __atomic_load_n(cell, __ATOMIC_RELAXED);
	while (old < v && !__atomic_compare_exchange_n(cell, &old, v, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
}

/* One process of a tree; kept after its end. */
struct sf_proc_stat {
	uint32_t pid, ppid;
	uint64_t start_ns, end_ns; /* CLOCK_MONOTONIC; end 0: it still runs, or was killed */
	uint64_t faults[NR_FAULT_KINDS], fault_ns;
	uint64_t swap_in, swap_out; /* pages */
	uint64_t peak_resident;     /* pages */
	char comm[16];              /* the program's name, as of the last execve */
	uint32_t prog_major, prog_minor; /* … and its file */
	uint64_t prog_ino;
};

/* One fault in the trace file; 64 bytes, little-endian.  The file starts with struct sf_trace_head. */
struct sf_trace_rec {
	uint64_t seq;        /* 1, 2, 3 …; 0: never written */
	uint64_t time_ns;    /* since the program's start */
	uint64_t ip, addr;   /* instruction and fault address */
	uint32_t tid, pid;
	uint16_t error_code; /* as the processor gave it */
	uint16_t area;       /* index into the area table, 0: none or uncounted */
	uint32_t cost_ns;    /* saturates */
	uint64_t evicted;    /* page number of the first page evicted for it, 0: none */
	uint8_t kind;        /* enum fault_kind */
	uint8_t result;      /* 0 resolved, 1 SIGSEGV, 2 SIGBUS, 3 fixup, 4 OOM */
	uint8_t flags;       /* 1: kernel mode */
	uint8_t nr_evicted;  /* saturates */
	uint32_t check;      /* SF_TRACE_CHECK ^ low half of seq ^ low half of addr: tells a torn record */
};
#define SF_TRACE_CHECK 0x5f4a17u
_Static_assert(sizeof(struct sf_trace_rec) == 64, "trace records are 64 bytes");

struct sf_trace_head {
	char magic[8];        /* "SFTRACE2" */
	uint32_t head_bytes;  /* offset of the first record: 4096 */
	uint32_t rec_bytes;   /* 64 */
	uint64_t start_real_ns; /* CLOCK_REALTIME at start */
	uint64_t bound_pages;
	char command[256];    /* the program's command line, truncated */
};

#endif
