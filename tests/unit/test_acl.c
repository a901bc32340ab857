/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Unit tests of fs/acl.c: rules of acl(5), malformed attributes. */
#include "fs/acl.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NONE 0xffffffffu
enum { UO = 1, U = 2, GO = 4, G = 8, M = 16, O = 32 };

struct entry {
	unsigned tag, perm;
	uint32_t id;
};

static size_t put(uint8_t *out, const struct entry *e, size_t n)
{
	memcpy(out, "\2\0\0\0", 4);
	for (size_t i = 0; i < n; i++, e++) {
		uint8_t *p = out + 4 + 8 * i;
		p[0] = (uint8_t)e->tag;
		p[1] = (uint8_t)(e->tag >> 8);
		p[2] = (uint8_t)e->perm;
		p[3] = (uint8_t)(e->perm >> 8);
		for (unsigned k = 0; k < 4; k++)
			p[4 + k] = (uint8_t)(e->id >> (8 * k));
	}
	return 4 + 8 * n;
}

#define LIST(...) ((const struct entry[]){ __VA_ARGS__ })
#define PUT(buf, ...) put((buf), LIST(__VA_ARGS__), CL_ARRAY_LEN(LIST(__VA_ARGS__)))
#define PERM(buf, i) ((buf)[4 + 8 * (i) + 2])

START_TEST(test_check_accepts)
{
	uint8_t b[256];
	ck_assert_int_eq(acl_check_xattr(b, PUT(b, { UO, 7, NONE }, { GO, 5, NONE }, { O, 0, NONE })), 0);
	ck_assert_int_eq(acl_check_xattr(b, PUT(b, { UO, 6, NONE }, { GO, 4, NONE }, { M, 4, NONE }, { O, 4, NONE })), 0);
	ck_assert_int_eq(acl_check_xattr(b, PUT(b, { UO, 6, NONE }, { U, 6, 1000 }, { U, 4, 7 }, { GO, 4, NONE }, { G, 7, 0 },
					  { G, 1, 100 }, { M, 7, NONE }, { O, 4, NONE })), 0);
	/* The id of an entry that has none does not count. */
	ck_assert_int_eq(acl_check_xattr(b, PUT(b, { UO, 7, 5 }, { GO, 5, 6 }, { O, 0, 7 })), 0);
}
END_TEST

