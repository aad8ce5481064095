/* SPDX-License-Identifier: MIT */
/* snapshot.c - names for the core's snapshots (mm/snap.c), and saving one to a store
 *
 * A snapshot is used under its region's op_lock, so of calls on one region's snapshots one is at work at a time; long ones let others in between
 * pieces.  Nothing of the caller's is touched under it but with sf_copy_to. */
#define SF_BUILDING
#include "lib/lib.h"

#include <stdlib.h>

struct snapshot {
	struct obj o;
	struct region *region;
	struct snap *snap;        /* NULL: dropped.  op_lock */
	bool mapped;              /* map_lock */
};

static void snapshot_free(struct obj *o)
{
	struct snapshot *s = container_of(o, struct snapshot, o);

	obj_put(&s->region->o);
	free(s);
}

struct pool *snapshot_pool(struct obj *o)
{
	return container_of(o, struct snapshot, o)->region->pool;
}

static struct task task_now(void)
{
	return (struct task){ .tid = thread_number() };
}

/* The region's lock; -EBADF if the snapshot has gone meanwhile. */
static int snapshot_lock(struct snapshot *s)
{
	lk_take(&s->region->op_lock);
	if (s->snap)
		return 0;
	lk_drop(&s->region->op_lock);
	return -EBADF;
}

static int snapshot_begin(struct scope *sc, sf_snapshot *handle, struct snapshot **ret)
{
	struct snapshot *s;
	int err = call_begin(sc, handle, OBJ_SNAPSHOT, &s);

	if (err)
		return err;
	err = snapshot_lock(s);
	if (err)
		call_end(sc, s);
	else
		*ret = s;
	return err;
}

static void snapshot_end(struct scope *sc, struct snapshot *s)
{
	struct region *r = s->region;

	obj_get(&r->o);
	obj_put(&s->o);
	region_end(sc, r);
}

/* ---------------------------------------------------------------- taking and dropping */

/* locked: op_lock */
static int snapshot_take(struct region *r, struct snapshot **ret)
{
	struct snapshot *s = obj_new(sizeof(*s), OBJ_SNAPSHOT, snapshot_free);
	struct task tk = task_now();
	int err;

	if (!s)
		return -ENOMEM;
	s->region = r;
	obj_get(&r->o);
	lk_take(&r->pool->map_lock);
	err = snap_take(r->pool->mm, &tk, r->addr, r->len, &s->snap);
	lk_drop(&r->pool->map_lock);
	if (err) {
		obj_put(&s->o);
		return err;
	}
	snap_set_owner(s->snap, s);
	r->snapshots++;
	*ret = s;
	return 0;
}

/* locked: op_lock */
static int snapshot_gone(struct snapshot *s)
{
	struct pool *p = s->region->pool;
	int err = -EBUSY;

	lk_take(&p->map_lock);
	if (!s->mapped)
		err = snap_drop(s->snap);
	lk_drop(&p->map_lock);
	if (err)
		return err;
	s->snap = NULL;
	s->region->snapshots--;
	return 0;
}

int sf_snapshot_create(sf_region *region, const struct sf_snapshot_options *opt, sf_snapshot **ret)
{
	sf_snapshot *made = NULL;
	struct snapshot *s;
	struct region *r;
	struct scope sc;
	int err = ret ? 0 : -EINVAL;

	if (!err && opt)
		err = check_struct(opt, sizeof(*opt), sizeof(*opt));
	if (!err && opt && opt->flags)
		err = -EINVAL;
	if (!err)
		err = region_begin(&sc, region, &r);
	if (err)
		return err;
	err = r->snap ? -EINVAL : snapshot_take(r, &s);
	if (!err) {
		err = handle_open(&s->o);
		if (err)
			SF_BUG_ON(snapshot_gone(s));
		else
			made = s->o.handle;
		obj_put(&s->o);
	}
	region_end(&sc, r);
	if (!err)
		*ret = made;
	return err;
}

int sf_snapshot_drop(sf_snapshot *snap)
{
	struct snapshot *s;
	struct scope sc;
	int err = snapshot_begin(&sc, snap, &s);

	if (err)
		return err;
	err = snapshot_gone(s);
	if (!err && !handle_close(&s->o))
		obj_put(&s->o);
	snapshot_end(&sc, s);
	return err;
}

