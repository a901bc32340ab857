/* SPDX-License-Identifier: GPL-3.0-or-later */
/* fsck: a compartment that is mounted. Each page as of the newest commit, while the writer goes on (fs/follow.h). */
#include "fs/check_scrub.h"

#include "common/secret.h"
#include "fs/dir.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define INODES_PER_BITMAP_PAGE ((uint64_t)CL_PAGE * 8)
#define REWRITTEN_MAX 4u /* contents that are replaced by others while they are read: how often they are begun again */
#define LOOKS 10u
#define LOOK_MS 5 /* between looks at what may be being written */

/* An inode's trees, as its record was when they were begun. */
struct subject {
	struct check_scrub *s;
	uint64_t ino, size, stored;
	uint32_t type, xattr_len;
	struct follow_tree data, xattr;
	struct follow_tree *at; /* being read */
	const char *what;
};

void check_scrub_found(struct check_scrub *s, const char *fmt, va_list ap)
{
	struct check_found *f = &s->found[s->n_found];

	/* check_scrub makes room before it goes on; one inode alone may have more than there is room for. */
	if (s->n_found == CHECK_SCRUB_FOUND_MAX) {
		f--;
		free(f->text);
	} else {
		s->n_found++;
		*f = (struct check_found){ .ino = s->ino, .unlinked = s->unlinked };
	}
	if (vasprintf(&f->text, fmt, ap) < 0) {
		f->text = NULL;
		s->no_memory = true;
	}
}

static void pause_a_moment(void)
{
	const struct timespec t = { .tv_nsec = LOOK_MS * 1000000L };

	nanosleep(&t, NULL);
}

/* A copy that is being written is bad for a moment; one that stays so, though no header came, is damaged. */
static int scrub_header(struct check_scrub *s, unsigned copy)
{
	struct comp *c = s->w->c;
	uint64_t tail = 0;
	unsigned looks = 0;

	while (looks < LOOKS && journal_check_header(c->store, c->id, copy) == -EUCLEAN) {
		int err = follow_catch_up(s->w);
		if (err)
			return err == -EAGAIN ? 0 : err;
		looks = s->w->tail == tail ? looks + 1 : 0;
		tail = s->w->tail;
		pause_a_moment();
	}
	if (looks == LOOKS)
		check_say(s->cc, CHECK_ERROR,
			  "journal: the %s copy of its header is damaged; the other is good, the next checkpoint "
			  "writes both",
			  copy ? "second" : "first");
	return 0;
}

/* While no record stands in the journal, and none comes, both copies at home are those of the newest commit. */
static int scrub_root(struct check_scrub *s, unsigned copy)
{
	static const char *const names[2] = { "root", "root.copy" };
	struct comp *c = s->w->c;
	uint8_t page[CL_PAGE];
	uint64_t txn = 0;
	bool clean;

	for (unsigned looks = 0; looks < LOOKS; looks++) {
		uint64_t next = s->w->next;
		/* In the journal: then they are written again anyway. */
		if (pagemap_read(c->io.map, PAGEIO_OBJ_ROOT, 0, page))
			return 0;
		int bad = comp_check_root(c, copy, &txn, &clean);
		if (!bad && txn + 1 == next)
			return 0;
		int err = follow_catch_up(s->w);
		if (err)
			return err == -EAGAIN ? 0 : err;
		if (s->w->next != next)
			continue;
		if (bad == -ENOENT)
			return 0; /* told as a missing file */
		if (bad)
			check_say(s->cc, CHECK_ERROR,
				  "root page: %s is damaged (it %s); %s is good, the next checkpoint writes both",
				  names[copy], bad == -EUCLEAN ? "is malformed" : check_reason(bad, false),
				  names[!copy]);
		else
			check_say(s->cc, CHECK_ERROR, "root page: %s is older than %s (transaction %llu, not %llu)",
				  names[copy], names[!copy], (unsigned long long)txn, (unsigned long long)(next - 1));
		return 0;
	}
	return 0;
}

struct special {
	struct check_scrub *s;
	const char *name;
	uint64_t per_page;
	bool table;
};

static void special_bad(void *arg, uint64_t first, uint64_t last, bool index, int err)
{
	struct special *x = arg;
	struct check_comp *cc = x->s->cc;

	check_say_lost(cc, x->name, &(struct check_range){ first, last }, x->per_page, index, err, NULL);
	if (!x->table)
		return;
	struct check_range *p = check_grow(cc->lost, cc->n_lost, &cc->cap_lost, sizeof *p);
	if (!p) {
		x->s->no_memory = true;
		return;
	}
	cc->lost = p;
	p[cc->n_lost++] = (struct check_range){ first * x->per_page, (last + 1) * x->per_page - 1 };
}

