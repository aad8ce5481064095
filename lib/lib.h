/* SPDX-License-Identifier: MIT */
/* lib.h - what the files of lib/ share
 *
 *   handle.c     names for pools, regions, stores, snapshots; entering and leaving a call
 *   worker.c     threads for callbacks and for work that nobody waits for
 *   policy.c     the application's own replacement policy
 *   store.c      stores of all kinds; request.c: requests to the application's own
 *   pool.c       pools, their addresses and machines; window.c: which pool an address belongs to
 *   region.c     mapping, and all that changes a region's range; advise.c: advice, sync, what is where
 *   backing.c    the file or store behind a region, and its errors
 *   signal.c     handlers, chaining, sf_try            fork.c  the child of a fork
 *   uring.c      many writes to a file with one call of the host
 *   touch.c      pools in which the host kernel's own touches work
 *   pin.c        pins and system-call wrappers
 *   access.c     fault-safe access                     snapshot.c, sync_atomic.c
 *
 * Code that runs in the fault handler (marked so) obeys the core's rules: no libc state but the one thread-local variable below, which
 * needs no allocation.  A call blocks the signals of its thread while it holds a lock that the fault handler takes too, so a signal
 * handler may touch region memory at any time.
 *
 * Lock order: pool->map_lock -> region->op_lock -> mm->lock.  Others are leaves. */
#ifndef SF_LIB_H
#define SF_LIB_H

#define SF_NO_OBJECT
#define SF_BUILDING
#include "include/softfault.h"
#include "mm/mm.h"
#include "mm/snap.h"
#include "port/host/host.h"
#include "store/store.h"

#include <pthread.h>

/* ---------------------------------------------------------------- locks that need no port */

struct lk { uint32_t word; };
void lk_take(struct lk *l);
void lk_drop(struct lk *l);
void futex_wait(uint32_t *word, uint32_t val);
/* False: ns have passed. */
bool futex_wait_for(uint32_t *word, uint32_t val, uint64_t ns);
void futex_wake(uint32_t *word, int count);

/* ---------------------------------------------------------------- this thread */

struct lib_thread {
	struct sf_try *top;    /* innermost scope */
	unsigned in_callback;  /* running code of the application on the library's behalf */
	const struct pool *callback_pool; /* whose: its memory cannot be had there */
	struct machine *in_policy; /* whose lock is held: no pool's memory can be had */
	unsigned in_call;      /* between lib_enter and lib_leave: a fork waits for it */
	bool forking;          /* between the handlers of a fork: nothing of ours can be had */
	unsigned chain_level;  /* see signal.c */
	bool chaining;
};
extern __thread struct lib_thread lib_thread __attribute__((tls_model("initial-exec"), visibility("hidden")));
/* A number for this thread, without a system call. */
static inline uint32_t thread_number(void)
{
	return (uint32_t)((uintptr_t)__builtin_thread_pointer() >> 6) | 1u << 31;
}

/* ---------------------------------------------------------------- objects and their names (handle.c) */

enum obj_kind { OBJ_FREE, OBJ_POOL, OBJ_REGION, OBJ_STORE, OBJ_SNAPSHOT };
struct obj {
	uint32_t refs;
	enum obj_kind kind;
	void *handle;              /* NULL: none (any more) */
	void (*free)(struct obj *o);
};
/* Zeroed memory of that size, which begins with its struct obj, with one reference.  NULL: out of memory. */
void *obj_new(size_t bytes, enum obj_kind kind, void (*free_)(struct obj *o));
void obj_get(struct obj *o);
void obj_put(struct obj *o); /* frees with the last; not in the fault handler */
/* Give o a name, which holds a reference of its own. -ENOMEM. */
int handle_open(struct obj *o);
/* The name is void from now on.  -EBADF: it was already.  The reference it held is the caller's. */
int handle_close(struct obj *o);
/* With a reference.  -EINVAL, -EBADF, -ESTALE. */
int handle_find(const void *handle, enum obj_kind kind, struct obj **ret);
/* All names of now are stale, but of those kept (in the child of a fork). */
void handles_forked(bool (*kept)(struct obj *o));

/* Every public call that takes locks: not from a callback (-EDEADLK), and with signals blocked until lib_leave. */
struct scope { uint64_t mask; };
int lib_enter(struct scope *sc);
void lib_leave(struct scope *sc);
void signals_block(struct scope *sc);
void signals_restore(struct scope *sc);
/* Both at once; *ret with a reference that call_end drops. */
int call_begin(struct scope *sc, const void *handle, enum obj_kind kind, void *ret_obj);
void call_end(struct scope *sc, void *obj);
/* A struct of the caller's of size have: at least least, and nothing set beyond known.  0 or -EINVAL. */
int check_struct(const void *s, size_t least, size_t known);
/* Memory of the caller's may be a region's, and a touch of it may leave the call by sf_try: so it is touched before lib_enter and after lib_leave only. */
/* Copy the public struct in (rest zero), or out as far as the caller's struct_size goes. */
void struct_in(void *dst, const void *src, size_t known);
void struct_out(void *dst, const void *src, size_t known);

