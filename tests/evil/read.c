/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Reading all of the volume, and comparing it with what must be there. */
#include "tests/evil/scene.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* One reading. */
struct reading {
	const struct scene_state *state;
	struct fs *fs;
	const struct scene_loss *loss;
	bool exact, all, focus;
	struct scene_result *r;
	bool reached[SCENE_ENTRIES];
};

static void wrong(struct reading *x, const char *fmt, ...) CL_PRINTF(2, 3);
static void wrong(struct reading *x, const char *fmt, ...)
{
	va_list ap;

	if (x->r->wrong[0])
		return;
	va_start(ap, fmt);
	vsnprintf(x->r->wrong, sizeof x->r->wrong, fmt, ap);
	va_end(ap);
}

/* Outcome of one call: whether what it gave is to be compared. lost: whether it should have been an error. */
static bool outcome(struct reading *x, size_t i, const char *what, long err, bool lost)
{
	const char *path = x->state->e[i].path;

	if (err >= 0) {
		if (lost && x->exact)
			wrong(x, "%s: %s: can be read, though what it is in is damaged", path, what);
		return true;
	}
	if (!SCENE_LOST(err))
		wrong(x, "%s: %s: error %ld", path, what, err);
	else if (x->exact && !lost)
		wrong(x, "%s: %s: error %ld, but nothing of it is damaged", path, what, err);
	x->r->errors++;
	x->r->lost[i] = true;
	return false;
}

static struct scene_loss loss_of(const struct reading *x, size_t i)
{
	return x->loss ? x->loss[i] : (struct scene_loss){ 0 };
}

