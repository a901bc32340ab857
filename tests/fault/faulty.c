/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Counts the calls of a store, and lets some fail. */
#include "tests/fault/faulty.h"

#include <stdio.h>
#include <string.h>

#define ALIKE_IN_ROW 8u

static bool is_hit(const struct faulty *f, const struct wrap_call *call)
{
	if (!f->fail_at || f->calls < f->fail_at)
		return false;
	return f->calls == f->fail_at || (f->from_then_on && f->hits && call->kind == f->kind);
}

static int before(void *arg, const struct wrap_call *call)
{
	struct faulty *f = arg;

	if (f->paused)
		return 0;
	/* Recovery reads the journal page by page, and tries to remove very many files that are not there: a few stand for all. */
	f->in_row = call->kind == f->last ? f->in_row + 1 : 0;
	f->last = call->kind;
	bool alike = call->kind == WRAP_UNLINK || (call->kind == WRAP_PREAD && !strcmp(call->name, "journal"));
	if (alike && f->in_row > ALIKE_IN_ROW)
		return 0;
	f->calls++;
	if (f->seen)
		f->seen(f->seen_arg, f->calls, call);
	if (!is_hit(f, call))
		return 0;
	if (!f->hits++) {
		f->kind = call->kind;
		snprintf(f->name, sizeof f->name, "%s", call->name);
	}
	if (call->kind == WRAP_PWRITE && f->part != FAULTY_NONE) {
		size_t n = wrap_length(call);
		int err = wrap_write_part(call, f->part == FAULTY_ALL ? n : n / 2 / 512 * 512);
		if (err)
			return err;
	}
	return -f->err;
}

struct store *faulty_new(struct store *inner, struct faulty *f)
{
	f->wrap = (struct wrap){ .before = before, .arg = f };
	return wrapstore_new(inner, &f->wrap);
}