/* ---------------------------------------------------------------- reading */

/* One page, or the part of it that is wanted, to bounce. */
static int read_piece(struct snapshot *s, uint64_t off, void *bounce, uint64_t n)
{
	struct task tk = task_now();
	int err = snapshot_lock(s);

	if (err)
		return err;
	err = snap_read(s->snap, &tk, off, bounce, n);
	lk_drop(&s->region->op_lock);
	return err;
}

ssize_t sf_snapshot_read(sf_snapshot *snap, uint64_t off, void *buf, size_t len)
{
	char bounce[PAGE_SIZE];
	struct snapshot *s;
	struct scope sc;
	size_t done = 0;
	uint64_t all;
	int err = buf ? call_begin(&sc, snap, OBJ_SNAPSHOT, &s) : -EINVAL;

	if (err)
		return err;
	all = READ_ONCE(s->region->len); /* cannot change while there are snapshots */
	len = off < all ? MIN(len, all - off) : 0;
	while (done < len && !err) {
		uint64_t at = off + done, n = MIN(len - done, PAGE_SIZE - (at & ~PAGE_MASK));

		err = read_piece(s, at, bounce, n);
		if (!err && sf_copy_to((char *)buf + done, bounce, n, NULL))
			err = -EFAULT;
		done += err ? 0 : n;
	}
	call_end(&sc, s);
	return done || !err ? (ssize_t)done : err;
}

int sf_snapshot_map(sf_snapshot *snap, sf_region **ret, void **ret_addr)
{
	struct region *r = NULL;
	sf_region *made = NULL;
	struct snapshot *s;
	struct scope sc;
	void *addr = NULL;
	int err = ret ? snapshot_begin(&sc, snap, &s) : -EINVAL;

	if (err)
		return err;
	struct pool *p = s->region->pool;

	lk_take(&p->map_lock);
	err = s->mapped ? -EBUSY : region_adopt(p, snap_base(s->snap), s->region->len, s->snap, &r);
	s->mapped |= !err;
	lk_drop(&p->map_lock);
	if (!err) {
		made = r->o.handle;
		addr = (void *)r->addr;
		obj_put(&r->o);
	}
	snapshot_end(&sc, s);
	if (err)
		return err;
	*ret = made;
	if (ret_addr)
		*ret_addr = addr;
	return 0;
}

void snapshot_unmapped(struct snap *snap)
{
	struct snapshot *s = snap_owner(snap);

	s->mapped = false;
}

/* ---------------------------------------------------------------- differences */

/* Another one of the same region, whose lock is held. */
static int find_other(struct snapshot *s, sf_snapshot *handle, struct snapshot **ret)
{
	struct snapshot *t;
	int err = handle_find(handle, OBJ_SNAPSHOT, (struct obj **)&t);

	if (err)
		return err;
	if (t->region == s->region && t->snap) {
		*ret = t;
		return 0;
	}
	err = t->region == s->region ? -EBADF : -EINVAL;
	obj_put(&t->o);
	return err;
}

/* Both ways round.  to NULL: now. */
static uint64_t next_diff(struct snap *from, struct snap *to, uint64_t i, uint64_t end)
{
	return to && !snap_before(from, to) ? snap_next_diff(to, from, i, end) : snap_next_diff(from, to, i, end);
}

static int list_diff(struct snap *from, struct snap *to, uint64_t *off, uint64_t len, struct sf_range *ret, unsigned max)
{
	uint64_t i = PFN(*off), end = PFN(len);
	unsigned n = 0;

	for (; (i = next_diff(from, to, i, end)) < end; i++)
		if (n && ret[n - 1].off + ret[n - 1].len == PVA(i))
			ret[n - 1].len += PAGE_SIZE;
		else if (n == max)
			break;
		else
			ret[n++] = (struct sf_range){ PVA(i), PAGE_SIZE };
	*off = PVA(i);
	return (int)n;
}

#define RANGES 64u

