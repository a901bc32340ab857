/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Repair: findings that are held, the order in which they are mended, and how that is told. */
#include "fs/repair.h"

#include "common/log.h"
#include "fs/txn.h"

#include <dirent.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define HELD_MAX ((size_t)16 << 20) /* bytes of findings held in a round */

/* all: only with FS_REPAIR_ALL. */
static const struct {
	uint8_t step;
	bool all;
	repair_fn *fix;
} kinds[REPAIR_N] = {
	[REPAIR_MODE] = { REPAIR_STEP_LOWER, false, repair_mode },
	[REPAIR_FOLDER] = { REPAIR_STEP_LOWER, false, repair_folder },
	[REPAIR_LEASE] = { REPAIR_STEP_LOWER, true, repair_lease },
	[REPAIR_SIZE] = { REPAIR_STEP_LOWER, false, repair_size },
	[REPAIR_UNSHARE] = { REPAIR_STEP_LOWER, false, repair_unshare },
	[REPAIR_STRAY] = { REPAIR_STEP_LOWER, true, repair_stray },
	[REPAIR_TEMP] = { REPAIR_STEP_LOWER, false, repair_temp },
	[REPAIR_JOURNAL_CUT] = { REPAIR_STEP_LOWER, true, repair_journal_cut },
	[REPAIR_JOURNAL_NEW] = { REPAIR_STEP_LOWER, true, repair_journal_new },
	[REPAIR_ROOT_PAGE] = { REPAIR_STEP_ROOT, false, repair_root_page },
	[REPAIR_NEXT_OBJECT] = { REPAIR_STEP_OBJECTS, false, repair_next_object },
	[REPAIR_SHARED] = { REPAIR_STEP_OBJECTS, true, repair_shared },
	[REPAIR_COMMIT] = { REPAIR_STEP_TREE, false, repair_commit },
	[REPAIR_TOUCH] = { REPAIR_STEP_TREE, false, repair_touch },
	[REPAIR_COPY] = { REPAIR_STEP_TREE, false, repair_copy },
	[REPAIR_TABLE] = { REPAIR_STEP_TREE, true, repair_table },
	[REPAIR_FREE_RECORD] = { REPAIR_STEP_TREE, true, repair_free_record },
	[REPAIR_RECORD] = { REPAIR_STEP_TREE, true, repair_record },
	[REPAIR_ROOT_DIR] = { REPAIR_STEP_TREE, true, repair_root_dir },
	[REPAIR_DIR_LOST] = { REPAIR_STEP_TREE, true, repair_dir_lost },
	[REPAIR_DIR_GONE] = { REPAIR_STEP_TREE, true, repair_dir_gone },
	[REPAIR_DIR_PAGE] = { REPAIR_STEP_TREE, true, repair_dir_page },
	[REPAIR_DIR_BEHIND] = { REPAIR_STEP_TREE, true, repair_dir_behind },
	[REPAIR_ENTRY] = { REPAIR_STEP_TREE, true, repair_entry },
	[REPAIR_GATE] = { REPAIR_STEP_TREE, true, repair_gate },
	[REPAIR_RUBBISH] = { REPAIR_STEP_COUNTS, false, repair_rubbish },
	[REPAIR_BITMAP] = { REPAIR_STEP_COUNTS, false, repair_bitmap },
	[REPAIR_COUNTS] = { REPAIR_STEP_COUNTS, false, repair_counts },
	[REPAIR_PARENT] = { REPAIR_STEP_COUNTS, false, repair_parent },
	[REPAIR_ENTRIES] = { REPAIR_STEP_COUNTS, false, repair_entries },
	[REPAIR_DIR_STORED] = { REPAIR_STEP_COUNTS, false, repair_stored },
	[REPAIR_NLINK] = { REPAIR_STEP_COUNTS, false, repair_nlink },
	[REPAIR_CONNECT] = { REPAIR_STEP_COUNTS, true, repair_connect },
	[REPAIR_ORPHANS] = { REPAIR_STEP_COUNTS, false, repair_orphans },
	[REPAIR_DATA] = { REPAIR_STEP_CONTENTS, true, repair_data },
	[REPAIR_DATA_GONE] = { REPAIR_STEP_CONTENTS, true, repair_data_gone },
	[REPAIR_STORED] = { REPAIR_STEP_CONTENTS, false, repair_stored },
	[REPAIR_TAIL] = { REPAIR_STEP_CONTENTS, true, repair_tail },
	[REPAIR_BEHIND] = { REPAIR_STEP_CONTENTS, true, repair_behind },
	[REPAIR_TO_FILE] = { REPAIR_STEP_CONTENTS, true, repair_to_file },
	[REPAIR_LINK] = { REPAIR_STEP_CONTENTS, true, repair_link },
	[REPAIR_XATTRS] = { REPAIR_STEP_CONTENTS, true, repair_xattrs },
	[REPAIR_XATTR_LIST] = { REPAIR_STEP_CONTENTS, true, repair_xattr_list },
	[REPAIR_FIELDS] = { REPAIR_STEP_CONTENTS, false, repair_fields },
};

