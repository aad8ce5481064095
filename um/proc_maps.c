/* SPDX-License-Identifier: MIT */
/* proc_maps.c - /proc/self/maps, smaps and smaps_rollup as the program's own story
 *
 * The program's areas come from the core, in Linux's format to the column.  The vDSO and its data really are the host's, above
 * TASK_SIZE; their lines are copied from the host's map, once, when somebody asks.  The program does not see softfault's own
 * memory.
 *
 * smaps counts from ptes and frame descriptors.  A page on the inactive list is resident, but not referenced. */
#include "um/proc.h"

#define NAME_COLUMN 72u
#define HOST_AREAS  6u

/* One of the host's areas that the program sees. */
static struct host_area { vaddr_t start, end; char line[128]; } host_areas[HOST_AREAS];
static unsigned nr_host_areas; /* 0: not read yet */

/* ---------------------------------------------------------------- the host's lines */

static vaddr_t hex_number(const char **p)
{
	vaddr_t v = 0;
	for (;; ++*p) {
		char c = **p;
		if (c >= '0' && c <= '9')
			v = v << 4 | (vaddr_t)(c - '0');
		else if (c >= 'a' && c <= 'f')
			v = v << 4 | (vaddr_t)(c - 'a' + 10);
		else
			return v;
	}
}

static bool has_prefix(const char *s, const char *end, const char *prefix)
{
	while (*prefix)
		if (s == end || *s++ != *prefix++)
			return false;
	return true;
}

/* A line of the host's map: is it one of "[vdso]", "[vvar]", "[vvar_vclock]", "[vsyscall]"? */
static void host_line(const char *line, const char *end, unsigned *n)
{
	const char *name = end;
	while (name > line && name[-1] != ' ')
		name--;
	size_t len = (size_t)(end - line);
	if (!has_prefix(name, end, "[v") || *n == HOST_AREAS || len + 2 > sizeof(host_areas[0].line))
		return;
	struct host_area *a = &host_areas[(*n)++];
	memcpy(a->line, line, len);
	a->line[len] = '\n';
	const char *p = line;
	a->start = hex_number(&p);
	p++;
	a->end = hex_number(&p);
}

/* How many there are.  Threads that ask at the same time all write the same. */
static unsigned read_host_areas(void)
{
	struct text t = { 0 };
	unsigned n = __atomic_load_n(&nr_host_areas, __ATOMIC_ACQUIRE);
	if (n)
		return n;
	text_host_file(&t, "/proc/self/maps");
	for (const char *p = t.buf, *end = p + t.len, *eol; p < end; p = eol + 1) {
		for (eol = p; eol < end && *eol != '\n'; eol++)
			;
		host_line(p, eol, &n);
	}
	text_free(&t);
	__atomic_store_n(&nr_host_areas, n, __ATOMIC_RELEASE);
	return n;
}

/* ---------------------------------------------------------------- maps */

/* As seq_path: a newline in a name would break the line. */
static void add_name(struct text *t, const char *name)
{
	for (const char *p = name; *p; p++)
		if (*p == '\n') {
			for (; *name; name++)
				*name == '\n' ? text_str(t, "\\012") : text_add(t, name, 1);
			return;
		}
	text_str(t, name);
}

/* locked: mm */
static void add_area_line(struct text *t, struct vm_area *v, vaddr_t end)
{
	char line[128];
	const struct sf_file *f = v->file;
	uint32_t fl = v->flags;
	int n = um_snprintf(line, sizeof(line), "%08lx-%08lx %c%c%c%c %08lx %02x:%02x %lu ", v->start, end,
			    fl & VM_READ ? 'r' : '-', fl & VM_WRITE ? 'w' : '-', fl & VM_EXEC ? 'x' : '-',
			    fl & VM_SHARED ? 's' : 'p', f ? (v->pgoff - f->first_page) << PAGE_SHIFT : 0, f ? f->major : 0, f ? f->minor : 0,
			    f ? f->ino : 0);
	const char *name = vma_name(um.mm, v);
	text_add(t, line, (size_t)n);
	if (name && *name) {
		static const char blanks[NAME_COLUMN + 1] = "                                                                        ";
		if ((unsigned)n < NAME_COLUMN)
			text_add(t, blanks, NAME_COLUMN - (unsigned)n);
		text_str(t, " ");
		add_name(t, name);
		if (um_file_unlinked(f))
			text_str(t, " (deleted)");
	}
	text_str(t, "\n");
}

