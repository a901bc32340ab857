/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the parts of the FUSE layer share: the session, its threads, answers. */
#ifndef CLOISON_FS_FUSE_INTERNAL_H
#define CLOISON_FS_FUSE_INTERNAL_H

#define FUSE_USE_VERSION 312

#include "fs/fuse/fuse_cl.h"

#include <fuse_lowlevel.h>

#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

/* Since 3.17 libfuse knows O_TMPFILE. */
#define FUSE_CL_LIBFUSE_HAS_TMPFILE (FUSE_VERSION >= FUSE_MAKE_VERSION(3, 17))

#define FUSE_CL_THREADS_MAX 16u
#define FUSE_CL_IO_MAX (1u << 20)  /* bytes of the largest read or write */
#define FUSE_CL_WRITE_HEADERS 80u  /* bytes in front of a WRITE's data */

/*
 * One thread that serves requests, with its buffers: request is placed so that the data of a WRITE is page-aligned;
 * data (page-aligned, FUSE_CL_IO_MAX bytes) is for the answer that a handler makes. The rest is about the request
 * under way.
 */
struct fuse_cl_worker {
	struct fuse_cl *cl;
	pthread_t thread;
	void *map;
	uint8_t *request;
	uint8_t *data;
	uint64_t init_unique;  /* INIT request whose answer is to be amended */
	bool kill_priv;        /* write, open, setattr: drop suid, sgid and security.capability */
};

struct fuse_cl {
	struct fs *fs;         /* borrowed */
	struct fuse_session *se;
	char *mountpoint;      /* absolute */
	struct fuse_cl_options opts;
	unsigned dev_major, dev_minor; /* of the mounted filesystem */
	bool writeback;        /* the kernel keeps the times of what is written */
	bool no_opendir;       /* the kernel can do without OPENDIR */
	uint32_t init_flags;   /* flags of INIT that are agreed on behind libfuse's back */
	bool ready;            /* INIT was answered */
	bool signals;          /* handlers are installed */
	int wake_fd;           /* eventfd: a signal came or a worker ended */
	atomic_bool stop;      /* workers: leave before the next request */
	atomic_int ended;      /* 0 while all workers serve, else why the first one left: negative errno */
	struct fuse_cl_seeker *seeker;
	unsigned n_workers;
	struct fuse_cl_worker workers[FUSE_CL_THREADS_MAX];
};

/* The worker that runs on this thread. */
extern _Thread_local struct fuse_cl_worker *fuse_cl_self;

/* Each family of handlers enters itself. */
void fuse_cl_dir_ops(struct fuse_lowlevel_ops *ops);
void fuse_cl_file_ops(struct fuse_lowlevel_ops *ops);
void fuse_cl_attr_ops(struct fuse_lowlevel_ops *ops);
void fuse_cl_xattr_ops(struct fuse_lowlevel_ops *ops);
void fuse_cl_seek_ops(struct fuse_lowlevel_ops *ops);

/* Reads and answers one request. 0; -ENODEV: unmounted; other errors: the session is broken. */
int fuse_cl_serve_one(struct fuse_cl_worker *w) CL_MUST_USE;
int fuse_cl_worker_init(struct fuse_cl_worker *w, struct fuse_cl *cl) CL_MUST_USE;
void fuse_cl_worker_done(struct fuse_cl_worker *w);

/*
 * Signals that ask for the end: counted, and wake_fd is written. Only dispositions that are SIG_DFL are replaced; leave
 * puts them back.
 */
int fuse_cl_signals_take(int wake_fd) CL_MUST_USE;
unsigned fuse_cl_signals_seen(void);
void fuse_cl_signals_leave(void);
/* True while our filesystem is what is mounted at the mount point. */
bool fuse_cl_is_mounted(const struct fuse_cl *s);
/* Only if it is. Not lazy: makes requests, which somebody has to serve. -EBUSY: in use. */
int fuse_cl_unmount(const struct fuse_cl *s, bool lazy) CL_MUST_USE;

/*
 * ops_seek.c: which files are open for writing, and the thread that looks for holes in them. To be stopped while
 * workers still serve (or when the mount is gone): what it does makes requests.
 */
int fuse_cl_seeker_new(struct fuse_cl *cl) CL_MUST_USE;
int fuse_cl_seeker_start(struct fuse_cl *cl) CL_MUST_USE;
void fuse_cl_seeker_stop(struct fuse_cl *cl);
void fuse_cl_seeker_free(struct fuse_cl *cl);
int fuse_cl_writer_add(struct fuse_cl *cl, uint64_t ino) CL_MUST_USE;
void fuse_cl_writer_drop(struct fuse_cl *cl, uint64_t ino);

/*
 * What libfuse of this version does not know. request: called with each request before libfuse sees it; true: it was
 * answered here. read, writev: libfuse's way from and to the kernel.
 */
bool fuse_cl_raw_request(struct fuse_cl_worker *w, const struct fuse_buf *buf);
ssize_t fuse_cl_raw_read(int fd, void *buf, size_t n, void *userdata);
ssize_t fuse_cl_raw_writev(int fd, struct iovec *iov, int count, void *userdata);

/* Unnamed file for both ways that the request may come in. Reference and open handle are counted. */
int fuse_cl_make_tmpfile(struct fuse_cl *cl, uint64_t dir, uint32_t mode, const struct fs_cred *cred,
			 struct fs_attr *ret) CL_MUST_USE;
/* setxattr; kill_sgid: by somebody outside the file's group, so an access ACL drops the set-group-ID bit. */
int fuse_cl_setxattr(struct fs *fs, uint64_t ino, const char *name, const void *value, size_t size, int flags,
		     bool kill_sgid) CL_MUST_USE;
/* Gives back what it counted. */
void fuse_cl_unmake(struct fuse_cl *cl, uint64_t ino);

void fuse_cl_fill_stat(const struct fs_attr *attr, struct stat *ret);
void fuse_cl_fill_entry(const struct fuse_cl *cl, const struct fs_attr *attr, struct fuse_entry_param *ret);
/* r < 0: that error. Else the entry; its reference is given back if the kernel does not take it any more. */
void fuse_cl_reply_entry(fuse_req_t req, int r, const struct fs_attr *attr);

static inline struct fuse_cl *fuse_cl_of(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

/* Errno for the kernel of a result of the engine: damage of either kind is EIO for programs. */
static inline int fuse_cl_errno(int r)
{
	return r == -EBADMSG || r == -EUCLEAN ? EIO : -r;
}

static inline void fuse_cl_reply_result(fuse_req_t req, int r)
{
	fuse_reply_err(req, fuse_cl_errno(r));
}

static inline struct fs_cred fuse_cl_cred(fuse_req_t req)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(req);
	return (struct fs_cred){ .uid = ctx->uid, .gid = ctx->gid, .umask = ctx->umask };
}

#endif
