/* SPDX-License-Identifier: MIT */
/* area.c - the areas of an address space: a list in address order and a tree over it
 *
 *      low                                                                        high
 *      |..hole..[ a ][ b ]......hole......[ c ]...hole...[ d ]..........|
 *               list: a - b - c - d         tree: by start, each node knows the largest hole in front of
 *                                           any area of its subtree (max_gap), so a fitting hole is found
 *                                           in O(log n) however many areas there are
 *
 * The hole in front of an area is its start less its predecessor's end; guard gaps of growing areas are not taken
 * off in max_gap (it is only a bound that steers the search) but when a hole is judged.
 *
 * Invariants, checked by areas_check:
 *   1  areas are page-aligned, not empty, below task_size, and list neighbours do not overlap
 *   2  the tree holds the areas of the list in the list's order, and is a red-black tree
 *   3  max_gap of a node is the maximum over its own hole and its children's max_gap
 *   4  nr_areas and the page counts equal the sums over the areas
 *   5  an area has a file if and only if its type is a file's, and file references are counted
 *   6  no two neighbours could be merged (growing areas excepted: a fault holds on to its area)
 *
 * Alternatives rejected: a maple tree (fewer cache misses, ten times the code); a cached hint for the next hole
 * (linear once holes of the wrong size lie in front of it). */
#include "mm/area.h"

static uint64_t gap_below(const struct vm_area *v);

static void area_augment(struct vm_area *v)
{
	uint64_t gap = gap_below(v);
	const struct vm_area *l = RB_LEFT(v, node), *r = RB_RIGHT(v, node);

	if (l && l->max_gap > gap)
		gap = l->max_gap;
	if (r && r->max_gap > gap)
		gap = r->max_gap;
	v->max_gap = gap;
}

static int area_cmp(const struct vm_area *a, const struct vm_area *b)
{
	return a->start < b->start ? -1 : a->start > b->start;
}

#undef RB_AUGMENT
#define RB_AUGMENT(x) area_augment(x)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#define AREA_TREE_ATTR __attribute__((unused)) static
RB_GENERATE_INTERNAL(area_tree, vm_area, node, area_cmp, AREA_TREE_ATTR)
#pragma GCC diagnostic pop

/* ---------------------------------------------------------------- looking up */

static struct vm_area *list_prev_area(const struct vm_area *v)
{
	return TAILQ_PREV(v, area_list, link);
}

struct vm_area *vma_prev(struct mm *mm, struct vm_area *v)
{
	return v ? list_prev_area(v) : TAILQ_LAST(&mm->list, area_list);
}

static uint64_t gap_below(const struct vm_area *v)
{
	const struct vm_area *prev = list_prev_area(v);

	return v->start - (prev ? prev->end : 0);
}

vaddr_t area_start_gap(struct mm *mm, const struct vm_area *v)
{
	if (!(v->flags & VM_GROWSDOWN))
		return v->start;
	return v->start > mm->stack_guard ? v->start - mm->stack_guard : 0;
}

static struct vm_area *tree_find(struct mm *mm, vaddr_t addr)
{
	struct vm_area *v = RB_ROOT(&mm->tree), *best = NULL;

	while (v) {
		if (v->end <= addr) {
			v = RB_RIGHT(v, node);
			continue;
		}
		best = v;
		if (v->start <= addr)
			break;
		v = RB_LEFT(v, node);
	}
	return best;
}

struct vm_area *find_vma(struct mm *mm, struct task *tk, vaddr_t addr)
{
	struct vm_area *v;

	SF_EXPENSIVE(mm_is_locked(mm));
	if (tk && tk->vma_cache && tk->vma_cache_seq == mm->seq) {
		v = tk->vma_cache;
		if (v->start <= addr && addr < v->end)
			return v;
	}
	v = tree_find(mm, addr);
	if (tk && v && v->start <= addr) {
		tk->vma_cache = v;
		tk->vma_cache_seq = mm->seq;
	}
	return v;
}

