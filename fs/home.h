/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Bringing committed pages home, for a checkpoint. */
#ifndef CLOISON_FS_HOME_H
#define CLOISON_FS_HOME_H

#include "common/base.h"
#include "fs/comp.h"

/* Pages that could not be written, or whose sync found no room: they are pending as before. err: the first reason. */
struct home {
	size_t n_away;
	int err;
};

/*
 * Writes all pending pages home and syncs them. The commit lock is held, so that none comes in between. Until they are durable they
 * are read from memory. -ENOMEM: nothing was done; other errors are those of a sync, and final.
 */
int home_bring(struct comp *c, struct home *ret) CL_MUST_USE;

#endif
