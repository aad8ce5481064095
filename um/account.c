/* SPDX-License-Identifier: MIT */
/* account.c - a record of each process in the shared area, which outlives it
 *
 * Records are handed out by number and never reused; when there are no more, the first one takes what is left over.  A process that shares
 * its parent's memory (vfork) has none before it executes a program: its faults are those of the memory's owner. */
#include "um/um.h"

int um_account(void) { return (int)(um.mc->own - um.shm->procs); }

void um_account_open(int i)
{
	bool fresh = i < 0;
	if (fresh)
		i = (int)__atomic_add_fetch(&um.shm->nr_procs, 1, __ATOMIC_RELAXED);
	struct sf_proc_stat *own = &um.shm->procs[i < UM_PROCS ? i : 0];
	um.mc->own = own;
	if (!fresh || own == um.shm->procs)
		return;
	own->ppid = um.first.ppid;
	own->peak_resident = um.mc->used;
	own->start_ns = um.port->ops->now(um.port);
	WRITE_ONCE(own->pid, my_pid());
}

void um_account_name(void)
{
	if (um.mc->own != um.shm->procs)
		um_snprintf(um.mc->own->comm, sizeof(um.mc->own->comm), "%s", um.comm);
}

void um_account_program(void)
{
	struct sf_proc_stat *own = um.mc->own;
	if (own == um.shm->procs || !um.prog)
		return;
	own->prog_major = um.prog->major;
	own->prog_minor = um.prog->minor;
	WRITE_ONCE(own->prog_ino, um.prog->ino);
}

void um_account_close(struct thread *t)
{
	if (um.mc && um.mc->own && um.mc->own != um.shm->procs && t->proc == &um.first)
		WRITE_ONCE(um.mc->own->end_ns, um.port->ops->now(um.port));
}
