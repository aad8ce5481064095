/* SPDX-License-Identifier: MIT */
/* sys_shm.c - System V shared memory: everything that a program can see of it, printed; the same natively and under softfault */
#define _GNU_SOURCE
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/wait.h>
#include <unistd.h>

#define SIZE 300000u
#define PAGE 4096u

static int result(const char *what, long r)
{
	int e = errno;
	printf("%s: %s\n", what, r < 0 ? strerror(e) : "done");
	return (int)r;
}

static void attached(const char *when, int id)
{
	struct shmid_ds ds;
	if (shmctl(id, IPC_STAT, &ds))
		printf("%s: %s\n", when, strerror(errno));
	else
		printf("%s: %lu attached, %lu bytes, mode %o, last by us: %d\n", when, (unsigned long)ds.shm_nattch, (unsigned long)ds.shm_segsz,
		       ds.shm_perm.mode, ds.shm_lpid == getpid());
}

static sigjmp_buf back;
static void on_fault(int sig, siginfo_t *si, void *uc) { siglongjmp(back, sig * 100 + si->si_code); }

static void touch(const char *what, volatile char *p, int write)
{
	int r = sigsetjmp(back, 1);
	if (!r)
		r = write ? (*p = 1, 0) : (*p, 0);
	printf("%s: %d\n", what, r);
}

static int wait_for(pid_t pid)
{
	int st = 0;
	waitpid(pid, &st, 0);
	return st;
}

static void across_fork(int id, char *p)
{
	int fd[2];
	char c;
	fflush(stdout);
	if (pipe(fd))
		exit(1);
	pid_t pid = fork();
	if (!pid) {
		p[5 * PAGE] = 'c';
		char *q = shmat(id, NULL, 0);
		q[6 * PAGE + 1] = 'd';
		if (write(fd[1], "x", 1) == 1)
			pause();
		_exit(1);
	}
	if (read(fd[0], &c, 1) != 1)
		exit(1);
	attached("child attached once more", id);
	kill(pid, SIGKILL);
	printf("child: %d, wrote %c%c\n", wait_for(pid), p[5 * PAGE], p[6 * PAGE + 1]);
	attached("child killed", id);
}

/* A program of its own, which knows the key only. */
static void across_exec(const char *self, key_t key, int id, char *p)
{
	char number[32];
	snprintf(number, sizeof(number), "%d", (int)key);
	fflush(stdout);
	pid_t pid = fork();
	if (!pid) {
		execl(self, self, number, NULL);
		_exit(1);
	}
	printf("other program: %d, wrote %s\n", wait_for(pid), p + 7 * PAGE);
	attached("other program ended", id);
}

static int other_program(key_t key)
{
	int id = shmget(key, 0, 0600);
	char *p = shmat(id, NULL, 0);
	if (p == (void *)-1 || p[0] != 'a')
		return 1;
	strcpy(p + 7 * PAGE, "hello");
	attached("other program", id);
	return shmdt(p);
}

static void places(int id, char *p)
{
	char *room = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	room[PAGE] = 1;
	result("onto something", (long)shmat(id, room, 0));
	result("unaligned", (long)shmat(id, room + 5, 0));
	result("nowhere with SHM_REMAP", (long)shmat(id, NULL, SHM_REMAP));
	char *q = shmat(id, room + PAGE + 77, SHM_RND | SHM_REMAP);
	printf("with SHM_REMAP: %ld %c, then %d\n", (long)(q - room), q[0], room[PAGE + 77 * PAGE]);
	munmap(q + PAGE, PAGE);
	q[2 * PAGE] = 'm';
	munmap(q, PAGE);
	printf("seen: %c\n", p[2 * PAGE]);
	result("shmdt in the middle", shmdt(q + 3 * PAGE));
	result("shmdt", shmdt(q));
	touch("detached", q + 2 * PAGE, 0);
	result("shmdt again", shmdt(q));
	munmap(room, 1 << 20);
}

static void read_only(int id)
{
	char *p = shmat(id, NULL, SHM_RDONLY);
	touch("read", p, 0);
	touch("write", p, 1);
	result("mprotect", mprotect(p, PAGE, PROT_READ | PROT_WRITE));
	touch("beyond", p + (SIZE + PAGE - 1) / PAGE * PAGE, 0);
	result("shmdt", shmdt(p));
}

static void moved(int id, char *p)
{
	char *q = shmat(id, NULL, 0), *to;
	to = mremap(q, 74 * PAGE, 74 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, q - (1 << 24));
	result("mremap", (long)to < 0 ? -1 : 0);
	if (to == MAP_FAILED)
		to = q;
	to[9 * PAGE] = 'z';
	printf("moved: %c\n", p[9 * PAGE]);
	result("shmdt", shmdt(to));
	attached("after the move", id);
}

static void rights(key_t key, int id)
{
	struct shmid_ds ds;
	result("exclusively", shmget(key, SIZE, IPC_CREAT | IPC_EXCL | 0600));
	result("larger", shmget(key, SIZE * 2, 0600));
	result("again", shmget(key, 0, IPC_CREAT | 0600) == id ? 0 : -1);
	result("size 0", shmget(IPC_PRIVATE, 0, 0600));
	result("bad number", (long)shmat(-1, NULL, 0));
	result("stat to nowhere", shmctl(id, IPC_STAT, (void *)8));
	shmctl(id, IPC_STAT, &ds);
	ds.shm_perm.mode = 0640;
	result("set", shmctl(id, IPC_SET, &ds));
	result("lock", shmctl(id, SHM_LOCK, NULL));
	result("unlock", shmctl(id, SHM_UNLOCK, NULL));
}

/* Numbers come again with new contents. */
static void many(void)
{
	int bad = 0;
	for (int i = 0; i < 40; i++) {
		int id = shmget(IPC_PRIVATE, 20 * PAGE, IPC_CREAT | 0600);
		char *p = shmat(id, NULL, 0);
		for (unsigned k = 0; k < 20; k++)
			bad += p[k * PAGE] != 0;
		memset(p, i + 1, 20 * PAGE);
		if (i % 2)
			shmctl(id, IPC_RMID, NULL);
		shmdt(p);
		if (!(i % 2))
			shmctl(id, IPC_RMID, NULL);
	}
	printf("not zero: %d\n", bad);
}

int main(int argc, char **argv)
{
	struct sigaction sa = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO };
	if (argc > 1)
		return other_program(atoi(argv[1]));
	sigaction(SIGSEGV, &sa, NULL);
	sigaction(SIGBUS, &sa, NULL);
	key_t key = (key_t)(0x50000000 + getpid());
	result("unknown key", shmget(key, 0, 0));
	int id = result("make", shmget(key, SIZE, IPC_CREAT | 0600));
	attached("made", id);
	char *p = shmat(id, NULL, 0);
	p[0] = 'a';
	p[SIZE - 1] = 'e';
	attached("attached", id);
	rights(key, id);
	across_fork(id, p);
	across_exec(argv[0], key, id, p);
	places(id, p);
	read_only(id);
	moved(id, p);
	many();
	result("remove", shmctl(id, IPC_RMID, NULL));
	attached("removed", id);
	char *q = shmat(id, NULL, 0); /* Linux allows that */
	printf("%c%c\n", q[0], q[SIZE - 1]);
	shmdt(q);
	shmdt(p);
	attached("gone", id);
	return 0;
}
