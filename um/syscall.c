/* SPDX-License-Identifier: MIT */
/* syscall.c - dispatch, the generic executor, and the tools for handlers
 *
 *   um_syscall ─ row of the table ─┬─ refused:  errno, a line under --verbose
 *                                  ├─ handler:  sys_*.c
 *                                  └─ generic:  each argument by its kind, host call, undo
 *
 * The host never touches program memory that is not resident: see syscall.h for what it gets instead of a user address.  Nothing is ever
 * tried first and repaired after EFAULT, as a failed call may have lost a datagram or a child. */
#include "um/patch.h"
#include "um/syscall.h"

const struct syscall_desc um_never_restarts = { .name = "interrupted", .restart = RS_NEVER };

/* ---------------------------------------------------------------- memory of a call */

struct block { struct block *next; uint64_t pad; };

void call_begin(struct call *c, struct thread *t)
{
	c->t = t;
	memcpy(c->a, t->arg, sizeof(c->a));
	c->err = 0;
	c->nbufs = 0;
	c->cap = CALL_BUFS;
	c->bufs = c->first;
	c->mem = NULL;
	c->used = 0;
}

void *call_mem(struct call *c, uint64_t size)
{
	uint64_t room = (size + 15) & ~15ull;
	if (room <= CALL_SCRATCH - c->used) {
		void *p = c->scratch + c->used;
		c->used += (uint32_t)room;
		return p;
	}
	struct block *b = kmalloc(um.mc, sizeof(*b) + room);
	if (!b) {
		c->err = -ENOMEM;
		return NULL;
	}
	b->next = c->mem;
	c->mem = b;
	return b + 1;
}

static struct ubuf *buf_new(struct call *c)
{
	if (c->nbufs == c->cap) {
		struct ubuf *more = call_mem(c, 2ul * c->cap * sizeof(*more));
		if (!more)
			return NULL;
		memcpy(more, c->bufs, c->nbufs * sizeof(*more));
		c->bufs = more;
		c->cap *= 2;
	}
	return &c->bufs[c->nbufs++];
}

static void buf_release(struct call *c, struct ubuf *b)
{
	if (!b->bounce) {
		unpin_user(um.mm, b->addr, b->len);
		return;
	}
	if ((b->dir & DIR_OUT) && !copy_out(c->t, b->addr, b->bounce, b->len) && !c->err)
		c->err = -EFAULT;
}

static void blocks_free(struct call *c, struct block *until)
{
	for (struct block *b = c->mem, *next; b != until; b = next) {
		next = b->next;
		kfree(um.mc, b);
	}
	c->mem = until;
}

void call_release(struct call *c, struct call_mark mark)
{
	for (unsigned i = 0; i < c->nbufs; i++)
		buf_release(c, &c->bufs[i]);
	c->nbufs = 0;
	c->bufs = c->first;
	c->cap = CALL_BUFS;
	c->used = mark.used;
	blocks_free(c, mark.mem);
}

/* A timeout that the kernel updates: no error if it cannot be stored, as in Linux's poll_select_finish. */
static void soft_write_back(struct call *c)
{
	unsigned n = 0;
	for (unsigned i = 0; i < c->nbufs; i++) {
		struct ubuf *b = &c->bufs[i];
		if (b->dir != DIR_SOFT) {
			c->bufs[n++] = *b;
			continue;
		}
		char *now = b->bounce, *before = now + b->len;
		if (memcmp(now, before, b->len))
			(void)copy_out(c->t, b->addr, now, b->len);
	}
	c->nbufs = n;
}

int64_t call_end(struct call *c, int64_t ret)
{
	soft_write_back(c);
	call_release(c, (struct call_mark){ NULL, 0 });
	return c->err ? c->err : ret;
}

/* ---------------------------------------------------------------- user memory */

#define DIRECT_LEAST 512u /* bytes of the smallest block */

vaddr_t bad_address(vaddr_t addr)
{
	if (!addr || addr >= HOST_USER_END)
		return addr;
	return BAD_USER;
}

