/* SPDX-License-Identifier: MIT */
/* elf.c - from an ELF file to areas
 *
 * Reads headers only: each page of the program comes in on its first touch (row 2).  One exception, as on Linux: when a
 * writable segment's file part ends inside a page, the rest of that page is cleared at once, which touches it.
 *
 *     p_offset           +p_filesz                    file      |####|##abc
 *        |####|####|##~~~~~  what follows             memory    |####|##000|0000|0000|
 *                                                                p_vaddr  ^filesz    ^memsz
 *                                                                file area |anonymous area
 *
 * Checks follow Linux's load_elf_binary, and go further where Linux would only kill the program later with a bare signal: a
 * segment whose pages lie wholly beyond the end of the file, and segments whose bytes overlap, are refused by name. */
#include "um/exec.h"

#include <asm/stat.h>
#include <linux/fcntl.h>
#include <linux/limits.h>
#include <linux/mman.h>

#define S_FMT 0170000u
#define S_REG 0100000u
#define S_DIR 0040000u

size_t str_len(const char *s)
{
	size_t n = 0;
	while (s[n])
		n++;
	return n;
}

const char *path_tail(const char *path)
{
	size_t len = str_len(path), most = 200;
	return len > most ? path + len - most : path;
}

const char *errno_words(int err)
{
	switch (err < 0 ? -err : err) {
	case EPERM: return "operation not permitted";
	case ENOENT: return "no such file or directory";
	case EIO: return "input/output error";
	case ENOMEM: return "out of memory";
	case EACCES: return "permission denied";
	case EEXIST: return "addresses are taken";
	case ENOTDIR: return "a component of the path is not a directory";
	case EISDIR: return "is a directory";
	case EINVAL: return "invalid argument";
	case ENFILE: return "too many open files in the system";
	case EMFILE: return "too many open files";
	case ETXTBSY: return "text file busy";
	case ENAMETOOLONG: return "file name too long";
	case ELOOP: return "too many levels of symbolic links";
	case ENODEV: return "no such device";
	case EFAULT: return "bad address";
	}
	return "unexpected error";
}

/* ---------------------------------------------------------------- opening */

/* Linux's order: what it is, then whether it may be executed. */
static int check_executable(const char *path, struct exec_error *e)
{
	struct stat st;
	int dir = um_program_dir(&path);
	int64_t err = host_call4(__NR_newfstatat, dir, HC_A(path), HC_A(&st), 0);
	if (err < 0)
		return REFUSE(e, (int)-err, "%s", errno_words((int)err));
	if ((st.st_mode & S_FMT) == S_DIR)
		return REFUSE(e, EACCES, "is a directory");
	if ((st.st_mode & S_FMT) != S_REG)
		return REFUSE(e, EACCES, "is not a regular file");
	err = host_call4(__NR_faccessat2, dir, HC_A(path), 1 /* X_OK */, AT_EACCESS);
	if (err == -ENOSYS)
		err = host_call3(__NR_faccessat, dir, HC_A(path), 1);
	if (err == -EACCES)
		return REFUSE(e, EACCES, "permission denied (not executable, or on a file system mounted noexec)");
	return err < 0 ? REFUSE(e, (int)-err, "%s", errno_words((int)err)) : 0;
}

/* The host gives no read lease on a file that somebody may write to (nor one on another's file, and then we cannot tell). */
static bool open_for_write(int fd)
{
	int64_t r = host_call3(__NR_fcntl, fd, F_SETLEASE, F_RDLCK);
	if (!r)
		host_call3(__NR_fcntl, fd, F_SETLEASE, F_UNLCK);
	return r == -EAGAIN;
}

