/* SPDX-License-Identifier: MIT */
/* store.c - stores: bytes under byte offsets, whatever keeps them
 *
 *     kind         read and write                           as the store of a pool
 *     USER         the application's, inline or by request  an adapter: slot i at byte i * 4096
 *     FILE         pread, pwrite                            the core's file store (gives blocks back)
 *     MEMORY       memcpy                                   adapter
 *     COMPRESSED   -                                        the core's zram above an adapter of what is below
 *     FAULTY       the one below, but for what was planned  adapter
 *
 * store_io runs in the fault handler. */
#include "lib/lib.h"
#include "store/stores.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* ---------------------------------------------------------------- input and output; fault handler */

static int64_t fd_io(int fd, enum sf_io_op op, char *buf, uint64_t len, uint64_t off)
{
	uint64_t done = 0;

	while (done < len) {
		int64_t r = host_call4(op == SF_IO_READ ? __NR_pread64 : __NR_pwrite64, fd, buf + done, len - done, off + done);

		if (r == -EINTR)
			continue;
		if (!r && op == SF_IO_READ) { /* ends here: as a hole */
			memset(buf + done, 0, len - done);
			break;
		}
		if (r <= 0 || (uint64_t)r > len - done)
			return r < 0 ? r : -EIO;
		done += (uint64_t)r;
	}
	return (int64_t)len;
}

/* A file store ends nowhere: what was never written reads as zeros, as a hole does. */
static int64_t file_io(struct store_obj *s, enum sf_io_op op, char *buf, uint64_t len, uint64_t off)
{
	if (op == SF_IO_SYNC)
		return host_call1(__NR_fdatasync, s->fd);
	if (op == SF_IO_TRIM) {
		host_call4(__NR_fallocate, s->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, off, len);
		return 0;
	}
	if (off > s->max_bytes || len > s->max_bytes - off)
		return op == SF_IO_READ ? -EIO : -ENOSPC;
	return fd_io(s->fd, op, buf, len, off);
}

static int64_t memory_io(struct store_obj *s, enum sf_io_op op, char *buf, uint64_t len, uint64_t off)
{
	if (op == SF_IO_SYNC)
		return 0;
	if (off > s->max_bytes || len > s->max_bytes - off)
		return op == SF_IO_READ ? -EIO : -ENOSPC;
	if (op == SF_IO_TRIM) {
		host_call3(__NR_madvise, s->mem + off, len, MADV_DONTNEED);
		return 0;
	}
	if (op == SF_IO_READ)
		memcpy(buf, s->mem + off, len);
	else
		memcpy(s->mem + off, buf, len);
	return (int64_t)len;
}

static int64_t inline_io(struct store_obj *s, enum sf_io_op op, void *buf, uint64_t len, uint64_t off)
{
	struct lib_thread was = lib_thread;
	int64_t r = 0;

	lib_thread.in_callback++;
	lib_thread.callback_pool = s->pool;
	if (op == SF_IO_READ)
		r = s->ops.read(s->arg, buf, len, off);
	else if (op == SF_IO_WRITE)
		r = s->ops.write ? s->ops.write(s->arg, buf, len, off) : -EROFS;
	else if (op == SF_IO_SYNC)
		r = s->ops.sync ? s->ops.sync(s->arg) : 0;
	else if (s->ops.trim)
		r = s->ops.trim(s->arg, off, len);
	lib_thread.in_callback = was.in_callback;
	lib_thread.callback_pool = was.callback_pool;
	if (r < 0 || op > SF_IO_WRITE)
		return MIN(r, 0);
	return (uint64_t)r == len ? r : -EIO;
}

static void be_slow(uint32_t us)
{
	struct { int64_t s, ns; } ts = { us / 1000000, (us % 1000000) * 1000 };

	if (us)
		host_call2(__NR_nanosleep, &ts, 0);
}

static bool planned(uint64_t *calls, uint64_t at, uint64_t times)
{
	uint64_t call = __atomic_add_fetch(calls, 1, __ATOMIC_RELAXED);

	return at && call >= at && call - at < MAX(times, 1u);
}

