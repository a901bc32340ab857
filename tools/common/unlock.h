/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the user offers to open a volume with: this machine's TPM, a PIN, a passphrase. Joins keyring and tpm. */
#ifndef CLOISON_TOOLS_UNLOCK_H
#define CLOISON_TOOLS_UNLOCK_H

#include "common/base.h"
#include "common/fault.h"
#include "common/secret.h"
#include "keyring/keyring.h"
#include "tpm/tpm.h"

#define UNLOCK_PIN_MAX 128u
#define UNLOCK_PASSPHRASE_MAX 1024u

/* The key options that all commands share. Strings are owned: unlock_options_done. */
struct unlock_options {
	char *label;           /* NULL: not said */
	char *tpm2;            /* "auto", "none" or a TCTI; NULL: auto */
	char *pin_file;        /* "-" is standard input */
	char *passphrase_file;
	const char *passphrase_option; /* what the command calls it; NULL: passphrase-file */
};

/*
 * Takes label, tpm2, pin-file and passphrase-file (long options and -o items alike); the last of a kind counts. 1:
 * taken; 0: not one of them; -EINVAL with a sentence: no value.
 */
int unlock_option(struct unlock_options *o, const char *name, const char *value, struct fault *f) CL_MUST_USE;
void unlock_options_done(struct unlock_options *o);

struct unlock {
	char tcti[TPM_TCTI_MAX];   /* "": no TPM */
	bool tpm_was_asked_for;    /* a TCTI was given */
	bool may_prompt;
	struct keyring_tpm tpm;    /* over tpm_run */
	struct secret *pin;        /* owned */
	struct secret *passphrase; /* owned */
};

/*
 * Finds the TPM and reads the files. prompt: ask on the terminal for what turns out to be missing, if there is one. u
 * must not move afterwards. -EINVAL (TCTI), or errno of a file, with a sentence.
 */
int unlock_init(struct unlock *u, const struct unlock_options *o, bool prompt, struct fault *f) CL_MUST_USE;
void unlock_done(struct unlock *u);
/* The TPM, or NULL when there is none. */
const struct keyring_tpm *unlock_tpm(const struct unlock *u);

/*
 * keyring_unlock and keyring_unlock_all with what was offered; when that does not do and somebody can be asked, asks
 * for the PIN and then for the passphrase, three times at most each. Errors are keyring's, the sentence tells which
 * option was missing.
 */
int unlock_label(struct unlock *u, const struct keyring *k, const char *label, struct keyring_unlocked **ret,
		 size_t *ret_n, struct fault *f) CL_MUST_USE;
/* *f may have a sentence although 0 is returned: what of the header did not authenticate. */
int unlock_all(struct unlock *u, const struct keyring *k, struct keyring_unlocked **ret, size_t *ret_n,
	       struct fault *f) CL_MUST_USE;

#endif