static int scrub_special(struct check_scrub *s, uint64_t object, const char *name, uint64_t per_page)
{
	struct special x = { s, name, per_page, object == PAGEIO_OBJ_INODES };
	struct follow_tree t;
	struct check_scrub_walk w = { .s = s, .t = &t, .bad = special_bad, .arg = &x, .name = name };

	follow_special(s->w, object, &t);
	int err = check_scrub_walk(&w);
	follow_tree_done(&t);
	return err;
}

/* All of it is lost when there is no lower file, and still none although the newest commit refers to it. */
static bool is_missing(struct subject *x)
{
	struct comp *c = x->s->w->c;
	struct store_file *file;
	struct seal_ref ref;
	char name[STORE_NAME_MAX];

	pageio_name(x->at->object, 0, name);
	int err = c->store->ops->open(c->store, name, STORE_RDONLY, &file);
	if (!err)
		c->store->ops->close(c->store, file);
	if (err != -ENOENT || pagemap_has_object(c->io.map, x->at->object))
		return false;
	return follow_locate(x->s->w, x->at, x->at->height, 0, &ref) == 0;
}

static void subject_bad(void *arg, uint64_t first, uint64_t last, bool index, int err)
{
	struct subject *x = arg;
	struct inode *i;
	char name[STORE_NAME_MAX];

	if (x->at->moved && !follow_record(x->s->w, x->ino, &i)) {
		x->size = i->size;
		x->xattr_len = i->xattr_len;
		follow_record_done(i);
	}
	if (first == 0 && is_missing(x)) {
		pageio_name(x->at->object, 0, name);
		check_say_inode(x->s->cc, 0, "%s: its lower file %s is missing", x->what, name);
	}
	check_say_bad(x->s->cc, 0, x->what, x->at->xattr ? x->xattr_len : x->size, &(struct check_range){ first, last },
		      index, err, REPAIR_NONE);
}

static int subject_page(void *arg, uint64_t leaf, const uint8_t *plain)
{
	struct subject *x = arg;

	if (x->type == S_IFDIR && !x->at->xattr && dir_check_page(plain, leaf, NULL, NULL))
		check_say_inode(x->s->cc, 0, "directory: page %llu is malformed: names may be lost",
				(unsigned long long)leaf);
	return 0;
}

static int scrub_tree(struct subject *x, struct follow_tree *t, const char *what)
{
	struct check_scrub_walk w = { .s = x->s, .t = t, .page = subject_page, .bad = subject_bad, .arg = x };

	x->at = t;
	x->what = what;
	int err = check_scrub_walk(&w);
	/* All of it was of one commit, that of the record: then its count must be right. */
	if (!err && t->object && !t->xattr && !t->moved && !w.unsure && w.stored != x->stored)
		check_say_inode(x->s->cc, 0, "%s: its record says that %llu pages are stored, but %llu are", what,
				(unsigned long long)x->stored, (unsigned long long)w.stored);
	return err;
}

static void take_subject(struct check_scrub *s, struct inode *i, struct subject *ret)
{
	*ret = (struct subject){
		.s = s, .ino = i->ino, .size = i->size, .stored = i->stored, .type = i->type, .xattr_len = i->xattr_len
	};
	follow_tree_of(i, false, &ret->data);
	follow_tree_of(i, true, &ret->xattr);
	s->ino = i->ino;
	s->unlinked = i->nlink == 0;
	follow_record_done(i);
}

/* Takes over i. */
static int scrub_inode(struct check_scrub *s, struct inode *i)
{
	struct subject x;
	int err = 0;

	for (unsigned again = 0; i && !err; again++) {
		take_subject(s, i, &x);
		i = NULL;
		err = scrub_tree(&x, &x.data,
				 x.type == S_IFDIR   ? "directory"
				 : x.type == S_IFLNK ? "link target"
						     : "contents");
		if (!err)
			err = scrub_tree(&x, &x.xattr, "attribute list");
		bool gone = x.data.gone || x.xattr.gone;
		follow_tree_done(&x.data);
		follow_tree_done(&x.xattr);
		if (err || !gone || again == REWRITTEN_MAX)
			break;
		/*
		 * It was given new contents, or it is no more. Damage in the table was told, or will be by the next
		 * scrub.
		 */
		int e = follow_record(s->w, x.ino, &i);
		if (e)
			i = NULL;
		if (check_is_ours(e) || e == -ESTALE)
			err = e;
	}
	return err ? err : s->no_memory ? -ENOMEM : 0;
}

