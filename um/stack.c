/* SPDX-License-Identifier: MIT */
/* stack.c - the first stack: what a new program is told
 *
 * From the top down, as Linux lays it out (fs/exec.c, create_elf_tables):
 *
 *     top -> 8 zero bytes
 *            file name (AT_EXECFN), environment strings, argument strings: each group ascending
 *            0…8191 random bytes, down to a multiple of 16
 *            platform name, 16 random bytes (AT_RANDOM)
 *            auxiliary vector, envp, argv, argc   <- sp, a multiple of 16
 *
 * The area reaches 128 KiB below the strings from the start and grows on faults from there. */
#include "um/exec.h"

#include <linux/auxvec.h>
#include <linux/limits.h>
#include <linux/mman.h>

#define STRING_MAX     (32 * PAGE_SIZE)      /* one argument: MAX_ARG_STRLEN */
#define STRINGS_MOST   (6ull << 20)          /* all of them: 3/4 of the default stack, whatever the limit */
#define STRINGS_LEAST  ((uint64_t)ARG_MAX)   /* guaranteed even under a tiny limit */
#define WINDOW         0x20000ul
#define AUX_CELLS      64u

extern uint64_t um_host_auxv[64]; /* our own, pairs up to AT_NULL (start.c) */

static uint64_t host_aux(uint64_t type)
{
	for (unsigned i = 0; i + 1 < 64 && um_host_auxv[i] != AT_NULL; i += 2)
		if (um_host_auxv[i] == type)
			return um_host_auxv[i + 1];
	return 0;
}

/* ---------------------------------------------------------------- measuring */

static int measure(char *const *v, uint64_t *ret_count, uint64_t *ret_bytes, struct exec_error *e)
{
	uint64_t n = 0, bytes = 0;
	for (; v[n]; n++) {
		size_t len = str_len(v[n]) + 1;
		if (len > STRING_MAX)
			return REFUSE(e, E2BIG, "an argument or environment string is longer than %lu bytes", (uint64_t)STRING_MAX);
		bytes += len;
	}
	*ret_count = n;
	*ret_bytes = bytes;
	return 0;
}

int stack_measure(struct exec_stack *s, uint64_t rlim_stack, struct exec_error *e)
{
	int err = measure(s->argv, &s->argc, &s->arg_bytes, e);
	if (!err)
		err = measure(s->envp, &s->envc, &s->env_bytes, e);
	if (err)
		return err;
	s->fn_bytes = str_len(s->execfn) + 1;
	uint64_t limit = MAX(MIN(STRINGS_MOST, rlim_stack / 4), STRINGS_LEAST);
	uint64_t need = (s->argc + s->envc) * 8 + s->arg_bytes + s->env_bytes + s->fn_bytes;
	if (need > limit)
		return REFUSE(e, E2BIG, "argument list too long (%lu bytes, limit %lu)", need, limit);
	return 0;
}

static vaddr_t strings_start(const struct exec_stack *s)
{
	return s->top - 8 - s->fn_bytes - s->env_bytes - s->arg_bytes;
}

int stack_map(const struct exec_stack *s, bool executable, uint64_t rlim_stack, struct exec_error *e)
{
	struct mm *mm = um.mm;
	vaddr_t low = PAGE_ALIGN_DOWN(strings_start(s));
	uint64_t most = PAGE_ALIGN_DOWN(rlim_stack), len = s->top - low;
	len = len + WINDOW > most ? MAX(len, most) : len + WINDOW;
	unsigned prot = PROT_READ | PROT_WRITE | (executable ? PROT_EXEC : 0u);
	int64_t r = do_mmap(mm, s->top - len, len, prot,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN | MAP_FIXED_NOREPLACE, NULL, 0, 0);
	if (r < 0)
		return REFUSE(e, (int)-r, "stack cannot be mapped: %s", errno_words((int)r));
	mm_lock(mm);
	struct vm_area *v = vma_lookup(mm, NULL, s->top - 1);
	SF_ASSERT(v);
	v->flags |= VM_STACK;
	mm_unlock(mm);
	return 0;
}

/* ---------------------------------------------------------------- auxiliary vector */

struct aux { uint64_t *v; unsigned n; };

static void aux_put(struct aux *a, uint64_t type, uint64_t value)
{
	SF_ASSERT(a->n + 2 <= AUX_CELLS);
	a->v[a->n++] = type;
	a->v[a->n++] = value;
}

static void aux_copy(struct aux *a, uint64_t type) { aux_put(a, type, host_aux(type)); }

