/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Rename: within a compartment, over what exists, exchanged. */
#include "fs/dir.h"
#include "fs/fs_private.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* A rename with everything it touches; directories may be the same. All locked exclusively, transaction running. */
struct rename {
	struct fs *fs;
	struct inode *from, *to; /* directories */
	struct dir_entry src, dst;
	struct inode *i, *old;   /* what moves; what is replaced, or exchanged, or NULL */
	const char *newname;
	bool gone;               /* old has lost its last name */
};

/* True iff dir is i or lies below it. Names are held, so parents do not change. */
static int is_below(struct inode *dir, const struct inode *i, bool *ret)
{
	struct comp *c = dir->comp;
	uint64_t at = dir->ino;

	*ret = false;
	for (unsigned depth = 0; at != INODE_ROOT; depth++) {
		struct inode *p;
		if (at == i->ino) {
			*ret = true;
			return 0;
		}
		if (depth > 1000000)
			return -EUCLEAN; /* a loop */
		int err = inode_get(c, at, &p);
		if (err)
			return err == -ENOENT ? -EUCLEAN : err;
		at = p->parent;
		inode_put(p);
	}
	*ret = i->ino == INODE_ROOT;
	return 0;
}

/* nlink of the directories when subdirectory i moves. */
static void move_parent(struct inode *i, struct inode *from, struct inode *to)
{
	if (!S_ISDIR(i->mode) || from == to)
		return;
	from->nlink--;
	to->nlink++;
	i->parent = to->ino;
}

static int exchange(struct rename *r)
{
	int err = inode_dirty(r->i);

	if (!err)
		err = inode_dirty(r->old);
	/* What can fail, then what changes. */
	if (!err)
		err = dir_prepare(r->from, &r->src);
	if (!err)
		err = dir_prepare(r->to, &r->dst);
	if (!err)
		err = dir_retarget(r->from, &r->src, r->old->ino, (uint8_t)IFTODT(r->old->mode));
	if (!err)
		err = dir_retarget(r->to, &r->dst, r->i->ino, (uint8_t)IFTODT(r->i->mode));
	if (err)
		return err;
	move_parent(r->i, r->from, r->to);
	move_parent(r->old, r->to, r->from);
	r->i->ctime = r->old->ctime = inode_now();
	r->i->named = r->old->named = true;
	return 0;
}

static int replace(struct rename *r)
{
	if (r->old && S_ISDIR(r->old->mode) && !S_ISDIR(r->i->mode))
		return -EISDIR;
	if (r->old && !S_ISDIR(r->old->mode) && S_ISDIR(r->i->mode))
		return -ENOTDIR;
	if (r->old && S_ISDIR(r->old->mode) && r->old->entries)
		return -ENOTEMPTY;
	int err = inode_dirty(r->i);
	if (!err)
		err = dir_prepare(r->from, &r->src);
	if (err)
		return err;
	if (r->old) {
		r->gone = S_ISDIR(r->old->mode) || r->old->nlink <= 1;
		err = inode_dirty(r->old);
		if (!err)
			err = dir_prepare(r->to, &r->dst);
		if (!err && r->gone)
			err = fs_orphan(r->old);
		if (!err)
			err = dir_retarget(r->to, &r->dst, r->i->ino, (uint8_t)IFTODT(r->i->mode));
	} else {
		err = dir_add(r->to, r->newname, r->i->ino, (uint8_t)IFTODT(r->i->mode), NULL);
	}
	if (!err)
		err = dir_remove(r->from, &r->src); /* cannot fail any more */
	if (err)
		return err;
	move_parent(r->i, r->from, r->to);
	r->i->ctime = inode_now();
	if (!r->old)
		return 0;
	r->i->named = true;
	if (S_ISDIR(r->old->mode))
		r->to->nlink--;
	r->old->nlink = r->gone ? 0 : r->old->nlink - 1;
	r->old->ctime = r->i->ctime;
	return 0;
}

