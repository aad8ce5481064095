/* SPDX-License-Identifier: MIT */
/* handle.c - names for objects, and what every public call does first and last
 *
 * A handle is a slot number and the slot's generation, so a freed one is never mistaken for a new one:
 *
 *      bits 0-23 slot     24-55 generation     56- 0
 *
 * Slots lie in one sparse table that never moves.  The lock of the table guards slots and the step from name to reference. */
#include "lib/lib.h"

#include <stdlib.h>
#include <sys/mman.h>

#define SLOT_BITS 24
#define NR_SLOTS (1u << SLOT_BITS)

struct slot {
	struct obj *obj;   /* NULL: free */
	uint32_t gen, epoch;
	uint32_t next;     /* of the free list */
	uint32_t kind;     /* what it names, or named last */
};

static struct lk table_lock;
static struct slot *table;
static uint32_t nr_touched = 1, first_free, epoch = 1;

__thread struct lib_thread lib_thread;

/* ---------------------------------------------------------------- locks */

void futex_wait(uint32_t *word, uint32_t val)
{
	host_call4(__NR_futex, word, 128 /* FUTEX_WAIT_PRIVATE */, val, 0);
}

bool futex_wait_for(uint32_t *word, uint32_t val, uint64_t ns)
{
	struct { int64_t s, ns; } ts = { (int64_t)(ns / 1000000000), (int64_t)(ns % 1000000000) };

	return host_call4(__NR_futex, word, 128, val, &ts) != -ETIMEDOUT;
}

void futex_wake(uint32_t *word, int count)
{
	host_call3(__NR_futex, word, 129 /* FUTEX_WAKE_PRIVATE */, count);
}

