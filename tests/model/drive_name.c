/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Operations on names: make, link, remove, rename, lookup, forget, open, close, readdir. */
#include "tests/model/drive.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define NAME 400u
#define ULL(x) ((unsigned long long)(x))

void drive_forget(struct drive *d, struct ref_inode *i, uint64_t n)
{
	if (i->ino == FS_ROOT)
		return;
	i->lookups -= n;
	ref_touch(d->ref, i, REF_LOOK);
	if (d->fs)
		fs_forget(d->fs, i->ino, n);
	ref_reap(d->ref, i);
}

static void known(struct ref_inode *i)
{
	if (i->ino != FS_ROOT)
		i->lookups++;
}

static void make(struct drive *d)
{
	static const uint32_t types[] = { S_IFREG, S_IFREG, S_IFREG,  S_IFREG, S_IFREG, S_IFDIR,
					  S_IFDIR, S_IFIFO, S_IFSOCK, S_IFLNK, S_IFLNK, S_IFCHR };
	struct ref_inode *dir = drive_chance(d, 99) ? drive_dir(d) : drive_pick(d, REF_ALL), *i = NULL;
	uint32_t mode = types[drive_below(d, CL_ARRAY_LEN(types))] | (uint32_t)(drive_rand(d) & 07777);
	struct fs_cred cred = { (uint32_t)drive_below(d, 3) * 1000, (uint32_t)drive_below(d, 3) * 100,
				(uint32_t)(drive_rand(d) & 077) };
	size_t len = drive_chance(d, 50) ? drive_below(d, 60) : drive_below(d, FS_SYMLINK_MAX + 2);
	char name[NAME], *target = (char *)d->buf;
	struct fs_attr a;

	drive_pick_name(d, dir, 10, name);
	memset(target, 'a' + (int)(d->ref->op % 26), len);
	target[len] = '\0';
	drive_say(d, "make %o in %llu: \"%s\"", mode, ULL(dir->ino), name);
	int want = ref_make(d->ref, dir, name, mode, target, &cred, &i);
	if (d->fs)
		drive_expect(d, fs_make(d->fs, dir->ino, name, mode, target, &cred, &a), want);
	if (want)
		return;
	known(i);
	if (d->fs)
		drive_compare(d, i, &a, REF_ATIME | REF_MTIME | REF_CTIME | REF_BTIME);
	if (drive_chance(d, 80))
		drive_forget(d, i, 1);
}

static void tmpfile_step(struct drive *d)
{
	struct ref_inode *dir = drive_dir(d), *i = NULL;
	struct fs_cred cred = { 1, 2, 022 };
	struct fs_attr a;
	uint32_t mode = (uint32_t)(drive_rand(d) & 07777);

	drive_say(d, "tmpfile %o in %llu", mode, ULL(dir->ino));
	int want = ref_tmpfile(d->ref, dir, mode, &cred, &i);
	if (d->fs)
		drive_expect(d, fs_tmpfile(d->fs, dir->ino, mode, &cred, &a), want);
	if (want)
		return;
	known(i);
	if (d->fs)
		drive_compare(d, i, &a, REF_ATIME | REF_MTIME | REF_CTIME | REF_BTIME);
}

static void link_step(struct drive *d)
{
	struct ref_inode *dir = drive_dir(d), *i = drive_pick(d, REF_ALL);
	char name[NAME];
	struct fs_attr a;

	drive_pick_name(d, dir, 10, name);
	drive_say(d, "link %llu to %llu: \"%s\"", ULL(i->ino), ULL(dir->ino), name);
	int want = ref_link(d->ref, i, dir, name);
	if (d->fs)
		drive_expect(d, fs_link(d->fs, i->ino, dir->ino, name, &a), want);
	if (want)
		return;
	known(i);
	if (d->fs)
		drive_compare(d, i, &a, REF_CTIME);
	if (drive_chance(d, 80))
		drive_forget(d, i, 1);
}

static void lookup(struct drive *d)
{
	struct ref_inode *dir = drive_chance(d, 97) ? drive_dir(d) : drive_pick(d, REF_ALL), *i = NULL;
	char name[NAME];
	struct fs_attr a;

	drive_pick_name(d, dir, 70, name);
	/* Of a directory that is gone, and above what is ours, we know no parent; of other things nobody asks for one. */
	if (!strcmp(name, "..") && (!dir->nlink || dir == d->ref->root || dir->shared))
		return;
	if (name[0] == '.' && !S_ISDIR(dir->mode))
		return;
	drive_say(d, "lookup in %llu: \"%s\"", ULL(dir->ino), name);
	int want = ref_lookup(d->ref, dir, name, &i);
	if (d->fs)
		drive_expect(d, fs_lookup(d->fs, dir->ino, name, &a), want);
	if (want)
		return;
	known(i);
	if (d->fs)
		drive_compare(d, i, &a, REF_LOOK);
}

