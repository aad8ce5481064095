/* SPDX-License-Identifier: MIT */
/* patch.c - system-call instructions that are trapped often are replaced by a jump
 *
 *     site:  0f 05        syscall              e9 xx GG xx xx   jmp stub
 *            48 3d …      cmp $-4095, %rax     (rest as it was, never reached)
 *
 *     stub:  lea next(%rip), %r11; jmp *um_fast_entry
 *     tail:  cmp $-4095, %rax; jmp behind it
 *
 * The jump covers the instruction that follows, which is carried out in the stub.  The only place inside the jump that anything can lead to is that
 * instruction's own address (a branch, or a thread that was in the call meanwhile).  The byte that lies there, GG, is always an
 * instruction that the processor refuses to programs (#GP): trap.c then goes on in the stub.  Where the stub lies is chosen so.
 *
 * Text is never written to.  A page of a private file area that is not writable is dropped and, on its next touch, filled from the file and then
 * changed (mm/text.c), in the time of eviction as well; so no processor ever sees half of a jump, and the page stays clean.  A page
 * that cannot be had again like that is left alone.  Whatever makes such memory writable, moves it or unmaps it takes its sites back first.
 *
 * Stubs lie in zones of 64 KiB, ordinary areas of the program's space (hidden from /proc) within the reach of a jump.  A stub is never used for another
 * site, as a thread may be in it.  Everything here is protected by the mm lock, but readers need none: sites are only added, and marked dead. */
#include "um/clone.h"
#include "um/patch.h"
#include "mm/text.h"

#define HOT        32u    /* so many traps cost about as much as replacing the instruction does */
#define NR_HOT     256u
#define HOT_WAYS   4u /* two sites that take turns must not put each other back to nought */
#define NR_SITES   1024u
#define NR_HASH    4096u
#define NR_ZONES   16u
#define SLOT       32u
#define NR_SLOTS   (TEXT_ZONE / SLOT)
#define TAIL_AT    13u
#define JUMP       5u
#define REACH      0x7ff00000ull
#define ARCH_SET_GS 0x1001

struct site {
	vaddr_t addr, slot;
	uint8_t was[JUMP], now[JUMP];
	uint8_t tail_len;  /* of the instruction in the stub */
	uint8_t live;
};
struct zone { vaddr_t base; bool live; uint16_t site[NR_SLOTS]; /* + 1; 0: free */ };

static struct hot { vaddr_t addr; uint32_t count; } hot[NR_HOT / HOT_WAYS][HOT_WAYS];
static struct site sites[NR_SITES + 1]; /* from 1 */
static uint16_t hash[NR_HASH];
static struct zone zones[NR_ZONES];
static uint32_t nr_sites, nr_zones, busy, hot_count;
bool um_patch_on;
vaddr_t um_patch_lo = UINT64_MAX, um_patch_hi;

/* ---------------------------------------------------------------- finding */

static unsigned hash_of(vaddr_t addr) { return (unsigned)((addr * 0x9e3779b97f4a7c15ull) >> 52); }

static struct site *site_find(vaddr_t addr)
{
	for (unsigned h = hash_of(addr);; h = (h + 1) % NR_HASH) {
		uint16_t i = __atomic_load_n(&hash[h], __ATOMIC_ACQUIRE);
		if (!i)
			return NULL;
		if (sites[i].addr == addr)
			return &sites[i];
	}
}

vaddr_t um_patch_tail(vaddr_t next)
{
	struct site *s = um_patch_overlaps(next - 2, 2) ? site_find(next - 2) : NULL;
	return s && __atomic_load_n(&s->live, __ATOMIC_ACQUIRE) ? s->slot + TAIL_AT : next;
}

