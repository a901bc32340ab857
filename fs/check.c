/* SPDX-License-Identifier: GPL-3.0-or-later */
/* fsck: leases and replay, the order of the steps, and how findings are told. */
#include "fs/check.h"

#include "fs/fs_private.h"
#include "fs/repair.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CACHE_BYTES ((uint64_t)8 << 20) /* for what is looked up again: directories, for paths */
#define ROUNDS_MAX 64u                  /* of repair: each mends something, or is the last */
#define STEP 256u                       /* pages between calls of progress */

static void tell(struct check_comp *cc, enum check_kind kind, const char *path)
{
	struct checker *k = cc->k;

	cc->repairable += cc->want.kind != REPAIR_NONE && kind == CHECK_ERROR;
	if (kind != CHECK_FIXED && repair_hold(cc, kind, path, k->text))
		return;
	cc->told += kind == CHECK_ERROR;
	if (kind == CHECK_ERROR)
		k->check->ret_errors++;
	else if (kind == CHECK_FIXED)
		k->check->ret_fixed++;
	if (k->check->report)
		k->check->report(k->check->arg, path, k->text, kind == CHECK_FIXED);
}

void check_say(struct check_comp *cc, enum check_kind kind, const char *fmt, ...)
{
	struct checker *k = cc->k;
	va_list ap;

	int n = snprintf(k->text, sizeof k->text, "compartment %s: ", cc->name);
	va_start(ap, fmt);
	vsnprintf(k->text + n, sizeof k->text - (size_t)n, fmt, ap);
	va_end(ap);
	tell(cc, kind, "");
}

void check_say_inode(struct check_comp *cc, uint32_t slot, const char *fmt, ...)
{
	struct checker *k = cc->k;
	va_list ap;
	int n = 0;

	if (cc->scrub) {
		va_start(ap, fmt);
		check_scrub_found(cc->scrub, fmt, ap);
		va_end(ap);
		return;
	}
	const char *path = check_path(cc, slot, NULL);
	if (!path)
		n = snprintf(k->text, sizeof k->text, "compartment %s: inode %llu%s: ", cc->name,
			     (unsigned long long)check_ino(&cc->inodes[slot]),
			     cc->inodes[slot].flags & CHECK_ORPHAN ? " (unlinked)" : "");
	va_start(ap, fmt);
	vsnprintf(k->text + n, sizeof k->text - (size_t)n, fmt, ap);
	va_end(ap);
	tell(cc, CHECK_ERROR, path ? path : "");
}

void check_say_at(struct check_comp *cc, const char *path, const char *text)
{
	snprintf(cc->k->text, sizeof cc->k->text, "%s", text);
	tell(cc, CHECK_ERROR, path);
}

void check_say_entry(struct check_comp *cc, uint32_t dir, const char *name, const char *fmt, ...)
{
	struct checker *k = cc->k;
	const char *path = check_path(cc, dir, name);
	va_list ap;
	int n = 0;

	if (!path)
		n = snprintf(k->text, sizeof k->text, "compartment %s: inode %llu: entry \"%s\": ", cc->name,
			     (unsigned long long)check_ino(&cc->inodes[dir]), name);
	va_start(ap, fmt);
	vsnprintf(k->text + n, sizeof k->text - (size_t)n, fmt, ap);
	va_end(ap);
	tell(cc, CHECK_ERROR, path ? path : "");
}

void check_progress(struct checker *k, uint64_t pages)
{
	k->done += pages;
	if (!k->check->progress || k->done - k->shown < STEP)
		return;
	k->shown = k->done;
	/* What is not home yet was not counted beforehand. */
	k->all = CL_MAX(k->all, k->done);
	k->check->progress(k->check->arg, k->done, k->all);
}

const char *check_reason(int err, bool many)
{
	static char other[64];

	switch (err) {
	case -EBADMSG:
		return many ? "do not authenticate" : "does not authenticate";
	case -EUCLEAN:
		return "cannot be read: the lower file is no plain file";
	default:
		snprintf(other, sizeof other, "cannot be read: %s", strerror(-err));
		return other;
	}
}

void *check_grow(void *array, size_t n, size_t *cap, size_t item)
{
	if (n < *cap)
		return array;
	size_t more = *cap ? *cap * 2 : 1024;
	void *p = realloc(array, more * item);
	if (p)
		*cap = more;
	return p;
}

