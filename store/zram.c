/* SPDX-License-Identifier: MIT */
/* zram.c - compressed pages in memory, above another store
 *
 * One 64-bit entry a slot, in a table that costs memory only where it is touched:
 *
 *   0                          not here: the store below has it, if anybody
 *   upper two bits 00          size << OBJ_BITS | object: the page compressed, or 8 bytes that repeat
 *   any other upper two bits   the word the whole page repeats, less FILL_FLIP
 *
 * FILL_FLIP moves the one quarter of all words that cannot be told from the other two kinds to where words are rare (upper bits
 * 10: neither small numbers, nor addresses, nor zeros or ones); those become an object of 8 bytes.
 *
 * A page goes below when it does not compress to three quarters, or when max_bytes is reached.  The store below
 * hears of every discard, so nothing is kept there for a page that came back up here.
 *
 * Locks: entries need none, as the swap map never lets two callers work on one slot but for two readers, and objects never
 * move.  The pool has its own.  Compression happens outside it, in one of a few workspaces. */

#include "store/lz4blk.h"
#include "store/objpool.h"
#include "store/stores.h"

#define FILL_FLIP (2ull << 62)
#define KIND_MASK (3ull << 62)
#define MAX_OBJECT 3072u /* pages that compress worse are better off below */
#define FILL_OBJECT 8u   /* no page compresses to so little: a match of 4096 bytes alone takes more */
#define SLOTS_PER_TABLE_PAGE (PAGE_SIZE / sizeof(uint64_t))
#define NR_WORK 4u
#define MIN_BYTES (8 * PAGE_SIZE)

_Static_assert(MAX_OBJECT <= OBJ_MAX_SIZE && OBJ_BITS + 12 <= 62, "an entry holds object and size");

struct workspace {
	struct lz4blk_work lz4;
	uint8_t out[PAGE_SIZE];
};

struct zram {
	struct store store;
	struct port *port;
	struct objpool pool;
	uint64_t *entries, max_slots;
	struct workspace *work;
	uint32_t work_free, work_waiters; /* a bit for each workspace */
	uint32_t work_touched;
	uint64_t objects, object_bytes, filled, passed;
	struct store_lock touch_lock;
	uint64_t touched[]; /* a bit for each page of entries */
};

_Static_assert(sizeof(struct workspace) % PAGE_SIZE == 0, "one can be given back without its neighbours");

static struct zram *zram_of(struct store *s)
{
	return container_of(s, struct zram, store);
}

static uint64_t zram_bytes(uint64_t max_slots)
{
	return sizeof(struct zram) + max_slots / SLOTS_PER_TABLE_PAGE / 8 + sizeof(uint64_t);
}

static uint64_t table_bytes(uint64_t max_slots)
{
	return max_slots * sizeof(uint64_t);
}

static void add(uint64_t *counter, uint64_t n)
{
	__atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}

/* ---------------------------------------------------------------- entries */

static uint64_t entry_get(struct zram *z, uint64_t slot)
{
	return slot < z->max_slots ? z->entries[slot] : 0;
}

static bool entry_is_object(uint64_t e)
{
	return e && !(e & KIND_MASK);
}

static unsigned entry_size(uint64_t e)
{
	return (unsigned)(e >> OBJ_BITS);
}

static obj_t entry_object(uint64_t e)
{
	return e & ((1ull << OBJ_BITS) - 1);
}

/* The slot's entry may be written: its page of the table is accounted for.  False: no room for that. */
static bool entry_touch(struct zram *z, uint64_t slot)
{
	uint64_t page = slot / SLOTS_PER_TABLE_PAGE, bit = 1ull << page % 64;
	uint64_t *word = &z->touched[page / 64];
	bool ok = true;

	if (likely(__atomic_load_n(word, __ATOMIC_ACQUIRE) & bit))
		return true;
	store_lock(&z->touch_lock, z->port);
	if (!(*word & bit)) {
		ok = objpool_charge(&z->pool, PAGE_SIZE);
		if (ok)
			__atomic_fetch_or(word, bit, __ATOMIC_RELEASE);
	}
	store_unlock(&z->touch_lock, z->port);
	return ok;
}

