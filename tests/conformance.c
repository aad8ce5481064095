/* SPDX-License-Identifier: MIT */
/* conformance.c - one suite over every port and engine: the core with soft, uffd and segv below it
 *
 * Each test runs once for each face.  Touches are real: on the host engines they are instructions of this process, their
 * faults come as signals, and wrong bytes would be wrong bytes in memory.  conf_port.c tests the ports without the core,
 * conf_model.c the core by random walks.
 *
 *	conformance [FACE]     soft, uffd or segv; all that work here by default */
#include "conf_core.h"
#include "fakes.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

extern struct exception_entry __start___ex_table[], __stop___ex_table[];
static struct fake_store store;
struct rig rig;

void open_rig(uint64_t bound)
{
	fake_store_init(&store, SLOTS + 1);
	rig_open(&rig, conf_face, bound, &store.s);
	if (conf_face->soft)
		soft_set_threaded(rig.port, true);
}

void close_rig(void)
{
	struct vm_area *v;

	machine_check(rig.mc);
	while ((v = TAILQ_FIRST(&MM->list)))
		assert_int_equal(do_munmap(MM, v->start, v->end - v->start), 0);
	machine_check(rig.mc);
	assert_int_equal(rig.mc->used, 0);
	rig_close(&rig);
	fake_store_fini(&store);
}

void map_anon(unsigned page, uint64_t n, unsigned prot)
{
	assert_int_equal(do_mmap(MM, AT(page), n * PAGE_SIZE, prot, ANON | MAP_FIXED, NULL, 0, 0), AT(page));
}

void poke(vaddr_t addr, uint8_t byte)
{
	assert_int_equal(touch(&rig, TK, addr, PT_W, &byte, NULL), TOUCHED);
}

uint8_t peek(vaddr_t addr)
{
	uint8_t byte = 0xee;

	assert_int_equal(touch(&rig, TK, addr, PT_R, &byte, NULL), TOUCHED);
	return byte;
}

static void assert_signal(vaddr_t addr, unsigned access, int signo, int code)
{
	struct fault_report rep;
	uint8_t byte = 1;

	assert_int_equal(touch(&rig, TK, addr, access, &byte, &rep), FAULT_SIGNAL);
	assert_int_equal(rep.signo, signo);
	assert_int_equal(rep.code, code);
	assert_int_equal(rep.addr, addr);
	assert_int_equal(rep.error_code & (PF_WRITE | PF_USER), PF_USER | (access == PT_W ? PF_WRITE : 0));
}

/* A byte that depends on where it stands and on when it was written. */
static uint8_t mark(uint64_t page, unsigned round)
{
	return (uint8_t)((page * 2654435761u + round * 40503u) >> 7 | 1);
}

/* ---------------------------------------------------------------- user mode */

static void anonymous_memory_reads_zero_and_keeps_writes(void **state)
{
	open_rig(0);
	map_anon(0, 40, RW);
	assert_int_equal(peek(AT(3) + 5), 0);
	poke(AT(3) + 5, 7);
	poke(AT(20), 8);
	assert_int_equal(peek(AT(3) + 5), 7);
	assert_int_equal(peek(AT(3) + 6), 0);
	assert_int_equal(peek(AT(20)), 8);
	assert_int_equal(peek(AT(39) + 4095), 0);
	close_rig();
}

static void illegal_touches_get_linuxs_signals(void **state)
{
	open_rig(0);
	map_anon(0, 1, PT_R);
	map_anon(1, 1, PROT_NONE);
	assert_signal(AT(2) + 17, PT_R, SIGSEGV, SEGV_MAPERR);
	assert_signal(AT(2) + 17, PT_W, SIGSEGV, SEGV_MAPERR);
	assert_signal(AT(0) + 9, PT_W, SIGSEGV, SEGV_ACCERR);
	assert_int_equal(peek(AT(0) + 9), 0);
	assert_signal(AT(0) + 9, PT_W, SIGSEGV, SEGV_ACCERR);
	assert_signal(AT(1), PT_R, SIGSEGV, SEGV_ACCERR);
	assert_signal(AT(0), PT_X, SIGSEGV, SEGV_ACCERR);
	close_rig();
}

