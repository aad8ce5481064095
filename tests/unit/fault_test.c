/* SPDX-License-Identifier: MIT */
/* fault_test.c - the fault path: legal address, legal access, correction */
#include "harness.h"

static char c;

/* ---------------------------------------------------------------- is the address legal */

/* row 7 */
static void touch_outside_any_area_gives_maperr_exact_to_the_byte(void **state)
{
	struct rig r;
	struct outcome o;

	rig_open(&r);
	row_map(&r, ROW, "w.w");
	o = try_write(&r, AT(1) + 123, &c, 1);
	assert_maperr(o, AT(1) + 123);
	assert_int_equal(o.r.error_code, PF_USER | PF_WRITE);
	o = try_read(&r, AT(3) + 4095, &c, 1);
	assert_maperr(o, AT(3) + 4095);
	assert_int_equal(o.r.error_code, PF_USER);
	assert_maperr(try_read(&r, 8, &c, 1), 8);
	assert_int_equal(faults(&r, FK_ILLEGAL), 3);
	assert_int_equal(o.r.kind, FK_ILLEGAL);
	rig_close(&r);
}

/* row 9 */
static void user_touch_of_kernel_memory_is_the_programs_fault(void **state)
{
	struct rig r;

	rig_open(&r);
	row_map(&r, ROW, "w");
	struct outcome o = try_write(&r, RIG_TASK_SIZE + 77, &c, 1);
	assert_maperr(o, RIG_TASK_SIZE + 77);
	assert_int_equal(o.r.error_code, PF_USER | PF_WRITE | PF_PROT); /* whatever may be mapped there */
	assert_maperr(try_read(&r, 0xffff800000000000ull, &c, 1), 0xffff800000000000ull);
	rig_close(&r);
}

static void map_stack(struct rig *r, vaddr_t at, uint64_t pages)
{
	assert_int_equal(map_anon(r, at, pages, PROT_READ | PROT_WRITE, MAP_GROWSDOWN), at);
}

#define TOP AT(1000)

/* row 8 */
static void stack_grows_to_rlimit_and_no_further(void **state)
{
	struct rig r;

	rig_open(&r);
	r.mm->limits.stack = 16 * PAGE_SIZE;
	map_stack(&r, TOP - 2 * PAGE_SIZE, 2);
	assert_fixed(try_write(&r, TOP - 16 * PAGE_SIZE, &c, 1));
	assert_areas(&r, TOP - 17 * PAGE_SIZE, ".wwwwwwwwwwwwwwww");
	assert_maperr(try_write(&r, TOP - 16 * PAGE_SIZE - 1, &c, 1), TOP - 16 * PAGE_SIZE - 1);
	r.mm->limits.stack = 17 * PAGE_SIZE; /* the limit counts at fault time */
	assert_fixed(try_write(&r, TOP - 16 * PAGE_SIZE - 1, &c, 1));
	assert_maperr(try_read(&r, TOP - 18 * PAGE_SIZE, &c, 1), TOP - 18 * PAGE_SIZE);
	rig_close(&r);
}

/* row 8 */
static void stack_keeps_its_guard_gap(void **state)
{
	struct rig r;

	rig_open(&r);
	r.mm->stack_guard = 8 * PAGE_SIZE;
	row_map(&r, TOP - 20 * PAGE_SIZE, "ww");
	map_stack(&r, TOP - 2 * PAGE_SIZE, 2);
	assert_fixed(try_write(&r, TOP - 10 * PAGE_SIZE, &c, 1));
	assert_maperr(try_write(&r, TOP - 11 * PAGE_SIZE, &c, 1), TOP - 11 * PAGE_SIZE);
	assert_int_equal(do_munmap(r.mm, TOP - 20 * PAGE_SIZE, 2 * PAGE_SIZE), 0);
	assert_fixed(try_write(&r, TOP - 11 * PAGE_SIZE, &c, 1));
	rig_close(&r);
}

