/* SPDX-License-Identifier: MIT */
/* store_test.c - the stores: what goes in comes out, or an error does
 *
 * On a test port that counts every byte it has lent, so each test ends with the memory all given back. */

#include "port/host/host.h"
#include "store/lz4blk.h"
#include "store/objpool.h"
#include "store/stores.h"
#include "tests/faulty_store.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <lz4.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

__attribute__((weak, noreturn)) void sf_panic(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: %s\n", file, line, what);
	abort();
}

/* ---------------------------------------------------------------- a port that lends memory */

static uint64_t lent;      /* bytes out */
static uint64_t fail_alloc; /* the k-th call from now on fails; 0: none */

static void *port_alloc(struct port *p, size_t bytes)
{
	uint64_t left = __atomic_load_n(&fail_alloc, __ATOMIC_RELAXED);
	void *mem;

	if (left && __atomic_sub_fetch(&fail_alloc, 1, __ATOMIC_RELAXED) == 0)
		return NULL;
	bytes = PAGE_ALIGN(bytes);
	mem = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (mem == MAP_FAILED)
		return NULL;
	__atomic_fetch_add(&lent, bytes, __ATOMIC_RELAXED);
	return mem;
}

static void port_free(struct port *p, void *mem, size_t bytes)
{
	__atomic_fetch_sub(&lent, PAGE_ALIGN(bytes), __ATOMIC_RELAXED);
	assert_int_equal(munmap(mem, PAGE_ALIGN(bytes)), 0);
}

static bool port_clear(struct port *p, void *mem, size_t bytes)
{
	return !madvise(mem, bytes, MADV_DONTNEED);
}

static unsigned waits; /* calls of wait() so far */

static void port_wait(struct port *p, uint32_t *word, uint32_t val)
{
	__atomic_fetch_add(&waits, 1, __ATOMIC_SEQ_CST);
	syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, val, NULL, NULL, 0);
}

static void port_wake(struct port *p, uint32_t *word, int count)
{
	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, NULL, NULL, 0);
}

static const struct port_ops test_port_ops = {
	.name = "test", .alloc = port_alloc, .free = port_free, .clear = port_clear, .wait = port_wait, .wake = port_wake,
};
static struct port test_port = { .ops = &test_port_ops };

static int before_each(void **state)
{
	lent = fail_alloc = 0;
	host_table.call = host_syscall_raw;
	return 0;
}

static int after_each(void **state)
{
	host_table.call = host_syscall_raw;
	return lent ? -1 : 0;
}

/* ---------------------------------------------------------------- pages to work with */

typedef unsigned char page_t[PAGE_SIZE];

static uint64_t rnd(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed * 0x2545f4914f6cdd1dull >> 8;
}

static void make_random(unsigned char *p, uint64_t seed)
{
	seed = seed * 2 + 1;
	for (unsigned i = 0; i < PAGE_SIZE; i++)
		p[i] = (unsigned char)(rnd(&seed) >> 20);
}

/* Words from a small vocabulary: compresses two or three times, as text does. */
static void make_text(unsigned char *p, uint64_t seed)
{
	static const char *const words[] = { "page ", "fault ", "the ", "memory ", "is ", "of ", "address ", "a ", "kernel ", "in ",
		"swap ", "and ", "thread ", "to ", "signal ", "not ", "there, ", "handler ", "copy ", "write.\n", "when ", "area " };
	unsigned at = 0;

	seed = seed * 2 + 1;
	while (at < PAGE_SIZE) {
		const char *w = words[rnd(&seed) % ARRAY_SIZE(words)];
		if (rnd(&seed) % 4 == 0)
			p[at++] = (unsigned char)('a' + rnd(&seed) % 26);
		for (; *w && at < PAGE_SIZE; w++)
			p[at++] = (unsigned char)*w;
	}
}

static void make_fill(unsigned char *p, uint64_t word)
{
	for (unsigned i = 0; i < PAGE_SIZE; i += 8)
		memcpy(p + i, &word, 8);
}

/* Whatever kind the seed says; always the same for one seed. */
static void make_any(unsigned char *p, uint64_t seed)
{
	switch (seed % 5) {
	case 0:
		make_random(p, seed);
		break;
	case 1:
		make_fill(p, seed * 0x9e3779b97f4a7c15ull);
		break;
	case 2: /* half and half: just about not worth keeping */
		make_text(p, seed);
		make_random(p, seed);
		memset(p + seed % 4096, (int)seed, PAGE_SIZE - seed % 4096);
		break;
	default:
		make_text(p, seed);
	}
}

static void put(struct store *s, uint64_t slot, uint64_t seed)
{
	page_t p;

	make_any(p, seed);
	assert_int_equal(s->ops->write(s, slot, 1, p), 0);
}

static void expect(struct store *s, uint64_t slot, uint64_t seed)
{
	page_t p, want;

	make_any(want, seed);
	memset(p, 0x5a, sizeof(p));
	assert_int_equal(s->ops->read(s, slot, 1, p), 0);
	assert_memory_equal(p, want, PAGE_SIZE);
}

/* ---------------------------------------------------------------- LZ4 */

static struct lz4blk_work work;

/* Ours expands what ours and theirs compressed, and theirs what ours did. */
static void both_ways(const void *src, unsigned len)
{
	static char packed[80000], out[70000];
	unsigned n = lz4blk_compress(src, len, packed, sizeof(packed), &work);

	assert_true(n > 0);
	assert_true(n <= len + len / 255 + 16);
	memset(out, 0xee, sizeof(out));
	assert_int_equal(lz4blk_expand(packed, n, out, len), 0);
	assert_memory_equal(out, src, len);
	assert_int_equal((unsigned char)out[len], 0xee);
	memset(out, 0xee, sizeof(out));
	assert_int_equal(LZ4_decompress_safe(packed, out, (int)n, (int)len), len);
	assert_memory_equal(out, src, len);
	n = (unsigned)LZ4_compress_default(src, packed, (int)len, sizeof(packed));
	memset(out, 0xee, sizeof(out));
	assert_int_equal(lz4blk_expand(packed, n, out, len), 0);
	assert_memory_equal(out, src, len);
	assert_int_equal((unsigned char)out[len], 0xee);
}

