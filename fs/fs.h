/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The engine's public face: a POSIX tree over one or more compartments of a volume. Knows no FUSE and no TPM.
 *
 * Inode numbers: rank of the compartment << 48 | number in its inode table, stable for ever; the root of the whole tree
 * is FS_ROOT. Threads: every call but fs_format, fs_open and fs_close may come from any thread at any time. Names are
 * NUL-terminated, 1 to 255 bytes, any byte but '/' (callers may pass anything: -EINVAL, -ENAMETOOLONG). Sizes and offsets are
 * bytes. Errors are negative errno as a local filesystem would give them; besides: -EBADMSG (a page did not authenticate) and
 * -EUCLEAN (malformed), both to be shown as EIO, -EROFS for what another label owns or after a failed sync.
 * A damaged page is logged here, once, with compartment, object and page.
 */
#ifndef CLOISON_FS_FS_H
#define CLOISON_FS_FS_H

#include "common/base.h"
#include "common/fault.h"
#include "common/secret.h"
#include "fs/store.h"

#include <time.h>

#define FS_ROOT 1u
#define FS_NAME_MAX 255u
#define FS_LINK_MAX 65000u
#define FS_SYMLINK_MAX 4095u
#define FS_XATTR_VALUE_MAX 65536u
#define FS_XATTR_NAME_MAX 255u
#define FS_FILE_MAX ((uint64_t)1 << 47) /* bytes: 128^5 pages */

struct fs;

/* A compartment with its key, as keyring_unlock gives it. Borrowed during the call. */
struct fs_compartment {
	uint8_t id[16];
	unsigned rank;              /* 0 = lowest: holds the root */
	const char *dir;            /* gate's name in the root directory; NULL or "" for rank 0 */
	const struct secret *key;   /* LK */
};

struct fs_config {
	uint64_t cache_bytes;      /* bound for cached metadata pages; 0 = 48 MiB */
	uint64_t dirty_bytes;      /* bound for pages waiting for a commit; 0 = 16 MiB */
	unsigned commit_seconds;   /* most seconds between a change and its commit; 0 = 5 */
	bool read_only;            /* change nothing anywhere; journals are read as overlays */
	bool no_threads;           /* tests: no background thread; fs_tick() does its work */
	uint32_t journal_pages;    /* fs_format: ring pages per compartment; 0 = 16384 (64 MiB); at least 64 */
};

/*
 * Makes the compartments' folders, journals and root directories in an empty store, and the gates in rank 0's root.
 * Root directories get mode 0755 (gates 0700), uid and gid as given. Everything is durable on return. On error the
 * caller removes what was made.
 */
int fs_format(struct store *volume, const struct fs_compartment *c, size_t n, uint32_t uid, uint32_t gid,
	      const struct fs_config *cfg, struct fault *f) CL_MUST_USE;

/*
 * Opens compartments for a session: the last of the array (highest rank) for writing, the others for reading. Takes the
 * leases, replays journals, recovers. -EBUSY: somebody else has it open (the sentence says who); -EBADMSG, -EUCLEAN:
 * damaged root or journal header; -ENOENT: compartment's folder is missing. volume is borrowed until fs_close.
 */
int fs_open(struct store *volume, const struct fs_compartment *c, size_t n, const struct fs_config *cfg, struct fs **ret,
	    struct fault *f) CL_MUST_USE;
/* Commits, writes everything home, marks clean, releases leases, wipes keys. Frees fs even when it returns an error. */
int fs_close(struct fs *fs) CL_MUST_USE;
/* One round of background work (commit if due, checkpoint if due) for no_threads. */
int fs_tick(struct fs *fs) CL_MUST_USE;

struct fs_attr {
	uint64_t ino;
	uint32_t generation;
	uint32_t mode;
	uint32_t nlink;
	uint32_t uid;
	uint32_t gid;
	uint32_t rdev_major;
	uint32_t rdev_minor;
	uint64_t size;
	uint64_t blocks; /* of 512 bytes */
	struct timespec atime, mtime, ctime, btime;
};

/* Who does it: ids of the caller, and his umask where a new object is made. */
struct fs_cred {
	uint32_t uid;
	uint32_t gid;
	uint32_t umask;
};

