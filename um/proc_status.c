/* SPDX-License-Identifier: MIT */
/* proc_status.c - /proc/self/statm, status, stat, auxv, cmdline, environ
 *
 * status and stat are mostly the host's truth (ids, times, scheduling); what the host cannot know, because memory, faults and some
 * signals are ours, is replaced field by field. */
#include "um/proc.h"
#include "um/trap.h"

/* What the files say about memory; all in pages. */
struct mem_view {
	uint64_t total, peak, locked, rss_anon, rss_file, rss_shmem, hwm, data, stack, text, exec, tables, swap;
	vaddr_t start_code, end_code, start_data, end_data, start_brk, start_stack, arg_start, arg_end, env_start, env_end;
};

/* Shared pages of files that live in memory; looked for only when there are shared pages at all.  locked: mm */
static uint64_t count_shmem(struct mm *mm)
{
	uint64_t n = 0;
	struct vm_area *v;
	TAILQ_FOREACH(v, &mm->list, link) {
		if (!(v->flags & VM_SHARED) || (v->file && !v->file->always_in_core))
			continue;
		uint64_t end = PFN(v->end);
		for (uint64_t p = pte_next(mm, PFN(v->start), end); p < end; p = pte_next(mm, p + 1, end))
			n += pte_get(mm, p) & PTE_PRESENT;
	}
	return n;
}

static void look(struct mem_view *m)
{
	static uint64_t peak_total, peak_rss; /* as far as anybody has looked */
	struct mm *mm = um.mm;
	mm_lock(mm);
	m->rss_shmem = mm->rss_shared ? MIN(count_shmem(mm), mm->rss_shared) : 0;
	m->rss_file = mm->rss_file + (mm->rss_shared - m->rss_shmem);
	m->rss_anon = mm->rss_anon;
	m->total = mm->total_vm - mm->hidden_vm;
	m->peak = peak_total = MAX(peak_total, m->total);
	uint64_t rss = m->rss_anon + m->rss_file + m->rss_shmem;
	m->hwm = peak_rss = MAX(MAX(peak_rss, rss), READ_ONCE(um.mc->stats->peak_resident));
	m->locked = mm->locked_vm;
	m->data = mm->data_vm - mm->hidden_vm; /* which is writable and private */
	m->stack = mm->stack_vm;
	m->exec = mm->exec_vm;
	m->text = PFN(PAGE_ALIGN(mm->end_code)) - PFN(mm->start_code);
	m->tables = mm->ptable_pages;
	m->swap = mm->swapped;
	m->start_code = mm->start_code;
	m->end_code = mm->end_code;
	m->start_data = mm->start_data;
	m->end_data = mm->end_data;
	m->start_brk = mm->start_brk;
	m->start_stack = mm->start_stack;
	m->arg_start = mm->arg_start;
	m->arg_end = mm->arg_end;
	m->env_start = mm->env_start;
	m->env_end = mm->env_end;
	mm_unlock(mm);
}

static uint64_t rss_of(const struct mem_view *m) { return m->rss_anon + m->rss_file + m->rss_shmem; }

void proc_statm(struct text *t)
{
	struct mem_view m;
	look(&m);
	text_fmt(t, "%lu %lu %lu %lu 0 %lu 0\n", m.total, rss_of(&m), m.rss_file + m.rss_shmem, m.text, m.data + m.stack);
}

/* ---------------------------------------------------------------- status */

/* Sets of signals ignored and caught, by the program's own table. */
static void signal_sets(uint64_t *ret_ignored, uint64_t *ret_caught)
{
	*ret_ignored = *ret_caught = 0;
	for (int n = 1; n <= NSIG; n++) {
		vaddr_t h = READ_ONCE(current()->sighand->action[n].handler);
		if (h == SIG_IGN)
			*ret_ignored |= SIGBIT(n);
		else if (h != SIG_DFL)
			*ret_caught |= SIGBIT(n);
	}
}

/* One line of status that is ours. */
static bool memory_line(struct text *t, const struct mem_view *m, const char *key, size_t len)
{
	const struct { const char *name; uint64_t pages; } rows[] = {
		{ "VmPeak", m->peak }, { "VmSize", m->total }, { "VmLck", m->locked }, { "VmPin", 0 }, { "VmHWM", m->hwm },
		{ "VmRSS", rss_of(m) }, { "RssAnon", m->rss_anon }, { "RssFile", m->rss_file }, { "RssShmem", m->rss_shmem },
		{ "VmData", m->data }, { "VmStk", m->stack }, { "VmExe", m->text },
		{ "VmLib", m->exec > m->text ? m->exec - m->text : 0 }, { "VmPTE", m->tables }, { "VmSwap", m->swap },
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const char *name = rows[i].name;
		size_t n = 0;
		while (name[n])
			n++;
		if (n == len && !memcmp(name, key, len)) {
			text_fmt(t, "%s:\t%8lu kB\n", name, rows[i].pages << (PAGE_SHIFT - 10));
			return true;
		}
	}
	return false;
}

