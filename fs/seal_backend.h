/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Inside of seal: what an implementation of AES-256-GCM offers, and the cache of keyed contexts of each thread. Only
 * fs/seal*.c and its unit test include this.
 */
#ifndef CLOISON_FS_SEAL_BACKEND_H
#define CLOISON_FS_SEAL_BACKEND_H

#include "fs/seal.h"

#include <openssl/types.h>

#define SEAL_IV_LEN 12u
/* A run of counters, and a message, have at most this many pages and bytes. */
#define SEAL_RUN_MAX 65536u
#define SEAL_MESSAGE_MAX 65536u
/*
 * (key, epoch) pairs that a thread keeps keyed. Most requests need one or two (an object's data, its index pages are
 * under the same key); 16 leaves room for the metadata objects of a compartment, and for files written in several
 * sessions, whose pages have several epochs.
 */
#define SEAL_CACHE_SLOTS 16u
/* Room for the keyed context of any implementation, and its alignment. */
#define SEAL_CTX_LEN 1536u
#define SEAL_CTX_ALIGN 64u

/* One call of AES-256-GCM. All pointers borrowed; in, out and aad are never NULL; in and out may be equal. */
struct seal_job {
	const void *aad;
	size_t aad_len;
	const void *in;
	void *out;
	size_t len;
	uint8_t iv[SEAL_IV_LEN];
};

/*
 * A context lives in SEAL_CTX_LEN bytes that the caller owns: all zero = not keyed, no resources held. It is used by
 * one thread at a time.
 */
struct seal_backend {
	const char *name;
	/* Once per process; *ret_label is a static string. -ENOTSUP: not on this CPU or in this build; -EIO. */
	int (*init)(const char **ret_label);
	void (*done)(void);
	/* Keys ctx; whatever an earlier key left in it is overwritten. -EIO; the caller then wipes. */
	int (*key)(void *ctx, const uint8_t key[static SEAL_KEY_LEN]);
	/* Wipes ctx, releases its resources, leaves zeros. */
	void (*wipe)(void *ctx);
	/* -EIO */
	int (*seal)(void *ctx, const struct seal_job *job, uint8_t tag[static SEAL_TAG_LEN]);
	/* -EBADMSG, -EIO: out then holds what did not authenticate, and the caller zeroes it. */
	int (*open)(void *ctx, const struct seal_job *job, const uint8_t tag[static SEAL_TAG_LEN]);
};

extern const struct seal_backend seal_openssl;
extern const struct seal_backend seal_ipsecmb;

/*
 * XAES-256-GCM's key derivation: the subkey for key and the first 12 bytes of the nonce. *ecb is a context of the
 * calling thread, made at first use, holding no key between calls; seal_openssl_derive_free() frees it. -EIO.
 * seal_openssl's init comes first.
 */
int seal_openssl_derive(EVP_CIPHER_CTX **ecb, const uint8_t key[static SEAL_KEY_LEN],
			const uint8_t epoch[static SEAL_EPOCH_LEN], uint8_t ret[static SEAL_KEY_LEN]) CL_MUST_USE;
void seal_openssl_derive_free(EVP_CIPHER_CTX **ecb);

/*
 * The calling thread's context for (k, epoch): borrowed, until the thread's next call into seal. -EIO, -ENOMEM; -EINVAL
 * when k was wiped.
 */
int seal_cache_get(const struct seal_backend *b, const struct seal_key *k, const uint8_t epoch[static SEAL_EPOCH_LEN],
		   void **ret_ctx) CL_MUST_USE;
/* The same for a key that is used once: seal_cache_scratch_wipe() must follow. -EIO, -ENOMEM. */
int seal_cache_scratch(const struct seal_backend *b, const uint8_t key[static SEAL_KEY_LEN],
		       const uint8_t epoch[static SEAL_EPOCH_LEN], void **ret_ctx) CL_MUST_USE;
void seal_cache_scratch_wipe(void);
/* Wipes what the calling thread has cached for one key. */
void seal_cache_forget(uint64_t key_id);
/* Wipes and frees the calling thread's cache. */
void seal_cache_done(void);

#endif
