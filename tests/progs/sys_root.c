/* SPDX-License-Identifier: MIT */
/* sys_root.c - a root without /proc: what works there all the same (fork, threads, execve, mapped files) */
#include "transcript.h"

#include <pthread.h>
#include <sched.h>
#include <sys/sendfile.h>
#include <sys/wait.h>

static void *thread(void *arg)
{
	return memset(arg, 1, PG);
}

static int status_of(pid_t pid)
{
	int status = -1;
	waitpid(pid, &status, 0);
	return status;
}

static void copy_self(void)
{
	int from = open("/proc/self/exe", O_RDONLY), to = open("jail/prog", O_CREAT | O_WRONLY, 0755);
	while (sendfile(to, from, NULL, 1 << 20) > 0)
		;
	close(from), close(to);
}

int main(int argc, char **argv)
{
	static char m[4ul << 20];
	char path[200];
	pthread_t th;
	if (argc > 1) {
		printf("executed, %s\n", argv[1]);
		return 7;
	}
	transcript_begin();
	mkdir("jail", 0755);
	copy_self();
	char here[200];
	if (!getcwd(here, sizeof here))
		return 1;
	memset(m, 3, sizeof m);
	fflush(stdout);
	pid_t pid = fork();
	if (!pid) {
		if (getuid())
			OK(SYS_unshare, CLONE_NEWUSER);
		C(SYS_chroot, "jail");
		OK(SYS_getcwd, path, 200L);
		C(SYS_chdir, "/");
		OK(SYS_getcwd, path, 200L);
		C(SYS_open, "/proc/self/maps", O_RDONLY);
		C(SYS_readlink, "/proc/self/exe", path, 200L);
		printf("thread: %d\n", pthread_create(&th, NULL, thread, m));
		pthread_join(th, NULL);
		int fd = open("/prog", O_RDONLY);
		const char *p = mmap(NULL, PG, PROT_READ, MAP_PRIVATE, fd, 0);
		printf("mapped: %.3s\n", p + 1);
		fflush(stdout);
		pid = fork();
		if (!pid) {
			memset(m, 9, 4ul << 20);
			_exit(m[2 * PG]);
		}
		printf("forked: %x, %d\n", status_of(pid), m[2 * PG]);
		fflush(stdout);
		pid = fork();
		if (!pid) {
			execl("/prog", "prog", "plainly", NULL);
			_exit(errno);
		}
		printf("status %x\n", status_of(pid));
		fflush(stdout);
		pid = vfork();
		if (!pid) {
			fexecve(fd, (char *[]){ (char *)"prog", (char *)"by descriptor", NULL }, (char *[]){ NULL });
			_exit(errno);
		}
		printf("status %x\n", status_of(pid));
		fflush(stdout);
		_exit(0);
	}
	printf("status %x\n", status_of(pid));
	unlink("jail/prog");
	rmdir("jail");
	return 0;
}
