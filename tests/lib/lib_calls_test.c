/* SPDX-License-Identifier: MIT */
/* calls_test.c - a table of every public call, each with names that are none, from other threads, from callbacks and in the child of a fork
 *
 * The header is read to see that no call is missing from the table. */
#include "lib_test.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/wait.h>

enum kind { NONE, POOL, REGION, STORE, SNAPSHOT, NR_KINDS };

static char buf[PAGE];
static int fd = -1, log_fd = -1;
static struct sf_object object;
static struct sf_ex_entry entries[2];
static sf_store *new_store, *spare;
static sf_pool *new_pool;
static sf_region *new_region;
static sf_snapshot *new_snapshot;
static struct sf_pin new_pin, good_pin;

#define CALL(name_, kind_, free_, expr)                      \
	static long name_##_(void *h)                        \
	{                                                    \
		(void)h;                                     \
		return (long)(expr);                         \
	}
#define CALLS(X)                                                                                                                   \
	X(sf_version, NONE, 1, sf_version() * 0)                                                                                   \
	X(sf_io_done, NONE, 1, sf_io_done(NULL, 0) + EINVAL)                                                                       \
	X(sf_store_create, NONE, 0, sf_store_create((&(struct sf_store_ops){ .struct_size = sizeof(struct sf_store_ops),           \
									     .read = no_read }), NULL, &new_store))                \
	X(sf_store_file, NONE, 0, sf_store_file(fd, 0, 0, &new_store))                                                             \
	X(sf_store_memory, NONE, 0, sf_store_memory(1 << 20, &new_store))                                                          \
	X(sf_store_compressed, STORE, 0, sf_store_compressed(1 << 20, h, &new_store))                                              \
	X(sf_store_faulty, STORE, 0, sf_store_faulty(h, &new_store))                                                               \
	X(sf_store_faulty_plan, STORE, 0, sf_store_faulty_plan(h, (&(struct sf_fault_plan){ .struct_size = sizeof(struct sf_fault_plan) }))) \
	X(sf_store_close, STORE, 0, sf_store_close(h))                                                                             \
	X(sf_page_state, NONE, 1, sf_page_state(NULL, NULL) + EINVAL)                                                              \
	X(sf_pool_create, NONE, 0, sf_pool_create(POOL_OPTIONS(), &new_pool))                                                      \
	X(sf_pool_destroy, POOL, 0, sf_pool_destroy(h))                                                                            \
	X(sf_pool_resize, POOL, 0, sf_pool_resize(h, BOUND))                                                                       \
	X(sf_pool_stats, POOL, 0, sf_pool_stats(h, (&(struct sf_pool_stats){ .struct_size = sizeof(struct sf_pool_stats) })))      \
	X(sf_try, NONE, 1, sf_try(NULL) + EINVAL)                                                                                  \
	X(sf_try_end, NONE, 1, sf_try_end(NULL) + EINVAL)                                                                          \
	X(sf_map, POOL, 0, sf_map(h, PAGE, NULL, &new_region, NULL))                                                               \
	X(sf_unmap, REGION, 0, sf_unmap(h))                                                                                        \
	X(sf_region_info, REGION, 0, sf_region_info(h, (&(struct sf_region_info){ .struct_size = sizeof(struct sf_region_info) })))    \
	X(sf_region_at, NONE, 0, sf_region_at(buf, &new_region) == -EDEADLK ? -EDEADLK : 0)                                        \
	X(sf_protect, REGION, 0, sf_protect(h, 0, PAGE, SF_READ))                                                                  \
	X(sf_resize, REGION, 0, sf_resize(h, PAGE, 0, NULL))                                                                       \
	X(sf_move, REGION, 0, sf_move(h, NULL, NULL))                                                                              \
	X(sf_advise, REGION, 0, sf_advise(h, 0, PAGE, SF_COLD))                                                                    \
	X(sf_sync, REGION, 0, sf_sync(h, 0, 0, 0))                                                                                 \
	X(sf_residency, REGION, 0, sf_residency(h, 0, PAGE, (unsigned char *)buf))                                                 \
	X(sf_region_stats, REGION, 0, sf_region_stats(h, (&(struct sf_region_stats){ .struct_size = sizeof(struct sf_region_stats) })))    \
	X(sf_dirty_ranges, REGION, 0, sf_dirty_ranges(h, (&(uint64_t){ 0 }), (&(struct sf_range){ 0 }), 1))                        \
	X(sf_pin, NONE, 0, sf_pin(buf, 1, 0, &new_pin))                                                                            \
	X(sf_unpin, NONE, 0, sf_unpin(&good_pin))                                                                                  \
	X(sf_read, NONE, 0, low(sf_read(fd, buf, 1)))                                                                              \
	X(sf_write, NONE, 0, low(sf_write(fd, buf, 1)))                                                                            \
	X(sf_pread, NONE, 0, low(sf_pread(fd, buf, 1, 0)))                                                                         \
	X(sf_pwrite, NONE, 0, low(sf_pwrite(fd, buf, 1, 0)))                                                                       \
	X(sf_readv, NONE, 0, low(sf_readv(fd, (&(struct iovec){ buf, 1 }), 1)))                                                    \
	X(sf_writev, NONE, 0, low(sf_writev(fd, (&(struct iovec){ buf, 1 }), 1)))                                                  \
	X(sf_recv, NONE, 0, sf_recv(fd, buf, 1, MSG_DONTWAIT) == -EDEADLK ? -EDEADLK : 0)                                          \
	X(sf_send, NONE, 0, sf_send(fd, buf, 1, MSG_DONTWAIT) == -EDEADLK ? -EDEADLK : 0)                                          \
	X(sf_copy_from, NONE, 1, sf_copy_from(buf, buf + 9, 9, NULL))                                                              \
	X(sf_copy_to, NONE, 1, sf_copy_to(buf, buf + 9, 9, NULL))                                                                  \
	X(sf_clear, NONE, 1, sf_clear(buf, 9, NULL))                                                                               \
	X(sf_strncpy_from, NONE, 1, sf_strncpy_from(buf, "", 1, NULL))                                                             \
	X(sf_cmp, NONE, 1, sf_cmp(buf, buf, 9, (&(int){ 0 }), NULL))                                                               \
	X(sf_atomic_cas, NONE, 1, low(sf_atomic_cas(buf, 1, (&(uint64_t){ 0 }), 1, NULL)))                                         \
	X(sf_probe, NONE, 1, sf_probe(buf, 9, 1, NULL))                                                                            \
	X(sf_object_attach, NONE, 1, sf_object_attach(&object))                                                                    \
	X(sf_object_detach, NONE, 1, sf_object_detach(&object))                                                                    \
	X(sf_snapshot_create, REGION, 0, sf_snapshot_create(h, NULL, &new_snapshot))                                               \
	X(sf_snapshot_read, SNAPSHOT, 0, sf_snapshot_read(h, 0, buf, 1))                                                           \
	X(sf_snapshot_map, SNAPSHOT, 0, sf_snapshot_map(h, &new_region, NULL))                                                     \
	X(sf_snapshot_diff, SNAPSHOT, 0, sf_snapshot_diff(h, NULL, (&(uint64_t){ 0 }), (&(struct sf_range){ 0 }), 1))              \
	X(sf_snapshot_rollback, SNAPSHOT, 0, sf_snapshot_rollback(h))                                                              \
	X(sf_snapshot_save, SNAPSHOT, 0, sf_snapshot_save(h, NULL, spare))                                                         \
	X(sf_snapshot_drop, SNAPSHOT, 0, sf_snapshot_drop(h))                                                                      \
	X(sf_sync_atomic, REGION, 0, sf_sync_atomic(h, (&(struct sf_atomic_options){ .struct_size = sizeof(struct sf_atomic_options), .log_fd = log_fd }))) \
	X(sf_recover, NONE, 0, sf_recover(fd, log_fd))                                                                             \
	X(sf_rearm, NONE, 0, low(sf_rearm()))