void proc_maps(struct text *t)
{
	struct vm_area *v;
	mm_lock(um.mm);
	for (v = TAILQ_FIRST(&um.mm->list); v; v = vma_next(v)) {
		struct vm_area *first = v;
		if (v->flags & VM_HIDDEN)
			continue;
		v = area_last_part(v);
		add_area_line(t, first, v->end);
	}
	mm_unlock(um.mm);
	for (unsigned i = 0, n = read_host_areas(); i < n; i++)
		text_str(t, host_areas[i].line);
}

/* ---------------------------------------------------------------- smaps */

struct usage { uint64_t rss, clean, dirty, referenced, anon, shmem, lazy, swap, locked; }; /* pages */

static void count_page(struct usage *u, const struct page *pg, const struct vm_area *v)
{
	bool shared = (pg->flags & (PG_SHARED | PG_FILE)) == PG_SHARED, anon = !shared && !(pg->flags & PG_FILE);
	bool dirty = shared ? pg->flags & PG_WRITABLE : pg->flags & PG_DIRTY || (anon && !pg->slot && !(pg->flags & PG_ZERO));
	u->rss++;
	*(dirty ? &u->dirty : &u->clean) += 1;
	u->anon += anon;
	u->shmem += shared && (!v->file || v->file->always_in_core);
	u->referenced += !!(pg->flags & (PG_VISIBLE | PG_REFERENCED));
	u->lazy += !!(pg->flags & PG_LAZYFREE);
}

/* locked: mm */
static void count_area(struct usage *u, struct vm_area *v)
{
	uint64_t end = PFN(v->end), before = u->rss;
	for (uint64_t pfn = pte_next(um.mm, PFN(v->start), end); pfn < end; pfn = pte_next(um.mm, pfn + 1, end)) {
		pte_t e = pte_get(um.mm, pfn);
		if (e & PTE_PRESENT)
			count_page(u, frame_page(um.mc, pte_frame(e)), v);
		else if (e & PTE_SWAP)
			u->swap++;
	}
	if (v->flags & VM_LOCKED)
		u->locked += u->rss - before;
}

static void add_kb(struct text *t, const char *name, uint64_t pages)
{
	text_fmt(t, "%-16s%8lu kB\n", name, pages << (PAGE_SHIFT - 10));
}

/* The lines that smaps and smaps_rollup have in common.  Nothing is shared between processes as far as we can tell. */
static void add_usage(struct text *t, const struct usage *u, bool rollup)
{
	add_kb(t, "Rss:", u->rss);
	add_kb(t, "Pss:", u->rss);
	add_kb(t, "Pss_Dirty:", u->dirty);
	if (rollup) {
		add_kb(t, "Pss_Anon:", u->anon);
		add_kb(t, "Pss_File:", u->rss - u->anon - u->shmem);
		add_kb(t, "Pss_Shmem:", u->shmem);
	}
	add_kb(t, "Shared_Clean:", 0);
	add_kb(t, "Shared_Dirty:", 0);
	add_kb(t, "Private_Clean:", u->clean);
	add_kb(t, "Private_Dirty:", u->dirty);
	add_kb(t, "Referenced:", u->referenced);
	add_kb(t, "Anonymous:", u->anon);
	add_kb(t, "KSM:", 0);
	add_kb(t, "LazyFree:", u->lazy);
	add_kb(t, "AnonHugePages:", 0);
	add_kb(t, "ShmemPmdMapped:", 0);
	add_kb(t, "FilePmdMapped:", 0);
	add_kb(t, "Shared_Hugetlb:", 0);
	add_kb(t, "Private_Hugetlb:", 0);
	add_kb(t, "Swap:", u->swap);
	add_kb(t, "SwapPss:", u->swap);
	add_kb(t, "Locked:", u->locked);
}

static void add_sizes(struct text *t, uint64_t bytes)
{
	add_kb(t, "Size:", bytes >> PAGE_SHIFT);
	add_kb(t, "KernelPageSize:", 1);
	add_kb(t, "MMUPageSize:", 1);
}

