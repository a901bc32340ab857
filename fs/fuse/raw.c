/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The part of the FUSE protocol that libfuse does not speak, or not in every version that we build with (3.14 on):
 *
 * - INIT: HANDLE_KILLPRIV_V2, without which each write costs a getxattr of security.capability; PARALLEL_DIROPS, which
 *   3.14 offers and then forgets; SETXATTR_EXT, so that setfacl can drop the set-group-ID bit.
 * - the "drop privileges" flags of WRITE, OPEN and SETATTR that come with the first.
 * - SETXATTR in the extended form; 3.14.0 also takes the plain form for the extended one and cuts the names.
 * - TMPFILE and STATX (birth time).
 * - INTERRUPT: no request here can be interrupted, so the kernel need not say so a second time.
 *
 * Layouts are those of linux/fuse.h.
 */
#include "fs/fuse/internal.h"

#include <assert.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <linux/stat.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

/* Protocol 7.39, newer than the headers that we want to build with. */
#define RAW_STATX 52u

struct raw_statx_time {
	int64_t sec;
	uint32_t nsec;
	int32_t reserved;
};

struct raw_statx_out {
	uint64_t attr_valid;
	uint32_t attr_valid_nsec;
	uint32_t flags;
	uint64_t spare1[2];
	uint32_t mask;
	uint32_t blksize;
	uint64_t attributes;
	uint32_t nlink;
	uint32_t uid;
	uint32_t gid;
	uint16_t mode;
	uint16_t spare2;
	uint64_t ino;
	uint64_t size;
	uint64_t blocks;
	uint64_t attributes_mask;
	struct raw_statx_time atime, btime, ctime, mtime;
	uint32_t rdev_major, rdev_minor;
	uint32_t dev_major, dev_minor;
	uint64_t spare3[14];
};

static_assert(sizeof(struct raw_statx_out) == 288, "struct fuse_statx_out");
static_assert(sizeof(struct fuse_in_header) + sizeof(struct fuse_write_in) == FUSE_CL_WRITE_HEADERS, "WRITE");

#define WANTED_FLAGS (FUSE_HANDLE_KILLPRIV_V2 | FUSE_PARALLEL_DIROPS | FUSE_SETXATTR_EXT)

/* Body of a request, if it has at least n bytes. */
static const void *body_of(const struct fuse_buf *buf, size_t n)
{
	size_t head = sizeof(struct fuse_in_header);
	return buf->size >= head + n ? (const uint8_t *)buf->mem + head : NULL;
}

/* True when the kernel took the answer. */
static bool reply(struct fuse_cl_worker *w, const struct fuse_in_header *in, int error, const void *body, size_t n)
{
	struct fuse_out_header out = {
		.len = (uint32_t)(sizeof(out) + n),
		.error = -error,
		.unique = in->unique,
	};
	struct iovec iov[2] = { { &out, sizeof(out) }, { (void *)(uintptr_t)body, n } };
	return writev(fuse_session_fd(w->cl->se), iov, n ? 2 : 1) >= 0;
}

#if !FUSE_CL_LIBFUSE_HAS_TMPFILE
static void fill_attr(const struct fs_attr *a, struct fuse_attr *ret)
{
	*ret = (struct fuse_attr){
		.ino = a->ino,
		.size = a->size,
		.blocks = a->blocks,
		.atime = (uint64_t)a->atime.tv_sec,
		.mtime = (uint64_t)a->mtime.tv_sec,
		.ctime = (uint64_t)a->ctime.tv_sec,
		.atimensec = (uint32_t)a->atime.tv_nsec,
		.mtimensec = (uint32_t)a->mtime.tv_nsec,
		.ctimensec = (uint32_t)a->ctime.tv_nsec,
		.mode = a->mode,
		.nlink = a->nlink,
		.uid = a->uid,
		.gid = a->gid,
		.blksize = CL_PAGE,
	};
}

static void raw_tmpfile(struct fuse_cl_worker *w, const struct fuse_in_header *in, const struct fuse_create_in *arg)
{
	struct fs_cred cred = { .uid = in->uid, .gid = in->gid, .umask = arg->umask };
	struct fs_attr attr;
	int r = fuse_cl_make_tmpfile(w->cl, in->nodeid, arg->mode, &cred, &attr);
	if (r < 0) {
		reply(w, in, fuse_cl_errno(r), NULL, 0);
		return;
	}
	struct {
		struct fuse_entry_out entry;
		struct fuse_open_out open;
	} out = {
		.entry = { .nodeid = attr.ino, .generation = attr.generation, .entry_valid = w->cl->opts.timeout,
			   .attr_valid = w->cl->opts.timeout },
		.open = { .open_flags = w->cl->opts.multi ? 0 : FOPEN_KEEP_CACHE },
	};
	fill_attr(&attr, &out.entry.attr);
	if (!reply(w, in, 0, &out, sizeof(out)))
		fuse_cl_unmake(w->cl, attr.ino);
}
#endif

static struct raw_statx_time statx_time(struct timespec t)
{
	return (struct raw_statx_time){ .sec = t.tv_sec, .nsec = (uint32_t)t.tv_nsec };
}

