/* SPDX-License-Identifier: MIT */
/* symbols.c - code addresses to names, by the ELF files that were mapped
 *
 * The user-mode kernel notes every executable mapping it makes for the program.  An address in one of them is a place in a file; the
 * file's program headers make it one of the file's own addresses, and libdwfl knows the symbol and, where debugging information is
 * installed, the source line.  Nothing is fetched from the network.
 *
 * libdw, and the five libraries that it wants, are loaded when the first name is asked for: most runs end without one, and they take as long to
 * load as a small program runs.  Where they are missing there are no names. */
#include "cli/cli.h"

#include <dlfcn.h>
#include <elfutils/libdwfl.h>
#include <fcntl.h>
#include <gelf.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DW_CALLS(X)                                                                                                \
	X(dwfl_begin) X(dwfl_end) X(dwfl_report_offline) X(dwfl_report_end) X(dwfl_module_getelf)                  \
	X(dwfl_module_addrinfo) X(dwfl_module_getsrc) X(dwfl_lineinfo) X(elf_getphdrnum) X(gelf_getphdr)           \
	X(dwfl_build_id_find_elf) X(dwfl_standard_find_debuginfo) X(dwfl_offline_section_address)
#define DW_FIELD(name) __typeof__(name) *name;
static struct { DW_CALLS(DW_FIELD) } dw;

bool symbols_available(void)
{
	static void *lib;
	static bool tried, complete;

	if (tried)
		return complete;
	tried = true;
	lib = dlopen("libdw.so.1", RTLD_NOW);
	complete = lib != NULL;
#define DW_FIND(name) complete = complete && (*(void **)&dw.name = dlsym(lib, #name)); /* libelf's are found through libdw */
	DW_CALLS(DW_FIND)
	return complete;
}

/* One file opened for its symbols. */
struct image {
	Dwfl *dwfl;
	Dwfl_Module *mod;
	Elf *elf;
	GElf_Addr bias;       /* libdwfl's addresses minus the file's */
};

static bool image_open(struct image *im, const char *path)
{
	static char *debuginfo_path; /* NULL: where distributions put separate debugging information */
	static Dwfl_Callbacks callbacks;

	if (!symbols_available())
		return false;
	callbacks = (Dwfl_Callbacks){
		.find_elf = dw.dwfl_build_id_find_elf,
		.find_debuginfo = dw.dwfl_standard_find_debuginfo,
		.section_address = dw.dwfl_offline_section_address,
		.debuginfo_path = &debuginfo_path,
	};
	*im = (struct image){ .dwfl = dw.dwfl_begin(&callbacks) };
	if (!im->dwfl)
		return false;
	im->mod = dw.dwfl_report_offline(im->dwfl, path, path, -1);
	dw.dwfl_report_end(im->dwfl, NULL, NULL);
	im->elf = im->mod ? dw.dwfl_module_getelf(im->mod, &im->bias) : NULL;
	if (im->elf)
		return true;
	dw.dwfl_end(im->dwfl);
	return false;
}

/* The file's own address of file offset off, by its PT_LOAD headers. */
static bool address_of(Elf *elf, uint64_t off, GElf_Addr *ret)
{
	size_t n;
	GElf_Phdr ph;

	if (dw.elf_getphdrnum(elf, &n))
		return false;
	for (size_t i = 0; i < n; i++)
		if (dw.gelf_getphdr(elf, (int)i, &ph) && ph.p_type == PT_LOAD && off >= ph.p_offset && off - ph.p_offset < ph.p_filesz) {
			*ret = ph.p_vaddr + (off - ph.p_offset);
			return true;
		}
	return false;
}

static void name_place(struct image *im, GElf_Addr file_addr, struct code_place *p)
{
	const GElf_Addr addr = file_addr + im->bias;
	GElf_Off offset;
	GElf_Sym sym;
	const char *name = dw.dwfl_module_addrinfo(im->mod, addr, &offset, &sym, NULL, NULL, NULL);
	Dwfl_Line *line = dw.dwfl_module_getsrc(im->mod, addr);
	int number;

	if (name) {
		snprintf(p->symbol, sizeof p->symbol, "%s", name);
		p->offset = offset;
	}
	if (line) {
		const char *file = dw.dwfl_lineinfo(line, NULL, &number, NULL, NULL, NULL);
		const char *slash = file ? strrchr(file, '/') : NULL;

		if (file)
			snprintf(p->source, sizeof p->source, "%s:%d", slash ? slash + 1 : file, number);
	}
}

static void resolve_in_map(const struct um_map_rec *m, struct code_place *p)
{
	const uint64_t off = m->pgoff * PAGE_SIZE + (p->ip - m->start);
	struct image im;
	GElf_Addr addr;

	snprintf(p->file, sizeof p->file, "%.*s", (int)sizeof m->path, m->path);
	p->offset = off;
	if (p->file[0] != '/' || access(p->file, R_OK) || !image_open(&im, p->file))
		return;
	if (address_of(im.elf, off, &addr))
		name_place(&im, addr, p);
	dw.dwfl_end(im.dwfl);
}

/* An address in our own text: the kernel is linked where it runs. */
static void resolve_in_kernel(const char *kernel, struct code_place *p)
{
	struct image im;

	snprintf(p->file, sizeof p->file, "softfault-um");
	p->offset = p->ip;
	if (!image_open(&im, kernel))
		return;
	name_place(&im, p->ip, p);
	dw.dwfl_end(im.dwfl);
}

/* Mappings made later lie later in the table and hide older ones at the same place. */
static const struct um_map_rec *map_of(const struct um_shared *shm, uint64_t ip)
{
	for (uint32_t i = MIN(shm->nr_maps, UM_MAPS); i-- > 0;)
		if (ip >= shm->maps[i].start && ip < shm->maps[i].end)
			return &shm->maps[i];
	return NULL;
}

void symbols_resolve(const struct um_shared *shm, const char *kernel, struct code_place *places, unsigned n)
{
	unsetenv("DEBUGINFOD_URLS");
	for (unsigned i = 0; i < n; i++) {
		const struct um_map_rec *m = map_of(shm, places[i].ip);

		if (m)
			resolve_in_map(m, &places[i]);
		else if (places[i].ip >= 0x700000000000ull)
			resolve_in_kernel(kernel, &places[i]);
	}
}
