/* SPDX-License-Identifier: MIT */
/* harness.c - one machine on the soft port, and address space drawn as short rows */
#include "harness.h"

#define LINES 4

static void note_warning(struct machine *mc, const char *msg)
{
	struct rig *r = mc->warn_arg;

	snprintf(r->warnings[r->nr_warnings++ % LINES], sizeof(r->warnings[0]), "%s", msg);
}

void rig_open_config(struct rig *r, const struct rig_config *c)
{
	uint64_t slots = c->slots ? c->slots : 4096;

	memset(r, 0, sizeof(*r));
	assert_int_equal(soft_port_create(RIG_LO, RIG_TASK_SIZE, &r->port), 0);
	soft_set_threaded(r->port, c->threaded);
	r->port->cluster = c->cluster ? c->cluster : 1;
	r->has_store = !c->no_store;
	fake_store_init(&r->store, slots);
	struct machine_config mc = {
		.port = r->port,
		.policy = c->policy ? policy_find(c->policy) : NULL,
		.store = c->no_store ? NULL : &r->store.s,
		.swap_slots = c->no_store ? 0 : slots,
		.bound_pages = c->bound,
		.mmap_min = RIG_LO,
		.task_size = RIG_TASK_SIZE,
		.mmap_base = RIG_MMAP_BASE,
	};
	assert_int_equal(machine_create(&mc, &r->mc), 0);
	r->mm = r->mc->mm;
	if (c->fault_around)
		r->mc->fault_around = c->fault_around;
	r->mc->warn = note_warning;
	r->mc->warn_arg = r;
	r->tk.tid = 1;
}

struct fake_file *rig_file(struct rig *r)
{
	if (!r->file)
		r->file = fake_file_new(r->port, r->file_size ? r->file_size : 1 << 20, &r->file_released);
	return r->file;
}

static void unmap_all(struct rig *r)
{
	struct vm_area *v;

	while ((v = TAILQ_FIRST(&r->mm->list)))
		assert_int_equal(do_munmap(r->mm, v->start, v->end - v->start), 0);
}

static void assert_empty(struct rig *r)
{
	struct soft_counts n;

	soft_counts(r->port, &n);
	assert_int_equal(n.visible + n.hidden + n.shared, 0);
	assert_int_equal(n.regions, 0);
	assert_int_equal(r->mc->used, 0);
	assert_int_equal(r->mc->pinned, 0);
	assert_int_equal(r->mc->mlocked, 0);
	assert_int_equal(r->mm->total_vm, 0);
	assert_int_equal(r->mm->rss_anon + r->mm->rss_file + r->mm->rss_shared + r->mm->swapped, 0);
	if (r->has_store)
		assert_int_equal(swap_used(r->mc), 0);
	assert_int_equal(r->store.live, 0);
}

void rig_close(struct rig *r)
{
	rig_check(r);
	soft_fail(r->port, 0, 0, 0, 0);
	unmap_all(r);
	rig_check(r);
	assert_empty(r);
	if (r->file) {
		file_put(&r->file->f);
		assert_true(r->file_released);
	}
	machine_destroy(r->mc);
	assert_int_equal(soft_port_destroy(r->port), 0);
	fake_store_fini(&r->store);
}

void rig_abandon(struct rig *r)
{
	if (r->file) {
		free(r->file->f.path);
		free(r->file);
	}
	soft_port_destroy(r->port);
	fake_store_fini(&r->store);
}

/* ---------------------------------------------------------------- what the port says against what the core thinks */

static void check_frame(struct rig *r, uint64_t pfn, struct page *pg)
{
	unsigned prot = 0;
	hid_t hid = 0;
	enum soft_state st = soft_state(r->port, PVA(pfn), &prot, &hid);

	assert_int_equal(pg->pfn, pfn);
	if (pg->flags & PG_SHARED) {
		assert_true(st == SOFT_SHOWN || st == SOFT_ABSENT);
	} else if (pg->flags & PG_VISIBLE) {
		assert_int_equal(st, SOFT_VISIBLE);
		assert_int_equal(!!(prot & PT_W), !!(pg->flags & PG_WRITABLE));
	} else if (pg->flags & PG_HIDDEN) {
		assert_int_equal(st, SOFT_HIDDEN);
		assert_int_equal(hid, pg->hid);
	}
}

static void check_pte(struct rig *r, uint64_t pfn)
{
	pte_t e = pte_get(r->mm, pfn);

	if (e & PTE_PRESENT)
		check_frame(r, pfn, frame_page(r->mc, pte_frame(e)));
	else
		assert_int_equal(soft_state(r->port, PVA(pfn), NULL, NULL), SOFT_ABSENT);
}

void rig_check(struct rig *r)
{
	struct soft_counts n;

	machine_check(r->mc);
	soft_check(r->port);
	mm_lock(r->mm);
	for (uint64_t p = 0, end = PFN(RIG_TASK_SIZE); (p = pte_next(r->mm, p, end)) < end; p++)
		check_pte(r, p);
	soft_counts(r->port, &n);
	assert_true(n.visible + n.hidden <= r->mc->used);
	assert_true(!r->mc->bound || r->mc->used <= r->mc->bound);
	mm_unlock(r->mm);
}

