/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A session: opening, closing, the background thread, and what all requests share. */
#include "fs/fs_private.h"

#include "common/log.h"
#include "fs/dir.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define TICK_MS 250

struct comp *fs_comp(const struct fs *fs, uint64_t ino)
{
	unsigned rank = (unsigned)(ino >> FS_INO_BITS);

	for (size_t i = 0; i < fs->n; i++)
		if (fs->comps[i]->rank == rank)
			return fs->comps[i];
	return NULL;
}

struct comp *fs_comp_by_id(const struct fs *fs, const uint8_t id[static 16])
{
	for (size_t i = 0; i < fs->n; i++)
		if (!memcmp(fs->comps[i]->id, id, 16))
			return fs->comps[i];
	return NULL;
}

int fs_inode(struct fs *fs, uint64_t ino, enum access_op op, struct inode **ret)
{
	struct comp *c = fs_comp(fs, ino);
	unsigned rank = (unsigned)(ino >> FS_INO_BITS);
	int err = access_check(op, fs->session, rank, rank);

	if (err)
		return err;
	if (!c)
		return -ESTALE;
	if (op != ACCESS_LOOK && op != ACCESS_READ && !c->writable)
		return -EROFS;
	err = inode_get(c, ino & (((uint64_t)1 << FS_INO_BITS) - 1), ret);
	return err == -ENOENT ? -ESTALE : err;
}

int fs_check_name(const char *name)
{
	size_t n = strnlen(name, FS_NAME_MAX + 1);

	if (n > FS_NAME_MAX)
		return -ENAMETOOLONG;
	if (n == 0 || memchr(name, '/', n))
		return -EINVAL;
	return strcmp(name, ".") && strcmp(name, "..") ? 0 : -EEXIST;
}

void fs_show(const struct fs *fs, const struct inode *i, struct fs_attr *ret)
{
	inode_attr(i, ret);
	if (ret->ino == FS_ROOT)
		ret->nlink -= CL_MIN(fs->hidden_gates, ret->nlink);
}

int fs_lock_dir(struct inode *dir)
{
	pthread_rwlock_rdlock(&dir->lock);
	if (!S_ISDIR(dir->mode)) {
		pthread_rwlock_unlock(&dir->lock);
		return dir->mode ? -ENOTDIR : -ESTALE;
	}
	if (dir_is_loaded(dir))
		return 0;
	pthread_rwlock_unlock(&dir->lock);
	pthread_rwlock_wrlock(&dir->lock);
	int err = dir->mode ? dir_load(dir) : -ESTALE;
	pthread_rwlock_unlock(&dir->lock);
	if (err)
		return err;
	pthread_rwlock_rdlock(&dir->lock);
	return 0;
}

int fs_orphan(struct inode *i)
{
	int err = inode_set_orphan(i, true);
	if (!err && !i->orphan_held) {
		inode_hold(i); /* stays in memory, so that the last forget or close finds it; fs_reap gives it back */
		i->orphan_held = true;
	}
	return err;
}

void fs_reap(struct inode *i)
{
	if (txn_begin_kind(i->comp, ROOM_FREE))
		return; /* read-only by now: recovery will do it */
	pthread_rwlock_wrlock(&i->lock);
	bool mine = i->mode && i->nlink == 0 && inode_is_unused(i);
	int err = mine ? inode_free_orphan(i) : 0;
	bool held = mine && !err && i->orphan_held;
	if (held)
		i->orphan_held = false;
	pthread_rwlock_unlock(&i->lock);
	txn_end(i->comp);
	if (err)
		log_err("compartment %s: inode %llu cannot be freed: %s", i->comp->io.name, (unsigned long long)i->ino,
			strerror(-err));
	else if (held)
		inode_put(i);
}

int fs_tick(struct fs *fs)
{
	return fs->read_only ? 0 : txn_tick(fs_own(fs), fs->commit_ms);
}

static void kick(void *arg)
{
	struct fs *fs = arg;

	pthread_mutex_lock(&fs->lock);
	fs->kicked = true;
	pthread_cond_signal(&fs->wake);
	pthread_mutex_unlock(&fs->lock);
}

