/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A store in plain memory, over the reference tree: that is a filesystem as well. */
#include "tests/model/memstore.h"

#include "tests/model/ref.h"

#include <linux/falloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Shared by a store and its subs. */
struct disk {
	struct ref *ref;
	pthread_mutex_t lock;
	unsigned users;
};

struct memstore {
	struct store base;
	struct disk *disk;
	struct ref_inode *dir;
};

static const struct store_ops mem_ops;

static struct memstore *of(struct store *s)
{
	return (struct memstore *)(void *)s;
}

static struct ref_inode *file_of(struct store_file *f)
{
	return (struct ref_inode *)(void *)f;
}

static void lock(struct store *s)
{
	pthread_mutex_lock(&of(s)->disk->lock);
}

static void unlock(struct store *s)
{
	ref_bury(of(s)->disk->ref);
	pthread_mutex_unlock(&of(s)->disk->lock);
}

/* Folder of name and its last part. NULL: no such folder. */
static struct ref_inode *folder_of(struct store *s, const char *name, const char **ret_last)
{
	const char *slash = strchr(name, '/');
	char first[STORE_NAME_MAX];

	*ret_last = slash ? slash + 1 : name;
	if (!slash)
		return of(s)->dir;
	memcpy(first, name, (size_t)(slash - name));
	first[slash - name] = '\0';
	struct ref_dirent *e = ref_find(of(s)->dir, first);
	return e && S_ISDIR(e->to->mode) ? e->to : NULL;
}

static int make(struct store *s, const char *name, uint32_t mode, struct ref_inode **ret)
{
	struct fs_cred cred = { 0, 0, 0 };
	const char *last;
	struct ref_inode *dir = folder_of(s, name, &last);

	return dir ? ref_make(of(s)->disk->ref, dir, last, mode, NULL, &cred, ret) : -ENOENT;
}

static int mem_open(struct store *s, const char *name, int flags, struct store_file **ret)
{
	const char *last;
	struct ref_inode *i = NULL;
	int err = 0;

	lock(s);
	struct ref_inode *dir = folder_of(s, name, &last);
	struct ref_dirent *e = dir ? ref_find(dir, last) : NULL;
	if (e && flags & STORE_EXCL)
		err = -EEXIST;
	else if (e && !S_ISREG(e->to->mode))
		err = -EUCLEAN;
	else if (e)
		i = e->to;
	else
		err = flags & STORE_CREATE ? make(s, name, S_IFREG | 0600, &i) : -ENOENT;
	if (!err) {
		i->opens++;
		*ret = (struct store_file *)(void *)i;
	}
	unlock(s);
	return err;
}

static void mem_close(struct store *s, struct store_file *f)
{
	lock(s);
	file_of(f)->opens--;
	ref_reap(of(s)->disk->ref, file_of(f));
	unlock(s);
}

static int mem_pread(struct store *s, struct store_file *f, void *buf, size_t n, uint64_t off, size_t *ret_got)
{
	lock(s);
	ssize_t got = ref_read(of(s)->disk->ref, file_of(f), buf, n, off);
	unlock(s);
	*ret_got = (size_t)got;
	return 0;
}

static int mem_pwrite(struct store *s, struct store_file *f, const void *buf, size_t n, uint64_t off)
{
	lock(s);
	ssize_t r = ref_write(of(s)->disk->ref, file_of(f), buf, n, off, false);
	unlock(s);
	return r < 0 ? (int)r : (size_t)r < n ? -EFBIG : 0;
}

static int mem_pwritev(struct store *s, struct store_file *f, struct iovec *iov, int n, uint64_t off)
{
	int err = 0;

	for (int k = 0; k < n && !err; k++) {
		err = mem_pwrite(s, f, iov[k].iov_base, iov[k].iov_len, off);
		off += iov[k].iov_len;
	}
	return err;
}

static int mem_sync(struct store *s, struct store_file *f)
{
	(void)s;
	(void)f;
	return 0;
}

static int mem_sync_dir(struct store *s, const char *name)
{
	lock(s);
	struct ref_dirent *e = strcmp(name, ".") ? ref_find(of(s)->dir, name) : NULL;
	int err = !strcmp(name, ".") || e ? 0 : -ENOENT;
	unlock(s);
	return err;
}

static int mem_sync_all(struct store *s)
{
	(void)s;
	return 0;
}

static int mem_size(struct store *s, struct store_file *f, uint64_t *ret)
{
	lock(s);
	*ret = file_of(f)->size;
	unlock(s);
	return 0;
}

static int mem_truncate(struct store *s, struct store_file *f, uint64_t len)
{
	lock(s);
	int err = ref_truncate(of(s)->disk->ref, file_of(f), len);
	unlock(s);
	return err;
}

