/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Scrub: fs_check of a volume that is open for writing, while a thread works on it as hard as it can, with a journal so
 * small that it wraps all the time. No finding may ever be false; damage that is put into what nobody touches must be
 * found, by path, in the very next run. CLOISON_SCRUB_RUNS: how many scrubs, for runs by hand (1000 take minutes).
 * CLOISON_SCRUB_DIR: where the volume is made. CLOISON_SCRUB_SEED: what the thread does; not what happens at the same
 * time.
 */
#include "tests/unit/check_fixture.h"
#include "tests/unit/hook_store.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#define FILES 24u
#define QUIET_BYTES 700000u

/* Who works on the volume meanwhile. */
struct writer {
	struct volume *v;
	pthread_t thread;
	uint64_t random;
	uint64_t dir;
	atomic_bool stop;
	atomic_ulong ops;
	int err; /* the first error that must not be; looked at when it has ended */
	const char *what;
	uint8_t *buf;
};

static uint64_t rnd(struct writer *w, uint64_t n)
{
	w->random ^= w->random << 13;
	w->random ^= w->random >> 7;
	w->random ^= w->random << 17;
	return w->random % n;
}

static void must(struct writer *w, const char *what, int err)
{
	if (err < 0 && !w->err) {
		w->err = err;
		w->what = what;
	}
}

static void change(struct writer *w, struct fs *fs, uint64_t ino)
{
	struct fs_attr a = { 0 };
	size_t n = 1 + (size_t)rnd(w, rnd(w, 8) ? 9000 : 300000);
	uint64_t off = rnd(w, rnd(w, 4) ? 40000 : 900000);

	switch (rnd(w, 9)) {
	case 0:
		a.size = rnd(w, 3) ? rnd(w, 600000) : 0;
		must(w, "truncate", fs_setattr(fs, ino, FS_SET_SIZE, &a, &a));
		break;
	case 1:
		must(w, "punch", fs_fallocate(fs, ino, 3, off, n));
		break;
	case 2:
		must(w, "setxattr", fs_setxattr(fs, ino, "user.x", w->buf, (size_t)rnd(w, 2) * 8000 + 10, 0));
		break;
	case 3:
		must(w, "fsync", fs_fsync(fs, ino, false));
		break;
	default:
		memset(w->buf, (int)rnd(w, 256), n);
		must(w, "write", (int)fs_write(fs, ino, w->buf, n, off, 0));
	}
}

static void step(struct writer *w)
{
	struct fs *fs = w->v->fs;
	const struct fs_cred cred = { 0, 0, 022 };
	struct fs_attr a;
	char name[32], other[32];

	snprintf(name, sizeof name, "a-name-that-is-not-so-short-%u", (unsigned)rnd(w, FILES));
	snprintf(other, sizeof other, "a-name-that-is-not-so-short-%u", (unsigned)rnd(w, FILES));
	int err = fs_lookup(fs, w->dir, name, &a);
	if (err == -ENOENT) {
		const char *target = rnd(w, 8) ? NULL : (const char *)memset(w->buf, 'x', 700);
		uint32_t type = target ? S_IFLNK : rnd(w, 8) ? S_IFREG : S_IFDIR;
		w->buf[700] = 0;
		err = fs_make(fs, w->dir, name, type | 0755, target, &cred, &a);
	}
	must(w, "make", err);
	if (err)
		return;
	if (S_ISREG(a.mode) && rnd(w, 8))
		change(w, fs, a.ino);
	else if (rnd(w, 3))
		err = fs_rename(fs, w->dir, name, w->dir, other, 0);
	else
		must(w, "remove", S_ISDIR(a.mode) ? fs_rmdir(fs, w->dir, name) : fs_unlink(fs, w->dir, name));
	must(w, "rename", err == -EISDIR || err == -ENOTDIR || err == -ENOENT ? 0 : err);
	fs_forget(fs, a.ino, 1);
	if (rnd(w, 20) == 0)
		must(w, "sync", fs_sync(fs));
	must(w, "tick", fs_tick(fs));
}

static void *work(void *arg)
{
	struct writer *w = arg;

	while (!atomic_load(&w->stop) && !w->err) {
		step(w);
		atomic_fetch_add(&w->ops, 1);
	}
	seal_thread_done();
	return NULL;
}

