/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Data leaves of a tree: reading runs of them, sealing runs of them home or into the running transaction.
 *
 * Buffers are whole pages. The caller holds the range (or, for attribute lists, the inode's lock exclusively), so that nobody changes
 * these leaves meanwhile; the tree's lock is taken by the caller around leaf_commit only.
 */
#ifndef CLOISON_FS_LEAF_H
#define CLOISON_FS_LEAF_H

#include "common/base.h"
#include "fs/tree.h"

#define LEAF_RUN TREE_SET_MAX /* most leaves of one call: 1 MiB */

/* Opens n leaves (at most LEAF_RUN) under refs into out; holes read as zeros. -EBADMSG (logged) and the like. */
int leaf_read(struct tree *t, uint64_t first, uint32_t n, const struct seal_ref *refs, void *out) CL_MUST_USE;

/* Sealed leaves that are not in the tree yet. */
struct leaf_run {
	uint64_t first;
	uint32_t n;
	bool home;
	struct seal_ref refs[LEAF_RUN];
	struct pagebuf *bufs[LEAF_RUN]; /* unless home */
};

/* Seals n leaves from plain and writes them home in place. Not synced. -ENOSPC, -EIO, ... */
int leaf_seal_home(struct tree *t, uint64_t first, uint32_t n, const void *plain, struct leaf_run *ret) CL_MUST_USE;
/* Seals them into buffers for the journal. */
int leaf_seal_running(struct tree *t, uint64_t first, uint32_t n, const void *plain, struct leaf_run *ret) CL_MUST_USE;
/* Enters a run in the tree (its lock held exclusively) and the page map. After an error nothing is changed. The buffers are gone either way. */
int leaf_commit(struct tree *t, struct leaf_run *run, uint64_t *io_stored) CL_MUST_USE;

/* Per-thread page-aligned scratch of LEAF_RUN + 16 pages, freed when the thread ends. NULL when memory is out. */
uint8_t *leaf_scratch(void);

#endif
