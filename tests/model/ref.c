/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The reference tree: inodes, names, attributes. */
#include "tests/model/ref.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#define LIST_MAX (1024u * 1024u - CL_PAGE) /* bytes of all attributes of one inode, as the format counts them */

void *ref_alloc(size_t n)
{
	void *p = calloc(1, n ? n : 1);
	if (!p) {
		fputs("model: out of memory\n", stderr);
		exit(1);
	}
	return p;
}

void *ref_grow(void *v, size_t n, size_t *cap, size_t each)
{
	if (n < *cap)
		return v;
	*cap = *cap ? *cap * 2 : 8;
	v = realloc(v, *cap * each);
	if (!v) {
		fputs("model: out of memory\n", stderr);
		exit(1);
	}
	return v;
}

static bool belongs(const struct ref_inode *i, unsigned set)
{
	return set == REF_ALL || (set == REF_DIRS && S_ISDIR(i->mode)) || (set == REF_FILES && S_ISREG(i->mode));
}

static struct ref_inode *new_inode(struct ref *r, uint32_t mode)
{
	struct ref_inode *i = ref_alloc(sizeof *i);

	i->mode = mode;
	for (unsigned s = 0; s < REF_SETS; s++) {
		struct ref_set *set = &r->sets[s];
		if (!belongs(i, s))
			continue;
		set->v = ref_grow(set->v, set->n, &set->cap, sizeof *set->v);
		i->at[s] = set->n;
		set->v[set->n++] = i;
	}
	return i;
}

static void free_inode(struct ref_inode *i)
{
	for (size_t p = 0; p < i->n_pages; p++)
		free(i->pages[p].data);
	for (struct ref_xattr *x = i->xattrs, *n; x; x = n) {
		n = x->next;
		free(x->name);
		free(x->value);
		free(x);
	}
	for (size_t e = 0; e < i->n_entries; e++) {
		free(i->entries[e]->name);
		free(i->entries[e]);
	}
	free(i->entries);
	free(i->hash);
	free(i->pages);
	free(i->target);
	free(i);
}

void ref_reap(struct ref *r, struct ref_inode *i)
{
	if (i->dead || i->nlink || i->lookups || i->opens)
		return;
	i->dead = true;
	r->n_pages -= i->n_pages;
	for (unsigned s = 0; s < REF_SETS; s++) {
		struct ref_set *set = &r->sets[s];
		if (!belongs(i, s))
			continue;
		set->v[i->at[s]] = set->v[--set->n];
		set->v[i->at[s]]->at[s] = i->at[s];
	}
	i->parent = r->buried;
	r->buried = i;
}

void ref_bury(struct ref *r)
{
	while (r->buried) {
		struct ref_inode *i = r->buried;
		r->buried = i->parent;
		free_inode(i);
	}
	r->n_touched = 0;
}

struct ref *ref_new(uint32_t root_mode)
{
	struct ref *r = ref_alloc(sizeof *r);

	r->root = new_inode(r, S_IFDIR | root_mode);
	r->root->nlink = 2;
	r->root->parent = r->root;
	r->root->ino = FS_ROOT;
	r->root->unknown = REF_ATIME | REF_MTIME | REF_CTIME | REF_BTIME;
	return r;
}

void ref_free(struct ref *r)
{
	ref_bury(r);
	for (size_t i = 0; i < r->sets[REF_ALL].n; i++)
		free_inode(r->sets[REF_ALL].v[i]);
	for (unsigned s = 0; s < REF_SETS; s++)
		free(r->sets[s].v);
	free(r);
}

void ref_end_session(struct ref *r)
{
	for (size_t k = r->sets[REF_ALL].n; k > 0; k--) {
		struct ref_inode *i = r->sets[REF_ALL].v[k - 1];
		i->lookups = 0;
		i->opens = 0;
		ref_reap(r, i);
	}
	ref_bury(r);
}

