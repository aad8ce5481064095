/* SPDX-License-Identifier: MIT */
/* soft_cpu.c - the software MMU's processor: translate, fault, try again */
#include "port/soft/soft_priv.h"

/* What the page tables say about a page; false: not present. */
static bool walk(struct soft_port *s, uint64_t vpn, struct tlb_entry *ret)
{
	vaddr_t va = PVA(vpn);
	uint64_t e = va < s->hi ? spt_get(s, vpn) : 0;

	if (!(e & PT_ALL))
		return false;
	struct soft_region *r = spt_region_of(s, va);
	SF_ASSERT(r);
	ret->tag = vpn + 1;
	ret->prot = (unsigned)(e & PT_ALL) | PT_R;
	if (is_shown(e)) {
		uint64_t off = r->off + (va - r->start);

		ret->frame = r->obj->data + off;
		return off < r->obj->size; /* a shown page beyond the end of its file is not there */
	}
	ret->frame = entry_frame(e);
	ret->prot |= r->exec ? PT_X : 0;
	return true;
}

static bool tlb_lookup(struct soft_port *s, uint64_t vpn, struct tlb_entry *ret)
{
	struct tlb_entry now, *t = &s->tlb[vpn % TLB_SIZE];

	if (t->tag != vpn + 1) {
		s->count.tlb_misses++;
		return false;
	}
	s->count.tlb_hits++;
	if (!walk(s, vpn, &now) || now.frame != t->frame || now.prot != t->prot)
		sf_panic(__FILE__, __LINE__, "stale TLB entry");
	*ret = *t;
	return true;
}

/* The program byte at addr, or NULL and the error code of the fault (without PF_USER). */
static unsigned char *translate(struct soft_port *s, vaddr_t addr, unsigned access, unsigned *ret_code)
{
	struct tlb_entry t;
	bool present = tlb_lookup(s, PFN(addr), &t) || walk(s, PFN(addr), &t);

	if (present)
		s->tlb[PFN(addr) % TLB_SIZE] = t;
	if (present && !(access & ~t.prot))
		return t.frame + (addr & ~PAGE_MASK);
	*ret_code = (present ? PF_PROT : 0) | (access & PT_W ? PF_WRITE : 0) | (access & PT_X ? PF_INSTR : 0);
	return NULL;
}

struct piece {
	vaddr_t addr, ip;
	void *buf;
	size_t n;
	unsigned access, mode; /* mode: PF_USER or 0 */
	soft_copy_fn fn;
};

enum step { STEP_DONE, STEP_STOP, STEP_FAULT };

static enum step try_piece(struct soft_port *s, const struct piece *c, unsigned *ret_code)
{
	enum step step = STEP_FAULT;

	pthread_mutex_lock(&s->lock);
	unsigned char *at = translate(s, c->addr, c->access, ret_code);
	if (at)
		step = c->fn(at, c->buf, c->n) ? STEP_DONE : STEP_STOP;
	pthread_mutex_unlock(&s->lock);
	return step;
}

/* One piece in one page, again and again as long as its faults are fixed. */
static enum step run_piece(struct mm *mm, struct task *tk, const struct piece *c, int *ret_verdict, struct fault_report *ret)
{
	struct soft_port *s = soft(mm->mc->port);

	for (unsigned tries = 0; tries < MAX_RETRIES; tries++) {
		unsigned code = 0;
		enum step step = try_piece(s, c, &code);

		if (step != STEP_FAULT)
			return step;
		*ret_verdict = do_page_fault(mm, tk, c->addr, code | c->mode, c->ip, ret);
		if (*ret_verdict != FAULT_FIXED)
			return STEP_FAULT;
	}
	sf_panic(__FILE__, __LINE__, "a fault is called fixed for ever and the access still faults");
}

static int run(struct mm *mm, struct task *tk, struct piece c, size_t *ret_done, struct fault_report *ret)
{
	size_t left = c.n;
	int verdict = FAULT_FIXED;

	for (*ret_done = 0; left; *ret_done += c.n, left -= c.n) {
		c.n = MIN(left, PAGE_SIZE - (c.addr & ~PAGE_MASK));
		enum step step = run_piece(mm, tk, &c, &verdict, ret);

		if (step == STEP_FAULT)
			return verdict;
		c.addr += c.n;
		c.buf = (char *)c.buf + c.n;
		if (step == STEP_STOP) {
			*ret_done += c.n;
			break;
		}
	}
	return FAULT_FIXED;
}

static bool copy_out(void *at, void *buf, size_t n)
{
	memcpy(buf, at, n);
	return true;
}

static bool copy_in(void *at, void *buf, size_t n)
{
	memcpy(at, buf, n);
	return true;
}

int soft_access(struct port *p, struct mm *mm, struct task *tk, vaddr_t addr, void *buf, size_t n, unsigned access,
		struct fault_report *ret)
{
	struct fault_report unused;
	size_t done;

	SF_MISUSE(access != PT_R && access != PT_W && access != PT_X);
	SF_MISUSE(mm->mc->port != p);
	return run(mm, tk,
		   (struct piece){ .addr = addr,
				   .ip = access == PT_X ? addr : soft(p)->ip,
				   .buf = buf,
				   .n = n,
				   .access = access,
				   .mode = PF_USER,
				   .fn = access == PT_W ? copy_in : copy_out },
		   &done, ret ? ret : &unused);
}

int soft_kernel_access(struct mm *mm, struct task *tk, const struct soft_kernel_access *a, size_t *ret_done, struct fault_report *ret)
{
	return run(mm, tk, (struct piece){ .addr = a->addr, .ip = a->ip, .buf = a->buf, .n = a->n, .access = a->access, .fn = a->fn },
		   ret_done, ret);
}
