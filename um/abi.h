/* SPDX-License-Identifier: MIT */
/* abi.h - Linux x86-64 structures as the host kernel lays them out, without libc's headers */
#ifndef SF_UM_ABI_H
#define SF_UM_ABI_H

#include "mm/base.h"

/* struct sigcontext, in the frame; names as in Linux */
struct abi_sigcontext {
	uint64_t r8, r9, r10, r11, r12, r13, r14, r15;
	uint64_t rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, eflags;
	uint16_t cs, gs, fs, ss;
	uint64_t err, trapno, oldmask, cr2;
	uint64_t fpstate; /* pointer */
	uint64_t reserved1[8];
};
struct abi_stack { uint64_t sp; uint32_t flags, pad; uint64_t size; };
struct abi_ucontext {
	uint64_t flags, link;
	struct abi_stack stack;
	struct abi_sigcontext mc;
	uint64_t sigmask;
};
struct abi_siginfo { /* 128 bytes */
	int32_t signo, err, code, pad;
	union {
		struct { uint64_t addr; uint64_t rest[13]; } fault;
		struct { uint64_t call_addr; int32_t syscall; uint32_t arch; } sys;
		struct { int32_t pid; uint32_t uid; uint64_t value; } kill;
		uint8_t raw[112];
	};
};
_Static_assert(sizeof(struct abi_siginfo) == 128, "siginfo");
struct abi_rt_sigframe { uint64_t pretcode; struct abi_ucontext uc; struct abi_siginfo info; }; /* FP state follows, 64-aligned */

#define SIGHUP 1
#define SIGINT 2
#define SIGQUIT 3
#define SIGILL 4
#define SIGTRAP 5
#define SIGABRT 6
#define SIGBUS 7
#define SIGFPE 8
#define SIGKILL 9
#define SIGUSR1 10
#define SIGSEGV 11
#define SIGUSR2 12
#define SIGPIPE 13
#define SIGALRM 14
#define SIGTERM 15
#define SIGCHLD 17
#define SIGCONT 18
#define SIGSTOP 19
#define SIGTSTP 20
#define SIGTTIN 21
#define SIGTTOU 22
#define SIGURG 23
#define SIGWINCH 28
#define SIGSYS 31
#define SEGV_MAPERR 1
#define SEGV_ACCERR 2
#define BUS_ADRALN 1
#define BUS_ADRERR 2
#define SI_USER 0
#define SI_KERNEL 0x80
#define SI_TKILL (-6)

#define SA_NOCLDSTOP 1u
#define SA_NOCLDWAIT 2u
#define SA_SIGINFO 4u
#define SA_UNSUPPORTED 0x400u
#define SA_EXPOSE_TAGBITS 0x800u
#define SA_RESTORER 0x04000000u
#define SA_ONSTACK 0x08000000u
#define SA_RESTART 0x10000000u
#define SA_NODEFER 0x40000000u
#define SA_RESETHAND 0x80000000u
#define SIG_DFL 0ull
#define SIG_IGN 1ull
#define SIG_BLOCK 0
#define SIG_UNBLOCK 1
#define SIG_SETMASK 2
#define SS_ONSTACK 1u
#define SS_DISABLE 2u
#define SS_AUTODISARM (1u << 31)

#endif