static void *background(void *arg)
{
	struct fs *fs = arg;

	pthread_mutex_lock(&fs->lock);
	while (!fs->stop) {
		struct timespec until;
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_nsec += TICK_MS * 1000000L;
		if (until.tv_nsec >= 1000000000L) {
			until.tv_sec++;
			until.tv_nsec -= 1000000000L;
		}
		if (!fs->kicked)
			pthread_cond_timedwait(&fs->wake, &fs->lock, &until);
		fs->kicked = false;
		pthread_mutex_unlock(&fs->lock);
		/* What fails here is logged where it fails, and shown to the next fsync. */
		int err = fs_tick(fs);
		if (err)
			log_debug("background commit: %s", strerror(-err));
		pthread_mutex_lock(&fs->lock);
	}
	pthread_mutex_unlock(&fs->lock);
	return NULL;
}

static pthread_mutex_t seal_lock = PTHREAD_MUTEX_INITIALIZER;

int fs_init(struct fault *f)
{
	int err = 0;

	pthread_mutex_lock(&seal_lock);
	if (!seal_backend())
		err = seal_init();
	pthread_mutex_unlock(&seal_lock);
	return err ? fault_set(f, err, CL_EXIT_FAILED, "the cipher's self-test failed: this machine must not be used for this") : 0;
}

int fs_format(struct store *volume, const struct fs_compartment *c, size_t n, uint32_t uid, uint32_t gid,
	      const struct fs_config *cfg, struct fault *f)
{
	struct comp *lowest;
	int err = 0;

	if (n == 0)
		return fault_set(f, -EINVAL, CL_EXIT_USAGE, "a volume needs at least one label");
	err = fs_init(f);
	if (err)
		return err;
	for (size_t i = 0; i < n && !err; i++)
		err = comp_format(volume, &c[i], i ? 0700 : 0755, uid, gid, cfg, f);
	if (err || n == 1)
		return err;
	/* The upper compartments are there and durable; now the gates that lead to them. */
	err = comp_open(volume, &c[0], true, cfg, &lowest, f);
	if (err)
		return err;
	struct inode *root = NULL;
	err = txn_begin(lowest);
	if (!err) {
		err = inode_get(lowest, INODE_ROOT, &root);
		for (size_t i = 1; i < n && !err; i++) {
			err = fs_check_name(c[i].dir);
			if (!err)
				err = dir_load(root);
			if (!err)
				err = dir_add(root, c[i].dir, INODE_ROOT, 4 /* DT_DIR */, c[i].id);
			if (!err)
				root->nlink++;
		}
		inode_put(root);
		txn_end(lowest);
	}
	int err2 = comp_close(lowest);
	err = err ? err : err2;
	return err ? fault_set(f, err, CL_EXIT_FAILED, "cannot make the gates: %s", strerror(-err)) : 0;
}

/* Gates of the root directory that lead nowhere for this session. */
static int count_hidden(struct fs *fs)
{
	struct inode *root;
	struct dir_entry e = { 0 };
	int err;

	if (fs->comps[0]->rank != 0)
		return 0;
	err = inode_get(fs->comps[0], INODE_ROOT, &root);
	if (err == -EBADMSG || err == -EUCLEAN)
		return 0; /* damage is local: what else can be reached is served */
	if (err)
		return err;
	/* Gates are made first and never move: they are in the first pages. */
	for (uint64_t pos = 0; !(err = dir_next(root, pos, &e)); pos = e.pos + 1)
		if (e.is_gate && !fs_comp_by_id(fs, e.gate))
			fs->hidden_gates++;
	inode_put(root);
	return err == -ENOENT || err == -EBADMSG ? 0 : err; /* a damaged page costs its names, not the volume */
}

static void free_fs(struct fs *fs)
{
	pthread_mutex_destroy(&fs->lock);
	pthread_cond_destroy(&fs->wake);
	free(fs->comps);
	free(fs);
}

int fs_open(struct store *volume, const struct fs_compartment *c, size_t n, const struct fs_config *cfg, struct fs **ret,
	    struct fault *f)
{
	int err = fs_init(f);

	if (err)
		return err;
	struct fs *fs = calloc(1, sizeof *fs);
	struct comp **comps = calloc(n ? n : 1, sizeof(*comps));

