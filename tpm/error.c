/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a TPM's answer means for the user. */
#include "tpm/error.h"

#include <stdio.h>

#define RC_FORMAT_1 0x080u
#define RC_FORMAT_1_CODE 0x0bfu /* format bit and error number, without parameter, handle or session number */

TSS2_RC tpm_error_code(TSS2_RC rc)
{
	const TSS2_RC layer = rc & TSS2_RC_LAYER_MASK;

	if (layer != TSS2_TPM_RC_LAYER && layer != TSS2_RESMGR_RC_LAYER && layer != TSS2_RESMGR_TPM_RC_LAYER)
		return rc;
	rc &= ~TSS2_RC_LAYER_MASK;
	return rc & RC_FORMAT_1 ? rc & RC_FORMAT_1_CODE : rc;
}

static const char *step_name(enum tpm_step step)
{
	switch (step) {
	case TPM_STEP_STATUS:
		return "reading its state";
	case TPM_STEP_STORAGE_KEY:
		return "looking up its storage key";
	case TPM_STEP_LOAD:
		return "loading the sealed key";
	case TPM_STEP_SESSION:
		return "starting a session";
	case TPM_STEP_CREATE:
		return "sealing";
	case TPM_STEP_POLICY:
		return "evaluating the policy";
	case TPM_STEP_UNSEAL:
		return "unsealing";
	}
	return "working";
}

/* "about 17 minutes": people plan in minutes, tests configure seconds. */
static const char *duration(uint32_t seconds, char *buf, size_t n)
{
	if (seconds < 120)
		snprintf(buf, n, "%u seconds", seconds);
	else if (seconds < 2 * 3600)
		snprintf(buf, n, "%u minutes", seconds / 60 + (seconds % 60 != 0));
	else
		snprintf(buf, n, "%u hours", seconds / 3600 + (seconds % 3600 != 0));
	return buf;
}

static int locked_out(struct tpm_context *c, struct fault *f)
{
	struct tpm_status s = { 0 };
	char wait[32];

	if (tpm_context_lockout(c, &s) != TSS2_RC_SUCCESS)
		return fault_set(
			f, -EBUSY, CL_EXIT_KEY,
			"the TPM is locked after too many wrong PINs and refuses the right one too: wait, or use the "
			"recovery passphrase");
	if (s.recovery_seconds == 0)
		return fault_set(
			f, -EBUSY, CL_EXIT_KEY,
			"the TPM is locked after %u wrong PINs and refuses the right one too, until its lockout is "
			"cleared (tpm2_dictionarylockout --clear-lockout): do that, or use the recovery passphrase",
			s.tries_used);
	return fault_set(
		f, -EBUSY, CL_EXIT_KEY,
		"the TPM is locked after %u wrong PINs and refuses the right one too: it gives one try back within "
		"%s; wait with the machine on, or use the recovery passphrase",
		s.tries_used, duration(s.recovery_seconds, wait, sizeof(wait)));
}

static int wrong_pin(struct tpm_context *c, struct fault *f)
{
	struct tpm_status s = { 0 };
	char wait[32];
	uint32_t left;

	if (tpm_context_lockout(c, &s) != TSS2_RC_SUCCESS)
		return fault_set(f, -EKEYREJECTED, CL_EXIT_KEY,
				 "wrong PIN (the TPM did not tell how many tries are left)");
	left = s.tries_used < s.tries_max ? s.tries_max - s.tries_used : 0;
	if ((left == 0 || s.in_lockout) && s.recovery_seconds == 0)
		return fault_set(
			f, -EKEYREJECTED, CL_EXIT_KEY,
			"wrong PIN, and it was the last try: the TPM is locked now until its lockout is cleared "
			"(tpm2_dictionarylockout --clear-lockout); do that, or use the recovery passphrase");
	if (left == 0 || s.in_lockout)
		return fault_set(
			f, -EKEYREJECTED, CL_EXIT_KEY,
			"wrong PIN, and it was the last try: the TPM is locked now and gives one try back every %s; "
			"wait, or use the recovery passphrase",
			duration(s.recovery_seconds, wait, sizeof(wait)));
	return fault_set(f, -EKEYREJECTED, CL_EXIT_KEY, "wrong PIN: %u %s left before the TPM locks itself", left,
			 left == 1 ? "try" : "tries");
}

