/* SPDX-License-Identifier: MIT */
/* lib_atomic_test.c - a crash at any write: what is on the disk afterwards is the state before the sync, or after it
 *
 * The disk is modelled between the library and the host: what is durable of home and log, and the writes since the last flush.  At the
 * k-th write, flush or truncation the power fails: nothing more is done, and of what was not flushed any part, by sectors, may have
 * reached the disk.  Every k, several parts each, and the recovery is interrupted in the same way. */
#include "lib_test.h"
#include "port/host/host.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define PAGES 40u
#define TAIL 1000u               /* bytes of home's last page */
#define SIZE ((PAGES - 1) * PAGE + TAIL)
#define SECTOR 512u
#define MAX_DISK (PAGES * PAGE * 4)

/* ---------------------------------------------------------------- the disk */

struct op { bool cut; uint64_t off, len; unsigned char *data; };

static struct disk {
	dev_t dev;
	ino_t ino;
	unsigned char *durable;
	uint64_t size;
	struct op op[4096];
	unsigned n;
} disks[2]; /* home, log */

static uint64_t calls, fail_at;
static bool dead;
static uint64_t rnd_state;

static uint32_t rnd(void)
{
	rnd_state = rnd_state * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(rnd_state >> 33);
}

static struct disk *disk_of(int fd)
{
	struct stat st;

	if (fstat(fd, &st))
		return NULL;
	for (unsigned i = 0; i < 2; i++)
		if (disks[i].durable && disks[i].dev == st.st_dev && disks[i].ino == st.st_ino)
			return &disks[i];
	return NULL;
}

static void disk_attach(struct disk *d, int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	d->dev = st.st_dev;
	d->ino = st.st_ino;
	d->size = (uint64_t)st.st_size;
	d->durable = calloc(1, MAX_DISK);
	d->n = 0;
	assert_int_equal(pread(fd, d->durable, d->size, 0), d->size);
}

static void disk_forget(struct disk *d)
{
	for (unsigned i = 0; i < d->n; i++)
		free(d->op[i].data);
	d->n = 0;
}

static void disk_detach(struct disk *d)
{
	disk_forget(d);
	free(d->durable);
	d->durable = NULL;
}

static void note_op(struct disk *d, bool cut, uint64_t off, const void *data, uint64_t len)
{
	struct op *o = &d->op[d->n++];

	if (d->n > 4096 || off + len > MAX_DISK)
		abort();
	*o = (struct op){ cut, off, len, NULL };
	if (!cut) {
		o->data = malloc(len);
		memcpy(o->data, data, len);
	}
}

static void apply(struct disk *d, const struct op *o, uint64_t at, uint64_t n)
{
	if (o->cut) {
		if (o->off < d->size)
			memset(d->durable + o->off, 0, d->size - o->off);
		d->size = o->off;
		return;
	}
	memcpy(d->durable + o->off + at, o->data + at, n);
	if (o->off + at + n > d->size)
		d->size = o->off + at + n;
}

static void disk_flush(struct disk *d)
{
	for (unsigned i = 0; i < d->n; i++)
		apply(d, &d->op[i], 0, d->op[i].len);
	disk_forget(d);
}

/* mood 0: nothing of what was not flushed is there, 1: all of it, else any. */
static void disk_crash(struct disk *d, unsigned mood)
{
	for (unsigned i = 0; i < d->n && mood; i++) {
		struct op *o = &d->op[i];

		if (o->cut) {
			if (mood == 1 || rnd() % 2)
				apply(d, o, 0, 0);
			continue;
		}
		for (uint64_t at = 0, n; at < o->len; at += n) {
			n = SECTOR - (o->off + at) % SECTOR;
			n = n < o->len - at ? n : o->len - at;
			if (mood == 1 || rnd() % 2)
				apply(d, o, at, n);
		}
	}
	disk_forget(d);
}

static int64_t on_call(long nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f)
{
	bool writes = nr == __NR_pwrite64 || nr == __NR_ftruncate || nr == __NR_fdatasync || nr == __NR_fsync;
	struct disk *k = writes ? disk_of((int)a) : NULL;
	int64_t r;

	if (nr == __NR_io_uring_enter)
		abort(); /* writes that this disk would not see */
	if (!k)
		return host_syscall_raw(nr, a, b, c, d, e, f);
	if (dead)
		return -EIO;
	dead = ++calls == fail_at;
	if (nr == __NR_pwrite64)
		note_op(k, false, d, (const void *)b, c);
	else if (nr == __NR_ftruncate)
		note_op(k, true, b, NULL, 0);
	if (dead)
		return -EIO;
	r = host_syscall_raw(nr, a, b, c, d, e, f);
	if (r < 0 || (nr == __NR_pwrite64 && (uint64_t)r != c))
		abort();
	if (nr == __NR_fdatasync || nr == __NR_fsync)
		disk_flush(k);
	return r;
}

