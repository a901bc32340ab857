/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Open files for the benchmark's passthrough. */
#include "tests/bench/pt.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/bench/ptnode.h"

static pthread_once_t buffer_once = PTHREAD_ONCE_INIT;
static pthread_key_t buffer_key; /* its destructor frees a thread's buffer */

static void make_buffer_key(void)
{
	if (pthread_key_create(&buffer_key, free) != 0)
		abort();
}

/* Each thread reads into a buffer of its own: a fresh megabyte per request would cost its page faults every time. */
static char *read_buffer(void)
{
	static __thread char *buffer;

	if (!buffer) {
		pthread_once(&buffer_once, make_buffer_key);
		buffer = aligned_alloc(CL_PAGE, PT_REQUEST_MAX);
		if (buffer)
			pthread_setspecific(buffer_key, buffer);
	}
	return buffer;
}

/* Flags to open the backing file with, for an opener who asked for these. */
static int backing_flags(int flags)
{
	flags &= ~(O_NOFOLLOW | O_EXCL | O_CREAT);
	if (pt_options.no_writeback)
		return flags | O_CLOEXEC;
	/* The writeback cache reads the rest of a page it was given a part of, and knows itself where the file ends. */
	if ((flags & O_ACCMODE) == O_WRONLY)
		flags = (flags & ~O_ACCMODE) | O_RDWR;
	return (flags & ~O_APPEND) | O_CLOEXEC;
}

static void set_handle(struct fuse_file_info *fi, int fd)
{
	fi->fh = (uint64_t)fd;
	fi->keep_cache = 1;
	fi->noflush = 1; /* heeded without writeback cache; with it, pt_flush's ENOSYS does the same */
}

static void pt_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi)
{
	int flags = backing_flags(fi->flags) | (fi->flags & O_EXCL) | O_CREAT | O_NOFOLLOW;
	struct fuse_entry_param entry;
	int fd, err;

	fd = openat(ptnode_fd(parent), name, flags, mode);
	if (fd < 0) {
		fuse_reply_err(req, errno);
		return;
	}
	if (pt_make_entry(parent, name, &entry) < 0) {
		err = errno;
		close(fd);
		fuse_reply_err(req, err);
		return;
	}
	set_handle(fi, fd);
	if (fuse_reply_create(req, &entry, fi)) {
		close(fd);
		ptnode_forget(entry.ino, 1);
	}
}

static void pt_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	char path[32];
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", ptnode_fd(ino));
	fd = open(path, backing_flags(fi->flags));
	if (fd < 0) {
		fuse_reply_err(req, errno);
		return;
	}
	set_handle(fi, fd);
	if (fuse_reply_open(req, fi))
		close(fd);
}

static void pt_release(fuse_req_t req, CL_UNUSED fuse_ino_t ino, struct fuse_file_info *fi)
{
	close((int)fi->fh);
	fuse_reply_err(req, 0);
}

static void pt_flush(fuse_req_t req, CL_UNUSED fuse_ino_t ino, CL_UNUSED struct fuse_file_info *fi)
{
	fuse_reply_err(req, ENOSYS); /* asks the kernel never to ask again */
}

static void pt_read(fuse_req_t req, CL_UNUSED fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	struct fuse_bufvec vec = FUSE_BUFVEC_INIT(size);
	char *buffer;
	ssize_t n;

	if (pt_options.splice_read) {
		vec.buf[0].flags = FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK;
		vec.buf[0].fd = (int)fi->fh;
		vec.buf[0].pos = off;
		fuse_reply_data(req, &vec, FUSE_BUF_SPLICE_MOVE);
		return;
	}
	buffer = read_buffer();
	if (!buffer) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	n = pread((int)fi->fh, buffer, CL_MIN(size, PT_REQUEST_MAX), off);
	if (n < 0)
		fuse_reply_err(req, errno);
	else
		fuse_reply_buf(req, buffer, (size_t)n);
}

static void pt_write(fuse_req_t req, CL_UNUSED fuse_ino_t ino, const char *data, size_t size, off_t off,
		     struct fuse_file_info *fi)
{
	ssize_t n = pwrite((int)fi->fh, data, size, off);

	if (n < 0)
		fuse_reply_err(req, errno);
	else
		fuse_reply_write(req, (size_t)n);
}

static void pt_write_buf(fuse_req_t req, CL_UNUSED fuse_ino_t ino, struct fuse_bufvec *in, off_t off,
			 struct fuse_file_info *fi)
{
	struct fuse_bufvec out = FUSE_BUFVEC_INIT(fuse_buf_size(in));
	ssize_t n;

	out.buf[0].flags = FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK;
	out.buf[0].fd = (int)fi->fh;
	out.buf[0].pos = off;
	n = fuse_buf_copy(&out, in, 0);
	if (n < 0)
		fuse_reply_err(req, (int)-n);
	else
		fuse_reply_write(req, (size_t)n);
}

static void pt_fsync(fuse_req_t req, CL_UNUSED fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	pt_reply_result(req, datasync ? fdatasync((int)fi->fh) : fsync((int)fi->fh));
}

static void pt_fallocate(fuse_req_t req, CL_UNUSED fuse_ino_t ino, int mode, off_t off, off_t len,
			 struct fuse_file_info *fi)
{
	pt_reply_result(req, fallocate((int)fi->fh, mode, off, len));
}

static void pt_lseek(fuse_req_t req, CL_UNUSED fuse_ino_t ino, off_t off, int whence, struct fuse_file_info *fi)
{
	off_t res = lseek((int)fi->fh, off, whence);

	if (res < 0)
		fuse_reply_err(req, errno);
	else
		fuse_reply_lseek(req, res);
}

static void pt_copy_file_range(fuse_req_t req, CL_UNUSED fuse_ino_t ino_in, off_t off_in, struct fuse_file_info *fi_in,
			       CL_UNUSED fuse_ino_t ino_out, off_t off_out, struct fuse_file_info *fi_out, size_t len,
			       int flags)
{
	ssize_t n = copy_file_range((int)fi_in->fh, &off_in, (int)fi_out->fh, &off_out, len, (unsigned int)flags);

	if (n < 0)
		fuse_reply_err(req, errno);
	else
		fuse_reply_write(req, (size_t)n);
}

void pt_file_ops(struct fuse_lowlevel_ops *ops)
{
	ops->create = pt_create;
	ops->open = pt_open;
	ops->release = pt_release;
	ops->flush = pt_flush;
	ops->read = pt_read;
	ops->fsync = pt_fsync;
	ops->fallocate = pt_fallocate;
	ops->lseek = pt_lseek;
	ops->copy_file_range = pt_copy_file_range;
	/* libfuse receives by splice as soon as there is a write_buf. */
	if (pt_options.splice_write)
		ops->write_buf = pt_write_buf;
	else
		ops->write = pt_write;
}
