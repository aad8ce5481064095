/* SPDX-License-Identifier: MIT */
/* lend_test.c - private file areas that are lent: the file's own pages, until something might make one differ */
#include "harness.h"

#include "mm/text.h"

/* Pages 0 … n-1 of the rig's file, lent, at ROW. */
static void map_lent(struct rig *r, unsigned n, unsigned prot)
{
	struct fake_file *f = rig_file(r);

	f->f.lend = true;
	assert_int_equal(do_mmap(r->mm, ROW, n * PAGE_SIZE, prot, MAP_PRIVATE | MAP_FIXED, &f->f, PT_R, 0), ROW);
}

static bool is_lent(struct rig *r, unsigned page)
{
	return rig_area(r, AT(page))->flags & VM_LENT;
}

static void change_file(struct rig *r, uint64_t off, unsigned char c)
{
	soft_object_write(r->port, r->file->f.fd, &c, 1, off);
}

static void a_page_is_the_files_own(void **state)
{
	struct rig r;

	rig_open(&r, .fault_around = 1);
	map_lent(&r, 3, PROT_READ);
	assert_file_page(&r, AT(1), 1);
	assert_pages(&r, ROW, ".s.");
	assert_int_equal(r.file->reads, 0);
	assert_int_equal(r.mm->rss_file, 1);
	assert_int_equal(r.mm->rss_shared, 0);
	change_file(&r, PAGE_SIZE + 5, 0x99);
	assert_int_equal(peek_byte(&r, AT(1) + 5), 0x99); /* nobody has a copy */
	rig_close(&r);
}

static void it_may_not_be_written(void **state)
{
	struct rig r;
	char c = 1;

	rig_open(&r);
	map_lent(&r, 1, PROT_READ);
	assert_accerr(try_write(&r, AT(0), &c, 1), AT(0));
	assert_accerr(try_exec(&r, AT(0)), AT(0));
	rig_close(&r);
}

/* row 33 */
static void beyond_the_files_end_is_sigbus(void **state)
{
	struct rig r;
	char c;

	rig_open(&r, .fault_around = 1);
	r.file_size = PAGE_SIZE + 1;
	map_lent(&r, 3, PROT_READ);
	assert_fixed(try_read(&r, AT(1), &c, 1));
	assert_adrerr(try_read(&r, AT(2), &c, 1), AT(2));
	rig_close(&r);
}

static void pressure_drops_it_without_a_write(void **state)
{
	struct rig r;

	rig_open(&r, .bound = 64, .fault_around = 1);
	map_lent(&r, 100, PROT_READ);
	for (unsigned round = 0; round < 2; round++)
		for (unsigned i = 0; i < 100; i++)
			assert_file_page(&r, AT(i), i);
	assert_int_equal(r.store.writes, 0);
	assert_true(r.mc->stats->pages_dropped > 100);
	rig_close(&r);
}

static void made_writable_it_is_private_memory(void **state)
{
	struct rig r;

	rig_open(&r, .fault_around = 1);
	map_lent(&r, 4, PROT_READ);
	for (unsigned i = 0; i < 4; i++)
		assert_file_page(&r, AT(i), i);
	assert_int_equal(do_mprotect(r.mm, AT(1), 2 * PAGE_SIZE, PROT_READ | PROT_WRITE), 0);
	assert_pages(&r, ROW, "s..s");
	poke(&r, AT(1) + 7, 0x31);
	assert_file_page(&r, AT(2), 2);
	assert_file_page(&r, AT(3), 3);
	assert_pages(&r, ROW, "sWRs");
	char byte;
	assert_int_equal(soft_object_read(r.port, r.file->f.fd, &byte, 1, PAGE_SIZE + 7), 1);
	assert_int_equal((unsigned char)byte, fake_byte(PAGE_SIZE + 7));
	assert_int_equal(do_mprotect(r.mm, AT(0), 4 * PAGE_SIZE, PROT_READ), 0); /* the loan is not renewed */
	assert_true(is_lent(&r, 0) && !is_lent(&r, 1) && !is_lent(&r, 2) && is_lent(&r, 3));
	assert_int_equal(peek_byte(&r, AT(1) + 7), 0x31);
	rig_close(&r);
}

static void made_executable_it_is_asked_for_anew(void **state)
{
	struct rig r;

	rig_open(&r);
	map_lent(&r, 2, PROT_READ);
	assert_int_equal(do_mprotect(r.mm, AT(1), PAGE_SIZE, PROT_READ | PROT_EXEC), 0);
	assert_true(is_lent(&r, 0) && !is_lent(&r, 1));
	assert_fixed(try_exec(&r, AT(1)));
	rig_close(&r);
}

static void rights_taken_away_and_given_back(void **state)
{
	struct rig r;
	char c;

	rig_open(&r);
	map_lent(&r, 2, PROT_READ | PROT_EXEC);
	assert_fixed(try_exec(&r, AT(0)));
	assert_int_equal(do_mprotect(r.mm, AT(0), 2 * PAGE_SIZE, PROT_NONE), 0);
	assert_accerr(try_read(&r, AT(0), &c, 1), AT(0));
	assert_int_equal(do_mprotect(r.mm, AT(0), 2 * PAGE_SIZE, PROT_READ), 0);
	assert_file_page(&r, AT(0), 0);
	assert_accerr(try_exec(&r, AT(0)), AT(0));
	assert_true(is_lent(&r, 0));
	rig_close(&r);
}

