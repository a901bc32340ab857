/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Transactions: doc/DESIGN "Commit" has the protocol and its reasons. */
#include "fs/txn.h"

#include "common/log.h"
#include "fs/rule.h"

#include <stdlib.h>
#include <string.h>

#define SYNC_ONE_BY_ONE 12u     /* more lower files than this are synced with one syncfs */
#define HOME_BATCH 1024u        /* pages taken from the map at a time on their way home */
#define PENDING_MAX 8192u       /* committed pages in memory after which they are written home */
#define OPS_MAX 4096u           /* operations on lower files in one transaction */
#define IDLE_MS 3000            /* a checkpoint after so long without a commit */

static int64_t throttle_slack(const struct comp *c)
{
	return (int64_t)c->data_limit / 4;
}

static uint64_t dirty_now(struct comp *c)
{
	return atomic_load(&c->dirty_pages) + pagemap_n_running(c->io.map);
}

/* Too much for one transaction: it must be committed before more is added. */
static bool must_commit(struct comp *c)
{
	return dirty_now(c) > c->data_limit + (uint64_t)throttle_slack(c) || atomic_load(&c->n_ops) > OPS_MAX ||
	       c->next_object - c->committed_next_object > COMP_LEFTOVERS / 2;
}

int txn_begin(struct comp *c)
{
	if (!c->writable || atomic_load(&c->failed))
		return -EROFS;
	if (must_commit(c)) {
		int err = txn_commit(c, NULL, false);
		if (err)
			return err;
	} else if (dirty_now(c) > c->data_limit && c->kick) {
		c->kick(c->kick_arg);
	}
	pthread_rwlock_rdlock(&c->txn);
	if (atomic_load(&c->failed)) { /* by a commit that we waited for */
		pthread_rwlock_unlock(&c->txn);
		return -EROFS;
	}
	return 0;
}

void txn_end(struct comp *c)
{
	pthread_rwlock_unlock(&c->txn);
}

/* Data written home by an inode, as the snapshot found it: the inode may have gone on to another object since. */
struct fresh {
	struct inode *inode; /* referenced */
	uint64_t object;
	uint64_t writes;
};

/* A commit in the making. */
struct batch {
	struct comp *c;
	struct pagemap_page *pages;
	size_t n, cap;
	struct comp_ops ops;
	struct fresh *sync;  /* fresh data that this transaction shows: to be synced first */
	size_t n_sync, cap_sync;
	uint64_t next_object;
};

static int room(struct batch *b, size_t more)
{
	if (b->n + more <= b->cap)
		return 0;
	size_t cap = CL_MAX(b->cap * 2, b->n + more + 64);
	struct pagemap_page *p = realloc(b->pages, cap * sizeof *p);
	if (!p)
		return -ENOMEM;
	b->pages = p;
	b->cap = cap;
	return 0;
}

static int emit(void *arg, uint64_t object, uint64_t lower, struct pagebuf *buf)
{
	struct batch *b = arg;
	int err = room(b, 1);

	if (!err)
		err = pagemap_commit_page(b->c->io.map, object, lower, buf, b->c->running);
	if (err) {
		pagemap_put_buf(b->c->io.map, buf);
		return err;
	}
	b->pages[b->n++] = (struct pagemap_page){ object, lower, buf };
	return 0;
}

static int take_run(struct batch *b, struct tree *t)
{
	if (!t->run.n)
		return 0;
	int err = room(b, t->run.n);
	if (!err)
		b->n += pagemap_commit_run(b->c->io.map, &t->run, b->c->running, b->pages + b->n);
	return err;
}

static int take_tree(struct batch *b, struct tree *t)
{
	int err = take_run(b, t);
	return err ? err : tree_seal(t, emit, b);
}

static int take_ops(struct batch *b, const struct journal_op *ops, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int err = comp_ops_add(&b->ops, ops[i].code, ops[i].object, ops[i].a, ops[i].b);
		if (!err && ops[i].code != JOURNAL_REMOVE)
			err = pagemap_commit_range(b->c->io.map, ops[i].object, b->c->running);
		if (err)
			return err;
	}
	return 0;
}

