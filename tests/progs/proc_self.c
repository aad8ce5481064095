/* SPDX-License-Identifier: MIT */
/* proc_self.c - does /proc/self tell this program's own story?  Prints only what is the same in any right answer. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

extern char **environ;

static void check(const char *what, int ok)
{
	printf("%s %s\n", ok ? "ok" : "not ok", what);
}

static char *slurp_at(int dir, const char *path, size_t *ret_len)
{
	size_t room = 1 << 20, len = 0;
	char *buf = malloc(room);
	int fd = openat(dir, path, O_RDONLY | O_CLOEXEC);
	ssize_t n;
	if (fd < 0)
		return free(buf), NULL;
	while ((n = read(fd, buf + len, room - 1 - len)) > 0)
		len += (size_t)n;
	close(fd);
	buf[len] = 0;
	if (ret_len)
		*ret_len = len;
	return buf;
}

static char *slurp(const char *path) { return slurp_at(AT_FDCWD, path, NULL); }

struct line { unsigned long start, end, off, ino; char perm[5], dev[16], name[512]; };

static int parse_line(const char *s, struct line *l)
{
	int at = 0;
	l->name[0] = 0;
	if (sscanf(s, "%lx-%lx %4s %lx %15s %lu%n", &l->start, &l->end, l->perm, &l->off, l->dev, &l->ino, &at) != 6)
		return 0;
	/* the name stands in column 73, one blank follows the inode otherwise */
	const char *eol = strchr(s, '\n');
	if (eol - s > 73)
		sscanf(s + 73, "%511[^\n]", l->name);
	return s[at] == ' ';
}

/* The line that contains an address. */
static int find_line(const char *text, const void *p, struct line *l)
{
	for (const char *s = text; s && *s; s = strchr(s, '\n'), s += !!s)
		if (parse_line(s, l) && (uintptr_t)p >= l->start && (uintptr_t)p < l->end)
			return 1;
	return 0;
}

static int lines_in_order(const char *text)
{
	struct line l;
	unsigned long last = 0;
	for (const char *s = text; *s; s = strchr(s, '\n') + 1) {
		if (!parse_line(s, &l) || l.start < last || l.end <= l.start)
			return 0;
		last = l.end;
	}
	return 1;
}

static int data = 1;

