/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Directories: pages of entries, and their index in memory. */
#include "fs/dir.h"

#include "common/log.h"
#include "fs/comp.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <xxhash.h>

#define HEADER 16u
#define RECORD_MIN 16u
#define RECORD_FIXED 12u
#define GATE_BIT 0x80u
#define GATE_LEN 16u
#define OPEN_ROOM 288u   /* a page with a free piece of this size takes any name */

struct disk_dir_header {
	le16 used, live;
	uint8_t zero[12];
};
static_assert(sizeof(struct disk_dir_header) == HEADER, "directory page header");

struct disk_dirent {
	le64 ino;
	le16 len;
	uint8_t type;
	uint8_t name_len;
};
static_assert(sizeof(struct disk_dirent) == RECORD_FIXED, "directory record");

struct slot {
	uint32_t hash;
	uint32_t pos; /* 0 = free: no entry is at the start of a page */
};

struct dir_index {
	struct slot *slots;
	size_t cap, n;        /* cap: power of two */
	uint16_t *room;       /* of each page, its largest free piece */
	uint64_t n_pages, cap_pages;
	uint64_t first_open;  /* no page below it has OPEN_ROOM */
	uint64_t last_pos;    /* of the entry added last, whose record has the rest of its page's room; 0 = not known */
	bool damaged;         /* a page could not be read */
};

/* Seeded per process, so that nobody can prepare names that collide. */
static uint64_t hash_seed;

static void draw_seed(void)
{
	if (getrandom(&hash_seed, sizeof hash_seed, 0) != (ssize_t)sizeof hash_seed)
		hash_seed = (uint64_t)(uintptr_t)&hash_seed; /* worse, not wrong */
}

static uint32_t hash_name(const char *name, size_t n)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, draw_seed);
	return (uint32_t)XXH3_64bits_withSeed(name, n, hash_seed);
}

void dir_index_free(struct dir_index *x)
{
	if (!x)
		return;
	free(x->slots);
	free(x->room);
	free(x);
}

static struct disk_dirent get_record(const uint8_t *page, unsigned off)
{
	struct disk_dirent d;
	memcpy(&d, page + off, sizeof d);
	return d;
}

static void set_record(uint8_t *page, unsigned off, const struct disk_dirent *d)
{
	memcpy(page + off, d, sizeof *d);
}

/* Bytes that an entry needs. */
static unsigned need_of(unsigned name_len, bool gate)
{
	return (RECORD_FIXED + name_len + (gate ? GATE_LEN : 0) + 7) & ~7u;
}

static unsigned used_of(const struct disk_dirent *d)
{
	return le64_get(d->ino) ? need_of(d->name_len, d->type & GATE_BIT) : 0;
}

/* A record at off is within the page and sound. */
static bool record_ok(const uint8_t *page, unsigned off)
{
	if (off < HEADER || off % 8 || off + RECORD_MIN > CL_PAGE)
		return false;
	struct disk_dirent d = get_record(page, off);
	unsigned len = le16_get(d.len);
	if (len < RECORD_MIN || len % 8 || off + len > CL_PAGE)
		return false;
	if (le64_get(d.ino) == 0)
		return true;
	return le64_get(d.ino) < INODE_MAX && d.name_len && used_of(&d) <= len;
}

static bool name_ok(const uint8_t *page, unsigned off)
{
	const uint8_t *name = page + off + RECORD_FIXED;
	size_t len = get_record(page, off).name_len;

	return !memchr(name, '\0', len) && !memchr(name, '/', len);
}

static void decode(const uint8_t *page, uint64_t page_no, unsigned off, struct dir_entry *ret)
{
	struct disk_dirent d = get_record(page, off);

	ret->ino = le64_get(d.ino);
	ret->pos = page_no << 9 | off / 8;
	ret->type = d.type & (uint8_t)~GATE_BIT;
	ret->is_gate = d.type & GATE_BIT;
	ret->name_len = d.name_len;
	memcpy(ret->name, page + off + RECORD_FIXED, d.name_len);
	ret->name[d.name_len] = '\0';
	if (ret->is_gate)
		memcpy(ret->gate, page + off + RECORD_FIXED + d.name_len, GATE_LEN);
}

