/* SPDX-License-Identifier: MIT */
/* region.c - regions: what sf_map makes, and the calls that change its range
 *
 * Every region is one file to the core, anonymous ones too, so that areas of different regions never merge and each page leads to its region.
 * The core's references to that file keep the region's memory; the last may go in the fault handler, which then only
 * puts it on the pool's list of dead ones. */
#include "lib/lib.h"

#include <fcntl.h>
#include <linux/mman.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

/* ---------------------------------------------------------------- life */

static void region_free(struct obj *o)
{
	struct region *r = container_of(o, struct region, o);

	if (r->fd >= 0)
		close(r->fd);
	if (r->sums)
		munmap(r->sums, r->sums_len * sizeof(*r->sums));
	if (r->store) {
		store_unuse(r->store);
		obj_put(&r->store->o);
	}
	obj_put(&r->pool->o);
	free(r);
}

/* The core's reference to the file holds one to the region. */
static struct region *region_new(struct pool *p)
{
	struct region *r = obj_new(sizeof(*r), OBJ_REGION, region_free);

	if (!r)
		return NULL;
	r->fd = -1;
	r->pool = p;
	obj_get(&p->o);
	r->file = (struct sf_file){ .refs = 1, .fd = -1, .path = (char *)(uintptr_t)"region" };
	obj_get(&r->o);
	return r;
}

void pool_reap(struct pool *p)
{
	struct region *r = __atomic_exchange_n(&p->dead, NULL, __ATOMIC_ACQUIRE), *next;

	for (; r; r = next) {
		next = r->next_dead;
		obj_put(&r->o);
	}
}

/* ---------------------------------------------------------------- calls on one */

int region_begin(struct scope *sc, sf_region *handle, struct region **ret)
{
	struct region *r;
	int err = call_begin(sc, handle, OBJ_REGION, &r);

	if (err)
		return err;
	lk_take(&r->op_lock);
	if (r->gone) {
		region_end(sc, r);
		return -EBADF;
	}
	*ret = r;
	return 0;
}

void region_end(struct scope *sc, struct region *r)
{
	struct pool *p = r->pool;

	lk_drop(&r->op_lock);
	obj_get(&p->o);
	obj_put(&r->o);
	pool_reap(p);
	obj_put(&p->o);
	lib_leave(sc);
}

int region_range(const struct region *r, uint64_t off, uint64_t len)
{
	if ((off | len) & ~PAGE_MASK || !len || off > r->len || len > r->len - off)
		return -EINVAL;
	return 0;
}

bool region_pinned(struct region *r, uint64_t off, uint64_t len)
{
	struct mm *mm = r->pool->mm;
	uint64_t pfn = PFN(r->addr + off), end = pfn + PFN(len);
	bool pinned = false;

	if (!READ_ONCE(r->pool->mc->pinned))
		return false;
	mm_lock(mm);
	for (; !pinned && (pfn = pte_next(mm, pfn, end)) < end; pfn++) {
		struct page *pg = page_at(mm, pfn);

		pinned = pg && pg->pins;
	}
	mm_unlock(mm);
	return pinned;
}

/* ---------------------------------------------------------------- mapping */

#define MAP_LEAST sizeof(struct sf_map_options)

static int judge(const struct pool *p, const struct sf_map_options *o)
{
	bool file = o->kind == SF_FILE_PRIVATE || o->kind == SF_FILE_SHARED;

	if (o->kind > SF_STORE || o->prot & ~(SF_READ | SF_WRITE) || o->reserved)
		return -EINVAL;
	if (o->flags & ~(SF_MAP_ORDERED | SF_MAP_FIXED | SF_MAP_CHECKSUM))
		return -EINVAL;
	if (o->cluster && (o->cluster & (o->cluster - 1) || o->cluster < PAGE_SIZE || o->cluster > SF_CLUSTER_MAX))
		return -EINVAL;
	if (o->offset & ~PAGE_MASK || o->offset > INT64_MAX || (o->offset && o->kind == SF_ANON))
		return -EINVAL;
	if (!!o->store != (o->kind == SF_STORE) || (o->addr && !(o->flags & SF_MAP_FIXED)) || (o->fd && !file))
		return -EINVAL;
	if (o->flags & SF_MAP_ORDERED && (o->kind < SF_FILE_SHARED || !p->store))
		return -EINVAL;
	return 0;
}

