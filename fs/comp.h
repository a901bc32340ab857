/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A compartment that is open: its trees, its running transaction, its inodes in memory.
 *
 * Lock order (doc/LOCKING), outermost first: commit -> txn -> names -> range -> inode locks (a directory before what is in it;
 * otherwise by number) -> table -> alloc -> list, inodes, nodes, page map. A commit holds `commit` throughout and `txn` exclusively only while
 * it seals; operations hold `txn` shared from txn_begin to txn_end.
 */
#ifndef CLOISON_FS_COMP_H
#define CLOISON_FS_COMP_H

#include "common/base.h"
#include "common/fault.h"
#include "common/secret.h"
#include "fs/fs.h"
#include "fs/inode.h"
#include "fs/journal.h"
#include "fs/pageio.h"
#include "fs/tree.h"

#include <pthread.h>

#define COMP_LEFTOVERS 65536u /* object numbers that one transaction may hand out */

struct comp_ops {
	struct journal_op *ops;
	size_t n, cap;
};

struct comp {
	unsigned rank;
	uint8_t id[16];
	struct store *store;            /* owned */
	struct store_file *lease;
	bool writable;                  /* holds the lease exclusively */
	bool read_only;                 /* nothing may be written, not even a replay */
	bool repairing;                 /* opened by comp_open_repair: the lease is borrowed */
	struct pageio io;
	struct node_cache *nodes;
	struct journal *journal;
	struct seal_key root_key;
	bool was_clean;                 /* as the root page said when it was opened */
	unsigned replayed;              /* records of the journal found when it was opened */

	pthread_rwlock_t table;         /* guards itable */
	struct tree itable;
	pthread_mutex_t alloc;          /* guards the next eight */
	struct tree ibitmap, orphans;
	uint64_t inodes_used, inode_limit, inode_hint, n_orphans;
	atomic_uint_fast64_t next_object; /* and its twin: atomic, for who only looks */
	atomic_uint_fast64_t committed_next_object; /* as the last commit has it */

	pthread_mutex_t commit;         /* one commit at a time; guards the journal */
	pthread_rwlock_t txn;
	pthread_rwlock_t names;         /* shared: changes of names in one directory; exclusive: rename, which locks several */
	uint64_t running;               /* transaction number; changes under txn exclusively */
	atomic_uint_fast64_t committed; /* last durable transaction */
	atomic_uint_fast64_t dirty_pages;
	atomic_int failed;              /* 0, or the errno of the sync that made the compartment read-only */
	uint64_t generation, committed_generation; /* mount generation */
	uint64_t anchor;
	atomic_uint next_generation;    /* of inodes */
	uint64_t leaves_max;            /* what the lower filesystem's largest file can hold of a tree */
	uint64_t data_limit;            /* dirty pages after which operations wait for a commit */
	uint32_t op_pages;              /* most pages that one operation may dirty as data */
	uint32_t small_op;              /* pages that another operation is taken to dirty */
	pthread_mutex_t list;           /* guards the next three */
	struct list dirty;              /* inodes changed in the running transaction */
	size_t n_dirty;
	atomic_uint_fast64_t n_ops;     /* operations of ops and of all inodes */
	struct comp_ops ops;            /* operations of objects without an inode any more */
	int64_t first_dirty_ms;         /* when the running transaction got its first change; 0 = none */
	atomic_int_fast64_t last_commit_ms;

	/* Room on the lower filesystem (room.h). */
	atomic_uint_fast64_t in_flight; /* pages that operations under way may make dirty */
	atomic_int full;                /* 0, or with which errno committed pages could not be written home: ENOSPC or EDQUOT */
	atomic_uint_fast64_t full_bavail; /* what the lower filesystem said was free then */
	atomic_int_fast64_t full_ms;    /* when that was tried last */
	atomic_uint_fast64_t orphans_made, orphans_waited; /* inodes that lost their last name; of these, waited for by room_get_back */
	bool sync_each;                 /* a sync of everything found no room: files are asked one by one; guarded by commit */

	struct inode_cache *inodes;
	atomic_uint_fast64_t commits, checkpoints;
	void (*kick)(void *arg);        /* wakes the background thread */
	void *kick_arg;
};