static void code_runs_only_where_it_may(void **state)
{
	uint8_t ret = 0xc3;

	open_rig(0);
	map_anon(0, 2, RW | PT_X);
	map_anon(2, 1, RW);
	poke(AT(0), ret);
	poke(AT(1), ret);
	poke(AT(2), ret);
	assert_int_equal(touch(&rig, TK, AT(0), PT_X, &ret, NULL), TOUCHED);
	assert_signal(AT(2), PT_X, SIGSEGV, SEGV_ACCERR);
	assert_int_equal(do_mprotect(MM, AT(1), 2 * PAGE_SIZE, PT_R | PT_X), 0);
	assert_int_equal(touch(&rig, TK, AT(2), PT_X, &ret, NULL), TOUCHED);
	assert_signal(AT(1), PT_W, SIGSEGV, SEGV_ACCERR);
	assert_int_equal(do_mprotect(MM, AT(0), PAGE_SIZE, RW), 0);
	assert_signal(AT(0), PT_X, SIGSEGV, SEGV_ACCERR);
	close_rig();
}

static void mprotect_takes_and_gives_rights_and_keeps_bytes(void **state)
{
	open_rig(0);
	map_anon(0, 8, RW);
	for (unsigned i = 0; i < 8; i++)
		poke(AT(i), (uint8_t)(i + 1));
	assert_int_equal(do_mprotect(MM, AT(2), 4 * PAGE_SIZE, PT_R), 0);
	assert_signal(AT(3), PT_W, SIGSEGV, SEGV_ACCERR);
	assert_int_equal(do_mprotect(MM, AT(3), 2 * PAGE_SIZE, PROT_NONE), 0);
	assert_signal(AT(4), PT_R, SIGSEGV, SEGV_ACCERR);
	assert_int_equal(do_mprotect(MM, AT(0), 8 * PAGE_SIZE, RW), 0);
	for (unsigned i = 0; i < 8; i++) {
		assert_int_equal(peek(AT(i)), i + 1);
		poke(AT(i), (uint8_t)(i + 10));
		assert_int_equal(peek(AT(i)), i + 10);
	}
	close_rig();
}

static void unmapped_memory_is_gone_and_comes_back_zero(void **state)
{
	open_rig(0);
	map_anon(0, 30, RW);
	for (unsigned i = 0; i < 30; i++)
		poke(AT(i), 1);
	assert_int_equal(do_munmap(MM, AT(10), 10 * PAGE_SIZE), 0);
	assert_signal(AT(15), PT_R, SIGSEGV, SEGV_MAPERR);
	assert_int_equal(do_madvise(MM, TK, AT(0), 5 * PAGE_SIZE, MADV_DONTNEED), 0);
	map_anon(10, 10, RW);
	for (unsigned i = 0; i < 30; i++)
		assert_int_equal(peek(AT(i)), !(i < 5 || (i >= 10 && i < 20)));
	close_rig();
}

/* ---------------------------------------------------------------- a hard bound */

/* Resident pages of the program's range as the host counts them. */
static uint64_t host_resident(void)
{
	FILE *f = fopen("/proc/self/smaps", "r");
	char line[512];
	uint64_t lo, hi, kb, sum = 0;
	bool in = false;

	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx ", &lo, &hi) == 2)
			in = lo >= CONF_LO && hi <= CONF_HI;
		else if (in && sscanf(line, "Rss: %lu kB", &kb) == 1)
			sum += kb / 4;
	}
	fclose(f);
	return sum;
}

static void eviction_keeps_the_bound_and_every_byte(void **state)
{
	const unsigned n = 10 * BOUND;

	open_rig(BOUND);
	map_anon(0, n, RW);
	for (unsigned round = 1; round <= 3; round++) {
		for (unsigned i = 0; i < n; i++) {
			if (round > 1)
				assert_int_equal(peek(AT(i) + i), mark(i, round - 1));
			poke(AT(i) + i, mark(i, round));
			if (!(i % 50) && !conf_face->soft)
				assert_in_range(host_resident(), 0, BOUND);
		}
		machine_check(rig.mc);
	}
	for (unsigned i = n; i-- > 0;)
		assert_int_equal(peek(AT(i) + i), mark(i, 3));
	assert_in_range(rig.mc->stats->peak_resident, 1, BOUND);
	assert_in_range(rig.mc->stats->swap_out, n, UINT32_MAX);
	close_rig();
}

