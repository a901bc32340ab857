/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the tests of repair share: a small volume with some of everything, ways to damage it, what is in it by path. */
#ifndef CLOISON_TESTS_FSCK_FSCK_H
#define CLOISON_TESTS_FSCK_FSCK_H

#include "tests/unit/check_fixture.h"

/* A new volume, filled the same way each time: numbers of inodes, objects and transactions do not vary, keys do. */
struct volume *fsck_volume(void);
/* The same volume in a copy of its directory; freed by fsck_copy_free. */
struct volume *fsck_copy(const struct volume *v);
void fsck_copy_free(struct volume *v);

/* One line of a recipe: see tests/fsck/README. */
void fsck_damage(struct volume *v, const char *line);

/* A file as its path leads to it. */
struct fsck_file {
	char path[400];
	uint64_t ino;
	uint32_t mode, uid, gid;
	uint64_t size;
	uint8_t *data; /* contents, target or names; NULL: none */
	size_t n_data;
	uint64_t xattrs; /* hash of names and values */
};
#define FSCK_UNREADABLE 0xee /* bytes of a page that cannot be read */
struct fsck_tree {
	struct fsck_file *files;
	size_t n;
};
/* Everything that can be reached and read, written to nowhere. */
void fsck_tree_read(struct volume *v, struct fsck_tree *ret);
void fsck_tree_free(struct fsck_tree *t);
const struct fsck_file *fsck_tree_find(const struct fsck_tree *t, const char *path);
bool fsck_file_same(const struct fsck_file *a, const struct fsck_file *b);
/* Hash over names, types, modes and bytes of a whole backing directory. */
uint64_t fsck_dir_hash(const char *dir);

#endif
