/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Requests on attributes: getattr, setattr, readlink, extended attributes. */
#include "fs/acl.h"
#include "fs/data.h"
#include "fs/fs_private.h"
#include "fs/xattr.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#define CAPABILITY "security.capability"

int fs_getattr(struct fs *fs, uint64_t ino, struct fs_attr *ret)
{
	struct inode *i;
	int err = fs_inode(fs, ino, ACCESS_LOOK, &i);

	if (err)
		return err;
	pthread_rwlock_rdlock(&i->lock);
	fs_show(fs, i, ret);
	err = i->mode ? 0 : -ESTALE;
	pthread_rwlock_unlock(&i->lock);
	inode_put(i);
	return err;
}

/* What a write or a change of owner by anybody takes away. */
static int kill_priv(struct inode *i)
{
	int err = 0;

	if (S_ISDIR(i->mode))
		return 0;
	i->mode &= ~(uint32_t)S_ISUID;
	if (i->mode & S_IXGRP)
		i->mode &= ~(uint32_t)S_ISGID;
	if (xattr_any(i))
		err = xattr_remove(i, CAPABILITY);
	return err == -ENODATA ? 0 : err;
}

/* chmod: the access ACL, where there is one, follows. */
static int set_mode(struct inode *i, uint32_t mode)
{
	uint8_t *acl = NULL;
	size_t len = 0;
	int err = xattr_any(i) ? xattr_get(i, ACL_XATTR_ACCESS, NULL, 0, &len) : -ENODATA;

	if (!err) {
		acl = malloc(len ? len : 1);
		err = acl ? xattr_get(i, ACL_XATTR_ACCESS, acl, len, &len) : -ENOMEM;
		if (!err)
			err = acl_chmod(acl, len, mode);
		if (!err)
			err = xattr_set(i, ACL_XATTR_ACCESS, acl, len, 0);
		free(acl);
	}
	if (err && err != -ENODATA)
		return err;
	i->mode = (i->mode & S_IFMT) | (mode & 07777);
	return 0;
}

static int set_attr(struct inode *i, unsigned set, const struct fs_attr *a)
{
	struct timespec now = inode_now();
	int err = inode_dirty(i);

	if (!err && set & (FS_SET_UID | FS_SET_GID | FS_SET_KILL_PRIV))
		err = kill_priv(i);
	if (!err && set & FS_SET_MODE)
		err = set_mode(i, a->mode);
	if (err)
		return err;
	if (set & FS_SET_UID)
		i->uid = a->uid;
	if (set & FS_SET_GID)
		i->gid = a->gid;
	if (set & FS_SET_ATIME_NOW)
		i->atime = now;
	else if (set & FS_SET_ATIME)
		i->atime = a->atime;
	if (set & FS_SET_MTIME_NOW)
		i->mtime = now;
	else if (set & FS_SET_MTIME)
		i->mtime = a->mtime;
	i->ctime = set & FS_SET_CTIME ? a->ctime : now;
	return 0;
}

int fs_setattr(struct fs *fs, uint64_t ino, unsigned set, const struct fs_attr *attr, struct fs_attr *ret)
{
	struct inode *i;
	int err = fs_inode(fs, ino, ACCESS_WRITE, &i);

	if (err)
		return err;
	if (set & FS_SET_SIZE) {
		err = S_ISREG(i->type) ? data_truncate(i, attr->size) : S_ISDIR(i->type) ? -EISDIR : -EINVAL;
		set &= ~(unsigned)FS_SET_SIZE;
	}
	if (!err && set)
		err = txn_begin_kind(i->comp, ROOM_CHANGE);
	if (!err && set) {
		pthread_rwlock_wrlock(&i->lock);
		err = i->mode ? set_attr(i, set, attr) : -ESTALE;
		pthread_rwlock_unlock(&i->lock);
		txn_end(i->comp);
	}
	if (!err) {
		pthread_rwlock_rdlock(&i->lock);
		fs_show(fs, i, ret);
		pthread_rwlock_unlock(&i->lock);
	}
	inode_put(i);
	return err;
}

int fs_readlink(struct fs *fs, uint64_t ino, char buf[static FS_SYMLINK_MAX + 1])
{
	struct inode *i;
	int err = fs_inode(fs, ino, ACCESS_READ, &i);

	if (err)
		return err;
	pthread_rwlock_rdlock(&i->lock);
	bool is_inline = i->link_inline;
	uint64_t size = i->size;
	if (!S_ISLNK(i->mode))
		err = -EINVAL;
	else if (size > FS_SYMLINK_MAX || (is_inline && size != i->link_len))
		err = -EUCLEAN;
	else if (is_inline)
		memcpy(buf, i->inline_area, size);
	pthread_rwlock_unlock(&i->lock);
	if (!err && !is_inline) {
		ssize_t n = data_read(i, buf, size, 0);
		err = n < 0 ? (int)n : (uint64_t)n != size ? -EUCLEAN : 0;
	}
	if (!err)
		buf[size] = '\0';
	inode_put(i);
	return err;
}

