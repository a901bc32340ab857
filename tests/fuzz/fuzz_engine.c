/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Fuzz target: the engine over pages that authenticate and may say anything. Input: how[1], edits of a small
 * volume's plaintext (plant.h), operations. The volume is edited and sealed, checked, opened, read all over, worked
 * with, closed and checked again. Whatever is wrong with it: no crash, no hang, no error but those that programs
 * know. And where the check found nothing wrong, nothing is: every read and every operation works, and the check
 * finds nothing wrong afterwards either.
 */
#include "tests/fuzz/plant.h"
#include "tests/fuzz/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Bits of how. */
enum { HOW_READ_ONLY = 1, HOW_UPPER = 2, HOW_CRASH = 4, HOW_SMALL = 8 };
enum { OPS_MAX = 64 };

static bool to_stderr;

static void on_finding(void *arg, const char *path, const char *text, bool fixed CL_UNUSED)
{
	unsigned *n = arg;

	FUZZ_CHECK(strlen(text) < 1024 && *text, "a finding without a sentence");
	++*n;
	if (to_stderr)
		fprintf(stderr, "  [%s] %s\n", path, text);
}

/* Errors that it found. */
static uint64_t check(struct disk *d, bool replay)
{
	unsigned n = 0;
	struct fs_check c = { .replay = replay, .report = on_finding, .arg = &n };
	struct fault f = { 0 };

	to_stderr = getenv("FUZZ_LOG");
	FUZZ_OK(fs_check(d->store, d->c, DISK_LABELS, &d->cfg, &c, &f));
	FUZZ_CHECK(n >= c.ret_errors + c.ret_fixed, "counted, but not told");
	return c.ret_errors;
}

static void work(struct disk *d, uint8_t how, struct fuzz_in *in, bool sound)
{
	struct session s = { .sound = sound, .buf = malloc(SESSION_BUF) };
	struct fault f = { 0 };

	FUZZ_CHECK(s.buf, "out of memory");
	d->cfg.read_only = how & HOW_READ_ONLY;
	if (how & HOW_SMALL) {
		d->cfg.cache_bytes = 64 * 1024;
		d->cfg.dirty_bytes = 64 * 1024;
	}
	int err = fs_open(d->store, d->c, how & HOW_UPPER ? 2 : 1, &d->cfg, &s.fs, &f);
	FUZZ_ERROR(err, -EBADMSG, -EUCLEAN, -EPROTONOSUPPORT, -ENOENT, -EFBIG);
	FUZZ_CHECK(!err || !sound, "cannot be opened: %s", f.text);
	if (err) {
		fuzz_check_fault(&f, err);
	} else {
		struct fs_space space;
		session_know(&s, FS_ROOT);
		session_look_everywhere(&s);
		for (unsigned n = 0; n < OPS_MAX && in->n; n++)
			session_operate(&s, in);
		FUZZ_OK(fs_statfs(s.fs, &space));
		if (sound)
			session_look_everywhere(&s);
		err = fs_close(s.fs);
		session_outcome(&s, "close", err);
		FUZZ_CHECK(!err || !sound, "close: %d", err);
	}
	d->cfg.read_only = false;
	free(s.buf);
}

static void run(const uint8_t *data, size_t len)
{
	struct fuzz_in in = { data, len };
	struct plant p[PLANT_MAX];
	uint8_t how = fuzz_u8(&in);
	unsigned n = plant_read(&in, p);
	struct disk d;

	disk_new(&d);
	plant_all(&d, p, n, how & HOW_CRASH);
	bool sound = !check(&d, false);
	FUZZ_CHECK(n || sound, "nothing was changed, and something is wrong");
	work(&d, how, &in, sound);
	uint64_t errors = check(&d, true);
	FUZZ_CHECK(!sound || !errors, "it was sound, now it has %ju errors", (uintmax_t)errors);
	disk_free(&d);
}

