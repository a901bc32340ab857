/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Data leaves: runs in and out. */
#include "fs/leaf.h"

#include "common/secret.h"

#include <stdlib.h>
#include <string.h>

#define SCRATCH_PAGES (LEAF_RUN + 16u)
#define PIECE 32u /* leaves read at a time: they are still in the core's cache when they are opened */

static pthread_key_t scratch_key;
static pthread_once_t scratch_once = PTHREAD_ONCE_INIT;
static int scratch_err;

static void make_scratch_key(void)
{
	scratch_err = pthread_key_create(&scratch_key, free);
}

uint8_t *leaf_scratch(void)
{
	pthread_once(&scratch_once, make_scratch_key);
	if (scratch_err)
		return NULL;
	uint8_t *p = pthread_getspecific(scratch_key);
	if (!p) {
		p = aligned_alloc(CL_PAGE, (size_t)SCRATCH_PAGES * CL_PAGE);
		if (p && pthread_setspecific(scratch_key, p)) {
			free(p);
			p = NULL;
		}
	}
	return p;
}

static void place_of(const struct tree *t, uint64_t index, struct seal_place *ret)
{
	memcpy(ret->compartment, t->io->id, 16);
	ret->object = t->object;
	ret->index = index;
	ret->level = 0;
}

/* One leaf whose ciphertext was read with others. */
static int open_leaf(struct tree *t, uint64_t leaf, const struct seal_ref *ref, const uint8_t *raw, bool mapped, uint8_t *out)
{
	uint8_t page[CL_PAGE] __attribute__((aligned(64)));
	struct seal_place place;

	place_of(t, leaf, &place);
	if (mapped && pagemap_read(t->io->map, t->object, pageio_lower_leaf(leaf), page))
		raw = page;
	int err = seal_open_page(&t->key, &place, ref, raw, out);
	/*
	 * The page may have come home between the look into the map and the read. Once more, in that order; if it is damage,
	 * this also tells the log.
	 */
	return err == -EBADMSG ? pageio_open(t->io, &t->key, &place, ref, out) : err;
}

static int open_alone(struct tree *t, uint64_t leaf, const struct seal_ref *ref, uint8_t *out)
{
	struct seal_place place;

	place_of(t, leaf, &place);
	return pageio_open(t->io, &t->key, &place, ref, out);
}

int leaf_read(struct tree *t, uint64_t first, uint32_t n, const struct seal_ref *refs, void *out)
{
	uint8_t *scratch = leaf_scratch();
	uint8_t *o = out;
	uint32_t from = 0, to = n;

	if (!scratch)
		return -ENOMEM;
	while (from < to && seal_ref_is_hole(&refs[from])) {
		memset(o + (size_t)from * CL_PAGE, 0, CL_PAGE);
		from++;
	}
	while (to > from && seal_ref_is_hole(&refs[to - 1])) {
		to--;
		memset(o + (size_t)to * CL_PAGE, 0, CL_PAGE);
	}
	if (from == to)
		return 0;
	bool mapped = pagemap_has_object(t->io->map, t->object);
	if (to - from == 1 && mapped)
		return open_alone(t, first + from, &refs[from], o + (size_t)from * CL_PAGE);
	int err = 0;
	for (uint32_t at = from, n_piece; at < to && !err; at += n_piece) {
		/* One read, index pages in between and all: they are few. */
		n_piece = CL_MIN(to - at, PIECE);
		uint64_t base = pageio_lower_leaf(first + at);
		uint64_t end = pageio_lower_leaf(first + at + n_piece - 1) + 1;
		bool whole = !pageio_read_raw(t->io, t->object, base, scratch, (size_t)(end - base));
		for (uint32_t i = at; i < at + n_piece && !err; i++) {
			if (seal_ref_is_hole(&refs[i]))
				memset(o + (size_t)i * CL_PAGE, 0, CL_PAGE);
			else if (!whole) /* a bad block, or no plain file: page by page, which also tells the log */
				err = open_alone(t, first + i, &refs[i], o + (size_t)i * CL_PAGE);
			else
				err = open_leaf(t, first + i, &refs[i],
						scratch + (size_t)(pageio_lower_leaf(first + i) - base) * CL_PAGE, mapped,
						o + (size_t)i * CL_PAGE);
		}
	}
	return err;
}

/* How many of n leaves lie one behind the other in the lower file. */
static uint32_t contiguous(uint64_t first, uint32_t n)
{
	uint64_t at = pageio_lower_leaf(first);
	uint32_t run = 1;

	while (run < n && pageio_lower_leaf(first + run) == at + run)
		run++;
	return run;
}

/* What a write got of the last blocks: nothing will refer to them, so nobody would ever find them again. */
static void give_back(struct tree *t, uint64_t first, uint32_t n)
{
	int err = 0;

	for (uint32_t i = 0, run; i < n && !err; i += run) {
		run = contiguous(first + i, n - i);
		err = pageio_punch(t->io, t->object, pageio_lower_leaf(first + i), run);
	}
}

int leaf_seal_home(struct tree *t, uint64_t first, uint32_t n, const void *plain, struct leaf_run *ret)
{
	struct seal_place place;
	uint8_t *scratch = leaf_scratch();

	if (!scratch)
		return -ENOMEM;
	ret->first = first;
	ret->n = n;
	ret->home = true;
	place_of(t, first, &place);
	int err = seal_pages(t->io->source, &t->key, &place, plain, scratch, ret->refs, n);
	for (uint32_t i = 0, run; i < n && !err; i += run) {
		run = contiguous(first + i, n - i);
		err = pageio_write_home(t->io, t->object, pageio_lower_leaf(first + i), scratch + (size_t)i * CL_PAGE, run);
	}
	if (err == -ENOSPC || err == -EDQUOT)
		give_back(t, first, n);
	return err;
}

int leaf_seal_running(struct tree *t, uint64_t first, uint32_t n, const void *plain, struct leaf_run *ret)
{
	struct seal_place place;
	int err = pagemap_get_bufs(t->io->map, ret->bufs, n);

	if (err)
		return err;
	ret->first = first;
	ret->n = n;
	ret->home = false;
	for (uint32_t i = 0; i < n && !err; i++) {
		place_of(t, first + i, &place);
		err = seal_pages(t->io->source, &t->key, &place, (const uint8_t *)plain + (size_t)i * CL_PAGE, ret->bufs[i]->data,
				 &ret->refs[i], 1);
	}
	if (err)
		pagemap_put_bufs(t->io->map, ret->bufs, n);
	return err;
}

int leaf_commit(struct tree *t, struct leaf_run *run, uint64_t *io_stored)
{
	if (run->home)
		return tree_set_refs(t, run->first, run->n, run->refs, true, NULL, io_stored);

	struct seal_ref old[LEAF_RUN];
	uint64_t pages[LEAF_RUN];
	uint64_t stored = *io_stored;
	int err = tree_set_refs(t, run->first, run->n, run->refs, false, old, &stored);
	if (!err) {
		for (uint32_t i = 0; i < run->n; i++)
			pages[i] = pageio_lower_leaf(run->first + i);
		err = pagemap_set_running(t->io->map, &t->run, t->object, pages, run->bufs, run->n);
		uint64_t back = 0;
		if (err && tree_set_refs(t, run->first, run->n, old, false, NULL, &back))
			err = -EIO; /* does not happen: the nodes are dirty, and so cached */
	}
	if (err)
		pagemap_put_bufs(t->io->map, run->bufs, run->n);
	else
		*io_stored = stored;
	return err;
}
