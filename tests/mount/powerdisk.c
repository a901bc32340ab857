/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The disk that can lose its power. Simple: lists, and a flat buffer for each file. */
#include "tests/mount/powerdisk.h"

#include "common/list.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define SECTOR 512u

struct buffer {
	uint8_t *p; /* what is behind cap is zeros */
	size_t cap;
	uint64_t size;
};

/* A change of a file that is not durable: whole sectors as they were after it (NULL: zeros), and the size after it. */
struct change {
	struct list in;
	uint64_t off, n, size;
	uint8_t *data;
};

struct entry {
	struct list in;
	struct node *node;
	char name[POWERDISK_NAME_MAX + 1];
};

/* A change of a folder that is not durable: one name, or for a rename two at once. node NULL: the name goes. */
struct naming {
	struct list in;
	unsigned n;
	struct entry to[2];
};

struct node {
	struct list in; /* powerdisk.nodes */
	uint64_t lookups;
	uint64_t links, refs; /* names now; these, durable ones, and those in steps that may be kept */
	uint32_t mode, uid, gid;
	struct timespec mtime;
	struct buffer now, durable; /* a file's */
	struct list names, durable_names; /* a folder's */
	struct list log;
	bool seen;
};

struct powerdisk {
	struct list nodes;
	struct node *root;
	uint64_t size_max, dice;
};

static struct node *node_new(struct powerdisk *d, uint32_t mode, uint32_t uid, uint32_t gid)
{
	struct node *n = calloc(1, sizeof *n);

	if (!n)
		return NULL;
	n->mode = mode;
	n->uid = uid;
	n->gid = gid;
	clock_gettime(CLOCK_REALTIME, &n->mtime);
	list_init(&n->names);
	list_init(&n->durable_names);
	list_init(&n->log);
	list_add(&d->nodes, &n->in);
	return n;
}

static void refer(struct entry *e, struct node *to, bool now)
{
	if (e->node) {
		e->node->refs--;
		e->node->links -= now;
	}
	e->node = to;
	if (to) {
		to->refs++;
		to->links += now;
	}
}

static void free_entry(struct entry *e, bool now)
{
	refer(e, NULL, now);
	list_del(&e->in);
	free(e);
}

static void free_names(struct list *names, bool now)
{
	while (!list_empty(names))
		free_entry(list_item(names->next, struct entry, in), now);
}

static void free_log(struct node *n)
{
	while (!list_empty(&n->log)) {
		struct list *l = n->log.next;
		list_del(l);
		if (S_ISDIR(n->mode)) {
			for (unsigned i = 0; i < 2; i++)
				refer(&list_item(l, struct naming, in)->to[i], NULL, false);
			free(list_item(l, struct naming, in));
		} else {
			free(list_item(l, struct change, in)->data);
			free(list_item(l, struct change, in));
		}
	}
}

static void node_free(struct node *n)
{
	list_del(&n->in);
	free_log(n);
	free_names(&n->names, true);
	free_names(&n->durable_names, false);
	free(n->now.p);
	free(n->durable.p);
	free(n);
}

struct powerdisk *powerdisk_new(uint64_t size_max)
{
	struct powerdisk *d = calloc(1, sizeof *d);

	if (!d)
		return NULL;
	list_init(&d->nodes);
	d->size_max = size_max;
	d->root = node_new(d, S_IFDIR | 0755, 0, 0);
	if (!d->root) {
		free(d);
		return NULL;
	}
	d->root->lookups = 1;
	return d;
}

void powerdisk_free(struct powerdisk *d)
{
	for (struct list *l = d->nodes.next; l != &d->nodes; l = l->next) {
		struct node *n = list_item(l, struct node, in);
		free_log(n);
		free_names(&n->names, true);
		free_names(&n->durable_names, false);
	}
	while (!list_empty(&d->nodes))
		node_free(list_item(d->nodes.next, struct node, in));
	free(d);
}

/* The caller gives back only numbers of nodes that he has looked up, so they are their places in memory. */
static struct node *find(struct powerdisk *d, uint64_t ino)
{
	return ino == POWERDISK_ROOT ? d->root : (struct node *)(uintptr_t)ino;
}

static struct entry *entry_of(const struct list *names, const char *name)
{
	for (struct list *l = names->next; l != names; l = l->next)
		if (!strcmp(list_item(l, struct entry, in)->name, name))
			return list_item(l, struct entry, in);
	return NULL;
}

