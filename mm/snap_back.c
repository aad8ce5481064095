/* SPDX-License-Identifier: MIT */
/* snap_back.c - a range becomes again what it was
 *
 * For each page that a generation h has for the snapshot (the first from the snapshot on that saved it):
 *     h is the newest    its page moves to the range; what the range had is nobody's; the newest has the range's again
 *     h is older         what the range has goes to the newest, if that lacks it, else away; h's page is copied to the range
 *
 * A page that has been taken from the range says PTE_POISON until its new contents are there, so that a failure in between
 * can never be read as zeros; the call can then be made again. */
#include "mm/snap_priv.h"

static void made_anon(struct snap_line *l, uint64_t i)
{
	struct page *pg = page_at(l->mm, l->lo + i);

	if (pg && snap_absent_is_zero(l, i))
		pg->flags |= PG_ANON;
}

/* The newest has it: the page goes back, and the newest has the range's again. */
static int give_back(struct snap *s, uint64_t i)
{
	struct snap_line *l = s->line;
	struct mm *mm = l->mm;

	if (!pte_alloc(mm, l->lo + i))
		return -ENOMEM;
	zap_poison(mm, l->lo + i); /* until the call succeeds */
	if (pte_get(mm, s->base + i) & PTE_BLANK) {
		pte_set(mm, l->lo + i, 0);
		pte_set(mm, s->base + i, 0);
		return 0;
	}
	int err = move_page(mm, s->base + i, l->lo + i);

	if (err)
		return err;
	pte_set(mm, s->base + i, 0);
	made_anon(l, i);
	return 0;
}

/* The range's page becomes the newest's, which lacks it, and is lost to the range. */
static int hand_over(struct snap *newest, uint64_t i)
{
	struct snap_line *l = newest->line;
	struct mm *mm = l->mm;
	struct page *pg = page_at(mm, l->lo + i);

	if (pte_get(mm, newest->base + i))
		snap_drop_copy(newest, i);
	if (!pte_get(mm, l->lo + i)) {
		if (snap_save_mark(newest, i, PTE_BLANK))
			return -ENOMEM;
		pte_set(mm, l->lo + i, PTE_POISON);
		return 0;
	}
	int err = move_page(mm, l->lo + i, newest->base + i);

	if (err || !pg)
		return err;
	if (!pg->slot || pg->flags & PG_FILE)
		page_taint(mm, pg);
	pg->flags &= (uint16_t)~PG_ANON;
	return 0;
}

/* Copy page i of h, older than the newest, over the range's, whose entry can be set.  mine: a frame for it, or NULL if h has zeros; then src
 * is NULL too.  After a failure the page says that it is lost, and the call can be made again. */
static int overwrite(struct snap *h, uint64_t i, struct page *mine, const void *src)
{
	struct snap_line *l = h->line;
	struct mm *mm = l->mm;
	unsigned anon = snap_absent_is_zero(l, i) ? PG_ANON : 0;

	if (snap_saved(l->newest, i)) {
		zap_poison(mm, l->lo + i);
	} else {
		int err = hand_over(l->newest, i);

		if (err)
			return err;
	}
	if (mine)
		return snap_put_page(mm, mine, l->lo + i, src, PG_DIRTY | anon);
	pte_set(mm, l->lo + i, 0);
	return 0;
}

/* The range's page can be handed over or is not needed. */
static bool can_part(const struct snap_line *l, uint64_t i)
{
	return snap_saved(l->newest, i) || pte_get(l->mm, l->lo + i) || snap_absent_is_zero(l, i);
}

/* Is everything where overwrite needs it?  VM_FAULT_RETRY: look again; errors. */
static unsigned rollback_ready(struct snap *h, struct task *tk, uint64_t i)
{
	struct snap_line *l = h->line;
	struct mm *mm = l->mm;
	unsigned res = 0;

	if (!(pte_get(mm, h->base + i) & PTE_BLANK) && !snap_settled(mm, tk, h->base + i, &res))
		return res;
	return can_part(l, i) || snap_settled(mm, tk, l->lo + i, &res) ? 0 : res;
}

static unsigned rollback_copy(struct snap *h, struct task *tk, uint64_t i, int *ret_err)
{
	struct snap_line *l = h->line;
	struct mm *mm = l->mm;
	unsigned res = rollback_ready(h, tk, i);
	bool blank = pte_get(mm, h->base + i) & PTE_BLANK;
	struct page *mine, *pg;
	const void *src = NULL;

	if (res)
		return res;
	mine = snap_frame(mm, tk, l->lo + i, &res);
	if (!mine)
		return res;
	pg = page_at(mm, h->base + i);
	if (!blank && pg && !(pg->flags & PG_BUSY))
		src = snap_contents(l, pg);
	if (!can_part(l, i) || (!blank && !src)) {
		page_free(mm->mc, mine);
		return VM_FAULT_RETRY;
	}
	*ret_err = overwrite(h, i, blank ? NULL : mine, src);
	if (*ret_err || blank)
		page_free(mm->mc, mine);
	return 0;
}

/* One step of page i, which h has for s.  VM_FAULT_RETRY: not yet. */
static unsigned rollback_page(struct snap *h, struct task *tk, uint64_t i, int *ret_err)
{
	struct snap_line *l = h->line;
	struct mm *mm = l->mm;
	struct page *pg = page_at(mm, l->lo + i), *from = page_at(mm, h->base + i);

	if ((pg && pg->flags & PG_BUSY) || (from && from->flags & PG_BUSY)) {
		page_wait(mm);
		return VM_FAULT_RETRY;
	}
	if ((pg && pg->pins) || (from && from->pins)) {
		*ret_err = -EBUSY;
		return 0;
	}
	if (h != l->newest)
		return rollback_copy(h, tk, i, ret_err);
	*ret_err = give_back(h, i);
	return 0;
}

int snap_rollback(struct snap *s, struct task *tk)
{
	struct snap_line *l = s->line;
	struct mm *mm = l->mm;
	int err = 0;

	tk->error = 0;
	mm_lock(mm);
	for (struct snap *h = s; h && !err; h = h->newer)
		for (uint64_t i = 0; !err && (i = snap_next_saved(h, i, l->pages)) < l->pages;) {
			unsigned res = snap_holder(s, i) == h ? rollback_page(h, tk, i, &err) : 0;

			if (res & VM_FAULT_ERROR)
				err = snap_errno(tk, res);
			snap_conceal(mm, l->lo + i);
			i += !(res & VM_FAULT_RETRY);
		}
	page_wake(mm);
	mm_unlock(mm);
	return err;
}
