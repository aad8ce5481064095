/* SPDX-License-Identifier: MIT */
/* inject.c - a tier that makes things go wrong on purpose
 *
 * It keeps nothing itself: pages go to the tier below and come back from there, but for those that are to fail or to
 * come back wrong.  Which ones is told by the slot's number, as on a medium with bad sectors: a slot that is bad once is bad again when it is
 * tried alone, and the same run fails in the same way each time. */
#include "store/stores.h"

struct inject_store {
	struct store store;
	struct port *port;
	struct store_fault read, write;
	uint64_t pages_read, pages_written; /* so far */
};

static struct inject_store *inject_of(struct store *s)
{
	return container_of(s, struct inject_store, store);
}

static bool is_bad(const struct store_fault *f, uint64_t slot)
{
	return !(slot % f->every);
}

/* Count n pages from slot on; is there a bad one among them? */
static bool goes_wrong(const struct store_fault *f, uint64_t *count, uint64_t slot, unsigned n)
{
	uint64_t before = __atomic_fetch_add(count, n, __ATOMIC_RELAXED);

	if (!f->every || before < f->after)
		return false;
	for (unsigned i = 0; i < n; i++)
		if (is_bad(f, slot + i))
			return true;
	return false;
}

static int inject_write(struct store *s, uint64_t slot, unsigned n, const void *buf)
{
	struct inject_store *in = inject_of(s);

	if (goes_wrong(&in->write, &in->pages_written, slot, n))
		return in->write.err;
	return s->below->ops->write(s->below, slot, n, buf);
}

static int inject_read(struct store *s, uint64_t slot, unsigned n, void *buf)
{
	struct inject_store *in = inject_of(s);
	bool wrong = goes_wrong(&in->read, &in->pages_read, slot, n);
	int err = wrong && in->read.err ? in->read.err : s->below->ops->read(s->below, slot, n, buf);

	for (unsigned i = 0; wrong && !err && i < n; i++)
		if (is_bad(&in->read, slot + i))
			((unsigned char *)buf)[i * PAGE_SIZE + (slot + i) * 37 % PAGE_SIZE] ^= (unsigned char)(1u << (slot + i) % 8);
	return err;
}

static void inject_discard(struct store *s, uint64_t slot, unsigned n)
{
	s->below->ops->discard(s->below, slot, n);
}

static uint64_t inject_memory(struct store *s)
{
	return 0;
}

static void inject_close(struct store *s)
{
	struct inject_store *in = inject_of(s);

	in->port->ops->free(in->port, in, sizeof(*in));
}

static const struct store_ops inject_ops = {
	.name = "inject",
	.write = inject_write,
	.read = inject_read,
	.discard = inject_discard,
	.memory = inject_memory,
	.close = inject_close,
};

int store_inject_create(const struct store_inject_config *cfg, struct port *port, struct store **ret)
{
	struct inject_store *in;

	if (!cfg->below)
		return -EINVAL;
	in = port->ops->alloc(port, sizeof(*in));
	if (!in)
		return -ENOMEM;
	*in = (struct inject_store){ .store = { .ops = &inject_ops, .below = cfg->below }, .port = port,
				     .read = cfg->read, .write = cfg->write };
	*ret = &in->store;
	return 0;
}
