/* SPDX-License-Identifier: MIT */
/* lib_test.h - what the tests of libsoftfault share: every test runs on both engines, and leaves nothing behind */
#ifndef SF_LIB_TEST_H
#define SF_LIB_TEST_H

#include <setjmp.h>
#include <stdbool.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "include/softfault.h"

#define PAGE SF_PAGE
#define BOUND (64 * PAGE)
extern unsigned lib_engine; /* of this run */

#define OK(expr) assert_int_equal((expr), 0)
#define POOL_OPTIONS(...) (&(struct sf_pool_options){ .struct_size = sizeof(struct sf_pool_options), .engine = lib_engine, __VA_ARGS__ })
#define MAP(...) (&(struct sf_map_options){ .struct_size = sizeof(struct sf_map_options), __VA_ARGS__ })

/* A pool of this bound, above a store in memory; close_pool checks that nothing is left. */
sf_pool *open_pool(uint64_t bound);
void close_pool(sf_pool *pool);
/* A file of so many pages, each word of page i being mark(i); unlinked. */
int temp_file(unsigned pages);
int memory_file(unsigned pages); /* the same without a disk */
uint64_t mark(uint64_t page);
/* Does page i of the file hold this word throughout? */
bool file_has(int fd, unsigned page, uint64_t word);
void fill_page(void *at, uint64_t word);
bool page_has(const void *at, uint64_t word);
/* The error of a read (write) of one byte there, 0: none. */
int try_read(const volatile void *at);
int try_write(volatile void *at, char c);
struct sf_pool_stats pool_stats(sf_pool *p);
struct sf_region_stats region_stats(sf_region *r);

/* Runs the group once for each engine that works here; for main(). */
int run_on_engines(const char *name, const struct CMUnitTest *tests, size_t n);
#define MAIN(tests)                                                                     \
	int main(void)                                                                  \
	{                                                                               \
		return run_on_engines(__FILE__, tests, sizeof(tests) / sizeof((tests)[0])); \
	}
#endif
