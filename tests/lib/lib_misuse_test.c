/* SPDX-License-Identifier: MIT */
/* misuse_test.c - every public call with every argument wrong answers a documented error, and nothing comes of it */
#include "lib_test.h"

#include <fcntl.h>
#include <unistd.h>

static void *const wild[] = { (void *)1, (void *)0x1000001, (void *)0x7fffffffffff, (void *)-1, (void *)0x123456789abcdef0 };
#define NR_WILD 5

static sf_pool *pool, *dead_pool;
static sf_region *region, *dead_region;
static sf_store *store, *dead_store;
static char *mem;

static void open_all(void)
{
	pool = open_pool(BOUND);
	OK(sf_map(pool, 10 * PAGE, NULL, &region, (void **)&mem));
	OK(sf_store_memory(1 << 20, &store));
	OK(sf_store_memory(1 << 20, &dead_store));
	OK(sf_store_close(dead_store));
	OK(sf_map(pool, PAGE, NULL, &dead_region, NULL));
	OK(sf_unmap(dead_region));
	OK(sf_pool_create(POOL_OPTIONS(), &dead_pool));
	OK(sf_pool_destroy(dead_pool));
}

static void close_all(void)
{
	OK(sf_store_close(store));
	OK(sf_unmap(region));
	close_pool(pool);
}

/* A call that takes a handle, with every handle that is none; good is of another kind. */
#define BAD_HANDLES(type, dead, good, call)                                \
	do {                                                               \
		type *h = NULL;                                            \
		assert_int_equal(call, -EINVAL);                           \
		h = dead;                                                  \
		assert_int_equal(call, -EBADF);                            \
		h = (type *)(good);                                        \
		assert_int_equal(call, -EBADF);                            \
		for (unsigned w_ = 0; w_ < NR_WILD; w_++) {                \
			h = wild[w_];                                      \
			assert_int_equal(call, -EBADF);                    \
		}                                                          \
	} while (0)
#define BAD_POOLS(call) BAD_HANDLES(sf_pool, dead_pool, region, call)
#define BAD_REGIONS(call) BAD_HANDLES(sf_region, dead_region, store, call)
#define BAD_STORES(call) BAD_HANDLES(sf_store, dead_store, pool, call)

static void handles_that_are_none(void **state)
{
	struct sf_pool_stats ps = { .struct_size = sizeof(ps) };
	struct sf_region_stats rs = { .struct_size = sizeof(rs) };
	struct sf_region_info ri = { .struct_size = sizeof(ri) };
	struct sf_fault_plan fp = { .struct_size = sizeof(fp) };
	struct sf_range range;
	sf_region *r;
	sf_store *s;
	sf_pool *p;
	unsigned char vec[16];
	uint64_t off = 0;

	open_all();
	BAD_POOLS(sf_pool_destroy(h));
	BAD_POOLS(sf_pool_resize(h, BOUND));
	BAD_POOLS(sf_pool_stats(h, &ps));
	BAD_POOLS(sf_map(h, PAGE, NULL, &r, NULL));
	BAD_REGIONS(sf_unmap(h));
	BAD_REGIONS(sf_region_info(h, &ri));
	BAD_REGIONS(sf_protect(h, 0, PAGE, SF_READ));
	BAD_REGIONS(sf_resize(h, PAGE, 0, NULL));
	BAD_REGIONS(sf_move(h, NULL, NULL));
	BAD_REGIONS(sf_advise(h, 0, PAGE, SF_COLD));
	BAD_REGIONS(sf_sync(h, 0, 0, 0));
	BAD_REGIONS(sf_residency(h, 0, PAGE, vec));
	BAD_REGIONS(sf_region_stats(h, &rs));
	BAD_REGIONS(sf_dirty_ranges(h, &off, &range, 1));
	BAD_STORES(sf_store_close(h));
	BAD_STORES(sf_store_faulty(h, &s));
	BAD_STORES(sf_store_faulty_plan(h, &fp));
	for (unsigned i = 0; i < NR_WILD; i++) {
		assert_int_equal(sf_store_compressed(1 << 20, wild[i], &s), -EBADF);
		assert_int_equal(sf_pool_create(POOL_OPTIONS(.store = wild[i]), &p), -EBADF);
		assert_int_equal(sf_map(pool, PAGE, MAP(.kind = SF_STORE, .store = wild[i]), &r, NULL), -EBADF);
	}
	close_all();
}

