/* SPDX-License-Identifier: MIT */
/* swap_test.c - the swap map, and pages that come back from a store that fails, lies or is full */
#include "harness.h"

static char c;

static void map_stamped(struct rig *r, uint64_t pages)
{
	assert_int_equal(map_anon(r, ROW, pages, PROT_READ | PROT_WRITE, 0), ROW);
	for (uint64_t i = 0; i < pages; i++)
		stamp(r, AT(i), i);
}

static void assert_all_stamped(struct rig *r, uint64_t pages)
{
	for (uint64_t i = 0; i < pages; i++)
		assert_stamp(r, AT(i), i);
}

/* ---------------------------------------------------------------- the map itself */

static void slots_come_in_runs_and_go_back(void **state)
{
	struct rig r;
	uint64_t a, b, c2;

	rig_open(&r, .slots = 8);
	mm_lock(r.mm);
	assert_int_equal(swap_alloc(r.mc, 4, &a), 4);
	assert_int_equal(swap_alloc(r.mc, 8, &b), 4);
	assert_true(a && b && a != b);
	assert_int_equal(swap_alloc(r.mc, 1, &c2), 0);
	assert_int_equal(swap_used(r.mc), 8);
	swap_free(r.mc, a, 4);
	assert_int_equal(swap_alloc(r.mc, 2, &c2), 2);
	swap_free(r.mc, b, 4);
	swap_free(r.mc, c2, 2);
	assert_int_equal(swap_used(r.mc), 0);
	mm_unlock(r.mm);
	rig_close(&r);
}

/* row 26: slot freed when the last user is gone */
static void slot_is_free_when_its_last_user_is_gone(void **state)
{
	struct rig r;
	unsigned char page[PAGE_SIZE] = { 1 };
	uint64_t slot;

	rig_open(&r, .slots = 8);
	mm_lock(r.mm);
	assert_int_equal(swap_alloc(r.mc, 1, &slot), 1);
	mm_unlock(r.mm);
	assert_int_equal(swap_write(r.mc, slot, 1, page), 0);
	mm_lock(r.mm);
	swap_dup(r.mc, slot);
	swap_free(r.mc, slot, 1);
	assert_int_equal(swap_used(r.mc), 1);
	assert_int_equal(r.store.live, 1);
	swap_free(r.mc, slot, 1);
	mm_unlock(r.mm);
	assert_int_equal(swap_used(r.mc), 0);
	assert_int_equal(r.store.live, 0);
	rig_close(&r);
}

/* row 26 */
static void every_flipped_bit_is_noticed(void **state)
{
	struct rig r;
	unsigned char page[2 * PAGE_SIZE], back[2 * PAGE_SIZE];
	uint64_t slot;

	rig_open(&r, .slots = 8);
	for (size_t i = 0; i < sizeof(page); i++)
		page[i] = (unsigned char)(i * 7 + i / 256);
	mm_lock(r.mm);
	assert_int_equal(swap_alloc(r.mc, 2, &slot), 2);
	mm_unlock(r.mm);
	assert_int_equal(swap_write(r.mc, slot, 2, page), 0);
	assert_int_equal(swap_read(r.mc, slot, 2, back), 0);
	assert_memory_equal(page, back, sizeof(page));
	for (unsigned bit = 0; bit < PAGE_SIZE * 8; bit += 97) {
		r.store.slots[slot + 1].data[bit / 8] ^= (unsigned char)(1 << bit % 8);
		assert_int_equal(swap_read(r.mc, slot, 2, back), -EBADMSG);
		r.store.slots[slot + 1].data[bit / 8] ^= (unsigned char)(1 << bit % 8);
	}
	assert_int_equal(swap_read(r.mc, slot, 2, back), 0);
	mm_lock(r.mm);
	swap_free(r.mc, slot, 2);
	mm_unlock(r.mm);
	rig_close(&r);
}

/* ---------------------------------------------------------------- do_swap_page */

/* row 26, row 27, row 28 */
static void swapped_page_comes_back_by_a_major_fault(void **state)
{
	struct rig r;

	rig_open(&r, .fault_around = 1);
	map_stamped(&r, 4);
	evict_range(&r, ROW, 4);
	assert_pages(&r, ROW, "SSSS");
	assert_int_equal(r.mm->swapped, 4);
	uint64_t major = r.tk.maj_flt;
	assert_stamp(&r, AT(2), 2);
	assert_int_equal(r.tk.maj_flt, major + 1);
	assert_int_equal(r.mc->stats->swap_in, 1);
	assert_int_equal(r.mc->stats->swap_out, 4);
	assert_all_stamped(&r, 4);
	rig_close(&r);
}

/* row 26: readahead of neighbours */
static void neighbours_in_the_store_come_along(void **state)
{
	struct rig r;

	rig_open(&r, .fault_around = 16);
	map_stamped(&r, 32);
	evict_range(&r, ROW, 32);
	uint64_t reads = r.store.reads;
	assert_all_stamped(&r, 32);
	assert_true(r.store.reads - reads < 16);
	assert_true(r.mc->stats->readahead > 0);
	assert_true(r.mc->stats->readahead_hit > 0);
	rig_close(&r);
}

