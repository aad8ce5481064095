/* SPDX-License-Identifier: MIT */
/* start.c - from the host's first instruction to the program's
 *
 *   shared area -> signals blocked -> port (engine) -> stores -> machine -> program loaded -> handlers, dispatch -> user mode
 *
 * The arguments are the program's.  The first string of the environment is ours: the number of the shared area's descriptor, and when execve
 * brought us here a second one that tells what the last image hands on.  Whatever fails here
 * is told to the command through the shared area (um_fail) with the exit status that it shall use. */
#include "um/um.h"
#include "um/patch.h"
#include "um/trap.h"
#include "um/tree.h"
#include "store/stores.h"

#include <linux/sysinfo.h>

extern const char __executable_start[], etext[], end[];
extern struct exception_entry __start___ex_table[], __stop___ex_table[];

struct um_process um;
uint64_t um_host_auxv[64];

/* Addresses of ours: the shared area first, a calibration page, then the port's memory. */
#define SHM_AT OWN_LO
#define CAL_AT (OWN_LO + (1ull << 30))
#define PORT_LO (OWN_LO + (1ull << 32))

#define AT_NULL 0
#define AT_SYSINFO_EHDR 33
#define RLIM_FSIZE 1
#define RLIM_DATA 2
#define RLIM_STACK 3
#define RLIM_MEMLOCK 8
#define RLIM_AS 9
#define PR_SET_THP_DISABLE 41
#define MINIMUM_PAGES 256u

static uint64_t text_number(const char *s)
{
	uint64_t v = 0;
	while (s && *s >= '0' && *s <= '9')
		v = v * 10 + (uint64_t)(*s++ - '0');
	return v;
}

/* What follows UM_ENV, if that is what this is. */
static const char *passed_to_us(const char *env)
{
	const char *want = UM_ENV;
	if (!env)
		return NULL;
	while (*want && *want == *env)
		want++, env++;
	return *want ? NULL : env;
}

/* The last image's words, if there was one. */
static bool read_exec_state(const char *arg, struct um_exec_state *ret)
{
	while (*arg && *arg != ',')
		arg++;
	if (!*arg)
		return false;
	int fd = (int)text_number(arg + 1);
	bool ok = host_call4(__NR_pread64, fd, HC_A(ret), sizeof(*ret), 0) == (int64_t)sizeof(*ret);
	host_call1(__NR_close, fd);
	if (!ok)
		um_fail(125, "the state of the program before execve cannot be read");
	return true;
}

static void map_shared(int fd)
{
	uint64_t len = PAGE_ALIGN(sizeof(struct um_shared));
	int64_t r = host_call6(__NR_mmap, SHM_AT, len, 3, 0x100011 /* SHARED|FIXED_NOREPLACE|FIXED */, fd, 0);
	if (r != (int64_t)SHM_AT)
		um_fail(125, "cannot map the shared area: error %ld", -r);
	um.shm = (struct um_shared *)(uintptr_t)SHM_AT;
	if (um.shm->cfg.magic != UM_SHM_MAGIC)
		um_fail(125, "the shared area is of another version");
	um_inject_calls();
}

/* What other processes have counted in is there already.  A read maps its neighbours as well, a write only the one page. */
static void touch_stats(void)
{
	const volatile char *s = (const volatile char *)&um.shm->stats;
	for (size_t i = 0; i < sizeof(um.shm->stats); i += 16 * PAGE_SIZE)
		(void)s[i];
}

static void read_auxv(char **envp)
{
	while (*envp)
		envp++;
	const uint64_t *av = (const uint64_t *)(envp + 1);
	unsigned i = 0;
	for (; i + 2 < ARRAY_SIZE(um_host_auxv) && av[i] != AT_NULL; i += 2) {
		um_host_auxv[i] = av[i];
		um_host_auxv[i + 1] = av[i + 1];
		if (av[i] == AT_SYSINFO_EHDR)
			um.vdso = av[i + 1];
	}
	um_host_auxv[i] = AT_NULL;
}

