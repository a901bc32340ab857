/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The storage root key: found, created when there is none, pinned by its Name. */
#ifndef CLOISON_TPM_SRK_H
#define CLOISON_TPM_SRK_H

#include "common/base.h"
#include "common/fault.h"
#include "tpm/context.h"

#define TPM_SRK_HANDLE 0x81000001u

/*
 * Makes c->srk this TPM's storage key, to seal under: what is at TPM_SRK_HANDLE, if it is a storage key; when the
 * handle is empty, a key of the "L-2" template is created there under empty owner authorisation. -EACCES owner has a
 * password, -EIO not a storage key, and tpm_error().
 */
int tpm_srk_provide(struct tpm_context *c, struct fault *f) CL_MUST_USE;

/*
 * Makes c->srk the storage key of this Name, to unseal under: what is at TPM_SRK_HANDLE if it has the Name, else a
 * transient key of a known template if that has it (somebody evicted or replaced the persistent one; the seed is still
 * the same). Creates nothing persistent. -ENOKEY when this TPM has no such key, and tpm_error().
 */
int tpm_srk_match(struct tpm_context *c, const TPM2B_NAME *name, struct fault *f) CL_MUST_USE;

#endif
