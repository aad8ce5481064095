/* SPDX-License-Identifier: MIT */
/* lib_test.c - see lib_test.h */
#include "lib_test.h"

#include <dirent.h>
#include <sys/mman.h>

unsigned lib_engine;
static sf_store *memory;

/* The test framework puts its own handlers in front for each test. */
sf_pool *open_pool(uint64_t bound)
{
	sf_pool *pool;

	OK(sf_store_memory(1ull << 32, &memory));
	OK(sf_pool_create(POOL_OPTIONS(.bound = bound, .store = memory), &pool));
	assert_true(sf_rearm() >= 0);
	return pool;
}

void close_pool(sf_pool *pool)
{
	struct sf_pool_stats st = pool_stats(pool);

	assert_int_equal(st.regions, 0);
	assert_int_equal(st.pinned, 0);
	assert_int_equal(st.resident, 0);
	assert_int_equal(st.store_bytes, 0);
	OK(sf_pool_destroy(pool));
	OK(sf_store_close(memory));
}

uint64_t mark(uint64_t page)
{
	return page * 0x9e3779b97f4a7c15ull | 1;
}

void fill_page(void *at, uint64_t word)
{
	for (unsigned i = 0; i < PAGE / 8; i++)
		((volatile uint64_t *)at)[i] = word;
}

bool page_has(const void *at, uint64_t word)
{
	for (unsigned i = 0; i < PAGE / 8; i++)
		if (((const volatile uint64_t *)at)[i] != word)
			return false;
	return true;
}

static int fill_file(int fd, unsigned pages)
{
	uint64_t buf[PAGE / 8];

	assert_true(fd >= 0);
	for (unsigned i = 0; i < pages; i++) {
		fill_page(buf, mark(i));
		assert_int_equal(pwrite(fd, buf, PAGE, (off_t)(i * PAGE)), PAGE);
	}
	return fd;
}

int temp_file(unsigned pages)
{
	char path[] = "/tmp/softfault-XXXXXX";
	int fd = mkstemp(path);

	unlink(path);
	return fill_file(fd, pages);
}

int memory_file(unsigned pages)
{
	return fill_file(memfd_create("test", MFD_CLOEXEC), pages);
}

bool file_has(int fd, unsigned page, uint64_t word)
{
	uint64_t buf[PAGE / 8];

	return pread(fd, buf, PAGE, (off_t)(page * PAGE)) == (ssize_t)PAGE && page_has(buf, word);
}

int try_read(const volatile void *at)
{
	struct sf_try t;

	if (!sf_try(&t)) {
		(void)*(const volatile char *)at;
		sf_try_end(&t);
		return 0;
	}
	assert_ptr_equal(t.addr, at);
	assert_int_equal(t.write, 0);
	return t.error;
}

int try_write(volatile void *at, char c)
{
	struct sf_try t;

	if (!sf_try(&t)) {
		*(volatile char *)at = c;
		sf_try_end(&t);
		return 0;
	}
	assert_ptr_equal(t.addr, at);
	assert_int_equal(t.write, 1);
	return t.error;
}

struct sf_pool_stats pool_stats(sf_pool *p)
{
	struct sf_pool_stats st = { .struct_size = sizeof(st) };

	OK(sf_pool_stats(p, &st));
	return st;
}

struct sf_region_stats region_stats(sf_region *r)
{
	struct sf_region_stats st = { .struct_size = sizeof(st) };

	OK(sf_region_stats(r, &st));
	return st;
}

static unsigned count_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

int run_on_engines(const char *name, const struct CMUnitTest *tests, size_t n)
{
	static const char *const engines[] = { "", "uffd", "segv" };
	int failed = 0;

	for (lib_engine = 1; lib_engine <= 2; lib_engine++) {
		char group[200];
		sf_pool *pool;
		int err = sf_pool_create(POOL_OPTIONS(.bound = BOUND), &pool);

		if (err) {
			printf("# %s does not work here: %s\n", engines[lib_engine], strerror(-err));
			continue;
		}
		sf_pool_destroy(pool);
		unsigned fds = count_fds();

		snprintf(group, sizeof(group), "%s on %s", name, engines[lib_engine]);
		failed += _cmocka_run_group_tests(group, tests, n, NULL, NULL);
		if (count_fds() != fds) {
			printf("# %u descriptors before, %u after\n", fds, count_fds());
			failed++;
		}
	}
	return failed;
}
