/* SPDX-License-Identifier: MIT */
/* error_test.c - stores that are slow, short, corrupt or gone: callbacks, scopes and SIGBUS */
#include "lib_test.h"

#include <pthread.h>
#include <signal.h>
#include <time.h>

static struct { enum sf_action answer[8]; unsigned calls; struct sf_error last; uint64_t supply; } cb;

static enum sf_action on_error(void *arg, const struct sf_error *e)
{
	unsigned n = cb.calls++;

	assert_ptr_equal(arg, &cb);
	cb.last = *e;
	if (cb.answer[n] == SF_SUPPLY)
		fill_page(e->data, cb.supply);
	return cb.answer[n];
}

static struct { sf_pool *pool; sf_store *memory, *faulty; sf_region *r; char *m; } rig;

static void plan(struct sf_fault_plan p)
{
	p.struct_size = sizeof(p);
	OK(sf_store_faulty_plan(rig.faulty, &p));
}

static void open_rig(bool home, bool callback)
{
	struct sf_map_options mo = { .struct_size = sizeof(mo), .on_error = callback ? on_error : NULL, .arg = &cb };

	memset(&cb, 0, sizeof(cb));
	OK(sf_store_memory(1 << 30, &rig.memory));
	OK(sf_store_faulty(rig.memory, &rig.faulty));
	OK(sf_pool_create(POOL_OPTIONS(.bound = BOUND, .store = home ? NULL : rig.faulty), &rig.pool));
	sf_rearm();
	if (home) {
		mo.kind = SF_STORE;
		mo.store = rig.faulty;
	}
	OK(sf_map(rig.pool, 200 * PAGE, &mo, &rig.r, (void **)&rig.m));
	OK(sf_advise(rig.r, 0, 0, SF_RANDOM));
	for (unsigned i = 0; i < 200; i++)
		fill_page(rig.m + i * PAGE, mark(i));
	if (home)
		OK(sf_sync(rig.r, 0, 0, 0));
	OK(sf_advise(rig.r, 0, 200 * PAGE, SF_PAGEOUT));
	assert_int_equal(region_stats(rig.r).resident, 0);
}

static void close_rig(void)
{
	OK(sf_unmap(rig.r));
	OK(sf_pool_destroy(rig.pool));
	OK(sf_store_close(rig.faulty));
	OK(sf_store_close(rig.memory));
}

static void a_failed_read_is_an_error_and_may_work_later(void **state)
{
	for (int home = 0; home < 2; home++) {
		open_rig(home, false);
		plan((struct sf_fault_plan){ .fail_read = 1, .fail_times = 2 });
		assert_int_equal(try_read(rig.m + 5 * PAGE + 9), -EIO);
		assert_int_equal(try_write(rig.m + 6 * PAGE, 1), -EIO);
		for (unsigned i = 0; i < 200; i++)
			assert_true(page_has(rig.m + i * PAGE, mark(i)));
		close_rig();
	}
}

static void short_and_corrupt_reads_are_found_out(void **state)
{
	open_rig(false, false);
	plan((struct sf_fault_plan){ .fail_read = 1, .short_count = 1 });
	assert_int_equal(try_read(rig.m), -EIO);
	plan((struct sf_fault_plan){ .fail_read = 1, .corrupt = 1 });
	assert_int_equal(try_read(rig.m), -EBADMSG);
	assert_true(page_has(rig.m, mark(0)));
	assert_int_equal(pool_stats(rig.pool).checksum_errors, 1);
	close_rig();
}

static void the_callback_decides(void **state)
{
	for (int home = 0; home < 2; home++) {
		open_rig(home, true);
		plan((struct sf_fault_plan){ .fail_read = 1, .fail_times = UINT64_MAX });
		cb.answer[0] = SF_RETRY;
		cb.answer[1] = SF_SUPPLY;
		cb.supply = 4711;
		assert_true(page_has(rig.m + 7 * PAGE, 4711));
		assert_int_equal(cb.calls, 2);
		assert_int_equal(cb.last.attempt, 2);
		assert_int_equal(cb.last.op, SF_IO_READ);
		assert_int_equal(cb.last.off, 7 * PAGE);
		assert_ptr_equal(cb.last.addr, rig.m + 7 * PAGE);
		assert_ptr_equal(cb.last.region, rig.r);
		cb.answer[2] = SF_FAIL;
		cb.answer[3] = SF_POISON;
		assert_int_equal(try_read(rig.m + 8 * PAGE), -EIO);
		assert_int_equal(try_read(rig.m + 9 * PAGE), -EIO);
		plan((struct sf_fault_plan){ .fail_read = 0 });
		assert_true(page_has(rig.m + 8 * PAGE, mark(8)));
		assert_int_equal(try_read(rig.m + 9 * PAGE), -EIO);
		unsigned char in;
		OK(sf_residency(rig.r, 9 * PAGE, PAGE, &in));
		assert_int_equal(in, SF_IN_POISON);
		OK(sf_advise(rig.r, 9 * PAGE, PAGE, SF_DONTNEED));
		assert_true(page_has(rig.m + 9 * PAGE, home ? mark(9) : 0));
		assert_int_equal(cb.calls, 4);
		close_rig();
	}
}