static void pools_of_the_wrong_kind(void **state)
{
	sf_pool *p;

	open_all();
	assert_int_equal(sf_pool_create(NULL, &p), -EINVAL);
	assert_int_equal(sf_pool_create(POOL_OPTIONS(), NULL), -EINVAL);
	assert_int_equal(sf_pool_create(POOL_OPTIONS(.struct_size = 0), &p), -EINVAL);
	assert_int_equal(sf_pool_create(POOL_OPTIONS(.struct_size = 8), &p), -EINVAL);
	assert_int_equal(sf_pool_create(POOL_OPTIONS(.struct_size = 1 << 20), &p), -EINVAL);
	assert_int_equal(sf_pool_create(POOL_OPTIONS(.bound = PAGE), &p), -EINVAL);
	assert_int_equal(sf_pool_create(POOL_OPTIONS(.bound = UINT64_MAX), &p), -EINVAL);
	assert_int_equal(sf_pool_create(POOL_OPTIONS(.policy = "no such"), &p), -EINVAL);
	assert_int_equal(sf_pool_create(POOL_OPTIONS(.flags = 1u << 31), &p), -EINVAL);
	assert_int_equal(sf_pool_create(&(struct sf_pool_options){ .struct_size = sizeof(struct sf_pool_options), .engine = SF_ENGINE_SEGV,
								   .flags = SF_POOL_HOST_TOUCH }, &p), -EOPNOTSUPP);
	assert_int_equal(sf_pool_create(&(struct sf_pool_options){ .struct_size = sizeof(struct sf_pool_options), .fork = SF_FORK_KEEP,
								   .flags = SF_POOL_HOST_TOUCH }, &p), -EOPNOTSUPP);
	assert_int_equal(sf_pool_create(POOL_OPTIONS(.fork = 2), &p), -EINVAL);
	assert_int_equal(sf_pool_create(POOL_OPTIONS(.workers = 17), &p), -EINVAL);
	assert_int_equal(sf_pool_create(POOL_OPTIONS(.window = 1ull << 60), &p), -EINVAL);
	assert_int_equal(sf_pool_create(&(struct sf_pool_options){ .struct_size = sizeof(struct sf_pool_options), .engine = 3 }, &p), -EINVAL);
	sf_region *r;
	OK(sf_map(pool, PAGE, MAP(.kind = SF_STORE, .store = store), &r, NULL));
	assert_int_equal(sf_pool_create(POOL_OPTIONS(.store = store), &p), -EBUSY);
	assert_int_equal(sf_map(pool, PAGE, MAP(.kind = SF_STORE, .store = store), &region, NULL), -EBUSY);
	assert_int_equal(sf_store_close(store), -EBUSY);
	OK(sf_unmap(r));
	struct { struct sf_pool_options o; char later[8]; } big = { .o = { .struct_size = sizeof(big), .bound = BOUND } };
	OK(sf_pool_create(&big.o, &p));
	OK(sf_pool_destroy(p));
	big.later[3] = 1;
	assert_int_equal(sf_pool_create(&big.o, &p), -EINVAL);
	assert_int_equal(sf_pool_destroy(pool), -EBUSY);
	assert_int_equal(sf_pool_resize(pool, 1), -EINVAL);
	assert_int_equal(sf_pool_resize(pool, UINT64_MAX), -EINVAL);
	assert_int_equal(sf_pool_stats(pool, NULL), -EINVAL);
	assert_int_equal(sf_pool_stats(pool, &(struct sf_pool_stats){ .struct_size = 2 }), -EINVAL);
	close_all();
}