void ref_touch(struct ref *r, struct ref_inode *i, unsigned what)
{
	i->unknown |= what;
	if (what & ~(unsigned)REF_ATIME)
		i->changed = r->op;
	for (unsigned k = 0; k < r->n_touched; k++)
		if (r->touched[k].i == i) {
			r->touched[k].what |= what;
			return;
		}
	if (r->n_touched < REF_TOUCHED) {
		r->touched[r->n_touched].i = i;
		r->touched[r->n_touched++].what = what;
	}
}

int ref_check_name(const char *name)
{
	size_t n = strlen(name);

	if (n > FS_NAME_MAX)
		return -ENAMETOOLONG;
	if (n == 0 || strchr(name, '/'))
		return -EINVAL;
	return !strcmp(name, ".") || !strcmp(name, "..") ? -EEXIST : 0;
}

static size_t hash_of(const char *name)
{
	size_t h = 5381;
	while (*name)
		h = h * 33 + (unsigned char)*name++;
	return h;
}

struct ref_dirent *ref_find(const struct ref_inode *dir, const char *name)
{
	struct ref_dirent *e = dir->n_hash ? dir->hash[hash_of(name) % dir->n_hash] : NULL;
	while (e && strcmp(e->name, name))
		e = e->next;
	return e;
}

static void enter(struct ref *r, struct ref_inode *dir, const char *name, struct ref_inode *to)
{
	struct ref_dirent *e = ref_alloc(sizeof *e);

	if (dir->n_entries >= dir->n_hash) {
		size_t n = dir->n_hash ? dir->n_hash * 2 : 8;
		struct ref_dirent **h = ref_alloc(n * sizeof(*h));
		for (size_t k = 0; k < dir->n_entries; k++) {
			struct ref_dirent **at = &h[hash_of(dir->entries[k]->name) % n];
			dir->entries[k]->next = *at;
			*at = dir->entries[k];
		}
		free(dir->hash);
		dir->hash = h;
		dir->n_hash = n;
	}
	e->name = ref_alloc(strlen(name) + 1);
	strcpy(e->name, name);
	e->to = to;
	e->made = r->op;
	dir->entries = ref_grow(dir->entries, dir->n_entries, &dir->cap_entries, sizeof *dir->entries);
	e->at = dir->n_entries;
	dir->entries[dir->n_entries++] = e;
	struct ref_dirent **at = &dir->hash[hash_of(name) % dir->n_hash];
	e->next = *at;
	*at = e;
}

static void leave(struct ref_inode *dir, struct ref_dirent *e)
{
	struct ref_dirent **at = &dir->hash[hash_of(e->name) % dir->n_hash];
	while (*at != e)
		at = &(*at)->next;
	*at = e->next;
	dir->entries[e->at] = dir->entries[--dir->n_entries];
	dir->entries[e->at]->at = e->at;
	free(e->name);
	free(e);
}

int ref_lookup(struct ref *r, struct ref_inode *dir, const char *name, struct ref_inode **ret)
{
	ref_touch(r, dir, REF_LOOK);
	if (!strcmp(name, ".")) {
		*ret = dir;
		return 0;
	}
	if (!strcmp(name, "..")) {
		*ret = dir->parent;
		return 0;
	}
	int err = ref_check_name(name);
	if (err)
		return err;
	if (!S_ISDIR(dir->mode))
		return -ENOTDIR;
	struct ref_dirent *e = ref_find(dir, name);
	if (!e)
		return -ENOENT;
	*ret = e->to;
	ref_touch(r, e->to, REF_LOOK);
	return 0;
}

static struct ref_inode *born(struct ref *r, struct ref_inode *dir, uint32_t mode, const struct fs_cred *cred)
{
	uint32_t gid = cred->gid;

	if (dir->mode & S_ISGID) {
		gid = dir->gid;
		if (S_ISDIR(mode))
			mode |= S_ISGID;
	}
	if (!S_ISLNK(mode))
		mode &= ~(cred->umask & 0777);
	struct ref_inode *i = new_inode(r, mode);
	i->uid = cred->uid;
	i->gid = gid;
	i->nlink = S_ISDIR(mode) ? 2 : 1;
	i->parent = dir;
	ref_touch(r, i, REF_ATIME | REF_MTIME | REF_CTIME | REF_BTIME);
	return i;
}

