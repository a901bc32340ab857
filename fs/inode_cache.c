/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Inodes in memory by number, and the kernel's references to them. */
#include "fs/comp.h"

#include "common/lock.h"
#include "common/secret.h"
#include "fs/dir.h"
#include "fs/inode_private.h"

#include <stdlib.h>
#include <string.h>

#define BUCKETS 4096u

/* Open addressing; ino 0 = free. Deletions shift the cluster, so that there are no tombstones. */
struct lookups {
	uint64_t *ino;
	uint64_t *count;
	size_t cap, n; /* cap: power of two */
};

struct inode_cache {
	pthread_mutex_t lock;
	struct inode *hash[BUCKETS];
	uint32_t left[BUCKETS]; /* how many inodes left each bucket: tells a reader of the table that what it read may be old */
	size_t n, max;
	struct list lru;
	struct list dead; /* buried ones that are still referenced, by their lru member */
	struct lookups known;
};

int inode_cache_new(size_t max, struct inode_cache **ret)
{
	struct inode_cache *ic = calloc(1, sizeof *ic);
	if (!ic)
		return -ENOMEM;
	ic->max = max;
	list_init(&ic->lru);
	list_init(&ic->dead);
	lock_init_short(&ic->lock);
	*ret = ic;
	return 0;
}

static void free_inode(struct inode *i)
{
	dir_index_free(i->index);
	tree_discard(&i->data);
	tree_discard(&i->xattr);
	if (i->leaf)
		node_put(i->comp->nodes, i->leaf);
	free(i->ops);
	pthread_rwlock_destroy(&i->lock);
	pthread_mutex_destroy(&i->range_lock);
	pthread_cond_destroy(&i->range_free);
	secret_wipe(i, sizeof *i);
	free(i);
}

void inode_cache_free(struct inode_cache *ic)
{
	if (!ic)
		return;
	for (size_t b = 0; b < BUCKETS; b++)
		for (struct inode *i = ic->hash[b], *n; i; i = n) {
			n = i->next;
			free_inode(i);
		}
	/* What was unlinked and open when the session ended. */
	while (!list_empty(&ic->dead)) {
		struct inode *i = list_item(ic->dead.next, struct inode, lru);
		list_del(&i->lru);
		free_inode(i);
	}
	free(ic->known.ino);
	free(ic->known.count);
	pthread_mutex_destroy(&ic->lock);
	free(ic);
}

size_t inode_cache_count(struct inode_cache *ic)
{
	pthread_mutex_lock(&ic->lock);
	size_t n = ic->n;
	pthread_mutex_unlock(&ic->lock);
	return n;
}

static size_t at_bucket(uint64_t ino)
{
	return (ino * 0x9e3779b97f4a7c15u >> 40) % BUCKETS;
}

static struct inode **bucket(struct inode_cache *ic, uint64_t ino)
{
	return &ic->hash[at_bucket(ino)];
}

static void unhash_locked(struct inode_cache *ic, struct inode *i)
{
	struct inode **at = bucket(ic, i->ino);
	while (*at != i)
		at = &(*at)->next;
	*at = i->next;
	ic->left[at_bucket(i->ino)]++;
	ic->n--;
}

static struct inode *find_locked(struct inode_cache *ic, uint64_t ino)
{
	struct inode *i = *bucket(ic, ino);
	while (i && i->ino != ino)
		i = i->next;
	if (i && i->refs++ == 0)
		list_del(&i->lru);
	return i;
}

static struct inode *new_struct(struct comp *c, uint64_t ino)
{
	pthread_rwlockattr_t attr;
	struct inode *i = calloc(1, sizeof *i);

	if (!i)
		return NULL;
	i->comp = c;
	i->ino = ino;
	i->refs = 1;
	/* A stream of readers must not keep a writer out. Readers never nest. */
	pthread_rwlockattr_init(&attr);
	pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&i->lock, &attr);
	pthread_rwlockattr_destroy(&attr);
	lock_init_short(&i->range_lock);
	pthread_cond_init(&i->range_free, NULL);
	list_init(&i->ranges);
	list_init(&i->in_dirty);
	list_init(&i->lru);
	tree_init(&i->data, &c->io, c->nodes, &c->dirty_pages);
	tree_init(&i->xattr, &c->io, c->nodes, &c->dirty_pages);
	return i;
}

