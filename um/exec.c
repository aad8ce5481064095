/* SPDX-License-Identifier: MIT */
/* exec.c - load a program: scripts, interpreters, where everything lies
 *
 *   0x700000000000  TASK_SIZE
 *        stack      down from a random place in the uppermost 16 GiB
 *        gap        RLIMIT_STACK and room for the random part, 128 MiB to 5/6 of the space
 *        mmap_base  mappings, downwards: the dynamic linker first; static-pie programs too
 *        …
 *        2/3        ELF_ET_DYN_BASE: position-independent programs that have an interpreter (and static-pie's heap)
 *        heap       behind the program
 *        0x400000   position-dependent programs, where they were linked
 *
 * Random parts follow Linux (28 bits of pages for mappings and programs, 22 for the stack) and are zero under the
 * personality ADDR_NO_RANDOMIZE.
 *
 * A file is refused before anything is mapped wherever that can be told from its headers. */
#include "um/exec.h"

#include <linux/fcntl.h>
#include <linux/personality.h>
#include <linux/prctl.h>

#define SCRIPT_LINE    256 /* BINPRM_BUF_SIZE: what Linux looks at */
#define SCRIPT_DEPTH   5   /* scripts whose interpreter is a script …; one more is ELOOP */
#define DYN_BASE       PAGE_ALIGN_DOWN(TASK_SIZE / 3 * 2)
#define MMAP_RND_MASK  0xfffffffull /* pages */
#define STACK_RND_MASK 0x3fffffull  /* pages */
#define BRK_RND        (1ull << 30) /* bytes */
#define GAP_MIN        (128ull << 20)
#define GAP_MAX        (TASK_SIZE / 6 * 5)

struct script { char line[SCRIPT_LINE + 1]; char *interp, *arg; };

struct exec_plan {
	char *const *argv;
	struct elf_image prog, interp;
	struct script *script[SCRIPT_DEPTH]; unsigned depth;
	const char **script_argv[SCRIPT_DEPTH];
	struct exec_random rnd;
	struct exec_stack stack;
	uint64_t rlim_stack;
};

/* ---------------------------------------------------------------- #! lines */

static bool is_blank(char c) { return c == ' ' || c == '\t'; }

static char *skip_blank(char *p, const char *end)
{
	while (p < end && is_blank(*p))
		p++;
	return p;
}

/* "#! interpreter [one argument, blanks and all]".  Linux's load_script: a line that does not end within the buffer may lose the
 * end of its argument but not of its interpreter's path. */
static int parse_script(struct script *s, size_t len, struct exec_error *e)
{
	char *p = s->line + 2, *end = s->line + 2, *stop = s->line + len;
	while (end < stop && *end != '\n' && *end)
		end++;
	bool cut = end == stop && len == SCRIPT_LINE;
	end -= cut; /* Linux's terminator takes the place of the last byte */
	p = skip_blank(p, end);
	char *word_end = p;
	while (word_end < end && !is_blank(*word_end))
		word_end++;
	if (p == end)
		return REFUSE(e, ENOEXEC, "its #! line names no interpreter");
	if (cut && word_end == end)
		return REFUSE(e, ENOEXEC, "its #! line is too long: the interpreter's path does not end within %d bytes", SCRIPT_LINE);
	while (is_blank(end[-1]))
		end--;
	*end = 0;
	s->interp = p;
	s->arg = skip_blank(word_end, end);
	if (s->arg >= end)
		s->arg = NULL;
	*word_end = 0;
	return 0;
}

/* argv of the interpreter: itself, its argument, the script, the script's arguments. */
static const char **script_argv(const struct script *s, const char *path, char *const *argv)
{
	size_t argc = 0, n = 0;
	while (argv[argc])
		argc++;
	const char **v = kmalloc(um.mc, (argc + 4) * sizeof(*v));
	if (!v)
		return NULL;
	v[n++] = s->interp;
	if (s->arg)
		v[n++] = s->arg;
	v[n++] = path;
	for (size_t i = 1; i < argc; i++)
		v[n++] = argv[i];
	v[n] = NULL;
	return v;
}

/* Neither ELF nor #!: what could it be? */
static int refuse_format(const char *head, int64_t len, struct exec_error *e)
{
	if (!len)
		return REFUSE(e, ENOEXEC, "not an ELF file: it is empty");
	for (int64_t i = 0; i < len; i++)
		if (((unsigned char)head[i] < ' ' && (head[i] < '\t' || head[i] > '\r') && head[i] != 27) || head[i] == 127)
			return REFUSE(e, ENOEXEC, "not an ELF file");
	return REFUSE(e, ENOEXEC, "not an ELF file, and a text file without a #! line names no interpreter");
}

