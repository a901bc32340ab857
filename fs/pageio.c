/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Pages of objects: lower files, second copies, healing. */
#include "fs/pageio.h"

#include "common/log.h"
#include "fs/rule.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int pageio_init(struct pageio *io, struct store *store, const uint8_t id[static 16], bool read_only)
{
	memset(io, 0, sizeof *io);
	io->store = store;
	memcpy(io->id, id, 16);
	bytes_to_hex(id, 4, io->name);
	io->read_only = read_only;
	list_init(&io->lru);
	pthread_mutex_init(&io->lock, NULL);
	int err = pagemap_new(&io->map);
	if (!err)
		err = seal_source_new(&io->source);
	if (err)
		pageio_done(io);
	return err;
}

static void free_handle(struct pageio *io, struct pageio_handle *h)
{
	io->store->ops->close(io->store, h->file);
	free(h);
}

void pageio_done(struct pageio *io)
{
	for (size_t i = 0; i < CL_ARRAY_LEN(io->hash); i++)
		for (struct pageio_handle *h = io->hash[i], *n; h; h = n) {
			n = h->next;
			free_handle(io, h);
		}
	memset(io->hash, 0, sizeof io->hash);
	pagemap_free(io->map);
	seal_source_free(io->source);
	io->map = NULL;
	io->source = NULL;
	pthread_mutex_destroy(&io->lock);
}

/* Pages of a subtree of height l: S(0) = 1, S(l) = 128 S(l - 1) + 1. */
static const uint64_t subtree[PAGEIO_LEVELS + 1] = {
	1, 129, 16513, 2113665, 270549121, 34630287489,
};

uint64_t pageio_lower_leaf(uint64_t leaf)
{
	uint64_t at = 0;

	for (unsigned l = 0; leaf; l++, leaf /= PAGEIO_FANOUT) {
		uint64_t digit = leaf % PAGEIO_FANOUT;
		if (digit)
			at += digit * subtree[l] + 1;
	}
	return at;
}

uint64_t pageio_lower_node(unsigned level, uint64_t index)
{
	uint64_t leaf = index;

	for (unsigned l = 0; l < level; l++)
		leaf *= PAGEIO_FANOUT;
	return subtree[level - 1] + pageio_lower_leaf(leaf);
}

uint64_t pageio_lower_end(uint64_t n_leaves, unsigned height)
{
	if (n_leaves == 0)
		return 0;
	/* Behind the last leaf may stand the index pages of subtrees whose first child it ends. */
	uint64_t end = pageio_lower_leaf(n_leaves - 1) + 1;
	uint64_t index = n_leaves - 1;
	for (unsigned l = 1; l <= height; l++) {
		index /= PAGEIO_FANOUT;
		end = CL_MAX(end, pageio_lower_node(l, index) + 1);
	}
	return end;
}

void pageio_name(uint64_t object, unsigned copy, char out[static STORE_NAME_MAX])
{
	const char *suffix = copy ? ".copy" : "";

	if (object == PAGEIO_OBJ_ROOT)
		snprintf(out, STORE_NAME_MAX, "root%s", suffix);
	else
		snprintf(out, STORE_NAME_MAX, "%02x/%016llx%s", (unsigned)(object & 0xff), (unsigned long long)object, suffix);
}

/* Copies of one object are different keys of the handle hash. */
static uint64_t handle_key(uint64_t object, unsigned copy)
{
	return object | (uint64_t)copy << 63;
}

static struct pageio_handle **bucket(struct pageio *io, uint64_t key)
{
	return &io->hash[(key * 0x9e3779b97f4a7c15u >> 32) % CL_ARRAY_LEN(io->hash)];
}

static void unhash(struct pageio *io, struct pageio_handle *h)
{
	struct pageio_handle **at = bucket(io, h->object);
	while (*at != h)
		at = &(*at)->next;
	*at = h->next;
	h->dead = true;
	list_del(&h->lru);
	io->n_handles--;
}

static void put_handle(struct pageio *io, struct pageio_handle *h)
{
	pthread_mutex_lock(&io->lock);
	bool last = --h->refs == 0 && h->dead;
	if (!last && h->refs == 0)
		list_add_tail(&io->lru, &h->lru);
	pthread_mutex_unlock(&io->lock);
	if (last)
		free_handle(io, h);
}