static void describe(const struct powerdisk *d, const struct node *n, struct powerdisk_attr *ret)
{
	*ret = (struct powerdisk_attr){ .ino = n == d->root ? POWERDISK_ROOT : (uintptr_t)n, .size = n->now.size, .mode = n->mode,
					.uid = n->uid, .gid = n->gid, .mtime = n->mtime, .nlink = (uint32_t)n->links + (n == d->root) };
}

static int set_name(struct list *names, const char *name, struct node *node, bool now)
{
	struct entry *e = entry_of(names, name);

	if (!node) {
		if (e)
			free_entry(e, now);
		return 0;
	}
	if (!e) {
		e = calloc(1, sizeof *e);
		if (!e)
			return -ENOMEM;
		strncpy(e->name, name, POWERDISK_NAME_MAX);
		list_add_tail(names, &e->in);
	}
	refer(e, node, now);
	return 0;
}

static int apply_naming(struct list *names, const struct naming *g, bool now)
{
	int err = 0;

	for (unsigned i = 0; i < g->n && !err; i++)
		err = set_name(names, g->to[i].name, g->to[i].node, now);
	return err;
}

static int change_names(struct node *dir, const char *name, struct node *node, const char *name2, struct node *node2)
{
	struct naming *g = calloc(1, sizeof *g);

	if (!g)
		return -ENOMEM;
	g->n = name2 ? 2 : 1;
	strncpy(g->to[0].name, name, POWERDISK_NAME_MAX);
	refer(&g->to[0], node, false);
	if (name2)
		strncpy(g->to[1].name, name2, POWERDISK_NAME_MAX);
	refer(&g->to[1], node2, false);
	list_add_tail(&dir->log, &g->in);
	clock_gettime(CLOCK_REALTIME, &dir->mtime);
	return apply_naming(&dir->names, g, true);
}

static int folder(struct powerdisk *d, uint64_t ino, const char *name, struct node **ret)
{
	*ret = find(d, ino);
	if (!S_ISDIR((*ret)->mode))
		return -ENOTDIR;
	return strlen(name) > POWERDISK_NAME_MAX ? -ENAMETOOLONG : 0;
}

int powerdisk_lookup(struct powerdisk *d, uint64_t dir, const char *name, struct powerdisk_attr *ret)
{
	struct node *n;
	int err = folder(d, dir, name, &n);

	if (err)
		return err;
	struct entry *e = entry_of(&n->names, name);
	if (!e)
		return -ENOENT;
	e->node->lookups++;
	describe(d, e->node, ret);
	return 0;
}

int powerdisk_make(struct powerdisk *d, uint64_t dir, const char *name, uint32_t mode, uint32_t uid, uint32_t gid,
		   struct powerdisk_attr *ret)
{
	struct node *n;
	int err = folder(d, dir, name, &n);

	if (err)
		return err;
	if (entry_of(&n->names, name))
		return -EEXIST;
	struct node *made = node_new(d, mode, uid, gid);
	err = made ? change_names(n, name, made, NULL, NULL) : -ENOMEM;
	if (err)
		return err;
	made->lookups++;
	describe(d, made, ret);
	return 0;
}

void powerdisk_forget(struct powerdisk *d, uint64_t ino, uint64_t n)
{
	struct node *node = find(d, ino);

	if (node == d->root)
		return;
	node->lookups -= CL_MIN(n, node->lookups);
	if (!node->lookups && !node->refs)
		node_free(node);
}

int powerdisk_getattr(struct powerdisk *d, uint64_t ino, struct powerdisk_attr *ret)
{
	struct node *n = find(d, ino);

	describe(d, n, ret);
	return 0;
}

int powerdisk_chmod(struct powerdisk *d, uint64_t ino, uint32_t mode)
{
	struct node *n = find(d, ino);

	n->mode = (n->mode & S_IFMT) | (mode & 07777u);
	return 0;
}

int powerdisk_remove(struct powerdisk *d, uint64_t dir, const char *name, bool is_folder)
{
	struct node *n;
	int err = folder(d, dir, name, &n);
	struct entry *e = err ? NULL : entry_of(&n->names, name);

	if (!e)
		return err ? err : -ENOENT;
	if (is_folder != !!S_ISDIR(e->node->mode))
		return is_folder ? -ENOTDIR : -EISDIR;
	if (is_folder && !list_empty(&e->node->names))
		return -ENOTEMPTY;
	return change_names(n, name, NULL, NULL, NULL);
}

