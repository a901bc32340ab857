/* SPDX-License-Identifier: GPL-3.0-or-later */
/* How the volume of these tests comes about, stage by stage. */
#include "tests/evil/scene.h"

#include "common/log.h"
#include "fs/seal.h"

#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

unsigned scene_lines[4];
char scene_last_line[1024];

#define MUST(x)                                                                          \
	do {                                                                             \
		long r_ = (long)(x);                                                     \
		if (r_ < 0) {                                                            \
			fprintf(stderr, "%s:%d: %s: %ld\n", __FILE__, __LINE__, #x, r_); \
			abort();                                                         \
		}                                                                        \
	} while (0)

/* While it is made. */
struct maker {
	struct scene *s;
	struct image *im;
	struct store *store;
	struct fs_config cfg;
	struct fs *fs;
	struct scene_state now;
	uint32_t seed;
};

const uint8_t *scene_page(uint32_t seed)
{
	static uint8_t *pages[512];
	static uint8_t zero[CL_PAGE];

	if (seed == 0)
		return zero;
	if (seed >= CL_ARRAY_LEN(pages))
		abort();
	if (!pages[seed]) {
		uint8_t *p = malloc(CL_PAGE);
		uint64_t x = seed * 0x9e3779b97f4a7c15u;
		if (!p)
			abort();
		for (unsigned i = 0; i < CL_PAGE; i++) {
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
			p[i] = (uint8_t)('a' + x % 26); /* no NUL: they are link targets as well */
		}
		pages[seed] = p;
	}
	return pages[seed];
}

static void on_line(enum log_level lvl, const char *line, void *arg CL_UNUSED)
{
	scene_lines[lvl]++;
	snprintf(scene_last_line, sizeof scene_last_line, "%s", line);
}

void scene_log_start(void)
{
	log_hook(on_line, NULL); /* also forgets the last line: the same one counts again */
	memset(scene_lines, 0, sizeof scene_lines);
}

static struct scene_entry *find(struct maker *m, const char *path)
{
	for (size_t i = 0; i < m->now.n; i++)
		if (!strcmp(m->now.e[i].path, path))
			return &m->now.e[i];
	fprintf(stderr, "no %s\n", path);
	abort();
}

static struct scene_entry *enter(struct maker *m, const char *path, uint64_t ino)
{
	struct scene_entry *e = &m->now.e[m->now.n];
	const char *slash = strrchr(path, '/');
	char dir[320];

	if (m->now.n++ == SCENE_ENTRIES)
		abort();
	memset(e, 0, sizeof *e);
	snprintf(e->path, sizeof e->path, "%s", path);
	e->name = e->path + (slash - path) + 1;
	e->attr.ino = ino;
	snprintf(dir, sizeof dir, "%.*s", (int)(slash - path), path);
	e->parent = -1;
	if (e->name[0])
		e->parent = dir[0] ? (int)(find(m, dir) - m->now.e) : 0;
	return e;
}

static struct scene_entry *make(struct maker *m, const char *path, uint32_t mode, const char *target)
{
	const struct fs_cred cred = { 0, 0, 022 };
	struct scene_entry *e = enter(m, path, 0);

	MUST(fs_make(m->fs, m->now.e[e->parent].attr.ino, e->name, mode, target, &cred, &e->attr));
	fs_forget(m->fs, e->attr.ino, 1);
	return e;
}

static void put(struct maker *m, struct scene_entry *e, unsigned first, unsigned n)
{
	for (unsigned i = first; i < first + n; i++) {
		e->seed[i] = ++m->seed;
		MUST(fs_write(m->fs, e->attr.ino, scene_page(e->seed[i]), CL_PAGE, (uint64_t)i * CL_PAGE, 0));
	}
}

static struct scene_entry *file(struct maker *m, const char *path, unsigned pages)
{
	struct scene_entry *e = make(m, path, S_IFREG | 0640, NULL);

	put(m, e, 0, pages);
	return e;
}

static void cut(struct maker *m, const char *path, uint64_t size)
{
	struct scene_entry *e = find(m, path);
	struct fs_attr a = { .size = size };

	MUST(fs_setattr(m->fs, e->attr.ino, FS_SET_SIZE, &a, &a));
	for (uint64_t i = (size + CL_PAGE - 1) / CL_PAGE; i < SCENE_PAGES_MAX; i++)
		e->seed[i] = 0;
}

static void link_to(struct maker *m, const char *path, const char *to)
{
	uint64_t ino = find(m, to)->attr.ino;
	struct scene_entry *e = enter(m, path, ino);

	e->alias = true;
	MUST(fs_link(m->fs, ino, m->now.e[e->parent].attr.ino, e->name, &e->attr));
	fs_forget(m->fs, ino, 1);
}

static void set_xattr(struct maker *m, const char *path, uint32_t len)
{
	struct scene_entry *e = find(m, path);
	uint8_t value[2 * CL_PAGE];

	memcpy(value, scene_page(7), CL_PAGE);
	memcpy(value + CL_PAGE, scene_page(8), CL_PAGE);
	MUST(fs_setxattr(m->fs, e->attr.ino, "user.evil", value, len, 0));
	e->xattr = len;
}

static void drop(struct maker *m, const char *path)
{
	struct scene_entry *e = find(m, path);
	size_t at = (size_t)(e - m->now.e);

	MUST(fs_unlink(m->fs, m->now.e[e->parent].attr.ino, e->name));
	memmove(e, e + 1, (m->now.n - at - 1) * sizeof *e);
	m->now.n--;
	for (size_t i = 0; i < m->now.n; i++) {
		struct scene_entry *x = &m->now.e[i];
		x->name = strrchr(x->path, '/') + 1;
		if (x->parent > (int)at)
			x->parent--;
	}
}

static void open_it(struct maker *m, size_t n)
{
	struct fault f = { 0 };

	if (fs_open(m->store, m->s->comps, n, &m->cfg, &m->fs, &f)) {
		fprintf(stderr, "%s\n", f.text);
		abort();
	}
}

/* Attributes as they are now, at rest, of what this session sees. */
static void take_attrs(struct maker *m, unsigned rank)
{
	for (size_t i = 0; i < m->now.n; i++) {
		struct scene_entry *e = &m->now.e[i];
		if (e->attr.ino >> 48 <= rank)
			MUST(fs_getattr(m->fs, e->attr.ino, &e->attr));
	}
}

static void keep(struct maker *m, unsigned stage)
{
	take_attrs(m, stage ? 0 : 1);
	m->s->state[stage] = m->now;
	if (stage) /* taken by a session that does not see the gate */
		m->s->state[stage].e[0].attr.nlink++;
	for (size_t i = 0; i < m->now.n; i++)
		m->s->state[stage].e[i].name = strrchr(m->s->state[stage].e[i].path, '/') + 1;
	m->s->image[stage] = image_copy(m->im);
}

static void fill_upper(struct maker *m)
{
	open_it(m, 2);
	enter(m, "/", FS_ROOT);
	enter(m, "/upper", (uint64_t)1 << 48 | 1);
	file(m, "/upper/secret", 2);
	make(m, "/upper/sub", S_IFDIR | 0700, NULL);
	file(m, "/upper/sub/deep", 1);
	set_xattr(m, "/upper/secret", 20);
	MUST(fs_close(m->fs));
}

static void fill_lower(struct maker *m)
{
	char path[320], target[1001];

	open_it(m, 1);
	file(m, "/small", 1);
	cut(m, "/small", 100);
	file(m, "/mid", 3);
	cut(m, "/mid", 2 * CL_PAGE + 1000);
	struct scene_entry *e = file(m, "/sparse", 1);
	put(m, e, 130, 1); /* two levels of index pages */
	cut(m, "/sparse", 131 * CL_PAGE + 700);
	make(m, "/hole", S_IFREG | 0600, NULL);
	cut(m, "/hole", 20000);
	make(m, "/fifo", S_IFIFO | 0600, NULL);
	snprintf(target, sizeof target, "%.60s", (const char *)scene_page(9));
	make(m, "/link", S_IFLNK | 0777, target)->target = 60;
	snprintf(target, sizeof target, "%.1000s", (const char *)scene_page(9));
	make(m, "/longlink", S_IFLNK | 0777, target)->target = 1000;
	file(m, "/inline", 0);
	set_xattr(m, "/inline", 50);
	file(m, "/outside", 0);
	set_xattr(m, "/outside", SCENE_XATTR_LEN);
	make(m, "/dir", S_IFDIR | 0755, NULL);
	for (unsigned i = 0; i < SCENE_NAMES; i++) { /* 15 in a page */
		snprintf(path, sizeof path, "/dir/%02u-%0250u", i, i);
		link_to(m, path, "/mid");
	}
	make(m, "/dir/sub", S_IFDIR | 0755, NULL);
	file(m, "/dir/sub/deep", 1);
	file(m, "/orphan", 2);
	for (unsigned round = 1; round < SCENE_STAGES; round++) {
		snprintf(path, sizeof path, "/changed%u", round);
		file(m, path, 1);
		if (round == 1)
			continue;
		snprintf(path, sizeof path, "/gone%u", round);
		file(m, path, 1);
		snprintf(path, sizeof path, "/cut%u", round);
		file(m, path, 2);
		snprintf(path, sizeof path, "/punched%u", round);
		file(m, path, 3);
	}
	MUST(fs_sync(m->fs));
	MUST(fs_close(m->fs));
}

/* One transaction; from the second round on one with every operation of the journal in it. */
static void change(struct maker *m, unsigned round)
{
	char path[32];

	snprintf(path, sizeof path, "/changed%u", round);
	put(m, find(m, path), 0, 1);
	if (round > 1) {
		snprintf(path, sizeof path, "/gone%u", round);
		drop(m, path);
		snprintf(path, sizeof path, "/cut%u", round);
		cut(m, path, CL_PAGE);
		snprintf(path, sizeof path, "/punched%u", round);
		struct scene_entry *e = find(m, path);
		MUST(fs_fallocate(m->fs, e->attr.ino, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, CL_PAGE, CL_PAGE));
		e->seed[1] = 0;
		snprintf(path, sizeof path, "/new%u", round);
		file(m, path, 1);
	}
	MUST(fs_sync(m->fs));
	keep(m, round);
}

/* What the last transaction takes away when it is lost: the state before it has errors there. */
static void mark_volatile(struct scene *s)
{
	static const char *const names[] = { "/gone3", "/cut3", "/punched3" };
	struct scene_state *before = &s->state[SCENE_STAGES - 2];

	for (size_t i = 0; i < before->n; i++)
		for (size_t k = 0; k < CL_ARRAY_LEN(names); k++)
			before->e[i].given_up |= !strcmp(before->e[i].path, names[k]);
}

void scene_lower_only(const struct scene_state *from, struct scene_state *ret)
{
	int moved[SCENE_ENTRIES];

	ret->n = 0;
	for (size_t i = 0; i < from->n; i++) {
		if (from->e[i].attr.ino >> 48)
			continue;
		struct scene_entry *e = &ret->e[ret->n];
		moved[i] = (int)ret->n++;
		*e = from->e[i];
		e->name = strrchr(e->path, '/') + 1;
		e->parent = e->parent < 0 ? -1 : moved[e->parent];
	}
	ret->e[0].attr.nlink--;
}

void scene_make(struct scene *s)
{
	struct maker *m = calloc(1, sizeof *m);
	struct fault f = { 0 };

	if (!m)
		abort();
	MUST(seal_init());
	memset(s, 0, sizeof *s);
	scene_log_start();
	m->s = s;
	m->seed = 16;
	m->im = image_new();
	m->store = image_store(m->im);
	m->cfg = (struct fs_config){ .no_threads = true, .journal_pages = 320 };
	for (unsigned i = 0; i < 2; i++) {
		MUST(secret_new_random(32, &s->keys[i]));
		s->comps[i] = (struct fs_compartment){ .rank = i, .dir = i ? "upper" : NULL, .key = s->keys[i] };
		memset(s->comps[i].id, 0xa0 + (int)i, 16);
	}
	if (fs_format(m->store, s->comps, 2, 0, 0, &m->cfg, &f)) {
		fprintf(stderr, "%s\n", f.text);
		abort();
	}
	fill_upper(m);
	fill_lower(m);
	/* Attributes of both, which no one session that writes the lower one sees. */
	m->cfg.read_only = true;
	open_it(m, 2);
	keep(m, 0);
	MUST(fs_close(m->fs));
	m->cfg.read_only = false;
	open_it(m, 1);
	uint64_t orphan = s->orphan = find(m, "/orphan")->attr.ino;
	MUST(fs_open_file(m->fs, orphan, false, false));
	drop(m, "/orphan");
	for (unsigned round = 1; round < SCENE_STAGES; round++)
		change(m, round);
	mark_volatile(s);
	fs_close_file(m->fs, orphan);
	MUST(fs_close(m->fs));
	s->after = image_copy(m->im);
	m->store->ops->free(m->store);
	image_free(m->im);
	free(m);
}

void scene_free(struct scene *s)
{
	for (unsigned i = 0; i < SCENE_STAGES; i++)
		image_free(s->image[i]);
	image_free(s->after);
	for (unsigned i = 0; i < 2; i++)
		secret_free(s->keys[i]);
}

void scene_done(void)
{
	log_hook(NULL, NULL);
	seal_done();
	if (secret_live()) {
		fprintf(stderr, "%u keys are left\n", (unsigned)secret_live());
		abort();
	}
}
