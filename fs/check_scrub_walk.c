/* SPDX-License-Identifier: GPL-3.0-or-later */
/* fsck of a mounted volume: each page of a tree that may change while it is read. */
#include "fs/check_scrub.h"

#include <string.h>

static void flush_bad(struct check_scrub_walk *w)
{
	if (w->pending.any && w->bad)
		w->bad(w->arg, w->pending.first, w->pending.last, w->pending.index, w->pending.err);
	w->pending.any = false;
}

static void add_bad(struct check_scrub_walk *w, uint64_t first, uint64_t last, bool index, int err)
{
	if (w->pending.any && w->pending.last + 1 == first && w->pending.index == index && w->pending.err == err) {
		w->pending.last = last;
		return;
	}
	flush_bad(w);
	w->pending.first = first;
	w->pending.last = last;
	w->pending.index = index;
	w->pending.err = err;
	w->pending.any = true;
}

static void flush_copy(struct check_scrub_walk *w, unsigned copy)
{
	unsigned long long first = w->copies[copy].first, last = w->copies[copy].last;
	const char *which = copy ? "the second" : "the first";
	char name[STORE_NAME_MAX];

	if (!w->copies[copy].any)
		return;
	w->copies[copy].any = false;
	pageio_name(w->t->object, copy, name);
	if (first == last)
		check_say(w->s->cc, CHECK_ERROR,
			  "%s: %s copy of page %llu is damaged (lower file %s: it %s), the other is good", w->name,
			  which, first, name, check_reason(w->copies[copy].err, false));
	else
		check_say(w->s->cc, CHECK_ERROR,
			  "%s: %s copy of pages %llu-%llu is damaged (lower file %s: they %s), the other is good",
			  w->name, which, first, last, name, check_reason(w->copies[copy].err, true));
}

static void add_copy(struct check_scrub_walk *w, unsigned copy, uint64_t lower, int err)
{
	if (!w->name)
		return;
	if (!w->copies[copy].any || w->copies[copy].err != err || lower + 1 < w->copies[copy].first ||
	    lower > w->copies[copy].last + 1) {
		flush_copy(w, copy);
		w->copies[copy].first = w->copies[copy].last = lower;
		w->copies[copy].err = err;
		w->copies[copy].any = true;
	}
	w->copies[copy].first = CL_MIN(w->copies[copy].first, lower);
	w->copies[copy].last = CL_MAX(w->copies[copy].last, lower);
}

/* What follow_page said of a page. 1: it opened; 0: it did not, go on; negative: the end. */
static int judge(struct check_scrub_walk *w, int err, uint32_t level, uint64_t index)
{
	uint64_t lower = level ? pageio_lower_node(level, index) : pageio_lower_leaf(index);
	unsigned shift = 7 * level;

	if (!err) {
		for (unsigned i = 0; i < 2; i++)
			if (w->t->copies[i])
				add_copy(w, i, lower, w->t->copies[i]);
		return 1;
	}
	if (check_is_ours(err) || err == -ESTALE)
		return err;
	w->unsure = true;
	if (err == -EAGAIN)
		w->s->restless += w->bad != NULL;
	else if (err != -ENOENT)
		add_bad(w, index << shift, ((index + 1) << shift) - 1, level || w->t->above, err);
	return w->t->gone ? -ENOENT : 0;
}

static void progress(struct check_scrub_walk *w, uint64_t pages)
{
	if (w->bad)
		check_progress(w->s->cc->k, pages * pageio_copies(w->t->object));
}

static int give_leaf(struct check_scrub_walk *w, int err, uint64_t leaf)
{
	int r = judge(w, err, 0, leaf);

	if (r <= 0)
		return r;
	w->stored++;
	return w->page ? w->page(w->arg, leaf, w->buf->plain) : 0;
}

/* n stored leaves that are neighbours, with one read. Who does not open is looked at again by itself. */
static int read_run(struct check_scrub_walk *w, uint64_t first, uint32_t n, struct seal_ref *refs)
{
	struct follow *f = w->s->w;
	uint64_t base = pageio_lower_leaf(first), end = pageio_lower_leaf(first + n - 1) + 1;
	bool one_by_one = pageio_has_copy(w->t->object) || end - base > CHECK_RUN;
	int err = 0;

	if (!one_by_one)
		one_by_one = pageio_read_raw(&f->c->io, w->t->object, base, w->buf->raw, (size_t)(end - base));
	for (uint32_t i = 0; i < n && !err; i++) {
		struct seal_place place = { .object = w->t->object, .index = first + i };
		uint64_t lower = pageio_lower_leaf(first + i);
		const uint8_t *raw = w->buf->raw + (size_t)(lower - base) * CL_PAGE;
		int e = -EBADMSG;

		memcpy(place.compartment, f->c->id, 16);
		w->t->copies[0] = w->t->copies[1] = 0;
		if (!one_by_one) {
			if (pagemap_read(f->c->io.map, w->t->object, lower, w->buf->spare))
				raw = w->buf->spare;
			e = seal_open_page(&w->t->key, &place, &refs[i], raw, w->buf->plain);
		}
		if (e)
			e = follow_page(f, w->t, 0, first + i, &refs[i], w->buf->plain);
		err = give_leaf(w, e, first + i);
	}
	progress(w, n);
	return err;
}

static int walk_leaves(struct check_scrub_walk *w, uint64_t first, uint32_t n, struct seal_ref *refs)
{
	int err = 0;

	for (uint32_t i = 0, run; i < n && !err; i += run) {
		run = 1;
		if (seal_ref_is_hole(&refs[i]))
			continue;
		while (i + run < n && !seal_ref_is_hole(&refs[i + run]))
			run++;
		err = read_run(w, first + i, run, &refs[i]);
	}
	return err;
}

static int walk_node(struct check_scrub_walk *w, uint32_t level, uint64_t index, struct seal_ref *ref)
{
	uint8_t *page = w->buf->node[level - 1];
	struct seal_ref *refs = (struct seal_ref *)(void *)page;

	if (seal_ref_is_hole(ref))
		return 0;
	int err = judge(w, follow_page(w->s->w, w->t, level, index, ref, page), level, index);
	progress(w, 1);
	if (err <= 0)
		return err;
	if (level == 1)
		return walk_leaves(w, index * PAGEIO_FANOUT, PAGEIO_FANOUT, refs);
	err = 0;
	for (uint32_t i = 0; i < PAGEIO_FANOUT && !err; i++)
		err = walk_node(w, level - 1, index * PAGEIO_FANOUT + i, &refs[i]);
	return err;
}

int check_scrub_walk(struct check_scrub_walk *w)
{
	struct checker *k = w->s->cc->k;
	struct seal_ref root = w->t->root;
	int err;

	w->stored = 0;
	w->unsure = false;
	w->pending.any = w->copies[0].any = w->copies[1].any = false;
	if (!w->t->object)
		return 0;
	if (k->depth == CL_ARRAY_LEN(k->buffers))
		return -EINVAL;
	w->buf = k->buffers[k->depth++];
	if (w->t->height)
		err = walk_node(w, w->t->height, 0, &root);
	else
		err = walk_leaves(w, 0, 1, &root);
	flush_bad(w);
	flush_copy(w, 0);
	flush_copy(w, 1);
	k->depth--;
	if (!pageio_has_copy(w->t->object))
		pageio_release(&w->s->w->c->io, w->t->object);
	/* Whoever walks looks whether it is gone. */
	return err == -ENOENT && w->t->gone ? 0 : err;
}
