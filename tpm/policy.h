/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Names and policy digests in software (TPM 2.0 Library, Parts 1 and 3), never by trial sessions. */
#ifndef CLOISON_TPM_POLICY_H
#define CLOISON_TPM_POLICY_H

#include "common/base.h"
#include "tpm/tpm.h"

#include <tss2/tss2_tpm2_types.h>

#define TPM_POLICY_LEN 32u /* SHA-256 */

/*
 * authPolicy of an object that opens as unlock says; H = SHA-256, integers big-endian:
 * HOST  H(0^32 || TPM2_CC_PolicyCommandCode || TPM2_CC_Unseal)
 * PIN   H(HOST || TPM2_CC_PolicyAuthValue)
 * -EINVAL for an unknown unlock, -EIO when the hash fails.
 */
int tpm_policy_digest(enum tpm_unlock unlock, uint8_t ret[static TPM_POLICY_LEN]) CL_MUST_USE;

/* Name of a public area: nameAlg || H_nameAlg(TPMT_PUBLIC). -EUCLEAN for a nameAlg other than SHA-256, -384, -512. */
int tpm_policy_name(const TPM2B_PUBLIC *pub, TPM2B_NAME *ret) CL_MUST_USE;

#endif
