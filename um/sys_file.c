/* SPDX-License-Identifier: MIT */
/* sys_file.c - calls on names and descriptors that need a look before the host sees them
 *
 * Opening and reading links of /proc/self may mean one of our views (proc.c); lists of descriptors must not show ours; fcntl's argument
 * depends on its command. */
#include "um/syscall.h"
#include "um/tree.h"

#include <linux/fcntl.h>

#define O_NOFOLLOW_BIT 0400000u
#define F_OFD_GETLK_  36
#define F_OFD_SETLK_  37
#define F_OFD_SETLKW_ 38
#define F_CREATED_QUERY_ 1028
#define F_GETOWNER_UIDS_ 17
#define F_DUPFD_QUERY_ 1027

/* ---------------------------------------------------------------- open */

/* Could this name lie in /proc? */
static bool maybe_proc(int dirfd, const char *path)
{
	return path[0] == '/' ? !memcmp(path, "/proc", 5) : true;
}

/* c->a is ready but for the path, which is argument at (after the directory, if there is one). */
static int64_t open_path(struct call *c, int dirfd, unsigned at, uint32_t flags)
{
	struct thread *t = c->t;
	uint64_t host = call_str(c, c->a[at]);
	c->a[at] = host;
	if (host && !is_bad(host)) {
		const char *path = (const char *)host;
		int64_t r = maybe_proc(dirfd, path) ? um_proc_open(t, dirfd, path, (int)flags) : -ENOSYS;
		if (r != -ENOSYS)
			return call_end(c, fd_result(r));
		c->a[at] = HC_A(path_view(path, !(flags & O_NOFOLLOW_BIT)));
		if (flags & (O_ACCMODE | O_TRUNC) && !(flags & O_PATH) && (flags & (O_CREAT | O_EXCL)) != (O_CREAT | O_EXCL) && um_runs_from(dirfd, (const char *)c->a[at]))
			return call_end(c, -ETXTBSY);
	}
	int64_t fd = call_end(c, fd_result(call_sleep(c, t->nr)));
	if (fd >= 0 && flags & O_TRUNC)
		um_file_cut(t, (int)fd, NULL);
	return fd;
}

int64_t sys_open(struct thread *t)
{
	struct call c;
	call_begin(&c, t);
	return open_path(&c, AT_FDCWD, 0, (uint32_t)t->arg[1]);
}

int64_t sys_creat(struct thread *t)
{
	struct call c;
	call_begin(&c, t);
	return open_path(&c, AT_FDCWD, 0, O_CREAT | O_WRONLY | O_TRUNC);
}

int64_t sys_truncate(struct thread *t)
{
	struct call c;
	call_begin(&c, t);
	c.a[0] = call_path(&c, t->arg[0], true);
	if (c.a[0] && !is_bad(c.a[0]) && um_runs_from(AT_FDCWD, (const char *)c.a[0]))
		return call_end(&c, -ETXTBSY);
	int64_t r = call_host(&c, t->nr);
	if (!r)
		um_file_cut(t, -1, (const char *)c.a[0]);
	return call_end(&c, r);
}

int64_t sys_ftruncate(struct thread *t)
{
	int64_t r = host_call2(t->nr, fd_arg(t->arg[0]), t->arg[1]);
	if (!r)
		um_file_cut(t, (int)t->arg[0], NULL);
	return r;
}

#define FALLOC_CHANGES 0x3au /* PUNCH_HOLE, COLLAPSE_RANGE, ZERO_RANGE, INSERT_RANGE */
#define FALLOC_MOVES 0x28u   /* … of which these move all that follows */

int64_t sys_fallocate(struct thread *t)
{
	struct call c;
	call_begin(&c, t);
	c.a[0] = fd_arg(t->arg[0]);
	int64_t r = call_sleep(&c, t->nr);
	if (!r && t->arg[1] & FALLOC_CHANGES)
		um_file_changed((int)c.a[0], t->arg[2], t->arg[1] & FALLOC_MOVES ? UINT64_MAX / 2 : t->arg[3]);
	return call_end(&c, r);
}

