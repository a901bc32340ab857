/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The states that a tree passed through, and which of them may be found after a fault: names and attributes as they were
 * after one operation at or behind the last commit that was reported durable, and in each file the contents that it had
 * at or behind its last sync, up to that operation. Never a mixture.
 */
#ifndef CLOISON_TESTS_FAULT_PAST_H
#define CLOISON_TESTS_FAULT_PAST_H

#include "tests/model/ref.h"

struct past;

struct past *past_new(void);
void past_free(struct past *p);

/* Gives an object of the reference its number here, which it keeps in ref_inode.ino. */
void past_adopt(struct past *p, struct ref_inode *i);
/* The contents of i are new. May be called several times in one operation: each is a state. */
void past_contents(struct past *p, const struct ref_inode *i);
/* An operation has ended: the tree is now a state. */
void past_step(struct past *p, const struct ref *r);
/* All of it is durable; or, with i, the tree, and the contents of i alone. */
void past_synced(struct past *p, const struct ref_inode *i);

/* The engine's tree is the state of now. Complains on stderr: false. */
bool past_is_now(struct past *p, struct fs *fs);
/* The engine's tree is one of the states that may be found. */
bool past_is_possible(struct past *p, struct fs *fs);
/* Reads may fail with err: what can be read is the state of now. */
bool past_readable(struct past *p, struct fs *fs, int err);

/* Contents as the engine reads them into the reference's file: what is there now is what counts. Negative: could not be read. */
int past_read_back(struct fs *fs, uint64_t ino, struct ref *r, struct ref_inode *i) CL_MUST_USE;

#endif
