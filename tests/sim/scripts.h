/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Fixed scripts: short ones, of which every cut is looked at. */
#ifndef CLOISON_TESTS_SIM_SCRIPTS_H
#define CLOISON_TESTS_SIM_SCRIPTS_H

#include "tests/sim/trial.h"

struct script {
	const char *name;
	unsigned ring; /* number in trial_rings */
	const char *text;
};

extern const struct script scripts[];
extern const size_t n_scripts;

/* Does the script from an opened volume to its closing. */
void script_run(struct trial *t, const struct script *s);
/* A random one, the same for the same seed. trace: tells its operations. */
void script_random(struct trial *t, uint64_t seed, bool trace);

#endif
