/* SPDX-License-Identifier: GPL-3.0-or-later */
/* An engine in memory with the face of fs/fs.h, as far as the FUSE layer uses it: to test that layer by itself. */
#ifndef CLOISON_TESTS_MOUNT_FAKEFS_H
#define CLOISON_TESTS_MOUNT_FAKEFS_H

#include "fs/fs.h"

#include <stdatomic.h>

/* What the engine was asked, for the test to read from another process: lies in shared memory. */
struct fake_counts {
	atomic_ulong lookup, getattr, setattr, kill_priv, open, close, read, write, write_unaligned, write_max, tmpfile;
	atomic_ulong readdir, readdir_plus, getxattr, fsync;
	atomic_ulong inodes;   /* that live */
	atomic_ulong opens;    /* files open */
};

/* A file of this name cannot be read: -EBADMSG; one with the second cannot be written: -EUCLEAN. */
#define FAKE_BAD_READ "bad-read"
#define FAKE_BAD_WRITE "bad-write"

struct fs *fakefs_new(struct fake_counts *counts);
void fakefs_free(struct fs *fs);

#endif
