/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Inside of fs_check (fsck): what fs/check*.c share. Verification only: what is written, fs/repair*.c write, or the replay.
 *
 * A compartment is checked in these steps, each of which goes on behind any damage:
 *   lower    names, types, modes, links and sizes of lower files; journal (no key needed)
 *   table    the inode table: which inodes there are, which objects they refer to
 *   dirs     directories from inode 1 down: entries, link counts, first name of each inode
 *   bitmaps  both bitmaps against the table
 *   objects  no object number twice; lower files that nobody refers to
 *   contents records, data, symlink targets and attribute lists, each page
 * One that is mounted is scrubbed instead (check_scrub.c): each page, as of the newest commit.
 *
 * The pages are read here and not through the engine's caches: so both copies of a page are seen, a run does not end at
 * its first bad page, and damage is told once, with the path. Memory: 24 bytes for each inode, 24 for each object and 8
 * for its lower file, 16 for each entry of the directory at hand, and what the journal holds. A path is put together
 * when a finding needs it, from the first name of each inode on the way up.
 *
 * Findings come in three kinds: errors (counted in ret_errors), corrections (ret_fixed), and notes, which are reported
 * with fixed = false and counted nowhere: lower files that nobody refers to are what a crash leaves, and no error; nor
 * is it one that contents could not be looked at because of an error that was told.
 *
 * Functions return 0, whatever they found, or a negative errno that ends the check (-ENOMEM, -EMFILE, -ENFILE).
 */
#ifndef CLOISON_FS_CHECK_H
#define CLOISON_FS_CHECK_H

#include "common/base.h"
#include "fs/comp.h"
#include "fs/repair_kind.h"

#include <stdarg.h>

#define CHECK_NONE UINT32_MAX          /* no slot */
#define CHECK_PATH_MAX 65536u          /* longer paths lose their beginning */
#define CHECK_RUN (PAGEIO_FANOUT + 2u) /* lower pages that the leaves of one index page span, its place among them */

enum check_kind { CHECK_ERROR, CHECK_FIXED, CHECK_NOTE };

enum {
	CHECK_BAD = 1,     /* malformed record */
	CHECK_ORPHAN = 2,  /* in the orphan bitmap */
	CHECK_VISITED = 4, /* a directory that was read */
};

/* An inode in use. Kept sorted by number; its place in the array is its slot. */
struct check_inode {
	uint32_t ino_low;
	uint16_t ino_high;
	uint8_t type; /* DT_* */
	uint8_t flags;
	uint32_t nlink;  /* as its record says */
	uint32_t seen;   /* entries that lead to it */
	uint32_t parent; /* slot of the directory that has its first name */
	uint32_t pos;    /* and the entry's place there, see dir_entry */
};
static_assert(sizeof(struct check_inode) == 24, "there may be millions of them");

/* An object that a record refers to. */
struct check_object {
	uint64_t object;
	uint32_t slot;
	bool xattr;
};

/* Inodes whose table pages cannot be read, by number; sorted, apart from each other. */
struct check_range {
	uint64_t first, last;
};

/* Buffers of one walk. Contents are walked from within a walk of the inode table, so there are two sets. */
struct check_buffers {
	uint8_t node[PAGEIO_LEVELS][CL_PAGE];
	uint8_t raw[CHECK_RUN * CL_PAGE];
	uint8_t plain[CL_PAGE];
	uint8_t spare[CL_PAGE];
};

struct checker {
	struct store *volume;
	const struct fs_compartment *list;
	size_t n;
	struct fs_check *check;
	struct fs_config cfg;      /* of an opening that writes nothing */
	unsigned *gates;           /* for each compartment of the list: gates that lead to it */
	bool gates_unsure;         /* rank 0 is not given, or its root directory is damaged */
	uint64_t done, all, shown; /* pages */
	struct check_buffers *buffers[2];
	unsigned depth;
	char text[1024];
	char note[700]; /* what a repair has done, for the finding's text */
	char path[CHECK_PATH_MAX];
};

