/* SPDX-License-Identifier: MIT */
/* fuzz_mm.c - random calls and touches on the soft port, against a model too simple to be wrong
 *
 *	fuzz_mm [SEED [STEPS [EVERY]]]		(areas compared every so many steps: 64)
 *
 * The model is an array: for each page of a window its protection, what lies behind it, and its bytes.  Each step makes one
 * call (mmap, munmap, mprotect, mremap, madvise, brk, mlock, mincore, user copies), one touch, or disturbs the core
 * (eviction, hiding, pins, another bound, a port that refuses), and compares verdicts, results and bytes with the model's.
 * Every so often all areas and all bytes are compared, the machine is checked, and a new one is begun.
 * The same seed gives the same run.  With SF_LIBFUZZER the steps come from the fuzzer's input instead. */
#include "fuzz_model.h"

#include "mm/uaccess.h"

/* ---------------------------------------------------------------- touches */

static bool is_zero(const unsigned char *p, size_t n)
{
	while (n--)
		if (*p++)
			return false;
	return true;
}

/* One page's part of what was read.  A page given up by MADV_FREE may have become zeros, and then stays so. */
static void compare_part(unsigned i, unsigned off, const unsigned char *got, size_t n)
{
	bool same = true;

	for (size_t b = 0; b < n && same; b++)
		same = got[b] == model_byte(i, off + (unsigned)b);
	if (same)
		return;
	if (page[i].lazy && is_zero(got, n)) {
		memset(data[i], 0, PAGE_SIZE);
		return;
	}
	for (size_t b = 0; b < n; b++)
		if (got[b] != model_byte(i, off + (unsigned)b))
			wrong("byte %u of page %u is %#x, the model says %#x", off + (unsigned)b, i, got[b],
			      model_byte(i, off + (unsigned)b));
}

static void compare(vaddr_t addr, const unsigned char *got, size_t n)
{
	while (n) {
		unsigned off = (unsigned)(addr % PAGE_SIZE);
		size_t part = MIN(n, PAGE_SIZE - off);

		compare_part((unsigned)((addr - BASE) / PAGE_SIZE), off, got, part);
		addr += part;
		got += part;
		n -= part;
	}
}

/* A write has ended the time in which the page might vanish.  Either it had not, or src now stands among zeros. */
static void settle_lazy(unsigned i, unsigned off, const unsigned char *src, size_t n)
{
	unsigned char now[PAGE_SIZE];

	page[i].lazy = false;
	want("reading back", soft_access(port, mm, &task, AT(i), now, PAGE_SIZE, PT_R, NULL), FAULT_FIXED);
	if (!memcmp(now, data[i], PAGE_SIZE))
		return;
	memset(data[i], 0, PAGE_SIZE);
	memcpy(data[i] + off, src, n);
	if (memcmp(now, data[i], PAGE_SIZE))
		wrong("page %u after a write to it", i);
}

static void write_part(unsigned i, unsigned off, const unsigned char *src, size_t n)
{
	memcpy(own_bytes(i) + off, src, n);
	if (page[i].lazy)
		settle_lazy(i, off, src, n);
}

static void model_write(vaddr_t addr, const unsigned char *src, size_t n)
{
	while (n) {
		unsigned off = (unsigned)(addr % PAGE_SIZE);
		size_t part = MIN(n, PAGE_SIZE - off);

		write_part((unsigned)((addr - BASE) / PAGE_SIZE), off, src, part);
		addr += part;
		src += part;
		n -= part;
	}
}

static void check_verdict(int verdict, const struct fault_report *rep, enum expected why, vaddr_t at)
{
	static const int signo[] = { 0, SIG_SEGV, SIG_SEGV, SIG_BUS }, code[] = { 0, 1, 2, 2 };

	if (why == OK) {
		want("verdict", verdict, FAULT_FIXED);
		return;
	}
	want("verdict", verdict, FAULT_SIGNAL);
	want("signal", rep->signo, signo[why]);
	want("si_code", rep->code, code[why]);
	want("si_addr", (int64_t)rep->addr, (int64_t)at);
}

static size_t random_bytes(unsigned char *buf, size_t most)
{
	size_t n = 1 + pick((unsigned)most);
	unsigned char c = (unsigned char)next_random();

	for (size_t i = 0; i < n; i++)
		buf[i] = (unsigned char)(c + i * 7);
	return n;
}

