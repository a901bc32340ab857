/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Unit tests of fs/xattr.h: inline and in an object, limits, malformed lists. */
#include "fs/xattr.h"

#include "tests/unit/engine_fixture.h"

#include <stdio.h>
#include <sys/xattr.h>

struct bench {
	struct engine e;
	struct inode *i;
	uint64_t ino;
};

static void begin(struct bench *b)
{
	ck_assert_int_eq(txn_begin(b->e.c), 0);
	pthread_rwlock_wrlock(&b->i->lock);
}

static void end(struct bench *b)
{
	pthread_rwlock_unlock(&b->i->lock);
	txn_end(b->e.c);
}

static void bench_new(struct bench *b)
{
	engine_new(&b->e);
	ck_assert_int_eq(txn_begin(b->e.c), 0);
	ck_assert_int_eq(inode_new(b->e.c, S_IFREG | 0644, false, &b->i), 0);
	b->i->nlink = 1;
	txn_end(b->e.c);
	b->ino = b->i->ino;
}

static void bench_free(struct bench *b)
{
	inode_put(b->i);
	engine_free(&b->e);
}

static void reopen(struct bench *b)
{
	inode_put(b->i);
	engine_reopen(&b->e);
	ck_assert_int_eq(inode_get(b->e.c, b->ino, &b->i), 0);
}

static int set(struct bench *b, const char *name, uint8_t with, size_t len, int flags)
{
	uint8_t *value = malloc(len + 1);

	ck_assert_ptr_nonnull(value);
	memset(value, with, len + 1);
	begin(b);
	int err = xattr_set(b->i, name, value, len, flags);
	end(b);
	free(value);
	return err;
}

static int drop(struct bench *b, const char *name)
{
	begin(b);
	int err = xattr_remove(b->i, name);
	end(b);
	return err;
}

static void has(struct bench *b, const char *name, uint8_t with, size_t len)
{
	uint8_t *value = malloc(len + 1);
	size_t got = 0;

	ck_assert_int_eq(xattr_get(b->i, name, NULL, 0, &got), 0);
	ck_assert_uint_eq(got, len);
	ck_assert_int_eq(xattr_get(b->i, name, value, len + 1, &got), 0);
	ck_assert_uint_eq(got, len);
	ck_assert(len == 0 || (value[0] == with && !memcmp(value, value + 1, len - 1)));
	if (len > 1)
		ck_assert_int_eq(xattr_get(b->i, name, value, len - 1, &got), -ERANGE);
	free(value);
}

START_TEST(test_inline_and_object)
{
	struct bench b;
	size_t len = 99;
	char list[64];

	bench_new(&b);
	ck_assert(!xattr_any(b.i));
	ck_assert_int_eq(xattr_list(b.i, NULL, 0, &len), 0);
	ck_assert_uint_eq(len, 0);
	ck_assert_int_eq(xattr_get(b.i, "user.a", NULL, 0, &len), -ENODATA);
	ck_assert_int_eq(drop(&b, "user.a"), -ENODATA);
	ck_assert_int_eq(set(&b, "user.a", 1, 10, 0), 0);
	ck_assert_int_eq(set(&b, "user.empty", 1, 0, 0), 0);
	ck_assert(xattr_any(b.i) && !b.i->xattr_object);
	has(&b, "user.a", 1, 10);
	has(&b, "user.empty", 1, 0);
	ck_assert_int_eq(xattr_list(b.i, list, sizeof list, &len), 0);
	ck_assert_uint_eq(len, 18);
	ck_assert_int_eq(xattr_list(b.i, list, 17, &len), -ERANGE);
	/* Exactly what fits inline: 232 bytes with 6 for each and the names. */
	size_t room = INODE_INLINE - (6 + 6 + 10) - (6 + 10) - (6 + 6);
	ck_assert_int_eq(set(&b, "user.b", 2, room, 0), 0);
	ck_assert(!b.i->xattr_object);
	ck_assert_uint_eq(b.i->xattr_inline_len, INODE_INLINE);
	reopen(&b);
	has(&b, "user.b", 2, room);
	has(&b, "user.a", 1, 10);
	ck_assert_int_eq(set(&b, "user.b", 3, room + 1, 0), 0);
	ck_assert(b.i->xattr_object);
	ck_assert_uint_eq(b.i->xattr_inline_len, 0);
	uint64_t object = b.i->xattr.object;
	has(&b, "user.b", 3, room + 1);
	reopen(&b);
	has(&b, "user.b", 3, room + 1);
	has(&b, "user.empty", 1, 0);
	/* Each change of a list makes a new object: no page of the old one is written over. */
	ck_assert_int_eq(set(&b, "user.b", 4, 6000, XATTR_REPLACE), 0);
	ck_assert_uint_ne(b.i->xattr.object, object);
	has(&b, "user.b", 4, 6000);
	reopen(&b);
	has(&b, "user.b", 4, 6000);
	/* And back. */
	ck_assert_int_eq(drop(&b, "user.b"), 0);
	ck_assert(!b.i->xattr_object);
	has(&b, "user.a", 1, 10);
	reopen(&b);
	has(&b, "user.a", 1, 10);
	ck_assert_int_eq(drop(&b, "user.a"), 0);
	ck_assert_int_eq(drop(&b, "user.empty"), 0);
	ck_assert(!xattr_any(b.i));
	ck_assert(bytes_are_zero(b.i->inline_area, INODE_INLINE));
	bench_free(&b);
}
END_TEST

