/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Ciphertext pages that are not home yet, and what the journal mentions.
 *
 * For a page of the lower files (object, page of the lower file) the map knows: its running version (written since the
 * last commit, to go through the journal), its committed version (in the journal, to be written home), and the last
 * transaction whose record mentions it. A page that any record not yet checkpointed mentions must not be written in
 * place: replay would put old bytes back. Object 0 page 0 is the root page.
 *
 * One mutex inside; every call is thread-safe and none does I/O.
 */
#ifndef CLOISON_FS_PAGEMAP_H
#define CLOISON_FS_PAGEMAP_H

#include "common/base.h"
#include "common/list.h"

struct pagemap;

/* Reference-counted page-aligned 4096 bytes of ciphertext. Content is immutable once shared. */
struct pagebuf {
	uint8_t *data;
	int refs;              /* protected by the map's mutex */
	struct pagebuf *next;  /* free list */
};

/* Running pages of one tree: lets a commit take them, or leave them, tree by tree. Protected by the map's mutex. */
struct pagemap_run {
	struct list pages;
	size_t n;
};

/* A page taken by a commit or by a checkpoint: buf holds a reference, given back by pagemap_put_buf. */
struct pagemap_page {
	uint64_t object;
	uint64_t page;
	struct pagebuf *buf;
};

int pagemap_new(struct pagemap **ret) CL_MUST_USE;
void pagemap_free(struct pagemap *pm);

/* Fresh buffer with one reference; NULL when memory is out. */
struct pagebuf *pagemap_get_buf(struct pagemap *pm);
void pagemap_put_buf(struct pagemap *pm, struct pagebuf *b);
/* n of them; -ENOMEM: none. */
int pagemap_get_bufs(struct pagemap *pm, struct pagebuf **ret, size_t n) CL_MUST_USE;
void pagemap_put_bufs(struct pagemap *pm, struct pagebuf *const *bufs, size_t n);

void pagemap_run_init(struct pagemap_run *run);

/* Newest version of a page into out (4096 bytes); false when the map has none (it is in its lower file). */
bool pagemap_read(struct pagemap *pm, uint64_t object, uint64_t page, void *out);
/* True when the map knows anything of the object: cheap test before a loop over pages. Takes no lock while the map is empty. */
bool pagemap_has_object(struct pagemap *pm, uint64_t object);
/* True when a page may not be written in place: a record or running version mentions it, or a range of its object. */
bool pagemap_mentions(struct pagemap *pm, uint64_t object, uint64_t page);

/*
 * New running versions of n pages of an object; takes over the caller's references to bufs. -ENOMEM: nothing is changed, the
 * references are the caller's.
 */
int pagemap_set_running(struct pagemap *pm, struct pagemap_run *run, uint64_t object, const uint64_t *pages,
			struct pagebuf *const *bufs, size_t n) CL_MUST_USE;
/* Puts all of from at the end of run. */
void pagemap_move_run(struct pagemap *pm, struct pagemap_run *run, struct pagemap_run *from);
/* Forgets running versions of pages first .. last of an object in run. */
void pagemap_drop_running(struct pagemap *pm, struct pagemap_run *run, uint64_t object, uint64_t first, uint64_t last);

/*
 * Commit: moves all of run into ret (room for run->n pages), each with a reference of its own; they become the committed
 * versions, mentioned by transaction seq. Returns how many.
 */
size_t pagemap_commit_run(struct pagemap *pm, struct pagemap_run *run, uint64_t seq, struct pagemap_page *ret);
/* Commit of one metadata page; the caller keeps its reference, the map takes another. -ENOMEM. */
int pagemap_commit_page(struct pagemap *pm, uint64_t object, uint64_t page, struct pagebuf *buf, uint64_t seq) CL_MUST_USE;
/* An operation on a range of object is recorded by transaction seq: none of it may be written in place for now. */
int pagemap_commit_range(struct pagemap *pm, uint64_t object, uint64_t seq) CL_MUST_USE;

/*
 * The object is gone, or pages first .. last of it were free, as transaction seq says: versions committed before it need not
 * go home. What seq itself wrote there afterwards stays.
 */
void pagemap_discard(struct pagemap *pm, uint64_t object, uint64_t first, uint64_t last, uint64_t seq);

/* Committed versions still to be written home: at most max of them into ret, each with a reference. Returns how many. */
size_t pagemap_take_pending(struct pagemap *pm, struct pagemap_page *ret, size_t max);
/* The versions in p are home: forgets those to which no newer one came. Gives p's references back. */
void pagemap_home(struct pagemap *pm, const struct pagemap_page *p, size_t n);
/* They could not be written home: they are pending again. Gives p's references back. */
void pagemap_not_home(struct pagemap *pm, const struct pagemap_page *p, size_t n);
/*
 * Forward: takes the pages still to be written home that only records before transaction seq have, as a part of its record;
 * skip says which ones its operations take away. ret has room for pagemap_n_pending. Returns how many, each with a reference.
 */
size_t pagemap_forward(struct pagemap *pm, uint64_t seq, bool (*skip)(const void *arg, uint64_t object, uint64_t page),
		       const void *arg, struct pagemap_page *ret);
/* First transaction whose record is still needed by a page that is to be written home; UINT64_MAX: none is. */
uint64_t pagemap_oldest(struct pagemap *pm);
/* Everything up to seq is home and synced, and the journal's tail is behind it. */
void pagemap_forget(struct pagemap *pm, uint64_t seq);
/* For a follower, where another process writes home: drops every committed version that no record behind seq mentions. */
void pagemap_drop(struct pagemap *pm, uint64_t seq);

/* Without a lock: as of a moment ago. */
size_t pagemap_n_running(struct pagemap *pm);
size_t pagemap_n_pending(struct pagemap *pm);

#endif