/* ---------------------------------------------------------------- threads (worker.c) */

#define WORKERS_MAX 16
struct work {
	void (*fn)(struct work *w); /* may free it */
	struct work *next;
};
struct workers {
	struct lk lock;
	uint32_t seq;
	struct work *head, *tail;
	bool stop;
	unsigned nr;
	bool callbacks; /* its threads run the application's code */
	pthread_t thread[WORKERS_MAX];
};
/* Have at least n threads.  Not in the fault handler.  -EAGAIN, -ENOMEM. */
int workers_start(struct workers *ws, unsigned n);
void workers_post(struct workers *ws, struct work *w); /* fault handler too */
struct work *workers_take(struct workers *ws, bool wait); /* NULL: none, or stopping */
void workers_stop(struct workers *ws); /* what is queued is done first */
void workers_forked(struct workers *ws); /* in the child of a fork: nothing was queued, and threads are to be had again */
/* A thread with all signals blocked but the synchronous ones.  -errno. */
int thread_start(pthread_t *ret, void *(*main)(void *arg), void *arg);
/* Run fn(arg) on one of them and wait.  Fault handler too. */
void workers_call(struct workers *ws, void (*fn)(void *arg), void *arg);

/* ---------------------------------------------------------------- stores (store.c, request.c) */

enum store_kind { STORE_USER, STORE_FILE, STORE_MEMORY, STORE_COMPRESSED, STORE_FAULTY };
struct requests;
struct store_obj {
	struct obj o;
	enum store_kind kind;
	uint32_t used;        /* by a pool, region or other store */
	const struct pool *pool; /* the last that used it, for comparison only */
	struct store_obj *below;
	uint64_t max_bytes;
	int fd;
	char *mem;
	struct sf_store_ops ops;
	void *arg;
	char name[32];
	struct requests *req; /* of a STORE_USER that is not inline */
	struct sf_fault_plan plan;
	uint64_t reads, writes; /* calls since the plan */
};
/* Move len bytes (or sync, or trim): len or 0, or -errno; short is -EIO.  Fault handler too. */
int64_t store_io(struct store_obj *s, enum sf_io_op op, void *buf, uint64_t len, uint64_t off);
/* For whoever wants a store for itself.  -EBUSY. */
int store_use(struct store_obj *s);
/* For this pool, or one of its regions. */
int store_use_for(struct store_obj *s, const struct pool *p);
void store_unuse(struct store_obj *s);
/* The store as the core knows them, above what it stands on; closed by store_core_close. */
int store_core_open(struct store_obj *s, struct port *port, uint64_t slots, struct store **ret);
void store_core_close(struct store *s);
/* Requests to the application's threads. */
int requests_open(struct store_obj *s);
void requests_close(struct store_obj *s);
void requests_forked(void);
int64_t request_io(struct store_obj *s, enum sf_io_op op, void *buf, uint64_t len, uint64_t off);

/* ---------------------------------------------------------------- batches of writes (uring.c) */

#define NR_RINGS 2u
#define URING_MOST 32u
struct uring { struct lk lock; int fd; uint32_t entries; char *mem, *sqes; size_t mem_len, sqes_len; uint32_t off[8]; };
struct rings { uint32_t nr; struct uring ring[NR_RINGS]; };
struct uring_write { const char *buf; uint32_t len; uint64_t off; int64_t result; void *arg; };
/* Have them, if the host lets us; not in the fault handler. */
void rings_open(struct rings *rs);
void rings_close(struct rings *rs);
/* Make n writes at once, and wait; each has its bytes or -errno as result.  False: no ring is free, nothing was done.  Fault handler too. */
bool rings_write(struct rings *rs, int fd, struct uring_write *w, unsigned n);

/* ---------------------------------------------------------------- pools (pool.c, window.c) */

struct region;
struct pool {
	struct obj o;
	vaddr_t own_lo, lo, hi; /* ours; regions'; end of both */
	struct port *port;
	struct machine *mc;
	struct mm *mm;
	uint32_t flags, engine;
	uint32_t visits;        /* faults and look-ups under way */
	struct lk map_lock;
	bool dying, keep;       /* keep: in the child of a fork too */
	uint64_t nr_regions;
	struct store_obj *store;
	struct store *core_store;
	unsigned nr_workers;
	struct workers helpers, callers; /* read-ahead and such; error callbacks */
	struct rings rings;     /* for regions whose home is a file */
	struct touch *touch;    /* of SF_POOL_HOST_TOUCH */
	struct region *dead;    /* lock-free stack of regions that the core has let go of */
	uint64_t home_in, home_out, read_errors, write_errors, checksum_errors;
	struct own_policy *own_policy;
	uint64_t ahead;         /* pages that SF_WILLNEED has under way */
	void (*warn)(void *arg, const char *msg);
	void *warn_arg;
};
/* The pool of an address, kept from going until pool_leave; NULL: none.  Fault handler. */
struct pool *pool_visit(vaddr_t addr);
void pool_leave(struct pool *p);
/* The first pool at or above addr whose range begins below end. */
struct pool *pool_visit_next(vaddr_t addr, vaddr_t end);
int window_add(struct pool *p);
void window_del(struct pool *p); /* returns when nobody visits it any more */
/* Around a fork (fork.c); windows_forked drops those that keep() refuses, and counts the others. */
void windows_hold(void (*each)(struct pool *p));
void windows_release(void (*each)(struct pool *p));
unsigned windows_forked(bool (*keep)(struct pool *p));
bool windows_find(bool (*is)(struct pool *p, void *arg), void *arg);
/* Resolve a fault at addr.  0, or -errno with the signal and code that say it.  Fault handler. */
struct fault_answer { int signo, code; unsigned error_code; };
int pool_fault(struct pool *p, vaddr_t addr, unsigned error_code, vaddr_t ip, struct fault_answer *ret);
/* Threads that answer the host kernel's touches of the pool; and before a fault of such a pool is looked at by the thread that has it. */
int touch_start(struct pool *p, unsigned threads);
void touch_stop(struct pool *p);
void touch_allow(struct pool *p, vaddr_t addr);
void pool_reap(struct pool *p); /* free dead regions; not in the fault handler */

