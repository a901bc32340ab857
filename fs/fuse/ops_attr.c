/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Handlers for attributes, symbolic links and free space; and how attributes are told to the kernel. */
#include "fs/fuse/internal.h"

#include <sys/statvfs.h>
#include <sys/sysmacros.h>

void fuse_cl_fill_stat(const struct fs_attr *attr, struct stat *ret)
{
	*ret = (struct stat){
		.st_ino = attr->ino,
		.st_mode = attr->mode,
		.st_nlink = attr->nlink,
		.st_uid = attr->uid,
		.st_gid = attr->gid,
		.st_rdev = makedev(attr->rdev_major, attr->rdev_minor),
		.st_size = (off_t)attr->size,
		.st_blksize = CL_PAGE,
		.st_blocks = (blkcnt_t)attr->blocks,
		.st_atim = attr->atime,
		.st_mtim = attr->mtime,
		.st_ctim = attr->ctime,
	};
}

void fuse_cl_fill_entry(const struct fuse_cl *cl, const struct fs_attr *attr, struct fuse_entry_param *ret)
{
	*ret = (struct fuse_entry_param){
		.ino = attr->ino,
		.generation = attr->generation,
		.attr_timeout = cl->opts.timeout,
		.entry_timeout = cl->opts.timeout,
	};
	fuse_cl_fill_stat(attr, &ret->attr);
}

void fuse_cl_reply_entry(fuse_req_t req, int r, const struct fs_attr *attr)
{
	struct fuse_cl *cl = fuse_cl_of(req);
	struct fuse_entry_param e;
	if (r < 0) {
		fuse_cl_reply_result(req, r);
		return;
	}
	fuse_cl_fill_entry(cl, attr, &e);
	if (fuse_reply_entry(req, &e))
		fs_forget(cl->fs, attr->ino, 1);
}

static void reply_attr(fuse_req_t req, int r, const struct fs_attr *attr)
{
	struct stat st;
	if (r < 0) {
		fuse_cl_reply_result(req, r);
		return;
	}
	fuse_cl_fill_stat(attr, &st);
	fuse_reply_attr(req, &st, fuse_cl_of(req)->opts.timeout);
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi CL_UNUSED)
{
	struct fs_attr attr;
	int r = fs_getattr(fuse_cl_of(req)->fs, ino, &attr);
	reply_attr(req, r, &attr);
}

/* An empty set is asked for too: the kernel's way to drop privileges that we drop ourselves. */
static void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *st, int to_set, struct fuse_file_info *fi CL_UNUSED)
{
	struct fs *fs = fuse_cl_of(req)->fs;
	struct fs_attr attr = {
		.mode = st->st_mode & 07777,
		.uid = st->st_uid,
		.gid = st->st_gid,
		.size = (uint64_t)st->st_size,
		.atime = st->st_atim,
		.mtime = st->st_mtim,
		.ctime = st->st_ctim,
	};
	unsigned set = 0;

	if (to_set & FUSE_SET_ATTR_MODE)
		set |= FS_SET_MODE;
	if (to_set & FUSE_SET_ATTR_UID)
		set |= FS_SET_UID;
	if (to_set & FUSE_SET_ATTR_GID)
		set |= FS_SET_GID;
	if (to_set & FUSE_SET_ATTR_SIZE)
		set |= FS_SET_SIZE;
	if (to_set & FUSE_SET_ATTR_ATIME_NOW)
		set |= FS_SET_ATIME_NOW;
	else if (to_set & FUSE_SET_ATTR_ATIME)
		set |= FS_SET_ATIME;
	if (to_set & FUSE_SET_ATTR_MTIME_NOW)
		set |= FS_SET_MTIME_NOW;
	else if (to_set & FUSE_SET_ATTR_MTIME)
		set |= FS_SET_MTIME;
	if (to_set & FUSE_SET_ATTR_CTIME)
		set |= FS_SET_CTIME;
	if (fuse_cl_self->kill_priv)
		set |= FS_SET_KILL_PRIV;

	int r = set ? fs_setattr(fs, ino, set, &attr, &attr) : fs_getattr(fs, ino, &attr);
	reply_attr(req, r, &attr);
}

static void op_readlink(fuse_req_t req, fuse_ino_t ino)
{
	char target[FS_SYMLINK_MAX + 1];
	int r = fs_readlink(fuse_cl_of(req)->fs, ino, target);
	if (r < 0)
		fuse_cl_reply_result(req, r);
	else
		fuse_reply_readlink(req, target);
}

static void op_statfs(fuse_req_t req, fuse_ino_t ino CL_UNUSED)
{
	struct fs_space space;
	int r = fs_statfs(fuse_cl_of(req)->fs, &space);
	if (r < 0) {
		fuse_cl_reply_result(req, r);
		return;
	}
	struct statvfs st = {
		.f_bsize = CL_PAGE,
		.f_frsize = CL_PAGE,
		.f_blocks = space.blocks,
		.f_bfree = space.bfree,
		.f_bavail = space.bavail,
		.f_files = space.files,
		.f_ffree = space.ffree,
		.f_favail = space.ffree,
		.f_namemax = FS_NAME_MAX,
	};
	fuse_reply_statfs(req, &st);
}

void fuse_cl_attr_ops(struct fuse_lowlevel_ops *ops)
{
	ops->getattr = op_getattr;
	ops->setattr = op_setattr;
	ops->readlink = op_readlink;
	ops->statfs = op_statfs;
}
