/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A store that calls somebody before each call. */
#include "tests/unit/hook_store.h"

#include <stdlib.h>

struct hook_store {
	struct store base;
	struct store *inner;
	bool own; /* inner is freed with it */
	void (*before)(void *arg);
	void *arg;
};

static struct store *inner(struct store *s)
{
	struct hook_store *h = CL_CONTAINER(s, struct hook_store, base);

	h->before(h->arg);
	return h->inner;
}

static int hook_open(struct store *s, const char *name, int flags, struct store_file **ret)
{
	struct store *i = inner(s);

	return flags & ~STORE_DIRECT ? -EROFS : i->ops->open(i, name, flags, ret);
}

static void hook_close(struct store *s, struct store_file *f)
{
	struct store *i = inner(s);
	i->ops->close(i, f);
}

static int hook_pread(struct store *s, struct store_file *f, void *buf, size_t n, uint64_t off, size_t *ret_got)
{
	struct store *i = inner(s);
	return i->ops->pread(i, f, buf, n, off, ret_got);
}

static int hook_size(struct store *s, struct store_file *f, uint64_t *ret)
{
	struct store *i = inner(s);
	return i->ops->size(i, f, ret);
}

static int hook_list(struct store *s, const char *dir, int (*fn)(void *arg, const char *name, bool is_dir), void *arg)
{
	struct store *i = inner(s);
	return i->ops->list(i, dir, fn, arg);
}

static int hook_lock(struct store *s, struct store_file *f, enum store_lock how)
{
	struct store *i = inner(s);
	return how == STORE_EXCLUSIVE ? -EROFS : i->ops->lock(i, f, how);
}

static int hook_sub(struct store *s, const char *dir, struct store **ret);

static void hook_free(struct store *s)
{
	struct hook_store *h = CL_CONTAINER(s, struct hook_store, base);

	if (h->own)
		h->inner->ops->free(h->inner);
	free(h);
}

static const struct store_ops hook_ops = {
	.open = hook_open,
	.close = hook_close,
	.pread = hook_pread,
	.size = hook_size,
	.list = hook_list,
	.lock = hook_lock,
	.sub = hook_sub,
	.free = hook_free,
};

struct store *hook_store_new(struct store *inner_store, void (*before)(void *arg), void *arg)
{
	struct hook_store *h = calloc(1, sizeof *h);

	if (!h)
		return NULL;
	*h = (struct hook_store){ .base = { &hook_ops }, .inner = inner_store, .before = before, .arg = arg };
	return &h->base;
}

static int hook_sub(struct store *s, const char *dir, struct store **ret)
{
	struct hook_store *h = CL_CONTAINER(s, struct hook_store, base);
	struct store *sub;
	int err = h->inner->ops->sub(h->inner, dir, &sub);

	if (err)
		return err;
	*ret = hook_store_new(sub, h->before, h->arg);
	if (!*ret) {
		sub->ops->free(sub);
		return -ENOMEM;
	}
	CL_CONTAINER(*ret, struct hook_store, base)->own = true;
	return 0;
}
