/* SPDX-License-Identifier: MIT */
/* um.h - the user-mode kernel: one process, its threads, and how they enter and leave it
 *
 * The kernel is linked at UM_BASE, above the program, without any libc.  A thread enters it by a signal (SIGSYS: system call,
 * SIGSEGV/SIGBUS: fault, others: theirs) on its kernel stack, which is its host sigaltstack; the host's signal frame at the top of
 * that stack is the program's saved context, and returning from the handler is the return to user mode.  From a call site that was trapped often
 * it comes by a jump instead (fast.c).
 *
 * Files: entry.S start.c trap.c signal.c thread.c (entry and exit), syscall.c systab.c sys_*.c (calls), exec.c (ELF), proc.c (views), remote.c (memory of others), fd.c. */
#ifndef SF_UM_H
#define SF_UM_H

#include "mm/mm.h"
#include "mm/uaccess.h"
#include "port/host/host.h"
#include "um/shm.h"
#include "um/abi.h"

#define TASK_SIZE  0x700000000000ull
#define OWN_LO     0x700000000000ull /* our data: port arena, tables, kernel stacks */
#define OWN_HI     0x780000000000ull
#define UM_BASE    0x780000000000ull /* our text; see meson.build */

#define KSTACK_SIZE 0x20000ul /* 128 KiB, aligned to its size; struct thread lies at its bottom, then a guard page */

struct um_regs; /* = struct abi_gregs in the host's frame, see abi.h */

#define NSIG 64
#define SIGBIT(n) (1ull << ((n) - 1))
/* never blocked on the host, virtual for the program */
#define HOST_NEVER_BLOCKED (SIGBIT(SIGSEGV) | SIGBIT(SIGBUS) | SIGBIT(SIGSYS))

struct um_sigaction { vaddr_t handler; uint64_t flags; vaddr_t restorer; uint64_t mask; }; /* = the kernel's struct sigaction */

/* A process as the host knows it.  Nearly always there is one on this address space; a vfork child is a second one for a while. */
struct um_proc {
	uint32_t pid, ppid;
	uint32_t refs;            /* struct threads that name it */
	uint32_t threads;         /* of the program, living */
};
/* Signal actions, shared as CLONE_SIGHAND says. */
struct um_sighand {
	struct um_sigaction action[NSIG + 1];
	uint32_t lock, refs;
};

/* A call from a patched site under way: the program's registers (um/fast.c).  GS points to the thread, so these are reached as %gs:offset. */
struct um_fast {
	uint32_t magic;           /* FAST_IS_OURS: GS is what we made it */
	uint32_t state;           /* FAST_*: what the way out must do */
	uint32_t on;              /* in such a call: host signals are not blocked */
	uint32_t shut;            /* the host's mask is not the program's any more */
	uint64_t self, stack;
	uint64_t rsp, next, tail, flags, rax, arg[6]; /* next: behind the system-call instruction; tail: the same in the stub */
	int64_t ret;
};
#define FAST_IS_OURS 0x53464753u
enum { FAST_CALL, FAST_END, FAST_DONE }; /* make the call by a trap; made, but more is to do; done.  FAST_END: see entry.S */

/* Memory in use by a host execve under way, for whoever shares the address space to free. */
struct um_exec_mem { void *mem; uint64_t bytes; };

/* What Linux keeps of a thread's last trap that became a signal; every frame shows it. */
struct um_trap_info { unsigned no, err; vaddr_t cr2; };

