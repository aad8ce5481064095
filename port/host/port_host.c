/* SPDX-License-Identifier: MIT */
/* port_host.c - this process's own address space as a port: what both engines have in common
 *
 * A shared mapping is a real host mapping of the file for both engines: PROT_NONE where it is not to be seen.
 *
 * Host mappings are counted as  map_base + edges:  edges are borders made by page permissions, known exactly
 * (protmap.c); map_base is everything else, counted from /proc/self/maps at creation and again when it matters, and
 * estimated from above in between. */
#include "port/host/host_priv.h"

#define PAGES(n) ((uint64_t)(n) << PAGE_SHIFT)
#define MAPS_KEPT(max) ((max) / 64 + 16) /* for releases, and for mappings that are not ours to refuse */

/* ---------------------------------------------------------------- host mappings */

static uint64_t count_lines(int64_t fd, char *buf, size_t size)
{
	uint64_t lines = 0;
	int64_t got;

	while ((got = host_call3(__NR_read, fd, buf, size)) > 0)
		for (int64_t i = 0; i < got; i++)
			lines += buf[i] == '\n';
	return lines;
}

uint64_t host_count_maps(void)
{
	char buf[4096];
	int64_t fd = host_call4(__NR_openat, -100, "/proc/self/maps", 02000000 /* O_CLOEXEC */, 0);
	uint64_t lines;

	if (fd < 0)
		return 0;
	lines = count_lines(fd, buf, sizeof(buf));
	host_call1(__NR_close, fd);
	return lines;
}

static void recount(struct host_port *hp)
{
	uint64_t maps = host_count_maps();

	if (maps)
		hp->map_base = (int64_t)maps - (int64_t)hp->pm.edges;
	hp->map_drift = 0;
}

static void publish_maps(struct host_port *hp)
{
	int64_t maps = hp->map_base + (int64_t)hp->pm.edges;

	hp->port.nr_maps = maps > 0 ? (uint64_t)maps : 0;
}

int64_t hp_unmap(struct host_port *hp, vaddr_t va, uint64_t bytes)
{
	const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED;
	int64_t r;

	if (!hp->cfg.reserved)
		return hp_call(hp, __NR_munmap, va, bytes);
	r = hp_call(hp, __NR_mmap, va, bytes, PROT_NONE, flags, -1, 0);
	return r == (int64_t)va ? 0 : r;
}

/* A full count costs as much as there are mappings, so there is one for many changes only. */
void hp_maps_changed(struct host_port *hp, unsigned drift)
{
	hp->map_base += drift;
	hp->map_drift += drift;
	publish_maps(hp);
	if (hp->port.nr_maps > hp->max_map_count / 4 * 3 && hp->map_drift > hp->max_map_count / 16) {
		recount(hp);
		publish_maps(hp);
	}
}

bool hp_maps_room(struct host_port *hp, int64_t more)
{
	return more <= 0 || hp->port.nr_maps + (uint64_t)more <= hp->port.max_maps;
}

static void count_maps_first(struct host_port *hp)
{
	hp->max_map_count = host_read_number("/proc/sys/vm/max_map_count", 65530);
	hp->port.max_maps = hp->max_map_count - MAPS_KEPT(hp->max_map_count);
	recount(hp);
	publish_maps(hp);
}

/* ---------------------------------------------------------------- shared mappings */

/* Would the host allow the most that will be asked of this mapping?  Only the host knows: open mode, seals, noexec. */
static int try_mapping(struct host_port *hp, int fd, uint64_t off, unsigned maxprot, unsigned kind)
{
	int64_t r = hp_call(hp, __NR_mmap, 0, PAGE_SIZE, maxprot, kind, fd, off);

	if (r < 0 && r > -4096)
		return (int)r;
	hp_call(hp, __NR_munmap, r, PAGE_SIZE);
	return 0;
}