static void mremap_takes_private_memory(void **state)
{
	struct rig r;

	rig_open(&r);
	map_lent(&r, 4, PROT_READ);
	assert_file_page(&r, AT(1), 1);
	assert_int_equal(do_mremap(r.mm, AT(0), 2 * PAGE_SIZE, 2 * PAGE_SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, AT(10)), AT(10));
	assert_file_page(&r, AT(10), 0);
	assert_file_page(&r, AT(11), 1);
	assert_file_page(&r, AT(2), 2);
	assert_areas(&r, ROW, "..FF......FF");
	assert_true(!is_lent(&r, 10) && !is_lent(&r, 2)); /* what was one area stays one */
	rig_close(&r);
}

/* As a debugger sets a breakpoint. */
static void a_forced_write_ends_the_loan_of_its_page(void **state)
{
	struct rig r;

	rig_open(&r);
	map_lent(&r, 3, PROT_READ | PROT_EXEC);
	assert_file_page(&r, AT(1), 1);
	assert_int_equal(pin_forced(r.mm, &r.tk, AT(1), true, true), 0);
	unpin_user(r.mm, AT(1), 1);
	assert_true(is_lent(&r, 0) && !is_lent(&r, 1) && is_lent(&r, 2));
	assert_file_page(&r, AT(1), 1);
	rig_close(&r);
}

static void text_to_be_changed_is_not_lent(void **state)
{
	struct rig r;

	rig_open(&r);
	map_lent(&r, 3, PROT_READ | PROT_EXEC);
	assert_file_page(&r, AT(2), 2);
	mm_lock(r.mm);
	assert_true(mm_text_may_change(r.mm, AT(2) + 8, 2));
	assert_true(mm_text_refill(r.mm, AT(2) + 8));
	mm_unlock(r.mm);
	assert_true(is_lent(&r, 1) && !is_lent(&r, 2));
	assert_file_page(&r, AT(2), 2);
	rig_close(&r);
}

/* Two pages that are ordinary then are one area, which reaches beyond the second. */
static void loans_of_neighbours_end_one_by_one(void **state)
{
	struct rig r;

	rig_open(&r);
	map_lent(&r, 4, PROT_READ | PROT_EXEC);
	mm_lock(r.mm);
	assert_true(mm_text_refill(r.mm, AT(2)));
	assert_true(mm_text_refill(r.mm, AT(1)));
	mm_unlock(r.mm);
	assert_true(is_lent(&r, 0) && !is_lent(&r, 1) && rig_area(&r, AT(1)) == rig_area(&r, AT(2)) && is_lent(&r, 3));
	assert_file_page(&r, AT(1), 1);
	rig_close(&r);
}

static void what_cannot_be_lent_is_copied(void **state)
{
	struct rig r;

	rig_open(&r);
	soft_fail(r.port, SOFT_OP(SOFT_LEND), 0, 1, ENODEV);
	map_lent(&r, 2, PROT_READ);
	assert_false(is_lent(&r, 0));
	assert_file_page(&r, AT(0), 0);
	assert_true(r.file->reads > 0);
	rig_close(&r);
}

static void a_file_that_may_not_be_executed_says_so(void **state)
{
	struct rig r;

	rig_open(&r);
	rig_file(&r)->f.lend = true;
	soft_fail(r.port, SOFT_OP(SOFT_LEND), 0, 1, EPERM);
	assert_int_equal(do_mmap(r.mm, ROW, PAGE_SIZE, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, &r.file->f, PT_R, 0), -EPERM);
	assert_null(rig_area(&r, ROW));
	rig_close(&r);
}

/* The port cannot make the range private: it stays as it was. */
static void a_loan_that_cannot_end_goes_on(void **state)
{
	struct rig r;

	rig_open(&r);
	map_lent(&r, 3, PROT_READ);
	assert_file_page(&r, AT(1), 1);
	soft_fail(r.port, SOFT_OP(SOFT_RESERVE), 0, 1, ENOMEM);
	assert_int_equal(do_mprotect(r.mm, AT(1), PAGE_SIZE, PROT_READ | PROT_WRITE), -ENOMEM);
	assert_areas(&r, ROW, "FFF");
	assert_true(is_lent(&r, 1));
	assert_file_page(&r, AT(1), 1);
	rig_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_page_is_the_files_own),
		cmocka_unit_test(it_may_not_be_written),
		cmocka_unit_test(beyond_the_files_end_is_sigbus),
		cmocka_unit_test(pressure_drops_it_without_a_write),
		cmocka_unit_test(made_writable_it_is_private_memory),
		cmocka_unit_test(made_executable_it_is_asked_for_anew),
		cmocka_unit_test(rights_taken_away_and_given_back),
		cmocka_unit_test(mremap_takes_private_memory),
		cmocka_unit_test(a_forced_write_ends_the_loan_of_its_page),
		cmocka_unit_test(text_to_be_changed_is_not_lent),
		cmocka_unit_test(loans_of_neighbours_end_one_by_one),
		cmocka_unit_test(what_cannot_be_lent_is_copied),
		cmocka_unit_test(a_file_that_may_not_be_executed_says_so),
		cmocka_unit_test(a_loan_that_cannot_end_goes_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