static void mappings_of_the_wrong_kind(void **state)
{
	int fd = temp_file(1);
	sf_region *r;

	open_all();
	assert_int_equal(sf_map(pool, 0, NULL, &r, NULL), -EINVAL);
	assert_int_equal(sf_map(pool, UINT64_MAX, NULL, &r, NULL), -EINVAL);
	assert_int_equal(sf_map(pool, 1ull << 46, NULL, &r, NULL), -ENOMEM);
	assert_int_equal(sf_map(pool, PAGE, NULL, NULL, NULL), -EINVAL);
	assert_int_equal(sf_map(pool, PAGE, MAP(.struct_size = 4), &r, NULL), -EINVAL);
	assert_int_equal(sf_map(pool, PAGE, MAP(.kind = 4), &r, NULL), -EINVAL);
	assert_int_equal(sf_map(pool, PAGE, MAP(.prot = 4), &r, NULL), -EINVAL);
	assert_int_equal(sf_map(pool, PAGE, MAP(.flags = 64), &r, NULL), -EINVAL);
	assert_int_equal(sf_map(pool, PAGE, MAP(.reserved = 1), &r, NULL), -EINVAL);
	assert_int_equal(sf_map(pool, PAGE, MAP(.cluster = 5000), &r, NULL), -EINVAL);
	assert_int_equal(sf_map(pool, PAGE, MAP(.cluster = 2048), &r, NULL), -EINVAL);
	assert_int_equal(sf_map(pool, PAGE, MAP(.cluster = 4 << 20), &r, NULL), -EINVAL);
	assert_int_equal(sf_map(pool, PAGE, MAP(.offset = PAGE), &r, NULL), -EINVAL);
	assert_int_equal(sf_map(pool, PAGE, MAP(.kind = SF_FILE_PRIVATE, .fd = fd, .offset = 3), &r, NULL), -EINVAL);
	assert_int_equal(sf_map(pool, PAGE, MAP(.kind = SF_FILE_PRIVATE, .fd = fd, .offset = 1ull << 63), &r, NULL), -EINVAL);
	assert_int_equal(sf_map(pool, PAGE, MAP(.kind = SF_FILE_PRIVATE, .fd = -1), &r, NULL), -EINVAL);
	assert_int_equal(sf_map(pool, PAGE, MAP(.fd = fd), &r, NULL), -EINVAL);
	assert_int_equal(sf_map(pool, PAGE, MAP(.store = store), &r, NULL), -EINVAL);
	assert_int_equal(sf_map(pool, PAGE, MAP(.kind = SF_STORE), &r, NULL), -EINVAL);
	assert_int_equal(sf_map(pool, PAGE, MAP(.flags = SF_MAP_ORDERED), &r, NULL), -EINVAL);
	assert_int_equal(sf_map(pool, PAGE, MAP(.addr = mem), &r, NULL), -EINVAL);
	assert_int_equal(sf_map(pool, PAGE, MAP(.flags = SF_MAP_FIXED), &r, NULL), -EINVAL);
	assert_int_equal(sf_map(pool, PAGE, MAP(.flags = SF_MAP_FIXED, .addr = (void *)-4096), &r, NULL), -EINVAL);
	close(fd);
	close_all();
}

static void ranges_that_are_none(void **state)
{
	static const struct sf_range bad[] = {
		{ 1, PAGE }, { 0, 1 }, { 0, 11 * PAGE }, { 10 * PAGE, PAGE }, { 11 * PAGE, PAGE }, { PAGE, UINT64_MAX & ~4095ull },
		{ UINT64_MAX & ~4095ull, PAGE }, { UINT64_MAX & ~4095ull, UINT64_MAX & ~4095ull },
	};
	unsigned char vec[32];
	struct sf_range range;
	struct sf_pin pin;
	sf_region *r;
	uint64_t off;

	open_all();
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(sf_protect(region, bad[i].off, bad[i].len, SF_READ), -EINVAL);
		for (unsigned a = SF_WILLNEED; a <= SF_POPULATE; a++)
			assert_int_equal(sf_advise(region, bad[i].off, bad[i].len, a), -EINVAL);
		assert_int_equal(sf_sync(region, bad[i].off, bad[i].len, 0), -EINVAL);
		assert_int_equal(sf_residency(region, bad[i].off, bad[i].len, vec), -EINVAL);
	}
	assert_int_equal(sf_protect(region, 0, 0, SF_READ), -EINVAL);
	assert_int_equal(sf_protect(region, 0, PAGE, 4), -EINVAL);
	assert_int_equal(sf_advise(region, 0, PAGE, 8), -EINVAL);
	assert_int_equal(sf_advise(region, 0, 0, SF_COLD), -EINVAL);
	assert_int_equal(sf_sync(region, 0, PAGE, 4), -EINVAL);
	assert_int_equal(sf_sync(region, 10 * PAGE, 0, 0), -EINVAL);
	assert_int_equal(sf_residency(region, 0, PAGE, NULL), -EINVAL);
	assert_int_equal(sf_resize(region, 0, 0, NULL), -EINVAL);
	assert_int_equal(sf_resize(region, 5, 0, NULL), -EINVAL);
	assert_int_equal(sf_resize(region, PAGE, 2, NULL), -EINVAL);
	assert_int_equal(sf_resize(region, 1ull << 46, SF_MAY_MOVE, NULL), -ENOMEM);
	assert_int_equal(sf_move(region, mem + 1, NULL), -EINVAL);
	assert_int_equal(sf_move(region, (void *)PAGE, NULL), -EINVAL);
	assert_int_equal(sf_region_info(region, NULL), -EINVAL);
	assert_int_equal(sf_region_stats(region, NULL), -EINVAL);
	assert_int_equal(sf_region_at(mem, NULL), -EINVAL);
	assert_int_equal(sf_region_at(NULL, &r), -ENOENT);
	assert_int_equal(sf_region_at(&r, &r), -ENOENT);
	assert_int_equal(sf_region_at((void *)-1, &r), -ENOENT);
	assert_int_equal(sf_region_at(mem + 10 * PAGE, &r), -ENOENT);
	off = 0;
	assert_int_equal(sf_dirty_ranges(region, NULL, &range, 1), -EINVAL);
	assert_int_equal(sf_dirty_ranges(region, &off, NULL, 1), -EINVAL);
	assert_int_equal(sf_dirty_ranges(region, &off, &range, 0), -EINVAL);
	off = 11 * PAGE;
	assert_int_equal(sf_dirty_ranges(region, &off, &range, 1), -EINVAL);
	off = 5;
	assert_int_equal(sf_dirty_ranges(region, &off, &range, 1), -EINVAL);
	assert_int_equal(sf_pin(NULL, 1, 0, &pin), -EINVAL);
	assert_int_equal(sf_pin(mem, 0, 0, &pin), -EINVAL);
	assert_int_equal(sf_pin(mem, SIZE_MAX, 0, &pin), -EINVAL);
	assert_int_equal(sf_pin(mem, 1, 2, &pin), -EINVAL);
	assert_int_equal(sf_pin(mem, 1, 0, NULL), -EINVAL);
	assert_int_equal(sf_unpin(NULL), -EINVAL);
	close_all();
}