static struct pageio_handle *find_handle_locked(struct pageio *io, uint64_t key)
{
	struct pageio_handle *h = *bucket(io, key);
	while (h && h->object != key)
		h = h->next;
	if (h) {
		if (h->refs++ == 0)
			list_del(&h->lru);
	}
	return h;
}

/* An open one that will do. One that cannot write is given up when somebody wants to: perhaps it can be written by now. */
static struct pageio_handle *find_handle(struct pageio *io, uint64_t key, bool create)
{
	struct pageio_handle *useless = NULL;

	pthread_mutex_lock(&io->lock);
	struct pageio_handle *h = find_handle_locked(io, key);
	if (h && create && h->read_only && !io->read_only) {
		unhash(io, h);
		useless = h;
		h = NULL;
	}
	pthread_mutex_unlock(&io->lock);
	if (useless)
		put_handle(io, useless);
	return h;
}

static int open_existing(struct pageio *io, const char *name, bool create, struct store_file **ret, bool *ret_read_only)
{
	int err = io->read_only ? -EROFS : io->store->ops->open(io->store, name, STORE_RDWR, ret);

	/* The lower filesystem turned read-only after an error, say: what is there can still be read. */
	*ret_read_only = err == -EROFS && (io->read_only || !create);
	return *ret_read_only ? io->store->ops->open(io->store, name, STORE_RDONLY, ret) : err;
}

static int get_handle(struct pageio *io, uint64_t object, unsigned copy, bool create, struct pageio_handle **ret)
{
	uint64_t key = handle_key(object, copy);
	char name[STORE_NAME_MAX];
	struct pageio_handle *old = NULL;
	struct pageio_handle *h = find_handle(io, key, create);

	if (h) {
		*ret = h;
		return 0;
	}
	struct store_file *file;
	bool read_only;
	pageio_name(object, copy, name);
	int err = open_existing(io, name, create, &file, &read_only);
	if (err == -ENOENT && create) {
		err = io->store->ops->open(io->store, name, STORE_CREATE, &file);
		if (!err && object != PAGEIO_OBJ_ROOT) {
			pthread_mutex_lock(&io->lock);
			io->new_dirs[(object & 0xff) / 32] |= 1u << (object & 31);
			pthread_mutex_unlock(&io->lock);
		}
	}
	if (err)
		return err;
	struct pageio_handle *fresh = malloc(sizeof *fresh);
	if (!fresh) {
		io->store->ops->close(io->store, file);
		return -ENOMEM;
	}
	pthread_mutex_lock(&io->lock);
	h = find_handle_locked(io, key);
	if (!h) {
		*fresh = (struct pageio_handle){ .file = file, .object = key, .refs = 1, .read_only = read_only };
		list_init(&fresh->lru);
		struct pageio_handle **at = bucket(io, key);
		fresh->next = *at;
		*at = fresh;
		io->n_handles++;
		if (io->n_handles > PAGEIO_HANDLES && !list_empty(&io->lru)) {
			old = list_item(io->lru.next, struct pageio_handle, lru);
			unhash(io, old);
		}
		h = fresh;
		fresh = NULL;
	}
	pthread_mutex_unlock(&io->lock);
	if (old)
		free_handle(io, old);
	if (fresh) {
		io->store->ops->close(io->store, file);
		free(fresh);
	}
	*ret = h;
	return 0;
}

static int read_copy(struct pageio *io, uint64_t object, unsigned copy, uint64_t lower, void *out, size_t n)
{
	struct pageio_handle *h;
	size_t got = 0;
	int err = get_handle(io, object, copy, false, &h);
	if (err == -ENOENT) {
		memset(out, 0, n * CL_PAGE);
		return 0;
	}
	if (err)
		return err;
	err = io->store->ops->pread(io->store, h->file, out, n * CL_PAGE, lower * CL_PAGE, &got);
	put_handle(io, h);
	if (!err && got < n * CL_PAGE)
		memset((char *)out + got, 0, n * CL_PAGE - got);
	return err;
}

int pageio_read_raw(struct pageio *io, uint64_t object, uint64_t lower, void *out, size_t n)
{
	return read_copy(io, object, 0, lower, out, n);
}

