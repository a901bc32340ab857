/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Unit tests of fs_check: pages that authenticate and are wrong, as a faulty writer leaves them. */
#include "tests/unit/check_fixture.h"

#include "fs/leaf.h"
#include "fs/xattr.h"

#include <dirent.h>

#define LOW(ino) ((ino)&0xffffffffffff)

/* A volume with /dir/sub/deep, /dir/file (also /dir/link), /dir/other, /sym, /lnk. */
struct tree_of {
	struct volume *v;
	uint64_t dir, sub, deep, file, other, sym, lnk;
};

static void grow_tree(struct tree_of *t)
{
	struct fs_attr a;
	char target[400];
	struct volume *v = t->v = volume_new();

	volume_open(v, 0);
	t->dir = make(v, 1, "dir", S_IFDIR | 0755, NULL);
	t->sub = make(v, t->dir, "sub", S_IFDIR | 0755, NULL);
	t->deep = make(v, t->sub, "deep", S_IFDIR | 0755, NULL);
	t->file = make(v, t->dir, "file", S_IFREG | 0644, NULL);
	put(v, t->file, 0, 50000);
	ck_assert_int_eq(fs_link(v->fs, t->file, t->dir, "link", &a), 0);
	fs_forget(v->fs, a.ino, 1);
	t->other = make(v, t->dir, "other", S_IFREG | 0644, NULL);
	put(v, t->other, 0, 100);
	t->sym = make(v, 1, "sym", S_IFLNK | 0777, "target");
	memset(target, 'y', sizeof target);
	target[399] = '\0';
	t->lnk = make(v, 1, "lnk", S_IFLNK | 0777, target);
	volume_close(v);
	verdict(v, false, 0, 0);
}

/* What the check must say of it; a null text ends the list. */
struct want {
	const char *path, *text;
};

/* Exactly these errors, and the same once more with a replay: nothing of it is repaired, nothing made worse. */
static void expect_all(struct tree_of *t, const struct want *want)
{
	size_t n = 0;

	while (want[n].text)
		n++;
	for (unsigned pass = 0; pass < 2; pass++) {
		verdict(t->v, pass == 1, n, 0);
		for (size_t i = 0; i < n; i++)
			expect(t->v, want[i].path, want[i].text);
	}
	volume_free(t->v);
}
#define EXPECT(t, ...) expect_all(t, (const struct want[]){ __VA_ARGS__, { NULL, NULL } })

START_TEST(test_records)
{
	struct tree_of t;

	grow_tree(&t);
	struct comp *c = inside(t.v, 0);
	struct inode *i = take(c, t.file);
	i->nlink = 3;
	i->stored++;
	i->parent = 5;
	inode_put(i);
	i = take(c, t.other);
	i->size = 50;
	i->inline_area[200] = 1;
	inode_put(i);
	i = take(c, t.dir);
	i->nlink++;
	i->entries++;
	i->stored++;
	inode_put(i);
	i = take(c, t.deep);
	i->parent = 1;
	inode_put(i);
	i = take(c, t.sym);
	i->inline_area[2] = '\0';
	inode_put(i);
	i = take(c, t.lnk);
	i->size = 5000;
	inode_put(i);
	leave(c);
	EXPECT(&t, { "/dir/file", "its link count is 3, but 2 names lead to it" },
	       { "/dir/file", "contents: its record says that 14 pages are stored, but 13 are" },
	       { "/dir/file", "its record has a parent or entries, but it is no directory" },
	       { "/dir/other", "contents: its last page is not zero behind its 50 bytes" },
	       { "/dir/other", "its record has something where zeros must be" },
	       { "/dir", "directory: its link count is 4, expected 3" },
	       { "/dir", "directory: its record says that it has 5 entries, but it has 4" },
	       { "/dir", "directory: its record says that 2 pages are stored, but 1 are" },
	       { "/dir/sub/deep", "its record says that it is in inode 1, but it is in 3" },
	       { "/sym", "link target: it has a NUL byte in it" },
	       { "/lnk", "link target: its length of 5000 bytes cannot be right" });
}
END_TEST

