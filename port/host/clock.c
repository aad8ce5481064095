/* SPDX-License-Identifier: MIT */
/* clock.c - CLOCK_MONOTONIC without a system call
 *
 * Where the processor's time-stamp counter runs at one rate always, time is a fix (counter, nanoseconds) and a rate.  The rate
 * is measured against the host's clock over the time since creation: first after 2 ms (until then each call asks the host), then
 * after 16 ms, 128 ms … seven times in all, each better than the last.  A fix is written once and published by its
 * number, so readers need no lock; a new fix never lies before what the old one would have said, so time does not step back. */
#include "port/host/host_priv.h"
#include <cpuid.h>

#define FIRST_FIX_NS 2000000u
#define SLOW_READ 100000u /* ticks: we were interrupted between the two clocks */

static uint64_t rdtsc(void)
{
	return __builtin_ia32_rdtsc();
}

static uint64_t host_ns(void)
{
	struct { int64_t sec, nsec; } ts = { 0, 0 };

	host_call2(__NR_clock_gettime, 1 /* CLOCK_MONOTONIC */, HC_A(&ts));
	return (uint64_t)ts.sec * 1000000000u + (uint64_t)ts.nsec;
}

/* Both clocks at one moment; false when they could not be read close together. */
static bool read_both(uint64_t *ret_tsc, uint64_t *ret_ns)
{
	for (int i = 0; i < 4; i++) {
		uint64_t t0 = rdtsc(), ns = host_ns(), t1 = rdtsc();

		if (!ns || t1 - t0 > SLOW_READ)
			continue;
		*ret_tsc = t0 + (t1 - t0) / 2;
		*ret_ns = ns;
		return true;
	}
	return false;
}

static bool tsc_is_invariant(void)
{
	unsigned a, b, c, d;

	return __get_cpuid(0x80000007, &a, &b, &c, &d) && (d & 1u << 8);
}

void clock_init(struct host_clock *c)
{
	c->tsc = tsc_is_invariant() && read_both(&c->start_tsc, &c->start_ns);
	c->cur = 0;
	c->busy = 0;
}

static uint64_t fix_ns(const struct clock_fix *f, uint64_t tsc)
{
	/* another processor's counter may be a little behind */
	uint64_t d = (int64_t)(tsc - f->tsc) > 0 ? tsc - f->tsc : 0;

	return f->ns + (uint64_t)((unsigned __int128)d * f->mult >> 32);
}

/* Nanoseconds a tick, times 2^32. */
static uint64_t rate(uint64_t ns, uint64_t ticks)
{
	unsigned s = (unsigned)__builtin_clzll(ns | 1);

	if (s >= 32)
		return (ns << 32) / ticks;
	return (ns << s) / (ticks >> (32 - s));
}

static void new_fix(struct host_clock *c)
{
	uint32_t cur = c->cur;
	struct clock_fix *f = &c->fix[cur + 1];
	uint64_t tsc, ns;

	if (cur == CLOCK_FIXES || !read_both(&tsc, &ns) || tsc <= c->start_tsc || ns <= c->start_ns)
		return;
	f->tsc = tsc;
	f->ns = cur ? MAX(ns, fix_ns(&c->fix[cur], tsc)) : ns;
	f->mult = rate(ns - c->start_ns, tsc - c->start_tsc);
	c->next_tsc = cur + 1 == CLOCK_FIXES ? UINT64_MAX : tsc + 7 * (tsc - c->start_tsc);
	__atomic_store_n(&c->cur, cur + 1, __ATOMIC_RELEASE);
}

static void try_new_fix(struct host_clock *c)
{
	if (__atomic_exchange_n(&c->busy, 1, __ATOMIC_ACQUIRE))
		return;
	new_fix(c);
	__atomic_store_n(&c->busy, 0, __ATOMIC_RELEASE);
}

uint64_t clock_now(struct host_clock *c)
{
	uint32_t cur = __atomic_load_n(&c->cur, __ATOMIC_ACQUIRE);
	uint64_t now;

	if (unlikely(!cur)) {
		now = host_ns();
		if (c->tsc && now - c->start_ns >= FIRST_FIX_NS)
			try_new_fix(c);
		return now;
	}
	now = rdtsc();
	if (unlikely(now >= READ_ONCE(c->next_tsc))) {
		try_new_fix(c);
		cur = __atomic_load_n(&c->cur, __ATOMIC_ACQUIRE);
	}
	return fix_ns(&c->fix[cur], now);
}
