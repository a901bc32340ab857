/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Fuzz target: ACLs as programs give them and as they stand in attribute lists. Input: mode[2], ACL. */
#include "tests/fuzz/fuzz.h"

#include "fs/acl.h"

#include <stdlib.h>
#include <string.h>

static void run(const uint8_t *data, size_t len)
{
	struct fuzz_in in = { data, len };
	uint32_t asked = fuzz_u16(&in), mode = 0100000 | asked, same = mode;
	size_t n = in.n;
	uint8_t *acl = malloc(n + 1), *copy = malloc(n + 1); /* of their own, so that the sanitizer sees their ends */

	FUZZ_CHECK(acl && copy, "out of memory");
	if (n) {
		memcpy(acl, in.p, n);
		memcpy(copy, in.p, n);
	}
	int err = acl_check_xattr(acl, n), r = acl_mode(acl, n, &mode);
	FUZZ_ERROR(err, -EINVAL, -EOPNOTSUPP);
	if (err) {
		FUZZ_CHECK(r == err && mode == same, "acl_mode: %d", r);
		FUZZ_CHECK(acl_inherit(acl, n, &mode) == err && acl_chmod(acl, n, asked) == err && mode == same,
			   "another error");
		FUZZ_CHECK(!n || !memcmp(acl, copy, n), "changed in spite of an error");
		goto out;
	}
	FUZZ_CHECK(r == (n > 4 + 3 * 8), "acl_mode: %d for %zu bytes", r, n);
	FUZZ_CHECK((mode & ~0777u) == (same & ~0777u), "other bits of the mode changed");
	FUZZ_CHECK(!memcmp(acl, copy, n), "changed by who only looks");

	uint32_t granted = asked & 07777, shown = 0;
	FUZZ_CHECK(acl_inherit(acl, n, &granted) == r, "acl_inherit");
	FUZZ_CHECK((granted & ~asked) == 0, "more than was asked for");
	FUZZ_CHECK((granted & 0777 & ~mode) == 0, "more than the ACL grants");
	FUZZ_CHECK(acl_check_xattr(acl, n) == 0 && acl_mode(acl, n, &shown) == r && shown == (granted & 0777),
		   "not as inherited");

	FUZZ_OK(acl_chmod(acl, n, asked));
	shown = 0;
	FUZZ_CHECK(acl_check_xattr(acl, n) == 0 && acl_mode(acl, n, &shown) == r && shown == (asked & 0777),
		   "not as chmod says");
	/* Back again: named entries were never touched. */
	FUZZ_OK(acl_chmod(acl, n, mode));
	if (r == 0)
		FUZZ_CHECK(!memcmp(acl, copy, n), "chmod there and back");
out:
	free(acl);
	free(copy);
}

static void entry(struct fuzz_out *o, uint16_t tag, uint16_t perm, uint32_t id)
{
	fuzz_put_u16(o, tag);
	fuzz_put_u16(o, perm);
	fuzz_put_u16(o, (uint16_t)id);
	fuzz_put_u16(o, (uint16_t)(id >> 16));
}

static void seeds(fuzz_put_fn *put, void *arg)
{
	static const char *const names[] = { "minimal", "mask",     "named",    "two-masks",
					     "no-mask", "no-other", "bad-perm", "version" };

	for (unsigned k = 0; k < CL_ARRAY_LEN(names); k++) {
		struct fuzz_out o = { 0 };
		fuzz_put_u16(&o, 0640);
		fuzz_put_u16(&o, k == 7 ? 3 : 2);
		fuzz_put_u16(&o, 0);
		entry(&o, 1, 7, 0xffffffff);
		if (k >= 2)
			entry(&o, 2, 5, 1000);
		entry(&o, 4, 5, 0xffffffff);
		if (k >= 2)
			entry(&o, 8, k == 6 ? 9 : 4, 100);
		if (k && k != 4)
			entry(&o, 16, 6, 0xffffffff);
		if (k == 3)
			entry(&o, 16, 6, 0xffffffff);
		if (k != 5)
			entry(&o, 32, 4, 0xffffffff);
		put(arg, names[k], o.p, o.n);
	}
}

const struct fuzz_target fuzz_acl = { "acl", 4096, run, seeds };