static int mem_punch(struct store *s, struct store_file *f, uint64_t off, uint64_t len)
{
	lock(s);
	int err = ref_fallocate(of(s)->disk->ref, file_of(f), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, off, len);
	unlock(s);
	return err;
}

static int mem_allocate(struct store *s, struct store_file *f, uint64_t off, uint64_t len)
{
	lock(s);
	int err = ref_fallocate(of(s)->disk->ref, file_of(f), FALLOC_FL_KEEP_SIZE, off, len);
	unlock(s);
	return err;
}

static int remove_name(struct store *s, const char *name, bool dir)
{
	const char *last;

	lock(s);
	struct ref_inode *folder = folder_of(s, name, &last);
	int err = folder ? ref_remove(of(s)->disk->ref, folder, last, dir) : -ENOENT;
	unlock(s);
	return err;
}

static int mem_unlink(struct store *s, const char *name)
{
	return remove_name(s, name, false);
}

static int mem_rmdir(struct store *s, const char *name)
{
	return remove_name(s, name, true);
}

static int mem_rename(struct store *s, const char *from, const char *to)
{
	const char *last_from, *last_to;

	lock(s);
	struct ref_inode *a = folder_of(s, from, &last_from), *b = folder_of(s, to, &last_to);
	int err = a && b ? ref_rename(of(s)->disk->ref, a, last_from, b, last_to, 0) : -ENOENT;
	unlock(s);
	return err;
}

static int mem_mkdir(struct store *s, const char *name)
{
	struct ref_inode *i;

	lock(s);
	int err = make(s, name, S_IFDIR | 0700, &i);
	unlock(s);
	return err;
}

static int mem_list(struct store *s, const char *dir, int (*fn)(void *arg, const char *name, bool is_dir), void *arg)
{
	int err = 0;

	/* fn may call us: no lock over it. Nobody but fn itself changes the folder meanwhile, so we go from its end. */
	lock(s);
	struct ref_dirent *e = strcmp(dir, ".") ? ref_find(of(s)->dir, dir) : NULL;
	struct ref_inode *d = strcmp(dir, ".") ? e ? e->to : NULL : of(s)->dir;
	unlock(s);
	if (!d)
		return -ENOENT;
	for (size_t k = d->n_entries; k > 0 && !err; k--)
		if (k <= d->n_entries)
			err = fn(arg, d->entries[k - 1]->name, S_ISDIR(d->entries[k - 1]->to->mode));
	return err;
}

static int mem_space(struct store *s, struct store_space *ret)
{
	(void)s;
	*ret = (struct store_space){ CL_PAGE, 1u << 24, 1u << 23, 1u << 23 };
	return 0;
}

static int mem_lock(struct store *s, struct store_file *f, enum store_lock how)
{
	(void)s;
	(void)f;
	(void)how;
	return 0;
}

static struct store *wrap(struct disk *disk, struct ref_inode *dir)
{
	struct memstore *m = ref_alloc(sizeof *m);

	m->base.ops = &mem_ops;
	m->disk = disk;
	m->dir = dir;
	disk->users++;
	return &m->base;
}

static int mem_sub(struct store *s, const char *dir, struct store **ret)
{
	int err = 0;

	lock(s);
	struct ref_dirent *e = ref_find(of(s)->dir, dir);
	if (!e)
		err = -ENOENT;
	else if (!S_ISDIR(e->to->mode))
		err = -EUCLEAN;
	else
		*ret = wrap(of(s)->disk, e->to);
	unlock(s);
	return err;
}

static void mem_free(struct store *s)
{
	struct disk *disk = of(s)->disk;

	pthread_mutex_lock(&disk->lock);
	unsigned left = --disk->users;
	pthread_mutex_unlock(&disk->lock);
	free(s);
	if (left)
		return;
	ref_free(disk->ref);
	pthread_mutex_destroy(&disk->lock);
	free(disk);
}

static const struct store_ops mem_ops = {
	.open = mem_open,
	.close = mem_close,
	.pread = mem_pread,
	.pwrite = mem_pwrite,
	.pwritev = mem_pwritev,
	.sync = mem_sync,
	.sync_dir = mem_sync_dir,
	.sync_all = mem_sync_all,
	.size = mem_size,
	.truncate = mem_truncate,
	.punch = mem_punch,
	.allocate = mem_allocate,
	.unlink = mem_unlink,
	.rename = mem_rename,
	.mkdir = mem_mkdir,
	.rmdir = mem_rmdir,
	.list = mem_list,
	.space = mem_space,
	.lock = mem_lock,
	.sub = mem_sub,
	.free = mem_free,
};

struct store *memstore_new(void)
{
	struct disk *disk = ref_alloc(sizeof *disk);

	disk->ref = ref_new(0700);
	disk->ref->blind = true;
	pthread_mutex_init(&disk->lock, NULL);
	return wrap(disk, disk->ref->root);
}
