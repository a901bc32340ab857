/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Edits of the plaintext of a small volume, sealed again so that all of it authenticates: what a faulty or hostile
 * writer with the keys could leave behind.
 */
#ifndef CLOISON_TESTS_FUZZ_PLANT_H
#define CLOISON_TESTS_FUZZ_PLANT_H

#include "tests/fuzz/disk.h"
#include "tests/fuzz/fuzz.h"

/* Eight bytes in front of an edit's data: kind, inode, page, length, offset[2], value[2]. */
enum plant_kind {
	PLANT_INODE,   /* bytes of the inode's record */
	PLANT_PAGE,    /* of page (leaf) of its contents */
	PLANT_XATTR,   /* of page of the object that has its attribute list */
	PLANT_INDEX,   /* of the index page above leaf page * 128; value: its level */
	PLANT_COPY,    /* in that index page: ref number offset becomes the one with number value */
	PLANT_TREE,    /* the inode's record gets the contents of inode value */
	PLANT_IBITMAP, /* of the inode bitmap */
	PLANT_ORPHANS, /* of the orphan bitmap */
	PLANT_ROOT,    /* of the root page */
	PLANT_LOWER,   /* not sealed: of lower file number inode, page, as they stand on the disk */
	PLANT_KINDS
};
enum { PLANT_MAX = 24, PLANT_UPPER = 0x80 /* in the kind: of the upper label's compartment */ };

struct plant {
	uint8_t kind, inode, page, len;
	uint16_t off, value;
	const uint8_t *data;
};

/* Reads n[1] edits off the input. */
unsigned plant_read(struct fuzz_in *in, struct plant p[static PLANT_MAX]);
/* Makes them. crash: the compartments stay as if the writer had been killed after its commit. */
void plant_all(struct disk *d, const struct plant *p, unsigned n, bool crash);
/* For seeds. */
void plant_put(struct fuzz_out *o, const struct plant *p);

#endif
