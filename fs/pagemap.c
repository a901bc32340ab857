/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Pages on their way home: a hash of pages, with a list of its pages for each object. */
#include "fs/pagemap.h"

#include "common/lock.h"
#include "fs/rule.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define BUCKETS_MIN 1024u
#define SLAB_PAGES 512u /* 2 MiB, which the kernel can give in one piece */

struct pm_object {
	struct pm_object *next;
	uint64_t object;
	uint64_t range_seq; /* last record with an operation on a range of it; 0 = none */
	struct list entries;
};

struct pm_entry {
	struct pm_entry *next;
	struct pm_object *of;
	uint64_t page;
	uint64_t seq; /* last record that mentions it; 0 = none */
	struct pagebuf *running;
	struct pagebuf *committed;
	struct list in_object;
	struct list in_run;     /* struct pagemap_run, while running */
	struct list in_pending; /* pm->pending, while committed is set and nobody writes it home */
	struct pagemap_run *run;
};

struct slab {
	struct slab *next;
	uint8_t *pages;
	struct pagebuf bufs[SLAB_PAGES];
};

struct pagemap {
	pthread_mutex_t lock;
	struct pm_entry **entries;
	struct pm_object **objects;
	size_t buckets; /* power of two, of both */
	size_t n_entries;
	atomic_size_t n_objects; /* changed under the lock, as are all of these; read without */
	atomic_size_t n_running;
	atomic_size_t n_pending;
	struct list pending;
	struct slab *slabs;
	struct pagebuf *free_bufs;
	struct pm_entry *free_entries;
};

static size_t mix(uint64_t object, uint64_t page)
{
	uint64_t h = object * 0x9e3779b97f4a7c15u ^ (page + 1) * 0xc2b2ae3d27d4eb4fu;
	h ^= h >> 29;
	h *= 0xbf58476d1ce4e5b9u;
	return (size_t)(h ^ h >> 32);
}

int pagemap_new(struct pagemap **ret)
{
	struct pagemap *pm = calloc(1, sizeof *pm);
	if (!pm)
		return -ENOMEM;
	pm->buckets = BUCKETS_MIN;
	pm->entries = calloc(pm->buckets, sizeof *pm->entries);
	pm->objects = calloc(pm->buckets, sizeof *pm->objects);
	if (!pm->entries || !pm->objects) {
		free(pm->entries);
		free(pm->objects);
		free(pm);
		return -ENOMEM;
	}
	lock_init_short(&pm->lock);
	list_init(&pm->pending);
	*ret = pm;
	return 0;
}

void pagemap_free(struct pagemap *pm)
{
	if (!pm)
		return;
	for (size_t i = 0; i < pm->buckets; i++) {
		for (struct pm_entry *e = pm->entries[i], *n; e; e = n) {
			n = e->next;
			free(e);
		}
		for (struct pm_object *o = pm->objects[i], *n; o; o = n) {
			n = o->next;
			free(o);
		}
	}
	for (struct pm_entry *e = pm->free_entries, *n; e; e = n) {
		n = e->next;
		free(e);
	}
	for (struct slab *s = pm->slabs, *n; s; s = n) {
		n = s->next;
		free(s->pages);
		free(s);
	}
	free(pm->entries);
	free(pm->objects);
	pthread_mutex_destroy(&pm->lock);
	free(pm);
}

static struct pagebuf *get_buf_locked(struct pagemap *pm)
{
	if (!pm->free_bufs) {
		struct slab *s = malloc(sizeof *s);
		if (!s)
			return NULL;
		s->pages = aligned_alloc((size_t)SLAB_PAGES * CL_PAGE, (size_t)SLAB_PAGES * CL_PAGE);
		if (!s->pages) {
			free(s);
			return NULL;
		}
		(void)madvise(s->pages, (size_t)SLAB_PAGES * CL_PAGE, MADV_HUGEPAGE); /* one fault instead of 512 */
		s->next = pm->slabs;
		pm->slabs = s;
		for (unsigned i = 0; i < SLAB_PAGES; i++) {
			s->bufs[i].data = s->pages + (size_t)i * CL_PAGE;
			s->bufs[i].next = pm->free_bufs;
			pm->free_bufs = &s->bufs[i];
		}
	}
	struct pagebuf *b = pm->free_bufs;
	pm->free_bufs = b->next;
	b->refs = 1;
	return b;
}

