/* SPDX-License-Identifier: MIT */
/* inject_test.c - the k-th port call fails, for every k
 *
 * One script goes through mapping, touching, hiding, eviction, protection, moving and unmapping under a small bound.  It is run
 * again and again, each time with another call failing.  Whatever fails, afterwards the invariants hold, nothing has
 * leaked (rig_close), and each page has the contents it should have or a fault says that it has not: never wrong data. */
#include "harness.h"

#define PAGES 80u
#define SMALL 64u

/* What each page of the row should hold: tag + 1, or 0 for zeros. */
struct model {
	uint64_t holds[PAGES];
	uint64_t or_holds[PAGES]; /* also right, after an operation that reported failure half-way */
	unsigned errors;          /* reported so far */
};

static void expect(struct model *m, unsigned page, uint64_t holds) { m->holds[page] = m->or_holds[page] = holds; }

static void check_page(struct rig *r, struct model *m, unsigned page, vaddr_t at)
{
	for (unsigned i = 0; i < 2; i++) {
		uint64_t want = i ? m->or_holds[page] : m->holds[page];
		enum page_content has = content(r, at, want - 1);

		if (has == HAS_FAULT) {
			m->errors++;
			return;
		}
		if (has == (want ? HAS_TAG : HAS_ZEROS))
			return;
	}
	fail_msg("page %u has wrong contents", page);
}

static void write_page(struct rig *r, struct model *m, unsigned page, uint64_t tag)
{
	if (try_stamp(r, AT(page), tag).verdict == FAULT_FIXED)
		expect(m, page, tag + 1);
	else
		m->errors++;
}

static bool worked(struct model *m, int64_t result)
{
	m->errors += result < 0;
	return result >= 0;
}

static void script_touch(struct rig *r, struct model *m)
{
	for (unsigned i = 0; i < PAGES; i += 1 + i % 3 / 2)
		write_page(r, m, i, i);
	for (unsigned i = 0; i < PAGES; i += 5)
		check_page(r, m, i, AT(i));
}

static void script_protect(struct rig *r, struct model *m)
{
	worked(m, do_mprotect(r->mm, AT(10), 20 * PAGE_SIZE, PROT_READ));
	worked(m, do_mprotect(r->mm, AT(15), 5 * PAGE_SIZE, PROT_NONE));
	for (unsigned i = 8; i < 15; i++)
		check_page(r, m, i, AT(i));
	worked(m, do_mprotect(r->mm, AT(10), 20 * PAGE_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC));
	for (unsigned i = 8; i < 24; i += 3)
		write_page(r, m, i, 100 + i);
}

static void script_forget(struct rig *r, struct model *m)
{
	write_page(r, m, 31, 131);
	write_page(r, m, 32, 132);
	bool done = worked(m, do_madvise(r->mm, &r->tk, AT(30), 6 * PAGE_SIZE, MADV_DONTNEED));

	for (unsigned i = 30; i < 36; i++)
		if (done)
			expect(m, i, 0);
		else
			m->or_holds[i] = 0;
	worked(m, do_madvise(r->mm, &r->tk, AT(40), 8 * PAGE_SIZE, MADV_PAGEOUT));
	for (unsigned i = 28; i < 50; i += 2)
		check_page(r, m, i, AT(i));
}

/* Away and back again, if the way is free. */
static void script_move(struct rig *r, struct model *m)
{
	uint64_t len = 6 * PAGE_SIZE;

	if (!worked(m, do_mremap(r->mm, AT(50), len, len, MREMAP_MAYMOVE | MREMAP_FIXED, AT(200))))
		return;
	for (unsigned i = 50; i < 56; i++)
		check_page(r, m, i, AT(150 + i));
	if (worked(m, do_mremap(r->mm, AT(200), len, len, MREMAP_MAYMOVE | MREMAP_FIXED, AT(50))))
		return;
	for (unsigned i = 50; i < 56; i++)
		check_page(r, m, i, AT(150 + i));
	worked(m, do_munmap(r->mm, AT(200), len));
	for (unsigned i = 50; i < 56; i++)
		expect(m, i, 0);
}

static void script_files(struct rig *r, struct model *m)
{
	unsigned char got;

	if (!worked(m, do_mmap(r->mm, AT(300), 8 * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, &rig_file(r)->f, PT_R | PT_W,
			       0)))
		return;
	for (unsigned i = 0; i < 8; i += 3) {
		if (try_read(r, AT(300 + i) + 9, &got, 1).verdict != FAULT_FIXED)
			m->errors++;
		else
			assert_int_equal(got, fake_byte(i * PAGE_SIZE + 9));
	}
	if (!worked(m, do_mmap(r->mm, AT(320), 8 * PAGE_SIZE, PROT_READ, MAP_SHARED | MAP_FIXED, &r->file->f, PT_R, 0)))
		return;
	if (try_read(r, AT(321) + 9, &got, 1).verdict == FAULT_FIXED)
		assert_int_equal(got, fake_byte(PAGE_SIZE + 9));
	else
		m->errors++;
	worked(m, do_munmap(r->mm, AT(321), 2 * PAGE_SIZE));
}

