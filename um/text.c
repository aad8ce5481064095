/* SPDX-License-Identifier: MIT */
/* text.c - text that grows, for the /proc views
 *
 * A view is taken under the mm lock, so it is put together in our own memory and handed to the host afterwards. */
#include "um/proc.h"

#include <linux/fcntl.h>

#define FIRST_ROOM 4096u

void text_free(struct text *t)
{
	if (t->buf)
		kfree(um.mc, t->buf);
	memset(t, 0, sizeof(*t));
}

static bool text_room(struct text *t, size_t n)
{
	if (t->err || n <= t->room - t->len)
		return !t->err;
	size_t room = MAX(t->room * 2, (size_t)FIRST_ROOM);
	while (room - t->len < n)
		room *= 2;
	char *buf = kmalloc(um.mc, room);
	if (!buf) {
		t->err = -ENOMEM;
		return false;
	}
	if (t->buf) {
		memcpy(buf, t->buf, t->len);
		kfree(um.mc, t->buf);
	}
	t->buf = buf;
	t->room = room;
	return true;
}

void text_add(struct text *t, const void *p, size_t n)
{
	if (!text_room(t, n))
		return;
	memcpy(t->buf + t->len, p, n);
	t->len += n;
}

void text_str(struct text *t, const char *s)
{
	size_t n = 0;
	while (s[n])
		n++;
	text_add(t, s, n);
}

int text_host_file(struct text *t, const char *path)
{
	int64_t fd = host_call4(__NR_openat, AT_FDCWD, HC_A(path), O_RDONLY | O_CLOEXEC, 0), n = fd;
	if (fd < 0)
		return t->err = (int)fd;
	while (text_room(t, FIRST_ROOM)) {
		n = host_call3(__NR_read, fd, HC_A(t->buf + t->len), t->room - t->len);
		if (n <= 0)
			break;
		t->len += (size_t)n;
	}
	host_call1(__NR_close, fd);
	if (!t->err && n < 0)
		t->err = (int)n;
	return t->err;
}
