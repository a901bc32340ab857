/* SPDX-License-Identifier: GPL-3.0-or-later */
/* fsck of a mounted volume: the paths of what was found, looked up as they are now, for many findings at once. */
#include "fs/check_scrub.h"

#include "common/secret.h"
#include "fs/dir.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define DEPTH_MAX 4096u /* directories that move meanwhile could lead around for ever */

/* First finding of an inode, or n_found. They come by number of their inodes. */
static size_t first_of(const struct check_scrub *s, uint64_t ino)
{
	size_t low = 0, high = s->n_found;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (s->found[mid].ino < ino)
			low = mid + 1;
		else
			high = mid;
	}
	return low < s->n_found && s->found[low].ino == ino ? low : s->n_found;
}

/* Entries of a directory, one after the other, quietly; fn as that of dir_check_page. */
struct listing {
	uint64_t dir;
	struct check_scrub *s;
	int (*fn)(void *arg, const struct dir_entry *e);
	uint64_t wanted; /* climb: the inode whose name is looked for */
	char name[FS_NAME_MAX + 1];
};

static int list_page(void *arg, uint64_t leaf, const uint8_t *plain)
{
	struct listing *l = arg;
	int err = dir_check_page(plain, leaf, l->fn, l);

	return err == -EUCLEAN ? 0 : err; /* told before */
}

/* i is taken over. */
static int list_dir(struct listing *l, struct inode *i)
{
	struct follow_tree t;
	struct check_scrub_walk w = { .s = l->s, .t = &t, .page = list_page, .arg = l };

	l->dir = i->ino;
	follow_tree_of(i, false, &t);
	follow_record_done(i);
	int err = check_scrub_walk(&w);
	follow_tree_done(&t);
	return err;
}

static int note_name(void *arg, const struct dir_entry *e)
{
	struct listing *l = arg;
	struct check_scrub *s = l->s;

	if (e->is_gate)
		return 0;
	for (size_t i = first_of(s, e->ino); i < s->n_found && s->found[i].ino == e->ino; i++) {
		if (s->found[i].name)
			continue;
		s->found[i].name = strdup(e->name);
		if (!s->found[i].name)
			return -ENOMEM;
		s->found[i].dir = l->dir;
	}
	return 0;
}

static bool is_end(int err)
{
	return check_is_ours(err) || err == -ESTALE;
}

/* A name of each inode with a finding, from all directories. */
static int find_names(struct check_scrub *s)
{
	struct listing l = { .s = s, .fn = note_name };
	uint8_t page[CL_PAGE];
	uint64_t limit = s->w->c->inode_limit;
	int err = 0;

	for (uint64_t first = 0; first < limit && !is_end(err); first += INODE_PER_PAGE) {
		err = follow_records(s->w, first, page);
		for (uint64_t n = 0; n < INODE_PER_PAGE && !err; n++) {
			struct inode *i;
			err = follow_decode(s->w, first + n, page + n * INODE_RECORD, &i);
			if (!err && i->type == S_IFDIR)
				err = list_dir(&l, i);
			else if (!err)
				follow_record_done(i);
			if (!is_end(err))
				err = 0;
		}
	}
	secret_wipe(page, sizeof page);
	return is_end(err) ? err : 0;
}

static int same_inode(void *arg, const struct dir_entry *e)
{
	struct listing *l = arg;

	if (e->is_gate || e->ino != l->wanted)
		return 0;
	memcpy(l->name, e->name, sizeof l->name);
	return 1;
}

/* From a directory to the one that it is in, with its name there. -ENOENT: it is not what it was any more. */
static int climb(struct listing *l, uint64_t *dir)
{
	struct inode *i;
	int err = follow_record(l->s->w, *dir, &i);

	if (err)
		return err;
	uint64_t parent = i->parent;
	follow_record_done(i);
	err = follow_record(l->s->w, parent, &i);
	if (err)
		return err;
	l->wanted = *dir;
	*dir = parent;
	if (i->type != S_IFDIR) {
		follow_record_done(i);
		return -ENOENT;
	}
	err = list_dir(l, i);
	return err < 0 ? err : err ? 0 : -ENOENT;
}

/* "/" and name in front of what is there; false when it does not fit. */
static bool put(struct checker *k, char **at, const char *name)
{
	size_t n = strlen(name);

	if ((size_t)(*at - k->path) < n + 1 + 3)
		return false;
	*at -= n + 1;
	**at = '/';
	memcpy(*at + 1, name, n);
	return true;
}

/* In k->path; *ret NULL: it has none. */
static int path_of(struct check_scrub *s, const struct check_found *f, const char **ret)
{
	struct listing l = { .s = s, .fn = same_inode };
	struct checker *k = s->cc->k;
	char *at = k->path + CHECK_PATH_MAX - 1;
	uint64_t dir = f->name ? f->dir : f->ino;
	bool fits = true;

	*at = '\0';
	*ret = NULL;
	if (!f->name && f->ino != INODE_ROOT)
		return 0;
	if (f->name)
		fits = put(k, &at, f->name);
	for (unsigned depth = 0; fits && dir != INODE_ROOT; depth++) {
		int err = depth == DEPTH_MAX ? -ENOENT : climb(&l, &dir);
		if (err)
			return is_end(err) ? err : 0;
		fits = put(k, &at, l.name);
	}
	if (fits && s->cc->fc->rank)
		fits = put(k, &at, s->cc->fc->dir && *s->cc->fc->dir ? s->cc->fc->dir : s->cc->name);
	if (!fits) {
		at -= 3;
		memcpy(at, "...", 3);
	}
	*ret = *at ? at : "/";
	return 0;
}

int check_scrub_tell(struct check_scrub *s)
{
	char text[sizeof s->cc->k->text];
	int err = s->n_found ? find_names(s) : 0;

	for (size_t i = 0; i < s->n_found; i++) {
		struct check_found *f = &s->found[i];
		const char *path = NULL;
		int e = is_end(err) ? err : path_of(s, f, &path);
		err = err ? err : e;
		if (!f->text)
			err = -ENOMEM;
		else if (path)
			snprintf(text, sizeof text, "%s", f->text);
		else
			snprintf(text, sizeof text, "compartment %s: inode %llu%s: %s", s->cc->name,
				 (unsigned long long)f->ino, f->unlinked ? " (unlinked)" : "", f->text);
		if (f->text)
			check_say_at(s->cc, path ? path : "", text);
		free(f->text);
		free(f->name);
	}
	s->n_found = 0;
	return err;
}