int exec_open(const char *path, struct sf_file **ret, struct exec_error *e)
{
	int err = check_executable(path, e);
	if (err)
		return err;
	int dir = um_program_dir(&path);
	int64_t fd = host_call4(__NR_openat, dir, HC_A(path), O_RDONLY | O_CLOEXEC, 0);
	if (fd == -EACCES)
		return REFUSE(e, EACCES, "permission denied (softfault must be able to read a program to run it)");
	if (fd < 0)
		return REFUSE(e, (int)-fd, "%s", errno_words((int)fd));
	struct sf_file *f = open_for_write((int)fd) ? (err = -ETXTBSY, NULL) : um_file_from_fd((int)fd, &err);
	host_call1(__NR_close, fd);
	if (!f)
		return REFUSE(e, -err, "%s", errno_words(err));
	*ret = f;
	return 0;
}

int64_t exec_read(struct sf_file *f, void *buf, size_t len, uint64_t off)
{
	if ((int64_t)off < 0)
		return -EINVAL;
	return f->ops->read(f, buf, len, off);
}

/* ---------------------------------------------------------------- checking the headers */

static const char *machine_name(unsigned m)
{
	static const struct { uint16_t m; const char *name; } names[] = {
		{ EM_386, "Intel 80386" }, { EM_X86_64, "x86-64" }, { EM_ARM, "ARM" }, { EM_AARCH64, "AArch64" },
		{ EM_RISCV, "RISC-V" }, { EM_PPC, "PowerPC" }, { EM_PPC64, "PowerPC64" }, { EM_S390, "S/390" }, { EM_MIPS, "MIPS" },
		{ EM_SPARC, "SPARC" }, { EM_SPARCV9, "SPARC V9" }, { EM_68K, "m68k" }, { EM_LOONGARCH, "LoongArch" },
		{ EM_ALPHA, "Alpha" }, { EM_PARISC, "PA-RISC" }, { EM_IA_64, "IA-64" }, { EM_BPF, "BPF" },
	};
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (names[i].m == m)
			return names[i].name;
	return "unknown machine";
}

/* Which machine the file is for; the fields are byte-swapped when it is big-endian. */
static int check_machine(const Elf64_Ehdr *eh, struct exec_error *e)
{
	bool big = eh->e_ident[EI_DATA] == ELFDATA2MSB, narrow = eh->e_ident[EI_CLASS] == ELFCLASS32;
	unsigned m = big ? __builtin_bswap16(eh->e_machine) : eh->e_machine;
	if (m != EM_X86_64)
		return REFUSE(e, ENOEXEC, "wrong architecture: a %s%s ELF for %s (machine %u), this is x86-64", narrow ? "32-bit" : "64-bit",
			      big ? " big-endian" : "", machine_name(m), m);
	if (narrow || eh->e_ident[EI_CLASS] != ELFCLASS64)
		return REFUSE(e, ENOEXEC, "wrong architecture: a 32-bit (x32) ELF; softfault runs 64-bit programs");
	if (big)
		return REFUSE(e, ENOEXEC, "bad ELF header: big-endian x86-64");
	return 0;
}

static int check_type(const Elf64_Ehdr *eh, struct exec_error *e)
{
	switch (eh->e_type) {
	case ET_EXEC:
	case ET_DYN:
		return 0;
	case ET_REL:
		return REFUSE(e, ENOEXEC, "an object file that has not been linked (ET_REL)");
	case ET_CORE:
		return REFUSE(e, ENOEXEC, "a core dump, not a program");
	}
	return REFUSE(e, ENOEXEC, "bad ELF header: type %u is no program", eh->e_type);
}

static int read_ehdr(struct elf_image *img, struct exec_error *e)
{
	Elf64_Ehdr *eh = &img->eh;
	int64_t n = exec_read(img->file, eh, sizeof(*eh), 0);
	if (n < 0)
		return REFUSE(e, (int)-n, "cannot be read: %s", errno_words((int)n));
	if (n < SELFMAG || memcmp(eh->e_ident, ELFMAG, SELFMAG))
		return REFUSE(e, ENOEXEC, "not an ELF file");
	if (n < EI_NIDENT + 4)
		return REFUSE(e, ENOEXEC, "truncated ELF: the file ends inside its first header (%ld bytes)", n);
	int err = check_machine(eh, e);
	if (err)
		return err;
	if (n < (int64_t)sizeof(*eh))
		return REFUSE(e, ENOEXEC, "truncated ELF: the file ends inside its first header (%ld bytes)", n);
	return check_type(eh, e);
}