START_TEST(test_flags_and_limits)
{
	struct bench b;
	char name[300];
	unsigned n = 0;

	bench_new(&b);
	ck_assert_int_eq(set(&b, "user.a", 1, 1, XATTR_REPLACE), -ENODATA);
	ck_assert_int_eq(set(&b, "user.a", 1, 1, XATTR_CREATE), 0);
	ck_assert_int_eq(set(&b, "user.a", 2, 1, XATTR_CREATE), -EEXIST);
	has(&b, "user.a", 1, 1);
	ck_assert_int_eq(set(&b, "user.a", 3, 2, XATTR_REPLACE), 0);
	has(&b, "user.a", 3, 2);
	ck_assert_int_eq(set(&b, "", 1, 1, 0), -EINVAL);
	memset(name, 'n', 256);
	name[256] = '\0';
	ck_assert_int_eq(set(&b, name, 1, 1, 0), -ERANGE);
	name[255] = '\0';
	ck_assert_int_eq(set(&b, name, 1, 1, 0), 0);
	has(&b, name, 1, 1);
	ck_assert_int_eq(set(&b, "user.big", 7, FS_XATTR_VALUE_MAX + 1, 0), -E2BIG);
	ck_assert_int_eq(set(&b, "user.big", 7, FS_XATTR_VALUE_MAX, 0), 0);
	has(&b, "user.big", 7, FS_XATTR_VALUE_MAX);
	/* Until the list is full; then what is there stays as it was. */
	int err;
	do {
		sprintf(name, "user.x%u", n);
		err = set(&b, name, (uint8_t)n, FS_XATTR_VALUE_MAX, 0);
		n += !err;
	} while (!err);
	ck_assert_int_eq(err, -ENOSPC);
	ck_assert_uint_eq(n, XATTR_LIST_MAX / (FS_XATTR_VALUE_MAX + 6 + 7) - 1);
	reopen(&b);
	for (unsigned k = 0; k < n; k++) {
		sprintf(name, "user.x%u", k);
		has(&b, name, (uint8_t)k, FS_XATTR_VALUE_MAX);
	}
	has(&b, "user.a", 3, 2);
	ck_assert_int_eq(set(&b, "user.x0", 9, 1, 0), 0); /* smaller always fits */
	has(&b, "user.x0", 9, 1);
	bench_free(&b);
}
END_TEST

START_TEST(test_beside_symlink)
{
	struct bench b;

	/* The list shares the inline area with a symlink's target. */
	bench_new(&b);
	begin(&b);
	ck_assert_int_eq(inode_dirty(b.i), 0);
	b.i->mode = S_IFLNK | 0777;
	memset(b.i->inline_area, 't', 200);
	b.i->link_len = 200;
	b.i->link_inline = true;
	b.i->size = 200;
	end(&b);
	ck_assert_int_eq(set(&b, "user.a", 1, 20, 0), 0);
	ck_assert(!b.i->xattr_object);
	has(&b, "user.a", 1, 20);
	ck_assert_int_eq(set(&b, "user.a", 2, 21, 0), 0);
	ck_assert(b.i->xattr_object);
	reopen(&b);
	has(&b, "user.a", 2, 21);
	ck_assert_int_eq(set(&b, "user.a", 3, 5, 0), 0);
	ck_assert(!b.i->xattr_object);
	ck_assert_uint_eq(b.i->link_len, 200);
	for (unsigned k = 0; k < 200; k++)
		ck_assert_uint_eq(b.i->inline_area[k], 't');
	bench_free(&b);
}
END_TEST

