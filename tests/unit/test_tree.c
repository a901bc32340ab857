#include <stdlib.h>
/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Unit tests of fs/tree.h, and of the places of fs/pageio.h: growth, holes, next, sealing, against plain arrays. */
#include "fs/tree.h"

#include "tests/unit/engine_fixture.h"

/* ---- Places, by laying a subtree out as doc/FORMAT section 3 says in words: first child, index page, the others. */

struct layout {
	uint64_t next;      /* page of the lower file */
	uint64_t checked;
};

static void lay_out(struct layout *l, unsigned level, uint64_t index)
{
	if (level == 0) {
		ck_assert_msg(pageio_lower_leaf(index) == l->next, "leaf %llu", (unsigned long long)index);
		l->next++;
		l->checked++;
		return;
	}
	for (uint64_t child = 0; child < PAGEIO_FANOUT; child++) {
		lay_out(l, level - 1, index * PAGEIO_FANOUT + child);
		if (child == 0) {
			ck_assert_msg(pageio_lower_node(level, index) == l->next, "index page %u, %llu", level,
				      (unsigned long long)index);
			l->next++;
			l->checked++;
		}
	}
}

START_TEST(test_places_all)
{
	struct layout l = { 0 };

	lay_out(&l, 3, 0);
	ck_assert_uint_eq(l.next, 2113665); /* 128^3 leaves and 1 + 128 + 128^2 index pages, no gap */
	ck_assert_uint_eq(l.checked, l.next);
}
END_TEST

static uint64_t pages_of(unsigned height)
{
	uint64_t n = 1;
	while (height--)
		n = n * PAGEIO_FANOUT + 1;
	return n;
}

/* The same by descent from a root of height 5, for places that nobody can lay out one by one. */
static uint64_t descend(unsigned height, unsigned level, uint64_t index)
{
	if (height == level)
		return level ? pages_of(level - 1) : 0; /* behind its first child */
	uint64_t span = 1;
	for (unsigned l = level; l + 1 < height; l++)
		span *= PAGEIO_FANOUT;
	uint64_t child = index / span;
	uint64_t before =
		child ? child * pages_of(height - 1) + 1 : 0; /* children, and the index page behind the first */
	return before + descend(height - 1, level, index % span);
}

START_TEST(test_places_far)
{
	uint64_t rng = 1, powers[] = { 0,     1,       127,     128,       129,       16383,
				       16384, 2097151, 2097152, 268435455, 268435456, TREE_LEAVES_MAX - 1 };

	for (unsigned i = 0; i < CL_ARRAY_LEN(powers); i++)
		ck_assert_uint_eq(pageio_lower_leaf(powers[i]), descend(5, 0, powers[i]));
	for (unsigned i = 0; i < 20000; i++) {
		unsigned level = (unsigned)(engine_rand(&rng) % 6);
		uint64_t index = (engine_rand(&rng) % TREE_LEAVES_MAX) >> (7 * level);
		if (level)
			ck_assert_uint_eq(pageio_lower_node(level, index), descend(5, level, index));
		else
			ck_assert_uint_eq(pageio_lower_leaf(index), descend(5, 0, index));
	}
	ck_assert_uint_eq(pageio_lower_leaf(TREE_LEAVES_MAX - 1), pages_of(5) - 1); /* the last page of all */
}
END_TEST

/* Where contents of n leaves end: the greatest place of any leaf or index page above them. */
START_TEST(test_places_end)
{
	for (unsigned height = 0; height <= 3; height++) {
		uint64_t end = 0, max = (uint64_t)1 << (7 * height);
		ck_assert_uint_eq(pageio_lower_end(0, height), 0);
		for (uint64_t n = 1; n <= CL_MIN(max, 40000u); n++) {
			end = CL_MAX(end, pageio_lower_leaf(n - 1) + 1);
			for (unsigned level = 1; level <= height; level++)
				end = CL_MAX(end, pageio_lower_node(level, (n - 1) >> (7 * level)) + 1);
			ck_assert_uint_eq(pageio_lower_end(n, height), end);
		}
	}
}
END_TEST

/* ---- A tree of refs against an array. */

enum { DENSE = 20000, FAR = 40, SLOTS = DENSE + FAR };

struct bench {
	struct engine e;
	struct tree t;
	atomic_uint_fast64_t dirty;
	struct seal_ref want[SLOTS];
	uint64_t stored, want_stored;
	uint64_t rng, seq;
};

