/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Transactions: doc/DESIGN "Commit" has the protocol and its reasons. */
#include "fs/txn.h"

#include "common/log.h"
#include "fs/fresh.h"
#include "fs/home.h"
#include "fs/rule.h"

#include <stdlib.h>
#include <string.h>

#define OPS_MAX 4096u           /* operations on lower files in one transaction; no more than the journal has pages */
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
	return dirty_now(c) > c->data_limit + (uint64_t)throttle_slack(c) || atomic_load(&c->n_ops) > CL_MIN(OPS_MAX, journal_size(c->journal)) ||
	       c->next_object - c->committed_next_object > COMP_LEFTOVERS / 2;
}

int txn_begin_pages(struct comp *c, enum room_kind kind, uint32_t pages)
{
	if (!c->writable || atomic_load(&c->failed))
		return -EROFS;
	int err = 0;
	if (must_commit(c))
		err = txn_commit(c, NULL, false);
	else if (dirty_now(c) > c->data_limit && c->kick)
		c->kick(c->kick_arg);
	if (!err)
		err = room_for(c, kind, pages);
	if (err && (kind != ROOM_FREE || !room_is_error(err)))
		return err;
	atomic_fetch_add(&c->in_flight, pages);
	pthread_rwlock_rdlock(&c->txn);
	if (atomic_load(&c->failed)) { /* by a commit that we waited for */
		txn_end_pages(c, pages);
		return -EROFS;
	}
	return 0;
}

void txn_end_pages(struct comp *c, uint32_t pages)
{
	pthread_rwlock_unlock(&c->txn);
	atomic_fetch_sub(&c->in_flight, pages);
}

int txn_begin_kind(struct comp *c, enum room_kind kind)
{
	return txn_begin_pages(c, kind, c->small_op);
}

int txn_begin(struct comp *c)
{
	return txn_begin_kind(c, ROOM_NEW);
}

