/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Repair: the inode table, both bitmaps, and the root page's counts. */
#include "fs/repair.h"

#include "common/secret.h"
#include "fs/inode_private.h"
#include "fs/txn.h"

#include <string.h>
#include <sys/stat.h>

#define BITS_PER_PAGE ((uint64_t)CL_PAGE * 8)

int repair_next_object(struct check_comp *cc, const struct repair *r)
{
	struct comp *c = cc->c;

	pthread_mutex_lock(&c->alloc);
	if (c->next_object < r->a)
		c->next_object = r->a;
	pthread_mutex_unlock(&c->alloc);
	repair_note(cc, "the next is %llu now", (unsigned long long)c->next_object);
	return 0;
}

int repair_commit(struct check_comp *cc, const struct repair *r)
{
	/* Opening and closing for writing has written both copies. */
	(void)r;
	repair_note(cc, "written again");
	return 0;
}

int repair_table(struct check_comp *cc, const struct repair *r)
{
	uint64_t ignored = 0;
	int err = txn_begin_kind(cc->c, ROOM_GIVE);

	if (err)
		return err;
	err = repair_make_hole(&cc->c->itable, r->a, r->b, &ignored);
	txn_end(cc->c);
	repair_note(cc, "the inodes are lost");
	return err;
}

/* The bytes of a record in its page of the table, which is marked to be written. The inode is not in memory. */
static int record_of(struct check_comp *cc, uint64_t ino, struct node **ret_page, uint8_t **ret)
{
	int err = tree_node(&cc->c->itable, 0, ino / INODE_PER_PAGE, false, ret_page);

	if (!err && !*ret_page)
		err = -ENOENT;
	if (err)
		return err;
	tree_dirty(&cc->c->itable, *ret_page);
	*ret = (*ret_page)->page + ino % INODE_PER_PAGE * INODE_RECORD;
	return 0;
}

/* A free record keeps the generation alone. */
static void clear(uint8_t *record)
{
	uint8_t generation[4];

	memcpy(generation, record + 28, sizeof generation);
	memset(record, 0, INODE_RECORD);
	memcpy(record + 28, generation, sizeof generation);
}

int repair_free_record(struct check_comp *cc, const struct repair *r)
{
	struct node *page;
	uint8_t *record;
	int err = txn_begin_kind(cc->c, ROOM_CHANGE);

	if (err)
		return err;
	for (uint64_t ino = r->a; ino <= r->b && !err; ino++) {
		err = record_of(cc, ino, &page, &record);
		if (err)
			break;
		clear(record);
		tree_put(&cc->c->itable, page);
	}
	txn_end(cc->c);
	repair_note(cc, "cleared");
	return err;
}

/*
 * What is wrong in a record may not be all that is wrong: a mode, an owner. So a file is kept where only root comes,
 * and a directory for its owner alone.
 */
static int keep_away(struct check_comp *cc, uint64_t ino)
{
	char path[REPAIR_PATH_MAX];
	struct inode *i;
	int err = repair_begin_kind(cc, ROOM_NEW, ino, &i);

	if (err)
		return err;
	i->mode &= S_IFMT | 0700u;
	if (S_ISDIR(i->mode)) {
		repair_note(cc, "what makes sense of it is kept; its mode is %04o now", i->mode & 07777);
		return repair_end(i, 0);
	}
	err = repair_put_lost(cc, i, path);
	repair_note(cc, "what makes sense of it is kept: it is %s now", path);
	return repair_end(i, err);
}

/* Takes a record out, or with put puts it back. */
static int move_record(struct check_comp *cc, uint64_t ino, uint8_t copy[static INODE_RECORD], bool put)
{
	struct node *page;
	uint8_t *record;
	int err = txn_begin_kind(cc->c, ROOM_CHANGE);

	if (err)
		return err;
	err = record_of(cc, ino, &page, &record);
	if (!err) {
		memcpy(put ? record : copy, put ? copy : record, INODE_RECORD);
		tree_put(&cc->c->itable, page);
	}
	txn_end(cc->c);
	return err;
}

int repair_record(struct check_comp *cc, const struct repair *r)
{
	uint8_t copy[INODE_RECORD];
	le32 mode;
	int err = move_record(cc, r->ino, copy, false);

	if (err)
		return err;
	bool kept = inode_mend(copy);
	memcpy(&mode, copy, sizeof mode);
	if (!kept)
		clear(copy);
	/* Names go first: what is mended can be opened. */
	else if (!S_ISDIR(le32_get(mode)))
		err = repair_remove_names(cc, &r->ino, 1);
	if (!err)
		err = move_record(cc, r->ino, copy, true);
	secret_wipe(copy, sizeof copy);
	if (!err && kept)
		return keep_away(cc, r->ino);
	repair_note(cc, "it is free now, the file is lost");
	return err;
}

