/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Repair: directories, names, link counts, lost+found. */
#include "fs/repair.h"

#include "fs/dir.h"
#include "fs/txn.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define LOST "lost+found"
#define GATE_BIT 0x80u /* of an entry's type, see dir.c */

/*
 * A directory about to be changed. Its count of entries may be wrong, and a directory that seems to become empty is
 * given up: so it is counted first.
 */
static int begin_dir(struct check_comp *cc, uint64_t ino, struct inode **ret)
{
	int err = repair_begin(cc, ino, ret);

	if (err)
		return err;
	err = S_ISDIR((*ret)->mode) ? dir_load(*ret) : -ENOTDIR;
	if (err)
		return repair_end(*ret, err);
	(*ret)->entries = dir_live(*ret);
	return 0;
}

/* Entries and stored pages of a directory, as they are. */
static int recount(struct inode *dir)
{
	dir_unload(dir);
	int err = dir_load(dir);
	if (!err) {
		dir->entries = dir_live(dir);
		err = repair_count_stored(dir);
	}
	return err;
}

int repair_dir_lost(struct check_comp *cc, const struct repair *r)
{
	struct inode *dir;
	int err = repair_begin_kind(cc, ROOM_GIVE, r->ino, &dir);

	if (err)
		return err;
	err = repair_make_hole(&dir->data, r->a, r->b, &dir->stored);
	if (!err)
		err = recount(dir);
	repair_note(cc, "the names there are lost; what they led to goes to " LOST " if nothing else leads there");
	return repair_end(dir, err);
}

int repair_dir_gone(struct check_comp *cc, const struct repair *r)
{
	struct inode *dir;
	int err = repair_begin_kind(cc, ROOM_GIVE, r->ino, &dir);

	if (err)
		return err;
	err = inode_reset_data(dir);
	if (!err) {
		dir->entries = 0;
		dir_unload(dir);
	}
	repair_note(cc, "it is empty now; what its names led to goes to " LOST);
	return repair_end(dir, err);
}

int repair_dir_page(struct check_comp *cc, const struct repair *r)
{
	struct inode *dir;
	struct node *n;
	int err = repair_begin(cc, r->ino, &dir);

	if (err)
		return err;
	err = tree_node(&dir->data, 0, r->a, false, &n);
	if (!err && n) {
		tree_dirty(&dir->data, n);
		dir_mend_page(n->page);
		n->checked = false;
		tree_put(&dir->data, n);
		err = recount(dir);
	}
	repair_note(cc, "the names that can be read are kept");
	return repair_end(dir, err);
}

int repair_dir_behind(struct check_comp *cc, const struct repair *r)
{
	struct inode *dir;
	int err = repair_begin_kind(cc, ROOM_GIVE, r->ino, &dir);

	if (err)
		return err;
	err = tree_zero(&dir->data, dir->size / CL_PAGE, TREE_LEAVES_MAX - 1, &dir->stored);
	repair_note(cc, "removed");
	return repair_end(dir, err);
}

static int entry_at(struct inode *dir, uint64_t pos, struct dir_entry *ret)
{
	int err = dir_next(dir, pos, ret);

	return !err && ret->pos != pos ? -ENOENT : err;
}

int repair_entry(struct check_comp *cc, const struct repair *r)
{
	struct dir_entry e;
	struct inode *dir;
	int err = begin_dir(cc, r->ino, &dir);

	if (err)
		return err;
	err = entry_at(dir, r->a, &e);
	if (!err)
		err = dir_remove(dir, &e);
	else if (err == -ENOENT)
		err = 0; /* two findings about one entry */
	repair_note(cc, "the entry is removed");
	return repair_end(dir, err);
}