	if (!fs || !comps || !n) {
		free(fs);
		free(comps);
		return fault_set(f, n ? -ENOMEM : -EINVAL, CL_EXIT_FAILED, n ? "out of memory" : "no compartment to open");
	}
	fs->comps = comps;
	fs->session = c[n - 1].rank;
	fs->read_only = cfg->read_only;
	fs->commit_ms = (int64_t)(cfg->commit_seconds ? cfg->commit_seconds : 5) * 1000;
	pthread_mutex_init(&fs->lock, NULL);
	pthread_cond_init(&fs->wake, NULL);
	for (; fs->n < n && !err; fs->n += !err)
		err = comp_open(volume, &c[fs->n], fs->n == n - 1, cfg, &comps[fs->n], f);
	if (!err) {
		err = count_hidden(fs);
		if (err)
			fault_set(f, err, CL_EXIT_FAILED, "cannot read the root directory: %s", strerror(-err));
	}
	if (!err && !cfg->no_threads && !cfg->read_only) {
		fs_own(fs)->kick = kick;
		fs_own(fs)->kick_arg = fs;
		err = -pthread_create(&fs->thread, NULL, background, fs);
		fs->has_thread = !err;
		if (err)
			fault_set(f, err, CL_EXIT_FAILED, "cannot start the background thread: %s", strerror(-err));
	}
	if (err) {
		for (size_t i = 0; i < fs->n; i++)
			if (comp_close(comps[i]))
				log_warn("closing after a failed open did not succeed");
		free_fs(fs);
		return err;
	}
	*ret = fs;
	return 0;
}

int fs_close(struct fs *fs)
{
	int err = 0;

	if (fs->has_thread) {
		pthread_mutex_lock(&fs->lock);
		fs->stop = true;
		pthread_cond_signal(&fs->wake);
		pthread_mutex_unlock(&fs->lock);
		pthread_join(fs->thread, NULL);
	}
	for (size_t i = fs->n; i > 0; i--) {
		int e = comp_close(fs->comps[i - 1]);
		err = err ? err : e;
	}
	free_fs(fs);
	seal_thread_done();
	return err;
}

bool fs_is_below(const struct fs *fs, uint64_t ino)
{
	return (ino >> FS_INO_BITS) < fs->session;
}

static uint64_t pages_of(const struct store_space *s, uint64_t blocks)
{
	return s->block >= CL_PAGE ? blocks * (s->block / CL_PAGE) : blocks / (CL_PAGE / CL_MAX(s->block, 1u));
}

int fs_statfs(struct fs *fs, struct fs_space *ret)
{
	struct comp *c = fs_own(fs);
	struct store_space s;
	int err = c->store->ops->space(c->store, &s);

	if (err)
		return err;
	pthread_mutex_lock(&c->alloc);
	uint64_t used = c->inodes_used;
	pthread_mutex_unlock(&c->alloc);
	/* What is promised to pages on their way home is nobody's to take. */
	uint64_t promised = pagemap_n_pending(c->io.map);
	ret->blocks = pages_of(&s, s.blocks);
	ret->bfree = pages_of(&s, s.bfree);
	ret->bfree -= CL_MIN(ret->bfree, promised);
	ret->bavail = pages_of(&s, s.bavail);
	ret->bavail = atomic_load(&c->full) ? 0 : ret->bavail - CL_MIN(ret->bavail, promised);
	ret->ffree = INODE_MAX - used;
	ret->files = INODE_MAX;
	/* What programs can make of it: not more than there is room for records. */
	ret->ffree = CL_MIN(ret->ffree, ret->bfree * INODE_PER_PAGE);
	ret->files = used + ret->ffree;
	return 0;
}

void fs_get_stats(struct fs *fs, struct fs_stats *ret)
{
	*ret = (struct fs_stats){ 0 };
	for (size_t i = 0; i < fs->n; i++) {
		struct comp *c = fs->comps[i];
		ret->commits += atomic_load(&c->commits);
		ret->checkpoints += atomic_load(&c->checkpoints);
		ret->cached_pages += node_cache_count(c->nodes);
		ret->pending_pages += pagemap_n_pending(c->io.map);
		ret->healed_pages += atomic_load(&c->io.healed);
		ret->damaged_pages += atomic_load(&c->io.damaged);
		ret->inodes += inode_cache_count(c->inodes);
	}
}