static void lz4_is_interchangeable_with_liblz4(void **state)
{
	page_t p;

	for (uint64_t seed = 0; seed < 300; seed++) {
		make_any(p, seed);
		both_ways(p, PAGE_SIZE);
	}
}

static void lz4_takes_every_length_and_every_period(void **state)
{
	static unsigned char buf[65535];
	uint64_t seed = 7;

	for (unsigned period = 1; period <= 40; period++) {
		for (unsigned i = 0; i < PAGE_SIZE; i++)
			buf[i] = i < period ? (unsigned char)rnd(&seed) : buf[i - period];
		both_ways(buf, PAGE_SIZE);
		both_ways(buf, PAGE_SIZE - period);
	}
	for (unsigned len = 1; len <= 300; len++) {
		both_ways(buf, len);
		make_text(buf, len);
		both_ways(buf, len);
		make_random(buf, len);
		both_ways(buf, len);
	}
	for (unsigned i = 0; i < sizeof(buf); i++) /* far matches, long literals, long matches */
		buf[i] = i % 9000 < 4000 ? (unsigned char)(rnd(&seed) >> 9) : i < 30000 ? 7 : buf[i - 30000];
	both_ways(buf, sizeof(buf));
	assert_int_equal(lz4blk_compress(buf, 0, buf, 100, &work), 0);
	assert_int_equal(lz4blk_compress(buf, 65536, buf, 100, &work), 0);
}

static void lz4_keeps_within_the_room_it_is_given(void **state)
{
	page_t p;
	unsigned char out[PAGE_SIZE + 64];

	for (uint64_t seed = 0; seed < 40; seed++) {
		make_any(p, seed);
		unsigned need = lz4blk_compress(p, PAGE_SIZE, out, sizeof(out), &work);
		for (unsigned cap = 0; cap <= need + 20; cap += cap + 40 < need ? 37 : 1) {
			memset(out, 0xcc, sizeof(out));
			unsigned n = lz4blk_compress(p, PAGE_SIZE, out, cap, &work);
			assert_true(n == need || (n == 0 && cap < need + 3)); /* a little room may be left unused */
			for (unsigned i = cap; i < sizeof(out); i++)
				assert_int_equal(out[i], 0xcc);
		}
	}
}

/* Guard pages on both sides of the buffers: one byte too far is a crash. */
struct fence { unsigned char *map, *end; };

static struct fence fence_new(void)
{
	struct fence f;

