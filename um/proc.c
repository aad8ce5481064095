/* SPDX-License-Identifier: MIT */
/* proc.c - which /proc files tell the program's own story
 *
 *   /proc/self/X, /proc/<own number>/X             about the process
 *   /proc/thread-self/X, …/task/<own thread>/X     about a thread
 *   /proc/<number of another process of the tree>  about that one: its helper is asked
 *   X relative to a directory among these          the same
 *
 * X is looked at first: only a path whose last component is one of ours costs a second look, so ordinary opens stay cheap.
 *
 * A text view is a snapshot in a memory file, opened anew for reading only, under the lowest free number.  Reading it again from
 * the start gives the same text; a program must open again to see news.  Files about memory that we cannot give a true account of
 * are refused.  Everything else below /proc is the host's, comm included (the host knows the program's name). */
#include "um/proc.h"
#include "um/tree.h"

#include <linux/fcntl.h>
#include <linux/memfd.h>

enum view {
	V_MAPS, V_SMAPS, V_SMAPS_ROLLUP, V_STATM, V_STATUS, V_STAT, V_AUXV, V_CMDLINE, V_ENVIRON,
	V_EXE, V_MEM, V_PAGEMAP, V_LIMITS,
	V_REFUSED,
};

struct view_name { const char *name; enum view view; int err; };
static const struct view_name views[] = {
	{ "maps", V_MAPS, 0 }, { "smaps", V_SMAPS, 0 }, { "smaps_rollup", V_SMAPS_ROLLUP, 0 }, { "statm", V_STATM, 0 },
	{ "status", V_STATUS, 0 }, { "stat", V_STAT, 0 }, { "auxv", V_AUXV, 0 }, { "cmdline", V_CMDLINE, 0 },
	{ "environ", V_ENVIRON, 0 }, { "limits", V_LIMITS, 0 }, { "exe", V_EXE, 0 },
	{ "mem", V_MEM, 0 }, { "pagemap", V_PAGEMAP, 0 }, { "numa_maps", V_REFUSED, -EACCES },
	{ "map_files", V_REFUSED, -EPERM },
};

#define PATH_ROOM 512
#define PAGEMAP_WORDS 512u
#define PAGEMAP_END (1ull << 47)
#define PARTS 6

/* A path that has been recognised. */
struct proc_name {
	const struct view_name *view;
	uint32_t tid;          /* the thread that a file is about; 0: the process */
	uint32_t other;        /* number of another process, perhaps of the tree; 0: our own */
	char host[64];         /* the directory on the host that tells the rest */
};

struct part { const char *p; size_t len; };

/* ---------------------------------------------------------------- recognising */

static bool part_is(const struct part *a, const char *s)
{
	size_t i = 0;
	for (; i < a->len; i++)
		if (!s[i] || s[i] != a->p[i])
			return false;
	return !s[i];
}

static uint32_t part_number(const struct part *a)
{
	uint64_t v = 0;
	for (size_t i = 0; i < a->len; i++) {
		if (a->p[i] < '0' || a->p[i] > '9' || v > UINT32_MAX / 10)
			return 0;
		v = v * 10 + (uint64_t)(a->p[i] - '0');
	}
	return (uint32_t)v;
}

static size_t text_length(const char *s)
{
	size_t n = 0;
	while (s[n])
		n++;
	return n;
}

static const struct view_name *find_view(const char *path)
{
	const char *last = path;
	for (const char *p = path; *p; p++)
		if (*p == '/')
			last = p + 1;
	struct part part = { last, 0 };
	while (last[part.len])
		part.len++;
	for (size_t i = 0; i < ARRAY_SIZE(views); i++)
		if (part_is(&part, views[i].name))
			return &views[i];
	return NULL;
}

/* The path made absolute, when that can end up below /proc. */
static bool make_absolute(int dirfd, const char *path, char *buf)
{
	char link[40];
	int64_t n = 0;
	if (*path != '/') {
		if (dirfd == AT_FDCWD)
			um_snprintf(link, sizeof(link), "/proc/self/cwd");
		else
			um_snprintf(link, sizeof(link), "/proc/self/fd/%d", dirfd);
		n = host_call3(__NR_readlink, HC_A(link), HC_A(buf), PATH_ROOM - 2);
		if (n < 5 || n >= PATH_ROOM - 2 || memcmp(buf, "/proc", 5))
			return false;
		buf[n++] = '/';
	}
	while (*path && n < PATH_ROOM - 1)
		buf[n++] = *path++;
	buf[n] = 0;
	return !*path;
}

