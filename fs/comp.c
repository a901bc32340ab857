/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A compartment: opening, recovery, closing, and its root page (doc/FORMAT section 4). */
#include "fs/comp.h"

#include "common/lock.h"
#include "common/log.h"
#include "fs/dir.h"
#include "fs/rule.h"
#include "fs/txn.h"
#include "keyring/keyring.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define ROOT_AAD 40u
#define ROOT_PLAIN 3968u
#define ROOT_CLEAN 1u

struct disk_tree {
	le64 object;
	uint8_t height;
	uint8_t zero[7];
	struct seal_ref root;
	uint8_t key[SEAL_KEY_LEN];
	uint8_t zero2[8];
};
static_assert(sizeof(struct disk_tree) == 88, "a tree is 88 bytes");

struct disk_root {
	le64 txn, anchor, generation, next_object, flags, inodes_used, inode_limit, orphans;
	struct disk_tree trees[3];
	uint8_t zero[3640];
};
static_assert(sizeof(struct disk_root) == ROOT_PLAIN, "the root page's plaintext is 3968 bytes");

struct disk_root_page {
	char magic[8];
	le32 version, zero;
	uint8_t id[16];
	le64 txn;
	uint8_t nonce[SEAL_NONCE_LEN];
	uint8_t tag[SEAL_TAG_LEN];
	uint8_t zero2[48];
	uint8_t cipher[ROOT_PLAIN];
};
static_assert(sizeof(struct disk_root_page) == CL_PAGE && offsetof(struct disk_root_page, nonce) == ROOT_AAD, "root page");

int64_t comp_now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int comp_ops_add(struct comp_ops *o, uint32_t code, uint64_t object, uint64_t a, uint64_t b)
{
	if (o->n == o->cap) {
		size_t cap = o->cap ? o->cap * 2 : 64;
		struct journal_op *ops = realloc(o->ops, cap * sizeof *ops);
		if (!ops)
			return -ENOMEM;
		o->ops = ops;
		o->cap = cap;
	}
	o->ops[o->n++] = (struct journal_op){ code, object, a, b };
	return 0;
}

uint64_t comp_new_object(struct comp *c)
{
	pthread_mutex_lock(&c->alloc);
	uint64_t n = c->next_object++;
	pthread_mutex_unlock(&c->alloc);
	return n;
}

static void tree_out(const struct tree *t, struct disk_tree *d)
{
	struct tree_desc x;

	tree_describe(t, &x);
	memset(d, 0, sizeof *d);
	d->object = le64_of(x.object);
	d->height = x.height;
	d->root = x.root;
	memcpy(d->key, x.key, SEAL_KEY_LEN);
	secret_wipe(&x, sizeof x);
}

static int tree_in(struct tree *t, const struct disk_tree *d, uint64_t object)
{
	struct tree_desc x = { .object = le64_get(d->object), .height = d->height, .root = d->root };

	if (x.object != object || !bytes_are_zero(d->zero, sizeof d->zero) || !bytes_are_zero(d->zero2, sizeof d->zero2))
		return -EUCLEAN;
	memcpy(x.key, d->key, SEAL_KEY_LEN);
	int err = tree_load(t, &x);
	secret_wipe(&x, sizeof x);
	return err;
}

int comp_seal_root(struct comp *c, bool clean, struct pagebuf *buf)
{
	struct disk_root plain;
	struct disk_root_page *page = (struct disk_root_page *)(void *)buf->data;
	uint32_t counter;

	memset(&plain, 0, sizeof plain);
	plain.txn = le64_of(c->running);
	plain.anchor = le64_of(c->anchor);
	plain.generation = le64_of(c->generation);
	plain.next_object = le64_of(c->next_object);
	plain.flags = le64_of(clean ? ROOT_CLEAN : 0);
	plain.inodes_used = le64_of(c->inodes_used);
	plain.inode_limit = le64_of(c->inode_limit);
	plain.orphans = le64_of(c->n_orphans);
	tree_out(&c->itable, &plain.trees[0]);
	tree_out(&c->ibitmap, &plain.trees[1]);
	tree_out(&c->orphans, &plain.trees[2]);

	memset(page, 0, sizeof *page);
	memcpy(page->magic, "CLOISONR", 8);
	page->version = le32_of(1);
	memcpy(page->id, c->id, 16);
	page->txn = le64_of(c->running);
	int err = seal_source_take(c->io.source, 1, page->nonce, &counter);
	if (!err) {
		le32 n = le32_of(counter);
		memcpy(page->nonce + 20, &n, 4);
		err = seal_message(c->root_key.key, page->nonce, page, ROOT_AAD, &plain, sizeof plain, page->cipher, page->tag);
	}
	secret_wipe(&plain, sizeof plain);
	return err;
}

