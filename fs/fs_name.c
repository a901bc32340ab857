/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Requests on names: lookup, new objects, link, unlink, rmdir, readdir. */
#include "fs/acl.h"
#include "fs/data.h"
#include "fs/dir.h"
#include "fs/fs_private.h"
#include "fs/xattr.h"

#include "common/log.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Attributes of i and a reference for the kernel. */
static int give(struct fs *fs, struct inode *i, struct fs_attr *ret)
{
	int err = 0;

	/* Counted under the lock: whoever frees the inode looks at the count under it, exclusively. */
	pthread_rwlock_rdlock(&i->lock);
	fs_show(fs, i, ret);
	if (!ret->mode)
		err = -ENOENT; /* freed since we found it */
	else if (ret->ino != FS_ROOT)
		err = inode_lookup_add(i->comp, i->ino);
	pthread_rwlock_unlock(&i->lock);
	return err;
}

/* Where an entry leads: -ENOENT for a gate that is not for this session. */
static int target_of(struct fs *fs, const struct inode *dir, const struct dir_entry *e, struct inode **ret)
{
	struct comp *c = dir->comp;

	if (!e->is_gate && e->ino == dir->ino)
		return -EUCLEAN; /* a directory in itself: damage */
	if (e->is_gate) {
		c = fs_comp_by_id(fs, e->gate);
		if (!c)
			return -ENOENT;
	}
	int err = inode_get(c, e->ino, ret);
	if (err == -ENOENT) {
		log_err("compartment %s: an entry leads to inode %llu, which is not in use: run fsck.cloison", c->io.name,
			(unsigned long long)e->ino);
		err = -EUCLEAN;
	}
	return err;
}

/* ".." of a directory: across the gate for the root of a compartment. */
static int parent_of(struct fs *fs, const struct inode *dir, struct inode **ret)
{
	if (dir->ino == INODE_ROOT)
		return inode_get(fs->comps[0], INODE_ROOT, ret);
	return inode_get(dir->comp, dir->parent, ret);
}

int fs_lookup(struct fs *fs, uint64_t dir, const char *name, struct fs_attr *ret)
{
	struct inode *d, *i = NULL;
	struct dir_entry e;
	int err = fs_inode(fs, dir, ACCESS_LOOK, &d);

	if (err)
		return err;
	if (!strcmp(name, ".")) {
		err = give(fs, d, ret);
		inode_put(d);
		return err;
	}
	if (!strcmp(name, "..")) {
		pthread_rwlock_rdlock(&d->lock);
		err = S_ISDIR(d->mode) ? parent_of(fs, d, &i) : -ENOTDIR;
		pthread_rwlock_unlock(&d->lock);
		if (!err)
			err = give(fs, i, ret);
	} else {
		err = fs_check_name(name);
		if (!err)
			err = fs_lock_dir(d);
		if (!err) {
			err = dir_find(d, name, &e);
			if (!err)
				err = target_of(fs, d, &e, &i);
			/* Under the directory's lock: else the number could be another file's by now. */
			if (!err)
				err = give(fs, i, ret);
			pthread_rwlock_unlock(&d->lock);
		}
	}
	inode_put(i);
	inode_put(d);
	return err;
}

void fs_forget(struct fs *fs, uint64_t ino, uint64_t n)
{
	struct comp *c = fs_comp(fs, ino);
	struct inode *i;

	if (!c || ino == FS_ROOT)
		return;
	ino &= ((uint64_t)1 << FS_INO_BITS) - 1;
	if (!inode_lookup_sub(c, ino, n) || !c->writable)
		return;
	i = inode_find(c, ino); /* orphans are in memory; others need nothing */
	if (!i)
		return;
	pthread_rwlock_rdlock(&i->lock);
	bool orphan = i->mode && i->nlink == 0;
	pthread_rwlock_unlock(&i->lock);
	if (orphan && inode_is_unused(i))
		fs_reap(i);
	inode_put(i);
}