static int read_phdrs(struct elf_image *img, struct exec_error *e)
{
	const Elf64_Ehdr *eh = &img->eh;
	size_t bytes = (size_t)eh->e_phnum * sizeof(Elf64_Phdr);
	if (eh->e_phentsize != sizeof(Elf64_Phdr))
		return REFUSE(e, ENOEXEC, "bad ELF header: program header size %u", eh->e_phentsize);
	if (!eh->e_phnum || eh->e_phnum > ELF_MAX_PHDRS)
		return REFUSE(e, ENOEXEC, "bad ELF header: %u program headers", eh->e_phnum);
	img->ph = kmalloc(um.mc, bytes);
	if (!img->ph)
		return REFUSE(e, ENOMEM, "%s", errno_words(ENOMEM));
	int64_t n = exec_read(img->file, img->ph, bytes, eh->e_phoff);
	if (n < 0 && n != -EINVAL)
		return REFUSE(e, (int)-n, "program headers cannot be read: %s", errno_words((int)n));
	if (n != (int64_t)bytes)
		return REFUSE(e, ENOEXEC, "truncated ELF: program headers at offset %lu are beyond the end of the file",
			      (uint64_t)eh->e_phoff);
	return 0;
}

/* One PT_LOAD by itself.  Addresses of a position-independent file are only bounded by their extent. */
static int check_load(const Elf64_Phdr *p, unsigned i, uint64_t file_end, struct exec_error *e)
{
	if (p->p_filesz > p->p_memsz)
		return REFUSE(e, EINVAL, "bad segment %u: larger in the file (%lu bytes) than in memory (%lu)", i,
			      (uint64_t)p->p_filesz, (uint64_t)p->p_memsz);
	if (p->p_memsz > TASK_SIZE || p->p_vaddr > TASK_SIZE - p->p_memsz)
		return REFUSE(e, ENOMEM, "segment %u lies beyond the address space (0x%lx, %lu bytes)", i,
			      (uint64_t)p->p_vaddr, (uint64_t)p->p_memsz);
	if (!p->p_filesz)
		return 0;
	if ((p->p_vaddr ^ p->p_offset) & ~PAGE_MASK)
		return REFUSE(e, EINVAL, "bad alignment: segment %u at address 0x%lx and file offset 0x%lx differ within a page", i,
			      (uint64_t)p->p_vaddr, (uint64_t)p->p_offset);
	if (p->p_offset + p->p_filesz < p->p_offset || p->p_offset + p->p_filesz > PAGE_ALIGN(file_end))
		return REFUSE(e, ENOEXEC, "truncated ELF: segment %u ends at offset %lu, the file at %lu", i,
			      (uint64_t)(p->p_offset + p->p_filesz), file_end);
	return 0;
}

static int check_overlap(const struct elf_image *img, unsigned i, struct exec_error *e)
{
	const Elf64_Phdr *a = &img->ph[i];
	for (unsigned k = 0; k < i; k++) {
		const Elf64_Phdr *b = &img->ph[k];
		if (b->p_type == PT_LOAD && a->p_vaddr < b->p_vaddr + b->p_memsz && b->p_vaddr < a->p_vaddr + a->p_memsz)
			return REFUSE(e, EINVAL, "overlapping segments: %u (0x%lx, %lu bytes) and %u (0x%lx, %lu bytes)", k,
				      (uint64_t)b->p_vaddr, (uint64_t)b->p_memsz, i, (uint64_t)a->p_vaddr, (uint64_t)a->p_memsz);
	}
	return 0;
}

