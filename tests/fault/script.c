/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Runs a script: the volume, each step in the engine and in the reference, and the end. */
#include "tests/fault/script.h"

#include "common/log.h"
#include "fs/fs_private.h"
#include "fs/seal.h"
#include "fs/txn.h"
#include "tests/fault/steps.h"

#include <stdlib.h>
#include <string.h>

#define READ_ONLY_LINE "read-only from now on"

static void complain(struct run *r, const char *what, const char *detail)
{
	fprintf(stderr, "fault: %s: operation %zu (%s %s): %s%s%s\n", r->script->name, r->n_ops, step_name(r->op), r->about, what,
		*detail ? ": " : "", detail);
	r->bad = true;
}

/* A failing disk is not damage, and none is claimed; one line says that the volume became read-only. */
static void on_log(enum log_level lvl, const char *line, void *arg)
{
	struct run *r = arg;

	if (r->trace)
		printf("    log: %s\n", line);
	if (strstr(line, READ_ONLY_LINE))
		r->read_only_lines++;
	if (strstr(line, "does not authenticate") || strstr(line, "is damaged") || strstr(line, "was damaged") ||
	    strstr(line, "alformed") || strstr(line, "run fsck"))
		complain(r, "the log claims damage", line);
	(void)lvl;
}

static bool excused(const struct run *r, int err)
{
	const struct trouble *t = r->trouble;

	if (err == r->expected)
		return true;
	if (r->was_failed && err == (step_is_sync(r->op) || r->op == STEP_CLOSE_VOLUME ? -EIO : -EROFS))
		return true;
	if (t->hits(t) == r->hits_before && !r->was_failed)
		return false;
	/* The commit that an operation had to make first may be what failed. */
	if (run_failed(r) && (err == -EROFS || err == -EIO))
		return true;
	return t->allowed ? t->allowed(t, err) : err == -t->err;
}

bool run_failed(const struct run *r)
{
	return r->fs && atomic_load(&fs_own(r->fs)->failed);
}

/* With nothing failing for the moment. */
static void check_now(struct run *r)
{
	r->trouble->pause(r->trouble, true);
	if (!past_is_now(r->past, r->fs))
		complain(r, "after it the tree is not what it should be", "");
	r->trouble->pause(r->trouble, false);
}

static bool was_hit(const struct run *r)
{
	return r->trouble->hits(r->trouble) != r->hits_before;
}

/* A volume is closed with what it has in its journal, and cannot bring home for the moment. */
static bool no_room(const struct run *r)
{
	return r->trouble->err == ENOSPC || r->trouble->err == EDQUOT || r->trouble->err == ENOMEM;
}

/* Sees to the result of an operation; true: it has been done. */
static bool judge(struct run *r, int err)
{
	if (r->trace)
		printf("  %zu %s %s: %s%s\n", r->n_ops, step_name(r->op), r->about, err ? strerror(-err) : "ok",
		       r->trouble->hits(r->trouble) != r->hits_before ? " (hit)" : "");
	if (err && !excused(r, err))
		complain(r, "unexpected error", strerror(-err));
	if (!err && r->was_failed && step_changes(r->op))
		complain(r, "it was done on a volume that is read-only", "");
	if (!err && was_hit(r) && r->trouble->grave && r->trouble->grave(r->trouble) &&
	    (step_is_sync(r->op) || (r->op == STEP_CLOSE_VOLUME && !no_room(r))))
		complain(r, "it says that all is durable, and it is not", "");
	if (r->fs && run_failed(r) && r->read_only_lines != 1)
		complain(r, "the log does not say once that and why the volume is read-only", "");
	return !err;
}

static void begin(struct run *r, enum step_op op, const char *about)
{
	r->op = op;
	r->about = about;
	r->n_ops++;
	r->expected = 0;
	r->was_failed = run_failed(r);
	r->hits_before = r->trouble->hits(r->trouble);
}

