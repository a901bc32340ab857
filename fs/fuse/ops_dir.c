/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Handlers for names: lookup and forget, making and removing, listing. */
#include "fs/fuse/internal.h"

#include <linux/fuse.h>
#include <string.h>

/* No such name is an answer that the kernel keeps as well. */
static void op_lookup(fuse_req_t req, fuse_ino_t dir, const char *name)
{
	struct fuse_cl *cl = fuse_cl_of(req);
	struct fs_attr attr;
	int r = fs_lookup(cl->fs, dir, name, &attr);
	if (r == -ENOENT && cl->opts.timeout) {
		struct fuse_entry_param none = { .entry_timeout = cl->opts.timeout };
		fuse_reply_entry(req, &none);
		return;
	}
	fuse_cl_reply_entry(req, r, &attr);
}

static void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t n)
{
	fs_forget(fuse_cl_of(req)->fs, ino, n);
	fuse_reply_none(req);
}

static void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
	for (size_t i = 0; i < count; i++)
		fs_forget(fuse_cl_of(req)->fs, forgets[i].ino, forgets[i].nlookup);
	fuse_reply_none(req);
}

static void make(fuse_req_t req, fuse_ino_t dir, const char *name, uint32_t mode, const char *target)
{
	struct fs_cred cred = fuse_cl_cred(req);
	struct fs_attr attr;
	int r = fs_make(fuse_cl_of(req)->fs, dir, name, mode, target, &cred, &attr);
	fuse_cl_reply_entry(req, r, &attr);
}

static void op_mknod(fuse_req_t req, fuse_ino_t dir, const char *name, mode_t mode, dev_t rdev CL_UNUSED)
{
	make(req, dir, name, mode & S_IFMT ? mode : mode | S_IFREG, NULL);
}

static void op_mkdir(fuse_req_t req, fuse_ino_t dir, const char *name, mode_t mode)
{
	make(req, dir, name, (mode & 07777) | S_IFDIR, NULL);
}

static void op_symlink(fuse_req_t req, const char *target, fuse_ino_t dir, const char *name)
{
	make(req, dir, name, S_IFLNK | 0777, target);
}

static void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t dir, const char *name)
{
	struct fs_attr attr;
	int r = fs_link(fuse_cl_of(req)->fs, ino, dir, name, &attr);
	fuse_cl_reply_entry(req, r, &attr);
}

static void op_unlink(fuse_req_t req, fuse_ino_t dir, const char *name)
{
	fuse_cl_reply_result(req, fs_unlink(fuse_cl_of(req)->fs, dir, name));
}

static void op_rmdir(fuse_req_t req, fuse_ino_t dir, const char *name)
{
	fuse_cl_reply_result(req, fs_rmdir(fuse_cl_of(req)->fs, dir, name));
}

static void op_rename(fuse_req_t req, fuse_ino_t dir, const char *name, fuse_ino_t newdir, const char *newname,
		      unsigned flags)
{
	fuse_cl_reply_result(req, fs_rename(fuse_cl_of(req)->fs, dir, name, newdir, newname, flags));
}

/* ENOSYS once and the kernel opens directories by itself from then on, caching their listings. */
static void op_opendir(fuse_req_t req, fuse_ino_t ino CL_UNUSED, struct fuse_file_info *fi)
{
	struct fuse_cl *cl = fuse_cl_of(req);
	if (cl->no_opendir && !cl->opts.multi) {
		fuse_reply_err(req, ENOSYS);
		return;
	}
	fi->cache_readdir = !cl->opts.multi;
	fi->keep_cache = !cl->opts.multi;
	fuse_reply_open(req, fi);
}

struct listing {
	fuse_req_t req;
	const struct fuse_cl *cl;
	char *buf;
	size_t size, used;
	bool plus;
	bool full;
};

static bool has_reference(const char *name, const struct fs_attr *attr)
{
	return attr->nlink && strcmp(name, ".") && strcmp(name, "..");
}

static bool list_entry(void *arg, const char *name, const struct fs_attr *attr, uint64_t next)
{
	struct listing *l = arg;
	size_t room = l->size - l->used;
	size_t n;
	if (l->plus) {
		struct fuse_entry_param e;
		fuse_cl_fill_entry(l->cl, attr, &e);
		if (!has_reference(name, attr))
			e.ino = 0; /* to the kernel: an entry without attributes */
		n = fuse_add_direntry_plus(l->req, l->buf + l->used, room, name, &e, (off_t)next);
	} else {
		struct stat st = { .st_ino = attr->ino, .st_mode = attr->mode };
		n = fuse_add_direntry(l->req, l->buf + l->used, room, name, &st, (off_t)next);
	}
	if (n > room) {
		l->full = true;
		return false;
	}
	l->used += n;
	return true;
}

/* The kernel did not take a listing with references: give them back. */
static void forget_listing(const struct listing *l)
{
	size_t at = 0;
	while (at < l->used) {
		struct fuse_direntplus d;
		memcpy(&d, l->buf + at, FUSE_NAME_OFFSET_DIRENTPLUS);
		if (d.entry_out.nodeid)
			fs_forget(l->cl->fs, d.entry_out.nodeid, 1);
		at += FUSE_DIRENTPLUS_SIZE(&d);
	}
}

static void list(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, bool plus)
{
	struct listing l = { .req = req, .cl = fuse_cl_of(req), .buf = (char *)fuse_cl_self->data, .plus = plus,
			     .size = CL_MIN(size, FUSE_CL_IO_MAX) };
	int r = fs_readdir(l.cl->fs, ino, (uint64_t)off, plus, list_entry, &l);
	/* An error behind entries is met again by the next call, which begins with it. */
	if (!l.used && r < 0) {
		fuse_cl_reply_result(req, r);
		return;
	}
	if (!l.used && l.full) {
		fuse_reply_err(req, EINVAL);
		return;
	}
	if (fuse_reply_buf(req, l.buf, l.used) && plus)
		forget_listing(&l);
}

static void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi CL_UNUSED)
{
	list(req, ino, size, off, false);
}

static void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi CL_UNUSED)
{
	list(req, ino, size, off, true);
}

static void op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi CL_UNUSED)
{
	fuse_cl_reply_result(req, fs_fsync(fuse_cl_of(req)->fs, ino, datasync));
}

void fuse_cl_dir_ops(struct fuse_lowlevel_ops *ops)
{
	ops->lookup = op_lookup;
	ops->forget = op_forget;
	ops->forget_multi = op_forget_multi;
	ops->mknod = op_mknod;
	ops->mkdir = op_mkdir;
	ops->symlink = op_symlink;
	ops->link = op_link;
	ops->unlink = op_unlink;
	ops->rmdir = op_rmdir;
	ops->rename = op_rename;
	ops->opendir = op_opendir;
	ops->readdir = op_readdir;
	ops->readdirplus = op_readdirplus;
	ops->fsyncdir = op_fsyncdir;
}