static struct writer *writer_new(struct volume *v, uint64_t dir, uint64_t seed)
{
	struct writer *w = calloc(1, sizeof *w);

	ck_assert_ptr_nonnull(w);
	w->v = v;
	w->dir = dir;
	w->random = seed;
	w->buf = malloc(300000);
	ck_assert_ptr_nonnull(w->buf);
	return w;
}

static struct writer *writer_start(struct volume *v, uint64_t dir, uint64_t seed)
{
	struct writer *w = writer_new(v, dir, seed);

	ck_assert_int_eq(pthread_create(&w->thread, NULL, work, w), 0);
	return w;
}

/* It goes on until it has done so many more operations: a scrub must not be over before anything has changed. */
static void writer_wait(struct writer *w, unsigned long more)
{
	unsigned long until = atomic_load(&w->ops) + more;
	const struct timespec t = { .tv_nsec = 100000 };

	while (atomic_load(&w->ops) < until && !atomic_load(&w->stop)) {
		nanosleep(&t, NULL);
		if (pthread_tryjoin_np(w->thread, NULL) == 0)
			atomic_store(&w->stop, true); /* an error: told by writer_stop, which must not join again */
	}
}

static void writer_free(struct writer *w)
{
	ck_assert_msg(w->err == 0, "writer: %s: %s", w->what, strerror(-w->err));
	free(w->buf);
	free(w);
}

static void writer_stop(struct writer *w)
{
	if (!atomic_exchange(&w->stop, true))
		ck_assert_int_eq(pthread_join(w->thread, NULL), 0);
	writer_free(w);
}

/*
 * A volume with a part that nobody will touch; inodes enough that its records share no page of the table with others.
 */
struct quiet {
	struct volume *v;
	struct store *store;              /* of who scrubs */
	uint64_t busy, still, sub, quiet; /* inodes */
	uint64_t object, sub_object;
};

static void quiet_new(struct quiet *q, uint32_t journal_pages)
{
	/* In memory, where syncs cost nothing, there are thousands of commits a second. */
	const char *parent = getenv("CLOISON_SCRUB_DIR");
	struct volume *v = volume_new_in(parent                     ? parent
					 : access("/dev/shm", W_OK) ? "/tmp"
								    : "/dev/shm",
					 journal_pages);
	char name[32];

	q->v = v;
	volume_open(v, 0);
	q->busy = make(v, 1, "busy", S_IFDIR | 0755, NULL);
	q->still = make(v, 1, "still", S_IFDIR | 0755, NULL);
	for (unsigned i = 0; i < 20; i++) {
		snprintf(name, sizeof name, "filler-%u", i);
		make(v, q->still, name, S_IFREG | 0644, NULL);
	}
	q->sub = make(v, q->still, "sub", S_IFDIR | 0755, NULL);
	q->quiet = make(v, q->sub, "quiet", S_IFREG | 0644, NULL);
	put(v, q->quiet, 0, QUIET_BYTES);
	for (unsigned i = 0; i < 20; i++) {
		snprintf(name, sizeof name, "more-%u", i);
		put(v, make(v, q->still, name, S_IFREG | 0644, NULL), 0, 5000);
	}
	volume_close(v);
	q->object = object_of(v, 0, q->quiet, false);
	q->sub_object = object_of(v, 0, q->sub, false);
	ck_assert_int_eq(store_dir_open(v->dir, &q->store), 0);
}

static void quiet_free(struct quiet *q)
{
	q->store->ops->free(q->store);
	volume_free(q->v);
}

static int scrub_volume(struct quiet *q, bool follow, bool replay)
{
	struct volume *v = q->v;

	v->check = (struct fs_check){
		.follow = follow, .replay = replay, .report = on_finding, .progress = on_pages, .arg = v
	};
	v->n = 0;
	v->done = v->all = 0;
	v->f = (struct fault){ 0 };
	return fs_check(q->store, v->c, 2, &v->cfg, &v->check, &v->f);
}

/* A scrub ends, says that it was one, has so many errors, and notes besides the one that every scrub has. */
static void scrubbed(struct quiet *q, uint64_t errors)
{
	struct volume *v = q->v;

	int err = scrub_volume(q, true, false);
	ck_assert_msg(err == 0, "%s", v->f.text);
	if (v->check.ret_errors != errors || v->n != errors + 1)
		show(v);
	ck_assert_uint_eq(v->check.ret_errors, errors);
	ck_assert_uint_eq(v->check.ret_fixed, 0);
	ck_assert_uint_eq(v->check.ret_followed, 1);
	ck_assert_uint_eq(v->n, errors + 1);
	expect(v, "", "compartment a0a0a0a0: is in use");
}

