/* SPDX-License-Identifier: MIT */
/* cli.h - what the files of the softfault command share
 *
 * The command is an ordinary libc program and the parent of the user-mode kernel: it reads options, prepares descriptors and
 * shared memory, waits, and tells what happened.  One file a subcommand; errors are one line on stderr. */
#ifndef SF_CLI_H
#define SF_CLI_H

#include "um/shm.h"

#include <stdio.h>
#include <sys/resource.h>

/* Exit statuses of our own failures, as env(1), timeout(1) and their like have them. */
#define EXIT_OURS     125 /* softfault itself failed */
#define EXIT_NOEXEC   126 /* the program was found but cannot be executed */
#define EXIT_NOTFOUND 127

/* ---------------------------------------------------------------- util.c */

extern const char *cli_subcommand; /* "run", "doctor", …; NULL: none yet.  Names the culprit in messages. */
__attribute__((format(printf, 1, 2))) void cli_error(const char *fmt, ...);
__attribute__((format(printf, 2, 3), noreturn)) void cli_die(int status, const char *fmt, ...);
void *xcalloc(size_t n, size_t size);
uint64_t monotonic_ns(void);
uint64_t realtime_ns(void);
uint64_t physical_memory(void);

/* "64M", "1GiB", "1.5G", "100kB", "50%" (of whole), "4096".  -EINVAL: not a size; -ERANGE: does not fit 64 bits. */
int parse_size(const char *text, uint64_t whole, uint64_t *ret);
/* "31.9 MiB"; "12,345"; "1.24 us".  Each returns buf. */
struct text { char s[32]; };
const char *size_text(struct text *t, uint64_t bytes);
const char *count_text(struct text *t, uint64_t n);
const char *time_text(struct text *t, uint64_t ns);
/* The directory that holds this executable, without a trailing slash.  0 or -errno. */
int own_directory(char *buf, size_t n);
/* Path of softfault-um: beside this executable, or in the installed place.  -ENOENT. */
int find_kernel(char *buf, size_t n);
/* Write all of it; 0 or -errno. */
int write_all(int fd, const void *buf, size_t len);
int pwrite_all(int fd, const void *buf, size_t len, uint64_t off);
const char *signal_name(int signo); /* "SIGSEGV"; "signal 40" has static storage */

/* ---------------------------------------------------------------- swap.c */

struct swap_plan {
	bool none;            /* --swap none */
	bool zram;            /* compressed memory above the file */
	uint64_t zram_bytes;  /* 0: by the bound */
	const char *path;     /* NULL: an unlinked file in $TMPDIR or /var/tmp */
	uint64_t size;        /* most bytes in the file; 0: what its file system has free */
};
struct swap_file {
	int fd;               /* -1: none; close-on-exec */
	uint64_t bytes;       /* most that may be written to it */
	const char *created;  /* path to remove at the end, or NULL */
	const char *emptied;  /* path of an earlier swap file to empty at the end, or NULL */
};
/* "zram", "zram:16M,/var/tmp/swap", "/var/tmp", "none".  text is cut up and kept; an earlier plan is
 * forgotten but for its size.  Dies on nonsense. */
void swap_parse(char *text, struct swap_plan *ret);
/* Open what the plan says; dies with the reason when it cannot be had. */
void swap_open(const struct swap_plan *plan, struct swap_file *ret);
void swap_close(struct swap_file *f);
/* Directory for an unnamed swap file. */
const char *swap_directory(void);

/* ---------------------------------------------------------------- inject.c */

/* "swap-read:flip:every=50,host-call:fail:k=7" (NULL: nothing).  Dies on nonsense. */
void inject_parse(const char *text, struct um_inject *ret);

/* ---------------------------------------------------------------- child.c */