static void what_cannot_be_written_stays(void **state)
{
	for (int home = 0; home < 2; home++) {
		open_rig(home, false);
		plan((struct sf_fault_plan){ .fail_write = 1, .fail_times = UINT64_MAX, .error = -ENOSPC });
		for (unsigned i = 0; i < 40; i++)
			fill_page(rig.m + i * PAGE, i);
		if (home)
			assert_int_equal(sf_sync(rig.r, 0, 0, 0), -ENOSPC);
		for (unsigned i = 40; i < 200; i++)
			assert_true(page_has(rig.m + i * PAGE, mark(i)));
		for (unsigned i = 0; i < 40; i++)
			assert_true(page_has(rig.m + i * PAGE, i));
		plan((struct sf_fault_plan){ .fail_write = 0 });
		OK(sf_sync(rig.r, 0, 0, 0));
		OK(sf_advise(rig.r, 0, 200 * PAGE, SF_PAGEOUT));
		for (unsigned i = 0; i < 200; i++)
			assert_true(page_has(rig.m + i * PAGE, i < 40 ? i : mark(i)));
		close_rig();
	}
}

static void the_nth_store_call_fails(void **state)
{
	for (unsigned n = 1; n < 240; n++) { /* on a home and on a pool's store by turns */
		unsigned errors = 0;

		open_rig(n & 1, false);
		plan((struct sf_fault_plan){ .fail_read = (n + 1) / 2, .fail_write = (n + 1) / 2, .fail_times = 3 });
		for (unsigned i = 0; i < 200; i++)
			while (try_read(rig.m + i * PAGE))
				errors++;
		for (unsigned i = 0; i < 200; i++) {
			while (try_write(rig.m + i * PAGE, (char)mark(i)))
				errors++;
			assert_true(page_has(rig.m + i * PAGE, mark(i)));
		}
		assert_in_range(errors, 0, 3);
		close_rig();
	}
}

/* A store that is full: the touch that needs room fails, nothing is lost, and room that is given back is used. */
static void a_full_store_is_an_error(void **state)
{
	sf_store *store;
	sf_pool *pool;
	sf_region *r;
	char *m;
	unsigned n = 0;

	OK(sf_store_memory(100 * PAGE, &store));
	OK(sf_pool_create(POOL_OPTIONS(.bound = BOUND, .store = store), &pool));
	sf_rearm();
	OK(sf_map(pool, 300 * PAGE, NULL, &r, (void **)&m));
	OK(sf_advise(r, 0, 0, SF_RANDOM));
	while (n < 300 && !try_write(m + n * PAGE, 1)) {
		fill_page(m + n * PAGE, mark(n));
		n++;
	}
	assert_in_range(n, 100, 170);
	assert_int_equal(try_write(m + n * PAGE, 1), -ENOMEM);
	for (unsigned i = 0; i < n; i++)
		if (!try_read(m + i * PAGE)) /* what is in the store may find no room */
			assert_true(page_has(m + i * PAGE, mark(i)));
	OK(sf_advise(r, 0, 50 * PAGE, SF_DONTNEED));
	for (unsigned i = 50; i < n; i++)
		assert_true(page_has(m + i * PAGE, mark(i)));
	OK(try_write(m + n * PAGE, 1));
	OK(sf_unmap(r));
	OK(sf_pool_destroy(pool));
	OK(sf_store_close(store));
}

/* ---------------------------------------------------------------- SIGBUS */

static sigjmp_buf landing;
static siginfo_t seen;

static void on_bus(int signo, siginfo_t *si, void *uc)
{
	seen = *si;
	siglongjmp(landing, 1);
}

