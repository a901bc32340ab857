/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The store over a real directory, confined by openat2(2). */
#include "fs/store.h"

#include "common/file.h"
#include "fs/store_dirty.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

struct store_dir {
	struct store base;
	int fd;
	struct store_dirty *dirty; /* NULL: syncfs does what sync_all promises */
};

struct store_file {
	int fd;
	char name[STORE_NAME_MAX];
};

static const struct store_ops dir_ops;

static struct store_dir *dir_of(const struct store *s)
{
	return (struct store_dir *)(uintptr_t)s;
}

/* A file was changed, or the names of the folder that file names are in. */
static int changed(const struct store *s, const char *name)
{
	return dir_of(s)->dirty ? store_dirty_add(dir_of(s)->dirty, name, false) : 0;
}

static int changed_name(const struct store *s, const char *name)
{
	const char *slash = strrchr(name, '/');
	char folder[STORE_NAME_MAX] = ".";

	if (!dir_of(s)->dirty)
		return 0;
	if (slash) {
		memcpy(folder, name, (size_t)(slash - name)); /* it was opened: it is not too long */
		folder[slash - name] = '\0';
	}
	return store_dirty_add(dir_of(s)->dirty, folder, true);
}

static int open_beneath(int dirfd, const char *name, uint64_t flags, uint64_t mode)
{
	struct open_how how = {
		.flags = flags | O_CLOEXEC | O_NOFOLLOW,
		.mode = mode,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};

	for (;;) {
		long fd = syscall(SYS_openat2, dirfd, name, &how, sizeof how);
		if (fd >= 0)
			return (int)fd;
		/* EAGAIN: a rename raced with the resolution (openat2(2)); a hostile one cannot make it loop for ever. */
		if (errno == EINTR)
			continue;
		if (errno == ELOOP || errno == EXDEV || errno == ENXIO || errno == ENOTDIR)
			return -EUCLEAN;
		return -errno;
	}
}

/* Nothing that can be opened in the first place: a device where the mount forbids them, a socket. */
static bool is_odd(struct store *s, const char *name)
{
	struct stat st;
	int fd = open_beneath(dir_of(s)->fd, name, O_PATH, 0);

	if (fd < 0)
		return false;
	bool odd = fstat(fd, &st) == 0 && !S_ISREG(st.st_mode);
	close(fd);
	return odd;
}

/* btrfs writes elsewhere what overwrites a block, unless told so while the file is empty. Others do not know the flag. */
static void set_in_place(int fd)
{
	int flags;

	if (ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0 && !(flags & FS_NOCOW_FL)) {
		flags |= FS_NOCOW_FL;
		(void)ioctl(fd, FS_IOC_SETFLAGS, &flags);
	}
}

static int dir_open(struct store *s, const char *name, int flags, struct store_file **ret)
{
	uint64_t o = O_NONBLOCK | O_NOCTTY | O_NOATIME;
	struct stat st;

	if (strlen(name) >= STORE_NAME_MAX)
		return -ENAMETOOLONG;
	if (flags & (STORE_RDWR | STORE_CREATE))
		o |= O_RDWR;
	if (flags & STORE_CREATE)
		o |= O_CREAT;
	if (flags & STORE_EXCL)
		o |= O_EXCL;
	if (flags & STORE_DIRECT)
		o |= O_DIRECT;
	int fd = open_beneath(dir_of(s)->fd, name, o, flags & STORE_CREATE ? 0600 : 0);
	bool no_direct = fd == -EINVAL && flags & STORE_DIRECT; /* or it is no file at all, which is looked at first */
	if (no_direct)
		fd = open_beneath(dir_of(s)->fd, name, o & ~(uint64_t)O_DIRECT, flags & STORE_CREATE ? 0600 : 0);
	if (fd == -EPERM) /* O_NOATIME needs ownership */
		fd = open_beneath(dir_of(s)->fd, name, o & ~(uint64_t)O_NOATIME, flags & STORE_CREATE ? 0600 : 0);
	if (fd < 0)
		return fd == -EISDIR || (fd != -ENOENT && is_odd(s, name)) ? -EUCLEAN : fd;
	if (fstat(fd, &st) < 0) {
		int err = -errno;
		close(fd);
		return err;
	}
	/* A second name of the file could lead outside of what the confinement promises. */
	if (no_direct || !S_ISREG(st.st_mode) || st.st_nlink != 1) {
		close(fd);
		return S_ISREG(st.st_mode) && st.st_nlink == 1 ? -EINVAL : -EUCLEAN;
	}
	/* It may be new, and it may have been there. */
	struct store_file *f = flags & STORE_CREATE && changed_name(s, name) ? NULL : malloc(sizeof *f);
	if (!f) {
		close(fd);
		return -ENOMEM;
	}
	if (flags & STORE_IN_PLACE)
		set_in_place(fd);
	f->fd = fd;
	strcpy(f->name, name);
	*ret = f;
	return 0;
}