int64_t sys_openat(struct thread *t)
{
	struct call c;
	call_begin(&c, t);
	c.a[0] = fd_arg(c.a[0]);
	return open_path(&c, (int)c.a[0], 1, (uint32_t)t->arg[2]);
}

struct open_how_abi { uint64_t flags, mode, resolve; };

/* A way that the program restricts: the host says whether it may be gone at all, before one of our views is opened instead. */
static int64_t resolves(struct call *c, const struct open_how_abi *how)
{
	const struct open_how_abi probe = { .flags = O_PATH | (how->flags & (O_NOFOLLOW_BIT | O_DIRECTORY)), .resolve = how->resolve };
	uint64_t path = call_str(c, c->a[1]);
	if (!path || is_bad(path))
		return 0;
	int64_t fd = host_call4(__NR_openat2, c->a[0], path, HC_A(&probe), sizeof(probe));
	if (fd >= 0)
		host_call1(__NR_close, fd);
	return fd == -ELOOP || fd == -EXDEV ? fd : 0;
}

int64_t sys_openat2(struct thread *t)
{
	struct call c;
	struct open_how_abi how = { 0 };
	call_begin(&c, t);
	c.a[0] = fd_arg(c.a[0]);
	c.a[2] = call_map(&c, t->arg[2], t->arg[3], DIR_IN);
	if (t->arg[3] >= sizeof(how) && copy_in(t, &how, t->arg[2], sizeof(how)) && how.resolve) {
		int64_t r = resolves(&c, &how);
		if (r)
			return call_end(&c, r);
	}
	uint64_t flags = how.flags;
	return open_path(&c, (int)c.a[0], 1, (uint32_t)flags);
}

/* ---------------------------------------------------------------- readlink */

static int64_t read_link(struct thread *t, int dirfd, unsigned at)
{
	struct call c;
	vaddr_t to = t->arg[at + 1];
	int32_t room = (int32_t)t->arg[at + 2];
	call_begin(&c, t);
	c.a[at] = call_str(&c, t->arg[at]);
	if (at)
		c.a[0] = fd_arg(c.a[0]);
	if (c.a[at] && !is_bad(c.a[at]) && room > 0) {
		const char *path = (const char *)c.a[at];
		char *buf = maybe_proc(dirfd, path) ? call_mem(&c, PAGE_SIZE) : NULL;
		int64_t n = buf ? um_proc_readlink(t, dirfd, path, buf, PAGE_SIZE) : -ENOSYS;
		char really[1];
		if (n >= 0 && host_call4(__NR_readlinkat, dirfd, HC_A(path), HC_A(really), sizeof(really)) == -ENOENT)
			n = -ENOSYS; /* the root was changed to where there is no /proc */
		if (n >= 0) {
			n = MIN(n, room);
			return call_end(&c, copy_out(t, to, buf, (uint64_t)n) ? n : -EFAULT);
		}
		c.a[at] = HC_A(path_view(path, false));
	}
	c.a[at + 1] = room > 0 ? call_map(&c, to, MIN((uint64_t)room, PAGE_SIZE), DIR_OUT) : to;
	return call_end(&c, call_host(&c, t->nr));
}

int64_t sys_readlink(struct thread *t) { return read_link(t, AT_FDCWD, 0); }
int64_t sys_readlinkat(struct thread *t) { return read_link(t, (int)fd_arg(t->arg[0]), 1); }

/* ---------------------------------------------------------------- directories */

struct dirent64 { uint64_t ino; int64_t off; uint16_t reclen; uint8_t type; char name[]; };
#define DIRENTS_MOST (256ul << 10)

static bool ends_with(const char *s, int64_t n, const char *tail, int64_t m)
{
	return n >= m && !memcmp(s + n - m, tail, (size_t)m);
}

/* What of a directory is ours: descriptors from a number on, or one thread. */
struct listing { int64_t from, to; };

