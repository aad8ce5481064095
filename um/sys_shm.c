/* SPDX-License-Identifier: MIT */
/* sys_shm.c - System V shared memory
 *
 * A segment is two things.  The host has it under its number, with key, rights, times and limits, and attaches it wherever the program does, in
 * a range of ours that nobody ever touches: so the number of attachments is right at all times, for ipcs and programs outside too, however
 * processes fork, execute or die.  The contents are ours: a range of one sparse memory file, the arena, that all processes of the tree inherit.
 * The program's mapping is one of that file, so it comes in by faults and counts within the bound as any shared file does.
 *
 *     arena:  segment 0 | segment 1 | …  SLOT_BYTES each, by the index that is the low part of the host's number | directory
 *
 * The directory says which number's contents a slot has; 0: nobody's, and they are zeros.  Contents of segments that are gone are thrown away by whoever
 * makes or removes another.  Segments from outside the tree have no contents here and cannot be attached. */
#include "um/syscall.h"

#include <linux/falloc.h>
#include <linux/fcntl.h>
#include <linux/shm.h>

#define SLOTS 0x8000u
#define SLOT_BYTES (1ull << 40)
#define DIRECTORY (SLOTS * SLOT_BYTES)
#define CLEARING UINT32_MAX
#define CLEARING_TRIES 200
#define SHADOW_LO 0x7a0000000000ull /* between our text and the host's own mappings */
#define SHADOW_HI 0x7d0000000000ull
#define SHADOW_TRIES 4096

struct directory { uint32_t top; uint32_t owner[SLOTS]; /* number + 1 */ };
struct attachment { struct sf_file f; vaddr_t shadow; uint64_t size; int id; };

/* ---------------------------------------------------------------- the arena */

/* A file larger than RLIMIT_FSIZE cannot be made, and to try is a signal. */
void um_shm_arena(void)
{
	uint64_t limit[2] = { 0 };
	um.shm_arena = -1;
	host_call4(__NR_prlimit64, 0, 1 /* RLIMIT_FSIZE */, 0, HC_A(limit));
	int64_t low = limit[0] == UINT64_MAX ? host_call2(__NR_memfd_create, HC_A("softfault-sysv"), 0) : -1;
	if (low < 0)
		return;
	if (!host_call2(__NR_ftruncate, low, DIRECTORY + PAGE_ALIGN(sizeof(struct directory))))
		um.shm_arena = (int)host_call3(__NR_fcntl, low, F_DUPFD, um.shm->cfg.fd_base);
	host_call1(__NR_close, low);
	um.shm_directory = NULL;
}

static struct directory *directory(void)
{
	struct directory *d = __atomic_load_n(&um.shm_directory, __ATOMIC_ACQUIRE), *none = NULL;
	if (d || um.shm_arena < 0)
		return d;
	uint64_t bytes = PAGE_ALIGN(sizeof(*d));
	vaddr_t at = (vaddr_t)um.port->ops->alloc(um.port, bytes);
	if (!at || host_call6(__NR_mmap, at, bytes, 3, 0x11 /* SHARED|FIXED */, um.shm_arena, DIRECTORY) != (int64_t)at)
		return NULL;
	d = (struct directory *)at;
	return __atomic_compare_exchange_n(&um.shm_directory, &none, d, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE) ? d : none;
}

static uint32_t slot_of(int id) { return (uint32_t)id % SLOTS; }

static void punch(uint32_t slot)
{
	host_call4(__NR_fallocate, um.shm_arena, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, slot * SLOT_BYTES, SLOT_BYTES);
}

static bool segment_gone(int id)
{
	struct shmid64_ds ds;
	int64_t r = host_call3(__NR_shmctl, id, IPC_STAT, HC_A(&ds));
	return r == -EINVAL || r == -EIDRM;
}

