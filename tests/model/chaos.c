/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Chaos: threads that do anything to one small tree, without a model. What must hold whatever happens: nobody waits
 * for ever, no error speaks of damage, no page is torn between two writers, and in the end names, link counts and
 * parents agree.
 */
#include "tests/model/run.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KNOWN 64u
#define NAMES 12u
#define PAGES 40u
#define ULL(x) ((unsigned long long)(x))

struct known {
	uint64_t ino;
	uint32_t mode;
};

struct chaos {
	struct drive d; /* for its chance and its complaints */
	pthread_t thread;
	uint64_t n;
	struct known known[KNOWN]; /* references we hold; some stale by now */
};

static struct known *any(struct chaos *c)
{
	return &c->known[drive_below(&c->d, KNOWN)];
}

static uint64_t any_dir(struct chaos *c)
{
	for (unsigned k = 0; k < 8; k++) {
		struct known *i = any(c);
		if (i->ino && S_ISDIR(i->mode))
			return i->ino;
	}
	return FS_ROOT;
}

static void name_of(struct chaos *c, char *name)
{
	sprintf(name, "n%llu", ULL(drive_below(&c->d, NAMES)));
}

/* An error that two threads may give each other. */
static void allow(struct chaos *c, int64_t r)
{
	static const int fine[] = { ENOENT, EEXIST, ENOTEMPTY, ENOTDIR, EISDIR, EINVAL,
				    EPERM,  ESTALE, EMLINK,    ENXIO,   ENODATA };

	if (r >= 0)
		return;
	for (size_t k = 0; k < CL_ARRAY_LEN(fine); k++)
		if (r == -fine[k])
			return;
	drive_fail(&c->d, "the engine says %s", strerror((int)-r));
}

/* A new reference takes the place of an old one. */
static void keep(struct chaos *c, const struct fs_attr *a)
{
	struct known *i = any(c);

	if (i->ino)
		fs_forget(c->d.fs, i->ino, 1);
	*i = (struct known){ a->ino, a->mode };
}

static bool one_entry(void *arg, const char *name, const struct fs_attr *a, uint64_t next)
{
	(void)next;
	if (strcmp(name, ".") && strcmp(name, "..") && a->nlink) {
		uint64_t *got = arg;
		if (got[0] < KNOWN)
			got[++got[0]] = a->ino;
		else
			return false;
	}
	return true;
}

static void list(struct chaos *c, uint64_t dir)
{
	uint64_t got[KNOWN + 1] = { 0 };

	allow(c, fs_readdir(c->d.fs, dir, 0, true, one_entry, got));
	for (uint64_t k = 1; k <= got[0]; k++)
		fs_forget(c->d.fs, got[k], 1);
}

static void names_step(struct chaos *c, uint64_t kind)
{
	static const uint32_t modes[] = { S_IFREG | 0644, S_IFDIR | 0755, S_IFDIR | 0700, S_IFLNK };
	static const unsigned flags[] = { 0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE };
	struct fs *fs = c->d.fs;
	struct fs_cred cred = { 0, 0, 0 };
	char name[16], other[16];
	struct fs_attr a;
	uint64_t dir = any_dir(c), to = any_dir(c);
	int r;

	name_of(c, name);
	name_of(c, other);
	drive_say(&c->d, "kind %llu in %llu, %llu: %s, %s", ULL(kind), ULL(dir), ULL(to), name, other);
	switch (kind) {
	case 0: case 1:
		r = fs_make(fs, dir, name, modes[drive_below(&c->d, CL_ARRAY_LEN(modes))], "target", &cred, &a);
		break;
	case 2:
		r = fs_lookup(fs, dir, name, &a);
		break;
	case 3:
		r = fs_link(fs, any(c)->ino, dir, name, &a);
		break;
	case 4:
		r = fs_tmpfile(fs, dir, 0600, &cred, &a);
		break;
	case 5:
		r = fs_lookup(fs, dir, "..", &a);
		break;
	case 6:
		allow(c, fs_unlink(fs, dir, name));
		return;
	case 7:
		allow(c, fs_rmdir(fs, dir, name));
		return;
	case 8: case 9: case 10: case 11:
		allow(c, fs_rename(fs, dir, name, to, other, flags[drive_below(&c->d, CL_ARRAY_LEN(flags))]));
		return;
	default:
		list(c, dir);
		return;
	}
	allow(c, r);
	if (!r)
		keep(c, &a);
}

