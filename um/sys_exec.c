/* SPDX-License-Identifier: MIT */
/* sys_exec.c - execve: our own binary again, with another program
 *
 * The host's execve is what ends the other threads, closes close-on-exec descriptors and resets handlers, so we let it run softfault-um once more
 * with the new program's arguments and environment.  What the host cannot carry (the true signal mask: ours is all
 * blocked; the program's path) goes in a sealed memory file.
 *
 * Whether the new program can run is checked first, because after the host's execve there is nobody to return an error to. */
#include "um/um.h"
#include "um/syscall.h"

#include <linux/fcntl.h>
#include <linux/memfd.h>

#define ARG_ROOM (8ul << 20) /* strings and vectors; pages that are not used cost nothing */
#define STRING_MOST (128ul << 10) /* MAX_ARG_STRLEN */
#define F_ADD_SEALS_ALL 0xf
#define AT_EMPTY_PATH 0x1000
#define AT_SYMLINK_NOFOLLOW 0x100
#define AT_EXECVE_CHECK 0x10000

struct pack { char *mem; uint64_t used; };

static void *pack_take(struct pack *p, uint64_t n)
{
	if (p->used + n > ARG_ROOM)
		return NULL;
	void *r = p->mem + p->used;
	p->used += n;
	return r;
}

static int64_t vector_len(struct thread *t, vaddr_t uvec)
{
	int64_t n = 0;
	for (uint64_t p = 1; uvec; n++) {
		if (GET_USER(t, uint64_t, uvec + (uint64_t)n * 8, &p))
			return -EFAULT;
		if (!p)
			break;
		if (n * 8 > (int64_t)ARG_ROOM)
			return -E2BIG;
	}
	return n;
}

static int pack_string(struct thread *t, struct pack *p, vaddr_t ustr, char **ret)
{
	uint64_t room = MIN(STRING_MOST, ARG_ROOM - p->used);
	int64_t len = strncpy_from_user(um.mm, &t->task, p->mem + p->used, ustr, room);
	if (len < 0)
		return (int)len;
	if ((uint64_t)len == room)
		return -E2BIG;
	*ret = pack_take(p, (uint64_t)len + 1);
	return 0;
}

/* Copy a vector of strings; extra slots are left free in front. */
static int pack_vector(struct thread *t, struct pack *p, vaddr_t uvec, unsigned extra, char ***ret)
{
	int64_t n = vector_len(t, uvec);
	if (n < 0)
		return (int)n;
	p->used = (p->used + 7) & ~7ull;
	char **v = pack_take(p, ((uint64_t)n + extra + 2) * 8);
	if (!v)
		return -E2BIG;
	if (extra && !n) /* a program has a name, as in Linux since 5.18 */
		v[extra++] = (char *)"";
	for (int64_t i = 0; i < n; i++) {
		uint64_t s;
		if (GET_USER(t, uint64_t, uvec + (uint64_t)i * 8, &s))
			return -EFAULT;
		int err = pack_string(t, p, s, &v[extra + i]);
		if (err)
			return err;
	}
	v[extra + n] = NULL;
	*ret = v;
	return 0;
}

