/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Names and attributes for the benchmark's passthrough. */
#include "tests/bench/pt.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "tests/bench/ptnode.h"

/* A path for the calls which take no O_PATH descriptor. */
static void fd_path(char path[static 32], fuse_ino_t ino)
{
	snprintf(path, 32, "/proc/self/fd/%d", ptnode_fd(ino));
}

void pt_reply_result(fuse_req_t req, int res)
{
	fuse_reply_err(req, res < 0 ? errno : 0);
}

int pt_make_entry(fuse_ino_t parent, const char *name, struct fuse_entry_param *ret_entry)
{
	struct fuse_entry_param entry = { .attr_timeout = PT_TIMEOUT, .entry_timeout = PT_TIMEOUT };
	uint64_t id;
	int fd, err;

	fd = openat(ptnode_fd(parent), name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -1;
	if (fstat(fd, &entry.attr) < 0) {
		err = errno;
		close(fd);
		errno = err;
		return -1;
	}
	err = ptnode_get(fd, &entry.attr, &id);
	if (err) {
		errno = -err;
		return -1;
	}
	entry.ino = id;
	*ret_entry = entry;
	return 0;
}

/* Ends a request that made name in parent, or failed to. */
static void reply_entry(fuse_req_t req, fuse_ino_t parent, const char *name, int res)
{
	struct fuse_entry_param entry;

	if (res < 0 || pt_make_entry(parent, name, &entry) < 0)
		fuse_reply_err(req, errno);
	else if (fuse_reply_entry(req, &entry))
		ptnode_forget(entry.ino, 1); /* interrupted: the kernel has not got the reference */
}

static void pt_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fuse_entry_param entry;

	if (pt_make_entry(parent, name, &entry) == 0) {
		if (fuse_reply_entry(req, &entry))
			ptnode_forget(entry.ino, 1);
	} else if (errno == ENOENT) {
		/* Number 0: the kernel caches the absence. */
		entry = (struct fuse_entry_param){ .entry_timeout = PT_TIMEOUT };
		fuse_reply_entry(req, &entry);
	} else {
		fuse_reply_err(req, errno);
	}
}

static void pt_forget(fuse_req_t req, fuse_ino_t ino, uint64_t n)
{
	ptnode_forget(ino, n);
	fuse_reply_none(req);
}

static void pt_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
	size_t i;

	for (i = 0; i < count; i++)
		ptnode_forget(forgets[i].ino, forgets[i].nlookup);
	fuse_reply_none(req);
}

static void pt_getattr(fuse_req_t req, fuse_ino_t ino, CL_UNUSED struct fuse_file_info *fi)
{
	struct stat st;

	if (fstat(ptnode_fd(ino), &st) < 0)
		fuse_reply_err(req, errno);
	else
		fuse_reply_attr(req, &st, PT_TIMEOUT);
}

static int set_times(int fd, const struct stat *attr, int valid)
{
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_nsec = UTIME_OMIT } };

	if (valid & FUSE_SET_ATTR_ATIME_NOW)
		times[0].tv_nsec = UTIME_NOW;
	else if (valid & FUSE_SET_ATTR_ATIME)
		times[0] = attr->st_atim;
	if (valid & FUSE_SET_ATTR_MTIME_NOW)
		times[1].tv_nsec = UTIME_NOW;
	else if (valid & FUSE_SET_ATTR_MTIME)
		times[1] = attr->st_mtim;
	return utimensat(fd, "", times, AT_EMPTY_PATH);
}

static void pt_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int valid, struct fuse_file_info *fi)
{
	int fd = ptnode_fd(ino);
	struct stat st;
	char path[32];

	fd_path(path, ino);
	if (valid & FUSE_SET_ATTR_MODE && chmod(path, attr->st_mode) < 0)
		goto failed;
	if (valid & (FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID)) {
		uid_t uid = valid & FUSE_SET_ATTR_UID ? attr->st_uid : (uid_t)-1;
		gid_t gid = valid & FUSE_SET_ATTR_GID ? attr->st_gid : (gid_t)-1;

		if (fchownat(fd, "", uid, gid, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) < 0)
			goto failed;
	}
	if (valid & FUSE_SET_ATTR_SIZE &&
	    (fi ? ftruncate((int)fi->fh, attr->st_size) : truncate(path, attr->st_size)) < 0)
		goto failed;
	if (valid & (FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_MTIME) && set_times(fd, attr, valid) < 0)
		goto failed;
	if (fstat(fd, &st) < 0)
		goto failed;
	fuse_reply_attr(req, &st, PT_TIMEOUT);
	return;
failed:
	fuse_reply_err(req, errno);
}

