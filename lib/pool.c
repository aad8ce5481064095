/* SPDX-License-Identifier: MIT */
/* pool.c - pools: a machine each, with its own piece of the address space
 *
 *     own_lo            lo                                        hi
 *       | port's tables, | regions                                 |
 *       | arena, frames  |                                         |
 *
 * The whole piece is reserved with nothing behind it for as long as the pool lives, so no mapping of the application's can ever get
 * into the holes between regions. */
#include "lib/lib.h"

#include <stdlib.h>
#include <sys/mman.h>

#define OWN_MOST (64ull << 30) /* beside the largest window; small ones are for hosts that are short of addresses, as under valgrind */
#define OWN_LEAST (4ull << 30)
#define WINDOW_DEFAULT (1ull << 40)
#define WINDOW_MIN (1ull << 20)
#define WINDOW_EDGE (64 * PAGE_SIZE) /* which the core leaves free; so one region may be as long as the window */
#define STORE_DEFAULT (64ull << 30)
#define BOUND_MIN (MACHINE_MIN_PAGES * PAGE_SIZE)
#define FD_BASE 100
#define GUARD (16 * PAGE_SIZE) /* above the highest region: what runs over its end is still ours */

/* ---------------------------------------------------------------- faults; fault handler */

static int verdict_error(enum fault_verdict v, const struct task *tk, const struct fault_report *rep, struct fault_answer *ret)
{
	*ret = (struct fault_answer){ rep->signo, rep->code, rep->error_code };
	if (v == FAULT_KILL) {
		*ret = (struct fault_answer){ 7, 2, rep->error_code };
		return -ENOMEM;
	}
	if (rep->signo == 7)
		return tk->error ? tk->error : -EIO;
	return rep->code == 2 ? -EACCES : -EFAULT;
}

/* What a cluster of more than one run still lacks; if it cannot be had, its own touch will tell. */
static void bring_cluster(struct pool *p, uint64_t lo, uint64_t hi)
{
	for (uint64_t pfn = lo; pfn < hi; pfn += SF_IOBUF_PAGES) {
		struct task tk = { .tid = thread_number() };
		struct fault_report rep;

		if (do_page_fault(p->mm, &tk, PVA(pfn), PF_USER, 0, &rep) != FAULT_FIXED)
			return;
	}
}

int pool_fault(struct pool *p, vaddr_t addr, unsigned error_code, vaddr_t ip, struct fault_answer *ret)
{
	struct task tk = { .tid = thread_number() };
	struct fault_report rep;
	enum fault_verdict v = do_page_fault(p->mm, &tk, addr, error_code | PF_USER, ip, &rep);

	if (v != FAULT_FIXED)
		return verdict_error(v, &tk, &rep, ret);
	if (unlikely(tk.want_hi))
		bring_cluster(p, tk.want_lo, tk.want_hi);
	return 0;
}

static void pool_warn(struct machine *mc, const char *msg)
{
	struct pool *p = mc->warn_arg;

	p->warn(p->warn_arg, msg);
}

static uint32_t self(struct port *port)
{
	return thread_number();
}

/* ---------------------------------------------------------------- making */

#define POOL_LEAST offsetof(struct sf_pool_options, policy_ops)

static int judge(const struct sf_pool_options *o)
{
	if (o->flags & ~(SF_POOL_CHECKSUM | SF_POOL_HOST_TOUCH) || o->engine > SF_ENGINE_SEGV || o->fork > SF_FORK_KEEP)
		return -EINVAL;
	if ((o->bound && o->bound < BOUND_MIN) || o->workers > WORKERS_MAX || o->window > 1ull << 45)
		return -EINVAL;
	if ((o->policy && !policy_find(o->policy)) || policy_judge(o))
		return -EINVAL;
	if (o->flags & SF_POOL_HOST_TOUCH && (o->engine == SF_ENGINE_SEGV || o->fork == SF_FORK_KEEP))
		return -EOPNOTSUPP;
	return 0;
}

