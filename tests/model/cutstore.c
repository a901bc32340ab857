/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A store that ends the process at a chosen call. */
#include "tests/model/cutstore.h"

#include <string.h>
#include <unistd.h>

static int before(void *arg, const struct wrap_call *call)
{
	struct cut *c = arg;

	if (!wrap_kind_changes(call->kind))
		return 0;
	if (call->kind == WRAP_PWRITE && !strcmp(call->name, "journal"))
		atomic_store(&c->journal, true);
	atomic_fetch_add(&c->done, 1);
	if (atomic_fetch_sub(&c->left, 1) != 1)
		return 0;
	if (call->kind == WRAP_PWRITE) {
		/* Torn: some sectors of it arrive. */
		size_t n = wrap_length(call) / 512 * (size_t)(atomic_load(&c->done) % 8) / 8 * 512;
		if (wrap_write_part(call, n))
			_exit(1);
	}
	_exit(CUT_EXIT);
}

struct store *cutstore_new(struct store *inner, struct cut *c)
{
	c->wrap = (struct wrap){ .before = before, .arg = c, .split = true };
	return wrapstore_new(inner, &c->wrap);
}
