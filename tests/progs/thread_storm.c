/* SPDX-License-Identifier: MIT */
/* thread_storm.c - threads are born and die while the process is sent signals, those that its kernel lives by among them: none is taken for a
 * fault, none that queues is lost, and nobody is hit before it can bear it */
#include "signals.h"

#define FIRST_RT 34 /* SIGRTMIN is a call */
static const int which[] = { SIGSEGV, SIGBUS, SIGSYS, SIGUSR1, FIRST_RT };
static int seen[65], odd;
static volatile int stop, queued;
static char *area;
#define PAGES 1500

static void count(int signo, siginfo_t *si, void *ctx)
{
	__atomic_add_fetch(si->si_code == (signo == FIRST_RT ? SI_QUEUE : SI_USER) ? &seen[signo] : &odd, 1, __ATOMIC_RELAXED);
}

static void *short_life(void *arg)
{
	for (int i = 0; i < 48; i++)
		__atomic_add_fetch(&area[((long)arg * 37 + i * 13) % PAGES * (long)PG], 1, __ATOMIC_RELAXED);
	return NULL;
}

static void *sender(void *arg)
{
	union sigval v = { .sival_int = 1 };
	for (unsigned i = 0; !arrived(stop); i++) {
		int s = which[i % 5];
		if (s != FIRST_RT)
			kill(getpid(), s);
		else if (!sigqueue(getpid(), s, v))
			queued++;
		if (i % 20 == 0)
			usleep(100);
	}
	return NULL;
}

int main(void)
{
	transcript_begin();
	area = mmap(NULL, PAGES * PG, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (unsigned i = 0; i < 5; i++)
		on(which[i], count, SA_RESTART);
	pthread_t s, t[6];
	pthread_create(&s, NULL, sender, NULL);
	for (long r = 0; r < 150; r++) {
		for (long i = 0; i < 6; i++)
			if (pthread_create(&t[i], NULL, short_life, (void *)(r * 6 + i)))
				abort();
		for (int i = 0; i < 6; i++)
			pthread_join(t[i], NULL);
	}
	stop = 1;
	pthread_join(s, NULL);
	printf("all kinds %d, odd %d, queued ones lost %d\n", seen[SIGSEGV] && seen[SIGBUS] && seen[SIGSYS] && seen[SIGUSR1], odd, queued - seen[FIRST_RT]);
	return 0;
}
