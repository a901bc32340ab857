/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Fuzz target: inode records. Input: kind[1], changes to a good record of that kind, or from 0x80 on a whole record.
 */
#include "tests/fuzz/disk.h"
#include "tests/fuzz/fuzz.h"

#include "fs/xattr.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { OBJECT = 88, STORED = 104, XATTR_OBJECT = 192, LINK_LEN = 272, SIZE = 32 };

/* Records as FORMAT section 5 has them: file, directory, symbolic link, fifo, free. */
static void good(unsigned kind, uint8_t r[static INODE_RECORD])
{
	static const uint16_t modes[] = { S_IFREG | 0640, S_IFDIR | 0755, S_IFLNK | 0777, S_IFIFO | 0600, 0 };
	le32 mode = le32_of(modes[kind]);

	memset(r, 0, INODE_RECORD);
	memcpy(r, &mode, sizeof mode);
	r[28] = 3; /* generation */
	if (!modes[kind])
		return;
	r[8] = kind == 1 ? 2 : 1;
	for (unsigned at = 40; at < 88; at += 12)
		r[at + 3] = 0x65;
	if (kind <= 1) {
		r[SIZE + 1] = kind ? 0x10 : 0x25;
		r[OBJECT] = 16;
		r[OBJECT + 8] = !kind;
		r[STORED] = kind ? 1 : 3;
		memset(r + 112, 0x77, 64);
		r[176] = (uint8_t)kind; /* parent */
		r[184] = (uint8_t)kind;
	} else if (kind == 2) {
		r[SIZE] = r[LINK_LEN] = 6;
		r[4] = 1;
		memcpy(r + 280, "target", 6);
	} else {
		r[4] = 2;
		r[XATTR_OBJECT] = 17;
		r[XATTR_OBJECT + 12] = 200;
		memset(r + 208, 0x66, 64);
	}
}

/* What decoding does not keep: trees that are not there. */
static void drop(uint8_t r[static INODE_RECORD])
{
	if (bytes_are_zero(r + OBJECT, 8)) {
		memset(r + 112, 0, 64);
		r[96] = 0;
	}
	if (!(r[4] & 2))
		memset(r + XATTR_OBJECT, 0, 80);
}

static struct comp *comp(void)
{
	static struct disk disk;
	static struct comp *c;

	if (!c) {
		disk_new(&disk);
		disk.cfg.read_only = true; /* it stays open: nothing is to be sealed by it */
		c = disk_open(&disk, 0);
	}
	return c;
}

static void init(struct inode *i)
{
	struct comp *c = comp();

	memset(i, 0, sizeof *i);
	i->comp = c;
	i->ino = 100;
	tree_init(&i->data, &c->io, c->nodes, &c->dirty_pages);
	tree_init(&i->xattr, &c->io, c->nodes, &c->dirty_pages);
}

static void check_fields(const struct inode *i)
{
	FUZZ_CHECK(i->type == (i->mode & S_IFMT), "type");
	FUZZ_CHECK(i->size <= FS_FILE_MAX, "size");
	FUZZ_CHECK(i->link_len + i->xattr_inline_len <= (int)INODE_INLINE, "inline lengths");
	FUZZ_CHECK(!i->link_inline || S_ISLNK(i->mode), "inline target");
	FUZZ_CHECK(i->data.height <= PAGEIO_LEVELS && i->xattr.height <= PAGEIO_LEVELS, "height");
	FUZZ_CHECK(!i->data.object || i->data.object >= PAGEIO_OBJ_FIRST, "object");
	FUZZ_CHECK(i->xattr_object == !!i->xattr.object, "attributes' object");
	FUZZ_CHECK(i->committed.size == i->size && i->committed.stored == i->stored, "committed");
	FUZZ_CHECK(i->atime.tv_nsec <= 999999999 && i->btime.tv_nsec <= 999999999, "times");
}

static void run(const uint8_t *data, size_t len)
{
	struct fuzz_in in = { data, len };
	uint8_t record[INODE_RECORD] = { 0 }, again[INODE_RECORD];
	struct inode i, j;
	uint8_t kind = fuzz_u8(&in);

	if (kind & 0x80) {
		if (in.n)
			memcpy(record, in.p, CL_MIN(in.n, sizeof record));
	} else {
		good(kind % 5, record);
		fuzz_patch(&in, record, sizeof record);
	}
	init(&i);
	init(&j);
	int err = inode_decode(&i, record);
	FUZZ_ERROR(err, -ENOENT, -EUCLEAN);
	FUZZ_CHECK((err == -ENOENT) == bytes_are_zero(record, 4), "free or not: %d", err);
	if (!err) {
		check_fields(&i);
		inode_encode(&i, &i.committed, again);
		drop(record);
		for (unsigned at = 0; at < INODE_RECORD; at++)
			FUZZ_CHECK(record[at] == again[at], "byte %u does not come back", at);
		FUZZ_OK(inode_decode(&j, again));
		/* An inline list as the inode has it: well-formed, or an error. */
		uint8_t *list = NULL;
		size_t n = 0;
		if (!i.xattr_object) {
			err = xattr_load(&i, &list, &n);
			FUZZ_ERROR(err, -EUCLEAN);
			FUZZ_CHECK(err || n == i.xattr_inline_len, "length of the list");
			free(list);
		}
	}
	tree_done(&i.data);
	tree_done(&i.xattr);
	tree_done(&j.data);
	tree_done(&j.xattr);
}

static void seeds(fuzz_put_fn *put, void *arg)
{
	static const char *const names[] = { "file", "directory", "link", "fifo", "free" };
	static const struct {
		const char *name;
		uint8_t kind, off, byte;
	} changes[] = {
		{ "mode", 0, 2, 1 },        { "flags", 0, 4, 4 },
		{ "size", 0, 39, 1 },       { "nanoseconds", 0, 51, 0xff },
		{ "reserved", 0, 97, 1 },   { "object", 0, 88, 3 },
		{ "height", 0, 96, 6 },     { "no-object", 0, 88, 0 },
		{ "dir-size", 1, 32, 1 },   { "dir-parent", 1, 182, 1 },
		{ "inline-flag", 0, 4, 1 }, { "xattr-flag", 3, 4, 0 },
	};

	for (unsigned k = 0; k < CL_ARRAY_LEN(names); k++) {
		uint8_t r[1 + INODE_RECORD] = { 0x80 };
		good(k, r + 1);
		put(arg, names[k], r, sizeof r);
	}
	for (unsigned k = 0; k < CL_ARRAY_LEN(changes); k++) {
		struct fuzz_out o = { 0 };
		fuzz_put_u8(&o, changes[k].kind);
		fuzz_put_patch(&o, changes[k].off, &changes[k].byte, 1);
		put(arg, changes[k].name, o.p, o.n);
	}
	struct fuzz_out o = { 0 };
	fuzz_put_u8(&o, 0);
	fuzz_put_patch(&o, 274, "\x0e", 1);
	fuzz_put_patch(&o, 280, "\6\0\2\0\0\0user.aXY", 14);
	put(arg, "inline-list", o.p, o.n);
}

const struct fuzz_target fuzz_inode = { "inode", 2048, run, seeds };
