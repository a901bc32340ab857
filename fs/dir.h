/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Directories: pages of entries (doc/FORMAT section 6), and an index in memory by hash of the name (XXH3, xxHash), built when a
 * directory is first used.
 *
 * Lock: the directory's inode lock; shared suffices for find and list once the index is there (dir_load needs it exclusively),
 * exclusive with a running transaction for the rest.
 */
#ifndef CLOISON_FS_DIR_H
#define CLOISON_FS_DIR_H

#include "common/base.h"
#include "fs/inode.h"

#define DIR_PAGES_MAX ((uint64_t)1 << 23)

struct dir_index;

/* An entry in memory. pos: its place, (page << 9) + offset in the page / 8. */
struct dir_entry {
	uint64_t ino;
	uint64_t pos;
	uint8_t type;    /* DT_* */
	bool is_gate;
	uint8_t gate[16]; /* compartment id of the target, for a gate */
	uint8_t name_len;
	char name[FS_NAME_MAX + 1];
};

void dir_index_free(struct dir_index *x);
/* Builds the index if it is not there. -EBADMSG, -EUCLEAN: a page cannot be read; entries of the others are still found. */
int dir_load(struct inode *dir) CL_MUST_USE;
static inline bool dir_is_loaded(const struct inode *dir)
{
	return dir->index != NULL;
}

/* -ENOENT. A page that cannot be read: -EBADMSG, when the name could be there. */
int dir_find(struct inode *dir, const char *name, struct dir_entry *ret) CL_MUST_USE;
/*
 * Loads and pins (marks as dirty) what a change of e needs: until the transaction ends dir_remove and dir_retarget of it cannot fail.
 * For changes that are made of several.
 */
int dir_prepare(struct inode *dir, const struct dir_entry *e) CL_MUST_USE;
/* The caller has made sure that the name is not there. gate: 16 bytes or NULL. Adjusts entries and size. */
int dir_add(struct inode *dir, const char *name, uint64_t ino, uint8_t type, const uint8_t *gate) CL_MUST_USE;
int dir_remove(struct inode *dir, const struct dir_entry *e) CL_MUST_USE;
/* Lets an existing entry point to another inode (rename over, exchange). */
int dir_retarget(struct inode *dir, const struct dir_entry *e, uint64_t ino, uint8_t type) CL_MUST_USE;
/*
 * Next entry at pos or behind it. -ENOENT at the end. Needs no index. A page that cannot be read is skipped and logged; the end is then
 * -EBADMSG, so that nobody takes the listing for whole.
 */
int dir_next(struct inode *dir, uint64_t pos, struct dir_entry *ret) CL_MUST_USE;

/* For repair: entries that the index has, which is loaded: those of all pages that can be read. */
uint64_t dir_live(const struct inode *dir);
/* For repair: forgets the index, after pages were changed behind its back. */
void dir_unload(struct inode *dir);
/*
 * For repair: makes a malformed page well-formed. Sound entries stay where they are as far as the page can be followed; the rest is free
 * afterwards.
 */
void dir_mend_page(uint8_t page[static CL_PAGE]);
/* Structure of one page, for fsck: -EUCLEAN. Calls fn for each entry when given. */
int dir_check_page(const uint8_t page[static CL_PAGE], uint64_t page_no, int (*fn)(void *arg, const struct dir_entry *e), void *arg) CL_MUST_USE;

#endif