static int map_unseen(struct host_port *hp, vaddr_t va, size_t n, int fd, uint64_t off, unsigned kind)
{
	int64_t r = hp_call(hp, __NR_mmap, va, PAGES(n), PROT_NONE, kind | MAP_FIXED | MAP_NORESERVE, fd, off);

	if (r != (int64_t)va)
		return (int)r;
	pm_clear(hp, PFN(va), n);
	hp_maps_changed(hp, 2);
	return 0;
}

/* Not all host mappings are for these: their pages need some to become visible, and with engine segv all others do. */
static bool room_for_shared(struct host_port *hp)
{
	int64_t more = (int64_t)hp->port.max_maps / (hp->pm.count_if & ~PM_SHARED ? 4 : 6);

	if (!hp_maps_room(hp, more) && hp->map_drift > hp->max_map_count / 16) {
		recount(hp);
		publish_maps(hp);
	}
	return hp_maps_room(hp, more);
}

int hp_reserve_shared(struct port *p, vaddr_t va, size_t n, int fd, uint64_t off, unsigned maxprot)
{
	struct host_port *hp = to_host(p);
	int r = room_for_shared(hp) ? try_mapping(hp, fd, off, maxprot, MAP_SHARED) : -ENOMEM;

	return r ? r : map_unseen(hp, va, n, fd, off, MAP_SHARED);
}

int hp_lend(struct port *p, vaddr_t va, size_t n, int fd, uint64_t off, unsigned prot)
{
	struct host_port *hp = to_host(p);
	int r = !room_for_shared(hp) ? -ENOMEM : prot & PT_X ? try_mapping(hp, fd, off, prot, MAP_PRIVATE) : 0;

	return r ? r : map_unseen(hp, va, n, fd, off, MAP_PRIVATE);
}

int hp_show_shared(struct port *p, vaddr_t va, size_t n, unsigned prot)
{
	struct host_port *hp = to_host(p);
	uint8_t byte = (uint8_t)(prot | PM_VIS | PM_SHARED);
	int64_t r;

	if (pm_prepare(hp, PFN(va), n) || !hp_maps_room(hp, pm_delta(&hp->pm, PFN(va), n, byte)))
		return -ENOMEM;
	r = hp_call(hp, __NR_mprotect, va, PAGES(n), prot);
	if (r)
		return (int)r;
	pm_set(hp, PFN(va), n, 0, byte);
	hp_maps_changed(hp, 0);
	return 0;
}

/* Once out of sight, what the pages still hold is the file's own and costs only page tables, so failing to give them back is none. */
int hp_hide_shared(struct port *p, vaddr_t va, size_t n)
{
	struct host_port *hp = to_host(p);
	int64_t r = hp_call(hp, __NR_mprotect, va, PAGES(n), PROT_NONE);

	if (r)
		return (int)r;
	pm_set(hp, PFN(va), n, 0, 0);
	hp_maps_changed(hp, 0);
	if (hp_call(hp, __NR_madvise, va, PAGES(n), MADV_DONTNEED))
		hp_call(hp, __NR_madvise, va, PAGES(n), MADV_DONTNEED);
	return 0;
}

/* ---------------------------------------------------------------- pages of files, seen in place
 *
 * A private host mapping of the file over the range; windows that follow on each other are one. */

#define PLACED ((uint8_t)(PT_R | PM_SHARED))

int hp_place(struct port *p, vaddr_t va, size_t n, int fd, uint64_t off)
{
	struct host_port *hp = to_host(p);
	int64_t r;

	if (pm_prepare(hp, PFN(va), n) || !hp_maps_room(hp, pm_delta(&hp->pm, PFN(va), n, PLACED)))
		return -ENOMEM;
	r = hp_call(hp, __NR_mmap, va, PAGES(n), PROT_READ, MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, fd, off);
	if (r != (int64_t)va)
		return (int)r;
	pm_set(hp, PFN(va), n, 0, PLACED);
	hp_maps_changed(hp, 0);
	return 0;
}