static int64_t keep_pin(struct call *c, vaddr_t addr, uint64_t len, unsigned dir)
{
	struct ubuf *b = buf_new(c);
	if (!b) {
		unpin_user(um.mm, addr, len);
		return -ENOMEM;
	}
	*b = (struct ubuf){ .addr = addr, .len = len, .dir = dir };
	return (int64_t)len;
}

/* Fewer bytes were pinned than asked for.  Is the next one bad, or did the bound not hold more? */
static bool goes_bad_at(struct call *c, vaddr_t addr, unsigned dir)
{
	int64_t r = pin_user(um.mm, &c->t->task, addr, 1, dir & DIR_OUT);
	if (r > 0)
		unpin_user(um.mm, addr, 1);
	return r < 0 && r != -ENOMEM;
}

int64_t call_pin(struct call *c, vaddr_t addr, uint64_t len, unsigned dir, uint64_t *ret_host)
{
	*ret_host = bad_address(addr);
	if (addr >= TASK_SIZE)
		return 0;
	uint64_t want = MIN(len, TASK_SIZE - addr);
	if (unlikely(um_patch_overlaps(addr, want)))
		um_patch_restore(addr, want);
	int64_t r = pin_user(um.mm, &c->t->task, addr, want, dir & DIR_OUT);
	if (r == -ENOMEM)
		return r;
	if (r <= 0)
		return 0;
	if ((uint64_t)r < want && !goes_bad_at(c, addr + (uint64_t)r, dir)) {
		unpin_user(um.mm, addr, (uint64_t)r);
		return -ENOMEM;
	}
	if ((uint64_t)r == want && want < len) { /* runs into us, where nothing of the program's can be */
		unpin_user(um.mm, addr, want);
		return 0;
	}
	*ret_host = addr;
	return keep_pin(c, addr, (uint64_t)r, dir);
}

/* It lies in its page as the program's does: O_DIRECT asks for blocks. */
static void *bounce_mem(struct call *c, vaddr_t addr, uint64_t len)
{
	char *mem = call_mem(c, len < DIRECT_LEAST ? len : len + PAGE_SIZE);
	return mem && len >= DIRECT_LEAST ? mem + ((addr - (vaddr_t)mem) & ~PAGE_MASK) : mem;
}

/* A buffer of ours in place of the program's.  Filled first in every direction, so that writing all of it back changes nothing but what the
 * host changed. */
uint64_t call_bounce(struct call *c, vaddr_t addr, uint64_t len, unsigned dir)
{
	void *mem = bounce_mem(c, addr, len);
	if (!mem)
		return bad_address(addr);
	if (!copy_in(c->t, mem, addr, len) || ((dir & DIR_OUT) && fault_in_user(um.mm, &c->t->task, addr, len, true)))
		return bad_address(addr);
	struct ubuf *b = buf_new(c);
	if (!b)
		return bad_address(addr);
	*b = (struct ubuf){ .addr = addr, .len = len, .bounce = mem, .dir = dir };
	return HC_A(mem);
}

uint64_t call_map(struct call *c, vaddr_t addr, uint64_t len, unsigned dir)
{
	uint64_t host;
	if (!addr || !len)
		return addr;
	len = MIN(len, IO_CHUNK);
	int64_t r = call_pin(c, addr, len, dir, &host);
	if (!r && dir == DIR_INOUT) /* it may be there to be read: then the host fails where it writes */
		r = call_pin(c, addr, len, DIR_IN, &host);
	return r == -ENOMEM ? call_bounce(c, addr, len, dir) : host;
}

uint64_t call_in(struct call *c, vaddr_t addr, uint64_t size)
{
	if (!addr || !size)
		return addr;
	void *mem = call_mem(c, size);
	return mem && copy_in(c->t, mem, addr, size) ? HC_A(mem) : bad_address(addr);
}

/* A copy with its first state behind it, to see whether it changed. */
static uint64_t call_soft(struct call *c, vaddr_t addr, uint64_t size)
{
	if (!addr)
		return 0;
	char *mem = call_mem(c, 2 * size);
	struct ubuf *b = mem && copy_in(c->t, mem, addr, size) ? buf_new(c) : NULL;
	if (!b)
		return bad_address(addr);
	memcpy(mem + size, mem, size);
	*b = (struct ubuf){ .addr = addr, .len = size, .bounce = mem, .dir = DIR_SOFT };
	return HC_A(mem);
}

