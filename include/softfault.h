/* SPDX-License-Identifier: MIT */
/* softfault.h - libsoftfault: more memory than RAM, with your own store and policy, and I/O errors as errors
 *
 *	struct sf_pool_options po = { .struct_size = sizeof(po), .bound = 64 << 20 };
 *	struct sf_map_options mo = { .struct_size = sizeof(mo), .prot = SF_READ | SF_WRITE };
 *	sf_pool *pool;
 *	sf_region *region;
 *	void *mem;
 *
 *	if (sf_pool_create(&po, &pool) || sf_map(pool, 1ull << 40, &mo, &region, &mem))
 *		...
 *	((char *)mem)[123456789] = 1;          // a terabyte in 64 MiB of memory
 *
 * A *pool* is a hard bound of memory, a replacement policy, a store for what does not fit, and an engine that makes pages come and
 * go.  A *region* is a range of addresses whose pages live in a pool.  A *store* is where pages are kept that are not in memory.
 *
 * Conventions
 *   units       Lengths and offsets are in bytes.  Where a page matters they must be multiples of SF_PAGE (4096), and say so.  Offsets
 *               are counted from the start of their region.
 *   results     0, or a count, or a negative errno.  Outputs (`ret…`) are untouched on failure.  errno is never set.
 *   handles     sf_pool, sf_region, sf_store and sf_snapshot are names, not memory: never dereference them.  A freed one, or one of
 *               another kind, is noticed: -EBADF.  NULL where a handle is needed: -EINVAL.
 *   structs     Set struct_size to sizeof, zero the rest: zero is the default of every member.  A struct_size smaller than the
 *               first published one, or larger than known with bytes set that this library does not know: -EINVAL.
 *   threads     Every call may be made from any thread, unless it says otherwise.  Calls on one handle may overlap; to free
 *               it while others use it is allowed too: they finish, or get -EBADF.
 *   signals     "async-signal-safe" is said where it holds.  Touching a region's memory is as safe as touching memory, in a signal
 *               handler too, while SIGSEGV and SIGBUS are unblocked.  Elsewhere a call from a signal handler may deadlock.
 *   callbacks   run on threads of the library's own with all signals blocked but SIGSEGV, SIGBUS and their kin, and may use libc.  They may touch memory
 *               of other pools.  A touch of the same pool's that is not in view fails with -EDEADLK (sf_try, sf_copy_from … or SIGBUS), for the
 *               page might be waiting for this very thread.  They must not call back: every call but sf_io_done, sf_version, sf_try and the fault-safe
 *               family answers -EDEADLK there.  Callbacks of a policy obey stricter rules: see policies.
 *   memory      SIGSEGV and SIGBUS belong to the library from the first sf_pool_create or fault-safe access on, or from the start of a
 *               program that has inlined ones (see sf_rearm).
 *   system      The host kernel takes no faults of ours: a region's address given to a system call may answer EFAULT.  Use
 *   calls       sf_read, sf_write and kin, or sf_pin the buffer.
 *   fork        See enum sf_fork.
 *
 * Errors that any call may return beside its own: -EINVAL (a bad argument: NULL, misaligned, unknown flag, empty range), -EBADF (a
 * handle that is none, or is freed), -EDEADLK (called from a callback), -ENOMEM, -ESTALE (a handle from before a fork). */
#ifndef SOFTFAULT_H
#define SOFTFAULT_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(SF_BUILDING) && defined(__GNUC__)
#define SF_API __attribute__((visibility("default")))
#else
#define SF_API
#endif

#define SF_VERSION_MAJOR 0
#define SF_VERSION_MINOR 1
#define SF_PAGE 4096ul
#define SF_CLUSTER_MAX (2ul << 20)

typedef struct sf_pool_handle sf_pool;
typedef struct sf_region_handle sf_region;
typedef struct sf_store_handle sf_store;
typedef struct sf_snapshot_handle sf_snapshot;

/* The version of the library that is running: major << 16 | minor.  Async-signal-safe. */
SF_API unsigned sf_version(void);

/* A range inside a region. */
struct sf_range {
	uint64_t off, len;
};

/* ================================================================ stores
 *
 * A store keeps bytes under byte offsets.  It is used in two ways: as the store of a pool, where dirty pages go that have no
 * other home (anonymous memory, private file pages, ordered regions between syncs), or as the home of one region (sf_map_options.store).
 * A store is used by one pool, or by one region, at a time (-EBUSY).
 *
 * The rule for a lost page: what a store has acknowledged and cannot give back (error, short, checksum) is reported as an
 * error of that page alone, first to the region's error callback, then to the touching thread (sf_try scope, or SIGBUS); it is never
 * replaced by zeros or older data unless the callback says so.  What a store refuses to take stays in memory, dirty. */

enum sf_io_op {
	SF_IO_READ = 1,
	SF_IO_WRITE = 2,
	SF_IO_SYNC = 3, /* everything written before is durable when it completes */
	SF_IO_TRIM = 4, /* the range will not be read before it is written again; may be ignored */
};

/* One request to an asynchronous store.  The library's until it was submitted, the store's from then to sf_io_done. */
struct sf_io {
	uint32_t op;      /* enum sf_io_op */
	uint32_t flags;   /* 0 */
	void *buf;        /* len bytes; to be filled by a READ, not to be changed otherwise */
	uint64_t len;
	uint64_t off;
	void *user[2];    /* the store's own */
};
/* The request is complete: result is the bytes moved (READ, WRITE) or 0, or a negative errno.  Fewer bytes than asked count as -EIO.
 * Once for each request, from any thread, in any order, even within submit, even after the request timed out: what is complete may
 * at once be another request, which a second call would complete.
 * Async-signal-safe.  -EINVAL: not a request of ours that is under way. */
