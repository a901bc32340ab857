/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Fuzz target: index pages and what an inode says of its tree. Input: edits[1], that many of kind[1] page[1] a[1]
 * b[1], then actions kind[1] leaf[4] n[1]. The edits are sealed, so that they authenticate. Whatever the tree says,
 * a leaf reads as what was written at its place, as zeros, or not at all; what is written to it afterwards is there.
 */
#include "tests/fuzz/disk.h"
#include "tests/fuzz/fuzz.h"

#include "fs/leaf.h"
#include "fs/txn.h"

#include <stdlib.h>
#include <string.h>

enum { BIG = 6, EDITS_MAX = 16, ACTIONS_MAX = 32 };
enum { EDIT_COPY, EDIT_ZERO, EDIT_BYTE, EDIT_ACROSS, EDIT_HEIGHT, EDIT_ROOT, EDIT_N };
enum { ACT_READ, ACT_NEXT, ACT_WRITE, ACT_ZERO, ACT_COMMIT, ACT_N };

static const uint64_t written[] = { 0, 1, 200, 20000 };

struct place {
	uint32_t level;
	uint64_t index;
};
static const struct place places[] = { { 1, 0 }, { 1, 1 }, { 1, 156 }, { 2, 0 }, { 2, 1 }, { 3, 0 } };

/* What this run wrote over it: at most one page at a time, told by its first byte. */
struct bench {
	struct comp *c;
	struct inode *i;
	struct {
		uint64_t leaf;
		uint8_t byte; /* 0: zeros */
		bool unsure;  /* this, or zeros, or what was there before */
	} mine[ACTIONS_MAX];
	size_t n_mine;
};

/* NULL: an edit before has cut it off. */
static struct node *page_of(struct bench *b, uint8_t which)
{
	const struct place *p = &places[which % CL_ARRAY_LEN(places)];
	struct node *n;
	int err = tree_node(&b->i->data, p->level, p->index, false, &n);

	FUZZ_ERROR(err, -EBADMSG);
	return err ? NULL : n;
}

static void edit_page(struct bench *b, const uint8_t e[4])
{
	struct node *n = page_of(b, e[1]), *from;

	if (!n)
		return;
	tree_dirty(&b->i->data, n);
	switch (e[0] % EDIT_N) {
	case EDIT_COPY:
		*node_slot(n, e[2]) = *node_slot(n, e[3]);
		break;
	case EDIT_ZERO:
		memset(node_slot(n, e[2]), 0, sizeof(struct seal_ref));
		break;
	case EDIT_BYTE:
		n->page[e[2] * 16u + e[3] % 16] ^= (uint8_t)(e[3] | 1);
		break;
	case EDIT_ACROSS:
		from = page_of(b, e[2]);
		if (from)
			*node_slot(n, e[3]) = *node_slot(from, e[3]);
		tree_put(&b->i->data, from);
		break;
	}
	tree_put(&b->i->data, n);
}

/* Of the record; the tree is not used any more in this opening. */
static void edit_desc(struct bench *b, const uint8_t e[4], struct inode_data *d)
{
	if (e[0] % EDIT_N == EDIT_HEIGHT) {
		d->tree.height = e[2] % (PAGEIO_LEVELS + 2);
	} else if (e[0] % EDIT_N == EDIT_ROOT) {
		struct node *n = page_of(b, e[1]);
		if (n)
			d->tree.root = *node_slot(n, e[2]);
		tree_put(&b->i->data, n);
	}
}

static void edit(struct disk *d, struct fuzz_in *in)
{
	struct bench b = { .c = disk_open(d, 0) };
	uint8_t e[EDITS_MAX][4] = { 0 }, record[INODE_RECORD];
	unsigned n = fuzz_u8(in) % (EDITS_MAX + 1);
	struct inode_data data;
	struct node *leaf;

	for (unsigned k = 0; k < n; k++)
		for (unsigned i = 0; i < 4; i++)
			e[k][i] = fuzz_u8(in);
	FUZZ_OK(inode_get(b.c, BIG, &b.i));
	FUZZ_OK(txn_begin(b.c));
	FUZZ_OK(inode_dirty(b.i));
	for (unsigned k = 0; k < n; k++)
		if (e[k][0] % EDIT_N < EDIT_HEIGHT)
			edit_page(&b, e[k]);
	txn_end(b.c);
	FUZZ_OK(txn_commit(b.c, NULL, false));
	FUZZ_OK(txn_begin(b.c));
	inode_data_now(b.i, &data);
	for (unsigned k = 0; k < n; k++)
		edit_desc(&b, e[k], &data);
	inode_encode(b.i, &data, record);
	FUZZ_OK(tree_node(&b.c->itable, 0, BIG / INODE_PER_PAGE, false, &leaf));
	tree_dirty(&b.c->itable, leaf);
	memcpy(leaf->page + BIG % INODE_PER_PAGE * INODE_RECORD, record, sizeof record);
	tree_put(&b.c->itable, leaf);
	inode_put(b.i);
	txn_end(b.c);
	FUZZ_OK(comp_close(b.c));
}

