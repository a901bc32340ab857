/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Recipes: lines of text that damage a volume. tests/fsck/README has the language. */
#include "tests/fsck/fsck.h"

#include "fs/leaf.h"

#include <dirent.h>

#define LOW(ino) ((ino)&0xffffffffffff)
#define WORDS 8

struct recipe {
	struct volume *v;
	const char *line;
	char *word[WORDS];
	size_t n;
};

static uint64_t number(const struct recipe *r, size_t at)
{
	char *end;

	ck_assert_msg(at < r->n, "too few words: %s", r->line);
	uint64_t value = strtoull(r->word[at], &end, 0);
	ck_assert_msg(!*end, "no number: %s", r->line);
	return value;
}

static unsigned rank_of(const char *path)
{
	return !strncmp(path, "/upper/", 7);
}

/* Inode number of a path, or the number that stands there. */
static uint64_t find_ino(struct volume *v, const char *path)
{
	struct fs_config cfg = v->cfg;
	struct fs_attr a = { .ino = 1 };
	char copy[300], *save = NULL;

	if (*path != '/')
		return strtoull(path, NULL, 0);
	cfg.read_only = true;
	ck_assert_msg(!fs_open(v->store, v->c, 2, &cfg, &v->fs, &v->f), "%s", v->f.text);
	snprintf(copy, sizeof copy, "%s", path);
	for (char *name = strtok_r(copy, "/", &save); name; name = strtok_r(NULL, "/", &save))
		ck_assert_msg(!fs_lookup(v->fs, a.ino, name, &a), "%s", path);
	ck_assert_int_eq(fs_close(v->fs), 0);
	v->fs = NULL;
	return LOW(a.ino);
}

/* Path of a lower file in the backing directory. copy: of the second copy. */
static const char *lower_of(struct volume *v, const char *name, bool copy)
{
	static char path[320];
	unsigned rank = 0;

	if (!strncmp(name, "data:", 5) || !strncmp(name, "xattr:", 6)) {
		bool xattr = *name == 'x';
		const char *of = strchr(name, ':') + 1;
		rank = rank_of(of);
		name = object_file(object_of(v, rank, find_ino(v, of), xattr));
	} else if (!strncmp(name, "1:", 2)) {
		rank = 1;
		name += 2;
	}
	snprintf(path, sizeof path, "%s%s", lower(v, rank, name), copy ? ".copy" : "");
	return path;
}

static void flip_words(const struct recipe *r, bool copy)
{
	uint64_t at;

	ck_assert_uint_gt(r->n, 2);
	if (!strcmp(r->word[2], "leaf"))
		at = pageio_lower_leaf(number(r, 3)) * CL_PAGE + 7;
	else if (!strcmp(r->word[2], "node"))
		at = pageio_lower_node((unsigned)number(r, 3), number(r, 4)) * CL_PAGE + 7;
	else
		at = number(r, 2);
	flip(lower_of(r->v, r->word[1], copy), at);
}

static void do_flip(const struct recipe *r)
{
	flip_words(r, false);
}

static void do_both(const struct recipe *r)
{
	flip_words(r, false);
	flip_words(r, true);
}

static void do_unlink(const struct recipe *r)
{
	ck_assert_int_eq(unlink(lower_of(r->v, r->word[1], false)), 0);
}

static void do_truncate(const struct recipe *r)
{
	ck_assert_int_eq(truncate(lower_of(r->v, r->word[1], false), (off_t)number(r, 2)), 0);
}

static void do_chmod(const struct recipe *r)
{
	ck_assert_int_eq(chmod(lower_of(r->v, r->word[1], false), (mode_t)number(r, 2)), 0);
}

static void do_symlink(const struct recipe *r)
{
	const char *path = lower_of(r->v, r->word[1], false);

	(void)unlink(path);
	ck_assert_int_eq(symlink("/etc/passwd", path), 0);
}

static void do_hardlink(const struct recipe *r)
{
	char to[100];

	snprintf(to, sizeof to, "%s/a-second-name", r->v->dir);
	ck_assert_int_eq(link(lower_of(r->v, r->word[1], false), to), 0);
}

