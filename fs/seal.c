/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Sealing and opening pages and messages with XAES-256-GCM; choice and self-test of the implementation. */
#include "common/secret.h"
#include "fs/seal_backend.h"

#include <openssl/rand.h>
#include <stdatomic.h>

/* What a page's tag covers besides the page. */
struct page_aad {
	uint8_t compartment[16];
	le64 object;
	le64 index;
	le32 level;
	uint8_t zero[4];
};
static_assert(sizeof(struct page_aad) == 40, "the associated data of a page are 40 bytes");

/* The nonce's second half: 8 zero bytes and the counter. */
static_assert(SEAL_EPOCH_LEN + SEAL_IV_LEN == SEAL_NONCE_LEN, "a nonce is the epoch and GCM's nonce");
#define IV_COUNTER 8

static _Atomic(const struct seal_backend *) current; /* NULL: seal_init has not succeeded */
/* Set by seal_init, before threads. NULL: not there. */
static const char *openssl_label, *ipsecmb_label;

static _Atomic uint64_t next_key_id = 1;

static int message_seal(const struct seal_backend *b, const uint8_t key[static SEAL_KEY_LEN],
			const uint8_t epoch[static SEAL_EPOCH_LEN], const struct seal_job *job,
			uint8_t tag[static SEAL_TAG_LEN])
{
	void *ctx;
	int err = seal_cache_scratch(b, key, epoch, &ctx);

	if (err)
		return err;
	err = b->seal(ctx, job, tag);
	seal_cache_scratch_wipe();
	return err;
}

static int message_open(const struct seal_backend *b, const uint8_t key[static SEAL_KEY_LEN],
			const uint8_t epoch[static SEAL_EPOCH_LEN], const struct seal_job *job,
			const uint8_t tag[static SEAL_TAG_LEN])
{
	void *ctx;
	int err = seal_cache_scratch(b, key, epoch, &ctx);

	if (!err) {
		err = b->open(ctx, job, tag);
		seal_cache_scratch_wipe();
	}
	if (err)
		secret_wipe(job->out, job->len);
	return err;
}

/* The two test vectors of C2SP's XAES-256-GCM, one for each value of the bit that CMAC's subkey depends on. */
static int test_vectors(const struct seal_backend *b)
{
	static const struct {
		uint8_t key_byte;
		const char *aad;
		uint8_t sealed[28]; /* ciphertext and tag */
	} vectors[] = {
		{ 0x01, "",
		  { 0xce, 0x54, 0x6e, 0xf6, 0x3c, 0x9c, 0xc6, 0x07, 0x65, 0x92, 0x36, 0x09, 0xb3, 0x3a,
		    0x9a, 0x19, 0x74, 0xe9, 0x6e, 0x52, 0xda, 0xf2, 0xfc, 0xf7, 0x07, 0x5e, 0x22, 0x71 } },
		{ 0x03, "c2sp.org/XAES-256-GCM",
		  { 0x98, 0x6e, 0xc1, 0x83, 0x25, 0x93, 0xdf, 0x54, 0x43, 0xa1, 0x79, 0x43, 0x7f, 0xd0,
		    0x83, 0xbf, 0x3f, 0xdb, 0x41, 0xab, 0xd7, 0x40, 0xa2, 0x1f, 0x71, 0xeb, 0x76, 0x9d } },
	};
	static const char nonce[] = "ABCDEFGHIJKLMNOPQRSTUVWX", text[] = "XAES-256-GCM";

	for (size_t i = 0; i < CL_ARRAY_LEN(vectors); i++) {
		uint8_t key[SEAL_KEY_LEN], out[sizeof text - 1], tag[SEAL_TAG_LEN], epoch[SEAL_EPOCH_LEN];
		struct seal_job job = { .aad = vectors[i].aad, .aad_len = strlen(vectors[i].aad), .in = text,
					.out = out, .len = sizeof out };

		memset(key, vectors[i].key_byte, sizeof key);
		memcpy(epoch, nonce, sizeof epoch);
		memcpy(job.iv, nonce + sizeof epoch, sizeof job.iv);
		if (message_seal(b, key, epoch, &job, tag) || memcmp(out, vectors[i].sealed, sizeof out) ||
		    memcmp(tag, vectors[i].sealed + sizeof out, sizeof tag))
			return -EIO;
		job.in = out;
		if (message_open(b, key, epoch, &job, tag) || memcmp(out, text, sizeof out))
			return -EIO;
	}
	return 0;
}

