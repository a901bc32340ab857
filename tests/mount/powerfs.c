/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A filesystem whose power fails when it is told to, for tests on real mounts: powerfs [-f] MOUNTPOINT. It caches nothing:
 * each write is a request, so all that is durable was asked for.
 *
 * It is told through the extended attribute user.power of its root:
 *     off, off:N          the disk is gone (now, after N more changes): every request fails with EIO
 *     on:LOSS:SEED        the power is back, after losing what was not durable: LOSS is drop, keep or mix
 *     fail:WHAT           from now on all reads, writes or syncs fail with EIO; fail:none: nothing does
 *     lie, honest         syncs say that they did it, and do not; do again
 *     nodirect, direct    files cannot be opened with O_DIRECT, as on some filesystems; can be
 * and answers there with its state, the changes so far, and the steps that the last cut found not durable.
 */
#define FUSE_USE_VERSION 314

#include "common/base.h"
#include "tests/mount/powerdisk.h"

#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define FILE_MAX ((uint64_t)1 << 30)
#define CONTROL "user.power"

static struct {
	struct powerdisk *disk;
	bool off, lying, no_direct, fail_read, fail_write, fail_sync;
	uint64_t changes, off_at, lost;
} power;

/* Each request begins here: with the disk gone there is no answer. */
static bool dead(fuse_req_t req)
{
	if (power.off)
		fuse_reply_err(req, EIO);
	return power.off;
}

/* Those that change something. */
static bool dead_for_change(fuse_req_t req)
{
	power.changes++;
	if (power.off_at && power.changes >= power.off_at)
		power.off = true;
	if (!power.off && power.fail_write) {
		fuse_reply_err(req, EIO);
		return true;
	}
	return dead(req);
}

static struct stat stat_of(const struct powerdisk_attr *a)
{
	return (struct stat){ .st_ino = a->ino, .st_mode = a->mode, .st_nlink = a->nlink, .st_uid = a->uid, .st_gid = a->gid,
			      .st_size = (off_t)a->size, .st_blocks = (blkcnt_t)((a->size + 511) / 512), .st_blksize = CL_PAGE,
			      .st_mtim = a->mtime, .st_ctim = a->mtime, .st_atim = a->mtime };
}

static struct fuse_entry_param entry_of(const struct powerdisk_attr *a)
{
	return (struct fuse_entry_param){ .ino = a->ino, .attr = stat_of(a) };
}

static void reply(fuse_req_t req, int err)
{
	fuse_reply_err(req, -err);
}

static void reply_entry(fuse_req_t req, int err, const struct powerdisk_attr *a)
{
	if (err) {
		reply(req, err);
	} else {
		struct fuse_entry_param e = entry_of(a);
		fuse_reply_entry(req, &e);
	}
}

static void op_lookup(fuse_req_t req, fuse_ino_t dir, const char *name)
{
	struct powerdisk_attr a;
	if (!dead(req))
		reply_entry(req, powerdisk_lookup(power.disk, dir, name, &a), &a);
}

static void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t n)
{
	powerdisk_forget(power.disk, ino, n);
	fuse_reply_none(req);
}

static void reply_attr(fuse_req_t req, fuse_ino_t ino, int err)
{
	struct powerdisk_attr a;
	if (!err)
		err = powerdisk_getattr(power.disk, ino, &a);
	if (err) {
		reply(req, err);
	} else {
		struct stat st = stat_of(&a);
		fuse_reply_attr(req, &st, 0);
	}
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)fi;
	if (!dead(req))
		reply_attr(req, ino, 0);
}

static void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *st, int set, struct fuse_file_info *fi)
{
	int err = 0;
	(void)fi;
	if (dead_for_change(req))
		return;
	if (set & FUSE_SET_ATTR_MODE)
		err = powerdisk_chmod(power.disk, ino, st->st_mode);
	if (!err && set & FUSE_SET_ATTR_SIZE)
		err = powerdisk_truncate(power.disk, ino, (uint64_t)st->st_size);
	reply_attr(req, ino, err);
}

static int make(fuse_req_t req, fuse_ino_t dir, const char *name, mode_t mode, struct powerdisk_attr *ret)
{
	const struct fuse_ctx *c = fuse_req_ctx(req);
	return powerdisk_make(power.disk, dir, name, mode, c->uid, c->gid, ret);
}