START_TEST(test_check_refuses)
{
	uint8_t b[256];
	size_t n = PUT(b, { UO, 7, NONE }, { GO, 5, NONE }, { O, 0, NONE });
	for (size_t cut = 0; cut < n; cut++)
		ck_assert_msg(acl_check_xattr(b, cut) == -EINVAL, "cut to %zu bytes", cut);
	b[0] = 1;
	ck_assert_int_eq(acl_check_xattr(b, n), -EOPNOTSUPP);
	b[0] = 2, b[3] = 1;
	ck_assert_int_eq(acl_check_xattr(b, n), -EOPNOTSUPP);

#define REFUSED(...) ck_assert_int_eq(acl_check_xattr(b, PUT(b, __VA_ARGS__)), -EINVAL)
	REFUSED({ UO, 8, NONE }, { GO, 5, NONE }, { O, 0, NONE });                                  /* no such permission */
	REFUSED({ UO, 0x107, NONE }, { GO, 5, NONE }, { O, 0, NONE });
	REFUSED({ UO, 7, NONE }, { GO, 5, NONE });                                                  /* no others */
	REFUSED({ GO, 5, NONE }, { O, 0, NONE });                                                   /* no owner */
	REFUSED({ UO, 7, NONE }, { O, 0, NONE });                                                   /* no group */
	REFUSED({ UO, 7, NONE }, { UO, 7, NONE }, { GO, 5, NONE }, { O, 0, NONE });                 /* two of them */
	REFUSED({ UO, 7, NONE }, { GO, 5, NONE }, { GO, 5, NONE }, { O, 0, NONE });
	REFUSED({ UO, 7, NONE }, { GO, 5, NONE }, { M, 5, NONE }, { M, 5, NONE }, { O, 0, NONE });
	REFUSED({ UO, 7, NONE }, { GO, 5, NONE }, { O, 0, NONE }, { O, 0, NONE });
	REFUSED({ UO, 7, NONE }, { U, 7, 1 }, { GO, 5, NONE }, { O, 0, NONE });                     /* named, no mask */
	REFUSED({ UO, 7, NONE }, { GO, 5, NONE }, { G, 5, 1 }, { O, 0, NONE });
	REFUSED({ UO, 7, NONE }, { GO, 5, NONE }, { U, 7, 1 }, { M, 7, NONE }, { O, 0, NONE });     /* order */
	REFUSED({ UO, 7, NONE }, { G, 7, 1 }, { GO, 5, NONE }, { M, 7, NONE }, { O, 0, NONE });
	REFUSED({ UO, 7, NONE }, { M, 7, NONE }, { GO, 5, NONE }, { O, 0, NONE });
	REFUSED({ UO, 7, NONE }, { GO, 5, NONE }, { M, 7, NONE }, { G, 5, 1 }, { O, 0, NONE });
	REFUSED({ UO, 7, NONE }, { GO, 5, NONE }, { O, 0, NONE }, { M, 7, NONE });
	REFUSED({ UO, 7, NONE }, { U, 7, NONE }, { GO, 5, NONE }, { M, 7, NONE }, { O, 0, NONE });  /* nobody */
	REFUSED({ UO, 7, NONE }, { GO, 5, NONE }, { G, 7, NONE }, { M, 7, NONE }, { O, 0, NONE });
	REFUSED({ UO, 7, NONE }, { GO, 5, NONE }, { 64, 7, NONE }, { O, 0, NONE });                 /* unknown tags */
	REFUSED({ UO, 7, NONE }, { GO, 5, NONE }, { 0, 7, NONE }, { O, 0, NONE });
	REFUSED({ UO, 7, NONE }, { GO, 5, NONE }, { 0x100 | M, 7, NONE }, { O, 0, NONE });

	uint32_t mode = 0644;
	n = PUT(b, { UO, 7, NONE }, { GO, 5, NONE });
	ck_assert_int_eq(acl_mode(b, n, &mode), -EINVAL);
	ck_assert_int_eq(acl_inherit(b, n, &mode), -EINVAL);
	ck_assert_int_eq(acl_chmod(b, n, 0), -EINVAL);
	ck_assert_uint_eq(mode, 0644);
}
END_TEST

START_TEST(test_mode)
{
	uint8_t b[256];
	uint32_t mode = 0102777;
	ck_assert_int_eq(acl_mode(b, PUT(b, { UO, 6, NONE }, { GO, 4, NONE }, { O, 1, NONE }), &mode), 0);
	ck_assert_uint_eq(mode, 0102641);
	/* The mask stands for the group; a mask alone is reason enough to keep the ACL. */
	ck_assert_int_eq(acl_mode(b, PUT(b, { UO, 7, NONE }, { GO, 7, NONE }, { M, 2, NONE }, { O, 0, NONE }), &mode), 1);
	ck_assert_uint_eq(mode, 0102720);
	mode = 04000;
	ck_assert_int_eq(acl_mode(b, PUT(b, { UO, 7, NONE }, { U, 7, 1 }, { GO, 1, NONE }, { G, 4, 2 }, { M, 6, NONE },
					 { O, 5, NONE }), &mode), 1);
	ck_assert_uint_eq(mode, 04765);
}
END_TEST