static vaddr_t random_addr(void) { return AT(pick(N)) + (pick(3) ? pick(PAGE_SIZE) : PAGE_SIZE - 1 - pick(16)); }

static void op_touch(void)
{
	static const unsigned kinds[] = { PT_R, PT_W, PT_W, PT_R, PT_X };
	unsigned char buf[64];
	unsigned access = kinds[pick(ARRAY_SIZE(kinds))];
	vaddr_t addr = random_addr();
	size_t n = random_bytes(buf, access == PT_X ? 1 : sizeof(buf));
	struct fault_report rep;
	enum expected why;
	size_t good = good_bytes(addr, n, access, &why);

	note("touch %u at page %u + %u, %zu bytes", access, (unsigned)((addr - BASE) / PAGE_SIZE), (unsigned)(addr % PAGE_SIZE), n);
	check_verdict(soft_access(port, mm, &task, addr, buf, n, access, &rep), &rep, why, addr + good);
	if (access == PT_W)
		model_write(addr, buf, good);
	else
		compare(addr, buf, good);
}

static void op_copy(void)
{
	unsigned char buf[3 * PAGE_SIZE];
	vaddr_t addr = random_addr();
	size_t n = random_bytes(buf, pick(4) ? 200 : sizeof(buf));
	bool out = pick(2);
	enum expected why;
	size_t good = good_bytes(addr, n, out ? PT_W : PT_R, &why);

	note("copy_%s_user at page %u + %u, %zu bytes", out ? "to" : "from", (unsigned)((addr - BASE) / PAGE_SIZE),
	     (unsigned)(addr % PAGE_SIZE), n);
	if (addr + n > END) { /* access_ok looks first */
		want("copy", (int64_t)copy_to_user(mm, &task, addr, buf, n), (int64_t)n);
		return;
	}
	if (out) {
		want("copy_to_user", (int64_t)copy_to_user(mm, &task, addr, buf, n), (int64_t)(n - good));
		model_write(addr, buf, good);
	} else {
		want("copy_from_user", (int64_t)copy_from_user(mm, &task, buf, addr, n), (int64_t)(n - good));
		compare(addr, buf, good);
		if (!is_zero(buf + good, n - good))
			wrong("copy_from_user left bytes behind");
	}
}

/* ---------------------------------------------------------------- calls */

static unsigned random_prot(void)
{
	static const unsigned prots[] = { 3, 3, 3, 1, 1, 0, 5, 7, 2, 4 };

	return prots[pick(ARRAY_SIZE(prots))];
}

static int64_t call_mmap(vaddr_t addr, unsigned n, unsigned prot, unsigned flags, enum kind kind, uint32_t pgoff)
{
	struct sf_file *f = kind == PRIVATE ? &file->f : kind == SHARED ? &shfile->f : NULL;

	flags |= kind == ANON || kind == PRIVATE ? MAP_PRIVATE : MAP_SHARED;
	flags |= f ? 0 : MAP_ANONYMOUS;
	return answer(do_mmap(mm, addr, n * PAGE_SIZE, prot, flags, f, PT_R | PT_W, (uint64_t)pgoff * PAGE_SIZE));
}

static void drop_below(int64_t got, unsigned n)
{
	vaddr_t end = (vaddr_t)got + n * PAGE_SIZE;

	if (got < (int64_t)LOW || got >= (int64_t)BASE || (end > BASE && !all_free(0, (unsigned)((end - BASE) / PAGE_SIZE))))
		wrong("with the window full a mapping went to %#llx", (unsigned long long)got);
	want("munmap", do_munmap(mm, (vaddr_t)got, n * PAGE_SIZE), 0);
}