uint64_t call_str(struct call *c, vaddr_t addr)
{
	if (!addr)
		return 0;
	uint32_t used = c->used;
	char *s = call_mem(c, PAGE_SIZE);
	if (!s)
		return bad_address(addr);
	int64_t n = strncpy_from_user(um.mm, &c->t->task, s, addr, PAGE_SIZE);
	if (s == c->scratch + used) /* give back what a short string left over */
		c->used = used + (n < 0 ? 0 : (uint32_t)MIN(((uint64_t)n + 16) & ~15ull, PAGE_SIZE));
	return n < 0 ? bad_address(addr) : HC_A(s);
}

/* ---------------------------------------------------------------- paths */

static const char *after(const char *s, const char *prefix)
{
	while (*prefix)
		if (*s++ != *prefix++)
			return NULL;
	return s;
}

static bool same(const char *a, const char *b)
{
	a = after(a, b);
	return a && !*a;
}

/* A decimal number that ends with the string, or -1. */
static int64_t number(const char *s)
{
	int64_t v = 0;
	if (!*s)
		return -1;
	for (; *s; s++) {
		if (*s < '0' || *s > '9' || v > INT32_MAX)
			return -1;
		v = v * 10 + (*s - '0');
	}
	return v;
}

/* What follows "/proc/SELF/", or NULL. */
static const char *in_proc_self(const char *path)
{
	char pid[24];
	const char *s = after(path, "/proc/"), *r;
	if (!s)
		return NULL;
	if ((r = after(s, "self/")) || (r = after(s, "thread-self/")))
		return r;
	um_snprintf(pid, sizeof(pid), "%u/", my_pid());
	return after(s, pid);
}

const char *path_view(const char *p, bool follow)
{
	static const char nothing[] = "/proc/self/fd/-";
	int32_t base = um.shm->cfg.fd_base;
	const char *s;
	if (*p != '/')
		return p;
	if ((s = after(p, "/dev/fd/")) && number(s) >= base)
		return nothing;
	s = in_proc_self(p);
	if (!s)
		return p;
	if (follow && same(s, "exe"))
		return um.exe;
	if ((after(s, "fd/") && number(s + 3) >= base) || (after(s, "fdinfo/") && number(s + 7) >= base))
		return nothing;
	return p;
}

uint64_t call_path(struct call *c, vaddr_t addr, bool follow)
{
	uint64_t host = call_str(c, addr);
	return !host || is_bad(host) ? host : HC_A(path_view((const char *)host, follow));
}

/* ---------------------------------------------------------------- the host call */

