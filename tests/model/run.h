/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Runs: a volume in a directory of its own, and a number of operations on it, in one of three ways. */
#ifndef CLOISON_TESTS_MODEL_RUN_H
#define CLOISON_TESTS_MODEL_RUN_H

#include "tests/model/cutstore.h"
#include "tests/model/drive.h"
#include "tests/model/tempdir.h"

struct volume {
	char path[TEMPDIR_MAX];
	struct store *dir, *store; /* the second wraps the first where a run is to be cut */
	struct secret *key;
	struct fs_compartment comp;
	struct fs_config cfg;
};

/* Volumes are in memory, not in a directory, from now on: no crashes then. */
void volume_in_memory(void);
/* New volume. Ends the test when that fails, as all here do. */
void volume_new(struct volume *v, bool no_threads);
/* The key again, in a child: secrets do not survive a fork. */
void volume_renew_key(struct volume *v);
struct fs *volume_open(struct volume *v);
void volume_close(struct fs *fs);
/* Removes it from the disk. */
void volume_free(struct volume *v);

/* One thread: n operations, with clean closings in between; threads: the engine's background thread runs. */
void run_plain(const struct profile *p, uint64_t seed, uint64_t n, bool threads, bool trace);
/* A child works and dies, its parent looks what is left: rounds times. */
void run_crash(const struct profile *p, uint64_t seed, unsigned rounds, bool trace);
/* Several threads of n operations each, on one volume. */
void run_threads(const struct profile *p, uint64_t seed, unsigned threads, uint64_t n);
/* Several threads that do anything to the same tree; see chaos.c. */
void run_chaos(const struct profile *p, uint64_t seed, unsigned threads, uint64_t n);

#endif
