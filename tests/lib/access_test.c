/* SPDX-License-Identifier: MIT */
/* access_test.c - fault-safe access: every length against every border, reasons, threads, signal handlers, loaded objects */
#include "include/softfault.h"
#include "lib/lib.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define PAGE 4096u
#define BAD ((char *)0x1000)
#define NO_ADDRESS ((char *)0x00ff000000000000ull) /* not canonical */

#ifdef HAVE_CXX
extern int cxx_get(const long *p, long *ret), cxx_get2(const long *p, long *ret);
#endif

/* cmocka has handlers of its own for each test. */
static void in_front(void)
{
	assert_true(sf_rearm() >= 0);
}

/* Three pages: usable, of rights prot, usable. */
static char *arena;
static char *mid(int prot)
{
	assert_int_equal(mprotect(arena + PAGE, PAGE, prot), 0);
	return arena + PAGE;
}

static int setup(void **state)
{
	arena = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return arena == MAP_FAILED;
}

static void fill(char *p, size_t n, unsigned seed)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (char)(i * 31 + seed + 1);
}

/* ---------------------------------------------------------------- copies */

/* n bytes of which only the first good are readable. */
static void check_from(size_t n, size_t good, char *bad)
{
	char dst[1100], want[1100];
	const char *src = bad - good;
	struct sf_fault f = { 0 };
	size_t left;

	memset(dst, 0x55, sizeof(dst));
	memset(want, 0x55, sizeof(want));
	memcpy(want, src, good < n ? good : n);
	left = sf_copy_from(dst, src, n, &f);
	assert_int_equal(left, good < n ? n - good : 0);
	assert_memory_equal(dst, want, sizeof(dst));
	if (good >= n)
		return;
	assert_ptr_equal(f.addr, bad);
	assert_int_equal(f.error, -EACCES);
	assert_int_equal(f.write, 0);
}

static void copy_from_stops_at_the_very_byte(void **state)
{
	in_front();
	char *bad = mid(PROT_NONE);

	fill(arena, PAGE, 3);
	for (size_t n = 0; n < 300; n++)
		for (size_t good = 0; good <= n; good += good < 20 || n - good < 20 ? 1 : 7)
			check_from(n, good, bad);
	check_from(1000, 1, bad);
	check_from(1000, 999, bad);
	check_from(1000, 1000, bad);
}

static void check_to(size_t n, size_t good, char *bad)
{
	char src[1100], want[PAGE];
	struct sf_fault f = { 0 };
	size_t done = good < n ? good : n;

	fill(src, sizeof(src), (unsigned)n);
	memset(bad - PAGE, 0x55, PAGE);
	memset(want, 0x55, PAGE);
	memcpy(want + PAGE - good, src, done);
	assert_int_equal(sf_copy_to(bad - good, src, n, &f), n - done);
	assert_memory_equal(bad - PAGE, want, PAGE);
	if (good >= n)
		return;
	assert_ptr_equal(f.addr, bad);
	assert_int_equal(f.error, -EACCES);
	assert_int_equal(f.write, 1);
}

static void copy_to_stops_at_the_very_byte(void **state)
{
	in_front();
	char *bad = mid(PROT_READ);

	for (size_t n = 1; n < 300; n += n < 140 ? 1 : 11)
		for (size_t good = 0; good <= n; good += good < 20 || n - good < 20 ? 1 : 13)
			check_to(n, good, bad);
	check_to(1000, 777, bad);
}

static void clear_stops_at_the_very_byte(void **state)
{
	in_front();
	char *bad = mid(PROT_READ), zeros[64] = { 0 };
	struct sf_fault f;

	memset(arena, 7, PAGE);
	assert_int_equal(sf_clear(bad - 64, 100, &f), 36);
	assert_memory_equal(bad - 64, zeros, 64);
	assert_int_equal(bad[-65], 7);
	assert_ptr_equal(f.addr, bad);
	assert_int_equal(f.error, -EACCES);
	assert_int_equal(f.write, 1);
	assert_int_equal(sf_clear(bad - 64, 64, NULL), 0);
}