static int64_t no_read(void *arg, void *to, size_t len, uint64_t off)
{
	return -EIO;
}

static long low(long r)
{
	return r < 0 ? r : 0;
}

CALLS(CALL)
#define ROW(name_, kind_, free_, expr) { #name_, kind_, free_, name_##_ },
static const struct call { const char *name; enum kind kind; bool free; long (*fn)(void *h); } calls[] = { CALLS(ROW) };
enum { NR_CALLS = sizeof(calls) / sizeof(calls[0]) };

/* ---------------------------------------------------------------- the table is whole */

static bool in_table(const char *name, size_t len)
{
	for (unsigned i = 0; i < NR_CALLS; i++)
		if (strlen(calls[i].name) == len && !memcmp(calls[i].name, name, len))
			return true;
	return false;
}

static void every_call_is_in_the_table(void **state)
{
	FILE *f = fopen(LIB_HEADER, "r");
	char line[1000];
	unsigned n = 0;

	if (!f)
		skip(); /* another user's checkout */
	while (fgets(line, sizeof(line), f)) {
		char *s = strncmp(line, "SF_API ", 7) ? NULL : strstr(line, "sf_"), *paren = s ? strchr(s, '(') : NULL;

		if (!paren)
			continue;
		while (paren > s && (isalnum(paren[-1]) || paren[-1] == '_') && !(s == paren))
			paren--;
		size_t len = strspn(paren, "abcdefghijklmnopqrstuvwxyz_");
		if (!in_table(paren, len))
			fprintf(stderr, "# not in the table: %.*s\n", (int)len, paren);
		assert_true(in_table(paren, len));
		n++;
	}
	fclose(f);
	assert_int_equal(n, NR_CALLS);
}