/* Forget what the slot holds here. */
static void entry_clear(struct zram *z, uint64_t slot)
{
	uint64_t e = entry_get(z, slot);

	if (!e)
		return;
	if (entry_is_object(e)) {
		objpool_put(&z->pool, entry_object(e));
		add(&z->objects, -1ull);
		add(&z->object_bytes, -(uint64_t)entry_size(e));
	} else {
		add(&z->filled, -1ull);
	}
	z->entries[slot] = 0;
}

/* ---------------------------------------------------------------- workspaces */

static unsigned work_claim(struct zram *z)
{
	uint32_t mask = READ_ONCE(z->work_free);

	for (;;) {
		if (!mask) {
			__atomic_fetch_add(&z->work_waiters, 1, __ATOMIC_SEQ_CST);
			z->port->ops->wait(z->port, &z->work_free, 0);
			__atomic_fetch_sub(&z->work_waiters, 1, __ATOMIC_SEQ_CST);
			mask = READ_ONCE(z->work_free);
		} else if (__atomic_compare_exchange_n(&z->work_free, &mask, mask & (mask - 1), false,
						       __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
			return (unsigned)__builtin_ctz(mask);
		}
	}
}

static void work_put(struct zram *z, unsigned i)
{
	__atomic_fetch_or(&z->work_free, 1u << i, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&z->work_waiters, __ATOMIC_SEQ_CST))
		z->port->ops->wake(z->port, &z->work_free, 1);
}

/* A workspace for this caller alone.  False: its memory would exceed the bound. */
static bool work_get(struct zram *z, unsigned *ret_i)
{
	unsigned i = work_claim(z);

	if (!(__atomic_load_n(&z->work_touched, __ATOMIC_RELAXED) & 1u << i)) {
		if (!objpool_charge(&z->pool, sizeof(struct workspace))) {
			work_put(z, i);
			return false;
		}
		__atomic_fetch_or(&z->work_touched, 1u << i, __ATOMIC_RELAXED);
	}
	*ret_i = i;
	return true;
}

/* ---------------------------------------------------------------- one page */

static bool repeats_one_word(const void *page, uint64_t *ret_word)
{
	const uint64_t *w = page;

	for (unsigned i = 1; i < PAGE_SIZE / 8; i++)
		if (w[i] != w[0])
			return false;
	*ret_word = w[0];
	return true;
}

static void fill_page(void *page, uint64_t word)
{
	uint64_t *w = page;

	for (unsigned i = 0; i < PAGE_SIZE / 8; i++)
		w[i] = word;
}

/* Keep size bytes as the slot's object.  False: no room. */
static bool keep_object(struct zram *z, uint64_t slot, const void *data, unsigned size)
{
	obj_t obj = objpool_get(&z->pool, size);

	if (!obj)
		return false;
	memcpy(objpool_ptr(&z->pool, obj), data, size);
	z->entries[slot] = (uint64_t)size << OBJ_BITS | obj;
	add(&z->objects, 1);
	add(&z->object_bytes, size);
	return true;
}

static bool keep_filled(struct zram *z, uint64_t slot, uint64_t word)
{
	uint64_t e = word ^ FILL_FLIP;

	if (!(e & KIND_MASK))
		return keep_object(z, slot, &word, FILL_OBJECT);
	z->entries[slot] = e;
	add(&z->filled, 1);
	return true;
}

static bool keep_compressed(struct zram *z, uint64_t slot, const void *page)
{
	unsigned i, size;
	bool kept = false;

	if (!work_get(z, &i))
		return false;
	struct workspace *w = &z->work[i];
	size = lz4blk_compress(page, PAGE_SIZE, w->out, MAX_OBJECT, &w->lz4);
	if (size)
		kept = keep_object(z, slot, w->out, size);
	work_put(z, i);
	return kept;
}

/* Keep the page here if it is worth it and there is room. */
static bool keep(struct zram *z, uint64_t slot, const void *page)
{
	uint64_t word;

	entry_clear(z, slot);
	if (slot >= z->max_slots || !entry_touch(z, slot))
		return false;
	if (repeats_one_word(page, &word))
		return keep_filled(z, slot, word);
	return keep_compressed(z, slot, page);
}

