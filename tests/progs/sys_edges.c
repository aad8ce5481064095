/* SPDX-License-Identifier: MIT */
/* sys_edges.c - what conformance suites ask at the edges: mappings that cannot be, areas beside forked ones, policies of memory, clone's rarer words */
#include "transcript.h"

#include <linux/mempolicy.h>
#include <linux/sched.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/uio.h>
#include <sys/wait.h>

#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)

static char *area(size_t pages) { return mmap(NULL, pages * PG, RW, ANON, -1, 0); }

/* In a process of its own, whose output comes in order. */
static void apart(const char *what, void (*fn)(void))
{
	int st = 0;
	printf("-- %s\n", what);
	fflush(stdout);
	pid_t p = fork();
	if (!p) {
		fn();
		fflush(stdout);
		_exit(0);
	}
	waitpid(p, &st, 0);
	if (st)
		printf("  ended with %x\n", st);
}

static void unmappable(void)
{
	int null = open("/dev/null", O_RDWR), info = open("/proc/cpuinfo", O_RDONLY), zero = open("/dev/zero", O_RDWR);
	int empty = open("empty", O_RDWR | O_CREAT, 0600);
	C(SYS_mmap, NULL, PG, RW, MAP_PRIVATE, null, 0L);
	C(SYS_mmap, NULL, PG, PROT_READ, MAP_PRIVATE, info, 0L);
	OK(SYS_mmap, NULL, PG, RW, MAP_PRIVATE, zero, 0L);
	OK(SYS_mmap, NULL, PG, RW, MAP_PRIVATE, empty, 0L);
	unlink("empty");
	C(SYS_mmap, NULL, 1ul << 44, RW, ANON, -1, 0L);
	OK(SYS_mmap, NULL, 1ul << 44, PROT_READ, ANON, -1, 0L);
	OK(SYS_mmap, NULL, 1ul << 44, RW, ANON | MAP_NORESERVE, -1, 0L);
	C(SYS_munmap, (1ul << 47) - 2 * PG, PG);
	C(SYS_munmap, (1ul << 47) - 2 * PG, 0L);
	C(SYS_munmap, (1ul << 47), PG);
}

static void no_data(void)
{
	struct rlimit r = { 0, RLIM_INFINITY };
	setrlimit(RLIMIT_DATA, &r);
	OK(SYS_mmap, NULL, PG, RW, ANON, -1, 0L);
	r.rlim_max = 0;
	setrlimit(RLIMIT_DATA, &r);
	C(SYS_mmap, NULL, PG, RW, ANON, -1, 0L);
}

/* Lines of maps from one address to another. */
static int lines_between(const char *from, const char *to)
{
	char text[256];
	unsigned long start, end;
	int n = 0;
	FILE *f = fopen("/proc/self/maps", "r");
	while (fgets(text, sizeof text, f))
		n += sscanf(text, "%lx-%lx", &start, &end) == 2 && end > (uintptr_t)from && start < (uintptr_t)to;
	fclose(f);
	return n;
}

static char *room, *touched;

static void beside_forked(void)
{
	mmap(touched - 2 * PG, 2 * PG, RW, ANON | MAP_FIXED, -1, 0);
	printf("  below: %d areas\n", lines_between(touched - 2 * PG, touched + 4 * PG));
	touched[-1] = 1;
	mprotect(touched + PG, PG, PROT_READ);
	printf("  cut: %d areas\n", lines_between(touched, touched + 4 * PG));
	mprotect(touched + PG, PG, RW);
	printf("  whole again: %d area\n", lines_between(touched, touched + 4 * PG));
	fflush(stdout);
	if (!fork()) {
		printf("  a generation on: %d areas\n", lines_between(touched - 2 * PG, touched + 4 * PG));
		fflush(stdout);
		_exit(0);
	}
	wait(NULL);
}

static void policy_is(const char *a)
{
	int mode = -1;
	unsigned long nodes = 77;
	C(SYS_get_mempolicy, &mode, &nodes, 64, a, MPOL_F_ADDR);
	printf("  mode %d nodes %lx\n", mode, nodes);
}