/* Follow #! lines from path (found at load) to an ELF file; its headers are not yet looked at. */
static int find_elf(struct exec_plan *pl, const char *path, const char *load, struct exec_error *e)
{
	for (;;) {
		int err = exec_open(pl->depth ? path : load, &pl->prog.file, e);
		if (err)
			return err;
		struct script *s = kmalloc(um.mc, sizeof(*s));
		if (!s)
			return REFUSE(e, ENOMEM, "%s", errno_words(ENOMEM));
		int64_t n = exec_read(pl->prog.file, s->line, SCRIPT_LINE, 0);
		bool is_script = n >= 2 && s->line[0] == '#' && s->line[1] == '!';
		if (is_script && pl->depth < SCRIPT_DEPTH) {
			pl->script[pl->depth] = s;
			err = parse_script(s, (size_t)n, e);
			if (err)
				return err;
			const char **v = pl->script_argv[pl->depth] = script_argv(s, path, pl->argv);
			if (!v)
				return REFUSE(e, ENOMEM, "%s", errno_words(ENOMEM));
			pl->depth++;
			pl->argv = (char *const *)v;
			path = s->interp;
			file_put(pl->prog.file);
			pl->prog.file = NULL;
			continue;
		}
		err = is_script ? REFUSE(e, ELOOP, "scripts name each other as interpreters, more than %d deep", SCRIPT_DEPTH) :
		      n < 0 ? REFUSE(e, (int)-n, "cannot be read: %s", errno_words((int)n)) :
		      n < SELFMAG || memcmp(s->line, ELFMAG, SELFMAG) ? refuse_format(s->line, n, e) : 0;
		kfree(um.mc, s);
		return err;
	}
}

/* ---------------------------------------------------------------- reading */

static int read_interpreter(struct exec_plan *pl, struct exec_error *e)
{
	struct exec_error inner;
	if (!pl->prog.interp)
		return 0;
	int err = exec_open(pl->prog.interp, &pl->interp.file, &inner);
	if (!err)
		err = elf_read(&pl->interp, &inner);
	if (err == -ENOEXEC)
		err = -ELIBBAD;
	if (err)
		return REFUSE(e, -err, "its dynamic linker %s: %s", path_tail(pl->prog.interp), inner.why);
	return 0;
}

/* The reason gets the name of the file that it is about, when that is not the one the user named. */
static int blame_script(const struct exec_plan *pl, int err, struct exec_error *e)
{
	if (err && pl->depth) {
		struct exec_error inner = *e;
		return REFUSE(e, -err, "its interpreter %s: %s", path_tail(pl->script[pl->depth - 1]->interp), inner.why);
	}
	return err;
}

static int plan_read(struct exec_plan *pl, const char *path, const char *load, struct exec_error *e)
{
	int err = find_elf(pl, path, load, e);
	if (!err)
		err = elf_read(&pl->prog, e);
	if (!err)
		err = read_interpreter(pl, e);
	if (err)
		return blame_script(pl, err, e);
	pl->stack.argv = pl->argv;
	return stack_measure(&pl->stack, pl->rlim_stack, e);
}

/* ---------------------------------------------------------------- placing */

static void random_fill(struct exec_random *r)
{
	uint8_t *p = (uint8_t *)r;
	size_t want = offsetof(struct exec_random, on), done = 0;
	while (done < want) {
		int64_t n = host_call3(__NR_getrandom, HC_A(p + done), want - done, 0);
		if (n == -EINTR)
			continue;
		if (n <= 0)
			break; /* no such call: the zeros stand */
		done += (size_t)n;
	}
	r->on = !(host_call1(__NR_personality, 0xffffffffu) & ADDR_NO_RANDOMIZE);
	if (!r->on)
		r->mmap = r->stack = r->exec = r->brk = 0;
}

/* Where the stack ends and mappings begin: arch_pick_mmap_layout. */
static void place_stack(struct exec_plan *pl)
{
	struct mm *mm = um.mm;
	uint64_t pad = ((pl->rnd.on ? STACK_RND_MASK << PAGE_SHIFT : 0) + mm->stack_guard);
	uint64_t gap = pl->rlim_stack > TASK_SIZE ? GAP_MAX : pl->rlim_stack + pad;
	gap = MIN(MAX(gap, GAP_MIN), GAP_MAX);
	pl->stack.top = TASK_SIZE - PAGE_SIZE - ((pl->rnd.stack >> 16 & STACK_RND_MASK) << PAGE_SHIFT);
	mm_lock(mm);
	mm->mmap_base = PAGE_ALIGN_DOWN(TASK_SIZE - gap - ((pl->rnd.mmap & MMAP_RND_MASK) << PAGE_SHIFT));
	mm_unlock(mm);
}

/* A bias that puts the image into the highest gap below mmap_base. */
static int place_in_gap(struct elf_image *img, struct exec_error *e)
{
	uint64_t span = img->hi - img->lo + (img->align - PAGE_SIZE);
	mm_lock(um.mm);
	int64_t addr = span < TASK_SIZE ? get_unmapped_area(um.mm, 0, span) : -ENOMEM;
	mm_unlock(um.mm);
	if (addr < 0)
		return REFUSE(e, ENOMEM, "no room for %lu bytes in the address space", span);
	img->bias = ((uint64_t)addr - img->lo + img->align - 1) & ~(img->align - 1);
	return 0;
}

