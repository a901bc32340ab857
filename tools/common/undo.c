/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Making the directory of a volume, or leaving no trace of the attempt. */
#include "tools/common/undo.h"

#include "tools/common/say.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEPTH_MAX 8 /* a volume is three levels deep */

static bool is_dots(const char *name)
{
	return !strcmp(name, ".") || !strcmp(name, "..");
}

/* Takes fd over. NULL with errno. */
static DIR *open_stream(int fd)
{
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	if (!d && fd >= 0) {
		int err = errno;
		close(fd);
		errno = err;
	}
	return d;
}

static int is_empty(int fd)
{
	DIR *d = open_stream(openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	if (!d)
		return -errno;
	const struct dirent *e;
	int r = 0;
	while (errno = 0, !r && (e = readdir(d)))
		if (!is_dots(e->d_name))
			r = -ENOTEMPTY;
	if (!r)
		r = -errno;
	closedir(d);
	return r;
}

/* Makes the name of a new directory durable: else a power cut would take the volume with it. */
static int sync_name(int fd)
{
	int parent = openat(fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int err;

	if (parent < 0) /* no permission to list it, say */
		return syncfs(fd) < 0 ? -errno : 0;
	err = fsync(parent) < 0 && errno != EINVAL ? -errno : 0;
	close(parent);
	return err;
}

int undo_open_empty(struct undo_dir *d, const char *path, struct fault *f)
{
	*d = (struct undo_dir){ .path = path, .fd = -1 };
	if (!mkdir(path, 0700))
		d->made = true;
	else if (errno != EEXIST)
		return fault_set(f, -errno, CL_EXIT_FAILED, "cannot make directory %s: %s", path, strerror(errno));
	d->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int err = d->fd < 0 ? -errno : 0;
	if (err == -ENOTDIR)
		return fault_set(f, err, CL_EXIT_FAILED, "%s is not a directory", path);
	/* Two at once would both find it empty. Held until the volume stands. */
	if (!err && flock(d->fd, LOCK_EX | LOCK_NB))
		err = -errno;
	if (err == -EWOULDBLOCK)
		return close(d->fd), d->fd = -1,
		       fault_set(f, -EBUSY, CL_EXIT_FAILED, "%s: another mkfs.cloison is making a volume there", path);
	if (!err)
		err = is_empty(d->fd);
	if (!err && d->made)
		err = sync_name(d->fd);
	if (err == -ENOTEMPTY)
		fault_set(f, err, CL_EXIT_FAILED, "%s is not empty; a volume is made in an empty or a new directory",
			  path);
	else if (err)
		fault_set(f, err, CL_EXIT_FAILED, "cannot open %s: %s", path, strerror(-err));
	if (err) {
		if (d->fd >= 0)
			close(d->fd);
		d->fd = -1;
		if (d->made)
			rmdir(path);
	}
	return err;
}

/* Goes on after an error, so that as little as possible stays. Takes fd over. */
static int remove_below(int fd, int depth)
{
	DIR *d = open_stream(fd);
	if (!d)
		return -errno;
	const struct dirent *e;
	int err = 0;
	while ((e = readdir(d))) {
		if (is_dots(e->d_name))
			continue;
		if (!unlinkat(dirfd(d), e->d_name, 0))
			continue;
		int r = errno == EISDIR || errno == EPERM ? 0 : -errno;
		if (!r && depth < DEPTH_MAX) {
			int sub = openat(dirfd(d), e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
			r = sub < 0 ? -errno : remove_below(sub, depth + 1);
		}
		if (!r && unlinkat(dirfd(d), e->d_name, AT_REMOVEDIR))
			r = -errno;
		if (r && !err)
			err = r;
	}
	closedir(d);
	return err;
}

int undo_remove(struct undo_dir *d)
{
	if (d->fd < 0)
		return 0;
	int err = remove_below(d->fd, 0);
	d->fd = -1;
	if (d->made && rmdir(d->path) && !err)
		err = -errno;
	d->made = false;
	return err;
}

void undo_keep(struct undo_dir *d)
{
	if (d->fd >= 0 && (fchmod(d->fd, 0700) || fsync(d->fd)))
		say("%s: its mode cannot be made 0700: %s; others may list it", d->path, strerror(errno));
	if (d->fd >= 0)
		close(d->fd);
	d->fd = -1;
	d->made = false;
}
