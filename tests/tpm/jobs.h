/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the tests of sealing share: a machine, keys sealed to it, and what must come of opening them. */
#ifndef CLOISON_TESTS_TPM_JOBS_H
#define CLOISON_TESTS_TPM_JOBS_H

#include "common/secret.h"
#include "tests/tpm/swtpm.h"
#include "tpm/tpm.h"

#include <check.h>

/* The TPM of the test that runs. */
extern struct swtpm jobs_machine;

/* Every test ends with nothing left: in the TPM, in this process, among its children. */
void jobs_setup(void);
void jobs_teardown(void);

/* Secret memory of len bytes, the same byte everywhere but for zeros at the end. */
struct secret *jobs_filled(uint8_t byte, size_t len, size_t zeros);
/* tpm_run() that reaches the TPM. */
void jobs_run(const char *tcti, struct tpm_job *jobs, size_t n);
/* Seals 32 bytes of `byte`. pin: borrowed, NULL for HOST. */
struct tpm_blob jobs_seal(const char *tcti, uint8_t byte, const struct secret *pin);
struct tpm_job jobs_unseal(const struct tpm_blob *blob, const struct secret *pin);
/* The job gave 32 bytes of `byte`; frees them. */
void jobs_check(struct tpm_job *job, uint8_t byte);
void jobs_unseal_ok(const char *tcti, const struct tpm_blob *blob, const struct secret *pin, uint8_t byte);
/* err, exit code and a piece of the sentence. The run itself may say that no TPM was reached. */
void jobs_unseal_fails(const char *tcti, const struct tpm_blob *blob, const struct secret *pin, int err, int exit,
		       const char *words);

/* The parts of the suite. */
void jobs_add_blob_tests(TCase *t); /* test_blobs.c */
void jobs_add_gone_tests(TCase *t); /* test_gone.c */
void jobs_add_name_tests(TCase *t); /* test_names.c; they need no TPM */

#endif
