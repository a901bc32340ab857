/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Inodes: allocation, change, freeing, page ranges. */
#include "fs/inode.h"

#include "common/log.h"
#include "fs/comp.h"
#include "fs/inode_private.h"
#include "fs/txn.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define BITS_PER_PAGE ((uint64_t)CL_PAGE * 8)

struct timespec inode_now(void)
{
	struct timespec t;
	/* As the kernel stamps its own inodes: a finer clock would make it send its own time after each of our changes. */
	clock_gettime(CLOCK_REALTIME_COARSE, &t);
	return t;
}

void inode_attr(const struct inode *i, struct fs_attr *ret)
{
	*ret = (struct fs_attr){
		.ino = (uint64_t)i->comp->rank << 48 | i->ino,
		.generation = i->generation,
		.mode = i->mode,
		.nlink = i->nlink,
		.uid = i->uid,
		.gid = i->gid,
		.rdev_major = i->rdev_major,
		.rdev_minor = i->rdev_minor,
		.size = i->size,
		.blocks = i->stored * (CL_PAGE / 512),
		.atime = i->atime,
		.mtime = i->mtime,
		.ctime = i->ctime,
		.btime = i->btime,
	};
}

/* Makes sure that a bit can be set until the end of the transaction: its page is dirty, and so in memory. */
static int prepare_bit(struct tree *t, uint64_t n)
{
	struct node *node;
	int err = tree_node(t, 0, n / BITS_PER_PAGE, true, &node);
	if (err)
		return err;
	tree_dirty(t, node);
	tree_put(t, node);
	return 0;
}

static int set_bit(struct tree *t, uint64_t n, bool to)
{
	struct node *node;
	int err = tree_node(t, 0, n / BITS_PER_PAGE, true, &node);
	if (err)
		return err;
	tree_dirty(t, node);
	uint8_t *byte = node->page + n % BITS_PER_PAGE / 8;
	uint8_t bit = (uint8_t)(1u << (n % 8));
	*byte = to ? *byte | bit : *byte & (uint8_t)~bit;
	tree_put(t, node);
	return 0;
}

/* First zero bit at from or behind it. Behind the limit everything is free. */
static int find_free(struct comp *c, uint64_t from, uint64_t *ret)
{
	uint64_t n = from;

	while (n < c->inode_limit) {
		struct node *node;
		int err = tree_node(&c->ibitmap, 0, n / BITS_PER_PAGE, false, &node);
		if (err)
			return err;
		uint64_t end = CL_MIN(c->inode_limit, (n / BITS_PER_PAGE + 1) * BITS_PER_PAGE);
		if (!node) {
			*ret = n;
			return 0;
		}
		for (; n < end; n++) {
			uint8_t byte = node->page[n % BITS_PER_PAGE / 8];
			if (byte == 0xff) {
				n |= 7;
				continue;
			}
			if (!(byte >> (n % 8) & 1))
				break;
		}
		tree_put(&c->ibitmap, node);
		if (n < end)
			break;
		n = end;
	}
	*ret = n;
	return 0;
}

/* Takes a free inode number. */
static int take_number(struct comp *c, bool orphan, uint64_t *ret)
{
	uint64_t ino;

	pthread_mutex_lock(&c->alloc);
	int err = find_free(c, c->inode_hint, &ino);
	if (!err && ino >= INODE_MAX)
		err = -ENOSPC;
	if (!err && orphan)
		err = prepare_bit(&c->orphans, ino);
	if (!err)
		err = set_bit(&c->ibitmap, ino, true);
	if (!err && orphan)
		err = set_bit(&c->orphans, ino, true);
	if (!err) {
		c->inode_hint = ino + 1;
		c->inode_limit = CL_MAX(c->inode_limit, ino + 1);
		c->inodes_used++;
		c->n_orphans += orphan;
		*ret = ino;
	}
	pthread_mutex_unlock(&c->alloc);
	return err;
}

/*
 * Gives it back; hint: from where on the next one is searched. Both bits' pages are prepared, or were set in this transaction, so this
 * does not fail.
 */
static int give_number(struct comp *c, uint64_t ino, bool orphan, uint64_t hint)
{
	pthread_mutex_lock(&c->alloc);
	int err = set_bit(&c->ibitmap, ino, false);
	if (!err && orphan)
		err = set_bit(&c->orphans, ino, false);
	if (!err) {
		c->inodes_used--;
		c->n_orphans -= orphan;
		c->inode_hint = CL_MIN(c->inode_hint, hint);
	}
	pthread_mutex_unlock(&c->alloc);
	return err;
}

