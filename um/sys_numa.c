/* SPDX-License-Identifier: MIT */
/* sys_numa.c - memory policies
 *
 * A policy for the whole process is the host's business and goes there.  Policies of ranges would split the host's mappings, which are the port's,
 * so mbind remembers nothing: a policy is advice, and reading it back says default.  What the host says of the arguments is heard by having it do the same to a
 * page of ours. */
#include "um/syscall.h"

#define MPOL_F_NODE 1u
#define MPOL_F_ADDR 2u
#define MPOL_F_MEMS_ALLOWED 4u
#define NODES_MOST (PAGE_SIZE * 8)

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

int64_t sys_mbind(struct thread *t)
{
	static char sample[PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));
	vaddr_t start = t->arg[0];
	uint64_t len = PAGE_ALIGN(t->arg[1]);
	struct call c;
	call_begin(&c, t);
	c.a[0] = HC_A(sample) + (start & ~PAGE_MASK);
	c.a[1] = MIN(len, PAGE_SIZE);
	c.a[3] = map_mask(&c, t->arg[3], t->arg[4], DIR_IN);
	int64_t r = call_end(&c, call_host(&c, t->nr));
	if (r)
		return r;
	if (start + len < start)
		return -EINVAL;
	return wholly_mapped(start, start + len) ? 0 : -EFAULT;
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

/* The policy at an address: default; its node: the first. */
static int64_t policy_at(struct thread *t, uint32_t flags, vaddr_t addr)
{
	uint64_t n = t->arg[1] ? mask_bytes(t->arg[2]) : 0;
	if (flags & MPOL_F_MEMS_ALLOWED)
		return -EINVAL;
	if (!wholly_mapped(addr, addr + 1) || (flags & MPOL_F_NODE && fault_in_user(um.mm, &t->task, addr, 1, false)))
		return -EFAULT;
	if (t->arg[0] && PUT_USER(t, int32_t, t->arg[0], 0))
		return -EFAULT;
	return n && clear_user(um.mm, &t->task, t->arg[1], n) ? -EFAULT : 0;
}

int64_t sys_get_mempolicy(struct thread *t)
{
	struct call c;
	uint32_t flags = (uint32_t)t->arg[4];
	if (flags & MPOL_F_ADDR)
		return policy_at(t, flags, t->arg[3]);
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

int64_t sys_move_pages(struct thread *t)
{
	int64_t pid = (int32_t)t->arg[0];
	int64_t allowed = host_call6(t->nr, t->arg[0], 0, 0, 0, 0, t->arg[5]);
	if (allowed < 0 || !t->arg[1])
		return allowed;
	if (pid && pid != my_pid())
		return -EPERM;
	for (uint64_t i = 0; i < t->arg[1]; i++) {
		uint64_t page;
		int32_t node = 0;
		if (GET_USER(t, uint64_t, t->arg[2] + i * 8, &page) ||
		    (t->arg[3] && GET_USER(t, int32_t, t->arg[3] + i * 4, &node)))
			return -EFAULT;
		if (node)
			return -ENODEV;
		if (PUT_USER(t, int32_t, t->arg[4] + i * 4, access_ok(um.mm, page, 1) ? page_status(page) : -EFAULT))
			return -EFAULT;
	}
	return 0;
}