static void add_vm_flags(struct text *t, uint32_t fl)
{
	/* in the order of Linux's flag bits */
	static const struct { uint32_t bit; char name[4]; } names[] = {
		{ VM_READ, "rd " }, { VM_WRITE, "wr " }, { VM_EXEC, "ex " }, { VM_SHARED, "sh " }, { VM_MAYREAD, "mr " },
		{ VM_MAYWRITE, "mw " }, { VM_MAYEXEC, "me " }, { VM_SHARED, "ms " }, { VM_GROWSDOWN, "gd " }, { VM_LOCKED, "lo " },
		{ VM_SEQ_READ, "sr " }, { VM_RAND_READ, "rr " }, { VM_DONTFORK, "dc " }, { VM_LOCKONFAULT, "lf " },
		{ VM_ACCOUNT, "ac " }, { VM_NORESERVE, "nr " }, { VM_WIPEONFORK, "wf " }, { VM_DONTDUMP, "dd " },
		{ VM_HUGE_ADV, "hg " }, { VM_NOHUGE_ADV, "nh " }, { VM_MERGEABLE, "mg " }, { VM_SEALED, "sl " },
	};
	text_str(t, "THPeligible:           0\nVmFlags: ");
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (fl & names[i].bit)
			text_add(t, names[i].name, 3);
	text_str(t, "\n");
}

static void add_host_smaps(struct text *t, const struct host_area *a)
{
	static const struct usage none;
	bool user = a->end <= 1ull << 47, exec = false;
	for (const char *p = a->line; *p && p < a->line + 40; p++)
		exec |= *p == 'x';
	text_str(t, a->line);
	add_sizes(t, a->end - a->start);
	add_usage(t, &none, false);
	text_str(t, "THPeligible:           0\n");
	text_str(t, !user ? "VmFlags: ex \n" : exec ? "VmFlags: rd ex mr mw me de sd \n" : "VmFlags: rd mr pf io de dd \n");
}

void proc_smaps(struct text *t)
{
	struct vm_area *v;
	mm_lock(um.mm);
	for (v = TAILQ_FIRST(&um.mm->list); v; v = vma_next(v)) {
		struct vm_area *first = v, *last = area_last_part(v);
		struct usage u = { 0 };
		if (v->flags & VM_HIDDEN)
			continue;
		for (count_area(&u, v); v != last; count_area(&u, v))
			v = vma_next(v);
		add_area_line(t, first, v->end);
		add_sizes(t, v->end - first->start);
		add_usage(t, &u, false);
		add_vm_flags(t, v->flags);
	}
	mm_unlock(um.mm);
	for (unsigned i = 0, n = read_host_areas(); i < n; i++)
		add_host_smaps(t, &host_areas[i]);
}

void proc_smaps_rollup(struct text *t)
{
	struct usage u = { 0 };
	struct vm_area *v;
	vaddr_t start = 0, end = 0;
	mm_lock(um.mm);
	if ((v = TAILQ_FIRST(&um.mm->list)))
		start = v->start;
	TAILQ_FOREACH(v, &um.mm->list, link) {
		count_area(&u, v);
		end = v->end;
	}
	mm_unlock(um.mm);
	text_fmt(t, "%08lx-%08lx ---p 00000000 00:00 0                          [rollup]\n", start, end);
	add_usage(t, &u, true);
}

/* ---------------------------------------------------------------- pagemap */

#define PM_PRESENT (1ull << 63)
#define PM_SWAP    (1ull << 62)
#define PM_FILE    (1ull << 61) /* or shared */
#define PM_SOFT_DIRTY (1ull << 55)

static uint64_t page_word(uint64_t pfn)
{
	const struct page *pg = page_at(um.mm, pfn);
	if (!pg)
		return pte_get(um.mm, pfn) & PTE_SWAP ? PM_SWAP | PM_SOFT_DIRTY : 0;
	if (!(pg->flags & (PG_VISIBLE | PG_HIDDEN)))
		return 0;
	return PM_PRESENT | PM_SOFT_DIRTY | (pg->flags & (PG_SHARED | PG_FILE) ? PM_FILE : 0);
}

/* As an unprivileged reader sees it: no frame numbers. */
unsigned proc_pagemap(uint64_t *pfn, uint64_t *words, unsigned room)
{
	uint64_t end = PFN(um.mm->task_size), p;
	unsigned n = 0;
	mm_lock(um.mm);
	*pfn = p = pte_next(um.mm, *pfn, end);
	for (; p < end && n < room && pte_get(um.mm, p); p++)
		words[n++] = page_word(p);
	mm_unlock(um.mm);
	return n;
}
