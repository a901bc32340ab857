/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Unit tests of fs/store.h over a real directory: it does what it says, and nothing leads out of it or stops it. */
#include "fs/store.h"
#include "fs/store_dirty.h"

#include <check.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define SKIP 77

static char top[64], path[80];
static struct store *s;

static const char *at(const char *name)
{
	static char buf[4][256];
	static unsigned n;

	n = (n + 1) % 4;
	snprintf(buf[n], sizeof buf[n], "%s/%s", path, name);
	return buf[n];
}

static void put_file(const char *where, const char *text)
{
	FILE *f = fopen(where, "w");

	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	fclose(f);
}

static void set_up(void)
{
	strcpy(top, "/tmp/cloison-store-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(top));
	snprintf(path, sizeof path, "%s/in", top);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	ck_assert_int_eq(store_dir_open(path, &s), 0);
}

static void tear_down(void)
{
	char cmd[128];

	s->ops->free(s);
	snprintf(cmd, sizeof cmd, "rm -rf %s", top);
	ck_assert_int_eq(system(cmd), 0);
}

static int try_open(const char *name, int flags)
{
	struct store_file *f;
	int err = s->ops->open(s, name, flags, &f);

	if (!err)
		s->ops->close(s, f);
	return err;
}

START_TEST(test_files)
{
	struct store_file *f;
	char buf[20];
	size_t got = 99;
	uint64_t size;
	struct stat st;

	ck_assert_int_eq(try_open("a", STORE_RDONLY), -ENOENT);
	ck_assert_int_eq(try_open("a", STORE_RDWR), -ENOENT);
	ck_assert_int_eq(s->ops->open(s, "a", STORE_CREATE | STORE_EXCL, &f), 0);
	ck_assert_int_eq(stat(at("a"), &st), 0);
	ck_assert_uint_eq(st.st_mode, S_IFREG | 0600);
	ck_assert_int_eq(s->ops->pwrite(s, f, "hello world", 11, 5), 0);
	ck_assert_int_eq(s->ops->size(s, f, &size), 0);
	ck_assert_uint_eq(size, 16);
	ck_assert_int_eq(s->ops->pread(s, f, buf, sizeof buf, 0, &got), 0);
	ck_assert_uint_eq(got, 16);
	ck_assert_mem_eq(buf, "\0\0\0\0\0hello world", 16);
	ck_assert_int_eq(s->ops->pread(s, f, buf, sizeof buf, 16, &got), 0);
	ck_assert_uint_eq(got, 0);
	struct iovec iov[3] = { { (char[]){ "ab" }, 2 }, { (char[]){ "" }, 0 }, { (char[]){ "cde" }, 3 } };
	ck_assert_int_eq(s->ops->pwritev(s, f, iov, 3, 14), 0);
	ck_assert_int_eq(s->ops->pread(s, f, buf, sizeof buf, 10, &got), 0);
	ck_assert_uint_eq(got, 9);
	ck_assert_mem_eq(buf, " worabcde", 9);
	ck_assert_int_eq(s->ops->truncate(s, f, 7), 0);
	ck_assert_int_eq(s->ops->size(s, f, &size), 0);
	ck_assert_uint_eq(size, 7);
	ck_assert_int_eq(s->ops->sync(s, f), 0);
	s->ops->close(s, f);
	ck_assert_int_eq(try_open("a", STORE_CREATE | STORE_EXCL), -EEXIST);
	ck_assert_int_eq(try_open("a", STORE_CREATE), 0);
	ck_assert_int_eq(s->ops->rename(s, "a", "b"), 0);
	ck_assert_int_eq(try_open("a", STORE_RDONLY), -ENOENT);
	ck_assert_int_eq(s->ops->unlink(s, "b"), 0);
	ck_assert_int_eq(s->ops->unlink(s, "b"), -ENOENT);
	/* Read-only is read-only. */
	put_file(at("r"), "text");
	ck_assert_int_eq(s->ops->open(s, "r", STORE_RDONLY, &f), 0);
	ck_assert_int_lt(s->ops->pwrite(s, f, "x", 1, 0), 0);
	s->ops->close(s, f);
	ck_assert_int_eq(s->ops->sync_all(s), 0);
}
END_TEST

START_TEST(test_holes)
{
	struct store_file *f;
	static uint8_t page[CL_PAGE], buf[CL_PAGE];
	uint64_t size;
	size_t got;

	memset(page, 7, sizeof page);
	ck_assert_int_eq(s->ops->open(s, "a", STORE_CREATE, &f), 0);
	for (unsigned i = 0; i < 8; i++)
		ck_assert_int_eq(s->ops->pwrite(s, f, page, sizeof page, (uint64_t)i * CL_PAGE), 0);
	int err = s->ops->punch(s, f, 2 * CL_PAGE, 3 * CL_PAGE);
	ck_assert_msg(err == 0 || err == -EOPNOTSUPP, "%d", err);
	for (unsigned i = 0; i < 8; i++) {
		ck_assert_int_eq(s->ops->pread(s, f, buf, sizeof buf, (uint64_t)i * CL_PAGE, &got), 0);
		ck_assert_uint_eq(got, sizeof buf);
		ck_assert_uint_eq(buf[100], !err && i >= 2 && i < 5 ? 0 : 7);
	}
	/* Both keep the size. */
	err = s->ops->allocate(s, f, 100 * CL_PAGE, CL_PAGE);
	ck_assert_msg(err == 0 || err == -EOPNOTSUPP, "%d", err);
	ck_assert_int_eq(s->ops->size(s, f, &size), 0);
	ck_assert_uint_eq(size, 8 * CL_PAGE);
	s->ops->close(s, f);
}
END_TEST

static int count_entry(void *arg, const char *name, bool is_dir)
{
	unsigned *n = arg;

	ck_assert_msg(is_dir == (*name == 'd'), "%s", name);
	return ++*n == 3 ? -ECANCELED : 0;
}

START_TEST(test_folders)
{
	struct store *sub;
	struct stat st;
	unsigned n = 0;

	ck_assert_int_eq(s->ops->mkdir(s, "d1"), 0);
	ck_assert_int_eq(s->ops->mkdir(s, "d1"), -EEXIST);
	ck_assert_int_eq(stat(at("d1"), &st), 0);
	ck_assert_uint_eq(st.st_mode, S_IFDIR | 0700);
	ck_assert_int_eq(try_open("d1/f", STORE_CREATE), 0);
	ck_assert_int_eq(s->ops->rmdir(s, "d1"), -ENOTEMPTY);
	ck_assert_int_eq(s->ops->mkdir(s, "d1/d2"), 0);
	ck_assert_int_eq(s->ops->list(s, "d1", count_entry, &n), 0);
	ck_assert_uint_eq(n, 2);
	ck_assert_int_eq(try_open("d1/g", STORE_CREATE), 0);
	n = 0;
	ck_assert_int_eq(s->ops->list(s, "d1", count_entry, &n), -ECANCELED);
	ck_assert_int_eq(s->ops->list(s, "nowhere", count_entry, &n), -ENOENT);
	ck_assert_int_eq(s->ops->sync_dir(s, "d1"), 0);
	ck_assert_int_eq(s->ops->sync_dir(s, "."), 0);
	ck_assert_int_eq(s->ops->sync_dir(s, "nowhere"), -ENOENT);
	ck_assert_int_eq(s->ops->sub(s, "d1", &sub), 0);
	ck_assert_int_eq(sub->ops->unlink(sub, "f"), 0);
	ck_assert_int_eq(sub->ops->rename(sub, "g", "d2/g"), 0);
	struct store_file *f;
	ck_assert_int_eq(sub->ops->open(sub, "../outside", STORE_CREATE, &f), -EUCLEAN);
	sub->ops->free(sub);
	ck_assert_int_eq(try_open("d1/d2/g", STORE_RDONLY), 0);
	ck_assert_int_eq(s->ops->sub(s, "nowhere", &sub), -ENOENT);
	struct store_space space;
	ck_assert_int_eq(s->ops->space(s, &space), 0);
	ck_assert_uint_gt(space.block, 0);
	ck_assert_uint_ge(space.blocks, space.bfree);
}
END_TEST

/* Whatever stands in the place of a file, opening it is refused at once. */
static void refused(const char *name)
{
	static const int flags[] = { STORE_RDONLY, STORE_RDWR, STORE_CREATE, STORE_RDWR | STORE_DIRECT };

	for (unsigned i = 0; i < CL_ARRAY_LEN(flags); i++) {
		alarm(5); /* who waits here is killed, and the test fails */
		int err = try_open(name, flags[i]);
		alarm(0);
		ck_assert_msg(err == -EUCLEAN, "%s, flags %d: %d", name, flags[i], err);
	}
}

START_TEST(test_confined)
{
	char outside[128];
	struct store *sub;
	unsigned n = 0;
	struct stat st;

	snprintf(outside, sizeof outside, "%s/outside", top);
	put_file(outside, "secret");
	ck_assert_int_eq(symlink(outside, at("absolute")), 0);
	ck_assert_int_eq(symlink("../outside", at("relative")), 0);
	put_file(at("inside"), "plain");
	ck_assert_int_eq(symlink("inside", at("harmless")), 0);
	ck_assert_int_eq(symlink("nothing", at("dangling")), 0);
	ck_assert_int_eq(symlink("/proc/self/fd/0", at("magic")), 0);
	refused("absolute");
	refused("relative");
	refused("harmless");
	refused("dangling");
	refused("magic");
	refused("../outside");
	refused(outside);
	ck_assert_int_eq(stat(at("nothing"), &st), -1); /* nothing was made through the dangling one */
	/* A folder on the way that leads out. */
	ck_assert_int_eq(symlink(top, at("up")), 0);
	refused("up/outside");
	ck_assert_int_eq(s->ops->mkdir(s, "up/made"), -EUCLEAN);
	ck_assert_int_eq(s->ops->unlink(s, "up/outside"), -EUCLEAN);
	ck_assert_int_eq(s->ops->rmdir(s, "up/in"), -EUCLEAN);
	ck_assert_int_eq(s->ops->rename(s, "up/outside", "stolen"), -EUCLEAN);
	ck_assert_int_eq(s->ops->rename(s, "inside", "up/given"), -EUCLEAN);
	ck_assert_int_eq(s->ops->sync_dir(s, "up"), -EUCLEAN);
	ck_assert_int_eq(s->ops->list(s, "up", count_entry, &n), -EUCLEAN);
	ck_assert_int_eq(s->ops->sub(s, "up", &sub), -EUCLEAN);
	ck_assert_int_eq(s->ops->sub(s, "..", &sub), -EUCLEAN);
	ck_assert_int_eq(s->ops->sub(s, "/", &sub), -EUCLEAN);
	ck_assert_int_eq(stat(outside, &st), 0);
	ck_assert_int_eq(st.st_size, 6);
	/* Removing a link removes the link. */
	ck_assert_int_eq(s->ops->unlink(s, "absolute"), 0);
	ck_assert_int_eq(stat(outside, &st), 0);
}
END_TEST

START_TEST(test_last_part)
{
	struct stat st;

	/* "..", as the last part of a name of what is made, moved or removed, is resolved by no openat2. */
	ck_assert_int_eq(s->ops->mkdir(s, "d"), 0);
	ck_assert_int_eq(s->ops->mkdir(s, ".."), -EEXIST);
	ck_assert_int_lt(s->ops->unlink(s, ".."), 0);
	ck_assert_int_lt(s->ops->rmdir(s, ".."), 0);
	ck_assert_int_lt(s->ops->rmdir(s, "d/.."), 0);
	ck_assert_int_lt(s->ops->rename(s, "d", ".."), 0);
	ck_assert_int_lt(s->ops->rename(s, "..", "d/x"), 0);
	ck_assert_int_eq(stat(at("d"), &st), 0);
}
END_TEST

START_TEST(test_odd_things)
{
	struct store *sub;

	ck_assert_int_eq(mkfifo(at("fifo"), 0600), 0);
	ck_assert_int_eq(mkdir(at("dir"), 0700), 0);
	put_file(at("one"), "text");
	ck_assert_int_eq(link(at("one"), at("two")), 0);
	refused("fifo");
	refused("dir");
	refused("one");
	refused("two");
	ck_assert_int_eq(s->ops->sub(s, "fifo", &sub), -EUCLEAN);
	if (mknod(at("device"), S_IFCHR | 0600, makedev(1, 3)) == 0)
		refused("device");
	/* With its second name gone it is a plain file again. */
	ck_assert_int_eq(unlink(at("two")), 0);
	ck_assert_int_eq(try_open("one", STORE_RDWR), 0);
	/* A file in the place of a folder. */
	refused("one/x");
	ck_assert_int_eq(s->ops->sub(s, "one", &sub), -EUCLEAN);
}
END_TEST

START_TEST(test_lock)
{
	struct store_file *a, *b;

	ck_assert_int_eq(s->ops->open(s, "lease", STORE_CREATE, &a), 0);
	ck_assert_int_eq(s->ops->open(s, "lease", STORE_RDWR, &b), 0);
	ck_assert_int_eq(s->ops->lock(s, a, STORE_EXCLUSIVE), 0);
	ck_assert_int_eq(s->ops->lock(s, b, STORE_EXCLUSIVE), -EAGAIN);
	ck_assert_int_eq(s->ops->lock(s, b, STORE_SHARED), -EAGAIN);
	ck_assert_int_eq(s->ops->lock(s, a, STORE_SHARED), 0);
	ck_assert_int_eq(s->ops->lock(s, b, STORE_SHARED), 0);
	ck_assert_int_eq(s->ops->lock(s, b, STORE_EXCLUSIVE), -EAGAIN);
	ck_assert_int_eq(s->ops->lock(s, a, STORE_UNLOCK), 0);
	ck_assert_int_eq(s->ops->lock(s, b, STORE_EXCLUSIVE), 0);
	s->ops->close(s, b); /* a lock ends with its file */
	ck_assert_int_eq(s->ops->lock(s, a, STORE_EXCLUSIVE), 0);
	s->ops->close(s, a);
}
END_TEST

START_TEST(test_open_dir)
{
	struct store *t;

	ck_assert_int_eq(store_dir_open(at("nowhere"), &t), -ENOENT);
	put_file(at("file"), "");
	ck_assert_int_eq(store_dir_open(at("file"), &t), -ENOTDIR);
	ck_assert_int_ge(store_dir_fd(s), 0);
	struct store other = { 0 };
	ck_assert_int_eq(store_dir_fd(&other), -EINVAL);
}
END_TEST

/* What was asked to be synced, one letter each in the order of the alphabet; a capital for a folder. */
struct asked {
	char names[8];
	const char *fails;
	struct store_dirty *dirty;
};

static int ask(void *arg, const char *name, bool folder)
{
	struct asked *a = arg;
	size_t n = strlen(a->names);

	if (a->fails && !strcmp(a->fails, name))
		return -EIO;
	a->names[n] = (char)(folder ? *name - 'a' + 'A' : *name);
	/* Somebody writes while it is being synced. */
	if (a->dirty && *name == 'b')
		ck_assert_int_eq(store_dirty_add(a->dirty, "b", false), 0);
	return 0;
}

START_TEST(test_dirty)
{
	struct store_dirty *d;
	struct asked a = { "", NULL, NULL };

	ck_assert_int_eq(store_dirty_new(&d), 0);
	ck_assert_int_eq(store_dirty_sync(d, ask, &a), 0);
	ck_assert_str_eq(a.names, "");
	ck_assert_int_eq(store_dirty_add(d, "b", false), 0);
	ck_assert_int_eq(store_dirty_add(d, "b", false), 0);
	ck_assert_int_eq(store_dirty_add(d, "x", true), 0);
	a.fails = "x";
	ck_assert_int_eq(store_dirty_sync(d, ask, &a), -EIO);
	ck_assert_ptr_null(strchr(a.names, 'X'));
	/* What failed is asked for again, what did not is not. */
	a = (struct asked){ "", NULL, d };
	store_dirty_forget(d, "b");
	ck_assert_int_eq(store_dirty_add(d, "b", false), 0);
	ck_assert_int_eq(store_dirty_sync(d, ask, &a), 0);
	ck_assert(!strcmp(a.names, "bX") || !strcmp(a.names, "Xb"));
	/* What was written while it was synced is not forgotten; by hand the same. */
	a = (struct asked){ "", NULL, NULL };
	uint64_t mark = store_dirty_mark(d, "b");
	ck_assert_uint_ne(mark, 0);
	ck_assert_int_eq(store_dirty_add(d, "b", false), 0);
	store_dirty_done(d, "b", mark);
	ck_assert_int_eq(store_dirty_sync(d, ask, &a), 0);
	ck_assert_str_eq(a.names, "b");
	ck_assert_uint_eq(store_dirty_mark(d, "b"), 0);
	ck_assert_int_eq(store_dirty_add(d, "c", false), 0);
	store_dirty_done(d, "c", store_dirty_mark(d, "c"));
	ck_assert_uint_eq(store_dirty_mark(d, "c"), 0);
	/* Many, in one chain too. */
	for (unsigned i = 0; i < 5000; i++) {
		char name[8];
		snprintf(name, sizeof name, "%u", i);
		ck_assert_int_eq(store_dirty_add(d, name, false), 0);
	}
	for (unsigned i = 0; i < 5000; i += 2) {
		char name[8];
		snprintf(name, sizeof name, "%u", i);
		store_dirty_forget(d, name);
		ck_assert_uint_eq(store_dirty_mark(d, name), 0);
	}
	ck_assert_uint_ne(store_dirty_mark(d, "4999"), 0);
	store_dirty_free(d);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = { test_files,     test_holes,      test_folders, test_confined,
				       test_last_part, test_odd_things, test_lock,    test_open_dir, test_dirty };
	struct open_how how = { .flags = O_RDONLY };

	if (syscall(SYS_openat2, AT_FDCWD, ".", &how, sizeof how) < 0 && errno == ENOSYS) {
		puts("SKIP: no openat2(2) here");
		return SKIP;
	}
	Suite *suite = suite_create("store");
	TCase *tc = tcase_create("store");
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_set_timeout(tc, 60);
	for (size_t i = 0; i < CL_ARRAY_LEN(tests); i++)
		tcase_add_test(tc, tests[i]);
	suite_add_tcase(suite, tc);
	SRunner *sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
