/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The small volume in memory. */
#include "tests/fuzz/disk.h"

#include "tests/fuzz/fuzz.h"
#include "tests/model/memstore.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* A lower file of the volume as it was made: pages that are not zero. */
struct saved {
	char name[STORE_NAME_MAX * 2];
	uint64_t len;
	size_t n;
	struct {
		uint64_t off;
		uint8_t data[CL_PAGE];
	} * pages;
};

static struct saved *saved;
static size_t n_saved;

static uint64_t make(struct fs *fs, uint64_t dir, const char *name, uint32_t mode, const char *target)
{
	const struct fs_cred cred = { 0, 0, 022 };
	struct fs_attr a;

	FUZZ_OK(fs_make(fs, dir, name, mode, target, &cred, &a));
	fs_forget(fs, a.ino, 1);
	return a.ino;
}

static void put(struct fs *fs, uint64_t ino, uint64_t off, size_t n)
{
	uint8_t buf[8192];

	for (size_t i = 0; i < n; i++)
		buf[i] = (uint8_t)(i * 7 + off / CL_PAGE + i / CL_PAGE + 1);
	FUZZ_CHECK(fs_write(fs, ino, buf, n, off, 0) == (ssize_t)n, "cannot write");
}

static void fill(struct fs *fs)
{
	static const uint8_t acl[] = { 2, 0,   0,   0,   1,   0,   7,  0, 255, 255, 255, 255, 2,   0,  5,
				       0, 232, 3,   0,   0,   4,   0,  5, 0,   255, 255, 255, 255, 16, 0,
				       7, 0,   255, 255, 255, 255, 32, 0, 1,   0,   255, 255, 255, 255 };
	static const uint64_t leaves[] = { 0, 1, 200, 20000 };
	uint8_t value[3000] = { 1 };
	char target[401], name[240];
	struct fs_attr a;

	uint64_t dir = make(fs, FS_ROOT, "dir", S_IFDIR | 0755, NULL);
	make(fs, dir, "sub", S_IFDIR | 0755, NULL);
	put(fs, make(fs, FS_ROOT, "file", S_IFREG | 0644, NULL), 0, 5000);
	put(fs, make(fs, FS_ROOT, "one", S_IFREG | 0600, NULL), 0, 100);
	uint64_t big = make(fs, FS_ROOT, "big", S_IFREG | 0644, NULL);
	for (size_t i = 0; i < CL_ARRAY_LEN(leaves); i++)
		put(fs, big, leaves[i] * CL_PAGE, CL_PAGE);
	make(fs, FS_ROOT, "sym", S_IFLNK | 0777, "dir/sub");
	memset(target, 'y', sizeof target - 1);
	target[sizeof target - 1] = '\0';
	make(fs, FS_ROOT, "lnk", S_IFLNK | 0777, target);
	make(fs, dir, "fifo", S_IFIFO | 0600, NULL);
	uint64_t d = make(fs, FS_ROOT, "acl", S_IFDIR | 02775, NULL);
	FUZZ_OK(fs_setxattr(fs, d, "system.posix_acl_default", acl, sizeof acl, 0));
	uint64_t x = make(fs, FS_ROOT, "x", S_IFREG | 0644, NULL);
	FUZZ_OK(fs_setxattr(fs, x, "user.big", value, sizeof value, 0));
	FUZZ_OK(fs_setxattr(fs, x, "user.more", value, sizeof value, 0));
	FUZZ_OK(fs_setxattr(fs, x, "user.small", "v", 1, 0));
	d = make(fs, FS_ROOT, "names", S_IFDIR | 0755, NULL);
	uint64_t many = make(fs, d, "many", S_IFREG | 0644, NULL);
	FUZZ_CHECK(many == DISK_INODES, "inodes have other numbers");
	for (unsigned i = 0; i < 40; i++) {
		snprintf(name, sizeof name, "%0220u", i);
		FUZZ_OK(fs_link(fs, many, d, name, &a));
		fs_forget(fs, a.ino, 1);
	}
}

static void save_page(struct saved *f, uint64_t off, const uint8_t *data)
{
	f->pages = realloc(f->pages, (f->n + 1) * sizeof *f->pages);
	FUZZ_CHECK(f->pages, "out of memory");
	f->pages[f->n].off = off;
	memcpy(f->pages[f->n++].data, data, CL_PAGE);
}

static void save_file(struct store *s, const char *dir, const char *name)
{
	struct store_file *file;

	saved = realloc(saved, (n_saved + 1) * sizeof *saved);
	FUZZ_CHECK(saved, "out of memory");
	struct saved *f = &saved[n_saved++];
	memset(f, 0, sizeof *f);
	snprintf(f->name, sizeof f->name, "%s%s%s", dir, *dir ? "/" : "", name);
	FUZZ_OK(s->ops->open(s, f->name, STORE_RDONLY, &file));
	FUZZ_OK(s->ops->size(s, file, &f->len));
	for (uint64_t off = 0; off < f->len; off += CL_PAGE) {
		uint8_t page[CL_PAGE] = { 0 };
		size_t got;
		FUZZ_OK(s->ops->pread(s, file, page, sizeof page, off, &got));
		if (!bytes_are_zero(page, sizeof page))
			save_page(f, off, page);
	}
	s->ops->close(s, file);
}

