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

/* A file of such a name, with an errno behind it in digits, cannot be read; or cannot be changed once it is made: that is what comes. */
#define FAKE_READ_FAILS "read-fails-"
#define FAKE_WRITE_FAILS "write-fails-"

struct fs *fakefs_new(struct fake_counts *counts);
void fakefs_free(struct fs *fs);

#endif
