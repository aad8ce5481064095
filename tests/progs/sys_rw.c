/* SPDX-License-Identifier: MIT */
/* sys_rw.c - transfers: good, bad and half-bad buffers on files, pipes and devices */
#include "transcript.h"

#include <sys/sendfile.h>
#include <sys/uio.h>

#define BIG (5ul << 20)

static int file(const char *name, int flags)
{
	return open(name, flags | O_CREAT, 0644);
}

static void bad_pointers(void)
{
	int fd = file("a", O_RDWR);
	puts("-- bad pointers");
	C(SYS_write, fd, "hello, world", 12);
	C(SYS_lseek, fd, 0, SEEK_SET);
	C(SYS_read, fd, none, 5);
	C(SYS_read, fd, hole, 5);
	C(SYS_read, fd, ro, 5);
	C(SYS_read, fd, NULL, 5);
	C(SYS_read, fd, kern, 5);
	C(SYS_read, fd, none, 0);
	C(SYS_read, fd, kern, 0);
	C(SYS_read, fd, good, -1L);
	C(SYS_lseek, fd, 0, SEEK_CUR);
	C(SYS_write, fd, none, 5);
	C(SYS_write, fd, hole, 5);
	C(SYS_write, fd, NULL, 5);
	C(SYS_write, fd, kern, 5);
	C(SYS_write, fd, ro, 5);
	C(SYS_read, 99, none, 5);
	C(SYS_write, -1, none, 5);
	C(SYS_pread64, fd, good, 4, -1L);
	C(SYS_pread64, fd, good, 20, 3L);
	C(SYS_pwrite64, fd, "XY", 2, 7L);
	C(SYS_pread64, fd, none, 4, 0L);
	C(SYS_pwrite64, fd, none, 4, 0L);
	C(SYS_pread64, fd, good, 100, 0L);
	sum("file", good, 12);
	close(fd);
	fd = open("a", O_WRONLY);
	C(SYS_read, fd, none, 5);
	close(fd);
	fd = open("a", O_RDONLY);
	C(SYS_write, fd, none, 5);
	close(fd);
	C(SYS_read, open(".", O_RDONLY), good, 5);
	unlink("a");
}

static void half_bad(void)
{
	int fd = file("h", O_RDWR);
	static char big[20000];
	puts("-- half-bad");
	fill(big, sizeof big, 1);
	C(SYS_write, fd, big, sizeof big);
	memset(good, 0, 2 * PG);
	C(SYS_pread64, fd, edge(100), 300, 0L);
	sum("got", edge(100), 100);
	C(SYS_pread64, fd, edge(5000), 9000, 10L);
	sum("got", edge(5000), 5000);
	C(SYS_lseek, fd, 0, SEEK_SET);
	C(SYS_read, fd, edge(7), 1000);
	C(SYS_lseek, fd, 0, SEEK_CUR);
	fill(good, 2 * PG, 2);
	C(SYS_pwrite64, fd, edge(100), 300, 0L);
	C(SYS_pwrite64, fd, edge(5000), 9000, 0L);
	C(SYS_lseek, fd, 0, SEEK_END);
	C(SYS_write, fd, edge(10), 100);
	C(SYS_lseek, fd, 0, SEEK_CUR);
	C(SYS_pread64, fd, big, sizeof big, 0L);
	sum("file", big, sizeof big);
	close(fd);
	fd = open("h", O_WRONLY | O_APPEND);
	C(SYS_write, fd, edge(33), 66);
	C(SYS_lseek, fd, 0, SEEK_END);
	close(fd);
	unlink("h");
}

