/* SPDX-License-Identifier: MIT */
/* net_test.c - a store as one beyond a network would be: batches, answers from its own thread in any order, answers that never come, flush, discard */
#include "lib_test.h"

#include <pthread.h>

enum { PAGES = 256, THREADS = 8, QUEUE = 256 };

static struct {
	pthread_mutex_t lock;
	pthread_cond_t more;
	pthread_t thread;
	struct sf_io *queue[QUEUE], *lost;
	unsigned n, most_at_once, largest_batch, writes_since_sync, syncs, seen_ops;
	uint64_t lose_page;
	bool stop;
	char data[PAGES * PAGE];
} net = { .lock = PTHREAD_MUTEX_INITIALIZER, .more = PTHREAD_COND_INITIALIZER };

static int net_submit(void *arg, struct sf_io *const *ios, unsigned n)
{
	pthread_mutex_lock(&net.lock);
	unsigned take = n > 3 ? 3 : n; /* a window of its own */

	if (n > net.largest_batch)
		net.largest_batch = n;
	for (unsigned i = 0; i < take; i++)
		net.queue[net.n++] = ios[i];
	if (net.n > net.most_at_once)
		net.most_at_once = net.n;
	pthread_cond_signal(&net.more);
	pthread_mutex_unlock(&net.lock);
	return (int)take;
}

static int64_t serve(struct sf_io *io)
{
	net.seen_ops |= 1u << io->op;
	switch (io->op) {
	case SF_IO_READ:
		memcpy(io->buf, net.data + io->off, io->len);
		return (int64_t)io->len;
	case SF_IO_WRITE:
		memcpy(net.data + io->off, io->buf, io->len);
		net.writes_since_sync++;
		return (int64_t)io->len;
	case SF_IO_SYNC:
		net.writes_since_sync = 0;
		net.syncs++;
		return 0;
	default:
		return -EOPNOTSUPP;
	}
}

/* The last asked is the first answered. */
static void *net_main(void *arg)
{
	pthread_mutex_lock(&net.lock);
	while (!net.stop || net.n) {
		if (!net.n) {
			pthread_cond_wait(&net.more, &net.lock);
			continue;
		}
		struct sf_io *io = net.queue[--net.n];

		if (net.lose_page && io->op == SF_IO_READ && io->off <= net.lose_page * PAGE && io->off + io->len > net.lose_page * PAGE) {
			net.lost = io;
			continue;
		}
		int64_t r = serve(io);

		pthread_mutex_unlock(&net.lock);
		assert_int_equal(sf_io_done(io, r), 0);
		usleep(100);
		pthread_mutex_lock(&net.lock);
	}
	pthread_mutex_unlock(&net.lock);
	return NULL;
}

static int closed;
static void net_close(void *arg)
{
	closed++;
}

static void *work(void *arg)
{
	unsigned char *m = arg;

	for (unsigned round = 0; round < 2; round++)
		for (unsigned i = 0; i < PAGES / THREADS; i++) {
			m[i * PAGE + 9]++;
			m[(i * 7 % (PAGES / THREADS)) * PAGE + 10]++;
		}
	return NULL;
}

