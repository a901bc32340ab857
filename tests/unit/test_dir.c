/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Unit tests of fs/dir.h: entries against an array, places that stay, gates, damaged pages. */
#include "fs/dir.h"

#include "common/bytes.h"
#include "tests/unit/engine_fixture.h"

#include <dirent.h>
#include <stdio.h>

enum { NAMES = 3000 };

struct bench {
	struct engine e;
	uint64_t ino;
	struct inode *dir;
	uint64_t pos[NAMES];    /* place of each name; 0 = not there */
	uint64_t target[NAMES];
	unsigned n;
	uint64_t rng;
};

static void name_of(unsigned k, char *name)
{
	static const unsigned lengths[] = { 5, 5, 12, 30, 100, 255 };
	unsigned len = lengths[k % CL_ARRAY_LEN(lengths)];

	memset(name, 'a' + (int)(k % 26), len);
	name[len] = '\0';
	char number[8];
	snprintf(number, sizeof number, "%05u", k);
	memcpy(name + len - 5, number, 5);
}

static void begin(struct bench *b)
{
	ck_assert_int_eq(txn_begin(b->e.c), 0);
	pthread_rwlock_wrlock(&b->dir->lock);
	ck_assert_int_eq(dir_load(b->dir), 0);
}

static void end(struct bench *b)
{
	pthread_rwlock_unlock(&b->dir->lock);
	txn_end(b->e.c);
}

static struct bench *bench_new(void)
{
	struct bench *b = calloc(1, sizeof *b);

	engine_new(&b->e);
	b->rng = 11;
	ck_assert_int_eq(txn_begin(b->e.c), 0);
	ck_assert_int_eq(inode_new(b->e.c, S_IFDIR | 0755, false, &b->dir), 0);
	pthread_rwlock_wrlock(&b->dir->lock);
	b->dir->nlink = 2;
	b->dir->parent = INODE_ROOT;
	pthread_rwlock_unlock(&b->dir->lock);
	txn_end(b->e.c);
	b->ino = b->dir->ino;
	return b;
}

static void bench_free(struct bench *b)
{
	inode_put(b->dir);
	engine_free(&b->e);
	free(b);
}

static void reopen(struct bench *b)
{
	inode_put(b->dir);
	engine_reopen(&b->e);
	ck_assert_int_eq(inode_get(b->e.c, b->ino, &b->dir), 0);
}

static void add(struct bench *b, unsigned k)
{
	char name[300];
	struct dir_entry e;

	name_of(k, name);
	b->target[k] = 100 + k;
	ck_assert_int_eq(dir_add(b->dir, name, b->target[k], DT_REG, NULL), 0);
	ck_assert_int_eq(dir_find(b->dir, name, &e), 0);
	ck_assert_uint_eq(e.ino, b->target[k]);
	ck_assert_uint_eq(e.type, DT_REG);
	ck_assert(!e.is_gate);
	ck_assert_str_eq(e.name, name);
	ck_assert_uint_ne(e.pos, 0);
	b->pos[k] = e.pos;
	b->n++;
}

static void del(struct bench *b, unsigned k)
{
	char name[300];
	struct dir_entry e;

	name_of(k, name);
	ck_assert_int_eq(dir_find(b->dir, name, &e), 0);
	ck_assert_uint_eq(e.pos, b->pos[k]); /* a live entry never moves */
	ck_assert_int_eq(dir_remove(b->dir, &e), 0);
	ck_assert_int_eq(dir_find(b->dir, name, &e), -ENOENT);
	b->pos[k] = 0;
	b->n--;
}

/* Everything by listing and by name. */
static void check_all(struct bench *b)
{
	uint64_t pos = 0;
	unsigned n = 0;
	char name[300];
	struct dir_entry e;

	while (dir_next(b->dir, pos, &e) == 0) {
		unsigned k = (unsigned)strtoul(e.name + e.name_len - 5, NULL, 10);
		ck_assert_uint_lt(k, NAMES);
		name_of(k, name);
		ck_assert_str_eq(e.name, name);
		ck_assert_uint_ge(e.pos, pos);
		ck_assert_uint_eq(e.pos, b->pos[k]);
		ck_assert_uint_eq(e.ino, b->target[k]);
		pos = e.pos + 1;
		n++;
	}
	ck_assert_uint_eq(n, b->n);
	ck_assert_uint_eq(b->dir->entries, b->n);
	for (unsigned k = 0; k < NAMES; k += 7) {
		name_of(k, name);
		ck_assert_int_eq(dir_find(b->dir, name, &e), b->pos[k] ? 0 : -ENOENT);
	}
	/* Its pages are sound, and as many as it says. */
	uint64_t stored = 0;
	for (uint64_t p = 0; p < b->dir->size / CL_PAGE; p++) {
		struct node *node;
		ck_assert_int_eq(tree_node(&b->dir->data, 0, p, false, &node), 0);
		if (node) {
			ck_assert_int_eq(dir_check_page(node->page, p, NULL, NULL), 0);
			stored += !bytes_are_zero(node->page, CL_PAGE);
		}
		tree_put(&b->dir->data, node);
	}
	ck_assert_uint_eq(stored, b->dir->stored);
}

