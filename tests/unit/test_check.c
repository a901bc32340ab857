/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Unit tests of fs_check: damage to lower files, as a disk or a stranger does it. */
#include "tests/unit/check_fixture.h"

#include <sys/xattr.h>

/* Some of everything. */
static void fill(struct volume *v)
{
	char target[600];
	uint8_t value[5000] = { 1 };
	struct fs_attr a;
	const struct fs_cred cred = { 0, 0, 022 };

	volume_open(v, 0);
	uint64_t d = make(v, 1, "dir", S_IFDIR | 0755, NULL);
	uint64_t sub = make(v, d, "sub", S_IFDIR | 0755, NULL);
	uint64_t big = make(v, sub, "big", S_IFREG | 0644, NULL);
	put(v, big, 0, 3000 * 1000);
	uint64_t odd = make(v, d, "odd", S_IFREG | 0644, NULL);
	put(v, odd, 12345, 70000);
	put(v, odd, (uint64_t)20000 << 12, 100); /* height 3, holes */
	a.size = 50001;
	ck_assert_int_eq(fs_setattr(v->fs, big, FS_SET_SIZE, &a, &a), 0);
	put(v, big, 100000, 1000000);
	ck_assert_int_eq(fs_fallocate(v->fs, big, 3 /* punch */, 200000, 300000), 0);
	ck_assert_int_eq(fs_link(v->fs, big, d, "again", &a), 0);
	fs_forget(v->fs, a.ino, 1);
	memset(target, 'x', sizeof target);
	target[599] = 0;
	make(v, d, "long", S_IFLNK | 0777, target);
	make(v, d, "short", S_IFLNK | 0777, "big");
	make(v, d, "pipe", S_IFIFO | 0600, NULL);
	ck_assert_int_eq(fs_setxattr(v->fs, big, "user.big", value, sizeof value, 0), 0);
	ck_assert_int_eq(fs_setxattr(v->fs, odd, "user.small", "v", 1, 0), 0);
	for (unsigned i = 0; i < 300; i++) {
		char name[64];
		snprintf(name, sizeof name, "file-with-a-rather-long-name-%u", i);
		uint64_t f = make(v, sub, name, S_IFREG | 0644, NULL);
		put(v, f, 0, i);
		if (i % 5 == 0)
			ck_assert_int_eq(fs_unlink(v->fs, sub, name), 0);
	}
	ck_assert_int_eq(fs_tmpfile(v->fs, 1, 0600, &cred, &a), 0);
	put(v, a.ino, 0, 5000);
	ck_assert_int_eq(fs_rename(v->fs, sub, "big", 1, "moved", 0), 0);
	volume_close(v);
	volume_open(v, 1);
	uint64_t secret = make(v, (uint64_t)1 << 48 | 1, "secret", S_IFREG | 0600, NULL);
	put(v, secret, 0, 10000);
	volume_close(v);
}

static uint64_t inode_of(struct volume *v, const char *a, const char *b)
{
	struct fs_attr attr;

	volume_open(v, 1);
	ck_assert_int_eq(fs_lookup(v->fs, 1, a, &attr), 0);
	if (b)
		ck_assert_int_eq(fs_lookup(v->fs, attr.ino, b, &attr), 0);
	volume_close(v);
	return attr.ino;
}

/* A page of the root directory that cannot be read costs the names in it; the volume opens. */
START_TEST(test_root_directory)
{
	struct volume *v = volume_new();
	struct fs_attr a;
	char name[200];

	volume_open(v, 0);
	memset(name, 'n', sizeof name);
	name[199] = '\0';
	for (unsigned i = 0; i < 60; i++) {
		snprintf(name, 4, "%03u", i);
		name[3] = 'n';
		make(v, 1, name, S_IFREG | 0644, NULL);
	}
	volume_close(v);
	flip(lower(v, 0, object_file(object_of(v, 0, 1, false))), pageio_lower_leaf(0) * CL_PAGE + 5);
	volume_open(v, 0);
	memcpy(name, "059", 3);
	ck_assert_int_eq(fs_lookup(v->fs, 1, name, &a), 0);
	memcpy(name, "000", 3);
	ck_assert_int_eq(fs_lookup(v->fs, 1, name, &a), -EBADMSG);
	volume_close(v);
	volume_free(v);
}
END_TEST

