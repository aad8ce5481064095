/* SPDX-License-Identifier: MIT */
/* snap.h - generations of a range's contents, without copying what does not change (mm/snap.c)
 *
 *	snap_take(mm, tk, start, len, &s);
 *	…                                  // writes to the range save what they overwrite
 *	snap_read(s, tk, off, buf, n);     // as it was
 *	snap_drop(s);
 *
 * None of these calls is made with the mm lock; calls that change one line of generations must not overlap (the caller's lock), reading may overlap
 * anything but the drop of what is read.  tk is the caller's task. */
#ifndef SF_SNAP_H
#define SF_SNAP_H

#include "mm/mm.h"

struct snap;

/* The contents of [start, start+len), pages of private areas, as of now.  A range that has snapshots can have more of exactly that range.  -EINVAL (holes,
 * shared mappings, another range), -EBUSY (pages pinned for writing), -ENOMEM. */
int snap_take(struct mm *mm, struct task *tk, vaddr_t start, uint64_t len, struct snap **ret);
/* -ENOMEM: not all could be handed to the older one; nothing is lost, s must be dropped again. */
int snap_drop(struct snap *s);
/* n bytes at off, inside one page, to buf, which is no memory of this mm.  -EIO and kin, -ENOMEM. */
int snap_read(struct snap *s, struct task *tk, uint64_t off, void *buf, uint64_t n);
/* The first page at or after index from, below end, whose contents may differ between s and to (NULL: now), or end. */
uint64_t snap_next_diff(struct snap *s, struct snap *to, uint64_t from, uint64_t end);
/* The first page at or after index from that can be other than zeros, or end; all are in ranges whose pages have a home. */
uint64_t snap_next_used(struct snap *s, uint64_t from, uint64_t end);
/* Has the page been written since s, the newest snapshot?  Locked: mm. */
bool snap_written(struct snap *s, uint64_t index);
/* The range is again what it was. -EBUSY (a page is pinned), -ENOMEM, -EIO: some pages are, and the call can be made again. */
int snap_rollback(struct snap *s, struct task *tk);
/* Where the contents can be read in place: a range of that length, read-only, pages absent until touched. */
vaddr_t snap_base(const struct snap *s);
uint64_t snap_pages(const struct snap *s);
/* The file of the shadow's areas, for whoever looks at these; and anything the caller wants to find again. */
void snap_set_file(struct snap *s, struct sf_file *f);
void snap_set_owner(struct snap *s, void *owner);
void *snap_owner(const struct snap *s);
/* Older and newer of one line? */
bool snap_before(const struct snap *s, const struct snap *newer);
struct snap *snap_newest(const struct snap *s);
void snap_check(struct mm *mm, vaddr_t start); /* panics unless what snap.c promises holds for the range that begins there */

#endif
