/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Edits of plaintext, by way of the engine's own trees and commits. */
#include "tests/fuzz/plant.h"

#include "fs/txn.h"
#include "tests/fuzz/reseal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

unsigned plant_read(struct fuzz_in *in, struct plant p[static PLANT_MAX])
{
	unsigned n = fuzz_u8(in) % (PLANT_MAX + 1);

	for (unsigned k = 0; k < n; k++) {
		size_t len;
		p[k].kind = fuzz_u8(in);
		p[k].inode = fuzz_u8(in);
		p[k].page = fuzz_u8(in);
		len = fuzz_u8(in);
		p[k].off = fuzz_u16(in);
		p[k].value = fuzz_u16(in);
		p[k].data = fuzz_bytes(in, len, &len);
		p[k].len = (uint8_t)len;
	}
	return n;
}

void plant_put(struct fuzz_out *o, const struct plant *p)
{
	fuzz_put_u8(o, p->kind);
	fuzz_put_u8(o, p->inode);
	fuzz_put_u8(o, p->page);
	fuzz_put_u8(o, p->len);
	fuzz_put_u16(o, p->off);
	fuzz_put_u16(o, p->value);
	fuzz_put_bytes(o, p->data, p->len);
}

static enum plant_kind kind_of(const struct plant *p)
{
	return (p->kind & 0x7f) % PLANT_KINDS;
}

static unsigned rank_of(const struct plant *p)
{
	return p->kind & PLANT_UPPER ? 1 : 0;
}

static uint64_t ino_of(const struct plant *p)
{
	return 1 + p->inode % (p->kind & PLANT_UPPER ? 2 : DISK_INODES);
}

static void write_bytes(uint8_t *base, size_t size, const struct plant *p)
{
	size_t off = p->off % size;

	if (p->len)
		memcpy(base + off, p->data, CL_MIN(p->len, size - off));
}

/* A page of a tree as the edit says; what is not there is left alone, unless it is to be made. */
static void edit_node(struct tree *t, uint32_t level, uint64_t index, bool create, const struct plant *p)
{
	struct node *n;

	if (!t->object)
		return;
	int err = tree_node(t, level, index, create, &n);
	FUZZ_ERROR(err, -EBADMSG); /* an edit before may have cut it off */
	if (err || !n)
		return;
	tree_dirty(t, n);
	if (kind_of(p) == PLANT_COPY)
		*node_slot(n, p->off) = *node_slot(n, p->value);
	else
		write_bytes(n->page, CL_PAGE, p);
	tree_put(t, n);
}

static void edit_page(struct comp *c, const struct plant *p)
{
	struct inode *i;
	uint32_t level;

	FUZZ_OK(inode_get(c, ino_of(p), &i));
	FUZZ_OK(inode_dirty(i));
	switch (kind_of(p)) {
	case PLANT_PAGE:
		edit_node(&i->data, 0, p->page % 8, true, p);
		break;
	case PLANT_XATTR:
		edit_node(&i->xattr, 0, p->page % 2, false, p);
		break;
	default:
		level = kind_of(p) == PLANT_COPY ? 1 + p->len % 3 : 1 + p->value % 3;
		edit_node(&i->data, level, (uint64_t)p->page >> (7 * (level - 1)), false, p);
		break;
	}
	inode_put(i);
}

/* The record in its page of the table. */
static uint8_t *record(struct comp *c, uint64_t ino, struct node **ret)
{
	FUZZ_OK(tree_node(&c->itable, 0, ino / INODE_PER_PAGE, true, ret));
	tree_dirty(&c->itable, *ret);
	return (*ret)->page + ino % INODE_PER_PAGE * INODE_RECORD;
}