static void do_touch(const struct recipe *r)
{
	int fd = open(lower_of(r->v, r->word[1], false), O_CREAT | O_EXCL | O_WRONLY, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, "something", 9), 9);
	close(fd);
}

static void do_mkdir(const struct recipe *r)
{
	ck_assert_int_eq(mkdir(lower_of(r->v, r->word[1], false), 0700), 0);
}

static void do_rmdir(const struct recipe *r)
{
	ck_assert_int_eq(rmdir(lower_of(r->v, r->word[1], false)), 0);
}

static void do_zero(const struct recipe *r)
{
	static const uint8_t page[CL_PAGE];
	int fd = open(lower_of(r->v, r->word[1], false), O_WRONLY);

	ck_assert_int_ge(fd, 0);
	for (uint64_t n = 0; n < number(r, 3); n++)
		ck_assert_int_eq(pwrite(fd, page, CL_PAGE, (off_t)((number(r, 2) + n) * CL_PAGE)), CL_PAGE);
	close(fd);
}

static void do_set(const struct recipe *r)
{
	uint64_t ino = find_ino(r->v, r->word[1]), value = number(r, 3);
	struct comp *c = inside(r->v, rank_of(r->word[1]));
	struct inode *i = take(c, ino);
	const char *field = r->word[2];

	if (!strcmp(field, "nlink"))
		i->nlink = (uint32_t)value;
	else if (!strcmp(field, "size"))
		i->size = value;
	else if (!strcmp(field, "stored"))
		i->stored = value;
	else if (!strcmp(field, "parent"))
		i->parent = value;
	else if (!strcmp(field, "entries"))
		i->entries = value;
	else if (!strcmp(field, "xattr_len"))
		i->xattr_len = (uint32_t)value;
	else if (!strcmp(field, "link_len"))
		i->link_len = (uint16_t)value;
	else
		ck_abort_msg("%s", r->line);
	inode_put(i);
	leave(c);
}

static void do_poke(const struct recipe *r)
{
	uint64_t ino = find_ino(r->v, r->word[1]);
	struct comp *c = inside(r->v, rank_of(r->word[1]));
	struct node *n;

	ck_assert_int_eq(tree_node(&c->itable, 0, ino / INODE_PER_PAGE, true, &n), 0);
	tree_dirty(&c->itable, n);
	n->page[ino % INODE_PER_PAGE * INODE_RECORD + number(r, 2)] = (uint8_t)number(r, 3);
	tree_put(&c->itable, n);
	leave(c);
}

static void do_page(const struct recipe *r)
{
	uint64_t ino = find_ino(r->v, r->word[1]), leaf = number(r, 2);
	struct comp *c = inside(r->v, rank_of(r->word[1]));
	struct inode *d = take(c, ino);
	struct node *n;

	d->stored += leaf >= d->size / CL_PAGE; /* one behind the end */
	ck_assert_int_eq(tree_node(&d->data, 0, leaf, true, &n), 0);
	tree_dirty(&d->data, n);
	n->page[number(r, 3)] = (uint8_t)number(r, 4);
	tree_put(&d->data, n);
	inode_put(d);
	leave(c);
}

static void do_add(const struct recipe *r)
{
	uint64_t dir = find_ino(r->v, r->word[1]), ino = find_ino(r->v, r->word[3]);
	struct comp *c = inside(r->v, rank_of(r->word[1]));
	struct inode *d = take(c, dir);
	const uint8_t *gate = *r->word[0] == 'g' ? r->v->c[number(r, 4)].id : NULL;

	ck_assert_int_eq(dir_add(d, r->word[2], ino, gate ? DT_DIR : (uint8_t)number(r, 4), gate), 0);
	inode_put(d);
	leave(c);
}

