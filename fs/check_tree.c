/* SPDX-License-Identifier: GPL-3.0-or-later */
/* fsck: every page of a tree, of both copies where there are two. */
#include "fs/repair.h"

#include "common/secret.h"

#include <stdio.h>
#include <string.h>

static void place_of(const struct check_walk *w, uint32_t level, uint64_t index, struct seal_place *ret)
{
	memcpy(ret->compartment, w->cc->c->id, 16);
	ret->object = w->desc.object;
	ret->index = index;
	ret->level = level;
}

static void flush_bad(struct check_walk *w)
{
	if (w->pending.any && w->bad)
		w->bad(w->arg, w->pending.first, w->pending.last, w->pending.index, w->pending.err);
	w->pending.any = false;
}

static void add_bad(struct check_walk *w, uint64_t first, uint64_t last, bool index, int err)
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

static void flush_copy(struct check_walk *w, unsigned copy)
{
	char name[STORE_NAME_MAX];
	unsigned long long first = w->copies[copy].first, last = w->copies[copy].last;

	if (!w->copies[copy].any)
		return;
	w->copies[copy].any = false;
	if (w->quiet)
		return;
	pageio_name(w->desc.object, copy, name);
	REPAIR_WANT(w->cc, REPAIR_COPY, .ino = w->desc.object << 1 | copy, .a = first, .b = last);
	/* Reading heals a first copy; a second one is right again when its page is next written. */
	if (first == last)
		check_say(w->cc, CHECK_ERROR,
			  "%s: %s copy of page %llu is damaged (lower file %s: it %s), the other is good", w->name,
			  copy ? "the second" : "the first", first, name, check_reason(w->copies[copy].err, false));
	else
		check_say(w->cc, CHECK_ERROR,
			  "%s: %s copy of pages %llu-%llu is damaged (lower file %s: they %s), the other is good",
			  w->name, copy ? "the second" : "the first", first, last, name,
			  check_reason(w->copies[copy].err, true));
}

static void add_copy(struct check_walk *w, unsigned copy, uint64_t lower, int err)
{
	if (w->copies[copy].any && w->copies[copy].err == err &&
	    (w->copies[copy].last + 1 == lower || w->copies[copy].last == lower + 1 ||
	     w->copies[copy].first == lower + 1)) {
		w->copies[copy].first = CL_MIN(w->copies[copy].first, lower);
		w->copies[copy].last = CL_MAX(w->copies[copy].last, lower);
		return;
	}
	flush_copy(w, copy);
	w->copies[copy].first = w->copies[copy].last = lower;
	w->copies[copy].err = err;
	w->copies[copy].any = true;
}

/* One page by itself: from the journal if it has a newer one, else from each copy. */
static int open_page(struct check_walk *w, uint32_t level, uint64_t index, const struct seal_ref *ref, uint8_t *out)
{
	struct pageio *io = &w->cc->c->io;
	uint64_t lower = level ? pageio_lower_node(level, index) : pageio_lower_leaf(index);
	unsigned copies = pageio_has_copy(w->desc.object) ? 2 : 1;
	struct seal_place place;
	int err[2];

	place_of(w, level, index, &place);
	if (!w->quiet)
		check_progress(w->cc->k, copies);
	if (w->mapped && pagemap_read(io->map, w->desc.object, lower, w->buf->spare))
		return seal_open_page(&w->key, &place, ref, w->buf->spare, out);
	for (unsigned i = 0; i < copies; i++) {
		err[i] = pageio_read_copy(io, w->desc.object, i, lower, w->buf->spare, 1);
		if (!err[i])
			err[i] =
				seal_open_page(&w->key, &place, ref, w->buf->spare, i && !err[0] ? w->buf->spare : out);
		if (check_is_ours(err[i]))
			return err[i];
	}
	if (copies == 1 || (err[0] && err[1]))
		return err[0];
	for (unsigned i = 0; i < copies; i++)
		if (err[i])
			add_copy(w, i, lower, err[i]);
	return 0;
}

static int give_leaf(struct check_walk *w, uint64_t leaf, int err, const uint8_t *plain)
{
	if (check_is_ours(err))
		return err;
	if (err) {
		add_bad(w, leaf, leaf, false, err);
		return 0;
	}
	return w->page ? w->page(w->arg, leaf, plain) : 0;
}

/* n stored leaves that are neighbours, with one read. */
static int read_run(struct check_walk *w, uint64_t first, uint32_t n, const struct seal_ref *refs)
{
	struct pageio *io = &w->cc->c->io;
	uint64_t base = pageio_lower_leaf(first), end = pageio_lower_leaf(first + n - 1) + 1;
	uint8_t *out = w->buf->plain;
	int err = end - base > CHECK_RUN ? -EINVAL
					 : pageio_read_raw(io, w->desc.object, base, w->buf->raw, (size_t)(end - base));

	for (uint32_t i = 0; i < n; i++) {
		const uint8_t *raw = w->buf->raw + (size_t)(pageio_lower_leaf(first + i) - base) * CL_PAGE;
		struct seal_place place;
		int e;

		if (err) {
			/* A bad block: which page has it? */
			e = open_page(w, 0, first + i, &refs[i], out);
		} else {
			place_of(w, 0, first + i, &place);
			if (w->mapped &&
			    pagemap_read(io->map, w->desc.object, pageio_lower_leaf(first + i), w->buf->spare))
				raw = w->buf->spare;
			e = seal_open_page(&w->key, &place, &refs[i], raw, out);
		}
		e = give_leaf(w, first + i, e, out);
		if (e)
			return e;
	}
	if (!err && !w->quiet)
		check_progress(w->cc->k, n);
	return 0;
}

