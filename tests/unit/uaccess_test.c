/* SPDX-License-Identifier: MIT */
/* uaccess_test.c - copies between us and the program, on the soft port */
#include "harness.h"

#define copy_from(r, dst, src, n) copy_from_user((r)->mm, &(r)->tk, dst, src, n)
#define copy_to(r, dst, src, n)   copy_to_user((r)->mm, &(r)->tk, dst, src, n)

/* row 13 */
static void access_ok_is_a_range_check_and_nothing_more(void **state)
{
	struct rig r;

	rig_open(&r);
	assert_true(access_ok(r.mm, 0, 1)); /* nothing is mapped there: not its business */
	assert_true(access_ok(r.mm, RIG_TASK_SIZE - 1, 1));
	assert_false(access_ok(r.mm, RIG_TASK_SIZE - 1, 2));
	assert_false(access_ok(r.mm, RIG_TASK_SIZE, 1));
	assert_false(access_ok(r.mm, UINT64_MAX, 2));
	assert_false(access_ok(r.mm, ROW, UINT64_MAX));
	assert_true(access_ok(r.mm, ROW, 0));
	rig_close(&r);
}

/* row 13 */
static void copy_beyond_task_size_touches_nothing(void **state)
{
	struct rig r;
	char buf[8] = "xxxxxxx";
	uint64_t before;

	rig_open(&r);
	before = r.mc->stats->kernel_faults;
	assert_int_equal(copy_from(&r, buf, RIG_TASK_SIZE - 4, 8), 8);
	assert_memory_equal(buf, "\0\0\0\0\0\0\0\0", 8);
	assert_int_equal(copy_to(&r, RIG_TASK_SIZE, buf, 8), 8);
	assert_int_equal(r.mc->stats->kernel_faults, before);
	rig_close(&r);
}

/* row 14 */
static void absent_page_is_faulted_in_and_the_copy_goes_on(void **state)
{
	struct rig r;
	char buf[3 * PAGE_SIZE], back[3 * PAGE_SIZE];

	rig_open(&r, .fault_around = 1);
	row_map(&r, ROW, "wwwww");
	memset(buf, 'b', sizeof(buf));
	assert_int_equal(copy_to(&r, AT(0) + 100, buf, sizeof(buf)), 0);
	evict_range(&r, AT(1), 2);
	hide_range(&r, AT(0), 1);
	assert_pages(&r, ROW, "HSSW.");
	assert_int_equal(copy_from(&r, back, AT(0) + 100, sizeof(back)), 0);
	assert_memory_equal(buf, back, sizeof(buf));
	assert_true(r.mc->stats->kernel_faults >= 7);
	assert_int_equal(r.mc->stats->fixups, 0);
	rig_close(&r);
}

/* row 17, row 18 */
static void bad_page_ends_the_copy_with_the_bytes_left(void **state)
{
	struct rig r;
	char buf[2 * PAGE_SIZE];

	rig_open(&r);
	row_map(&r, ROW, "w.wr");
	memset(buf, 'q', sizeof(buf));
	assert_int_equal(copy_to(&r, AT(1) - 10, buf, 100), 90);
	assert_int_equal(r.tk.fault_addr, AT(1));
	assert_int_equal(peek_byte(&r, AT(1) - 1), 'q');
	assert_int_equal(copy_to(&r, AT(3) - 7, buf, 20), 13);
	assert_int_equal(r.tk.fault_addr, AT(3));
	assert_int_equal(r.mc->stats->fixups, 2);
	assert_int_equal(copy_to(&r, AT(8) + 5, buf, 20), 20);
	assert_int_equal(r.tk.fault_addr, AT(8) + 5);
	rig_close(&r);
}

/* row 20: zero-fill the rest */
static void failed_copy_from_user_leaves_zeros_not_old_bytes(void **state)
{
	struct rig r;
	char buf[32];

	rig_open(&r);
	row_map(&r, ROW, "w.");
	poke(&r, AT(1) - 1, 'k');
	memset(buf, 'o', sizeof(buf));
	assert_int_equal(copy_from(&r, buf, AT(1) - 1, 20), 19);
	assert_int_equal(buf[0], 'k');
	for (unsigned i = 1; i < 20; i++)
		assert_int_equal(buf[i], 0);
	assert_int_equal(buf[20], 'o');
	rig_close(&r);
}

