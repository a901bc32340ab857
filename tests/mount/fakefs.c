/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The engine in memory. Simple and slow: one lock, names searched one by one. */
#include "tests/mount/fakefs.h"

#include "fs/acl.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define INODES_MAX 65536u

struct entry {
	char *name; /* NULL: removed; positions stay, being cookies */
	uint64_t ino;
};

struct xattr {
	struct xattr *next;
	char name[FS_XATTR_NAME_MAX + 1];
	size_t size;
	uint8_t value[];
};

struct inode {
	struct fs_attr attr;
	uint64_t refs, opens, parent;
	uint8_t *data; /* contents or target */
	struct entry *entries;
	size_t n_entries, n_live;
	struct xattr *xattrs;
	int read_fails, write_fails; /* errno */
};

struct fs {
	pthread_rwlock_t lock;
	struct fake_counts *counts;
	struct inode *inodes[INODES_MAX];
	uint64_t next_ino;
};

/* Held until the end of the block. */
static void unlock(struct fs **fs)
{
	pthread_rwlock_unlock(&(*fs)->lock);
}
#define LOCKED(how, fs) \
	pthread_rwlock_##how##lock(&(fs)->lock); \
	CL_CLEANUP(unlock) struct fs *locked CL_UNUSED = (fs)

static struct timespec now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	return t;
}

static struct inode *get(struct fs *fs, uint64_t ino)
{
	return ino < INODES_MAX ? fs->inodes[ino] : NULL;
}

static void drop_xattr(struct xattr **at)
{
	struct xattr *x = *at;
	*at = x->next;
	free(x);
}

static void reap(struct fs *fs, struct inode *i)
{
	if (i->refs || i->opens || i->attr.nlink || i->attr.ino == FS_ROOT)
		return;
	fs->inodes[i->attr.ino] = NULL;
	atomic_fetch_sub(&fs->counts->inodes, 1);
	while (i->xattrs)
		drop_xattr(&i->xattrs);
	for (size_t k = 0; k < i->n_entries; k++)
		free(i->entries[k].name);
	free(i->entries);
	free(i->data);
	free(i);
}

static struct inode *new_inode(struct fs *fs, uint32_t mode, const struct fs_cred *cred)
{
	struct inode *i = fs->next_ino < INODES_MAX ? calloc(1, sizeof(*i)) : NULL;
	if (!i)
		return NULL;
	i->attr = (struct fs_attr){ .ino = fs->next_ino, .generation = (uint32_t)fs->next_ino + 7, .mode = mode,
				    .uid = cred->uid, .gid = cred->gid };
	i->attr.atime = i->attr.mtime = i->attr.ctime = i->attr.btime = now();
	fs->inodes[fs->next_ino++] = i;
	atomic_fetch_add(&fs->counts->inodes, 1);
	return i;
}

struct fs *fakefs_new(struct fake_counts *counts)
{
	struct fs *fs = calloc(1, sizeof(*fs));
	if (!fs)
		return NULL;
	pthread_rwlock_init(&fs->lock, NULL);
	fs->counts = counts;
	fs->next_ino = FS_ROOT;
	struct inode *root = new_inode(fs, S_IFDIR | 01777, &(struct fs_cred){ getuid(), getgid(), 0 });
	root->attr.nlink = 2;
	root->parent = FS_ROOT;
	return fs;
}

void fakefs_free(struct fs *fs)
{
	for (uint64_t ino = FS_ROOT + 1; ino < INODES_MAX; ino++) {
		if (fs->inodes[ino]) {
			fs->inodes[ino]->refs = fs->inodes[ino]->opens = fs->inodes[ino]->attr.nlink = 0;
			reap(fs, fs->inodes[ino]);
		}
	}
	struct inode *root = fs->inodes[FS_ROOT];
	for (size_t k = 0; k < root->n_entries; k++)
		free(root->entries[k].name);
	free(root->entries);
	while (root->xattrs)
		drop_xattr(&root->xattrs);
	free(root);
	free(fs);
}