static void the_reason_is_told(void **state)
{
	in_front();
	char buf[64], *none = mid(PROT_NONE);
	struct sf_fault f;
	int fd = memfd_create("short", 0);

	assert_int_equal(sf_copy_from(buf, none, 64, &f), 64);
	assert_int_equal(f.error, -EACCES);
	assert_int_equal(sf_copy_from(buf, BAD, 64, &f), 64);
	assert_int_equal(f.error, -EFAULT);
	assert_ptr_equal(f.addr, BAD);
	assert_int_equal(sf_copy_from(buf, NULL, 64, &f), 64);
	assert_int_equal(f.error, -EFAULT);
	assert_ptr_equal(f.addr, NULL);
	assert_int_equal(sf_copy_from(buf, NO_ADDRESS, 64, &f), 64);
	assert_int_equal(f.error, -EFAULT);
	assert_ptr_equal(f.addr, NO_ADDRESS);
	assert_int_equal(f.write, 0);
	assert_int_equal(sf_copy_to(NO_ADDRESS, buf, 5000, &f), 5000);
	assert_ptr_equal(f.addr, NO_ADDRESS);
	assert_int_equal(f.write, 1);
	assert_int_equal(sf_copy_from(buf, (void *)UINT64_MAX, 2, &f), 2);
	assert_ptr_equal(f.addr, UINT64_MAX);

	assert_int_equal(ftruncate(fd, 10), 0);
	char *map = mmap(NULL, 2 * PAGE, PROT_READ, MAP_SHARED, fd, 0);

	assert_int_equal(sf_copy_from(buf, map + PAGE - 1, 64, &f), 63);
	assert_int_equal(f.error, -ENXIO);
	assert_ptr_equal(f.addr, map + PAGE);
	munmap(map, 2 * PAGE);
	close(fd);
}

/* ---------------------------------------------------------------- words */

static void get_and_put_of_every_size(void **state)
{
	in_front();
	char *ro = mid(PROT_READ);
	uint8_t b = 0x81;
	uint16_t w = 0x8182;
	uint32_t l = 0x81828384;
	uint64_t q = 0x8182838485868788;
	int64_t v64 = -1;
	struct sf_fault f = { 0 };
	double d = 0;

	for (int k = 0; k < 2; k++) { /* 1: across the border into the read-only page */
		char *at = k ? ro - 1 : arena + 1;

		assert_int_equal(sf_put((uint8_t *)at, b), 0);
		assert_int_equal(sf_put((uint16_t *)at, w), k ? -EACCES : 0);
		assert_int_equal(sf_put((uint32_t *)at, l), k ? -EACCES : 0);
		assert_int_equal(sf_put((uint64_t *)at, q), k ? -EACCES : 0);
	}
	assert_int_equal(sf_get((uint64_t *)(arena + 1), &q), 0);
	assert_int_equal(q, 0x8182838485868788);
	assert_int_equal(sf_get((uint32_t *)(arena + 1), &l), 0);
	assert_int_equal(l, 0x85868788);
	assert_int_equal(sf_get((uint16_t *)(arena + 1), &w), 0);
	assert_int_equal(w, 0x8788);
	assert_int_equal(sf_get((uint8_t *)(arena + 1), &b), 0);
	assert_int_equal(b, 0x88);
	assert_int_equal(sf_put((double *)arena, 1.5), 0);
	assert_int_equal(sf_get((double *)arena, &d), 0);
	assert_true(d == 1.5);
	assert_int_equal(sf_get((int64_t *)BAD, &v64), -EFAULT);
	assert_int_equal(v64, -1);
	assert_int_equal(sf_get((int64_t *)NULL, &v64), -EFAULT);
	assert_int_equal(sf_get_fault((int64_t *)NO_ADDRESS, &v64, &f), -EFAULT);
	assert_ptr_equal(f.addr, NO_ADDRESS);
	assert_int_equal(sf_put_fault((int64_t *)(ro - 3), 1, &f), -EACCES);
	assert_ptr_equal(f.addr, ro);
	assert_int_equal(f.write, 1);
	assert_int_equal(sf_get((int64_t *)NO_ADDRESS, &v64), -EFAULT);
	assert_int_equal(v64, -1);
}

