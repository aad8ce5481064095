/* SPDX-License-Identifier: MIT */
/* signal_test.c - living with others: handlers before and after ours, alternate stacks, dying properly, fork
 *
 * Whatever ends a process is done in a child with a pool of its own. */
#include "lib_test.h"

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

static sigjmp_buf landing;
static volatile struct { int signo, calls; void *addr; int code; uint64_t mask; } seen;

static void note(int signo, siginfo_t *si, void *uc)
{
	sigset_t now;

	seen.signo = signo;
	seen.calls++;
	seen.addr = si->si_addr;
	seen.code = si->si_code;
	pthread_sigmask(SIG_SETMASK, NULL, &now);
	memcpy((void *)&seen.mask, &now, 8);
	siglongjmp(landing, 1);
}

static void plain(int signo)
{
	seen.signo = signo;
	seen.calls++;
	siglongjmp(landing, 1);
}

/* Runs fn in a child; its wait status. */
static int in_child(void (*fn)(void))
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		signal(SIGSEGV, SIG_DFL);
		signal(SIGBUS, SIG_DFL);
		fn();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

#define CHILD_CHECK(cond) do { if (!(cond)) { fprintf(stderr, "# %s:%d: %s\n", __FILE__, __LINE__, #cond); _exit(99); } } while (0)

static volatile char *child_region(uint64_t pages)
{
	sf_pool *pool;
	sf_region *r;
	volatile char *m;

	CHILD_CHECK(!sf_pool_create(POOL_OPTIONS(.bound = BOUND), &pool));
	CHILD_CHECK(sf_rearm() >= 0);
	CHILD_CHECK(!sf_map(pool, pages * PAGE, NULL, &r, (void **)&m));
	m[0] = 1;
	return m;
}

/* ---------------------------------------------------------------- handlers that were there before */

static void chain_to_siginfo(void)
{
	struct sigaction sa = { .sa_sigaction = note, .sa_flags = SA_SIGINFO };
	volatile char *m;

	sigaddset(&sa.sa_mask, SIGUSR1);
	sigaction(SIGSEGV, &sa, NULL);
	m = child_region(4);
	for (volatile int i = 1; i <= 3; i++) {
		if (!sigsetjmp(landing, 1)) {
			*(volatile char *)(m + 4 * PAGE + 17) = 1;
			_exit(98);
		}
		CHILD_CHECK(seen.calls == i && seen.signo == SIGSEGV && seen.code == SEGV_MAPERR && seen.addr == m + 4 * PAGE + 17);
		CHILD_CHECK(seen.mask & 1ull << (SIGUSR1 - 1) && seen.mask & 1ull << (SIGSEGV - 1));
		CHILD_CHECK(!(seen.mask & 1ull << (SIGUSR2 - 1)));
	}
	m[PAGE] = 2; /* and faults still work */
	CHILD_CHECK(m[PAGE] == 2);
}

static void chain_to_plain_once(void)
{
	struct sigaction sa = { .sa_handler = plain, .sa_flags = (int)(SA_RESETHAND | SA_NODEFER) };
	volatile char *m;

	sigaction(SIGSEGV, &sa, NULL);
	m = child_region(1);
	if (!sigsetjmp(landing, 1))
		*(volatile char *)(m + PAGE) = 1;
	CHILD_CHECK(seen.calls == 1);
	*(volatile char *)(m + PAGE) = 1; /* dies now */
}

static void touch_nothing(void)
{
	volatile char *m = child_region(1);

	*(volatile char *)(m + PAGE) = 1;
}

static void touch_lost_page(void)
{
	int fd = temp_file(1);
	sf_pool *pool;
	sf_region *r;
	volatile char *m;

	CHILD_CHECK(!sf_pool_create(POOL_OPTIONS(.bound = BOUND), &pool));
	CHILD_CHECK(sf_rearm() >= 0);
	CHILD_CHECK(!sf_map(pool, 2 * PAGE, MAP(.kind = SF_FILE_PRIVATE, .fd = fd), &r, (void **)&m));
	*(volatile char *)(m + PAGE) = 1;
}