static void use(struct drive *d)
{
	struct ref_inode *i = drive_pick(d, REF_ALL);
	uint64_t kind = drive_below(d, 4);

	if (kind == 0 && i->lookups) {
		uint64_t n = drive_chance(d, 70) ? i->lookups : 1 + drive_below(d, i->lookups);
		drive_say(d, "forget %llu, %llu of %llu times", ULL(i->ino), ULL(n), ULL(i->lookups));
		drive_forget(d, i, n);
	} else if (kind == 1 && i->opens) {
		drive_say(d, "close %llu", ULL(i->ino));
		i->opens--;
		ref_touch(d->ref, i, REF_LOOK);
		if (d->fs)
			fs_close_file(d->fs, i->ino);
		ref_reap(d->ref, i);
	} else if (kind == 2 && i->opens < 3) {
		bool truncate = S_ISREG(i->mode) && drive_chance(d, 10);
		drive_say(d, "open %llu%s", ULL(i->ino), truncate ? ", truncated" : "");
		ref_touch(d->ref, i, REF_LOOK);
		if (truncate)
			drive_expect(d, ref_truncate(d->ref, i, 0), 0);
		i->opens++;
		if (d->fs)
			drive_expect(d, fs_open_file(d->fs, i->ino, truncate, truncate), 0);
	} else {
		lookup(d);
	}
}

static void remove_step(struct drive *d)
{
	struct ref_inode *dir = drive_dir(d);
	bool want_dir = drive_chance(d, 25);
	char name[NAME];

	drive_pick_name(d, dir, 90, name);
	struct ref_dirent *e = ref_find(dir, name);
	if (e && drive_chance(d, 95))
		want_dir = S_ISDIR(e->to->mode);
	if (e && e->to->shared)
		return;
	drive_say(d, "%s in %llu: \"%s\"", want_dir ? "rmdir" : "unlink", ULL(dir->ino), name);
	int want = ref_remove(d->ref, dir, name, want_dir);
	if (d->fs)
		drive_expect(d, want_dir ? fs_rmdir(d->fs, dir->ino, name) : fs_unlink(d->fs, dir->ino, name), want);
}

static void rename_step(struct drive *d)
{
	struct ref_inode *from = drive_dir(d), *to = drive_chance(d, 40) ? from : drive_dir(d);
	static const unsigned kinds[] = { 0, 0, 0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_EXCHANGE };
	unsigned flags = drive_chance(d, 98) ? kinds[drive_below(d, CL_ARRAY_LEN(kinds))] : (unsigned)drive_below(d, 8);
	char name[NAME], newname[NAME];

	drive_pick_name(d, from, 95, name);
	drive_pick_name(d, to, flags == RENAME_EXCHANGE ? 90 : 30, newname);
	struct ref_dirent *a = ref_find(from, name), *b = ref_find(to, newname);
	if ((a && a->to->shared) || (b && b->to->shared))
		return;
	drive_say(d, "rename %llu/\"%.60s\" to %llu/\"%.60s\", flags %u", ULL(from->ino), name, ULL(to->ino), newname,
		  flags);
	int want = ref_rename(d->ref, from, name, to, newname, flags);
	if (d->fs)
		drive_expect(d, fs_rename(d->fs, from->ino, name, to->ino, newname, flags), want);
}

void drive_name(struct drive *d, unsigned kind)
{
	if (kind == 1)
		return drive_chance(d, 75) ? remove_step(d) : use(d);
	if (kind == 2)
		return rename_step(d);
	switch (drive_below(d, 10)) {
	case 0:
		return tmpfile_step(d);
	case 1:
		return link_step(d);
	case 2: case 3:
		return use(d);
	default:
		return make(d);
	}
}

/* A listing in pieces, with changes in between. */
struct listing {
	struct drive *d;
	struct ref_inode *dir;
	uint64_t next;
	unsigned left;      /* entries of this piece */
	size_t n, cap;
	char **names;
	struct ref_inode **got; /* references of readdirplus, to be given back */
	size_t n_got, cap_got;
	bool plus, dots[2], end;
};

