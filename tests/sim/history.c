/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a tree went through, as checksums, and whether a volume is one of its states. */
#include "tests/sim/history.h"

#include "common/bytes.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#define ULL(x) ((unsigned long long)(x))
#define XATTRS 70000u

/* One inode after one operation. */
struct version {
	uint64_t op;
	uint64_t meta, contents;
	struct timespec mtime, ctime, btime;
	unsigned unknown;
};

struct life {
	uint64_t ino;
	uint32_t generation;
	struct version *v;
	size_t n, cap;
	uint64_t *replaced; /* operations that put it in the place of another */
	size_t n_replaced, cap_replaced;
};

/* A name as it stood after the operation before. */
struct name {
	uint64_t dir, hash, ino;
};

struct synced {
	size_t log;
	uint64_t op;
	uint64_t ino; /* 0 = everything */
	uint32_t generation;
};

/* What is found in the volume. */
struct found {
	uint64_t ino;
	uint32_t generation;
	struct version is;
	bool is_file;
};

struct history {
	struct life *lives;
	size_t n_lives, cap_lives;
	uint64_t *states; /* checksum of names and attributes after each operation */
	size_t n_states, cap_states;
	struct synced *syncs;
	size_t n_syncs, cap_syncs;
	struct name *names, *before;
	size_t n_names, cap_names, n_before, cap_before;
	char why[400];

	/* of the running check */
	struct fs *fs;
	uint64_t state;
	struct found *found;
	size_t n_found, cap_found;
	uint64_t dir;
	uint64_t *dirs; /* still to be read */
	size_t n_dirs, cap_dirs;
};

struct history *history_new(void)
{
	return ref_alloc(sizeof(struct history));
}

void history_free(struct history *h)
{
	for (size_t i = 0; i < h->n_lives; i++) {
		free(h->lives[i].v);
		free(h->lives[i].replaced);
	}
	free(h->lives);
	free(h->states);
	free(h->syncs);
	free(h->names);
	free(h->before);
	free(h->found);
	free(h->dirs);
	free(h);
}

static uint64_t mix(uint64_t a, uint64_t b)
{
	uint64_t v[2] = { a, b };
	return XXH3_64bits(v, sizeof v);
}

/* An entry of a directory; sums of these are the names' checksum, in whatever order they are found. */
static uint64_t name_sum(uint64_t dir, const char *name, uint64_t ino, uint32_t generation)
{
	return mix(mix(dir, ino), mix(XXH3_64bits(name, strlen(name)), generation));
}

static uint64_t attr_sum(uint32_t mode, uint32_t nlink, uint32_t uid, uint32_t gid)
{
	return mix(mix(mode, nlink), mix(uid, gid));
}

static uint64_t xattr_sum(const char *name, const void *value, size_t len)
{
	return mix(XXH3_64bits(name, strlen(name)), XXH3_64bits(value, len));
}

/* A page that is stored; one of zeros counts as a hole. */
static uint64_t page_sum(uint64_t no, const uint8_t *data)
{
	return bytes_are_zero(data, CL_PAGE) ? 0 : XXH3_64bits_withSeed(data, CL_PAGE, no);
}

static struct life *life_of(struct history *h, uint64_t ino, uint32_t generation)
{
	for (size_t i = 0; i < h->n_lives; i++)
		if (h->lives[i].ino == ino && h->lives[i].generation == generation)
			return &h->lives[i];
	return NULL;
}

static struct life *make_life(struct history *h, uint64_t ino, uint32_t generation)
{
	struct life *l = life_of(h, ino, generation);

	if (l)
		return l;
	h->lives = ref_grow(h->lives, h->n_lives, &h->cap_lives, sizeof *h->lives);
	memset(&h->lives[h->n_lives], 0, sizeof *h->lives);
	h->lives[h->n_lives].ino = ino;
	h->lives[h->n_lives].generation = generation;
	return &h->lives[h->n_lives++];
}

static struct version version_of(const struct ref_inode *i, uint64_t op)
{
	struct version v = { .op = op, .mtime = i->mtime, .ctime = i->ctime, .btime = i->btime, .unknown = i->unknown };