static int must_sync(struct batch *b, struct inode *i)
{
	if (b->n_sync == b->cap_sync) {
		size_t cap = b->cap_sync ? b->cap_sync * 2 : 16;
		struct fresh *s = realloc(b->sync, cap * sizeof *s);
		if (!s)
			return -ENOMEM;
		b->sync = s;
		b->cap_sync = cap;
	}
	inode_hold(i);
	b->sync[b->n_sync++] = (struct fresh){ i, i->data.object, atomic_load(&i->fresh_writes) };
	return 0;
}

static bool has_unsynced(struct inode *i)
{
	return atomic_load(&i->fresh_writes) != atomic_load(&i->fresh_synced);
}

/* One changed inode into the batch. *ret_left: its data stays behind for a later commit. */
static int take_inode(struct batch *b, struct inode *i, const struct inode *only, bool *ret_left)
{
	uint8_t record[INODE_RECORD];
	int err = 0;

	/*
	 * A file put in the place of another before its data was durable is not left behind: after a crash its name would
	 * show neither the old contents nor the new.
	 */
	*ret_left = only && i != only && has_unsynced(i) && !(i->named && RULE(RULE_NAMED));
	if (!*ret_left) {
		err = take_tree(b, &i->data);
		if (!err && has_unsynced(i))
			err = must_sync(b, i);
		if (!err)
			err = take_ops(b, i->ops, i->n_ops);
		if (err)
			return err;
		atomic_fetch_sub(&b->c->n_ops, i->n_ops);
		i->n_ops = 0;
		i->named = false;
		inode_data_now(i, &i->committed);
	}
	if (i->xattr_object)
		err = take_tree(b, &i->xattr);
	if (err)
		return err;
	if (!RULE(RULE_LEFT_BEHIND))
		inode_data_now(i, &i->committed);
	inode_encode(i, &i->committed, record);
	memcpy(i->leaf->page + i->ino % INODE_PER_PAGE * INODE_RECORD, record, INODE_RECORD);
	secret_wipe(record, sizeof record);
	return 0;
}

static int take_inodes(struct batch *b, const struct inode *only)
{
	struct comp *c = b->c;
	struct list left;
	size_t n_left = 0;
	int err = 0;

	list_init(&left);
	while (!list_empty(&c->dirty) && !err) {
		struct inode *i = list_item(c->dirty.next, struct inode, in_dirty);
		bool stays;
		err = take_inode(b, i, only, &stays);
		if (err)
			break;
		list_del(&i->in_dirty);
		if (stays) {
			list_add_tail(&left, &i->in_dirty);
			n_left++;
			continue;
		}
		i->dirty = false;
		node_put(c->nodes, i->leaf);
		i->leaf = NULL;
		inode_put(i);
	}
	pthread_mutex_lock(&c->list);
	list_splice_tail(&c->dirty, &left);
	if (err) {
		pthread_mutex_unlock(&c->list);
		return err;
	}
	c->n_dirty = n_left;
	if (!n_left)
		c->first_dirty_ms = 0; /* else the clock of those left behind goes on */
	pthread_mutex_unlock(&c->list);
	return 0;
}

/* Inodes that stay dirty: their table pages, clean now, must be in the next commit as well. */
static void keep_dirty(struct comp *c)
{
	for (struct list *l = c->dirty.next; l != &c->dirty; l = l->next)
		tree_dirty(&c->itable, list_item(l, struct inode, in_dirty)->leaf);
}

