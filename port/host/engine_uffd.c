/* SPDX-License-Identifier: MIT */
/* engine_uffd.c - private memory by userfaultfd, faults reported as SIGBUS
 *
 *   absent    no host page: a touch is a missing-page fault
 *   visible   a host page; not writable means write-protected by userfaultfd
 *   hidden    the host page lies in the arena; its name is its slot there, the top bit tells the executable arena
 *
 * The program's ranges are readable and writable host mappings (executable too where asked) whatever the program's own
 * permissions, so they never split by page.
 *
 *   fill   UFFDIO_COPY, with write-protection if need be (UFFDIO_ZEROPAGE knows none)
 *   hide   UFFDIO_MOVE into the arena, which takes the page away atomically; where the host refuses (older than 6.8, pages
 *          shared by fork): write-protect, UFFDIO_COPY into the arena, MADV_DONTNEED
 *   show   UFFDIO_MOVE back if it may be written, for a move loses write-protection; else UFFDIO_COPY with
 *          write-protection, and the arena's page becomes stale
 *
 * MOVE wants mappings of equal permissions on both sides, hence two arenas.  Stale arena pages are given back to the host in
 * batches; until then there may be STALE_PAGES pages more than the core counts.
 * userfaultfd's calls work within one host mapping, and neighbouring ranges are sometimes two: a refused call is tried again
 * by halves. */
#include "port/host/host_priv.h"

#define BYTES(n) ((uint64_t)(n) << PAGE_SHIFT)
#define HID_EXEC 0x80000000u
#define MAX_SLOTS 0x7fff0000u
#define PATIENCE 100000 /* times that the host may say "again" without any progress */

/* ---------------------------------------------------------------- the host's calls, made whole
 *
 * Each works on n pages and stops at the first that fails; *ret_done pages were done. */

struct uffd_step { uint64_t done, step; unsigned again; };

static int uffd_ioctl(struct host_port *hp, unsigned long what, void *arg)
{
	return (int)hp_call(hp, __NR_ioctl, hp->uffd, what, arg);
}

static void step_start(struct uffd_step *s, uint64_t n)
{
	*s = (struct uffd_step){ .step = n };
}

/* Digest one call's result: its error and the bytes it says were done.  False: give up with err. */
static bool step_next(struct uffd_step *s, uint64_t n, int err, int64_t bytes)
{
	if (!err || bytes > 0) {
		s->done += err ? (uint64_t)bytes >> PAGE_SHIFT : s->step;
		s->step = n - s->done;
		s->again = 0;
		return true;
	}
	if (err == -EAGAIN)
		return ++s->again < PATIENCE;
	if ((err == -ENOENT || err == -EINVAL) && s->step > 1) {
		s->step = (s->step + 1) / 2;
		return true;
	}
	return false;
}

static int copy_pages(struct host_port *hp, vaddr_t dst, vaddr_t src, uint64_t n, bool wp, uint64_t *ret_done)
{
	struct uffd_step s;
	int r = 0;

	for (step_start(&s, n); s.done < n;) {
		struct uffdio_copy c = {
			.dst = dst + BYTES(s.done), .src = src + BYTES(s.done), .len = BYTES(s.step),
			.mode = UFFDIO_COPY_MODE_DONTWAKE | (wp ? UFFDIO_COPY_MODE_WP : 0),
		};

		r = uffd_ioctl(hp, UFFDIO_COPY, &c);
		if (!step_next(&s, n, r, c.copy))
			break;
		r = 0;
	}
	*ret_done = s.done;
	return r;
}

static int move_pages(struct host_port *hp, vaddr_t dst, vaddr_t src, uint64_t n, uint64_t *ret_done)
{
	struct uffd_step s;
	int r = 0;

	*ret_done = 0;
	if (!hp->can_move)
		return -EOPNOTSUPP;
	for (step_start(&s, n); s.done < n;) {
		struct uffdio_move m = {
			.dst = dst + BYTES(s.done), .src = src + BYTES(s.done), .len = BYTES(s.step),
			.mode = UFFDIO_MOVE_MODE_DONTWAKE,
		};

		r = uffd_ioctl(hp, UFFDIO_MOVE, &m);
		if (!step_next(&s, n, r, m.move))
			break;
		r = 0;
	}
	*ret_done = s.done;
	return r;
}

