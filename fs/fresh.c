/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Fresh data: syncing it, and giving up files whose sync found no room. */
#include "fs/fresh.h"

#include "common/log.h"
#include "fs/room.h"
#include "fs/rule.h"

#include <stdlib.h>
#include <string.h>

/* An inode with fresh data, referenced, and how much of it there was before the sync. */
struct fresh {
	struct inode *i;
	uint64_t seen;
};

static void give_up(struct inode *i, uint64_t object, int err)
{
	pthread_rwlock_wrlock(&i->lock);
	bool same = i->data.object == object; /* else it has begun anew meanwhile */
	if (same)
		atomic_store(&i->lost, -err);
	pthread_rwlock_unlock(&i->lock);
	if (same)
		log_err("compartment %s: inode %llu: %s: the lower filesystem took its contents and then had no room for them; what was "
			"committed of it before is safe", i->comp->io.name, (unsigned long long)i->ino, strerror(-err));
}

static int sync_one(struct comp *c, struct inode *i)
{
	uint64_t seen = atomic_load(&i->fresh_writes);

	pthread_rwlock_rdlock(&i->lock);
	uint64_t object = i->data.object;
	pthread_rwlock_unlock(&i->lock);
	int err = object && RULE(RULE_SYNC_FRESH) ? pageio_sync(&c->io, object) : 0;
	if (!err)
		atomic_store(&i->fresh_synced, seen);
	else if (room_is_error(err))
		give_up(i, object, err);
	return err;
}

int fresh_sync(struct comp *c, struct inode *i)
{
	int lost = atomic_load(&i->lost);

	if (lost)
		return -lost;
	if (!fresh_is_unsynced(i))
		return 0;
	int err = sync_one(c, i);
	return err ? err : pageio_sync_dirs(&c->io);
}

/* Changed inodes with fresh data into *ret, to be freed with free_all. */
static int collect(struct comp *c, struct fresh **ret, size_t *ret_n)
{
	struct fresh *v = NULL;
	size_t n = 0, cap = 0;
	int err = 0;

	pthread_mutex_lock(&c->list);
	for (struct list *l = c->dirty.next; l != &c->dirty && !err; l = l->next) {
		struct inode *i = list_item(l, struct inode, in_dirty);
		if (!fresh_is_unsynced(i) || atomic_load(&i->lost))
			continue;
		if (n == cap) {
			cap = cap ? cap * 2 : 16;
			struct fresh *more = realloc(v, cap * sizeof *v);
			if (!more) {
				err = -ENOMEM;
				break;
			}
			v = more;
		}
		inode_hold(i);
		v[n++] = (struct fresh){ i, atomic_load(&i->fresh_writes) };
	}
	pthread_mutex_unlock(&c->list);
	*ret = v;
	*ret_n = n;
	return err;
}

static void free_all(struct fresh *v, size_t n)
{
	for (size_t k = 0; k < n; k++)
		inode_put(v[k].i);
	free(v);
}

int fresh_sync_all(struct comp *c)
{
	struct fresh *v;
	size_t n;
	int err = collect(c, &v, &n), lost = 0;

	if (!err && n > FRESH_ONE_BY_ONE && !c->sync_each) {
		err = RULE(RULE_SYNC_FRESH) ? pageio_sync_all(&c->io) : 0;
		for (size_t k = 0; k < n && !err; k++)
			atomic_store(&v[k].i->fresh_synced, v[k].seen);
		/* Whose data is it? Each file will say it of its own; and from now on we ask each. */
		c->sync_each = room_is_error(err);
		if (!c->sync_each)
			goto out;
		err = 0;
	}
	for (size_t k = 0; k < n && !err; k++) {
		err = sync_one(c, v[k].i);
		if (!room_is_error(err))
			continue;
		lost = lost ? lost : err;
		err = 0;
	}
	if (n && !err)
		err = pageio_sync_dirs(&c->io);
out:
	free_all(v, n);
	return err ? err : lost;
}

void fresh_doubt(struct comp *c, uint64_t object, int err)
{
	struct fresh *v;
	size_t n;

	/* What is being written has to be on the list of changed inodes. */
	pthread_rwlock_wrlock(&c->txn);
	int e = collect(c, &v, &n);
	pthread_rwlock_unlock(&c->txn);
	if (e) {
		log_err("compartment %s: out of memory", c->io.name);
		atomic_store(&c->failed, -err);
	}
	for (size_t k = 0; k < n; k++)
		give_up(v[k].i, object, err);
	free_all(v, n);
}