static void put_buf_locked(struct pagemap *pm, struct pagebuf *b)
{
	if (b && --b->refs == 0) {
		b->next = pm->free_bufs;
		pm->free_bufs = b;
	}
}

struct pagebuf *pagemap_get_buf(struct pagemap *pm)
{
	pthread_mutex_lock(&pm->lock);
	struct pagebuf *b = get_buf_locked(pm);
	pthread_mutex_unlock(&pm->lock);
	return b;
}

void pagemap_put_buf(struct pagemap *pm, struct pagebuf *b)
{
	pthread_mutex_lock(&pm->lock);
	put_buf_locked(pm, b);
	pthread_mutex_unlock(&pm->lock);
}

int pagemap_get_bufs(struct pagemap *pm, struct pagebuf **ret, size_t n)
{
	size_t got = 0;

	pthread_mutex_lock(&pm->lock);
	while (got < n && (ret[got] = get_buf_locked(pm)))
		got++;
	for (; got < n && got > 0; got--)
		put_buf_locked(pm, ret[got - 1]);
	pthread_mutex_unlock(&pm->lock);
	return got == n ? 0 : -ENOMEM;
}

void pagemap_put_bufs(struct pagemap *pm, struct pagebuf *const *bufs, size_t n)
{
	pthread_mutex_lock(&pm->lock);
	for (size_t i = 0; i < n; i++)
		put_buf_locked(pm, bufs[i]);
	pthread_mutex_unlock(&pm->lock);
}

void pagemap_run_init(struct pagemap_run *run)
{
	list_init(&run->pages);
	run->n = 0;
}

static struct pm_object *find_object(struct pagemap *pm, uint64_t object)
{
	struct pm_object *o = pm->objects[mix(object, 0) & (pm->buckets - 1)];
	while (o && o->object != object)
		o = o->next;
	return o;
}

static struct pm_entry *find(struct pagemap *pm, uint64_t object, uint64_t page)
{
	struct pm_entry *e = pm->entries[mix(object, page) & (pm->buckets - 1)];
	while (e && (e->page != page || e->of->object != object))
		e = e->next;
	return e;
}

/* A map too small is slow, not wrong: when memory is out it stays as it is. */
static void grow(struct pagemap *pm)
{
	size_t buckets = pm->buckets * 2;
	struct pm_entry **entries = calloc(buckets, sizeof *entries);
	struct pm_object **objects = calloc(buckets, sizeof *objects);

	if (!entries || !objects) {
		free(entries);
		free(objects);
		return;
	}
	for (size_t i = 0; i < pm->buckets; i++) {
		for (struct pm_entry *e = pm->entries[i], *n; e; e = n) {
			n = e->next;
			size_t b = mix(e->of->object, e->page) & (buckets - 1);
			e->next = entries[b];
			entries[b] = e;
		}
		for (struct pm_object *o = pm->objects[i], *n; o; o = n) {
			n = o->next;
			size_t b = mix(o->object, 0) & (buckets - 1);
			o->next = objects[b];
			objects[b] = o;
		}
	}
	free(pm->entries);
	free(pm->objects);
	pm->entries = entries;
	pm->objects = objects;
	pm->buckets = buckets;
}

static struct pm_object *make_object(struct pagemap *pm, uint64_t object)
{
	struct pm_object *o = find_object(pm, object);
	if (o)
		return o;
	o = calloc(1, sizeof *o);
	if (!o)
		return NULL;
	o->object = object;
	list_init(&o->entries);
	size_t b = mix(object, 0) & (pm->buckets - 1);
	o->next = pm->objects[b];
	pm->objects[b] = o;
	pm->n_objects++;
	return o;
}

