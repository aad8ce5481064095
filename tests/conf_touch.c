/* SPDX-License-Identifier: MIT */
/* conf_touch.c - touching program memory, on every port
 *
 * On a host port the instructions below run in this very process and SIGSEGV and SIGBUS come to on_fault(), which
 * does what the user-mode kernel does: an instruction with an exception-table entry was the kernel's, any other the
 * program's.  A fault that is not corrected ends the touch at its landing label. */
#include "conf.h"

#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include <cmocka.h>

/* The real copies, under other names: the soft port has brought its own. */
#define copy_from_user x86_copy_from_user
#define copy_to_user x86_copy_to_user
#define clear_user x86_clear_user
#define strncpy_from_user x86_strncpy_from_user
#define get_user_size x86_get_user_size
#define put_user_size x86_put_user_size
#define cmpxchg_user32 x86_cmpxchg_user32
#include "port/host/uaccess_x86.c"
#undef copy_from_user
#undef copy_to_user
#undef clear_user
#undef strncpy_from_user
#undef get_user_size
#undef put_user_size
#undef cmpxchg_user32
uint64_t copy_from_user(struct mm *mm, struct task *tk, void *dst, vaddr_t src, uint64_t n);
uint64_t copy_to_user(struct mm *mm, struct task *tk, vaddr_t dst, const void *src, uint64_t n);
uint64_t clear_user(struct mm *mm, struct task *tk, vaddr_t dst, uint64_t n);
int64_t strncpy_from_user(struct mm *mm, struct task *tk, char *dst, vaddr_t src, uint64_t n);
int get_user_size(struct mm *mm, struct task *tk, vaddr_t src, unsigned size, uint64_t *ret);
int put_user_size(struct mm *mm, struct task *tk, vaddr_t dst, unsigned size, uint64_t val);
int cmpxchg_user32(struct mm *mm, struct task *tk, vaddr_t addr, uint32_t old, uint32_t new_, uint32_t *ret_old);

const struct face faces[3] = {
	{ .name = "soft", .soft = true },
	{ .name = "uffd", .engine = ENGINE_UFFD },
	{ .name = "segv", .engine = ENGINE_SEGV },
};

/* ---------------------------------------------------------------- instructions of the "program" */

uint64_t guest_read(vaddr_t addr);
uint64_t guest_write(vaddr_t addr, uint64_t byte);
uint64_t guest_exec(vaddr_t addr);
extern char guest_landing[];
/* Result in rax; 256 when the landing label was reached instead. */
__asm__(".pushsection .text\n"
	".globl guest_read, guest_write, guest_exec, guest_landing\n"
	"guest_read:\tmovzbl (%rdi), %eax\n\tret\n"
	"guest_write:\tmovb %sil, (%rdi)\n\txorl %eax, %eax\n\tret\n"
	"guest_exec:\txorl %eax, %eax\n\tjmp *%rdi\n"
	"guest_landing:\tmovl $256, %eax\n\tret\n"
	".popsection\n");
#define LANDED 256

/* ---------------------------------------------------------------- the kernel's side */

static struct rig *on_rig; /* the one host rig there is */
static __thread struct {
	struct task *task; /* NULL: raw, the fault is only reported */
	unsigned err;
	int verdict;
	struct fault_report report;
	uint64_t faults;
} me;
static __thread void *alt_stack;
#define ALT_BYTES (256u << 10)

static __attribute__((noreturn)) void die(const char *what, uint64_t addr)
{
	fprintf(stderr, "conformance: %s (address %lx)\n", what, (unsigned long)addr);
	abort();
}

static void take_verdict(greg_t *g, enum ex_type type)
{
	switch (me.verdict) {
	case FAULT_FIXED:
		return;
	case FAULT_FIXUP:
		g[REG_RIP] = (greg_t)me.report.fixup;
		if (type == EX_EFAULT_RAX)
			g[REG_RAX] = -EFAULT;
		return;
	default:
		g[REG_RIP] = (greg_t)guest_landing;
	}
}

