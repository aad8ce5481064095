/* SPDX-License-Identifier: MIT */
/* sig_storm.c - numbered signals by the thousand while the program faults: none lost, none twice, in order
 *
 *	sig_storm                  from its own threads, then the three that its kernel lives by
 *	sig_storm receive FILE N   N numbered ones from outside; FILE tells the sender who it is
 *	sig_storm send FILE N      the sender, run natively */
#include "signals.h"

#define EACH 1000
#define SENDERS 2

static volatile int last[SENDERS], got, disorder;

static void count(int signo, siginfo_t *si, void *ctx)
{
	int from = si->si_value.sival_int >> 24, seq = si->si_value.sival_int & 0xffffff;
	if (from < 0 || from >= SENDERS || seq != last[from] + 1)
		disorder++;
	else
		last[from] = seq;
	got++;
}

static int send_one(pid_t to, int from, int seq)
{
	union sigval v = { .sival_int = from << 24 | seq };
	while (sigqueue(to, SIGRTMIN + from, v)) {
		if (errno != EAGAIN)
			return -1;
		nap_ms(1);
	}
	return 0;
}

static void *sender(void *arg)
{
	for (int i = 1; i <= EACH; i++) {
		send_one(getpid(), (int)(long)arg, i);
		if (i % 50 == 0)
			sched_yield();
	}
	return NULL;
}

static void *faulting(void *arg)
{
	while (!arrived(*(int *)arg))
		churn();
	return NULL;
}

static void within(void)
{
	pthread_t t[SENDERS], f;
	int p[2], stop = 0;
	char b;
	for (int i = 0; i < SENDERS; i++)
		on(SIGRTMIN + i, count, SA_RESTART);
	sigset_t all, old; /* nobody else takes them, not even while it begins */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	if (pipe(p))
		abort();
	pthread_create(&f, NULL, faulting, &stop);
	for (long i = 0; i < SENDERS; i++)
		pthread_create(&t[i], NULL, sender, (void *)i);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	uint64_t until = now_ns() + 20000000000ull;
	for (int i = 0; got < SENDERS * EACH && now_ns() < until; i++) {
		(void)!write(p[1], "z", 1);
		(void)!read(p[0], &b, 1);
		if (i % 64 == 0)
			churn();
	}
	for (int i = 0; i < SENDERS; i++)
		pthread_join(t[i], NULL);
	__atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
	pthread_join(f, NULL);
	printf("got %d, disorder %d, last %d %d\n", got, disorder, last[0], last[1]);
}

/* ---------------------------------------------------------------- the three */

static volatile int seen, sent, waits;
static void note(int signo, siginfo_t *si, void *ctx) { if (si->si_code <= 0) __atomic_add_fetch(&seen, 1, __ATOMIC_RELEASE); }

static void *pinger(void *arg)
{
	static const int which[] = { SIGSEGV, SIGBUS, SIGSYS };
	for (int i = 0; i < 300; i++) {
		int before = arrived(seen);
		kill(getpid(), which[i % 3]);
		sent++;
		uint64_t until = now_ns() + 5000000000ull;
		while (arrived(seen) == before) /* a lost one is waited for in vain: the main thread sleeps or spins */
			if (now_ns() > until) {
				printf("signal %d lost\n", i);
				fflush(stdout);
				_exit(1);
			}
	}
	return NULL;
}

/* They arrive while it runs, enters the kernel, sleeps there, faults, leaves. */
static void the_three(int how)
{
	pthread_t t;
	static volatile int never;
	seen = sent = 0;
	on(SIGSEGV, note, SA_RESTART);
	on(SIGBUS, note, SA_RESTART);
	on(SIGSYS, note, SA_RESTART);
	pthread_create(&t, NULL, pinger, NULL);
	while (arrived(seen) < 300) {
		int before = arrived(seen);
		switch (how) {
		case 0: /* leave the kernel at once, then only spin */
			syscall(SYS_getppid);
			while (arrived(seen) == before)
				;
			break;
		case 1: /* faults */
			churn();
			break;
		default: /* futex with a restart */
			if (before < 300)
				syscall(SYS_futex, &never, 0, 0, &(struct timespec){ 0, 200000 }, NULL, 0);
			break;
		}
	}
	pthread_join(t, NULL);
	printf("way %d: sent %d seen %d\n", how, sent, seen);
}

static void receive(const char *file, int n)
{
	char tmp[300];
	on(SIGRTMIN, count, SA_RESTART);
	snprintf(tmp, sizeof tmp, "%s.new", file);
	FILE *f = fopen(tmp, "w");
	fprintf(f, "%d\n", (int)getpid());
	fclose(f);
	rename(tmp, file);
	uint64_t until = now_ns() + 30000000000ull;
	while (got < n && now_ns() < until)
		churn();
	printf("got %d, disorder %d, last %d\n", got, disorder, last[0]);
}

static int send_all(const char *file, int n)
{
	int pid = 0;
	for (int i = 0; i < 10000 && !pid; i++) {
		FILE *f = fopen(file, "r");
		if (f) {
			if (fscanf(f, "%d", &pid) != 1)
				pid = 0;
			fclose(f);
		}
		if (!pid)
			nap_ms(1);
	}
	for (int i = 1; pid && i <= n; i++) {
		if (send_one(pid, 0, i))
			return 1;
		if (i % 20 == 0)
			nap_ms(1);
	}
	return pid ? 0 : 2;
}

int main(int argc, char **argv)
{
	if (argc == 4 && !strcmp(argv[1], "receive"))
		return receive(argv[2], atoi(argv[3])), 0;
	if (argc == 4 && !strcmp(argv[1], "send"))
		return send_all(argv[2], atoi(argv[3]));
	transcript_begin();
	within();
	for (int how = 0; how < 3; how++)
		the_three(how);
	return 0;
}
