/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A store over another one, call by call. */
#include "tests/model/wrapstore.h"

#include "tests/model/ref.h"

#include <stdlib.h>
#include <string.h>

struct wrapstore {
	struct store base;
	struct store *inner;
	const struct wrap *wrap;
	bool owned;
};

/* What the engine holds as a file. */
struct wrapfile {
	struct store_file *inner;
	char name[STORE_NAME_MAX];
};

static const struct store_ops wrap_ops;

static struct wrapstore *of(struct store *s)
{
	return (struct wrapstore *)(void *)s;
}

static struct wrapfile *file_of(struct store_file *f)
{
	return (struct wrapfile *)(void *)f;
}

const char *wrap_kind_name(enum wrap_kind kind)
{
	static const char *const names[WRAP_KINDS] = {
		"open", "create", "pread", "pwrite", "sync", "sync_dir", "sync_all", "size", "truncate", "punch", "allocate",
		"unlink", "rename", "mkdir", "rmdir", "list", "space", "lock", "sub",
	};

	return names[kind];
}

bool wrap_kind_changes(enum wrap_kind kind)
{
	switch (kind) {
	case WRAP_OPEN: case WRAP_PREAD: case WRAP_SIZE: case WRAP_LIST: case WRAP_SPACE: case WRAP_LOCK: case WRAP_SUB:
		return false;
	default:
		return true;
	}
}

size_t wrap_length(const struct wrap_call *call)
{
	size_t n = 0;

	for (int i = 0; i < call->n_iov; i++)
		n += call->iov[i].iov_len;
	return n;
}

int wrap_write_part(const struct wrap_call *call, size_t n)
{
	uint64_t off = call->off;
	int err = 0;

	for (int i = 0; i < call->n_iov && n && !err; i++) {
		size_t part = CL_MIN(n, call->iov[i].iov_len);
		err = call->inner->ops->pwrite(call->inner, call->file, call->iov[i].iov_base, part, off);
		off += part;
		n -= part;
	}
	return err;
}

static int before(struct store *s, struct wrap_call call)
{
	const struct wrap *w = of(s)->wrap;

	call.inner = of(s)->inner;
	return w->before(w->arg, &call);
}

static int after(struct store *s, int err)
{
	const struct wrap *w = of(s)->wrap;

	if (w->after)
		w->after(w->arg);
	return err;
}

static int on_name(struct store *s, enum wrap_kind kind, const char *name)
{
	return before(s, (struct wrap_call){ .kind = kind, .name = name });
}

static int on_file(struct store *s, enum wrap_kind kind, struct store_file *f)
{
	return before(s, (struct wrap_call){ .kind = kind, .name = file_of(f)->name, .file = file_of(f)->inner });
}

static struct store *below(struct store *s)
{
	return of(s)->inner;
}

static struct store *wrap(struct store *inner, const struct wrap *w, bool owned)
{
	struct wrapstore *s = ref_alloc(sizeof *s);

	s->base.ops = &wrap_ops;
	s->inner = inner;
	s->wrap = w;
	s->owned = owned;
	return &s->base;
}

static int wrap_open(struct store *s, const char *name, int flags, struct store_file **ret)
{
	struct store_file *inner;
	int err = on_name(s, flags & STORE_CREATE ? WRAP_CREATE : WRAP_OPEN, name);

	if (!err)
		err = below(s)->ops->open(below(s), name, flags, &inner);
	if (!err) {
		struct wrapfile *f = ref_alloc(sizeof *f);
		f->inner = inner;
		strncpy(f->name, name, sizeof f->name - 1);
		*ret = (struct store_file *)(void *)f;
	}
	return after(s, err);
}

static void wrap_close(struct store *s, struct store_file *f)
{
	below(s)->ops->close(below(s), file_of(f)->inner);
	free(f);
}

static int wrap_pread(struct store *s, struct store_file *f, void *buf, size_t n, uint64_t off, size_t *ret_got)
{
	int err = on_file(s, WRAP_PREAD, f);
	return after(s, err ? err : below(s)->ops->pread(below(s), file_of(f)->inner, buf, n, off, ret_got));
}

static int wrap_write(struct store *s, struct store_file *f, struct iovec *iov, int n, uint64_t off)
{
	struct wrap_call call = { .kind = WRAP_PWRITE, .name = file_of(f)->name, .file = file_of(f)->inner, .iov = iov, .n_iov = n,
				  .off = off };
	int err = before(s, call);

	if (!err)
		err = below(s)->ops->pwritev(below(s), file_of(f)->inner, iov, n, off);
	return after(s, err);
}

static int wrap_pwrite(struct store *s, struct store_file *f, const void *buf, size_t n, uint64_t off)
{
	return wrap_write(s, f, &(struct iovec){ (void *)(uintptr_t)buf, n }, 1, off);
}