static void check_maps(void)
{
	char exe[4096] = "";
	char *maps = slurp("/proc/self/maps"), *heap = malloc(100);
	struct line l;
	check("readlink exe", readlink("/proc/self/exe", exe, sizeof(exe) - 1) > 0 && strstr(exe, "proc_self"));
	check("maps: lines are well formed, sorted and disjoint", maps && lines_in_order(maps));
	check("maps: code", find_line(maps, (void *)check_maps, &l) && !strcmp(l.perm, "r-xp") && !strcmp(l.name, exe) && l.ino);
	check("maps: data", find_line(maps, &data, &l) && !strcmp(l.perm, "rw-p") && !strcmp(l.name, exe));
	check("maps: stack", find_line(maps, &l, &l) && !strcmp(l.perm, "rw-p") && !strcmp(l.name, "[stack]") && !l.ino);
	check("maps: heap", find_line(maps, heap, &l) && !strcmp(l.name, "[heap]"));
	check("maps: vdso", !getauxval(AT_SYSINFO_EHDR) ||
			     (find_line(maps, (void *)getauxval(AT_SYSINFO_EHDR), &l) && !strcmp(l.name, "[vdso]")));
	check("maps: nothing of softfault", !strstr(maps, "softfault-um") && !strstr(maps, "memfd:"));
	char *p = mmap(NULL, 5 * 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	mprotect(p + 4096, 4096, PROT_NONE);
	char *again = slurp("/proc/self/maps");
	check("maps: a new area, split by mprotect", find_line(again, p + 4096, &l) && !strcmp(l.perm, "---p") &&
		       l.start == (uintptr_t)p + 4096 && l.end == l.start + 4096);
	free(heap);
	free(maps);
	free(again);
}

static unsigned long field(const char *text, const char *key)
{
	const char *p = text ? strstr(text, key) : NULL;
	return p ? strtoul(p + strlen(key), NULL, 10) : ~0ul;
}

/* The value of a field in the smaps entry for p. */
static unsigned long smaps_field(const char *text, const void *p, const char *key)
{
	struct line l;
	for (const char *s = text; s && *s; s = strchr(s, '\n'), s += !!s)
		if (parse_line(s, &l) && (uintptr_t)p >= l.start && (uintptr_t)p < l.end)
			return field(s, key);
	return ~0ul;
}

static void check_smaps(void)
{
	enum { N = 64 };
	char *p = mmap(NULL, N * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	mprotect(p + (N - 1) * 4096, 4096, PROT_NONE); /* keeps neighbours apart */
	for (int i = 0; i < 10; i++)
		p[i * 4096] = 1;
	char *s = slurp("/proc/self/smaps"), *r = slurp("/proc/self/smaps_rollup");
	unsigned long rss = smaps_field(s, p, "\nRss:"), swap = smaps_field(s, p, "\nSwap:");
	check("smaps: touched pages are resident or swapped", rss + swap >= 40 && rss + swap <= N * 4);
	check("smaps: private, anonymous", smaps_field(s, p, "\nAnonymous:") == rss && smaps_field(s, p, "\nPrivate_Dirty:") <= rss);
	check("smaps: page size and flags", smaps_field(s, p, "\nKernelPageSize:") == 4 && strstr(s, "VmFlags: rd wr mr mw me "));
	check("smaps_rollup", r && strstr(r, "[rollup]\n") && field(r, "\nRss:") >= 40 && field(r, "\nRss:") < 1ul << 30);
	munmap(p, N * 4096);
	free(s);
	free(r);
}

static void check_statm(void)
{
	unsigned long v[7] = { 0 }, w[7] = { 0 };
	enum { MB = 16 };
	char *a = slurp("/proc/self/statm");
	int n = sscanf(a, "%lu %lu %lu %lu %lu %lu %lu", v, v + 1, v + 2, v + 3, v + 4, v + 5, v + 6);
	char *p = mmap(NULL, MB << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *b = slurp("/proc/self/statm");
	sscanf(b, "%lu %lu %lu %lu %lu %lu %lu", w, w + 1, w + 2, w + 3, w + 4, w + 5, w + 6);
	check("statm: seven numbers", n == 7 && v[0] > v[1] && v[1] > 0 && v[3] > 0);
	check("statm: size follows mmap to the page, resident does not", w[0] - v[0] == (MB << 20) / 4096 && w[1] - v[1] < 512);
	check("statm: data counts it too", w[5] - v[5] == (MB << 20) / 4096);
	munmap(p, MB << 20);
	free(a);
	free(b);
}

static void on_usr1(int sig) { (void)sig; }

static void check_status(void)
{
	sigset_t set;
	signal(SIGUSR1, on_usr1);
	signal(SIGUSR2, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGSEGV);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	char *s = slurp("/proc/self/status");
	const char *name = s ? strstr(s, "Name:\t") : NULL;
	check("status: name and ids", name && !strncmp(name + 6, "proc_self", 9) && field(s, "\nPid:\t") == (unsigned)getpid());
	check("status: sizes", field(s, "VmPeak:") >= field(s, "VmSize:") && field(s, "VmSize:") > field(s, "VmRSS:") && field(s, "VmRSS:") > 0);
	check("status: resident size is the sum of its kinds",
	      field(s, "VmRSS:") == field(s, "RssAnon:") + field(s, "RssFile:") + field(s, "RssShmem:"));
	check("status: the program's signals", strstr(s, "SigBlk:\t0000000000004400\n") && strstr(s, "SigIgn:\t0000000000000800\n") &&
		       strstr(s, "SigCgt:\t0000000000000200\n"));
	check("status: one thread", field(s, "Threads:") == 1);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	free(s);
}

static unsigned long stat_field(const char *text, int number)
{
	const char *p = strrchr(text, ')');
	for (int i = 2; p && i < number; i++)
		p = strchr(p + 1, ' ');
	return p ? strtoul(p + 1, NULL, 10) : ~0ul;
}

static void check_stat(void)
{
	char *a = slurp("/proc/self/stat");
	int fields = 1;
	for (const char *p = strrchr(a, ')'); *p; p++)
		fields += *p == ' ';
	check("stat: 52 fields", fields + 1 == 52);
	check("stat: the program's pid", strtol(a, NULL, 10) == getpid());
	uintptr_t here = (uintptr_t)check_stat;
	check("stat: code lies where it says", here >= stat_field(a, 26) && here < stat_field(a, 27));
	check("stat: data lies where it says", (uintptr_t)&data >= stat_field(a, 45) && (uintptr_t)&data < stat_field(a, 46) + 4096);
	check("stat: stack lies above this frame", stat_field(a, 28) > (uintptr_t)&a);
	check("stat: heap", stat_field(a, 47) && stat_field(a, 47) <= (uintptr_t)sbrk(0));
	check("stat: environment", stat_field(a, 50) == (uintptr_t)environ[0]);
	unsigned long before = stat_field(a, 10);
	enum { PAGES = 2000 };
	char *p = mmap(NULL, PAGES * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (int i = 0; i < PAGES; i++)
		p[i * 4096] = 1;
	char *b = slurp("/proc/self/stat");
	check("stat: minor faults are counted", stat_field(b, 10) > before);
	check("stat: sizes", stat_field(b, 23) >= stat_field(a, 23) + PAGES * 4096ul && stat_field(b, 24) > 0);
	munmap(p, PAGES * 4096);
	free(a);
	free(b);
}

static void check_told(char **argv)
{
	size_t len = 0, env = 0;
	char *s = slurp_at(AT_FDCWD, "/proc/self/cmdline", &len), *e = slurp_at(AT_FDCWD, "/proc/self/environ", &env);
	check("cmdline", s && !strcmp(s, argv[0]) && !strcmp(s + strlen(s) + 1, argv[1]));
	check("environ", e && env && !strcmp(e, environ[0]));
	free(s);
	free(e);
	s = slurp_at(AT_FDCWD, "/proc/self/auxv", &len);
	const unsigned long *av = (const unsigned long *)(void *)s;
	int same = s && len % 16 == 0;
	for (size_t i = 0; same && av[i]; i += 2)
		same = getauxval(av[i]) == av[i + 1] || av[i] == AT_HWCAP || av[i] == AT_HWCAP2; /* glibc edits these two */
	check("auxv is what the program was given", same);
	free(s);
	s = slurp("/proc/self/comm");
	check("comm", s && !strncmp(s, "proc_self", 9));
	free(s);
}

/* A statm of a program of our size, not of one with softfault's memory in it. */
static int small(const char *statm)
{
	return statm && field(statm, "") < 1ul << 18;
}

/* Every way to say "me". */
static void check_names(void)
{
	char path[64];
	char *self = slurp("/proc/self/statm");
	snprintf(path, sizeof(path), "/proc/%d/statm", getpid());
	char *by_pid = slurp(path);
	snprintf(path, sizeof(path), "/proc/%d/task/%d/statm", getpid(), getpid());
	char *by_tid = slurp(path);
	int dir = open("/proc/self", O_RDONLY | O_DIRECTORY);
	char *by_dir = slurp_at(dir, "statm", NULL), *odd = slurp("/proc//self/./task/../statm"), *thread = slurp("/proc/thread-self/statm");
	check("names: pid, task, directory, odd spelling, thread-self", small(self) && small(by_pid) && small(by_tid) && small(by_dir) &&
		       small(odd) && small(thread));
	chdir("/proc/self");
	char *by_cwd = slurp("maps");
	check("names: relative to the working directory", by_cwd && strstr(by_cwd, "[stack]") && !strstr(by_cwd, "softfault-um"));
	close(dir);
	free(self), free(by_pid), free(by_tid), free(by_dir), free(odd), free(thread), free(by_cwd);
}

static void check_descriptors(void)
{
	int a = open("/dev/null", O_RDONLY), b;
	close(a);
	b = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	check("a view gets the lowest free descriptor", a == b);
	check("O_CLOEXEC is kept", fcntl(b, F_GETFD) == FD_CLOEXEC);
	check("a view cannot be written", write(b, "x", 1) < 0 && errno == EBADF);
	char x[2];
	check("a view can be read twice", read(b, x, 1) == 1 && !lseek(b, 0, SEEK_SET) && read(b, x + 1, 1) == 1 && x[0] == x[1]);
	close(b);
	b = open("/proc/self/exe", O_RDONLY);
	check("exe opens as the program's file", b == a && read(b, x, 2) == 2 && x[0] == 0x7f && x[1] == 'E');
	close(b);
}

static void *thread_main(void *arg)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/self/task/%ld/status", (long)syscall(SYS_gettid));
	char *s = slurp(path), *t = slurp("/proc/self/status");
	*(int *)arg = s && field(s, "\nPid:\t") == (unsigned long)syscall(SYS_gettid) && t && field(t, "Threads:") == 2;
	free(s);
	free(t);
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t th;
	int ok = 0;
	if (argc < 2)
		return 2;
	setvbuf(stdout, NULL, _IOLBF, 0);
	check_told(argv);
	check_maps();
	check_smaps();
	check_statm();
	check_status();
	check_stat();
	check_descriptors();
	pthread_create(&th, NULL, thread_main, &ok);
	pthread_join(th, NULL);
	check("a thread's own status", ok);
	check_names();
	return 0;
}