/* ---------------------------------------------------------------- a set of everything */

static struct { sf_store *pool_store; void *good[NR_KINDS], *dead[NR_KINDS]; char *mem; } set;

static void open_set(void)
{
	sf_region *r;
	void *m;

	fd = temp_file(4);
	log_fd = temp_file(0);
	object = (struct sf_object){ .start = entries, .stop = entries };
	set.good[POOL] = open_pool(BOUND);
	OK(sf_map(set.good[POOL], 10 * PAGE, NULL, (sf_region **)&set.good[REGION], (void **)&set.mem));
	set.mem[0] = 1;
	OK(sf_snapshot_create(set.good[REGION], NULL, (sf_snapshot **)&set.good[SNAPSHOT]));
	OK(sf_store_memory(1 << 20, (sf_store **)&set.good[STORE]));
	OK(sf_store_memory(1 << 20, &spare));
	OK(sf_pin(buf, 1, 0, &good_pin));

	OK(sf_store_memory(1 << 20, (sf_store **)&set.dead[STORE]));
	OK(sf_store_close(set.dead[STORE]));
	OK(sf_pool_create(POOL_OPTIONS(), (sf_pool **)&set.dead[POOL]));
	OK(sf_pool_destroy(set.dead[POOL]));
	OK(sf_map(set.good[POOL], PAGE, NULL, &r, &m));
	OK(sf_snapshot_create(r, NULL, (sf_snapshot **)&set.dead[SNAPSHOT]));
	OK(sf_snapshot_drop(set.dead[SNAPSHOT]));
	OK(sf_unmap(r));
	set.dead[REGION] = r;
}

static void close_set(void)
{
	OK(sf_unpin(&good_pin));
	OK(sf_snapshot_drop(set.good[SNAPSHOT]));
	OK(sf_unmap(set.good[REGION]));
	OK(sf_store_close(set.good[STORE]));
	OK(sf_store_close(spare));
	close_pool(set.good[POOL]);
	close(fd);
	close(log_fd);
}

static bool answers(const struct call *c, void *h, long want, const char *what)
{
	long is = c->fn(h);

	if (is != want)
		fprintf(stderr, "# %s, %s: %ld, not %ld\n", c->name, what, is, want);
	return is == want;
}

static unsigned wrong_names(const struct call *c)
{
	static void *const wild[] = { (void *)1, (void *)0x1000001, (void *)0x7fffffffffff, (void *)-1, (void *)0x123456789abcdef0 };
	unsigned bad = c->kind == STORE && !strcmp(c->name, "sf_store_compressed") ? 0 : !answers(c, NULL, -EINVAL, "NULL");

	bad += !answers(c, set.dead[c->kind], -EBADF, "freed");
	for (unsigned k = POOL; k < NR_KINDS; k++)
		bad += k != c->kind && !answers(c, set.good[k], -EBADF, "another kind");
	for (unsigned i = 0; i < sizeof(wild) / sizeof(wild[0]); i++)
		bad += !answers(c, wild[i], -EBADF, "wild");
	return bad;
}

static void *all_wrong_names(void *arg)
{
	uintptr_t bad = 0;

	for (unsigned i = 0; i < NR_CALLS; i++)
		if (calls[i].kind)
			bad += wrong_names(&calls[i]);
	return (void *)bad;
}

static void names_that_are_none(void **state)
{
	pthread_t th;
	void *bad;

	open_set();
	assert_null(all_wrong_names(NULL));
	OK(pthread_create(&th, NULL, all_wrong_names, NULL));
	pthread_join(th, &bad);
	assert_null(bad);
	close_set();
}

/* ---------------------------------------------------------------- from callbacks */

