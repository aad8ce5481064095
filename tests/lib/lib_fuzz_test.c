/* SPDX-License-Identifier: MIT */
/* fuzz_test.c - random calls on regions of every kind against a plain model of what each page must hold
 *
 *	lib_fuzz_test [SEED [STEPS]]
 *
 * The model knows one word a page, what the home has, and the rights.  What an unordered region's home has before a sync is anybody's
 * guess, so contents are only given up there after one. */
#include "lib_test.h"

enum { NR = 6, MAX_PAGES = 400, FILE_PAGES = 400 };

static struct {
	sf_region *r;
	char *m;
	unsigned pages, kind;
	bool ordered;
	int fd;
	uint64_t now[MAX_PAGES], home[MAX_PAGES];
	unsigned char prot[MAX_PAGES];
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
	return v->kind == SF_FILE_SHARED;
}

static void map_one(void)
{
	struct sf_map_options mo = { .struct_size = sizeof(mo), .cluster = rnd(2) ? 0 : (unsigned)PAGE << rnd(7) };

	v->kind = rnd(3);
	v->ordered = v->kind == SF_FILE_SHARED && rnd(2);
	v->pages = 1 + rnd(MAX_PAGES / 2);
	v->fd = -1;
	if (v->kind != SF_ANON) {
		v->fd = temp_file(FILE_PAGES);
		mo.kind = v->kind;
		mo.fd = v->fd;
		mo.flags = (v->ordered ? SF_MAP_ORDERED : 0) | (rnd(2) ? SF_MAP_CHECKSUM : 0);
	}
	for (unsigned i = 0; i < MAX_PAGES; i++) {
		v->now[i] = v->home[i] = v->kind == SF_ANON ? 0 : mark(i);
		v->prot[i] = SF_READ | SF_WRITE;
	}
	OK(sf_map(pool, v->pages * PAGE, &mo, &v->r, (void **)&v->m));
}

static void unmap_one(void)
{
	OK(sf_unmap(v->r));
	for (unsigned i = 0; v->ordered && i < FILE_PAGES; i += 7)
		assert_true(file_has(v->fd, i, v->home[i]));
	if (v->fd >= 0)
		close(v->fd);
	v->r = NULL;
}

static void write_page(unsigned i, uint64_t word)
{
	if (!(v->prot[i] & SF_WRITE)) {
		assert_int_equal(try_write(v->m + i * PAGE, 1), -EACCES);
		return;
	}
	fill_page(v->m + i * PAGE, word);
	v->now[i] = word;
}

static void check_page(unsigned i)
{
	if (!v->prot[i])
		assert_int_equal(try_read(v->m + i * PAGE), -EACCES);
	else
		assert_true(page_has(v->m + i * PAGE, v->now[i]));
}

static void synced(unsigned from, unsigned n)
{
	for (unsigned i = from; is_shared() && i < from + n; i++)
		v->home[i] = v->now[i];
}

static void give_up(unsigned from, unsigned n)
{
	if (is_shared() && !v->ordered) {
		OK(sf_sync(v->r, from * PAGE, n * PAGE, SF_SYNC_NOFLUSH));
		synced(from, n);
	}
	OK(sf_advise(v->r, from * PAGE, n * PAGE, SF_DONTNEED));
	for (unsigned i = from; i < from + n; i++)
		v->now[i] = v->home[i];
}

static void resize_one(void)
{
	unsigned pages = 1 + rnd(MAX_PAGES);
	int err;

	if (is_shared() && !v->ordered && pages < v->pages) {
		OK(sf_sync(v->r, 0, 0, SF_SYNC_NOFLUSH));
		synced(0, v->pages);
	}
	err = sf_resize(v->r, pages * PAGE, rnd(2), (void **)&v->m);
	if (err) {
		assert_true(err == -ENOMEM || err == -EBUSY);
		return;
	}
	for (unsigned i = pages; i < v->pages; i++)
		v->now[i] = v->home[i];
	for (unsigned i = v->pages; i < pages; i++) {
		v->now[i] = v->home[i];
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
		assert_true(named[i] || v->now[i] == v->home[i]);
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
	if (!allowed) {
		printf("# pin want %u from %u n %u:", want, from, n);
		for (unsigned i = from; i < from + n; i++)
			printf(" %u", v->prot[i]);
		printf(" pages %u\n", v->pages);
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

	switch (rnd(24)) {
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

		if (err)
			printf("# move %d pinned %lu pages %u\n", err, (unsigned long)pool_stats(pool).pinned, v->pages);
		assert_true(!err || err == -ENOMEM);
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
	default:
		for (unsigned i = from; i < from + n; i += 1 + rnd(4))
			if (rnd(2))
				write_page(i, state);
			else
				check_page(i);
	}
}

static void random_calls_against_a_model(void **cm_state)
{
	memset(model, 0, sizeof(model));
	state = seed_arg * 0x9e3779b97f4a7c15ull + lib_engine;
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
	close_pool(pool);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = { cmocka_unit_test(random_calls_against_a_model) };

	if (argc > 1)
		seed_arg = (unsigned)atoi(argv[1]);
	if (argc > 2)
		steps_arg = (unsigned)atoi(argv[2]);
	return run_on_engines("fuzz", tests, 1);
}