struct thread {
	struct task task;         /* the core's share */
	struct um_proc *proc;
	struct um_sighand *sighand;
	struct abi_ucontext *uc;  /* the program's context while in the kernel (host frame) */
	uint64_t sigmask;         /* the program's blocked set, all 64 bits */
	uint64_t saved_sigmask; bool restore_sigmask; /* sigsuspend, ppoll …: to put into the frame */
	vaddr_t ss_sp; uint64_t ss_size; uint32_t ss_flags; /* the program's alternate stack */
	struct um_trap_info trap;
	struct abi_siginfo taken; bool has_taken; /* signal taken by the host handler, to be delivered before user mode */
	bool strict;               /* seccomp: may read, write, return from handlers and end, no more */
	struct abi_siginfo virt[3]; uint32_t virt_pending; /* SEGV, BUS, SYS sent while the program blocks them, or while in the kernel: bit i */
	uint32_t virt_new;        /* one of them came since virt_pending was looked at (entry.S) */
	vaddr_t clear_child_tid;
	vaddr_t robust_list; uint64_t robust_len;
	uint32_t host_alive;      /* host tid; zeroed by the host when the thread is gone (CLONE_CHILD_CLEARTID) */
	uint32_t exiting;
	uint64_t clone_flags;     /* of the clone that made it: what its first code must still do */
	vaddr_t parent_settid;
	void (*kernel_fn)(struct thread *t); /* a thread of ours: what it does, for ever */
	struct um_exec_mem *exec_mem; /* a vfork child: where the parent looks for what execve left */
	const struct syscall_desc *desc; /* current call */
	long nr; uint64_t arg[6];
	uint64_t entry_ns;
	vaddr_t child_settid;     /* CLONE_CHILD_SETTID, done by the child */
	struct um_fast fast;
	struct thread *all_next;  /* every thread ever made (um/thread.c) */
};

struct directory;
struct um_process {
	struct machine *mc;
	struct mm *mm;
	struct port *port;
	struct um_shared *shm;
	struct um_proc first;     /* whose address space this is */
	struct um_sighand sighand;
	uint32_t thread_lock;
	bool verbose;
	bool again;               /* execve brought us here */
	bool foreign_pids;        /* our children (or we) are numbered in a name space that the rest of the tree does not share */
	int shm_arena;            /* contents of System V segments (um/sys_shm.c): a descriptor of ours, or -1 */
	struct directory *shm_directory;
	uint32_t helper_tid;      /* a thread of ours beside the program's (um/tree.c), or 0 */
	char exe[4096];           /* absolute path of the program */
	int exe_fd;               /* ours, or -1 */
	struct sf_file *prog;     /* the program's file, held for ever */
	uint64_t auxv[64]; unsigned auxv_len; /* as given to the program, for /proc/self/auxv */
	vaddr_t vdso;             /* the host's vDSO */
	uint64_t dead_min_flt, dead_maj_flt; /* faults of threads that ended */
	bool seccomp;             /* system calls trapped by seccomp, not SUD */
	char comm[16];
	uint64_t host_sigsys_text, host_sigsys_len; /* our exempt range */
};
extern struct um_process um;    /* the kernel's one address space (um/start.c); the core itself has no globals */

static inline struct thread *current(void)
{
	uintptr_t sp = (uintptr_t)__builtin_frame_address(0);
	return (struct thread *)(sp & ~(KSTACK_SIZE - 1));
}

static inline uint32_t my_pid(void) { return current()->proc->pid; }

/* ---------------------------------------------------------------- system calls (um/syscall.c, um/systab.c) */

/* What happens to a call that a signal with a handler interrupted. */
enum restart_kind {
	RS_NEVER,   /* EINTR always */
	RS_SYS,     /* begun anew if the handler has SA_RESTART */
};

/* One system call from the program.  t->nr and t->arg are set.  The result goes to rax; -UM_NORETURN: registers were set by the callee
 * (sigreturn, execve).  Called on the kernel stack with all host signals blocked but HOST_NEVER_BLOCKED; may sleep in um_block_call. */
int64_t um_syscall(struct thread *t);
#define UM_NORETURN 0x7f00

/* A host call that may sleep.  Opens the signal window: if a signal for the program is or becomes pending, it is taken (t->has_taken) and
 * the result is -EINTR if the host interrupted the call, -ERESTART_NOTSTARTED if it was never started, else the call's own result.  Callers just return
 * what they get; trap.c restarts or not by t->desc->restart.  Exactly one signal is taken at most.  mask: the set to have blocked while
 * sleeping (normally t->sigmask). */
