/* SPDX-License-Identifier: MIT */
/* conf_port.c - the contract of port.h against a naive model, without the core
 *
 * A few hundred random operations on rows of pages; after each the touched pages, and now and then all, are looked at by real
 * touches.  The same walk is then repeated with the k-th host call failing, for every k: an operation that failed must
 * have changed nothing, and the walk goes on. */
#include "conf.h"
#include "port/host/host_priv.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <setjmp.h>
#include <cmocka.h>

const struct face *conf_face;

/* ---------------------------------------------------------------- the model */

#define NPAGES 160u /* a row; there are three: plain, executable, plain */
#define ROWS 3u
enum state { ABSENT, VISIBLE, HIDDEN };
struct mpage { enum state state; unsigned prot; hid_t hid; uint32_t tag; uint8_t byte0; };
struct walk {
	struct rig r;
	struct mpage pg[ROWS * NPAGES];
	uint64_t seed;
	uint32_t next_tag;
	bool exec[ROWS];
	unsigned failed;
};

static uint32_t rnd(struct walk *w, uint32_t n)
{
	w->seed = w->seed * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(w->seed >> 33) % n;
}

/* Rows lie apart, the first across a boundary of the port's tables. */
static vaddr_t va_of(unsigned i)
{
	return CONF_BASE + (vaddr_t)(i / NPAGES) * 0x40000000 + (4096 - 64 + i % NPAGES) * PAGE_SIZE;
}

/* Contents of a page: its tag all over, but byte 0, which writes change. tag 0: zeros. */
static void make_page(uint8_t *buf, uint32_t tag)
{
	for (unsigned i = 0; i < PAGE_SIZE / 4; i++)
		((uint32_t *)buf)[i] = tag * 2654435761u;
}

static void check_bytes(const struct mpage *m, const uint8_t *got)
{
	uint8_t want[PAGE_SIZE];

	make_page(want, m->tag);
	want[0] = m->byte0;
	assert_memory_equal(got, want, PAGE_SIZE);
}

static void check_page(struct walk *w, unsigned i)
{
	struct mpage *m = &w->pg[i];
	vaddr_t va = va_of(i);
	uint8_t b = 0, want[PAGE_SIZE];
	unsigned err = 0;
	int v = touch_raw(&w->r, va, PT_R, &b, &err);

	if (m->state != VISIBLE) {
		assert_int_not_equal(v, TOUCHED);
		assert_int_equal(err & (PF_PROT | PF_WRITE | PF_USER), PF_USER);
		return;
	}
	assert_int_equal(v, TOUCHED);
	assert_int_equal(b, m->byte0);
	make_page(want, m->tag);
	assert_int_equal(touch_raw(&w->r, va + 4095, PT_R, &b, &err), TOUCHED);
	assert_int_equal(b, want[4095]);
	b = (uint8_t)rnd(w, 256);
	v = touch_raw(&w->r, va, PT_W, &b, &err);
	if (m->prot & PT_W) {
		assert_int_equal(v, TOUCHED);
		m->byte0 = b;
	} else {
		assert_int_not_equal(v, TOUCHED);
		assert_int_equal(err & (PF_PROT | PF_WRITE | PF_USER), PF_PROT | PF_WRITE | PF_USER);
	}
}

static void check_all(struct walk *w)
{
	for (unsigned i = 0; i < ROWS * NPAGES; i++)
		check_page(w, i);
}

/* ---------------------------------------------------------------- operations */

/* A random page in that state and how many after it in the same row are alike (up to 40); false: none found. */
static bool pick(struct walk *w, enum state st, unsigned *ret_i, unsigned *ret_n)
{
	unsigned max = 1 + (rnd(w, 3) ? rnd(w, 8) : rnd(w, 40));

	for (unsigned tries = 0; tries < 200; tries++) {
		unsigned i = rnd(w, ROWS * NPAGES), n = 0;

		while (n < max && i + n < ROWS * NPAGES && w->pg[i + n].state == st && i / NPAGES == (i + n) / NPAGES &&
		       (st != HIDDEN || w->pg[i + n].hid == w->pg[i].hid + n))
			n++;
		*ret_i = i;
		*ret_n = n;
		if (n)
			return true;
	}
	return false;
}

