/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the unit tests of fs_check share: a small volume of two labels, ways to damage it, and what the check said. */
#ifndef CLOISON_TESTS_UNIT_CHECK_FIXTURE_H
#define CLOISON_TESTS_UNIT_CHECK_FIXTURE_H

#include "common/log.h"
#include "fs/comp.h"
#include "fs/dir.h"
#include "fs/fs.h"
#include "fs/txn.h"

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FINDINGS_MAX = 64 };

struct finding {
	char path[600], text[600];
	bool fixed;
};

struct volume {
	char dir[64];
	struct store *store;
	struct secret *keys[2];
	struct fs_compartment c[2];
	struct fs_config cfg;
	struct fs *fs; /* while it is open */
	struct fs_check check;
	struct finding found[FINDINGS_MAX];
	size_t n;
	uint64_t done, all; /* progress, as told last */
	unsigned steps;
	struct fault f;
};

static inline void quiet(enum log_level lvl CL_UNUSED, const char *line CL_UNUSED, void *arg CL_UNUSED)
{
}

static inline void on_finding(void *arg, const char *path, const char *text, bool fixed)
{
	struct volume *v = arg;

	ck_assert_uint_lt(v->n, FINDINGS_MAX);
	snprintf(v->found[v->n].path, sizeof v->found[0].path, "%s", path);
	snprintf(v->found[v->n].text, sizeof v->found[0].text, "%s", text);
	v->found[v->n++].fixed = fixed;
}

static inline void on_pages(void *arg, uint64_t done, uint64_t all)
{
	struct volume *v = arg;

	ck_assert_uint_ge(done, v->done);
	ck_assert_uint_ge(all, v->all);
	ck_assert_uint_le(done, all);
	v->done = done;
	v->all = all;
	v->steps++;
}

/* pages: of the journal; parent: where its directory is made. */
static inline struct volume *volume_new_in(const char *parent, uint32_t pages)
{
	struct volume *v = calloc(1, sizeof *v);

	ck_assert_ptr_nonnull(v);
	log_hook(quiet, NULL);
	ck_assert_int_eq(seal_init(), 0);
	snprintf(v->dir, sizeof v->dir, "%s/cloison-check-XXXXXX", parent);
	ck_assert_ptr_nonnull(mkdtemp(v->dir));
	ck_assert_int_eq(store_dir_open(v->dir, &v->store), 0);
	v->cfg = (struct fs_config){ .no_threads = true, .journal_pages = pages };
	for (unsigned i = 0; i < 2; i++) {
		ck_assert_int_eq(secret_new_random(32, &v->keys[i]), 0);
		v->c[i] = (struct fs_compartment){ .rank = i, .dir = i ? "upper" : NULL, .key = v->keys[i] };
		memset(v->c[i].id, 0xa0 + (int)i, 16);
	}
	ck_assert_msg(!fs_format(v->store, v->c, 2, 0, 0, &v->cfg, &v->f), "%s", v->f.text);
	return v;
}

static inline struct volume *volume_new(void)
{
	return volume_new_in("/tmp", 1024);
}

static inline void volume_free(struct volume *v)
{
	char cmd[96];

	v->store->ops->free(v->store);
	for (unsigned i = 0; i < 2; i++)
		secret_free(v->keys[i]);
	snprintf(cmd, sizeof cmd, "rm -r %s", v->dir);
	ck_assert_int_eq(system(cmd), 0);
	free(v);
	seal_done();
	log_hook(NULL, NULL);
	ck_assert_uint_eq(secret_live(), 0);
}

/* Opens for writing as rank 0 or 1. */
static inline void volume_open(struct volume *v, size_t rank)
{
	ck_assert_msg(!fs_open(v->store, v->c, rank + 1, &v->cfg, &v->fs, &v->f), "%s", v->f.text);
}

static inline void volume_close(struct volume *v)
{
	ck_assert_int_eq(fs_close(v->fs), 0);
	v->fs = NULL;
}

static inline uint64_t make(struct volume *v, uint64_t dir, const char *name, uint32_t mode, const char *target)
{
	const struct fs_cred cred = { 0, 0, 022 };
	struct fs_attr a;

	ck_assert_int_eq(fs_make(v->fs, dir, name, mode, target, &cred, &a), 0);
	fs_forget(v->fs, a.ino, 1);
	return a.ino;
}

static inline void put(struct volume *v, uint64_t ino, uint64_t off, size_t n)
{
	char *buf = malloc(n);

	ck_assert_ptr_nonnull(buf);
	for (size_t i = 0; i < n; i++)
		buf[i] = (char)(i * 7 + i / 4096 + 1);
	ck_assert_int_eq(fs_write(v->fs, ino, buf, n, off, 0), (ssize_t)n);
	free(buf);
}

/* Path in the backing directory: below the folder of compartment rank. */
static inline const char *lower(const struct volume *v, unsigned rank, const char *name)
{
	static char path[256];
	char id[33];

	bytes_to_hex(v->c[rank].id, 16, id);
	snprintf(path, sizeof path, "%s/%s/%s", v->dir, id, name);
	return path;
}

