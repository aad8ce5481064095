/* SPDX-License-Identifier: MIT */
/* oom_test.c - no frame and nothing left to evict */
#include "harness.h"

static struct {
	unsigned calls;
	vaddr_t addr;
	struct rig *r;
	bool locked;
} seen;

static bool give_up(struct machine *mc, struct task *tk, vaddr_t addr)
{
	seen.calls++;
	seen.addr = addr;
	seen.locked = mm_is_locked(mc->mm);
	return false;
}

/* Another process dies, and its memory comes back. */
static bool make_room(struct machine *mc, struct task *tk, vaddr_t addr)
{
	seen.calls++;
	assert_int_equal(do_munmap(mc->mm, AT(0), 10 * PAGE_SIZE), 0);
	return true;
}

static bool more_memory(struct machine *mc, struct task *tk, vaddr_t addr)
{
	seen.calls++;
	assert_int_equal(machine_set_bound(mc, 128), 0);
	return true;
}

/* Touch pages until one is refused; how many went well. */
static unsigned fill_up(struct rig *r, unsigned pages, struct outcome *ret)
{
	for (unsigned i = 0; i < pages; i++) {
		*ret = try_stamp(r, AT(i), i);
		if (ret->verdict != FAULT_FIXED)
			return i;
	}
	return pages;
}

/* row 31 */
static void nothing_left_to_evict_kills_and_tells_where(void **state)
{
	struct rig r;
	struct outcome o;

	seen.calls = 0;
	rig_open(&r, .bound = 64, .no_store = true);
	r.mc->oom = give_up;
	assert_int_equal(map_anon(&r, ROW, 100, PROT_READ | PROT_WRITE, 0), ROW);
	unsigned n = fill_up(&r, 100, &o);
	assert_true(n >= 60 && n <= 64);
	assert_int_equal(o.verdict, FAULT_KILL);
	assert_int_equal(seen.calls, 1);
	assert_int_equal(seen.addr, AT(n));
	assert_false(seen.locked);
	assert_true(r.mc->stats->oom_kills == 1);
	for (unsigned i = 0; i < n; i++)
		assert_stamp(&r, AT(i), i);
	rig_close(&r);
}

/* row 31 */
static void without_an_oom_handler_the_verdict_is_kill(void **state)
{
	struct rig r;
	struct outcome o;

	rig_open(&r, .bound = 64, .no_store = true);
	assert_int_equal(map_anon(&r, ROW, 100, PROT_READ | PROT_WRITE, 0), ROW);
	fill_up(&r, 100, &o);
	assert_int_equal(o.verdict, FAULT_KILL);
	rig_close(&r);
}

/* row 31, row 32: it yields and tries again */
static void fault_goes_on_when_memory_came_back(void **state)
{
	struct rig r;
	struct outcome o;

	seen.calls = 0;
	rig_open(&r, .bound = 64, .no_store = true);
	r.mc->oom = make_room;
	assert_int_equal(map_anon(&r, ROW, 70, PROT_READ | PROT_WRITE, 0), ROW);
	assert_int_equal(fill_up(&r, 70, &o), 70);
	assert_int_equal(seen.calls, 1);
	for (unsigned i = 10; i < 70; i++)
		assert_stamp(&r, AT(i), i);
	rig_close(&r);
}

static void fault_goes_on_when_the_bound_was_raised(void **state)
{
	struct rig r;
	struct outcome o;

	seen.calls = 0;
	rig_open(&r, .bound = 64, .no_store = true);
	r.mc->oom = more_memory;
	assert_int_equal(map_anon(&r, ROW, 100, PROT_READ | PROT_WRITE, 0), ROW);
	assert_int_equal(fill_up(&r, 100, &o), 100);
	assert_int_equal(seen.calls, 1);
	rig_close(&r);
}

/* design, decision 10: never gives up while a page can be dropped */
static void file_pages_are_dropped_before_anybody_dies(void **state)
{
	struct rig r;

	seen.calls = 0;
	rig_open(&r, .bound = 64, .no_store = true);
	r.mc->oom = give_up;
	assert_int_equal(map_anon(&r, ROW, 62, PROT_READ | PROT_WRITE, 0), ROW);
	for (unsigned i = 0; i < 62; i++)
		stamp(&r, AT(i), i);
	row_map(&r, AT(100), "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF");
	for (unsigned round = 0; round < 3; round++)
		for (unsigned i = 0; i < 32; i++)
			assert_file_page(&r, AT(100 + i), i);
	assert_int_equal(seen.calls, 0);
	for (unsigned i = 0; i < 62; i++)
		assert_stamp(&r, AT(i), i);
	rig_close(&r);
}

static void zero_pages_are_dropped_before_anybody_dies(void **state)
{
	struct rig r;

	seen.calls = 0;
	rig_open(&r, .bound = 64, .no_store = true);
	r.mc->oom = give_up;
	assert_int_equal(map_anon(&r, ROW, 300, PROT_READ | PROT_WRITE, 0), ROW);
	for (unsigned i = 0; i < 300; i++)
		assert_zero_page(&r, AT(i));
	for (unsigned i = 0; i < 40; i++)
		stamp(&r, AT(i), i);
	for (unsigned i = 0; i < 300; i++)
		if (i < 40)
			assert_stamp(&r, AT(i), i);
		else
			assert_zero_page(&r, AT(i));
	assert_int_equal(seen.calls, 0);
	rig_close(&r);
}

/* Locked pages fill the bound as far as they may; what does not fit beside them is refused, not waited for. */
static void locked_memory_is_no_deadlock(void **state)
{
	struct rig r;
	struct outcome o = { 0 };

	seen.calls = 0;
	rig_open(&r, .bound = 64, .slots = 8);
	r.mc->oom = give_up;
	assert_int_equal(map_anon(&r, ROW, 100, PROT_READ | PROT_WRITE, 0), ROW);
	assert_int_equal(do_mlock(r.mm, &r.tk, ROW, 100 * PAGE_SIZE, MLOCK_ONFAULT), -ENOMEM);
	assert_int_equal(do_mlock(r.mm, &r.tk, ROW, 48 * PAGE_SIZE, MLOCK_ONFAULT), 0);
	unsigned n = fill_up(&r, 100, &o);
	assert_true(n >= 64 && n <= 64 + 8);
	assert_int_equal(o.verdict, FAULT_KILL);
	rig_close(&r);
}

static void kernel_mode_fault_without_memory_is_told_as_such(void **state)
{
	struct rig r;
	struct outcome o;

	rig_open(&r, .bound = 64, .no_store = true);
	r.mc->oom = give_up;
	assert_int_equal(map_anon(&r, ROW, 100, PROT_READ | PROT_WRITE, 0), ROW);
	unsigned n = fill_up(&r, 100, &o);
	char buf[8] = { 1 };
	assert_int_equal(copy_to_user(r.mm, &r.tk, AT(n), buf, 8), 8);
	assert_true(pin_user(r.mm, &r.tk, AT(n), 8, true) < 0);
	rig_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_left_to_evict_kills_and_tells_where),
		cmocka_unit_test(without_an_oom_handler_the_verdict_is_kill),
		cmocka_unit_test(fault_goes_on_when_memory_came_back),
		cmocka_unit_test(fault_goes_on_when_the_bound_was_raised),
		cmocka_unit_test(file_pages_are_dropped_before_anybody_dies),
		cmocka_unit_test(zero_pages_are_dropped_before_anybody_dies),
		cmocka_unit_test(locked_memory_is_no_deadlock),
		cmocka_unit_test(kernel_mode_fault_without_memory_is_told_as_such),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