static int64_t faulty_io(struct store_obj *s, enum sf_io_op op, char *buf, uint64_t len, uint64_t off)
{
	const struct sf_fault_plan *pl = &s->plan;
	bool wrong = false;
	int64_t r;

	if (op == SF_IO_READ)
		wrong = planned(&s->reads, pl->fail_read, pl->fail_times);
	else if (op == SF_IO_WRITE)
		wrong = planned(&s->writes, pl->fail_write, pl->fail_times);
	be_slow(pl->delay_us);
	if (wrong && !pl->corrupt && !pl->short_count)
		return pl->error ? pl->error : -EIO;
	r = store_io(s->below, op, buf, wrong && pl->short_count ? len / 2 & ~4095ull : len, off);
	if (wrong && pl->short_count)
		return -EIO;
	if (wrong && op == SF_IO_READ && r > 0)
		buf[r / 3] ^= 4;
	return r;
}

int64_t store_io(struct store_obj *s, enum sf_io_op op, void *buf, uint64_t len, uint64_t off)
{
	if (!len && op != SF_IO_SYNC)
		return 0;
	switch (s->kind) {
	case STORE_USER:
		return s->req ? request_io(s, op, buf, len, off) : inline_io(s, op, buf, len, off);
	case STORE_FILE:
		return file_io(s, op, buf, len, off);
	case STORE_MEMORY:
		return memory_io(s, op, buf, len, off);
	case STORE_FAULTY:
		return faulty_io(s, op, buf, len, off);
	default:
		return -EIO; /* compressed: only for pools */
	}
}

/* ---------------------------------------------------------------- as the core knows them */

struct adapter {
	struct store store;
	struct store_obj *so;
	struct port *port;
};

static struct store_obj *so_of(struct store *s)
{
	return container_of(s, struct adapter, store)->so;
}

static int adapter_write(struct store *s, uint64_t slot, unsigned n, const void *buf)
{
	int64_t r = store_io(so_of(s), SF_IO_WRITE, (void *)(uintptr_t)buf, n * PAGE_SIZE, slot * PAGE_SIZE);

	return r < 0 ? (int)r : 0;
}

static int adapter_read(struct store *s, uint64_t slot, unsigned n, void *buf)
{
	int64_t r = store_io(so_of(s), SF_IO_READ, buf, n * PAGE_SIZE, slot * PAGE_SIZE);

	return r < 0 ? (int)r : 0;
}

/* Under the mm lock: nothing may wait for another thread here, and nothing may pass a later write. */
static void adapter_discard(struct store *s, uint64_t slot, unsigned n)
{
	struct store_obj *so = so_of(s);

	while (so->kind == STORE_FAULTY)
		so = so->below;
	if (!so->req && so->kind != STORE_COMPRESSED)
		(void)store_io(so, SF_IO_TRIM, NULL, n * PAGE_SIZE, slot * PAGE_SIZE);
}

static void adapter_close(struct store *s)
{
	struct adapter *a = container_of(s, struct adapter, store);

	a->port->ops->free(a->port, a, sizeof(*a));
}

static const struct store_ops adapter_ops = {
	.name = "adapter", .write = adapter_write, .read = adapter_read, .discard = adapter_discard, .close = adapter_close,
};

static int adapter_open(struct store_obj *so, struct port *port, struct store **ret)
{
	struct adapter *a = port->ops->alloc(port, sizeof(*a));

	if (!a)
		return -ENOMEM;
	*a = (struct adapter){ .store.ops = &adapter_ops, .so = so, .port = port };
	*ret = &a->store;
	return 0;
}

static int compressed_open(struct store_obj *so, struct port *port, uint64_t slots, struct store **ret)
{
	struct store_zram_config cfg = { .max_bytes = so->max_bytes, .max_slots = slots };
	int err = so->below ? store_core_open(so->below, port, slots, &cfg.below) : 0;

	if (err)
		return err;
	err = store_zram_create(&cfg, port, ret);
	if (err && cfg.below)
		store_core_close(cfg.below);
	return err;
}

int store_core_open(struct store_obj *so, struct port *port, uint64_t slots, struct store **ret)
{
	struct store_file_config fc = { .fd = so->fd, .max_bytes = so->max_bytes };

	if (so->kind == STORE_COMPRESSED)
		return compressed_open(so, port, slots, ret);
	if (so->kind == STORE_FILE)
		return store_file_create(&fc, port, ret);
	return adapter_open(so, port, ret);
}