static void strings_end_at_a_nul_a_limit_or_a_fault(void **state)
{
	in_front();
	char dst[64], *bad = mid(PROT_NONE);
	struct sf_fault f;

	memset(arena, 'x', PAGE);
	for (unsigned len = 0; len < 20; len++) {
		bad[-1] = 0;
		memset(dst, '#', sizeof(dst));
		assert_int_equal(sf_strncpy_from(dst, bad - 1 - len, sizeof(dst), &f), len);
		assert_int_equal(dst[len], 0);
		assert_int_equal(dst[len + 1], '#');
		bad[-1] = 'x';
		assert_int_equal(sf_strncpy_from(dst, bad - 1 - len, sizeof(dst), &f), -EACCES);
		assert_ptr_equal(f.addr, bad);
		assert_int_equal(sf_strncpy_from(dst, bad - 1 - len, len + 1, &f), len + 1);
	}
	assert_int_equal(sf_strncpy_from(dst, BAD, 0, NULL), 0);
	assert_int_equal(sf_strncpy_from(dst, BAD, 1, NULL), -EFAULT);
}

static void comparison_decides_before_a_fault(void **state)
{
	in_front();
	char *bad = mid(PROT_NONE), other[200];
	struct sf_fault f;
	int r = 7;

	fill(arena, PAGE, 1);
	for (unsigned n = 1; n < 100; n++) {
		memcpy(other, bad - n, n);
		assert_int_equal(sf_cmp(bad - n, other, n, &r, NULL), 0);
		assert_int_equal(r, 0);
		assert_int_equal(sf_cmp(other, bad - n, n + 1, &r, &f), -EACCES);
		assert_int_equal(r, 0);
		assert_ptr_equal(f.addr, bad);
		other[n / 2]++;
		assert_int_equal(sf_cmp(other, bad - n, n + 50, &r, NULL), 0);
		assert_int_equal(r, memcmp(other, bad - n, n) < 0 ? -1 : 1);
		r = 0;
	}
	assert_int_equal(sf_cmp(BAD, BAD, 0, &r, NULL), 0);
	assert_int_equal(r, 0);
	assert_int_equal(sf_cmp(arena, arena, 1, NULL, NULL), -EINVAL);
}

static void compare_and_exchange(void **state)
{
	in_front();
	char *ro = mid(PROT_READ);
	uint64_t old;
	struct sf_fault f;

	for (unsigned size = 1; size <= 8; size *= 2) {
		uint64_t top = 0xf1f2f3f4f5f6f7f8ull;

		memset(arena, 0, 64);
		old = 5;
		assert_int_equal(sf_atomic_cas(arena + 8, size, &old, top, NULL), 0);
		assert_int_equal(old, 0);
		assert_int_equal(sf_atomic_cas(arena + 8, size, &old, top, NULL), 1);
		assert_int_equal(old, 0);
		assert_memory_equal(arena + 8, &top, size);
		assert_int_equal(arena[8 + size], 0);
		old = 9;
		assert_int_equal(sf_atomic_cas(ro, size, &old, 1, &f), -EACCES);
		assert_int_equal(old, 9);
		assert_ptr_equal(f.addr, ro);
		assert_int_equal(f.write, 1);
		assert_int_equal(sf_atomic_cas(BAD, size, &old, 1, NULL), -EFAULT);
		if (size > 1)
			assert_int_equal(sf_atomic_cas(arena + 1, size, &old, 1, NULL), -EINVAL);
	}
	assert_int_equal(sf_atomic_cas(arena, 3, &old, 1, NULL), -EINVAL);
	assert_int_equal(sf_atomic_cas(arena, 16, &old, 1, NULL), -EINVAL);
	assert_int_equal(sf_atomic_cas(arena, 4, NULL, 1, NULL), -EINVAL);
}

static void probe_finds_the_first_bad_page(void **state)
{
	in_front();
	char *ro = mid(PROT_READ);
	struct sf_fault f;

	fill(arena, PAGE, 9);
	assert_int_equal(sf_probe(arena, 3 * PAGE, 0, NULL), 0);
	assert_int_equal(sf_probe(arena + 100, 2 * PAGE, 1, &f), -EACCES);
	assert_ptr_equal(f.addr, ro);
	assert_int_equal(f.write, 1);
	assert_int_equal(sf_probe(arena, PAGE, 1, NULL), 0);
	assert_int_equal((unsigned char)arena[0], 10);
	mid(PROT_NONE);
	assert_int_equal(sf_probe(arena + PAGE - 1, 2, 0, &f), -EACCES);
	assert_ptr_equal(f.addr, ro);
	assert_int_equal(sf_probe(arena + PAGE - 1, 1, 0, &f), 0);
	assert_int_equal(sf_probe(BAD, 0, 0, NULL), 0);
	assert_int_equal(sf_probe(BAD, 1, 0, NULL), -EFAULT);
}