START_TEST(test_entries)
{
	struct bench *b = bench_new();
	struct dir_entry e;

	begin(b);
	ck_assert_int_eq(dir_find(b->dir, "x", &e), -ENOENT);
	ck_assert_int_eq(dir_next(b->dir, 0, &e), -ENOENT);
	end(b);
	for (unsigned step = 0; step < 12000; step++) {
		unsigned k = (unsigned)(engine_rand(&b->rng) % NAMES);
		bool grow = step / 3000 % 2 == 0; /* fuller, emptier, fuller, emptier */
		begin(b);
		if (b->pos[k] && (!grow || engine_rand(&b->rng) % 4 == 0))
			del(b, k);
		else if (!b->pos[k] && (grow || engine_rand(&b->rng) % 4 == 0))
			add(b, k);
		if (step % 1000 == 0)
			check_all(b);
		end(b);
		if (engine_rand(&b->rng) % 300 == 0)
			ck_assert_int_eq(txn_commit(b->e.c, NULL, false), 0);
		if (engine_rand(&b->rng) % 1500 == 0)
			reopen(b);
	}
	begin(b);
	check_all(b);
	/* Room is found again: as many names as before take no more pages. */
	for (unsigned k = 0; k < NAMES; k++)
		if (!b->pos[k])
			add(b, k);
	uint64_t size = b->dir->size;
	for (unsigned k = 0; k < NAMES; k++)
		if (k % 3)
			del(b, k);
	for (unsigned k = 0; k < NAMES; k++)
		if (!b->pos[k])
			add(b, k);
	ck_assert_uint_le(b->dir->size, size + CL_PAGE);
	check_all(b);
	/* An empty directory keeps nothing. */
	for (unsigned k = 0; k < NAMES; k++)
		del(b, k);
	ck_assert_uint_eq(b->dir->size, 0);
	ck_assert_uint_eq(b->dir->stored, 0);
	check_all(b);
	add(b, 4);
	end(b);
	reopen(b);
	begin(b);
	check_all(b);
	end(b);
	bench_free(b);
}
END_TEST

START_TEST(test_retarget_gates)
{
	static const uint8_t id[16] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 };
	struct bench *b = bench_new();
	struct dir_entry e, f;
	char longest[256];

	begin(b);
	add(b, 1);
	memset(longest, 'g', 255);
	longest[255] = '\0';
	ck_assert_int_eq(dir_add(b->dir, "gate", 1, DT_DIR, id), 0);
	ck_assert_int_eq(dir_add(b->dir, longest, 1, DT_DIR, id), 0);
	add(b, 2);
	ck_assert_int_eq(dir_find(b->dir, "gate", &e), 0);
	ck_assert(e.is_gate);
	ck_assert_mem_eq(e.gate, id, 16);
	ck_assert_uint_eq(e.type, DT_DIR);
	ck_assert_int_eq(dir_find(b->dir, longest, &e), 0);
	ck_assert_mem_eq(e.gate, id, 16);
	ck_assert_uint_eq(e.name_len, 255);
	/* Another target, in place. */
	char name[300];
	name_of(1, name);
	ck_assert_int_eq(dir_find(b->dir, name, &e), 0);
	ck_assert_int_eq(dir_retarget(b->dir, &e, 777, DT_LNK), 0);
	ck_assert_int_eq(dir_find(b->dir, name, &f), 0);
	ck_assert_uint_eq(f.pos, e.pos);
	ck_assert_uint_eq(f.ino, 777);
	ck_assert_uint_eq(f.type, DT_LNK);
	end(b);
	reopen(b);
	begin(b);
	ck_assert_int_eq(dir_find(b->dir, name, &f), 0);
	ck_assert_uint_eq(f.ino, 777);
	ck_assert_int_eq(dir_find(b->dir, longest, &e), 0);
	ck_assert(e.is_gate);
	ck_assert_int_eq(dir_remove(b->dir, &e), 0);
	ck_assert_int_eq(dir_find(b->dir, longest, &e), -ENOENT);
	ck_assert_int_eq(dir_find(b->dir, "gate", &e), 0);
	end(b);
	bench_free(b);
}
END_TEST

