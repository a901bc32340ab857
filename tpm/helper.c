/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The TPM helper process: takes jobs from its socket, does them, answers, wipes, and ends with its parent. */
#include "tpm/context.h"
#include "tpm/error.h"
#include "tpm/object.h"
#include "tpm/wire.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

/* What one job needs; the secrets lie in locked memory. */
struct work {
	struct tpm_context tpm;
	struct tpm_wire_request request;
	struct tpm_wire_reply reply;
	struct secret *in;  /* secret to seal, then authValue: TPM_WIRE_SECRETS bytes */
	struct secret *out; /* secret unsealed: TPM_SECRET_LEN bytes */
};

/*
 * ESYS keeps decrypted data and authValues in heap that it frees without wiping, so all memory is locked where that is
 * allowed. Not under a limit: MCL_FUTURE would then let some later mmap() fail, in the middle of the work.
 */
static void lock_memory(void)
{
	const struct rlimit all = { .rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY };
	struct rlimit now;
	int flags = MCL_CURRENT;

	if (setrlimit(RLIMIT_MEMLOCK, &all) == 0 ||
	    (getrlimit(RLIMIT_MEMLOCK, &now) == 0 && now.rlim_cur == RLIM_INFINITY))
		flags |= MCL_FUTURE;
	/* Best effort: struct secret locks its own pages in any case, or says that it cannot. */
	if (mlockall(flags) < 0)
		return;
}

static void put_status(struct tpm_wire_status *out, const struct tpm_status *in)
{
	*out = (struct tpm_wire_status){
		.in_lockout = in->in_lockout,
		.lockout_auth_set = in->lockout_auth_set,
		.tries_used = le32_of(in->tries_used),
		.tries_max = le32_of(in->tries_max),
		.recovery_seconds = le32_of(in->recovery_seconds),
	};
	memcpy(out->manufacturer, in->manufacturer, sizeof(out->manufacturer));
}

static int do_job(struct work *w, struct fault *f)
{
	const struct tpm_wire_request *q = &w->request;
	const enum tpm_unlock unlock = q->unlock;
	const struct tpm_object_auth auth = { .bytes = secret_cbytes(w->in) + TPM_SECRET_LEN, .len = q->auth_len };
	struct tpm_blob blob;
	struct tpm_status status;
	int r;

	if (q->auth_len > TPM_AUTH_MAX || (unlock != TPM_UNLOCK_HOST && unlock != TPM_UNLOCK_PIN))
		return -EINVAL;
	r = tpm_context_open(&w->tpm, f);
	if (r < 0)
		return r;
	w->reply.tried = 1;
	switch (q->op) {
	case TPM_WIRE_SEAL:
		r = tpm_object_seal(&w->tpm, unlock, auth, secret_cbytes(w->in), &blob, f);
		if (r == 0)
			tpm_wire_put_blob(&w->reply.blob, &blob);
		return r;
	case TPM_WIRE_UNSEAL:
		r = tpm_wire_get_blob(&q->blob, &blob);
		if (r < 0)
			return fault_set(f, r, CL_EXIT_KEY,
					 "the sealed key is malformed (lengths): use the recovery passphrase");
		return tpm_object_unseal(&w->tpm, unlock, auth, &blob, secret_bytes(w->out), f);
	case TPM_WIRE_STATUS:
		r = tpm_context_status(&w->tpm, &status, f);
		if (r == 0)
			put_status(&w->reply.status, &status);
		return r;
	default:
		return -EINVAL;
	}
}

/* Room and wear limits pass by themselves: other clients finish, the TPM's clock ticks. */
static int do_job_patiently(struct work *w, struct fault *f)
{
	static const long pauses_ms[] = { 250, 1000 };
	int r = do_job(w, f);

	for (size_t i = 0; r == -EAGAIN && i < CL_ARRAY_LEN(pauses_ms); i++) {
		const struct timespec t = { .tv_sec = pauses_ms[i] / 1000, .tv_nsec = pauses_ms[i] % 1000 * 1000000 };

		nanosleep(&t, NULL);
		*f = (struct fault){ 0 };
		r = do_job(w, f);
	}
	return r;
}

static void answer(struct work *w)
{
	struct fault f = { 0 };
	int r;

	w->reply = (struct tpm_wire_reply){ .magic = le32_of(TPM_WIRE_MAGIC) };
	if (le32_get(w->request.magic) == TPM_WIRE_MAGIC)
		r = do_job_patiently(w, &f);
	else
		r = -EBADMSG;
	/* A failed job gives no secret, however far it got. */
	if (r < 0)
		secret_wipe(secret_bytes(w->out), secret_len(w->out));
	w->reply.error = le32_of((uint32_t)-r);
	w->reply.exit = (uint8_t)f.exit;
	memcpy(w->reply.text, f.text, sizeof(w->reply.text));
}

static int serve(struct work *w)
{
	int r;

	for (;;) {
		r = tpm_wire_recv(TPM_HELPER_FD, &w->request, sizeof(w->request), secret_bytes(w->in),
				  secret_len(w->in));
		if (r < 0)
			return r == -EPIPE ? 0 : r;
		answer(w);
		r = tpm_wire_send(TPM_HELPER_FD, &w->reply, sizeof(w->reply), secret_cbytes(w->out),
				  secret_len(w->out));
		secret_wipe(secret_bytes(w->in), secret_len(w->in));
		secret_wipe(secret_bytes(w->out), secret_len(w->out));
		if (r < 0)
			return r;
	}
}

static int helper(const char *tcti)
{
	struct work w = { .tpm.tcti = tcti };
	int r;

	/* What else the program had open is none of our business. */
	closefrom(TPM_HELPER_FD + 1);
	signal(SIGPIPE, SIG_IGN);
	prctl(PR_SET_NAME, "cloison-tpm");
	/* Refuse to hold secrets where another process of this user could read them. */
	if (tpm_check_tcti(tcti, NULL) < 0 || secret_harden_process() < 0)
		return CL_EXIT_FAILED;
	lock_memory();
	r = secret_new(TPM_WIRE_SECRETS, &w.in);
	if (r == 0)
		r = secret_new(TPM_SECRET_LEN, &w.out);
	if (r == 0)
		r = serve(&w);
	tpm_context_close(&w.tpm);
	secret_free(w.in);
	secret_free(w.out);
	return r == 0 ? CL_EXIT_OK : CL_EXIT_TPM;
}

void tpm_helper_main(int argc, char **argv)
{
	char fd[8];

	if (argc < 1 || strcmp(argv[0], TPM_HELPER_NAME) != 0)
		return;
	snprintf(fd, sizeof(fd), "%d", TPM_HELPER_FD);
	if (argc != 3 || strcmp(argv[1], fd) != 0)
		_exit(CL_EXIT_USAGE);
	/* Not exit(3): no handler of the program that this binary else is has anything to do here. */
	_exit(helper(argv[2]));
}
