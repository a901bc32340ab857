/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Inode records: doc/FORMAT section 5. */
#include "common/log.h"
#include "fs/comp.h"
#include "fs/dir.h"

#include <string.h>
#include <sys/stat.h>

#define FLAG_LINK_INLINE 1u
#define FLAG_XATTR_OBJECT 2u

struct disk_time {
	le64 sec;
	le32 nsec;
};

struct disk_inode {
	le32 mode, flags, nlink, uid, gid, rdev_major, rdev_minor, generation;
	le64 size;
	struct disk_time atime, mtime, ctime, btime;
	le64 object;
	uint8_t height;
	uint8_t zero1[7];
	le64 stored;
	struct seal_ref root;
	uint8_t key[SEAL_KEY_LEN];
	le64 parent;
	le64 entries;
	le64 xattr_object;
	uint8_t xattr_height;
	uint8_t zero2[3];
	le32 xattr_len;
	struct seal_ref xattr_root;
	uint8_t xattr_key[SEAL_KEY_LEN];
	le16 link_len;
	le16 xattr_inline_len;
	uint8_t zero3[4];
	uint8_t inline_area[INODE_INLINE];
};
static_assert(sizeof(struct disk_inode) == INODE_RECORD, "an inode record is 512 bytes");
static_assert(offsetof(struct disk_inode, size) == 32, "size");
static_assert(offsetof(struct disk_inode, object) == 88, "object");
static_assert(offsetof(struct disk_inode, stored) == 104, "stored");
static_assert(offsetof(struct disk_inode, root) == 112, "root");
static_assert(offsetof(struct disk_inode, key) == 144, "key");
static_assert(offsetof(struct disk_inode, parent) == 176, "parent");
static_assert(offsetof(struct disk_inode, xattr_object) == 192, "attributes' object");
static_assert(offsetof(struct disk_inode, xattr_root) == 208, "attributes' root");
static_assert(offsetof(struct disk_inode, link_len) == 272, "inline lengths");
static_assert(offsetof(struct disk_inode, inline_area) == 280, "inline area");

static struct disk_time time_out(struct timespec t)
{
	return (struct disk_time){ le64_of((uint64_t)t.tv_sec), le32_of((uint32_t)t.tv_nsec) };
}

static struct timespec time_in(struct disk_time t)
{
	return (struct timespec){ (time_t)le64_get(t.sec), (long)le32_get(t.nsec) };
}

void inode_data_now(const struct inode *i, struct inode_data *ret)
{
	tree_describe(&i->data, &ret->tree);
	ret->size = i->size;
	ret->stored = i->stored;
}

void inode_encode(const struct inode *i, const struct inode_data *data, uint8_t out[static INODE_RECORD])
{
	struct tree_desc x;
	struct disk_inode d = {
		.mode = le32_of(i->mode),
		.flags = le32_of((i->link_inline ? FLAG_LINK_INLINE : 0) | (i->xattr_object ? FLAG_XATTR_OBJECT : 0)),
		.nlink = le32_of(i->nlink),
		.uid = le32_of(i->uid),
		.gid = le32_of(i->gid),
		.rdev_major = le32_of(i->rdev_major),
		.rdev_minor = le32_of(i->rdev_minor),
		.generation = le32_of(i->generation),
		.size = le64_of(data->size),
		.atime = time_out(i->atime),
		.mtime = time_out(i->mtime),
		.ctime = time_out(i->ctime),
		.btime = time_out(i->btime),
		.object = le64_of(data->tree.object),
		.height = data->tree.height,
		.stored = le64_of(data->stored),
		.root = data->tree.root,
		.parent = le64_of(i->parent),
		.entries = le64_of(i->entries),
		.link_len = le16_of(i->link_len),
		.xattr_inline_len = le16_of(i->xattr_inline_len),
	};

	memcpy(d.key, data->tree.key, SEAL_KEY_LEN);
	if (i->xattr_object) {
		tree_describe(&i->xattr, &x);
		d.xattr_object = le64_of(x.object);
		d.xattr_height = x.height;
		d.xattr_len = le32_of(i->xattr_len);
		d.xattr_root = x.root;
		memcpy(d.xattr_key, x.key, SEAL_KEY_LEN);
		secret_wipe(&x, sizeof x);
	}
	memcpy(d.inline_area, i->inline_area, INODE_INLINE);
	memcpy(out, &d, sizeof d);
	secret_wipe(&d, sizeof d);
}

