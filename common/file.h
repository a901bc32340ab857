/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Small whole-file operations: bounded read, durable atomic replacement. */
#ifndef CLOISON_COMMON_FILE_H
#define CLOISON_COMMON_FILE_H

#include "common/base.h"

/* Reads or writes exactly n bytes, going on after EINTR and short transfers. read: -ENODATA at an early EOF. */
int file_pread_full(int fd, void *buf, size_t n, uint64_t off) CL_MUST_USE;
int file_pwrite_full(int fd, const void *buf, size_t n, uint64_t off) CL_MUST_USE;
int file_write_full(int fd, const void *buf, size_t n) CL_MUST_USE;
int file_read_full(int fd, void *buf, size_t n) CL_MUST_USE;

/*
 * Whole regular file below dirfd, at most max bytes; *ret_buf malloc'ed with a NUL behind. -EFBIG; -EUCLEAN (not a
 * regular file: a symlink, a directory, a FIFO); else errno of open/read.
 */
int file_read_all(int dirfd, const char *name, size_t max, char **ret_buf, size_t *ret_len) CL_MUST_USE;
/*
 * tmp, fsync, rename, fsync of the directory; mode 0600. name: one component (-EINVAL). After an error the old file
 * stands, unless it is the last step that failed. A crash may leave a file `.NAME.XXXXXXXX.tmp` behind.
 */
int file_write_atomic(int dirfd, const char *name, const void *buf, size_t n) CL_MUST_USE;

#endif