SF_API int sf_io_done(struct sf_io *io, int64_t result);

/* Call the operations on the thread that faults, inside the library's signal handler, rather than on a worker thread: saves
 * two thread switches (tens of microseconds) a request.  Only for stores whose operations are async-signal-safe: no libc but memcpy and
 * its kin, system calls, their own atomics; no locks that ordinary code holds with signals open; no region memory. */
#define SF_STORE_INLINE 1u

/* Which operations there are.  Either read (and write) or submit must be there.  off and len are multiples of SF_PAGE; len is at most
 * 128 KiB for READ and WRITE. */
struct sf_store_ops {
	size_t struct_size;
	const char *name;  /* copied; NULL: "user" */
	uint32_t flags;    /* SF_STORE_* */
	uint32_t timeout_ms; /* a request that is not done by then has failed with -ETIMEDOUT; 0: wait for ever.  Not for SF_STORE_INLINE */
	int64_t (*read)(void *arg, void *buf, size_t len, uint64_t off);        /* bytes read, or -errno */
	int64_t (*write)(void *arg, const void *buf, size_t len, uint64_t off); /* bytes written, or -errno; NULL: a store to read only */
	int (*sync)(void *arg);                                                 /* NULL: nothing to do */
	/* NULL: ignored.  As the store of a pool it is called for SF_STORE_INLINE stores only, under a lock: be quick. */
	int (*trim)(void *arg, uint64_t off, uint64_t len);
	/* A batch of requests to begin.  The number that were taken (the others fail with -EAGAIN and are tried again one by one), or
	 * -errno for all.  Called on a worker thread; when set, the four above are not used. */
	int (*submit)(void *arg, struct sf_io *const *ios, unsigned n);
	void (*close)(void *arg); /* the last call, from sf_store_close; NULL: nothing to do */
	uint32_t workers;         /* threads that make these calls, 1 … 16; 0: 2.  Not for SF_STORE_INLINE */
};

/* A store of the application's own. */
SF_API int sf_store_create(const struct sf_store_ops *ops, void *arg, sf_store **ret);

#define SF_STORE_DIRECT 1u /* O_DIRECT: past the host's page cache */
/* A file.  Changed pages of a region that lie apart are written to it with one call where the host permits io_uring (SF_FILE_SHARED regions likewise), else one by
 * one.  fd: open for reading and writing, duplicated.  max_bytes 0: one tebibyte (it stays sparse).  -EBADF, -ESPIPE, -EINVAL (O_DIRECT is
 * refused by the file system). */
SF_API int sf_store_file(int fd, uint64_t max_bytes, unsigned flags, sf_store **ret);
/* Plain memory outside every bound, at most max_bytes (not 0). */
SF_API int sf_store_memory(uint64_t max_bytes, sf_store **ret);
/* Compressed memory, counted against the bound of its pool; at most max_bytes.  What compresses badly goes to below (or NULL), which
 * is used by this store from now on.  Only for pools: -EINVAL in sf_map_options.store. */
SF_API int sf_store_compressed(uint64_t max_bytes, sf_store *below, sf_store **ret);

/* A store for tests that goes wrong on demand above another one. */
struct sf_fault_plan {
	size_t struct_size;
	uint64_t fail_read, fail_write; /* the n-th call from now, counted from 1, fails; 0: none */
	uint64_t fail_times;            /* and how many from there on; 0: one; UINT64_MAX: it is gone */
	int error;                      /* what it answers; 0: -EIO */
	uint32_t short_count;           /* 1: it moves half of the bytes and says so, instead of the error */
	uint32_t corrupt;               /* 1: it flips a bit of what the n-th read returns, instead of the error */
	uint32_t delay_us;              /* each call takes so much longer */
};
SF_API int sf_store_faulty(sf_store *below, sf_store **ret);
SF_API int sf_store_faulty_plan(sf_store *store, const struct sf_fault_plan *plan); /* -EINVAL: another kind of store */

/* Give a store up.  -EBUSY while a pool, region or other store uses it; a touch of an unmapped region that is still under way counts. */
SF_API int sf_store_close(sf_store *store);

/* ================================================================ policies
 *
 * Which page leaves next may be the application's choice: a table of callbacks, given to sf_pool_create.  The library tells it of each page that
 * comes into memory and goes; it keeps whatever lists it likes, and names victims when it is asked to.
 *
 * A struct sf_page stands for a page of the pool's from insert to remove, at one address.  Its words belong to the policy (links, counts, an age) and are
 * zero at insert.  Nothing else may be kept of it after remove.
 *
 * The host tells nobody which pages are touched.  A policy that wants to know names pages for cold(): they stay in memory but out of view, and a
 * touch of one is a soft fault (a few microseconds), which it hears of as touch().
 *
 * The contract: all callbacks of a pool are called one at a time, under the pool's lock, on any thread, often within the library's signal handler.  So
 * they are quick, and async-signal-safe: no libc but memcpy and its kin, no locks that other code holds.  They must not touch regions of any pool (what
 * is not in view is -EDEADLK there) nor leave by longjmp or exceptions, and of the library they may call sf_page_state, sf_version, sf_try and the fault-safe family.
 *
 * A policy cannot lose a page or break the bound.  Named pages that are none, are named twice or cannot leave now are passed over, more than max are not
 * looked at; if nothing is left although a page could go, the page that came first goes.  Each such answer counts in sf_pool_stats.policy_errors, the first is told
 * to warn.  When pages that it names cannot be written again and again, older ones are tried once meanwhile. */