struct check_scrub;
struct repair_held;

struct check_comp {
	struct checker *k;
	const struct fs_compartment *fc;
	size_t at; /* in the list */
	char id[33], name[9];
	struct store *store;      /* NULL: the folder is missing, or cannot be opened: missing says why */
	int missing;
	struct store_file *lease; /* locked, so that nobody writes meanwhile; NULL: missing */
	struct comp *c;           /* open for reading, while its contents are checked */
	bool follow;              /* somebody writes it: no lease, check_scrub instead of what needs a volume at rest */
	struct check_scrub *scrub; /* while that runs */
	bool journal_bad;         /* told already */
	uint64_t records;         /* in the journal */
	uint64_t lower_pages;     /* allocated */

	uint64_t *lower; /* objects that have a lower file, sorted */
	size_t n_lower, cap_lower;
	bool lower_unsure; /* a folder could not be listed */
	bool lower_unread; /* a file is there, and could not be looked at: what is not in the list may be there */

	struct check_inode *inodes;
	size_t n_inodes, cap_inodes;
	struct check_object *objects;
	size_t n_objects, cap_objects;
	struct check_range *lost;
	size_t n_lost, cap_lost;

	/* Repair: see repair.h. */
	bool in_round;           /* findings are held, to be repaired; else they are told */
	struct repair want;      /* what mends the finding that is told next */
	struct repair_held *held, **held_end;
	size_t held_bytes;
	uint64_t left, notes;    /* errors of this round that cannot be repaired, and notes */
	uint64_t told, repairable; /* errors told, and of these such as could have been repaired */
	unsigned waiting_step;   /* first step of those that were found and could not be held */
	uint64_t *mended;        /* hashes of findings that were repaired, sorted: what comes back is not repaired again */
	size_t n_mended, cap_mended;
	bool verified;           /* a round found nothing at all */
	uint64_t first_new;      /* objects from here on were made by a repair */
};

/* check.c: findings. In text, "inode N: " is put in front when it has no path. */
void check_say(struct check_comp *cc, enum check_kind kind, const char *fmt, ...) CL_PRINTF(3, 4);
void check_say_inode(struct check_comp *cc, uint32_t slot, const char *fmt, ...) CL_PRINTF(3, 4);
void check_say_entry(struct check_comp *cc, uint32_t dir, const char *name, const char *fmt, ...) CL_PRINTF(4, 5);
/* The finding in text for a path that was looked up elsewhere; "": none. */
void check_say_at(struct check_comp *cc, const char *path, const char *text);
/* Want of memory or of descriptors is ours, and says nothing about the volume: it ends the check. */
static inline bool check_is_ours(int err)
{
	return err == -ENOMEM || err == -EMFILE || err == -ENFILE;
}
/* Pages were read. */
void check_progress(struct checker *k, uint64_t pages);
/* "does not authenticate" and the like; for one or for many. */
const char *check_reason(int err, bool many);
/* Makes room for one more item in an array that doubles: the array at its new place, or NULL (the old one stays). */
void *check_grow(void *array, size_t n, size_t *cap, size_t item) CL_MUST_USE;

/* check_lower.c: what needs no key. Fills lower, records, journal_bad. */
int check_lower(struct check_comp *cc) CL_MUST_USE;
bool check_lower_has(const struct check_comp *cc, uint64_t object);

/* check_tree.c: each page of one object. */
struct check_walk {
	struct check_comp *cc;
	struct tree_desc desc; /* wiped by check_walk */
	const char *name;      /* of an object that has a second copy, for findings about one of them */
	/* Each stored leaf that opens, in order. */
	int (*page)(void *arg, uint64_t leaf, const uint8_t *plain);
	/* Leaves first .. last do not open, or (index) an index page above them; err: why. Neighbours come as one. */
	void (*bad)(void *arg, uint64_t first, uint64_t last, bool index, int err);
	void *arg;
	bool quiet;      /* walked before: no progress, nothing about copies */
	uint64_t stored; /* result: leaves that are not holes */
	bool unsure;     /* result: there may be more */

