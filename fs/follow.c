/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A follower: catching up with the writer, and pages that are believed to be damaged only when that is proven. */
#include "fs/follow.h"

#include "common/secret.h"

#include <stdlib.h>
#include <string.h>

#define TRIES 1000u        /* a page that changes each time it was looked up: then it is given up */
#define FOLLOW_TRIES 1000u /* looks at the journal, which went on each time */

static bool same_ref(const struct seal_ref *a, const struct seal_ref *b)
{
	return !memcmp(a, b, sizeof *a);
}

static int give_up(struct follow *w, bool *what, int err)
{
	*what = true;
	w->err = err;
	return -ESTALE;
}

/* The root page of transaction next - 1. -EBADMSG and others: there is none at the moment. */
static int find_root(struct follow *w, uint64_t next)
{
	struct comp *c = w->c;
	uint8_t raw[CL_PAGE];
	int first = 0;

	if (pagemap_read(c->io.map, PAGEIO_OBJ_ROOT, 0, raw)) {
		int err = comp_take_root(c, raw);
		if (!err && c->running != next)
			err = -EUCLEAN;
		/* It is in memory, whole: nothing will change it. */
		return err ? give_up(w, &w->root_bad, err) : 0;
	}
	for (unsigned copy = 0; copy < 2; copy++) {
		int err = comp_read_root_copy(c, copy, raw);
		if (!err)
			err = comp_take_root(c, raw);
		if (!err && c->running != next)
			err = -EBADMSG;
		if (!err)
			return 0;
		first = first ? first : err;
	}
	return first;
}

int follow_catch_up(struct follow *w)
{
	struct comp *c = w->c;
	uint64_t before = 0;
	int root = 0;

	if (w->err)
		return -ESTALE;
	for (unsigned tries = 0; tries < FOLLOW_TRIES; tries++) {
		int err = journal_follow(c->journal, comp_replay, c, &w->tail);
		if (err == -ENOMEM)
			return err;
		if (err && err != -EAGAIN)
			return give_up(w, &w->journal_bad, err);
		pagemap_drop(c->io.map, w->tail - 1);
		if (err)
			continue;
		uint64_t next = journal_next(c->journal);
		if (w->next == next)
			return 0;
		/* The journal is still as it was when that root page was not there: it had to be. */
		if (root && before == next)
			return give_up(w, &w->root_bad, root);
		root = find_root(w, next);
		if (root == -ESTALE)
			return root;
		before = next;
		if (!root) {
			w->next = next;
			return 0;
		}
		w->next = 0;
	}
	return -EAGAIN;
}

/*
 * Whether the commit taken for the newest really was: when its successor's record is damaged, the writer is further on
 * than can be known. -ESTALE: so it is.
 */
static int look_behind(struct follow *w)
{
	uint64_t next = w->next;
	bool later;

	if (w->looked_at == next)
		return 0;
	int err = journal_look_behind(w->c->journal, &later);
	if (err)
		return err == -ENOMEM ? err : give_up(w, &w->journal_bad, err);
	if (later) {
		/* It was written meanwhile, or is damaged. Whole later records are there, so by now it is whole. */
		err = follow_catch_up(w);
		if (err)
			return err;
		if (w->next == next)
			return give_up(w, &w->journal_bad, -EBADMSG);
	}
	w->looked_at = next;
	return 0;
}

static int open_journal(struct follow *w)
{
	int err = -EUCLEAN;

	/* Both copies of the header may be met while they are written. */
	for (unsigned tries = 0; tries < TRIES && err == -EUCLEAN; tries++)
		err = journal_open(w->c->store, w->c->id, true, &w->c->journal);
	return err;
}

int follow_open(struct store *volume, const struct fs_compartment *fc, const struct fs_config *cfg, struct follow **ret,
		struct fault *f)
{
	struct follow *w = calloc(1, sizeof *w);
	int err;

