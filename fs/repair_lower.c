/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Repair: lower files, the journal, second copies. Nothing here deletes what is not ours: it is moved out of the way.
 */
#include "fs/repair.h"

#include "common/log.h"

#include <stdio.h>
#include <string.h>

#define STRAYS "lost+found" /* in the backing directory */

int repair_mode(struct check_comp *cc, const struct repair *r)
{
	repair_note(cc, "set");
	return store_dir_set_mode(cc->store, r->name, r->a != 0);
}

int repair_folder(struct check_comp *cc, const struct repair *r)
{
	int err = 0;

	(void)r;
	for (unsigned i = 0; i < 256 && !err; i++) {
		char name[3];
		snprintf(name, sizeof name, "%02x", i);
		err = cc->store->ops->mkdir(cc->store, name);
		if (err == -EEXIST)
			err = 0;
	}
	repair_note(cc, "made; what was in it is lost");
	return err ? err : cc->store->ops->sync_dir(cc->store, ".");
}

int repair_lease(struct check_comp *cc, const struct repair *r)
{
	struct store_file *f;

	(void)r;
	int err = cc->store->ops->open(cc->store, "lease", STORE_CREATE, &f);
	if (err)
		return err;
	cc->store->ops->close(cc->store, f);
	repair_note(cc, "made");
	return cc->store->ops->sync_dir(cc->store, ".");
}

int repair_size(struct check_comp *cc, const struct repair *r)
{
	struct store_file *f;
	int err = cc->store->ops->open(cc->store, r->name, STORE_RDWR, &f);

	if (err)
		return err;
	err = cc->store->ops->truncate(cc->store, f, r->a);
	if (!err)
		err = cc->store->ops->sync(cc->store, f);
	cc->store->ops->close(cc->store, f);
	repair_note(cc, "set to %llu", (unsigned long long)r->a);
	return err;
}

int repair_unshare(struct check_comp *cc, const struct repair *r)
{
	repair_note(cc, "a copy of its own is there now");
	return store_dir_unshare(cc->store, r->name, REPAIR_TEMP_NAME);
}

int repair_temp(struct check_comp *cc, const struct repair *r)
{
	repair_note(cc, "removed");
	return cc->store->ops->unlink(cc->store, r->name);
}

static bool is_free(struct store *s, const char *name)
{
	struct store_file *f;
	int err = s->ops->open(s, name, STORE_RDONLY, &f);

	if (!err)
		s->ops->close(s, f);
	return err == -ENOENT;
}

int repair_stray(struct check_comp *cc, const struct repair *r)
{
	struct store *volume = cc->k->volume;
	char from[400], to[400];
	int err = volume->ops->mkdir(volume, STRAYS);

	if (err && err != -EEXIST)
		return err;
	if (strlen(r->name) > 200)
		return -ENAMETOOLONG;
	snprintf(from, sizeof from, "%s/%s", cc->id, r->name);
	unsigned n = 0;
	do {
		int at = snprintf(to, sizeof to, STRAYS "/%s-", cc->name);
		snprintf(to + at, sizeof to - (size_t)at, n ? "%s.%u" : "%s", r->name, n);
		for (char *p = to + sizeof STRAYS; *p; p++)
			if (*p == '/')
				*p = '-';
	} while (!is_free(volume, to) && ++n < 1000);
	err = n == 1000 ? -EEXIST : volume->ops->rename(volume, from, to);
	if (!err)
		err = volume->ops->sync_dir(volume, STRAYS);
	repair_note(cc, "moved to %s in the backing directory", to);
	return err;
}

int repair_journal_cut(struct check_comp *cc, const struct repair *r)
{
	(void)r;
	return comp_cut_journal(cc->k->volume, cc->fc, cc->k->note, sizeof cc->k->note);
}

int repair_journal_new(struct check_comp *cc, const struct repair *r)
{
	(void)r;
	return comp_remake_journal(cc->k->volume, cc->fc, cc->k->note, sizeof cc->k->note);
}

int repair_root_page(struct check_comp *cc, const struct repair *r)
{
	(void)r;
	return comp_restore_root(cc->k->volume, cc->fc, cc->k->note, sizeof cc->k->note);
}

int repair_touch(struct check_comp *cc, const struct repair *r)
{
	struct store_file *f;
	char name[STORE_NAME_MAX];

	pageio_name(r->a, (unsigned)r->b, name);
	int err = cc->store->ops->open(cc->store, name, STORE_CREATE, &f);
	if (err)
		return err;
	cc->store->ops->close(cc->store, f);
	name[2] = '\0';
	repair_note(cc, "made anew from the other copy");
	return cc->store->ops->sync_dir(cc->store, name);
}

int repair_copy(struct check_comp *cc, const struct repair *r)
{
	struct pageio *io = &cc->c->io;
	uint64_t object = r->ino >> 1;
	int err = 0;

	for (uint64_t page = r->a; page <= r->b && !err; page++)
		err = pageio_copy_page(io, object, r->ino & 1, page);
	if (!err)
		err = pageio_sync(io, object);
	if (!err)
		err = pageio_sync_dirs(io);
	repair_note(cc, "copied");
	return err;
}

int repair_rubbish(struct check_comp *cc, const struct repair *r)
{
	uint64_t n = 0;
	size_t o = 0;
	int err = 0;

	(void)r;
	for (size_t i = 0; i < cc->n_lower && !err; i++) {
		uint64_t object = cc->lower[i];
		while (o < cc->n_objects && cc->objects[o].object < object)
			o++;
		if (o < cc->n_objects && cc->objects[o].object == object)
			continue;
		/* Nor what this session has made since. */
		if (object >= cc->first_new && object < cc->c->next_object)
			continue;
		err = pageio_remove(&cc->c->io, object);
		n += !err;
	}
	repair_note(cc, "%llu removed", (unsigned long long)n);
	return err;
}
