/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Steps: what each does in the engine, and in the reference when that worked. */
#include "tests/fault/steps.h"

#include "fs/fs_private.h"
#include "fs/txn.h"

#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define DATA_MAX ((size_t)2 << 20)

static const struct fs_cred cred = { 0, 0, 0 };

const char *step_name(enum step_op op)
{
	static const char *const names[STEP_OPS] = {
		"", "make", "mkdir", "symlink", "make many", "write", "append", "truncate", "punch", "allocate", "rename", "exchange",
		"link", "unlink", "rmdir", "unlink many", "set attribute of", "remove attribute of", "chmod", "open", "close", "tmpfile in",
		"copy", "fsync", "sync", "checkpoint", "tick", "read", "open the volume", "crash", "fsck", "close the volume",
	};
	return names[op];
}

bool step_is_sync(enum step_op op)
{
	return op == STEP_FSYNC || op == STEP_SYNC || op == STEP_CHECKPOINT;
}

bool step_changes(enum step_op op)
{
	return op < STEP_OPEN ? op != STEP_END : op == STEP_TMPFILE || op == STEP_COPY || step_is_sync(op);
}

/* An object of both trees. */
struct both {
	uint64_t ino;
	struct ref_inode *i;
};

static int find(struct run *r, const char *path, struct both *ret);

/* Directory of a path and the last part of it. */
static int find_parent(struct run *r, const char *path, struct both *ret, const char **ret_name)
{
	const char *slash = strrchr(path, '/');
	char dir[FS_NAME_MAX + 1] = "";

	*ret_name = slash ? slash + 1 : path;
	if (slash)
		memcpy(dir, path, (size_t)(slash - path));
	return find(r, dir, ret);
}

/* "#0" is what is open in place 0, "" the root. What is looked up is forgotten at once: nothing else uses the volume. */
static int find(struct run *r, const char *path, struct both *ret)
{
	struct both dir = { 0 };
	struct fs_attr a;
	const char *name;

	*ret = (struct both){ 0 };
	if (!*path) {
		*ret = (struct both){ FS_ROOT, r->ref->root };
		return 0;
	}
	if (*path == '#') {
		if (!r->open[path[1] - '0'].i)
			return r->expected = -ENOENT;
		*ret = (struct both){ r->open[path[1] - '0'].ino, r->open[path[1] - '0'].i };
		return 0;
	}
	int err = find_parent(r, path, &dir, &name);
	if (!err)
		err = fs_lookup(r->fs, dir.ino, name, &a);
	struct ref_dirent *e = dir.i ? ref_find(dir.i, name) : NULL;
	if (dir.i && !e)
		r->expected = -ENOENT;
	if (err)
		return err;
	fs_forget(r->fs, a.ino, 1);
	if (!e)
		return -EILSEQ; /* the engine has a name that the reference has not */
	*ret = (struct both){ a.ino, e->to };
	return 0;
}

static int make(struct run *r, const char *path, uint32_t mode, const char *target)
{
	struct both dir;
	struct fs_attr a;
	const char *name;
	struct ref_inode *i;
	int err = find_parent(r, path, &dir, &name);

	if (!err)
		err = fs_make(r->fs, dir.ino, name, mode, target, &cred, &a);
	if (err)
		return err;
	fs_forget(r->fs, a.ino, 1);
	err = ref_make(r->ref, dir.i, name, mode, target, &cred, &i);
	if (!err)
		past_adopt(r->past, i);
	return err;
}

static int drop(struct run *r, const char *path, bool is_dir)
{
	struct both dir;
	const char *name;
	int err = find_parent(r, path, &dir, &name);

	struct ref_dirent *e = err ? NULL : ref_find(dir.i, name);
	if (!err)
		r->expected = !e ? -ENOENT : e->to->n_entries ? -ENOTEMPTY : 0;
	if (!err)
		err = is_dir ? fs_rmdir(r->fs, dir.ino, name) : fs_unlink(r->fs, dir.ino, name);
	return err ? err : ref_remove(r->ref, dir.i, name, is_dir);
}

static int move(struct run *r, const struct step *s, unsigned flags)
{
	struct both from, to;
	const char *a, *b;
	int err = find_parent(r, s->a, &from, &a);

	if (!err)
		err = find_parent(r, s->b, &to, &b);
	if (!err && (!ref_find(from.i, a) || (flags && !ref_find(to.i, b))))
		r->expected = -ENOENT;
	if (!err)
		err = fs_rename(r->fs, from.ino, a, to.ino, b, flags);
	return err ? err : ref_rename(r->ref, from.i, a, to.i, b, flags);
}