int repair_gate(struct check_comp *cc, const struct repair *r)
{
	struct dir_entry e;
	struct inode *dir;
	int err = begin_dir(cc, r->ino, &dir);

	if (err)
		return err;
	err = entry_at(dir, r->a, &e);
	if (!err)
		err = dir_retarget(dir, &e, INODE_ROOT, DT_DIR | GATE_BIT);
	repair_note(cc, "it leads to that compartment's root directory now");
	return repair_end(dir, err);
}

int repair_parent(struct check_comp *cc, const struct repair *r)
{
	struct inode *dir;
	int err = repair_begin(cc, r->ino, &dir);

	if (err)
		return err;
	dir->parent = r->a;
	repair_note(cc, "set to %llu", (unsigned long long)r->a);
	return repair_end(dir, 0);
}

int repair_entries(struct check_comp *cc, const struct repair *r)
{
	struct inode *dir;
	int err = begin_dir(cc, r->ino, &dir);

	if (err)
		return err;
	repair_note(cc, "set to %llu", (unsigned long long)dir->entries);
	return repair_end(dir, 0);
}

int repair_stored(struct check_comp *cc, const struct repair *r)
{
	struct inode *i;
	int err = repair_begin(cc, r->ino, &i);

	if (err)
		return err;
	err = repair_count_stored(i);
	repair_note(cc, "set to %llu", (unsigned long long)i->stored);
	return repair_end(i, err);
}

/* Link count of a directory: 2 and its subdirectories. */
static int count_links(struct inode *dir)
{
	struct dir_entry e;
	uint32_t n = 2;
	int err;

	for (uint64_t pos = 0; !(err = dir_next(dir, pos, &e)); pos = e.pos + 1)
		n += e.is_gate || e.type == DT_DIR;
	if (err != -ENOENT)
		return err;
	dir->nlink = n;
	return 0;
}

int repair_nlink(struct check_comp *cc, const struct repair *r)
{
	struct inode *i;
	int err = repair_begin(cc, r->ino, &i);

	if (err)
		return err;
	if (S_ISDIR(i->mode))
		err = count_links(i);
	else
		i->nlink = (uint32_t)r->a;
	repair_note(cc, "set to %u", i->nlink);
	return repair_end(i, err);
}

/* Root's alone, so that nobody sees there what he could not see before. */
static bool is_private(const struct inode *i)
{
	return S_ISDIR(i->mode) && i->nlink && i->uid == 0 && !(i->mode & 077);
}

static int make_lost(struct comp *c, struct inode *root, const char *name, struct inode **ret)
{
	int err = inode_new(c, S_IFDIR | 0700, false, ret);

	if (err)
		return err;
	(*ret)->nlink = 2;
	(*ret)->parent = INODE_ROOT;
	err = dir_add(root, name, (*ret)->ino, DT_DIR, NULL);
	if (err) {
		(*ret)->nlink = 0;
		if (!inode_set_orphan(*ret, true) && inode_free_orphan(*ret))
			err = -EIO;
		inode_put(*ret);
		return err;
	}
	root->nlink++;
	root->mtime = root->ctime = inode_now();
	return 0;
}

/* The directory lost+found, made if need be; if that is another's, one with a number. A transaction is running. */
static int lost_and_found(struct comp *c, char name[static 32], bool make, struct inode **ret)
{
	struct inode *root;
	struct dir_entry e;
	int err = inode_get(c, INODE_ROOT, &root);

	if (err)
		return err;
	err = S_ISDIR(root->mode) ? dir_load(root) : -ENOTDIR;
	for (unsigned n = 0; n < 1000 && !err; n++) {
		snprintf(name, 32, n ? LOST ".%u" : LOST, n);
		err = dir_find(root, name, &e);
		if (err == -ENOENT) {
			if (make)
				err = inode_dirty(root);
			if (make && !err) {
				root->entries = dir_live(root);
				err = make_lost(c, root, name, ret);
			}
			inode_put(root);
			return err;
		}
		if (err || e.is_gate)
			continue;
		err = inode_get(c, e.ino, ret);
		if (err)
			break;
		if (is_private(*ret)) {
			inode_put(root);
			return 0;
		}
		inode_put(*ret);
	}
	inode_put(root);
	return err ? err : -EEXIST;
}

