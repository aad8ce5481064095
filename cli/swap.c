/* SPDX-License-Identifier: MIT */
/* swap.c - the swap file: which one, may it be used, and what is left of it afterwards
 *
 *   PATH is             then
 *   not given           an unlinked file in $TMPDIR, else /var/tmp
 *   a directory         an unlinked file in it
 *   not there           created, removed when the program has ended
 *   an empty file       used, and emptied when the program has ended
 *   one of ours         the same (its first page says so)
 *   any other file      refused: somebody's data may be in it
 *
 * The first page (slot 0, which the swap map never hands out) says whose file it is; a lock keeps two runs from sharing it.
 * The lock belongs to the open file, so it lasts as long as any process of the run. */
#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

static const char mark[] = "softfault swap 1\n";

/* More than this the swap map's tables are not laid out for unless --swap-size says so. */
#define DEFAULT_MOST (256ull << 30)


static void parse_zram(const char *tier, struct swap_plan *plan)
{
	plan->zram = true;
	if (tier[4] != ':')
		return;
	if (parse_size(tier + 5, physical_memory(), &plan->zram_bytes) || plan->zram_bytes < PAGE_SIZE)
		cli_die(EXIT_OURS, "--swap: '%s' is not a size", tier + 5);
}

void swap_parse(char *text, struct swap_plan *ret)
{
	unsigned n = 0;
	char *rest = text, *tier;

	*ret = (struct swap_plan){ .size = ret->size };
	while ((tier = strsep(&rest, ",")) != NULL) {
		bool zram = !strcmp(tier, "zram") || !strncmp(tier, "zram:", 5);

		if (!*tier)
			cli_die(EXIT_OURS, "--swap: empty name");
		if (ret->none || (!strcmp(tier, "none") && n))
			cli_die(EXIT_OURS, "--swap: 'none' stands alone");
		if (ret->path || (zram && ret->zram))
			cli_die(EXIT_OURS, "--swap: tiers are 'zram' and then at most one path");
		if (!strcmp(tier, "none"))
			ret->none = true;
		else if (zram)
			parse_zram(tier, ret);
		else
			ret->path = tier;
		n++;
	}
}

const char *swap_directory(void)
{
	const char *dir = getenv("TMPDIR");

	return dir && *dir ? dir : "/var/tmp";
}

/* A file without a name in dir. */
static int open_unnamed(const char *dir)
{
	char path[4096];
	int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL))
		return fd;
	if (snprintf(path, sizeof path, "%s/softfault-swap-XXXXXX", dir) >= (int)sizeof path) {
		errno = ENAMETOOLONG;
		return -1;
	}
	fd = mkostemp(path, O_CLOEXEC);
	if (fd >= 0)
		unlink(path);
	return fd;
}

/* Is the file free to be overwritten?  Dies if not. */
static void check_contents(int fd, const char *path)
{
	char head[sizeof mark] = "";
	struct stat st;

	if (fstat(fd, &st))
		cli_die(EXIT_OURS, "cannot use swap file '%s': %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		cli_die(EXIT_OURS, "cannot use swap file '%s': it is neither a regular file nor a directory", path);
	if (st.st_size && (pread(fd, head, sizeof mark - 1, 0) != (ssize_t)sizeof mark - 1 || strcmp(head, mark)))
		cli_die(EXIT_OURS, "cannot use swap file '%s': it holds data that are not softfault's; give an empty file or a new name", path);
}

static void open_named(const char *path, struct swap_file *f)
{
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd >= 0) {
		f->created = path;
	} else if (errno == EEXIST) {
		fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	}
	if (fd < 0)
		cli_die(EXIT_OURS, "cannot open swap file '%s': %s", path, strerror(errno));
	if (flock(fd, LOCK_EX | LOCK_NB))
		cli_die(EXIT_OURS, "cannot use swap file '%s': %s", path, errno == EWOULDBLOCK ? "another run uses it" : strerror(errno));
	check_contents(fd, path);
	if (!f->created)
		f->emptied = path;
	f->fd = fd;
}

/* Bytes that the file system of fd can still take. */
static uint64_t free_bytes(int fd)
{
	struct statvfs vfs;

	return fstatvfs(fd, &vfs) ? 0 : (uint64_t)vfs.f_bavail * vfs.f_frsize;
}

void swap_open(const struct swap_plan *plan, struct swap_file *ret)
{
	struct swap_file f = { .fd = -1 };
	const char *where = plan->path ? plan->path : swap_directory();
	struct stat st;
	char page[PAGE_SIZE] = "";
	int err;

	*ret = f;
	if (plan->none)
		return;
	if (!plan->path || (!stat(where, &st) && S_ISDIR(st.st_mode))) {
		f.fd = open_unnamed(where);
		if (f.fd < 0)
			cli_die(EXIT_OURS, "cannot make a swap file in '%s': %s", where, strerror(errno));
	} else {
		open_named(where, &f);
	}
	memcpy(page, mark, sizeof mark - 1);
	err = ftruncate(f.fd, 0) ? -errno : pwrite_all(f.fd, page, sizeof page, 0);
	if (err) {
		if (f.created)
			unlink(f.created);
		cli_die(EXIT_OURS, "cannot write to swap file '%s': %s", where, strerror(-err));
	}
	f.bytes = plan->size ? plan->size : MIN(free_bytes(f.fd), DEFAULT_MOST);
	*ret = f;
}

void swap_close(struct swap_file *f)
{
	if (f->fd < 0)
		return;
	if (f->created)
		unlink(f->created);
	else if (f->emptied && ftruncate(f->fd, 0))
		cli_error("cannot empty swap file '%s': %s", f->emptied, strerror(errno));
	close(f->fd);
	f->fd = -1;
}
