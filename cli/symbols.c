/* SPDX-License-Identifier: MIT */
/* symbols.c - code addresses to names, by the ELF files that were mapped
 *
 * The user-mode kernel notes every executable mapping it makes for the program.  An address in one of them is a place in a file; the
 * file's program headers make it one of the file's own addresses, and libdwfl knows the symbol and, where debugging information is
 * installed, the source line.  Nothing is fetched from the network. */
#include "cli/cli.h"

#include <elfutils/libdwfl.h>
#include <fcntl.h>
#include <gelf.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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
	static const Dwfl_Callbacks callbacks = {
		.find_elf = dwfl_build_id_find_elf,
		.find_debuginfo = dwfl_standard_find_debuginfo,
		.section_address = dwfl_offline_section_address,
		.debuginfo_path = &debuginfo_path,
	};

	*im = (struct image){ .dwfl = dwfl_begin(&callbacks) };
	if (!im->dwfl)
		return false;
	im->mod = dwfl_report_offline(im->dwfl, path, path, -1);
	dwfl_report_end(im->dwfl, NULL, NULL);
	im->elf = im->mod ? dwfl_module_getelf(im->mod, &im->bias) : NULL;
	if (im->elf)
		return true;
	dwfl_end(im->dwfl);
	return false;
}

/* The file's own address of file offset off, by its PT_LOAD headers. */
static bool address_of(Elf *elf, uint64_t off, GElf_Addr *ret)
{
	size_t n;
	GElf_Phdr ph;

	if (elf_getphdrnum(elf, &n))
		return false;
	for (size_t i = 0; i < n; i++)
		if (gelf_getphdr(elf, (int)i, &ph) && ph.p_type == PT_LOAD && off >= ph.p_offset && off - ph.p_offset < ph.p_filesz) {
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
	const char *name = dwfl_module_addrinfo(im->mod, addr, &offset, &sym, NULL, NULL, NULL);
	Dwfl_Line *line = dwfl_module_getsrc(im->mod, addr);
	int number;

	if (name) {
		snprintf(p->symbol, sizeof p->symbol, "%s", name);
		p->offset = offset;
	}
	if (line) {
		const char *file = dwfl_lineinfo(line, NULL, &number, NULL, NULL, NULL);
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
	dwfl_end(im.dwfl);
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
	dwfl_end(im.dwfl);
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