static void op_mmap(void)
{
	static const enum kind kinds[] = { ANON, ANON, ANON, PRIVATE, SHARED, SHANON };
	enum kind kind = kinds[pick(ARRAY_SIZE(kinds))];
	unsigned prot = random_prot(), how = pick(6), populate = pick(8) ? 0 : MAP_POPULATE;
	uint32_t pgoff = kind == ANON || kind == SHANON ? 0 : pick(kind == SHARED ? SHARED_PAGES : 110);
	struct range r = random_range();
	int64_t got;

	if (kind == SHARED)
		r.n = MIN(r.n, SHARED_PAGES + 3 - pgoff); /* a little beyond its end */
	note("mmap page %u n %u kind %d prot %u how %u pgoff %u", r.at, r.n, kind, prot, how, pgoff);
	if (how == 0) {
		int gap = highest_gap(r.n);

		got = call_mmap(0, r.n, prot, populate, kind, pgoff);
		if (gap < 0) {
			drop_below(got, r.n);
			return;
		}
		want("mmap", got, (int64_t)AT((unsigned)gap));
		r.at = (unsigned)gap;
	} else if (how == 1) {
		bool is_free = all_free(r.at, r.n);

		got = call_mmap(AT(r.at), r.n, prot, MAP_FIXED_NOREPLACE | populate, kind, pgoff);
		want("mmap", got, is_free ? (int64_t)AT(r.at) : -EEXIST);
	} else {
		got = call_mmap(AT(r.at), r.n, prot, MAP_FIXED | populate, kind, pgoff);
		want("mmap", got, (int64_t)AT(r.at));
	}
	if (got > 0)
		map_pages(r, kind, prot, pgoff);
}

static void op_munmap(void)
{
	struct range r = random_range();

	note("munmap page %u n %u", r.at, r.n);
	want("munmap", do_munmap(mm, AT(r.at), r.n * PAGE_SIZE), 0);
	unmap_pages(r);
}

static void drop_pin(void)
{
	if (pin_len)
		unpin_user(mm, pin_addr, pin_len);
	pin_len = 0;
}

/* A pinned page keeps its old rights until it is let go, so let it go. */
static void op_mprotect(void)
{
	struct range r = random_range();
	unsigned prot = random_prot(), i = r.at;

	note("mprotect page %u n %u prot %u", r.at, r.n, prot);
	drop_pin();
	soft_fail(port, 0, 0, 0, 0); /* a page that cannot be hidden cannot be protected from reading, and mprotect would say so */
	int64_t got = answer(do_mprotect(mm, AT(r.at), r.n * PAGE_SIZE, prot));
	for (; i < r.at + r.n && page[i].kind != HOLE; i++)
		page[i].prot = prot;
	want("mprotect", got, i == r.at + r.n ? 0 : -ENOMEM);
}

static void op_brk(void)
{
	vaddr_t to = AT(HEAP) + pick((N - HEAP) * PAGE_SIZE - PAGE_SIZE);
	unsigned from = (unsigned)((PAGE_ALIGN(model_brk) - BASE) / PAGE_SIZE), until = (unsigned)((PAGE_ALIGN(to) - BASE) / PAGE_SIZE);

	note("brk page %u", until);
	int64_t got = answer(do_brk(mm, to));
	if (until > from) {
		bool room = all_free(from, until - from) && (until >= N || page[until].kind == HOLE);

		want("brk", got, (int64_t)(room ? to : model_brk));
		if (room)
			map_pages((struct range){ from, until - from }, ANON, 3, 0);
	} else if (until < from && !all_free(until, from - until)) {
		want("brk", got, (int64_t)to);
		unmap_pages((struct range){ until, from - until });
	} else if (got != (int64_t)to && got != (int64_t)model_brk) { /* what was to go is gone: either answer will do */
		want("brk", got, (int64_t)to);
	}
	model_brk = (vaddr_t)got;
}

/* ---- mremap */

/* A range inside one area of the machine's (op_check compares areas with the model). */
static bool pick_remap(struct remap *m)
{
	static const unsigned all[] = { 0, MREMAP_MAYMOVE, MREMAP_MAYMOVE | MREMAP_FIXED, MREMAP_MAYMOVE | MREMAP_DONTUNMAP,
					MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP };

	m->old = random_range();
	m->flags = all[pick(ARRAY_SIZE(all))];
	m->n = m->flags & MREMAP_DONTUNMAP ? m->old.n : 1 + pick(MAX_RUN);
	m->to = pick(N);
	mm_lock(mm);
	struct vm_area *v = vma_lookup(mm, &task, AT(m->old.at));
	if (v && AT(m->old.at + m->old.n) > v->end)
		m->old.n = (unsigned)((v->end - AT(m->old.at)) / PAGE_SIZE);
	if (m->flags & MREMAP_DONTUNMAP)
		m->n = m->old.n;
	m->at_end = v && v->end == AT(m->old.at + m->old.n);
	m->locked = v && v->flags & VM_LOCKED;
	if (v)
		m->area = (struct range){ (unsigned)((v->start - BASE) / PAGE_SIZE), (unsigned)((v->end - v->start) / PAGE_SIZE) };
	mm_unlock(mm);
	return v;
}

