/* SPDX-License-Identifier: GPL-3.0-or-later */
/* AES-256-GCM by OpenSSL, and the key derivation of XAES-256-GCM for every implementation. */
#include "common/secret.h"
#include "fs/seal_backend.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#define AES_BLOCK 16u

/* Fetched once: a fetch per context takes a lock and a look-up by name. Set by init, before threads. */
static EVP_CIPHER *gcm_cipher;
static EVP_CIPHER *ecb_cipher;

/* What a context's bytes hold. */
struct openssl_ctx {
	EVP_CIPHER_CTX *evp; /* owned */
};
static_assert(sizeof(struct openssl_ctx) <= SEAL_CTX_LEN, "a context fits its slot");

static void openssl_done(void)
{
	EVP_CIPHER_free(gcm_cipher);
	EVP_CIPHER_free(ecb_cipher);
	gcm_cipher = NULL;
	ecb_cipher = NULL;
}

static int openssl_init(const char **ret_label)
{
	openssl_done();
	gcm_cipher = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
	ecb_cipher = EVP_CIPHER_fetch(NULL, "AES-256-ECB", NULL);
	if (!gcm_cipher || !ecb_cipher) {
		openssl_done();
		return -EIO;
	}
	*ret_label = "openssl";
	return 0;
}

static int openssl_key(void *ctx, const uint8_t key[static SEAL_KEY_LEN])
{
	struct openssl_ctx *c = ctx;

	/* Keying the context that is there spares an allocation, and overwrites the earlier key schedule in place. */
	if (c->evp)
		return EVP_EncryptInit_ex2(c->evp, NULL, key, NULL, NULL) == 1 ? 0 : -EIO;
	c->evp = EVP_CIPHER_CTX_new();
	if (!c->evp || EVP_EncryptInit_ex2(c->evp, gcm_cipher, key, NULL, NULL) != 1)
		return -EIO;
	return 0;
}

static void openssl_wipe(void *ctx)
{
	struct openssl_ctx *c = ctx;

	EVP_CIPHER_CTX_free(c->evp); /* clears the provider's part, which holds the keys */
	c->evp = NULL;
}

static int openssl_seal(void *ctx, const struct seal_job *job, uint8_t tag[static SEAL_TAG_LEN])
{
	EVP_CIPHER_CTX *evp = ((struct openssl_ctx *)ctx)->evp;
	OSSL_PARAM get_tag[2] = {
		OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, tag, SEAL_TAG_LEN),
		OSSL_PARAM_END
	};
	int n = 0;

	if (EVP_EncryptInit_ex2(evp, NULL, NULL, job->iv, NULL) != 1)
		return -EIO;
	if (job->aad_len && EVP_EncryptUpdate(evp, NULL, &n, job->aad, (int)job->aad_len) != 1)
		return -EIO;
	if (job->len && (EVP_EncryptUpdate(evp, job->out, &n, job->in, (int)job->len) != 1 || (size_t)n != job->len))
		return -EIO;
	if (EVP_EncryptFinal_ex(evp, (uint8_t *)job->out + job->len, &n) != 1 || n != 0)
		return -EIO;
	return EVP_CIPHER_CTX_get_params(evp, get_tag) == 1 ? 0 : -EIO;
}

static int openssl_open(void *ctx, const struct seal_job *job, const uint8_t tag[static SEAL_TAG_LEN])
{
	EVP_CIPHER_CTX *evp = ((struct openssl_ctx *)ctx)->evp;
	uint8_t want[SEAL_TAG_LEN]; /* OSSL_PARAM takes no const */
	OSSL_PARAM set_tag[2] = {
		OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, want, sizeof want),
		OSSL_PARAM_END
	};
	int n = 0;

	memcpy(want, tag, sizeof want);
	if (EVP_DecryptInit_ex2(evp, NULL, NULL, job->iv, set_tag) != 1)
		return -EIO;
	if (job->aad_len && EVP_DecryptUpdate(evp, NULL, &n, job->aad, (int)job->aad_len) != 1)
		return -EIO;
	if (job->len && (EVP_DecryptUpdate(evp, job->out, &n, job->in, (int)job->len) != 1 || (size_t)n != job->len))
		return -EIO;
	/* Compares the tags in constant time; any failure is a page that did not authenticate. */
	return EVP_DecryptFinal_ex(evp, (uint8_t *)job->out + job->len, &n) == 1 ? 0 : -EBADMSG;
}

const struct seal_backend seal_openssl = {
	.name = "openssl",
	.init = openssl_init,
	.done = openssl_done,
	.key = openssl_key,
	.wipe = openssl_wipe,
	.seal = openssl_seal,
	.open = openssl_open,
};

/* CMAC's first subkey (NIST SP 800-38B section 6.1) from L = AES(0), in place and without a branch on it. */
static void cmac_k1(uint8_t l[static AES_BLOCK])
{
	uint8_t carry = 0;

	for (unsigned i = AES_BLOCK; i-- > 0;) {
		uint8_t msb = (uint8_t)(l[i] >> 7);
		l[i] = (uint8_t)(l[i] << 1 | carry);
		carry = msb;
	}
	l[AES_BLOCK - 1] ^= (uint8_t)(0x87 & -carry);
}

int seal_openssl_derive(EVP_CIPHER_CTX **ecb, const uint8_t key[static SEAL_KEY_LEN],
			const uint8_t epoch[static SEAL_EPOCH_LEN], uint8_t ret[static SEAL_KEY_LEN])
{
	uint8_t k1[AES_BLOCK] = { 0 };
	uint8_t m[2 * AES_BLOCK] = { 0, 1, 'X', 0, [AES_BLOCK] = 0, 2, 'X', 0 };
	int n = 0;
	int err = -EIO;

	if (!*ecb)
		*ecb = EVP_CIPHER_CTX_new();
	if (!*ecb || EVP_EncryptInit_ex2(*ecb, ecb_cipher, key, NULL, NULL) != 1 ||
	    EVP_CIPHER_CTX_set_padding(*ecb, 0) != 1)
		goto out;
	if (EVP_EncryptUpdate(*ecb, k1, &n, k1, sizeof k1) != 1 || n != sizeof k1)
		goto out;
	cmac_k1(k1);
	memcpy(m + 4, epoch, SEAL_EPOCH_LEN);
	memcpy(m + AES_BLOCK + 4, epoch, SEAL_EPOCH_LEN);
	for (unsigned i = 0; i < sizeof m; i++)
		m[i] ^= k1[i % AES_BLOCK];
	if (EVP_EncryptUpdate(*ecb, ret, &n, m, sizeof m) != 1 || n != sizeof m)
		goto out;
	err = 0;
out:
	if (*ecb)
		EVP_CIPHER_CTX_reset(*ecb); /* wipes the key schedule */
	secret_wipe(k1, sizeof k1);
	secret_wipe(m, sizeof m);
	return err;
}

void seal_openssl_derive_free(EVP_CIPHER_CTX **ecb)
{
	EVP_CIPHER_CTX_free(*ecb);
	*ecb = NULL;
}