	f.map = mmap(NULL, 4 * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(f.map != MAP_FAILED);
	assert_int_equal(mprotect(f.map, PAGE_SIZE, PROT_NONE), 0);
	assert_int_equal(mprotect(f.map + 3 * PAGE_SIZE, PAGE_SIZE, PROT_NONE), 0);
	f.end = f.map + 3 * PAGE_SIZE;
	return f;
}

static void lz4_of_damaged_blocks_errs_or_stays_inside(void **state)
{
	struct fence in = fence_new(), out = fence_new();
	unsigned char *dst = out.end - PAGE_SIZE, packed[PAGE_SIZE + 64];
	uint64_t seed = 99;
	page_t p;

	for (unsigned round = 0; round < 20000; round++) {
		make_any(p, round % 50);
		unsigned n = lz4blk_compress(p, PAGE_SIZE, packed, sizeof(packed), &work);
		for (unsigned k = 0; k <= round % 4; k++)
			packed[rnd(&seed) % n] = (unsigned char)(rnd(&seed) % 3 ? rnd(&seed) : 255);
		if (round % 5 == 0)
			n -= (unsigned)(rnd(&seed) % n);
		memcpy(in.end - n, packed, n);
		int err = lz4blk_expand(in.end - n, n, dst, PAGE_SIZE);
		assert_true(err == 0 || err == -EIO);
	}
	for (unsigned round = 0; round < 20000; round++) { /* noise */
		unsigned n = 1 + (unsigned)(rnd(&seed) % 200);
		for (unsigned i = 0; i < n; i++)
			in.end[(int)i - (int)n] = (unsigned char)rnd(&seed);
		int err = lz4blk_expand(in.end - n, n, dst, PAGE_SIZE);
		assert_true(err == 0 || err == -EIO);
	}
	munmap(in.map, 4 * PAGE_SIZE);
	munmap(out.map, 4 * PAGE_SIZE);
}

static void lz4_refuses_blocks_of_another_length(void **state)
{
	unsigned char packed[PAGE_SIZE + 64], out[PAGE_SIZE + 64];
	page_t p;

	for (uint64_t seed = 0; seed < 50; seed++) {
		make_any(p, seed);
		unsigned n = lz4blk_compress(p, PAGE_SIZE, packed, sizeof(packed), &work);
		assert_int_equal(lz4blk_expand(packed, n, out, PAGE_SIZE - 1), -EIO);
		assert_int_equal(lz4blk_expand(packed, n, out, PAGE_SIZE + 1), -EIO);
		assert_int_equal(lz4blk_expand(packed, n - 1, out, PAGE_SIZE), -EIO);
		assert_int_equal(lz4blk_expand(packed, 0, out, PAGE_SIZE), -EIO);
	}
}

/* ---------------------------------------------------------------- object pool */

static void pool_objects_never_overlap_and_memory_comes_back(void **state)
{
	enum { N = 4000 };
	static obj_t obj[N];
	static unsigned size[N];
	struct objpool op;
	uint64_t seed = 5;

	assert_int_equal(objpool_init(&op, &test_port, UINT64_MAX, 1 << 20), 0);
	memset(obj, 0, sizeof(obj));
	for (unsigned round = 0; round < 60000; round++) {
		unsigned i = (unsigned)(rnd(&seed) % N);
		if (obj[i]) {
			unsigned char *p = objpool_ptr(&op, obj[i]);
			for (unsigned k = 0; k < size[i]; k += 97)
				assert_int_equal(p[k], (unsigned char)i);
			assert_int_equal(p[size[i] - 1], (unsigned char)i);
			objpool_put(&op, obj[i]);
			obj[i] = 0;
		} else {
			size[i] = 1 + (unsigned)(rnd(&seed) % OBJ_MAX_SIZE);
			obj[i] = objpool_get(&op, size[i]);
			assert_true(obj[i] && obj[i] < 1ull << OBJ_BITS);
			assert_int_equal((uintptr_t)objpool_ptr(&op, obj[i]) % 16, 0);
			memset(objpool_ptr(&op, obj[i]), (int)i, size[i]);
		}
		if (round % 5000 == 0)
			objpool_check(&op);
	}
	for (unsigned i = 0; i < N; i++)
		if (obj[i])
			objpool_put(&op, obj[i]);
	objpool_check(&op);
	assert_int_equal(op.chunk_bytes, 0);
	objpool_destroy(&op);
}

static void pool_wastes_at_most_an_eighth(void **state)
{
	struct objpool op;
	uint64_t seed = 11, asked = 0;

	assert_int_equal(objpool_init(&op, &test_port, UINT64_MAX, 1 << 20), 0);
	for (unsigned i = 0; i < 20000; i++) {
		unsigned size = 200 + (unsigned)(rnd(&seed) % 2800);
		assert_true(objpool_get(&op, size) != 0);
		asked += size;
	}
	print_message("    %lu KiB of objects in %lu KiB: %.1f %% lost\n", asked >> 10, objpool_bytes(&op) >> 10,
		      100.0 - 100.0 * (double)asked / (double)objpool_bytes(&op));
	assert_true((double)objpool_bytes(&op) < (double)asked * 1.125);
	objpool_destroy(&op);
}

static void pool_takes_the_smallest_and_largest_object_and_no_more_than_its_bound(void **state)
{
	struct objpool op;
	unsigned n = 0;

	assert_int_equal(objpool_init(&op, &test_port, 40 * PAGE_SIZE, 1 << 20), 0);
	assert_true(objpool_get(&op, 1) != 0);
	assert_true(objpool_get(&op, OBJ_MAX_SIZE) != 0);
	while (objpool_get(&op, 64 + n % 4 * 900))
		n++;
	assert_true(n > 30);
	assert_true(objpool_bytes(&op) <= 40 * PAGE_SIZE);
	assert_false(objpool_charge(&op, 40 * PAGE_SIZE));
	objpool_check(&op);
	objpool_destroy(&op);
}

/* ---------------------------------------------------------------- file store */

static int temp_fd(void)
{
	char name[] = "/tmp/store_test.XXXXXX";
	int fd = mkstemp(name);

	assert_true(fd >= 0);
	unlink(name);
	return fd;
}

static struct store *file_store(int fd, uint64_t max_bytes)
{
	struct store_file_config cfg = { .fd = fd, .max_bytes = max_bytes };
	struct store *s = NULL;

