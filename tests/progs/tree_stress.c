/* SPDX-License-Identifier: MIT */
/* tree_stress.c - a tree of processes that fork, execute, share, die and kill at random, each knowing what its memory holds
 *
 *     tree_stress SECONDS PAGES [SEED]
 *
 * Every page is a function of its number and of the process's tag.  A child checks what it inherited, takes a tag of its own, and goes on in the
 * same way.  Whoever finds a wrong word says so and aborts; deaths by other signals than SIGKILL are reported.  Orphans end after a few more
 * steps, or the tree would grow as long as it runs.  Prints "done". */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define WORDS 512
#define STEP 37
#define MAX_KIDS 3
#define MAX_DEPTH 3
#define THREAD_PAGES 40

static unsigned seed;
static int pages, depth;
static time_t stop;
static uint64_t *mem, tag;
static pid_t kids[MAX_KIDS], parent;
static int nr_kids;

static unsigned dice(unsigned n)
{
	seed = seed * 1103515245u + 12345u;
	return (seed >> 8) % n;
}

static uint64_t word(int page, int i) { return tag * 1000003u + (uint64_t)page * 517 + (uint64_t)i; }

static void write_all(void)
{
	for (int p = 0; p < pages; p++)
		for (int i = 0; i < WORDS; i += STEP)
			mem[p * WORDS + i] = word(p, i);
}

static void check_all(const char *when)
{
	for (int p = 0; p < pages; p++)
		for (int i = 0; i < WORDS; i += STEP)
			if (mem[p * WORDS + i] != word(p, i)) {
				printf("wrong %s: process %d page %d word %d: %lx not %lx\n", when, getpid(), p, i,
				       (long)mem[p * WORDS + i], (long)word(p, i));
				fflush(stdout);
				abort();
			}
}

static void fresh(void)
{
	mem = mmap(NULL, (size_t)pages * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (mem == MAP_FAILED)
		exit(2);
	write_all();
}

static void *thread(void *arg)
{
	volatile char *p = mmap(NULL, THREAD_PAGES * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	for (int round = 0; p != MAP_FAILED && round < 4; round++) {
		for (int i = 0; i < THREAD_PAGES; i++)
			p[i * 4096] = (char)(i + round);
		for (int i = 0; i < THREAD_PAGES; i++)
			if (p[i * 4096] != (char)(i + round))
				abort();
	}
	munmap((void *)p, THREAD_PAGES * 4096);
	return NULL;
}

static void child(void)
{
	nr_kids = 0;
	depth++;
	parent = getppid();
	seed ^= (unsigned)getpid() * 2654435761u;
	check_all("inherited");
	tag = (uint64_t)getpid();
	if (dice(2)) {
		write_all();
	} else {
		munmap(mem, (size_t)pages * 4096);
		fresh();
	}
	check_all("own");
	if (!dice(3))
		_exit(0);
}

static void fork_one(void)
{
	if (depth >= MAX_DEPTH || nr_kids == MAX_KIDS)
		return;
	pid_t pid = fork();

	if (!pid)
		child();
	else if (pid > 0)
		kids[nr_kids++] = pid;
	else if (errno != EAGAIN && errno != ENOMEM)
		printf("fork: %s\n", strerror(errno));
}

static void thread_one(void)
{
	pthread_t t;

	if (!pthread_create(&t, NULL, thread, NULL))
		pthread_join(t, NULL);
}

static void vfork_one(void)
{
	pid_t pid = vfork();

	if (!pid) {
		execl("/bin/true", "true", (char *)NULL);
		_exit(1);
	}
	if (pid > 0)
		waitpid(pid, NULL, 0);
}

static void exec_self(void)
{
	char a[16], b[16], c[16], d[24], e[16];

	snprintf(a, sizeof a, "%d", depth);
	snprintf(b, sizeof b, "%d", pages);
	snprintf(c, sizeof c, "%u", seed);
	snprintf(d, sizeof d, "%ld", (long)stop);
	snprintf(e, sizeof e, "%d", parent);
	execl("/proc/self/exe", "tree_stress", a, b, c, d, e, (char *)NULL);
}

static void ended(pid_t pid, int st)
{
	if (WIFSIGNALED(st) && WTERMSIG(st) != SIGKILL)
		printf("a child died by signal %d\n", WTERMSIG(st));
	if (WIFEXITED(st) && WEXITSTATUS(st))
		printf("a child ended with %d\n", WEXITSTATUS(st));
	for (int i = 0; i < nr_kids; i++)
		if (kids[i] == pid)
			kids[i] = kids[--nr_kids];
}

static void step(void)
{
	switch (dice(10)) {
	case 0: case 1: fork_one(); break;
	case 2: if (nr_kids) kill(kids[dice((unsigned)nr_kids)], SIGKILL); break;
	case 3: thread_one(); break;
	case 4: if (depth && !nr_kids && !dice(6)) exec_self(); break;
	case 5: vfork_one(); break;
	case 6: tag++; write_all(); break;
	default: check_all("later"); break;
	}
}

int main(int argc, char **argv)
{
	int st;
	pid_t pid;

	if (argc < 3)
		return 2;
	setvbuf(stdout, NULL, _IOLBF, 0);
	pages = atoi(argv[2]);
	seed = argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : 1;
	depth = argc > 4 ? atoi(argv[1]) : 0;
	stop = argc > 4 ? atol(argv[4]) : time(NULL) + atol(argv[1]);
	parent = argc > 5 ? (pid_t)atol(argv[5]) : getppid();
	tag = (uint64_t)getpid();
	int top = !depth;

	fresh();
	while (time(NULL) < stop) {
		if (getppid() != parent && !dice(8))
			_exit(0);
		step();
		while ((pid = waitpid(-1, &st, WNOHANG)) > 0)
			ended(pid, st);
	}
	while ((pid = wait(&st)) > 0)
		ended(pid, st);
	check_all("at the end");
	if (top && !depth)
		puts("done");
	return 0;
}