/* Step 1: with operations held off, seals everything bottom-up to a new root page. */
static int snapshot(struct batch *b, const struct inode *only, bool clean)
{
	struct comp *c = b->c;
	int err = take_inodes(b, only);

	if (!err)
		err = take_ops(b, c->ops.ops, c->ops.n);
	if (!err) {
		atomic_fetch_sub(&c->n_ops, c->ops.n);
		c->ops.n = 0;
		err = take_tree(b, &c->ibitmap);
	}
	if (!err)
		err = take_tree(b, &c->orphans);
	if (!err)
		err = take_tree(b, &c->itable);
	if (err)
		return err;
	struct pagebuf *buf = pagemap_get_buf(c->io.map);
	if (!buf)
		return -ENOMEM;
	err = comp_seal_root(c, clean, buf);
	if (err) {
		pagemap_put_buf(c->io.map, buf);
		return err;
	}
	err = emit(b, PAGEIO_OBJ_ROOT, 0, buf);
	if (err)
		return err;
	keep_dirty(c);
	b->next_object = c->next_object;
	c->running++;
	return 0;
}

/* Step 2: fresh data that the new root shows is durable before the root is. */
static int sync_fresh(struct comp *c, const struct fresh *fresh, size_t n)
{
	int err = 0;

	if (!RULE(RULE_SYNC_FRESH))
		return 0;
	if (n > SYNC_ONE_BY_ONE) {
		err = pageio_sync_all(&c->io);
	} else {
		for (size_t i = 0; i < n && !err; i++)
			if (fresh[i].object)
				err = pageio_sync(&c->io, fresh[i].object);
		if (!err)
			err = pageio_sync_dirs(&c->io);
	}
	for (size_t i = 0; i < n && !err; i++)
		atomic_store(&fresh[i].inode->fresh_synced, fresh[i].writes);
	return err;
}

static int write_record(struct batch *b, uint64_t seq)
{
	struct journal_block *blocks = calloc(b->n, sizeof *blocks);
	if (!blocks)
		return -ENOMEM;
	for (size_t i = 0; i < b->n; i++)
		blocks[i] = (struct journal_block){ b->pages[i].object, b->pages[i].page, b->pages[i].buf->data };
	int err = journal_append(b->c->journal, seq, blocks, (uint32_t)b->n, b->ops.ops, (uint32_t)b->ops.n);
	free(blocks);
	return err;
}

int txn_run_op(struct comp *c, const struct journal_op *o, uint64_t seq, bool lower)
{
	int err = 0;

	switch (o->code) {
	case JOURNAL_REMOVE:
		pagemap_discard(c->io.map, o->object, 0, UINT64_MAX, seq);
		return lower ? pageio_remove(&c->io, o->object) : 0;
	case JOURNAL_CUT:
		pagemap_discard(c->io.map, o->object, o->a, UINT64_MAX, seq);
		err = lower ? pageio_cut(&c->io, o->object, o->a) : 0;
		break;
	case JOURNAL_PUNCH:
		if (o->b == 0)
			return 0;
		pagemap_discard(c->io.map, o->object, o->a, o->a + o->b - 1, seq);
		err = lower ? pageio_punch(&c->io, o->object, o->a, o->b) : 0;
		break;
	default:
		return -EUCLEAN;
	}
	return err ? err : pagemap_commit_range(c->io.map, o->object, seq);
}

static void free_batch(struct batch *b)
{
	for (size_t i = 0; i < b->n; i++)
		pagemap_put_buf(b->c->io.map, b->pages[i].buf);
	for (size_t i = 0; i < b->n_sync; i++)
		inode_put(b->sync[i].inode);
	free(b->pages);
	free(b->sync);
	free(b->ops.ops);
}

static int checkpoint_locked(struct comp *c);

/* Room in the journal for all that is dirty, and more that comes in until operations are held off. */
static int reserve(struct comp *c)
{
	pthread_mutex_lock(&c->list);
	uint64_t inodes = c->n_dirty, ops = c->ops.n;
	pthread_mutex_unlock(&c->list);
	uint64_t need = dirty_now(c) + inodes + (uint64_t)throttle_slack(c) + 64;

	need += need / 128 + ops / 100 + 2;
	need = CL_MIN(need, (uint64_t)journal_size(c->journal) - 1);
	return journal_free(c->journal) < need ? checkpoint_locked(c) : 0;
}

/* Pages that the record of all that is dirty takes. Operations are held off. */
static uint64_t exact_need(struct comp *c)
{
	return journal_record_pages((uint32_t)dirty_now(c) + 1, (uint32_t)atomic_load(&c->n_ops));
}