static struct entry *find(struct fs *fs, uint64_t dir, const char *name)
{
	struct inode *d = get(fs, dir);
	for (size_t k = 0; d && k < d->n_entries; k++)
		if (d->entries[k].name && !strcmp(d->entries[k].name, name))
			return &d->entries[k];
	return NULL;
}

static void touch_dir(struct inode *d)
{
	d->attr.mtime = d->attr.ctime = now();
}

static int add_entry(struct inode *d, const char *name, uint64_t ino)
{
	char *copy = strdup(name);
	struct entry *e = realloc(d->entries, (d->n_entries + 1) * sizeof(*e));
	if (e)
		d->entries = e;
	if (!copy || !e) {
		free(copy);
		return -ENOMEM;
	}
	d->entries[d->n_entries++] = (struct entry){ copy, ino };
	d->n_live++;
	touch_dir(d);
	return 0;
}

static void remove_entry(struct inode *d, struct entry *e)
{
	free(e->name);
	e->name = NULL;
	d->n_live--;
	touch_dir(d);
}

int fs_lookup(struct fs *fs, uint64_t dir, const char *name, struct fs_attr *ret)
{
	LOCKED(wr, fs);
	atomic_fetch_add(&fs->counts->lookup, 1);
	if (strlen(name) > FS_NAME_MAX)
		return -ENAMETOOLONG;
	struct inode *d = get(fs, dir);
	struct entry *e = find(fs, dir, name);
	struct inode *i = !d ? NULL : !strcmp(name, ".") ? d : !strcmp(name, "..") ? get(fs, d->parent)
		        : e ? get(fs, e->ino) : NULL;
	if (!i)
		return -ENOENT;
	i->refs++;
	*ret = i->attr;
	return 0;
}

void fs_forget(struct fs *fs, uint64_t ino, uint64_t n)
{
	LOCKED(wr, fs);
	struct inode *i = get(fs, ino);
	if (!i || ino == FS_ROOT)
		return;
	if (i->refs < n) {
		fprintf(stderr, "inode %ju: %ju references given back of %ju\n", (uintmax_t)ino, (uintmax_t)n,
			(uintmax_t)i->refs);
		abort();
	}
	i->refs -= n;
	reap(fs, i);
}

int fs_getattr(struct fs *fs, uint64_t ino, struct fs_attr *ret)
{
	LOCKED(rd, fs);
	atomic_fetch_add(&fs->counts->getattr, 1);
	struct inode *i = get(fs, ino);
	if (!i)
		return -ESTALE;
	*ret = i->attr;
	return 0;
}

static int resize(struct inode *i, uint64_t size)
{
	if (size > 1u << 30)
		return -EFBIG;
	uint8_t *p = realloc(i->data, size + 1);
	if (!p)
		return -ENOMEM;
	i->data = p;
	if (size > i->attr.size)
		memset(p + i->attr.size, 0, size - i->attr.size);
	i->attr.size = size;
	i->attr.blocks = (size + 4095) / 4096 * 8;
	i->attr.mtime = i->attr.ctime = now();
	return 0;
}

static struct xattr **find_xattr(struct inode *i, const char *name)
{
	struct xattr **at = &i->xattrs;
	while (*at && strcmp((*at)->name, name))
		at = &(*at)->next;
	return at;
}