/* Leaves that are looked at: the first ones, and some far ones (of a tree of each height). */
static uint64_t leaf_of(unsigned slot)
{
	static const uint64_t bases[] = { 30000, 2097152, 268435456, TREE_LEAVES_MAX - 10 };
	return slot < DENSE ? slot : bases[(slot - DENSE) / 10] + (slot - DENSE) % 10;
}

static void bench_new(struct bench *b)
{
	engine_new(&b->e);
	b->rng = 5;
	b->seq = 1000;
	tree_init(&b->t, &b->e.c->io, b->e.c->nodes, &b->dirty);
	ck_assert_int_eq(tree_make(&b->t, 5000), 0);
}

static void bench_free(struct bench *b)
{
	tree_discard(&b->t);
	ck_assert_uint_eq(atomic_load(&b->dirty), 0);
	pagemap_discard(b->e.c->io.map, 5000, 0, UINT64_MAX, UINT64_MAX);
	engine_free(&b->e);
	free(b);
}

static void set(struct bench *b, unsigned slot, uint32_t n, bool fresh)
{
	struct seal_ref refs[TREE_SET_MAX], old[TREE_SET_MAX], was[TREE_SET_MAX];

	memcpy(was, &b->want[slot], n * sizeof *was);
	for (uint32_t i = 0; i < n; i++) {
		for (unsigned k = 0; k < sizeof refs[i]; k++)
			((uint8_t *)&refs[i])[k] = (uint8_t)engine_rand(&b->rng) | 1;
		b->want_stored += seal_ref_is_hole(&b->want[slot + i]);
		b->want[slot + i] = refs[i];
	}
	ck_assert_int_eq(tree_set_refs(&b->t, leaf_of(slot), n, refs, fresh, old, &b->stored), 0);
	ck_assert_mem_eq(old, was, n * sizeof *old);
}

static void zero(struct bench *b, uint64_t first, uint64_t last)
{
	for (unsigned slot = 0; slot < SLOTS; slot++)
		if (leaf_of(slot) >= first && leaf_of(slot) <= last) {
			b->want_stored -= !seal_ref_is_hole(&b->want[slot]);
			memset(&b->want[slot], 0, sizeof b->want[slot]);
		}
	ck_assert_int_eq(tree_zero(&b->t, first, last, &b->stored), 0);
	ck_assert_uint_eq(b->stored, b->want_stored);
}

static void check_refs(struct bench *b)
{
	static struct seal_ref got[DENSE];

	ck_assert_uint_eq(b->stored, b->want_stored);
	ck_assert_int_eq(tree_get_refs(&b->t, 0, DENSE, got), 0);
	ck_assert_mem_eq(got, b->want, DENSE * sizeof *got);
	for (unsigned slot = DENSE; slot < SLOTS; slot++) {
		ck_assert_int_eq(tree_get_refs(&b->t, leaf_of(slot), 1, got), 0);
		ck_assert_mem_eq(got, &b->want[slot], sizeof *got);
	}
	/* Between them there is nothing. */
	ck_assert_int_eq(tree_get_refs(&b->t, 25000, 100, got), 0);
	ck_assert(bytes_are_zero(got, 100 * sizeof *got));
}

static void check_next(struct bench *b, uint64_t from, uint64_t limit, bool hole)
{
	uint64_t got = 0, want = limit;

	if (hole) {
		want = from;
		for (unsigned slot = 0; slot < SLOTS && want < limit; slot++)
			if (leaf_of(slot) == want && !seal_ref_is_hole(&b->want[slot]))
				want++;
		want = CL_MIN(want, limit);
	} else {
		for (unsigned slot = 0; slot < SLOTS; slot++)
			if (leaf_of(slot) >= from && leaf_of(slot) < want && !seal_ref_is_hole(&b->want[slot]))
				want = leaf_of(slot);
	}
	if (from >= limit)
		want = limit;
	ck_assert_int_eq(tree_next(&b->t, from, limit, hole, &got), 0);
	ck_assert_msg(got == want, "%s from %llu, limit %llu: %llu, expected %llu", hole ? "hole" : "data",
		      (unsigned long long)from, (unsigned long long)limit, (unsigned long long)got,
		      (unsigned long long)want);
}