struct sf_page {
	union { void *ptr; uint64_t num; } user[4];
};

enum sf_page_how {
	SF_PAGE_TOUCHED = 0, /* it was touched */
	SF_PAGE_AHEAD = 1,   /* it came along with a neighbour; nobody has touched it yet */
};

enum sf_page_advice {
	SF_PAGE_COLD = 0, /* SF_COLD, or passed by an SF_SEQUENTIAL reader: next to go */
	SF_PAGE_KEEP = 1, /* it was named, and cannot leave just now: name others first */
};

struct sf_policy_ops {
	size_t struct_size;
	uint64_t flags;                                                                    /* 0 */
	void (*insert)(void *arg, struct sf_page *page, enum sf_page_how how);             /* it is in memory now */
	void (*touch)(void *arg, struct sf_page *page);                                    /* it was out of view and has been touched; NULL: ignored */
	void (*remove)(void *arg, struct sf_page *page);                                   /* it is no longer in memory, for whatever reason */
	void (*advise)(void *arg, struct sf_page *page, enum sf_page_advice advice);       /* NULL: ignored */
	/* Up to max pages that should be out of view, coldest first; called when memory is short, until a quarter of the pool's pages are.  The number, which
	 * may be 0.  NULL: none ever. */
	unsigned (*cold)(void *arg, struct sf_page **ret, unsigned max);
	/* Up to max pages to give up now, best first.  They stay in memory until remove says otherwise: a touch or an error may keep them.  The number: at least one
	 * whenever a page is not SF_PAGE_STAYS. */
	unsigned (*victims)(void *arg, struct sf_page **ret, unsigned max);
};

#define SF_PAGE_UNSEEN 1 /* out of view */
#define SF_PAGE_DIRTY  2 /* must be written before it leaves */
#define SF_PAGE_STAYS  4 /* cannot leave now: pinned, or being read or written */
/* Within a callback of the policy: what is with the page, as SF_PAGE_* bits, and (ret_addr may be NULL) where it is: that may change while it is
 * in memory (sf_move), and pages of snapshots lie outside of regions.  -EINVAL: not a page of this pool that is in memory, or not called from a policy. */
SF_API int sf_page_state(const struct sf_page *page, void **ret_addr);

/* ================================================================ pools */

enum sf_engine {
	SF_ENGINE_AUTO = 0,
	SF_ENGINE_UFFD = 1, /* userfaultfd: splits no host mappings */
	SF_ENGINE_SEGV = 2, /* mprotect: works everywhere */
};

/* What becomes of a pool in the child of a fork(). */
enum sf_fork {
	SF_FORK_REFUSE = 0, /* the child has no such memory: a touch is a SIGSEGV, calls on its handles answer -ESTALE */
	/* The child has a pool of its own with what the parent's had at that instant, under the same handles (pool, regions, snapshots, store) and with a bound of its
	 * own; pins are not inherited.  fork() waits for calls, faults and jobs under way, callbacks included, and others wait for it.  Only for pools
	 * whose store is of sf_store_memory or sf_store_compressed (above nothing, or such a one) or none, and which have anonymous and SF_FILE_PRIVATE regions: else
	 * -EOPNOTSUPP (from sf_pool_create or sf_map), as with SF_POOL_HOST_TOUCH.  Handlers of pthread_atfork that were there before the first pool must not touch
	 * its regions, and get -EDEADLK from calls.  When fork() is called in a callback, or the child cannot have an engine, it is as with SF_FORK_REFUSE. */
	SF_FORK_KEEP = 1,
};

/* Every page that goes to a region's own store or file is summed, and verified when it comes back (pages in the pool's store always are). */
#define SF_POOL_CHECKSUM   1u
/* The host kernel's own touches of regions work: any buffer may be given to any system call, without pins; what cannot be had is EFAULT there.
 * Needs a userfaultfd for kernel faults (CAP_SYS_PTRACE, access to /dev/userfaultfd, or vm.unprivileged_userfaultfd=1), else -EPERM; with SF_ENGINE_SEGV -EOPNOTSUPP.
 * Every fault, a thread's own too, is then answered by one of max(workers, 2) threads of the pool's: tens of microseconds more.  A callback
 * that touches its own pool waits for ever there. */
#define SF_POOL_HOST_TOUCH 2u

struct sf_pool_options {
	size_t struct_size;
	uint64_t bound;        /* bytes that may be in memory, at least 256 KiB; 0: no bound */
	const char *policy;    /* "twolist" (NULL), "clock", "fifo" */
	uint32_t engine;       /* enum sf_engine */
	uint32_t flags;        /* SF_POOL_* */
	sf_store *store;       /* NULL: no store; then dirty pages without a home of their own cannot leave */
	uint64_t store_bytes;  /* most of it that is used; 0: 64 GiB */
	uint64_t window;       /* bytes of address space for all its regions; 0: 1 TiB.  Smaller ones (8 GiB) for hosts short of addresses: valgrind */
	uint32_t workers;      /* threads for read-ahead and SF_SYNC_ASYNC, 1 … 16; 0: 1.  Started when first needed; one more for error callbacks */
	uint32_t fork;         /* enum sf_fork */
	/* Something to tell, one line without newline ("swap is full"); any thread, async-signal-safe code only.  NULL: nobody. */
	void (*warn)(void *arg, const char *msg);
	void *warn_arg;
	const struct sf_policy_ops *policy_ops; /* copied; a policy of one's own, in place of one by name (both: -EINVAL) */
	void *policy_arg;      /* for its callbacks; theirs until sf_pool_destroy has returned 0 and every call on the pool is over */
};

