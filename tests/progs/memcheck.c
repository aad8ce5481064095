/* SPDX-License-Identifier: MIT */
/* memcheck.c - fill memory with a pattern, go over it again and again, and tell each byte that is not what was written
 *
 *     memcheck [-t THREADS] [-s SWEEPS] [-f FILE [-S]] [-b] [-l] [-w] MB
 *
 *     -f FILE  map the file (made by -w), privately or, with -S, shared; otherwise anonymous memory
 *     -w       write the pattern to the file with write(2) first
 *     -b       catch SIGBUS: the page is lost; its address must be the one that was touched
 *     -l       mlock the memory first
 *
 * Every word depends on its place and on the sweep that wrote it, so neither a page of zeros, nor another page's contents,
 * nor its own from an earlier sweep passes.  Status: 0 all good, 1 a wrong byte, 2 cannot begin, 3 pages lost but none wrong. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096ul
#define WORDS (PAGE / 8)
#define MOST_THREADS 64

static uint64_t *mem;
static size_t pages;
static unsigned sweeps = 3;
static int file = -1;
static int wrong, lost, strange;
static unsigned char *gone; /* by page: lost */

static _Thread_local sigjmp_buf back;
static _Thread_local volatile uintptr_t touching;

static uint64_t word(size_t page, size_t i, unsigned sweep)
{
	uint64_t x = (page * WORDS + i + 1) * 0x9e3779b97f4a7c15ull ^ (uint64_t)sweep << 56;

	return x ^ x >> 29;
}

static void on_bus(int signo, siginfo_t *si, void *uc)
{
	uintptr_t at = (uintptr_t)si->si_addr;

	(void)signo, (void)uc;
	if (si->si_code != BUS_ADRERR || !touching || at / PAGE != touching / PAGE)
		__atomic_fetch_add(&strange, 1, __ATOMIC_RELAXED);
	if (!touching) {
		static const char msg[] = "memcheck: SIGBUS from nowhere\n";
		if (write(2, msg, sizeof(msg) - 1) < 0)
			_exit(1);
		_exit(1);
	}
	siglongjmp(back, 1);
}

static void check_page(size_t p, unsigned sweep)
{
	uint64_t *at = mem + p * WORDS;

	if (gone[p])
		return;
	if (sigsetjmp(back, 1)) {
		gone[p] = 1;
		touching = 0;
		__atomic_fetch_add(&lost, 1, __ATOMIC_RELAXED);
		return;
	}
	for (size_t i = 0; i < WORDS; i++) {
		touching = (uintptr_t)&at[i];
		if (*(volatile uint64_t *)&at[i] != word(p, i, sweep)) {
			if (!__atomic_fetch_add(&wrong, 1, __ATOMIC_RELAXED))
				fprintf(stderr, "memcheck: page %zu word %zu: %016lx, not %016lx\n", p, i,
					(unsigned long)at[i], (unsigned long)word(p, i, sweep));
			break;
		}
	}
	touching = 0;
}

static void write_page(size_t p, unsigned sweep)
{
	uint64_t *at = mem + p * WORDS;

	if (gone[p])
		return;
	if (sigsetjmp(back, 1)) {
		gone[p] = 1;
		touching = 0;
		__atomic_fetch_add(&lost, 1, __ATOMIC_RELAXED);
		return;
	}
	for (size_t i = 0; i < WORDS; i++) {
		touching = (uintptr_t)&at[i];
		at[i] = word(p, i, sweep);
	}
	touching = 0;
}

struct part { size_t from, to; pthread_t id; };

/* Forwards, backwards and by leaps in turn. */
static size_t nth(const struct part *w, unsigned sweep, size_t i)
{
	size_t n = w->to - w->from;

	switch (sweep % 3) {
	case 0: return w->from + i;
	case 1: return w->to - 1 - i;
	default: return w->from + i * 7919 % n;
	}
}