static void restore_file(struct store *s, const struct saved *f)
{
	struct store_file *file;

	FUZZ_OK(s->ops->open(s, f->name, STORE_CREATE | STORE_EXCL, &file));
	for (size_t i = 0; i < f->n; i++)
		FUZZ_OK(s->ops->pwrite(s, file, f->pages[i].data, CL_PAGE, f->pages[i].off));
	FUZZ_OK(s->ops->truncate(s, file, f->len));
	s->ops->close(s, file);
}

/* A compartment, or a folder of it. */
struct walk {
	struct store *s;
	const char *dir;
};

static int save_entry(void *arg, const char *name, bool is_dir)
{
	const struct walk *w = arg;

	if (is_dir) {
		struct walk below = { w->s, name };
		return w->s->ops->list(w->s, name, save_entry, &below);
	}
	save_file(w->s, w->dir, name);
	return 0;
}

static size_t ends[DISK_LABELS]; /* of each compartment's files in saved */

static void init(struct disk *d)
{
	memset(d, 0, sizeof *d);
	d->store = memstore_new();
	d->cfg = (struct fs_config){ .cache_bytes = 256 * 1024, .no_threads = true, .journal_pages = 64 };
	for (unsigned i = 0; i < DISK_LABELS; i++) {
		uint8_t key[32];
		memset(key, 0x51 + (int)i, sizeof key);
		FUZZ_OK(secret_new_take(key, sizeof key, &d->keys[i]));
		d->c[i] = (struct fs_compartment){ .rank = i, .dir = i ? "upper" : NULL, .key = d->keys[i] };
		memset(d->c[i].id, 0xa0 + (int)i, sizeof d->c[i].id);
	}
}

/* One session for each label. */
static void build(void)
{
	struct disk d;
	struct fault f = { 0 };
	struct fs *fs;

	init(&d);
	FUZZ_OK(fs_format(d.store, d.c, DISK_LABELS, 0, 0, &d.cfg, &f));
	FUZZ_OK(fs_open(d.store, d.c, 1, &d.cfg, &fs, &f));
	fill(fs);
	FUZZ_OK(fs_close(fs));
	FUZZ_OK(fs_open(d.store, d.c, 2, &d.cfg, &fs, &f));
	put(fs, make(fs, (uint64_t)1 << 48 | 1, "secret", S_IFREG | 0600, NULL), 0, 5000);
	FUZZ_OK(fs_close(fs));
	for (unsigned i = 0; i < DISK_LABELS; i++) {
		struct walk w = { disk_folder(&d, i), "" };
		FUZZ_OK(w.s->ops->list(w.s, ".", save_entry, &w));
		w.s->ops->free(w.s);
		ends[i] = n_saved;
	}
	disk_free(&d);
}

static void unpack(struct disk *d, unsigned rank)
{
	char id[33], name[4];

	bytes_to_hex(d->c[rank].id, 16, id);
	FUZZ_OK(d->store->ops->mkdir(d->store, id));
	struct store *s = disk_folder(d, rank);
	for (unsigned i = 0; i < 256; i++) {
		snprintf(name, sizeof name, "%02x", i);
		FUZZ_OK(s->ops->mkdir(s, name));
	}
	for (size_t i = rank ? ends[rank - 1] : 0; i < ends[rank]; i++)
		restore_file(s, &saved[i]);
	s->ops->free(s);
}

void disk_new(struct disk *d)
{
	if (!saved)
		build();
	init(d);
	for (unsigned i = 0; i < DISK_LABELS; i++)
		unpack(d, i);
}

void disk_free(struct disk *d)
{
	d->store->ops->free(d->store);
	for (unsigned i = 0; i < DISK_LABELS; i++)
		secret_free(d->keys[i]);
}

struct comp *disk_open(struct disk *d, unsigned rank)
{
	struct fault f = { 0 };
	struct comp *c;
	int err = comp_open(d->store, &d->c[rank], true, &d->cfg, &c, &f);

	FUZZ_CHECK(!err, "%s", f.text);
	return c;
}

struct store *disk_folder(struct disk *d, unsigned rank)
{
	struct store *s;
	char id[33];

	bytes_to_hex(d->c[rank].id, 16, id);
	FUZZ_OK(d->store->ops->sub(d->store, id, &s));
	return s;
}

uint8_t *disk_read(struct store *s, const char *name, size_t *ret_len)
{
	struct store_file *f;
	uint64_t size;
	size_t got;

	if (s->ops->open(s, name, STORE_RDONLY, &f))
		return NULL;
	FUZZ_OK(s->ops->size(s, f, &size));
	uint8_t *p = malloc(size + 1);
	FUZZ_CHECK(p, "out of memory");
	FUZZ_OK(s->ops->pread(s, f, p, size, 0, &got));
	s->ops->close(s, f);
	*ret_len = got;
	return p;
}

void disk_write(struct store *s, const char *name, const void *p, size_t len)
{
	struct store_file *f;

	FUZZ_OK(s->ops->open(s, name, STORE_CREATE, &f));
	FUZZ_OK(s->ops->truncate(s, f, 0));
	if (len)
		FUZZ_OK(s->ops->pwrite(s, f, p, len, 0));
	s->ops->close(s, f);
}
