/* SPDX-License-Identifier: MIT */
/* concurrent_test.c - several threads, one address space: I/O without the lock, one read for many faults
 *
 * I/O is held up by a gate that the test opens, so the interesting moment lasts as long as it needs; nothing sleeps. */
#include "harness.h"

#include <pthread.h>
#include <sched.h>

struct gate {
	pthread_mutex_t lock;
	pthread_cond_t moved;
	bool open;
	unsigned arrived;
};
#define GATE_INIT                                                             \
	{                                                                     \
		PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false, 0 \
	}

static void gate_pass(void *arg)
{
	struct gate *g = arg;

	pthread_mutex_lock(&g->lock);
	g->arrived++;
	pthread_cond_broadcast(&g->moved);
	while (!g->open)
		pthread_cond_wait(&g->moved, &g->lock);
	pthread_mutex_unlock(&g->lock);
}

static void gate_await(struct gate *g, unsigned n)
{
	pthread_mutex_lock(&g->lock);
	while (g->arrived < n)
		pthread_cond_wait(&g->moved, &g->lock);
	pthread_mutex_unlock(&g->lock);
}

static void gate_open(struct gate *g)
{
	pthread_mutex_lock(&g->lock);
	g->open = true;
	pthread_cond_broadcast(&g->moved);
	pthread_mutex_unlock(&g->lock);
}

/* Until n threads sleep in page_wait. */
static void await_waiters(struct rig *r, unsigned n)
{
	for (uint32_t now = 0; now < n; sched_yield()) {
		mm_lock(r->mm);
		now = r->mm->waiters;
		mm_unlock(r->mm);
	}
}

struct reader {
	pthread_t thread;
	struct rig *r;
	struct task tk;
	vaddr_t addr;
	uint64_t buf[PAGE_SIZE / 8];
	int verdict;
	struct fault_report rep;
};

static void *read_page(void *arg)
{
	struct reader *rd = arg;

	rd->verdict = soft_access(rd->r->port, rd->r->mm, &rd->tk, rd->addr, rd->buf, PAGE_SIZE, PT_R, &rd->rep);
	return NULL;
}

static void reader_start(struct reader *rd, struct rig *r, vaddr_t addr, uint32_t tid)
{
	*rd = (struct reader){ .r = r, .addr = addr, .tk.tid = tid };
	assert_int_equal(pthread_create(&rd->thread, NULL, read_page, rd), 0);
}

static void reader_join(struct reader *rd) { pthread_join(rd->thread, NULL); }

/* row 29: one read, one frame, both go on; row 30: the lock is free meanwhile */
static void two_threads_on_one_swapped_page_make_one_read(void **state)
{
	struct rig r;
	struct gate g = GATE_INIT;
	struct reader a, b;
	uint64_t want[PAGE_SIZE / 8];

	rig_open(&r, .fault_around = 1, .threaded = true);
	row_map(&r, ROW, "ww");
	stamp(&r, AT(0), 5);
	assert_fixed(try_read(&r, AT(0), want, PAGE_SIZE));
	evict_range(&r, ROW, 1);
	r.store.on_read = gate_pass;
	r.store.hook_arg = &g;
	reader_start(&a, &r, AT(0), 11);
	gate_await(&g, 1);
	poke(&r, AT(1), 1); /* another page, while the store is being read */
	assert_int_equal(do_mprotect(r.mm, AT(1), PAGE_SIZE, PROT_READ), 0);
	reader_start(&b, &r, AT(0), 12);
	await_waiters(&r, 1);
	gate_open(&g);
	reader_join(&a);
	reader_join(&b);
	assert_int_equal(a.verdict, FAULT_FIXED);
	assert_int_equal(b.verdict, FAULT_FIXED);
	assert_memory_equal(a.buf, want, PAGE_SIZE);
	assert_memory_equal(b.buf, want, PAGE_SIZE);
	assert_int_equal(r.store.reads, 1);
	assert_int_equal(r.mc->used, 2);
	assert_int_equal(a.tk.maj_flt, 1);
	assert_int_equal(b.tk.maj_flt, 0);
	rig_close(&r);
}

/* row 29 */
static void four_threads_on_one_file_page_make_one_read(void **state)
{
	struct rig r;
	struct gate g = GATE_INIT;
	struct reader rd[4];

	rig_open(&r, .fault_around = 4, .threaded = true);
	row_map(&r, ROW, "FFFF");
	r.file->on_read = gate_pass;
	r.file->hook_arg = &g;
	reader_start(&rd[0], &r, AT(1), 10);
	gate_await(&g, 1);
	for (unsigned i = 1; i < 4; i++)
		reader_start(&rd[i], &r, AT(1), 10 + i);
	await_waiters(&r, 3);
	gate_open(&g);
	for (unsigned i = 0; i < 4; i++) {
		reader_join(&rd[i]);
		assert_int_equal(rd[i].verdict, FAULT_FIXED);
		assert_int_equal(((unsigned char *)rd[i].buf)[77], fake_byte(PAGE_SIZE + 77));
	}
	assert_int_equal(r.file->reads, 1);
	assert_int_equal(faults(&r, FK_SPURIOUS), 3);
	rig_close(&r);
}

