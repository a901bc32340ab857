/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Every byte of every lower file flipped, one at a time. What each costs is known beforehand, from the place that the
 * byte is in: nothing (and why), nothing because there is a second copy, or exactly what hangs on the page; for records
 * of the journal the refusal to open, for the last one the state before it.
 */
#include "tests/evil/places.h"
#include "tests/evil/trial.h"

#include "common/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WORKERS = 2, LAST = SCENE_STAGES - 1 };

enum { FLIPS, LOST, HEALED, REFUSED, BACK, HARMLESS, REPLAYED, OUTCOMES };

struct count {
	unsigned long n[OUTCOMES];
};

struct flipping {
	const struct scene *s;
	const struct trial_options *o;
	unsigned stage;
	struct image *im;
	uint64_t rand;
	unsigned long serial;
	struct count by_kind[PLACE_KINDS];
	struct scene_state lower,
		lower_before; /* what a session of the lower label sees of this stage and the one before */
	/* of this flip */
	bool focus;   /* only what it hits is read, and a little more */
	size_t index; /* of the file in the image */
	const struct places *at;
	const struct place *p;
	uint64_t off;
	char what[400];
	struct scene_result r;
	struct trial_check c;
};

static const char *describe(struct flipping *f)
{
	snprintf(f->what, sizeof f->what, "stage %u, %d/%s byte %llu (%s%s%.64s)", f->stage, f->at->file->comp,
		 f->at->file->name, (unsigned long long)f->off, place_names[f->p->kind], f->p->entry >= 0 ? ", " : "",
		 f->p->entry >= 0 ? f->s->state[f->stage].e[f->p->entry].path : "");
	return f->what;
}

/* The state before the last transaction: whole, but for what that one had taken away already. */
static void expect_before(struct flipping *f, struct trial *t, bool upper)
{
	const struct scene_state *before = upper ? &f->s->state[f->stage - 1] : &f->lower_before;

	scene_read(before, t->fs, NULL, f->focus ? SCENE_FOCUS : 0, &f->r);
	for (size_t i = 0; i < before->n; i++)
		if (f->r.lost[i] && !before->e[i].given_up)
			trial_fail("%s: %s is lost", describe(f), before->e[i].path);
}

static void expect_state(struct flipping *f, struct trial *t, bool upper)
{
	static struct scene_loss loss[SCENE_ENTRIES];
	const struct scene_state *state = &f->s->state[f->stage];
	const struct scene_loss *l = f->p->loss;

	if (!upper) {
		for (size_t i = 0, n = 0; i < state->n && l; i++)
			if (!(state->e[i].attr.ino >> 48))
				loss[n++] = l[i];
		state = &f->lower;
		l = l ? loss : NULL;
	}
	scene_read(state, t->fs, l, SCENE_EXACT | (f->focus ? SCENE_FOCUS : 0), &f->r);
}

/* Opens and reads. True: it opened. */
static bool look(struct flipping *f, struct image *im, enum trial_how how)
{
	struct trial t;
	bool refuse = f->p->kind == PLACE_RECORD, upper = how == TRIAL_LOOK || how == TRIAL_UPPER;

	scene_log_start();
	f->r.errors = 0;
	f->r.wrong[0] = '\0';
	int err = trial_open(&t, f->s, im, how);
	if (err) {
		if (!refuse || !SCENE_LOST(err))
			trial_fail("%s: cannot be opened: %s", describe(f), t.why.text);
		return false;
	}
	if (refuse)
		trial_fail("%s: is opened, though the journal is broken", describe(f));
	else if (f->p->kind == PLACE_LAST)
		expect_before(f, &t, upper);
	else
		expect_state(f, &t, upper);
	if (f->r.wrong[0])
		trial_fail("%s: %s", describe(f), f->r.wrong);
	bool log = f->at->file->comp && !upper
			   ? false
			   : f->p->kind == PLACE_ROOT || f->p->kind == PLACE_HEADER || f->r.errors ||
				     (f->p->kind == PLACE_TWICE && !f->focus && !strcmp(f->at->file->name, "01/0000000000000001"));
	if (log && !scene_lines[LOG_LVL_ERR] && !scene_lines[LOG_LVL_WARN])
		trial_fail("%s: no line in the log", describe(f));
	err = trial_close(&t);
	if (err)
		trial_fail("%s: closing: %d", describe(f), err);
	return true;
}

