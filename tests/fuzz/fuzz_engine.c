/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Fuzz target: the engine over pages that authenticate and may say anything. Input: how[1], edits of a small
 * volume's plaintext (plant.h), operations. The volume is edited and sealed, checked, opened, read all over, worked
 * with, closed and checked again. Whatever is wrong with it: no crash, no hang, no error but those that programs
 * know. And where the check found nothing wrong, nothing is: every read and every operation works, and the check
 * finds nothing wrong afterwards either.
 */
#include "tests/fuzz/plant.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

/* Bits of how. */
enum { HOW_READ_ONLY = 1, HOW_UPPER = 2, HOW_CRASH = 4, HOW_SMALL = 8 };
enum { KNOWN_MAX = 96, DEPTH_MAX = 8, OPS_MAX = 64, READ_MAX = 128 * 1024 };

struct session {
	struct fs *fs;
	bool sound;                /* the check found nothing wrong */
	uint64_t known[KNOWN_MAX]; /* inode numbers */
	size_t n_known;
	uint64_t opened[16];
	size_t n_opened;
	uint8_t *buf;
};

/* Errors of requests, as fs.h and the system calls behind them have them. */
static void outcome(const struct session *s, const char *what, int64_t err)
{
	static const int known[] = { -ENOENT, -EEXIST, -ENOTDIR, -EISDIR,       -ENOTEMPTY, -EACCES,     -EPERM,
				     -EROFS,  -EXDEV,  -EINVAL,  -ENAMETOOLONG, -EFBIG,     -EMLINK,     -ENODATA,
				     -ERANGE, -E2BIG,  -ENOSPC,  -ENXIO,        -ESTALE,    -EOPNOTSUPP, -EBUSY,
				     -ENODEV, 0 };

	if (err >= 0)
		return;
	if (err == -EBADMSG || err == -EUCLEAN) {
		FUZZ_CHECK(!s->sound, "%s: %lld, where the check found nothing", what, (long long)err);
		return;
	}
	fuzz_error(__FILE__, __LINE__, what, (int)err, known);
}

static void know(struct session *s, uint64_t ino)
{
	for (size_t i = 0; i < s->n_known; i++)
		if (s->known[i] == ino)
			return;
	if (s->n_known < KNOWN_MAX)
		s->known[s->n_known++] = ino;
}

static void read_contents(struct session *s, uint64_t ino, uint64_t size)
{
	uint64_t at = 0;
	ssize_t got = fs_read(s->fs, ino, s->buf, READ_MAX, 0);

	outcome(s, "read", got);
	FUZZ_CHECK(got <= READ_MAX, "more than asked for");
	if (s->sound)
		FUZZ_CHECK((uint64_t)got == CL_MIN(size, READ_MAX), "read %zd of %ju bytes", got, (uintmax_t)size);
	for (unsigned n = 0; n < 8 && at < size; n++) {
		uint64_t data, hole;
		int err = fs_seek(s->fs, ino, at, SEEK_DATA, &data);
		outcome(s, "seek", err);
		if (err)
			break;
		FUZZ_CHECK(data >= at && data < size, "data at %ju", (uintmax_t)data);
		outcome(s, "read", fs_read(s->fs, ino, s->buf, CL_PAGE, data));
		err = fs_seek(s->fs, ino, data, SEEK_HOLE, &hole);
		outcome(s, "seek", err);
		if (err)
			break;
		FUZZ_CHECK(hole > data && hole <= size, "hole at %ju", (uintmax_t)hole);
		at = hole;
	}
}

static void read_attributes(struct session *s, uint64_t ino)
{
	size_t len = 0, n;
	char *names = (char *)s->buf;
	int err = fs_listxattr(s->fs, ino, names, READ_MAX / 2, &len);

	outcome(s, "listxattr", err);
	if (err)
		return;
	FUZZ_CHECK(!len || names[len - 1] == '\0', "names without an end");
	unsigned most = 16;
	for (const char *p = names; p < names + len && most; p += strlen(p) + 1, most--)
		outcome(s, "getxattr", fs_getxattr(s->fs, ino, p, s->buf + READ_MAX / 2, READ_MAX / 2, &n));
}