static unsigned runs(void)
{
	const char *s = getenv("CLOISON_SCRUB_RUNS");

	if (s)
		return (unsigned)strtoul(s, NULL, 10);
	return getenv("CLOISON_TEST_SHORT") ? 2 : 20;
}

static uint64_t first_seed(void)
{
	const char *given = getenv("CLOISON_SCRUB_SEED");
	uint64_t seed = given ? strtoull(given, NULL, 10) : (uint64_t)time(NULL) * 1000003;

	printf("scrub: CLOISON_SCRUB_SEED=%llu\n", (unsigned long long)seed);
	fflush(stdout);
	return seed | 1;
}

/*
 * Scrubs beside the writer. The smallest journal holds one record: each commit is home before the next; others hold
 * several.
 */
static void work_and_scrub(uint32_t journal_pages, unsigned n, uint64_t seed)
{
	struct quiet q;
	struct fs_stats before, after;

	quiet_new(&q, journal_pages);
	volume_open(q.v, 0);
	fs_get_stats(q.v->fs, &before);
	struct writer *w = writer_start(q.v, q.busy, seed);
	writer_wait(w, 300);
	while (n--) {
		scrubbed(&q, 0);
		ck_assert_uint_eq(q.v->done, q.v->all);
		writer_wait(w, 20);
	}
	writer_stop(w);
	fs_get_stats(q.v->fs, &after);
	/* Else it was no test: several times around the ring. */
	ck_assert_uint_gt(after.commits, before.commits + 10);
	ck_assert_uint_gt(after.checkpoints, before.checkpoints + 1);
	if (getenv("CLOISON_SCRUB_RUNS"))
		printf("journal of %u pages: %llu commits, %llu checkpoints\n", journal_pages,
		       (unsigned long long)after.commits, (unsigned long long)after.checkpoints);
	volume_close(q.v);
	verdict(q.v, false, 0, 0);
	quiet_free(&q);
}

START_TEST(test_no_false_findings)
{
	static const uint32_t journals[] = { 64, 128, 256, 1024 };
	uint64_t seed = first_seed();

	for (unsigned i = 0; i < CL_ARRAY_LEN(journals); i++)
		work_and_scrub(journals[i], runs(), seed + i);
}
END_TEST

/*
 * Between two calls of the scrub to its store: now and then something, a lot, or for a while commits before each call.
 */
struct between {
	struct writer *w;
	unsigned rare, hot;
	bool off;
};

static void do_between(void *arg)
{
	struct between *b = arg;

	if (b->off || b->w->err)
		return;
	bool now = rnd(b->w, b->rare) == 0;
	unsigned n = now ? rnd(b->w, 8) ? 1 : rnd(b->w, 8) ? 12 : 60 : 0;
	if (now && rnd(b->w, 2))
		b->hot = (unsigned)rnd(b->w, 40);
	while (n--)
		step(b->w);
	if (!b->hot)
		return;
	b->hot--;
	for (n = (unsigned)rnd(b->w, 5); n--;) {
		step(b->w);
		must(b->w, "sync", fs_sync(b->w->v->fs));
	}
}

/* No thread: the writer works in between the scrub's calls to its store, wherever its seed says. Repeats itself. */
static void interleave(uint32_t journal_pages, unsigned n, uint64_t seed)
{
	struct quiet q;

	quiet_new(&q, journal_pages);
	volume_open(q.v, 0);
	struct between b = { .w = writer_new(q.v, q.busy, seed) };
	struct store *real = q.store;
	q.store = hook_store_new(real, do_between, &b);
	ck_assert_ptr_nonnull(q.store);
	for (unsigned i = 0; i < 300; i++)
		step(b.w);
	for (unsigned i = 0; i < n; i++) {
		static const unsigned rare[] = { 30, 100, 300 };
		b.rare = rare[i % CL_ARRAY_LEN(rare)];
		scrubbed(&q, 0);
	}
	b.off = true;
	q.store->ops->free(q.store);
	q.store = real;
	writer_free(b.w);
	volume_close(q.v);
	verdict(q.v, false, 0, 0);
	quiet_free(&q);
}