static int wrap_pwritev(struct store *s, struct store_file *f, struct iovec *iov, int n, uint64_t off)
{
	int err = 0;

	if (!of(s)->wrap->split)
		return wrap_write(s, f, iov, n, off);
	for (int i = 0; i < n && !err; i++) {
		err = wrap_pwrite(s, f, iov[i].iov_base, iov[i].iov_len, off);
		off += iov[i].iov_len;
	}
	return err;
}

static int wrap_sync(struct store *s, struct store_file *f)
{
	int err = on_file(s, WRAP_SYNC, f);
	return after(s, err ? err : below(s)->ops->sync(below(s), file_of(f)->inner));
}

static int wrap_sync_dir(struct store *s, const char *name)
{
	int err = on_name(s, WRAP_SYNC_DIR, name);
	return after(s, err ? err : below(s)->ops->sync_dir(below(s), name));
}

static int wrap_sync_all(struct store *s)
{
	int err = on_name(s, WRAP_SYNC_ALL, ".");
	return after(s, err ? err : below(s)->ops->sync_all(below(s)));
}

static int wrap_size(struct store *s, struct store_file *f, uint64_t *ret)
{
	int err = on_file(s, WRAP_SIZE, f);
	return after(s, err ? err : below(s)->ops->size(below(s), file_of(f)->inner, ret));
}

static int wrap_truncate(struct store *s, struct store_file *f, uint64_t len)
{
	int err = on_file(s, WRAP_TRUNCATE, f);
	return after(s, err ? err : below(s)->ops->truncate(below(s), file_of(f)->inner, len));
}

static int wrap_punch(struct store *s, struct store_file *f, uint64_t off, uint64_t len)
{
	int err = on_file(s, WRAP_PUNCH, f);
	return after(s, err ? err : below(s)->ops->punch(below(s), file_of(f)->inner, off, len));
}

static int wrap_allocate(struct store *s, struct store_file *f, uint64_t off, uint64_t len)
{
	int err = on_file(s, WRAP_ALLOCATE, f);
	return after(s, err ? err : below(s)->ops->allocate(below(s), file_of(f)->inner, off, len));
}

static int wrap_unlink(struct store *s, const char *name)
{
	int err = on_name(s, WRAP_UNLINK, name);
	return after(s, err ? err : below(s)->ops->unlink(below(s), name));
}

static int wrap_rename(struct store *s, const char *from, const char *to)
{
	int err = on_name(s, WRAP_RENAME, from);
	return after(s, err ? err : below(s)->ops->rename(below(s), from, to));
}

static int wrap_mkdir(struct store *s, const char *name)
{
	int err = on_name(s, WRAP_MKDIR, name);
	return after(s, err ? err : below(s)->ops->mkdir(below(s), name));
}

static int wrap_rmdir(struct store *s, const char *name)
{
	int err = on_name(s, WRAP_RMDIR, name);
	return after(s, err ? err : below(s)->ops->rmdir(below(s), name));
}

static int wrap_list(struct store *s, const char *dir, int (*fn)(void *arg, const char *name, bool is_dir), void *arg)
{
	int err = on_name(s, WRAP_LIST, dir);
	return after(s, err ? err : below(s)->ops->list(below(s), dir, fn, arg));
}

static int wrap_space(struct store *s, struct store_space *ret)
{
	int err = on_name(s, WRAP_SPACE, ".");
	return after(s, err ? err : below(s)->ops->space(below(s), ret));
}

static int wrap_lock(struct store *s, struct store_file *f, enum store_lock how)
{
	int err = on_file(s, WRAP_LOCK, f);
	return after(s, err ? err : below(s)->ops->lock(below(s), file_of(f)->inner, how));
}

static int wrap_sub(struct store *s, const char *dir, struct store **ret)
{
	struct store *inner;
	int err = on_name(s, WRAP_SUB, dir);

	if (!err)
		err = below(s)->ops->sub(below(s), dir, &inner);
	if (!err)
		*ret = wrap(inner, of(s)->wrap, true);
	return after(s, err);
}

static void wrap_free(struct store *s)
{
	if (of(s)->owned)
		below(s)->ops->free(below(s));
	free(s);
}

static const struct store_ops wrap_ops = {
	.open = wrap_open,
	.close = wrap_close,
	.pread = wrap_pread,
	.pwrite = wrap_pwrite,
	.pwritev = wrap_pwritev,
	.sync = wrap_sync,
	.sync_dir = wrap_sync_dir,
	.sync_all = wrap_sync_all,
	.size = wrap_size,
	.truncate = wrap_truncate,
	.punch = wrap_punch,
	.allocate = wrap_allocate,
	.unlink = wrap_unlink,
	.rename = wrap_rename,
	.mkdir = wrap_mkdir,
	.rmdir = wrap_rmdir,
	.list = wrap_list,
	.space = wrap_space,
	.lock = wrap_lock,
	.sub = wrap_sub,
	.free = wrap_free,
};

struct store *wrapstore_new(struct store *inner, const struct wrap *w)
{
	return wrap(inner, w, false);
}