/* ---------------------------------------------------------------- rows */

static unsigned letter_prot(char c)
{
	switch (c) {
	case 'r':
	case 'F':
	case 't': return PROT_READ;
	case 'w':
	case 'f':
	case 's': return PROT_READ | PROT_WRITE;
	case 'x': return PROT_READ | PROT_EXEC;
	case 'e': return PROT_READ | PROT_WRITE | PROT_EXEC;
	case 'o': return PROT_WRITE;
	case 'i': return PROT_EXEC;
	default: return PROT_NONE;
	}
}

int64_t map_anon(struct rig *r, vaddr_t at, uint64_t pages, unsigned prot, unsigned more_flags)
{
	return do_mmap(r->mm, at, pages * PAGE_SIZE, prot, MAP_PRIVATE | MAP_ANONYMOUS | (at ? MAP_FIXED : 0) | more_flags, NULL, 0, 0);
}

static void map_run(struct rig *r, vaddr_t at, size_t pages, char c, uint64_t pgoff)
{
	bool file = strchr("fFst", c), shared = strchr("st", c);
	int64_t got;

	if (c == '.')
		return;
	if (file)
		got = do_mmap(r->mm, at, pages * PAGE_SIZE, letter_prot(c), (shared ? MAP_SHARED : MAP_PRIVATE) | MAP_FIXED,
			      &rig_file(r)->f, PT_R | PT_W, pgoff * PAGE_SIZE);
	else
		got = map_anon(r, at, pages, letter_prot(c), 0);
	assert_int_equal(got, at);
}

void row_map(struct rig *r, vaddr_t at, const char *row)
{
	uint64_t page = 0;

	while (*row) {
		size_t n = 0;

		while (row[n] == *row)
			n++;
		if (*row == '|') {
			row += n;
			continue;
		}
		map_run(r, at + page * PAGE_SIZE, n, *row, page);
		page += n;
		row += n;
	}
}

static char area_letter(const struct vm_area *v)
{
	static const char anon[] = "nrowix?e"; /* by VM_READ | VM_WRITE | VM_EXEC */

	if (v->flags & VM_SHARED)
		return v->flags & VM_WRITE ? 's' : 't';
	if (v->file)
		return v->flags & VM_WRITE ? 'f' : 'F';
	return anon[v->flags & VM_PROT];
}

void row_areas(struct rig *r, vaddr_t at, size_t pages, char *buf)
{
	struct vm_area *last = NULL;

	mm_lock(r->mm);
	for (size_t i = 0; i < pages; i++) {
		struct vm_area *v = vma_lookup(r->mm, &r->tk, at + i * PAGE_SIZE);

		if (v && last && v != last)
			*buf++ = '|';
		*buf++ = v ? area_letter(v) : '.';
		last = v;
	}
	mm_unlock(r->mm);
	*buf = 0;
}

static char page_letter(struct rig *r, uint64_t pfn)
{
	pte_t e = pte_get(r->mm, pfn);

	if (!e)
		return '.';
	if (e & PTE_SWAP)
		return 'S';
	if (e & PTE_POISON)
		return 'P';
	struct page *pg = frame_page(r->mc, pte_frame(e));
	if (pg->flags & PG_SHARED)
		return pg->flags & PG_VISIBLE ? 's' : 'h';
	if (pg->flags & PG_HIDDEN)
		return 'H';
	return pg->flags & PG_WRITABLE ? 'W' : 'R';
}

void row_pages(struct rig *r, vaddr_t at, size_t pages, char *buf)
{
	mm_lock(r->mm);
	for (size_t i = 0; i < pages; i++)
		*buf++ = page_letter(r, PFN(at) + i);
	mm_unlock(r->mm);
	*buf = 0;
}

static size_t row_len(const char *row)
{
	size_t n = 0;

	for (; *row; row++)
		n += *row != '|';
	return n;
}

void assert_areas_at(struct rig *r, vaddr_t at, const char *row, const char *file, int line)
{
	char now[1024];

	row_areas(r, at, row_len(row), now);
	_assert_string_equal(now, row, file, line);
}

void assert_pages_at(struct rig *r, vaddr_t at, const char *row, const char *file, int line)
{
	char now[1024];

	row_pages(r, at, strlen(row), now);
	_assert_string_equal(now, row, file, line);
}

struct vm_area *rig_area(struct rig *r, vaddr_t addr)
{
	mm_lock(r->mm);
	struct vm_area *v = vma_lookup(r->mm, &r->tk, addr);
	mm_unlock(r->mm);
	return v;
}

uint64_t rig_areas(struct rig *r) { return r->mm->nr_areas; }

/* ---------------------------------------------------------------- instructions */

static struct outcome access_at(struct rig *r, vaddr_t addr, void *buf, size_t n, unsigned access)
{
	struct outcome o = { 0 };

	o.verdict = soft_access(r->port, r->mm, &r->tk, addr, buf, n, access, &o.r);
	return o;
}

struct outcome try_read(struct rig *r, vaddr_t addr, void *buf, size_t n) { return access_at(r, addr, buf, n, PT_R); }

