/* SPDX-License-Identifier: MIT */
/* extable.c - where to go on when an instruction of ours touches a bad address (rows 15-17, 20)
 *
 * Each instruction that may touch program memory has an entry in section __ex_table; the linker joins the sections of all
 * objects between __start___ex_table and __stop___ex_table.  A loaded module brings a table of its own.
 *
 *   search:      main table (binary, once it has been sorted), then the modules, newest first
 *   register:    under a spin lock; the list is published link by link, so a search never sees a torn one
 *   unregister:  unlinks, then waits until no search that may still see the module is under way
 *
 * A search runs inside a signal handler and may have interrupted anything, so it takes no lock.  The tables belong to
 * program text, not to a machine; hence they are global. */
#include "mm/mm.h"

extern struct exception_entry __start___ex_table[] __attribute__((weak, visibility("hidden")));
extern struct exception_entry __stop___ex_table[] __attribute__((weak, visibility("hidden")));

static bool main_sorted;
static LIST_HEAD(, ex_module) modules = LIST_HEAD_INITIALIZER(modules);
static uint32_t modules_lock; /* writers */
static uint32_t searchers;    /* searches of the module list under way */

#define SEARCH_PATIENCE 100000000u /* spins; a search takes well under a microsecond unless its process is a half-copied fork */

static vaddr_t entry_insn(const struct exception_entry *e)
{
	return (vaddr_t)((intptr_t)&e->insn + e->insn);
}

static vaddr_t entry_fixup(const struct exception_entry *e)
{
	return (vaddr_t)((intptr_t)&e->fixup + e->fixup);
}

/* Exchange two entries; their fields are relative to where they lie. */
static void entry_swap(struct exception_entry *a, struct exception_entry *b)
{
	int32_t apart = (int32_t)((intptr_t)b - (intptr_t)a);
	struct exception_entry t = *a;

	a->insn = b->insn + apart;
	a->fixup = b->fixup + apart;
	a->type = b->type;
	b->insn = t.insn - apart;
	b->fixup = t.fixup - apart;
	b->type = t.type;
}

static void sift_down(struct exception_entry *e, size_t root, size_t n)
{
	size_t child;

	while ((child = 2 * root + 1) < n) {
		if (child + 1 < n && entry_insn(&e[child]) < entry_insn(&e[child + 1]))
			child++;
		if (entry_insn(&e[root]) >= entry_insn(&e[child]))
			return;
		entry_swap(&e[root], &e[child]);
		root = child;
	}
}

/* Heap sort: in place, no recursion, no bad case. */
void extable_sort(struct exception_entry *start, struct exception_entry *stop)
{
	size_t n = (size_t)(stop - start);

	for (size_t i = n / 2; i-- > 0;)
		sift_down(start, i, n);
	for (size_t i = n; i-- > 1;) {
		entry_swap(&start[0], &start[i]);
		sift_down(start, 0, i);
	}
	if (start == __start___ex_table)
		__atomic_store_n(&main_sorted, true, __ATOMIC_RELEASE);
}

static const struct exception_entry *search_sorted(const struct exception_entry *start,
						   const struct exception_entry *stop, vaddr_t ip)
{
	while (start < stop) {
		const struct exception_entry *mid = start + (stop - start) / 2;

		if (entry_insn(mid) == ip)
			return mid;
		if (entry_insn(mid) < ip)
			start = mid + 1;
		else
			stop = mid;
	}
	return NULL;
}

static const struct exception_entry *search_main(vaddr_t ip)
{
	if (__atomic_load_n(&main_sorted, __ATOMIC_ACQUIRE))
		return search_sorted(__start___ex_table, __stop___ex_table, ip);
	for (const struct exception_entry *e = __start___ex_table; e < __stop___ex_table; e++)
		if (entry_insn(e) == ip)
			return e;
	return NULL;
}

/* Take what is found out of the table before the module may go. */
static vaddr_t search_modules(vaddr_t ip, enum ex_type *ret_type)
{
	vaddr_t fixup = 0;

	__atomic_fetch_add(&searchers, 1, __ATOMIC_SEQ_CST);
	for (struct ex_module *m = __atomic_load_n(&modules.lh_first, __ATOMIC_ACQUIRE); m && !fixup;
	     m = __atomic_load_n(&m->link.le_next, __ATOMIC_ACQUIRE)) {
		const struct exception_entry *e = search_sorted(m->start, m->stop, ip);

		if (e) {
			fixup = entry_fixup(e);
			*ret_type = (enum ex_type)e->type;
		}
	}
	__atomic_fetch_sub(&searchers, 1, __ATOMIC_SEQ_CST);
	return fixup;
}

static void lock_modules(void)
{
	while (__atomic_exchange_n(&modules_lock, 1, __ATOMIC_ACQUIRE))
		__builtin_ia32_pause();
}

static void unlock_modules(void)
{
	__atomic_store_n(&modules_lock, 0, __ATOMIC_RELEASE);
}

void extable_register(struct ex_module *m)
{
	extable_sort(m->start, m->stop);
	lock_modules();
	m->link.le_next = modules.lh_first;
	m->link.le_prev = &modules.lh_first;
	if (modules.lh_first)
		modules.lh_first->link.le_prev = &m->link.le_next;
	__atomic_store_n(&modules.lh_first, m, __ATOMIC_RELEASE);
	unlock_modules();
}

void extable_unregister(struct ex_module *m)
{
	lock_modules();
	if (m->link.le_next)
		m->link.le_next->link.le_prev = m->link.le_prev;
	__atomic_store_n(m->link.le_prev, m->link.le_next, __ATOMIC_SEQ_CST);
	unlock_modules();
	for (unsigned i = 0; __atomic_load_n(&searchers, __ATOMIC_SEQ_CST) && i < SEARCH_PATIENCE; i++)
		__builtin_ia32_pause();
}

vaddr_t search_exception_table(vaddr_t ip, enum ex_type *ret_type)
{
	const struct exception_entry *e = search_main(ip);

	if (!e)
		return search_modules(ip, ret_type);
	*ret_type = (enum ex_type)e->type;
	return entry_fixup(e);
}