static void clean_pages_are_dropped_without_a_write(void **state)
{
	uint64_t written;

	open_rig(BOUND);
	map_anon(0, 4 * BOUND, RW);
	for (unsigned i = 0; i < 4 * BOUND; i++)
		poke(AT(i), mark(i, 1));
	for (unsigned i = 0; i < 4 * BOUND; i++)
		assert_int_equal(peek(AT(i)), mark(i, 1));
	written = store.pages_written;
	for (unsigned round = 0; round < 3; round++)
		for (unsigned i = 0; i < 4 * BOUND; i++)
			assert_int_equal(peek(AT(i)), mark(i, 1));
	assert_in_range(store.pages_written - written, 0, BOUND); /* what was dirty still at the start */
	close_rig();
}

static void watch_mode_sees_every_change_of_page(void **state)
{
	open_rig(0);
	map_anon(0, 32, RW);
	rig.mc->watch = 4;
	for (unsigned round = 1; round < 4; round++)
		for (unsigned i = 0; i < 32; i++) {
			if (round > 1)
				assert_int_equal(peek(AT(i)), mark(i, round - 1));
			poke(AT(i), mark(i, round));
		}
	assert_in_range(rig.mc->stats->faults[FK_SOFT], 32, UINT32_MAX);
	assert_int_equal(rig.mc->stats->swap_out, 0);
	close_rig();
}

static void pinned_pages_stay(void **state)
{
	uint64_t faults;

	open_rig(BOUND);
	map_anon(0, 6 * BOUND, RW);
	assert_int_equal(pin_user(MM, TK, AT(5) + 100, 8 * PAGE_SIZE, true), 8 * PAGE_SIZE);
	for (unsigned i = 20; i < 6 * BOUND; i++)
		poke(AT(i), mark(i, 1));
	faults = touch_faults();
	for (unsigned i = 5; i <= 13; i++)
		poke(AT(i) + (i == 5 ? 100 : 0), mark(i, 2));
	assert_int_equal(touch_faults(), faults);
	unpin_user(MM, AT(5) + 100, 8 * PAGE_SIZE);
	for (unsigned i = 20; i < 6 * BOUND; i++)
		assert_int_equal(peek(AT(i)), mark(i, 1));
	for (unsigned i = 6; i <= 13; i++)
		assert_int_equal(peek(AT(i)), mark(i, 2));
	close_rig();
}

static void mremap_moves_pages_in_every_condition(void **state)
{
	const unsigned n = 3 * BOUND;
	int64_t to;

	open_rig(BOUND);
	map_anon(0, n, RW);
	for (unsigned i = 0; i < n; i++)
		poke(AT(i), mark(i, 1));
	for (unsigned i = 0; i < n; i += 3)
		assert_int_equal(peek(AT(i)), mark(i, 1));
	to = do_mremap(MM, AT(0), n * PAGE_SIZE, 2 * n * PAGE_SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, AT(1000));
	assert_int_equal(to, AT(1000));
	assert_signal(AT(1), PT_R, SIGSEGV, SEGV_MAPERR);
	machine_check(rig.mc);
	for (unsigned i = 0; i < 2 * n; i++)
		assert_int_equal(peek(AT(1000 + i)), i < n ? mark(i, 1) : 0);
	for (unsigned i = 0; i < n; i++) {
		poke(AT(1000 + i), mark(i, 2));
		assert_int_equal(peek(AT(1000 + i)), mark(i, 2));
	}
	close_rig();
}

static void lost_swap_pages_give_sigbus_never_wrong_bytes(void **state)
{
	unsigned lost = 0;

	open_rig(BOUND);
	map_anon(0, 4 * BOUND, RW);
	for (unsigned i = 0; i < 4 * BOUND; i++)
		poke(AT(i), mark(i, 1));
	fake_store_corrupt_all(&store);
	for (unsigned i = 0; i < 4 * BOUND; i++) {
		struct fault_report rep;
		uint8_t b = 0;
		int v = touch(&rig, TK, AT(i), PT_R, &b, &rep);

		if (v == TOUCHED) {
			assert_int_equal(b, mark(i, 1));
			continue;
		}
		assert_int_equal(v, FAULT_SIGNAL);
		assert_int_equal(rep.signo, SIGBUS);
		lost++;
	}
	assert_in_range(lost, 2 * BOUND, 4 * BOUND);
	close_rig();
}