/* Reads the record of an inode. The table's lock is taken here. */
static int read_record(struct comp *c, struct inode *i)
{
	struct node *n;

	if (i->ino == 0 || i->ino >= INODE_MAX)
		return -ENOENT;
	pthread_rwlock_rdlock(&c->table);
	int err = tree_node(&c->itable, 0, i->ino / INODE_PER_PAGE, false, &n);
	if (!err)
		err = n ? inode_decode(i, n->page + i->ino % INODE_PER_PAGE * INODE_RECORD) : -ENOENT;
	tree_put(&c->itable, n);
	pthread_rwlock_unlock(&c->table);
	return err;
}

/*
 * Puts fresh into the cache unless another thread was first; *ret is the one that counts. False: inodes left its bucket since left was
 * read, this one perhaps, changed meanwhile: fresh is freed, and the record must be read again.
 */
static bool insert(struct inode_cache *ic, struct inode *fresh, uint32_t left, struct inode **ret)
{
	struct inode *old = NULL;

	pthread_mutex_lock(&ic->lock);
	struct inode *i = find_locked(ic, fresh->ino);
	if (i || ic->left[at_bucket(fresh->ino)] != left) {
		old = fresh;
	} else {
		struct inode **at = bucket(ic, fresh->ino);
		fresh->next = *at;
		*at = fresh;
		i = fresh;
		ic->n++;
		/* Two for one, so that the cache shrinks after a burst. */
		for (unsigned k = 0; k < 2 && ic->n > ic->max && !list_empty(&ic->lru); k++) {
			struct inode *out = list_item(ic->lru.next, struct inode, lru);
			list_del(&out->lru);
			unhash_locked(ic, out);
			out->next = old;
			old = out;
		}
	}
	pthread_mutex_unlock(&ic->lock);
	while (old) {
		struct inode *next = old == fresh ? NULL : old->next;
		free_inode(old);
		old = next;
	}
	*ret = i;
	return i;
}

struct inode *inode_find(struct comp *c, uint64_t ino)
{
	struct inode_cache *ic = c->inodes;

	pthread_mutex_lock(&ic->lock);
	struct inode *i = find_locked(ic, ino);
	pthread_mutex_unlock(&ic->lock);
	return i;
}

int inode_get(struct comp *c, uint64_t ino, struct inode **ret)
{
	struct inode_cache *ic = c->inodes;

	for (;;) {
		pthread_mutex_lock(&ic->lock);
		struct inode *i = find_locked(ic, ino);
		uint32_t left = ic->left[at_bucket(ino)];
		pthread_mutex_unlock(&ic->lock);
		if (i) {
			*ret = i;
			return 0;
		}
		i = new_struct(c, ino);
		if (!i)
			return -ENOMEM;
		int err = read_record(c, i);
		if (err) {
			free_inode(i);
			return err;
		}
		if (insert(ic, i, left, ret))
			return 0;
	}
}

int inode_insert_new(struct comp *c, uint64_t ino, uint32_t type, struct inode **ret)
{
	struct inode_cache *ic = c->inodes;

	for (;;) {
		pthread_mutex_lock(&ic->lock);
		uint32_t left = ic->left[at_bucket(ino)];
		pthread_mutex_unlock(&ic->lock);
		struct inode *i = new_struct(c, ino);
		if (!i)
			return -ENOMEM;
		int err = read_record(c, i);
		if (err != -ENOENT) {
			free_inode(i);
			return err ? err : -EUCLEAN; /* the bitmap says free, the table in use */
		}
		/* From a random start in each session, so that a number whose use a crash undid gets another generation as well. */
		i->type = type;
		i->generation = ino == INODE_ROOT ? 1 : atomic_fetch_add(&c->next_generation, 1);
		if (insert(ic, i, left, ret))
			return 0;
	}
}

void inode_hold(struct inode *i)
{
	pthread_mutex_lock(&i->comp->inodes->lock);
	i->refs++;
	pthread_mutex_unlock(&i->comp->inodes->lock);
}