int dir_check_page(const uint8_t page[static CL_PAGE], uint64_t page_no, int (*fn)(void *arg, const struct dir_entry *e), void *arg)
{
	struct disk_dir_header h;
	unsigned used = 0, live = 0;

	memcpy(&h, page, sizeof h);
	if (bytes_are_zero(page, CL_PAGE))
		return 0;
	if (!bytes_are_zero(h.zero, sizeof h.zero))
		return -EUCLEAN;
	for (unsigned off = HEADER; off < CL_PAGE; off += le16_get(get_record(page, off).len)) {
		struct disk_dirent d;
		struct dir_entry e;
		if (!record_ok(page, off))
			return -EUCLEAN;
		d = get_record(page, off);
		if (le64_get(d.ino) == 0)
			continue;
		used += used_of(&d);
		live++;
		if (!name_ok(page, off))
			return -EUCLEAN;
		if (!fn)
			continue;
		decode(page, page_no, off, &e);
		int err = fn(arg, &e);
		if (err)
			return err;
	}
	return le16_get(h.used) == used && le16_get(h.live) == live ? 0 : -EUCLEAN;
}

/* Largest piece that a new entry could take. */
static uint16_t room_of(const uint8_t *page)
{
	unsigned best = 0;

	if (bytes_are_zero(page, CL_PAGE))
		return CL_PAGE - HEADER;
	for (unsigned off = HEADER; off < CL_PAGE;) {
		struct disk_dirent d = get_record(page, off);
		unsigned piece = le16_get(d.len) - used_of(&d);
		best = CL_MAX(best, piece);
		off += le16_get(d.len);
	}
	return (uint16_t)best;
}

static int index_insert(struct dir_index *x, uint32_t hash, uint32_t pos)
{
	if ((x->n + 1) * 4 > x->cap * 3) {
		size_t cap = x->cap ? x->cap * 2 : 64;
		struct slot *slots = calloc(cap, sizeof *slots);
		if (!slots)
			return -ENOMEM;
		for (size_t i = 0; i < x->cap; i++) {
			if (!x->slots[i].pos)
				continue;
			size_t s = x->slots[i].hash & (cap - 1);
			while (slots[s].pos)
				s = (s + 1) & (cap - 1);
			slots[s] = x->slots[i];
		}
		free(x->slots);
		x->slots = slots;
		x->cap = cap;
	}
	size_t s = hash & (x->cap - 1);
	while (x->slots[s].pos)
		s = (s + 1) & (x->cap - 1);
	x->slots[s] = (struct slot){ hash, pos };
	x->n++;
	return 0;
}

static void index_remove(struct dir_index *x, uint32_t hash, uint32_t pos)
{
	size_t mask = x->cap - 1;
	size_t s = hash & mask;

	while (x->slots[s].pos && x->slots[s].pos != pos)
		s = (s + 1) & mask;
	if (!x->slots[s].pos)
		return;
	x->n--;
	for (size_t at = (s + 1) & mask; x->slots[at].pos; at = (at + 1) & mask) {
		size_t home = x->slots[at].hash & mask;
		if (((at - home) & mask) < ((at - s) & mask))
			continue;
		x->slots[s] = x->slots[at];
		s = at;
	}
	x->slots[s].pos = 0;
}

static int index_add_page(struct dir_index *x, uint16_t room)
{
	if (x->n_pages == x->cap_pages) {
		uint64_t cap = x->cap_pages ? x->cap_pages * 2 : 8;
		uint16_t *r = realloc(x->room, cap * sizeof *r);
		if (!r)
			return -ENOMEM;
		x->room = r;
		x->cap_pages = cap;
	}
	x->room[x->n_pages++] = room;
	return 0;
}

static int index_entry(void *arg, const struct dir_entry *e)
{
	return index_insert(arg, hash_name(e->name, e->name_len), (uint32_t)e->pos);
}

