/* SPDX-License-Identifier: MIT */
/* sweep.h - every pointer of a system call, bad in every way
 *
 * A case is a call with good arguments.  Its pointers form a tree: arguments, and pointers inside of what these point at.  One after
 * the other is put in each of the places below while the rest stays good, and the world is made anew for each call:
 *
 *	CALL(read, N(fd), OUT(buf, 5), N(5));
 *	CALL(sendmsg, N(s), IN(&mh, sizeof mh, SUB(16, IN_(iov, 16, SUB(0, IN_("hello", 5))))), N(0));
 *
 * A line of the transcript is one pointer: what each place gave, whether its memory was written (w, with a sum unless the contents vary), which
 * other outputs were written (digits), and what became different in the world (queues, offsets, descriptors, children, masks, …). */
#ifndef SWEEP_H
#define SWEEP_H

#include "transcript.h"

#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <sys/xattr.h>

enum { P_IN = 1, P_OUT = 2, P_IO = 3 };
enum {
	P_VARIES = 1,   /* contents differ from run to run: only whether it was written */
	P_NOT_NULL = 2, /* with NULL the call would wait for ever */
};
struct ptr {
	int dir, flags;
	size_t size;
	const void *init;
	const struct sub *sub;
};
struct sub { size_t off; struct ptr p; };
struct arg { long v; const struct ptr *p; };

#define N(x)           { (long)(x), NULL }
#define IN_(x, n, ...)  { P_IN, 0, (n), (x), (const struct sub[]){ __VA_ARGS__ { 0, { 0, 0, 0, NULL, NULL } } } }
#define IO_(x, n, ...)  { P_IO, 0, (n), (x), (const struct sub[]){ __VA_ARGS__ { 0, { 0, 0, 0, NULL, NULL } } } }
#define OUT_(n)        { P_OUT, 0, (n), NULL, NULL }
#define OUTV_(n)       { P_OUT, P_VARIES, (n), NULL, NULL }
#define STR_(s)        { P_IN, 0, strlen(s) + 1, (s), NULL }
#define SUB(at, ...)   { (at), __VA_ARGS__ },
#define IN(...)        { 0, &(const struct ptr)IN_(__VA_ARGS__) }
#define IO(...)        { 0, &(const struct ptr)IO_(__VA_ARGS__) }
#define IOV(x, n)      { 0, &(const struct ptr){ P_IO, P_VARIES, (n), (x), NULL } }
#define INX(x, n)      { 0, &(const struct ptr){ P_IN, P_NOT_NULL, (n), (x), NULL } }
#define OUT(n)         { 0, &(const struct ptr)OUT_(n) }
#define OUTV(n)        { 0, &(const struct ptr)OUTV_(n) }
#define STR(s)         { 0, &(const struct ptr)STR_(s) }

enum result { EXACT, ANY, NEW_FD, CHILD, EXEC };
#define ROW(text, nr, how, ...) sweep(text, nr, how, (const struct arg[6]){ __VA_ARGS__ })
#define CALL(name, ...)    ROW(#name, SYS_##name, EXACT, __VA_ARGS__)
#define CALL_ANY(name, ...) ROW(#name, SYS_##name, ANY, __VA_ARGS__)
#define CALL_FD(name, ...) ROW(#name, SYS_##name, NEW_FD, __VA_ARGS__)
#define NAMED(text, name, ...) ROW(text, SYS_##name, EXACT, __VA_ARGS__)

/* The program's part: make the world, and say what state it is in. */
enum { LOOKS = 24 };
static void world_reset(void);
static unsigned world_look(int look[LOOKS]);
static const char *const world_names[LOOKS];

/* ---------------------------------------------------------------- places */

#define STAGE (16 * PG)
static char *arena, *below_hole, *above_hole, *readable, *writable_then_ro, *no_access, *past_eof, *copy_file, *shared;
static int stage_fd;
static size_t arena_used;

static char *region(size_t n, int prot, int flags, int fd)
{
	char *m = mmap(NULL, n, prot, flags, fd, 0);
	if (m == MAP_FAILED)
		abort();
	return m;
}