static int open_fd(struct region *r, const struct sf_map_options *o)
{
	int mode = fcntl(o->fd, F_GETFL), acc = mode & O_ACCMODE;

	if (mode < 0 || mode & O_PATH)
		return -EINVAL;
	if (acc == O_WRONLY || (o->kind == SF_FILE_SHARED && r->prot & SF_WRITE && acc != O_RDWR))
		return -EACCES;
	if (lseek(o->fd, 0, SEEK_CUR) < 0)
		return -ESPIPE;
	r->direct = mode & O_DIRECT;
	r->fd = fcntl(o->fd, F_DUPFD_CLOEXEC, 3);
	return r->fd < 0 ? -errno : 0;
}

/* Two processes' changes to one home would mix. */
static bool can_fork(const struct pool *p, const struct sf_map_options *o)
{
	return !p->keep || o->kind == SF_ANON || o->kind == SF_FILE_PRIVATE;
}

static int take_store(struct region *r, sf_store *handle)
{
	struct store_obj *s;
	int err = handle_find(handle, OBJ_STORE, (struct obj **)&s);

	if (err)
		return err;
	err = s->kind == STORE_COMPRESSED ? -EINVAL : store_use_for(s, r->pool);
	if (err)
		obj_put(&s->o);
	else
		r->store = s;
	return err;
}

