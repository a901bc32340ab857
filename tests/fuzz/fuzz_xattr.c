/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Fuzz target: attribute lists. Input: how[1], then the list (bit 7) or changes to a good one. Bit 0: in an object,
 * not inline; what is too long to be inline is in an object always.
 */
#include "tests/fuzz/disk.h"
#include "tests/fuzz/fuzz.h"

#include "fs/leaf.h"
#include "fs/txn.h"
#include "fs/xattr.h"

#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

enum { INODE = 4, LIST_MAX = 3 * CL_PAGE };

static const uint8_t good[] =
	"\6\0\1\0\0\0user.ax\7\0\0\0\0\0user.bb\x17\0\4\0\0\0system.posix_acl_accessABCD\6\0\12\0\0\0user.c0123456789";

/* Puts the list where an inode has it; the inode is not changed otherwise. */
static void place(struct inode *i, const uint8_t *list, size_t len, bool object)
{
	uint8_t *pages = aligned_alloc(CL_PAGE, LIST_MAX);
	struct leaf_run *run = malloc(sizeof *run);
	uint64_t stored = 0;

	FUZZ_CHECK(pages && run, "out of memory");
	FUZZ_OK(inode_dirty(i));
	if (object && len) {
		memset(pages, 0, LIST_MAX);
		memcpy(pages, list, len);
		FUZZ_OK(tree_make(&i->xattr, comp_new_object(i->comp)));
		FUZZ_OK(leaf_seal_running(&i->xattr, 0, (uint32_t)((len + CL_PAGE - 1) / CL_PAGE), pages, run));
		FUZZ_OK(leaf_commit(&i->xattr, run, &stored));
		i->xattr_object = true;
		i->xattr_len = (uint32_t)len;
	} else if (len) {
		memcpy(i->inline_area, list, len);
		i->xattr_inline_len = (uint16_t)len;
	}
	free(pages);
	free(run);
}

/* Value of name, or NULL. */
static uint8_t *value_of(struct inode *i, const char *name, size_t *ret_len)
{
	size_t again = 0;
	int err = xattr_get(i, name, NULL, 0, ret_len);

	if (err == -ENODATA)
		return NULL;
	FUZZ_OK(err);
	FUZZ_CHECK(*ret_len <= FS_XATTR_VALUE_MAX, "length of a value");
	uint8_t *v = malloc(*ret_len + 1);
	FUZZ_CHECK(v, "out of memory");
	FUZZ_OK(xattr_get(i, name, v, *ret_len + 1, &again));
	FUZZ_CHECK(again == *ret_len, "two lengths");
	if (*ret_len > 1)
		FUZZ_CHECK(xattr_get(i, name, v, *ret_len - 1, &again) == -ERANGE, "does not fit");
	return v;
}

static char *names_of(struct inode *i, size_t *ret_len)
{
	size_t again;

	FUZZ_OK(xattr_list(i, NULL, 0, ret_len));
	char *names = malloc(*ret_len + 1);
	FUZZ_CHECK(names, "out of memory");
	FUZZ_OK(xattr_list(i, names, *ret_len + 1, &again));
	FUZZ_CHECK(again == *ret_len && (!again || names[again - 1] == '\0'), "names");
	return names;
}

/* How often name is in a list of names. */
static unsigned count(const char *names, size_t len, const char *name)
{
	unsigned n = 0;

	for (const char *p = names; p < names + len; p += strlen(p) + 1)
		n += !strcmp(p, name);
	return n;
}

/* The others keep their values while one of them changes. */
static void change(struct inode *i, const char *name, const uint8_t *value, size_t n)
{
	size_t len, was_len, now_len;
	char *names = names_of(i, &len);
	unsigned times = count(names, len, name);
	uint8_t *old = value_of(i, name, &was_len);

	FUZZ_CHECK(!old == !times, "listed, but not there");
	int err = xattr_set(i, name, value, n, times ? XATTR_CREATE : XATTR_REPLACE);
	FUZZ_CHECK(err == (times ? -EEXIST : -ENODATA), "flags: %d", err);
	FUZZ_OK(xattr_set(i, name, value, n, 0));
	if (times < 2) {
		uint8_t *now = value_of(i, name, &now_len);
		FUZZ_CHECK(now && now_len == n && (!n || !memcmp(now, value, n)), "not what was set");
		free(now);
	}
	FUZZ_OK(xattr_remove(i, name));
	if (times < 2)
		FUZZ_CHECK(xattr_remove(i, name) == -ENODATA, "still there");
	free(old);
	free(names);
}

