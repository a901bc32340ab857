/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The program's side: jobs to the helper, outcomes back. No TPM library is called here. */
#include "tpm/run.h"
#include "tpm/spawn.h"

#include <string.h>

/* State of one tpm_run(). */
struct run {
	const char *tcti;
	int timeout_ms;
	struct tpm_spawn helper;
	bool hung;  /* the TPM let a deadline pass: no use asking it again */
	bool tried; /* the TPM was reached for at least one job */
};

static int job_fault(struct tpm_job *job, int err, int exit, const char *text)
{
	return fault_set(&job->fault, err, exit, "%s", text);
}

/* Length of an authValue as a TPM counts it. */
static size_t auth_len(const struct secret *auth)
{
	size_t n = secret_len(auth);

	while (n > 0 && secret_cbytes(auth)[n - 1] == 0)
		n--;
	return n;
}

static int check_job(struct tpm_job *job)
{
	const bool pin = job->unlock == TPM_UNLOCK_PIN;

	if ((job->op != TPM_SEAL && job->op != TPM_UNSEAL) || (!pin && job->unlock != TPM_UNLOCK_HOST))
		return job_fault(job, -EINVAL, CL_EXIT_TPM, "unknown kind of TPM job");
	if (job->op == TPM_SEAL && (!job->secret || secret_len(job->secret) != TPM_SECRET_LEN))
		return job_fault(job, -EINVAL, CL_EXIT_TPM, "a TPM job needs a secret of 32 bytes");
	if (pin != (job->auth != NULL))
		return job_fault(job, -EINVAL, CL_EXIT_KEY,
				 pin ? "this key asks for a PIN, and none was given" : "this key takes no PIN");
	if (pin && (secret_len(job->auth) > TPM_AUTH_MAX || auth_len(job->auth) == 0))
		return job_fault(job, -EINVAL, CL_EXIT_KEY,
				 "a PIN's authValue has 1 to 32 bytes, not all of them zero");
	if (job->op == TPM_UNSEAL && !tpm_wire_blob_fits(&job->blob))
		return job_fault(job, -EUCLEAN, CL_EXIT_KEY,
				 "the sealed key is malformed (lengths): use the recovery passphrase");
	return 0;
}

/* Request and its secrets, in locked memory. */
static void encode_job(const struct tpm_job *job, struct tpm_wire_request *ret, struct secret *secrets)
{
	uint8_t *p = secret_bytes(secrets);

	memset(ret, 0, sizeof(*ret));
	ret->magic = le32_of(TPM_WIRE_MAGIC);
	ret->op = job->op == TPM_SEAL ? TPM_WIRE_SEAL : TPM_WIRE_UNSEAL;
	ret->unlock = (uint8_t)job->unlock;
	if (job->op == TPM_SEAL)
		memcpy(p, secret_cbytes(job->secret), TPM_SECRET_LEN);
	else
		tpm_wire_put_blob(&ret->blob, &job->blob);
	if (job->auth) {
		ret->auth_len = (uint8_t)auth_len(job->auth);
		memcpy(p + TPM_SECRET_LEN, secret_cbytes(job->auth), ret->auth_len);
	}
}

/* Asks the helper, starting it if need be; a helper that failed is gone afterwards. */
static int ask(struct run *run, const struct tpm_wire_request *q, const struct secret *secrets,
	       struct tpm_wire_reply *ret, struct secret *ret_secret, struct fault *f)
{
	int r = 0;

	if (run->hung)
		return fault_set(f, -ETIMEDOUT, CL_EXIT_TPM,
				 "the TPM did not answer the job before this one: not tried");
	if (!run->helper.pid)
		r = tpm_spawn_start(&run->helper, run->tcti, f);
	if (r < 0)
		return r;
	r = tpm_spawn_ask(&run->helper, q, secrets, run->timeout_ms, ret, ret_secret);
	if (r == 0) {
		run->tried |= ret->tried != 0;
		r = -(int)le32_get(ret->error);
		if (r < 0)
			fault_set(f, r, ret->exit ? ret->exit : CL_EXIT_TPM, "%s",
				  ret->text[0] ? ret->text : "the TPM helper failed");
		return r;
	}
	/* Something was sent to it, so that the TPM may have been at work. */
	run->tried = true;
	tpm_spawn_stop(&run->helper, true);
	if (r == -ETIMEDOUT) {
		run->hung = true;
		return fault_set(
			f, r, CL_EXIT_TPM,
			"the TPM did not answer within %d seconds: try again, restart the machine, or use the recovery "
			"passphrase",
			(run->timeout_ms + 999) / 1000);
	}
	return fault_set(f, r, CL_EXIT_TPM,
			 "the TPM helper ended in the middle of its work: the TPM library may be missing or faulty, or "
			 "the memory "
			 "that may be locked too small (ulimit -l)");
}