/* The name of an object's lower file in its compartment. */
static inline const char *object_file(uint64_t object)
{
	static char name[STORE_NAME_MAX];

	pageio_name(object, 0, name);
	return name;
}

static inline void flip(const char *path, uint64_t off)
{
	uint8_t b;
	int fd = open(path, O_RDWR);

	ck_assert_msg(fd >= 0, "%s", path);
	ck_assert_int_eq(pread(fd, &b, 1, (off_t)off), 1);
	b ^= 0x10;
	ck_assert_int_eq(pwrite(fd, &b, 1, (off_t)off), 1);
	close(fd);
}

/* A compartment by itself, for what the public face does not let one do. */
static inline struct comp *inside(struct volume *v, unsigned rank)
{
	struct comp *c;

	ck_assert_msg(!comp_open(v->store, &v->c[rank], true, &v->cfg, &c, &v->f), "%s", v->f.text);
	ck_assert_int_eq(txn_begin(c), 0);
	return c;
}

static inline void leave(struct comp *c)
{
	txn_end(c);
	ck_assert_int_eq(comp_close(c), 0);
}

/* An inode that is about to be changed. */
static inline struct inode *take(struct comp *c, uint64_t ino)
{
	struct inode *i;

	ck_assert_int_eq(inode_get(c, ino & 0xffffffffffff, &i), 0);
	ck_assert_int_eq(inode_dirty(i), 0);
	if (S_ISDIR(i->mode))
		ck_assert_int_eq(dir_load(i), 0);
	return i;
}

/* Object number of an inode's contents, or of its attribute list. */
static inline uint64_t object_of(struct volume *v, unsigned rank, uint64_t ino, bool xattr)
{
	struct fs_config cfg = v->cfg;
	struct comp *c;
	struct inode *i;

	cfg.read_only = true;
	ck_assert_msg(!comp_open(v->store, &v->c[rank], false, &cfg, &c, &v->f), "%s", v->f.text);
	ck_assert_int_eq(inode_get(c, ino & 0xffffffffffff, &i), 0);
	uint64_t object = xattr ? i->xattr.object : i->data.object;
	inode_put(i);
	comp_free(c);
	return object;
}

static inline int check_volume(struct volume *v, bool replay)
{
	v->check = (struct fs_check){ .replay = replay, .report = on_finding, .progress = on_pages, .arg = v };
	v->n = 0;
	v->done = v->all = 0;
	v->steps = 0;
	v->f = (struct fault){ 0 };
	return fs_check(v->store, v->c, 2, &v->cfg, &v->check, &v->f);
}

static inline int repair_volume(struct volume *v, enum fs_repair level)
{
	v->check = (struct fs_check){ .replay = true, .repair = level, .report = on_finding, .arg = v };
	v->n = 0;
	v->f = (struct fault){ 0 };
	return fs_check(v->store, v->c, 2, &v->cfg, &v->check, &v->f);
}

static inline const struct finding *find(const struct volume *v, const char *path, const char *text)
{
	for (size_t i = 0; i < v->n; i++)
		if (!strcmp(v->found[i].path, path) && strstr(v->found[i].text, text))
			return &v->found[i];
	return NULL;
}

static inline void show(const struct volume *v)
{
	for (size_t i = 0; i < v->n; i++)
		fprintf(stderr, "  [%s] %s%s\n", v->found[i].path, v->found[i].text,
			v->found[i].fixed ? " (fixed)" : "");
}

static inline void expect(const struct volume *v, const char *path, const char *text)
{
	if (!find(v, path, text))
		show(v);
	ck_assert_msg(find(v, path, text) != NULL, "no finding for %s that says: %s", path, text);
}

/* The check is done, has so many errors and corrections, and nothing else is told. */
static inline void verdict(struct volume *v, bool replay, uint64_t errors, uint64_t fixed)
{
	int err = check_volume(v, replay);

	ck_assert_msg(err == 0, "%s", v->f.text);
	if (v->check.ret_errors != errors || v->check.ret_fixed != fixed)
		show(v);
	ck_assert_uint_eq(v->check.ret_errors, errors);
	ck_assert_uint_eq(v->check.ret_fixed, fixed);
}

/* False where there is no openat2(2), which the store is built on: valgrind does not know it. */
static inline bool has_store(void)
{
	struct store *s, *sub;

	if (store_dir_open("/tmp", &s))
		return false;
	int err = s->ops->sub(s, ".", &sub);
	if (!err)
		sub->ops->free(sub);
	s->ops->free(s);
	return err != -ENOSYS;
}

static inline int run_tests(const char *name, const TTest *const *tests, size_t n)
{
	if (!has_store()) {
		printf("%s: SKIP: there is no openat2(2)\n", name);
		return 77; /* Automake: skipped */
	}
	Suite *s = suite_create(name);
	TCase *tc = tcase_create(name);

	tcase_set_timeout(tc, 300); /* sanitizers and valgrind are slow */
	for (size_t i = 0; i < n; i++)
		tcase_add_test(tc, tests[i]);
	suite_add_tcase(s, tc);
	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
