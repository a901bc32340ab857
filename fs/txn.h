/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Transactions of a compartment: begin and end of an operation, commit, checkpoint. */
#ifndef CLOISON_FS_TXN_H
#define CLOISON_FS_TXN_H

#include "common/base.h"
#include "fs/comp.h"
#include "fs/room.h"

/*
 * An operation that changes something runs between these. begin waits while too much is dirty. Not nested.
 * -EROFS: the compartment is not ours to write, or a sync failed; -ENOSPC, -EDQUOT: there is no room for an operation of this kind.
 */
int txn_begin(struct comp *c) CL_MUST_USE; /* ROOM_NEW */
int txn_begin_kind(struct comp *c, enum room_kind kind) CL_MUST_USE;
void txn_end(struct comp *c);
/* The same for one that may make that many pages dirty, rather than a few. */
int txn_begin_pages(struct comp *c, enum room_kind kind, uint32_t pages) CL_MUST_USE;
void txn_end_pages(struct comp *c, uint32_t pages);

/*
 * Makes everything durable that was done before the call. only: NULL = all; else this inode with its data, and all metadata;
 * other inodes whose fresh data is not durable keep their last committed contents in this commit. clean: marks the compartment
 * closed cleanly. -ENOSPC, -EDQUOT before anything was written: nothing has changed, it can be tried again. Other errors: the
 * compartment is read-only from then on.
 */
int txn_commit(struct comp *c, struct inode *only, bool clean) CL_MUST_USE;
/*
 * Writes committed pages home, syncs them and moves the journal's tail. Pages that cannot be written stay pending, in memory and in the
 * journal, and hold up no others; the first such error is returned.
 */
int txn_checkpoint(struct comp *c) CL_MUST_USE;
/*
 * Does what a recorded operation says to the page map, and with lower to the lower files. seq: the transaction that records it; a range
 * is then kept from being written in place.
 */
int txn_run_op(struct comp *c, const struct journal_op *o, uint64_t seq, bool lower) CL_MUST_USE;
/* Background work: commit when older than commit_ms or too large, checkpoint when the journal fills or has been idle. */
int txn_tick(struct comp *c, int64_t commit_ms) CL_MUST_USE;

#endif