static int no_room(struct fault *f)
{
	return fault_set(
		f, -EAGAIN, CL_EXIT_TPM,
		"the TPM has no room for another key or session, other programs hold it all: try again, use the shared "
		"device /dev/tpmrm0 instead of /dev/tpm0, or give the room back with tpm2_flushcontext -t, -l and -s");
}

/* Errors of the software below us. */
static int stack_error(TSS2_RC rc, enum tpm_step step, const struct tpm_context *c, struct fault *f)
{
	if (c->dead)
		return fault_set(f, -ENODEV, CL_EXIT_TPM,
				 "the TPM went away while %s (0x%x): try again, or use the recovery passphrase",
				 step_name(step), rc);
	switch (rc) {
	case TSS2_ESYS_RC_RSP_AUTH_FAILED:
	case TSS2_ESYS_RC_MALFORMED_RESPONSE:
	case TSS2_ESYS_RC_INSUFFICIENT_RESPONSE:
	case TSS2_SYS_RC_MALFORMED_RESPONSE:
	case TSS2_SYS_RC_INSUFFICIENT_RESPONSE:
		return fault_set(
			f, -EIO, CL_EXIT_TPM,
			"an answer of the TPM while %s did not authenticate or is malformed (0x%x): something between "
			"this program and the TPM may be altering what they say",
			step_name(step), rc);
	case TSS2_ESYS_RC_MEMORY:
		return fault_set(f, -EIO, CL_EXIT_TPM, "out of memory while %s", step_name(step));
	default:
		return fault_set(f, -EIO, CL_EXIT_TPM, "the TPM software stack failed while %s (0x%x)", step_name(step),
				 rc);
	}
}

/* Codes that mean the same at every step; 0 when this is none of them. */
static int common_error(struct tpm_context *c, TSS2_RC code, struct fault *f)
{
	switch (code) {
	case TPM2_RC_LOCKOUT:
		return locked_out(c, f);
	case TPM2_RC_CONTEXT_GAP:
	case TPM2_RC_OBJECT_MEMORY:
	case TPM2_RC_SESSION_MEMORY:
	case TPM2_RC_MEMORY:
	case TPM2_RC_SESSION_HANDLES:
	case TPM2_RC_OBJECT_HANDLES:
		return no_room(f);
	case TPM2_RC_NV_RATE:
	case TPM2_RC_NV_UNAVAILABLE:
	case TPM2_RC_RETRY:
	case TPM2_RC_YIELDED:
	case TPM2_RC_TESTING:
	case TPM2_RC_CANCELED:
		return fault_set(f, -EAGAIN, CL_EXIT_TPM,
				 "the TPM is busy or protects its memory from wear (0x%x): try again in a minute",
				 code);
	case TPM2_RC_INITIALIZE:
		return fault_set(f, -ENODEV, CL_EXIT_TPM, "the TPM was reset in the middle of the work: try again");
	case TPM2_RC_FAILURE:
	case TPM2_RC_REBOOT:
	case TPM2_RC_UPGRADE:
		return fault_set(f, -EIO, CL_EXIT_TPM,
				 "the TPM is out of service (0x%x): restart the machine; if that does not help, use "
				 "the recovery "
				 "passphrase",
				 code);
	default:
		return 0;
	}
}