static int emit(void *arg, uint64_t object, uint64_t lower, struct pagebuf *buf)
{
	struct bench *b = arg;

	ck_assert_uint_eq(object, 5000);
	int err = pagemap_commit_page(b->e.c->io.map, object, lower, buf, b->seq);
	pagemap_put_buf(b->e.c->io.map, buf);
	return err;
}

/* Seals it, forgets it, and takes it up again from its description. */
static void through_the_disk(struct bench *b)
{
	struct tree_desc d;

	b->seq++;
	ck_assert_int_eq(tree_seal(&b->t, emit, b), 0);
	ck_assert(!tree_is_dirty(&b->t));
	ck_assert_uint_eq(atomic_load(&b->dirty), 0);
	tree_describe(&b->t, &d);
	tree_done(&b->t);
	node_cache_free(b->e.c->nodes);
	ck_assert_int_eq(node_cache_new(64, &b->e.c->nodes), 0);
	/* The compartment's own trees are clean here, and hold no pages. */
	b->e.c->itable.nodes = b->e.c->ibitmap.nodes = b->e.c->orphans.nodes = b->e.c->nodes;
	tree_init(&b->t, &b->e.c->io, b->e.c->nodes, &b->dirty);
	ck_assert_int_eq(tree_load(&b->t, &d), 0);
}

START_TEST(test_refs)
{
	struct bench *b = calloc(1, sizeof *b);

	bench_new(b);
	check_refs(b);
	check_next(b, 0, 100, false);
	check_next(b, 0, 100, true);
	for (unsigned step = 0; step < 400; step++) {
		unsigned slot = (unsigned)(engine_rand(&b->rng) % (DENSE >> (2 * (engine_rand(&b->rng) % 5))));
		uint32_t n = 1 + (uint32_t)(engine_rand(&b->rng) % 300);
		switch (engine_rand(&b->rng) % 8) {
		case 0: case 1: case 2:
			set(b, slot, CL_MIN(CL_MIN(n, DENSE - slot), TREE_SET_MAX), engine_rand(&b->rng) & 1);
			break;
		case 3:
			zero(b, slot, slot + n);
			break;
		case 4:
			zero(b, slot, slot + n * 60);
			break;
		case 5:
			/* Later steps make the tree grow, by a level and by several at once. */
			if (step > 100)
				set(b, DENSE + (unsigned)(engine_rand(&b->rng) % (step > 250 ? FAR : 10)), 1, false);
			break;
		case 6:
			if (step > 200 && engine_rand(&b->rng) % 4 == 0)
				zero(b, leaf_of((unsigned)(engine_rand(&b->rng) % SLOTS)),
				     engine_rand(&b->rng) % 2 ? UINT64_MAX : 2097160);
			break;
		default:
			if (engine_rand(&b->rng) % 3 == 0)
				through_the_disk(b);
		}
		for (unsigned k = 0; k < 6; k++) {
			uint64_t from = leaf_of((unsigned)(engine_rand(&b->rng) % SLOTS));
			check_next(b, from, k == 5 ? TREE_LEAVES_MAX : from + engine_rand(&b->rng) % 3000, k & 1);
		}
		if (step % 10 == 0)
			check_refs(b);
	}
	check_refs(b);
	through_the_disk(b);
	check_refs(b);
	zero(b, 0, UINT64_MAX);
	ck_assert_uint_eq(b->stored, 0);
	through_the_disk(b);
	ck_assert(seal_ref_is_hole(&b->t.root)); /* nothing is left of it */
	check_refs(b);
	bench_free(b);
}
END_TEST

START_TEST(test_heights)
{
	static const uint64_t leaves[] = {
		0, 1, 127, 128, 16383, 16384, 2097151, 2097152, 268435455, 268435456, TREE_LEAVES_MAX - 1
	};
	static const unsigned heights[] = { 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5 };

	for (unsigned i = 0; i < CL_ARRAY_LEN(leaves); i++) {
		struct bench *b = calloc(1, sizeof *b);
		struct seal_ref ref = { .epoch = { 1 } }, got;
		bench_new(b);
		ck_assert_int_eq(tree_set_refs(&b->t, leaves[i], 1, &ref, false, NULL, &b->stored), 0);
		ck_assert_uint_eq(b->t.height, heights[i]);
		through_the_disk(b);
		ck_assert_int_eq(tree_get_refs(&b->t, leaves[i], 1, &got), 0);
		ck_assert_mem_eq(&got, &ref, sizeof got);
		/* The first leaf stays reachable whatever the height. */
		ck_assert_int_eq(tree_set_refs(&b->t, 0, 1, &ref, false, NULL, &b->stored), 0);
		ck_assert_uint_eq(b->stored, i ? 2 : 1);
		ck_assert_int_eq(tree_set_refs(&b->t, TREE_LEAVES_MAX, 1, &ref, false, NULL, &b->stored), -EFBIG);
		bench_free(b);
	}
}
END_TEST