/* Opens one root page. -EBADMSG, -EUCLEAN, -EPROTONOSUPPORT. */
static int open_root(struct comp *c, const uint8_t *raw, struct disk_root *ret)
{
	struct disk_root_page page;

	memcpy(&page, raw, sizeof page);
	if (memcmp(page.magic, "CLOISONR", 8) || memcmp(page.id, c->id, 16))
		return -EUCLEAN;
	if (le32_get(page.version) != 1)
		return -EPROTONOSUPPORT;
	if (!bytes_are_zero(page.zero2, sizeof page.zero2) || le32_get(page.zero))
		return -EUCLEAN;
	int err = seal_open_message(c->root_key.key, page.nonce, &page, ROOT_AAD, page.cipher, sizeof page.cipher, ret, page.tag);
	if (!err && (le64_get(ret->txn) != le64_get(page.txn) || !bytes_are_zero(ret->zero, sizeof ret->zero) ||
		     le64_get(ret->flags) & ~(uint64_t)ROOT_CLEAN || le64_get(ret->inode_limit) > INODE_MAX))
		err = -EUCLEAN;
	return err;
}

int comp_read_root_copy(struct comp *c, unsigned copy, uint8_t raw[static CL_PAGE])
{
	struct store_file *file;
	char name[STORE_NAME_MAX];
	size_t got = 0;

	pageio_name(PAGEIO_OBJ_ROOT, copy, name);
	int err = c->store->ops->open(c->store, name, STORE_RDONLY, &file);
	if (err)
		return err;
	err = c->store->ops->pread(c->store, file, raw, CL_PAGE, 0, &got);
	c->store->ops->close(c->store, file);
	return !err && got < CL_PAGE ? -EUCLEAN : err;
}

int comp_open_root(struct comp *c, const uint8_t raw[static CL_PAGE], uint64_t *ret_txn, bool *ret_clean)
{
	struct disk_root root;
	int err = open_root(c, raw, &root);

	if (!err) {
		*ret_txn = le64_get(root.txn);
		*ret_clean = le64_get(root.flags) & ROOT_CLEAN;
	}
	secret_wipe(&root, sizeof root);
	return err;
}

int comp_check_root(struct comp *c, unsigned copy, uint64_t *ret_txn, bool *ret_clean)
{
	uint8_t raw[CL_PAGE];
	int err = comp_read_root_copy(c, copy, raw);

	return err ? err : comp_open_root(c, raw, ret_txn, ret_clean);
}

/* Of the errors of two copies the one that says more: what could not be read may be good, and another version knows more than this one. */
static int worse_root(int a, int b)
{
	if (a == -EPROTONOSUPPORT || b == -EPROTONOSUPPORT)
		return -EPROTONOSUPPORT;
	return a && a != -EBADMSG && a != -EUCLEAN && a != -ENOENT ? a : b;
}

static int no_root(struct comp *c, int err, struct fault *f)
{
	if (err == -EPROTONOSUPPORT)
		return fault_set(f, err, CL_EXIT_INTEGRITY, "compartment %s was written by a newer version of cloison", c->io.name);
	if (err != -EBADMSG && err != -EUCLEAN && err != -ENOENT)
		return fault_set(f, err, CL_EXIT_FAILED, "compartment %s: its root page cannot be read: %s", c->io.name, strerror(-err));
	return fault_set(f, err == -EUCLEAN ? err : -EBADMSG, CL_EXIT_INTEGRITY,
			 "compartment %s: neither copy of its root page authenticates: the backing directory is damaged, or "
			 "was changed; restore it from a backup", c->io.name);
}

