/* SPDX-License-Identifier: MIT */
/* io_test.c - pins, and system calls on buffers in regions, beside them and across their borders */
#include "lib_test.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/socket.h>

static void pinned_pages_stay(void **state)
{
	unsigned char in[20];
	sf_pool *pool = open_pool(2 * BOUND);
	struct sf_pin pin, pin2, no;
	sf_region *r;
	char *m;

	OK(sf_map(pool, 1000 * PAGE, NULL, &r, (void **)&m));
	for (unsigned i = 0; i < 1000; i++)
		fill_page(m + i * PAGE, mark(i));
	OK(sf_pin(m + 5 * PAGE + 7, 10 * PAGE, 1, &pin));
	OK(sf_pin(m + 6 * PAGE, 2 * PAGE, 0, &pin2));
	assert_int_equal(pool_stats(pool).pinned, 11 * PAGE);
	for (unsigned i = 20; i < 1000; i++)
		assert_true(page_has(m + i * PAGE, mark(i)));
	OK(sf_residency(r, 0, 20 * PAGE, in));
	for (unsigned i = 5; i < 16; i++)
		assert_true((in[i] & (SF_IN_VIEW | SF_IN_PINNED)) == (SF_IN_VIEW | SF_IN_PINNED));
	assert_int_equal(sf_unmap(r), -EBUSY);
	assert_int_equal(sf_move(r, NULL, NULL), -EBUSY);
	assert_int_equal(sf_resize(r, PAGE, 0, NULL), -EBUSY);
	assert_int_equal(sf_advise(r, 0, 10 * PAGE, SF_DONTNEED), -EBUSY);
	assert_int_equal(sf_pin(m, 500 * PAGE, 0, &no), -ENOBUFS);
	assert_int_equal(sf_pin(m + 999 * PAGE, 2 * PAGE, 0, &no), -EFAULT);
	OK(sf_protect(r, 100 * PAGE, PAGE, SF_READ));
	assert_int_equal(sf_pin(m + 99 * PAGE, 2 * PAGE, 1, &no), -EFAULT);
	OK(sf_unpin(&pin));
	assert_int_equal(sf_unpin(&pin), -EINVAL);
	assert_int_equal(pool_stats(pool).pinned, 2 * PAGE);
	OK(sf_unpin(&pin2));
	assert_int_equal(sf_unpin(&no), -EINVAL);
	OK(sf_unmap(r));
	close_pool(pool);
}

static void files_are_read_and_written_whole(void **state)
{
	sf_pool *pool = open_pool(BOUND);
	int fd = temp_file(300), out = temp_file(0);
	sf_region *r;
	char *m;

	OK(sf_map(pool, 400 * PAGE, NULL, &r, (void **)&m));
	assert_int_equal(sf_pread(fd, m + 50 * PAGE, 300 * PAGE, 0), 300 * PAGE);
	for (unsigned i = 0; i < 300; i++)
		assert_true(page_has(m + (50 + i) * PAGE, mark(i)));
	assert_int_equal(sf_read(fd, m, 400 * PAGE), 300 * PAGE);
	assert_int_equal(sf_write(out, m, 300 * PAGE), 300 * PAGE);
	assert_int_equal(sf_pwrite(out, m + PAGE, 20 * PAGE, 0), 20 * PAGE);
	for (unsigned i = 0; i < 300; i++)
		assert_true(file_has(out, i, mark(i < 20 ? i + 1 : i)));
	assert_int_equal(sf_read(999, m, 10), -EBADF);
	assert_int_equal(sf_read(fd, m + 400 * PAGE, 10), -EFAULT);
	assert_int_equal(sf_pread(fd, m + 399 * PAGE, 2 * PAGE, 0), -EFAULT);
	char small[100];
	assert_int_equal(sf_pread(fd, small, 100, 0), 100);
	assert_int_equal(sf_read(fd, NULL, 5), -EINVAL);
	assert_int_equal(sf_read(fd, NULL, 0), 0);
	close(fd);
	close(out);
	OK(sf_unmap(r));
	close_pool(pool);
}

static void vectors_and_sockets(void **state)
{
	sf_pool *pool = open_pool(BOUND);
	sf_region *r;
	char *m, own[64];
	int s[2];

	OK(sf_map(pool, 100 * PAGE, NULL, &r, (void **)&m));
	OK(socketpair(AF_UNIX, SOCK_DGRAM, 0, s));
	for (unsigned i = 0; i < 90; i++)
		fill_page(m + i * PAGE, mark(i));
	struct iovec out[] = { { m + 3 * PAGE + 8, 8 }, { own, 8 }, { m + 60 * PAGE, 16 } };
	memcpy(own, "12345678", 8); /* no string: NOLINT(bugprone-not-null-terminated-result) */
	assert_int_equal(sf_writev(s[0], out, 3), 32);
	struct iovec in[] = { { m + 91 * PAGE, 20 }, { own + 8, 4 }, { m + 95 * PAGE - 3, 100 } };
	assert_int_equal(sf_readv(s[1], in, 3), 32);
	uint64_t want = mark(3);
	assert_memory_equal(m + 91 * PAGE, &want, 8);
	assert_memory_equal(m + 91 * PAGE + 8, "12345678", 8);
	assert_int_equal(sf_send(s[0], m + 70 * PAGE + 1, 2 * PAGE, 0), 2 * PAGE);
	assert_int_equal(sf_recv(s[1], m + 80 * PAGE, 2 * PAGE, 0), 2 * PAGE);
	assert_memory_equal(m + 80 * PAGE, m + 70 * PAGE + 1, 2 * PAGE);
	assert_int_equal(sf_recv(s[1], m, 90 * PAGE, MSG_DONTWAIT), -ENOBUFS);
	assert_int_equal(sf_recv(s[1], m, PAGE, MSG_DONTWAIT), -EAGAIN);
	assert_int_equal(sf_readv(s[1], NULL, 2), -EINVAL);
	assert_int_equal(sf_readv(s[1], in, -1), -EINVAL);
	close(s[0]);
	close(s[1]);
	OK(sf_unmap(r));
	close_pool(pool);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(pinned_pages_stay),
	cmocka_unit_test(files_are_read_and_written_whole),
	cmocka_unit_test(vectors_and_sockets),
};
MAIN(tests)