/* ---------------------------------------------------------------- files */

static int64_t host_file_read(struct sf_file *f, void *buf, size_t len, uint64_t off)
{
	ssize_t r = pread(f->fd, buf, len, (off_t)off);

	return r < 0 ? -errno : r;
}

static int64_t host_file_size(struct sf_file *f)
{
	return lseek(f->fd, 0, SEEK_END);
}

static void host_file_release(struct sf_file *f)
{
	close(f->fd);
	free(f);
}

static const struct sf_file_ops host_file_ops = {
	.read = host_file_read, .size = host_file_size, .release = host_file_release,
};

/* A file of that many bytes of fake_byte(); the caller has one reference. */
static struct sf_file *make_file(uint64_t size)
{
	struct sf_file *f;

	if (conf_face->soft)
		return &fake_file_new(rig.port, size, NULL)->f;
	f = calloc(1, sizeof(*f));
	*f = (struct sf_file){ .ops = &host_file_ops, .refs = 1, .fd = memfd_create("file", MFD_CLOEXEC) };
	for (uint64_t off = 0; off < size; off++) {
		unsigned char b = fake_byte(off);

		assert_int_equal(pwrite(f->fd, &b, 1, (off_t)off), 1);
	}
	return f;
}

static uint8_t file_byte(struct sf_file *f, uint64_t off)
{
	uint8_t b = 0;

	if (conf_face->soft)
		assert_int_equal(soft_object_read(rig.port, f->fd, &b, 1, off), 1);
	else
		assert_int_equal(pread(f->fd, &b, 1, (off_t)off), 1);
	return b;
}

static void private_file_pages_are_the_programs_own(void **state)
{
	struct sf_file *f;

	open_rig(BOUND);
	f = make_file(100 * PAGE_SIZE + 10);
	assert_int_equal(do_mmap(MM, AT(0), 103 * PAGE_SIZE, RW, MAP_PRIVATE | MAP_FIXED, f, PT_R, PAGE_SIZE), AT(0));
	for (unsigned i = 0; i < 99; i++)
		assert_int_equal(peek(AT(i) + i), fake_byte((i + 1) * PAGE_SIZE + i));
	assert_int_equal(peek(AT(99) + 9), fake_byte(100 * PAGE_SIZE + 9));
	assert_int_equal(peek(AT(99) + 10), 0);
	assert_signal(AT(100), PT_R, SIGBUS, BUS_ADRERR);
	for (unsigned i = 0; i < 99; i += 2)
		poke(AT(i) + i, mark(i, 1));
	for (unsigned i = 0; i < 99; i++)
		assert_int_equal(peek(AT(i) + i), i % 2 ? fake_byte((i + 1) * PAGE_SIZE + i) : mark(i, 1));
	assert_int_equal(file_byte(f, 3 * PAGE_SIZE + 2), fake_byte(3 * PAGE_SIZE + 2));
	machine_check(rig.mc);
	file_put(f);
	close_rig();
}

static void shared_file_pages_are_the_file(void **state)
{
	const unsigned n = 3 * BOUND;
	struct sf_file *f;

	open_rig(BOUND);
	f = make_file(n * PAGE_SIZE);
	assert_int_equal(do_mmap(MM, AT(0), (n + 2) * PAGE_SIZE, RW, MAP_SHARED | MAP_FIXED, f, RW, 0), AT(0));
	for (unsigned i = 0; i < n; i++) {
		assert_int_equal(peek(AT(i) + i), fake_byte(i * PAGE_SIZE + i));
		poke(AT(i) + i, mark(i, 1));
		assert_int_equal(file_byte(f, i * PAGE_SIZE + i), mark(i, 1));
	}
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(peek(AT(i) + i), mark(i, 1));
	if (!conf_face->soft)
		assert_in_range(host_resident(), 0, BOUND);
	assert_signal(AT(n), PT_R, SIGBUS, BUS_ADRERR);
	assert_int_equal(do_msync(MM, AT(0), n * PAGE_SIZE, MS_SYNC), 0);
	assert_int_equal(do_mprotect(MM, AT(0), PAGE_SIZE, PT_R), 0);
	assert_signal(AT(0), PT_W, SIGSEGV, SEGV_ACCERR);
	file_put(f);
	close_rig();
}

/* ---------------------------------------------------------------- kernel mode */