static void op_mkdir(fuse_req_t req, fuse_ino_t dir, const char *name, mode_t mode)
{
	struct powerdisk_attr a;
	if (!dead_for_change(req))
		reply_entry(req, make(req, dir, name, S_IFDIR | (mode & 07777), &a), &a);
}

static void op_create(fuse_req_t req, fuse_ino_t dir, const char *name, mode_t mode, struct fuse_file_info *fi)
{
	struct powerdisk_attr a;
	if (dead_for_change(req))
		return;
	int err = make(req, dir, name, S_IFREG | (mode & 07777), &a);
	if (err) {
		reply(req, err);
		return;
	}
	struct fuse_entry_param e = entry_of(&a);
	fi->direct_io = 1;
	fuse_reply_create(req, &e, fi);
}

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	fi->direct_io = 1;
	if (dead(req))
		return;
	if (power.no_direct && fi->flags & O_DIRECT)
		reply(req, -EINVAL);
	else
		fuse_reply_open(req, fi);
}

static void op_remove(fuse_req_t req, fuse_ino_t dir, const char *name)
{
	if (!dead_for_change(req))
		reply(req, powerdisk_remove(power.disk, dir, name, false));
}

static void op_rmdir(fuse_req_t req, fuse_ino_t dir, const char *name)
{
	if (!dead_for_change(req))
		reply(req, powerdisk_remove(power.disk, dir, name, true));
}

static void op_rename(fuse_req_t req, fuse_ino_t dir, const char *name, fuse_ino_t dir2, const char *name2, unsigned flags)
{
	if (!dead_for_change(req))
		reply(req, flags ? -EINVAL : dir != dir2 ? -EXDEV : powerdisk_rename(power.disk, dir, name, name2));
}

static void op_read(fuse_req_t req, fuse_ino_t ino, size_t n, off_t off, struct fuse_file_info *fi)
{
	(void)fi;
	if (dead(req))
		return;
	char *buf = power.fail_read ? NULL : malloc(n);
	ssize_t got = power.fail_read ? -EIO : buf ? powerdisk_read(power.disk, ino, buf, n, (uint64_t)off) : -ENOMEM;
	if (got < 0)
		reply(req, (int)got);
	else
		fuse_reply_buf(req, buf, (size_t)got);
	free(buf);
}

static void op_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t n, off_t off, struct fuse_file_info *fi)
{
	(void)fi;
	if (dead_for_change(req))
		return;
	int err = powerdisk_write(power.disk, ino, buf, n, (uint64_t)off);
	if (err)
		reply(req, err);
	else
		fuse_reply_write(req, n);
}

static void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t n, struct fuse_file_info *fi)
{
	(void)fi;
	if (dead_for_change(req))
		return;
	if (mode == (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE))
		reply(req, powerdisk_punch(power.disk, ino, (uint64_t)off, (uint64_t)n));
	else
		reply(req, mode == FALLOC_FL_KEEP_SIZE ? 0 : -EOPNOTSUPP);
}

static void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	(void)datasync;
	(void)fi;
	if (dead(req))
		return;
	if (power.fail_sync)
		reply(req, -EIO);
	else
		reply(req, power.lying ? 0 : powerdisk_sync(power.disk, ino));
}

static void op_readdir(fuse_req_t req, fuse_ino_t dir, size_t n, off_t off, struct fuse_file_info *fi)
{
	struct powerdisk_attr a;
	const char *name;
	size_t used = 0;
	(void)fi;
	if (dead(req))
		return;
	char *buf = malloc(n);
	if (!buf) {
		reply(req, -ENOMEM);
		return;
	}
	while (!powerdisk_entry(power.disk, dir, (uint64_t)off, &name, &a)) {
		struct stat st = stat_of(&a);
		size_t more = fuse_add_direntry(req, buf + used, n - used, name, &st, ++off);
		if (more > n - used)
			break;
		used += more;
	}
	fuse_reply_buf(req, buf, used);
	free(buf);
}

static void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
	(void)ino;
	const struct statvfs v = { .f_bsize = CL_PAGE, .f_frsize = CL_PAGE, .f_blocks = 1 << 20, .f_bfree = 1 << 19, .f_bavail = 1 << 19,
				   .f_files = 1 << 20, .f_ffree = 1 << 19, .f_favail = 1 << 19, .f_namemax = POWERDISK_NAME_MAX };
	if (!dead(req))
		fuse_reply_statfs(req, &v);
}

