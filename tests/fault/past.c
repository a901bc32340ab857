/* SPDX-License-Identifier: GPL-3.0-or-later */
/* States as hashes: of each path its attributes, of each file each of its contents. */
#include "tests/fault/past.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#define READ_MAX ((size_t)1 << 20)

/* An object under one of its names. */
struct named {
	uint64_t path, meta;
	uint64_t id;   /* number here; of the engine's tree: unused */
	uint64_t size, hash; /* of the engine's tree only */
};

struct tree_state {
	struct named *v;
	size_t n, cap;
};

struct version {
	size_t step;
	uint64_t size, hash;
};

struct file {
	struct version *v;
	size_t n, cap;
	size_t synced; /* version that must be there at least */
};

struct past {
	struct tree_state *steps;
	size_t n, cap;
	size_t synced; /* step that must be there at least */
	struct file *files;
	size_t n_files, cap_files;
};

struct past *past_new(void)
{
	struct past *p = ref_alloc(sizeof *p);

	p->n_files = FS_ROOT + 1; /* 0 and the root are no files */
	p->cap_files = 64;
	p->files = ref_alloc(p->cap_files * sizeof *p->files);
	return p;
}

static void forget_steps(struct past *p)
{
	for (size_t k = 0; k < p->n; k++)
		free(p->steps[k].v);
	p->n = 0;
}

void past_free(struct past *p)
{
	forget_steps(p);
	free(p->steps);
	for (size_t k = 0; k < p->n_files; k++)
		free(p->files[k].v);
	free(p->files);
	free(p);
}

static uint64_t hash_path(uint64_t dir, const char *name)
{
	return XXH3_64bits_withSeed(name, strlen(name), dir);
}

struct meta {
	uint32_t mode, nlink, uid, gid;
	uint64_t target, xattrs;
};

static uint64_t hash_meta(struct meta m)
{
	return XXH3_64bits(&m, sizeof m);
}

static uint64_t hash_xattr(const char *name, const void *value, size_t n)
{
	return XXH3_64bits_withSeed(value, n, XXH3_64bits(name, strlen(name)));
}

/* Added up over all pages; a page of zeros is the same as a hole. */
static uint64_t hash_page(uint64_t no, const uint8_t *page)
{
	static const uint8_t zero[CL_PAGE];
	return memcmp(page, zero, CL_PAGE) ? XXH3_64bits_withSeed(page, CL_PAGE, no + 1) : 0;
}

static struct named *add(struct tree_state *t)
{
	t->v = ref_grow(t->v, t->n, &t->cap, sizeof *t->v);
	t->v[t->n] = (struct named){ 0 };
	return &t->v[t->n++];
}

static int by_path(const void *a, const void *b)
{
	const struct named *x = a, *y = b;
	return x->path < y->path ? -1 : x->path > y->path;
}

static void sort(struct tree_state *t)
{
	qsort(t->v, t->n, sizeof *t->v, by_path);
}

/* The reference's side. */

static void add_ref(struct tree_state *t, const struct ref_inode *i, uint64_t path)
{
	struct meta m = { .mode = i->mode, .nlink = i->nlink, .uid = i->uid, .gid = i->gid };

	if (i->target)
		m.target = XXH3_64bits(i->target, strlen(i->target));
	for (const struct ref_xattr *x = i->xattrs; x; x = x->next)
		m.xattrs += hash_xattr(x->name, x->value, x->len);
	*add(t) = (struct named){ .path = path, .meta = hash_meta(m), .id = i->ino };
	for (size_t k = 0; k < i->n_entries; k++)
		add_ref(t, i->entries[k]->to, hash_path(path, i->entries[k]->name));
}

void past_adopt(struct past *p, struct ref_inode *i)
{
	i->ino = p->n_files;
	p->files = ref_grow(p->files, p->n_files, &p->cap_files, sizeof *p->files);
	memset(&p->files[p->n_files++], 0, sizeof *p->files);
	past_contents(p, i);
}

void past_contents(struct past *p, const struct ref_inode *i)
{
	struct file *f = &p->files[i->ino];

	f->v = ref_grow(f->v, f->n, &f->cap, sizeof *f->v);
	struct version *v = &f->v[f->n++];
	*v = (struct version){ .step = p->n, .size = S_ISREG(i->mode) ? i->size : 0 };
	for (size_t k = 0; k < i->n_pages && S_ISREG(i->mode); k++)
		v->hash += hash_page(i->pages[k].no, i->pages[k].data);
}