struct outcome try_write(struct rig *r, vaddr_t addr, const void *buf, size_t n)
{
	return access_at(r, addr, (void *)(uintptr_t)buf, n, PT_W);
}

struct outcome try_exec(struct rig *r, vaddr_t addr)
{
	char insn;

	return access_at(r, addr, &insn, 1, PT_X);
}

unsigned char peek_byte(struct rig *r, vaddr_t addr)
{
	unsigned char c;

	assert_int_equal(try_read(r, addr, &c, 1).verdict, FAULT_FIXED);
	return c;
}

void poke(struct rig *r, vaddr_t addr, unsigned char c) { assert_int_equal(try_write(r, addr, &c, 1).verdict, FAULT_FIXED); }

static void make_stamp(uint64_t *page, uint64_t tag)
{
	for (size_t i = 0; i < PAGE_SIZE / 8; i++)
		page[i] = (tag + 1) * 0x9e3779b97f4a7c15ull + i;
}

struct outcome try_stamp(struct rig *r, vaddr_t page, uint64_t tag)
{
	uint64_t words[PAGE_SIZE / 8];

	make_stamp(words, tag);
	return try_write(r, page, words, PAGE_SIZE);
}

void stamp(struct rig *r, vaddr_t page, uint64_t tag) { assert_int_equal(try_stamp(r, page, tag).verdict, FAULT_FIXED); }

enum page_content content(struct rig *r, vaddr_t page, uint64_t tag)
{
	uint64_t want[PAGE_SIZE / 8], got[PAGE_SIZE / 8];

	if (try_read(r, page, got, PAGE_SIZE).verdict != FAULT_FIXED)
		return HAS_FAULT;
	make_stamp(want, tag);
	if (!memcmp(want, got, PAGE_SIZE))
		return HAS_TAG;
	memset(want, 0, PAGE_SIZE);
	return memcmp(want, got, PAGE_SIZE) ? HAS_OTHER : HAS_ZEROS;
}

void assert_stamp_at(struct rig *r, vaddr_t page, uint64_t tag, const char *file, int line)
{
	_assert_int_equal(content(r, page, tag), HAS_TAG, file, line);
}

void assert_zero_page(struct rig *r, vaddr_t page) { assert_int_equal(content(r, page, 0), HAS_ZEROS); }

void assert_file_page(struct rig *r, vaddr_t page, uint64_t pgoff)
{
	unsigned char got[PAGE_SIZE];
	uint64_t size = soft_object_size(r->port, r->file->f.fd);

	assert_int_equal(try_read(r, page, got, PAGE_SIZE).verdict, FAULT_FIXED);
	for (uint64_t i = 0, off = pgoff * PAGE_SIZE; i < PAGE_SIZE; i++, off++)
		if (got[i] != (off < size ? fake_byte(off) : 0))
			fail_msg("byte %llu of file page %llu is %d", (unsigned long long)i, (unsigned long long)pgoff, got[i]);
}

void assert_signal_at(struct outcome o, int signo, int code, vaddr_t addr, const char *file, int line)
{
	_assert_int_equal(o.verdict, FAULT_SIGNAL, file, line);
	_assert_int_equal(o.r.signo, signo, file, line);
	_assert_int_equal(o.r.code, code, file, line);
	_assert_int_equal(o.r.addr, addr, file, line);
}

void assert_fixed_at(struct outcome o, const char *file, int line) { _assert_int_equal(o.verdict, FAULT_FIXED, file, line); }

/* ---------------------------------------------------------------- reclaim by hand */

unsigned evict(struct rig *r, unsigned want)
{
	mm_lock(r->mm);
	unsigned n = reclaim(r->mm, want);
	mm_unlock(r->mm);
	return n;
}

void evict_range(struct rig *r, vaddr_t at, uint64_t pages)
{
	mm_lock(r->mm);
	reclaim_range(r->mm, at, at + pages * PAGE_SIZE);
	mm_unlock(r->mm);
}

void hide_range(struct rig *r, vaddr_t at, uint64_t pages)
{
	struct page *pgs[64];
	unsigned n = 0;

	mm_lock(r->mm);
	for (uint64_t i = 0; i < pages; i++) {
		struct page *pg = page_at(r->mm, PFN(at) + i);

		if (pg && (pg->flags & PG_VISIBLE) && n < 64)
			pgs[n++] = pg;
	}
	assert_int_equal(pages_hide(r->mm, pgs, n), n);
	mm_unlock(r->mm);
}

pte_t rig_pte(struct rig *r, vaddr_t page)
{
	mm_lock(r->mm);
	pte_t e = pte_get(r->mm, PFN(page));
	mm_unlock(r->mm);
	return e;
}

uint64_t rig_visible(struct rig *r)
{
	struct soft_counts n;

	soft_counts(r->port, &n);
	return n.visible;
}

uint64_t rig_resident(struct rig *r)
{
	struct soft_counts n;

	soft_counts(r->port, &n);
	return n.visible + n.hidden;
}

uint64_t rig_peak(struct rig *r)
{
	struct soft_counts n;

	soft_counts(r->port, &n);
	return n.peak;
}
