/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A store with little room: see tightstore.h. */
#include "tests/full/tightstore.h"

#include "tests/model/ref.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PREFIX_MAX (STORE_NAME_MAX * 2)
#define FULL_NAME_MAX (PREFIX_MAX + 1 + STORE_NAME_MAX)

enum { HOLE, PAID, OWED }; /* owed: written, and not yet found room for */

struct tightfile {
	struct tightfile *next;
	char name[FULL_NAME_MAX];
	uint8_t *pages;
	uint64_t n;
	unsigned opens;
	bool gone; /* unlinked */
	bool lost; /* writes were, and only a sync of everything has told */
};

struct tightstore {
	struct store base;
	struct store *inner;
	struct tight *tight;
	bool owned;
	char prefix[PREFIX_MAX];
};

struct tighthandle {
	struct store_file *inner;
	struct tightfile *file;
};

static const struct store_ops tight_ops;

static struct tightstore *of(struct store *s)
{
	return (struct tightstore *)(void *)s;
}

static struct tighthandle *handle(struct store_file *f)
{
	return (struct tighthandle *)(void *)f;
}

static struct store *wrap(struct store *inner, struct tight *t, bool owned, const char *prefix)
{
	struct tightstore *s = ref_alloc(sizeof *s);

	s->base.ops = &tight_ops;
	s->inner = inner;
	s->tight = t;
	s->owned = owned;
	if (strlen(prefix) >= sizeof s->prefix)
		abort();
	strcpy(s->prefix, prefix);
	return &s->base;
}

static int no_room(struct tight *t)
{
	t->refused++;
	return t->quota ? -EDQUOT : -ENOSPC;
}

/* Lock held, as in all that follows. */
static struct tightfile *find(struct store *s, const char *name, bool make)
{
	char full[FULL_NAME_MAX];
	struct tight *t = of(s)->tight;
	struct tightfile *f = t->files;

	snprintf(full, sizeof full, "%s/%s", of(s)->prefix, name);
	while (f && (f->gone || strcmp(f->name, full)))
		f = f->next;
	if (!f && make) {
		f = ref_alloc(sizeof *f);
		strcpy(f->name, full);
		f->next = t->files;
		t->files = f;
	}
	return f;
}

static void set(struct tight *t, struct tightfile *f, uint64_t page, uint8_t to)
{
	if (page >= f->n) {
		if (to == HOLE)
			return;
		uint64_t n = page * 2 + 16;
		uint8_t *p = ref_alloc(n);
		if (f->n)
			memcpy(p, f->pages, f->n);
		free(f->pages);
		f->pages = p;
		f->n = n;
	}
	t->free += (f->pages[page] == PAID) - (to == PAID);
	f->pages[page] = to;
}

static uint8_t get(const struct tightfile *f, uint64_t page)
{
	return page < f->n ? f->pages[page] : HOLE;
}

static void free_pages(struct tight *t, struct tightfile *f, uint64_t first, uint64_t end)
{
	for (uint64_t p = first; p < end && p < f->n; p++)
		set(t, f, p, HOLE);
}

static void drop_if_unused(struct tight *t, struct tightfile *f)
{
	if (!f->gone || f->opens)
		return;
	struct tightfile **at = &t->files;
	while (*at != f)
		at = &(*at)->next;
	*at = f->next;
	free(f->pages);
	free(f);
}

void tight_init(struct tight *t, int64_t pages)
{
	memset(t, 0, sizeof *t);
	t->free = pages;
	t->inodes = INT64_MAX;
	pthread_mutex_init(&t->lock, NULL);
}

void tight_done(struct tight *t)
{
	while (t->files) {
		struct tightfile *f = t->files;
		t->files = f->next;
		free(f->pages);
		free(f);
	}
	pthread_mutex_destroy(&t->lock);
}

void tight_give(struct tight *t, int64_t pages)
{
	pthread_mutex_lock(&t->lock);
	t->free += pages;
	pthread_mutex_unlock(&t->lock);
}

void tight_fill(struct tight *t, int64_t but)
{
	pthread_mutex_lock(&t->lock);
	t->free = CL_MIN(t->free, but);
	pthread_mutex_unlock(&t->lock);
}

int64_t tight_free(struct tight *t)
{
	pthread_mutex_lock(&t->lock);
	int64_t n = t->free;
	pthread_mutex_unlock(&t->lock);
	return n;
}

int64_t tight_used(struct tight *t)
{
	int64_t n = 0;

	pthread_mutex_lock(&t->lock);
	for (struct tightfile *f = t->files; f; f = f->next)
		for (uint64_t p = 0; p < f->n; p++)
			n += f->pages[p] == PAID;
	pthread_mutex_unlock(&t->lock);
	return n;
}

