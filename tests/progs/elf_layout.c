/* SPDX-License-Identifier: MIT */
/* elf_layout.c - a program that looks at how it was loaded; prints nothing that differs between two right loads
 *
 * Built static, static-pie, PIE and position-dependent. */
#define _GNU_SOURCE
#include <elf.h>
#include <link.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#define BIG (3u << 20)
#define ALIGNED __attribute__((aligned(64)))

static char bss_small[777];
static char bss_big[BIG];
static int data = 4711;
static const char rodata[] = "constant";
static int *data_pointer = &data; /* a relocation */
static __thread volatile int tls_data = 12, tls_bss;
static int constructed;
extern char **environ;

#ifdef HUGE_ALIGN
static char huge[16] __attribute__((aligned(HUGE_ALIGN))) = "huge";
#endif

__attribute__((constructor)) static void construct(void) { constructed = 1; }

static void check(const char *what, int ok)
{
	printf("%s %s\n", ok ? "ok" : "not ok", what);
}

static int all_zero(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i])
			return 0;
	return 1;
}

static int phdrs_have(const Elf64_Phdr *ph, size_t n, unsigned type)
{
	for (size_t i = 0; i < n; i++)
		if (ph[i].p_type == type)
			return 1;
	return 0;
}

static void check_auxv(char **argv)
{
	const Elf64_Phdr *ph = (const Elf64_Phdr *)getauxval(AT_PHDR);
	const unsigned char *random = (const unsigned char *)getauxval(AT_RANDOM);
	const char *execfn = (const char *)getauxval(AT_EXECFN), *platform = (const char *)getauxval(AT_PLATFORM);
	size_t phnum = getauxval(AT_PHNUM);
	check("AT_PHDR points at program headers", ph && phdrs_have(ph, phnum, PT_LOAD) && phdrs_have(ph, phnum, PT_TLS));
	check("AT_PHENT", getauxval(AT_PHENT) == sizeof(Elf64_Phdr));
	check("AT_PAGESZ", getauxval(AT_PAGESZ) == 4096);
	check("AT_RANDOM", random && !all_zero((const char *)random, 16));
	check("AT_EXECFN", execfn && !strcmp(execfn, argv[0]));
	check("AT_PLATFORM", platform && !strcmp(platform, "x86_64"));
	check("AT_UID, AT_EGID", getauxval(AT_UID) == getuid() && getauxval(AT_EGID) == getegid());
	check("AT_SECURE", !getauxval(AT_SECURE));
	check("AT_CLKTCK", getauxval(AT_CLKTCK) == (unsigned long)sysconf(_SC_CLK_TCK));
	check("AT_BASE only with a dynamic linker", !!getauxval(AT_BASE) == phdrs_have(ph, phnum, PT_INTERP));
	check("AT_MINSIGSTKSZ", getauxval(AT_MINSIGSTKSZ) >= 2048);
	check("AT_SYSINFO_EHDR is an ELF image", !getauxval(AT_SYSINFO_EHDR) ||
						 !memcmp((const char *)getauxval(AT_SYSINFO_EHDR), ELFMAG, SELFMAG));
}

/* argc, argv, envp and auxv lie in one piece, 16-byte aligned, below the strings, which are in order. */
static void check_stack(int argc, char **argv)
{
	uintptr_t sp = (uintptr_t)argv - 8;
	char **p = argv + argc + 1;
	check("stack pointer was a multiple of 16", sp % 16 == 0);
	check("argc lies below argv", *(uintptr_t *)sp == (uintptr_t)argc);
	check("argv ends with NULL, then comes the environment", !argv[argc] && p == environ);
	check("argument strings are neighbours", argc < 2 || argv[1] == argv[0] + strlen(argv[0]) + 1);
	char *last = argv[argc - 1];
	check("the environment's strings follow the arguments'", !environ[0] || environ[0] == last + strlen(last) + 1);
	check("strings lie above the vectors", argv[0] > (char *)argv);
}

static int recurse(int depth)
{
	volatile char frame[4096];
	frame[0] = (char)depth;
	return depth ? recurse(depth - 1) + (frame[0] == (char)depth) : 0;
}

static void check_memory(void)
{
	char *heap = sbrk(0);
	check("bss is zero", all_zero(bss_small, sizeof(bss_small)) && all_zero(bss_big, sizeof(bss_big)));
	memset(bss_big, 1, sizeof(bss_big));
	check("data", data == 4711 && !strcmp(rodata, "constant"));
	check("relocations were made", data_pointer == &data && constructed);
	check("thread-local data", tls_data == 12 && !tls_bss);
	check("heap begins on a page behind the program or away from it", sbrk(0x10000) == heap && heap + 0x10000 == sbrk(0));
	memset(heap, 2, 0x10000);
	check("heap was clear of bss", bss_big[BIG - 1] == 1 && bss_small[0] == 0);
	check("stack grows", recurse(500) == 500);
#ifdef HUGE_ALIGN
	check("p_align is honoured", (uintptr_t)huge % HUGE_ALIGN == 0 && !strcmp(huge, "huge"));
#endif
}

int main(int argc, char **argv)
{
	for (int i = 0; i < argc; i++)
		printf("arg %s\n", i ? argv[i] : "program");
	printf("FOO=%s\n", getenv("FOO") ? getenv("FOO") : "(none)");
	check_stack(argc, argv);
	check_auxv(argv);
	check_memory();
	return argc;
}
