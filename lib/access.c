/* SPDX-License-Identifier: MIT */
/* access.c - touching any address of the process without dying of it
 *
 * Nothing is asked before a touch: the instruction runs, and when it faults for good, its entry in an __ex_table says where to go
 * on.  So the good path costs what memcpy costs, and only a bad address costs a signal.
 *
 *     bytes        how                                     a fault there
 *     0 … 128      all of it loaded, then all stored       the address says how many bytes are good; these are copied
 *     129 … 895    128 at a time, then as above            the same
 *     896 …        rep movsb                               rcx says what is left
 *
 * Each instruction in the table is of type SF_EX_FIXUP where only the place matters, and of type SF_EX_ERRNO where the reason does: the
 * handler then leaves the errno in rax and the address in rdx.
 *
 * Tables.  Every program or shared object that uses the inlined accesses has a table of its own, and a constructor and destructor in
 * softfault.h that attach and detach it.  Walking the loader's list at fault time instead would take the loader's lock in a signal handler,
 * and would find segments, not sections.  dlclose runs destructors before it unmaps, so a table is never searched
 * after it is gone: detaching waits for searches under way (mm/extable.c).  This object's own table is the main one there. */
#define SF_BUILDING
#define SF_OWN_OBJECT_
#include "include/softfault.h" /* before lib.h: with the inlined accesses, and this object's own table */
#include "lib/lib.h"

#include <emmintrin.h>

/* ---------------------------------------------------------------- objects and their tables */

static uint32_t objects_lock; /* of uses; never taken in the fault handler */
static uint32_t ready;        /* the handlers are installed */

static void objects_take(void)
{
	while (__atomic_exchange_n(&objects_lock, 1, __ATOMIC_ACQUIRE))
		__builtin_ia32_pause();
}

static void objects_drop(void)
{
	__atomic_store_n(&objects_lock, 0, __ATOMIC_RELEASE);
}

_Static_assert(sizeof(struct ex_module) <= sizeof(((struct sf_object *)0)->reserved), "a module fits the reserved words");
_Static_assert(sizeof(struct exception_entry) == sizeof(struct sf_ex_entry), "one layout");
_Static_assert(SF_EX_FIXUP == EX_FIXUP && SF_EX_RAX == EX_EFAULT_RAX, "one numbering");

static struct ex_module *module_of(struct sf_object *obj)
{
	return (struct ex_module *)obj->reserved;
}

static bool object_good(const struct sf_object *obj)
{
	uintptr_t bytes = obj ? (uintptr_t)obj->stop - (uintptr_t)obj->start : 0;

	if (!obj || !obj->start || obj->stop < obj->start || (uintptr_t)obj->start % 4 || bytes % sizeof(struct sf_ex_entry))
		return false;
	for (const struct sf_ex_entry *e = obj->start; e < obj->stop; e++)
		if (e->type < SF_EX_FIXUP || e->type > SF_EX_ERRNO)
			return false;
	return true;
}

static void object_add(struct sf_object *obj)
{
	struct ex_module *m = module_of(obj);

	m->start = (struct exception_entry *)obj->start;
	m->stop = (struct exception_entry *)obj->stop;
	if (obj->start != __start___ex_table)
		extable_register(m);
}

/* Before anybody can search it.  Linked into a program, it is the program's table too. */
static __attribute__((constructor(101))) void sort_own(void)
{
	extable_sort((struct exception_entry *)__start___ex_table, (struct exception_entry *)__stop___ex_table);
}

/* First use, or the first object.  May run twice at the same time, to no harm.  A signal handler that came in between would wait for itself. */
static void start(void)
{
	uint64_t all = UINT64_MAX, was;

	host_syscall_raw(__NR_rt_sigprocmask, 2 /* SIG_SETMASK */, HC_A(&all), HC_A(&was), 8, 0, 0);
	if (!handlers_install())
		__atomic_store_n(&ready, 1, __ATOMIC_RELEASE);
	host_syscall_raw(__NR_rt_sigprocmask, 2, HC_A(&was), 0, 8, 0, 0);
}

#define START() do { if (unlikely(!__atomic_load_n(&ready, __ATOMIC_RELAXED))) start(); } while (0)

int sf_object_attach(struct sf_object *obj)
{
	if (!object_good(obj))
		return -EINVAL;
	START();
	objects_take();
	if (!obj->uses++)
		object_add(obj);
	objects_drop();
	return 0;
}

int sf_object_detach(struct sf_object *obj)
{
	int err = 0;

	if (!obj)
		return -EINVAL;
	objects_take();
	if (!obj->uses)
		err = -EINVAL;
	else if (!--obj->uses && obj->start != __start___ex_table)
		extable_unregister(module_of(obj));
	objects_drop();
	return err;
}