static int storage_key_error(TSS2_RC rc, struct fault *f)
{
	switch (tpm_error_code(rc)) {
	case TPM2_RC_AUTH_FAIL:
	case TPM2_RC_BAD_AUTH:
		return fault_set(
			f, -EACCES, CL_EXIT_TPM,
			"the TPM's owner has set a password, so the storage key cannot be created: create it once with "
			"tpm2_createprimary -C o -P PASSWORD -G ecc256 -c FILE and tpm2_evictcontrol -C o -P PASSWORD "
			"-c FILE 0x81000001");
	case TPM2_RC_HIERARCHY:
		return fault_set(f, -EIO, CL_EXIT_TPM,
				 "the TPM's owner hierarchy is switched off: enable the TPM in the firmware set-up");
	case TPM2_RC_NV_SPACE:
		return fault_set(f, -EIO, CL_EXIT_TPM,
				 "the TPM has no room to keep its storage key: see tpm2_getcap handles-persistent for "
				 "what fills it");
	default:
		return fault_set(f, -EIO, CL_EXIT_TPM, "the TPM failed while %s (0x%x)",
				 step_name(TPM_STEP_STORAGE_KEY), rc);
	}
}

static int load_error(TSS2_RC rc, struct fault *f)
{
	const TSS2_RC code = tpm_error_code(rc);

	if (code == TPM2_RC_INTEGRITY)
		return fault_set(f, -ENOKEY, CL_EXIT_KEY,
				 "the TPM does not recognise the sealed key: it is damaged, or was sealed by another "
				 "TPM; use the "
				 "recovery passphrase");
	if (code == TPM2_RC_AUTH_FAIL || code == TPM2_RC_BAD_AUTH)
		return fault_set(
			f, -EACCES, CL_EXIT_TPM,
			"the TPM's storage key at 0x81000001 has a password of its own: this is not supported");
	/* What is wrong with a parameter is wrong with the stored bytes. */
	if (code & RC_FORMAT_1)
		return fault_set(f, -EUCLEAN, CL_EXIT_KEY,
				 "the sealed key is malformed, the TPM refuses it (0x%x): use the recovery passphrase",
				 rc);
	return fault_set(f, -EIO, CL_EXIT_TPM, "the TPM failed while %s (0x%x)", step_name(TPM_STEP_LOAD), rc);
}

int tpm_error(struct tpm_context *c, TSS2_RC rc, enum tpm_step step, enum tpm_unlock unlock, struct fault *f)
{
	const TSS2_RC code = tpm_error_code(rc);
	int r;

	tpm_context_note(c, rc);
	if (code & TSS2_RC_LAYER_MASK)
		return stack_error(rc, step, c, f);
	r = common_error(c, code, f);
	if (r)
		return r;
	if (step == TPM_STEP_STORAGE_KEY)
		return storage_key_error(rc, f);
	if (step == TPM_STEP_LOAD)
		return load_error(rc, f);
	switch (code) {
	case TPM2_RC_AUTH_FAIL:
	case TPM2_RC_BAD_AUTH:
		/* A session bound to the object fails at its first use, which is the start of the policy session. */
		if (unlock == TPM_UNLOCK_PIN && (step == TPM_STEP_SESSION || step == TPM_STEP_UNSEAL))
			return wrong_pin(c, f);
		return fault_set(
			f, -EIO, CL_EXIT_TPM,
			"the TPM did not accept an authorisation while %s (0x%x): something between this program and "
			"the TPM may be altering what they say",
			step_name(step), rc);
	case TPM2_RC_POLICY:
	case TPM2_RC_POLICY_FAIL:
	case TPM2_RC_POLICY_CC:
	case TPM2_RC_AUTH_UNAVAILABLE:
		return fault_set(
			f, -EACCES, CL_EXIT_KEY,
			"the TPM refuses the key: the policy under which it was sealed is not satisfied (0x%x)", rc);
	default:
		return fault_set(f, -EIO, CL_EXIT_TPM, "the TPM failed while %s (0x%x)", step_name(step), rc);
	}
}
