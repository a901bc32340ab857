/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Images of a backing directory: files, copies, and the store over them. */
#include "tests/evil/image.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *need(void *p)
{
	if (!p) {
		fprintf(stderr, "out of memory\n");
		abort();
	}
	return p;
}

static void put_page(struct image_page *p)
{
	if (p && --p->refs == 0)
		free(p);
}

static void put_file(struct image_file *f)
{
	if (--f->refs)
		return;
	for (size_t i = 0; i < f->n_pages; i++)
		put_page(f->pages[i]);
	free(f->pages);
	free(f->read);
	free(f);
}

/* A page of its own, to be written. */
static uint8_t *own_page(struct image_file *f, size_t at)
{
	struct image_page *p = f->pages[at];

	if (p && p->refs == 1)
		return p->bytes;
	struct image_page *mine = need(malloc(sizeof *mine));
	mine->refs = 1;
	if (p)
		memcpy(mine->bytes, p->bytes, CL_PAGE);
	else
		memset(mine->bytes, 0, CL_PAGE);
	put_page(p);
	f->pages[at] = mine;
	return mine->bytes;
}

void image_cut(struct image_file *f, uint64_t size)
{
	size_t n = (size_t)((size + CL_PAGE - 1) / CL_PAGE);

	for (size_t i = n; i < f->n_pages; i++)
		put_page(f->pages[i]);
	if (n > f->n_pages) {
		f->pages = need(realloc(f->pages, n * sizeof(struct image_page *)));
		memset(f->pages + f->n_pages, 0, (n - f->n_pages) * sizeof(struct image_page *));
	}
	f->n_pages = n;
	f->size = size;
	if (size % CL_PAGE && f->pages[n - 1])
		memset(own_page(f, n - 1) + size % CL_PAGE, 0, CL_PAGE - size % CL_PAGE);
}

void image_write(struct image_file *f, const void *buf, size_t n, uint64_t off)
{
	const uint8_t *in = buf;

	if (off + n > f->size)
		image_cut(f, off + n);
	while (n) {
		size_t at = (size_t)(off % CL_PAGE), run = CL_MIN(n, CL_PAGE - at);
		memcpy(own_page(f, (size_t)(off / CL_PAGE)) + at, in, run);
		in += run;
		off += run;
		n -= run;
	}
}

size_t image_read(const struct image_file *f, void *buf, size_t n, uint64_t off)
{
	uint8_t *out = buf;
	size_t all = off >= f->size ? 0 : (size_t)CL_MIN((uint64_t)n, f->size - off);

	for (size_t left = all; left;) {
		size_t at = (size_t)(off % CL_PAGE), run = CL_MIN(left, CL_PAGE - at);
		const struct image_page *p = f->pages[off / CL_PAGE];
		if (p)
			memcpy(out, p->bytes + at, run);
		else
			memset(out, 0, run);
		out += run;
		off += run;
		left -= run;
	}
	return all;
}

uint8_t *image_byte(struct image_file *f, uint64_t off)
{
	return off < f->size ? own_page(f, (size_t)(off / CL_PAGE)) + off % CL_PAGE : NULL;
}

bool image_same(const struct image_file *a, const struct image_file *b)
{
	static const uint8_t zero[CL_PAGE];

	if (a->size != b->size)
		return false;
	for (size_t i = 0; i < a->n_pages; i++) {
		const struct image_page *x = a->pages[i], *y = b->pages[i];
		if (x != y && memcmp(x ? x->bytes : zero, y ? y->bytes : zero, CL_PAGE) != 0)
			return false;
	}
	return true;
}

static struct image_file *add(struct image *im, int comp, const char *name)
{
	struct image_file *f = need(calloc(1, sizeof *f));

	f->refs = 1;
	f->comp = comp;
	f->folder = strchr(name, '/') ? (int)strtol(name, NULL, 16) : -1;
	snprintf(f->name, sizeof f->name, "%s", name);
	if (im->n == im->cap) {
		im->cap = im->cap ? im->cap * 2 : 64;
		im->files = need(realloc(im->files, im->cap * sizeof(struct image_file *)));
	}
	im->files[im->n++] = f;
	return f;
}

static void share_pages(struct image_file *to, const struct image_file *from)
{
	image_cut(to, 0);
	image_cut(to, from->size);
	for (size_t i = 0; i < from->n_pages; i++) {
		to->pages[i] = from->pages[i];
		if (to->pages[i])
			to->pages[i]->refs++;
	}
}