static int64_t nothing(void *arg, void *buf, size_t len, uint64_t off)
{
	return -EIO;
}

static void stores_of_the_wrong_kind(void **state)
{
	struct sf_store_ops ops = { .struct_size = sizeof(ops), .read = nothing }, o;
	struct sf_fault_plan plan = { .struct_size = sizeof(plan) };
	sf_store *s, *z;
	sf_region *r;
	struct sf_io io = { .op = SF_IO_READ };
	int fd = temp_file(1), p[2];

	open_all();
	assert_int_equal(sf_store_create(NULL, NULL, &s), -EINVAL);
	assert_int_equal(sf_store_create(&ops, NULL, NULL), -EINVAL);
	o = (struct sf_store_ops){ .struct_size = sizeof(o) };
	assert_int_equal(sf_store_create(&o, NULL, &s), -EINVAL);
	o = ops;
	o.struct_size = 3;
	assert_int_equal(sf_store_create(&o, NULL, &s), -EINVAL);
	o = ops;
	o.flags = 2;
	assert_int_equal(sf_store_create(&o, NULL, &s), -EINVAL);
	o = ops;
	o.flags = SF_STORE_INLINE;
	o.timeout_ms = 5;
	assert_int_equal(sf_store_create(&o, NULL, &s), -EINVAL);
	o = ops;
	o.workers = 100;
	assert_int_equal(sf_store_create(&o, NULL, &s), -EINVAL);
	assert_int_equal(sf_store_memory(0, &s), -EINVAL);
	assert_int_equal(sf_store_memory(UINT64_MAX, &s), -EINVAL);
	assert_int_equal(sf_store_memory(1 << 20, NULL), -EINVAL);
	assert_int_equal(sf_store_file(-1, 0, 0, &s), -EBADF);
	assert_int_equal(sf_store_file(fd, 0, 2, &s), -EINVAL);
	assert_int_equal(sf_store_file(fd, 0, 0, NULL), -EINVAL);
	assert_int_equal(sf_store_file(fd, UINT64_MAX, 0, &s), -EINVAL);
	OK(pipe(p));
	assert_int_equal(sf_store_file(p[0], 0, 0, &s), -EBADF);
	close(p[0]);
	close(p[1]);
	assert_int_equal(sf_store_compressed(0, NULL, &s), -EINVAL);
	assert_int_equal(sf_store_compressed(1 << 20, NULL, NULL), -EINVAL);
	OK(sf_store_compressed(1 << 20, store, &z));
	assert_int_equal(sf_store_compressed(1 << 20, store, &s), -EBUSY);
	assert_int_equal(sf_store_compressed(1 << 20, z, &s), -EINVAL);
	assert_int_equal(sf_store_faulty(store, &s), -EBUSY);
	assert_int_equal(sf_map(pool, PAGE, MAP(.kind = SF_STORE, .store = z), &r, NULL), -EINVAL);
	OK(sf_store_close(z));
	assert_int_equal(sf_store_faulty(store, NULL), -EINVAL);
	assert_int_equal(sf_store_faulty_plan(store, &plan), -EINVAL);
	assert_int_equal(sf_store_faulty_plan(store, NULL), -EINVAL);
	plan.error = 5;
	assert_int_equal(sf_store_faulty_plan(store, &plan), -EINVAL);
	assert_int_equal(sf_io_done(NULL, 0), -EINVAL);
	assert_int_equal(sf_io_done(&io, 0), -EINVAL);
	assert_int_equal(sf_try(NULL), -EINVAL);
	close(fd);
	close_all();
}