	assert_int_equal(store_file_create(&cfg, &test_port, &s), 0);
	return s;
}

static uint64_t blocks_of(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return (uint64_t)st.st_blocks * 512;
}

static void file_returns_what_was_written(void **state)
{
	int fd = temp_fd();
	struct store *s = file_store(fd, 0);
	static page_t many[32], back[32];

	for (uint64_t i = 1; i < 100; i++)
		put(s, i * 7, i);
	for (uint64_t i = 1; i < 100; i++)
		expect(s, i * 7, i);
	put(s, 7, 1000);
	expect(s, 7, 1000);
	for (unsigned i = 0; i < 32; i++)
		make_any(many[i], i + 500);
	assert_int_equal(s->ops->write(s, 5000, 32, many), 0);
	assert_int_equal(s->ops->read(s, 5000, 32, back), 0);
	assert_memory_equal(many, back, sizeof(many));
	page_t at;
	assert_int_equal(pread(fd, at, PAGE_SIZE, 5001 * PAGE_SIZE), PAGE_SIZE);
	assert_memory_equal(at, many[1], PAGE_SIZE);
	s->ops->close(s);
	close(fd);
}

static void file_read_of_what_was_never_written_is_an_error(void **state)
{
	int fd = temp_fd();
	struct store *s = file_store(fd, 0);
	page_t p[2];

	put(s, 10, 1);
	assert_int_equal(s->ops->read(s, 9, 1, p), -EIO);  /* a hole */
	assert_int_equal(s->ops->read(s, 10, 2, p), -EIO); /* half there */
	assert_int_equal(s->ops->read(s, 99, 1, p), -EIO); /* beyond the end */
	s->ops->discard(s, 10, 1);
	assert_int_equal(s->ops->read(s, 10, 1, p), -EIO);
	put(s, 10, 2);
	assert_int_equal(ftruncate(fd, 10 * PAGE_SIZE + 100), 0); /* somebody cut the file */
	assert_int_equal(s->ops->read(s, 10, 1, p), -EIO);
	s->ops->close(s);
	close(fd);
}

static void file_keeps_to_its_size(void **state)
{
	int fd = temp_fd();
	struct store *s = file_store(fd, 100 * PAGE_SIZE);
	page_t p[2];

	memset(p, 1, sizeof(p));
	assert_int_equal(s->ops->write(s, 98, 2, p), 0);
	assert_int_equal(s->ops->write(s, 99, 2, p), -ENOSPC);
	assert_int_equal(s->ops->write(s, 100, 1, p), -ENOSPC);
	assert_int_equal(s->ops->write(s, UINT64_MAX, 1, p), -ENOSPC);
	assert_int_equal(s->ops->read(s, 99, 2, p), -EIO);
	s->ops->discard(s, 99, 1);
	s->ops->discard(s, 200, 10);
	s->ops->close(s);
	close(fd);
}

static void file_gives_blocks_back_by_the_megabyte(void **state)
{
	int fd = temp_fd();
	struct store *s = file_store(fd, 0);
	static page_t chunk[64];

	memset(chunk, 0x77, sizeof(chunk));
	for (unsigned i = 0; i < 16; i++)
		assert_int_equal(s->ops->write(s, i * 64, 64, chunk), 0);
	uint64_t full = blocks_of(fd);
	s->ops->discard(s, 0, 100);
	assert_int_equal(blocks_of(fd), full); /* too little to bother */
	s->ops->discard(s, 100, 500);          /* groups 0 and 1 are dead now, 2 in part */
	assert_true(blocks_of(fd) <= full - (2ul << 20) + (64ul << 10));
	page_t p;
	for (unsigned slot = 600; slot < 1024; slot++) {
		assert_int_equal(s->ops->read(s, slot, 1, p), 0);
		assert_memory_equal(p, chunk[0], PAGE_SIZE);
	}
	put(s, 50, 3); /* a dead group comes back to life */
	expect(s, 50, 3);
	s->ops->close(s);
	close(fd);
}

/* A host that fails, cuts short or interrupts the k-th call. */
static struct { int64_t k, err; uint64_t cut; int64_t seen; long nr; } host;

static int64_t bad_host(long nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f)
{
	bool mine = ++host.seen == host.k || (host.nr && nr == host.nr);

	if (mine && host.err)
		return host.err;
	if (host.cut && (nr == SYS_pwrite64 || nr == SYS_pread64))
		c = MIN(c, host.cut);
	return host_syscall_raw(nr, a, b, c, d, e, f);
}

static void file_goes_on_after_short_and_interrupted_calls(void **state)
{
	static page_t many[8], back[8];
	int fd = temp_fd();
	struct store *s = file_store(fd, 0);

	for (unsigned i = 0; i < 8; i++)
		make_random(many[i], i);
	for (host.cut = 1000; host.cut < 9000; host.cut += 777) {
		for (int64_t k = 1; k <= 12; k++) {
			host.k = k;
			host.err = -EINTR;
			host.seen = 0;
			host_table.call = bad_host;
			assert_int_equal(s->ops->write(s, 20, 8, many), 0);
			memset(back, 0, sizeof(back));
			assert_int_equal(s->ops->read(s, 20, 8, back), 0);
			assert_memory_equal(many, back, sizeof(many));
		}
	}
	memset(&host, 0, sizeof(host));
	s->ops->close(s);
	close(fd);
}

/* One run of the store, in which the k-th host call fails.  True when there were fewer calls. */
static bool with_kth_call_failing(int64_t k, int64_t err)
{
	static page_t many[4], back[4];
	int fd = temp_fd();
	struct store_file_config cfg = { .fd = fd };
	struct store *s;

	for (unsigned i = 0; i < 4; i++)
		make_random(many[i], i);
	memset(&host, 0, sizeof(host));
	host.k = k;
	host.err = err;
	host.cut = 5000;
	host_table.call = bad_host;
	int created = store_file_create(&cfg, &test_port, &s);
	assert_true(created == 0 || created == err);
	for (unsigned i = 0; !created && i < 3; i++) {
		int w = s->ops->write(s, 1 + i * 4, 4, many);
		assert_true(w == 0 || w == (err == -EFBIG || err == -EDQUOT ? -ENOSPC : err));
		int r = s->ops->read(s, 1 + i * 4, 4, back);
		assert_true(r == 0 || r == err || (w && r == -EIO));
		if (!w && !r)
			assert_memory_equal(many, back, sizeof(many)); /* success is never a lie */
	}
	if (!created) {
		s->ops->discard(s, 1, 12);
		s->ops->close(s);
	}
	host_table.call = host_syscall_raw;
	close(fd);
	return host.seen < k;
}

static void file_reports_whichever_host_call_fails(void **state)
{
	static const int errs[] = { -EIO, -ENOSPC, -EDQUOT, -EFBIG, -EBADF };

	for (unsigned e = 0; e < ARRAY_SIZE(errs); e++) {
		int64_t k = 1;
		while (!with_kth_call_failing(k, errs[e]))
			k++;
		assert_true(k > 8);
	}
	memset(&host, 0, sizeof(host));
}

static void file_lives_without_punching(void **state)
{
	int fd = temp_fd();
	struct store *s = file_store(fd, 0);

	for (uint64_t i = 0; i < 300; i++)
		put(s, i, i);
	memset(&host, 0, sizeof(host));
	host.nr = SYS_fallocate;
	host.err = -EOPNOTSUPP;
	host_table.call = bad_host;
	s->ops->discard(s, 0, 256);
	int64_t once = host.seen;
	for (uint64_t i = 0; i < 256; i++)
		put(s, i, i + 9);
	int64_t before = host.seen;
	s->ops->discard(s, 0, 256);
	assert_int_equal(once, 1);
	assert_int_equal(host.seen, before); /* it does not ask again */
	expect(s, 299, 299);
	s->ops->close(s);
	close(fd);
}

static void file_that_cannot_hold_slots_is_refused(void **state)
{
	struct store_file_config cfg = { .fd = -1 };
	struct store *s;
	int p[2];

	assert_int_equal(store_file_create(&cfg, &test_port, &s), -EBADF);
	assert_int_equal(pipe(p), 0);
	cfg.fd = p[0];
	assert_int_equal(store_file_create(&cfg, &test_port, &s), -ESPIPE);
	close(p[0]);
	close(p[1]);
	cfg.fd = temp_fd();
	cfg.max_bytes = 100;
	assert_int_equal(store_file_create(&cfg, &test_port, &s), -EINVAL);
	cfg.max_bytes = 0;
	for (uint64_t k = 1; k <= 2; k++) {
		fail_alloc = k;
		assert_int_equal(store_file_create(&cfg, &test_port, &s), -ENOMEM);
	}
	close(cfg.fd);
}

static void shared_file_believes_in_slots_of_others(void **state)
{
	int fd = temp_fd();
	struct store_file_config cfg = { .fd = fd, .shared = true };
	struct store *a, *b;

	assert_int_equal(store_file_create(&cfg, &test_port, &a), 0);
	assert_int_equal(store_file_create(&cfg, &test_port, &b), 0);
	for (uint64_t i = 0; i < 256; i++)
		put(a, i, i);
	for (uint64_t i = 0; i < 256; i++)
		expect(b, i, i);
	b->ops->discard(b, 0, 255);
	expect(a, 255, 255);
	a->ops->close(a);
	b->ops->close(b);
	close(fd);
}

/* ---------------------------------------------------------------- compressed memory */

static struct store *zram(uint64_t max_bytes, uint64_t max_slots, struct store *below)
{
	struct store_zram_config cfg = { .max_bytes = max_bytes, .max_slots = max_slots, .below = below };
	struct store *s = NULL;