/* row 8 */
static void stack_growth_counts_against_the_address_space_limit(void **state)
{
	struct rig r;

	rig_open(&r);
	map_stack(&r, TOP - 2 * PAGE_SIZE, 2);
	r.mm->limits.as = 4 * PAGE_SIZE;
	assert_fixed(try_write(&r, TOP - 4 * PAGE_SIZE, &c, 1));
	assert_maperr(try_write(&r, TOP - 5 * PAGE_SIZE, &c, 1), TOP - 5 * PAGE_SIZE);
	assert_int_equal(r.mm->total_vm, 4);
	assert_int_equal(r.mm->stack_vm, 4);
	rig_close(&r);
}

/* row 8 */
static void other_areas_do_not_grow(void **state)
{
	struct rig r;

	rig_open(&r);
	row_map(&r, ROW, "..ww");
	assert_maperr(try_write(&r, AT(2) - 1, &c, 1), AT(2) - 1);
	rig_close(&r);
}

/* ---------------------------------------------------------------- is the access legal */

/* row 10, row 12 */
static void fault_on_readonly_area_gives_accerr(void **state)
{
	struct rig r;
	struct outcome o;

	rig_open(&r);
	row_map(&r, ROW, "rr");
	o = try_write(&r, AT(0) + 9, &c, 1);
	assert_accerr(o, AT(0) + 9);
	assert_int_equal(o.r.error_code, PF_USER | PF_WRITE);
	peek_byte(&r, AT(0));
	o = try_write(&r, AT(0) + 9, &c, 1);
	assert_accerr(o, AT(0) + 9);
	assert_int_equal(o.r.error_code, PF_USER | PF_WRITE | PF_PROT);
	assert_int_equal(faults(&r, FK_PROT), 2);
	rig_close(&r);
}

/* row 10 */
static void every_access_to_every_protection_gets_its_verdict(void **state)
{
	static const struct { char area; bool read, write, exec; } cases[] = {
		{ 'n', false, false, false }, { 'r', true, false, false }, { 'w', true, true, false },
		{ 'x', true, false, true },   { 'e', true, true, true },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct rig r;

		rig_open(&r);
		row_map(&r, ROW, (char[]){ cases[i].area, cases[i].area, cases[i].area, 0 });
		for (int again = 0; again < 2; again++) { /* absent, then perhaps present */
			int bad_read = try_read(&r, AT(0), &c, 1).verdict, bad_write = try_write(&r, AT(1), &c, 1).verdict;
			int bad_exec = try_exec(&r, AT(2)).verdict;

			assert_int_equal(bad_read, cases[i].read ? FAULT_FIXED : FAULT_SIGNAL);
			assert_int_equal(bad_write, cases[i].write ? FAULT_FIXED : FAULT_SIGNAL);
			assert_int_equal(bad_exec, cases[i].exec ? FAULT_FIXED : FAULT_SIGNAL);
		}
		rig_close(&r);
	}
}

/* row 10: a read of an absent page needs VM_READ or VM_EXEC */
static void exec_only_page_can_be_read(void **state)
{
	struct rig r;

	rig_open(&r);
	row_map(&r, ROW, "i");
	assert_fixed(try_read(&r, AT(0), &c, 1));
	assert_fixed(try_exec(&r, AT(0)));
	rig_close(&r);
}

/* row 11, row 12 */
static void fetch_from_a_page_without_exec_gives_accerr(void **state)
{
	struct rig r;
	struct outcome o;

	rig_open(&r);
	row_map(&r, ROW, "wx");
	o = try_exec(&r, AT(0) + 3);
	assert_accerr(o, AT(0) + 3);
	assert_int_equal(o.r.error_code, PF_USER | PF_INSTR);
	poke(&r, AT(0), 1);
	o = try_exec(&r, AT(0) + 3);
	assert_accerr(o, AT(0) + 3);
	assert_int_equal(o.r.error_code, PF_USER | PF_INSTR | PF_PROT);
	assert_fixed(try_exec(&r, AT(1)));
	rig_close(&r);
}

static void access_across_a_boundary_faults_at_the_bad_page(void **state)
{
	struct rig r;
	char buf[16] = { 1, 2, 3 };

	rig_open(&r);
	row_map(&r, ROW, "wr");
	assert_accerr(try_write(&r, AT(1) - 8, buf, 16), AT(1));
	assert_int_equal(peek_byte(&r, AT(1) - 8), 1);
	rig_close(&r);
}

