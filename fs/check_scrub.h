/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Inside of the scrub (fsck of a compartment that is mounted): what check_scrub*.c share.
 *
 * Every page is verified under a ref that was current when it was read (fs/follow.h); what was read before and after it
 * may be of other commits. So it tells of damaged pages and malformed records, which are so whatever comes later, and
 * of nothing that compares one structure with another. Memory: FOUND_MAX findings, which wait until their paths are
 * looked up together.
 */
#ifndef CLOISON_FS_CHECK_SCRUB_H
#define CLOISON_FS_CHECK_SCRUB_H

#include "fs/check.h"
#include "fs/follow.h"

#define CHECK_SCRUB_FOUND_MAX 512u

struct check_found {
	uint64_t ino;
	bool unlinked;
	char *text;
	uint64_t dir; /* a directory that has it, under name; 0: none was found */
	char *name;
};

struct check_scrub {
	struct check_comp *cc;
	struct follow *w;
	uint64_t ino; /* at hand, and whether it has no name */
	bool unlinked;
	uint64_t restless;                               /* pages that were given up: they changed each time */
	struct check_found found[CHECK_SCRUB_FOUND_MAX]; /* by ino */
	size_t n_found;
	bool no_memory;
};

/* Every page of a tree. */
struct check_scrub_walk {
	struct check_scrub *s;
	struct follow_tree *t;
	/* Each stored leaf; anything but 0 ends the walk and is its result. */
	int (*page)(void *arg, uint64_t leaf, const uint8_t *plain);
	/* As that of struct check_walk. NULL: nothing is told, nor counted. */
	void (*bad)(void *arg, uint64_t first, uint64_t last, bool index, int err);
	void *arg;
	const char *name; /* of an object with two copies */
	uint64_t stored;  /* result: leaves that are not holes */
	bool unsure;      /* result: there may be more, or fewer */

	/* private to check_scrub_walk.c */
	struct check_buffers *buf;
	struct {
		uint64_t first, last;
		bool index, any;
		int err;
	} pending;
	struct {
		uint64_t first, last;
		bool any;
		int err;
	} copies[2];
};
/* 0; what page returned; -ENOMEM; -ESTALE (follow_catch_up). The tree may be gone afterwards. */
int check_scrub_walk(struct check_scrub_walk *w) CL_MUST_USE;

/* Looks up the paths of what was found, and tells it. -ENOMEM, -ESTALE. */
int check_scrub_tell(struct check_scrub *s) CL_MUST_USE;

#endif
