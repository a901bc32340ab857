/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Finds out what each page is: through the trees of both compartments, and the records of their journals. */
#include "tests/evil/places.h"

#include "common/bytes.h"
#include "fs/comp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

const char *const place_names[PLACE_KINDS] = {
	"unused",         "older than the journal's",
	"lease",          "root page",
	"journal header", "journal record",
	"journal's last", "journal, behind the end",
	"of two copies",  "of one copy",
	"of an orphan",
};

/* While they are found. */
struct finding {
	struct places *p;
	const struct image *im;
	const struct scene_state *state;
	struct comp *c;
	int comp;
};

#define MUST(x)                                                                         \
	do {                                                                            \
		int r_ = (x);                                                           \
		if (r_) {                                                               \
			fprintf(stderr, "%s:%d: %s: %d\n", __FILE__, __LINE__, #x, r_); \
			abort();                                                        \
		}                                                                       \
	} while (0)

static struct place *place_of(struct finding *f, const char *name, uint64_t page)
{
	for (size_t i = 0; i < f->im->n; i++)
		if (f->p[i].file->comp == f->comp && !strcmp(f->p[i].file->name, name))
			return page < f->p[i].n ? &f->p[i].pages[page] : NULL;
	return NULL;
}

static struct scene_loss *losses(struct place *p)
{
	if (!p->loss)
		p->loss = calloc(SCENE_ENTRIES, sizeof *p->loss);
	if (!p->loss)
		abort();
	return p->loss;
}

/* What the loss of leaves first .. last of an inode's contents, or (xattr) of its attributes, costs. */
static void cost_of_leaves(struct finding *f, struct place *p, uint64_t ino, bool xattr, uint64_t first, uint64_t last)
{
	for (size_t i = 0; i < f->state->n; i++) {
		const struct scene_entry *e = &f->state->e[i];
		if (e->attr.ino != ino || e->alias)
			continue;
		struct scene_loss *l = &losses(p)[i];
		p->entry = (int)i;
		if (xattr) {
			l->xattr = true;
		} else if (S_ISLNK(e->attr.mode)) {
			l->link = true;
		} else if (S_ISDIR(e->attr.mode)) {
			l->list = true;
		} else {
			l->data = true;
			l->first = (int)first;
			l->last = (int)CL_MIN(last, (uint64_t)SCENE_PAGES_MAX);
		}
	}
}

/* Names on a page of a directory: each that is lost takes along what is below it. */
static void cost_of_names(struct finding *f, struct place *p, const uint8_t *page)
{
	struct scene_loss *l = losses(p);

	for (unsigned off = 16, len; off < CL_PAGE; off += len) {
		le64 ino;
		le16 n;
		memcpy(&ino, page + off, 8);
		memcpy(&n, page + off + 8, 2);
		len = le16_get(n);
		if (!len)
			break;
		for (size_t i = 0; i < f->state->n && le64_get(ino); i++)
			if (f->state->e[i].parent == p->entry && strlen(f->state->e[i].name) == page[off + 11] &&
			    !memcmp(f->state->e[i].name, page + off + 12, page[off + 11]))
				l[i].lookup = true;
	}
}

/* One page that a ref leads to. */
static void enter(struct finding *f, struct tree *t, uint32_t level, uint64_t index, uint64_t ino, bool xattr)
{
	uint64_t lower = level ? pageio_lower_node(level, index) : pageio_lower_leaf(index);
	unsigned shift = 7 * level;
	char name[STORE_NAME_MAX];
	uint8_t page[CL_PAGE];

	for (unsigned copy = 0; copy < pageio_copies(t->object); copy++) {
		pageio_name(t->object, copy, name);
		struct place *p = place_of(f, name, lower);
		if (pagemap_read(f->c->io.map, t->object, lower, page)) {
			if (p) /* else it has never been home */
				p->kind = PLACE_OLDER;
			continue;
		}
		if (!p) {
			fprintf(stderr, "%s has no page %llu\n", name, (unsigned long long)lower);
			abort();
		}
		p->kind = pageio_has_copy(t->object) ? PLACE_TWICE : PLACE_ONCE;
		if (pageio_has_copy(t->object))
			continue;
		cost_of_leaves(f, p, ino, xattr, index << shift, ((index + 1) << shift) - 1);
		if (!p->loss)
			p->kind = PLACE_ORPHAN;
		if (p->entry < 0 || !S_ISDIR(f->state->e[p->entry].attr.mode) || xattr)
			continue;
		/* An index page loses the names of all pages below it. */
		for (uint64_t leaf = index << shift; leaf < (index + 1) << shift; leaf++) {
			struct node *n = NULL;
			MUST(tree_node(t, 0, leaf, false, &n));
			if (n)
				cost_of_names(f, p, n->page);
			tree_put(t, n);
		}
	}
}

static void walk(struct finding *f, struct tree *t, uint32_t level, uint64_t index, uint64_t ino, bool xattr)
{
	struct node *n = NULL;

	enter(f, t, level, index, ino, xattr);
	if (!level)
		return;
	MUST(tree_node(t, level, index, false, &n));
	if (!n)
		abort();
	for (uint64_t i = 0; i < PAGEIO_FANOUT; i++)
		if (!seal_ref_is_hole(node_slot(n, index * PAGEIO_FANOUT + i)))
			walk(f, t, level - 1, index * PAGEIO_FANOUT + i, ino, xattr);
	tree_put(t, n);
}

static void walk_tree(struct finding *f, struct tree *t, uint64_t ino, bool xattr)
{
	if (t->object && !seal_ref_is_hole(&t->root))
		walk(f, t, t->height, 0, ino, xattr);
}

static void find_trees(struct finding *f, uint64_t rank)
{
	walk_tree(f, &f->c->itable, 0, false);
	walk_tree(f, &f->c->ibitmap, 0, false);
	walk_tree(f, &f->c->orphans, 0, false);
	for (uint64_t ino = 1; ino < f->c->inode_limit; ino++) {
		struct inode *i;
		int err = inode_get(f->c, ino, &i);
		if (err == -ENOENT)
			continue;
		MUST(err);
		walk_tree(f, &i->data, rank << 48 | ino, false);
		walk_tree(f, &i->xattr, rank << 48 | ino, true);
		inode_put(i);
	}
}

static uint64_t number(const struct image_file *j, uint64_t off, unsigned n)
{
	uint8_t b[8] = { 0 };
	uint64_t v = 0;

	image_read(j, b, n, off);
	while (n)
		v = v << 8 | b[--n];
	return v;
}

/* Records from the tail on, by doc/FORMAT section 8; all of them are whole here. */
static void find_records(struct finding *f, const struct image_file *j)
{
	uint64_t ring = number(j, 32, 8), at = number(j, 40, 8), seq = number(j, 48, 8), last = UINT64_MAX, n = 0;

	for (uint64_t p = 0; p < ring + 2; p++)
		place_of(f, "journal", p)->kind = p < 2 ? PLACE_HEADER : PLACE_RING;
	for (uint64_t used = 0; used < ring; used += n, at = (at + n) % ring, seq++) {
		uint64_t head = (2 + at) * CL_PAGE;
		char magic[8] = "";
		image_read(j, magic, sizeof magic, head);
		if (memcmp(magic, "CLOISONT", 8) != 0 || number(j, head + 8, 8) != seq)
			break;
		last = at;
		n = number(j, head + 32, 4);
		for (uint64_t k = 0; k < n; k++)
			place_of(f, "journal", 2 + (at + k) % ring)->kind = PLACE_RECORD;
	}
	for (uint64_t k = 0; k < n && last != UINT64_MAX; k++)
		place_of(f, "journal", 2 + (last + k) % ring)->kind = PLACE_LAST;
}

static void find_in(struct finding *f, const struct scene *s, struct store *store)
{
	const struct fs_config cfg = { .read_only = true, .no_threads = true };
	struct fault why = { 0 };
	uint8_t page[CL_PAGE];

	if (comp_open(store, &s->comps[f->comp], false, &cfg, &f->c, &why)) {
		fprintf(stderr, "%s\n", why.text);
		abort();
	}
	find_trees(f, (uint64_t)f->comp);
	place_of(f, "root", 0)->kind = PLACE_ROOT;
	place_of(f, "root.copy", 0)->kind = PLACE_ROOT;
	if (pagemap_read(f->c->io.map, PAGEIO_OBJ_ROOT, 0, page))
		place_of(f, "root", 0)->kind = place_of(f, "root.copy", 0)->kind = PLACE_OLDER;
	if (place_of(f, "lease", 0))
		place_of(f, "lease", 0)->kind = PLACE_LEASE;
	find_records(f, image_find(f->im, f->comp, "journal"));
	comp_free(f->c);
}

struct places *places_find(const struct scene *s, struct image *im, const struct scene_state *state)
{
	struct places *p = calloc(im->n, sizeof *p);
	struct store *store = image_store(im);

	if (!p)
		abort();
	for (size_t i = 0; i < im->n; i++) {
		p[i].file = im->files[i];
		p[i].n = im->files[i]->n_pages;
		p[i].pages = calloc(p[i].n + 1, sizeof(struct place));
		if (!p[i].pages)
			abort();
		for (size_t k = 0; k < p[i].n; k++)
			p[i].pages[k].entry = -1;
	}
	for (int comp = 0; comp < (int)IMAGE_COMPS; comp++)
		find_in(&(struct finding){ p, im, state, NULL, comp }, s, store);
	store->ops->free(store);
	return p;
}

void places_free(struct places *p, const struct image *im)
{
	for (size_t i = 0; i < im->n; i++) {
		for (size_t k = 0; k < p[i].n; k++)
			free(p[i].pages[k].loss);
		free(p[i].pages);
	}
	free(p);
}
