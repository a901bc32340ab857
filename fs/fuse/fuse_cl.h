/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The mount: serves the engine's tree (fs/fs.h) to the kernel over FUSE, from mount to unmount.
 *
 * The daemon is taken to be the only one who changes what it serves, so the kernel keeps names, attributes, contents
 * and listings for as long as it likes, unless the options say multi. The kernel checks permissions and POSIX ACLs.
 */
#ifndef CLOISON_FS_FUSE_FUSE_CL_H
#define CLOISON_FS_FUSE_FUSE_CL_H

#include "common/base.h"
#include "common/fault.h"
#include "fs/fs.h"

struct fuse_cl;

/* Begin with FUSE_CL_OPTIONS_INIT. Strings are borrowed during fuse_cl_new. */
struct fuse_cl_options {
	const char *fsname;  /* first column of the mount table; NULL = "cloison" */
	const char *subtype; /* type is fuse.SUBTYPE; NULL = "cloison" */
	bool allow_other;    /* not only who mounts may enter; users need user_allow_other in fuse.conf(5) for it */
	bool ro, nosuid, nodev, noexec; /* as mount(8) */
	bool multi;          /* somebody else may change the files: the kernel asks every time */
	/*
	 * Opening and closing a file cost no request. Then fs_open_file is never called, so a file that only another
	 * label may write is found out when its data is written: only right if every compartment is writable, or ro.
	 */
	bool no_open;
	bool debug;             /* every request as a debug log line */
	unsigned max_threads;   /* 2 to 16; 0 = twice the processors, at least 4 */
	unsigned read_ahead_kb; /* of the mount, where this process may set it (root); 0 = leave as it is */
	unsigned timeout;       /* seconds that the kernel keeps names and attributes; counts as 0 with multi */
};
#define FUSE_CL_OPTIONS_INIT { .nosuid = true, .nodev = true, .read_ahead_kb = 4096, .timeout = 86400 }

/*
 * Mounts: on return the kernel has its answers to begin with, and requests wait for fuse_cl_loop. Call it in the
 * process that will run the loop (after the last fork). From here to fuse_cl_free SIGTERM, SIGINT and SIGHUP, unless
 * they are ignored or handled already, are this module's; libfuse's messages go to the log. One mount per process. fs
 * is borrowed. -EBUSY: this process has one already, or something is mounted there; -ENOTDIR, -ENOENT, -ENOTCONN, ...:
 * the mount point; -EPERM, -EIO: the kernel or fusermount3 refused; -ENOMEM.
 */
int fuse_cl_new(struct fs *fs, const char *mountpoint, const struct fuse_cl_options *opts, struct fuse_cl **ret,
		struct fault *f) CL_MUST_USE;

/*
 * Serves requests until the filesystem is unmounted by anybody or a signal asks for it. After a signal it unmounts
 * by itself while it goes on serving, so that the kernel can write back what it holds; if it stays busy for three
 * seconds, or a second signal comes, it lets the kernel write back once more, detaches the mount and leaves. When it
 * returns no request is under way and none will come. Nothing is committed by that: fs_close does it. To be called
 * once. 0, or negative errno when the loop broke.
 */
int fuse_cl_loop(struct fuse_cl *s) CL_MUST_USE;

/* Unmounts if it still is mounted. NULL is fine. */
void fuse_cl_free(struct fuse_cl *s);

#endif