/* The copy of a locked area may have merged with it before it was unlocked: then all of that is unlocked. */
static void relearn_locks(unsigned at)
{
	mm_lock(mm);
	struct vm_area *v = vma_lookup(mm, &task, AT(at));
	for (vaddr_t a = v ? v->start : END; v && a < v->end; a += PAGE_SIZE)
		page[(a - BASE) / PAGE_SIZE].locked = v->flags & VM_LOCKED;
	mm_unlock(mm);
}

static void remap_done(const struct remap *m, unsigned to)
{
	unsigned end = m->old.at + m->old.n;

	check_target(m, to);
	if (to != m->old.at || m->flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)) {
		if (m->flags & MREMAP_FIXED)
			unmap_pages((struct range){ to, m->n });
		move_pages(m, to);
		if (m->locked && m->flags & MREMAP_DONTUNMAP)
			relearn_locks(to);
	} else if (m->n < m->old.n) {
		unmap_pages((struct range){ to + m->n, m->old.n - m->n });
	} else {
		for (unsigned i = end; i < to + m->n; i++) {
			page[i] = page[end - 1];
			page[i].pgoff += i - (end - 1);
			forget(i);
		}
	}
}

static void op_mremap(void)
{
	struct remap m;

	if (!pick_remap(&m))
		return;
	note("mremap page %u n %u to n %u flags %u to page %u", m.old.at, m.old.n, m.n, m.flags, m.to);
	if (page[m.old.at].kind == SHANON)
		m.n = MIN(m.n, m.old.n); /* beyond its end Linux has nothing, and we have zeros */
	int64_t got =
		answer(do_mremap(mm, AT(m.old.at), m.old.n * PAGE_SIZE, m.n * PAGE_SIZE, m.flags, m.flags & MREMAP_FIXED ? AT(m.to) : 0));

	if (page[m.old.at].kind == SHANON && m.flags & MREMAP_DONTUNMAP) {
		want("mremap", got, -EINVAL);
		return;
	}
	if (m.flags & MREMAP_FIXED && (m.to + m.n > N || overlaps(m.old.at, m.old.n, m.to, m.n))) {
		want("mremap", got, -EINVAL);
		return;
	}
	if (got > 0 && (vaddr_t)got < BASE && !(m.flags & MREMAP_FIXED) && highest_gap(m.n) < 0) {
		drop_below(got, m.n);
		if (m.flags & MREMAP_DONTUNMAP)
			leave_behind(&m);
		else
			unmap_pages(m.old);
		return;
	}
	if (got > 0) {
		if ((vaddr_t)got < BASE || (vaddr_t)got + m.n * PAGE_SIZE > END)
			wrong("mremap left the window");
		remap_done(&m, (unsigned)(((vaddr_t)got - BASE) / PAGE_SIZE));
		return;
	}
	if (m.locked && (got == -EAGAIN || got == -ENOMEM) && m.n > m.old.n)
		return; /* too much locked memory for the bound */
	if (got != -ENOMEM || !may_not_fit(&m))
		want("mremap", got, (int64_t)AT(m.old.at));
	if (m.flags & MREMAP_FIXED)
		wrong("mremap to a fixed place has no excuse");
}

/* ---- madvise */

/* Advice is taken area by area: the error of the first it is not for, ENOMEM at the end if there were holes. */
static int64_t advise_pages(struct range r, int (*refuse)(const struct mpage *p), void (*effect)(unsigned i))
{
	bool hole = false;

	for (unsigned i = r.at; i < r.at + r.n; i++) {
		if (page[i].kind == HOLE) {
			hole = true;
			continue;
		}
		int err = refuse(&page[i]);
		if (err)
			return err;
		effect(i);
	}
	return hole ? -ENOMEM : 0;
}

static int for_all(const struct mpage *p) { return 0; }

static int for_unlocked(const struct mpage *p) { return p->locked ? -EINVAL : 0; }

static int for_anon(const struct mpage *p) { return p->locked || p->kind != ANON ? -EINVAL : 0; }

