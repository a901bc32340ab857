/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Repair of what a compartment needs before it can be opened: its root page, its journal. */
#include "fs/comp.h"

#include <stdio.h>
#include <string.h>

#define JOURNAL_PAGES 16384u /* of a journal whose own size is not known any more, as fs_format has it */

static int new_comp(struct store *volume, const struct fs_compartment *fc, struct comp **ret)
{
	const struct fs_config cfg = { .no_threads = true };
	struct fault why = { 0 };

	return comp_new(volume, fc, &cfg, ret, &why);
}

/* The root page of a record. */
struct found_root {
	bool any;
	uint8_t raw[CL_PAGE];
};

static int take_root(void *arg, const struct journal_record *r)
{
	struct found_root *f = arg;

	for (uint32_t i = 0; i < r->n_blocks; i++)
		if (r->blocks[i].object == PAGEIO_OBJ_ROOT) {
			memcpy(f->raw, r->blocks[i].data, CL_PAGE);
			f->any = true;
		}
	return 0;
}

/* Newest root page at home: -EBADMSG when neither copy opens. One that cannot be read may be newer than the other: its error. */
static int home_root(struct comp *c, uint64_t *ret_txn, bool *ret_clean)
{
	int err = -EBADMSG;
	uint64_t txn;
	bool clean;

	*ret_txn = 0;
	for (unsigned copy = 0; copy < 2; copy++) {
		int e = comp_check_root(c, copy, &txn, &clean);
		if (e && e != -EBADMSG && e != -EUCLEAN && e != -ENOENT)
			return e;
		if (e || txn < *ret_txn)
			continue;
		*ret_txn = txn;
		*ret_clean = clean;
		err = 0;
	}
	return err;
}

int comp_restore_root(struct store *volume, const struct fs_compartment *fc, char *text, size_t size)
{
	struct found_root f = { .any = false };
	struct comp *c;
	uint64_t txn = 0;
	bool clean, broken = false;
	int err = new_comp(volume, fc, &c);

	if (err)
		return err;
	/* One that opens, and is not the journal's: no damage, but files of different times. */
	err = home_root(c, &txn, &clean);
	err = !err ? -EEXIST : err == -EBADMSG ? 0 : err;
	if (!err)
		err = journal_open(c->store, c->id, true, &c->journal);
	if (!err)
		err = journal_scan(c->journal, NULL, NULL, &broken);
	if (!err)
		err = journal_find(c->journal, journal_next(c->journal) - 1, take_root, &f);
	if (!err && !f.any)
		err = -ENOENT;
	if (!err)
		err = comp_open_root(c, f.raw, &txn, &clean);
	if (!err && (broken || txn + 1 != journal_next(c->journal)))
		err = -EBADMSG;
	if (!err)
		err = pageio_write_home(&c->io, PAGEIO_OBJ_ROOT, 0, f.raw, 1);
	if (!err)
		err = pageio_sync(&c->io, PAGEIO_OBJ_ROOT);
	if (!err)
		err = c->store->ops->sync_dir(c->store, ".");
	if (!err)
		snprintf(text, size,
			 "the one of transaction %llu, the last, was still in the journal: both copies are written "
			 "again",
			 (unsigned long long)txn);
	comp_free(c);
	return err;
}

int comp_cut_journal(struct store *volume, const struct fs_compartment *fc, char *text, size_t size)
{
	struct found_root f = { .any = false };
	struct comp *c;
	uint64_t txn = 0, home = 0, last = 0;
	bool clean, broken;
	int err = new_comp(volume, fc, &c);

	if (err)
		return err;
	err = journal_open(c->store, c->id, false, &c->journal);
	if (!err) {
		err = journal_scan(c->journal, take_root, &f, &broken);
		if (err == -EUCLEAN)
			err = 0; /* a malformed record: those before it were given */
	}
	if (!err) {
		err = home_root(c, &home, &clean);
		txn = home;
		if (f.any && (!err || err == -EBADMSG))
			err = comp_open_root(c, f.raw, &txn, &clean);
	}
	/* Pages of the transactions that would be lost may be home already: with a root page that is newer they are. */
	if (!err && (txn + 1 != journal_next(c->journal) || home > txn))
		err = -EBADMSG;
	if (!err)
		err = journal_cut(c->journal, &last);
	if (!err && last > txn + 1)
		snprintf(text, size,
			 "transactions %llu to %llu are lost; the volume is as it was after transaction %llu",
			 (unsigned long long)txn + 1, (unsigned long long)last, (unsigned long long)txn);
	else if (!err)
		snprintf(text, size, "transaction %llu is lost; the volume is as it was after transaction %llu",
			 (unsigned long long)txn + 1, (unsigned long long)txn);
	comp_free(c);
	return err;
}

int comp_remake_journal(struct store *volume, const struct fs_compartment *fc, char *text, size_t size)
{
	struct comp *c;
	uint64_t txn = 0;
	bool clean = false, found = false;
	int err = new_comp(volume, fc, &c);

	if (err)
		return err;
	err = home_root(c, &txn, &clean);
	if (!err)
		err = journal_remake(c->store, c->id, JOURNAL_PAGES, txn + 1, &found);
	if (!err && found)
		snprintf(text, size,
			 "it is made anew; transactions from %llu on that stand whole in it count, later ones are lost",
			 (unsigned long long)txn + 1);
	else if (!err && clean)
		snprintf(text, size, "it is made anew; nothing is lost, for the volume had been closed cleanly");
	else if (!err)
		snprintf(text, size, "it is made anew; transactions after %llu are lost, if there were any",
			 (unsigned long long)txn);
	comp_free(c);
	return err;
}