struct vm_area *vma_lookup(struct mm *mm, struct task *tk, vaddr_t addr)
{
	struct vm_area *v = find_vma(mm, tk, addr);

	return v && v->start <= addr ? v : NULL;
}

bool range_sealed(struct mm *mm, vaddr_t start, vaddr_t end)
{
	struct vm_area *v = find_vma_intersection(mm, start, end);

	while (v && v->start < end && !(v->flags & VM_SEALED))
		v = vma_next(v);
	return v && v->start < end;
}

struct vm_area *find_vma_intersection(struct mm *mm, vaddr_t start, vaddr_t end)
{
	struct vm_area *v = find_vma(mm, NULL, start);

	return v && v->start < end ? v : NULL;
}

/* ---------------------------------------------------------------- counts */

static void count_pages(uint64_t *cell, int64_t n)
{
	*cell += (uint64_t)n;
}

void area_account(struct mm *mm, uint32_t flags, int64_t n)
{
	count_pages(&mm->total_vm, n);
	if ((flags & (VM_EXEC | VM_WRITE | VM_GROWSDOWN)) == VM_EXEC)
		count_pages(&mm->exec_vm, n);
	else if (flags & VM_GROWSDOWN)
		count_pages(&mm->stack_vm, n);
	else if ((flags & (VM_WRITE | VM_SHARED)) == VM_WRITE)
		count_pages(&mm->data_vm, n);
	if (flags & VM_SHARED)
		count_pages(&mm->shared_vm, n);
	if (flags & VM_LOCKED)
		count_pages(&mm->locked_vm, n);
	if (flags & VM_ACCOUNT)
		count_pages(&mm->account_vm, n);
	if (flags & VM_HIDDEN)
		count_pages(&mm->hidden_vm, n);
}

static void count_area(struct mm *mm, struct vm_area *v, int dir)
{
	struct sf_stats *st = mm->mc->stats;

	mm->nr_areas += (uint64_t)(int64_t)dir;
	mm->seq++;
	sf_count(&st->nr_areas, (uint64_t)(int64_t)dir);
	if (dir > 0)
		sf_peak(&st->peak_areas, READ_ONCE(st->nr_areas));
	area_account(mm, v->flags, dir * (int64_t)area_pages(v));
}

/* ---------------------------------------------------------------- list and tree */

static void augment_upwards(struct vm_area *v)
{
	for (; v; v = RB_PARENT(v, node))
		area_augment(v);
}

/* The holes in front of v and of its successor have changed. */
static void gaps_changed(struct vm_area *v)
{
	augment_upwards(v);
	if (vma_next(v))
		augment_upwards(vma_next(v));
}

static void tree_remove(struct mm *mm, struct vm_area *v)
{
	struct vm_area *next = vma_next(v), *from = RB_PARENT(v, node);

	/* RB_REMOVE mends max_gap only near the place that it takes a node from; the rest is up to us. */
	if (RB_LEFT(v, node) && RB_RIGHT(v, node)) {
		from = RB_PARENT(next, node);
		if (from == v)
			from = next;
	}
	TAILQ_REMOVE(&mm->list, v, link);
	RB_REMOVE(area_tree, &mm->tree, v);
	augment_upwards(from);
	if (next)
		augment_upwards(next);
}

static void tree_insert(struct mm *mm, struct vm_area *v, struct vm_area *next)
{
	if (next)
		TAILQ_INSERT_BEFORE(next, v, link);
	else
		TAILQ_INSERT_TAIL(&mm->list, v, link);
	v->max_gap = gap_below(v);
	SF_BUG_ON(RB_INSERT(area_tree, &mm->tree, v));
	gaps_changed(v);
}