static int fail(struct comp *c, int err)
{
	atomic_store(&c->failed, -err);
	log_err("compartment %s: a commit failed: %s; it is read-only from now on, what was committed before is safe: "
		"look at the disk, then unmount and mount again", c->io.name, strerror(-err));
	return err;
}

static int commit_locked(struct comp *c, struct inode *only, bool clean)
{
	struct batch b = { .c = c };
	int err;

	/* Most of the fresh data while operations still go on. */
	if (only && has_unsynced(only)) {
		uint64_t seen = atomic_load(&only->fresh_writes);
		pthread_rwlock_rdlock(&only->lock);
		uint64_t object = only->data.object;
		pthread_rwlock_unlock(&only->lock);
		err = object && RULE(RULE_SYNC_FRESH) ? pageio_sync(&c->io, object) : 0;
		if (err)
			return fail(c, err);
		err = pageio_sync_dirs(&c->io);
		if (err)
			return fail(c, err);
		atomic_store(&only->fresh_synced, seen);
	}
	err = reserve(c);
	if (err)
		return err;
	pthread_rwlock_wrlock(&c->txn);
	/* The reserve was a guess, made while operations went on. */
	while (exact_need(c) > journal_free(c->journal)) {
		bool empty = journal_free(c->journal) == journal_size(c->journal);
		pthread_rwlock_unlock(&c->txn);
		err = empty ? -ENOSPC : checkpoint_locked(c);
		if (err)
			return err;
		pthread_rwlock_wrlock(&c->txn);
	}
	uint64_t seq = c->running;
	bool nothing = !c->n_dirty && !c->ops.n && !atomic_load(&c->dirty_pages) && !clean && c->generation == c->committed_generation;
	if (!nothing)
		err = snapshot(&b, only, clean);
	pthread_rwlock_unlock(&c->txn);
	if (nothing)
		return 0;
	if (!err)
		err = sync_fresh(c, b.sync, b.n_sync);
	if (!err && !RULE(RULE_ROOT_IN_RECORD))
		err = pageio_write_home(&c->io, PAGEIO_OBJ_ROOT, 0, b.pages[b.n - 1].buf->data, 1);
	for (size_t i = 0; i < b.ops.n && !err && !RULE(RULE_OPS_AFTER); i++)
		err = txn_run_op(c, &b.ops.ops[i], seq, true);
	if (!err)
		err = write_record(&b, seq);
	if (err) {
		free_batch(&b);
		return fail(c, err);
	}
	c->committed_generation = c->generation;
	c->committed_next_object = b.next_object;
	atomic_store(&c->committed, seq);
	atomic_fetch_add(&c->commits, 1);
	c->last_commit_ms = comp_now_ms();
	/* Step 4. A failure here loses space, not data. */
	for (size_t i = 0; i < b.ops.n; i++)
		if (txn_run_op(c, &b.ops.ops[i], seq, true))
			log_warn("compartment %s: cannot give back the space of object %llu", c->io.name,
				 (unsigned long long)b.ops.ops[i].object);
	free_batch(&b);
	return 0;
}

int txn_commit(struct comp *c, struct inode *only, bool clean)
{
	pthread_mutex_lock(&c->commit);
	int err = atomic_load(&c->failed) ? -EIO : 0;
	if (!err)
		err = commit_locked(c, only, clean);
	pthread_mutex_unlock(&c->commit);
	if (!err && pagemap_n_pending(c->io.map) > PENDING_MAX && c->kick)
		c->kick(c->kick_arg);
	return err;
}

static int by_place(const void *a, const void *b)
{
	const struct pagemap_page *x = a, *y = b;
	if (x->object != y->object)
		return x->object < y->object ? -1 : 1;
	return x->page < y->page ? -1 : x->page > y->page;
}

/* Lower files that were written home since the last sync; beyond a few it is everything. */
struct touched {
	uint64_t objects[SYNC_ONE_BY_ONE];
	size_t n;
	bool many;
};