/* Linux's order.  AT_RSEQ_* stay out: restartable sequences are refused. */
static void aux_fill(struct aux *a, const struct elf_image *prog, uint64_t interp_bias, vaddr_t random, vaddr_t execfn, vaddr_t platform)
{
	if (um.vdso)
		aux_put(a, AT_SYSINFO_EHDR, um.vdso);
	if (host_aux(AT_MINSIGSTKSZ))
		aux_copy(a, AT_MINSIGSTKSZ);
	aux_copy(a, AT_HWCAP);
	aux_put(a, AT_PAGESZ, PAGE_SIZE);
	aux_copy(a, AT_CLKTCK);
	aux_put(a, AT_PHDR, prog->phdr);
	aux_put(a, AT_PHENT, sizeof(Elf64_Phdr));
	aux_put(a, AT_PHNUM, prog->eh.e_phnum);
	aux_put(a, AT_BASE, interp_bias);
	aux_put(a, AT_FLAGS, 0);
	aux_put(a, AT_ENTRY, prog->entry);
	aux_copy(a, AT_UID);
	aux_copy(a, AT_EUID);
	aux_copy(a, AT_GID);
	aux_copy(a, AT_EGID);
	aux_copy(a, AT_SECURE);
	aux_put(a, AT_RANDOM, random);
	aux_copy(a, AT_HWCAP2);
	aux_put(a, AT_EXECFN, execfn);
	if (platform)
		aux_put(a, AT_PLATFORM, platform);
	aux_put(a, AT_NULL, 0);
}

/* ---------------------------------------------------------------- filling */

static bool put_bytes(vaddr_t dst, const void *src, uint64_t n)
{
	return !copy_to_user(um.mm, &current()->task, dst, src, n);
}

static bool put_strings(vaddr_t at, char *const *v)
{
	for (; *v; v++) {
		size_t len = str_len(*v) + 1;
		if (!put_bytes(at, *v, len))
			return false;
		at += len;
	}
	return true;
}

/* Addresses of the strings at `at`, then NULL. */
static uint64_t *point_at(uint64_t *w, vaddr_t at, char *const *v)
{
	for (; *v; v++) {
		*w++ = at;
		at += str_len(*v) + 1;
	}
	*w++ = 0;
	return w;
}

static bool put_vectors(const struct exec_stack *s, vaddr_t sp, vaddr_t args, vaddr_t envs)
{
	uint64_t cells = 1 + s->argc + 1 + s->envc + 1 + um.auxv_len;
	uint64_t *words = kmalloc(um.mc, cells * 8), *w = words;
	if (!words)
		return false;
	*w++ = s->argc;
	w = point_at(w, args, s->argv);
	w = point_at(w, envs, s->envp);
	memcpy(w, um.auxv, um.auxv_len * 8ul);
	bool ok = put_bytes(sp, words, cells * 8);
	kfree(um.mc, words);
	return ok;
}

static void note_stack(vaddr_t sp, vaddr_t args, vaddr_t envs, vaddr_t env_end)
{
	struct mm *mm = um.mm;
	mm_lock(mm);
	mm->start_stack = sp;
	mm->arg_start = args;
	mm->arg_end = mm->env_start = envs;
	mm->env_end = env_end;
	mm_unlock(mm);
}

int stack_fill(const struct exec_stack *s, const struct elf_image *prog, uint64_t interp_bias, const struct exec_random *rnd,
	       vaddr_t *ret_sp, struct exec_error *e)
{
	vaddr_t args = strings_start(s), envs = args + s->arg_bytes, fn = envs + s->env_bytes;
	const char *platform = (const char *)(uintptr_t)host_aux(AT_PLATFORM);
	vaddr_t p = (args - (rnd->on ? rnd->stack % 8192 : 0)) & ~15ull, u_platform = 0;
	bool ok = put_strings(args, s->argv) && put_strings(envs, s->envp) && put_bytes(fn, s->execfn, s->fn_bytes);
	if (platform) {
		p -= str_len(platform) + 1;
		u_platform = p;
		ok = ok && put_bytes(p, platform, str_len(platform) + 1);
	}
	p -= sizeof(rnd->at_random);
	ok = ok && put_bytes(p, rnd->at_random, sizeof(rnd->at_random));

	struct aux a = { um.auxv, 0 };
	aux_fill(&a, prog, interp_bias, p, fn, u_platform);
	um.auxv_len = a.n;
	vaddr_t sp = (p - (1 + s->argc + 1 + s->envc + 1 + a.n) * 8) & ~15ull;
	if (!ok || !put_vectors(s, sp, args, envs))
		return REFUSE(e, ENOMEM, "no memory for the program's stack");
	note_stack(sp, args, envs, fn);
	*ret_sp = sp;
	return 0;
}
