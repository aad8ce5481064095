/* SPDX-License-Identifier: MIT */
/* lz4blk.c - the LZ4 block format
 *
 * A block is a row of sequences: a token (literal count in the upper four bits, match length less 4 in the lower; 15
 * means that bytes follow which add up, the last being below 255), the literals, a 16-bit little-endian distance back, the rest of
 * the match length.  The last sequence is literals only; the last five bytes are always literals and no match starts
 * within the last twelve.  Source: lz4_Block_format.md of the LZ4 project.
 *
 * The compressor is greedy: one candidate per hash of five bytes, taken if four bytes agree, grown both ways.  It
 * steps wider the longer it finds nothing, so random data cost little.
 *
 * Copies go in 16-byte strides that may overshoot where both buffers have the room, byte by byte near their
 * ends.  The built-in copies of constant size become single moves; nothing is called. */

#include "store/lz4blk.h"

#define MIN_MATCH     4u
#define LAST_LITERALS 5u
#define MATCH_MARGIN  12u
#define STRIDE        16u
#define SKIP_SHIFT    6u /* misses before the search steps wider */

static inline uint32_t load32(const uint8_t *p) { uint32_t v; __builtin_memcpy(&v, p, 4); return v; }
static inline uint64_t load64(const uint8_t *p) { uint64_t v; __builtin_memcpy(&v, p, 8); return v; }
static inline void copy8(uint8_t *d, const uint8_t *s) { __builtin_memcpy(d, s, 8); }
static inline void copy16(uint8_t *d, const uint8_t *s) { __builtin_memcpy(d, s, 16); }

/* ---------------------------------------------------------------- compress */

struct packer {
	const uint8_t *src, *end; /* the input */
	const uint8_t *anchor;    /* first byte not yet written */
	uint8_t *out, *out_end;
};

static inline unsigned hash5(const uint8_t *p)
{
	return (unsigned)(((load64(p) << 24) * 0xcf1bbcdcbbull) >> (64 - LZ4BLK_HASH_BITS));
}

/* How many bytes from a and b agree; a is the later one and stops before limit. */
static inline unsigned common_length(const uint8_t *a, const uint8_t *b, const uint8_t *limit)
{
	const uint8_t *start = a;

	while (a + 8 <= limit) {
		uint64_t diff = load64(a) ^ load64(b);
		if (diff)
			return (unsigned)(a - start) + (unsigned)__builtin_ctzll(diff) / 8;
		a += 8;
		b += 8;
	}
	while (a < limit && *a == *b) {
		a++;
		b++;
	}
	return (unsigned)(a - start);
}

static inline uint8_t *put_length(uint8_t *out, unsigned rest)
{
	for (; rest >= 255; rest -= 255)
		*out++ = 255;
	*out++ = (uint8_t)rest;
	return out;
}

/* Token, length and the literals from anchor on.  NULL when the output lacks room for them and extra bytes more. */
static inline uint8_t *put_literals(struct packer *pk, unsigned n, unsigned extra)
{
	uint8_t *token = pk->out, *out = token + 1;

	if ((size_t)(pk->out_end - pk->out) < (size_t)1 + n / 255 + 1 + n + extra)
		return NULL;
	if (n >= 15) {
		*token = 15u << 4;
		out = put_length(out, n - 15);
	} else {
		*token = (uint8_t)(n << 4);
	}
	const uint8_t *s = pk->anchor;
	if (likely((size_t)(pk->end - s) >= n + STRIDE && (size_t)(pk->out_end - out) >= n + STRIDE)) {
		for (unsigned i = 0; i < n; i += STRIDE)
			copy16(out + i, s + i);
	} else {
		for (unsigned i = 0; i < n; i++)
			out[i] = s[i];
	}
	pk->out = out + n;
	pk->anchor = s + n;
	return token;
}

static inline bool put_sequence(struct packer *pk, unsigned literals, unsigned distance, unsigned match)
{
	uint8_t *token = put_literals(pk, literals, 2 + match / 255 + 1);

	if (unlikely(!token))
		return false;
	*pk->out++ = (uint8_t)distance;
	*pk->out++ = (uint8_t)(distance >> 8);
	pk->anchor += match;
	match -= MIN_MATCH;
	if (match >= 15) {
		*token |= 15;
		pk->out = put_length(pk->out, match - 15);
	} else {
		*token |= (uint8_t)match;
	}
	return true;
}

/* The next position from ip on where four bytes occurred before; *ret_ref is where.  NULL: none before limit. */
static inline const uint8_t *find_match(struct packer *pk, uint16_t *pos, const uint8_t *ip, const uint8_t *limit,
					const uint8_t **ret_ref)
{
	unsigned tries = 1u << SKIP_SHIFT;

	while (ip <= limit) {
		unsigned h = hash5(ip);
		const uint8_t *ref = pk->src + pos[h];
		pos[h] = (uint16_t)(ip - pk->src);
		if (load32(ref) == load32(ip)) {
			*ret_ref = ref;
			return ip;
		}
		ip += tries++ >> SKIP_SHIFT;
	}
	return NULL;
}

