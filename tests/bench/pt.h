/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the parts of the benchmark's passthrough share; passthrough.c says what it is. */
#ifndef CLOISON_TESTS_BENCH_PT_H
#define CLOISON_TESTS_BENCH_PT_H

#define FUSE_USE_VERSION 312

#include <fuse3/fuse_lowlevel.h>

#include "common/base.h"

#define PT_TIMEOUT 3600.0 /* seconds the kernel may keep what it was told: nobody else changes the backing directory */
#define PT_REQUEST_MAX (1u << 20)

/* Set once by main, before the session runs. Each one turns off or replaces a setting that was measured to be best. */
struct pt_options {
	bool splice_read;   /* replies to READ by splice */
	bool splice_write;  /* receives WRITE by splice */
	bool no_writeback;
	bool no_xattr;      /* no extended attributes at all */
	bool default_permissions; /* the kernel checks them */
	bool keep_killpriv; /* the kernel asks for security.capability before each write */
};
extern struct pt_options pt_options;

/* Looks name up in parent and takes one reference on what it is. 0, or -1 with errno. */
CL_MUST_USE int pt_make_entry(fuse_ino_t parent, const char *name, struct fuse_entry_param *ret_entry);

/* Ends a request: with errno if res is negative. */
void pt_reply_result(fuse_req_t req, int res);

/* Each adds its handlers. */
void pt_name_ops(struct fuse_lowlevel_ops *ops); /* lookup to rename, attributes, extended attributes */
void pt_file_ops(struct fuse_lowlevel_ops *ops); /* create, open, and all that is done to an open file */
void pt_dir_ops(struct fuse_lowlevel_ops *ops);  /* opendir, readdir, readdirplus */

#endif
