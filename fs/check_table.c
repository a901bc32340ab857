/* SPDX-License-Identifier: GPL-3.0-or-later */
/* fsck: the inode table, the two bitmaps, and which object belongs to whom. */
#include "fs/repair.h"

#include "common/secret.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define BITS_PER_PAGE ((uint64_t)CL_PAGE * 8)
#define NUMBER_MAX ((uint64_t)1 << 62) /* an object number above it has not been reached by counting */

uint32_t check_find(const struct check_comp *cc, uint64_t ino)
{
	size_t low = 0, high = cc->n_inodes;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		uint64_t at = check_ino(&cc->inodes[mid]);
		if (at == ino)
			return (uint32_t)mid;
		if (at < ino)
			low = mid + 1;
		else
			high = mid;
	}
	return CHECK_NONE;
}

static bool is_in(const struct check_range *r, size_t n, uint64_t ino)
{
	size_t low = 0, high = n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (ino >= r[mid].first && ino <= r[mid].last)
			return true;
		if (ino > r[mid].last)
			low = mid + 1;
		else
			high = mid;
	}
	return false;
}

bool check_is_lost(const struct check_comp *cc, uint64_t ino)
{
	return is_in(cc->lost, cc->n_lost, ino);
}

void check_run_end(struct check_comp *cc, struct check_run *r)
{
	if (!r->one)
		return;
	REPAIR_WANT(cc, r->repair, .ino = r->first, .a = r->first, .b = r->last);
	if (r->first != r->last) {
		check_say(cc, CHECK_ERROR, "inodes %llu-%llu: %s", (unsigned long long)r->first,
			  (unsigned long long)r->last, r->many);
	} else {
		uint32_t slot = check_find(cc, r->first);
		if (slot != CHECK_NONE)
			check_say_inode(cc, slot, "%s", r->one);
		else
			check_say(cc, CHECK_ERROR, "inode %llu: %s", (unsigned long long)r->first, r->one);
	}
	r->one = NULL;
}

void check_run_add(struct check_comp *cc, struct check_run *r, uint64_t ino, const char *one, const char *many,
		   enum repair_kind repair)
{
	if (r->one == one && r->last + 1 == ino && r->repair == repair) {
		r->last = ino;
		return;
	}
	check_run_end(cc, r);
	*r = (struct check_run){ ino, ino, one, many, repair };
}

static int add_object(struct check_comp *cc, uint64_t object, uint32_t slot, bool xattr)
{
	if (!object)
		return 0;
	struct check_object *p = check_grow(cc->objects, cc->n_objects, &cc->cap_objects, sizeof *p);
	if (!p)
		return -ENOMEM;
	cc->objects = p;
	p[cc->n_objects++] = (struct check_object){ object, slot, xattr };
	return 0;
}

/* While the table is read for the first time. */
struct reading {
	struct check_comp *cc;
	struct inode *scratch;
	struct check_run free_filled; /* free records that are not empty */
	int err;
};

static int read_record(struct reading *r, uint64_t ino, const uint8_t *record)
{
	struct check_comp *cc = r->cc;
	struct inode *i = r->scratch;
	uint8_t free_record[INODE_RECORD];

	int err = check_decode(i, ino, record);
	if (err == -ENOENT) {
		/* Only the generation, at 28, outlives an inode. */
		memcpy(free_record, record, INODE_RECORD);
		memset(free_record + 28, 0, 4);
		if (!bytes_are_zero(free_record, INODE_RECORD))
			check_run_add(cc, &r->free_filled, ino, "free, but its record is not empty",
				      "free, but their records are not empty", REPAIR_FREE_RECORD);
		secret_wipe(free_record, sizeof free_record);
		return 0;
	}
	if (err && err != -EUCLEAN)
		return err;
	if (cc->n_inodes == CHECK_NONE)
		return -ENOMEM;
	struct check_inode *p = check_grow(cc->inodes, cc->n_inodes, &cc->cap_inodes, sizeof *p);
	if (!p) {
		check_decode_done(i);
		return -ENOMEM;
	}
	cc->inodes = p;
	uint32_t slot = (uint32_t)cc->n_inodes++;
	p += slot;
	*p = (struct check_inode){ .ino_low = (uint32_t)ino, .ino_high = (uint16_t)(ino >> 32), .parent = CHECK_NONE };
	if (err) {
		p->flags = CHECK_BAD;
		return 0;
	}
	p->type = (uint8_t)IFTODT(i->mode);
	p->nlink = i->nlink;
	err = add_object(cc, i->data.object, slot, false);
	if (!err)
		err = add_object(cc, i->xattr_object ? i->xattr.object : 0, slot, true);
	check_decode_done(i);
	return err;
}