/* row 26: swap cache */
static void page_that_was_only_read_is_not_written_again(void **state)
{
	struct rig r;

	rig_open(&r, .fault_around = 1);
	map_stamped(&r, 4);
	evict_range(&r, ROW, 4);
	uint64_t written = r.store.pages_written;
	assert_all_stamped(&r, 4);
	evict_range(&r, ROW, 4);
	assert_pages(&r, ROW, "SSSS");
	assert_int_equal(r.store.pages_written, written);
	assert_all_stamped(&r, 4);
	rig_close(&r);
}

/* row 26: never wrong data */
static void corrupted_slot_gives_sigbus_never_wrong_data(void **state)
{
	struct rig r;

	rig_open(&r, .fault_around = 8);
	map_stamped(&r, 8);
	evict_range(&r, ROW, 8);
	fake_store_corrupt(&r.store, pte_slot(rig_pte(&r, AT(3))));
	assert_adrerr(try_read(&r, AT(3) + 44, &c, 1), AT(3) + 44);
	for (unsigned i = 0; i < 8; i++)
		if (i != 3)
			assert_stamp(&r, AT(i), i);
	assert_adrerr(try_write(&r, AT(3), &c, 1), AT(3));
	assert_true(r.mc->stats->checksum_errors >= 1);
	assert_true(r.nr_warnings >= 1);
	rig_close(&r);
}

/* row 26, row 33 */
static void poisoned_page_stays_poisoned_until_it_is_unmapped(void **state)
{
	struct rig r;

	rig_open(&r);
	map_stamped(&r, 1);
	evict_range(&r, ROW, 1);
	fake_store_corrupt_all(&r.store);
	assert_int_equal(content(&r, AT(0), 0), HAS_FAULT);
	assert_int_equal(content(&r, AT(0), 0), HAS_FAULT);
	assert_pages(&r, ROW, "P");
	assert_int_equal(do_munmap(r.mm, ROW, PAGE_SIZE), 0);
	row_map(&r, ROW, "w");
	assert_zero_page(&r, AT(0));
	rig_close(&r);
}

/* row 26, row 33 */
static void failed_swap_read_gives_sigbus_and_spares_the_neighbours(void **state)
{
	struct rig r;

	rig_open(&r, .fault_around = 8);
	map_stamped(&r, 8);
	evict_range(&r, ROW, 8);
	r.store.tear = true;
	r.store.read_fail = (struct fake_fail){ .times = 20, .err = EIO };
	assert_adrerr(try_read(&r, AT(2) + 1, &c, 1), AT(2) + 1);
	r.store.read_fail.times = 0;
	for (unsigned i = 0; i < 8; i++)
		if (i != 2)
			assert_stamp(&r, AT(i), i);
	assert_int_not_equal(content(&r, AT(2), 2), HAS_ZEROS);
	assert_int_not_equal(content(&r, AT(2), 2), HAS_OTHER);
	rig_close(&r);
}

/* A read of several slots fails because of one of them: only that one may be lost. */
static void bad_neighbour_does_not_cost_a_good_page(void **state)
{
	struct rig r;

	rig_open(&r, .fault_around = 8);
	map_stamped(&r, 8);
	evict_range(&r, ROW, 8);
	for (unsigned i = 0; i < 8; i += 2)
		fake_store_corrupt(&r.store, pte_slot(rig_pte(&r, AT(i))));
	for (unsigned i = 1; i < 8; i += 2)
		assert_stamp(&r, AT(i), i);
	for (unsigned i = 0; i < 8; i += 2)
		assert_int_equal(content(&r, AT(i), i), HAS_FAULT);
	rig_close(&r);
}

/* ---------------------------------------------------------------- writing out */

/* row 34 */
static void swap_full_loses_nothing(void **state)
{
	struct rig r;
	unsigned good = 0;

	rig_open(&r, .bound = 64, .slots = 16);
	assert_int_equal(map_anon(&r, ROW, 200, PROT_READ | PROT_WRITE, 0), ROW);
	while (good < 200 && try_stamp(&r, AT(good), good).verdict == FAULT_FIXED)
		good++;
	assert_true(good >= 64 && good <= 64 + 16);
	rig_check(&r);
	for (unsigned i = 0; i < good; i++) {
		enum page_content has = content(&r, AT(i), i);

		assert_true(has == HAS_TAG || has == HAS_FAULT); /* a fault: out of memory, and says so */
	}
	assert_true(r.nr_warnings >= 1);
	assert_int_equal(do_munmap(r.mm, AT(good), (200 - good) * PAGE_SIZE), 0);
	assert_int_equal(machine_set_bound(r.mc, 256), 0);
	assert_all_stamped(&r, good);
	rig_close(&r);
}