/* Finds both ends and locks them. */
static int find_ends(struct rename *r, const char *name, unsigned flags)
{
	int err = dir_load(r->from);

	if (!err)
		err = dir_load(r->to);
	if (!err)
		err = dir_find(r->from, name, &r->src);
	if (err)
		return err;
	if (r->src.is_gate)
		return -EXDEV;
	err = dir_find(r->to, r->newname, &r->dst);
	if (err && err != -ENOENT)
		return err;
	bool exists = !err;
	if (exists && r->dst.is_gate)
		return flags & RENAME_NOREPLACE ? -EEXIST : -EXDEV;
	if (exists && flags & RENAME_NOREPLACE)
		return -EEXIST;
	if (!exists && flags & RENAME_EXCHANGE)
		return -ENOENT;
	if (r->src.ino == r->from->ino || (exists && r->dst.ino == r->to->ino))
		return -EUCLEAN; /* an entry that leads to its own directory: damage */
	err = inode_get(r->from->comp, r->src.ino, &r->i);
	if (!err && exists)
		err = inode_get(r->from->comp, r->dst.ino, &r->old);
	return err == -ENOENT ? -EUCLEAN : err;
}

static int check_loops(struct rename *r, unsigned flags)
{
	bool below = false;
	int err = 0;

	if (S_ISDIR(r->i->mode)) {
		err = is_below(r->to, r->i, &below);
		if (!err && below)
			err = -EINVAL;
	}
	if (!err && r->old && S_ISDIR(r->old->mode)) {
		err = is_below(r->from, r->old, &below);
		if (!err && below)
			err = flags & RENAME_EXCHANGE ? -EINVAL : -ENOTEMPTY;
	}
	return err;
}

static int run(struct rename *r, const char *name, unsigned flags)
{
	int err = find_ends(r, name, flags);

	if (err || r->i == r->old)
		return err; /* two names of one file: nothing happens (rename(2)) */
	err = check_loops(r, flags);
	if (err)
		return err;
	/*
	 * Neither is one of the directories: that would have been a loop. A directory first: the other may have a name in it, and
	 * a listing holds the directory while it looks at what is in it.
	 */
	bool old_first = r->old && S_ISDIR(r->old->type);
	if (old_first)
		pthread_rwlock_wrlock(&r->old->lock);
	pthread_rwlock_wrlock(&r->i->lock);
	if (r->old && !old_first)
		pthread_rwlock_wrlock(&r->old->lock);
	err = flags & RENAME_EXCHANGE ? exchange(r) : replace(r);
	if (!err) {
		r->from->mtime = r->from->ctime = r->i->ctime;
		r->to->mtime = r->to->ctime = r->i->ctime;
	}
	if (r->old)
		pthread_rwlock_unlock(&r->old->lock);
	pthread_rwlock_unlock(&r->i->lock);
	return err;
}

/* An ancestor first, as who goes down the tree does (readdir). A directory that is gone is nobody's child any more. */
static void lock_both(struct rename *r)
{
	bool below = false;

	if (is_below(r->from, r->to, &below))
		below = false;
	struct inode *first = below ? r->to : r->from, *second = below ? r->from : r->to;
	pthread_rwlock_wrlock(&first->lock);
	if (second != first)
		pthread_rwlock_wrlock(&second->lock);
}

int fs_rename(struct fs *fs, uint64_t dir, const char *name, uint64_t newdir, const char *newname, unsigned flags)
{
	struct rename r = { .fs = fs, .newname = newname };
	int err;

	if (flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE) || flags == (RENAME_NOREPLACE | RENAME_EXCHANGE))
		return -EINVAL;
	err = fs_check_name(name);
	if (!err)
		err = fs_check_name(newname);
	if (err)
		return err == -EEXIST ? -EBUSY : err;
	err = access_check(ACCESS_MOVE, fs->session, (unsigned)(dir >> FS_INO_BITS), (unsigned)(newdir >> FS_INO_BITS));
	if (!err)
		err = fs_inode(fs, dir, ACCESS_ENTRY, &r.from);
	if (!err)
		err = fs_inode(fs, newdir, ACCESS_ENTRY, &r.to);
	if (!err)
		err = txn_begin_kind(r.from->comp, ROOM_CHANGE);
	if (err)
		goto out;
	struct comp *c = r.from->comp;
	pthread_rwlock_wrlock(&c->names);
	lock_both(&r);
	if (!S_ISDIR(r.from->mode) || !S_ISDIR(r.to->mode))
		err = -ENOTDIR;
	else if (r.to->nlink == 0)
		err = -ENOENT;
	if (!err)
		err = run(&r, name, flags);
	if (r.to != r.from)
		pthread_rwlock_unlock(&r.to->lock);
	pthread_rwlock_unlock(&r.from->lock);
	pthread_rwlock_unlock(&c->names);
	txn_end(c);
	if (!err && r.gone && inode_is_unused(r.old))
		fs_reap(r.old);
out:
	inode_put(r.i);
	inode_put(r.old);
	inode_put(r.from);
	inode_put(r.to);
	return err;
}
