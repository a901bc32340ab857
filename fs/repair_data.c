/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Repair: contents, link targets, attribute lists, records; files that share an object. */
#include "fs/repair.h"

#include "common/log.h"
#include "common/secret.h"
#include "fs/data.h"
#include "fs/dir.h"
#include "fs/leaf.h"
#include "fs/txn.h"
#include "fs/xattr.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define COPY_BYTES ((size_t)1 << 20)

/*
 * By now the file has no names left but in lost+found, see repair_remove_names. That is committed before its contents
 * are touched: transactions are durable in their order.
 */
int repair_quarantine(struct check_comp *cc, uint64_t ino, char out[static REPAIR_PATH_MAX])
{
	struct inode *i;
	int err = repair_begin_kind(cc, ROOM_NEW, ino, &i);

	if (err)
		return err;
	return repair_end(i, repair_put_lost(cc, i, out));
}

/* Gives the contents' object up. One that another inode has as well stays. */
static int drop_contents(struct check_comp *cc, struct inode *i)
{
	if (!repair_is_shared(cc, i->data.object))
		return inode_reset_data(i);
	tree_discard(&i->data);
	i->stored = 0;
	i->size = 0;
	return 0;
}

static int drop_attributes(struct check_comp *cc, struct inode *i)
{
	int err = 0;

	if (i->xattr_object && !repair_is_shared(cc, i->xattr.object))
		err = inode_add_op(i, JOURNAL_REMOVE, i->xattr.object, 0, 0);
	if (err)
		return err;
	tree_discard(&i->xattr);
	i->xattr_object = false;
	i->xattr_len = i->xattr_inline_len = 0;
	memset(i->inline_area + i->link_len, 0, INODE_INLINE - i->link_len);
	return 0;
}

int repair_data(struct check_comp *cc, const struct repair *r)
{
	char path[REPAIR_PATH_MAX];
	struct inode *i;
	int err = repair_quarantine(cc, r->ino, path);

	if (!err)
		err = repair_begin_kind(cc, ROOM_GIVE, r->ino, &i);
	if (err)
		return err;
	err = repair_make_hole(&i->data, r->a, r->b, &i->stored);
	if (!err)
		err = repair_count_stored(i);
	repair_note(cc, "zeros stand there now, and the file is %s", path);
	return repair_end(i, err);
}

int repair_data_gone(struct check_comp *cc, const struct repair *r)
{
	char path[REPAIR_PATH_MAX];
	struct inode *i;
	int err = repair_quarantine(cc, r->ino, path);

	if (!err)
		err = repair_begin_kind(cc, ROOM_GIVE, r->ino, &i);
	if (err)
		return err;
	uint64_t size = i->size;
	err = drop_contents(cc, i);
	if (!err)
		i->size = size;
	repair_note(cc, "zeros stand there now, and the file is %s", path);
	return repair_end(i, err);
}

int repair_tail(struct check_comp *cc, const struct repair *r)
{
	struct leaf_run *run = malloc(sizeof *run);
	uint8_t *page = aligned_alloc(CL_PAGE, CL_PAGE);
	struct seal_ref ref;
	struct inode *i = NULL;
	int err = run && page ? repair_begin(cc, r->ino, &i) : -ENOMEM;

	if (!err) {
		uint64_t leaf = i->size / CL_PAGE;
		err = tree_get_refs(&i->data, leaf, 1, &ref);
		if (!err)
			err = leaf_read(&i->data, leaf, 1, &ref, page);
		if (!err) {
			memset(page + i->size % CL_PAGE, 0, CL_PAGE - i->size % CL_PAGE);
			err = leaf_seal_running(&i->data, leaf, 1, page, run);
		}
		if (!err)
			err = leaf_commit(&i->data, run, &i->stored);
		err = repair_end(i, err);
		secret_wipe(page, CL_PAGE);
	}
	free(run);
	free(page);
	repair_note(cc, "zeros are written there");
	return err;
}

