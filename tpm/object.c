/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Sealed objects. */
#include "tpm/object.h"

#include "common/secret.h"
#include "tpm/error.h"
#include "tpm/policy.h"
#include "tpm/srk.h"
#include "tpm/wire.h"

#include <string.h>
#include <tss2/tss2_mu.h>

/* A blob taken apart. */
struct parts {
	TPM2B_NAME srk_name;
	TPM2B_PUBLIC object;
	TPM2B_PRIVATE private;
};

/*
 * Without USERWITHAUTH the policy is the only way in. Dictionary-attack protection only where a PIN can be guessed: a
 * lockout, or a count for each power cut, must not reach keys that have none.
 */
static TPMA_OBJECT object_attributes(enum tpm_unlock unlock)
{
	return TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | (unlock == TPM_UNLOCK_HOST ? TPMA_OBJECT_NODA : 0);
}

static int malformed(struct fault *f, const char *what)
{
	return fault_set(f, -EUCLEAN, CL_EXIT_KEY, "the sealed key is malformed (%s): use the recovery passphrase",
			 what);
}

/* All bytes of it, and none but those that encoding gives again: one public area has one encoding. */
static int decode_public(const uint8_t *bytes, size_t len, TPM2B_PUBLIC *ret)
{
	uint8_t again[sizeof(TPM2B_PUBLIC)];
	TPM2B_PUBLIC pub = { 0 };
	size_t off = 0, n = 0;

	if (Tss2_MU_TPM2B_PUBLIC_Unmarshal(bytes, len, &off, &pub) != TSS2_RC_SUCCESS || off != len)
		return -EUCLEAN;
	if (Tss2_MU_TPM2B_PUBLIC_Marshal(&pub, again, sizeof(again), &n) != TSS2_RC_SUCCESS || n != len ||
	    memcmp(bytes, again, len) != 0)
		return -EUCLEAN;
	*ret = pub;
	return 0;
}

static int decode_private(const uint8_t *bytes, size_t len, TPM2B_PRIVATE *ret)
{
	TPM2B_PRIVATE private = { 0 };
	size_t off = 0;

	if (Tss2_MU_TPM2B_PRIVATE_Unmarshal(bytes, len, &off, &private) != TSS2_RC_SUCCESS || off != len ||
	    !private.size)
		return -EUCLEAN;
	*ret = private;
	return 0;
}

/* The public area that seal() gives to an object, but for what the TPM fills in (unique). */
static int object_template(enum tpm_unlock unlock, TPM2B_PUBLIC *ret)
{
	TPM2B_PUBLIC t = {
		.publicArea = {
			.type = TPM2_ALG_KEYEDHASH,
			.nameAlg = TPM2_ALG_SHA256,
			.objectAttributes = object_attributes(unlock),
			.authPolicy.size = TPM_POLICY_LEN,
			.parameters.keyedHashDetail.scheme.scheme = TPM2_ALG_NULL,
		},
	};
	int r = tpm_policy_digest(unlock, t.publicArea.authPolicy.buffer);

	if (r == 0)
		*ret = t;
	return r;
}

static int decode_blob(const struct tpm_blob *blob, enum tpm_unlock unlock, struct parts *ret, struct fault *f)
{
	struct parts p = { 0 };
	TPM2B_PUBLIC srk, expected;
	TPM2B_NAME name;
	const TPMT_PUBLIC *have = &p.object.publicArea, *want = &expected.publicArea;
	int r;

	if (!tpm_wire_blob_fits(blob))
		return malformed(f, "lengths");
	if (decode_public(blob->srk_public, blob->srk_public_len, &srk) < 0)
		return malformed(f, "public area of the storage key");
	if (tpm_policy_name(&srk, &name) < 0 || name.size != blob->srk_name_len ||
	    memcmp(name.name, blob->srk_name, name.size) != 0)
		return malformed(f, "name of the storage key");
	p.srk_name = name;
	if (decode_public(blob->public_area, blob->public_len, &p.object) < 0)
		return malformed(f, "public area");
	if (decode_private(blob->private_area, blob->private_len, &p.private) < 0)
		return malformed(f, "private area");
	r = object_template(unlock, &expected);
	if (r < 0)
		return fault_set(f, r, CL_EXIT_TPM, "the policy of a sealed key cannot be computed");
	/* Nothing that another policy would open, or that forgets to count wrong PINs, is worth a PIN. */
	if (have->type != want->type || have->nameAlg != want->nameAlg ||
	    have->objectAttributes != want->objectAttributes ||
	    have->parameters.keyedHashDetail.scheme.scheme != want->parameters.keyedHashDetail.scheme.scheme)
		return malformed(f, "kind of object");
	if (have->authPolicy.size != want->authPolicy.size ||
	    memcmp(have->authPolicy.buffer, want->authPolicy.buffer, want->authPolicy.size) != 0)
		return malformed(f, "policy");
	*ret = p;
	return 0;
}

