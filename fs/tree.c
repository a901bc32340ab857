/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Page trees: descent, growth, refs of leaves, sealing. */
#include "fs/tree.h"

#include "common/secret.h"
#include "fs/page.h"
#include "fs/rule.h"

#include <string.h>

static atomic_uint_fast64_t next_gen = 1;

static void place_of(const struct tree *t, uint32_t level, uint64_t index, struct seal_place *ret)
{
	memcpy(ret->compartment, t->io->id, 16);
	ret->object = t->object;
	ret->index = index;
	ret->level = level;
}

void tree_init(struct tree *t, struct pageio *io, struct node_cache *nodes, atomic_uint_fast64_t *dirty_pages)
{
	memset(t, 0, sizeof *t);
	t->io = io;
	t->nodes = nodes;
	t->dirty_pages = dirty_pages;
	t->fresh_gen = atomic_fetch_add(&next_gen, 1);
	for (size_t i = 0; i < CL_ARRAY_LEN(t->dirty); i++)
		list_init(&t->dirty[i]);
	pagemap_run_init(&t->run);
}

int tree_load(struct tree *t, const struct tree_desc *d)
{
	if (d->height > PAGEIO_LEVELS)
		return -EUCLEAN;
	t->object = d->object;
	t->height = d->height;
	t->root = d->root;
	seal_key_init(&t->key, d->key);
	return 0;
}

int tree_make(struct tree *t, uint64_t object)
{
	struct seal_key key;
	int err = seal_key_random(&key);
	if (err)
		return err;
	tree_discard(t);
	t->key = key;
	__atomic_store_n(&t->object, object, __ATOMIC_RELEASE); /* tree_has_object */
	secret_wipe(&key, sizeof key);
	return 0;
}

static void clean(struct tree *t, struct node *n)
{
	n->dirty = false;
	list_del(&n->in_dirty);
	t->n_dirty--;
	atomic_fetch_sub(t->dirty_pages, 1);
}

void tree_discard(struct tree *t)
{
	for (size_t l = 0; l < CL_ARRAY_LEN(t->dirty); l++)
		while (!list_empty(&t->dirty[l])) {
			struct node *n = list_item(t->dirty[l].next, struct node, in_dirty);
			clean(t, n);
			node_drop(t->nodes, n);
			node_put(t->nodes, n);
		}
	if (t->run.n)
		pagemap_drop_running(t->io->map, &t->run, t->object, 0, UINT64_MAX);
	tree_done(t);
	t->freed = t->root_fresh = false;
	t->fresh_gen = atomic_fetch_add(&next_gen, 1);
}

void tree_move(struct tree *dst, struct tree *src)
{
	tree_discard(dst);
	for (size_t l = 0; l < CL_ARRAY_LEN(src->dirty); l++)
		while (!list_empty(&src->dirty[l])) {
			struct list *first = src->dirty[l].next;
			list_del(first);
			list_add_tail(&dst->dirty[l], first);
		}
	pagemap_move_run(src->io->map, &dst->run, &src->run);
	dst->n_dirty = src->n_dirty;
	dst->height = src->height;
	dst->root = src->root;
	dst->root_fresh = src->root_fresh;
	dst->fresh_gen = src->fresh_gen;
	dst->freed = src->freed;
	dst->key = src->key;
	__atomic_store_n(&dst->object, src->object, __ATOMIC_RELEASE);
	src->n_dirty = 0;
	tree_discard(src);
}

void tree_done(struct tree *t)
{
	seal_key_wipe(&t->key);
	__atomic_store_n(&t->object, 0, __ATOMIC_RELEASE);
	t->height = 0;
	memset(&t->root, 0, sizeof t->root);
}

void tree_describe(const struct tree *t, struct tree_desc *ret)
{
	ret->object = t->object;
	ret->height = t->height;
	ret->root = t->root;
	if (t->object)
		memcpy(ret->key, t->key.key, SEAL_KEY_LEN);
	else
		memset(ret->key, 0, SEAL_KEY_LEN);
}