START_TEST(test_clean)
{
	struct volume *v = volume_new();

	verdict(v, false, 0, 0);
	ck_assert_uint_eq(v->n, 0);
	fill(v);
	verdict(v, false, 0, 0);
	ck_assert_uint_eq(v->n, 0);
	ck_assert_uint_gt(v->done, 500);
	ck_assert_uint_ge(v->steps, 3);
	ck_assert_uint_eq(v->done, v->all);
	verdict(v, true, 0, 0); /* nothing to replay: nothing written */
	ck_assert_uint_eq(v->n, 0);
	v->c[0].key = v->c[1].key = NULL;
	verdict(v, true, 0, 0);
	ck_assert_uint_eq(v->n, 0);
	volume_free(v);
}
END_TEST

START_TEST(test_contents)
{
	struct volume *v = volume_new();

	fill(v);
	uint64_t o = object_of(v, 0, inode_of(v, "moved", NULL), false);
	uint64_t x = object_of(v, 0, inode_of(v, "moved", NULL), true);
	uint64_t s = object_of(v, 1, inode_of(v, "upper", "secret"), false);
	for (unsigned leaf = 130; leaf <= 133; leaf++)
		flip(lower(v, 0, object_file(o)), pageio_lower_leaf(leaf) * CL_PAGE + 100);
	flip(lower(v, 0, object_file(o)), pageio_lower_leaf(140) * CL_PAGE + 4095);
	/* The last page, of which the file has a part. */
	flip(lower(v, 0, object_file(o)), pageio_lower_leaf(268) * CL_PAGE);
	flip(lower(v, 0, object_file(x)), 0);
	flip(lower(v, 1, object_file(s)), 0);
	verdict(v, false, 5, 0);
	expect(v, "/moved", "contents: pages 130-133 (bytes 532480-548863) do not authenticate");
	expect(v, "/moved", "contents: page 140 (bytes 573440-577535) does not authenticate");
	expect(v, "/moved", "contents: page 268 (bytes 1097728-1099999) does not authenticate");
	expect(v, "/moved", "attribute list: page 0 (bytes 0-4095) does not authenticate");
	expect(v, "/upper/secret", "contents: page 0 (bytes 0-4095) does not authenticate");
	/* An index page takes those below it along, and nothing else. */
	flip(lower(v, 0, object_file(o)), pageio_lower_node(1, 1) * CL_PAGE);
	verdict(v, false, 4, 0);
	expect(v, "/moved",
	       "contents: pages 128-255 (bytes 524288-1048575) cannot be reached: an index page above does not");
	/* All of it gone. */
	ck_assert_int_eq(unlink(lower(v, 0, object_file(o))), 0);
	verdict(v, false, 3, 0);
	expect(v, "/moved", "contents: all of it is lost: its lower file");
	ck_assert_int_eq(symlink("/etc/passwd", lower(v, 0, object_file(o))), 0);
	check_volume(v, false);
	expect(v, "", "is a symbolic link, expected a file");
	volume_free(v);
}
END_TEST

