/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The driver: draws operations, does them in the reference and, through fs/fs.h, in the engine, and compares. All
 * choices come from the seed and the reference alone: with fs NULL the same operations run in the reference only, which
 * is how a process learns what another one did before it died.
 */
#ifndef CLOISON_TESTS_MODEL_DRIVE_H
#define CLOISON_TESTS_MODEL_DRIVE_H

#include "tests/model/ref.h"

#include <setjmp.h>

/* What a run is about. */
struct profile {
	const char *name;
	unsigned names;     /* pool of names of a directory */
	unsigned depth;     /* of 100: choose a young directory */
	unsigned big;       /* of 100: writes of more than some pages */
	unsigned sparse;    /* of 100: offsets far away */
	uint64_t far;       /* greatest such offset */
	size_t max_inodes, max_pages;
	size_t max_bytes;   /* of one write, copy or punch; 0 = as drawn */
	unsigned make, remove, rename, attr, xattr, data, cut, list, sync;
};

struct drive {
	struct fs *fs;     /* NULL: in the reference only */
	struct ref *ref;
	const struct profile *p;
	uint64_t seed, rng;
	const char *prefix; /* of our names in shared directories */
	bool alone;         /* nobody else uses the volume */
	bool adopting;      /* inode numbers are learnt, not compared */
	bool trace;
	char what[256];     /* the running operation, for a complaint */
	uint8_t *buf, *out; /* DRIVE_BUF bytes each */
	uint32_t *generations; /* last one seen of each inode number */
	size_t n_generations;
	struct timespec before;
	uint64_t commits_seen;
	void (*synced)(void *arg); /* everything up to now is durable */
	void (*fsynced)(void *arg, const struct ref_inode *i); /* names are, and the contents of i */
	void *synced_arg;
};

#define DRIVE_BUF ((size_t)4 << 20)

void drive_init(struct drive *d, const struct profile *p, uint64_t seed);
void drive_done(struct drive *d);

/* One operation, compared. */
void drive_step(struct drive *d);
/* The end of an operation: all that it changed, or must not have changed, is compared. */
void drive_touched(struct drive *d);
/* The whole tree below the reference's root, compared. */
void drive_verify(struct drive *d);
/* After a crash: what has not changed since that operation must be there. The rest is not compared, but all is read. */
void drive_verify_since(struct drive *d, uint64_t since);

/* Families of operations (drive_name.c, drive_data.c, drive_attr.c). */
void drive_name(struct drive *d, unsigned kind);
void drive_data(struct drive *d, unsigned kind);
void drive_attr(struct drive *d, unsigned kind);
void drive_list(struct drive *d);

/* Chance. */
uint64_t drive_rand(struct drive *d);
uint64_t drive_below(struct drive *d, uint64_t n); /* 0 .. n - 1; 0 for n = 0 */
bool drive_chance(struct drive *d, unsigned of_100);
struct ref_inode *drive_pick(struct drive *d, unsigned set);
struct ref_inode *drive_dir(struct drive *d);
/* A name for dir: an existing one with that chance. name: 400 bytes. */
void drive_pick_name(struct drive *d, const struct ref_inode *dir, unsigned existing, char *name);

/* Comparing. */
void drive_fail(struct drive *d, const char *fmt, ...) CL_PRINTF(2, 3) __attribute__((noreturn));
void drive_say(struct drive *d, const char *fmt, ...) CL_PRINTF(2, 3);
void drive_expect(struct drive *d, int64_t got, int64_t want);
/* attr is what the engine says of i; what: times that this operation has set. */
void drive_compare(struct drive *d, struct ref_inode *i, const struct fs_attr *a, unsigned what);
/* The inode of an object just made: number and generation. */
void drive_adopt(struct drive *d, struct ref_inode *i, const struct fs_attr *a);
void drive_contents(struct drive *d, struct ref_inode *i);
void drive_xattrs(struct drive *d, struct ref_inode *i);
void drive_forget(struct drive *d, struct ref_inode *i, uint64_t n);

#endif
