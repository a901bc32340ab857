/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Names of a store that are not known to be durable: files that were written, folders that got or lost a name. For filesystems
 * whose syncfs(2) promises nothing. Thread-safe.
 *
 * A name is added after the change. Who syncs it asks for its mark first and gives that back afterwards, so that what
 * was written meanwhile is not forgotten.
 */
#ifndef CLOISON_FS_STORE_DIRTY_H
#define CLOISON_FS_STORE_DIRTY_H

#include "common/base.h"

struct store_dirty;

int store_dirty_new(struct store_dirty **ret) CL_MUST_USE;
void store_dirty_free(struct store_dirty *d);
int store_dirty_add(struct store_dirty *d, const char *name, bool folder) CL_MUST_USE;
void store_dirty_forget(struct store_dirty *d, const char *name); /* it was removed */
uint64_t store_dirty_mark(struct store_dirty *d, const char *name);
void store_dirty_done(struct store_dirty *d, const char *name, uint64_t mark);
/* Calls sync for each name there is; those it returns 0 for are done. Stops at the first other result and returns it. */
int store_dirty_sync(struct store_dirty *d, int (*sync)(void *arg, const char *name, bool folder), void *arg) CL_MUST_USE;

#endif