	v.meta = attr_sum(i->mode, i->nlink, i->uid, i->gid);
	for (const struct ref_xattr *x = i->xattrs; x; x = x->next)
		v.meta += xattr_sum(x->name, x->value, x->len);
	if (i->target)
		v.meta += XXH3_64bits(i->target, strlen(i->target));
	if (S_ISREG(i->mode)) {
		v.contents = mix(i->size, 0);
		for (size_t p = 0; p < i->n_pages; p++)
			v.contents += page_sum(i->pages[p].no, i->pages[p].data);
	}
	return v;
}

static uint64_t note_inode(struct history *h, const struct ref_inode *i, uint64_t op)
{
	struct life *l = make_life(h, i->ino, i->generation);

	if (!l->n || i->changed == op) {
		l->v = ref_grow(l->v, l->n, &l->cap, sizeof *l->v);
		l->v[l->n++] = version_of(i, op);
	}
	return mix(l->v[l->n - 1].meta, i->ino);
}

/* Keeps a name, and notes when it leads to another inode than before: who puts a file in the place of another wants one of both. */
static void note_name(struct history *h, uint64_t dir, const struct ref_dirent *e, uint64_t op)
{
	struct name n = { dir, XXH3_64bits(e->name, strlen(e->name)), e->to->ino };

	h->names = ref_grow(h->names, h->n_names, &h->cap_names, sizeof *h->names);
	h->names[h->n_names++] = n;
	if (e->made != op || !S_ISREG(e->to->mode))
		return;
	for (size_t k = 0; k < h->n_before; k++) {
		if (h->before[k].dir != dir || h->before[k].hash != n.hash || h->before[k].ino == n.ino)
			continue;
		struct life *l = make_life(h, e->to->ino, e->to->generation);
		l->replaced = ref_grow(l->replaced, l->n_replaced, &l->cap_replaced, sizeof *l->replaced);
		l->replaced[l->n_replaced++] = op;
	}
}

static uint64_t note_dir(struct history *h, const struct ref_inode *dir, uint64_t op)
{
	uint64_t sum = note_inode(h, dir, op);

	for (size_t k = 0; k < dir->n_entries; k++) {
		const struct ref_inode *i = dir->entries[k]->to;
		note_name(h, dir->ino, dir->entries[k], op);
		sum += name_sum(dir->ino, dir->entries[k]->name, i->ino, i->generation);
		if (S_ISDIR(i->mode))
			sum += note_dir(h, i, op);
		else
			sum += note_inode(h, i, op); /* once for each name */
	}
	return sum;
}

void history_note(struct history *h, const struct ref *ref)
{
	struct name *names = h->before;
	size_t cap = h->cap_before;

	h->before = h->names;
	h->n_before = h->n_names;
	h->cap_before = h->cap_names;
	h->names = names;
	h->cap_names = cap;
	h->n_names = 0;
	uint64_t sum = note_dir(h, ref->root, ref->op);
	while (h->n_states <= ref->op) {
		h->states = ref_grow(h->states, h->n_states, &h->cap_states, sizeof *h->states);
		h->states[h->n_states++] = sum;
	}
}

void history_synced(struct history *h, size_t log, const struct ref_inode *i)
{
	h->syncs = ref_grow(h->syncs, h->n_syncs, &h->cap_syncs, sizeof *h->syncs);
	h->syncs[h->n_syncs++] = (struct synced){ log, h->n_states - 1, i ? i->ino : 0, i ? i->generation : 0 };
}

static bool wrong(struct history *h, const char *fmt, ...) CL_PRINTF(2, 3);
static bool wrong(struct history *h, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(h->why, sizeof h->why, fmt, ap);
	va_end(ap);
	return false;
}

static bool read_xattrs(struct history *h, uint64_t ino, uint64_t *sum)
{
	static char list[XATTRS], value[XATTRS];
	size_t n = 0, len;
	int err = fs_listxattr(h->fs, ino, list, sizeof list, &n);

	for (char *at = list; !err && at < list + n; at += strlen(at) + 1) {
		err = fs_getxattr(h->fs, ino, at, value, sizeof value, &len);
		if (!err)
			*sum += xattr_sum(at, value, len);
	}
	return !err || wrong(h, "inode %llu: its attributes cannot be read: %s", ULL(ino), strerror(-err));
}