static void dir_close(struct store *s, struct store_file *f)
{
	(void)s;
	if (f) {
		close(f->fd);
		free(f);
	}
}

static int dir_pread(struct store *s, struct store_file *f, void *buf, size_t n, uint64_t off, size_t *ret_got)
{
	size_t got = 0;

	(void)s;
	while (got < n) {
		ssize_t r = pread(f->fd, (char *)buf + got, n - got, (off_t)(off + got));
		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -errno;
		if (r == 0)
			break;
		got += (size_t)r;
	}
	*ret_got = got;
	return 0;
}

static int dir_pwrite(struct store *s, struct store_file *f, const void *buf, size_t n, uint64_t off)
{
	int err = file_pwrite_full(f->fd, buf, n, off);
	return err ? err : changed(s, f->name);
}

static int dir_pwritev(struct store *s, struct store_file *f, struct iovec *iov, int n, uint64_t off)
{
	while (n) {
		ssize_t put = pwritev(f->fd, iov, n, (off_t)off);
		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return -errno;
		if (put == 0)
			return -EIO;
		off += (uint64_t)put;
		while (n && (size_t)put >= iov->iov_len) {
			put -= (ssize_t)iov->iov_len;
			iov++;
			n--;
		}
		if (n) {
			iov->iov_base = (char *)iov->iov_base + put;
			iov->iov_len -= (size_t)put;
		}
	}
	return changed(s, f->name);
}

/* A call that a signal has interrupted is made again: signals are none of the callers' business. An interrupted sync has only not ended. */
static int dir_sync(struct store *s, struct store_file *f)
{
	struct store_dirty *dirty = dir_of(s)->dirty;
	uint64_t mark = dirty ? store_dirty_mark(dirty, f->name) : 0;

	if (TEMP_FAILURE_RETRY(fdatasync(f->fd)) < 0)
		return -errno;
	if (dirty)
		store_dirty_done(dirty, f->name, mark);
	return 0;
}

static int open_folder(struct store *s, const char *name)
{
	return open_beneath(dir_of(s)->fd, name, O_RDONLY | O_DIRECTORY, 0);
}

static int dir_sync_dir(struct store *s, const char *name)
{
	struct store_dirty *dirty = dir_of(s)->dirty;
	uint64_t mark = dirty ? store_dirty_mark(dirty, name) : 0;
	int fd = open_folder(s, name);
	if (fd < 0)
		return fd;
	int err = TEMP_FAILURE_RETRY(fsync(fd)) < 0 ? -errno : 0;
	close(fd);
	if (!err && dirty)
		store_dirty_done(dirty, name, mark);
	return err;
}

static int sync_one(void *arg, const char *name, bool folder)
{
	struct store *s = arg;
	int fd = folder ? open_folder(s, name) : open_beneath(dir_of(s)->fd, name, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);

	if (fd < 0)
		return fd == -ENOENT ? 0 : fd; /* removed meanwhile */
	int err = TEMP_FAILURE_RETRY(folder ? fsync(fd) : fdatasync(fd)) < 0 ? -errno : 0;
	close(fd);
	return err;
}

static int dir_sync_all(struct store *s)
{
	if (dir_of(s)->dirty)
		return store_dirty_sync(dir_of(s)->dirty, sync_one, s);
	return TEMP_FAILURE_RETRY(syncfs(dir_of(s)->fd)) < 0 ? -errno : 0;
}

static int dir_size(struct store *s, struct store_file *f, uint64_t *ret)
{
	struct stat st;

	(void)s;
	if (fstat(f->fd, &st) < 0)
		return -errno;
	*ret = (uint64_t)st.st_size;
	return 0;
}

static int dir_truncate(struct store *s, struct store_file *f, uint64_t len)
{
	return TEMP_FAILURE_RETRY(ftruncate(f->fd, (off_t)len)) < 0 ? -errno : changed(s, f->name);
}

static int dir_fallocate(struct store_file *f, int mode, uint64_t off, uint64_t len)
{
	return TEMP_FAILURE_RETRY(fallocate(f->fd, mode, (off_t)off, (off_t)len)) < 0 ? -errno : 0;
}

static int dir_punch(struct store *s, struct store_file *f, uint64_t off, uint64_t len)
{
	int err = dir_fallocate(f, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, off, len);
	return err ? err : changed(s, f->name);
}