/* mode, ACLs and group of a new object in dir (locked). *ret_acl: access ACL to store (malloc'ed) or NULL. */
static int inherit(struct inode *dir, uint32_t *mode, const struct fs_cred *cred, uint32_t *ret_gid, uint8_t **ret_acl,
		   uint8_t **ret_default, size_t *ret_len)
{
	size_t len = 0;
	int err = -ENODATA;

	*ret_acl = *ret_default = NULL;
	*ret_gid = cred->gid;
	if (dir->mode & S_ISGID) {
		*ret_gid = dir->gid;
		if (S_ISDIR(*mode))
			*mode |= S_ISGID;
	}
	if (S_ISLNK(*mode))
		return 0;
	if (xattr_any(dir))
		err = xattr_get(dir, ACL_XATTR_DEFAULT, NULL, 0, &len);
	if (err == -ENODATA) {
		*mode &= ~(cred->umask & 0777);
		return 0;
	}
	if (err)
		return err;
	uint8_t *acl = malloc(len ? len : 1), *copy = malloc(len ? len : 1);
	err = acl && copy ? xattr_get(dir, ACL_XATTR_DEFAULT, acl, len, &len) : -ENOMEM;
	if (!err)
		memcpy(copy, acl, len);
	uint32_t bits = *mode;
	int keep = err ? err : acl_inherit(acl, len, &bits);
	if (keep < 0) {
		free(acl);
		free(copy);
		return keep;
	}
	*mode = bits;
	*ret_len = len;
	if (S_ISDIR(bits))
		*ret_default = copy;
	else
		free(copy);
	if (keep)
		*ret_acl = acl;
	else
		free(acl);
	return 0;
}

/* An inode that got no name after all. Transaction running, lock not held. */
static void undo_new(struct inode *i, bool orphan)
{
	pthread_rwlock_wrlock(&i->lock);
	i->nlink = 0;
	int err = orphan ? 0 : inode_set_orphan(i, true);
	if (!err)
		err = inode_free_orphan(i);
	pthread_rwlock_unlock(&i->lock);
	if (err)
		log_err("compartment %s: inode %llu: cannot be freed after an error; recovery will", i->comp->io.name,
			(unsigned long long)i->ino);
}

static int set_target(struct inode *i, const char *target)
{
	size_t n = strlen(target);

	if (n > INODE_INLINE)
		return data_fill(i, target, n);
	memcpy(i->inline_area, target, n);
	i->link_len = (uint16_t)n;
	i->link_inline = true;
	i->size = n;
	return 0;
}

/* New inode for dir (locked exclusively, transaction running): everything but its name. */
static int new_inode(struct inode *dir, uint32_t mode, bool orphan, const char *target, const struct fs_cred *cred,
		     struct inode **ret)
{
	uint8_t *acl, *def;
	uint32_t gid;
	size_t len = 0;
	struct inode *i;
	int err = inherit(dir, &mode, cred, &gid, &acl, &def, &len);

	if (err)
		return err;
	err = inode_new(dir->comp, mode, orphan, &i);
	if (!err) {
		pthread_rwlock_wrlock(&i->lock);
		i->uid = cred->uid;
		i->gid = gid;
		i->nlink = orphan ? 0 : S_ISDIR(mode) ? 2 : 1;
		i->parent = S_ISDIR(mode) ? dir->ino : 0;
		if (acl)
			err = xattr_set(i, ACL_XATTR_ACCESS, acl, len, 0);
		if (def && !err)
			err = xattr_set(i, ACL_XATTR_DEFAULT, def, len, 0);
		if (target && !err)
			err = set_target(i, target);
		pthread_rwlock_unlock(&i->lock);
		if (err) {
			undo_new(i, orphan);
			inode_put(i);
		} else {
			*ret = i;
		}
	}
	free(acl);
	free(def);
	return err;
}

static void changed_now(struct inode *i)
{
	i->mtime = i->ctime = inode_now();
}

