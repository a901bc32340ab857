/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Committed pages on their way home. */
#include "fs/home.h"

#include "fs/fresh.h"
#include "fs/room.h"
#include "fs/rule.h"

#include <stdlib.h>
#include <string.h>

#define HOME_RUN 64u /* pages written at a time */

static int by_place(const void *a, const void *b)
{
	const struct pagemap_page *x = a, *y = b;
	if (x->object != y->object)
		return x->object < y->object ? -1 : 1;
	return x->page < y->page ? -1 : x->page > y->page;
}

/* Pages on their way: the first n_home of them are there, those in away could not be written. */
struct homing {
	struct pagemap_page *pages;
	size_t n, n_home;
	struct pagemap_page *away;
	size_t n_objects; /* that have pages which are home */
	struct home *ret;
};

static int write_run(struct comp *c, const struct pagemap_page *p, size_t n, uint8_t *join)
{
	for (size_t k = 0; k < n && n > 1; k++)
		memcpy(join + k * CL_PAGE, p[k].buf->data, CL_PAGE);
	return pageio_write_home(&c->io, p->object, p->page, n > 1 ? join : p->buf->data, n);
}

static void sort_out(struct homing *h, size_t first, size_t n, int err)
{
	if (err) {
		h->ret->err = h->ret->err ? h->ret->err : err;
		memcpy(&h->away[h->ret->n_away], &h->pages[first], n * sizeof *h->away);
		h->ret->n_away += n;
		return;
	}
	h->n_objects += !h->n_home || h->pages[h->n_home - 1].object != h->pages[first].object;
	memmove(&h->pages[h->n_home], &h->pages[first], n * sizeof *h->pages);
	h->n_home += n;
}

/* One page that cannot be written holds up no other. */
static void bring_home(struct comp *c, struct homing *h, size_t first, size_t n, uint8_t *join)
{
	int err = write_run(c, &h->pages[first], n, join);

	if (!err || n == 1) {
		sort_out(h, first, n, err);
		return;
	}
	for (size_t i = first; i < first + n; i++)
		sort_out(h, i, 1, write_run(c, &h->pages[i], 1, join));
}

static int write_home(struct comp *c, struct homing *h)
{
	size_t max = pagemap_n_pending(c->io.map);

	if (!max)
		return 0;
	h->pages = malloc(max * sizeof *h->pages);
	h->away = malloc(max * sizeof *h->away);
	uint8_t *join = aligned_alloc(CL_PAGE, (size_t)HOME_RUN * CL_PAGE);
	int err = h->pages && h->away && join ? 0 : -ENOMEM;
	if (!err) {
		h->n = pagemap_take_pending(c->io.map, h->pages, max);
		qsort(h->pages, h->n, sizeof *h->pages, by_place);
	}
	for (size_t i = 0, run; i < h->n; i += run) {
		for (run = 1; i + run < h->n && run < HOME_RUN && h->pages[i + run].object == h->pages[i].object &&
			      h->pages[i + run].page == h->pages[i].page + run; run++)
			;
		bring_home(c, h, i, run, join);
	}
	free(join);
	return err;
}

/*
 * Object by object. One that had no room for what it took is away: all of it is written again the next time, and synced then. What else
 * was written to it since the last commit may be gone as well.
 */
static int sync_each(struct comp *c, struct homing *h)
{
	size_t n = h->n_home;
	int err = 0;

	h->n_home = 0;
	for (size_t i = 0, run; i < n; i += run) {
		for (run = 1; i + run < n && h->pages[i + run].object == h->pages[i].object; run++)
			;
		int e = err ? err : pageio_sync(&c->io, h->pages[i].object);
		if (room_is_error(e))
			fresh_doubt(c, h->pages[i].object, e);
		else
			err = e;
		sort_out(h, i, run, e);
	}
	return err;
}

/* Makes durable what is home. Room that was not there after all is no error: then there are pages away. */
static int sync_home(struct comp *c, struct homing *h)
{
	int err = 0;

	if (!RULE(RULE_SYNC_HOME))
		return 0;
	if (h->n_objects > FRESH_ONE_BY_ONE && !c->sync_each) {
		err = pageio_sync_all(&c->io);
		c->sync_each = room_is_error(err); /* whose pages are they? The files know it themselves */
		if (!c->sync_each)
			return err;
		size_t n = h->n_home;
		h->n_home = 0;
		sort_out(h, 0, n, err);
		return 0;
	}
	err = sync_each(c, h);
	if (!err)
		err = pageio_sync_dirs(&c->io);
	if (!err)
		err = c->store->ops->sync_dir(c->store, "."); /* root and root.copy, the first time */
	return err;
}

int home_bring(struct comp *c, struct home *ret)
{
	struct homing h = { .ret = ret };

	*ret = (struct home){ 0 };
	int err = write_home(c, &h);

	if (!err && (h.n_home || !ret->n_away))
		err = sync_home(c, &h);
	if (err)
		pagemap_not_home(c->io.map, h.pages, h.n_home);
	else
		pagemap_home(c->io.map, h.pages, h.n_home);
	pagemap_not_home(c->io.map, h.away, ret->n_away);
	free(h.pages);
	free(h.away);
	return err;
}