void run_op(struct run *r, const struct step *s)
{
	/* What failed once and has not made the volume read-only works the second time. */
	for (unsigned tries = 0; tries < 2 && !r->bad; tries++) {
		if (r->fs) /* a full disk is asked again whether there is room, which is not done all the time */
			atomic_store(&fs_own(r->fs)->full_ms, -100000);
		begin(r, s->op, s->a ? s->a : "");
		int err = step_do(r, s);
		bool done = judge(r, err), hit = was_hit(r);
		past_step(r->past, r->ref);
		if (done && step_is_sync(s->op))
			step_synced(r, s);
		if (step_is_sync(s->op))
			r->synced = done;
		if (hit || !done)
			check_now(r);
		if (done || run_failed(r) || r->trouble->lasting || err == r->expected)
			break;
		if (tries)
			complain(r, "it fails again although nothing does", strerror(-err));
	}
}

/* The session is over, well or not: nothing fails any more, and what is there must be one of the states. */
static void check_end(struct run *r)
{
	struct fault f = { 0 };

	r->trouble->pause(r->trouble, true);
	begin(r, STEP_END, "after the end");
	int err = run_check(r);
	if (!err)
		err = fs_open(r->trouble->store, &r->comp, 1, &r->cfg, &r->fs, &f);
	if (err) {
		complain(r, "the volume cannot be opened any more", f.text);
		r->fs = NULL;
		return;
	}
	if (!past_is_possible(r->past, r->fs))
		complain(r, "something is lost, or a mixture", "");
	err = fs_close(r->fs);
	r->fs = NULL;
	if (err)
		complain(r, "it cannot be closed", strerror(-err));
	else if (run_check(r))
		complain(r, "fsck fails", "");
}

static void report(void *arg, const char *path, const char *text, bool fixed)
{
	struct run *r = arg;

	if (r->trace)
		printf("    fsck: %s: %s%s\n", path, text, fixed ? " (fixed)" : "");
	snprintf(r->finding, sizeof r->finding, "%s: %s", path, text);
}

int run_check(struct run *r)
{
	struct fs_check c = { .report = report, .arg = r };
	struct fault f = { 0 };
	int err = fs_check(r->trouble->store, &r->comp, 1, &r->cfg, &c, &f);

	if (err)
		complain(r, "fsck fails", f.text);
	else if (c.ret_errors)
		complain(r, "fsck finds something", r->finding);
	return err;
}

/* True: it is open. An open that fails leaves everything as it was. */
static bool open_volume(struct run *r)
{
	for (unsigned tries = 0; tries < 2; tries++) {
		struct fault f = { 0 };
		begin(r, STEP_REOPEN, "");
		r->read_only_lines = 0;
		int err = fs_open(r->trouble->store, &r->comp, 1, &r->cfg, &r->fs, &f);
		if (err)
			r->fs = NULL;
		if (err && f.exit == CL_EXIT_INTEGRITY)
			complain(r, "opening takes it for damage", f.text);
		if (err && !*f.text)
			complain(r, "opening fails without a word", "");
		r->read_only_lines = r->fs ? r->read_only_lines : 1;
		bool done = judge(r, err);
		if (done && was_hit(r))
			check_now(r);
		if (done || r->trouble->lasting || r->bad)
			return done;
		if (tries)
			complain(r, "it fails again although nothing does", f.text);
	}
	return false;
}

static void end_session(struct run *r)
{
	r->fs = NULL;
	ref_end_session(r->ref);
	ref_bury(r->ref);
	memset(r->open, 0, sizeof r->open);
}

static bool close_volume(struct run *r)
{
	begin(r, STEP_CLOSE_VOLUME, "");
	r->was_failed = run_failed(r);
	int lines = r->read_only_lines;
	int err = fs_close(r->fs);
	r->fs = NULL;
	if (err && !r->was_failed && r->read_only_lines > lines && was_hit(r) && err != -EIO && err != -r->trouble->err)
		complain(r, "closing fails with something else", strerror(-err));
	bool done = judge(r, err);
	end_session(r);
	if (done && r->was_failed)
		complain(r, "a volume that failed is closed as if nothing was", "");
	if (done)
		past_synced(r->past, NULL);
	return done;
}

/* Ends as a kill does; the step before is a sync. */
static bool crash(struct run *r)
{
	struct fs *fs = r->fs;

	begin(r, STEP_CRASH, "");
	if (!r->synced)
		return false;
	for (size_t i = 0; i < fs->n; i++)
		comp_free(fs->comps[i]);
	pthread_mutex_destroy(&fs->lock);
	pthread_cond_destroy(&fs->wake);
	free(fs->comps);
	free(fs);
	seal_thread_done();
	end_session(r);
	return true;
}

