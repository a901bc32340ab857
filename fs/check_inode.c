/* SPDX-License-Identifier: GPL-3.0-or-later */
/* fsck: inode records, contents, symlink targets, attribute lists. */
#include "fs/repair.h"

#include "common/secret.h"
#include "fs/xattr.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int check_decode_new(struct check_comp *cc, struct inode **ret)
{
	struct inode *i = calloc(1, sizeof *i);

	if (!i)
		return -ENOMEM;
	i->comp = cc->c;
	*ret = i;
	return 0;
}

int check_decode(struct inode *i, uint64_t ino, const uint8_t *record)
{
	struct comp *c = i->comp;

	memset(i, 0, sizeof *i);
	i->comp = c;
	i->ino = ino;
	tree_init(&i->data, &c->io, c->nodes, &c->dirty_pages);
	tree_init(&i->xattr, &c->io, c->nodes, &c->dirty_pages);
	int err = inode_decode(i, record);
	if (err)
		check_decode_done(i);
	return err;
}

void check_decode_done(struct inode *i)
{
	tree_done(&i->data);
	tree_done(&i->xattr);
	secret_wipe(&i->committed, sizeof i->committed);
}

void check_decode_free(struct inode *i)
{
	secret_wipe(i, sizeof *i);
	free(i);
}

/* Contents of some kind while they are read. */
struct content {
	struct check_comp *cc;
	uint32_t slot;
	const char *what;
	enum repair_kind bad_page, gone, odd; /* what mends pages that do not open, no pages at all, bytes where zeros must be */
	uint64_t size;
	uint8_t *out; /* gets the first size bytes, or NULL */
	bool behind, tail, bad;
};

static int content_page(void *arg, uint64_t leaf, const uint8_t *plain)
{
	struct content *c = arg;
	uint64_t at = leaf * CL_PAGE;

	if (at >= c->size) {
		c->behind |= !bytes_are_zero(plain, CL_PAGE);
		return 0;
	}
	size_t n = (size_t)CL_MIN((uint64_t)CL_PAGE, c->size - at);
	c->tail |= !bytes_are_zero(plain + n, CL_PAGE - n);
	if (c->out)
		memcpy(c->out + at, plain, n);
	return 0;
}

static void content_bad(void *arg, uint64_t first, uint64_t last, bool index, int err)
{
	struct content *c = arg;

	c->bad = true;
	check_say_bad(c->cc, c->slot, c->what, c->size, &(struct check_range){ first, last }, index, err,
		      c->bad_page);
}

/* All pages of a tree. stored: what the record says of them, or NULL. */
static int check_content(struct content *c, const struct tree *t, const uint64_t *stored)
{
	struct check_walk w = { .cc = c->cc, .page = content_page, .bad = content_bad, .arg = c };
	uint64_t ino = check_ino(&c->cc->inodes[c->slot]);
	int err = 0;

	tree_describe(t, &w.desc);
	c->bad = check_is_missing(c->cc, c->slot, c->what, &w.desc, c->gone);
	if (!c->bad) {
		err = check_walk(&w);
		REPAIR_WANT(c->cc, REPAIR_STORED, .ino = ino);
		if (!err && stored && !w.unsure && w.stored != *stored)
			check_say_inode(c->cc, c->slot, "%s: its record says that %llu pages are stored, but %llu are",
					c->what, (unsigned long long)*stored, (unsigned long long)w.stored);
	}
	secret_wipe(&w.desc, sizeof w.desc);
	REPAIR_WANT(c->cc, c->odd, .ino = ino);
	if (!err && c->tail)
		check_say_inode(c->cc, c->slot, "%s: its last page is not zero behind its %llu bytes", c->what,
				(unsigned long long)c->size);
	REPAIR_WANT(c->cc, c->odd == REPAIR_TAIL ? REPAIR_BEHIND : c->odd, .ino = ino);
	if (!err && c->behind)
		check_say_inode(c->cc, c->slot, "%s: pages behind its %llu bytes are not zero", c->what,
				(unsigned long long)c->size);
	REPAIR_WANT(c->cc, REPAIR_NONE);
	return err;
}