bool um_patch_where(vaddr_t rip, vaddr_t *ret_rip, bool *ret_entry)
{
	for (unsigned i = 0, n = __atomic_load_n(&nr_zones, __ATOMIC_ACQUIRE); i < n; i++) {
		const struct zone *z = &zones[i];
		if (rip - z->base >= TEXT_ZONE)
			continue;
		const struct site *s = &sites[z->site[(rip - z->base) / SLOT]];
		unsigned at = (rip - z->base) % SLOT;
		if (!s->addr)
			return false;
		*ret_entry = at < TAIL_AT;
		*ret_rip = s->addr + (at < TAIL_AT ? 0 : at == TAIL_AT ? 2 : 2 + s->tail_len);
		return true;
	}
	return false;
}

/* ---------------------------------------------------------------- which instruction may be carried out elsewhere */

/* One byte, and #GP whatever the operands. */
static bool is_refused(uint8_t b)
{
	return b == 0xf4 || b == 0xfa || b == 0xfb || (b >= 0xec && b <= 0xef) || (b >= 0x6c && b <= 0x6f);
}

/* Register to register only: no memory, no address, no branch.  Its length, or 0. */
static unsigned plain_length(const uint8_t *p)
{
	unsigned rex = (p[0] & 0xf0) == 0x40, w = rex && p[0] & 8;
	const uint8_t *o = p + rex;
	switch (o[0]) {
	case 0x3d: return rex + 5;                                   /* cmp $imm32, %eax */
	case 0x83: return (o[1] & 0xc0) == 0xc0 ? rex + 3 : 0;       /* cmp, add … $imm8, reg */
	case 0x01: case 0x09: case 0x21: case 0x29: case 0x31: case 0x39: case 0x3b: case 0x63: case 0x85: case 0x89: case 0x8b:
		return (o[1] & 0xc0) == 0xc0 ? rex + 2 : 0;
	case 0xb8: case 0xb9: case 0xba: case 0xbb: case 0xbc: case 0xbd: case 0xbe: case 0xbf:
		return w ? 0 : rex + 5;                              /* mov $imm32, reg */
	default: return 0;
	}
}

/* ret, and then nothing but padding up to the next function: it is reached by nobody. */
static bool is_last(const uint8_t *p, vaddr_t at)
{
	unsigned pad = (unsigned)(-(at + 1) & 15);
	if (p[0] != 0xc3 || pad < JUMP - 3)
		return false;
	static const uint8_t nops[][9] = {
		{ 0x66, 0x90 }, { 0x0f, 0x1f, 0x00 }, { 0x0f, 0x1f, 0x40, 0x00 }, { 0x0f, 0x1f, 0x44, 0x00, 0x00 },
		{ 0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00 }, { 0x0f, 0x1f, 0x80, 0x00, 0x00, 0x00, 0x00 },
		{ 0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00 }, { 0x66, 0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00 },
	};
	if (pad > 9) /* the longest with more prefixes */
		return p[1] == 0x66 && (p[2] == 0x2e || p[2] == 0x66);
	return !memcmp(p + 1, nops[pad - 2], pad);
}

/* ---------------------------------------------------------------- stubs */

static int32_t distance(vaddr_t from, vaddr_t to) { return (int32_t)(int64_t)(to - from); }

static bool in_reach(vaddr_t a, vaddr_t b) { return (a > b ? a - b : b - a) < REACH; }

/* A free slot to which the jump from addr has a refused byte in its middle.  locked: mm */
static struct zone *find_slot(vaddr_t addr, unsigned *ret_slot)
{
	for (unsigned i = 0; i < nr_zones; i++) {
		struct zone *z = &zones[i];
		if (!z->live || !in_reach(addr, z->base))
			continue;
		for (unsigned k = 1; k < NR_SLOTS; k++)
			if (!z->site[k] && is_refused((uint8_t)(distance(addr + JUMP, z->base + k * SLOT) >> 8))) {
				*ret_slot = k;
				return z;
			}
	}
	return NULL;
}

static bool zone_make(struct thread *t, vaddr_t near)
{
	const uint64_t entry = (uintptr_t)um_fast_entry;
	if (nr_zones == NR_ZONES)
		return false;
	int64_t base = mm_text_zone(um.mm, near, REACH);
	if (base < 0 || copy_to_user(um.mm, &t->task, (vaddr_t)base, &entry, sizeof(entry)))
		return false;
	zones[nr_zones].base = (vaddr_t)base;
	zones[nr_zones].live = true;
	__atomic_store_n(&nr_zones, nr_zones + 1, __ATOMIC_RELEASE);
	return true;
}