static bool is_power_of_two(uint64_t x) { return x && !(x & (x - 1)); }

static int check_loads(struct elf_image *img, struct exec_error *e)
{
	int64_t size = img->file->ops->size(img->file);
	if (size < 0)
		return REFUSE(e, (int)-size, "%s", errno_words((int)size));
	img->lo = UINT64_MAX;
	img->hi = 0;
	img->align = PAGE_SIZE;
	for (unsigned i = 0; i < img->eh.e_phnum; i++) {
		const Elf64_Phdr *p = &img->ph[i];
		if (p->p_type != PT_LOAD)
			continue;
		int err = check_load(p, i, (uint64_t)size, e);
		if (!err)
			err = check_overlap(img, i, e);
		if (err)
			return err;
		img->lo = MIN(img->lo, PAGE_ALIGN_DOWN((uint64_t)p->p_vaddr));
		img->hi = MAX(img->hi, PAGE_ALIGN((uint64_t)p->p_vaddr + p->p_memsz));
		if (is_power_of_two(p->p_align)) /* Linux passes over any other value too */
			img->align = MAX(img->align, (uint64_t)p->p_align);
	}
	return img->hi > img->lo ? 0 : REFUSE(e, ENOEXEC, "nothing to load: no segment of type PT_LOAD");
}

static int read_interp(struct elf_image *img, const Elf64_Phdr *p, struct exec_error *e)
{
	if (p->p_filesz < 2 || p->p_filesz > PATH_MAX)
		return REFUSE(e, ENOEXEC, "bad interpreter path (%lu bytes)", (uint64_t)p->p_filesz);
	img->interp = kmalloc(um.mc, p->p_filesz);
	if (!img->interp)
		return REFUSE(e, ENOMEM, "%s", errno_words(ENOMEM));
	int64_t n = exec_read(img->file, img->interp, p->p_filesz, p->p_offset);
	if (n < 0 && n != -EINVAL)
		return REFUSE(e, (int)-n, "interpreter path cannot be read: %s", errno_words((int)n));
	if (n != (int64_t)p->p_filesz)
		return REFUSE(e, ENOEXEC, "truncated ELF: the interpreter's path is beyond the end of the file");
	if (img->interp[n - 1])
		return REFUSE(e, ENOEXEC, "bad interpreter path: no terminating NUL");
	return 0;
}

int elf_read(struct elf_image *img, struct exec_error *e)
{
	int err = read_ehdr(img, e);
	if (!err)
		err = read_phdrs(img, e);
	if (!err)
		err = check_loads(img, e);
	for (unsigned i = 0; !err && i < img->eh.e_phnum; i++) {
		const Elf64_Phdr *p = &img->ph[i];
		if (p->p_type == PT_INTERP && !img->interp)
			err = read_interp(img, p, e);
		else if (p->p_type == PT_GNU_STACK)
			img->exec_stack = p->p_flags & PF_X;
	}
	return err;
}

void elf_free(struct elf_image *img)
{
	if (img->file)
		file_put(img->file);
	if (img->ph)
		kfree(um.mc, img->ph);
	if (img->interp)
		kfree(um.mc, img->interp);
	memset(img, 0, sizeof(*img));
}

/* ---------------------------------------------------------------- mapping */

static unsigned segment_prot(const Elf64_Phdr *p)
{
	return (p->p_flags & PF_R ? PROT_READ : 0u) | (p->p_flags & PF_W ? PROT_WRITE : 0u) | (p->p_flags & PF_X ? PROT_EXEC : 0u);
}

static int map_failed(const char *what, vaddr_t addr, int64_t err, struct exec_error *e)
{
	if (err == -EPERM)
		return REFUSE(e, EPERM, "%s at 0x%lx is below the lowest address a program may use", what, addr);
	return REFUSE(e, (int)-err, "%s at 0x%lx cannot be mapped: %s", what, addr, errno_words((int)err));
}

