/* SPDX-License-Identifier: MIT */
/* report.c - from raw counters to what a report shows: costs by kind, sums, the places with most faults */
#include "cli/cli.h"

#include <stdlib.h>
#include <string.h>

const char *const fault_kind_name[NR_FAULT_KINDS] = {
	[FK_MINOR] = "minor", [FK_MAJOR] = "major", [FK_SOFT] = "soft", [FK_COW] = "copy-on-write",
	[FK_PROT] = "protection", [FK_ILLEGAL] = "illegal", [FK_SPURIOUS] = "spurious",
};
const char *const fault_kind_key[NR_FAULT_KINDS] = {
	[FK_MINOR] = "minor", [FK_MAJOR] = "major", [FK_SOFT] = "soft", [FK_COW] = "copy_on_write",
	[FK_PROT] = "protection", [FK_ILLEGAL] = "illegal", [FK_SPURIOUS] = "spurious",
};

/* The cost that `permille` of all faults do not exceed: the middle of its bucket. */
static uint64_t percentile(const uint64_t *hist, unsigned permille)
{
	uint64_t n = 0, seen = 0;

	for (unsigned b = 0; b < SF_HIST_BUCKETS; b++)
		n += hist[b];
	for (unsigned b = 0; n && b < SF_HIST_BUCKETS; b++) {
		seen += hist[b];
		if (seen * 1000 >= n * permille)
			return (sf_hist_low(b) + sf_hist_low(b + 1)) / 2;
	}
	return 0;
}

static void make_costs(struct report *r)
{
	const struct sf_stats *s = &r->shm->stats;

	for (unsigned k = 0; k < NR_FAULT_KINDS; k++) {
		r->cost[k].count = s->faults[k];
		r->cost[k].total_ns = s->fault_ns[k];
		r->cost[k].mean_ns = s->faults[k] ? s->fault_ns[k] / s->faults[k] : 0;
		r->cost[k].p50_ns = percentile(s->hist[k], 500);
		r->cost[k].p99_ns = percentile(s->hist[k], 990);
		r->total += s->faults[k];
		r->handler_ns += s->fault_ns[k];
	}
	/* a fault of ours in kernel mode, by pinning, comes without a trap */
	if (r->total > s->kernel_faults)
		r->trap_ns = (r->total - s->kernel_faults) * s->trap_ns;
	r->fault_ns = r->handler_ns + r->trap_ns;
}

/* The REPORT_TOP areas with most faults, by insertion. */
static void top_areas(struct report *r)
{
	const struct sf_stats *s = &r->shm->stats;

	for (unsigned i = 0; i < SF_STAT_AREAS; i++) {
		const struct sf_area_stat *a = &s->area[i];
		unsigned at = r->nr_areas;

		if (!a->faults)
			continue;
		while (at && r->area[at - 1]->faults < a->faults)
			at--;
		if (at == REPORT_TOP)
			continue;
		r->nr_areas = MIN(r->nr_areas + 1, REPORT_TOP);
		memmove(&r->area[at + 1], &r->area[at], (r->nr_areas - at - 1) * sizeof r->area[0]);
		r->area[at] = a;
	}
}

static void top_codes(struct report *r)
{
	const struct sf_stats *s = &r->shm->stats;

	for (unsigned i = 0; i < SF_STAT_IPS; i++) {
		const struct sf_ip_stat *p = &s->ip[i];
		unsigned at = r->nr_codes;

		if (!p->faults)
			continue;
		while (at && r->code[at - 1].faults < p->faults)
			at--;
		if (at == REPORT_TOP)
			continue;
		r->nr_codes = MIN(r->nr_codes + 1, REPORT_TOP);
		memmove(&r->code[at + 1], &r->code[at], (r->nr_codes - at - 1) * sizeof r->code[0]);
		r->code[at] = (struct code_place){ .ip = p->ip, .faults = p->faults };
	}
}

void report_make(struct report *r, const struct um_shared *shm, char **argv, const struct child_end *end, int exit_status)
{
	*r = (struct report){
		.shm = shm, .argv = argv, .end = *end, .exit_status = exit_status,
		.bound_bytes = shm->cfg.bound_pages * PAGE_SIZE,
		.peak_bytes = shm->stats.peak_resident * PAGE_SIZE,
	};
	if (shm->start_ns && end->end_ns > shm->start_ns)
		r->wall_ns = end->end_ns - shm->start_ns;
	make_costs(r);
	top_areas(r);
	top_codes(r);
}
