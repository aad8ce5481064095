/* SPDX-License-Identifier: MIT */
/* json.c - the report for programs; softfault-run(1) lists the keys
 *
 * Keys are only ever added within one schema_version.  Times are nanoseconds, memory is bytes, addresses are hexadecimal strings
 * (JSON numbers lose bits above 2^53), what does not apply is null. */
#include "cli/cli.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#ifndef SF_VERSION
#define SF_VERSION "unknown"
#endif
#define SCHEMA_VERSION 1

static json_t *number(uint64_t n)
{
	return json_integer((json_int_t)MIN(n, (uint64_t)INT64_MAX));
}

static json_t *hex(uint64_t n)
{
	return json_sprintf("%#" PRIx64, n);
}

/* A string of any bytes: what is not UTF-8 becomes U+FFFD. */
static json_t *string(const char *s)
{
	json_t *j = json_string(s);
	char *clean, *to;

	if (j)
		return j;
	clean = to = xcalloc(strlen(s) * 3 + 1, 1);
	for (; *s; s++) {
		if ((unsigned char)*s < 0x80)
			*to++ = *s;
		else
			to = stpcpy(to, "\xef\xbf\xbd");
	}
	j = json_string(clean);
	free(clean);
	return j;
}

static json_t *string_or_null(const char *s)
{
	return s[0] ? string(s) : json_null();
}

static void set(json_t *obj, const char *key, json_t *value)
{
	if (json_object_set_new(obj, key, value))
		cli_die(EXIT_OURS, "out of memory");
}

static json_t *argv_json(char **argv)
{
	json_t *a = json_array();

	for (; *argv; argv++)
		json_array_append_new(a, string(*argv));
	return a;
}

static json_t *exit_json(const struct report *r)
{
	json_t *o = json_object();
	const bool killed = WIFSIGNALED(r->end.status);

	set(o, "status", number((uint64_t)r->exit_status));
	set(o, "signal", killed ? number((uint64_t)WTERMSIG(r->end.status)) : json_null());
	set(o, "signal_name", killed ? string(signal_name(WTERMSIG(r->end.status))) : json_null());
	set(o, "killed_by", string_or_null(r->shm->killed_by));
	set(o, "oops", json_boolean(r->shm->oops));
	return o;
}

static json_t *faults_json(const struct report *r)
{
	json_t *o = json_object();

	set(o, "total", number(r->total));
	for (unsigned k = 0; k < NR_FAULT_KINDS; k++) {
		const struct cost *c = &r->cost[k];
		json_t *kind = json_object();

		set(kind, "count", number(c->count));
		set(kind, "total_ns", number(c->total_ns));
		set(kind, "mean_ns", c->count ? number(c->mean_ns) : json_null());
		set(kind, "p50_ns", c->count ? number(c->p50_ns) : json_null());
		set(kind, "p99_ns", c->count ? number(c->p99_ns) : json_null());
		set(o, fault_kind_key[k], kind);
	}
	set(o, "kernel_mode", number(r->shm->stats.kernel_faults));
	set(o, "fixups", number(r->shm->stats.fixups));
	return o;
}

static uint64_t timeval_ns(struct timeval tv)
{
	return (uint64_t)tv.tv_sec * 1000000000u + (uint64_t)tv.tv_usec * 1000u;
}

static json_t *time_json(const struct report *r)
{
	json_t *o = json_object();

	set(o, "start_realtime_ns", number(r->shm->start_real_ns));
	set(o, "wall_ns", number(r->wall_ns));
	set(o, "user_ns", number(timeval_ns(r->end.usage.ru_utime)));
	set(o, "system_ns", number(timeval_ns(r->end.usage.ru_stime)));
	set(o, "faults_ns", number(r->fault_ns));
	set(o, "handling_ns", number(r->handler_ns));
	set(o, "traps_ns", number(r->trap_ns));
	set(o, "trap_ns", number(r->shm->stats.trap_ns));
	return o;
}

static json_t *cells_json(const struct sf_stats *s)
{
	const struct { const char *key; uint64_t n; } cells[] = {
		{ "filled", s->pages_filled }, { "read_from_files", s->pages_read },
		{ "swapped_in", s->swap_in }, { "swapped_out", s->swap_out },
		{ "dropped", s->pages_dropped }, { "hidden", s->pages_hidden },
		{ "read_ahead", s->readahead }, { "read_ahead_used", s->readahead_hit },
		{ "cow_reused", s->cow_reused }, { "cow_copied", s->cow_copied },
	};
	json_t *o = json_object();

	for (unsigned i = 0; i < ARRAY_SIZE(cells); i++)
		set(o, cells[i].key, number(cells[i].n));
	return o;
}

