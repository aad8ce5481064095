/* SPDX-License-Identifier: MIT */
/* run.c - softfault run: options, preparation, the program, the report
 *
 * Everything that can fail for reasons of the command line (sizes, names, files) fails before the program starts, with one line and
 * status 125.  After it has started, its exit status is the command's. */
#include "cli/cli.h"
#include "policy/policy.h"
#include "port/host/host.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define MIN_BOUND_PAGES 256u  /* with less a program cannot even start: its stack, pinned buffers and the page it runs in */
#define OWN_FDS 96            /* descriptor numbers kept for the kernel, at least: one for each file that is mapped */
#define MORE_FDS 1024         /* … and where the limit leaves room */
#define MIN_FDS 128           /* a smaller RLIMIT_NOFILE leaves the program too few */
#define MAX_FD_BASE 65536     /* the host's descriptor table grows with the highest number: keep that cheap */
#define MAX_FAULT_AROUND 64

enum stats_format { STATS_TEXT, STATS_JSON, STATS_NONE };

struct run_options {
	uint64_t bound_pages;
	struct swap_plan swap;
	bool swap_given;
	enum host_engine engine;
	const char *policy;
	enum stats_format stats;
	const char *output, *trace;
	bool verbose, no_sud, no_patch, fork_faults;
	unsigned patch_after;
	unsigned fault_around;
	struct um_inject inject;
	char **argv;          /* program and arguments */
};

/* What is open while the program runs. */
struct run_files {
	struct swap_file swap;
	int shm_fd, trace_fd;
	FILE *out;            /* -o, or NULL: stderr */
	struct um_shared *shm;
};

static void usage(FILE *out)
{
	fprintf(out,
		"usage: softfault run [OPTION...] [--] PROGRAM [ARG...]\n\n"
		"Run PROGRAM with its page faults handled by softfault, in bounded memory if asked, and\n"
		"report the faults when it ends.  Its input, output and exit status are untouched.\n\n"
		"  -m, --memory SIZE     most resident memory (64M, 1GiB, 50%%); default: no bound\n"
		"      --swap TIERS      where evicted pages go: PATH (file or directory), zram,\n"
		"                        zram:SIZE, zram,PATH or none; default: an unnamed file in\n"
		"                        $TMPDIR or /var/tmp\n"
		"      --swap-size SIZE  most bytes of the swap file; default: what is free there\n"
		"      --engine NAME     auto, uffd or segv\n"
		"      --policy NAME     replacement policy: %s\n"
		"      --stats[=FORMAT]  report as text (default), json or none\n"
		"  -q, --quiet           no report (--stats=none)\n"
		"  -o, --output FILE     report to FILE, not stderr\n"
		"      --trace FILE      write every fault to FILE (read it with softfault trace)\n"
		"      --trap NAME       trap system calls by auto, sud or seccomp\n"
		"      --fork-faults     make every copy-on-write after fork a fault that is seen\n"
		"      --no-patch        leave system-call instructions in the program as they are\n"
		"      --patch-after N   replace one by a jump when it was trapped N times (default 32)\n"
		"      --fault-around N  most pages that one fault brings in (1 to %d)\n"
		"      --verbose         say on stderr what is chosen and what is refused\n"
		"  -h, --help\n\n"
		"exit status: the program's; 128+n if signal n killed it; 125 softfault failed,\n"
		"126 PROGRAM cannot be executed, 127 PROGRAM not found.\n",
		policy_names, MAX_FAULT_AROUND);
}

/* ---------------------------------------------------------------- options */

static uint64_t size_option(const char *option, const char *text)
{
	uint64_t size;
	int err = parse_size(text, physical_memory(), &size);

	if (err == -ERANGE)
		cli_die(EXIT_OURS, "%s: '%s' is too large", option, text);
	if (err)
		cli_die(EXIT_OURS, "%s: '%s' is not a size (give 64M, 1GiB, 50%%)", option, text);
	return size;
}

static uint64_t bound_option(const char *text)
{
	uint64_t size = size_option("-m", text);

	if (size < MIN_BOUND_PAGES * PAGE_SIZE)
		cli_die(EXIT_OURS, "-m: %s is too small, the minimum is %luK", text, MIN_BOUND_PAGES * PAGE_SIZE / 1024);
	return size / PAGE_SIZE;
}

