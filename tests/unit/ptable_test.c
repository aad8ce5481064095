/* SPDX-License-Identifier: MIT */
/* ptable_test.c - the radix of page-table entries, and the small allocator under it */
#include "harness.h"

static void set(struct rig *r, uint64_t pfn, pte_t e)
{
	if (e)
		assert_non_null(pte_alloc(r->mm, pfn));
	pte_set(r->mm, pfn, e);
}

static void entries_are_kept_far_and_near(void **state)
{
	static const uint64_t pfns[] = { 0x10, 0x11, 0x1ff, 0x200, 0x3ffff, 0x40000, 0x7ffffff, 0x8000000 };
	struct rig r;

	rig_open(&r);
	mm_lock(r.mm);
	for (unsigned i = 0; i < ARRAY_SIZE(pfns); i++)
		set(&r, pfns[i], PTE_POISON | (uint64_t)(i + 1) << 8);
	for (unsigned i = 0; i < ARRAY_SIZE(pfns); i++)
		assert_int_equal(pte_get(r.mm, pfns[i]), PTE_POISON | (uint64_t)(i + 1) << 8);
	assert_int_equal(pte_get(r.mm, 0x12), 0);
	assert_int_equal(pte_get(r.mm, 0xfffffff), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(pfns); i++)
		set(&r, pfns[i], 0);
	mm_unlock(r.mm);
	rig_close(&r);
}

static void next_skips_what_is_empty(void **state)
{
	struct rig r;

	rig_open(&r);
	mm_lock(r.mm);
	assert_int_equal(pte_next(r.mm, 0, 1ull << 28), 1ull << 28);
	set(&r, 5, PTE_POISON);
	set(&r, 511, PTE_POISON);
	set(&r, 512, PTE_POISON);
	set(&r, 0x7654321, PTE_POISON);
	assert_int_equal(pte_next(r.mm, 0, 1ull << 28), 5);
	assert_int_equal(pte_next(r.mm, 5, 1ull << 28), 5);
	assert_int_equal(pte_next(r.mm, 6, 1ull << 28), 511);
	assert_int_equal(pte_next(r.mm, 6, 511), 511);
	assert_int_equal(pte_next(r.mm, 6, 100), 100);
	assert_int_equal(pte_next(r.mm, 512, 1ull << 28), 512);
	assert_int_equal(pte_next(r.mm, 513, 1ull << 28), 0x7654321);
	assert_int_equal(pte_next(r.mm, 0x7654322, 1ull << 28), 1ull << 28);
	for (uint64_t p = 0; (p = pte_next(r.mm, p, 1ull << 28)) < 1ull << 28;)
		set(&r, p, 0);
	mm_unlock(r.mm);
	rig_close(&r);
}

static void empty_nodes_are_freed(void **state)
{
	struct rig r;

	rig_open(&r);
	mm_lock(r.mm);
	uint64_t before = r.mm->ptable_pages;
	for (uint64_t p = 0; p < 64; p++)
		set(&r, p << 18, PTE_POISON); /* a leaf each */
	assert_true(r.mm->ptable_pages >= before + 64);
	for (uint64_t p = 0; p < 64; p++)
		set(&r, p << 18, 0);
	assert_true(r.mm->ptable_pages <= before + 1);
	mm_unlock(r.mm);
	rig_close(&r);
}

static void sparse_faults_do_not_keep_nodes_after_unmap(void **state)
{
	struct rig r;

	rig_open(&r);
	uint64_t before = r.mm->ptable_pages;
	assert_int_equal(map_anon(&r, ROW, 1 << 20, PROT_READ | PROT_WRITE, 0), ROW);
	for (unsigned i = 0; i < 1 << 20; i += 1 << 15)
		poke(&r, AT(i), 1);
	assert_int_equal(do_munmap(r.mm, ROW, PAGE_SIZE << 20), 0);
	assert_true(r.mm->ptable_pages <= before + 1);
	rig_close(&r);
}

static void no_memory_for_a_node_is_null(void **state)
{
	struct rig r;

	rig_open(&r);
	mm_lock(r.mm);
	soft_fail(r.port, SOFT_OP(SOFT_ALLOC), 0, UINT64_MAX, ENOMEM);
	uint64_t p = 0;
	while (p < 1 << 16 && pte_alloc(r.mm, p << 9)) {
		pte_set(r.mm, p << 9, PTE_POISON);
		p++;
	}
	assert_true(p < 1 << 16);
	soft_fail(r.port, 0, 0, 0, 0);
	for (uint64_t i = 0; i < p; i++)
		pte_set(r.mm, i << 9, 0);
	mm_unlock(r.mm);
	rig_close(&r);
}

/* ---- kmalloc */

static void memory_is_aligned_zeroed_and_apart(void **state)
{
	static const size_t sizes[] = { 1, 16, 17, 48, 100, 128, 500, 1024, 2000, 4096, 5000, 65536, 1 << 20 };
	struct rig r;
	unsigned char *p[ARRAY_SIZE(sizes) * 8];
	size_t n = 0;

	rig_open(&r);
	for (unsigned round = 0; round < 3; round++) {
		n = 0;
		for (unsigned i = 0; i < ARRAY_SIZE(p); i++) {
			size_t size = sizes[i % ARRAY_SIZE(sizes)];

			p[n] = kmalloc(r.mc, size);
			assert_non_null(p[n]);
			assert_int_equal((uintptr_t)p[n] % 16, 0);
			for (size_t b = 0; b < size; b++)
				if (p[n][b])
					fail_msg("not zeroed");
			memset(p[n++], (int)(i + 1), size);
		}
		for (unsigned i = 0; i < n; i++) {
			size_t size = sizes[i % ARRAY_SIZE(sizes)];

			assert_int_equal(p[i][0], (unsigned char)(i + 1));
			assert_int_equal(p[i][size - 1], (unsigned char)(i + 1));
			kfree(r.mc, p[i]);
		}
	}
	kfree(r.mc, NULL);
	rig_close(&r);
}

static void freed_memory_is_used_again(void **state)
{
	struct rig r;
	struct soft_counts before, after;

	rig_open(&r);
	for (unsigned i = 0; i < 100; i++)
		kfree(r.mc, kmalloc(r.mc, 200));
	soft_counts(r.port, &before);
	for (unsigned i = 0; i < 100000; i++)
		kfree(r.mc, kmalloc(r.mc, 200));
	soft_counts(r.port, &after);
	assert_int_equal(after.alloc_bytes, before.alloc_bytes);
	rig_close(&r);
}

static void no_memory_is_null(void **state)
{
	struct rig r;

	rig_open(&r);
	soft_fail(r.port, SOFT_OP(SOFT_ALLOC), 0, UINT64_MAX, ENOMEM);
	assert_null(kmalloc(r.mc, 1 << 20));
	soft_fail(r.port, 0, 0, 0, 0);
	void *p = kmalloc(r.mc, 1 << 20);
	assert_non_null(p);
	kfree(r.mc, p);
	rig_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(entries_are_kept_far_and_near), cmocka_unit_test(next_skips_what_is_empty),
		cmocka_unit_test(empty_nodes_are_freed),         cmocka_unit_test(sparse_faults_do_not_keep_nodes_after_unmap),
		cmocka_unit_test(no_memory_for_a_node_is_null),  cmocka_unit_test(memory_is_aligned_zeroed_and_apart),
		cmocka_unit_test(freed_memory_is_used_again),    cmocka_unit_test(no_memory_is_null),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