static void copies_fault_pages_in_and_stop_at_bad_ones(void **state)
{
	static uint8_t buf[8 * PAGE_SIZE], back[8 * PAGE_SIZE];

	open_rig(BOUND);
	map_anon(0, 4, RW);
	map_anon(5, 1, PT_R);
	for (unsigned i = 0; i < sizeof(buf); i++)
		buf[i] = mark(i, 9);
	assert_int_equal(conf_copy_to(&rig, AT(0) + 100, buf, 3 * PAGE_SIZE), 0);
	assert_int_equal(conf_copy_from(&rig, back, AT(0) + 100, 3 * PAGE_SIZE), 0);
	assert_memory_equal(buf, back, 3 * PAGE_SIZE);
	/* over the end: what was left is told, and the rest of the buffer is zero */
	assert_int_equal(conf_copy_to(&rig, AT(3) + 4000, buf, 200), 200 - 96);
	assert_int_equal(TK->fault_addr, AT(4));
	memset(back, 1, 300);
	assert_int_equal(conf_copy_from(&rig, back, AT(3) + 4000, 200), 200 - 96);
	assert_memory_equal(back, buf, 96);
	for (unsigned i = 96; i < 200; i++)
		assert_int_equal(back[i], 0);
	assert_int_equal(back[200], 1);
	assert_int_equal(conf_copy_to(&rig, AT(5), buf, 10), 10);
	assert_int_equal(conf_copy_from(&rig, back, AT(5), 10), 0);
	assert_int_equal(conf_copy_from(&rig, back, ~0ull - 5, 10), 10);
	assert_int_equal(conf_clear(&rig, AT(3) + 4090, 20), 14);
	assert_int_equal(peek(AT(3) + 4095), 0);
	close_rig();
}

static void words_and_strings_are_efault_when_bad(void **state)
{
	static const unsigned sizes[] = { 1, 2, 4, 8 };
	uint64_t val = 7;
	uint32_t old;
	char str[64];

	open_rig(0);
	map_anon(0, 1, RW);
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(conf_put(&rig, AT(0) + 16 * i, sizes[i], 0x1122334455667788ull), 0);
		assert_int_equal(conf_get(&rig, AT(0) + 16 * i, sizes[i], &val), 0);
		assert_int_equal(val, 0x1122334455667788ull & (~0ull >> (64 - 8 * sizes[i])));
		assert_int_equal(conf_put(&rig, AT(1), sizes[i], 1), -EFAULT);
		assert_int_equal(conf_get(&rig, AT(1) - 1 + (sizes[i] == 1), sizes[i], &val), -EFAULT);
	}
	assert_int_equal(conf_put(&rig, AT(0), 4, 5), 0);
	assert_int_equal(conf_cmpxchg(&rig, AT(0), 5, 6, &old), 0);
	assert_int_equal(old, 5);
	assert_int_equal(conf_cmpxchg(&rig, AT(0), 5, 7, &old), 0);
	assert_int_equal(old, 6);
	assert_int_equal(conf_cmpxchg(&rig, AT(1), 5, 7, &old), -EFAULT);
	assert_int_equal(conf_copy_to(&rig, AT(1) - 21, "a string of some size", 21), 0);
	assert_int_equal(conf_strncpy(&rig, str, AT(1) - 21, 21), 21);
	assert_int_equal(conf_strncpy(&rig, str, AT(1) - 21, 22), -EFAULT);
	assert_int_equal(conf_put(&rig, AT(1) - 1, 1, 0), 0);
	assert_int_equal(conf_strncpy(&rig, str, AT(1) - 21, 64), 20);
	assert_string_equal(str, "a string of some siz");
	close_rig();
}

static void disabled_faults_go_to_the_fixup_at_once(void **state)
{
	uint8_t buf[8];

	open_rig(0);
	map_anon(0, 100, RW);
	poke(AT(0), 1);
	TK->fault_disabled = 1;
	assert_int_equal(conf_copy_from(&rig, buf, AT(0), 8), 0);
	assert_int_equal(conf_copy_from(&rig, buf, AT(90) + 1000, 8), 8);
	TK->fault_disabled = 0;
	assert_int_equal(conf_copy_from(&rig, buf, AT(90) + 1000, 8), 0);
	close_rig();
}

/* ---------------------------------------------------------------- threads */

