/* SPDX-License-Identifier: MIT */
/* inject.c - $SOFTFAULT_INJECT: what shall go wrong on purpose, for tests of softfault and of programs
 *
 *     WHERE:WHAT[:KEY=NUMBER]…[,…]
 *     swap-read    flip, or an errno's name    every=N (slots that N divides; 1)  after=N (pages; 0)
 *     swap-write   an errno's name             the same
 *     host-call    fail, or an errno's name    k=N (the N-th call of the user-mode kernel; 0: only count them) */
#include "cli/cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MOST_ERRNO 133

__attribute__((noreturn)) static void bad(const char *spec)
{
	cli_die(EXIT_OURS, "SOFTFAULT_INJECT: '%s' is not understood (see softfault-run(1), TESTING)", spec);
}

static int32_t errno_named(const char *name, const char *spec)
{
	for (int e = 1; e <= MOST_ERRNO; e++) {
		const char *known = strerrorname_np(e);
		if (known && !strcasecmp(name, known))
			return -e;
	}
	bad(spec);
}

static uint64_t number(const char *text, const char *spec)
{
	char *end;
	unsigned long long n = strtoull(text, &end, 10);

	if (*text < '0' || *text > '9' || *end)
		bad(spec);
	return n;
}

static void parse_store(struct store_fault *f, const char *what, char *rest, bool read, const char *spec)
{
	char *word;

	f->err = read && !strcasecmp(what, "flip") ? 0 : errno_named(what, spec);
	f->every = 1;
	while ((word = strsep(&rest, ":")) != NULL)
		if (!strncmp(word, "every=", 6))
			f->every = number(word + 6, spec);
		else if (!strncmp(word, "after=", 6))
			f->after = number(word + 6, spec);
		else
			bad(spec);
	if (!f->every)
		bad(spec);
}

static void parse_call(struct um_inject *in, const char *what, const char *rest, const char *spec)
{
	in->call_err = !strcasecmp(what, "fail") ? 0 : errno_named(what, spec);
	if (!rest || strncmp(rest, "k=", 2))
		bad(spec);
	in->call = number(rest + 2, spec);
}

static void parse_one(char *text, const char *spec, struct um_inject *in)
{
	char *rest = text, *where = strsep(&rest, ":"), *what = strsep(&rest, ":");

	if (!what)
		bad(spec);
	if (!strcmp(where, "swap-read"))
		parse_store(&in->read, what, rest, true, spec);
	else if (!strcmp(where, "swap-write"))
		parse_store(&in->write, what, rest, false, spec);
	else if (!strcmp(where, "host-call"))
		parse_call(in, what, rest, spec);
	else
		bad(spec);
	in->armed = 1;
}

void inject_parse(const char *text, struct um_inject *ret)
{
	char *copy, *rest, *one;

	*ret = (struct um_inject){ 0 };
	if (!text || !*text)
		return;
	rest = copy = strdup(text);
	if (!copy)
		cli_die(EXIT_OURS, "out of memory");
	while ((one = strsep(&rest, ",")) != NULL) {
		char spec[256];

		snprintf(spec, sizeof spec, "%s", one);
		parse_one(one, spec, ret);
	}
	free(copy);
}