static void power_on(uint64_t k)
{
	calls = 0;
	fail_at = k;
	dead = false;
	host_table.call = on_call;
}

static void power_off(void)
{
	host_table.call = host_syscall_raw;
	dead = false;
}

/* ---------------------------------------------------------------- one sync */

static unsigned char before[SIZE], after[SIZE];
static sf_pool *pool;

static void spread(int fd, const unsigned char *data, uint64_t n)
{
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(pwrite(fd, data, n, 0), n);
}

static void check_home(int fd, bool must_be_after)
{
	static unsigned char now[SIZE + 1];

	assert_int_equal(pread(fd, now, SIZE + 1, 0), SIZE);
	if (!must_be_after && !memcmp(now, before, SIZE))
		return;
	assert_memory_equal(now, after, SIZE);
}

static void write_disk(struct disk *d, int fd)
{
	spread(fd, d->durable, d->size);
}

static uint64_t size_of(int fd)
{
	struct stat st;

	fstat(fd, &st);
	return (uint64_t)st.st_size;
}

/* What the crash has left is on home and log; recover, itself interrupted at every call.  Returns how many calls that makes. */
static void recover_whatever(int home, int log, bool must_be_after)
{
	static unsigned char home_was[MAX_DISK], log_was[MAX_DISK];
	uint64_t hs = size_of(home), ls = size_of(log);

	assert_int_equal(pread(home, home_was, hs, 0), hs);
	assert_int_equal(pread(log, log_was, ls, 0), ls);
	for (uint64_t j = 1;; j++) {
		spread(home, home_was, hs);
		spread(log, log_was, ls);
		disk_attach(&disks[0], home);
		disk_attach(&disks[1], log);
		power_on(j);
		int r = sf_recover(home, log);
		bool died = dead;

		power_off();
		disk_crash(&disks[0], 2);
		disk_crash(&disks[1], 2);
		if (died) {
			assert_int_equal(r, -EIO);
			write_disk(&disks[0], home);
			write_disk(&disks[1], log);
			assert_true(sf_recover(home, log) >= 0);
		} else {
			assert_true(r >= 0);
		}
		disk_detach(&disks[0]);
		disk_detach(&disks[1]);
		check_home(home, must_be_after);
		assert_int_equal(size_of(log), 0);
		if (!died)
			return;
		if (j > 5)
			j += 3; /* the pages in the middle are alike */
	}
}

static void change(char *mem)
{
	for (unsigned i = 0; i < PAGES; i += i % 5 ? 1 : 2)
		for (unsigned k = i % 7; k < PAGE && i * PAGE + k < SIZE; k += 700)
			mem[i * PAGE + k] = (char)(mem[i * PAGE + k] + 1 + (char)i);
}

static void make_states(int home)
{
	for (unsigned i = 0; i < SIZE; i++)
		before[i] = (unsigned char)(i * 7 + i / 4096);
	memcpy(after, before, SIZE);
	static char whole[PAGES * PAGE];

	memcpy(whole, before, SIZE);
	change(whole);
	memcpy(after, whole, SIZE);
	spread(home, before, SIZE);
}