static int check_link(struct check_comp *cc, uint32_t slot, const struct inode *i)
{
	uint8_t target[CL_PAGE] = { 0 };
	struct content c = { .cc = cc, .slot = slot, .what = "link target", .size = i->size };
	int err = 0;

	c.bad_page = c.gone = REPAIR_LINK;
	c.odd = REPAIR_TAIL;
	REPAIR_WANT(cc, REPAIR_LINK, .ino = i->ino);
	if (i->link_inline ? i->size != i->link_len || i->data.object || i->size == 0
			   : i->link_len || i->size == 0 || i->size > FS_SYMLINK_MAX) {
		check_say_inode(cc, slot, "link target: its length of %llu bytes cannot be right",
				(unsigned long long)i->size);
		c.bad = true;
	}
	REPAIR_WANT(cc, REPAIR_NONE);
	if (i->link_inline && !c.bad) {
		memcpy(target, i->inline_area, i->link_len);
	} else {
		bool odd = c.bad;
		c.out = odd ? NULL : target;
		err = check_content(&c, &i->data, &i->stored);
		c.bad |= odd;
	}
	REPAIR_WANT(cc, REPAIR_LINK, .ino = i->ino);
	if (!err && !c.bad && memchr(target, '\0', (size_t)i->size))
		check_say_inode(cc, slot, "link target: it has a NUL byte in it");
	REPAIR_WANT(cc, REPAIR_NONE);
	secret_wipe(target, sizeof target);
	return err;
}

/* Attributes in a list: a byte for the length of the name, a zero, four for the length of the value, name, value. */
static size_t attribute_len(const uint8_t *at)
{
	le32 value;

	memcpy(&value, at + 2, sizeof value);
	return 6 + (size_t)at[0] + le32_get(value);
}

static int by_name(const void *a, const void *b, void *arg)
{
	const uint8_t *list = arg, *x = list + *(const uint32_t *)a, *y = list + *(const uint32_t *)b;
	int r = memcmp(x + 6, y + 6, CL_MIN(x[0], y[0]));

	return r ? r : (int)x[0] - (int)y[0];
}

static int check_attributes(struct check_comp *cc, uint32_t slot, uint8_t *list, size_t len)
{
	uint32_t *at = NULL;
	size_t n = 0, cap = 0;

	if (xattr_check(list, len)) {
		REPAIR_WANT(cc, REPAIR_XATTRS, .ino = check_ino(&cc->inodes[slot]));
		check_say_inode(cc, slot, "attribute list: it is malformed");
		return 0;
	}
	for (size_t o = 0; o < len; o += attribute_len(list + o)) {
		uint32_t *p = check_grow(at, n, &cap, sizeof *p);
		if (!p) {
			free(at);
			return -ENOMEM;
		}
		at = p;
		at[n++] = (uint32_t)o;
	}
	if (n)
		qsort_r(at, n, sizeof *at, by_name, list);
	for (size_t i = 1; i < n; i++) {
		REPAIR_WANT(cc, REPAIR_XATTR_LIST, .ino = check_ino(&cc->inodes[slot]));
		if (!by_name(&at[i - 1], &at[i], list))
			check_say_inode(cc, slot, "attribute list: %.*s is there twice", (int)list[at[i]],
					(char *)list + at[i] + 6);
	}
	REPAIR_WANT(cc, REPAIR_NONE);
	free(at);
	return 0;
}

static int check_xattrs(struct check_comp *cc, uint32_t slot, struct inode *i)
{
	struct content c = { .cc = cc, .slot = slot, .what = "attribute list", .size = i->xattr_len };

	c.bad_page = c.gone = REPAIR_XATTRS;
	c.odd = REPAIR_XATTR_LIST;
	REPAIR_WANT(cc, REPAIR_XATTR_LIST, .ino = i->ino);
	if (i->xattr_object && i->xattr_inline_len)
		check_say_inode(cc, slot, "attribute list: there are two, one in its record and one in an object");
	REPAIR_WANT(cc, REPAIR_NONE);
	int err = check_attributes(cc, slot, i->inline_area + i->link_len, i->xattr_inline_len);
	if (err || !i->xattr_object)
		return err;
	bool odd = i->xattr_len == 0 || i->xattr_len > XATTR_LIST_MAX;
	REPAIR_WANT(cc, odd ? REPAIR_XATTRS : REPAIR_NONE, .ino = i->ino);
	if (odd)
		check_say_inode(cc, slot, "attribute list: its length of %u bytes cannot be right", i->xattr_len);
	else if (!(c.out = calloc(1, i->xattr_len)))
		return -ENOMEM;
	err = check_content(&c, &i->xattr, NULL);
	if (!err && !c.bad && !odd)
		err = check_attributes(cc, slot, c.out, i->xattr_len);
	if (c.out)
		secret_wipe(c.out, i->xattr_len);
	free(c.out);
	return err;
}