static int back_on(const char *how)
{
	static const char *const names[] = { "drop", "keep", "mix" };
	char loss[8] = "";
	unsigned long long seed = 0;

	if (sscanf(how, "%7[a-z]:%llu", loss, &seed) != 2)
		return -EINVAL;
	for (unsigned i = 0; i < CL_ARRAY_LEN(names); i++)
		if (!strcmp(loss, names[i])) {
			power.lost = powerdisk_cut(power.disk, (enum powerdisk_loss)i, seed);
			power.off = false;
			power.off_at = 0;
			return 0;
		}
	return -EINVAL;
}

static int control(const char *what)
{
	unsigned long long n;

	if (!strncmp(what, "on:", 3))
		return back_on(what + 3);
	if (!strcmp(what, "off")) {
		power.off = true;
	} else if (sscanf(what, "off:%llu", &n) == 1) {
		power.off_at = power.changes + n;
	} else if (!strncmp(what, "fail:", 5)) {
		power.fail_read = !strcmp(what + 5, "reads");
		power.fail_write = !strcmp(what + 5, "writes");
		power.fail_sync = !strcmp(what + 5, "syncs");
		return power.fail_read || power.fail_write || power.fail_sync || !strcmp(what + 5, "none") ? 0 : -EINVAL;
	} else if (!strcmp(what, "lie") || !strcmp(what, "honest")) {
		power.lying = *what == 'l';
	} else if (!strcmp(what, "nodirect") || !strcmp(what, "direct")) {
		power.no_direct = *what == 'n';
	} else {
		return -EINVAL;
	}
	return 0;
}

static void op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t n, int flags)
{
	char what[64] = "";
	(void)flags;
	if (ino != POWERDISK_ROOT || strcmp(name, CONTROL) || n >= sizeof what) {
		reply(req, -EOPNOTSUPP);
		return;
	}
	memcpy(what, value, n);
	reply(req, control(what));
}

static void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t n)
{
	char said[128];
	if (ino != POWERDISK_ROOT || strcmp(name, CONTROL)) {
		reply(req, -ENODATA);
		return;
	}
	int len = snprintf(said, sizeof said, "%s changes=%llu lost=%llu", power.off ? "off" : "on", (unsigned long long)power.changes,
			   (unsigned long long)power.lost);
	if (n == 0)
		fuse_reply_xattr(req, (size_t)len);
	else if (n < (size_t)len)
		reply(req, -ERANGE);
	else
		fuse_reply_buf(req, said, (size_t)len);
}

static const struct fuse_lowlevel_ops ops = {
	.lookup = op_lookup, .forget = op_forget, .getattr = op_getattr, .setattr = op_setattr, .mkdir = op_mkdir,
	.create = op_create, .open = op_open, .unlink = op_remove, .rmdir = op_rmdir, .rename = op_rename, .read = op_read,
	.write = op_write, .fallocate = op_fallocate, .fsync = op_fsync, .fsyncdir = op_fsync, .readdir = op_readdir,
	.statfs = op_statfs, .setxattr = op_setxattr, .getxattr = op_getxattr,
};

int main(int argc, char **argv)
{
	struct fuse_args args = FUSE_ARGS_INIT(argc, argv);
	struct fuse_cmdline_opts opts = { 0 };
	int code = 1;

	if (fuse_parse_cmdline(&args, &opts) || !opts.mountpoint) {
		fprintf(stderr, "Usage: powerfs [-f] MOUNTPOINT\n");
		return 2;
	}
	power.disk = powerdisk_new(FILE_MAX);
	struct fuse_session *s = power.disk ? fuse_session_new(&args, &ops, sizeof ops, NULL) : NULL;
	if (s && !fuse_set_signal_handlers(s)) {
		if (!fuse_session_mount(s, opts.mountpoint)) {
			if (!fuse_daemonize(opts.foreground))
				code = fuse_session_loop(s) < 0;
			fuse_session_unmount(s);
		}
		fuse_remove_signal_handlers(s);
	}
	if (s)
		fuse_session_destroy(s);
	if (power.disk)
		powerdisk_free(power.disk);
	free(opts.mountpoint);
	fuse_opt_free_args(&args);
	return code;
}