int64_t call_host(struct call *c, long nr)
{
	const uint64_t *a = c->a;
	return c->err ? c->err : host_call6(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
}

int64_t call_sleep(struct call *c, long nr)
{
	const uint64_t *a = c->a;
	return c->err ? c->err : um_block_call(c->t, c->t->sigmask, nr, a[0], a[1], a[2], a[3], a[4], a[5]);
}

int64_t fd_result(int64_t r)
{
	uint64_t cur, max;
	if (r < 0)
		return r;
	fd_limit_get(&cur, &max);
	if ((uint64_t)r < cur && !fd_is_ours((uint64_t)r))
		return r;
	host_call1(__NR_close, r);
	return -EMFILE;
}

/* ---------------------------------------------------------------- the generic executor */

static uint64_t buffer_length(const struct thread *t, const struct syscall_desc *d, const struct arg_desc *ad)
{
	uint64_t n = t->arg[ad->len];
	if (d->flags & SYSF_LEN32)
		n = (int32_t)n < 0 ? 0 : (uint32_t)n;
	return MIN(n, RW_MOST) * (ad->size ? ad->size : 1);
}

/* The room is in an int of the program's that the host will read once more; if it grows meanwhile the host finds memory that is not pinned and
 * stops. */
static uint64_t map_value_result(struct call *c, const struct arg_desc *ad, vaddr_t addr)
{
	int32_t room;
	if (!addr)
		return 0;
	if (GET_USER(c->t, int32_t, c->t->arg[ad->len], &room))
		return bad_address(addr);
	return room <= 0 ? addr : call_map(c, addr, MIN((uint32_t)room, ad->size), DIR_INOUT);
}

static uint64_t map_sized(struct call *c, const struct arg_desc *ad, vaddr_t addr)
{
	uint32_t size;
	if (!addr || GET_USER(c->t, uint32_t, addr + ad->len, &size))
		return bad_address(addr);
	return call_map(c, addr, size ? MIN(size, PAGE_SIZE) : ad->size, DIR_INOUT);
}

static uint64_t map_arg(struct call *c, const struct syscall_desc *d, const struct arg_desc *ad, uint64_t v)
{
	struct thread *t = c->t;
	switch (ad->kind) {
	case ARG_FD:     return fd_arg(v);
	case ARG_PATH:   return call_path(c, v, true);
	case ARG_PATHN:  return call_path(c, v, false);
	case ARG_PATHF:  return call_path(c, v, !(t->arg[ad->len] & 0x100));
	case ARG_STR:    return call_str(c, v);
	case ARG_IN:     return call_in(c, v, ad->size);
	case ARG_OUT:    return call_map(c, v, ad->size, DIR_OUT);
	case ARG_INOUT:  return call_map(c, v, ad->size, DIR_INOUT);
	case ARG_SOFT:   return call_soft(c, v, ad->size);
	case ARG_INB:    return call_map(c, v, buffer_length(t, d, ad), DIR_IN);
	case ARG_OUTB:   return call_map(c, v, buffer_length(t, d, ad), DIR_OUT);
	case ARG_INOUTB: return call_map(c, v, buffer_length(t, d, ad), DIR_INOUT);
	case ARG_SIZED:  return map_sized(c, ad, v);
	case ARG_VRES:   return map_value_result(c, ad, v);
	default:         return v;
	}
}

__attribute__((noinline)) int64_t call_generic(struct thread *t, const struct syscall_desc *d)
{
	struct call c;
	call_begin(&c, t);
	for (unsigned i = 0; i < d->nargs; i++)
		c.a[i] = map_arg(&c, d, &d->arg[i], t->arg[i]);
	int64_t r = d->flags & SYSF_SLEEP ? call_sleep(&c, t->nr) : call_host(&c, t->nr);
	if (d->flags & SYSF_NEWFD)
		r = fd_result(r);
	return call_end(&c, r);
}

/* ---------------------------------------------------------------- dispatch */

/* One line for each number, not for each call. */
static void tell_refused(long nr, const char *name)
{
	static uint64_t told[8];
	uint64_t bit = 1ull << (nr & 63), *word = &told[(unsigned long)nr >> 6 & 7];
	if (um.verbose && !(__atomic_fetch_or(word, bit, __ATOMIC_RELAXED) & bit))
		um_log("system call %s (%ld) is not supported", name, nr);
}

int64_t sys_nosys(struct thread *t)
{
	tell_refused(t->nr, t->desc->name);
	return -ENOSYS;
}

static const struct syscall_desc unknown_call = { .name = "unknown", .handler = sys_nosys };

int64_t um_syscall(struct thread *t)
{
	const struct syscall_desc *d = &unknown_call;
	sf_count(&um.shm->stats.syscalls, 1);
	if (t->strict && t->nr != __NR_read && t->nr != __NR_write && t->nr != __NR_exit && t->nr != __NR_rt_sigreturn)
		um_die_by_signal(SIGKILL);
	if ((unsigned long)t->nr < um_nr_syscalls && um_systab[t->nr].name)
		d = &um_systab[t->nr];
	t->desc = d;
	if (d->handler)
		return d->handler(t);
	if (!(d->flags & SYSF_REFUSE))
		return call_generic(t, d);
	if (!(d->flags & SYSF_QUIET))
		tell_refused(t->nr, d->name);
	return -(int64_t)d->err;
}