static int tight_open(struct store *s, const char *name, int flags, struct store_file **ret)
{
	struct tight *t = of(s)->tight;
	struct store_file *inner;

	pthread_mutex_lock(&t->lock);
	bool made = !find(s, name, false) && flags & STORE_CREATE;
	int err = made && t->inodes <= 0 ? no_room(t) : of(s)->inner->ops->open(of(s)->inner, name, flags, &inner);
	if (!err) {
		struct tighthandle *h = ref_alloc(sizeof *h);
		h->inner = inner;
		h->file = find(s, name, true);
		h->file->opens++;
		t->inodes -= made;
		*ret = (struct store_file *)(void *)h;
	}
	pthread_mutex_unlock(&t->lock);
	return err;
}

static void tight_close(struct store *s, struct store_file *f)
{
	struct tight *t = of(s)->tight;

	if (!f)
		return;
	of(s)->inner->ops->close(of(s)->inner, handle(f)->inner);
	pthread_mutex_lock(&t->lock);
	handle(f)->file->opens--;
	drop_if_unused(t, handle(f)->file);
	pthread_mutex_unlock(&t->lock);
	free(f);
}

static int tight_pread(struct store *s, struct store_file *f, void *buf, size_t n, uint64_t off, size_t *ret_got)
{
	return of(s)->inner->ops->pread(of(s)->inner, handle(f)->inner, buf, n, off, ret_got);
}

/* Room for one page that is to be written: allocated, or owed. */
static int pay(struct tight *t, struct tightfile *f, uint64_t page)
{
	bool journal = strstr(f->name, "/journal");

	if (get(f, page) == PAID)
		return t->cow && !journal && t->free <= 0 ? no_room(t) : 0;
	if (t->late && !journal) {
		set(t, f, page, OWED);
		return 0;
	}
	if (t->free <= 0)
		return no_room(t);
	set(t, f, page, PAID);
	return 0;
}

/* As a filesystem does it: what there is room for is written, then comes the error. */
static int tight_pwrite(struct store *s, struct store_file *f, const void *buf, size_t n, uint64_t off)
{
	struct tight *t = of(s)->tight;
	uint64_t first = off / CL_PAGE, end = (off + n + CL_PAGE - 1) / CL_PAGE, p;
	int err = 0;

	pthread_mutex_lock(&t->lock);
	for (p = first; p < end && !err; p += !err)
		err = pay(t, handle(f)->file, p);
	size_t good = err ? (size_t)(p > first ? p * CL_PAGE - off : 0) : n;
	int inner = good ? of(s)->inner->ops->pwrite(of(s)->inner, handle(f)->inner, buf, good, off) : 0;
	pthread_mutex_unlock(&t->lock);
	return inner ? inner : err;
}

static int tight_pwritev(struct store *s, struct store_file *f, struct iovec *iov, int n, uint64_t off)
{
	int err = 0;

	for (int i = 0; i < n && !err; i++) {
		err = tight_pwrite(s, f, iov[i].iov_base, iov[i].iov_len, off);
		off += iov[i].iov_len;
	}
	return err;
}

/* Finds room for what is owed. If there is none, all of it is gone; the file's own sync says so once. */
static int settle(struct store *s, struct store_file *inner, struct tightfile *f, bool own)
{
	struct tight *t = of(s)->tight;
	int64_t owed = 0;
	int err = 0;

	for (uint64_t p = 0; p < f->n; p++)
		owed += f->pages[p] == OWED;
	bool told = own && f->lost;
	if (told)
		f->lost = false;
	if (!owed)
		return told ? no_room(t) : 0;
	bool lost = owed > t->free;
	f->lost |= lost && !own;
	for (uint64_t p = 0; p < f->n && !err; p++) {
		if (f->pages[p] != OWED)
			continue;
		set(t, f, p, lost ? HOLE : PAID);
		if (lost)
			err = of(s)->inner->ops->punch(of(s)->inner, inner, p * CL_PAGE, CL_PAGE);
	}
	return err ? err : lost || told ? no_room(t) : 0;
}

static int tight_sync(struct store *s, struct store_file *f)
{
	struct tight *t = of(s)->tight;

	pthread_mutex_lock(&t->lock);
	int err = settle(s, handle(f)->inner, handle(f)->file, true);
	if (!err)
		err = of(s)->inner->ops->sync(of(s)->inner, handle(f)->inner);
	pthread_mutex_unlock(&t->lock);
	return err;
}

static int tight_sync_dir(struct store *s, const char *name)
{
	return of(s)->inner->ops->sync_dir(of(s)->inner, name);
}

static int tight_sync_all(struct store *s)
{
	struct tight *t = of(s)->tight;
	size_t n = strlen(of(s)->prefix) + 1;
	int err = 0;

	pthread_mutex_lock(&t->lock);
	for (struct tightfile *f = t->files; f; f = f->next) {
		struct store_file *inner;
		if (f->gone || of(s)->inner->ops->open(of(s)->inner, f->name + n, STORE_RDWR, &inner))
			continue;
		int e = settle(s, inner, f, false);
		err = err ? err : e;
		of(s)->inner->ops->close(of(s)->inner, inner);
	}
	if (!err)
		err = of(s)->inner->ops->sync_all(of(s)->inner);
	pthread_mutex_unlock(&t->lock);
	return err;
}