/* New compartment folder in volume: journal, folders, an empty root directory. Durable on return. */
int comp_format(struct store *volume, const struct fs_compartment *c, uint32_t mode, uint32_t uid, uint32_t gid,
		const struct fs_config *cfg, struct fault *f) CL_MUST_USE;
/* See fs_open. writable: take the lease for writing. */
int comp_open(struct store *volume, const struct fs_compartment *c, bool writable, const struct fs_config *cfg,
	      struct comp **ret, struct fault *f) CL_MUST_USE;
/*
 * For fsck: for writing, under a lease of the same folder that the caller holds shared, which nobody else can take in between; it
 * is shared again, and still the caller's, when the compartment is closed. The journal is replayed; but nothing is removed that was not
 * looked at: leftovers and orphans stay, also at comp_close.
 */
int comp_open_repair(struct store *volume, const struct fs_compartment *c, struct store_file *lease,
		     const struct fs_config *cfg, struct comp **ret, struct fault *f) CL_MUST_USE;
/* Commits, checkpoints, marks clean, frees. Returns the first error. */
int comp_close(struct comp *c) CL_MUST_USE;
/* Frees without writing anything. */
void comp_free(struct comp *c);

int comp_ops_add(struct comp_ops *o, uint32_t code, uint64_t object, uint64_t a, uint64_t b) CL_MUST_USE;

/* New object number. Alloc lock is taken here. */
uint64_t comp_new_object(struct comp *c);

/* Root page in memory to and from its disk form. */
int comp_read_root(struct comp *c, struct fault *f) CL_MUST_USE;
int comp_seal_root(struct comp *c, bool clean, struct pagebuf *buf) CL_MUST_USE;
/* For fsck: one copy (0 or 1) of the root page at home, whatever the journal has. -ENOENT, -EBADMSG, -EUCLEAN, -EPROTONOSUPPORT. */
int comp_check_root(struct comp *c, unsigned copy, uint64_t *ret_txn, bool *ret_clean) CL_MUST_USE;

/* For comp_repair.c: a struct with its folder open and its keys derived, nothing read; and one root page, whose number it gives. */
int comp_new(struct store *volume, const struct fs_compartment *c, const struct fs_config *cfg, struct comp **ret,
	     struct fault *f) CL_MUST_USE;
int comp_open_root(struct comp *c, const uint8_t raw[static CL_PAGE], uint64_t *ret_txn, bool *ret_clean) CL_MUST_USE;

/*
 * For fsck (comp_repair.c), before a compartment can be opened. The caller holds its lease exclusively. ret_text gets a sentence about
 * what was done, or why not.
 *
 * Both copies of the root page are lost: takes the one of the last record of a journal that is sound. -ENOENT: it is not there any more.
 */
int comp_restore_root(struct store *volume, const struct fs_compartment *c, char *ret_text, size_t size) CL_MUST_USE;
/*
 * A journal that is damaged in the middle, or has no header: what stands before the damage counts, if there is a root page that belongs
 * to it. -EBADMSG: there is none.
 */
int comp_cut_journal(struct store *volume, const struct fs_compartment *c, char *ret_text, size_t size) CL_MUST_USE;
int comp_remake_journal(struct store *volume, const struct fs_compartment *c, char *ret_text, size_t size) CL_MUST_USE;

/*
 * For a follower (fs/follow.h), beside the process that writes. comp_open_unlocked: the folder and the keys, without a lease; nothing
 * was read, the journal not opened. comp_replay: a record into the page map (and, unless read_only, its operations to the
 * lower files), as journal_scan calls it. comp_take_root: a root page, of 4096 bytes as it is stored, becomes what c knows; errors as
 * comp_check_root.
 */
int comp_open_unlocked(struct store *volume, const struct fs_compartment *c, const struct fs_config *cfg, struct comp **ret,
		       struct fault *f) CL_MUST_USE;
int comp_replay(void *c, const struct journal_record *r) CL_MUST_USE;
int comp_read_root_copy(struct comp *c, unsigned copy, uint8_t raw[static CL_PAGE]) CL_MUST_USE;
int comp_take_root(struct comp *c, const uint8_t raw[static CL_PAGE]) CL_MUST_USE;

int64_t comp_now_ms(void);

#endif