static int link_to(struct run *r, const struct step *s)
{
	struct both what, dir;
	struct fs_attr a;
	const char *name;
	int err = find(r, s->a, &what);

	if (!err)
		err = find_parent(r, s->b, &dir, &name);
	if (!err)
		err = fs_link(r->fs, what.ino, dir.ino, name, &a);
	if (err)
		return err;
	fs_forget(r->fs, a.ino, 1);
	return ref_link(r->ref, what.i, dir.i, name);
}

/* Data that is different in each operation. */
static void fill(uint8_t *buf, size_t n, uint64_t seed)
{
	for (size_t k = 0; k < n; k++) {
		if (k % 8 == 0)
			seed = seed * 0x9e3779b97f4a7c15u + 0xd1b54a32d192ed03u;
		buf[k] = (uint8_t)(seed >> (k % 8 * 8 / 2 + 16));
	}
}

static void copy_file(struct ref *to_tree, struct ref_inode *to, const struct ref_inode *from)
{
	int err = ref_truncate(to_tree, to, 0);

	for (size_t k = 0; k < from->n_pages && !err; k++)
		err = ref_write(to_tree, to, from->pages[k].data, CL_PAGE, from->pages[k].no * CL_PAGE, false) < 0 ? -EIO : 0;
	if (err || ref_truncate(to_tree, to, from->size))
		abort();
}

static const uint8_t *page_of(const struct ref_inode *i, uint64_t no)
{
	static const uint8_t zero[CL_PAGE];
	const uint8_t *p = ref_page(i, no);
	return p ? p : zero;
}

/* The page is that of one of the two, or, where a write ended between two of its parts, new up to there and then old. */
static bool is_page_of(const uint8_t *is, const uint8_t *old, const uint8_t *new)
{
	size_t k = 0;

	while (k < CL_PAGE && is[k] == new[k])
		k++;
	return !memcmp(is + k, old + k, CL_PAGE - k) || !memcmp(is, old, CL_PAGE);
}

/* Each page of is, and its size, are of one of the two. */
static bool is_mixture(const struct ref_inode *is, const struct ref_inode *old, const struct ref_inode *new)
{
	const struct ref_inode *all[] = { is, old, new };

	if (is->size < CL_MIN(old->size, new->size) || is->size > CL_MAX(old->size, new->size))
		return false;
	for (size_t f = 0; f < CL_ARRAY_LEN(all); f++)
		for (size_t k = 0; k < all[f]->n_pages; k++) {
			uint64_t no = all[f]->pages[k].no;
			if (no * CL_PAGE < is->size && !is_page_of(page_of(is, no), page_of(old, no), page_of(new, no)))
				return false;
		}
	return true;
}

/*
 * An operation on contents has failed, or was done in part: what the file has now is a mixture, page by page, of before (old) and after
 * (the reference has it done). That is what it is from now on.
 */
static int adopt_mixture(struct run *r, const struct both *f, struct ref *side, const struct ref_inode *old)
{
	struct ref_inode *is;
	int err = ref_make(side, side->root, "is", S_IFREG | 0600, NULL, &cred, &is);

	r->trouble->pause(r->trouble, true);
	if (!err)
		err = past_read_back(r->fs, f->ino, side, is);
	r->trouble->pause(r->trouble, false);
	if (!err && !is_mixture(is, old, f->i))
		err = -EILSEQ;
	if (!err)
		copy_file(r->ref, f->i, is);
	return err;
}

/* What an operation on contents does in the reference; every state in between that the engine may have committed is noted. */
static int data_in_ref(struct run *r, const struct step *s, struct ref_inode *i, const uint8_t *buf)
{
	size_t chunk = (size_t)fs_own(r->fs)->op_pages * CL_PAGE;
	uint64_t off = s->op == STEP_APPEND ? i->size : s->off;
	int err = 0;

	switch (s->op) {
	case STEP_WRITE: case STEP_APPEND:
		for (size_t at = 0; at < s->len && !err; at += chunk) {
			size_t n = CL_MIN(chunk, s->len - at);
			err = ref_write(r->ref, i, buf + at, n, off + at, false) == (ssize_t)n ? 0 : -EFBIG;
			if (at + n < s->len)
				past_contents(r->past, i);
		}
		return err;
	case STEP_TRUNCATE:
		return ref_truncate(r->ref, i, s->len);
	case STEP_PUNCH:
		return ref_fallocate(r->ref, i, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, s->off, s->len);
	default:
		return ref_fallocate(r->ref, i, 0, s->off, s->len);
	}
}

