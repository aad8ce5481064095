/* SPDX-License-Identifier: MIT */
/* soft_priv.h - the software MMU's inside: soft.c (methods), soft_table.c (tables), soft_object.c (files), soft_cpu.c (instructions)
 *
 * All of it is under the port's one mutex. */
#ifndef SF_SOFT_PRIV_H
#define SF_SOFT_PRIV_H

#include "port/soft/soft.h"

#include <bsd/sys/tree.h>
#include <pthread.h>

#define NODE_SHIFT  9
#define NODE_SLOTS  (1u << NODE_SHIFT)
#define NODE_LEVELS 4
#define TLB_SIZE    32u
#define MAX_OBJECTS 64
#define FIRST_FD    1000
#define JUNK_NEW    0xa5 /* a frame nobody has filled yet */
#define JUNK_FREE   0xdb /* a frame that is gone */
#define MAX_RETRIES 100000u
#define PT_ALL      (PT_R | PT_W | PT_X)

/* An entry's low bits: PT_* and this one.  Visible: frame address above; shown: nothing above.  Hidden: no low bits at all,
 * (name + 1) << 8. */
#define SPTE_SHARED 8ull
#define SPTE_LOW    15ull

struct node {
	unsigned used;
	uint64_t e[NODE_SLOTS]; /* child nodes, or entries in the lowest level */
};

struct soft_object {
	bool used;
	uint64_t size, room;
	unsigned char *data;
};

struct soft_region {
	RB_ENTRY(soft_region) link;
	vaddr_t start, end;
	struct soft_object *obj; /* NULL: private */
	uint64_t off;            /* in obj, of start */
	unsigned maxprot;        /* shared */
	bool exec;               /* private */
};
RB_HEAD(soft_region_tree, soft_region);
RB_PROTOTYPE(soft_region_tree, soft_region, link, soft_region_cmp)

struct tlb_entry {
	uint64_t tag; /* page number + 1 */
	unsigned char *frame;
	unsigned prot;
};

struct name {
	unsigned char *frame; /* NULL: free */
	vaddr_t va;
};

struct soft_port {
	struct port base;
	pthread_mutex_t lock;
	vaddr_t lo, hi;
	struct node *root;
	struct soft_region_tree regions;
	struct tlb_entry tlb[TLB_SIZE];
	struct name *names;
	uint32_t nr_names, next_name;
	struct soft_object objects[MAX_OBJECTS];
	struct soft_counts count;
	unsigned fail_ops;
	uint64_t fail_skip, fail_times, failed;
	int fail_err;
	uint64_t time, tick;
	vaddr_t ip;
	bool threaded;
};

static inline struct soft_port *soft(struct port *p) { return container_of(p, struct soft_port, base); }

static inline bool is_shown(uint64_t e) { return e & SPTE_SHARED; }

static inline bool is_visible(uint64_t e) { return (e & PT_ALL) && !is_shown(e); }

static inline bool is_hidden(uint64_t e) { return e && !(e & SPTE_LOW); }

static inline unsigned char *entry_frame(uint64_t e) { return (unsigned char *)(uintptr_t)(e & ~SPTE_LOW); }

static inline uint64_t mk_visible(unsigned char *frame, unsigned prot) { return (uintptr_t)frame | prot; }

static inline uint64_t mk_hidden(hid_t hid) { return ((uint64_t)hid + 1) << 8; }

static inline hid_t entry_name(uint64_t e) { return (hid_t)((e >> 8) - 1); }

/* ---- soft_table.c */

void *spt_alloc(size_t n); /* zeroed; never fails */
struct node *spt_node(struct soft_port *s);
uint64_t spt_get(struct soft_port *s, uint64_t vpn);
void spt_set(struct soft_port *s, uint64_t vpn, uint64_t e);        /* drops the TLB's copy */
uint64_t spt_next(struct soft_port *s, uint64_t vpn, uint64_t end); /* first page ≥ vpn and < end with an entry, or end */
void spt_tlb_flush(struct soft_port *s);
void spt_note_peak(struct soft_port *s);
unsigned char *spt_frame_new(struct soft_port *s); /* counted as visible */
void spt_frame_free(unsigned char *f);
void spt_discard(struct soft_port *s, vaddr_t start, vaddr_t end); /* visible and shown pages become absent */

struct soft_region *spt_region_after(struct soft_port *s, vaddr_t va); /* first that ends above va */
struct soft_region *spt_region_of(struct soft_port *s, vaddr_t va);
void spt_region_add(struct soft_port *s, struct soft_region r);
void spt_region_split(struct soft_port *s, vaddr_t va);
void spt_region_join(struct soft_port *s, vaddr_t va);
void spt_region_clear(struct soft_port *s, vaddr_t start, vaddr_t end);
void spt_require_private(struct soft_port *s, vaddr_t va, size_t n);
void spt_require_shared(struct soft_port *s, vaddr_t va, size_t n);

/* ---- soft_object.c */

struct soft_object *soft_object_of(struct soft_port *s, int fd); /* NULL: no such file */

#endif