static struct pm_entry *make(struct pagemap *pm, uint64_t object, uint64_t page)
{
	struct pm_entry *e = find(pm, object, page);
	if (e)
		return e;
	if (pm->n_entries >= pm->buckets)
		grow(pm);
	struct pm_object *o = make_object(pm, object);
	if (!o)
		return NULL;
	e = pm->free_entries;
	if (e)
		pm->free_entries = e->next;
	else if (!(e = malloc(sizeof *e)))
		return NULL; /* an object without entries is harmless; pagemap_forget removes it */
	*e = (struct pm_entry){ .of = o, .page = page };
	list_init(&e->in_run);
	list_init(&e->in_pending);
	list_init(&e->in_object);
	list_add_tail(&o->entries, &e->in_object);
	size_t b = mix(object, page) & (pm->buckets - 1);
	e->next = pm->entries[b];
	pm->entries[b] = e;
	pm->n_entries++;
	return e;
}

bool pagemap_read(struct pagemap *pm, uint64_t object, uint64_t page, void *out)
{
	struct pagebuf *b = NULL;

	pthread_mutex_lock(&pm->lock);
	struct pm_entry *e = pm->n_entries ? find(pm, object, page) : NULL;
	if (e) {
		b = e->running ? e->running : e->committed;
		if (b)
			b->refs++;
	}
	pthread_mutex_unlock(&pm->lock);
	if (!b)
		return false;
	memcpy(out, b->data, CL_PAGE);
	pagemap_put_buf(pm, b);
	return true;
}

bool pagemap_has_object(struct pagemap *pm, uint64_t object)
{
	if (!pm->n_objects)
		return false;
	pthread_mutex_lock(&pm->lock);
	bool has = find_object(pm, object);
	pthread_mutex_unlock(&pm->lock);
	return has;
}

bool pagemap_mentions(struct pagemap *pm, uint64_t object, uint64_t page)
{
	bool r = false;

	pthread_mutex_lock(&pm->lock);
	struct pm_object *o = find_object(pm, object);
	if (o) {
		struct pm_entry *e = find(pm, object, page);
		r = (o->range_seq || (e && (e->seq || e->running || e->committed))) && RULE(RULE_MENTIONED);
	}
	pthread_mutex_unlock(&pm->lock);
	return r;
}

int pagemap_set_running(struct pagemap *pm, struct pagemap_run *run, uint64_t object, const uint64_t *pages,
			struct pagebuf *const *bufs, size_t n)
{
	int err = 0;

	pthread_mutex_lock(&pm->lock);
	/* What needs memory comes first. An entry left over by a failure says nothing; pagemap_forget removes it. */
	for (size_t i = 0; i < n && n > 1 && !err; i++)
		err = make(pm, object, pages[i]) ? 0 : -ENOMEM;
	for (size_t i = 0; i < n && !err; i++) {
		struct pm_entry *e = make(pm, object, pages[i]);
		if (!e) {
			err = -ENOMEM; /* the only one */
		} else if (e->running) {
			put_buf_locked(pm, e->running);
			e->running = bufs[i];
		} else {
			list_add_tail(&run->pages, &e->in_run);
			e->run = run;
			run->n++;
			pm->n_running++;
			e->running = bufs[i];
		}
	}
	pthread_mutex_unlock(&pm->lock);
	return err;
}

void pagemap_move_run(struct pagemap *pm, struct pagemap_run *run, struct pagemap_run *from)
{
	pthread_mutex_lock(&pm->lock);
	while (!list_empty(&from->pages)) {
		struct pm_entry *e = list_item(from->pages.next, struct pm_entry, in_run);
		list_del(&e->in_run);
		list_add_tail(&run->pages, &e->in_run);
		e->run = run;
		run->n++;
		from->n--;
	}
	pthread_mutex_unlock(&pm->lock);
}

static void drop_running_locked(struct pagemap *pm, struct pm_entry *e)
{
	put_buf_locked(pm, e->running);
	e->running = NULL;
	list_del(&e->in_run);
	e->run->n--;
	e->run = NULL;
	pm->n_running--;
}