static void big_transfers(void)
{
	char *m = malloc(BIG), *n = calloc(1, BIG);
	int fd = file("b", O_RDWR), p[2];
	puts("-- big");
	fill(m, BIG, 3);
	C(SYS_write, fd, m, BIG);
	C(SYS_lseek, fd, 0, SEEK_SET);
	C(SYS_read, fd, n, BIG + 100000);
	sum("file", n, BIG);
	C(SYS_pread64, fd, n, BIG, 12345L);
	sum("shifted", n, BIG - 12345);
	C(SYS_read, open("/dev/zero", O_RDONLY), n, BIG);
	sum("zeros", n, BIG);
	C(SYS_write, open("/dev/null", O_WRONLY), n, BIG);
	close(fd);
	fd = open("b", O_WRONLY | O_APPEND);
	C(SYS_write, fd, m, BIG);
	C(SYS_lseek, fd, 0, SEEK_CUR);
	close(fd);
	(void)!pipe(p);
	fcntl(p[1], F_SETFL, O_NONBLOCK);
	C(SYS_write, p[1], m, BIG);
	C(SYS_read, p[0], n, BIG);
	sum("pipe", n, 65536);
	C(SYS_write, p[1], m, 65536);
	C(SYS_write, p[1], m, 1);
	C(SYS_getrandom, m, 300, 0);
	C(SYS_getrandom, none, 300, 0);
	C(SYS_getrandom, edge(100), 300, 0);
	C(SYS_getrandom, m, BIG, 0);
	C(SYS_getrandom, m, 10, 0x1000);
	free(m);
	free(n);
	unlink("b");
}

static void pipes(void)
{
	int p[2];
	char buf[70000];
	puts("-- pipes");
	C(SYS_pipe2, none, 0);
	C(SYS_pipe2, p, 0x77777777);
	C(SYS_pipe2, p, O_NONBLOCK);
	C(SYS_read, p[0], none, 10);
	C(SYS_write, p[1], "abcdefghij", 10);
	C(SYS_read, p[0], none, 5);
	C(SYS_read, p[0], edge(4), 8);
	C(SYS_read, p[0], buf, 100);
	C(SYS_write, p[1], edge(100), 300);
	C(SYS_read, p[0], buf, 1000);
	C(SYS_write, p[1], edge(5000), 8000);
	C(SYS_read, p[0], buf, sizeof buf);
	C(SYS_write, p[1], edge(6000), 10000);
	C(SYS_read, p[0], buf, sizeof buf);
	C(SYS_write, p[1], none, 5000);
	C(SYS_read, p[0], buf, sizeof buf);
	memset(good, 'g', 2 * PG);
	C(SYS_write, p[1], good, 5000);
	C(SYS_read, p[0], edge(3000), 4000);
	C(SYS_read, p[0], buf, sizeof buf);
	close(p[0]);
	signal(SIGPIPE, SIG_IGN);
	C(SYS_write, p[1], none, 5);
	C(SYS_write, p[1], "x", 1);
	close(p[1]);
}

static void vectors(void)
{
	int fd = file("v", O_RDWR), p[2];
	char a[100], b[5000];
	puts("-- vectors");
	fill(a, sizeof a, 4);
	fill(b, sizeof b, 5);
	struct iovec w[4] = { { a, 100 }, { NULL, 0 }, { b, 5000 }, { a + 50, 10 } };
	C(SYS_writev, fd, w, 4);
	C(SYS_writev, fd, w, 0);
	C(SYS_writev, fd, none, 3);
	C(SYS_writev, fd, none, 0);
	C(SYS_writev, fd, w, 1025);
	C(SYS_writev, fd, w, -1);
	C(SYS_writev, -1, none, 3);
	struct iovec bad[3] = { { a, 100 }, { none, 50 }, { a, 10 } };
	C(SYS_writev, fd, bad, 3);
	C(SYS_writev, fd, bad + 1, 2);
	struct iovec cross[3] = { { a, 10 }, { edge(20), 40 }, { a, 10 } };
	C(SYS_writev, fd, cross, 3);
	struct iovec kernel[2] = { { a, 10 }, { kern, 10 } };
	C(SYS_writev, fd, kernel, 2);
	struct iovec neg[2] = { { a, 10 }, { a, (size_t)-5 } };
	C(SYS_writev, fd, neg, 2);
	C(SYS_lseek, fd, 0, SEEK_CUR);
	C(SYS_preadv, fd, cross, 3, 0L, 0L);
	C(SYS_preadv, fd, bad, 3, 0L, 0L);
	C(SYS_preadv, fd, w, 4, 100L, 0L);
	sum("b", b, 5000);
	C(SYS_preadv2, fd, w, 4, -1L, 0L, 0);
	C(SYS_preadv2, fd, w, 4, 7L, 0L, 0x1000);
	C(SYS_pwritev, fd, w, 4, 3L, 0L);
	C(SYS_pwritev2, fd, bad, 3, 0L, 0L, 0);
	C(SYS_pwritev2, fd, w, 1, -1L, 0L, 0x10 /* RWF_APPEND */);
	C(SYS_preadv, fd, w, 4, -1L, 0L);
	struct iovec *at_edge = (struct iovec *)edge(sizeof *at_edge);
	*at_edge = (struct iovec){ a, 5 };
	C(SYS_readv, fd, at_edge, 1);
	C(SYS_readv, fd, at_edge, 2);
	(void)!pipe2(p, O_NONBLOCK);
	C(SYS_writev, p[1], cross, 3);
	C(SYS_writev, p[1], bad, 3);
	C(SYS_readv, p[0], bad, 3);
	C(SYS_read, p[0], b, sizeof b);
	C(SYS_writev, p[1], w, 4);
	C(SYS_vmsplice, p[1], w, 4, 0);
	C(SYS_vmsplice, p[1], none, 4, 0);
	C(SYS_vmsplice, fd, w, 4, 0);
	C(SYS_read, p[0], b, 1000);
	close(fd);
	unlink("v");
}