static void script_copy(struct rig *r, struct model *m)
{
	uint64_t words[PAGE_SIZE / 8];
	int64_t got = pin_user(r->mm, &r->tk, AT(60), 3 * PAGE_SIZE, true);

	if (worked(m, got))
		unpin_user(r->mm, AT(60), (uint64_t)got);
	m->errors += copy_from_user(r->mm, &r->tk, words, AT(62), PAGE_SIZE) > 0;
	worked(m, do_mlock(r->mm, &r->tk, AT(64), 3 * PAGE_SIZE, 0));
	worked(m, do_munlock(r->mm, AT(64), 3 * PAGE_SIZE));
}

/* Far apart, so that page-table nodes and areas need memory. */
static void script_scatter(struct rig *r, struct model *m)
{
	for (vaddr_t i = 1; i <= 40; i++) {
		vaddr_t at = ROW + (i << 30);

		if (!worked(m, map_anon(r, at, 4, PROT_READ | PROT_WRITE, 0)))
			continue;
		worked(m, do_mprotect(r->mm, at + PAGE_SIZE, PAGE_SIZE, PROT_NONE));
		if (try_stamp(r, at, i).verdict == FAULT_FIXED)
			assert_true(content(r, at, i) == HAS_TAG || ++m->errors);
		else
			m->errors++;
	}
}

static void run_script(struct rig *r, struct model *m)
{
	if (!worked(m, map_anon(r, ROW, PAGES, PROT_READ | PROT_WRITE, 0)))
		return;
	script_touch(r, m);
	mm_lock(r->mm);
	balance(r->mm);
	mm_unlock(r->mm);
	script_protect(r, m);
	script_forget(r, m);
	script_move(r, m);
	script_files(r, m);
	script_copy(r, m);
	script_scatter(r, m);
}

static void check_all(struct rig *r, struct model *m)
{
	rig_check(r);
	soft_fail(r->port, 0, 0, 0, 0);
	for (unsigned i = 0; i < PAGES; i++)
		if (rig_area(r, AT(i)))
			check_page(r, m, i, AT(i));
	rig_check(r);
}

/* Run with the calls skip+1 … skip+times failing; how many did. */
static uint64_t run_failing(unsigned ops, uint64_t skip, uint64_t times, int err)
{
	struct rig r;
	struct model m = { 0 };

	rig_open(&r, .bound = SMALL, .fault_around = skip & 1 ? 8 : 1);
	rig_file(&r);
	soft_fail(r.port, ops, skip, times, err);
	run_script(&r, &m);
	uint64_t failed = soft_failed(r.port);
	check_all(&r, &m);
	rig_close(&r);
	return failed;
}

static void fail_every(unsigned ops, uint64_t times, uint64_t step, int err)
{
	uint64_t k = 0;

	while (run_failing(ops, k, times, err))
		k += step;
	assert_true(k > 0); /* or the script does not even make such calls */
}

static void script_without_failures_reports_none(void **state)
{
	struct rig r;
	struct model m = { 0 };

	rig_open(&r, .bound = SMALL);
	run_script(&r, &m);
	assert_int_equal(m.errors, 0);
	check_all(&r, &m);
	assert_int_equal(m.errors, 0);
	rig_close(&r);
}

#define OP_TEST(name, op, err)                      \
	static void name(void **state)              \
	{                                           \
		fail_every(SOFT_OP(op), 1, 1, err); \
		fail_every(SOFT_OP(op), 3, 5, err); \
	}

OP_TEST(failing_reserve_is_reported, SOFT_RESERVE, ENOMEM)
OP_TEST(failing_reserve_shared_is_reported, SOFT_RESERVE_SHARED, ENOMEM)
OP_TEST(failing_set_exec_is_reported, SOFT_SET_EXEC, ENOMEM)
OP_TEST(failing_fill_is_lived_with, SOFT_FILL, ENOMEM)
OP_TEST(failing_protect_is_lived_with, SOFT_PROTECT, ENOMEM)
OP_TEST(failing_hide_is_lived_with, SOFT_HIDE, EAGAIN)
OP_TEST(failing_show_is_lived_with, SOFT_SHOW, ENOMEM)
OP_TEST(failing_read_hidden_is_lived_with, SOFT_READ_HIDDEN, ENOMEM)
OP_TEST(failing_move_is_reported, SOFT_MOVE, ENOMEM)
OP_TEST(failing_show_shared_is_lived_with, SOFT_SHOW_SHARED, ENOMEM)

/* ---- small memory: all that the allocator has is taken away, but for some objects */

struct hoard {
	void *p[20000];
	unsigned n;
};

