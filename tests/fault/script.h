/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Short fixed scripts of operations, done in the engine and in a reference, with something that makes calls below the
 * engine fail. Whoever lets them fail says so through struct trouble; the runner checks what an operation that met it
 * may return, that it changed nothing or all, and what is left at the end.
 */
#ifndef CLOISON_TESTS_FAULT_SCRIPT_H
#define CLOISON_TESTS_FAULT_SCRIPT_H

#include "fs/fs.h"

#include <stdio.h>

enum step_op {
	STEP_END, STEP_MAKE, STEP_MKDIR, STEP_SYMLINK, STEP_MANY, STEP_WRITE, STEP_APPEND, STEP_TRUNCATE, STEP_PUNCH, STEP_ALLOCATE,
	STEP_RENAME, STEP_EXCHANGE, STEP_LINK, STEP_UNLINK, STEP_RMDIR, STEP_UNLINK_MANY, STEP_SETXATTR, STEP_REMOVEXATTR, STEP_CHMOD,
	STEP_OPEN, STEP_CLOSE, STEP_TMPFILE, STEP_COPY, STEP_FSYNC, STEP_SYNC, STEP_CHECKPOINT, STEP_TICK, STEP_READ, STEP_REOPEN, STEP_CRASH, STEP_CHECK, STEP_CLOSE_VOLUME,
	STEP_OPS
};

struct step {
	enum step_op op;
	const char *a, *b; /* paths; name of an attribute; "%u" in them for what is made many times */
	uint64_t off, len;
};

struct script {
	const char *name;
	uint32_t journal_pages; /* from 512 on a large write goes to its place at once; a small ring is soon full */
	const struct step *steps;
};

extern const struct script scripts[];
extern const size_t n_scripts;

/* Who makes calls fail. All of it belongs to the test. */
struct trouble {
	struct store *store;      /* where the volume is made */
	bool in_format;           /* making and opening the volume is part of the script */
	bool lasting;             /* what fails goes on failing */
	int err;                  /* positive errno with which it fails */
	bool (*allowed)(const struct trouble *t, int err); /* negative errno of an operation that met it; NULL: only err */
	unsigned long (*hits)(const struct trouble *t);
	bool (*grave)(const struct trouble *t); /* a sync that met it cannot succeed; may be NULL */
	bool (*harmless)(const struct trouble *t); /* fsck that met it may still find all clean: a lock given back; may be NULL */
	void (*pause)(struct trouble *t, bool on); /* while on nothing fails */
	void *arg;
};

/* False: something was wrong, and said on stderr. trace: every operation with its result on stdout. */
bool script_run(const struct script *s, struct trouble *t, bool trace);

/* Makes a volume as the script does, and lets only fsck meet the trouble. */
bool script_check(const struct script *s, struct trouble *t, bool trace);

#endif
