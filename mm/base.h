/* SPDX-License-Identifier: MIT */
/* base.h - the few things every file of the core may lean on
 *
 * The core is freestanding: fixed-width types, memcpy and its kin, and the macros below are all that it takes
 * from outside.  It runs inside signal handlers on a program's thread, so nothing here may touch libc state. */
#ifndef SF_BASE_H
#define SF_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdatomic.h>
#include <asm/errno.h>

#define PAGE_SHIFT 12
#define PAGE_SIZE  4096ul
#define PAGE_MASK  (~(PAGE_SIZE - 1))
#define PAGE_ALIGN(x)      (((x) + PAGE_SIZE - 1) & PAGE_MASK)
#define PAGE_ALIGN_DOWN(x) ((x) & PAGE_MASK)
#define PFN(va) ((uint64_t)(va) >> PAGE_SHIFT)
#define PVA(pfn) ((vaddr_t)(pfn) << PAGE_SHIFT)

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
/* Each argument is evaluated once: some read words that other processes change meanwhile. */
#define PICK_(a, b, op, x, y) ({ __typeof__(1 ? (a) : (b)) x = (a), y = (b); x op y ? x : y; })
#define PICK__(a, b, op, n) PICK_(a, b, op, pick_a##n, pick_b##n)
#define PICK(a, b, op, n) PICK__(a, b, op, n)
#define MIN(a, b) PICK(a, b, <, __COUNTER__)
#define MAX(a, b) PICK(a, b, >, __COUNTER__)
#define container_of(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))
#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#define READ_ONCE(x)     __atomic_load_n(&(x), __ATOMIC_RELAXED)
#define WRITE_ONCE(x, v) __atomic_store_n(&(x), (v), __ATOMIC_RELAXED)

typedef uint64_t vaddr_t; /* an address in the program's address space */

/* Permission bits, the same values as PROT_READ, PROT_WRITE and PROT_EXEC. */
#define PT_R 1u
#define PT_W 2u
#define PT_X 4u

void *memcpy(void *restrict dst, const void *restrict src, size_t n);
void *memmove(void *dst, const void *src, size_t n);
void *memset(void *dst, int c, size_t n);
int memcmp(const void *a, const void *b, size_t n);

/* Three grades of assert.  SF_MISUSE: the caller broke a contract.  SF_BUG_ON: we are wrong.  SF_EXPENSIVE: an
 * invariant that costs more than the code it guards, checked in debug builds (SF_DEBUG) only.
 * sf_panic is supplied by whoever links the core: an oops in the user-mode kernel, abort in a test. */
__attribute__((noreturn, cold)) void sf_panic(const char *file, int line, const char *what);
#define SF_MISUSE(cond)  do { if (unlikely(cond)) sf_panic(__FILE__, __LINE__, "misuse: " #cond); } while (0)
#define SF_BUG_ON(cond)  do { if (unlikely(cond)) sf_panic(__FILE__, __LINE__, "bug: " #cond); } while (0)
#define SF_ASSERT(cond)  SF_BUG_ON(!(cond))
#ifdef SF_DEBUG
#define SF_EXPENSIVE(expr) do { if (!(expr)) sf_panic(__FILE__, __LINE__, "invariant: " #expr); } while (0)
#else
#define SF_EXPENSIVE(expr) do { } while (0)
#endif

#endif
