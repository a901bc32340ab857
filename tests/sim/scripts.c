/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Fixed scripts, in a small language. A line is a command with its arguments; names are in the root directory, or in one
 * below it. Offsets and lengths are bytes, with k for 1024 and p for pages.
 *
 *   make F, mkdir D, symlink F, tmpfile F, write F OFF LEN, append F LEN, truncate F SIZE, punch F OFF LEN, zero F OFF LEN,
 *   rename A B, exchange A B, link A B, unlink F, rmdir D, open F, close F, xattr F LEN, rmxattr F, mode F, fsync F, sync, tick,
 *   full, room (on the disk), times N COMMAND (in which # is the number)
 */
#include "tests/sim/scripts.h"

#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define OVER "write a 0 12k\n fsync a\n write a 4k 16k\n fsync a\n write a 0 12k\n fsync a\n write a 4k 16k\n fsync a\n"

const struct script scripts[] = {
	{ "create", 0, "make a\n make b\n fsync a\n mkdir d\n make d/c\n symlink s\n sync\n make d/e\n fsync d/e\n unlink a\n sync" },
	{ "append", 2, "make a\n append a 100\n fsync a\n append a 5k\n append a 16p\n fsync a\n append a 30k\n sync\n append a 64k" },
	{ "overwrite", 2, "make a\n write a 0 64k\n sync\n write a 0 4k\n fsync a\n write a 4k 64k\n fsync a\n write a 100 10\n sync\n"
			  "write a 0 64k\n write a 0 64k\n fsync a" },
	{ "truncate", 2, "make a\n write a 0 64k\n fsync a\n truncate a 0\n fsync a\n write a 0 64k\n fsync a\n truncate a 10k\n"
			 "write a 16k 48k\n fsync a\n truncate a 0\n write a 0 3k\n sync\n truncate a 40k\n sync" },
	{ "again", 2, "make a\n write a 0 64k\n sync\n truncate a 0\n write a 0 64k\n truncate a 0\n write a 0 64k\n fsync a\n"
		      "truncate a 4k\n write a 4k 60k\n write a 4k 60k\n sync" },
	{ "punch", 2, "make a\n write a 0 64k\n write a 64k 64k\n sync\n punch a 0 64k\n fsync a\n write a 0 64k\n sync\n punch a 8k 20k\n"
		      "write a 0 64k\n fsync a\n zero a 4k 100k\n write a 8k 16p\n sync\n punch a 0 128k\n write a 64k 64k\n fsync a" },
	{ "replace", 2, "make a\n write a 0 64k\n sync\n make t\n write t 0 64k\n rename t a\n make o\n fsync o\n make t\n write t 0 20k\n"
			"fsync t\n rename t a\n sync\n make t\n write t 0 16p\n rename t a\n write o 0 64k\n fsync o" },
	{ "names", 0, "make a\n make b\n sync\n exchange a b\n sync\n link a c\n rename b d\n mkdir e\n rename d e/f\n fsync e\n link c e/g\n"
		      "unlink a\n rename e h\n sync\n unlink h/f\n unlink h/g\n rmdir h\n sync" },
	{ "orphan", 2, "make a\n write a 0 64k\n open a\n sync\n unlink a\n sync\n make b\n write b 0 64k\n fsync b\n close a\n sync\n tmpfile t\n"
		       "write t 0 20k\n sync\n link t u\n fsync u\n close u\n sync" },
	{ "xattr", 0, "make a\n xattr a 100\n fsync a\n xattr a 3000\n sync\n xattr a 9000\n fsync a\n xattr a 20\n rmxattr a\n sync\n mkdir d\n"
		      "xattr d 5000\n mode d\n fsync d\n rmdir d\n sync" },
	{ "levels", 2, "make a\n write a 0 4k\n fsync a\n write a 508k 8k\n fsync a\n write a 65532k 8k\n fsync a\n write a 0 4k\n sync\n"
		       "write a 400000000k 4k\n sync\n truncate a 520k\n write a 65532k 64k\n fsync a\n truncate a 1k\n sync" },
	{ "wrap", 0, "make a\n make b\n write a 0 32k\n times 30 write a 4k 20k\n fsync a\n times 25 fsync a\n write b 0 30k\n sync\n"
		     "times 12 append b 9k\n sync\n times 12 make f#\n sync\n times 12 unlink f#\n sync" },
	{ "ring", 0, "make a\n make b\n sync\n write a 0 12k\n fsync a\n write b 0 12k\n fsync b\n write a 0 12k\n fsync a\n write b 0 12k\n fsync b\n"
		     "write a 4k 20k\n fsync a\n write b 4k 20k\n fsync b\n write a 4k 20k\n fsync a\n write b 4k 20k\n fsync b\n tick\n"
		     "write a 4k 20k\n fsync a\n write b 4k 20k\n fsync b\n unlink a\n sync\n write b 0 8k\n fsync b" },
	{ "behind", 2, "make a\n make b\n write a 0 64k\n write b 0 64k\n sync\n write a 64k 64k\n fsync b\n write a 0 64k\n mode a\n fsync b\n"
		       "truncate a 0\n write a 0 64k\n fsync b\n fsync a\n punch a 0 8k\n write a 128k 64k\n fsync b\n sync" },
	/* Pages that cannot go home are moved forward in the journal, again and again. */
	{ "full", 0, "make a\n write a 0 32k\n make b\n write b 0 4k\n make c\n write c 0 8k\n sync\n" OVER "make d\n write d 0 8k\n write b 4k 8k\n"
		     "fsync b\n full\n" OVER OVER "unlink c\n fsync b\n" OVER "mode d\n sync\n" OVER "truncate a 20k\n fsync a\n" OVER
		     "room\n tick\n make e\n write e 0 12k\n sync\n" OVER },
};
const size_t n_scripts = CL_ARRAY_LEN(scripts);

static const struct profile nothing = { .name = "script" };

struct command {
	struct trial *t;
	char verb[16], a[32], b[32];
	uint64_t x, y;
};

static uint64_t number(const char *s)
{
	char *end;
	uint64_t n = strtoull(s, &end, 10);

	return *end == 'k' ? n * 1024 : *end == 'p' ? n * CL_PAGE : n;
}

/* Directory of a name, and its last part. */
static struct ref_inode *dir_of(struct trial *t, const char *name, const char **ret_last)
{
	const char *slash = strchr(name, '/');
	char first[32] = "";

	*ret_last = slash ? slash + 1 : name;
	if (!slash)
		return t->drive.ref->root;
	memcpy(first, name, (size_t)(slash - name));
	return ref_find(t->drive.ref->root, first)->to;
}

/* An inode by its name; one that has none any more by the name under which it was opened. */
static struct ref_inode *find(struct trial *t, const char *name)
{
	const char *last;
	struct ref_inode *dir = dir_of(t, name, &last);
	struct ref_dirent *e = ref_find(dir, last);

	if (e)
		return e->to;
	for (size_t k = 0; k < t->drive.ref->sets[REF_FILES].n; k++)
		if (!t->drive.ref->sets[REF_FILES].v[k]->nlink)
			return t->drive.ref->sets[REF_FILES].v[k];
	fprintf(stderr, "sim: the script knows no %s\n", name);
	exit(1);
}

static void make(struct command *c, uint32_t mode)
{
	struct drive *d = &c->t->drive;
	const struct fs_cred cred = { 0, 0, 0 };
	struct ref_inode *i;
	struct fs_attr a;
	const char *last;
	struct ref_inode *dir = dir_of(c->t, c->a, &last);
	const char *target = S_ISLNK(mode) ? "where/it/leads" : NULL;

	drive_expect(d, ref_make(d->ref, dir, last, mode, target, &cred, &i), 0);
	drive_expect(d, fs_make(d->fs, dir->ino, last, mode, target, &cred, &a), 0);
	drive_adopt(d, i, &a);
	i->lookups++;
}

static void tmpfile_(struct command *c)
{
	struct drive *d = &c->t->drive;
	const struct fs_cred cred = { 0, 0, 0 };
	struct ref_inode *i;
	struct fs_attr a;

	drive_expect(d, ref_tmpfile(d->ref, d->ref->root, 0600, &cred, &i), 0);
	drive_expect(d, fs_tmpfile(d->fs, FS_ROOT, 0600, &cred, &a), 0);
	drive_adopt(d, i, &a);
	i->lookups++;
}

static void write_(struct command *c, bool append)
{
	struct drive *d = &c->t->drive;
	struct ref_inode *i = find(c->t, c->a);
	uint64_t off = append ? i->size : c->x, n = append ? c->x : c->y;

	for (uint64_t k = 0; k < n; k++)
		d->buf[k] = (uint8_t)(d->ref->op * 37 + k / 7 + 1);
	drive_expect(d, ref_write(d->ref, i, d->buf, n, off, append), (int64_t)n);
	drive_expect(d, fs_write(d->fs, i->ino, d->buf, n, off, append ? FS_WRITE_APPEND : 0), (int64_t)n);
}

static void set(struct command *c, unsigned what)
{
	struct drive *d = &c->t->drive;
	struct ref_inode *i = find(c->t, c->a);
	struct fs_attr a = { .size = c->x, .mode = (uint32_t)(d->ref->op * 8) & 0770 }, got;

	drive_expect(d, ref_setattr(d->ref, i, what, &a), 0);
	drive_expect(d, fs_setattr(d->fs, i->ino, what, &a, &got), 0);
}

static void allocate(struct command *c, int mode)
{
	struct drive *d = &c->t->drive;
	struct ref_inode *i = find(c->t, c->a);

	drive_expect(d, ref_fallocate(d->ref, i, mode, c->x, c->y), 0);
	drive_expect(d, fs_fallocate(d->fs, i->ino, mode, c->x, c->y), 0);
}

static void rename_(struct command *c, unsigned flags)
{
	struct drive *d = &c->t->drive;
	const char *from, *to;
	struct ref_inode *a = dir_of(c->t, c->a, &from), *b = dir_of(c->t, c->b, &to);

	drive_expect(d, ref_rename(d->ref, a, from, b, to, flags), 0);
	drive_expect(d, fs_rename(d->fs, a->ino, from, b->ino, to, flags), 0);
}

static void link_(struct command *c)
{
	struct drive *d = &c->t->drive;
	struct fs_attr a;
	const char *last;
	struct ref_inode *i = find(c->t, c->a), *dir = dir_of(c->t, c->b, &last);

	drive_expect(d, ref_link(d->ref, i, dir, last), 0);
	drive_expect(d, fs_link(d->fs, i->ino, dir->ino, last, &a), 0);
	i->lookups++;
}

/* The kernel forgets what has no name and is not open. */
static void forget(struct drive *d, struct ref_inode *i)
{
	if (i->nlink > (S_ISDIR(i->mode) ? 1u : 0u) || i->opens || !i->lookups)
		return;
	fs_forget(d->fs, i->ino, i->lookups);
	i->lookups = 0;
	ref_reap(d->ref, i);
}

static void remove_(struct command *c, bool is_dir)
{
	struct drive *d = &c->t->drive;
	const char *last;
	struct ref_inode *i = find(c->t, c->a), *dir = dir_of(c->t, c->a, &last);

	drive_expect(d, ref_remove(d->ref, dir, last, is_dir), 0);
	drive_expect(d, is_dir ? fs_rmdir(d->fs, dir->ino, last) : fs_unlink(d->fs, dir->ino, last), 0);
	forget(d, i);
}

static void open_(struct command *c, bool is_open)
{
	struct drive *d = &c->t->drive;
	struct ref_inode *i = find(c->t, c->a);

	if (is_open) {
		drive_expect(d, fs_open_file(d->fs, i->ino, false, false), 0);
		i->opens++;
		return;
	}
	if (i->opens) {
		fs_close_file(d->fs, i->ino);
		i->opens--;
	}
	forget(d, i);
}

static void xattr(struct command *c)
{
	struct drive *d = &c->t->drive;
	struct ref_inode *i = find(c->t, c->a);

	memset(d->buf, (int)d->ref->op, c->x);
	drive_expect(d, ref_setxattr(d->ref, i, "user.x", d->buf, c->x, 0), 0);
	drive_expect(d, fs_setxattr(d->fs, i->ino, "user.x", d->buf, c->x, 0), 0);
}

static void rmxattr(struct command *c)
{
	struct drive *d = &c->t->drive;
	struct ref_inode *i = find(c->t, c->a);

	drive_expect(d, ref_removexattr(d->ref, i, "user.x"), 0);
	drive_expect(d, fs_removexattr(d->fs, i->ino, "user.x"), 0);
}

static void run(struct trial *t, void *arg)
{
	struct command *c = arg;
	struct drive *d = &t->drive;
	const char *v = c->verb;

	d->ref->op++;
	drive_say(d, "%s %s %s", c->verb, c->a, c->b);
	if (!strcmp(v, "make"))
		make(c, S_IFREG | 0644);
	else if (!strcmp(v, "mkdir"))
		make(c, S_IFDIR | 0755);
	else if (!strcmp(v, "symlink"))
		make(c, S_IFLNK);
	else if (!strcmp(v, "tmpfile"))
		tmpfile_(c);
	else if (!strcmp(v, "write"))
		write_(c, false);
	else if (!strcmp(v, "append"))
		write_(c, true);
	else if (!strcmp(v, "truncate"))
		set(c, FS_SET_SIZE);
	else if (!strcmp(v, "mode"))
		set(c, FS_SET_MODE);
	else if (!strcmp(v, "punch"))
		allocate(c, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE);
	else if (!strcmp(v, "zero"))
		allocate(c, FALLOC_FL_ZERO_RANGE);
	else if (!strcmp(v, "rename"))
		rename_(c, 0);
	else if (!strcmp(v, "exchange"))
		rename_(c, RENAME_EXCHANGE);
	else if (!strcmp(v, "link"))
		link_(c);
	else if (!strcmp(v, "unlink"))
		remove_(c, false);
	else if (!strcmp(v, "rmdir"))
		remove_(c, true);
	else if (!strcmp(v, "open"))
		open_(c, true);
	else if (!strcmp(v, "close"))
		open_(c, false);
	else if (!strcmp(v, "xattr"))
		xattr(c);
	else if (!strcmp(v, "rmxattr"))
		rmxattr(c);
	else if (!strcmp(v, "tick"))
		drive_expect(d, fs_tick(d->fs), 0);
	else if (!strcmp(v, "sync")) {
		drive_expect(d, fs_sync(d->fs), 0);
		d->synced(d->synced_arg);
	} else if (!strcmp(v, "full") || !strcmp(v, "room")) {
		simdisk_full(t->disk, *v == 'f');
	} else if (!strcmp(v, "fsync")) {
		struct ref_inode *i = find(t, c->a);
		drive_expect(d, fs_fsync(d->fs, i->ino, false), 0);
		d->fsynced(d->synced_arg, i);
	} else {
		fprintf(stderr, "sim: the script says %s\n", v);
		exit(1);
	}
	drive_touched(d);
}

static void run_line(struct trial *t, const char *line)
{
	struct command c = { .t = t };
	char a[32] = "", b[32] = "";

	sscanf(line, " %15s %31s %31s %31s", c.verb, c.a, a, b);
	strcpy(c.b, a);
	c.x = number(a);
	c.y = number(b);
	trial_step(t, run, &c);
}

static void repeat(struct trial *t, const char *line, unsigned n)
{
	for (unsigned k = 0; k < n; k++) {
		const char *hash = strchr(line, '#');
		char one[120];
		if (hash)
			snprintf(one, sizeof one, "%.*s%u%s", (int)(hash - line), line, k, hash + 1);
		else
			snprintf(one, sizeof one, "%s", line);
		run_line(t, one);
	}
}

void script_run(struct trial *t, const struct script *s)
{
	char text[4096], *save, *line;

	trial_begin(t, 0, s->ring, &nothing, s->name);
	snprintf(text, sizeof text, "%s", s->text);
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		unsigned n;
		int used = 0;
		if (sscanf(line, " times %u %n", &n, &used) == 1)
			repeat(t, line + used, n);
		else
			run_line(t, line);
	}
	trial_end(t);
}

