/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A hash of names. */
#include "fs/store_dirty.h"

#include "fs/store.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS 1024u /* a checkpoint writes some thousand files at most */

struct dirty_name {
	struct dirty_name *next;
	uint64_t mark;
	bool folder;
	char name[];
};

struct store_dirty {
	pthread_mutex_t lock;
	uint64_t next_mark;
	size_t n;
	struct dirty_name *hash[BUCKETS];
};

int store_dirty_new(struct store_dirty **ret)
{
	struct store_dirty *d = calloc(1, sizeof *d);
	if (!d)
		return -ENOMEM;
	pthread_mutex_init(&d->lock, NULL);
	*ret = d;
	return 0;
}

void store_dirty_free(struct store_dirty *d)
{
	if (!d)
		return;
	for (unsigned i = 0; i < BUCKETS; i++)
		for (struct dirty_name *n = d->hash[i], *next; n; n = next) {
			next = n->next;
			free(n);
		}
	pthread_mutex_destroy(&d->lock);
	free(d);
}

/* Where the name is hung up, or the end of its chain. */
static struct dirty_name **place(struct store_dirty *d, const char *name)
{
	uint32_t h = 2166136261u; /* FNV-1a */
	for (const char *p = name; *p; p++)
		h = (h ^ (uint8_t)*p) * 16777619u;
	struct dirty_name **at = &d->hash[h % BUCKETS];
	while (*at && strcmp((*at)->name, name))
		at = &(*at)->next;
	return at;
}

int store_dirty_add(struct store_dirty *d, const char *name, bool folder)
{
	int err = 0;

	pthread_mutex_lock(&d->lock);
	struct dirty_name **at = place(d, name);
	if (!*at) {
		size_t len = strlen(name) + 1;
		struct dirty_name *n = calloc(1, sizeof *n + len);
		if (n) {
			memcpy(n->name, name, len);
			n->folder = folder;
			*at = n;
			d->n++;
		}
	}
	if (*at)
		(*at)->mark = ++d->next_mark;
	else
		err = -ENOMEM;
	pthread_mutex_unlock(&d->lock);
	return err;
}

static void drop(struct store_dirty *d, struct dirty_name **at)
{
	struct dirty_name *n = *at;
	*at = n->next;
	d->n--;
	free(n);
}

void store_dirty_forget(struct store_dirty *d, const char *name)
{
	pthread_mutex_lock(&d->lock);
	struct dirty_name **at = place(d, name);
	if (*at)
		drop(d, at);
	pthread_mutex_unlock(&d->lock);
}

uint64_t store_dirty_mark(struct store_dirty *d, const char *name)
{
	pthread_mutex_lock(&d->lock);
	struct dirty_name **at = place(d, name);
	uint64_t mark = *at ? (*at)->mark : 0;
	pthread_mutex_unlock(&d->lock);
	return mark;
}

void store_dirty_done(struct store_dirty *d, const char *name, uint64_t mark)
{
	pthread_mutex_lock(&d->lock);
	struct dirty_name **at = place(d, name);
	if (*at && (*at)->mark == mark)
		drop(d, at);
	pthread_mutex_unlock(&d->lock);
}

struct item {
	uint64_t mark;
	bool folder;
	char name[STORE_NAME_MAX];
};

/* The names as they are now. NULL: none, or no memory (*ret_n is then not 0). */
static struct item *copy(struct store_dirty *d, size_t *ret_n)
{
	pthread_mutex_lock(&d->lock);
	struct item *items = d->n ? calloc(d->n, sizeof *items) : NULL;
	size_t n = 0;
	*ret_n = d->n;
	for (unsigned i = 0; i < BUCKETS && items; i++)
		for (const struct dirty_name *x = d->hash[i]; x; x = x->next) {
			items[n] = (struct item){ .mark = x->mark, .folder = x->folder };
			strncpy(items[n++].name, x->name, STORE_NAME_MAX - 1);
		}
	pthread_mutex_unlock(&d->lock);
	return items;
}

int store_dirty_sync(struct store_dirty *d, int (*sync)(void *arg, const char *name, bool folder), void *arg)
{
	size_t n;
	struct item *items = copy(d, &n);
	int err = n && !items ? -ENOMEM : 0;

	for (size_t i = 0; i < n && !err; i++) {
		err = sync(arg, items[i].name, items[i].folder);
		if (!err)
			store_dirty_done(d, items[i].name, items[i].mark);
	}
	free(items);
	return err;
}