void past_step(struct past *p, const struct ref *r)
{
	p->steps = ref_grow(p->steps, p->n, &p->cap, sizeof *p->steps);
	p->steps[p->n] = (struct tree_state){ 0 };
	add_ref(&p->steps[p->n], r->root, 1);
	sort(&p->steps[p->n]);
	p->n++;
}

void past_synced(struct past *p, const struct ref_inode *i)
{
	p->synced = p->n ? p->n - 1 : 0;
	for (size_t k = 0; k < p->n_files; k++)
		if (p->files[k].n && (!i || i->ino == k))
			p->files[k].synced = p->files[k].n - 1;
}

/* The engine's side. */

/* Reads a file's data, piece by piece: fn gets whole pages, zeros behind the end. */
static int read_file(struct fs *fs, uint64_t ino, uint64_t size, void (*fn)(void *arg, uint64_t no, const uint8_t *page),
		     void *arg)
{
	uint8_t *buf = ref_alloc(READ_MAX);
	uint64_t data, at = 0;
	int err = 0;

	while (!err && at < size) {
		err = fs_seek(fs, ino, at, SEEK_DATA, &data);
		if (err)
			break;
		at = data / CL_PAGE * CL_PAGE;
		size_t want = (size_t)CL_MIN(READ_MAX, size - at);
		ssize_t got = fs_read(fs, ino, buf, want, at);
		if (got < 0 || (size_t)got != want) {
			err = got < 0 ? (int)got : -ENODATA;
			break;
		}
		memset(buf + want, 0, READ_MAX - want);
		for (size_t k = 0; k < want; k += CL_PAGE)
			fn(arg, (at + k) / CL_PAGE, buf + k);
		at += want;
	}
	free(buf);
	return err == -ENXIO ? 0 : err;
}

static void add_hash(void *arg, uint64_t no, const uint8_t *page)
{
	*(uint64_t *)arg += hash_page(no, page);
}

struct put {
	struct ref *r;
	struct ref_inode *i;
};

static void put_page(void *arg, uint64_t no, const uint8_t *page)
{
	struct put *p = arg;
	if (ref_write(p->r, p->i, page, CL_PAGE, no * CL_PAGE, false) != (ssize_t)CL_PAGE)
		abort();
}

int past_read_back(struct fs *fs, uint64_t ino, struct ref *r, struct ref_inode *i)
{
	struct put p = { r, i };
	struct fs_attr a;
	int err = fs_getattr(fs, ino, &a);

	if (err)
		return err;
	err = ref_truncate(r, i, 0);
	if (!err)
		err = read_file(fs, ino, a.size, put_page, &p);
	return err ? err : ref_truncate(r, i, a.size);
}

static int read_xattrs(struct fs *fs, uint64_t ino, uint64_t *ret)
{
	static char names[65536], value[65536];
	size_t n, len;
	int err = fs_listxattr(fs, ino, names, sizeof names, &n);

	for (char *at = names; !err && at < names + n; at += strlen(at) + 1) {
		err = fs_getxattr(fs, ino, at, value, sizeof value, &len);
		if (!err)
			*ret += hash_xattr(at, value, len);
	}
	return err;
}

/* Everything about one object but its name. */
static int read_object(struct fs *fs, uint64_t ino, struct named *ret)
{
	struct fs_attr a;
	struct meta m = { 0 };
	int err = fs_getattr(fs, ino, &a);

	if (err)
		return err;
	m = (struct meta){ .mode = a.mode, .nlink = a.nlink, .uid = a.uid, .gid = a.gid };
	if (S_ISLNK(a.mode)) {
		char target[FS_SYMLINK_MAX + 1];
		err = fs_readlink(fs, ino, target);
		m.target = err ? 0 : XXH3_64bits(target, strlen(target));
	}
	if (!err)
		err = read_xattrs(fs, ino, &m.xattrs);
	if (!err && S_ISREG(a.mode)) {
		ret->size = a.size;
		err = read_file(fs, ino, a.size, add_hash, &ret->hash);
	}
	ret->meta = hash_meta(m);
	return err;
}

struct names {
	struct entry {
		char name[FS_NAME_MAX + 1];
		uint64_t ino;
		bool is_dir;
	} *v;
	size_t n, cap;
};

static bool collect(void *arg, const char *name, const struct fs_attr *a, uint64_t next)
{
	struct names *l = arg;

	(void)next;
	if (!strcmp(name, ".") || !strcmp(name, ".."))
		return true;
	l->v = ref_grow(l->v, l->n, &l->cap, sizeof *l->v);
	strcpy(l->v[l->n].name, name);
	l->v[l->n].ino = a->ino;
	l->v[l->n++].is_dir = S_ISDIR(a->mode);
	return true;
}

