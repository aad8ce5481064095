/* SPDX-License-Identifier: MIT */
/* procs.c - the processes of the tree: in order of descent, those that cost most when there are many */
#include "cli/cli.h"

#include <stdlib.h>
#include <string.h>

/* A process whose number has come round again is the younger one's child: the parent is the last before us that had the number. */
static int parent_of(const struct sf_proc_stat *p, unsigned i)
{
	for (unsigned k = i; k-- > 1;)
		if (p[k].pid == p[i].ppid)
			return (int)k;
	return -1;
}

static uint64_t faults_of(const struct sf_proc_stat *p)
{
	uint64_t n = 0;

	for (unsigned k = 0; k < NR_FAULT_KINDS; k++)
		n += p->faults[k];
	return n;
}

/* Children after their parent, in order of birth. */
static unsigned walk(const struct sf_proc_stat *p, const int *parent, unsigned n, int of, unsigned depth, struct proc_row *rows, unsigned at)
{
	for (unsigned i = 1; i < n; i++) {
		if (!p[i].pid || parent[i] != of)
			continue;
		rows[at++] = (struct proc_row){ .stat = &p[i], .depth = depth, .faults = faults_of(&p[i]) };
		at = walk(p, parent, n, (int)i, depth + 1, rows, at);
	}
	return at;
}

unsigned procs_list(const struct um_shared *shm, struct proc_row **ret)
{
	unsigned n = (unsigned)MIN(shm->nr_procs + 1u, UM_PROCS);
	struct proc_row *rows = xcalloc(n + 1, sizeof *rows);
	int *parent = xcalloc(n + 1, sizeof *parent);
	unsigned at = 0;

	for (unsigned i = 1; i < n; i++)
		parent[i] = parent_of(shm->procs, i);
	at = walk(shm->procs, parent, n, -1, 0, rows, at);
	free(parent);
	*ret = rows;
	return at;
}

static int by_cost(const void *a, const void *b)
{
	const struct proc_row *const *x = a, *const *y = b;
	uint64_t cx = (*x)->stat->fault_ns, cy = (*y)->stat->fault_ns;

	return cx < cy ? 1 : cx > cy ? -1 : 0;
}

/* And those that they come from, so that the descent can be seen. */
static void choose(struct proc_row *rows, struct proc_row *r)
{
	for (unsigned depth = r->depth + 1; r >= rows; r--)
		if (r->depth < depth) {
			r->chosen = true;
			depth = r->depth;
		}
}

void procs_choose(struct proc_row *rows, unsigned n, unsigned most)
{
	struct proc_row **order = xcalloc(n + 1, sizeof(struct proc_row *));

	for (unsigned i = 0; i < n; i++)
		order[i] = &rows[i];
	qsort(order, n, sizeof(struct proc_row *), by_cost);
	for (unsigned i = 0; i < n && i < most; i++)
		choose(rows, order[i]);
	free(order);
}