static uint32_t thread_number(struct port *p)
{
	return current()->task.tid;
}

static uint64_t host_rlimit(int which)
{
	uint64_t lim[2] = { UINT64_MAX, UINT64_MAX };
	host_call4(__NR_prlimit64, 0, which, 0, HC_A(lim));
	return lim[0];
}

static bool memory_is_limited(void)
{
	return host_rlimit(RLIM_AS) != UINT64_MAX || host_rlimit(RLIM_DATA) != UINT64_MAX;
}

/* What stands behind an ENOMEM at the start, most likely. */
const char *um_memory_hint(int err)
{
	return err != -ENOMEM || !memory_is_limited() ? "" : ", no room for tables: raise the hard limit (ulimit -Hv, -Hd) or give a smaller --swap-size";
}

static void make_port(void)
{
	const struct um_config *cfg = &um.shm->cfg;
	const char *why = "";
	bool no_huge = !host_call5(__NR_prctl, PR_SET_THP_DISABLE, 1, 0, 0, 0);
	struct host_port_config hc = {
		.engine = (enum host_engine)cfg->engine,
		.lo = PAGE_SIZE, .hi = TASK_SIZE, .own_lo = PORT_LO, .own_hi = OWN_HI - TREE_ROOM,
		.bound_pages = cfg->bound_pages, .fd_base = cfg->fd_base, .self = thread_number, .alone = true, .no_huge = no_huge,
		.scarce = memory_is_limited(),
	};
	host_proc_dir = cfg->proc_fd;
	int err = host_port_create(&hc, &um.port, &why);
	if (err)
		um_fail(125, "no engine works on this machine: %s (error %d%s); see softfault doctor", why, -err, um_memory_hint(err));
	um_snprintf(um.shm->engine_name, sizeof(um.shm->engine_name), "%s", um.port->ops->name);
	um_snprintf(um.shm->engine_why, sizeof(um.shm->engine_why), "%s", why ? why : "");
}

static struct store *make_stores(void)
{
	const struct um_config *cfg = &um.shm->cfg;
	struct store *s = NULL;
	int err = 0;
	if (cfg->swap_fd >= 0) {
		struct store_file_config fc = { .fd = cfg->swap_fd, .max_bytes = cfg->swap_slots << PAGE_SHIFT,
						  .shared = um.again };
		err = store_file_create(&fc, um.port, &s);
	}
	if (!err && (cfg->flags & UM_F_ZRAM)) {
		struct store_zram_config zc = { .max_bytes = cfg->zram_bytes, .max_slots = cfg->swap_slots, .below = s };
		err = store_zram_create(&zc, um.port, &s);
	}
	if (!err)
		err = um_inject_store(&s);
	if (err)
		um_fail(125, "cannot set up the swap store: error %d%s", -err, um_memory_hint(err));
	return s;
}

static int64_t read_number(const char *path, int64_t otherwise)
{
	char buf[32] = "";
	int64_t fd = host_call4(__NR_openat, -100, HC_A(path), 0x80000, 0);
	if (fd < 0)
		return otherwise;
	int64_t n = host_call3(__NR_read, fd, HC_A(buf), sizeof(buf) - 1);
	host_call1(__NR_close, fd);
	return n > 0 ? (int64_t)text_number(buf) : otherwise;
}

void um_read_sysctls(struct mm *mm)
{
	mm->overcommit = (int)read_number("/proc/sys/vm/overcommit_memory", 0);
	mm->max_areas = (uint64_t)read_number("/proc/sys/vm/max_map_count", 65530);
}

/* The host's memory and swap in pages, 0 if it does not say. */
static uint64_t all_memory(void)
{
	struct sysinfo si;
	memset(&si, 0, sizeof(si));
	host_call1(__NR_sysinfo, HC_A(&si));
	return ((uint64_t)si.totalram + si.totalswap) * si.mem_unit >> PAGE_SHIFT;
}

