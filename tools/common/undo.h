/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The directory that a new volume goes into, and how to take everything back. */
#ifndef CLOISON_TOOLS_UNDO_H
#define CLOISON_TOOLS_UNDO_H

#include "common/base.h"
#include "common/fault.h"

struct undo_dir {
	const char *path; /* borrowed */
	int fd;           /* -1: not open */
	bool made;        /* by us, so it goes too */
};

/* Makes path (0700) or takes it when it is an empty directory. -ENOTEMPTY, -ENOTDIR, ... with a sentence. */
int undo_open_empty(struct undo_dir *d, const char *path, struct fault *f) CL_MUST_USE;
/*
 * Removes everything below, and the directory itself if it was made here. -errno of the first thing that would not
 * go.
 */
int undo_remove(struct undo_dir *d) CL_MUST_USE;
/* Keeps what was made; closes. */
void undo_keep(struct undo_dir *d);

#endif
