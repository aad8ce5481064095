/* SPDX-License-Identifier: MIT */
/* remote.c - memory of a process as others see it: process_vm_*, /proc/PID/mem, process_madvise
 *
 * The host may look at a process of the tree, but not into pages that are elsewhere, and what it wrote by force we would not know of.  So:
 *
 *     whose memory             who copies
 *     our own                  we: page by page, pinned (pin_forced)
 *     another of the tree      its helper, between its memory and the window that both see (tree.c)
 *     one that does not answer (stopped, or no tree), or not of the run: the host, which finds those pages that are resident
 *
 * Whether it is allowed the host says beforehand.  A /proc/PID/mem of the program's is the host's file, which is where it keeps its position; reads and
 * writes are recognised by the descriptor's name, once any process of the run has opened one.
 *
 * Source: Linux mm/process_vm_access.c, fs/proc/base.c mem_rw, mm/madvise.c. */
#include "um/clone.h"
#include "um/patch.h"
#include "um/syscall.h"
#include "um/tree.h"

#include "mm/text.h"

#include <linux/mman.h>

#define O_ACCMODE 3
#define CHUNK TREE_WINDOW

/* ---------------------------------------------------------------- our own memory */

/* The host copies: a page of a shared mapping may have lost its file. */
static bool copy_by_host(bool write, vaddr_t addr, void *buf, uint64_t n)
{
	const struct abi_iovec local = { HC_A(buf), n }, remote = { addr, n };
	return host_call6(write ? __NR_process_vm_writev : __NR_process_vm_readv, my_pid(), HC_A(&local), 1, HC_A(&remote), 1, 0) == (int64_t)n;
}

static int copy_page(struct thread *t, bool write, bool force, vaddr_t addr, void *buf, uint64_t n)
{
	if (um_patch_overlaps(addr, n))
		um_patch_restore(addr, n);
	int err = pin_forced(um.mm, &t->task, addr, write, force);
	if (err)
		return err;
	bool ok = copy_by_host(write, addr, buf, n);
	unpin_user(um.mm, addr, 1);
	return ok ? 0 : -EFAULT;
}

/* what: ASK_READ … ASK_POKE.  Bytes, or -errno if it is none. */
static int64_t copy_own(struct thread *t, uint32_t what, vaddr_t addr, char *buf, uint64_t len)
{
	uint64_t done = 0;
	while (done < len) {
		uint64_t n = MIN(len - done, PAGE_SIZE - ((addr + done) & ~PAGE_MASK));
		int err = copy_page(t, what == ASK_WRITE || what == ASK_POKE, what >= ASK_PEEK, addr + done, buf + done, n);
		if (err)
			return done ? (int64_t)done : err;
		done += n;
	}
	return (int64_t)done;
}

int32_t um_remote_answer(struct thread *t, uint32_t what, const struct tree_question *q, void *window)
{
	if (what == ASK_ADVICE)
		return (int32_t)do_madvise(um.mm, &t->task, q->addr, q->len, (int)q->tid);
	return (int32_t)copy_own(t, what, q->addr, window, MIN(q->len, TREE_WINDOW));
}

/* ---------------------------------------------------------------- anybody's */

static bool pid_is_self(int64_t pid)
{
	return pid == my_pid() || (pid > 0 && !host_call3(__NR_tgkill, my_pid(), pid, 0));
}

/* Also that of a child, or of the parent, which shares it (CLONE_VM). */
static bool memory_is_ours(int64_t pid)
{
	return pid_is_self(pid) || (pid > 0 && um_shares_memory((uint32_t)pid));
}

/* len at most CHUNK. */
static int64_t copy_remote(struct thread *t, int64_t pid, uint32_t what, vaddr_t addr, void *buf, uint64_t len)
{
	if (!access_ok(um.mm, addr, len))
		return -EFAULT;
	if (memory_is_ours(pid))
		return copy_own(t, what, addr, buf, len);
	int64_t r = um_tree_memory((uint32_t)pid, what, 0, addr, buf, len);
	if (r != -ENOSYS)
		return r;
	const struct abi_iovec local = { HC_A(buf), len }, remote = { addr, len };
	bool write = what == ASK_WRITE || what == ASK_POKE;
	return host_call6(write ? __NR_process_vm_writev : __NR_process_vm_readv, pid, HC_A(&local), 1, HC_A(&remote), 1, 0);
}