static int write_protect(struct host_port *hp, vaddr_t va, uint64_t n, bool on)
{
	struct uffd_step s;

	for (step_start(&s, n); s.done < n;) {
		struct uffdio_writeprotect w = {
			.range = { .start = va + BYTES(s.done), .len = BYTES(s.step) },
			.mode = on ? UFFDIO_WRITEPROTECT_MODE_WP : UFFDIO_WRITEPROTECT_MODE_DONTWAKE,
		};
		int r = uffd_ioctl(hp, UFFDIO_WRITEPROTECT, &w);

		if (!step_next(&s, n, r, 0))
			return r;
	}
	return 0;
}

/* Tried twice: nothing can be done about a host that cannot take pages back. */
static int discard(struct host_port *hp, vaddr_t va, uint64_t n)
{
	int64_t r = hp_call(hp, __NR_madvise, va, BYTES(n), MADV_DONTNEED);

	return r ? (int)hp_call(hp, __NR_madvise, va, BYTES(n), MADV_DONTNEED) : 0;
}

/* Write-protection as the table says it should be, after an attempt that failed. */
static void restore_prot(struct host_port *hp, vaddr_t va, uint64_t n)
{
	uint64_t pfn = PFN(va), end = pfn + n, first, len;
	uint8_t byte;

	for (; (len = pm_run(&hp->pm, pfn, end, PM_VIS, &first, &byte)); pfn = first + len)
		SF_BUG_ON(write_protect(hp, PVA(first), len, !(byte & PT_W)));
}

/* ---------------------------------------------------------------- the arena */

static struct arena *arena_of(struct host_port *hp, hid_t hid)
{
	return &hp->arena[!!(hid & HID_EXEC)];
}

static vaddr_t slot_va(struct host_port *hp, hid_t hid)
{
	return arena_of(hp, hid)->base + BYTES(hid & ~HID_EXEC);
}

static bool slot_used(const struct arena *a, uint32_t slot)
{
	return a->map[slot / 64] >> (slot % 64) & 1;
}

static void slots_mark(struct arena *a, uint32_t slot, uint32_t n, bool used)
{
	for (uint32_t i = slot; i < slot + n; i++)
		if (used)
			a->map[i / 64] |= 1ull << (i % 64);
		else
			a->map[i / 64] &= ~(1ull << (i % 64));
	a->used += used ? n : -n;
	if (!used && a->cursor > 2 * a->used + 64) /* keep to the low end, so page tables stay few */
		a->cursor = 0;
}

/* n free slots in a row in [from, to), or MAX_SLOTS. */
static uint32_t find_slots(const struct arena *a, uint32_t from, uint32_t to, uint32_t n)
{
	uint32_t run = 0;

	for (uint32_t i = from; i < to; i++) {
		if (!(i % 64) && !run && a->map[i / 64] == UINT64_MAX) {
			i += 63;
			continue;
		}
		run = slot_used(a, i) ? 0 : run + 1;
		if (run == n)
			return i + 1 - n;
	}
	return MAX_SLOTS;
}

static uint32_t take_slots(struct arena *a, uint32_t n)
{
	uint32_t slot = find_slots(a, a->cursor, a->slots, n);

	if (slot == MAX_SLOTS)
		slot = find_slots(a, 0, MIN(a->slots, a->cursor + n), n);
	if (slot == MAX_SLOTS)
		return MAX_SLOTS;
	slots_mark(a, slot, n, true);
	a->cursor = slot + n;
	return slot;
}

static void give_slots(struct host_port *hp, hid_t first, uint32_t n)
{
	slots_mark(arena_of(hp, first), first & ~HID_EXEC, n, false);
}

/* One call for all stale ranges where the host can (6.15), else one each. */
static bool discard_stale_at_once(struct host_port *hp)
{
	struct { uint64_t base, len; } iov[STALE_MAX];
	uint64_t total = 0;

	if (hp->no_batches || hp->nr_stale < 2)
		return false;
	for (unsigned i = 0; i < hp->nr_stale; i++) {
		iov[i].base = slot_va(hp, hp->stale[i].first);
		iov[i].len = BYTES(hp->stale[i].n);
		total += iov[i].len;
	}
	int64_t r = hp_call(hp, __NR_process_madvise, PIDFD_SELF, iov, hp->nr_stale, MADV_DONTNEED, 0);

	hp->no_batches = r == -EBADF || r == -EINVAL || r == -ENOSYS || r == -EPERM;
	return r == (int64_t)total;
}