START_TEST(test_interleaved)
{
	static const uint32_t journals[] = { 64, 128, 256, 1024 };
	uint64_t seed = first_seed();

	for (unsigned i = 0; i < CL_ARRAY_LEN(journals); i++)
		interleave(journals[i], runs(), seed + i);
}
END_TEST

/* A bit of a lower page of the quiet part is wrong, until it is told; then it is as it was. */
static void damaged(struct quiet *q, const char *file, uint64_t page, const char *path, const char *text)
{
	char name[256];

	snprintf(name, sizeof name, "%s", lower(q->v, 0, file));
	flip(name, page * CL_PAGE + 77);
	scrubbed(q, 1);
	expect(q->v, path, text);
	flip(name, page * CL_PAGE + 77);
	scrubbed(q, 0);
}

START_TEST(test_damage)
{
	struct quiet q;
	char name[256], away[300], copy[STORE_NAME_MAX];

	quiet_new(&q, 256);
	volume_open(q.v, 0);
	struct writer *w = writer_start(q.v, q.busy, 4711);
	writer_wait(w, 300);
	const char *file = object_file(q.object);
	damaged(&q, file, pageio_lower_leaf(0), "/still/sub/quiet",
		"contents: page 0 (bytes 0-4095) does not authenticate");
	damaged(&q, file, pageio_lower_leaf(150), "/still/sub/quiet", "contents: page 150 ");
	damaged(&q, file, pageio_lower_node(1, 1), "/still/sub/quiet",
		"contents: pages 128-170 (bytes 524288-699999) cannot be reached: an index page above does not "
		"authenticate");
	damaged(&q, file, pageio_lower_node(2, 0), "/still/sub/quiet", "contents: pages 0-170 ");
	file = object_file(q.sub_object);
	damaged(&q, file, 0, "/still/sub", "directory: page 0 (bytes 0-4095) does not authenticate");
	/* A page of the table with the records of those: the second copy alone, then the first. */
	uint64_t leaf = q.quiet / INODE_PER_PAGE;
	ck_assert_uint_ne(leaf, q.busy / INODE_PER_PAGE);
	pageio_name(PAGEIO_OBJ_INODES, 1, copy);
	damaged(&q, copy, pageio_lower_leaf(leaf), "", "inode table: the second copy of page");
	damaged(&q, object_file(PAGEIO_OBJ_INODES), pageio_lower_leaf(leaf), "", "inode table: the first copy of page");
	/* No lower file. */
	snprintf(name, sizeof name, "%s", lower(q.v, 0, object_file(q.object)));
	snprintf(away, sizeof away, "%s/away", q.v->dir);
	ck_assert_int_eq(rename(name, away), 0);
	scrubbed(&q, 2);
	expect(q.v, "/still/sub/quiet", "contents: its lower file");
	ck_assert_int_eq(rename(away, name), 0);
	scrubbed(&q, 0);
	writer_stop(w);
	volume_close(q.v);
	verdict(q.v, false, 0, 0);
	quiet_free(&q);
}
END_TEST

/* Both copies of a page of the table: the inodes are lost, those who have them by name are not told twice. */
START_TEST(test_table)
{
	struct quiet q;
	uint64_t off;
	char names[2][256], copy[STORE_NAME_MAX];

	quiet_new(&q, 256);
	volume_open(q.v, 0);
	off = pageio_lower_leaf(q.quiet / INODE_PER_PAGE) * CL_PAGE + 100;
	for (unsigned i = 0; i < 2; i++) {
		pageio_name(PAGEIO_OBJ_INODES, i, copy);
		snprintf(names[i], sizeof names[i], "%s", lower(q.v, 0, copy));
		flip(names[i], off);
	}
	scrubbed(&q, 1);
	expect(q.v, "", "inode table: page 3 (inodes 24-31) does not authenticate");
	for (unsigned i = 0; i < 2; i++)
		flip(names[i], off);
	scrubbed(&q, 0);
	volume_close(q.v);
	quiet_free(&q);
}
END_TEST