int64_t um_block_call(struct thread *t, uint64_t mask, long nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f);
#define ERESTART_NOTSTARTED 514

/* Signals, threads, start: implemented by signal.c, thread.c (system-call bodies; arguments as in t->arg; results as the calls'). */
int64_t sys_rt_sigaction(struct thread *t);
int64_t sys_rt_sigprocmask(struct thread *t);
int64_t sys_rt_sigreturn(struct thread *t);
int64_t sys_rt_sigpending(struct thread *t);
int64_t sys_rt_sigsuspend(struct thread *t);
int64_t sys_rt_sigtimedwait(struct thread *t);
int64_t sys_rt_sigqueueinfo(struct thread *t);
int64_t sys_rt_tgsigqueueinfo(struct thread *t);
int64_t sys_pidfd_send_signal(struct thread *t);
int64_t sys_sigaltstack(struct thread *t);
int64_t sys_pause(struct thread *t);
int64_t sys_clone(struct thread *t);
int64_t sys_clone3(struct thread *t);
int64_t sys_fork(struct thread *t);
int64_t sys_vfork(struct thread *t);
int64_t sys_exit(struct thread *t);
int64_t sys_exit_group(struct thread *t);
int64_t sys_set_tid_address(struct thread *t);
int64_t sys_set_robust_list(struct thread *t);
int64_t sys_get_robust_list(struct thread *t);
int64_t sys_arch_prctl(struct thread *t);
int64_t sys_execve(struct thread *t);
int64_t sys_execveat(struct thread *t);
/* For ppoll and its kin: block mask while sleeping; the mask from before is back (or in the handler's frame) when the call returns. */
void um_use_sigmask(struct thread *t, uint64_t mask);
void um_thread_gone(struct thread *t);
void um_thread_first(struct thread *t);
/* min_flt and maj_flt of the process, all threads, dead ones too. */
void um_limits_forked(void); /* fd.c: nobody else holds its lock */
void um_fault_counts(uint64_t *ret_min, uint64_t *ret_maj);
/* A synchronous signal for the program, from its context t->uc: build a handler frame or die as Linux would. */
void um_force_signal(struct thread *t, int signo, int code, vaddr_t addr, unsigned trapno, unsigned err);
/* A vfork child and its parent's death (um/fork.c). */
void um_bind_to_parent(struct thread *t, bool on);
void um_shm_arena(void); /* a new one: of the tree, or of another name space (um/sys_shm.c) */
bool um_pdeathsig_is_theirs(void); /* the calling process has asked for one itself (um/sys_prctl.c) */
/* The process is about to give up its memory (or, leaves false, could not): its pages no longer count.  Nothing for one that shares memory. */
void um_memory_leaves(struct thread *t, bool leaves);
/* End the process as if by signo with its default action; does not return. */
__attribute__((noreturn)) void um_die_by_signal(int signo);
__attribute__((noreturn)) void um_exit_group(int status);
/* Failure before the program runs: message for the command, exit. */
/* What to raise when a limit of the user's is behind err; "" otherwise. */
const char *um_memory_hint(int err);
__attribute__((noreturn, format(printf, 2, 3))) void um_fail(int status, const char *fmt, ...);
/* Lines for stderr / buffers; %s %d %u %ld %lu %lx %x %c %% and widths. (um/print.c) */
__attribute__((format(printf, 3, 4))) int um_snprintf(char *buf, size_t n, const char *fmt, ...);
__attribute__((format(printf, 1, 2))) void um_log(const char *fmt, ...); /* "softfault: …\n" on fd 2 */

/* Faults on purpose, by cfg.inject (um/inject.c). */
void um_inject_calls(void);
int um_inject_store(struct store **top);

/* ---------------------------------------------------------------- programs (um/exec.c) */