static bool collect(void *arg, const char *name, const struct fs_attr *a, uint64_t next)
{
	struct listing *l = arg;
	struct drive *d = l->d;

	if (next <= l->next)
		drive_fail(d, "cookie %llu after %llu", ULL(next), ULL(l->next));
	if (!l->left) {
		l->end = false;
		return false;
	}
	l->left--;
	l->next = next;
	if (!strcmp(name, ".") || !strcmp(name, "..")) {
		const struct ref_inode *i = name[1] ? l->dir->parent : l->dir;
		if (l->dots[name[1] == '.'])
			drive_fail(d, "\"%s\" comes twice", name);
		l->dots[name[1] == '.'] = true;
		if (l->dir->nlink && l->dir != d->ref->root && !l->dir->shared && a->ino != i->ino)
			drive_fail(d, "\"%s\" is %llu, expected %llu", name, ULL(a->ino), ULL(i->ino));
		return true;
	}
	struct ref_dirent *e = ref_find(l->dir, name);
	if (!e && l->dir->shared && strncmp(name, d->prefix, strlen(d->prefix)))
		return true; /* another thread's */
	if (!e)
		drive_fail(d, "\"%s\" is listed and should not be there", name);
	if (a->ino != e->to->ino || (a->mode & S_IFMT) != (e->to->mode & S_IFMT))
		drive_fail(d, "\"%s\" is listed as inode %llu of type %o", name, ULL(a->ino), a->mode);
	if (l->plus) {
		if (a->nlink == 0 && !e->to->shared)
			drive_fail(d, "\"%s\" is listed without attributes", name);
		drive_compare(d, e->to, a, REF_LOOK);
		l->got = ref_grow(l->got, l->n_got, &l->cap_got, sizeof *l->got);
		l->got[l->n_got++] = e->to;
	}
	l->names = ref_grow(l->names, l->n, &l->cap, sizeof *l->names);
	l->names[l->n] = ref_alloc(strlen(name) + 1);
	strcpy(l->names[l->n++], name);
	return true;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void list_piece(struct listing *l, unsigned piece)
{
	struct drive *d = l->d;

	l->left = piece;
	l->end = true;
	drive_expect(d, fs_readdir(d->fs, l->dir->ino, l->next, l->plus, collect, l), 0);
	for (size_t k = 0; k < l->n_got; k++)
		fs_forget(d->fs, l->got[k]->ino, 1);
	l->n_got = 0;
}

void drive_list(struct drive *d)
{
	struct ref_inode *dir = drive_dir(d);
	struct listing l = { .d = d, .dir = dir, .plus = drive_chance(d, 40) };
	unsigned piece =
		drive_chance(d, 30) ? 1u << 30 : 1 + (unsigned)(dir->n_entries / 20 + drive_below(d, dir->n_entries));
	uint64_t start = d->ref->op;
	bool change = drive_chance(d, 50) && !dir->shared;

	drive_say(d, "list %llu%s", ULL(dir->ino), l.plus ? ", plus" : "");
	/* Whole in pieces; the number of pieces must not depend on the engine. */
	for (size_t k = 0; k <= (dir->n_entries + 40) / piece + 2; k++) {
		if (d->fs)
			list_piece(&l, piece);
		ref_accessed(d->ref, dir);
		if (change && k < 4) {
			char name[NAME];
			struct ref_inode *i;
			struct fs_cred cred = { 0, 0, 0 };
			struct fs_attr a;
			drive_pick_name(d, dir, 60, name);
			struct ref_dirent *e = ref_find(dir, name);
			if (e && !S_ISDIR(e->to->mode)) {
				int want = ref_remove(d->ref, dir, name, false);
				if (d->fs)
					drive_expect(d, fs_unlink(d->fs, dir->ino, name), want);
			} else if (!e) {
				int want = ref_make(d->ref, dir, name, S_IFREG | 0600, NULL, &cred, &i);
				if (d->fs)
					drive_expect(d, fs_make(d->fs, dir->ino, name, S_IFREG | 0600, NULL, &cred, &a),
						     want);
				if (!want) {
					known(i);
					if (d->fs)
						drive_adopt(d, i, &a);
					drive_forget(d, i, 1);
				}
			}
		}
	}
	ref_accessed(d->ref, dir);
	if (!d->fs)
		return;
	list_piece(&l, 1u << 30);
	if (!l.dots[0] || !l.dots[1])
		drive_fail(d, "\".\" or \"..\" is missing");
	/* What was there all the time comes exactly once. */
	if (l.n)
		qsort(l.names, l.n, sizeof *l.names, by_name);
	for (size_t k = 0; k < dir->n_entries; k++) {
		struct ref_dirent *e = dir->entries[k];
		if (e->made < start && !bsearch(&e->name, l.names, l.n, sizeof *l.names, by_name))
			drive_fail(d, "\"%s\" is not listed", e->name);
	}
	for (size_t k = 0; k < l.n; k++) {
		struct ref_dirent *e = ref_find(dir, l.names[k]);
		if (k && e && e->made < start && !strcmp(l.names[k], l.names[k - 1]))
			drive_fail(d, "\"%s\" is listed twice", l.names[k]);
	}
	for (size_t k = 0; k < l.n; k++)
		free(l.names[k]);
	free(l.names);
	free(l.got);
}