struct listing {
	struct session *s;
	unsigned depth, n;
	uint64_t last;
	size_t n_dirs;
	uint64_t dirs[16];
};

static bool on_entry(void *arg, const char *name, const struct fs_attr *a, uint64_t next)
{
	struct listing *l = arg;

	FUZZ_CHECK(next > l->last, "a cookie goes back");
	l->last = next;
	FUZZ_CHECK(*name && strlen(name) <= FS_NAME_MAX && !strchr(name, '/'), "a name that is none");
	if (!strcmp(name, ".") || !strcmp(name, ".."))
		return true;
	know(l->s, a->ino);
	if (a->nlink && S_ISDIR(a->mode) && l->n_dirs < CL_ARRAY_LEN(l->dirs))
		l->dirs[l->n_dirs++] = a->ino;
	return ++l->n < 200; /* references of readdirplus are left behind, as by a kernel that goes away */
}

static void look(struct session *s, uint64_t ino, unsigned depth)
{
	struct listing l = { .s = s, .depth = depth };
	char target[FS_SYMLINK_MAX + 1];
	struct fs_attr a, b;
	int err = fs_getattr(s->fs, ino, &a);

	outcome(s, "getattr", err);
	if (err)
		return;
	FUZZ_CHECK(a.ino == ino && a.size <= FS_FILE_MAX, "attributes");
	read_attributes(s, ino);
	if (S_ISREG(a.mode))
		read_contents(s, ino, a.size);
	if (S_ISLNK(a.mode)) {
		err = fs_readlink(s->fs, ino, target);
		outcome(s, "readlink", err);
		FUZZ_CHECK(err || strnlen(target, sizeof target) < sizeof target, "a target without an end");
	}
	if (!S_ISDIR(a.mode) || depth == DEPTH_MAX)
		return;
	err = fs_readdir(s->fs, ino, 0, depth % 2 == 0, on_entry, &l);
	outcome(s, "readdir", err);
	outcome(s, "lookup ..", fs_lookup(s->fs, ino, "..", &b));
	for (size_t i = 0; i < l.n_dirs; i++)
		if (l.dirs[i] != ino)
			look(s, l.dirs[i], depth + 1);
}

static void look_everywhere(struct session *s)
{
	look(s, FS_ROOT, DEPTH_MAX - 4);
	for (size_t i = 0; i < s->n_known; i++)
		look(s, s->known[i], DEPTH_MAX);
}

static uint64_t pick(const struct session *s, uint8_t n)
{
	return s->n_known ? s->known[n % s->n_known] : FS_ROOT;
}

static const char *pick_name(uint8_t n)
{
	static const char *const names[] = { "dir", "sub",  "file",  "one",    "big", "sym", "lnk",   "fifo",
					     "acl", "many", "names", "secret", "a",   "b",   "upper", "" };
	static char longer[FS_NAME_MAX + 1];

	if (n < 0xf0)
		return names[n % CL_ARRAY_LEN(names)];
	snprintf(longer, sizeof longer, "%0*u", (int)(FS_NAME_MAX - n % 4), n / 4u);
	return longer;
}

static uint64_t offset_of(uint8_t n)
{
	static const uint64_t offsets[] = { 0,          1,      4095,     4096,       8191,
					    65536,      524288, 67108864, 8589934592, FS_FILE_MAX - 4096,
					    FS_FILE_MAX };

	return offsets[n % CL_ARRAY_LEN(offsets)] + n / 16;
}

enum {
	OP_FILE,
	OP_DIR,
	OP_LINK,
	OP_SYMLINK,
	OP_UNLINK,
	OP_RMDIR,
	OP_RENAME,
	OP_WRITE,
	OP_TRUNCATE,
	OP_PUNCH,
	OP_COPY,
	OP_SETXATTR,
	OP_REMOVEXATTR,
	OP_CHMOD,
	OP_FSYNC,
	OP_SYNC,
	OP_TMPFILE,
	OP_FORGET,
	OP_OPEN,
	OP_CLOSE,
	OP_LOOK,
	OP_LOOKUP,
	OP_TICK,
	OP_N
};