static int dir_allocate(struct store *s, struct store_file *f, uint64_t off, uint64_t len)
{
	(void)s;
	return dir_fallocate(f, FALLOC_FL_KEEP_SIZE, off, len);
}

/* Runs unlinkat and the like on the last component, with the folder before it resolved beneath the store. */
static int split(struct store *s, const char *name, const char **ret_last, int *ret_fd)
{
	const char *slash = strrchr(name, '/');
	char folder[STORE_NAME_MAX];

	if (!slash) {
		*ret_last = name;
		*ret_fd = dir_of(s)->fd;
		return 0;
	}
	if ((size_t)(slash - name) >= sizeof folder)
		return -ENAMETOOLONG;
	memcpy(folder, name, (size_t)(slash - name));
	folder[slash - name] = '\0';
	int fd = open_folder(s, folder);
	if (fd < 0)
		return fd;
	*ret_last = slash + 1;
	*ret_fd = fd;
	return 0;
}

static void split_done(struct store *s, int fd)
{
	if (fd != dir_of(s)->fd)
		close(fd);
}

static int dir_remove(struct store *s, const char *name, int flags)
{
	const char *last;
	int fd;
	int err = split(s, name, &last, &fd);
	if (err)
		return err;
	if (unlinkat(fd, last, flags) < 0)
		err = -errno;
	split_done(s, fd);
	if (!err && dir_of(s)->dirty)
		store_dirty_forget(dir_of(s)->dirty, name);
	return err ? err : changed_name(s, name);
}

static int dir_unlink(struct store *s, const char *name)
{
	return dir_remove(s, name, 0);
}

static int dir_rmdir(struct store *s, const char *name)
{
	return dir_remove(s, name, AT_REMOVEDIR);
}

static int dir_rename(struct store *s, const char *from, const char *to)
{
	const char *last_from, *last_to;
	int fd_from, fd_to;
	int err = split(s, from, &last_from, &fd_from);
	if (err)
		return err;
	err = split(s, to, &last_to, &fd_to);
	if (!err) {
		if (renameat(fd_from, last_from, fd_to, last_to) < 0)
			err = -errno;
		split_done(s, fd_to);
	}
	split_done(s, fd_from);
	if (!err)
		err = changed_name(s, from);
	if (!err)
		err = changed_name(s, to);
	return err ? err : changed(s, to);
}

static int dir_mkdir(struct store *s, const char *name)
{
	const char *last;
	int fd;
	int err = split(s, name, &last, &fd);
	if (err)
		return err;
	if (mkdirat(fd, last, 0700) < 0)
		err = -errno;
	split_done(s, fd);
	return err ? err : changed_name(s, name);
}

static int dir_list(struct store *s, const char *name, int (*fn)(void *arg, const char *name, bool is_dir), void *arg)
{
	int fd = open_folder(s, name);
	if (fd < 0)
		return fd;
	DIR *d = fdopendir(fd);
	if (!d) {
		int err = -errno;
		close(fd);
		return err;
	}
	int err = 0;
	for (;;) {
		errno = 0;
		struct dirent *e = readdir(d);
		if (!e) {
			err = -errno;
			break;
		}
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		struct stat st;
		bool is_dir = e->d_type == DT_DIR;
		if (e->d_type == DT_UNKNOWN && !fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW))
			is_dir = S_ISDIR(st.st_mode);
		err = fn(arg, e->d_name, is_dir);
		if (err)
			break;
	}
	closedir(d);
	return err;
}

static int dir_space(struct store *s, struct store_space *ret)
{
	struct statvfs v;

	if (fstatvfs(dir_of(s)->fd, &v) < 0)
		return -errno;
	*ret = (struct store_space){ v.f_frsize, v.f_blocks, v.f_bfree, v.f_bavail };
	return 0;
}

static int dir_lock(struct store *s, struct store_file *f, enum store_lock how)
{
	struct flock l = { .l_whence = SEEK_SET };

	(void)s;
	l.l_type = how == STORE_EXCLUSIVE ? F_WRLCK : how == STORE_SHARED ? F_RDLCK : F_UNLCK;
	int err = TEMP_FAILURE_RETRY(fcntl(f->fd, F_OFD_SETLK, &l)) < 0 ? -errno : 0;
	return err == -EACCES ? -EAGAIN : err;
}

/*
 * Filesystems whose syncfs(2) is known to make all durable. Over FUSE, for one, it writes the page cache back and asks the server for
 * nothing; over others it depends. There each file is synced by itself.
 */
