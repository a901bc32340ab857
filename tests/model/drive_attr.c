/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Operations on attributes: setattr, readlink, extended attributes. */
#include "tests/model/drive.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#define ULL(x) ((unsigned long long)(x))

static struct timespec some_time(struct drive *d)
{
	/* Also before 1970, and far ahead; never near now, where the rules of relatime would hang on the clock. */
	static const int64_t secs[] = { -2, 0, 1, 1000000000, 4294967296, 17000000000, -1000000000 };
	return (struct timespec){ .tv_sec = secs[drive_below(d, CL_ARRAY_LEN(secs))],
				  .tv_nsec = (long)drive_below(d, 1000000000) };
}

static void setattr_step(struct drive *d, struct ref_inode *i)
{
	unsigned set = (unsigned)drive_below(d, 1024) & (unsigned)drive_below(d, 1024);
	struct fs_attr got, a = {
		.mode = (uint32_t)drive_below(d, 010000),
		.uid = (uint32_t)drive_below(d, 3),
		.gid = (uint32_t)drive_below(d, 3),
		.size = drive_below(d, i->size + 1),
		.atime = some_time(d),
		.mtime = some_time(d),
		.ctime = some_time(d),
	};

	if (!drive_chance(d, 5))
		set &= ~(unsigned)FS_SET_SIZE;
	drive_say(d, "setattr %llu: %x, mode %o", ULL(i->ino), set, a.mode);
	int want = ref_setattr(d->ref, i, set, &a);
	if (!d->fs)
		return;
	drive_expect(d, fs_setattr(d->fs, i->ino, set, &a, &got), want);
	if (!want)
		drive_compare(d, i, &got, REF_LOOK);
}

static void readlink_step(struct drive *d, struct ref_inode *i)
{
	char *buf = (char *)d->out;

	drive_say(d, "readlink %llu", ULL(i->ino));
	if (!d->fs)
		return;
	drive_expect(d, fs_readlink(d->fs, i->ino, buf), S_ISLNK(i->mode) ? 0 : -EINVAL);
	if (i->target && strcmp(buf, i->target))
		drive_fail(d, "target is \"%.100s\" of %zu bytes, expected %zu bytes", buf, strlen(buf),
			   strlen(i->target));
}

static void xattr_name(struct drive *d, const struct ref_inode *i, char *name)
{
	static const char *const spaces[] = { "user.", "trusted.", "security." };
	uint64_t kind = drive_below(d, 100), n = drive_below(d, 12);

	if (i->xattrs && kind < 50) {
		const struct ref_xattr *x = i->xattrs;
		for (uint64_t k = drive_below(d, 6); k && x->next; k--)
			x = x->next;
		strcpy(name, x->name);
	} else if (kind < 90) {
		sprintf(name, "%sa%llu", spaces[n % 3], ULL(n));
	} else if (kind < 94) {
		size_t len = 200 + n * 5; /* to 255 */
		memset(name, 'l', len);
		memcpy(name, "user.", 5);
		name[len] = '\0';
	} else if (kind < 96) {
		strcpy(name, "security.capability");
	} else {
		static const char *const odd[] = { "user.cloison.label", "user.cloison.marking", "system.other",
						   "nothing", "" };
		strcpy(name, odd[n % CL_ARRAY_LEN(odd)]);
	}
}

static void getxattr_step(struct drive *d, struct ref_inode *i, const char *name)
{
	struct ref_xattr *x = ref_xattr_find(i, name);
	size_t room = x && drive_chance(d, 60) ? x->len + drive_below(d, 10) : drive_below(d, 100), len = 0;

	drive_say(d, "getxattr %llu \"%s\", room for %zu", ULL(i->ino), name, room);
	if (!d->fs)
		return;
	int want = !x ? -ENODATA : room && room < x->len ? -ERANGE : 0;
	drive_expect(d, fs_getxattr(d->fs, i->ino, name, d->out, room, &len), want);
	if (want)
		return;
	drive_expect(d, (int64_t)len, (int64_t)x->len);
	if (room && len && memcmp(d->out, x->value, len))
		drive_fail(d, "the value differs");
}

/* All attributes of an inode by name and value. */
void drive_xattrs(struct drive *d, struct ref_inode *i)
{
	size_t want = 0, n = 0, got = 0;

	for (const struct ref_xattr *x = i->xattrs; x; x = x->next)
		want += strlen(x->name) + 1, n++;
	drive_expect(d, fs_listxattr(d->fs, i->ino, NULL, 0, &got), 0);
	drive_expect(d, (int64_t)got, (int64_t)want);
	if (!want)
		return;
	drive_expect(d, fs_listxattr(d->fs, i->ino, (char *)d->out, want - 1, &got), want > 1 ? -ERANGE : 0);
	char *list = ref_alloc(want);
	drive_expect(d, fs_listxattr(d->fs, i->ino, list, want, &got), 0);
	for (char *at = list; at < list + got; at += strlen(at) + 1, n--) {
		struct ref_xattr *x = ref_xattr_find(i, at);
		size_t len;
		if (!x)
			drive_fail(d, "inode %llu: attribute \"%s\" should not be there", ULL(i->ino), at);
		drive_expect(d, fs_getxattr(d->fs, i->ino, at, d->out, DRIVE_BUF, &len), 0);
		if (len != x->len || (len && memcmp(d->out, x->value, len)))
			drive_fail(d, "inode %llu: attribute \"%s\" differs", ULL(i->ino), at);
	}
	if (n)
		drive_fail(d, "inode %llu: attributes are listed twice", ULL(i->ino));
	free(list);
}

static void xattr_step(struct drive *d, struct ref_inode *i)
{
	static const int kinds[] = { 0, 0, 0, XATTR_CREATE, XATTR_REPLACE };
	int flags = kinds[drive_below(d, CL_ARRAY_LEN(kinds))];
	uint64_t kind = drive_below(d, 100);
	size_t len = kind < 50   ? drive_below(d, 40)
		     : kind < 85 ? drive_below(d, 6000)
				 : drive_below(d, FS_XATTR_VALUE_MAX + 2);
	char name[300];

	xattr_name(d, i, name);
	switch (drive_below(d, 8)) {
	case 0: case 1: case 2: case 3:
		memset(d->buf, (int)drive_rand(d), len);
		drive_say(d, "setxattr %llu \"%s\", %zu bytes, flags %d", ULL(i->ino), name, len, flags);
		int want = ref_setxattr(d->ref, i, name, d->buf, len, flags);
		if (d->fs)
			drive_expect(d, fs_setxattr(d->fs, i->ino, name, d->buf, len, flags), want);
		break;
	case 4:
		drive_say(d, "removexattr %llu \"%s\"", ULL(i->ino), name);
		want = ref_removexattr(d->ref, i, name);
		if (d->fs)
			drive_expect(d, fs_removexattr(d->fs, i->ino, name), want);
		break;
	case 5: case 6:
		getxattr_step(d, i, name);
		break;
	default:
		drive_say(d, "listxattr %llu", ULL(i->ino));
		if (d->fs)
			drive_xattrs(d, i);
		break;
	}
}

void drive_attr(struct drive *d, unsigned kind)
{
	struct ref_inode *i = drive_pick(d, REF_ALL);

	if (i->shared)
		return;
	if (kind == 1)
		xattr_step(d, i);
	else if (drive_chance(d, 25))
		readlink_step(d, i);
	else
		setattr_step(d, i);
}