bool access_lookup(vaddr_t ip, vaddr_t *ret_fixup, int *ret_type)
{
	enum ex_type type;
	vaddr_t fixup = search_exception_table(ip, &type);

	if (!fixup)
		return false;
	*ret_fixup = fixup;
	*ret_type = (int)type;
	return true;
}

/* ---------------------------------------------------------------- what went wrong */

#define USER_TOP 0x800000000000ull

#define REP_FROM 896u /* from here on the string instruction has made good its slow start */

static bool inside(uint64_t at, const void *p, size_t n)
{
	return at - (uint64_t)p < n;
}

/* A non-canonical address is not told by the processor: it is then the first byte of whichever side is no address. */
static void *not_canonical(const void *dst, const void *src)
{
	uint64_t s = (uint64_t)src;

	return (void *)(s >= USER_TOP && s < -USER_TOP ? src : dst);
}

/* dst and src: where the copy stopped, with n bytes left. */
static size_t say_copy(struct sf_fault *fault, int64_t err, uint64_t at, const void *dst, const void *src, size_t n)
{
	if (!fault)
		return n;
	fault->addr = inside(at, src, n) || inside(at, dst, n) ? (void *)at : not_canonical(dst, src);
	fault->error = (int32_t)err;
	fault->write = inside((uint64_t)fault->addr, dst, n);
	return n;
}

/* ---------------------------------------------------------------- copies */

#define TO(label_insn, label_fixup, type)                                                                       \
	".pushsection __ex_table,\"aw?\"\n\t.balign 4\n\t"                                                      \
	".long (" label_insn ") - .\n\t.long (" label_fixup ") - .\n\t.long " type "\n\t.popsection\n\t"

/* Byte-exact; bytes left. */
static size_t copy_exact(void *dst, const void *src, size_t n, struct sf_fault *fault)
{
	int64_t err = 0;
	uint64_t at = 0;

	__asm__ volatile("1:\trep movsb\n"
			 "2:\n\t" TO("1b", "2b", "2")
			 : "+c"(n), "+D"(dst), "+S"(src), "+a"(err), "+d"(at) :: "memory");
	return unlikely(n) ? say_copy(fault, err, at, dst, src, n) : 0;
}

/* What a faulting instruction leaves behind. */
struct stop { int64_t err; uint64_t at; };

#define LOAD16(st, v, p)                                                              \
	__asm__ goto("1:\tmovdqu %3, %0\n\t" TO("1b", "%l[bad]", "2")                 \
		     : "=x"(v), "=a"((st)->err), "=d"((st)->at) : "m"(*(const char (*)[16])(p)) :: bad)
#define STORE16(st, p, v)                                                             \
	__asm__ goto("1:\tmovdqu %3, %0\n\t" TO("1b", "%l[bad]", "2")                 \
		     : "=m"(*(char (*)[16])(p)), "=a"((st)->err), "=d"((st)->at) : "x"(v) : "memory" : bad)
#define LOADW(st, insn, mod, v, p, size)                                              \
	__asm__ goto("1:\t" insn " %3, %" mod "0\n\t" TO("1b", "%l[bad]", "2")        \
		     : "=r"(v), "=a"((st)->err), "=d"((st)->at) : "m"(*(const char (*)[size])(p)) :: bad)
#define STOREW(st, insn, mod, p, v, size)                                             \
	__asm__ goto("1:\t" insn " %" mod "3, %0\n\t" TO("1b", "%l[bad]", "2")        \
		     : "=m"(*(char (*)[size])(p)), "=a"((st)->err), "=d"((st)->at) : "r"(v) : "memory" : bad)

/* Two overlapping words cover each of these lengths. */
#define PAIR(type, load, lmod, store, smod, size)                         \
	do {                                                              \
		type a_, b_;                                              \
		LOADW(st, load, lmod, a_, s, size);                       \
		LOADW(st, load, lmod, b_, s + n - size, size);            \
		STOREW(st, store, smod, d, a_, size);                     \
		STOREW(st, store, smod, d + n - size, b_, size);          \
		return true;                                              \
	} while (0)

static inline __attribute__((always_inline)) bool copy_words(char *d, const char *s, size_t n, struct stop *st)
{
	if (n >= 8)
		PAIR(uint64_t, "movq", "q", "movq", "q", 8);
	if (n >= 4)
		PAIR(uint32_t, "movl", "k", "movl", "k", 4);
	if (n >= 2)
		PAIR(uint32_t, "movzwl", "k", "movw", "w", 2);
	if (n)
		PAIR(uint32_t, "movzbl", "k", "movb", "b", 1);
	return true;
bad:
	return false;
}