/* Rewrites one entry of a directory in place. */
static void retarget(struct comp *c, uint64_t dir, const char *name, uint64_t ino, uint8_t type)
{
	struct inode *d = take(c, dir);
	struct dir_entry e;

	ck_assert_int_eq(dir_find(d, name, &e), 0);
	ck_assert_int_eq(dir_retarget(d, &e, LOW(ino), type), 0);
	inode_put(d);
}

static void add(struct comp *c, uint64_t dir, const char *name, uint64_t ino, uint8_t type, const uint8_t *gate)
{
	struct inode *d = take(c, dir);

	ck_assert_int_eq(dir_add(d, name, LOW(ino), type, gate), 0);
	inode_put(d);
}

START_TEST(test_entries)
{
	struct tree_of t;

	grow_tree(&t);
	struct comp *c = inside(t.v, 0);
	retarget(c, t.dir, "link", 4000, DT_REG);
	retarget(c, t.dir, "other", t.other, DT_FIFO);
	add(c, t.deep, "x", t.sym, DT_LNK, NULL);
	add(c, t.deep, "x", t.lnk, DT_LNK, NULL);
	add(c, t.deep, "..", t.lnk, DT_LNK, NULL);
	leave(c);
	EXPECT(&t, { "/dir/link", "leads to inode 4000, which is not in use" },
	       { "/dir/file", "its link count is 2, but 1 name leads to it" },
	       { "/dir/other", "its entry says it is a fifo, its inode" }, { "/dir/sub/deep/x", "is there twice" },
	       { "/dir/sub/deep/..", "is a name that is not stored" },
	       { "/sym", "its link count is 1, but 2 names lead to it" },
	       { "/lnk", "its link count is 1, but 3 names lead to it" });
}
END_TEST

START_TEST(test_loop)
{
	struct tree_of t;

	grow_tree(&t);
	struct comp *c = inside(t.v, 0);
	/* deep leads back to sub, and to the root; dir/sub leads elsewhere: sub and deep hang together, on nothing. */
	add(c, t.deep, "up", t.sub, DT_DIR, NULL);
	add(c, t.deep, "top", 1, DT_DIR, NULL);
	retarget(c, t.dir, "sub", t.deep, DT_DIR);
	struct inode *i = take(c, t.deep);
	i->nlink += 2;
	inode_put(i);
	leave(c);
	EXPECT(&t, { "/dir/sub/top", "which has another name: a loop" },
	       { "/dir/sub", "its record says that it is in inode" }, { "/dir/sub/up/deep", "which has another name" },
	       { "/dir/sub/up", "its record says that it is in inode" });
}
END_TEST

START_TEST(test_unreachable)
{
	struct tree_of t;
	struct dir_entry e;

	grow_tree(&t);
	struct comp *c = inside(t.v, 0);
	struct inode *d = take(c, t.dir);
	ck_assert_int_eq(dir_find(d, "sub", &e), 0);
	ck_assert_int_eq(dir_remove(d, &e), 0);
	d->nlink--;
	inode_put(d);
	/* A ring on its own: below sub, deep has sub again. */
	add(c, t.deep, "up", t.sub, DT_DIR, NULL);
	d = take(c, t.deep);
	d->nlink++;
	inode_put(d);
	d = take(c, t.sub);
	d->parent = LOW(t.deep);
	inode_put(d);
	leave(c);
	EXPECT(&t, { "", "inode 3: no name leads to it" },
	       { "", "entry \"up\": leads to the directory with inode 3, which has another name" });
}
END_TEST

/* Of what hangs together only the top is told, whatever the numbers are. */
START_TEST(test_lost_tree)
{
	struct tree_of t;
	struct dir_entry e;

	grow_tree(&t);
	volume_open(t.v, 0);
	uint64_t late = make(t.v, 1, "late", S_IFDIR | 0755, NULL);
	ck_assert_int_eq(fs_rename(t.v->fs, t.dir, "sub", late, "sub", 0), 0);
	volume_close(t.v);
	struct comp *c = inside(t.v, 0);
	struct inode *d = take(c, 1);
	ck_assert_int_eq(dir_find(d, "late", &e), 0);
	ck_assert_int_eq(dir_remove(d, &e), 0);
	d->nlink--;
	inode_put(d);
	leave(c);
	EXPECT(&t, { "", "inode 9: no name leads to it" });
}
END_TEST