START_TEST(test_copies)
{
	struct volume *v = volume_new();

	fill(v);
	char old[600], kept[256];
	snprintf(old, sizeof old, "cp -a %s ", lower(v, 0, "root.copy"));
	snprintf(kept, sizeof kept, "%s.kept", v->dir);
	strcat(old, kept);
	ck_assert_int_eq(system(old), 0);
	volume_open(v, 0);
	make(v, 1, "newer", S_IFREG | 0644, NULL);
	volume_close(v);
	ck_assert_int_eq(rename(kept, lower(v, 0, "root.copy")), 0);
	verdict(v, false, 1, 0);
	expect(v, "", "root page: root.copy is older than root");
	flip(lower(v, 0, "root.copy"), 200);
	flip(lower(v, 0, "01/0000000000000001"), pageio_lower_leaf(3) * CL_PAGE);
	flip(lower(v, 0, "01/0000000000000001.copy"), pageio_lower_leaf(5) * CL_PAGE);
	flip(lower(v, 1, "02/0000000000000002.copy"), 0);
	verdict(v, false, 4, 0);
	expect(v, "", "root page: root.copy is damaged");
	expect(v, "", "inode table: the first copy of page 4 is damaged");
	expect(v, "", "inode table: the second copy of page 6 is damaged");
	expect(v, "", "compartment a1a1a1a1: inode bitmap: the second copy of page 0 is damaged");
	ck_assert_int_eq(truncate(lower(v, 0, "root"), 100), 0);
	/* No root: what needs none is still looked at, and the other compartment. */
	check_volume(v, false);
	expect(v, "", "neither copy of its root page");
	expect(v, "", "root: it has 100 bytes, expected 4096");
	expect(v, "", "compartment a1a1a1a1: inode bitmap");
	volume_free(v);
}
END_TEST

START_TEST(test_table)
{
	struct volume *v = volume_new();
	char page[96];

	fill(v);
	uint64_t ino = inode_of(v, "dir", "odd"), leaf = ino / INODE_PER_PAGE;
	flip(lower(v, 0, "01/0000000000000001"), pageio_lower_leaf(leaf) * CL_PAGE + 9);
	flip(lower(v, 0, "01/0000000000000001.copy"), pageio_lower_leaf(leaf) * CL_PAGE + 9);
	ck_assert_int_eq(check_volume(v, false), 0);
	ck_assert_uint_gt(v->check.ret_errors, 1);
	snprintf(page, sizeof page, "inode table: page %u (inodes %u-%u) does not authenticate", (unsigned)leaf,
		 (unsigned)leaf * 8, (unsigned)leaf * 8 + 7);
	expect(v, "", page);
	if (leaf) /* the root directory itself is in page 0 */
		expect(v, "/dir/odd", "is lost: the record of its inode");
	else
		expect(v, "", "its root directory, inode 1, cannot be read");
	/* The bitmap says nothing of what is lost. */
	ck_assert_ptr_null(find(v, "", "free in the table"));
	volume_free(v);
}
END_TEST

START_TEST(test_directory)
{
	struct volume *v = volume_new();

	fill(v);
	volume_open(v, 0);
	struct fs_attr d, s;
	ck_assert_int_eq(fs_lookup(v->fs, 1, "dir", &d), 0);
	ck_assert_int_eq(fs_lookup(v->fs, d.ino, "sub", &s), 0);
	volume_close(v);
	uint64_t o = object_of(v, 0, s.ino, false);
	flip(lower(v, 0, object_file(o)), pageio_lower_leaf(1) * CL_PAGE);
	ck_assert_int_eq(check_volume(v, false), 0);
	expect(v, "/dir/sub", "directory: page 1 (bytes 4096-8191) does not authenticate");
	ck_assert(find(v, "", "no names lead to them") || find(v, "", "no name leads to it"));
	ck_assert_ptr_null(find(v, "/dir/sub", "entries"));
	/* The parent's page: its subdirectory hangs on nothing, and is read all the same. */
	flip(lower(v, 0, object_file(object_of(v, 0, d.ino, false))), 0);
	ck_assert_int_eq(check_volume(v, false), 0);
	expect(v, "/dir", "directory: page 0 (bytes 0-4095) does not authenticate");
	expect(v, "", ": directory: page 1 (bytes 4096-8191) does not authenticate");
	volume_free(v);
}
END_TEST

