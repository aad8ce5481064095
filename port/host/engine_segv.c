/* SPDX-License-Identifier: MIT */
/* engine_segv.c - private memory by mprotect and SIGSEGV: works wherever /proc is
 *
 *   absent    PROT_NONE, no host page
 *   visible   R, RW, RX, RWX
 *   hidden    PROT_NONE, the host page stays where it is; its name is the low half of its page number
 *
 * A page is filled through /proc/self/mem, which writes through PROT_NONE, and only then made visible, so no
 * thread ever sees it half filled.  Zeros need no write: the host's own first touch gives them.
 *
 * Each border between different permissions costs a host mapping, and at vm.max_map_count everything fails, munmap too.
 * So what makes new borders is refused with -ENOMEM while some are still kept back, and what removes pages may use those.
 * For neighbours to merge again they must belong to one anon_vma in the host, which a range gets as a whole with its
 * first page: prime(). */
#include "port/host/host_priv.h"

#define BYTES(n) ((uint64_t)(n) << PAGE_SHIFT)
#define HIDE_EXTRA 8
#define PRIME_PAGES 16 /* smaller ranges cannot make many mappings */

static int set_prot(struct host_port *hp, vaddr_t va, size_t n, unsigned prot)
{
	return (int)hp_call(hp, __NR_mprotect, va, BYTES(n), prot);
}

/* Tried twice: nothing can be done about a host that cannot take pages back. */
static int discard(struct host_port *hp, vaddr_t va, size_t n)
{
	int64_t r = hp_call(hp, __NR_madvise, va, BYTES(n), MADV_DONTNEED);

	return r ? (int)hp_call(hp, __NR_madvise, va, BYTES(n), MADV_DONTNEED) : 0;
}

/* The byte of a page with this permission; executability belongs to the range. */
static uint8_t byte_for(struct host_port *hp, vaddr_t va, unsigned prot)
{
	return (uint8_t)((pm_get(&hp->pm, PFN(va)) & PM_X) | PM_VIS | (prot & (PT_R | PT_W)));
}

/* Make n pages visible with prot, if the host has mappings left for it. */
static int make_visible(struct host_port *hp, vaddr_t va, size_t n, unsigned prot)
{
	uint8_t byte = byte_for(hp, va, prot);
	int r;

	if (!hp_maps_room(hp, pm_delta(&hp->pm, PFN(va), n, byte)))
		return -ENOMEM;
	r = set_prot(hp, va, n, byte & PM_PROT);
	if (r)
		return r;
	pm_set(hp, PFN(va), n, 0, byte);
	hp_maps_changed(hp, 0);
	return 0;
}

static int make_invisible(struct host_port *hp, vaddr_t va, size_t n)
{
	int r = set_prot(hp, va, n, PROT_NONE);

	if (r)
		return r;
	pm_set(hp, PFN(va), n, PM_X, 0);
	hp_maps_changed(hp, 0);
	return 0;
}

/* Bytes through /proc/self/mem; 0 or -errno. */
static int mem_io(struct host_port *hp, long nr, vaddr_t va, uint64_t len, char *buf)
{
	while (len) {
		int64_t r = hp_call(hp, nr, hp->mem_fd, buf, len, va);

		if (r == -EINTR)
			continue;
		if (r <= 0)
			return r ? (int)r : -EIO;
		va += (uint64_t)r;
		buf += r;
		len -= (uint64_t)r;
	}
	return 0;
}

static void prime(struct host_port *hp, vaddr_t va)
{
	if (hp_call(hp, __NR_pwrite64, hp->mem_fd, "", 1, va) == 1)
		discard(hp, va, 1);
}

/* On failure after the host has mapped the range, the range is left as if released. */
static int segv_reserve(struct port *p, vaddr_t va, size_t n, bool exec)
{
	const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED;
	struct host_port *hp = to_host(p);
	int64_t r;

	if (exec && pm_prepare(hp, PFN(va), n))
		return -ENOMEM;
	r = hp_call(hp, __NR_mmap, va, BYTES(n), PROT_NONE, flags, -1, 0);
	if (r != (int64_t)va)
		return (int)r;
	if (!hp->cfg.no_huge)
		hp_call(hp, __NR_madvise, va, BYTES(n), MADV_NOHUGEPAGE);
	if (n >= PRIME_PAGES)
		prime(hp, va);
	if (exec)
		pm_set(hp, PFN(va), n, 0, PM_X);
	else
		pm_clear(hp, PFN(va), n);
	hp_maps_changed(hp, 2);
	return 0;
}

/* For a host that has no mapping left to split with: the range stays mapped, but nothing of it can be seen. */
static void make_absent(struct host_port *hp, uint64_t pfn, uint64_t end)
{
	uint64_t first, len;
	uint8_t byte;

	for (; (len = pm_run(&hp->pm, pfn, end, PM_VIS | PM_SHARED, &first, &byte)); pfn = first + len)
		SF_BUG_ON(set_prot(hp, PVA(first), len, PROT_NONE) && set_prot(hp, PVA(first), len, PROT_NONE));
}