static void do_entry(const struct recipe *r)
{
	bool remove = *r->word[0] == 'r' && !strcmp(r->word[0], "remove");
	uint64_t dir = find_ino(r->v, r->word[1]), ino = remove ? 0 : find_ino(r->v, r->word[3]);
	struct comp *c = inside(r->v, rank_of(r->word[1]));
	struct inode *d = take(c, dir);
	struct dir_entry e;

	ck_assert_int_eq(dir_find(d, r->word[2], &e), 0);
	if (remove)
		ck_assert_int_eq(dir_remove(d, &e), 0);
	else
		ck_assert_int_eq(dir_retarget(d, &e, ino, (uint8_t)number(r, 4)), 0);
	inode_put(d);
	leave(c);
}

static void do_bit(const struct recipe *r)
{
	struct comp *c = inside(r->v, 0);
	struct tree *t = !strcmp(r->word[1], "orphans") ? &c->orphans : &c->ibitmap;
	uint64_t n = number(r, 2);
	struct node *node;

	ck_assert_int_eq(tree_node(t, 0, n / 32768, true, &node), 0);
	tree_dirty(t, node);
	if (number(r, 3))
		node->page[n % 32768 / 8] |= (uint8_t)(1u << (n % 8));
	else
		node->page[n % 32768 / 8] &= (uint8_t) ~(1u << (n % 8));
	tree_put(t, node);
	leave(c);
}

static void do_count(const struct recipe *r)
{
	struct comp *c = inside(r->v, 0);

	if (!strcmp(r->word[1], "used"))
		c->inodes_used = number(r, 2);
	else if (!strcmp(r->word[1], "limit"))
		c->inode_limit = number(r, 2);
	else if (!strcmp(r->word[1], "orphans"))
		c->n_orphans = number(r, 2);
	else
		c->next_object = number(r, 2);
	leave(c);
}

static void do_share(const struct recipe *r)
{
	uint64_t from = find_ino(r->v, r->word[1]), to = find_ino(r->v, r->word[2]);
	struct comp *c = inside(r->v, 0);
	struct inode *a = take(c, from), *b = take(c, to);
	struct tree_desc desc;

	tree_describe(&a->data, &desc);
	if (!strcmp(r->word[0], "object")) /* the number alone: no page of it opens */
		desc.key[0] ^= 1;
	ck_assert_int_eq(tree_load(&b->data, &desc), 0);
	b->size = a->size;
	b->stored = a->stored;
	inode_put(a);
	inode_put(b);
	leave(c);
}

static void do_list(const struct recipe *r)
{
	static const char twice[] = "\6\0\1\0\0\0user.ax\6\0\0\0\0\0user.b\6\0\0\0\0\0user.a";
	static const char broken[] = "\6\0\1\0\0\0user.";
	bool is_twice = !strcmp(r->word[2], "twice");
	uint64_t ino = find_ino(r->v, r->word[1]);
	struct comp *c = inside(r->v, 0);
	struct inode *i = take(c, ino);

	i->xattr_inline_len = is_twice ? sizeof twice - 1 : sizeof broken - 1;
	memcpy(i->inline_area + i->link_len, is_twice ? twice : broken, i->xattr_inline_len);
	inode_put(i);
	leave(c);
}

/* What the backing directory is while the volume is in use is what a crash leaves. */
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

static void do_crash(const struct recipe *r)
{
	struct fs_attr a;

	volume_open(r->v, 0);
	ck_assert_int_eq(fs_lookup(r->v->fs, 1, "dir", &a), 0);
	for (uint64_t n = 0; n < number(r, 1); n++) {
		char name[32];
		snprintf(name, sizeof name, "crash-%u", (unsigned)n);
		put(r->v, make(r->v, a.ino, name, S_IFREG | 0600, NULL), 0, 5000);
		ck_assert_int_eq(fs_sync(r->v->fs), 0);
	}
	crash(r->v);
}