/* Hosts older than 5.14 read at the first touch. */
int hp_place_read(struct port *p, vaddr_t va, size_t n)
{
	int r = (int)hp_call(to_host(p), __NR_madvise, va, PAGES(n), MADV_POPULATE_READ);

	return r == -EINVAL ? 0 : r;
}

int hp_in_core(struct port *p, vaddr_t va, size_t n, unsigned char *vec)
{
	return (int)hp_call(to_host(p), __NR_mincore, va, PAGES(n), vec);
}

int hp_sync_shared(struct port *p, vaddr_t va, size_t n, int flags)
{
	return (int)hp_call(to_host(p), __NR_msync, va, PAGES(n), flags);
}

/* ---------------------------------------------------------------- fork */

void hp_fork_begin(struct port *p)
{
	own_hold(to_host(p), true);
}

/* A clock that was being adjusted by another thread keeps the rate it has. */
void hp_fork_end(struct port *p)
{
	own_hold(to_host(p), false);
}

/* ---------------------------------------------------------------- services */

/* Visible to the program is visible to us: there is one address space. */
const void *hp_view(struct port *p, vaddr_t va)
{
	return (const void *)va;
}

#define PAGEMAP_SOLE (1ull << 56) /* mapped by nobody else (Documentation/admin-guide/mm/pagemap.rst) */

/* Opened each time: after fork a descriptor would tell of the parent. */
int hp_sole(struct port *p, vaddr_t va)
{
	struct host_port *hp = to_host(p);
	uint64_t entry = 0;
	int64_t fd = hp_call(hp, __NR_openat, -100, HC_A("/proc/thread-self/pagemap"), 02000000 /* O_CLOEXEC */, 0);

	if (fd < 0)
		return (int)fd;
	int64_t r = hp_call(hp, __NR_pread64, fd, HC_A(&entry), sizeof(entry), PFN(va) * sizeof(entry));

	host_call1(__NR_close, fd);
	return r == (int64_t)sizeof(entry) ? (entry & PAGEMAP_SOLE) != 0 : -EIO;
}

void *hp_alloc(struct port *p, size_t bytes)
{
	return own_alloc(to_host(p), bytes, PROT_READ | PROT_WRITE);
}

void hp_free(struct port *p, void *mem, size_t bytes)
{
	if (mem)
		own_free(to_host(p), mem, bytes);
}

bool hp_clear(struct port *p, void *mem, size_t bytes)
{
	return !hp_call(to_host(p), __NR_madvise, mem, bytes, MADV_DONTNEED);
}

void hp_wait(struct port *p, uint32_t *word, uint32_t val)
{
	hp_call(to_host(p), __NR_futex, word, 128 /* FUTEX_WAIT_PRIVATE */, val, 0);
}

void hp_wake(struct port *p, uint32_t *word, int count)
{
	hp_call(to_host(p), __NR_futex, word, 129 /* FUTEX_WAKE_PRIVATE */, count);
}

uint64_t hp_now(struct port *p)
{
	return clock_now(&to_host(p)->clock);
}

static uint32_t thread_id(struct port *p)
{
	return (uint32_t)hp_call(to_host(p), __NR_gettid, 0);
}

uint32_t hp_self(struct port *p)
{
	return to_host(p)->cfg.self(p);
}

int hp_keep_fd(struct host_port *hp, int64_t fd)
{
	int64_t kept;

	if (fd < 0)
		return (int)fd;
	kept = hp_call(hp, __NR_fcntl, fd, 1030 /* F_DUPFD_CLOEXEC */, hp->cfg.fd_base);
	hp_call(hp, __NR_close, fd);
	return (int)kept;
}

/* ---------------------------------------------------------------- creation */

/* The first pages of [own_lo, own_hi) hold the port itself. */
static struct host_port *port_memory(const struct host_port_config *cfg)
{
	size_t bytes = PAGE_ALIGN(sizeof(struct host_port));
	int64_t r = host_call6(__NR_mmap, cfg->own_lo, bytes, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | (cfg->reserved ? MAP_FIXED : MAP_FIXED_NOREPLACE), -1, 0);
	struct host_port *hp;

