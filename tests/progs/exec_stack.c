/* SPDX-License-Identifier: MIT */
/* exec_stack.c - run code on the stack: works with -z execstack, is a protection fault without */
#include <stdio.h>
#include <string.h>

int main(void)
{
	static const unsigned char code[] = { 0xb8, 42, 0, 0, 0, 0xc3 }; /* mov $42, %eax; ret */
	unsigned char buf[sizeof(code)];
	int (*volatile run)(void) = (int (*)(void))(void *)buf;
	memcpy(buf, code, sizeof(code));
	__asm__ volatile("" : : "r"(buf) : "memory");
	printf("about to run\n");
	fflush(stdout);
	return run();
}