int check_hold_lease(struct check_comp *cc, struct fault *f)
{
	const struct store_ops *ops = cc->store->ops;
	char text[128] = "";
	size_t got = 0;
	/* A repair makes it exclusive, for which it must be open for writing. */
	int err = ops->open(cc->store, "lease", cc->in_round ? STORE_RDWR : STORE_RDONLY, &cc->lease);

	if (cc->in_round && (err == -EROFS || err == -EACCES))
		err = ops->open(cc->store, "lease", STORE_RDONLY, &cc->lease);
	if (err == -ENOENT || err == -EUCLEAN) {
		cc->lease = NULL;
		return 0;
	}
	if (err) {
		cc->lease = NULL;
		return fault_set(f, err, CL_EXIT_FAILED, "compartment %s: cannot open its lease file: %s", cc->name,
				 strerror(-err));
	}
	err = ops->lock(cc->store, cc->lease, STORE_SHARED);
	if (err != -EAGAIN)
		return err ? fault_set(f, err, CL_EXIT_FAILED, "compartment %s: cannot lock its lease file: %s",
				       cc->name, strerror(-err))
			   : 0;
	if (ops->pread(cc->store, cc->lease, text, sizeof text - 1, 0, &got) || !got)
		strcpy(text, "another process");
	text[strcspn(text, "\n")] = '\0';
	for (char *p = text; *p; p++)
		if ((unsigned char)*p < ' ' || (unsigned char)*p > '~')
			*p = '?';
	return fault_set(f, -EBUSY, CL_EXIT_FAILED,
			 "the volume is in use: compartment %s is open in %s; unmount it there first", cc->name, text);
}

static void drop_lease(struct check_comp *cc)
{
	if (cc->lease)
		cc->store->ops->close(cc->store, cc->lease); /* unlocks */
	cc->lease = NULL;
}

/* These end the check; everything else is a finding. */
static bool is_fatal(int err)
{
	return err == -EBUSY || check_is_ours(err);
}

/*
 * Replays and recovers, if there is a reason: a volume that was closed cleanly is not written to. Before a repair nothing but
 * the journal is: what else a crash has left is looked at first.
 */
static int recover(struct check_comp *cc, struct fault *f)
{
	struct fault why = { 0 };
	struct fs_config cfg = cc->k->cfg;
	struct comp *c;
	int err = comp_open(cc->k->volume, cc->fc, false, &cfg, &c, &why);

	if (err) {
		/* Damage: told by the steps that follow. */
		if (is_fatal(err))
			*f = why;
		return is_fatal(err) ? err : 0;
	}
	unsigned replayed = c->replayed;
	bool needed = replayed || !c->was_clean || (c->n_orphans && !cc->in_round);
	comp_free(c);
	if (!needed)
		return 0;
	cfg.read_only = false;
	err = cc->in_round ? comp_open_repair(cc->k->volume, cc->fc, cc->lease, &cfg, &c, &why)
			   : comp_open(cc->k->volume, cc->fc, true, &cfg, &c, &why);
	if (!err && !c->writable) {
		comp_free(c);
		err = fault_set(&why, -EROFS, CL_EXIT_FAILED, "cannot write to it");
	} else if (!err) {
		err = comp_close(c);
		if (err)
			fault_set(&why, err, CL_EXIT_FAILED, "%s", strerror(-err));
	}
	if (is_fatal(err)) {
		*f = why;
		return err;
	}
	if (err)
		check_say(cc, CHECK_ERROR, "was not closed cleanly, and cannot be recovered: %s", why.text);
	else
		check_say(cc, CHECK_FIXED, "was not closed cleanly: %u transaction%s of its journal replayed", replayed,
			  replayed == 1 ? "" : "s");
	return 0;
}

/* Says nothing but who has it: that somebody does must be known before anything is told, or written. */
static int enter(struct check_comp *cc, struct fault *f)
{
	struct fault why = { 0 };

	cc->missing = cc->k->volume->ops->sub(cc->k->volume, cc->id, &cc->store);
	if (cc->missing) {
		cc->store = NULL;
		return check_is_ours(cc->missing) ? fault_set(f, cc->missing, CL_EXIT_FAILED, "compartment %s: cannot open its folder: %s",
							      cc->name, strerror(-cc->missing))
						  : 0;
	}
	int err = check_hold_lease(cc, &why);
	if (err == -EBUSY && cc->k->check->follow && !cc->k->check->replay && !cc->in_round) {
		drop_lease(cc);
		cc->follow = true;
		cc->k->check->ret_followed += cc->fc->key != NULL;
		return 0;
	}
	if (err)
		*f = why;
	return err;
}