/* A finding that waits for its repair. */
struct repair_held {
	struct repair_held *next;
	struct repair repair; /* its name is owned */
	char *path, *text, *done;
};

void repair_want(struct check_comp *cc, const struct repair *r)
{
	/* Nothing is repaired beside a writer. */
	if (!cc->follow)
		cc->want = *r;
}

static bool allowed(const struct check_comp *cc, enum repair_kind kind)
{
	enum fs_repair level = cc->k->check->repair;

	if (kind == REPAIR_NONE || level == FS_REPAIR_NONE || (kinds[kind].all && level != FS_REPAIR_ALL))
		return false;
	return cc->fc->key ||
	       (kinds[kind].step == REPAIR_STEP_LOWER && kind != REPAIR_JOURNAL_CUT && kind != REPAIR_JOURNAL_NEW);
}

static void free_held(struct repair_held *h)
{
	free((char *)(uintptr_t)h->repair.name);
	free(h->path);
	free(h->text);
	free(h->done);
	free(h);
}

static unsigned lowest_step(const struct check_comp *cc)
{
	unsigned step = UINT32_MAX;

	for (const struct repair_held *h = cc->held; h; h = h->next)
		step = CL_MIN(step, (unsigned)kinds[h->repair.kind].step);
	return step;
}

static void drop_held(struct check_comp *cc)
{
	while (cc->held) {
		struct repair_held *h = cc->held;
		cc->held = h->next;
		free_held(h);
	}
	cc->held_end = &cc->held;
	cc->held_bytes = 0;
}

static uint64_t hash_of(const char *path, const char *text)
{
	return XXH3_64bits_withSeed(text, strlen(text), XXH3_64bits(path, strlen(path)));
}

static int by_number(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;
	return *x < *y ? -1 : *x > *y;
}

/* A sector that takes no data, for instance: to write it once more does not help. */
static bool was_mended(const struct check_comp *cc, const char *path, const char *text)
{
	uint64_t hash = hash_of(path, text);

	return cc->n_mended && bsearch(&hash, cc->mended, cc->n_mended, sizeof hash, by_number);
}

bool repair_hold(struct check_comp *cc, enum check_kind kind, const char *path, const char *text)
{
	struct repair want = cc->want;

	cc->want = (struct repair){ .kind = REPAIR_NONE };
	if (!cc->in_round)
		return false;
	if (!allowed(cc, want.kind)) {
		cc->left += kind == CHECK_ERROR;
		cc->notes += kind != CHECK_ERROR;
		return true;
	}
	unsigned step = kinds[want.kind].step;
	if (was_mended(cc, path, text)) {
		cc->left++;
		return true;
	}
	if (cc->held_bytes >= HELD_MAX && lowest_step(cc) > step) {
		cc->waiting_step = CL_MIN(cc->waiting_step, lowest_step(cc));
		drop_held(cc); /* their turn comes after this one's */
	}
	struct repair_held *h = cc->held_bytes < HELD_MAX ? calloc(1, sizeof *h) : NULL;
	if (h) {
		h->repair = want;
		h->repair.name = want.name ? strdup(want.name) : NULL;
		h->path = strdup(path);
		h->text = strdup(text);
	}
	if (!h || !h->path || !h->text || (want.name && !h->repair.name)) {
		if (h)
			free_held(h);
		cc->waiting_step = CL_MIN(cc->waiting_step, step); /* found again in the next round */
		return true;
	}
	cc->held_bytes += sizeof *h + strlen(path) + strlen(text);
	*cc->held_end = h;
	cc->held_end = &h->next;
	return true;
}

void repair_forget(struct check_comp *cc)
{
	drop_held(cc);
	cc->left = cc->notes = 0;
	cc->waiting_step = UINT32_MAX;
	cc->want = (struct repair){ .kind = REPAIR_NONE };
}

