/* SPDX-License-Identifier: MIT */
/* sort.c - sort a file of 64-bit numbers in place, in less memory than it is long
 *
 *	sort FILE MIB       the bound in MiB
 *
 * The algorithm knows nothing of files or bounds: it is given an array.  Quicksort suits memory that comes in pages, because each
 * partition goes through its part in order, from both ends. */
#include <softfault.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

static void exchange(uint64_t *a, uint64_t *b)
{
	uint64_t was = *a;

	*a = *b;
	*b = was;
}

/* The larger part is left to the loop, so that the stack stays small. */
static void sort(uint64_t *a, size_t n)
{
	while (n > 1) {
		uint64_t pivot = a[(n - 1) / 2]; /* not the last, so that neither part is all */
		size_t i = 0, j = n - 1;

		for (;; i++, j--) {
			while (a[i] < pivot)
				i++;
			while (a[j] > pivot)
				j--;
			if (i >= j)
				break;
			exchange(&a[i], &a[j]);
		}
		j++; /* [0, j) <= pivot <= [j, n) */
		if (j < n - j) {
			sort(a, j);
			a += j;
			n -= j;
		} else {
			sort(a + j, n - j);
			n = j;
		}
	}
}

static void check(const char *what, int err)
{
	if (!err)
		return;
	fprintf(stderr, "%s: %s\n", what, strerror(-err));
	exit(1);
}

int main(int argc, char **argv)
{
	struct sf_pool_options po = { .struct_size = sizeof(po) };
	struct sf_map_options mo = { .struct_size = sizeof(mo), .kind = SF_FILE_SHARED };
	struct sf_pool_stats st = { .struct_size = sizeof(st) };
	sf_region *region;
	struct stat file;
	sf_pool *pool;
	void *mem;

	if (argc != 3) {
		fprintf(stderr, "usage: sort FILE MIB\n");
		return 2;
	}
	mo.fd = open(argv[1], O_RDWR | O_CLOEXEC);
	if (mo.fd < 0 || fstat(mo.fd, &file) || !file.st_size) {
		perror(argv[1]);
		return 1;
	}
	po.bound = strtoull(argv[2], NULL, 10) << 20;
	check("sf_pool_create", sf_pool_create(&po, &pool));
	check("sf_map", sf_map(pool, (uint64_t)file.st_size, &mo, &region, &mem));
	sort(mem, (size_t)file.st_size / sizeof(uint64_t));
	check("sf_sync", sf_sync(region, 0, 0, 0));
	check("sf_pool_stats", sf_pool_stats(pool, &st));
	printf("%lld numbers; peak %.1f of %.1f MiB; pages read %llu, written %llu\n", (long long)file.st_size / 8,
	       (double)st.peak_resident / 0x1p20, (double)st.bound / 0x1p20, (unsigned long long)st.home_in, (unsigned long long)st.home_out);
	check("sf_unmap", sf_unmap(region));
	check("sf_pool_destroy", sf_pool_destroy(pool));
	return 0;
}