static bool syncfs_is_good(int fd)
{
	static const unsigned long good[] = { EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC, BTRFS_SUPER_MAGIC, F2FS_SUPER_MAGIC, TMPFS_MAGIC,
					      0x2fc12fc1 /* ZFS */, 0x00c36400 /* CephFS */ };
	struct statfs st;

	if (fstatfs(fd, &st) < 0)
		return false;
	for (size_t i = 0; i < CL_ARRAY_LEN(good); i++)
		if ((unsigned long)st.f_type == good[i])
			return true;
	return false;
}

static int wrap(int fd, struct store **ret)
{
	struct store_dir *d = calloc(1, sizeof *d);
	int err = d ? 0 : -ENOMEM;

	if (!err && !syncfs_is_good(fd))
		err = store_dirty_new(&d->dirty);
	if (err) {
		free(d);
		close(fd);
		return err;
	}
	d->base.ops = &dir_ops;
	d->fd = fd;
	*ret = &d->base;
	return 0;
}

static int dir_sub(struct store *s, const char *name, struct store **ret)
{
	int fd = open_folder(s, name);
	return fd < 0 ? fd : wrap(fd, ret);
}

static void dir_free(struct store *s)
{
	struct store_dir *d = dir_of(s);
	store_dirty_free(d->dirty);
	close(d->fd);
	free(d);
}

static const struct store_ops dir_ops = {
	.open = dir_open,
	.close = dir_close,
	.pread = dir_pread,
	.pwrite = dir_pwrite,
	.pwritev = dir_pwritev,
	.sync = dir_sync,
	.sync_dir = dir_sync_dir,
	.sync_all = dir_sync_all,
	.size = dir_size,
	.truncate = dir_truncate,
	.punch = dir_punch,
	.allocate = dir_allocate,
	.unlink = dir_unlink,
	.rename = dir_rename,
	.mkdir = dir_mkdir,
	.rmdir = dir_rmdir,
	.list = dir_list,
	.space = dir_space,
	.lock = dir_lock,
	.sub = dir_sub,
	.free = dir_free,
};

int store_dir_open(const char *path, struct store **ret)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : wrap(fd, ret);
}

int store_dir_fd(const struct store *s)
{
	return s->ops == &dir_ops ? dir_of(s)->fd : -EINVAL;
}

int store_dir_set_mode(const struct store *s, const char *name, bool folder)
{
	struct stat st;
	char self[40];
	int top = store_dir_fd(s);

	if (top < 0)
		return top;
	/* By way of a path descriptor, for there may be no right to open it. */
	int fd = open_beneath(top, name, O_PATH, 0);
	if (fd < 0)
		return fd;
	int err = fstat(fd, &st) < 0 ? -errno : 0;
	if (!err && (folder ? !S_ISDIR(st.st_mode) : !S_ISREG(st.st_mode)))
		err = -EUCLEAN;
	snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
	if (!err && chmod(self, folder ? 0700 : 0600) < 0)
		err = -errno;
	close(fd);
	return err;
}

static int copy_data(int from, int to)
{
	struct stat st;
	char *buf = malloc((size_t)1 << 20);
	off_t at = 0;
	int err = buf ? 0 : -ENOMEM;

	while (!err && (at = lseek(from, at, SEEK_DATA)) >= 0) {
		ssize_t n = pread(from, buf, (size_t)1 << 20, at);
		if (n <= 0) {
			err = n < 0 ? -errno : 0;
			break;
		}
		err = file_pwrite_full(to, buf, (size_t)n, (uint64_t)at);
		at += n;
	}
	free(buf);
	if (!err && at < 0 && errno != ENXIO)
		err = -errno;
	if (!err && fstat(from, &st) < 0)
		err = -errno;
	if (!err && ftruncate(to, st.st_size) < 0)
		err = -errno;
	return !err && fsync(to) < 0 ? -errno : err;
}

int store_dir_unshare(const struct store *s, const char *name, const char *temp)
{
	struct store *self = (struct store *)(uintptr_t)s;
	struct stat st;
	int top = store_dir_fd(s);

	if (top < 0)
		return top;
	int from = open_beneath(top, name, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
	if (from < 0)
		return from;
	int err = fstat(from, &st) < 0 ? -errno : S_ISREG(st.st_mode) ? 0 : -EUCLEAN;
	/* Who has locked it, a lease, would go on with the old one. */
	if (!err)
		err = dir_lock(self, &(struct store_file){ .fd = from }, STORE_SHARED);
	if (!err)
		err = dir_unlink(self, temp);
	if (err == -ENOENT)
		err = 0;
	int to = err ? err : open_beneath(top, temp, O_RDWR | O_CREAT | O_EXCL, 0600);
	if (to >= 0) {
		err = copy_data(from, to);
		close(to);
		if (!err)
			err = dir_rename(self, temp, name);
	} else {
		err = to;
	}
	close(from);
	return err;
}