static void policies(void)
{
	unsigned long first = 1, far = 1ul << 40, nothing = 0;
	char *a = area(8);
	for (int mode = 0; mode < 9; mode++) {
		printf("  %d: ", mode);
		C(SYS_mbind, a, 4 * PG, mode, &first, 64, 0);
		policy_is(a + PG);
	}
	policy_is(a + 4 * PG);
	C(SYS_mbind, a, 8 * PG, MPOL_BIND, &far, 64, 0);
	C(SYS_mbind, a, 8 * PG, MPOL_BIND, &nothing, 64, 0);
	C(SYS_mbind, a, 8 * PG, MPOL_BIND, NULL, 0, 0);
	C(SYS_mbind, a, 8 * PG, MPOL_BIND, kern, 64, 0);
	C(SYS_mbind, a, 8 * PG, MPOL_BIND, &first, 64, 8);
	C(SYS_mbind, a + 1, PG, MPOL_BIND, &first, 64, 0);
	C(SYS_mbind, hole, PG, MPOL_BIND, &first, 64, 0);
	C(SYS_mbind, a, 0L, MPOL_BIND, &first, 64, 0);
	C(SYS_mbind, a + PG, PG, MPOL_DEFAULT, NULL, 0, 0);
	policy_is(a);
	policy_is(a + PG);
	policy_is(a + 2 * PG);
	C(SYS_mbind, a, 8 * PG, MPOL_DEFAULT, NULL, 0, 0);
	policy_is(a + 2 * PG);
	C(SYS_get_mempolicy, NULL, NULL, 0, hole, MPOL_F_ADDR);
	a[0] = 1;
	int node = -1;
	C(SYS_get_mempolicy, &node, NULL, 0, a, MPOL_F_NODE | MPOL_F_ADDR);
	printf("  node %d\n", node);
	C(SYS_move_pages, 0x3fffffff, 0L, NULL, NULL, NULL, 0);
}

static int present(int fd, const char *a)
{
	uint64_t word = 0;
	return pread(fd, &word, sizeof word, (off_t)((uintptr_t)a / PG * sizeof word)) == sizeof word ? (int)(word >> 63) : -1;
}

static void page_map(void)
{
	char *a = area(4);
	a[PG] = 1;
	int fd = open("/proc/self/pagemap", O_RDONLY);
	printf("  pages %d%d%d%d, hole %d\n", present(fd, a), present(fd, a + PG), present(fd, a + 2 * PG), present(fd, a + 3 * PG), present(fd, hole));
}

/* The end of the line of maps about an address. */
static void name_of(const char *a)
{
	char text[512];
	unsigned long start, end;
	FILE *f = fopen("/proc/self/maps", "r");
	while (fgets(text, sizeof text, f))
		if (sscanf(text, "%lx-%lx", &start, &end) == 2 && start <= (uintptr_t)a && (uintptr_t)a < end)
			printf("  %s", strrchr(text, '/') ? strrchr(text, '/') : text);
	fclose(f);
}

static void names(void)
{
	int fd = open("gone", O_RDWR | O_CREAT, 0600);
	(void)!ftruncate(fd, 2 * PG);
	char *shared = mmap(NULL, PG, RW, MAP_SHARED, fd, 0), *mine = mmap(NULL, PG, RW, MAP_PRIVATE, fd, PG);
	name_of(shared);
	unlink("gone");
	name_of(shared);
	name_of(mine);
	name_of(mmap(NULL, PG, RW, MAP_SHARED, fd, 0));
}

static void alone(void)
{
	C(SYS_unshare, CLONE_FILES);
	C(SYS_unshare, CLONE_FS);
	C(SYS_unshare, CLONE_VM | CLONE_SIGHAND | CLONE_THREAD);
	C(SYS_unshare, -1L);
	int fd = dup(1);
	printf("  still usable %d\n", fd > 0 && !close(fd));
}

static void try3(const char *what, struct clone_args a, size_t size)
{
	int st = 0;
	fflush(stdout);
	errno = 0;
	long r = syscall(SYS_clone3, &a, size);
	if (!r)
		_exit(3);
	printf("  %s: %s", what, r > 0 ? "a child" : answer(r));
	if (r > 0)
		printf(", %d", waitpid((pid_t)r, &st, __WALL) == r ? WEXITSTATUS(st) : -1);
	puts("");
}

static void clones(void)
{
	int low[1] = { 1 }, odd[1] = { -1 };
	struct clone_args plain = { .exit_signal = SIGCHLD }, a;
	try3("plain", plain, sizeof a);
	a = plain, a.stack = -16ul, a.stack_size = 32;
	try3("stack out of reach", a, sizeof a);
	a = plain, a.flags = CLONE_INTO_CGROUP, a.cgroup = 999;
	try3("no such cgroup", a, sizeof a);
	a.cgroup = -1ul;
	try3("not even a number", a, sizeof a);
	a.cgroup = 999;
	try3("without room to say", a, CLONE_ARGS_SIZE_VER1);
	a = plain, a.set_tid = (uintptr_t)low;
	try3("how many numbers?", a, sizeof a);
	a.set_tid_size = 33;
	try3("too many numbers", a, sizeof a);
	a.set_tid_size = 1;
	try3("a number in use", a, sizeof a);
	a.set_tid = (uintptr_t)odd;
	try3("no number", a, sizeof a);
	a.set_tid = 8;
	try3("numbers nowhere", a, sizeof a);
	long r = syscall(SYS_clone, 65, 0, 0, 0, 0); /* a signal that there is not */
	if (!r)
		_exit(4);
	printf("  signal 65: %s\n", r > 0 && waitpid((pid_t)r, NULL, __WALL) == r ? "a child" : answer(r));
}