START_TEST(test_behind)
{
	struct tree_of t;

	grow_tree(&t);
	struct comp *c = inside(t.v, 0);
	struct inode *i = take(c, t.file);
	i->size = 8192;
	inode_put(i);
	leave(c);
	EXPECT(&t, { "/dir/file", "contents: pages behind its 8192 bytes are not zero" });
}
END_TEST

START_TEST(test_objects)
{
	struct tree_of t;
	struct tree_desc desc;

	grow_tree(&t);
	struct comp *c = inside(t.v, 0);
	struct inode *i = take(c, t.file), *o = take(c, t.other);
	uint64_t object = i->data.object, was = o->data.object;
	/* The very same contents twice: every page of it opens. */
	tree_describe(&i->data, &desc);
	ck_assert_int_eq(tree_load(&o->data, &desc), 0);
	o->size = i->size;
	o->stored = i->stored;
	inode_put(i);
	inode_put(o);
	leave(c);
	c = inside(t.v, 0);
	c->next_object = object;
	leave(c);
	char again[96];
	snprintf(again, sizeof again, "contents: object %u belongs to inode", (unsigned)object);
	verdict(t.v, false, 4, 0);
	expect(t.v, "/dir/other", again);
	expect(t.v, "/lnk", "was never given out");
	expect(t.v, "/dir/file", "was never given out");
	expect(t.v, "/dir/other", "was never given out");
	/* What was its own is of nobody now. */
	expect(t.v, "", "1 lower file belongs to no inode that could be read: left by a crash, harmless");
	ck_assert_uint_ne(was, object);
	volume_free(t.v);
}
END_TEST

static void set_bit(struct tree *t, uint64_t n, bool to)
{
	struct node *node;

	ck_assert_int_eq(tree_node(t, 0, 0, true, &node), 0);
	tree_dirty(t, node);
	if (to)
		node->page[n / 8] |= (uint8_t)(1u << (n % 8));
	else
		node->page[n / 8] &= (uint8_t) ~(1u << (n % 8));
	tree_put(t, node);
}

START_TEST(test_bitmaps)
{
	struct tree_of t;

	grow_tree(&t);
	struct comp *c = inside(t.v, 0);
	set_bit(&c->ibitmap, LOW(t.sym), false);
	set_bit(&c->ibitmap, 100, true);
	set_bit(&c->ibitmap, 101, true);
	set_bit(&c->ibitmap, 200, true);
	set_bit(&c->orphans, 300, true);
	c->inodes_used += 7;
	c->inode_limit = 3;
	leave(c);
	EXPECT(&t, { "/sym", "its inode is in use, but free in the inode bitmap" },
	       { "", "inodes 100-101: in use in the inode bitmap, but free in the table" },
	       { "", "inode 200: in use in the inode bitmap" },
	       { "", "inode 300: in the orphan bitmap, but not in use" },
	       { "", "root page: it says that 15 inodes are in use, but 8 are" },
	       { "", "root page: it says that all inodes are below 3, but 8 is in use" },
	       { "", "root page: it says that there are 15 inodes in use, but the inode bitmap has 10" },
	       { "", "root page: it says that there are 0 orphans, but the orphan bitmap has 1" });
}
END_TEST

/* Changes bytes of an inode's record. */
static void poke(struct comp *c, uint64_t ino, unsigned off, uint8_t value)
{
	struct node *n;

	ino = LOW(ino);
	ck_assert_int_eq(tree_node(&c->itable, 0, ino / INODE_PER_PAGE, false, &n), 0);
	ck_assert_ptr_nonnull(n);
	tree_dirty(&c->itable, n);
	n->page[ino % INODE_PER_PAGE * INODE_RECORD + off] = value;
	tree_put(&c->itable, n);
}

