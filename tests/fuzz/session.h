/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A session on a volume whose pages may say anything: reading all of it, and operations that an input chooses. Every
 * result is looked at: an error is one that programs know; where the check has found nothing wrong, there is no damage.
 */
#ifndef CLOISON_TESTS_FUZZ_SESSION_H
#define CLOISON_TESTS_FUZZ_SESSION_H

#include "fs/fs.h"
#include "tests/fuzz/fuzz.h"

enum { SESSION_KNOWN = 96, SESSION_OPENED = 16, SESSION_DEPTH = 8, SESSION_BUF = 128 * 1024 };

struct session {
	struct fs *fs;
	bool sound;                    /* the check found nothing wrong */
	uint64_t known[SESSION_KNOWN]; /* inode numbers that were met */
	size_t n_known;
	uint64_t opened[SESSION_OPENED];
	size_t n_opened;
	uint8_t *buf; /* SESSION_BUF bytes */
};

/* Of a request: looks at what it returned. */
void session_outcome(const struct session *s, const char *what, int64_t err);
void session_know(struct session *s, uint64_t ino);
/* Attributes, contents, entries of an inode, and of directories below it down to SESSION_DEPTH. */
void session_look(struct session *s, uint64_t ino, unsigned depth);
void session_look_everywhere(struct session *s);

enum {
	OP_FILE,
	OP_DIR,
	OP_LINK,
	OP_SYMLINK,
	OP_UNLINK,
	OP_RMDIR,
	OP_RENAME,
	OP_WRITE,
	OP_TRUNCATE,
	OP_PUNCH,
	OP_COPY,
	OP_SETXATTR,
	OP_REMOVEXATTR,
	OP_CHMOD,
	OP_FSYNC,
	OP_SYNC,
	OP_TMPFILE,
	OP_FORGET,
	OP_OPEN,
	OP_CLOSE,
	OP_LOOK,
	OP_LOOKUP,
	OP_TICK,
	OP_N
};

/* One operation: kind[1], x[1], y[1], z[1]. */
void session_operate(struct session *s, struct fuzz_in *in);

#endif