static const struct vm_type *type_for(uint32_t flags, const struct sf_file *file)
{
	if (!file)
		return &vm_anon;
	if (!(flags & VM_SHARED) && file->ops->type)
		return file->ops->type;
	if (flags & VM_SHARED)
		return &vm_file_shared;
	return flags & VM_LENT ? &vm_file_lent : &vm_file_private;
}

struct vm_area *vma_alloc(struct mm *mm, vaddr_t start, vaddr_t end, uint32_t flags, struct sf_file *file, uint64_t pgoff)
{
	SF_MISUSE(start >= end || (start | end) & ~PAGE_MASK);
	struct vm_area *v = kmalloc(mm->mc, sizeof(*v));

	if (!v)
		return NULL;
	v->start = start;
	v->end = end;
	v->flags = flags;
	v->type = type_for(flags, file);
	v->file = file;
	v->pgoff = pgoff;
	file_get(file);
	return v;
}

void vma_insert(struct mm *mm, struct vm_area *v)
{
	struct vm_area *next = find_vma(mm, NULL, v->start);

	SF_MISUSE(next && next->start < v->end);
	tree_insert(mm, v, next);
	count_area(mm, v, 1);
}

void file_put(struct sf_file *f)
{
	if (f && __atomic_fetch_sub(&f->refs, 1, __ATOMIC_ACQ_REL) == 1)
		f->ops->release(f);
}

static void area_free(struct mm *mm, struct vm_area *v)
{
	file_put(v->file);
	kfree(mm->mc, v);
}

void vma_remove(struct mm *mm, struct vm_area *v)
{
	tree_remove(mm, v);
	count_area(mm, v, -1);
	area_free(mm, v);
}

void area_resize(struct mm *mm, struct vm_area *v, vaddr_t start, vaddr_t end)
{
	SF_MISUSE(start >= end || (start | end) & ~PAGE_MASK);
	area_account(mm, v->flags, (int64_t)PFN(end - start) - (int64_t)area_pages(v));
	v->pgoff += PFN(start) - PFN(v->start);
	v->start = start;
	v->end = end;
	mm->seq++;
	gaps_changed(v);
}

void area_set_flags(struct mm *mm, struct vm_area *v, uint32_t flags)
{
	int64_t n = (int64_t)area_pages(v);

	area_account(mm, v->flags, -n);
	if ((v->flags ^ flags) & VM_LENT)
		v->type = type_for(flags, v->file);
	v->flags = flags;
	area_account(mm, flags, n);
	mm->seq++;
}

/* ---------------------------------------------------------------- split and merge */

/* Linux ties a private anonymous area to its place and its accounting once something was written there, and so do we. */
void area_note_touched(struct mm *mm, struct vm_area *v)
{
	uint64_t end = PFN(v->end);

	if (v->file || v->flags & (VM_SHARED | VM_TOUCHED))
		return;
	for (uint64_t p = PFN(v->start); (p = pte_next(mm, p, end)) < end; p++) {
		struct page *pg = page_at(mm, p);

		if (!pg || (pg->flags & (PG_ZERO | PG_DIRTY)) != PG_ZERO) {
			v->flags |= VM_TOUCHED;
			return;
		}
	}
}

int area_split(struct mm *mm, struct vm_area *v, vaddr_t addr, struct vm_area **ret_upper)
{
	SF_MISUSE(addr <= v->start || addr >= v->end || addr & ~PAGE_MASK);
	area_note_touched(mm, v);
	struct vm_area *up = vma_alloc(mm, addr, v->end, v->flags, v->file, area_pgoff(v, addr));

	if (!up)
		return -ENOMEM;
	up->stat = v->stat;
	up->type = v->type;
	up->name = v->name;
	up->window = v->window;
	up->next_pfn = v->next_pfn;
	up->guard = v->guard;
	up->policy = v->policy;
	area_resize(mm, v, v->start, addr);
	tree_insert(mm, up, vma_next(v));
	count_area(mm, up, 1);
	*ret_upper = up;
	return 0;
}

