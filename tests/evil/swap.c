/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Lower files taken away, cut, made longer, exchanged, put in each other's place, and put back as they were at an
 * earlier commit: alone, in pairs, and page by page. What is then read is right, or an error; or, where the journal
 * itself was changed, all of it is a state that was committed. To put back all of a compartment is not detected here:
 * nothing outside of it knows better.
 */
#include "tests/evil/trial.h"

#include "common/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LAST = SCENE_STAGES - 1 };

enum deed { DELETE, EMPTY, HALF, BYTE_LESS, BYTE_MORE, PAGE_MORE, NOISE_MORE, OLDER, DEEDS = OLDER + LAST };
static const char *const deed_names[] = { "delete",    "empty",      "halve",      "a byte less", "a byte more",
					  "page more", "noise more", "of stage 0", "of stage 1",  "of stage 2" };

struct swapping {
	const struct scene *s;
	const struct trial_options *o;
	uint64_t rand;
	unsigned stage;
	const struct image *from; /* what is changed */
	bool killed; /* its journal has what its root pages do not show: without it they are as old as they look */
	char what[400];
	struct scene_result r;
	struct trial_check c;
	unsigned long n, refused, lost, right, older;
};

/* Of all commits from this one back, one must be what is read, whole or with errors. Returns it; -1: none. */
static int state_of(struct swapping *w, struct fs *fs, bool upper, unsigned oldest)
{
	static struct scene_state lower;
	char first[sizeof w->r.wrong] = "";

	for (int n = (int)w->stage; n >= (int)oldest; n--) {
		const struct scene_state *state = &w->s->state[n];
		if (!upper) {
			scene_lower_only(state, &lower);
			state = &lower;
		}
		scene_read(state, fs, NULL, 0, &w->r);
		if (!w->r.wrong[0])
			return n;
		if (!first[0])
			strcpy(first, w->r.wrong);
	}
	trial_fail("%s: %s", w->what, first);
	return -1;
}

/* What may refuse: damage, and files that are not there. */
static bool may_refuse(int err)
{
	return SCENE_LOST(err) || err == -ENOENT;
}

/* Opens im in this way and reads it. *ret_bad: something could not be read. Returns the state that was found. */
static int judge_one(struct swapping *w, struct image *im, enum trial_how how, unsigned oldest, bool *ret_bad)
{
	struct trial t;
	int err = trial_open(&t, w->s, im, how), found = (int)w->stage;

	*ret_bad = err;
	w->r.errors = 0;
	if (err) {
		if (!may_refuse(err))
			trial_fail("%s: refused with %d: %s", w->what, err, t.why.text);
		return found;
	}
	found = state_of(w, t.fs, how != TRIAL_LOWER, oldest);
	*ret_bad = w->r.errors;
	err = trial_close(&t);
	if (err && how == TRIAL_LOOK)
		trial_fail("%s: closing: %d", w->what, err);
	return found;
}

/* fsck names what is lost by its path, or the directory that it is in. */
static void check_named(struct swapping *w, const struct scene_state *state)
{
	for (size_t i = 0; i < state->n; i++) {
		bool named = !w->r.lost[i] || w->r.lost[0]; /* without the root directory there are no paths */
		for (int at = (int)i; at >= 0 && !named; at = state->e[at].parent)
			named = trial_names(&w->c, state, (size_t)at);
		if (!named && w->c.n < CL_ARRAY_LEN(w->c.paths))
			trial_fail("%s: fsck does not name %s, but says %s", w->what, state->e[i].path,
				   w->c.n_text ? w->c.text[0] : "nothing");
	}
}

/*
 * One changed image, read-only and with replay. oldest: the oldest commit that it may show; the newest when that is the
 * stage itself.
 */
static void judge(struct swapping *w, struct image *im, unsigned oldest)
{
	bool bad, bad_now;
	int found = judge_one(w, im, TRIAL_LOOK, oldest, &bad);
	struct image *copy = image_copy(im);

	w->n++;
	trial_fsck(w->s, im, &w->c);
	if (w->c.err)
		trial_fail("%s: fsck: %d", w->what, w->c.err);
	if (bad && !w->c.errors)
		trial_fail("%s: a reader finds errors, fsck does not", w->what);
	if (found != (int)w->stage)
		w->older++;
	else if (bad && !w->r.errors)
		w->refused++;
	else if (bad)
		w->lost++;
	else
		w->right++;
	bool refused = bad && !w->r.errors;
	if (found >= 0 && bad && !refused)
		check_named(w, &w->s->state[found]);
	/* A session that writes sees the same, and so does the one after it. Where one that reads refuses, it refuses. */
	enum trial_how how = w->n % 2 && !refused ? TRIAL_LOWER : TRIAL_UPPER;
	if (judge_one(w, copy, how, oldest, &bad_now) != found)
		trial_fail("%s: a session that writes finds another state than one that reads", w->what);
	if (refused && !(bad_now && !w->r.errors))
		trial_fail("%s: a session that writes opens what one that reads refuses", w->what);
	if (!refused && judge_one(w, copy, TRIAL_LOOK, oldest, &bad_now) != found)
		trial_fail("%s: another state after a session that writes", w->what);
	image_free(copy);
}

