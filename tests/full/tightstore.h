/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A store with little room, around another one: it counts the pages that lower files have allocated, and has an end. Holes cost
 * nothing; what is punched, cut or unlinked comes back.
 */
#ifndef CLOISON_TESTS_FULL_TIGHTSTORE_H
#define CLOISON_TESTS_FULL_TIGHTSTORE_H

#include "fs/store.h"

#include <pthread.h>

struct tightfile; /* a lower file with its allocated pages */

struct tight {
	int64_t free;        /* pages; what the test gives or takes meanwhile it does with tight_give */
	int64_t inodes;      /* lower files that can still be made */
	bool cow;            /* overwriting needs a free page, too; but in the journal */
	bool late;           /* a write always succeeds, and the sync after it may not: then it is gone, and told once */
	bool quota;          /* the error is EDQUOT, and the figures of the filesystem show nothing of it */
	uint64_t refused;    /* how often there was no room */

	/* private */
	pthread_mutex_t lock;
	struct tightfile *files;
};

void tight_init(struct tight *t, int64_t pages);
/* Of the whole: after all stores are freed. */
void tight_done(struct tight *t);
void tight_give(struct tight *t, int64_t pages);
/* Somebody else takes all but that many. */
void tight_fill(struct tight *t, int64_t but);
int64_t tight_free(struct tight *t);
/* Pages allocated by all lower files. */
int64_t tight_used(struct tight *t);

/* inner is borrowed. */
struct store *tightstore_new(struct store *inner, struct tight *t);

#endif
