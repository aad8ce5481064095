/* SPDX-License-Identifier: MIT */
/* extable_test.c - exception tables: the main one, and those of modules */
#include "harness.h"

/* Code addresses to speak of; nothing runs there. */
static char text[4096];
#define INSN(i) ((vaddr_t)(uintptr_t)&text[i])

static void set_entry(struct exception_entry *e, unsigned insn, unsigned fixup, enum ex_type type)
{
	e->insn = (int32_t)((intptr_t)&text[insn] - (intptr_t)&e->insn);
	e->fixup = (int32_t)((intptr_t)&text[fixup] - (intptr_t)&e->fixup);
	e->type = type;
}

/* row 15 */
static void main_table_has_the_entries_of_the_user_copies(void **state)
{
	extern char soft_insn_copy[], soft_fixup_copy[], soft_insn_value[], soft_fixup_value[];
	enum ex_type type;

	assert_int_equal(search_exception_table((uintptr_t)soft_insn_copy, &type), (uintptr_t)soft_fixup_copy);
	assert_int_equal(type, EX_FIXUP);
	assert_int_equal(search_exception_table((uintptr_t)soft_insn_value, &type), (uintptr_t)soft_fixup_value);
	assert_int_equal(type, EX_EFAULT_RAX);
	assert_int_equal(search_exception_table(INSN(0), &type), 0);
}

/* row 15 */
static void sorted_main_table_is_still_right(void **state)
{
	extern struct exception_entry __start___ex_table[], __stop___ex_table[];

	extable_sort(__start___ex_table, __stop___ex_table);
	main_table_has_the_entries_of_the_user_copies(state);
}

/* row 15: sorting keeps relative fields right, and every entry is found */
static void sorting_keeps_every_entry(void **state)
{
	static struct exception_entry t[500];
	struct ex_module m = { .start = t, .stop = t + ARRAY_SIZE(t) };
	enum ex_type type;

	for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
		unsigned at = i * 7919 % ARRAY_SIZE(t) * 8;

		set_entry(&t[i], at, at + 3, at & 8 ? EX_EFAULT_RAX : EX_FIXUP);
	}
	extable_register(&m);
	for (unsigned i = 1; i < ARRAY_SIZE(t); i++)
		assert_true((intptr_t)&t[i - 1].insn + t[i - 1].insn < (intptr_t)&t[i].insn + t[i].insn);
	for (unsigned at = 0; at < ARRAY_SIZE(t) * 8; at += 8) {
		assert_int_equal(search_exception_table(INSN(at), &type), INSN(at + 3));
		assert_int_equal(type, at & 8 ? EX_EFAULT_RAX : EX_FIXUP);
		assert_int_equal(search_exception_table(INSN(at + 1), &type), 0);
	}
	extable_unregister(&m);
}

/* row 16 */
static void module_table_is_found_while_loaded_and_gone_after(void **state)
{
	static struct exception_entry ta[2], tb[1];
	struct ex_module a = { .start = ta, .stop = ta + 2 }, b = { .start = tb, .stop = tb + 1 };
	enum ex_type type;

	set_entry(&ta[0], 100, 200, EX_FIXUP);
	set_entry(&ta[1], 50, 60, EX_FIXUP);
	set_entry(&tb[0], 300, 310, EX_EFAULT_RAX);
	extable_register(&a);
	assert_int_equal(search_exception_table(INSN(300), &type), 0);
	extable_register(&b);
	assert_int_equal(search_exception_table(INSN(50), &type), INSN(60));
	assert_int_equal(search_exception_table(INSN(100), &type), INSN(200));
	assert_int_equal(search_exception_table(INSN(300), &type), INSN(310));
	extable_unregister(&a);
	assert_int_equal(search_exception_table(INSN(50), &type), 0);
	assert_int_equal(search_exception_table(INSN(300), &type), INSN(310));
	extable_unregister(&b);
	assert_int_equal(search_exception_table(INSN(300), &type), 0);
}

/* row 16 */
static void empty_module_table_does_no_harm(void **state)
{
	static struct exception_entry t[1];
	struct ex_module m = { .start = t, .stop = t };
	enum ex_type type;

	extable_register(&m);
	assert_int_equal(search_exception_table(INSN(0), &type), 0);
	extable_unregister(&m);
}

static bool take(void *at, void *buf, size_t n)
{
	memcpy(buf, at, n);
	return true;
}

/* row 16, row 17: a fault by a module's instruction goes on at the module's fixup, while it is loaded */
static void fault_of_a_module_goes_to_the_modules_fixup(void **state)
{
	static struct exception_entry t[1];
	struct ex_module m = { .start = t, .stop = t + 1 };
	struct rig r;
	struct fault_report rep;
	char buf[4];
	size_t done;

	rig_open(&r);
	set_entry(&t[0], 700, 800, EX_FIXUP);
	struct soft_kernel_access a = { .addr = AT(5) + 9, .buf = buf, .n = 4, .access = PT_R, .ip = INSN(700), .fn = take };
	assert_int_equal(soft_kernel_access(r.mm, &r.tk, &a, &done, &rep), FAULT_OOPS);
	extable_register(&m);
	assert_int_equal(soft_kernel_access(r.mm, &r.tk, &a, &done, &rep), FAULT_FIXUP);
	assert_int_equal(rep.fixup, INSN(800));
	assert_int_equal(r.tk.fault_addr, AT(5) + 9);
	extable_unregister(&m);
	assert_int_equal(soft_kernel_access(r.mm, &r.tk, &a, &done, &rep), FAULT_OOPS);
	rig_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(main_table_has_the_entries_of_the_user_copies),
		cmocka_unit_test(sorted_main_table_is_still_right),
		cmocka_unit_test(sorting_keeps_every_entry),
		cmocka_unit_test(module_table_is_found_while_loaded_and_gone_after),
		cmocka_unit_test(empty_module_table_does_no_harm),
		cmocka_unit_test(fault_of_a_module_goes_to_the_modules_fixup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