struct image *image_new(void)
{
	return need(calloc(1, sizeof(struct image)));
}

struct image *image_copy(const struct image *from)
{
	struct image *im = image_new();

	memcpy(im->comps, from->comps, sizeof im->comps);
	for (size_t i = 0; i < from->n; i++)
		share_pages(add(im, from->files[i]->comp, from->files[i]->name), from->files[i]);
	return im;
}

void image_free(struct image *im)
{
	if (!im)
		return;
	for (size_t i = 0; i < im->n; i++)
		put_file(im->files[i]);
	free(im->files);
	free(im);
}

void image_trace(struct image *im)
{
	for (size_t i = 0; i < im->n; i++)
		im->files[i]->read = need(calloc(im->files[i]->n_pages + 1, 1));
}

struct image_file *image_find(const struct image *im, int comp, const char *name)
{
	for (size_t i = 0; i < im->n; i++)
		if (im->files[i]->comp == comp && !strcmp(im->files[i]->name, name))
			return im->files[i];
	return NULL;
}

void image_remove(struct image *im, int comp, const char *name)
{
	for (size_t i = 0; i < im->n; i++)
		if (im->files[i]->comp == comp && !strcmp(im->files[i]->name, name)) {
			put_file(im->files[i]);
			im->files[i] = im->files[--im->n];
			return;
		}
}

void image_put(struct image *im, int comp, const char *name, const struct image_file *file)
{
	struct image_file *to = image_find(im, comp, name);

	share_pages(to ? to : add(im, comp, name), file);
}

void image_swap(struct image_file *a, struct image_file *b)
{
	struct image_page **pages = a->pages;
	size_t n = a->n_pages;
	uint64_t size = a->size;

	a->pages = b->pages;
	a->n_pages = b->n_pages;
	a->size = b->size;
	b->pages = pages;
	b->n_pages = n;
	b->size = size;
}

/* ---- the store */

struct image_dir {
	struct store base;
	struct image *im;
	int comp; /* -1: the volume's own directory, which has folders only */
};

static const struct store_ops image_ops;

static struct image_dir *of(struct store *s)
{
	return (struct image_dir *)(void *)s;
}

static struct image_file *file_of(struct store_file *f)
{
	return (struct image_file *)(void *)f;
}

static int im_open(struct store *s, const char *name, int flags, struct store_file **ret)
{
	struct image_dir *d = of(s);
	struct image_file *f = image_find(d->im, d->comp, name);

	if (f && flags & STORE_EXCL)
		return -EEXIST;
	if (!f && !(flags & STORE_CREATE))
		return -ENOENT;
	if (!f)
		f = add(d->im, d->comp, name);
	f->refs++;
	*ret = (struct store_file *)(void *)f;
	return 0;
}

static void im_close(struct store *s, struct store_file *f)
{
	(void)s;
	put_file(file_of(f));
}

static int im_pread(struct store *s, struct store_file *f, void *buf, size_t n, uint64_t off, size_t *ret_got)
{
	const struct image_file *file = file_of(f);

	(void)s;
	for (uint64_t p = off / CL_PAGE; file->read && p < file->n_pages && p * CL_PAGE < off + n; p++)
		file->read[p] = 1;
	*ret_got = image_read(file_of(f), buf, n, off);
	return 0;
}

static int im_pwrite(struct store *s, struct store_file *f, const void *buf, size_t n, uint64_t off)
{
	(void)s;
	image_write(file_of(f), buf, n, off);
	return 0;
}

static int im_pwritev(struct store *s, struct store_file *f, struct iovec *iov, int n, uint64_t off)
{
	(void)s;
	for (int k = 0; k < n; k++) {
		image_write(file_of(f), iov[k].iov_base, iov[k].iov_len, off);
		off += iov[k].iov_len;
	}
	return 0;
}

static int im_sync(struct store *s, struct store_file *f)
{
	(void)s;
	(void)f;
	return 0;
}

static int im_sync_dir(struct store *s, const char *name)
{
	(void)s;
	(void)name;
	return 0;
}

static int im_sync_all(struct store *s)
{
	(void)s;
	return 0;
}

static int im_size(struct store *s, struct store_file *f, uint64_t *ret)
{
	(void)s;
	*ret = file_of(f)->size;
	return 0;
}

