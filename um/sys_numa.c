/* SPDX-License-Identifier: MIT */
/* sys_numa.c - memory policies
 *
 * A policy for the whole process is the host's business and goes there.  Policies of ranges would split the host's mappings, which are the port's,
 * so they are advice that has no effect: an area remembers the number of its policy, and the policy lies here.  Whether one is sound, and how it
 * reads back, the host tells with a page that is there for the moment only. */
#include "um/syscall.h"

#define MPOL_F_NODE 1u
#define MPOL_F_ADDR 2u
#define MPOL_F_MEMS_ALLOWED 4u
#define NODES_MOST (PAGE_SIZE * 8)
#define MASK_MOST 128u /* bytes: nodes that a kernel may have */
#define POLICIES_MOST 64u

/* Bytes of a node mask of maxnode - 1 bits, as Linux reads it. */
static uint64_t mask_bytes(uint64_t maxnode)
{
	return maxnode > 1 && maxnode <= NODES_MOST ? (maxnode - 1 + 63) / 64 * 8 : 0;
}

static uint64_t map_mask(struct call *c, vaddr_t addr, uint64_t maxnode, unsigned dir)
{
	uint64_t n = mask_bytes(maxnode);
	return n ? call_map(c, addr, n, dir) : addr;
}

int64_t sys_set_mempolicy(struct thread *t)
{
	struct call c;
	call_begin(&c, t);
	c.a[1] = map_mask(&c, t->arg[1], t->arg[2], DIR_IN);
	return call_end(&c, call_host(&c, t->nr));
}

int64_t sys_migrate_pages(struct thread *t)
{
	struct call c;
	call_begin(&c, t);
	c.a[2] = map_mask(&c, t->arg[2], t->arg[1], DIR_IN);
	c.a[3] = map_mask(&c, t->arg[3], t->arg[1], DIR_IN);
	return call_end(&c, call_host(&c, t->nr));
}

/* Is every page of the range in some area? */
static bool wholly_mapped(vaddr_t start, vaddr_t end)
{
	mm_lock(um.mm);
	struct vm_area *v = vma_lookup(um.mm, NULL, start);
	while (v && v->end < end) {
		struct vm_area *next = vma_next(v);
		v = next && next->start == v->end ? next : NULL;
	}
	mm_unlock(um.mm);
	return v || start == end;
}

struct policy { uint64_t mode, maxnode, mask[MASK_MOST / 8]; };
static struct policy policies[POLICIES_MOST]; /* 0: none; locked: mm */
static uint32_t nr_policies = 1;

/* An empty page with that policy, or -errno. */
static int64_t page_with(const struct policy *p, uint64_t flags)
{
	int64_t at = host_call6(__NR_mmap, 0, PAGE_SIZE, 3, 0x22 /* PRIVATE|ANONYMOUS */, -1, 0);
	int64_t r = at < 0 ? at : host_call6(__NR_mbind, at, PAGE_SIZE, p->mode, p->maxnode ? HC_A(p->mask) : 0, p->maxnode, flags);
	if (r < 0 && at >= 0)
		host_call2(__NR_munmap, at, PAGE_SIZE);
	return r < 0 ? r : at;
}

/* Its number; 0 for the default.  locked: mm */
static int64_t policy_number(const struct policy *p)
{
	if (!p->mode)
		return 0;
	for (uint32_t i = 1; i < nr_policies; i++)
		if (!memcmp(&policies[i], p, sizeof(*p)))
			return i;
	if (nr_policies == POLICIES_MOST)
		return -ENOMEM;
	policies[nr_policies] = *p;
	return nr_policies++;
}

static int64_t set_policy(const struct policy *p, vaddr_t start, vaddr_t end)
{
	mm_lock(um.mm);
	int64_t r = policy_number(p);
	if (r >= 0)
		r = area_set_policy(um.mm, start, end, (uint32_t)r);
	mm_unlock(um.mm);
	return r;
}

int64_t sys_mbind(struct thread *t)
{
	struct policy p = { .mode = (uint32_t)t->arg[2], .maxnode = t->arg[3] ? t->arg[4] : 0 };
	vaddr_t start = t->arg[0];
	uint64_t len = PAGE_ALIGN(t->arg[1]), n = mask_bytes(p.maxnode);
	if (start & ~PAGE_MASK || p.maxnode > NODES_MOST)
		return -EINVAL;
	if (n > MASK_MOST)
		n = MASK_MOST, p.maxnode = MASK_MOST * 8 + 1;
	if (n && copy_from_user(um.mm, &t->task, p.mask, t->arg[3], n))
		return -EFAULT;
	int64_t page = page_with(&p, t->arg[5]);
	if (page < 0)
		return page;
	host_call2(__NR_munmap, page, PAGE_SIZE);
	if (start + len < start)
		return -EINVAL;
	if (!len)
		return 0;
	return wholly_mapped(start, start + len) ? set_policy(&p, start, start + len) : -EFAULT;
}

