/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tpm_run() with a deadline of the caller's choice. */
#ifndef CLOISON_TPM_RUN_H
#define CLOISON_TPM_RUN_H

#include "common/base.h"
#include "tpm/tpm.h"

/* A slow TPM seals in about ten seconds; a dead one never answers. */
#define TPM_JOB_TIMEOUT_MS 60000

/* As tpm_run(); timeout_ms: for each job, until its answer. */
int tpm_run_within(const char *tcti, struct tpm_job *jobs, size_t n, int timeout_ms, struct fault *f) CL_MUST_USE;

#endif