/* A call that may fail only because it was made to; -EAGAIN of hide may always be. */
static bool worked(struct walk *w, int r)
{
	if (r && r != -EAGAIN)
		assert_true(host_call_has_failed() || w->r.face->soft);
	w->failed += r != 0;
	return !r;
}

static unsigned random_prot(struct walk *w)
{
	return rnd(w, 2) ? PT_R : PT_R | PT_W;
}

static void op_fill(struct walk *w)
{
	static uint8_t buf[40 * PAGE_SIZE] __attribute__((aligned(4096)));
	bool zeros = !rnd(w, 3);
	unsigned i, n, prot = random_prot(w);
	uint32_t tag = w->next_tag;

	if (!pick(w, ABSENT, &i, &n))
		return;
	for (unsigned k = 0; k < n; k++)
		make_page(buf + k * PAGE_SIZE, tag + k);
	w->next_tag += n;
	if (!worked(w, w->r.port->ops->fill(w->r.port, va_of(i), n, zeros ? NULL : buf, prot)))
		return;
	for (unsigned k = 0; k < n; k++) {
		uint8_t first[4];

		memcpy(first, buf + k * PAGE_SIZE, 4);
		w->pg[i + k] = (struct mpage){ .state = VISIBLE, .prot = prot, .tag = zeros ? 0 : tag + k,
					       .byte0 = zeros ? 0 : first[0] };
	}
}

static void op_protect(struct walk *w)
{
	unsigned i, n, prot = random_prot(w);

	if (!pick(w, VISIBLE, &i, &n) || !worked(w, w->r.port->ops->protect(w->r.port, va_of(i), n, prot)))
		return;
	for (unsigned k = 0; k < n; k++)
		w->pg[i + k].prot = prot;
}

static void op_hide(struct walk *w)
{
	unsigned i, n;
	hid_t first;

	if (!pick(w, VISIBLE, &i, &n) || !worked(w, w->r.port->ops->hide(w->r.port, va_of(i), n, &first)))
		return;
	for (unsigned k = 0; k < n; k++) {
		w->pg[i + k].state = HIDDEN;
		w->pg[i + k].hid = first + k;
	}
}

static void op_show(struct walk *w)
{
	unsigned i, n, prot = random_prot(w);

	if (!pick(w, HIDDEN, &i, &n) || !worked(w, w->r.port->ops->show(w->r.port, va_of(i), w->pg[i].hid, n, prot)))
		return;
	for (unsigned k = 0; k < n; k++) {
		w->pg[i + k].state = VISIBLE;
		w->pg[i + k].prot = prot;
	}
}

static void op_read_hidden(struct walk *w)
{
	static uint8_t buf[40 * PAGE_SIZE];
	const void *at;
	unsigned i, n;

	if (!pick(w, HIDDEN, &i, &n))
		return;
	at = w->r.port->ops->peek(w->r.port, va_of(i), w->pg[i].hid);
	if (at)
		check_bytes(&w->pg[i], at);
	if (worked(w, w->r.port->ops->read_hidden(w->r.port, va_of(i), w->pg[i].hid, n, buf)))
		for (unsigned k = 0; k < n; k++)
			check_bytes(&w->pg[i + k], buf + k * PAGE_SIZE);
}

static void op_drop(struct walk *w)
{
	unsigned i, n;

	if (!pick(w, VISIBLE, &i, &n) || !worked(w, w->r.port->ops->drop(w->r.port, va_of(i), n)))
		return;
	for (unsigned k = 0; k < n; k++)
		w->pg[i + k] = (struct mpage){ .state = ABSENT };
}

static void op_drop_hidden(struct walk *w)
{
	unsigned i, n;

	if (!pick(w, HIDDEN, &i, &n) || !worked(w, w->r.port->ops->drop_hidden(w->r.port, va_of(i), w->pg[i].hid, n)))
		return;
	for (unsigned k = 0; k < n; k++)
		w->pg[i + k] = (struct mpage){ .state = ABSENT };
}