void store_core_close(struct store *s)
{
	while (s) {
		struct store *below = s->below;

		s->ops->close(s);
		s = below;
	}
}

/* ---------------------------------------------------------------- making and closing */

static void store_free(struct obj *o)
{
	struct store_obj *s = container_of(o, struct store_obj, o);

	if (s->req)
		requests_close(s);
	if (s->kind == STORE_USER && s->ops.close) {
		lib_thread.in_callback++;
		s->ops.close(s->arg);
		lib_thread.in_callback--;
	}
	if (s->fd >= 0)
		close(s->fd);
	if (s->mem)
		munmap(s->mem, s->max_bytes);
	if (s->below) {
		store_unuse(s->below);
		obj_put(&s->below->o);
	}
	if (!s->req) /* else requests that never end still point here */
		free(s);
}

static struct store_obj *store_new(enum store_kind kind)
{
	struct store_obj *s = obj_new(sizeof(*s), OBJ_STORE, store_free);

	if (s) {
		s->kind = kind;
		s->fd = -1;
	}
	return s;
}

/* The last step of every kind: a name, or nothing. */
static int store_done(struct store_obj *s, int err, sf_store **ret)
{
	if (!err)
		err = handle_open(&s->o);
	if (!err)
		*ret = s->o.handle;
	else
		s->ops.close = NULL; /* it was never the application's */
	obj_put(&s->o);
	return err;
}

/* Only now may the caller's memory be touched. */
static int store_leave(struct scope *sc, int err, sf_store *made, sf_store **ret)
{
	lib_leave(sc);
	if (!err)
		*ret = made;
	return err;
}

int store_use(struct store_obj *s)
{
	uint32_t none = 0;

	return __atomic_compare_exchange_n(&s->used, &none, 1, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED) ? 0 : -EBUSY;
}

int store_use_for(struct store_obj *s, const struct pool *p)
{
	int err = store_use(s);

	for (; !err && s; s = s->below)
		s->pool = p;
	return err;
}

void store_unuse(struct store_obj *s)
{
	__atomic_store_n(&s->used, 0, __ATOMIC_RELEASE);
}

#define STORE_OPS_LEAST offsetof(struct sf_store_ops, workers)

static int judge_ops(const struct sf_store_ops *ops)
{
	if (check_struct(ops, STORE_OPS_LEAST, sizeof(*ops)))
		return -EINVAL;
	if (ops->flags & ~SF_STORE_INLINE || (!ops->read && !ops->submit))
		return -EINVAL;
	if (ops->flags & SF_STORE_INLINE && (ops->submit || ops->timeout_ms))
		return -EINVAL;
	return 0;
}

int sf_store_create(const struct sf_store_ops *ops, void *arg, sf_store **ret)
{
	struct sf_store_ops mine;
	struct store_obj *s;
	struct scope sc;
	sf_store *made = NULL;
	int err = !ret || judge_ops(ops) ? -EINVAL : 0;

	if (!err) {
		struct_in(&mine, ops, sizeof(mine));
		err = lib_enter(&sc);
	}
	if (err)
		return err;
	s = store_new(STORE_USER);
	err = -ENOMEM;
	if (s) {
		s->ops = mine;
		s->arg = arg;
		err = s->ops.workers > WORKERS_MAX ? -EINVAL : s->ops.flags & SF_STORE_INLINE ? 0 : requests_open(s);
		err = store_done(s, err, &made);
	}
	return store_leave(&sc, err, made, ret);
}

/* The file opened once more: flags of a duplicate would be the application's too. */
static int open_direct(int fd)
{
	char path[40];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, O_RDWR | O_CLOEXEC | O_DIRECT);
}