static void ignored(void)
{
	signal(SIGSEGV, SIG_IGN);
	touch_nothing();
}

static void sent_signal(void)
{
	(void)child_region(1);
	raise(SIGSEGV);
}

static void those_before_us_are_called_as_the_host_would(void **state)
{
	int st;

	assert_int_equal(in_child(chain_to_siginfo), 0);
	st = in_child(chain_to_plain_once);
	assert_true(WIFSIGNALED(st) && WTERMSIG(st) == SIGSEGV);
	st = in_child(touch_nothing);
	assert_true(WIFSIGNALED(st) && WTERMSIG(st) == SIGSEGV);
	st = in_child(touch_lost_page);
	assert_true(WIFSIGNALED(st) && WTERMSIG(st) == SIGBUS);
	st = in_child(ignored);
	assert_true(WIFSIGNALED(st) && WTERMSIG(st) == SIGSEGV);
	st = in_child(sent_signal);
	assert_true(WIFSIGNALED(st) && WTERMSIG(st) == SIGSEGV);
}

/* ---------------------------------------------------------------- handlers that come later */

static struct sigaction below;
static volatile int newcomer_calls;

static void newcomer(int signo, siginfo_t *si, void *uc)
{
	newcomer_calls++;
	if (below.sa_flags & SA_SIGINFO)
		below.sa_sigaction(signo, si, uc);
	else
		siglongjmp(landing, 2);
}

static void later_handlers(void)
{
	struct sigaction first = { .sa_sigaction = note, .sa_flags = SA_SIGINFO };
	struct sigaction sa = { .sa_sigaction = newcomer, .sa_flags = SA_SIGINFO };
	volatile char *m;

	sigaction(SIGSEGV, &first, NULL);
	sigaction(SIGBUS, &first, NULL);
	m = child_region(8);
	sigaction(SIGSEGV, &sa, &below);
	sigaction(SIGBUS, &sa, NULL);
	m[2 * PAGE] = 1; /* comes to the newcomer, who asks us */
	CHILD_CHECK(newcomer_calls == 1);
	CHILD_CHECK(sf_rearm() == 1);
	CHILD_CHECK(sf_rearm() == 0);
	m[3 * PAGE] = 1; /* comes to us */
	CHILD_CHECK(newcomer_calls == 1);
	for (volatile int i = 0; i < 3; i++) { /* nobody's: us, the newcomer, who asks us again, the first */
		seen.calls = 0;
		if (!sigsetjmp(landing, 1)) {
			*(volatile char *)(m + 8 * PAGE) = 1;
			_exit(98);
		}
		CHILD_CHECK(newcomer_calls == 2 + i);
		CHILD_CHECK(seen.calls == 1 && seen.addr == m + 8 * PAGE);
	}
}

static void those_after_us_may_chain_or_be_put_behind(void **state)
{
	assert_int_equal(in_child(later_handlers), 0);
}

/* ---------------------------------------------------------------- stacks and signal handlers */

static char *handler_memory;
static volatile int handler_sum;

static void touching_handler(int signo)
{
	struct sf_try t;

	for (unsigned i = 0; i < 200; i++)
		handler_memory[i * PAGE]++;
	if (!sf_try(&t)) {
		*(volatile char *)(handler_memory + 300 * PAGE) = 1;
		sf_try_end(&t);
	} else {
		handler_sum += t.error == -EFAULT;
	}
}

static void *touch_on_alternate_stack(void *arg)
{
	stack_t ss = { .ss_size = 16 << 10 };
	char *m = arg;

	ss.ss_sp = malloc(ss.ss_size);
	sigaltstack(&ss, NULL);
	for (unsigned i = 0; i < 200; i++)
		m[i * PAGE]++;
	sigaltstack(&(stack_t){ .ss_flags = SS_DISABLE }, NULL);
	free(ss.ss_sp);
	return NULL;
}