/* A policy of the application's own (policy.c): are the options in order; for a pool whose machine is there, or not; wrong answers so far. */
extern const struct policy_ops policy_own;
int policy_judge(const struct sf_pool_options *o);
int policy_open(struct pool *p, const struct sf_pool_options *o);
void policy_close(struct pool *p);
uint64_t policy_errors(const struct pool *p);

/* ---------------------------------------------------------------- regions (region.c, advise.c, backing.c) */

struct region {
	struct obj o;
	struct sf_file file;    /* as the core knows it */
	struct pool *pool;
	struct lk op_lock;      /* held by every call on it but those that are one look at the page table */
	bool gone;              /* op_lock */
	vaddr_t addr;
	uint64_t len;
	uint32_t kind, prot, flags, cluster;
	int fd;
	uint64_t offset;
	bool direct;            /* the descriptor avoids the host's page cache */
	struct store_obj *store;
	sf_error_fn on_error;
	void *arg;
	uint32_t *sums;         /* a sum for each page at home, 0: unknown */
	uint64_t sums_len;
	int async_error;        /* of SF_SYNC_ASYNC */
	uint32_t jobs;          /* of the pool's threads, each as good as a reference */
	uint32_t snapshots;     /* that keep it from changing its range */
	struct snap *snap;      /* it shows this snapshot of another one's contents */
	uint64_t home_in, home_out, read_errors, write_errors, checksum_errors;
	struct region *next_dead;
};
#define region_of(f) container_of(f, struct region, file)
extern const struct sf_file_ops region_anon_ops, region_file_ops; /* backing.c */
static inline bool is_region(const struct sf_file *f) { return f && (f->ops == &region_anon_ops || f->ops == &region_file_ops); }
/* Its changes go to a home. */
static inline bool has_home(const struct region *r) { return r->kind == SF_FILE_SHARED || r->kind == SF_STORE; }
/* call_begin for a region, with op_lock; -EBADF if it is gone. */
int region_begin(struct scope *sc, sf_region *handle, struct region **ret);
void region_end(struct scope *sc, struct region *r);
void region_job(struct region *r);
void region_job_done(struct region *r); /* the caller's claim on r is over */
/* [off, off+len) are whole pages inside the region.  op_lock. */
int region_range(const struct region *r, uint64_t off, uint64_t len);
bool region_pinned(struct region *r, uint64_t off, uint64_t len);
/* Make a region of the range that shows a snapshot; locked: map_lock.  With a reference.  -ENOMEM. */
int region_adopt(struct pool *p, vaddr_t addr, uint64_t len, struct snap *snap, struct region **ret);
struct pool *snapshot_pool(struct obj *o); /* of an OBJ_SNAPSHOT */
void snapshot_unmapped(struct snap *snap); /* snapshot.c: its region is no more; locked: map_lock */
/* Everything that is behind it, at off of the region.  Fault handler. */
bool region_takes_batches(const struct region *r);
int region_flush(struct region *r);
enum swap_verdict region_swap_error(struct machine *mc, struct sf_file *f, uint64_t pgoff, int err, unsigned attempt, void *buf);

/* ---------------------------------------------------------------- signals (signal.c), fork (fork.c) */

int handlers_install(void); /* once; -errno */
int fork_watch(void);       /* once */
/* The child of a fork keeps this pool (does not any more); can what the store holds be copied by the host? */
void fork_keep(struct pool *p);
void fork_unkeep(struct pool *p);
bool fork_can_copy(const struct store_obj *s);
/* Work that must be over before a fork: as a call, which waits while somebody forks; or as a part of one.  A fault only waits.  Fault handler too. */
void fork_enter(void);
void fork_begin_work(void);
void fork_end_work(void);
void fork_wait(void);
/* signal.c asks access.c: has the instruction at ip an entry in some object's table?  If so set *ret_fixup and *ret_type (SF_EX_*).  Fault handler. */
bool access_lookup(vaddr_t ip, vaddr_t *ret_fixup, int *ret_type);

#endif