/* Bytes, or negative errno. */
static ssize_t data_in_engine(struct run *r, const struct step *s, uint64_t ino, const uint8_t *buf)
{
	struct fs_attr a = { .size = s->len };

	switch (s->op) {
	case STEP_WRITE: /* as the kernel writes its cache back */
		return fs_write(r->fs, ino, buf, s->len, s->off, FS_WRITE_CACHED);
	case STEP_APPEND:
		return fs_write(r->fs, ino, buf, s->len, 0, FS_WRITE_APPEND);
	case STEP_TRUNCATE:
		return fs_setattr(r->fs, ino, FS_SET_SIZE, &a, &a);
	case STEP_PUNCH:
		return fs_fallocate(r->fs, ino, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, s->off, s->len);
	default:
		return fs_fallocate(r->fs, ino, 0, s->off, s->len);
	}
}

static int change_data(struct run *r, const struct step *s)
{
	static uint8_t buf[DATA_MAX];
	struct ref_inode *old;
	struct both f;
	int err = find(r, s->a, &f);

	if (err)
		return err;
	struct ref *side = ref_new(0755);
	side->blind = true;
	err = ref_make(side, side->root, "old", S_IFREG | 0600, NULL, &cred, &old);
	if (err)
		abort();
	copy_file(side, old, f.i);
	bool write = s->op == STEP_WRITE || s->op == STEP_APPEND;
	if (write)
		fill(buf, s->len, r->n_ops);
	ssize_t done = data_in_engine(r, s, f.ino, buf);
	err = data_in_ref(r, s, f.i, buf);
	if (s->op == STEP_WRITE && done >= 0 && (size_t)done < s->len)
		err = -EILSEQ; /* all or an error */
	if (!err && (done < 0 || (write && (size_t)done < s->len))) {
		err = adopt_mixture(r, &f, side, old);
		if (!err) /* a short write: the next call would have brought the error */
			err = done < 0 ? (int)done : -r->trouble->err;
	}
	past_contents(r->past, f.i);
	ref_free(side);
	return err;
}

static int copy(struct run *r, const struct step *s)
{
	struct both from, to;
	int err = find(r, s->a, &from);

	if (!err)
		err = find(r, s->b, &to);
	if (err)
		return err;
	ssize_t done = fs_copy(r->fs, from.ino, 0, to.ino, 0, s->len);
	if (done < 0)
		return (int)done;
	/* Whatever came over. */
	size_t chunk = (size_t)fs_own(r->fs)->op_pages * CL_PAGE;
	for (size_t at = 0; at < (size_t)done; at += chunk) {
		size_t n = CL_MIN(chunk, (size_t)done - at);
		if (ref_copy(r->ref, from.i, at, to.i, at, n) != (ssize_t)n)
			return -EILSEQ;
		past_contents(r->past, to.i);
	}
	return (uint64_t)done < CL_MIN(s->len, from.i->size) ? -r->trouble->err : 0;
}

static int set_xattr(struct run *r, const struct step *s)
{
	static uint8_t value[FS_XATTR_VALUE_MAX];
	struct both f;
	int err = find(r, s->a, &f);

	fill(value, s->len, r->n_ops);
	if (!err)
		err = fs_setxattr(r->fs, f.ino, s->b, value, s->len, 0);
	return err ? err : ref_setxattr(r->ref, f.i, s->b, value, s->len, 0);
}

static int remove_xattr(struct run *r, const struct step *s)
{
	struct both f;
	int err = find(r, s->a, &f);

	if (!err && !ref_xattr_find(f.i, s->b))
		r->expected = -ENODATA;
	if (!err)
		err = fs_removexattr(r->fs, f.ino, s->b);
	return err ? err : ref_removexattr(r->ref, f.i, s->b);
}

static int change_mode(struct run *r, const struct step *s)
{
	struct both f;
	struct fs_attr a = { .mode = (uint32_t)s->len };
	int err = find(r, s->a, &f);

	if (!err)
		err = fs_setattr(r->fs, f.ino, FS_SET_MODE, &a, &a);
	a.mode = (uint32_t)s->len;
	return err ? err : ref_setattr(r->ref, f.i, FS_SET_MODE, &a);
}

static int open_file(struct run *r, const struct step *s)
{
	struct both f;
	int err = find(r, s->a, &f);

	if (!err)
		err = fs_open_file(r->fs, f.ino, true, false);
	if (err)
		return err;
	f.i->opens++;
	r->open[s->off].i = f.i;
	r->open[s->off].ino = f.ino;
	return 0;
}

static int close_file(struct run *r, const struct step *s)
{
	struct ref_inode *i = r->open[s->off].i;

	if (!i)
		return r->expected = -ENOENT;
	fs_close_file(r->fs, r->open[s->off].ino);
	i->opens--;
	ref_reap(r->ref, i);
	r->open[s->off].i = NULL;
	return 0;
}

