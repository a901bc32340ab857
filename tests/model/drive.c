/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The driver: chance, complaints, comparison of one inode, choice of the operation. */
#include "tests/model/drive.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define CLOCK_SLACK_MS 2000 /* a coarse clock lags behind */

void drive_init(struct drive *d, const struct profile *p, uint64_t seed)
{
	memset(d, 0, sizeof *d);
	d->p = p;
	d->seed = seed;
	/* Neighbouring seeds must not give the same numbers one step apart. */
	d->rng = (seed + 1) * 0xd1342543de82ef95u;
	d->rng = drive_rand(d) ^ seed;
	d->prefix = "";
	d->alone = true;
	d->buf = ref_alloc(DRIVE_BUF);
	d->out = ref_alloc(DRIVE_BUF);
}

void drive_done(struct drive *d)
{
	free(d->buf);
	free(d->out);
	free(d->generations);
	if (d->ref)
		ref_free(d->ref);
}

uint64_t drive_rand(struct drive *d)
{
	/* splitmix64 (S. Vigna, public domain) */
	uint64_t z = d->rng += 0x9e3779b97f4a7c15u;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

uint64_t drive_below(struct drive *d, uint64_t n)
{
	return n ? drive_rand(d) % n : 0;
}

bool drive_chance(struct drive *d, unsigned of_100)
{
	return drive_below(d, 100) < of_100;
}

struct ref_inode *drive_pick(struct drive *d, unsigned set)
{
	const struct ref_set *s = &d->ref->sets[set];
	return s->n ? s->v[drive_below(d, s->n)] : NULL;
}

struct ref_inode *drive_dir(struct drive *d)
{
	const struct ref_set *s = &d->ref->sets[REF_DIRS];

	if (drive_chance(d, d->p->depth))
		return s->v[s->n - 1 - drive_below(d, CL_MIN(s->n, 4u))];
	return s->v[drive_below(d, s->n)];
}

void drive_pick_name(struct drive *d, const struct ref_inode *dir, unsigned existing, char *name)
{
	uint64_t n = drive_below(d, d->p->names), kind = drive_below(d, 100);
	const char *prefix = dir->shared ? d->prefix : "";

	if (dir->n_entries && drive_chance(d, existing)) {
		strcpy(name, dir->entries[drive_below(d, dir->n_entries)]->name);
	} else if (kind < 88 || dir->shared) {
		sprintf(name, "%sn%llu", prefix, (unsigned long long)n);
	} else if (kind < 96) {
		/* Long ones, so that pages of entries fill up and records are split in all ways. */
		size_t len = 60 + n % 196;
		memset(name, 'a' + (int)(n % 26), len);
		sprintf(name + len - 8, "%08llu", (unsigned long long)n);
	} else if (kind < 98) {
		sprintf(name, "\x01\xff %llu\n", (unsigned long long)n);
	} else {
		static const char *const odd[] = { "", ".", "..", "a/b", "/", "x" };
		strcpy(name, odd[n % CL_ARRAY_LEN(odd)]);
		if (name[0] == 'x')
			memset(name, 'x', 256), name[256] = '\0';
	}
}

void drive_say(struct drive *d, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(d->what, sizeof d->what, fmt, ap);
	va_end(ap);
	if (d->trace)
		fprintf(stderr, "%llu: %s\n", (unsigned long long)d->ref->op, d->what);
	clock_gettime(CLOCK_REALTIME, &d->before);
}

void drive_fail(struct drive *d, const char *fmt, ...)
{
	va_list ap;

	fflush(stdout);
	fprintf(stderr, "model: profile %s, seed %llu%s%s, operation %llu: %s\n       ", d->p->name,
		(unsigned long long)d->seed, *d->prefix ? ", thread " : "", d->prefix, (unsigned long long)d->ref->op,
		d->what);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	fflush(stderr);
	_Exit(1); /* other threads may be in the engine */
}

void drive_expect(struct drive *d, int64_t got, int64_t want)
{
	if (got != want)
		drive_fail(d, "the engine says %lld (%s), expected %lld (%s)", (long long)got,
			   got < 0 ? strerror((int)-got) : "-", (long long)want, want < 0 ? strerror((int)-want) : "-");
}

static void compare_number(struct drive *d, const struct ref_inode *i, const char *what, uint64_t got, uint64_t want)
{
	if (got != want)
		drive_fail(d, "inode %llu: %s is %llu (%llx), expected %llu (%llx)", (unsigned long long)i->ino, what,
			   (unsigned long long)got, (unsigned long long)got, (unsigned long long)want,
			   (unsigned long long)want);
}

static int64_t ms_of(struct timespec t)
{
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void compare_time(struct drive *d, struct ref_inode *i, unsigned which, unsigned what, struct timespec got,
			 struct timespec *want)
{
	static const char *const names[] = { "atime", "mtime", "ctime", "btime" };
	struct timespec now;
	unsigned n = (unsigned)__builtin_ctz(which);

	if (i->unknown & which) {
		clock_gettime(CLOCK_REALTIME, &now);
		if (what & which && (ms_of(got) < ms_of(d->before) - CLOCK_SLACK_MS || ms_of(got) > ms_of(now) + 1))
			drive_fail(d, "inode %llu: %s was not set to now: %lld ms", (unsigned long long)i->ino,
				   names[n], (long long)(ms_of(got) - ms_of(now)));
		*want = got;
		i->unknown &= ~which;
	} else if (got.tv_sec != want->tv_sec || got.tv_nsec != want->tv_nsec) {
		drive_fail(d, "inode %llu: %s is %lld.%09ld, expected %lld.%09ld", (unsigned long long)i->ino, names[n],
			   (long long)got.tv_sec, got.tv_nsec, (long long)want->tv_sec, want->tv_nsec);
	}
}

void drive_adopt(struct drive *d, struct ref_inode *i, const struct fs_attr *a)
{
	size_t n = (size_t)(a->ino & 0xffffffffffffu);

	i->ino = a->ino;
	i->generation = a->generation;
	if (n >= d->n_generations) {
		size_t cap = n * 2 + 64;
		uint32_t *g = ref_alloc(cap * sizeof *g);
		if (d->n_generations)
			memcpy(g, d->generations, d->n_generations * sizeof *g);
		free(d->generations);
		d->generations = g;
		d->n_generations = cap;
	}
	if (!d->adopting && d->generations[n] == a->generation)
		drive_fail(d, "inode %llu was given out again with generation %u, as before %u",
			   (unsigned long long)a->ino, a->generation, d->generations[n]);
	d->generations[n] = a->generation;
}

void drive_compare(struct drive *d, struct ref_inode *i, const struct fs_attr *a, unsigned what)
{
	if (!i->ino || !i->generation)
		drive_adopt(d, i, a);
	compare_number(d, i, "number", a->ino, i->ino);
	compare_number(d, i, "generation", a->generation, i->generation);
	compare_number(d, i, "mode", a->mode, i->mode);
	compare_number(d, i, "uid", a->uid, i->uid);
	compare_number(d, i, "gid", a->gid, i->gid);
	if (i->shared)
		return;
	compare_number(d, i, "nlink", a->nlink, i->nlink);
	if (!S_ISDIR(i->mode))
		compare_number(d, i, "size", a->size, i->size);
	if (S_ISREG(i->mode))
		compare_number(d, i, "blocks", a->blocks, i->n_pages * 8);
	compare_time(d, i, REF_ATIME, what, a->atime, &i->atime);
	compare_time(d, i, REF_MTIME, what, a->mtime, &i->mtime);
	compare_time(d, i, REF_CTIME, what, a->ctime, &i->ctime);
	compare_time(d, i, REF_BTIME, what, a->btime, &i->btime);
}

void drive_touched(struct drive *d)
{
	struct fs_attr a;

	for (unsigned k = 0; d->fs && k < d->ref->n_touched; k++) {
		struct ref_inode *i = d->ref->touched[k].i;
		int err = fs_getattr(d->fs, i->ino, &a);
		if (i->dead) {
			/*
			 * Another may have been given the number meanwhile, but not with this generation; and another
			 * thread that lists the directory may still hold it for a moment.
			 */
			bool held = !d->alone && a.nlink == 0;
			if (err != -ESTALE && (err || (a.generation == i->generation && !held)))
				drive_fail(d, "inode %llu should be gone; getattr says %s", (unsigned long long)i->ino,
					   strerror(-err));
			continue;
		}
		if (err)
			drive_fail(d, "getattr of inode %llu: %s", (unsigned long long)i->ino, strerror(-err));
		drive_compare(d, i, &a, d->ref->touched[k].what);
	}
	ref_bury(d->ref);
}

static void sync_step(struct drive *d)
{
	uint64_t kind = drive_below(d, 100);
	struct ref_inode *i = drive_pick(d, REF_ALL);
	struct fs_space space;

	if (kind < 40) {
		drive_say(d, "fsync %llu", (unsigned long long)i->ino);
		if (d->fs)
			drive_expect(d, fs_fsync(d->fs, i->ino, kind & 1), 0);
		if (d->fs && d->fsynced)
			d->fsynced(d->synced_arg, i);
	} else if (kind < 60) {
		drive_say(d, "sync");
		if (d->fs)
			drive_expect(d, fs_sync(d->fs), 0);
		if (d->synced)
			d->synced(d->synced_arg);
	} else if (kind < 90) {
		drive_say(d, "tick");
		if (d->fs)
			drive_expect(d, fs_tick(d->fs), 0);
	} else {
		drive_say(d, "statfs");
		if (!d->fs)
			return;
		drive_expect(d, fs_statfs(d->fs, &space), 0);
		if (space.bfree > space.blocks || space.bavail > space.bfree || space.ffree > space.files)
			drive_fail(d, "more is free than there is");
		if (d->alone)
			drive_expect(d, (int64_t)(space.files - space.ffree), (int64_t)d->ref->sets[REF_ALL].n);
	}
}

void drive_step(struct drive *d)
{
	const struct profile *p = d->p;
	uint64_t n = drive_below(d, p->make + p->remove + p->rename + p->attr + p->xattr + p->data + p->cut + p->list +
					    p->sync);
	bool full = d->ref->sets[REF_ALL].n >= p->max_inodes;
	enum { MAKE, REMOVE, RENAME };

	d->ref->op++;
	if (n < p->make)
		drive_name(d, full ? REMOVE : MAKE);
	else if ((n -= p->make) < p->remove)
		drive_name(d, REMOVE);
	else if ((n -= p->remove) < p->rename)
		drive_name(d, RENAME);
	else if ((n -= p->rename) < p->attr)
		drive_attr(d, 0);
	else if ((n -= p->attr) < p->xattr)
		drive_attr(d, 1);
	else if ((n -= p->xattr) < p->data)
		drive_data(d, d->ref->n_pages >= p->max_pages);
	else if ((n -= p->data) < p->cut)
		drive_data(d, 1);
	else if ((n -= p->cut) < p->list)
		drive_list(d);
	else
		sync_step(d);
	drive_touched(d);
}
