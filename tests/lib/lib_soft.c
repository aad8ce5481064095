/* SPDX-License-Identifier: MIT */
/* lib_soft.c - the library on the soft port: what stands where port/host would
 *
 * Linked before the archives, so that no part of the host port but its system calls is taken from them.  Both engines' names are this one. */
#undef SF_NO_OBJECT /* lib.h says so, too */
#include "lib/lib.h"

#include "port/soft/soft.h"

int mem_read(void *dst, const void *src, size_t n);
int mem_write(void *dst, const void *src, size_t n);

int host_port_create(const struct host_port_config *cfg, struct port **ret, const char **ret_why)
{
	int err = soft_port_create(cfg->lo, cfg->hi, ret);

	if (!err)
		soft_set_threaded(*ret, true);
	return err;
}

/* Nothing may be left: no frame, no memory of the core. */
void host_port_destroy(struct port *p)
{
	SF_BUG_ON(soft_port_destroy(p));
}

int host_port_signo(struct port *p) { return 7; }
int host_port_uffd(struct port *p) { return -1; }
void host_port_wake(struct port *p, vaddr_t va) { }
int host_port_bar(struct port *p, vaddr_t va, bool barred) { return -EOPNOTSUPP; }

static int touch(vaddr_t at, void *buf, size_t n, unsigned access)
{
	struct pool *p = pool_visit(at);
	struct task tk = { .tid = thread_number() };
	struct fault_report rep;

	if (!p)
		return -EFAULT;
	int verdict = soft_access(p->port, p->mm, &tk, at, buf, n, access, &rep);

	pool_leave(p);
	if (verdict == FAULT_FIXED)
		return 0;
	if (verdict == FAULT_KILL)
		return -ENOMEM;
	if (rep.signo == 7)
		return tk.error ? tk.error : -EIO;
	return rep.code == 2 ? -EACCES : -EFAULT;
}

int mem_read(void *dst, const void *src, size_t n)
{
	return touch((vaddr_t)src, dst, n, PT_R);
}

int mem_write(void *dst, const void *src, size_t n)
{
	return touch((vaddr_t)dst, (void *)(uintptr_t)src, n, PT_W);
}
