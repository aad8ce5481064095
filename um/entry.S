/* SPDX-License-Identifier: MIT */
/* entry.S - the instructions that C cannot write: first entry, return to user mode, the signal window, thread birth
 *
 * All of it lies between __executable_start and etext, which Syscall User Dispatch exempts, so the host executes our
 * system calls itself.  Nothing here touches program memory. */

#define NR_rt_sigprocmask 14
#define NR_rt_sigreturn 15
#define NR_clone 56
#define NR_exit 60
#define SIG_SETMASK 2
#define KSTACK_SIZE 0x20000
#define ERESTART_NOTSTARTED 514
#define FAST_IS_OURS 0x53464753
#define FAST_END 1
#define EFLAGS_AC_DF_TF 0x40500

	.text

/* The host starts us here: rsp points to argc.  Thread 0's kernel stack is static. */
	.globl	um_entry
	.type	um_entry, @function
um_entry:
	xorl	%ebp, %ebp
	movq	%rsp, %rdi
	leaq	um_kstack0+KSTACK_SIZE(%rip), %rsp
	andq	$-64, %rsp
	call	um_start
	ud2
	.size	um_entry, .-um_entry

/* void um_enter_user(struct abi_rt_sigframe *frame): let the host load the program's registers, mask and FP state at once. */
	.globl	um_enter_user
	.type	um_enter_user, @function
um_enter_user:
	leaq	8(%rdi), %rsp
	.size	um_enter_user, .-um_enter_user
	/* fall through */

/* The handlers' restorer: the only way out of the kernel.  rsp points behind the frame's first word.
 *
 * One of the three signals that we never block may have come since the last look at what is pending; then another look
 * is taken.  A signal between the check and the call finds its address in (um_leave_check, um_leave_syscall] and goes back. */
	.globl	um_restorer
	.type	um_restorer, @function
um_restorer:
	movq	%rsp, %rax
	andq	$-KSTACK_SIZE, %rax
	.globl	um_leave_check
um_leave_check:
	cmpl	$0, THREAD_VIRT_NEW(%rax)
	jne	1f
	movl	$NR_rt_sigreturn, %eax
	.globl	um_leave_syscall
um_leave_syscall:
	syscall
	ud2
1:	movq	%rsp, %rbx
	leaq	-8(%rsp), %rdi
	andq	$-16, %rsp
	call	um_leave_again
	movq	%rbx, %rsp
	testb	%al, %al
	jnz	um_restorer
	movl	$NR_rt_sigreturn, %eax
	syscall
	ud2
	.size	um_restorer, .-um_restorer

/* int64_t um_window(long nr, const uint64_t arg[6], const uint64_t *open, const uint64_t *shut)
 *
 * A host call with signals let in.  The handler decides by the interrupted address:
 *
 *   um_win_begin … um_win_syscall   not started: continue at um_win_abort
 *   um_win_end … um_win_close       the host's verdict stands in rax (or r12)
 *
 * A signal of those that are never blocked may have come before the window: it is seen by the first check in it.
 *
 * rbx: arg, r13: nr, r14: shut. */
	.globl	um_window
	.type	um_window, @function
um_window:
	pushq	%rbp
	movq	%rsp, %rbp
	pushq	%rbx
	pushq	%r12
	pushq	%r13
	pushq	%r14
	movq	%rdi, %r13
	movq	%rsi, %rbx
	movq	%rcx, %r14
	movq	%rdx, %rsi
	movl	$SIG_SETMASK, %edi
	xorl	%edx, %edx
	movl	$8, %r10d
	movl	$NR_rt_sigprocmask, %eax
	syscall
	.globl	um_win_begin
um_win_begin:
	movq	%rsp, %rax
	andq	$-KSTACK_SIZE, %rax
	cmpl	$0, THREAD_VIRT_NEW(%rax)
	jne	um_win_abort
	movq	0(%rbx), %rdi
	movq	8(%rbx), %rsi
	movq	16(%rbx), %rdx
	movq	24(%rbx), %r10
	movq	32(%rbx), %r8
	movq	40(%rbx), %r9
	movq	%r13, %rax
	.globl	um_win_syscall
um_win_syscall:
	syscall
	.globl	um_win_end
um_win_end:
	movq	%rax, %r12
	jmp	um_win_shut
	.globl	um_win_abort
um_win_abort:
	movq	$-ERESTART_NOTSTARTED, %r12
um_win_shut:
	movl	$SIG_SETMASK, %edi
	movq	%r14, %rsi
	xorl	%edx, %edx
	movl	$8, %r10d
	movl	$NR_rt_sigprocmask, %eax
	syscall
	.globl	um_win_close
um_win_close:
	movq	%r12, %rax
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%rbx
	popq	%rbp
	ret
	.size	um_window, .-um_window

/* int64_t um_window_open(long nr, const uint64_t arg[6])
 *
 * The same for a call from a patched site, where signals are let in anyway. */
	.globl	um_window_open
	.type	um_window_open, @function
um_window_open:
	pushq	%rbx
	movq	%rsi, %rbx
	movq	%rdi, %rax
	movq	%rsp, %rcx
	andq	$-KSTACK_SIZE, %rcx
	.globl	um_open_begin