static int expand(struct zram *z, uint64_t e, void *page)
{
	if (!entry_is_object(e)) {
		fill_page(page, e ^ FILL_FLIP);
		return 0;
	}
	const void *data = objpool_ptr(&z->pool, entry_object(e));
	if (entry_size(e) == FILL_OBJECT) {
		uint64_t word;
		memcpy(&word, data, sizeof(word));
		fill_page(page, word);
		return 0;
	}
	return lz4blk_expand(data, entry_size(e), page, PAGE_SIZE);
}

/* ---------------------------------------------------------------- the store's operations */

/* Neighbours that go below go in one piece. */
static int pass_down(struct zram *z, uint64_t slot, unsigned n, const char *buf)
{
	struct store *below = z->store.below;

	if (!n)
		return 0;
	if (!below)
		return -ENOSPC;
	add(&z->passed, n);
	return below->ops->write(below, slot, n, buf);
}

static int zram_write(struct store *s, uint64_t slot, unsigned n, const void *buf)
{
	struct zram *z = zram_of(s);
	const char *page = buf;
	unsigned first = 0; /* of the pages not kept so far */
	int err;

	for (unsigned i = 0; i < n; i++) {
		if (!keep(z, slot + i, page + i * PAGE_SIZE))
			continue;
		err = pass_down(z, slot + first, i - first, page + first * PAGE_SIZE);
		if (err)
			return err;
		first = i + 1;
	}
	return pass_down(z, slot + first, n - first, page + first * PAGE_SIZE);
}

static int fetch_below(struct zram *z, uint64_t slot, unsigned n, char *buf)
{
	struct store *below = z->store.below;

	if (!n)
		return 0;
	return below ? below->ops->read(below, slot, n, buf) : -EIO;
}

static int zram_read(struct store *s, uint64_t slot, unsigned n, void *buf)
{
	struct zram *z = zram_of(s);
	char *page = buf;
	unsigned first = 0; /* of the pages that are below, so far */
	int err;

	for (unsigned i = 0; i < n; i++) {
		uint64_t e = entry_get(z, slot + i);
		if (!e)
			continue;
		err = fetch_below(z, slot + first, i - first, page + first * PAGE_SIZE);
		if (!err)
			err = expand(z, e, page + i * PAGE_SIZE);
		if (err)
			return err;
		first = i + 1;
	}
	return fetch_below(z, slot + first, n - first, page + first * PAGE_SIZE);
}

static void zram_discard(struct store *s, uint64_t slot, unsigned n)
{
	struct zram *z = zram_of(s);

	for (unsigned i = 0; i < n; i++)
		entry_clear(z, slot + i);
	if (s->below)
		s->below->ops->discard(s->below, slot, n);
}

static bool sink_slot(struct zram *z, uint64_t slot)
{
	char page[PAGE_SIZE];

	if (expand(z, z->entries[slot], page) || pass_down(z, slot, 1, page))
		return false;
	entry_clear(z, slot);
	return true;
}

/* Memory of our own that holds nothing. */
static bool give_back(struct zram *z, void *mem, uint64_t bytes)
{
	if (!z->port->ops->clear || !z->port->ops->clear(z->port, mem, bytes))
		return false;
	objpool_uncharge(&z->pool, bytes);
	return true;
}

/* The slots of one page of the table, and the page.  False: the store below takes no more. */
static bool sink_table_page(struct zram *z, uint64_t page, uint64_t *ret_moved)
{
	uint64_t first = page * SLOTS_PER_TABLE_PAGE, end = MIN(first + SLOTS_PER_TABLE_PAGE, z->max_slots);

	for (uint64_t slot = first; slot < end; slot++) {
		if (!z->entries[slot])
			continue;
		if (!sink_slot(z, slot))
			return false;
		++*ret_moved;
	}
	if (give_back(z, &z->entries[first], PAGE_SIZE)) {
		__atomic_fetch_and(&z->touched[page / 64], ~(1ull << page % 64), __ATOMIC_RELEASE);
		++*ret_moved;
	}
	return true;
}

