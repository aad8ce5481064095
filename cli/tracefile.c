/* SPDX-License-Identifier: MIT */
/* tracefile.c - the trace file: its head, its tail, and `softfault trace`
 *
 *   0      struct sf_trace_head, zero-padded to head_bytes
 *   4096   struct sf_trace_rec, one a fault, record i of seq i + 1
 *   …      struct trace_area_rec, one a counted area (absent when the command was killed)
 *
 * The user-mode kernel writes whole blocks of records while the program runs; what lies in shared memory at the end is written here.
 * A reader takes what is there: a record is believed only if its check word fits, so a file cut anywhere is still good. */
#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEAD_BYTES 4096u
#define REC_BYTES sizeof(struct sf_trace_rec)

static int write_head(int fd, uint64_t start_real_ns, uint64_t bound_pages, const char *command)
{
	char page[HEAD_BYTES] = "";
	struct sf_trace_head head = {
		.magic = { 'S', 'F', 'T', 'R', 'A', 'C', 'E', '2' },
		.head_bytes = HEAD_BYTES,
		.rec_bytes = REC_BYTES,
		.start_real_ns = start_real_ns,
		.bound_pages = bound_pages,
	};

	snprintf(head.command, sizeof head.command, "%s", command);
	memcpy(page, &head, sizeof head);
	return pwrite_all(fd, page, sizeof page, 0);
}

int trace_create(const char *path, const char *command, uint64_t bound_pages)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0666), err;

	if (fd < 0)
		cli_die(EXIT_OURS, "cannot write trace '%s': %s", path, strerror(errno));
	err = write_head(fd, realtime_ns(), bound_pages, command);
	if (!err && lseek(fd, HEAD_BYTES, SEEK_SET) < 0)
		err = -errno;
	if (err)
		cli_die(EXIT_OURS, "cannot write trace '%s': %s", path, strerror(-err));
	return fd;
}

/* ---------------------------------------------------------------- the end of a run */

static bool rec_good(const struct sf_trace_rec *r)
{
	return r->seq && r->check == (SF_TRACE_CHECK ^ (uint32_t)r->seq ^ (uint32_t)r->addr);
}

/* Records of the blocks from trace_written on; one that a killed thread never finished becomes zeros. */
static int flush_records(int fd, const struct um_shared *shm)
{
	const uint64_t ring = UM_TRACE_BLOCKS * UM_TRACE_BLOCK, next = shm->trace_next;
	uint64_t i = shm->trace_written * UM_TRACE_BLOCK;

	if (next > ring && i < next - ring)
		i = next - ring; /* older ones were overwritten */
	while (i < next) {
		struct sf_trace_rec buf[64];
		unsigned n = 0;
		uint64_t first = i;

		for (; n < ARRAY_SIZE(buf) && i < next; n++, i++) {
			buf[n] = shm->trace[i % ring];
			if (buf[n].seq != i + 1 || !rec_good(&buf[n]))
				memset(&buf[n], 0, sizeof buf[n]);
		}
		int err = pwrite_all(fd, buf, n * REC_BYTES, HEAD_BYTES + first * REC_BYTES);
		if (err)
			return err;
	}
	return 0;
}

static int write_areas(int fd, const struct um_shared *shm)
{
	uint64_t off = HEAD_BYTES + shm->trace_next * REC_BYTES;

	for (uint32_t a = 0; a < SF_STAT_AREAS; a++) {
		const struct sf_area_stat *s = &shm->stats.area[a];
		size_t len = strnlen(s->name, sizeof s->name);
		struct trace_area_rec rec = {
			.start = s->start, .end = s->end, .area = a, .kind = TRACE_KIND_AREA, .check = SF_TRACE_CHECK ^ a,
		};
		int err;

		if (!s->end)
			continue;
		memcpy(rec.name, s->name + (len > sizeof rec.name ? len - sizeof rec.name : 0), MIN(len, sizeof rec.name));
		err = pwrite_all(fd, &rec, sizeof rec, off);
		if (err)
			return err;
		off += sizeof rec;
	}
	return 0;
}

int trace_finish(int fd, const struct um_shared *shm)
{
	int err = write_head(fd, shm->start_real_ns, shm->cfg.bound_pages, shm->cfg.command);

	if (!err)
		err = flush_records(fd, shm);
	return err ? err : write_areas(fd, shm);
}

/* ---------------------------------------------------------------- softfault trace */

typedef char area_name[sizeof((struct trace_area_rec *)0)->name + 1];

/* The area records stand at the end, so look backwards from there. */
static void read_area_names(area_name *names, const char *base, size_t n)
{
	struct trace_area_rec rec;

	for (size_t i = n; i-- > 0;) {
		memcpy(&rec, base + i * REC_BYTES, sizeof rec);
		if (rec.seq || rec.kind != TRACE_KIND_AREA)
			return;
		if (rec.area < SF_STAT_AREAS && rec.check == (SF_TRACE_CHECK ^ rec.area))
			snprintf(names[rec.area], sizeof *names, "%.*s", (int)sizeof rec.name, rec.name[0] ? rec.name : "[anon]");
	}
}

