/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Handlers for extended attributes (POSIX ACLs are such). setxattr comes by way of raw.c. */
#include "fs/fuse/internal.h"

#include "fs/acl.h"

#include <string.h>

/* The kernel's part of setfacl by somebody outside the file's group: the set-group-ID bit goes. */
static int drop_sgid(struct fs *fs, uint64_t ino)
{
	struct fs_attr attr;
	int r = fs_getattr(fs, ino, &attr);
	if (r < 0 || !(attr.mode & S_ISGID))
		return r;
	attr.mode &= 07777u & ~(uint32_t)S_ISGID;
	return fs_setattr(fs, ino, FS_SET_MODE, &attr, &attr);
}

int fuse_cl_setxattr(struct fs *fs, uint64_t ino, const char *name, const void *value, size_t size, int flags,
		     bool kill_sgid)
{
	int r = fs_setxattr(fs, ino, name, value, size, flags);
	if (!r && kill_sgid && !strcmp(name, ACL_XATTR_ACCESS))
		r = drop_sgid(fs, ino);
	return r;
}

/* size 0: only the length is asked for. */
static void reply_bytes(fuse_req_t req, int r, size_t size, const void *buf, size_t len)
{
	if (r < 0)
		fuse_cl_reply_result(req, r);
	else if (!size)
		fuse_reply_xattr(req, len);
	else
		fuse_reply_buf(req, buf, len);
}

static void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	uint8_t *buf = fuse_cl_self->data;
	size_t len = 0;
	int r = fs_getxattr(fuse_cl_of(req)->fs, ino, name, buf, CL_MIN(size, FUSE_CL_IO_MAX), &len);
	reply_bytes(req, r, size, buf, len);
}

static void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	char *buf = (char *)fuse_cl_self->data;
	size_t len = 0;
	int r = fs_listxattr(fuse_cl_of(req)->fs, ino, buf, CL_MIN(size, FUSE_CL_IO_MAX), &len);
	reply_bytes(req, r, size, buf, len);
}

static void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	fuse_cl_reply_result(req, fs_removexattr(fuse_cl_of(req)->fs, ino, name));
}

void fuse_cl_xattr_ops(struct fuse_lowlevel_ops *ops)
{
	ops->getxattr = op_getxattr;
	ops->listxattr = op_listxattr;
	ops->removexattr = op_removexattr;
}
