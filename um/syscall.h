/* SPDX-License-Identifier: MIT */
/* syscall.h - how a system call is described, and the tools with which it is carried out
 *
 * One row of systab.c says what each argument of a call is.  The executor in syscall.c turns every user-memory argument into something that
 * the host kernel may touch, makes the host call, and undoes it.  Calls whose arguments point at more pointers have a handler, which
 * uses the same tools:
 *
 *	struct call c;
 *	call_begin(&c, t);
 *	c.a[1] = call_map(&c, t->arg[1], 16, DIR_OUT);
 *	return call_end(&c, call_host(&c, __NR_something));
 *
 * What the host gets for a user address:
 *
 *	NULL                      NULL
 *	a good range              the same address, its pages resident and pinned until call_end
 *	a range bad from its start  an address that is bad for the host too, so the host's own order of checks and its side effects hold
 *	a range that goes bad     the same address with the good part pinned: a page that our tables refuse is never visible, so the host stops
 *	                          exactly where Linux would, with the short count or the error that Linux gives
 *	more than can be pinned   a buffer of ours, copied in and out
 *
 * Strings and small structures that are only read are copied first. */
#ifndef SF_UM_SYSCALL_H
#define SF_UM_SYSCALL_H

#include "um/um.h"

/* ---------------------------------------------------------------- description */

enum arg_kind {
	ARG_VAL,    /* a number */
	ARG_FD,     /* a descriptor: ours do not exist for the program */
	ARG_PATH,   /* file name, last component followed */
	ARG_PATHN,  /* file name, last component not followed */
	ARG_PATHF,  /* followed unless argument len has AT_SYMLINK_NOFOLLOW */
	ARG_STR,    /* other string, at most 4096 bytes */
	ARG_IN,     /* structure of size bytes that the kernel reads */
	ARG_OUT,    /* … writes */
	ARG_INOUT,
	ARG_SOFT,   /* … reads; writes back, but does not mind if it cannot (poll's timeouts) */
	ARG_INB,    /* size × argument len bytes that the kernel reads (size 0 counts as 1) */
	ARG_OUTB,
	ARG_INOUTB,
	ARG_SIZED,  /* … whose size is its 32-bit word at byte len; size, if that is 0.  Linux may write the size it knows there */
	ARG_VRES,   /* written; argument len points at an int with the room, which is written too.  size: most that the kernel takes */
};
struct arg_desc {
	uint8_t kind;
	uint8_t len;   /* index of an argument, see the kinds */
	uint16_t size;
};

#define SYSF_SLEEP  0x01u /* may sleep: a signal may end it */
#define SYSF_NEWFD  0x02u /* the result is a new descriptor */
#define SYSF_LEN32  0x04u /* lengths are 32-bit numbers */
#define SYSF_REFUSE 0x08u /* answered with err, nothing done */
#define SYSF_QUIET  0x10u /* … which programs expect: no line under --verbose */

struct syscall_desc {
	const char *name;
	int64_t (*handler)(struct thread *t); /* NULL: generic */
	uint8_t nargs;
	uint8_t restart;  /* enum restart_kind */
	uint8_t flags;    /* SYSF_* */
	uint8_t err;      /* with SYSF_REFUSE */
	struct arg_desc arg[6];
};
extern const struct syscall_desc um_systab[];
extern const unsigned um_nr_syscalls;
/* For handlers whose restart depends on the arguments: t->desc = &um_never_restarts. */
extern const struct syscall_desc um_never_restarts;

/* ---------------------------------------------------------------- one call under way */

enum { DIR_IN = 1, DIR_OUT = 2, DIR_INOUT = 3, DIR_SOFT = 4 };

/* A user range that the host may touch now. */
struct ubuf {
	vaddr_t addr;
	uint64_t len;
	void *bounce;  /* NULL: pinned in place */
	uint32_t dir;
};

#define CALL_BUFS 12u
#define CALL_SCRATCH 9216u /* two paths and a few structures */

struct call {
	struct thread *t;
	uint64_t a[6];       /* what the host will get; starts as the program's */
	int err;             /* our own shortage: the call is not made */
	unsigned nbufs, cap;
	struct ubuf *bufs, first[CALL_BUFS];
	void *mem;           /* list of kmalloc'ed blocks */
	uint32_t used;
	char scratch[CALL_SCRATCH] __attribute__((aligned(16)));
};