/* Durability is the model's: a real disk would only make it slow. */
static int new_file(void)
{
	int fd = memfd_create("disk", MFD_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

/* False: the sync was done before the k-th call. */
static bool crash_at(uint64_t k, unsigned mood)
{
	int home = new_file(), log = new_file(), err;
	struct sf_atomic_options o = { .struct_size = sizeof(o), .log_fd = log };
	sf_region *r;
	void *mem;
	bool died;

	make_states(home);
	OK(sf_map(pool, PAGES * PAGE, MAP(.kind = SF_FILE_SHARED, .fd = home, .flags = SF_MAP_ORDERED), &r, &mem));
	change(mem);
	disk_attach(&disks[0], home);
	disk_attach(&disks[1], log);
	power_on(k);
	err = sf_sync_atomic(r, &o);
	died = dead;
	power_off();
	assert_int_equal(err, died ? -EIO : 0);
	OK(sf_unmap(r));
	disk_crash(&disks[0], mood);
	disk_crash(&disks[1], mood);
	write_disk(&disks[0], home);
	write_disk(&disks[1], log);
	disk_detach(&disks[0]);
	disk_detach(&disks[1]);
	recover_whatever(home, log, !err);
	close(home);
	close(log);
	return died;
}

static void a_crash_at_any_write_leaves_before_or_after(void **state)
{
	uint64_t k = 1;

	rnd_state = 1;
	pool = open_pool(BOUND);
	for (bool died = true; died; k++) {
		died = false;
		for (unsigned mood = 0; mood < 4; mood++)
			died |= crash_at(k, mood);
	}
	assert_true(k > 40);
	close_pool(pool);
}

static int64_t killing(long nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f)
{
	bool writes = nr == __NR_pwrite64 || nr == __NR_ftruncate || nr == __NR_fdatasync || nr == __NR_fsync;

	if (writes && disk_of((int)a) && ++calls == fail_at) {
		if (nr == __NR_pwrite64) /* half of it, as when it is interrupted */
			host_syscall_raw(nr, a, b, c / 2, d, e, f);
		raise(SIGKILL);
	}
	return host_syscall_raw(nr, a, b, c, d, e, f);
}

static void sync_and_be_killed(int home, int log, uint64_t k)
{
	struct sf_atomic_options o = { .struct_size = sizeof(o), .log_fd = log };
	sf_region *r;
	void *mem;

	pool = open_pool(BOUND);
	OK(sf_map(pool, PAGES * PAGE, MAP(.kind = SF_FILE_SHARED, .fd = home, .flags = SF_MAP_ORDERED), &r, &mem));
	change(mem);
	disk_attach(&disks[0], home);
	disk_attach(&disks[1], log);
	calls = 0;
	fail_at = k;
	host_table.call = killing;
	OK(sf_sync_atomic(r, &o));
	_exit(0);
}

/* No model of a disk here: a process that dies for good. */
static void a_kill_at_any_write_leaves_before_or_after(void **state)
{
	unsigned kills = 0;
	int status;

	for (uint64_t k = 1;; k++) {
		int home = new_file(), log = new_file();
		pid_t pid;

		make_states(home);
		pid = fork();
		if (!pid)
			sync_and_be_killed(home, log, k);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(sf_recover(home, log) >= 0);
		check_home(home, !status);
		assert_int_equal(size_of(log), 0);
		close(home);
		close(log);
		if (!status)
			break;
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		kills++;
	}
	assert_in_range(kills, 41, 1000);
}

/* The home fails once; the next call finishes what the first began. */
static void after_an_error_the_next_call_finishes(void **state)
{
	uint64_t k = 1;

	pool = open_pool(BOUND);
	for (bool died = true; died; k++) {
		int home = new_file(), log = new_file();
		struct sf_atomic_options o = { .struct_size = sizeof(o), .log_fd = log };
		sf_region *r;
		void *mem;

		make_states(home);
		OK(sf_map(pool, PAGES * PAGE, MAP(.kind = SF_FILE_SHARED, .fd = home, .flags = SF_MAP_ORDERED), &r, &mem));
		change(mem);
		disk_attach(&disks[0], home);
		disk_attach(&disks[1], log);
		power_on(k);
		int err = sf_sync_atomic(r, &o);

		died = dead;
		power_off();
		disk_detach(&disks[0]);
		disk_detach(&disks[1]);
		assert_int_equal(err, died ? -EIO : 0);
		if (died)
			OK(sf_sync_atomic(r, &o));
		check_home(home, true);
		assert_int_equal(size_of(log), 0);
		assert_int_equal(region_stats(r).dirty, 0);
		OK(sf_unmap(r));
		close(home);
		close(log);
	}
	close_pool(pool);
}

/* ---------------------------------------------------------------- without crashes */

static void pages_are_clean_afterwards_unless_written_again(void **state)
{
	int home = temp_file(PAGES * 4), log = new_file();
	struct sf_atomic_options o = { .struct_size = sizeof(o), .log_fd = log };
	sf_region *r;
	void *at;

	pool = open_pool(BOUND);
	OK(sf_map(pool, 4 * PAGES * PAGE, MAP(.kind = SF_FILE_SHARED, .fd = home, .flags = SF_MAP_ORDERED), &r, &at));
	char *mem = at;

	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = round; i < 4 * PAGES; i += 3) /* more than the bound: some are in the store */
			fill_page(mem + i * PAGE, round + 5);
		assert_true(region_stats(r).dirty > 0);
		OK(sf_sync_atomic(r, &o));
		assert_int_equal(region_stats(r).dirty, 0);
		for (unsigned i = 0; i < 4 * PAGES; i++) {
			uint64_t word = i % 3 <= round ? i % 3 + 5 : mark(i);

			assert_true(file_has(home, i, word));
			assert_true(page_has(mem + i * PAGE, word));
		}
	}
	OK(sf_sync_atomic(r, &o));
	assert_int_equal(size_of(log), 0);
	OK(sf_unmap(r));
	close_pool(pool);
	close(home);
	close(log);
}