static uint64_t hex_value(const char *p, const char *end)
{
	uint64_t v = 0;
	for (; p < end; p++) {
		if (*p >= '0' && *p <= '9')
			v = v << 4 | (uint64_t)(*p - '0');
		else if (*p >= 'a' && *p <= 'f')
			v = v << 4 | (uint64_t)(*p - 'a' + 10);
	}
	return v;
}

/* th: the thread that the file is about, when it is the one that asks; another's mask is the host's view of it. */
static bool signal_line(struct text *t, const char *key, size_t len, const char *eol, struct thread *th)
{
	uint64_t ignored, caught;
	if (len != 6 || memcmp(key, "Sig", 3))
		return false;
	signal_sets(&ignored, &caught);
	if (!memcmp(key, "SigIgn", 6))
		text_fmt(t, "SigIgn:\t%016lx\n", ignored);
	else if (!memcmp(key, "SigCgt", 6))
		text_fmt(t, "SigCgt:\t%016lx\n", caught);
	else if (!memcmp(key, "SigBlk", 6) && th)
		text_fmt(t, "SigBlk:\t%016lx\n", th->sigmask);
	else if (!memcmp(key, "SigPnd", 6) && th)
		text_fmt(t, "SigPnd:\t%016lx\n", hex_value(key + len + 1, eol) | um_virtual_pending(th));
	else
		return false;
	return true;
}

/* The host's table of descriptors is as large as our numbers are high; the program's is not. */
static bool descriptor_line(struct text *t, const char *key, size_t len)
{
	if (len != 6 || memcmp(key, "FDSize", 6))
		return false;
	text_str(t, "FDSize:\t256\n");
	return true;
}

static uint64_t decimal(const char *p, const char *end)
{
	uint64_t v = 0;
	for (; p < end && (*p == ' ' || *p == '\t'); p++)
		;
	for (; p < end && *p >= '0' && *p <= '9'; p++)
		v = v * 10 + (uint64_t)(*p - '0');
	return v;
}

/* Ours is not the program's. */
static bool threads_line(struct text *t, const char *key, size_t len, const char *eol)
{
	if (!um.helper_tid || len != 7 || memcmp(key, "Threads", 7))
		return false;
	text_fmt(t, "Threads:\t%lu\n", decimal(key + len + 1, eol) - 1);
	return true;
}

void proc_status(struct text *t, const struct text *host, struct thread *th, bool self)
{
	struct mem_view m;
	look(&m);
	const char *end = host->buf + host->len;
	for (const char *p = host->buf, *eol, *colon; p < end; p = eol + 1) {
		for (eol = p; eol < end && *eol != '\n'; eol++)
			;
		for (colon = p; colon < eol && *colon != ':'; colon++)
			;
		size_t len = (size_t)(colon - p);
		if (memory_line(t, &m, p, len) || signal_line(t, p, len, eol, self ? th : NULL) ||
		    descriptor_line(t, p, len) || threads_line(t, p, len, eol))
			continue;
		text_add(t, p, (size_t)(eol - p));
		text_str(t, "\n");
	}
}

/* ---------------------------------------------------------------- stat */

#define STAT_FIELDS 53 /* numbered from 1, as in proc(5) */

struct stat_fields { uint64_t value[STAT_FIELDS + 1]; bool ours[STAT_FIELDS + 1]; };

static void set_field(struct stat_fields *f, unsigned i, uint64_t v)
{
	f->value[i] = v;
	f->ours[i] = true;
}

static void fault_fields(struct stat_fields *f, struct thread *th, bool self, bool whole)
{
	uint64_t min = 0, maj = 0;
	if (whole) {
		um_fault_counts(&min, &maj);
	} else if (self) {
		min = th->task.min_flt;
		maj = th->task.maj_flt;
	} else {
		return;
	}
	set_field(f, 10, min);
	set_field(f, 12, maj);
}

static void signal_fields(struct stat_fields *f, const struct thread *th, bool self)
{
	uint64_t ignored, caught;
	signal_sets(&ignored, &caught);
	if (self)
		set_field(f, 32, th->sigmask & 0x7fffffff); /* these four know 31 signals only */
	set_field(f, 33, ignored & 0x7fffffff);
	set_field(f, 34, caught & 0x7fffffff);
}