static void in_handlers_threads_and_on_other_stacks(void **state)
{
	struct sigaction sa = { .sa_handler = touching_handler }, old;
	sf_pool *pool = open_pool(BOUND);
	pthread_t thr[3];
	sf_region *r;
	char *m;

	OK(sf_map(pool, 300 * PAGE, NULL, &r, (void **)&m));
	handler_memory = m;
	sigaction(SIGUSR1, &sa, &old);
	for (unsigned k = 0; k < 3; k++) {
		assert_int_equal(pthread_create(&thr[k], NULL, touch_on_alternate_stack, m + k), 0);
		raise(SIGUSR1);
	}
	for (unsigned k = 0; k < 3; k++)
		pthread_join(thr[k], NULL);
	assert_int_equal(handler_sum % 3, 0);
	for (unsigned i = 0; i < 200; i++)
		assert_true(m[i * PAGE + 1] == 1 && m[i * PAGE + 2] == 1);
	sigaction(SIGUSR1, &old, NULL);
	OK(sf_unmap(r));
	close_pool(pool);
}

/* ---------------------------------------------------------------- fork */

static sf_pool *parents_pool;
static sf_region *parents_region;
static char *parents_memory;

static void child_of_fork(void)
{
	volatile char *m;

	struct sf_pool_stats st = { .struct_size = sizeof(st) };
	CHILD_CHECK(sf_pool_stats(parents_pool, &st) == -ESTALE);
	CHILD_CHECK(sf_unmap(parents_region) == -ESTALE);
	m = child_region(200);
	for (unsigned i = 0; i < 60; i++)
		m[i * PAGE] = (char)i;
	CHILD_CHECK(m[40 * PAGE] == 40);
	CHILD_CHECK(try_read(parents_memory) < 0);
	*(volatile char *)parents_memory = 1;
}

static void children_are_refused(void **state)
{
	int st;

	parents_pool = open_pool(BOUND);
	OK(sf_map(parents_pool, 200 * PAGE, NULL, &parents_region, (void **)&parents_memory));
	for (unsigned i = 0; i < 200; i++)
		parents_memory[i * PAGE] = (char)i;
	st = in_child(child_of_fork);
	assert_true(WIFSIGNALED(st) && WTERMSIG(st) == SIGSEGV);
	for (unsigned i = 0; i < 200; i++)
		assert_int_equal(parents_memory[i * PAGE], (char)i);
	OK(sf_unmap(parents_region));
	close_pool(parents_pool);
}

/* ---------------------------------------------------------------- other page faults are not ours */

static void faults_elsewhere_in_scopes(void **state)
{
	char *page = mmap(NULL, 2 * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd = temp_file(1);
	char *file = mmap(NULL, 2 * PAGE, PROT_READ, MAP_SHARED, fd, 0);

	sf_rearm();
	assert_int_equal(try_write(page, 1), -EACCES);
	assert_int_equal(try_read(file + PAGE), -ENXIO);
	munmap(page, 2 * PAGE);
	munmap(file, 2 * PAGE);
	assert_int_equal(try_read(page), -EFAULT);
	close(fd);
	struct sf_try t;
	if (!sf_try(&t)) { /* non-canonical: the processor does not tell where */
		(void)*(volatile char *)0x1234567812345678;
		fail();
	}
	assert_int_equal(t.error, -EFAULT);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(those_before_us_are_called_as_the_host_would),
	cmocka_unit_test(those_after_us_may_chain_or_be_put_behind),
	cmocka_unit_test(in_handlers_threads_and_on_other_stacks),
	cmocka_unit_test(children_are_refused),
	cmocka_unit_test(faults_elsewhere_in_scopes),
};
MAIN(tests)
