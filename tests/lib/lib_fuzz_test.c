/* SPDX-License-Identifier: MIT */
/* fuzz_test.c - random calls on regions of every kind against a plain model of what each byte must be
 *
 *	lib_fuzz_test [SEED [STEPS]]      without: four fixed seeds.  3, 7, 11 … have a policy that names anything
 *
 * lib_fuzz_soft_test is the same on the soft port (lib_soft.c): no page of a region is the host's, every touch is an access by the software MMU, and a
 * sanitizer sees all the memory that the library and the core work with.
 *
 * The model knows the bytes, what the home has, the rights, and what each snapshot has.  What an unordered region's home has before a sync is
 * anybody's guess, so contents are only given up there after one. */
#include "lib_test.h"

#include <fcntl.h>

/* Touches of regions: -EACCES and kin, or 0; and by exception tables: bytes not copied. */
#ifdef ON_SOFT
int mem_read(void *dst, const void *src, size_t n);
int mem_write(void *dst, const void *src, size_t n);
static size_t table_read(void *dst, const void *src, size_t n) { return mem_read(dst, src, n) ? n : 0; }
static size_t table_write(void *dst, const void *src, size_t n) { return mem_write(dst, src, n) ? n : 0; }
#else
static int mem_read(void *dst, const void *src, size_t n)
{
	int err = try_read(src);

	if (!err)
		memcpy(dst, src, n);
	return err;
}

static int mem_write(void *dst, const void *src, size_t n)
{
	int err = try_write(dst, *(const char *)src);

	if (!err)
		memcpy(dst, src, n);
	return err;
}

static size_t table_read(void *dst, const void *src, size_t n) { return sf_copy_from(dst, src, n, NULL); }
static size_t table_write(void *dst, const void *src, size_t n) { return sf_copy_to(dst, src, n, NULL); }
#endif

enum { NR = 6, MAX_PAGES = 400, FILE_PAGES = 400, SNAPS = 2 };

typedef unsigned char page_bytes[PAGE];

static struct model {
	sf_region *r;
	char *m;
	unsigned pages, kind;
	bool ordered;
	int fd;
	sf_store *store;
	sf_snapshot *snap[SNAPS];
	unsigned char prot[MAX_PAGES];
	page_bytes *now, *home, *then[SNAPS];
} model[NR], *v;

static sf_pool *pool;
static uint64_t state = 1;
static unsigned seed_arg = 1, steps_arg = 6000;

static unsigned rnd(unsigned n)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (unsigned)(state >> 20) % n;
}

static bool is_shared(void)
{
	return v->kind == SF_FILE_SHARED || v->kind == SF_STORE;
}

static void set_words(page_bytes p, uint64_t word)
{
	for (unsigned i = 0; i < PAGE; i += 8)
		memcpy(p + i, &word, 8);
}

static page_bytes *pages_new(void)
{
	page_bytes *p = malloc(MAX_PAGES * sizeof(*p));

	assert_non_null(p);
	return p;
}

static bool has_snapshots(void)
{
	return v->snap[0] || v->snap[1];
}

static void map_one(void)
{
	struct sf_map_options mo = { .struct_size = sizeof(mo), .cluster = rnd(2) ? 0 : (unsigned)PAGE << rnd(7) };

	*v = (struct model){ .kind = rnd(4), .now = pages_new(), .home = pages_new(), .then = { pages_new(), pages_new() } };
	v->ordered = is_shared() && rnd(2);
	v->pages = 1 + rnd(MAX_PAGES / 2);
	v->fd = -1;
	bool direct = v->kind == SF_STORE && !rnd(4);
	if (v->kind != SF_ANON) {
		v->fd = direct ? temp_file(FILE_PAGES) : memory_file(FILE_PAGES);
		mo.kind = v->kind;
		mo.flags = (v->ordered ? SF_MAP_ORDERED : 0) | (rnd(2) ? SF_MAP_CHECKSUM : 0);
	}
	if (v->kind == SF_STORE) {
		OK(sf_store_file(v->fd, 0, direct ? SF_STORE_DIRECT : 0, &v->store));
		mo.store = v->store;
	} else if (v->kind != SF_ANON) {
		mo.fd = v->fd;
	}
	for (unsigned i = 0; i < MAX_PAGES; i++) {
		set_words(v->home[i], v->kind == SF_ANON ? 0 : mark(i));
		v->prot[i] = SF_READ | SF_WRITE;
	}
	memcpy(v->now, v->home, MAX_PAGES * PAGE);
	OK(sf_map(pool, v->pages * PAGE, &mo, &v->r, (void **)&v->m));
}

static void drop_snapshot(unsigned k)
{
	OK(sf_snapshot_drop(v->snap[k]));
	v->snap[k] = NULL;
}