static unsigned callback_bad;

static void call_everything(void)
{
	callback_bad = 0;
	for (unsigned i = 0; i < NR_CALLS; i++)
		callback_bad += !answers(&calls[i], set.good[calls[i].kind], calls[i].free ? 0 : -EDEADLK, "from a callback");
}

static int64_t calling_read(void *arg, void *to, size_t len, uint64_t off)
{
	call_everything();
	return arg ? (memset(to, 1, len), (int64_t)len) : -EIO;
}

static enum sf_action calling_error(void *arg, const struct sf_error *e)
{
	call_everything();
	return SF_FAIL;
}

static void calls_from_callbacks(void **state)
{
	open_set();
	for (unsigned how = 0; how < 3; how++) { /* a thread of the store's, inline, the error callback's thread */
		struct sf_store_ops ops = { .struct_size = sizeof(ops), .read = how < 2 ? calling_read : no_read, .flags = how == 1 ? SF_STORE_INLINE : 0 };
		sf_store *store;
		sf_region *r;
		char *m;

		OK(sf_store_create(&ops, set.mem, &store));
		OK(sf_map(set.good[POOL], 10 * PAGE, MAP(.kind = SF_STORE, .store = store, .prot = SF_READ, .on_error = how == 2 ? calling_error : NULL),
			  &r, (void **)&m));
		callback_bad = 1;
		assert_int_equal(try_read(m), how == 2 ? -EIO : 0);
		assert_int_equal(callback_bad, 0);
		OK(sf_unmap(r));
		OK(sf_store_close(store));
	}
	close_set();
}

/* ---------------------------------------------------------------- in the child of a fork */