/* -EINVAL (also an unknown policy, a bound below the least), -ENODEV (the engine does not work here), -EBUSY (store in use), -EOPNOTSUPP,
 * -ENOMEM, -EMFILE, -EAGAIN. */
SF_API int sf_pool_create(const struct sf_pool_options *opt, sf_pool **ret);
/* Frees the pool.  -EBUSY while it has regions or pinned pages.  Its store stays, and is free for another. */
SF_API int sf_pool_destroy(sf_pool *pool);
/* Change the bound while in use; returns when it is kept.  -EBUSY: pinned pages exceed it; -ENOSPC: what should leave has nowhere to go (the old bound
 * stays). */
SF_API int sf_pool_resize(sf_pool *pool, uint64_t bound);

struct sf_pool_stats {
	size_t struct_size; /* set by the caller; members beyond it are left alone */
	uint64_t bound, resident, peak_resident; /* bytes; memory of a compressed store included */
	uint64_t pinned;                         /* bytes */
	uint64_t regions;
	uint64_t minor, major, soft, cow, illegal; /* faults: zero-filled or in memory; read from a store; hidden; first write; errors */
	uint64_t fault_ns;                       /* spent in all of them */
	uint64_t store_in, store_out;            /* pages from and to the pool's store */
	uint64_t home_in, home_out;              /* pages from and to files and stores of regions */
	uint64_t store_bytes;                    /* used in the pool's store */
	uint64_t dropped;                        /* clean pages given up without a write */
	uint64_t readahead, readahead_hit;       /* pages */
	uint64_t read_errors, write_errors, checksum_errors;
	uint64_t host_maps;                      /* host mappings, an estimate */
	uint32_t engine;                         /* enum sf_engine: the one in use */
	uint32_t reserved;
	uint64_t policy_errors;                  /* wrong answers of a policy_ops */
};
SF_API int sf_pool_stats(sf_pool *pool, struct sf_pool_stats *ret);

/* ================================================================ errors of pages */

enum sf_action {
	SF_FAIL = 0,   /* the touch fails: sf_try scope or SIGBUS; a write-back stays undone.  Tried again at the next touch */
	SF_RETRY = 1,  /* try the same once more (as often as the callback says so) */
	SF_SUPPLY = 2, /* READ: the callback has filled data.  Asked again when the page has left memory unchanged and is touched once more */
	SF_POISON = 3, /* READ: the page is lost; every touch fails until it is unmapped or sf_advise'd SF_DONTNEED */
};

struct sf_error {
	size_t struct_size;
	sf_region *region;
	void *region_arg;    /* sf_map_options.arg */
	uint32_t op;         /* SF_IO_READ, or SF_IO_WRITE: to a file or store of the region's own (what a pool's store refuses stays in memory) */
	int32_t error;       /* -EIO, -ETIMEDOUT, -EBADMSG (checksum), what the store said … */
	void *addr;          /* where the page is */
	uint64_t off, len;   /* of it in the region; a page for a READ */
	uint32_t attempt;    /* 1, 2, 3 … */
	void *data;          /* READ: len bytes for SF_SUPPLY */
};
/* See "callbacks" above for what it may do.  The touching thread waits for the answer. */
typedef enum sf_action (*sf_error_fn)(void *arg, const struct sf_error *err);

/* ---- access scopes: errors of pages, and bad addresses, as return values
 *
 *	struct sf_try t;
 *
 *	if (!sf_try(&t)) {
 *		sum += region_mem[i];    // anything that touches memory, and does not leave by return, goto or exception
 *		sf_try_end(&t);
 *	} else {
 *		printf("%s at %p\n", strerror(-t.error), t.addr);
 *	}
 *
 * sf_try returns 0 and, when a touch within the scope fails, once more: a negative errno.  -EIO and kin: the page cannot be read;
 * -EFAULT: nothing is mapped there, in any memory of the process; -EACCES: the mapping does not allow it; -ENOMEM: no frame can be had.
 * The scope is over then.
 * As with setjmp: locals that are changed within the scope and used after a failure must be volatile, and what the scope has begun
 * (locks taken, objects made) stays as it is; C++ destructors do not run.  Scopes nest; they belong to their thread.  A function with an open
 * scope must not return.  Async-signal-safe; a signal handler may have scopes of its own. */
struct sf_try {
	uint64_t regs[8];     /* the library's */
	struct sf_try *outer; /* the library's */
	void *addr;           /* after a failure: what was touched */
	int32_t error;
	uint32_t write;       /* 1: it was a write */
};
SF_API int sf_try(struct sf_try *t) __attribute__((returns_twice));
/* -EINVAL: not the innermost scope of this thread. */
SF_API int sf_try_end(struct sf_try *t);

/* ================================================================ regions */

#define SF_READ  1u
#define SF_WRITE 2u

enum sf_kind {
	SF_ANON = 0,         /* zeros at first; evicted to the pool's store */
	SF_FILE_PRIVATE = 1, /* a file's contents; changes stay in the region */
	SF_FILE_SHARED = 2,  /* a file's contents; changes are written back.  The changed pages are ours: other processes, and other regions, see them after
			      * they have been written back, never before */
	SF_STORE = 3,        /* a store's contents; changes are written back */
};

