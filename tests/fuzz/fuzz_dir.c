/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Fuzz target: directory pages. Input: which[1], changes to page which % 2 of a directory of several pages; from
 * 0x80 on the bytes of a whole page in its place. The page is put behind the authentication, then the directory is
 * worked with.
 */
#include "tests/fuzz/disk.h"
#include "tests/fuzz/fuzz.h"

#include "fs/dir.h"
#include "fs/txn.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DIRECTORY = 12, ADDED = 24, MOST = 2048 };

struct names {
	size_t n;
	struct dir_entry e[MOST];
};

static void check_entry(const struct dir_entry *e)
{
	FUZZ_CHECK(e->ino && e->ino < INODE_MAX, "inode number");
	FUZZ_CHECK(e->name_len && strlen(e->name) == e->name_len, "a NUL in a name, or none");
	FUZZ_CHECK(!strchr(e->name, '/'), "a slash in a name");
}

static int on_entry(void *arg, const struct dir_entry *e)
{
	struct names *names = arg;

	check_entry(e);
	FUZZ_CHECK(!names->n || names->e[names->n - 1].pos < e->pos, "out of order");
	FUZZ_CHECK(names->n < MOST, "too many entries");
	names->e[names->n++] = *e;
	return 0;
}

static bool has_twice(const struct names *names, const char *name)
{
	size_t n = 0;

	for (size_t i = 0; i < names->n; i++)
		n += !strcmp(names->e[i].name, name);
	return n > 1;
}

/* All of it by dir_next. Returns its end. */
static int list(struct inode *dir, struct names *ret)
{
	struct dir_entry e;
	int err;

	ret->n = 0;
	for (uint64_t pos = 0; !(err = dir_next(dir, pos, &e)); pos = e.pos + 1) {
		FUZZ_CHECK(e.pos >= pos, "goes back");
		(void)on_entry(ret, &e);
	}
	return err;
}

static void change_page(struct inode *dir, uint64_t page, struct fuzz_in *in, bool whole)
{
	struct node *n;

	FUZZ_OK(tree_node(&dir->data, 0, page, true, &n));
	tree_dirty(&dir->data, n);
	if (whole) {
		memset(n->page, 0, CL_PAGE);
		if (in->n)
			memcpy(n->page, in->p, CL_MIN(in->n, CL_PAGE));
	} else {
		fuzz_patch(in, n->page, CL_PAGE);
	}
	tree_put(&dir->data, n);
}

/* Each page by itself; the entries of the sound ones. Returns how many are not. */
static unsigned check_pages(struct inode *dir, struct names *ret)
{
	unsigned bad = 0;

	ret->n = 0;
	for (uint64_t p = 0; p < dir->size / CL_PAGE; p++) {
		struct node *n;
		size_t before = ret->n;
		FUZZ_OK(tree_node(&dir->data, 0, p, false, &n));
		int err = n ? dir_check_page(n->page, p, on_entry, ret) : 0;
		FUZZ_ERROR(err, -EUCLEAN);
		if (err)
			ret->n = before;
		bad += err != 0;
		tree_put(&dir->data, n);
	}
	return bad;
}

/* All entries of sound pages are listed; of others those that are sound themselves. */
static void compare(const struct names *sound, const struct names *listed, bool damaged)
{
	size_t at = 0;

	FUZZ_CHECK(damaged ? listed->n >= sound->n : listed->n == sound->n, "%zu entries, not %zu", listed->n,
		   sound->n);
	for (size_t i = 0; i < sound->n; i++) {
		while (damaged && at < listed->n && listed->e[at].pos < sound->e[i].pos)
			at++;
		FUZZ_CHECK(at < listed->n && listed->e[at].pos == sound->e[i].pos &&
				   !strcmp(listed->e[at].name, sound->e[i].name),
			   "entry %zu is not listed", i);
		at++;
	}
}

static void find_all(struct inode *dir, const struct names *names, bool damaged)
{
	struct dir_entry e;

	for (size_t i = 0; i < names->n; i++) {
		FUZZ_OK(dir_find(dir, names->e[i].name, &e));
		check_entry(&e);
		FUZZ_CHECK(!strcmp(e.name, names->e[i].name), "another name");
		FUZZ_CHECK(e.pos == names->e[i].pos || has_twice(names, e.name), "another entry");
	}
	int err = dir_find(dir, "this one is not there", &e);
	FUZZ_CHECK(err == (damaged ? -EBADMSG : -ENOENT), "not found: %d", err);
}