int pageio_read_copy(struct pageio *io, uint64_t object, unsigned copy, uint64_t lower, void *out, size_t n)
{
	return read_copy(io, object, copy, lower, out, n);
}

static void report_damage(struct pageio *io, const struct seal_place *place, uint64_t lower, int err)
{
	char name[STORE_NAME_MAX];

	pageio_name(place->object, 0, name);
	atomic_fetch_add(&io->damaged, 1);
	log_err("compartment %s: object %s: page %llu (level %u, index %llu) %s", io->name, name, (unsigned long long)lower,
		place->level, (unsigned long long)place->index,
		err == -EBADMSG ? "does not authenticate: it was changed, or is older than its parent" : strerror(-err));
}

static int write_copy(struct pageio *io, uint64_t object, unsigned copy, uint64_t lower, const void *buf, size_t n)
{
	struct pageio_handle *h;
	int err = get_handle(io, object, copy, true, &h);

	if (err)
		return err;
	err = io->store->ops->pwrite(io->store, h->file, buf, n * CL_PAGE, lower * CL_PAGE);
	put_handle(io, h);
	return err;
}

int pageio_copy_page(struct pageio *io, uint64_t object, unsigned copy, uint64_t lower)
{
	uint8_t raw[CL_PAGE];
	int err = read_copy(io, object, !copy, lower, raw, 1);

	return err ? err : write_copy(io, object, copy, lower, raw, 1);
}

/* The disk's fault, and not that of memory or of a limit: what the second copy is for. */
static bool is_bad_page(int err)
{
	return err == -EBADMSG || err == -EUCLEAN || err == -EIO;
}

/* why: error that the first copy was read with. */
static void heal(struct pageio *io, uint64_t object, unsigned copy, uint64_t lower, const void *good, int why)
{
	char name[STORE_NAME_MAX];
	const char *what = why == -EIO ? "cannot be read" : "is damaged";

	pageio_name(object, copy, name);
	if (io->read_only) {
		log_warn("compartment %s: object %s: page %llu %s; its second copy is good", io->name, name,
			 (unsigned long long)lower, what);
		return;
	}
	int err = write_copy(io, object, copy, lower, good, 1);
	if (!err)
		atomic_fetch_add(&io->healed, 1);
	log_warn("compartment %s: object %s: page %llu %s; %s from its second copy", io->name, name, (unsigned long long)lower, what,
		 err ? "it could not be healed" : "healed");
}

int pageio_open(struct pageio *io, const struct seal_key *key, const struct seal_place *place, const struct seal_ref *ref,
		void *out)
{
	uint64_t lower = place->level ? pageio_lower_node(place->level, place->index) : pageio_lower_leaf(place->index);
	uint8_t raw[CL_PAGE] __attribute__((aligned(64)));
	int err = -EBADMSG;

	if (pagemap_read(io->map, place->object, lower, raw)) {
		err = seal_open_page(key, place, ref, raw, out);
	} else {
		err = read_copy(io, place->object, 0, lower, raw, 1);
		if (!err)
			err = seal_open_page(key, place, ref, raw, out);
		if (is_bad_page(err) && pageio_has_copy(place->object)) {
			int second = read_copy(io, place->object, 1, lower, raw, 1);
			if (!second)
				second = seal_open_page(key, place, ref, raw, out);
			if (!second) {
				heal(io, place->object, 0, lower, raw, err);
				err = 0;
			}
		}
	}
	if (err == -EUCLEAN) /* not a plain file: somebody put something else there */
		err = -EBADMSG;
	if (err == -EBADMSG || err == -EIO)
		report_damage(io, place, lower, err);
	return err;
}

int pageio_write_home(struct pageio *io, uint64_t object, uint64_t lower, const void *buf, size_t n)
{
	int err = 0;

	for (unsigned copy = 0; copy < pageio_copies(object) && !err; copy++)
		err = write_copy(io, object, copy, lower, buf, n);
	return err;
}

int pageio_sync(struct pageio *io, uint64_t object)
{
	for (unsigned copy = 0; copy < pageio_copies(object); copy++) {
		struct pageio_handle *h;
		int err = get_handle(io, object, copy, false, &h);
		if (err == -ENOENT)
			continue;
		if (err)
			return err;
		err = io->store->ops->sync(io->store, h->file);
		put_handle(io, h);
		if (err)
			return err;
	}
	return 0;
}

