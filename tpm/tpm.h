/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Sealing 32-byte secrets in a TPM 2.0, and getting them back. TSS2_RC never leaves this module.
 *
 * All TPM work happens in a short-lived helper process: this binary executed again (/proc/self/exe) and spoken to
 * over a socket pair, because ESYS leaves decrypted data in unwiped heap and calls take seconds. So each main() that
 * uses the module calls tpm_helper_main() first.
 *
 * The parent is the storage root key at persistent handle 0x81000001, whatever its template (TCG TPM v2.0
 * Provisioning Guidance); if the handle is empty when something is to be sealed, the "L-2" template (ECC P-256) is
 * created and persisted under empty owner authorisation. Its public area and Name are stored with every blob, and at
 * every later use Esys_TR_FromTPMPublic + Esys_TR_GetName must give that Name before anything secret is sent. If they
 * do not, a transient key of the L-2 template (unique empty, or two times 32 zero bytes) is tried, which has the Name
 * if the persistent key was evicted or replaced but the TPM not cleared. Sessions: HMAC session salted with the
 * pinned SRK, AES-128-CFB parameter encryption both ways; the policy session is started under it; for PIN objects the
 * encryption session is bound to the object. Policy digests are computed in software (TPM 2.0 Part 3; H = SHA-256,
 * integers big-endian):
 *
 *   HOST  H(0^32 || TPM2_CC_PolicyCommandCode || TPM2_CC_Unseal)
 *         e613137076524bde487533865884e9732ebee3aacb095d94a6de492ec06c46fa
 *   PIN   H(HOST || TPM2_CC_PolicyAuthValue)
 *         6ebf9cb1972ce3f9e641f7f3fe6454cf1c467cff2eb154a06d61abf7dce7a29c
 */
#ifndef CLOISON_TPM_TPM_H
#define CLOISON_TPM_TPM_H

#include "common/base.h"
#include "common/fault.h"
#include "common/secret.h"

#define TPM_SECRET_LEN 32u
#define TPM_TCTI_MAX 256u /* bytes with NUL */

/* What the TPM itself asks for before it gives the secret back. */
enum tpm_unlock {
	/* This TPM. Object NODA; policy: PolicyCommandCode(Unseal). */
	TPM_UNLOCK_HOST = 0,
	/* This TPM and an authValue. Dictionary-attack protection on; policy: the same, then PolicyAuthValue. */
	TPM_UNLOCK_PIN = 1
};

/* A sealed object as stored. Lengths in bytes. All of it is public; all of it is checked when it comes from disk. */
struct tpm_blob {
	uint16_t srk_name_len; /* 34 for SHA-256 */
	uint16_t srk_public_len;
	uint16_t public_len;
	uint16_t private_len;
	uint8_t srk_name[66];
	uint8_t srk_public[384];   /* marshalled TPM2B_PUBLIC of the SRK */
	uint8_t public_area[384];  /* marshalled TPM2B_PUBLIC of the object */
	uint8_t private_area[512]; /* marshalled TPM2B_PRIVATE */
};

/*
 * One thing to do in a helper run. op SEAL: secret is borrowed, blob is written. op UNSEAL: blob is read, secret is
 * written (owned by the caller). auth: PIN authValue of at most 32 bytes; trailing zero bytes are cut off here, before
 * Create and SetAuth alike (tpm2-tss 3.2.1 fails on them). err and fault are this job's own outcome.
 *
 * err: 0; -ENOKEY sealed to another TPM, or the TPM was cleared (SRK Name differs or is gone, blob integrity);
 * -EKEYREJECTED wrong PIN (fault tells the tries left); -EBUSY dictionary-attack lockout (fault tells how long);
 * -EACCES policy not satisfied, or the owner's password is needed to create the SRK; -EUCLEAN malformed blob, or not
 * the kind that unlock says; -ENODEV TPM gone or unreachable; -EAGAIN TPM out of sessions or memory; -ETIMEDOUT no
 * answer within a minute (jobs behind it are not tried and say the same); -EINVAL the job itself is wrong (no PIN for
 * a PIN key, PIN of no or more than 32 bytes); secret_new()'s errors; -EIO anything else. fault has exit CL_EXIT_KEY
 * (key unavailable) or CL_EXIT_TPM. After an error blob is as it was, and secret of an UNSEAL job is NULL.
 */
struct tpm_job {
	enum { TPM_SEAL, TPM_UNSEAL } op;
	enum tpm_unlock unlock;
	struct tpm_blob blob;
	const struct secret *auth; /* borrowed; NULL unless TPM_UNLOCK_PIN */
	struct secret *secret;
	int err;
	struct fault fault;
};

/*
 * Runs n jobs in one helper process, in order; a failed job does not stop the next, a dead TPM context is rebuilt.
 * tcti: an explicit string ("device:/dev/tpmrm0", "swtpm:path=/run/x"); never NULL or empty, never a search. SEAL
 * jobs end with an unseal in a new session and a comparison (self-test), else the job fails.
 * 0 when the jobs were tried (look at each err); -ENODEV or -EIO with *f when no TPM could be reached for any of them
 * (each err says so too); -EINVAL as tpm_check_tcti(). Thread-safe; blocks for seconds.
 */
int tpm_run(const char *tcti, struct tpm_job *jobs, size_t n, struct fault *f) CL_MUST_USE;

/* Finds this machine's TPM 2.0 through sysfs and writes "device:/dev/tpmrmN". -ENODEV when there is none. */
int tpm_find(char tcti[TPM_TCTI_MAX]) CL_MUST_USE;
/* Accepts device:/..., swtpm:..., tabrmd:..., libtpms:... with an argument. Else -EINVAL, exit USAGE. */
int tpm_check_tcti(const char *tcti, struct fault *f) CL_MUST_USE;

struct tpm_status {
	bool in_lockout;
	bool lockout_auth_set;
	uint32_t tries_used; /* failed tries counted now */
	uint32_t tries_max;
	uint32_t recovery_seconds; /* until one try is given back */
	char manufacturer[5];
};
/* -ENODEV, -EIO, -EAGAIN, -ETIMEDOUT as above; -EINVAL as tpm_check_tcti(). */
int tpm_get_status(const char *tcti, struct tpm_status *ret, struct fault *f) CL_MUST_USE;

/* If argv says that this process is the helper, does its work and exits; otherwise returns. Call it first in main(). */
void tpm_helper_main(int argc, char **argv);

#endif
