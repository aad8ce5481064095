/* SPDX-License-Identifier: MIT */
/* text.h - text that a user-mode kernel changes as it is filled (mm/text.c)
 *
 * machine.text_filled may change the contents of pages of executable, not writable private file areas each time that they are read; so such a page
 * can be dropped and read again at any time.  machine.text_gone hears of ranges that are about to be unmapped, moved or made writable. */
#ifndef SF_MM_TEXT_H
#define SF_MM_TEXT_H

#include "mm/mm.h"

#define TEXT_ZONE 0x10000ull

/* A new area of TEXT_ZONE bytes, all rights, no farther than reach from near, hidden from the program's view.  Its address or -errno.  Not locked. */
int64_t mm_text_zone(struct mm *mm, vaddr_t near, uint64_t reach);
/* Locked: mm.  Do [addr, addr+len) lie in one page that can be read again with other contents? */
bool mm_text_may_change(struct mm *mm, vaddr_t addr, uint64_t len);
/* Locked: mm; let go of only while the page is busy.  Drop the page of addr, if it is in memory.  False: it cannot be dropped. */
bool mm_text_refill(struct mm *mm, vaddr_t addr);
/* Locked: mm; as zap_range.  [start, end) is to become writable or to move: text_gone, and changed pages are dropped. */
void mm_text_forget(struct mm *mm, vaddr_t start, vaddr_t end);

#endif