int pageio_sync_dirs(struct pageio *io)
{
	uint32_t dirs[CL_ARRAY_LEN(io->new_dirs)];

	if (!RULE(RULE_SYNC_FOLDERS))
		return 0;
	pthread_mutex_lock(&io->lock);
	memcpy(dirs, io->new_dirs, sizeof dirs);
	memset(io->new_dirs, 0, sizeof io->new_dirs);
	pthread_mutex_unlock(&io->lock);
	int err = 0;
	for (unsigned i = 0; i < 256 && !err; i++) {
		char name[3];
		if (!(dirs[i / 32] & 1u << (i & 31)))
			continue;
		snprintf(name, sizeof name, "%02x", i);
		err = io->store->ops->sync_dir(io->store, name);
	}
	if (err) {
		pthread_mutex_lock(&io->lock);
		for (unsigned i = 0; i < CL_ARRAY_LEN(dirs); i++)
			io->new_dirs[i] |= dirs[i];
		pthread_mutex_unlock(&io->lock);
	}
	return err;
}

void pageio_doubt_dirs(struct pageio *io)
{
	pthread_mutex_lock(&io->lock);
	memset(io->new_dirs, 0xff, sizeof io->new_dirs);
	pthread_mutex_unlock(&io->lock);
}

int pageio_sync_all(struct pageio *io)
{
	pthread_mutex_lock(&io->lock);
	memset(io->new_dirs, 0, sizeof io->new_dirs);
	pthread_mutex_unlock(&io->lock);
	return io->store->ops->sync_all(io->store);
}

static void drop_handle(struct pageio *io, uint64_t key)
{
	struct pageio_handle *idle = NULL;

	pthread_mutex_lock(&io->lock);
	struct pageio_handle *h = *bucket(io, key);
	while (h && h->object != key)
		h = h->next;
	if (h) {
		unhash(io, h);
		if (h->refs == 0)
			idle = h;
	}
	pthread_mutex_unlock(&io->lock);
	if (idle)
		free_handle(io, idle);
}

void pageio_release(struct pageio *io, uint64_t object)
{
	for (unsigned copy = 0; copy < pageio_copies(object); copy++)
		drop_handle(io, handle_key(object, copy));
}

int pageio_remove(struct pageio *io, uint64_t object)
{
	char name[STORE_NAME_MAX];
	int err = 0;

	for (unsigned copy = 0; copy < pageio_copies(object) && !err; copy++) {
		drop_handle(io, handle_key(object, copy));
		pageio_name(object, copy, name);
		err = io->store->ops->unlink(io->store, name);
		if (err == -ENOENT)
			err = 0;
	}
	return err;
}

int pageio_cut(struct pageio *io, uint64_t object, uint64_t pages)
{
	struct pageio_handle *h;
	uint64_t size;
	int err = get_handle(io, object, 0, false, &h);
	if (err)
		return err == -ENOENT ? 0 : err;
	err = io->store->ops->size(io->store, h->file, &size);
	if (!err && size > pages * CL_PAGE)
		err = io->store->ops->truncate(io->store, h->file, pages * CL_PAGE);
	put_handle(io, h);
	return err;
}

int pageio_punch(struct pageio *io, uint64_t object, uint64_t page, uint64_t n)
{
	struct pageio_handle *h;
	int err = get_handle(io, object, 0, false, &h);
	if (err)
		return err == -ENOENT ? 0 : err;
	err = io->store->ops->punch(io->store, h->file, page * CL_PAGE, n * CL_PAGE);
	put_handle(io, h);
	return err == -EOPNOTSUPP ? 0 : err; /* the space stays; nothing is wrong */
}

int pageio_allocate(struct pageio *io, uint64_t object, uint64_t lower, uint64_t n)
{
	struct pageio_handle *h;
	int err = get_handle(io, object, 0, true, &h);
	if (err)
		return err;
	err = io->store->ops->allocate(io->store, h->file, lower * CL_PAGE, n * CL_PAGE);
	put_handle(io, h);
	return err;
}
