/* SPDX-License-Identifier: MIT */
/* fakes.c - a store and files made of memory, with faults to order */
#include "fakes.h"

#include <stdio.h>
#include <stdlib.h>

jmp_buf *fake_panic_jump;
const char *fake_panic_what;
void (*fake_panic_note)(void);

void sf_panic(const char *file, int line, const char *what)
{
	fake_panic_what = what;
	if (fake_panic_jump)
		longjmp(*fake_panic_jump, 1);
	fprintf(stderr, "panic: %s:%d: %s\n", file, line, what);
	if (fake_panic_note)
		fake_panic_note();
	abort();
}

int fake_fail_hit(struct fake_fail *f)
{
	if (!f->times)
		return 0;
	if (f->skip) {
		f->skip--;
		return 0;
	}
	if (f->times != UINT64_MAX)
		f->times--;
	return -f->err;
}

/* ---------------------------------------------------------------- store */

static struct fake_store *fake(struct store *s) { return container_of(s, struct fake_store, s); }

static struct fake_slot *slots_at(struct fake_store *st, uint64_t slot, unsigned n)
{
	SF_MISUSE(!slot || !n || slot + n > st->nr_slots);
	return &st->slots[slot];
}

static void slot_drop(struct fake_store *st, struct fake_slot *sl)
{
	if (sl->state != FAKE_FREE)
		st->live--;
	free(sl->data);
	sl->data = NULL;
	sl->state = FAKE_FREE;
}

/* Locked: st.  -ENOSPC at the page that no longer fits. */
static int slot_put(struct fake_store *st, struct fake_slot *sl, const void *page)
{
	if (sl->state == FAKE_FREE) {
		if (st->capacity && st->live >= st->capacity)
			return -ENOSPC;
		st->live++;
		sl->data = malloc(PAGE_SIZE);
	}
	memcpy(sl->data, page, PAGE_SIZE);
	sl->state = FAKE_GOOD;
	return 0;
}

static void begin_write(struct fake_store *st, struct fake_slot *sl, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		SF_MISUSE(sl[i].readers || sl[i].writers);
		sl[i].writers++;
	}
	st->writes++;
}

static int end_write(struct fake_store *st, struct fake_slot *sl, unsigned n, const char *buf)
{
	int err = fake_fail_hit(&st->write_fail);
	unsigned good = err ? (st->tear ? n / 2 : 0) : n;

	for (unsigned i = 0; i < good; i++) {
		int full = slot_put(st, &sl[i], buf + i * PAGE_SIZE);

		if (full)
			err = full;
	}
	for (unsigned i = 0; i < n; i++) {
		sl[i].writers--;
		if (err && sl[i].state == FAKE_GOOD)
			sl[i].state = FAKE_UNDEFINED; /* all n are, by contract */
	}
	if (!err)
		st->pages_written += n;
	return err;
}

static int fake_write(struct store *s, uint64_t slot, unsigned n, const void *buf)
{
	struct fake_store *st = fake(s);

	pthread_mutex_lock(&st->lock);
	struct fake_slot *sl = slots_at(st, slot, n);
	begin_write(st, sl, n);
	pthread_mutex_unlock(&st->lock);
	if (st->on_write)
		st->on_write(st->hook_arg);
	pthread_mutex_lock(&st->lock);
	int err = end_write(st, sl, n, buf);
	pthread_mutex_unlock(&st->lock);
	return err;
}

static void begin_read(struct fake_store *st, struct fake_slot *sl, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		SF_MISUSE(sl[i].state != FAKE_GOOD || sl[i].writers);
		sl[i].readers++;
	}
	st->reads++;
}

static int end_read(struct fake_store *st, struct fake_slot *sl, unsigned n, char *buf)
{
	int err = fake_fail_hit(&st->read_fail);
	unsigned good = err ? (st->tear ? n / 2 : 0) : n;

	for (unsigned i = 0; i < n; i++) {
		SF_MISUSE(sl[i].state != FAKE_GOOD || sl[i].writers);
		if (i < good)
			memcpy(buf + i * PAGE_SIZE, sl[i].data, PAGE_SIZE);
		sl[i].readers--;
	}
	if (!err)
		st->pages_read += n;
	return err;
}