static int tight_size(struct store *s, struct store_file *f, uint64_t *ret)
{
	return of(s)->inner->ops->size(of(s)->inner, handle(f)->inner, ret);
}

static int tight_truncate(struct store *s, struct store_file *f, uint64_t len)
{
	struct tight *t = of(s)->tight;

	pthread_mutex_lock(&t->lock);
	int err = of(s)->inner->ops->truncate(of(s)->inner, handle(f)->inner, len);
	if (!err)
		free_pages(t, handle(f)->file, (len + CL_PAGE - 1) / CL_PAGE, UINT64_MAX);
	pthread_mutex_unlock(&t->lock);
	return err;
}

static int tight_punch(struct store *s, struct store_file *f, uint64_t off, uint64_t len)
{
	struct tight *t = of(s)->tight;

	pthread_mutex_lock(&t->lock);
	int err = of(s)->inner->ops->punch(of(s)->inner, handle(f)->inner, off, len);
	if (!err)
		free_pages(t, handle(f)->file, (off + CL_PAGE - 1) / CL_PAGE, (off + len) / CL_PAGE);
	pthread_mutex_unlock(&t->lock);
	return err;
}

static int tight_allocate(struct store *s, struct store_file *f, uint64_t off, uint64_t len)
{
	struct tight *t = of(s)->tight;
	struct tightfile *file = handle(f)->file;
	int err = 0;

	pthread_mutex_lock(&t->lock);
	for (uint64_t p = off / CL_PAGE; p * CL_PAGE < off + len && !err; p++) {
		if (get(file, p) != HOLE)
			continue;
		if (t->free <= 0)
			err = no_room(t);
		else
			set(t, file, p, PAID);
	}
	if (!err)
		err = of(s)->inner->ops->allocate(of(s)->inner, handle(f)->inner, off, len);
	pthread_mutex_unlock(&t->lock);
	return err;
}

static int tight_unlink(struct store *s, const char *name)
{
	struct tight *t = of(s)->tight;

	pthread_mutex_lock(&t->lock);
	int err = of(s)->inner->ops->unlink(of(s)->inner, name);
	struct tightfile *f = err ? NULL : find(s, name, false);
	if (f) {
		free_pages(t, f, 0, UINT64_MAX);
		t->inodes += t->inodes < INT64_MAX;
		f->gone = true;
		drop_if_unused(t, f);
	}
	pthread_mutex_unlock(&t->lock);
	return err;
}

static int tight_rename(struct store *s, const char *from, const char *to)
{
	(void)s;
	(void)from;
	(void)to;
	return -EOPNOTSUPP; /* the engine renames no lower file */
}

static int tight_mkdir(struct store *s, const char *name)
{
	return of(s)->inner->ops->mkdir(of(s)->inner, name);
}

static int tight_rmdir(struct store *s, const char *name)
{
	return of(s)->inner->ops->rmdir(of(s)->inner, name);
}

static int tight_list(struct store *s, const char *dir, int (*fn)(void *arg, const char *name, bool is_dir), void *arg)
{
	return of(s)->inner->ops->list(of(s)->inner, dir, fn, arg);
}

static int tight_space(struct store *s, struct store_space *ret)
{
	struct tight *t = of(s)->tight;

	pthread_mutex_lock(&t->lock);
	uint64_t n = t->quota ? 1u << 20 : (uint64_t)CL_MAX(t->free, 0);
	pthread_mutex_unlock(&t->lock);
	*ret = (struct store_space){ CL_PAGE, 1u << 24, n, n };
	return 0;
}

static int tight_lock(struct store *s, struct store_file *f, enum store_lock how)
{
	return of(s)->inner->ops->lock(of(s)->inner, handle(f)->inner, how);
}

static int tight_sub(struct store *s, const char *dir, struct store **ret)
{
	struct store *inner;
	char prefix[FULL_NAME_MAX];
	int err = of(s)->inner->ops->sub(of(s)->inner, dir, &inner);

	snprintf(prefix, sizeof prefix, "%s/%s", of(s)->prefix, dir);
	if (!err)
		*ret = wrap(inner, of(s)->tight, true, prefix);
	return err;
}

static void tight_free_store(struct store *s)
{
	if (of(s)->owned)
		of(s)->inner->ops->free(of(s)->inner);
	free(s);
}

static const struct store_ops tight_ops = {
	.open = tight_open,
	.close = tight_close,
	.pread = tight_pread,
	.pwrite = tight_pwrite,
	.pwritev = tight_pwritev,
	.sync = tight_sync,
	.sync_dir = tight_sync_dir,
	.sync_all = tight_sync_all,
	.size = tight_size,
	.truncate = tight_truncate,
	.punch = tight_punch,
	.allocate = tight_allocate,
	.unlink = tight_unlink,
	.rename = tight_rename,
	.mkdir = tight_mkdir,
	.rmdir = tight_rmdir,
	.list = tight_list,
	.space = tight_space,
	.lock = tight_lock,
	.sub = tight_sub,
	.free = tight_free_store,
};

struct store *tightstore_new(struct store *inner, struct tight *t)
{
	return wrap(inner, t, false, "");
}
