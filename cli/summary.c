/* SPDX-License-Identifier: MIT */
/* summary.c - the report for people: one screen of plain ASCII */
#include "cli/cli.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

static double percent(uint64_t part, uint64_t whole)
{
	return whole ? 100.0 * (double)part / (double)whole : 0;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* The last `width` characters of a long path. */
static const char *tail(const char *s, size_t width)
{
	size_t len = strlen(s);

	return len > width ? s + len - width : s;
}

static void print_head(const struct report *r, FILE *out)
{
	const struct um_shared *shm = r->shm;
	struct text t;

	fprintf(out, "softfault: %.68s\n", shm->cfg.command);
	if (WIFSIGNALED(r->end.status))
		fprintf(out, "  killed by %s", signal_name(WTERMSIG(r->end.status)));
	else
		fprintf(out, "  exit %d", WEXITSTATUS(r->end.status));
	fprintf(out, ", wall %s, engine %s, policy %s, %s system calls by %s\n", time_text(&t, r->wall_ns), shm->engine_name,
		shm->cfg.policy, count_text(&(struct text){ "" }, shm->stats.syscalls), shm->trap_name);
	if (shm->killed_by[0])
		fprintf(out, "  %s\n", shm->killed_by);
}

static void print_kinds(const struct report *r, FILE *out)
{
	static const enum fault_kind order[] = { FK_MAJOR, FK_MINOR, FK_SOFT, FK_COW, FK_PROT, FK_ILLEGAL, FK_SPURIOUS };
	struct text t;

	fprintf(out, "\n  %-14s %12s  %11s %11s %11s\n", "faults", "count", "mean", "p50", "p99");
	for (unsigned i = 0; i < ARRAY_SIZE(order); i++) {
		const struct cost *c = &r->cost[order[i]];

		if (order[i] == FK_SPURIOUS && !c->count)
			continue;
		fprintf(out, "  %-14s %12s", fault_kind_name[order[i]], count_text(&t, c->count));
		if (c->count) {
			fprintf(out, "  %11s", time_text(&t, c->mean_ns));
			fprintf(out, " %11s", time_text(&t, c->p50_ns));
			fprintf(out, " %11s\n", time_text(&t, c->p99_ns));
		} else {
			fprintf(out, "  %11s %11s %11s\n", "-", "-", "-");
		}
	}
	fprintf(out, "  %-14s %12s", "all", count_text(&t, r->total));
	if (r->total)
		fprintf(out, "  %11s", time_text(&t, r->handler_ns / r->total));
	fputs("\n", out);
}

static void print_time(const struct report *r, FILE *out)
{
	const struct sf_stats *s = &r->shm->stats;
	struct text a, b, c, d;

	fprintf(out, "\n  time    in faults %s of %s wall (%.1f %%): handling %s, traps %s at", time_text(&a, r->fault_ns),
		time_text(&b, r->wall_ns), percent(r->fault_ns, r->wall_ns), time_text(&c, r->handler_ns), time_text(&d, r->trap_ns));
	fprintf(out, " %s\n", time_text(&a, s->trap_ns));
}

static void print_memory(const struct report *r, FILE *out)
{
	const struct sf_stats *s = &r->shm->stats;
	struct text a, b, c, d;

	fprintf(out, "  pages   in %s (%s from swap, %s from files), out %s\n", count_text(&a, s->swap_in + s->pages_read),
		count_text(&b, s->swap_in), count_text(&c, s->pages_read), count_text(&d, s->swap_out));
	fprintf(out, "  memory  peak resident %s", size_text(&a, r->peak_bytes));
	if (r->bound_bytes)
		fprintf(out, " of %s (%.1f %%)", size_text(&b, r->bound_bytes), percent(r->peak_bytes, r->bound_bytes));
	else
		fputs(" (no bound)", out);
	fprintf(out, ", peak swapped %s", size_text(&c, s->peak_swapped * PAGE_SIZE));
	if (r->shm->cfg.flags & UM_F_ZRAM)
		fprintf(out, ", compressed %s", size_text(&d, s->peak_store_bytes));
	fputs("\n", out);
	if (s->oom_kills || s->swap_errors || s->checksum_errors)
		fprintf(out, "  errors  out of memory %" PRIu64 ", swap I/O %" PRIu64 ", swap checksum %" PRIu64 "\n", s->oom_kills,
			s->swap_errors, s->checksum_errors);
}

static void print_areas(const struct report *r, FILE *out)
{
	struct text t, u;

	if (!r->nr_areas)
		return;
	fprintf(out, "\n  %12s %10s  areas with most faults\n", "faults", "major");
	for (unsigned i = 0; i < r->nr_areas; i++) {
		const struct sf_area_stat *a = r->area[i];
		const bool rest = a == &r->shm->stats.area[0];

		fprintf(out, "  %12s %10s  ", count_text(&t, a->faults), count_text(&u, a->majors));
		if (rest)
			fputs("all areas that are not counted one by one\n", out);
		else
			fprintf(out, "%012" PRIx64 "-%012" PRIx64 " %s\n", a->start, a->end, a->name[0] ? tail(a->name, 40) : "[anon]");
	}
}

static void print_codes(const struct report *r, FILE *out)
{
	struct text t;

	if (!r->nr_codes)
		return;
	fprintf(out, "\n  %12s  code with most faults\n", "faults");
	for (unsigned i = 0; i < r->nr_codes; i++) {
		const struct code_place *p = &r->code[i];

		fprintf(out, "  %12s  %012" PRIx64 " ", count_text(&t, p->faults), p->ip);
		if (p->symbol[0])
			fprintf(out, "%.40s+%#" PRIx64 " (%s)", p->symbol, p->offset, tail(base_name(p->file), 30));
		else if (p->file[0])
			fprintf(out, "%s+%#" PRIx64, tail(base_name(p->file), 40), p->offset);
		else
			fputs("?", out);
		if (p->source[0])
			fprintf(out, " %s", tail(p->source, 30));
		fputs("\n", out);
	}
}

#define SHOWN_PROCS 12u

static void print_procs(const struct report *r, FILE *out)
{
	struct proc_row *rows;
	unsigned n = procs_list(r->shm, &rows);
	struct text a, b, c, d;

	if (n > 1) {
		procs_choose(rows, n, SHOWN_PROCS);
		fprintf(out, "\n  %12s %10s %10s %10s  processes (%u", "faults", "major", "in faults", "peak", r->shm->nr_procs);
		fprintf(out, n > SHOWN_PROCS ? "; those that spent most time in faults)\n" : ")\n");
		for (unsigned i = 0; i < n; i++) {
			const struct sf_proc_stat *p = rows[i].stat;

			if (rows[i].chosen)
				fprintf(out, "  %12s %10s %10s %10s  %*s%.16s (%u)\n", count_text(&a, rows[i].faults),
					count_text(&b, p->faults[FK_MAJOR]), time_text(&c, p->fault_ns),
					size_text(&d, p->peak_resident * PAGE_SIZE), (int)MIN(rows[i].depth, 10u) * 2, "",
					p->comm, p->pid);
		}
	}
	free(rows);
}

int summary_write(const struct report *r, FILE *out)
{
	print_head(r, out);
	print_kinds(r, out);
	print_time(r, out);
	print_memory(r, out);
	print_procs(r, out);
	print_areas(r, out);
	print_codes(r, out);
	errno = 0;
	return fflush(out) || ferror(out) ? -(errno ? errno : EIO) : 0;
}
