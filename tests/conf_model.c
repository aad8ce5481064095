/* SPDX-License-Identifier: MIT */
/* conf_model.c - random calls and touches against a naive model: an array that says of each page what it must be
 *
 * Once as it is, and once for every k with the k-th host call failing.  Then a call or a touch may fail, but what it did not
 * say it changed must be as it was, and nothing may be lost. */
#include "conf_core.h"

#define NP 200u
#define SPOT 1234 /* the byte of each page that is looked at */
struct model {
	uint64_t seed;
	struct { bool mapped; unsigned prot; uint8_t byte; } pg[NP];
	bool failing; /* host calls fail: an operation may, too */
};

static unsigned rnd(struct model *m, unsigned n)
{
	m->seed = m->seed * 6364136223846793005ull + 1442695040888963407ull;
	return (unsigned)(m->seed >> 33) % n;
}

/* Where a call failed because the host's did, what it did to the range is not told: take the range anew. */
static void model_reset(struct model *m, unsigned i, unsigned n)
{
	assert_true(m->failing);
	while (do_mmap(MM, AT(i), n * PAGE_SIZE, RW, ANON | MAP_FIXED, NULL, 0, 0) != (int64_t)AT(i))
		assert_true(host_call_has_failed());
	for (unsigned k = i; k < i + n; k++) {
		m->pg[k].mapped = true;
		m->pg[k].prot = RW;
		m->pg[k].byte = 0;
	}
}

static void model_touch(struct model *m)
{
	unsigned i = rnd(m, NP), access = rnd(m, 2) ? PT_R : PT_W;
	uint8_t b = (uint8_t)rnd(m, 256), was = b;
	bool legal = m->pg[i].mapped && (access == PT_W ? m->pg[i].prot & PT_W : m->pg[i].prot);
	struct fault_report rep;
	int v = touch(&rig, TK, AT(i) + SPOT, access, &b, &rep);

	if (legal && v != TOUCHED) { /* only for want of memory, and only once */
		assert_true(m->failing && host_call_has_failed());
		b = was;
		v = touch(&rig, TK, AT(i) + SPOT, access, &b, &rep);
	}
	if (!legal) {
		if (v != FAULT_SIGNAL)
			assert_true(v == FAULT_KILL && m->failing);
		else
			assert_int_equal(rep.code, m->pg[i].mapped ? SEGV_ACCERR : SEGV_MAPERR);
		return;
	}
	assert_int_equal(v, TOUCHED);
	if (access == PT_R)
		assert_int_equal(b, m->pg[i].byte);
	else
		m->pg[i].byte = b;
}

static void model_map(struct model *m)
{
	unsigned i = rnd(m, NP), n = 1 + rnd(m, MIN(NP - i, 40u)), prot = rnd(m, 2) ? RW : rnd(m, 2) ? PT_R : PT_R | PT_W | PT_X;

	if (do_mmap(MM, AT(i), n * PAGE_SIZE, prot, ANON | MAP_FIXED, NULL, 0, 0) != (int64_t)AT(i)) {
		model_reset(m, i, n);
		return;
	}
	for (unsigned k = i; k < i + n; k++) {
		m->pg[k].mapped = true;
		m->pg[k].prot = prot;
		m->pg[k].byte = 0;
	}
}

static void model_unmap(struct model *m)
{
	unsigned i = rnd(m, NP), n = 1 + rnd(m, MIN(NP - i, 12u));

	if (do_munmap(MM, AT(i), n * PAGE_SIZE)) {
		model_reset(m, i, n);
		return;
	}
	for (unsigned k = i; k < i + n; k++)
		m->pg[k].mapped = false;
}

static bool all_mapped(struct model *m, unsigned i, unsigned n)
{
	while (n && m->pg[i].mapped)
		i++, n--;
	return !n;
}

static void model_protect(struct model *m)
{
	static const unsigned prots[] = { PT_R | PT_W, PT_R | PT_W, PT_R, 0, PT_R | PT_X, PT_R | PT_W | PT_X };
	unsigned i = rnd(m, NP), n = 1 + rnd(m, MIN(NP - i, 20u)), prot = prots[rnd(m, ARRAY_SIZE(prots))];

	if (!all_mapped(m, i, n))
		return;
	if (do_mprotect(MM, AT(i), n * PAGE_SIZE, prot)) {
		model_reset(m, i, n);
		return;
	}
	for (unsigned k = i; k < i + n; k++)
		m->pg[k].prot = prot;
}

