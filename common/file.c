/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Small whole-file operations. */
#include "common/file.h"

#include "common/bytes.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

int file_pread_full(int fd, void *buf, size_t n, uint64_t off)
{
	char *p = buf;

	while (n) {
		ssize_t got = pread(fd, p, n, (off_t)off);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (!got)
			return -ENODATA;
		p += got;
		off += (uint64_t)got;
		n -= (size_t)got;
	}
	return 0;
}

int file_pwrite_full(int fd, const void *buf, size_t n, uint64_t off)
{
	const char *p = buf;

	while (n) {
		ssize_t put = pwrite(fd, p, n, (off_t)off);

		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return -errno;
		if (!put)
			return -EIO;
		p += put;
		off += (uint64_t)put;
		n -= (size_t)put;
	}
	return 0;
}

int file_write_full(int fd, const void *buf, size_t n)
{
	const char *p = buf;

	while (n) {
		ssize_t put = write(fd, p, n);

		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return -errno;
		if (!put)
			return -EIO;
		p += put;
		n -= (size_t)put;
	}
	return 0;
}

int file_read_full(int fd, void *buf, size_t n)
{
	char *p = buf;

	while (n) {
		ssize_t got = read(fd, p, n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (!got)
			return -ENODATA;
		p += got;
		n -= (size_t)got;
	}
	return 0;
}

/* Reads to EOF. The size that stat tells is a hint only: files change, and files of sysfs and procfs have none. */
static int read_to_eof(int fd, size_t hint, size_t max, char **ret_buf, size_t *ret_len)
{
	size_t cap = CL_MAX(hint, (size_t)256), len = 0;
	char *buf = malloc(cap + 1);

	if (!buf)
		return -ENOMEM;
	for (;;) {
		ssize_t got = read(fd, buf + len, cap + 1 - len); /* one more than fits, to see the end */

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0) {
			int err = -errno;

			free(buf);
			return err;
		}
		len += (size_t)got;
		if (len > max) {
			free(buf);
			return -EFBIG;
		}
		if (!got)
			break;
		if (len > cap) {
			char *more = realloc(buf, 2 * cap + 1);

			if (!more) {
				free(buf);
				return -ENOMEM;
			}
			buf = more;
			cap *= 2;
		}
	}
	buf[len] = '\0';
	*ret_buf = buf;
	*ret_len = len;
	return 0;
}

int file_read_all(int dirfd, const char *name, size_t max, char **ret_buf, size_t *ret_len)
{
	struct stat st;
	int fd, err;

	if (max > SSIZE_MAX / 4)
		return -EINVAL;
	/* O_NONBLOCK: a FIFO in the place of the file must not hold us up. */
	fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return errno == ELOOP || errno == ENXIO ? -EUCLEAN : -errno; /* symlink, socket */
	if (fstat(fd, &st) < 0)
		err = -errno;
	else if (!S_ISREG(st.st_mode))
		err = -EUCLEAN;
	else
		err = read_to_eof(fd, (size_t)CL_MIN((uintmax_t)st.st_size, max), max, ret_buf, ret_len);
	(void)close(fd);
	return err;
}

/* An interrupted sync has lost nothing, it has only not ended. */
static int sync_fd(int fd)
{
	while (fsync(fd) < 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

/* What root writes in a user's directory stays the user's: it gets the owner of the file that it replaces, or of the directory. */
static int keep_owner(int dirfd, const char *name, int fd)
{
	struct stat st;

	if (geteuid() != 0)
		return 0;
	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 && fstatat(dirfd, ".", &st, 0) < 0)
		return -errno;
	return fchown(fd, st.st_uid, st.st_gid) < 0 ? -errno : 0;
}

static int write_tmp(int dirfd, const char *tmp, const char *name, const void *buf, size_t n)
{
	int fd = openat(dirfd, tmp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	int err;

	if (fd < 0)
		return -errno;
	err = keep_owner(dirfd, name, fd);
	if (!err)
		err = file_write_full(fd, buf, n);
	if (!err && fchmod(fd, 0600) < 0) /* the umask may have taken more away */
		err = -errno;
	if (!err)
		err = sync_fd(fd);
	if (close(fd) < 0 && !err && errno != EINTR) /* it is closed, and synced */
		err = -errno;
	return err;
}

static int sync_dir(int dirfd)
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* dirfd may be AT_FDCWD or O_PATH */
	int err;

	if (fd < 0)
		return -errno;
	err = sync_fd(fd);
	(void)close(fd);
	return err;
}

int file_write_atomic(int dirfd, const char *name, const void *buf, size_t n)
{
	char tmp[NAME_MAX + 1], suffix[9];
	uint8_t r[4];
	int len, err;

	if (!name[0] || strchr(name, '/'))
		return -EINVAL;
	/* A random name: two writers at once must not rename each other's half-written file. */
	if (getrandom(r, sizeof r, 0) != (ssize_t)sizeof r)
		return -EIO;
	bytes_to_hex(r, sizeof r, suffix);
	len = snprintf(tmp, sizeof tmp, ".%s.%s.tmp", name, suffix);
	if (len < 0 || (size_t)len >= sizeof tmp)
		return -ENAMETOOLONG;
	err = write_tmp(dirfd, tmp, name, buf, n);
	if (!err && renameat(dirfd, tmp, dirfd, name) < 0)
		err = -errno;
	if (err) {
		if (err != -EEXIST)
			(void)unlinkat(dirfd, tmp, 0);
		return err;
	}
	return sync_dir(dirfd);
}