/* Does it to one file. False: that would change nothing. *io_oldest: what may be shown then. */
static bool commit_deed(struct swapping *w, struct image *im, const struct image_file *which, enum deed deed,
			unsigned *io_oldest)
{
	uint8_t noise[CL_PAGE] = { 1, 2, 3, 4 };
	struct image_file *f = image_find(im, which->comp, which->name);
	const struct image_file *old = NULL;

	if (!f)
		return false;
	if (!strcmp(f->name, "journal") && w->killed)
		*io_oldest = 0;
	uint64_t size = f->size;
	switch ((unsigned)deed) {
	case DELETE:
		image_remove(im, which->comp, which->name);
		return true;
	case EMPTY:
		image_cut(f, 0);
		break;
	case HALF:
		image_cut(f, size / CL_PAGE / 2 * CL_PAGE);
		break;
	case BYTE_LESS:
		image_cut(f, size ? size - 1 : 0);
		break;
	case BYTE_MORE:
		image_cut(f, size + 1);
		break;
	case PAGE_MORE:
		image_cut(f, size + CL_PAGE);
		break;
	case NOISE_MORE:
		for (unsigned i = 4; i < CL_PAGE; i++)
			noise[i] = (uint8_t)trial_rand(&w->rand);
		image_write(f, noise, sizeof noise, size);
		break;
	default:
		if ((unsigned)(deed - OLDER) < w->stage)
			old = image_find(w->s->image[deed - OLDER], which->comp, which->name);
		if (!old || image_same(old, f))
			return false;
		image_put(im, which->comp, which->name, old);
		return true;
	}
	return size != f->size;
}

static const char *label(const struct image_file *f)
{
	static char text[4][STORE_NAME_MAX + 8];
	static unsigned n;
	char *t = text[n++ % 4];

	snprintf(t, sizeof text[0], "%d/%s", f->comp, f->name);
	return t;
}

static bool by_chance(struct swapping *w)
{
	return trial_rand(&w->rand) % 100 < w->o->share;
}

/* Each deed to each file. */
static void alone(struct swapping *w)
{
	for (size_t i = 0; i < w->from->n; i++)
		for (unsigned d = 0; d < DEEDS; d++) {
			unsigned oldest = w->stage;
			if (w->o->few && trial_rand(&w->rand) % 32)
				continue;
			struct image *im = image_copy(w->from);
			if (commit_deed(w, im, w->from->files[i], d, &oldest)) {
				snprintf(w->what, sizeof w->what, "stage %u: %s %s", w->stage, deed_names[d],
					 label(w->from->files[i]));
				judge(w, im, oldest);
			}
			image_free(im);
		}
}

/* Files that belong together, by twos. */
static void in_pairs(struct swapping *w)
{
	static const char *const set[] = { "root",
					   "root.copy",
					   "journal",
					   "01/0000000000000001",
					   "01/0000000000000001.copy",
					   "02/0000000000000002",
					   "02/0000000000000002.copy",
					   "10/0000000000000010",
					   "12/0000000000000012" };

	for (size_t a = 0; a < CL_ARRAY_LEN(set); a++)
		for (size_t b = a + 1; b < CL_ARRAY_LEN(set); b++)
			for (unsigned d = 0; d < DEEDS * DEEDS; d++) {
				const struct image_file *x = image_find(w->from, 0, set[a]),
							*y = image_find(w->from, 0, set[b]);
				unsigned oldest = w->stage;
				if (!x || !y || !by_chance(w))
					continue;
				struct image *im = image_copy(w->from);
				bool done = commit_deed(w, im, x, d / DEEDS, &oldest);
				done &= commit_deed(w, im, y, d % DEEDS, &oldest);
				snprintf(w->what, sizeof w->what, "stage %u: %s %s, %s %s", w->stage,
					 deed_names[d / DEEDS], set[a], deed_names[d % DEEDS], set[b]);
				if (done)
					judge(w, im, oldest);
				image_free(im);
			}
}