/* SF_FILE_SHARED and SF_STORE: changed pages are written to their home by sf_sync alone; evicted before that they go to the pool's store.  Without
 * it they may be written back at any moment. Needed by sf_sync_atomic.  -EINVAL if the pool has no store. */
#define SF_MAP_ORDERED 1u
/* addr is where, not a hint: -EEXIST if something is there, -EINVAL if it is outside of the pool's window. */
#define SF_MAP_FIXED   2u
/* Sum pages at home for this region only, see SF_POOL_CHECKSUM. */
#define SF_MAP_CHECKSUM 4u

struct sf_map_options {
	size_t struct_size;
	uint32_t kind;       /* enum sf_kind */
	uint32_t prot;       /* SF_READ | SF_WRITE; 0 is SF_READ | SF_WRITE.  SF_WRITE includes reading */
	uint32_t flags;      /* SF_MAP_* */
	uint32_t cluster;    /* bytes brought in together: a power of two, SF_PAGE … SF_CLUSTER_MAX; 0: adapts to the pattern of touches */
	int fd;              /* SF_FILE_*: open for reading (SF_FILE_SHARED: and writing, if SF_WRITE); duplicated */
	uint32_t reserved;
	uint64_t offset;     /* SF_FILE_*, SF_STORE: of the region's first byte there; multiple of SF_PAGE */
	sf_store *store;     /* SF_STORE */
	void *addr;          /* with SF_MAP_FIXED */
	sf_error_fn on_error;/* NULL: errors are the touching thread's */
	void *arg;           /* for on_error */
};

/* Map len bytes (rounded up to pages; the last file page's rest reads as zeros and is not written back).  opt NULL: anonymous memory, read and write.
 * ret_addr may be NULL.  Touching pages wholly beyond the end of a file fails with -ENXIO (SIGBUS); so does a file region beyond
 * the end that the file had when it was touched: files do not grow by it.
 * -EINVAL, -ENOMEM (window full, host out of mappings), -EACCES (fd is not open as prot demands), -ESPIPE (not a file with offsets), -EEXIST,
 * -EBUSY (store in use), -EOPNOTSUPP (see SF_FORK_KEEP). */
SF_API int sf_map(sf_pool *pool, uint64_t len, const struct sf_map_options *opt, sf_region **ret, void **ret_addr);
/* The region's pages are given up; changes that were not written back are lost (sf_sync first).  Threads that touch it meanwhile get SIGSEGV. -EBUSY: it has
 * snapshots or pinned pages. */
SF_API int sf_unmap(sf_region *region);

struct sf_region_info {
	size_t struct_size; /* set by the caller */
	sf_pool *pool;
	void *addr;
	uint64_t len;
	uint32_t kind, prot, flags, cluster;
};
SF_API int sf_region_info(sf_region *region, struct sf_region_info *ret);
/* The region that contains addr.  -ENOENT: none.  Logarithmic in the number of regions. */
SF_API int sf_region_at(const void *addr, sf_region **ret);

/* Change the rights of [off, off+len), whole pages.  prot 0: no touch is allowed, contents stay. */
SF_API int sf_protect(sf_region *region, uint64_t off, uint64_t len, unsigned prot);

#define SF_MAY_MOVE 1u
/* Change the region's length (whole pages).  Growing in place needs free addresses behind it, else -ENOMEM, or with SF_MAY_MOVE another address:
 * ret_addr says where it is now.  -EBUSY: snapshots or pinned pages are in the way. */
SF_API int sf_resize(sf_region *region, uint64_t len, unsigned flags, void **ret_addr);
/* Move the region to another address of its pool's window, NULL: any.  -EEXIST, -EINVAL, -EBUSY (pinned pages), -ENOMEM. */
SF_API int sf_move(sf_region *region, void *addr, void **ret_addr);

enum sf_advice {
	SF_NORMAL = 0,
	SF_SEQUENTIAL = 1, /* read ahead far; unchanged pages of a file may be the host's own: what others write to the file shows at once, what they cut off is an error */
	SF_RANDOM = 2,     /* no read-ahead, no neighbours */
	SF_WILLNEED = 3,   /* read the range in, on the pool's threads; returns at once.  As much as half of the bound in all; errors show at the touch */
	SF_DONTNEED = 4,   /* contents not written back are lost: anonymous pages are zero again, others as at home.  Poison is healed.  -EBUSY: pinned, or there are snapshots */
	SF_COLD = 5,       /* next to be evicted */
	SF_PAGEOUT = 6,    /* evict now, as far as the store takes it */
	SF_POPULATE = 7,   /* read the range in before returning; the error of the first page that fails */
};
/* [off, off+len): whole pages.  Of the first three the region remembers one for all of it, so the range must be all of the region or 0, 0. */
SF_API int sf_advise(sf_region *region, uint64_t off, uint64_t len, unsigned advice);

#define SF_SYNC_ASYNC 1u /* begin only: the pool's threads write; errors show at the next sf_sync without it */
#define SF_SYNC_NOFLUSH 2u /* without the file's or store's own sync at the end: durable later */
/* Write the changed pages of [off, off+len) home, in ascending order, then flush.  len 0: to the end.  The error of the first page that
 * cannot be written (it stays changed, in memory), others are written all the same; -EBUSY if that is because it is pinned.  0 for regions without a
 * home that is written.  A thread that touches a page while it is being written waits. */
SF_API int sf_sync(sf_region *region, uint64_t off, uint64_t len, unsigned flags);