void call_begin(struct call *c, struct thread *t);
/* Unpin and free everything, write back what must be; ret, or the reason why the call could not be made. */
int64_t call_end(struct call *c, int64_t ret);
/* The same for user buffers and what was allocated since mark, between the pieces of a long call. */
struct call_mark { void *mem; uint32_t used; };
static inline struct call_mark call_mark(const struct call *c) { return (struct call_mark){ c->mem, c->used }; }
void call_release(struct call *c, struct call_mark mark);
/* Memory until call_end, 16-aligned, not cleared. NULL sets c->err. */
void *call_mem(struct call *c, uint64_t size);
/* Make [addr, addr+len) usable for the host; the address to give it. */
uint64_t call_map(struct call *c, vaddr_t addr, uint64_t len, unsigned dir);
/* The two ways, each alone and of any length.  call_pin: the number of good bytes (fewer than len: it goes bad there; the host may be given
 * *ret_host and the whole len all the same), or -ENOMEM when pins run short.  call_bounce: the buffer's address, or a bad one. */
int64_t call_pin(struct call *c, vaddr_t addr, uint64_t len, unsigned dir, uint64_t *ret_host);
uint64_t call_bounce(struct call *c, vaddr_t addr, uint64_t len, unsigned dir);
/* A copy of a structure, or a bad address. */
uint64_t call_in(struct call *c, vaddr_t addr, uint64_t size);
/* A copy of a string of at most 4096 bytes, or a bad address.  One that is longer is not terminated, and the host says ENAMETOOLONG. */
uint64_t call_str(struct call *c, vaddr_t addr);
/* A path: what is ours in /proc is hidden, /proc/self/exe is the program (if follow). */
uint64_t call_path(struct call *c, vaddr_t addr, bool follow);
const char *path_view(const char *path, bool follow); /* the name to use instead, or path itself */
/* Make the call with c->a; _sleep: a signal for the program may end it. */
int64_t call_host(struct call *c, long nr);
int64_t call_sleep(struct call *c, long nr);
/* Descriptors: ours become -1; a new one that collides is closed again (-EMFILE). */
static inline uint64_t fd_arg(uint64_t fd) { return fd_is_ours(fd) ? (uint64_t)-1 : fd; }
int64_t fd_result(int64_t r);

/* An address below the host's user limit where nothing is ever mapped. */
#define BAD_USER 0x1000ull
#define HOST_USER_END 0x7ffffffff000ull
vaddr_t bad_address(vaddr_t addr); /* the host's stand-in for addr, which is bad for the program */
static inline bool is_bad(uint64_t host) { return host == BAD_USER || host >= HOST_USER_END; }

/* The generic executor, for handlers that only look at some argument first. */
int64_t call_generic(struct thread *t, const struct syscall_desc *d);

#define GET_USER(t, type, src, ret) get_user(um.mm, &(t)->task, type, src, ret)
#define PUT_USER(t, type, dst, val) put_user(um.mm, &(t)->task, type, dst, val)
static inline bool copy_in(struct thread *t, void *dst, vaddr_t src, uint64_t n)
{
	return !copy_from_user(um.mm, &t->task, dst, src, n);
}
static inline bool copy_out(struct thread *t, vaddr_t dst, const void *src, uint64_t n)
{
	return !copy_to_user(um.mm, &t->task, dst, src, n);
}

/* ---------------------------------------------------------------- transfers of any length (um/sys_rw.c) */

struct abi_iovec { uint64_t base, len; };
#define IOV_MOST 1024u
#define IO_CHUNK (1ul << 20)   /* most that is pinned for one piece of a long transfer */
#define RW_MOST 0x7ffff000ul   /* Linux's MAX_RW_COUNT */

struct rw {
	struct call *c;
	struct abi_iovec *iov; /* the program's vector, in our memory */
	uint64_t n;
	uint64_t total;        /* bytes, ≤ RW_MOST */
	unsigned dir;          /* DIR_OUT: the kernel fills the program's memory */
	int32_t fd;
	uint32_t flags;        /* MSG_*, for sockets */
	/* Make the host call for one piece that starts done bytes into the whole. */
	int64_t (*issue)(struct rw *rw, struct abi_iovec *v, uint64_t n, uint64_t done, bool sleep);
	long nr;
	void *arg;
};
int64_t rw_run(struct rw *rw);
/* Copy the program's vector and add it up.  False: it is not one, and the host, shown rw->iov and rw->n, will say what is wrong without touching
 * any of the memory. */