/* ---------------------------------------------------------------- where it may be called */

static volatile int in_handler;
static void handler(int signo)
{
	char buf[256];
	struct sf_fault f;

	in_handler = sf_copy_from(buf, BAD, 200, &f) == 200 && f.error == -EFAULT && sf_get((int *)BAD, (int *)buf) == -EFAULT ? 1 : -1;
}

static void works_in_a_signal_handler(void **state)
{
	in_front();
	struct sigaction sa = { .sa_handler = handler }, was;

	sigaction(SIGUSR1, &sa, &was);
	raise(SIGUSR1);
	sigaction(SIGUSR1, &was, NULL);
	assert_int_equal(in_handler, 1);
}

static void *many(void *arg)
{
	char buf[300];
	struct sf_fault f;

	for (unsigned i = 0; i < 2000; i++) {
		char *at = (char *)arg + i;

		if (sf_copy_from(buf, at, 300, &f) != 300 || f.addr != at || f.error != -EFAULT)
			return at;
	}
	return NULL;
}

static void works_in_several_threads(void **state)
{
	in_front();
	pthread_t t[4];
	void *bad;

	for (uintptr_t i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&t[i], NULL, many, BAD + i * 0x1000), 0);
	for (unsigned i = 0; i < 4; i++) {
		pthread_join(t[i], &bad);
		assert_null(bad);
	}
}

static void other_faults_still_kill(void **state)
{
	in_front();
	int status;
	pid_t pid = fork();

	if (!pid) {
		signal(SIGSEGV, SIG_DFL);
		in_front();
		*(volatile char *)BAD = 1;
		_exit(0);
	}
	waitpid(pid, &status, 0);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGSEGV);
}

/* ---------------------------------------------------------------- loaded objects (row 16) */

#define PLUGIN "access_plugin.so"

struct plugin {
	void *handle;
	int (*get)(const int *p, int *ret);
	int (*put)(int *p, int val);
	const void *(*insn)(void);
	unsigned long (*entries)(void);
};

static struct plugin load_plugin(void)
{
	char path[4096], *slash;
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - sizeof(PLUGIN) - 1);
	struct plugin p;

	assert_true(n > 0);
	path[n] = 0;
	slash = strrchr(path, '/');
	memcpy(slash + 1, PLUGIN, sizeof(PLUGIN));
	p.handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!p.handle)
		fail_msg("%s", dlerror());
	*(void **)&p.get = dlsym(p.handle, "plugin_get");
	*(void **)&p.put = dlsym(p.handle, "plugin_put");
	*(void **)&p.insn = dlsym(p.handle, "plugin_insn");
	*(void **)&p.entries = dlsym(p.handle, "plugin_entries");
	return p;
}

static void a_loaded_object_is_searched_and_forgotten(void **state)
{
	in_front();
	vaddr_t fixup, insn;
	int type, v = 3;

	for (unsigned round = 0; round < 20; round++) {
		struct plugin p = load_plugin();

		assert_true(p.entries() >= 2);
		assert_int_equal(p.get((int *)BAD, &v), -EFAULT);
		assert_int_equal(p.put((int *)BAD, 1), -EFAULT);
		assert_int_equal(p.put(&v, 4), 0);
		assert_int_equal(v, 4);
		insn = (vaddr_t)p.insn();
		assert_true(access_lookup(insn, &fixup, &type));
		assert_true(fixup > insn && fixup < insn + 16);
		assert_int_equal(type, SF_EX_ERRNO);
		assert_int_equal(dlclose(p.handle), 0);
		assert_null(dlopen(PLUGIN, RTLD_NOW | RTLD_NOLOAD));
		assert_false(access_lookup(insn, &fixup, &type));
		assert_int_equal(sf_get((int *)BAD, &v), -EFAULT);
	}
}