/* Components, without empty ones and "."; ".." takes one back.  The number of them, or 0 when there are too many. */
static unsigned split_path(const char *path, struct part parts[PARTS])
{
	unsigned n = 0;
	while (*path) {
		struct part a = { path, 0 };
		while (a.p[a.len] && a.p[a.len] != '/')
			a.len++;
		path += a.len + (a.p[a.len] == '/');
		if (!a.len || part_is(&a, "."))
			continue;
		if (part_is(&a, "..")) {
			n -= n > 0;
			continue;
		}
		if (n == PARTS)
			return 0;
		parts[n++] = a;
	}
	return n;
}

static bool is_own_thread(uint32_t tid)
{
	char dir[48];
	um_snprintf(dir, sizeof(dir), "/proc/self/task/%u", tid);
	return tid && !host_call4(__NR_faccessat, AT_FDCWD, HC_A(dir), 0, 0);
}

/* /proc/WHO: about the process, or about one thread. */
static bool parse_who(const struct part *a, struct thread *t, struct proc_name *pn)
{
	uint32_t n = part_number(a);
	pn->tid = pn->other = 0;
	if (part_is(a, "thread-self")) {
		pn->tid = t->task.tid;
		um_snprintf(pn->host, sizeof(pn->host), "/proc/thread-self");
		return true;
	}
	if (!part_is(a, "self") && n != my_pid() && !is_own_thread(n)) {
		pn->other = n;
		return n && (um.mc->tree || pn->view->view == V_MEM);
	}
	um_snprintf(pn->host, sizeof(pn->host), "/proc/%.*s", (int)a->len, a->p);
	return true;
}

static bool proc_parse(struct thread *t, int dirfd, const char *path, struct proc_name *pn)
{
	char buf[PATH_ROOM];
	struct part parts[PARTS];
	pn->view = find_view(path);
	if (!pn->view || !make_absolute(dirfd, path, buf))
		return false;
	unsigned n = split_path(buf, parts);
	if ((n != 3 && n != 5) || !part_is(&parts[0], "proc") || !parse_who(&parts[1], t, pn))
		return false;
	if (n == 5) {
		pn->tid = part_number(&parts[3]);
		if (!part_is(&parts[2], "task") || (!pn->other && !is_own_thread(pn->tid)))
			return false;
		um_snprintf(pn->host, sizeof(pn->host), "/proc/self/task/%u", pn->tid);
	}
	return part_is(&parts[n - 1], pn->view->name);
}

/* ---------------------------------------------------------------- text into a descriptor */

static int64_t write_all(int64_t fd, const struct text *text)
{
	size_t done = 0;
	while (done < text->len) {
		int64_t n = host_call3(__NR_write, fd, HC_A(text->buf + done), text->len - done);
		if (n == -EINTR)
			continue;
		if (n <= 0)
			return n ? n : -EIO;
		done += (size_t)n;
	}
	return 0;
}

/* Open what a path below /proc leads to: a new file description under the lowest free number. */
static int64_t open_link(const char *link, uint64_t flags)
{
	int64_t fd = host_call4(__NR_openat, AT_FDCWD, HC_A(link), flags, 0);
	if (fd >= 0 && fd_is_ours((uint64_t)fd)) {
		host_call1(__NR_close, fd);
		return -EMFILE;
	}
	return fd;
}

/* The same of one of our own descriptors. */
static int64_t reopen(int64_t own, uint64_t flags)
{
	char link[40];
	um_snprintf(link, sizeof(link), "/proc/self/fd/%d", (int)own);
	return open_link(link, flags);
}

/* The text in a descriptor of ours. */
static int64_t text_to_own_fd(const struct text *text, const char *name)
{
	int64_t low = host_call2(__NR_memfd_create, HC_A(name), MFD_CLOEXEC);
	if (low < 0)
		return low;
	int64_t own = host_call3(__NR_fcntl, low, F_DUPFD_CLOEXEC, um.shm->cfg.fd_base);
	host_call1(__NR_close, low);
	int64_t r = own < 0 ? own : write_all(own, text);
	if (r && own >= 0)
		host_call1(__NR_close, own);
	return r ? r : own;
}

