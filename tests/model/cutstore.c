/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A store that ends the process at a chosen call. */
#include "tests/model/cutstore.h"

#include "tests/model/ref.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct cutstore {
	struct store base;
	struct store *inner;
	struct cut *cut;
	bool owned;
};

/* What the engine holds as a file. */
struct cutfile {
	struct store_file *inner;
	bool journal;
};

static const struct store_ops cut_ops;

static struct cutstore *of(struct store *s)
{
	return (struct cutstore *)(void *)s;
}

static struct store_file *inner_file(struct store_file *f)
{
	return ((struct cutfile *)(void *)f)->inner;
}

/* True when this call is the last one. */
static bool last(struct store *s)
{
	struct cut *c = of(s)->cut;

	atomic_fetch_add(&c->done, 1);
	return atomic_fetch_sub(&c->left, 1) == 1;
}

static void count(struct store *s)
{
	if (last(s))
		_exit(CUT_EXIT);
}

static struct store *wrap(struct store *inner, struct cut *c, bool owned)
{
	struct cutstore *s = ref_alloc(sizeof *s);

	s->base.ops = &cut_ops;
	s->inner = inner;
	s->cut = c;
	s->owned = owned;
	return &s->base;
}

static int cut_open(struct store *s, const char *name, int flags, struct store_file **ret)
{
	struct store_file *inner;

	if (flags & STORE_CREATE)
		count(s);
	int err = of(s)->inner->ops->open(of(s)->inner, name, flags, &inner);
	if (err)
		return err;
	struct cutfile *f = ref_alloc(sizeof *f);
	f->inner = inner;
	f->journal = !strcmp(name, "journal");
	*ret = (struct store_file *)(void *)f;
	return 0;
}

static void cut_close(struct store *s, struct store_file *f)
{
	of(s)->inner->ops->close(of(s)->inner, inner_file(f));
	free(f);
}

static int cut_pread(struct store *s, struct store_file *f, void *buf, size_t n, uint64_t off, size_t *ret_got)
{
	return of(s)->inner->ops->pread(of(s)->inner, inner_file(f), buf, n, off, ret_got);
}

static int cut_pwrite(struct store *s, struct store_file *f, const void *buf, size_t n, uint64_t off)
{
	struct store *inner = of(s)->inner;

	if (((struct cutfile *)(void *)f)->journal)
		atomic_store(&of(s)->cut->journal, true);
	if (last(s)) {
		/* Torn: some sectors of it arrive. */
		n = n / 512 * (size_t)(atomic_load(&of(s)->cut->done) % 8) / 8 * 512;
		_exit(n && inner->ops->pwrite(inner, inner_file(f), buf, n, off) ? 1 : CUT_EXIT);
	}
	return inner->ops->pwrite(inner, inner_file(f), buf, n, off);
}

static int cut_pwritev(struct store *s, struct store_file *f, struct iovec *iov, int n, uint64_t off)
{
	int err = 0;

	for (int i = 0; i < n && !err; i++) {
		err = cut_pwrite(s, f, iov[i].iov_base, iov[i].iov_len, off);
		off += iov[i].iov_len;
	}
	return err;
}

static int cut_sync(struct store *s, struct store_file *f)
{
	count(s);
	return of(s)->inner->ops->sync(of(s)->inner, inner_file(f));
}

static int cut_sync_dir(struct store *s, const char *name)
{
	count(s);
	return of(s)->inner->ops->sync_dir(of(s)->inner, name);
}

static int cut_sync_all(struct store *s)
{
	count(s);
	return of(s)->inner->ops->sync_all(of(s)->inner);
}

static int cut_size(struct store *s, struct store_file *f, uint64_t *ret)
{
	return of(s)->inner->ops->size(of(s)->inner, inner_file(f), ret);
}

static int cut_truncate(struct store *s, struct store_file *f, uint64_t len)
{
	count(s);
	return of(s)->inner->ops->truncate(of(s)->inner, inner_file(f), len);
}

static int cut_punch(struct store *s, struct store_file *f, uint64_t off, uint64_t len)
{
	count(s);
	return of(s)->inner->ops->punch(of(s)->inner, inner_file(f), off, len);
}

static int cut_allocate(struct store *s, struct store_file *f, uint64_t off, uint64_t len)
{
	count(s);
	return of(s)->inner->ops->allocate(of(s)->inner, inner_file(f), off, len);
}

static int cut_unlink(struct store *s, const char *name)
{
	count(s);
	return of(s)->inner->ops->unlink(of(s)->inner, name);
}

static int cut_rename(struct store *s, const char *from, const char *to)
{
	count(s);
	return of(s)->inner->ops->rename(of(s)->inner, from, to);
}

static int cut_mkdir(struct store *s, const char *name)
{
	count(s);
	return of(s)->inner->ops->mkdir(of(s)->inner, name);
}

static int cut_rmdir(struct store *s, const char *name)
{
	count(s);
	return of(s)->inner->ops->rmdir(of(s)->inner, name);
}

static int cut_list(struct store *s, const char *dir, int (*fn)(void *arg, const char *name, bool is_dir), void *arg)
{
	return of(s)->inner->ops->list(of(s)->inner, dir, fn, arg);
}

static int cut_space(struct store *s, struct store_space *ret)
{
	return of(s)->inner->ops->space(of(s)->inner, ret);
}

static int cut_lock(struct store *s, struct store_file *f, enum store_lock how)
{
	return of(s)->inner->ops->lock(of(s)->inner, inner_file(f), how);
}

static int cut_sub(struct store *s, const char *dir, struct store **ret)
{
	struct store *inner;
	int err = of(s)->inner->ops->sub(of(s)->inner, dir, &inner);

	if (!err)
		*ret = wrap(inner, of(s)->cut, true);
	return err;
}

static void cut_free(struct store *s)
{
	if (of(s)->owned)
		of(s)->inner->ops->free(of(s)->inner);
	free(s);
}

static const struct store_ops cut_ops = {
	.open = cut_open,
	.close = cut_close,
	.pread = cut_pread,
	.pwrite = cut_pwrite,
	.pwritev = cut_pwritev,
	.sync = cut_sync,
	.sync_dir = cut_sync_dir,
	.sync_all = cut_sync_all,
	.size = cut_size,
	.truncate = cut_truncate,
	.punch = cut_punch,
	.allocate = cut_allocate,
	.unlink = cut_unlink,
	.rename = cut_rename,
	.mkdir = cut_mkdir,
	.rmdir = cut_rmdir,
	.list = cut_list,
	.space = cut_space,
	.lock = cut_lock,
	.sub = cut_sub,
	.free = cut_free,
};

struct store *cutstore_new(struct store *inner, struct cut *c)
{
	return wrap(inner, c, false);
}