static int count(void *arg, const struct dir_entry *e)
{
	unsigned *n = arg;

	ck_assert_uint_gt(e->name_len, 0);
	ck_assert_uint_eq(strlen(e->name), e->name_len);
	++*n;
	return 0;
}

static void put16(uint8_t *page, unsigned off, unsigned v)
{
	page[off] = (uint8_t)v;
	page[off + 1] = (uint8_t)(v >> 8);
}

/* A page of three entries, written as doc/FORMAT section 6 says: "a", a gate "b", and "ccc" behind a hole. */
static void sound_page(uint8_t page[static CL_PAGE])
{
	memset(page, 0, CL_PAGE);
	put16(page, 0, 16 + 32 + 16);
	put16(page, 2, 3);
	page[16] = 7;                 /* inode */
	put16(page, 24, 16);
	page[26] = DT_REG;
	page[27] = 1;
	page[28] = 'a';
	page[32] = 1;
	put16(page, 40, 40);          /* longer than it needs */
	page[42] = DT_DIR | 0x80;
	page[43] = 1;
	page[44] = 'b';
	memset(page + 45, 0x33, 16);
	put16(page, 72 + 8, 64);      /* free */
	page[136] = 9;
	put16(page, 144, CL_PAGE - 136);
	page[146] = DT_LNK;
	page[147] = 3;
	memcpy(page + 148, "ccc", 3);
}

START_TEST(test_pages)
{
	static const struct {
		unsigned off, len, value;
	} bad[] = {
		{ 0, 2, 63 },
		{ 0, 2, 0xffff },
		{ 2, 2, 2 },
		{ 2, 2, 4 },
		{ 4, 1, 1 },
		{ 15, 1, 0x80 }, /* header */
		{ 24, 2, 0 },
		{ 24, 2, 8 },
		{ 24, 2, 15 },
		{ 24, 2, 17 },
		{ 24, 2, 0xfff8 },
		{ 24, 2, 4088 }, /* length */
		{ 27, 1, 0 },
		{ 27, 1, 5 },
		{ 27, 1, 255 }, /* of the name */
		{ 28, 1, 0 },
		{ 28, 1, '/' },
		{ 144, 2, CL_PAGE - 136 + 8 },
		{ 144, 2, CL_PAGE - 136 - 8 },
		{ 21, 1, 0x80 },
		{ 43, 1, 20 },
		{ 80, 2, 0 },
		{ 80, 2, 12 },
	};
	static uint8_t page[CL_PAGE];
	unsigned n = 0;

	ck_assert_int_eq(dir_check_page(page, 0, count, &n), 0); /* zeros: one free record */
	ck_assert_uint_eq(n, 0);
	sound_page(page);
	ck_assert_int_eq(dir_check_page(page, 0, count, &n), 0);
	ck_assert_uint_eq(n, 3);
	for (unsigned k = 0; k < CL_ARRAY_LEN(bad); k++) {
		sound_page(page);
		if (bad[k].len == 2)
			put16(page, bad[k].off, bad[k].value);
		else
			page[bad[k].off] = (uint8_t)bad[k].value;
		int err = dir_check_page(page, 0, count, &n);
		ck_assert_msg(err == -EUCLEAN, "%u: byte %u: %d", k, bad[k].off, err);
	}
	/* Chance: sound or malformed, never out of the page. */
	uint64_t rng = 4;
	unsigned accepted = 0;
	uint8_t *edge = malloc(CL_PAGE); /* of its own, so that a checker of memory sees the end */
	for (unsigned k = 0; k < 30000; k++) {
		sound_page(page);
		for (unsigned c = engine_rand(&rng) % 4 + 1; c > 0; c--)
			page[engine_rand(&rng) % (engine_rand(&rng) % 2 ? 200 : CL_PAGE)] = (uint8_t)engine_rand(&rng);
		memcpy(edge, page, CL_PAGE);
		int err = dir_check_page(edge, 3, count, &n);
		ck_assert(err == 0 || err == -EUCLEAN);
		accepted += err == 0;
	}
	free(edge);
	ck_assert_uint_gt(accepted, 0);
}
END_TEST