/* allowed: an error that may come up; what cannot be read because of it is left out. */
static int add_tree(struct fs *fs, struct tree_state *t, uint64_t ino, uint64_t path, bool is_dir, int allowed)
{
	struct names l = { 0 };
	struct named n = { .path = path };
	int err = read_object(fs, ino, &n);

	if (!err)
		*add(t) = n;
	else if (err == allowed)
		err = 0;
	if (!err && is_dir) {
		err = fs_readdir(fs, ino, 0, false, collect, &l);
		if (err == allowed)
			err = 0;
	}
	for (size_t k = 0; k < l.n && !err; k++)
		err = add_tree(fs, t, l.v[k].ino, hash_path(path, l.v[k].name), l.v[k].is_dir, allowed);
	free(l.v);
	return err;
}

static int read_tree(struct fs *fs, struct tree_state *t, int allowed)
{
	*t = (struct tree_state){ 0 };
	int err = add_tree(fs, t, FS_ROOT, 1, true, allowed);

	sort(t);
	if (err)
		fprintf(stderr, "fault: the tree cannot be read: %s\n", strerror(-err));
	return err;
}

/* Both. */

static bool same_names(const struct tree_state *want, const struct tree_state *found)
{
	if (want->n != found->n)
		return false;
	for (size_t k = 0; k < want->n; k++)
		if (want->v[k].path != found->v[k].path || want->v[k].meta != found->v[k].meta)
			return false;
	return true;
}

static bool is_version(const struct version *v, const struct named *found)
{
	return v->size == found->size && v->hash == found->hash;
}

/* Contents of every file are those of a version between the two. */
static bool contents_possible(const struct past *p, const struct tree_state *want, const struct tree_state *found, size_t step,
			      bool newest, bool say)
{
	for (size_t k = 0; k < want->n; k++) {
		const struct file *f = &p->files[want->v[k].id];
		bool ok = want->v[k].id <= FS_ROOT;
		for (size_t v = newest ? f->n - 1 : f->synced; !ok && v < f->n && f->v[v].step <= step; v++)
			ok = is_version(&f->v[v], &found->v[k]);
		if (ok)
			continue;
		if (say)
			fprintf(stderr, "fault: step %zu: object %llu has contents that it must not have now (%llu bytes)\n", step,
				(unsigned long long)want->v[k].id, (unsigned long long)found->v[k].size);
		return false;
	}
	return true;
}

bool past_is_now(struct past *p, struct fs *fs)
{
	struct tree_state found;
	bool ok = !read_tree(fs, &found, 1);

	if (ok && !same_names(&p->steps[p->n - 1], &found)) {
		fprintf(stderr, "fault: names or attributes are not those of step %zu (%zu objects, expected %zu)\n", p->n - 1,
			found.n, p->steps[p->n - 1].n);
		ok = false;
	}
	ok = ok && contents_possible(p, &p->steps[p->n - 1], &found, p->n - 1, true, true);
	free(found.v);
	return ok;
}

bool past_readable(struct past *p, struct fs *fs, int err)
{
	struct tree_state found;
	const struct tree_state *want = &p->steps[p->n - 1];
	bool ok = !read_tree(fs, &found, err);

	for (size_t k = 0, w = 0; ok && k < found.n; k++) {
		while (w < want->n && want->v[w].path < found.v[k].path)
			w++;
		if (w == want->n || want->v[w].path != found.v[k].path || want->v[w].meta != found.v[k].meta ||
		    (want->v[w].id > FS_ROOT &&
		     !is_version(&p->files[want->v[w].id].v[p->files[want->v[w].id].n - 1], &found.v[k]))) {
			fprintf(stderr, "fault: something is read wrongly while other reads fail\n");
			ok = false;
		}
	}
	free(found.v);
	return ok;
}

bool past_is_possible(struct past *p, struct fs *fs)
{
	struct tree_state found;
	bool ok = false, names = false;

	if (read_tree(fs, &found, 1))
		return false;
	for (size_t step = p->n; step > p->synced && !ok; step--) {
		if (!same_names(&p->steps[step - 1], &found))
			continue;
		names = true;
		ok = contents_possible(p, &p->steps[step - 1], &found, step - 1, false, false);
	}
	if (!ok)
		fprintf(stderr, "fault: what is found is none of the states %zu to %zu: %s\n", p->synced, p->n - 1,
			names ? "a file's contents" : "names or attributes");
	if (!ok && names)
		for (size_t step = p->n; step > p->synced; step--)
			if (same_names(&p->steps[step - 1], &found))
				contents_possible(p, &p->steps[step - 1], &found, step - 1, false, true);
	free(found.v);
	return ok;
}
