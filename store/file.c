/* SPDX-License-Identifier: MIT */
/* file.c - slots in a file
 *
 * Reads and writes go straight to the host, as many calls as it takes.  A bitmap says which slots hold something, for two
 * purposes: a slot that was never written reads as an error and not as the zeros of a hole, and blocks are given
 * back (a punched hole costs tens of microseconds) only when all 256 slots of an aligned group are dead.
 *
 * A group that is being punched must not be written meanwhile: the puncher announces it under the lock, a writer of
 * that group waits until it is done.  Bits are set, under the lock, before the data are written, so no punch can
 * start once a writer has passed.  A write that fails leaves its bits; the swap map discards such slots.
 *
 * With cfg.shared other processes' writes do not show in the bitmap, so it is not kept. */

#include "port/host/host.h"
#include "store/lock.h"
#include "store/stores.h"

#define GROUP_SHIFT 8u /* slots that are punched together, log2 */
#define GROUP_SLOTS (1u << GROUP_SHIFT)
#define GROUP_WORDS (GROUP_SLOTS / 64)
#define NO_GROUP UINT64_MAX
#define DEFAULT_BYTES (1ull << 40)

/* From <linux/falloc.h> and <fcntl.h>. */
#define PUNCH_HOLE_KEEP_SIZE 3u
#define HOST_SEEK_CUR 1

struct file_store {
	struct store store;
	struct port *port;
	struct store_lock lock;
	int fd;
	bool shared, no_punch;
	uint32_t punches, waiters; /* punches: bumped as one ends */
	uint64_t punching;         /* group, or NO_GROUP */
	uint64_t max_slots, used_slots; /* slots at and beyond used_slots were never written */
	uint64_t *live;            /* a bit a slot */
};

static struct file_store *file_of(struct store *s)
{
	return container_of(s, struct file_store, store);
}

static uint64_t bitmap_bytes(uint64_t max_slots)
{
	return ((max_slots >> GROUP_SHIFT) + 1) * GROUP_WORDS * sizeof(uint64_t);
}

/* ---------------------------------------------------------------- which slots are live; locked */

static void live_set(struct file_store *f, uint64_t slot, unsigned n)
{
	for (uint64_t i = slot; i < slot + n; i++)
		f->live[i / 64] |= 1ull << i % 64;
	WRITE_ONCE(f->used_slots, MAX(f->used_slots, slot + n));
}

static bool live_all(const struct file_store *f, uint64_t slot, unsigned n)
{
	for (uint64_t i = slot; i < slot + n; i++)
		if (!(f->live[i / 64] & 1ull << i % 64))
			return false;
	return true;
}

static bool group_is_live(const struct file_store *f, uint64_t group)
{
	for (unsigned i = 0; i < GROUP_WORDS; i++)
		if (f->live[group * GROUP_WORDS + i])
			return true;
	return false;
}

/* Kill the slots of [slot, end), which lie in one group.  True when these were its last. */
static bool live_clear(struct file_store *f, uint64_t slot, uint64_t end)
{
	bool was = false;

	for (uint64_t i = slot; i < end; i++) {
		uint64_t bit = 1ull << i % 64;
		was |= (f->live[i / 64] & bit) != 0;
		f->live[i / 64] &= ~bit;
	}
	return was && !group_is_live(f, slot >> GROUP_SHIFT);
}

/* Sleep until the present punch is over; lets go of the lock and takes it again. */
static void wait_for_punch(struct file_store *f)
{
	uint32_t seen = f->punches;

	f->waiters++;
	store_unlock(&f->lock, f->port);
	f->port->ops->wait(f->port, &f->punches, seen);
	store_lock(&f->lock, f->port);
	f->waiters--;
}

/* Give the blocks of a dead group back; lets go of the lock meanwhile. */
static void punch(struct file_store *f, uint64_t group)
{
	uint64_t bytes = GROUP_SLOTS * PAGE_SIZE;

	while (f->punching != NO_GROUP)
		wait_for_punch(f);
	if (f->no_punch || group_is_live(f, group))
		return; /* written again while we waited */
	f->punching = group;
	store_unlock(&f->lock, f->port);
	int64_t r = host_call4(__NR_fallocate, f->fd, PUNCH_HOLE_KEEP_SIZE, group * bytes, bytes);
	store_lock(&f->lock, f->port);
	f->punching = NO_GROUP;
	if (r < 0 && r != -EINTR)
		f->no_punch = true; /* this file system cannot: the slots are reused all the same */
	__atomic_fetch_add(&f->punches, 1, __ATOMIC_RELEASE);
	if (f->waiters)
		f->port->ops->wake(f->port, &f->punches, INT32_MAX);
}

