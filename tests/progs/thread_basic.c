/* SPDX-License-Identifier: MIT */
/* thread_basic.c - threads as programs use them: thousands of them, locks of every kind, cancellation, owners that die */
#include "signals.h"

#include <semaphore.h>

#define MANY 2000
static __thread uint64_t mine = 41;
static uint64_t sum_;

static void *quick(void *arg)
{
	char pad[64];
	memset(pad, (int)(long)arg, sizeof pad);
	mine += (uint64_t)(long)arg;
	__atomic_add_fetch(&sum_, mine + (uint64_t)pad[3] * 0, __ATOMIC_RELAXED);
	return (void *)mine;
}

static void many(void)
{
	uint64_t total = 0;
	for (long i = 0; i < MANY; i++) {
		pthread_t t;
		void *r;
		if (pthread_create(&t, NULL, quick, (void *)i))
			puts("create failed");
		pthread_join(t, &r);
		total += (uint64_t)r;
	}
	printf("one after another: %llu %llu, main %llu\n", (unsigned long long)total, (unsigned long long)sum_, (unsigned long long)mine);
}

static sem_t gone;
static void *detached(void *arg) { sem_post(&gone); return arg; }
static void detached_ones(void)
{
	pthread_attr_t a;
	sem_init(&gone, 0, 0);
	pthread_attr_init(&a);
	pthread_attr_setdetachstate(&a, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&a, 64 << 10);
	for (int i = 0; i < 500; i++) {
		pthread_t t;
		while (pthread_create(&t, &a, detached, NULL))
			nap_ms(1);
	}
	for (int i = 0; i < 500; i++)
		sem_wait(&gone);
	puts("detached: 500");
}

/* ---------------------------------------------------------------- locks */

#define CREW 8
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER, pi, recursive;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static pthread_rwlock_t rw = PTHREAD_RWLOCK_INITIALIZER;
static pthread_barrier_t barrier;
static pthread_spinlock_t spin;
static int counter, turn, writes;

static void *crew(void *arg)
{
	int me = (int)(long)arg;
	for (int i = 0; i < 300; i++) {
		pthread_mutex_lock(&mutex);
		counter++;
		pthread_mutex_unlock(&mutex);
		pthread_mutex_lock(&pi);
		counter++;
		pthread_mutex_unlock(&pi);
		pthread_spin_lock(&spin);
		counter++;
		pthread_spin_unlock(&spin);
		if (i % 10 == 0) {
			pthread_rwlock_wrlock(&rw);
			writes++;
			pthread_rwlock_unlock(&rw);
		} else {
			pthread_rwlock_rdlock(&rw);
			pthread_rwlock_unlock(&rw);
		}
	}
	pthread_barrier_wait(&barrier);
	for (int i = 0; i < 20; i++) { /* in turns */
		pthread_mutex_lock(&mutex);
		while (turn % CREW != me)
			pthread_cond_wait(&cond, &mutex);
		turn++;
		pthread_cond_broadcast(&cond);
		pthread_mutex_unlock(&mutex);
	}
	return NULL;
}

static void locks(void)
{
	pthread_t t[CREW];
	pthread_mutexattr_t a;
	struct timespec soon;
	pthread_mutexattr_init(&a);
	pthread_mutexattr_setprotocol(&a, PTHREAD_PRIO_INHERIT);
	pthread_mutex_init(&pi, &a);
	pthread_mutexattr_setprotocol(&a, PTHREAD_PRIO_NONE);
	pthread_mutexattr_settype(&a, PTHREAD_MUTEX_RECURSIVE);
	pthread_mutex_init(&recursive, &a);
	pthread_spin_init(&spin, 0);
	pthread_barrier_init(&barrier, NULL, CREW);
	for (long i = 0; i < CREW; i++)
		pthread_create(&t[i], NULL, crew, (void *)i);
	for (int i = 0; i < CREW; i++)
		pthread_join(t[i], NULL);
	printf("locks: turns %d, writes %d, at least %d\n", turn, writes, counter > CREW * 300);
	clock_gettime(CLOCK_REALTIME, &soon);
	pthread_mutex_lock(&mutex);
	printf("timed wait: %s\n", strerrorname_np(pthread_cond_timedwait(&cond, &mutex, &soon)));
	printf("timed lock: %s\n", strerrorname_np(pthread_mutex_timedlock(&mutex, &soon)));
	pthread_mutex_unlock(&mutex);
	pthread_mutex_lock(&pi);
	printf("timed PI lock: %s\n", strerrorname_np(pthread_mutex_timedlock(&pi, &soon)));
	pthread_mutex_unlock(&pi);
}

