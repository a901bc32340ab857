/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Fresh data: contents written home at once, which must be durable before a record shows them.
 *
 * A sync that fails has told about it once: the next one says that all is well, though the data is gone. Mostly that is the end of the
 * compartment's session. For want of room it is not: filesystems that promise blocks without having them (NFS) say so at the sync. Then the
 * one file is given up: no commit takes its contents any more, its fsync and writes fail, until it is cut to nothing or deleted; what was
 * committed of it stays.
 */
#ifndef CLOISON_FS_FRESH_H
#define CLOISON_FS_FRESH_H

#include "common/base.h"
#include "fs/comp.h"

#define FRESH_ONE_BY_ONE 12u /* more lower files than this are synced with one syncfs */

static inline bool fresh_is_unsynced(struct inode *i)
{
	return atomic_load(&i->fresh_writes) != atomic_load(&i->fresh_synced);
}

/* All for what follows: commit lock held, operations may go on. */

/* Syncs what a file, or every changed file, has got up to now. -ENOSPC, -EDQUOT: some were given up, the others are synced. */
int fresh_sync(struct comp *c, struct inode *i) CL_MUST_USE;
int fresh_sync_all(struct comp *c) CL_MUST_USE;
/* A checkpoint's sync of this object found no room, and fresh data may be what it was about: gives up the file that has some. */
void fresh_doubt(struct comp *c, uint64_t object, int err);

#endif
