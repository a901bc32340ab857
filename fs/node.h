/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Cache of opened pages: index pages, and the leaves of metadata objects (inode table, bitmaps, directories). Bounded;
 * least recently used first; only pages that nobody holds and that are not dirty are evicted.
 *
 * A node pins its parent. Content and dirty state belong to the tree and its lock; hash, LRU and reference counts to
 * the cache's own mutex, which is never held over I/O.
 */
#ifndef CLOISON_FS_NODE_H
#define CLOISON_FS_NODE_H

#include "common/base.h"
#include "common/list.h"
#include "fs/seal.h"

#include <stdatomic.h>

struct node_cache;

struct node {
	uint64_t object;
	uint64_t index;
	uint32_t level;
	bool dirty;           /* protected by the tree's lock, as the next four; a dirty node is referenced */
	atomic_bool checked;  /* directory leaf: found well-formed since it was loaded (directory's lock, shared at least) */
	bool gone;            /* out of the hash (cache's mutex) */
	uint64_t fresh_gen;   /* level 1: generation of the tree in which the bits below were set */
	uint64_t fresh[2];    /* leaves that were written home since the tree's last commit */
	struct list in_dirty;
	uint8_t *page;        /* 4096 bytes of plaintext; wiped when freed */
	struct node *parent;  /* referenced, or NULL */
	unsigned refs;        /* protected by the cache's mutex, as the rest */
	struct list lru;
	struct node *next;
};

/* max: nodes kept when more are not in use. */
int node_cache_new(size_t max, struct node_cache **ret) CL_MUST_USE;
void node_cache_free(struct node_cache *nc);
size_t node_cache_count(struct node_cache *nc);

/* Referenced node, or NULL when it is not cached. */
struct node *node_get(struct node_cache *nc, uint64_t object, uint32_t level, uint64_t index);
/*
 * New node with page (page_new; taken over); takes over the caller's reference to parent (may be NULL). When
 * another thread was first, its node is returned and page and parent are given back. NULL: -ENOMEM, likewise given back.
 */
struct node *node_insert(struct node_cache *nc, uint64_t object, uint32_t level, uint64_t index, struct node *parent,
			 uint8_t *page);
void node_hold(struct node_cache *nc, struct node *n);
void node_put(struct node_cache *nc, struct node *n);
/* Takes it out of the cache; freed with its last reference. */
void node_drop(struct node_cache *nc, struct node *n);

static inline struct seal_ref *node_slot(struct node *n, uint64_t child)
{
	return (struct seal_ref *)(void *)(n->page + (child % 128u) * sizeof(struct seal_ref));
}

#endif