int repair_behind(struct check_comp *cc, const struct repair *r)
{
	struct inode *i;
	int err = repair_begin_kind(cc, ROOM_GIVE, r->ino, &i);

	if (err)
		return err;
	err = repair_make_hole(&i->data, (i->size + CL_PAGE - 1) / CL_PAGE, TREE_LEAVES_MAX - 1, &i->stored);
	repair_note(cc, "removed");
	return repair_end(i, err);
}

/* What has contents is a file; nobody takes it for one before somebody has looked at it. */
int repair_to_file(struct check_comp *cc, const struct repair *r)
{
	char path[REPAIR_PATH_MAX];
	struct inode *i;
	int err = repair_begin_kind(cc, ROOM_NEW, r->ino, &i);

	if (err)
		return err;
	i->mode = S_IFREG | (i->mode & 0700);
	i->type = S_IFREG;
	i->rdev_major = i->rdev_minor = 0;
	err = repair_end(i, repair_put_lost(cc, i, path));
	repair_note(cc, "it is a regular file now: %s", path);
	return err;
}

int repair_link(struct check_comp *cc, const struct repair *r)
{
	struct inode *i;
	int err = repair_begin_kind(cc, ROOM_GIVE, r->ino, &i);

	if (err == -ENOENT)
		return 0; /* by another finding about it */
	if (err)
		return err;
	if (i->data.object && repair_is_shared(cc, i->data.object))
		err = drop_contents(cc, i);
	if (!err && i->xattr_object && repair_is_shared(cc, i->xattr.object))
		err = drop_attributes(cc, i);
	if (!err)
		err = inode_set_orphan(i, true);
	if (!err) {
		i->nlink = 0;
		err = inode_free_orphan(i);
	}
	repair_note(cc, "the link is removed");
	return repair_end(i, err);
}

/* An ACL may have been among them: then modes alone may give more than it did. So nobody but the owner has any. */
int repair_xattrs(struct check_comp *cc, const struct repair *r)
{
	char path[REPAIR_PATH_MAX];
	struct inode *i;
	int err = repair_begin_kind(cc, ROOM_NEW, r->ino, &i);

	if (err == -ENOENT)
		return 0; /* a link that went by another finding */
	if (err)
		return err;
	i->mode &= ~077u;
	i->ctime = inode_now();
	bool dir = S_ISDIR(i->mode);
	if (!dir)
		err = repair_put_lost(cc, i, path);
	err = repair_end(i, err);
	if (!err)
		err = repair_begin(cc, r->ino, &i);
	if (err)
		return err;
	err = drop_attributes(cc, i);
	if (dir)
		repair_note(cc, "all attributes are dropped; an ACL may have been among them, so its mode is %04o now",
			    i->mode & 07777);
	else
		repair_note(cc, "all attributes are dropped; an ACL may have been among them, so it is %s now", path);
	return repair_end(i, err);
}

static size_t attribute_len(const uint8_t *at)
{
	le32 value;

	memcpy(&value, at + 2, sizeof value);
	return 6 + (size_t)at[0] + le32_get(value);
}

/* By name, the first of equal ones first. */
static int by_name(const void *a, const void *b, void *arg)
{
	uint32_t m = *(const uint32_t *)a, n = *(const uint32_t *)b;
	const uint8_t *list = arg, *x = list + m, *y = list + n;
	int r = memcmp(x + 6, y + 6, CL_MIN(x[0], y[0]));

	if (!r)
		r = (int)x[0] - (int)y[0];
	return r ? r : m < n ? -1 : 1;
}

static bool same_name(const uint8_t *x, const uint8_t *y)
{
	return x[0] == y[0] && !memcmp(x + 6, y + 6, x[0]);
}

