/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Trials: scripts on the simulated disk, power cuts, and the look at what is left. */
#include "tests/sim/trial.h"

#include "common/log.h"
#include "fs/seal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define ULL(x) ((unsigned long long)(x))

const char *const trial_cut_names[SIM_CUTS] = { "none", "all", "prefix", "some", "torn", "shuffle", "files", "names", "data",
						       "garbage" };
const uint32_t trial_rings[TRIAL_RINGS] = { 64, 128, 1024, 2048 };

static struct simdisk *fresh[TRIAL_RINGS];
static char why[1200];
static char complaint[400]; /* the engine's first error message */
static uint64_t count;

const char *trial_why(void)
{
	return why;
}

uint64_t trial_count(void)
{
	return count;
}

static void keep_complaint(enum log_level level, const char *line, void *arg)
{
	(void)arg;
	if (level <= LOG_LVL_ERR && !*complaint)
		snprintf(complaint, sizeof complaint, "%s", line);
}

static void set_up(struct trial *t, unsigned ring)
{
	uint8_t key[32];

	memset(key, 0x5a, sizeof key);
	if (secret_new_take(key, sizeof key, &t->key))
		abort();
	t->ring = ring;
	t->comp = (struct fs_compartment){ .key = t->key };
	memset(t->comp.id, 7, sizeof t->comp.id);
	t->cfg = (struct fs_config){ .cache_bytes = 256 * 1024, .dirty_bytes = 256 * 1024, .journal_pages = trial_rings[ring],
				     .no_threads = true };
}

void trial_init(void)
{
	struct fault f = { 0 };

	if (seal_init())
		abort();
	log_hook(keep_complaint, NULL);
	for (unsigned r = 0; r < TRIAL_RINGS; r++) {
		struct trial t = { 0 };
		set_up(&t, r);
		fresh[r] = simdisk_new();
		struct store *s = simdisk_store(fresh[r]);
		if (fs_format(s, &t.comp, 1, 0, 0, &t.cfg, &f)) {
			fprintf(stderr, "sim: %s\n", f.text);
			exit(1);
		}
		s->ops->free(s);
		secret_free(t.key);
	}
}

void trial_done(void)
{
	for (unsigned r = 0; r < TRIAL_RINGS; r++)
		simdisk_free(fresh[r]);
	log_hook(NULL, NULL);
	seal_done();
}

static void synced(void *arg)
{
	struct trial *t = arg;
	history_synced(t->history, simdisk_log(t->disk), NULL);
}

static void fsynced(void *arg, const struct ref_inode *i)
{
	struct trial *t = arg;
	history_synced(t->history, simdisk_log(t->disk), i);
}

void trial_begin(struct trial *t, uint64_t seed, unsigned ring, const struct profile *p, const char *script)
{
	struct fault f = { 0 };

	memset(t, 0, sizeof *t);
	t->seed = seed;
	t->script = script;
	set_up(t, ring);
	t->disk = simdisk_clone(fresh[ring]);
	t->store = simdisk_store(t->disk);
	t->history = history_new();
	drive_init(&t->drive, p, seed);
	t->drive.ref = ref_new(0755);
	t->drive.synced = synced;
	t->drive.fsynced = fsynced;
	t->drive.synced_arg = t;
	simdisk_record(t->disk);
	if (fs_open(t->store, &t->comp, 1, &t->cfg, &t->drive.fs, &f)) {
		fprintf(stderr, "sim: %s\n", f.text);
		exit(1);
	}
	drive_verify(&t->drive);
	history_note(t->history, t->drive.ref);
}

void trial_step(struct trial *t, void (*step)(struct trial *t, void *arg), void *arg)
{
	simdisk_mark(t->disk, t->drive.ref->op + 1);
	step(t, arg);
	history_note(t->history, t->drive.ref);
}

static void any_step(struct trial *t, void *arg)
{
	(void)arg;
	drive_step(&t->drive);
}

void trial_random(struct trial *t)
{
	trial_step(t, any_step, NULL);
}