/* ---------------------------------------------------------------- the correction */

/* row 23 */
static void anonymous_read_gives_zeros_and_write_a_zeroed_frame(void **state)
{
	struct rig r;

	rig_open(&r, .fault_around = 1);
	row_map(&r, ROW, "www");
	assert_zero_page(&r, AT(0));
	poke(&r, AT(1) + 100, 7);
	assert_int_equal(peek_byte(&r, AT(1) + 100), 7);
	assert_int_equal(peek_byte(&r, AT(1) + 101), 0);
	assert_pages(&r, ROW, "RW.");
	assert_int_equal(faults(&r, FK_MINOR), 2);
	rig_close(&r);
}

/* row 23, row 28 */
static void anonymous_faults_are_minor(void **state)
{
	struct rig r;

	rig_open(&r);
	row_map(&r, ROW, "w");
	poke(&r, AT(0), 1);
	assert_int_equal(r.tk.min_flt, 1);
	assert_int_equal(r.tk.maj_flt, 0);
	rig_close(&r);
}

/* row 24 */
static void file_pages_are_read_on_demand_with_neighbours(void **state)
{
	struct rig r;

	rig_open(&r, .fault_around = 4);
	row_map(&r, ROW, "FFFFFFFF");
	assert_int_equal(r.file->reads, 0);
	assert_file_page(&r, AT(1), 1);
	assert_int_equal(r.file->reads, 1);
	assert_true(rig_visible(&r) > 1 && rig_visible(&r) <= 4);
	for (unsigned i = 0; i < 8; i++)
		assert_file_page(&r, AT(i), i);
	assert_true(r.file->reads < 8);
	rig_close(&r);
}

static void slow_device(void *arg)
{
	soft_advance(arg, 1000000);
}

/* row 28: a read that comes back at once found its data in memory */
static void file_fault_is_major_when_a_device_was_read(void **state)
{
	struct rig r;

	rig_open(&r, .fault_around = 1);
	row_map(&r, ROW, "FFF");
	assert_file_page(&r, AT(2), 2);
	assert_int_equal(r.tk.maj_flt, 0);
	assert_int_equal(r.tk.min_flt, 1);
	r.file->on_read = slow_device;
	r.file->hook_arg = r.port;
	assert_file_page(&r, AT(0), 0);
	assert_int_equal(r.tk.maj_flt, 1);
	assert_int_equal(faults(&r, FK_MAJOR), 1);
	r.file->f.always_in_core = true;
	assert_file_page(&r, AT(1), 1);
	assert_int_equal(r.tk.maj_flt, 1);
	assert_int_equal(r.tk.min_flt, 2);
	rig_close(&r);
}

/* row 24 */
static void private_write_copies_and_leaves_the_file_alone(void **state)
{
	struct rig r;
	unsigned char b;

	rig_open(&r);
	row_map(&r, ROW, "ff");
	poke(&r, AT(0) + 10, 0xee);
	assert_int_equal(peek_byte(&r, AT(0) + 10), 0xee);
	assert_int_equal(peek_byte(&r, AT(0) + 11), fake_byte(11));
	assert_file_page(&r, AT(1), 1);
	poke(&r, AT(1) + 20, 0xdd);
	assert_int_equal(peek_byte(&r, AT(1) + 21), fake_byte(PAGE_SIZE + 21));
	soft_object_read(r.port, r.file->f.fd, &b, 1, 10);
	assert_int_equal(b, fake_byte(10));
	rig_close(&r);
}

/* row 24, row 33 */
static void read_beyond_eof_gives_sigbus_adrerr(void **state)
{
	struct rig r;

	rig_open(&r, .fault_around = 1); /* so the tail is read to where a whole page was before */
	r.file_size = PAGE_SIZE + 100;
	row_map(&r, ROW, "FFF");
	assert_file_page(&r, AT(0), 0);
	assert_file_page(&r, AT(1), 1); /* the tail reads as zeros */
	assert_int_equal(peek_byte(&r, AT(1) + 100), 0);
	assert_adrerr(try_read(&r, AT(2) + 5, &c, 1), AT(2) + 5);
	rig_close(&r);
}