static bool lists_ours(uint64_t fd, struct listing *ret)
{
	char link[40], path[128];
	um_snprintf(link, sizeof(link), "/proc/thread-self/fd/%d", (int)fd);
	int64_t n = host_call3(__NR_readlink, HC_A(link), HC_A(path), sizeof(path)), pid = 0, i = 6;
	if (n < i || memcmp(path, "/proc/", 6))
		return false;
	for (; i < n && path[i] >= '0' && path[i] <= '9' && pid < INT32_MAX; i++)
		pid = pid * 10 + (path[i] - '0');
	if (pid == my_pid() && (ends_with(path, n, "/fd", 3) || ends_with(path, n, "/fdinfo", 7)))
		*ret = (struct listing){ um.shm->cfg.fd_base, INT64_MAX };
	else if (n == i + 5 && ends_with(path, n, "/task", 5))
		ret->from = ret->to = um_tree_helper((uint32_t)pid);
	else
		return false;
	return ret->to;
}

static bool names_ours(const char *s, const struct listing *what)
{
	int64_t v = 0;
	for (; *s >= '0' && *s <= '9' && v < INT32_MAX; s++)
		v = v * 10 + (*s - '0');
	return !*s && v >= what->from && v <= what->to;
}

/* Entries of ours taken out; the new length. */
static int64_t drop_ours(char *buf, int64_t n, const struct listing *what)
{
	int64_t from = 0, to = 0;
	while (from < n) {
		struct dirent64 *d = (struct dirent64 *)(buf + from);
		uint16_t len = d->reclen;
		from += len;
		if (names_ours(d->name, what))
			continue;
		memmove(buf + to, d, len);
		to += len;
	}
	return to;
}

static int64_t list_without_ours(struct call *c, uint64_t count, const struct listing *what)
{
	struct thread *t = c->t;
	count = MIN(count, 32768);
	char *buf = call_mem(c, count);
	if (!buf)
		return -ENOMEM;
	if (fault_in_user(um.mm, &t->task, t->arg[1], count, true))
		return -EFAULT;
	for (;;) {
		int64_t n = host_call3(__NR_getdents64, t->arg[0], HC_A(buf), count);
		if (n <= 0)
			return n;
		n = drop_ours(buf, n, what);
		if (n)
			return copy_out(t, t->arg[1], buf, (uint64_t)n) ? n : -EFAULT;
	}
}

int64_t sys_getdents64(struct thread *t)
{
	struct call c;
	uint64_t count = MIN((uint32_t)t->arg[2], DIRENTS_MOST);
	call_begin(&c, t);
	c.a[0] = fd_arg(t->arg[0]);
	struct listing what;
	if (count && lists_ours(c.a[0], &what))
		return call_end(&c, list_without_ours(&c, count, &what));
	c.a[1] = call_map(&c, t->arg[1], count, DIR_OUT);
	c.a[2] = count;
	return call_end(&c, call_host(&c, t->nr));
}

/* ---------------------------------------------------------------- fcntl */

struct cmd { int cmd; uint8_t size, dir; bool sleep; };

static const struct cmd pointer_cmds[] = {
	{ F_GETLK, 32, DIR_INOUT, false }, { F_SETLK, 32, DIR_IN, false }, { F_SETLKW, 32, DIR_IN, true },
	{ F_OFD_GETLK_, 32, DIR_INOUT, false }, { F_OFD_SETLK_, 32, DIR_IN, false }, { F_OFD_SETLKW_, 32, DIR_IN, true },
	{ F_CANCELLK, 32, DIR_IN, false }, { F_SETOWN_EX, 8, DIR_IN, false }, { F_GETOWN_EX, 8, DIR_OUT, false },
	{ F_GETOWNER_UIDS_, 8, DIR_OUT, false }, { F_GET_RW_HINT, 8, DIR_OUT, false }, { F_SET_RW_HINT, 8, DIR_IN, false },
	{ F_GET_FILE_RW_HINT, 8, DIR_OUT, false }, { F_SET_FILE_RW_HINT, 8, DIR_IN, false },
};

