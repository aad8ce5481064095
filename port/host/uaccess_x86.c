/* SPDX-License-Identifier: MIT */
/* uaccess_x86.c - touching program memory with instructions that may fail (rows 13-21)
 *
 * access_ok is the only check made before the touch (row 13).  Every instruction here that reads or writes program memory has
 * an entry in __ex_table; the fault path sends it to its fixup when the address is bad:
 *
 *   copies    rep movsb / rep stosb; on a fault rcx holds the bytes left, which is what the caller returns
 *   words     the entry's type is EX_EFAULT_RAX: rax, which was 0, becomes -EFAULT
 *
 * A legal absent page is brought in by the fault path and the same instruction runs again, in the middle of a copy too. */
#include "mm/uaccess.h"

/* Writable, because the table is sorted in place at start. */
#define EX_ENTRY(insn, fixup, type)                        \
	".pushsection __ex_table,\"aw\"\n\t"               \
	".balign 4\n\t"                                    \
	".long (" insn ") - .\n\t.long (" fixup ") - .\n\t" \
	".long " type "\n\t"                               \
	".popsection\n\t"
#define EX_TO_FIXUP "0" /* EX_FIXUP */
#define EX_TO_EFAULT "1" /* EX_EFAULT_RAX */
_Static_assert(EX_FIXUP == 0 && EX_EFAULT_RAX == 1, "types as written above");

/* Bytes left.  One side is program memory. */
static inline uint64_t copy_bytes(void *dst, const void *src, uint64_t n)
{
	__asm__ volatile("1:\trep movsb\n"
			 "2:\n\t" EX_ENTRY("1b", "2b", EX_TO_FIXUP)
			 : "+c"(n), "+D"(dst), "+S"(src) :: "memory");
	return n;
}

uint64_t copy_from_user(struct mm *mm, struct task *tk, void *dst, vaddr_t src, uint64_t n)
{
	uint64_t left = n;

	if (access_ok(mm, src, n))
		left = copy_bytes(dst, (const void *)src, n);
	if (unlikely(left))
		memset((char *)dst + (n - left), 0, left);
	return left;
}

uint64_t copy_to_user(struct mm *mm, struct task *tk, vaddr_t dst, const void *src, uint64_t n)
{
	return access_ok(mm, dst, n) ? copy_bytes((void *)dst, src, n) : n;
}

uint64_t clear_user(struct mm *mm, struct task *tk, vaddr_t dst, uint64_t n)
{
	if (!access_ok(mm, dst, n))
		return n;
	__asm__ volatile("1:\trep stosb\n"
			 "2:\n\t" EX_ENTRY("1b", "2b", EX_TO_FIXUP)
			 : "+c"(n), "+D"(dst) : "a"(0) : "memory");
	return n;
}

/* 0 or -EFAULT in rax; the size picks the instruction. */
#define LOAD(insn, src, val)                                              \
	__extension__({                                                   \
		int64_t err__ = 0;                                        \
		uint64_t v__ = 0;                                         \
		__asm__ volatile("1:\t" insn "\n"                         \
				 "2:\n\t" EX_ENTRY("1b", "2b", EX_TO_EFAULT) \
				 : "+a"(err__), "+r"(v__) : "r"(src) : "memory"); \
		*(val) = v__;                                             \
		(int)err__;                                               \
	})
#define STORE(insn, dst, val)                                             \
	__extension__({                                                   \
		int64_t err__ = 0;                                        \
		__asm__ volatile("1:\t" insn "\n"                         \
				 "2:\n\t" EX_ENTRY("1b", "2b", EX_TO_EFAULT) \
				 : "+a"(err__) : "r"(dst), "r"(val) : "memory"); \
		(int)err__;                                               \
	})

static int load_user(vaddr_t src, unsigned size, uint64_t *ret)
{
	switch (size) {
	case 1: return LOAD("movzbl (%2), %k1", src, ret);
	case 2: return LOAD("movzwl (%2), %k1", src, ret);
	case 4: return LOAD("movl (%2), %k1", src, ret);
	default: return LOAD("movq (%2), %1", src, ret);
	}
}

int get_user_size(struct mm *mm, struct task *tk, vaddr_t src, unsigned size, uint64_t *ret)
{
	uint64_t val;

	if (!access_ok(mm, src, size) || load_user(src, size, &val))
		return -EFAULT;
	*ret = val;
	return 0;
}

int put_user_size(struct mm *mm, struct task *tk, vaddr_t dst, unsigned size, uint64_t val)
{
	if (!access_ok(mm, dst, size))
		return -EFAULT;
	switch (size) {
	case 1: return STORE("movb %b2, (%1)", dst, val);
	case 2: return STORE("movw %w2, (%1)", dst, val);
	case 4: return STORE("movl %k2, (%1)", dst, val);
	default: return STORE("movq %2, (%1)", dst, val);
	}
}

static bool has_zero_byte(uint64_t w)
{
	return (w - 0x0101010101010101ull) & ~w & 0x8080808080808080ull;
}

/* Aligned words, which never reach into the next page, where eight bytes or more may be read; single bytes else. */
int64_t strncpy_from_user(struct mm *mm, struct task *tk, char *dst, vaddr_t src, uint64_t n)
{
	uint64_t i = 0, v;

	while (i < n) {
		bool word = !((src + i) & 7) && n - i >= 8;

		if (!access_ok(mm, src + i, word ? 8 : 1) || load_user(src + i, word ? 8 : 1, &v))
			return -EFAULT;
		if (word && !has_zero_byte(v)) {
			memcpy(dst + i, &v, 8);
			i += 8;
			continue;
		}
		for (unsigned k = 0; k < (word ? 8 : 1); k++, i++, v >>= 8)
			if (!(dst[i] = (char)v))
				return (int64_t)i;
	}
	return (int64_t)n;
}

int cmpxchg_user32(struct mm *mm, struct task *tk, vaddr_t addr, uint32_t old, uint32_t new_, uint32_t *ret_old)
{
	uint32_t found = old;
	int64_t fail = -EFAULT;

	if (!access_ok(mm, addr, 4))
		return -EFAULT;
	/* rax is the instruction's own operand, so failure shows in `fail` staying as it is */
	__asm__ volatile("1:\tlock cmpxchgl %k3, (%2)\n\t"
			 "xorl %k1, %k1\n"
			 "2:\n\t" EX_ENTRY("1b", "2b", EX_TO_FIXUP)
			 : "+a"(found), "+r"(fail) : "r"(addr), "r"(new_) : "memory", "cc");
	if (fail)
		return -EFAULT;
	*ret_old = found;
	return 0;
}