static void hoard_all(struct rig *r, struct hoard *h)
{
	static const size_t sizes[] = { 8192, 4096, 3072, 2048, 1536, 1024, 768, 512, 384, 256, 192, 128, 96, 64, 48, 32, 16 };

	h->n = 0;
	soft_fail(r->port, SOFT_OP(SOFT_ALLOC), 0, UINT64_MAX, ENOMEM);
	for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++)
		while (h->n < ARRAY_SIZE(h->p) && (h->p[h->n] = kmalloc(r->mc, sizes[i])))
			h->n++;
	assert_true(h->n < ARRAY_SIZE(h->p));
}

static void hoard_free(struct rig *r, struct hoard *h, unsigned first, unsigned n)
{
	for (unsigned i = first; i < MIN(first + n, h->n); i++) {
		kfree(r->mc, h->p[i]);
		h->p[i] = NULL;
	}
}

/* slabs: what any class may use; odd: objects here and there in the small classes. */
static unsigned run_starved(struct hoard *h, unsigned slabs, unsigned odd)
{
	struct rig r;
	struct model m = { 0 };

	rig_open(&r, .bound = SMALL);
	rig_file(&r);
	hoard_all(&r, h);
	hoard_free(&r, h, 0, slabs * 8); /* 8192 bytes each, 64 KiB a slab */
	for (unsigned i = 0; i < odd; i++)
		hoard_free(&r, h, 200 + i * 7, 1);
	run_script(&r, &m);
	hoard_free(&r, h, 0, h->n);
	check_all(&r, &m);
	rig_close(&r);
	return m.errors;
}

static void running_out_of_small_memory_is_reported(void **state)
{
	struct hoard *h = malloc(sizeof(*h));
	unsigned starved = 0, fed = 0;

	for (unsigned slabs = 0; slabs < 8; slabs++)
		for (unsigned odd = 0; odd < 60; odd += 1 + odd / 8) {
			unsigned errors = run_starved(h, slabs, odd);

			starved += errors > 0;
			fed += !errors;
		}
	assert_true(starved > 0 && fed > 0);
	free(h);
}

/* Dropping may be refused once; a port that never drops is broken. */
static void failing_drop_is_tried_again(void **state)
{
	fail_every(SOFT_OP(SOFT_DROP), 1, 1, ENOMEM);
	fail_every(SOFT_OP(SOFT_DROP_HIDDEN), 1, 1, ENOMEM);
	fail_every(SOFT_OP(SOFT_HIDE_SHARED), 1, 1, ENOMEM);
}

static void missing_peek_is_made_up_for(void **state)
{
	struct rig r;
	struct model m = { 0 };

	rig_open(&r, .bound = SMALL);
	soft_fail(r.port, SOFT_OP(SOFT_PEEK), 0, UINT64_MAX, ENOSYS);
	run_script(&r, &m);
	assert_int_equal(m.errors, 0);
	check_all(&r, &m);
	rig_close(&r);
}

/* Any call at all, whatever its kind. */
static void any_failing_call_never_gives_wrong_data(void **state) { fail_every((1u << SOFT_NR_OPS) - 1, 1, 1, ENOMEM); }

/* machine_create with the k-th allocation failing: an error, and nothing left behind. */
static void machine_without_memory_is_refused_cleanly(void **state)
{
	struct fake_store st;

	fake_store_init(&st, 64);
	for (uint64_t k = 0;; k++) {
		struct port *p;
		struct machine *mc;

		soft_port_create(RIG_LO, RIG_TASK_SIZE, &p);
		soft_fail(p, SOFT_OP(SOFT_ALLOC), k, 1, ENOMEM);
		struct machine_config c = { .port = p,
					    .store = &st.s,
					    .swap_slots = 64,
					    .bound_pages = 64,
					    .mmap_min = RIG_LO,
					    .task_size = RIG_TASK_SIZE,
					    .mmap_base = RIG_MMAP_BASE };
		int err = machine_create(&c, &mc);
		bool failed = soft_failed(p) > 0;
		if (!err)
			machine_destroy(mc);
		else
			assert_int_equal(err, -ENOMEM);
		assert_int_equal(soft_port_destroy(p), 0);
		if (!failed)
			break;
	}
	fake_store_fini(&st);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(script_without_failures_reports_none),
		cmocka_unit_test(failing_reserve_is_reported),
		cmocka_unit_test(failing_reserve_shared_is_reported),
		cmocka_unit_test(failing_set_exec_is_reported),
		cmocka_unit_test(failing_fill_is_lived_with),
		cmocka_unit_test(failing_protect_is_lived_with),
		cmocka_unit_test(failing_hide_is_lived_with),
		cmocka_unit_test(failing_show_is_lived_with),
		cmocka_unit_test(failing_read_hidden_is_lived_with),
		cmocka_unit_test(failing_move_is_reported),
		cmocka_unit_test(failing_show_shared_is_lived_with),
		cmocka_unit_test(running_out_of_small_memory_is_reported),
		cmocka_unit_test(failing_drop_is_tried_again),
		cmocka_unit_test(missing_peek_is_made_up_for),
		cmocka_unit_test(any_failing_call_never_gives_wrong_data),
		cmocka_unit_test(machine_without_memory_is_refused_cleanly),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