/* No listing: the driver changes the directory meanwhile, and an operation here is one transaction. */
static const struct profile profiles[] = {
	{ .name = "mixed", .names = 8, .depth = 30, .big = 25, .sparse = 4, .far = (uint64_t)1 << 30, .max_inodes = 40, .max_pages = 600,
	  .make = 14, .remove = 8, .rename = 10, .attr = 5, .xattr = 6, .data = 34, .cut = 10, .list = 0, .sync = 12 },
	{ .name = "data", .names = 3, .depth = 0, .big = 60, .sparse = 3, .far = (uint64_t)1 << 26, .max_inodes = 5, .max_pages = 600,
	  .make = 5, .remove = 2, .rename = 3, .attr = 1, .xattr = 1, .data = 55, .cut = 20, .list = 0, .sync = 13 },
	{ .name = "names", .names = 12, .depth = 40, .big = 2, .sparse = 0, .far = 0, .max_inodes = 80, .max_pages = 100,
	  .make = 35, .remove = 16, .rename = 24, .attr = 3, .xattr = 4, .data = 8, .cut = 2, .list = 0, .sync = 7 },
};

void script_random(struct trial *t, uint64_t seed, bool trace)
{
	uint64_t rng = seed * 0x9e3779b97f4a7c15u + 1;
	unsigned ring = (unsigned)sim_below(&rng, TRIAL_RINGS);
	static struct profile p;

	p = profiles[sim_below(&rng, CL_ARRAY_LEN(profiles))];
	/* One transaction takes a write in whole. */
	p.max_bytes = CL_MIN(CL_MAX(trial_rings[ring] / 64, 8u), 256u) * CL_PAGE;
	trial_begin(t, seed, ring, &p, NULL);
	t->drive.trace = trace;
	for (uint64_t n = 4 + sim_below(&rng, 90); n; n--)
		trial_random(t);
	trial_end(t);
}
