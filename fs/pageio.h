/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Pages of a compartment's objects: from the page map or their lower files, opened under their refs, with the second copy
 * of the objects that have one; and the few open lower files.
 *
 * Page numbers "lower" count pages of the lower file. Thread-safe.
 */
#ifndef CLOISON_FS_PAGEIO_H
#define CLOISON_FS_PAGEIO_H

#include "common/base.h"
#include "fs/pagemap.h"
#include "fs/seal.h"
#include "fs/store.h"

#include <pthread.h>
#include <stdatomic.h>

#define PAGEIO_OBJ_ROOT 0u    /* the file root */
#define PAGEIO_OBJ_INODES 1u
#define PAGEIO_OBJ_IBITMAP 2u
#define PAGEIO_OBJ_ORPHANS 3u
#define PAGEIO_OBJ_FIRST 16u  /* first number for files */
#define PAGEIO_LEVELS 5u      /* greatest height of a tree */
#define PAGEIO_FANOUT 128u    /* refs in an index page */
#define PAGEIO_HANDLES 256u   /* lower files kept open */

struct pageio_handle {
	struct store_file *file;
	uint64_t object;
	bool read_only;         /* opened so */
	unsigned refs;          /* protected by pageio.lock, as the next three */
	bool dead;
	struct list lru;
	struct pageio_handle *next;
};

struct pageio {
	struct store *store;        /* the compartment's folder; borrowed */
	uint8_t id[16];
	char name[9];               /* first digits of the id, for the log */
	struct pagemap *map;        /* owned */
	struct seal_source *source; /* owned */
	bool read_only;             /* do not heal */
	pthread_mutex_t lock;
	struct pageio_handle *hash[PAGEIO_HANDLES * 2];
	struct list lru;
	unsigned n_handles;
	uint32_t new_dirs[8];       /* folders 00..ff that got a file since they were synced; protected by lock */
	atomic_uint_fast64_t healed, damaged;
};

int pageio_init(struct pageio *io, struct store *store, const uint8_t id[static 16], bool read_only) CL_MUST_USE;
void pageio_done(struct pageio *io);

/* Place in the lower file (doc/FORMAT section 3): of leaf index, and of index page (level >= 1, index). */
uint64_t pageio_lower_leaf(uint64_t leaf);
uint64_t pageio_lower_node(unsigned level, uint64_t index);
/* Lower pages that leaves 0 .. n - 1 and the index pages above them span, in a tree of that height. */
uint64_t pageio_lower_end(uint64_t n_leaves, unsigned height);

void pageio_name(uint64_t object, unsigned copy, char out[static STORE_NAME_MAX]);
/* How many lower files an object has: 1 or 2. */
static inline unsigned pageio_copies(uint64_t object)
{
	return object <= PAGEIO_OBJ_ORPHANS ? 2 : 1;
}
static inline bool pageio_has_copy(uint64_t object)
{
	return object <= PAGEIO_OBJ_ORPHANS;
}

/*
 * Reads one page and opens it. Newest version first; of an object with two copies the second when the first fails (the
 * first is then healed, with a log line). -EBADMSG: did not authenticate or is missing, logged with object and page;
 * other errors of the lower filesystem as they are.
 */
int pageio_open(struct pageio *io, const struct seal_key *key, const struct seal_place *place, const struct seal_ref *ref,
		void *out) CL_MUST_USE;

/* Ciphertext of n pages of the lower file in one read, no map, what is behind the end as zeros. */
int pageio_read_raw(struct pageio *io, uint64_t object, uint64_t lower, void *out, size_t n) CL_MUST_USE;
/* For fsck: the same of one copy (0 or 1). A copy that does not exist reads as zeros; -EUCLEAN: not a plain file. */
int pageio_read_copy(struct pageio *io, uint64_t object, unsigned copy, uint64_t lower, void *out, size_t n) CL_MUST_USE;
/* For repair: writes one page of one copy from the other, which is good. Not synced. */
int pageio_copy_page(struct pageio *io, uint64_t object, unsigned copy, uint64_t lower) CL_MUST_USE;
/* Writes n pages at home; makes the lower file if it is missing. Objects with two copies: both. Not synced. */
int pageio_write_home(struct pageio *io, uint64_t object, uint64_t lower, const void *buf, size_t n) CL_MUST_USE;

/* Closes an object's lower files: what another process removes is then gone. */
void pageio_release(struct pageio *io, uint64_t object);

/* fdatasync of an object's lower file (and its copy). 0 if it does not exist. */
int pageio_sync(struct pageio *io, uint64_t object) CL_MUST_USE;
/* fsync of the folders that got new files. */
int pageio_sync_dirs(struct pageio *io) CL_MUST_USE;
/* Every folder may hold files whose names are not durable: a killed session made them. */
void pageio_doubt_dirs(struct pageio *io);
/* All of it. */
int pageio_sync_all(struct pageio *io) CL_MUST_USE;

/* Deferred operations on lower files. A missing file is no error. */
int pageio_remove(struct pageio *io, uint64_t object) CL_MUST_USE;
int pageio_cut(struct pageio *io, uint64_t object, uint64_t pages) CL_MUST_USE;
int pageio_punch(struct pageio *io, uint64_t object, uint64_t page, uint64_t n) CL_MUST_USE;
/* Reserves blocks for n pages; -EOPNOTSUPP where the lower filesystem cannot. */
int pageio_allocate(struct pageio *io, uint64_t object, uint64_t lower, uint64_t n) CL_MUST_USE;

#endif