static int prepare(struct check_comp *cc, struct fault *f)
{
	if (cc->missing == -ENOENT || cc->missing == -EUCLEAN)
		check_say(cc, CHECK_ERROR, "its folder %s is missing from the backing directory", cc->id);
	else if (cc->missing)
		check_say(cc, CHECK_ERROR, "its folder %s cannot be opened: %s", cc->id, strerror(-cc->missing));
	/* Each round of a repair begins with that. */
	if (cc->missing || !cc->fc->key || !cc->k->check->replay || cc->k->check->repair != FS_REPAIR_NONE)
		return 0;
	/* Its own writer needs the lease alone. */
	drop_lease(cc);
	int err = recover(cc, f);
	return err ? err : check_hold_lease(cc, f);
}

/* Both copies at home; while the journal has a newer root page, they are written again anyway. */
static int check_roots(struct check_comp *cc)
{
	static const char *const names[2] = { "root", "root.copy" };
	uint8_t page[CL_PAGE];
	uint64_t txn[2];
	bool clean;
	int err[2];

	if (pagemap_read(cc->c->io.map, PAGEIO_OBJ_ROOT, 0, page))
		return 0;
	for (unsigned i = 0; i < 2; i++) {
		err[i] = comp_check_root(cc->c, i, &txn[i], &clean);
		if (check_is_ours(err[i]))
			return err[i];
	}
	for (unsigned i = 0; i < 2; i++) {
		if (err[i] == -ENOENT)
			continue; /* told as a missing file */
		REPAIR_WANT(cc, REPAIR_COMMIT);
		if (err[i])
			check_say(cc, CHECK_ERROR,
				  "root page: %s is damaged (it %s); %s is good, the next checkpoint writes both",
				  names[i], err[i] == -EUCLEAN ? "is malformed" : check_reason(err[i], false),
				  names[!i]);
		else if (!err[!i] && txn[i] < txn[!i])
			check_say(cc, CHECK_ERROR, "root page: %s is older than %s (transaction %llu, not %llu)",
				  names[i], names[!i], (unsigned long long)txn[i], (unsigned long long)txn[!i]);
	}
	cc->want.kind = REPAIR_NONE;
	return 0;
}

/* A round that has found something up to a step ends there, to be repaired: what comes later could be wrong for it. */
static bool ends_here(const struct check_comp *cc, unsigned step)
{
	return cc->in_round && repair_any(cc, step);
}

static int check_inside(struct check_comp *cc)
{
	if (cc->fc->rank == 0) {
		memset(cc->k->gates, 0, cc->k->n * sizeof *cc->k->gates);
		cc->k->gates_unsure = false;
	}
	uint64_t before = cc->left; /* of lower files: of no matter for names */
	int err = check_roots(cc);
	if (!err)
		err = check_table(cc);
	if (!err)
		err = check_dirs(cc);
	if (!err)
		err = check_objects(cc);
	if (err || ends_here(cc, REPAIR_STEP_TREE))
		return err;
	bool sure = cc->left == before && cc->waiting_step > REPAIR_STEP_TREE; /* of all names */
	err = check_bitmaps(cc);
	if (!err)
		err = check_links(cc);
	if (err || (sure && ends_here(cc, REPAIR_STEP_COUNTS)))
		return err;
	if (cc->in_round && !sure) {
		uint64_t left = cc->left, notes = cc->notes;
		repair_forget(cc);
		cc->left = left;
		cc->notes = notes;
	}
	return check_contents(cc);
}

static void free_lists(struct check_comp *cc)
{
	free(cc->lower);
	free(cc->inodes);
	free(cc->objects);
	free(cc->lost);
	cc->lower = NULL;
	cc->inodes = NULL;
	cc->objects = NULL;
	cc->lost = NULL;
	cc->n_lower = cc->cap_lower = cc->n_inodes = cc->cap_inodes = cc->n_objects = cc->cap_objects = 0;
	cc->n_lost = cc->cap_lost = 0;
	cc->records = cc->lower_pages = 0;
	cc->journal_bad = cc->lower_unsure = cc->lower_unread = false;
}

/* Without a replay: what the next mount does first. */
static void say_pending(struct check_comp *cc)
{
	unsigned n = cc->c->replayed;

	if (cc->k->check->replay || cc->c->was_clean)
		return;
	if (n)
		check_say(cc, CHECK_NOTE,
			  "was not closed cleanly: %u transaction%s of its journal %s to be replayed, and %s checked as if replayed", n,
			  n == 1 ? "" : "s", n == 1 ? "waits" : "wait", n == 1 ? "was" : "were");
	else
		check_say(cc, CHECK_NOTE, "was not closed cleanly; nothing of its journal is to be replayed");
}

