/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Keyed cipher contexts, a few per thread, so that sealing a page costs no key derivation and no lock.
 *
 * An entry is found by (id of the object key, epoch). Ids are never reused, so the entry of a key that was wiped can
 * never be taken for another's. Such an entry goes at once in the thread that wiped the key; in another thread it
 * stays until other entries displace it, or the thread ends: at most SEAL_CACHE_SLOTS subkeys in each thread outlive
 * their object keys.
 *
 * The memory is not locked, as that of object keys is not; only OpenSSL's contexts have parts elsewhere, on its heap,
 * which it clears when it frees them.
 */
#include "common/secret.h"
#include "fs/seal_backend.h"

#include <pthread.h>
#include <sys/mman.h>

struct entry {
	uint64_t key_id; /* 0 = empty */
	uint64_t used;	 /* clock at last use */
	uint8_t epoch[SEAL_EPOCH_LEN];
};

/*
 * One thread's cache. In a mapping of its own, which is left out of core dumps and is all zero in a forked child: all
 * zero is a cache without entries and without a backend, that is replaced at first use.
 */
struct cache {
	const struct seal_backend *backend; /* of all contexts */
	EVP_CIPHER_CTX *ecb;		    /* for seal_openssl_derive */
	uint64_t clock;
	unsigned last; /* slot of last use */
	struct entry entry[SEAL_CACHE_SLOTS];
	_Alignas(SEAL_CTX_ALIGN) uint8_t ctx[SEAL_CACHE_SLOTS][SEAL_CTX_LEN];
	_Alignas(SEAL_CTX_ALIGN) uint8_t scratch[SEAL_CTX_LEN];
};
static_assert(SEAL_CTX_LEN % SEAL_CTX_ALIGN == 0, "each context is aligned");

static _Thread_local struct cache *mine;
static pthread_once_t exit_once = PTHREAD_ONCE_INIT;
static pthread_key_t exit_key; /* never deleted: threads may outlive seal_done() */
static int exit_key_err;

static void cache_wipe_entry(struct cache *c, unsigned i)
{
	c->backend->wipe(c->ctx[i]);
	c->entry[i] = (struct entry){ 0 };
}

static void cache_free(void *p)
{
	struct cache *c = p;

	if (c->backend) {
		for (unsigned i = 0; i < SEAL_CACHE_SLOTS; i++)
			c->backend->wipe(c->ctx[i]);
		c->backend->wipe(c->scratch);
	}
	seal_openssl_derive_free(&c->ecb);
	secret_wipe(c, sizeof *c);
	munmap(c, sizeof *c);
	if (mine == c)
		mine = NULL;
}

static void make_exit_key(void)
{
	exit_key_err = -pthread_key_create(&exit_key, cache_free);
}

void seal_cache_done(void)
{
	if (!mine)
		return;
	pthread_setspecific(exit_key, NULL);
	cache_free(mine);
}

static int cache_new(const struct seal_backend *b)
{
	struct cache *c;
	int err;

	pthread_once(&exit_once, make_exit_key);
	if (exit_key_err)
		return exit_key_err;
	c = mmap(NULL, sizeof *c, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (c == MAP_FAILED)
		return -ENOMEM;
	if (madvise(c, sizeof *c, MADV_DONTDUMP) || madvise(c, sizeof *c, MADV_WIPEONFORK)) {
		err = -errno;
		goto fail;
	}
	err = -pthread_setspecific(exit_key, c);
	if (err)
		goto fail;
	c->backend = b;
	mine = c;
	return 0;
fail:
	munmap(c, sizeof *c);
	return err;
}

/* The calling thread's cache, with contexts of b. */
static int cache_of(const struct seal_backend *b, struct cache **ret)
{
	if (!mine || mine->backend != b) {
		int err;

		seal_cache_done();
		err = cache_new(b);
		if (err)
			return err;
	}
	*ret = mine;
	return 0;
}

static int ctx_key(struct cache *c, void *ctx, const uint8_t key[static SEAL_KEY_LEN],
		   const uint8_t epoch[static SEAL_EPOCH_LEN])
{
	uint8_t subkey[SEAL_KEY_LEN];
	int err = seal_openssl_derive(&c->ecb, key, epoch, subkey);

	if (!err)
		err = c->backend->key(ctx, subkey);
	secret_wipe(subkey, sizeof subkey);
	return err;
}

static bool entry_is(const struct entry *e, uint64_t key_id, const uint8_t epoch[static SEAL_EPOCH_LEN])
{
	return e->key_id == key_id && memcmp(e->epoch, epoch, SEAL_EPOCH_LEN) == 0;
}

int seal_cache_get(const struct seal_backend *b, const struct seal_key *k, const uint8_t epoch[static SEAL_EPOCH_LEN],
		   void **ret_ctx)
{
	unsigned i, oldest = 0;
	struct cache *c;
	int err;

	if (!k->id) /* wiped; 0 also marks an empty entry */
		return -EINVAL;
	err = cache_of(b, &c);
	if (err)
		return err;
	i = c->last;
	if (!entry_is(&c->entry[i], k->id, epoch)) {
		for (i = 0; i < SEAL_CACHE_SLOTS; i++) {
			if (entry_is(&c->entry[i], k->id, epoch))
				break;
			if (c->entry[i].used < c->entry[oldest].used)
				oldest = i;
		}
		if (i == SEAL_CACHE_SLOTS) {
			i = oldest;
			c->entry[i].key_id = 0; /* keying overwrites the context: it is nobody's until it has worked */
			err = ctx_key(c, c->ctx[i], k->key, epoch);
			if (err) {
				cache_wipe_entry(c, i);
				return err;
			}
			memcpy(c->entry[i].epoch, epoch, SEAL_EPOCH_LEN);
			c->entry[i].key_id = k->id;
		}
		c->last = i;
		c->entry[i].used = ++c->clock;
	}
	*ret_ctx = c->ctx[i];
	return 0;
}

int seal_cache_scratch(const struct seal_backend *b, const uint8_t key[static SEAL_KEY_LEN],
		       const uint8_t epoch[static SEAL_EPOCH_LEN], void **ret_ctx)
{
	struct cache *c;
	int err = cache_of(b, &c);

	if (err)
		return err;
	err = ctx_key(c, c->scratch, key, epoch);
	if (err) {
		b->wipe(c->scratch);
		return err;
	}
	*ret_ctx = c->scratch;
	return 0;
}

void seal_cache_scratch_wipe(void)
{
	if (mine && mine->backend)
		mine->backend->wipe(mine->scratch);
}

void seal_cache_forget(uint64_t key_id)
{
	if (!mine || !mine->backend)
		return;
	for (unsigned i = 0; i < SEAL_CACHE_SLOTS; i++)
		if (mine->entry[i].key_id == key_id)
			cache_wipe_entry(mine, i);
}
