/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The storage root key. */
#include "tpm/srk.h"

#include "tpm/error.h"
#include "tpm/policy.h"

#include <string.h>

#define STORAGE_ATTRIBUTES \
	(TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_DECRYPT | TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT)

/*
 * TCG TPM v2.0 Provisioning Guidance, template L-2: ECC P-256, AES-128-CFB. NODA because a lockout of the TPM would
 * otherwise stop every use of the key. unique_len: 0 in the Linux world, 32 zero bytes for each coordinate in another;
 * they give different keys.
 */
static TPM2B_PUBLIC srk_template(uint16_t unique_len)
{
	return (TPM2B_PUBLIC){
		.publicArea = {
			.type = TPM2_ALG_ECC,
			.nameAlg = TPM2_ALG_SHA256,
			.objectAttributes = STORAGE_ATTRIBUTES | TPMA_OBJECT_NODA | TPMA_OBJECT_SENSITIVEDATAORIGIN |
					    TPMA_OBJECT_USERWITHAUTH,
			.parameters.eccDetail = {
				.symmetric = {
					.algorithm = TPM2_ALG_AES,
					.keyBits.aes = 128,
					.mode.aes = TPM2_ALG_CFB,
				},
				.scheme.scheme = TPM2_ALG_NULL,
				.curveID = TPM2_ECC_NIST_P256,
				.kdf.scheme = TPM2_ALG_NULL,
			},
			.unique.ecc = { .x.size = unique_len, .y.size = unique_len },
		},
	};
}

static bool name_equal(const TPM2B_NAME *a, const TPM2B_NAME *b)
{
	return a->size == b->size && memcmp(a->name, b->name, a->size) == 0;
}

/*
 * Takes the key behind tr over into c. The Name that ESYS computes from the public area it will use for the salt must
 * be the Name of the public area that we store; the one in a ReadPublic reply is only the TPM's (or an interposer's)
 * word.
 */
static int adopt(struct tpm_context *c, ESYS_TR tr, bool transient, const TPM2B_PUBLIC *pub, struct fault *f)
{
	TPM2B_NAME *used = NULL;
	TPM2B_NAME own;
	TSS2_RC rc = Esys_TR_GetName(c->esys, tr, &used);
	bool same;
	int r;

	if (rc != TSS2_RC_SUCCESS)
		return tpm_error(c, rc, TPM_STEP_STORAGE_KEY, TPM_UNLOCK_HOST, f);
	r = tpm_policy_name(pub, &own);
	same = r == 0 && name_equal(used, &own);
	Esys_Free(used);
	if (!same)
		return fault_set(
			f, -EIO, CL_EXIT_TPM,
			"the TPM's storage key at 0x%x cannot be used: its Name is not that of its public area, or not "
			"made with SHA-2",
			TPM_SRK_HANDLE);
	c->srk = tr;
	c->srk_is_transient = transient;
	c->srk_public = *pub;
	c->srk_name = own;
	c->has_srk = true;
	return 0;
}

/* -ENOENT (no sentence) when the handle is empty. */
static int adopt_persistent(struct tpm_context *c, struct fault *f)
{
	ESYS_TR tr = ESYS_TR_NONE;
	TPM2B_PUBLIC *pub = NULL;
	TSS2_RC rc = Esys_TR_FromTPMPublic(c->esys, TPM_SRK_HANDLE, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &tr);
	int r;

	if (tpm_error_code(rc) == TPM2_RC_HANDLE)
		return -ENOENT;
	if (rc != TSS2_RC_SUCCESS)
		return tpm_error(c, rc, TPM_STEP_STORAGE_KEY, TPM_UNLOCK_HOST, f);
	rc = Esys_ReadPublic(c->esys, tr, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &pub, NULL, NULL);
	r = rc == TSS2_RC_SUCCESS ? adopt(c, tr, false, pub, f)
				  : tpm_error(c, rc, TPM_STEP_STORAGE_KEY, TPM_UNLOCK_HOST, f);
	Esys_Free(pub);
	if (r < 0)
		Esys_TR_Close(c->esys, &tr);
	return r;
}

/* A transient primary key under empty owner authorisation. */
static TSS2_RC create_primary(struct tpm_context *c, uint16_t unique_len, ESYS_TR *ret, TPM2B_PUBLIC **ret_pub)
{
	static const TPM2B_SENSITIVE_CREATE sensitive = { 0 };
	static const TPML_PCR_SELECTION no_pcrs = { 0 };
	static const TPM2B_DATA outside = { 0 };
	const TPM2B_PUBLIC template = srk_template(unique_len);
	TSS2_RC rc = Esys_CreatePrimary(c->esys, ESYS_TR_RH_OWNER, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE,
					&sensitive, &template, &outside, &no_pcrs, ret, ret_pub, NULL, NULL, NULL);

	if (rc != TSS2_RC_SUCCESS)
		tpm_context_note(c, rc);
	return rc;
}

