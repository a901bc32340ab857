/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Handlers for open files. There is no flush: libfuse answers the first one with ENOSYS and the kernel sends no more.
 * Locks are the kernel's own.
 */
#include "fs/fuse/internal.h"

#include <fcntl.h>
#include <linux/falloc.h>

static bool writes(const struct fuse_file_info *fi)
{
	return (fi->flags & O_ACCMODE) != O_RDONLY;
}

static int open_counted(struct fuse_cl *cl, uint64_t ino, bool write, bool truncate)
{
	if (cl->opts.no_open)
		return 0;
	int r = write ? fuse_cl_writer_add(cl, ino) : 0;
	if (r < 0)
		return r;
	r = fs_open_file(cl->fs, ino, write, truncate);
	if (r < 0 && write)
		fuse_cl_writer_drop(cl, ino);
	return r;
}

static void close_counted(struct fuse_cl *cl, uint64_t ino, bool write)
{
	if (cl->opts.no_open)
		return;
	fs_close_file(cl->fs, ino);
	if (write)
		fuse_cl_writer_drop(cl, ino);
}

void fuse_cl_unmake(struct fuse_cl *cl, uint64_t ino)
{
	close_counted(cl, ino, true);
	fs_forget(cl->fs, ino, 1);
}

/* Drops suid, sgid and security.capability, when the kernel says that this request does that. */
static int kill_priv(struct fuse_cl *cl, uint64_t ino)
{
	struct fs_attr attr = { 0 };
	return fuse_cl_self->kill_priv ? fs_setattr(cl->fs, ino, FS_SET_KILL_PRIV, &attr, &attr) : 0;
}

static void fill_open(const struct fuse_cl *cl, struct fuse_file_info *fi)
{
	fi->keep_cache = !cl->opts.multi;
	fi->noflush = 1;
}

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct fuse_cl *cl = fuse_cl_of(req);
	if (cl->opts.no_open) {
		fuse_reply_err(req, ENOSYS);
		return;
	}
	int r = open_counted(cl, ino, writes(fi), fi->flags & O_TRUNC);
	if (r < 0) {
		fuse_cl_reply_result(req, r);
		return;
	}
	r = kill_priv(cl, ino);
	if (r < 0) {
		close_counted(cl, ino, writes(fi));
		fuse_cl_reply_result(req, r);
		return;
	}
	fill_open(cl, fi);
	if (fuse_reply_open(req, fi))
		close_counted(cl, ino, writes(fi));
}

/* The kernel sends this for names that it knows to be free, holding the directory: an existing name is an error. */
static void op_create(fuse_req_t req, fuse_ino_t dir, const char *name, mode_t mode, struct fuse_file_info *fi)
{
	struct fuse_cl *cl = fuse_cl_of(req);
	struct fs_cred cred = fuse_cl_cred(req);
	struct fuse_entry_param e;
	struct fs_attr attr;
	if (cl->opts.no_open) {
		/* From now on the kernel asks for MKNOD, opens by itself, and has no RELEASE to send when the file is closed. */
		fuse_reply_err(req, ENOSYS);
		return;
	}
	int r = fs_make(cl->fs, dir, name, (mode & 07777) | S_IFREG, NULL, &cred, &attr);
	if (r < 0) {
		fuse_cl_reply_result(req, r);
		return;
	}
	r = open_counted(cl, attr.ino, writes(fi), false);
	if (r < 0) {
		fs_forget(cl->fs, attr.ino, 1);
		fuse_cl_reply_result(req, r);
		return;
	}
	fuse_cl_fill_entry(cl, &attr, &e);
	fill_open(cl, fi);
	if (fuse_reply_create(req, &e, fi)) {
		close_counted(cl, attr.ino, writes(fi));
		fs_forget(cl->fs, attr.ino, 1);
	}
}

int fuse_cl_make_tmpfile(struct fuse_cl *cl, uint64_t dir, uint32_t mode, const struct fs_cred *cred,
			 struct fs_attr *ret)
{
	struct fs_attr attr;
	int r = fs_tmpfile(cl->fs, dir, (mode & 07777) | S_IFREG, cred, &attr);
	if (r < 0)
		return r;
	r = open_counted(cl, attr.ino, true, false);
	if (r < 0) {
		fs_forget(cl->fs, attr.ino, 1);
		return r;
	}
	*ret = attr;
	return 0;
}

