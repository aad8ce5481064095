/* SPDX-License-Identifier: MIT */
/* exec.h - between exec.c (which file runs), elf.c (where it lies) and stack.c (what it is told)
 *
 * Everything that can refuse a program returns -errno and says why in words, so that the same checks serve the first program (whose
 * refusal ends softfault) and, later, execve (whose refusal is a result). */
#ifndef SF_UM_EXEC_H
#define SF_UM_EXEC_H

#include "um/um.h"

#include <linux/elf.h>

struct exec_error { char why[384]; };

/* -err, with the reason recorded. */
#define REFUSE(e, err, ...) (um_snprintf((e)->why, sizeof((e)->why), __VA_ARGS__), -(err))

/* Paths in messages are cut from the left so that the reason is never lost. */
const char *path_tail(const char *path);
const char *errno_words(int err);
size_t str_len(const char *s);

/* ---------------------------------------------------------------- elf.c */

#define ELF_MAX_PHDRS (PAGE_SIZE / sizeof(Elf64_Phdr))

struct elf_image {
	struct sf_file *file;
	Elf64_Ehdr eh;
	Elf64_Phdr *ph;     /* eh.e_phnum of them; kmalloc */
	char *interp;       /* PT_INTERP's path, or NULL; kmalloc */
	bool exec_stack;    /* PT_GNU_STACK with PF_X */
	vaddr_t lo, hi;     /* what the PT_LOADs span, page-rounded, before the bias */
	uint64_t align;     /* the largest valid p_align, at least a page */
	uint64_t bias;      /* run-time minus link-time address */
	/* run-time addresses, known after elf_map */
	vaddr_t start_code, end_code, start_data, end_data, end_bss, phdr, entry;
};

/* Open a file for execution: regular, executable, readable.  *ret holds a reference.  -errno. */
int exec_open(const char *path, struct sf_file **ret, struct exec_error *e);
/* Bytes read at off, fewer at end of file, or -errno. */
int64_t exec_read(struct sf_file *f, void *buf, size_t len, uint64_t off);
/* Read and check the headers of img->file. -ENOEXEC and others; img needs elf_free in any case. */
int elf_read(struct elf_image *img, struct exec_error *e);
void elf_free(struct elf_image *img);
/* Make its areas with img->bias already chosen. */
int elf_map(struct elf_image *img, struct exec_error *e);

/* ---------------------------------------------------------------- stack.c */

struct exec_random { uint64_t mmap, stack, exec, brk; uint8_t at_random[16]; bool on; };

struct exec_stack {
	vaddr_t top;        /* one past the area's last byte */
	char *const *argv;
	char *const *envp;
	const char *execfn;
	uint64_t argc, envc, arg_bytes, env_bytes, fn_bytes; /* bytes include the NULs */
};

/* Count and measure; -E2BIG beyond the limits. */
int stack_measure(struct exec_stack *s, uint64_t rlim_stack, struct exec_error *e);
/* Make the stack's area. */
int stack_map(const struct exec_stack *s, bool executable, uint64_t rlim_stack, struct exec_error *e);
/* Strings, vectors and auxiliary vector as Linux lays them out; *ret_sp points at argc.  interp_bias: 0 without an interpreter. */
int stack_fill(const struct exec_stack *s, const struct elf_image *prog, uint64_t interp_bias, const struct exec_random *rnd,
	       vaddr_t *ret_sp, struct exec_error *e);

#endif