/* fsck sees what a reader sees, and more: bad copies, and what has no name. */
static void check(struct flipping *f, struct image *im, bool opened)
{
	const struct scene_state *state = &f->s->state[f->p->kind == PLACE_LAST ? f->stage - 1 : f->stage];
	bool bad = !opened || f->r.errors || f->p->kind == PLACE_ROOT || f->p->kind == PLACE_HEADER ||
		   f->p->kind == PLACE_TWICE || f->p->kind == PLACE_ORPHAN;

	trial_fsck(f->s, im, &f->c);
	if (f->c.err)
		trial_fail("%s: fsck: %d", describe(f), f->c.err);
	if (bad != (f->c.errors > 0))
		trial_fail("%s: fsck has %llu errors (%s), a reader %u", describe(f), (unsigned long long)f->c.errors,
			   f->c.n_text ? f->c.text[0] : "", f->r.errors);
	if (f->p->kind == PLACE_ONCE && !trial_names(&f->c, state, (size_t)f->p->entry))
		trial_fail("%s: fsck does not name the path, but says %s", describe(f), f->c.text[0]);
	for (size_t i = 0; i < state->n && f->p->kind == PLACE_LAST; i++)
		if (f->r.lost[i] && !trial_names(&f->c, state, i))
			trial_fail("%s: fsck does not name %s", describe(f), state->e[i].path);
}

/* With replay, healing and recovery, on a copy; and what they leave. */
static void write_too(struct flipping *f, enum trial_how how)
{
	struct image *im = image_copy(f->im);

	f->by_kind[f->p->kind].n[REPLAYED]++;
	if (look(f, im, how) && f->p->kind != PLACE_LAST) {
		/* What was healed is whole now; what has one copy is not. */
		struct place now = *f->p;
		const struct place *was = f->p;
		if (now.kind != PLACE_ONCE)
			now.kind = PLACE_UNUSED;
		f->p = &now;
		if (how == TRIAL_LOWER && f->at->file->comp == 0)
			look(f, im, TRIAL_LOOK);
		f->p = was;
	}
	image_free(im);
}

static void count(struct flipping *f, bool opened)
{
	unsigned long *n = f->by_kind[f->p->kind].n;

	n[FLIPS]++;
	if (!opened)
		n[REFUSED]++;
	else if (f->p->kind == PLACE_LAST)
		n[BACK]++;
	else if (f->r.errors || f->p->kind == PLACE_ORPHAN)
		n[LOST]++;
	else if (f->p->kind == PLACE_ROOT || f->p->kind == PLACE_HEADER || f->p->kind == PLACE_TWICE)
		n[HEALED]++;
	else
		n[HARMLESS]++;
}

static void flip_one(struct flipping *f, unsigned long serial)
{
	uint64_t chance = trial_rand(&f->rand);
	uint8_t mask = (uint8_t)(chance & 1 ? 1u << (chance >> 8) % 8 : 1 + (chance >> 8) % 255);
	uint8_t *b = image_byte(f->im->files[f->index], f->off);

	*b ^= mask;
	f->focus = serial % f->o->whole != 0;
	bool opened = look(f, f->im, f->focus && !f->at->file->comp ? TRIAL_PEEK : TRIAL_LOOK);
	count(f, opened);
	if (serial % f->o->check == 0)
		check(f, f->im, opened);
	f->focus = false;
	if (serial % f->o->write == 0)
		write_too(f, serial / f->o->write % 3 ? TRIAL_LOWER : TRIAL_UPPER);
	*b ^= mask;
}

/*
 * Which bytes of a page are flipped: all, unless no ref leads to it, nothing reads it, or all that is looked at is whether a
 * record begins there.
 */
static bool is_wanted(const struct flipping *f, size_t page, unsigned byte)
{
	if (f->p->kind == PLACE_UNUSED || (f->p->kind == PLACE_OLDER && !f->at->file->read[page]))
		return byte % 64 == 0;
	return f->p->kind != PLACE_RING || byte < 64 || byte % 64 == 0;
}

static void flip_page(struct flipping *f, size_t page)
{
	unsigned step = f->o->step;

	for (unsigned b = (unsigned)(trial_rand(&f->rand) % step); b < CL_PAGE; b += step) {
		f->off = page * CL_PAGE + b;
		if (f->off < f->at->file->size && (f->o->all || is_wanted(f, page, b)))
			flip_one(f, f->serial++);
	}
}