/* True iff a page (level, index) lies within what the tree covers now. */
static bool covers(const struct tree *t, uint32_t level, uint64_t index)
{
	return level <= t->height && (index >> (7 * (t->height - level))) == 0;
}

static bool is_fresh(const struct tree *t, const struct node *n, uint32_t slot)
{
	return n->fresh_gen == t->fresh_gen && (n->fresh[slot / 64] >> (slot % 64) & 1);
}

static void set_fresh(const struct tree *t, struct node *n, uint32_t slot, bool fresh)
{
	if (n->fresh_gen != t->fresh_gen) {
		n->fresh[0] = n->fresh[1] = 0;
		n->fresh_gen = t->fresh_gen;
	}
	uint64_t bit = (uint64_t)1 << (slot % 64);
	if (fresh)
		n->fresh[slot / 64] |= bit;
	else
		n->fresh[slot / 64] &= ~bit;
}

/* One level more. The old root, if it is cached, becomes the first child of the new one. */
static int grow(struct tree *t)
{
	if (t->height == PAGEIO_LEVELS)
		return -EFBIG;
	uint8_t *page = page_new();
	if (!page)
		return -ENOMEM;
	memcpy(page, &t->root, sizeof t->root);
	struct node *root = node_insert(t->nodes, t->object, t->height + 1u, 0, NULL, page);
	if (!root)
		return -ENOMEM;
	struct node *old = node_get(t->nodes, t->object, t->height, 0);
	if (old) {
		old->parent = root;
		node_hold(t->nodes, root);
		node_put(t->nodes, old);
	}
	if (t->height == 0 && t->root_fresh)
		set_fresh(t, root, 0, true);
	t->root_fresh = false;
	t->height++;
	tree_dirty(t, root);
	node_put(t->nodes, root);
	return 0;
}

/* Loads a page that is not cached, given its parent (whose reference is taken over; NULL for the root). */
static int load(struct tree *t, uint32_t level, uint64_t index, struct node *parent, bool create, struct node **ret)
{
	const struct seal_ref *ref = parent ? node_slot(parent, index) : &t->root;
	int err = 0;

	if (seal_ref_is_hole(ref) && !create) {
		node_put(t->nodes, parent);
		*ret = NULL;
		return 0;
	}
	uint8_t *page = page_new();
	if (!page) {
		node_put(t->nodes, parent);
		return -ENOMEM;
	}
	if (!seal_ref_is_hole(ref)) {
		struct seal_place place;
		place_of(t, level, index, &place);
		err = pageio_open(t->io, &t->key, &place, ref, page);
	}
	if (err) {
		page_free(page);
		node_put(t->nodes, parent);
		return err;
	}
	*ret = node_insert(t->nodes, t->object, level, index, parent, page);
	return *ret ? 0 : -ENOMEM;
}

int tree_node(struct tree *t, uint32_t level, uint64_t index, bool create, struct node **ret)
{
	struct node *n;
	uint32_t at;
	int err;

	*ret = NULL;
	if (t->object == 0)
		return create ? -EINVAL : 0;
	n = node_get(t->nodes, t->object, level, index);
	if (n) {
		*ret = n;
		return 0;
	}
	while (!covers(t, level, index)) {
		if (!create)
			return 0;
		err = grow(t);
		if (err)
			return err;
	}
	/* Up to the nearest cached ancestor, then down. */
	for (at = level + 1; at <= t->height; at++) {
		n = node_get(t->nodes, t->object, at, index >> (7 * (at - level)));
		if (n)
			break;
	}
	if (!n) {
		err = load(t, t->height, 0, NULL, create, &n);
		if (err || !n)
			return err;
		at = t->height;
	}
	while (at > level) {
		at--;
		struct node *child = node_get(t->nodes, t->object, at, index >> (7 * (at - level)));
		if (child) {
			node_put(t->nodes, n);
			n = child;
			continue;
		}
		err = load(t, at, index >> (7 * (at - level)), n, create, &child);
		if (err || !child)
			return err;
		n = child;
	}
	*ret = n;
	return 0;
}