/* Index of text in names, or death with the list of them. */
static int choice_option(const char *option, const char *text, const char *const *names)
{
	char list[128] = "";

	for (int i = 0; names[i]; i++) {
		if (!strcmp(text, names[i]))
			return i;
		snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", i ? ", " : "", names[i]);
	}
	cli_die(EXIT_OURS, "%s: unknown '%s' (known: %s)", option, text, list);
}

static unsigned count_option(const char *option, const char *text, unsigned most)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (text[0] < '0' || text[0] > '9' || *end || n < 1 || n > most)
		cli_die(EXIT_OURS, "%s: '%s' is not a number from 1 to %u", option, text, most);
	return (unsigned)n;
}

static const char *policy_option(const char *text)
{
	if (!policy_find(text) || strlen(text) >= sizeof ((struct um_config *)0)->policy)
		cli_die(EXIT_OURS, "--policy: unknown '%s' (known: %s)", text, policy_names);
	return text;
}

enum { O_SWAP = 256, O_SWAP_SIZE, O_ENGINE, O_POLICY, O_STATS, O_TRACE, O_VERBOSE, O_TRAP, O_AROUND, O_NOPATCH, O_PATCH, O_FORKFAULTS };

static const struct option long_options[] = {
	{ "memory", required_argument, NULL, 'm' },
	{ "swap", required_argument, NULL, O_SWAP },
	{ "swap-size", required_argument, NULL, O_SWAP_SIZE },
	{ "engine", required_argument, NULL, O_ENGINE },
	{ "policy", required_argument, NULL, O_POLICY },
	{ "stats", optional_argument, NULL, O_STATS },
	{ "quiet", no_argument, NULL, 'q' },
	{ "output", required_argument, NULL, 'o' },
	{ "trace", required_argument, NULL, O_TRACE },
	{ "trap", required_argument, NULL, O_TRAP },
	{ "fork-faults", no_argument, NULL, O_FORKFAULTS },
	{ "no-patch", no_argument, NULL, O_NOPATCH },
	{ "patch-after", required_argument, NULL, O_PATCH },
	{ "fault-around", required_argument, NULL, O_AROUND },
	{ "verbose", no_argument, NULL, O_VERBOSE },
	{ "help", no_argument, NULL, 'h' },
	{ 0 },
};

static void one_option(struct run_options *o, int c)
{
	static const char *const engines[] = { [ENGINE_AUTO] = "auto", [ENGINE_UFFD] = "uffd", [ENGINE_SEGV] = "segv", NULL };
	static const char *const formats[] = { [STATS_TEXT] = "text", [STATS_JSON] = "json", [STATS_NONE] = "none", NULL };
	static const char *const traps[] = { "auto", "sud", "seccomp", NULL };

	switch (c) {
	case 'm': o->bound_pages = bound_option(optarg); break;
	case O_SWAP: swap_parse(optarg, &o->swap); o->swap_given = true; break;
	case O_SWAP_SIZE: o->swap.size = size_option("--swap-size", optarg); break;
	case O_ENGINE: o->engine = (enum host_engine)choice_option("--engine", optarg, engines); break;
	case O_POLICY: o->policy = policy_option(optarg); break;
	case O_STATS: o->stats = optarg ? (enum stats_format)choice_option("--stats", optarg, formats) : STATS_TEXT; break;
	case 'q': o->stats = STATS_NONE; break;
	case 'o': o->output = optarg; break;
	case O_TRACE: o->trace = optarg; break;
	case O_TRAP: o->no_sud = choice_option("--trap", optarg, traps) == 2; break;
	case O_AROUND: o->fault_around = count_option("--fault-around", optarg, MAX_FAULT_AROUND); break;
	case O_NOPATCH: o->no_patch = true; break;
	case O_FORKFAULTS: o->fork_faults = true; break;
	case O_PATCH: o->patch_after = count_option("--patch-after", optarg, 1000000); break;
	case O_VERBOSE: o->verbose = true; break;
	}
}