static int segv_unplace(struct port *p, vaddr_t va, size_t n)
{
	struct host_port *hp = to_host(p);
	int64_t r = hp_call(hp, __NR_mmap, va, BYTES(n), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);

	if (r != (int64_t)va)
		return (int)r;
	if (!hp->cfg.no_huge)
		hp_call(hp, __NR_madvise, va, BYTES(n), MADV_NOHUGEPAGE);
	pm_set(hp, PFN(va), n, 0, 0);
	hp_maps_changed(hp, 0);
	return 0;
}

static void segv_release(struct port *p, vaddr_t va, size_t n)
{
	struct host_port *hp = to_host(p);

	if (hp_unmap(hp, va, BYTES(n))) {
		make_absent(hp, PFN(va), PFN(va) + n);
		discard(hp, va, n);
	}
	pm_clear(hp, PFN(va), n);
	hp_maps_changed(hp, 1);
}

/* Visible pages of the range get the new permission run by run. */
static int exec_runs(struct host_port *hp, uint64_t pfn, uint64_t end, bool exec, uint64_t *ret_stop)
{
	uint64_t first, len;
	uint8_t byte;

	*ret_stop = pfn;
	while ((len = pm_run(&hp->pm, pfn, end, PM_VIS, &first, &byte))) {
		unsigned prot = exec ? (byte & PM_PROT) | PT_X : byte & (PT_R | PT_W);
		int r = set_prot(hp, PVA(first), len, prot);

		if (r)
			return r;
		*ret_stop = pfn = first + len;
	}
	return 0;
}

static int segv_set_exec(struct port *p, vaddr_t va, size_t n, bool exec)
{
	struct host_port *hp = to_host(p);
	uint64_t stop;
	int r = exec ? pm_prepare(hp, PFN(va), n) : 0;

	if (r)
		return r;
	r = exec_runs(hp, PFN(va), PFN(va) + n, exec, &stop);
	if (r) {
		exec_runs(hp, PFN(va), stop, !exec, &stop);
		return r;
	}
	pm_set(hp, PFN(va), n, (uint8_t)~PM_X, exec ? PM_X : 0);
	hp_maps_changed(hp, 0);
	return 0;
}

static int segv_fill(struct port *p, vaddr_t va, size_t n, const void *src, unsigned prot)
{
	struct host_port *hp = to_host(p);
	int r = pm_prepare(hp, PFN(va), n);

	if (!r && src)
		r = mem_io(hp, __NR_pwrite64, va, BYTES(n), (char *)(uintptr_t)src);
	if (!r)
		r = make_visible(hp, va, n, prot);
	if (r) {
		if (src)
			SF_BUG_ON(discard(hp, va, n));
		return -ENOMEM;
	}
	if (!src && n > 1 && (prot & PT_W) && hp->can_populate)
		hp_call(hp, __NR_madvise, va, BYTES(n), MADV_POPULATE_WRITE);
	return 0;
}

static int segv_protect(struct port *p, vaddr_t va, size_t n, unsigned prot)
{
	return make_visible(to_host(p), va, n, prot);
}

static int segv_hide(struct port *p, vaddr_t va, size_t n, hid_t *ret_first)
{
	struct host_port *hp = to_host(p);

	/* reclaim may use some of what is kept back: it leads to fewer mappings in the end */
	if (!hp_maps_room(hp, pm_delta(&hp->pm, PFN(va), n, 0) - HIDE_EXTRA))
		return -EAGAIN;
	if (make_invisible(hp, va, n))
		return -EAGAIN;
	*ret_first = (hid_t)PFN(va);
	return 0;
}

static int segv_show(struct port *p, vaddr_t va, hid_t first, size_t n, unsigned prot)
{
	struct host_port *hp = to_host(p);
	int r = pm_prepare(hp, PFN(va), n);

	return r ? r : make_visible(hp, va, n, prot);
}

static int segv_read_hidden(struct port *p, vaddr_t va, hid_t first, size_t n, void *dst)
{
	return mem_io(to_host(p), __NR_pread64, va, BYTES(n), dst);
}

static const void *segv_peek(struct port *p, vaddr_t va, hid_t hid)
{
	return NULL;
}

static int segv_drop_hidden(struct port *p, vaddr_t va, hid_t first, size_t n)
{
	return discard(to_host(p), va, n);
}

static int segv_drop(struct port *p, vaddr_t va, size_t n)
{
	struct host_port *hp = to_host(p);
	int r = make_invisible(hp, va, n);

	if (!r)
		SF_BUG_ON(discard(hp, va, n));
	return r;
}

/* ---------------------------------------------------------------- mremap */

#define MREMAP_HOW 3 /* MREMAP_MAYMOVE | MREMAP_FIXED */
#define MREMAP_KEEP 4 /* MREMAP_DONTUNMAP: the old range stays a mapping, so nobody else gets its addresses */