/* Newest of the root pages there are: the journal's counts as the first copy. */
static int best_root(struct comp *c, struct disk_root *best, struct fault *f)
{
	uint8_t raw[CL_PAGE];
	struct disk_root root;
	int err = 0;
	bool found = false;

	for (unsigned copy = 0; copy < 2; copy++) {
		int e = 0;
		if (copy == 0 && pagemap_read(c->io.map, PAGEIO_OBJ_ROOT, 0, raw)) {
			copy = 1;
		} else {
			e = comp_read_root_copy(c, copy, raw);
		}
		if (!e)
			e = open_root(c, raw, &root);
		if (e) {
			err = worse_root(err, e);
			continue;
		}
		if (!found || le64_get(root.txn) > le64_get(best->txn))
			*best = root;
		found = true;
	}
	secret_wipe(&root, sizeof root);
	if (!found)
		return no_root(c, err, f);
	if (err)
		log_warn("compartment %s: one copy of the root page %s; the other is used", c->io.name,
			 err == -EBADMSG || err == -EUCLEAN || err == -ENOENT ? "is damaged" : "cannot be read");
	return 0;
}

static int take_root(struct comp *c, const struct disk_root *root)
{
	int err = 0;

	c->running = le64_get(root->txn) + 1;
	atomic_store(&c->committed, le64_get(root->txn));
	c->anchor = le64_get(root->anchor);
	c->generation = le64_get(root->generation);
	c->next_object = c->committed_next_object = le64_get(root->next_object);
	c->inodes_used = le64_get(root->inodes_used);
	c->inode_limit = le64_get(root->inode_limit);
	c->n_orphans = le64_get(root->orphans);
	c->inode_hint = 1;
	c->was_clean = le64_get(root->flags) & ROOT_CLEAN;
	struct tree *trees[3] = { &c->itable, &c->ibitmap, &c->orphans };
	for (unsigned i = 0; i < 3 && !err; i++)
		err = tree_in(trees[i], &root->trees[i], PAGEIO_OBJ_INODES + i);
	return err;
}

int comp_take_root(struct comp *c, const uint8_t raw[static CL_PAGE])
{
	struct disk_root root;
	int err = open_root(c, raw, &root);

	if (!err)
		err = take_root(c, &root);
	secret_wipe(&root, sizeof root);
	return err;
}

int comp_read_root(struct comp *c, struct fault *f)
{
	struct disk_root root;
	int err = best_root(c, &root, f);

	if (err)
		return err;
	err = take_root(c, &root);
	secret_wipe(&root, sizeof root);
	if (err)
		return fault_set(f, err, CL_EXIT_INTEGRITY, "compartment %s: malformed root page", c->io.name);
	return 0;
}

static int replay_ops(struct comp *c, const struct journal_record *r)
{
	for (uint32_t i = 0; i < r->n_ops; i++) {
		const struct journal_op *o = &r->ops[i];
		int err = txn_run_op(c, o, r->seq, !c->read_only);
		if (err == -ENOMEM)
			return err;
		if (err) /* loses space, not data; the same as after a commit */
			log_warn("compartment %s: cannot give back the space of object %llu: %s", c->io.name,
				 (unsigned long long)o->object, strerror(-err));
	}
	return 0;
}

/* A record of the journal into the page map: what a checkpoint then writes home, or what a reader sees instead. */
int comp_replay(void *arg, const struct journal_record *r)
{
	struct comp *c = arg;

	/* First what was given back: blocks may have been written there again by the same transaction. */
	int err = replay_ops(c, r);

	for (uint32_t i = 0; i < r->n_blocks && !err; i++) {
		struct pagebuf *b = pagemap_get_buf(c->io.map);
		if (!b)
			return -ENOMEM;
		memcpy(b->data, r->blocks[i].data, CL_PAGE);
		err = pagemap_commit_page(c->io.map, r->blocks[i].object, r->blocks[i].page, b, r->seq);
		pagemap_put_buf(c->io.map, b);
	}
	c->replayed += !err;
	return err;
}