struct ref_inode *ref_share(struct ref *r, const struct fs_attr *a)
{
	struct ref_inode *i = new_inode(r, a->mode);

	i->ino = a->ino;
	i->generation = a->generation;
	i->uid = a->uid;
	i->gid = a->gid;
	i->nlink = 2;
	i->parent = i;
	i->shared = true;
	return i;
}

int ref_make(struct ref *r, struct ref_inode *dir, const char *name, uint32_t mode, const char *target,
	     const struct fs_cred *cred, struct ref_inode **ret)
{
	int err = ref_check_name(name);

	ref_touch(r, dir, REF_LOOK);
	if (err)
		return err;
	if (S_ISCHR(mode) || S_ISBLK(mode))
		return -EPERM;
	if (S_ISLNK(mode)) {
		if (!*target)
			return -EINVAL;
		if (strlen(target) > FS_SYMLINK_MAX)
			return -ENAMETOOLONG;
		mode = S_IFLNK | 0777;
	}
	if (!S_ISDIR(dir->mode))
		return -ENOTDIR;
	if (!dir->nlink)
		return -ENOENT;
	if (ref_find(dir, name))
		return -EEXIST;
	struct ref_inode *i = born(r, dir, mode, cred);
	enter(r, dir, name, i);
	dir->nlink += S_ISDIR(mode);
	if (S_ISLNK(mode)) {
		i->target = ref_alloc(strlen(target) + 1);
		strcpy(i->target, target);
		i->size = strlen(target);
	}
	ref_touch(r, dir, REF_MTIME | REF_CTIME);
	*ret = i;
	return 0;
}

int ref_tmpfile(struct ref *r, struct ref_inode *dir, uint32_t mode, const struct fs_cred *cred, struct ref_inode **ret)
{
	ref_touch(r, dir, REF_LOOK);
	if (!S_ISDIR(dir->mode))
		return -ENOTDIR;
	*ret = born(r, dir, S_IFREG | (mode & 07777), cred);
	(*ret)->nlink = 0;
	return 0;
}

int ref_link(struct ref *r, struct ref_inode *i, struct ref_inode *dir, const char *name)
{
	int err = ref_check_name(name);

	ref_touch(r, dir, REF_LOOK);
	ref_touch(r, i, REF_LOOK);
	if (err)
		return err;
	if (S_ISDIR(i->mode))
		return -EPERM;
	if (!S_ISDIR(dir->mode))
		return -ENOTDIR;
	if (!dir->nlink)
		return -ENOENT;
	if (ref_find(dir, name))
		return -EEXIST;
	enter(r, dir, name, i);
	i->nlink++;
	ref_touch(r, i, REF_CTIME);
	ref_touch(r, dir, REF_MTIME | REF_CTIME);
	return 0;
}

int ref_remove(struct ref *r, struct ref_inode *dir, const char *name, bool want_dir)
{
	int err = ref_check_name(name);

	ref_touch(r, dir, REF_LOOK);
	if (err == -EEXIST)
		return !want_dir ? -EISDIR : !strcmp(name, ".") ? -EINVAL : -ENOTEMPTY;
	if (err)
		return err;
	if (!S_ISDIR(dir->mode))
		return -ENOTDIR;
	struct ref_dirent *e = ref_find(dir, name);
	if (!e)
		return -ENOENT;
	struct ref_inode *i = e->to;
	ref_touch(r, i, REF_LOOK);
	if (S_ISDIR(i->mode) != want_dir)
		return want_dir ? -ENOTDIR : -EISDIR;
	if (want_dir && i->n_entries)
		return -ENOTEMPTY;
	leave(dir, e);
	i->nlink = want_dir ? 0 : i->nlink - 1;
	dir->nlink -= want_dir;
	ref_touch(r, i, REF_CTIME);
	ref_touch(r, dir, REF_MTIME | REF_CTIME);
	ref_reap(r, i);
	return 0;
}