static void pt_readlink(fuse_req_t req, fuse_ino_t ino)
{
	char target[PATH_MAX + 1];
	ssize_t len = readlinkat(ptnode_fd(ino), "", target, sizeof(target));

	if (len < 0) {
		fuse_reply_err(req, errno);
	} else if (len == (ssize_t)sizeof(target)) {
		fuse_reply_err(req, ENAMETOOLONG);
	} else {
		target[len] = '\0';
		fuse_reply_readlink(req, target);
	}
}

static void pt_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
	reply_entry(req, parent, name, mknodat(ptnode_fd(parent), name, mode, rdev));
}

static void pt_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	reply_entry(req, parent, name, mkdirat(ptnode_fd(parent), name, mode));
}

static void pt_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
	reply_entry(req, parent, name, symlinkat(target, ptnode_fd(parent), name));
}

static void pt_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name)
{
	char path[32];

	fd_path(path, ino);
	reply_entry(req, parent, name, linkat(AT_FDCWD, path, ptnode_fd(parent), name, AT_SYMLINK_FOLLOW));
}

static void pt_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	pt_reply_result(req, unlinkat(ptnode_fd(parent), name, 0));
}

static void pt_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	pt_reply_result(req, unlinkat(ptnode_fd(parent), name, AT_REMOVEDIR));
}

static void pt_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t newparent, const char *newname,
		      unsigned int flags)
{
	pt_reply_result(req, renameat2(ptnode_fd(parent), name, ptnode_fd(newparent), newname, flags));
}

static void pt_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct statvfs sv;

	if (fstatvfs(ptnode_fd(ino), &sv) < 0)
		fuse_reply_err(req, errno);
	else
		fuse_reply_statfs(req, &sv);
}

static void pt_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size, int flags)
{
	char path[32];

	fd_path(path, ino);
	pt_reply_result(req, setxattr(path, name, value, size, flags));
}

static void pt_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	char path[32];

	fd_path(path, ino);
	pt_reply_result(req, removexattr(path, name));
}

/* The value of an attribute, or the list of them where name is NULL. */
static void reply_xattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	char path[32], *value = NULL;
	ssize_t n;

	if (pt_options.no_xattr) {
		fuse_reply_err(req, ENOSYS);
		return;
	}
	if (size) {
		value = malloc(size);
		if (!value) {
			fuse_reply_err(req, ENOMEM);
			return;
		}
	}
	fd_path(path, ino);
	n = name ? getxattr(path, name, value, size) : listxattr(path, value, size);
	if (n < 0)
		fuse_reply_err(req, errno);
	else if (size)
		fuse_reply_buf(req, value, (size_t)n);
	else
		fuse_reply_xattr(req, (size_t)n);
	free(value);
}

static void pt_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	reply_xattr(req, ino, name, size);
}

static void pt_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	reply_xattr(req, ino, NULL, size);
}

void pt_name_ops(struct fuse_lowlevel_ops *ops)
{
	ops->lookup = pt_lookup;
	ops->forget = pt_forget;
	ops->forget_multi = pt_forget_multi;
	ops->getattr = pt_getattr;
	ops->setattr = pt_setattr;
	ops->readlink = pt_readlink;
	ops->mknod = pt_mknod;
	ops->mkdir = pt_mkdir;
	ops->symlink = pt_symlink;
	ops->link = pt_link;
	ops->unlink = pt_unlink;
	ops->rmdir = pt_rmdir;
	ops->rename = pt_rename;
	ops->statfs = pt_statfs;
	ops->setxattr = pt_setxattr;
	ops->removexattr = pt_removexattr;
	ops->getxattr = pt_getxattr;
	ops->listxattr = pt_listxattr;
}