/* From one row to an absent stretch of another; hidden pages go along under their names. */
static void op_move(struct walk *w)
{
	unsigned n = 1 + rnd(w, 30), from = rnd(w, NPAGES - n) + NPAGES * rnd(w, ROWS), to;

	for (unsigned tries = 0; tries < 50; tries++) {
		unsigned k = 0;

		to = rnd(w, NPAGES - n) + NPAGES * rnd(w, ROWS);
		while (k < n && w->pg[to + k].state == ABSENT)
			k++;
		if (k < n || to / NPAGES == from / NPAGES || w->exec[to / NPAGES] != w->exec[from / NPAGES])
			continue;
		if (!worked(w, w->r.port->ops->move(w->r.port, va_of(from), va_of(to), n)))
			return;
		for (k = 0; k < n; k++) {
			w->pg[to + k] = w->pg[from + k];
			w->pg[from + k] = (struct mpage){ .state = ABSENT };
		}
		return;
	}
}

static void op_exec(struct walk *w)
{
	unsigned row = rnd(w, ROWS);
	bool exec = !w->exec[row];

	if (worked(w, w->r.port->ops->set_exec(w->r.port, va_of(row * NPAGES), NPAGES, exec)))
		w->exec[row] = exec;
}

/* A stretch is given up and taken again; hidden pages of it are dropped first, as the core does. */
static void op_reserve(struct walk *w)
{
	unsigned n = 1 + rnd(w, 20), row = rnd(w, ROWS), i = row * NPAGES + rnd(w, NPAGES - n);

	for (unsigned k = 0; k < n; k++)
		if (w->pg[i + k].state == HIDDEN) {
			if (!worked(w, w->r.port->ops->drop_hidden(w->r.port, va_of(i + k), w->pg[i + k].hid, 1)))
				return;
			w->pg[i + k].state = ABSENT;
		}
	if (rnd(w, 2))
		w->r.port->ops->release(w->r.port, va_of(i), n);
	for (unsigned tries = 0; w->r.port->ops->reserve(w->r.port, va_of(i), n, w->exec[row]); tries++)
		assert_true(host_call_has_failed() && tries < 2); /* failed by order: the range is as if released; take it again */
	for (unsigned k = 0; k < n; k++)
		w->pg[i + k] = (struct mpage){ .state = ABSENT };
}

static void (*const operations[])(struct walk *w) = {
	op_fill, op_fill, op_fill, op_fill, op_protect, op_protect, op_hide, op_hide, op_hide, op_show, op_show, op_show,
	op_read_hidden, op_drop, op_drop_hidden, op_move, op_exec, op_reserve,
};

static void walk_open(struct walk *w, uint64_t seed)
{
	memset(w, 0, sizeof(*w));
	w->seed = seed;
	w->next_tag = 1;
	w->exec[1] = true;
	port_open(&w->r, conf_face, ROWS * NPAGES);
	for (unsigned row = 0; row < ROWS; row++)
		assert_int_equal(w->r.port->ops->reserve(w->r.port, va_of(row * NPAGES), NPAGES, w->exec[row]), 0);
}

static void walk_close(struct walk *w)
{
	for (unsigned i = 0; i < ROWS * NPAGES; i++)
		if (w->pg[i].state == HIDDEN)
			assert_int_equal(w->r.port->ops->drop_hidden(w->r.port, va_of(i), w->pg[i].hid, 1), 0);
	for (unsigned row = 0; row < ROWS; row++)
		w->r.port->ops->release(w->r.port, va_of(row * NPAGES), NPAGES);
	rig_close(&w->r);
}

static void walk_steps(struct walk *w, unsigned steps, unsigned check_every)
{
	for (unsigned s = 0; s < steps; s++) {
		bool failed = host_call_has_failed();

		operations[rnd(w, ARRAY_SIZE(operations))](w);
		if (!(s % check_every) || failed != host_call_has_failed())
			check_all(w);
	}
	check_all(w);
}