static void print_record(const struct sf_trace_rec *r, area_name *names)
{
	static const char *const result[] = { "resolved", "SIGSEGV", "SIGBUS", "fixup", "oom" };
	const uint32_t e = r->error_code;

	printf("%" PRIu64 " %" PRIu64 ".%09" PRIu64 " %" PRIu32 " %" PRIu32 " %#" PRIx64 " %#" PRIx64 " %c%c%c%c %s %s %" PRIu32,
	       r->seq, r->time_ns / 1000000000u, r->time_ns % 1000000000u, r->pid, r->tid, r->ip, r->addr,
	       e & 1 ? 'p' : '-', e & 16 ? 'x' : e & 2 ? 'w' : 'r', e & 4 ? 'u' : 'k', r->flags & 1 ? 'K' : '-',
	       r->kind < NR_FAULT_KINDS ? fault_kind_name[r->kind] : "?", r->result < ARRAY_SIZE(result) ? result[r->result] : "?",
	       r->cost_ns);
	if (r->nr_evicted)
		printf(" evicted %#" PRIx64 "+%u", r->evicted << PAGE_SHIFT, r->nr_evicted);
	else
		fputs(" -", stdout);
	if (r->area < SF_STAT_AREAS && names[r->area][0])
		printf(" %s\n", names[r->area]);
	else
		printf(" #%u\n", r->area);
}

/* pid: only this process's faults; 0: all. */
static int print_trace(const char *path, const char *map, size_t size, uint32_t pid)
{
	struct sf_trace_head head;
	area_name *names = xcalloc(SF_STAT_AREAS, sizeof *names);
	size_t n, torn = 0;

	if (size < sizeof head || memcmp(map, "SFTRACE2", 8))
		cli_die(EXIT_OURS, "'%s' is not a softfault trace", path);
	memcpy(&head, map, sizeof head);
	if (head.rec_bytes != REC_BYTES || head.head_bytes < sizeof head)
		cli_die(EXIT_OURS, "'%s' has records of a kind this version does not know", path);
	printf("# command %.*s\n# started %" PRIu64 ".%09" PRIu64 "\n# bound_pages %" PRIu64 "\n", (int)sizeof head.command, head.command,
	       head.start_real_ns / 1000000000u, head.start_real_ns % 1000000000u, head.bound_pages);
	puts("# seq time pid tid ip addr error kind result cost_ns evicted area");
	if (size < head.head_bytes)
		size = head.head_bytes; /* cut within the head: no records */
	map += head.head_bytes;
	n = (size - head.head_bytes) / REC_BYTES;
	read_area_names(names, map, n);
	for (size_t i = 0; i < n; i++) {
		struct sf_trace_rec r;

		memcpy(&r, map + i * REC_BYTES, sizeof r);
		if (rec_good(&r) && pid && r.pid != pid)
			continue;
		if (rec_good(&r))
			print_record(&r, names);
		else if (r.seq || r.kind != TRACE_KIND_AREA)
			torn++;
	}
	free(names);
	if (torn)
		printf("# %zu records were never completed\n", torn);
	return ferror(stdout) ? EXIT_OURS : 0;
}

static void trace_usage(FILE *out)
{
	fputs("usage: softfault trace [--pid NUMBER] FILE\n\n"
	      "Print the faults in a file written by 'softfault run --trace FILE' as text, one a\n"
	      "line: number, seconds since the start, process, thread, instruction address, fault\n"
	      "address, error code (p: page present; r, w or x; u: user or k: kernel; K: kernel mode),\n"
	      "kind, result, cost in ns, first page evicted and how many, area.\n", out);
}

int cmd_trace(int argc, char **argv)
{
	static const struct option options[] = { { "help", no_argument, NULL, 'h' }, { "pid", required_argument, NULL, 'p' }, { 0 } };
	struct stat st;
	int fd, c, status;
	char *map = NULL, *end;
	unsigned long pid = 0;

	opterr = 0;
	while ((c = getopt_long(argc, argv, "+:h", options, NULL)) >= 0) {
		if (c == 'h')
			return trace_usage(stdout), 0;
		if (c == 'p') {
			pid = strtoul(optarg, &end, 10);
			if (*end || !pid || pid > INT32_MAX)
				cli_die(EXIT_OURS, "'%s' is not the number of a process", optarg);
			continue;
		}
		if (c == ':')
			cli_die(EXIT_OURS, "option '%s' wants a value", argv[optind - 1]);
		cli_die(EXIT_OURS, "unknown option '%s' (see softfault trace --help)", argv[optind - 1]);
	}
	if (optind + 1 != argc)
		return trace_usage(stderr), EXIT_OURS;
	fd = open(argv[optind], O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st))
		cli_die(EXIT_OURS, "cannot read '%s': %s", argv[optind], strerror(errno));
	if (st.st_size)
		map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (map == MAP_FAILED)
		cli_die(EXIT_OURS, "cannot read '%s': %s", argv[optind], strerror(errno));
	status = print_trace(argv[optind], map, (size_t)st.st_size, (uint32_t)pid);
	return fflush(stdout) ? EXIT_OURS : status;
}
