/* SPDX-License-Identifier: GPL-3.0-or-later */
/* One connection to a TPM, as the helper holds it: opening, rebuilding after it died, giving handles back. */
#ifndef CLOISON_TPM_CONTEXT_H
#define CLOISON_TPM_CONTEXT_H

#include "common/base.h"
#include "common/fault.h"
#include "tpm/tpm.h"

#include <tss2/tss2_esys.h>

/* Zero-initialise, set tcti, then tpm_context_open(). */
struct tpm_context {
	const char *tcti; /* borrowed */
	TSS2_TCTI_CONTEXT *transport;
	ESYS_CONTEXT *esys;
	/* After an I/O error ESYS answers every call with BAD_SEQUENCE, even when the TPM is back: rebuild it. */
	bool dead;

	/* The storage key of this run (srk.c). */
	bool has_srk;
	bool srk_is_transient;
	ESYS_TR srk;
	TPM2B_PUBLIC srk_public;
	TPM2B_NAME srk_name;
	TPM2B_NAME srk_missing; /* looked for in vain, so that a batch does not look again; size 0: none */
};

/* Connects and starts the TPM up if it is not; nothing to do when the connection stands. -ENODEV, -EIO. */
int tpm_context_open(struct tpm_context *c, struct fault *f) CL_MUST_USE;
/* Lets the storage key go and disconnects. Idempotent. */
void tpm_context_close(struct tpm_context *c);

/* Gives a session or transient object back to the TPM; *h becomes ESYS_TR_NONE. For every path, good or bad. */
void tpm_context_flush(struct tpm_context *c, ESYS_TR *h);

/* Lets the storage key go, flushing it if it is transient. */
void tpm_context_drop_srk(struct tpm_context *c);

/* Takes note when rc means that the connection is of no more use. */
void tpm_context_note(struct tpm_context *c, TSS2_RC rc);

/* The TPM's dictionary-attack counters; ret->manufacturer stays as it is. */
TSS2_RC tpm_context_lockout(struct tpm_context *c, struct tpm_status *ret) CL_MUST_USE;
/* All of it. */
int tpm_context_status(struct tpm_context *c, struct tpm_status *ret, struct fault *f) CL_MUST_USE;

/*
 * A session salted with the storage key, AES-128-CFB. HMAC sessions (type TPM2_SE_HMAC) encrypt parameters both ways
 * and may be bound to an object; policy sessions are started under such a session (guard), so that the handle and
 * nonce in the reply are authentic.
 */
TSS2_RC tpm_context_session(struct tpm_context *c, TPM2_SE type, ESYS_TR bind, ESYS_TR guard, ESYS_TR *ret) CL_MUST_USE;

#endif