/* That what from seals, to opens, and that to refuses it with a bit changed: on a page, where the long paths run. */
static int test_pair(const struct seal_backend *from, const struct seal_backend *to)
{
	uint8_t key[SEAL_KEY_LEN], epoch[SEAL_EPOCH_LEN], tag[SEAL_TAG_LEN], plain[CL_PAGE], page[CL_PAGE];
	struct page_aad aad = { .object = le64_of(1), .index = le64_of(2), .level = le32_of(3) };
	struct seal_job job = { .aad = &aad, .aad_len = sizeof aad, .in = plain, .out = page, .len = CL_PAGE };

	/* Not secret: any values do. */
	for (unsigned i = 0; i < sizeof plain; i++)
		plain[i] = (uint8_t)(i * 167 + (i >> 8));
	memcpy(key, plain, sizeof key);
	memcpy(epoch, plain + sizeof key, sizeof epoch);
	memcpy(job.iv, plain + sizeof key + sizeof epoch, sizeof job.iv);
	if (message_seal(from, key, epoch, &job, tag) || memcmp(page, plain, sizeof page) == 0)
		return -EIO;
	job.in = page;
	if (message_open(to, key, epoch, &job, tag) || memcmp(page, plain, sizeof page))
		return -EIO;
	job.in = plain;
	if (message_seal(from, key, epoch, &job, tag))
		return -EIO;
	page[CL_PAGE - 1] ^= 1;
	job.in = page;
	if (message_open(to, key, epoch, &job, tag) != -EBADMSG || !bytes_are_zero(page, sizeof page))
		return -EIO;
	return 0;
}

static int test_all(bool with_ipsecmb)
{
	int err = test_vectors(&seal_openssl);

	if (!err)
		err = test_pair(&seal_openssl, &seal_openssl);
	if (err || !with_ipsecmb)
		return err;
	err = test_vectors(&seal_ipsecmb);
	if (!err)
		err = test_pair(&seal_openssl, &seal_ipsecmb);
	if (!err)
		err = test_pair(&seal_ipsecmb, &seal_openssl);
	return err;
}

int seal_init(void)
{
	int err = seal_openssl.init(&openssl_label);

	if (err)
		return err;
	err = seal_ipsecmb.init(&ipsecmb_label);
	if (err == -ENOTSUP)
		ipsecmb_label = NULL;
	else if (err)
		goto fail;
	err = test_all(ipsecmb_label != NULL);
	if (err)
		goto fail;
	atomic_store(&current, ipsecmb_label ? &seal_ipsecmb : &seal_openssl);
	return 0;
fail:
	seal_done();
	return err;
}

void seal_done(void)
{
	seal_cache_done();
	atomic_store(&current, NULL);
	if (ipsecmb_label)
		seal_ipsecmb.done();
	seal_openssl.done();
	ipsecmb_label = NULL;
	openssl_label = NULL;
}

void seal_thread_done(void)
{
	seal_cache_done();
}

const char *seal_backend(void)
{
	const struct seal_backend *b = atomic_load(&current);

	return b ? b == &seal_ipsecmb ? ipsecmb_label : "openssl" : NULL;
}

int seal_force_backend(const char *name)
{
	if (openssl_label && strcmp(name, seal_openssl.name) == 0)
		atomic_store(&current, &seal_openssl);
	else if (ipsecmb_label && strcmp(name, seal_ipsecmb.name) == 0)
		atomic_store(&current, &seal_ipsecmb);
	else
		return -ENOTSUP;
	return 0;
}

void seal_key_init(struct seal_key *k, const uint8_t key[static SEAL_KEY_LEN])
{
	memcpy(k->key, key, SEAL_KEY_LEN);
	k->id = atomic_fetch_add_explicit(&next_key_id, 1, memory_order_relaxed);
}

int seal_key_random(struct seal_key *k)
{
	uint8_t key[SEAL_KEY_LEN];

	if (RAND_priv_bytes(key, sizeof key) != 1)
		return -EIO;
	seal_key_init(k, key);
	secret_wipe(key, sizeof key);
	return 0;
}

void seal_key_wipe(struct seal_key *k)
{
	if (k->id)
		seal_cache_forget(k->id);
	secret_wipe(k, sizeof *k);
}

