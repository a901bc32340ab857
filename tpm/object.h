/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Sealed objects: making one, and opening one whose every stored byte is suspect. */
#ifndef CLOISON_TPM_OBJECT_H
#define CLOISON_TPM_OBJECT_H

#include "common/base.h"
#include "common/fault.h"
#include "tpm/context.h"

/* authValue without trailing zero bytes, which a TPM ignores and tpm2-tss 3.2.1 does not; len 0 for HOST objects. */
struct tpm_object_auth {
	const uint8_t *bytes; /* borrowed */
	uint16_t len;
};

/* Seals, then unseals again in new sessions and compares. Errors of tpm.h. */
int tpm_object_seal(struct tpm_context *c, enum tpm_unlock unlock, struct tpm_object_auth auth,
		    const uint8_t secret[static TPM_SECRET_LEN], struct tpm_blob *ret, struct fault *f) CL_MUST_USE;
int tpm_object_unseal(struct tpm_context *c, enum tpm_unlock unlock, struct tpm_object_auth auth,
		      const struct tpm_blob *blob, uint8_t ret[static TPM_SECRET_LEN], struct fault *f) CL_MUST_USE;

#endif