static void make(struct session *s, uint8_t x, uint8_t y, uint8_t z, uint32_t mode, const char *target)
{
	const struct fs_cred cred = { z, 0, 022 };
	struct fs_attr a;
	int err = fs_make(s->fs, pick(s, x), pick_name(y), mode, target, &cred, &a);

	outcome(s, "make", err);
	if (!err)
		know(s, a.ino);
}

static void change_attributes(struct session *s, uint8_t x, uint8_t y, uint8_t z)
{
	struct fs_attr a = { .mode = (uint32_t)y << 4 | z, .uid = z, .size = offset_of(y) }, b;

	outcome(s, "setattr",
		fs_setattr(s->fs, pick(s, x), FS_SET_MODE | FS_SET_UID | (z & 1 ? FS_SET_KILL_PRIV : 0), &a, &b));
}

static void truncate_to(struct session *s, uint8_t x, uint8_t y)
{
	struct fs_attr a = { .size = offset_of(y) }, b;

	outcome(s, "truncate", fs_setattr(s->fs, pick(s, x), FS_SET_SIZE, &a, &b));
}

static void change_names(struct session *s, uint8_t op, uint8_t x, uint8_t y, uint8_t z)
{
	const struct fs_cred cred = { 0, 0, 022 };
	struct fs_attr a;
	int err;

	switch (op) {
	case OP_LINK:
		outcome(s, "link", fs_link(s->fs, pick(s, x), pick(s, z), pick_name(y), &a));
		break;
	case OP_UNLINK:
		outcome(s, "unlink", fs_unlink(s->fs, pick(s, x), pick_name(y)));
		break;
	case OP_RMDIR:
		outcome(s, "rmdir", fs_rmdir(s->fs, pick(s, x), pick_name(y)));
		break;
	case OP_RENAME:
		outcome(s, "rename",
			fs_rename(s->fs, pick(s, x), pick_name(y), pick(s, z), pick_name((uint8_t)(y + z)),
				  z >> 6 & 3));
		break;
	case OP_TMPFILE:
		err = fs_tmpfile(s->fs, pick(s, x), 0600, &cred, &a);
		outcome(s, "tmpfile", err);
		if (!err)
			know(s, a.ino);
		break;
	case OP_LOOKUP:
		err = fs_lookup(s->fs, pick(s, x), z & 1 ? pick_name(y) : z & 2 ? ".." : ".", &a);
		outcome(s, "lookup", err);
		if (!err)
			know(s, a.ino);
		break;
	}
}

static void change_data(struct session *s, uint8_t op, uint8_t x, uint8_t y, uint8_t z)
{
	static const int modes[] = { 0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				     FALLOC_FL_ZERO_RANGE };
	static const char *const names[] = { "user.a", "user.big", "user.small", "system.posix_acl_default",
					     "security.capability" };

	memset(s->buf, z | 1, READ_MAX);
	switch (op) {
	case OP_WRITE:
		outcome(s, "write",
			fs_write(s->fs, pick(s, x), s->buf, (size_t)z * 300, offset_of(y),
				 y & 0x80 ? FS_WRITE_APPEND : 0));
		break;
	case OP_PUNCH:
		outcome(s, "fallocate",
			fs_fallocate(s->fs, pick(s, x), modes[z % 4], offset_of(y), 1 + (uint64_t)z * 1000));
		break;
	case OP_COPY:
		outcome(s, "copy", fs_copy(s->fs, pick(s, x), 0, pick(s, z), offset_of(y), 9000));
		break;
	case OP_SETXATTR:
		outcome(s, "setxattr",
			fs_setxattr(s->fs, pick(s, x), names[y % 5], s->buf, (size_t)z * 20, y >> 6 & 3));
		break;
	case OP_REMOVEXATTR:
		outcome(s, "removexattr", fs_removexattr(s->fs, pick(s, x), names[y % 5]));
		break;
	}
}