static void set_limits(struct mm *mm)
{
	mm->limits.as = um.shm->cfg.rlim_as_cur;
	mm->limits.data = um.shm->cfg.rlim_data_cur;
	mm->limits.data_max = UINT64_MAX;
	mm->limits.memlock = host_rlimit(RLIM_MEMLOCK);
	mm->limits.stack = um.shm->cfg.rlim_stack_cur ? um.shm->cfg.rlim_stack_cur : host_rlimit(RLIM_STACK);
	um_read_sysctls(mm);
	mm->guess_limit = all_memory() + um.shm->cfg.swap_slots;
}

static void report_trace(struct machine *mc, const struct sf_trace_rec *rec);
static void report_warning(struct machine *mc, const char *msg) { um_log("%s", msg); }

/* Rows 31, 32. */
static bool report_oom(struct machine *mc, struct task *tk, vaddr_t addr)
{
	if (mc->tree)
		return um_tree_oom(current());
	um_snprintf(um.shm->killed_by, sizeof(um.shm->killed_by),
		    "out of memory: killed process %u (%s), resident %lu kB, swapped %lu kB", my_pid(), um.comm[0] ? um.comm : um.shm->cfg.command,
		    mc->used * 4, um.mm->swapped * 4);
	um_log("%s", um.shm->killed_by);
	return false;
}

/* The tables of the swap map (70 bytes a slot, see mm/tree.h) are sparse, but the limits on file size and address space count them whole. */
static void fit_swap_to_limits(void)
{
	uint64_t room = MIN(host_rlimit(RLIM_FSIZE) / 2, host_rlimit(RLIM_AS) / 4);
	um.shm->cfg.swap_slots = MIN(um.shm->cfg.swap_slots, room / 70);
}

static void make_machine(void)
{
	fit_swap_to_limits();
	const struct um_config *cfg = &um.shm->cfg;
	struct machine_config mcfg = {
		.port = um.port, .policy = cfg->policy[0] ? policy_find(cfg->policy) : NULL, .store = make_stores(),
		.swap_slots = cfg->swap_slots, .bound_pages = cfg->bound_pages, .stats = &um.shm->stats,
		.mmap_min = 0x10000, .task_size = TASK_SIZE, .mmap_base = TASK_SIZE - (1ull << 30),
	};
	um_tree_config(&mcfg);
	if (cfg->policy[0] && !mcfg.policy)
		um_fail(125, "no policy is named '%s' (there are: %s)", cfg->policy, policy_names);
	int err = machine_create(&mcfg, &um.mc);
	if (err)
		um_fail(125, "cannot make the memory machine: error %d%s", -err, um_memory_hint(err));
	um.mm = um.mc->mm;
	um.mc->warn = report_warning;
	um.mc->oom = report_oom;
	um.mc->fork_faults = cfg->flags & UM_F_FORKFAULTS;
	if (cfg->fault_around)
		um.mc->fault_around = (unsigned)cfg->fault_around;
	if (cfg->flags & UM_F_TRACE)
		um.mc->trace = report_trace;
	um.shm->stats.bound_pages = cfg->bound_pages;
	if (!um.again)
		um.shm->stats.resident = um.shm->stats.swapped = um.shm->stats.store_bytes = um.shm->stats.nr_areas = 0;
	set_limits(um.mm);
}

/* ---------------------------------------------------------------- trace ring
 *
 * Records are handed out by number; block b of the file is written by the thread that completes it.  A block of the ring is used
 * again only when its last contents are in the file, so a fast writer waits for a slow disk; nothing is lost. */

#define TRACE_PATIENCE 1000000000ull