static int table_page(void *arg, uint64_t leaf, const uint8_t *plain)
{
	struct reading *r = arg;
	int err = 0;

	for (uint64_t n = 0; n < INODE_PER_PAGE && !err; n++)
		err = read_record(r, leaf * INODE_PER_PAGE + n, plain + n * INODE_RECORD);
	return err;
}

/* Bad pages of one of the special trees: per page so many numbers of inodes. */
void check_say_lost(struct check_comp *cc, const char *what, const struct check_range *leaves, uint64_t per_page,
		    bool index, int err, const struct repair *repair)
{
	uint64_t limit = (cc->c->inode_limit + per_page - 1) / per_page;
	unsigned long long first = leaves->first, last = CL_MIN(leaves->last, limit ? limit - 1 : 0);
	unsigned long long from = first * per_page, to = (last + 1) * per_page - 1;

	if (repair && repair_is_damage(err))
		repair_want(cc, repair);
	if (first > last)
		check_say(cc, CHECK_ERROR, "%s: a page behind its end %s; nothing of it is lost", what,
			  check_reason(err, false));
	else if (index)
		check_say(cc, CHECK_ERROR,
			  "%s: pages %llu-%llu (inodes %llu-%llu) cannot be reached: an index page above %s", what,
			  first, last, from, to, check_reason(err, false));
	else if (first == last)
		check_say(cc, CHECK_ERROR, "%s: page %llu (inodes %llu-%llu) %s", what, first, from, to,
			  check_reason(err, false));
	else
		check_say(cc, CHECK_ERROR, "%s: pages %llu-%llu (inodes %llu-%llu) %s", what, first, last, from, to,
			  check_reason(err, true));
}

static void table_bad(void *arg, uint64_t first, uint64_t last, bool index, int err)
{
	struct reading *r = arg;
	struct check_comp *cc = r->cc;

	check_say_lost(cc, "inode table", &(struct check_range){ first, last }, INODE_PER_PAGE, index, err,
		       &(struct repair){ .kind = REPAIR_TABLE, .a = first, .b = last });
	struct check_range *p = check_grow(cc->lost, cc->n_lost, &cc->cap_lost, sizeof *p);
	if (!p) {
		r->err = -ENOMEM;
		return;
	}
	cc->lost = p;
	p[cc->n_lost++] = (struct check_range){ first * INODE_PER_PAGE, (last + 1) * INODE_PER_PAGE - 1 };
}

int check_table(struct check_comp *cc)
{
	struct reading r = { .cc = cc };
	struct check_walk w = { .cc = cc, .name = "inode table", .page = table_page, .bad = table_bad, .arg = &r };
	struct comp *c = cc->c;
	int err = check_decode_new(cc, &r.scratch);

	if (err)
		return err;
	tree_describe(&c->itable, &w.desc);
	err = check_walk(&w);
	check_decode_free(r.scratch);
	err = err ? err : r.err;
	if (err)
		return err;
	check_run_end(cc, &r.free_filled);
	REPAIR_WANT(cc, REPAIR_FREE_RECORD);
	if (cc->n_inodes && check_ino(&cc->inodes[0]) == 0)
		check_say(cc, CHECK_ERROR, "inode table: record 0, which has no inode, is in use");
	uint64_t end = cc->n_inodes ? check_ino(&cc->inodes[cc->n_inodes - 1]) + 1 : 0;
	REPAIR_WANT(cc, REPAIR_COUNTS);
	if (end > c->inode_limit)
		check_say(cc, CHECK_ERROR, "root page: it says that all inodes are below %llu, but %llu is in use",
			  (unsigned long long)c->inode_limit, (unsigned long long)end - 1);
	REPAIR_WANT(cc, REPAIR_COUNTS);
	if (!cc->n_lost && cc->n_inodes != c->inodes_used)
		check_say(cc, CHECK_ERROR, "root page: it says that %llu inodes are in use, but %llu are",
			  (unsigned long long)c->inodes_used, (unsigned long long)cc->n_inodes);
	REPAIR_WANT(cc, REPAIR_NONE);
	return 0;
}