static void places_begin(void)
{
	arena = region(64 * PG, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	/* where nobody maps anything beside them */
	below_hole = mmap((char *)0x2000000000, STAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	above_hole = mmap((char *)0x2100000000, STAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	readable = region(STAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	writable_then_ro = region(2 * STAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	no_access = region(STAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	stage_fd = open("stage", O_RDWR | O_CREAT | O_TRUNC, 0600);
	if (ftruncate(stage_fd, STAGE))
		abort();
	copy_file = region(STAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, stage_fd);
	shared = region(STAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1);
	int f = open("short", O_RDWR | O_CREAT | O_TRUNC, 0600);
	past_eof = region(STAGE, PROT_READ | PROT_WRITE, MAP_SHARED, f);
	close(f);
	unlink("stage");
	unlink("short");
}

enum place {
	AT_NULL, AT_HOLE, AT_NONE, AT_EOF, AT_RO, AT_KERN, AT_LAST, AT_OURS, AT_TEXT, AT_TOP, AT_EDGE, AT_CROSS, AT_HALF, AT_FIRST, AT_TO_RO,
	AT_FRESH, AT_FILE, AT_SHARED, PLACES
};
static const char *const place_names[PLACES] = {
	"null", "hole", "none", "eof", "ro", "kern", "last", "ours", "text", "top", "edge", "cross", "half", "first", "toro", "fresh", "file", "shared",
};

/* Where a pointer of that size is then, and how many bytes from there are good (readable). */
static char *place(enum place at, size_t n, size_t *room)
{
	*room = 0;
	switch (at) {
	case AT_NULL: return NULL;
	case AT_HOLE: return hole;
	case AT_NONE: return no_access;
	case AT_EOF:  return past_eof;
	case AT_KERN: return kern;
	case AT_LAST: return (char *)0x7fffffffffffull;
	case AT_OURS: return (char *)0x700000000000ull;
	case AT_TEXT: return (char *)0x780000000000ull;
	case AT_TOP:  return (char *)-8L;
	case AT_FIRST: return above_hole - 1;
	case AT_CROSS: *room = n - 1; return below_hole + STAGE - (n - 1);
	case AT_HALF: *room = n / 2; return below_hole + STAGE - n / 2;
	default: break;
	}
	*room = n;
	switch (at) {
	case AT_RO:     return readable;
	case AT_TO_RO:  return writable_then_ro + STAGE - n / 2;
	case AT_FILE:   return mmap(copy_file, STAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, stage_fd, 0);
	case AT_SHARED: return shared;
	case AT_FRESH:  return mmap(arena + 64 * PG - STAGE, STAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	default:        return below_hole + STAGE - n; /* AT_EDGE */
	}
}

/* ---------------------------------------------------------------- a call with one pointer moved */

struct node { const struct ptr *p; char *at; size_t good; uint64_t before; };
static struct node nodes[32];
static int nr_nodes;

static bool in_pointer(const struct ptr *p, size_t at)
{
	for (const struct sub *s = p->sub; s && s->p.size; s++)
		if (at - s->off < sizeof(void *))
			return true;
	return false;
}

/* Of what is there, but for the pointers, which differ from run to run. */
static uint64_t hash(const struct node *n)
{
	uint64_t h = 1469598103934665603ull;
	for (size_t i = 0; i < n->good; i++)
		h = (h ^ (in_pointer(n->p, i) ? 0 : (unsigned char)n->at[i])) * 1099511628211ull;
	return h;
}

static void store(char *to, const struct ptr *p, size_t room, const char *content)
{
	if (p->dir == P_OUT)
		return; /* what was there before, or nothing */
	memcpy(to, content, room);
}

static void open_pages(int prot)
{
	mprotect(readable, STAGE, prot);
	mprotect(writable_then_ro + STAGE, STAGE, prot);
}

/* Put the pointer and what hangs off it somewhere; the target where it is wanted. */
static char *put(const struct ptr *p, int target, enum place at)
{
	int me = nr_nodes++;
	struct node *n = &nodes[me];
	char content[STAGE];
	n->p = p;
	if (p->init)
		memcpy(content, p->init, p->size);
	for (const struct sub *s = p->sub; s && s->p.size; s++) {
		char *inner = put(&s->p, target, at);
		memcpy(content + s->off, &inner, sizeof inner);
	}
	if (me == target) {
		n->at = place(at, p->size, &n->good);
		if (n->good && p->dir == P_OUT && at != AT_FRESH)
			memset(n->at, 0x5a, n->good);
	} else {
		n->at = arena + arena_used;
		n->good = p->size;
		arena_used += (p->size + 63) & ~63ul;
		if (p->dir == P_OUT)
			memset(n->at, 0x5a, p->size);
	}
	if (n->good)
		store(n->at, p, n->good, content);
	n->before = p->dir & P_OUT ? 1 : 0;
	return n->at;
}

static void sums_before(void)
{
	for (int i = 0; i < nr_nodes; i++)
		if (nodes[i].before)
			nodes[i].before = hash(&nodes[i]);
}

static void print_sums(int target)
{
	for (int i = 0; i < nr_nodes; i++) {
		struct node *n = &nodes[i];
		if (!(n->p->dir & P_OUT) || !n->good)
			continue;
		uint64_t now = hash(n);
		if (now == n->before)
			continue;
		if (i != target)
			printf(" %d", i);
		else if (n->p->flags & P_VARIES)
			printf(" w");
		else
			printf(" w%04x", (unsigned)(now & 0xffff));
	}
}

static long run_call(long nr, enum result how, const long v[6])
{
	if (how == EXEC) {
		pid_t pid = fork();
		if (!pid) {
			syscall(nr, v[0], v[1], v[2], v[3], v[4], v[5]);
			_exit(errno);
		}
		int status = -1;
		waitpid(pid, &status, 0);
		errno = WEXITSTATUS(status);
		return errno ? -1 : status;
	}
	errno = 0;
	long r = syscall(nr, v[0], v[1], v[2], v[3], v[4], v[5]);
	if (how == CHILD && !r)
		syscall(SYS_exit_group, 0);
	if (how == CHILD && r > 0) {
		int status = -1, e = errno;
		waitpid((pid_t)r, &status, __WALL);
		errno = e;
		return status;
	}
	return r;
}

static void print_looks(const int a[LOOKS], const int b[LOOKS], unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (a[i] != b[i])
			printf(" %s%+d", world_names[i], b[i] - a[i]);
}

static long sweep_cases;

static void one(long nr, enum result how, const struct arg *args, int target, enum place at)
{
	int a[LOOKS] = { 0 }, b[LOOKS] = { 0 };
	long v[6];
	world_reset();
	open_pages(PROT_READ | PROT_WRITE);
	nr_nodes = 0;
	arena_used = 0;
	for (int i = 0; i < 6; i++)
		v[i] = args[i].p ? (long)put(args[i].p, target, at) : args[i].v;
	open_pages(PROT_READ);
	if (at == AT_NULL && nodes[target].p->flags & P_NOT_NULL)
		return;
	if (at != AT_FRESH) /* which is not to be touched */
		sums_before();
	unsigned n = world_look(a);
	long r = run_call(nr, how, v);
	int e = errno;
	sweep_cases++;
	world_look(b);
	if (how == NEW_FD && r >= 0)
		close((int)r);
	printf(" %s", place_names[at]);
	errno = e;
	printf("=%s", r == -1 || how == EXACT ? answer(r) + (r == -1 ? 3 : 0) : "ok");
	if (at != AT_FRESH)
		print_sums(target);
	print_looks(a, b, n);
}

static int count(const struct ptr *p)
{
	int n = 1;
	for (const struct sub *s = p->sub; s && s->p.size; s++)
		n += count(&s->p);
	return n;
}

static void sweep(const char *text, long nr, enum result how, const struct arg *args)
{
	int n = 0;
	for (int i = 0; i < 6; i++)
		n += args[i].p ? count(args[i].p) : 0;
	for (int k = 0; k < n; k++) {
		printf("%s %d:", text, k);
		for (enum place at = 0; at < PLACES; at++)
			one(nr, how, args, k, at);
		puts("");
		fflush(stdout);
	}
}

#endif