/* Names this filesystem keeps: anything with a namespace that the kernel lets through. */
static bool name_ok(const char *name)
{
	return !strncmp(name, "user.", 5) || !strncmp(name, "trusted.", 8) || !strncmp(name, "security.", 9) ||
	       !strcmp(name, ACL_XATTR_ACCESS) || !strcmp(name, ACL_XATTR_DEFAULT);
}

/* An access ACL is also the mode; one that says no more than the mode is not kept. */
static int set_acl(struct inode *i, const char *name, const void *value, size_t size, int flags)
{
	uint32_t mode = i->mode;
	int keep = 1, err;

	if (S_ISLNK(i->mode))
		return -EOPNOTSUPP;
	if (!strcmp(name, ACL_XATTR_DEFAULT)) {
		if (!S_ISDIR(i->mode))
			return -EACCES;
		err = acl_check_xattr(value, size);
		return err ? err : xattr_set(i, name, value, size, flags);
	}
	keep = acl_mode(value, size, &mode);
	if (keep < 0)
		return keep;
	err = inode_dirty(i);
	if (err)
		return err;
	if (keep) {
		err = xattr_set(i, name, value, size, flags);
	} else {
		err = xattr_any(i) ? xattr_remove(i, name) : 0;
		err = err == -ENODATA ? 0 : err;
	}
	if (!err) {
		i->mode = mode;
		i->ctime = inode_now();
	}
	return err;
}

int fs_setxattr(struct fs *fs, uint64_t ino, const char *name, const void *value, size_t size, int flags)
{
	struct inode *i = NULL;

	if (!strcmp(name, "user.cloison.label") || !strcmp(name, "user.cloison.marking"))
		return -EPERM;
	if (!name_ok(name))
		return -EOPNOTSUPP;
	int err = fs_inode(fs, ino, ACCESS_WRITE, &i);
	/* The list is written anew, and may be long. */
	if (!err)
		err = txn_begin_pages(i->comp, ROOM_NEW, i->comp->op_pages);
	if (!err) {
		pthread_rwlock_wrlock(&i->lock);
		if (!i->mode)
			err = -ESTALE;
		else if (!strncmp(name, "system.", 7))
			err = set_acl(i, name, value, size, flags);
		else
			err = xattr_set(i, name, value, size, flags);
		pthread_rwlock_unlock(&i->lock);
		txn_end_pages(i->comp, i->comp->op_pages);
	}
	inode_put(i);
	return err;
}

int fs_getxattr(struct fs *fs, uint64_t ino, const char *name, void *buf, size_t size, size_t *ret_len)
{
	struct inode *i;
	int err = fs_inode(fs, ino, ACCESS_READ, &i);

	if (err)
		return err;
	pthread_rwlock_rdlock(&i->lock);
	err = xattr_any(i) ? xattr_get(i, name, buf, size, ret_len) : -ENODATA;
	pthread_rwlock_unlock(&i->lock);
	inode_put(i);
	return err;
}

int fs_listxattr(struct fs *fs, uint64_t ino, char *buf, size_t size, size_t *ret_len)
{
	struct inode *i;
	int err = fs_inode(fs, ino, ACCESS_READ, &i);

	if (err)
		return err;
	pthread_rwlock_rdlock(&i->lock);
	err = xattr_list(i, buf, size, ret_len);
	pthread_rwlock_unlock(&i->lock);
	inode_put(i);
	return err;
}

int fs_removexattr(struct fs *fs, uint64_t ino, const char *name)
{
	struct inode *i;

	if (!strcmp(name, "user.cloison.label") || !strcmp(name, "user.cloison.marking"))
		return -EPERM;
	int err = fs_inode(fs, ino, ACCESS_WRITE, &i);
	if (err)
		return err;
	err = txn_begin_kind(i->comp, ROOM_CHANGE);
	if (!err) {
		pthread_rwlock_wrlock(&i->lock);
		err = i->mode ? xattr_remove(i, name) : -ESTALE;
		pthread_rwlock_unlock(&i->lock);
		txn_end(i->comp);
	}
	inode_put(i);
	return err;
}
