/* SPDX-License-Identifier: MIT */
/* sig_faults.c - synchronous signals: number, code, address to the byte, trap number, error code and cr2 of each kind of bad access */
#include "signals.h"

#include <fenv.h>

static sigjmp_buf back;
static const char *base;
static volatile int hits;
static char *volatile page_nx, *volatile beyond_private, *volatile beyond_shared;

static void caught(int signo, siginfo_t *si, void *ctx)
{
	const greg_t *g = ((ucontext_t *)ctx)->uc_mcontext.gregs;
	long off = (char *)si->si_addr - base;
	bool fault = g[REG_TRAPNO] == 14;
	__asm__ volatile("pushf; andl $~0x40000, (%%rsp); popf" ::: "memory", "cc"); /* the handler inherits AC */
	hits++;
	printf("  %s code %d addr ", name_of(signo), si->si_code);
	if (off >= 0 && off < 64 * (long)PG)
		printf("base+%ld", off);
	else if ((char *)g[REG_RIP] == si->si_addr && !fault)
		printf("of the instruction");
	else
		printf("%lx", (long)si->si_addr);
	printf(" trap %lld", (long long)g[REG_TRAPNO]);
	if (fault)
		printf(" err %llx cr2 %s", (unsigned long long)g[REG_ERR], g[REG_CR2] == (greg_t)si->si_addr ? "same" : "differs");
	printf(" ip %s\n", signo == SIGTRAP || (char *)g[REG_RIP] != si->si_addr ? "elsewhere" : "there");
	siglongjmp(back, 1);
}

#define TRY(what, ...) do { \
	puts(what); \
	int before = hits; \
	if (!sigsetjmp(back, 1)) { \
		__VA_ARGS__; \
		puts("  no signal"); \
	} else if (hits != before + 1) \
		puts("  more than one"); \
} while (0)

static volatile char sink;
/* cppcheck-suppress nullPointer */
static __attribute__((noipa)) void rd(const char *p) { sink = *(const volatile char *)p; }
static __attribute__((noipa)) void wr(char *p) { *(volatile char *)p = 1; }
static void call(const char *p) { ((void (*)(void))(uintptr_t)p)(); }
static void wide(const char *p) { __asm__ volatile("movdqu (%0), %%xmm0" :: "r"(p) : "xmm0"); }
static void wide_write(char *p) { __asm__ volatile("movdqu %%xmm0, (%0)" :: "r"(p) : "memory"); }

static void absent(void)
{
	char *h = hole;
	TRY("read absent", rd(h + 123));
	TRY("write absent", wr(h + 4095));
	TRY("execute absent", call(h + 1));
	TRY("null", rd(NULL));
	TRY("null + 17", wr((char *)17));
	TRY("last byte below the mapping", rd(good - 1 + 2 * PG + 1));
}

static void protections(void)
{
	base = good;
	TRY("read of no access", rd(none + 7));
	TRY("write of no access", wr(none + 8));
	rd(ro);
	TRY("write of read-only", wr(ro + 99));
	wr(page_nx);
	base = page_nx;
	TRY("execute of not executable", call(page_nx + 5));
	base = good;
	TRY("16 bytes across the end", wide(none - 3));
	TRY("16 bytes written across the end", wide_write(none - 15));
	TRY("kernel read", rd(kern + 5));
	TRY("kernel write", wr(kern + 6));
	TRY("kernel execute", call(kern + 7));
	TRY("top of memory", rd((char *)-1l));
	TRY("end of user memory", rd((char *)0x7ffffffff000));
	TRY("non-canonical read", rd((char *)0x800000000000));
	TRY("non-canonical write", wr((char *)0x1234567800000000));
	TRY("string instruction", { char *d = none - 5, *s = good; size_t n = 10;
				    __asm__ volatile("rep movsb" : "+D"(d), "+S"(s), "+c"(n) :: "memory"); });
	TRY("push on a bad stack", { __asm__ volatile("mov %%rsp, %%rbx; mov %0, %%rsp; push %%rax; mov %%rbx, %%rsp"
						     :: "r"(none + 16) : "rbx", "memory"); });
}