static void raw_statx(struct fuse_cl_worker *w, const struct fuse_in_header *in)
{
	struct fs_attr a;
	int r = fs_getattr(w->cl->fs, in->nodeid, &a);
	if (r < 0) {
		reply(w, in, fuse_cl_errno(r), NULL, 0);
		return;
	}
	struct raw_statx_out out = {
		.attr_valid = w->cl->opts.timeout,
		.mask = STATX_BASIC_STATS | STATX_BTIME,
		.blksize = CL_PAGE,
		.nlink = a.nlink,
		.uid = a.uid,
		.gid = a.gid,
		.mode = (uint16_t)a.mode,
		.ino = a.ino,
		.size = a.size,
		.blocks = a.blocks,
		.atime = statx_time(a.atime),
		.btime = statx_time(a.btime),
		.ctime = statx_time(a.ctime),
		.mtime = statx_time(a.mtime),
		.rdev_major = a.rdev_major,
		.rdev_minor = a.rdev_minor,
	};
	reply(w, in, 0, &out, sizeof(out));
}

static void raw_setxattr(struct fuse_cl_worker *w, const struct fuse_in_header *in, const struct fuse_buf *buf)
{
	/* The plain form ends behind flags. */
	bool extended = w->cl->init_flags & FUSE_SETXATTR_EXT;
	size_t head = extended ? sizeof(struct fuse_setxattr_in) : FUSE_COMPAT_SETXATTR_IN_SIZE;
	const struct fuse_setxattr_in *arg = body_of(buf, head);
	size_t rest = arg ? buf->size - sizeof(*in) - head : 0;
	const char *name = arg ? (const char *)arg + head : "";
	size_t name_len = strnlen(name, rest);
	if (name_len == rest || arg->size > rest - name_len - 1) {
		reply(w, in, EIO, NULL, 0);
		return;
	}
	bool kill_sgid = extended && arg->setxattr_flags & FUSE_SETXATTR_ACL_KILL_SGID;
	const char *value = name + name_len + 1;
	int r = fuse_cl_setxattr(w->cl->fs, in->nodeid, name, value, arg->size, (int)arg->flags, kill_sgid);
	reply(w, in, fuse_cl_errno(r), NULL, 0);
}

static bool asks_to_kill_priv(const struct fuse_in_header *in, const struct fuse_buf *buf)
{
	const void *body;
	switch (in->opcode) {
	case FUSE_WRITE:
		body = body_of(buf, sizeof(struct fuse_write_in));
		return body && ((const struct fuse_write_in *)body)->write_flags & FUSE_WRITE_KILL_SUIDGID;
	case FUSE_OPEN:
		body = body_of(buf, sizeof(struct fuse_open_in));
		return body && ((const struct fuse_open_in *)body)->open_flags & FUSE_OPEN_KILL_SUIDGID;
	case FUSE_SETATTR:
		body = body_of(buf, sizeof(struct fuse_setattr_in));
		return body && ((const struct fuse_setattr_in *)body)->valid & FATTR_KILL_SUIDGID;
	default:
		return false;
	}
}

bool fuse_cl_raw_request(struct fuse_cl_worker *w, const struct fuse_buf *buf)
{
	const struct fuse_in_header *in = buf->mem;
	const void *body;

	w->kill_priv = asks_to_kill_priv(in, buf);
	switch (in->opcode) {
	case FUSE_INIT:
		body = body_of(buf, offsetof(struct fuse_init_in, flags2));
		w->init_unique = in->unique;
		w->cl->init_flags = body ? ((const struct fuse_init_in *)body)->flags & WANTED_FLAGS : 0;
		return false;
	case FUSE_SETXATTR:
		raw_setxattr(w, in, buf);
		return true;
#if !FUSE_CL_LIBFUSE_HAS_TMPFILE
	case FUSE_TMPFILE:
		body = body_of(buf, sizeof(struct fuse_create_in));
		if (!body)
			reply(w, in, EIO, NULL, 0);
		else
			raw_tmpfile(w, in, body);
		return true;
#endif
	case RAW_STATX:
		raw_statx(w, in);
		return true;
	case FUSE_INTERRUPT:
		reply(w, in, ENOSYS, NULL, 0);
		return true;
	default:
		return false;
	}
}

ssize_t fuse_cl_raw_read(int fd, void *buf, size_t n, void *userdata CL_UNUSED)
{
	return read(fd, buf, n);
}

ssize_t fuse_cl_raw_writev(int fd, struct iovec *iov, int count, void *userdata CL_UNUSED)
{
	struct fuse_cl_worker *w = fuse_cl_self;
	if (w && w->init_unique) {
		const struct fuse_out_header *out = iov[0].iov_base;
		if (out->unique == w->init_unique && !out->error && count == 2 &&
		    iov[1].iov_len >= FUSE_COMPAT_22_INIT_OUT_SIZE) {
			struct fuse_init_out *init = iov[1].iov_base;
			init->flags |= w->cl->init_flags;
			w->init_unique = 0;
		}
	}
	return writev(fd, iov, count);
}
