/* SPDX-License-Identifier: MIT */
/* mkelf.c - write a small static ELF program, right or wrong in one way: mkelf KIND FILE [INTERPRETER]
 *
 * The right one has three segments (headers, code, data with bss) and exits with 42 after looking at its bss: the rest
 * of the data segment's last page, where the file holds 0xaa, must read as zeros, and so must the page behind it. */
#include <elf.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_BYTES 0x3000
#define CODE_OFF   0x1000
#define DATA_OFF   0x2000
#define DATA_BYTES 0x100
#define BASE       0x400000

/* exit(42 + bss[0] + bss of the next page); position-dependent on purpose */
__asm__(".pushsection .rodata\n"
	"check_bss: movl $0x402100, %eax\n movzbl (%rax), %edi\n movl $0x403010, %eax\n movzbl (%rax), %edx\n"
	"add %edx, %edi\n add $42, %edi\n movl $231, %eax\n syscall\n check_bss_end:\n"
	"plain: movl $42, %edi\n movl $231, %eax\n syscall\n plain_end:\n.popsection");
extern const char check_bss[], check_bss_end[], plain[], plain_end[];

static unsigned char image[FILE_BYTES];
static size_t file_bytes = FILE_BYTES;
static Elf64_Ehdr *const eh = (Elf64_Ehdr *)image;
static Elf64_Phdr *const ph = (Elf64_Phdr *)(image + sizeof(Elf64_Ehdr));

static void segment(int i, unsigned flags, uint64_t off, uint64_t filesz, uint64_t memsz)
{
	ph[i] = (Elf64_Phdr){ .p_type = PT_LOAD, .p_flags = flags, .p_offset = off, .p_vaddr = BASE + off, .p_paddr = BASE + off,
			      .p_filesz = filesz, .p_memsz = memsz, .p_align = 0x1000 };
}

static void right(const char *code, const char *end)
{
	memset(image + DATA_OFF, 0xaa, FILE_BYTES - DATA_OFF);
	memcpy(image + CODE_OFF, code, (size_t)(end - code));
	memcpy(eh->e_ident, ELFMAG "\2\1\1", 7);
	eh->e_type = ET_EXEC;
	eh->e_machine = EM_X86_64;
	eh->e_version = 1;
	eh->e_entry = BASE + CODE_OFF;
	eh->e_phoff = sizeof(*eh);
	eh->e_ehsize = sizeof(*eh);
	eh->e_phentsize = sizeof(*ph);
	eh->e_phnum = 3;
	segment(0, PF_R, 0, 0x200, 0x200);
	segment(1, PF_R | PF_X, CODE_OFF, (uint64_t)(end - code), (uint64_t)(end - code));
	segment(2, PF_R | PF_W, DATA_OFF, DATA_BYTES, 0x3000);
}

static void with_interp(const char *path, size_t bytes)
{
	memcpy(image + 0x300, path, strlen(path) + 1);
	ph[3] = (Elf64_Phdr){ .p_type = PT_INTERP, .p_flags = PF_R, .p_offset = 0x300, .p_vaddr = BASE + 0x300, .p_filesz = bytes,
			      .p_memsz = bytes, .p_align = 1 };
	eh->e_phnum = 4;
}

/* What is wrong: the kinds that runs refuse by their headers. */
static int spoil_header(const char *kind)
{
	if (!strcmp(kind, "arch-arm"))
		eh->e_machine = EM_AARCH64;
	else if (!strcmp(kind, "i386"))
		eh->e_ident[EI_CLASS] = ELFCLASS32, eh->e_machine = EM_386;
	else if (!strcmp(kind, "x32"))
		eh->e_ident[EI_CLASS] = ELFCLASS32;
	else if (!strcmp(kind, "big-endian"))
		eh->e_ident[EI_DATA] = ELFDATA2MSB, eh->e_machine = __builtin_bswap16(EM_PPC64);
	else if (!strcmp(kind, "object"))
		eh->e_type = ET_REL;
	else if (!strcmp(kind, "phentsize"))
		eh->e_phentsize = 32;
	else if (!strcmp(kind, "phnum-none"))
		eh->e_phnum = 0;
	else if (!strcmp(kind, "phnum-many"))
		eh->e_phnum = 1000;
	else if (!strcmp(kind, "phoff-far"))
		eh->e_phoff = 1ull << 62;
	else if (!strcmp(kind, "cut-header"))
		file_bytes = 40;
	else if (!strcmp(kind, "cut-phdrs"))
		file_bytes = 100;
	else
		return 0;
	return 1;
}

static int spoil_segment(const char *kind)
{
	if (!strcmp(kind, "cut-segment"))
		file_bytes = 0x1800;
	else if (!strcmp(kind, "cut-tail")) /* allowed: the page is there */
		file_bytes = DATA_OFF + 0x80;
	else if (!strcmp(kind, "overlap"))
		ph[2].p_vaddr = BASE + CODE_OFF;
	else if (!strcmp(kind, "shared-page")) /* allowed: the bytes are apart */
		ph[2] = (Elf64_Phdr){ .p_type = PT_LOAD, .p_flags = PF_R | PF_W | PF_X, .p_offset = CODE_OFF + 0x800,
				      .p_vaddr = BASE + CODE_OFF + 0x800, .p_filesz = 0x80, .p_memsz = 0x80, .p_align = 0x1000 };
	else if (!strcmp(kind, "bad-align"))
		ph[2].p_offset += 0x10;
	else if (!strcmp(kind, "no-load"))
		ph[0].p_type = ph[1].p_type = ph[2].p_type = PT_NOTE;
	else if (!strcmp(kind, "file-larger"))
		ph[2].p_memsz = 0x10;
	else if (!strcmp(kind, "too-high"))
		ph[2].p_vaddr = 0x7ff000000000;
	else if (!strcmp(kind, "too-low"))
		ph[2].p_vaddr = 0x0;
	else if (!strcmp(kind, "read-only-bss")) /* allowed: the tail stays as the file has it */
		ph[2].p_flags = PF_R;
	else if (!strcmp(kind, "only-bss")) /* allowed: nothing of the file */
		ph[2].p_filesz = 0, ph[2].p_offset = 0x2123;
	else if (!strcmp(kind, "odd-p_align")) /* allowed: not a power of two, passed over */
		ph[2].p_align = 0x1800;
	else
		return 0;
	return 1;
}

int main(int argc, char **argv)
{
	const char *kind = argc > 2 ? argv[1] : "", *interp = argc > 3 ? argv[3] : "";
	int simple = !strcmp(kind, "shared-page");
	right(simple ? plain : check_bss, simple ? plain_end : check_bss_end);
	if (!strcmp(kind, "interp"))
		with_interp(interp, strlen(interp) + 1);
	else if (!strcmp(kind, "interp-no-nul"))
		with_interp("/lib/ld", 4);
	else if (strcmp(kind, "right") && !spoil_header(kind) && !spoil_segment(kind)) {
		fprintf(stderr, "mkelf: no such kind: %s\n", kind);
		return 2;
	}
	FILE *f = fopen(argv[2], "wb");
	if (!f || fwrite(image, 1, file_bytes, f) != file_bytes || fclose(f)) {
		perror(argv[2]);
		return 1;
	}
	return 0;
}
