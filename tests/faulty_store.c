/* SPDX-License-Identifier: MIT */
/* faulty_store.c - slow, short, corrupt and failing I/O on demand */

#include "tests/faulty_store.h"

#include <string.h>

static struct faulty_store *faulty_of(struct store *s)
{
	return container_of(s, struct faulty_store, store);
}

/* Count a call; true when it is one that shall go wrong. */
static bool goes_wrong(struct faulty_op *op, unsigned n)
{
	uint64_t call = __atomic_add_fetch(&op->since, 1, __ATOMIC_RELAXED);

	__atomic_fetch_add(&op->calls, 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&op->pages, n, __ATOMIC_RELAXED);
	return op->fail_at && call >= op->fail_at && call - op->fail_at < MAX(op->fail_times, 1u);
}

static void be_slow(struct faulty_store *fs, bool is_write)
{
	if (fs->slow)
		fs->slow(fs->slow_arg, is_write);
}

static int faulty_write(struct store *s, uint64_t slot, unsigned n, const void *buf)
{
	struct faulty_store *fs = faulty_of(s);
	bool wrong = goes_wrong(&fs->write, n);
	unsigned todo = !wrong ? n : fs->write.short_count ? n / 2 : 0;
	int err = 0;

	be_slow(fs, true);
	if (todo)
		err = s->below->ops->write(s->below, slot, todo, buf);
	return wrong ? fs->write.err : err;
}

static void corrupt(struct faulty_store *fs, uint64_t slot, unsigned n, unsigned char *buf)
{
	for (unsigned i = 0; i < n; i++)
		if (fs->corrupt_all || (fs->corrupt_slot && fs->corrupt_slot == slot + i))
			buf[i * PAGE_SIZE + fs->corrupt_bit / 8 % PAGE_SIZE] ^= (unsigned char)(1u << fs->corrupt_bit % 8);
}

static int faulty_read(struct store *s, uint64_t slot, unsigned n, void *buf)
{
	struct faulty_store *fs = faulty_of(s);
	bool wrong = goes_wrong(&fs->read, n);
	unsigned todo = !wrong ? n : fs->read.short_count ? n / 2 : 0;
	int err = 0;

	be_slow(fs, false);
	if (todo)
		err = s->below->ops->read(s->below, slot, todo, buf);
	if (!err)
		corrupt(fs, slot, todo, buf);
	return wrong ? fs->read.err : err;
}

static void faulty_discard(struct store *s, uint64_t slot, unsigned n)
{
	__atomic_fetch_add(&faulty_of(s)->discards, n, __ATOMIC_RELAXED);
	s->below->ops->discard(s->below, slot, n);
}

static uint64_t faulty_memory(struct store *s)
{
	return READ_ONCE(faulty_of(s)->memory);
}

static void faulty_close(struct store *s)
{
}

static const struct store_ops faulty_ops = {
	.name = "faulty",
	.write = faulty_write,
	.read = faulty_read,
	.discard = faulty_discard,
	.memory = faulty_memory,
	.close = faulty_close,
};

void faulty_store_init(struct faulty_store *fs, struct store *below)
{
	memset(fs, 0, sizeof(*fs));
	fs->store.ops = &faulty_ops;
	fs->store.below = below;
}

void faulty_arm(struct faulty_op *op, uint64_t at, uint64_t times, int err, bool short_count)
{
	op->since = 0;
	op->fail_at = at;
	op->fail_times = times;
	op->err = err;
	op->short_count = short_count;
}