/* Marks the pages that anybody reads when nothing is wrong. */
static void trace(struct flipping *f)
{
	struct trial t;

	image_trace(f->im);
	if (trial_open(&t, f->s, f->im, TRIAL_LOOK)) {
		trial_fail("stage %u cannot be opened: %s", f->stage, t.why.text);
		return;
	}
	scene_read(&f->s->state[f->stage], t.fs, NULL, SCENE_EXACT | SCENE_PAGES, &f->r);
	if (f->r.wrong[0])
		trial_fail("stage %u: %s", f->stage, f->r.wrong);
	if (trial_close(&t))
		trial_fail("stage %u: closing", f->stage);
	trial_fsck(f->s, f->im, &f->c);
	if (f->c.errors || f->c.err)
		trial_fail("stage %u: fsck: %s", f->stage, f->c.text[0]);
}

/* own: only root pages and headers of journals of the lower compartment; what else there is another stage has. */
static void flip_stage(struct flipping *f, unsigned worker, bool own)
{
	f->im = image_copy(f->s->image[f->stage]);
	struct places *p = places_find(f->s, f->im, &f->s->state[f->stage]);
	scene_lower_only(&f->s->state[f->stage], &f->lower);
	scene_lower_only(&f->s->state[f->stage ? f->stage - 1 : 0], &f->lower_before);
	trace(f);
	for (size_t i = 0; i < f->im->n; i++) {
		f->index = i;
		f->at = &p[i];
		for (size_t k = 0; k < p[i].n; k++) {
			f->p = &p[i].pages[k];
			bool other =
				own && (p[i].file->comp || (f->p->kind != PLACE_ROOT && f->p->kind != PLACE_HEADER));
			if ((i + k) % WORKERS == worker && !other)
				flip_page(f, k);
		}
	}
	places_free(p, f->im);
	image_free(f->im);
}

static void report(const struct count *n)
{
	static const char *const outcomes[OUTCOMES] = { "flips", "lost",     "healed",  "refused",
							"back",  "harmless", "replayed" };
	struct count all = { 0 };

	printf("%-26s", "a bit flipped in");
	for (unsigned o = 0; o < OUTCOMES; o++)
		printf(" %8s", outcomes[o]);
	for (unsigned k = 0; k <= PLACE_KINDS; k++) {
		printf("\n%-26s", k < PLACE_KINDS ? place_names[k] : "in all");
		for (unsigned o = 0; o < OUTCOMES; o++) {
			printf(" %8lu", k < PLACE_KINDS ? n[k].n[o] : all.n[o]);
			if (k < PLACE_KINDS)
				all.n[o] += n[k].n[o];
		}
	}
	putchar('\n');
}

static void work(const struct scene *s, const struct trial_options *o, unsigned worker, struct count *ret)
{
	static struct flipping f;
	f.s = s;
	f.o = o;
	f.rand = o->seed + worker;
	f.stage = LAST;
	flip_stage(&f, worker, false);
	f.stage = 0;
	flip_stage(&f, worker, !o->all);
	memcpy(ret, f.by_kind, sizeof f.by_kind);
}

/* Keys do not survive a fork: each worker makes a volume of its own. */
static int start(const struct trial_options *o, unsigned worker, int fd)
{
	struct count n[PLACE_KINDS] = { 0 };
	static struct scene s;

	fflush(stdout);
	pid_t pid = fork();
	if (pid)
		return pid;
	scene_make(&s);
	work(&s, o, worker, n);
	scene_free(&s);
	scene_done();
	if (write(fd, n, sizeof n) != (ssize_t)sizeof n)
		trial_failures++;
	fflush(stdout);
	_exit(trial_failures ? 1 : 0);
}

void flip_all(const struct trial_options *o)
{
	struct count sum[PLACE_KINDS] = { 0 }, n[PLACE_KINDS];
	int fd[2], status;

	if (pipe(fd) < 0)
		abort();
	for (unsigned w = 0; w < WORKERS; w++)
		if (start(o, w, fd[1]) < 0)
			abort();
	close(fd[1]);
	for (unsigned w = 0; w < WORKERS; w++) {
		if (read(fd[0], n, sizeof n) != (ssize_t)sizeof n) {
			trial_fail("a worker died");
			continue;
		}
		for (size_t i = 0; i < PLACE_KINDS * OUTCOMES; i++)
			sum[i / OUTCOMES].n[i % OUTCOMES] += n[i / OUTCOMES].n[i % OUTCOMES];
	}
	close(fd[0]);
	while (wait(&status) > 0)
		if (status)
			trial_failures++;
	report(sum);
}