static int map_absent(struct host_port *hp, vaddr_t va, uint64_t n)
{
	const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED;
	int64_t r = hp_call(hp, __NR_mmap, va, BYTES(n), PROT_NONE, flags, -1, 0);

	return r == (int64_t)va ? 0 : (int)r;
}

/* The host moves one mapping at a time and says -EFAULT when a piece is more than one, so pieces get smaller until they move.
 * Returns the pages moved; *ret_err tells why not all. */
static uint64_t move_piecewise(struct host_port *hp, vaddr_t from, vaddr_t to, uint64_t n, int *ret_err)
{
	uint64_t done = 0, step = n;

	*ret_err = 0;
	while (done < n) {
		vaddr_t f = from + BYTES(done);
		int64_t r = hp_call(hp, __NR_mremap, f, BYTES(step), BYTES(step), MREMAP_HOW | (hp->cfg.reserved ? MREMAP_KEEP : 0), to + BYTES(done));

		if (r < 0 && r > -4096 && step == 1) {
			*ret_err = (int)r;
			break;
		}
		if (r < 0 && r > -4096) {
			step = (step + 1) / 2;
			continue;
		}
		done += step;
		step = n - done;
	}
	return done;
}

/* One run of pages that are alike.  0, or -errno with nothing moved. */
static int move_run(struct host_port *hp, vaddr_t from, vaddr_t to, uint64_t n)
{
	int err, err2;
	uint64_t done = move_piecewise(hp, from, to, n, &err);

	if (err) {
		SF_BUG_ON(done && move_piecewise(hp, to, from, done, &err2) != done);
		if (done)
			map_absent(hp, to, done);
		return err;
	}
	if (map_absent(hp, from, n)) /* a hole is as good as absent; the next reservation fills it */
		map_absent(hp, from, n);
	return 0;
}

/* Hidden and absent pages look alike here (PROT_NONE) and move as they are; visible ones take their bytes with them. */
static int move_all(struct host_port *hp, uint64_t from, uint64_t to, uint64_t n, uint64_t *ret_done)
{
	*ret_done = 0;
	for (uint64_t done = 0, first, len; done < n; *ret_done = done) {
		uint8_t byte = 0;
		int r;

		len = pm_run(&hp->pm, from + done, from + n, PM_VIS, &first, &byte);
		if (!len || first > from + done) { /* a stretch of invisible pages comes first */
			len = (len ? first : from + n) - (from + done);
			byte = 0;
		}
		r = move_run(hp, PVA(from + done), PVA(to + done), len);
		if (r)
			return r;
		if (byte) {
			pm_set(hp, to + done, len, PM_X, byte & (uint8_t)~PM_X);
			pm_set(hp, from + done, len, PM_X, 0);
		}
		done += len;
	}
	return 0;
}

static int segv_move(struct port *p, vaddr_t from, vaddr_t to, size_t n)
{
	struct host_port *hp = to_host(p);
	uint64_t done, undone;
	int r = pm_prepare(hp, PFN(to), n);

	if (r)
		return r;
	r = move_all(hp, PFN(from), PFN(to), n, &done);
	hp_maps_changed(hp, 4);
	if (!r || !done)
		return r;
	SF_BUG_ON(move_all(hp, PFN(to), PFN(from), done, &undone));
	return r;
}

/* ---------------------------------------------------------------- fork */

/* Permissions and contents are inherited; the way into our own memory leads into the parent's. */
static int segv_fork_child(struct port *p, bool shares_files)
{
	struct host_port *hp = to_host(p);

	if (!shares_files)
		host_call1(__NR_close, hp->mem_fd);
	hp->mem_fd = hp_keep_fd(hp, proc_mem_try_open());
	return hp->mem_fd < 0 ? hp->mem_fd : 0;
}

/* ---------------------------------------------------------------- open and close */

static int segv_open(struct host_port *hp, const char **ret_why)
{
	hp->mem_fd = hp_keep_fd(hp, proc_mem_try_open());
	if (hp->mem_fd < 0) {
		*ret_why = "segv: /proc/self/mem cannot write through PROT_NONE";
		return -ENODEV;
	}
	hp->can_populate = true;
	hp->port.cluster = 16;
	return 0;
}

static void segv_close(struct host_port *hp)
{
	host_call1(__NR_close, hp->mem_fd);
}

const struct host_engine_ops segv_engine = { .open = segv_open, .close = segv_close };

const struct port_ops segv_port_ops = {
	.name = "segv",
	.reserve = segv_reserve,
	.release = segv_release,
	.set_exec = segv_set_exec,
	.fill = segv_fill,
	.protect = segv_protect,
	.hide = segv_hide,
	.show = segv_show,
	.read_hidden = segv_read_hidden,
	.peek = segv_peek,
	.drop = segv_drop,
	.drop_hidden = segv_drop_hidden,
	.move = segv_move,
	.fork_child = segv_fork_child,
	.unplace = segv_unplace,
	HP_COMMON_OPS,
};