/* A page is of one writer: the same eight bytes all over, or zeros. */
static void check_pages(struct chaos *c, const uint8_t *buf, size_t n)
{
	for (size_t page = 0; page < n; page += CL_PAGE)
		for (size_t k = 8; k + 8 <= CL_PAGE && page + k + 8 <= n; k += 8)
			if (memcmp(buf + page, buf + page + k, 8))
				drive_fail(&c->d, "a page is torn at byte %zu", page + k);
}

static void data_step(struct chaos *c, uint64_t kind)
{
	struct fs *fs = c->d.fs;
	uint64_t ino = any(c)->ino, value = drive_rand(&c->d), off = drive_below(&c->d, PAGES) * CL_PAGE;
	size_t n = (1 + drive_below(&c->d, PAGES)) * CL_PAGE;
	struct fs_attr a = { .mode = (uint32_t)value & 0777, .size = off }, got;
	char small[100] = "value";
	size_t len;

	if (!ino)
		return;
	drive_say(&c->d, "data kind %llu of %llu", ULL(kind), ULL(ino));
	switch (kind) {
	case 0: case 1:
		for (size_t k = 0; k < n; k += 8)
			memcpy(c->d.buf + k, &value, 8);
		allow(c, fs_write(fs, ino, c->d.buf, n, off, false));
		break;
	case 2: case 3: {
		ssize_t r = fs_read(fs, ino, c->d.out, n, off);
		allow(c, r);
		check_pages(c, c->d.out, r > 0 ? (size_t)r : 0);
		break;
	}
	case 4:
		allow(c, fs_setattr(fs, ino, FS_SET_SIZE, &a, &got));
		break;
	case 5:
		allow(c, fs_setattr(fs, ino, FS_SET_MODE, &a, &got));
		break;
	case 6:
		allow(c, fs_setxattr(fs, ino, "user.x", small, value % sizeof small, 0));
		break;
	case 7:
		allow(c, fs_getxattr(fs, ino, "user.x", small, sizeof small, &len));
		break;
	case 8:
		allow(c, fs_fsync(fs, ino, false));
		break;
	case 9: {
		int r = fs_open_file(fs, ino, false, false);
		allow(c, r);
		if (!r) {
			allow(c, fs_getattr(fs, ino, &got));
			fs_close_file(fs, ino);
		}
		break;
	}
	default:
		allow(c, fs_getattr(fs, ino, &got));
	}
}

static void *work(void *arg)
{
	struct chaos *c = arg;

	for (uint64_t k = 0; k < c->n; k++) {
		c->d.ref->op++;
		if (drive_chance(&c->d, 65))
			names_step(c, drive_below(&c->d, 14));
		else
			data_step(c, drive_below(&c->d, 11));
	}
	for (unsigned k = 0; k < KNOWN; k++)
		if (c->known[k].ino)
			fs_forget(c->d.fs, c->known[k].ino, 1);
	return NULL;
}

/* Names found of each inode. */
struct census {
	struct chaos *c;
	struct found {
		uint64_t ino, parent;
		uint32_t mode, nlink, names, subdirs;
	} *v;
	size_t n, cap, at; /* at: entry of the directory being read */
};

static struct found *entry_of(struct census *s, uint64_t ino)
{
	for (size_t k = 0; k < s->n; k++)
		if (s->v[k].ino == ino)
			return &s->v[k];
	s->v = ref_grow(s->v, s->n, &s->cap, sizeof *s->v);
	memset(&s->v[s->n], 0, sizeof s->v[s->n]);
	s->v[s->n].ino = ino;
	return &s->v[s->n++];
}

