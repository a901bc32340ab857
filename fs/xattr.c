/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Extended attributes. */
#include "fs/xattr.h"

#include "common/log.h"
#include "common/secret.h"
#include "fs/comp.h"
#include "fs/leaf.h"

#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

#define FIXED 6u

struct disk_xattr {
	uint8_t name_len;
	uint8_t zero;
	le32 value_len;
};
static_assert(sizeof(struct disk_xattr) == FIXED, "attribute");

static size_t length_of(const uint8_t *at)
{
	struct disk_xattr x;
	memcpy(&x, at, sizeof x);
	return FIXED + x.name_len + (size_t)le32_get(x.value_len);
}

int xattr_check(const uint8_t *list, size_t len)
{
	for (size_t at = 0; at < len;) {
		struct disk_xattr x;
		if (len - at < FIXED)
			return -EUCLEAN;
		memcpy(&x, list + at, sizeof x);
		if (!x.name_len || x.zero || le32_get(x.value_len) > FS_XATTR_VALUE_MAX || length_of(list + at) > len - at ||
		    memchr(list + at + FIXED, '\0', x.name_len))
			return -EUCLEAN;
		at += length_of(list + at);
	}
	return 0;
}

/* Pages first .. of the list's object. */
static int read_list(struct inode *i, uint8_t *out, size_t len)
{
	struct seal_ref refs[LEAF_RUN];
	uint32_t n = (uint32_t)((len + CL_PAGE - 1) / CL_PAGE);
	int err = tree_get_refs(&i->xattr, 0, n, refs);

	return err ? err : leaf_read(&i->xattr, 0, n, refs, out);
}

int xattr_load(struct inode *i, uint8_t **ret_list, size_t *ret_len)
{
	size_t len = i->xattr_object ? i->xattr_len : i->xattr_inline_len;
	int err = 0;

	*ret_list = NULL;
	*ret_len = 0;
	if (!len)
		return 0;
	if (len > XATTR_LIST_MAX)
		return -EUCLEAN;
	uint8_t *list = aligned_alloc(CL_PAGE, (len + CL_PAGE - 1) / CL_PAGE * CL_PAGE);
	if (!list)
		return -ENOMEM;
	if (i->xattr_object)
		err = read_list(i, list, len);
	else
		memcpy(list, i->inline_area + i->link_len, len);
	if (!err)
		err = xattr_check(list, len);
	if (err == -EUCLEAN)
		log_err("compartment %s: inode %llu: malformed attribute list", i->comp->io.name, (unsigned long long)i->ino);
	if (err) {
		free(list);
		return err;
	}
	*ret_list = list;
	*ret_len = len;
	return 0;
}

/* Offset of name in the list, or len. */
static size_t find(const uint8_t *list, size_t len, const char *name)
{
	size_t n = strlen(name), at = 0;

	while (at < len && (list[at] != n || memcmp(list + at + FIXED, name, n)))
		at += length_of(list + at);
	return at;
}

static void free_list(uint8_t *list, size_t len)
{
	if (list)
		secret_wipe(list, len);
	free(list);
}

int xattr_get(struct inode *i, const char *name, void *buf, size_t size, size_t *ret_len)
{
	uint8_t *list;
	size_t len;
	int err = xattr_load(i, &list, &len);

	if (err)
		return err;
	size_t at = find(list, len, name);
	if (at == len) {
		err = -ENODATA;
	} else {
		size_t n = length_of(list + at) - FIXED - list[at];
		*ret_len = n;
		if (size && n > size)
			err = -ERANGE;
		else if (size)
			memcpy(buf, list + at + FIXED + list[at], n);
	}
	free_list(list, len);
	return err;
}

int xattr_list(struct inode *i, char *buf, size_t size, size_t *ret_len)
{
	uint8_t *list;
	size_t len, total = 0;
	int err = xattr_load(i, &list, &len);

	if (err)
		return err;
	for (size_t at = 0; at < len && !err; at += length_of(list + at)) {
		size_t n = list[at];
		if (size) {
			if (total + n + 1 > size) {
				err = -ERANGE;
				break;
			}
			memcpy(buf + total, list + at + FIXED, n);
			buf[total + n] = '\0';
		}
		total += n + 1;
	}
	*ret_len = total;
	free_list(list, len);
	return err;
}