/* Drops from a sound list what is there a second time. */
static int only_once(uint8_t *list, size_t *len)
{
	uint32_t *at = NULL;
	uint8_t *out = malloc(*len + 1);
	size_t n = 0, cap = 0, to = 0;
	int err = out ? 0 : -ENOMEM;

	for (size_t o = 0; o < *len && !err; o += attribute_len(list + o)) {
		uint32_t *p = check_grow(at, n, &cap, sizeof *p);
		if (!p) {
			err = -ENOMEM;
			break;
		}
		at = p;
		at[n++] = (uint32_t)o;
	}
	if (n && !err)
		qsort_r(at, n, sizeof *at, by_name, list);
	for (size_t i = 0; i < n && !err; i++) {
		if (i && same_name(list + at[i - 1], list + at[i]))
			continue;
		memcpy(out + to, list + at[i], attribute_len(list + at[i]));
		to += attribute_len(list + at[i]);
	}
	if (!err) {
		memcpy(list, out, to);
		*len = to;
	}
	if (out)
		secret_wipe(out, *len);
	free(out);
	free(at);
	return err;
}

int repair_xattr_list(struct check_comp *cc, const struct repair *r)
{
	uint8_t *list = NULL;
	struct inode *i;
	size_t len = 0, whole = 0;
	int err = repair_begin(cc, r->ino, &i);

	if (err)
		return err;
	err = xattr_load(i, &list, &len);
	whole = len;
	if (!err && list)
		err = only_once(list, &len);
	if (!err)
		err = list ? xattr_store(i, list, len) : drop_attributes(cc, i);
	if (list)
		secret_wipe(list, whole);
	free(list);
	repair_note(cc, "the list is written again, each name once");
	return repair_end(i, err);
}

int repair_fields(struct check_comp *cc, const struct repair *r)
{
	struct inode *i;
	int err = repair_begin(cc, r->ino, &i);

	if (err)
		return err;
	if (!S_ISDIR(i->mode))
		i->parent = i->entries = 0;
	if (!S_ISLNK(i->mode) && i->link_len) {
		memmove(i->inline_area, i->inline_area + i->link_len, i->xattr_inline_len);
		i->link_len = 0;
	}
	size_t used = (size_t)i->link_len + i->xattr_inline_len;
	memset(i->inline_area + used, 0, INODE_INLINE - used);
	if (!i->data.object)
		i->stored = 0;
	repair_note(cc, "the record is written again"); /* with zeros where they must be */
	return repair_end(i, 0);
}

/* Whether the root page of an inode's tree opens: by itself, for the cache knows pages by their object alone. */
static bool opens(struct check_comp *cc, uint64_t ino, bool xattr)
{
	uint8_t page[CL_PAGE];
	struct seal_place place = { .index = 0 };
	struct inode *i;

	if (inode_get(cc->c, ino, &i))
		return false;
	struct tree *t = xattr ? &i->xattr : &i->data;
	memcpy(place.compartment, cc->c->id, 16);
	place.object = t->object;
	place.level = t->height;
	bool good =
		t->object && !seal_ref_is_hole(&t->root) && !pageio_open(&cc->c->io, &t->key, &place, &t->root, page);
	secret_wipe(page, sizeof page);
	inode_put(i);
	return good;
}

/* Contents that are good for both: one gets an object of its own, made as an unlinked file. */
static int copy_contents(struct check_comp *cc, uint64_t ino)
{
	uint8_t *buf = aligned_alloc(CL_PAGE, COPY_BYTES);
	struct comp *c = cc->c;
	struct inode *from = NULL, *to = NULL;
	ssize_t n = 0;
	int err = buf ? inode_get(c, ino, &from) : -ENOMEM;

	if (!err)
		err = txn_begin_kind(c, ROOM_NEW);
	if (!err) {
		err = inode_new(c, S_IFREG | 0600, true, &to);
		txn_end(c);
	}
	for (uint64_t at = 0; !err && at < from->size; at += COPY_BYTES) {
		n = data_read(from, buf, (size_t)CL_MIN((uint64_t)COPY_BYTES, from->size - at), at);
		if (n >= 0 && !bytes_are_zero(buf, (size_t)n))
			n = data_write(to, buf, (size_t)n, at, 0);
		err = n < 0 ? (int)n : 0;
	}
	if (!err)
		err = txn_commit(c, NULL, false);
	if (!err)
		err = txn_begin_kind(c, ROOM_CHANGE);
	if (!err) {
		err = inode_dirty(from);
		if (!err)
			err = inode_dirty(to);
		if (!err) {
			tree_move(&from->data, &to->data);
			from->stored = to->stored;
			from->data_txn = c->running;
			to->stored = to->size = 0;
			err = inode_free_orphan(to);
		}
		txn_end(c);
	}
	inode_put(to);
	inode_put(from);
	if (buf)
		secret_wipe(buf, COPY_BYTES);
	free(buf);
	return err;
}