bool repair_any(const struct check_comp *cc, unsigned last_step)
{
	return lowest_step(cc) <= last_step;
}

void repair_note(struct check_comp *cc, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(cc->k->note, sizeof cc->k->note, fmt, ap);
	va_end(ap);
}

/* One finding; what was done is told when it is durable. */
static int fix(struct check_comp *cc, struct repair_held *h)
{
	cc->k->note[0] = '\0';
	int err = kinds[h->repair.kind].fix(cc, &h->repair);
	if (err) {
		if (err != -EOPNOTSUPP)
			log_warn("compartment %s: cannot be repaired: %s%s%s: %s", cc->name, h->path,
				 *h->path ? ": " : "", h->text, strerror(-err));
		return err;
	}
	h->done = strdup(cc->k->note);
	return 0;
}

static bool wants_quarantine(enum repair_kind kind)
{
	return kind == REPAIR_DATA || kind == REPAIR_DATA_GONE || kind == REPAIR_TO_FILE || kind == REPAIR_LINK ||
	       kind == REPAIR_XATTRS;
}

/* Names of files with damaged contents go first, in one pass over all directories. */
static int isolate(struct check_comp *cc)
{
	uint64_t *inos = NULL;
	size_t n = 0, cap = 0;
	int err = 0;

	for (struct repair_held *h = cc->held; h && !err; h = h->next) {
		if (!wants_quarantine(h->repair.kind))
			continue;
		uint32_t slot = check_find(cc, h->repair.ino);
		if (slot == CHECK_NONE || cc->inodes[slot].type == DT_DIR /* stays where it is, its mode is cut */)
			continue;
		uint64_t *p = check_grow(inos, n, &cap, sizeof *p);
		if (!p) {
			err = -ENOMEM;
			break;
		}
		inos = p;
		inos[n++] = h->repair.ino;
	}
	if (n && !err) {
		qsort(inos, n, sizeof *inos, by_number);
		err = repair_remove_names(cc, inos, n);
	}
	free(inos);
	return err;
}

static void tell(struct check_comp *cc, const struct repair_held *h)
{
	struct checker *k = cc->k;
	uint64_t *p = check_grow(cc->mended, cc->n_mended, &cc->cap_mended, sizeof *p);

	if (p) {
		cc->mended = p;
		p[cc->n_mended++] = hash_of(h->path, h->text);
	}
	k->check->ret_fixed++;
	if (!k->check->report)
		return;
	if (h->done && *h->done)
		snprintf(k->text, sizeof k->text, "%s; %s", h->text, h->done);
	else
		snprintf(k->text, sizeof k->text, "%s", h->text);
	k->check->report(k->check->arg, h->path, k->text, true);
}

/* Without a lease nobody is kept from working there: then it alone is put right. */
static bool may_run(const struct check_comp *cc, const struct repair *r)
{
	return cc->lease || r->kind == REPAIR_LEASE || (r->name && !strcmp(r->name, "lease"));
}

/* Steps 0 and 1: the compartment is not open. The lease is ours alone meanwhile. */
static int run_lower(struct check_comp *cc, unsigned step, size_t *ret_n)
{
	const struct store_ops *ops = cc->store->ops;
	int err = cc->lease ? ops->lock(cc->store, cc->lease, STORE_EXCLUSIVE) : 0;

	if (err)
		return err == -EAGAIN ? -EBUSY : err;
	for (struct repair_held *h = cc->held; h; h = h->next)
		if (kinds[h->repair.kind].step == step && may_run(cc, &h->repair) && !fix(cc, h)) {
			tell(cc, h);
			++*ret_n;
		}
	if (cc->lease && ops->lock(cc->store, cc->lease, STORE_SHARED))
		log_warn("compartment %s: cannot share its lease", cc->name);
	return 0;
}

/* Bitmaps first: new inodes need them. */
static bool is_first(enum repair_kind kind)
{
	return kind == REPAIR_RUBBISH || kind == REPAIR_BITMAP || kind == REPAIR_COUNTS;
}