int dir_load(struct inode *dir)
{
	if (dir->index)
		return 0;
	struct dir_index *x = calloc(1, sizeof *x);
	if (!x)
		return -ENOMEM;
	uint64_t pages = dir->size / CL_PAGE;
	int err = pages > DIR_PAGES_MAX ? -EUCLEAN : 0;
	for (uint64_t p = 0; p < pages && !err; p++) {
		struct node *n;
		uint16_t room = CL_PAGE - HEADER;
		err = tree_node(&dir->data, 0, p, false, &n);
		if (!err && n) {
			err = dir_check_page(n->page, p, index_entry, x);
			if (!err) {
				n->checked = true;
				room = room_of(n->page);
			}
		}
		tree_put(&dir->data, n);
		if (err == -EUCLEAN)
			log_err("compartment %s: directory inode %llu: page %llu is malformed", dir->comp->io.name,
				(unsigned long long)dir->ino, (unsigned long long)p);
		if (err == -EBADMSG || err == -EUCLEAN) {
			/* Damage is local: the other pages still serve. Nothing is put into this one. */
			x->damaged = true;
			room = 0;
			err = 0;
		}
		if (!err)
			err = index_add_page(x, room);
	}
	if (err) {
		dir_index_free(x);
		return err;
	}
	dir->index = x;
	return 0;
}

int dir_find(struct inode *dir, const char *name, struct dir_entry *ret)
{
	struct dir_index *x = dir->index;
	size_t len = strlen(name);
	uint32_t hash = hash_name(name, len);

	if (!x->cap)
		return x->damaged ? -EBADMSG : -ENOENT;
	for (size_t s = hash & (x->cap - 1); x->slots[s].pos; s = (s + 1) & (x->cap - 1)) {
		if (x->slots[s].hash != hash)
			continue;
		struct node *n;
		uint64_t page = x->slots[s].pos >> 9;
		unsigned off = (x->slots[s].pos & 511u) * 8;
		int err = tree_node(&dir->data, 0, page, false, &n);
		if (err)
			return err;
		if (!n || !record_ok(n->page, off)) {
			tree_put(&dir->data, n);
			return -EUCLEAN;
		}
		decode(n->page, page, off, ret);
		tree_put(&dir->data, n);
		if (ret->ino && ret->name_len == len && !memcmp(ret->name, name, len))
			return 0;
	}
	return x->damaged ? -EBADMSG : -ENOENT;
}

static void count(uint8_t *page, int used, int live)
{
	struct disk_dir_header h;

	memcpy(&h, page, sizeof h);
	h.used = le16_of((uint16_t)(le16_get(h.used) + used));
	h.live = le16_of((uint16_t)(le16_get(h.live) + live));
	memcpy(page, &h, sizeof h);
}

/* Puts an entry into a page that has room for it, looking from a record at off on; returns its offset. */
static unsigned place(uint8_t *page, unsigned off, const char *name, unsigned len, uint64_t ino, uint8_t type, const uint8_t *gate)
{
	unsigned need = need_of(len, gate);

	if (bytes_are_zero(page, CL_PAGE)) {
		struct disk_dirent whole = { .len = le16_of(CL_PAGE - HEADER) };
		set_record(page, HEADER, &whole);
	}
	for (;;) {
		struct disk_dirent d = get_record(page, off);
		unsigned rec = le16_get(d.len), used = used_of(&d);
		if (rec - used < need) {
			off += rec;
			continue;
		}
		if (used) {
			d.len = le16_of((uint16_t)used);
			set_record(page, off, &d);
		}
		off += used;
		struct disk_dirent e = { le64_of(ino), le16_of((uint16_t)(rec - used)), (uint8_t)(type | (gate ? GATE_BIT : 0)),
					 (uint8_t)len };
		memset(page + off, 0, need);
		set_record(page, off, &e);
		memcpy(page + off + RECORD_FIXED, name, len);
		if (gate)
			memcpy(page + off + RECORD_FIXED + len, gate, GATE_LEN);
		count(page, (int)need, 1);
		return off;
	}
}

/* A page in which any entry fits; a new one at the end if there is none. */
static int open_page(struct inode *dir, uint64_t *ret)
{
	struct dir_index *x = dir->index;

	while (x->first_open < x->n_pages && x->room[x->first_open] < OPEN_ROOM)
		x->first_open++;
	if (x->first_open == x->n_pages) {
		if (x->n_pages == DIR_PAGES_MAX)
			return -ENOSPC;
		int err = index_add_page(x, CL_PAGE - HEADER);
		if (err)
			return err;
	}
	*ret = x->first_open;
	return 0;
}

