/* SPDX-License-Identifier: MIT */
/* sys_mount.c - the newer calls of mounts and extended attributes whose arguments depend on others */
#include "um/args.h"
#include "um/syscall.h"

/* By command: a flag, a string, bytes, a path (twice), a descriptor; the rest takes nothing. */
int64_t sys_fsconfig(struct thread *t)
{
	static const struct syscall_desc set[] = {
		{ .name = "fsconfig", ARGS(FD, INT, STR, INT, INT) },
		{ .name = "fsconfig", ARGS(FD, INT, STR, STR, INT) },
		{ .name = "fsconfig", ARGS(FD, INT, STR, INB(4, 1), INT) },
		{ .name = "fsconfig", ARGS(FD, INT, STR, PATH, INT) },
		{ .name = "fsconfig", ARGS(FD, INT, STR, PATH, INT) },
		{ .name = "fsconfig", ARGS(FD, INT, STR, INT, FD) },
	};
	static const struct syscall_desc other = { .name = "fsconfig", ARGS(FD, INT, INT, INT, INT) };
	uint32_t cmd = (uint32_t)t->arg[1];
	return call_generic(t, cmd < ARRAY_SIZE(set) ? &set[cmd] : &other);
}

struct xattr_args { uint64_t value; uint32_t size, flags; };
#define XATTR_ARGS_MOST 4096u

static int64_t xattr_at(struct thread *t, unsigned dir)
{
	struct call c;
	uint64_t size = MIN(t->arg[5], XATTR_ARGS_MOST);
	call_begin(&c, t);
	c.a[0] = fd_arg(t->arg[0]);
	c.a[1] = call_path(&c, t->arg[1], !(t->arg[2] & 0x100));
	c.a[3] = call_str(&c, t->arg[3]);
	c.a[4] = call_in(&c, t->arg[4], size);
	if (size >= sizeof(struct xattr_args) && c.a[4] && !is_bad(c.a[4])) {
		struct xattr_args *xa = (struct xattr_args *)c.a[4];
		xa->value = call_map(&c, xa->value, xa->size, dir);
	}
	return call_end(&c, call_host(&c, t->nr));
}

int64_t sys_setxattrat(struct thread *t) { return xattr_at(t, DIR_IN); }
int64_t sys_getxattrat(struct thread *t) { return xattr_at(t, DIR_OUT); }