static int for_removal(const struct mpage *p)
{
	if (p->locked || p->kind == ANON)
		return -EINVAL;
	return p->kind == SHANON ? 0 : p->kind == PRIVATE ? -EACCES : -EOPNOTSUPP;
}

static void drop_private(unsigned i)
{
	if (page[i].kind != SHANON)
		forget(i);
}

static void no_effect(unsigned i) {}

static void becomes_lazy(unsigned i)
{
	if (page[i].own)
		page[i].lazy = true;
}

static void op_madvise(void)
{
	static const struct {
		int advice;
		int (*refuse)(const struct mpage *p);
		void (*effect)(unsigned i);
	} all[] = {
		{ MADV_DONTNEED, for_unlocked, drop_private }, { MADV_DONTNEED, for_unlocked, drop_private },
		{ MADV_REMOVE, for_removal, forget },          { MADV_FREE, for_anon, becomes_lazy },
		{ MADV_COLD, for_unlocked, no_effect },        { MADV_PAGEOUT, for_unlocked, no_effect },
		{ MADV_PAGEOUT, for_unlocked, no_effect },     { MADV_WILLNEED, for_all, no_effect },
		{ MADV_RANDOM, for_all, no_effect },           { MADV_SEQUENTIAL, for_all, no_effect },
		{ MADV_NORMAL, for_all, no_effect },
	};
	unsigned a = pick(ARRAY_SIZE(all));
	struct range r = random_range();

	note("madvise %d page %u n %u", all[a].advice, r.at, r.n);
	int64_t got = answer(do_madvise(mm, &task, AT(r.at), r.n * PAGE_SIZE, all[a].advice));
	want("madvise", got, advise_pages(r, all[a].refuse, all[a].effect));
}

static void op_populate(void)
{
	struct range r = random_range();
	bool write = pick(2);
	enum expected why;
	size_t good = good_bytes(AT(r.at), r.n * PAGE_SIZE, write ? PT_W : PT_R, &why);

	note("madvise populate %s page %u n %u", write ? "write" : "read", r.at, r.n);
	for (unsigned i = r.at; i < r.at + (good + PAGE_SIZE - 1) / PAGE_SIZE && !write; i++)
		if (!(page[i].prot & PT_R)) { /* what a touch may do, populating may not */
			good = (i - r.at) * PAGE_SIZE;
			why = ACCERR;
		}
	int64_t got = answer(do_madvise(mm, &task, AT(r.at), r.n * PAGE_SIZE, write ? MADV_POPULATE_WRITE : MADV_POPULATE_READ));
	if (why == OK || why == MAPERR)
		want("populate", got, why == OK ? 0 : -ENOMEM);
	else if (got >= 0)
		wrong("populate worked although page %u is bad", r.at + (unsigned)(good / PAGE_SIZE));
}

/* ---- the others */

static unsigned locked_pages(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < N; i++)
		n += page[i].locked;
	return n;
}

static void op_mlock(void)
{
	struct range r = random_range();
	bool lock = pick(3) == 0 && locked_pages() + r.n <= 24;
	unsigned i = r.at;

	note("%s page %u n %u", lock ? "mlock" : "munlock", r.at, r.n);
	int64_t got = answer(lock ? do_mlock(mm, &task, AT(r.at), r.n * PAGE_SIZE, pick(2) ? MLOCK_ONFAULT : 0)
				  : do_munlock(mm, AT(r.at), r.n * PAGE_SIZE));
	for (; i < r.at + r.n && page[i].kind != HOLE; i++)
		page[i].locked = lock;
	if (any_hole(r))
		want("mlock", got, -ENOMEM);
	else if (got && !(lock && (got == -ENOMEM || got == -EAGAIN))) /* pages that cannot be brought in */
		want("mlock", got, 0);
}

static void op_mincore(void)
{
	struct range r = random_range();
	unsigned char vec[MAX_RUN];

	note("mincore page %u n %u", r.at, r.n);
	want("mincore", do_mincore(mm, AT(r.at), r.n * PAGE_SIZE, vec), any_hole(r) ? -ENOMEM : 0);
	for (unsigned i = 0; i < r.n && !any_hole(r); i++) {
		enum soft_state st = soft_state(port, AT(r.at + i), NULL, NULL);

		if ((st == SOFT_VISIBLE || st == SOFT_HIDDEN) && !(vec[i] & 1))
			wrong("mincore does not see page %u", r.at + i);
		if (page[r.at + i].kind == ANON && st == SOFT_ABSENT && vec[i] & 1)
			wrong("mincore sees page %u which is not in memory", r.at + i);
	}
}