/* What may be written in place: never what the last commit shows, nor what the journal mentions. */
START_TEST(test_kind)
{
	struct bench *b = calloc(1, sizeof *b);
	bool home;
	uint32_t n;

	bench_new(b);
	ck_assert_int_eq(tree_run_kind(&b->t, 0, 100, &home, &n), 0);
	ck_assert(home && n == 100);
	set(b, 0, 50, true);
	set(b, 50, 50, false);
	ck_assert_int_eq(tree_run_kind(&b->t, 0, 200, &home, &n), 0);
	ck_assert(!home && n == 100); /* written home since the commit: not a second time */
	ck_assert_int_eq(tree_run_kind(&b->t, 50, 200, &home, &n), 0);
	ck_assert(!home && n == 50);
	ck_assert_int_eq(tree_run_kind(&b->t, 100, 200, &home, &n), 0);
	ck_assert(home && n == 200);
	through_the_disk(b);
	ck_assert_int_eq(tree_run_kind(&b->t, 0, 200, &home, &n), 0);
	ck_assert(!home && n == 100);
	ck_assert_int_eq(tree_run_kind(&b->t, 100, 10, &home, &n), 0);
	ck_assert(home && n == 10);
	/* Freed in this transaction: the committed state still needs the place. */
	zero(b, 20, 29);
	ck_assert_int_eq(tree_run_kind(&b->t, 20, 10, &home, &n), 0);
	ck_assert(!home && n == 10);
	through_the_disk(b);
	ck_assert_int_eq(tree_run_kind(&b->t, 20, 20, &home, &n), 0);
	ck_assert(home && n == 10);
	/* The journal mentions one page of it. */
	struct pagebuf *buf = pagemap_get_buf(b->e.c->io.map);
	ck_assert_int_eq(pagemap_commit_page(b->e.c->io.map, 5000, pageio_lower_leaf(25), buf, 2000), 0);
	pagemap_put_buf(b->e.c->io.map, buf);
	ck_assert_int_eq(tree_run_kind(&b->t, 20, 10, &home, &n), 0);
	ck_assert(home && n == 5);
	ck_assert_int_eq(tree_run_kind(&b->t, 25, 10, &home, &n), 0);
	ck_assert(!home && n == 1);
	ck_assert_int_eq(pagemap_commit_range(b->e.c->io.map, 5000, 2000), 0);
	ck_assert_int_eq(tree_run_kind(&b->t, 300, 10, &home, &n), 0);
	ck_assert(!home && n == 10);
	bench_free(b);
}
END_TEST

START_TEST(test_load)
{
	struct bench *b = calloc(1, sizeof *b);
	struct tree_desc d = { .object = 5001, .height = PAGEIO_LEVELS + 1 };
	struct tree t;
	struct seal_ref ref;

	bench_new(b);
	tree_init(&t, &b->e.c->io, b->e.c->nodes, &b->dirty);
	ck_assert_int_eq(tree_load(&t, &d), -EUCLEAN);
	/* A root that is not there: damage, found when it is read. */
	d.height = 2;
	d.root.counter.b[0] = 1;
	ck_assert_int_eq(tree_load(&t, &d), 0);
	ck_assert_int_eq(tree_get_refs(&t, 3, 1, &ref), -EBADMSG);
	ck_assert_int_eq(tree_get_refs(&t, 20000, 1, &ref), 0); /* not covered: a hole */
	ck_assert(seal_ref_is_hole(&ref));
	tree_discard(&t);
	bench_free(b);
}
END_TEST

int main(void)
{
	/* Millions of leaves: too slow for valgrind, which sets this; the address sanitizer runs it whole. */
	if (getenv("CLOISON_TEST_MEMORY"))
		return 77;
	const TTest *const tests[] = { test_places_all, test_places_far, test_places_end, test_refs,
				       test_heights,    test_kind,       test_load };

	return engine_run("tree", tests, CL_ARRAY_LEN(tests));
}
