/* SPDX-License-Identifier: MIT */
/* host_priv.h - what the files of port/host share
 *
 *   port_host.c     creation, shared mappings, what both engines have in common
 *   engine_uffd.c   private memory through userfaultfd
 *   engine_segv.c   private memory through mprotect
 *   protmap.c       what each page's permission is, and how many host mappings that costs
 *   own.c           memory of ours
 *   clock.c         time without a system call
 *   probe.c         what the machine offers */
#ifndef SF_HOST_PRIV_H
#define SF_HOST_PRIV_H

#include "port/host/host.h"
#include <linux/ioctl.h>
#include <linux/mman.h>
#include <linux/userfaultfd.h>

/* Newer than the oldest headers we build with. */
#ifndef UFFDIO_MOVE
struct uffdio_move { __u64 dst, src, len, mode; __s64 move; };
#define UFFDIO_MOVE_MODE_DONTWAKE ((__u64)1 << 0)
#define UFFDIO_MOVE _IOWR(UFFDIO, 0x05, struct uffdio_move)
#endif
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif
#ifndef UFFD_FEATURE_MOVE
#define UFFD_FEATURE_MOVE (1 << 16)
#endif
#ifndef PIDFD_SELF
#define PIDFD_SELF (-10000)
#endif
#define UFFD_NEEDED ((uint64_t)(UFFD_FEATURE_SIGBUS | UFFD_FEATURE_PAGEFAULT_FLAG_WP))

/* ---------------------------------------------------------------- protmap.c
 *
 * A byte for each page in a sparse three-level table; 0 where nothing was ever set.  edges counts the neighbours whose
 * counted bytes differ: each is a border between two host mappings. */
#define PM_X      PT_X   /* the range may be executed, visible or not */
#define PM_VIS    0x08u  /* visible, with PT_R, PT_W */
#define PM_SHARED 0x10u  /* page of a mapping of a file: shared, or placed (then without PM_VIS) */
#define PM_PROT   (PT_R | PT_W | PT_X)
#define PM_LEVEL_BITS 12
#define PM_LEVEL  (1u << PM_LEVEL_BITS)

struct host_port;
struct protmap {
	uint8_t ***root;
	uint8_t count_if; /* a byte counts for edges if it has one of these bits, else it counts as 0 */
	uint64_t edges;
};
int pm_init(struct host_port *hp, uint8_t count_if);
uint8_t pm_get(const struct protmap *pm, uint64_t pfn);
/* Make room for bytes of a range, so that pm_set cannot fail.  -ENOMEM. */
int pm_prepare(struct host_port *hp, uint64_t pfn, uint64_t n);
/* byte = (byte & keep) | bits.  Where there is no room, all bytes stay 0 (bits must be 0 there). */
void pm_set(struct host_port *hp, uint64_t pfn, uint64_t n, uint8_t keep, uint8_t bits);
/* All bytes 0; gives room back. */
void pm_clear(struct host_port *hp, uint64_t pfn, uint64_t n);
/* By how much edges would grow if n bytes became value. */
int64_t pm_delta(const struct protmap *pm, uint64_t pfn, uint64_t n, uint8_t value);
/* Next run of equal bytes with any bit of want at or after pfn and before end: first page and value, length as result; 0: none. */
uint64_t pm_run(const struct protmap *pm, uint64_t pfn, uint64_t end, uint8_t want, uint64_t *ret_first, uint8_t *ret_value);
void pm_free(struct host_port *hp);

/* ---------------------------------------------------------------- own.c */

#define OWN_HOLES 256
struct own {
	vaddr_t lo, hi, next; /* [next, hi) was never used */
	uint32_t lock;
	unsigned nr_holes;
	struct own_hole { vaddr_t lo, hi; } hole[OWN_HOLES];
};
/* Fresh zeroed pages of ours, or NULL.  prot: PROT_*. */
void *own_alloc(struct host_port *hp, size_t bytes, int prot);
void own_free(struct host_port *hp, void *mem, size_t bytes);
void own_hold(struct host_port *hp, bool on); /* nobody else may allocate or free */

/* ---------------------------------------------------------------- clock.c */

#define CLOCK_FIXES 7
struct host_clock {
	bool tsc;                /* the counter runs at one rate always */
	uint32_t busy, cur;      /* fix in use; 0: none yet */
	uint64_t start_tsc, start_ns, next_tsc;
	struct clock_fix { uint64_t tsc, ns, mult; } fix[CLOCK_FIXES + 1]; /* each is written once */
};
void clock_init(struct host_clock *c);
uint64_t clock_now(struct host_clock *c);

/* ---------------------------------------------------------------- engines */

struct host_engine_ops {
	int (*open)(struct host_port *hp, const char **ret_why);
	void (*close)(struct host_port *hp);
};
extern const struct port_ops uffd_port_ops, segv_port_ops;
extern const struct host_engine_ops uffd_engine, segv_engine;

