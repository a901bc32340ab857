/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What umount(8) looks into to learn that a mount has a helper: uhelper= in libmount's table (/run/mount/utab, mount(8)).
 * The type in the kernel's table does not lead it there, since it takes the type from statfs, and that says fuse.
 */
#ifndef CLOISON_TOOLS_UTAB_H
#define CLOISON_TOOLS_UTAB_H

#include "common/base.h"

/* source, target: as in the kernel's table. No error: without the line umount(8) does its work, only it does not wait. */
void utab_add(const char *source, const char *target);
void utab_remove(const char *target);

#endif