/* Two attributes as doc/FORMAT section 5 writes them. */
static const uint8_t sound[] = "\6\0\3\0\0\0user.aabc\10\0\0\0\0\0user.two";
enum { SOUND = sizeof sound - 1 };

START_TEST(test_lists)
{
	static const struct {
		unsigned off;
		uint8_t value;
	} bad[] = { { 0, 0 }, { 0, 200 },  { 1, 1 }, { 2, 200 }, { 3, 1 },
		    { 4, 1 }, { 5, 0x80 }, { 6, 0 }, { 15, 9 },  { 16, 1 } };
	uint8_t list[SOUND];

	ck_assert_int_eq(xattr_check(sound, SOUND), 0);
	ck_assert_int_eq(xattr_check(sound, 0), 0);
	ck_assert_int_eq(xattr_check(sound, 15), 0); /* the first alone */
	for (size_t len = 1; len < SOUND; len++) {
		if (len == 15)
			continue;
		uint8_t *cut = malloc(len); /* of its own, so that a checker of memory sees the end */
		memcpy(cut, sound, len);
		ck_assert_msg(xattr_check(cut, len) == -EUCLEAN, "%zu bytes", len);
		free(cut);
	}
	for (unsigned k = 0; k < CL_ARRAY_LEN(bad); k++) {
		memcpy(list, sound, SOUND);
		list[bad[k].off] = bad[k].value;
		ck_assert_msg(xattr_check(list, SOUND) == -EUCLEAN, "%u: byte %u", k, bad[k].off);
	}
	/* Value length 65536 is the most. */
	size_t len = 6 + 1 + FS_XATTR_VALUE_MAX + 1;
	uint8_t *big = calloc(1, len);
	big[0] = 1;
	big[4] = 1;
	big[6] = 'n';
	ck_assert_int_eq(xattr_check(big, len - 1), 0);
	big[2] = 1;
	ck_assert_int_eq(xattr_check(big, len), -EUCLEAN);
	free(big);
}
END_TEST

/* A list in the inode that is malformed: an error, and nothing read behind it. */
START_TEST(test_malformed_inode)
{
	struct bench b;
	size_t len;

	bench_new(&b);
	ck_assert_int_eq(set(&b, "user.a", 1, 5, 0), 0);
	begin(&b);
	b.i->inline_area[2] = 200;
	end(&b);
	ck_assert_int_eq(xattr_get(b.i, "user.a", NULL, 0, &len), -EUCLEAN);
	ck_assert_int_eq(xattr_list(b.i, NULL, 0, &len), -EUCLEAN);
	ck_assert_int_eq(set(&b, "user.b", 1, 5, 0), -EUCLEAN);
	ck_assert_int_eq(drop(&b, "user.a"), -EUCLEAN);
	begin(&b);
	b.i->inline_area[2] = 5;
	end(&b);
	has(&b, "user.a", 1, 5);
	/* An object whose length is beyond all limits. */
	ck_assert_int_eq(set(&b, "user.a", 1, 1000, 0), 0);
	uint32_t right = b.i->xattr_len;
	b.i->xattr_len = XATTR_LIST_MAX + 1;
	ck_assert_int_eq(xattr_get(b.i, "user.a", NULL, 0, &len), -EUCLEAN);
	b.i->xattr_len = right + CL_PAGE; /* longer than what is stored: zeros are no attribute */
	ck_assert_int_eq(xattr_get(b.i, "user.a", NULL, 0, &len), -EUCLEAN);
	b.i->xattr_len = right;
	has(&b, "user.a", 1, 1000);
	bench_free(&b);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = { test_inline_and_object, test_flags_and_limits, test_beside_symlink, test_lists,
				       test_malformed_inode };

	return engine_run("xattr", tests, CL_ARRAY_LEN(tests));
}
