/* SPDX-License-Identifier: MIT */
/* fuzz_model.h - the naive model of the fuzzer: a window of pages as an array; and its input and reports
 *
 * Included by fuzz_mm.c alone. */
#ifndef SF_FUZZ_MODEL_H
#define SF_FUZZ_MODEL_H

#include "tests/unit/fakes.h"

#include <asm/mman.h>
#include <linux/mman.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define N               192u /* pages in the window */
#define LOW             0x10000ull
#define BASE            0x40000000ull
#define END             (BASE + N * PAGE_SIZE)
#define AT(i)           (BASE + (i)*PAGE_SIZE)
#define HEAP            144u /* brk starts at this page */
#define MAX_RUN         24u  /* most pages of one call */
#define FILE_BYTES      (100 * PAGE_SIZE + 1234)
#define SHARED_PAGES    64u
#define STEPS_A_MACHINE 4000u
#define SIG_SEGV        11
#define SIG_BUS         7

enum kind { HOLE, ANON, PRIVATE, SHARED, SHANON /* shared and anonymous */ };

struct mpage {
	enum kind kind;
	unsigned prot;
	bool own;  /* data[] are its bytes; else zeros or the file's */
	bool lazy; /* MADV_FREE: its bytes, or zeros, until the next write */
	bool locked;
	uint32_t pgoff;
};

static struct mpage page[N];
static unsigned char data[N][PAGE_SIZE];
static unsigned char shared[SHARED_PAGES][PAGE_SIZE];
static vaddr_t model_brk;

static struct port *port;
static struct machine *mc;
static struct mm *mm;
static struct task task;
static struct fake_store store;
static struct fake_file *file, *shfile;
static uint64_t pin_addr, pin_len; /* the pin now held; pin_len 0: none */

/* ---------------------------------------------------------------- input and reports */

static uint64_t seed0, rng, step_nr, check_every = 64;
static const uint8_t *input;
static size_t input_left;
static bool input_over;
static char history[64][160];
static unsigned history_next;

static uint64_t next_random(void)
{
	if (!input) {
		rng ^= rng << 13;
		rng ^= rng >> 7;
		rng ^= rng << 17;
		return rng * 0x2545f4914f6cdd1dull >> 16;
	}
	uint64_t v = 0;

	for (unsigned i = 0; i < 2 && input_left; i++, input_left--)
		v = v << 8 | *input++;
	input_over = !input_left;
	return v;
}

static unsigned pick(unsigned n) { return (unsigned)(next_random() % n); }

static void say_where(void)
{
	fprintf(stderr, "fuzz_mm: seed %llu, step %llu; the last steps:\n", (unsigned long long)seed0, (unsigned long long)step_nr);
	for (unsigned i = 0; i < ARRAY_SIZE(history); i++) {
		const char *h = history[(history_next + i) % ARRAY_SIZE(history)];

		if (*h)
			fprintf(stderr, "  %s\n", h);
	}
}

__attribute__((format(printf, 1, 2))) static void note(const char *fmt, ...)
{
	char *h = history[history_next++ % ARRAY_SIZE(history)];
	int n = snprintf(h, 24, "%llu ", (unsigned long long)step_nr);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(h + n, sizeof(history[0]) - (size_t)n, fmt, ap);
	va_end(ap);
}

/* What the call last noted has answered. */
static int64_t answer(int64_t got)
{
	char *h = history[(history_next - 1) % ARRAY_SIZE(history)];
	size_t n = strlen(h);

	snprintf(h + n, sizeof(history[0]) - n, got >= 0 && got < 4096 ? " = %lld" : got < 0 ? " = %lld" : " = %#llx", (long long)got);
	return got;
}