static void op_pin(void)
{
	struct range r = random_range();
	unsigned off = pick(PAGE_SIZE);
	bool write = pick(2);
	enum expected why;
	uint64_t len = r.n * PAGE_SIZE - off;
	size_t good = good_bytes(AT(r.at) + off, len, write ? PT_W : PT_R, &why);

	if (pin_len) {
		note("unpin");
		drop_pin();
		return;
	}
	note("pin page %u n %u write %d", r.at, r.n, write);
	int64_t got = answer(pin_user(mm, &task, AT(r.at) + off, len, write));
	if (!good)
		want("pin_user", got, -EFAULT);
	else if (got != (int64_t)good && !(got > 0 && got < (int64_t)good && (uint64_t)got >= 8 * PAGE_SIZE))
		want("pin_user", got, (int64_t)good); /* may be cut short by what may be pinned at once */
	if (got <= 0)
		return;
	pin_addr = AT(r.at) + off;
	pin_len = (uint64_t)got;
}

static void hide_some(void)
{
	struct page *pgs[16];
	unsigned n = 0;

	for (unsigned i = pick(N); i < N && n < 16; i += 1 + pick(4)) {
		struct page *pg = page_at(mm, PFN(AT(i)));

		if (pg && pg->flags & PG_VISIBLE)
			pgs[n++] = pg;
	}
	if (n)
		pages_hide(mm, pgs, n);
}

/* Things that must not be seen from outside. */
static void op_disturb(void)
{
	unsigned how = pick(5);

	note("disturb %u", how);
	mm_lock(mm);
	if (how == 0)
		reclaim(mm, 1 + pick(32));
	else if (how == 1)
		hide_some();
	else if (how == 2)
		balance(mm);
	mm_unlock(mm);
	if (how == 3) {
		int err = (int)answer(machine_set_bound(mc, pick(4) ? 64 + pick(N) : 0));

		if (err && err != -EBUSY && err != -ENOMEM)
			want("machine_set_bound", err, 0);
	} else if (how == 4) {
		soft_fail(port, SOFT_OP(SOFT_HIDE) | SOFT_OP(SOFT_PEEK), pick(8), pick(4), EAGAIN);
	}
}

/* ---------------------------------------------------------------- whole comparisons */

static void check_areas(void)
{
	mm_lock(mm);
	for (unsigned i = 0; i < N; i++) {
		struct vm_area *v = vma_lookup(mm, &task, AT(i));
		enum kind kind = !v ? HOLE : v->flags & VM_SHARED ? (v->file ? SHARED : SHANON) : v->file ? PRIVATE : ANON;

		if (kind != page[i].kind)
			wrong("page %u: kind %d, the model says %d", i, kind, page[i].kind);
		if (!v)
			continue;
		if ((v->flags & VM_PROT) != page[i].prot)
			wrong("page %u: prot %u, the model says %u", i, v->flags & VM_PROT, page[i].prot);
		if (!!(v->flags & VM_LOCKED) != page[i].locked)
			wrong("page %u: locked %d, the model says %d", i, !!(v->flags & VM_LOCKED), page[i].locked);
		if (v->file && v->pgoff + (AT(i) - v->start) / PAGE_SIZE != page[i].pgoff)
			wrong("page %u: file page %llu, the model says %u", i,
			      (unsigned long long)(v->pgoff + (AT(i) - v->start) / PAGE_SIZE), page[i].pgoff);
	}
	mm_unlock(mm);
}

static void check_machine(void)
{
	struct soft_counts c;

	machine_check(mc);
	soft_check(port);
	soft_counts(port, &c);
	if (mc->bound && c.visible + c.hidden + c.shared > mc->bound)
		wrong("%llu pages in memory, the bound is %llu", (unsigned long long)(c.visible + c.hidden + c.shared),
		      (unsigned long long)mc->bound);
	check_areas();
}