int inode_new(struct comp *c, uint32_t mode, bool orphan, struct inode **ret)
{
	struct inode *i;
	uint64_t ino;
	int err = take_number(c, orphan, &ino);

	if (err)
		return err;
	err = inode_insert_new(c, ino, mode & S_IFMT, &i);
	if (err == -EUCLEAN || err == -EBADMSG) {
		/* The number stays taken, so that the next one works. */
		log_err("compartment %s: inode %llu: free in the bitmap, but not in the table: run fsck.cloison", c->io.name,
			(unsigned long long)ino);
		return err;
	}
	if (!err) {
		/* Locked: an old handle of the number's last use may lead somebody here. */
		pthread_rwlock_wrlock(&i->lock);
		i->mode = mode;
		i->atime = i->mtime = i->ctime = i->btime = inode_now();
		err = inode_dirty(i);
		if (err)
			i->mode = 0;
		pthread_rwlock_unlock(&i->lock);
		if (err) {
			inode_bury(i);
			inode_put(i);
		}
	}
	if (err) {
		/* Searched behind it: a record that cannot be read must not stand in the way of all others. */
		int back = give_number(c, ino, orphan, ino + 1);
		return back ? back : err;
	}
	*ret = i;
	return 0;
}

int inode_dirty(struct inode *i)
{
	struct comp *c = i->comp;
	struct node *leaf;
	int err;

	i->last_txn = c->running;
	/* dirty changes only under a running transaction and this inode's lock, or while transactions are held off. */
	if (i->dirty)
		return 0;
	pthread_rwlock_wrlock(&c->table);
	err = tree_node(&c->itable, 0, i->ino / INODE_PER_PAGE, true, &leaf);
	if (!err)
		tree_dirty(&c->itable, leaf);
	pthread_rwlock_unlock(&c->table);
	if (err)
		return err;
	inode_hold(i);
	pthread_mutex_lock(&c->list);
	i->leaf = leaf;
	i->dirty = true;
	list_add_tail(&c->dirty, &i->in_dirty);
	c->n_dirty++;
	if (!c->first_dirty_ms)
		c->first_dirty_ms = comp_now_ms();
	pthread_mutex_unlock(&c->list);
	return 0;
}

int inode_set_orphan(struct inode *i, bool orphan)
{
	struct comp *c = i->comp;

	pthread_mutex_lock(&c->alloc);
	int err = set_bit(&c->orphans, i->ino, orphan);
	if (!err)
		c->n_orphans = orphan ? c->n_orphans + 1 : c->n_orphans - 1;
	pthread_mutex_unlock(&c->alloc);
	atomic_fetch_add(&c->orphans_made, orphan);
	return err;
}

int inode_add_op(struct inode *i, uint32_t code, uint64_t object, uint64_t a, uint64_t b)
{
	if (i->n_ops == i->cap_ops) {
		size_t cap = i->cap_ops ? i->cap_ops * 2 : 4;
		struct journal_op *ops = realloc(i->ops, cap * sizeof *ops);
		if (!ops)
			return -ENOMEM;
		i->ops = ops;
		i->cap_ops = cap;
	}
	i->ops[i->n_ops++] = (struct journal_op){ code, object, a, b };
	atomic_fetch_add(&i->comp->n_ops, 1);
	return 0;
}

int inode_reset_data(struct inode *i)
{
	uint64_t object = i->data.object;

	if (object) {
		int err = inode_add_op(i, JOURNAL_REMOVE, object, 0, 0);
		if (err)
			return err;
		tree_discard(&i->data);
	}
	i->stored = 0;
	i->size = 0;
	atomic_store(&i->lost, 0);
	i->data_txn = i->comp->running;
	return 0;
}

/* The record becomes free at once, so that the number can be given out again in the same transaction. */
static void clear_record(struct inode *i)
{
	struct comp *c = i->comp;
	struct disk_free {
		uint8_t zero[28];
		le32 generation;
	} record = { .generation = le32_of(i->generation) };

	pthread_rwlock_wrlock(&c->table);
	uint8_t *at = i->leaf->page + i->ino % INODE_PER_PAGE * INODE_RECORD;
	memset(at, 0, INODE_RECORD);
	memcpy(at, &record, sizeof record);
	pthread_rwlock_unlock(&c->table);

	pthread_mutex_lock(&c->list);
	list_del(&i->in_dirty);
	c->n_dirty--;
	i->dirty = false;
	struct node *leaf = i->leaf;
	i->leaf = NULL;
	pthread_mutex_unlock(&c->list);
	node_put(c->nodes, leaf);
	i->mode = 0;
	inode_bury(i);
	inode_put(i); /* the dirty list's */
}

int inode_free_orphan(struct inode *i)
{
	struct comp *c = i->comp;
	int err = inode_dirty(i);

	/* What can fail, then what changes. */
	pthread_mutex_lock(&c->alloc);
	if (!err)
		err = prepare_bit(&c->ibitmap, i->ino);
	if (!err)
		err = prepare_bit(&c->orphans, i->ino);
	pthread_mutex_unlock(&c->alloc);
	if (!err)
		err = inode_reset_data(i);
	if (!err && i->xattr_object) {
		err = inode_add_op(i, JOURNAL_REMOVE, i->xattr.object, 0, 0);
		if (!err) {
			tree_discard(&i->xattr);
			i->xattr_object = false;
		}
	}
	pthread_mutex_lock(&c->list);
	for (size_t n = 0; n < i->n_ops && !err; n++)
		err = comp_ops_add(&c->ops, i->ops[n].code, i->ops[n].object, i->ops[n].a, i->ops[n].b);
	if (!err)
		i->n_ops = 0;
	pthread_mutex_unlock(&c->list);
	if (err)
		return err;
	/* Only then the number: who is given it must find neither the old record nor this struct. */
	clear_record(i);
	return give_number(c, i->ino, true, i->ino);
}