static int64_t text_to_fd(const struct text *text, const char *name, int flags)
{
	int64_t own = text_to_own_fd(text, name);
	if (own < 0)
		return own;
	int64_t r = reopen(own, O_RDONLY | ((unsigned)flags & O_CLOEXEC));
	host_call1(__NR_close, own);
	return r;
}

/* ---------------------------------------------------------------- views */

static void host_based(struct text *text, const struct proc_name *pn, struct thread *t)
{
	struct text host = { 0 };
	char path[80];
	uint32_t about = pn->tid ? pn->tid : my_pid();
	um_snprintf(path, sizeof(path), "%s/%s", pn->host, pn->view->name);
	text->err = text_host_file(&host, path);
	if (!text->err && pn->view->view == V_STATUS)
		proc_status(text, &host, t, about == t->task.tid);
	else if (!text->err && pn->view->view == V_LIMITS)
		proc_limits(text, &host);
	else if (!text->err)
		proc_stat(text, &host, t, about == t->task.tid, !pn->tid);
	text_free(&host);
}

static void make_text(struct text *text, const struct proc_name *pn, struct thread *t)
{
	switch (pn->view->view) {
	case V_MAPS: proc_maps(text); break;
	case V_SMAPS: proc_smaps(text); break;
	case V_SMAPS_ROLLUP: proc_smaps_rollup(text); break;
	case V_STATM: proc_statm(text); break;
	case V_AUXV: proc_auxv(text); break;
	case V_CMDLINE: proc_cmdline(text, t); break;
	case V_ENVIRON: proc_environ(text, t); break;
	case V_LIMITS:
	case V_STATUS:
	case V_STAT: host_based(text, pn, t); break;
	case V_EXE:
	case V_MEM:
	case V_PAGEMAP:
	case V_REFUSED: text->err = -EACCES; break;
	}
}

/* ---------------------------------------------------------------- other processes of the tree */

int64_t um_proc_answer(struct thread *t, uint32_t what, uint32_t tid)
{
	struct proc_name pn = { .tid = tid };
	struct text text = { 0 };
	for (size_t i = 0; i < ARRAY_SIZE(views) && !pn.view; i++)
		if (views[i].view == what - 1)
			pn.view = &views[i];
	if (!pn.view || (tid && !is_own_thread(tid)))
		return -ENOENT;
	if (pn.view->view == V_EXE)
		return um.exe_fd < 0 ? -ENOENT : host_call3(__NR_fcntl, um.exe_fd, F_DUPFD_CLOEXEC, um.shm->cfg.fd_base);
	um_snprintf(pn.host, sizeof(pn.host), tid ? "/proc/self/task/%u" : "/proc/self", tid);
	make_text(&text, &pn, t);
	int64_t fd = text.err ? text.err : text_to_own_fd(&text, pn.view->name);
	text_free(&text);
	return fd;
}

static int64_t open_answer(const char *path, void *arg)
{
	int64_t fd = open_link(path, *(uint64_t *)arg);
	return fd < 0 && fd != -EMFILE ? -ENOSYS : fd;
}

/* What its arguments and environment have become is in its memory, where only the host looks; we tell the host's story of them. */
static int64_t open_other(const struct proc_name *pn, int flags)
{
	uint64_t how = O_RDONLY | ((unsigned)flags & O_CLOEXEC);
	enum view v = pn->view->view;
	if (v == V_REFUSED || v == V_PAGEMAP)
		return v == V_PAGEMAP ? -EPERM : pn->view->err;
	if (v == V_AUXV || v == V_CMDLINE || v == V_ENVIRON || flags & (O_ACCMODE | O_PATH | O_DIRECTORY | O_CREAT))
		return -ENOSYS;
	return um_tree_question(pn->other, v + 1, pn->tid, open_answer, &how);
}

struct link_room { char *buf; size_t n; };

static int64_t read_answer(const char *path, void *arg)
{
	struct link_room *room = arg;
	int64_t r = host_call3(__NR_readlink, HC_A(path), HC_A(room->buf), room->n);
	return r < 0 ? -ENOSYS : r;
}

