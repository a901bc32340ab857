/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Reading all of a volume, whatever is wrong with it. */
#include "tests/fuzz/session.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Errors of requests, as fs.h and the system calls behind them have them. */
void session_outcome(const struct session *s, const char *what, int64_t err)
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

void session_know(struct session *s, uint64_t ino)
{
	for (size_t i = 0; i < s->n_known; i++)
		if (s->known[i] == ino)
			return;
	if (s->n_known < SESSION_KNOWN)
		s->known[s->n_known++] = ino;
}

static void read_contents(struct session *s, uint64_t ino, uint64_t size)
{
	uint64_t at = 0;
	ssize_t got = fs_read(s->fs, ino, s->buf, SESSION_BUF, 0);

	session_outcome(s, "read", got);
	FUZZ_CHECK(got <= SESSION_BUF, "more than asked for");
	if (s->sound)
		FUZZ_CHECK((uint64_t)got == CL_MIN(size, SESSION_BUF), "read %zd of %ju bytes", got, (uintmax_t)size);
	for (unsigned n = 0; n < 8 && at < size; n++) {
		uint64_t data, hole;
		int err = fs_seek(s->fs, ino, at, SEEK_DATA, &data);
		session_outcome(s, "seek", err);
		if (err)
			break;
		FUZZ_CHECK(data >= at && data < size, "data at %ju", (uintmax_t)data);
		session_outcome(s, "read", fs_read(s->fs, ino, s->buf, CL_PAGE, data));
		err = fs_seek(s->fs, ino, data, SEEK_HOLE, &hole);
		session_outcome(s, "seek", err);
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
	int err = fs_listxattr(s->fs, ino, names, SESSION_BUF / 2, &len);

	session_outcome(s, "listxattr", err);
	if (err)
		return;
	FUZZ_CHECK(!len || names[len - 1] == '\0', "names without an end");
	unsigned most = 16;
	for (const char *p = names; p < names + len && most; p += strlen(p) + 1, most--)
		session_outcome(s, "getxattr",
				fs_getxattr(s->fs, ino, p, s->buf + SESSION_BUF / 2, SESSION_BUF / 2, &n));
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
	session_know(l->s, a->ino);
	if (a->nlink && S_ISDIR(a->mode) && l->n_dirs < CL_ARRAY_LEN(l->dirs))
		l->dirs[l->n_dirs++] = a->ino;
	return ++l->n < 200; /* references of readdirplus are left behind, as by a kernel that goes away */
}

void session_look(struct session *s, uint64_t ino, unsigned depth)
{
	struct listing l = { .s = s, .depth = depth };
	char target[FS_SYMLINK_MAX + 1];
	struct fs_attr a, b;
	int err = fs_getattr(s->fs, ino, &a);

	session_outcome(s, "getattr", err);
	if (err)
		return;
	FUZZ_CHECK(a.ino == ino && a.size <= FS_FILE_MAX, "attributes");
	read_attributes(s, ino);
	if (S_ISREG(a.mode))
		read_contents(s, ino, a.size);
	if (S_ISLNK(a.mode)) {
		err = fs_readlink(s->fs, ino, target);
		session_outcome(s, "readlink", err);
		FUZZ_CHECK(err || strnlen(target, sizeof target) < sizeof target, "a target without an end");
	}
	if (!S_ISDIR(a.mode) || depth == SESSION_DEPTH)
		return;
	err = fs_readdir(s->fs, ino, 0, depth % 2 == 0, on_entry, &l);
	session_outcome(s, "readdir", err);
	session_outcome(s, "lookup ..", fs_lookup(s->fs, ino, "..", &b));
	for (size_t i = 0; i < l.n_dirs; i++)
		if (l.dirs[i] != ino)
			session_look(s, l.dirs[i], depth + 1);
}

void session_look_everywhere(struct session *s)
{
	session_look(s, FS_ROOT, SESSION_DEPTH - 4);
	for (size_t i = 0; i < s->n_known; i++)
		session_look(s, s->known[i], SESSION_DEPTH);
}
