/* SPDX-License-Identifier: MIT */
/* anon.c - shared anonymous memory
 *
 * What is shared with whoever will be forked is a memory file without a name, and a descriptor of ours.  There are not many of these, so small mappings
 * lie on shelves, SHELF_SLOTS in one file, each where the next is out of reach even for one that grows:
 *
 *     file:  mapping 0 | mapping 1 | …  SLOT_BYTES each
 *
 * A slot is used once.  The contents go with the mapping, unless a process was forked meanwhile: that one may still have them, and they go with
 * the file.  Nor does anybody put more on a shelf that two processes have, for they would take the same slots. */
#include "um/syscall.h"

#include <asm/stat.h>
#include <linux/fcntl.h>

#define SHELF_SLOTS 64u
#define SLOT_BYTES (1ull << 40)
#define SMALL (256ull << 10)
#define FALLOC_PUNCH 3 /* FALLOC_FL_PUNCH_HOLE | KEEP_SIZE */

struct shelf { uint32_t refs, used, forks; int fd; struct stat st; };
struct shared_anon { struct sf_file f; struct shelf *shelf; uint64_t size; };

static struct shelf *open_shelf; /* locked: mm, as are what it counts and forks */
static uint32_t forks;

void um_anon_forking(void) { forks++; }

/* ---------------------------------------------------------------- shelves */

/* locked: mm */
static void shelf_put(struct shelf *s)
{
	if (!s || --s->refs)
		return;
	host_call1(__NR_close, s->fd);
	kfree(um.mc, s);
}

/* A file of its own, among our numbers. */
static int64_t memory_file(uint64_t bytes, struct stat *ret_st)
{
	int64_t low = host_call2(__NR_memfd_create, HC_A("softfault-shared"), 1 /* MFD_CLOEXEC */);
	if (low < 0)
		return low;
	int64_t fd = host_call2(__NR_ftruncate, low, bytes) ? -ENOMEM : host_call3(__NR_fcntl, low, F_DUPFD_CLOEXEC, um.shm->cfg.fd_base);
	if (fd >= 0)
		host_call2(__NR_fstat, fd, HC_A(ret_st));
	host_call1(__NR_close, low);
	return fd == -EINVAL ? -EMFILE : fd;
}

/* The next mappings go there.  If another thread does the same, that one's is left with empty slots. */
static int64_t shelf_open(void)
{
	struct shelf *s = kmalloc(um.mc, sizeof(*s));
	if (!s)
		return -ENOMEM;
	*s = (struct shelf){ .refs = 1 };
	int64_t fd = memory_file(SHELF_SLOTS * SLOT_BYTES, &s->st);
	if (fd < 0) {
		kfree(um.mc, s);
		return fd;
	}
	s->fd = (int)fd;
	mm_lock(um.mm);
	s->forks = forks;
	shelf_put(open_shelf);
	open_shelf = s;
	mm_unlock(um.mm);
	return 0;
}

static struct shelf *slot_take(uint32_t *ret_slot)
{
	mm_lock(um.mm);
	struct shelf *s = open_shelf;
	if (s && s->forks == forks && s->used < SHELF_SLOTS) {
		*ret_slot = s->used++;
		s->refs++;
	} else {
		s = NULL;
	}
	mm_unlock(um.mm);
	return s;
}

/* ---------------------------------------------------------------- the file that an area sees */

static int64_t anon_read(struct sf_file *f, void *buf, size_t len, uint64_t off) { return -EIO; /* shared only */ }

static int64_t anon_size(struct sf_file *f)
{
	const struct shared_anon *a = container_of(f, struct shared_anon, f);
	return (int64_t)((f->first_page << PAGE_SHIFT) + a->size);
}

static int anon_punch(struct sf_file *f, uint64_t off, uint64_t len)
{
	return (int)host_call4(__NR_fallocate, f->fd, FALLOC_PUNCH, off, len);
}

static void anon_release(struct sf_file *f)
{
	struct shared_anon *a = container_of(f, struct shared_anon, f);
	bool lock = !mm_is_locked(um.mm);
	if (lock)
		mm_lock(um.mm);
	if (a->shelf->forks == forks && a->shelf->refs > 1)
		anon_punch(f, f->first_page << PAGE_SHIFT, a->size);
	shelf_put(a->shelf);
	if (lock)
		mm_unlock(um.mm);
	kfree(um.mc, f->path);
	kfree(um.mc, a);
}

static const struct sf_file_ops anon_ops = {
	.read = anon_read,
	.size = anon_size,
	.punch = anon_punch,
	.release = anon_release,
};

/* ---------------------------------------------------------------- making */

static bool file_size_limited(void)
{
	uint64_t limit[2] = { 0 };
	host_call4(__NR_prlimit64, 0, 1 /* RLIMIT_FSIZE */, 0, HC_A(limit));
	return limit[0] != UINT64_MAX;
}

static struct sf_file *alone(uint64_t len, int *ret_err)
{
	struct stat st;
	int64_t fd = memory_file(len, &st);
	struct sf_file *f = fd < 0 ? NULL : um_file_from_fd((int)fd, ret_err);
	if (fd < 0) {
		*ret_err = (int)fd;
		return NULL;
	}
	host_call1(__NR_close, fd);
	if (f)
		um_file_rename(f, "/dev/zero (deleted)");
	return f;
}

struct sf_file *um_anon_shared(uint64_t len, int *ret_err)
{
	uint32_t slot = 0;
	int64_t err = 0;
	if (len > SMALL || file_size_limited())
		return alone(len, ret_err);
	struct shared_anon *a = kmalloc(um.mc, sizeof(*a));
	char *path = kmalloc(um.mc, 32);
	struct shelf *s = NULL;
	while (a && path && !err && !(s = slot_take(&slot)))
		err = shelf_open();
	if (!s) {
		kfree(um.mc, a);
		kfree(um.mc, path);
		*ret_err = err ? (int)err : -ENOMEM;
		return NULL;
	}
	um_snprintf(path, 32, "/dev/zero (deleted)");
	*a = (struct shared_anon){ .shelf = s, .size = len };
	a->f = (struct sf_file){ .ops = &anon_ops, .refs = 1, .fd = s->fd, .major = (uint32_t)(s->st.st_dev >> 8 & 0xfff),
				 .minor = (uint32_t)(s->st.st_dev & 0xff), .ino = s->st.st_ino * SHELF_SLOTS + slot, .always_in_core = true,
				 .path = path, .first_page = slot * (SLOT_BYTES >> PAGE_SHIFT) };
	return &a->f;
}