static void unmap_one(void)
{
	for (unsigned k = 0; k < SNAPS; k++)
		if (v->snap[k]) {
			assert_int_equal(sf_unmap(v->r), -EBUSY);
			drop_snapshot(k);
		}
	OK(sf_unmap(v->r));
	for (unsigned i = 0; v->ordered && i < FILE_PAGES; i += 7) {
		page_bytes is;

		assert_int_equal(pread(v->fd, is, PAGE, (off_t)(i * PAGE)), PAGE);
		assert_memory_equal(is, v->home[i], PAGE);
	}
	if (v->store)
		OK(sf_store_close(v->store));
	if (v->fd >= 0)
		close(v->fd);
	free(v->now);
	free(v->home);
	for (unsigned k = 0; k < SNAPS; k++)
		free(v->then[k]);
	*v = (struct model){ .r = NULL };
}

static void write_page(unsigned i)
{
	unsigned at = rnd(PAGE), n = 1 + rnd(rnd(4) ? 64 : PAGE);
	page_bytes what;

	if (!(v->prot[i] & SF_WRITE)) {
		assert_int_equal(mem_write(v->m + i * PAGE, &state, 1), -EACCES);
		assert_int_equal(table_write(v->m + i * PAGE + 1, &state, 8), 8);
		return;
	}
	n = n < PAGE - at ? n : (unsigned)PAGE - at;
	memset(what, (int)rnd(256), n);
	memcpy(what, &state, n < 8 ? n : 8);
	if (rnd(2))
		OK(mem_write(v->m + i * PAGE + at, what, n));
	else
		assert_int_equal(table_write(v->m + i * PAGE + at, what, n), 0);
	memcpy(v->now[i] + at, what, n);
}

static void check_page(unsigned i)
{
	page_bytes is;

	if (!v->prot[i]) {
		assert_int_equal(mem_read(is, v->m + i * PAGE, PAGE), -EACCES);
		assert_int_equal(table_read(is, v->m + i * PAGE, PAGE), PAGE);
		return;
	}
	if (rnd(2))
		OK(mem_read(is, v->m + i * PAGE, PAGE));
	else
		assert_int_equal(table_read(is, v->m + i * PAGE, PAGE), 0);
	assert_memory_equal(is, v->now[i], PAGE);
}

static void synced(unsigned from, unsigned n)
{
	if (is_shared())
		memcpy(v->home[from], v->now[from], n * PAGE);
}

static void give_up(unsigned from, unsigned n)
{
	if (has_snapshots()) {
		assert_int_equal(sf_advise(v->r, from * PAGE, n * PAGE, SF_DONTNEED), -EBUSY);
		return;
	}
	if (is_shared() && !v->ordered) {
		OK(sf_sync(v->r, from * PAGE, n * PAGE, SF_SYNC_NOFLUSH));
		synced(from, n);
	}
	OK(sf_advise(v->r, from * PAGE, n * PAGE, SF_DONTNEED));
	memcpy(v->now[from], v->home[from], n * PAGE);
}

/* ---------------------------------------------------------------- snapshots */

static void check_diff(unsigned k)
{
	unsigned char named[MAX_PAGES] = { 0 };
	struct sf_range range[5];
	uint64_t off = 0;
	int n;

	while ((n = sf_snapshot_diff(v->snap[k], NULL, &off, range, 1 + rnd(5))) > 0)
		for (int i = 0; i < n; i++)
			memset(named + range[i].off / PAGE, 1, range[i].len / PAGE);
	assert_int_equal(n, 0);
	for (unsigned i = 0; i < v->pages; i++)
		assert_true(named[i] || !memcmp(v->now[i], v->then[k][i], PAGE));
}

static void view_snapshot(unsigned k)
{
	sf_region *view;
	char *m;

	OK(sf_snapshot_map(v->snap[k], &view, (void **)&m));
	for (unsigned i = rnd(5); i < v->pages; i += 1 + rnd(9)) {
		page_bytes is;

		OK(mem_read(is, m + i * PAGE, PAGE));
		assert_memory_equal(is, v->then[k][i], PAGE);
	}
	assert_int_equal(mem_write(m, "x", 1), -EACCES);
	OK(sf_unmap(view));
}

static void snapshot_step(void)
{
	unsigned k = rnd(SNAPS), from = rnd(v->pages), at = rnd(PAGE);
	page_bytes is;

	if (!v->snap[k]) {
		OK(sf_snapshot_create(v->r, NULL, &v->snap[k]));
		memcpy(v->then[k], v->now, v->pages * PAGE);
		return;
	}
	switch (rnd(6)) {
	case 0:
		drop_snapshot(k);
		break;
	case 1:
		OK(sf_snapshot_rollback(v->snap[k]));
		memcpy(v->now, v->then[k], v->pages * PAGE);
		break;
	case 2:
		check_diff(k);
		break;
	case 3:
		view_snapshot(k);
		break;
	default:
		assert_int_equal(sf_snapshot_read(v->snap[k], from * PAGE + at, is, PAGE - at), PAGE - at);
		assert_memory_equal(is, v->then[k][from] + at, PAGE - at);
	}
}

