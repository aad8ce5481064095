/* SPDX-License-Identifier: MIT */
/* proc.h - between proc.c (which view), proc_maps.c, proc_status.c (their text) and text.c (where text grows) */
#ifndef SF_UM_PROC_H
#define SF_UM_PROC_H

#include "um/um.h"

/* Text that grows; the first failure is kept in err and ends all further growth.  May be used with the mm lock held. */
struct text { char *buf; size_t len, room; int err; };
void text_free(struct text *t);
void text_add(struct text *t, const void *p, size_t n);
void text_str(struct text *t, const char *s);
/* At most 255 bytes a call. */
#define text_fmt(t, ...) do { \
	char line__[256]; int n__ = um_snprintf(line__, sizeof(line__), __VA_ARGS__); \
	text_add(t, line__, (size_t)n__); } while (0)
/* The whole of a host file, 0 or -errno. */
int text_host_file(struct text *t, const char *path);

/* A view's text, made for another process of the tree: a new descriptor of ours, or -errno.  what: 1 + the view. */
int64_t um_proc_answer(struct thread *t, uint32_t what, uint32_t tid);

/* Once, while the host's map is still small: the host's own lines that the program sees too (vDSO and its like). */

/* The views' text; each takes one consistent look under the mm lock.  Errors are left in text->err. */
void proc_maps(struct text *t);
void proc_smaps(struct text *t);
void proc_smaps_rollup(struct text *t);
void proc_limits(struct text *t, const struct text *host);
/* Words of consecutive pages from the next one at or above *pfn that is there; how many, 0 at the end. */
unsigned proc_pagemap(uint64_t *pfn, uint64_t *words, unsigned room);
void proc_statm(struct text *t);
/* host: the host's text of the same file.  self: it is about thread th, which asks; whole: about the process, not one thread. */
void proc_status(struct text *t, const struct text *host, struct thread *th, bool self);
void proc_stat(struct text *t, const struct text *host, struct thread *th, bool self, bool whole);
void proc_auxv(struct text *t);
void proc_cmdline(struct text *t, struct thread *th);
void proc_environ(struct text *t, struct thread *th);

#endif
