/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A follower: reads a compartment page by page beside the process that writes it. It takes no lock and writes nothing.
 *
 * What it takes for true is the newest commit in the journal: the root page of its last record, and the pages of all
 * records not yet checkpointed as an overlay over the home pages (the compartment's page map). The writer goes on
 * meanwhile: it commits, writes home, moves the journal's tail, writes over the ring, removes objects. All of that it
 * does only after the commit that allows it can be read in the journal. So a page that does not open proves nothing by
 * itself: the follower catches up, and looks up the page's ref again, from the newest root down. Damage is what does
 * not open under the ref that the newest commit, read afterwards, still has for it: refs never come twice, so that ref
 * counted all the time, and nothing may have been written over its page.
 *
 * Not thread-safe: one thread has a follower. Pages that it read may be of different commits; each was verified under a
 * ref that was current.
 */
#ifndef CLOISON_FS_FOLLOW_H
#define CLOISON_FS_FOLLOW_H

#include "common/base.h"
#include "fs/comp.h"

struct follow {
	struct comp *c; /* its page map is the overlay; its caches and locks are not used */
	uint64_t next;  /* number of the next transaction: what is known is the one before; 0 = nothing */
	uint64_t tail;  /* transaction of the journal's tail */
	struct inode *scratch;
	uint64_t looked_at; /* next, when the journal was last looked through behind its end */
	int err;            /* why it had to give up: of the next two, which are then not as they must be */
	bool journal_bad;   /* a damaged record, or header */
	bool root_bad;
};

/* A tree whose pages are read. Wiped by follow_tree_done. */
struct follow_tree {
	uint64_t object; /* 0: nothing */
	uint8_t height;
	struct seal_ref root;
	struct seal_key key;
	uint64_t ino; /* whose it is; 0: inode table or bitmap */
	bool xattr;   /* its attribute list, not its contents */

	/* results of follow_page */
	bool moved;    /* pages of more than one commit were read */
	bool gone;     /* the newest commit has no such object any more */
	bool above;    /* an index page above is what does not open */
	int copies[2]; /* of an object with two: why each copy is damaged; 0 = it is not, or the journal has the page */
};

/* Opens, and catches up. Errors with a sentence; follow_catch_up's besides those of comp_open. */
int follow_open(struct store *volume, const struct fs_compartment *fc, const struct fs_config *cfg, struct follow **ret,
		struct fault *f) CL_MUST_USE;
void follow_close(struct follow *w);

/*
 * Takes the newest commit. -EAGAIN: the writer was always faster. -ESTALE: the compartment cannot be followed, since
 * its journal or its root page is damaged (err, journal_bad, root_bad); that is final. -ENOMEM.
 */
int follow_catch_up(struct follow *w) CL_MUST_USE;

/* The inode table (PAGEIO_OBJ_INODES) or a bitmap as of the newest commit known. */
void follow_special(const struct follow *w, uint64_t object, struct follow_tree *ret);
/* Contents or attribute list of an inode, by its record. */
void follow_tree_of(const struct inode *i, bool xattr, struct follow_tree *ret);
void follow_tree_done(struct follow_tree *t);

/*
 * Opens the page at (level, index), which had *ref when its parent was read, into out (4096 bytes). When it has another
 * ref by now, *ref is that and t->moved is set. -ENOENT: there is no such page any more (t->gone: no such tree).
 * -EAGAIN and -ESTALE as above. Anything else is damage, proven as told above; t->above: not of this page.
 */
int follow_page(struct follow *w, struct follow_tree *t, uint32_t level, uint64_t index, struct seal_ref *ref,
		uint8_t *out) CL_MUST_USE;
/* The ref that the newest commit has for a page: catches up, and goes down from the root. Errors as of follow_page. */
int follow_locate(struct follow *w, struct follow_tree *t, uint32_t level, uint64_t index, struct seal_ref *ret)
	CL_MUST_USE;
/*
 * The page of the inode table with the record of ino as the newest commit has it. -ENOENT: a hole, all of them are
 * free.
 */
int follow_records(struct follow *w, uint64_t ino, uint8_t page[static CL_PAGE]) CL_MUST_USE;
/*
 * The record of ino, decoded into an inode that is good until the next call: 0, -ENOENT (free), -EUCLEAN (malformed),
 * or as follow_records. To be given to follow_record_done.
 */
int follow_record(struct follow *w, uint64_t ino, struct inode **ret) CL_MUST_USE;
int follow_decode(struct follow *w, uint64_t ino, const uint8_t record[static INODE_RECORD], struct inode **ret)
	CL_MUST_USE;
void follow_record_done(struct inode *i);

#endif