/* row 34 */
static void store_without_space_loses_nothing(void **state)
{
	struct rig r;
	unsigned good = 0;

	rig_open(&r, .bound = 64);
	r.store.capacity = 20;
	r.store.tear = true;
	assert_int_equal(map_anon(&r, ROW, 200, PROT_READ | PROT_WRITE, 0), ROW);
	while (good < 200 && try_stamp(&r, AT(good), good).verdict == FAULT_FIXED)
		good++;
	assert_true(good >= 64 && good <= 64 + 20);
	rig_check(&r);
	r.store.capacity = 0; /* somebody made room */
	assert_all_stamped(&r, good);
	rig_close(&r);
}

/* row 34 */
static void failed_write_keeps_the_page_in_memory(void **state)
{
	struct rig r;

	rig_open(&r);
	map_stamped(&r, 4);
	r.store.tear = true;
	r.store.write_fail = (struct fake_fail){ .times = UINT64_MAX, .err = EIO };
	evict_range(&r, ROW, 4);
	assert_true(r.mc->stats->swap_errors >= 1);
	assert_true(r.nr_warnings >= 1);
	assert_int_equal(r.mm->swapped, 0);
	assert_all_stamped(&r, 4);
	r.store.write_fail.times = 0;
	evict_range(&r, ROW, 4);
	assert_pages(&r, ROW, "SSSS");
	assert_all_stamped(&r, 4);
	rig_close(&r);
}

/* row 34: the k-th store call fails, for every k: data are right or an error was reported */
static void any_failing_store_call_never_gives_wrong_data(void **state)
{
	for (unsigned k = 0; k < 60; k++) {
		struct rig r;
		unsigned faulted = 0;

		rig_open(&r, .bound = 64, .fault_around = k & 1 ? 8 : 1);
		r.store.tear = k % 3 == 0;
		r.store.write_fail = (struct fake_fail){ .skip = k, .times = 2, .err = k & 2 ? EIO : ENOSPC };
		r.store.read_fail = (struct fake_fail){ .skip = k, .times = 1, .err = EIO };
		assert_int_equal(map_anon(&r, ROW, 150, PROT_READ | PROT_WRITE, 0), ROW);
		for (unsigned i = 0; i < 150; i++)
			stamp(&r, AT(i), i);
		for (unsigned round = 0; round < 2; round++)
			for (unsigned i = 0; i < 150; i++) {
				enum page_content has = content(&r, AT(i), i);

				assert_true(has == HAS_TAG || has == HAS_FAULT);
				faulted += has == HAS_FAULT;
			}
		assert_true(faulted <= 2 * 2);
		rig_close(&r);
	}
}

static void all_zero_page_needs_no_slot(void **state)
{
	struct rig r;

	rig_open(&r);
	row_map(&r, ROW, "www");
	poke(&r, AT(0), 0);
	poke(&r, AT(1), 1);
	peek_byte(&r, AT(2));
	evict_range(&r, ROW, 3);
	assert_true(r.mm->swapped == 1);
	assert_zero_page(&r, AT(0));
	assert_int_equal(peek_byte(&r, AT(1)), 1);
	assert_zero_page(&r, AT(2));
	rig_close(&r);
}

/* row 26 */
static void unmapping_swapped_pages_frees_their_slots(void **state)
{
	struct rig r;

	rig_open(&r);
	map_stamped(&r, 8);
	evict_range(&r, ROW, 8);
	assert_int_equal(swap_used(r.mc), 8);
	assert_int_equal(do_munmap(r.mm, AT(2), 3 * PAGE_SIZE), 0);
	assert_int_equal(swap_used(r.mc), 5);
	assert_int_equal(r.store.live, 5);
	assert_int_equal(r.mm->swapped, 5);
	rig_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(slots_come_in_runs_and_go_back),
		cmocka_unit_test(slot_is_free_when_its_last_user_is_gone),
		cmocka_unit_test(every_flipped_bit_is_noticed),
		cmocka_unit_test(swapped_page_comes_back_by_a_major_fault),
		cmocka_unit_test(neighbours_in_the_store_come_along),
		cmocka_unit_test(page_that_was_only_read_is_not_written_again),
		cmocka_unit_test(corrupted_slot_gives_sigbus_never_wrong_data),
		cmocka_unit_test(poisoned_page_stays_poisoned_until_it_is_unmapped),
		cmocka_unit_test(failed_swap_read_gives_sigbus_and_spares_the_neighbours),
		cmocka_unit_test(bad_neighbour_does_not_cost_a_good_page),
		cmocka_unit_test(swap_full_loses_nothing),
		cmocka_unit_test(store_without_space_loses_nothing),
		cmocka_unit_test(failed_write_keeps_the_page_in_memory),
		cmocka_unit_test(any_failing_store_call_never_gives_wrong_data),
		cmocka_unit_test(all_zero_page_needs_no_slot),
		cmocka_unit_test(unmapping_swapped_pages_frees_their_slots),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
