/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A store that ends the process at a chosen call: as kill -9 would, in the middle of a write. */
#ifndef CLOISON_TESTS_MODEL_CUTSTORE_H
#define CLOISON_TESTS_MODEL_CUTSTORE_H

#include "tests/model/wrapstore.h"

#include <stdatomic.h>

#define CUT_EXIT 77 /* status of the process that was ended */

struct cut {
	atomic_long left;       /* calls that change something, until the end; negative: never */
	atomic_long done;
	atomic_bool journal;    /* the journal was written to since somebody cleared this */
	struct wrap wrap;       /* set by cutstore_new */
};

/* Wraps inner, which stays the caller's; c is shared with whoever wants to look. Freed by its own free. */
struct store *cutstore_new(struct store *inner, struct cut *c);

#endif