struct child_end {
	int status;           /* as of wait(2) */
	uint64_t end_ns;      /* CLOCK_MONOTONIC */
	struct rusage usage;
};
/* Start kernel (the executable) with argv and the caller's environment, and stay with it until it ends: pass signals on, stop when
 * it stops.  shm gets the descriptors' new numbers and, if it cannot be executed, the failure.  0 or -errno (no process). */
int child_run(const char *kernel, char **argv, struct um_shared *shm, struct child_end *ret);

/* ---------------------------------------------------------------- report.c, summary.c, json.c */

#define REPORT_TOP 5

struct code_place {
	uint64_t ip, faults;
	char symbol[128];     /* "" if unknown */
	uint64_t offset;      /* from the symbol, or into the file */
	char file[sizeof ((struct um_map_rec *)0)->path + 1]; /* "" if unknown */
	char source[256];     /* "sort.c:123" or "" */
};
struct cost { uint64_t count, total_ns, mean_ns, p50_ns, p99_ns; };
struct report {
	const struct um_shared *shm;
	char **argv;
	struct child_end end;
	int exit_status;      /* what softfault exits with */
	uint64_t wall_ns;
	uint64_t total;       /* faults of every kind */
	struct cost cost[NR_FAULT_KINDS];
	uint64_t handler_ns, trap_ns, fault_ns; /* all handlers; all traps; both */
	uint64_t bound_bytes, peak_bytes;       /* bound 0: none */
	const struct sf_area_stat *area[REPORT_TOP]; unsigned nr_areas;
	struct code_place code[REPORT_TOP]; unsigned nr_codes;
};
extern const char *const fault_kind_name[NR_FAULT_KINDS]; /* "copy-on-write" */
extern const char *const fault_kind_key[NR_FAULT_KINDS];  /* "copy_on_write" */
void report_make(struct report *r, const struct um_shared *shm, char **argv, const struct child_end *end, int exit_status);
/* Both write the whole text; 0 or -errno. */
int summary_write(const struct report *r, FILE *out);
int json_write(const struct report *r, FILE *out);

/* ---------------------------------------------------------------- symbols.c */

/* Fill in symbol, file and source of places whose ip is set.  Unknown parts stay empty. */
bool symbols_available(void); /* can libdw be loaded? */
void symbols_resolve(const struct um_shared *shm, const char *kernel, struct code_place *places, unsigned n);

/* ---------------------------------------------------------------- procs.c */

struct proc_row {
	const struct sf_proc_stat *stat;
	unsigned depth;       /* 0: the first process, or one whose parent is not ours */
	uint64_t faults;      /* of all kinds */
	bool chosen;          /* set by procs_choose */
};
/* The processes, children after their parents; the caller frees *ret.  The number of them. */
unsigned procs_list(const struct um_shared *shm, struct proc_row **ret);
/* Mark those that spent most time in faults, and their ancestors. */
void procs_choose(struct proc_row *rows, unsigned n, unsigned most);

/* ---------------------------------------------------------------- tracefile.c */

int trace_create(const char *path, const char *command, uint64_t bound_pages); /* descriptor; dies on failure */
/* Write the head again, the records that the kernel had not written, and the areas' names.  0 or -errno. */
int trace_finish(int fd, const struct um_shared *shm);

/* Records after the faults that name the areas; 64 bytes too, told by seq 0 and this kind. */
#define TRACE_KIND_AREA 0x80
struct trace_area_rec {
	uint64_t seq;         /* 0 */
	uint64_t start, end;
	char name[28];        /* its last 28 bytes, zero-padded */
	uint32_t area;
	uint8_t kind, zero[3];
	uint32_t check;       /* SF_TRACE_CHECK ^ area */
};
_Static_assert(sizeof(struct trace_area_rec) == sizeof(struct sf_trace_rec), "one size of record");

/* ---------------------------------------------------------------- subcommands; argv[0] is the subcommand's name */

int cmd_run(int argc, char **argv);
int cmd_doctor(int argc, char **argv);
int cmd_trace(int argc, char **argv);

#endif