static void on_fault(int signo, siginfo_t *si, void *uc_)
{
	greg_t *g = ((ucontext_t *)uc_)->uc_mcontext.gregs;
	unsigned err = (unsigned)g[REG_ERR];
	enum ex_type type = EX_FIXUP;

	if (!on_rig || !host_is_page_fault((uint64_t)g[REG_TRAPNO], si->si_code, (vaddr_t)g[REG_CR2], on_rig->port) ||
	    (vaddr_t)si->si_addr < CONF_LO)
		die("a signal that is no fault of the program", (uint64_t)si->si_addr);
	me.faults++;
	me.err = err;
	if (!me.task) {
		g[REG_RIP] = (greg_t)guest_landing;
		return;
	}
	if (search_exception_table((vaddr_t)g[REG_RIP], &type))
		err &= ~PF_USER;
	me.verdict = do_page_fault(on_rig->mc->mm, me.task, (vaddr_t)g[REG_CR2], err, (vaddr_t)g[REG_RIP], &me.report);
	if (!(err & PF_USER) && me.verdict != FAULT_FIXED && me.verdict != FAULT_FIXUP)
		die("a kernel-mode fault without a fixup", (uint64_t)si->si_addr);
	take_verdict(g, type);
}

void touch_thread_start(struct task *tk)
{
	stack_t ss = { .ss_size = ALT_BYTES };

	ss.ss_sp = alt_stack = mmap(NULL, ALT_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(alt_stack, MAP_FAILED);
	assert_int_equal(sigaltstack(&ss, NULL), 0);
	me.task = tk;
}

void touch_thread_stop(void)
{
	sigaltstack(&(stack_t){ .ss_flags = SS_DISABLE }, NULL);
	munmap(alt_stack, ALT_BYTES);
	me.task = NULL;
}

static void catch_faults(void)
{
	struct sigaction sa = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER };

	sigaction(SIGSEGV, &sa, NULL);
	sigaction(SIGBUS, &sa, NULL);
}

/* ---------------------------------------------------------------- touches */

static uint64_t run_guest(vaddr_t addr, unsigned access, uint8_t byte)
{
	return access == PT_W ? guest_write(addr, byte) : access == PT_X ? guest_exec(addr) : guest_read(addr);
}

int touch(struct rig *r, struct task *tk, vaddr_t addr, unsigned access, uint8_t *byte, struct fault_report *ret)
{
	struct fault_report ignored;
	uint64_t got;

	if (!ret)
		ret = &ignored;
	if (r->face->soft) {
		int v = soft_access(r->port, r->mc->mm, tk, addr, byte, 1, access, ret);

		return v == FAULT_FIXED ? TOUCHED : v;
	}
	me.task = tk;
	got = run_guest(addr, access, byte ? *byte : 0);
	if (got == LANDED) {
		*ret = me.report;
		return me.verdict;
	}
	if (access == PT_R && byte)
		*byte = (uint8_t)got;
	return TOUCHED;
}

int touch_raw(struct rig *r, vaddr_t addr, unsigned access, uint8_t *byte, unsigned *ret_err)
{
	uint64_t got;

	if (r->face->soft) { /* the core has no area there, so each fault comes back as it was */
		struct fault_report rep;
		int v = soft_access(r->port, r->mc->mm, &r->task, addr, byte, 1, access, &rep);

		*ret_err = rep.error_code;
		return v == FAULT_FIXED ? TOUCHED : 0;
	}
	me.task = NULL;
	got = run_guest(addr, access, *byte);
	if (got == LANDED) {
		*ret_err = me.err;
		return 0;
	}
	if (access == PT_R)
		*byte = (uint8_t)got;
	return TOUCHED;
}

uint64_t touch_faults(void)
{
	return me.faults;
}

#define COPY(r, on_soft, on_host) ((r)->face->soft ? (on_soft) : (me.task = &(r)->task, (on_host)))
uint64_t conf_copy_from(struct rig *r, void *dst, vaddr_t src, uint64_t n)
{
	return COPY(r, copy_from_user(r->mc->mm, &r->task, dst, src, n), x86_copy_from_user(r->mc->mm, &r->task, dst, src, n));
}

uint64_t conf_copy_to(struct rig *r, vaddr_t dst, const void *src, uint64_t n)
{
	return COPY(r, copy_to_user(r->mc->mm, &r->task, dst, src, n), x86_copy_to_user(r->mc->mm, &r->task, dst, src, n));
}

uint64_t conf_clear(struct rig *r, vaddr_t dst, uint64_t n)
{
	return COPY(r, clear_user(r->mc->mm, &r->task, dst, n), x86_clear_user(r->mc->mm, &r->task, dst, n));
}

int64_t conf_strncpy(struct rig *r, char *dst, vaddr_t src, uint64_t n)
{
	return COPY(r, strncpy_from_user(r->mc->mm, &r->task, dst, src, n),
		    x86_strncpy_from_user(r->mc->mm, &r->task, dst, src, n));
}

int conf_get(struct rig *r, vaddr_t src, unsigned size, uint64_t *ret)
{
	return COPY(r, get_user_size(r->mc->mm, &r->task, src, size, ret),
		    x86_get_user_size(r->mc->mm, &r->task, src, size, ret));
}