static int im_truncate(struct store *s, struct store_file *f, uint64_t len)
{
	(void)s;
	/* The engine tries on the lease how large a file may be: any size, as long as nothing has to be kept of it. */
	if (len > (uint64_t)1 << 30)
		return strcmp(file_of(f)->name, "lease") ? -EFBIG : 0;
	image_cut(file_of(f), len);
	return 0;
}

static int im_punch(struct store *s, struct store_file *f, uint64_t off, uint64_t len)
{
	struct image_file *file = file_of(f);

	(void)s;
	for (uint64_t p = off / CL_PAGE; p < (off + len) / CL_PAGE && p < file->n_pages; p++) {
		put_page(file->pages[p]);
		file->pages[p] = NULL;
	}
	return 0;
}

static int im_allocate(struct store *s, struct store_file *f, uint64_t off, uint64_t len)
{
	(void)s;
	(void)f;
	(void)off;
	(void)len;
	return 0;
}

static int im_unlink(struct store *s, const char *name)
{
	if (!image_find(of(s)->im, of(s)->comp, name))
		return -ENOENT;
	image_remove(of(s)->im, of(s)->comp, name);
	return 0;
}

static int im_rename(struct store *s, const char *from, const char *to)
{
	(void)s;
	(void)from;
	(void)to;
	return -ENOSYS; /* the engine renames no lower file */
}

static int im_mkdir(struct store *s, const char *name)
{
	struct image_dir *d = of(s);

	for (unsigned i = 0; d->comp < 0; i++) {
		if (i == IMAGE_COMPS)
			return -ENOSPC;
		if (!d->im->comps[i][0]) {
			snprintf(d->im->comps[i], STORE_NAME_MAX, "%s", name);
			return 0;
		}
	}
	return 0; /* 00 .. ff are always there */
}

static int im_rmdir(struct store *s, const char *name)
{
	(void)s;
	(void)name;
	return -ENOSYS;
}

static int im_list(struct store *s, const char *dir, int (*fn)(void *arg, const char *name, bool is_dir), void *arg)
{
	struct image_dir *d = of(s);
	bool own = !strcmp(dir, ".");
	int folder = own ? -1 : (int)strtol(dir, NULL, 16), err = 0;
	char name[4];

	for (unsigned i = 0; own && i < 256 && !err; i++) {
		snprintf(name, sizeof name, "%02x", i);
		err = fn(arg, name, true);
	}
	for (size_t i = 0; i < d->im->n && !err; i++) {
		const struct image_file *f = d->im->files[i];
		if (f->comp == d->comp && f->folder == folder)
			err = fn(arg, f->name + (own ? 0 : 3), false);
	}
	return err;
}

static int im_space(struct store *s, struct store_space *ret)
{
	(void)s;
	*ret = (struct store_space){ CL_PAGE, 1u << 24, 1u << 23, 1u << 23 };
	return 0;
}

static int im_lock(struct store *s, struct store_file *f, enum store_lock how)
{
	(void)s;
	(void)f;
	(void)how;
	return 0;
}

static struct store *wrap(struct image *im, int comp)
{
	struct image_dir *d = need(malloc(sizeof *d));

	*d = (struct image_dir){ { &image_ops }, im, comp };
	return &d->base;
}

static int im_sub(struct store *s, const char *dir, struct store **ret)
{
	for (unsigned i = 0; i < IMAGE_COMPS; i++)
		if (!strcmp(of(s)->im->comps[i], dir)) {
			*ret = wrap(of(s)->im, (int)i);
			return 0;
		}
	return -ENOENT;
}

static void im_free(struct store *s)
{
	free(s);
}

static const struct store_ops image_ops = {
	.open = im_open,
	.close = im_close,
	.pread = im_pread,
	.pwrite = im_pwrite,
	.pwritev = im_pwritev,
	.sync = im_sync,
	.sync_dir = im_sync_dir,
	.sync_all = im_sync_all,
	.size = im_size,
	.truncate = im_truncate,
	.punch = im_punch,
	.allocate = im_allocate,
	.unlink = im_unlink,
	.rename = im_rename,
	.mkdir = im_mkdir,
	.rmdir = im_rmdir,
	.list = im_list,
	.space = im_space,
	.lock = im_lock,
	.sub = im_sub,
	.free = im_free,
};

struct store *image_store(struct image *im)
{
	return wrap(im, -1);
}
