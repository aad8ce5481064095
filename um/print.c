/* SPDX-License-Identifier: MIT */
/* print.c - text without stdio: um_snprintf, um_log, um_fail
 *
 * Formats: %s %c %d %u %x %p %%, with l or ll, z, a width, a leading 0 and '-' for strings.  The result is always terminated; the return value is
 * the length that was written (not what would have been). */
#include "um/um.h"

#include <stdarg.h>

struct out { char *p, *end; };

static void out_char(struct out *o, char c)
{
	if (o->p < o->end)
		*o->p++ = c;
}

static void out_pad(struct out *o, int n, char c)
{
	while (n-- > 0)
		out_char(o, c);
}

static size_t text_len(const char *s, size_t max)
{
	size_t n = 0;
	while (n < max && s[n])
		n++;
	return n;
}

static void out_text(struct out *o, const char *s, int width, bool left, int prec)
{
	size_t n = text_len(s, prec >= 0 ? (size_t)prec : SIZE_MAX);
	if (!left)
		out_pad(o, width - (int)n, ' ');
	for (size_t i = 0; i < n; i++)
		out_char(o, s[i]);
	if (left)
		out_pad(o, width - (int)n, ' ');
}

static void out_number(struct out *o, uint64_t v, unsigned base, bool neg, int width, bool zero, bool left)
{
	char buf[24];
	int n = 0;
	do {
		buf[n++] = "0123456789abcdef"[v % base];
		v /= base;
	} while (v);
	int len = n + neg;
	if (!zero && !left)
		out_pad(o, width - len, ' ');
	if (neg)
		out_char(o, '-');
	if (zero)
		out_pad(o, width - len, '0');
	while (n)
		out_char(o, buf[--n]);
	if (left)
		out_pad(o, width - len, ' ');
}

static const char *out_directive(struct out *o, const char *f, va_list *ap)
{
	bool left = false, zero = false;
	int width = 0, longs = 0, prec = -1;
	for (; *f == '-' || *f == '0'; f++)
		*f == '-' ? (left = true) : (zero = true);
	for (; *f >= '0' && *f <= '9'; f++)
		width = width * 10 + (*f - '0');
	if (f[0] == '.' && f[1] == '*') {
		prec = va_arg(*ap, int);
		f += 2;
	} else if (f[0] == '.') {
		for (prec = 0, f++; *f >= '0' && *f <= '9'; f++)
			prec = prec * 10 + (*f - '0');
	}
	for (; *f == 'l' || *f == 'z'; f++)
		longs++;
	switch (*f) {
	case 's': {
		const char *s = va_arg(*ap, const char *);
		out_text(o, s ? s : "(null)", width, left, prec);
		break;
	}
	case 'c':
		out_char(o, (char)va_arg(*ap, int));
		break;
	case 'd': {
		int64_t v = longs ? va_arg(*ap, int64_t) : va_arg(*ap, int);
		out_number(o, v < 0 ? -(uint64_t)v : (uint64_t)v, 10, v < 0, width, zero, left);
		break;
	}
	case 'u':
	case 'x':
		out_number(o, longs ? va_arg(*ap, uint64_t) : va_arg(*ap, unsigned), *f == 'u' ? 10 : 16, false, width, zero, left);
		break;
	case 'p':
		out_text(o, "0x", 0, false, -1);
		out_number(o, (uint64_t)(uintptr_t)va_arg(*ap, void *), 16, false, width, zero, left);
		break;
	default:
		out_char(o, *f);
	}
	return f + 1;
}

static int um_vsnprintf(char *buf, size_t n, const char *fmt, va_list *ap)
{
	struct out o = { buf, buf + n - 1 };
	while (*fmt) {
		if (*fmt == '%')
			fmt = out_directive(&o, fmt + 1, ap);
		else
			out_char(&o, *fmt++);
	}
	*o.p = 0;
	return (int)(o.p - buf);
}

int um_snprintf(char *buf, size_t n, const char *fmt, ...)
{
	va_list ap;
	if (!n)
		return 0;
	va_start(ap, fmt);
	int r = um_vsnprintf(buf, n, fmt, &ap);
	va_end(ap);
	return r;
}

void um_log(const char *fmt, ...)
{
	char line[600];
	va_list ap;
	int n = um_snprintf(line, sizeof(line), "softfault: ");
	va_start(ap, fmt);
	n += um_vsnprintf(line + n, sizeof(line) - (size_t)n - 1, fmt, &ap);
	va_end(ap);
	line[n++] = '\n';
	host_call3(__NR_write, 2, HC_A(line), n);
}

void um_fail(int status, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	if (um.shm && !um.again) {
		um_vsnprintf(um.shm->fail_message, sizeof(um.shm->fail_message), fmt, &ap);
		um.shm->fail_status = status;
		__atomic_store_n(&um.shm->phase, UM_FAILED, __ATOMIC_RELEASE);
	} else {
		char line[512];
		um_vsnprintf(line, sizeof(line), fmt, &ap);
		um_log("%s", line);
	}
	va_end(ap);
	for (;;)
		host_call1(__NR_exit_group, status);
}
