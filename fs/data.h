/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Contents of regular files: read, write, truncate, holes. Callers have checked access; transactions are begun here. */
#ifndef CLOISON_FS_DATA_H
#define CLOISON_FS_DATA_H

#include "common/base.h"
#include "fs/inode.h"

ssize_t data_read(struct inode *i, void *buf, size_t n, uint64_t off) CL_MUST_USE;
/* flags: FS_WRITE_*. Times are set unless FS_WRITE_CACHED; -EFBIG, -ENOSPC, -EDQUOT, -EIO; bytes written before an error count, but not with FS_WRITE_CACHED. */
ssize_t data_write(struct inode *i, const void *buf, size_t n, uint64_t off, unsigned flags) CL_MUST_USE;
int data_truncate(struct inode *i, uint64_t size) CL_MUST_USE;
/* Makes off .. off + len - 1 read as zeros and gives the space of whole pages back. */
int data_punch(struct inode *i, uint64_t off, uint64_t len) CL_MUST_USE;
/* Reserves space; grows the file unless keep_size. */
int data_allocate(struct inode *i, uint64_t off, uint64_t len, bool keep_size) CL_MUST_USE;
int data_seek(struct inode *i, uint64_t off, bool hole, uint64_t *ret) CL_MUST_USE;
/* New contents of a fresh inode within the caller's transaction (long symlink targets): at most LEAF_RUN pages. */
int data_fill(struct inode *i, const void *buf, size_t n) CL_MUST_USE;

#endif
