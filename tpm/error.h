/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a TPM's answer means for the user: TSS2_RC in, negative errno and a sentence out. */
#ifndef CLOISON_TPM_ERROR_H
#define CLOISON_TPM_ERROR_H

#include "common/base.h"
#include "common/fault.h"
#include "tpm/context.h"

/* What was being done: the same code means other things at other moments. */
enum tpm_step {
	TPM_STEP_STATUS,
	TPM_STEP_STORAGE_KEY, /* finding, creating or keeping the storage root key */
	TPM_STEP_LOAD,
	TPM_STEP_SESSION,
	TPM_STEP_CREATE,
	TPM_STEP_POLICY,
	TPM_STEP_UNSEAL
};

/*
 * The code itself: without the layer of a resource manager, and for codes that speak of a parameter, handle or session
 * without its number. Codes of the software above the TPM come back unchanged.
 */
TSS2_RC tpm_error_code(TSS2_RC rc);

/* errno as tpm.h lists them, sentence into f; notes in c when the connection died. May ask the TPM for its counters. */
int tpm_error(struct tpm_context *c, TSS2_RC rc, enum tpm_step step, enum tpm_unlock unlock, struct fault *f)
	CL_MUST_USE;

#endif