/* One byte for each page of [off, off+len): SF_IN_* bits. */
#define SF_IN_MEMORY  1u
#define SF_IN_VIEW    2u /* a touch does not fault */
#define SF_IN_STORE   4u /* in the pool's store */
#define SF_IN_DIRTY   8u /* differs from its home or was never saved */
#define SF_IN_PINNED 16u
#define SF_IN_POISON 32u
SF_API int sf_residency(sf_region *region, uint64_t off, uint64_t len, unsigned char *vec);

struct sf_region_stats {
	size_t struct_size; /* set by the caller */
	uint64_t resident, dirty, stored, pinned; /* bytes now */
	uint64_t faults, majors;
	uint64_t home_in, home_out;               /* pages */
	uint64_t read_errors, write_errors, checksum_errors;
};
/* Costs a walk over the region's pages that are in memory or stored. */
SF_API int sf_region_stats(sf_region *region, struct sf_region_stats *ret);

/* Changed pages of [*off, region's end): up to max ranges in ascending order; *off moves to where the next call goes on (the region's length at
 * the end).  Pages changed meanwhile may or may not be there.  The number of ranges; 0: no more. */
SF_API int sf_dirty_ranges(sf_region *region, uint64_t *off, struct sf_range *ret, unsigned max);

/* ================================================================ buffers for system calls */

/* A range that is in memory and stays there until it is unpinned.  Parts outside of all pools' windows are left alone; in a window, but in no region, is
 * -EFAULT.  Pins nest.  At most a quarter of a
 * pool's bound can be pinned: -ENOBUFS.  -EFAULT: not accessible as asked (write 1: for writing), or -EIO and kin: it cannot be read in. */
struct sf_pin {
	const void *addr;
	uint64_t len;
	uint64_t reserved[2]; /* the library's */
};
SF_API int sf_pin(const void *addr, size_t len, int write, struct sf_pin *ret);
/* -EINVAL: not a pin, or undone already. */
SF_API int sf_unpin(struct sf_pin *pin);

/* The system calls of these names on buffers anywhere, regions or not, regions in part.  Their results, with -errno in place of errno.
 * A buffer larger than may be pinned is passed in pieces; a short count is then possible where Linux would give one.  Not for O_DIRECT
 * descriptors with unaligned pieces. */
SF_API ssize_t sf_read(int fd, void *buf, size_t n);
SF_API ssize_t sf_write(int fd, const void *buf, size_t n);
SF_API ssize_t sf_pread(int fd, void *buf, size_t n, off_t off);
SF_API ssize_t sf_pwrite(int fd, const void *buf, size_t n, off_t off);
SF_API ssize_t sf_readv(int fd, const struct iovec *iov, int n);   /* the iovec array itself lies outside of regions */
SF_API ssize_t sf_writev(int fd, const struct iovec *iov, int n);
SF_API ssize_t sf_recv(int fd, void *buf, size_t n, int flags);    /* never in pieces: -ENOBUFS */
SF_API ssize_t sf_send(int fd, const void *buf, size_t n, int flags);

/* ================================================================ fault-safe access
 *
 * Any address of the process, in a region or not, mapped or not.  No system call and no preparation when all is well.  Async-signal-safe,
 * any thread, callbacks too (for memory outside of the own pool). An absent page of a region is brought in as for any touch.
 * fault may be NULL. */

struct sf_fault {
	void *addr;      /* the first byte that could not be touched */
	int32_t error;   /* -EFAULT: nothing mapped; -EACCES: no such right; -EIO and kin: the page cannot be read; -ENXIO: beyond the file's end */
	uint32_t write;  /* 1: it was a write */
};

/* Bytes that were *not* copied.  What could not be read leaves dst as it was. */
SF_API size_t sf_copy_from(void *dst, const void *src, size_t n, struct sf_fault *fault); /* src is doubtful, dst is good */
SF_API size_t sf_copy_to(void *dst, const void *src, size_t n, struct sf_fault *fault);   /* dst is doubtful, src is good */
SF_API size_t sf_clear(void *dst, size_t n, struct sf_fault *fault);                      /* zeros; bytes not cleared */
/* Length without the NUL; n if there is none within n bytes (dst then has none); or the fault's negative errno. */
SF_API ssize_t sf_strncpy_from(char *dst, const char *src, size_t n, struct sf_fault *fault);
/* memcmp of doubtful memory with doubtful memory: *ret is <, =, > 0.  0, or the fault's errno, and *ret is untouched. */
SF_API int sf_cmp(const void *a, const void *b, size_t n, int *ret, struct sf_fault *fault);
/* If *(size bytes at addr) equals *expected, it becomes desired; *expected receives what was there.  size 1, 2, 4, 8, addr aligned to it.  1:
 * exchanged, 0: not, or the fault's errno, -EINVAL. */
SF_API int sf_atomic_cas(void *addr, unsigned size, uint64_t *expected, uint64_t desired, struct sf_fault *fault);
/* Can the range be read (write 1: and written; contents are not changed)?  0 or the fault's errno.  Touches each page. */
SF_API int sf_probe(const void *addr, size_t n, int write, struct sf_fault *fault);

/* ---- inlined: sf_get(ptr, &value), sf_put(ptr, value) for objects of 1, 2, 4 and 8 bytes
 *
 * 0 or the fault's errno.  Each puts an entry into section __ex_table of the program or shared object that it is compiled into; the
 * object is made known to the library when it is loaded and forgotten at dlclose, by a constructor in this header (define
 * SF_NO_OBJECT before including it to have neither).
 *
 * An entry: where the instruction is, and where to go on, both relative to the field itself, and its type.  In type
 * SF_EX_ERRNO the library puts the errno into rax and the address into rdx. */