	if (r != (int64_t)cfg->own_lo)
		return NULL;
	hp = (struct host_port *)cfg->own_lo;
	hp->bytes = bytes;
	hp->cfg = *cfg;
	if (!hp->cfg.self)
		hp->cfg.self = thread_id;
	hp->own.lo = hp->own.next = cfg->own_lo + bytes;
	hp->own.hi = cfg->own_hi;
	hp->uffd = hp->mem_fd = -1;
	return hp;
}

static int try_engine(struct host_port *hp, const struct host_engine_ops *engine, const struct port_ops *ops,
		      uint8_t count_if, const char **ret_why)
{
	int r = pm_init(hp, count_if);

	if (r) {
		*ret_why = "no memory for tables";
		return r;
	}
	r = engine->open(hp, ret_why);
	if (r) {
		pm_free(hp);
		return r;
	}
	hp->engine = engine;
	hp->port.ops = ops;
	return 0;
}

static int choose_engine(struct host_port *hp, const char **ret_why)
{
	enum host_engine want = hp->cfg.engine;
	const char *why = NULL;
	int r = -ENODEV;

	if (want != ENGINE_SEGV)
		r = try_engine(hp, &uffd_engine, &uffd_port_ops, PM_SHARED, &why);
	if (r && want != ENGINE_UFFD)
		r = try_engine(hp, &segv_engine, &segv_port_ops, PM_VIS | PM_SHARED, r && why ? ret_why : &why);
	if (why && ret_why)
		*ret_why = why;
	return r;
}

static bool config_is_sane(const struct host_port_config *cfg)
{
	bool aligned = !((cfg->lo | cfg->hi | cfg->own_lo | cfg->own_hi) & ~PAGE_MASK);
	bool apart = cfg->own_hi <= cfg->lo || cfg->own_lo >= cfg->hi;

	return aligned && cfg->lo < cfg->hi && cfg->own_lo && cfg->own_lo < cfg->own_hi && apart;
}

int host_port_create(const struct host_port_config *cfg, struct port **ret, const char **ret_why)
{
	const char *ignored;
	struct host_port *hp;
	int r;

	if (!ret_why)
		ret_why = &ignored;
	*ret_why = NULL;
	SF_MISUSE(!config_is_sane(cfg));
	hp = port_memory(cfg);
	if (!hp) {
		*ret_why = "no memory at the port's own addresses";
		return -ENOMEM;
	}
	r = choose_engine(hp, ret_why);
	if (r) {
		host_call2(__NR_munmap, hp, hp->bytes);
		return r;
	}
	clock_init(&hp->clock);
	count_maps_first(hp);
	*ret = &hp->port;
	return 0;
}

/* All of the program's range goes, whatever the core left there, and then everything of ours. */
void host_port_destroy(struct port *p)
{
	struct host_port *hp = to_host(p);
	vaddr_t lo = hp->cfg.own_lo, next = hp->cfg.reserved ? hp->cfg.own_hi : hp->own.next;

	hp->engine->close(hp);
	host_call2(__NR_munmap, hp->cfg.lo, hp->cfg.hi - hp->cfg.lo);
	host_call2(__NR_munmap, lo, next - lo);
}

void host_port_shared(struct port *p)
{
	to_host(p)->cfg.alone = false;
}

int host_port_signo(struct port *p)
{
	return p->ops == &uffd_port_ops ? 7 /* SIGBUS */ : 11 /* SIGSEGV */;
}

/* Codes 1 and 2: SEGV_MAPERR, SEGV_ACCERR, BUS_ADRERR.  A signal sent by somebody leaves an old trap number in the frame but
 * has a code of its own; a misaligned access has another trap number. */
bool host_is_page_fault(uint64_t trapno, int si_code, vaddr_t addr, struct port *p)
{
	return trapno == 14 && (si_code == 1 || si_code == 2) && addr < to_host(p)->cfg.hi;
}