int repair_put_lost(struct check_comp *cc, struct inode *i, char out[static REPAIR_PATH_MAX])
{
	struct comp *c = cc->c;
	struct inode *lost;
	struct dir_entry e;
	char in[32], name[64];
	int err = lost_and_found(c, in, true, &lost);

	if (err)
		return err;
	err = inode_dirty(lost);
	if (!err)
		err = dir_load(lost);
	if (!err)
		lost->entries = dir_live(lost);
	for (unsigned n = 0; n < 1000 && !err; n++) {
		snprintf(name, sizeof name, n ? "#%llu.%u" : "#%llu", (unsigned long long)i->ino, n);
		err = dir_find(lost, name, &e);
		if (err == -ENOENT) {
			err = 0;
			break;
		}
		if (!err && e.ino == i->ino) {
			/* It is there; as what it is now. */
			err = dir_retarget(lost, &e, i->ino, (uint8_t)IFTODT(i->mode));
			err = err ? err : -EEXIST;
			break;
		}
	}
	if (!err)
		err = dir_add(lost, name, i->ino, (uint8_t)IFTODT(i->mode), NULL);
	if (!err) {
		if (S_ISDIR(i->mode)) {
			i->parent = lost->ino;
			lost->nlink++;
			if (i->nlink == 0)
				i->nlink = 2;
		} else {
			i->nlink = 1;
		}
		i->ctime = lost->mtime = lost->ctime = inode_now();
	}
	if (!err || err == -EEXIST) {
		if (cc->fc->rank)
			snprintf(out, REPAIR_PATH_MAX, "/%s/%s/%s",
				 cc->fc->dir && *cc->fc->dir ? cc->fc->dir : cc->name, in, name);
		else
			snprintf(out, REPAIR_PATH_MAX, "/%s/%s", in, name);
		err = 0;
	}
	inode_put(lost);
	return err;
}

int repair_connect(struct check_comp *cc, const struct repair *r)
{
	char path[REPAIR_PATH_MAX] = "";
	unsigned n = 0;
	int err = 0;

	for (uint64_t ino = r->a; ino <= r->b && !err; ino++) {
		uint32_t slot = check_find(cc, ino);
		struct inode *i;
		if (slot == CHECK_NONE || cc->inodes[slot].parent != CHECK_NONE || cc->inodes[slot].flags & CHECK_BAD)
			continue;
		err = repair_begin_kind(cc, ROOM_NEW, ino, &i);
		if (err)
			break;
		err = repair_end(i, repair_put_lost(cc, i, path));
		n++;
	}
	if (n == 1)
		repair_note(cc, "it is %s now", path);
	else
		repair_note(cc, "they are in the same directory as %s now", path);
	return err;
}

static int free_orphan(struct check_comp *cc, uint64_t ino)
{
	struct inode *i;
	int err = repair_begin_kind(cc, ROOM_GIVE, ino, &i);

	if (err)
		return err;
	if (S_ISDIR(i->mode) && i->size) {
		/* It is not empty, as one that was removed must be: found again without a name, and kept. */
		i->nlink = 2;
		err = inode_set_orphan(i, false);
	} else if (i->nlink == 0 && i->mode) {
		err = inode_free_orphan(i);
	}
	return repair_end(i, err);
}

int repair_orphans(struct check_comp *cc, const struct repair *r)
{
	int err = 0;

	(void)r;
	for (size_t slot = 0; slot < cc->n_inodes && !err; slot++) {
		const struct check_inode *i = &cc->inodes[slot];
		if (i->flags & CHECK_ORPHAN && !(i->flags & CHECK_BAD) && i->nlink == 0 && i->seen == 0)
			err = free_orphan(cc, check_ino(i));
	}
	repair_note(cc, "freed");
	return err;
}