/* Until so many blocks are in the file.  False: a process died in the middle of one, which will never be complete. */
static bool trace_wait(uint64_t blocks)
{
	uint64_t start = um.port->ops->now(um.port);
	while (__atomic_load_n(&um.shm->trace_written, __ATOMIC_ACQUIRE) < blocks) {
		if (um.port->ops->now(um.port) - start > TRACE_PATIENCE)
			return false;
		host_call0(__NR_sched_yield);
	}
	return true;
}

static void trace_flush(uint64_t block)
{
	struct um_shared *s = um.shm;
	const char *from = (const char *)&s->trace[(block % UM_TRACE_BLOCKS) * UM_TRACE_BLOCK];
	uint64_t len = UM_TRACE_BLOCK * sizeof(struct sf_trace_rec), done = 0;
	while (done < len) {
		int64_t r = host_call4(__NR_pwrite64, s->cfg.trace_fd, from + done, len - done, 4096 + block * len + done);
		if (r == -EINTR)
			continue;
		if (r <= 0)
			break; /* the file ends here; the reader sees a hole of zero records */
		done += (uint64_t)r;
	}
	__atomic_store_n(&s->trace_done[block % UM_TRACE_BLOCKS], 0, __ATOMIC_RELEASE);
	trace_wait(block);
	sf_peak(&s->trace_written, block + 1);
}

static void report_trace(struct machine *mc, const struct sf_trace_rec *rec)
{
	struct um_shared *s = um.shm;
	uint64_t i = __atomic_fetch_add(&s->trace_next, 1, __ATOMIC_RELAXED);
	uint64_t block = i / UM_TRACE_BLOCK;
	while (block >= UM_TRACE_BLOCKS && !trace_wait(block + 1 - UM_TRACE_BLOCKS))
		trace_flush(__atomic_load_n(&s->trace_written, __ATOMIC_ACQUIRE)); /* as it is; the reader knows torn records */
	struct sf_trace_rec *to = &s->trace[i % (UM_TRACE_BLOCKS * UM_TRACE_BLOCK)];
	*to = *rec;
	to->seq = i + 1;
	to->time_ns = rec->time_ns - s->start_ns;
	to->check = SF_TRACE_CHECK ^ (uint32_t)to->seq ^ (uint32_t)to->addr;
	if (__atomic_add_fetch(&s->trace_done[block % UM_TRACE_BLOCKS], 1, __ATOMIC_ACQ_REL) == UM_TRACE_BLOCK)
		trace_flush(block);
}

/* ---------------------------------------------------------------- the rest */

/* What one bare trap costs here: signal in, handler, signal out. */
static void measure_trap(void)
{
	uint64_t best = UINT64_MAX;
	for (int i = 0; i < 12; i++) {
		uint64_t t0 = um.port->ops->now(um.port);
		um_touch(CAL_AT);
		uint64_t d = um.port->ops->now(um.port) - t0;
		if (d < best)
			best = d;
	}
	um.shm->stats.trap_ns = best;
}

static uint64_t clock_ns(int clock)
{
	int64_t ts[2] = { 0, 0 };
	host_call2(__NR_clock_gettime, clock, HC_A(ts));
	return (uint64_t)ts[0] * 1000000000ull + (uint64_t)ts[1];
}

static void arm_dispatch(void)
{
	um.host_sigsys_text = (uintptr_t)__executable_start;
	um.host_sigsys_len = (uintptr_t)etext - (uintptr_t)__executable_start;
	um.seccomp = um.shm->cfg.flags & UM_F_NOSUD;
	int err = um_arm_dispatch();
	if (err)
		um.seccomp = true;
	if (um.seccomp)
		err = um_arm_seccomp();
	if (err)
		um_fail(125, "system calls cannot be trapped here, neither by syscall user dispatch nor by seccomp (error %d)", -err);
	um_snprintf(um.shm->trap_name, sizeof(um.shm->trap_name), um.seccomp ? "seccomp" : "sud");
}

static void check_minimum(void)
{
	uint64_t b = um.shm->cfg.bound_pages;
	if (b && b < MINIMUM_PAGES)
		um_fail(125, "a bound of %lu KiB is too small to run a program; the minimum is %u KiB", b * 4, MINIMUM_PAGES * 4);
}

