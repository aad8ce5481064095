/* SPDX-License-Identifier: MIT */
/* file.c - host files behind areas
 *
 * A mapped file must outlive the program's descriptor, so each gets a duplicate among our own numbers.  A program may map one
 * file a thousand times (every shared object four or five times): regular files are found again by device, inode and open mode, and
 * share one descriptor.  Devices are never shared, as two opens of one device may be two different things.
 *
 * The table of open files is protected by the mm lock.  The last reference may be dropped with or without it, and a file whose count has
 * reached zero may still be found in the table: it is passed over. */
#include "um/tree.h"

#include <asm/stat.h>
#include <asm/statfs.h>
#include <linux/fcntl.h>
#include <linux/magic.h>

#define S_FMT  0170000u
#define S_REG  0100000u
#define S_CHR  0020000u
#define S_BLK  0060000u
#define NR_BUCKETS 256u
#define DEV_ZERO_MAJOR 1u
#define DEV_ZERO_MINOR 5u

struct host_file {
	struct sf_file f;
	bool writable, shared; /* shared: stands in the table */
	uint32_t mode;
	LIST_ENTRY(host_file) link;
};
LIST_HEAD(file_bucket, host_file);
static struct file_bucket buckets[NR_BUCKETS];

static uint32_t dev_major(uint64_t dev) { return (uint32_t)(dev >> 8 & 0xfff); }
static uint32_t dev_minor(uint64_t dev) { return (uint32_t)((dev & 0xff) | (dev >> 12 & 0xfff00)); }

static struct file_bucket *bucket_of(uint64_t ino)
{
	return &buckets[(ino ^ ino >> 8 ^ ino >> 20) % NR_BUCKETS];
}

/* ---------------------------------------------------------------- operations */

static int64_t file_read(struct sf_file *f, void *buf, size_t len, uint64_t off)
{
	size_t done = 0;
	while (done < len) {
		int64_t n = host_call4(__NR_pread64, f->fd, HC_A((char *)buf + done), len - done, off + done);
		if (n == -EINTR)
			continue;
		if (n < 0)
			return done ? (int64_t)done : n;
		if (!n)
			break;
		done += (size_t)n;
	}
	return (int64_t)done;
}

static int64_t file_size(struct sf_file *f)
{
	struct stat st;
	int64_t err = host_call2(__NR_fstat, f->fd, HC_A(&st));
	if (err < 0)
		return err;
	if ((st.st_mode & S_FMT) == S_CHR && f->major == DEV_ZERO_MAJOR && f->minor == DEV_ZERO_MINOR)
		return INT64_MAX & (int64_t)PAGE_MASK;
	return (int64_t)st.st_size;
}

static void file_release(struct sf_file *f)
{
	struct host_file *hf = container_of(f, struct host_file, f);
	bool lock = !mm_is_locked(um.mm);
	if (lock)
		mm_lock(um.mm);
	if (hf->shared)
		LIST_REMOVE(hf, link);
	if (lock)
		mm_unlock(um.mm);
	host_call1(__NR_close, f->fd);
	kfree(um.mc, f->path);
	kfree(um.mc, hf);
}

static int file_punch(struct sf_file *f, uint64_t off, uint64_t len)
{
	return (int)host_call4(__NR_fallocate, f->fd, 3 /* FALLOC_FL_PUNCH_HOLE | KEEP_SIZE */, off, len);
}

/* The host tells it of mappings only. */
static int file_in_core(struct sf_file *f, uint64_t pgoff, uint64_t n, unsigned char *vec)
{
	int64_t at = host_call6(__NR_mmap, 0, n << PAGE_SHIFT, 0 /* PROT_NONE */, 1 /* MAP_SHARED */, f->fd, pgoff << PAGE_SHIFT);
	if (at < 0 && at > -4096)
		return (int)at;
	int r = (int)host_call3(__NR_mincore, at, n << PAGE_SHIFT, HC_A(vec));
	host_call2(__NR_munmap, at, n << PAGE_SHIFT);
	return r;
}

static const struct sf_file_ops host_file_ops = {
	.read = file_read,
	.size = file_size,
	.in_core = file_in_core,
	.punch = file_punch,
	.release = file_release,
};

