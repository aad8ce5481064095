/* SPDX-License-Identifier: MIT */
/* hostcall.c - the one way out to the host kernel
 *
 * The system-call instruction is here and nowhere else in the freestanding part, so that its text range can be exempted
 * from system-call trapping, and so that a test can stand between us and the host. */
#include "port/host/host.h"

int64_t host_syscall_raw(long nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f)
{
	register uint64_t r10 __asm__("r10") = d;
	register uint64_t r8 __asm__("r8") = e;
	register uint64_t r9 __asm__("r9") = f;
	int64_t ret;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return ret;
}

struct host_table host_table = { .call = host_syscall_raw };