#define SF_EX_FIXUP 0
#define SF_EX_RAX   1 /* rax = the errno */
#define SF_EX_ERRNO 2 /* rax = the errno, rdx = the address */

struct sf_ex_entry {
	int32_t insn, fixup, type;
};
/* One for each program or shared object that has entries. */
struct sf_object {
	struct sf_ex_entry *start, *stop;
	uint64_t uses;       /* the library's from here on */
	uint64_t reserved[6];
};
/* For the constructor and destructor below, and for code that is loaded by other means than dlopen.  The table must be
 * writable (it is sorted).  Calls with the same object nest.  -EINVAL. */
SF_API int sf_object_attach(struct sf_object *obj);
SF_API int sf_object_detach(struct sf_object *obj);

#if defined(__x86_64__) && !defined(SF_NO_OBJECT)

extern struct sf_ex_entry __start___ex_table[] __attribute__((weak, visibility("hidden")));
extern struct sf_ex_entry __stop___ex_table[] __attribute__((weak, visibility("hidden")));
__attribute__((weak, visibility("hidden"))) struct sf_object sf_this_object_;

#ifndef SF_OWN_OBJECT_ /* the library itself */
/* Before (and after) those of the object's own code, which may use its entries. */
static __attribute__((constructor(101), used)) void sf_this_object_attach_(void)
{
	if (&__start___ex_table[0] != &__stop___ex_table[0]) {
		sf_this_object_.start = __start___ex_table;
		sf_this_object_.stop = __stop___ex_table;
		sf_object_attach(&sf_this_object_);
	}
}

static __attribute__((destructor(101), used)) void sf_this_object_detach_(void)
{
	if (&__start___ex_table[0] != &__stop___ex_table[0])
		sf_object_detach(&sf_this_object_);
}
#endif

#define SF_EX_ENTRY_(insn, fixup)                           \
	".pushsection __ex_table,\"aw?\"\n\t"               \
	".balign 4\n\t"                                     \
	".long (" insn ") - .\n\t.long (" fixup ") - .\n\t" \
	".long 2\n\t" /* SF_EX_ERRNO */                     \
	".popsection\n\t"

#define SF_LOAD_(op, constraint, ptr)                                        \
	__asm__ volatile("1:\t" op "\n"                                      \
			 "2:\n\t" SF_EX_ENTRY_("1b", "2b")                   \
			 : "+a"(err), "+d"(at), constraint(v) : "r"(ptr) : "memory")
#define SF_STORE_(op, constraint, ptr, val)                                  \
	__asm__ volatile("1:\t" op "\n"                                      \
			 "2:\n\t" SF_EX_ENTRY_("1b", "2b")                   \
			 : "+a"(err), "+d"(at) : "r"(ptr), constraint(val) : "memory")

/* The processor does not tell an address that is no address at all (not canonical). */
static inline void sf_say_(struct sf_fault *fault, int64_t err, uint64_t at, const volatile void *ptr, unsigned size, uint32_t write)
{
	fault->addr = at - (uintptr_t)ptr < size ? (void *)at : (void *)(uintptr_t)ptr;
	fault->error = (int32_t)err;
	fault->write = write;
}

static inline int sf_get_sized_(const volatile void *ptr, unsigned size, uint64_t *ret, struct sf_fault *fault)
{
	int64_t err = 0;
	uint64_t at = 0, v = 0;

	switch (size) {
	case 1: SF_LOAD_("movzbl (%3), %k2", "+r", ptr); break;
	case 2: SF_LOAD_("movzwl (%3), %k2", "+r", ptr); break;
	case 4: SF_LOAD_("movl (%3), %k2", "+r", ptr); break;
	case 8: SF_LOAD_("movq (%3), %2", "+r", ptr); break;
	default: return -EINVAL;
	}
	if (__builtin_expect(!err, 1)) {
		*ret = v;
		return 0;
	}
	if (fault)
		sf_say_(fault, err, at, ptr, size, 0);
	return (int)err;
}

static inline int sf_put_sized_(volatile void *ptr, unsigned size, uint64_t val, struct sf_fault *fault)
{
	int64_t err = 0;
	uint64_t at = 0;

	switch (size) {
	case 1: SF_STORE_("movb %b3, (%2)", "r", ptr, val); break;
	case 2: SF_STORE_("movw %w3, (%2)", "r", ptr, val); break;
	case 4: SF_STORE_("movl %k3, (%2)", "r", ptr, val); break;
	case 8: SF_STORE_("movq %3, (%2)", "r", ptr, val); break;
	default: return -EINVAL;
	}
	if (__builtin_expect(err != 0, 0) && fault)
		sf_say_(fault, err, at, ptr, size, 1);
	return (int)err;
}

/* The same, with the fault's address and kind. */
#define sf_get_fault(ptr, ret, fault) __extension__({                                      \
	uint64_t sf_v_ = 0;                                                                \
	int sf_r_ = sf_get_sized_((ptr), (unsigned)sizeof(*(ptr)), &sf_v_, (fault));       \
	if (!sf_r_)                                                                        \
		memcpy((void *)(ret), &sf_v_, sizeof(*(ptr)));                             \
	sf_r_; })
#define sf_put_fault(ptr, val, fault) __extension__({                                      \
	__typeof__(*(ptr)) sf_p_ = (val);                                                  \
	uint64_t sf_v_ = 0;                                                                \
	memcpy(&sf_v_, (const void *)&sf_p_, sizeof(sf_p_) <= 8 ? sizeof(sf_p_) : 8);      \
	sf_put_sized_((ptr), (unsigned)sizeof(*(ptr)), sf_v_, (fault)); })