	assert_int_equal(store_zram_create(&cfg, &test_port, &s), 0);
	return s;
}

static struct store_zram_info info(struct store *s)
{
	struct store_zram_info i;

	store_zram_info(s, &i);
	return i;
}

static void zram_returns_what_was_written(void **state)
{
	int fd = temp_fd();
	struct store *below = file_store(fd, 0), *s = zram(0, 10000, below);
	uint64_t seed = 3, *what = calloc(10000, sizeof(*what));

	for (unsigned round = 0; round < 20000; round++) {
		uint64_t slot = 1 + rnd(&seed) % 3000;
		switch (rnd(&seed) % 4) {
		case 0:
			s->ops->discard(s, slot, 1);
			what[slot] = 0;
			break;
		case 1:
			if (what[slot])
				expect(s, slot, what[slot]);
			break;
		default:
			what[slot] = 1 + rnd(&seed) % 100000;
			put(s, slot, what[slot]);
		}
	}
	for (uint64_t slot = 1; slot <= 3000; slot++)
		if (what[slot])
			expect(s, slot, what[slot]);
	s->ops->close(s);
	below->ops->close(below);
	close(fd);
	free(what);
}

static void zram_writes_and_reads_runs_of_mixed_pages(void **state)
{
	static page_t many[32], back[32];
	int fd = temp_fd();
	struct store *file = file_store(fd, 0), *s;
	struct faulty_store below;

	faulty_store_init(&below, file);
	s = zram(0, 1000, &below.store);
	for (unsigned i = 0; i < 32; i++) {
		if (i / 8 % 2)
			make_random(many[i], i); /* two runs of eight go below */
		else
			make_text(many[i], i);
	}
	assert_int_equal(s->ops->write(s, 101, 32, many), 0);
	assert_int_equal(below.write.calls, 2);
	assert_int_equal(below.write.pages, 16);
	assert_int_equal(info(s).objects, 16);
	assert_int_equal(info(s).passed, 16);
	assert_int_equal(s->ops->read(s, 101, 32, back), 0);
	assert_memory_equal(many, back, sizeof(many));
	assert_int_equal(below.read.calls, 2);
	s->ops->discard(s, 101, 32);
	assert_int_equal(info(s).objects, 0);
	s->ops->close(s);
	file->ops->close(file);
	close(fd);
}

static void zram_keeps_filled_pages_without_objects(void **state)
{
	static const uint64_t words[] = { 0, 1, ~0ull, 0x0101010101010101, 0xffff800000000000, 0x00007fffdeadb000, 0x3ff0000000000000,
		0x4000000000000000, 0x8000000000000000, 0xaaaaaaaaaaaaaaaa, 0x5555555555555555, 0xbfffffffffffffff };
	struct store *s = zram(0, 1000, NULL);
	page_t p, want;

	for (unsigned i = 0; i < ARRAY_SIZE(words); i++) {
		make_fill(p, words[i]);
		assert_int_equal(s->ops->write(s, 1 + i, 1, p), 0);
	}
	assert_int_equal(info(s).filled, ARRAY_SIZE(words) - 3);
	assert_int_equal(info(s).objects, 3); /* upper bits 10: eight bytes each */
	assert_int_equal(info(s).object_bytes, 24);
	for (unsigned i = 0; i < ARRAY_SIZE(words); i++) {
		make_fill(want, words[i]);
		assert_int_equal(s->ops->read(s, 1 + i, 1, p), 0);
		assert_memory_equal(p, want, PAGE_SIZE);
	}
	make_fill(p, 0);
	p[PAGE_SIZE - 1] = 1; /* nearly */
	assert_int_equal(s->ops->write(s, 1, 1, p), 0);
	assert_int_equal(s->ops->read(s, 1, 1, want), 0);
	assert_memory_equal(p, want, PAGE_SIZE);
	s->ops->close(s);
}

/* Pages of our own memory that the host has really given us for the store. */
static uint64_t pages_in_core(void)
{
	char line[256];
	FILE *f = fopen("/proc/self/smaps_rollup", "r");
	uint64_t kb = 0;

	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "Anonymous: %lu kB", &kb) == 1)
			break;
	fclose(f);
	return kb / 4;
}