/* Brings the policy session to where the object's authPolicy is, and looks that it got there. */
static int satisfy_policy(struct tpm_context *c, ESYS_TR policy, enum tpm_unlock unlock, struct fault *f)
{
	TPM2B_DIGEST *digest = NULL;
	uint8_t expected[TPM_POLICY_LEN];
	bool same;
	TSS2_RC rc;

	rc = Esys_PolicyCommandCode(c->esys, policy, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, TPM2_CC_Unseal);
	if (rc == TSS2_RC_SUCCESS && unlock == TPM_UNLOCK_PIN)
		rc = Esys_PolicyAuthValue(c->esys, policy, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE);
	if (rc == TSS2_RC_SUCCESS)
		rc = Esys_PolicyGetDigest(c->esys, policy, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &digest);
	if (rc != TSS2_RC_SUCCESS)
		return tpm_error(c, rc, TPM_STEP_POLICY, unlock, f);
	same = tpm_policy_digest(unlock, expected) == 0 && digest->size == sizeof(expected) &&
	       memcmp(digest->buffer, expected, sizeof(expected)) == 0;
	Esys_Free(digest);
	/* Stop here: an Unseal that must fail would still count as a wrong PIN. */
	if (!same)
		return fault_set(f, -EACCES, CL_EXIT_KEY,
				 "the TPM's policy digest is not the one expected: nothing was unsealed");
	return 0;
}

static int unseal_loaded(struct tpm_context *c, ESYS_TR object, enum tpm_unlock unlock, uint8_t *ret, struct fault *f)
{
	ESYS_TR guard = ESYS_TR_NONE, policy = ESYS_TR_NONE;
	const ESYS_TR bind = unlock == TPM_UNLOCK_PIN ? object : ESYS_TR_NONE;
	TPM2B_SENSITIVE_DATA *data = NULL;
	TSS2_RC rc;
	int r;

	/* Bound to the object, so that an interposer without the PIN cannot derive the session's key. */
	rc = tpm_context_session(c, TPM2_SE_HMAC, bind, ESYS_TR_NONE, &guard);
	if (rc == TSS2_RC_SUCCESS)
		rc = tpm_context_session(c, TPM2_SE_POLICY, ESYS_TR_NONE, guard, &policy);
	if (rc != TSS2_RC_SUCCESS) {
		r = tpm_error(c, rc, TPM_STEP_SESSION, unlock, f);
		goto out;
	}
	r = satisfy_policy(c, policy, unlock, f);
	if (r < 0)
		goto out;
	rc = Esys_Unseal(c->esys, object, policy, guard, ESYS_TR_NONE, &data);
	if (rc != TSS2_RC_SUCCESS) {
		r = tpm_error(c, rc, TPM_STEP_UNSEAL, unlock, f);
		goto out;
	}
	if (data->size == TPM_SECRET_LEN)
		memcpy(ret, data->buffer, TPM_SECRET_LEN);
	else
		r = malformed(f, "size of the secret");
	secret_wipe(data, sizeof(*data));
	Esys_Free(data);
out:
	tpm_context_flush(c, &policy);
	tpm_context_flush(c, &guard);
	return r;
}

int tpm_object_unseal(struct tpm_context *c, enum tpm_unlock unlock, struct tpm_object_auth auth,
		      const struct tpm_blob *blob, uint8_t ret[static TPM_SECRET_LEN], struct fault *f)
{
	ESYS_TR object = ESYS_TR_NONE;
	TPM2B_AUTH value = { .size = auth.len };
	struct parts parts;
	TSS2_RC rc;
	int r;

	r = decode_blob(blob, unlock, &parts, f);
	if (r < 0)
		return r;
	r = tpm_srk_match(c, &parts.srk_name, f);
	if (r < 0)
		return r;
	rc = Esys_Load(c->esys, c->srk, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &parts.private, &parts.object,
		       &object);
	if (rc != TSS2_RC_SUCCESS)
		return tpm_error(c, rc, TPM_STEP_LOAD, unlock, f);
	if (auth.len)
		memcpy(value.buffer, auth.bytes, auth.len);
	rc = Esys_TR_SetAuth(c->esys, object, &value);
	secret_wipe(&value, sizeof(value));
	r = rc == TSS2_RC_SUCCESS ? unseal_loaded(c, object, unlock, ret, f)
				  : tpm_error(c, rc, TPM_STEP_LOAD, unlock, f);
	tpm_context_flush(c, &object);
	return r;
}

/* Marshals all three public parts and the private one. */
static int encode_blob(const struct tpm_context *c, const TPM2B_PUBLIC *pub, const TPM2B_PRIVATE *private,
		       struct tpm_blob *ret)
{
	struct tpm_blob b = { 0 };
	size_t srk_len = 0, pub_len = 0, private_len = 0;