/* Host mappings in the program's and the port's ranges. */
static unsigned mappings_left(void)
{
	FILE *f = fopen("/proc/self/maps", "r");
	unsigned n = 0;
	uint64_t lo;
	char line[512];

	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		n += sscanf(line, "%lx-", &lo) == 1 && lo >= CONF_LO && lo < CONF_OWN_HI;
	fclose(f);
	return n;
}

static void random_walk_agrees_with_the_model(void **state)
{
	static struct walk w;

	for (uint64_t seed = 1; seed <= 6; seed++) {
		walk_open(&w, seed);
		walk_steps(&w, 400, 16);
		assert_int_equal(w.failed, 0);
		walk_close(&w);
		assert_int_equal(mappings_left(), 0);
	}
}

/* Every call of a walk, once; few of them may be lost without the operation noticing. */
static void any_host_call_may_fail(void **state)
{
	static const int errs[] = { ENOMEM, EAGAIN, EINVAL };
	static struct walk w;
	uint64_t k, noticed = 0;
	bool hit;

	for (uint64_t seed = 1; seed <= 3; seed++)
		for (k = 1, hit = true; hit; k++) {
			walk_open(&w, 100 + seed);
			fail_host_call(k, errs[(seed + k) % ARRAY_SIZE(errs)]);
			walk_steps(&w, 60, 1000);
			hit = host_call_has_failed();
			noticed += w.failed;
			fail_host_call(0, 0);
			walk_close(&w);
		}
	assert_in_range(noticed, 20, UINT32_MAX);
}

/* A page that a child may still need cannot be moved away: the port must copy, and the child keep its bytes. */
static void pages_shared_by_fork_can_be_hidden(void **state)
{
	static struct walk w;
	pid_t child;

	walk_open(&w, 42);
	walk_steps(&w, 150, 50);
	child = fork();
	if (!child)
		for (;;)
			pause();
	walk_steps(&w, 300, 20);
	assert_int_equal(w.failed, 0);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	walk_steps(&w, 100, 20);
	walk_close(&w);
}

/* As before Linux 6.8. */
static void hosts_that_cannot_move_pages_copy_them(void **state)
{
	static struct walk w;

	for (uint64_t seed = 11; seed < 14; seed++) {
		walk_open(&w, seed);
		refuse_ioctl(UFFDIO_MOVE);
		walk_steps(&w, 400, 16);
		refuse_ioctl(0);
		assert_int_equal(w.failed, 0);
		walk_close(&w);
	}
}

/* ---------------------------------------------------------------- single behaviours */

static unsigned moves_seen, copies_seen;

/* The first move does half of what it should, the next are refused, and so is the first copy. */
static int64_t half_hearted_call(long nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f)
{
	struct uffdio_move *m = (struct uffdio_move *)c;

	if (nr == __NR_ioctl && b == UFFDIO_MOVE) {
		if (moves_seen++)
			return -EBUSY;
		m->len /= 2;
		assert_int_equal(host_syscall_raw(nr, a, b, c, d, e, f), 0);
		return -EAGAIN;
	}
	if (nr == __NR_ioctl && b == UFFDIO_COPY && !copies_seen++)
		return -ENOMEM;
	return host_syscall_raw(nr, a, b, c, d, e, f);
}

static void a_hide_that_fails_half_way_changes_nothing(void **state)
{
	static struct walk w;
	hid_t hid;

	walk_open(&w, 1);
	for (unsigned i = 0; i < 8; i++) {
		w.pg[i] = (struct mpage){ .state = VISIBLE, .prot = i % 3 ? PT_R | PT_W : PT_R };
		assert_int_equal(w.r.port->ops->fill(w.r.port, va_of(i), 1, NULL, w.pg[i].prot), 0);
	}
	check_all(&w);
	moves_seen = copies_seen = 0;
	host_table.call = half_hearted_call;
	assert_int_equal(w.r.port->ops->hide(w.r.port, va_of(0), 8, &hid), conf_face->engine == ENGINE_UFFD ? -EAGAIN : 0);
	host_table.call = host_syscall_raw;
	if (conf_face->engine == ENGINE_UFFD)
		check_all(&w);
	walk_close(&w);
}

