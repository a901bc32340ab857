/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the unit tests of the engine's modules share: a store in memory, a compartment in it, and a runner. */
#ifndef CLOISON_TESTS_UNIT_ENGINE_FIXTURE_H
#define CLOISON_TESTS_UNIT_ENGINE_FIXTURE_H

#include "common/log.h"
#include "fs/comp.h"
#include "fs/txn.h"
#include "tests/model/memstore.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct engine {
	struct store *store;
	struct secret *key;
	struct fs_compartment fc;
	struct fs_config cfg;
	struct comp *c;
};

static inline void engine_quiet(enum log_level lvl CL_UNUSED, const char *line CL_UNUSED, void *arg CL_UNUSED)
{
}

static inline void engine_open(struct engine *e)
{
	struct fault f = { 0 };

	ck_assert_msg(comp_open(e->store, &e->fc, true, &e->cfg, &e->c, &f) == 0, "%s", f.text);
}

static inline void engine_new(struct engine *e)
{
	struct fault f = { 0 };

	memset(e, 0, sizeof *e);
	e->store = memstore_new();
	ck_assert_int_eq(secret_new_random(32, &e->key), 0);
	memset(e->fc.id, 0x21, sizeof e->fc.id);
	e->fc.key = e->key;
	e->cfg = (struct fs_config){ .cache_bytes = 256 * 1024, .journal_pages = 1024, .no_threads = true };
	ck_assert_msg(fs_format(e->store, &e->fc, 1, 0, 0, &e->cfg, &f) == 0, "%s", f.text);
	engine_open(e);
}

/* Everything through the disk. */
static inline void engine_reopen(struct engine *e)
{
	ck_assert_int_eq(comp_close(e->c), 0);
	engine_open(e);
}

static inline void engine_free(struct engine *e)
{
	ck_assert_int_eq(comp_close(e->c), 0);
	e->store->ops->free(e->store);
	secret_free(e->key);
}

/* A number that looks like chance and is the same every time. */
static inline uint64_t engine_rand(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static inline void engine_set_up(void)
{
	ck_assert_int_eq(seal_init(), 0);
	log_hook(engine_quiet, NULL);
}

static inline void engine_tear_down(void)
{
	log_hook(NULL, NULL);
	seal_done();
	ck_assert_uint_eq(secret_live(), 0);
}

static inline int engine_run(const char *name, const TTest *const *tests, size_t n)
{
	Suite *s = suite_create(name);
	TCase *tc = tcase_create(name);

	tcase_add_checked_fixture(tc, engine_set_up, engine_tear_down);
	tcase_set_timeout(tc, 120); /* sanitizers and valgrind are slow */
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
