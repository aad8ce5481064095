/* SPDX-License-Identifier: MIT */
/* panic.c - the end, when the library finds itself broken: one line, and SIGABRT; fault handler too */
#include "lib/lib.h"

#include <signal.h>
#include <unistd.h>

static void say(const char *s)
{
	host_call3(__NR_write, 2, s, strlen(s));
}

void sf_panic(const char *file, int line, const char *what)
{
	char num[12];
	unsigned at = sizeof(num);

	num[--at] = 0;
	do
		num[--at] = (char)('0' + line % 10);
	while ((line /= 10) && at);
	say("libsoftfault: ");
	say(file);
	say(":");
	say(num + at);
	say(": ");
	say(what);
	say("\n");
	host_call3(__NR_tgkill, getpid(), host_call0(__NR_gettid), SIGABRT);
	for (;;)
		host_call1(__NR_exit_group, 134);
}
