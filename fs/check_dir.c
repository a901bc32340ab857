/* SPDX-License-Identifier: GPL-3.0-or-later */
/* fsck: directories from the root down, names, link counts, and paths for findings. */
#include "fs/repair.h"

#include "fs/dir.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

struct name {
	uint64_t hash;
	uint32_t pos;
};

/* Directories still to be read. */
struct queue {
	uint32_t *slots;
	size_t n, cap, next;
};

/* One directory while it is read. */
struct scan {
	struct check_comp *cc;
	struct queue *q;
	uint32_t slot;
	struct inode *dir;
	struct name *names;
	size_t n_names, cap_names;
	uint64_t subdirs;
	bool damaged; /* there may be entries that were not seen */
	bool behind;  /* pages behind the size have entries */
	int err;
};

/* The entry at pos of a directory that was read without complaint. */
static int entry_at(struct check_comp *cc, uint32_t slot, uint32_t pos, struct dir_entry *ret)
{
	struct inode *dir;
	int err = inode_get(cc->c, check_ino(&cc->inodes[slot]), &dir);

	if (err)
		return err;
	err = dir_next(dir, pos, ret);
	inode_put(dir);
	return !err && ret->pos != pos ? -ENOENT : err;
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

const char *check_path(struct check_comp *cc, uint32_t slot, const char *name)
{
	struct checker *k = cc->k;
	char *at = k->path + CHECK_PATH_MAX - 1;
	struct dir_entry e;

	*at = '\0';
	bool fits = !name || put(k, &at, name);
	while (fits && check_ino(&cc->inodes[slot]) != INODE_ROOT) {
		const struct check_inode *i = &cc->inodes[slot];
		if (i->parent == CHECK_NONE || entry_at(cc, i->parent, i->pos, &e))
			return NULL;
		fits = put(k, &at, e.name);
		slot = i->parent;
	}
	if (fits && cc->fc->rank)
		fits = put(k, &at, cc->fc->dir && *cc->fc->dir ? cc->fc->dir : cc->name);
	if (!fits) {
		at -= 3;
		memcpy(at, "...", 3);
	}
	return *at ? at : "/";
}

static int push(struct queue *q, uint32_t slot)
{
	uint32_t *p = check_grow(q->slots, q->n, &q->cap, sizeof *p);

	if (!p)
		return -ENOMEM;
	q->slots = p;
	p[q->n++] = slot;
	return 0;
}

static const char *type_name(uint8_t type)
{
	switch (type) {
	case DT_FIFO:
		return "a fifo";
	case DT_CHR:
		return "a character device";
	case DT_DIR:
		return "a directory";
	case DT_BLK:
		return "a block device";
	case DT_REG:
		return "a regular file";
	case DT_LNK:
		return "a symbolic link";
	case DT_SOCK:
		return "a socket";
	default:
		return "of an unknown type";
	}
}

/* A finding about an entry, which kind mends. */
static void want(struct scan *s, const struct dir_entry *e, enum repair_kind kind)
{
	REPAIR_WANT(s->cc, kind, .ino = check_ino(&s->cc->inodes[s->slot]), .a = e->pos);
}

static void gate(struct scan *s, const struct dir_entry *e)
{
	struct check_comp *cc = s->cc;
	struct checker *k = cc->k;

	want(s, e, REPAIR_ENTRY);
	if (cc->fc->rank || check_ino(&cc->inodes[s->slot]) != INODE_ROOT)
		check_say_entry(cc, s->slot, e->name,
				"leads to another compartment, which only entries of the volume's root may");
	want(s, e, REPAIR_GATE);
	if (e->type != DT_DIR)
		check_say_entry(cc, s->slot, e->name, "leads to another compartment, but says it is %s",
				type_name(e->type));
	want(s, e, REPAIR_GATE);
	if (e->ino != INODE_ROOT)
		check_say_entry(cc, s->slot, e->name,
				"leads to inode %llu of another compartment, expected its root directory, 1",
				(unsigned long long)e->ino);
	for (size_t i = 0; i < k->n; i++) {
		if (memcmp(k->list[i].id, e->gate, 16))
			continue;
		want(s, e, REPAIR_ENTRY);
		if (i == cc->at)
			check_say_entry(cc, s->slot, e->name, "leads to its own compartment");
		else if (k->gates[i]++)
			check_say_entry(cc, s->slot, e->name,
					"leads to a compartment that another entry leads to already");
	}
	want(s, e, REPAIR_NONE);
}

/* An entry that leads to an inode of this compartment. */
static int follow(struct scan *s, const struct dir_entry *e)
{
	struct check_comp *cc = s->cc;
	uint32_t slot = check_find(cc, e->ino);
	unsigned long long ino = e->ino;

	if (slot == CHECK_NONE) {
		s->subdirs += e->type == DT_DIR;
		want(s, e, REPAIR_ENTRY);
		check_say_entry(
			cc, s->slot, e->name,
			check_is_lost(cc, e->ino)
				? "is lost: the record of its inode %llu is in a damaged page of the inode table"
				: "leads to inode %llu, which is not in use",
			ino);
		return 0;
	}
	struct check_inode *i = &cc->inodes[slot];
	bool bad = i->flags & CHECK_BAD, is_dir = (bad ? e->type : i->type) == DT_DIR;
	s->subdirs += is_dir;
	want(s, e, bad || e->type == i->type ? REPAIR_NONE : REPAIR_ENTRY);
	if (!bad && e->type != i->type)
		check_say_entry(cc, s->slot, e->name, "its entry says it is %s, its inode %llu is %s",
				type_name(e->type), ino, type_name(i->type));
	bool again = is_dir && (i->seen || i->flags & CHECK_VISITED || e->ino == INODE_ROOT);
	i->seen++;
	if (again) {
		want(s, e, REPAIR_ENTRY);
		check_say_entry(cc, s->slot, e->name,
				"leads to the directory with inode %llu, which has another name%s", ino,
				slot == s->slot || e->ino == INODE_ROOT ? ": a loop" : "");
		return 0;
	}
	if (i->seen == 1) {
		i->parent = s->slot;
		i->pos = (uint32_t)e->pos;
		if (is_dir && !bad)
			return push(s->q, slot);
	}
	return 0;
}

static int entry(void *arg, const struct dir_entry *e)
{
	struct scan *s = arg;
	struct name *p = check_grow(s->names, s->n_names, &s->cap_names, sizeof *p);

	if (!p)
		return -ENOMEM;
	s->names = p;
	p[s->n_names++] = (struct name){ XXH3_64bits(e->name, e->name_len), (uint32_t)e->pos };
	if (!strcmp(e->name, ".") || !strcmp(e->name, "..")) {
		want(s, e, REPAIR_ENTRY);
		check_say_entry(s->cc, s->slot, e->name, "is a name that is not stored");
	}
	if (!e->is_gate)
		return follow(s, e);
	s->subdirs++;
	gate(s, e);
	return 0;
}

static int dir_page(void *arg, uint64_t leaf, const uint8_t *plain)
{
	struct scan *s = arg;

	if (leaf >= s->dir->size / CL_PAGE) {
		s->behind |= !bytes_are_zero(plain, CL_PAGE);
		return 0;
	}
	int err = dir_check_page(plain, leaf, entry, s);
	if (err == -EUCLEAN) {
		s->damaged = true;
		REPAIR_WANT(s->cc, REPAIR_DIR_PAGE, .ino = check_ino(&s->cc->inodes[s->slot]), .a = leaf);
		check_say_inode(s->cc, s->slot, "directory: page %llu is malformed: names may be lost",
				(unsigned long long)leaf);
		err = 0;
	}
	return err;
}

static void dir_bad(void *arg, uint64_t first, uint64_t last, bool index, int err)
{
	struct scan *s = arg;

	s->damaged = true;
	check_say_bad(s->cc, s->slot, "directory", s->dir->size, &(struct check_range){ first, last }, index, err,
		      REPAIR_DIR_LOST);
}

static int by_hash(const void *a, const void *b)
{
	const struct name *x = a, *y = b;

	if (x->hash != y->hash)
		return x->hash < y->hash ? -1 : 1;
	return x->pos < y->pos ? -1 : x->pos > y->pos;
}

static void check_twice(struct scan *s)
{
	struct dir_entry a, b;

	if (s->n_names)
		qsort(s->names, s->n_names, sizeof *s->names, by_hash);
	for (size_t i = 1; i < s->n_names; i++)
		if (s->names[i].hash == s->names[i - 1].hash && !entry_at(s->cc, s->slot, s->names[i - 1].pos, &a) &&
		    !entry_at(s->cc, s->slot, s->names[i].pos, &b) && a.name_len == b.name_len &&
		    !memcmp(a.name, b.name, a.name_len)) {
			want(s, &b, REPAIR_ENTRY);
			check_say_entry(s->cc, s->slot, b.name,
					"is there twice: it leads to inode %llu, and to inode %llu",
					(unsigned long long)a.ino, (unsigned long long)b.ino);
		}
}

/* What the record says of the directory as a whole. */
static void check_counts(struct scan *s, const struct check_walk *w)
{
	struct check_comp *cc = s->cc;
	const struct inode *dir = s->dir;
	const struct check_inode *i = &cc->inodes[s->slot];
	uint64_t ino = check_ino(i);
	uint64_t parent = ino == INODE_ROOT	       ? INODE_ROOT
			  : i->parent == CHECK_NONE ? dir->parent
						    : check_ino(&cc->inodes[i->parent]);

	REPAIR_WANT(cc, REPAIR_PARENT, .ino = ino, .a = parent);
	if (dir->parent != parent)
		check_say_inode(cc, s->slot, "directory: its record says that it is in inode %llu, but it is in %llu",
				(unsigned long long)dir->parent, (unsigned long long)parent);
	REPAIR_WANT(cc, REPAIR_DIR_BEHIND, .ino = ino);
	if (s->behind)
		check_say_inode(cc, s->slot, "directory: there are entries behind its end");
	REPAIR_WANT(cc, REPAIR_DIR_STORED, .ino = ino);
	if (!w->unsure && w->stored != dir->stored)
		check_say_inode(cc, s->slot, "directory: its record says that %llu pages are stored, but %llu are",
				(unsigned long long)dir->stored, (unsigned long long)w->stored);
	REPAIR_WANT(cc, REPAIR_ENTRIES, .ino = ino);
	if (!s->damaged && dir->entries != s->n_names)
		check_say_inode(cc, s->slot, "directory: its record says that it has %llu entries, but it has %llu",
				(unsigned long long)dir->entries, (unsigned long long)s->n_names);
	REPAIR_WANT(cc, REPAIR_NLINK, .ino = ino);
	if (!s->damaged && dir->nlink && dir->nlink != 2 + s->subdirs)
		check_say_inode(cc, s->slot, "directory: its link count is %u, expected %llu", dir->nlink,
				(unsigned long long)s->subdirs + 2);
	REPAIR_WANT(cc, REPAIR_NONE);
}

static int scan_dir(struct check_comp *cc, struct queue *q, uint32_t slot)
{
	struct scan s = { .cc = cc, .q = q, .slot = slot };
	struct check_walk w = { .cc = cc, .page = dir_page, .bad = dir_bad, .arg = &s };

	cc->inodes[slot].flags |= CHECK_VISITED;
	int err = inode_get(cc->c, check_ino(&cc->inodes[slot]), &s.dir);
	if (check_is_ours(err))
		return err;
	if (err) {
		cc->k->gates_unsure |= check_ino(&cc->inodes[slot]) == INODE_ROOT && cc->fc->rank == 0;
		check_say_inode(cc, slot, "directory: its record %s", check_reason(err, false));
		return 0;
	}
	tree_describe(&s.dir->data, &w.desc);
	if (check_is_missing(cc, slot, "directory", &w.desc, REPAIR_DIR_GONE)) {
		s.damaged = true;
	} else {
		err = check_walk(&w);
		if (!err) {
			check_twice(&s);
			check_counts(&s, &w);
		}
	}
	secret_wipe(&w.desc, sizeof w.desc);
	if (check_ino(&cc->inodes[slot]) == INODE_ROOT && cc->fc->rank == 0)
		cc->k->gates_unsure |= s.damaged;
	inode_put(s.dir);
	free(s.names);
	return err;
}

static int scan_from(struct check_comp *cc, struct queue *q, uint32_t slot)
{
	int err = push(q, slot);

	while (!err && q->next < q->n)
		err = scan_dir(cc, q, q->slots[q->next++]);
	return err;
}

static bool is_left(const struct check_inode *i)
{
	return i->type == DT_DIR && !(i->flags & (CHECK_BAD | CHECK_VISITED));
}

/* Directories that cannot be reached, first those that are not below another such: their trees hang together. */
static int scan_rest(struct check_comp *cc, struct queue *q)
{
	uint32_t *tops = NULL;
	size_t n = 0, cap = 0;
	int err = 0;

	for (uint32_t slot = 0; slot < cc->n_inodes && !err; slot++) {
		struct inode *dir;
		if (!is_left(&cc->inodes[slot]) || inode_get(cc->c, check_ino(&cc->inodes[slot]), &dir))
			continue;
		uint32_t parent = check_find(cc, dir->parent);
		inode_put(dir);
		if (parent != CHECK_NONE && parent != slot && is_left(&cc->inodes[parent]))
			continue;
		uint32_t *p = check_grow(tops, n, &cap, sizeof *p);
		if (!p) {
			err = -ENOMEM;
			break;
		}
		tops = p;
		tops[n++] = slot;
	}
	for (size_t i = 0; i < n && !err; i++)
		if (is_left(&cc->inodes[tops[i]]))
			err = scan_from(cc, q, tops[i]);
	for (uint32_t slot = 0; slot < cc->n_inodes && !err; slot++)
		if (is_left(&cc->inodes[slot]))
			err = scan_from(cc, q, slot);
	free(tops);
	return err;
}

int check_dirs(struct check_comp *cc)
{
	struct queue q = { 0 };
	uint32_t root = check_find(cc, INODE_ROOT);
	int err = 0;

	if (root != CHECK_NONE && cc->inodes[root].type == DT_DIR) {
		err = scan_from(cc, &q, root);
	} else {
		cc->k->gates_unsure |= cc->fc->rank == 0;
		REPAIR_WANT(cc, root == CHECK_NONE ? REPAIR_ROOT_DIR : REPAIR_NONE);
		if (root == CHECK_NONE)
			check_say(cc, CHECK_ERROR, "its root directory, inode 1, %s: no file has a path",
				  check_is_lost(cc, INODE_ROOT) ? "cannot be read" : "is not in use");
		else if (!(cc->inodes[root].flags & CHECK_BAD))
			check_say(cc, CHECK_ERROR, "its root directory, inode 1, is %s",
				  type_name(cc->inodes[root].type));
	}
	if (!err)
		err = scan_rest(cc, &q);
	free(q.slots);
	/* Told with the contents otherwise; but it may be a directory, whose names must be known first. */
	for (uint32_t slot = 0; slot < cc->n_inodes && cc->in_round && !err; slot++)
		if (cc->inodes[slot].flags & CHECK_BAD) {
			REPAIR_WANT(cc, REPAIR_RECORD, .ino = check_ino(&cc->inodes[slot]));
			check_say_inode(cc, slot, "its record in the inode table is malformed");
		}
	return err;
}

int check_links(struct check_comp *cc)
{
	struct check_run run = { .one = NULL };
	unsigned long long orphans = 0;

	for (uint32_t slot = 0; slot < cc->n_inodes; slot++) {
		const struct check_inode *i = &cc->inodes[slot];
		uint64_t ino = check_ino(i);
		if (i->flags & CHECK_BAD || ino <= INODE_ROOT)
			continue;
		REPAIR_WANT(cc, REPAIR_NLINK, .ino = ino, .a = i->seen);
		if (i->nlink == 0 && i->seen)
			check_say_inode(cc, slot, "its link count is 0, but it has a name");
		else if (i->nlink && i->parent == CHECK_NONE)
			check_run_add(cc, &run, ino, "no name leads to it", "no names lead to them", REPAIR_CONNECT);
		else if (i->type != DT_DIR && i->nlink && i->nlink != i->seen)
			check_say_inode(cc, slot, "its link count is %u, but %u %s to it", i->nlink, i->seen,
					i->seen == 1 ? "name leads" : "names lead");
		orphans += i->flags & CHECK_ORPHAN && i->nlink == 0 && i->seen == 0;
	}
	REPAIR_WANT(cc, REPAIR_NONE);
	check_run_end(cc, &run);
	/* No error: recovery frees them. A repair does what it would have done. */
	REPAIR_WANT(cc, REPAIR_ORPHANS);
	if (orphans && cc->in_round)
		check_say(cc, CHECK_NOTE, "%llu file%s unlinked while in use", orphans, orphans == 1 ? " was" : "s were");
	REPAIR_WANT(cc, REPAIR_NONE);
	return 0;
}
