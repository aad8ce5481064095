/* SPDX-License-Identifier: MIT */
/* soft_test.c - the software MMU keeps port.h's contract, and gives the processor's error codes */
#include "harness.h"

#define LO     0x10000ull
#define HI     (1ull << 40)
#define ops(p) ((p)->ops)

static struct port *port_new(void)
{
	struct port *p;

	assert_int_equal(soft_port_create(LO, HI, &p), 0);
	return p;
}

static void port_done(struct port *p)
{
	soft_check(p);
	ops(p)->release(p, LO, (HI - LO) / PAGE_SIZE);
	assert_int_equal(soft_port_destroy(p), 0);
}

static void page_of(unsigned char *buf, unsigned char c) { memset(buf, c, PAGE_SIZE); }

static void assert_state(struct port *p, vaddr_t va, enum soft_state want) { assert_int_equal(soft_state(p, va, NULL, NULL), want); }

static void create_refuses_odd_bounds(void **state)
{
	struct port *p;

	assert_int_equal(soft_port_create(0x10001, HI, &p), -EINVAL);
	assert_int_equal(soft_port_create(HI, LO, &p), -EINVAL);
	assert_int_equal(soft_port_create(LO, 1ull << 48, &p), -EINVAL);
}

static void pages_go_round_from_absent_to_absent(void **state)
{
	struct port *p = port_new();
	unsigned char buf[3 * PAGE_SIZE], back[3 * PAGE_SIZE];
	hid_t hid;

	for (unsigned i = 0; i < 3; i++)
		page_of(buf + i * PAGE_SIZE, (unsigned char)(i + 1));
	assert_int_equal(ops(p)->reserve(p, AT(0), 8, false), 0);
	assert_state(p, AT(0), SOFT_ABSENT);
	assert_int_equal(ops(p)->fill(p, AT(0), 3, buf, PT_R), 0);
	assert_state(p, AT(2), SOFT_VISIBLE);
	assert_int_equal(ops(p)->hide(p, AT(0), 3, &hid), 0);
	assert_state(p, AT(1), SOFT_HIDDEN);
	assert_int_equal(ops(p)->read_hidden(p, AT(0), hid, 3, back), 0);
	assert_memory_equal(back, buf, sizeof(buf));
	assert_memory_equal(ops(p)->peek(p, AT(2), hid + 2), buf + 2 * PAGE_SIZE, PAGE_SIZE);
	assert_int_equal(ops(p)->show(p, AT(1), hid + 1, 1, PT_R | PT_W), 0);
	assert_state(p, AT(1), SOFT_VISIBLE);
	assert_int_equal(ops(p)->drop_hidden(p, AT(0), hid, 1), 0);
	assert_int_equal(ops(p)->drop_hidden(p, AT(2), hid + 2, 1), 0);
	assert_int_equal(ops(p)->drop(p, AT(1), 1), 0);
	assert_state(p, AT(1), SOFT_ABSENT);
	port_done(p);
}

static void reserve_discards_what_was_there(void **state)
{
	struct port *p = port_new();
	struct soft_counts n;

	ops(p)->reserve(p, AT(0), 4, false);
	ops(p)->fill(p, AT(0), 4, NULL, PT_R);
	ops(p)->reserve(p, AT(1), 2, true);
	assert_state(p, AT(0), SOFT_VISIBLE);
	assert_state(p, AT(1), SOFT_ABSENT);
	assert_true(soft_is_exec(p, AT(1)) && !soft_is_exec(p, AT(3)));
	soft_counts(p, &n);
	assert_int_equal(n.visible, 2);
	assert_int_equal(n.regions, 3);
	port_done(p);
}

static void huge_ranges_cost_nothing_and_join(void **state)
{
	struct port *p = port_new();
	struct soft_counts n;
	uint64_t half = (HI - LO) / PAGE_SIZE / 2;

	ops(p)->reserve(p, LO, half, false);
	ops(p)->reserve(p, LO + half * PAGE_SIZE, half, false);
	soft_counts(p, &n);
	assert_int_equal(n.regions, 1);
	assert_int_equal(n.nodes, 1);
	ops(p)->set_exec(p, AT(0), 1, true);
	soft_counts(p, &n);
	assert_int_equal(n.regions, 3);
	ops(p)->set_exec(p, AT(0), 1, false);
	soft_counts(p, &n);
	assert_int_equal(n.regions, 1);
	port_done(p);
}