int sf_store_file(int fd, uint64_t max_bytes, unsigned flags, sf_store **ret)
{
	struct store_obj *s;
	struct scope sc;
	sf_store *made = NULL;
	int err, mode;

	if (!ret || flags & ~SF_STORE_DIRECT || max_bytes > INT64_MAX)
		return -EINVAL;
	mode = fcntl(fd, F_GETFL);
	if (mode < 0 || (mode & O_ACCMODE) != O_RDWR)
		return -EBADF;
	if (lseek(fd, 0, SEEK_CUR) < 0)
		return -ESPIPE;
	err = lib_enter(&sc);
	if (err)
		return err;
	s = store_new(STORE_FILE);
	err = -ENOMEM;
	if (s) {
		s->max_bytes = max_bytes ? max_bytes & ~4095ull : 1ull << 40;
		s->fd = flags & SF_STORE_DIRECT ? open_direct(fd) : fcntl(fd, F_DUPFD_CLOEXEC, 3);
		err = s->fd < 0 ? -errno : 0;
		err = store_done(s, err, &made);
	}
	return store_leave(&sc, err, made, ret);
}

int sf_store_memory(uint64_t max_bytes, sf_store **ret)
{
	struct store_obj *s;
	struct scope sc;
	int err = !ret || max_bytes < SF_PAGE || max_bytes > 1ull << 46 ? -EINVAL : lib_enter(&sc);
	sf_store *made = NULL;
	void *mem;

	if (err)
		return err;
	s = store_new(STORE_MEMORY);
	err = -ENOMEM;
	if (s) {
		s->max_bytes = max_bytes & ~4095ull;
		mem = mmap(NULL, s->max_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		s->mem = mem == MAP_FAILED ? NULL : mem;
		err = store_done(s, s->mem ? 0 : -ENOMEM, &made);
	}
	return store_leave(&sc, err, made, ret);
}

/* A store of this kind above below, which it takes for itself. */
static int stack_store(enum store_kind kind, uint64_t max_bytes, struct store_obj *below, sf_store **ret)
{
	struct store_obj *s = store_new(kind);
	int err;

	if (!s)
		return -ENOMEM;
	s->max_bytes = max_bytes;
	err = below && below->kind == STORE_COMPRESSED ? -EINVAL : below ? store_use(below) : 0;
	if (!err && below) {
		obj_get(&below->o);
		s->below = below;
	}
	return store_done(s, err, ret);
}

int sf_store_compressed(uint64_t max_bytes, sf_store *below, sf_store **ret)
{
	struct store_obj *b = NULL;
	struct scope sc;
	sf_store *made = NULL;
	int err = !ret || max_bytes < 32 << 10 ? -EINVAL : lib_enter(&sc);

	if (err)
		return err;
	if (below)
		err = handle_find(below, OBJ_STORE, (struct obj **)&b);
	if (!err)
		err = stack_store(STORE_COMPRESSED, max_bytes, b, &made);
	if (b)
		obj_put(&b->o);
	return store_leave(&sc, err, made, ret);
}

int sf_store_faulty(sf_store *below, sf_store **ret)
{
	struct store_obj *b;
	struct scope sc;
	sf_store *made = NULL;
	int err = ret ? call_begin(&sc, below, OBJ_STORE, &b) : -EINVAL;

	if (err)
		return err;
	err = stack_store(STORE_FAULTY, 0, b, &made);
	obj_put(&b->o);
	return store_leave(&sc, err, made, ret);
}

int sf_store_faulty_plan(sf_store *store, const struct sf_fault_plan *plan)
{
	struct sf_fault_plan mine;
	struct store_obj *s;
	struct scope sc;
	int err = check_struct(plan, sizeof(*plan), sizeof(*plan));

	if (!err) {
		struct_in(&mine, plan, sizeof(mine));
		err = mine.error > 0 || mine.error < -4095 ? -EINVAL : 0;
	}
	if (!err)
		err = call_begin(&sc, store, OBJ_STORE, &s);
	if (err)
		return err;
	err = s->kind == STORE_FAULTY ? 0 : -EINVAL;
	if (!err) {
		s->plan = mine;
		s->reads = s->writes = 0;
	}
	call_end(&sc, s);
	return err;
}

int sf_store_close(sf_store *store)
{
	struct store_obj *s;
	struct scope sc;
	int err = call_begin(&sc, store, OBJ_STORE, &s);

	if (err)
		return err;
	err = store_use(s);
	if (!err) {
		err = handle_close(&s->o);
		if (!err)
			obj_put(&s->o);
	}
	call_end(&sc, s);
	return err;
}