static int open_sums(struct region *r)
{
	void *mem;

	r->sums_len = r->len >> PAGE_SHIFT;
	mem = mmap(NULL, r->sums_len * sizeof(*r->sums), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	r->sums = mem == MAP_FAILED ? NULL : mem;
	return r->sums ? 0 : -ENOMEM;
}

/* Everything but addresses. */
static int region_setup(struct region *r, const struct sf_map_options *o)
{
	struct pool *p = r->pool;
	int err = 0;

	r->kind = o->kind;
	r->prot = o->prot & SF_WRITE ? SF_READ | SF_WRITE : o->prot ? o->prot : SF_READ | SF_WRITE;
	r->flags = o->flags;
	r->cluster = o->cluster;
	r->offset = o->offset;
	r->on_error = o->on_error;
	r->arg = o->arg;
	r->file.cluster = o->cluster >> PAGE_SHIFT;
	r->file.ops = o->kind == SF_ANON ? &region_anon_ops : &region_file_ops;
	r->file.write_back = has_home(r) && !(o->flags & SF_MAP_ORDERED);
	if (o->kind == SF_STORE)
		err = take_store(r, o->store);
	else if (o->kind != SF_ANON)
		err = open_fd(r, o);
	if (!err && o->kind != SF_ANON && (o->flags & SF_MAP_CHECKSUM || p->flags & SF_POOL_CHECKSUM))
		err = open_sums(r);
	if (!err && region_takes_batches(r))
		rings_open(&p->rings);
	if (!err && o->on_error)
		err = workers_start(&p->callers, 1);
	return err;
}

/* Clusters lie at multiples of their size, so a region of them had better begin at one.  locked: map_lock */
static int64_t cluster_place(const struct region *r)
{
	struct mm *mm = r->pool->mm;
	uint64_t mask = r->cluster - 1;
	int64_t at;

	mm_lock(mm);
	at = get_unmapped_area(mm, 0, r->len + mask + 1 - PAGE_SIZE);
	mm_unlock(mm);
	return at < 0 ? at : (int64_t)(((uint64_t)at + mask) & ~mask);
}

/* locked: map_lock */
static int region_place(struct region *r, vaddr_t addr, bool fixed)
{
	struct pool *p = r->pool;
	unsigned flags = MAP_PRIVATE;
	int64_t at = (int64_t)addr;

	if (p->dying)
		return -EBADF;
	if (fixed && (addr & ~PAGE_MASK || addr < p->lo || addr >= p->hi || r->len > p->hi - addr))
		return -EINVAL;
	if (r->len > p->hi - p->lo)
		return -ENOMEM;
	if (!fixed && r->cluster > PAGE_SIZE)
		at = cluster_place(r);
	if (at < 0)
		return (int)at;
	if (at)
		flags |= MAP_FIXED | MAP_FIXED_NOREPLACE;
	__atomic_fetch_add(&p->mc->homes, r->file.write_back, __ATOMIC_RELAXED);
	at = do_mmap(p->mm, (vaddr_t)at, r->len, r->prot, flags, &r->file, PT_R | PT_W, 0);
	if (at < 0) {
		__atomic_fetch_sub(&p->mc->homes, r->file.write_back, __ATOMIC_RELAXED);
		return at == -EPERM ? -ENOMEM : (int)at; /* EPERM: only below the window was there room */
	}
	r->addr = (vaddr_t)at;
	p->nr_regions++;
	return 0;
}

static void region_unplace(struct region *r)
{
	struct pool *p = r->pool;

	SF_BUG_ON(do_munmap(p->mm, r->addr, r->len) && do_munmap(p->mm, r->addr, r->len));
	__atomic_fetch_sub(&p->mc->homes, r->file.write_back, __ATOMIC_RELAXED);
	p->nr_regions--;
}

/* Our own hold on the file goes; those of areas and of faults under way remain. */
static void region_let_go(struct region *r)
{
	file_put(&r->file);
}

int region_adopt(struct pool *p, vaddr_t addr, uint64_t len, struct snap *snap, struct region **ret)
{
	struct region *r = region_new(p);
	int err;

	if (!r)
		return -ENOMEM;
	r->addr = addr;
	r->len = len;
	r->prot = SF_READ;
	r->file.ops = &region_anon_ops;
	r->snap = snap;
	r->snapshots = 1;
	err = handle_open(&r->o);
	if (!err) {
		snap_set_file(snap, &r->file);
		__atomic_fetch_add(&p->nr_regions, 1, __ATOMIC_RELAXED);
	}
	region_let_go(r);
	if (err)
		obj_put(&r->o);
	else
		*ret = r;
	return err;
}

/* The area stays, its snapshot's. */
static void region_disown(struct region *r)
{
	snap_set_file(r->snap, NULL);
	snapshot_unmapped(r->snap);
	__atomic_fetch_sub(&r->pool->nr_regions, 1, __ATOMIC_RELAXED);
}

static int map_in(struct pool *p, uint64_t len, const struct sf_map_options *o, struct region **ret)
{
	struct region *r = region_new(p);
	int err;

	if (!r)
		return -ENOMEM;
	r->len = PAGE_ALIGN(len);
	err = region_setup(r, o);
	if (!err) {
		lk_take(&p->map_lock);
		err = region_place(r, (vaddr_t)o->addr, o->flags & SF_MAP_FIXED);
		if (!err) {
			err = handle_open(&r->o);
			if (err)
				region_unplace(r);
		}
		lk_drop(&p->map_lock);
	}
	region_let_go(r);
	if (err)
		obj_put(&r->o);
	else
		*ret = r;
	return err;
}

int sf_map(sf_pool *pool, uint64_t len, const struct sf_map_options *opt, sf_region **ret, void **ret_addr)
{
	struct sf_map_options o = { .struct_size = sizeof(o) };
	sf_region *made = NULL;
	struct region *r;
	struct scope sc;
	struct pool *p;
	void *addr = NULL;
	int err = !ret || !len || len > 1ull << 47 || (opt && check_struct(opt, MAP_LEAST, sizeof(o))) ? -EINVAL : 0;

	if (err)
		return err;
	if (opt)
		struct_in(&o, opt, sizeof(o));
	err = call_begin(&sc, pool, OBJ_POOL, &p);
	if (err)
		return err;
	err = judge(p, &o);
	if (!err && !can_fork(p, &o))
		err = -EOPNOTSUPP;
	if (!err)
		err = map_in(p, len, &o, &r);
	if (!err) {
		made = r->o.handle;
		addr = (void *)r->addr;
		obj_put(&r->o);
	}
	pool_reap(p);
	call_end(&sc, p);
	if (err)
		return err;
	*ret = made;
	if (ret_addr)
		*ret_addr = addr;
	return 0;
}

void region_job(struct region *r)
{
	__atomic_fetch_add(&r->jobs, 1, __ATOMIC_RELAXED);
}

void region_job_done(struct region *r)
{
	if (!__atomic_sub_fetch(&r->jobs, 1, __ATOMIC_ACQ_REL))
		futex_wake(&r->jobs, INT32_MAX); /* of an address that may be gone: then nobody sleeps there */
}

/* They see that it is gone, and stop.  Afterwards what the region had is free, unless a touch of it is under way. */
static void wait_for_jobs(struct region *r)
{
	uint32_t n;

	lk_drop(&r->op_lock);
	while ((n = __atomic_load_n(&r->jobs, __ATOMIC_ACQUIRE)))
		futex_wait(&r->jobs, n);
	lk_take(&r->op_lock);
}

int sf_unmap(sf_region *region)
{
	struct region *r;
	struct scope sc;
	int err = region_begin(&sc, region, &r);

	if (err)
		return err;
	if ((r->snapshots && !r->snap) || region_pinned(r, 0, r->len)) {
		err = -EBUSY;
	} else {
		handle_close(&r->o);
		r->gone = true;
		wait_for_jobs(r);
		lk_take(&r->pool->map_lock);
		if (r->snap)
			region_disown(r);
		else
			region_unplace(r);
		lk_drop(&r->pool->map_lock);
		mm_lock(r->pool->mm);
		stores_relax(r->pool->mc);
		mm_unlock(r->pool->mm);
		obj_put(&r->o);
	}
	region_end(&sc, r);
	return err;
}

/* ---------------------------------------------------------------- what it is */

int sf_region_info(sf_region *region, struct sf_region_info *ret)
{
	struct sf_region_info info;
	struct region *r;
	struct scope sc;
	int err = check_struct(ret, sizeof(size_t), SIZE_MAX);

	if (!err)
		err = region_begin(&sc, region, &r);
	if (err)
		return err;
	info = (struct sf_region_info){
		.pool = r->pool->o.handle, .addr = (void *)r->addr, .len = r->len, .kind = r->kind, .prot = r->prot,
		.flags = r->flags, .cluster = r->cluster,
	};
	region_end(&sc, r);
	struct_out(ret, &info, sizeof(info));
	return 0;
}

/* With a reference. */
static struct region *region_at(struct pool *p, vaddr_t addr)
{
	struct region *r = NULL;
	struct vm_area *v;

	mm_lock(p->mm);
	v = vma_lookup(p->mm, NULL, addr);
	if (v && is_region(v->file)) {
		r = region_of(v->file);
		obj_get(&r->o);
	}
	mm_unlock(p->mm);
	return r;
}

int sf_region_at(const void *addr, sf_region **ret)
{
	struct region *r = NULL;
	void *handle = NULL;
	struct scope sc;
	struct pool *p;
	int err = ret ? lib_enter(&sc) : -EINVAL;

	if (err)
		return err;
	p = pool_visit((vaddr_t)addr);
	if (p) {
		r = region_at(p, (vaddr_t)addr);
		pool_leave(p);
	}
	if (r) {
		handle = r->o.handle;
		obj_put(&r->o);
	}
	lib_leave(&sc);
	if (!handle)
		return -ENOENT;
	*ret = handle;
	return 0;
}

/* ---------------------------------------------------------------- changing it */

int sf_protect(sf_region *region, uint64_t off, uint64_t len, unsigned prot)
{
	struct region *r;
	struct scope sc;
	int err = prot & ~(SF_READ | SF_WRITE) ? -EINVAL : region_begin(&sc, region, &r);

	if (err)
		return err;
	if (prot & SF_WRITE)
		prot |= SF_READ;
	err = region_range(r, off, len);
	if (!err && r->snap && prot != SF_READ)
		err = -EACCES;
	if (!err && prot & SF_WRITE && r->kind == SF_FILE_SHARED && (fcntl(r->fd, F_GETFL) & O_ACCMODE) != O_RDWR)
		err = -EACCES;
	if (!err)
		err = (int)do_mprotect(r->pool->mm, r->addr + off, len, prot);
	if (!err && len == r->len)
		r->prot = prot;
	region_end(&sc, r);
	return err;
}

static int grow_sums(struct region *r, uint64_t len)
{
	uint64_t n = len >> PAGE_SHIFT;
	void *mem;

	if (!r->sums || n <= r->sums_len)
		return 0;
	mem = mremap(r->sums, r->sums_len * sizeof(*r->sums), n * sizeof(*r->sums), 0);
	if (mem == MAP_FAILED)
		return -ENOMEM; /* in place only: faults are reading them */
	r->sums_len = n;
	return 0;
}

/* Areas of different rights move one after the other; when the host refuses a later one, those before it go back.  A host that refuses
 * that again and again leaves nothing to be done.  locked: map_lock */
static void move_back(struct region *r, vaddr_t to)
{
	struct mm *mm = r->pool->mm;

	for (unsigned tries = 0;; tries++) {
		mm_lock(mm);
		struct vm_area *v = find_vma(mm, NULL, r->addr);
		uint64_t moved = v ? MIN(v->start - MIN(v->start, r->addr), r->len) : r->len;

		mm_unlock(mm);
		if (!moved || do_mremap(mm, to, moved, moved, 3 /* MREMAP_MAYMOVE | MREMAP_FIXED */, r->addr) > 0)
			return;
		SF_BUG_ON(tries == 100);
	}
}

/* The core's errors: several areas in the way is -EFAULT there. */
static int remap(struct region *r, uint64_t len, unsigned flags, vaddr_t to)
{
	struct pool *p = r->pool;
	int64_t at;

	lk_take(&p->map_lock);
	if (flags & 2 /* MREMAP_FIXED */) {
		mm_lock(p->mm);
		bool taken = find_vma_intersection(p->mm, to, to + len);

		mm_unlock(p->mm);
		at = taken ? -EEXIST : do_mremap(p->mm, r->addr, r->len, len, flags, to);
		if (at < 0 && !taken)
			move_back(r, to);
	} else {
		at = do_mremap(p->mm, r->addr, r->len, len, flags, 0);
	}
	if (at > 0) {
		WRITE_ONCE(r->addr, (vaddr_t)at);
		r->len = len;
	}
	lk_drop(&p->map_lock);
	return at > 0 ? 0 : at == -EFAULT ? -EBUSY : (int)at;
}

/* region_end, and where it is now. */
static int end_moved(struct scope *sc, struct region *r, int err, void **ret_addr)
{
	void *addr = (void *)r->addr;

	region_end(sc, r);
	if (!err && ret_addr)
		*ret_addr = addr;
	return err;
}

int sf_resize(sf_region *region, uint64_t len, unsigned flags, void **ret_addr)
{
	struct region *r;
	struct scope sc;
	int err = flags & ~SF_MAY_MOVE || !len || len & ~PAGE_MASK || len > 1ull << 47 ? -EINVAL : region_begin(&sc, region, &r);

	if (err)
		return err;
	if (r->snapshots || region_pinned(r, 0, r->len))
		err = -EBUSY;
	if (!err && len > r->pool->hi - r->pool->lo)
		err = -ENOMEM;
	if (!err)
		err = grow_sums(r, len);
	if (!err && len != r->len)
		err = remap(r, len, flags & SF_MAY_MOVE ? 1 : 0, 0);
	return end_moved(&sc, r, err, ret_addr);
}

/* Some free addresses for it; sf_move alone uses them, under the map lock of nobody else's making. */
static int64_t find_place(struct region *r)
{
	struct mm *mm = r->pool->mm;
	int64_t at;

	mm_lock(mm);
	at = get_unmapped_area(mm, 0, r->len);
	mm_unlock(mm);
	return at;
}

int sf_move(sf_region *region, void *addr, void **ret_addr)
{
	vaddr_t to = (vaddr_t)addr;
	struct region *r;
	struct scope sc;
	int err = region_begin(&sc, region, &r);

	if (err)
		return err;
	if (!to) {
		int64_t at = find_place(r);

		to = at < 0 ? 0 : (vaddr_t)at;
		err = at < 0 ? (int)at : 0;
	}
	if (!err && (to & ~PAGE_MASK || to < r->pool->lo || to >= r->pool->hi || r->len > r->pool->hi - to))
		err = -EINVAL;
	if (!err && (r->snapshots || region_pinned(r, 0, r->len)))
		err = -EBUSY;
	if (!err && to != r->addr)
		err = remap(r, r->len, 3 /* MREMAP_MAYMOVE | MREMAP_FIXED */, to);
	return end_moved(&sc, r, err, ret_addr);
}
