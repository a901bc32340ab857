/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A disk that is full: random operations on a volume whose store has little room, while somebody else takes and gives room.
 * What must hold: reading and deleting always work; what was synced is there, after closing and after a crash, also
 * on the still full disk; nothing but room is ever missing, and when there is room again, all works without a remount.
 * Fixed seeds, and a fresh one that is printed; --seed N repeats one.
 */
#include "common/log.h"
#include "fs/fresh.h"
#include "fs/fs_private.h"
#include "fs/seal.h"
#include "tests/full/tightstore.h"
#include "tests/model/memstore.h"
#include "tests/model/ref.h"

#include <fcntl.h>
#include <getopt.h>
#include <linux/falloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#define FILES 160u
#define DIRS 12u
#define SIZE_MAX_ ((size_t)160 * CL_PAGE)
#define WRITE_MAX ((size_t)48 * CL_PAGE)

struct entry {
	bool exists, is_dir;
	uint64_t ino, changed; /* operation */
	size_t size;
	uint8_t *data; /* SIZE_MAX_ */
};

struct test {
	uint64_t seed, rng, op, synced;
	struct tight tight;
	struct store *memory, *store;
	struct secret *key;
	struct fs_compartment comp;
	struct fs_config cfg;
	struct fs *fs;
	struct entry e[FILES + DIRS];
	uint8_t *buf;
	uint64_t refusals, deletions, crashes, fulls;
	bool orderly; /* no crashes */
	bool trace, lossy, dead; /* lossy: syncs may find no room; dead: one that the engine cannot go on after */
	char what[160];
};

static struct test *running;

static void fail(const char *fmt, ...) CL_PRINTF(1, 2) __attribute__((noreturn));
static void fail(const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "full: seed %llu, operation %llu (%s): ", (unsigned long long)running->seed,
		(unsigned long long)running->op, running->what);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(1);
}

static void say(struct test *t, const char *fmt, ...) CL_PRINTF(2, 3);
static void say(struct test *t, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(t->what, sizeof t->what, fmt, ap);
	va_end(ap);
	if (t->trace)
		fprintf(stderr, "%llu: %s (free: %lld)\n", (unsigned long long)t->op, t->what, (long long)tight_free(&t->tight));
}