struct arena { vaddr_t base; uint32_t slots, used, cursor; uint64_t *map; bool registered; };
#define STALE_MAX 16
#define STALE_PAGES 32

struct host_port {
	struct port port;
	struct host_port_config cfg;
	const struct host_engine_ops *engine;
	struct own own;
	struct host_clock clock;
	struct protmap pm;
	uint64_t max_map_count;
	int64_t map_base;      /* host mappings but for edges, as last counted, plus what was reserved since */
	uint64_t map_drift;    /* reservations and releases since then */
	/* uffd */
	int uffd;
	bool can_move, no_batches;
	void *zeros;           /* ZERO_PAGES pages */
	struct arena arena[2]; /* plain and executable */
	struct stale { hid_t first; uint32_t n; } stale[STALE_MAX]; /* arena pages whose contents are no longer wanted */
	unsigned nr_stale, stale_pages;
	/* segv */
	int mem_fd;
	bool can_populate;
	size_t bytes;          /* of this structure */
};
#define ZERO_PAGES 64u

static inline struct host_port *to_host(struct port *p) { return container_of(p, struct host_port, port); }

#define hp_call(hp, nr, ...) (hp_count(hp), host_call_n(nr, __VA_ARGS__, 0, 0, 0, 0, 0, 0))
#define host_call_n(nr, a, b, c, d, e, f, ...) host_call6(nr, a, b, c, d, e, f)
static inline void hp_count(struct host_port *hp)
{
	if (hp->port.host_calls)
		__atomic_fetch_add(hp->port.host_calls, 1, __ATOMIC_RELAXED);
}

/* port_host.c: what both engines use */
int64_t hp_unmap(struct host_port *hp, vaddr_t va, uint64_t bytes); /* or, with cfg.reserved, map nothing there */
void hp_maps_changed(struct host_port *hp, unsigned drift); /* keep port.nr_maps true */
bool hp_maps_room(struct host_port *hp, int64_t more);      /* may so many host mappings be added? */
int hp_keep_fd(struct host_port *hp, int64_t fd);           /* move to fd_base and up; fd or -errno */
int hp_reserve_shared(struct port *p, vaddr_t va, size_t n, int fd, uint64_t off, unsigned maxprot);
int hp_lend(struct port *p, vaddr_t va, size_t n, int fd, uint64_t off, unsigned prot);
int hp_show_shared(struct port *p, vaddr_t va, size_t n, unsigned prot);
int hp_hide_shared(struct port *p, vaddr_t va, size_t n);
int hp_place(struct port *p, vaddr_t va, size_t n, int fd, uint64_t off);
int hp_place_read(struct port *p, vaddr_t va, size_t n);
int hp_in_core(struct port *p, vaddr_t va, size_t n, unsigned char *vec);
int hp_sync_shared(struct port *p, vaddr_t va, size_t n, int flags);
void hp_fork_begin(struct port *p);
void hp_fork_end(struct port *p);
const void *hp_view(struct port *p, vaddr_t va);
int hp_sole(struct port *p, vaddr_t va);
void *hp_alloc(struct port *p, size_t bytes);
void hp_free(struct port *p, void *mem, size_t bytes);
bool hp_clear(struct port *p, void *mem, size_t bytes);
void hp_wait(struct port *p, uint32_t *word, uint32_t val);
void hp_wake(struct port *p, uint32_t *word, int count);
uint64_t hp_now(struct port *p);
uint32_t hp_self(struct port *p);
#define HP_COMMON_OPS                          \
	.reserve_shared = hp_reserve_shared,   \
	.lend = hp_lend,                       \
	.show_shared = hp_show_shared,         \
	.hide_shared = hp_hide_shared,         \
	.place = hp_place, .place_read = hp_place_read, \
	.in_core = hp_in_core,                 \
	.sync_shared = hp_sync_shared,         \
	.fork_begin = hp_fork_begin,           \
	.fork_end = hp_fork_end,               \
	.view = hp_view, .sole = hp_sole,      \
	.alloc = hp_alloc, .free = hp_free, .clear = hp_clear, \
	.wait = hp_wait, .wake = hp_wake,      \
	.now = hp_now, .self = hp_self

/* probe.c */
struct uffd_open { int fd; bool user_only; uint64_t features; };
int uffd_try_open(struct uffd_open *ret); /* with SIGBUS and write-protect; -errno */
int uffd_try_open_touch(struct uffd_open *ret); /* without SIGBUS: faults, the host kernel's own too, are messages; -EPERM */
int proc_mem_try_open(void);              /* fd that writes through PROT_NONE, or -errno */
uint64_t host_read_number(const char *path, uint64_t otherwise);

#endif