int fs_make(struct fs *fs, uint64_t dir, const char *name, uint32_t mode, const char *target, const struct fs_cred *cred,
	    struct fs_attr *ret)
{
	struct inode *d, *i = NULL;
	struct dir_entry e;
	int err = fs_check_name(name);

	if (err)
		return err;
	switch (mode & S_IFMT) {
	case S_IFREG: case S_IFDIR: case S_IFIFO: case S_IFSOCK:
		break;
	case S_IFLNK:
		if (!target || !*target)
			return -EINVAL;
		if (strlen(target) > FS_SYMLINK_MAX)
			return -ENAMETOOLONG;
		mode = S_IFLNK | 0777;
		break;
	default:
		return access_check(ACCESS_DEVICE, fs->session, 0, 0);
	}
	err = fs_inode(fs, dir, ACCESS_ENTRY, &d);
	if (err)
		return err;
	err = txn_begin(d->comp);
	if (err) {
		inode_put(d);
		return err;
	}
	pthread_rwlock_rdlock(&d->comp->names);
	pthread_rwlock_wrlock(&d->lock);
	if (!S_ISDIR(d->mode))
		err = -ENOTDIR;
	else if (d->nlink == 0)
		err = -ENOENT;
	else
		err = dir_load(d);
	if (!err) {
		err = dir_find(d, name, &e);
		err = err == 0 ? -EEXIST : err == -ENOENT ? 0 : err;
	}
	if (!err)
		err = new_inode(d, mode & (S_IFMT | 07777), false, S_ISLNK(mode) ? target : NULL, cred, &i);
	if (!err) {
		/* Counted before it has a name: what can fail comes first. */
		err = inode_lookup_add(i->comp, i->ino);
		if (!err) {
			err = dir_add(d, name, i->ino, (uint8_t)IFTODT(mode), NULL);
			if (err)
				inode_lookup_sub(i->comp, i->ino, 1);
		}
		if (err) {
			undo_new(i, false);
		} else {
			changed_now(d);
			if (S_ISDIR(mode))
				d->nlink++;
			pthread_rwlock_rdlock(&i->lock);
			fs_show(fs, i, ret);
			pthread_rwlock_unlock(&i->lock);
		}
	}
	pthread_rwlock_unlock(&d->lock);
	pthread_rwlock_unlock(&d->comp->names);
	txn_end(d->comp);
	inode_put(i);
	inode_put(d);
	return err;
}

int fs_tmpfile(struct fs *fs, uint64_t dir, uint32_t mode, const struct fs_cred *cred, struct fs_attr *ret)
{
	struct inode *d, *i = NULL;
	int err = fs_inode(fs, dir, ACCESS_ENTRY, &d);

	if (err)
		return err;
	err = txn_begin(d->comp);
	if (!err) {
		pthread_rwlock_wrlock(&d->lock);
		if (!S_ISDIR(d->mode))
			err = -ENOTDIR;
		else
			err = new_inode(d, S_IFREG | (mode & 07777), true, NULL, cred, &i);
		if (!err) {
			err = inode_lookup_add(i->comp, i->ino);
			if (err)
				undo_new(i, true);
		}
		pthread_rwlock_unlock(&d->lock);
		if (!err) {
			inode_hold(i); /* as fs_orphan does */
			i->orphan_held = true;
			pthread_rwlock_rdlock(&i->lock);
			fs_show(fs, i, ret);
			pthread_rwlock_unlock(&i->lock);
		}
		txn_end(d->comp);
	}
	inode_put(i);
	inode_put(d);
	return err;
}