static int store_inline(struct inode *i, const uint8_t *list, size_t len)
{
	if (i->xattr_object) {
		int err = inode_add_op(i, JOURNAL_REMOVE, i->xattr.object, 0, 0);
		if (err)
			return err;
		tree_discard(&i->xattr);
		i->xattr_object = false;
		i->xattr_len = 0;
	}
	memset(i->inline_area + i->link_len, 0, INODE_INLINE - i->link_len);
	if (len)
		memcpy(i->inline_area + i->link_len, list, len);
	i->xattr_inline_len = (uint16_t)len;
	return 0;
}

/* A list is always written as a new object: no page of the old one changes, and the change is whole or not at all. */
static int store_object(struct inode *i, uint8_t *list, size_t len)
{
	uint32_t n = (uint32_t)((len + CL_PAGE - 1) / CL_PAGE);
	uint64_t stored = 0;
	struct tree new;
	struct leaf_run *run = malloc(sizeof *run);

	if (!run)
		return -ENOMEM;
	tree_init(&new, i->xattr.io, i->xattr.nodes, i->xattr.dirty_pages);
	int err = tree_make(&new, comp_new_object(i->comp));
	memset(list + len, 0, (size_t)n * CL_PAGE - len);
	if (!err)
		err = leaf_seal_running(&new, 0, n, list, run);
	if (!err)
		err = leaf_commit(&new, run, &stored);
	free(run);
	if (!err && i->xattr_object)
		err = inode_add_op(i, JOURNAL_REMOVE, i->xattr.object, 0, 0);
	if (err) {
		tree_discard(&new);
		return err;
	}
	tree_move(&i->xattr, &new);
	memset(i->inline_area + i->link_len, 0, INODE_INLINE - i->link_len);
	i->xattr_inline_len = 0;
	i->xattr_object = true;
	i->xattr_len = (uint32_t)len;
	return 0;
}

int xattr_store(struct inode *i, uint8_t *list, size_t len)
{
	int err = inode_dirty(i);

	if (err)
		return err;
	if (len + i->link_len <= INODE_INLINE)
		err = store_inline(i, list, len);
	else
		err = store_object(i, list, len);
	i->ctime = inode_now();
	return err;
}

int xattr_set(struct inode *i, const char *name, const void *value, size_t size, int flags)
{
	uint8_t *old;
	size_t len, n = strlen(name);

	if (n == 0 || n > FS_XATTR_NAME_MAX)
		return n ? -ERANGE : -EINVAL;
	if (size > FS_XATTR_VALUE_MAX)
		return -E2BIG;
	int err = xattr_load(i, &old, &len);
	if (err)
		return err;
	size_t at = find(old, len, name);
	size_t cut = at < len ? length_of(old + at) : 0;
	size_t new_len = len - cut + FIXED + n + size;
	uint8_t *list = NULL;
	if (at < len && flags & XATTR_CREATE)
		err = -EEXIST;
	else if (at == len && flags & XATTR_REPLACE)
		err = -ENODATA;
	else if (new_len > XATTR_LIST_MAX)
		err = -ENOSPC;
	else if (!(list = aligned_alloc(CL_PAGE, (new_len + CL_PAGE - 1) / CL_PAGE * CL_PAGE)))
		err = -ENOMEM;
	if (!err) {
		struct disk_xattr x = { .name_len = (uint8_t)n, .value_len = le32_of((uint32_t)size) };
		size_t keep = len - cut;
		if (len) {
			memcpy(list, old, at);
			memcpy(list + at, old + at + cut, keep - at);
		}
		memcpy(list + keep, &x, sizeof x);
		memcpy(list + keep + FIXED, name, n);
		if (size)
			memcpy(list + keep + FIXED + n, value, size);
		err = xattr_store(i, list, new_len);
		free_list(list, new_len);
	}
	free_list(old, len);
	return err;
}

int xattr_remove(struct inode *i, const char *name)
{
	uint8_t *list;
	size_t len;
	int err = xattr_load(i, &list, &len);

	if (err)
		return err;
	size_t at = find(list, len, name);
	if (at == len) {
		err = -ENODATA;
	} else {
		size_t cut = length_of(list + at);
		memmove(list + at, list + at + cut, len - at - cut);
		memset(list + len - cut, 0, cut);
		err = xattr_store(i, list, len - cut);
	}
	free_list(list, len);
	return err;
}