static int strangers(struct comp *c, uint64_t root, struct fault *f)
{
	return fault_set(f, -EBADMSG, CL_EXIT_INTEGRITY,
			 "compartment %s: its root page (transaction %llu) and its journal (next is %llu) do not belong together: "
			 "one of them is older, or was changed", c->io.name, (unsigned long long)root,
			 (unsigned long long)journal_next(c->journal));
}

/*
 * A root page comes home after its record is durable. So one that is newer than all records tells of an older journal in the place
 * of the right one; to replay that would put old pages over new ones, the root page among them.
 */
static int check_age(struct comp *c, struct fault *f)
{
	uint64_t txn;
	bool clean;

	for (unsigned copy = 0; copy < 2; copy++)
		if (!comp_check_root(c, copy, &txn, &clean) && txn >= journal_next(c->journal))
			return strangers(c, txn, f);
	return 0;
}

static int open_journal(struct comp *c, struct fault *f)
{
	bool broken = false, old = false;
	int err = journal_open(c->store, c->id, c->read_only, &c->journal);

	/* A session that writes has a look first; what it finds there it acts on. */
	if (!err && !c->read_only) {
		err = journal_scan(c->journal, NULL, NULL, &broken);
		old = !err && !broken && check_age(c, f);
		if (!err && !broken && !old)
			err = journal_settle(c->journal);
	}
	if (!err && !broken && !old)
		err = journal_scan(c->journal, comp_replay, c, &broken);
	if (!err && !broken && !old && c->read_only)
		old = check_age(c, f);
	if (old)
		return -EBADMSG;
	if (err == -EUCLEAN || err == -ENOENT)
		return fault_set(f, err, CL_EXIT_INTEGRITY, "compartment %s: its journal is missing or damaged; fsck.cloison tells more",
				 c->io.name);
	if (err)
		return fault_set(f, err, CL_EXIT_FAILED, "compartment %s: cannot replay its journal: %s", c->io.name, strerror(-err));
	if (broken)
		return fault_set(f, -EBADMSG, CL_EXIT_INTEGRITY,
				 "compartment %s: a record in the middle of its journal is damaged, later ones are whole: "
				 "restore the backing directory from a backup", c->io.name);
	return 0;
}

/* The lease says to people who holds it; what counts is the lock. */
static int take_lease(struct comp *c, bool writable, struct fault *f)
{
	char text[256] = "";
	size_t got = 0;
	int err = 0;

	if (!c->repairing)
		err = c->store->ops->open(c->store, "lease", c->read_only ? STORE_RDONLY : STORE_RDWR, &c->lease);
	if (err == -EROFS || err == -EACCES) {
		c->read_only = true;
		err = c->store->ops->open(c->store, "lease", STORE_RDONLY, &c->lease);
	}
	if (err)
		return fault_set(f, err, CL_EXIT_FAILED, "compartment %s: cannot open its lease file: %s", c->io.name, strerror(-err));
	if (!c->read_only)
		err = c->store->ops->lock(c->store, c->lease, STORE_EXCLUSIVE);
	if (c->read_only || (err == -EAGAIN && !writable)) {
		/* Other readers are there: the journal is theirs to look at as well, so nothing is replayed on disk. */
		c->read_only = true;
		err = c->store->ops->lock(c->store, c->lease, STORE_SHARED);
	}
	if (err == -EAGAIN) {
		if (c->store->ops->pread(c->store, c->lease, text, sizeof text - 1, 0, &got) || !got)
			strcpy(text, "another process");
		text[strcspn(text, "\n")] = '\0';
		for (char *p = text; *p; p++)
			if ((unsigned char)*p < ' ' || (unsigned char)*p > '~')
				*p = '?';
		return fault_set(f, -EBUSY, CL_EXIT_FAILED, "the volume is in use: compartment %s is open in %s; unmount it there first",
				 c->io.name, text);
	}
	if (err)
		return fault_set(f, err, CL_EXIT_FAILED, "compartment %s: cannot lock its lease file: %s", c->io.name, strerror(-err));
	return 0;
}

