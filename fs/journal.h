/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The redo log of a compartment: a ring of pages in a preallocated file (doc/FORMAT section 8). It knows transactions,
 * pages of ciphertext and operations on lower files; no keys. Checksums: XXH3-128 (xxHash), against torn writes, not
 * against an attacker: what is replayed is authenticated when it is read.
 *
 * One writer at a time (the caller's commit lock); the getters may be called from any thread.
 */
#ifndef CLOISON_FS_JOURNAL_H
#define CLOISON_FS_JOURNAL_H

#include "common/base.h"
#include "fs/store.h"

#define JOURNAL_PAGES_MIN 64u
#define JOURNAL_PAGES_MAX (1u << 18)

struct journal;

struct journal_block {
	uint64_t object;
	uint64_t page; /* of the lower file */
	const uint8_t *data; /* 4096 bytes */
};

enum journal_code { JOURNAL_REMOVE = 1, JOURNAL_CUT = 2, JOURNAL_PUNCH = 3 };
struct journal_op {
	uint32_t code;
	uint64_t object;
	uint64_t a, b; /* CUT: to a pages. PUNCH: pages a .. a + b - 1 */
};

/* A whole valid record, as journal_scan gives it; all borrowed. */
struct journal_record {
	uint64_t seq;
	uint32_t n_blocks, n_ops;
	const struct journal_block *blocks;
	const struct journal_op *ops;
};

/* Makes the file: pages ring pages, all written, headers that say "empty, next is seq". Synced. */
int journal_format(struct store *s, const uint8_t id[static 16], uint32_t pages, uint64_t seq) CL_MUST_USE;
/* -ENOENT; -EUCLEAN: both headers malformed or of another compartment; -EPROTONOSUPPORT. */
int journal_open(struct store *s, const uint8_t id[static 16], bool read_only, struct journal **ret) CL_MUST_USE;
void journal_close(struct journal *j);
/* For fsck: one of the two copies of the header (0 or 1) by itself. -EUCLEAN: malformed; -EPROTONOSUPPORT; -ENOENT. */
int journal_check_header(struct store *s, const uint8_t id[static 16], unsigned copy) CL_MUST_USE;

/*
 * Calls fn (may be NULL) for each record from the tail on, in order, and leaves the head behind the last valid one. The first non-zero
 * result of fn stops it and is returned. *ret_broken: a valid record of a later transaction stands behind the end that
 * was found, so a record in between is damaged rather than torn.
 */
int journal_scan(struct journal *j, int (*fn)(void *arg, const struct journal_record *r), void *arg, bool *ret_broken) CL_MUST_USE;

/* The second half of journal_scan by itself. */
int journal_look_behind(struct journal *j, bool *ret_broken) CL_MUST_USE;

/*
 * For who reads while another process writes (journal opened read-only): looks at the header again, and gives fn each record that
 * came since the last call, in order; when the tail has overtaken what was read, those from the tail on. Afterwards journal_next
 * is what was next at some moment of the call. -EAGAIN: the writer was faster, so it may be older. With either, everything
 * before *ret_tail_seq is home.
 */
int journal_follow(struct journal *j, int (*fn)(void *arg, const struct journal_record *r), void *arg, uint64_t *ret_tail_seq) CL_MUST_USE;

/*
 * Makes what a scan found durable before anything acts on it: after a crash of the process records may not be on the disk yet, and after a
 * failed sync, where there is no way past the page cache, they may be whole in the cache only. Brings the older copy of the header up
 * to the newer. The next scan starts at the tail again.
 */
int journal_settle(struct journal *j) CL_MUST_USE;

/* Pages that a record takes, and pages that are free. */
uint32_t journal_record_pages(uint32_t n_blocks, uint32_t n_ops);
uint32_t journal_free(const struct journal *j);
uint32_t journal_size(const struct journal *j);
/* Transaction number that the next record must have. */
uint64_t journal_next(const struct journal *j);

/* Writes one record at the head and makes it durable: on return 0 the transaction is committed. -ENOSPC when it does not fit. */
int journal_append(struct journal *j, uint64_t seq, const struct journal_block *blocks, uint32_t n_blocks,
		   const struct journal_op *ops, uint32_t n_ops) CL_MUST_USE;
/* Moves the tail behind transaction seq, durably. All of it must be home and synced. */
int journal_advance(struct journal *j, uint64_t seq) CL_MUST_USE;

/*
 * For repair. Calls fn for the whole valid record of transaction seq, wherever in the ring it stands, also before the tail. -ENOENT: there
 * is none.
 */
int journal_find(struct journal *j, uint64_t seq, int (*fn)(void *arg, const struct journal_record *r), void *arg) CL_MUST_USE;
/*
 * Behind a scan that found a record broken or malformed: overwrites all that stands behind those before it, so that these are the whole
 * log. *ret_last: the last transaction of which a whole record was given up, 0 for none.
 */
int journal_cut(struct journal *j, uint64_t *ret_last) CL_MUST_USE;
/*
 * A journal whose headers are both gone, or that is missing: makes it anew with seq as the next transaction. Records from seq on that stand
 * whole in the ring count again (*ret_found: there are such). pages: of the ring, when the file does not say.
 */
int journal_remake(struct store *s, const uint8_t id[static 16], uint32_t pages, uint64_t seq, bool *ret_found) CL_MUST_USE;

#endif
