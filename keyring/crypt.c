/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The primitives of the header, all from OpenSSL: HKDF-SHA-384, HMAC-SHA-384, scrypt, AES-256-GCM.
 *
 * OpenSSL keeps its own copy of a KDF's input while it works, wiped in EVP_KDF_CTX_free; nothing here adds another.
 */
#include "keyring/model.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <string.h>

#define KEYRING_DOMAIN "cloison 1 "

/* Parameter lists of OpenSSL are not const; it only reads what they point to (OSSL_PARAM(3)). */
static void *unconst(const void *p)
{
	return (void *)(uintptr_t)p;
}

static int run_kdf(const char *name, const OSSL_PARAM *params, uint8_t *out, size_t out_len)
{
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, name, NULL);
	EVP_KDF_CTX *ctx = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
	int ok = ctx ? EVP_KDF_derive(ctx, out, out_len, params) : 0;

	EVP_KDF_CTX_free(ctx);
	EVP_KDF_free(kdf);
	if (ok == 1)
		return 0;
	secret_wipe(out, out_len);
	return -EIO;
}

int keyring_hkdf(const void *ikm, size_t ikm_len, const char *use, const void *context, size_t context_len, void *out,
		 size_t out_len)
{
	uint8_t info[128];
	size_t n = strlen(KEYRING_DOMAIN), use_len = strlen(use) + 1; /* with its zero byte */
	OSSL_PARAM params[4];

	if (n + use_len + context_len > sizeof info)
		return -EINVAL;
	memcpy(info, KEYRING_DOMAIN, n);
	memcpy(info + n, use, use_len);
	memcpy(info + n + use_len, context, context_len);
	params[0] = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, unconst("SHA384"), 0);
	params[1] = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, unconst(ikm), ikm_len);
	params[2] = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info, n + use_len + context_len);
	params[3] = OSSL_PARAM_construct_end();
	return run_kdf("HKDF", params, out, out_len);
}

int keyring_derive(const struct secret *label_key, const char *use, const uint8_t id[static KEYRING_ID_LEN],
		   uint8_t *out, size_t out_len)
{
	if (secret_len(label_key) != KEYRING_KEY_LEN || !out_len || out_len > 64)
		return -EINVAL;
	return keyring_hkdf(secret_cbytes(label_key), KEYRING_KEY_LEN, use, id, KEYRING_ID_LEN, out, out_len);
}

int keyring_hmac(const uint8_t *key, size_t key_len, const void *msg, size_t len, uint8_t mac[static KEYRING_MAC_LEN])
{
	unsigned n = 0;

	if (!HMAC(EVP_sha384(), key, (int)key_len, msg, len, mac, &n) || n != KEYRING_MAC_LEN)
		return -EIO;
	return 0;
}

int keyring_scrypt(const struct secret *pass, const struct keyring_kdf *kdf, struct secret **ret)
{
	struct secret *CL_CLEANUP(secret_freep) out = NULL;
	uint64_t n = (uint64_t)1 << kdf->log2n, maxmem;
	uint32_t r = kdf->r, p = kdf->p;
	OSSL_PARAM params[7];
	int err;

	if (!keyring_kdf_ok(kdf))
		return -EINVAL;
	/* OpenSSL's own limit is 32 MiB. It needs 128 r (N + 2) + 128 r p bytes (RFC 7914), here 1 GiB at most. */
	maxmem = 128 * (uint64_t)r * (n + p + 4) + 4096;
	err = secret_new(KEYRING_ROOT_LEN, &out);
	if (err)
		return err;
	params[0] = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_PASSWORD, unconst(secret_cbytes(pass)),
						      secret_len(pass));
	params[1] = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, unconst(kdf->salt), sizeof kdf->salt);
	params[2] = OSSL_PARAM_construct_uint64(OSSL_KDF_PARAM_SCRYPT_N, &n);
	params[3] = OSSL_PARAM_construct_uint32(OSSL_KDF_PARAM_SCRYPT_R, &r);
	params[4] = OSSL_PARAM_construct_uint32(OSSL_KDF_PARAM_SCRYPT_P, &p);
	params[5] = OSSL_PARAM_construct_uint64(OSSL_KDF_PARAM_SCRYPT_MAXMEM, &maxmem);
	params[6] = OSSL_PARAM_construct_end();
	err = run_kdf("SCRYPT", params, secret_bytes(out), secret_len(out));
	if (!err)
		*ret = secret_steal(&out);
	return err;
}

static int gcm_encrypt(EVP_CIPHER_CTX *c, const uint8_t *key, const struct keyring_aad *aad, const uint8_t *in,
		       size_t len, uint8_t *out)
{
	int n;
	uint8_t *ct = out + KEYRING_NONCE_LEN;

	return EVP_EncryptInit_ex(c, EVP_aes_256_gcm(), NULL, key, out) == 1 &&
	       EVP_EncryptUpdate(c, NULL, &n, aad->bytes, (int)aad->len) == 1 &&
	       EVP_EncryptUpdate(c, ct, &n, in, (int)len) == 1 && EVP_EncryptFinal_ex(c, ct + n, &n) == 1 &&
	       EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_GET_TAG, KEYRING_TAG_LEN, ct + len) == 1;
}

int keyring_seal(const uint8_t key[static KEYRING_KEY_LEN], const struct keyring_aad *aad, const void *in, size_t len,
		 uint8_t *out)
{
	EVP_CIPHER_CTX *c;
	int err = keyring_random(out, KEYRING_NONCE_LEN);

	if (err)
		return err;
	c = EVP_CIPHER_CTX_new();
	if (!c)
		return -ENOMEM;
	err = gcm_encrypt(c, key, aad, in, len, out) ? 0 : -EIO;
	EVP_CIPHER_CTX_free(c);
	return err;
}

/* Where it fails tells what it was: all but the last step do not depend on the data. */
static int gcm_decrypt(EVP_CIPHER_CTX *c, const uint8_t *key, const struct keyring_aad *aad, const uint8_t *in,
		       uint8_t *out, size_t len)
{
	const uint8_t *ct = in + KEYRING_NONCE_LEN;
	uint8_t tag[KEYRING_TAG_LEN];
	int n;

	memcpy(tag, ct + len, sizeof tag);
	if (EVP_DecryptInit_ex(c, EVP_aes_256_gcm(), NULL, key, in) != 1 ||
	    EVP_DecryptUpdate(c, NULL, &n, aad->bytes, (int)aad->len) != 1 ||
	    EVP_DecryptUpdate(c, out, &n, ct, (int)len) != 1 ||
	    EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_SET_TAG, sizeof tag, tag) != 1)
		return -EIO;
	return EVP_DecryptFinal_ex(c, out + n, &n) == 1 ? 0 : -EBADMSG;
}

int keyring_open(const uint8_t key[static KEYRING_KEY_LEN], const struct keyring_aad *aad, const uint8_t *in, void *out,
		 size_t len)
{
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	int err;

	if (!c)
		return -ENOMEM;
	err = gcm_decrypt(c, key, aad, in, out, len);
	EVP_CIPHER_CTX_free(c);
	if (err)
		secret_wipe(out, len);
	return err;
}

int keyring_random(void *out, size_t n)
{
	return RAND_bytes(out, (int)n) == 1 ? 0 : -EIO;
}