START_TEST(test_lower)
{
	struct volume *v = volume_new();
	char other[256];

	fill(v);
	ck_assert_int_eq(chmod(lower(v, 0, "root"), 0644), 0);
	ck_assert_int_eq(chmod(lower(v, 0, "3f"), 0755), 0);
	ck_assert_int_eq(mkdir(lower(v, 0, "3g"), 0700), 0);
	close(open(lower(v, 0, "3f/stranger"), O_CREAT | O_WRONLY, 0600));
	close(open(lower(v, 0, "3f/000000000000ff3e"), O_CREAT | O_WRONLY, 0600)); /* of another folder */
	close(open(lower(v, 0, "3e/000000000000ff3e"), O_CREAT | O_WRONLY, 0600)); /* left by a crash: no error */
	ck_assert_int_eq(truncate(lower(v, 1, "journal"), 12345), 0);
	ck_assert_int_eq(truncate(lower(v, 1, "02/0000000000000002"), 8292), 0);
	ck_assert_int_eq(rmdir(lower(v, 1, "ee")), 0);
	ck_assert_int_eq(unlink(lower(v, 1, "02/0000000000000002.copy")), 0);
	ck_assert_int_eq(unlink(lower(v, 1, "lease")), 0);
	snprintf(other, sizeof other, "%s", lower(v, 0, "root.copy"));
	ck_assert_int_eq(link(other, lower(v, 0, "second")), 0);
	for (unsigned pass = 0; pass < 2; pass++) {
		ck_assert_int_eq(check_volume(v, false), 0);
		expect(v, "", "lower file root: its mode is 0644, expected 0600");
		expect(v, "", "lower folder 3f: its mode is 0755, expected 0700");
		expect(v, "", "3g is not a name that belongs there");
		expect(v, "", "3f/stranger is not a name that belongs there");
		expect(v, "", "3f/000000000000ff3e is not a name that belongs there");
		expect(v, "", "second is not a name that belongs there");
		expect(v, "", "lower file root.copy: it has 2 names, expected 1");
		expect(v, "", "journal: it has 12345 bytes, expected");
		expect(v, "", "lower file 02/0000000000000002: its size of 8292 bytes is not a multiple of 4096");
		expect(v, "", "lower folder ee is missing");
		expect(v, "", "lower file 02/0000000000000002.copy is missing");
		expect(v, "", "compartment a1a1a1a1: lease is missing");
		if (pass == 0) {
			expect(v, "", "1 lower file belongs to no inode that could be read: left by a crash, harmless");
			/* The three that are notes, not errors, and root.copy, which cannot be opened like that. */
			ck_assert_uint_eq(v->check.ret_errors, v->n - 3);
		} else {
			ck_assert_uint_eq(v->check.ret_errors, 11);
		}
		/* The same without keys. */
		v->c[0].key = v->c[1].key = NULL;
	}
	char id[33], gone[128];
	bytes_to_hex(v->c[1].id, 16, id);
	snprintf(other, sizeof other, "%s/%s", v->dir, id);
	snprintf(gone, sizeof gone, "%s/gone", v->dir);
	ck_assert_int_eq(rename(other, gone), 0);
	ck_assert_int_eq(check_volume(v, false), 0);
	expect(v, "", "is missing from the backing directory");
	volume_free(v);
}
END_TEST

/* A disk with bad blocks: pages first .. last of one lower file cannot be read. */
static struct {
	struct store_ops ops;
	const struct store_ops *real;
	char name[STORE_NAME_MAX];
	struct store_file *file;
	uint64_t first, last;
	int err; /* that they give */
} bad;

static int bad_open(struct store *s, const char *name, int flags, struct store_file **ret)
{
	int err = bad.real->open(s, name, flags, ret);

	if (!err && !strcmp(name, bad.name))
		bad.file = *ret;
	return err;
}

static void bad_close(struct store *s, struct store_file *f)
{
	if (f == bad.file)
		bad.file = NULL;
	bad.real->close(s, f);
}

static int bad_pread(struct store *s, struct store_file *f, void *buf, size_t n, uint64_t off, size_t *ret_got)
{
	if (f == bad.file && off < (bad.last + 1) * CL_PAGE && off + n > bad.first * CL_PAGE)
		return bad.err;
	return bad.real->pread(s, f, buf, n, off, ret_got);
}