static int walk_leaves(struct check_walk *w, uint64_t first, uint32_t n, const struct seal_ref *refs)
{
	for (uint32_t i = 0, run; i < n; i += run) {
		int err = 0;
		run = 1;
		if (seal_ref_is_hole(&refs[i]))
			continue;
		while (i + run < n && !seal_ref_is_hole(&refs[i + run]))
			run++;
		w->stored += run;
		if (pageio_has_copy(w->desc.object)) {
			for (uint32_t j = i; j < i + run && !err; j++)
				err = give_leaf(w, first + j, open_page(w, 0, first + j, &refs[j], w->buf->plain),
						w->buf->plain);
		} else {
			err = read_run(w, first + i, run, &refs[i]);
		}
		if (err)
			return err;
	}
	return 0;
}

static int walk_node(struct check_walk *w, uint32_t level, uint64_t index, const struct seal_ref *ref)
{
	struct seal_ref *refs = (struct seal_ref *)(void *)w->buf->node[level - 1];
	unsigned shift = 7 * level;

	if (seal_ref_is_hole(ref))
		return 0;
	int err = open_page(w, level, index, ref, w->buf->node[level - 1]);
	if (check_is_ours(err))
		return err;
	if (err) {
		add_bad(w, index << shift, ((index + 1) << shift) - 1, true, err);
		w->unsure = true;
		return 0;
	}
	if (level == 1)
		return walk_leaves(w, index * PAGEIO_FANOUT, PAGEIO_FANOUT, refs);
	for (uint32_t i = 0; i < PAGEIO_FANOUT && !err; i++)
		err = walk_node(w, level - 1, index * PAGEIO_FANOUT + i, &refs[i]);
	return err;
}

int check_walk(struct check_walk *w)
{
	struct checker *k = w->cc->k;
	int err = 0;

	w->stored = 0;
	w->unsure = false;
	if (w->desc.object == 0)
		return 0;
	if (k->depth == CL_ARRAY_LEN(k->buffers))
		return -EINVAL;
	w->buf = k->buffers[k->depth++];
	w->pending.any = w->copies[0].any = w->copies[1].any = false;
	w->mapped = pagemap_has_object(w->cc->c->io.map, w->desc.object);
	seal_key_init(&w->key, w->desc.key);
	if (w->desc.height)
		err = walk_node(w, w->desc.height, 0, &w->desc.root);
	else
		err = walk_leaves(w, 0, 1, &w->desc.root);
	seal_key_wipe(&w->key);
	secret_wipe(w->desc.key, sizeof w->desc.key);
	flush_bad(w);
	flush_copy(w, 0);
	flush_copy(w, 1);
	k->depth--;
	return err;
}

bool check_is_missing(struct check_comp *cc, uint32_t slot, const char *what, const struct tree_desc *desc,
		      enum repair_kind repair)
{
	char name[STORE_NAME_MAX];

	if (!desc->object || seal_ref_is_hole(&desc->root) || cc->lower_unsure || cc->lower_unread || check_lower_has(cc, desc->object) ||
	    pagemap_has_object(cc->c->io.map, desc->object))
		return false;
	pageio_name(desc->object, 0, name);
	REPAIR_WANT(cc, repair, .ino = check_ino(&cc->inodes[slot]));
	check_say_inode(cc, slot, "%s: all of it is lost: its lower file %s is missing", what, name);
	return true;
}

void check_say_bad(struct check_comp *cc, uint32_t slot, const char *what, uint64_t size,
		   const struct check_range *leaves, bool index, int err, enum repair_kind repair)
{
	uint64_t limit = (size + CL_PAGE - 1) / CL_PAGE;
	unsigned long long first = leaves->first, last = CL_MIN(leaves->last, limit ? limit - 1 : 0);
	char pages[160];

	if (repair != REPAIR_NONE && repair_is_damage(err))
		REPAIR_WANT(cc, repair, .ino = check_ino(&cc->inodes[slot]), .a = leaves->first, .b = leaves->last);
	if (first >= limit) {
		if (cc->want.kind == REPAIR_DATA)
			cc->want.kind = REPAIR_BEHIND;
		if (cc->want.kind == REPAIR_DIR_LOST)
			cc->want.kind = REPAIR_DIR_BEHIND;
		check_say_inode(cc, slot, "%s: %s behind its end %s; nothing of it is lost", what,
				index ? "an index page" : "a page", check_reason(err, false));
		return;
	}
	unsigned long long from = first * CL_PAGE, to = CL_MIN((last + 1) * CL_PAGE, size) - 1;
	if (first == last)
		snprintf(pages, sizeof pages, "page %llu (bytes %llu-%llu)", first, from, to);
	else
		snprintf(pages, sizeof pages, "pages %llu-%llu (bytes %llu-%llu)", first, last, from, to);
	if (index)
		check_say_inode(cc, slot, "%s: %s cannot be reached: an index page above %s", what, pages,
				check_reason(err, false));
	else
		check_say_inode(cc, slot, "%s: %s %s", what, pages, check_reason(err, first != last));
}