/* Commands whose argument is a number or nothing. */
static bool number_cmd(int cmd)
{
	switch (cmd) {
	case F_GETFD: case F_SETFD: case F_GETFL: case F_SETFL: case F_SETOWN: case F_GETOWN: case F_SETSIG: case F_GETSIG:
	case F_SETLEASE: case F_GETLEASE: case F_NOTIFY: case F_SETPIPE_SZ: case F_GETPIPE_SZ: case F_ADD_SEALS: case F_GET_SEALS:
	case F_CREATED_QUERY_:
		return true;
	default:
		return false;
	}
}

static int64_t fcntl_dup(struct thread *t, uint64_t fd)
{
	uint64_t cur, max;
	fd_limit_get(&cur, &max);
	if (t->arg[2] >= cur && host_call2(__NR_fcntl, fd, F_GETFD) >= 0)
		return -EINVAL;
	return fd_result(host_call3(__NR_fcntl, fd, t->arg[1], t->arg[2]));
}

int64_t sys_fcntl(struct thread *t)
{
	struct call c;
	int cmd = (int)t->arg[1];
	uint64_t fd = fd_arg(t->arg[0]);
	if (cmd == F_DUPFD || cmd == F_DUPFD_CLOEXEC)
		return fcntl_dup(t, fd);
	if (cmd == F_DUPFD_QUERY_)
		return host_call3(__NR_fcntl, fd, cmd, fd_arg(t->arg[2]));
	if (number_cmd(cmd))
		return host_call3(__NR_fcntl, fd, cmd, t->arg[2]);
	for (unsigned i = 0; i < ARRAY_SIZE(pointer_cmds); i++) {
		const struct cmd *p = &pointer_cmds[i];
		if (p->cmd != cmd)
			continue;
		call_begin(&c, t);
		c.a[0] = fd;
		c.a[2] = p->dir == DIR_IN ? call_in(&c, t->arg[2], p->size) : call_map(&c, t->arg[2], p->size, p->dir);
		return call_end(&c, p->sleep ? call_sleep(&c, t->nr) : call_host(&c, t->nr));
	}
	int64_t r = host_call2(__NR_fcntl, fd, F_GETFD);
	return r < 0 ? r : -EINVAL;
}

/* ---------------------------------------------------------------- mount */

/* The options are a string or a page of whatever the file system likes; Linux takes as much of a page as is there. */
int64_t sys_mount(struct thread *t)
{
	struct call c;
	call_begin(&c, t);
	c.a[0] = call_str(&c, t->arg[0]);
	c.a[1] = call_path(&c, t->arg[1], true);
	c.a[2] = call_str(&c, t->arg[2]);
	c.a[4] = call_map(&c, t->arg[4], PAGE_SIZE, DIR_IN);
	return call_end(&c, call_host(&c, t->nr));
}

/* ---------------------------------------------------------------- file handles */

#define HANDLE_HEAD 8u
#define MAX_HANDLE 128u

/* The structure says its own size in its first word. */
static uint64_t map_handle(struct call *c, vaddr_t addr, unsigned dir)
{
	uint32_t bytes;
	if (!addr || GET_USER(c->t, uint32_t, addr, &bytes))
		return bad_address(addr);
	return call_map(c, addr, HANDLE_HEAD + MIN(bytes, MAX_HANDLE), dir);
}

int64_t sys_name_to_handle_at(struct thread *t)
{
	struct call c;
	call_begin(&c, t);
	c.a[0] = fd_arg(t->arg[0]);
	c.a[1] = call_path(&c, t->arg[1], t->arg[4] & 0x400 /* AT_SYMLINK_FOLLOW */);
	c.a[2] = map_handle(&c, t->arg[2], DIR_INOUT);
	c.a[3] = call_map(&c, t->arg[3], t->arg[4] & 1 /* AT_HANDLE_MNT_ID_UNIQUE */ ? 8 : 4, DIR_OUT);
	return call_end(&c, call_host(&c, t->nr));
}

int64_t sys_open_by_handle_at(struct thread *t)
{
	struct call c;
	call_begin(&c, t);
	c.a[0] = fd_arg(t->arg[0]);
	c.a[1] = map_handle(&c, t->arg[1], DIR_IN);
	return call_end(&c, fd_result(call_sleep(&c, t->nr)));
}
