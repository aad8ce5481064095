/* SPDX-License-Identifier: MIT */
/* atomic_log.h - the log that makes a sync atomic: written whole, then committed, then applied, then emptied (atomic_log.c)
 *
 *	log_begin(&l, fd, flags, buf);
 *	log_add(&l, off, page);            // each changed page
 *	log_commit(&l);                    // durable; from here on it will be applied, now or after a crash
 *	log_apply(fd, fn, arg, buf);       // fn writes one page home; and flushes
 *	log_empty(fd);
 *
 * Results are 0 or -errno. */
#ifndef SF_ATOMIC_LOG_H
#define SF_ATOMIC_LOG_H

#include "mm/base.h"

#define LOG_GROWS 1u /* pages beyond the end of home are written, not cut off */
#define LOG_BUF (32 * PAGE_SIZE)

struct log {
	int fd;
	char *buf;            /* LOG_BUF bytes of the caller's */
	uint64_t have, at;    /* bytes in buf; where they go */
	uint64_t nonce, count, sum;
};
/* All of it, or -errno; -EIO when the host takes nothing. */
int write_all(int fd, const void *from, uint64_t len, uint64_t off);
int log_begin(struct log *l, int fd, uint32_t flags, char *buf);
int log_add(struct log *l, uint64_t off, const void *page);
int log_commit(struct log *l);

/* What is in the file.  -EBADMSG: a log that was committed and is damaged; -EINVAL: something else. */
enum { LOG_IS_EMPTY, LOG_IS_WHOLE, LOG_IS_TORN /* never committed */ };
int log_look(int fd, uint32_t *ret_flags, char *buf);
/* Call fn for each page of a committed log. */
typedef int (*log_fn)(void *arg, uint64_t off, const void *page);
int log_apply(int fd, log_fn fn, void *arg, char *buf);
int log_empty(int fd); /* durably */

#endif