um_open_begin:
	cmpl	$0, THREAD_VIRT_NEW(%rcx)
	jne	um_open_abort
	movq	0(%rbx), %rdi
	movq	8(%rbx), %rsi
	movq	16(%rbx), %rdx
	movq	24(%rbx), %r10
	movq	32(%rbx), %r8
	movq	40(%rbx), %r9
	.globl	um_open_syscall
um_open_syscall:
	syscall
	.globl	um_open_end
um_open_end:
	popq	%rbx
	ret
	.globl	um_open_abort
um_open_abort:
	movq	$-ERESTART_NOTSTARTED, %rax
	popq	%rbx
	ret
	.size	um_window_open, .-um_window_open

/* From a stub of a patched call site, see fast.c: r11 behind the replaced instruction, rcx free, all else the program's, flags and
 * red zone included. */
	.globl	um_fast_entry
	.type	um_fast_entry, @function
um_fast_entry:
	movl	%gs:FAST_MAGIC, %ecx
	leaq	-FAST_IS_OURS(%rcx), %rcx
	jrcxz	1f
	hlt			/* GS is the program's own: trap.c gives up patching */
1:	movl	$1, %gs:FAST_ON
	movq	%rsp, %gs:FAST_RSP
	movq	%r11, %gs:FAST_NEXT
	movq	%rax, %gs:FAST_RAX
	movq	%rdi, %gs:FAST_ARG
	movq	%rsi, %gs:FAST_ARG+8
	movq	%rdx, %gs:FAST_ARG+16
	movq	%r10, %gs:FAST_ARG+24
	movq	%r8, %gs:FAST_ARG+32
	movq	%r9, %gs:FAST_ARG+40
	movl	$0, %gs:FAST_STATE
	movq	%gs:FAST_STACK, %rsp
	pushfq
	popq	%rcx
	movq	%rcx, %gs:FAST_FLAGS
	.globl	um_fast_body
um_fast_body:
	testl	$EFLAGS_AC_DF_TF, %ecx
	jnz	um_fast_leave_by_trap
	movq	%gs:FAST_SELF, %rdi
	call	um_fast_call
	testb	%al, %al
	jnz	um_fast_leave_by_trap
	.globl	um_fast_leave
um_fast_leave:
	cmpl	$0, %gs:THREAD_VIRT_NEW
	jne	um_fast_late
	movq	%gs:FAST_ARG, %rdi
	movq	%gs:FAST_ARG+8, %rsi
	movq	%gs:FAST_ARG+16, %rdx
	movq	%gs:FAST_ARG+24, %r10
	movq	%gs:FAST_ARG+32, %r8
	movq	%gs:FAST_ARG+40, %r9
	movl	$0, %gs:FAST_ON
	pushq	%gs:FAST_FLAGS
	popfq
	movq	%gs:FAST_RAX, %rax
	movq	%gs:FAST_FLAGS, %r11
	movq	%gs:FAST_NEXT, %rcx
	movq	%gs:FAST_RSP, %rsp
	jmpq	*%gs:FAST_TAIL
um_fast_late:
	movl	$FAST_END, %gs:FAST_STATE
um_fast_leave_by_trap:
	movq	%gs:FAST_ARG, %rdi
	movq	%gs:FAST_ARG+8, %rsi
	movq	%gs:FAST_ARG+16, %rdx
	movq	%gs:FAST_ARG+24, %r10
	movq	%gs:FAST_ARG+32, %r8
	movq	%gs:FAST_ARG+40, %r9
	movl	$0, %gs:FAST_ON
	pushq	%gs:FAST_FLAGS
	popfq
	movq	%gs:FAST_RAX, %rax
	movq	%gs:FAST_RSP, %rsp
	.globl	um_fast_trap
um_fast_trap:
	hlt
	.size	um_fast_entry, .-um_fast_entry

/* int64_t um_host_clone(flags, stack, parent_tid, child_tid, tls): the child runs um_thread_born on its kernel stack. */
	.globl	um_host_clone
	.type	um_host_clone, @function
um_host_clone:
	movq	%rcx, %r10
	movl	$NR_clone, %eax
	syscall
	testq	%rax, %rax
	jz	1f
	ret
1:	xorl	%ebp, %ebp
	andq	$-16, %rsp
	call	um_thread_born
	ud2
	.size	um_host_clone, .-um_host_clone

/* uint64_t um_touch(addr): read a word of ours that may be absent; 0 on success, else nonzero through the exception table. */
	.globl	um_touch
	.type	um_touch, @function
um_touch:
1:	movq	(%rdi), %rax
	xorl	%eax, %eax
	ret
2:	movl	$1, %eax
	ret
	.size	um_touch, .-um_touch
	.pushsection __ex_table, "aw"
	.balign	4
	.long	1b - .
	.long	2b - .
	.long	0
	.popsection

	.bss
	.globl	um_kstack0
	.balign	KSTACK_SIZE
um_kstack0:
	.skip	KSTACK_SIZE

	.section .note.GNU-stack, "", @progbits