/* Everything that needs the key. */
static int check_comp(struct check_comp *cc, struct fault *f)
{
	struct fault why = { 0 };

	if (!cc->store || !cc->fc->key)
		return 0;
	if (cc->follow) {
		cc->k->gates_unsure |= cc->fc->rank == 0;
		return check_scrub(cc, f);
	}
	if (cc->journal_bad || !cc->lease) {
		check_say(cc, CHECK_NOTE,
			  "its contents were not checked: that needs its lease file and a sound journal");
		cc->k->gates_unsure |= cc->fc->rank == 0;
		return 0;
	}
	int err = comp_open(cc->k->volume, cc->fc, false, &cc->k->cfg, &cc->c, &why);
	if (is_fatal(err)) {
		*f = why;
		return err;
	}
	if (err) {
		cc->c = NULL;
		if (cc->in_round && (repair_is_damage(err) || err == -EUCLEAN)) {
			REPAIR_WANT(cc, REPAIR_ROOT_PAGE); /* if it is that: or else nothing is told of it here */
			check_say(cc, CHECK_ERROR, "root page: both copies of it are damaged");
		} else {
			check_say(cc, CHECK_ERROR, "its contents cannot be checked: %s",
				  why.text[0] ? why.text : strerror(-err));
		}
		cc->k->gates_unsure |= cc->fc->rank == 0;
		return 0;
	}
	say_pending(cc);
	err = check_inside(cc);
	comp_free(cc->c);
	cc->c = NULL;
	return err ? fault_set(f, err, CL_EXIT_FAILED, "compartment %s: cannot go on checking: %s", cc->name,
			       strerror(-err))
		   : 0;
}

/* A compartment that no gate leads to cannot be reached. */
static int check_gates(struct checker *k, struct check_comp *cc, struct fault *f)
{
	struct check_comp *lowest = NULL;

	for (size_t i = 0; i < k->n; i++)
		if (k->list[i].key && k->list[i].rank == 0)
			lowest = &cc[i];
	for (size_t i = 0; i < k->n && lowest && !k->gates_unsure; i++) {
		bool made = false;
		int err = 0;
		if (!k->list[i].key || !k->list[i].rank || k->gates[i])
			continue;
		if (k->check->repair == FS_REPAIR_ALL)
			err = repair_add_gate(lowest, i, &made, f);
		if (err)
			return err;
		check_say(&cc[i], made ? CHECK_FIXED : CHECK_ERROR, "no entry of the volume's root directory leads to it%s",
			  made ? "; it has one again" : "");
	}
	return 0;
}

/* Lower files, and with a key all the rest, as far as it makes sense before a repair. */
static int check_round(struct check_comp *cc, bool *ret_changed, struct fault *f)
{
	int err = cc->lease ? 0 : check_hold_lease(cc, f);

	*ret_changed = false;
	if (!err && cc->fc->key && cc->lease)
		err = recover(cc, f);
	if (err)
		return err;
	err = check_lower(cc);
	if (err)
		return fault_set(f, err, CL_EXIT_FAILED, "compartment %s: cannot list its files: %s", cc->name, strerror(-err));
	cc->k->all = CL_MAX(cc->k->all, cc->k->done + (cc->fc->key ? cc->lower_pages : 0));
	if (!repair_any(cc, REPAIR_STEP_LOWER)) {
		err = check_comp(cc, f);
		if (err)
			return err;
	}
	cc->verified = !cc->left && !cc->notes && !cc->held;
	return repair_run(cc, REPAIR_STEP_CONTENTS, ret_changed, f);
}

/* Rounds, until one finds nothing that could be repaired. */
static int repair_comp(struct check_comp *cc, struct fault *f)
{
	bool changed = cc->store && !cc->follow;
	int err = 0;

	cc->in_round = true;
	for (unsigned n = 0; changed && !err && n < ROUNDS_MAX; n++) {
		free_lists(cc);
		repair_forget(cc);
		err = check_round(cc, &changed, f);
	}
	cc->in_round = false;
	free_lists(cc);
	repair_forget(cc);
	free(cc->mended);
	cc->mended = NULL;
	cc->n_mended = cc->cap_mended = 0;
	return err;
}