static void memory_fields(struct stat_fields *f, const struct mem_view *m)
{
	set_field(f, 23, m->total << PAGE_SHIFT);
	set_field(f, 24, rss_of(m));
	set_field(f, 26, m->start_code);
	set_field(f, 27, m->end_code);
	set_field(f, 28, m->start_stack);
	set_field(f, 29, 0);
	set_field(f, 30, 0);
	set_field(f, 45, m->start_data);
	set_field(f, 46, m->end_data);
	set_field(f, 47, m->start_brk);
	set_field(f, 48, m->arg_start);
	set_field(f, 49, m->arg_end);
	set_field(f, 50, m->env_start);
	set_field(f, 51, m->env_end);
}

/* "pid (any name) S field field …": the name may hold anything, so counting starts behind its last bracket. */
void proc_stat(struct text *t, const struct text *host, struct thread *th, bool self, bool whole)
{
	struct stat_fields f = { 0 };
	struct mem_view m;
	const char *p = host->buf, *end = p + host->len, *q = end;
	look(&m);
	fault_fields(&f, th, self, whole);
	signal_fields(&f, th, self);
	memory_fields(&f, &m);
	while (q > p && q[-1] != ')')
		q--;
	text_add(t, p, (size_t)(q - p));
	for (unsigned i = 3; q < end && *q == ' '; i++, q = p) {
		for (p = q + 1; p < end && *p != ' ' && *p != '\n'; p++)
			;
		if (i == 20 && um.helper_tid)
			text_fmt(t, " %lu", decimal(q, p) - 1);
		else if (i <= STAT_FIELDS && f.ours[i])
			text_fmt(t, " %lu", f.value[i]);
		else
			text_add(t, q, (size_t)(p - q));
	}
	text_str(t, "\n");
}

/* ---------------------------------------------------------------- what the program was told at its start */

void proc_auxv(struct text *t)
{
	text_add(t, um.auxv, um.auxv_len * 8ul);
}

static void add_user(struct text *t, struct thread *th, vaddr_t start, vaddr_t end)
{
	char buf[512];
	while (start < end) {
		uint64_t n = MIN(end - start, (uint64_t)sizeof(buf));
		uint64_t left = copy_from_user(um.mm, &th->task, buf, start, n);
		text_add(t, buf, n - left);
		if (left)
			return;
		start += n;
	}
}

/* A program may have written over the final NUL of its arguments to show a longer title: then, as on Linux, the text goes on into the
 * environment up to the next NUL. */
void proc_cmdline(struct text *t, struct thread *th)
{
	struct mem_view m;
	look(&m);
	add_user(t, th, m.arg_start, m.arg_end);
	if (!t->len || !t->buf[t->len - 1] || m.env_start != m.arg_end)
		return;
	size_t i = t->len;
	add_user(t, th, m.env_start, m.env_end);
	while (i < t->len && t->buf[i])
		i++;
	t->len = MIN(i + 1, t->len);
}

void proc_environ(struct text *t, struct thread *th)
{
	struct mem_view m;
	look(&m);
	add_user(t, th, m.env_start, m.env_end);
}

/* ---------------------------------------------------------------- limits */

#define NAME_WIDTH 26u

static void add_limit(struct text *t, uint64_t v)
{
	if (v == UINT64_MAX)
		text_str(t, "unlimited            ");
	else
		text_fmt(t, "%-20lu ", v);
}

/* The host's text, with the lines of limits that are ours put in. */
void proc_limits(struct text *t, const struct text *host)
{
	static const struct { const char *name, *unit; uint32_t which; } own[] = {
		{ "Max data size             ", "bytes     \n", 2 }, { "Max stack size            ", "bytes     \n", 3 },
		{ "Max open files            ", "files     \n", 7 }, { "Max locked memory         ", "bytes     \n", 8 },
		{ "Max address space         ", "bytes     \n", 9 },
	};
	struct um_limits lim;
	um_limits_save(&lim);
	const uint64_t soft[16] = { [2] = lim.soft.data, [3] = lim.soft.stack, [7] = lim.nofile, [8] = lim.soft.memlock, [9] = lim.soft.as };
	for (size_t at = 0, n; at < host->len; at += n) {
		unsigned i = 0;
		for (n = 0; at + n < host->len && (!n || host->buf[at + n - 1] != '\n'); n++)
			;
		while (i < ARRAY_SIZE(own) && (n < NAME_WIDTH || memcmp(host->buf + at, own[i].name, NAME_WIDTH)))
			i++;
		if (i == ARRAY_SIZE(own)) {
			text_add(t, host->buf + at, n);
			continue;
		}
		text_add(t, own[i].name, NAME_WIDTH);
		add_limit(t, soft[own[i].which]);
		add_limit(t, lim.hard[own[i].which]);
		text_str(t, own[i].unit);
	}
}