static const uint8_t all_ops[] = {
	OP_FILE,     0, 12, 0,   OP_WRITE,       14, 0,    40,   OP_DIR,      1, 13, 0, OP_RENAME, 0, 2, 1,
	OP_LINK,     4, 12, 1,   OP_SYMLINK,     1,  1,    0,    OP_UNLINK,   0, 3,  0, OP_RMDIR,  1, 1, 0,
	OP_WRITE,    5, 5,  255, OP_PUNCH,       5,  3,    2,    OP_TRUNCATE, 5, 3,  0, OP_COPY,   5, 0, 14,
	OP_SETXATTR, 5, 0,  200, OP_REMOVEXATTR, 10, 1,    0,    OP_CHMOD,    9, 40, 1, OP_FSYNC,  5, 0, 0,
	OP_TMPFILE,  1, 0,  0,   OP_LINK,        17, 0xf1, 11,   OP_OPEN,     5, 1,  0, OP_UNLINK, 0, 4, 0,
	OP_CLOSE,    0, 0,  0,   OP_SYNC,        0,  0,    0,    OP_FORGET,   5, 9,  0, OP_LOOK,   0, 0, 0,
	OP_LOOKUP,   1, 0,  2,   OP_RENAME,      0,  0,    0x80, OP_TICK,     0, 0,  0,
};