	if (!w || !(w->scratch = calloc(1, sizeof *w->scratch))) {
		free(w);
		return fault_set(f, -ENOMEM, CL_EXIT_FAILED, "out of memory");
	}
	err = comp_open_unlocked(volume, fc, cfg, &w->c, f);
	if (err)
		goto fail;
	err = open_journal(w);
	if (err) {
		fault_set(f, err, CL_EXIT_FAILED, "compartment %s: its journal cannot be read: %s", w->c->io.name,
			  err == -EUCLEAN ? "both copies of its header are damaged" : strerror(-err));
		goto fail;
	}
	err = follow_catch_up(w);
	if (!err)
		err = look_behind(w);
	if (err) {
		fault_set(f, err, CL_EXIT_FAILED, "compartment %s: %s", w->c->io.name,
			  w->journal_bad ? "a record of its journal is damaged"
			  : w->root_bad
				  ? "neither copy of its root page authenticates, or they do not belong to its journal"
			  : err == -EAGAIN ? "it changes faster than it can be read"
					   : strerror(-err));
		goto fail;
	}
	*ret = w;
	return 0;
fail:
	follow_close(w);
	return err;
}

void follow_close(struct follow *w)
{
	if (!w)
		return;
	comp_free(w->c);
	secret_wipe(w->scratch, sizeof *w->scratch);
	free(w->scratch);
	free(w);
}

void follow_special(const struct follow *w, uint64_t object, struct follow_tree *ret)
{
	const struct tree *t = object == PAGEIO_OBJ_INODES    ? &w->c->itable
			       : object == PAGEIO_OBJ_IBITMAP ? &w->c->ibitmap
							      : &w->c->orphans;

	*ret = (struct follow_tree){ .object = object, .height = t->height, .root = t->root, .key = t->key };
}

void follow_tree_of(const struct inode *i, bool xattr, struct follow_tree *ret)
{
	const struct tree *t = xattr ? &i->xattr : &i->data;

	*ret = (struct follow_tree){ .object = xattr && !i->xattr_object ? 0 : t->object,
				     .height = t->height,
				     .root = t->root,
				     .key = t->key,
				     .ino = i->ino,
				     .xattr = xattr };
}

void follow_tree_done(struct follow_tree *t)
{
	seal_key_wipe(&t->key);
}

int follow_decode(struct follow *w, uint64_t ino, const uint8_t record[static INODE_RECORD], struct inode **ret)
{
	struct inode *i = w->scratch;
	struct comp *c = w->c;

	memset(i, 0, sizeof *i);
	i->comp = c;
	i->ino = ino;
	tree_init(&i->data, &c->io, c->nodes, &c->dirty_pages);
	tree_init(&i->xattr, &c->io, c->nodes, &c->dirty_pages);
	int err = inode_decode(i, record);
	if (err)
		follow_record_done(i);
	else
		*ret = i;
	return err;
}

void follow_record_done(struct inode *i)
{
	tree_done(&i->data);
	tree_done(&i->xattr);
	secret_wipe(&i->committed, sizeof i->committed);
}

int follow_records(struct follow *w, uint64_t ino, uint8_t page[static CL_PAGE])
{
	struct follow_tree t;
	struct seal_ref ref;

	follow_special(w, PAGEIO_OBJ_INODES, &t);
	int err = follow_locate(w, &t, 0, ino / INODE_PER_PAGE, &ref);
	if (!err)
		err = follow_page(w, &t, 0, ino / INODE_PER_PAGE, &ref, page);
	follow_tree_done(&t);
	return err;
}

int follow_record(struct follow *w, uint64_t ino, struct inode **ret)
{
	uint8_t page[CL_PAGE];
	int err = follow_records(w, ino, page);

	if (!err)
		err = follow_decode(w, ino, page + ino % INODE_PER_PAGE * INODE_RECORD, ret);
	secret_wipe(page, sizeof page);
	return err;
}