__attribute__((format(printf, 1, 2), noreturn)) static void wrong(const char *fmt, ...)
{
	va_list ap;

	fputs("fuzz_mm: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	say_where();
	abort();
}

static void want(const char *what, int64_t got, int64_t expected)
{
	if (got != expected)
		wrong("%s gave %lld (%#llx), the model says %lld (%#llx)", what, (long long)got, (unsigned long long)got,
		      (long long)expected, (unsigned long long)expected);
}

/* ---------------------------------------------------------------- the model */

struct range {
	unsigned at, n;
};

static struct range random_range(void)
{
	unsigned at = pick(N), n = 1 + pick(pick(2) ? 4 : MAX_RUN);

	return (struct range){ at, MIN(n, N - at) };
}

static bool all_free(unsigned at, unsigned n)
{
	for (unsigned i = at; i < at + n; i++)
		if (i >= N || page[i].kind != HOLE)
			return false;
	return true;
}

static bool any_hole(struct range r)
{
	for (unsigned i = r.at; i < r.at + r.n; i++)
		if (page[i].kind == HOLE)
			return true;
	return false;
}

/* First page of the highest gap of n pages, -1: none (then a mapping goes below the window, and is unmapped at once). */
static int highest_gap(unsigned n)
{
	for (int at = (int)(N - n); at >= 0; at--)
		if (all_free((unsigned)at, n))
			return at;
	return -1;
}

static unsigned char file_byte(uint64_t off) { return off < FILE_BYTES ? fake_byte(off) : 0; }

/* The page's own bytes, made from what lies behind it if need be. */
static unsigned char *own_bytes(unsigned i)
{
	struct mpage *p = &page[i];

	if (p->kind == SHARED)
		return shared[p->pgoff];
	if (!p->own)
		for (unsigned b = 0; b < PAGE_SIZE; b++)
			data[i][b] = p->kind != PRIVATE ? 0 : file_byte((uint64_t)p->pgoff * PAGE_SIZE + b);
	p->own = true;
	return data[i];
}

static unsigned char model_byte(unsigned i, unsigned off)
{
	const struct mpage *p = &page[i];

	if (p->kind == SHARED)
		return shared[p->pgoff][off];
	if (p->own)
		return data[i][off];
	return p->kind != PRIVATE ? 0 : file_byte((uint64_t)p->pgoff * PAGE_SIZE + off);
}

static void forget(unsigned i) { page[i].own = page[i].lazy = false; }

enum expected { OK, MAPERR, ACCERR, ADRERR };

static enum expected expect_touch(vaddr_t addr, unsigned access)
{
	unsigned i = (unsigned)((addr - BASE) / PAGE_SIZE);

	if (addr < BASE || addr >= END || page[i].kind == HOLE)
		return MAPERR;
	if (access == PT_R ? !page[i].prot : !(page[i].prot & access))
		return ACCERR;
	if (page[i].kind == PRIVATE && !page[i].own && (uint64_t)page[i].pgoff * PAGE_SIZE >= FILE_BYTES)
		return ADRERR;
	if (page[i].kind == SHARED && page[i].pgoff >= SHARED_PAGES)
		return ADRERR;
	return OK;
}

/* Bytes of [addr, addr+n) before the first that may not be touched; *ret: why not that one. */
static size_t good_bytes(vaddr_t addr, size_t n, unsigned access, enum expected *ret)
{
	vaddr_t at = addr;

	*ret = OK;
	while (at < addr + n) {
		*ret = expect_touch(at, access);
		if (*ret != OK)
			return at - addr;
		at = PAGE_ALIGN(at + 1);
	}
	return n;
}

static void map_pages(struct range r, enum kind kind, unsigned prot, uint32_t pgoff)
{
	for (unsigned i = 0; i < r.n; i++)
		page[r.at + i] = (struct mpage){ .kind = kind, .prot = prot, .pgoff = pgoff + i };
}

static void unmap_pages(struct range r) { map_pages(r, HOLE, 0, 0); }

/* ---------------------------------------------------------------- mremap in the model */

struct remap {
	struct range old;
	unsigned n, flags, to;
	struct range area;   /* that the old range is a part of */
	bool locked, at_end; /* the old range reaches its end */
};

/* MREMAP_DONTUNMAP: the pages are empty now, and their whole area is unlocked, as Linux does it. */
static void leave_behind(const struct remap *m)
{
	for (unsigned i = m->old.at; i < m->old.at + m->old.n; i++)
		forget(i);
	unsigned from = m->area.at, to = m->area.at + m->area.n;

	if (m->flags & MREMAP_FIXED && m->to > m->old.at) /* the target has been cut out of it */
		to = MIN(to, m->to);
	else if (m->flags & MREMAP_FIXED)
		from = MAX(from, m->to + m->n);
	for (unsigned i = from; i < to; i++)
		page[i].locked = false;
}

static void move_pages(const struct remap *m, unsigned to)
{
	static struct mpage saved[N];
	static unsigned char bytes[N][PAGE_SIZE];
	unsigned kept = MIN(m->old.n, m->n);
	struct mpage last;

	memcpy(saved, &page[m->old.at], m->old.n * sizeof(*saved));
	memcpy(bytes, data[m->old.at], m->old.n * PAGE_SIZE);
	last = saved[m->old.n - 1];
	if (m->flags & MREMAP_DONTUNMAP)
		leave_behind(m);
	else
		unmap_pages(m->old);
	for (unsigned i = 0; i < m->n; i++) {
		page[to + i] = i < kept ? saved[i]
					: (struct mpage){ .kind = last.kind,
							  .prot = last.prot,
							  .locked = last.locked,
							  .pgoff = last.pgoff + i + 1 - m->old.n };
		if (i < kept)
			memcpy(data[to + i], bytes[i], PAGE_SIZE);
	}
}

/* May this call fail with ENOMEM? */
static bool may_not_fit(const struct remap *m)
{
	unsigned end = m->old.at + m->old.n;

	if (m->flags & (MREMAP_FIXED | MREMAP_DONTUNMAP))
		return !(m->flags & MREMAP_FIXED) && highest_gap(m->n) < 0;
	if (m->n <= m->old.n)
		return false;
	if (m->at_end && all_free(end, m->n - m->old.n))
		return false;
	return !(m->flags & MREMAP_MAYMOVE) || highest_gap(m->n) < 0;
}

static void check_target(const struct remap *m, unsigned to)
{
	unsigned end = m->old.at + m->old.n;

	if (to == m->old.at && !(m->flags & (MREMAP_FIXED | MREMAP_DONTUNMAP))) {
		if (m->n > m->old.n && !(m->at_end && all_free(end, m->n - m->old.n)))
			wrong("mremap grew over something");
		return;
	}
	if (!(m->flags & MREMAP_MAYMOVE))
		wrong("mremap moved unasked");
	if (m->flags & MREMAP_FIXED)
		want("mremap", (int64_t)AT(to), (int64_t)AT(m->to));
	else if (!all_free(to, m->n))
		wrong("mremap moved onto something, page %u", to);
}

static bool overlaps(unsigned a, unsigned an, unsigned b, unsigned bn) { return a < b + bn && b < a + an; }

#endif