static void flush_stale(struct host_port *hp)
{
	bool gone = discard_stale_at_once(hp);

	for (unsigned i = 0; i < hp->nr_stale; i++) {
		struct stale *s = &hp->stale[i];

		if (gone || !discard(hp, slot_va(hp, s->first), s->n))
			give_slots(hp, s->first, s->n); /* else the slots stay taken for ever */
	}
	hp->nr_stale = hp->stale_pages = 0;
}

static void add_stale(struct host_port *hp, hid_t first, uint32_t n)
{
	struct stale *last = hp->nr_stale ? &hp->stale[hp->nr_stale - 1] : NULL;

	if (last && last->first + last->n == first)
		last->n += n;
	else if (last && first + n == last->first)
		*last = (struct stale){ first, last->n + n };
	else
		hp->stale[hp->nr_stale++] = (struct stale){ first, n };
	hp->stale_pages += n;
	if (hp->nr_stale == STALE_MAX || hp->stale_pages >= STALE_PAGES)
		flush_stale(hp);
}

static bool arena_ready(struct host_port *hp, bool exec);

/* Names for n pages to be hidden from va.  false: the arena has no such run. */
static bool take_names(struct host_port *hp, vaddr_t va, uint32_t n, hid_t *ret)
{
	bool exec = pm_get(&hp->pm, PFN(va)) & PM_X;
	struct arena *a = &hp->arena[exec];
	uint32_t slot;

	if (!arena_ready(hp, exec))
		return false;
	slot = take_slots(a, n);
	if (slot == MAX_SLOTS && hp->nr_stale) {
		flush_stale(hp);
		slot = take_slots(a, n);
	}
	if (slot == MAX_SLOTS)
		return false;
	*ret = slot | (exec ? HID_EXEC : 0);
	return true;
}

/* ---------------------------------------------------------------- ranges */

static int register_range(struct host_port *hp, vaddr_t va, uint64_t n)
{
	struct uffdio_register r = {
		.range = { .start = va, .len = BYTES(n) },
		.mode = UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_WP,
	};

	return uffd_ioctl(hp, UFFDIO_REGISTER, &r);
}

static unsigned range_prot(bool exec)
{
	return PROT_READ | PROT_WRITE | (exec ? PROT_EXEC : 0);
}

/* PROT_NONE until it is registered, so that no touch can ever find the host's own zeros there; unless nobody else is there to touch. */
static int map_range(struct host_port *hp, vaddr_t va, uint64_t n, bool exec)
{
	const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED;
	const bool alone = hp->cfg.alone;
	int64_t r = hp_call(hp, __NR_mmap, va, BYTES(n), alone ? range_prot(exec) : PROT_NONE, flags, -1, 0);

	if (r != (int64_t)va)
		return (int)r;
	if (!hp->cfg.no_huge)
		hp_call(hp, __NR_madvise, va, BYTES(n), MADV_NOHUGEPAGE);
	r = register_range(hp, va, n);
	if (!r && !alone)
		r = hp_call(hp, __NR_mprotect, va, BYTES(n), range_prot(exec));
	if (r)
		hp_unmap(hp, va, BYTES(n));
	return (int)r;
}

/* On failure after the host has mapped the range, the range is left as if released. */
static int uffd_reserve(struct port *p, vaddr_t va, size_t n, bool exec)
{
	struct host_port *hp = to_host(p);
	int r = exec ? pm_prepare(hp, PFN(va), n) : 0;

	if (!r)
		r = map_range(hp, va, n, exec);
	if (r)
		return r == -EAGAIN ? -ENOMEM : r;
	if (exec)
		pm_set(hp, PFN(va), n, 0, PM_X);
	else
		pm_clear(hp, PFN(va), n);
	hp_maps_changed(hp, 2);
	return 0;
}

/* A host that has no mapping left to split with cannot unmap: then the range stays registered and becomes absent.  Shared
 * mappings go out of sight; their visible runs are borders already. */
static void make_absent(struct host_port *hp, vaddr_t va, uint64_t n)
{
	uint64_t pfn = PFN(va), end = pfn + n, first, len;
	uint8_t byte;

	for (; (len = pm_run(&hp->pm, pfn, end, PM_SHARED, &first, &byte)); pfn = first + len)
		if (hp_call(hp, __NR_mprotect, PVA(first), BYTES(len), PROT_NONE))
			SF_BUG_ON(hp_call(hp, __NR_mprotect, PVA(first), BYTES(len), PROT_NONE));
	discard(hp, va, n);
}