void trial_end(struct trial *t)
{
	simdisk_mark(t->disk, t->drive.ref->op + 1);
	drive_expect(&t->drive, fs_close(t->drive.fs), 0);
	t->drive.fs = NULL;
	history_synced(t->history, simdisk_log(t->disk), NULL);
}

void trial_free(struct trial *t)
{
	drive_done(&t->drive);
	history_free(t->history);
	t->store->ops->free(t->store);
	simdisk_free(t->disk);
	secret_free(t->key);
}

/* One cut, and where it was made. */
struct look {
	struct trial *t;
	size_t n;
	enum sim_cut how;
	uint64_t choice;
	const char *kind;
	char where[120];
};

static bool broken(const struct look *l, const char *what, const char *text)
{
	char script[64] = "";

	if (l->t->script)
		snprintf(script, sizeof script, "--script %s ", l->t->script);
	snprintf(why, sizeof why,
		 "%s%s%s%s%s\n  power cut before %s\n"
		 "  repeat: test_sim %s--seed %llu --ring %u --kind %s --at %zu --how %s --choice %llu",
		 what, *text ? ": " : "", text, *complaint ? "; the engine said: " : "", complaint, l->where, script,
		 ULL(l->t->seed), l->t->ring, l->kind, l->n, trial_cut_names[l->how], ULL(l->choice));
	return false;
}

struct report {
	char text[600];
	bool any;
};

static void on_finding(void *arg, const char *path, const char *text, bool fixed)
{
	struct report *r = arg;

	if (!fixed && !r->any)
		snprintf(r->text, sizeof r->text, "%s%s%s", path, *path ? ": " : "", text);
	r->any = r->any || !fixed;
}

/* fsck, which writes nothing. What a crash may leave behind is no error. */
static bool is_clean(const struct look *l, struct store *s, const char *when)
{
	struct report r = { .any = false };
	struct fs_check check = { .report = on_finding, .arg = &r };
	struct fault f = { 0 };
	char what[80];

	int err = fs_check(s, &l->t->comp, 1, &l->t->cfg, &check, &f);
	if (!err && !check.ret_errors)
		return true;
	snprintf(what, sizeof what, "fsck %s finds errors", when);
	return broken(l, what, err ? f.text : r.text);
}

static struct fs *open_again(const struct look *l, struct store *s)
{
	struct fault f = { 0 };
	struct fs *fs = NULL;

	*complaint = '\0';
	if (!fs_open(s, &l->t->comp, 1, &l->t->cfg, &fs, &f))
		return fs;
	broken(l, "the volume does not open", f.text);
	return NULL;
}

static bool is_history(const struct look *l, struct fs *fs)
{
	const char *text = history_check(l->t->history, fs, l->n, simdisk_mark_of(l->t->disk, l->n));

	if (text)
		return broken(l, "the volume is in no state that it passed through", text);
	return *complaint ? broken(l, "the engine complains", "") : true;
}

/* A file of some pages, made and overwritten: what was recovered can be worked with. */
static bool work(const struct look *l, struct store *s, struct fs *fs)
{
	const struct fs_cred cred = { 0, 0, 0 };
	static uint8_t buf[20 * CL_PAGE], got[20 * CL_PAGE];
	struct fs_attr a = { 0 };
	int err = fs_make(fs, FS_ROOT, "after the crash", S_IFREG | 0600, NULL, &cred, &a);

	memset(buf, 0x33, sizeof buf);
	if (!err)
		err = fs_write(fs, a.ino, buf, sizeof buf, 0, 0) == (ssize_t)sizeof buf ? 0 : -EIO;
	if (!err)
		err = fs_fsync(fs, a.ino, false);
	memset(buf + CL_PAGE, 0x44, CL_PAGE);
	if (!err)
		err = fs_write(fs, a.ino, buf + CL_PAGE, CL_PAGE, CL_PAGE, 0) == CL_PAGE ? 0 : -EIO;
	int err2 = fs_close(fs);
	if (err || err2)
		return broken(l, "cannot work after recovery", strerror(err ? -err : -err2));
	fs = open_again(l, s);
	if (!fs)
		return false;
	err = fs_lookup(fs, FS_ROOT, "after the crash", &a);
	if (!err)
		err = fs_read(fs, a.ino, got, sizeof got, 0) == (ssize_t)sizeof got && !memcmp(buf, got, sizeof got) ? 0 : -EIO;
	err2 = fs_close(fs);
	if (err || err2)
		return broken(l, "work after recovery is lost", strerror(err ? -err : -err2));
	return true;
}

