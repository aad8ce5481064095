/* SPDX-License-Identifier: MIT */
/* sig_repair.c - a SIGSEGV handler that makes the page accessible, as collectors and databases do; many times, in many threads */
#include "signals.h"

#define PAGES 1024u
#define THREADS 4u
static char *area;
static unsigned repaired, wrong;

static void repair(int signo, siginfo_t *si, void *ctx)
{
	char *p = (char *)((uintptr_t)si->si_addr & ~(PG - 1));
	if (p < area || p >= area + PAGES * PG || si->si_code != SEGV_ACCERR)
		__atomic_add_fetch(&wrong, 1, __ATOMIC_RELAXED);
	__atomic_add_fetch(&repaired, 1, __ATOMIC_RELAXED);
	mprotect(p, PG, PROT_READ | PROT_WRITE);
}

static void *work(void *arg)
{
	unsigned me = (unsigned)(long)arg;
	for (unsigned round = 0; round < 3; round++)
		for (unsigned i = me; i < PAGES; i += THREADS) {
			char *p = area + i * PG + 8 * me;
			++*(volatile uint64_t *)p;
			mprotect(area + i * PG, PG, round & 1 ? PROT_NONE : PROT_READ);
		}
	return NULL;
}

int main(void)
{
	transcript_begin();
	pthread_t t[THREADS];
	uint64_t total = 0;
	area = mmap(NULL, PAGES * PG, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	on(SIGSEGV, repair, SA_RESTART);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_create(&t[i], NULL, work, (void *)(long)i);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	printf("repaired %u, wrong %u\n", repaired, wrong);
	mprotect(area, PAGES * PG, PROT_READ);
	for (unsigned i = 0; i < PAGES; i++)
		total += *(uint64_t *)(area + i * PG + 8 * (i % THREADS));
	printf("total %llu\n", (unsigned long long)total);
	return 0;
}