void txn_end(struct comp *c)
{
	txn_end_pages(c, c->small_op);
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
	bool forward;        /* the record holds what older ones still have to bring home, too: they are not needed any more */
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

/* One changed inode into the batch. *ret_left: its data stays behind for a later commit. */
static int take_inode(struct batch *b, struct inode *i, const struct inode *only, bool *ret_left)
{
	uint8_t record[INODE_RECORD];
	int err = 0;

	/*
	 * A file put in the place of another before its data was durable is not left behind: after a crash its name would
	 * show neither the old contents nor the new.
	 */
	bool named = i->named && RULE(RULE_NAMED);
	*ret_left = atomic_load(&i->lost) || (only && i != only && fresh_is_unsynced(i) && !named);
	if (!*ret_left) {
		err = take_tree(b, &i->data);
		if (!err && fresh_is_unsynced(i))
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

static int by_object(const void *a, const void *b)
{
	const struct journal_op *x = a, *y = b;
	return x->object < y->object ? -1 : x->object > y->object;
}

/* True when an operation of the batch, sorted by object, takes the page away: replay would put it back, for blocks come last. */
static bool taken_away(const void *arg, uint64_t object, uint64_t page)
{
	const struct comp_ops *ops = arg;
	size_t low = 0, high = ops->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (ops->ops[mid].object < object)
			low = mid + 1;
		else
			high = mid;
	}
	for (; low < ops->n && ops->ops[low].object == object; low++) {
		const struct journal_op *o = &ops->ops[low];
		if (o->code == JOURNAL_REMOVE || (page >= o->a && (o->code == JOURNAL_CUT || page - o->a < o->b)))
			return true;
	}
	return false;
}

static int take_forward(struct batch *b)
{
	struct comp_ops sorted = { .n = b->ops.n };
	int err = room(b, pagemap_n_pending(b->c->io.map));

	if (!err && sorted.n) {
		sorted.ops = malloc(sorted.n * sizeof *sorted.ops);
		if (!sorted.ops)
			return -ENOMEM;
		memcpy(sorted.ops, b->ops.ops, sorted.n * sizeof *sorted.ops);
		qsort(sorted.ops, sorted.n, sizeof *sorted.ops, by_object);
	}
	if (!err)
		b->n += pagemap_forward(b->c->io.map, b->c->running, taken_away, &sorted, b->pages + b->n);
	free(sorted.ops);
	return err;
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
	if (!err && b->forward)
		err = take_forward(b);
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
	if (n > FRESH_ONE_BY_ONE && !c->sync_each) {
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
static int advance(struct comp *c, uint64_t seq);

/* Pages of the journal that a checkpoint would free. */
static uint32_t ring_used(const struct comp *c)
{
	return journal_size(c->journal) - journal_free(c->journal);
}

/* Pages that the record of all that is dirty takes, with more pages. Operations are held off. */
static uint64_t exact_need(struct comp *c, size_t more)
{
	return journal_record_pages((uint32_t)(dirty_now(c) + 1 + more), (uint32_t)atomic_load(&c->n_ops));
}

/* Room in the journal for all that is dirty, and more that comes in until operations are held off. */
static int reserve(struct comp *c)
{
	uint64_t need = exact_need(c, 64 + (size_t)throttle_slack(c));

	if (!ring_used(c) || atomic_load(&c->full) || ring_used(c) + need <= room_ring_max(c))
		return 0;
	int err = checkpoint_locked(c);
	return atomic_load(&c->failed) ? err : 0;
}

/*
 * Holds operations off, with room in the journal for the record; otherwise they are not held off. -ENOSPC and the like: nothing has
 * changed. When a checkpoint does not free the journal, what cannot go home goes into this record as well (*ret_forward).
 */
static int hold_off(struct comp *c, bool *ret_forward)
{
	int err = 0;

	*ret_forward = false;
	for (bool tried = false;; tried = true) {
		pthread_rwlock_wrlock(&c->txn);
		uint64_t need = exact_need(c, 0), used = ring_used(c), free = journal_free(c->journal);
		if (used + need <= room_ring_max(c) || (!used && need <= free))
			return 0;
		*ret_forward = tried && exact_need(c, pagemap_n_pending(c->io.map)) <= free;
		if (*ret_forward || (tried && need <= free))
			return 0;
		pthread_rwlock_unlock(&c->txn);
		if (tried || !used)
			return err ? err : -ENOSPC;
		err = checkpoint_locked(c);
		if (atomic_load(&c->failed))
			return err;
	}
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
	int err = 0;

	/* Most of the fresh data while operations still go on; and what has no room for it can still be left out. */
	int lost = only ? fresh_sync(c, only) : fresh_sync_all(c);
	if (lost == -ENOMEM || (only && room_is_error(lost)))
		return lost;
	if (lost && !room_is_error(lost))
		return fail(c, lost);
	err = reserve(c);
	if (err)
		return err;
	err = hold_off(c, &b.forward); /* the reserve was a guess, made while operations went on */
	if (err)
		return err;
	uint64_t seq = c->running;
	bool nothing = !c->n_dirty && !c->ops.n && !atomic_load(&c->dirty_pages) && !clean && c->generation == c->committed_generation;
	if (!nothing)
		err = snapshot(&b, only, clean);
	pthread_rwlock_unlock(&c->txn);
	if (nothing)
		return lost;
	if (!err)
		err = sync_fresh(c, b.sync, b.n_sync);
	if (!err && !RULE(RULE_ROOT_IN_RECORD) && !b.forward)
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
	bool again = b.ops.n && atomic_load(&c->full);
	free_batch(&b);
	if (again) /* space was given back */
		err = checkpoint_locked(c);
	else if (b.forward)
		err = advance(c, seq);
	return atomic_load(&c->failed) ? err : lost;
}

int txn_commit(struct comp *c, struct inode *only, bool clean)
{
	pthread_mutex_lock(&c->commit);
	int err = atomic_load(&c->failed) ? -EIO : 0;
	if (!err)
		err = commit_locked(c, only, clean);
	pthread_mutex_unlock(&c->commit);
	if (!err && pagemap_n_pending(c->io.map) > room_pending_max(c) && c->kick)
		c->kick(c->kick_arg);
	return err;
}

/* What is home is synced: moves the tail to the first record up to seq that still has pages to bring home, or behind seq. */
static int advance(struct comp *c, uint64_t seq)
{
	seq = CL_MIN(seq, pagemap_oldest(c->io.map) - 1);
	int err = journal_advance(c->journal, seq);
	if (err)
		return fail(c, err);
	pagemap_forget(c->io.map, seq);
	return 0;
}

/* Step 5. The commit lock is held: no record comes in between. */
static int checkpoint_locked(struct comp *c)
{
	uint64_t seq = journal_next(c->journal) - 1;
	struct home h = { 0 };
	int err = home_bring(c, &h);

	if (err == -ENOMEM)
		return err;
	if (err)
		return fail(c, err);
	err = h.err;
	room_note(c, err, h.n_away);
	if (err && !room_is_error(err))
		log_err("compartment %s: cannot write pages home: %s; they are safe in the journal", c->io.name, strerror(-err));
	int moved = advance(c, seq);
	if (moved)
		return moved;
	if (!err)
		atomic_fetch_add(&c->checkpoints, 1);
	return err;
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
	bool pending = pagemap_n_pending(c->io.map);
	bool want = ring_used(c) > room_ring_max(c) / 4 * 3 || pagemap_n_pending(c->io.map) > room_pending_max(c) ||
		    (pending && now - c->last_commit_ms > IDLE_MS);
	if (!err && want && (!atomic_load(&c->full) || room_may_have_come(c)))
		err = txn_checkpoint(c);
	return err;
}