/* For policies of ranges, and there are none. */
int64_t sys_set_mempolicy_home_node(struct thread *t)
{
	vaddr_t start = t->arg[0];
	uint64_t len = PAGE_ALIGN(t->arg[1]);
	if (start & ~PAGE_MASK || t->arg[3] || t->arg[2] || start + len < start)
		return -EINVAL;
	return len ? -ENOENT : 0;
}

/* The node of the page at an address, as the host has it. */
static int64_t node_at(struct thread *t, vaddr_t addr)
{
	int32_t node = 0;
	if (pin_user(um.mm, &t->task, addr, 1, false) != 1)
		return -EFAULT;
	int64_t r = host_call5(__NR_get_mempolicy, HC_A(&node), 0, 0, addr, MPOL_F_NODE | MPOL_F_ADDR);
	unpin_user(um.mm, addr, 1);
	return r < 0 ? r : t->arg[0] && PUT_USER(t, int32_t, t->arg[0], node) ? -EFAULT : 0;
}

/* The policy at an address, read back from a page that is given the same. */
static int64_t policy_at(struct thread *t, vaddr_t addr)
{
	struct policy p = { 0 };
	struct call c;
	mm_lock(um.mm);
	struct vm_area *v = vma_lookup(um.mm, NULL, addr);
	if (v)
		p = policies[v->policy];
	mm_unlock(um.mm);
	if (!v)
		return -EFAULT;
	int64_t page = page_with(&p, 0), r;
	if (page < 0)
		return page;
	call_begin(&c, t);
	c.a[0] = call_map(&c, t->arg[0], 4, DIR_OUT);
	c.a[1] = map_mask(&c, t->arg[1], t->arg[2] + 1, DIR_OUT);
	c.a[3] = (uint64_t)page;
	r = call_end(&c, call_host(&c, t->nr));
	host_call2(__NR_munmap, page, PAGE_SIZE);
	return r;
}

int64_t sys_get_mempolicy(struct thread *t)
{
	struct call c;
	uint32_t flags = (uint32_t)t->arg[4];
	if (flags == (MPOL_F_ADDR | MPOL_F_NODE) && !t->arg[1])
		return node_at(t, t->arg[3]);
	if (flags == MPOL_F_ADDR)
		return policy_at(t, t->arg[3]);
	call_begin(&c, t);
	c.a[0] = call_map(&c, t->arg[0], 4, DIR_OUT);
	c.a[1] = map_mask(&c, t->arg[1], t->arg[2] + 1, DIR_OUT);
	return call_end(&c, call_host(&c, t->nr));
}

/* Where a page is: on node 0 if it is in memory. */
static int32_t page_status(vaddr_t addr)
{
	int32_t status = -ENOENT;
	mm_lock(um.mm);
	if (!vma_lookup(um.mm, NULL, addr))
		status = -EFAULT;
	else if (page_at(um.mm, PFN(addr)))
		status = 0;
	mm_unlock(um.mm);
	return status;
}

/* Another process: the host says where what it sees of it is. */
static int64_t move_others(struct thread *t)
{
	struct call c;
	uint64_t n = MIN(t->arg[1], NODES_MOST);
	call_begin(&c, t);
	c.a[1] = n;
	c.a[2] = call_map(&c, t->arg[2], n * 8, DIR_IN);
	c.a[3] = call_map(&c, t->arg[3], n * 4, DIR_IN);
	c.a[4] = call_map(&c, t->arg[4], n * 4, DIR_OUT);
	return call_end(&c, call_host(&c, t->nr));
}

int64_t sys_move_pages(struct thread *t)
{
	int64_t pid = (int32_t)t->arg[0];
	int64_t allowed = host_call6(t->nr, t->arg[0], 0, 0, 0, 0, t->arg[5]);
	if (allowed < 0 || !t->arg[1])
		return allowed;
	if (pid && pid != my_pid())
		return move_others(t);
	for (uint64_t i = 0; i < t->arg[1]; i++) {
		uint64_t page;
		int32_t node = 0;
		if (GET_USER(t, uint64_t, t->arg[2] + i * 8, &page) ||
		    (t->arg[3] && GET_USER(t, int32_t, t->arg[3] + i * 4, &node)))
			return -EFAULT;
		if (node)
			return -ENODEV;
		int32_t status = access_ok(um.mm, page, 1) ? page_status(page) : -EFAULT;
		if (t->arg[3] ? PUT_USER(t, int32_t, t->arg[4] + i * 4, status) : !copy_out(t, t->arg[4] + i * 4, &status, sizeof(status)))
			return -EFAULT;
	}
	return 0;
}