/* Each file in the place of each other one, and for each other. */
static void exchanged(struct swapping *w)
{
	const struct image *from = w->from;

	for (size_t a = 0; a < from->n; a++)
		for (size_t b = 0; b < from->n; b++) {
			if (a == b || image_same(from->files[a], from->files[b]) || !by_chance(w))
				continue;
			bool journal =
				!strcmp(from->files[a]->name, "journal") || !strcmp(from->files[b]->name, "journal");
			unsigned oldest = journal && w->killed ? 0 : w->stage;
			struct image *im = image_copy(from);
			if (a < b && trial_rand(&w->rand) % 2) {
				image_swap(im->files[a], im->files[b]);
				snprintf(w->what, sizeof w->what, "stage %u: %s and %s exchanged", w->stage,
					 label(from->files[a]), label(from->files[b]));
			} else {
				image_put(im, from->files[a]->comp, from->files[a]->name, from->files[b]);
				snprintf(w->what, sizeof w->what, "stage %u: %s in the place of %s", w->stage,
					 label(from->files[b]), label(from->files[a]));
			}
			judge(w, im, oldest);
			image_free(im);
		}
}

static void exchange_pages(struct swapping *w, size_t a, size_t pa, size_t b, size_t pb)
{
	struct image *im = image_copy(w->from);
	uint8_t x[CL_PAGE] = { 0 }, y[CL_PAGE] = { 0 };

	image_read(im->files[a], x, CL_PAGE, pa * CL_PAGE);
	image_read(im->files[b], y, CL_PAGE, pb * CL_PAGE);
	if (memcmp(x, y, CL_PAGE) != 0) {
		bool journal = !strcmp(im->files[a]->name, "journal") || !strcmp(im->files[b]->name, "journal");
		image_write(im->files[a], y, CL_PAGE, pa * CL_PAGE);
		image_write(im->files[b], x, CL_PAGE, pb * CL_PAGE);
		snprintf(w->what, sizeof w->what, "stage %u: page %zu of %s for page %zu of %s", w->stage, pa,
			 label(im->files[a]), pb, label(im->files[b]));
		judge(w, im, journal && w->killed ? 0 : w->stage);
	}
	image_free(im);
}

/* Pages of one file, or of two, for each other. */
static void pages(struct swapping *w)
{
	const struct image *from = w->from;

	for (size_t a = 0; a < from->n; a++)
		for (size_t i = 0; i < from->files[a]->n_pages; i++) {
			if (!from->files[a]->pages[i] || !by_chance(w))
				continue;
			size_t b = trial_rand(&w->rand) % from->n;
			if (from->files[b]->n_pages)
				exchange_pages(w, a, i, b, trial_rand(&w->rand) % from->files[b]->n_pages);
			exchange_pages(w, a, i, a, trial_rand(&w->rand) % from->files[a]->n_pages);
		}
}

/* All of the lower compartment as it was: nobody can tell. But one file that stays as it is gives it away where it differs. */
static void all_back(struct swapping *w)
{
	for (unsigned to = 0; to < w->stage; to++) {
		const struct image *old = w->s->image[to];
		for (size_t but = 0; but <= w->from->n; but++) {
			struct image *im = image_copy(w->s->image[to]);
			const struct image_file *f = but < w->from->n ? w->from->files[but] : NULL;
			bool bad;
			if (f && f->comp == 0 &&
			    (!image_find(old, 0, f->name) || !image_same(f, image_find(old, 0, f->name))))
				image_put(im, 0, f->name, f);
			else if (f) {
				image_free(im);
				continue;
			}
			snprintf(w->what, sizeof w->what, "stage %u: all of stage %u but %s", w->stage, to,
				 f ? label(f) : "nothing");
			if (f)
				judge(w, im, 0);
			else if (judge_one(w, im, TRIAL_LOOK, 0, &bad) != (int)to || bad)
				trial_fail("%s: is not the older state", w->what);
			image_free(im);
		}
	}
}

static void run(struct swapping *w, unsigned stage, const struct image *from, const char *name)
{
	unsigned long before = w->n;

	w->stage = stage;
	w->from = from;
	w->killed = from == w->s->image[LAST];
	w->refused = w->lost = w->right = w->older = 0;
	alone(w);
	in_pairs(w);
	exchanged(w);
	pages(w);
	if (stage && !w->o->few)
		all_back(w);
	printf("files and pages of a volume %s: %lu changes: %lu refused, %lu with losses, %lu harmless, %lu an older "
	       "state\n",
	       name, w->n - before, w->refused, w->lost, w->right, w->older);
}

void swap_all(const struct scene *s, const struct trial_options *o)
{
	static struct swapping w;

	w.s = s;
	w.o = o;
	w.rand = o->seed;
	run(&w, LAST, s->image[LAST], "whose daemon was killed");
	run(&w, LAST, s->after, "that was closed");
	run(&w, 0, s->image[0], "that was closed before");
}