void pagemap_drop_running(struct pagemap *pm, struct pagemap_run *run, uint64_t object, uint64_t first, uint64_t last)
{
	pthread_mutex_lock(&pm->lock);
	for (struct list *l = run->pages.next, *n; l != &run->pages; l = n) {
		n = l->next;
		struct pm_entry *e = list_item(l, struct pm_entry, in_run);
		if (e->of->object == object && e->page >= first && e->page <= last)
			drop_running_locked(pm, e);
	}
	pthread_mutex_unlock(&pm->lock);
}

/* buf becomes the committed version; its reference moves in. */
static void set_committed_locked(struct pagemap *pm, struct pm_entry *e, struct pagebuf *buf, uint64_t seq)
{
	if (e->committed)
		put_buf_locked(pm, e->committed);
	else
		pm->n_pending++;
	e->committed = buf;
	e->seq = seq;
	if (list_empty(&e->in_pending))
		list_add_tail(&pm->pending, &e->in_pending);
}

size_t pagemap_commit_run(struct pagemap *pm, struct pagemap_run *run, uint64_t seq, struct pagemap_page *ret)
{
	size_t n = 0;

	pthread_mutex_lock(&pm->lock);
	while (!list_empty(&run->pages)) {
		struct pm_entry *e = list_item(run->pages.next, struct pm_entry, in_run);
		struct pagebuf *b = e->running;
		b->refs += 2; /* one for the committed version, one for the caller */
		drop_running_locked(pm, e);
		set_committed_locked(pm, e, b, seq);
		ret[n++] = (struct pagemap_page){ e->of->object, e->page, b };
	}
	pthread_mutex_unlock(&pm->lock);
	return n;
}

int pagemap_commit_page(struct pagemap *pm, uint64_t object, uint64_t page, struct pagebuf *buf, uint64_t seq)
{
	pthread_mutex_lock(&pm->lock);
	struct pm_entry *e = make(pm, object, page);
	if (e) {
		buf->refs++;
		set_committed_locked(pm, e, buf, seq);
	}
	pthread_mutex_unlock(&pm->lock);
	return e ? 0 : -ENOMEM;
}

int pagemap_commit_range(struct pagemap *pm, uint64_t object, uint64_t seq)
{
	pthread_mutex_lock(&pm->lock);
	struct pm_object *o = make_object(pm, object);
	if (o)
		o->range_seq = seq;
	pthread_mutex_unlock(&pm->lock);
	return o ? 0 : -ENOMEM;
}

void pagemap_discard(struct pagemap *pm, uint64_t object, uint64_t first, uint64_t last, uint64_t seq)
{
	pthread_mutex_lock(&pm->lock);
	struct pm_object *o = find_object(pm, object);
	for (struct list *l = o ? o->entries.next : NULL; o && l != &o->entries; l = l->next) {
		struct pm_entry *e = list_item(l, struct pm_entry, in_object);
		if (e->page < first || e->page > last || !e->committed || e->seq >= seq)
			continue;
		put_buf_locked(pm, e->committed);
		e->committed = NULL;
		pm->n_pending--;
		list_del(&e->in_pending);
	}
	pthread_mutex_unlock(&pm->lock);
}

size_t pagemap_take_pending(struct pagemap *pm, struct pagemap_page *ret, size_t max)
{
	size_t n = 0;

	pthread_mutex_lock(&pm->lock);
	while (n < max && !list_empty(&pm->pending)) {
		struct pm_entry *e = list_item(pm->pending.next, struct pm_entry, in_pending);
		list_del(&e->in_pending);
		e->committed->refs++;
		ret[n++] = (struct pagemap_page){ e->of->object, e->page, e->committed };
	}
	pthread_mutex_unlock(&pm->lock);
	return n;
}

