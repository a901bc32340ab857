/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Requests on the contents of files. */
#include "fs/data.h"
#include "fs/fs_private.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define COPY_CHUNK ((size_t)256 * 1024)
#define DAY 86400

int fs_open_file(struct fs *fs, uint64_t ino, bool write, bool truncate)
{
	struct inode *i;
	int err = fs_inode(fs, ino, write ? ACCESS_WRITE : ACCESS_READ, &i);

	if (err)
		return err;
	pthread_rwlock_rdlock(&i->lock);
	uint32_t mode = i->mode;
	pthread_rwlock_unlock(&i->lock);
	if (!mode)
		err = -ESTALE;
	else if (truncate && S_ISREG(mode))
		err = data_truncate(i, 0);
	if (!err)
		inode_open_add(i);
	inode_put(i);
	return err;
}

void fs_close_file(struct fs *fs, uint64_t ino)
{
	struct inode *i;

	if (fs_inode(fs, ino, ACCESS_LOOK, &i))
		return;
	if (inode_open_sub(i)) {
		pthread_rwlock_rdlock(&i->lock);
		bool orphan = i->mode && i->nlink == 0;
		pthread_rwlock_unlock(&i->lock);
		if (orphan && inode_is_unused(i))
			fs_reap(i);
	}
	inode_put(i); /* the open handle's */
	inode_put(i);
}

/* relatime as mount(8) has it: when it is not newer than the last change, or a day old. */
void fs_touch_atime(struct inode *i)
{
	struct timespec now;

	if (!i->comp->writable)
		return;
	pthread_rwlock_rdlock(&i->lock);
	clock_gettime(CLOCK_REALTIME_COARSE, &now);
	bool due = i->atime.tv_sec < i->mtime.tv_sec || i->atime.tv_sec < i->ctime.tv_sec || now.tv_sec - i->atime.tv_sec >= DAY ||
		   (i->atime.tv_sec == i->mtime.tv_sec && i->atime.tv_nsec <= i->mtime.tv_nsec) ||
		   (i->atime.tv_sec == i->ctime.tv_sec && i->atime.tv_nsec <= i->ctime.tv_nsec);
	pthread_rwlock_unlock(&i->lock);
	if (!due || txn_begin_kind(i->comp, ROOM_CHANGE))
		return;
	pthread_rwlock_wrlock(&i->lock);
	if (i->mode && !inode_dirty(i))
		i->atime = inode_now();
	pthread_rwlock_unlock(&i->lock);
	txn_end(i->comp);
}

ssize_t fs_read(struct fs *fs, uint64_t ino, void *buf, size_t n, uint64_t off)
{
	struct inode *i;
	int err = fs_inode(fs, ino, ACCESS_READ, &i);

	if (err)
		return err;
	ssize_t r = S_ISREG(i->type) ? data_read(i, buf, n, off) : S_ISDIR(i->type) ? -EISDIR : -EINVAL;
	if (r >= 0)
		fs_touch_atime(i);
	inode_put(i);
	return r;
}

ssize_t fs_write(struct fs *fs, uint64_t ino, const void *buf, size_t n, uint64_t off, unsigned flags)
{
	struct inode *i;
	int err = fs_inode(fs, ino, ACCESS_WRITE, &i);

	if (err)
		return err;
	ssize_t r = S_ISREG(i->type) ? data_write(i, buf, n, off, flags) : -EINVAL;
	inode_put(i);
	return r;
}

int fs_fsync(struct fs *fs, uint64_t ino, bool datasync)
{
	struct inode *i;
	struct comp *c = fs_comp(fs, ino);

	(void)datasync; /* the times cost nothing more */
	if (c && !c->writable)
		return atomic_load(&c->failed) ? -EIO : 0;
	int err = fs_inode(fs, ino, ACCESS_READ, &i);
	if (err)
		return err;
	err = txn_commit(i->comp, i, false);
	inode_put(i);
	return err;
}

int fs_sync(struct fs *fs)
{
	return fs->read_only ? 0 : txn_commit(fs_own(fs), NULL, false);
}

int fs_fallocate(struct fs *fs, uint64_t ino, int mode, uint64_t off, uint64_t len)
{
	bool keep = mode & FALLOC_FL_KEEP_SIZE;
	struct inode *i;

	if (len == 0 || off > INT64_MAX || len > INT64_MAX)
		return -EINVAL;
	int err = fs_inode(fs, ino, ACCESS_WRITE, &i);
	if (err)
		return err;
	if (!S_ISREG(i->type)) {
		err = S_ISDIR(i->type) ? -EISDIR : -ENODEV;
		inode_put(i);
		return err;
	}
	switch (mode & ~FALLOC_FL_KEEP_SIZE) {
	case 0:
		err = data_allocate(i, off, len, keep);
		break;
	case FALLOC_FL_PUNCH_HOLE:
		err = keep ? data_punch(i, off, len) : -EOPNOTSUPP;
		break;
	case FALLOC_FL_ZERO_RANGE:
		err = off + len > FS_FILE_MAX ? -EFBIG : data_punch(i, off, len);
		if (!err)
			err = data_allocate(i, off, len, keep);
		break;
	default:
		err = -EOPNOTSUPP;
	}
	inode_put(i);
	return err;
}

int fs_seek(struct fs *fs, uint64_t ino, uint64_t off, int whence, uint64_t *ret)
{
	struct inode *i;

	if (whence != SEEK_DATA && whence != SEEK_HOLE)
		return -EINVAL;
	int err = fs_inode(fs, ino, ACCESS_READ, &i);
	if (err)
		return err;
	err = S_ISREG(i->type) ? data_seek(i, off, whence == SEEK_HOLE, ret) : -EINVAL;
	inode_put(i);
	return err;
}

ssize_t fs_copy(struct fs *fs, uint64_t from, uint64_t from_off, uint64_t to, uint64_t to_off, size_t n)
{
	struct inode *src, *dst;
	ssize_t done = 0;
	int err = fs_inode(fs, from, ACCESS_READ, &src);

	if (err)
		return err;
	err = fs_inode(fs, to, ACCESS_WRITE, &dst);
	if (err) {
		inode_put(src);
		return err;
	}
	uint8_t *buf = NULL;
	/* The end of the source as it is now: within one file the copy itself may move it. */
	pthread_rwlock_rdlock(&src->lock);
	uint64_t left = src->size > from_off ? src->size - from_off : 0;
	pthread_rwlock_unlock(&src->lock);
	if (!S_ISREG(src->type) || !S_ISREG(dst->type))
		err = -EINVAL;
	else if (src == dst && from_off < to_off + n && to_off < from_off + n)
		err = -EINVAL;
	else if (!(buf = aligned_alloc(CL_PAGE, COPY_CHUNK)))
		err = -ENOMEM;
	n = (size_t)CL_MIN(n, left);
	while (!err && (size_t)done < n) {
		ssize_t got = data_read(src, buf, CL_MIN(n - (size_t)done, COPY_CHUNK), from_off + (uint64_t)done);
		if (got <= 0) {
			err = (int)got;
			break;
		}
		ssize_t put = data_write(dst, buf, (size_t)got, to_off + (uint64_t)done, 0);
		if (put < 0)
			err = (int)put;
		else
			done += put;
		if (put < got)
			break;
	}
	if (done)
		fs_touch_atime(src);
	if (buf)
		secret_wipe(buf, COPY_CHUNK);
	free(buf);
	inode_put(src);
	inode_put(dst);
	return done ? done : err;
}