int powerdisk_rename(struct powerdisk *d, uint64_t dir, const char *name, const char *to)
{
	struct node *n;
	int err = folder(d, dir, to, &n);
	struct entry *e = err ? NULL : entry_of(&n->names, name);

	if (!e)
		return err ? err : -ENOENT;
	struct entry *old = entry_of(&n->names, to);
	if (S_ISDIR(e->node->mode) || (old && S_ISDIR(old->node->mode)))
		return -EISDIR;
	return e == old ? 0 : change_names(n, name, NULL, to, e->node);
}

int powerdisk_entry(struct powerdisk *d, uint64_t dir, uint64_t n, const char **ret_name, struct powerdisk_attr *ret)
{
	struct node *node;
	int err = folder(d, dir, "", &node);

	if (err)
		return err;
	for (struct list *l = node->names.next; l != &node->names; l = l->next)
		if (n-- == 0) {
			struct entry *e = list_item(l, struct entry, in);
			*ret_name = e->name;
			describe(d, e->node, ret);
			return 0;
		}
	return -ENOENT;
}

static int grow(struct buffer *b, uint64_t end)
{
	if (end <= b->cap)
		return 0;
	size_t cap = CL_MAX(b->cap * 2, (size_t)(end + CL_PAGE - 1) / CL_PAGE * CL_PAGE);
	uint8_t *p = realloc(b->p, cap);
	if (!p)
		return -ENOMEM;
	memset(p + b->cap, 0, cap - b->cap);
	b->p = p;
	b->cap = cap;
	return 0;
}

static void zero(struct buffer *b, uint64_t off, uint64_t n)
{
	if (off < b->cap)
		memset(b->p + off, 0, CL_MIN(n, b->cap - off));
}

/* Writes down that [off, off + n) changed, in whole sectors. */
static int record(struct node *node, uint64_t off, uint64_t n, bool zeros)
{
	struct change *c = calloc(1, sizeof *c);

	if (!c)
		return -ENOMEM;
	c->off = off / SECTOR * SECTOR;
	c->n = (off + n + SECTOR - 1) / SECTOR * SECTOR - c->off;
	c->size = node->now.size;
	if (c->off >= node->now.cap)
		c->n = 0;
	c->n = CL_MIN(c->n, node->now.cap - c->off);
	/* The edges of a range of zeros are of sectors that have something else as well. */
	if (c->n && (!zeros || off % SECTOR || n % SECTOR)) {
		c->data = malloc(c->n);
		if (!c->data) {
			free(c);
			return -ENOMEM;
		}
		memcpy(c->data, node->now.p + c->off, c->n);
	}
	list_add_tail(&node->log, &c->in);
	clock_gettime(CLOCK_REALTIME, &node->mtime);
	return 0;
}

ssize_t powerdisk_read(struct powerdisk *d, uint64_t ino, void *buf, size_t n, uint64_t off)
{
	struct node *node = find(d, ino);

	if (off >= node->now.size)
		return 0;
	n = CL_MIN(n, node->now.size - off);
	memset(buf, 0, n);
	if (off < node->now.cap)
		memcpy(buf, node->now.p + off, CL_MIN(n, node->now.cap - off));
	return (ssize_t)n;
}

int powerdisk_write(struct powerdisk *d, uint64_t ino, const void *buf, size_t n, uint64_t off)
{
	struct node *node = find(d, ino);

	if (off + n > d->size_max)
		return -EFBIG;
	int err = grow(&node->now, off + n);
	if (err || !n)
		return err;
	memcpy(node->now.p + off, buf, n);
	node->now.size = CL_MAX(node->now.size, off + n);
	return record(node, off, n, false);
}

int powerdisk_truncate(struct powerdisk *d, uint64_t ino, uint64_t size)
{
	struct node *node = find(d, ino);

	if (size > d->size_max)
		return -EFBIG;
	uint64_t old = node->now.size;
	node->now.size = size;
	if (size < old)
		zero(&node->now, size, old - size);
	return record(node, size, size < old ? old - size : 0, true);
}