void tree_put(struct tree *t, struct node *n)
{
	node_put(t->nodes, n);
}

void tree_dirty(struct tree *t, struct node *n)
{
	for (; n && !n->dirty; n = n->parent) {
		n->dirty = true;
		node_hold(t->nodes, n);
		list_add_tail(&t->dirty[n->level], &n->in_dirty);
		t->n_dirty++;
		atomic_fetch_add(t->dirty_pages, 1);
	}
}

int tree_get_refs(struct tree *t, uint64_t first, uint32_t n, struct seal_ref *ret)
{
	if (t->height == 0) {
		memset(ret, 0, n * sizeof *ret);
		if (first == 0 && n)
			*ret = t->root;
		return 0;
	}
	while (n) {
		uint32_t at = (uint32_t)(first % PAGEIO_FANOUT);
		uint32_t run = CL_MIN(n, PAGEIO_FANOUT - at);
		struct node *node;
		int err = tree_node(t, 1, first / PAGEIO_FANOUT, false, &node);
		if (err)
			return err;
		if (node)
			memcpy(ret, node_slot(node, at), run * sizeof *ret);
		else
			memset(ret, 0, run * sizeof *ret);
		node_put(t->nodes, node);
		ret += run;
		first += run;
		n -= run;
	}
	return 0;
}

int tree_set_refs(struct tree *t, uint64_t first, uint32_t n, const struct seal_ref *refs, bool fresh, struct seal_ref *old,
		  uint64_t *io_stored)
{
	struct node *nodes[TREE_SET_MAX / PAGEIO_FANOUT + 2];
	uint32_t n_nodes = 0;
	int err = 0;

	if (first + n > TREE_LEAVES_MAX)
		return -EFBIG;
	if (n == 0 || n > TREE_SET_MAX)
		return n ? -EINVAL : 0;
	if (t->height == 0 && first == 0 && n == 1) {
		*io_stored += seal_ref_is_hole(&t->root);
		if (old)
			*old = t->root;
		t->root = *refs;
		t->root_fresh = fresh;
		return 0;
	}
	while (!err && (t->height == 0 || !covers(t, 0, first + n - 1)))
		err = grow(t);
	/* All that can fail, then all that changes. */
	for (uint64_t i = first / PAGEIO_FANOUT; !err && i <= (first + n - 1) / PAGEIO_FANOUT; i++) {
		err = tree_node(t, 1, i, true, &nodes[n_nodes]);
		n_nodes += !err;
	}
	for (uint32_t k = 0; k < n_nodes && !err; k++) {
		uint32_t at = (uint32_t)(first % PAGEIO_FANOUT);
		uint32_t run = CL_MIN(n, PAGEIO_FANOUT - at);
		struct node *node = nodes[k];
		tree_dirty(t, node);
		for (uint32_t i = 0; i < run; i++) {
			if (seal_ref_is_hole(node_slot(node, at + i)))
				++*io_stored;
			set_fresh(t, node, at + i, fresh);
		}
		if (old) {
			memcpy(old, node_slot(node, at), run * sizeof *old);
			old += run;
		}
		memcpy(node_slot(node, at), refs, run * sizeof *refs);
		refs += run;
		first += run;
		n -= run;
	}
	while (n_nodes)
		node_put(t->nodes, nodes[--n_nodes]);
	return err;
}