static int place_program(struct exec_plan *pl, struct exec_error *e)
{
	struct elf_image *img = &pl->prog;
	if (img->eh.e_type == ET_EXEC)
		return 0;
	if (!img->interp)
		return place_in_gap(img, e);
	img->bias = (DYN_BASE + ((pl->rnd.exec & MMAP_RND_MASK) << PAGE_SHIFT) - img->lo) & ~(img->align - 1);
	return 0;
}

/* The heap begins behind the program; a static-pie program lies among the mappings, so its heap goes elsewhere. */
static void place_brk(struct exec_plan *pl)
{
	struct elf_image *img = &pl->prog;
	bool moved = img->eh.e_type == ET_DYN && !img->interp;
	vaddr_t brk = moved ? DYN_BASE : PAGE_ALIGN(img->end_bss);
	if (pl->rnd.on)
		brk += (moved ? 0 : PAGE_SIZE) + PAGE_ALIGN_DOWN(pl->rnd.brk % BRK_RND);
	struct mm *mm = um.mm;
	mm_lock(mm);
	mm->start_code = img->start_code;
	mm->end_code = img->end_code;
	mm->start_data = img->start_data;
	mm->end_data = img->end_data;
	mm->start_brk = mm->brk = brk;
	mm_unlock(mm);
}

static int plan_map(struct exec_plan *pl, struct um_start *ret, struct exec_error *e)
{
	random_fill(&pl->rnd);
	place_stack(pl);
	int err = stack_map(&pl->stack, pl->prog.exec_stack, pl->rlim_stack, e);
	if (!err)
		err = place_program(pl, e);
	if (!err)
		err = elf_map(&pl->prog, e);
	if (err)
		return err;
	place_brk(pl);
	ret->entry = pl->prog.entry;
	if (pl->prog.interp) {
		if (pl->interp.eh.e_type == ET_DYN)
			err = place_in_gap(&pl->interp, e);
		if (!err)
			err = elf_map(&pl->interp, e);
		ret->entry = pl->interp.entry;
	}
	if (!err)
		err = stack_fill(&pl->stack, &pl->prog, pl->interp.bias, &pl->rnd, &ret->sp, e);
	return err;
}

/* ---------------------------------------------------------------- what the process is called */

static void name_process(struct exec_plan *pl, const char *path)
{
	const char *base = path;
	for (const char *p = path; *p; p++)
		if (*p == '/')
			base = p + 1;
	um_snprintf(um.comm, sizeof(um.comm), "%s", base);
	host_call2(__NR_prctl, PR_SET_NAME, HC_A(um.comm));
	um_account_name();
	um_snprintf(um.exe, sizeof(um.exe), "%s", pl->prog.file->path);
	file_get(pl->prog.file); /* for ever: /proc/self/exe */
	um.exe_fd = pl->prog.file->fd;
	um.prog = pl->prog.file;
	um_account_program();
}

static void plan_free(struct exec_plan *pl)
{
	elf_free(&pl->prog);
	elf_free(&pl->interp);
	for (unsigned i = 0; i < SCRIPT_DEPTH; i++) {
		if (pl->script[i])
			kfree(um.mc, pl->script[i]);
		if (pl->script_argv[i])
			kfree(um.mc, pl->script_argv[i]);
	}
}

static void plan_begin(struct exec_plan *pl, const char *path, char *const *argv, char *const *envp)
{
	static char *const no_name[] = { (char *)"", NULL }; /* Linux gives a program without argv[0] an empty one */
	memset(pl, 0, sizeof(*pl));
	pl->argv = argv[0] ? argv : no_name;
	pl->stack.envp = envp;
	pl->stack.execfn = path;
	pl->rlim_stack = um.mm->limits.stack;
}

int um_exec_check(const char *path, const char *load, char *const *argv, char *const *envp)
{
	struct exec_error e;
	struct exec_plan pl;
	plan_begin(&pl, path, argv, envp);
	int err = plan_read(&pl, path, load, &e);
	plan_free(&pl);
	if (err && um.verbose)
		um_log("execve of %s refused: %s", path_tail(path), e.why);
	return err;
}

void um_load_program(const char *path, const char *load, char *const *argv, char *const *envp, struct um_start *ret)
{
	struct exec_error e;
	struct exec_plan pl;
	plan_begin(&pl, path, argv, envp);
	int err = plan_read(&pl, path, load, &e);
	bool missing = err == -ENOENT && !pl.depth && !pl.prog.file;
	if (!err)
		err = plan_map(&pl, ret, &e);
	if (err)
		um_fail(missing ? 127 : 126, "cannot execute %s: %s", path_tail(path), e.why);
	name_process(&pl, path == load ? path : pl.prog.file->path);
	plan_free(&pl);
}