#define THREADS 4
#define THREAD_PAGES 48
struct worker { pthread_t thread; struct task task; unsigned id; uint64_t seed; bool bad; };

static unsigned worker_random(struct worker *w, unsigned n)
{
	w->seed = w->seed * 6364136223846793005ull + 1442695040888963407ull;
	return (unsigned)(w->seed >> 33) % n;
}

/* Each worker writes pages of its own, interleaved with the others', and a byte of its own in pages of all. */
static void *work(void *arg)
{
	struct worker *w = arg;
	uint8_t want[2 * THREAD_PAGES] = { 0 }, b;

	touch_thread_start(&w->task);
	for (unsigned step = 0; step < 3000 && !w->bad; step++) {
		unsigned k = worker_random(w, 2 * THREAD_PAGES);
		vaddr_t va = k < THREAD_PAGES ? AT(k * THREADS + w->id) : AT(THREAD_PAGES * THREADS + k) + w->id;

		b = 0xee;
		if (touch(&rig, &w->task, va, PT_R, &b, NULL) != TOUCHED || b != want[k])
			w->bad = true;
		b = want[k] = (uint8_t)worker_random(w, 256);
		if (worker_random(w, 2) && touch(&rig, &w->task, va, PT_W, &b, NULL) == TOUCHED)
			continue;
		want[k] = 0xee;
		if (touch(&rig, &w->task, va, PT_R, &want[k], NULL) != TOUCHED)
			w->bad = true;
	}
	touch_thread_stop();
	return NULL;
}

static void threads_never_see_each_others_faults(void **state)
{
	struct worker w[THREADS] = { 0 };

	open_rig(BOUND);
	map_anon(0, THREAD_PAGES * (THREADS + 2), RW);
	for (unsigned i = 0; i < THREADS; i++) {
		w[i].id = i;
		w[i].seed = i + 1;
		w[i].task.tid = 10 + i;
		assert_int_equal(pthread_create(&w[i].thread, NULL, work, &w[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(w[i].thread, NULL);
		assert_false(w[i].bad);
	}
	assert_in_range(rig.mc->stats->peak_resident, 1, BOUND);
	close_rig();
}

/* ---------------------------------------------------------------- run */

static int core_tests(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(anonymous_memory_reads_zero_and_keeps_writes),
		cmocka_unit_test(illegal_touches_get_linuxs_signals),
		cmocka_unit_test(code_runs_only_where_it_may),
		cmocka_unit_test(mprotect_takes_and_gives_rights_and_keeps_bytes),
		cmocka_unit_test(unmapped_memory_is_gone_and_comes_back_zero),
		cmocka_unit_test(eviction_keeps_the_bound_and_every_byte),
		cmocka_unit_test(clean_pages_are_dropped_without_a_write),
		cmocka_unit_test(watch_mode_sees_every_change_of_page),
		cmocka_unit_test(pinned_pages_stay),
		cmocka_unit_test(mremap_moves_pages_in_every_condition),
		cmocka_unit_test(lost_swap_pages_give_sigbus_never_wrong_bytes),
		cmocka_unit_test(private_file_pages_are_the_programs_own),
		cmocka_unit_test(shared_file_pages_are_the_file),
		cmocka_unit_test(copies_fault_pages_in_and_stop_at_bad_ones),
		cmocka_unit_test(words_and_strings_are_efault_when_bad),
		cmocka_unit_test(disabled_faults_go_to_the_fixup_at_once),
		cmocka_unit_test(threads_never_see_each_others_faults),
	};

	return cmocka_run_group_tests_name(conf_face->name, tests, NULL, NULL);
}

int main(int argc, char **argv)
{
	int failed = 0;

	extable_sort(__start___ex_table, __stop___ex_table);
	for (unsigned i = 0; i < ARRAY_SIZE(faces); i++) {
		const char *why;

		if (argc > 1 && strcmp(argv[1], faces[i].name))
			continue;
		if (!face_works(&faces[i], &why)) {
			printf("# %s: not here: %s\n", faces[i].name, why);
			continue;
		}
		printf("# %s\n", faces[i].name);
		fflush(stdout);
		conf_face = &faces[i];
		failed += conf_port_tests();
		failed += core_tests() + conf_model_tests() + conf_snap_tests();
	}
	return failed != 0;
}