/* A freed name is never mistaken for a newer object. */
static void names_are_not_reused(void **state)
{
	sf_region *old[100], *now;

	open_all();
	for (unsigned i = 0; i < 100; i++) {
		OK(sf_map(pool, PAGE, NULL, &old[i], NULL));
		OK(sf_unmap(old[i]));
	}
	OK(sf_map(pool, PAGE, NULL, &now, NULL));
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(sf_unmap(old[i]), -EBADF);
	OK(sf_unmap(now));
	close_all();
}

/* ---------------------------------------------------------------- arguments that cannot be touched */

#define IN_SCOPE(call)                                     \
	do {                                                   \
		struct sf_try t;                                   \
		int left = sf_try(&t);                             \
                                                           \
		if (!left) {                                       \
			(void)(call);                                  \
			sf_try_end(&t);                                \
			fail_msg("%s came back", #call);               \
		}                                                  \
		assert_int_equal(left, -EACCES);                   \
	} while (0)

/* What they point to is a region's, without rights: the scope is left, and nothing stays locked. */
static void out_of_a_call_by_its_arguments(void **state)
{
	sf_pool *mine = open_pool(BOUND);
	sf_region *r, *bad;
	sf_store *memory;
	sf_snapshot *snap;
	uint64_t off = 0;
	struct sf_range range;
	unsigned char vec[4];
	struct sf_pin pin;
	char *m;
	void *b;

	OK(sf_map(mine, 4 * PAGE, NULL, &r, (void **)&m));
	OK(sf_map(mine, 4 * PAGE, NULL, &bad, &b));
	OK(sf_protect(bad, 0, 4 * PAGE, 0));
	OK(sf_store_memory(PAGE, &memory));
	IN_SCOPE(sf_pool_create(b, &mine));
	IN_SCOPE(sf_pool_stats(mine, b));
	IN_SCOPE(sf_map(mine, PAGE, b, &r, NULL));
	IN_SCOPE(sf_region_info(r, b));
	IN_SCOPE(sf_region_stats(r, b));
	IN_SCOPE(sf_resize(r, 4 * PAGE, 0, b));
	IN_SCOPE(sf_dirty_ranges(r, b, &range, 1));
	m[0] = 1;
	IN_SCOPE(sf_dirty_ranges(r, &off, b, 1));
	assert_int_equal(sf_residency(r, 0, 4 * PAGE, b), -EFAULT);
	IN_SCOPE(sf_store_create(b, NULL, &memory));
	IN_SCOPE(sf_store_faulty_plan(memory, b));
	IN_SCOPE(sf_pin(m, PAGE, 0, b));
	IN_SCOPE(sf_unpin(b));
	assert_int_equal(sf_writev(1, b, 1), -EFAULT);
	IN_SCOPE(sf_snapshot_create(r, b, &snap));
	IN_SCOPE(sf_sync_atomic(r, b));
	IN_SCOPE(sf_snapshot_diff(NULL, NULL, b, &range, 1));

	/* each lock can be had still, and fork is not kept waiting */
	OK(sf_residency(r, 0, 4 * PAGE, vec));
	OK(sf_pin(m, PAGE, 0, &pin));
	OK(sf_unpin(&pin));
	OK(sf_snapshot_create(r, NULL, &snap));
	OK(sf_snapshot_drop(snap));
	assert_int_equal(pool_stats(mine).pinned, 0);
	OK(sf_store_close(memory));
	OK(sf_unmap(bad));
	OK(sf_unmap(r));
	close_pool(mine);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(out_of_a_call_by_its_arguments),
	cmocka_unit_test(handles_that_are_none),
	cmocka_unit_test(pools_of_the_wrong_kind),
	cmocka_unit_test(mappings_of_the_wrong_kind),
	cmocka_unit_test(ranges_that_are_none),
	cmocka_unit_test(stores_of_the_wrong_kind),
	cmocka_unit_test(names_are_not_reused),
};
MAIN(tests)
