/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Cache of opened pages. */
#include "fs/node.h"

#include "common/lock.h"
#include "fs/page.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct node_cache {
	pthread_mutex_t lock;
	struct node **hash;
	size_t buckets; /* power of two */
	size_t n, max;
	struct list lru;
};

static size_t mix(uint64_t object, uint32_t level, uint64_t index)
{
	uint64_t h = object * 0x9e3779b97f4a7c15u ^ (index * 8 + level + 1) * 0xc2b2ae3d27d4eb4fu;
	h ^= h >> 31;
	h *= 0x94d049bb133111ebu;
	return (size_t)(h ^ h >> 29);
}

int node_cache_new(size_t max, struct node_cache **ret)
{
	struct node_cache *nc = calloc(1, sizeof *nc);
	if (!nc)
		return -ENOMEM;
	nc->max = max;
	nc->buckets = 1024;
	while (nc->buckets < max && nc->buckets < (size_t)1 << 20)
		nc->buckets *= 2;
	nc->hash = calloc(nc->buckets, sizeof *nc->hash);
	if (!nc->hash) {
		free(nc);
		return -ENOMEM;
	}
	list_init(&nc->lru);
	lock_init_short(&nc->lock);
	*ret = nc;
	return 0;
}

static void free_node(struct node *n)
{
	page_free(n->page);
	free(n);
}

size_t node_cache_count(struct node_cache *nc)
{
	pthread_mutex_lock(&nc->lock);
	size_t n = nc->n;
	pthread_mutex_unlock(&nc->lock);
	return n;
}

static void unhash_locked(struct node_cache *nc, struct node *n)
{
	struct node **at = &nc->hash[mix(n->object, n->level, n->index) & (nc->buckets - 1)];
	while (*at != n)
		at = &(*at)->next;
	*at = n->next;
	n->gone = true;
	nc->n--;
}

/* Gives a reference back; the chain of parents that this frees goes to *dead, linked by next. */
static void put_locked(struct node_cache *nc, struct node *n, struct node **dead)
{
	while (n && --n->refs == 0) {
		if (!n->gone) {
			list_add_tail(&nc->lru, &n->lru);
			return;
		}
		struct node *parent = n->parent;
		n->next = *dead;
		*dead = n;
		n = parent;
	}
}

static void free_dead(struct node *dead)
{
	while (dead) {
		struct node *next = dead->next;
		free_node(dead);
		dead = next;
	}
}

static void evict_locked(struct node_cache *nc, struct node **dead)
{
	while (nc->n > nc->max && !list_empty(&nc->lru)) {
		struct node *n = list_item(nc->lru.next, struct node, lru);
		list_del(&n->lru);
		unhash_locked(nc, n);
		struct node *parent = n->parent;
		n->next = *dead;
		*dead = n;
		put_locked(nc, parent, dead);
	}
}

void node_cache_free(struct node_cache *nc)
{
	if (!nc)
		return;
	/* As eviction does it: parents that are out of the hash already are reached only through their children. */
	struct node *dead = NULL;
	nc->max = 0;
	evict_locked(nc, &dead);
	free_dead(dead);
	for (size_t i = 0; i < nc->buckets; i++)
		for (struct node *n = nc->hash[i], *next; n; n = next) {
			next = n->next;
			free_node(n);
		}
	free(nc->hash);
	pthread_mutex_destroy(&nc->lock);
	free(nc);
}

static struct node *find_locked(struct node_cache *nc, uint64_t object, uint32_t level, uint64_t index)
{
	struct node *n = nc->hash[mix(object, level, index) & (nc->buckets - 1)];
	while (n && (n->index != index || n->object != object || n->level != level))
		n = n->next;
	if (n && n->refs++ == 0)
		list_del(&n->lru);
	return n;
}

struct node *node_get(struct node_cache *nc, uint64_t object, uint32_t level, uint64_t index)
{
	pthread_mutex_lock(&nc->lock);
	struct node *n = find_locked(nc, object, level, index);
	pthread_mutex_unlock(&nc->lock);
	return n;
}

struct node *node_insert(struct node_cache *nc, uint64_t object, uint32_t level, uint64_t index, struct node *parent,
			 uint8_t *page)
{
	struct node *dead = NULL;
	struct node *fresh = calloc(1, sizeof *fresh);

	pthread_mutex_lock(&nc->lock);
	struct node *n = find_locked(nc, object, level, index);
	if (!n && fresh) {
		n = fresh;
		fresh = NULL;
		*n = (struct node){ .object = object, .index = index, .level = level, .page = page, .parent = parent, .refs = 1 };
		list_init(&n->in_dirty);
		list_init(&n->lru);
		struct node **at = &nc->hash[mix(object, level, index) & (nc->buckets - 1)];
		n->next = *at;
		*at = n;
		nc->n++;
		page = NULL;
		parent = NULL;
		evict_locked(nc, &dead);
	}
	put_locked(nc, parent, &dead);
	pthread_mutex_unlock(&nc->lock);
	free_dead(dead);
	free(fresh);
	page_free(page);
	return n;
}

void node_hold(struct node_cache *nc, struct node *n)
{
	pthread_mutex_lock(&nc->lock);
	n->refs++;
	pthread_mutex_unlock(&nc->lock);
}

void node_put(struct node_cache *nc, struct node *n)
{
	struct node *dead = NULL;

	if (!n)
		return;
	pthread_mutex_lock(&nc->lock);
	put_locked(nc, n, &dead);
	if (nc->n > nc->max)
		evict_locked(nc, &dead);
	pthread_mutex_unlock(&nc->lock);
	free_dead(dead);
}

void node_drop(struct node_cache *nc, struct node *n)
{
	pthread_mutex_lock(&nc->lock);
	if (!n->gone)
		unhash_locked(nc, n);
	pthread_mutex_unlock(&nc->lock);
}
