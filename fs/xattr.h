/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Extended attributes of an inode: a list (doc/FORMAT section 5), inline while it is small, else the contents of an object.
 * Lock: the inode's; shared to read, exclusive with a running transaction to change.
 */
#ifndef CLOISON_FS_XATTR_H
#define CLOISON_FS_XATTR_H

#include "common/base.h"
#include "fs/inode.h"

#define XATTR_LIST_MAX (1024u * 1024u - CL_PAGE) /* bytes of a whole list */

/* size 0 asks for the length. -ENODATA, -ERANGE. */
int xattr_get(struct inode *i, const char *name, void *buf, size_t size, size_t *ret_len) CL_MUST_USE;
/* Names, each with its NUL. */
int xattr_list(struct inode *i, char *buf, size_t size, size_t *ret_len) CL_MUST_USE;
/* flags: 0, XATTR_CREATE, XATTR_REPLACE. -EEXIST, -ENODATA, -ENOSPC (list too long). */
int xattr_set(struct inode *i, const char *name, const void *value, size_t size, int flags) CL_MUST_USE;
int xattr_remove(struct inode *i, const char *name) CL_MUST_USE;
static inline bool xattr_any(const struct inode *i)
{
	return i->xattr_object || i->xattr_inline_len;
}

/* Structure of a list, for fsck: -EUCLEAN. */
int xattr_check(const uint8_t *list, size_t len) CL_MUST_USE;
/* Writes a list, for which there is room up to whole pages. */
int xattr_store(struct inode *i, uint8_t *list, size_t len) CL_MUST_USE;
/* The whole list, malloc'ed; *ret_list NULL when it is empty. */
int xattr_load(struct inode *i, uint8_t **ret_list, size_t *ret_len) CL_MUST_USE;

#endif
