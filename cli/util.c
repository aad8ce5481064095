/* SPDX-License-Identifier: MIT */
/* util.c - messages, sizes and the few helpers that every subcommand needs */
#include "cli/cli.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/sysinfo.h>
#include <time.h>
#include <unistd.h>

const char *cli_subcommand;

static void vmessage(const char *fmt, va_list ap)
{
	char line[1024];
	int n = snprintf(line, sizeof line, "softfault: %s%s", cli_subcommand ? cli_subcommand : "", cli_subcommand ? ": " : "");

	/* one write, so that lines of several processes do not mix */
	n += vsnprintf(line + n, sizeof line - (size_t)n - 1, fmt, ap);
	if (n > (int)sizeof line - 2)
		n = (int)sizeof line - 2;
	line[n++] = '\n';
	fflush(stdout);
	if (write(STDERR_FILENO, line, (size_t)n) < 0)
		return; /* nobody is listening */
}

void cli_error(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vmessage(fmt, ap);
	va_end(ap);
}

void cli_die(int status, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vmessage(fmt, ap);
	va_end(ap);
	exit(status);
}

void *xcalloc(size_t n, size_t size)
{
	void *p = calloc(n, size);

	if (!p)
		cli_die(EXIT_OURS, "out of memory");
	return p;
}

static uint64_t clock_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

uint64_t monotonic_ns(void) { return clock_ns(CLOCK_MONOTONIC); }
uint64_t realtime_ns(void) { return clock_ns(CLOCK_REALTIME); }

uint64_t physical_memory(void)
{
	struct sysinfo si;

	return sysinfo(&si) ? 0 : (uint64_t)si.totalram * si.mem_unit;
}

/* ---------------------------------------------------------------- sizes */

/* Multiplier of a suffix: K, KiB 1024; KB 1000; and so on up to E; "" and B 1.  0: unknown. */
static uint64_t unit_of(const char *suffix)
{
	static const char letters[] = "kmgtpe";
	const char *at;
	uint64_t base, unit = 1;

	if (!*suffix || !strcasecmp(suffix, "b"))
		return 1;
	at = strchr(letters, suffix[0] | 0x20);
	if (!at || !*at)
		return 0;
	if (!suffix[1] || !strcasecmp(suffix + 1, "ib"))
		base = 1024;
	else if (!strcasecmp(suffix + 1, "b"))
		base = 1000;
	else
		return 0;
	for (const char *c = letters; c <= at; c++)
		unit *= base;
	return unit;
}

int parse_size(const char *text, uint64_t whole, uint64_t *ret)
{
	unsigned __int128 n = 0, scale = 1;
	unsigned digits = 0;
	uint64_t unit;
	bool percent;

	for (; *text >= '0' && *text <= '9'; text++, digits++) {
		n = n * 10 + (unsigned)(*text - '0');
		if (n > UINT64_MAX)
			return -ERANGE;
	}
	if (*text == '.')
		for (text++; *text >= '0' && *text <= '9'; text++, digits++)
			if (scale < 1000000) { /* six places are enough */
				n = n * 10 + (unsigned)(*text - '0');
				scale *= 10;
			}
	if (!digits)
		return -EINVAL;
	percent = !strcmp(text, "%");
	unit = percent ? whole : unit_of(text);
	if (!unit)
		return -EINVAL;
	/* n < 2^64 * 10^6 < 2^84: check before the product can leave 128 bits */
	if (n / (percent ? 100 : 1) / scale > UINT64_MAX / unit)
		return -ERANGE;
	n = n * unit / scale / (percent ? 100 : 1);
	if (n > UINT64_MAX)
		return -ERANGE;
	*ret = (uint64_t)n;
	return 0;
}

const char *size_text(struct text *t, uint64_t bytes)
{
	static const char *const unit[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	unsigned u = 0;
	double v = (double)bytes;

	for (; v >= 1023.95 && u + 1 < ARRAY_SIZE(unit); u++)
		v /= 1024;
	snprintf(t->s, sizeof t->s, u ? "%.1f %s" : "%.0f %s", v, unit[u]);
	return t->s;
}

const char *count_text(struct text *t, uint64_t n)
{
	char digits[24];
	int len = snprintf(digits, sizeof digits, "%llu", (unsigned long long)n), out = 0;

	for (int i = 0; i < len; i++) {
		t->s[out++] = digits[i];
		if (i + 1 < len && (len - 1 - i) % 3 == 0)
			t->s[out++] = ',';
	}
	t->s[out] = '\0';
	return t->s;
}

const char *time_text(struct text *t, uint64_t ns)
{
	static const struct { uint64_t ns; const char *name; } unit[] = {
		{ 1000000000, "s" }, { 1000000, "ms" }, { 1000, "us" }, { 1, "ns" },
	};
	unsigned u = 0;

	while (u + 1 < ARRAY_SIZE(unit) && ns < unit[u].ns)
		u++;
	snprintf(t->s, sizeof t->s, unit[u].ns == 1 ? "%.0f %s" : "%.2f %s", (double)ns / (double)unit[u].ns, unit[u].name);
	return t->s;
}

/* ---------------------------------------------------------------- files */

int own_directory(char *buf, size_t n)
{
	ssize_t len = readlink("/proc/self/exe", buf, n - 1);
	char *slash;

	if (len < 0)
		return -errno;
	buf[len] = '\0';
	slash = strrchr(buf, '/');
	if (!slash)
		return -ENOENT;
	*slash = '\0';
	return 0;
}

int find_kernel(char *buf, size_t n)
{
	static const char *const relative[] = { "softfault-um", "../libexec/softfault/softfault-um" };
	char dir[4096];
	int err = own_directory(dir, sizeof dir);

	if (err)
		return err;
	for (unsigned i = 0; i < ARRAY_SIZE(relative); i++)
		if (snprintf(buf, n, "%s/%s", dir, relative[i]) < (int)n && !access(buf, X_OK))
			return 0;
#ifdef SF_LIBEXECDIR
	if (snprintf(buf, n, "%s/softfault-um", SF_LIBEXECDIR) < (int)n && !access(buf, X_OK))
		return 0;
#endif
	return -ENOENT;
}

int write_all(int fd, const void *buf, size_t len)
{
	const char *p = buf;

	while (len) {
		ssize_t n = write(fd, p, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EIO;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

int pwrite_all(int fd, const void *buf, size_t len, uint64_t off)
{
	const char *p = buf;

	while (len) {
		ssize_t n = pwrite(fd, p, len, (off_t)off);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EIO;
		p += n;
		off += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

const char *signal_name(int signo)
{
	static char buf[32];
	const char *abbrev = sigabbrev_np(signo);

	if (abbrev)
		snprintf(buf, sizeof buf, "SIG%s", abbrev);
	else
		snprintf(buf, sizeof buf, "signal %d", signo);
	return buf;
}
