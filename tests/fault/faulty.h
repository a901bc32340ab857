/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A store of which one chosen call fails, or all from it on. */
#ifndef CLOISON_TESTS_FAULT_FAULTY_H
#define CLOISON_TESTS_FAULT_FAULTY_H

#include "tests/model/wrapstore.h"

/* What of a write that fails arrives: nothing, the first half of its sectors, or all of it. */
enum faulty_part { FAULTY_NONE, FAULTY_HALF, FAULTY_ALL };

struct faulty {
	struct wrap wrap;
	unsigned long fail_at;   /* number of the call that fails, from 1 on; 0 = none */
	int err;                 /* positive errno */
	bool from_then_on;       /* calls of the same kind that follow fail as well */
	enum faulty_part part;
	bool paused;             /* calls pass, and are not counted */
	unsigned long calls;     /* that were counted */
	unsigned long hits;      /* that failed */
	enum wrap_kind kind;     /* of the first that failed */
	char name[STORE_NAME_MAX]; /* and what it was about */
	enum wrap_kind last;     /* the call before, and how many of its kind came in a row */
	unsigned long in_row;
	void (*seen)(void *arg, unsigned long call, const struct wrap_call *c); /* every counted call; may be NULL */
	void *seen_arg;
};

/* Wraps inner, which stays the caller's. f is looked at on every call, and may be changed between them. */
struct store *faulty_new(struct store *inner, struct faulty *f);

#endif