/* ---------------------------------------------------------------- the store's operations */

/* Move len bytes between buf and the file at off, in as many calls as the host needs. */
static int transfer(struct file_store *f, long nr, char *buf, uint64_t len, uint64_t off)
{
	while (len) {
		int64_t r = host_call4(nr, f->fd, HC_A(buf), len, off);

		if (r == -EINTR)
			continue;
		if (r < 0)
			return (int)r;
		if (r == 0 || (uint64_t)r > len)
			return -EIO; /* the file ends here, or the device takes no more */
		buf += r;
		off += (uint64_t)r;
		len -= (uint64_t)r;
	}
	return 0;
}

static int file_write(struct store *s, uint64_t slot, unsigned n, const void *buf)
{
	struct file_store *f = file_of(s);
	int err;

	if (slot >= f->max_slots || n > f->max_slots - slot)
		return -ENOSPC;
	if (!f->shared) {
		store_lock(&f->lock, f->port);
		while (f->punching >= slot >> GROUP_SHIFT && f->punching <= (slot + n - 1) >> GROUP_SHIFT)
			wait_for_punch(f);
		live_set(f, slot, n);
		store_unlock(&f->lock, f->port);
	}
	err = transfer(f, __NR_pwrite64, (char *)buf, n * PAGE_SIZE, slot * PAGE_SIZE);
	if (err == -EDQUOT || err == -EFBIG)
		return -ENOSPC;
	return err;
}

static int file_read(struct store *s, uint64_t slot, unsigned n, void *buf)
{
	struct file_store *f = file_of(s);
	bool there = true;

	if (slot >= f->max_slots || n > f->max_slots - slot)
		return -EIO;
	if (!f->shared) {
		store_lock(&f->lock, f->port);
		there = live_all(f, slot, n);
		store_unlock(&f->lock, f->port);
	}
	return there ? transfer(f, __NR_pread64, buf, n * PAGE_SIZE, slot * PAGE_SIZE) : -EIO;
}

static void file_discard(struct store *s, uint64_t slot, unsigned n)
{
	struct file_store *f = file_of(s);
	uint64_t end;

	if (f->shared)
		return;
	store_lock(&f->lock, f->port);
	end = MIN(slot + n, f->used_slots);
	while (slot < end) {
		uint64_t group = slot >> GROUP_SHIFT, stop = MIN(end, (group + 1) << GROUP_SHIFT);
		if (live_clear(f, slot, stop))
			punch(f, group);
		slot = stop;
	}
	store_unlock(&f->lock, f->port);
}

static uint64_t file_memory(struct store *s)
{
	struct file_store *f = file_of(s);

	if (READ_ONCE(f->shared))
		return 0;
	return PAGE_ALIGN(sizeof(*f)) + PAGE_ALIGN((READ_ONCE(f->used_slots) + 7) / 8);
}

static void file_close(struct store *s)
{
	struct file_store *f = file_of(s);
	struct port *port = f->port;

	if (f->live)
		port->ops->free(port, f->live, bitmap_bytes(f->max_slots));
	port->ops->free(port, f, sizeof(*f));
}

static void file_share(struct store *s)
{
	WRITE_ONCE(file_of(s)->shared, true);
}

static const struct store_ops file_ops = {
	.name = "file",
	.write = file_write,
	.read = file_read,
	.discard = file_discard,
	.memory = file_memory,
	.share = file_share,
	.close = file_close,
};

int store_file_create(const struct store_file_config *cfg, struct port *port, struct store **ret)
{
	uint64_t max_slots = (cfg->max_bytes ? cfg->max_bytes : DEFAULT_BYTES) / PAGE_SIZE;
	int64_t r = host_call3(__NR_lseek, cfg->fd, 0, HOST_SEEK_CUR);
	struct file_store *f;

	if (r < 0)
		return (int)r;
	if (!max_slots || max_slots > INT64_MAX / PAGE_SIZE)
		return -EINVAL;
	f = port->ops->alloc(port, sizeof(*f));
	if (!f)
		return -ENOMEM;
	*f = (struct file_store){ .store.ops = &file_ops, .port = port, .fd = cfg->fd, .shared = cfg->shared,
				  .punching = NO_GROUP, .max_slots = max_slots };
	if (!cfg->shared) {
		f->live = port->ops->alloc(port, bitmap_bytes(max_slots));
		if (!f->live) {
			port->ops->free(port, f, sizeof(*f));
			return -ENOMEM;
		}
	}
	*ret = &f->store;
	return 0;
}
