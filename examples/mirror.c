/* SPDX-License-Identifier: MIT */
/* mirror.c - a store of one's own: each page in two files, read from whichever still has it
 *
 *	mirror FILE1 FILE2 MIB        works on MIB of memory in a bound of 2 MiB, and loses FILE1 half-way
 *
 * The operations use system calls and nothing else, so the faulting thread may make them itself (SF_STORE_INLINE).  What both files
 * have lost is an error of that page: -EIO in an sf_try scope, never wrong data. */
#include <softfault.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct mirror {
	int fd[2];
	unsigned long served[2]; /* reads */
};

static int64_t mirror_read(void *arg, void *buf, size_t len, uint64_t off)
{
	struct mirror *m = arg;

	for (int i = 0; i < 2; i++)
		if (pread(m->fd[i], buf, len, (off_t)off) == (ssize_t)len) {
			m->served[i]++;
			return (int64_t)len;
		}
	return -EIO;
}

static int64_t mirror_write(void *arg, const void *buf, size_t len, uint64_t off)
{
	struct mirror *m = arg;
	int good = 0;

	for (int i = 0; i < 2; i++)
		good += pwrite(m->fd[i], buf, len, (off_t)off) == (ssize_t)len;
	return good ? (int64_t)len : -EIO;
}

static int mirror_sync(void *arg)
{
	struct mirror *m = arg;
	int a = fdatasync(m->fd[0]), b = fdatasync(m->fd[1]);

	return a && b ? -EIO : 0;
}

static const struct sf_store_ops mirror_ops = {
	.struct_size = sizeof(mirror_ops), .name = "mirror", .flags = SF_STORE_INLINE,
	.read = mirror_read, .write = mirror_write, .sync = mirror_sync,
};

static void check(const char *what, int err)
{
	if (!err)
		return;
	fprintf(stderr, "%s: %s\n", what, strerror(-err));
	exit(1);
}

static uint64_t wrong(const uint64_t *words, uint64_t n)
{
	uint64_t bad = 0;

	for (uint64_t i = 0; i < n; i++)
		bad += words[i] != i * 2654435761u;
	return bad;
}

int main(int argc, char **argv)
{
	struct sf_pool_options po = { .struct_size = sizeof(po), .bound = 2 << 20 };
	struct mirror m = { .fd = { -1, -1 } };
	sf_region *region;
	uint64_t len, bad;
	sf_pool *pool;
	void *mem;

	if (argc != 4) {
		fprintf(stderr, "usage: mirror FILE1 FILE2 MIB\n");
		return 2;
	}
	for (int i = 0; i < 2; i++)
		if ((m.fd[i] = open(argv[1 + i], O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)) < 0)
			check(argv[1 + i], -errno);
	len = strtoull(argv[3], NULL, 10) << 20;
	check("sf_store_create", sf_store_create(&mirror_ops, &m, &po.store));
	check("sf_pool_create", sf_pool_create(&po, &pool));
	check("sf_map", sf_map(pool, len, NULL, &region, &mem));
	for (uint64_t i = 0; i < len / 8; i++)
		((uint64_t *)mem)[i] = i * 2654435761u;
	bad = wrong(mem, len / 16);
	close(m.fd[0]); /* the disk is gone */
	m.fd[0] = -1;
	bad += wrong(mem, len / 8);
	printf("wrong words: %llu; reads from the first file %s, from the second %s\n", (unsigned long long)bad, m.served[0] ? "some" : "none",
	       m.served[1] ? "some" : "none");
	check("sf_unmap", sf_unmap(region));
	check("sf_pool_destroy", sf_pool_destroy(pool));
	check("sf_store_close", sf_store_close(po.store));
	return bad != 0;
}