static uint8_t *put_rel(uint8_t *p, const void *op, unsigned n, vaddr_t at, vaddr_t to)
{
	memcpy(p, op, n);
	int32_t rel = distance(at + n + 4, to);
	memcpy(p + n, &rel, 4);
	return p + n + 4;
}

static bool stub_write(struct thread *t, const struct zone *z, vaddr_t slot, vaddr_t next, const uint8_t *insn, unsigned len)
{
	uint8_t code[SLOT], *p = code;
	memset(code, 0xf4, sizeof(code));
	p = put_rel(p, "\x4c\x8d\x1d", 3, slot, next);
	p = put_rel(p, "\xff\x25", 2, slot + 7, z->base);
	memcpy(p, insn, len);
	p += len;
	if (*insn != 0xc3)
		put_rel(p, "\xe9", 1, slot + TAIL_AT + len, next + len);
	return !copy_to_user(um.mm, &t->task, slot, code, sizeof(code));
}

/* ---------------------------------------------------------------- replacing */

/* locked: mm */
static void site_publish(struct site *s)
{
	um_patch_lo = MIN(um_patch_lo, s->addr);
	um_patch_hi = MAX(um_patch_hi, s->addr + JUMP);
	__atomic_store_n(&s->live, 1, __ATOMIC_RELEASE);
	for (unsigned h = hash_of(s->addr);; h = (h + 1) % NR_HASH) {
		if (hash[h])
			continue;
		__atomic_store_n(&hash[h], (uint16_t)(s - sites), __ATOMIC_RELEASE);
		break;
	}
	sf_count(&um.shm->stats.patched_sites, 1);
}

static bool site_add(struct thread *t, vaddr_t addr, const uint8_t *code, unsigned len)
{
	unsigned k;
	struct zone *z = find_slot(addr, &k);
	if (!z && zone_make(t, addr))
		z = find_slot(addr, &k);
	if (!z || nr_sites == NR_SITES)
		return false;
	struct site *s = &sites[nr_sites + 1];
	*s = (struct site){ .addr = addr, .slot = z->base + k * SLOT, .tail_len = (uint8_t)len };
	memcpy(s->was, code, JUMP);
	put_rel(s->now, "\xe9", 1, addr, s->slot);
	if (!stub_write(t, z, s->slot, addr + 2, code + 2, len))
		return false;
	mm_lock(um.mm);
	bool ok = z->live && mm_text_may_change(um.mm, addr, JUMP);
	if (ok) {
		nr_sites++;
		z->site[k] = (uint16_t)nr_sites;
		site_publish(s);
		ok = mm_text_refill(um.mm, addr);
	}
	mm_unlock(um.mm);
	return ok;
}

static void try_replace(struct thread *t, vaddr_t addr)
{
	uint8_t code[24] = { 0 };
	uint64_t n = MIN(sizeof(code), PAGE_SIZE - (addr & ~PAGE_MASK));
	mm_lock(um.mm);
	bool may = mm_text_may_change(um.mm, addr, JUMP);
	mm_unlock(um.mm);
	if (!may || n < 2 + 7 || site_find(addr) || copy_from_user(um.mm, &t->task, code, addr, n) || code[0] != 0x0f || code[1] != 0x05)
		return;
	unsigned len = plain_length(code + 2);
	if (len < 3 || 2 + len > n) {
		len = 1;
		if (n < sizeof(code) || !is_last(code + 2, addr + 2))
			return;
	}
	site_add(t, addr, code, len);
}

