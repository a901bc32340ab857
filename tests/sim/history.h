/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What a tree went through: after each operation the reference's names, attributes and contents as checksums, and what of it
 * was made durable when. A volume that was reopened after a power cut must be one of these states: names and attributes
 * as they were after some operation, not before the last sync; each file's contents as they were then or earlier, but
 * not before that file's own last sync.
 */
#ifndef CLOISON_TESTS_SIM_HISTORY_H
#define CLOISON_TESTS_SIM_HISTORY_H

#include "tests/model/ref.h"

struct history;

struct history *history_new(void);
void history_free(struct history *h);

/* The state after operation ref->op. Call it for the state at the beginning, too. */
void history_note(struct history *h, const struct ref *ref);
/* All of it is durable (i NULL), or names and attributes and the contents of i, from place log of the disk's log on. */
void history_synced(struct history *h, size_t log, const struct ref_inode *i);

/*
 * Compares fs, opened on what was left after a cut before place log, while operation last was running or done. NULL: it is
 * a state of the history; else what is wrong (static).
 */
const char *history_check(struct history *h, struct fs *fs, size_t log, uint64_t last);

#endif
