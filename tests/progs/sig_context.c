/* SPDX-License-Identifier: MIT */
/* sig_context.c - what a handler, a fault and a system call leave untouched, and what sigreturn may change */
#include "signals.h"

#include <asm/prctl.h>
#include <cpuid.h>
#include <fenv.h>
#include <immintrin.h>
#include <sys/prctl.h>
#include <sys/time.h>

/* ---------------------------------------------------------------- all registers, over signals and faults */

static volatile int handled;

__attribute__((target("avx"))) static void spoil(void)
{
	__asm__ volatile("vpcmpeqd %%xmm0, %%xmm0, %%xmm0; vinsertf128 $1, %%xmm0, %%ymm0, %%ymm0; vmovaps %%ymm0, %%ymm5; vmovaps %%ymm0, %%ymm15;"
			 "fldpi; fldpi; fldpi" ::: "xmm0", "xmm5", "xmm15");
}

static bool have_avx;

static void meddle(int signo, siginfo_t *si, void *ctx)
{
	unsigned csr;
	unsigned short cw;
	__asm__ volatile("stmxcsr %0; fnstcw %1" : "=m"(csr), "=m"(cw));
	if (csr != 0x1f80 || cw != 0x37f)
		printf("  a handler starts with mxcsr %x cw %x\n", csr, cw);
	if (have_avx)
		spoil();
	csr = 0x1fc0;
	__asm__ volatile("ldmxcsr %0; std; cld" :: "m"(csr));
	__atomic_add_fetch(&handled, 1, __ATOMIC_RELEASE);
}

/* Load every register with a pattern, do something, and compare. */
static int check_registers(char *touch, long sysnr, const volatile int *spin)
{
	static const uint64_t pattern[4] __attribute__((aligned(32))) = { 0x0123456789abcdef, 0xfedcba9876543210, 0x1111222233334444, 0x5555666677778888 };
	uint64_t out[8][4] __attribute__((aligned(32)));
	uint64_t bad = 0;
	unsigned csr = 0x1f80 | 0x6000, csr2;
	unsigned short cw = 0x77f, cw2;
	long r = sysnr;
	uint64_t memory[2] = { (uint64_t)touch, (uint64_t)spin };
	memset(out, 0, sizeof out);
	__asm__ volatile(
		"ldmxcsr %[csr]\n\t"
		"fldcw %[cw]\n\t"
		"fld1\n\t"
		"cmpb $0, %[avx]\n\t"
		"je 1f\n\t"
		"vmovaps %[pat], %%ymm5\n\t"
		"vmovaps %[pat], %%ymm15\n"
		"1:\tmovdqa %[pat], %%xmm0\n\t"
		"movq $0x5a5a5a5a, -8(%%rsp)\n\t" /* the red zone */
		"movq $0x6b6b6b6b, -128(%%rsp)\n\t"
		"movq $11, %%rbx\n\tmovq $12, %%r12\n\tmovq $13, %%r13\n\tmovq $14, %%r14\n\tmovq $15, %%r15\n\t"
		"movq $8, %%r8\n\tmovq $9, %%r9\n\tmovq $10, %%r10\n\t"
		"movq 8(%[mem]), %%rdx\n\ttestq %%rdx, %%rdx\n\tjz 2f\n"
		"3:\tcmpl $0, (%%rdx)\n\tje 3b\n" /* until a handler has run */
		"2:\tmovq (%[mem]), %%rdi\n\ttestq %%rdi, %%rdi\n\tjz 4f\n\tmovb $1, (%%rdi)\n" /* a page fault */
		"4:\ttestq %%rax, %%rax\n\tjs 5f\n\tsyscall\n" /* a system call */
		"5:\tcmpq $11, %%rbx\n\tjne 9f\n\tcmpq $12, %%r12\n\tjne 9f\n\tcmpq $13, %%r13\n\tjne 9f\n\tcmpq $14, %%r14\n\tjne 9f\n\t"
		"cmpq $15, %%r15\n\tjne 9f\n\tcmpq $8, %%r8\n\tjne 9f\n\tcmpq $9, %%r9\n\tjne 9f\n\tcmpq $10, %%r10\n\tjne 9f\n\t"
		"cmpq $0x5a5a5a5a, -8(%%rsp)\n\tjne 9f\n\tcmpq $0x6b6b6b6b, -128(%%rsp)\n\tjne 9f\n\t"
		"jmp 8f\n"
		"9:\tmovq $1, %[bad]\n"
		"8:\tmovdqa %%xmm0, %[o0]\n\t"
		"cmpb $0, %[avx]\n\t"
		"je 7f\n\t"
		"vmovaps %%ymm5, %[o1]\n\t"
		"vmovaps %%ymm15, %[o2]\n"
		"7:\tstmxcsr %[csr2]\n\t"
		"fnstcw %[cw2]\n\t"
		"fstpl %[o3]\n\t"
		"fninit"
		: "+a"(r), [bad] "+m"(bad), [o0] "=m"(out[0]), [o1] "=m"(out[1]), [o2] "=m"(out[2]), [o3] "=m"(out[3]), [csr2] "=m"(csr2), [cw2] "=m"(cw2)
		: [pat] "m"(pattern), [csr] "m"(csr), [cw] "m"(cw), [avx] "m"(have_avx), [mem] "S"(memory)
		: "rbx", "rcx", "rdx", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "xmm0", "xmm5", "xmm15", "memory", "cc");
	unsigned def = 0x1f80;
	__asm__ volatile("ldmxcsr %0" :: "m"(def));
	double one;
	memcpy(&one, out[3], 8);
	if (memcmp(out[0], pattern, 16))
		bad |= 2;
	if (have_avx && (memcmp(out[1], pattern, 32) || memcmp(out[2], pattern, 32)))
		bad |= 4;
	if (csr2 != (0x1f80 | 0x6000) || cw2 != 0x77f)
		bad |= 8;
	if (one != 1.0)
		bad |= 16;
	return (int)bad;
}

