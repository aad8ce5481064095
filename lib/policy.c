/* SPDX-License-Identifier: MIT */
/* policy.c - a replacement policy of the application's own
 *
 * The core sees one of its ordinary policies; behind it are the application's callbacks.  Which pages are resident is kept here beside whatever the
 * application keeps: what it forgets, names twice or makes up costs it its choice, never a page.
 *
 *     SEEN     resident, in the order of arrival        policy's victims are checked against what is on these
 *     UNSEEN   named by cold()                          lists; if none holds, the oldest go: UNSEEN, then SEEN
 *
 * The callbacks run under the pool's lock and maybe in the fault handler.  Whatever they touch must not come back to a pool (lib_thread.in_policy), and an
 * error in them must not leave for a scope that is open outside, with the lock held. */
#include "lib/lib.h"
#include "policy/scan.h"

#include <stdlib.h>
#include <sys/mman.h>

#define COLD_SHARE 4 /* one resident page in so many is hidden when memory is short */
#define REFUSED_MOST (2 * SF_IOBUF_PAGES)

enum { L_SEEN, L_UNSEEN };

struct own_policy {
	struct sf_policy_ops ops;
	void *arg;
	struct sf_page *pages; /* of each frame */
	uint64_t len;
	uint64_t errors;       /* wrong answers */
	unsigned refused;      /* pages that could not go, since one did */
	bool told;
};

static struct own_policy *own_of(const struct machine *mc)
{
	return mc->policy_arg;
}

static struct sf_page *page_of(struct machine *mc, const struct page *pg)
{
	return &own_of(mc)->pages[page_frame(mc, pg)];
}

/* What the application calls a page, as we know it, if it is resident; or NULL. */
static struct page *page_behind(struct machine *mc, const struct sf_page *page)
{
	uint64_t at = (uintptr_t)page - (uintptr_t)own_of(mc)->pages, frame = at / sizeof(*page);

	if (at % sizeof(*page) || !frame || frame > mc->frames_touched || frame >= mc->max_frames)
		return NULL;
	struct page *pg = frame_page(mc, (uint32_t)frame);

	return pg->list <= L_UNSEEN ? pg : NULL;
}

/* ---------------------------------------------------------------- calling out */

static struct lib_thread out_begin(struct machine *mc)
{
	struct lib_thread was = lib_thread;

	lib_thread.in_callback++;
	lib_thread.in_policy = mc;
	lib_thread.top = NULL;
	return was;
}

static void out_end(const struct lib_thread *was)
{
	lib_thread.in_callback = was->in_callback;
	lib_thread.in_policy = was->in_policy;
	lib_thread.top = was->top;
}

static void wrong_answer(struct machine *mc)
{
	struct own_policy *o = own_of(mc);

	WRITE_ONCE(o->errors, o->errors + 1);
	if (!o->told && mc->warn)
		mc->warn(mc, "the policy named something that cannot leave, or nothing: the oldest page goes");
	o->told = true;
}

/* Of the n pages named, those that are what they should be, each once. */
static unsigned check_named(struct machine *mc, struct sf_page **named, unsigned n, struct page **out, unsigned max)
{
	unsigned k = 0;

	if (n > max)
		wrong_answer(mc);
	for (unsigned i = 0; i < n && i < max; i++) {
		struct page *pg = page_behind(mc, named[i]);
		bool good = pg && page_evictable(pg);

		for (unsigned j = 0; good && j < k; j++)
			good = out[j] != pg;
		if (good)
			out[k++] = pg;
		else
			wrong_answer(mc);
	}
	return k;
}

typedef unsigned (*name_fn)(void *arg, struct sf_page **ret, unsigned max);

static unsigned call_name(struct machine *mc, name_fn fn, struct page **out, unsigned max)
{
	struct sf_page *named[2 * SF_IOBUF_PAGES] = { NULL };
	struct lib_thread was = out_begin(mc);

	max = MIN(max, 2 * SF_IOBUF_PAGES);
	unsigned n = fn(own_of(mc)->arg, named, max);

	out_end(&was);
	return check_named(mc, named, n, out, max);
}

/* ---------------------------------------------------------------- as the core knows it */

static void own_insert(struct machine *mc, struct page *pg, enum fill_kind how)
{
	struct own_policy *o = own_of(mc);
	struct lib_thread was;

	list_add_head(mc, L_SEEN, pg);
	was = out_begin(mc);
	o->ops.insert(o->arg, page_of(mc, pg), how == FILL_AHEAD ? SF_PAGE_AHEAD : SF_PAGE_TOUCHED);
	out_end(&was);
}