static int scrub_record(struct check_scrub *s, uint64_t ino, const uint8_t *record)
{
	struct inode *i = NULL;
	int err = record ? follow_decode(s->w, ino, record, &i) : follow_record(s->w, ino, &i);

	s->ino = ino;
	s->unlinked = false;
	if (err == -EUCLEAN)
		check_say_inode(s->cc, 0, "its record in the inode table is malformed: what it held is lost");
	if (check_is_ours(err) || err == -ESTALE)
		return err;
	return err ? 0 : scrub_inode(s, i);
}

/* The inodes of a page of the table. */
static int scrub_leaf(struct check_scrub *s, uint64_t leaf)
{
	uint8_t page[CL_PAGE];
	uint64_t first = leaf * INODE_PER_PAGE;
	int err = follow_records(s->w, first, page);
	uint64_t commit = s->w->next;

	if (check_is_ours(err) || err == -ESTALE)
		return err;
	if (err == -EAGAIN)
		s->restless++;
	else if (err && err != -ENOENT && !check_is_lost(s->cc, first)) /* it was good a moment ago */
		check_say_lost(s->cc, "inode table", &(struct check_range){ leaf, leaf }, INODE_PER_PAGE, false, err, NULL);
	if (err)
		return 0;
	for (uint64_t n = 0; n < INODE_PER_PAGE && !err; n++)
		err = scrub_record(s, first + n, s->w->next == commit ? page + n * INODE_RECORD : NULL);
	secret_wipe(page, sizeof page);
	return err;
}

static int scrub_all(struct check_scrub *s)
{
	int err = 0;

	for (unsigned copy = 0; copy < 2 && !err; copy++)
		err = scrub_header(s, copy);
	for (unsigned copy = 0; copy < 2 && !err; copy++)
		err = scrub_root(s, copy);
	if (!err)
		err = scrub_special(s, PAGEIO_OBJ_INODES, "inode table", INODE_PER_PAGE);
	if (!err)
		err = scrub_special(s, PAGEIO_OBJ_IBITMAP, "inode bitmap", INODES_PER_BITMAP_PAGE);
	if (!err)
		err = scrub_special(s, PAGEIO_OBJ_ORPHANS, "orphan bitmap", INODES_PER_BITMAP_PAGE);
	/* What is made from now on is not for this scrub: else it might never end. */
	uint64_t limit = s->w->c->inode_limit;
	for (uint64_t leaf = 0; leaf * INODE_PER_PAGE < limit && !err; leaf++) {
		err = scrub_leaf(s, leaf);
		if (!err && s->n_found > CHECK_SCRUB_FOUND_MAX / 2)
			err = check_scrub_tell(s);
	}
	int told = check_is_ours(err) ? 0 : check_scrub_tell(s);
	return err ? err : told;
}

static int end(struct check_scrub *s, int err, struct fault *f)
{
	struct check_comp *cc = s->cc;

	if (err == -ESTALE) {
		check_say(cc, CHECK_ERROR,
			  "%s: so it cannot be followed while it is mounted; what had not been reached was "
			  "not checked",
			  s->w->root_bad
				  ? "its newest root page does not authenticate, or does not belong to its journal"
				  : "a record or the header of its journal is damaged");
		return 0;
	}
	if (err)
		return fault_set(f, err, CL_EXIT_FAILED, "compartment %s: cannot go on checking: %s", cc->name,
				 strerror(-err));
	if (s->restless)
		check_say(cc, CHECK_NOTE, "%llu page%s changed each time before they could be verified: not checked",
			  (unsigned long long)s->restless, s->restless == 1 ? "" : "s");
	check_say(cc, CHECK_NOTE,
		  "is in use: its pages were verified as they were committed; names and links, bitmaps and counts "
		  "against each "
		  "other are checked only while it is not");
	return 0;
}

int check_scrub(struct check_comp *cc, struct fault *f)
{
	struct check_scrub *s = calloc(1, sizeof *s);
	struct fault why = { 0 };

	if (!s)
		return fault_set(f, -ENOMEM, CL_EXIT_FAILED, "out of memory");
	s->cc = cc;
	int err = follow_open(cc->k->volume, cc->fc, &cc->k->cfg, &s->w, &why);
	if (check_is_ours(err)) {
		*f = why;
		goto out;
	}
	if (err) {
		check_say(cc, CHECK_ERROR, "its contents cannot be checked: %s",
			  why.text[0] ? why.text : strerror(-err));
		err = 0;
		goto out;
	}
	cc->c = s->w->c;
	cc->scrub = s;
	err = end(s, scrub_all(s), f);
	cc->c = NULL;
	cc->scrub = NULL;
	follow_close(s->w);
out:
	for (size_t i = 0; i < s->n_found; i++) {
		free(s->found[i].text);
		free(s->found[i].name);
	}
	free(s);
	return err;
}
