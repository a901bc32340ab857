/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Comparison of whole trees. */
#include "tests/model/drive.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define ULL(x) ((unsigned long long)(x))

struct walk {
	struct drive *d;
	struct ref_inode *dir;
	size_t n, cap;
	struct found {
		char name[FS_NAME_MAX + 1];
		struct fs_attr a;
	} *found;
};

static bool collect(void *arg, const char *name, const struct fs_attr *a, uint64_t next)
{
	struct walk *w = arg;

	(void)next;
	if (!strcmp(name, ".") || !strcmp(name, ".."))
		return true;
	w->found = ref_grow(w->found, w->n, &w->cap, sizeof *w->found);
	strcpy(w->found[w->n].name, name);
	w->found[w->n++].a = *a;
	return true;
}

static void read_dir(struct walk *w, uint64_t ino)
{
	drive_expect(w->d, fs_readdir(w->d->fs, ino, 0, true, collect, w), 0);
	for (size_t k = 0; k < w->n; k++)
		if (w->found[k].a.nlink)
			fs_forget(w->d->fs, w->found[k].a.ino, 1);
}

/* Attributes that only a walk learns: of inodes made in another process. */
static void check_inode(struct drive *d, struct ref_inode *i)
{
	struct fs_attr a;
	char buf[FS_SYMLINK_MAX + 1];

	drive_expect(d, fs_getattr(d->fs, i->ino, &a), 0);
	drive_compare(d, i, &a, REF_LOOK);
	if (S_ISREG(i->mode))
		drive_contents(d, i);
	if (S_ISLNK(i->mode)) {
		drive_expect(d, fs_readlink(d->fs, i->ino, buf), 0);
		if (strcmp(buf, i->target))
			drive_fail(d, "inode %llu: symlink's target differs", ULL(i->ino));
	}
	drive_xattrs(d, i);
	if (S_ISREG(i->mode)) {
		/* Reading has set the access time, perhaps. */
		ref_accessed(d->ref, i);
		drive_expect(d, fs_getattr(d->fs, i->ino, &a), 0);
		drive_compare(d, i, &a, REF_LOOK);
	}
}

static void check_dir(struct drive *d, struct ref_inode *dir)
{
	struct walk w = { .d = d, .dir = dir };
	struct fs_attr a;
	size_t ours = 0;

	drive_expect(d, fs_getattr(d->fs, dir->ino, &a), 0);
	drive_compare(d, dir, &a, REF_LOOK);
	drive_xattrs(d, dir);
	read_dir(&w, dir->ino);
	for (size_t k = 0; k < w.n; k++) {
		struct found *f = &w.found[k];
		struct ref_dirent *e = ref_find(dir, f->name);
		if (!e && dir->shared && strncmp(f->name, d->prefix, strlen(d->prefix)))
			continue;
		if (!e)
			drive_fail(d, "directory %llu: \"%s\" should not be there", ULL(dir->ino), f->name);
		ours++;
		drive_compare(d, e->to, &f->a, REF_LOOK);
	}
	if (ours != dir->n_entries)
		drive_fail(d, "directory %llu has %zu entries, expected %zu", ULL(dir->ino), ours, dir->n_entries);
	free(w.found);
	ref_accessed(d->ref, dir);
	drive_expect(d, fs_getattr(d->fs, dir->ino, &a), 0);
	drive_compare(d, dir, &a, REF_LOOK);
	for (size_t k = 0; k < dir->n_entries; k++) {
		struct ref_inode *i = dir->entries[k]->to;
		if (S_ISDIR(i->mode))
			check_dir(d, i);
		else
			check_inode(d, i);
	}
	d->ref->n_touched = 0;
}

void drive_verify(struct drive *d)
{
	struct ref_set *dirs = &d->ref->sets[REF_DIRS], *all = &d->ref->sets[REF_ALL];

	drive_say(d, "whole tree");
	d->adopting = true;
	check_dir(d, d->ref->root);
	for (size_t k = 0; k < dirs->n; k++)
		if (dirs->v[k]->shared)
			check_dir(d, dirs->v[k]);
	/* And what has no name. */
	for (size_t k = 0; k < all->n; k++)
		if (!all->v[k]->nlink && !S_ISDIR(all->v[k]->mode))
			check_inode(d, all->v[k]);
	ref_bury(d->ref);
	d->adopting = false;
}

/* Reads all that an object of the volume has: nothing may be damaged, whatever it is. */
static void read_all(struct drive *d, const struct fs_attr *a)
{
	uint64_t at = 0, data, hole;
	size_t len;

	drive_expect(d, fs_listxattr(d->fs, a->ino, (char *)d->out, DRIVE_BUF, &len), 0);
	if (S_ISLNK(a->mode))
		drive_expect(d, fs_readlink(d->fs, a->ino, (char *)d->out), 0);
	if (!S_ISREG(a->mode))
		return;
	while (at < a->size && !fs_seek(d->fs, a->ino, at, SEEK_DATA, &data)) {
		drive_expect(d, fs_seek(d->fs, a->ino, data, SEEK_HOLE, &hole), 0);
		for (at = data; at < hole;) {
			ssize_t got = fs_read(d->fs, a->ino, d->out, CL_MIN(hole - at, DRIVE_BUF), at);
			if (got <= 0)
				drive_fail(d, "inode %llu: read at %llu gives %zd", ULL(a->ino), ULL(at), got);
			at += (uint64_t)got;
		}
	}
}

static void check_since(struct drive *d, struct ref_inode *dir, uint64_t ino, uint64_t since)
{
	struct walk w = { .d = d, .dir = dir };

	read_dir(&w, ino);
	for (size_t k = 0; dir && k < dir->n_entries; k++) {
		struct ref_dirent *e = dir->entries[k];
		size_t f = 0;
		if (e->made > since)
			continue;
		while (f < w.n && strcmp(w.found[f].name, e->name))
			f++;
		if (f == w.n)
			drive_fail(d, "\"%s\" was there at operation %llu and is lost", e->name, ULL(since));
		if (e->to->changed > since)
			continue;
		e->to->unknown |= REF_ATIME;
		if (S_ISDIR(e->to->mode)) {
			drive_compare(d, e->to, &w.found[f].a, REF_LOOK);
			continue;
		}
		/* The attributes found may be older than what was read under another name of the file. */
		if (!e->to->ino)
			drive_adopt(d, e->to, &w.found[f].a);
		drive_expect(d, (int64_t)w.found[f].a.ino, (int64_t)e->to->ino);
		check_inode(d, e->to);
		ref_bury(d->ref);
	}
	for (size_t k = 0; k < w.n; k++) {
		struct found *f = &w.found[k];
		struct ref_dirent *e = dir ? ref_find(dir, f->name) : NULL;
		if (S_ISDIR(f->a.mode))
			check_since(d, e && e->made <= since ? e->to : NULL, f->a.ino, since);
		else
			read_all(d, &f->a);
	}
	free(w.found);
}

void drive_verify_since(struct drive *d, uint64_t since)
{
	drive_say(d, "what has not changed since operation %llu", ULL(since));
	d->adopting = true;
	check_since(d, d->ref->root, FS_ROOT, since);
	d->adopting = false;
}
