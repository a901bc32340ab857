/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The volume of the repair tests, copies of it, and what is in it by path. */
#include "tests/fsck/fsck.h"

#include "fs/xattr.h"

#include <dirent.h>
#include <xxhash.h>

static void fill_many(struct volume *v)
{
	uint64_t d = make(v, 1, "many", S_IFDIR | 0755, NULL);

	for (unsigned i = 0; i < 150; i++) {
		char name[64];
		snprintf(name, sizeof name, "a-file-with-a-rather-long-name-%03u", i);
		uint64_t f = make(v, d, name, S_IFREG | 0644, NULL);
		if (i % 10 == 0)
			put(v, f, 0, 10 + i);
	}
}

/* In memory if possible: thousands of syncs are not what is tested here. */
static const char *top(void)
{
	return access("/dev/shm", W_OK | X_OK) ? "/tmp" : "/dev/shm";
}

struct volume *fsck_volume(void)
{
	struct volume *v = volume_new_in(top(), 256);
	uint8_t value[5000] = { 1 };
	char target[400];
	struct fs_attr a;

	memset(target, 'y', sizeof target);
	target[399] = '\0';
	volume_open(v, 0);
	uint64_t d = make(v, 1, "dir", S_IFDIR | 0755, NULL);       /* 2 */
	uint64_t sub = make(v, d, "sub", S_IFDIR | 0755, NULL);     /* 3 */
	uint64_t deep = make(v, sub, "deep", S_IFDIR | 0755, NULL); /* 4 */
	uint64_t file = make(v, d, "file", S_IFREG | 0644, NULL);   /* 5 */
	put(v, file, 0, 50000);
	ck_assert_int_eq(fs_link(v->fs, file, d, "link", &a), 0);
	fs_forget(v->fs, a.ino, 1);
	put(v, make(v, d, "other", S_IFREG | 0644, NULL), 0, 100);    /* 6 */
	put(v, make(v, deep, "leaf", S_IFREG | 0600, NULL), 0, 5000); /* 7 */
	put(v, make(v, d, "big", S_IFREG | 0644, NULL), 0, 600000);   /* 8 */
	make(v, 1, "sym", S_IFLNK | 0777, "dir/other");               /* 9 */
	make(v, 1, "lnk", S_IFLNK | 0777, target);                    /* 10 */
	make(v, 1, "pipe", S_IFIFO | 0644, NULL);                     /* 11 */
	uint64_t attrs = make(v, d, "attrs", S_IFREG | 0664, NULL);   /* 12 */
	put(v, attrs, 0, 200);
	ck_assert_int_eq(fs_setxattr(v->fs, attrs, "user.big", value, sizeof value, 0), 0);
	ck_assert_int_eq(fs_setxattr(v->fs, deep, "user.big", value, sizeof value, 0), 0);
	ck_assert_int_eq(fs_setxattr(v->fs, file, "user.small", "v", 1, 0), 0);
	fill_many(v); /* 13 and up */
	volume_close(v);
	volume_open(v, 1);
	put(v, make(v, (uint64_t)1 << 48 | 1, "secret", S_IFREG | 0600, NULL), 0, 10000);
	volume_close(v);
	return v;
}

struct volume *fsck_copy(const struct volume *v)
{
	struct volume *c = calloc(1, sizeof *c);
	char cmd[300];

	ck_assert_ptr_nonnull(c);
	*c = *v;
	snprintf(c->dir, sizeof c->dir, "%s/cloison-check-XXXXXX", top());
	ck_assert_ptr_nonnull(mkdtemp(c->dir));
	snprintf(cmd, sizeof cmd, "cp -a %s/. %s", v->dir, c->dir);
	ck_assert_int_eq(system(cmd), 0);
	ck_assert_int_eq(store_dir_open(c->dir, &c->store), 0);
	return c;
}

void fsck_copy_free(struct volume *v)
{
	char cmd[96];

	v->store->ops->free(v->store);
	snprintf(cmd, sizeof cmd, "rm -r %s", v->dir);
	ck_assert_int_eq(system(cmd), 0);
	free(v);
}

static void add_data(struct fsck_file *f, const void *data, size_t n)
{
	f->data = realloc(f->data, f->n_data + n + 1);
	ck_assert_ptr_nonnull(f->data);
	memcpy(f->data + f->n_data, data, n);
	f->n_data += n;
}

static uint64_t hash_attributes(struct fs *fs, uint64_t ino)
{
	char names[4096], value[8192];
	size_t len = 0, n = 0;
	uint64_t hash = 0;

	if (fs_listxattr(fs, ino, names, sizeof names, &len))
		return UINT64_MAX;
	for (size_t at = 0; at < len; at += strlen(names + at) + 1) {
		if (fs_getxattr(fs, ino, names + at, value, sizeof value, &n))
			return UINT64_MAX;
		hash ^= XXH3_64bits_withSeed(value, n, XXH3_64bits(names + at, strlen(names + at)));
	}
	return hash;
}

struct reading {
	struct volume *v;
	struct fsck_tree *t;
	size_t dir;
};

static bool on_name(void *arg, const char *name, const struct fs_attr *attr, uint64_t next)
{
	struct reading *r = arg;
	struct fsck_file *dir = &r->t->files[r->dir];

	(void)attr;
	(void)next;
	if (strcmp(name, ".") && strcmp(name, ".."))
		add_data(dir, name, strlen(name) + 1);
	return true;
}