/* A page that cannot be read costs the names in it, and no others. */
START_TEST(test_damage)
{
	struct bench *b = bench_new();
	struct dir_entry e;
	struct store *lower = b->e.c->store;
	struct store_file *f;
	char name[STORE_NAME_MAX], entry[300];
	uint8_t byte = 0x5a;

	begin(b);
	for (unsigned k = 0; k < 600; k++)
		add(b, k);
	uint64_t object = b->dir->data.object;
	end(b);
	inode_put(b->dir);
	ck_assert_int_eq(comp_close(b->e.c), 0);
	char top[33];
	bytes_to_hex(b->e.fc.id, 16, top);
	ck_assert_int_eq(b->e.store->ops->sub(b->e.store, top, &lower), 0);
	pageio_name(object, 0, name);
	ck_assert_int_eq(lower->ops->open(lower, name, STORE_RDWR, &f), 0);
	ck_assert_int_eq(lower->ops->pwrite(lower, f, &byte, 1, pageio_lower_leaf(2) * CL_PAGE + 77), 0);
	lower->ops->close(lower, f);
	lower->ops->free(lower);
	engine_open(&b->e);
	ck_assert_int_eq(inode_get(b->e.c, b->ino, &b->dir), 0);
	begin(b);
	unsigned lost = 0, listed = 0;
	for (unsigned k = 0; k < 600; k++) {
		name_of(k, entry);
		int err = dir_find(b->dir, entry, &e);
		ck_assert_int_eq(err, b->pos[k] >> 9 == 2 ? -EBADMSG : 0);
		lost += err != 0;
	}
	ck_assert_uint_gt(lost, 0);
	ck_assert_int_eq(dir_find(b->dir, "never there", &e), -EBADMSG); /* it could have been */
	for (uint64_t pos = 0; dir_next(b->dir, pos, &e) == 0; pos = e.pos + 1)
		listed++;
	ck_assert_uint_eq(listed, 600 - lost);
	/* The rest can be changed. */
	name_of(0, entry);
	ck_assert_int_eq(dir_find(b->dir, entry, &e), 0);
	ck_assert_int_eq(dir_remove(b->dir, &e), 0);
	ck_assert_int_eq(dir_add(b->dir, "a new name", 5, DT_REG, NULL), 0);
	ck_assert_int_eq(dir_find(b->dir, "a new name", &e), 0);
	ck_assert_uint_ne(e.pos >> 9, 2);
	end(b);
	bench_free(b);
}
END_TEST

/* A page that opens and is malformed: its sound entries are listed, the end says that it is damaged; no name is shown that is none. */
START_TEST(test_malformed)
{
	static const struct {
		unsigned off; /* from the first record of the page on */
		uint8_t byte;
		unsigned lost;
	} cases[] = { { 12, '/', 1 }, { 13, '\0', 1 }, { 0, 0, 1 } };

	for (unsigned k = 0; k < CL_ARRAY_LEN(cases) + 1; k++) {
		struct bench *b = bench_new();
		struct dir_entry e;
		struct node *n;
		unsigned listed = 0;

		begin(b);
		for (unsigned i = 0; i < 100; i++)
			add(b, i);
		ck_assert_int_eq(tree_node(&b->dir->data, 0, 0, false, &n), 0);
		tree_dirty(&b->dir->data, n);
		if (k < CL_ARRAY_LEN(cases))
			n->page[16 + cases[k].off] = cases[k].byte;
		else
			n->page[2]++; /* live entries */
		tree_put(&b->dir->data, n);
		end(b);
		inode_put(b->dir);
		engine_reopen(&b->e);
		ck_assert_int_eq(inode_get(b->e.c, b->ino, &b->dir), 0);
		int err;
		for (uint64_t pos = 0; !(err = dir_next(b->dir, pos, &e)); pos = e.pos + 1) {
			ck_assert_uint_eq(strlen(e.name), e.name_len);
			ck_assert_ptr_null(strchr(e.name, '/'));
			listed++;
		}
		ck_assert_int_eq(err, -EBADMSG);
		ck_assert_uint_eq(listed, 100 - (k < CL_ARRAY_LEN(cases) ? cases[k].lost : 0));
		bench_free(b);
	}
}
END_TEST

int main(void)
{
	const TTest *const tests[] = { test_entries, test_retarget_gates, test_pages, test_damage, test_malformed };

	return engine_run("dir", tests, CL_ARRAY_LEN(tests));
}