void inode_put(struct inode *i)
{
	if (!i)
		return;
	struct inode_cache *ic = i->comp->inodes;
	bool gone = false;

	pthread_mutex_lock(&ic->lock);
	if (--i->refs == 0) {
		gone = i->dead;
		list_del(&i->lru);
		if (!gone)
			list_add_tail(&ic->lru, &i->lru);
	}
	pthread_mutex_unlock(&ic->lock);
	if (gone)
		free_inode(i);
}

void inode_bury(struct inode *i)
{
	struct inode_cache *ic = i->comp->inodes;

	pthread_mutex_lock(&ic->lock);
	if (!i->dead) {
		unhash_locked(ic, i);
		list_add_tail(&ic->dead, &i->lru); /* the caller refers to it: it is on no other list */
	}
	i->dead = true;
	pthread_mutex_unlock(&ic->lock);
}

static size_t slot_of(const struct lookups *k, uint64_t ino)
{
	size_t s = (size_t)(ino * 0x9e3779b97f4a7c15u >> 20) & (k->cap - 1);
	while (k->ino[s] && k->ino[s] != ino)
		s = (s + 1) & (k->cap - 1);
	return s;
}

static int grow_locked(struct lookups *k)
{
	struct lookups big = { .cap = k->cap ? k->cap * 2 : 1024 };

	big.ino = calloc(big.cap, sizeof *big.ino);
	big.count = calloc(big.cap, sizeof *big.count);
	if (!big.ino || !big.count) {
		free(big.ino);
		free(big.count);
		return -ENOMEM;
	}
	for (size_t s = 0; s < k->cap; s++)
		if (k->ino[s]) {
			size_t to = slot_of(&big, k->ino[s]);
			big.ino[to] = k->ino[s];
			big.count[to] = k->count[s];
		}
	big.n = k->n;
	free(k->ino);
	free(k->count);
	*k = big;
	return 0;
}

int inode_lookup_add(struct comp *c, uint64_t ino)
{
	struct inode_cache *ic = c->inodes;
	struct lookups *k = &ic->known;
	int err = 0;

	pthread_mutex_lock(&ic->lock);
	if (k->n * 4 >= k->cap * 3)
		err = grow_locked(k);
	if (!err) {
		size_t s = slot_of(k, ino);
		if (!k->ino[s]) {
			k->ino[s] = ino;
			k->n++;
		}
		k->count[s]++;
	}
	pthread_mutex_unlock(&ic->lock);
	return err;
}

static void remove_locked(struct lookups *k, size_t s)
{
	size_t mask = k->cap - 1;

	k->n--;
	for (size_t at = (s + 1) & mask; k->ino[at]; at = (at + 1) & mask) {
		size_t home = (size_t)(k->ino[at] * 0x9e3779b97f4a7c15u >> 20) & mask;
		if (((at - home) & mask) < ((at - s) & mask))
			continue;
		k->ino[s] = k->ino[at];
		k->count[s] = k->count[at];
		s = at;
	}
	k->ino[s] = 0;
	k->count[s] = 0;
}

bool inode_lookup_sub(struct comp *c, uint64_t ino, uint64_t n)
{
	struct inode_cache *ic = c->inodes;
	struct lookups *k = &ic->known;
	bool gone = false;

	pthread_mutex_lock(&ic->lock);
	if (k->cap) {
		size_t s = slot_of(k, ino);
		if (k->ino[s]) {
			k->count[s] -= CL_MIN(k->count[s], n);
			gone = k->count[s] == 0;
			if (gone)
				remove_locked(k, s);
		}
	}
	pthread_mutex_unlock(&ic->lock);
	return gone;
}

void inode_open_add(struct inode *i)
{
	pthread_mutex_lock(&i->comp->inodes->lock);
	i->opens++;
	i->refs++;
	pthread_mutex_unlock(&i->comp->inodes->lock);
}

bool inode_open_sub(struct inode *i)
{
	pthread_mutex_lock(&i->comp->inodes->lock);
	bool last = i->opens && --i->opens == 0;
	pthread_mutex_unlock(&i->comp->inodes->lock);
	return last;
}

bool inode_is_unused(struct inode *i)
{
	struct inode_cache *ic = i->comp->inodes;
	struct lookups *k = &ic->known;

	pthread_mutex_lock(&ic->lock);
	bool known = k->cap && k->ino[slot_of(k, i->ino)];
	bool unused = !known && i->opens == 0;
	pthread_mutex_unlock(&ic->lock);
	return unused;
}
