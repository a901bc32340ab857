/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Inodes in memory and in the inode table (doc/FORMAT section 5).
 *
 * An inode lives in memory while it is referenced, dirty, or recently used. inode->lock guards its attributes, trees and
 * directory index: shared to read, exclusive (with a running transaction) to change. inode->range guards page ranges of file data while
 * they are read or written outside the lock. How many references the kernel counts (lookups) is kept apart in a compact table, so that
 * an inode the kernel knows costs 16 bytes, not a struct.
 */
#ifndef CLOISON_FS_INODE_H
#define CLOISON_FS_INODE_H

#include "common/base.h"
#include "common/list.h"
#include "fs/fs.h"
#include "fs/tree.h"

#include <pthread.h>

#define INODE_RECORD 512u
#define INODE_PER_PAGE (CL_PAGE / INODE_RECORD)
#define INODE_INLINE 232u
#define INODE_ROOT 1u
#define INODE_MAX ((uint64_t)1 << 47)

struct comp;
struct dir_index;
struct inode_cache;

/* The part of an inode that follows its data: what a commit takes or leaves as one. */
struct inode_data {
	struct tree_desc tree;
	uint64_t size;
	uint64_t stored;
};

struct inode_range {
	struct list in;
	uint64_t first, last; /* pages */
	bool write;
};

struct inode {
	struct comp *comp;
	uint64_t ino;
	uint32_t type; /* S_IFMT bits of mode: set before anybody else knows the inode, never changed; needs no lock */
	pthread_rwlock_t lock;

	/* protected by lock */
	uint32_t mode, nlink, uid, gid, rdev_major, rdev_minor, generation;
	struct timespec atime, mtime, ctime, btime;
	uint64_t size;
	uint64_t stored;      /* leaves of data that are not holes */
	struct tree data;
	uint64_t parent;      /* directories */
	uint64_t entries;
	struct dir_index *index;
	atomic_bool dir_damaged; /* a page of it could not be read: a listing must not end as if it were whole */
	struct tree xattr;
	uint32_t xattr_len;   /* in the object */
	uint16_t link_len;    /* inline symlink target */
	uint16_t xattr_inline_len;
	bool link_inline, xattr_object;
	uint8_t inline_area[INODE_INLINE];
	uint64_t last_txn;    /* transaction that changed it last */
	uint64_t data_txn;    /* transaction that changed its data last */
	struct inode_data committed; /* data as the last commit has it */
	struct journal_op *ops;      /* of its data, for the commit that takes them */
	size_t n_ops, cap_ops;

	/* protected by comp->list, but fresh_* as said */
	bool named;           /* protected by lock: renamed over another name, or linked, since its last commit: not to be left behind */
	bool orphan_held;     /* protected by lock: fs_orphan's reference */
	bool dirty;
	struct list in_dirty;
	struct node *leaf;    /* its inode table page, referenced while dirty */
	atomic_uint_fast64_t fresh_writes;  /* writes home since it was loaded */
	atomic_int lost;      /* 0, or the errno with which a sync lost fresh data: see fresh.h; set and cleared with lock held */
	atomic_uint_fast64_t fresh_synced;  /* of these, how many are known to be durable; written under comp->commit */

	pthread_mutex_t range_lock;
	pthread_cond_t range_free;
	struct list ranges;   /* protected by range_lock */
	unsigned range_waiters;

	/* protected by the cache's mutex */
	unsigned refs;
	unsigned opens;
	bool dead;            /* freed in the table: out of the cache */
	struct list lru;
	struct inode *next;
};

int inode_cache_new(size_t max, struct inode_cache **ret) CL_MUST_USE;
void inode_cache_free(struct inode_cache *ic);
size_t inode_cache_count(struct inode_cache *ic);

/* Referenced inode. -ENOENT: not in use; -EBADMSG, -EUCLEAN: its record cannot be read. */
int inode_get(struct comp *c, uint64_t ino, struct inode **ret) CL_MUST_USE;
void inode_put(struct inode *i);
/* Referenced inode if it is in memory, else NULL. */
struct inode *inode_find(struct comp *c, uint64_t ino);
void inode_hold(struct inode *i);

/*
 * New inode with nlink 0, referenced, dirty; nobody else knows it, so it needs no lock; ids and mode are the caller's to set. orphan:
 * entered in the orphan bitmap (else the caller links it, or enters it, before txn_end). Transaction running. -ENOSPC, -ENOMEM.
 */
int inode_new(struct comp *c, uint32_t mode, bool orphan, struct inode **ret) CL_MUST_USE;
/* Marks an inode changed: before the change, lock held exclusively, transaction running. */
int inode_dirty(struct inode *i) CL_MUST_USE;
/* nlink became 0, or is no longer 0: enters it in the orphan bitmap or takes it out. */
int inode_set_orphan(struct inode *i, bool orphan) CL_MUST_USE;
/* Frees an orphan nobody uses: record, number, objects; mode is 0 from then on. Lock held exclusively, transaction running. */
int inode_free_orphan(struct inode *i) CL_MUST_USE;
/* Frees every orphan, in transactions of its own; what cannot be freed is logged and left. */
void inode_free_all_orphans(struct comp *c);

/* New contents of length 0 under a new object (truncation to zero). */
int inode_reset_data(struct inode *i) CL_MUST_USE;
int inode_add_op(struct inode *i, uint32_t code, uint64_t object, uint64_t a, uint64_t b) CL_MUST_USE;

/* Kernel references: forget returns true when the count of ino became 0. */
int inode_lookup_add(struct comp *c, uint64_t ino) CL_MUST_USE;
bool inode_lookup_sub(struct comp *c, uint64_t ino, uint64_t n);
void inode_open_add(struct inode *i);
bool inode_open_sub(struct inode *i); /* true when it was the last */
/* True when neither the kernel nor an open handle refers to it. */
bool inode_is_unused(struct inode *i);

/* Record <-> memory. decode: -EUCLEAN with what is wrong in the log. */
void inode_encode(const struct inode *i, const struct inode_data *data, uint8_t out[static INODE_RECORD]);
int inode_decode(struct inode *i, const uint8_t in[static INODE_RECORD]) CL_MUST_USE;
/* For repair: makes a record that does not decode into one that does, with all of it that makes sense. False: nothing does. */
bool inode_mend(uint8_t record[static INODE_RECORD]);
void inode_data_now(const struct inode *i, struct inode_data *ret);

/* Page ranges of data: waits until no range in the way is held. */
void inode_range_lock(struct inode *i, struct inode_range *r, uint64_t first, uint64_t last, bool write);
void inode_range_unlock(struct inode *i, struct inode_range *r);

void inode_attr(const struct inode *i, struct fs_attr *ret);
struct timespec inode_now(void);

#endif