static void without_a_scope_it_is_sigbus(void **state)
{
	struct sigaction sa = { .sa_sigaction = on_bus, .sa_flags = SA_SIGINFO }, old;

	sigaction(SIGBUS, &sa, &old);
	open_rig(true, false);
	for (unsigned k = 0; k < 3; k++) {
		plan((struct sf_fault_plan){ .fail_read = 1 });
		if (!sigsetjmp(landing, 1)) {
			(void)*(volatile char *)(rig.m + 77 * PAGE + 77);
			fail();
		}
		assert_int_equal(seen.si_signo, SIGBUS);
		assert_int_equal(seen.si_code, BUS_ADRERR);
		assert_ptr_equal(seen.si_addr, rig.m + 77 * PAGE + 77);
	}
	assert_true(page_has(rig.m + 77 * PAGE, mark(77)));
	close_rig();
	sigaction(SIGBUS, &old, NULL);
}

/* ---------------------------------------------------------------- the application's own threads */

static struct sf_io *held;
static int64_t slow_read(void *arg, void *buf, size_t len, uint64_t off)
{
	usleep(200000);
	memset(buf, 1, len);
	return (int64_t)len;
}

static int hold(void *arg, struct sf_io *const *ios, unsigned n)
{
	held = ios[0];
	return 1;
}

static void time_is_up(void **state)
{
	struct sf_store_ops ops[] = {
		{ .struct_size = sizeof(ops[0]), .read = slow_read, .timeout_ms = 20 },
		{ .struct_size = sizeof(ops[0]), .submit = hold, .timeout_ms = 20 },
	};

	for (unsigned k = 0; k < 2; k++) {
		sf_pool *pool;
		sf_store *store;
		sf_region *r;
		char *m;

		OK(sf_store_create(&ops[k], NULL, &store));
		OK(sf_pool_create(POOL_OPTIONS(.bound = BOUND), &pool));
		sf_rearm();
		OK(sf_map(pool, 10 * PAGE, MAP(.kind = SF_STORE, .store = store, .prot = SF_READ), &r, (void **)&m));
		assert_int_equal(try_read(m + PAGE), -ETIMEDOUT);
		if (k) {
			OK(sf_io_done(held, PAGE));
			assert_int_equal(sf_io_done(held, PAGE), -EINVAL);
		}
		OK(sf_unmap(r));
		OK(sf_pool_destroy(pool));
		OK(sf_store_close(store));
	}
}

static sf_pool *the_pool;
static int answers[4];
static int64_t calling_read(void *arg, void *buf, size_t len, uint64_t off)
{
	struct sf_pool_stats st = { .struct_size = sizeof(st) };
	struct sf_pin pin;

	answers[0] = sf_pool_stats(the_pool, &st);
	answers[1] = sf_pool_destroy(the_pool);
	answers[2] = sf_pin(buf, len, 1, &pin);
	answers[3] = sf_rearm();
	memset(buf, 1, len);
	return (int64_t)len;
}

static void callbacks_may_not_call_back(void **state)
{
	for (unsigned inline_ = 0; inline_ < 2; inline_++) {
		struct sf_store_ops ops = { .struct_size = sizeof(ops), .read = calling_read, .flags = inline_ ? SF_STORE_INLINE : 0 };
		sf_store *store;
		sf_region *r;
		char *m;

		OK(sf_store_create(&ops, NULL, &store));
		OK(sf_pool_create(POOL_OPTIONS(.bound = BOUND), &the_pool));
		sf_rearm();
		OK(sf_map(the_pool, 10 * PAGE, MAP(.kind = SF_STORE, .store = store, .prot = SF_READ), &r, (void **)&m));
		OK(try_read(m));
		for (unsigned i = 0; i < 4; i++)
			assert_int_equal(answers[i], -EDEADLK);
		OK(sf_unmap(r));
		OK(sf_pool_destroy(the_pool));
		OK(sf_store_close(store));
	}
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(a_failed_read_is_an_error_and_may_work_later),
	cmocka_unit_test(short_and_corrupt_reads_are_found_out),
	cmocka_unit_test(the_callback_decides),
	cmocka_unit_test(what_cannot_be_written_stays),
	cmocka_unit_test(the_nth_store_call_fails),
	cmocka_unit_test(a_full_store_is_an_error),
	cmocka_unit_test(without_a_scope_it_is_sigbus),
	cmocka_unit_test(time_is_up),
	cmocka_unit_test(callbacks_may_not_call_back),
};
MAIN(tests)
