/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the files behind fs.h share. */
#ifndef CLOISON_FS_FS_PRIVATE_H
#define CLOISON_FS_FS_PRIVATE_H

#include "fs/access.h"
#include "fs/comp.h"
#include "fs/fs.h"
#include "fs/txn.h"

struct fs {
	struct comp **comps;   /* by position; the last is the session's */
	size_t n;
	unsigned session;      /* rank of the session */
	bool read_only;
	uint32_t hidden_gates; /* directories of labels above, in the root directory: not shown, not counted */
	int64_t commit_ms;
	bool has_thread;
	pthread_t thread;
	pthread_mutex_t lock;  /* guards the next two */
	pthread_cond_t wake;
	bool stop, kicked;
};

#define FS_INO_BITS 48u

static inline struct comp *fs_own(struct fs *fs)
{
	return fs->comps[fs->n - 1];
}

/* Self-test of the cipher, the first time. */
int fs_init(struct fault *f) CL_MUST_USE;
/* Compartment of an inode number; NULL: none of this session. */
struct comp *fs_comp(const struct fs *fs, uint64_t ino);
struct comp *fs_comp_by_id(const struct fs *fs, const uint8_t id[static 16]);
/*
 * Referenced inode after the access check of op. -ESTALE: not in use any more; otherwise what access_check says, or the
 * errors of inode_get. A read-only session gets -EROFS for every change.
 */
int fs_inode(struct fs *fs, uint64_t ino, enum access_op op, struct inode **ret) CL_MUST_USE;
/* Name of a caller: -EINVAL, -ENAMETOOLONG, -EEXIST for "." and "..". */
int fs_check_name(const char *name) CL_MUST_USE;
/* Attributes as this session shows them. Inode lock held, shared at least. */
void fs_show(const struct fs *fs, const struct inode *i, struct fs_attr *ret);
/* Directory for lookups: locked shared, its index loaded. -ENOTDIR. */
int fs_lock_dir(struct inode *dir) CL_MUST_USE;
/* The inode was read: relatime. Takes a transaction of its own if the time is due. */
void fs_touch_atime(struct inode *i);
/* Frees an orphan that nobody uses any more, in a transaction of its own. */
void fs_reap(struct inode *i);
/* Link count has become 0 (lock held, transaction running). */
int fs_orphan(struct inode *i) CL_MUST_USE;

#endif
