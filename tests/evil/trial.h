/* SPDX-License-Identifier: GPL-3.0-or-later */
/* One variant of the volume: opened, read, checked. */
#ifndef CLOISON_TESTS_EVIL_TRIAL_H
#define CLOISON_TESTS_EVIL_TRIAL_H

#include "common/fault.h"
#include "tests/evil/scene.h"

enum trial_how {
	TRIAL_LOOK,  /* both labels, read-only: nothing is replayed on disk */
	TRIAL_PEEK,  /* the lower label, read-only */
	TRIAL_LOWER, /* the lower label, for writing */
	TRIAL_UPPER, /* the upper label for writing, the lower one is replayed and read */
};

/* 0 or a negative errno. The session is closed by trial_close. */
struct trial {
	struct store *store;
	struct fs *fs;
	struct fault why;
};
int trial_open(struct trial *t, const struct scene *s, struct image *im, enum trial_how how);
/* Closes what is open; the error of fs_close. */
int trial_close(struct trial *t);

/* What fs_check says, without replay. */
struct trial_check {
	int err;
	uint64_t errors;
	size_t n; /* findings with a path */
	char paths[64][320];
	char text[16][600]; /* the first findings, for complaints */
	size_t n_text;
};
void trial_fsck(const struct scene *s, struct image *im, struct trial_check *ret);
/* True iff a finding is about this entry, or one of its other names. */
bool trial_names(const struct trial_check *c, const struct scene_state *state, size_t entry);

/* Chance: the same for the same seed. */
uint64_t trial_rand(uint64_t *state);

/* A complaint: counted, printed (the first twenty). */
void trial_fail(const char *fmt, ...) CL_PRINTF(1, 2);
extern unsigned long trial_failures;

/* How the tests run. */
struct trial_options {
	uint64_t seed;
	unsigned step;  /* of flips: every so many bytes */
	unsigned whole; /* of these, after every so many everything is read, not only what is hit */
	unsigned check; /* and checked by fs_check */
	unsigned write; /* and opened for writing as well */
	unsigned share; /* of pairs and the like, in hundredths */
	bool all;       /* bytes that nobody looks at, too */
	bool few;       /* of what is done to single files, too, only a few */
};

/* The tests. What is wrong is a complaint. */
void flip_all(const struct trial_options *o); /* in two processes, each with half of the pages */
void swap_all(const struct scene *s, const struct trial_options *o);

#endif