static void write_lease(struct comp *c)
{
	char text[256] = "", host[65] = "";

	gethostname(host, sizeof host - 1);
	snprintf(text, sizeof text, "process %ld on %s\n", (long)getpid(), host);
	/* For people only: a failure to say so is no reason not to work. */
	if (c->store->ops->truncate(c->store, c->lease, 0) ||
	    c->store->ops->pwrite(c->store, c->lease, text, strlen(text), 0))
		log_warn("compartment %s: cannot write its lease file", c->io.name);
}

void comp_free(struct comp *c)
{
	if (!c)
		return;
	/* Inodes and trees hold nodes, nodes and trees hold pages of the map: in this order. */
	inode_cache_free(c->inodes);
	if (c->nodes) {
		tree_discard(&c->itable);
		tree_discard(&c->ibitmap);
		tree_discard(&c->orphans);
	}
	node_cache_free(c->nodes);
	journal_close(c->journal);
	pageio_done(&c->io);
	if (c->lease) {
		if (c->store->ops->lock(c->store, c->lease, c->repairing ? STORE_SHARED : STORE_UNLOCK))
			log_warn("compartment %s: cannot release its lease", c->io.name);
		if (!c->repairing)
			c->store->ops->close(c->store, c->lease);
	}
	if (c->store)
		c->store->ops->free(c->store);
	seal_key_wipe(&c->root_key);
	free(c->ops.ops);
	pthread_rwlock_destroy(&c->table);
	pthread_rwlock_destroy(&c->txn);
	pthread_rwlock_destroy(&c->names);
	pthread_mutex_destroy(&c->alloc);
	pthread_mutex_destroy(&c->commit);
	pthread_mutex_destroy(&c->list);
	secret_wipe(c, sizeof *c);
	free(c);
}

int comp_new(struct store *volume, const struct fs_compartment *fc, const struct fs_config *cfg, struct comp **ret, struct fault *f)
{
	pthread_rwlockattr_t attr;
	char name[33];
	uint8_t key[SEAL_KEY_LEN];
	struct comp *c = calloc(1, sizeof *c);

	if (!c)
		return fault_set(f, -ENOMEM, CL_EXIT_FAILED, "out of memory");
	c->rank = fc->rank;
	memcpy(c->id, fc->id, 16);
	c->read_only = cfg->read_only;
	pthread_rwlockattr_init(&attr);
	pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&c->table, &attr);
	pthread_rwlock_init(&c->txn, &attr);
	pthread_rwlock_init(&c->names, &attr);
	pthread_rwlockattr_destroy(&attr);
	pthread_mutex_init(&c->alloc, NULL);
	pthread_mutex_init(&c->commit, NULL);
	lock_init_short(&c->list);
	list_init(&c->dirty);
	unsigned start;
	if (getrandom(&start, sizeof start, 0) != (ssize_t)sizeof start)
		start = (unsigned)comp_now_ms();
	atomic_store(&c->next_generation, start);
	bytes_to_hex(fc->id, 16, name);
	int err = volume->ops->sub(volume, name, &c->store);
	if (err == -ENOENT || err == -EUCLEAN) {
		fault_set(f, err, CL_EXIT_INTEGRITY, "the compartment's folder %s is missing from the backing directory", name);
		goto fail;
	}
	if (err) {
		fault_set(f, err, CL_EXIT_FAILED, "cannot open the compartment's folder %s: %s", name, strerror(-err));
		goto fail;
	}
	uint64_t cache = cfg->cache_bytes ? cfg->cache_bytes : (uint64_t)48 << 20;
	err = pageio_init(&c->io, c->store, fc->id, cfg->read_only);
	if (!err)
		err = node_cache_new((size_t)CL_MAX(cache / CL_PAGE, 64), &c->nodes);
	if (!err) {
		/* With the nodes, which stand for them in comp_free. */
		tree_init(&c->itable, &c->io, c->nodes, &c->dirty_pages);
		tree_init(&c->ibitmap, &c->io, c->nodes, &c->dirty_pages);
		tree_init(&c->orphans, &c->io, c->nodes, &c->dirty_pages);
		err = inode_cache_new(4096, &c->inodes);
	}
	if (!err)
		err = keyring_derive(fc->key, "root", fc->id, key, sizeof key);
	if (err) {
		fault_set(f, err, CL_EXIT_FAILED, "cannot set up the compartment: %s", strerror(-err));
		goto fail;
	}
	seal_key_init(&c->root_key, key);
	secret_wipe(key, sizeof key);
	c->leaves_max = TREE_LEAVES_MAX;
	c->data_limit = (cfg->dirty_bytes ? cfg->dirty_bytes : (uint64_t)16 << 20) / CL_PAGE;
	*ret = c;
	return 0;
