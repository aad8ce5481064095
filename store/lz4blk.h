/* SPDX-License-Identifier: MIT */
/* lz4blk.h - the LZ4 block format, small enough to run inside a signal handler
 *
 *	static struct lz4blk_work work;
 *	unsigned size = lz4blk_compress(page, 4096, buf, 3072, &work);
 *	if (size && lz4blk_expand(buf, size, page, 4096)) …damaged…
 *
 * Interchangeable with liblz4's LZ4_compress_default and LZ4_decompress_safe, without its library calls. */
#ifndef SF_LZ4BLK_H
#define SF_LZ4BLK_H

#include "mm/base.h"

#define LZ4BLK_HASH_BITS 12
#define LZ4BLK_MAX_INPUT 65535u /* positions are kept in 16 bits */

/* The compressor's memory; needs no preparation, holds nothing between calls. */
struct lz4blk_work { uint16_t pos[1u << LZ4BLK_HASH_BITS]; };

/* Compress len bytes at src into at most cap bytes at dst.  The compressed size, or 0 when it would exceed cap (dst is then
 * scribbled on) or len is 0 or too long.  The same input always gives the same output. */
unsigned lz4blk_compress(const void *src, unsigned len, void *dst, unsigned cap, struct lz4blk_work *work);

/* Expand len bytes at src to exactly out_len bytes at dst.  -EIO unless the block is well-formed and of that very length;
 * never reads or writes outside the two buffers, whatever src holds. */
int lz4blk_expand(const void *src, unsigned len, void *dst, unsigned out_len);

#endif