static void a_store_beyond_a_network(void **state)
{
	struct sf_store_ops ops = { .struct_size = sizeof(ops), .name = "net", .submit = net_submit, .close = net_close, .timeout_ms = 300, .workers = 4 };
	unsigned char *m;
	pthread_t th[THREADS];
	sf_store *store;
	sf_pool *pool;
	sf_region *r;

	memset(net.data, 0, sizeof(net.data));
	net.n = net.syncs = net.seen_ops = net.most_at_once = net.writes_since_sync = 0;
	net.lose_page = 0;
	net.stop = false;
	closed = 0;
	OK(pthread_create(&net.thread, NULL, net_main, NULL));
	OK(sf_store_create(&ops, NULL, &store));
	OK(sf_pool_create(POOL_OPTIONS(.bound = BOUND), &pool));
	sf_rearm();
	OK(sf_map(pool, PAGES * PAGE, MAP(.kind = SF_STORE, .store = store, .flags = SF_MAP_CHECKSUM), &r, (void **)&m));
	for (unsigned i = 0; i < THREADS; i++)
		OK(pthread_create(&th[i], NULL, work, m + i * (PAGES / THREADS) * PAGE));
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(th[i], NULL);
	OK(sf_sync(r, 0, 0, 0));
	assert_int_equal(net.syncs, 1);
	assert_int_equal(net.writes_since_sync, 0);
	assert_int_equal(net.seen_ops, 1u << SF_IO_READ | 1u << SF_IO_WRITE | 1u << SF_IO_SYNC);
	assert_true(net.most_at_once > 1);
	for (unsigned i = 0; i < PAGES; i++)
		assert_true(net.data[i * PAGE + 9] == 2 && net.data[i * PAGE + 10] == 2);

	/* the answer that never comes: an error of that page alone, and the page is there when the net is */
	OK(sf_advise(r, 0, PAGES * PAGE, SF_PAGEOUT));
	OK(sf_advise(r, 0, 0, SF_RANDOM));
	net.lose_page = 77;
	assert_int_equal(try_read(m + 77 * PAGE), -ETIMEDOUT);
	OK(try_read(m + 78 * PAGE));
	net.lose_page = 0;
	assert_int_equal(m[77 * PAGE + 9], 2);
	assert_non_null(net.lost);
	OK(sf_io_done(net.lost, PAGE)); /* late, to nobody */
	net.lost = NULL;
	OK(sf_unmap(r));
	OK(sf_pool_destroy(pool));
	OK(sf_store_close(store));
	assert_int_equal(closed, 1);
	pthread_mutex_lock(&net.lock);
	net.stop = true;
	pthread_cond_signal(&net.more);
	pthread_mutex_unlock(&net.lock);
	pthread_join(net.thread, NULL);
}

/* ---------------------------------------------------------------- discard */

static struct { char *mem; uint64_t trimmed; } disk;

static int64_t disk_read(void *arg, void *buf, size_t len, uint64_t off)
{
	memcpy(buf, disk.mem + off, len);
	return (int64_t)len;
}

static int64_t disk_write(void *arg, const void *buf, size_t len, uint64_t off)
{
	memcpy(disk.mem + off, buf, len);
	return (int64_t)len;
}

static int disk_trim(void *arg, uint64_t off, uint64_t len)
{
	memset(disk.mem + off, 0xee, len); /* nobody may miss it */
	disk.trimmed += len;
	return 0;
}

static void what_is_given_up_is_discarded(void **state)
{
	struct sf_store_ops ops = { .struct_size = sizeof(ops), .read = disk_read, .write = disk_write, .trim = disk_trim, .flags = SF_STORE_INLINE };
	sf_store *store;
	sf_pool *pool;
	sf_region *r;
	char *m;

	disk.mem = calloc(4 * PAGES, PAGE);
	disk.trimmed = 0;
	OK(sf_store_create(&ops, NULL, &store));
	OK(sf_pool_create(POOL_OPTIONS(.bound = BOUND, .store = store, .store_bytes = 4 * PAGES * PAGE - PAGE), &pool));
	sf_rearm();
	OK(sf_map(pool, PAGES * PAGE, NULL, &r, (void **)&m));
	for (unsigned i = 0; i < PAGES; i++)
		fill_page(m + i * PAGE, mark(i));
	OK(sf_advise(r, 0, 100 * PAGE, SF_DONTNEED));
	assert_in_range(disk.trimmed, 30 * PAGE, 200 * PAGE);
	for (unsigned i = 0; i < PAGES; i++)
		assert_true(page_has(m + i * PAGE, i < 100 ? 0 : mark(i)));
	OK(sf_unmap(r));
	assert_int_equal(pool_stats(pool).store_bytes, 0);
	OK(sf_pool_destroy(pool));
	OK(sf_store_close(store));
	free(disk.mem);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(a_store_beyond_a_network),
	cmocka_unit_test(what_is_given_up_is_discarded),
};
MAIN(tests)
