/* SPDX-License-Identifier: GPL-3.0-or-later */
/* One connection to a TPM: life cycle, sessions, counters. */
#include "tpm/context.h"

#include "tpm/error.h"

#include <fcntl.h>
#include <string.h>
#include <tss2/tss2_tctildr.h>
#include <unistd.h>

/* The kernel knows better than the TSS why a device does not open. */
static int explain_device(const char *path, struct fault *f)
{
	int fd = open(path, O_RDWR | O_CLOEXEC | O_NOCTTY);

	if (fd >= 0) {
		close(fd);
		return fault_set(f, -ENODEV, CL_EXIT_TPM, "the TPM at %s does not answer", path);
	}
	switch (errno) {
	case EACCES:
	case EPERM:
		return fault_set(
			f, -ENODEV, CL_EXIT_TPM,
			"no permission to use the TPM at %s: become root, or a member of the group that owns it "
			"(on most systems \"tss\")",
			path);
	case EBUSY:
		return fault_set(f, -ENODEV, CL_EXIT_TPM,
				 "the TPM at %s is taken by another program: use the shared device /dev/tpmrm0", path);
	case ENOENT:
	case ENODEV:
	case ENXIO:
		return fault_set(
			f, -ENODEV, CL_EXIT_TPM,
			"there is no TPM at %s: enable it in the firmware set-up, or use the recovery passphrase",
			path);
	default:
		return fault_set(f, -ENODEV, CL_EXIT_TPM, "the TPM at %s cannot be opened: %s", path, strerror(errno));
	}
}

static int unreachable(const struct tpm_context *c, struct fault *f)
{
	static const char device[] = "device:";

	if (strncmp(c->tcti, device, strlen(device)) == 0)
		return explain_device(c->tcti + strlen(device), f);
	return fault_set(f, -ENODEV, CL_EXIT_TPM,
			 "no TPM can be reached at \"%s\": check that it runs and that this user may use it", c->tcti);
}

int tpm_context_open(struct tpm_context *c, struct fault *f)
{
	TSS2_RC rc;

	if (c->esys && !c->dead)
		return 0;
	tpm_context_close(c);
	rc = Tss2_TctiLdr_Initialize(c->tcti, &c->transport);
	if (rc != TSS2_RC_SUCCESS) {
		c->transport = NULL;
		return unreachable(c, f);
	}
	rc = Esys_Initialize(&c->esys, c->transport, NULL);
	if (rc != TSS2_RC_SUCCESS) {
		c->esys = NULL;
		tpm_context_close(c);
		return fault_set(f, -EIO, CL_EXIT_TPM, "the TPM software stack did not start (0x%x)", rc);
	}
	c->srk = ESYS_TR_NONE;
	/* Firmware has started a real TPM: then it says TPM2_RC_INITIALIZE, maybe through a resource manager. */
	rc = Esys_Startup(c->esys, TPM2_SU_CLEAR);
	if (rc != TSS2_RC_SUCCESS && tpm_error_code(rc) != TPM2_RC_INITIALIZE) {
		tpm_context_note(c, rc);
		if (c->dead) {
			tpm_context_close(c);
			return unreachable(c, f);
		}
		tpm_context_close(c);
		return fault_set(
			f, -EIO, CL_EXIT_TPM,
			"the TPM does not start up (0x%x): restart the machine, then look at its firmware set-up", rc);
	}
	return 0;
}

void tpm_context_close(struct tpm_context *c)
{
	if (c->esys) {
		tpm_context_drop_srk(c);
		Esys_Finalize(&c->esys);
	}
	if (c->transport)
		Tss2_TctiLdr_Finalize(&c->transport);
	c->srk_missing.size = 0;
	c->dead = false;
}

void tpm_context_drop_srk(struct tpm_context *c)
{
	if (!c->has_srk)
		return;
	c->has_srk = false;
	if (c->srk_is_transient)
		tpm_context_flush(c, &c->srk);
	else
		Esys_TR_Close(c->esys, &c->srk);
	c->srk = ESYS_TR_NONE;
}

void tpm_context_flush(struct tpm_context *c, ESYS_TR *h)
{
	TSS2_RC rc;

	if (*h == ESYS_TR_NONE)
		return;
	if (!c->dead) {
		rc = Esys_FlushContext(c->esys, *h);
		if (rc != TSS2_RC_SUCCESS)
			tpm_context_note(c, rc);
	}
	/* When the connection is dead the TPM's side is out of reach; ours goes with Esys_Finalize. */
	*h = ESYS_TR_NONE;
}