#define sf_get(ptr, ret) sf_get_fault(ptr, ret, (struct sf_fault *)0)
#define sf_put(ptr, val) sf_put_fault(ptr, val, (struct sf_fault *)0)

#endif /* x86-64 */

/* ================================================================ snapshots
 *
 * A snapshot keeps a region's contents as they are now, without copying: its pages become write-protected, and the first write to each
 * afterwards saves the old page first.  Saved pages belong to the pool, count against its bound, and go to its store as others do.
 * Snapshots of a region form a line of generations; any may be dropped at any time.  A write that cannot save its page (no memory, no
 * store) fails as a page error, and the snapshot stays whole.  The region cannot be resized or unmapped meanwhile (-EBUSY). */

struct sf_snapshot_options {
	size_t struct_size;
	uint32_t flags; /* 0 */
};
/* The instant lies between call and return: writes by other threads fall before or after it.  opt may be NULL.
 * -EBUSY: pages of the region are pinned for writing.  -EINVAL: the region is itself one of sf_snapshot_map.  A snapshot takes as much of the
 * pool's address space as the region (-ENOMEM). */
SF_API int sf_snapshot_create(sf_region *region, const struct sf_snapshot_options *opt, sf_snapshot **ret);
/* Up to len bytes at off as they were; bytes read (short at the region's end and before a page that cannot be had), or the error of the first page.
 * -EFAULT: buf. */
SF_API ssize_t sf_snapshot_read(sf_snapshot *snap, uint64_t off, void *buf, size_t len);
/* A second, read-only region with the snapshot's contents, in the same pool, once at a time (-EBUSY); unmap it before the snapshot is dropped.  It
 * cannot be resized, moved, protected otherwise or snapshotted. */
SF_API int sf_snapshot_map(sf_snapshot *snap, sf_region **ret, void **ret_addr);
/* Pages of [*off, end) that differ, or may differ, between from and to (NULL: the region now); as sf_dirty_ranges.  -EINVAL: not
 * of one region. */
SF_API int sf_snapshot_diff(sf_snapshot *from, sf_snapshot *to, uint64_t *off, struct sf_range *ret, unsigned max);
/* The region is again what it was.  Later snapshots stay valid.  Threads that touch it meanwhile see each page before or after.
 * -EBUSY: a page is pinned; -ENOMEM, -EIO and kin: some pages are rolled back, others not; call it again. */
SF_API int sf_snapshot_rollback(sf_snapshot *snap);
/* Write the snapshot to a store that nobody uses, page by page at its offset, and flush; with since, only what differs from that.  Pages that were
 * never written are left out without since: the store should read as zeros there. */
SF_API int sf_snapshot_save(sf_snapshot *snap, sf_snapshot *since, sf_store *store);
/* -EBUSY: it is mapped.  -ENOMEM: what older ones need of it could not be handed to them; it stays. */
SF_API int sf_snapshot_drop(sf_snapshot *snap);

/* ---- atomic sync
 *
 * After a crash at any instant, the file or store of an SF_MAP_ORDERED region holds its state before or after the sync, never a
 * mixture: the changed pages go to a log first (sums, flush, commit, flush), then home (flush), then the log is emptied (flush).  A log left by a
 * crash is applied, or discarded if it was not committed, by sf_recover, before the file is mapped again. */
struct sf_atomic_options {
	size_t struct_size;
	int log_fd;      /* a file of its own for each region, open for reading and writing */
	uint32_t flags;  /* 0 */
};
/* Home gets the region as it was at one instant of the call: what threads write after that is left for the next one.  -EINVAL: not an ordered
 * region, log_fd is no log; -EOPNOTSUPP: its store is not of sf_store_file; -EBUSY: pages are pinned for writing; -EBADMSG: see sf_recover; errors
 * of the log or home (the region stays changed; nothing is half done that sf_recover or the next call does not finish). */
SF_API int sf_sync_atomic(sf_region *region, const struct sf_atomic_options *opt);
/* Finish or discard what log_fd holds for the file home_fd (which no region has mapped).  1: applied, 0: there was nothing to apply, or -errno (try
 * again).  -EINVAL: log_fd holds something else; -EBADMSG: a log that was committed has been damaged since, and home may be half written. */
SF_API int sf_recover(int home_fd, int log_fd);

/* ================================================================ living with others
 *
 * SIGSEGV and SIGBUS are installed with the first pool, fault-safe access or attached object, on the alternate stack of threads that have one, else on the
 * thread's stack (16 KiB should be free there).  Order for each such signal:
 *   1  a page fault on an address in a pool's window      ours: resolved, or 2 to 4 with the error
 *   2  the instruction has an entry in an __ex_table       goes on at its fixup
 *   3  the thread is in an sf_try scope                    goes on behind sf_try
 *   4  what was installed before us                        called as the host would have: SA_SIGINFO or not, its mask, SA_RESETHAND, SA_NODEFER; SIG_DFL:
 *                                                          the process dies of this signal with the siginfo that the host would
 *                                                          give; SIG_IGN: the same
 * A handler installed after ours comes first.  It should chain to ours; if it does not, regions do not work until
 * sf_rearm puts ours in front again, with the newcomer behind it.  Blocking either signal while touching a region
 * kills the process, as it does on Linux. */

/* Put the handlers in front again.  1: something stood there and is now behind us; 0: they were there.  -EPERM: they were never installed; -ENOSPC: 16
 * newcomers already. */
SF_API int sf_rearm(void);

#ifdef __cplusplus
}
#endif
#endif
