/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * May this session do this? The one place that answers; pure. In this first form labels are a list (ranks), a session
 * reads its own rank and those below, and writes its own.
 */
#ifndef CLOISON_FS_ACCESS_H
#define CLOISON_FS_ACCESS_H

#include "common/base.h"

enum access_op {
	ACCESS_LOOK,   /* lookup, getattr: otherwise -ENOENT */
	ACCESS_READ,   /* open for reading, readdir, readlink, getxattr: otherwise -EACCES */
	ACCESS_WRITE,  /* change the object itself */
	ACCESS_ENTRY,  /* change entries of a directory (object = the directory) */
	ACCESS_MOVE,   /* link or rename between two places: object and other must be the same label: otherwise -EXDEV */
	ACCESS_DEVICE  /* mknod of a device: never: -EPERM */
};

/*
 * session, object, other: ranks; other counts for ACCESS_MOVE only. 0, or -ENOENT, -EACCES (not dominated), -EROFS
 * (dominated, but not the session's own label), -EXDEV, -EPERM.
 */
int access_check(enum access_op op, unsigned session, unsigned object, unsigned other) CL_MUST_USE;

#endif