/* The state for the next image; a descriptor of ours that survives execve. */
static int64_t state_file(struct thread *t, const char *path, int64_t prog_fd)
{
	struct um_exec_state *s = kmalloc(um.mc, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->sigmask = t->restore_sigmask ? t->saved_sigmask : t->sigmask;
	for (int n = 1; n <= NSIG; n++)
		if ((SIGBIT(n) & HOST_NEVER_BLOCKED) && t->sighand->action[n].handler == SIG_IGN)
			s->ignored |= SIGBIT(n);
	s->foreign_pids = um.foreign_pids;
	s->account = t->proc == &um.first ? um_account() : -1;
	s->shm_arena = um.shm_arena;
	um_limits_save(&s->limits);
	s->mdwe = um.mm->mdwe & MDWE_NO_INHERIT ? 0 : um.mm->mdwe;
	s->prog_fd = (int32_t)prog_fd;
	um_snprintf(s->path, sizeof(s->path), "%s", path);
	int64_t low = host_call2(__NR_memfd_create, HC_A("softfault-exec"), MFD_ALLOW_SEALING), fd = low;
	if (low >= 0) {
		fd = host_call3(__NR_fcntl, low, F_DUPFD, um.shm->cfg.fd_base);
		host_call1(__NR_close, low);
	}
	if (fd >= 0) {
		host_call4(__NR_pwrite64, fd, HC_A(s), sizeof(*s), 0);
		host_call3(__NR_fcntl, fd, F_ADD_SEALS, F_ADD_SEALS_ALL);
	}
	kfree(um.mc, s);
	return fd;
}

/* What is to be executed: its name as the program will see it, and the one under which it is found now.  They differ when it
 * was named by a descriptor, which may be gone afterwards. */
struct target { const char *path, *load; bool goes; };

/* A descriptor of ours on the file; -1 if its name is enough.  A script cannot be read by its interpreter if the descriptor goes. */
static int64_t keep_program(const struct target *g)
{
	char head[2] = "";
	if (g->path == g->load)
		return -1;
	const char *load = g->load;
	int dir = um_program_dir(&load);
	int64_t low = host_call4(__NR_openat, dir, HC_A(load), 0 /* O_RDONLY */, 0), fd;
	if (low < 0)
		return low;
	host_call4(__NR_pread64, low, HC_A(head), 2, 0);
	fd = g->goes && head[0] == '#' && head[1] == '!' ? -ENOENT : host_call3(__NR_fcntl, low, F_DUPFD, um.shm->cfg.fd_base);
	host_call1(__NR_close, low);
	return fd;
}

static int64_t exec_image(struct thread *t, const struct target *g, int64_t prog_fd, char **argv, char **envp)
{
	char first[sizeof(UM_ENV) + 24];
	int64_t fd = state_file(t, g->path, prog_fd);
	if (fd < 0)
		return fd;
	um_snprintf(first, sizeof(first), UM_ENV "%d,%ld", um.shm->cfg.shm_fd, fd);
	envp[0] = first;
	um_memory_leaves(t, true);
	um_bind_to_parent(t, false);
	int64_t r = host_call3(__NR_execve, HC_A("/proc/thread-self/exe"), HC_A(argv), HC_A(envp));
	if (r == -ENOENT && um.shm->cfg.proc_fd >= 0)
		r = host_call5(__NR_execveat, um.shm->cfg.proc_fd, HC_A("thread-self/exe"), HC_A(argv), HC_A(envp), 0);
	um_bind_to_parent(t, true);
	um_memory_leaves(t, false);
	host_call1(__NR_close, fd);
	return r;
}

static int64_t exec_packed(struct thread *t, const struct target *g, char **argv, char **envp)
{
	int err = um_exec_check(g->path, g->load, argv, envp + 1);
	if (err)
		return err;
	int64_t fd = keep_program(g);
	if (fd < -1)
		return fd;
	int64_t r = exec_image(t, g, fd, argv, envp);
	if (fd >= 0)
		host_call1(__NR_close, fd);
	return r;
}

/* Linux opens the program before it looks at the vectors. */
static int64_t open_first(const struct target *g, int err)
{
	static char *const nothing[] = { NULL };
	int r = um_exec_check(g->path, g->load, nothing, nothing);
	return r && r != -ENOEXEC ? r : err;
}

static int64_t exec_target(struct thread *t, const struct target *g, vaddr_t uargv, vaddr_t uenvp)
{
	struct pack p = { .mem = um.port->ops->alloc(um.port, ARG_ROOM) };
	char **argv, **envp;
	if (!p.mem)
		return -ENOMEM;
	if (t->exec_mem)
		*t->exec_mem = (struct um_exec_mem){ p.mem, ARG_ROOM };
	int64_t err = pack_vector(t, &p, uargv, 0, &argv);
	if (!err)
		err = pack_vector(t, &p, uenvp, 1, &envp);
	err = err ? open_first(g, (int)err) : exec_packed(t, g, argv, envp);
	if (t->exec_mem)
		*t->exec_mem = (struct um_exec_mem){ NULL, 0 };
	um.port->ops->free(um.port, p.mem, ARG_ROOM);
	return err;
}

static int64_t exec_path(struct thread *t, const char *path, vaddr_t uargv, vaddr_t uenvp)
{
	const struct target g = { path, path, false };
	return exec_target(t, &g, uargv, uenvp);
}

int64_t sys_execve(struct thread *t)
{
	char path[4096];
	int64_t n = strncpy_from_user(um.mm, &t->task, path, t->arg[0], sizeof(path));
	if (n < 0)
		return n;
	if (n == 0 || n == (int64_t)sizeof(path))
		return n ? -ENAMETOOLONG : -ENOENT;
	return exec_path(t, um_own_path(path), t->arg[1], t->arg[2]);
}

#define STAT_MODE 6 /* of struct stat, in words of 32 bits */

static bool is_link(int dirfd, const char *path)
{
	uint32_t st[36];
	return !host_call4(__NR_newfstatat, dirfd, HC_A(path), HC_A(st), AT_SYMLINK_NOFOLLOW) && (st[STAT_MODE] & 0170000) == 0120000;
}

/* Named by a descriptor, or below one. */
static int64_t exec_by_fd(struct thread *t, int dirfd, const char *name)
{
	char load[4096 + 64], shown[4096 + 64];
	const char *slash = *name ? "/" : "";
	int64_t fl = host_call3(__NR_fcntl, fd_arg((uint64_t)(uint32_t)dirfd), 1 /* F_GETFD */, 0);
	if (fl < 0)
		return -EBADF;
	um_snprintf(load, sizeof(load), "/proc/thread-self/fd/%d%s%s", dirfd, slash, name);
	um_snprintf(shown, sizeof(shown), "/dev/fd/%d%s%s", dirfd, slash, name);
	const struct target g = { shown, load, fl & 1 };
	return exec_target(t, &g, t->arg[2], t->arg[3]);
}

int64_t sys_execveat(struct thread *t)
{
	static const char *const check_argv[] = { "", NULL };
	char path[4096];
	int dirfd = (int)t->arg[0];
	int64_t n = strncpy_from_user(um.mm, &t->task, path, t->arg[1], sizeof(path));
	uint64_t flags = t->arg[4];
	if (flags & ~(uint64_t)(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW | AT_EXECVE_CHECK))
		return -EINVAL;
	if (n < 0)
		return n;
	if (n == (int64_t)sizeof(path))
		return -ENAMETOOLONG;
	if (flags & AT_EXECVE_CHECK) /* nothing is executed, or the host does not know the question: EINVAL */
		return host_call5(__NR_execveat, fd_arg(t->arg[0]), HC_A(um_own_path(path)), HC_A(check_argv), HC_A(check_argv + 1), flags);
	if (!n && !(t->arg[4] & AT_EMPTY_PATH))
		return -ENOENT;
	if (n && t->arg[4] & AT_SYMLINK_NOFOLLOW && is_link(*path == '/' ? AT_FDCWD : dirfd, path))
		return -ELOOP;
	if (*path == '/' || dirfd == AT_FDCWD)
		return exec_path(t, n ? um_own_path(path) : ".", t->arg[2], t->arg[3]);
	return exec_by_fd(t, dirfd, path);
}

int um_program_dir(const char **path)
{
	static const char proc[] = "/proc/";
	unsigned n = 0;
	while (n < sizeof(proc) - 1 && (*path)[n] == proc[n])
		n++;
	if (n < sizeof(proc) - 1 || um.shm->cfg.proc_fd < 0 || host_call3(__NR_faccessat, AT_FDCWD, HC_A("/proc/self"), 0) != -ENOENT)
		return AT_FDCWD;
	*path += n;
	return um.shm->cfg.proc_fd;
}

/* /proc/self/exe is the program, not us. */
const char *um_own_path(const char *path)
{
	static const char *const names[] = { "/proc/self/exe", "/proc/thread-self/exe" };
	for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
		const char *a = names[i], *b = path;
		while (*a && *a == *b)
			a++, b++;
		if (*a == *b)
			return um.exe;
	}
	return path;
}
