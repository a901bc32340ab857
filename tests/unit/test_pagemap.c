/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Unit tests of fs/pagemap.h: versions of pages between a write and their home. */
#include "fs/pagemap.h"

#include "tests/unit/engine_fixture.h"

static struct pagebuf *filled(struct pagemap *pm, uint8_t with)
{
	struct pagebuf *b = pagemap_get_buf(pm);

	ck_assert_ptr_nonnull(b);
	ck_assert_uint_eq((uintptr_t)b->data % CL_PAGE, 0);
	memset(b->data, with, CL_PAGE);
	return b;
}

static void running(struct pagemap *pm, struct pagemap_run *run, uint64_t object, uint64_t page, uint8_t with)
{
	struct pagebuf *b = filled(pm, with);
	ck_assert_int_eq(pagemap_set_running(pm, run, object, &page, &b, 1), 0);
}

/* What the map says of a page; -1: nothing. */
static int seen(struct pagemap *pm, uint64_t object, uint64_t page)
{
	uint8_t out[CL_PAGE];

	if (!pagemap_read(pm, object, page, out))
		return -1;
	ck_assert(!memcmp(out, out + 1, CL_PAGE - 1)); /* the same byte all over */
	return out[0];
}

static void commit(struct pagemap *pm, struct pagemap_run *run, uint64_t seq, size_t want)
{
	struct pagemap_page taken[16];

	ck_assert_uint_le(run->n, CL_ARRAY_LEN(taken));
	ck_assert_uint_eq(pagemap_commit_run(pm, run, seq, taken), want);
	ck_assert_uint_eq(run->n, 0);
	for (size_t i = 0; i < want; i++)
		pagemap_put_buf(pm, taken[i].buf);
}

/* Writes everything pending home; *ret_n pages. */
static size_t all_home(struct pagemap *pm)
{
	struct pagemap_page p[7];
	size_t n, all = 0;

	while ((n = pagemap_take_pending(pm, p, CL_ARRAY_LEN(p)))) {
		pagemap_home(pm, p, n);
		all += n;
	}
	return all;
}

START_TEST(test_versions)
{
	struct pagemap *pm;
	struct pagemap_run run;

	ck_assert_int_eq(pagemap_new(&pm), 0);
	pagemap_run_init(&run);
	ck_assert_int_eq(seen(pm, 20, 1), -1);
	ck_assert(!pagemap_has_object(pm, 20));
	ck_assert(!pagemap_mentions(pm, 20, 1));
	running(pm, &run, 20, 1, 1);
	running(pm, &run, 20, 2, 2);
	running(pm, &run, 20, 1, 3); /* again: one page still */
	ck_assert_uint_eq(pagemap_n_running(pm), 2);
	ck_assert_int_eq(seen(pm, 20, 1), 3);
	ck_assert_int_eq(seen(pm, 20, 2), 2);
	ck_assert_int_eq(seen(pm, 21, 1), -1);
	ck_assert(pagemap_has_object(pm, 20));
	ck_assert(pagemap_mentions(pm, 20, 1));
	ck_assert(!pagemap_mentions(pm, 20, 3));
	commit(pm, &run, 5, 2);
	ck_assert_uint_eq(pagemap_n_running(pm), 0);
	ck_assert_uint_eq(pagemap_n_pending(pm), 2);
	/* A new running version is seen; the committed one waits for its way home. */
	running(pm, &run, 20, 1, 4);
	ck_assert_int_eq(seen(pm, 20, 1), 4);
	pagemap_drop_running(pm, &run, 20, 0, 1);
	ck_assert_int_eq(seen(pm, 20, 1), 3);
	ck_assert_uint_eq(all_home(pm), 2);
	ck_assert_uint_eq(pagemap_n_pending(pm), 0);
	ck_assert_int_eq(seen(pm, 20, 1), -1);
	/* Home, but the journal still has it. */
	ck_assert(pagemap_mentions(pm, 20, 1));
	pagemap_forget(pm, 4);
	ck_assert(pagemap_mentions(pm, 20, 1));
	pagemap_forget(pm, 5);
	ck_assert(!pagemap_mentions(pm, 20, 1));
	ck_assert(!pagemap_has_object(pm, 20));
	pagemap_free(pm);
}
END_TEST

START_TEST(test_newer_while_going_home)
{
	struct pagemap *pm;
	struct pagemap_run run;
	struct pagemap_page p, again;

	ck_assert_int_eq(pagemap_new(&pm), 0);
	pagemap_run_init(&run);
	running(pm, &run, 20, 1, 1);
	commit(pm, &run, 1, 1);
	ck_assert_uint_eq(pagemap_take_pending(pm, &p, 1), 1);
	ck_assert_uint_eq(pagemap_take_pending(pm, &again, 1), 0); /* somebody has it already */
	ck_assert_int_eq(seen(pm, 20, 1), 1);
	running(pm, &run, 20, 1, 2);
	commit(pm, &run, 2, 1);
	ck_assert_uint_eq(p.buf->data[0], 1); /* what is being written does not change */
	pagemap_home(pm, &p, 1);
	ck_assert_int_eq(seen(pm, 20, 1), 2);
	ck_assert_uint_eq(pagemap_n_pending(pm), 1);
	/* It could not be written: it is pending again. */
	ck_assert_uint_eq(pagemap_take_pending(pm, &p, 1), 1);
	pagemap_not_home(pm, &p, 1);
	pagemap_forget(pm, 2);
	ck_assert_int_eq(seen(pm, 20, 1), 2); /* not home: not forgotten */
	ck_assert(pagemap_mentions(pm, 20, 1));
	ck_assert_uint_eq(all_home(pm), 1);
	pagemap_forget(pm, 2);
	ck_assert(!pagemap_has_object(pm, 20));
	pagemap_free(pm);
}
END_TEST

