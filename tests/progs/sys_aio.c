/* SPDX-License-Identifier: MIT */
/* sys_aio.c - kernel AIO: contexts, requests of each kind, what is refused at once and what later, results and the ring itself */
#include "transcript.h"

#include <linux/aio_abi.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>

static aio_context_t ctx;
static int fd;
static char text[PG];

struct ring { unsigned id, nr, head, tail, magic, compat, incompat, header; };

static void results(const char *what, long min, long most)
{
	struct io_event ev[16];
	struct timespec soon = { 5, 0 }; /* fsync is done by a thread of the kernel's */
	long n = syscall(SYS_io_getevents, ctx, min, most, ev, &soon);
	printf("  %s: %s", what, answer(n));
	for (long i = 0; i < n; i++)
		printf(", data %lld res %lld %lld", (long long)ev[i].data, (long long)ev[i].res, (long long)ev[i].res2);
	puts("");
}

static long submit(const char *what, struct iocb cb)
{
	struct iocb *list[1] = { &cb };
	cb.aio_key = 77;
	errno = 0;
	long r = syscall(SYS_io_submit, ctx, 1L, list);
	printf("%s: %s, key %u\n", what, answer(r), cb.aio_key);
	if (r == 1)
		results("result", 1, 4);
	return r;
}
#define CB(op, f, buf, n, off, ...) \
	(struct iocb){ .aio_data = 5, .aio_lio_opcode = IOCB_CMD_##op, .aio_fildes = (unsigned)(f), .aio_buf = (uintptr_t)(buf), .aio_nbytes = (n), .aio_offset = (off), __VA_ARGS__ }

static void contexts(void)
{
	aio_context_t c = 0, *bad = (void *)none;
	puts("-- contexts");
	C(SYS_io_setup, 0, &c);
	C(SYS_io_setup, -1, &c);
	C(SYS_io_setup, 10, bad);
	C(SYS_io_setup, 10, NULL);
	C(SYS_io_setup, 10, kern);
	C(SYS_io_setup, 10, ro);
	c = 1;
	C(SYS_io_setup, 10, &c);
	c = 0;
	C(SYS_io_setup, 1 << 26, &c);
	C(SYS_io_setup, 10, &c);
	struct ring *r = (struct ring *)c;
	printf("  ring: %d, head %u tail %u, header %u, nr at least 22: %d\n", r->magic == 0xa10a10a1, r->head, r->tail, r->header, r->nr >= 22);
	C(SYS_io_destroy, c);
	C(SYS_io_destroy, c);
	C(SYS_io_destroy, 0);
	C(SYS_io_destroy, -1L);
	C(SYS_io_destroy, none);
	C(SYS_io_getevents, c, 0, 1, NULL, NULL);
	C(SYS_io_submit, c, 1, NULL);
	C(SYS_io_submit, 0, 0, NULL);
	C(SYS_io_cancel, c, NULL, NULL);
	C(SYS_io_cancel, c, good, NULL);
}

static void requests(void)
{
	struct iovec v[2] = { { good, 5 }, { good + 10, 7 } }, bad[2] = { { good, 5 }, { none, 7 } }, kernel[1] = { { kern, 5 } };
	puts("-- reading and writing");
	submit("pwrite", CB(PWRITE, fd, text, 100, 0));
	submit("pread", CB(PREAD, fd, good, 40, 10));
	sum("read", good, 40);
	submit("at the end", CB(PREAD, fd, good, 40, 80));
	submit("beyond", CB(PREAD, fd, good, 40, 800));
	submit("preadv", CB(PREADV, fd, v, 2, 3));
	submit("pwritev", CB(PWRITEV, fd, v, 2, 100));
	submit("nothing", CB(PREAD, fd, good, 0, 0));
	submit("fsync", CB(FSYNC, fd, 0, 0, 0));
	submit("fdsync", CB(FDSYNC, fd, 0, 0, 0));
	submit("append", CB(PWRITE, fd, text, 4, 0, .aio_rw_flags = RWF_APPEND));
	puts("-- refused");
	submit("no file", CB(PREAD, -1, good, 4, 0));
	submit("no operation", CB(NOOP, fd, good, 4, 0));
	submit("unknown", (struct iocb){ .aio_lio_opcode = 99, .aio_fildes = (unsigned)fd });
	submit("reserved", CB(PREAD, fd, good, 4, 0, .aio_reserved2 = 1));
	submit("negative", CB(PREAD, fd, good, 4, -1));
	submit("huge", CB(PREAD, fd, good, -1ul, 0));
	submit("flags", CB(PREAD, fd, good, 4, 0, .aio_rw_flags = 0x800));
	submit("kernel", CB(PREAD, fd, kern, 4, 0));
	submit("vector of the kernel's", CB(PREADV, fd, kernel, 1, 0));
	submit("vector nowhere", CB(PREADV, fd, hole, 1, 0));
	submit("too many", CB(PREADV, fd, v, 1025, 0));
	submit("fsync with a buffer", CB(FSYNC, fd, good, 0, 0));
	int dir = open(".", O_RDONLY), rdonly = open("file", O_RDONLY), wronly = open("file", O_WRONLY), path = open("file", O_PATH);
	submit("directory", CB(PREAD, dir, good, 4, 0));
	submit("write, read only", CB(PWRITE, rdonly, good, 4, 0));
	submit("read, write only", CB(PREAD, wronly, good, 4, 0));
	submit("a path", CB(PREAD, path, good, 4, 0));
	puts("-- bad memory");
	submit("hole", CB(PREAD, fd, hole, 4, 0));
	submit("none", CB(PREAD, fd, none, 4, 0));
	submit("read only", CB(PREAD, fd, ro, 4, 0));
	submit("edge", CB(PREAD, fd, edge(4), 9, 0));
	submit("from a hole", CB(PWRITE, fd, hole, 4, 0));
	submit("from the edge", CB(PWRITE, fd, edge(4), 9, 0));
	submit("half a vector", CB(PREADV, fd, bad, 2, 0));
	submit("half a vector out", CB(PWRITEV, fd, bad, 2, 0));
	close(dir), close(rdonly), close(wronly), close(path);
}

static void others(void)
{
	int p[2], sv[2], ev = eventfd(0, EFD_NONBLOCK);
	uint64_t n = 0;
	(void)!pipe(p);
	socketpair(AF_UNIX, SOCK_STREAM, 0, sv);
	puts("-- pipes, sockets, events");
	submit("to a pipe", CB(PWRITE, p[1], text, 9, 0));
	submit("from a pipe", CB(PREAD, p[0], good, 20, 0));
	submit("fsync of a pipe", CB(FSYNC, p[0], 0, 0, 0));
	submit("to a socket", CB(PWRITE, sv[0], text, 9, 0));
	submit("from a socket", CB(PREAD, sv[1], good, 20, 0));
	submit("with an event", CB(PREAD, fd, good, 20, 0, .aio_flags = IOCB_FLAG_RESFD, .aio_resfd = (unsigned)ev));
	submit("with an event", CB(PREAD, fd, hole, 20, 0, .aio_flags = IOCB_FLAG_RESFD, .aio_resfd = (unsigned)ev));
	submit("with a wrong one", CB(PREAD, fd, good, 20, 0, .aio_flags = IOCB_FLAG_RESFD, .aio_resfd = (unsigned)p[0]));
	submit("with none", CB(PREAD, fd, good, 20, 0, .aio_flags = IOCB_FLAG_RESFD, .aio_resfd = -1u));
	C(SYS_read, ev, &n, 8);
	printf("  %llu\n", (unsigned long long)n);
	submit("zeros", CB(PREAD, open("/dev/zero", O_RDONLY), good, 20, 0));
	close(p[0]), close(p[1]), close(sv[0]), close(sv[1]), close(ev);
}

static void lists(void)
{
	struct iocb a = CB(PREAD, fd, good, 4, 0), b = CB(PREAD, fd, good, 5, 0), wrong = CB(PREAD, -1, good, 5, 0);
	struct iocb *list[4] = { &a, &b, &wrong, &a }, **at = (struct iocb **)edge(2 * sizeof *at), *holes[2] = { &a, (void *)hole };
	struct io_event ev[4];
	struct timespec bad = { 0, 5000000 };
	a.aio_data = 1, b.aio_data = 2;
	puts("-- lists");
	C(SYS_io_submit, ctx, 0, list);
	C(SYS_io_submit, ctx, -1L, list);
	C(SYS_io_submit, ctx, 1, hole);
	C(SYS_io_submit, ctx, 1, NULL);
	C(SYS_io_submit, ctx, 4, list);
	C(SYS_io_submit, ctx, 2, list + 2);
	C(SYS_io_submit, ctx, 2, holes);
	at[0] = &a, at[1] = &b;
	C(SYS_io_submit, ctx, 3, at);
	results("five", 0, 16);
	puts("-- results");
	C(SYS_io_submit, ctx, 2, list);
	C(SYS_io_getevents, ctx, 1, 2, hole, NULL);
	C(SYS_io_getevents, ctx, 3, 2, ev, NULL);
	C(SYS_io_getevents, ctx, -1L, 2, ev, NULL);
	C(SYS_io_getevents, ctx, 1, 2, ev, hole);
	C(SYS_io_getevents, ctx, 1, -1L, ev, NULL);
	C(SYS_io_getevents, ctx, 0, 0, ev, NULL);
	C(SYS_io_getevents, ctx, 1, 1, ev, NULL);
	printf("  %lld\n", (long long)ev[0].data);
	C(SYS_io_getevents, ctx, 1, 2, edge(sizeof ev[0]), NULL);
	C(SYS_io_getevents, ctx, 0, 4, ev, NULL);
	C(SYS_io_getevents, ctx, 1, 4, ev, &bad);
	C(SYS_io_cancel, ctx, &a, ev);
	C(SYS_io_cancel, ctx, hole, ev);
	struct { const void *set; size_t n; } sig = { hole, 8 };
	C(SYS_io_pgetevents, ctx, 0, 4, ev, &bad, &sig);
	sig.set = good, sig.n = 4;
	C(SYS_io_pgetevents, ctx, 0, 4, ev, &bad, &sig);
	C(SYS_io_pgetevents, ctx, 0, 4, ev, &bad, hole);
	C(SYS_io_pgetevents, ctx, 0, 4, ev, &bad, NULL);
}

/* Results taken from the ring without a call, until it has gone round some times; then left in it until it is full. */
static void the_ring(void)
{
	volatile struct ring *r = (volatile struct ring *)ctx;
	struct iocb a = CB(PREAD, fd, good, 4, 0), *list[1] = { &a };
	long bad = 0, full = 0;
	puts("-- the ring");
	for (unsigned i = 0; i < 3 * r->nr; i++) {
		if (syscall(SYS_io_submit, ctx, 1L, list) != 1 || (r->head + 1) % r->nr != r->tail)
			bad++;
		const struct io_event *ev = (const struct io_event *)((const char *)ctx + r->header) + r->head;
		if (ev->res != 4 || ev->obj != (uintptr_t)&a || ev->data != 5)
			bad++;
		r->head = (r->head + 1) % r->nr;
	}
	printf("  %ld bad\n", bad);
	while (syscall(SYS_io_submit, ctx, 1L, list) == 1)
		full++;
	printf("  full: %s, for as many as asked for: %d\n", answer(-1), full >= 40);
	struct io_event ev[64];
	long got = 0, n;
	while ((n = syscall(SYS_io_getevents, ctx, 0L, 64L, ev, NULL)) > 0)
		got += n;
	printf("  got all: %d\n", got == full);
}

static void *late(void *arg)
{
	struct iocb a = CB(PREAD, fd, good, 4, 0), *list[1] = { &a };
	usleep(50000);
	if (arg)
		syscall(SYS_io_destroy, ctx);
	else
		syscall(SYS_io_submit, ctx, 1L, list);
	return NULL;
}

static void on_signal(int s) { (void)s; }

static void waits(void)
{
	struct io_event ev[4];
	pthread_t th;
	puts("-- waiting");
	pthread_create(&th, NULL, late, NULL);
	C(SYS_io_getevents, ctx, 1, 4, ev, NULL);
	pthread_join(th, NULL);
	struct sigaction sa = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
	sigaction(SIGALRM, &sa, NULL);
	ualarm(50000, 0);
	C(SYS_io_getevents, ctx, 1, 4, ev, NULL);
	fflush(stdout);
	pid_t pid = fork();
	if (!pid) {
		C(SYS_io_getevents, ctx, 0, 4, ev, NULL);
		aio_context_t own = 0;
		C(SYS_io_setup, 4, &own);
		C(SYS_io_destroy, own);
		fflush(stdout);
		_exit(0);
	}
	waitpid(pid, NULL, 0);
	pthread_create(&th, NULL, late, &ctx);
	C(SYS_io_getevents, ctx, 1, 4, ev, NULL);
	pthread_join(th, NULL);
}

/* More than may be pinned, by several threads: blocks must stay blocks where they are copied. */
#define QUARTER (1ul << 20)
static char *blocks;
static int direct_fd;
static long wrong;

static void *read_direct(void *arg)
{
	size_t at = (size_t)arg * QUARTER;
	for (int i = 0; i < 8; i++)
		if (pread(direct_fd, blocks + at, QUARTER, (off_t)at) != QUARTER)
			__atomic_fetch_add(&wrong, 1, __ATOMIC_RELAXED);
	return NULL;
}

static void direct(void)
{
	pthread_t th[4];
	struct iocb cb[4], *list[4];
	struct io_event ev[4];
	blocks = mmap(NULL, 4 * QUARTER, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	puts("-- direct");
	fill(blocks, 4 * QUARTER, 5);
	direct_fd = open("direct", O_RDWR | O_CREAT | O_DIRECT, 0600);
	if (direct_fd < 0)
		return;
	C(SYS_pwrite64, direct_fd, blocks, 4 * QUARTER, 0L);
	for (size_t i = 0; i < 4; i++)
		pthread_create(&th[i], NULL, read_direct, (void *)i);
	for (size_t i = 0; i < 4; i++)
		pthread_join(th[i], NULL);
	for (size_t i = 0; i < 4; i++) {
		cb[i] = CB(PREAD, direct_fd, blocks + i * QUARTER, QUARTER, (long)(i * QUARTER));
		list[i] = &cb[i];
	}
	C(SYS_io_submit, ctx, 4, list);
	C(SYS_io_getevents, ctx, 4, 4, ev, NULL);
	for (int i = 0; i < 4; i++)
		wrong += ev[i].res != QUARTER;
	printf("  %ld wrong\n", wrong);
	sum("read", blocks, 4 * QUARTER);
	unlink("direct");
}

int main(void)
{
	transcript_begin();
	fill(text, sizeof text, 9);
	fd = open("file", O_RDWR | O_CREAT, 0600);
	contexts();
	C(SYS_io_setup, 40, &ctx);
	requests();
	others();
	lists();
	the_ring();
	direct();
	waits();
	unlink("file");
	return 0;
}