/* row 24, row 33 */
static void private_write_beyond_eof_gives_sigbus_too(void **state)
{
	struct rig r;

	rig_open(&r);
	r.file_size = 10;
	row_map(&r, ROW, "ff");
	poke(&r, AT(0) + 4000, 3); /* inside the last page */
	assert_int_equal(peek_byte(&r, AT(0) + 4000), 3);
	assert_adrerr(try_write(&r, AT(1), &c, 1), AT(1));
	rig_close(&r);
}

/* row 24 */
static void shared_page_beyond_eof_gives_sigbus_until_the_file_grows(void **state)
{
	struct rig r;

	rig_open(&r);
	r.file_size = 2 * PAGE_SIZE;
	row_map(&r, ROW, "ssss");
	poke(&r, AT(1), 1);
	assert_adrerr(try_write(&r, AT(2) + 1, &c, 1), AT(2) + 1);
	fake_file_resize(r.file, 3 * PAGE_SIZE);
	assert_fixed(try_write(&r, AT(2) + 1, &c, 1));
	fake_file_resize(r.file, PAGE_SIZE); /* truncation takes back what was visible */
	assert_adrerr(try_read(&r, AT(1), &c, 1), AT(1));
	assert_fixed(try_read(&r, AT(0), &c, 1));
	rig_close(&r);
}

/* row 33 */
static void failed_file_read_gives_sigbus_and_a_later_one_works(void **state)
{
	struct rig r;

	rig_open(&r);
	row_map(&r, ROW, "F");
	r.file->read_fail = (struct fake_fail){ .times = 1, .err = EIO };
	assert_adrerr(try_read(&r, AT(0) + 17, &c, 1), AT(0) + 17);
	assert_file_page(&r, AT(0), 0);
	rig_close(&r);
}

/* row 22 */
static unsigned odd_fault(struct fault_ctx *fc)
{
	return 0x8000;
}
static const struct vm_type odd_type = { .name = "odd", .fault = odd_fault };

static void unknown_result_of_a_memory_type_is_a_bug(void **state)
{
	struct rig r;

	rig_open(&r);
	row_map(&r, ROW, "w");
	rig_area(&r, AT(0))->type = &odd_type;
	assert_panic(try_read(&r, AT(0), &c, 1));
	assert_non_null(strstr(fake_panic_what, "VM_FAULT_KNOWN"));
	rig_abandon(&r);
}

/* row 22 */
static unsigned answers[2];
static unsigned scripted_fault(struct fault_ctx *fc)
{
	unsigned a = answers[0];

	answers[0] = answers[1];
	return a;
}
static const struct vm_type scripted_type = { .name = "scripted", .fault = scripted_fault };

static void results_of_a_memory_type_become_verdicts(void **state)
{
	struct rig r;

	rig_open(&r);
	row_map(&r, ROW, "w");
	struct vm_area *v = rig_area(&r, AT(0));
	v->type = &scripted_type;
	answers[0] = VM_FAULT_SIGBUS;
	assert_adrerr(try_read(&r, AT(0) + 1, &c, 1), AT(0) + 1);
	answers[0] = VM_FAULT_RETRY;
	answers[1] = VM_FAULT_SIGBUS;
	assert_adrerr(try_read(&r, AT(0) + 2, &c, 1), AT(0) + 2);
	answers[0] = VM_FAULT_OOM;
	assert_int_equal(try_read(&r, AT(0), &c, 1).verdict, FAULT_KILL);
	v->type = &vm_anon;
	rig_close(&r);
}

/* row 27 */
static void hidden_page_comes_back_by_a_soft_fault(void **state)
{
	struct rig r;

	rig_open(&r);
	row_map(&r, ROW, "ww");
	stamp(&r, AT(0), 5);
	hide_range(&r, AT(0), 1);
	assert_pages(&r, ROW, "H.");
	assert_stamp(&r, AT(0), 5);
	assert_int_equal(faults(&r, FK_SOFT), 1);
	assert_int_equal(r.tk.maj_flt, 0);
	rig_close(&r);
}

