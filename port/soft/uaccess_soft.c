/* SPDX-License-Identifier: MIT */
/* uaccess_soft.c - user copies on the software MMU
 *
 * The same promises as the real copies (mm/uaccess.h), kept the same way: after access_ok the memory is simply touched,
 * by an "instruction" that has an entry in __ex_table.  Its address is the ip of the fault; when do_page_fault answers
 * FAULT_FIXUP, the fixup must be the one that stands in the entry, and the copy ends there with the bytes left over.
 * The labels are never executed. */
#include "mm/uaccess.h"
#include "port/soft/soft.h"

#define EX_SITE(name, type)                                                         \
	__asm__(".pushsection .text\n"                                              \
		".globl soft_insn_" name ", soft_fixup_" name "\n"                  \
		"soft_insn_" name ": nop\n"                                         \
		"soft_fixup_" name ": nop\n"                                        \
		".popsection\n"                                                     \
		".pushsection __ex_table, \"aw\", @progbits\n"                      \
		".balign 4\n"                                                       \
		".long soft_insn_" name " - ., soft_fixup_" name " - ., " type "\n" \
		".popsection\n")

EX_SITE("copy", "0");  /* EX_FIXUP: bytes left */
EX_SITE("value", "1"); /* EX_EFAULT_RAX: -EFAULT */
extern char soft_insn_copy[], soft_fixup_copy[], soft_insn_value[], soft_fixup_value[];

static vaddr_t code_addr(const char *label) { return (uintptr_t)label; }

/* Touch n bytes; returns how many were not reached. */
static uint64_t touch(struct mm *mm, struct task *tk, struct soft_kernel_access a, const char *fixup)
{
	struct fault_report r;
	size_t done;
	int verdict = soft_kernel_access(mm, tk, &a, &done, &r);

	if (verdict == FAULT_FIXUP)
		SF_ASSERT(r.fixup == code_addr(fixup));
	else
		SF_ASSERT(verdict == FAULT_FIXED || verdict == FAULT_KILL);
	return a.n - done;
}

static bool take(void *at, void *buf, size_t n)
{
	memcpy(buf, at, n);
	return true;
}

static bool give(void *at, void *buf, size_t n)
{
	memcpy(at, buf, n);
	return true;
}

static bool clear(void *at, void *buf, size_t n)
{
	memset(at, 0, n);
	return true;
}

/* Up to and including the NUL. */
static bool take_string(void *at, void *buf, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!(((char *)buf)[i] = ((char *)at)[i]))
			return false;
	return true;
}

uint64_t copy_from_user(struct mm *mm, struct task *tk, void *dst, vaddr_t src, uint64_t n)
{
	uint64_t left = n;

	if (access_ok(mm, src, n))
		left = touch(mm, tk, (struct soft_kernel_access){ src, dst, n, PT_R, code_addr(soft_insn_copy), take }, soft_fixup_copy);
	memset((char *)dst + (n - left), 0, left);
	return left;
}

uint64_t copy_to_user(struct mm *mm, struct task *tk, vaddr_t dst, const void *src, uint64_t n)
{
	if (!access_ok(mm, dst, n))
		return n;
	return touch(mm, tk, (struct soft_kernel_access){ dst, (void *)(uintptr_t)src, n, PT_W, code_addr(soft_insn_copy), give },
		     soft_fixup_copy);
}

uint64_t clear_user(struct mm *mm, struct task *tk, vaddr_t dst, uint64_t n)
{
	if (!access_ok(mm, dst, n))
		return n;
	return touch(mm, tk, (struct soft_kernel_access){ dst, NULL, n, PT_W, code_addr(soft_insn_copy), clear }, soft_fixup_copy);
}

/* A string may end just below a bad page: only bytes up to the NUL count, and the range is cut at the task's end. */
int64_t strncpy_from_user(struct mm *mm, struct task *tk, char *dst, vaddr_t src, uint64_t n)
{
	uint64_t most = src < mm->task_size ? MIN(n, mm->task_size - src) : 0;
	uint64_t left = touch(mm, tk, (struct soft_kernel_access){ src, dst, most, PT_R, code_addr(soft_insn_value), take_string },
			      soft_fixup_value);

	for (uint64_t i = 0; i < most - left; i++)
		if (!dst[i])
			return (int64_t)i;
	return left || most < n ? -EFAULT : (int64_t)n;
}

int get_user_size(struct mm *mm, struct task *tk, vaddr_t src, unsigned size, uint64_t *ret)
{
	uint64_t v = 0;

	if (!access_ok(mm, src, size) ||
	    touch(mm, tk, (struct soft_kernel_access){ src, &v, size, PT_R, code_addr(soft_insn_value), take }, soft_fixup_value))
		return -EFAULT;
	*ret = v;
	return 0;
}

int put_user_size(struct mm *mm, struct task *tk, vaddr_t dst, unsigned size, uint64_t val)
{
	if (!access_ok(mm, dst, size) ||
	    touch(mm, tk, (struct soft_kernel_access){ dst, &val, size, PT_W, code_addr(soft_insn_value), give }, soft_fixup_value))
		return -EFAULT;
	return 0;
}

struct exchange {
	uint32_t old, new_, seen;
};

/* The whole word at once: cmpxchg_user32 has refused words that cross a page. */
static bool exchange(void *at, void *buf, size_t n)
{
	struct exchange *x = buf;

	memcpy(&x->seen, at, n);
	if (x->seen == x->old)
		memcpy(at, &x->new_, n);
	return true;
}

int cmpxchg_user32(struct mm *mm, struct task *tk, vaddr_t addr, uint32_t old, uint32_t new_, uint32_t *ret_old)
{
	struct exchange x = { old, new_, 0 };

	if ((addr & 3) || !access_ok(mm, addr, 4) ||
	    touch(mm, tk, (struct soft_kernel_access){ addr, &x, 4, PT_W, code_addr(soft_insn_value), exchange }, soft_fixup_value))
		return -EFAULT;
	*ret_old = x.seen;
	return 0;
}