int split_vma(struct mm *mm, struct vm_area *v, vaddr_t addr, struct vm_area **ret_upper)
{
	return mm->nr_areas >= mm->max_areas ? -ENOMEM : area_split(mm, v, addr, ret_upper);
}

/* What must be equal for two areas to be one, apart from position. */
struct kind {
	uint32_t flags;
	struct sf_file *file;
	const struct vm_type *type;
	const char *name;
	struct page_guard *guard;
	uint32_t policy;
};

static struct kind kind_of(const struct vm_area *v)
{
	return (struct kind){ v->flags, v->file, v->type, v->name, v->guard, v->policy };
}

static bool kind_eq(const struct vm_area *v, const struct kind *k)
{
	return !((v->flags ^ k->flags) & ~VM_TOUCHED) && v->file == k->file && v->type == k->type && v->name == k->name &&
	       v->guard == k->guard && v->policy == k->policy;
}

/* Does v continue into such pages, the first of which is pgoff at addr?  Do they continue into v? */
static bool continues_at(const struct vm_area *v, const struct kind *k, vaddr_t addr, uint64_t pgoff)
{
	return v && v->end == addr && kind_eq(v, k) && v->pgoff + area_pages(v) == pgoff;
}

static bool continued_by(const struct vm_area *v, const struct kind *k, vaddr_t addr, uint64_t pgoff)
{
	return v && v->start == addr && kind_eq(v, k) && v->pgoff == pgoff;
}

static bool mergeable(const struct vm_area *lo, const struct vm_area *hi)
{
	struct kind k = kind_of(hi);

	return continues_at(lo, &k, hi->start, hi->pgoff);
}

/* The lower one stays. */
static void swallow_next(struct mm *mm, struct vm_area *v)
{
	struct vm_area *next = vma_next(v);
	vaddr_t end = next->end;

	v->flags |= next->flags & VM_TOUCHED;
	if (!v->stat)
		v->stat = next->stat;
	if (!v->window) {
		v->window = next->window;
		v->next_pfn = next->next_pfn;
	}
	vma_remove(mm, next);
	area_resize(mm, v, v->start, end);
}

struct vm_area *vma_merge(struct mm *mm, struct vm_area *v)
{
	struct vm_area *prev = list_prev_area(v), *next = vma_next(v);

	if (next && mergeable(v, next))
		swallow_next(mm, v);
	if (prev && mergeable(prev, v)) {
		swallow_next(mm, prev);
		v = prev;
	}
	return v;
}

struct vm_area *area_place(struct mm *mm, vaddr_t start, vaddr_t end, uint32_t flags, struct sf_file *file, uint64_t pgoff)
{
	struct kind k = { flags, file, type_for(flags, file), NULL, NULL, 0 };
	struct vm_area *next = find_vma(mm, NULL, start);
	struct vm_area *prev = vma_prev(mm, next);

	SF_BUG_ON(next && next->start < end);
	bool joins_next = continued_by(next, &k, end, pgoff + PFN(end - start));

	if (continues_at(prev, &k, start, pgoff)) {
		area_resize(mm, prev, prev->start, end);
		prev->flags |= flags & VM_TOUCHED;
		if (joins_next)
			swallow_next(mm, prev);
		return prev;
	}
	if (joins_next) {
		area_resize(mm, next, start, next->end);
		next->flags |= flags & VM_TOUCHED;
		return next;
	}
	struct vm_area *v = vma_alloc(mm, start, end, flags, file, pgoff);

	if (!v)
		return NULL;
	tree_insert(mm, v, next);
	count_area(mm, v, 1);
	return v;
}

/* Cut [start, end) out of v; on failure everything is as before. */
static int isolate(struct mm *mm, struct vm_area **v, vaddr_t start, vaddr_t end)
{
	struct vm_area *mid = *v, *rest;
	int err = 0;

	if (start > mid->start)
		err = split_vma(mm, mid, start, &mid);
	if (!err && end < mid->end)
		err = split_vma(mm, mid, end, &rest);
	if (err && mid != *v)
		swallow_next(mm, *v);
	if (!err)
		*v = mid;
	return err;
}

