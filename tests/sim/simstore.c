/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The store's calls on the simulated disk. */
#include "tests/model/ref.h"
#include "tests/sim/simnode.h"

#include <stdlib.h>
#include <string.h>

struct simstore {
	struct store base;
	struct simdisk *disk;
	uint32_t dir;
};

/* What a caller holds as an open file. */
struct simfile {
	uint32_t node;
};

static const struct store_ops sim_ops;

static struct simstore *of(struct store *s)
{
	return (struct simstore *)(void *)s;
}

static uint32_t node_of(struct store_file *f)
{
	return ((struct simfile *)(void *)f)->node;
}

static struct sim_node *file_of(struct store *s, struct store_file *f)
{
	return &of(s)->disk->now.v[node_of(f)];
}

/* Folder and last part of a name; SIM_NOBODY: there is no such folder. */
static uint32_t folder_of(struct store *s, const char *name, const char **ret_last)
{
	const char *slash = strchr(name, '/');
	char first[SIM_NAME] = "";

	*ret_last = slash ? slash + 1 : name;
	if (!slash)
		return of(s)->dir;
	memcpy(first, name, CL_MIN((size_t)(slash - name), sizeof first - 1));
	uint32_t dir = simnode_find(&of(s)->disk->now, of(s)->dir, first);
	return dir != SIM_NOBODY && of(s)->disk->now.v[dir].is_dir ? dir : SIM_NOBODY;
}

/* An operation on a name. */
static void name_op(struct store *s, enum sim_kind kind, uint32_t dir, const char *name, const char *to, uint32_t child)
{
	struct sim_op op = { .kind = kind, .node = dir, .child = child };

	if (child != SIM_NOBODY)
		op.folder = of(s)->disk->now.v[child].is_dir;
	strncpy(op.name, name, SIM_NAME - 1);
	if (to)
		strncpy(op.to, to, SIM_NAME - 1);
	simdisk_do(of(s)->disk, &op);
}

static void file_op(struct store *s, enum sim_kind kind, uint32_t node, uint64_t off, uint64_t len)
{
	simdisk_do(of(s)->disk, &(struct sim_op){ .kind = kind, .node = node, .off = off, .len = len });
}

static int sim_open(struct store *s, const char *name, int flags, struct store_file **ret)
{
	const char *last;
	uint32_t dir = folder_of(s, name, &last);
	uint32_t node = dir == SIM_NOBODY ? SIM_NOBODY : simnode_find(&of(s)->disk->now, dir, last);

	if (dir == SIM_NOBODY || (node == SIM_NOBODY && !(flags & STORE_CREATE)))
		return -ENOENT;
	if (node != SIM_NOBODY && flags & STORE_EXCL)
		return -EEXIST;
	if (node != SIM_NOBODY && of(s)->disk->now.v[node].is_dir)
		return -EUCLEAN;
	if (node == SIM_NOBODY && of(s)->disk->full)
		return -ENOSPC;
	if (node == SIM_NOBODY) {
		node = simnode_new(&of(s)->disk->now, false);
		name_op(s, SIM_LINK, dir, last, NULL, node);
	}
	struct simfile *f = ref_alloc(sizeof *f);
	f->node = node;
	*ret = (struct store_file *)(void *)f;
	return 0;
}

static void sim_close(struct store *s, struct store_file *f)
{
	(void)s;
	free(f);
}

static int sim_pread(struct store *s, struct store_file *f, void *buf, size_t n, uint64_t off, size_t *ret_got)
{
	uint64_t size = file_of(s, f)->size;

	*ret_got = off >= size ? 0 : (size_t)CL_MIN(n, size - off);
	simnode_read(&of(s)->disk->now, node_of(f), buf, *ret_got, off);
	return 0;
}

static int sim_pwritev(struct store *s, struct store_file *f, struct iovec *iov, int n, uint64_t off)
{
	struct sim_op op = { .kind = SIM_WRITE, .node = node_of(f), .off = off };

	for (int k = 0; k < n; k++)
		op.len += iov[k].iov_len;
	if (of(s)->disk->full && !simnode_has(&of(s)->disk->now, op.node, off, op.len))
		return -ENOSPC;
	op.data = ref_alloc(sizeof *op.data + op.len);
	op.data->refs = 1;
	uint8_t *to = op.data->bytes;
	for (int k = 0; k < n; k++) {
		memcpy(to, iov[k].iov_base, iov[k].iov_len);
		to += iov[k].iov_len;
	}
	simdisk_do(of(s)->disk, &op);
	return 0;
}

static int sim_pwrite(struct store *s, struct store_file *f, const void *buf, size_t n, uint64_t off)
{
	return sim_pwritev(s, f, &(struct iovec){ (void *)(uintptr_t)buf, n }, 1, off);
}

static int sim_sync(struct store *s, struct store_file *f)
{
	file_op(s, SIM_SYNC, node_of(f), 0, 0);
	return 0;
}

static int sim_sync_dir(struct store *s, const char *name)
{
	uint32_t dir = simnode_find(&of(s)->disk->now, of(s)->dir, name);

	if (dir == SIM_NOBODY)
		return -ENOENT;
	file_op(s, SIM_SYNC_DIR, dir, 0, 0);
	return 0;
}

static int sim_sync_all(struct store *s)
{
	file_op(s, SIM_SYNC_ALL, of(s)->dir, 0, 0);
	return 0;
}

