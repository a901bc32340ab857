/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Names and policy digests in software. */
#include "tpm/policy.h"

#include <openssl/evp.h>
#include <string.h>
#include <tss2/tss2_mu.h>

static void put_be32(uint8_t *p, uint32_t v)
{
	for (unsigned i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> (24 - 8 * i));
}

/* digest = H(digest || command || argument), the shape of PolicyCommandCode and (with no argument) PolicyAuthValue. */
static int extend(uint8_t digest[static TPM_POLICY_LEN], TPM2_CC command, const TPM2_CC *argument)
{
	uint8_t in[TPM_POLICY_LEN + 8];
	size_t len = TPM_POLICY_LEN + 4;

	memcpy(in, digest, TPM_POLICY_LEN);
	put_be32(in + TPM_POLICY_LEN, command);
	if (argument) {
		put_be32(in + len, *argument);
		len += 4;
	}
	return EVP_Digest(in, len, digest, NULL, EVP_sha256(), NULL) == 1 ? 0 : -EIO;
}

int tpm_policy_digest(enum tpm_unlock unlock, uint8_t ret[static TPM_POLICY_LEN])
{
	static const TPM2_CC unseal = TPM2_CC_Unseal;
	uint8_t d[TPM_POLICY_LEN] = { 0 };
	int r;

	if (unlock != TPM_UNLOCK_HOST && unlock != TPM_UNLOCK_PIN)
		return -EINVAL;
	r = extend(d, TPM2_CC_PolicyCommandCode, &unseal);
	if (r == 0 && unlock == TPM_UNLOCK_PIN)
		r = extend(d, TPM2_CC_PolicyAuthValue, NULL);
	if (r == 0)
		memcpy(ret, d, TPM_POLICY_LEN);
	return r;
}

int tpm_policy_name(const TPM2B_PUBLIC *pub, TPM2B_NAME *ret)
{
	uint8_t area[sizeof(TPMT_PUBLIC)];
	size_t len = 0;
	unsigned digest_len = 0;
	const EVP_MD *md;

	switch (pub->publicArea.nameAlg) {
	case TPM2_ALG_SHA256:
		md = EVP_sha256();
		break;
	case TPM2_ALG_SHA384:
		md = EVP_sha384();
		break;
	case TPM2_ALG_SHA512:
		md = EVP_sha512();
		break;
	default:
		return -EUCLEAN;
	}
	if (Tss2_MU_TPMT_PUBLIC_Marshal(&pub->publicArea, area, sizeof(area), &len) != TSS2_RC_SUCCESS)
		return -EUCLEAN;
	if (EVP_Digest(area, len, ret->name + 2, &digest_len, md, NULL) != 1)
		return -EIO;
	ret->name[0] = (uint8_t)(pub->publicArea.nameAlg >> 8);
	ret->name[1] = (uint8_t)pub->publicArea.nameAlg;
	ret->size = (uint16_t)(2 + digest_len);
	return 0;
}