static void *work(void *arg)
{
	struct part *w = arg;
	size_t n = w->to - w->from;
	unsigned writes = file >= 0 && fcntl(file, F_GETFL) % 4 == O_RDONLY ? 0 : 1, was = 0;

	if (file < 0)
		for (size_t i = 0; i < n; i++)
			write_page(w->from + i, 0);
	for (unsigned s = 0; s < sweeps; s++) {
		if (s % 3 == 2 && n % 7919 == 0)
			continue;
		for (size_t i = 0; i < n; i++) {
			size_t p = nth(w, s, i);

			check_page(p, was);
			if (writes)
				write_page(p, was + 1);
		}
		was += writes;
	}
	for (size_t i = 0; i < n; i++)
		check_page(w->from + i, was);
	return NULL;
}

static void fail(const char *what)
{
	fprintf(stderr, "memcheck: %s: %s\n", what, strerror(errno));
	exit(2);
}

/* A stack that is locked: a page of one that is lost leaves the handler nowhere to run, and the process ends by SIGSEGV. */
static void safe_stack(pthread_attr_t *attr)
{
	size_t size = 64 << 10;
	void *stack = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (stack == MAP_FAILED || pthread_attr_setstack(attr, stack, size))
		fail("stack");
	mlock(stack, size); /* as far as allowed */
}

static void write_file(const char *path)
{
	uint64_t page[WORDS];
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	if (fd < 0)
		fail(path);
	for (size_t p = 0; p < pages; p++) {
		for (size_t i = 0; i < WORDS; i++)
			page[i] = word(p, i, 0);
		if (write(fd, page, PAGE) != (ssize_t)PAGE)
			fail("write");
	}
	close(fd);
}

int main(int argc, char **argv)
{
	struct sigaction sa = { .sa_sigaction = on_bus, .sa_flags = SA_SIGINFO };
	struct part part[MOST_THREADS];
	const char *path = NULL;
	unsigned threads = 1;
	int shared = 0, catch = 0, lock = 0, make = 0, c;

	while ((c = getopt(argc, argv, "t:s:f:Sblw")) != -1)
		switch (c) {
		case 't': threads = (unsigned)atoi(optarg); break;
		case 's': sweeps = (unsigned)atoi(optarg); break;
		case 'f': path = optarg; break;
		case 'S': shared = 1; break;
		case 'b': catch = 1; break;
		case 'l': lock = 1; break;
		case 'w': make = 1; break;
		default: return 2;
		}
	if (optind + 1 != argc || threads < 1 || threads > MOST_THREADS)
		return 2;
	pages = (size_t)atoi(argv[optind]) << 8;
	if (catch)
		mlockall(MCL_CURRENT); /* as far as allowed: it is our memory below that shall be lost, not our stack */
	if (make)
		write_file(path);
	if (path && (file = open(path, shared ? O_RDONLY : O_RDWR)) < 0)
		fail(path);
	mem = mmap(NULL, pages * PAGE, shared ? PROT_READ : PROT_READ | PROT_WRITE,
		   (shared ? MAP_SHARED : MAP_PRIVATE) | (path ? 0 : MAP_ANONYMOUS), file, 0);
	if (mem == MAP_FAILED)
		fail("mmap");
	if (lock && mlock(mem, pages * PAGE))
		fail("mlock");
	gone = calloc(pages, 1);
	if (!gone)
		fail("calloc");
	if (catch) {
		mlock(gone, pages);
		sigaction(SIGBUS, &sa, NULL);
	}
	for (unsigned t = 0; t < threads; t++) {
		pthread_attr_t attr;

		pthread_attr_init(&attr);
		if (t && catch)
			safe_stack(&attr);
		part[t] = (struct part){ .from = pages * t / threads, .to = pages * (t + 1) / threads };
		if (t && (errno = pthread_create(&part[t].id, &attr, work, &part[t])))
			fail("pthread_create");
	}
	work(&part[0]);
	for (unsigned t = 1; t < threads; t++)
		pthread_join(part[t].id, NULL);
	printf("%zu pages, %d wrong, %d lost, %d strange\n", pages, wrong, lost, strange);
	return wrong || strange ? 1 : lost ? 3 : 0;
}
