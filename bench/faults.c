/* SPDX-License-Identifier: MIT */
/* faults.c - one kind of page fault many times, timed by itself: prints nanoseconds of processor time per fault (or per page)
 *
 *     faults MODE [PAGES]
 *
 * Run natively, or under softfault run, the program measures what the program sees.  The bare-* modes are the yardstick: an empty
 * handler and the one system call that installs the page, in this process, without any softfault.
 *
 *   anon-seq     first write to each page, ascending         anon-random    the same in shuffled order
 *   anon-read    first read of each page, shuffled           wp             write to each page that was read so
 *   file-read    first read of each block of 16 pages of a private file mapping   text-read   the same where it may not be written
 *   cow          write to each file page that was read       trap           the program's SIGSEGV handler, nothing else
 *   segv         the same with an mprotect in the handler    syscall        getppid
 *   sparse       one page in 16 (for what stays resident)
 *   bare-uffd    SIGBUS + UFFDIO_COPY                         bare-segv      SIGSEGV + write to /proc/self/mem + mprotect
 *   bare-uffd16  the same, 16 pages a fault, per page
 *   bare-wp      SIGBUS + UFFDIO_WRITEPROTECT                 bare-mprotect  SIGSEGV + mprotect
 *   bare-file    SIGBUS + pread + UFFDIO_COPY of 16 pages     bare-filesegv  SIGSEGV + pread + /proc/self/mem + mprotect */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#define PAGE 4096ul
static size_t pages = 16384;
static char *mem;
static int uffd = -1, memfd_self = -1, file = -1;
static unsigned batch = 1;
static char zeros[16 * PAGE], bytes[16 * PAGE];
static volatile char sink;

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void die(const char *what)
{
	perror(what);
	exit(2);
}

static void report(double t0, size_t n) { printf("%.1f\n", (now() - t0) / (double)n); }