static bool same_time(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static void compare_attr(struct reading *x, size_t i, const struct fs_attr *a)
{
	const struct fs_attr *b = &x->state->e[i].attr;

	if (a->ino != b->ino || a->generation != b->generation || a->mode != b->mode || a->nlink != b->nlink ||
	    a->uid != b->uid || a->gid != b->gid || a->rdev_major != b->rdev_major || a->rdev_minor != b->rdev_minor ||
	    a->size != b->size || a->blocks != b->blocks || !same_time(a->mtime, b->mtime) ||
	    !same_time(a->ctime, b->ctime) || !same_time(a->btime, b->btime))
		wrong(x, "%s: attributes differ", x->state->e[i].path);
}

/* Pages first .. first + n - 1 at once; the last one may be short. */
static void read_pages(struct reading *x, size_t i, unsigned first, unsigned n)
{
	static uint8_t buf[SCENE_PAGES_MAX * CL_PAGE] __attribute__((aligned(CL_PAGE)));
	const struct scene_entry *e = &x->state->e[i];
	struct scene_loss l = loss_of(x, i);
	uint64_t off = (uint64_t)first * CL_PAGE, want = off >= e->attr.size ? 0 : e->attr.size - off;
	bool hit = l.data && (int)first <= l.last && (int)(first + n) > l.first;
	char what[64];

	want = CL_MIN(want, (uint64_t)n * CL_PAGE);
	ssize_t got = fs_read(x->fs, e->attr.ino, buf, (size_t)n * CL_PAGE, off);
	if (got < 0 && n > 1) { /* which of them? */
		for (unsigned k = 0; k < n; k++)
			read_pages(x, i, first + k, 1);
		return;
	}
	snprintf(what, sizeof what, "pages %u-%u", first, first + n - 1);
	if (!outcome(x, i, what, got, hit))
		return;
	if ((uint64_t)got != want) {
		wrong(x, "%s: %s: %zd bytes, expected %llu", e->path, what, got, (unsigned long long)want);
		return;
	}
	for (unsigned k = 0; k < n && want; k++) {
		size_t len = (size_t)CL_MIN(want, (uint64_t)CL_PAGE);
		if (memcmp(buf + (size_t)k * CL_PAGE, scene_page(e->seed[first + k]), len) != 0)
			wrong(x, "%s: page %u: WRONG DATA", e->path, first + k);
		want -= len;
	}
}

static void read_file(struct reading *x, size_t i)
{
	static uint8_t all[SCENE_PAGES_MAX * CL_PAGE] __attribute__((aligned(CL_PAGE)));
	const struct scene_entry *e = &x->state->e[i];
	struct scene_loss l = loss_of(x, i);
	unsigned n = (unsigned)((e->attr.size + CL_PAGE - 1) / CL_PAGE);
	uint64_t at;

	if (l.data) {
		/* All at once is an error as well: fewer bytes would be taken for the end of the file. */
		ssize_t got = fs_read(x->fs, e->attr.ino, all, sizeof all, 0);
		if (got >= 0 && x->exact && l.first < (int)n)
			wrong(x, "%s: a reading of all of it gives %zd bytes, though page %d is damaged", e->path, got,
			      l.first);
		for (unsigned k = 0; k < n; k++)
			read_pages(x, i, k, 1);
		return;
	}
	if (n <= 8 || x->all) {
		read_pages(x, i, 0, CL_MAX(n, 1u));
	} else {
		read_pages(x, i, 0, 2);
		read_pages(x, i, n / 2, 1);
		read_pages(x, i, n - 2, 2);
	}
	int err = fs_seek(x->fs, e->attr.ino, 0, SEEK_DATA, &at);
	if (err == -ENXIO || !outcome(x, i, "SEEK_DATA", err, false))
		return;
	if (at < e->attr.size && at % CL_PAGE == 0 && !e->seed[at / CL_PAGE])
		wrong(x, "%s: SEEK_DATA leads into a hole", e->path);
}

static void read_link(struct reading *x, size_t i)
{
	const struct scene_entry *e = &x->state->e[i];
	char buf[FS_SYMLINK_MAX + 1];

	if (outcome(x, i, "readlink", fs_readlink(x->fs, e->attr.ino, buf), loss_of(x, i).link) &&
	    (strlen(buf) != e->target || memcmp(buf, scene_page(9), e->target) != 0))
		wrong(x, "%s: WRONG TARGET", e->path);
}

static void read_xattr(struct reading *x, size_t i)
{
	const struct scene_entry *e = &x->state->e[i];
	static uint8_t buf[4 * CL_PAGE];
	char names[256];
	size_t len = 0;
	int err = fs_getxattr(x->fs, e->attr.ino, "user.evil", buf, sizeof buf, &len);

	if (err == -ENODATA && !e->xattr)
		return;
	if (!outcome(x, i, "getxattr", err, loss_of(x, i).xattr))
		return;
	size_t one = CL_MIN(len, (size_t)CL_PAGE);
	if (len != e->xattr || memcmp(buf, scene_page(7), one) != 0 || memcmp(buf + one, scene_page(8), len - one) != 0)
		wrong(x, "%s: WRONG ATTRIBUTE", e->path);
	err = fs_listxattr(x->fs, e->attr.ino, names, sizeof names, &len);
	if (outcome(x, i, "listxattr", err, false) && !memmem(names, len, "user.evil", 10))
		wrong(x, "%s: its attribute is not listed", e->path);
}

/* A listing: which entries of the directory came, and nothing else. */
struct listed {
	struct reading *x;
	size_t dir;
	bool seen[SCENE_ENTRIES];
};

static bool on_entry(void *arg, const char *name, const struct fs_attr *attr, uint64_t next)
{
	struct listed *l = arg;
	const struct scene_state *st = l->x->state;

	(void)next;
	if (!strcmp(name, ".") || !strcmp(name, ".."))
		return true;
	for (size_t i = 0; i < st->n; i++) {
		if (st->e[i].parent != (int)l->dir || strcmp(st->e[i].name, name) != 0)
			continue;
		if (l->seen[i] || attr->ino != st->e[i].attr.ino)
			wrong(l->x, "%s: is listed twice, or with another inode", st->e[i].path);
		l->seen[i] = true;
		return true;
	}
	/* What this session does not see is not listed; so this was never there. */
	wrong(l->x, "%s: lists \"%.40s\", WHICH IS NOT THERE", st->e[l->dir].path, name);
	return true;
}

static void list(struct reading *x, size_t dir)
{
	const struct scene_state *st = x->state;
	struct listed l = { .x = x, .dir = dir };
	int err = fs_readdir(x->fs, st->e[dir].attr.ino, 0, false, on_entry, &l);
	bool whole = outcome(x, dir, "readdir", err, loss_of(x, dir).list);

	for (size_t i = 0; i < st->n; i++)
		if (st->e[i].parent == (int)dir && !l.seen[i] && (whole || (x->exact && x->reached[i])))
			wrong(x, "%s: is not listed", st->e[i].path);
}

static void read_entry(struct reading *x, size_t i)
{
	const struct scene_entry *e = &x->state->e[i];
	struct scene_loss l = loss_of(x, i);
	struct fs_attr a;

	if (e->parent >= 0) {
		if (!x->reached[e->parent])
			return;
		int err = fs_lookup(x->fs, x->state->e[e->parent].attr.ino, e->name, &a);
		if (!outcome(x, i, "lookup", err, l.lookup))
			return;
		fs_forget(x->fs, a.ino, 1);
		compare_attr(x, i, &a);
		if (a.ino != e->attr.ino) /* said already; do not read another file's contents */
			return;
	} else if (!outcome(x, i, "getattr", fs_getattr(x->fs, e->attr.ino, &a), l.lookup)) {
		return;
	}
	x->reached[i] = true;
	if (e->alias)
		return;
	if (S_ISREG(e->attr.mode))
		read_file(x, i);
	if (S_ISLNK(e->attr.mode))
		read_link(x, i);
	if (S_ISREG(e->attr.mode) || S_ISDIR(e->attr.mode))
		read_xattr(x, i);
}

/* What a reading with a focus looks at: what has a loss, and one file of each compartment. */
static bool in_focus(const struct reading *x, size_t i)
{
	static const struct scene_loss none;
	const struct scene_entry *e = &x->state->e[i];

	return !x->focus || (x->loss && memcmp(&x->loss[i], &none, sizeof none) != 0) || e->attr.ino == FS_ROOT ||
	       !strcmp(e->path, "/small") || !strcmp(e->path, "/upper/secret");
}

void scene_read(const struct scene_state *state, struct fs *fs, const struct scene_loss *loss, unsigned how,
		struct scene_result *ret)
{
	struct reading x = { .state = state,
			     .fs = fs,
			     .loss = loss,
			     .exact = how & SCENE_EXACT,
			     .all = how & SCENE_PAGES,
			     .focus = how & SCENE_FOCUS,
			     .r = ret };
	bool wanted[SCENE_ENTRIES] = { false };
	struct fs_attr a;

	memset(ret, 0, offsetof(struct scene_result, wrong) + 1);
	for (size_t i = state->n; i > 0; i--) { /* parents come before what is in them */
		wanted[i - 1] |= in_focus(&x, i - 1);
		if (wanted[i - 1] && state->e[i - 1].parent >= 0)
			wanted[state->e[i - 1].parent] = true;
	}
	for (size_t i = 0; i < state->n; i++)
		if (wanted[i])
			read_entry(&x, i);
	for (size_t i = 0; i < state->n; i++)
		if (S_ISDIR(state->e[i].attr.mode) && x.reached[i] && in_focus(&x, i))
			list(&x, i);
	if (x.focus)
		return;
	/* A name that was never there must not be found; where a page is lost nobody can tell. */
	int err = fs_lookup(fs, FS_ROOT, "never", &a);
	if (err != -ENOENT && (!SCENE_LOST(err) || !ret->lost[0]))
		wrong(&x, "a name that is not there: %d", err);
}