/* One area to another place; the old one is a hole then. */
static void model_move(struct model *m)
{
	unsigned n = 1 + rnd(m, 25), i = rnd(m, NP - n), to = rnd(m, NP - n);

	if ((i < to + n && to < i + n) || !all_mapped(m, i, n))
		return;
	for (unsigned k = 1; k < n; k++)
		if (m->pg[i + k].prot != m->pg[i].prot)
			return;
	int64_t r = do_mremap(MM, AT(i), n * PAGE_SIZE, n * PAGE_SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, AT(to));

	if (r == -EFAULT && !m->failing) /* more than one area, as Linux up to 6.16 */
		return;
	if (r != (int64_t)AT(to)) {
		model_reset(m, i, n);
		model_reset(m, to, n);
		return;
	}
	for (unsigned k = 0; k < n; k++) {
		m->pg[to + k] = m->pg[i + k];
		m->pg[i + k].mapped = false;
	}
}

static void model_advise(struct model *m)
{
	static const int advice[] = { MADV_DONTNEED, 21 /* MADV_PAGEOUT */, 20 /* MADV_COLD */, MADV_WILLNEED };
	unsigned i = rnd(m, NP), n = 1 + rnd(m, MIN(NP - i, 20u)), how = rnd(m, ARRAY_SIZE(advice));

	if (!all_mapped(m, i, n))
		return;
	if (do_madvise(MM, TK, AT(i), n * PAGE_SIZE, advice[how])) {
		model_reset(m, i, n);
		return;
	}
	for (unsigned k = i; k < i + n && !how; k++)
		m->pg[k].byte = 0;
}

static void model_step(struct model *m)
{
	unsigned r = rnd(m, 100);

	if (r < 80)
		model_touch(m);
	else if (r < 85)
		model_map(m);
	else if (r < 88)
		model_unmap(m);
	else if (r < 92)
		model_protect(m);
	else if (r < 95)
		model_move(m);
	else
		model_advise(m);
}

static void model_run(struct model *m, uint64_t seed, unsigned steps)
{
	memset(m, 0, sizeof(*m));
	m->seed = seed;
	map_anon(0, NP, RW);
	for (unsigned i = 0; i < NP; i++) {
		m->pg[i].mapped = true;
		m->pg[i].prot = RW;
	}
	for (unsigned s = 0; s < steps; s++)
		model_step(m);
}

static void model_verify(struct model *m)
{
	for (unsigned i = 0; i < NP; i++)
		if (m->pg[i].mapped && m->pg[i].prot)
			assert_int_equal(peek(AT(i) + SPOT), m->pg[i].byte);
}

static void random_calls_and_touches_agree_with_a_model(void **state)
{
	static struct model m;

	for (uint64_t seed = 1; seed <= 8; seed++) {
		open_rig(BOUND);
		model_run(&m, seed, 3000);
		model_verify(&m);
		close_rig();
	}
}

static void any_host_call_may_fail_under_the_core(void **state)
{
	static const int errs[] = { ENOMEM, EAGAIN, EINVAL };
	static struct model m;
	bool hit = !conf_face->soft;

	for (uint64_t k = 1; hit; k += 1 + k / 64) {
		open_rig(BOUND);
		memset(&m, 0, sizeof(m));
		map_anon(0, NP, RW);
		for (unsigned i = 0; i < NP; i++) {
			m.pg[i].mapped = true;
			m.pg[i].prot = RW;
		}
		m.seed = 77;
		m.failing = true;
		fail_host_call(k, errs[k % ARRAY_SIZE(errs)]);
		for (unsigned s = 0; s < 600; s++)
			model_step(&m);
		hit = host_call_has_failed();
		fail_host_call(0, 0);
		model_verify(&m);
		close_rig();
	}
}

int conf_model_tests(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_calls_and_touches_agree_with_a_model),
		cmocka_unit_test(any_host_call_may_fail_under_the_core),
	};

	return cmocka_run_group_tests_name(conf_face->name, tests, NULL, NULL);
}