static bool read_contents(struct history *h, const struct fs_attr *a, uint64_t *sum)
{
	uint8_t page[CL_PAGE];
	uint64_t at = 0, data, hole;

	*sum = mix(a->size, 0);
	while (at < a->size) {
		int err = fs_seek(h->fs, a->ino, at, SEEK_DATA, &data);
		if (err == -ENXIO)
			return true;
		if (!err)
			err = fs_seek(h->fs, a->ino, data, SEEK_HOLE, &hole);
		if (err)
			return wrong(h, "inode %llu: its holes cannot be found: %s", ULL(a->ino), strerror(-err));
		for (at = data; at < hole; at += CL_PAGE) {
			memset(page, 0, sizeof page);
			ssize_t got = fs_read(h->fs, a->ino, page, CL_PAGE, at);
			if (got != (ssize_t)CL_MIN(CL_PAGE, a->size - at))
				return wrong(h, "inode %llu: read of page %llu: %s", ULL(a->ino), ULL(at / CL_PAGE),
					     got < 0 ? strerror((int)-got) : "too short");
			*sum += page_sum(at / CL_PAGE, page);
		}
	}
	return true;
}

/* Attributes and contents of an inode, as the volume has them. */
static bool find(struct history *h, const struct fs_attr *a)
{
	char target[FS_SYMLINK_MAX + 1];
	struct found f = { .ino = a->ino, .generation = a->generation, .is_file = S_ISREG(a->mode) };

	f.is.mtime = a->mtime;
	f.is.ctime = a->ctime;
	f.is.btime = a->btime;
	f.is.meta = attr_sum(a->mode, a->nlink, a->uid, a->gid);
	if (!read_xattrs(h, a->ino, &f.is.meta))
		return false;
	if (S_ISLNK(a->mode)) {
		int err = fs_readlink(h->fs, a->ino, target);
		if (err)
			return wrong(h, "symlink %llu cannot be read: %s", ULL(a->ino), strerror(-err));
		f.is.meta += XXH3_64bits(target, strlen(target));
	}
	if (f.is_file && !read_contents(h, a, &f.is.contents))
		return false;
	h->state += mix(f.is.meta, a->ino);
	h->found = ref_grow(h->found, h->n_found, &h->cap_found, sizeof *h->found);
	h->found[h->n_found++] = f;
	return true;
}

struct entries {
	struct history *h;
	struct entry {
		char name[FS_NAME_MAX + 1];
		struct fs_attr a;
	} *v;
	size_t n, cap;
};

static bool collect(void *arg, const char *name, const struct fs_attr *a, uint64_t next)
{
	struct entries *e = arg;

	(void)next;
	if (!strcmp(name, ".") || !strcmp(name, ".."))
		return true;
	e->v = ref_grow(e->v, e->n, &e->cap, sizeof *e->v);
	strcpy(e->v[e->n].name, name);
	e->v[e->n++].a = *a;
	return true;
}

static bool find_dir(struct history *h, uint64_t ino)
{
	struct entries e = { .h = h };
	struct fs_attr a;
	bool ok = true;
	int err = fs_getattr(h->fs, ino, &a);

	if (!err)
		ok = find(h, &a);
	if (!err && ok)
		err = fs_readdir(h->fs, ino, 0, true, collect, &e);
	if (err)
		ok = wrong(h, "directory %llu cannot be read: %s", ULL(ino), strerror(-err));
	for (size_t k = 0; k < e.n; k++) {
		const struct fs_attr *at = &e.v[k].a;
		if (ok && !at->nlink)
			ok = wrong(h, "\"%s\" in directory %llu has no inode", e.v[k].name, ULL(ino));
		if (!at->nlink)
			continue;
		h->state += name_sum(ino, e.v[k].name, at->ino, at->generation);
		if (ok && S_ISDIR(at->mode)) {
			h->dirs = ref_grow(h->dirs, h->n_dirs, &h->cap_dirs, sizeof *h->dirs);
			h->dirs[h->n_dirs++] = at->ino;
		} else if (ok) {
			ok = find(h, at);
		}
		fs_forget(h->fs, at->ino, 1);
	}
	free(e.v);
	return ok;
}