/* One orphan, in a transaction of its own. */
static int free_one(struct comp *c, uint64_t ino)
{
	struct inode *i;
	int err = txn_begin_kind(c, ROOM_FREE);

	if (err)
		return err;
	err = inode_get(c, ino, &i);
	if (!err) {
		pthread_rwlock_wrlock(&i->lock);
		if (i->nlink) {
			/* It has a name: an error once left its bit set. */
			err = inode_set_orphan(i, false);
		} else if (i->mode) {
			err = inode_free_orphan(i);
		}
		if (!err && i->orphan_held) {
			i->orphan_held = false;
			inode_put(i);
		}
		pthread_rwlock_unlock(&i->lock);
		inode_put(i);
	}
	txn_end(c);
	return err;
}

/*
 * First page of a bitmap at p or behind it that may be stored: the limit is only a number in the root page, and where index pages are
 * missing nobody counts page by page. Alloc lock held.
 */
static uint64_t skip_holes(struct tree *t, uint64_t p, uint64_t limit)
{
	uint32_t level = PAGEIO_LEVELS;

	while (level > 0 && p < limit) {
		struct node *node;
		int err = tree_node(t, level, p >> (7 * level), false, &node);
		bool above = !err && !node && level > t->height && p >> (7 * t->height) == 0; /* the tree's root is further down */
		if (err || (!node && !above)) {
			if (err)
				log_err("compartment %s: an index page of object %llu cannot be read: run fsck.cloison", t->io->name,
					(unsigned long long)t->object);
			p = ((p >> (7 * level)) + 1) << (7 * level);
			level = PAGEIO_LEVELS;
			continue;
		}
		tree_put(t, node);
		level--;
	}
	return p;
}

void inode_free_all_orphans(struct comp *c)
{
	uint64_t pages = (c->inode_limit + BITS_PER_PAGE - 1) / BITS_PER_PAGE;

	for (uint64_t p = 0; p < pages && c->n_orphans; p++) {
		uint8_t bits[CL_PAGE];
		struct node *node = NULL;

		pthread_mutex_lock(&c->alloc);
		p = skip_holes(&c->orphans, p, pages);
		int err = p < pages ? tree_node(&c->orphans, 0, p, false, &node) : 0;
		if (!err && node)
			memcpy(bits, node->page, CL_PAGE);
		if (!err)
			tree_put(&c->orphans, node);
		pthread_mutex_unlock(&c->alloc);
		if (err || !node) {
			if (err)
				log_err("compartment %s: page %llu of the orphan bitmap cannot be read: %s", c->io.name,
					(unsigned long long)p, strerror(-err));
			continue;
		}
		for (uint64_t b = 0; b < BITS_PER_PAGE; b++) {
			if (!(bits[b / 8] >> (b % 8) & 1))
				continue;
			err = free_one(c, p * BITS_PER_PAGE + b);
			if (err)
				log_warn("compartment %s: orphan %llu cannot be freed; the next mount tries again: %s", c->io.name,
					 (unsigned long long)(p * BITS_PER_PAGE + b), strerror(-err));
		}
	}
}

/* Ranges stand in the order in which they came: those before r that overlap it go first, held or waiting. */
static bool in_the_way(const struct inode *i, const struct inode_range *r)
{
	for (const struct list *l = i->ranges.next; l != &r->in; l = l->next) {
		const struct inode_range *o = CL_CONTAINER(l, struct inode_range, in);
		if ((o->write || r->write) && o->first <= r->last && r->first <= o->last)
			return true;
	}
	return false;
}

void inode_range_lock(struct inode *i, struct inode_range *r, uint64_t first, uint64_t last, bool write)
{
	r->first = first;
	r->last = last;
	r->write = write;
	pthread_mutex_lock(&i->range_lock);
	list_add_tail(&i->ranges, &r->in);
	while (in_the_way(i, r)) {
		i->range_waiters++;
		pthread_cond_wait(&i->range_free, &i->range_lock);
		i->range_waiters--;
	}
	pthread_mutex_unlock(&i->range_lock);
}

void inode_range_unlock(struct inode *i, struct inode_range *r)
{
	pthread_mutex_lock(&i->range_lock);
	list_del(&r->in);
	if (i->range_waiters)
		pthread_cond_broadcast(&i->range_free);
	pthread_mutex_unlock(&i->range_lock);
}