struct change {
	struct rig *r;
	int64_t result;
	bool was_locked;
};

static void protect_under_io(void *arg)
{
	struct change *c = arg;

	c->was_locked = mm_is_locked(c->r->mm);
	c->result = do_mprotect(c->r->mm, AT(0), PAGE_SIZE, PROT_NONE);
}

/* row 30: after the I/O the area is looked up anew */
static void access_taken_away_under_io_is_refused(void **state)
{
	struct rig r;
	struct change c = { .r = &r };
	char byte;

	rig_open(&r, .fault_around = 1);
	row_map(&r, ROW, "FF");
	r.file->on_read = protect_under_io;
	r.file->hook_arg = &c;
	assert_accerr(try_read(&r, AT(0) + 3, &byte, 1), AT(0) + 3);
	assert_false(c.was_locked);
	assert_int_equal(c.result, 0);
	r.file->on_read = NULL;
	assert_int_equal(do_mprotect(r.mm, AT(0), PAGE_SIZE, PROT_READ), 0);
	assert_file_page(&r, AT(0), 0);
	rig_close(&r);
}

static void change_elsewhere(void *arg)
{
	struct change *c = arg;

	c->result = map_anon(c->r, AT(30), 2, PROT_READ, 0);
	assert_int_equal(do_munmap(c->r->mm, AT(4), PAGE_SIZE), 0);
	assert_int_equal(do_mprotect(c->r->mm, AT(2), PAGE_SIZE, PROT_READ), 0); /* splits the area under I/O */
}

/* row 30 */
static void changes_elsewhere_under_io_do_no_harm(void **state)
{
	struct rig r;
	struct change c = { .r = &r };

	rig_open(&r, .fault_around = 1);
	row_map(&r, ROW, "wwwwww");
	for (unsigned i = 0; i < 6; i++)
		stamp(&r, AT(i), i);
	evict_range(&r, ROW, 6);
	r.store.on_read = change_elsewhere;
	r.store.hook_arg = &c;
	assert_int_equal(content(&r, AT(1), 1), HAS_TAG);
	assert_int_equal(c.result, AT(30));
	r.store.on_read = NULL;
	assert_stamp(&r, AT(5), 5);
	rig_close(&r);
}

static void *unmap_row(void *arg)
{
	struct rig *r = arg;

	SF_ASSERT(!do_munmap(r->mm, ROW, 2 * PAGE_SIZE));
	return NULL;
}

/* row 30 */
static void page_unmapped_under_io_leaves_nothing_behind(void **state)
{
	struct rig r;
	struct gate g = GATE_INIT;
	struct reader a;
	pthread_t t;

	rig_open(&r, .fault_around = 1, .threaded = true);
	row_map(&r, ROW, "ww");
	stamp(&r, AT(0), 5);
	evict_range(&r, ROW, 1);
	r.store.on_read = gate_pass;
	r.store.hook_arg = &g;
	reader_start(&a, &r, AT(0), 11);
	gate_await(&g, 1);
	assert_int_equal(pthread_create(&t, NULL, unmap_row, &r), 0);
	await_waiters(&r, 1);
	gate_open(&g);
	reader_join(&a);
	pthread_join(t, NULL);
	assert_true(a.verdict == FAULT_FIXED || (a.verdict == FAULT_SIGNAL && a.rep.code == SEGV_MAPERR));
	char byte;
	assert_maperr(try_read(&r, AT(0), &byte, 1), AT(0));
	assert_int_equal(r.mc->used, 0);
	assert_int_equal(swap_used(r.mc), 0);
	rig_close(&r);
}

static void *evict_row(void *arg)
{
	evict_range(arg, ROW, 4);
	return NULL;
}

/* row 27, row 30: a page on its way out is taken back by a touch, and a write to it is not lost */
static void page_being_written_out_can_be_taken_back(void **state)
{
	struct rig r;
	struct gate g = GATE_INIT;
	pthread_t t;

	rig_open(&r, .fault_around = 1, .threaded = true);
	row_map(&r, ROW, "wwww");
	for (unsigned i = 0; i < 4; i++)
		stamp(&r, AT(i), i);
	r.store.on_write = gate_pass;
	r.store.hook_arg = &g;
	assert_int_equal(pthread_create(&t, NULL, evict_row, &r), 0);
	gate_await(&g, 1);
	assert_stamp(&r, AT(0), 0);
	stamp(&r, AT(1), 11);
	assert_int_equal(do_madvise(r.mm, &r.tk, AT(2), PAGE_SIZE, MADV_DONTNEED), 0);
	gate_open(&g);
	pthread_join(t, NULL);
	rig_check(&r);
	assert_true(rig_pte(&r, AT(3)) & PTE_SWAP);
	assert_stamp(&r, AT(0), 0);
	assert_stamp(&r, AT(1), 11);
	assert_zero_page(&r, AT(2));
	assert_stamp(&r, AT(3), 3);
	rig_close(&r);
}