int fs_setattr(struct fs *fs, uint64_t ino, unsigned set, const struct fs_attr *attr, struct fs_attr *ret)
{
	LOCKED(wr, fs);
	atomic_fetch_add(&fs->counts->setattr, 1);
	struct inode *i = get(fs, ino);
	if (!i)
		return -ESTALE;
	struct fs_attr *a = &i->attr;
	int r = set & FS_SET_SIZE ? i->write_fails ? -i->write_fails : resize(i, attr->size) : 0;
	if (r)
		return r;
	if (set & FS_SET_MODE) {
		struct xattr *acl = *find_xattr(i, ACL_XATTR_ACCESS);
		a->mode = (a->mode & S_IFMT) | (attr->mode & 07777);
		if (acl && acl_chmod(acl->value, acl->size, a->mode))
			return -EUCLEAN;
	}
	if (set & FS_SET_UID)
		a->uid = attr->uid;
	if (set & FS_SET_GID)
		a->gid = attr->gid;
	if (set & (FS_SET_ATIME | FS_SET_ATIME_NOW))
		a->atime = set & FS_SET_ATIME ? attr->atime : now();
	if (set & (FS_SET_MTIME | FS_SET_MTIME_NOW))
		a->mtime = set & FS_SET_MTIME ? attr->mtime : now();
	if (set & FS_SET_KILL_PRIV) {
		atomic_fetch_add(&fs->counts->kill_priv, 1);
		a->mode &= ~(uint32_t)S_ISUID;
		if (a->mode & S_IXGRP)
			a->mode &= ~(uint32_t)S_ISGID;
		struct xattr **x = find_xattr(i, "security.capability");
		if (*x)
			drop_xattr(x);
	}
	a->ctime = set & FS_SET_CTIME ? attr->ctime : now();
	*ret = *a;
	return 0;
}

int fs_readlink(struct fs *fs, uint64_t ino, char buf[static FS_SYMLINK_MAX + 1])
{
	LOCKED(rd, fs);
	struct inode *i = get(fs, ino);
	if (!i || !S_ISLNK(i->attr.mode))
		return -EINVAL;
	memcpy(buf, i->data, i->attr.size + 1);
	return 0;
}

static int put_xattr(struct inode *i, const char *name, const void *value, size_t size)
{
	struct xattr **at = find_xattr(i, name);
	struct xattr *x = malloc(sizeof(*x) + size);
	if (!x)
		return -ENOMEM;
	x->size = size;
	strcpy(x->name, name);
	memcpy(x->value, value, size);
	if (*at)
		drop_xattr(at);
	x->next = *at;
	*at = x;
	return 0;
}

/* Umask or default ACL, as the engine does. */
static int inherit(struct inode *dir, struct inode *i, uint32_t umask)
{
	struct xattr *d = dir ? *find_xattr(dir, ACL_XATTR_DEFAULT) : NULL;
	if (S_ISLNK(i->attr.mode))
		return 0;
	if (dir && dir->attr.mode & S_ISGID) {
		i->attr.gid = dir->attr.gid;
		if (S_ISDIR(i->attr.mode))
			i->attr.mode |= S_ISGID;
	}
	if (!d) {
		i->attr.mode &= ~(umask & 0777);
		return 0;
	}
	uint8_t acl[1024];
	memcpy(acl, d->value, d->size);
	int r = acl_inherit(acl, d->size, &i->attr.mode);
	if (r > 0)
		r = put_xattr(i, ACL_XATTR_ACCESS, acl, d->size);
	if (!r && S_ISDIR(i->attr.mode))
		r = put_xattr(i, ACL_XATTR_DEFAULT, d->value, d->size);
	return r;
}

/* The number behind prefix in name, or 0. */
static int errno_of(const char *name, const char *prefix)
{
	return strncmp(name, prefix, strlen(prefix)) ? 0 : atoi(name + strlen(prefix));
}

int fs_make(struct fs *fs, uint64_t dir, const char *name, uint32_t mode, const char *target,
	    const struct fs_cred *cred, struct fs_attr *ret)
{
	LOCKED(wr, fs);
	struct inode *d = get(fs, dir);
	if (S_ISCHR(mode) || S_ISBLK(mode))
		return -EPERM;
	if (strlen(name) > FS_NAME_MAX)
		return -ENAMETOOLONG;
	if (!d || find(fs, dir, name))
		return d ? -EEXIST : -ENOENT;
	struct inode *i = new_inode(fs, mode, cred);
	if (!i)
		return -ENOSPC;
	i->attr.nlink = S_ISDIR(mode) ? 2 : 1;
	i->parent = dir;
	i->read_fails = errno_of(name, FAKE_READ_FAILS);
	i->write_fails = errno_of(name, FAKE_WRITE_FAILS);
	if (S_ISDIR(mode))
		d->attr.nlink++;
	if (target && !resize(i, strlen(target)))
		memcpy(i->data, target, strlen(target) + 1);
	int r = inherit(d, i, cred->umask);
	if (!r)
		r = add_entry(d, name, i->attr.ino);
	i->refs = !r;
	*ret = i->attr;
	return r;
}

