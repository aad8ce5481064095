/* SPDX-License-Identifier: MIT */
/* kvlog.c - keys and values in a file that a crash cannot tear
 *
 *	kvlog FILE set KEY VALUE …    one change, all of it or nothing
 *	kvlog FILE get KEY
 *	kvlog FILE list
 *
 * The file is mapped and used as memory: a header and, behind it, records in the order in which they were set; the last one of a key
 * counts.  Changes reach the file by sf_sync_atomic alone, through FILE.log.  Killed at any instant, the next start
 * finds either all records of a set or none. */
#include <softfault.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SIZE (256u << 20) /* sparse until it is used */
#define MAGIC 0x31676f6c766b66ull

struct header {
	uint64_t magic, used; /* bytes of records */
	char records[];
};

/* Followed by the key and the value, each with its NUL. */
struct record {
	uint32_t key_len, value_len;
	char data[];
};

static struct sf_atomic_options log_opt = { .struct_size = sizeof(log_opt) };
static sf_region *region;
static struct header *db;

static void check(const char *what, int err)
{
	if (err >= 0)
		return;
	fprintf(stderr, "%s: %s\n", what, strerror(-err));
	exit(1);
}

static int open_file(const char *name)
{
	int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0666);

	if (fd < 0) {
		perror(name);
		exit(1);
	}
	return fd;
}

static void open_db(const char *name)
{
	struct sf_pool_options po = { .struct_size = sizeof(po), .bound = 4 << 20 };
	struct sf_map_options mo = { .struct_size = sizeof(mo), .kind = SF_FILE_SHARED, .flags = SF_MAP_ORDERED };
	char log_name[4096];
	sf_pool *pool;

	snprintf(log_name, sizeof(log_name), "%s.log", name);
	mo.fd = open_file(name);
	log_opt.log_fd = open_file(log_name);
	check("sf_recover", sf_recover(mo.fd, log_opt.log_fd));
	if (ftruncate(mo.fd, SIZE))
		perror("ftruncate");
	check("sf_store_memory", sf_store_memory(SIZE, &po.store)); /* changes between syncs that do not fit */
	check("sf_pool_create", sf_pool_create(&po, &pool));
	check("sf_map", sf_map(pool, SIZE, &mo, &region, (void **)&db));
	if (!db->magic)
		db->magic = MAGIC;
	if (db->magic != MAGIC)
		check(name, -EINVAL);
}

static size_t record_size(const struct record *r)
{
	return (sizeof(*r) + r->key_len + r->value_len + 7) & ~7ul;
}

static struct record *record_at(uint64_t off)
{
	return (struct record *)(void *)(db->records + off);
}

static void set(const char *key, const char *value)
{
	size_t k = strlen(key) + 1, v = strlen(value) + 1;
	struct record *r = record_at(db->used);

	if (db->used + k + v + 2 * sizeof(*r) > SIZE - sizeof(*db))
		check("set", -ENOSPC);
	r->key_len = (uint32_t)k;
	r->value_len = (uint32_t)v;
	memcpy(r->data, key, k);
	memcpy(r->data + k, value, v);
	db->used += record_size(r);
}

static const char *get(const char *key)
{
	const char *found = NULL;

	for (uint64_t off = 0; off < db->used; off += record_size(record_at(off)))
		if (!strcmp(record_at(off)->data, key))
			found = record_at(off)->data + record_at(off)->key_len;
	return found;
}

int main(int argc, char **argv)
{
	if (argc < 3) {
		fprintf(stderr, "usage: kvlog FILE set KEY VALUE ... | get KEY | list\n");
		return 2;
	}
	open_db(argv[1]);
	if (!strcmp(argv[2], "set")) {
		for (int i = 3; i + 1 < argc; i += 2)
			set(argv[i], argv[i + 1]);
		check("sf_sync_atomic", sf_sync_atomic(region, &log_opt));
	} else if (!strcmp(argv[2], "get") && argc == 4) {
		const char *v = get(argv[3]);

		puts(v ? v : "");
		return !v;
	} else {
		for (uint64_t off = 0; off < db->used; off += record_size(record_at(off)))
			printf("%s %s\n", record_at(off)->data, record_at(off)->data + record_at(off)->key_len);
	}
	return 0;
}