static int map_file_part(struct elf_image *img, const Elf64_Phdr *p, bool first, struct exec_error *e)
{
	vaddr_t addr = p->p_vaddr + img->bias, start = PAGE_ALIGN_DOWN(addr), end = PAGE_ALIGN(addr + p->p_filesz);
	uint64_t off = p->p_offset - (addr - start);
	/* only the first must find its place free: later ones may share a page with the one before, as on Linux */
	unsigned flags = MAP_PRIVATE | (first ? MAP_FIXED_NOREPLACE : MAP_FIXED);
	int64_t r = do_mmap(um.mm, start, end - start, segment_prot(p), flags, img->file, PT_R, off);
	if (r < 0)
		return map_failed("segment", start, r, e);
	if (p->p_flags & PF_X)
		um_note_map(start, end, off >> PAGE_SHIFT, img->file->path);
	return 0;
}

/* What the segment has in memory beyond the file: zeros.  Linux makes the anonymous part readable and writable whatever p_flags say,
 * and leaves the tail of a read-only segment's last page as the file has it. */
static int map_zero_part(struct elf_image *img, const Elf64_Phdr *p, bool first, struct exec_error *e)
{
	vaddr_t addr = p->p_vaddr + img->bias;
	vaddr_t zero = p->p_filesz ? addr + p->p_filesz : PAGE_ALIGN_DOWN(addr);
	vaddr_t start = PAGE_ALIGN(zero), end = PAGE_ALIGN(addr + p->p_memsz);
	if (zero < start && p->p_flags & PF_W && clear_user(um.mm, &current()->task, zero, start - zero))
		return REFUSE(e, EFAULT, "the last page of the segment at 0x%lx cannot be read", addr);
	if (start >= end)
		return 0;
	unsigned prot = PROT_READ | PROT_WRITE | (p->p_flags & PF_X ? PROT_EXEC : 0u);
	unsigned flags = MAP_PRIVATE | MAP_ANONYMOUS | (first && !p->p_filesz ? MAP_FIXED_NOREPLACE : MAP_FIXED);
	int64_t r = do_mmap(um.mm, start, end - start, prot, flags, NULL, 0, 0);
	return r < 0 ? map_failed("zero-filled segment", start, r, e) : 0;
}

static void note_extent(struct elf_image *img, const Elf64_Phdr *p)
{
	vaddr_t start = p->p_vaddr + img->bias, file_end = start + p->p_filesz;
	uint64_t phoff = img->eh.e_phoff;
	if (p->p_flags & PF_X) {
		img->start_code = MIN(img->start_code, start);
		img->end_code = MAX(img->end_code, file_end);
	}
	img->start_data = MAX(img->start_data, start);
	img->end_data = MAX(img->end_data, file_end);
	img->end_bss = MAX(img->end_bss, start + p->p_memsz);
	if (!img->phdr && p->p_offset <= phoff && phoff < p->p_offset + p->p_filesz)
		img->phdr = start + (phoff - p->p_offset);
}

int elf_map(struct elf_image *img, struct exec_error *e)
{
	bool first = true;
	img->start_code = UINT64_MAX;
	for (unsigned i = 0; i < img->eh.e_phnum; i++) {
		const Elf64_Phdr *p = &img->ph[i];
		if (p->p_type != PT_LOAD)
			continue;
		int err = p->p_filesz ? map_file_part(img, p, first, e) : 0;
		if (!err && p->p_memsz > p->p_filesz)
			err = map_zero_part(img, p, first, e);
		if (err)
			return err;
		note_extent(img, p);
		first = false;
	}
	if (img->start_code == UINT64_MAX)
		img->start_code = img->start_data;
	img->entry = img->eh.e_entry + img->bias;
	return 0;
}