/* ---------------------------------------------------------------- process_vm_* */

struct walk { struct abi_iovec *v; uint64_t n, i, off; };

/* Where the next bytes are, and how many in a row. */
static uint64_t walk_run(struct walk *w, vaddr_t *ret)
{
	while (w->i < w->n && w->off == w->v[w->i].len)
		w->i++, w->off = 0;
	if (w->i == w->n)
		return 0;
	*ret = w->v[w->i].base + w->off;
	return w->v[w->i].len - w->off;
}

/* One piece between two places, in order of the copy.  Bytes, or -errno. */
static int64_t copy_piece(struct thread *t, int64_t pid, bool write, vaddr_t here, vaddr_t there, char *buf, uint64_t n)
{
	if (write) {
		uint64_t got = n - copy_from_user(um.mm, &t->task, buf, here, n);
		return got ? copy_remote(t, pid, ASK_WRITE, there, buf, got) : -EFAULT;
	}
	int64_t got = copy_remote(t, pid, ASK_READ, there, buf, n);
	if (got <= 0)
		return got;
	uint64_t put = (uint64_t)got - copy_to_user(um.mm, &t->task, here, buf, (uint64_t)got);
	return put ? (int64_t)put : -EFAULT;
}

static int64_t copy_vectors(struct call *c, int64_t pid, bool write, struct walk *local, struct walk *remote, uint64_t total)
{
	char *buf = call_mem(c, MIN(total, CHUNK));
	vaddr_t here, there;
	int64_t done = 0;
	if (!buf)
		return -ENOMEM;
	for (;;) {
		uint64_t room = walk_run(local, &here), have = walk_run(remote, &there), n = MIN(MIN(have, room), CHUNK);
		if (!n)
			return done;
		int64_t r = copy_piece(c->t, pid, write, here, there, buf, n);
		if (r > 0)
			done += r;
		if (r < (int64_t)n)
			return done ? done : r < 0 ? r : -EFAULT;
		local->off += n;
		remote->off += n;
	}
}

/* May we?  The host's answer to an access that reaches nothing. */
static int64_t ask_host(int64_t pid)
{
	char byte;
	const struct abi_iovec local = { HC_A(&byte), 1 }, remote = { BAD_USER, 1 };
	int64_t r = host_call6(__NR_process_vm_readv, pid, HC_A(&local), 1, HC_A(&remote), 1, 0);
	return r == -EFAULT ? 0 : MIN(r, 0);
}

/* A length beyond what a signed number holds, in the program's own words. */
static bool too_long(struct thread *t, vaddr_t uvec, uint64_t n)
{
	struct abi_iovec v;
	for (uint64_t i = 0; i < n; i++)
		if (copy_in(t, &v, uvec + i * sizeof(v), sizeof(v)) && (int64_t)v.len < 0)
			return true;
	return false;
}

static int64_t process_vm(struct thread *t, bool write)
{
	struct call c;
	if (t->arg[5] || t->arg[2] > IOV_MOST || t->arg[4] > IOV_MOST)
		return -EINVAL;
	call_begin(&c, t);
	struct rw local = { .c = &c }, remote = { .c = &c };
	if (too_long(t, t->arg[1], t->arg[2]) || too_long(t, t->arg[3], t->arg[4]))
		return call_end(&c, -EINVAL);
	if (!rw_import(&local, t->arg[1], t->arg[2]) || !rw_import(&remote, t->arg[3], t->arg[4]))
		return call_end(&c, -EFAULT);
	struct walk l = { local.iov, local.n, 0, 0 }, r = { remote.iov, remote.n, 0, 0 };
	int64_t pid = (int32_t)t->arg[0];
	if (!local.total || !remote.total)
		return call_end(&c, 0);
	int64_t err = pid_is_self(pid) ? 0 : ask_host(pid);
	return call_end(&c, err ? err : copy_vectors(&c, pid, write, &l, &r, MIN(local.total, remote.total)));
}