static void zram_counts_its_memory_and_gives_it_back(void **state)
{
	enum { N = 8000 };
	uint64_t before = pages_in_core();
	struct store *s = zram(0, 1 << 24, NULL);
	uint64_t empty = s->ops->memory(s);
	page_t p;

	for (uint64_t i = 1; i <= N; i++) {
		make_text(p, i);
		assert_int_equal(s->ops->write(s, i, 1, p), 0);
	}
	struct store_zram_info in = info(s);
	uint64_t said = s->ops->memory(s) / PAGE_SIZE, real = pages_in_core() - before;
	print_message("    %d pages: %lu KiB of objects, %lu KiB said, %lu KiB real\n", N, in.object_bytes >> 10, said * 4, real * 4);
	assert_int_equal(in.objects, N);
	assert_true((double)in.chunk_bytes < 1.12 * (double)in.object_bytes);
#ifndef __SANITIZE_THREAD__ /* which keeps memory of its own for each page */
	assert_in_range(real, said - said / 50 - 16, said + said / 50 + 16);
#endif
	assert_true(said < N * 3 / 5);
	for (uint64_t i = 1; i <= N; i += 2)
		s->ops->discard(s, i, 1);
	for (uint64_t i = 2; i <= N; i += 2) {
		page_t want;
		make_text(want, i);
		assert_int_equal(s->ops->read(s, i, 1, p), 0);
		assert_memory_equal(p, want, PAGE_SIZE);
	}
	s->ops->discard(s, 1, N);
	assert_int_equal(info(s).chunk_bytes, 0);
	assert_int_equal(info(s).object_bytes, 0);
	assert_true(s->ops->memory(s) - empty < 160 * PAGE_SIZE); /* entries, descriptors and a workspace */
#ifndef __SANITIZE_THREAD__
	assert_true(pages_in_core() - before < 200);
#endif
	s->ops->close(s);
}

static void zram_counts_each_page_of_its_table_once(void **state)
{
	struct store *s = zram(0, 1 << 20, NULL);
	uint64_t empty = s->ops->memory(s);
	page_t p;

	make_fill(p, 0);
	for (uint64_t i = 0; i < 100; i++)
		assert_int_equal(s->ops->write(s, 1 + i * 512, 1, p), 0);
	for (uint64_t i = 0; i < 100; i++)
		assert_int_equal(s->ops->write(s, 2 + i * 512, 1, p), 0);
	assert_int_equal(s->ops->memory(s), empty + 100 * PAGE_SIZE);
	s->ops->close(s);
}

/* Slots far apart: the table takes more than what it names. */
static void zram_sinks_to_nothing(void **state)
{
	enum { N = 150, STEP = 701 };
	int fd = temp_fd();
	struct store *below = file_store(fd, 0), *s = zram(0, 1 << 18, below);
	uint64_t empty = s->ops->memory(s), full, moved;
	page_t p;

	for (uint64_t round = 0; round < 3; round++) {
		for (uint64_t i = 1; i <= N; i++)
			put(s, i * STEP, i + round);
		make_fill(p, 77);
		assert_int_equal(s->ops->write(s, 2, 1, p), 0);
		full = s->ops->memory(s);
		assert_true(full > empty + N * PAGE_SIZE);
		moved = s->ops->sink(s, 8 * PAGE_SIZE);
		assert_in_range(moved, 1, N);
		assert_in_range(s->ops->memory(s), empty + N / 2 * PAGE_SIZE, full - 8 * PAGE_SIZE);
		while (s->ops->sink(s, 1 << 20))
			;
		assert_true(s->ops->memory(s) <= empty + 2 * PAGE_SIZE); /* descriptors */
		assert_int_equal(info(s).objects + info(s).filled, 0);
		for (uint64_t i = 1; i <= N; i++)
			expect(s, i * STEP, i + round);
		page_t got;
		assert_int_equal(s->ops->read(s, 2, 1, got), 0);
		assert_memory_equal(got, p, PAGE_SIZE);
	}
	s->ops->close(s);
	below->ops->close(below);
	close(fd);
}

static void zram_space_that_is_freed_is_used_again(void **state)
{
	struct store *s = zram(0, 10000, NULL);
	uint64_t seed = 21, high = 0;
	page_t p;

	for (unsigned round = 0; round < 12; round++) {
		for (uint64_t i = 1; i <= 2000; i++) {
			make_text(p, rnd(&seed));
			memset(p, 0, rnd(&seed) % 3000); /* sizes of every kind */
			assert_int_equal(s->ops->write(s, 1 + rnd(&seed) % 2000, 1, p), 0);
		}
		if (round == 3)
			high = s->ops->memory(s);
	}
	assert_true(s->ops->memory(s) < high + high / 4);
	s->ops->close(s);
}

static void zram_never_exceeds_its_bound(void **state)
{
	enum { N = 2000 };
	int fd = temp_fd();
	struct store *below = file_store(fd, 0), *s = zram(1 << 20, 100000, below);

	for (uint64_t i = 1; i <= N; i++) {
		put(s, i, i);
		assert_true(s->ops->memory(s) <= 1 << 20);
	}
	assert_true(info(s).passed > N / 3);
	assert_true(info(s).objects > 300);
	for (uint64_t i = 1; i <= N; i++)
		expect(s, i, i);
	uint64_t objects = info(s).objects;
	s->ops->discard(s, 1, N / 2);
	assert_true(info(s).objects < objects);
	for (uint64_t i = 1; i <= N / 2; i++)
		put(s, i, i + 1);
	assert_true(info(s).objects > objects / 2);
	assert_true(s->ops->memory(s) <= 1 << 20);
	s->ops->close(s);
	below->ops->close(below);
	close(fd);
}