int tree_run_kind(struct tree *t, uint64_t first, uint32_t n, bool *ret_home, uint32_t *ret_n)
{
	bool mentioned = pagemap_has_object(t->io->map, t->object);
	struct node *node = NULL;
	uint64_t node_index = UINT64_MAX;
	uint32_t i;

	for (i = 0; i < n; i++) {
		uint64_t leaf = first + i;
		if (t->height && leaf / PAGEIO_FANOUT != node_index) {
			node_put(t->nodes, node);
			node_index = leaf / PAGEIO_FANOUT;
			int err = tree_node(t, 1, node_index, false, &node);
			if (err)
				return err;
		}
		uint32_t slot = (uint32_t)(leaf % PAGEIO_FANOUT);
		/* A hole may be one that the committed state still references: freed since, it must not be overwritten. */
		bool alone = t->height == 0 && leaf == 0;
		bool home = (!t->freed || !RULE(RULE_FREED_IS_USED)) && (alone ? seal_ref_is_hole(&t->root) : !node || seal_ref_is_hole(node_slot(node, slot)));
		home = home || !RULE(RULE_OLD_THROUGH_JOURNAL);
		if (home && mentioned && RULE(RULE_OLD_THROUGH_JOURNAL))
			home = !pagemap_mentions(t->io->map, t->object, pageio_lower_leaf(leaf));
		if (i == 0)
			*ret_home = home;
		else if (home != *ret_home)
			break;
	}
	node_put(t->nodes, node);
	*ret_n = i;
	return 0;
}

/* Takes a child that is to become a hole out of the cache, dirty or not. Its own children are gone already. */
static void forget_child(struct tree *t, struct node *child)
{
	if (child->dirty) {
		clean(t, child);
		node_put(t->nodes, child);
	}
	node_drop(t->nodes, child);
	node_put(t->nodes, child);
}

static int zero_below(struct tree *t, uint32_t level, uint64_t index, uint64_t first, uint64_t last, uint64_t *io_stored)
{
	struct node *n;
	int err = tree_node(t, level, index, false, &n);
	if (err || !n)
		return err;
	unsigned shift = 7 * (level - 1);
	uint64_t from = CL_MAX(first >> shift, index * PAGEIO_FANOUT);
	uint64_t to = CL_MIN(last >> shift, index * PAGEIO_FANOUT + PAGEIO_FANOUT - 1);

	for (uint64_t c = from; c <= to && !err; c++) {
		struct seal_ref *slot = node_slot(n, c);
		if (level == 1) {
			if (!seal_ref_is_hole(slot)) {
				tree_dirty(t, n);
				memset(slot, 0, sizeof *slot);
				if (!is_fresh(t, n, (uint32_t)(c % PAGEIO_FANOUT)))
					t->freed = true;
				set_fresh(t, n, (uint32_t)(c % PAGEIO_FANOUT), false);
				--*io_stored;
			}
			continue;
		}
		struct node *child = node_get(t->nodes, t->object, level - 1, c);
		if (!child && seal_ref_is_hole(slot))
			continue;
		node_put(t->nodes, child);
		err = zero_below(t, level - 1, c, first, last, io_stored);
		bool whole = (c << shift) >= first && ((c + 1) << shift) - 1 <= last;
		if (!whole)
			continue;
		/* A subtree that cannot be read is given up with the range: its pages are no longer wanted. */
		if (err == -EBADMSG || err == -EUCLEAN)
			err = 0;
		if (err)
			break;
		child = node_get(t->nodes, t->object, level - 1, c);
		tree_dirty(t, n);
		t->freed = true; /* the index page itself, at least */
		if (child)
			forget_child(t, child);
		memset(slot, 0, sizeof *slot);
	}
	node_put(t->nodes, n);
	return err;
}

