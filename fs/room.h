/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Room for what is committed: doc/DESIGN "A full disk" has the rules and their reasons.
 *
 * A page that goes through the journal gets its blocks on the lower filesystem only when it goes home. When there are none, it stays
 * in memory and in the journal, and the compartment is full: what takes space is refused, what gives space back works. For that the
 * journal must never run out: pages that cannot go home may be written once more, all of them, at its head, so that the tail can move.
 * So at most half of the journal is in use before a checkpoint, and pages dirty or on their way home fit in the other half.
 */
#ifndef CLOISON_FS_ROOM_H
#define CLOISON_FS_ROOM_H

#include "common/base.h"
#include "fs/comp.h"

/* What an operation does to space: who comes later in this list may go further. */
enum room_kind {
	ROOM_NEW,    /* makes something: refused at once while the compartment is full */
	ROOM_DATA,   /* writes contents: over what is stored, or at once to its place, a full compartment takes it */
	ROOM_CHANGE, /* changes what is there, or its name */
	ROOM_GIVE,   /* gives space back */
	ROOM_FREE    /* the end of what gave space back: never refused */
};

static inline bool room_is_error(int err)
{
	return err == -ENOSPC || err == -EDQUOT;
}

/* Pages of the journal that may be in use when a commit does not move pages forward. */
static inline uint32_t room_ring_max(const struct comp *c)
{
	return journal_size(c->journal) / 2;
}

/* Pages to be written home after which a checkpoint is due. */
static inline uint32_t room_pending_max(const struct comp *c)
{
	return CL_MIN(journal_size(c->journal) / 4, 8192u);
}

/*
 * Before an operation that may make that many pages dirty; no transaction is running. May commit and checkpoint. -ENOSPC, -EDQUOT: there
 * is no room for it; -EIO, ...: as the commit says.
 */
int room_for(struct comp *c, enum room_kind kind, uint32_t pages) CL_MUST_USE;
/* What a checkpoint found: 0 or its error, and how many pages could not be written home. Commit lock held. */
void room_note(struct comp *c, int err, size_t pages);
/* Gives back at once what has been deleted. 0: something was; -ENOSPC: there is nothing to give. No transaction is running. */
int room_get_back(struct comp *c) CL_MUST_USE;
/* True when it is time to try again what failed for want of room. */
bool room_may_have_come(struct comp *c);

#endif