/* row 20: -EFAULT in a register */
static void get_and_put_user_give_efault(void **state)
{
	struct rig r;
	uint32_t v = 77;

	rig_open(&r);
	row_map(&r, ROW, "wr.");
	assert_int_equal(put_user(r.mm, &r.tk, uint32_t, AT(0) + 4, 0x12345678), 0);
	assert_int_equal(get_user(r.mm, &r.tk, uint32_t, AT(0) + 4, &v), 0);
	assert_int_equal(v, 0x12345678);
	assert_int_equal(peek_byte(&r, AT(0) + 8), 0);
	assert_int_equal(put_user(r.mm, &r.tk, uint64_t, AT(1), 1), -EFAULT);
	assert_int_equal(get_user(r.mm, &r.tk, uint32_t, AT(2), &v), -EFAULT);
	assert_int_equal(v, 0x12345678);
	assert_int_equal(get_user(r.mm, &r.tk, uint32_t, AT(2) - 2, &v), -EFAULT); /* straddles */
	for (unsigned size = 1; size <= 8; size *= 2) {
		uint64_t x = 0;

		assert_int_equal(put_user_size(r.mm, &r.tk, AT(0) + 64, size, 0x8877665544332211ull), 0);
		assert_int_equal(get_user_size(r.mm, &r.tk, AT(0) + 64, size, &x), 0);
		assert_int_equal(x, size == 8 ? 0x8877665544332211ull : 0x8877665544332211ull & ((1ull << 8 * size) - 1));
	}
	rig_close(&r);
}

static void clear_user_zeroes_up_to_the_bad_page(void **state)
{
	struct rig r;

	rig_open(&r);
	row_map(&r, ROW, "ww.");
	stamp(&r, AT(0), 1);
	stamp(&r, AT(1), 1);
	assert_int_equal(clear_user(r.mm, &r.tk, AT(0), PAGE_SIZE), 0);
	assert_zero_page(&r, AT(0));
	assert_stamp(&r, AT(1), 1);
	assert_int_equal(clear_user(r.mm, &r.tk, AT(1), PAGE_SIZE + 30), 30);
	assert_zero_page(&r, AT(1));
	rig_close(&r);
}

static void string_may_end_just_below_a_bad_page(void **state)
{
	struct rig r;
	char buf[64];

	rig_open(&r);
	row_map(&r, ROW, "ww.");
	assert_int_equal(copy_to(&r, AT(2) - 6, "hello", 6), 0);
	assert_int_equal(strncpy_from_user(r.mm, &r.tk, buf, AT(2) - 6, sizeof(buf)), 5);
	assert_string_equal(buf, "hello");
	assert_int_equal(copy_to(&r, AT(1) - 3, "across", 7), 0);
	assert_int_equal(strncpy_from_user(r.mm, &r.tk, buf, AT(1) - 3, sizeof(buf)), 6);
	assert_string_equal(buf, "across");
	assert_int_equal(strncpy_from_user(r.mm, &r.tk, buf, AT(1) - 3, 3), 3);
	assert_int_equal(copy_to(&r, AT(2) - 3, "bad", 3), 0);
	assert_int_equal(strncpy_from_user(r.mm, &r.tk, buf, AT(2) - 3, sizeof(buf)), -EFAULT);
	assert_int_equal(strncpy_from_user(r.mm, &r.tk, buf, RIG_TASK_SIZE, sizeof(buf)), -EFAULT);
	rig_close(&r);
}

static void compare_and_exchange_answers_what_was_there(void **state)
{
	struct rig r;
	uint32_t old = 9;

	rig_open(&r);
	row_map(&r, ROW, "wr");
	assert_int_equal(cmpxchg_user32(r.mm, &r.tk, AT(0), 0, 5, &old), 0);
	assert_int_equal(old, 0);
	assert_int_equal(cmpxchg_user32(r.mm, &r.tk, AT(0), 4, 6, &old), 0);
	assert_int_equal(old, 5);
	assert_int_equal(peek_byte(&r, AT(0)), 5);
	assert_int_equal(cmpxchg_user32(r.mm, &r.tk, AT(1), 0, 5, &old), -EFAULT);
	rig_close(&r);
}