static const char *wrong(const struct disk_inode *d)
{
	uint32_t mode = le32_get(d->mode), flags = le32_get(d->flags);
	uint64_t object = le64_get(d->object), xobject = le64_get(d->xattr_object);

	switch (mode & S_IFMT) {
	case S_IFREG: case S_IFDIR: case S_IFLNK: case S_IFIFO: case S_IFSOCK: case S_IFCHR: case S_IFBLK:
		break;
	default:
		return "type";
	}
	if (mode & ~(uint32_t)(S_IFMT | 07777) || flags & ~(FLAG_LINK_INLINE | FLAG_XATTR_OBJECT))
		return "mode or flags";
	if (le64_get(d->size) > FS_FILE_MAX)
		return "size";
	if (le32_get(d->atime.nsec) > 999999999 || le32_get(d->mtime.nsec) > 999999999 ||
	    le32_get(d->ctime.nsec) > 999999999 || le32_get(d->btime.nsec) > 999999999)
		return "nanoseconds";
	if ((object && object < PAGEIO_OBJ_FIRST) || object >> 63 || d->height > PAGEIO_LEVELS || (!object && d->height))
		return "object";
	if ((xobject && xobject < PAGEIO_OBJ_FIRST) || xobject >> 63 || d->xattr_height > PAGEIO_LEVELS ||
	    !xobject != !(flags & FLAG_XATTR_OBJECT))
		return "attributes' object";
	if (le16_get(d->link_len) + le16_get(d->xattr_inline_len) > INODE_INLINE)
		return "inline lengths";
	if ((flags & FLAG_LINK_INLINE) && (mode & S_IFMT) != S_IFLNK)
		return "inline target of what is no symlink";
	if ((mode & S_IFMT) == S_IFDIR && (le64_get(d->size) % CL_PAGE || le64_get(d->size) / CL_PAGE > DIR_PAGES_MAX ||
					   le64_get(d->parent) >= INODE_MAX))
		return "directory size or parent";
	if (!bytes_are_zero(d->zero1, sizeof d->zero1) || !bytes_are_zero(d->zero2, sizeof d->zero2) ||
	    !bytes_are_zero(d->zero3, sizeof d->zero3))
		return "reserved bytes";
	return NULL;
}

int inode_decode(struct inode *i, const uint8_t in[static INODE_RECORD])
{
	struct disk_inode d;
	struct tree_desc t = { 0 };
	int err = 0;

	memcpy(&d, in, sizeof d);
	if (le32_get(d.mode) == 0) {
		i->generation = le32_get(d.generation);
		secret_wipe(&d, sizeof d);
		return -ENOENT;
	}
	const char *what = wrong(&d);
	if (what) {
		log_err("compartment %s: inode %llu: malformed %s", i->comp->io.name, (unsigned long long)i->ino, what);
		secret_wipe(&d, sizeof d);
		return -EUCLEAN;
	}
	i->mode = le32_get(d.mode);
	i->type = i->mode & S_IFMT;
	i->nlink = le32_get(d.nlink);
	i->uid = le32_get(d.uid);
	i->gid = le32_get(d.gid);
	i->rdev_major = le32_get(d.rdev_major);
	i->rdev_minor = le32_get(d.rdev_minor);
	i->generation = le32_get(d.generation);
	i->size = le64_get(d.size);
	i->atime = time_in(d.atime);
	i->mtime = time_in(d.mtime);
	i->ctime = time_in(d.ctime);
	i->btime = time_in(d.btime);
	i->stored = le64_get(d.stored);
	i->parent = le64_get(d.parent);
	i->entries = le64_get(d.entries);
	i->link_len = le16_get(d.link_len);
	i->xattr_inline_len = le16_get(d.xattr_inline_len);
	i->link_inline = le32_get(d.flags) & FLAG_LINK_INLINE;
	i->xattr_object = le32_get(d.flags) & FLAG_XATTR_OBJECT;
	memcpy(i->inline_area, d.inline_area, INODE_INLINE);
	t.object = le64_get(d.object);
	if (t.object) {
		t.height = d.height;
		t.root = d.root;
		memcpy(t.key, d.key, SEAL_KEY_LEN);
		err = tree_load(&i->data, &t);
	}
	if (!err && i->xattr_object) {
		i->xattr_len = le32_get(d.xattr_len);
		t.object = le64_get(d.xattr_object);
		t.height = d.xattr_height;
		t.root = d.xattr_root;
		memcpy(t.key, d.xattr_key, SEAL_KEY_LEN);
		err = tree_load(&i->xattr, &t);
	}
	inode_data_now(i, &i->committed);
	secret_wipe(&d, sizeof d);
	secret_wipe(&t, sizeof t);
	return err;
}