int64_t sys_process_vm_readv(struct thread *t) { return process_vm(t, false); }
int64_t sys_process_vm_writev(struct thread *t) { return process_vm(t, true); }

/* ---------------------------------------------------------------- /proc/PID/mem */

/* The process (or thread) whose memory a descriptor is, or 0. */
static uint32_t mem_file_pid(uint64_t fd)
{
	char link[40], path[64];
	uint64_t pid = 0;
	um_snprintf(link, sizeof(link), "/proc/thread-self/fd/%d", (int)fd_arg(fd));
	int64_t n = host_call3(__NR_readlink, HC_A(link), HC_A(path), sizeof(path)), i = 6;
	if (n < 11 || n >= (int64_t)sizeof(path) || memcmp(path, "/proc/", 6) || memcmp(path + n - 4, "/mem", 4))
		return 0;
	for (; path[i] >= '0' && path[i] <= '9' && pid < UINT32_MAX / 16; i++)
		pid = pid * 10 + (uint64_t)(path[i] - '0');
	return path[i] == '/' ? (uint32_t)pid : 0;
}

/* One that nobody of the run stands behind any more is the host's business. */
bool um_is_mem_file(uint64_t fd)
{
	uint32_t pid = mem_file_pid(fd);
	return pid && (memory_is_ours(pid) || um_tree_has(pid));
}

static int64_t mem_rw(struct call *c, uint32_t pid, unsigned dir, uint64_t pos, vaddr_t user, uint64_t len)
{
	char *buf = call_mem(c, MIN(len, CHUNK));
	uint64_t done = 0;
	if (!buf)
		return -ENOMEM;
	while (done < len) {
		uint64_t n = MIN(len - done, CHUNK);
		if (dir == DIR_IN && !copy_in(c->t, buf, user + done, n))
			return done ? (int64_t)done : -EFAULT;
		int64_t r = copy_remote(c->t, pid, dir == DIR_IN ? ASK_POKE : ASK_PEEK, pos + done, buf, n);
		if (r <= 0)
			return done ? (int64_t)done : -EIO;
		if (dir == DIR_OUT && !copy_out(c->t, user + done, buf, (uint64_t)r))
			return done ? (int64_t)done : -EFAULT;
		done += (uint64_t)r;
		if (r < (int64_t)n)
			break;
	}
	return (int64_t)done;
}

static int64_t mem_rw_vector(struct call *c, uint32_t pid, unsigned dir, uint64_t pos, const struct rw *rw)
{
	struct call_mark mark = call_mark(c);
	int64_t done = 0;
	for (uint64_t i = 0; i < rw->n; i++) {
		int64_t r = rw->iov[i].len ? mem_rw(c, pid, dir, pos + (uint64_t)done, rw->iov[i].base, rw->iov[i].len) : 0;
		call_release(c, mark);
		if (r < 0)
			return done ? done : r;
		done += r;
		if ((uint64_t)r < rw->iov[i].len)
			break;
	}
	return done;
}