static volatile bool stop_searching;
static volatile uint64_t searched;
static void *keep_faulting(void *arg)
{
	int v;

	while (!stop_searching)
		if (sf_get((int *)BAD, &v) == -EFAULT)
			searched++;
	return NULL;
}

static void objects_come_and_go_while_others_fault(void **state)
{
	in_front();
	pthread_t t;

	assert_int_equal(pthread_create(&t, NULL, keep_faulting, NULL), 0);
	for (unsigned round = 0; round < 50 || searched < 1000; round++) {
		struct plugin p = load_plugin();
		int v;

		assert_int_equal(p.get((int *)BAD, &v), -EFAULT);
		dlclose(p.handle);
	}
	stop_searching = true;
	pthread_join(t, NULL);
}

static void attaching_nests_and_refuses_nonsense(void **state)
{
	in_front();
	static struct sf_ex_entry e[4];
	struct sf_object o = { .start = e, .stop = e + 4 };
	vaddr_t fixup;
	int type;

	e[2].insn = (int32_t)((intptr_t)BAD - (intptr_t)&e[2].insn);
	e[2].fixup = 8;
	for (unsigned i = 0; i < 4; i++)
		e[i].type = 1;
	assert_int_equal(sf_object_attach(NULL), -EINVAL);
	assert_int_equal(sf_object_detach(NULL), -EINVAL);
	assert_int_equal(sf_object_detach(&o), -EINVAL);
	e[3].type = 9;
	assert_int_equal(sf_object_attach(&o), -EINVAL);
	e[3].type = 1;
	o.stop = (struct sf_ex_entry *)((char *)e + 13);
	assert_int_equal(sf_object_attach(&o), -EINVAL);
	o.start = e + 4;
	o.stop = e + 1;
	assert_int_equal(sf_object_attach(&o), -EINVAL);
	o.start = e;
	o.stop = e + 4;
	assert_int_equal(sf_object_attach(&o), 0);
	assert_int_equal(sf_object_attach(&o), 0);
	assert_int_equal(sf_object_detach(&o), 0);
	for (unsigned i = 0; i < 4; i++) {
		vaddr_t insn = (vaddr_t)((intptr_t)&e[i].insn + e[i].insn);

		assert_true(access_lookup(insn, &fixup, &type));
		assert_int_equal(type, 1);
	}
	assert_int_equal(sf_object_detach(&o), 0);
	assert_false(access_lookup((vaddr_t)((intptr_t)&e[0].insn + e[0].insn), &fixup, &type));
	assert_int_equal(sf_object_detach(&o), -EINVAL);
}

#ifdef HAVE_CXX
static void templates_bring_their_entries(void **state)
{
	in_front();
	long v = 0, src = 77;

	assert_int_equal(cxx_get((long *)BAD, &v), -EFAULT);
	assert_int_equal(cxx_get2((long *)BAD, &v), -EFAULT);
	assert_int_equal(cxx_get(&src, &v), 0);
	assert_int_equal(v, 77);
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(copy_from_stops_at_the_very_byte),
		cmocka_unit_test(copy_to_stops_at_the_very_byte),
		cmocka_unit_test(clear_stops_at_the_very_byte),
		cmocka_unit_test(the_reason_is_told),
		cmocka_unit_test(get_and_put_of_every_size),
		cmocka_unit_test(strings_end_at_a_nul_a_limit_or_a_fault),
		cmocka_unit_test(comparison_decides_before_a_fault),
		cmocka_unit_test(compare_and_exchange),
		cmocka_unit_test(probe_finds_the_first_bad_page),
		cmocka_unit_test(works_in_a_signal_handler),
		cmocka_unit_test(works_in_several_threads),
		cmocka_unit_test(other_faults_still_kill),
		cmocka_unit_test(a_loaded_object_is_searched_and_forgotten),
		cmocka_unit_test(objects_come_and_go_while_others_fault),
		cmocka_unit_test(attaching_nests_and_refuses_nonsense),
#ifdef HAVE_CXX
		cmocka_unit_test(templates_bring_their_entries),
#endif
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, setup, NULL);
}