static int fake_read(struct store *s, uint64_t slot, unsigned n, void *buf)
{
	struct fake_store *st = fake(s);

	pthread_mutex_lock(&st->lock);
	struct fake_slot *sl = slots_at(st, slot, n);
	begin_read(st, sl, n);
	pthread_mutex_unlock(&st->lock);
	if (st->on_read)
		st->on_read(st->hook_arg);
	pthread_mutex_lock(&st->lock);
	int err = end_read(st, sl, n, buf);
	pthread_mutex_unlock(&st->lock);
	return err;
}

static void fake_discard(struct store *s, uint64_t slot, unsigned n)
{
	struct fake_store *st = fake(s);

	pthread_mutex_lock(&st->lock);
	struct fake_slot *sl = slots_at(st, slot, n);
	for (unsigned i = 0; i < n; i++) {
		SF_MISUSE(sl[i].readers || sl[i].writers);
		slot_drop(st, &sl[i]);
	}
	st->discards++;
	pthread_mutex_unlock(&st->lock);
}

static uint64_t fake_memory(struct store *s) { return fake(s)->memory; }

static void fake_close(struct store *s) {}

static const struct store_ops fake_store_ops = {
	.name = "fake",
	.write = fake_write,
	.read = fake_read,
	.discard = fake_discard,
	.memory = fake_memory,
	.close = fake_close,
};

void fake_store_init(struct fake_store *st, uint64_t nr_slots)
{
	*st = (struct fake_store){ .s.ops = &fake_store_ops, .nr_slots = nr_slots + 1 };
	st->slots = calloc(st->nr_slots, sizeof(*st->slots));
	pthread_mutex_init(&st->lock, NULL);
}

void fake_store_fini(struct fake_store *st)
{
	for (uint64_t i = 0; i < st->nr_slots; i++)
		free(st->slots[i].data);
	free(st->slots);
	pthread_mutex_destroy(&st->lock);
}

void fake_store_corrupt(struct fake_store *st, uint64_t slot)
{
	SF_MISUSE(slots_at(st, slot, 1)->state != FAKE_GOOD);
	st->slots[slot].data[slot * 37 % PAGE_SIZE] ^= 0x10;
}

uint64_t fake_store_corrupt_all(struct fake_store *st)
{
	uint64_t n = 0;

	for (uint64_t i = 1; i < st->nr_slots; i++)
		if (st->slots[i].state == FAKE_GOOD) {
			fake_store_corrupt(st, i);
			n++;
		}
	return n;
}

/* ---------------------------------------------------------------- files */

static struct fake_file *file_of(struct sf_file *f) { return container_of(f, struct fake_file, f); }

static int64_t fake_file_read(struct sf_file *f, void *buf, size_t len, uint64_t off)
{
	struct fake_file *ff = file_of(f);
	int err = fake_fail_hit(&ff->read_fail);

	sf_count(&ff->reads, 1);
	if (ff->on_read)
		ff->on_read(ff->hook_arg);
	if (err)
		return err;
	size_t got = soft_object_read(ff->port, f->fd, buf, len, off);
	sf_count(&ff->bytes_read, got);
	return (int64_t)got;
}

static int64_t fake_file_size(struct sf_file *f) { return (int64_t)soft_object_size(file_of(f)->port, f->fd); }

static void fake_file_release(struct sf_file *f)
{
	struct fake_file *ff = file_of(f);

	if (ff->released)
		*ff->released = true;
	/* The object stays until the port goes: areas may be released before the ranges that map it. */
	free(f->path);
	free(ff);
}

static const struct sf_file_ops fake_file_ops = {
	.read = fake_file_read,
	.size = fake_file_size,
	.release = fake_file_release,
};

struct fake_file *fake_file_new(struct port *p, uint64_t size, bool *released)
{
	static uint64_t ino = 100;
	struct fake_file *ff = calloc(1, sizeof(*ff));
	unsigned char *bytes = malloc(size + 1);

	for (uint64_t i = 0; i < size; i++)
		bytes[i] = fake_byte(i);
	*ff = (struct fake_file){ .f = { .ops = &fake_file_ops, .refs = 1, .major = 8, .minor = 1, .ino = ++ino },
				  .port = p,
				  .released = released };
	ff->f.fd = soft_object_create(p, 0);
	if (size)
		soft_object_write(p, ff->f.fd, bytes, size, 0);
	ff->f.path = malloc(32);
	snprintf(ff->f.path, 32, "/fake/%llu", (unsigned long long)ino);
	free(bytes);
	if (released)
		*released = false;
	return ff;
}

void fake_file_resize(struct fake_file *ff, uint64_t size) { soft_object_resize(ff->port, ff->f.fd, size); }