int area_modify(struct mm *mm, struct vm_area *v, vaddr_t start, vaddr_t end, uint32_t flags, struct vm_area **ret_v)
{
	struct vm_area *prev = list_prev_area(v), *next = vma_next(v);
	struct kind k = kind_of(v);

	SF_MISUSE(start < v->start || end > v->end || start >= end);
	*ret_v = v;
	if (flags == v->flags)
		return 0;
	area_note_touched(mm, v);
	k.flags = flags |= v->flags & VM_TOUCHED;
	if ((v->flags ^ flags) & VM_LENT)
		k.type = type_for(flags, v->file);
	if (start == v->start && end < v->end && continues_at(prev, &k, start, v->pgoff)) {
		area_resize(mm, v, end, v->end); /* only the border moves: nothing to allocate, nothing counted */
		area_resize(mm, prev, prev->start, end);
		prev->flags |= flags & VM_TOUCHED;
		*ret_v = prev;
		return 0;
	}
	if (start > v->start && end == v->end && continued_by(next, &k, end, area_pgoff(v, end))) {
		area_resize(mm, v, v->start, start);
		area_resize(mm, next, start, next->end);
		next->flags |= flags & VM_TOUCHED;
		*ret_v = next;
		return 0;
	}
	int err = isolate(mm, &v, start, end);

	if (err)
		return err;
	area_set_flags(mm, v, flags);
	*ret_v = vma_merge(mm, v);
	return 0;
}

int area_set_policy(struct mm *mm, vaddr_t start, vaddr_t end, uint32_t policy)
{
	struct vm_area *v = find_vma_intersection(mm, start, end);

	for (; v && v->start < end; v = vma_next(v)) {
		int err = v->policy == policy ? 0 : isolate(mm, &v, MAX(v->start, start), MIN(v->end, end));

		if (err)
			return err;
		v->policy = policy;
		v = vma_merge(mm, v);
	}
	return 0;
}

/* ---------------------------------------------------------------- holes */

static vaddr_t hole_start(const struct vm_area *v)
{
	return v->start - gap_below(v);
}

/* Is there room for len in the part of v's hole inside [low, high)? */
static bool hole_fits(struct mm *mm, const struct vm_area *v, uint64_t len, vaddr_t low, vaddr_t high)
{
	vaddr_t lo = MAX(hole_start(v), low), hi = MIN(area_start_gap(mm, v), high);

	return lo < hi && hi - lo >= len;
}

static bool worth(const struct vm_area *v, uint64_t len)
{
	return v && v->max_gap >= len;
}

/* The tree is walked from the right (left for find_gap_up), subtrees without a large enough hole left out, and those
 * beyond high (low) too. */
int64_t find_gap_down(struct mm *mm, uint64_t len, vaddr_t low, vaddr_t high)
{
	struct vm_area *v = RB_ROOT(&mm->tree), *last = TAILQ_LAST(&mm->list, area_list);
	vaddr_t lo = MAX(last ? last->end : 0, low);

	if (lo < high && high - lo >= len)
		return (int64_t)(high - len);
	while (worth(v, len)) {
		if (v->end < high && worth(RB_RIGHT(v, node), len)) {
			v = RB_RIGHT(v, node);
			continue;
		}
		for (;;) { /* the right side is done: v itself, then its left, then up */
			if (hole_fits(mm, v, len, low, high))
				return (int64_t)(MIN(area_start_gap(mm, v), high) - len);
			if (v->start > low && worth(RB_LEFT(v, node), len)) {
				v = RB_LEFT(v, node);
				break;
			}
			struct vm_area *was;

			do {
				was = v;
				v = RB_PARENT(v, node);
				if (!v)
					return -ENOMEM;
			} while (was == RB_LEFT(v, node));
		}
	}
	return -ENOMEM;
}