	if (c->srk_name.size > sizeof(b.srk_name))
		return -EOVERFLOW;
	memcpy(b.srk_name, c->srk_name.name, c->srk_name.size);
	if (Tss2_MU_TPM2B_PUBLIC_Marshal(&c->srk_public, b.srk_public, sizeof(b.srk_public), &srk_len) !=
		    TSS2_RC_SUCCESS ||
	    Tss2_MU_TPM2B_PUBLIC_Marshal(pub, b.public_area, sizeof(b.public_area), &pub_len) != TSS2_RC_SUCCESS ||
	    Tss2_MU_TPM2B_PRIVATE_Marshal(private, b.private_area, sizeof(b.private_area), &private_len) !=
		    TSS2_RC_SUCCESS)
		return -EOVERFLOW;
	b.srk_name_len = c->srk_name.size;
	b.srk_public_len = (uint16_t)srk_len;
	b.public_len = (uint16_t)pub_len;
	b.private_len = (uint16_t)private_len;
	*ret = b;
	return 0;
}

static int create(struct tpm_context *c, enum tpm_unlock unlock, struct tpm_object_auth auth, const uint8_t *secret,
		  struct tpm_blob *ret, struct fault *f)
{
	static const TPML_PCR_SELECTION no_pcrs = { 0 };
	static const TPM2B_DATA outside = { 0 };
	TPM2B_SENSITIVE_CREATE sensitive = { 0 };
	TPM2B_PUBLIC template, *pub = NULL;
	TPM2B_PRIVATE *private = NULL;
	ESYS_TR guard = ESYS_TR_NONE;
	TSS2_RC rc;
	int r;

	r = object_template(unlock, &template);
	if (r < 0)
		return fault_set(f, r, CL_EXIT_TPM, "the policy of a sealed key cannot be computed");
	rc = tpm_context_session(c, TPM2_SE_HMAC, ESYS_TR_NONE, ESYS_TR_NONE, &guard);
	if (rc != TSS2_RC_SUCCESS)
		return tpm_error(c, rc, TPM_STEP_SESSION, TPM_UNLOCK_HOST, f);
	sensitive.sensitive.userAuth.size = auth.len;
	if (auth.len)
		memcpy(sensitive.sensitive.userAuth.buffer, auth.bytes, auth.len);
	sensitive.sensitive.data.size = TPM_SECRET_LEN;
	memcpy(sensitive.sensitive.data.buffer, secret, TPM_SECRET_LEN);
	rc = Esys_Create(c->esys, c->srk, guard, ESYS_TR_NONE, ESYS_TR_NONE, &sensitive, &template, &outside, &no_pcrs,
			 &private, &pub, NULL, NULL, NULL);
	secret_wipe(&sensitive, sizeof(sensitive));
	if (rc != TSS2_RC_SUCCESS)
		r = tpm_error(c, rc, TPM_STEP_CREATE, TPM_UNLOCK_HOST, f);
	else if (encode_blob(c, pub, private, ret) < 0)
		r = fault_set(f, -EIO, CL_EXIT_TPM,
			      "the TPM made a sealed key that is larger than this program stores");
	tpm_context_flush(c, &guard);
	Esys_Free(pub);
	Esys_Free(private);
	return r;
}

int tpm_object_seal(struct tpm_context *c, enum tpm_unlock unlock, struct tpm_object_auth auth,
		    const uint8_t secret[static TPM_SECRET_LEN], struct tpm_blob *ret, struct fault *f)
{
	CL_CLEANUP(secret_freep) struct secret *again = NULL;
	struct tpm_blob blob;
	int r;

	r = tpm_srk_provide(c, f);
	if (r < 0)
		return r;
	r = secret_new(TPM_SECRET_LEN, &again);
	if (r < 0)
		return fault_set(f, r, CL_EXIT_TPM, "no locked memory for a key: raise RLIMIT_MEMLOCK (ulimit -l)");
	r = create(c, unlock, auth, secret, &blob, f);
	if (r < 0)
		return r;
	/* Firmware exists that creates what it cannot load again: find out now, not when the key is needed. */
	r = tpm_object_unseal(c, unlock, auth, &blob, secret_bytes(again), f);
	if (r == -ENODEV || r == -EBUSY || r == -EAGAIN)
		return r;
	if (r < 0)
		return fault_wrap(f, r, CL_EXIT_TPM, "the TPM does not give back what it has just sealed");
	if (!secret_equal(secret, secret_cbytes(again), TPM_SECRET_LEN))
		return fault_set(f, -EIO, CL_EXIT_TPM,
				 "the TPM gives back another secret than it was told to seal: do not use this TPM");
	*ret = blob;
	return 0;
}