/* A bitmap beside the sorted inodes. */
struct bitmap {
	struct check_comp *cc;
	bool orphans; /* which of the two */
	const char *name;
	uint32_t slot;           /* next inode to compare */
	uint64_t n;              /* bits that are 1 */
	struct check_range *bad; /* inodes whose bits cannot be read */
	size_t n_bad, cap_bad;
	struct check_run run;
	int err;
};

static void compare(struct bitmap *b, uint64_t ino, bool bit)
{
	struct check_comp *cc = b->cc;
	struct check_inode *i =
		b->slot < cc->n_inodes && check_ino(&cc->inodes[b->slot]) == ino ? &cc->inodes[b->slot++] : NULL;

	b->n += bit;
	if (!i) {
		if (!bit || check_is_lost(cc, ino))
			return;
		if (b->orphans)
			check_run_add(cc, &b->run, ino, "in the orphan bitmap, but not in use",
				      "in the orphan bitmap, but not in use", REPAIR_COUNTS);
		else
			check_run_add(cc, &b->run, ino, "in use in the inode bitmap, but free in the table",
				      "in use in the inode bitmap, but free in the table", REPAIR_COUNTS);
		return;
	}
	if (!b->orphans) {
		if (!bit)
			check_run_add(cc, &b->run, ino, "its inode is in use, but free in the inode bitmap",
				      "in use, but free in the inode bitmap", REPAIR_COUNTS);
		return;
	}
	if (bit)
		i->flags |= CHECK_ORPHAN;
	if (i->flags & CHECK_BAD)
		return;
	if (bit && i->nlink)
		check_run_add(cc, &b->run, ino, "its inode is in the orphan bitmap, but its link count is not 0",
			      "in the orphan bitmap, but their link counts are not 0", REPAIR_COUNTS);
	else if (!bit && !i->nlink)
		check_run_add(cc, &b->run, ino, "its link count is 0, but its inode is not in the orphan bitmap",
			      "their link counts are 0, but they are not in the orphan bitmap",
			      i->seen ? REPAIR_COUNTS : REPAIR_CONNECT);
}

/* Inodes below ino that no page has a bit for. */
static void compare_holes(struct bitmap *b, uint64_t ino)
{
	while (b->slot < b->cc->n_inodes && check_ino(&b->cc->inodes[b->slot]) < ino) {
		if (is_in(b->bad, b->n_bad, check_ino(&b->cc->inodes[b->slot])))
			b->slot++;
		else
			compare(b, check_ino(&b->cc->inodes[b->slot]), false);
	}
}

static int bitmap_page(void *arg, uint64_t leaf, const uint8_t *plain)
{
	struct bitmap *b = arg;
	uint64_t first = leaf * BITS_PER_PAGE;

	compare_holes(b, first);
	for (uint64_t n = 0; n < BITS_PER_PAGE; n++)
		compare(b, first + n, plain[n / 8] >> (n % 8) & 1);
	return 0;
}

static void bitmap_bad(void *arg, uint64_t first, uint64_t last, bool index, int err)
{
	struct bitmap *b = arg;

	check_say_lost(b->cc, b->name, &(struct check_range){ first, last }, BITS_PER_PAGE, index, err,
		       &(struct repair){ .kind = REPAIR_BITMAP,
					 .ino = b->orphans ? PAGEIO_OBJ_ORPHANS : PAGEIO_OBJ_IBITMAP,
					 .a = first,
					 .b = last });
	struct check_range *p = check_grow(b->bad, b->n_bad, &b->cap_bad, sizeof *p);
	if (!p) {
		b->err = -ENOMEM;
		return;
	}
	b->bad = p;
	p[b->n_bad++] = (struct check_range){ first * BITS_PER_PAGE, (last + 1) * BITS_PER_PAGE - 1 };
}

/* Bad in the second walk and not in the first: the disk fails meanwhile, and nothing can be said of the rest. */
static void bitmap_gone(void *arg, uint64_t first, uint64_t last, bool index, int err)
{
	struct bitmap *b = arg;

	(void)index;
	(void)last;
	for (size_t i = 0; i < b->n_bad; i++)
		if (first * BITS_PER_PAGE >= b->bad[i].first && first * BITS_PER_PAGE <= b->bad[i].last)
			return;
	b->err = err;
}