static void move_keeps_contents_permission_and_names(void **state)
{
	struct port *p = port_new();
	unsigned char buf[PAGE_SIZE], back[PAGE_SIZE];
	unsigned prot;
	hid_t hid, moved;

	page_of(buf, 9);
	ops(p)->reserve(p, AT(0), 32, false);
	ops(p)->fill(p, AT(0), 1, NULL, PT_R | PT_W);
	ops(p)->fill(p, AT(2), 1, buf, PT_R);
	ops(p)->hide(p, AT(2), 1, &hid);
	assert_int_equal(ops(p)->move(p, AT(0), AT(16), 4), 0);
	assert_state(p, AT(0), SOFT_ABSENT);
	assert_int_equal(soft_state(p, AT(16), &prot, NULL), SOFT_VISIBLE);
	assert_int_equal(prot, PT_R | PT_W);
	assert_int_equal(soft_state(p, AT(18), NULL, &moved), SOFT_HIDDEN);
	assert_int_equal(moved, hid);
	ops(p)->read_hidden(p, AT(18), hid, 1, back);
	assert_memory_equal(back, buf, PAGE_SIZE);
	ops(p)->drop_hidden(p, AT(18), hid, 1);
	port_done(p);
}

static void names_are_not_soon_used_again(void **state)
{
	struct port *p = port_new();
	hid_t a, b;

	ops(p)->reserve(p, AT(0), 2, false);
	ops(p)->fill(p, AT(0), 1, NULL, PT_R);
	ops(p)->hide(p, AT(0), 1, &a);
	ops(p)->show(p, AT(0), a, 1, PT_R);
	ops(p)->hide(p, AT(0), 1, &b);
	assert_int_not_equal(a, b);
	ops(p)->drop_hidden(p, AT(0), b, 1);
	port_done(p);
}

static void misuse_is_a_panic(void **state)
{
	struct port *p = port_new();
	hid_t hid;

	ops(p)->reserve(p, AT(0), 4, false);
	ops(p)->fill(p, AT(0), 1, NULL, PT_R);
	assert_panic(ops(p)->fill(p, AT(0), 1, NULL, PT_R));
	soft_port_destroy(p);

	p = port_new();
	ops(p)->reserve(p, AT(0), 4, false);
	assert_panic(ops(p)->drop(p, AT(0), 1));
	soft_port_destroy(p);

	p = port_new();
	ops(p)->reserve(p, AT(0), 4, false);
	ops(p)->fill(p, AT(0), 2, NULL, PT_R);
	ops(p)->hide(p, AT(0), 2, &hid);
	assert_panic(ops(p)->show(p, AT(1), hid, 1, PT_R)); /* another page's name */
	soft_port_destroy(p);
}

static void injected_failures_change_nothing(void **state)
{
	struct port *p = port_new();
	hid_t hid;

	ops(p)->reserve(p, AT(0), 4, false);
	ops(p)->fill(p, AT(0), 1, NULL, PT_R);
	soft_fail(p, SOFT_OP(SOFT_HIDE) | SOFT_OP(SOFT_FILL) | SOFT_OP(SOFT_ALLOC), 1, 3, ENOMEM);
	assert_int_equal(ops(p)->fill(p, AT(1), 1, NULL, PT_R), 0);
	assert_int_equal(ops(p)->hide(p, AT(0), 1, &hid), -ENOMEM);
	assert_int_equal(ops(p)->fill(p, AT(2), 1, NULL, PT_R), -ENOMEM);
	assert_null(ops(p)->alloc(p, 100));
	assert_int_equal(soft_failed(p), 3);
	assert_state(p, AT(0), SOFT_VISIBLE);
	assert_state(p, AT(2), SOFT_ABSENT);
	assert_int_equal(ops(p)->fill(p, AT(2), 1, NULL, PT_R), 0);
	port_done(p);
}

static void clock_is_what_the_test_says(void **state)
{
	struct port *p = port_new();

	soft_set_time(p, 1000);
	assert_int_equal(ops(p)->now(p), 1001);
	soft_set_tick(p, 0);
	soft_advance(p, 500);
	assert_int_equal(ops(p)->now(p), 1501);
	assert_int_equal(ops(p)->now(p), 1501);
	assert_true(ops(p)->self(p) != 0);
	port_done(p);
}

