/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The reference: a POSIX tree in plain memory, against which the engine is compared. Simple before all: sorted arrays,
 * no cleverness. Results are 0 or negative errno, as fs/fs.h has them; contents are never shared.
 *
 * What an operation changes or looks at is put on the list `touched`; the driver then compares exactly that.
 */
#ifndef CLOISON_TESTS_MODEL_REF_H
#define CLOISON_TESTS_MODEL_REF_H

#include "fs/fs.h"

enum { REF_LOOK = 0, REF_ATIME = 1, REF_MTIME = 2, REF_CTIME = 4, REF_BTIME = 8 };
enum { REF_ALL, REF_DIRS, REF_FILES, REF_SETS };
#define REF_TOUCHED 8u

struct ref_page {
	uint64_t no;
	uint8_t *data;
};

struct ref_xattr {
	char *name;
	uint8_t *value;
	size_t len;
	struct ref_xattr *next;
};

struct ref_inode;

struct ref_dirent {
	char *name;
	struct ref_inode *to;
	uint64_t made; /* operation that made it */
	size_t at;     /* in the directory's array */
	struct ref_dirent *next;
};

struct ref_inode {
	uint64_t ino; /* the engine's number; 0 = not known yet */
	uint32_t generation; /* 0 = not known yet */
	uint32_t mode, nlink, uid, gid;
	uint64_t size;
	struct timespec atime, mtime, ctime, btime;
	unsigned unknown;  /* REF_*TIME that the engine has set and we have not seen */
	uint64_t changed;  /* last operation that changed more than the access time */
	uint64_t lookups;
	unsigned opens;
	char *target;
	struct ref_page *pages; /* stored ones, ascending */
	size_t n_pages, cap_pages;
	struct ref_xattr *xattrs;
	size_t xattr_bytes;
	struct ref_inode *parent;
	struct ref_dirent **entries, **hash;
	size_t n_entries, cap_entries, n_hash;
	bool shared; /* others change it as well: only our names in it are ours */
	bool dead;
	size_t at[REF_SETS];
};

struct ref_set {
	struct ref_inode **v;
	size_t n, cap;
};

struct ref {
	struct ref_inode *root;
	struct ref_set sets[REF_SETS];
	uint64_t op;      /* number of the running operation */
	size_t n_pages;   /* stored, of all files */
	bool blind;       /* there is no engine beside it: times are not known */
	struct {
		struct ref_inode *i;
		unsigned what;
	} touched[REF_TOUCHED];
	unsigned n_touched;
	struct ref_inode *buried; /* freed at the end of the operation; linked by parent */
};

struct ref *ref_new(uint32_t root_mode);
void ref_free(struct ref *r);

/* Something for the driver to compare; what: REF_*TIME that become now. */
void ref_touch(struct ref *r, struct ref_inode *i, unsigned what);
/* An inode without names and users is gone. */
void ref_reap(struct ref *r, struct ref_inode *i);
/* Frees what was reaped; pointers to it end here. */
void ref_bury(struct ref *r);
/* The session ends: nothing is open or known any more. */
void ref_end_session(struct ref *r);

int ref_check_name(const char *name);
struct ref_dirent *ref_find(const struct ref_inode *dir, const char *name);
/* A directory outside the tree that others use as well. */
struct ref_inode *ref_share(struct ref *r, const struct fs_attr *a);

int ref_lookup(struct ref *r, struct ref_inode *dir, const char *name, struct ref_inode **ret);
int ref_make(struct ref *r, struct ref_inode *dir, const char *name, uint32_t mode, const char *target,
	     const struct fs_cred *cred, struct ref_inode **ret);
int ref_tmpfile(struct ref *r, struct ref_inode *dir, uint32_t mode, const struct fs_cred *cred,
		struct ref_inode **ret);
int ref_link(struct ref *r, struct ref_inode *i, struct ref_inode *dir, const char *name);
int ref_remove(struct ref *r, struct ref_inode *dir, const char *name, bool want_dir);
int ref_rename(struct ref *r, struct ref_inode *from, const char *name, struct ref_inode *to, const char *newname,
	       unsigned flags);

int ref_setattr(struct ref *r, struct ref_inode *i, unsigned set, const struct fs_attr *a);
int ref_setxattr(struct ref *r, struct ref_inode *i, const char *name, const void *value, size_t size, int flags);
int ref_removexattr(struct ref *r, struct ref_inode *i, const char *name);
struct ref_xattr *ref_xattr_find(struct ref_inode *i, const char *name);

/* Stored page or NULL; index of the first page >= no. */
const uint8_t *ref_page(const struct ref_inode *i, uint64_t no);
size_t ref_page_index(const struct ref_inode *i, uint64_t no);
ssize_t ref_read(struct ref *r, struct ref_inode *i, void *buf, size_t n, uint64_t off);
ssize_t ref_write(struct ref *r, struct ref_inode *i, const void *buf, size_t n, uint64_t off, bool append);
int ref_truncate(struct ref *r, struct ref_inode *i, uint64_t size);
int ref_fallocate(struct ref *r, struct ref_inode *i, int mode, uint64_t off, uint64_t len);
int ref_seek(const struct ref_inode *i, uint64_t off, int whence, uint64_t *ret);
ssize_t ref_copy(struct ref *r, struct ref_inode *from, uint64_t from_off, struct ref_inode *to, uint64_t to_off,
		 size_t n);
/* Access time by the rules of relatime. */
void ref_accessed(struct ref *r, struct ref_inode *i);

void *ref_alloc(size_t n);   /* zeroed; ends the test when memory is out */
void *ref_grow(void *v, size_t n, size_t *cap, size_t each);

#endif