/* True: it is there. Otherwise nothing is. */
static bool format(struct run *r)
{
	struct fault f = { 0 };

	begin(r, STEP_MKDIR, "format");
	int err = fs_format(r->trouble->store, &r->comp, 1, 0, 0, &r->cfg, &f);
	if (err && !*f.text)
		complain(r, "it fails without a word", "");
	if (err && f.exit == CL_EXIT_INTEGRITY)
		complain(r, "it fails because of damage", f.text);
	r->read_only_lines = 1;
	return judge(r, err);
}

static void run_steps(struct run *r)
{
	for (const struct step *s = r->script->steps; s->op != STEP_END && !r->bad; s++) {
		if (s->op == STEP_REOPEN || s->op == STEP_CRASH) {
			if (!(s->op == STEP_REOPEN ? close_volume(r) : crash(r)) || !open_volume(r))
				return;
			past_step(r->past, r->ref);
		} else {
			step_run(r, s);
		}
	}
	if (r->trouble->lasting && !r->bad && !past_readable(r->past, r->fs, -r->trouble->err))
		complain(r, "at the end", "");
	if (!r->bad)
		check_now(r);
}

static void init(struct run *r, const struct script *s, struct trouble *t, bool trace)
{
	uint8_t key[32];

	*r = (struct run){ .script = s, .trouble = t, .trace = trace, .about = "" };
	memset(key, 0x5a, sizeof key);
	t->pause(t, true);
	if (secret_new_take(key, sizeof key, &r->key)) {
		fprintf(stderr, "fault: no secret memory\n");
		exit(1);
	}
	r->ref = ref_new(0755);
	r->ref->blind = true;
	r->past = past_new();
	past_step(r->past, r->ref);
	memset(r->comp.id, 7, sizeof r->comp.id);
	r->comp.key = r->key;
	r->cfg = (struct fs_config){ .cache_bytes = 1, .dirty_bytes = 1 << 20, .journal_pages = s->journal_pages, .commit_seconds = 1000,
				     .no_threads = true };
	log_hook(on_log, r);
}

static void run_session(struct run *r, bool there)
{
	if (!there || !open_volume(r))
		return;
	run_steps(r);
	if (r->fs)
		(void)close_volume(r);
}

static bool finish(struct run *r)
{
	if (r->fs)
		(void)!fs_close(r->fs);
	log_hook(NULL, NULL);
	secret_free(r->key);
	past_free(r->past);
	ref_free(r->ref);
	if (!r->bad && secret_live()) {
		fprintf(stderr, "fault: %s: %zu secrets are left\n", r->script->name, secret_live());
		return false;
	}
	return !r->bad;
}

bool script_run(const struct script *s, struct trouble *t, bool trace)
{
	struct run r;
	bool there;

	init(&r, s, t, trace);
	if (t->in_format) {
		t->pause(t, false);
		there = format(&r);
	} else {
		there = format(&r);
		t->pause(t, false);
	}
	run_session(&r, there);
	if (there && !r.bad)
		check_end(&r);
	return finish(&r);
}

bool script_check(const struct script *s, struct trouble *t, bool trace)
{
	struct run r;
	struct fault f = { 0 };

	init(&r, s, t, trace);
	run_session(&r, format(&r));
	t->pause(t, false);
	begin(&r, STEP_CHECK, "");
	struct fs_check c = { .report = report, .arg = &r };
	int err = r.bad ? 0 : fs_check(t->store, &r.comp, 1, &r.cfg, &c, &f);
	t->pause(t, true);
	if (trace)
		printf("  fsck: %d, %llu errors, %s\n", err, (unsigned long long)c.ret_errors, f.text);
	if (err && !excused(&r, err))
		complain(&r, "unexpected error", strerror(-err));
	if (err && (!*f.text || f.exit == CL_EXIT_INTEGRITY))
		complain(&r, "fsck fails without a word, or because of damage", f.text);
	/* What could not be read, also not at another try, is not said to be clean. */
	if (t->lasting && !err && !c.ret_errors && was_hit(&r) && !(t->harmless && t->harmless(t)))
		complain(&r, "fsck says that all is clean", "");
	if (!r.bad)
		check_end(&r);
	return finish(&r);
}