static int reserve(struct pool *p, uint64_t window)
{
	uint64_t size = PAGE_ALIGN(MAX(window ? window : WINDOW_DEFAULT, WINDOW_MIN)) + WINDOW_EDGE, own = MAX(MIN(size & ~(SF_CLUSTER_MAX - 1), OWN_MOST), OWN_LEAST);
	uint64_t bytes = size + own;
	void *mem = mmap(NULL, bytes + SF_CLUSTER_MAX, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	vaddr_t lo = (vaddr_t)mem;

	if (mem == MAP_FAILED)
		return -ENOMEM;
	p->own_lo = (lo + SF_CLUSTER_MAX - 1) & ~(SF_CLUSTER_MAX - 1);
	p->lo = p->own_lo + own;
	p->hi = p->own_lo + bytes;
	if (p->own_lo > lo)
		munmap(mem, p->own_lo - lo);
	if (lo + bytes + SF_CLUSTER_MAX > p->hi)
		munmap((void *)p->hi, lo + bytes + SF_CLUSTER_MAX - p->hi);
	return 0;
}

static int open_port(struct pool *p, const struct sf_pool_options *o)
{
	static const enum host_engine engines[] = { ENGINE_AUTO, ENGINE_UFFD, ENGINE_SEGV };
	uint64_t pages = o->bound >> PAGE_SHIFT;
	bool touch = o->flags & SF_POOL_HOST_TOUCH;
	struct host_port_config cfg = {
		.engine = touch ? ENGINE_UFFD : engines[o->engine], .host_touch = touch, .lo = p->lo, .hi = p->hi, .own_lo = p->own_lo, .own_hi = p->lo,
		.bound_pages = pages ? MAX(4 * pages, 1u << 20) : 0, /* it may be raised later */
		.fd_base = FD_BASE, .reserved = true, .self = self,
	};
	int err = host_port_create(&cfg, &p->port, NULL);

	if (!err)
		p->engine = touch || host_port_signo(p->port) == 7 ? SF_ENGINE_UFFD : SF_ENGINE_SEGV;
	return err;
}

static uint64_t store_slots(const struct sf_pool_options *o)
{
	return MAX((o->store_bytes ? o->store_bytes : STORE_DEFAULT) >> PAGE_SHIFT, 1u);
}

static int open_machine(struct pool *p, const struct sf_pool_options *o)
{
	struct machine_config cfg = {
		.port = p->port, .policy = o->policy_ops ? &policy_own : o->policy ? policy_find(o->policy) : NULL, .store = p->core_store,
		.swap_slots = store_slots(o), .bound_pages = o->bound >> PAGE_SHIFT,
		.mmap_min = p->lo, .task_size = p->hi, .mmap_base = p->hi - GUARD,
	};
	int err = machine_create(&cfg, &p->mc);

	if (err)
		return err;
	p->mm = p->mc->mm;
	p->mm->max_areas = UINT32_MAX;
	p->mc->swap_error = region_swap_error;
	if (o->policy_ops)
		err = policy_open(p, o);
	if (err)
		return err;
	if (o->warn) {
		p->warn = o->warn;
		p->warn_arg = o->warn_arg;
		p->mc->warn_arg = p;
		p->mc->warn = pool_warn;
	}
	return 0;
}

/* Everything that was opened, in whatever state. */
static void pool_close(struct pool *p)
{
	fork_unkeep(p);
	workers_stop(&p->helpers);
	workers_stop(&p->callers);
	touch_stop(p);
	if (p->mc)
		machine_destroy(p->mc);
	policy_close(p);
	pool_reap(p);
	rings_close(&p->rings);
	if (p->core_store)
		store_core_close(p->core_store);
	if (p->port)
		host_port_destroy(p->port);
	if (p->own_lo)
		munmap((void *)p->own_lo, p->hi - p->own_lo);
	if (p->store) {
		store_unuse(p->store);
		obj_put(&p->store->o);
	}
}

static void pool_free(struct obj *o)
{
	struct pool *p = container_of(o, struct pool, o);

	pool_close(p);
	free(p);
}

static int take_store(struct pool *p, sf_store *handle, bool keep)
{
	struct store_obj *s;
	int err = handle ? handle_find(handle, OBJ_STORE, (struct obj **)&s) : 0;

	if (err || !handle)
		return err;
	err = keep && !fork_can_copy(s) ? -EOPNOTSUPP : store_use_for(s, p);
	if (err)
		obj_put(&s->o);
	else
		p->store = s;
	return err;
}

static int pool_open(struct pool *p, const struct sf_pool_options *o)
{
	bool keep = o->fork == SF_FORK_KEEP;
	int err = take_store(p, o->store, keep);

	p->flags = o->flags;
	p->nr_workers = o->workers ? o->workers : 1;
	p->callers.callbacks = true;
	if (!err)
		err = handlers_install();
	if (!err)
		err = fork_watch();
	if (!err)
		err = reserve(p, o->window);
	if (!err)
		err = open_port(p, o);
	if (!err && p->store)
		err = store_core_open(p->store, p->port, store_slots(o) + 1, &p->core_store);
	if (!err)
		err = open_machine(p, o);
	if (!err && o->flags & SF_POOL_HOST_TOUCH)
		err = touch_start(p, MAX(o->workers, 2u));
	if (!err && keep)
		fork_keep(p);
	return err;
}

/* What the options point to may be gone, or a region's, when it is needed. */
static void keep_policy(struct sf_pool_options *o, struct sf_policy_ops *ops)
{
	if (o->policy)
		o->policy = policy_find(o->policy)->name;
	if (!o->policy_ops)
		return;
	struct_in(ops, o->policy_ops, sizeof(*ops));
	o->policy_ops = ops;
}

int sf_pool_create(const struct sf_pool_options *opt, sf_pool **ret)
{
	struct sf_pool_options o = { 0 };
	struct sf_policy_ops ops;
	sf_pool *made = NULL;
	struct scope sc;
	struct pool *p;
	int err = !ret || check_struct(opt, POOL_LEAST, sizeof(o)) ? -EINVAL : 0;

	if (!err) {
		struct_in(&o, opt, sizeof(o));
		err = judge(&o);
	}
	if (!err)
		keep_policy(&o, &ops);
	if (!err)
		err = lib_enter(&sc);
	if (err)
		return err;
	p = obj_new(sizeof(*p), OBJ_POOL, pool_free);
	err = p ? pool_open(p, &o) : -ENOMEM;
	if (!err)
		err = window_add(p);
	if (!err) {
		err = handle_open(&p->o);
		if (err)
			window_del(p);
		else
			made = p->o.handle;
	}
	if (p)
		obj_put(&p->o);
	lib_leave(&sc);
	if (!err)
		*ret = made;
	return err;
}

/* No region can be made any more once it is dying, and none can be left. */
static int pool_kill(struct pool *p)
{
	int err = 0;

	lk_take(&p->map_lock);
	if (p->nr_regions || p->mc->pinned)
		err = -EBUSY;
	else if (p->dying)
		err = -EBADF;
	else
		p->dying = true;
	lk_drop(&p->map_lock);
	return err;
}

int sf_pool_destroy(sf_pool *pool)
{
	struct scope sc;
	struct pool *p;
	int err = call_begin(&sc, pool, OBJ_POOL, &p);

	if (err)
		return err;
	err = pool_kill(p);
	if (!err) {
		handle_close(&p->o);
		window_del(p);
		workers_stop(&p->helpers);
		workers_stop(&p->callers);
		touch_stop(p);
		pool_reap(p);
		obj_put(&p->o);
	}
	call_end(&sc, p);
	return err;
}

int sf_pool_resize(sf_pool *pool, uint64_t bound)
{
	struct scope sc;
	struct pool *p;
	int err = bound && (bound < BOUND_MIN || bound >> PAGE_SHIFT >= UINT32_MAX) ? -EINVAL : call_begin(&sc, pool, OBJ_POOL, &p);

	if (err)
		return err;
	err = machine_set_bound(p->mc, bound >> PAGE_SHIFT);
	call_end(&sc, p);
	return err == -ENOMEM ? -ENOSPC : err;
}

/* ---------------------------------------------------------------- statistics */

static void fill_stats(struct pool *p, struct sf_pool_stats *o)
{
	struct sf_stats *st = p->mc->stats;
	uint64_t ns = 0;

	mm_lock(p->mm);
	count_store(p->mc);
	mm_unlock(p->mm);
	for (unsigned k = 0; k < NR_FAULT_KINDS; k++)
		ns += READ_ONCE(st->fault_ns[k]);
	*o = (struct sf_pool_stats){
		.bound = READ_ONCE(p->mc->bound) << PAGE_SHIFT,
		.resident = (READ_ONCE(st->resident) << PAGE_SHIFT) + READ_ONCE(st->store_bytes),
		.peak_resident = READ_ONCE(st->peak_resident) << PAGE_SHIFT,
		.pinned = READ_ONCE(p->mc->pinned) << PAGE_SHIFT,
		.regions = READ_ONCE(p->nr_regions),
		.minor = READ_ONCE(st->faults[FK_MINOR]), .major = READ_ONCE(st->faults[FK_MAJOR]),
		.soft = READ_ONCE(st->faults[FK_SOFT]), .cow = READ_ONCE(st->faults[FK_COW]),
		.illegal = READ_ONCE(st->faults[FK_ILLEGAL]) + READ_ONCE(st->faults[FK_PROT]),
		.fault_ns = ns,
		.store_in = READ_ONCE(st->swap_in), .store_out = READ_ONCE(st->swap_out),
		.home_in = READ_ONCE(p->home_in), .home_out = READ_ONCE(p->home_out),
		.store_bytes = READ_ONCE(st->swapped) << PAGE_SHIFT,
		.dropped = READ_ONCE(st->pages_dropped),
		.readahead = READ_ONCE(st->readahead), .readahead_hit = READ_ONCE(st->readahead_hit),
		.read_errors = READ_ONCE(p->read_errors),
		.write_errors = READ_ONCE(p->write_errors) + READ_ONCE(st->swap_errors),
		.checksum_errors = READ_ONCE(p->checksum_errors) + READ_ONCE(st->checksum_errors),
		.host_maps = READ_ONCE(p->port->nr_maps),
		.engine = p->engine,
		.policy_errors = policy_errors(p),
	};
}

int sf_pool_stats(sf_pool *pool, struct sf_pool_stats *ret)
{
	struct sf_pool_stats st;
	struct scope sc;
	struct pool *p;
	int err = check_struct(ret, sizeof(size_t), SIZE_MAX);

	if (!err)
		err = call_begin(&sc, pool, OBJ_POOL, &p);
	if (err)
		return err;
	fill_stats(p, &st);
#ifdef SF_DEBUG
	machine_check(p->mc);
#endif
	call_end(&sc, p);
	struct_out(ret, &st, sizeof(st));
	return 0;
}