static void mend_time(struct disk_time *t)
{
	if (le32_get(t->nsec) > 999999999)
		t->nsec = le32_of(0);
}

static void mend_trees(struct disk_inode *d)
{
	uint64_t object = le64_get(d->object), xobject = le64_get(d->xattr_object);

	if (object < PAGEIO_OBJ_FIRST || object >> 63 || d->height > PAGEIO_LEVELS) {
		d->object = d->stored = le64_of(0);
		d->height = 0;
		memset(&d->root, 0, sizeof d->root);
		memset(d->key, 0, sizeof d->key);
	}
	if (xobject < PAGEIO_OBJ_FIRST || xobject >> 63 || d->xattr_height > PAGEIO_LEVELS) {
		d->xattr_object = le64_of(0);
		d->xattr_height = 0;
		d->xattr_len = le32_of(0);
		memset(&d->xattr_root, 0, sizeof d->xattr_root);
		memset(d->xattr_key, 0, sizeof d->xattr_key);
	}
}

bool inode_mend(uint8_t record[static INODE_RECORD])
{
	struct disk_inode d;
	uint32_t mode, flags;

	memcpy(&d, record, sizeof d);
	mode = le32_get(d.mode) & (S_IFMT | 07777);
	flags = le32_get(d.flags) & FLAG_LINK_INLINE;
	mend_trees(&d);
	d.mode = le32_of(mode);
	if (wrong(&(struct disk_inode){ .mode = d.mode })) {
		if (!le64_get(d.object))
			return false;
		mode = S_IFREG | 0600; /* contents of some kind */
	}
	if (!S_ISLNK(mode))
		flags = 0;
	if (le64_get(d.size) > FS_FILE_MAX)
		d.size = le64_of(FS_FILE_MAX);
	if (le16_get(d.link_len) + le16_get(d.xattr_inline_len) > INODE_INLINE) {
		d.link_len = d.xattr_inline_len = le16_of(0);
		memset(d.inline_area, 0, sizeof d.inline_area);
		flags = 0;
	}
	if (S_ISDIR(mode)) {
		uint64_t pages = le64_get(d.size) / CL_PAGE + (le64_get(d.size) % CL_PAGE != 0);
		d.size = le64_of(CL_MIN(pages, DIR_PAGES_MAX) * CL_PAGE);
		if (le64_get(d.parent) >= INODE_MAX)
			d.parent = le64_of(0);
	}
	mend_time(&d.atime);
	mend_time(&d.mtime);
	mend_time(&d.ctime);
	mend_time(&d.btime);
	d.mode = le32_of(mode);
	d.flags = le32_of(flags | (le64_get(d.xattr_object) ? FLAG_XATTR_OBJECT : 0));
	memset(d.zero1, 0, sizeof d.zero1);
	memset(d.zero2, 0, sizeof d.zero2);
	memset(d.zero3, 0, sizeof d.zero3);
	bool good = !wrong(&d);
	if (good)
		memcpy(record, &d, sizeof d);
	secret_wipe(&d, sizeof d);
	return good;
}