static void check_contents(void)
{
	unsigned char buf[PAGE_SIZE];
	struct fault_report rep;

	for (unsigned i = 0; i < N; i++) {
		enum expected why = expect_touch(AT(i), PT_R);

		note("check page %u", i);
		check_verdict(soft_access(port, mm, &task, AT(i), buf, PAGE_SIZE, PT_R, &rep), &rep, why, AT(i));
		if (why == OK)
			compare_part(i, 0, buf, PAGE_SIZE);
	}
}

/* ---------------------------------------------------------------- machines */

static void begin_machine(void)
{
	static const char *const policies[] = { "twolist", "clock", "fifo" };

	soft_port_create(LOW, END + (1 << 20), &port);
	port->cluster = pick(3) ? 1 : 16;
	fake_store_init(&store, 4 * N);
	struct machine_config c = {
		.port = port,
		.policy = policy_find(policies[pick(3)]),
		.store = &store.s,
		.swap_slots = 4 * N,
		.bound_pages = pick(8) ? 64 + pick(N / 2) : 0,
		.mmap_min = LOW,
		.task_size = END,
		.mmap_base = END,
	};
	if (machine_create(&c, &mc))
		wrong("no machine");
	mm = mc->mm;
	mc->fault_around = 1u << pick(5);
	mc->watch = pick(6) ? 0 : 4 + pick(16);
	mm->start_brk = mm->brk = model_brk = AT(HEAP);
	file = fake_file_new(port, FILE_BYTES, NULL);
	file->f.lend = pick(2);
	shfile = fake_file_new(port, SHARED_PAGES * PAGE_SIZE, NULL);
	memset(page, 0, sizeof(page));
	for (unsigned i = 0; i < SHARED_PAGES * PAGE_SIZE; i++)
		shared[i / PAGE_SIZE][i % PAGE_SIZE] = fake_byte(i);
	task = (struct task){ .tid = 1 };
	pin_len = 0;
	note("new machine: bound %llu, policy %s, fault_around %u, cluster %u, watch %u", (unsigned long long)mc->bound, mc->policy->name,
	     mc->fault_around, port->cluster, mc->watch);
}

static void end_machine(void)
{
	soft_fail(port, 0, 0, 0, 0);
	drop_pin();
	check_machine();
	check_contents();
	want("munmap", do_munmap(mm, BASE, N * PAGE_SIZE), 0);
	want("frames", (int64_t)mc->used, 0);
	want("slots", (int64_t)swap_used(mc), 0);
	want("stored pages", (int64_t)store.live, 0);
	file_put(&file->f);
	file_put(&shfile->f);
	machine_destroy(mc);
	want("leaks of the port", (int64_t)soft_port_destroy(port), 0);
	fake_store_fini(&store);
}

static void one_step(void)
{
	static void (*const ops[])(void) = {
		op_touch,   op_touch,    op_touch, op_touch, op_touch,   op_touch,    op_touch,    op_touch,  op_touch,   op_touch,
		op_touch,   op_touch,    op_mmap,  op_mmap,  op_munmap,  op_mprotect, op_mprotect, op_mremap, op_mremap,  op_madvise,
		op_madvise, op_populate, op_brk,   op_mlock, op_mincore, op_copy,     op_copy,     op_pin,    op_disturb, op_disturb,
	};

	ops[pick(ARRAY_SIZE(ops))]();
	step_nr++;
	if (step_nr % check_every == 0)
		check_machine();
	if (step_nr % 1024 == 0)
		check_contents();
}

#ifdef SF_LIBFUZZER
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	fake_panic_note = say_where;
	input = bytes;
	input_left = n;
	input_over = !n;
	step_nr = 0;
	begin_machine();
	while (!input_over)
		one_step();
	end_machine();
	return 0;
}
#else
int main(int argc, char **argv)
{
	uint64_t steps = argc > 2 ? strtoull(argv[2], NULL, 0) : 40000;

	seed0 = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
	check_every = argc > 3 ? MAX(1, strtoull(argv[3], NULL, 0)) : 64;
	rng = seed0 * 0x9e3779b97f4a7c15ull + 88172645463325252ull;
	fake_panic_note = say_where;
	while (step_nr < steps) {
		uint64_t until = MIN(steps, step_nr + STEPS_A_MACHINE);

		begin_machine();
		while (step_nr < until)
			one_step();
		end_machine();
	}
	printf("fuzz_mm: seed %llu, %llu steps, no difference\n", (unsigned long long)seed0, (unsigned long long)step_nr);
	return 0;
}
#endif