static char *map_anon(int prot)
{
	char *p = mmap(NULL, pages * PAGE, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		die("mmap");
	madvise(p, pages * PAGE, MADV_NOHUGEPAGE);
	return p;
}

static uint32_t *shuffled(void)
{
	uint32_t *o = malloc(pages * sizeof(*o)), x = 88172645u;
	for (size_t i = 0; i < pages; i++)
		o[i] = (uint32_t)i;
	for (size_t i = pages - 1; i; i--) {
		x ^= x << 13, x ^= x >> 17, x ^= x << 5;
		size_t j = x % (i + 1);
		uint32_t t = o[i];
		o[i] = o[j], o[j] = t;
	}
	return o;
}

static void anon(int random, int write)
{
	uint32_t *order = random ? shuffled() : NULL;
	mem = map_anon(PROT_READ | PROT_WRITE);
	double t0 = now();
	for (size_t i = 0; i < pages; i++) {
		volatile char *p = mem + (order ? order[i] : i) * PAGE;
		if (write)
			*p = 1;
		else
			sink = *p;
	}
	report(t0, pages);
}

static void sparse(void)
{
	mem = map_anon(PROT_READ | PROT_WRITE);
	double t0 = now();
	for (size_t i = 0; i < pages; i += 16)
		*(volatile char *)(mem + i * PAGE) = 1;
	report(t0, pages / 16);
}

static void open_file(void)
{
	char name[] = "/tmp/faults.XXXXXX";
	file = mkstemp(name);
	if (file < 0)
		die("mkstemp");
	unlink(name);
	memset(bytes, 7, sizeof(bytes));
	for (size_t i = 0; i < pages; i += 16)
		if (write(file, bytes, sizeof(bytes)) != (ssize_t)sizeof(bytes))
			die("write");
}

/* Reads come by blocks, as fault-around would make single pages of a block cheaper than a fault. */
static void file_pages(int prot, int then_write)
{
	uint32_t *order = shuffled();
	size_t n = 0;
	open_file();
	mem = mmap(NULL, pages * PAGE, prot, MAP_PRIVATE, file, 0);
	if (mem == MAP_FAILED)
		die("mmap");
	double t0 = now();
	for (size_t i = 0; i < pages; i++)
		if (order[i] % 16 == 5) {
			sink = *(volatile char *)(mem + order[i] * PAGE);
			n++;
		}
	if (then_write) {
		for (n = 0; n < pages; n++)
			sink = *(volatile char *)(mem + n * PAGE);
		t0 = now();
		for (size_t i = 0; i < pages; i++)
			*(volatile char *)(mem + order[i] * PAGE) = 1;
	}
	report(t0, n);
}

static void write_protected(void)
{
	uint32_t *order = shuffled();
	mem = map_anon(PROT_READ | PROT_WRITE);
	for (size_t i = 0; i < pages; i++)
		sink = *(volatile char *)(mem + order[i] * PAGE);
	double t0 = now();
	for (size_t i = 0; i < pages; i++)
		*(volatile char *)(mem + order[i] * PAGE) = 1;
	report(t0, pages);
}

static void on_fault_mprotect(int s, siginfo_t *si, void *c)
{
	(void)s, (void)c;
	if (mprotect((void *)((uintptr_t)si->si_addr & ~(PAGE - 1)), PAGE, PROT_READ | PROT_WRITE))
		_exit(3);
}

static void install(int signo, void (*fn)(int, siginfo_t *, void *))
{
	struct sigaction sa = { .sa_sigaction = fn, .sa_flags = SA_SIGINFO | SA_NODEFER };
	sigaction(signo, &sa, NULL);
}

static void program_segv(void)
{
	if (pages > 8192)
		pages = 8192; /* each page splits a host mapping */
	install(SIGSEGV, on_fault_mprotect);
	mem = map_anon(PROT_READ | PROT_WRITE);
	memset(mem, 1, pages * PAGE);
	mprotect(mem, pages * PAGE, PROT_READ);
	uint32_t *order = shuffled();
	double t0 = now();
	for (size_t i = 0; i < pages; i++)
		*(volatile char *)(mem + order[i] * PAGE) = 2;
	report(t0, pages);
}

static void on_missing(int s, siginfo_t *si, void *c)
{
	(void)s;
	uintptr_t a = (uintptr_t)si->si_addr & ~(PAGE - 1);
	if (((ucontext_t *)c)->uc_mcontext.gregs[REG_ERR] & 1) {
		struct uffdio_writeprotect wp = { .range = { a, PAGE } };
		if (ioctl(uffd, UFFDIO_WRITEPROTECT, &wp))
			_exit(3);
		return;
	}
	struct uffdio_copy cp = { .dst = a, .src = (uintptr_t)zeros, .len = batch * PAGE };
	if (ioctl(uffd, UFFDIO_COPY, &cp))
		_exit(3);
}

static void uffd_open(void)
{
	uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
	struct uffdio_api api = { .api = UFFD_API, .features = UFFD_FEATURE_SIGBUS | UFFD_FEATURE_PAGEFAULT_FLAG_WP };
	if (uffd < 0 || ioctl(uffd, UFFDIO_API, &api))
		die("userfaultfd");
	mem = map_anon(PROT_READ | PROT_WRITE);
	struct uffdio_register r = { .range = { (uintptr_t)mem, pages * PAGE },
				     .mode = UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_WP };
	if (ioctl(uffd, UFFDIO_REGISTER, &r))
		die("register");
}

static void bare_uffd(unsigned b, int wp)
{
	uint32_t *order = shuffled();
	uffd_open();
	install(SIGBUS, on_missing);
	batch = b;
	double t0 = now();
	for (size_t i = 0; i < pages; i++)
		*(volatile char *)(mem + (b > 1 || wp ? i : order[i]) * PAGE) = 1;
	if (wp) {
		struct uffdio_writeprotect all = { .range = { (uintptr_t)mem, pages * PAGE }, .mode = UFFDIO_WRITEPROTECT_MODE_WP };
		ioctl(uffd, UFFDIO_WRITEPROTECT, &all);
		t0 = now();
		for (size_t i = 0; i < pages; i++)
			*(volatile char *)(mem + order[i] * PAGE) = 2;
	}
	report(t0, pages);
}

static void on_none(int s, siginfo_t *si, void *c)
{
	(void)s, (void)c;
	uintptr_t a = (uintptr_t)si->si_addr & ~(PAGE - 1);
	if (pwrite(memfd_self, zeros, PAGE, (off_t)a) != (ssize_t)PAGE || mprotect((void *)a, PAGE, PROT_READ | PROT_WRITE))
		_exit(3);
}

static void bare_segv(void)
{
	memfd_self = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	if (pages > 8192)
		pages = 8192;
	uint32_t *order = shuffled();
	mem = map_anon(PROT_NONE);
	install(SIGSEGV, on_none);
	double t0 = now();
	for (size_t i = 0; i < pages; i++)
		*(volatile char *)(mem + order[i] * PAGE) = 1;
	report(t0, pages);
}

static void on_file(int s, siginfo_t *si, void *c)
{
	(void)c;
	uintptr_t a = (uintptr_t)si->si_addr & ~(16 * PAGE - 1);
	if (pread(file, bytes, sizeof(bytes), (off_t)(a - (uintptr_t)mem)) != (ssize_t)sizeof(bytes))
		_exit(3);
	struct uffdio_copy cp = { .dst = a, .src = (uintptr_t)bytes, .len = sizeof(bytes), .mode = UFFDIO_COPY_MODE_WP };
	if (s == SIGBUS ? ioctl(uffd, UFFDIO_COPY, &cp)
			: pwrite(memfd_self, bytes, sizeof(bytes), (off_t)a) != (ssize_t)sizeof(bytes) ||
				  mprotect((void *)a, sizeof(bytes), PROT_READ))
		_exit(3);
}

static void bare_file(int segv)
{
	uint32_t *order = shuffled();
	size_t n = 0;
	open_file();
	if (segv) {
		memfd_self = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
		mem = map_anon(PROT_NONE);
	} else {
		uffd_open();
	}
	uintptr_t skew = -(uintptr_t)mem & (16 * PAGE - 1); /* blocks are aligned in memory */
	mem += skew;
	pages -= skew / PAGE + 16;
	install(segv ? SIGSEGV : SIGBUS, on_file);
	double t0 = now();
	for (size_t i = 0; i < pages; i++)
		if (order[i] % 16 == 5 && order[i] < pages) {
			sink = *(volatile char *)(mem + order[i] * PAGE);
			n++;
		}
	report(t0, n);
}

static void on_bad(int s, siginfo_t *si, void *c)
{
	(void)s, (void)si;
	((ucontext_t *)c)->uc_mcontext.gregs[REG_RAX] = (greg_t)(uintptr_t)zeros;
}

static void bare_trap(void)
{
	install(SIGSEGV, on_bad);
	double t0 = now();
	for (size_t i = 0; i < pages; i++) {
		uintptr_t a = 8, v;
		__asm__ volatile("movb (%%rax), %b1" : "+a"(a), "=r"(v) : : "memory");
	}
	report(t0, pages);
}

static void syscalls(void)
{
	size_t n = 200000;
	double t0 = now();
	for (size_t i = 0; i < n; i++)
		syscall(SYS_getppid);
	report(t0, n);
}

int main(int argc, char **argv)
{
	const char *m = argc > 1 ? argv[1] : "";
	if (argc > 2)
		pages = strtoul(argv[2], NULL, 0);
	if (!strcmp(m, "anon-seq")) anon(0, 1);
	else if (!strcmp(m, "anon-random")) anon(1, 1);
	else if (!strcmp(m, "anon-read")) anon(1, 0);
	else if (!strcmp(m, "sparse")) sparse();
	else if (!strcmp(m, "wp")) write_protected();
	else if (!strcmp(m, "file-read")) file_pages(PROT_READ | PROT_WRITE, 0);
	else if (!strcmp(m, "text-read")) file_pages(PROT_READ, 0);
	else if (!strcmp(m, "cow")) file_pages(PROT_READ | PROT_WRITE, 1);
	else if (!strcmp(m, "segv") || !strcmp(m, "bare-mprotect")) program_segv();
	else if (!strcmp(m, "trap")) bare_trap();
	else if (!strcmp(m, "syscall")) syscalls();
	else if (!strcmp(m, "bare-uffd")) bare_uffd(1, 0);
	else if (!strcmp(m, "bare-uffd16")) bare_uffd(16, 0);
	else if (!strcmp(m, "bare-wp")) bare_uffd(1, 1);
	else if (!strcmp(m, "bare-segv")) bare_segv();
	else if (!strcmp(m, "bare-file")) bare_file(0);
	else if (!strcmp(m, "bare-filesegv")) bare_file(1);
	else {
		fprintf(stderr, "usage: faults MODE [PAGES]; see the head of bench/faults.c\n");
		return 2;
	}
	return 0;
}