START_TEST(test_malformed)
{
	struct tree_of t;

	grow_tree(&t);
	struct comp *c = inside(t.v, 0);
	poke(c, t.file, 97, 1); /* zero */
	poke(c, t.other, 276, 1);
	poke(c, t.sym, 208, 1); /* root of a tree that there is not */
	poke(c, 12, 100, 1);    /* free */
	leave(c);
	EXPECT(&t, { "/dir/file", "its record in the inode table is malformed" },
	       { "/dir/other", "its record in the inode table is malformed" },
	       { "/sym", "its record has something where zeros must be" },
	       { "", "inode 12: free, but its record is not empty" });
}
END_TEST

START_TEST(test_directory_page)
{
	struct tree_of t;
	struct node *n;

	grow_tree(&t);
	struct comp *c = inside(t.v, 0);
	struct inode *d = take(c, t.dir);
	ck_assert_int_eq(tree_node(&d->data, 0, 0, false, &n), 0);
	tree_dirty(&d->data, n);
	n->page[2]++; /* live entries */
	tree_put(&d->data, n);
	/* A page behind the end. */
	ck_assert_int_eq(tree_node(&d->data, 0, 3, true, &n), 0);
	tree_dirty(&d->data, n);
	n->page[0] = 1;
	tree_put(&d->data, n);
	d->stored++;
	inode_put(d);
	leave(c);
	/* The names themselves were all seen: no more is said. */
	EXPECT(&t, { "/dir", "directory: page 0 is malformed: names may be lost" },
	       { "/dir", "there are entries behind its end" });
}
END_TEST

static void store_list(struct comp *c, uint64_t ino, const uint8_t *list, size_t len)
{
	struct leaf_run *run = malloc(sizeof *run);
	struct inode *i = take(c, ino);
	uint64_t stored = 0;
	uint8_t page[CL_PAGE] = { 0 };

	ck_assert_ptr_nonnull(run);
	memcpy(page, list, len);
	page[4000] = 1; /* behind the list */
	ck_assert_int_eq(tree_make(&i->xattr, comp_new_object(c)), 0);
	ck_assert_int_eq(leaf_seal_running(&i->xattr, 0, 1, page, run), 0);
	ck_assert_int_eq(leaf_commit(&i->xattr, run, &stored), 0);
	i->xattr_object = true;
	i->xattr_len = (uint32_t)len;
	inode_put(i);
	free(run);
}

START_TEST(test_attributes)
{
	static const uint8_t twice[] = "\6\0\1\0\0\0user.ax\6\0\0\0\0\0user.b\6\0\0\0\0\0user.a";
	static const uint8_t broken[] = "\6\0\1\0\0\0user.";
	struct tree_of t;

	grow_tree(&t);
	struct comp *c = inside(t.v, 0);
	struct inode *i = take(c, t.sub);
	memcpy(i->inline_area, twice, sizeof twice - 1);
	i->xattr_inline_len = sizeof twice - 1;
	inode_put(i);
	i = take(c, t.deep);
	memcpy(i->inline_area, broken, sizeof broken - 1);
	i->xattr_inline_len = sizeof broken - 1;
	inode_put(i);
	store_list(c, t.file, twice, sizeof twice - 1);
	leave(c);
	EXPECT(&t, { "/dir/sub", "attribute list: user.a is there twice" },
	       { "/dir/sub/deep", "attribute list: it is malformed" },
	       { "/dir/file", "attribute list: user.a is there twice" },
	       { "/dir/file", "attribute list: its last page is not zero behind its 37 bytes" });
}
END_TEST

START_TEST(test_orphans)
{
	struct tree_of t;

	grow_tree(&t);
	struct comp *c = inside(t.v, 0);
	struct inode *i = take(c, t.other);
	i->nlink = 0; /* named, and not in the bitmap */
	inode_put(i);
	leave(c);
	verdict(t.v, false, 2, 0);
	expect(t.v, "/dir/other", "its link count is 0, but its inode is not in the orphan bitmap");
	expect(t.v, "/dir/other", "its link count is 0, but it has a name");
	volume_free(t.v);
}
END_TEST