static int by_number(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;
	return *x < *y ? -1 : *x > *y;
}

/* Names of the given inodes in one directory. The first is told with the finding, others here. */
static int remove_from(struct check_comp *cc, uint32_t slot, const uint64_t *inos, size_t n)
{
	struct checker *k = cc->k;
	struct dir_entry e;
	struct inode *dir;
	int err = inode_get(cc->c, check_ino(&cc->inodes[slot]), &dir);

	if (err)
		return err;
	for (uint64_t pos = 0; !(err = dir_next(dir, pos, &e)); pos = e.pos + 1) {
		struct inode *same;
		if (e.is_gate || !bsearch(&e.ino, inos, n, sizeof *inos, by_number))
			continue;
		uint32_t of = check_find(cc, e.ino);
		const char *path = NULL;
		if (of != CHECK_NONE && (cc->inodes[of].parent != slot || cc->inodes[of].pos != e.pos))
			path = check_path(cc, slot, e.name);
		err = begin_dir(cc, dir->ino, &same);
		if (!err)
			err = repair_end(same, dir_remove(same, &e));
		if (err)
			break;
		k->check->ret_fixed += path != NULL;
		if (path && k->check->report)
			k->check->report(k->check->arg, path, "another name of a damaged file; removed", true);
	}
	inode_put(dir);
	return err == -ENOENT || err == -EBADMSG ? 0 : err;
}

int repair_remove_names(struct check_comp *cc, const uint64_t *inos, size_t n)
{
	struct inode *lost = NULL;
	char name[32];
	int err = txn_begin_kind(cc->c, ROOM_GIVE);

	if (err)
		return err;
	err = lost_and_found(cc->c, name, false, &lost);
	txn_end(cc->c);
	uint64_t there = err ? 0 : lost->ino;
	if (!err)
		inode_put(lost);
	err = err == -ENOENT || err == -EEXIST ? 0 : err;
	for (uint32_t slot = 0; slot < cc->n_inodes && !err; slot++) {
		const struct check_inode *i = &cc->inodes[slot];
		if (i->flags & CHECK_VISITED && !(i->flags & CHECK_BAD) && check_ino(i) != there)
			err = remove_from(cc, slot, inos, n);
	}
	return err;
}

/* No name is in the way, and none is given but the one that the volume's header has. */
static int add_gate(struct comp *c, const struct fs_compartment *to)
{
	struct inode *root;
	struct dir_entry e;
	int err = txn_begin_kind(c, ROOM_NEW);

	if (err)
		return err;
	err = inode_get(c, INODE_ROOT, &root);
	if (!err) {
		err = inode_dirty(root);
		if (!err)
			err = dir_load(root);
		if (!err)
			err = dir_find(root, to->dir, &e);
		err = err == -ENOENT ? 0 : err ? err : -EEXIST;
		if (!err) {
			root->entries = dir_live(root);
			err = dir_add(root, to->dir, INODE_ROOT, DT_DIR, to->id);
		}
		if (!err)
			root->nlink++;
		inode_put(root);
	}
	txn_end(c);
	return err;
}

int repair_add_gate(struct check_comp *cc, size_t at, bool *ret_done, struct fault *f)
{
	const struct fs_compartment *to = &cc->k->list[at];
	struct fs_config cfg = cc->k->cfg;
	struct fault why = { 0 };
	struct comp *c;

	*ret_done = false;
	if (!cc->lease || !to->dir || !*to->dir)
		return 0;
	cfg.read_only = false;
	int err = comp_open_repair(cc->k->volume, cc->fc, cc->lease, &cfg, &c, &why);
	if (err == -EBUSY || check_is_ours(err))
		*f = why;
	if (err)
		return err == -EBUSY || check_is_ours(err) ? err : 0;
	err = add_gate(c, to);
	int closed = comp_close(c);
	*ret_done = !err && !closed;
	return 0;
}