static void aad_set(struct page_aad *aad, const struct seal_place *place)
{
	memcpy(aad->compartment, place->compartment, sizeof aad->compartment);
	aad->object = le64_of(place->object);
	aad->index = le64_of(place->index);
	aad->level = le32_of(place->level);
	memset(aad->zero, 0, sizeof aad->zero);
}

int seal_pages(struct seal_source *s, const struct seal_key *k, const struct seal_place *place, const void *in,
	       void *out, struct seal_ref *refs, uint32_t n)
{
	const struct seal_backend *b = atomic_load_explicit(&current, memory_order_acquire);
	struct page_aad aad;
	struct seal_job job = { .aad = &aad, .aad_len = sizeof aad, .in = in, .out = out, .len = CL_PAGE };
	uint8_t epoch[SEAL_EPOCH_LEN];
	uint32_t counter;
	void *ctx;
	int err;

	if (!b)
		return -EIO;
	aad_set(&aad, place);
	err = seal_source_take(s, n, epoch, &counter);
	if (err)
		return err;
	err = seal_cache_get(b, k, epoch, &ctx);
	for (uint32_t i = 0; !err && i < n; i++) {
		memcpy(refs[i].epoch, epoch, sizeof epoch);
		refs[i].counter = le32_of(counter + i);
		memcpy(job.iv + IV_COUNTER, &refs[i].counter, sizeof refs[i].counter);
		aad.index = le64_of(place->index + i);
		job.in = (const uint8_t *)in + (size_t)i * CL_PAGE;
		job.out = (uint8_t *)out + (size_t)i * CL_PAGE;
		err = b->seal(ctx, &job, refs[i].tag);
	}
	return err;
}

int seal_open_page(const struct seal_key *k, const struct seal_place *place, const struct seal_ref *ref, const void *in,
		   void *out)
{
	const struct seal_backend *b = atomic_load_explicit(&current, memory_order_acquire);
	struct page_aad aad;
	struct seal_job job = { .aad = &aad, .aad_len = sizeof aad, .in = in, .out = out, .len = CL_PAGE };
	void *ctx;
	int err;

	if (seal_ref_is_hole(ref))
		return -EINVAL;
	aad_set(&aad, place);
	memcpy(job.iv + IV_COUNTER, &ref->counter, sizeof ref->counter);
	err = b ? seal_cache_get(b, k, ref->epoch, &ctx) : -EIO;
	if (!err)
		err = b->open(ctx, &job, ref->tag);
	if (err)
		secret_wipe(out, CL_PAGE);
	return err;
}

/* Splits the nonce, and gives the implementations pointers that they can take where there is nothing to point at. */
static int message_job(struct seal_job *job, const uint8_t nonce[static SEAL_NONCE_LEN])
{
	static const uint8_t nothing[1];

	if (job->len > SEAL_MESSAGE_MAX || job->aad_len > SEAL_MESSAGE_MAX)
		return -EINVAL;
	if (!job->aad_len)
		job->aad = nothing;
	memcpy(job->iv, nonce + SEAL_EPOCH_LEN, sizeof job->iv);
	return 0;
}

int seal_message(const uint8_t key[static SEAL_KEY_LEN], const uint8_t nonce[static SEAL_NONCE_LEN], const void *aad,
		 size_t aad_len, const void *in, size_t len, void *out, uint8_t tag[static SEAL_TAG_LEN])
{
	const struct seal_backend *b = atomic_load(&current);
	struct seal_job job = { .aad = aad, .aad_len = aad_len, .in = in, .out = out, .len = len };
	uint8_t none[1];
	int err = b ? message_job(&job, nonce) : -EIO;

	if (err)
		return err;
	if (!len)
		job.in = job.out = none;
	return message_seal(b, key, nonce, &job, tag);
}

int seal_open_message(const uint8_t key[static SEAL_KEY_LEN], const uint8_t nonce[static SEAL_NONCE_LEN],
		      const void *aad, size_t aad_len, const void *in, size_t len, void *out,
		      const uint8_t tag[static SEAL_TAG_LEN])
{
	const struct seal_backend *b = atomic_load(&current);
	struct seal_job job = { .aad = aad, .aad_len = aad_len, .in = in, .out = out, .len = len };
	uint8_t none[1];
	int err = b ? message_job(&job, nonce) : -EIO;

	if (err)
		return err;
	if (!len)
		job.in = job.out = none;
	return message_open(b, key, nonce, &job, tag);
}