enum { /* fs_setattr: which members of fs_attr count */
	FS_SET_MODE = 1, FS_SET_UID = 2, FS_SET_GID = 4, FS_SET_SIZE = 8, FS_SET_ATIME = 16, FS_SET_MTIME = 32,
	FS_SET_ATIME_NOW = 64, FS_SET_MTIME_NOW = 128, FS_SET_CTIME = 256,
	FS_SET_KILL_PRIV = 512 /* drop suid, sgid (if group-executable) and security.capability, as a write by a user would */
};

/*
 * lookup and the calls that make an object count one reference to ret->ino, to be given back by fs_forget: an unlinked
 * inode lives while it is referenced or open. FS_ROOT needs none. "." and ".." are looked up by fs_lookup too.
 */
int fs_lookup(struct fs *fs, uint64_t dir, const char *name, struct fs_attr *ret) CL_MUST_USE;
void fs_forget(struct fs *fs, uint64_t ino, uint64_t n);
int fs_getattr(struct fs *fs, uint64_t ino, struct fs_attr *ret) CL_MUST_USE;
int fs_setattr(struct fs *fs, uint64_t ino, unsigned set, const struct fs_attr *attr, struct fs_attr *ret) CL_MUST_USE;
/* buf gets at most FS_SYMLINK_MAX + 1 bytes, NUL-terminated. */
int fs_readlink(struct fs *fs, uint64_t ino, char buf[static FS_SYMLINK_MAX + 1]) CL_MUST_USE;

/*
 * New object: regular file, directory, fifo, socket (by S_IFMT of mode; devices: -EPERM); target for symlinks. mode is
 * what the program asked for: umask, the directory's default ACL and its setgid bit are applied here.
 */
int fs_make(struct fs *fs, uint64_t dir, const char *name, uint32_t mode, const char *target, const struct fs_cred *cred,
	    struct fs_attr *ret) CL_MUST_USE;
/* Unnamed regular file in the compartment of dir (O_TMPFILE): link count 0 until fs_link. */
int fs_tmpfile(struct fs *fs, uint64_t dir, uint32_t mode, const struct fs_cred *cred, struct fs_attr *ret) CL_MUST_USE;
int fs_link(struct fs *fs, uint64_t ino, uint64_t dir, const char *name, struct fs_attr *ret) CL_MUST_USE;
int fs_unlink(struct fs *fs, uint64_t dir, const char *name) CL_MUST_USE;
int fs_rmdir(struct fs *fs, uint64_t dir, const char *name) CL_MUST_USE;
/* flags: 0, RENAME_NOREPLACE or RENAME_EXCHANGE of renameat2(2); others -EINVAL. */
int fs_rename(struct fs *fs, uint64_t dir, const char *name, uint64_t newdir, const char *newname, unsigned flags) CL_MUST_USE;

/* Counts an open handle (for unlinked inodes) and checks the label; write: the handle will write. truncate: to size 0. */
int fs_open_file(struct fs *fs, uint64_t ino, bool write, bool truncate) CL_MUST_USE;
void fs_close_file(struct fs *fs, uint64_t ino);

/*
 * Bytes read or written, or negative errno. A read gives fewer bytes at the end of the file only, and nothing but the error when a
 * page cannot be read: the kernel would take what is missing for zeros. buf best page-aligned. A write is
 * visible at once, durable after fs_fsync. FS_WRITE_APPEND: off is ignored, the end of the file is taken. FS_WRITE_CACHED: the
 * kernel writes its cache back and keeps the times itself; it does not look how much was written, so that is all or an error.
 */
enum { FS_WRITE_APPEND = 1, FS_WRITE_CACHED = 2 };
ssize_t fs_read(struct fs *fs, uint64_t ino, void *buf, size_t n, uint64_t off) CL_MUST_USE;
ssize_t fs_write(struct fs *fs, uint64_t ino, const void *buf, size_t n, uint64_t off, unsigned flags) CL_MUST_USE;
/* Durable on return: this inode with its contents, and every change of names before the call. */
int fs_fsync(struct fs *fs, uint64_t ino, bool datasync) CL_MUST_USE;
/* Everything, of all open files. */
int fs_sync(struct fs *fs) CL_MUST_USE;
/* mode of fallocate(2): 0, KEEP_SIZE, PUNCH_HOLE|KEEP_SIZE, ZERO_RANGE, ZERO_RANGE|KEEP_SIZE; others -EOPNOTSUPP. */
int fs_fallocate(struct fs *fs, uint64_t ino, int mode, uint64_t off, uint64_t len) CL_MUST_USE;
/* whence SEEK_DATA or SEEK_HOLE; -ENXIO as lseek(2). */
int fs_seek(struct fs *fs, uint64_t ino, uint64_t off, int whence, uint64_t *ret) CL_MUST_USE;
/* Bytes copied; may be fewer than n. */
ssize_t fs_copy(struct fs *fs, uint64_t from, uint64_t from_off, uint64_t to, uint64_t to_off, size_t n) CL_MUST_USE;