void tpm_context_note(struct tpm_context *c, TSS2_RC rc)
{
	const TSS2_RC layer = rc & TSS2_RC_LAYER_MASK;

	/* TPM2_RC_INITIALIZE in the middle of a run: the TPM was reset, and has forgotten our handles. */
	if (layer == TSS2_TCTI_RC_LAYER || rc == TSS2_ESYS_RC_BAD_SEQUENCE || rc == TSS2_ESYS_RC_IO_ERROR ||
	    rc == TSS2_SYS_RC_BAD_SEQUENCE || tpm_error_code(rc) == TPM2_RC_INITIALIZE)
		c->dead = true;
}

static TSS2_RC property(struct tpm_context *c, TPM2_PT which, uint32_t *ret)
{
	TPMS_CAPABILITY_DATA *data = NULL;
	TPMI_YES_NO more;
	TSS2_RC rc = Esys_GetCapability(c->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, TPM2_CAP_TPM_PROPERTIES,
					which, 1, &more, &data);

	if (rc != TSS2_RC_SUCCESS)
		return rc;
	/* A property the TPM does not have: it answers with the next one. */
	if (data->capability != TPM2_CAP_TPM_PROPERTIES || data->data.tpmProperties.count < 1 ||
	    data->data.tpmProperties.tpmProperty[0].property != which)
		rc = TSS2_ESYS_RC_MALFORMED_RESPONSE;
	else
		*ret = data->data.tpmProperties.tpmProperty[0].value;
	Esys_Free(data);
	return rc;
}

TSS2_RC tpm_context_lockout(struct tpm_context *c, struct tpm_status *ret)
{
	uint32_t permanent, used, most, interval;
	TSS2_RC rc;

	if ((rc = property(c, TPM2_PT_PERMANENT, &permanent)) != TSS2_RC_SUCCESS ||
	    (rc = property(c, TPM2_PT_LOCKOUT_COUNTER, &used)) != TSS2_RC_SUCCESS ||
	    (rc = property(c, TPM2_PT_MAX_AUTH_FAIL, &most)) != TSS2_RC_SUCCESS ||
	    (rc = property(c, TPM2_PT_LOCKOUT_INTERVAL, &interval)) != TSS2_RC_SUCCESS) {
		tpm_context_note(c, rc);
		return rc;
	}
	ret->in_lockout = permanent & TPMA_PERMANENT_INLOCKOUT;
	ret->lockout_auth_set = permanent & TPMA_PERMANENT_LOCKOUTAUTHSET;
	ret->tries_used = used;
	ret->tries_max = most;
	ret->recovery_seconds = interval;
	return TSS2_RC_SUCCESS;
}

int tpm_context_status(struct tpm_context *c, struct tpm_status *ret, struct fault *f)
{
	struct tpm_status s = { 0 };
	uint32_t maker;
	TSS2_RC rc = tpm_context_lockout(c, &s);

	if (rc == TSS2_RC_SUCCESS)
		rc = property(c, TPM2_PT_MANUFACTURER, &maker);
	if (rc != TSS2_RC_SUCCESS)
		return tpm_error(c, rc, TPM_STEP_STATUS, TPM_UNLOCK_HOST, f);
	for (unsigned i = 0; i < 4; i++) {
		const unsigned char ch = (unsigned char)(maker >> (24 - 8 * i));

		if (ch <= ' ' || ch > '~')
			break;
		s.manufacturer[i] = (char)ch;
	}
	*ret = s;
	return 0;
}

TSS2_RC tpm_context_session(struct tpm_context *c, TPM2_SE type, ESYS_TR bind, ESYS_TR guard, ESYS_TR *ret)
{
	static const TPMT_SYM_DEF aes = {
		.algorithm = TPM2_ALG_AES,
		.keyBits.aes = 128,
		.mode.aes = TPM2_ALG_CFB,
	};
	TSS2_RC rc = Esys_StartAuthSession(c->esys, c->srk, bind, guard, ESYS_TR_NONE, ESYS_TR_NONE, NULL, type, &aes,
					   TPM2_ALG_SHA256, ret);

	if (rc != TSS2_RC_SUCCESS) {
		*ret = ESYS_TR_NONE;
		return rc;
	}
	if (type == TPM2_SE_HMAC) {
		rc = Esys_TRSess_SetAttributes(c->esys, *ret,
					       TPMA_SESSION_DECRYPT | TPMA_SESSION_ENCRYPT |
						       TPMA_SESSION_CONTINUESESSION,
					       0xff);
		if (rc != TSS2_RC_SUCCESS)
			tpm_context_flush(c, ret);
	}
	return rc;
}