static json_t *memory_json(const struct report *r)
{
	const struct sf_stats *s = &r->shm->stats;
	json_t *o = json_object();

	set(o, "page_size", number(PAGE_SIZE));
	set(o, "bound_bytes", r->bound_bytes ? number(r->bound_bytes) : json_null());
	set(o, "peak_resident_bytes", number(r->peak_bytes));
	set(o, "peak_swapped_bytes", number(s->peak_swapped * PAGE_SIZE));
	set(o, "peak_store_bytes", number(s->peak_store_bytes));
	set(o, "kernel_fixed_bytes", number(r->shm->kernel_bytes));
	set(o, "kernel_tables_bytes", number(r->shm->stats.table_bytes));
	return o;
}

static json_t *events_json(const struct sf_stats *s)
{
	json_t *o = json_object();

	set(o, "syscalls", number(s->syscalls));
	set(o, "patched_sites", number(s->patched_sites));
	set(o, "patched_calls", number(s->fast_calls));
	set(o, "signals", number(s->signals));
	set(o, "peak_areas", number(s->peak_areas));
	set(o, "peak_host_mappings", number(s->host_maps_peak));
	set(o, "oom_kills", number(s->oom_kills));
	set(o, "swap_errors", number(s->swap_errors));
	set(o, "checksum_errors", number(s->checksum_errors));
	return o;
}

static json_t *areas_json(const struct report *r)
{
	json_t *a = json_array();

	for (unsigned i = 0; i < r->nr_areas; i++) {
		const bool rest = r->area[i] == &r->shm->stats.area[0];
		json_t *o = json_object();

		set(o, "start", rest ? json_null() : hex(r->area[i]->start));
		set(o, "end", rest ? json_null() : hex(r->area[i]->end));
		set(o, "name", rest ? string("[others]") : string(r->area[i]->name[0] ? r->area[i]->name : "[anon]"));
		set(o, "faults", number(r->area[i]->faults));
		set(o, "major", number(r->area[i]->majors));
		json_array_append_new(a, o);
	}
	return a;
}

static json_t *codes_json(const struct report *r)
{
	json_t *a = json_array();

	for (unsigned i = 0; i < r->nr_codes; i++) {
		const struct code_place *p = &r->code[i];
		json_t *o = json_object();

		set(o, "address", hex(p->ip));
		set(o, "symbol", string_or_null(p->symbol));
		set(o, "offset", p->file[0] ? hex(p->offset) : json_null());
		set(o, "file", string_or_null(p->file));
		set(o, "source", string_or_null(p->source));
		set(o, "faults", number(p->faults));
		json_array_append_new(a, o);
	}
	return a;
}

static json_t *procs_json(const struct report *r)
{
	struct proc_row *rows;
	unsigned n = procs_list(r->shm, &rows);
	json_t *a = json_array();

	for (unsigned i = 0; i < n; i++) {
		const struct sf_proc_stat *p = rows[i].stat;
		const uint64_t start = r->shm->start_ns;
		json_t *o = json_object(), *kinds = json_object();

		set(o, "pid", number(p->pid));
		set(o, "parent", number(p->ppid));
		set(o, "name", string(p->comm));
		set(o, "start_ns", number(p->start_ns > start ? p->start_ns - start : 0));
		set(o, "end_ns", p->end_ns > start ? number(p->end_ns - start) : json_null());
		for (unsigned k = 0; k < NR_FAULT_KINDS; k++)
			set(kinds, fault_kind_key[k], number(p->faults[k]));
		set(o, "faults", kinds);
		set(o, "handling_ns", number(p->fault_ns));
		set(o, "swapped_in", number(p->swap_in));
		set(o, "swapped_out", number(p->swap_out));
		set(o, "peak_resident_bytes", number(p->peak_resident * PAGE_SIZE));
		json_array_append_new(a, o);
	}
	free(rows);
	return a;
}

int json_write(const struct report *r, FILE *out)
{
	const struct um_shared *shm = r->shm;
	json_t *o = json_object();
	int err;

	set(o, "schema_version", number(SCHEMA_VERSION));
	set(o, "softfault_version", string(SF_VERSION));
	set(o, "command", argv_json(r->argv));
	set(o, "program", string(shm->cfg.program));
	set(o, "exit", exit_json(r));
	set(o, "engine", string_or_null(shm->engine_name));
	set(o, "engine_why", string_or_null(shm->engine_why));
	set(o, "trap", string_or_null(shm->trap_name));
	set(o, "policy", string(shm->cfg.policy));
	set(o, "time", time_json(r));
	set(o, "faults", faults_json(r));
	set(o, "pages", cells_json(&shm->stats));
	set(o, "memory", memory_json(r));
	set(o, "events", events_json(&shm->stats));
	set(o, "processes_started", number(shm->nr_procs));
	set(o, "processes", procs_json(r));
	set(o, "top_areas", areas_json(r));
	set(o, "top_code", codes_json(r));
	errno = 0;
	err = json_dumpf(o, out, JSON_INDENT(2)) ? -(errno ? errno : EIO) : 0;
	json_decref(o);
	if (!err && (fputc('\n', out) < 0 || fflush(out)))
		err = -(errno ? errno : EIO);
	return err;
}