/* ---------------------------------------------------------------- a policy that says anything */

static struct sf_page *known[MAX_PAGES * 2];
static unsigned nr_known;
static uint64_t policy_state = 7;

static unsigned policy_rnd(unsigned n)
{
	policy_state = policy_state * 6364136223846793005ull + 1442695040888963407ull;
	return (unsigned)(policy_state >> 33) % n;
}

static void any_insert(void *arg, struct sf_page *pg, enum sf_page_how how)
{
	assert_true(nr_known < MAX_PAGES * 2);
	pg->user[0].num = nr_known;
	known[nr_known++] = pg;
}

static void any_remove(void *arg, struct sf_page *pg)
{
	unsigned at = (unsigned)pg->user[0].num;

	known[at] = known[--nr_known];
	known[at]->user[0].num = at;
}

/* Mostly pages, some twice, some that cannot leave, some that are none. */
static unsigned any_pages(void *arg, struct sf_page **ret, unsigned max)
{
	unsigned n = 0;

	for (; nr_known && n < max && policy_rnd(20); n++)
		ret[n] = (struct sf_page *)((char *)known[policy_rnd(nr_known)] + (policy_rnd(30) ? 0 : (int)policy_rnd(100000) - 50000));
	return n;
}

static const struct sf_policy_ops any_policy = {
	.struct_size = sizeof(any_policy), .insert = any_insert, .remove = any_remove, .cold = any_pages, .victims = any_pages,
};
static sf_store *any_store;

static void close_any(void)
{
	struct sf_pool_stats st = pool_stats(pool);

	assert_int_equal(st.resident + st.store_bytes + nr_known, 0);
	assert_true(st.policy_errors > 0);
	OK(sf_pool_destroy(pool));
	OK(sf_store_close(any_store));
}

static void open_any(void)
{
	OK(sf_store_memory(1ull << 32, &any_store));
	OK(sf_pool_create(POOL_OPTIONS(.bound = BOUND, .store = any_store, .policy_ops = &any_policy), &pool));
	assert_true(sf_rearm() >= 0);
}

/* ---------------------------------------------------------------- system calls on regions */

#ifndef ON_SOFT
static void through_a_file(unsigned from, unsigned n)
{
	int fd = memory_file(0);
	bool ok = true;

	n = n > 30 ? 30 : n;
	for (unsigned i = from; i < from + n; i++)
		ok = ok && v->prot[i] & SF_WRITE;
	if (!ok) {
		ssize_t r = sf_pwrite(fd, v->m + from * PAGE, n * PAGE, 0);

		assert_true(r == -EFAULT || (r >= 0 && r <= (ssize_t)(n * PAGE)));
	} else {
		assert_int_equal(sf_pwrite(fd, v->m + from * PAGE, n * PAGE, 0), n * PAGE);
		for (unsigned i = 0; i < n; i++)
			assert_int_equal(pwrite(fd, &state, 8, (off_t)(i * PAGE + i * 8)), 8);
		assert_int_equal(sf_pread(fd, v->m + from * PAGE, n * PAGE, 0), n * PAGE);
		for (unsigned i = 0; i < n; i++)
			memcpy(v->now[from + i] + i * 8, &state, 8);
	}
	close(fd);
}
#endif

static void resize_one(void)
{
	unsigned pages = 1 + rnd(MAX_PAGES);
	int err;

	if (has_snapshots()) {
		assert_int_equal(sf_resize(v->r, pages * PAGE, 0, NULL), -EBUSY);
		return;
	}
	if (is_shared() && !v->ordered && pages < v->pages) {
		OK(sf_sync(v->r, 0, 0, SF_SYNC_NOFLUSH));
		synced(0, v->pages);
	}
	err = sf_resize(v->r, pages * PAGE, rnd(2), (void **)&v->m);
	if (err) {
		assert_true(err == -ENOMEM || err == -EBUSY);
		return;
	}
	if (pages < v->pages)
		memcpy(v->now[pages], v->home[pages], (v->pages - pages) * PAGE);
	for (unsigned i = v->pages; i < pages; i++) {
		memcpy(v->now[i], v->home[i], PAGE);
		v->prot[i] = v->prot[v->pages - 1];
	}
	v->pages = pages;
}

