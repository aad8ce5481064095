/* SPDX-License-Identifier: MIT */
/* access_plugin.c - a shared object with accesses of its own, to be loaded and unloaded */
#include <softfault.h>

int plugin_get(const int *p, int *ret);
int plugin_put(int *p, int val);
const void *plugin_insn(void);
unsigned long plugin_entries(void);

int plugin_get(const int *p, int *ret)
{
	return sf_get(p, ret);
}

int plugin_put(int *p, int val)
{
	return sf_put(p, val);
}

/* Where the first entry's instruction is. */
const void *plugin_insn(void)
{
	const struct sf_ex_entry *e = __start___ex_table;

	return (const char *)&e->insn + e->insn;
}

unsigned long plugin_entries(void)
{
	return (unsigned long)(__stop___ex_table - __start___ex_table);
}