static int run_open(struct check_comp *cc, unsigned step, size_t *ret_n, struct fault *f)
{
	struct fs_config cfg = cc->k->cfg;
	struct fault why = { 0 };
	size_t n = 0;

	cfg.read_only = false;
	int err = comp_open_repair(cc->k->volume, cc->fc, cc->lease, &cfg, &cc->c, &why);
	if (!err && !cc->c->writable) {
		comp_free(cc->c);
		err = -EROFS;
	}
	if (err) {
		cc->c = NULL;
		if (err == -EBUSY || check_is_ours(err))
			*f = why;
		else
			log_warn("compartment %s: cannot be repaired: %s", cc->name,
				 why.text[0] ? why.text : strerror(-err));
		return err;
	}
	cc->first_new = cc->c->next_object;
	if (step == REPAIR_STEP_CONTENTS)
		err = isolate(cc);
	for (unsigned pass = 0; pass < 2 && !err; pass++)
		for (struct repair_held *h = cc->held; h; h = h->next)
			if (kinds[h->repair.kind].step == step && is_first(h->repair.kind) == (pass == 0))
				n += !fix(cc, h);
	/* What was mended after that may concern them again. */
	if (!err && n && step == REPAIR_STEP_COUNTS)
		err = repair_counts(cc, NULL);
	int closed = comp_close(cc->c);
	cc->c = NULL;
	if (closed) {
		log_warn("compartment %s: repairs cannot be made durable: %s", cc->name, strerror(-closed));
		return 0;
	}
	for (struct repair_held *h = cc->held; h; h = h->next)
		if (h->done)
			tell(cc, h);
	*ret_n = n;
	return check_is_ours(err) ? err : 0;
}

int repair_run(struct check_comp *cc, unsigned last_step, bool *ret_changed, struct fault *f)
{
	unsigned step = lowest_step(cc);
	size_t n = 0;
	int err = 0;

	*ret_changed = false;
	if (step > last_step) {
		repair_forget(cc);
		return 0;
	}
	if (step <= REPAIR_STEP_ROOT)
		err = run_lower(cc, step, &n);
	else
		err = run_open(cc, step, &n, f);
	repair_forget(cc);
	if (cc->n_mended)
		qsort(cc->mended, cc->n_mended, sizeof *cc->mended, by_number);
	*ret_changed = n != 0;
	if (err == -EBUSY && !f->text[0])
		fault_set(f, err, CL_EXIT_FAILED, "the volume is in use: compartment %s is being read", cc->name);
	if (err == -EBUSY)
		return err;
	if (check_is_ours(err) && !f->text[0])
		fault_set(f, err, CL_EXIT_FAILED, "compartment %s: cannot go on repairing: %s", cc->name, strerror(-err));
	return check_is_ours(err) ? err : 0;
}

int repair_begin(struct check_comp *cc, uint64_t ino, struct inode **ret)
{
	return repair_begin_kind(cc, ROOM_CHANGE, ino, ret);
}

int repair_begin_kind(struct check_comp *cc, enum room_kind kind, uint64_t ino, struct inode **ret)
{
	struct comp *c = cc->c;
	int err = txn_begin_kind(c, kind);

	if (err)
		return err;
	err = inode_get(c, ino, ret);
	if (err) {
		txn_end(c);
		return err;
	}
	err = inode_dirty(*ret);
	return err ? repair_end(*ret, err) : 0;
}

int repair_end(struct inode *i, int err)
{
	struct comp *c = i->comp;

	inode_put(i);
	txn_end(c);
	return err;
}

int repair_make_hole(struct tree *t, uint64_t first, uint64_t last, uint64_t *io_stored)
{
	int err = tree_zero(t, first, last, io_stored);

	/* The root of the tree itself: nothing of it is cached, for nothing could be reached. */
	if (err == -EBADMSG && first == 0 && last >= ((uint64_t)1 << (7 * t->height)) - 1) {
		memset(&t->root, 0, sizeof t->root);
		t->freed = true;
		*io_stored = 0;
		err = 0;
	}
	return err;
}

int repair_count_stored(struct inode *i)
{
	uint64_t n = 0;

	for (uint64_t at = 0; at < TREE_LEAVES_MAX; at++, n++) {
		int err = tree_next(&i->data, at, TREE_LEAVES_MAX, false, &at);
		if (err)
			return err;
		if (at == TREE_LEAVES_MAX)
			break;
	}
	i->stored = n;
	return 0;
}

bool repair_is_shared(const struct check_comp *cc, uint64_t object)
{
	size_t low = 0, high = cc->n_objects;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (cc->objects[mid].object < object)
			low = mid + 1;
		else
			high = mid;
	}
	return low + 1 < cc->n_objects && cc->objects[low].object == object && cc->objects[low + 1].object == object;
}