/* Orphans are found wherever they are; a limit that is only a number keeps nobody. */
START_TEST(test_far_orphans)
{
	struct volume *v = volume_new();
	struct inode *i;

	struct comp *c = inside(v, 0);
	c->inode_hint = c->inode_limit = 5000000;
	ck_assert_int_eq(inode_new(c, S_IFREG | 0600, true, &i), 0);
	ck_assert_uint_eq(i->ino, 5000000);
	inode_put(i);
	txn_end(c);
	ck_assert_int_eq(txn_commit(c, NULL, false), 0);
	comp_free(c); /* the session ends without a word */
	c = inside(v, 0);
	ck_assert_uint_eq(c->n_orphans, 0);
	ck_assert_int_eq(inode_get(c, 5000000, &i), -ENOENT);
	leave(c);
	verdict(v, false, 0, 0);
	c = inside(v, 0);
	c->inode_limit = INODE_MAX;
	c->n_orphans = 1;
	leave(c);
	c = inside(v, 0);
	leave(c);
	verdict(v, false, 1, 0);
	expect(v, "", "root page: it says that there are 1 orphans, but the orphan bitmap has 0");
	volume_free(v);
}
END_TEST

START_TEST(test_gates)
{
	struct tree_of t;
	uint8_t unknown[16] = { 9 };

	grow_tree(&t);
	struct comp *c = inside(t.v, 0);
	add(c, 1, "own", 1, DT_DIR, t.v->c[0].id);
	add(c, 1, "second", 7, DT_DIR, t.v->c[1].id);
	add(c, t.sub, "below", 1, DT_DIR, unknown);
	add(c, 1, "unknown", 1, DT_DIR, unknown); /* of a compartment that is not given: nothing is said */
	struct inode *i = take(c, 1);
	i->nlink += 3;
	inode_put(i);
	i = take(c, t.sub);
	i->nlink++;
	inode_put(i);
	leave(c);
	verdict(t.v, false, 4, 0);
	expect(t.v, "/own", "leads to its own compartment");
	expect(t.v, "/second", "leads to inode 7 of another compartment");
	expect(t.v, "/second", "leads to a compartment that another entry leads to already");
	expect(t.v, "/dir/sub/below", "which only entries of the volume's root may");
	/* And none at all. */
	c = inside(t.v, 0);
	struct dir_entry e;
	i = take(c, 1);
	static const char *const gates[] = { "own", "second", "unknown", "upper" };
	for (unsigned n = 0; n < 4; n++) {
		ck_assert_int_eq(dir_find(i, gates[n], &e), 0);
		ck_assert_int_eq(dir_remove(i, &e), 0);
		i->nlink--;
	}
	inode_put(i);
	leave(c);
	verdict(t.v, false, 2, 0);
	expect(t.v, "", "compartment a1a1a1a1: no entry of the volume's root directory leads to it");
	volume_free(t.v);
}
END_TEST

/* A path that is too long loses its beginning, nothing else. */
START_TEST(test_deep)
{
	struct volume *v = volume_new();
	char name[256];
	uint64_t at = 1;

	memset(name, 'n', 255);
	name[255] = '\0';
	volume_open(v, 0);
	for (unsigned i = 0; i < 300; i++)
		at = make(v, at, name, S_IFDIR | 0755, NULL);
	uint64_t f = make(v, at, "end", S_IFREG | 0644, NULL);
	put(v, f, 0, 1);
	volume_close(v);
	verdict(v, false, 0, 0);
	flip(lower(v, 0, object_file(object_of(v, 0, f, false))), 0);
	verdict(v, false, 1, 0);
	ck_assert_int_eq(strncmp(v->found[0].path, ".../nnn", 7), 0);
	volume_free(v);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = { test_records,        test_entries,    test_loop,
				       test_unreachable,    test_lost_tree,  test_behind,
				       test_objects,        test_bitmaps,    test_malformed,
				       test_directory_page, test_attributes, test_orphans,
				       test_gates,          test_deep,       test_far_orphans };

	return run_tests("check_inside", tests, CL_ARRAY_LEN(tests));
}