static bool was_written(uint64_t leaf)
{
	for (size_t i = 0; i < CL_ARRAY_LEN(written); i++)
		if (written[i] == leaf)
			return true;
	return false;
}

/* Page of this leaf is what it may be. */
static void check_page(const struct bench *b, uint64_t leaf, const uint8_t *page)
{
	for (size_t m = b->n_mine; m > 0; m--) {
		if (b->mine[m - 1].leaf != leaf)
			continue;
		if (b->mine[m - 1].unsure)
			return;
		for (unsigned i = 0; i < CL_PAGE; i++)
			FUZZ_CHECK(page[i] == b->mine[m - 1].byte, "leaf %ju is not what was written", (uintmax_t)leaf);
		return;
	}
	if (bytes_are_zero(page, CL_PAGE))
		return;
	FUZZ_CHECK(was_written(leaf), "leaf %ju shows what is not its own", (uintmax_t)leaf);
	for (unsigned i = 0; i < CL_PAGE; i++)
		FUZZ_CHECK(page[i] == (uint8_t)(i * 7 + leaf + 1), "leaf %ju, byte %u", (uintmax_t)leaf, i);
}

static bool is_mine(const struct bench *b, uint64_t leaf)
{
	for (size_t m = 0; m < b->n_mine; m++)
		if (b->mine[m].leaf == leaf && !b->mine[m].unsure)
			return true;
	return false;
}

static void read_leaf(struct bench *b, uint64_t leaf)
{
	static uint8_t page[CL_PAGE] __attribute__((aligned(CL_PAGE)));
	struct seal_ref ref;
	int err = tree_get_refs(&b->i->data, leaf, 1, &ref);

	if (!err) {
		err = leaf_read(&b->i->data, leaf, 1, &ref, page);
		FUZZ_CHECK(!seal_ref_is_hole(&ref) || (!err && bytes_are_zero(page, CL_PAGE)), "a hole is not zeros");
	}
	FUZZ_ERROR(err, -EBADMSG);
	if (!err)
		check_page(b, leaf, page);
	else
		FUZZ_CHECK(!is_mine(b, leaf), "what was written cannot be read");
}

static void walk(struct bench *b, uint64_t from, bool hole)
{
	uint64_t at = from;

	for (unsigned n = 0; n < 16; n++) {
		struct seal_ref ref;
		uint64_t next;
		int err = tree_next(&b->i->data, at, TREE_LEAVES_MAX, hole, &next);
		FUZZ_ERROR(err, -EBADMSG);
		if (err || next == TREE_LEAVES_MAX)
			return;
		FUZZ_CHECK(next >= at, "goes back");
		err = tree_get_refs(&b->i->data, next, 1, &ref);
		FUZZ_ERROR(err, -EBADMSG);
		FUZZ_CHECK(!err && seal_ref_is_hole(&ref) == hole, "leaf %ju: not %s", (uintmax_t)next,
			   hole ? "a hole" : "stored");
		at = next + 1;
	}
}

static void note(struct bench *b, uint64_t leaf, uint8_t byte)
{
	b->mine[b->n_mine].leaf = leaf;
	b->mine[b->n_mine++].byte = byte;
}

static void write_leaf(struct bench *b, uint64_t leaf, uint8_t byte)
{
	static uint8_t page[CL_PAGE] __attribute__((aligned(CL_PAGE)));
	struct leaf_run *run = malloc(sizeof *run);

	FUZZ_CHECK(run, "out of memory");
	if (leaf >= b->c->leaves_max) { /* no lower file is that long: who writes data looks first */
		free(run);
		return;
	}
	memset(page, byte, sizeof page);
	FUZZ_OK(leaf_seal_running(&b->i->data, leaf, 1, page, run));
	int err = leaf_commit(&b->i->data, run, &b->i->stored);
	FUZZ_ERROR(err, -EBADMSG);
	if (!err)
		note(b, leaf, byte);
	free(run);
}

static void zero_leaves(struct bench *b, uint64_t leaf, uint8_t n)
{
	uint64_t first = leaf, last = n == 255 ? TREE_LEAVES_MAX - 1 : leaf + n;
	size_t mine = b->n_mine;
	int err = tree_zero(&b->i->data, first, last, &b->i->stored);

	FUZZ_ERROR(err, -EBADMSG);
	if (err) {
		/* Some of it may be gone. */
		for (size_t m = 0; m < mine; m++)
			if (b->mine[m].leaf >= first && b->mine[m].leaf <= last)
				b->mine[m].unsure = true;
		return;
	}
	for (size_t m = 0; m < mine; m++)
		if (b->mine[m].leaf >= first && b->mine[m].leaf <= last)
			b->mine[m].byte = 0;
	for (uint64_t l = first; l <= CL_MIN(last, first + 3); l++) {
		struct seal_ref ref;
		FUZZ_OK(tree_get_refs(&b->i->data, l, 1, &ref));
		FUZZ_CHECK(seal_ref_is_hole(&ref), "leaf %ju is still stored", (uintmax_t)l);
	}
}