static int check_bitmap(struct check_comp *cc, const struct tree *t, bool orphans)
{
	struct bitmap b = { .cc = cc, .orphans = orphans, .name = orphans ? "orphan bitmap" : "inode bitmap" };
	struct check_walk pages = { .cc = cc, .name = b.name, .bad = bitmap_bad, .arg = &b };
	struct check_walk bits = { .cc = cc, .page = bitmap_page, .bad = bitmap_gone, .arg = &b, .quiet = true };

	/* First which pages are bad, then what the others say. They are few: a page serves 32768 inodes. */
	tree_describe(t, &pages.desc);
	int err = check_walk(&pages);
	err = err ? err : b.err;
	if (!err) {
		tree_describe(t, &bits.desc);
		err = check_walk(&bits);
		err = err ? err : b.err;
	}
	if (!err) {
		compare_holes(&b, UINT64_MAX);
		check_run_end(cc, &b.run);
		uint64_t want = orphans ? cc->c->n_orphans : cc->c->inodes_used;
		REPAIR_WANT(cc, REPAIR_COUNTS);
		if (b.n != want && !b.n_bad)
			check_say(cc, CHECK_ERROR, "root page: it says that there are %llu %s, but the %s has %llu",
				  (unsigned long long)want, orphans ? "orphans" : "inodes in use", b.name,
				  (unsigned long long)b.n);
		REPAIR_WANT(cc, REPAIR_NONE);
	}
	free(b.bad);
	return err;
}

int check_bitmaps(struct check_comp *cc)
{
	int err = check_bitmap(cc, &cc->c->orphans, true);
	return err ? err : check_bitmap(cc, &cc->c->ibitmap, false);
}

static int by_object(const void *a, const void *b)
{
	const struct check_object *x = a, *y = b;

	if (x->object != y->object)
		return x->object < y->object ? -1 : 1;
	return x->slot < y->slot ? -1 : x->slot > y->slot;
}

/* Lower files that nobody refers to: what a crash leaves, unless those who refer to them are lost. */
static void say_rubbish(struct check_comp *cc)
{
	unsigned long long n = 0;
	size_t o = 0;

	for (size_t i = 0; i < cc->n_lower; i++) {
		while (o < cc->n_objects && cc->objects[o].object < cc->lower[i])
			o++;
		n += o == cc->n_objects || cc->objects[o].object != cc->lower[i];
	}
	bool sure = !cc->n_lost && !cc->lower_unsure && !cc->lower_unread;
	for (size_t i = 0; i < cc->n_inodes && sure; i++)
		sure = !(cc->inodes[i].flags & CHECK_BAD);
	if (sure)
		REPAIR_WANT(cc, REPAIR_RUBBISH);
	if (n)
		check_say(cc, CHECK_NOTE, "%llu lower file%s belong%s to no inode that could be read%s", n,
			  n == 1 ? "" : "s", n == 1 ? "s" : "", sure ? ": left by a crash, harmless" : "");
	REPAIR_WANT(cc, REPAIR_NONE);
}

int check_objects(struct check_comp *cc)
{
	if (cc->n_objects)
		qsort(cc->objects, cc->n_objects, sizeof *cc->objects, by_object);
	for (size_t i = 0; i < cc->n_objects; i++) {
		const struct check_object *o = &cc->objects[i];
		const char *what = o->xattr ? "attribute list" : "contents";
		REPAIR_WANT(cc, o->object < NUMBER_MAX ? REPAIR_NEXT_OBJECT : REPAIR_NONE, .a = o->object + 1);
		if (o->object >= cc->c->next_object)
			check_say_inode(cc, o->slot, "%s: object number %llu was never given out (the next is %llu)",
					what, (unsigned long long)o->object, (unsigned long long)cc->c->next_object);
		REPAIR_WANT(cc, REPAIR_SHARED, .ino = check_ino(&cc->inodes[o->slot]), .a = o->object, .b = o->xattr);
		if (i && o->object == o[-1].object)
			check_say_inode(cc, o->slot, "%s: object %llu belongs to inode %llu as well", what,
					(unsigned long long)o->object,
					(unsigned long long)check_ino(&cc->inodes[o[-1].slot]));
	}
	REPAIR_WANT(cc, REPAIR_NONE);
	say_rubbish(cc);
	return 0;
}