START_TEST(test_discard)
{
	struct pagemap *pm;
	struct pagemap_run run;
	struct pagemap_page p;

	ck_assert_int_eq(pagemap_new(&pm), 0);
	pagemap_run_init(&run);
	for (uint64_t page = 0; page < 6; page++)
		running(pm, &run, 20, page, 1);
	commit(pm, &run, 1, 6);
	/* Transaction 2 cuts pages 2 .. 4 away and has written page 3 anew. */
	running(pm, &run, 20, 3, 2);
	running(pm, &run, 20, 5, 3);
	pagemap_drop_running(pm, &run, 20, 5, 5);
	commit(pm, &run, 2, 1);
	pagemap_discard(pm, 20, 2, 4, 2);
	ck_assert_int_eq(pagemap_commit_range(pm, 20, 2), 0);
	static const int want[] = { 1, 1, -1, 2, -1, 1 };
	for (uint64_t page = 0; page < 6; page++)
		ck_assert_int_eq(seen(pm, 20, page), want[page]);
	ck_assert_uint_eq(pagemap_n_pending(pm), 4);
	/* The range is mentioned as a whole, also where no page ever was. */
	ck_assert(pagemap_mentions(pm, 20, 1000));
	ck_assert(!pagemap_mentions(pm, 21, 1000));
	/* Discarded while it goes home: nothing is left behind. */
	ck_assert_uint_eq(pagemap_take_pending(pm, &p, 1), 1);
	pagemap_discard(pm, 20, 0, UINT64_MAX, UINT64_MAX);
	ck_assert_uint_eq(pagemap_n_pending(pm), 0);
	pagemap_not_home(pm, &p, 1);
	ck_assert_uint_eq(pagemap_n_pending(pm), 0);
	ck_assert_uint_eq(all_home(pm), 0);
	pagemap_discard(pm, 99, 0, UINT64_MAX, UINT64_MAX); /* an object that is not there */
	pagemap_forget(pm, 1);
	ck_assert(pagemap_mentions(pm, 20, 1000));
	pagemap_forget(pm, 2);
	ck_assert(!pagemap_mentions(pm, 20, 1000));
	pagemap_free(pm);
}
END_TEST

START_TEST(test_runs)
{
	struct pagemap *pm;
	struct pagemap_run a, b;

	ck_assert_int_eq(pagemap_new(&pm), 0);
	pagemap_run_init(&a);
	pagemap_run_init(&b);
	running(pm, &a, 20, 1, 1);
	running(pm, &b, 30, 1, 2);
	running(pm, &b, 30, 2, 3);
	/* One tree's pages are taken, the other's are left. */
	commit(pm, &a, 1, 1);
	ck_assert_uint_eq(b.n, 2);
	ck_assert_uint_eq(pagemap_n_running(pm), 2);
	ck_assert_uint_eq(pagemap_n_pending(pm), 1);
	pagemap_drop_running(pm, &b, 30, 2, UINT64_MAX);
	ck_assert_uint_eq(b.n, 1);
	ck_assert_int_eq(seen(pm, 30, 1), 2);
	ck_assert_int_eq(seen(pm, 30, 2), -1);
	pagemap_drop_running(pm, &b, 30, 0, UINT64_MAX);
	ck_assert_uint_eq(all_home(pm), 1);
	pagemap_forget(pm, 1);
	ck_assert(!pagemap_has_object(pm, 20) && !pagemap_has_object(pm, 30));
	pagemap_free(pm);
}
END_TEST

/* Against an array, with growth of the hash. */
START_TEST(test_many)
{
	enum { OBJECTS = 8, PAGES = 500 };
	static int newest[OBJECTS][PAGES];
	struct pagemap *pm;
	uint64_t rng = 1, seq = 1;

	memset(newest, 0xff, sizeof newest);
	ck_assert_int_eq(pagemap_new(&pm), 0);
	for (unsigned step = 0; step < 12000; step++, seq++) {
		uint64_t o = engine_rand(&rng) % OBJECTS, page = engine_rand(&rng) % PAGES;
		uint8_t value = (uint8_t)engine_rand(&rng);
		struct pagebuf *b = filled(pm, value);
		ck_assert_int_eq(pagemap_commit_page(pm, 16 + o, page, b, seq), 0);
		pagemap_put_buf(pm, b);
		newest[o][page] = value;
		if (engine_rand(&rng) % 100 == 0) {
			uint64_t first = engine_rand(&rng) % PAGES, last = first + engine_rand(&rng) % 100;
			pagemap_discard(pm, 16 + o, first, last, UINT64_MAX);
			for (; first <= last && first < PAGES; first++)
				newest[o][first] = -1;
		}
		if (step % 4000 == 2000) { /* never near the end, where some must be left */
			all_home(pm);
			pagemap_forget(pm, seq);
			memset(newest, 0xff, sizeof newest);
		}
		o = engine_rand(&rng) % OBJECTS;
		page = engine_rand(&rng) % PAGES;
		ck_assert_int_eq(seen(pm, 16 + o, page), newest[o][page]);
	}
	size_t left = 0;
	for (unsigned o = 0; o < OBJECTS; o++)
		for (unsigned page = 0; page < PAGES; page++) {
			left += newest[o][page] >= 0;
			ck_assert_int_eq(seen(pm, 16 + o, page), newest[o][page]);
		}
	ck_assert_uint_gt(left, 500);
	ck_assert_uint_eq(pagemap_n_pending(pm), left);
	ck_assert_uint_eq(all_home(pm), left);
	pagemap_free(pm);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = { test_versions, test_newer_while_going_home, test_discard, test_runs, test_many };

	return engine_run("pagemap", tests, CL_ARRAY_LEN(tests));
}