static void with_snapshots_and_offsets_and_a_file_store(void **state)
{
	int home = new_file(), log = new_file();
	struct sf_atomic_options o = { .struct_size = sizeof(o), .log_fd = log };
	sf_snapshot *s;
	sf_region *r;
	sf_store *st;
	void *at;

	pool = open_pool(BOUND);
	assert_int_equal(ftruncate(home, 300 * PAGE), 0);
	OK(sf_store_file(home, 1ull << 30, 0, &st));
	OK(sf_map(pool, 20 * PAGE, MAP(.kind = SF_STORE, .store = st, .flags = SF_MAP_ORDERED, .offset = 10 * PAGE), &r, &at));
	fill_page(at, 1);
	OK(sf_snapshot_create(r, NULL, &s));
	fill_page(at, 2);
	fill_page((char *)at + 19 * PAGE, 3);
	OK(sf_sync_atomic(r, &o));
	assert_true(file_has(home, 10, 2));
	assert_true(file_has(home, 29, 3));
	uint64_t w;

	assert_int_equal(sf_snapshot_read(s, 0, &w, 8), 8);
	assert_int_equal(w, 1);
	OK(sf_snapshot_rollback(s));
	OK(sf_sync_atomic(r, &o));
	assert_true(file_has(home, 10, 1));
	assert_true(file_has(home, 29, 0));
	OK(sf_snapshot_drop(s));
	OK(sf_unmap(r));
	OK(sf_store_close(st));
	close_pool(pool);
	close(home);
	close(log);
}

static volatile int stop;
static char *scribbled;
static void *scribble(void *arg)
{
	for (uint64_t n = 1; !stop; n++)
		for (unsigned i = 0; i < PAGES; i++)
			*(volatile uint64_t *)(scribbled + i * PAGE) = n;
	return NULL;
}

/* One writer in order: home always has one step, downwards by one. */
static void home_is_of_one_instant(void **state)
{
	int home = new_file(), log = new_file();
	struct sf_atomic_options o = { .struct_size = sizeof(o), .log_fd = log };
	sf_region *r;
	pthread_t t;
	void *at;

	pool = open_pool(BOUND);
	assert_int_equal(ftruncate(home, PAGES * PAGE), 0);
	OK(sf_map(pool, PAGES * PAGE, MAP(.kind = SF_FILE_SHARED, .fd = home, .flags = SF_MAP_ORDERED), &r, &at));
	scribbled = at;
	stop = 0;
	assert_int_equal(pthread_create(&t, NULL, scribble, NULL), 0);
	for (unsigned round = 0; round < 20; round++) {
		uint64_t first, last, v;

		OK(sf_sync_atomic(r, &o));
		assert_int_equal(pread(home, &first, 8, 0), 8);
		last = first;
		for (unsigned i = 1; i < PAGES; i++, last = v) {
			assert_int_equal(pread(home, &v, 8, i * PAGE), 8);
			assert_true(v == last || (last == first && v + 1 == last));
		}
	}
	stop = 1;
	pthread_join(t, NULL);
	OK(sf_unmap(r));
	close_pool(pool);
	close(home);
	close(log);
}

