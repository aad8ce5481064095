/* SPDX-License-Identifier: MIT */
/* thread_many.c - eighty threads whose stacks and data do not fit in memory, with signals among them */
#include "signals.h"

#define THREADS 80
#define BYTES (128u << 10)
static pthread_barrier_t barrier;
static pthread_t thread[THREADS];
static volatile int signals;
static uint64_t sums[THREADS];

static void on_usr1(int signo, siginfo_t *si, void *ctx) { __atomic_add_fetch(&signals, 1, __ATOMIC_RELAXED); }

/* Its stack is written and read back, with the others at work in between. */
static void *work(void *arg)
{
	long me = (long)arg;
	volatile unsigned char room[BYTES];
	uint64_t s = 0;
	for (unsigned i = 0; i < BYTES; i += 64)
		room[i] = (unsigned char)(i / 64 + (unsigned)me);
	pthread_barrier_wait(&barrier);
	if (me % 8 == 0)
		pthread_kill(thread[(me + 1) % THREADS], SIGUSR1);
	for (int round = 0; round < 2; round++)
		for (unsigned i = 0; i < BYTES; i += 64)
			s += room[i] == (unsigned char)(i / 64 + (unsigned)me);
	sums[me] = s;
	pthread_barrier_wait(&barrier);
	return NULL;
}

int main(void)
{
	uint64_t total = 0;
	transcript_begin();
	on(SIGUSR1, on_usr1, SA_RESTART);
	pthread_barrier_init(&barrier, NULL, THREADS + 1);
	for (long i = 0; i < THREADS; i++)
		if (pthread_create(&thread[i], NULL, work, (void *)i))
			puts("create failed");
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
	for (int i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	for (int i = 0; i < THREADS; i++)
		total += sums[i];
	printf("total %llu of %llu, signals %d\n", (unsigned long long)total, 2ull * THREADS * BYTES / 64, signals);
	return 0;
}