/* If the host refuses half-way nothing is there, and the next attempt begins anew. */
static int uffd_unplace(struct port *p, vaddr_t va, size_t n)
{
	struct host_port *hp = to_host(p);
	int r = map_range(hp, va, n, false);

	if (r)
		return r;
	pm_set(hp, PFN(va), n, 0, 0);
	hp_maps_changed(hp, 0);
	return 0;
}

static void uffd_release(struct port *p, vaddr_t va, size_t n)
{
	struct host_port *hp = to_host(p);

	if (hp_unmap(hp, va, BYTES(n)))
		make_absent(hp, va, n);
	pm_clear(hp, PFN(va), n);
	hp_maps_changed(hp, 1);
}

static int uffd_set_exec(struct port *p, vaddr_t va, size_t n, bool exec)
{
	struct host_port *hp = to_host(p);
	int r = exec ? pm_prepare(hp, PFN(va), n) : 0;

	if (!r)
		r = (int)hp_call(hp, __NR_mprotect, va, BYTES(n), range_prot(exec));
	if (r)
		return r;
	pm_set(hp, PFN(va), n, (uint8_t)~PM_X, exec ? PM_X : 0);
	hp_maps_changed(hp, 2);
	return 0;
}

/* ---------------------------------------------------------------- visible pages */

static void note_visible(struct host_port *hp, vaddr_t va, uint64_t n, unsigned prot)
{
	pm_set(hp, PFN(va), n, PM_X, (uint8_t)(PM_VIS | (prot & (PT_R | PT_W))));
}

static int fill_from(struct host_port *hp, vaddr_t va, uint64_t n, const void *src, bool wp, uint64_t *ret_done)
{
	uint64_t chunk, got;
	int r = 0;

	if (src)
		return copy_pages(hp, va, (vaddr_t)src, n, wp, ret_done);
	for (*ret_done = 0; *ret_done < n && !r; *ret_done += got) {
		chunk = MIN(n - *ret_done, ZERO_PAGES);
		r = copy_pages(hp, va + BYTES(*ret_done), (vaddr_t)hp->zeros, chunk, wp, &got);
	}
	return r;
}

static int uffd_fill(struct port *p, vaddr_t va, size_t n, const void *src, unsigned prot)
{
	struct host_port *hp = to_host(p);
	uint64_t done;
	int r;

	if (pm_prepare(hp, PFN(va), n))
		return -ENOMEM;
	r = fill_from(hp, va, n, src, !(prot & PT_W), &done);
	if (r) {
		if (done)
			SF_BUG_ON(discard(hp, va, done));
		return -ENOMEM;
	}
	note_visible(hp, va, n, prot);
	return 0;
}

static int uffd_protect(struct port *p, vaddr_t va, size_t n, unsigned prot)
{
	struct host_port *hp = to_host(p);
	int r = write_protect(hp, va, n, !(prot & PT_W));

	if (!r)
		note_visible(hp, va, n, prot);
	else
		restore_prot(hp, va, n);
	return r;
}

/* The host passes over what is absent. */
static int uffd_write_protect(struct port *p, vaddr_t va, size_t n)
{
	struct host_port *hp = to_host(p);
	uint64_t pfn = PFN(va), end = pfn + n, first, len;
	int r = write_protect(hp, va, n, true);
	uint8_t byte;

	if (r) {
		restore_prot(hp, va, n);
		return r;
	}
	for (; (len = pm_run(&hp->pm, pfn, end, PT_W, &first, &byte)); pfn = first + len)
		pm_set(hp, first, len, (uint8_t)~PT_W, 0);
	return 0;
}

static int uffd_drop(struct port *p, vaddr_t va, size_t n)
{
	struct host_port *hp = to_host(p);
	int r = discard(hp, va, n);

	if (!r)
		pm_set(hp, PFN(va), n, PM_X, 0);
	return r;
}

/* ---------------------------------------------------------------- hide, show, move */