/* The program's file itself, which may have been renamed or deleted since. */
static int64_t open_exe(int flags)
{
	if (flags & O_NOFOLLOW || um.exe_fd < 0)
		return -ENOSYS;
	if (flags & O_ACCMODE && !(flags & O_PATH))
		return -ETXTBSY;
	return reopen(um.exe_fd, (unsigned)flags & ~(O_CREAT | O_TRUNC));
}

/* A sparse file: words of pages that are there are written, all others read as zeros. */
static int64_t open_pagemap(int flags)
{
	uint64_t words[PAGEMAP_WORDS], pfn = 0, limit[2] = { 0 };
	unsigned n;
	host_call4(__NR_prlimit64, 0, 1 /* RLIMIT_FSIZE */, 0, HC_A(limit));
	int64_t low = limit[0] == UINT64_MAX ? host_call2(__NR_memfd_create, HC_A("pagemap"), MFD_CLOEXEC) : -EPERM, own = low;
	if (low >= 0) {
		own = host_call3(__NR_fcntl, low, F_DUPFD_CLOEXEC, um.shm->cfg.fd_base);
		host_call1(__NR_close, low);
	}
	if (own < 0)
		return own;
	int64_t r = host_call2(__NR_ftruncate, own, PAGEMAP_END / PAGE_SIZE * sizeof(words[0]));
	while (!r && (n = proc_pagemap(&pfn, words, PAGEMAP_WORDS))) {
		r = host_call4(__NR_pwrite64, own, HC_A(words), n * sizeof(words[0]), pfn * sizeof(words[0]));
		r = r < 0 ? r : 0;
		pfn += n;
	}
	if (!r)
		r = reopen(own, O_RDONLY | ((unsigned)flags & O_CLOEXEC));
	host_call1(__NR_close, own);
	return r;
}

static bool is_sysctl(const char *path)
{
	static const char *const names[] = { "/proc/sys/vm/overcommit_memory", "/proc/sys/vm/max_map_count" };
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (part_is(&(struct part){ path, text_length(path) }, names[i]))
			return true;
	return false;
}

int64_t um_proc_open(struct thread *t, int dirfd, const char *path, int flags)
{
	struct proc_name pn;
	struct text text = { 0 };
	if (flags & O_ACCMODE && is_sysctl(path))
		WRITE_ONCE(um.shm->sysctls, 1);
	if (!proc_parse(t, dirfd, path, &pn))
		return -ENOSYS;
	if (pn.view->view == V_MEM) { /* the host's, as a name and a position for um/remote.c */
		WRITE_ONCE(um.shm->mem_files, 1);
		return -ENOSYS;
	}
	if (pn.other)
		return open_other(&pn, flags);
	if (pn.view->view == V_EXE)
		return open_exe(flags);
	if (flags & O_PATH)
		return -ENOSYS;
	if (pn.view->view == V_REFUSED) {
		if (um.verbose)
			um_log("refused: %s (the host's view of memory is not the program's)", path);
		return pn.view->err;
	}
	if ((flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL))
		return -EEXIST;
	if (flags & O_DIRECTORY)
		return -ENOTDIR;
	if (flags & O_ACCMODE)
		return -EACCES;
	if (pn.view->view == V_PAGEMAP)
		return open_pagemap(flags);
	make_text(&text, &pn, t);
	int64_t r = text.err ? text.err : text_to_fd(&text, pn.view->name, flags);
	text_free(&text);
	return r;
}

int64_t um_proc_readlink(struct thread *t, int dirfd, const char *path, char *buf, size_t n)
{
	struct proc_name pn;
	char own[40], name[sizeof(um.exe)];
	if (!proc_parse(t, dirfd, path, &pn) || pn.view->view != V_EXE)
		return -ENOSYS;
	if (!n)
		return -EINVAL;
	if (pn.other)
		return um_tree_question(pn.other, V_EXE + 1, pn.tid, read_answer, &(struct link_room){ buf, n });
	um_snprintf(own, sizeof(own), "/proc/self/fd/%d", um.exe_fd);
	int64_t r = um.exe_fd < 0 ? -ENOENT : host_call3(__NR_readlink, HC_A(own), HC_A(name), sizeof(name));
	if (r < 0)
		r = um_snprintf(name, sizeof(name), "%s", um.exe);
	r = MIN(r, (int64_t)n);
	memcpy(buf, name, (size_t)r);
	return r;
}
