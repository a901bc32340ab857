/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The backing directory, behind a small table of functions so that tests can put a simulated disk there. The one real
 * implementation (store_dir.c) is confined: every name is resolved below the directory with openat2(RESOLVE_BENEATH |
 * RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS), and only regular files with one link are opened.
 *
 * Names are relative paths ("root", "3f/000000000000103f"). Offsets and lengths are bytes. All calls are thread-safe
 * except close and free. Errors are negative errno of the call; -EUCLEAN when the name is not a plain file or folder.
 */
#ifndef CLOISON_FS_STORE_H
#define CLOISON_FS_STORE_H

#include "common/base.h"

#include <sys/uio.h>

#define STORE_NAME_MAX 96u
#define STORE_IOV_MAX 256

enum { STORE_RDONLY = 0, STORE_RDWR = 1, STORE_CREATE = 2 /* make it if missing, 0600; implies RDWR */, STORE_EXCL = 4,
       STORE_DIRECT = 8, /* past the page cache: whole, aligned pages only; -EINVAL where that is not possible */
       STORE_IN_PLACE = 16 /* of a new file: overwriting it needs no new blocks, where the lower filesystem has that choice */ };
enum store_lock { STORE_UNLOCK, STORE_SHARED, STORE_EXCLUSIVE };

struct store;
struct store_file; /* an open lower file */

struct store_space {
	uint64_t block;  /* bytes of a unit of the next three */
	uint64_t blocks;
	uint64_t bfree;
	uint64_t bavail;
};

struct store_ops {
	int (*open)(struct store *s, const char *name, int flags, struct store_file **ret);
	void (*close)(struct store *s, struct store_file *f);
	/* Whole transfers: 0 or negative errno. pread: *ret_got = bytes before the end of the file. */
	int (*pread)(struct store *s, struct store_file *f, void *buf, size_t n, uint64_t off, size_t *ret_got);
	int (*pwrite)(struct store *s, struct store_file *f, const void *buf, size_t n, uint64_t off);
	/* At most STORE_IOV_MAX pieces, one behind the other in the file. iov may be changed. */
	int (*pwritev)(struct store *s, struct store_file *f, struct iovec *iov, int n, uint64_t off);
	int (*sync)(struct store *s, struct store_file *f);           /* fdatasync */
	int (*sync_dir)(struct store *s, const char *name);           /* fsync of a folder; "." = the store itself */
	int (*sync_all)(struct store *s);                             /* everything of this store that was changed through it */
	int (*size)(struct store *s, struct store_file *f, uint64_t *ret);
	int (*truncate)(struct store *s, struct store_file *f, uint64_t len);
	int (*punch)(struct store *s, struct store_file *f, uint64_t off, uint64_t len); /* keeps the size */
	int (*allocate)(struct store *s, struct store_file *f, uint64_t off, uint64_t len); /* keeps the size */
	int (*unlink)(struct store *s, const char *name);
	int (*rename)(struct store *s, const char *from, const char *to); /* of a file that is not open */
	int (*mkdir)(struct store *s, const char *name);              /* 0700 */
	int (*rmdir)(struct store *s, const char *name);
	/* Calls fn for each entry but . and ..; stops at the first non-zero result and returns it. */
	int (*list)(struct store *s, const char *dir, int (*fn)(void *arg, const char *name, bool is_dir), void *arg);
	int (*space)(struct store *s, struct store_space *ret);
	/* OFD lock on a whole file; never waits: -EAGAIN when somebody else has it. */
	int (*lock)(struct store *s, struct store_file *f, enum store_lock how);
	int (*sub)(struct store *s, const char *dir, struct store **ret); /* a store confined to a folder of this one */
	void (*free)(struct store *s);
};

struct store {
	const struct store_ops *ops;
};

/* Opens an existing directory as a store. path is resolved by the ordinary rules (it is the user's own word). */
int store_dir_open(const char *path, struct store **ret) CL_MUST_USE;
/* Descriptor of the directory, borrowed (for volume.json); -EINVAL for a store that is none. */
int store_dir_fd(const struct store *s);
/*
 * For repair, of a store that is a directory (others: -EINVAL). Gives a lower file or folder the mode that it must have: 0600, 0700.
 * "." is the store itself.
 */
int store_dir_set_mode(const struct store *s, const char *name, bool folder) CL_MUST_USE;
/*
 * Puts a copy in the place of a lower file that has other names as well, which keep the old one. temp: a name for it while it is made.
 * -EAGAIN: somebody holds a lock on it.
 */
int store_dir_unshare(const struct store *s, const char *name, const char *temp) CL_MUST_USE;

#endif