static void touch(struct touched *t, uint64_t object)
{
	for (size_t i = 0; i < t->n; i++)
		if (t->objects[i] == object)
			return;
	if (t->n == SYNC_ONE_BY_ONE)
		t->many = true;
	else
		t->objects[t->n++] = object;
}

static int write_batch_home(struct comp *c, struct pagemap_page *p, size_t n, uint8_t *join, struct touched *t)
{
	int first_err = 0;

	qsort(p, n, sizeof *p, by_place);
	for (size_t i = 0, run; i < n; i += run) {
		for (run = 1; i + run < n && run < 64 && p[i + run].object == p[i].object &&
			      p[i + run].page == p[i].page + run; run++)
			;
		const uint8_t *from = p[i].buf->data;
		if (run > 1)
			from = join;
		for (size_t k = 0; k < run && run > 1; k++)
			memcpy(join + k * CL_PAGE, p[i + k].buf->data, CL_PAGE);
		/* One file that cannot be written holds up no other. */
		int err = pageio_write_home(&c->io, p[i].object, p[i].page, from, run);
		touch(t, p[i].object);
		first_err = first_err ? first_err : err;
		if (err)
			pagemap_not_home(c->io.map, &p[i], run);
		else
			pagemap_home(c->io.map, &p[i], run);
	}
	return first_err;
}

static int write_home(struct comp *c, struct touched *t)
{
	struct pagemap_page *p = malloc(HOME_BATCH * sizeof *p);
	uint8_t *join = aligned_alloc(CL_PAGE, (size_t)64 * CL_PAGE);
	int err = p && join ? 0 : -ENOMEM;
	size_t n;

	while (!err && (n = pagemap_take_pending(c->io.map, p, HOME_BATCH)))
		err = write_batch_home(c, p, n, join, t);
	free(p);
	free(join);
	return err;
}

/* Step 5. The commit lock is held: no record comes in between. */
static int checkpoint_locked(struct comp *c)
{
	struct touched t = { .n = 0 };
	uint64_t seq = journal_next(c->journal) - 1;
	int err = write_home(c, &t);

	if (err) {
		log_err("compartment %s: cannot write pages home: %s; they are safe in the journal", c->io.name, strerror(-err));
		return err;
	}
	if (!RULE(RULE_SYNC_HOME)) {
		;
	} else if (t.many) {
		err = pageio_sync_all(&c->io);
	} else {
		for (size_t i = 0; i < t.n && !err; i++)
			err = pageio_sync(&c->io, t.objects[i]);
		if (!err)
			err = pageio_sync_dirs(&c->io);
		if (!err)
			err = c->store->ops->sync_dir(c->store, "."); /* root and root.copy, the first time */
	}
	if (!err)
		err = journal_advance(c->journal, seq);
	if (err)
		return fail(c, err);
	pagemap_forget(c->io.map, seq);
	atomic_fetch_add(&c->checkpoints, 1);
	return 0;
}

int txn_checkpoint(struct comp *c)
{
	pthread_mutex_lock(&c->commit);
	int err = atomic_load(&c->failed) ? -EIO : checkpoint_locked(c);
	pthread_mutex_unlock(&c->commit);
	return err;
}

int txn_tick(struct comp *c, int64_t commit_ms)
{
	int64_t now = comp_now_ms();
	int err = 0;

	if (!c->writable || atomic_load(&c->failed))
		return 0;
	pthread_mutex_lock(&c->list);
	bool due = c->first_dirty_ms && now - c->first_dirty_ms >= commit_ms;
	pthread_mutex_unlock(&c->list);
	if (due || dirty_now(c) > c->data_limit)
		err = txn_commit(c, NULL, false);
	if (!err && (journal_free(c->journal) < journal_size(c->journal) / 3 || pagemap_n_pending(c->io.map) > PENDING_MAX ||
		     (pagemap_n_pending(c->io.map) && now - c->last_commit_ms > IDLE_MS)))
		err = txn_checkpoint(c);
	return err;
}
