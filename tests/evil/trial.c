/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Variants: opening, checking, complaining. */
#include "tests/evil/trial.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

unsigned long trial_failures;

void trial_fail(const char *fmt, ...)
{
	va_list ap;

	if (trial_failures++ >= 20)
		return;
	va_start(ap, fmt);
	fputs("FAILED: ", stdout);
	vprintf(fmt, ap);
	putchar('\n');
	va_end(ap);
	fflush(stdout);
}

uint64_t trial_rand(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

int trial_open(struct trial *t, const struct scene *s, struct image *im, enum trial_how how)
{
	const struct fs_config cfg = { .no_threads = true, .read_only = how <= TRIAL_PEEK, .cache_bytes = 1 << 20 };
	bool lower = how == TRIAL_LOWER || how == TRIAL_PEEK;

	*t = (struct trial){ .store = image_store(im) };
	int err = fs_open(t->store, s->comps, lower ? 1 : 2, &cfg, &t->fs, &t->why);
	if (err) {
		t->fs = NULL;
		t->store->ops->free(t->store);
		if (!t->why.text[0])
			trial_fail("refused without a sentence: %d", err);
	}
	return err;
}

int trial_close(struct trial *t)
{
	int err = fs_close(t->fs);

	t->store->ops->free(t->store);
	return err;
}

static void on_finding(void *arg, const char *path, const char *text, bool fixed)
{
	struct trial_check *c = arg;

	(void)fixed;
	if (path[0] && c->n < CL_ARRAY_LEN(c->paths))
		snprintf(c->paths[c->n++], sizeof c->paths[0], "%s", path);
	if (c->n_text < CL_ARRAY_LEN(c->text))
		snprintf(c->text[c->n_text++], sizeof c->text[0], "%s: %s", path, text);
}

void trial_fsck(const struct scene *s, struct image *im, struct trial_check *ret)
{
	const struct fs_config cfg = { .no_threads = true };
	struct store *store = image_store(im);
	struct fs_check check = { .report = on_finding, .arg = ret };
	struct fault f = { 0 };

	ret->n = ret->n_text = 0;
	ret->err = fs_check(store, s->comps, 2, &cfg, &check, &f);
	ret->errors = check.ret_errors;
	store->ops->free(store);
}

bool trial_names(const struct trial_check *c, const struct scene_state *state, size_t entry)
{
	for (size_t k = 0; k < c->n; k++)
		for (size_t i = 0; i < state->n; i++)
			if (state->e[i].attr.ino == state->e[entry].attr.ino && !strcmp(state->e[i].path, c->paths[k]))
				return true;
	return false;
}