static void seeds(fuzz_put_fn *put, void *arg)
{
	static const struct {
		const char *name;
		uint8_t how, kind, inode, page, len;
		uint16_t off, value;
		uint8_t data[8];
	} edits[] = {
		{ "same", 0, PLANT_INODE, 0, 0, 0, 0, 0, { 0 } },
		{ "upper", HOW_UPPER, PLANT_INODE | PLANT_UPPER, 1, 0, 1, 12, 0, { 9 } },
		{ "crash", HOW_CRASH, PLANT_INODE, 3, 0, 1, 12, 0, { 9 } },
		{ "read-only", HOW_READ_ONLY | HOW_UPPER, PLANT_INODE, 3, 0, 1, 12, 0, { 9 } },
		{ "small", HOW_SMALL, PLANT_INODE, 3, 0, 1, 12, 0, { 9 } },
		{ "mode", 0, PLANT_INODE, 3, 0, 2, 0, 0, { 0xa4, 0x41 } },
		{ "free", 0, PLANT_INODE, 3, 0, 2, 0, 0, { 0 } },
		{ "nlink", 0, PLANT_INODE, 3, 0, 4, 8, 0, { 0 } },
		{ "nlink-much", 0, PLANT_INODE, 1, 0, 4, 8, 0, { 255, 255, 255, 255 } },
		{ "size", 0, PLANT_INODE, 5, 0, 8, 32, 0, { 0, 0, 0, 0, 0, 0x80, 0, 0 } },
		{ "size-small", 0, PLANT_INODE, 5, 0, 3, 32, 0, { 1, 0, 0 } },
		{ "dir-size", 0, PLANT_INODE, 11, 0, 3, 32, 0, { 0, 0, 1 } },
		{ "height", 0, PLANT_INODE, 5, 0, 1, 96, 0, { 5 } },
		{ "stored", 0, PLANT_INODE, 5, 0, 8, 104, 0, { 255, 255, 255, 255, 255, 255, 255, 255 } },
		{ "parent", 0, PLANT_INODE, 1, 0, 1, 176, 0, { 3 } },
		{ "parent-loop", 0, PLANT_INODE, 1, 0, 1, 176, 0, { 2 } },
		{ "entries", 0, PLANT_INODE, 0, 0, 1, 184, 0, { 0 } },
		{ "link-len", 0, PLANT_INODE, 6, 0, 2, 272, 0, { 0, 0 } },
		{ "link-size", 0, PLANT_INODE, 7, 0, 2, 32, 0, { 0, 64 } },
		{ "xattr-len", 0, PLANT_INODE, 10, 0, 3, 204, 0, { 0, 240, 15 } },
		{ "xattr-page", 0, PLANT_XATTR, 10, 0, 4, 0, 0, { 255, 0, 1, 0 } },
		{ "entry-loop", 0, PLANT_PAGE, 1, 0, 1, 16, 0, { 1 } },
		{ "entry-self", 0, PLANT_PAGE, 1, 0, 1, 16, 0, { 2 } },
		{ "entry-type", 0, PLANT_PAGE, 0, 0, 1, 50, 0, { 8 } },
		{ "page-used", 0, PLANT_PAGE, 11, 1, 2, 0, 0, { 1, 1 } },
		{ "record-len", 0, PLANT_PAGE, 11, 0, 2, 24, 0, { 0, 0 } },
		{ "names-slash", 0, PLANT_PAGE, 11, 0, 1, 30, 0, { '/' } },
		{ "data", 0, PLANT_PAGE, 4, 0, 4, 4000, 0, { 1, 2, 3, 4 } },
		{ "leaf-behind", 0, PLANT_PAGE, 4, 7, 4, 0, 0, { 1, 2, 3, 4 } },
		{ "index", 0, PLANT_INDEX, 5, 0, 4, 4, 0, { 1, 2, 3, 4 } },
		{ "index-2", 0, PLANT_INDEX, 5, 0, 4, 4, 1, { 1, 2, 3, 4 } },
		{ "index-hole", 0, PLANT_INDEX, 11, 0, 8, 0, 0, { 0 } },
		{ "ref-twice", 0, PLANT_COPY, 5, 0, 0, 5, 0, { 0 } },
		{ "tree-twice", 0, PLANT_TREE, 3, 0, 0, 0, 4, { 0 } },
		{ "tree-of-dir", 0, PLANT_TREE, 1, 0, 0, 0, 0, { 0 } },
		{ "ibitmap", 0, PLANT_IBITMAP, 0, 0, 2, 0, 0, { 0, 0 } },
		{ "ibitmap-full", 0, PLANT_IBITMAP, 0, 0, 4, 0, 0, { 255, 255, 255, 255 } },
		{ "orphans", 0, PLANT_ORPHANS, 0, 0, 1, 0, 0, { 16 } },
		{ "root-used", 0, PLANT_ROOT, 0, 0, 8, 40, 0, { 0 } },
		{ "root-limit", 0, PLANT_ROOT, 0, 0, 8, 48, 0, { 2 } },
		{ "root-orphans", 0, PLANT_ROOT, 0, 0, 1, 56, 0, { 2 } },
		{ "root-next", 0, PLANT_ROOT, 0, 0, 2, 24, 0, { 17, 0 } },
		{ "root-unclean", 0, PLANT_ROOT, 0, 0, 1, 32, 0, { 0 } },
		{ "root-height", 0, PLANT_ROOT, 0, 0, 1, 72, 0, { 4 } },
		{ "lower", 0, PLANT_LOWER, 20, 0, 4, 0, 0, { 1, 2, 3, 4 } },
		{ "lower-table", 0, PLANT_LOWER, 3, 0, 4, 0, 0, { 1, 2, 3, 4 } },
		{ "lower-cut", HOW_CRASH, PLANT_LOWER, 0, 3, 0, 0, 0, { 0 } },
	};

	for (size_t k = 0; k < CL_ARRAY_LEN(edits); k++) {
		const struct plant p = { edits[k].kind, edits[k].inode, edits[k].page, edits[k].len,
					 edits[k].off,  edits[k].value, edits[k].data };
		struct fuzz_out o = { 0 };
		fuzz_put_u8(&o, edits[k].how);
		fuzz_put_u8(&o, edits[k].len || edits[k].kind != PLANT_INODE);
		if (o.p[1])
			plant_put(&o, &p);
		fuzz_put_bytes(&o, all_ops, sizeof all_ops);
		put(arg, edits[k].name, o.p, o.n);
	}
}

const struct fuzz_target fuzz_engine = { "engine", 1024, run, seeds };
