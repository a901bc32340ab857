/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the tests of sealing share. */
#include "tests/tpm/jobs.h"

#include <check.h>
#include <dirent.h>
#include <string.h>
#include <sys/wait.h>

struct swtpm jobs_machine;
static size_t fds_before;

static size_t count_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	size_t n = 0;

	ck_assert_ptr_nonnull(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

void jobs_setup(void)
{
	fds_before = count_fds();
	swtpm_new(&jobs_machine);
}

void jobs_teardown(void)
{
	if (jobs_machine.pid) {
		ck_assert_uint_eq(swtpm_count_handles(&jobs_machine), 0);
		ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), 0);
	}
	swtpm_free(&jobs_machine);
	ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
	ck_assert_uint_eq(secret_live(), 0);
	ck_assert_uint_eq(count_fds(), fds_before);
}

struct secret *jobs_filled(uint8_t byte, size_t len, size_t zeros)
{
	struct secret *s;

	ck_assert_int_eq(secret_new(len, &s), 0);
	memset(secret_bytes(s), byte, len - zeros);
	return s;
}

void jobs_run(const char *tcti, struct tpm_job *jobs, size_t n)
{
	struct fault f = { 0 };

	ck_assert_msg(tpm_run(tcti, jobs, n, &f) == 0, "tpm_run: %s", f.text);
}

struct tpm_blob jobs_seal(const char *tcti, uint8_t byte, const struct secret *pin)
{
	struct secret *s = jobs_filled(byte, TPM_SECRET_LEN, 0);
	struct tpm_job job = {
		.op = TPM_SEAL, .unlock = pin ? TPM_UNLOCK_PIN : TPM_UNLOCK_HOST, .auth = pin, .secret = s
	};

	jobs_run(tcti, &job, 1);
	ck_assert_msg(job.err == 0, "seal: %d %s", job.err, job.fault.text);
	secret_free(s);
	return job.blob;
}

struct tpm_job jobs_unseal(const struct tpm_blob *blob, const struct secret *pin)
{
	return (struct tpm_job){
		.op = TPM_UNSEAL, .unlock = pin ? TPM_UNLOCK_PIN : TPM_UNLOCK_HOST, .blob = *blob, .auth = pin
	};
}

void jobs_check(struct tpm_job *job, uint8_t byte)
{
	struct secret *want = jobs_filled(byte, TPM_SECRET_LEN, 0);

	ck_assert_msg(job->err == 0, "unseal: %d %s", job->err, job->fault.text);
	ck_assert_uint_eq(secret_len(job->secret), TPM_SECRET_LEN);
	ck_assert(secret_equal(secret_cbytes(job->secret), secret_cbytes(want), TPM_SECRET_LEN));
	ck_assert_str_eq(job->fault.text, "");
	secret_free(want);
	secret_free(job->secret);
	job->secret = NULL;
}

void jobs_unseal_ok(const char *tcti, const struct tpm_blob *blob, const struct secret *pin, uint8_t byte)
{
	struct tpm_job job = jobs_unseal(blob, pin);

	jobs_run(tcti, &job, 1);
	jobs_check(&job, byte);
}

void jobs_unseal_fails(const char *tcti, const struct tpm_blob *blob, const struct secret *pin, int err, int exit,
		       const char *words)
{
	struct tpm_job job = jobs_unseal(blob, pin);
	struct fault f = { 0 };
	int r = tpm_run(tcti, &job, 1, &f);

	ck_assert_msg(job.err == err, "expected %d, got %d: %s", err, job.err, job.fault.text);
	ck_assert_msg(strstr(job.fault.text, words) != NULL, "\"%s\" lacks \"%s\"", job.fault.text, words);
	ck_assert_int_eq(job.fault.exit, exit);
	ck_assert_ptr_null(job.secret);
	if (r)
		ck_assert_str_eq(f.text, job.fault.text);
}
