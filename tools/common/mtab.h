/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The kernel's list of mounts: which of them are ours, and of which volume. */
#ifndef CLOISON_TOOLS_MTAB_H
#define CLOISON_TOOLS_MTAB_H

#include "common/base.h"

#define MTAB_TYPE "fuse.cloison"

struct mtab_entry {
	char *target;  /* mount point, as the kernel shows it */
	char *source;  /* for ours: the volume's directory */
	char *type;
	char *options; /* of the filesystem, not of the mount point */
	unsigned major, minor; /* st_dev of its files */
	bool read_only;
};

/*
 * Calls fn for each mount that this process sees, oldest first, until it returns false. The entry is borrowed.
 * -ENOMEM or errno of reading /proc/self/mountinfo. Touches no mount itself, so that a dead daemon's mount cannot
 * hang it.
 */
int mtab_each(bool (*fn)(void *arg, const struct mtab_entry *e), void *arg) CL_MUST_USE;
/* Reads one line of mountinfo (proc(5)); line is changed, e points into it. -EUCLEAN. */
int mtab_parse(char *line, struct mtab_entry *e) CL_MUST_USE;

/* The mount that is on top at target (canonical path). -ENOENT. *ret is freed by mtab_entry_done. */
int mtab_find(const char *target, struct mtab_entry *ret) CL_MUST_USE;
/* A cloison mount of the volume in dir (canonical path). -ENOENT. */
int mtab_find_source(const char *dir, struct mtab_entry *ret) CL_MUST_USE;
/* The user who made a FUSE mount. */
uid_t mtab_owner(const struct mtab_entry *e);
/* How many mounts show the same filesystem. */
int mtab_count(unsigned major, unsigned minor, size_t *ret) CL_MUST_USE;
void mtab_entry_done(struct mtab_entry *e);

/* Canonical path without touching the last component, which may be a dead mount. *ret is malloc'ed. */
int mtab_canonical(const char *path, char **ret) CL_MUST_USE;

#endif