static void read_file(struct fs *fs, struct fsck_file *f)
{
	uint8_t *buf = malloc(f->size + 1);

	ck_assert_ptr_nonnull(buf);
	ck_assert_uint_lt(f->size, 16u << 20);
	for (uint64_t at = 0; at < f->size; at += CL_PAGE) {
		size_t n = (size_t)CL_MIN((uint64_t)CL_PAGE, f->size - at);
		if (fs_read(fs, f->ino, buf + at, n, at) != (ssize_t)n)
			memset(buf + at, FSCK_UNREADABLE, n);
	}
	add_data(f, buf, f->size);
	free(buf);
}

static size_t add_file(struct volume *v, struct fsck_tree *t, const char *path, const struct fs_attr *a)
{
	t->files = realloc(t->files, (t->n + 1) * sizeof *t->files);
	ck_assert_ptr_nonnull(t->files);
	struct fsck_file *f = &t->files[t->n];
	*f = (struct fsck_file){ .ino = a->ino, .mode = a->mode, .uid = a->uid, .gid = a->gid, .size = a->size };
	snprintf(f->path, sizeof f->path, "%s", path);
	f->xattrs = hash_attributes(v->fs, a->ino);
	if (S_ISREG(a->mode)) {
		read_file(v->fs, f);
	} else if (S_ISLNK(a->mode)) {
		char target[FS_SYMLINK_MAX + 1];
		if (!fs_readlink(v->fs, a->ino, target))
			add_data(f, target, strlen(target));
	}
	return t->n++;
}

/* In a damaged volume a directory may be in itself. */
static bool is_new(const struct fsck_tree *t, size_t at)
{
	for (size_t i = 0; i < at; i++)
		if (t->files[i].ino == t->files[at].ino)
			return false;
	return true;
}

static void read_dir(struct volume *v, struct fsck_tree *t, size_t at)
{
	struct reading r = { v, t, at };
	char path[800];

	if (fs_readdir(v->fs, t->files[at].ino, 0, false, on_name, &r))
		t->files[at].xattrs = UINT64_MAX - 1;
	t->files[at].size = 0; /* pages: may change */
	for (size_t o = 0; o < t->files[at].n_data;) {
		const char *name = (const char *)t->files[at].data + o;
		struct fs_attr a;
		o += strlen(name) + 1;
		if (fs_lookup(v->fs, t->files[at].ino, name, &a))
			continue;
		snprintf(path, sizeof path, "%s/%s", strcmp(t->files[at].path, "/") ? t->files[at].path : "", name);
		ck_assert_uint_lt(strlen(path), sizeof t->files[0].path);
		size_t next = add_file(v, t, path, &a);
		if (S_ISDIR(a.mode) && strlen(path) < 200 && is_new(t, next))
			read_dir(v, t, next);
		fs_forget(v->fs, a.ino, 1);
	}
}

void fsck_tree_read(struct volume *v, struct fsck_tree *ret)
{
	struct fs_config cfg = v->cfg;
	struct fs_attr a;

	memset(ret, 0, sizeof *ret);
	cfg.read_only = true;
	ck_assert_msg(!fs_open(v->store, v->c, 2, &cfg, &v->fs, &v->f), "%s", v->f.text);
	if (!fs_getattr(v->fs, 1, &a)) {
		add_file(v, ret, "/", &a);
		read_dir(v, ret, 0);
	}
	ck_assert_int_eq(fs_close(v->fs), 0);
	v->fs = NULL;
}

void fsck_tree_free(struct fsck_tree *t)
{
	for (size_t i = 0; i < t->n; i++)
		free(t->files[i].data);
	free(t->files);
	memset(t, 0, sizeof *t);
}

const struct fsck_file *fsck_tree_find(const struct fsck_tree *t, const char *path)
{
	for (size_t i = 0; i < t->n; i++)
		if (!strcmp(t->files[i].path, path))
			return &t->files[i];
	return NULL;
}

bool fsck_file_same(const struct fsck_file *a, const struct fsck_file *b)
{
	if (a->ino != b->ino || a->mode != b->mode || a->uid != b->uid || a->gid != b->gid || a->xattrs != b->xattrs)
		return false;
	/* Names of a directory are files of their own. */
	return S_ISDIR(a->mode) ||
	       (a->size == b->size && a->n_data == b->n_data && (!a->n_data || !memcmp(a->data, b->data, a->n_data)));
}

static uint64_t hash_one(int dirfd, const char *name, const char *path)
{
	struct stat st;
	uint64_t h = XXH3_64bits(path, strlen(path));

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW))
		return h;
	h = XXH3_64bits_withSeed(&st.st_mode, sizeof st.st_mode, h);
	if (!S_ISREG(st.st_mode))
		return h;
	h = XXH3_64bits_withSeed(&st.st_size, sizeof st.st_size, h);
	int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW);
	char buf[65536];
	ssize_t n;
	while (fd >= 0 && (n = read(fd, buf, sizeof buf)) > 0)
		h = XXH3_64bits_withSeed(buf, (size_t)n, h);
	if (fd >= 0)
		close(fd);
	return h;
}

uint64_t fsck_dir_hash(const char *dir)
{
	DIR *d = opendir(dir);
	uint64_t sum = 0;
	struct dirent *e;

	while (d && (e = readdir(d))) {
		char path[600];
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
		sum += hash_one(dirfd(d), e->d_name, path);
		if (e->d_type == DT_DIR)
			sum += fsck_dir_hash(path);
	}
	if (d)
		closedir(d);
	return sum;
}