int64_t um_mem_file_rw(struct thread *t, unsigned dir, bool at, bool vector)
{
	struct call c;
	uint64_t fd = t->arg[0];
	uint32_t pid = mem_file_pid(fd);
	int64_t mode = host_call2(__NR_fcntl, fd, 3 /* F_GETFL */), r;
	if (mode < 0 || (mode & O_ACCMODE) == (dir == DIR_IN ? 0 : 1))
		return -EBADF;
	at = at && !(vector && t->arg[3] == UINT64_MAX); /* preadv2: the file's own position */
	if (at && (int64_t)t->arg[3] < 0)
		return -EINVAL;
	call_begin(&c, t);
	struct abi_iovec one = { t->arg[1], MIN(t->arg[2], RW_MOST) };
	struct rw rw = { .c = &c, .iov = &one, .n = 1 };
	if (vector && !rw_import(&rw, t->arg[1], t->arg[2]))
		return call_end(&c, t->arg[2] > IOV_MOST ? -EINVAL : -EFAULT);
	if (!vector && (int64_t)t->arg[2] < 0)
		return call_end(&c, -EINVAL);
	uint64_t pos = at ? t->arg[3] : (uint64_t)host_call3(__NR_lseek, fd, 0, 1 /* SEEK_CUR */);
	r = mem_rw_vector(&c, pid, dir, pos, &rw);
	if (r > 0 && !at)
		host_call3(__NR_lseek, fd, pos + (uint64_t)r, 0 /* SEEK_SET */);
	return call_end(&c, r);
}

/* ---------------------------------------------------------------- process_madvise */

#define PIDFD_SELF_THREAD (-10000)
#define PIDFD_SELF_GROUP (-10001)

/* The process behind a pidfd by what /proc says of it, or -EBADF. */
static int64_t pidfd_pid(int32_t fd)
{
	char path[40], text[512];
	um_snprintf(path, sizeof(path), "/proc/thread-self/fdinfo/%d", fd);
	int64_t f = host_call4(__NR_openat, -100, HC_A(path), 02000000 /* O_CLOEXEC */, 0);
	if (f < 0)
		return -EBADF;
	int64_t n = host_call3(__NR_read, f, HC_A(text), sizeof(text) - 1);
	host_call1(__NR_close, f);
	text[MAX(n, 0)] = 0;
	for (const char *s = text; s + 4 < text + n; s++) {
		if (memcmp(s, "\nPid:", 5))
			continue;
		int64_t pid = 0;
		for (s += 5; *s == '\t' || *s == ' '; s++)
			;
		for (; *s >= '0' && *s <= '9'; s++)
			pid = pid * 10 + (*s - '0');
		return pid;
	}
	return -EBADF;
}

static int64_t advise_vector(struct thread *t, int64_t pid, const struct rw *rw, int advice)
{
	int64_t done = 0, r = 0;
	for (uint64_t i = 0; i < rw->n; i++) {
		const struct abi_iovec *v = &rw->iov[i];
		r = memory_is_ours(pid) ? do_madvise(um.mm, &t->task, v->base, v->len, advice) :
					  um_tree_memory((uint32_t)pid, ASK_ADVICE, (uint32_t)advice, v->base, NULL, v->len);
		if (r < 0)
			break;
		done += (int64_t)rw->iov[i].len;
	}
	return done ? done : r;
}

int64_t sys_process_madvise(struct thread *t)
{
	struct call c;
	int32_t fd = (int32_t)t->arg[0];
	call_begin(&c, t);
	struct rw rw = { .c = &c };
	if (t->arg[4])
		return call_end(&c, -EINVAL);
	if (!rw_import(&rw, t->arg[1], t->arg[2]))
		return call_end(&c, t->arg[2] > IOV_MOST ? -EINVAL : -EFAULT);
	int64_t pid = fd == PIDFD_SELF_THREAD || fd == PIDFD_SELF_GROUP ? my_pid() : pidfd_pid((int32_t)fd_arg(t->arg[0]));
	int64_t err = pid < 0 ? pid : 0;
	if (!err) /* about nothing: may we, and is that advice for others? */
		err = host_call5(__NR_process_madvise, t->arg[0], HC_A(rw.iov), 0, t->arg[3], 0);
	if (err)
		return call_end(&c, err);
	int64_t r = advise_vector(t, pid, &rw, (int)t->arg[3]);
	if (r == -ENOSYS) /* nobody there to ask: the host can advise what it sees of it */
		r = host_call5(__NR_process_madvise, t->arg[0], HC_A(rw.iov), rw.n, t->arg[3], 0);
	return call_end(&c, r);
}
