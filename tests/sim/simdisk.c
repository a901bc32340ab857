/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The simulated disk: files, log, and what a power cut leaves. */
#include "tests/model/ref.h"
#include "tests/sim/simnode.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECTOR 512u
#define SECTORS (CL_PAGE / SECTOR)

uint64_t sim_rand(uint64_t *rng)
{
	uint64_t z = *rng += 0x9e3779b97f4a7c15u;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static void put_blob(struct sim_blob *b)
{
	if (b && --b->refs == 0)
		free(b);
}

static struct sim_blob *hold_blob(struct sim_blob *b)
{
	if (b)
		b->refs++;
	return b;
}

uint32_t simnode_find(const struct sim_nodes *t, uint32_t dir, const char *name)
{
	const struct sim_node *d = &t->v[dir];

	if (!strcmp(name, "."))
		return dir;
	for (size_t k = 0; k < d->n_entries; k++)
		if (!strcmp(d->entries[k].name, name))
			return d->entries[k].node;
	return SIM_NOBODY;
}

uint32_t simnode_new(struct sim_nodes *t, bool is_dir)
{
	t->v = ref_grow(t->v, t->n, &t->cap, sizeof *t->v);
	memset(&t->v[t->n], 0, sizeof t->v[t->n]);
	t->v[t->n].is_dir = is_dir;
	return (uint32_t)t->n++;
}

static void free_nodes(struct sim_nodes *t)
{
	for (size_t i = 0; i < t->n; i++) {
		for (size_t p = 0; p < t->v[i].n_pages; p++)
			put_blob(t->v[i].pages[p].blob);
		free(t->v[i].pages);
		free(t->v[i].entries);
	}
	free(t->v);
	memset(t, 0, sizeof *t);
}

static void clone_nodes(const struct sim_nodes *t, struct sim_nodes *ret)
{
	ret->n = ret->cap = t->n;
	ret->v = ref_alloc((t->n + 1) * sizeof *t->v);
	for (size_t i = 0; i < t->n; i++) {
		const struct sim_node *from = &t->v[i];
		struct sim_node *to = &ret->v[i];
		*to = *from;
		to->cap_entries = from->n_entries;
		to->entries = ref_alloc((from->n_entries + 1) * sizeof *to->entries);
		if (from->n_entries)
			memcpy(to->entries, from->entries, from->n_entries * sizeof *to->entries);
		to->pages = ref_alloc((from->n_pages + 1) * sizeof *to->pages);
		to->cap_pages = from->n_pages;
		for (size_t p = 0; p < from->n_pages; p++)
			to->pages[p] = (struct sim_page){ from->pages[p].no, hold_blob(from->pages[p].blob) };
	}
}

static void set_name(struct sim_nodes *t, uint32_t dir, const char *name, uint32_t node)
{
	struct sim_node *d = &t->v[dir];
	size_t k = 0;

	while (k < d->n_entries && strcmp(d->entries[k].name, name))
		k++;
	if (node == SIM_NOBODY) {
		if (k < d->n_entries)
			d->entries[k] = d->entries[--d->n_entries];
		return;
	}
	if (k == d->n_entries) {
		d->entries = ref_grow(d->entries, d->n_entries, &d->cap_entries, sizeof *d->entries);
		memset(d->entries[k].name, 0, SIM_NAME);
		strncpy(d->entries[k].name, name, SIM_NAME - 1);
		d->n_entries++;
	}
	d->entries[k].node = node;
}

/* Place of the first page that is not before no. */
static size_t page_index(const struct sim_node *f, uint64_t no)
{
	size_t low = 0, high = f->n_pages;

	while (low < high) {
		size_t mid = (low + high) / 2;
		if (f->pages[mid].no < no)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static struct sim_page *find_page(const struct sim_node *f, uint64_t no)
{
	size_t at = page_index(f, no);

	return at < f->n_pages && f->pages[at].no == no ? &f->pages[at] : NULL;
}

/* A page of its own, to be changed. */
static uint8_t *own_page(struct sim_node *f, uint64_t no)
{
	struct sim_page *p = find_page(f, no);

	if (!p) {
		size_t at = page_index(f, no);
		f->pages = ref_grow(f->pages, f->n_pages, &f->cap_pages, sizeof *f->pages);
		memmove(f->pages + at + 1, f->pages + at, (f->n_pages++ - at) * sizeof *f->pages);
		p = &f->pages[at];
		*p = (struct sim_page){ no, NULL };
	}
	if (!p->blob || p->blob->refs > 1) {
		struct sim_blob *mine = ref_alloc(sizeof *mine + CL_PAGE);
		mine->refs = 1;
		if (p->blob)
			memcpy(mine->bytes, p->blob->bytes, CL_PAGE);
		put_blob(p->blob);
		p->blob = mine;
	}
	return p->blob->bytes;
}

static void put_bytes(struct sim_node *f, const uint8_t *bytes, uint64_t off, uint64_t len)
{
	for (uint64_t done = 0, part; done < len; done += part) {
		uint64_t at = off + done;
		part = CL_MIN(len - done, CL_PAGE - at % CL_PAGE);
		memcpy(own_page(f, at / CL_PAGE) + at % CL_PAGE, bytes + done, part);
	}
}

static void put_zeros(struct sim_node *f, uint64_t off, uint64_t len)
{
	for (size_t k = page_index(f, off / CL_PAGE); k < f->n_pages && f->pages[k].no * CL_PAGE < off + len; k++) {
		uint64_t start = f->pages[k].no * CL_PAGE, from = CL_MAX(off, start), to = CL_MIN(off + len, start + CL_PAGE);
		memset(own_page(f, f->pages[k].no) + (from - start), 0, to - from);
	}
}

void simnode_read(const struct sim_nodes *t, uint32_t node, void *buf, size_t n, uint64_t off)
{
	const struct sim_node *f = &t->v[node];
	uint8_t *out = buf;

	for (size_t part; n; n -= part, off += part, out += part) {
		part = (size_t)CL_MIN(n, CL_PAGE - off % CL_PAGE);
		const struct sim_page *p = find_page(f, off / CL_PAGE);
		if (p)
			memcpy(out, p->blob->bytes + off % CL_PAGE, part);
		else
			memset(out, 0, part);
	}
}

bool simnode_has(const struct sim_nodes *t, uint32_t node, uint64_t off, uint64_t len)
{
	for (uint64_t p = off / CL_PAGE; p * CL_PAGE < off + len; p++)
		if (!find_page(&t->v[node], p))
			return false;
	return true;
}

void simdisk_full(struct simdisk *d, bool full)
{
	d->full = full;
}

static void cut_file(struct sim_node *f, uint64_t size)
{
	if (size < f->size) {
		uint64_t end = (size + CL_PAGE - 1) / CL_PAGE;
		put_zeros(f, size, CL_MIN(end * CL_PAGE, f->size) - size);
		while (f->n_pages && f->pages[f->n_pages - 1].no >= end)
			put_blob(f->pages[--f->n_pages].blob);
	}
	f->size = size;
}

/* The whole of an operation. */
static void apply(struct sim_nodes *t, const struct sim_op *op)
{
	struct sim_node *f = &t->v[op->node];

	switch (op->kind) {
	case SIM_WRITE:
		put_bytes(f, op->data->bytes, op->off, op->len);
		f->size = CL_MAX(f->size, op->off + op->len);
		break;
	case SIM_TRUNCATE:
		cut_file(f, op->len);
		break;
	case SIM_PUNCH:
		if (op->off < f->size)
			put_zeros(f, op->off, CL_MIN(op->len, f->size - op->off));
		break;
	case SIM_LINK:
		set_name(t, op->node, op->name, op->child);
		break;
	case SIM_UNLINK:
		set_name(t, op->node, op->name, SIM_NOBODY);
		break;
	case SIM_RENAME:
		if (simnode_find(t, op->node, op->name) == op->child)
			set_name(t, op->node, op->name, SIM_NOBODY);
		set_name(t, op->node, op->to, op->child);
		break;
	case SIM_SYNC:
	case SIM_SYNC_DIR:
	case SIM_SYNC_ALL:
		break;
	}
}

/* Some sectors of a write. When its end is lost the file may have grown all the same, with zeros. */
static void apply_torn(struct sim_nodes *t, const struct sim_op *op, bool garbage, uint64_t *rng)
{
	static const unsigned chances[] = { 10, 50, 90 };
	struct sim_node *f = &t->v[op->node];
	unsigned chance = chances[sim_below(rng, CL_ARRAY_LEN(chances))];

	for (uint64_t done = 0, part; done < op->len; done += part) {
		part = CL_MIN(op->len - done, SECTOR - (op->off + done) % SECTOR);
		if (sim_below(rng, 100) >= chance)
			continue;
		if (garbage && sim_below(rng, 2)) {
			uint8_t sector[SECTOR];
			for (size_t i = 0; i < SECTOR; i++)
				sector[i] = (uint8_t)sim_rand(rng);
			put_bytes(f, sector, op->off + done, part);
		} else {
			put_bytes(f, op->data->bytes + done, op->off + done, part);
		}
		f->size = CL_MAX(f->size, op->off + done + part);
	}
	if (sim_below(rng, 100) < 30)
		f->size = CL_MAX(f->size, op->off + op->len);
}

void simdisk_do(struct simdisk *d, const struct sim_op *op)
{
	apply(&d->now, op);
	if (!d->recording) {
		put_blob(op->data);
		return;
	}
	d->log = ref_grow(d->log, d->n_log, &d->cap_log, sizeof *d->log);
	d->log[d->n_log] = *op;
	d->log[d->n_log++].mark = d->mark;
}

static void free_log(struct simdisk *d)
{
	for (size_t i = 0; i < d->n_log; i++)
		put_blob(d->log[i].data);
	free(d->log);
	d->log = NULL;
	d->n_log = d->cap_log = 0;
}

struct simdisk *simdisk_new(void)
{
	struct simdisk *d = ref_alloc(sizeof *d);

	simnode_new(&d->now, true);
	return d;
}

void simdisk_free(struct simdisk *d)
{
	if (!d)
		return;
	free_log(d);
	free_nodes(&d->now);
	free_nodes(&d->base);
	free(d);
}

void simdisk_record(struct simdisk *d)
{
	free_log(d);
	free_nodes(&d->base);
	clone_nodes(&d->now, &d->base);
	d->recording = true;
}

struct simdisk *simdisk_clone(const struct simdisk *d)
{
	struct simdisk *c = ref_alloc(sizeof *c);

	clone_nodes(&d->now, &c->now);
	return c;
}

size_t simdisk_log(const struct simdisk *d)
{
	return d->n_log;
}

void simdisk_mark(struct simdisk *d, uint64_t mark)
{
	d->mark = mark;
}

uint64_t simdisk_mark_of(const struct simdisk *d, size_t n)
{
	return n < d->n_log ? d->log[n].mark : d->mark;
}

/* Name of a file for people: the first that leads to it. */
static const char *name_of(const struct sim_nodes *t, uint32_t node)
{
	for (size_t i = 0; i < t->n; i++)
		for (size_t k = 0; k < t->v[i].n_entries; k++)
			if (t->v[i].entries[k].node == node)
				return t->v[i].entries[k].name;
	return "?";
}

bool simdisk_writes(const struct simdisk *d, size_t n, const char *name)
{
	return d->log[n].kind == SIM_WRITE && !strcmp(name_of(&d->now, d->log[n].node), name);
}

void simdisk_describe(const struct simdisk *d, size_t n, char out[static 120])
{
	static const char *const kinds[] = { "write", "truncate", "punch", "link", "unlink", "rename", "sync", "sync folder",
					     "sync all" };

	if (n >= d->n_log) {
		snprintf(out, 120, "the end");
		return;
	}
	const struct sim_op *o = &d->log[n];
	snprintf(out, 120, "%s %s%s%s %llu+%llu (step %llu)", kinds[o->kind], name_of(&d->now, o->node), *o->name ? "/" : "",
		 o->name, (unsigned long long)o->off, (unsigned long long)o->len, (unsigned long long)o->mark);
}

static bool is_name(const struct sim_op *o)
{
	return o->kind == SIM_LINK || o->kind == SIM_UNLINK || o->kind == SIM_RENAME;
}

/* Nodes that the log's first n operations make, so that numbers mean the same. */
static void make_nodes(struct sim_nodes *t, const struct sim_op *log, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (log[i].kind == SIM_LINK)
			while (t->n <= log[i].child)
				simnode_new(t, log[i].folder && t->n == log[i].child);
}

/* Does everything that was durable before operation n; pending gets the others, in order. Returns how many. */
static size_t apply_durable(const struct simdisk *d, size_t n, struct sim_nodes *t, const struct sim_op **pending)
{
	size_t *synced = ref_alloc((t->n + 1) * sizeof *synced); /* of each node: operations before this one are durable */
	size_t all = 0, k = 0;

	for (size_t i = 0; i < n; i++) {
		const struct sim_op *o = &d->log[i];
		if (o->kind == SIM_SYNC || o->kind == SIM_SYNC_DIR)
			synced[o->node] = i;
		if (o->kind == SIM_SYNC_ALL)
			all = i;
	}
	for (size_t i = 0; i < n; i++) {
		const struct sim_op *o = &d->log[i];
		if (o->kind >= SIM_SYNC)
			continue;
		if (i < CL_MAX(synced[o->node], all))
			apply(t, o);
		else
			pending[k++] = o;
	}
	free(synced);
	return k;
}

static void shuffle(const struct sim_op **v, size_t n, uint64_t *rng)
{
	for (size_t i = n; i > 1; i--) {
		size_t k = (size_t)sim_below(rng, i);
		const struct sim_op *o = v[i - 1];
		v[i - 1] = v[k];
		v[k] = o;
	}
}

static void apply_pending(struct sim_nodes *t, const struct sim_op **pending, size_t n, enum sim_cut how, uint64_t *rng)
{
	static const unsigned chances[] = { 5, 20, 50, 80, 95 };
	unsigned chance = chances[sim_below(rng, CL_ARRAY_LEN(chances))];
	uint64_t salt = sim_rand(rng);
	size_t until = (size_t)sim_below(rng, n + 1);

	if (how == SIM_SHUFFLE)
		shuffle(pending, n, rng);
	for (size_t i = 0; i < n; i++) {
		const struct sim_op *o = pending[i];
		uint64_t file = (o->node + 1) * salt;
		bool keep = false;
		switch (how) {
		case SIM_NONE:
			break;
		case SIM_ALL:
			keep = true;
			break;
		case SIM_PREFIX:
			keep = i < until;
			break;
		case SIM_FILES:
			keep = sim_below(&file, 100) < chance;
			break;
		case SIM_NAMES:
			keep = is_name(o);
			break;
		case SIM_DATA:
			keep = !is_name(o);
			break;
		default:
			keep = sim_below(rng, 100) < chance;
		}
		if (!keep)
			continue;
		if (o->kind == SIM_WRITE && (how == SIM_TORN || how == SIM_SHUFFLE || how == SIM_GARBAGE))
			apply_torn(t, o, how == SIM_GARBAGE, rng);
		else
			apply(t, o);
	}
}

static struct simdisk *from_base(const struct simdisk *d, size_t n)
{
	struct simdisk *c = ref_alloc(sizeof *c);

	clone_nodes(&d->base, &c->now);
	make_nodes(&c->now, d->log, n);
	return c;
}

struct simdisk *simdisk_cut(const struct simdisk *d, size_t n, enum sim_cut how, uint64_t *rng)
{
	struct simdisk *c = from_base(d, n);
	const struct sim_op **pending = ref_alloc((n + 1) * sizeof(*pending));
	size_t k = apply_durable(d, n, &c->now, pending);

	apply_pending(&c->now, pending, k, how, rng);
	free(pending);
	simdisk_record(c);
	return c;
}

struct simdisk *simdisk_kill(const struct simdisk *d, size_t n)
{
	struct simdisk *c = from_base(d, n);

	clone_nodes(&d->base, &c->base);
	c->recording = true;
	for (size_t i = 0; i < n; i++) {
		struct sim_op op = d->log[i];
		hold_blob(op.data);
		c->mark = op.mark;
		simdisk_do(c, &op);
	}
	return c;
}
