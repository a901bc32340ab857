/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What inode.c and inode_cache.c share and nobody else needs. */
#ifndef CLOISON_FS_INODE_PRIVATE_H
#define CLOISON_FS_INODE_PRIVATE_H

#include "fs/inode.h"

/* Cached struct for a number just allocated, with a new generation. -EUCLEAN: in use. */
int inode_insert_new(struct comp *c, uint64_t ino, uint32_t type, struct inode **ret) CL_MUST_USE;
/* The number may be allocated again: lookups must not find this struct any more. */
void inode_bury(struct inode *i);

#endif
