/* SPDX-License-Identifier: MIT */
/* string.c - the four memory functions that the compiler may call, without libc
 *
 * The forward ones are string instructions, which processors since 2012 run at full width.  Loops written in C carry a
 * compiler barrier, for without it they would be recognised and turned into calls of themselves. */
#include "mm/base.h"

#define BARRIER() __asm__ volatile("" ::: "memory")

void *memcpy(void *restrict dst, const void *restrict src, size_t n)
{
	void *to = dst;

	__asm__ volatile("rep movsb" : "+D"(to), "+S"(src), "+c"(n) :: "memory");
	return dst;
}

void *memset(void *dst, int c, size_t n)
{
	void *to = dst;

	__asm__ volatile("rep stosb" : "+D"(to), "+c"(n) : "a"(c) : "memory");
	return dst;
}

static void copy_backward(unsigned char *d, const unsigned char *s, size_t n)
{
	while (n >= 8) {
		uint64_t word;

		n -= 8;
		__builtin_memcpy(&word, s + n, 8);
		BARRIER();
		__builtin_memcpy(d + n, &word, 8);
	}
	while (n) {
		n--;
		d[n] = s[n];
		BARRIER();
	}
}

void *memmove(void *dst, const void *src, size_t n)
{
	if ((uintptr_t)dst - (uintptr_t)src >= n)
		return memcpy(dst, src, n);
	copy_backward(dst, src, n);
	return dst;
}

int memcmp(const void *a, const void *b, size_t n)
{
	const unsigned char *x = a, *y = b;

	for (; n >= 8; x += 8, y += 8, n -= 8) {
		uint64_t u, v;

		__builtin_memcpy(&u, x, 8);
		__builtin_memcpy(&v, y, 8);
		if (u != v)
			break;
		BARRIER();
	}
	for (; n; x++, y++, n--) {
		if (*x != *y)
			return *x < *y ? -1 : 1;
		BARRIER();
	}
	return 0;
}