/* No slot is in flight, so nobody compresses anything. */
static uint64_t drop_workspaces(struct zram *z)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < NR_WORK; i++)
		if (z->work_touched & 1u << i && z->work_free & 1u << i && give_back(z, &z->work[i], sizeof(struct workspace))) {
			z->work_touched &= ~(1u << i);
			n++;
		}
	return n;
}

/* In the order of slots, so that neighbours stay together; what was never touched is not looked at.  The tables go as well: a small process whose slots lie
 * far apart has more of them than of objects. */
static uint64_t zram_sink(struct store *s, uint64_t bytes)
{
	struct zram *z = zram_of(s);
	uint64_t was = objpool_bytes(&z->pool), n = 0, pages = (z->max_slots + SLOTS_PER_TABLE_PAGE - 1) / SLOTS_PER_TABLE_PAGE;

	if (!s->below && z->objects + z->filled)
		return 0;
	for (uint64_t page = 0; page < pages; page++) {
		if (!(z->touched[page / 64] & 1ull << page % 64))
			continue;
		if (!sink_table_page(z, page, &n))
			return n;
		if (objpool_bytes(&z->pool) + bytes <= was)
			return n;
	}
	return n + drop_workspaces(z);
}

static uint64_t zram_memory(struct store *s)
{
	return objpool_bytes(&zram_of(s)->pool);
}

static void zram_close(struct store *s)
{
	struct zram *z = zram_of(s);
	struct port *port = z->port;

	objpool_destroy(&z->pool);
	port->ops->free(port, z->work, NR_WORK * sizeof(struct workspace));
	port->ops->free(port, z->entries, table_bytes(z->max_slots));
	port->ops->free(port, z, zram_bytes(z->max_slots));
}

static const struct store_ops zram_ops = {
	.name = "zram",
	.write = zram_write,
	.read = zram_read,
	.discard = zram_discard,
	.memory = zram_memory,
	.sink = zram_sink,
	.close = zram_close,
};

/* ---------------------------------------------------------------- making one */

static int zram_init(struct zram *z, const struct store_zram_config *cfg)
{
	struct port *port = z->port;
	uint64_t max_bytes = cfg->max_bytes ? cfg->max_bytes : UINT64_MAX;
	int err = objpool_init(&z->pool, port, max_bytes, cfg->max_slots);

	if (err)
		return err;
	z->work = port->ops->alloc(port, NR_WORK * sizeof(struct workspace));
	z->entries = port->ops->alloc(port, table_bytes(cfg->max_slots));
	if (z->work && z->entries && objpool_charge(&z->pool, PAGE_ALIGN(zram_bytes(cfg->max_slots))))
		return 0;
	if (z->work)
		port->ops->free(port, z->work, NR_WORK * sizeof(struct workspace));
	if (z->entries)
		port->ops->free(port, z->entries, table_bytes(cfg->max_slots));
	objpool_destroy(&z->pool);
	return -ENOMEM;
}

int store_zram_create(const struct store_zram_config *cfg, struct port *port, struct store **ret)
{
	struct zram *z;
	int err;

	if (!cfg->max_slots || cfg->max_slots >= UINT64_MAX / sizeof(uint64_t) || (cfg->max_bytes && cfg->max_bytes < MIN_BYTES))
		return -EINVAL;
	z = port->ops->alloc(port, zram_bytes(cfg->max_slots));
	if (!z)
		return -ENOMEM;
	z->port = port;
	err = zram_init(z, cfg);
	if (err) {
		port->ops->free(port, z, zram_bytes(cfg->max_slots));
		return err;
	}
	z->store = (struct store){ .ops = &zram_ops, .below = cfg->below };
	z->max_slots = cfg->max_slots;
	z->work_free = (1u << NR_WORK) - 1;
	*ret = &z->store;
	return 0;
}

void store_zram_info(struct store *s, struct store_zram_info *ret)
{
	struct zram *z = zram_of(s);

	*ret = (struct store_zram_info){
		.objects = READ_ONCE(z->objects),
		.object_bytes = READ_ONCE(z->object_bytes),
		.chunk_bytes = READ_ONCE(z->pool.chunk_bytes),
		.filled = READ_ONCE(z->filled),
		.passed = READ_ONCE(z->passed),
	};
}