static void a_damaged_log_is_told_and_kept(void **state)
{
	int home = temp_file(PAGES), log = new_file();
	struct sf_atomic_options o = { .struct_size = sizeof(o), .log_fd = log };
	static unsigned char image[MAX_DISK];
	uint64_t size = 0;
	sf_region *r;
	void *at;
	char c;

	pool = open_pool(BOUND);
	OK(sf_map(pool, PAGES * PAGE, MAP(.kind = SF_FILE_SHARED, .fd = home, .flags = SF_MAP_ORDERED), &r, &at));
	for (uint64_t k = 1; !size; k++) { /* until the log was committed and home failed */
		fill_page(at, 77);
		disk_attach(&disks[0], home);
		disk_attach(&disks[1], log);
		power_on(k);
		assert_int_equal(sf_sync_atomic(r, &o), -EIO);
		bool at_home = disks[0].n;

		power_off();
		disk_detach(&disks[0]);
		disk_detach(&disks[1]);
		if (at_home)
			size = size_of(log);
		else
			assert_true(sf_recover(home, log) >= 0);
	}
	assert_int_equal(pread(log, image, size, 0), size);
	OK(sf_unmap(r));
	for (uint64_t at_byte = 0; at_byte < size; at_byte += 97) {
		spread(log, image, size);
		c = (char)(image[at_byte] ^ 4);
		assert_int_equal(pwrite(log, &c, 1, (off_t)at_byte), 1);
		int res = sf_recover(home, log);

		if (at_byte < 8)
			assert_int_equal(res, -EINVAL);
		else if (at_byte < size - 64)
			assert_int_equal(res, -EBADMSG);
		else
			assert_int_equal(res, 0); /* as torn */
		if (res < 0)
			assert_int_equal(size_of(log), size);
	}
	spread(log, image, size);
	assert_int_equal(sf_recover(home, log), 1);
	assert_true(file_has(home, 0, 77));
	assert_int_equal(sf_recover(home, log), 0);
	close_pool(pool);
	close(home);
	close(log);
}

static void nonsense_is_an_error(void **state)
{
	int home = temp_file(4), log = new_file(), other = temp_file(1);
	struct sf_atomic_options o = { .struct_size = sizeof(o), .log_fd = log }, bad = { .struct_size = 3 };
	sf_region *plain, *ordered, *mine;
	sf_store *st;
	int pipefd[2];

	pool = open_pool(BOUND);
	OK(sf_store_memory(1 << 20, &st));
	OK(sf_map(pool, 4 * PAGE, MAP(.kind = SF_FILE_SHARED, .fd = home), &plain, NULL));
	OK(sf_map(pool, 4 * PAGE, MAP(.kind = SF_FILE_SHARED, .fd = home, .flags = SF_MAP_ORDERED), &ordered, NULL));
	OK(sf_map(pool, 4 * PAGE, MAP(.kind = SF_STORE, .store = st, .flags = SF_MAP_ORDERED), &mine, NULL));
	assert_int_equal(sf_sync_atomic(plain, &o), -EINVAL);
	assert_int_equal(sf_sync_atomic(mine, &o), -EOPNOTSUPP);
	assert_int_equal(sf_sync_atomic(NULL, &o), -EINVAL);
	assert_int_equal(sf_sync_atomic(ordered, NULL), -EINVAL);
	assert_int_equal(sf_sync_atomic(ordered, &bad), -EINVAL);
	o.flags = 1;
	assert_int_equal(sf_sync_atomic(ordered, &o), -EINVAL);
	o.flags = 0;
	o.log_fd = -1;
	assert_int_equal(sf_sync_atomic(ordered, &o), -EBADF);
	o.log_fd = 999;
	assert_int_equal(sf_sync_atomic(ordered, &o), -EBADF);
	o.log_fd = other;
	assert_int_equal(sf_sync_atomic(ordered, &o), -EINVAL);
	assert_true(file_has(other, 0, mark(0)));
	assert_int_equal(pipe(pipefd), 0);
	o.log_fd = pipefd[1];
	assert_int_equal(sf_sync_atomic(ordered, &o), -EINVAL);
	assert_int_equal(sf_recover(-1, log), -EBADF);
	assert_int_equal(sf_recover(home, -1), -EBADF);
	assert_int_equal(sf_recover(home, home), -EINVAL);
	assert_int_equal(sf_recover(home, other), -EINVAL);
	assert_int_equal(sf_recover(home, pipefd[0]), -EINVAL);
	OK(sf_unmap(plain));
	OK(sf_unmap(ordered));
	OK(sf_unmap(mine));
	OK(sf_store_close(st));
	close_pool(pool);
	close(home);
	close(log);
	close(other);
	close(pipefd[0]);
	close(pipefd[1]);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(a_crash_at_any_write_leaves_before_or_after),
	cmocka_unit_test(a_kill_at_any_write_leaves_before_or_after),
	cmocka_unit_test(after_an_error_the_next_call_finishes),
	cmocka_unit_test(pages_are_clean_afterwards_unless_written_again),
	cmocka_unit_test(with_snapshots_and_offsets_and_a_file_store),
	cmocka_unit_test(home_is_of_one_instant),
	cmocka_unit_test(a_damaged_log_is_told_and_kept),
	cmocka_unit_test(nonsense_is_an_error),
};
MAIN(tests)
