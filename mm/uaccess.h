/* SPDX-License-Identifier: MIT */
/* uaccess.h - copies between us and the program, safe against bad addresses (rows 13-21)
 *
 * After access_ok the copy simply touches the program's memory.  A legal absent page is faulted in and the copy goes on;
 * a bad one sends the faulting instruction to its fixup through the exception table.  No lock held; task->fault_addr tells where it stopped.
 * On the soft port the same functions walk its page tables. */
#ifndef SF_UACCESS_H
#define SF_UACCESS_H

#include "mm/mm.h"

/* Bytes not copied (0: all).  copy_from_user zero-fills the rest of dst, as Linux does; _inatomic takes no fault. */
uint64_t copy_from_user(struct mm *mm, struct task *tk, void *dst, vaddr_t src, uint64_t n);
uint64_t copy_to_user(struct mm *mm, struct task *tk, vaddr_t dst, const void *src, uint64_t n);
uint64_t clear_user(struct mm *mm, struct task *tk, vaddr_t dst, uint64_t n);
/* Length without the NUL, or -EFAULT; n when there is no NUL within n bytes (dst then has none). */
int64_t strncpy_from_user(struct mm *mm, struct task *tk, char *dst, vaddr_t src, uint64_t n);
/* size 1, 2, 4, 8.  0 or -EFAULT. */
int get_user_size(struct mm *mm, struct task *tk, vaddr_t src, unsigned size, uint64_t *ret);
int put_user_size(struct mm *mm, struct task *tk, vaddr_t dst, unsigned size, uint64_t val);
#define get_user(mm, tk, type, src, ret) __extension__({ \
	uint64_t v__ = 0; \
	int r__ = get_user_size(mm, tk, src, sizeof(type), &v__); \
	if (!r__) \
		*(ret) = (type)v__; \
	r__; })
#define put_user(mm, tk, type, dst, val) put_user_size(mm, tk, dst, sizeof(type), (uint64_t)(type)(val))
/* 32-bit compare and exchange on user memory; 0 or -EFAULT; *ret_old what was there. */
int cmpxchg_user32(struct mm *mm, struct task *tk, vaddr_t addr, uint32_t old, uint32_t new_, uint32_t *ret_old);

#endif
