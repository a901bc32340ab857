/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A small volume in memory that every run of a target gets afresh: made once per process under keys of fixed bytes,
 * copied for each run.
 *
 * Rank 0, by inode number: 1 root directory, 2 dir, 3 dir/sub, 4 file (5000 bytes), 5 one (100 bytes), 6 big
 * (sparse, height 3), 7 symbolic link, 8 one whose target is an object, 9 dir/fifo, 10 acl (directory with a default
 * ACL), 11 x (attributes in an object), 12 names (a directory of several pages, links to 13), 13 many. Rank 1: 2
 * secret.
 */
#ifndef CLOISON_TESTS_FUZZ_DISK_H
#define CLOISON_TESTS_FUZZ_DISK_H

#include "fs/comp.h"
#include "fs/fs.h"

enum { DISK_INODES = 13, DISK_LABELS = 2 };

struct disk {
	struct store *store;
	struct secret *keys[DISK_LABELS];
	struct fs_compartment c[DISK_LABELS];
	struct fs_config cfg;
};

void disk_new(struct disk *d);
void disk_free(struct disk *d);
/* Opens rank for writing, as the engine itself would; there is no reason for it to fail. */
struct comp *disk_open(struct disk *d, unsigned rank);
/* The compartment's folder; freed by its own free. */
struct store *disk_folder(struct disk *d, unsigned rank);
/* Whole contents of a lower file (malloc'ed), or NULL when it is not there. */
uint8_t *disk_read(struct store *s, const char *name, size_t *ret_len);
/* Makes it that long, with these contents. */
void disk_write(struct store *s, const char *name, const void *p, size_t len);

#endif