static bool find_all(struct history *h)
{
	bool ok = true;

	h->state = 0;
	h->n_found = 0;
	h->n_dirs = 0;
	h->dirs = ref_grow(h->dirs, 0, &h->cap_dirs, sizeof *h->dirs);
	h->dirs[h->n_dirs++] = FS_ROOT;
	while (ok && h->n_dirs)
		ok = find_dir(h, h->dirs[--h->n_dirs]);
	return ok;
}

static bool same_time(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

/* The last version that is not later than op; NULL: it was not there yet. */
static const struct version *version_at(const struct life *l, uint64_t op, size_t *ret)
{
	size_t k = l->n;

	while (k && l->v[k - 1].op > op)
		k--;
	*ret = k ? k - 1 : 0;
	return k ? &l->v[k - 1] : NULL;
}

/* Last operation before log after which names (life NULL) or that file as well are known to be durable. */
static uint64_t safe_op(const struct history *h, const struct life *l, size_t log)
{
	uint64_t op = 0;

	for (size_t i = 0; i < h->n_syncs; i++) {
		const struct synced *s = &h->syncs[i];
		if (s->log <= log && (!l || !s->ino || (s->ino == l->ino && s->generation == l->generation)))
			op = CL_MAX(op, s->op);
	}
	return op;
}

/* The volume is what it was after operation k. */
static bool is_state(struct history *h, uint64_t k, size_t log)
{
	for (size_t i = 0; i < h->n_found; i++) {
		const struct found *f = &h->found[i];
		struct life *l = life_of(h, f->ino, f->generation);
		size_t at, first;
		const struct version *v = l ? version_at(l, k, &at) : NULL;

		if (!v || v->meta != f->is.meta)
			return wrong(h, "operation %llu: inode %llu is not what it was", ULL(k), ULL(f->ino));
		if (!(v->unknown & (REF_MTIME | REF_CTIME | REF_BTIME)) &&
		    (!same_time(v->mtime, f->is.mtime) || !same_time(v->ctime, f->is.ctime) || !same_time(v->btime, f->is.btime)))
			return wrong(h, "operation %llu: times of inode %llu are not what they were", ULL(k), ULL(f->ino));
		if (!f->is_file)
			continue;
		uint64_t safe = safe_op(h, l, log);
		for (size_t r = 0; r < l->n_replaced; r++)
			if (l->replaced[r] <= k)
				safe = CL_MAX(safe, l->replaced[r]);
		if (!version_at(l, CL_MIN(safe, k), &first))
			first = 0;
		bool match = false;
		for (size_t n = first; n <= at && !match; n++)
			match = l->v[n].contents == f->is.contents;
		if (!match)
			return wrong(h, "operation %llu: contents of inode %llu are of no state since operation %llu", ULL(k),
				     ULL(f->ino), ULL(l->v[first].op));
	}
	return true;
}

const char *history_check(struct history *h, struct fs *fs, size_t log, uint64_t last)
{
	uint64_t from = safe_op(h, NULL, log);
	bool candidates = false;

	h->fs = fs;
	if (!find_all(h))
		return h->why;
	for (uint64_t k = CL_MIN(last, h->n_states - 1);; k--) {
		if (h->states[k] == h->state) {
			candidates = true;
			if (is_state(h, k, log))
				return NULL;
		}
		if (k <= from)
			break;
	}
	if (!candidates) {
		char first[sizeof h->why] = "names only";
		if (!is_state(h, CL_MIN(last, h->n_states - 1), log))
			memcpy(first, h->why, sizeof first);
		wrong(h, "names and attributes are of no state from operation %llu to %llu (%.200s)", ULL(from), ULL(last), first);
	}
	return h->why;
}