int fs_tmpfile(struct fs *fs, uint64_t dir, uint32_t mode, const struct fs_cred *cred, struct fs_attr *ret)
{
	LOCKED(wr, fs);
	atomic_fetch_add(&fs->counts->tmpfile, 1);
	struct inode *i = new_inode(fs, mode, cred);
	if (!i)
		return -ENOSPC;
	i->refs = 1;
	int r = inherit(get(fs, dir), i, cred->umask);
	*ret = i->attr;
	return r;
}

int fs_link(struct fs *fs, uint64_t ino, uint64_t dir, const char *name, struct fs_attr *ret)
{
	LOCKED(wr, fs);
	struct inode *i = get(fs, ino), *d = get(fs, dir);
	if (!i || !d)
		return -ESTALE;
	if (find(fs, dir, name))
		return -EEXIST;
	int r = add_entry(d, name, ino);
	if (r)
		return r;
	i->refs++;
	i->attr.nlink++;
	i->attr.ctime = now();
	*ret = i->attr;
	return 0;
}

static int remove_name(struct fs *fs, uint64_t dir, const char *name, bool want_dir)
{
	struct entry *e = find(fs, dir, name);
	struct inode *i = e ? get(fs, e->ino) : NULL, *d = get(fs, dir);
	if (!i)
		return -ENOENT;
	if (want_dir && !S_ISDIR(i->attr.mode))
		return -ENOTDIR;
	if (want_dir && i->n_live)
		return -ENOTEMPTY;
	if (!want_dir && S_ISDIR(i->attr.mode))
		return -EISDIR;
	remove_entry(d, e);
	i->attr.nlink = want_dir ? 0 : i->attr.nlink - 1;
	d->attr.nlink -= want_dir;
	i->attr.ctime = now();
	reap(fs, i);
	return 0;
}

int fs_unlink(struct fs *fs, uint64_t dir, const char *name)
{
	LOCKED(wr, fs);
	return remove_name(fs, dir, name, false);
}

int fs_rmdir(struct fs *fs, uint64_t dir, const char *name)
{
	LOCKED(wr, fs);
	return remove_name(fs, dir, name, true);
}

int fs_rename(struct fs *fs, uint64_t dir, const char *name, uint64_t newdir, const char *newname, unsigned flags)
{
	LOCKED(wr, fs);
	struct entry *from = find(fs, dir, name), *to = find(fs, newdir, newname);
	if (flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE))
		return -EINVAL;
	if (!from || (flags & RENAME_EXCHANGE && !to))
		return -ENOENT;
	if (to && flags & RENAME_NOREPLACE)
		return -EEXIST;
	uint64_t ino = from->ino;
	if (flags & RENAME_EXCHANGE) {
		from->ino = to->ino;
		to->ino = ino;
		get(fs, from->ino)->parent = dir;
		get(fs, ino)->parent = newdir;
		return 0;
	}
	bool is_dir = S_ISDIR(get(fs, ino)->attr.mode);
	int r = to ? remove_name(fs, newdir, newname, is_dir) : 0;
	if (r)
		return r;
	remove_entry(get(fs, dir), find(fs, dir, name));
	get(fs, dir)->attr.nlink -= is_dir;
	get(fs, newdir)->attr.nlink += is_dir;
	get(fs, ino)->parent = newdir;
	return add_entry(get(fs, newdir), newname, ino);
}