static int sim_size(struct store *s, struct store_file *f, uint64_t *ret)
{
	*ret = file_of(s, f)->size;
	return 0;
}

static int sim_truncate(struct store *s, struct store_file *f, uint64_t len)
{
	if (len > (uint64_t)1 << 60)
		return -EFBIG;
	file_op(s, SIM_TRUNCATE, node_of(f), 0, len);
	return 0;
}

static int sim_punch(struct store *s, struct store_file *f, uint64_t off, uint64_t len)
{
	file_op(s, SIM_PUNCH, node_of(f), off, len);
	return 0;
}

static int sim_allocate(struct store *s, struct store_file *f, uint64_t off, uint64_t len)
{
	(void)s;
	(void)f;
	(void)off;
	(void)len;
	return 0; /* changes no byte and no size */
}

static int remove_name(struct store *s, const char *name, bool is_dir)
{
	const struct sim_nodes *t = &of(s)->disk->now;
	const char *last;
	uint32_t dir = folder_of(s, name, &last);
	uint32_t node = dir == SIM_NOBODY ? SIM_NOBODY : simnode_find(t, dir, last);

	if (node == SIM_NOBODY)
		return -ENOENT;
	if (t->v[node].is_dir != is_dir)
		return is_dir ? -ENOTDIR : -EISDIR;
	if (t->v[node].n_entries)
		return -ENOTEMPTY;
	name_op(s, SIM_UNLINK, dir, last, NULL, SIM_NOBODY);
	return 0;
}

static int sim_unlink(struct store *s, const char *name)
{
	return remove_name(s, name, false);
}

static int sim_rmdir(struct store *s, const char *name)
{
	return remove_name(s, name, true);
}

static int sim_rename(struct store *s, const char *from, const char *to)
{
	const char *last_from, *last_to;
	uint32_t a = folder_of(s, from, &last_from), b = folder_of(s, to, &last_to);
	uint32_t node = a == SIM_NOBODY ? SIM_NOBODY : simnode_find(&of(s)->disk->now, a, last_from);

	if (node == SIM_NOBODY || b == SIM_NOBODY)
		return -ENOENT;
	if (a != b)
		return -EXDEV; /* nobody does that, so the disk knows only names within one folder */
	name_op(s, SIM_RENAME, a, last_from, last_to, node);
	return 0;
}

static int sim_mkdir(struct store *s, const char *name)
{
	const char *last;
	uint32_t dir = folder_of(s, name, &last);

	if (dir == SIM_NOBODY)
		return -ENOENT;
	if (simnode_find(&of(s)->disk->now, dir, last) != SIM_NOBODY)
		return -EEXIST;
	name_op(s, SIM_LINK, dir, last, NULL, simnode_new(&of(s)->disk->now, true));
	return 0;
}

static int sim_list(struct store *s, const char *name, int (*fn)(void *arg, const char *name, bool is_dir), void *arg)
{
	const struct sim_nodes *t = &of(s)->disk->now;
	uint32_t dir = simnode_find(t, of(s)->dir, name);
	int err = 0;

	if (dir == SIM_NOBODY)
		return -ENOENT;
	/* fn may remove what it is given: from the end, because the last entry takes the place of one that goes. */
	for (size_t k = t->v[dir].n_entries; k > 0 && !err; k--) {
		struct sim_entry e = t->v[dir].entries[k - 1];
		err = fn(arg, e.name, t->v[e.node].is_dir);
	}
	return err;
}

static int sim_space(struct store *s, struct store_space *ret)
{
	uint64_t left = of(s)->disk->full ? 0 : 1u << 23;

	*ret = (struct store_space){ CL_PAGE, 1u << 24, left, left };
	return 0;
}

static int sim_lock(struct store *s, struct store_file *f, enum store_lock how)
{
	(void)s;
	(void)f;
	(void)how;
	return 0;
}

static struct store *wrap(struct simdisk *d, uint32_t dir)
{
	struct simstore *s = ref_alloc(sizeof *s);

	s->base.ops = &sim_ops;
	s->disk = d;
	s->dir = dir;
	return &s->base;
}

static int sim_sub(struct store *s, const char *name, struct store **ret)
{
	uint32_t dir = simnode_find(&of(s)->disk->now, of(s)->dir, name);

	if (dir == SIM_NOBODY)
		return -ENOENT;
	if (!of(s)->disk->now.v[dir].is_dir)
		return -EUCLEAN;
	*ret = wrap(of(s)->disk, dir);
	return 0;
}

static void sim_free(struct store *s)
{
	free(s);
}

static const struct store_ops sim_ops = {
	.open = sim_open,
	.close = sim_close,
	.pread = sim_pread,
	.pwrite = sim_pwrite,
	.pwritev = sim_pwritev,
	.sync = sim_sync,
	.sync_dir = sim_sync_dir,
	.sync_all = sim_sync_all,
	.size = sim_size,
	.truncate = sim_truncate,
	.punch = sim_punch,
	.allocate = sim_allocate,
	.unlink = sim_unlink,
	.rename = sim_rename,
	.mkdir = sim_mkdir,
	.rmdir = sim_rmdir,
	.list = sim_list,
	.space = sim_space,
	.lock = sim_lock,
	.sub = sim_sub,
	.free = sim_free,
};

struct store *simdisk_store(struct simdisk *d)
{
	return wrap(d, 0);
}