fail:
	comp_free(c);
	return err;
}

static void set_limits(struct comp *c)
{
	uint32_t ring = journal_size(c->journal);

	c->data_limit = CL_MIN(c->data_limit, ring / 4);
	c->op_pages = CL_MIN(CL_MAX(ring / 64, 8u), 256u);
	c->small_op = CL_MIN(ring / 16, 16u);
}

/* Bytes of the lower file of a tree of n leaves; it is no higher than they need. */
static uint64_t lower_bytes(uint64_t n)
{
	unsigned height = 0;

	while (height < PAGEIO_LEVELS && (n - 1) >> (7 * height))
		height++;
	return pageio_lower_end(n, height) * CL_PAGE;
}

#define LEAVES_ANYWHERE ((uint64_t)1 << 28) /* of 4 KiB: 1 TiB */

/*
 * The largest file that the lower filesystem takes, found out on the lease file before it is written: a page behind that could be
 * committed and never come home.
 */
static int learn_file_limit(struct comp *c)
{
	uint64_t low = 0, high = TREE_LEAVES_MAX;

	while (low < high) {
		uint64_t mid = low + (high - low + 1) / 2;
		int err = c->store->ops->truncate(c->store, c->lease, lower_bytes(mid));
		if (room_is_error(err)) { /* it needs blocks even for a length: then what every one of them can */
			low = LEAVES_ANYWHERE;
			break;
		}
		if (err && err != -EFBIG && err != -EINVAL)
			return err;
		if (err)
			high = mid - 1;
		else
			low = mid;
	}
	c->leaves_max = low;
	int err = c->store->ops->truncate(c->store, c->lease, 0);
	return room_is_error(err) ? 0 : err;
}

/* Object numbers that a transaction which never committed may have handed out. */
struct leftovers {
	uint64_t first;
	uint64_t *found;
	size_t n, cap;
};

static int is_leftover(void *arg, const char *name, bool is_dir)
{
	struct leftovers *l = arg;
	char again[STORE_NAME_MAX];
	char *end;
	uint64_t object = strtoull(name, &end, 16);

	if (is_dir || object < l->first || object >= l->first + COMP_LEFTOVERS)
		return 0;
	pageio_name(object, 0, again);
	if (strcmp(strchr(again, '/') + 1, name))
		return 0;
	if (l->n == l->cap) {
		size_t cap = l->cap ? l->cap * 2 : 64;
		uint64_t *found = realloc(l->found, cap * sizeof *found);
		if (!found)
			return -ENOMEM;
		l->found = found;
		l->cap = cap;
	}
	l->found[l->n++] = object;
	return 0;
}

/*
 * What a transaction that never committed may have left: objects nobody knows. Their numbers are not used again. The folders
 * are listed, because few of so many numbers are there.
 */
