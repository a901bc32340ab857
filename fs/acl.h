/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * POSIX ACLs in the form that system.posix_acl_access and system.posix_acl_default have: version 2, little-endian
 * (linux/posix_acl_xattr.h). Pure functions with the rules of acl(5) as Linux applies them.
 *
 * mode: the nine permission bits are read and replaced, every other bit of *mode stays. All the other
 * functions check first, as acl_check_xattr does, and give its errors.
 */
#ifndef CLOISON_FS_ACL_H
#define CLOISON_FS_ACL_H

#include "common/base.h"

#define ACL_XATTR_ACCESS "system.posix_acl_access"
#define ACL_XATTR_DEFAULT "system.posix_acl_default"

/*
 * 0; -EOPNOTSUPP: not version 2; -EINVAL: not a complete ACL (an empty one is none either), or out of order. (Not
 * called acl_check: libacl has one.)
 */
int acl_check_xattr(const void *acl, size_t len) CL_MUST_USE;

/*
 * Sets the permission bits of *mode to what the access ACL shows as such (its mask, if any, is the group's bits).
 * 1: the ACL says more than the mode, keep it; 0: the mode says it all, no ACL need be stored.
 */
int acl_mode(const void *acl, size_t len, uint32_t *mode) CL_MUST_USE;

/*
 * acl: a copy of the directory's default ACL, made into the access ACL of a new object; *mode: what the program asked
 * for (the umask does not count), reduced to what the ACL grants. 1: store acl; 0: equivalent to *mode, store none.
 * A new directory gets the unchanged default ACL as its own default besides.
 */
int acl_inherit(void *acl, size_t len, uint32_t *mode) CL_MUST_USE;

/* chmod: makes an access ACL agree with mode, in place. */
int acl_chmod(void *acl, size_t len, uint32_t mode) CL_MUST_USE;

#endif