static bool is_below(const struct ref_inode *dir, const struct ref_inode *top)
{
	for (; dir != top; dir = dir->parent)
		if (dir == dir->parent)
			return false;
	return true;
}

static void moved(struct ref_inode *i, struct ref_inode *from, struct ref_inode *to)
{
	if (!S_ISDIR(i->mode))
		return;
	from->nlink--;
	to->nlink++;
	i->parent = to;
}

static int replace(struct ref *r, struct ref_inode *from, struct ref_dirent *src, struct ref_inode *to,
		   struct ref_dirent *dst, const char *newname)
{
	struct ref_inode *i = src->to, *old = dst ? dst->to : NULL;

	if (old) {
		if (S_ISDIR(old->mode) && !S_ISDIR(i->mode))
			return -EISDIR;
		if (!S_ISDIR(old->mode) && S_ISDIR(i->mode))
			return -ENOTDIR;
		if (S_ISDIR(old->mode) && old->n_entries)
			return -ENOTEMPTY;
		leave(to, dst);
		if (S_ISDIR(old->mode))
			to->nlink--;
		old->nlink = S_ISDIR(old->mode) ? 0 : old->nlink - 1;
		ref_touch(r, old, REF_CTIME);
		ref_reap(r, old);
	}
	leave(from, src);
	enter(r, to, newname, i);
	moved(i, from, to);
	return 0;
}

int ref_rename(struct ref *r, struct ref_inode *from, const char *name, struct ref_inode *to, const char *newname,
	       unsigned flags)
{
	ref_touch(r, from, REF_LOOK);
	ref_touch(r, to, REF_LOOK);
	if (flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE) || flags == (RENAME_NOREPLACE | RENAME_EXCHANGE))
		return -EINVAL;
	int err = ref_check_name(name);
	if (!err)
		err = ref_check_name(newname);
	if (err)
		return err == -EEXIST ? -EBUSY : err;
	if (!S_ISDIR(from->mode) || !S_ISDIR(to->mode))
		return -ENOTDIR;
	if (!to->nlink)
		return -ENOENT;
	struct ref_dirent *src = ref_find(from, name), *dst = ref_find(to, newname);
	if (!src)
		return -ENOENT;
	if (dst && flags & RENAME_NOREPLACE)
		return -EEXIST;
	if (!dst && flags & RENAME_EXCHANGE)
		return -ENOENT;
	struct ref_inode *i = src->to, *old = dst ? dst->to : NULL;
	ref_touch(r, i, REF_LOOK);
	if (old)
		ref_touch(r, old, REF_LOOK);
	if (i == old)
		return 0;
	if (S_ISDIR(i->mode) && is_below(to, i))
		return -EINVAL;
	if (old && S_ISDIR(old->mode) && is_below(from, old))
		return flags & RENAME_EXCHANGE ? -EINVAL : -ENOTEMPTY;
	if (flags & RENAME_EXCHANGE) {
		src->to = old;
		dst->to = i;
		src->made = dst->made = r->op;
		moved(i, from, to);
		moved(old, to, from);
		ref_touch(r, old, REF_CTIME);
	} else {
		err = replace(r, from, src, to, dst, newname);
		if (err)
			return err;
	}
	ref_touch(r, i, REF_CTIME);
	ref_touch(r, from, REF_MTIME | REF_CTIME);
	ref_touch(r, to, REF_MTIME | REF_CTIME);
	return 0;
}

struct ref_xattr *ref_xattr_find(struct ref_inode *i, const char *name)
{
	struct ref_xattr *x = i->xattrs;
	while (x && strcmp(x->name, name))
		x = x->next;
	return x;
}

static size_t bytes_of(const char *name, size_t size)
{
	return 6 + strlen(name) + size;
}

static bool drop_xattr(struct ref_inode *i, const char *name)
{
	for (struct ref_xattr **at = &i->xattrs; *at; at = &(*at)->next) {
		struct ref_xattr *x = *at;
		if (strcmp(x->name, name))
			continue;
		*at = x->next;
		i->xattr_bytes -= bytes_of(name, x->len);
		free(x->name);
		free(x->value);
		free(x);
		return true;
	}
	return false;
}