static const char deleted[] = " (deleted)";

/* ---------------------------------------------------------------- making and finding */

/* A reference unless the count has already reached zero. */
static bool file_tryget(struct sf_file *f)
{
	uint32_t n = __atomic_load_n(&f->refs, __ATOMIC_RELAXED);
	while (n)
		if (__atomic_compare_exchange_n(&f->refs, &n, n + 1, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
			return true;
	return false;
}

/* locked: mm */
static struct sf_file *file_find(const struct stat *st, bool writable)
{
	struct host_file *hf;
	LIST_FOREACH(hf, bucket_of(st->st_ino), link)
		if (hf->f.ino == st->st_ino && hf->f.major == dev_major(st->st_dev) && hf->f.minor == dev_minor(st->st_dev) &&
		    hf->writable == writable && file_tryget(&hf->f))
			return &hf->f;
	return NULL;
}

/* Can a descriptor in this condition be mapped at all?  As Linux's mmap answers. */
static int check_mappable(const struct stat *st, int64_t open_flags)
{
	uint32_t fmt = st->st_mode & S_FMT;
	if (open_flags < 0)
		return (int)open_flags;
	if (open_flags & O_PATH)
		return -EBADF;
	if (fmt != S_REG && fmt != S_CHR && fmt != S_BLK)
		return -ENODEV;
	return (open_flags & O_ACCMODE) == O_WRONLY ? -EACCES : 0;
}

/* Files of /proc and devices may have no way of being mapped at all: the host knows.  What has contents is an ordinary file. */
static int64_t ask_mappable(int fd, const struct stat *st)
{
	if ((st->st_mode & S_FMT) == S_REG && st->st_size)
		return 0;
	int64_t at = host_call6(__NR_mmap, 0, PAGE_SIZE, 0, 2 /* MAP_PRIVATE */, fd, 0);
	if (at < 0)
		return at == -ENODEV || at == -EIO ? at : 0;
	host_call2(__NR_munmap, at, PAGE_SIZE);
	return 0;
}

static bool in_memory_fs(int fd)
{
	struct statfs fs;
	if (host_call2(__NR_fstatfs, fd, HC_A(&fs)) < 0)
		return false;
	return fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC || fs.f_type == HUGETLBFS_MAGIC;
}

/* The name that maps shows: what the host would say, " (deleted)" included. */
static char *file_path(int fd)
{
	char link[40], buf[4096];
	um_snprintf(link, sizeof(link), "/proc/thread-self/fd/%d", fd);
	int64_t n = host_call3(__NR_readlink, HC_A(link), HC_A(buf), sizeof(buf));
	if (n < 0)
		n = 0;
	char *path = kmalloc(um.mc, (size_t)n + 1);
	if (path) {
		memcpy(path, buf, (size_t)n);
		path[n] = 0;
	}
	return path;
}

static struct host_file *file_make(int fd, const struct stat *st, bool writable)
{
	struct host_file *hf = kmalloc(um.mc, sizeof(*hf));
	if (!hf)
		return NULL;
	hf->f.path = file_path(fd);
	if (!hf->f.path) {
		kfree(um.mc, hf);
		return NULL;
	}
	/* for devices maps shows the file system's numbers, but size() needs the device's own to know /dev/zero */
	uint64_t dev = (st->st_mode & S_FMT) == S_REG ? st->st_dev : st->st_rdev;
	hf->f.ops = &host_file_ops;
	hf->f.refs = 1;
	hf->f.fd = fd;
	hf->f.major = dev_major(dev);
	hf->f.minor = dev_minor(dev);
	hf->f.ino = st->st_ino;
	hf->f.always_in_core = (st->st_mode & S_FMT) == S_CHR || in_memory_fs(fd);
	hf->f.lend = (st->st_mode & S_FMT) == S_REG;
	hf->writable = writable;
	hf->shared = (st->st_mode & S_FMT) == S_REG;
	hf->mode = st->st_mode;
	return hf;
}

/* Put a new file into the table, unless another thread has been faster: then its entry is the one to use. */
static struct sf_file *file_publish(struct host_file *hf, const struct stat *st)
{
	if (!hf->shared)
		return &hf->f;
	mm_lock(um.mm);
	struct sf_file *other = file_find(st, hf->writable);
	if (!other)
		LIST_INSERT_HEAD(bucket_of(st->st_ino), hf, link);
	else
		hf->shared = false;
	mm_unlock(um.mm);
	if (!other)
		return &hf->f;
	file_release(&hf->f);
	return other;
}

struct sf_file *um_file_from_fd(int fd, int *ret_err)
{
	struct stat st;
	struct sf_file *f = NULL;
	/* duplicate first: another thread may give the number to another file between two looks at it */
	int64_t own = host_call3(__NR_fcntl, fd, F_DUPFD_CLOEXEC, um.shm->cfg.fd_base);
	if (own < 0) {
		*ret_err = (int)(own == -EINVAL ? -EMFILE : own);
		return NULL;
	}
	int64_t open_flags = host_call2(__NR_fcntl, own, F_GETFL);
	int64_t err = host_call2(__NR_fstat, own, HC_A(&st));
	if (!err)
		err = check_mappable(&st, open_flags);
	if (!err)
		err = ask_mappable((int)own, &st);
	if (err < 0)
		goto close_own;
	bool writable = (open_flags & O_ACCMODE) == O_RDWR;
	if ((st.st_mode & S_FMT) == S_REG) {
		mm_lock(um.mm);
		f = file_find(&st, writable);
		mm_unlock(um.mm);
	}
	if (f)
		goto close_own;
	struct host_file *hf = file_make((int)own, &st, writable);
	if (hf)
		return file_publish(hf, &st);
	err = -ENOMEM;
close_own:
	host_call1(__NR_close, own);
	if (!f)
		*ret_err = (int)err;
	return f;
}

bool um_file_unlinked(const struct sf_file *f)
{
	struct stat st;
	if (!f || f->ops != &host_file_ops || host_call2(__NR_fstat, f->fd, HC_A(&st)) < 0 || st.st_nlink)
		return false;
	uint64_t n = 0;
	while (f->path[n])
		n++;
	return n < sizeof(deleted) || memcmp(f->path + n + 1 - sizeof(deleted), deleted, sizeof(deleted));
}

void um_file_rename(struct sf_file *f, const char *name)
{
	char *path = kmalloc(um.mc, 32);
	if (!path)
		return;
	um_snprintf(path, 32, "%s", name);
	kfree(um.mc, f->path);
	f->path = path;
}

/* ---------------------------------------------------------------- files that become shorter */

/* locked: mm */
static bool is_mapped(const struct stat *st)
{
	struct host_file *hf;
	LIST_FOREACH(hf, bucket_of(st->st_ino), link)
		if (hf->f.ino == st->st_ino && hf->f.major == dev_major(st->st_dev) && hf->f.minor == dev_minor(st->st_dev))
			return true;
	return false;
}

/* The part of the first private mapping of that file, above from, that lies beyond its end.  locked: mm */
static bool beyond_end(const struct stat *st, vaddr_t from, vaddr_t *ret_start, vaddr_t *ret_end)
{
	uint64_t pages = PFN(PAGE_ALIGN((uint64_t)st->st_size));
	for (struct vm_area *v = find_vma(um.mm, NULL, from); v; v = vma_next(v)) {
		if (!v->file || v->flags & VM_SHARED || v->file->ino != st->st_ino || v->file->major != dev_major(st->st_dev) ||
		    v->file->minor != dev_minor(st->st_dev))
			continue;
		*ret_start = v->start + (pages > v->pgoff ? (pages - v->pgoff) << PAGE_SHIFT : 0);
		*ret_end = v->end;
		if (*ret_start < v->end)
			return true;
	}
	return false;
}

/* Source: Linux unmap_mapping_range with even_cows: pages of private mappings beyond the end are lost, written ones too. */
void um_file_cut(struct thread *t, int fd, const char *path)
{
	struct stat st;
	vaddr_t start = 0, end = 0;
	int64_t err = path ? host_call2(__NR_stat, HC_A(path), HC_A(&st)) : host_call2(__NR_fstat, fd, HC_A(&st));
	bool found = !err;
	mm_lock(um.mm);
	found = found && is_mapped(&st);
	while (found && (found = beyond_end(&st, end, &start, &end))) {
		mm_unlock(um.mm);
		do_madvise(um.mm, &t->task, start, end - start, 4 /* MADV_DONTNEED */);
		mm_lock(um.mm);
	}
	mm_unlock(um.mm);
}

/* ---------------------------------------------------------------- files that change */

static bool same_file(const struct sf_file *f, const struct stat *st)
{
	return f && f->ino == st->st_ino && f->major == dev_major(st->st_dev) && f->minor == dev_minor(st->st_dev);
}

void um_file_changed(int fd, uint64_t off, uint64_t len)
{
	struct stat st;
	if (host_call2(__NR_fstat, fd, HC_A(&st)))
		return;
	uint64_t first = PFN(off), end = PFN(PAGE_ALIGN(off + len));
	mm_lock(um.mm);
	for (struct vm_area *v = is_mapped(&st) ? find_vma(um.mm, NULL, 0) : NULL; v; v = vma_next(v)) {
		uint64_t lo = MAX(first, v->pgoff), hi = MIN(end, v->pgoff + PFN(v->end - v->start));
		if (!same_file(v->file, &st) || v->flags & (VM_SHARED | VM_LENT) || lo >= hi)
			continue;
		vaddr_t start = v->start + ((lo - v->pgoff) << PAGE_SHIFT);
		drop_file_pages(um.mm, start, start + ((hi - lo) << PAGE_SHIFT));
	}
	mm_unlock(um.mm);
}

/* Written down by each process for the others (um_account_program).  Who may not write hears that first. */
bool um_runs_from(int dirfd, const char *path)
{
	struct stat st;
	if (host_call4(__NR_newfstatat, dirfd, HC_A(path), HC_A(&st), 0) || (st.st_mode & S_FMT) != S_REG || !(st.st_mode & 0111))
		return false;
	uint32_t n = MIN(__atomic_load_n(&um.shm->nr_procs, __ATOMIC_ACQUIRE) + 1, UM_PROCS);
	for (uint32_t i = 0; i < n; i++) {
		const struct sf_proc_stat *p = &um.shm->procs[i];
		if (READ_ONCE(p->prog_ino) == st.st_ino && p->prog_major == dev_major(st.st_dev) && p->prog_minor == dev_minor(st.st_dev) &&
		    !READ_ONCE(p->end_ns) && um_process_alive(p->pid))
			return !host_call4(__NR_faccessat2, dirfd, HC_A(path), 2 /* W_OK */, 0x200 /* AT_EACCESS */);
	}
	return false;
}

/* ---------------------------------------------------------------- for the summary's symbols */

static bool same_text(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return *a == *b;
}

/* The tail of the path is kept when it is too long: the end tells more. */
static void copy_tail(char *dst, size_t room, const char *src)
{
	size_t len = 0;
	while (src[len])
		len++;
	if (len >= room)
		src += len - (room - 1);
	um_snprintf(dst, room, "%s", src);
}

void um_note_map(vaddr_t start, vaddr_t end, uint64_t pgoff, const char *path)
{
	struct um_shared *shm = um.shm;
	uint32_t n = __atomic_load_n(&shm->nr_maps, __ATOMIC_ACQUIRE);
	for (uint32_t i = 0; i < n && i < UM_MAPS; i++) {
		struct um_map_rec *r = &shm->maps[i];
		if (r->start == start && r->end == end && r->pgoff == pgoff && same_text(r->path, path))
			return;
	}
	do {
		if (n >= UM_MAPS)
			return;
	} while (!__atomic_compare_exchange_n(&shm->nr_maps, &n, n + 1, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE));
	struct um_map_rec *r = &shm->maps[n];
	copy_tail(r->path, sizeof(r->path), path);
	r->pgoff = pgoff;
	r->start = start;
	__atomic_store_n(&r->end, end, __ATOMIC_RELEASE); /* a record without an end was never finished */
}