/* What decoding does not look at: a record that is written again must come out the same. */
static void check_fields(struct check_comp *cc, uint32_t slot, const struct inode *i, const uint8_t *record)
{
	uint8_t again[INODE_RECORD];
	struct inode_data data;
	size_t used = (size_t)i->link_len + i->xattr_inline_len;

	inode_data_now(i, &data);
	inode_encode(i, &data, again);
	const struct repair mend = { .kind = REPAIR_FIELDS, .ino = i->ino };
	repair_want(cc, &mend);
	if (memcmp(again, record, INODE_RECORD) || !bytes_are_zero(i->inline_area + used, INODE_INLINE - used))
		check_say_inode(cc, slot, "its record has something where zeros must be");
	secret_wipe(&data, sizeof data);
	secret_wipe(again, sizeof again);
	repair_want(cc, &mend);
	if (!S_ISDIR(i->mode) && (i->parent || i->entries))
		check_say_inode(cc, slot, "its record has a parent or entries, but it is no directory");
	repair_want(cc, &mend);
	if (!S_ISLNK(i->mode) && i->link_len)
		check_say_inode(cc, slot, "its record has a link target, but it is no symbolic link");
	repair_want(cc, &mend);
	if (!i->data.object && i->stored && !S_ISDIR(i->mode))
		check_say_inode(cc, slot, "contents: its record says that %llu pages are stored, but names no object",
				(unsigned long long)i->stored);
	REPAIR_WANT(cc, REPAIR_NONE);
}

static int check_one(struct check_comp *cc, uint32_t slot, struct inode *i, const uint8_t *record)
{
	struct content c = { .cc = cc, .slot = slot, .what = "contents", .size = i->size };
	int err = 0;

	c.bad_page = REPAIR_DATA;
	c.gone = REPAIR_DATA_GONE;
	c.odd = REPAIR_TAIL;
	check_fields(cc, slot, i, record);
	switch (i->mode & S_IFMT) {
	case S_IFDIR: /* read already */
		break;
	case S_IFLNK:
		err = check_link(cc, slot, i);
		break;
	case S_IFREG:
		if (i->data.object)
			err = check_content(&c, &i->data, &i->stored);
		break;
	default:
		REPAIR_WANT(cc, REPAIR_TO_FILE, .ino = i->ino);
		if (i->data.object || i->size || i->stored)
			check_say_inode(cc, slot, "it has contents, but is no regular file");
		REPAIR_WANT(cc, REPAIR_NONE);
		if (i->data.object)
			err = check_content(&c, &i->data, &i->stored);
	}
	return err ? err : check_xattrs(cc, slot, i);
}

struct contents {
	struct check_comp *cc;
	struct inode *scratch;
	uint32_t slot; /* next */
	int err;
};

static int contents_page(void *arg, uint64_t leaf, const uint8_t *plain)
{
	struct contents *s = arg;
	struct check_comp *cc = s->cc;
	int err = 0;

	while (s->slot < cc->n_inodes && check_ino(&cc->inodes[s->slot]) < leaf * INODE_PER_PAGE)
		s->slot++;
	for (; s->slot < cc->n_inodes && !err; s->slot++) {
		uint64_t ino = check_ino(&cc->inodes[s->slot]);
		if (ino / INODE_PER_PAGE != leaf)
			break;
		if (cc->inodes[s->slot].flags & CHECK_BAD) {
			check_say_inode(cc, s->slot,
					"its record in the inode table is malformed: what it held is lost");
			continue;
		}
		const uint8_t *record = plain + ino % INODE_PER_PAGE * INODE_RECORD;
		err = check_decode(s->scratch, ino, record);
		if (err == -ENOENT || err == -EUCLEAN) {
			/* It was good a moment ago: the backing directory changes under us. */
			check_say_inode(cc, s->slot, "its record changed while it was checked");
			err = 0;
			continue;
		}
		if (!err) {
			err = check_one(cc, s->slot, s->scratch, record);
			check_decode_done(s->scratch);
		}
	}
	return err;
}

/* Records that were read a moment ago, and cannot be read again: the disk fails meanwhile, and what they lead to is not checked. */
static void contents_gone(void *arg, uint64_t first, uint64_t last, bool index, int err)
{
	struct contents *s = arg;

	(void)index;
	(void)last;
	if (!check_is_lost(s->cc, first * INODE_PER_PAGE))
		s->err = err;
}

int check_contents(struct check_comp *cc)
{
	struct contents s = { .cc = cc };
	struct check_walk w = { .cc = cc, .page = contents_page, .bad = contents_gone, .arg = &s, .quiet = true };
	int err = check_decode_new(cc, &s.scratch);

	if (err)
		return err;
	tree_describe(&cc->c->itable, &w.desc);
	err = check_walk(&w);
	check_decode_free(s.scratch);
	return err ? err : s.err;
}