static void act(struct bench *b, struct fuzz_in *in)
{
	uint8_t kind = fuzz_u8(in);
	uint64_t leaf = fuzz_u32(in);
	uint8_t n = fuzz_u8(in);

	leaf = n & 1 ? leaf % 300 : n & 2 ? 19900 + leaf % 300 : leaf << (n >> 5 & 3);
	switch (kind % ACT_N) {
	case ACT_READ:
		read_leaf(b, leaf);
		break;
	case ACT_NEXT:
		walk(b, leaf, n & 4);
		break;
	case ACT_WRITE:
		write_leaf(b, leaf, (uint8_t)(n | 0x80));
		break;
	case ACT_ZERO:
		zero_leaves(b, leaf, n);
		break;
	case ACT_COMMIT:
		txn_end(b->c);
		FUZZ_OK(txn_commit(b->c, NULL, false));
		FUZZ_OK(txn_begin(b->c));
		FUZZ_OK(inode_dirty(b->i));
		break;
	}
}

static void look(struct bench *b)
{
	for (size_t i = 0; i < CL_ARRAY_LEN(written); i++)
		for (uint64_t leaf = written[i] ? written[i] - 1 : 0; leaf <= written[i] + 1; leaf++)
			read_leaf(b, leaf);
	for (size_t m = 0; m < b->n_mine; m++)
		read_leaf(b, b->mine[m].leaf);
	walk(b, 0, false);
	walk(b, 0, true);
}

static void run(const uint8_t *data, size_t len)
{
	struct fuzz_in in = { data, len };
	struct bench b = { 0 };
	struct disk d;

	disk_new(&d);
	edit(&d, &in);
	b.c = disk_open(&d, 0);
	int err = inode_get(b.c, BIG, &b.i);
	FUZZ_ERROR(err, -EUCLEAN);
	if (!err) {
		look(&b);
		FUZZ_OK(txn_begin(b.c));
		FUZZ_OK(inode_dirty(b.i));
		for (unsigned n = 0; n < ACTIONS_MAX && in.n; n++)
			act(&b, &in);
		look(&b);
		inode_put(b.i);
		txn_end(b.c);
		FUZZ_OK(comp_close(b.c));
		b.c = disk_open(&d, 0);
		FUZZ_OK(inode_get(b.c, BIG, &b.i));
		look(&b);
		inode_put(b.i);
	}
	comp_free(b.c);
	disk_free(&d);
}

static void seeds(fuzz_put_fn *put, void *arg)
{
	static const struct {
		const char *name;
		uint8_t n, edits[8];
	} inputs[] = {
		{ "none", 0, { 0 } },
		{ "copy", 1, { EDIT_COPY, 0, 2, 0 } },
		{ "copy-level-2", 1, { EDIT_COPY, 3, 5, 0 } },
		{ "zero", 1, { EDIT_ZERO, 1, 72, 0 } },
		{ "zero-child", 1, { EDIT_ZERO, 5, 0, 0 } },
		{ "byte", 1, { EDIT_BYTE, 3, 0, 5 } },
		{ "byte-leaf", 1, { EDIT_BYTE, 0, 2, 5 } },
		{ "across", 2, { EDIT_ACROSS, 0, 3, 0, EDIT_ACROSS, 3, 5, 1 } },
		{ "height-0", 1, { EDIT_HEIGHT, 0, 0, 0 } },
		{ "height-2", 1, { EDIT_HEIGHT, 0, 2, 0 } },
		{ "height-5", 1, { EDIT_HEIGHT, 0, 5, 0 } },
		{ "height-6", 1, { EDIT_HEIGHT, 0, 6, 0 } },
		{ "root", 2, { EDIT_ROOT, 5, 0, 0, EDIT_HEIGHT, 0, 2, 0 } },
		{ "root-leaf", 2, { EDIT_ROOT, 0, 0, 0, EDIT_HEIGHT, 0, 0, 0 } },
		{ "root-hole", 1, { EDIT_ROOT, 0, 9, 0 } },
	};
	static const uint8_t actions[] = { ACT_WRITE,  7,   0, 0, 0, 1, ACT_ZERO,   0,   0, 0, 0, 9,
					   ACT_WRITE,  0,   0, 0, 1, 0, ACT_COMMIT, 0,   0, 0, 0, 0,
					   ACT_NEXT,   0,   0, 0, 0, 4, ACT_READ,   200, 0, 0, 0, 1,
					   ACT_WRITE,  200, 0, 0, 0, 1, ACT_ZERO,   0,   0, 0, 0, 255,
					   ACT_COMMIT, 0,   0, 0, 0, 0, ACT_WRITE,  0,   0, 0, 0, 1 };

	for (size_t k = 0; k < CL_ARRAY_LEN(inputs); k++) {
		struct fuzz_out o = { 0 };
		fuzz_put_u8(&o, inputs[k].n);
		fuzz_put_bytes(&o, inputs[k].edits, inputs[k].n * 4u);
		fuzz_put_bytes(&o, actions, sizeof actions);
		put(arg, inputs[k].name, o.p, o.n);
	}
}

const struct fuzz_target fuzz_tree = { "tree", 512, run, seeds };