struct um_start { vaddr_t entry, sp; };
/* Could path, which lies at load, be executed?  Its headers and argument sizes are checked as um_load_program would; nothing is mapped.  0 or the -errno of execve. */
int um_exec_check(const char *path, const char *load, char *const *argv, char *const *envp);
/* What an image hands to the one that execve puts in its place: a sealed memory file, named in argv[1] after the shared area's descriptor. */
/* um/start.c: vm.overcommit_memory and vm.max_map_count as they are now. */
void um_read_sysctls(struct mm *mm);
/* um/fd.c: the limits that are not the host's, for execve. */
struct um_limits { uint64_t nofile, hard[16]; struct mm_limits soft; };
void um_limits_save(struct um_limits *ret);
void um_limits_load(const struct um_limits *from);
struct um_exec_state {
	uint64_t sigmask;
	int32_t account;          /* the process's entry in shm->procs; -1: it has none yet */
	bool foreign_pids;
	int shm_arena;
	uint64_t ignored;         /* of the three signals that the host cannot ignore for us */
	struct um_limits limits;
	uint32_t mdwe;
	int32_t prog_fd;          /* where the program is, if not at path: a descriptor of ours, or -1 */
	char path[4096];
};
/* Load cfg.program into the (empty) mm with argv and envp (our memory, NULL-terminated): areas, stack, auxiliary vector; nothing of the file is
 * read beyond its headers.  Failures end in um_fail with the reason and 126 or 127. */
void um_load_program(const char *path, const char *load, char *const *argv, char *const *envp, struct um_start *ret);

/* ---------------------------------------------------------------- accounts (um/account.c) */

/* The process counts in entry i of shm->procs from now on; -1: in a new one.  Before it can fault, or locked: mm. */
void um_account_open(int i);
int um_account(void);
/* The program's name has changed. */
void um_account_name(void);
/* What file it executes. */
void um_account_program(void);
/* The process is about to end by its own doing. */
void um_account_close(struct thread *t);

/* ---------------------------------------------------------------- files and /proc (um/file.c, um/proc.c, um/fd.c) */

/* A struct sf_file on a private duplicate of fd (number ≥ fd_base, close-on-exec). NULL: *ret_err says. */
struct sf_file *um_file_from_fd(int fd, int *ret_err);
/* A file without a name, len bytes (whole pages) from its first_page on: shared anonymous memory (um/anon.c). */
struct sf_file *um_anon_shared(uint64_t len, int *ret_err);
void um_anon_forking(void); /* locked: mm */
/* A file has been cut (path NULL: fd): its private mappings follow. */
void um_file_cut(struct thread *t, int fd, const char *path);
/* These bytes of it have changed: private pages that were never written are dropped. */
void um_file_changed(int fd, uint64_t off, uint64_t len);
/* Does a process of the run execute that file? */
bool um_runs_from(int dirfd, const char *path);
/* The name that maps shows for it from now on, before it is mapped. */
bool um_file_unlinked(const struct sf_file *f); /* since it was mapped */
void um_file_rename(struct sf_file *f, const char *name);
static inline bool fd_is_ours(uint64_t fd) { return (int32_t)fd >= um.shm->cfg.fd_base; }
/* If path (already absolute or relative to dirfd as the program gave it) names one of our /proc views, a descriptor of a
 * memory file with its text (lowest free number, flags' O_CLOEXEC kept), else -ENOSYS. */
int64_t um_proc_open(struct thread *t, int dirfd, const char *path, int flags);
/* The same for readlink: bytes written to buf, or -ENOSYS. */
int64_t um_proc_readlink(struct thread *t, int dirfd, const char *path, char *buf, size_t n);
/* path, or the program's file if path is /proc/self/exe. */
const char *um_own_path(const char *path);
/* The directory from which *path, a file to be executed, is found: a name in /proc becomes one below ours where the root was changed and there is none. */
int um_program_dir(const char **path);
/* Record an executable file mapping for the summary's symbols. */
void um_note_map(vaddr_t start, vaddr_t end, uint64_t pgoff, const char *path);

#endif
