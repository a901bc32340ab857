/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A store over another one that tells somebody of each call, who may let it fail: what stores that misbehave share. */
#ifndef CLOISON_TESTS_MODEL_WRAPSTORE_H
#define CLOISON_TESTS_MODEL_WRAPSTORE_H

#include "fs/store.h"

enum wrap_kind {
	WRAP_OPEN, WRAP_CREATE, WRAP_PREAD, WRAP_PWRITE, WRAP_SYNC, WRAP_SYNC_DIR, WRAP_SYNC_ALL, WRAP_SIZE, WRAP_TRUNCATE,
	WRAP_PUNCH, WRAP_ALLOCATE, WRAP_UNLINK, WRAP_RENAME, WRAP_MKDIR, WRAP_RMDIR, WRAP_LIST, WRAP_SPACE, WRAP_LOCK, WRAP_SUB,
	WRAP_KINDS
};

/* A call as it comes in. pwrite and pwritev are one kind. */
struct wrap_call {
	enum wrap_kind kind;
	const char *name;        /* file or folder; the first name of a rename */
	struct store *inner;     /* who would do it */
	struct store_file *file; /* inner's; NULL for calls on names */
	const struct iovec *iov; /* writes */
	int n_iov;
	uint64_t off;
};

struct wrap {
	/* Negative: the call is not made and returns that. What it wants to be done of it, it does on inner. */
	int (*before)(void *arg, const struct wrap_call *call);
	void (*after)(void *arg); /* behind every call for which before was asked; may be NULL */
	void *arg;
	bool split;               /* a pwritev comes as one write for each piece */
};

/* Name of a kind, for messages. */
const char *wrap_kind_name(enum wrap_kind kind);
/* True when calls of that kind change something on the disk, or make it durable. */
bool wrap_kind_changes(enum wrap_kind kind);
/* Bytes of a write. */
size_t wrap_length(const struct wrap_call *call);
/* The first n bytes of a write, done on inner. */
int wrap_write_part(const struct wrap_call *call, size_t n) CL_MUST_USE;

/* Wraps inner, which stays the caller's, as w does. Freed by its own free. */
struct store *wrapstore_new(struct store *inner, const struct wrap *w);

#endif