static int own_attributes(struct check_comp *cc, uint64_t ino)
{
	uint8_t *list = NULL;
	struct inode *i;
	size_t len = 0;
	int err = repair_begin(cc, ino, &i);

	if (err)
		return err;
	err = xattr_load(i, &list, &len);
	if (!err)
		err = drop_attributes(cc, i);
	if (!err && list)
		err = xattr_store(i, list, len);
	if (list)
		secret_wipe(list, len);
	free(list);
	return repair_end(i, err);
}

/* An inode without right to the object it names. */
static int give_up(struct check_comp *cc, uint64_t ino, bool xattr, bool good)
{
	const struct repair r = { .ino = ino };
	uint32_t slot = check_find(cc, ino);
	unsigned type = slot == CHECK_NONE ? 0 : cc->inodes[slot].type;
	int err = 0;

	if (xattr && good) {
		err = own_attributes(cc, ino);
		repair_note(cc, "inode %llu has a copy of its own now", (unsigned long long)ino);
		return err;
	}
	if (!xattr && type == DT_DIR) {
		err = repair_dir_gone(cc, &r);
		repair_note(cc, "the directory with inode %llu is empty now", (unsigned long long)ino);
		return err;
	}
	if (!xattr && type != DT_REG && type != DT_LNK) {
		struct inode *i;
		err = repair_begin(cc, ino, &i);
		if (!err)
			err = repair_end(i, drop_contents(cc, i));
		repair_note(cc, "inode %llu has no contents any more", (unsigned long long)ino);
		return err;
	}
	if (!xattr && good && type == DT_REG) {
		err = copy_contents(cc, ino);
		repair_note(cc, "inode %llu has a copy of its own now", (unsigned long long)ino);
		return err;
	}
	if (type != DT_DIR)
		err = repair_remove_names(cc, &ino, 1);
	if (err)
		return err;
	return xattr ? repair_xattrs(cc, &r) : type == DT_LNK ? repair_link(cc, &r) : repair_data_gone(cc, &r);
}

int repair_shared(struct check_comp *cc, const struct repair *r)
{
	uint64_t keeper = 0, other = 0;

	/* The one whose key and ref open it; or else the first. */
	for (size_t o = 0; o < cc->n_objects; o++) {
		const struct check_object *at = &cc->objects[o];
		uint64_t ino = check_ino(&cc->inodes[at->slot]);
		if (at->object == r->a && !keeper && opens(cc, ino, at->xattr))
			keeper = ino;
	}
	for (size_t o = 0; o < cc->n_objects && !keeper; o++)
		if (cc->objects[o].object == r->a)
			keeper = check_ino(&cc->inodes[cc->objects[o].slot]);
	for (size_t o = 0; o < cc->n_objects; o++) {
		const struct check_object *at = &cc->objects[o];
		uint64_t ino = check_ino(&cc->inodes[at->slot]);
		if (at->object != r->a || ino == keeper)
			continue;
		int err = give_up(cc, ino, at->xattr, opens(cc, ino, at->xattr));
		if (err)
			return err;
		other = ino;
	}
	/* Both by one inode, as contents and as attributes. */
	return other ? 0 : give_up(cc, keeper, true, false);
}