bool rw_import(struct rw *rw, vaddr_t uiov, uint64_t n);
/* The host call of a piece. */
static inline int64_t rw_host(struct rw *rw, bool sleep, uint64_t a, uint64_t b, uint64_t n, uint64_t d, uint64_t e, uint64_t f)
{
	struct thread *t = rw->c->t;
	return sleep ? um_block_call(t, t->sigmask, rw->nr, a, b, n, d, e, f) : host_call6(rw->nr, a, b, n, d, e, f);
}

/* ---------------------------------------------------------------- handlers of the table */

#define H(name) int64_t name(struct thread *t)
/* sys_rw.c */
H(sys_read); H(sys_write); H(sys_pread64); H(sys_pwrite64); H(sys_readv); H(sys_writev); H(sys_preadv); H(sys_pwritev);
H(sys_preadv2); H(sys_pwritev2); H(sys_getrandom); H(sys_vmsplice);
/* remote.c: memory of processes; is it an open /proc/PID/mem, and read and write one by the call's own arguments */
H(sys_process_vm_readv); H(sys_process_vm_writev); H(sys_process_madvise);
bool um_is_mem_file(uint64_t fd);
int64_t um_mem_file_rw(struct thread *t, unsigned dir, bool at, bool vector);
/* sys_file.c, sys_ioctl.c */
H(sys_open); H(sys_openat); H(sys_openat2); H(sys_fallocate); H(sys_truncate); H(sys_ftruncate); H(sys_creat); H(sys_readlink); H(sys_readlinkat); H(sys_getdents64); H(sys_fcntl);
H(sys_mount); H(sys_name_to_handle_at); H(sys_open_by_handle_at); H(sys_ioctl);
/* fd.c */
H(sys_dup2); H(sys_dup3); H(sys_close_range); H(sys_pipe); H(sys_pipe2); H(sys_socketpair); H(sys_getrlimit); H(sys_setrlimit); H(sys_prlimit64);
void fd_limit_get(uint64_t *ret_cur, uint64_t *ret_max);
/* sys_net.c */
H(sys_sendto); H(sys_recvfrom); H(sys_sendmsg); H(sys_recvmsg); H(sys_sendmmsg); H(sys_recvmmsg); H(sys_accept); H(sys_accept4);
H(sys_connect); H(sys_getsockopt); H(sys_setsockopt);
/* sys_poll.c */
H(sys_poll); H(sys_ppoll); H(sys_select); H(sys_pselect6); H(sys_epoll_wait); H(sys_epoll_pwait); H(sys_epoll_pwait2);
/* sys_futex.c */
H(sys_futex); H(sys_futex_waitv); H(sys_futex_wake); H(sys_futex_wait); H(sys_futex_requeue);
/* sys_mm.c, sys_numa.c */
H(sys_mmap); H(sys_munmap); H(sys_mprotect); H(sys_mremap); H(sys_brk); H(sys_madvise); H(sys_msync); H(sys_mincore); H(sys_mlock);
H(sys_mlock2); H(sys_munlock); H(sys_mlockall); H(sys_munlockall); H(sys_pkey_mprotect); H(sys_pkey_alloc); H(sys_pkey_free);
H(sys_remap_file_pages); H(sys_mseal); H(sys_set_mempolicy_home_node); H(sys_mbind); H(sys_set_mempolicy); H(sys_get_mempolicy); H(sys_migrate_pages); H(sys_move_pages);
/* sys_aio.c */
H(sys_io_setup); H(sys_io_destroy); H(sys_io_submit); H(sys_io_cancel); H(sys_io_getevents); H(sys_io_pgetevents);
void um_aio_forked(void);
/* sys_keys.c, sys_mount.c */
H(sys_keyctl); H(sys_fsconfig); H(sys_setxattrat); H(sys_getxattrat);
/* sys_shm.c */
H(sys_shmget); H(sys_shmat); H(sys_shmctl); H(sys_shmdt);
/* sys_misc.c, sys_prctl.c */
unsigned um_implied_rights(unsigned prot); /* PROT_* with what personality(READ_IMPLIES_EXEC) adds */
H(sys_getrusage); H(sys_prctl); H(sys_seccomp); H(sys_personality); H(sys_unshare); H(sys_setns); H(sys_semctl); H(sys_msgctl); H(sys_msgsnd); H(sys_msgrcv);
H(sys_mq_notify); H(sys_kcmp); H(sys_modify_ldt); H(sys_sysfs); H(sys_nosys);
#undef H

#endif