static void parse_options(int argc, char **argv, struct run_options *o)
{
	int c;

	opterr = 0;
	while ((c = getopt_long(argc, argv, "+:m:o:qh", long_options, NULL)) >= 0) {
		if (c == 'h') {
			usage(stdout);
			exit(fflush(stdout) ? EXIT_OURS : 0);
		}
		if (c == ':')
			cli_die(EXIT_OURS, "option '%s' wants a value", argv[optind - 1]);
		if (c == '?')
			cli_die(EXIT_OURS, "unknown option '%s' (see softfault run --help)", argv[optind - 1]);
		one_option(o, c);
	}
	if (optind == argc)
		cli_die(EXIT_OURS, "no program given (see softfault run --help)");
	if (o->swap.size && o->swap.size < 16 * PAGE_SIZE)
		cli_die(EXIT_OURS, "--swap-size: the minimum is %luK", 16 * PAGE_SIZE / 1024);
	inject_parse(getenv("SOFTFAULT_INJECT"), &o->inject);
	o->argv = argv + optind;
}

/* ---------------------------------------------------------------- the program's file, as execvp(3) finds it */

static int check_executable(const char *path)
{
	struct stat st;

	if (stat(path, &st))
		return -errno;
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	if (!S_ISREG(st.st_mode))
		return -EACCES;
	return faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) ? -errno : 0;
}

static int search_path(const char *name, char *buf, size_t n)
{
	const char *dirs = getenv("PATH"), *end;
	int result = -ENOENT;

	if (!dirs)
		dirs = "/bin:/usr/bin";
	for (;; dirs = end + 1) {
		int err, len;

		end = strchrnul(dirs, ':');
		len = (int)(end - dirs);
		if (snprintf(buf, n, "%.*s%s%s", len, dirs, len ? "/" : "", name) < (int)n) {
			err = check_executable(buf);
			if (!err)
				return 0;
			if (err != -ENOENT && err != -ENOTDIR && err != -EISDIR)
				result = err;
		}
		if (!*end)
			return result;
	}
}

static void find_program(const char *name, char *buf, size_t n)
{
	int err;

	if (!*name)
		err = -ENOENT;
	else if (!strchr(name, '/'))
		err = search_path(name, buf, n);
	else
		err = snprintf(buf, n, "%s", name) < (int)n ? check_executable(name) : -ENAMETOOLONG;
	if (err)
		cli_die(err == -ENOENT || err == -ENOTDIR ? EXIT_NOTFOUND : EXIT_NOEXEC, "cannot execute '%s': %s", name, strerror(-err));
}

/* ---------------------------------------------------------------- preparation */

/* Descriptors from here up are the kernel's.  The soft limit is raised for the host if it may be: then the program keeps all of its own. */
static int choose_fd_base(uint64_t *ret_limit)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl))
		cli_die(EXIT_OURS, "cannot read RLIMIT_NOFILE: %s", strerror(errno));
	*ret_limit = rl.rlim_cur;
	if (rl.rlim_cur < rl.rlim_max && rl.rlim_cur < MAX_FD_BASE + MORE_FDS) {
		rl.rlim_cur = MIN(rl.rlim_max, MAX(rl.rlim_cur, (rlim_t)MIN_FDS) + MORE_FDS);
		setrlimit(RLIMIT_NOFILE, &rl);
	}
	int own = (int)MIN((rlim_t)MORE_FDS, MAX((rlim_t)OWN_FDS, (rl.rlim_cur - MIN(rl.rlim_cur, *ret_limit))));
	if (rl.rlim_cur >= 8 * MORE_FDS)
		own = MORE_FDS;
	if (rl.rlim_cur < MIN_FDS)
		cli_die(EXIT_OURS, "the limit of open files is %lu, the minimum is %d (ulimit -n)", (unsigned long)rl.rlim_cur, MIN_FDS);
	if (rl.rlim_cur >= MAX_FD_BASE + MORE_FDS)
		return MAX_FD_BASE;
	return (int)(rl.rlim_cur >= MIN_FDS + OWN_FDS ? rl.rlim_cur - (rlim_t)own : rl.rlim_cur - MIN_FDS / 2);
}

static struct um_shared *make_shared(int *ret_fd)
{
	int fd = memfd_create("softfault", MFD_CLOEXEC);
	void *mem;