/* Resident bytes of this process while the program has none yet. */
static uint64_t own_bytes(void)
{
	char text[64] = { 0 };
	int64_t fd = host_call3(__NR_openat, -100, HC_A("/proc/self/statm"), 0x80000 /* O_CLOEXEC */);
	const char *s = text;

	if (fd < 0)
		return 0;
	host_call3(__NR_read, fd, HC_A(text), sizeof(text) - 1);
	host_call1(__NR_close, fd);
	while (*s && *s++ != ' ')
		;
	return text_number(s) * PAGE_SIZE;
}

static void load_program(const struct um_exec_state *state, char **argv, char **envp, struct um_start *ret)
{
	const char *path = um.again ? state->path : um.shm->cfg.program;
	char by_fd[32];
	bool fd = um.again && state->prog_fd >= 0;
	if (fd)
		um_snprintf(by_fd, sizeof(by_fd), "/proc/self/fd/%d", state->prog_fd);
	um_load_program(path, fd ? by_fd : path, argv, envp, ret);
	if (fd)
		host_call1(__NR_close, state->prog_fd);
}

__attribute__((noreturn)) void um_start(uint64_t *sp)
{
	struct thread *t = (struct thread *)um_kstack0;
	int argc = (int)sp[0];
	char **argv = (char **)(sp + 1), **envp = argv + argc + 1;
	struct um_start go = { 0 };
	struct abi_rt_sigframe frame;
	static struct um_exec_state state;

	um_thread_first(t);
	const char *passed = passed_to_us(*envp);
	if (!passed)
		um_fail(125, "softfault-um is started by softfault run, not by hand");
	envp++;
	t->task.tid = (uint32_t)host_call0(__NR_gettid);
	um.first.pid = (uint32_t)host_call0(__NR_getpid);
	um.first.ppid = (uint32_t)host_call0(__NR_getppid);
	map_shared((int)text_number(passed));
	um.verbose = um.shm->cfg.flags & UM_F_VERBOSE;
	host_call3(__NR_mprotect, (uintptr_t)t + PAGE_SIZE, PAGE_SIZE, 0);
	extable_sort(__start___ex_table, __stop___ex_table);
	read_auxv(envp);
	check_minimum();
	um.again = read_exec_state(passed, &state);
	um_signals_init(t);
	if (um.again) {
		um_signals_inherit(t, &state);
		touch_stats();
	}
	um.foreign_pids = um.again && state.foreign_pids;
	um.shm_arena = um.again ? state.shm_arena : -1;
	make_port();
	make_machine();
	um_tree_born(t);
	um_arm_stack(t);
	if (!um.again) {
		um_shm_arena();
		measure_trap();
		um.shm->kernel_bytes = own_bytes();
	} else {
		um_limits_load(&state.limits);
	}
	um_account_open(um.again ? state.account : -1);
	load_program(&state, argv, envp, &go);
	um.mm->mdwe = um.again ? state.mdwe : 0;
	if (!um.again) {
		um.shm->start_ns = um.port->ops->now(um.port);
		um.shm->start_real_ns = clock_ns(0);
	}
	arm_dispatch();
	um_patch_init(!(um.shm->cfg.flags & UM_F_NOPATCH));
	um_patch_thread(t);

	memset(&frame, 0, sizeof(frame));
	frame.uc.stack = um_kernel_stack(t);
	frame.uc.mc.rip = go.entry;
	frame.uc.mc.rsp = go.sp;
	frame.uc.mc.eflags = 0x202;
	frame.uc.mc.cs = 0x33;
	frame.uc.mc.ss = 0x2b;
	frame.uc.sigmask = t->sigmask & ~HOST_NEVER_BLOCKED;
	um.shm->phase = UM_RUNNING;
	um_enter_user(&frame);
}
