/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Translates between keyring's opaque blobs and those of tpm/, which know nothing of each other. */
#include "tools/common/tpm_join.h"

#include "tpm/tpm.h"

#include <stdlib.h>
#include <string.h>

/* The four byte strings of a sealed object, in the order in which keyring stores them. */
static int to_tpm(const struct keyring_tpm_blob *in, struct tpm_blob *out)
{
	struct {
		uint8_t *to;
		size_t max;
		uint16_t *len;
	} part[4] = {
		{ out->srk_name, sizeof out->srk_name, &out->srk_name_len },
		{ out->srk_public, sizeof out->srk_public, &out->srk_public_len },
		{ out->public_area, sizeof out->public_area, &out->public_len },
		{ out->private_area, sizeof out->private_area, &out->private_len },
	};
	for (size_t i = 0; i < 4; i++) {
		if (in->len[i] > part[i].max || in->len[i] > sizeof in->bytes[i])
			return -EUCLEAN;
		*part[i].len = in->len[i];
		memcpy(part[i].to, in->bytes[i], in->len[i]);
	}
	return 0;
}

static int from_tpm(const struct tpm_blob *in, struct keyring_tpm_blob *out)
{
	const struct {
		const uint8_t *from;
		size_t max;
		uint16_t len;
	} part[4] = {
		{ in->srk_name, sizeof in->srk_name, in->srk_name_len },
		{ in->srk_public, sizeof in->srk_public, in->srk_public_len },
		{ in->public_area, sizeof in->public_area, in->public_len },
		{ in->private_area, sizeof in->private_area, in->private_len },
	};
	memset(out, 0, sizeof *out);
	for (size_t i = 0; i < 4; i++) {
		if (part[i].len > part[i].max || part[i].len > sizeof out->bytes[i])
			return -EUCLEAN;
		out->len[i] = part[i].len;
		memcpy(out->bytes[i], part[i].from, part[i].len);
	}
	return 0;
}

static void take_results(struct keyring_tpm_job *job, struct tpm_job *done)
{
	job->err = done->err;
	job->fault = done->fault;
	if (job->err)
		return;
	if (!job->seal) {
		job->secret = secret_steal(&done->secret);
		return;
	}
	job->err = from_tpm(&done->blob, &job->blob);
	if (job->err)
		fault_set(&job->fault, job->err, CL_EXIT_TPM, "the TPM made an object that is larger than it may be");
}

int tpm_join_run(void *arg, struct keyring_tpm_job *jobs, size_t n, struct fault *f)
{
	const char *tcti = arg;
	if (n == 0)
		return 0;
	struct tpm_job *tj = calloc(n, sizeof *tj);
	size_t *which = calloc(n, sizeof *which);
	int err = -ENOMEM;
	size_t m = 0;
	if (!tj || !which) {
		fault_set(f, err, CL_EXIT_FAILED, "out of memory");
		goto out;
	}
	for (size_t i = 0; i < n; i++) {
		struct keyring_tpm_job *job = &jobs[i];
		struct tpm_job *t = &tj[m];
		t->op = job->seal ? TPM_SEAL : TPM_UNSEAL;
		t->unlock = job->unlock == KEYRING_PIN ? TPM_UNLOCK_PIN : TPM_UNLOCK_HOST;
		t->auth = job->unlock == KEYRING_PIN ? job->auth : NULL;
		if (job->seal) {
			t->secret = job->secret;
		} else if (to_tpm(&job->blob, &t->blob)) {
			job->err = fault_set(&job->fault, -EUCLEAN, CL_EXIT_INTEGRITY,
					     "a key slot holds a TPM object that is larger than it may be");
			continue;
		}
		which[m++] = i;
	}
	err = m ? tpm_run(tcti, tj, m, f) : 0;
	if (!err)
		for (size_t i = 0; i < m; i++)
			take_results(&jobs[which[i]], &tj[i]);
	/* What tpm_run unsealed and was not handed on; secrets to be sealed stay the caller's. */
	for (size_t i = 0; i < m; i++)
		if (tj[i].op == TPM_UNSEAL)
			secret_free(tj[i].secret);
out:
	free(which);
	free(tj);
	return err;
}