static void map_short_file(void)
{
	int fd = open("short", O_RDWR | O_CREAT, 0600);
	if (ftruncate(fd, PG + 100))
		abort();
	beyond_private = mmap(NULL, 4 * PG, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	beyond_shared = mmap(NULL, 4 * PG, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	unlink("short");
	base = beyond_private;
	TRY("private: tail of the last page", rd(beyond_private + PG + 4000));
	TRY("private: read beyond the end", rd(beyond_private + 2 * PG + 3));
	TRY("private: write beyond the end", wr(beyond_private + 3 * PG + 4));
	base = beyond_shared;
	TRY("shared: tail of the last page", wr(beyond_shared + PG + 4000));
	TRY("shared: read beyond the end", rd(beyond_shared + 2 * PG + 5));
	TRY("shared: write beyond the end", wr(beyond_shared + 3 * PG + 6));
	wr(beyond_shared + 10);
	if (ftruncate(fd, 0))
		abort();
	TRY("shared: cut off after it was used", rd(beyond_shared + 11));
	close(fd);
}

static void stray(void)
{
	base = good;
	TRY("divide by zero", { volatile int z = 0; __asm__ volatile("cltd; idivl %0" :: "m"(z) : "rax", "rdx"); });
	TRY("SSE exception", { unsigned csr = 0x1f80 & ~0x200u; volatile double a = 1, b = 0; __asm__ volatile("ldmxcsr %0" :: "m"(csr));
			       a = a / b; });
	TRY("x87 exception", { unsigned short cw = 0x37f & ~4; __asm__ volatile("fninit; fldcw %0; fldz; fld1; fdivp; fwait" :: "m"(cw)); });
	TRY("ud2", __asm__ volatile("ud2"));
	TRY("int3", __asm__ volatile("int3"));
	TRY("hlt", __asm__ volatile("hlt"));
	TRY("cli", __asm__ volatile("cli"));
	TRY("int 0x90", __asm__ volatile("int $0x90"));
	TRY("port", __asm__ volatile("outb %%al, $0x80" ::: "memory"));
	TRY("misaligned SSE", __asm__ volatile("movaps 1(%0), %%xmm0" :: "r"(good) : "xmm0"));
	TRY("rep ret to a non-canonical stack", __asm__ volatile("mov %%rsp, %%rbx; movabs $0x900000000000, %%rsp; pop %%rax; mov %%rbx, %%rsp"
								 ::: "rbx", "rax", "memory"));
	__asm__ volatile("fninit");
}

static void alignment_check(void)
{
	base = good;
	TRY("alignment check", __asm__ volatile("pushf; orl $0x40000, (%%rsp); popf; movl 1(%0), %%eax; pushf; andl $~0x40000, (%%rsp); popf"
						:: "r"(good) : "rax", "memory", "cc"));
	__asm__ volatile("pushf; andl $~0x40000, (%%rsp); popf" ::: "memory", "cc");
}

/* With AC set, pages still come in and calls still work. */
static void alignment_check_live(void)
{
	char *m = mmap(NULL, 8 * PG, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	long r = SYS_getppid;
	__asm__ volatile("pushf; orl $0x40000, (%%rsp); popf; movl $1, (%1); movl $2, 4096(%1); syscall; pushf; andl $~0x40000, (%%rsp); popf"
			 : "+a"(r) : "r"(m) : "rcx", "r11", "memory", "cc");
	printf("with AC set: %d %d, %s\n", m[0], m[4096], r > 0 ? "parent" : "error");
	munmap(m, 8 * PG);
}

static void on_step(int signo, siginfo_t *si, void *ctx)
{
	hits++;
	if (hits > 2000)
		((ucontext_t *)ctx)->uc_mcontext.gregs[REG_EFL] &= ~0x100ll;
}

/* One trap an instruction, over faults and calls too. */
static void single_step(void)
{
	char *m = mmap(NULL, 4 * PG, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	on(SIGTRAP, on_step, 0);
	hits = 0;
	long r = SYS_getppid;
	__asm__ volatile("sub $128, %%rsp; pushf; orl $0x100, (%%rsp); popf\n\tnop; movl $1, (%1); movl $2, 4096(%1)\n\tsyscall\n\tnop; pushf; "
			 "andl $~0x100, (%%rsp); popf; add $128, %%rsp"
			 : "+a"(r) : "r"(m) : "rcx", "r11", "memory", "cc");
	printf("single step: %d traps, %d %d, %s\n", hits, m[0], m[4096], r > 0 ? "parent" : "error");
}

int main(void)
{
	static char alt[65536];
	stack_t ss = { .ss_sp = alt, .ss_size = sizeof alt };
	static const int all[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP };
	transcript_begin();
	page_nx = mmap(NULL, PG, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	base = good;
	sigaltstack(&ss, NULL);
	for (unsigned i = 0; i < sizeof all / sizeof *all; i++)
		on(all[i], caught, SA_ONSTACK);
	absent();
	protections();
	map_short_file();
	stray();
	alignment_check();
	fflush(stdout);
	alignment_check_live();
	single_step();
	return 0;
}