static void do_record(const struct recipe *r)
{
	uint8_t head[CL_PAGE];
	le64 tail, ring;
	le32 pages;
	char path[400];

	snprintf(path, sizeof path, "%s", lower_of(r->v, "journal", false));
	int fd = open(path, O_RDONLY);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pread(fd, head, CL_PAGE, 0), CL_PAGE);
	memcpy(&ring, head + 32, sizeof ring);
	memcpy(&tail, head + 40, sizeof tail);
	uint64_t at = le64_get(tail);
	for (uint64_t n = number(r, 1); n; n--) {
		ck_assert_int_eq(pread(fd, head, CL_PAGE, (off_t)((2 + at) * CL_PAGE)), CL_PAGE);
		ck_assert_mem_eq(head, "CLOISONT", 8);
		memcpy(&pages, head + 32, sizeof pages);
		at = (at + le32_get(pages)) % le64_get(ring);
	}
	close(fd);
	flip(path, (2 + at) * CL_PAGE + 60);
}

static void do_orphan(const struct recipe *r)
{
	const struct fs_cred cred = { 0, 0, 022 };
	struct fs_attr a;

	volume_open(r->v, 0);
	ck_assert_int_eq(fs_tmpfile(r->v->fs, 1, 0600, &cred, &a), 0);
	put(r->v, a.ino, 0, 5000);
	ck_assert_int_eq(fs_sync(r->v->fs), 0);
	crash(r->v);
}

static void do_make(const struct recipe *r)
{
	volume_open(r->v, 0);
	make(r->v, 1, r->word[1], (uint32_t)number(r, 2), NULL);
	volume_close(r->v);
}

/* As from a backup that was restored in part. */
static void do_old_root(const struct recipe *r)
{
	char cmd[600], from[200];

	snprintf(from, sizeof from, "%s", lower_of(r->v, "root", false));
	snprintf(cmd, sizeof cmd, "cp -a %s %s/old-root", from, r->v->dir);
	ck_assert_int_eq(system(cmd), 0);
	volume_open(r->v, 0);
	make(r->v, 1, "newer", S_IFREG | 0644, NULL);
	volume_close(r->v);
	snprintf(cmd, sizeof cmd, "cp -a %s/old-root %s && mv %s/old-root %s.copy", r->v->dir, from, r->v->dir, from);
	ck_assert_int_eq(system(cmd), 0);
}

static const struct {
	const char *verb;
	size_t words;
	void (*fn)(const struct recipe *r);
} verbs[] = {
	{ "flip", 3, do_flip },         { "both", 3, do_both },      { "unlink", 2, do_unlink },
	{ "truncate", 3, do_truncate }, { "chmod", 3, do_chmod },    { "symlink", 2, do_symlink },
	{ "hardlink", 2, do_hardlink }, { "touch", 2, do_touch },    { "mkdir", 2, do_mkdir },
	{ "rmdir", 2, do_rmdir },       { "zero", 4, do_zero },      { "set", 4, do_set },
	{ "poke", 4, do_poke },         { "page", 5, do_page },      { "add", 5, do_add },
	{ "gate", 5, do_add },          { "retarget", 5, do_entry }, { "remove", 3, do_entry },
	{ "bit", 4, do_bit },           { "count", 3, do_count },    { "share", 3, do_share },
	{ "object", 3, do_share },      { "list", 3, do_list },      { "crash", 2, do_crash },
	{ "orphan", 1, do_orphan },     { "record", 2, do_record },  { "old-root", 1, do_old_root },
	{ "make", 3, do_make },
};

void fsck_damage(struct volume *v, const char *line)
{
	struct recipe r = { .v = v, .line = line };
	char copy[400], *save = NULL;

	snprintf(copy, sizeof copy, "%s", line);
	for (char *w = strtok_r(copy, " ", &save); w && r.n < WORDS; w = strtok_r(NULL, " ", &save))
		r.word[r.n++] = w;
	for (size_t i = 0; r.n && i < CL_ARRAY_LEN(verbs); i++) {
		if (strcmp(verbs[i].verb, r.word[0]))
			continue;
		ck_assert_msg(r.n >= verbs[i].words, "too few words: %s", line);
		verbs[i].fn(&r);
		return;
	}
	ck_abort_msg("no such damage: %s", line);
}
