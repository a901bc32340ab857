/* SPDX-License-Identifier: GPL-3.0-or-later */
/* keyring's view of a TPM, served by tpm_run. */
#ifndef CLOISON_TOOLS_TPM_JOIN_H
#define CLOISON_TOOLS_TPM_JOIN_H

#include "common/base.h"
#include "common/fault.h"
#include "keyring/keyring.h"

/* Has the shape of struct keyring_tpm's run; arg is the TCTI, a const char *. */
int tpm_join_run(void *arg, struct keyring_tpm_job *jobs, size_t n, struct fault *f) CL_MUST_USE;

#endif