static void must_not_read(void *arg) { fail_msg("the store was read with faults disabled"); }

/* row 21 */
static void with_faults_disabled_a_fault_goes_to_its_fixup_at_once(void **state)
{
	struct rig r;
	char buf[16] = "0123456789abcde";

	rig_open(&r, .fault_around = 1);
	row_map(&r, ROW, "ww");
	stamp(&r, AT(0), 1);
	stamp(&r, AT(1), 2);
	evict_range(&r, AT(1), 1);
	r.store.on_read = must_not_read;
	r.tk.fault_disabled = 1;
	assert_int_equal(copy_from(&r, buf, AT(0), 16), 0); /* resident: no fault, no difference */
	assert_int_equal(copy_from(&r, buf, AT(1) - 4, 16), 12);
	assert_int_equal(r.tk.fault_addr, AT(1));
	assert_pages(&r, ROW, "WS");
	r.tk.fault_disabled = 0;
	r.store.on_read = NULL;
	assert_int_equal(copy_from(&r, buf, AT(1) - 4, 16), 0);
	rig_close(&r);
}

/* row 18, row 26 */
static void lost_page_is_efault_for_a_copy(void **state)
{
	struct rig r;
	char buf[16];

	rig_open(&r);
	row_map(&r, ROW, "w");
	stamp(&r, AT(0), 1);
	evict_range(&r, ROW, 1);
	fake_store_corrupt_all(&r.store);
	assert_int_equal(copy_from(&r, buf, AT(0), 16), 16);
	rig_close(&r);
}

static bool take(void *at, void *buf, size_t n)
{
	memcpy(buf, at, n);
	return true;
}

/* row 19 */
static void kernel_fault_without_an_entry_is_an_oops(void **state)
{
	struct rig r;
	struct fault_report rep;
	char buf[8];
	size_t done;

	rig_open(&r);
	row_map(&r, ROW, "w");
	struct soft_kernel_access a = { .addr = AT(0) + 4092, .buf = buf, .n = 8, .access = PT_R, .ip = 0x4242, .fn = take };
	assert_int_equal(soft_kernel_access(r.mm, &r.tk, &a, &done, &rep), FAULT_OOPS);
	assert_int_equal(done, 4);
	a.addr = AT(0); /* a legal address needs no entry */
	assert_int_equal(soft_kernel_access(r.mm, &r.tk, &a, &done, &rep), FAULT_FIXED);
	rig_close(&r);
}

static void fault_in_user_counts_the_bytes_it_could_not(void **state)
{
	struct rig r;

	rig_open(&r, .fault_around = 1);
	row_map(&r, ROW, "wwr.");
	assert_int_equal(fault_in_user(r.mm, &r.tk, AT(0) + 10, 2 * PAGE_SIZE - 10, true), 0);
	assert_pages(&r, ROW, "WW..");
	assert_int_equal(fault_in_user(r.mm, &r.tk, AT(1), 3 * PAGE_SIZE, true), 2 * PAGE_SIZE);
	assert_int_equal(fault_in_user(r.mm, &r.tk, AT(1), 3 * PAGE_SIZE, false), PAGE_SIZE);
	rig_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(access_ok_is_a_range_check_and_nothing_more),
		cmocka_unit_test(copy_beyond_task_size_touches_nothing),
		cmocka_unit_test(absent_page_is_faulted_in_and_the_copy_goes_on),
		cmocka_unit_test(bad_page_ends_the_copy_with_the_bytes_left),
		cmocka_unit_test(failed_copy_from_user_leaves_zeros_not_old_bytes),
		cmocka_unit_test(get_and_put_user_give_efault),
		cmocka_unit_test(clear_user_zeroes_up_to_the_bad_page),
		cmocka_unit_test(string_may_end_just_below_a_bad_page),
		cmocka_unit_test(compare_and_exchange_answers_what_was_there),
		cmocka_unit_test(with_faults_disabled_a_fault_goes_to_its_fixup_at_once),
		cmocka_unit_test(lost_page_is_efault_for_a_copy),
		cmocka_unit_test(kernel_fault_without_an_entry_is_an_oops),
		cmocka_unit_test(fault_in_user_counts_the_bytes_it_could_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