static void handle(struct session *s, uint8_t op, uint8_t x, uint8_t y)
{
	int err;

	switch (op) {
	case OP_FSYNC:
		outcome(s, "fsync", fs_fsync(s->fs, pick(s, x), y & 1));
		break;
	case OP_SYNC:
		outcome(s, "sync", fs_sync(s->fs));
		break;
	case OP_TICK:
		outcome(s, "tick", fs_tick(s->fs));
		break;
	case OP_FORGET:
		fs_forget(s->fs, pick(s, x), 1u + y);
		break;
	case OP_OPEN:
		if (s->n_opened == CL_ARRAY_LEN(s->opened))
			break;
		err = fs_open_file(s->fs, pick(s, x), y & 1, y & 2);
		outcome(s, "open", err);
		if (!err)
			s->opened[s->n_opened++] = pick(s, x);
		break;
	case OP_CLOSE:
		if (s->n_opened)
			fs_close_file(s->fs, s->opened[--s->n_opened]);
		break;
	case OP_LOOK:
		look(s, pick(s, x), DEPTH_MAX - 1);
		break;
	}
}

static void operation(struct session *s, struct fuzz_in *in)
{
	uint8_t op = fuzz_u8(in) % OP_N, x = fuzz_u8(in), y = fuzz_u8(in), z = fuzz_u8(in);

	switch (op) {
	case OP_FILE:
		make(s, x, y, z, S_IFREG | 0644, NULL);
		break;
	case OP_DIR:
		make(s, x, y, z, S_IFDIR | 0755, NULL);
		break;
	case OP_SYMLINK:
		make(s, x, y, z, S_IFLNK | 0777, z & 1 ? "x" : "a/rather/long/target/that/goes/on/and/on");
		break;
	case OP_CHMOD:
		change_attributes(s, x, y, z);
		break;
	case OP_TRUNCATE:
		truncate_to(s, x, y);
		break;
	case OP_LINK:
	case OP_UNLINK:
	case OP_RMDIR:
	case OP_RENAME:
	case OP_TMPFILE:
	case OP_LOOKUP:
		change_names(s, op, x, y, z);
		break;
	case OP_WRITE:
	case OP_PUNCH:
	case OP_COPY:
	case OP_SETXATTR:
	case OP_REMOVEXATTR:
		change_data(s, op, x, y, z);
		break;
	default:
		handle(s, op, x, y);
	}
}

static bool fuzz_says;

static void on_finding(void *arg, const char *path, const char *text, bool fixed CL_UNUSED)
{
	unsigned *n = arg;

	FUZZ_CHECK(strlen(text) < 1024 && *text, "a finding without a sentence");
	++*n;
	if (fuzz_says)
		fprintf(stderr, "  [%s] %s\n", path, text);
}

/* Errors that it found. */
static uint64_t check(struct disk *d, bool replay)
{
	unsigned n = 0;
	struct fs_check c = { .replay = replay, .report = on_finding, .arg = &n };
	struct fault f = { 0 };

	fuzz_says = getenv("FUZZ_LOG");
	FUZZ_OK(fs_check(d->store, d->c, DISK_LABELS, &d->cfg, &c, &f));
	FUZZ_CHECK(n >= c.ret_errors + c.ret_fixed, "counted, but not told");
	return c.ret_errors;
}

static void work(struct disk *d, uint8_t how, struct fuzz_in *in, bool sound)
{
	struct session s = { .sound = sound, .buf = malloc(READ_MAX) };
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
		know(&s, FS_ROOT);
		look_everywhere(&s);
		for (unsigned n = 0; n < OPS_MAX && in->n; n++)
			operation(&s, in);
		FUZZ_OK(fs_statfs(s.fs, &space));
		if (sound)
			look_everywhere(&s);
		err = fs_close(s.fs);
		outcome(&s, "close", err);
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