int fs_open_file(struct fs *fs, uint64_t ino, bool write CL_UNUSED, bool truncate)
{
	LOCKED(wr, fs);
	struct inode *i = get(fs, ino);
	if (!i)
		return -ESTALE;
	atomic_fetch_add(&fs->counts->open, 1);
	atomic_fetch_add(&fs->counts->opens, 1);
	i->opens++;
	return truncate ? resize(i, 0) : 0;
}

void fs_close_file(struct fs *fs, uint64_t ino)
{
	LOCKED(wr, fs);
	struct inode *i = get(fs, ino);
	if (!i || !i->opens) {
		fprintf(stderr, "inode %ju closed once too often\n", (uintmax_t)ino);
		abort();
	}
	atomic_fetch_add(&fs->counts->close, 1);
	atomic_fetch_sub(&fs->counts->opens, 1);
	i->opens--;
	reap(fs, i);
}

ssize_t fs_read(struct fs *fs, uint64_t ino, void *buf, size_t n, uint64_t off)
{
	LOCKED(rd, fs);
	struct inode *i = get(fs, ino);
	atomic_fetch_add(&fs->counts->read, 1);
	if (!i || i->read_fails)
		return i ? -i->read_fails : -ESTALE;
	if (off >= i->attr.size)
		return 0;
	n = CL_MIN(n, i->attr.size - off);
	memcpy(buf, i->data + off, n);
	return (ssize_t)n;
}

ssize_t fs_write(struct fs *fs, uint64_t ino, const void *buf, size_t n, uint64_t off, unsigned flags)
{
	bool append = flags & FS_WRITE_APPEND;
	LOCKED(wr, fs);
	struct inode *i = get(fs, ino);
	atomic_fetch_add(&fs->counts->write, 1);
	atomic_fetch_add(&fs->counts->write_unaligned, (uintptr_t)buf % CL_PAGE != 0);
	if (n > atomic_load(&fs->counts->write_max))
		atomic_store(&fs->counts->write_max, n);
	if (!i || i->write_fails)
		return i ? -i->write_fails : -ESTALE;
	if (append)
		off = i->attr.size;
	int r = off + n > i->attr.size ? resize(i, off + n) : 0;
	if (r)
		return r;
	memcpy(i->data + off, buf, n);
	return (ssize_t)n;
}

int fs_fsync(struct fs *fs, uint64_t ino, bool datasync CL_UNUSED)
{
	LOCKED(rd, fs);
	atomic_fetch_add(&fs->counts->fsync, 1);
	return get(fs, ino) ? 0 : -ESTALE;
}

int fs_fallocate(struct fs *fs, uint64_t ino, int mode, uint64_t off, uint64_t len)
{
	LOCKED(wr, fs);
	struct inode *i = get(fs, ino);
	if (!i || i->write_fails)
		return i ? -i->write_fails : -ESTALE;
	if (mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
		return -EOPNOTSUPP;
	if (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE) && off < i->attr.size)
		memset(i->data + off, 0, CL_MIN(len, i->attr.size - off));
	return !(mode & FALLOC_FL_KEEP_SIZE) && off + len > i->attr.size ? resize(i, off + len) : 0;
}

/* Pages of zeros are holes. */
int fs_seek(struct fs *fs, uint64_t ino, uint64_t off, int whence, uint64_t *ret)
{
	LOCKED(rd, fs);
	static const uint8_t zeros[CL_PAGE];
	struct inode *i = get(fs, ino);
	if (!i || off >= i->attr.size)
		return i ? -ENXIO : -ESTALE;
	for (uint64_t at = off; at < i->attr.size; at = (at / CL_PAGE + 1) * CL_PAGE) {
		size_t n = CL_MIN(CL_PAGE - at % CL_PAGE, i->attr.size - at);
		if ((memcmp(i->data + at, zeros, n) == 0) == (whence == SEEK_HOLE)) {
			*ret = at;
			return 0;
		}
	}
	*ret = i->attr.size;
	return whence == SEEK_HOLE ? 0 : -ENXIO;
}