/* ---- everything at once */

#define PAGES   150u
#define THREADS 4u
#define ROUNDS  2500u

struct worker {
	pthread_t thread;
	struct rig *r;
	struct task tk;
	unsigned nr;
	uint64_t mine[PAGES]; /* what my word of each page must hold */
};

static uint64_t rnd(uint64_t *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 7;
	return *s ^= *s << 17;
}

static void work(struct worker *w, uint64_t *seed)
{
	unsigned page = rnd(seed) % PAGES;
	vaddr_t at = AT(page) + 64 * w->nr;
	uint64_t got;

	SF_ASSERT(soft_access(w->r->port, w->r->mm, &w->tk, at, &got, 8, PT_R, NULL) == FAULT_FIXED);
	SF_ASSERT(got == w->mine[page]);
	if (rnd(seed) % 2) {
		w->mine[page] = rnd(seed);
		SF_ASSERT(soft_access(w->r->port, w->r->mm, &w->tk, at, &w->mine[page], 8, PT_W, NULL) == FAULT_FIXED);
	} else if (rnd(seed) % 8 == 0) {
		uint64_t n = 1 + rnd(seed) % 3;
		int64_t pinned = pin_user(w->r->mm, &w->tk, AT(page), n * PAGE_SIZE, true);

		if (pinned > 0)
			unpin_user(w->r->mm, AT(page), (uint64_t)pinned);
	}
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;
	uint64_t seed = 1234567 + w->nr;

	for (unsigned i = 0; i < ROUNDS; i++)
		work(w, &seed);
	return NULL;
}

/* Meanwhile another thread evicts, maps, protects and unmaps beside them. */
static void *disturb(void *arg)
{
	struct rig *r = arg;
	struct task tk = { .tid = 99 };
	uint64_t seed = 42;

	for (unsigned i = 0; i < ROUNDS / 10; i++) {
		unsigned page = rnd(&seed) % PAGES, op = rnd(&seed) % 4;

		if (op == 0)
			do_madvise(r->mm, &tk, AT(page), 8 * PAGE_SIZE, MADV_PAGEOUT);
		else if (op == 1)
			do_mprotect(r->mm, AT(400), PAGE_SIZE * (1 + page % 20), page & 1 ? PROT_READ : PROT_NONE);
		else if (op == 2)
			map_anon(r, AT(400 + page), 3, PROT_READ | PROT_WRITE, MAP_POPULATE);
		else
			do_munmap(r->mm, AT(400 + page), 5 * PAGE_SIZE);
	}
	return NULL;
}

/* rows 27, 29, 30 */
static void many_threads_under_pressure_see_their_own_writes(void **state)
{
	struct rig r;
	static struct worker w[THREADS];
	pthread_t other;

	rig_open(&r, .bound = 64, .threaded = true);
	assert_int_equal(map_anon(&r, ROW, PAGES + 10, PROT_READ | PROT_WRITE, 0), ROW);
	assert_int_equal(map_anon(&r, AT(400), 200, PROT_READ | PROT_WRITE, 0), AT(400));
	for (unsigned i = 0; i < THREADS; i++) {
		w[i] = (struct worker){ .r = &r, .nr = i, .tk.tid = i + 1 };
		assert_int_equal(pthread_create(&w[i].thread, NULL, worker_main, &w[i]), 0);
	}
	assert_int_equal(pthread_create(&other, NULL, disturb, &r), 0);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(w[i].thread, NULL);
	pthread_join(other, NULL);
	assert_true(rig_peak(&r) <= 64);
	for (unsigned i = 0; i < THREADS; i++)
		for (unsigned p = 0; p < PAGES; p++) {
			uint64_t got;

			assert_fixed(try_read(&r, AT(p) + 64 * i, &got, 8));
			assert_int_equal(got, w[i].mine[p]);
		}
	rig_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_threads_on_one_swapped_page_make_one_read),
		cmocka_unit_test(four_threads_on_one_file_page_make_one_read),
		cmocka_unit_test(access_taken_away_under_io_is_refused),
		cmocka_unit_test(changes_elsewhere_under_io_do_no_harm),
		cmocka_unit_test(page_unmapped_under_io_leaves_nothing_behind),
		cmocka_unit_test(page_being_written_out_can_be_taken_back),
		cmocka_unit_test(many_threads_under_pressure_see_their_own_writes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
