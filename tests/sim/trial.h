/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Trials: a script of operations on a volume on the simulated disk, and what is found after the power failed in the middle.
 * A trial ends with false when a promise is broken; trial_why says in one line which and how to repeat it.
 */
#ifndef CLOISON_TESTS_SIM_TRIAL_H
#define CLOISON_TESTS_SIM_TRIAL_H

#include "tests/model/drive.h"
#include "tests/sim/history.h"
#include "tests/sim/simdisk.h"

enum { TRIAL_RINGS = 4 };

/* A volume on a disk, and what was done to it. */
struct trial {
	struct simdisk *disk;
	struct store *store;
	struct history *history;
	struct drive drive;
	uint64_t seed;
	unsigned ring;       /* number of the journal's size */
	const char *script;  /* name of a fixed one; NULL: random */
	struct secret *key;
	struct fs_compartment comp;
	struct fs_config cfg;
};

/* Makes the volumes that trials begin with. */
void trial_init(void);
void trial_done(void);
extern const uint32_t trial_rings[TRIAL_RINGS]; /* journal pages */
extern const char *const trial_cut_names[SIM_CUTS];

/* Opens a fresh volume for t. steps then go through t->drive; end closes it: the log is complete then. */
void trial_begin(struct trial *t, uint64_t seed, unsigned ring, const struct profile *p, const char *script);
/* One operation of the driver, with its place in the log and in the history. */
void trial_step(struct trial *t, void (*step)(struct trial *t, void *arg), void *arg);
void trial_random(struct trial *t);
void trial_end(struct trial *t);
void trial_free(struct trial *t);

/* One power cut before operation n of the log, with all that follows from it: recovery, perhaps cut again, perhaps more work. */
bool trial_cut(struct trial *t, size_t n, enum sim_cut how, uint64_t choice);
/* Recovery after a cut is cut before each of its own operations. */
bool trial_cut_recovery(struct trial *t, size_t n, enum sim_cut how, uint64_t choice);
/* The daemon is killed before operation n, another recovers, and in the middle of that the power fails. */
bool trial_kill(struct trial *t, size_t n, uint64_t choice);
/* What was wrong with the last one, and how to repeat it. */
const char *trial_why(void);
/* Trials done so far: cuts that were looked at. */
uint64_t trial_count(void);

#endif