static inline __attribute__((always_inline)) bool copy_32(char *d, const char *s, size_t n, struct stop *st)
{
	__m128i a, b;

	LOAD16(st, a, s);
	LOAD16(st, b, s + n - 16);
	STORE16(st, d, a);
	STORE16(st, d + n - 16, b);
	return true;
bad:
	return false;
}

static inline __attribute__((always_inline)) bool copy_64(char *d, const char *s, size_t n, struct stop *st)
{
	__m128i a, b, c, e;

	LOAD16(st, a, s);
	LOAD16(st, b, s + 16);
	LOAD16(st, c, s + n - 32);
	LOAD16(st, e, s + n - 16);
	STORE16(st, d, a);
	STORE16(st, d + 16, b);
	STORE16(st, d + n - 32, c);
	STORE16(st, d + n - 16, e);
	return true;
bad:
	return false;
}

static inline __attribute__((always_inline)) bool copy_128(char *d, const char *s, size_t n, struct stop *st)
{
	__m128i a, b, c, e, f, g, h, i;

	LOAD16(st, a, s);
	LOAD16(st, b, s + 16);
	LOAD16(st, c, s + 32);
	LOAD16(st, e, s + 48);
	LOAD16(st, f, s + n - 64);
	LOAD16(st, g, s + n - 48);
	LOAD16(st, h, s + n - 32);
	LOAD16(st, i, s + n - 16);
	STORE16(st, d, a);
	STORE16(st, d + 16, b);
	STORE16(st, d + 32, c);
	STORE16(st, d + 48, e);
	STORE16(st, d + n - 64, f);
	STORE16(st, d + n - 48, g);
	STORE16(st, d + n - 32, h);
	STORE16(st, d + n - 16, i);
	return true;
bad:
	return false;
}

/* Bytes below the faulting one are good: these words go upwards without a gap.  So no second signal. */
static __attribute__((noinline, cold)) size_t copy_stopped(char *d, const char *s, size_t n, struct stop st, struct sf_fault *fault)
{
	size_t good = inside(st.at, s, n) ? st.at - (uint64_t)s : inside(st.at, d, n) ? st.at - (uint64_t)d : 0;
	size_t left = copy_exact(d, s, good, fault);

	if (left)
		return n - good + left; /* another thread has unmapped more of it */
	return say_copy(fault, st.err, st.at, d + good, s + good, n - good);
}

static inline size_t copy(char *d, const char *s, size_t n, struct sf_fault *fault)
{
	struct stop st = { 0, 0 };
	bool good = true;

	START();
	if (n >= REP_FROM)
		return copy_exact(d, s, n, fault);
	while (n > 128 && (good = copy_128(d, s, 128, &st))) {
		d += 128;
		s += 128;
		n -= 128;
	}
	if (likely(good))
		good = n <= 16 ? copy_words(d, s, n, &st) : n <= 32 ? copy_32(d, s, n, &st) : n <= 64 ? copy_64(d, s, n, &st) : copy_128(d, s, n, &st);
	return likely(good) ? 0 : copy_stopped(d, s, n, st, fault);
}

size_t sf_copy_from(void *dst, const void *src, size_t n, struct sf_fault *fault)
{
	return copy(dst, src, n, fault);
}

size_t sf_copy_to(void *dst, const void *src, size_t n, struct sf_fault *fault)
{
	return copy(dst, src, n, fault);
}

size_t sf_clear(void *dst, size_t n, struct sf_fault *fault)
{
	uint64_t at = 0;
	int64_t zero_or_err = 0;

	START();
	__asm__ volatile("1:\trep stosb\n"
			 "2:\n\t" TO("1b", "2b", "2")
			 : "+c"(n), "+D"(dst), "+a"(zero_or_err), "+d"(at) :: "memory");
	if (unlikely(n) && fault) {
		fault->addr = inside(at, dst, n) ? (void *)at : dst;
		fault->error = (int32_t)zero_or_err;
		fault->write = 1;
	}
	return n;
}

/* ---------------------------------------------------------------- words, strings, comparison */

static int load(const char *p, unsigned size, uint64_t *ret, struct sf_fault *fault)
{
	return sf_get_sized_(p, size, ret, fault);
}

static bool has_zero_byte(uint64_t w)
{
	return (w - 0x0101010101010101ull) & ~w & 0x8080808080808080ull;
}