static void clear_if_gone(struct directory *d, uint32_t slot)
{
	uint32_t *owner = &d->owner[slot], seen = READ_ONCE(*owner);
	if (!seen || seen == CLEARING || !segment_gone((int)(seen - 1)))
		return;
	if (!__atomic_compare_exchange_n(owner, &seen, CLEARING, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
		return;
	punch(slot);
	__atomic_store_n(owner, 0, __ATOMIC_RELEASE);
}

static void sweep(struct directory *d)
{
	for (uint32_t i = 0; i < READ_ONCE(d->top) && i < SLOTS; i++)
		clear_if_gone(d, i);
}

static void pause_a_moment(void)
{
	const uint64_t ts[2] = { 0, 500000 };
	host_call2(__NR_nanosleep, HC_A(ts), 0);
}

/* The slot of a new segment.  Somebody may be at clearing it, or have been killed over that. */
static int claim(struct directory *d, int id)
{
	uint32_t slot = slot_of(id), *owner = &d->owner[slot], top = READ_ONCE(d->top);
	sweep(d);
	for (int i = 0; READ_ONCE(*owner) == CLEARING && i < CLEARING_TRIES; i++)
		pause_a_moment();
	if (READ_ONCE(*owner) == CLEARING)
		punch(slot);
	else if (READ_ONCE(*owner))
		return -ENOSPC; /* numbers are dealt out otherwise than we know */
	while (slot >= top && !__atomic_compare_exchange_n(&d->top, &top, slot + 1, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
	__atomic_store_n(owner, (uint32_t)id + 1, __ATOMIC_RELEASE);
	return 0;
}

/* Whoever found a segment by its key may be faster than the one that made it. */
static bool is_ours(struct directory *d, int id)
{
	for (int i = 0; i < CLEARING_TRIES; i++) {
		if (READ_ONCE(d->owner[slot_of(id)]) == (uint32_t)id + 1)
			return true;
		if (READ_ONCE(d->owner[slot_of(id)]) && READ_ONCE(d->owner[slot_of(id)]) != CLEARING)
			return false;
		pause_a_moment();
	}
	return false;
}

/* ---------------------------------------------------------------- making */

/* To know whether it is new, a segment is found or made, never both at once. */
static int64_t find_or_make(uint64_t key, uint64_t size, uint64_t flags, bool *ret_new)
{
	for (;;) {
		int64_t id = host_call3(__NR_shmget, key, size, flags | IPC_EXCL);
		*ret_new = id >= 0;
		if (id != -EEXIST || flags & IPC_EXCL)
			return id;
		id = host_call3(__NR_shmget, key, size, flags & ~(uint64_t)IPC_CREAT);
		if (id != -ENOENT)
			return id;
	}
}

int64_t sys_shmget(struct thread *t)
{
	uint64_t key = t->arg[0], size = t->arg[1], flags = t->arg[2];
	struct directory *d = directory();
	bool is_new = false;
	if (!d)
		return -ENOSYS;
	if (flags & SHM_HUGETLB)
		return -ENOMEM;
	if ((int)key != IPC_PRIVATE && !(flags & IPC_CREAT))
		return host_call3(__NR_shmget, key, size, flags);
	int64_t id = find_or_make(key, size, flags, &is_new);
	int err = is_new ? claim(d, (int)id) : 0;
	if (!err && is_new && size > SLOT_BYTES)
		err = -ENOSPC;
	if (err)
		host_call3(__NR_shmctl, id, IPC_RMID, 0);
	return err ? err : id;
}

int64_t sys_shmctl(struct thread *t)
{
	struct call c;
	vaddr_t arg = t->arg[2];
	struct directory *d = directory();
	call_begin(&c, t);
	switch ((int)t->arg[1]) {
	case IPC_SET:  c.a[2] = call_in(&c, arg, sizeof(struct shmid64_ds)); break;
	case IPC_STAT:
	case SHM_STAT:
	case SHM_STAT_ANY: c.a[2] = call_map(&c, arg, sizeof(struct shmid64_ds), DIR_OUT); break;
	case IPC_INFO: c.a[2] = call_map(&c, arg, sizeof(struct shminfo64), DIR_OUT); break;
	case SHM_INFO: c.a[2] = call_map(&c, arg, sizeof(struct shm_info), DIR_OUT); break;
	default: break;
	}
	int64_t r = call_end(&c, call_host(&c, t->nr));
	if (d && !r && (int)t->arg[1] == IPC_RMID)
		sweep(d);
	return r;
}

/* ---------------------------------------------------------------- attaching */

static uint64_t first_page(const struct attachment *a) { return slot_of(a->id) * (SLOT_BYTES >> PAGE_SHIFT); }

static int64_t attachment_size(struct sf_file *f)
{
	struct attachment *a = container_of(f, struct attachment, f);
	return (int64_t)(slot_of(a->id) * SLOT_BYTES + a->size);
}

/* The last piece of it was unmapped.  What this makes the last of the segment is cleared up with the next one. */
static void attachment_release(struct sf_file *f)
{
	struct attachment *a = container_of(f, struct attachment, f);
	host_call1(__NR_shmdt, a->shadow);
	kfree(um.mc, f->path);
	kfree(um.mc, a);
}

static int64_t attachment_read(struct sf_file *f, void *buf, size_t len, uint64_t off) { return -EIO; /* shared only */ }

static int attachment_punch(struct sf_file *f, uint64_t off, uint64_t len)
{
	return (int)host_call4(__NR_fallocate, um.shm_arena, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, off, len);
}

static const struct sf_file_ops attachment_ops = {
	.read = attachment_read,
	.size = attachment_size,
	.punch = attachment_punch,
	.release = attachment_release,
};

/* Attach the host's segment where nobody looks.  The segment is there and may be read, so EINVAL is about the place. */
static int64_t attach_shadow(int id, uint64_t size, uint64_t flags)
{
	static uint64_t next;
	uint64_t room = PAGE_ALIGN(size) + PAGE_SIZE;
	int64_t r = -EINVAL;
	if (room > SHADOW_HI - SHADOW_LO)
		return -ENOMEM;
	for (int i = 0; i < SHADOW_TRIES && r == -EINVAL; i++) {
		uint64_t at = __atomic_fetch_add(&next, room, __ATOMIC_RELAXED) % (SHADOW_HI - SHADOW_LO - room);
		r = host_call3(__NR_shmat, id, SHADOW_LO + (at & PAGE_MASK), flags & (SHM_RDONLY | SHM_EXEC));
	}
	return r;
}

static struct attachment *attachment_make(int id, const struct shmid64_ds *ds, uint64_t flags, int64_t *ret_err)
{
	struct attachment *a = kmalloc(um.mc, sizeof(*a));
	char *path = kmalloc(um.mc, 32);
	*ret_err = a && path ? attach_shadow(id, ds->shm_segsz, flags) : -ENOMEM;
	if (*ret_err < 0) {
		kfree(um.mc, path);
		kfree(um.mc, a);
		return NULL;
	}
	um_snprintf(path, 32, "/SYSV%08x (deleted)", (uint32_t)ds->shm_perm.key);
	a->shadow = (vaddr_t)*ret_err;
	a->size = ds->shm_segsz;
	a->id = id;
	a->f = (struct sf_file){ .ops = &attachment_ops, .refs = 1, .fd = um.shm_arena, .minor = 1, .ino = (uint32_t)id, .always_in_core = true,
				 .path = path, .first_page = first_page(a) };
	return a;
}

/* Source: Linux do_shmat. */
static int64_t place(uint64_t *addr, uint64_t flags)
{
	if (*addr & ~PAGE_MASK) {
		if (!(flags & SHM_RND))
			return -EINVAL;
		*addr &= PAGE_MASK;
	}
	return !*addr && flags & SHM_REMAP ? -EINVAL : 0;
}

int64_t sys_shmat(struct thread *t)
{
	int id = (int)t->arg[0];
	uint64_t addr = t->arg[1], flags = t->arg[2];
	struct directory *d = directory();
	struct shmid64_ds ds;
	int64_t r = id < 0 ? -EINVAL : place(&addr, flags);
	if (!d)
		return -ENOSYS;
	if (!r)
		r = host_call3(__NR_shmctl, id, IPC_STAT, HC_A(&ds));
	if (r)
		return r;
	if (!is_ours(d, id)) {
		um_log("shmat: segment %d was not made in this run, its contents cannot be had", id);
		return -EACCES;
	}
	struct attachment *a = attachment_make(id, &ds, flags, &r);
	if (!a)
		return r;
	unsigned prot = PT_R | (flags & SHM_RDONLY ? 0 : PT_W) | (flags & SHM_EXEC ? PT_X : 0);
	unsigned where = !addr ? 0 : flags & SHM_REMAP ? 0x10 /* MAP_FIXED */ : 0x100000 /* MAP_FIXED_NOREPLACE */;
	r = do_mmap(um.mm, addr, a->size, prot, 1 /* MAP_SHARED */ | where, &a->f, prot & (PT_R | PT_W), a->f.first_page << PAGE_SHIFT);
	file_put(&a->f);
	return r == -EEXIST ? -EINVAL : r;
}

/* ---------------------------------------------------------------- detaching */

/* The attachment that begins (or, its first pages being unmapped, began) at addr, with a reference. */
static struct attachment *attached_at(struct thread *t, vaddr_t addr)
{
	struct attachment *found = NULL;
	mm_lock(um.mm);
	for (struct vm_area *v = find_vma(um.mm, &t->task, addr); v && !found && v->start - addr <= SLOT_BYTES; v = vma_next(v))
		if (v->start >= addr && v->file && v->file->ops == &attachment_ops &&
		    PFN(v->start - addr) == v->pgoff - v->file->first_page)
			found = container_of(v->file, struct attachment, f);
	if (found)
		file_get(&found->f);
	mm_unlock(um.mm);
	return found;
}

static bool next_piece(struct attachment *a, vaddr_t from, vaddr_t end, vaddr_t *ret_start, vaddr_t *ret_end)
{
	struct vm_area *v;
	mm_lock(um.mm);
	for (v = find_vma_intersection(um.mm, from, end); v && v->start < end && v->file != &a->f; v = vma_next(v))
		;
	bool found = v && v->start < end;
	if (found) {
		*ret_start = v->start;
		*ret_end = v->end;
	}
	mm_unlock(um.mm);
	return found;
}

int64_t sys_shmdt(struct thread *t)
{
	vaddr_t addr = t->arg[0], start, end;
	struct attachment *a = addr & ~PAGE_MASK ? NULL : attached_at(t, addr);
	int64_t r = 0;
	if (!a)
		return -EINVAL;
	while (!r && next_piece(a, addr, addr + PAGE_ALIGN(a->size), &start, &end))
		r = do_munmap(um.mm, start, end - start);
	file_put(&a->f);
	return r;
}