/* row 29: a fault that finds the work done returns quietly */
static void fault_that_finds_the_work_done_is_spurious(void **state)
{
	struct rig r;
	struct fault_report rep;

	rig_open(&r);
	row_map(&r, ROW, "w");
	poke(&r, AT(0), 1);
	assert_int_equal(do_page_fault(r.mm, &r.tk, AT(0), PF_USER | PF_WRITE, 0, &rep), FAULT_FIXED);
	assert_int_equal(faults(&r, FK_SPURIOUS), 1);
	assert_int_equal(peek_byte(&r, AT(0)), 1);
	rig_close(&r);
}

static struct sf_trace_rec seen[8];
static unsigned nr_seen;

static void collect(struct machine *mc, const struct sf_trace_rec *rec)
{
	seen[nr_seen++ % 8] = *rec;
}

static void trace_tells_address_instruction_kind_and_result(void **state)
{
	struct rig r;

	rig_open(&r);
	r.mc->trace = collect;
	nr_seen = 0;
	soft_set_ip(r.port, 0x1234560);
	row_map(&r, ROW, "rw");
	peek_byte(&r, AT(0) + 5);
	try_write(&r, AT(0) + 6, &c, 1);
	assert_int_equal(nr_seen, 2);
	assert_int_equal(seen[0].addr, AT(0) + 5);
	assert_int_equal(seen[0].ip, 0x1234560);
	assert_int_equal(seen[0].kind, FK_MINOR);
	assert_int_equal(seen[0].result, 0);
	assert_int_equal(seen[0].tid, 1);
	assert_int_equal(seen[1].kind, FK_PROT);
	assert_int_equal(seen[1].result, 1);
	rig_close(&r);
}

static void fault_costs_are_summed_and_put_into_the_histogram(void **state)
{
	struct rig r;
	uint64_t in_hist = 0;

	rig_open(&r);
	soft_set_tick(r.port, 1000);
	row_map(&r, ROW, "w");
	poke(&r, AT(0), 1);
	assert_true(r.mc->stats->fault_ns[FK_MINOR] >= 1000);
	for (unsigned i = 0; i < SF_HIST_BUCKETS; i++)
		in_hist += r.mc->stats->hist[FK_MINOR][i];
	assert_int_equal(in_hist, 1);
	rig_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(touch_outside_any_area_gives_maperr_exact_to_the_byte),
		cmocka_unit_test(user_touch_of_kernel_memory_is_the_programs_fault),
		cmocka_unit_test(stack_grows_to_rlimit_and_no_further),
		cmocka_unit_test(stack_keeps_its_guard_gap),
		cmocka_unit_test(stack_growth_counts_against_the_address_space_limit),
		cmocka_unit_test(other_areas_do_not_grow),
		cmocka_unit_test(fault_on_readonly_area_gives_accerr),
		cmocka_unit_test(every_access_to_every_protection_gets_its_verdict),
		cmocka_unit_test(exec_only_page_can_be_read),
		cmocka_unit_test(fetch_from_a_page_without_exec_gives_accerr),
		cmocka_unit_test(access_across_a_boundary_faults_at_the_bad_page),
		cmocka_unit_test(anonymous_read_gives_zeros_and_write_a_zeroed_frame),
		cmocka_unit_test(anonymous_faults_are_minor),
		cmocka_unit_test(file_pages_are_read_on_demand_with_neighbours),
		cmocka_unit_test(file_fault_is_major_when_a_device_was_read),
		cmocka_unit_test(private_write_copies_and_leaves_the_file_alone),
		cmocka_unit_test(read_beyond_eof_gives_sigbus_adrerr),
		cmocka_unit_test(private_write_beyond_eof_gives_sigbus_too),
		cmocka_unit_test(shared_page_beyond_eof_gives_sigbus_until_the_file_grows),
		cmocka_unit_test(failed_file_read_gives_sigbus_and_a_later_one_works),
		cmocka_unit_test(unknown_result_of_a_memory_type_is_a_bug),
		cmocka_unit_test(results_of_a_memory_type_become_verdicts),
		cmocka_unit_test(hidden_page_comes_back_by_a_soft_fault),
		cmocka_unit_test(fault_that_finds_the_work_done_is_spurious),
		cmocka_unit_test(trace_tells_address_instruction_kind_and_result),
		cmocka_unit_test(fault_costs_are_summed_and_put_into_the_histogram),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
