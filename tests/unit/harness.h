/* SPDX-License-Identifier: MIT */
/* harness.h - one machine on the soft port, and address space drawn as short rows
 *
 *	struct rig r;
 *	rig_open(&r, .bound = 64);
 *	row_map(&r, ROW, "ww.r|rff");      // rw rw hole ro ro(another area) file file
 *	poke(&r, ROW, 7);
 *	assert_areas(&r, ROW, "ww.rrff");
 *	assert_pages(&r, ROW, "W......");
 *	rig_close(&r);                     // checks the machine, and that nothing leaked
 *
 * Areas, one letter a page:   n PROT_NONE   r read   w read+write   x read+exec   e all   o write only   i exec only
 *   f file, private, rw   F file, private, read-only   s file, shared, rw   t file, shared, read-only   . hole
 *   | between two areas that touch (row_map: a mapping of its own)
 * Pages, one letter a page:   W visible, writable   R visible, read-only   H hidden   S swapped   P poisoned   s shared, shown
 *   . nothing */
#ifndef SF_TEST_HARNESS_H
#define SF_TEST_HARNESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <linux/mman.h>
#include <asm/mman.h>

#include "fakes.h"
#include "mm/uaccess.h"

#define ROW           0x40000000ull
#define AT(page)      (ROW + (page)*PAGE_SIZE)
#define RIG_LO        0x10000ull
#define RIG_TASK_SIZE (1ull << 40)
#define RIG_MMAP_BASE 0xf000000000ull

#define SIGBUS      7
#define SIGSEGV     11
#define SEGV_MAPERR 1
#define SEGV_ACCERR 2
#define BUS_ADRERR  2

struct rig_config {
	uint64_t bound; /* pages; 0: none */
	uint64_t slots; /* of the store; 0: 4096 */
	bool no_store;
	const char *policy;
	unsigned cluster, fault_around;
	bool threaded;
};

struct rig {
	struct port *port;
	struct machine *mc;
	struct mm *mm;
	struct task tk;
	struct fake_store store;
	bool has_store;
	struct fake_file *file; /* what row_map maps for f F s t, at page offset = page of the row; made on demand */
	uint64_t file_size;     /* 0: 1 MiB */
	char warnings[4][128];
	unsigned nr_warnings;
	bool file_released;
};

void rig_open_config(struct rig *r, const struct rig_config *c);
#define rig_open(r, ...) rig_open_config(r, &(struct rig_config){ __VA_ARGS__ })
void rig_close(struct rig *r);
/* machine_check, and the port agrees with every page's flags. */
void rig_check(struct rig *r);
/* Throw everything away without checks: after a caught panic locks are held and lists half done. */
void rig_abandon(struct rig *r);
struct fake_file *rig_file(struct rig *r);

/* ---- rows */
void row_map(struct rig *r, vaddr_t at, const char *row);
void row_areas(struct rig *r, vaddr_t at, size_t pages, char *buf);
void row_pages(struct rig *r, vaddr_t at, size_t pages, char *buf);
void assert_areas_at(struct rig *r, vaddr_t at, const char *row, const char *file, int line);
void assert_pages_at(struct rig *r, vaddr_t at, const char *row, const char *file, int line);
#define assert_areas(r, at, row) assert_areas_at(r, at, row, __FILE__, __LINE__)
#define assert_pages(r, at, row) assert_pages_at(r, at, row, __FILE__, __LINE__)
uint64_t rig_areas(struct rig *r);
struct vm_area *rig_area(struct rig *r, vaddr_t addr);                                           /* the area that contains addr, or NULL */
int64_t map_anon(struct rig *r, vaddr_t at, uint64_t pages, unsigned prot, unsigned more_flags); /* fixed if at != 0 */

/* ---- instructions */
struct outcome {
	int verdict;
	struct fault_report r;
};
struct outcome try_read(struct rig *r, vaddr_t addr, void *buf, size_t n);
struct outcome try_write(struct rig *r, vaddr_t addr, const void *buf, size_t n);
struct outcome try_exec(struct rig *r, vaddr_t addr);
unsigned char peek_byte(struct rig *r, vaddr_t addr); /* must work */
void poke(struct rig *r, vaddr_t addr, unsigned char c);
/* Write a page's worth of a pattern; what a page holds. */
enum page_content { HAS_TAG, HAS_ZEROS, HAS_OTHER, HAS_FAULT };
struct outcome try_stamp(struct rig *r, vaddr_t page, uint64_t tag);
void stamp(struct rig *r, vaddr_t page, uint64_t tag);
enum page_content content(struct rig *r, vaddr_t page, uint64_t tag);
void assert_stamp_at(struct rig *r, vaddr_t page, uint64_t tag, const char *file, int line);
#define assert_stamp(r, page, tag) assert_stamp_at(r, page, tag, __FILE__, __LINE__)
void assert_zero_page(struct rig *r, vaddr_t page);
void assert_file_page(struct rig *r, vaddr_t page, uint64_t pgoff);

void assert_signal_at(struct outcome o, int signo, int code, vaddr_t addr, const char *file, int line);
#define assert_signal(o, signo, code, addr) assert_signal_at(o, signo, code, addr, __FILE__, __LINE__)
#define assert_maperr(o, addr)              assert_signal(o, SIGSEGV, SEGV_MAPERR, addr)
#define assert_accerr(o, addr)              assert_signal(o, SIGSEGV, SEGV_ACCERR, addr)
#define assert_adrerr(o, addr)              assert_signal(o, SIGBUS, BUS_ADRERR, addr)
void assert_fixed_at(struct outcome o, const char *file, int line);
#define assert_fixed(o) assert_fixed_at(o, __FILE__, __LINE__)

/* ---- reclaim by hand */
unsigned evict(struct rig *r, unsigned want); /* reclaim() with the lock */
void evict_range(struct rig *r, vaddr_t at, uint64_t pages);
void hide_range(struct rig *r, vaddr_t at, uint64_t pages); /* pages_hide() */
pte_t rig_pte(struct rig *r, vaddr_t page);
uint64_t rig_visible(struct rig *r);
uint64_t rig_resident(struct rig *r); /* private pages at the port */
uint64_t rig_peak(struct rig *r);
#define faults(r, kind) ((r)->mc->stats->faults[kind])

/* Run a statement that must end in sf_panic; the rig is good for nothing afterwards. */
#define assert_panic(stmt)                               \
	do {                                             \
		jmp_buf jb__;                            \
		fake_panic_jump = &jb__;                 \
		if (!setjmp(jb__)) {                     \
			stmt;                            \
			fake_panic_jump = NULL;          \
			fail_msg("no panic: %s", #stmt); \
		}                                        \
		fake_panic_jump = NULL;                  \
	} while (0)

#endif