int dir_add(struct inode *dir, const char *name, uint64_t ino, uint8_t type, const uint8_t *gate)
{
	struct dir_index *x = dir->index;
	unsigned len = (unsigned)strlen(name);
	struct node *n;
	uint64_t page;
	int err = inode_dirty(dir);

	if (!err && !dir->data.object) {
		err = tree_make(&dir->data, comp_new_object(dir->comp));
	}
	if (!err)
		err = open_page(dir, &page);
	if (err)
		return err;
	err = tree_node(&dir->data, 0, page, true, &n);
	if (err)
		return err;
	/* The index may need memory: before anything is changed. */
	err = index_insert(x, hash_name(name, len), 0xffffffffu);
	if (err) {
		tree_put(&dir->data, n);
		return err;
	}
	index_remove(x, hash_name(name, len), 0xffffffffu);
	tree_dirty(&dir->data, n);
	if (bytes_are_zero(n->page, CL_PAGE)) {
		dir->stored++;
		dir->size = CL_MAX(dir->size, (page + 1) * CL_PAGE);
	}
	/* Mostly right behind the entry added last, where the page's room is. */
	unsigned from = HEADER, need = need_of(len, gate);
	if (x->last_pos && x->last_pos >> 9 == page) {
		unsigned last = (unsigned)(x->last_pos & 511u) * 8;
		struct disk_dirent d = get_record(n->page, last);
		if (le16_get(d.len) - used_of(&d) >= need)
			from = last;
	}
	unsigned off = place(n->page, from, name, len, ino, type, gate);
	unsigned left = le16_get(get_record(n->page, off).len) - need;
	x->room[page] = left >= OPEN_ROOM ? (uint16_t)left : room_of(n->page);
	x->last_pos = page << 9 | off / 8;
	tree_put(&dir->data, n);
	err = index_insert(x, hash_name(name, len), (uint32_t)(page << 9 | off / 8));
	dir->entries++;
	dir->data_txn = dir->comp->running;
	return err;
}

/* An empty directory keeps no pages; but nothing is lost if it has to. */
static void reset_if_empty(struct inode *dir)
{
	if (dir->entries || dir->index->damaged)
		return;
	struct dir_index *x = calloc(1, sizeof *x);
	if (!x || inode_reset_data(dir)) {
		free(x);
		return;
	}
	dir_index_free(dir->index);
	dir->index = x;
}

/* The page of e, to be changed. */
static int writable_page(struct inode *dir, const struct dir_entry *e, struct node **ret)
{
	uint64_t page = e->pos >> 9;
	struct node *n;
	int err = inode_dirty(dir);

	if (!err)
		err = tree_node(&dir->data, 0, page, false, &n);
	if (err)
		return err;
	if (!n)
		return -EUCLEAN;
	/* A page that is malformed further on is not made worse. */
	if (!n->checked)
		err = dir_check_page(n->page, page, NULL, NULL);
	if (err) {
		tree_put(&dir->data, n);
		return err;
	}
	n->checked = true;
	tree_dirty(&dir->data, n);
	*ret = n;
	return 0;
}

int dir_prepare(struct inode *dir, const struct dir_entry *e)
{
	struct node *n;
	int err = writable_page(dir, e, &n);

	if (!err)
		tree_put(&dir->data, n);
	return err;
}

int dir_remove(struct inode *dir, const struct dir_entry *e)
{
	uint64_t page = e->pos >> 9;
	unsigned off = (unsigned)(e->pos & 511u) * 8, before = HEADER;
	struct node *n;
	int err = writable_page(dir, e, &n);

	if (err)
		return err;
	struct disk_dirent d = get_record(n->page, off);
	unsigned len = le16_get(d.len), used = used_of(&d);
	for (unsigned o = HEADER; o < off; o += le16_get(get_record(n->page, o).len))
		before = o;
	memset(n->page + off, 0, used);
	struct disk_dirent next = off + len < CL_PAGE ? get_record(n->page, off + len) : (struct disk_dirent){ .ino = le64_of(1) };
	if (le64_get(next.ino) == 0) {
		memset(n->page + off + len, 0, RECORD_FIXED);
		len += le16_get(next.len);
	}
	if (off > HEADER) {
		struct disk_dirent prev = get_record(n->page, before);
		len += le16_get(prev.len);
		prev.len = le16_of((uint16_t)len);
		set_record(n->page, before, &prev);
		len -= used_of(&prev);
	} else {
		struct disk_dirent freed = { .len = le16_of((uint16_t)len) };
		set_record(n->page, off, &freed);
	}
	count(n->page, -(int)used, -1);
	struct dir_index *x = dir->index;
	if (x->last_pos >> 9 == page)
		x->last_pos = 0; /* its record may be part of another now */
	x->room[page] = (uint16_t)CL_MAX(x->room[page], len);
	if (x->room[page] >= OPEN_ROOM)
		x->first_open = CL_MIN(x->first_open, page);
	tree_put(&dir->data, n);
	index_remove(x, hash_name(e->name, e->name_len), (uint32_t)e->pos);
	dir->entries--;
	dir->data_txn = dir->comp->running;
	reset_if_empty(dir);
	return 0;
}