static int bad_sub(struct store *s, const char *dir, struct store **ret)
{
	int err = bad.real->sub(s, dir, ret);

	if (!err)
		(*ret)->ops = &bad.ops;
	return err;
}

START_TEST(test_bad_blocks)
{
	struct volume *v = volume_new();

	fill(v);
	uint64_t o = object_of(v, 0, inode_of(v, "moved", NULL), false);
	bad.real = v->store->ops;
	bad.ops = *bad.real;
	bad.ops.open = bad_open;
	bad.ops.close = bad_close;
	bad.ops.pread = bad_pread;
	bad.ops.sub = bad_sub;
	bad.err = -EIO;
	bad.first = pageio_lower_leaf(140);
	bad.last = pageio_lower_leaf(143);
	snprintf(bad.name, sizeof bad.name, "%s", object_file(o));
	v->store->ops = &bad.ops;
	verdict(v, false, 1, 0);
	expect(v, "/moved", "contents: pages 140-143 (bytes 573440-589823) cannot be read: Input/output error");
	/* Another time they may be read: nothing is given up for that. */
	ck_assert_int_eq(repair_volume(v, FS_REPAIR_ALL), 0);
	ck_assert_uint_eq(v->check.ret_errors, 1);
	ck_assert_uint_eq(v->check.ret_fixed, 0);
	expect(v, "/moved", "contents: pages 140-143 (bytes 573440-589823) cannot be read: Input/output error");
	snprintf(bad.name, sizeof bad.name, "root.copy");
	bad.first = bad.last = 0;
	verdict(v, false, 2, 0); /* of both labels */
	expect(v, "", "root page: root.copy is damaged (it cannot be read: Input/output error)");
	/* Written again, of both labels; it does not help, and is not tried for ever. */
	ck_assert_int_eq(repair_volume(v, FS_REPAIR_SAFE), 0);
	ck_assert_uint_eq(v->check.ret_errors, 2);
	ck_assert_uint_eq(v->check.ret_fixed, 2);
	/* Whom the names of a directory lead to cannot be said without it: nobody goes to lost+found. */
	snprintf(bad.name, sizeof bad.name, "%s", object_file(object_of(v, 0, INODE_ROOT, false)));
	bad.last = UINT32_MAX;
	ck_assert_int_eq(repair_volume(v, FS_REPAIR_ALL), 0);
	ck_assert_uint_gt(v->check.ret_errors, 0);
	ck_assert_uint_eq(v->check.ret_fixed, 0);
	/* Want of memory or of descriptors is no finding. */
	static const int ours[] = { -ENOMEM, -EMFILE, -ENFILE };
	for (unsigned i = 0; i < CL_ARRAY_LEN(ours); i++) {
		bad.err = ours[i];
		ck_assert_int_eq(repair_volume(v, FS_REPAIR_ALL), ours[i]);
		ck_assert_uint_eq(v->check.ret_fixed, 0);
	}
	v->store->ops = bad.real;
	verdict(v, false, 0, 0);
	volume_free(v);
}
END_TEST

/* A copy of the backing directory while it is in use is what a crash leaves. */
static void crash(struct volume *v)
{
	char cmd[300];

	snprintf(cmd, sizeof cmd, "cp -a %s %s.crash", v->dir, v->dir);
	ck_assert_int_eq(system(cmd), 0);
	volume_close(v);
	v->store->ops->free(v->store);
	snprintf(cmd, sizeof cmd, "rm -r %s && mv %s.crash %s", v->dir, v->dir, v->dir);
	ck_assert_int_eq(system(cmd), 0);
	ck_assert_int_eq(store_dir_open(v->dir, &v->store), 0);
}

static bool answer;
static unsigned asked;

static bool on_question(void *arg, const char *question)
{
	(void)arg;
	ck_assert_ptr_nonnull(strstr(question, "Repair"));
	asked++;
	return answer;
}

static int ask_volume(struct volume *v, bool yes)
{
	answer = yes;
	asked = 0;
	v->check = (struct fs_check){ .replay = true, .ask = on_question, .report = on_finding, .arg = v };
	v->n = 0;
	return fs_check(v->store, v->c, 2, &v->cfg, &v->check, &v->f);
}

