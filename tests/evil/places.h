/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What each page of each lower file is good for, and what its loss costs: as doc/FORMAT has it, not as a reading showed. */
#ifndef CLOISON_TESTS_EVIL_PLACES_H
#define CLOISON_TESTS_EVIL_PLACES_H

#include "tests/evil/scene.h"

enum place_kind {
	PLACE_UNUSED, /* nothing refers to it: holes, what was there before */
	PLACE_OLDER,  /* the journal has a newer version of it */
	PLACE_LEASE,  /* text for people */
	PLACE_ROOT,   /* a root page; there are two */
	PLACE_HEADER, /* of the journal; there are two */
	PLACE_RECORD, /* of the journal, one that is not the last */
	PLACE_LAST,   /* of the journal, its last record */
	PLACE_RING,   /* of the journal, no record that counts */
	PLACE_TWICE,  /* of the inode table or a bitmap: there are two */
	PLACE_ONCE,   /* of a file, a directory, attributes */
	PLACE_ORPHAN, /* of an inode that has no name */
	PLACE_KINDS,
};
extern const char *const place_names[PLACE_KINDS];

struct place {
	enum place_kind kind;
	int entry;               /* of the scene, whose page it is; -1 */
	struct scene_loss *loss; /* for each entry; NULL: none */
};

/* Of one file of the image. */
struct places {
	const struct image_file *file;
	struct place *pages;
	size_t n;
};

/* Of all files, in the image's order. */
struct places *places_find(const struct scene *s, struct image *im, const struct scene_state *state);
void places_free(struct places *p, const struct image *im);

#endif