void pagemap_home(struct pagemap *pm, const struct pagemap_page *p, size_t n)
{
	pthread_mutex_lock(&pm->lock);
	for (size_t i = 0; i < n; i++) {
		struct pm_entry *e = find(pm, p[i].object, p[i].page);
		if (e && e->committed == p[i].buf) {
			put_buf_locked(pm, e->committed);
			e->committed = NULL;
			pm->n_pending--;
			list_del(&e->in_pending);
		}
		put_buf_locked(pm, p[i].buf);
	}
	pthread_mutex_unlock(&pm->lock);
}

void pagemap_not_home(struct pagemap *pm, const struct pagemap_page *p, size_t n)
{
	pthread_mutex_lock(&pm->lock);
	for (size_t i = 0; i < n; i++) {
		struct pm_entry *e = find(pm, p[i].object, p[i].page);
		if (e && e->committed && list_empty(&e->in_pending))
			list_add(&pm->pending, &e->in_pending);
		put_buf_locked(pm, p[i].buf);
	}
	pthread_mutex_unlock(&pm->lock);
}

size_t pagemap_forward(struct pagemap *pm, uint64_t seq, bool (*skip)(const void *arg, uint64_t object, uint64_t page),
		       const void *arg, struct pagemap_page *ret)
{
	size_t n = 0;

	pthread_mutex_lock(&pm->lock);
	for (struct list *l = pm->pending.next; l != &pm->pending; l = l->next) {
		struct pm_entry *e = list_item(l, struct pm_entry, in_pending);
		if (e->seq >= seq || skip(arg, e->of->object, e->page))
			continue;
		e->seq = seq;
		e->committed->refs++;
		ret[n++] = (struct pagemap_page){ e->of->object, e->page, e->committed };
	}
	pthread_mutex_unlock(&pm->lock);
	return n;
}

uint64_t pagemap_oldest(struct pagemap *pm)
{
	uint64_t oldest = UINT64_MAX;

	pthread_mutex_lock(&pm->lock);
	for (struct list *l = pm->pending.next; l != &pm->pending; l = l->next)
		oldest = CL_MIN(oldest, list_item(l, struct pm_entry, in_pending)->seq);
	pthread_mutex_unlock(&pm->lock);
	return oldest;
}

void pagemap_forget(struct pagemap *pm, uint64_t seq)
{
	pthread_mutex_lock(&pm->lock);
	for (size_t i = 0; i < pm->buckets; i++) {
		struct pm_entry **at = &pm->entries[i];
		while (*at) {
			struct pm_entry *e = *at;
			if (e->seq <= seq && !e->committed)
				e->seq = 0;
			if (e->seq || e->running || e->committed) {
				at = &e->next;
				continue;
			}
			*at = e->next;
			list_del(&e->in_object);
			pm->n_entries--;
			e->next = pm->free_entries;
			pm->free_entries = e;
		}
	}
	for (size_t i = 0; i < pm->buckets; i++) {
		struct pm_object **at = &pm->objects[i];
		while (*at) {
			struct pm_object *o = *at;
			if (o->range_seq <= seq)
				o->range_seq = 0;
			if (o->range_seq || !list_empty(&o->entries)) {
				at = &o->next;
				continue;
			}
			*at = o->next;
			pm->n_objects--;
			free(o);
		}
	}
	pthread_mutex_unlock(&pm->lock);
}

void pagemap_drop(struct pagemap *pm, uint64_t seq)
{
	pthread_mutex_lock(&pm->lock);
	for (struct list *l = pm->pending.next, *n; l != &pm->pending; l = n) {
		n = l->next;
		struct pm_entry *e = list_item(l, struct pm_entry, in_pending);
		if (e->seq > seq)
			continue;
		put_buf_locked(pm, e->committed);
		e->committed = NULL;
		pm->n_pending--;
		list_del(&e->in_pending);
	}
	pthread_mutex_unlock(&pm->lock);
	pagemap_forget(pm, seq);
}

size_t pagemap_n_running(struct pagemap *pm)
{
	return pm->n_running;
}

size_t pagemap_n_pending(struct pagemap *pm)
{
	return pm->n_pending;
}