#if FUSE_CL_LIBFUSE_HAS_TMPFILE
static void op_tmpfile(fuse_req_t req, fuse_ino_t dir, mode_t mode, struct fuse_file_info *fi)
{
	struct fuse_cl *cl = fuse_cl_of(req);
	struct fs_cred cred = fuse_cl_cred(req);
	struct fuse_entry_param e;
	struct fs_attr attr;
	int r = fuse_cl_make_tmpfile(cl, dir, mode, &cred, &attr);
	if (r < 0) {
		fuse_cl_reply_result(req, r);
		return;
	}
	fuse_cl_fill_entry(cl, &attr, &e);
	fill_open(cl, fi);
	if (fuse_reply_create(req, &e, fi))
		fuse_cl_unmake(cl, attr.ino);
}
#endif

static void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi CL_UNUSED)
{
	uint8_t *buf = fuse_cl_self->data;
	ssize_t n = fs_read(fuse_cl_of(req)->fs, ino, buf, CL_MIN(size, FUSE_CL_IO_MAX), (uint64_t)off);
	if (n < 0)
		fuse_cl_reply_result(req, (int)n);
	else
		fuse_reply_buf(req, (char *)buf, (size_t)n);
}

/* O_APPEND is the kernel's business: it knows the size, and a page written back must go where it belongs. */
static void op_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t off,
		     struct fuse_file_info *fi CL_UNUSED)
{
	struct fuse_cl *cl = fuse_cl_of(req);
	ssize_t n = kill_priv(cl, ino);
	if (!n)
		n = fs_write(cl->fs, ino, buf, size, (uint64_t)off, cl->writeback ? FS_WRITE_CACHED : 0);
	if (n < 0)
		fuse_cl_reply_result(req, (int)n);
	else
		fuse_reply_write(req, (size_t)n);
}

static void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	close_counted(fuse_cl_of(req), ino, writes(fi));
	fuse_reply_err(req, 0);
}

static void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi CL_UNUSED)
{
	fuse_cl_reply_result(req, fs_fsync(fuse_cl_of(req)->fs, ino, datasync));
}

static void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t len,
			 struct fuse_file_info *fi CL_UNUSED)
{
	fuse_cl_reply_result(req, fs_fallocate(fuse_cl_of(req)->fs, ino, mode, (uint64_t)off, (uint64_t)len));
}

static void op_copy_file_range(fuse_req_t req, fuse_ino_t from, off_t from_off, struct fuse_file_info *fi1 CL_UNUSED,
			       fuse_ino_t to, off_t to_off, struct fuse_file_info *fi2 CL_UNUSED, size_t len, int flags)
{
	ssize_t n = flags ? -EINVAL
			  : fs_copy(fuse_cl_of(req)->fs, from, (uint64_t)from_off, to, (uint64_t)to_off, len);
	if (n < 0)
		fuse_cl_reply_result(req, (int)n);
	else
		fuse_reply_write(req, (size_t)n);
}

/* No file here answers ioctl(2): that goes for inode flags, terminals and everything else. */
static void op_ioctl(fuse_req_t req, fuse_ino_t ino CL_UNUSED, unsigned cmd CL_UNUSED, void *arg CL_UNUSED,
		     struct fuse_file_info *fi CL_UNUSED, unsigned flags CL_UNUSED, const void *in CL_UNUSED,
		     size_t in_size CL_UNUSED, size_t out_size CL_UNUSED)
{
	fuse_reply_err(req, ENOTTY);
}

void fuse_cl_file_ops(struct fuse_lowlevel_ops *ops)
{
	ops->open = op_open;
	ops->create = op_create;
#if FUSE_CL_LIBFUSE_HAS_TMPFILE
	ops->tmpfile = op_tmpfile;
#endif
	ops->read = op_read;
	ops->write = op_write;
	ops->release = op_release;
	ops->fsync = op_fsync;
	ops->fallocate = op_fallocate;
	ops->copy_file_range = op_copy_file_range;
	ops->ioctl = op_ioctl;
}