START_TEST(test_inherit)
{
	uint8_t b[256], c[256];
	/* A default ACL of three entries: mode & ACL, and the umask plays no part. */
	uint32_t mode = 0100666;
	size_t n = PUT(b, { UO, 7, NONE }, { GO, 5, NONE }, { O, 1, NONE });
	ck_assert_int_eq(acl_inherit(b, n, &mode), 0);
	ck_assert_uint_eq(mode, 0100640);

	/* With a mask, the mask is limited and the owning group's entry stays (acl(5), object creation). */
	mode = 0102640;
	n = PUT(b, { UO, 7, NONE }, { U, 7, 1000 }, { GO, 7, NONE }, { M, 7, NONE }, { O, 7, NONE });
	ck_assert_int_eq(acl_inherit(b, n, &mode), 1);
	ck_assert_uint_eq(mode, 0102640);
	n = PUT(c, { UO, 6, NONE }, { U, 7, 1000 }, { GO, 7, NONE }, { M, 4, NONE }, { O, 0, NONE });
	ck_assert_mem_eq(b, c, n);

	/* What the ACL does not grant, the mode does not get. */
	mode = 0777;
	n = PUT(b, { UO, 5, NONE }, { GO, 0, NONE }, { G, 7, 1 }, { M, 4, NONE }, { O, 2, NONE });
	memcpy(c, b, n);
	ck_assert_int_eq(acl_inherit(b, n, &mode), 1);
	ck_assert_uint_eq(mode, 0542);
	ck_assert_mem_eq(b, c, n);
}
END_TEST

START_TEST(test_chmod)
{
	uint8_t b[256], c[256];
	size_t n = PUT(b, { UO, 7, NONE }, { U, 3, 9 }, { GO, 5, NONE }, { M, 7, NONE }, { O, 7, NONE });
	ck_assert_int_eq(acl_chmod(b, n, 0104640), 0);
	PUT(c, { UO, 6, NONE }, { U, 3, 9 }, { GO, 5, NONE }, { M, 4, NONE }, { O, 0, NONE });
	ck_assert_mem_eq(b, c, n);
	/* No mask: the owning group gets the bits. */
	n = PUT(b, { UO, 7, NONE }, { GO, 5, NONE }, { O, 7, NONE });
	ck_assert_int_eq(acl_chmod(b, n, 0124), 0);
	ck_assert_uint_eq(PERM(b, 0), 1);
	ck_assert_uint_eq(PERM(b, 1), 2);
	ck_assert_uint_eq(PERM(b, 2), 4);
}
END_TEST

/* chmod, then mode, gives back what was set, whatever the ACL; inherit never grants more than either side. */
START_TEST(test_agree)
{
	uint8_t base[256], b[256];
	size_t n[2];
	for (unsigned masked = 0; masked < 2; masked++) {
		for (uint32_t mode = 0; mode <= 0777; mode++) {
			n[0] = PUT(base, { UO, 6, NONE }, { GO, 3, NONE }, { O, 5, NONE });
			n[1] = masked ? PUT(base, { UO, 6, NONE }, { U, 1, 4 }, { GO, 7, NONE }, { M, 3, NONE }, { O, 5, NONE }) : n[0];
			uint32_t got = 0;
			memcpy(b, base, n[masked]);
			ck_assert_int_eq(acl_chmod(b, n[masked], mode), 0);
			ck_assert_int_eq(acl_mode(b, n[masked], &got), (int)masked);
			ck_assert_uint_eq(got, mode);
			memcpy(b, base, n[masked]);
			got = mode;
			ck_assert_int_eq(acl_inherit(b, n[masked], &got), (int)masked);
			ck_assert_uint_eq(got, mode & 0635);
		}
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("acl");
	TCase *t = tcase_create("acl");
	tcase_add_test(t, test_check_accepts);
	tcase_add_test(t, test_check_refuses);
	tcase_add_test(t, test_mode);
	tcase_add_test(t, test_inherit);
	tcase_add_test(t, test_chmod);
	tcase_add_test(t, test_agree);
	suite_add_tcase(s, t);
	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