/* Told as it is; then, perhaps, once more as it is repaired. */
static int check_told(struct check_comp *cc, struct fault *f)
{
	struct fs_check *check = cc->k->check;
	char question[160];

	int err = check_comp(cc, f);
	free_lists(cc);
	if (err || !check->ask || !check->replay || !cc->repairable)
		return err;
	snprintf(question, sizeof question, "compartment %s: %llu of these errors can be repaired. Repair them", cc->name,
		 (unsigned long long)cc->repairable);
	if (!check->ask(check->arg, question))
		return 0;
	check->ret_errors -= cc->told;
	check->repair = FS_REPAIR_ALL;
	drop_lease(cc);
	err = repair_comp(cc, f);
	check->repair = FS_REPAIR_NONE;
	if (err || cc->verified)
		return err;
	err = check_lower(cc);
	if (!err)
		err = check_comp(cc, f);
	free_lists(cc);
	return err;
}

static int run(struct checker *k, struct check_comp *cc, struct fault *f)
{
	int err = 0;

	for (size_t i = 0; i < k->n && !err; i++) {
		cc[i].in_round = k->check->repair != FS_REPAIR_NONE;
		err = enter(&cc[i], f);
		cc[i].in_round = false;
	}
	for (size_t i = 0; i < k->n && !err; i++)
		err = prepare(&cc[i], f);
	for (size_t i = 0; i < k->n && !err && k->check->repair != FS_REPAIR_NONE; i++)
		err = repair_comp(&cc[i], f);
	for (size_t i = 0; i < k->n && !err; i++) {
		if (!cc[i].store || cc[i].verified)
			continue;
		err = check_lower(&cc[i]);
		if (err)
			fault_set(f, err, CL_EXIT_FAILED, "compartment %s: cannot list its files: %s", cc[i].name,
				  strerror(-err));
		if (cc[i].fc->key)
			k->all += cc[i].lower_pages;
	}
	for (size_t i = 0; i < k->n && !err; i++)
		if (!cc[i].verified)
			err = check_told(&cc[i], f);
	if (!err)
		err = check_gates(k, cc, f);
	if (!err && k->check->progress && k->all)
		k->check->progress(k->check->arg, k->all, k->all);
	return err;
}

int fs_check(struct store *volume, const struct fs_compartment *c, size_t n, const struct fs_config *cfg,
	     struct fs_check *check, struct fault *f)
{
	struct checker *k = calloc(1, sizeof *k);
	struct check_comp *cc = calloc(n ? n : 1, sizeof *cc);
	unsigned *gates = calloc(n ? n : 1, sizeof *gates);
	struct fault own = { 0 };
	int err = k && cc && gates ? 0 : -ENOMEM;

	check->ret_errors = check->ret_fixed = 0;
	check->ret_followed = 0;
	if (!f)
		f = &own;
	for (size_t i = 0; i < CL_ARRAY_LEN(k->buffers) && !err; i++) {
		k->buffers[i] = aligned_alloc(CL_PAGE, sizeof **k->buffers);
		if (!k->buffers[i])
			err = -ENOMEM;
	}
	if (err) {
		fault_set(f, err, CL_EXIT_FAILED, "out of memory");
		goto out;
	}
	err = fs_init(f);
	if (err)
		goto out;
	k->volume = volume;
	k->list = c;
	k->n = n;
	k->check = check;
	k->gates = gates;
	k->cfg = *cfg;
	k->cfg.read_only = true;
	k->cfg.cache_bytes = cfg->cache_bytes ? CL_MIN(cfg->cache_bytes, CACHE_BYTES) : CACHE_BYTES;
	for (size_t i = 0; i < n; i++) {
		cc[i].k = k;
		repair_forget(&cc[i]);
		cc[i].fc = &c[i];
		cc[i].at = i;
		bytes_to_hex(c[i].id, 16, cc[i].id);
		bytes_to_hex(c[i].id, 4, cc[i].name);
	}
	err = run(k, cc, f);
	for (size_t i = 0; i < n; i++) {
		free_lists(&cc[i]);
		if (!cc[i].store)
			continue;
		drop_lease(&cc[i]);
		cc[i].store->ops->free(cc[i].store);
	}
out:
	for (size_t i = 0; k && i < CL_ARRAY_LEN(k->buffers); i++) {
		if (k->buffers[i])
			secret_wipe(k->buffers[i], sizeof **k->buffers);
		free(k->buffers[i]);
	}
	free(gates);
	free(cc);
	free(k);
	return err;
}