int powerdisk_punch(struct powerdisk *d, uint64_t ino, uint64_t off, uint64_t n)
{
	struct node *node = find(d, ino);

	zero(&node->now, off, n);
	return record(node, off, n, true);
}

/* All of it, or with dice some of it: sectors of this change into b. */
static int apply(struct powerdisk *d, struct buffer *b, const struct change *c, bool (*keep)(struct powerdisk *d))
{
	int err = c->n ? grow(b, c->off + c->n) : 0;

	for (uint64_t at = 0; at < c->n && !err; at += SECTOR) {
		size_t n = CL_MIN(SECTOR, c->n - at);
		if (keep && !keep(d))
			continue;
		if (c->data)
			memcpy(b->p + c->off + at, c->data + at, n);
		else
			memset(b->p + c->off + at, 0, n);
	}
	if (!keep || keep(d))
		b->size = c->size;
	return err;
}

int powerdisk_sync(struct powerdisk *d, uint64_t ino)
{
	struct node *node = find(d, ino);
	int err = 0;

	for (struct list *l = node->log.next; l != &node->log && !err; l = l->next)
		err = S_ISDIR(node->mode) ? apply_naming(&node->durable_names, list_item(l, struct naming, in), false) :
					    apply(d, &node->durable, list_item(l, struct change, in), NULL);
	if (!err)
		free_log(node);
	return err;
}

static uint64_t throw_dice(struct powerdisk *d)
{
	uint64_t z = d->dice += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static bool either(struct powerdisk *d)
{
	return throw_dice(d) & 1;
}

static bool never(struct powerdisk *d)
{
	(void)d;
	return false;
}

/* What becomes of one step: NULL is all of it. */
static bool (*fate(struct powerdisk *d, enum powerdisk_loss loss))(struct powerdisk *d)
{
	if (loss != POWERDISK_MIX)
		return loss == POWERDISK_KEEP ? NULL : never;
	switch (throw_dice(d) % 3) {
	case 0:
		return NULL;
	case 1:
		return never;
	default:
		return either;
	}
}

static void cut_node(struct powerdisk *d, struct node *n, enum powerdisk_loss loss, uint64_t *lost)
{
	for (struct list *l = n->log.next; l != &n->log; l = l->next) {
		bool (*keep)(struct powerdisk *d) = fate(d, loss);
		++*lost;
		if (!S_ISDIR(n->mode)) {
			if (apply(d, &n->durable, list_item(l, struct change, in), keep))
				abort();
		} else if (!keep || keep(d)) {
			if (apply_naming(&n->durable_names, list_item(l, struct naming, in), false))
				abort();
		}
	}
	free_log(n);
	free_names(&n->names, true);
	for (struct list *l = n->durable_names.next; l != &n->durable_names; l = l->next) {
		struct entry *e = list_item(l, struct entry, in);
		if (set_name(&n->names, e->name, e->node, true))
			abort();
	}
	n->now.size = n->durable.size;
	zero(&n->durable, n->durable.size, n->durable.cap);
	zero(&n->now, 0, n->now.cap);
	if (grow(&n->now, n->durable.cap))
		abort();
	if (n->durable.cap)
		memcpy(n->now.p, n->durable.p, n->durable.cap);
}

static void mark(struct node *n)
{
	n->seen = true;
	for (struct list *l = n->names.next; l != &n->names; l = l->next)
		mark(list_item(l, struct entry, in)->node);
}

uint64_t powerdisk_cut(struct powerdisk *d, enum powerdisk_loss loss, uint64_t seed)
{
	uint64_t lost = 0;

	d->dice = seed;
	for (struct list *l = d->nodes.next; l != &d->nodes; l = l->next) {
		list_item(l, struct node, in)->seen = false;
		cut_node(d, list_item(l, struct node, in), loss, &lost);
	}
	mark(d->root);
	for (struct list *l = d->nodes.next; l != &d->nodes; l = l->next) {
		struct node *n = list_item(l, struct node, in);
		if (!n->seen) { /* of a folder that nobody can reach */
			free_names(&n->names, true);
			free_names(&n->durable_names, false);
		}
	}
	for (struct list *l = d->nodes.next, *next; l != &d->nodes; l = next) {
		next = l->next;
		if (!list_item(l, struct node, in)->seen && !list_item(l, struct node, in)->lookups)
			node_free(list_item(l, struct node, in));
	}
	return lost;
}