/* Once for each label with something to repair, after what there is was told. */
START_TEST(test_ask)
{
	struct volume *v = volume_new();

	fill(v);
	ck_assert_int_eq(ask_volume(v, true), 0);
	ck_assert_uint_eq(asked, 0);
	flip(lower(v, 0, object_file(object_of(v, 0, inode_of(v, "moved", NULL), false))), 0);
	ck_assert_int_eq(chmod(lower(v, 0, "3f"), 0755), 0);
	ck_assert_int_eq(ask_volume(v, false), 0);
	ck_assert_uint_eq(asked, 1);
	ck_assert_uint_eq(v->check.ret_errors, 2);
	ck_assert_uint_eq(v->check.ret_fixed, 0);
	ck_assert_int_eq(ask_volume(v, true), 0);
	ck_assert_uint_eq(asked, 1);
	ck_assert_uint_eq(v->check.ret_errors, 0);
	ck_assert_uint_eq(v->check.ret_fixed, 3); /* the file has two names */
	ck_assert(!v->found[0].fixed && v->found[v->n - 1].fixed);
	verdict(v, false, 0, 0);
	ck_assert_uint_eq(v->n, 0);
	volume_free(v);
}
END_TEST

/* The lease goes from the checker to the engine and back: nobody else can write meanwhile, and nothing is written beside another. */
START_TEST(test_lease)
{
	struct volume *v = volume_new();
	struct store *sub;
	struct store_file *lease;
	char id[33];

	fill(v);
	ck_assert_int_eq(chmod(lower(v, 0, "3f"), 0755), 0);
	bytes_to_hex(v->c[0].id, 16, id);
	ck_assert_int_eq(v->store->ops->sub(v->store, id, &sub), 0);
	ck_assert_int_eq(sub->ops->open(sub, "lease", STORE_RDWR, &lease), 0);
	/* A reader does not keep one from checking, but from repairing. */
	ck_assert_int_eq(sub->ops->lock(sub, lease, STORE_SHARED), 0);
	verdict(v, false, 1, 0);
	ck_assert_int_eq(repair_volume(v, FS_REPAIR_ALL), -EBUSY);
	ck_assert_int_eq(sub->ops->lock(sub, lease, STORE_EXCLUSIVE), 0);
	ck_assert_int_eq(repair_volume(v, FS_REPAIR_ALL), -EBUSY);
	/* Nor does a second name of the lease make it free. */
	char second[200];
	snprintf(second, sizeof second, "%s/second", v->dir);
	ck_assert_int_eq(link(lower(v, 0, "lease"), second), 0);
	ck_assert_int_eq(repair_volume(v, FS_REPAIR_ALL), 0);
	ck_assert_uint_ge(v->check.ret_errors, 2);
	ck_assert_uint_eq(v->check.ret_fixed, 0);
	sub->ops->close(sub, lease);
	ck_assert_int_eq(repair_volume(v, FS_REPAIR_ALL), 0);
	ck_assert_uint_eq(v->check.ret_errors, 0);
	ck_assert_uint_eq(v->check.ret_fixed, 2);
	sub->ops->free(sub);
	volume_free(v);
}
END_TEST