/* Every page that differs from its home must be named. */
static void check_dirty(void)
{
	unsigned char named[MAX_PAGES] = { 0 };
	struct sf_range range[7];
	uint64_t off = 0;
	int n;

	while ((n = sf_dirty_ranges(v->r, &off, range, 1 + rnd(7))) > 0)
		for (int k = 0; k < n; k++)
			memset(named + range[k].off / PAGE, 1, range[k].len / PAGE);
	assert_int_equal(n, 0);
	assert_int_equal(off, v->pages * PAGE);
	for (unsigned i = 0; v->ordered && i < v->pages; i++)
		assert_true(named[i] || !memcmp(v->now[i], v->home[i], PAGE));
}

static void protect_some(unsigned from, unsigned n)
{
	unsigned prot = rnd(4);

	OK(sf_protect(v->r, from * PAGE, n * PAGE, prot));
	memset(v->prot + from, (int)(prot & SF_WRITE ? prot | SF_READ : prot), n);
}

static void pin_some(unsigned from, unsigned n)
{
	struct sf_pin pin;
	unsigned want = rnd(2) ? SF_WRITE : 0;
	int err = sf_pin(v->m + from * PAGE, n * PAGE, want != 0, &pin);
	bool allowed = true;

	for (unsigned i = from; i < from + n; i++)
		allowed = allowed && (want ? v->prot[i] & SF_WRITE : v->prot[i] != 0);
	if (err) {
		assert_true(err == -ENOBUFS || (err == -EFAULT && !allowed));
		return;
	}
	assert_true(allowed);
	for (unsigned i = from; i < from + n; i++)
		check_page(i);
	OK(sf_unpin(&pin));
}

static void step(void)
{
	v = &model[rnd(NR)];
	if (!v->r) {
		map_one();
		return;
	}
	unsigned from = rnd(v->pages), n = 1 + rnd(v->pages - from);

	switch (rnd(28)) {
	case 0:
		unmap_one();
		break;
	case 1:
		protect_some(from, n);
		break;
	case 2:
		give_up(from, n);
		break;
	case 3:
		OK(sf_advise(v->r, from * PAGE, n * PAGE, rnd(2) ? SF_PAGEOUT : SF_COLD));
		break;
	case 4:
		OK(sf_advise(v->r, from * PAGE, n * PAGE, SF_WILLNEED));
		break;
	case 5:
		OK(sf_sync(v->r, from * PAGE, n * PAGE, SF_SYNC_NOFLUSH));
		synced(from, n);
		break;
	case 6:
		resize_one();
		break;
	case 7: {
		int err = sf_move(v->r, NULL, (void **)&v->m);

		assert_true(has_snapshots() ? err == -EBUSY : !err || err == -ENOMEM);
		break;
	}
	case 8:
		OK(sf_pool_resize(pool, (64 + rnd(400)) * PAGE));
		break;
	case 9:
		check_dirty();
		break;
	case 10:
		pin_some(from, 1 + rnd(n > 20 ? 20 : n));
		break;
	case 11:
		OK(sf_advise(v->r, 0, 0, rnd(3)));
		break;
	case 12:
	case 13:
	case 14:
		snapshot_step();
		break;
	case 15:
#ifndef ON_SOFT
		through_a_file(from, n);
#endif
		break;
	case 16: {
		unsigned char vec[MAX_PAGES];

		OK(sf_residency(v->r, from * PAGE, n * PAGE, vec));
		for (unsigned i = 0; i < n; i++)
			assert_false(vec[i] & (SF_IN_PINNED | SF_IN_POISON));
		break;
	}
	default:
		for (unsigned i = from; i < from + n; i += 1 + rnd(4))
			if (rnd(2))
				write_page(i);
			else
				check_page(i);
	}
}

static void random_calls_against_a_model(void **cm_state)
{
	state = seed_arg * 0x9e3779b97f4a7c15ull + lib_engine;
	bool any = seed_arg % 4 == 3;

	if (any)
		open_any();
	else
		pool = open_pool(BOUND);
	for (unsigned i = 0; i < steps_arg; i++) {
		step();
		if (i % 97 == 0) {
			struct sf_pool_stats st = pool_stats(pool);

			assert_true(st.resident <= st.bound);
		}
	}
	for (v = model; v < model + NR; v++)
		if (v->r) {
			for (unsigned i = 0; i < v->pages; i++)
				check_page(i);
			unmap_one();
		}
	if (any)
		close_any();
	else
		close_pool(pool);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = { cmocka_unit_test(random_calls_against_a_model) };

	int failed = 0;

	if (argc > 2)
		steps_arg = (unsigned)atoi(argv[2]);
	if (argc > 1) {
		seed_arg = (unsigned)atoi(argv[1]);
		return run_on_engines("fuzz", tests, 1);
	}
	for (seed_arg = 1; seed_arg <= 4; seed_arg++)
		failed += run_on_engines("fuzz", tests, 1);
	return failed;
}