/*
 * Entries of a directory from cookie off on (0 = start, "." and ".." included). fn returns true to go on; next is the
 * cookie behind this entry, valid for as long as the directory exists. With plus, attr is filled and one reference is
 * counted for each entry for which fn returned true ("." and ".." excepted); else attr has only ino and the type bits of mode. An
 * entry whose inode cannot be read is given without attributes (attr->nlink = 0). When a page of the directory is damaged the others' entries
 * are given and then -EBADMSG.
 */
typedef bool fs_readdir_fn(void *arg, const char *name, const struct fs_attr *attr, uint64_t next);
int fs_readdir(struct fs *fs, uint64_t dir, uint64_t off, bool plus, fs_readdir_fn *fn, void *arg) CL_MUST_USE;

/* flags of setxattr(2). get and list: size 0 asks for the length; -ERANGE when buf is too small; result in *ret_len. */
int fs_setxattr(struct fs *fs, uint64_t ino, const char *name, const void *value, size_t size, int flags) CL_MUST_USE;
int fs_getxattr(struct fs *fs, uint64_t ino, const char *name, void *buf, size_t size, size_t *ret_len) CL_MUST_USE;
int fs_listxattr(struct fs *fs, uint64_t ino, char *buf, size_t size, size_t *ret_len) CL_MUST_USE;
int fs_removexattr(struct fs *fs, uint64_t ino, const char *name) CL_MUST_USE;

struct fs_space {
	uint64_t blocks, bfree, bavail; /* of 4096 bytes */
	uint64_t files, ffree;
};
int fs_statfs(struct fs *fs, struct fs_space *ret) CL_MUST_USE;

/* True when inode is of a compartment that this session can only read. */
bool fs_is_below(const struct fs *fs, uint64_t ino);
/* Numbers for `cloison status`. */
struct fs_stats {
	uint64_t commits, checkpoints, cached_pages, pending_pages, healed_pages, damaged_pages, inodes;
};
void fs_get_stats(struct fs *fs, struct fs_stats *ret);

/*
 * fsck: verifies structure and every page of every compartment that is given with a key; without a key (key NULL) only what
 * needs none (journal chain, names and modes of lower files, sizes). Nothing is written unless replay or repair. report is called per
 * finding with a sentence; path is "" when it concerns no file. progress gets pages done and pages in all (may be NULL).
 * ret_errors counts findings that were not corrected, ret_fixed the others (journal replay counts as one). What harms nobody (leftovers
 * of a crash) is reported with fixed = false, and counted by neither.
 */
enum fs_repair {
	FS_REPAIR_NONE,
	FS_REPAIR_SAFE, /* what loses nothing and needs no decision */
	FS_REPAIR_ALL   /* everything: what cannot be read is given up, what is left of it kept in lost+found */
};
struct fs_check {
	bool follow;  /* without replay: scrubs a compartment that somebody writes, beside him; else such a one is -EBUSY */
	bool replay;  /* write: replay the journals (-n: false, they are read as overlays); implied by repair */
	enum fs_repair repair;
	/* With FS_REPAIR_NONE and replay, once for each compartment with errors that could be repaired; true: all of them are. May be NULL. */
	bool (*ask)(void *arg, const char *question);
	void (*report)(void *arg, const char *path, const char *text, bool fixed);
	void (*progress)(void *arg, uint64_t done, uint64_t all);
	void *arg;
	uint64_t ret_errors;
	uint64_t ret_fixed;
	unsigned ret_followed; /* compartments that were scrubbed: of these not everything was checked */
};
int fs_check(struct store *volume, const struct fs_compartment *c, size_t n, const struct fs_config *cfg,
	     struct fs_check *check, struct fault *f) CL_MUST_USE;

#endif
