/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The inside of a running script: what runs it, and what does a step. */
#ifndef CLOISON_TESTS_FAULT_STEPS_H
#define CLOISON_TESTS_FAULT_STEPS_H

#include "tests/fault/past.h"
#include "tests/fault/script.h"

#define RUN_OPEN_MAX 4u

struct run {
	const struct script *script;
	struct trouble *trouble;
	bool trace, bad;
	struct secret *key;
	struct fs_compartment comp;
	struct fs_config cfg;
	struct fs *fs;
	struct ref *ref;
	struct past *past;
	/* The operation that runs. */
	enum step_op op;
	const char *about;
	size_t n_ops;
	int expected;              /* error that it must bring because an earlier one failed; 0 = none */
	bool was_failed;           /* before it the volume was read-only already */
	unsigned long hits_before;
	bool synced;               /* the last sync there was worked */
	int read_only_lines;       /* log lines that say so */
	char finding[256];
	struct {
		struct ref_inode *i;
		uint64_t ino;
	} open[RUN_OPEN_MAX];
};

/* One operation that is to be done and checked: a step may be several. */
void run_op(struct run *r, const struct step *s);
bool run_failed(const struct run *r);
int run_check(struct run *r);

const char *step_name(enum step_op op);
/* True when a volume that is read-only must refuse it. */
bool step_changes(enum step_op op);
bool step_is_sync(enum step_op op);
/* A whole step, as run_op for each operation of it. */
void step_run(struct run *r, const struct step *s);
/* One operation, in the engine; if that works, in the reference. */
int step_do(struct run *r, const struct step *s);
/* It was a sync, and it worked. */
void step_synced(struct run *r, const struct step *s);

#endif