static int make_unnamed(struct run *r, const struct step *s)
{
	struct both dir;
	struct fs_attr a;
	int err = find(r, s->a, &dir);

	if (!err)
		err = fs_tmpfile(r->fs, dir.ino, 0600, &cred, &a);
	if (err)
		return err;
	err = fs_open_file(r->fs, a.ino, true, false);
	fs_forget(r->fs, a.ino, 1);
	if (err)
		return err;
	struct ref_inode *i;
	err = ref_tmpfile(r->ref, dir.i, 0600, &cred, &i);
	if (err)
		return err;
	i->opens++;
	past_adopt(r->past, i);
	r->open[s->off].i = i;
	r->open[s->off].ino = a.ino;
	return 0;
}

static int sync_file(struct run *r, const struct step *s)
{
	struct both f;
	int err = find(r, s->a, &f);

	return err ? err : fs_fsync(r->fs, f.ino, false);
}

static int read_file(struct run *r, const struct step *s)
{
	struct both f;
	struct fs_attr a;
	struct ref_inode *is;
	int err = find(r, s->a, &f);

	if (!err)
		err = fs_getattr(r->fs, f.ino, &a);
	if (err)
		return err;
	struct ref *side = ref_new(0755);
	side->blind = true;
	if (ref_make(side, side->root, "is", S_IFREG | 0600, NULL, &cred, &is))
		abort();
	err = past_read_back(r->fs, f.ino, side, is);
	if (!err && (is->size != f.i->size || !is_mixture(is, f.i, f.i)))
		err = -EILSEQ;
	ref_free(side);
	return err;
}

int step_do(struct run *r, const struct step *s)
{
	int err;

	switch (s->op) {
	case STEP_MAKE:
		err = make(r, s->a, S_IFREG | 0644, NULL);
		break;
	case STEP_MKDIR:
		err = make(r, s->a, S_IFDIR | 0755, NULL);
		break;
	case STEP_SYMLINK:
		err = make(r, s->a, S_IFLNK | 0777, s->b);
		break;
	case STEP_WRITE: case STEP_APPEND: case STEP_TRUNCATE: case STEP_PUNCH: case STEP_ALLOCATE:
		err = change_data(r, s);
		break;
	case STEP_RENAME:
		err = move(r, s, 0);
		break;
	case STEP_EXCHANGE:
		err = move(r, s, RENAME_EXCHANGE);
		break;
	case STEP_LINK:
		err = link_to(r, s);
		break;
	case STEP_UNLINK: case STEP_RMDIR:
		err = drop(r, s->a, s->op == STEP_RMDIR);
		break;
	case STEP_SETXATTR:
		err = set_xattr(r, s);
		break;
	case STEP_REMOVEXATTR:
		err = remove_xattr(r, s);
		break;
	case STEP_CHMOD:
		err = change_mode(r, s);
		break;
	case STEP_OPEN:
		err = open_file(r, s);
		break;
	case STEP_CLOSE:
		err = close_file(r, s);
		break;
	case STEP_TMPFILE:
		err = make_unnamed(r, s);
		break;
	case STEP_COPY:
		err = copy(r, s);
		break;
	case STEP_FSYNC:
		err = sync_file(r, s);
		break;
	case STEP_SYNC:
		err = fs_sync(r->fs);
		break;
	case STEP_CHECKPOINT:
		err = fs_sync(r->fs);
		if (!err)
			err = txn_checkpoint(fs_own(r->fs));
		break;
	case STEP_TICK:
		err = fs_tick(r->fs);
		break;
	case STEP_READ:
		err = read_file(r, s);
		break;
	default:
		abort();
	}
	ref_bury(r->ref);
	return err;
}

void step_synced(struct run *r, const struct step *s)
{
	struct both f;

	if (s->op == STEP_FSYNC) {
		r->trouble->pause(r->trouble, true);
		if (!find(r, s->a, &f))
			past_synced(r->past, f.i);
		r->trouble->pause(r->trouble, false);
	} else {
		past_synced(r->past, NULL);
	}
}

void step_run(struct run *r, const struct step *s)
{
	if (s->op != STEP_MANY && s->op != STEP_UNLINK_MANY) {
		run_op(r, s);
		return;
	}
	for (unsigned k = 0; k < s->len && !r->bad; k++) {
		char path[FS_NAME_MAX + 64];
		snprintf(path, sizeof path, "%s%03u", s->a, k);
		run_op(r, &(struct step){ s->op == STEP_MANY ? STEP_MAKE : STEP_UNLINK, path, NULL, 0, 0 });
	}
}