/* src -> dst by copying; src is absent afterwards.  0, or -errno with nothing changed. */
static int transfer_by_copy(struct host_port *hp, vaddr_t dst, vaddr_t src, uint64_t n, bool dst_wp)
{
	uint64_t done = 0;
	int r = write_protect(hp, src, n, true);

	if (!r)
		r = copy_pages(hp, dst, src, n, dst_wp, &done);
	if (!r)
		r = discard(hp, src, n);
	if (!r)
		return 0;
	if (done)
		SF_BUG_ON(discard(hp, dst, done));
	restore_prot(hp, src, n);
	return r;
}

/* src -> dst as the host can; dst is writable afterwards (unless dst_wp).  0, or -errno with nothing changed, but for pages whose
 * contents are back at src write-protected. */
static int transfer(struct host_port *hp, vaddr_t dst, vaddr_t src, uint64_t n, bool dst_wp)
{
	uint64_t done = 0, undone;
	int r = dst_wp ? -EOPNOTSUPP : move_pages(hp, dst, src, n, &done);

	if (!r)
		return 0;
	r = transfer_by_copy(hp, dst + BYTES(done), src + BYTES(done), n - done, dst_wp);
	if (!r || !done)
		return r;
	/* back again: by copying, for it can be write-protected at once, and a move would not be */
	SF_BUG_ON(copy_pages(hp, src, dst, done, true, &undone));
	SF_BUG_ON(discard(hp, dst, done));
	restore_prot(hp, src, done);
	return r;
}

static int uffd_hide(struct port *p, vaddr_t va, size_t n, hid_t *ret_first)
{
	struct host_port *hp = to_host(p);
	hid_t first;

	if (n > MAX_SLOTS || !take_names(hp, va, (uint32_t)n, &first))
		return -EAGAIN;
	if (transfer(hp, slot_va(hp, first), va, n, false)) {
		give_slots(hp, first, (uint32_t)n);
		return -EAGAIN;
	}
	pm_set(hp, PFN(va), n, PM_X, 0);
	*ret_first = first;
	return 0;
}

/* The arena's pages stay until the copies are complete; nobody can write the copies before that, so giving up loses nothing. */
static int show_by_copy(struct host_port *hp, vaddr_t va, hid_t first, uint64_t n, bool writable)
{
	uint64_t done;
	int r = copy_pages(hp, va, slot_va(hp, first), n, true, &done);

	if (!r && writable)
		r = write_protect(hp, va, n, false);
	if (!r) {
		add_stale(hp, first, (uint32_t)n);
		return 0;
	}
	if (done)
		SF_BUG_ON(discard(hp, va, done));
	return r;
}

static int uffd_show(struct port *p, vaddr_t va, hid_t first, size_t n, unsigned prot)
{
	struct host_port *hp = to_host(p);
	uint64_t done = 0;
	int r = pm_prepare(hp, PFN(va), n);

	if (r)
		return r;
	if (prot & PT_W)
		r = move_pages(hp, va, slot_va(hp, first), n, &done);
	if (r || !(prot & PT_W))
		r = show_by_copy(hp, va + BYTES(done), first + (hid_t)done, n - done, prot & PT_W);
	if (r) {
		if (done)
			SF_BUG_ON(transfer(hp, slot_va(hp, first), va, done, false));
		return r;
	}
	if (done)
		give_slots(hp, first, (uint32_t)done);
	note_visible(hp, va, n, prot);
	return 0;
}

static int uffd_read_hidden(struct port *p, vaddr_t va, hid_t first, size_t n, void *dst)
{
	memcpy(dst, (const void *)slot_va(to_host(p), first), BYTES(n));
	return 0;
}

static const void *uffd_peek(struct port *p, vaddr_t va, hid_t hid)
{
	return (const void *)slot_va(to_host(p), hid);
}

static int uffd_drop_hidden(struct port *p, vaddr_t va, hid_t first, size_t n)
{
	add_stale(to_host(p), first, (uint32_t)n);
	return 0;
}

#define MOVE_CHUNK 64u /* pages that may be in memory twice for a moment */

/* Visible runs one after the other; hidden pages lie in the arena and need nothing. */
static int move_runs(struct host_port *hp, uint64_t from, uint64_t to, uint64_t n, uint64_t *ret_done)
{
	uint64_t at = from, first, len;
	uint8_t byte;

	*ret_done = 0;
	while ((len = pm_run(&hp->pm, at, from + n, PM_VIS, &first, &byte))) {
		uint64_t dst = to + (first - from);
		int r;

		len = MIN(len, MOVE_CHUNK);
		r = transfer(hp, PVA(dst), PVA(first), len, !(byte & PT_W));
		if (r)
			return r;
		pm_set(hp, dst, len, PM_X, byte & (uint8_t)~PM_X);
		pm_set(hp, first, len, PM_X, 0);
		at = first + len;
		*ret_done = at - from;
	}
	return 0;
}

