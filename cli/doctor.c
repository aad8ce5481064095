/* SPDX-License-Identifier: MIT */
/* doctor.c - softfault doctor: what this machine offers, what is off and why, what degrades
 *
 * Nothing is deduced from version numbers: every mechanism is tried, in a child where the trial leaves traces in the process.
 * A finding says how bad it is:
 *
 *     ok     works
 *     off    missing, and something is slower or narrower for it
 *     BAD    softfault run cannot work */
#include "cli/cli.h"
#include "port/host/host.h"

#include <elfutils/version.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

enum grade { GOOD, OFF, BAD };

struct finding {
	enum grade grade;
	const char *key;      /* for JSON */
	char what[192];       /* one line: the state, and why */
	const char *effect;   /* what follows from it; NULL: nothing */
};

static struct finding findings[40];
static unsigned nr_findings;

__attribute__((format(printf, 4, 5)))
static void find(enum grade grade, const char *key, const char *effect, const char *fmt, ...)
{
	struct finding *f = &findings[nr_findings];
	va_list ap;

	if (nr_findings == ARRAY_SIZE(findings))
		return;
	nr_findings++;
	*f = (struct finding){ .grade = grade, .key = key, .effect = grade == GOOD ? NULL : effect };
	va_start(ap, fmt);
	vsnprintf(f->what, sizeof f->what, fmt, ap);
	va_end(ap);
}

/* The first line of a file as a number; -1 if there is none. */
static long read_number(const char *path)
{
	FILE *f = fopen(path, "re");
	long n = -1;

	if (!f)
		return -1;
	if (fscanf(f, "%ld", &n) != 1)
		n = -1;
	fclose(f);
	return n;
}

/* ---------------------------------------------------------------- trials in a child */

/* Run trial in a child: 0 if it returned 0, else the errno it returned, or EPROTO if it died. */
static int try_in_child(int (*trial)(void))
{
	pid_t pid;
	int status;

	fflush(NULL);
	pid = fork();
	if (pid < 0)
		return errno;
	if (!pid) {
		int err = trial();
		_exit(err > 255 ? EPROTO : err);
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : EPROTO;
}

static volatile sig_atomic_t trapped;

static void on_sigsys(int signo)
{
	(void)signo;
	trapped++;
}

#define SUD_SET 59 /* PR_SET_SYSCALL_USER_DISPATCH */
static char sud_selector; /* 0: allow, 1: trap */

/* The handler's own sigreturn would be trapped too, so it opens the selector first. */
static void on_sigsys_open(int signo)
{
	sud_selector = 0;
	on_sigsys(signo);
}

static int trial_sud(void)
{
	struct sigaction sa = { .sa_handler = on_sigsys_open };

	sigaction(SIGSYS, &sa, NULL);
	if (prctl(SUD_SET, 1, 0, 0, &sud_selector))
		return errno;
	sud_selector = 1;
	syscall(SYS_getppid);
	sud_selector = 0;
	return trapped == 1 ? 0 : ENOTSUP;
}

static int trial_seccomp(void)
{
	struct sock_filter f[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { .len = ARRAY_SIZE(f), .filter = f };

	signal(SIGSYS, on_sigsys);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog))
		return errno;
	syscall(SYS_getppid);
	return trapped == 1 ? 0 : ENOTSUP;
}