/* All sequences with a match.  False: no room. */
static bool pack_matches(struct packer *pk, uint16_t *pos)
{
	const uint8_t *limit = pk->end - MATCH_MARGIN, *match_end = pk->end - LAST_LITERALS;
	const uint8_t *ip = pk->src + 1, *ref;

	/* Position 0 needs no entry: an untouched one means 0, and a candidate is always compared. */
	while ((ip = find_match(pk, pos, ip, limit, &ref))) {
		unsigned len = MIN_MATCH + common_length(ip + MIN_MATCH, ref + MIN_MATCH, match_end);

		while (ip > pk->anchor && ref > pk->src && ip[-1] == ref[-1]) {
			ip--;
			ref--;
			len++;
		}
		if (!put_sequence(pk, (unsigned)(ip - pk->anchor), (unsigned)(ip - ref), len))
			return false;
		ip = pk->anchor;
		if (ip <= limit)
			pos[hash5(ip - 2)] = (uint16_t)(ip - 2 - pk->src);
	}
	return true;
}

unsigned lz4blk_compress(const void *src, unsigned len, void *dst, unsigned cap, struct lz4blk_work *work)
{
	struct packer pk = { .src = src, .end = (const uint8_t *)src + len, .anchor = src, .out = dst,
			     .out_end = (uint8_t *)dst + cap };

	if (!len || len > LZ4BLK_MAX_INPUT)
		return 0;
	if (len > MATCH_MARGIN) {
		memset(work->pos, 0, sizeof(work->pos));
		if (!pack_matches(&pk, work->pos))
			return 0;
	}
	if (!put_literals(&pk, (unsigned)(pk.end - pk.anchor), 0))
		return 0;
	return (unsigned)(pk.out - (uint8_t *)dst);
}

/* ---------------------------------------------------------------- expand */

/* Add the bytes that continue a length of 15.  False: the block ends within them. */
static inline bool get_length(const uint8_t **pip, const uint8_t *end, size_t *len)
{
	const uint8_t *ip = *pip;
	uint8_t b;

	do {
		if (unlikely(ip == end))
			return false;
		b = *ip++;
		*len += b;
	} while (b == 255);
	*pip = ip;
	return true;
}

/* n bytes from distance back, which may overlap; there is room for a stride beyond op + n. */
static inline void copy_match_wild(uint8_t *op, size_t distance, size_t n)
{
	/* Least multiple of the distance that is 8 or more: from there on 8 bytes can be copied at once. */
	static const uint8_t widened[8] = { 0, 8, 8, 9, 8, 10, 12, 14 };
	const uint8_t *m = op - distance;
	uint8_t *end = op + n;

	if (likely(distance >= STRIDE)) {
		for (; op < end; op += STRIDE, m += STRIDE)
			copy16(op, m);
		return;
	}
	if (distance < 8) {
		for (unsigned i = 0; i < 8; i++)
			op[i] = m[i];
		op += 8;
		m = op - widened[distance];
	}
	for (; op < end; op += 8, m += 8)
		copy8(op, m);
}

static inline void copy_literals(uint8_t *op, const uint8_t *ip, size_t n, bool wild)
{
	if (likely(wild)) {
		size_t i = 0;
		do {
			copy16(op + i, ip + i);
			i += STRIDE;
		} while (i < n);
	} else {
		size_t i = 0;
		for (; i + 8 <= n; i += 8)
			copy8(op + i, ip + i);
		for (; i < n; i++)
			op[i] = ip[i];
	}
}

static inline void copy_match(uint8_t *op, size_t distance, size_t n, bool wild)
{
	if (likely(wild)) {
		copy_match_wild(op, distance, n);
	} else {
		for (size_t i = 0; i < n; i++)
			op[i] = op[i - distance];
	}
}

int lz4blk_expand(const void *src, unsigned len, void *dst, unsigned out_len)
{
	const uint8_t *ip = src, *iend = ip + len;
	uint8_t *op = dst, *oend = op + out_len;

	while (likely(ip < iend)) {
		unsigned token = *ip++;
		size_t n = token >> 4;

		if (n == 15 && !get_length(&ip, iend, &n))
			return -EIO;
		size_t in = (size_t)(iend - ip), room = (size_t)(oend - op);
		if (unlikely(n > in || n > room))
			return -EIO;
		copy_literals(op, ip, n, in >= n + STRIDE && room >= n + STRIDE);
		ip += n;
		op += n;
		if (ip == iend)
			return op == oend ? 0 : -EIO;

		if (unlikely(iend - ip < 2))
			return -EIO;
		size_t distance = ip[0] | (size_t)ip[1] << 8;
		ip += 2;
		n = token & 15;
		if (n == 15 && !get_length(&ip, iend, &n))
			return -EIO;
		n += MIN_MATCH;
		room = (size_t)(oend - op);
		if (unlikely(!distance || distance > (size_t)(op - (uint8_t *)dst) || n > room))
			return -EIO;
		copy_match(op, distance, n, room >= n + STRIDE);
		op += n;
	}
	return -EIO; /* a block ends with literals */
}