static int64_t gap_at_top(struct mm *mm, uint64_t len, vaddr_t low, vaddr_t high)
{
	struct vm_area *last = TAILQ_LAST(&mm->list, area_list);
	vaddr_t lo = MAX(last ? last->end : 0, low);

	return lo < high && high - lo >= len ? (int64_t)lo : -ENOMEM;
}

int64_t find_gap_up(struct mm *mm, uint64_t len, vaddr_t low, vaddr_t high)
{
	struct vm_area *v = RB_ROOT(&mm->tree);

	while (worth(v, len)) {
		if (v->start > low && worth(RB_LEFT(v, node), len)) {
			v = RB_LEFT(v, node);
			continue;
		}
		for (;;) {
			if (hole_fits(mm, v, len, low, high))
				return (int64_t)MAX(hole_start(v), low);
			if (v->end < high && worth(RB_RIGHT(v, node), len)) {
				v = RB_RIGHT(v, node);
				break;
			}
			struct vm_area *was;

			do {
				was = v;
				v = RB_PARENT(v, node);
				if (!v)
					return gap_at_top(mm, len, low, high);
			} while (was == RB_RIGHT(v, node));
		}
	}
	return gap_at_top(mm, len, low, high);
}

int64_t get_unmapped_area(struct mm *mm, vaddr_t hint, uint64_t len)
{
	int64_t r;

	len = PAGE_ALIGN(len);
	if (!len || len > mm->task_size)
		return -ENOMEM;
	hint &= PAGE_MASK;
	if (hint && hint <= mm->task_size - len) {
		struct vm_area *v = find_vma(mm, NULL, hint);

		if (!v || hint + len <= area_start_gap(mm, v))
			return (int64_t)hint;
	}
	r = find_gap_down(mm, len, MAX(mm->mmap_min, PAGE_SIZE), mm->mmap_base);
	if (r < 0) /* as a last resort what lies between mmap_base and the top */
		r = find_gap_up(mm, len, PAGE_ALIGN(mm->task_size / 3), mm->task_size);
	return r;
}

/* ---------------------------------------------------------------- names and statistics */

const char *vma_name(struct mm *mm, struct vm_area *v)
{
	if (v->name)
		return v->name;
	if (v->file)
		return v->file->path ? v->file->path : "";
	if (v->flags & VM_SHARED)
		return "/dev/zero (deleted)";
	if (mm->start_brk && v->start < mm->brk && v->end > mm->start_brk)
		return "[heap]";
	if (v->flags & VM_STACK || (v->start <= mm->start_stack && v->end >= mm->start_stack))
		return "[stack]";
	return "";
}

static void stat_name(struct sf_area_stat *st, const char *name)
{
	size_t n = 0, room = sizeof(st->name) - 1;

	if (!*name)
		name = "[anon]";
	while (name[n])
		n++;
	if (n > room) {
		name += n - room; /* the tail tells more */
		n = room;
	}
	memcpy(st->name, name, n);
	st->name[n] = 0;
}

static bool same_name(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return *a == *b;
}

static uint64_t name_hash(const char *s)
{
	uint64_t h = 0;

	while (*s)
		h = (h ^ (uint8_t)*s++) * 0x100000001b3ull;
	return h;
}

/* Parts of a file are known by name, place in the file and length, wherever a process of the tree has mapped them; other areas by their first address,
 * so memory that comes and goes at one place keeps one line.  A full neighbourhood sends the area to line 0. */