static void switches(void)
{
	C(SYS_prctl, PR_SET_TSC, PR_TSC_ENABLE, 0, 0, 0);
	C(SYS_prctl, 67 /* PR_SET_MEMORY_MERGE */, 1, 0, 0, 0);
	C(SYS_prctl, 68 /* PR_GET_MEMORY_MERGE */, 0, 0, 0, 0);
	C(SYS_prctl, 68, 1, 0, 0, 0);
	C(SYS_prctl, 67, 0, 0, 0, 0);
	C(SYS_prctl, 68, 0, 0, 0, 0);
	C(SYS_personality, READ_IMPLIES_EXEC);
	char *a = mmap(NULL, PG, RW, ANON, -1, 0);
	*a = (char)0xc3;
	((void (*)(void))a)();
	puts("  what can be read can be executed");
	int id = shmget(IPC_PRIVATE, 2 * PG, 0600);
	a = shmat(id, NULL, 0);
	memset(a, 7, 2 * PG);
	C(SYS_madvise, a + PG, PG, MADV_REMOVE);
	printf("  segment %d %d\n", a[0], a[PG]);
	shmctl(id, IPC_RMID, NULL);
	struct iovec here = { a, PG }, there = { a, -1ul };
	C(SYS_process_vm_readv, getpid(), &here, 1, &there, 1, 0);
	C(SYS_process_vm_readv, getpid(), &there, 1, &here, 1, 0);
	C(SYS_execveat, AT_FDCWD, "/bin/sh", NULL, NULL, 0x40000);
}

static void show_limits(void)
{
	static const int which[] = { RLIMIT_DATA, RLIMIT_STACK, RLIMIT_NOFILE, RLIMIT_MEMLOCK, RLIMIT_AS };
	char line[128];
	for (size_t i = 0; i < sizeof which / sizeof *which; i++) {
		struct rlimit r;
		getrlimit(which[i], &r);
		printf("  %d: %lu %lu\n", which[i], (unsigned long)r.rlim_cur, (unsigned long)r.rlim_max);
	}
	FILE *f = fopen("/proc/self/limits", "r");
	while (fgets(line, sizeof line, f))
		if (strstr(line, "data") || strstr(line, "stack") || strstr(line, "open files") || strstr(line, "lock") || strstr(line, "address"))
			printf("  %s", line);
	fclose(f);
}

static void limits_stay(void)
{
	const struct rlimit data = { 1ul << 32, 1ul << 33 }, stack = { 1 << 22, 1 << 23 }, files = { 50, 60 }, lock = { 1 << 15, 1 << 16 },
			    as = { 1ul << 35, 1ul << 36 };
	setrlimit(RLIMIT_DATA, &data);
	setrlimit(RLIMIT_STACK, &stack);
	setrlimit(RLIMIT_NOFILE, &files);
	setrlimit(RLIMIT_MEMLOCK, &lock);
	setrlimit(RLIMIT_AS, &as);
	fflush(stdout);
	execl("/proc/self/exe", "sys_edges", "limits", NULL);
}

static void strict(void)
{
	C(SYS_seccomp, 0, 1, NULL);
	C(SYS_seccomp, 0, 0, "x");
	C(SYS_seccomp, 9, 0, NULL);
	C(SYS_prctl, PR_SET_SECCOMP, 7, 0, 0, 0);
	fflush(stdout);
	if (!fork()) {
		syscall(SYS_prctl, PR_SET_SECCOMP, 1, 0, 0, 0);
		(void)!syscall(SYS_write, 1, "  may write\n", 12);
		syscall(SYS_exit, 5);
	}
	int st = 0;
	wait(&st);
	printf("  ended with %x\n", st);
	fflush(stdout);
	if (!fork()) {
		syscall(SYS_seccomp, 0, 0, NULL);
		syscall(SYS_getpid);
		(void)!syscall(SYS_write, 1, "  may ask\n", 10);
		_exit(0);
	}
	wait(&st);
	printf("  ended with %x\n", st);
}

static void lock_and_write(void)
{
	unsigned char in[2] = { 9, 9 };
	char *a = mmap(NULL, 2 * PG, PROT_NONE, ANON | MAP_LOCKED, -1, 0);
	C(SYS_mprotect, a, PG, RW);
	C(SYS_mincore, a, 2 * PG, in);
	printf("  in memory %d %d\n", in[0] & 1, in[1] & 1);
}

int main(int argc, char **argv)
{
	if (argc > 1) {
		show_limits();
		return 0;
	}
	transcript_begin();
	room = area(16);
	munmap(room, 16 * PG);
	touched = mmap(room + 8 * PG, 4 * PG, RW, ANON | MAP_FIXED, -1, 0);
	memset(touched, 1, 4 * PG);
	apart("mmap, munmap", unmappable);
	apart("RLIMIT_DATA", no_data);
	apart("beside what came by fork", beside_forked);
	apart("mbind", policies);
	apart("pagemap", page_map);
	apart("names in maps", names);
	apart("unshare", alone);
	apart("clone", clones);
	apart("switches", switches);
	apart("limits across execve", limits_stay);
	apart("strict", strict);
	apart("locked without rights", lock_and_write);
	return 0;
}
