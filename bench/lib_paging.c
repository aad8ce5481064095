/* SPDX-License-Identifier: MIT */
/* lib_paging.c - accesses to a file four times larger than the memory for it, by several means: how many a second, and at what cost
 *
 *	lib_paging MEANS PATTERN OP PAGE THREADS FILE BOUND MS
 *
 *	MEANS    uffd, segv   a shared file region of libsoftfault, by engine
 *	         mmap         the host's mapping (bound it by a memory cgroup), mmap-random: with MADV_RANDOM
 *	         pool         a buffer pool as applications write it: 16 parts, each a lock, a table and a clock, with pread and pwrite
 *	         pread        no pool: one pread or pwrite an access
 *	         …-direct     the same past the host's page cache (not for mmap)
 *	PATTERN  uniform, zipf (0.99, ranks scattered), once (a shuffle: no page twice), scan (in order, every byte)
 *	OP       r, w         one word of a page; scan only reads
 *	PAGE     4096 or 65536: what is brought in together.  BOUND, in bytes, and the FILE's length are multiples of it
 *
 * Prints accesses (scan: pages of 4 KiB) a second, and nanoseconds of processor time for each, threads of the library included.
 * Before it measures, the memory is filled by accesses of the same kind. */
#include <softfault.h>

#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define TABLE (1u << 19)
#define CHUNK (128u << 10)

static const char *means, *pattern;
static bool writing, scanning;
static uint64_t page, length, bound, nr_pages;
static unsigned threads;
static double limit_ns;
static int fd;
static volatile char *mem; /* of a region or a mapping */

static void check(const char *what, long err)
{
	if (!err)
		return;
	fprintf(stderr, "lib_paging: %s: %s\n", what, strerror(err < 0 ? (int)-err : errno));
	exit(1);
}