/* Aligned words never reach into the next page. */
ssize_t sf_strncpy_from(char *dst, const char *src, size_t n, struct sf_fault *fault)
{
	uint64_t v = 0;
	size_t i = 0;

	START();
	while (i < n) {
		bool word = !((uintptr_t)(src + i) & 7) && n - i >= 8;
		int err = load(src + i, word ? 8 : 1, &v, fault);

		if (unlikely(err))
			return err;
		if (word && !has_zero_byte(v)) {
			memcpy(dst + i, &v, 8);
			i += 8;
			continue;
		}
		for (unsigned k = 0; k < (word ? 8 : 1); k++, i++, v >>= 8)
			if (!(dst[i] = (char)v))
				return (ssize_t)i;
	}
	return (ssize_t)n;
}

static int cmp_bytes(const char *a, const char *b, size_t n, int *ret, struct sf_fault *fault)
{
	uint64_t x = 0, y = 0;

	for (size_t i = 0; i < n; i++) {
		int err = load(a + i, 1, &x, fault);

		if (!err)
			err = load(b + i, 1, &y, fault);
		if (err)
			return err;
		if (x != y) {
			*ret = x < y ? -1 : 1;
			return 0;
		}
	}
	*ret = 0;
	return 0;
}

/* Bytes from the start that are equal and were read 16 at a time. */
static size_t cmp_equal(const char *a, const char *b, size_t n)
{
	struct stop st = { 0, 0 };
	size_t i = 0;

	for (; n - i >= 16; i += 16) {
		__m128i x, y;

		LOAD16(&st, x, a + i);
		LOAD16(&st, y, b + i);
		if (_mm_movemask_epi8(_mm_cmpeq_epi8(x, y)) != 0xffff)
			break;
	}
bad:
	return i;
}

/* What decides, a difference or a fault, lies within the next 16 bytes, or there are no more. */
int sf_cmp(const void *a, const void *b, size_t n, int *ret, struct sf_fault *fault)
{
	START();
	if (!ret)
		return -EINVAL;
	size_t i = cmp_equal(a, b, n);

	return cmp_bytes((const char *)a + i, (const char *)b + i, n - i, ret, fault);
}

/* rax is the instruction's own operand, and the errno after a fault; `failed` tells which. */
#define CAS(insn, mod)                                                                \
	__asm__ volatile("1:\tlock " insn " %" mod "4, (%3)\n\t"                      \
			 "movl $0, %k2\n"                                             \
			 "2:\n\t" TO("1b", "2b", "2")                                 \
			 : "+a"(found), "+d"(at), "+r"(failed) : "r"(addr), "r"(desired) : "memory", "cc")

int sf_atomic_cas(void *addr, unsigned size, uint64_t *expected, uint64_t desired, struct sf_fault *fault)
{
	uint64_t found, at = 0, failed = 1, mask = size < 8 ? (1ull << size * 8) - 1 : UINT64_MAX;

	if (!expected || (size != 1 && size != 2 && size != 4 && size != 8) || (uintptr_t)addr % size)
		return -EINVAL;
	START();
	found = *expected & mask;
	switch (size) {
	case 1: CAS("cmpxchgb", "b"); break;
	case 2: CAS("cmpxchgw", "w"); break;
	case 4: CAS("cmpxchgl", "k"); break;
	default: CAS("cmpxchgq", "q");
	}
	if (unlikely(failed)) {
		if (fault)
			sf_say_(fault, (int64_t)found, at, addr, size, 1);
		return (int)found;
	}
	bool same = (found & mask) == (*expected & mask);

	*expected = found & mask;
	return same;
}

/* ---------------------------------------------------------------- probing */

/* A write that changes nothing, and loses no other thread's write. */
static int touch_write(char *p, struct sf_fault *fault)
{
	int64_t err = 0;
	uint64_t at = 0;

	__asm__ volatile("1:\tlock orb $0, (%2)\n"
			 "2:\n\t" TO("1b", "2b", "2")
			 : "+a"(err), "+d"(at) : "r"(p) : "memory", "cc");
	if (unlikely(err) && fault)
		sf_say_(fault, err, at, p, 1, 1);
	return (int)err;
}

int sf_probe(const void *addr, size_t n, int write, struct sf_fault *fault)
{
	uint64_t byte;
	const char *p = addr;

	START();
	while (n) {
		size_t step = SF_PAGE - (uintptr_t)p % SF_PAGE;
		int err = write ? touch_write((char *)p, fault) : load(p, 1, &byte, fault);

		if (unlikely(err))
			return err;
		if (n <= step)
			break;
		p += step;
		n -= step;
	}
	return 0;
}