int ref_setxattr(struct ref *r, struct ref_inode *i, const char *name, const void *value, size_t size, int flags)
{
	ref_touch(r, i, REF_LOOK);
	if (!strcmp(name, "user.cloison.label") || !strcmp(name, "user.cloison.marking"))
		return -EPERM;
	if (strncmp(name, "user.", 5) && strncmp(name, "trusted.", 8) && strncmp(name, "security.", 9))
		return -EOPNOTSUPP;
	if (strlen(name) > FS_XATTR_NAME_MAX)
		return -ERANGE;
	if (size > FS_XATTR_VALUE_MAX)
		return -E2BIG;
	struct ref_xattr *x = ref_xattr_find(i, name);
	if (x && flags & XATTR_CREATE)
		return -EEXIST;
	if (!x && flags & XATTR_REPLACE)
		return -ENODATA;
	if (i->xattr_bytes - (x ? bytes_of(name, x->len) : 0) + bytes_of(name, size) > LIST_MAX)
		return -ENOSPC;
	drop_xattr(i, name);
	x = ref_alloc(sizeof *x);
	x->name = ref_alloc(strlen(name) + 1);
	strcpy(x->name, name);
	x->value = ref_alloc(size);
	if (size)
		memcpy(x->value, value, size);
	x->len = size;
	x->next = i->xattrs;
	i->xattrs = x;
	i->xattr_bytes += bytes_of(name, size);
	ref_touch(r, i, REF_CTIME);
	return 0;
}

int ref_removexattr(struct ref *r, struct ref_inode *i, const char *name)
{
	ref_touch(r, i, REF_LOOK);
	if (!strcmp(name, "user.cloison.label") || !strcmp(name, "user.cloison.marking"))
		return -EPERM;
	if (!drop_xattr(i, name))
		return -ENODATA;
	ref_touch(r, i, REF_CTIME);
	return 0;
}

/* A time becomes what is given: it is known, and now. */
static void set_time(struct ref_inode *i, unsigned which, struct timespec *at, struct timespec to)
{
	*at = to;
	i->unknown &= ~which;
}

int ref_setattr(struct ref *r, struct ref_inode *i, unsigned set, const struct fs_attr *a)
{
	ref_touch(r, i, REF_LOOK);
	if (set & FS_SET_SIZE) {
		int err = S_ISREG(i->mode) ? ref_truncate(r, i, a->size) : S_ISDIR(i->mode) ? -EISDIR : -EINVAL;
		if (err)
			return err;
		set &= ~(unsigned)FS_SET_SIZE;
	}
	if (!set)
		return 0;
	if (set & (FS_SET_UID | FS_SET_GID | FS_SET_KILL_PRIV) && !S_ISDIR(i->mode)) {
		i->mode &= ~(uint32_t)S_ISUID;
		if (i->mode & S_IXGRP)
			i->mode &= ~(uint32_t)S_ISGID;
		drop_xattr(i, "security.capability");
	}
	if (set & FS_SET_MODE)
		i->mode = (i->mode & S_IFMT) | (a->mode & 07777);
	if (set & FS_SET_UID)
		i->uid = a->uid;
	if (set & FS_SET_GID)
		i->gid = a->gid;
	unsigned now = REF_CTIME;
	if (set & FS_SET_ATIME_NOW)
		now |= REF_ATIME;
	if (set & FS_SET_MTIME_NOW)
		now |= REF_MTIME;
	if (set & FS_SET_CTIME)
		now &= ~(unsigned)REF_CTIME;
	ref_touch(r, i, now);
	i->changed = r->op;
	if (set & FS_SET_ATIME && !(set & FS_SET_ATIME_NOW))
		set_time(i, REF_ATIME, &i->atime, a->atime);
	if (set & FS_SET_MTIME && !(set & FS_SET_MTIME_NOW))
		set_time(i, REF_MTIME, &i->mtime, a->mtime);
	if (set & FS_SET_CTIME)
		set_time(i, REF_CTIME, &i->ctime, a->ctime);
	return 0;
}