	if (fd < 0 || ftruncate(fd, sizeof(struct um_shared)))
		cli_die(EXIT_OURS, "cannot make shared memory: %s", strerror(errno));
	mem = mmap(NULL, sizeof(struct um_shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (mem == MAP_FAILED)
		cli_die(EXIT_OURS, "cannot map shared memory: %s", strerror(errno));
	*ret_fd = fd;
	return mem;
}

/* The command line for people, cut short if need be. */
static void join_command(char *buf, size_t n, char **argv)
{
	size_t len = 0;

	buf[0] = '\0';
	for (; *argv && len + 1 < n; argv++) {
		snprintf(buf + len, n - len, "%s%s", len ? " " : "", *argv);
		len = strlen(buf);
	}
	for (char *c = buf; *c; c++)
		if ((unsigned char)*c < ' ')
			*c = ' ';
}

/* A quarter of the bound for compressed pages: what does not fit there costs a read, but what is taken from the program costs faults.  Never more
 * than half of it. */
static uint64_t zram_bytes(const struct run_options *o)
{
	const uint64_t all = o->bound_pages ? o->bound_pages * PAGE_SIZE : physical_memory();

	return o->swap.zram_bytes ? MIN(o->swap.zram_bytes, all / 2) : all / 4;
}

static void fill_config(const struct run_options *o, const struct run_files *f, struct um_config *cfg)
{
	struct rlimit stack, as, data;

	getrlimit(RLIMIT_STACK, &stack);
	getrlimit(RLIMIT_AS, &as);
	getrlimit(RLIMIT_DATA, &data);
	cfg->magic = UM_SHM_MAGIC;
	cfg->flags = (o->verbose ? UM_F_VERBOSE : 0) | (o->no_sud ? UM_F_NOSUD : 0) | (o->swap.zram ? UM_F_ZRAM : 0) |
		     (f->trace_fd >= 0 ? UM_F_TRACE : 0) | (o->no_patch ? UM_F_NOPATCH : 0) |
		     (o->fork_faults ? UM_F_FORKFAULTS : 0);
	cfg->patch_after = o->patch_after;
	cfg->engine = o->engine;
	snprintf(cfg->policy, sizeof cfg->policy, "%s", o->policy);
	cfg->bound_pages = o->bound_pages;
	cfg->swap_slots = f->swap.fd >= 0 ? f->swap.bytes / PAGE_SIZE : 0;
	cfg->zram_bytes = o->swap.zram ? zram_bytes(o) : 0;
	cfg->shm_fd = f->shm_fd;
	cfg->swap_fd = f->swap.fd;
	cfg->trace_fd = f->trace_fd;
	cfg->rlim_stack_cur = stack.rlim_cur;
	cfg->rlim_stack_max = stack.rlim_max;
	cfg->rlim_as_cur = as.rlim_cur;
	cfg->rlim_data_cur = data.rlim_cur;
	cfg->fault_around = o->fault_around;
	cfg->inject = o->inject;
}

static void open_files(const struct run_options *o, struct run_files *f)
{
	f->shm = make_shared(&f->shm_fd);
	join_command(f->shm->cfg.command, sizeof f->shm->cfg.command, o->argv);
	f->trace_fd = o->trace ? trace_create(o->trace, f->shm->cfg.command, o->bound_pages) : -1;
	if (o->output) {
		f->out = fopen(o->output, "we");
		if (!f->out)
			cli_die(EXIT_OURS, "cannot write '%s': %s", o->output, strerror(errno));
	}
	f->swap.fd = -1;
	if (o->bound_pages || o->swap_given)
		swap_open(&o->swap, &f->swap);
}

static void say_plan(const struct run_options *o, const struct run_files *f, const char *kernel)
{
	const struct um_config *cfg = &f->shm->cfg;
	struct text a, b;

	cli_error("program %s, kernel %s, descriptors from %d are ours", cfg->program, kernel, cfg->fd_base);
	cli_error("bound %s, swap %s%s up to %s", o->bound_pages ? size_text(&a, o->bound_pages * PAGE_SIZE) : "none",
		  o->swap.zram ? "zram over " : "",
		  f->swap.fd < 0 ? "none" : o->swap.path ? o->swap.path : swap_directory(), size_text(&b, f->swap.bytes));
}

/* ---------------------------------------------------------------- afterwards */

/* A signal that nobody sent: the kernel itself went wrong. */
static bool is_crash(int signo)
{
	return signo == SIGSEGV || signo == SIGBUS || signo == SIGILL || signo == SIGFPE || signo == SIGTRAP || signo == SIGABRT ||
	       signo == SIGSYS;
}

/* The exit status for the caller; says what went wrong if it was our fault.  *ret_ran: the program ran, so a report makes sense. */
static int judge(const struct um_shared *shm, int status, bool *ret_ran)
{
	*ret_ran = shm->phase == UM_RUNNING;
	if (shm->phase == UM_FAILED) {
		const char *msg = shm->fail_message;
		cli_error("%s", strncmp(msg, "softfault: ", 11) ? msg : msg + 11);
		return shm->fail_status ? shm->fail_status : EXIT_OURS;
	}
	if (shm->oops) {
		cli_error("the user-mode kernel failed; this is a bug of softfault, the lines above say where");
		return EXIT_OURS;
	}
	if (shm->phase == UM_STARTING && WIFEXITED(status)) {
		cli_error("the user-mode kernel ended with status %d before the program began", WEXITSTATUS(status));
		return EXIT_OURS;
	}
	if (!WIFSIGNALED(status))
		return WEXITSTATUS(status);
	if (shm->phase == UM_STARTING) {
		cli_error("killed by %s before the program began", signal_name(WTERMSIG(status)));
		return is_crash(WTERMSIG(status)) ? EXIT_OURS : 128 + WTERMSIG(status);
	}
	return 128 + WTERMSIG(status);
}

static int write_report(const struct run_options *o, struct run_files *f, const struct child_end *end, const char *kernel, int status)
{
	FILE *out = f->out ? f->out : stderr;
	struct report r;
	int err;

	report_make(&r, f->shm, o->argv, end, status);
	symbols_resolve(f->shm, kernel, r.code, r.nr_codes);
	err = o->stats == STATS_JSON ? json_write(&r, out) : summary_write(&r, out);
	if (err && f->out) {
		cli_error("cannot write '%s': %s", o->output, strerror(-err));
		return status ? status : EXIT_OURS;
	}
	return status;
}

static int finish(const struct run_options *o, struct run_files *f, const struct child_end *end, const char *kernel)
{
	bool ran;
	int status = judge(f->shm, end->status, &ran), err;

	if (f->trace_fd >= 0) {
		err = trace_finish(f->trace_fd, f->shm);
		if (err) {
			cli_error("cannot write trace '%s': %s", o->trace, strerror(-err));
			status = status ? status : EXIT_OURS;
		}
	}
	if (o->verbose && f->shm->cfg.inject.armed)
		cli_error("%llu host calls were made", (unsigned long long)f->shm->host_calls);
	swap_close(&f->swap);
	if (ran && o->stats != STATS_NONE)
		status = write_report(o, f, end, kernel, status);
	return status;
}

int cmd_run(int argc, char **argv)
{
	struct run_options o = { .engine = ENGINE_AUTO, .policy = "twolist" };
	struct run_files f = { .shm_fd = -1 };
	char program[sizeof f.shm->cfg.program], kernel[4096];
	struct child_end end;
	uint64_t nofile;
	int err, fd_base;

	parse_options(argc, argv, &o);
	find_program(o.argv[0], program, sizeof program);
	if (find_kernel(kernel, sizeof kernel))
		cli_die(EXIT_OURS, access("/proc/self/exe", F_OK) ? "/proc is not mounted here; nothing works without it"
								  : "softfault-um is not installed beside this command");
	fd_base = choose_fd_base(&nofile);
	open_files(&o, &f);
	fill_config(&o, &f, &f.shm->cfg);
	f.shm->cfg.fd_base = fd_base;
	f.shm->cfg.rlim_nofile_cur = nofile;
	memcpy(f.shm->cfg.program, program, sizeof program);
	if (o.verbose)
		say_plan(&o, &f, kernel);
	err = child_run(kernel, o.argv, f.shm, &end);
	if (err) {
		swap_close(&f.swap);
		cli_die(EXIT_OURS, "cannot fork: %s", strerror(-err));
	}
	return finish(&o, &f, &end, kernel);
}