static void remove_leftovers(struct comp *c)
{
	struct leftovers l = { .first = c->next_object };

	for (unsigned i = 0; i < 256; i++) {
		char folder[3];
		snprintf(folder, sizeof folder, "%02x", i);
		int err = c->store->ops->list(c->store, folder, is_leftover, &l);
		if (err)
			log_warn("compartment %s: folder %s cannot be listed: %s; what a crash left there stays", c->io.name, folder,
				 strerror(-err));
	}
	for (size_t i = 0; i < l.n; i++) {
		int err = pageio_remove(&c->io, l.found[i]);
		if (err)
			log_warn("compartment %s: object %llu, left by a crash, cannot be removed: %s", c->io.name,
				 (unsigned long long)l.found[i], strerror(-err));
	}
	free(l.found);
	c->next_object = l.first + COMP_LEFTOVERS;
}

static int recover(struct comp *c)
{
	int err = 0;

	if (c->repairing) {
		/* Whatever a crash has left is not looked at yet: it stays, and its numbers are not used. */
		c->next_object += c->was_clean ? 0 : COMP_LEFTOVERS;
	} else if (!c->was_clean) {
		log_info("compartment %s: was not closed cleanly: recovered, %u transactions replayed", c->io.name, c->replayed);
		remove_leftovers(c);
	}
	c->generation++;
	/* From here on the root says "not closed cleanly". */
	if (!err)
		err = txn_commit(c, NULL, false);
	if (!err && !c->repairing)
		inode_free_all_orphans(c);
	return err;
}

static int open_with(struct store *volume, const struct fs_compartment *fc, bool writable, struct store_file *lease,
		     const struct fs_config *cfg, struct comp **ret, struct fault *f)
{
	struct comp *c;
	int err = comp_new(volume, fc, cfg, &c, f);

	if (err)
		return err;
	c->lease = lease;
	c->repairing = lease;
	err = take_lease(c, writable, f);
	if (err)
		goto fail;
	c->io.read_only = c->read_only;
	err = open_journal(c, f);
	if (err)
		goto fail;
	set_limits(c);
	if (!c->read_only && c->replayed) {
		if (RULE(RULE_DOUBT_FOLDERS))
			pageio_doubt_dirs(&c->io);
		err = txn_checkpoint(c);
		/* The journal keeps the pages, and they are read from memory. */
		if (err && !room_is_error(err))
			log_warn("compartment %s: the journal's pages cannot be written home now: %s", c->io.name, strerror(-err));
	}
	err = comp_read_root(c, f);
	if (!err && journal_next(c->journal) != c->running)
		err = strangers(c, c->running - 1, f);
	if (err)
		goto fail;
	c->writable = writable && !c->read_only;
	if (c->writable) {
		/* What has become of the replay: better said than the error of all that cannot be done now. */
		err = -atomic_load(&c->failed);
		if (!err)
			err = learn_file_limit(c);
		write_lease(c);
		if (!err)
			err = recover(c);
		if (err) {
			fault_set(f, err, CL_EXIT_FAILED, "compartment %s: recovery failed: %s", c->io.name, strerror(-err));
			goto fail;
		}
	} else if (c->store->ops->lock(c->store, c->lease, STORE_SHARED)) {
		log_warn("compartment %s: cannot share its lease", c->io.name);
	}
	*ret = c;
	return 0;
fail:
	comp_free(c);
	return err;
}

int comp_open(struct store *volume, const struct fs_compartment *fc, bool writable, const struct fs_config *cfg,
	      struct comp **ret, struct fault *f)
{
	return open_with(volume, fc, writable, NULL, cfg, ret, f);
}

int comp_open_repair(struct store *volume, const struct fs_compartment *fc, struct store_file *lease,
		     const struct fs_config *cfg, struct comp **ret, struct fault *f)
{
	return open_with(volume, fc, true, lease, cfg, ret, f);
}

int comp_open_unlocked(struct store *volume, const struct fs_compartment *fc, const struct fs_config *cfg, struct comp **ret,
		       struct fault *f)
{
	struct fs_config own = *cfg;

	own.read_only = true;
	return comp_new(volume, fc, &own, ret, f);
}