static void calls_in_a_child(void **state)
{
	int status;
	pid_t pid;

	open_set();
	pid = fork();
	if (!pid) {
		unsigned bad = 0;

		alarm(20);
		for (unsigned i = 0; i < NR_CALLS; i++)
			if (calls[i].kind)
				bad += !answers(&calls[i], set.good[calls[i].kind], -ESTALE, "in a child");
		_exit(bad > 100 ? 100 : (int)bad);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	close_set();
}

/* ---------------------------------------------------------------- what other tests leave out */

static void snapshots_with_bad_arguments(void **state)
{
	struct sf_snapshot_options so = { .struct_size = sizeof(so) };
	struct sf_range range;
	sf_snapshot *s, *s2, *alien;
	sf_region *r, *r2, *view;
	uint64_t off = 0;
	char *m;

	open_set();
	r = set.good[REGION];
	s = set.good[SNAPSHOT];
	OK(sf_map(set.good[POOL], PAGE, NULL, &r2, (void **)&m));
	OK(sf_snapshot_create(r2, NULL, &alien));
	assert_int_equal(sf_snapshot_create(r, NULL, NULL), -EINVAL);
	so.flags = 1;
	assert_int_equal(sf_snapshot_create(r, &so, &s2), -EINVAL);
	so = (struct sf_snapshot_options){ .struct_size = 1 };
	assert_int_equal(sf_snapshot_create(r, &so, &s2), -EINVAL);
	assert_int_equal(sf_snapshot_read(s, 0, NULL, 1), -EINVAL);
	assert_int_equal(sf_snapshot_read(s, 11 * PAGE, buf, 1), 0);
	assert_int_equal(sf_snapshot_read(s, UINT64_MAX, buf, 1), 0);
	assert_int_equal(sf_snapshot_read(s, 0, (void *)8, 1), -EFAULT);
	assert_int_equal(sf_snapshot_map(s, NULL, NULL), -EINVAL);
	assert_int_equal(sf_snapshot_diff(s, NULL, NULL, &range, 1), -EINVAL);
	assert_int_equal(sf_snapshot_diff(s, NULL, &off, NULL, 1), -EINVAL);
	assert_int_equal(sf_snapshot_diff(s, NULL, &off, &range, 0), -EINVAL);
	off = 5;
	assert_int_equal(sf_snapshot_diff(s, NULL, &off, &range, 1), -EINVAL);
	off = 0;
	assert_int_equal(sf_snapshot_diff(s, alien, &off, &range, 1), -EINVAL);
	assert_int_equal(sf_snapshot_diff(s, set.dead[SNAPSHOT], &off, &range, 1), -EBADF);
	assert_int_equal(sf_snapshot_save(s, alien, spare), -EINVAL);
	assert_int_equal(sf_snapshot_save(s, set.dead[SNAPSHOT], spare), -EBADF);
	assert_int_equal(sf_snapshot_save(s, NULL, NULL), -EINVAL);
	assert_int_equal(sf_snapshot_save(s, NULL, set.dead[STORE]), -EBADF);
	OK(sf_snapshot_map(s, &view, (void **)&m));
	assert_int_equal(sf_snapshot_map(s, &view, NULL), -EBUSY);
	assert_int_equal(sf_snapshot_drop(s), -EBUSY);
	assert_int_equal(sf_snapshot_create(view, NULL, &s2), -EINVAL);
	assert_int_equal(sf_resize(view, PAGE, 0, NULL), -EBUSY);
	assert_int_equal(sf_move(view, NULL, NULL), -EBUSY);
	assert_int_equal(sf_protect(view, 0, PAGE, SF_WRITE), -EACCES);
	assert_int_equal(sf_unmap(r), -EBUSY);
	assert_int_equal(sf_resize(r, PAGE, 0, NULL), -EBUSY);
	OK(sf_unmap(view));
	OK(sf_snapshot_drop(alien));
	OK(sf_unmap(r2));
	close_set();
}

static void atomic_syncs_with_bad_arguments(void **state)
{
	struct sf_atomic_options ao = { .struct_size = sizeof(ao) };
	sf_region *f;

	open_set();
	ao.log_fd = log_fd;
	assert_int_equal(sf_sync_atomic(set.good[REGION], NULL), -EINVAL);
	assert_int_equal(sf_sync_atomic(set.good[REGION], &ao), -EINVAL);
	OK(sf_map(set.good[POOL], 4 * PAGE, MAP(.kind = SF_FILE_SHARED, .fd = fd), &f, NULL));
	assert_int_equal(sf_sync_atomic(f, &ao), -EINVAL);
	OK(sf_unmap(f));
	OK(sf_map(set.good[POOL], 4 * PAGE, MAP(.kind = SF_FILE_SHARED, .fd = fd, .flags = SF_MAP_ORDERED), &f, NULL));
	OK(sf_sync_atomic(f, &ao));
	ao.flags = 1;
	assert_int_equal(sf_sync_atomic(f, &ao), -EINVAL);
	ao = (struct sf_atomic_options){ .struct_size = sizeof(ao), .log_fd = -1 };
	assert_true(sf_sync_atomic(f, &ao) < 0);
	ao.log_fd = fd; /* home itself */
	assert_int_equal(sf_sync_atomic(f, &ao), -EINVAL);
	ao.struct_size = 3;
	assert_int_equal(sf_sync_atomic(f, &ao), -EINVAL);
	OK(sf_unmap(f));
	assert_int_equal(sf_recover(-1, log_fd), -EBADF);
	assert_int_equal(sf_recover(fd, -1), -EBADF);
	assert_int_equal(sf_recover(fd, fd), -EINVAL);
	assert_int_equal(sf_recover(log_fd, fd), -EINVAL); /* what is no log */
	for (unsigned i = 0; i < 4; i++)
		assert_true(file_has(fd, i, mark(i)));
	close_set();
}

static void accesses_with_bad_arguments(void **state)
{
	uint64_t want = 0;
	struct iovec v = { buf, SIZE_MAX };
	struct sf_pin pin;
	struct sf_try t;
	int sign;

	open_set();
	assert_int_equal(sf_copy_from(buf, NULL, 9, NULL), 9);
	assert_int_equal(sf_copy_to(NULL, buf, 9, NULL), 9);
	assert_int_equal(sf_copy_from(NULL, NULL, 0, NULL), 0);
	assert_int_equal(sf_clear(NULL, 9, NULL), 9);
	assert_int_equal(sf_clear((void *)-1, 9, NULL), 9);
	assert_int_equal(sf_strncpy_from(buf, NULL, 9, NULL), -EFAULT);
	assert_int_equal(sf_strncpy_from(NULL, NULL, 0, NULL), 0);
	assert_int_equal(sf_cmp(buf, NULL, 9, &sign, NULL), -EFAULT);
	assert_int_equal(sf_cmp(buf, buf, 9, NULL, NULL), -EINVAL);
	assert_int_equal(sf_atomic_cas(NULL, 8, &want, 1, NULL), -EFAULT);
	assert_int_equal(sf_atomic_cas(buf, 3, &want, 1, NULL), -EINVAL);
	assert_int_equal(sf_atomic_cas(buf + 1, 8, &want, 1, NULL), -EINVAL);
	assert_int_equal(sf_atomic_cas(buf, 8, NULL, 1, NULL), -EINVAL);
	assert_int_equal(sf_probe(NULL, 1, 0, NULL), -EFAULT);
	assert_int_equal(sf_probe(NULL, 0, 0, NULL), 0);
	assert_int_equal(sf_probe(buf, SIZE_MAX, 0, NULL), -EFAULT);
	assert_int_equal(sf_object_attach(NULL), -EINVAL);
	assert_int_equal(sf_object_attach(&(struct sf_object){ .start = entries + 1, .stop = entries }), -EINVAL);
	assert_int_equal(sf_object_detach(NULL), -EINVAL);
	assert_int_equal(sf_object_detach(&object), -EINVAL);
	assert_int_equal(sf_try(NULL), -EINVAL);
	assert_int_equal(sf_try_end(NULL), -EINVAL);
	assert_int_equal(sf_try_end(&t), -EINVAL);
	assert_int_equal(sf_write(fd, NULL, 5), -EINVAL);
	assert_int_equal(sf_pread(fd, buf, SIZE_MAX, 0), -EINVAL);
	assert_int_equal(sf_pwrite(fd, NULL, 1, 0), -EINVAL);
	assert_int_equal(sf_pread(fd, buf, 1, -1), -EINVAL);
	assert_int_equal(sf_writev(fd, NULL, 1), -EINVAL);
	assert_int_equal(sf_writev(fd, &v, 1), -EINVAL);
	assert_int_equal(sf_readv(fd, &v, 1025), -EINVAL);
	assert_int_equal(sf_recv(fd, buf, 1, 0), -ENOTSOCK);
	assert_int_equal(sf_send(fd, buf, 1, 0), -ENOTSOCK);
	assert_int_equal(sf_recv(-1, buf, 1, 0), -EBADF);
	assert_int_equal(sf_send(-1, NULL, 1, 0), -EINVAL);
	OK(sf_pin(set.mem, PAGE, 0, &pin));
	struct sf_pin forged = { .addr = set.mem, .len = PAGE };
	assert_int_equal(sf_unpin(&forged), -EINVAL);
	OK(sf_unpin(&pin));
	assert_int_equal(sf_unpin(&pin), -EINVAL);
	close_set();
}

/* ---------------------------------------------------------------- overlaps */

static void ranges_that_overlap(void **state)
{
	sf_region *a, *b, *none = NULL;
	sf_pool *pool, *other;
	char *am, *bm;
	void *at;

	pool = open_pool(BOUND);
	OK(sf_pool_create(POOL_OPTIONS(.bound = BOUND), &other));
	OK(sf_map(pool, 10 * PAGE, NULL, &a, (void **)&am));
	am[PAGE] = 5;
	for (int d = -9; d < 10; d++)
		assert_int_equal(sf_map(pool, 10 * PAGE, MAP(.flags = SF_MAP_FIXED, .addr = am + d * (long)PAGE), &none, NULL), -EEXIST);
	assert_int_equal(sf_map(other, PAGE, MAP(.flags = SF_MAP_FIXED, .addr = am), &none, NULL), -EINVAL);
	OK(sf_map(pool, 10 * PAGE, MAP(.flags = SF_MAP_FIXED, .addr = am - 30 * PAGE), &b, (void **)&bm));
	assert_int_equal(sf_move(b, am, NULL), -EEXIST);
	assert_int_equal(sf_move(b, am - 5 * PAGE, NULL), -EEXIST);
	assert_int_equal(sf_move(a, am + PAGE, NULL), -EEXIST); /* itself */
	assert_int_equal(sf_resize(b, 31 * PAGE, 0, NULL), -ENOMEM);
	OK(sf_resize(b, 30 * PAGE, 0, &at));
	assert_ptr_equal(at, bm);
	assert_null(none);
	assert_int_equal(am[PAGE], 5);
	OK(sf_unmap(a));
	OK(sf_unmap(b));
	OK(sf_pool_destroy(other));
	close_pool(pool);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(every_call_is_in_the_table),
	cmocka_unit_test(names_that_are_none),
	cmocka_unit_test(calls_from_callbacks),
	cmocka_unit_test(calls_in_a_child),
	cmocka_unit_test(snapshots_with_bad_arguments),
	cmocka_unit_test(atomic_syncs_with_bad_arguments),
	cmocka_unit_test(accesses_with_bad_arguments),
	cmocka_unit_test(ranges_that_overlap),
};
MAIN(tests)