static int run_job(struct run *run, struct tpm_job *job)
{
	CL_CLEANUP(secret_freep) struct secret *secrets = NULL;
	CL_CLEANUP(secret_freep) struct secret *got = NULL;
	struct tpm_wire_request request;
	struct tpm_wire_reply reply;
	int r;

	r = secret_new(TPM_WIRE_SECRETS, &secrets);
	if (r == 0)
		r = secret_new(TPM_SECRET_LEN, &got);
	if (r < 0)
		return job_fault(job, r, CL_EXIT_TPM, "no locked memory for a key: raise RLIMIT_MEMLOCK (ulimit -l)");
	encode_job(job, &request, secrets);
	r = ask(run, &request, secrets, &reply, got, &job->fault);
	if (r < 0)
		return r;
	if (job->op == TPM_UNSEAL) {
		job->secret = secret_steal(&got);
		return 0;
	}
	if (tpm_wire_get_blob(&reply.blob, &job->blob) < 0)
		return job_fault(job, -EIO, CL_EXIT_TPM, "the TPM helper answered nonsense");
	return 0;
}

int tpm_run_within(const char *tcti, struct tpm_job *jobs, size_t n, int timeout_ms, struct fault *f)
{
	struct run run = { .tcti = tcti, .timeout_ms = timeout_ms };
	struct fault *first = NULL;
	int r, err = 0;

	r = tpm_check_tcti(tcti, f);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++) {
		struct tpm_job *job = &jobs[i];

		job->fault = (struct fault){ 0 };
		if (job->op == TPM_UNSEAL)
			job->secret = NULL;
		job->err = check_job(job);
		if (job->err < 0)
			run.tried = true;
		else
			job->err = run_job(&run, job);
		if (job->err < 0 && !first) {
			first = &job->fault;
			err = job->err;
		}
	}
	tpm_spawn_stop(&run.helper, false);
	if (run.tried || !first)
		return 0;
	return fault_set(f, err == -ENODEV ? -ENODEV : -EIO, first->exit, "%s", first->text);
}

int tpm_run(const char *tcti, struct tpm_job *jobs, size_t n, struct fault *f)
{
	return tpm_run_within(tcti, jobs, n, TPM_JOB_TIMEOUT_MS, f);
}

int tpm_get_status(const char *tcti, struct tpm_status *ret, struct fault *f)
{
	CL_CLEANUP(secret_freep) struct secret *secrets = NULL;
	CL_CLEANUP(secret_freep) struct secret *none = NULL;
	struct run run = { .tcti = tcti, .timeout_ms = TPM_JOB_TIMEOUT_MS };
	const struct tpm_wire_request request = { .magic = le32_of(TPM_WIRE_MAGIC), .op = TPM_WIRE_STATUS };
	struct tpm_wire_reply reply;
	int r;

	r = tpm_check_tcti(tcti, f);
	if (r < 0)
		return r;
	/* Nothing secret is asked for, but a packet has one shape. */
	r = secret_new(TPM_WIRE_SECRETS, &secrets);
	if (r == 0)
		r = secret_new(TPM_SECRET_LEN, &none);
	if (r < 0)
		return fault_set(f, -EIO, CL_EXIT_TPM, "no locked memory: raise RLIMIT_MEMLOCK (ulimit -l)");
	r = ask(&run, &request, secrets, &reply, none, f);
	tpm_spawn_stop(&run.helper, false);
	if (r < 0)
		return r;
	*ret = (struct tpm_status){
		.in_lockout = reply.status.in_lockout,
		.lockout_auth_set = reply.status.lockout_auth_set,
		.tries_used = le32_get(reply.status.tries_used),
		.tries_max = le32_get(reply.status.tries_max),
		.recovery_seconds = le32_get(reply.status.recovery_seconds),
	};
	memcpy(ret->manufacturer, reply.status.manufacturer, sizeof(reply.status.manufacturer));
	return 0;
}