static void zram_alone_says_no_space(void **state)
{
	struct store *s = zram(1 << 18, 1000, NULL);
	page_t p;
	uint64_t i = 0;

	make_random(p, 1);
	assert_int_equal(s->ops->write(s, 1, 1, p), -ENOSPC);
	assert_int_equal(s->ops->read(s, 1, 1, p), -EIO);
	do {
		make_text(p, ++i);
	} while (i < 999 && s->ops->write(s, i, 1, p) == 0);
	assert_in_range(i, 50, 998);
	assert_int_equal(s->ops->read(s, i, 1, p), -EIO);
	for (uint64_t k = 1; k < i; k++) {
		page_t want;
		make_text(want, k);
		assert_int_equal(s->ops->read(s, k, 1, p), 0);
		assert_memory_equal(p, want, PAGE_SIZE);
	}
	make_fill(p, 5);
	assert_int_equal(s->ops->write(s, 1000, 1, p), -ENOSPC); /* beyond its slots */
	s->ops->close(s);
}

static void zram_page_may_change_tiers(void **state)
{
	int fd = temp_fd();
	struct store *below = file_store(fd, 0), *s = zram(0, 1000, below);
	page_t p, back;

	for (unsigned round = 0; round < 6; round++) {
		if (round % 2)
			make_random(p, round);
		else if (round == 4)
			make_fill(p, round);
		else
			make_text(p, round);
		assert_int_equal(s->ops->write(s, 9, 1, p), 0);
		assert_int_equal(s->ops->read(s, 9, 1, back), 0);
		assert_memory_equal(p, back, PAGE_SIZE);
		assert_int_equal(info(s).objects + info(s).filled, !(round % 2));
	}
	s->ops->discard(s, 9, 1);
	assert_int_equal(s->ops->read(s, 9, 1, back), -EIO); /* and not what the file still holds */
	s->ops->close(s);
	below->ops->close(below);
	close(fd);
}

static void zram_passes_errors_from_below_on(void **state)
{
	static page_t many[4];
	int fd = temp_fd();
	struct store *file = file_store(fd, 0), *s;
	struct faulty_store below;

	faulty_store_init(&below, file);
	s = zram(0, 1000, &below.store);
	for (unsigned i = 0; i < 4; i++)
		make_random(many[i], i);
	faulty_arm(&below.write, 1, 1, -ENOSPC, true);
	assert_int_equal(s->ops->write(s, 1, 4, many), -ENOSPC);
	assert_int_equal(s->ops->write(s, 1, 4, many), 0);
	faulty_arm(&below.read, 1, 2, -EIO, false);
	assert_int_equal(s->ops->read(s, 1, 4, many), -EIO);
	assert_int_equal(s->ops->read(s, 2, 1, many), -EIO);
	assert_int_equal(s->ops->read(s, 1, 4, many), 0);
	below.corrupt_slot = 2;
	below.corrupt_bit = 12345;
	page_t bad, good;
	assert_int_equal(s->ops->read(s, 2, 1, bad), 0); /* for the swap map's checksum to find */
	make_random(good, 1);
	assert_memory_not_equal(bad, good, PAGE_SIZE);
	s->ops->discard(s, 1, 4);
	assert_int_equal(below.discards, 4);
	s->ops->close(s);
	file->ops->close(file);
	close(fd);
}

static void zram_without_memory_from_the_port_hands_pages_below(void **state)
{
	int fd = temp_fd();
	struct store *below = file_store(fd, 0), *s = zram(0, 1000, below);
	struct store_zram_config cfg = { .max_slots = 1000 };

	for (uint64_t i = 1; i < 600; i++) {
		fail_alloc = 1;
		put(s, i, i);
		fail_alloc = 0;
	}
	assert_int_equal(info(s).chunk_bytes, 0);
	for (uint64_t i = 1; i < 600; i++)
		expect(s, i, i);
	s->ops->close(s);
	below->ops->close(below);
	for (uint64_t k = 1; k <= 4; k++) {
		uint64_t had = lent;
		fail_alloc = k;
		assert_int_equal(store_zram_create(&cfg, &test_port, &s), -ENOMEM);
		assert_int_equal(lent, had);
	}
	cfg.max_slots = 0;
	assert_int_equal(store_zram_create(&cfg, &test_port, &s), -EINVAL);
	cfg.max_slots = 10;
	cfg.max_bytes = 1;
	assert_int_equal(store_zram_create(&cfg, &test_port, &s), -EINVAL);
	close(fd);
}

/* ---------------------------------------------------------------- threads */

enum { THREADS = 8, SLOTS_EACH = 256 };
struct hammer { struct store *s; unsigned id, rounds; bool failed; };

/* Works on every eighth slot, so that neighbours share entries' pages, bitmap words and groups. */
static void *hammer(void *arg)
{
	struct hammer *h = arg;
	uint64_t seed = h->id + 1, what[SLOTS_EACH] = { 0 };
	page_t p, want;

	for (unsigned round = 0; round < h->rounds && !h->failed; round++) {
		unsigned i = (unsigned)(rnd(&seed) % SLOTS_EACH);
		uint64_t slot = 1 + i * THREADS + h->id;
		unsigned op = (unsigned)(rnd(&seed) % 5);
		if (op < 2) {
			what[i] = 1 + rnd(&seed) % 1000;
			make_any(p, what[i]);
			h->failed |= h->s->ops->write(h->s, slot, 1, p) != 0;
		} else if (op == 2 || round % 2000 > 1500) { /* now and then all die at once */
			h->s->ops->discard(h->s, slot, 1);
			what[i] = 0;
		} else if (what[i]) {
			make_any(want, what[i]);
			h->failed |= h->s->ops->read(h->s, slot, 1, p) != 0;
			h->failed |= memcmp(p, want, PAGE_SIZE) != 0;
		}
	}
	for (unsigned i = 0; i < SLOTS_EACH; i++)
		h->s->ops->discard(h->s, 1 + i * THREADS + h->id, 1);
	return NULL;
}