/* Where calls from this address are counted; in place of the one counted least, if it is new. */
static struct hot *hot_of(vaddr_t addr)
{
	struct hot *set = hot[hash_of(addr) % (NR_HOT / HOT_WAYS)], *least = set;
	for (unsigned i = 0; i < HOT_WAYS; i++) {
		if (set[i].addr == addr)
			return &set[i];
		if (set[i].count < least->count)
			least = &set[i];
	}
	least->addr = addr;
	least->count = 0;
	return least;
}

void um_patch_note(struct thread *t, vaddr_t next, long nr)
{
	vaddr_t addr = next - 2;
	if (!um_patch_on || t->proc != &um.first)
		return;
	struct hot *h = hot_of(addr);
	if (h->count > hot_count || ++h->count != hot_count || !um_fast_eligible(nr))
		return;
	if (__atomic_exchange_n(&busy, 1, __ATOMIC_ACQUIRE)) {
		h->count = hot_count / 2;
		return;
	}
	try_replace(t, addr);
	__atomic_store_n(&busy, 0, __ATOMIC_RELEASE);
}

/* ---------------------------------------------------------------- what the core asks */

/* locked: mm */
static void text_filled(struct machine *mc, uint64_t pfn, unsigned n, char *buf)
{
	const vaddr_t lo = pfn << PAGE_SHIFT;
	if (!um_patch_overlaps(lo, n * PAGE_SIZE))
		return;
	for (unsigned i = 1; i <= nr_sites; i++) {
		const struct site *s = &sites[i];
		if (s->live && s->addr - lo < n * PAGE_SIZE && !memcmp(buf + (s->addr - lo), s->was, JUMP))
			memcpy(buf + (s->addr - lo), s->now, JUMP);
	}
}

static void site_kill(struct site *s) { __atomic_store_n(&s->live, 0, __ATOMIC_RELEASE); }

/* Stubs are about to go: their sites get their own bytes again.  locked: mm */
static void zone_gone(struct mm *mm, struct zone *z)
{
	z->live = false;
	for (unsigned k = 0; k < NR_SLOTS; k++) {
		struct site *s = &sites[z->site[k]];
		if (z->site[k] && s->live) {
			site_kill(s);
			mm_text_refill(mm, s->addr);
		}
	}
}

static bool text_gone(struct machine *mc, vaddr_t start, vaddr_t end)
{
	bool any = false;
	for (unsigned i = 0; i < nr_zones; i++)
		if (zones[i].live && zones[i].base < end && zones[i].base + TEXT_ZONE > start)
			zone_gone(mc->mm, &zones[i]);
	if (!um_patch_overlaps(start, end - start))
		return false;
	for (unsigned i = 1; i <= nr_sites; i++)
		if (sites[i].live && sites[i].addr >= start && sites[i].addr < end) {
			site_kill(&sites[i]);
			any = true;
		}
	return any;
}

/* ---------------------------------------------------------------- on, off */

void um_patch_restore(vaddr_t addr, uint64_t len)
{
	mm_lock(um.mm);
	for (unsigned i = 1; i <= nr_sites; i++)
		if (sites[i].live && sites[i].addr < addr + len && sites[i].addr + JUMP > addr) {
			site_kill(&sites[i]);
			mm_text_refill(um.mm, sites[i].addr);
		}
	mm_unlock(um.mm);
}

void um_patch_stop(void)
{
	if (!um_patch_on)
		return;
	um_patch_on = false;
	um_patch_restore(0, TASK_SIZE);
}

void um_patch_thread(struct thread *t)
{
	t->fast.self = (uintptr_t)t;
	t->fast.stack = (uintptr_t)t + KSTACK_SIZE - FRAME_ROOM;
	t->fast.magic = FAST_IS_OURS;
	if (um_patch_on && host_call2(__NR_arch_prctl, ARCH_SET_GS, HC_A(t)))
		um_patch_stop();
}

void um_patch_forked(void) { busy = 0; }

void um_patch_init(bool on)
{
	um_patch_on = on;
	if (!on)
		return;
	hot_count = um.shm->cfg.patch_after ? um.shm->cfg.patch_after : HOT;
	um.mc->text_filled = text_filled;
	um.mc->text_gone = text_gone;
}