/* ---------------------------------------------------------------- owners that die */

static pthread_mutex_t *robust;
static int locked;
static void *dies(void *arg)
{
	pthread_mutex_lock(robust);
	__atomic_store_n(&locked, 1, __ATOMIC_RELEASE);
	if (arg)
		nap_ms(10);
	return NULL;
}

static void *dies_raw(void *arg)
{
	pthread_mutex_lock(robust);
	__atomic_store_n(&locked, 1, __ATOMIC_RELEASE);
	syscall(SYS_exit, 0);
	return NULL;
}

static const char *err_name(int e) { return e ? strerrorname_np(e) : "0"; }

static void owner_dies(const char *what, int protocol, int shared, void *(*fn)(void *), bool wait_first)
{
	pthread_mutexattr_t a;
	pthread_t t;
	pthread_mutexattr_init(&a);
	pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
	pthread_mutexattr_setprotocol(&a, protocol);
	pthread_mutexattr_setpshared(&a, shared);
	robust = mmap(NULL, PG, PROT_READ | PROT_WRITE, (shared ? MAP_SHARED : MAP_PRIVATE) | MAP_ANONYMOUS, -1, 0);
	if (robust == MAP_FAILED) {
		printf("%s: no memory\n", what);
		return;
	}
	pthread_mutex_init(robust, &a);
	locked = 0;
	pthread_create(&t, NULL, fn, (void *)(long)wait_first);
	while (!arrived(locked))
		nap_ms(1);
	if (!wait_first && fn == dies) /* else the owner dies while we wait */
		pthread_join(t, NULL);
	int r = pthread_mutex_lock(robust);
	printf("%s: lock %s", what, err_name(r));
	printf(", consistent %s", err_name(pthread_mutex_consistent(robust)));
	printf(", unlock %s", err_name(pthread_mutex_unlock(robust)));
	printf(", again %s\n", err_name(pthread_mutex_lock(robust)));
	pthread_mutex_unlock(robust);
	if (wait_first)
		pthread_join(t, NULL);
}

/* ---------------------------------------------------------------- cancellation */

static int cleaned;
static void unlock(void *arg) { pthread_mutex_unlock(arg); }
static void cleanup(void *arg) { cleaned += (int)(long)arg; }

static void *cancel_me(void *arg)
{
	int p[2], old;
	char b;
	pthread_cleanup_push(cleanup, (void *)1);
	switch ((long)arg) {
	case 0:
		if (!pipe(p))
			(void)!read(p[0], &b, 1);
		break;
	case 1:
		pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &old);
		for (;;)
			;
	case 2:
		for (;;)
			pause();
	case 3:
		pthread_mutex_lock(&recursive);
		pthread_cleanup_push(unlock, &recursive);
		for (;;)
			pthread_cond_wait(&cond, &recursive);
		pthread_cleanup_pop(1);
		break;
	case 4:
		pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &old);
		nap_ms(5);
		cleaned += 100;
		pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &old);
		pthread_testcancel();
		break;
	case 5:
		pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &old);
		for (;;) { /* cancelled in the middle of faults */
			churn();
		}
	default:
		for (;;)
			nap_ms(1000);
	}
	pthread_cleanup_pop(1);
	return NULL;
}

static void cancellation(void)
{
	for (long how = 0; how < 7; how++) {
		pthread_t t;
		void *r;
		cleaned = 0;
		pthread_create(&t, NULL, cancel_me, (void *)how);
		nap_ms(how == 4 ? 1 : 4);
		pthread_cancel(t);
		pthread_join(t, &r);
		printf("cancel %ld: %s, cleaned %d\n", how, r == PTHREAD_CANCELED ? "cancelled" : "ended", cleaned);
	}
}

int main(void)
{
	transcript_begin();
	many();
	detached_ones();
	locks();
	owner_dies("robust, dead before", PTHREAD_PRIO_NONE, 0, dies, false);
	owner_dies("robust, dies meanwhile", PTHREAD_PRIO_NONE, 0, dies, true);
	owner_dies("robust, raw exit", PTHREAD_PRIO_NONE, 0, dies_raw, false);
	owner_dies("robust PI, dead before", PTHREAD_PRIO_INHERIT, 0, dies, false);
	owner_dies("robust PI, dies meanwhile", PTHREAD_PRIO_INHERIT, 0, dies, true);
	owner_dies("robust shared, dies meanwhile", PTHREAD_PRIO_NONE, 1, dies, true);
	cancellation();
	return 0;
}