static void execution_belongs_to_the_range(void **state)
{
	uint8_t code[PAGE_SIZE], b = 0;
	unsigned err = 0;
	struct rig r;
	hid_t hid;

	memset(code, 0xc3, sizeof(code)); /* ret */
	port_open(&r, conf_face, 64);
	assert_int_equal(r.port->ops->reserve(r.port, CONF_BASE, 4, true), 0);
	assert_int_equal(touch_raw(&r, CONF_BASE, PT_X, &b, &err), 0);
	assert_int_equal(err & (PF_INSTR | PF_PROT), PF_INSTR);
	assert_int_equal(r.port->ops->fill(r.port, CONF_BASE, 1, code, PT_R), 0);
	assert_int_equal(touch_raw(&r, CONF_BASE, PT_X, &b, &err), TOUCHED);
	assert_int_equal(r.port->ops->set_exec(r.port, CONF_BASE, 4, false), 0);
	assert_int_equal(touch_raw(&r, CONF_BASE, PT_X, &b, &err), 0);
	assert_int_equal(err & (PF_INSTR | PF_PROT), PF_INSTR | PF_PROT);
	assert_int_equal(r.port->ops->hide(r.port, CONF_BASE, 1, &hid), 0);
	assert_int_equal(r.port->ops->set_exec(r.port, CONF_BASE, 4, true), 0);
	assert_int_equal(r.port->ops->show(r.port, CONF_BASE, hid, 1, PT_R | PT_W), 0);
	assert_int_equal(touch_raw(&r, CONF_BASE, PT_X, &b, &err), TOUCHED);
	r.port->ops->release(r.port, CONF_BASE, 4);
	rig_close(&r);
}

static void shared_mapping_is_the_file_itself(void **state)
{
	int fd = memfd_create("shared", 0);
	uint8_t b = 0;
	unsigned err = 0;
	struct rig r;

	assert_int_equal(ftruncate(fd, 4 * PAGE_SIZE), 0);
	assert_int_equal(pwrite(fd, "x", 1, PAGE_SIZE), 1);
	port_open(&r, conf_face, 64);
	assert_int_equal(r.port->ops->reserve_shared(r.port, CONF_BASE, 3, fd, PAGE_SIZE, PT_R | PT_W), 0);
	assert_int_equal(touch_raw(&r, CONF_BASE, PT_R, &b, &err), 0);
	assert_int_equal(r.port->ops->show_shared(r.port, CONF_BASE, 2, PT_R), 0);
	assert_int_equal(touch_raw(&r, CONF_BASE, PT_R, &b, &err), TOUCHED);
	assert_int_equal(b, 'x');
	assert_int_equal(touch_raw(&r, CONF_BASE, PT_W, &b, &err), 0);
	assert_int_equal(r.port->ops->show_shared(r.port, CONF_BASE, 2, PT_R | PT_W), 0);
	b = 'y';
	assert_int_equal(touch_raw(&r, CONF_BASE, PT_W, &b, &err), TOUCHED);
	assert_int_equal(r.port->ops->hide_shared(r.port, CONF_BASE, 2), 0);
	assert_int_equal(touch_raw(&r, CONF_BASE, PT_R, &b, &err), 0);
	assert_int_equal(pread(fd, &b, 1, PAGE_SIZE), 1);
	assert_int_equal(b, 'y');
	r.port->ops->release(r.port, CONF_BASE, 3);
	rig_close(&r);
	close(fd);
}

static void shared_mapping_refuses_what_mmap_refuses(void **state)
{
	int fd = open("/proc/self/exe", 0 /* O_RDONLY */), dir = open("/", 0);
	struct rig r;

	port_open(&r, conf_face, 64);
	assert_int_equal(r.port->ops->reserve_shared(r.port, CONF_BASE, 1, fd, 0, PT_R | PT_W), -EACCES);
	assert_int_equal(r.port->ops->reserve_shared(r.port, CONF_BASE, 1, dir, 0, PT_R), -ENODEV);
	assert_int_equal(r.port->ops->reserve_shared(r.port, CONF_BASE, 1, fd, 0, PT_R), 0);
	r.port->ops->release(r.port, CONF_BASE, 1);
	rig_close(&r);
	close(fd);
	close(dir);
}