/* The volume at rest, but open: what is home, and what is still in the journal. */
START_TEST(test_roots_and_journal)
{
	struct quiet q;
	char name[256];

	quiet_new(&q, 256);
	volume_open(q.v, 0); /* one commit, in the journal */
	snprintf(name, sizeof name, "%s", lower(q.v, 0, "root.copy"));
	flip(name, 1000);
	scrubbed(&q, 0); /* it will be written again */
	flip(name, 1000);
	volume_close(q.v);

	volume_open(q.v, 0);
	put(q.v, q.quiet, 0, 4096);
	ck_assert_int_eq(fs_sync(q.v->fs), 0);
	put(q.v, q.quiet, 4096, 4096);
	ck_assert_int_eq(fs_sync(q.v->fs), 0);
	scrubbed(&q, 0);
	/* The first of the records: what the later ones say cannot be known, so nothing else is said. */
	snprintf(name, sizeof name, "%s", lower(q.v, 0, "journal"));
	le64 tail; /* newest header: offset 40 */
	uint64_t first = 0, newest = 0;
	for (unsigned i = 0; i < 2; i++) {
		le64 generation;
		int fd = open(name, O_RDONLY);
		ck_assert_int_eq(pread(fd, &generation, 8, (off_t)i * 4096 + 56), 8);
		ck_assert_int_eq(pread(fd, &tail, 8, (off_t)i * 4096 + 40), 8);
		close(fd);
		if (le64_get(generation) > newest)
			first = le64_get(tail);
		newest = CL_MAX(newest, le64_get(generation));
	}
	flip(name, (2 + first) * CL_PAGE + 200);
	ck_assert_int_eq(scrub_volume(&q, true, false), 0);
	ck_assert_uint_eq(q.v->check.ret_errors, 1);
	expect(q.v, "", "a record of its journal is damaged");
	flip(name, (2 + first) * CL_PAGE + 200);
	scrubbed(&q, 0);
	/* A copy of the header. */
	flip(name, CL_PAGE + 40);
	scrubbed(&q, 1);
	expect(q.v, "", "the second copy of its header is damaged");
	flip(name, CL_PAGE + 40);
	volume_close(q.v);
	quiet_free(&q);
}
END_TEST

/* After a checkpoint the root page is at home: a copy of it is damaged. */
START_TEST(test_root_copy)
{
	struct quiet q;
	char name[256];

	quiet_new(&q, 256);
	volume_open(q.v, 0);
	struct fs_stats st = { .pending_pages = 1 };
	for (unsigned tries = 0; tries < 1000 && st.pending_pages; tries++) {
		const struct timespec t = { .tv_nsec = 10000000 };
		nanosleep(&t, NULL);
		ck_assert_int_eq(fs_tick(q.v->fs), 0); /* a checkpoint, when nothing has happened for a while */
		fs_get_stats(q.v->fs, &st);
	}
	ck_assert_uint_eq(st.pending_pages, 0);
	snprintf(name, sizeof name, "%s", lower(q.v, 0, "root.copy"));
	flip(name, 1000);
	scrubbed(&q, 1);
	expect(q.v, "", "root page: root.copy is damaged");
	flip(name, 1000);
	scrubbed(&q, 0);
	volume_close(q.v);
	quiet_free(&q);
}
END_TEST

/* Only where it is asked for, and never together with a replay; who reads an upper label shares the lower ones. */
START_TEST(test_leases)
{
	struct quiet q;

	quiet_new(&q, 256);
	volume_open(q.v, 0);
	ck_assert_int_eq(scrub_volume(&q, false, false), -EBUSY);
	ck_assert_ptr_nonnull(strstr(q.v->f.text, "in use"));
	ck_assert_int_eq(scrub_volume(&q, true, true), -EBUSY);
	ck_assert_uint_eq(q.v->n, 0);
	volume_close(q.v);
	volume_open(q.v, 1);
	ck_assert_int_eq(scrub_volume(&q, true, false), 0);
	ck_assert_uint_eq(q.v->check.ret_errors, 0);
	ck_assert_uint_eq(q.v->check.ret_followed, 1);
	expect(q.v, "", "compartment a1a1a1a1: is in use");
	volume_close(q.v);
	ck_assert_int_eq(scrub_volume(&q, true, false), 0);
	ck_assert_uint_eq(q.v->check.ret_followed, 0);
	ck_assert_uint_eq(q.v->n, 0);
	quiet_free(&q);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = { test_interleaved,       test_no_false_findings, test_damage, test_table,
				       test_roots_and_journal, test_root_copy,         test_leases };

	return run_tests("scrub", tests, CL_ARRAY_LEN(tests));
}