int conf_put(struct rig *r, vaddr_t dst, unsigned size, uint64_t val)
{
	return COPY(r, put_user_size(r->mc->mm, &r->task, dst, size, val),
		    x86_put_user_size(r->mc->mm, &r->task, dst, size, val));
}

int conf_cmpxchg(struct rig *r, vaddr_t addr, uint32_t old, uint32_t new_, uint32_t *ret_old)
{
	return COPY(r, cmpxchg_user32(r->mc->mm, &r->task, addr, old, new_, ret_old),
		    x86_cmpxchg_user32(r->mc->mm, &r->task, addr, old, new_, ret_old));
}

/* ---------------------------------------------------------------- host calls that fail */

static uint64_t calls_to_go;
static int fail_with;
static bool has_failed;

static unsigned long refused;

static int64_t refusing_call(long nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f)
{
	return nr == __NR_ioctl && b == refused ? -EINVAL : host_syscall_raw(nr, a, b, c, d, e, f);
}

void refuse_ioctl(unsigned long request)
{
	refused = request;
	host_table.call = request ? refusing_call : host_syscall_raw;
}

static int64_t failing_call(long nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f)
{
	if (calls_to_go && !--calls_to_go) {
		has_failed = true;
		return -fail_with;
	}
	return host_syscall_raw(nr, a, b, c, d, e, f);
}

void fail_host_call(uint64_t k, int err)
{
	calls_to_go = k;
	fail_with = err;
	has_failed = false;
	host_table.call = k ? failing_call : host_syscall_raw;
}

bool host_call_has_failed(void)
{
	return has_failed;
}

/* ---------------------------------------------------------------- rigs */

bool face_works(const struct face *f, const char **ret_why)
{
	struct host_probe p;

	*ret_why = "";
	if (f->soft)
		return true;
	host_probe(&p);
	*ret_why = f->engine == ENGINE_UFFD ? strerror(p.uffd_errno) : strerror(p.proc_mem_errno);
	return f->engine == ENGINE_UFFD ? p.uffd : p.proc_mem;
}

static uint32_t self_id(struct port *p)
{
	return me.task ? me.task->tid : 1;
}

static struct port *open_port; /* of a rig that a failed test has left behind, too */

static void open_host(struct rig *r, uint64_t bound)
{
	struct host_port_config c = {
		.engine = r->face->engine, .lo = CONF_LO, .hi = CONF_HI, .own_lo = CONF_HI, .own_hi = CONF_OWN_HI,
		.bound_pages = bound, .fd_base = 200, .self = self_id,
	};
	const char *why = NULL;
	int err = host_port_create(&c, &r->port, &why);

	if (err)
		fprintf(stderr, "%s: %s\n", r->face->name, why);
	assert_int_equal(err, 0);
	open_port = r->port;
	assert_string_equal(r->port->ops->name, r->face->name);
	r->port->host_calls = &r->host_calls;
	on_rig = r;
}

static void make_machine(struct rig *r, uint64_t bound, struct store *store)
{
	assert_int_equal(machine_create(&(struct machine_config){
		.port = r->port, .store = store, .swap_slots = store ? 1 << 16 : 0, .bound_pages = bound,
		.mmap_min = CONF_LO, .task_size = CONF_HI, .mmap_base = CONF_HI - (1ull << 32) }, &r->mc), 0);
}

/* The soft port cannot be touched without a core; it gets one that knows of no area. */
void port_open(struct rig *r, const struct face *f, uint64_t bound)
{
	fail_host_call(0, 0);
	if (open_port)
		host_port_destroy(open_port);
	open_port = NULL;
	memset(r, 0, sizeof(*r));
	r->face = f;
	r->task.tid = 1;
	if (!alt_stack)
		touch_thread_start(&r->task);
	catch_faults(); /* cmocka sets its own for each test */
	if (!f->soft) {
		open_host(r, bound);
		return;
	}
	assert_int_equal(soft_port_create(CONF_LO, CONF_HI, &r->port), 0);
	make_machine(r, 0, NULL);
}

void rig_open(struct rig *r, const struct face *f, uint64_t bound, struct store *store)
{
	port_open(r, f, bound);
	if (r->mc)
		machine_destroy(r->mc);
	me.task = &r->task;
	make_machine(r, bound, store);
}

void rig_close(struct rig *r)
{
	if (r->mc)
		machine_destroy(r->mc);
	me.task = NULL;
	if (r->face->soft) {
		assert_int_equal(soft_port_destroy(r->port), 0);
		return;
	}
	on_rig = NULL;
	open_port = NULL;
	host_port_destroy(r->port);
}
