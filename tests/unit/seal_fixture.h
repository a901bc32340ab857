/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the unit tests of fs/seal.h share: the implementations there are, and a key, a source and a place to try. */
#ifndef CLOISON_TESTS_UNIT_SEAL_FIXTURE_H
#define CLOISON_TESTS_UNIT_SEAL_FIXTURE_H

#include "common/bytes.h"
#include "common/secret.h"
#include "fs/seal.h"

#include <check.h>
#include <openssl/rand.h>
#include <stdlib.h>

static const char *const names[] = { "openssl", "ipsec-mb" };
static const char *backends[CL_ARRAY_LEN(names)]; /* those that are there */
static int n_backends;

static inline void set_up(void)
{
	ck_assert_int_eq(seal_init(), 0);
	n_backends = 0;
	for (size_t i = 0; i < CL_ARRAY_LEN(names); i++)
		if (seal_force_backend(names[i]) == 0)
			backends[n_backends++] = names[i];
	ck_assert_int_ge(n_backends, 1);
}

static inline void tear_down(void)
{
	seal_done();
	ck_assert_uint_eq(secret_live(), 0);
}

static inline void use(const char *name)
{
	ck_assert_int_eq(seal_force_backend(name), 0);
	ck_assert_int_eq(strncmp(seal_backend(), name, strlen(name)), 0);
}

static inline void fill(void *p, size_t n)
{
	ck_assert_int_eq(RAND_bytes(p, (int)n), 1);
}

/* A key, a source and a place to try things with. */
struct bench {
	struct seal_key key;
	struct seal_source *source;
	struct seal_place place;
};

static inline void bench_new(struct bench *b)
{
	ck_assert_int_eq(seal_key_random(&b->key), 0);
	ck_assert_int_eq(seal_source_new(&b->source), 0);
	fill(&b->place, sizeof b->place);
	b->place.index &= UINT64_MAX >> 1;
}

static inline void bench_free(struct bench *b)
{
	seal_source_free(b->source);
	seal_key_wipe(&b->key);
	ck_assert(bytes_are_zero(&b->key, sizeof b->key));
}

static inline int run(const char *name, const TTest *const *tests, size_t n)
{
	Suite *s = suite_create(name);
	TCase *tc = tcase_create(name);
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_set_timeout(tc, 120); /* sanitizers and valgrind are slow */
	for (size_t i = 0; i < n; i++)
		tcase_add_test(tc, tests[i]);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
