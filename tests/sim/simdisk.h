/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A simulated disk under the store: a tree of files in memory and a log of every operation that changed it. At any place of
 * the log the power can fail: what had been synced by then is there; of the rest each operation is kept, dropped, reordered
 * or torn at 512 bytes, as a seeded choice says.
 *
 * fsync is modelled as honestly as POSIX demands and no more: a synced file has its bytes and its size, but its name only
 * when the folder was synced after the name was made; syncing a folder makes names durable, no contents. O_DIRECT is not
 * durable. Operations on names of one folder and on one file may become durable in any order.
 *
 * One thread at a time.
 */
#ifndef CLOISON_TESTS_SIM_SIMDISK_H
#define CLOISON_TESTS_SIM_SIMDISK_H

#include "fs/store.h"

struct simdisk;

enum sim_cut {
	SIM_NONE,    /* nothing that was not synced */
	SIM_ALL,     /* everything */
	SIM_PREFIX,  /* everything up to some moment */
	SIM_SOME,    /* each operation by chance */
	SIM_TORN,    /* each sector of a write, each other operation, by chance */
	SIM_SHUFFLE, /* the same, and what one file or folder gets in any order */
	SIM_FILES,   /* each file's and folder's operations: all or none */
	SIM_NAMES,   /* names, but no contents */
	SIM_DATA,    /* contents, but no names */
	SIM_GARBAGE, /* as TORN, and a sector that was being written may hold anything */
	SIM_CUTS,
};

/* An empty disk, recording nothing. Ends the test when memory is out, as all here do. */
struct simdisk *simdisk_new(void);
void simdisk_free(struct simdisk *d);
/* The log begins anew here; everything that is there counts as durable. */
void simdisk_record(struct simdisk *d);
/* The same contents, recording nothing. */
struct simdisk *simdisk_clone(const struct simdisk *d);

/* Operations in the log. */
size_t simdisk_log(const struct simdisk *d);
/* Marks what is logged from now on with a number, and gives that of operation n. */
void simdisk_mark(struct simdisk *d, uint64_t mark);
uint64_t simdisk_mark_of(const struct simdisk *d, size_t n);
/* What operation n is, for a complaint. */
void simdisk_describe(const struct simdisk *d, size_t n, char out[static 120]);
/* Operation n writes to this lower file (last part of its name). */
bool simdisk_writes(const struct simdisk *d, size_t n, const char *name);

/* What is found after the power failed before operation n of the log: a new disk, recording. rng: state of the chance. */
struct simdisk *simdisk_cut(const struct simdisk *d, size_t n, enum sim_cut how, uint64_t *rng);
/* What another process finds when this one ended before operation n, with the log so far: nothing more has become durable. */
struct simdisk *simdisk_kill(const struct simdisk *d, size_t n);

/* From now on nothing new finds room, as on a full disk: what overwrites stored pages does. */
void simdisk_full(struct simdisk *d, bool full);

/* A store over it; several may be open. Freed by its own free, before the disk. */
struct store *simdisk_store(struct simdisk *d);

/* The chance of all simulations: splitmix64 (S. Vigna, public domain). */
uint64_t sim_rand(uint64_t *rng);
static inline uint64_t sim_below(uint64_t *rng, uint64_t n)
{
	return n ? sim_rand(rng) % n : 0;
}

#endif