static volatile int sending = 1;
static void *storm(void *arg)
{
	pthread_t t = *(pthread_t *)arg;
	while (sending) {
		pthread_kill(t, SIGUSR1);
		for (volatile int i = 0; i < 20000; i++)
			;
	}
	return NULL;
}

static void registers(void)
{
	pthread_t me = pthread_self(), t;
	char *m = mmap(NULL, 512 * PG, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int bad = 0;
	on(SIGUSR1, meddle, SA_RESTART);
	for (int i = 0; i < 200; i++)
		bad |= check_registers(m + (unsigned)i * PG, -1, NULL);
	printf("over faults: %d\n", bad);
	for (int i = 0; i < 200; i++)
		bad |= check_registers(NULL, SYS_getppid, NULL);
	printf("over system calls: %d\n", bad);
	block(SIGUSR1);
	pthread_create(&t, NULL, storm, &me);
	unblock(SIGUSR1);
	for (int i = 0; i < 40; i++) {
		handled = 0;
		bad |= check_registers(m + (200u + 7 * (unsigned)i) * PG, SYS_getppid, &handled);
	}
	sending = 0;
	pthread_join(t, NULL);
	printf("over signals, faults and calls: %d\n", bad);
	munmap(m, 512 * PG);
}

/* ---------------------------------------------------------------- the handler changes the context */

static void change(int signo, siginfo_t *si, void *ctx)
{
	ucontext_t *uc = ctx;
	greg_t *g = uc->uc_mcontext.gregs;
	g[REG_RAX] = 0x1234;
	g[REG_RBX] = 0x2345;
	g[REG_R8] = 0x3456;
	g[REG_R11] = 0x4567;
	g[REG_RCX] = 0x5678;
	g[REG_EFL] |= 0x400 | 1; /* DF, CF */
	g[REG_EFL] |= 0x200000 | 0x3000; /* ID, IOPL: not to be had */
	g[REG_RIP] += 2;
	uc->uc_mcontext.fpregs->_xmm[0].element[0] = 0xabcdef;
	uc->uc_mcontext.fpregs->mxcsr = 0x9f80;
}

static void changed_context(void)
{
	uint64_t a = 1, b = 2, c = 3, d = 4, e = 5, fl = 0, x = 0;
	unsigned csr = 0, def = 0x1f80;
	on(SIGILL, change, 0);
	__asm__ volatile("pxor %%xmm0, %%xmm0\n\txorq %%rbx, %%rbx\n\tmovq $7, %%rax\n\tud2\n\tpushf\n\tcld\n\tpopq %5\n\tmovq %%rbx, %1\n\tmovq %%r8, %2\n\tmovq %%r11, %3\n\tmovq %%rcx, %4\n\t"
			 "movq %%xmm0, %6\n\tstmxcsr %7\n\tldmxcsr %8"
			 : "=a"(a), "=m"(b), "=m"(c), "=m"(d), "=m"(e), "=m"(fl), "=m"(x), "=m"(csr) : "m"(def)
			 : "rbx", "r8", "r11", "rcx", "xmm0", "cc", "memory");
	printf("changed: %lx %lx %lx %lx %lx flags %lx xmm0 %lx mxcsr %x\n", a, b, c, d, e, fl & 0x3401, x, csr);
}

static void no_fp(int signo, siginfo_t *si, void *ctx)
{
	ucontext_t *uc = ctx;
	uc->uc_mcontext.gregs[REG_RIP] += 2;
	if (handled == 1)
		uc->uc_mcontext.fpregs = NULL;                    /* all reset */
	else
		*(uint32_t *)((char *)uc->uc_mcontext.fpregs + 464) = 0; /* no magic: the legacy part alone */
}

static void fp_forms(void)
{
	on(SIGILL, no_fp, 0);
	for (handled = 1; handled < 3; handled++) {
		uint64_t hi[4] __attribute__((aligned(32))) = { 1, 2, 3, 4 };
		unsigned csr = 0x9f80, def = 0x1f80;
		if (have_avx)
			__asm__ volatile("ldmxcsr %1; vmovaps %0, %%ymm3; ud2; vmovaps %%ymm3, %0; stmxcsr %1; ldmxcsr %2" : "+m"(hi), "+m"(csr) : "m"(def) : "xmm3");
		printf("form %d: %d\n", handled, have_avx ? hi[0] == (handled == 1 ? 0 : 1) && hi[2] == 0 && csr == (handled == 1 ? 0x1f80 : 0x9f80) : 1);
	}
}

/* A bad frame kills, or tells. */
static sigjmp_buf back;
static void told(int signo, siginfo_t *si, void *ctx)
{
	printf("  %s code %d addr %p\n", name_of(signo), si->si_code, si->si_addr);
	siglongjmp(back, 1);
}

static void wrong(int signo, siginfo_t *si, void *ctx)
{
	ucontext_t *uc = ctx;
	switch (handled) {
	case 0: uc->uc_mcontext.fpregs = (void *)none; break;
	case 1: uc->uc_mcontext.gregs[REG_RIP] = (greg_t)hole; break;
	case 2: uc->uc_mcontext.gregs[REG_RIP] = 0x900000000000; break;
	case 3: uc->uc_mcontext.gregs[REG_RIP] = (greg_t)kern; break;
	default: uc->uc_mcontext.fpregs->mxcsr = 0xffffffff; break; /* reserved bits */
	}
}

static void bad_frames(void)
{
	on(SIGUSR2, wrong, 0);
	on(SIGSEGV, told, SA_ONSTACK);
	for (handled = 0; handled < 5; handled++) {
		printf("bad frame %d\n", handled);
		if (!sigsetjmp(back, 1)) {
			raise(SIGUSR2);
			puts("  survived");
		}
	}
	if (!sigsetjmp(back, 1))
		__asm__ volatile("mov %0, %%rsp; mov $15, %%eax; syscall" :: "r"(hole + 64) : "memory");
}

/* ---------------------------------------------------------------- segments */

static char *low; /* a breakpoint below 4 GiB */
static uint16_t seg_cs, seg_ss;
static bool seg_mend;

/* sigreturn loads other segments; the next handler runs in those of 64-bit programs, and finds them in its frame. */
static void segments_handler(int signo, siginfo_t *si, void *ctx)
{
	ucontext_t *uc = ctx;
	greg_t *g = uc->uc_mcontext.gregs;
	uint16_t *seg = (uint16_t *)&g[REG_CSGSFS], ss;
	if (signo == SIGUSR1) {
		seg[0] = seg_cs;
		seg[3] = seg_ss;
		if (seg_mend)
			uc->uc_flags &= ~4ul; /* UC_STRICT_RESTORE_SS */
		g[REG_RIP] = (greg_t)low;
		return;
	}
	__asm__ volatile("mov %%ss, %0" : "=r"(ss));
	printf("  %s code %d trap %lld error %llx cs %x ss %x strict %lu, in the handler ss %x\n", name_of(signo), si->si_code, g[REG_TRAPNO],
	       g[REG_ERR], seg[0], seg[3], uc->uc_flags & 4, ss);
	siglongjmp(back, 1);
}

static void segments(void)
{
	static const struct { uint16_t cs, ss; bool mend; } row[] = { { 0x33, 0x2b, false }, { 0x23, 0x2b, false }, { 0x33, 0, true }, { 0x33, 0x33, true },
		{ 0x33, 0x33, false }, { 0x23, 0x33, false }, { 0x10, 0x2b, false }, { 0, 0x2b, false }, { 0x7ff, 0x2b, false }, { 0x33, 0x7ff, false } };
	low = mmap(NULL, PG, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	memset(low, 0xcc, 16);
	on(SIGUSR1, segments_handler, 0);
	on(SIGTRAP, segments_handler, SA_ONSTACK);
	on(SIGSEGV, segments_handler, SA_ONSTACK);
	for (unsigned i = 0; i < sizeof row / sizeof row[0]; i++) {
		seg_cs = row[i].cs, seg_ss = row[i].ss, seg_mend = row[i].mend;
		printf("cs %x ss %x%s\n", seg_cs, seg_ss, seg_mend ? " mend" : "");
		if (!sigsetjmp(back, 1))
			raise(SIGUSR1);
	}
}

/* Frames of signals that are no traps tell of the last trap that became a signal. */
static void last_trap(int signo, siginfo_t *si, void *ctx)
{
	greg_t *g = ((ucontext_t *)ctx)->uc_mcontext.gregs;
	printf("  %s: trap %lld error %llx cr2 %d\n", name_of(signo), g[REG_TRAPNO], g[REG_ERR], g[REG_CR2] == (greg_t)hole + 8);
	if (signo == SIGSEGV)
		siglongjmp(back, 1);
}

static void traps_kept(void)
{
	puts("the last trap");
	on(SIGSEGV, last_trap, SA_ONSTACK);
	on(SIGTRAP, last_trap, 0);
	on(SIGUSR1, last_trap, 0);
	if (!sigsetjmp(back, 1))
		hole[8] = 1;
	churn();
	raise(SIGUSR1);
	__asm__ volatile("int3");
	churn();
	raise(SIGUSR1);
}

/* ---------------------------------------------------------------- FS, GS, identity */

static __thread int tls = 77;
static volatile uint64_t seen_fs, seen_gs;
static void look(int signo, siginfo_t *si, void *ctx)
{
	uint64_t v;
	syscall(SYS_arch_prctl, ARCH_GET_FS, &v);
	seen_fs = v;
	syscall(SYS_arch_prctl, ARCH_GET_GS, &v);
	seen_gs = v;
	tls++;
}

static void bases(void)
{
	static uint64_t area[4] = { 1, 2, 0x99, 4 };
	uint64_t fs, v;
	C(SYS_arch_prctl, ARCH_SET_GS, area);
	syscall(SYS_arch_prctl, ARCH_GET_FS, &fs);
	on(SIGUSR1, look, 0);
	raise(SIGUSR1);
	churn();
	__asm__ volatile("movq %%gs:16, %0" : "=r"(v));
	printf("gs:16 %lx, fs %d, gs %d, tls %d\n", v, seen_fs == fs, seen_gs == (uint64_t)area, tls);
	C(SYS_arch_prctl, ARCH_SET_GS, kern);
	C(SYS_arch_prctl, ARCH_SET_FS, kern);
	C(SYS_arch_prctl, ARCH_GET_FS, none);
	C(SYS_arch_prctl, 0x7777, 0);
}

/* ---------------------------------------------------------------- vsyscall */

static void vsyscalls(void)
{
	long (*vtime)(time_t *) = (void *)0xffffffffff600400ul;
	int (*vgettimeofday)(struct timeval *, void *) = (void *)0xffffffffff600000ul;
	int (*vgetcpu)(unsigned *, unsigned *, void *) = (void *)0xffffffffff600800ul;
	static struct { char before[PG]; struct timeval tv; time_t t; unsigned cpu, node; char after[PG]; } far_;
	struct timeval tv;
	on(SIGSEGV, told, SA_ONSTACK);
	puts("-- vsyscall");
	if (sigsetjmp(back, 1))
		return;
	long t = vtime(NULL);
	gettimeofday(&tv, NULL);
	printf("time: %d\n", labs(t - tv.tv_sec) < 2);
	/* nothing of the buffer is in memory */
	printf("gettimeofday: %d", vgettimeofday(&far_.tv, NULL));
	printf(" %d\n", labs(far_.tv.tv_sec - tv.tv_sec) < 2);
	churn();
	t = vtime(&far_.t);
	printf("time: %d\n", t == far_.t && labs(t - tv.tv_sec) < 3);
	churn();
	printf("getcpu: %d\n", vgetcpu(&far_.cpu, &far_.node, NULL));
	if (!sigsetjmp(back, 1))
		printf("  %d\n", vgettimeofday((void *)none, NULL));
	if (!sigsetjmp(back, 1))
		((void (*)(void))0xffffffffff600001ul)();
	if (!sigsetjmp(back, 1))
		((void (*)(void))0xffffffffff600c00ul)();
	if (!sigsetjmp(back, 1))
		__asm__ volatile("movb 0xffffffffff600000, %%al" ::: "rax");
}

int main(int argc, char **argv)
{
	static char altmem[65536];
	stack_t ss = { .ss_sp = altmem, .ss_size = sizeof altmem };
	if (argc > 1 && !strcmp(argv[1], "dispatch")) /* not to be had under softfault, which lives by it */
		return prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON, 0, 0, 0) == -1 && errno == EINVAL ? 0 : 1;
	transcript_begin();
	sigaltstack(&ss, NULL);
	have_avx = __builtin_cpu_supports("avx");
	registers();
	changed_context();
	fp_forms();
	bad_frames();
	segments();
	traps_kept();
	bases();
	vsyscalls();
	return 0;
}