/* The addresses that the kernel is linked at and keeps its data at. */
static int trial_layout(void)
{
	const uintptr_t at[] = { 0x10000, 0x6ffffffff000, 0x700000000000, 0x77fffffff000, 0x780000000000 };

	for (unsigned i = 0; i < ARRAY_SIZE(at); i++) {
		void *p = mmap((void *)at[i], PAGE_SIZE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
		if (p == MAP_FAILED)
			return errno;
	}
	return 0;
}

static struct host_probe *probe; /* shared with the child that fills it in */

static int trial_probe(void)
{
	host_probe(probe);
	return 0;
}

/* ---------------------------------------------------------------- findings */

static void look_at_machine(void)
{
	struct utsname u;
	struct text t;

	uname(&u);
	if (strcmp(u.machine, "x86_64"))
		find(BAD, "machine", "softfault is for x86-64", "machine: %s", u.machine);
	else
		find(GOOD, "machine", NULL, "Linux %s, %s, %ld processors, %s of memory", u.release, u.machine,
		     sysconf(_SC_NPROCESSORS_ONLN), size_text(&t, physical_memory()));
}

static bool look_at_traps(void)
{
	const char *slower = "system calls are trapped by seccomp instead: somewhat slower, and the program cannot gain privileges";
	int sud = try_in_child(trial_sud), seccomp = try_in_child(trial_seccomp);

	if (!sud)
		find(GOOD, "sud", NULL, "system calls: syscall user dispatch works");
	else
		find(seccomp ? BAD : OFF, "sud", seccomp ? "nothing else can trap them" : slower,
		     "system calls: syscall user dispatch does not work: %s", strerror(sud));
	if (!seccomp)
		find(GOOD, "seccomp", NULL, "system calls: a seccomp filter can trap them");
	else
		find(sud ? BAD : OFF, "seccomp", sud ? "nothing else can trap them" : "no way out if dispatch were missing",
		     "system calls: seccomp cannot trap them: %s", strerror(seccomp));
	return !sud || !seccomp;
}

static const char *uffd_hint(int err)
{
	if (err == ENOSYS)
		return " (kernel built without it)";
	if (err == EPERM || err == EACCES)
		return " (a container's filter or vm.unprivileged_userfaultfd forbids it)";
	if (err == EINVAL)
		return " (Linux before 5.11)";
	return "";
}

static void look_at_uffd(void)
{
	long sysctl = read_number("/proc/sys/vm/unprivileged_userfaultfd");
	const char *slower = "engine segv serves instead: about 1.5 times dearer a fault, and bound by max_map_count";

	if (!probe->uffd) {
		find(OFF, "uffd", slower, "engine uffd: userfaultfd does not serve: %s%s", strerror(probe->uffd_errno),
		     uffd_hint(probe->uffd_errno));
		return;
	}
	find(GOOD, "uffd", NULL, "engine uffd: userfaultfd with SIGBUS and write-protect works%s, features %#" PRIx64,
	     probe->uffd_user_only ? " (user-mode faults only: all that is needed)" : "", probe->uffd_features);
	if (probe->uffd_move)
		find(GOOD, "uffd_move", NULL, "engine uffd: UFFDIO_MOVE takes pages out of view in one step");
	else
		find(OFF, "uffd_move", "a page is hidden by write-protect, copy and drop: several times dearer",
		     "engine uffd: no UFFDIO_MOVE (Linux before 6.8)");
	find(GOOD, "unprivileged_userfaultfd", NULL, "vm.unprivileged_userfaultfd is %ld%s", sysctl, sysctl ? "" : ": no matter here");
}

static void look_at_segv(void)
{
	if (probe->proc_mem)
		find(GOOD, "segv", NULL, "engine segv: /proc/self/mem writes through PROT_NONE");
	else
		find(probe->uffd ? OFF : BAD, "segv", probe->uffd ? "engine segv is not to be had; uffd serves" : "no engine is left",
		     "engine segv: /proc/self/mem does not serve: %s", strerror(probe->proc_mem_errno));
	if (probe->madv_populate)
		find(GOOD, "madv_populate", NULL, "MADV_POPULATE_WRITE works");
	else
		find(OFF, "madv_populate", "memory is made resident page by page", "no MADV_POPULATE_WRITE (Linux before 5.14)");
	if (probe->process_madvise)
		find(GOOD, "process_madvise", NULL, "process_madvise drops many ranges in one call");
	else
		find(OFF, "process_madvise", "scattered pages are dropped one call each: about twice dearer",
		     "no process_madvise for own ranges (Linux before 6.15)");
	if (probe->max_map_count >= 65530)
		find(GOOD, "max_map_count", NULL, "vm.max_map_count is %" PRIu64, probe->max_map_count);
	else
		find(OFF, "max_map_count", "engine segv hides pages earlier; programs with many mappings may get ENOMEM",
		     "vm.max_map_count is %" PRIu64 ", below the usual 65530", probe->max_map_count);
}

static void look_at_layout(void)
{
	long least = read_number("/proc/sys/vm/mmap_min_addr");
	int err = try_in_child(trial_layout);

	if (err)
		find(BAD, "layout", "the kernel must lie at 0x780000000000, its data at 0x700000000000",
		     "address space: its layout cannot be had: %s", strerror(err));
	else
		find(GOOD, "layout", NULL, "address space: every address that is needed is free, mmap_min_addr %ld", least);
}

static void look_at_limits(void)
{
	struct rlimit rl;
	struct text t;

	if (!getrlimit(RLIMIT_NOFILE, &rl) && rl.rlim_max < 128)
		find(BAD, "nofile", "at least 128 are needed (ulimit -n)", "limit of open files: %lu", (unsigned long)rl.rlim_max);
	else
		find(GOOD, "nofile", NULL, "limit of open files: %lu", (unsigned long)rl.rlim_cur);
	if (!getrlimit(RLIMIT_AS, &rl) && rl.rlim_cur != RLIM_INFINITY)
		find(rl.rlim_cur < (8ull << 30) ? BAD : OFF, "as", "our tables count against it; leave it unlimited (ulimit -v) and use -m",
		     "limit of address space: %s", size_text(&t, rl.rlim_cur));
	if (!getrlimit(RLIMIT_STACK, &rl) && rl.rlim_cur != RLIM_INFINITY)
		find(GOOD, "stack", NULL, "limit of the stack: %s", size_text(&t, rl.rlim_cur));
	if (read_number("/proc/sys/vm/overcommit_memory") == 2)
		find(OFF, "overcommit", "the host may refuse our reservations although they are never touched",
		     "vm.overcommit_memory is 2 (strict)");
}

static void look_at_swap(void)
{
	const char *dir = swap_directory();
	struct statvfs vfs;
	struct text t;

	if (access(dir, W_OK | X_OK) || statvfs(dir, &vfs)) {
		find(OFF, "swap", "a bounded run needs --swap PATH, --swap none, or TMPDIR set to a directory that can be written",
		     "swap directory %s: %s", dir, strerror(errno));
		return;
	}
	find((uint64_t)vfs.f_bavail * vfs.f_frsize < (256 << 20) ? OFF : GOOD, "swap", "programs that need more than the bound may be killed",
	     "swap directory %s: %s free", dir, size_text(&t, (uint64_t)vfs.f_bavail * vfs.f_frsize));
}

static void look_at_parts(void)
{
	char kernel[4096];

	if (find_kernel(kernel, sizeof kernel))
		find(BAD, "kernel", "it belongs beside this command or in libexec/softfault", "user-mode kernel softfault-um: not found");
	else
		find(GOOD, "kernel", NULL, "user-mode kernel: %.150s", kernel);
	find(GOOD, "libraries", NULL, "libraries: jansson %s, elfutils %d.%d", jansson_version_str(), _ELFUTILS_VERSION / 1000,
	     _ELFUTILS_VERSION % 1000);
	if (!symbols_available())
		find(OFF, "symbols", "code is named by file and offset only", "libdw.so.1 (elfutils) cannot be loaded");
}

/* ---------------------------------------------------------------- output */

static const char *const grade_name[] = { [GOOD] = "ok", [OFF] = "off", [BAD] = "BAD" };

static void print_text(bool works, const char *engine, const char *trap)
{
	for (unsigned i = 0; i < nr_findings; i++) {
		printf("  %-4s %s\n", grade_name[findings[i].grade], findings[i].what);
		if (findings[i].effect)
			printf("       -> %s\n", findings[i].effect);
	}
	if (works)
		printf("\nsoftfault run works here: engine %s, system calls trapped by %s.\n", engine, trap);
	else
		puts("\nsoftfault run cannot work here; see what is BAD above.");
}

static void print_json(bool works, const char *engine, const char *trap)
{
	json_t *list = json_array(), *o;

	for (unsigned i = 0; i < nr_findings; i++) {
		const struct finding *f = &findings[i];
		json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s?}", "key", f->key, "grade",
						      f->grade == BAD ? "bad" : grade_name[f->grade], "what", f->what, "effect", f->effect));
	}
	o = json_pack("{s:i, s:b, s:s?, s:s?, s:o}", "schema_version", 1, "works", works, "engine", engine, "trap", trap, "findings", list);
	if (!o)
		cli_die(EXIT_OURS, "out of memory");
	json_dumpf(o, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(o);
}