static void hammer_all(struct store *s, unsigned rounds)
{
	struct hammer h[THREADS];
	pthread_t t[THREADS];

	for (unsigned i = 0; i < THREADS; i++) {
		h[i] = (struct hammer){ .s = s, .id = i, .rounds = rounds };
		assert_int_equal(pthread_create(&t[i], NULL, hammer, &h[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	for (unsigned i = 0; i < THREADS; i++)
		assert_false(h[i].failed);
}

static void zram_serves_many_threads(void **state)
{
	int fd = temp_fd();
	struct store *below = file_store(fd, 0), *s = zram(2 << 20, 100000, below);

	hammer_all(s, 4000);
	assert_int_equal(info(s).objects, 0);
	assert_int_equal(info(s).filled, 0);
	assert_int_equal(info(s).chunk_bytes, 0);
	s->ops->close(s);
	below->ops->close(below);
	close(fd);
}

static int64_t racing_host(long nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f)
{
	if (nr == SYS_fallocate || nr == SYS_pwrite64)
		sched_yield(); /* so that others get in between */
	return host_syscall_raw(nr, a, b, c, d, e, f);
}

/* The host in the middle of a punch: another thread comes along. */
static struct {
	struct store *s;
	void *(*other)(void *);  /* the other thread's work */
	void (*meanwhile)(struct store *); /* done in the middle, once the other waits */
	pthread_t thread;
	bool wrote;              /* the other one's data went to the host during the punch */
	unsigned punches;
} race;

static int64_t punching_host(long nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f)
{
	if (nr == SYS_pwrite64)
		__atomic_store_n(&race.wrote, true, __ATOMIC_SEQ_CST);
	if (nr != SYS_fallocate || race.punches++)
		return host_syscall_raw(nr, a, b, c, d, e, f);
	unsigned before = __atomic_load_n(&waits, __ATOMIC_SEQ_CST);
	race.wrote = false;
	assert_int_equal(pthread_create(&race.thread, NULL, race.other, race.s), 0);
	while (__atomic_load_n(&waits, __ATOMIC_SEQ_CST) == before && !__atomic_load_n(&race.wrote, __ATOMIC_SEQ_CST))
		sched_yield();
	if (race.meanwhile)
		race.meanwhile(race.s);
	return host_syscall_raw(nr, a, b, c, d, e, f);
}

static void *write_slot_3(void *arg)
{
	put(arg, 3, 33);
	return NULL;
}

static void *discard_group_1(void *arg)
{
	struct store *s = arg;

	s->ops->discard(s, 256, 256);
	return NULL;
}

static void write_slot_300(struct store *s)
{
	put(s, 300, 77);
}

static struct store *two_groups(int fd)
{
	struct store *s = file_store(fd, 0);

	for (uint64_t i = 0; i < 512; i++)
		put(s, i, 3);
	memset(&race, 0, sizeof(race));
	race.s = s;
	return s;
}

static void file_write_waits_for_the_punch_of_its_group(void **state)
{
	int fd = temp_fd();
	struct store *s = two_groups(fd);

	race.other = write_slot_3;
	host_table.call = punching_host;
	s->ops->discard(s, 0, 256);
	pthread_join(race.thread, NULL);
	expect(s, 3, 33);
	s->ops->close(s);
	close(fd);
}

static void file_does_not_punch_what_came_back_to_life_meanwhile(void **state)
{
	int fd = temp_fd();
	struct store *s = two_groups(fd);

	race.other = discard_group_1; /* waits for the first punch */
	race.meanwhile = write_slot_300;
	host_table.call = punching_host;
	s->ops->discard(s, 0, 256);
	pthread_join(race.thread, NULL);
	assert_int_equal(race.punches, 1);
	expect(s, 300, 77);
	s->ops->close(s);
	close(fd);
}

static void file_serves_many_threads_while_it_punches(void **state)
{
	int fd = temp_fd();
	struct store *s = file_store(fd, 0);

	host_table.call = racing_host;
	hammer_all(s, 4000);
	assert_true(blocks_of(fd) <= 64 << 10);
	s->ops->close(s);
	close(fd);
}

#define T(name) cmocka_unit_test_setup_teardown(name, before_each, after_each)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(lz4_is_interchangeable_with_liblz4),
		T(lz4_takes_every_length_and_every_period),
		T(lz4_keeps_within_the_room_it_is_given),
		T(lz4_of_damaged_blocks_errs_or_stays_inside),
		T(lz4_refuses_blocks_of_another_length),
		T(pool_objects_never_overlap_and_memory_comes_back),
		T(pool_wastes_at_most_an_eighth),
		T(pool_takes_the_smallest_and_largest_object_and_no_more_than_its_bound),
		T(file_returns_what_was_written),
		T(file_read_of_what_was_never_written_is_an_error),
		T(file_keeps_to_its_size),
		T(file_gives_blocks_back_by_the_megabyte),
		T(file_goes_on_after_short_and_interrupted_calls),
		T(file_reports_whichever_host_call_fails),
		T(file_lives_without_punching),
		T(file_that_cannot_hold_slots_is_refused),
		T(shared_file_believes_in_slots_of_others),
		T(zram_returns_what_was_written),
		T(zram_writes_and_reads_runs_of_mixed_pages),
		T(zram_keeps_filled_pages_without_objects),
		T(zram_counts_its_memory_and_gives_it_back),
		T(zram_counts_each_page_of_its_table_once),
		T(zram_sinks_to_nothing),
		T(zram_space_that_is_freed_is_used_again),
		T(zram_never_exceeds_its_bound),
		T(zram_alone_says_no_space),
		T(zram_page_may_change_tiers),
		T(zram_passes_errors_from_below_on),
		T(zram_without_memory_from_the_port_hands_pages_below),
		T(zram_serves_many_threads),
		T(file_write_waits_for_the_punch_of_its_group),
		T(file_does_not_punch_what_came_back_to_life_meanwhile),
		T(file_serves_many_threads_while_it_punches),
	};

#ifdef __SANITIZE_THREAD__
	cmocka_set_test_filter("*many_threads*"); /* the others have one */
#endif
	return cmocka_run_group_tests(tests, NULL, NULL);
}
