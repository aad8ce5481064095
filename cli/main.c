/* SPDX-License-Identifier: MIT */
/* main.c - the softfault command: find the subcommand and run it */
#include "cli/cli.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef SF_VERSION
#define SF_VERSION "unknown"
#endif

static const struct subcommand {
	const char *name, *what;
	int (*run)(int argc, char **argv);
} subcommands[] = {
	{ "run", "run a program on softfault's page-fault handler, in bounded memory", cmd_run },
	{ "doctor", "what this machine offers, what is off and why, what degrades", cmd_doctor },
	{ "trace", "print a trace file as text", cmd_trace },
};

static void usage(FILE *out)
{
	fputs("usage: softfault SUBCOMMAND [OPTION...] [ARG...]\n\n", out);
	for (size_t i = 0; i < ARRAY_SIZE(subcommands); i++)
		fprintf(out, "  %-8s %s\n", subcommands[i].name, subcommands[i].what);
	fputs("\n  --version, --help\n\n"
	      "'softfault SUBCOMMAND --help' tells a subcommand's options; softfault(1) and\n"
	      "softfault-run(1) tell everything.\n", out);
}

/* The core's asserts end here when its objects run inside the command (doctor's probes). */
void sf_panic(const char *file, int line, const char *what)
{
	fprintf(stderr, "softfault: internal error at %s:%d: %s\n", file, line, what);
	abort();
}

/* Descriptors 0, 1 and 2 must be taken, or the files opened next would become the program's standard ones.  The
 * program is to see them closed all the same: they are close-on-exec. */
static void plug_standard_descriptors(void)
{
	for (int fd = 0; fd <= 2; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", (fd ? O_WRONLY : O_RDONLY) | O_CLOEXEC) < 0)
			_exit(EXIT_OURS);
}

int main(int argc, char **argv)
{
	plug_standard_descriptors();
	if (argc < 2) {
		usage(stderr);
		return EXIT_OURS;
	}
	if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V")) {
		puts("softfault " SF_VERSION);
		return fflush(stdout) ? EXIT_OURS : 0;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
		usage(stdout);
		return fflush(stdout) ? EXIT_OURS : 0;
	}
	for (size_t i = 0; i < ARRAY_SIZE(subcommands); i++)
		if (!strcmp(argv[1], subcommands[i].name)) {
			cli_subcommand = subcommands[i].name;
			return subcommands[i].run(argc - 1, argv + 1);
		}
	cli_die(EXIT_OURS, "unknown %s '%s' (see softfault --help)", argv[1][0] == '-' ? "option" : "subcommand", argv[1]);
}
