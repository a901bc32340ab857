/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Sealing 4096-byte pages with XAES-256-GCM.
 *
 * XAES-256-GCM: C2SP (c2sp.org/XAES-256-GCM) = NIST SP 800-108r1 KDF in counter mode with CMAC, then AES-256-GCM
 * (NIST SP 800-38D). 24-byte nonce N = epoch[12] || 00*8 || counter[4, little-endian]; AAD = compartment id[16] ||
 * object[8] || index[8] || level[4] || 0[4], integers little-endian. A ref (32 bytes, kept in the page's parent) is
 * epoch || counter || tag; all zero = a hole.
 *
 * Two interchangeable implementations of AES-256-GCM, compared with each other and with the C2SP vectors when the
 * process starts (seal_init): OpenSSL, always there; and Intel's Multi-Buffer Crypto for IPsec library where it was
 * built in and the CPU has VAES (4-5 times as fast on 4 KiB pages). Key derivation is OpenSSL's in both.
 *
 * Threads: all functions may be called from any thread. struct seal_key is read-only after seal_key_init. Keyed cipher
 * contexts are cached per thread (a few (key, epoch) pairs), wiped at eviction, at thread exit and by
 * seal_thread_done(); no allocation and no cipher fetch on a cache hit.
 */
#ifndef CLOISON_FS_SEAL_H
#define CLOISON_FS_SEAL_H

#include "common/base.h"
#include "common/bytes.h"

#include <assert.h>

#define SEAL_KEY_LEN 32u
#define SEAL_EPOCH_LEN 12u
#define SEAL_TAG_LEN 16u
#define SEAL_NONCE_LEN 24u

struct seal_ref {
	uint8_t epoch[SEAL_EPOCH_LEN];
	le32 counter;
	uint8_t tag[SEAL_TAG_LEN];
};
static_assert(sizeof(struct seal_ref) == 32, "a ref is 32 bytes");

static inline bool seal_ref_is_hole(const struct seal_ref *r)
{
	return bytes_are_zero(r, sizeof *r);
}

/* Where a page belongs: what its seal is bound to. */
struct seal_place {
	uint8_t compartment[16];
	uint64_t object;
	uint64_t index; /* page index within its level */
	uint32_t level; /* 0 = leaf */
};

/* An object key. id is unique within the process, so that cached contexts of a dead key never match a new one. */
struct seal_key {
	uint8_t key[SEAL_KEY_LEN];
	uint64_t id;
};

/* Self-test of both implementations against the C2SP vectors and each other. Once, before threads. -EIO when one fails. */
int seal_init(void) CL_MUST_USE;
/* Name of the implementation in use: "openssl" or "ipsec-mb <arch>"; NULL before seal_init. */
const char *seal_backend(void);
/* For tests and benchmarks: force one ("openssl", "ipsec-mb"); -ENOTSUP when it is not there. */
int seal_force_backend(const char *name) CL_MUST_USE;
/* Frees what the process holds (tests, end of main); wipes the calling thread's contexts. */
void seal_done(void);
void seal_thread_done(void);

void seal_key_init(struct seal_key *k, const uint8_t key[static SEAL_KEY_LEN]);
int seal_key_random(struct seal_key *k) CL_MUST_USE; /* private DRBG; -EIO */
void seal_key_wipe(struct seal_key *k);

/*
 * Source of nonces of one compartment opened for writing: a random epoch, and one counter for all its objects, so that
 * a (key, nonce) pair can never come twice, whatever is evicted, reloaded, restored or moved to another host. Draws a
 * new epoch before the counter would wrap. Lock-free.
 */
struct seal_source;
int seal_source_new(struct seal_source **ret) CL_MUST_USE;
void seal_source_free(struct seal_source *s);
/* Reserves n consecutive counters (1 <= n <= 65536): the caller may use (epoch, *ret_counter + i). Thread-safe. -EIO. */
int seal_source_take(struct seal_source *s, uint32_t n, uint8_t ret_epoch[static SEAL_EPOCH_LEN], uint32_t *ret_counter) CL_MUST_USE;
/* For tests: next counter to be handed out. */
void seal_source_set_counter(struct seal_source *s, uint32_t counter);

/*
 * Seals n consecutive pages (indices place->index ..+n-1) from in to out (n * 4096 bytes each; may be the same buffer,
 * must not overlap otherwise); takes n counters from s; writes n refs. -EIO when the library fails; then nothing of
 * out or refs may be used.
 */
int seal_pages(struct seal_source *s, const struct seal_key *k, const struct seal_place *place, const void *in, void *out,
	       struct seal_ref *refs, uint32_t n) CL_MUST_USE;
/*
 * Opens one page under ref. in and out may be the same buffer. -EBADMSG when it does not authenticate: out is then
 * zeroed. A hole is the caller's business (ref all zero: -EINVAL).
 */
int seal_open_page(const struct seal_key *k, const struct seal_place *place, const struct seal_ref *ref, const void *in,
		   void *out) CL_MUST_USE;

/*
 * General AEAD on short messages (wrapped keys, root page, sealed labels): XAES-256-GCM, 24-byte nonce.
 * len up to 65536. out has len bytes, tag 16. -EIO; -EBADMSG (out zeroed).
 */
int seal_message(const uint8_t key[static SEAL_KEY_LEN], const uint8_t nonce[static SEAL_NONCE_LEN], const void *aad,
		 size_t aad_len, const void *in, size_t len, void *out, uint8_t tag[static SEAL_TAG_LEN]) CL_MUST_USE;
int seal_open_message(const uint8_t key[static SEAL_KEY_LEN], const uint8_t nonce[static SEAL_NONCE_LEN], const void *aad,
		      size_t aad_len, const void *in, size_t len, void *out, const uint8_t tag[static SEAL_TAG_LEN]) CL_MUST_USE;

#endif
