/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The helper process as its parent sees it. */
#ifndef CLOISON_TPM_SPAWN_H
#define CLOISON_TPM_SPAWN_H

#include "common/base.h"
#include "common/fault.h"
#include "common/secret.h"
#include "tpm/wire.h"

struct tpm_spawn {
	pid_t pid; /* 0: none runs */
	int fd;
};

/* Executes this binary again as the helper. -EIO. */
int tpm_spawn_start(struct tpm_spawn *h, const char *tcti, struct fault *f) CL_MUST_USE;
/* Lets it finish and end, or kills it: at once when it is no longer trusted (kill), else after a moment. */
void tpm_spawn_stop(struct tpm_spawn *h, bool kill_now);
/*
 * One request, one answer. secrets: TPM_WIRE_SECRETS bytes; ret_secret: TPM_SECRET_LEN bytes, written to in place.
 * -ETIMEDOUT, or -EIO when the helper is gone or says nonsense; it is to be killed then.
 */
int tpm_spawn_ask(const struct tpm_spawn *h, const struct tpm_wire_request *q, const struct secret *secrets,
		  int timeout_ms, struct tpm_wire_reply *ret, struct secret *ret_secret) CL_MUST_USE;

#endif