int dir_retarget(struct inode *dir, const struct dir_entry *e, uint64_t ino, uint8_t type)
{
	struct node *n;
	unsigned off = (unsigned)(e->pos & 511u) * 8;
	int err = writable_page(dir, e, &n);

	if (err)
		return err;
	struct disk_dirent d = get_record(n->page, off);
	d.ino = le64_of(ino);
	d.type = type;
	set_record(n->page, off, &d);
	tree_put(&dir->data, n);
	dir->data_txn = dir->comp->running;
	return 0;
}

/* Whether all of a page is as it must be; found out once while it is cached. */
static bool is_sound(struct node *n, uint64_t page)
{
	if (!n->checked)
		n->checked = !dir_check_page(n->page, page, NULL, NULL);
	return n->checked;
}

int dir_next(struct inode *dir, uint64_t pos, struct dir_entry *ret)
{
	uint64_t pages = dir->size / CL_PAGE;

	for (uint64_t p = pos >> 9; p < pages; p++) {
		unsigned from = p == pos >> 9 ? (unsigned)(pos & 511u) * 8 : 0;
		struct node *n;
		int err = tree_node(&dir->data, 0, p, false, &n);
		if (err == -EBADMSG || err == -EUCLEAN) {
			atomic_store(&dir->dir_damaged, true);
			continue;
		}
		if (err)
			return err;
		bool sound = n && is_sound(n, p), empty = !n || (sound && bytes_are_zero(n->page, CL_PAGE));
		if (n && !sound)
			atomic_store(&dir->dir_damaged, true);
		/* Of a page that is malformed, what is sound by itself: its names are not lost for a wrong sum. */
		for (unsigned off = HEADER; !empty && off < CL_PAGE; off += le16_get(get_record(n->page, off).len)) {
			if (!sound && !record_ok(n->page, off))
				break;
			if (off < from || le64_get(get_record(n->page, off).ino) == 0 || (!sound && !name_ok(n->page, off)))
				continue;
			decode(n->page, p, off, ret);
			tree_put(&dir->data, n);
			return 0;
		}
		tree_put(&dir->data, n);
	}
	return atomic_load(&dir->dir_damaged) ? -EBADMSG : -ENOENT;
}

uint64_t dir_live(const struct inode *dir)
{
	return dir->index->n;
}

void dir_unload(struct inode *dir)
{
	dir_index_free(dir->index);
	dir->index = NULL;
	atomic_store(&dir->dir_damaged, false);
}

void dir_mend_page(uint8_t page[static CL_PAGE])
{
	struct disk_dir_header h = { .zero = { 0 } };
	unsigned used = 0, live = 0, off = HEADER, last = HEADER;

	while (off < CL_PAGE && record_ok(page, off)) {
		struct disk_dirent d = get_record(page, off);
		const uint8_t *name = page + off + RECORD_FIXED;
		if (le64_get(d.ino) && (memchr(name, '\0', d.name_len) || memchr(name, '/', d.name_len))) {
			memset(page + off, 0, le16_get(d.len));
			d = (struct disk_dirent){ .len = d.len };
			set_record(page, off, &d);
		}
		used += used_of(&d);
		live += le64_get(d.ino) != 0;
		last = off;
		off += le16_get(d.len);
	}
	if (off < CL_PAGE) {
		struct disk_dirent d = off > HEADER ? get_record(page, last) : (struct disk_dirent){ .len = le16_of(0) };
		memset(page + off, 0, CL_PAGE - off);
		d.len = le16_of((uint16_t)(CL_PAGE - last));
		set_record(page, last, &d);
	}
	h.used = le16_of((uint16_t)used);
	h.live = le16_of((uint16_t)live);
	memcpy(page, &h, sizeof h);
}