static int uffd_move(struct port *p, vaddr_t from, vaddr_t to, size_t n)
{
	struct host_port *hp = to_host(p);
	uint64_t done, undone;
	int r = pm_prepare(hp, PFN(to), n);

	if (r)
		return r;
	r = move_runs(hp, PFN(from), PFN(to), n, &done);
	if (r && done)
		SF_BUG_ON(move_runs(hp, PFN(to), PFN(from), done, &undone));
	return r;
}

/* ---------------------------------------------------------------- the arena's beginning and end */

static uint64_t most_pages(struct host_port *hp)
{
	uint64_t info[14] = { 0 }; /* struct sysinfo: word 4 totalram, last quarter word mem_unit */

	if (hp->cfg.bound_pages)
		return hp->cfg.bound_pages;
	if (host_call1(__NR_sysinfo, info) || !info[4])
		return 1u << 20;
	return info[4] * MAX((uint32_t)info[13], 1u) >> PAGE_SHIFT;
}

/* Twice the pages that can be in memory, so that runs are found; untouched slots cost nothing.  A host that counts every
 * mapping against its memory may refuse so much. */
static int arena_map(struct host_port *hp, struct arena *a, bool exec)
{
	uint64_t pages = most_pages(hp);
	void *mem = NULL;

	pages = MIN(2 * pages + 1024, (uint64_t)MAX_SLOTS) & ~63ull;
	pages = MIN(pages, (hp->own.hi - hp->own.next) >> (PAGE_SHIFT + 2) & ~63ull);
	for (; pages >= 1024 && !mem; pages = mem ? pages : pages / 2 & ~63ull)
		mem = own_alloc(hp, BYTES(pages), (int)range_prot(exec));
	if (!mem)
		return -ENOMEM;
	a->base = (vaddr_t)mem;
	a->slots = (uint32_t)pages;
	a->map = own_alloc(hp, pages / 8, PROT_READ | PROT_WRITE);
	return a->map ? 0 : -ENOMEM;
}

static void arena_close(struct host_port *hp, struct arena *a)
{
	if (a->base)
		own_free(hp, (void *)a->base, BYTES(a->slots));
	if (a->map)
		own_free(hp, a->map, a->slots / 8);
	*a = (struct arena){ 0 };
}

static int arena_open(struct host_port *hp, bool exec)
{
	struct arena *a = &hp->arena[exec];
	int r = a->base ? 0 : arena_map(hp, a, exec);

	if (r) {
		arena_close(hp, a);
		return r;
	}
	r = register_range(hp, a->base, a->slots);
	a->registered = !r;
	return r;
}

/* Many a process ends before it hides its first page: the arenas, and their registration after fork, wait for that. */
static bool arena_ready(struct host_port *hp, bool exec)
{
	if (likely(hp->arena[exec].registered))
		return true;
	if (arena_open(hp, exec))
		return false;
	hp_maps_changed(hp, 4);
	return true;
}


static void uffd_close(struct host_port *hp)
{
	for (int i = 0; i < 2; i++)
		arena_close(hp, &hp->arena[i]);
	if (hp->zeros)
		own_free(hp, hp->zeros, BYTES(ZERO_PAGES));
	if (hp->uffd >= 0)
		host_call1(__NR_close, hp->uffd);
	hp->zeros = NULL;
	hp->uffd = -1;
}

/* The host fills in its zero page, which costs no memory, as it reads them.  Where addresses are scarce the arenas' are taken at once. */
static int tables_open(struct host_port *hp)
{
	int r = 0;

	hp->zeros = own_alloc(hp, BYTES(ZERO_PAGES), PROT_READ);
	if (!hp->zeros)
		return -ENOMEM;
	for (int i = 0; i < 2 && !r && (hp->cfg.reserved || hp->cfg.scarce); i++)
		r = arena_open(hp, i);
	return r;
}

static int open_descriptor(struct host_port *hp)
{
	struct uffd_open u;
	int r = uffd_try_open(&u);

	if (r)
		return r;
	hp->uffd = hp_keep_fd(hp, u.fd);
	hp->can_move = u.features & UFFD_FEATURE_MOVE;
	return hp->uffd < 0 ? hp->uffd : 0;
}