/* Looks at what is left on a disk. Closes the volume again. */
static bool look_at(const struct look *l, struct simdisk *d, bool with_work)
{
	struct store *s = simdisk_store(d);
	bool ok = false;

	count++;
	struct fs *fs = open_again(l, s);
	if (fs) {
		ok = is_history(l, fs);
		if (ok && with_work) {
			ok = work(l, s, fs);
		} else if (fs_close(fs) && ok) {
			ok = broken(l, "closing fails after recovery", "");
		}
	}
	if (ok)
		ok = is_clean(l, s, "after recovery");
	s->ops->free(s);
	return ok;
}

static struct look look_of(struct trial *t, size_t n, enum sim_cut how, uint64_t choice, const char *kind)
{
	struct look l = { t, n, how, choice, kind, "" };

	simdisk_describe(t->disk, n, l.where);
	return l;
}

bool trial_cut(struct trial *t, size_t n, enum sim_cut how, uint64_t choice)
{
	struct look l = look_of(t, n, how, choice, "cut");
	uint64_t rng = choice;
	struct simdisk *d = simdisk_cut(t->disk, n, how, &rng);
	bool ok = true;

	/* A spare copy that holds garbage is an error until it is healed. */
	if (sim_below(&rng, 4) == 0 && how != SIM_GARBAGE) {
		struct store *s = simdisk_store(d);
		*complaint = '\0';
		ok = is_clean(&l, s, "before recovery");
		s->ops->free(s);
	}
	bool with_work = sim_below(&rng, 2), again = sim_below(&rng, 3) == 0;
	if (ok)
		ok = look_at(&l, d, with_work && !again);
	if (ok && again) {
		size_t m = (size_t)sim_below(&rng, simdisk_log(d) + 1);
		struct simdisk *d2 = simdisk_cut(d, m, (enum sim_cut)sim_below(&rng, SIM_CUTS), &rng);
		ok = look_at(&l, d2, with_work);
		simdisk_free(d2);
	}
	simdisk_free(d);
	return ok;
}

bool trial_cut_recovery(struct trial *t, size_t n, enum sim_cut how, uint64_t choice)
{
	struct look l = look_of(t, n, how, choice, "recovery");
	uint64_t rng = choice;
	struct simdisk *d = simdisk_cut(t->disk, n, how, &rng);
	bool ok = look_at(&l, d, false);

	for (size_t m = 0; m < simdisk_log(d) && ok; m++) {
		static const enum sim_cut hows[] = { SIM_NONE, SIM_ALL, SIM_SHUFFLE };
		for (size_t k = 0; k < CL_ARRAY_LEN(hows) && ok; k++) {
			struct simdisk *d2 = simdisk_cut(d, m, hows[k], &rng);
			ok = look_at(&l, d2, false);
			simdisk_free(d2);
		}
	}
	simdisk_free(d);
	return ok;
}

bool trial_kill(struct trial *t, size_t n, uint64_t choice)
{
	struct look l = look_of(t, n, SIM_ALL, choice, "kill");
	uint64_t rng = choice;
	struct simdisk *d = simdisk_kill(t->disk, n);
	bool ok = look_at(&l, d, false);

	for (unsigned k = 0; k < 2 && ok; k++) {
		size_t m = n + (size_t)sim_below(&rng, simdisk_log(d) - n + 1);
		struct simdisk *d2 = simdisk_cut(d, m, (enum sim_cut)sim_below(&rng, SIM_CUTS), &rng);
		ok = look_at(&l, d2, false);
		simdisk_free(d2);
	}
	simdisk_free(d);
	return ok;
}