static void usage(FILE *out)
{
	fputs("usage: softfault doctor [--json]\n\n"
	      "Try every mechanism of the host that softfault run builds on; say what works, what is\n"
	      "off and why, and what degrades.  Exit status 0 if softfault run can work, 1 if not.\n", out);
}

static bool parse_doctor(int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' }, { "help", no_argument, NULL, 'h' }, { 0 },
	};
	bool json = false;
	int c;

	opterr = 0;
	while ((c = getopt_long(argc, argv, "+h", options, NULL)) >= 0) {
		if (c == 'h') {
			usage(stdout);
			exit(fflush(stdout) ? EXIT_OURS : 0);
		}
		if (c == '?')
			cli_die(EXIT_OURS, "unknown option '%s' (see softfault doctor --help)", argv[optind - 1]);
		json = true;
	}
	if (optind != argc)
		cli_die(EXIT_OURS, "unexpected '%s' (see softfault doctor --help)", argv[optind]);
	return json;
}

int cmd_doctor(int argc, char **argv)
{
	const bool json = parse_doctor(argc, argv);
	const char *engine, *trap = NULL;
	bool works = true;
	int err;

	probe = mmap(NULL, sizeof *probe, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (probe == MAP_FAILED)
		cli_die(EXIT_OURS, "cannot map memory: %s", strerror(errno));
	look_at_machine();
	if (look_at_traps())
		trap = try_in_child(trial_sud) ? "seccomp" : "sud";
	err = try_in_child(trial_probe);
	if (err)
		find(BAD, "probe", "this is a bug of softfault", "the probe of the engines failed: %s", strerror(err));
	look_at_uffd();
	look_at_segv();
	look_at_layout();
	look_at_limits();
	look_at_swap();
	look_at_parts();
	engine = probe->uffd ? "uffd" : probe->proc_mem ? "segv" : NULL;
	for (unsigned i = 0; i < nr_findings; i++)
		works &= findings[i].grade != BAD;
	json ? print_json(works, engine, trap) : print_text(works, engine, trap);
	return fflush(stdout) ? EXIT_OURS : !works;
}