int repair_root_dir(struct check_comp *cc, const struct repair *r)
{
	struct inode *i;
	int err = txn_begin_kind(cc->c, ROOM_NEW);

	(void)r;
	if (err)
		return err;
	err = inode_insert_new(cc->c, INODE_ROOT, S_IFDIR, &i);
	if (!err) {
		i->mode = S_IFDIR | 0700;
		i->nlink = 2;
		i->parent = INODE_ROOT;
		i->atime = i->mtime = i->ctime = i->btime = inode_now();
		err = inode_dirty(i);
		inode_put(i);
	}
	txn_end(cc->c);
	repair_note(cc, "a new one is made, for root alone");
	return err;
}

int repair_bitmap(struct check_comp *cc, const struct repair *r)
{
	uint64_t ignored = 0;
	int err = txn_begin_kind(cc->c, ROOM_GIVE);

	if (err)
		return err;
	err = repair_make_hole(r->ino == PAGEIO_OBJ_ORPHANS ? &cc->c->orphans : &cc->c->ibitmap, r->a, r->b, &ignored);
	txn_end(cc->c);
	repair_note(cc, "made anew from the inode table");
	return err;
}

/* Bits of one page of both bitmaps, as the table has them. */
struct bits {
	uint8_t used[CL_PAGE], orphans[CL_PAGE];
	uint64_t n_used, n_orphans, limit;
};

static int bits_of(struct comp *c, uint64_t page, struct bits *b)
{
	uint64_t first = page * BITS_PER_PAGE / INODE_PER_PAGE;

	memset(b->used, 0, CL_PAGE);
	memset(b->orphans, 0, CL_PAGE);
	for (uint64_t p = first; p < first + BITS_PER_PAGE / INODE_PER_PAGE; p++) {
		struct node *n;
		int err = tree_node(&c->itable, 0, p, false, &n);
		if (err)
			return err;
		for (uint64_t i = 0; n && i < INODE_PER_PAGE; i++) {
			le32 mode, nlink;
			uint64_t ino = p * INODE_PER_PAGE + i, at = ino % BITS_PER_PAGE;
			memcpy(&mode, n->page + i * INODE_RECORD, sizeof mode);
			memcpy(&nlink, n->page + i * INODE_RECORD + 8, sizeof nlink);
			if (le32_get(mode) == 0)
				continue;
			b->used[at / 8] |= (uint8_t)(1u << (at % 8));
			if (le32_get(nlink) == 0)
				b->orphans[at / 8] |= (uint8_t)(1u << (at % 8));
			b->n_used++;
			b->limit = CL_MAX(b->limit, ino + 1);
		}
		tree_put(&c->itable, n);
	}
	return 0;
}

/* orphans: only a bit that was 1 stays so: an inode without links that is not on the list is not freed unseen. */
static int set_page(struct tree *t, uint64_t page, uint8_t *bits, bool only_less, uint64_t *count)
{
	struct node *n;
	int err = tree_node(t, 0, page, false, &n);

	if (err)
		return err;
	for (unsigned i = 0; i < CL_PAGE && only_less; i++)
		bits[i] &= n ? n->page[i] : 0;
	if (!n && !bytes_are_zero(bits, CL_PAGE))
		err = tree_node(t, 0, page, true, &n);
	if (!err && n && memcmp(n->page, bits, CL_PAGE)) {
		tree_dirty(t, n);
		memcpy(n->page, bits, CL_PAGE);
	}
	if (!err)
		tree_put(t, n);
	for (unsigned i = 0; i < CL_PAGE; i++)
		*count += (unsigned)__builtin_popcount(bits[i]);
	return err;
}

int repair_counts(struct check_comp *cc, const struct repair *r)
{
	struct comp *c = cc->c;
	struct bits b = { .limit = 0 };
	uint64_t used = 0, orphans = 0;
	/* What is counted must be in the table's pages, not only in inodes in memory. */
	int err = txn_commit(c, NULL, false);

	(void)r;
	if (!err)
		err = txn_begin_kind(c, ROOM_CHANGE);
	if (err)
		return err;
	uint64_t end = CL_MAX(c->inode_limit, cc->n_inodes ? check_ino(&cc->inodes[cc->n_inodes - 1]) + 1 : 0);
	uint64_t pages = end / BITS_PER_PAGE + 1, ignored = 0;
	for (uint64_t p = 0; p < pages && !err; p++) {
		err = bits_of(c, p, &b);
		if (!err)
			err = set_page(&c->ibitmap, p, b.used, false, &used);
		if (!err)
			err = set_page(&c->orphans, p, b.orphans, true, &orphans);
	}
	/* Bits behind the last inode mean nothing. */
	if (!err)
		err = tree_zero(&c->ibitmap, pages, TREE_LEAVES_MAX - 1, &ignored);
	if (!err)
		err = tree_zero(&c->orphans, pages, TREE_LEAVES_MAX - 1, &ignored);
	if (!err) {
		c->inodes_used = used;
		c->n_orphans = orphans;
		c->inode_limit = CL_MAX(c->inode_limit, b.limit);
		c->inode_hint = 1;
	}
	txn_end(c);
	repair_note(cc, "set as the inode table has it");
	return err;
}