static void own_touch(struct machine *mc, struct page *pg)
{
	struct own_policy *o = own_of(mc);
	struct lib_thread was;

	policy_move_head(mc, L_SEEN, pg);
	if (!o->ops.touch)
		return;
	was = out_begin(mc);
	o->ops.touch(o->arg, page_of(mc, pg));
	out_end(&was);
}

static void own_remove(struct machine *mc, struct page *pg)
{
	struct own_policy *o = own_of(mc);
	struct lib_thread was = out_begin(mc);

	o->ops.remove(o->arg, page_of(mc, pg));
	out_end(&was);
	*page_of(mc, pg) = (struct sf_page){ .user = { { 0 } } };
	o->refused = 0;
	list_del(mc, pg);
}

/* Hot is what the core says of a page that could not go. */
static void own_advise(struct machine *mc, struct page *pg, bool hot)
{
	struct own_policy *o = own_of(mc);
	struct lib_thread was;

	o->refused += hot;
	if (hot)
		policy_move_head(mc, L_SEEN, pg);
	else
		policy_move_tail(mc, L_UNSEEN, pg);
	if (!o->ops.advise)
		return;
	was = out_begin(mc);
	o->ops.advise(o->arg, page_of(mc, pg), hot ? SF_PAGE_KEEP : SF_PAGE_COLD);
	out_end(&was);
}

static unsigned own_cold(struct machine *mc, struct page **out, unsigned max)
{
	struct own_policy *o = own_of(mc);
	unsigned want = o->ops.cold ? policy_hide_wanted(mc, L_UNSEEN, COLD_SHARE, max) : 0, n, k = 0;

	if (!want)
		return 0;
	n = call_name(mc, o->ops.cold, out, want);
	for (unsigned i = 0; i < n; i++) {
		policy_move_head(mc, L_UNSEEN, out[i]);
		if (out[i]->flags & PG_VISIBLE)
			out[k++] = out[i];
	}
	return k;
}

static unsigned own_victims(struct machine *mc, struct page **out, unsigned max)
{
	static const uint8_t order[] = { L_UNSEEN, L_SEEN };
	struct own_policy *o = own_of(mc);
	unsigned n = o->refused < REFUSED_MOST ? call_name(mc, o->ops.victims, out, max) : 0;

	if (n)
		return n;
	n = policy_victims(mc, order, ARRAY_SIZE(order), out, max);
	if (n && o->refused < REFUSED_MOST)
		wrong_answer(mc);
	o->refused = 0;
	return n;
}

const struct policy_ops policy_own = {
	.name = "own", .insert = own_insert, .touch = own_touch, .remove = own_remove, .advise = own_advise, .cold = own_cold, .victims = own_victims,
};

/* ---------------------------------------------------------------- opening, looking */

#define OPS_LEAST sizeof(struct sf_policy_ops)

int policy_judge(const struct sf_pool_options *o)
{
	struct sf_policy_ops ops;

	if (!o->policy_ops)
		return o->policy_arg ? -EINVAL : 0;
	if (o->policy || check_struct(o->policy_ops, OPS_LEAST, sizeof(ops)))
		return -EINVAL;
	struct_in(&ops, o->policy_ops, sizeof(ops));
	return ops.flags || !ops.insert || !ops.remove || !ops.victims ? -EINVAL : 0;
}

int policy_open(struct pool *p, const struct sf_pool_options *opt)
{
	struct own_policy *o = calloc(1, sizeof(*o));
	void *mem;

	if (!o)
		return -ENOMEM;
	o->len = p->mc->max_frames * sizeof(struct sf_page);
	mem = mmap(NULL, o->len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (mem == MAP_FAILED) {
		free(o);
		return -ENOMEM;
	}
	struct_in(&o->ops, opt->policy_ops, sizeof(o->ops));
	o->arg = opt->policy_arg;
	o->pages = mem;
	p->mc->policy_arg = p->own_policy = o;
	return 0;
}

void policy_close(struct pool *p)
{
	struct own_policy *o = p->own_policy;

	if (!o)
		return;
	munmap(o->pages, o->len);
	free(o);
	p->own_policy = NULL;
}

uint64_t policy_errors(const struct pool *p)
{
	return p->own_policy ? READ_ONCE(p->own_policy->errors) : 0;
}

int sf_page_state(const struct sf_page *page, void **ret_addr)
{
	struct machine *mc = lib_thread.in_policy;
	const struct page *pg = mc ? page_behind(mc, page) : NULL;

	if (!pg)
		return -EINVAL;
	if (ret_addr)
		*ret_addr = (void *)PVA(pg->pfn);
	return (pg->flags & PG_HIDDEN ? SF_PAGE_UNSEEN : 0) | (pg->flags & (PG_DIRTY | PG_WRITABLE) ? SF_PAGE_DIRTY : 0) |
	       (page_evictable(pg) ? 0 : SF_PAGE_STAYS);
}
