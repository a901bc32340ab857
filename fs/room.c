/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Room: admission of operations, and the state "full". */
#include "fs/room.h"

#include "common/log.h"
#include "fs/txn.h"

#include <string.h>
#include <time.h>

#define WAIT_NS 1000000l
#define WAIT_TRIES 50u
#define RETRY_MS 1000 /* quotas, and inodes of the lower filesystem, show in no figure that we could watch */

/* Pages dirty, or committed and not home, that an operation of this kind may find; in 32nds of the journal. */
static const uint32_t limits[] = {
	[ROOM_NEW] = 12, [ROOM_DATA] = 12, [ROOM_CHANGE] = 13, [ROOM_GIVE] = 14, [ROOM_FREE] = 32,
};
/* Below this, all that can be under way at once fits as well. */
#define CALM 6u

static uint64_t load_of(struct comp *c)
{
	return atomic_load(&c->dirty_pages) + pagemap_n_running(c->io.map) + pagemap_n_pending(c->io.map);
}

static bool fits(struct comp *c, enum room_kind kind, uint32_t pages)
{
	uint64_t ring = journal_size(c->journal), load = load_of(c);

	return load <= ring * CALM / 32 || load + atomic_load(&c->in_flight) + pages <= ring * limits[kind] / 32;
}

static uint64_t bavail_of(struct comp *c)
{
	struct store_space s;

	/* Who cannot say what is free is asked again when the time comes. */
	return c->store->ops->space(c->store, &s) ? 0 : s.bavail;
}

bool room_may_have_come(struct comp *c)
{
	return comp_now_ms() - atomic_load(&c->full_ms) >= RETRY_MS || bavail_of(c) > atomic_load(&c->full_bavail);
}

void room_note(struct comp *c, int err, size_t pages)
{
	int was = atomic_load(&c->full);

	if (room_is_error(err)) {
		atomic_store(&c->full_bavail, bavail_of(c));
		atomic_store(&c->full_ms, comp_now_ms());
		atomic_store(&c->full, -err);
		if (!was)
			log_warn("compartment %s: %s on the lower filesystem: %zu committed pages wait in the journal; "
				 "nothing is lost; reading and deleting work, and so does writing when there is room again",
				 c->io.name, strerror(-err), pages);
	} else if (!err) {
		atomic_store(&c->full, 0);
		if (was)
			log_info("compartment %s: there is room on the lower filesystem again", c->io.name);
	}
}

static bool has_orphans(struct comp *c)
{
	pthread_mutex_lock(&c->alloc);
	bool has = c->n_orphans;
	pthread_mutex_unlock(&c->alloc);
	return has;
}

/*
 * A file is gone when the kernel lets go of it, which it says a moment after unlink(2) has returned. Who writes right then shall not be
 * refused; but a file that is deleted and stays open is waited for once only.
 */
static void wait_for_deleted(struct comp *c)
{
	uint64_t made = atomic_load(&c->orphans_made);

	if (made == atomic_exchange(&c->orphans_waited, made))
		return;
	for (unsigned tries = 0; tries < WAIT_TRIES && !atomic_load(&c->n_ops) && has_orphans(c); tries++)
		nanosleep(&(struct timespec){ .tv_nsec = WAIT_NS }, NULL);
}

int room_get_back(struct comp *c)
{
	if (!atomic_load(&c->n_ops))
		wait_for_deleted(c);
	return atomic_load(&c->n_ops) ? txn_commit(c, NULL, false) : -ENOSPC;
}

/* The compartment is full. Is it still? The commit that gives something back tries again, too. */
static int look_again(struct comp *c)
{
	int err = room_get_back(c);

	if (room_is_error(err) && atomic_load(&c->full) && room_may_have_come(c))
		err = txn_checkpoint(c);
	return room_is_error(err) ? 0 : err;
}

int room_for(struct comp *c, enum room_kind kind, uint32_t pages)
{
	int err = 0, last = 0;

	if (atomic_load(&c->full) && kind <= ROOM_DATA) {
		err = look_again(c);
		if (err)
			return err;
		int full = atomic_load(&c->full);
		if (full && kind == ROOM_NEW)
			return -full;
	}
	/* A checkpoint mostly does; what is dirty can go home only after a commit. */
	for (unsigned round = 0; round < 2; round++) {
		if (fits(c, kind, pages))
			return 0;
		if (round)
			last = txn_commit(c, NULL, false);
		if (!last)
			last = txn_checkpoint(c);
		if (last && !room_is_error(last) && atomic_load(&c->failed))
			return last;
	}
	if (fits(c, kind, pages))
		return 0;
	/* Not the pages are too many, but the operations at once, in a small journal. */
	if (!last && load_of(c) + pages <= (uint64_t)journal_size(c->journal) * CALM / 16)
		return 0;
	if (kind == ROOM_FREE)
		return 0;
	return last ? last : -ENOSPC;
}