static void edit_table(struct comp *c, const struct plant *p)
{
	enum { TREE = 88, TREE_LEN = 88 };
	struct node *n, *from;
	uint8_t *r;

	switch (kind_of(p)) {
	case PLANT_INODE:
		write_bytes(record(c, ino_of(p), &n), INODE_RECORD, p);
		tree_put(&c->itable, n);
		break;
	case PLANT_TREE:
		r = record(c, ino_of(p), &n);
		memmove(r + TREE, record(c, 1 + p->value % DISK_INODES, &from) + TREE, TREE_LEN);
		tree_put(&c->itable, n);
		tree_put(&c->itable, from);
		break;
	case PLANT_IBITMAP:
		edit_node(&c->ibitmap, 0, p->page % 2, true, p);
		break;
	case PLANT_ORPHANS:
		edit_node(&c->orphans, 0, p->page % 2, true, p);
		break;
	default:
		break;
	}
}

/* First the pages, by their inodes; what the records say of them is made by that commit, and edited after it. */
static void edit_inside(struct disk *d, unsigned rank, const struct plant *p, unsigned n, bool crash)
{
	struct comp *c = disk_open(d, rank);

	FUZZ_OK(txn_begin(c));
	for (unsigned k = 0; k < n; k++)
		if (rank_of(&p[k]) == rank && kind_of(&p[k]) >= PLANT_PAGE && kind_of(&p[k]) <= PLANT_COPY)
			edit_page(c, &p[k]);
	txn_end(c);
	FUZZ_OK(txn_commit(c, NULL, false));
	FUZZ_OK(txn_begin(c));
	for (unsigned k = 0; k < n; k++)
		if (rank_of(&p[k]) == rank)
			edit_table(c, &p[k]);
	txn_end(c);
	FUZZ_OK(txn_commit(c, NULL, !crash));
	if (!crash)
		FUZZ_OK(txn_checkpoint(c));
	comp_free(c);
}

static void edit_root(struct disk *d, unsigned rank, const struct plant *p, unsigned n)
{
	uint8_t raw[CL_PAGE], plain[RESEAL_PLAIN];
	struct store *s = disk_folder(d, rank);
	bool any = false;

	reseal_open(s, &d->c[rank], raw, plain);
	for (unsigned k = 0; k < n; k++) {
		if (rank_of(&p[k]) != rank || kind_of(&p[k]) != PLANT_ROOT)
			continue;
		write_bytes(plain, sizeof plain, &p[k]);
		any = true;
	}
	if (any) {
		reseal_root(&d->c[rank], raw, plain);
		disk_write(s, "root", raw, sizeof raw);
		disk_write(s, "root.copy", raw, sizeof raw);
	}
	s->ops->free(s);
}

static void edit_lower(struct disk *d, const struct plant *p)
{
	static const char *const names[] = { "journal", "root", "root.copy", "01/0000000000000001",
					     "01/0000000000000001.copy" };
	char name[STORE_NAME_MAX];
	struct store *s = disk_folder(d, rank_of(p));
	struct store_file *f;
	size_t len = CL_MIN(p->len, CL_PAGE - p->off % CL_PAGE);

	if (p->inode < CL_ARRAY_LEN(names))
		snprintf(name, sizeof name, "%s", names[p->inode]);
	else
		pageio_name(PAGEIO_OBJ_FIRST + p->inode % 32, 0, name);
	if (!s->ops->open(s, name, STORE_RDWR, &f)) {
		if (len)
			FUZZ_OK(s->ops->pwrite(s, f, p->data, len, (uint64_t)p->page * CL_PAGE + p->off % CL_PAGE));
		else
			FUZZ_OK(s->ops->truncate(s, f, (uint64_t)p->page * CL_PAGE));
		s->ops->close(s, f);
	}
	s->ops->free(s);
}

void plant_all(struct disk *d, const struct plant *p, unsigned n, bool crash)
{
	for (unsigned rank = 0; rank < DISK_LABELS; rank++) {
		edit_inside(d, rank, p, n, crash);
		edit_root(d, rank, p, n);
	}
	for (unsigned k = 0; k < n; k++)
		if (kind_of(&p[k]) == PLANT_LOWER)
			edit_lower(d, &p[k]);
}