	/* private to check_tree.c */
	struct seal_key key;
	struct check_buffers *buf;
	bool mapped;
	struct {
		uint64_t first, last;
		bool index;
		int err;
		bool any;
	} pending;
	struct {
		uint64_t first, last;
		int err;
		bool any;
	} copies[2];
};
int check_walk(struct check_walk *w) CL_MUST_USE;
/* What bad says of an inode's object: what is "contents", for instance; size its bytes. */
void check_say_bad(struct check_comp *cc, uint32_t slot, const char *what, uint64_t size,
		   const struct check_range *leaves, bool index, int err, enum repair_kind repair);

/* True, and told, when an object with pages has no lower file at all. repair: what mends it. */
bool check_is_missing(struct check_comp *cc, uint32_t slot, const char *what, const struct tree_desc *desc,
		      enum repair_kind repair);

/* check_table.c: the inode table and the bitmaps. */
int check_table(struct check_comp *cc) CL_MUST_USE;
int check_bitmaps(struct check_comp *cc) CL_MUST_USE;
int check_objects(struct check_comp *cc) CL_MUST_USE;
/* check.c: shares the lease, and keeps it. A missing one is found later. */
int check_hold_lease(struct check_comp *cc, struct fault *f) CL_MUST_USE;
static inline uint64_t check_ino(const struct check_inode *i)
{
	return (uint64_t)i->ino_high << 32 | i->ino_low;
}
/* Slot of an inode in use, or CHECK_NONE. */
uint32_t check_find(const struct check_comp *cc, uint64_t ino);
/* True iff the record of ino is in a page that cannot be read. */
bool check_is_lost(const struct check_comp *cc, uint64_t ino);
/* Runs of inodes with the same fault are told as one. one, many: what is wrong, compared by address. */
struct check_run {
	uint64_t first, last;
	const char *one, *many;
	enum repair_kind repair;
};
void check_run_add(struct check_comp *cc, struct check_run *r, uint64_t ino, const char *one, const char *many,
		   enum repair_kind repair);
void check_run_end(struct check_comp *cc, struct check_run *r);

/* check_dir.c */
int check_dirs(struct check_comp *cc) CL_MUST_USE;
int check_links(struct check_comp *cc) CL_MUST_USE;
/* Path of an inode, or with name of that entry of it, in k->path; NULL when it has none. */
const char *check_path(struct check_comp *cc, uint32_t slot, const char *name);

/* Leaves of the inode table or a bitmap that are bad: per page so many numbers of inodes. repair: what mends it, or NULL. */
void check_say_lost(struct check_comp *cc, const char *what, const struct check_range *leaves, uint64_t per_page, bool index,
		    int err, const struct repair *repair);

/* check_scrub.c: all pages of a compartment that is mounted, one by one. */
int check_scrub(struct check_comp *cc, struct fault *f) CL_MUST_USE;
/* A finding about the inode at hand: it waits for its path. */
void check_scrub_found(struct check_scrub *s, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));

/* check_inode.c: records and contents, once paths are known. */
int check_contents(struct check_comp *cc) CL_MUST_USE;
/*
 * An inode outside of the engine's cache, to decode one record after the other into: 0, -ENOENT (a free record),
 * -EUCLEAN. After a 0 check_decode_done wipes its keys.
 */
int check_decode_new(struct check_comp *cc, struct inode **ret) CL_MUST_USE;
int check_decode(struct inode *i, uint64_t ino, const uint8_t *record) CL_MUST_USE;
void check_decode_done(struct inode *i);
void check_decode_free(struct inode *i);

#endif