static int create_persistent(struct tpm_context *c, struct fault *f)
{
	ESYS_TR key = ESYS_TR_NONE, kept = ESYS_TR_NONE;
	TSS2_RC rc = create_primary(c, 0, &key, NULL);

	if (rc != TSS2_RC_SUCCESS)
		return tpm_error(c, rc, TPM_STEP_STORAGE_KEY, TPM_UNLOCK_HOST, f);
	rc = Esys_EvictControl(c->esys, ESYS_TR_RH_OWNER, key, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE,
			       TPM_SRK_HANDLE, &kept);
	tpm_context_flush(c, &key);
	/* Another program was faster: its key is as good. */
	if (rc != TSS2_RC_SUCCESS && tpm_error_code(rc) != TPM2_RC_NV_DEFINED)
		return tpm_error(c, rc, TPM_STEP_STORAGE_KEY, TPM_UNLOCK_HOST, f);
	if (rc == TSS2_RC_SUCCESS)
		Esys_TR_Close(c->esys, &kept);
	return 0;
}

int tpm_srk_provide(struct tpm_context *c, struct fault *f)
{
	const TPMT_PUBLIC *pub = &c->srk_public.publicArea;
	int r;

	if (c->has_srk && !c->srk_is_transient)
		return 0;
	tpm_context_drop_srk(c);
	r = adopt_persistent(c, f);
	if (r == -ENOENT) {
		r = create_persistent(c, f);
		if (r == 0)
			r = adopt_persistent(c, f);
		if (r == -ENOENT)
			r = fault_set(f, -EIO, CL_EXIT_TPM, "the TPM did not keep the storage key created at 0x%x",
				      TPM_SRK_HANDLE);
	}
	if (r < 0)
		return r;
	if ((pub->objectAttributes & (STORAGE_ATTRIBUTES | TPMA_OBJECT_SIGN_ENCRYPT)) != STORAGE_ATTRIBUTES ||
	    (pub->type != TPM2_ALG_ECC && pub->type != TPM2_ALG_RSA)) {
		tpm_context_drop_srk(c);
		return fault_set(f, -EIO, CL_EXIT_TPM,
				 "what the TPM keeps at 0x%x is not a storage key: tpm2_readpublic -c 0x%x shows it; "
				 "it has to be "
				 "moved before anything can be sealed here",
				 TPM_SRK_HANDLE, TPM_SRK_HANDLE);
	}
	return 0;
}

/* Tries a template; -ENOENT (no sentence) when it gives another key, or none because the owner does not let us. */
static int adopt_template(struct tpm_context *c, uint16_t unique_len, const TPM2B_NAME *name, struct fault *f)
{
	ESYS_TR key = ESYS_TR_NONE;
	TPM2B_PUBLIC *pub = NULL;
	TSS2_RC rc = create_primary(c, unique_len, &key, &pub);
	int r;

	if (rc != TSS2_RC_SUCCESS) {
		const TSS2_RC code = tpm_error_code(rc);

		if (code == TPM2_RC_AUTH_FAIL || code == TPM2_RC_BAD_AUTH || code == TPM2_RC_HIERARCHY)
			return -ENOENT;
		return tpm_error(c, rc, TPM_STEP_STORAGE_KEY, TPM_UNLOCK_HOST, f);
	}
	r = adopt(c, key, true, pub, f);
	Esys_Free(pub);
	if (r < 0) {
		tpm_context_flush(c, &key);
		return r;
	}
	if (name_equal(&c->srk_name, name))
		return 0;
	tpm_context_drop_srk(c);
	return -ENOENT;
}

int tpm_srk_match(struct tpm_context *c, const TPM2B_NAME *name, struct fault *f)
{
	static const uint16_t unique_lens[] = { 0, 32 };
	int r = -ENOENT;

	if (c->has_srk && name_equal(&c->srk_name, name))
		return 0;
	tpm_context_drop_srk(c);
	if (!c->srk_missing.size || !name_equal(&c->srk_missing, name)) {
		/* A strange key at the handle is no error here: it is not the one we look for. */
		r = adopt_persistent(c, NULL);
		if (r == 0 && name_equal(&c->srk_name, name))
			return 0;
		tpm_context_drop_srk(c);
		if (c->dead)
			return fault_set(
				f, -ENODEV, CL_EXIT_TPM,
				"the TPM went away while its storage key was looked up: try again, or use the recovery "
				"passphrase");
		for (size_t i = 0; i < CL_ARRAY_LEN(unique_lens); i++) {
			r = adopt_template(c, unique_lens[i], name, f);
			if (r != -ENOENT)
				return r;
		}
		c->srk_missing = *name;
	}
	return fault_set(f, -ENOKEY, CL_EXIT_KEY,
			 "the key is sealed to another TPM (or this TPM was cleared): use the recovery passphrase, or "
			 "the machine "
			 "on which it was sealed");
}