static uint64_t any(struct test *t)
{
	uint64_t z = t->rng += 0x9e3779b97f4a7c15u;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static size_t below(struct test *t, size_t n)
{
	return n ? (size_t)(any(t) % n) : 0;
}

/* Where syncs may find no room, what was written since the last one may be gone before anybody is told. */
static bool is_lost(struct test *t, const struct entry *e)
{
	struct inode *i = e->exists ? inode_find(fs_own(t->fs), e->ino) : NULL;
	bool lost = i && t->lossy && (atomic_load(&i->lost) || fresh_is_unsynced(i));

	inode_put(i);
	return lost;
}

/* 0: it was done. 1: there was no room. Anything else is an error, and so is no room for what needs none. */
static int outcome(struct test *t, int err, bool needs_room)
{
	if (!err)
		return 0;
	if (t->lossy && atomic_load(&fs_own(t->fs)->failed)) {
		t->dead = true;
		return 1;
	}
	if (t->lossy && err == -EBADMSG)
		return 1;
	if ((!needs_room && !t->lossy) || err != (t->tight.quota ? -EDQUOT : -ENOSPC))
		fail("%s", strerror(-err));
	if (!t->tight.refused)
		fail("no room, but the disk never said so");
	t->refusals++;
	return 1;
}

static void name_of(size_t k, char *out)
{
	/* Long names, so that there are many pages of them. */
	sprintf(out, "%0120zu", k);
}

static void open_volume(struct test *t)
{
	struct fault f = { 0 };
	int err = fs_open(t->store, &t->comp, 1, &t->cfg, &t->fs, &f);

	if (err)
		fail("fs_open: %s: %s", strerror(-err), f.text);
}

static void on_finding(void *arg, const char *path, const char *text, bool fixed)
{
	(void)arg;
	(void)fixed;
	if (running->trace)
		fprintf(stderr, "finding: %s: %s\n", path, text);
	snprintf(running->what, sizeof running->what, "fs_check: %.60s: %.80s", path, text);
}

static void check(struct test *t, bool replay)
{
	struct fs_check check = { .replay = replay, .report = on_finding };
	struct fault f = { 0 };

	int err = fs_check(t->store, &t->comp, 1, &t->cfg, &check, &f);
	if (err)
		fail("fs_check: %s: %s", strerror(-err), f.text);
	if (check.ret_errors)
		fail("fs_check found %llu errors", (unsigned long long)check.ret_errors);
}

static void read_back(struct test *t, struct entry *e, size_t k, size_t *ret_size)
{
	struct fs_attr a;
	int err = fs_getattr(t->fs, e->ino, &a);

	if (err)
		fail("getattr of %zu: %s", k, strerror(-err));
	if (a.size > SIZE_MAX_)
		fail("%zu has %llu bytes", k, (unsigned long long)a.size);
	ssize_t n = fs_read(t->fs, e->ino, t->buf, SIZE_MAX_, 0);
	if (n != (ssize_t)a.size)
		fail("read of %zu: %zd of %llu bytes", k, n, (unsigned long long)a.size);
	*ret_size = a.size;
}

/* since: what was changed after this operation may be anything that can be read; it is learnt. */
static void verify(struct test *t, uint64_t since)
{
	char name[FS_NAME_MAX + 1];
	struct fs_attr a;

	for (size_t k = 0; k < FILES + DIRS; k++) {
		struct entry *e = &t->e[k];
		size_t size = 0;
		name_of(k, name);
		int err = fs_lookup(t->fs, FS_ROOT, name, &a);
		if (err && err != -ENOENT)
			fail("lookup of %zu: %s", k, strerror(-err));
		bool there = !err;
		if (there)
			fs_forget(t->fs, a.ino, 1);
		if (e->changed <= since && there != e->exists)
			fail("%zu is %s", k, there ? "there" : "not there");
		if (there)
			e->ino = a.ino;
		if (there && is_lost(t, e))
			continue;
		if (there && !e->is_dir)
			read_back(t, e, k, &size);
		if (e->changed <= since && there && !e->is_dir && (size != e->size || memcmp(t->buf, e->data, size)))
			fail("%zu has not its contents (%zu bytes, expected %zu)", k, size, e->size);
		if (e->changed > since && there && !e->is_dir)
			memcpy(e->data, t->buf, size);
		if (e->changed > since)
			e->changed = t->op;
		e->exists = there;
		e->size = size;
	}
}

static void make(struct test *t, size_t k)
{
	struct fs_cred cred = { 0, 0, 0 };
	char name[FS_NAME_MAX + 1];
	struct fs_attr a;
	struct entry *e = &t->e[k];

	name_of(k, name);
	say(t, "make %zu", k);
	if (outcome(t, fs_make(t->fs, FS_ROOT, name, e->is_dir ? S_IFDIR | 0755 : S_IFREG | 0644, NULL, &cred, &a), true))
		return;
	fs_forget(t->fs, a.ino, 1);
	e->ino = a.ino;
	e->exists = true;
	e->size = 0;
	e->changed = t->op;
}

static void remove_it(struct test *t, size_t k)
{
	char name[FS_NAME_MAX + 1];
	struct entry *e = &t->e[k];

	name_of(k, name);
	say(t, "remove %zu", k);
	if (outcome(t, e->is_dir ? fs_rmdir(t->fs, FS_ROOT, name) : fs_unlink(t->fs, FS_ROOT, name), false))
		return;
	e->exists = false;
	e->changed = t->op;
	t->deletions++;
}

static void write_some(struct test *t, size_t k)
{
	struct entry *e = &t->e[k];
	size_t n = 1 + (below(t, 3) ? below(t, 3 * CL_PAGE) : below(t, WRITE_MAX));
	size_t off = below(t, 2) ? e->size : below(t, SIZE_MAX_);

	if (below(t, 2)) {
		off = off / CL_PAGE * CL_PAGE;
		n = (n + CL_PAGE - 1) / CL_PAGE * CL_PAGE;
	}
	off = CL_MIN(off, SIZE_MAX_ - 1);
	n = CL_MIN(n, SIZE_MAX_ - off);
	for (size_t i = 0; i < n; i += 8) {
		uint64_t x = any(t);
		memcpy(t->buf + i, &x, CL_MIN(n - i, sizeof x));
	}
	say(t, "write %zu: %zu bytes at %zu, size %zu", k, n, off, e->size);
	ssize_t got = fs_write(t->fs, e->ino, t->buf, n, off, 0);
	if (outcome(t, got < 0 ? (int)got : 0, true))
		return;
	if (off > e->size)
		memset(e->data + e->size, 0, off - e->size);
	memcpy(e->data + off, t->buf, (size_t)got);
	e->size = CL_MAX(e->size, off + (size_t)got);
	e->changed = t->op;
}

static void cut(struct test *t, size_t k)
{
	struct entry *e = &t->e[k];
	struct fs_attr a = { .size = below(t, 3) ? below(t, e->size + 1) : 0 };

	if (below(t, 3) == 0 && e->size) {
		size_t off = below(t, e->size), n = 1 + below(t, e->size - off);
		say(t, "punch %zu: %zu bytes at %zu, size %zu", k, n, off, e->size);
		if (outcome(t, fs_fallocate(t->fs, e->ino, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, off, n), false))
			return;
		memset(e->data + off, 0, n);
	} else {
		say(t, "truncate %zu: to %llu, size %zu", k, (unsigned long long)a.size, e->size);
		if (outcome(t, fs_setattr(t->fs, e->ino, FS_SET_SIZE, &a, &a), false))
			return;
		e->size = a.size;
	}
	e->changed = t->op;
}

static void rename_over(struct test *t, size_t from, size_t to)
{
	char name[FS_NAME_MAX + 1], newname[FS_NAME_MAX + 1];
	struct entry *a = &t->e[from], *b = &t->e[to], old;

	name_of(from, name);
	name_of(to, newname);
	say(t, "rename %zu to %zu", from, to);
	if (outcome(t, fs_rename(t->fs, FS_ROOT, name, FS_ROOT, newname, 0), true))
		return;
	old = *b;
	*b = *a;
	a->data = old.data;
	a->exists = false;
	a->changed = b->changed = t->op;
}

static void allocate(struct test *t, size_t k)
{
	struct entry *e = &t->e[k];
	size_t off = below(t, SIZE_MAX_ / 2), n = 1 + below(t, SIZE_MAX_ / 2);

	say(t, "allocate %zu: %zu bytes at %zu", k, n, off);
	if (outcome(t, fs_fallocate(t->fs, e->ino, FALLOC_FL_KEEP_SIZE, off, n), true))
		return;
	e->changed = t->op;
}

static void sync_all(struct test *t)
{
	say(t, "sync");
	if (!outcome(t, fs_sync(t->fs), false))
		t->synced = t->op;
}

static void others(struct test *t)
{
	switch (below(t, 6)) {
	case 0:
		tight_give(&t->tight, 1 + (int64_t)below(t, 60));
		break;
	case 1:
		tight_give(&t->tight, 1 + (int64_t)below(t, 900));
		break;
	case 2:
		tight_fill(&t->tight, (int64_t)below(t, 200));
		break;
	default:
		tight_fill(&t->tight, (int64_t)below(t, 3));
	}
}

/* Ends the session: cleanly, or as a crash of the daemon does. */
static void end(struct test *t, bool crash)
{
	if (crash)
		atomic_store(&fs_own(t->fs)->failed, EIO);
	int err = fs_close(t->fs);
	t->fs = NULL;
	if (err && !crash && t->lossy)
		t->dead = true; /* its last commit's sync failed */
	else if (err && !crash)
		fail("fs_close: %s", strerror(-err));
	t->crashes += crash;
}

static void reopen(struct test *t)
{
	bool crash = t->dead || (!t->orderly && below(t, 2));

	say(t, "%s, open", crash ? "crash" : "close");
	for (size_t k = 0; k < FILES; k++)
		if (is_lost(t, &t->e[k]))
			t->e[k].changed = UINT64_MAX; /* it will be as some commit had it */
	end(t, crash);
	uint64_t since = crash || t->dead ? t->synced : t->op;
	t->dead = false;
	check(t, below(t, 2));
	open_volume(t);
	verify(t, since);
	sync_all(t);
}

static void watch(struct test *t)
{
	struct comp *c = fs_own(t->fs);
	struct fs_stats stats;
	struct fs_space space;

	fs_get_stats(t->fs, &stats);
	if (stats.pending_pages > journal_size(c->journal) / 2)
		fail("%llu pages are pending, of a journal of %u", (unsigned long long)stats.pending_pages,
		     journal_size(c->journal));
	if (fs_statfs(t->fs, &space))
		fail("statfs");
	if (atomic_load(&c->full) && space.bavail)
		fail("it is full, and %llu blocks are available", (unsigned long long)space.bavail);
	t->fulls += atomic_load(&c->full) != 0;
}

static void step(struct test *t)
{
	size_t k = below(t, FILES), n = below(t, 1000);

	t->op++;
	if (t->dead || n < 12)
		reopen(t);
	else if (n < 60)
		others(t);
	else if (n < 110)
		sync_all(t);
	else if (n < 160) {
		say(t, "tick");
		(void)outcome(t, fs_tick(t->fs), true);
	} else if (n < 200) {
		k = FILES + below(t, DIRS);
		(t->e[k].exists ? remove_it : make)(t, k);
	} else if (!t->e[k].exists)
		make(t, k);
	else if (n < 300)
		remove_it(t, k);
	else if (n < 380)
		cut(t, k);
	else if (n < 420)
		rename_over(t, k, (k + 1 + below(t, FILES - 1)) % FILES);
	else if (n < 440)
		allocate(t, k);
	else if (n < 480) {
		say(t, "fsync %zu", k);
		(void)outcome(t, fs_fsync(t->fs, t->e[k].ino, false), false);
	} else
		write_some(t, k);
	if (t->dead)
		return;
	watch(t);
	if (t->op % 97 == 0)
		verify(t, t->op);
}

/* The disk is full to the last block, and somebody takes what comes free at once. Everything is deleted all the same. */
static void delete_all(struct test *t, bool greedy)
{
	for (size_t k = 0; k < FILES + DIRS; k++) {
		if (t->e[k].exists)
			remove_it(t, k);
		if (greedy)
			tight_fill(&t->tight, 0);
		if (k % 3 == 0)
			sync_all(t);
	}
	sync_all(t);
	verify(t, t->op);
}

/* There is room: then it works, without a remount. */
static void must_work(struct test *t)
{
	uint64_t before = t->refusals;

	for (size_t k = 0; k < 20; k++) {
		if (!t->e[k].exists)
			make(t, k);
		write_some(t, k);
		say(t, "fsync %zu", k);
		(void)outcome(t, fs_fsync(t->fs, t->e[k].ino, false), false);
	}
	if (t->refusals != before)
		fail("there is room, and it was refused");
	if (atomic_load(&fs_own(t->fs)->full))
		fail("there is room, and the compartment is full");
	verify(t, t->op);
}

/* A write that finds too little room keeps nothing of it. With a small journal it goes through that, in small parts. */
static void keeps_nothing(struct test *t)
{
	if (t->cfg.journal_pages < 1024)
		return;
	make(t, 0);
	sync_all(t);
	tight_fill(&t->tight, 9);
	say(t, "write with too little room");
	memset(t->buf, 1, 40 * CL_PAGE);
	ssize_t n = fs_write(t->fs, t->e[0].ino, t->buf, 40 * CL_PAGE, 0, 0);
	if (n >= 0)
		fail("%zd bytes were written where there are 9 pages", n);
	if (tight_free(&t->tight) != 9)
		fail("%lld pages are free, of 9", (long long)tight_free(&t->tight));
	tight_give(&t->tight, 1 << 20);
	remove_it(t, 0);
	sync_all(t);
	t->deletions = 0;
}

static void set_up(struct test *t, uint64_t seed)
{
	static const uint32_t rings[] = { 64, 128, 256, 1024, 2048 };
	struct fault f = { 0 };
	uint8_t key[32];

	t->seed = t->rng = seed;
	running = t;
	t->buf = ref_alloc(SIZE_MAX_);
	for (size_t k = 0; k < FILES + DIRS; k++) {
		t->e[k].is_dir = k >= FILES;
		t->e[k].data = ref_alloc(SIZE_MAX_);
	}
	memset(key, 0x5a, sizeof key);
	if (secret_new_take(key, sizeof key, &t->key))
		fail("secret");
	memset(t->comp.id, 7, sizeof t->comp.id);
	t->comp.key = t->key;
	t->cfg = (struct fs_config){ .cache_bytes = 256 * 1024, .dirty_bytes = 1024 * 1024, .commit_seconds = 3600,
				     .no_threads = true, .journal_pages = rings[below(t, CL_ARRAY_LEN(rings))] };
	tight_init(&t->tight, 1 << 20);
	t->memory = memstore_new();
	t->store = tightstore_new(t->memory, &t->tight);
	if (fs_format(t->store, &t->comp, 1, 0, 0, &t->cfg, &f))
		fail("fs_format: %s", f.text);
	open_volume(t);
}

static void tear_down(struct test *t)
{
	t->store->ops->free(t->store);
	t->memory->ops->free(t->memory);
	tight_done(&t->tight);
	secret_free(t->key);
	for (size_t k = 0; k < FILES + DIRS; k++)
		free(t->e[k].data);
	free(t->buf);
}

static void run(uint64_t seed, uint64_t ops, bool trace)
{
	struct test *t = ref_alloc(sizeof *t);

	t->trace = trace;
	set_up(t, seed);
	keeps_nothing(t);
	/* With copy on write all that a deletion changes waits in the journal, which has to be larger than the tables. */
	bool large = t->cfg.journal_pages >= 1024;
	t->tight.cow = large && below(t, 2);
	t->tight.quota = below(t, 3) == 0;
	t->lossy = t->tight.late = large && below(t, 2);
	t->orderly = below(t, 3) == 0;
	int64_t base = tight_used(&t->tight);
	say(t, "journal of %u pages%s%s%s", t->cfg.journal_pages, t->tight.cow ? ", copy on write" : "",
	    t->tight.quota ? ", quota" : "", t->tight.late ? ", late" : "");
	printf("seed %llu: %s\n", (unsigned long long)seed, t->what);
	fflush(stdout);
	if (below(t, 4) == 0)
		t->tight.inodes = (int64_t)(20 + below(t, 100));
	tight_fill(&t->tight, 400 + (int64_t)below(t, 1500));
	while (t->op < ops)
		step(t);
	delete_all(t, true);
	if (t->dead)
		reopen(t);
	t->tight.late = t->lossy = false;
	delete_all(t, true);
	say(t, "close, check, open");
	end(t, false);
	check(t, false);
	check(t, true);
	open_volume(t);
	verify(t, t->op);
	t->tight.inodes = INT64_MAX;
	tight_give(&t->tight, 4000);
	if (t->tight.quota) /* shows in no figure: it is tried again every second */
		atomic_store(&fs_own(t->fs)->full_ms, comp_now_ms() - 100000);
	must_work(t);
	delete_all(t, false);
	say(t, "close");
	end(t, false);
	check(t, false);
	/* Pages of tables and bitmaps stay; and after a crash also what a file had that was not committed with others. */
	int64_t left = tight_used(&t->tight) - base;
	if (left > 120 && t->crashes == 0)
		fail("%lld pages more than at first are in use", (long long)left);
	printf("  %llu refused, %llu deleted, %llu crashes, full after %llu of %llu operations\n", (unsigned long long)t->refusals,
	       (unsigned long long)t->deletions, (unsigned long long)t->crashes, (unsigned long long)t->fulls,
	       (unsigned long long)t->op);
	tear_down(t);
	free(t);
}

/* What the engine takes for damage is a failure; that a sync failed is not, where syncs do. */
static void log_line_seen(enum log_level level, const char *line, void *arg)
{
	(void)arg;
	if (running && running->trace)
		fprintf(stderr, "log: %s\n", line);
	if (level <= LOG_LVL_ERR && running && !running->lossy)
		fail("the engine complains: %s", line);
}

int main(int argc, char **argv)
{
	static const struct option long_options[] = {
		{ "seed", required_argument, NULL, 's' }, { "ops", required_argument, NULL, 'n' },
		{ "runs", required_argument, NULL, 'r' }, { "trace", no_argument, NULL, 'v' },
		{ "long", no_argument, NULL, 'l' },       { NULL, 0, NULL, 0 },
	};
	uint64_t seed = 0, ops = 3000, runs = 40;
	bool given = false, trace = false;
	int c;

	if (getenv("CLOISON_TEST_SHORT"))
		runs = 6;
	if (getenv("CLOISON_TEST_MEMORY")) {
		runs = 2;
		ops = 700;
	}
	while ((c = getopt_long(argc, argv, "", long_options, NULL)) != -1)
		switch (c) {
		case 's':
			seed = strtoull(optarg, NULL, 0);
			given = true;
			break;
		case 'n':
			ops = strtoull(optarg, NULL, 0);
			break;
		case 'r':
			runs = strtoull(optarg, NULL, 0);
			break;
		case 'v':
			trace = true;
			break;
		case 'l':
			runs = 1000;
			break;
		default:
			fprintf(stderr, "usage: %s [--seed N] [--ops N] [--runs N | --long] [--trace]\n", argv[0]);
			return 2;
		}
	log_hook(log_line_seen, NULL);
	if (seal_init())
		return 1;
	if (given) {
		run(seed, ops, trace);
	} else {
		if (getrandom(&seed, sizeof seed, 0) != (ssize_t)sizeof seed)
			return 1;
		seed %= 1000000;
		printf("fresh seed: %llu\n", (unsigned long long)seed);
		for (uint64_t k = 1; k < runs; k++)
			run(k, ops, false);
		run(seed, ops, false);
	}
	seal_done();
	if (secret_live()) {
		fprintf(stderr, "full: %zu secrets are left\n", secret_live());
		return 1;
	}
	puts("ok");
	return 0;
}