static void many_vectors(void)
{
	static struct iovec v[1024];
	int fd = file("m", O_RDWR);
	char *m = mmap(NULL, 1024 * 2 * PG, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	puts("-- many vectors");
	for (int i = 0; i < 1024; i++) {
		memset(m + i * 2 * PG, i, 8);
		v[i] = (struct iovec){ m + i * 2 * PG, 8 };
	}
	C(SYS_writev, fd, v, 1024);
	for (int i = 0; i < 1024; i++)
		v[i] = (struct iovec){ m + i * 2 * PG, 2 * PG };
	C(SYS_writev, fd, v, 1024);
	for (int i = 0; i < 1024; i++)
		v[i] = (struct iovec){ m + i * 2 * PG + PG, PG };
	C(SYS_preadv, fd, v, 1024, 0L, 0L);
	sum("read", m, 1024 * 2 * PG);
	munmap(m, 1024 * 2 * PG);
	close(fd);
	unlink("m");
}

static void between_descriptors(void)
{
	int in = file("s", O_RDWR), out = file("d", O_RDWR), p[2], q[2];
	static char buf[9000];
	off_t off = 100;
	puts("-- between descriptors");
	fill(buf, sizeof buf, 9);
	(void)!write(in, buf, sizeof buf);
	(void)!pipe(p);
	(void)!pipe(q);
	C(SYS_sendfile, out, in, &off, 1000);
	printf("  off %ld\n", (long)off);
	C(SYS_sendfile, out, in, none, 1000);
	C(SYS_sendfile, out, in, ro, 1000);
	C(SYS_sendfile, out, in, NULL, 1000);
	lseek(in, 0, SEEK_SET);
	C(SYS_sendfile, out, in, NULL, 500);
	loff_t a = 10, b = 20;
	C(SYS_copy_file_range, in, &a, out, &b, 3000, 0);
	printf("  at %ld %ld\n", (long)a, (long)b);
	C(SYS_copy_file_range, in, none, out, &b, 3000, 0);
	C(SYS_copy_file_range, in, &a, out, ro, 3000, 0);
	C(SYS_splice, in, &a, p[1], NULL, 2000, 0);
	C(SYS_splice, in, none, p[1], NULL, 2000, 0);
	C(SYS_tee, p[0], q[1], 700, 0);
	C(SYS_splice, p[0], NULL, out, NULL, 2000, 0);
	C(SYS_read, q[0], buf, sizeof buf);
	sum("tee", buf, 700);
	C(SYS_pread64, out, buf, sizeof buf, 0L);
	sum("out", buf, 3500);
	C(SYS_process_vm_readv, getpid(), &(struct iovec){ buf, 100 }, 1, &(struct iovec){ ro, 100 }, 1, 0);
	C(SYS_process_vm_readv, getpid(), &(struct iovec){ buf, 100 }, 1, &(struct iovec){ none, 100 }, 1, 0);
	C(SYS_process_vm_readv, getpid(), &(struct iovec){ buf, 100 }, 1, &(struct iovec){ ro, 100 }, 1, 1);
	C(SYS_process_vm_writev, getpid(), &(struct iovec){ buf, 100 }, 1, &(struct iovec){ good, 100 }, 1, 0);
	sum("written", good, 100);
	unlink("s");
	unlink("d");
}

int main(void)
{
	transcript_begin();
	bad_pointers();
	half_bad();
	big_transfers();
	pipes();
	vectors();
	many_vectors();
	between_descriptors();
	return 0;
}