/* ---- with a machine on it */

static struct sf_trace_rec last;

static void keep_last(struct machine *mc, const struct sf_trace_rec *rec) { last = *rec; }

/* row 4: error code bits: 0 present/protection, 1 write, 2 user, 4 instruction fetch */
static void error_codes_are_the_processors(void **state)
{
	struct rig r;
	char c = 0;
	uint64_t v;

	rig_open(&r, .fault_around = 1);
	r.mc->trace = keep_last;
	row_map(&r, ROW, "wwrr.");
	peek_byte(&r, AT(0));
	assert_int_equal(last.error_code, PF_USER);
	poke(&r, AT(0), 1);
	assert_int_equal(last.error_code, PF_USER | PF_WRITE | PF_PROT);
	poke(&r, AT(1), 1);
	assert_int_equal(last.error_code, PF_USER | PF_WRITE);
	hide_range(&r, AT(1), 1);
	poke(&r, AT(1), 2);
	assert_int_equal(last.error_code, PF_USER | PF_WRITE);
	peek_byte(&r, AT(2));
	assert_int_equal(try_write(&r, AT(2), &c, 1).r.error_code, PF_USER | PF_WRITE | PF_PROT);
	assert_int_equal(try_exec(&r, AT(2)).r.error_code, PF_USER | PF_INSTR | PF_PROT);
	assert_int_equal(try_exec(&r, AT(4)).r.error_code, PF_USER | PF_INSTR);
	assert_int_equal(get_user_size(r.mm, &r.tk, AT(3), 8, &v), 0);
	assert_int_equal(last.error_code, 0);
	assert_int_equal(last.flags & 1, 1);
	rig_close(&r);
}

static void tlb_serves_hits_and_never_a_stale_entry(void **state)
{
	struct rig r;
	struct soft_counts before, after;
	char c = 1;

	rig_open(&r);
	row_map(&r, ROW, "ww");
	poke(&r, AT(0), 1);
	soft_counts(r.port, &before);
	for (int i = 0; i < 10; i++)
		peek_byte(&r, AT(0));
	soft_counts(r.port, &after);
	assert_int_equal(after.tlb_hits - before.tlb_hits, 10);
	assert_int_equal(do_mprotect(r.mm, AT(0), PAGE_SIZE, PROT_READ), 0);
	assert_accerr(try_write(&r, AT(0), &c, 1), AT(0));
	assert_int_equal(do_munmap(r.mm, AT(0), PAGE_SIZE), 0);
	assert_maperr(try_read(&r, AT(0), &c, 1), AT(0));
	rig_close(&r);
}

static void shared_object_is_coherent_through_all_views(void **state)
{
	struct rig r;
	char c = 'x', got = 0;

	rig_open(&r);
	row_map(&r, ROW, "s");
	assert_int_equal(do_mmap(r.mm, AT(8), PAGE_SIZE, PROT_READ, MAP_SHARED | MAP_FIXED, &r.file->f, PT_R, 0), AT(8));
	poke(&r, AT(0) + 5, 'a');
	assert_int_equal(peek_byte(&r, AT(8) + 5), 'a');
	soft_object_write(r.port, r.file->f.fd, &c, 1, 5);
	assert_int_equal(peek_byte(&r, AT(8) + 5), 'x');
	poke(&r, AT(0) + 5, 'z');
	assert_int_equal(soft_object_read(r.port, r.file->f.fd, &got, 1, 5), 1);
	assert_int_equal(got, 'z');
	rig_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(create_refuses_odd_bounds),
		cmocka_unit_test(pages_go_round_from_absent_to_absent),
		cmocka_unit_test(reserve_discards_what_was_there),
		cmocka_unit_test(huge_ranges_cost_nothing_and_join),
		cmocka_unit_test(move_keeps_contents_permission_and_names),
		cmocka_unit_test(names_are_not_soon_used_again),
		cmocka_unit_test(misuse_is_a_panic),
		cmocka_unit_test(injected_failures_change_nothing),
		cmocka_unit_test(clock_is_what_the_test_says),
		cmocka_unit_test(error_codes_are_the_processors),
		cmocka_unit_test(tlb_serves_hits_and_never_a_stale_entry),
		cmocka_unit_test(shared_object_is_coherent_through_all_views),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