uint32_t area_stat(struct mm *mm, struct vm_area *v)
{
	struct sf_area_stat *tab = mm->mc->stats->area;

	if (likely(v->stat)) {
		WRITE_ONCE(tab[v->stat].start, v->start);
		WRITE_ONCE(tab[v->stat].end, v->end);
		return v->stat;
	}
	struct sf_area_stat want = { .start = v->start, .end = v->end };
	stat_name(&want, vma_name(mm, v));
	bool file = want.name[0] == '/';
	uint64_t h = (file ? name_hash(want.name) ^ v->pgoff : PFN(v->start)) * 0x9e3779b97f4a7c15ull >> 32;

	for (unsigned i = 0; i < 16; i++) {
		uint32_t at = (uint32_t)((h + i) % (SF_STAT_AREAS - 1)) + 1;
		struct sf_area_stat *st = &tab[at];
		uint64_t none = 0;

		if (__atomic_compare_exchange_n(&st->end, &none, v->end, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
			WRITE_ONCE(st->start, v->start);
			memcpy(st->name, want.name, sizeof(st->name));
			return v->stat = at;
		}
		if (file ? same_name(st->name, want.name) && st->end - st->start == v->end - v->start : READ_ONCE(st->start) == v->start) {
			memcpy(st->name, want.name, sizeof(st->name)); /* something else may lie here now */
			return v->stat = at;
		}
	}
	return 0;
}

/* ---------------------------------------------------------------- invariants */

static void check_area(struct mm *mm, struct vm_area *v, struct vm_area *prev)
{
	SF_BUG_ON((v->start | v->end) & ~PAGE_MASK || v->start >= v->end || v->end > mm->task_size); /* 1 */
	SF_BUG_ON(prev && prev->end > v->start);
	SF_BUG_ON(v->type != type_for(v->flags, v->file) && v->type != &vm_snap); /* 5 */
	SF_BUG_ON(v->file && !READ_ONCE(v->file->refs));
	SF_BUG_ON(prev && !((v->flags | prev->flags) & VM_GROWSDOWN) && mergeable(prev, v)); /* 6 */
}

/* Black nodes on each way down from v; 2 and 3. */
static unsigned check_node(struct vm_area *v)
{
	struct vm_area *l, *r;
	uint64_t gap;

	if (!v)
		return 1;
	l = RB_LEFT(v, node);
	r = RB_RIGHT(v, node);
	SF_BUG_ON((l && RB_PARENT(l, node) != v) || (r && RB_PARENT(r, node) != v));
	SF_BUG_ON(RB_COLOR(v, node) == RB_RED &&
		  ((l && RB_COLOR(l, node) == RB_RED) || (r && RB_COLOR(r, node) == RB_RED)));
	gap = gap_below(v);
	gap = MAX(gap, l ? l->max_gap : 0);
	gap = MAX(gap, r ? r->max_gap : 0);
	SF_BUG_ON(v->max_gap != gap);
	unsigned black = check_node(l);

	SF_BUG_ON(black != check_node(r));
	return black + (RB_COLOR(v, node) == RB_BLACK);
}

void areas_check(struct mm *mm)
{
	struct mm sum = { 0 };
	struct vm_area *v, *prev = NULL, *in_tree = RB_MIN(area_tree, &mm->tree);

	(void)check_node(RB_ROOT(&mm->tree));
	TAILQ_FOREACH(v, &mm->list, link) {
		check_area(mm, v, prev);
		SF_BUG_ON(v != in_tree); /* 2 */
		in_tree = RB_NEXT(area_tree, &mm->tree, in_tree);
		sum.nr_areas++;
		area_account(&sum, v->flags, (int64_t)area_pages(v));
		prev = v;
	}
	SF_BUG_ON(in_tree);
	SF_BUG_ON(sum.nr_areas != mm->nr_areas || sum.total_vm != mm->total_vm); /* 4 */
	SF_BUG_ON(sum.data_vm != mm->data_vm || sum.stack_vm != mm->stack_vm || sum.exec_vm != mm->exec_vm);
	SF_BUG_ON(sum.shared_vm != mm->shared_vm || sum.locked_vm != mm->locked_vm || sum.account_vm != mm->account_vm || sum.hidden_vm != mm->hidden_vm);
}