int fs_link(struct fs *fs, uint64_t ino, uint64_t dir, const char *name, struct fs_attr *ret)
{
	struct inode *d = NULL, *i = NULL;
	struct dir_entry e;
	int err = fs_check_name(name);

	if (!err)
		err = access_check(ACCESS_MOVE, fs->session, (unsigned)(ino >> FS_INO_BITS), (unsigned)(dir >> FS_INO_BITS));
	if (!err)
		err = fs_inode(fs, dir, ACCESS_ENTRY, &d);
	if (!err)
		err = fs_inode(fs, ino, ACCESS_WRITE, &i);
	if (!err) {
		/* A directory is refused before two locks are held: it could be an ancestor of d. */
		pthread_rwlock_rdlock(&i->lock);
		err = S_ISDIR(i->mode) ? -EPERM : 0;
		pthread_rwlock_unlock(&i->lock);
	}
	if (!err)
		err = d == i ? -ENOTDIR : txn_begin(d->comp);
	if (err)
		goto out;
	pthread_rwlock_rdlock(&d->comp->names);
	pthread_rwlock_wrlock(&d->lock);
	pthread_rwlock_wrlock(&i->lock);
	if (!S_ISDIR(d->mode))
		err = -ENOTDIR;
	else if (d->nlink == 0 || !i->mode)
		err = -ENOENT;
	else if (i->nlink >= FS_LINK_MAX)
		err = -EMLINK;
	else
		err = dir_load(d);
	if (!err) {
		err = dir_find(d, name, &e);
		err = err == 0 ? -EEXIST : err == -ENOENT ? 0 : err;
	}
	if (!err)
		err = inode_dirty(i);
	bool orphan = i->nlink == 0;
	/* Counted before it has the name: what can fail comes first. */
	bool counted = !err && !(err = inode_lookup_add(i->comp, i->ino));
	if (!err && orphan)
		err = inode_set_orphan(i, false);
	if (!err) {
		err = dir_add(d, name, i->ino, (uint8_t)IFTODT(i->mode), NULL);
		if (err && orphan && inode_set_orphan(i, true)) /* its page is dirty, so it is there */
			log_warn("compartment %s: inode %llu is lost until fsck", i->comp->io.name, (unsigned long long)i->ino);
	}
	if (!err) {
		i->nlink++;
		if (orphan && i->orphan_held)
			inode_put(i); /* fs_orphan's or fs_tmpfile's; the caller has one as well */
		if (orphan)
			i->orphan_held = false;
		i->named = true;
		i->ctime = inode_now();
		changed_now(d);
		fs_show(fs, i, ret);
	} else if (counted) {
		inode_lookup_sub(i->comp, i->ino, 1);
	}
	pthread_rwlock_unlock(&i->lock);
	pthread_rwlock_unlock(&d->lock);
	pthread_rwlock_unlock(&d->comp->names);
	txn_end(d->comp);
out:
	inode_put(i);
	inode_put(d);
	return err;
}

/* What must hold before the entry of i (locked) may go. */
static int may_remove(const struct inode *i, bool want_dir)
{
	if (!want_dir)
		return S_ISDIR(i->mode) ? -EISDIR : 0;
	if (!S_ISDIR(i->mode))
		return -ENOTDIR;
	return i->entries ? -ENOTEMPTY : 0;
}

static int remove_name(struct fs *fs, uint64_t dir, const char *name, bool want_dir)
{
	struct inode *d, *i = NULL;
	struct dir_entry e;
	bool orphan = false;
	int err = fs_check_name(name);

	if (err == -EEXIST)
		return want_dir ? (strcmp(name, "..") ? -EINVAL : -ENOTEMPTY) : -EISDIR;
	if (!err)
		err = fs_inode(fs, dir, ACCESS_ENTRY, &d);
	if (err)
		return err;
	err = txn_begin_kind(d->comp, ROOM_GIVE);
	if (err) {
		inode_put(d);
		return err;
	}
	pthread_rwlock_rdlock(&d->comp->names);
	pthread_rwlock_wrlock(&d->lock);
	err = S_ISDIR(d->mode) ? dir_load(d) : -ENOTDIR;
	if (!err)
		err = dir_find(d, name, &e);
	if (!err && e.is_gate)
		err = -EACCES; /* of another label, empty or not */
	if (!err)
		err = target_of(fs, d, &e, &i);
	if (!err) {
		pthread_rwlock_wrlock(&i->lock);
		err = may_remove(i, want_dir);
		if (!err)
			err = inode_dirty(i);
		/* What can fail, then what changes. */
		if (!err)
			err = dir_prepare(d, &e);
		orphan = want_dir || i->nlink <= 1;
		if (!err && orphan)
			err = fs_orphan(i);
		if (!err)
			err = dir_remove(d, &e);
		if (!err) {
			i->nlink = orphan ? 0 : i->nlink - 1;
			if (want_dir)
				d->nlink--;
			i->ctime = inode_now();
			changed_now(d);
		}
		pthread_rwlock_unlock(&i->lock);
	}
	pthread_rwlock_unlock(&d->lock);
	pthread_rwlock_unlock(&d->comp->names);
	txn_end(d->comp);
	if (orphan && !err && inode_is_unused(i))
		fs_reap(i);
	inode_put(i);
	inode_put(d);
	return err;
}