int sf_snapshot_diff(sf_snapshot *from, sf_snapshot *to, uint64_t *off, struct sf_range *ret, unsigned max)
{
	struct sf_range part[RANGES];
	struct snapshot *s, *t = NULL;
	struct scope sc;
	uint64_t at = off ? *off : 0;
	int n = !off || !ret || !max || at & ~PAGE_MASK ? -EINVAL : snapshot_begin(&sc, from, &s);

	if (n)
		return n;
	if (at > s->region->len)
		n = -EINVAL;
	if (!n && to)
		n = find_other(s, to, &t);
	if (!n)
		n = list_diff(s->snap, t ? t->snap : NULL, &at, s->region->len, part, MIN(max, RANGES));
	if (t)
		obj_put(&t->o);
	snapshot_end(&sc, s);
	if (n < 0)
		return n;
	*off = at;
	memcpy(ret, part, (unsigned)n * sizeof(*part));
	return n;
}

/* ---------------------------------------------------------------- rolling back */

int sf_snapshot_rollback(sf_snapshot *snap)
{
	struct task tk = task_now();
	struct snapshot *s;
	struct scope sc;
	int err = snapshot_begin(&sc, snap, &s);

	if (err)
		return err;
	err = snap_rollback(s->snap, &tk);
	snapshot_end(&sc, s);
	return err;
}

/* ---------------------------------------------------------------- saving */

struct save {
	struct snapshot *s, *since;
	struct store_obj *store;
	char *buf;             /* SF_IOBUF bytes */
	uint64_t off, len;     /* what it holds */
};

static int save_flush(struct save *sv)
{
	int64_t r = sv->len ? store_io(sv->store, SF_IO_WRITE, sv->buf, sv->len, sv->off) : 0;

	sv->len = 0;
	return r < 0 ? (int)r : 0;
}

/* Beyond the end of a file there is nothing to save. */
static int save_page(struct save *sv, uint64_t i)
{
	struct task tk = task_now();
	int err = 0;

	if (sv->len == SF_IOBUF || (sv->len && sv->off + sv->len != PVA(i)))
		err = save_flush(sv);
	if (err)
		return err;
	err = snap_read(sv->s->snap, &tk, PVA(i), sv->buf + sv->len, PAGE_SIZE);
	if (err)
		return err == -ENXIO ? 0 : err;
	if (!sv->len)
		sv->off = PVA(i);
	sv->len += PAGE_SIZE;
	return 0;
}

static int save_all(struct save *sv)
{
	struct snap *s = sv->s->snap, *since = sv->since ? sv->since->snap : NULL;
	uint64_t end = snap_pages(s), i = 0;
	int err = 0;

	for (; !err && i < end; i++) {
		i = since ? next_diff(since, s, i, end) : snap_next_used(s, i, end);
		if (i < end)
			err = save_page(sv, i);
	}
	if (!err)
		err = save_flush(sv);
	if (!err)
		err = (int)store_io(sv->store, SF_IO_SYNC, NULL, 0, 0);
	return err;
}

static int save_to(struct snapshot *s, struct snapshot *since, struct store_obj *store)
{
	struct machine *mc = s->region->pool->mc;
	struct save sv = { .s = s, .since = since, .store = store };
	int err = store->kind == STORE_COMPRESSED ? -EINVAL : store_use(store);

	if (err)
		return err;
	sv.buf = iobuf_get(mc);
	err = save_all(&sv);
	iobuf_put(mc, sv.buf);
	store_unuse(store);
	return err;
}

int sf_snapshot_save(sf_snapshot *snap, sf_snapshot *since, sf_store *store)
{
	struct snapshot *s, *t = NULL;
	struct store_obj *st = NULL;
	struct scope sc;
	int err = snapshot_begin(&sc, snap, &s);

	if (err)
		return err;
	err = handle_find(store, OBJ_STORE, (struct obj **)&st);
	if (!err && since)
		err = find_other(s, since, &t);
	if (!err)
		err = save_to(s, t, st);
	if (t)
		obj_put(&t->o);
	if (st)
		obj_put(&st->o);
	snapshot_end(&sc, s);
	return err;
}