void lk_take(struct lk *l)
{
	uint32_t none = 0;

	if (__atomic_compare_exchange_n(&l->word, &none, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
		return;
	while (__atomic_exchange_n(&l->word, 2, __ATOMIC_ACQUIRE))
		futex_wait(&l->word, 2);
}

void lk_drop(struct lk *l)
{
	if (__atomic_exchange_n(&l->word, 0, __ATOMIC_RELEASE) == 2)
		futex_wake(&l->word, 1);
}

/* ---------------------------------------------------------------- objects */

void *obj_new(size_t bytes, enum obj_kind kind, void (*free_)(struct obj *o))
{
	struct obj *o = calloc(1, bytes);

	if (o)
		*o = (struct obj){ .refs = 1, .kind = kind, .free = free_ };
	return o;
}

void obj_get(struct obj *o)
{
	__atomic_fetch_add(&o->refs, 1, __ATOMIC_RELAXED);
}

void obj_put(struct obj *o)
{
	if (__atomic_fetch_sub(&o->refs, 1, __ATOMIC_ACQ_REL) == 1)
		o->free(o);
}

/* ---------------------------------------------------------------- names */

static int table_open(void)
{
	void *mem;

	if (table)
		return 0;
	mem = mmap(NULL, sizeof(struct slot) * NR_SLOTS, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (mem == MAP_FAILED)
		return -ENOMEM;
	__atomic_store_n(&table, mem, __ATOMIC_RELEASE);
	return 0;
}

static uint32_t take_slot(void)
{
	uint32_t i = first_free;

	if (i)
		first_free = table[i].next;
	else if (nr_touched < NR_SLOTS)
		i = nr_touched++;
	return i;
}

int handle_open(struct obj *o)
{
	uint32_t i = 0;

	lk_take(&table_lock);
	if (!table_open())
		i = take_slot();
	if (i) {
		struct slot *s = &table[i];

		s->gen++;
		s->epoch = epoch;
		s->kind = o->kind;
		s->obj = o;
		obj_get(o);
		o->handle = (void *)(uintptr_t)((uint64_t)s->gen << SLOT_BITS | i);
	}
	lk_drop(&table_lock);
	return i ? 0 : -ENOMEM;
}

int handle_close(struct obj *o)
{
	int err = -EBADF;

	lk_take(&table_lock);
	if (o->handle) {
		uint32_t i = (uintptr_t)o->handle & (NR_SLOTS - 1);

		table[i].obj = NULL;
		table[i].next = first_free;
		first_free = i;
		o->handle = NULL;
		err = 0;
	}
	lk_drop(&table_lock);
	return err;
}

/* locked: table_lock */
static int slot_find(uint64_t h, enum obj_kind kind, struct obj **ret)
{
	uint32_t i = h & (NR_SLOTS - 1);
	struct slot *s;

	if (!table || !i || i >= nr_touched || h >> (SLOT_BITS + 32))
		return -EBADF;
	s = &table[i];
	if (s->gen != (uint32_t)(h >> SLOT_BITS) || s->kind != kind || !s->obj)
		return -EBADF;
	if (s->epoch != epoch)
		return -ESTALE;
	obj_get(s->obj);
	*ret = s->obj;
	return 0;
}

int handle_find(const void *handle, enum obj_kind kind, struct obj **ret)
{
	int err;

	if (!handle)
		return -EINVAL;
	lk_take(&table_lock);
	err = slot_find((uintptr_t)handle, kind, ret);
	lk_drop(&table_lock);
	return err;
}

void handles_forked(bool (*kept)(struct obj *o))
{
	table_lock.word = 0;
	epoch++;
	for (uint32_t i = 1; table && i < nr_touched; i++)
		if (table[i].obj && table[i].epoch == epoch - 1 && kept(table[i].obj))
			table[i].epoch = epoch;
}

/* ---------------------------------------------------------------- calls */

#define BIT(sig) (1ull << ((sig) - 1))
/* SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV, SIGSYS stay open. */
#define BLOCKED (~(BIT(4) | BIT(5) | BIT(6) | BIT(7) | BIT(8) | BIT(11) | BIT(31)))

void signals_block(struct scope *sc)
{
	uint64_t set = BLOCKED;

	host_syscall_raw(__NR_rt_sigprocmask, 0 /* SIG_BLOCK */, HC_A(&set), HC_A(&sc->mask), 8, 0, 0);
}

void signals_restore(struct scope *sc)
{
	host_syscall_raw(__NR_rt_sigprocmask, 2 /* SIG_SETMASK */, HC_A(&sc->mask), 0, 8, 0, 0);
}

int lib_enter(struct scope *sc)
{
	if (lib_thread.in_callback || lib_thread.forking)
		return -EDEADLK;
	signals_block(sc);
	fork_enter();
	lib_thread.in_call++;
	return 0;
}

void lib_leave(struct scope *sc)
{
	lib_thread.in_call--;
	fork_end_work();
	signals_restore(sc);
}

int call_begin(struct scope *sc, const void *handle, enum obj_kind kind, void *ret_obj)
{
	int err = lib_enter(sc);

	if (err)
		return err;
	err = handle_find(handle, kind, ret_obj);
	if (err)
		lib_leave(sc);
	return err;
}

void call_end(struct scope *sc, void *obj)
{
	obj_put(obj);
	lib_leave(sc);
}

/* ---------------------------------------------------------------- structs that may grow */

int check_struct(const void *s, size_t least, size_t known)
{
	const unsigned char *b = s;
	size_t have;

	if (!s)
		return -EINVAL;
	memcpy(&have, s, sizeof(have));
	if (have < least || have > 4096)
		return -EINVAL;
	for (size_t i = known; i < have; i++)
		if (b[i])
			return -EINVAL;
	return 0;
}

void struct_in(void *dst, const void *src, size_t known)
{
	size_t have;

	memcpy(&have, src, sizeof(have));
	memset(dst, 0, known);
	memcpy(dst, src, MIN(have, known));
}

void struct_out(void *dst, const void *src, size_t known)
{
	size_t have;

	memcpy(&have, dst, sizeof(have));
	if (have > sizeof(have))
		memcpy((char *)dst + sizeof(have), (const char *)src + sizeof(have), MIN(have, known) - sizeof(have));
}

unsigned sf_version(void)
{
	return SF_VERSION_MAJOR << 16 | SF_VERSION_MINOR;
}