START_TEST(test_journal)
{
	struct volume *v = volume_new();
	const struct fs_cred cred = { 0, 0, 022 };
	struct fs_attr a;

	fill(v);
	volume_open(v, 0);
	uint64_t one = make(v, 1, "one", S_IFREG | 0644, NULL);
	put(v, one, 0, 200000);
	ck_assert_int_eq(fs_sync(v->fs), 0);
	put(v, one, 4096, 4096);
	ck_assert_int_eq(fs_tmpfile(v->fs, 1, 0600, &cred, &a), 0);
	ck_assert_int_eq(fs_sync(v->fs), 0);
	make(v, 1, "two", S_IFREG | 0644, NULL);
	ck_assert_int_eq(fs_sync(v->fs), 0);
	make(v, 1, "never", S_IFREG | 0644, NULL);
	ck_assert_int_eq(check_volume(v, false), -EBUSY);
	ck_assert_ptr_nonnull(strstr(v->f.text, "in use"));
	ck_assert_uint_eq(v->n, 0);
	v->c[0].key = NULL;
	ck_assert_int_eq(check_volume(v, true), -EBUSY);
	v->c[0].key = v->keys[0];
	crash(v);
	verdict(v, false, 0, 0); /* as an overlay */
	ck_assert_uint_eq(v->n, 1);
	expect(v, "", "was not closed cleanly: 4 transactions of its journal wait to be replayed");
	/* One copy of the header. */
	flip(lower(v, 0, "journal"), 40);
	verdict(v, false, 1, 0);
	expect(v, "", "journal: the first copy of its header is damaged");
	flip(lower(v, 0, "journal"), 40);
	verdict(v, true, 0, 1);
	ck_assert_uint_eq(v->n, 1);
	ck_assert(v->found[0].fixed);
	expect(v, "", "was not closed cleanly");
	verdict(v, true, 0, 0);
	ck_assert_uint_eq(v->n, 0);
	volume_open(v, 0);
	ck_assert_int_eq(fs_lookup(v->fs, 1, "two", &a), 0);
	ck_assert_int_eq(fs_lookup(v->fs, 1, "never", &a), -ENOENT);
	volume_close(v);
	volume_free(v);
}
END_TEST

/* Ring page in the file where the n-th record from the tail is. */
static uint64_t record_at(struct volume *v, unsigned n)
{
	uint8_t head[CL_PAGE];
	le64 tail;
	le32 pages;
	int fd = open(lower(v, 0, "journal"), O_RDONLY);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pread(fd, head, CL_PAGE, 0), CL_PAGE);
	memcpy(&tail, head + 40, sizeof tail);
	uint64_t at = le64_get(tail);
	for (; n; n--) {
		ck_assert_int_eq(pread(fd, head, CL_PAGE, (off_t)((2 + at) * CL_PAGE)), CL_PAGE);
		ck_assert_mem_eq(head, "CLOISONT", 8);
		memcpy(&pages, head + 32, sizeof pages);
		at += le32_get(pages);
	}
	close(fd);
	return at + 2;
}

START_TEST(test_broken_journal)
{
	struct volume *v = volume_new();

	fill(v);
	volume_open(v, 0);
	for (unsigned i = 0; i < 4; i++) {
		char name[8];
		snprintf(name, sizeof name, "f%u", i);
		make(v, 1, name, S_IFREG | 0644, NULL);
		ck_assert_int_eq(fs_sync(v->fs), 0);
	}
	crash(v);
	flip(lower(v, 0, "journal"), record_at(v, 1) * CL_PAGE + 100);
	for (unsigned pass = 0; pass < 3; pass++) {
		/* Nothing is replayed over it. */
		ck_assert_int_eq(check_volume(v, pass == 1), 0);
		ck_assert_uint_eq(v->check.ret_errors, 1);
		ck_assert_uint_eq(v->check.ret_fixed, 0);
		expect(v, "", "is damaged, later ones are whole");
		if (pass == 1)
			v->c[0].key = v->c[1].key = NULL;
		else if (pass == 0)
			expect(v, "", "its contents were not checked");
	}
	flip(lower(v, 0, "journal"), 70);
	flip(lower(v, 0, "journal"), 70 + CL_PAGE);
	ck_assert_int_eq(check_volume(v, false), 0);
	expect(v, "", "journal: both copies of its header are damaged");
	ck_assert_int_eq(unlink(lower(v, 0, "journal")), 0);
	ck_assert_int_eq(check_volume(v, false), 0);
	expect(v, "", "journal is missing");
	volume_free(v);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = { test_clean, test_contents,   test_copies,  test_table,         test_directory,
				       test_lower, test_bad_blocks, test_journal, test_ask, test_lease, test_broken_journal,
				       test_root_directory };

	return run_tests("check", tests, CL_ARRAY_LEN(tests));
}