static void work(struct inode *i, const uint8_t *list, size_t len)
{
	uint8_t *loaded, filler[300];
	size_t n, names_len;

	FUZZ_OK(xattr_load(i, &loaded, &n));
	FUZZ_CHECK(n == len && (!n || !memcmp(loaded, list, n)), "another list");
	free(loaded);
	FUZZ_CHECK(xattr_any(i) == (len != 0), "any");
	memset(filler, 0x42, sizeof filler);
	char *names = names_of(i, &names_len);
	for (const char *p = names; p < names + names_len; p += strlen(p) + 1) {
		FUZZ_CHECK(*p, "an empty name");
		uint8_t *v = value_of(i, p, &n);
		FUZZ_CHECK(v, "a name without a value");
		free(v);
	}
	change(i, "user.new", filler, sizeof filler);
	change(i, "user.new", filler, 0);
	for (const char *p = names; p < names + names_len; p += strlen(p) + 1) {
		if (count(names, names_len, p) == 1)
			change(i, p, filler, 10);
	}
	/* What is left are names that came twice: each time one goes. */
	for (const char *p = names; p < names + names_len; p += strlen(p) + 1)
		if (count(names, names_len, p) > 1)
			FUZZ_OK(xattr_remove(i, p));
	FUZZ_CHECK(!xattr_any(i) || (i->xattr_object && !i->xattr_len), "there is something left");
	free(names);
}

static void run(const uint8_t *data, size_t len)
{
	struct fuzz_in in = { data, len };
	uint8_t how = fuzz_u8(&in), list[LIST_MAX];
	struct inode *i;
	struct disk d;
	size_t n = sizeof good - 1;

	memcpy(list, good, n);
	if (how & 0x80) {
		n = CL_MIN(in.n, sizeof list);
		if (n)
			memcpy(list, in.p, n);
	} else {
		fuzz_patch(&in, list, n);
	}
	/* A copy of its own length: the sanitizer sees its end. */
	uint8_t *copy = malloc(n + 1);
	FUZZ_CHECK(copy, "out of memory");
	memcpy(copy, list, n);
	int err = xattr_check(copy, n);
	free(copy);
	FUZZ_ERROR(err, -EUCLEAN);

	disk_new(&d);
	struct comp *c = disk_open(&d, 0);
	FUZZ_OK(txn_begin(c));
	FUZZ_OK(inode_get(c, INODE, &i));
	place(i, list, n, how & 1 || n > INODE_INLINE);
	if (!err) {
		work(i, list, n);
	} else {
		size_t got;
		FUZZ_CHECK(xattr_get(i, "user.a", NULL, 0, &got) == err && xattr_list(i, NULL, 0, &got) == err &&
				   xattr_set(i, "user.a", "x", 1, 0) == err && xattr_remove(i, "user.a") == err,
			   "a malformed list was taken");
	}
	inode_put(i);
	txn_end(c);
	comp_free(c);
	disk_free(&d);
}

static void seeds(fuzz_put_fn *put, void *arg)
{
	static const struct {
		const char *name;
		uint8_t off, byte;
	} changes[] = {
		{ "name-len", 0, 7 },    { "no-name", 0, 0 },    { "zero", 1, 1 },
		{ "value-len", 2, 200 }, { "value-huge", 4, 1 }, { "value-max", 5, 1 },
		{ "nul", 8, 0 },         { "twice", 18, 6 },     { "last-short", 63, 99 },
	};
	uint8_t list[1 + sizeof good] = { 0x80 };
	uint8_t big[1 + 2 * CL_PAGE] = { 0x80, 6, 0, 0, 0x1f, 0, 0, 'u', 's', 'e', 'r', '.', 'a' };

	memcpy(list + 1, good, sizeof good - 1);
	put(arg, "inline", list, sizeof good);
	put(arg, "cut", list, sizeof good - 3);
	list[0] |= 1;
	put(arg, "object", list, sizeof good);
	put(arg, "empty", list, 1);
	put(arg, "large", big, 1 + 12 + 0x1f00);
	for (unsigned k = 0; k < CL_ARRAY_LEN(changes); k++) {
		struct fuzz_out o = { 0 };
		fuzz_put_u8(&o, k % 2);
		fuzz_put_patch(&o, changes[k].off, &changes[k].byte, 1);
		put(arg, changes[k].name, o.p, o.n);
	}
}

const struct fuzz_target fuzz_xattr = { "xattr", LIST_MAX, run, seeds };