static void own_memory_is_zero_and_used_again(void **state)
{
	struct rig r;
	char *a, *b, *c;

	port_open(&r, conf_face, 64);
	a = r.port->ops->alloc(r.port, 10000);
	b = r.port->ops->alloc(r.port, 1);
	assert_true(a && b && !((uintptr_t)a & 4095));
	memset(a, 1, 10000);
	r.port->ops->free(r.port, a, 10000);
	c = r.port->ops->alloc(r.port, 3 * PAGE_SIZE);
	assert_ptr_equal(c, a);
	for (unsigned i = 0; i < 3 * PAGE_SIZE; i++)
		assert_int_equal(c[i], 0);
	r.port->ops->free(r.port, c, 3 * PAGE_SIZE);
	r.port->ops->free(r.port, b, 1);
	rig_close(&r);
}

/* At the host's limit of mappings the port refuses in time, and everything can still be taken down. */
static void mappings_never_run_out(void **state)
{
	uint64_t n = 70000, shown = 0, real;
	struct rig r;

	port_open(&r, conf_face, 64);
	if (!r.port->max_maps || r.port->max_maps > 70000 || strcmp(conf_face->name, "segv")) {
		rig_close(&r);
		return;
	}
	assert_int_equal(r.port->ops->reserve(r.port, CONF_BASE, 2 * n, false), 0);
	while (shown < n && !r.port->ops->fill(r.port, CONF_BASE + shown * 2 * PAGE_SIZE, 1, NULL, PT_R | PT_W))
		shown++;
	real = host_count_maps();
	assert_true(shown < n && r.port->nr_maps <= r.port->max_maps);
	assert_true(real <= r.port->nr_maps && r.port->nr_maps - real < 64);
	for (uint64_t i = 0; i < shown; i += 2)
		assert_int_equal(r.port->ops->drop(r.port, CONF_BASE + i * 2 * PAGE_SIZE, 1), 0);
	real = host_count_maps();
	assert_true(real <= r.port->nr_maps && r.port->nr_maps - real < 64);
	r.port->ops->release(r.port, CONF_BASE, 2 * n);
	rig_close(&r);
}

static void time_goes_forward_at_the_hosts_rate(void **state)
{
	struct rig r;
	uint64_t t0, t, last = 0;

	port_open(&r, conf_face, 64);
	t0 = r.port->ops->now(r.port);
	do {
		t = r.port->ops->now(r.port);
		assert_true(t >= last);
		last = t;
	} while (t < t0 + 40000000);
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	t = r.port->ops->now(r.port);
	int64_t apart = (int64_t)t - (ts.tv_sec * 1000000000 + ts.tv_nsec);

	assert_true(apart > -200000 && apart < 200000);
	rig_close(&r);
}

int conf_port_tests(void)
{
	const struct CMUnitTest every_port[] = {
		cmocka_unit_test(random_walk_agrees_with_the_model),
		cmocka_unit_test(execution_belongs_to_the_range),
	};
	const struct CMUnitTest host_ports[] = {
		cmocka_unit_test(any_host_call_may_fail),
		cmocka_unit_test(pages_shared_by_fork_can_be_hidden),
		cmocka_unit_test(a_hide_that_fails_half_way_changes_nothing),
		cmocka_unit_test(hosts_that_cannot_move_pages_copy_them),
		cmocka_unit_test(shared_mapping_is_the_file_itself),
		cmocka_unit_test(shared_mapping_refuses_what_mmap_refuses),
		cmocka_unit_test(own_memory_is_zero_and_used_again),
		cmocka_unit_test(mappings_never_run_out),
		cmocka_unit_test(time_goes_forward_at_the_hosts_rate),
	};
	int failed = cmocka_run_group_tests_name(conf_face->name, every_port, NULL, NULL);

	return conf_face->soft ? failed : failed + cmocka_run_group_tests_name(conf_face->name, host_ports, NULL, NULL);
}