static double clock_ns(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* ---------------------------------------------------------------- which page next */

static uint64_t rng(uint64_t *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 7;
	*s ^= *s << 17;
	return *s;
}

/* Gray et al., "Quickly generating billion-record synthetic databases". */
static void zipf_fill(uint32_t *at, uint64_t seed)
{
	const double theta = 0.99, n = (double)nr_pages;
	double zetan = 0, zeta2 = 1 + pow(0.5, theta), alpha = 1 / (1 - theta);

	for (uint64_t i = 1; i <= nr_pages; i++)
		zetan += pow(1.0 / (double)i, theta);
	double eta = (1 - pow(2 / n, 1 - theta)) / (1 - zeta2 / zetan);

	for (unsigned i = 0; i < TABLE; i++) {
		double u = (double)(rng(&seed) >> 11) * 0x1p-53, uz = u * zetan;
		uint64_t rank = uz < 1 ? 0 : uz < zeta2 ? 1 : (uint64_t)(n * pow(eta * u - eta + 1, alpha));

		at[i] = (uint32_t)(rank * 2654435761u % nr_pages);
	}
}

static void once_fill(uint32_t *at, uint64_t seed)
{
	for (unsigned i = 0; i < nr_pages; i++)
		at[i] = i;
	for (unsigned i = (unsigned)nr_pages - 1; i; i--) {
		unsigned j = (unsigned)(rng(&seed) % (i + 1)), was = at[i];

		at[i] = at[j];
		at[j] = was;
	}
}

static uint32_t *order(uint64_t seed)
{
	uint32_t *at = malloc(TABLE * sizeof(*at));

	if (!at || nr_pages > TABLE)
		check("too many pages", -ENOMEM);
	if (*pattern == 'z')
		zipf_fill(at, seed);
	else if (*pattern == 'o')
		once_fill(at, seed);
	else
		for (unsigned i = 0; i < TABLE; i++)
			at[i] = (uint32_t)(rng(&seed) % nr_pages);
	return at;
}

/* ---------------------------------------------------------------- a buffer pool as applications write it */

#define PARTS 16u

struct part {
	pthread_mutex_t lock;
	unsigned frames, hand;
	uint32_t *frame_of;  /* page / PARTS -> frame + 1 */
	uint32_t *page_of;   /* frame -> page + 1 */
	uint8_t *touched, *dirty;
	char *data;
};
static struct part parts[PARTS];

static void pool_open(void)
{
	for (unsigned i = 0; i < PARTS; i++) {
		struct part *p = &parts[i];

		pthread_mutex_init(&p->lock, NULL);
		p->frames = (unsigned)(bound / page / PARTS);
		p->frame_of = calloc(nr_pages / PARTS + 1, sizeof(uint32_t));
		p->page_of = calloc(p->frames, sizeof(uint32_t));
		p->touched = calloc(p->frames, 1);
		p->dirty = calloc(p->frames, 1);
		p->data = mmap(NULL, p->frames * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	}
}

static void transfer(bool out, char *buf, uint64_t pg)
{
	ssize_t n = out ? pwrite(fd, buf, page, (off_t)(pg * page)) : pread(fd, buf, page, (off_t)(pg * page));

	if (n != (ssize_t)page)
		check(out ? "pwrite" : "pread", n < 0 ? -errno : -EIO);
}

static unsigned pool_miss(struct part *p, uint64_t pg)
{
	while (p->touched[p->hand]) {
		p->touched[p->hand] = 0;
		p->hand = (p->hand + 1) % p->frames;
	}
	unsigned f = p->hand;
	char *buf = p->data + f * page;

	p->hand = (p->hand + 1) % p->frames;
	if (p->dirty[f])
		transfer(true, buf, p->page_of[f] - 1);
	if (p->page_of[f])
		p->frame_of[(p->page_of[f] - 1) / PARTS] = 0;
	transfer(false, buf, pg);
	p->dirty[f] = 0;
	p->page_of[f] = (uint32_t)pg + 1;
	p->frame_of[pg / PARTS] = f + 1;
	return f;
}

static uint64_t pool_access(uint64_t pg, uint64_t off)
{
	struct part *p = &parts[pg % PARTS];
	uint64_t v;

	pthread_mutex_lock(&p->lock);
	unsigned f = p->frame_of[pg / PARTS];

	f = f ? f - 1 : pool_miss(p, pg);
	p->touched[f] = 1;

	uint64_t *w = (uint64_t *)(p->data + f * page + off);

	if (writing) {
		*w = pg;
		p->dirty[f] = 1;
	}
	v = *w;
	pthread_mutex_unlock(&p->lock);
	return v;
}

/* ---------------------------------------------------------------- one access, and many */

static uint64_t access_by_call(uint64_t pg, uint64_t off)
{
	static __thread char *buf;

	if (!buf)
		buf = aligned_alloc(4096, page);
	transfer(false, buf, pg);
	if (writing) {
		memcpy(buf + off, &pg, sizeof(pg));
		transfer(true, buf, pg);
	}
	return *(uint64_t *)(buf + off);
}

static uint64_t access_in_memory(uint64_t pg, uint64_t off)
{
	volatile uint64_t *w = (volatile uint64_t *)(mem + pg * page + off);

	if (writing)
		*w = pg;
	return *w;
}

static uint64_t access_one(uint64_t pg, uint64_t off)
{
	if (mem)
		return access_in_memory(pg, off);
	return parts[0].page_of ? pool_access(pg, off) : access_by_call(pg, off);
}

static uint64_t sum_words(const volatile char *p, uint64_t n)
{
	const uint64_t *w = (const uint64_t *)(uintptr_t)p;
	uint64_t a = 0, b = 0;

	for (uint64_t i = 0; i < n / 8; i += 2) {
		a += w[i];
		b += w[i + 1];
	}
	return a + b;
}

/* [from, to) in order. */
static void scan(uint64_t from, uint64_t to)
{
	static volatile uint64_t sink;
	uint64_t sum = 0;
	char *buf = aligned_alloc(4096, CHUNK);

	for (uint64_t at = from; at < to; at += CHUNK) {
		if (!mem && pread(fd, buf, CHUNK, (off_t)at) != CHUNK)
			check("pread", -EIO);
		sum += sum_words(mem ? mem + at : buf, CHUNK);
	}
	free(buf);
	sink += sum;
}

struct worker {
	pthread_t thread;
	uint32_t *at;
	unsigned nr, warm;   /* accesses beforehand */
	uint64_t done;
	double wall;
};
static pthread_barrier_t filled, go;

static uint64_t run(struct worker *w, uint64_t most, double until)
{
	static volatile uint64_t sink;
	uint64_t n = 0, seed = w->nr + 77;

	while (n < most && (!until || clock_ns(CLOCK_MONOTONIC) < until))
		for (unsigned k = 0; k < 32; k++, n++)
			sink += access_one(w->at[(w->done + n) % (*pattern == 'o' ? nr_pages : TABLE)], rng(&seed) % page & ~7ull);
	w->done += n;
	return n;
}

static void *work(void *arg)
{
	struct worker *w = arg;
	uint64_t part = length / threads & ~(CHUNK - 1ull), n;

	if (scanning)
		scan(w->nr * part, w->nr * part + part);
	else
		run(w, w->warm, 0);
	pthread_barrier_wait(&filled);
	pthread_barrier_wait(&go);
	double start = clock_ns(CLOCK_MONOTONIC);

	if (scanning) {
		scan(w->nr * part, w->nr * part + part);
		n = part / 4096;
	} else {
		n = run(w, *pattern == 'o' ? nr_pages / threads / 4 : UINT64_MAX, start + limit_ns);
	}
	w->wall = clock_ns(CLOCK_MONOTONIC) - start;
	w->done = n;
	return NULL;
}

static void measure(void)
{
	struct worker w[16] = { 0 };
	double cpu, wall = 0;
	uint64_t done = 0;

	pthread_barrier_init(&filled, NULL, threads + 1);
	pthread_barrier_init(&go, NULL, threads + 1);
	for (unsigned i = 0; i < threads; i++) {
		w[i].nr = i;
		w[i].warm = *pattern == 'o' ? 0 : (unsigned)(bound / page / threads);
		w[i].at = scanning ? NULL : order(12345 + i * 977);
		pthread_create(&w[i].thread, NULL, work, &w[i]);
	}
	pthread_barrier_wait(&filled);
	cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
	pthread_barrier_wait(&go);
	for (unsigned i = 0; i < threads; i++) {
		pthread_join(w[i].thread, NULL);
		done += w[i].done;
		wall = w[i].wall > wall ? w[i].wall : wall;
	}
	cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	printf("%.0f %.0f\n", (double)done / wall * 1e9, cpu / (double)done);
}

/* ---------------------------------------------------------------- set-up */

static void region_open(uint32_t engine)
{
	struct sf_pool_options po = { .struct_size = sizeof(po), .bound = bound, .engine = engine };
	struct sf_map_options mo = { .struct_size = sizeof(mo), .kind = SF_FILE_SHARED, .prot = SF_READ | SF_WRITE, .fd = fd };
	sf_pool *pool;
	sf_region *region;

	mo.cluster = scanning ? 0 : (uint32_t)page;
	check("sf_pool_create", sf_pool_create(&po, &pool));
	check("sf_map", sf_map(pool, length, &mo, &region, (void **)&mem));
	check("sf_advise", sf_advise(region, 0, 0, scanning ? SF_SEQUENTIAL : page == SF_PAGE ? SF_RANDOM : SF_NORMAL));
}

static void set_up(const char *file)
{
	struct stat st;

	fd = open(file, O_RDWR | O_CLOEXEC | (strstr(means, "-direct") ? O_DIRECT : 0));
	if (fd < 0 || fstat(fd, &st))
		check(file, -errno);
	length = (uint64_t)st.st_size;
	nr_pages = length / page;
	if (*pattern == 'o') /* cold, and the host is to read no more than it is asked for */
		check("posix_fadvise", -posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) | -posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM));
	if (!strncmp(means, "uffd", 4) || !strncmp(means, "segv", 4)) {
		region_open(*means == 'u' ? SF_ENGINE_UFFD : SF_ENGINE_SEGV);
	} else if (!strncmp(means, "mmap", 4)) {
		mem = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (mem == MAP_FAILED)
			check("mmap", -errno);
		if (means[4])
			madvise((void *)mem, length, MADV_RANDOM);
	} else if (!strncmp(means, "pool", 4)) {
		pool_open();
	}
}

int main(int argc, char **argv)
{
	if (argc != 9) {
		fprintf(stderr, "usage: lib_paging MEANS PATTERN OP PAGE THREADS FILE BOUND MS\n");
		return 2;
	}
	means = argv[1];
	pattern = argv[2];
	scanning = !strcmp(pattern, "scan");
	writing = *argv[3] == 'w';
	page = strtoull(argv[4], NULL, 0);
	threads = (unsigned)atoi(argv[5]);
	bound = strtoull(argv[7], NULL, 0);
	limit_ns = atof(argv[8]) * 1e6;
	if (page < 4096 || !threads || threads > 16)
		return 2;
	set_up(argv[6]);
	measure();
	return 0;
}