int comp_close(struct comp *c)
{
	int err = 0;

	if (c->writable && !atomic_load(&c->failed)) {
		/* The kernel is gone: what was unlinked and open is free now. */
		if (!c->repairing)
			inode_free_all_orphans(c);
		err = txn_commit(c, NULL, true);
		bool committed = !err;
		if (committed)
			err = txn_checkpoint(c);
		if (committed && room_is_error(err)) {
			log_warn("compartment %s: %s on the lower filesystem: %zu committed pages stay in the journal until there is room; "
				 "nothing is lost", c->io.name, strerror(-err), pagemap_n_pending(c->io.map));
			err = 0;
		}
		if (err)
			log_err("compartment %s: closing failed: %s; what was committed is safe", c->io.name, strerror(-err));
	} else if (c->writable) {
		err = -EIO;
	}
	comp_free(c);
	return err;
}

static int make_folders(struct comp *c)
{
	char name[8];

	for (unsigned i = 0; i < 256; i++) {
		snprintf(name, sizeof name, "%02x", i);
		int err = c->store->ops->mkdir(c->store, name);
		if (err)
			return err;
	}
	struct store_file *lease;
	int err = c->store->ops->open(c->store, "lease", STORE_CREATE | STORE_EXCL, &lease);
	if (!err)
		c->store->ops->close(c->store, lease);
	return err;
}

static int make_root_directory(struct comp *c, uint32_t mode, uint32_t uid, uint32_t gid)
{
	struct inode *i;
	int err = txn_begin(c);

	if (err)
		return err;
	err = inode_new(c, S_IFDIR | mode, false, &i);
	if (!err) {
		i->uid = uid;
		i->gid = gid;
		i->nlink = 2;
		i->parent = i->ino;
		if (i->ino != INODE_ROOT)
			err = -EUCLEAN;
		inode_put(i);
	}
	txn_end(c);
	return err;
}

int comp_format(struct store *volume, const struct fs_compartment *fc, uint32_t mode, uint32_t uid, uint32_t gid,
		const struct fs_config *cfg, struct fault *f)
{
	struct comp *c;
	char name[33];

	bytes_to_hex(fc->id, 16, name);
	int err = volume->ops->mkdir(volume, name);
	if (err)
		return fault_set(f, err, CL_EXIT_FAILED, "cannot make the compartment's folder %s: %s", name, strerror(-err));
	uint32_t pages = cfg->journal_pages ? cfg->journal_pages : 16384;
	err = comp_new(volume, fc, cfg, &c, f);
	if (err)
		return err;
	err = make_folders(c);
	if (!err)
		err = journal_format(c->store, c->id, pages, 1);
	if (!err)
		err = journal_open(c->store, c->id, false, &c->journal);
	if (err)
		goto out;
	bool broken;
	err = journal_scan(c->journal, comp_replay, c, &broken);
	if (err)
		goto out;
	set_limits(c);
	c->writable = true;
	c->running = 1;
	c->next_object = c->committed_next_object = PAGEIO_OBJ_FIRST;
	c->inode_hint = 1;
	c->inode_limit = 1;
	err = tree_make(&c->itable, PAGEIO_OBJ_INODES);
	if (!err)
		err = tree_make(&c->ibitmap, PAGEIO_OBJ_IBITMAP);
	if (!err)
		err = tree_make(&c->orphans, PAGEIO_OBJ_ORPHANS);
	if (!err)
		err = make_root_directory(c, mode, uid, gid);
	if (!err)
		err = txn_commit(c, NULL, true);
	if (!err)
		err = txn_checkpoint(c);
	/* Names of the compartment's own files and folders. */
	if (!err)
		err = c->store->ops->sync_dir(c->store, ".");
	if (!err)
		err = volume->ops->sync_dir(volume, ".");
out:
	if (room_is_error(err))
		fault_set(f, err, CL_EXIT_FAILED, "cannot make compartment %s: %s: its journal alone takes %u KiB", c->io.name,
			  strerror(-err), pages * (CL_PAGE / 1024));
	else if (err)
		fault_set(f, err, CL_EXIT_FAILED, "cannot make compartment %s: %s", c->io.name, strerror(-err));
	comp_free(c);
	return err;
}
