/* SPDX-License-Identifier: MIT */
/* lib_access_test.c - fault-safe access to regions: absent pages come in, errors of pages are errors */
#include "lib_test.h"

#define PAGES 100u

static void copies_bring_absent_pages_in(void **state)
{
	static char buf[PAGES * PAGE];
	sf_pool *pool = open_pool(BOUND);
	sf_region *r;
	void *at;
	char *mem;
	int cmp;

	OK(sf_map(pool, PAGES * PAGE, NULL, &r, &at));
	mem = at;
	for (unsigned i = 0; i < PAGES; i++)
		fill_page(mem + i * PAGE, mark(i));
	for (unsigned k = 0; k < 3; k++) {
		OK(sf_advise(r, 0, PAGES * PAGE, SF_PAGEOUT));
		memset(buf, 0, sizeof(buf));
		assert_int_equal(sf_copy_from(buf, mem, sizeof(buf), NULL), 0);
		for (unsigned i = 0; i < PAGES; i++)
			assert_true(page_has(buf + i * PAGE, mark(i)));
		OK(sf_advise(r, 0, PAGES * PAGE, SF_PAGEOUT));
		assert_int_equal(sf_copy_from(buf + 1, mem + 3 * PAGE - 50, 100, NULL), 0); /* a small one across a border */
		assert_memory_equal(buf + 1, mem + 3 * PAGE - 50, 100);
		OK(sf_advise(r, 0, PAGES * PAGE, SF_PAGEOUT));
		memcpy(buf, mem, 5 * PAGE);
		OK(sf_advise(r, 0, PAGES * PAGE, SF_PAGEOUT));
		OK(sf_cmp(buf, mem, 5 * PAGE, &cmp, NULL));
		assert_int_equal(cmp, 0);
		OK(sf_advise(r, 0, PAGES * PAGE, SF_PAGEOUT));
		OK(sf_probe(mem, PAGES * PAGE, 1, NULL));
		assert_true(page_has(mem + 7 * PAGE, mark(7)));
	}
	OK(sf_unmap(r));
	close_pool(pool);
}

static void what_cannot_be_touched_is_told(void **state)
{
	char buf[3 * PAGE];
	sf_pool *pool = open_pool(BOUND);
	struct sf_fault f;
	sf_region *r;
	void *at;
	char *mem;

	OK(sf_map(pool, 4 * PAGE, NULL, &r, &at));
	mem = at;
	fill_page(mem + 3 * PAGE, 5);
	assert_int_equal(sf_copy_from(buf, mem + 3 * PAGE, 3 * PAGE, &f), 2 * PAGE); /* beyond the region */
	assert_ptr_equal(f.addr, mem + 4 * PAGE);
	assert_int_equal(f.error, -EFAULT);
	assert_int_equal(f.write, 0);
	OK(sf_protect(r, PAGE, PAGE, SF_READ));
	assert_int_equal(sf_copy_to(mem, buf, 3 * PAGE, &f), 2 * PAGE);
	assert_ptr_equal(f.addr, mem + PAGE);
	assert_int_equal(f.error, -EACCES);
	assert_int_equal(f.write, 1);
	assert_int_equal(sf_clear(mem + PAGE - 10, 100, &f), 90);
	assert_int_equal(sf_probe(mem, 4 * PAGE, 1, &f), -EACCES);
	OK(sf_probe(mem, 4 * PAGE, 0, &f));
	OK(sf_unmap(r));
	assert_int_equal(sf_copy_from(buf, mem, 10, &f), 10);
	assert_int_equal(f.error, -EFAULT);
	close_pool(pool);
}

static void a_page_that_cannot_be_read_is_an_error(void **state)
{
	struct sf_fault_plan plan = { .struct_size = sizeof(plan), .fail_read = 1, .fail_times = UINT64_MAX };
	static char buf[4 * PAGE];
	sf_store *below, *faulty;
	sf_pool *pool = open_pool(BOUND);
	struct sf_fault f;
	struct sf_try t;
	sf_region *r;
	void *at;

	OK(sf_store_memory(1 << 20, &below));
	OK(sf_store_faulty(below, &faulty));
	OK(sf_map(pool, 4 * PAGE, MAP(.kind = SF_STORE, .store = faulty), &r, &at));
	OK(sf_advise(r, 0, PAGE, SF_POPULATE));
	OK(sf_advise(r, 0, 4 * PAGE, SF_DONTNEED));
	assert_int_equal(((volatile char *)at)[0], 0);
	OK(sf_store_faulty_plan(faulty, &plan));
	if (!sf_try(&t)) { /* the table comes before the scope */
		size_t left = sf_copy_from(buf, at, sizeof(buf), &f);

		assert_true(left > 0 && left <= 3 * PAGE);
		assert_int_equal(f.error, -EIO);
		assert_ptr_equal(f.addr, (char *)at + sizeof(buf) - left);
		OK(sf_try_end(&t));
	} else {
		fail();
	}
	plan.fail_read = 0;
	OK(sf_store_faulty_plan(faulty, &plan));
	assert_int_equal(sf_copy_from(buf, at, sizeof(buf), &f), 0);
	OK(sf_unmap(r));
	OK(sf_store_close(faulty));
	OK(sf_store_close(below));
	close_pool(pool);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(copies_bring_absent_pages_in),
	cmocka_unit_test(what_cannot_be_touched_is_told),
	cmocka_unit_test(a_page_that_cannot_be_read_is_an_error),
};
MAIN(tests)