/* ---------------------------------------------------------------- fork
 *
 * Registration and write-protection are not inherited: until it has both again the child would read absent pages as zeros. */

static int uffd_fork_child(struct port *p, bool shares_files)
{
	struct host_port *hp = to_host(p);
	int r = 0;

	if (!shares_files)
		host_call1(__NR_close, hp->uffd);
	r = open_descriptor(hp);
	for (int i = 0; i < 2 && !r; i++) {
		hp->arena[i].registered = false;
		if (hp->arena[i].used)
			r = arena_open(hp, i);
	}
	return r;
}

/* Protect all from pfn up to the next page that may be written; what is absent does not mind.  Returns where that page's run ends. */
static uint64_t protect_stretch(struct host_port *hp, uint64_t pfn, uint64_t end, int *ret_err)
{
	uint64_t at = pfn, stop = end, next = end, first, len;
	bool any = false;
	uint8_t byte;

	for (; (len = pm_run(&hp->pm, at, end, PM_VIS, &first, &byte)); at = first + len) {
		if (byte & PT_W) {
			stop = first;
			next = first + len;
			break;
		}
		any = true;
	}
	*ret_err = any ? write_protect(hp, PVA(pfn), stop - pfn, true) : 0;
	return next;
}

static int uffd_fork_range(struct port *p, vaddr_t va, size_t n)
{
	struct host_port *hp = to_host(p);
	uint64_t pfn = PFN(va), end = pfn + n;
	int r = register_range(hp, va, n);

	while (!r && pfn < end)
		pfn = protect_stretch(hp, pfn, end, &r);
	return r;
}

/* ---------------------------------------------------------------- open and close */

static int uffd_open_engine(struct host_port *hp, const char **ret_why)
{
	struct uffd_open u;
	int r = hp->cfg.host_touch ? uffd_try_open_touch(&u) : uffd_try_open(&u);

	if (r) {
		*ret_why = r == -EPERM ? "userfaultfd: not permitted" : r == -ENOSYS ? "userfaultfd: the host kernel has none" :
			   r == -EINVAL ? "userfaultfd: no SIGBUS mode or no write-protect" : "userfaultfd: does not open";
		return hp->cfg.host_touch && r == -EPERM ? r : -ENODEV;
	}
	hp->uffd = hp_keep_fd(hp, u.fd);
	hp->can_move = u.features & UFFD_FEATURE_MOVE;
	r = hp->uffd < 0 ? hp->uffd : tables_open(hp);
	if (r) {
		*ret_why = "userfaultfd: no memory for the arena";
		uffd_close(hp);
		return r;
	}
	hp->port.cluster = 16;
	return 0;
}

/* ---------------------------------------------------------------- faults as messages */

int host_port_uffd(struct port *p)
{
	return to_host(p)->uffd;
}

void host_port_wake(struct port *p, vaddr_t va)
{
	struct uffdio_range r = { .start = va & PAGE_MASK, .len = PAGE_SIZE };

	uffd_ioctl(to_host(p), UFFDIO_WAKE, &r);
}

int host_port_bar(struct port *p, vaddr_t va, bool barred)
{
	struct host_port *hp = to_host(p);
	bool exec = pm_get(&hp->pm, PFN(va)) & PM_X;

	return (int)hp_call(hp, __NR_mprotect, va & PAGE_MASK, PAGE_SIZE, barred ? PROT_NONE : range_prot(exec));
}

const struct host_engine_ops uffd_engine = { .open = uffd_open_engine, .close = uffd_close };

const struct port_ops uffd_port_ops = {
	.name = "uffd",
	.reserve = uffd_reserve,
	.release = uffd_release,
	.set_exec = uffd_set_exec,
	.fill = uffd_fill,
	.protect = uffd_protect,
	.write_protect = uffd_write_protect,
	.hide = uffd_hide,
	.show = uffd_show,
	.read_hidden = uffd_read_hidden,
	.peek = uffd_peek,
	.drop = uffd_drop,
	.drop_hidden = uffd_drop_hidden,
	.move = uffd_move,
	.fork_child = uffd_fork_child,
	.fork_range = uffd_fork_range,
	.unplace = uffd_unplace,
	HP_COMMON_OPS,
};