static void add_some(struct inode *dir, bool damaged)
{
	uint8_t gate[16] = { 7 };
	struct dir_entry e;
	char name[FS_NAME_MAX + 1];

	for (unsigned i = 0; i < ADDED; i++) {
		snprintf(name, sizeof name, "%0*u", (int)(1 + i * 37 % 255), i);
		int err = dir_find(dir, name, &e);
		if (!err)
			continue;
		FUZZ_CHECK(err == (damaged ? -EBADMSG : -ENOENT), "%s: %d", name, err);
		FUZZ_OK(dir_add(dir, name, 77 + i, DT_REG, i % 5 ? NULL : gate));
		FUZZ_OK(dir_find(dir, name, &e));
		FUZZ_CHECK(e.ino == 77 + i && e.is_gate == !(i % 5) && (!e.is_gate || !memcmp(e.gate, gate, 16)),
			   "not what was added");
		FUZZ_OK(dir_prepare(dir, &e));
		if (!e.is_gate) /* a gate is never another inode's */
			FUZZ_OK(dir_retarget(dir, &e, 99, DT_DIR));
	}
}

/* Takes away every other entry, then the rest. */
static void remove_all(struct inode *dir, struct names *names)
{
	for (unsigned step = 2; step; step--)
		for (size_t i = 0; i < names->n; i += step) {
			if (!names->e[i].ino)
				continue;
			FUZZ_OK(dir_remove(dir, &names->e[i]));
			names->e[i].ino = 0;
		}
}

static void work(struct inode *dir, unsigned bad)
{
	static struct names names, listed, after;
	uint64_t entries;

	(void)check_pages(dir, &names);
	int err = list(dir, &listed);
	FUZZ_CHECK(err == (bad ? -EBADMSG : -ENOENT), "end of the listing: %d, %u pages are bad", err, bad);
	compare(&names, &listed, bad);
	FUZZ_OK(dir_load(dir));
	find_all(dir, &names, bad);
	dir->entries = entries = names.n;
	add_some(dir, bad);
	FUZZ_CHECK(check_pages(dir, &names) == bad, "other pages are bad now");
	FUZZ_CHECK(names.n == dir->entries && names.n > entries, "%zu entries counted, %zu there", (size_t)dir->entries,
		   names.n);
	find_all(dir, &names, bad);
	remove_all(dir, &names);
	FUZZ_CHECK(dir->entries == 0 && check_pages(dir, &after) == bad && after.n == 0, "there is something left");
	find_all(dir, &after, bad);
}

static void run(const uint8_t *data, size_t len)
{
	static struct names names;
	struct fuzz_in in = { data, len };
	struct inode *dir;
	struct disk d;
	uint8_t which = fuzz_u8(&in);

	disk_new(&d);
	struct comp *c = disk_open(&d, 0);
	FUZZ_OK(txn_begin(c));
	FUZZ_OK(inode_get(c, DIRECTORY, &dir));
	FUZZ_OK(inode_dirty(dir));
	change_page(dir, which % 2, &in, which & 0x80);
	work(dir, check_pages(dir, &names));
	inode_put(dir);
	txn_end(c);
	comp_free(c);
	disk_free(&d);
}

static void seeds(fuzz_put_fn *put, void *arg)
{
	static const struct {
		const char *name;
		uint16_t off;
		uint8_t len, bytes[12];
	} changes[] = {
		{ "used", 0, 2, { 1 } },          { "live", 2, 2, { 200 } },
		{ "zero", 9, 1, { 1 } },          { "record-short", 24, 2, { 8 } },
		{ "record-odd", 24, 2, { 252 } }, { "record-long", 24, 2, { 0, 16 } },
		{ "free", 16, 1, { 0 } },         { "name-len", 27, 1, { 255 } },
		{ "no-name", 27, 1, { 0 } },      { "gate", 26, 1, { 0x88 } },
		{ "nul", 28, 1, { 0 } },          { "slash", 28, 1, { '/' } },
		{ "inode", 22, 2, { 0, 0x80 } },  { "first-free", 16, 10, { 0, 0, 0, 0, 0, 0, 0, 0, 0xf0, 0x0f } },
	};
	uint8_t page[1 + CL_PAGE] = { 0x80 };

	for (unsigned k = 0; k < CL_ARRAY_LEN(changes); k++) {
		struct fuzz_out o = { 0 };
		fuzz_put_u8(&o, k % 2);
		fuzz_put_patch(&o, changes[k].off, changes[k].bytes, changes[k].len);
		put(arg, changes[k].name, o.p, o.n);
	}
	put(arg, "hole", page, 2);
	/* FORMAT's example. */
	memcpy(page + 1, "\x40\0\2", 3);
	memcpy(page + 17, "\1\0\0\0\0\0\0\0\x28\0\x84\6secret", 18);
	memset(page + 35, 0x30, 16);
	memcpy(page + 57, "\2\0\0\0\0\0\0\0\xc8\x0f\x08\6readme", 18);
	put(arg, "example", page, 80);
}

const struct fuzz_target fuzz_dir = { "dir", 1 + CL_PAGE, run, seeds };