int tree_zero(struct tree *t, uint64_t first, uint64_t last, uint64_t *io_stored)
{
	if (t->object == 0 || first > last)
		return 0;
	last = CL_MIN(last, TREE_LEAVES_MAX - 1);
	if (first > last)
		return 0;
	if (t->height) {
		int err = zero_below(t, t->height, 0, first, last, io_stored);
		if (err)
			return err; /* leaves that still have a ref need their running version */
	} else if (first == 0 && !seal_ref_is_hole(&t->root)) {
		t->freed = t->freed || !t->root_fresh;
		t->root_fresh = false;
		memset(&t->root, 0, sizeof t->root);
		--*io_stored;
	}
	if (t->run.n)
		pagemap_drop_running(t->io->map, &t->run, t->object, pageio_lower_leaf(first), pageio_lower_leaf(last));
	return 0;
}

/* Result in *ret, or limit when the subtree has none. */
static int next_below(struct tree *t, uint32_t level, uint64_t index, uint64_t from, uint64_t limit, bool hole, uint64_t *ret)
{
	struct node *n;
	unsigned shift = 7 * (level - 1);
	uint64_t end = CL_MIN(limit, (index + 1) << (7 * level));
	int err = tree_node(t, level, index, false, &n);

	if (err)
		return err;
	uint64_t start = CL_MAX(from, index << (7 * level));
	*ret = limit;
	if (!n) {
		if (hole && start < end)
			*ret = start;
		return 0;
	}
	for (uint64_t c = start >> shift; (c << shift) < end && *ret == limit && !err; c++) {
		if (level == 1) {
			if (seal_ref_is_hole(node_slot(n, c)) == hole)
				*ret = c;
			continue;
		}
		struct node *child = node_get(t->nodes, t->object, level - 1, c);
		bool empty = !child && seal_ref_is_hole(node_slot(n, c));
		node_put(t->nodes, child);
		if (empty && !hole)
			continue;
		err = next_below(t, level - 1, c, from, limit, hole, ret);
	}
	node_put(t->nodes, n);
	return err;
}

int tree_next(struct tree *t, uint64_t from, uint64_t limit, bool hole, uint64_t *ret)
{
	uint64_t covered = t->object ? (uint64_t)1 << (7 * t->height) : 0;

	*ret = limit;
	if (from >= limit)
		return 0;
	if (t->height == 0 && from < covered) {
		if (seal_ref_is_hole(&t->root) == hole) {
			*ret = from;
			return 0;
		}
		from = covered;
	}
	if (from < covered) {
		uint64_t inner = CL_MIN(limit, covered);
		int err = next_below(t, t->height, 0, from, inner, hole, ret);
		if (err)
			return err;
		if (*ret < inner)
			return 0;
	}
	/* Behind what the tree covers all is hole. */
	*ret = hole ? CL_MIN(limit, CL_MAX(from, covered)) : limit;
	return 0;
}

int tree_seal(struct tree *t, tree_emit_fn *emit, void *arg)
{
	for (uint32_t level = 0; level < CL_ARRAY_LEN(t->dirty); level++)
		while (!list_empty(&t->dirty[level])) {
			struct node *n = list_item(t->dirty[level].next, struct node, in_dirty);
			struct seal_ref *ref = n->parent ? node_slot(n->parent, n->index) : &t->root;
			if (bytes_are_zero(n->page, CL_PAGE)) {
				memset(ref, 0, sizeof *ref);
			} else {
				struct pagebuf *buf = pagemap_get_buf(t->io->map);
				struct seal_place place;
				if (!buf)
					return -ENOMEM;
				place_of(t, level, n->index, &place);
				int err = seal_pages(t->io->source, &t->key, &place, n->page, buf->data, ref, 1);
				if (err) {
					pagemap_put_buf(t->io->map, buf);
					return err;
				}
				err = emit(arg, t->object,
					   level ? pageio_lower_node(level, n->index) : pageio_lower_leaf(n->index), buf);
				if (err)
					return err;
			}
			clean(t, n);
			node_put(t->nodes, n);
		}
	t->fresh_gen = atomic_fetch_add(&next_gen, 1);
	t->freed = t->root_fresh = false;
	return 0;
}
