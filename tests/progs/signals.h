/* SPDX-License-Identifier: MIT */
/* signals.h - what the programs about signals and threads have in common */
#ifndef SIGNALS_H
#define SIGNALS_H

#include "transcript.h"

#include <limits.h>
#include <pthread.h>
#include <setjmp.h>
#include <sys/ucontext.h>
#include <time.h>

#define arrived(n) __atomic_load_n(&(n), __ATOMIC_ACQUIRE)

static inline uint64_t now_ns(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
}

static inline void nap_ms(int ms)
{
	struct timespec ts = { ms / 1000, ms % 1000 * 1000000L };
	while (nanosleep(&ts, &ts) && errno == EINTR)
		;
}

static inline const char *name_of(int signo)
{
	static char rt[4][16];
	static unsigned n;
	const char *s = signo < SIGRTMIN ? sigabbrev_np(signo) : NULL;
	if (s)
		return s;
	snprintf(rt[n & 3], sizeof rt[0], "RTMIN+%u", (unsigned)(signo - SIGRTMIN) & 63);
	return rt[n++ & 3];
}

static inline void on(int signo, void (*fn)(int, siginfo_t *, void *), int flags)
{
	struct sigaction sa = { .sa_sigaction = fn, .sa_flags = flags | SA_SIGINFO };
	sigemptyset(&sa.sa_mask);
	if (sigaction(signo, &sa, NULL))
		abort();
}

static inline sigset_t set_of(int a, int b)
{
	sigset_t s;
	sigemptyset(&s);
	if (a)
		sigaddset(&s, a);
	if (b)
		sigaddset(&s, b);
	return s;
}

static inline void block(int signo) { sigset_t s = set_of(signo, 0); pthread_sigmask(SIG_BLOCK, &s, NULL); }
static inline void unblock(int signo) { sigset_t s = set_of(signo, 0); pthread_sigmask(SIG_UNBLOCK, &s, NULL); }

/* Memory that is walked through to push everything else out of a small bound. */
#define CHURN_BYTES (6ul << 20)
static inline void churn(void)
{
	static char *m;
	if (!m) {
		m = mmap(NULL, CHURN_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (m == MAP_FAILED)
			abort();
	}
	for (size_t i = 0; i < CHURN_BYTES; i += PG)
		m[i]++;
}

#endif