int fs_unlink(struct fs *fs, uint64_t dir, const char *name)
{
	return remove_name(fs, dir, name, false);
}

int fs_rmdir(struct fs *fs, uint64_t dir, const char *name)
{
	return remove_name(fs, dir, name, true);
}

/* One entry of readdir. */
static int show_entry(struct fs *fs, struct inode *d, const struct dir_entry *e, bool plus, struct fs_attr *a)
{
	struct comp *c = e->is_gate ? fs_comp_by_id(fs, e->gate) : d->comp;
	struct inode *i;

	*a = (struct fs_attr){ .ino = (uint64_t)c->rank << FS_INO_BITS | e->ino, .mode = DTTOIF(e->type) };
	if (!plus)
		return 0;
	/* An inode that cannot be read hides no name: it is listed without attributes. */
	if (target_of(fs, d, e, &i))
		return 0;
	struct fs_attr full;
	int err = 0;
	pthread_rwlock_rdlock(&i->lock);
	fs_show(fs, i, &full);
	if (full.mode && full.nlink) {
		*a = full;
		err = inode_lookup_add(i->comp, i->ino);
	}
	pthread_rwlock_unlock(&i->lock);
	inode_put(i);
	return err;
}

int fs_readdir(struct fs *fs, uint64_t dir, uint64_t off, bool plus, fs_readdir_fn *fn, void *arg)
{
	struct inode *d;
	struct dir_entry e;
	struct fs_attr a;
	bool more = true;
	int err = fs_inode(fs, dir, ACCESS_READ, &d);

	if (err)
		return err;
	pthread_rwlock_rdlock(&d->lock);
	if (!S_ISDIR(d->mode))
		err = -ENOTDIR;
	if (!err && off == 0) {
		a = (struct fs_attr){ .ino = dir, .mode = S_IFDIR };
		more = fn(arg, ".", &a, 1);
		off = 1;
	}
	if (!err && more && off == 1) {
		a = (struct fs_attr){ .ino = d->ino == INODE_ROOT ? FS_ROOT : (uint64_t)d->comp->rank << FS_INO_BITS | d->parent,
				      .mode = S_IFDIR };
		more = fn(arg, "..", &a, 2);
		off = 2;
	}
	pthread_rwlock_unlock(&d->lock);
	while (!err && more) {
		/* Locked until the child is counted, so that its number cannot become another file's; not while fn works. */
		pthread_rwlock_rdlock(&d->lock);
		err = S_ISDIR(d->mode) ? dir_next(d, off, &e) : -ENOENT;
		bool hidden = !err && e.is_gate && !fs_comp_by_id(fs, e.gate);
		if (!err && !hidden)
			err = show_entry(fs, d, &e, plus, &a);
		pthread_rwlock_unlock(&d->lock);
		if (err)
			break;
		off = e.pos + 1;
		if (hidden)
			continue;
		more = fn(arg, e.name, &a, off);
		if (!more && a.nlink)
			inode_lookup_sub(fs_comp(fs, a.ino), a.ino & (((uint64_t)1 << FS_INO_BITS) - 1), 1);
	}
	err = err == -ENOENT ? 0 : err;
	if (!err)
		fs_touch_atime(d);
	inode_put(d);
	return err;
}