/* One look at a page, as of the newest commit known. */
static int try_page(struct follow *w, struct follow_tree *t, uint32_t level, uint64_t index, const struct seal_ref *ref,
		    uint8_t *out)
{
	struct pageio *io = &w->c->io;
	uint64_t lower = level ? pageio_lower_node(level, index) : pageio_lower_leaf(index);
	struct seal_place place = { .object = t->object, .index = index, .level = level };
	uint8_t raw[CL_PAGE] __attribute__((aligned(64)));
	unsigned n = pageio_copies(t->object);
	int err[2] = { 0, 0 };

	t->copies[0] = t->copies[1] = 0;
	memcpy(place.compartment, w->c->id, 16);
	if (pagemap_read(io->map, t->object, lower, raw))
		return seal_open_page(&t->key, &place, ref, raw, out);
	for (unsigned i = 0; i < n; i++) {
		err[i] = pageio_read_copy(io, t->object, i, lower, raw, 1);
		if (!err[i]) /* once it is open, the second copy may overwrite what was read only */
			err[i] = seal_open_page(&t->key, &place, ref, raw, i && !err[0] ? raw : out);
	}
	secret_wipe(raw, sizeof raw);
	if (n == 1 || (err[0] && err[1]))
		return err[0];
	t->copies[0] = err[0];
	t->copies[1] = err[1];
	return 0;
}

/* Height and root of a tree as of the newest commit. */
static int refresh(struct follow *w, struct follow_tree *t)
{
	struct follow_tree now;
	struct inode *i;

	if (!t->ino) {
		follow_special(w, t->object, &now);
	} else {
		int err = follow_record(w, t->ino, &i);
		t->gone |= err == -ENOENT;
		t->above |= err && err != -ENOENT; /* in the inode table */
		if (err)
			return err;
		follow_tree_of(i, t->xattr, &now);
		follow_record_done(i);
		if (now.object != t->object) {
			follow_tree_done(&now);
			t->gone = true;
			return -ENOENT;
		}
	}
	t->height = now.height;
	t->root = now.root;
	follow_tree_done(&now);
	return 0;
}

/* Down from the root, one look at each page. *ret_level and *ret: where it ended, and the ref that was there. */
static int descend(struct follow *w, struct follow_tree *t, uint32_t level, uint64_t index, uint32_t *ret_level,
		   struct seal_ref *ret)
{
	uint8_t page[CL_PAGE];
	int err = 0;

	*ret_level = t->height;
	*ret = t->root;
	if (level > t->height || index >> (7 * (t->height - level)))
		return -ENOENT;
	for (uint32_t l = t->height; l > level && !err; l--) {
		uint64_t at = index >> (7 * (l - level));
		*ret_level = l;
		err = seal_ref_is_hole(ret) ? -ENOENT : try_page(w, t, l, at, ret, page);
		if (!err)
			memcpy(ret, page + (index >> (7 * (l - 1 - level))) % PAGEIO_FANOUT * sizeof *ret, sizeof *ret);
	}
	if (!err && seal_ref_is_hole(ret))
		err = -ENOENT;
	return err;
}

int follow_locate(struct follow *w, struct follow_tree *t, uint32_t level, uint64_t index, struct seal_ref *ret)
{
	uint32_t bad_level = 0, at;
	struct seal_ref bad = { 0 };

	t->above = false;
	for (unsigned tries = 0; tries < TRIES; tries++) {
		int err = follow_catch_up(w);
		if (!err)
			err = refresh(w, t);
		if (err)
			return err;
		err = descend(w, t, level, index, &at, ret);
		if (!err || err == -ENOENT || err == -ENOMEM)
			return err;
		if (bad_level == at && same_ref(&bad, ret)) {
			int stale = look_behind(w);
			t->above = true;
			return stale ? stale : err;
		}
		bad_level = at;
		bad = *ret;
	}
	return -EAGAIN;
}

int follow_page(struct follow *w, struct follow_tree *t, uint32_t level, uint64_t index, struct seal_ref *ref,
		uint8_t *out)
{
	struct seal_ref now;

	for (unsigned tries = 0; tries < TRIES; tries++) {
		int err = try_page(w, t, level, index, ref, out);
		int copies[2] = { t->copies[0], t->copies[1] };
		if (err == -ENOMEM || (!err && !copies[0] && !copies[1]))
			return err;
		int found = follow_locate(w, t, level, index, &now);
		t->copies[0] = t->copies[1] = 0;
		if (!found && same_ref(&now, ref)) {
			int stale = look_behind(w);
			if (stale)
				return stale;
			memcpy(t->copies, copies, sizeof copies);
			return err;
		}
		/* A page that opened, and changed since: it was good. */
		if (!err && found != -ESTALE && found != -ENOMEM)
			return 0;
		if (found)
			return found;
		*ref = now;
		t->moved = true;
	}
	return -EAGAIN;
}