ssize_t fs_copy(struct fs *fs, uint64_t from, uint64_t from_off, uint64_t to, uint64_t to_off, size_t n)
{
	LOCKED(wr, fs);
	struct inode *a = get(fs, from), *b = get(fs, to);
	if (!a || !b)
		return -ESTALE;
	if (from_off >= a->attr.size)
		return 0;
	n = CL_MIN(n, a->attr.size - from_off);
	int r = to_off + n > b->attr.size ? resize(b, to_off + n) : 0;
	if (r)
		return r;
	memmove(b->data + to_off, a->data + from_off, n);
	return (ssize_t)n;
}

int fs_readdir(struct fs *fs, uint64_t dir, uint64_t off, bool plus, fs_readdir_fn *fn, void *arg)
{
	LOCKED(wr, fs);
	struct inode *d = get(fs, dir);
	atomic_fetch_add(plus ? &fs->counts->readdir_plus : &fs->counts->readdir, 1);
	if (!d || !S_ISDIR(d->attr.mode))
		return -ENOTDIR;
	if (off == 0 && !fn(arg, ".", &d->attr, 1))
		return 0;
	if (off <= 1 && !fn(arg, "..", &get(fs, d->parent)->attr, 2))
		return 0;
	for (size_t k = off > 2 ? off - 2 : 0; k < d->n_entries; k++) {
		if (!d->entries[k].name)
			continue;
		struct inode *i = get(fs, d->entries[k].ino);
		if (!fn(arg, d->entries[k].name, &i->attr, k + 3))
			return 0;
		i->refs += plus;
	}
	return 0;
}

int fs_setxattr(struct fs *fs, uint64_t ino, const char *name, const void *value, size_t size, int flags)
{
	LOCKED(wr, fs);
	struct inode *i = get(fs, ino);
	if (!i || i->write_fails)
		return i ? -i->write_fails : -ESTALE;
	bool there = *find_xattr(i, name);
	if (there && flags & XATTR_CREATE)
		return -EEXIST;
	if (!there && flags & XATTR_REPLACE)
		return -ENODATA;
	if (!strcmp(name, ACL_XATTR_ACCESS)) {
		int r = acl_mode(value, size, &i->attr.mode);
		if (r < 0)
			return r;
	}
	i->attr.ctime = now();
	return put_xattr(i, name, value, size);
}

int fs_getxattr(struct fs *fs, uint64_t ino, const char *name, void *buf, size_t size, size_t *ret_len)
{
	LOCKED(rd, fs);
	atomic_fetch_add(&fs->counts->getxattr, 1);
	struct inode *i = get(fs, ino);
	struct xattr *x = i ? *find_xattr(i, name) : NULL;
	if (!x)
		return -ENODATA;
	if (size && size < x->size)
		return -ERANGE;
	if (size)
		memcpy(buf, x->value, x->size);
	*ret_len = x->size;
	return 0;
}

int fs_listxattr(struct fs *fs, uint64_t ino, char *buf, size_t size, size_t *ret_len)
{
	LOCKED(rd, fs);
	struct inode *i = get(fs, ino);
	size_t used = 0;
	for (struct xattr *x = i ? i->xattrs : NULL; x; x = x->next) {
		size_t n = strlen(x->name) + 1;
		if (size && used + n > size)
			return -ERANGE;
		if (size)
			memcpy(buf + used, x->name, n);
		used += n;
	}
	*ret_len = used;
	return 0;
}

int fs_removexattr(struct fs *fs, uint64_t ino, const char *name)
{
	LOCKED(wr, fs);
	struct inode *i = get(fs, ino);
	struct xattr **x = i ? find_xattr(i, name) : NULL;
	if (!x || !*x)
		return -ENODATA;
	drop_xattr(x);
	i->attr.ctime = now();
	return 0;
}

int fs_statfs(struct fs *fs CL_UNUSED, struct fs_space *ret)
{
	*ret = (struct fs_space){ .blocks = 1000, .bfree = 600, .bavail = 500, .files = INODES_MAX, .ffree = 1234 };
	return 0;
}