static bool count(void *arg, const char *name, const struct fs_attr *a, uint64_t next)
{
	struct census *s = arg;

	(void)next;
	if (!strcmp(name, "."))
		return true;
	if (!strcmp(name, "..")) {
		if (a->ino != s->v[s->at].parent)
			drive_fail(&s->c->d, "\"..\" of %llu is %llu, expected %llu", ULL(s->v[s->at].ino), ULL(a->ino),
				   ULL(s->v[s->at].parent));
		return true;
	}
	struct found *f = entry_of(s, a->ino);
	f->names++;
	f->mode = a->mode;
	f->nlink = a->nlink;
	if (S_ISDIR(a->mode)) {
		f->parent = s->v[s->at].ino;
		s->v[s->at].subdirs++;
	}
	return true;
}

/* Link counts, parents and contents of the whole tree. */
static void check_tree(struct chaos *c)
{
	struct census s = { .c = c };
	struct found *root = entry_of(&s, FS_ROOT);
	struct fs_attr a;
	struct fs_space space;

	drive_say(&c->d, "census");
	drive_expect(&c->d, fs_getattr(c->d.fs, FS_ROOT, &a), 0);
	*root = (struct found){ FS_ROOT, FS_ROOT, a.mode, a.nlink, 1, 0 };
	for (s.at = 0; s.at < s.n; s.at++) {
		struct found f = s.v[s.at];
		if (S_ISDIR(f.mode))
			drive_expect(&c->d, fs_readdir(c->d.fs, f.ino, 0, true, count, &s), 0);
		if (S_ISREG(f.mode)) {
			ssize_t r = fs_read(c->d.fs, f.ino, c->d.out, DRIVE_BUF, 0);
			allow(c, r);
			check_pages(c, c->d.out, r > 0 ? (size_t)r : 0);
		}
	}
	for (size_t k = 0; k < s.n; k++) {
		struct found *f = &s.v[k];
		if (f->ino != FS_ROOT)
			fs_forget(c->d.fs, f->ino, f->names);
		uint32_t want = S_ISDIR(f->mode) ? 2 + f->subdirs : f->names;
		if (f->nlink != want || (S_ISDIR(f->mode) && f->names != 1))
			drive_fail(&c->d, "inode %llu, mode %o: link count %u, expected %u; %u names", ULL(f->ino),
				   f->mode, f->nlink, want, f->names);
	}
	drive_expect(&c->d, fs_statfs(c->d.fs, &space), 0);
	drive_expect(&c->d, (int64_t)(space.files - space.ffree), (int64_t)s.n);
	free(s.v);
}

void run_chaos(const struct profile *p, uint64_t seed, unsigned threads, uint64_t n)
{
	struct chaos *c = ref_alloc(threads * sizeof *c);
	struct volume v;

	volume_new(&v, false);
	struct fs *fs = volume_open(&v);
	for (unsigned t = 0; t < threads; t++) {
		drive_init(&c[t].d, p, seed * 1000 + t);
		c[t].d.prefix = "chaos";
		c[t].d.ref = ref_new(0755);
		c[t].d.fs = fs;
		c[t].n = n;
	}
	alarm(120 + (unsigned)(n / 500)); /* who still waits then, waits for ever */
	for (unsigned t = 0; t < threads; t++)
		if (pthread_create(&c[t].thread, NULL, work, &c[t]))
			exit(1);
	for (unsigned t = 0; t < threads; t++)
		pthread_join(c[t].thread, NULL);
	alarm(0);
	check_tree(&c[0]);
	volume_close(fs);
	c[0].d.fs = volume_open(&v);
	check_tree(&c[0]);
	volume_close(c[0].d.fs);
	for (unsigned t = 0; t < threads; t++)
		drive_done(&c[t].d);
	volume_free(&v);
	free(c);
}
