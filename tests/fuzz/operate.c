/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Operations of a session, each made of four bytes of the input. */
#include "tests/fuzz/session.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

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

static void make(struct session *s, uint8_t x, uint8_t y, uint8_t z, uint32_t mode, const char *target)
{
	const struct fs_cred cred = { z, 0, 022 };
	struct fs_attr a;
	int err = fs_make(s->fs, pick(s, x), pick_name(y), mode, target, &cred, &a);

	session_outcome(s, "make", err);
	if (!err)
		session_know(s, a.ino);
}

static void change_attributes(struct session *s, uint8_t x, uint8_t y, uint8_t z)
{
	struct fs_attr a = { .mode = (uint32_t)y << 4 | z, .uid = z, .size = offset_of(y) }, b;

	session_outcome(s, "setattr",
			fs_setattr(s->fs, pick(s, x), FS_SET_MODE | FS_SET_UID | (z & 1 ? FS_SET_KILL_PRIV : 0), &a,
				   &b));
}

static void truncate_to(struct session *s, uint8_t x, uint8_t y)
{
	struct fs_attr a = { .size = offset_of(y) }, b;

	session_outcome(s, "truncate", fs_setattr(s->fs, pick(s, x), FS_SET_SIZE, &a, &b));
}

static void change_names(struct session *s, uint8_t op, uint8_t x, uint8_t y, uint8_t z)
{
	const struct fs_cred cred = { 0, 0, 022 };
	struct fs_attr a;
	int err;

	switch (op) {
	case OP_LINK:
		session_outcome(s, "link", fs_link(s->fs, pick(s, x), pick(s, z), pick_name(y), &a));
		break;
	case OP_UNLINK:
		session_outcome(s, "unlink", fs_unlink(s->fs, pick(s, x), pick_name(y)));
		break;
	case OP_RMDIR:
		session_outcome(s, "rmdir", fs_rmdir(s->fs, pick(s, x), pick_name(y)));
		break;
	case OP_RENAME:
		session_outcome(s, "rename",
				fs_rename(s->fs, pick(s, x), pick_name(y), pick(s, z), pick_name((uint8_t)(y + z)),
					  z >> 6 & 3));
		break;
	case OP_TMPFILE:
		err = fs_tmpfile(s->fs, pick(s, x), 0600, &cred, &a);
		session_outcome(s, "tmpfile", err);
		if (!err)
			session_know(s, a.ino);
		break;
	case OP_LOOKUP:
		err = fs_lookup(s->fs, pick(s, x), z & 1 ? pick_name(y) : z & 2 ? ".." : ".", &a);
		session_outcome(s, "lookup", err);
		if (!err)
			session_know(s, a.ino);
		break;
	}
}

static void change_data(struct session *s, uint8_t op, uint8_t x, uint8_t y, uint8_t z)
{
	static const int modes[] = { 0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				     FALLOC_FL_ZERO_RANGE };
	static const char *const names[] = { "user.a", "user.big", "user.small", "system.posix_acl_default",
					     "security.capability" };

	memset(s->buf, z | 1, SESSION_BUF);
	switch (op) {
	case OP_WRITE:
		session_outcome(s, "write",
				fs_write(s->fs, pick(s, x), s->buf, (size_t)z * 300, offset_of(y),
					 y & 0x80 ? FS_WRITE_APPEND : 0));
		break;
	case OP_PUNCH:
		session_outcome(s, "fallocate",
				fs_fallocate(s->fs, pick(s, x), modes[z % 4], offset_of(y), 1 + (uint64_t)z * 1000));
		break;
	case OP_COPY:
		session_outcome(s, "copy", fs_copy(s->fs, pick(s, x), 0, pick(s, z), offset_of(y), 9000));
		break;
	case OP_SETXATTR:
		session_outcome(s, "setxattr",
				fs_setxattr(s->fs, pick(s, x), names[y % 5], s->buf, (size_t)z * 20, y >> 6 & 3));
		break;
	case OP_REMOVEXATTR:
		session_outcome(s, "removexattr", fs_removexattr(s->fs, pick(s, x), names[y % 5]));
		break;
	}
}

static void handle(struct session *s, uint8_t op, uint8_t x, uint8_t y)
{
	int err;

	switch (op) {
	case OP_FSYNC:
		session_outcome(s, "fsync", fs_fsync(s->fs, pick(s, x), y & 1));
		break;
	case OP_SYNC:
		session_outcome(s, "sync", fs_sync(s->fs));
		break;
	case OP_TICK:
		session_outcome(s, "tick", fs_tick(s->fs));
		break;
	case OP_FORGET:
		fs_forget(s->fs, pick(s, x), 1u + y);
		break;
	case OP_OPEN:
		if (s->n_opened == CL_ARRAY_LEN(s->opened))
			break;
		err = fs_open_file(s->fs, pick(s, x), y & 1, y & 2);
		session_outcome(s, "open", err);
		if (!err)
			s->opened[s->n_opened++] = pick(s, x);
		break;
	case OP_CLOSE:
		if (s->n_opened)
			fs_close_file(s->fs, s->opened[--s->n_opened]);
		break;
	case OP_LOOK:
		session_look(s, pick(s, x), SESSION_DEPTH - 1);
		break;
	}
}

void session_operate(struct session *s, struct fuzz_in *in)
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
