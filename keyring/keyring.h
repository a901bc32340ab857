/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * volume.json and the way from key slots to label keys (doc/FORMAT, "Volume header"). Knows no TPM: it reaches one
 * through struct keyring_tpm. Label keys leave as struct secret only.
 */
#ifndef CLOISON_KEYRING_KEYRING_H
#define CLOISON_KEYRING_KEYRING_H

#include "common/base.h"
#include "common/fault.h"
#include "common/secret.h"

#define KEYRING_KEY_LEN 32u     /* label key LK */
#define KEYRING_ID_LEN 16u      /* compartment id, volume uuid, slot id */
#define KEYRING_LABEL_MAX 1024u /* bytes of a label's text, NUL not counted */
#define KEYRING_DIR_MAX 255u    /* bytes of a gate's name */
#define KEYRING_MAX_LABELS 64u
#define KEYRING_FILE_MAX (1024u * 1024u) /* largest volume.json that is read */

enum keyring_unlock { KEYRING_HOST = 0, KEYRING_PIN = 1 };

/*
 * Blob and functions of a TPM, given by the program (tools/ joins keyring and tpm). The bytes are opaque here: the
 * four byte strings of a sealed object. run() handles n jobs in one go; see tpm/tpm.h for the errors.
 */
struct keyring_tpm_blob {
	uint16_t len[4]; /* srk name, srk public, object public, object private */
	uint8_t bytes[4][512];
};
struct keyring_tpm_job {
	bool seal;
	enum keyring_unlock unlock;
	struct keyring_tpm_blob blob;
	const struct secret *auth;
	struct secret *secret;
	int err;
	struct fault fault;
};
struct keyring_tpm {
	int (*run)(void *arg, struct keyring_tpm_job *jobs, size_t n, struct fault *f);
	void *arg;
};

/* One compartment as its own label key shows it. Lowest label: rank 0, no gate name. */
struct keyring_label {
	uint8_t id[KEYRING_ID_LEN];
	uint16_t rank; /* place in the list, 0 = lowest; also the high bits of inode numbers */
	char text[KEYRING_LABEL_MAX + 1];
	char dir[KEYRING_DIR_MAX + 1]; /* name of the gate in the volume's root; "" for rank 0 */
	uint16_t n_below;
	uint8_t below[KEYRING_MAX_LABELS][KEYRING_ID_LEN]; /* compartments that this label dominates, lowest first */
};

struct keyring; /* a parsed volume.json; immutable but for the calls that say otherwise; not thread-safe */

/* One label of a new volume, for keyring_create. */
struct keyring_new_label {
	const char *text; /* 1 .. KEYRING_LABEL_MAX bytes of UTF-8 without control characters */
	const char *dir;  /* NULL for the first */
	enum keyring_unlock unlock;
};
struct keyring_new {
	const char *name; /* public volume name or NULL */
	const struct keyring_new_label *labels;
	size_t n_labels;
	const struct keyring_tpm *tpm;   /* NULL: no tpm2 slot */
	const struct secret *pin;        /* needed iff a label has KEYRING_PIN; 4 .. 128 bytes */
	const struct secret *passphrase; /* recovery passphrase or NULL; at least 8 bytes */
	unsigned scrypt_log2_n;          /* 0 = default (17); tests use less, 10 at least */
};

/*
 * Makes label keys, slots and the header of a new volume in memory. *ret_keys: n_labels secrets in the order of labels,
 * owned by the caller. At least one way in per label, else -EINVAL with a sentence. Nothing is written yet.
 */
int keyring_create(const struct keyring_new *spec, struct keyring **ret, struct secret **ret_keys, struct fault *f)
	CL_MUST_USE;
/* Both copies of the header were loaded, are well-formed, and say different things: the other one may be used instead. */
bool keyring_copies_differ(const struct keyring *k);
/* Writes volume.json (tmp, fsync, rename, fsync) and then volume.json.bak below dirfd. */
int keyring_save(const struct keyring *k, int dirfd, struct fault *f) CL_MUST_USE;
/*
 * Reads volume.json, or its backup (with a warning in the log) when the first is missing or malformed. Checks structure
 * only; what it says is trusted after keyring_unlock. -ENOENT not a volume, -EUCLEAN malformed in both copies (the
 * sentence names what and where), -EPROTONOSUPPORT newer format.
 */
int keyring_load(int dirfd, struct keyring **ret, struct fault *f) CL_MUST_USE;
void keyring_free(struct keyring *k);

const uint8_t *keyring_uuid(const struct keyring *k); /* KEYRING_ID_LEN bytes */
const char *keyring_name(const struct keyring *k);    /* "" when it has none */
size_t keyring_n_compartments(const struct keyring *k);
const uint8_t *keyring_compartment_id(const struct keyring *k, size_t i); /* in id order: says nothing of ranks */

/* What the user offers. Slots are tried: tpm2 slots whose SRK is this machine's first, then passphrase slots. */
struct keyring_offer {
	const struct keyring_tpm *tpm;   /* NULL: none */
	const struct secret *pin;        /* NULL: none */
	const struct secret *passphrase; /* NULL: none */
};
struct keyring_unlocked {
	struct keyring_label label;
	struct secret *key; /* LK */
};

/*
 * Finds the compartment of label (NULL: the lowest) and unlocks it and every compartment below it, lowest first, the
 * asked one last. Verifies the header's MAC of each before it is used. Keys of other labels are never unwrapped.
 * *ret: array of *ret_n, freed by keyring_unlocked_free. Errors, each with a sentence that names the slot and why:
 * -ENOENT no such label (exit POLICY; says the same for a label whose slots this offer cannot see), -ENOKEY key is
 * sealed to another TPM / no slot fits (exit KEY), -EKEYREJECTED wrong PIN or passphrase (KEY), -EBUSY lockout (KEY),
 * -ENODEV no TPM (KEY when only slots were missing), -EBADMSG header does not authenticate (INTEGRITY).
 * When volume.json does not do and volume.json.bak says something else, that is tried too (with a warning in the log),
 * unless a wrong PIN was counted.
 */
int keyring_unlock(const struct keyring *k, const struct keyring_offer *offer, const char *label,
		   struct keyring_unlocked **ret, size_t *ret_n, struct fault *f) CL_MUST_USE;
/*
 * Unlocks every compartment that the offer can open (fsck, recovery), lowest first. One that does not authenticate is
 * left out with a line in the log; compare *ret_n with keyring_n_compartments. A PIN that the first lock, or three of several locks, refused is tried
 * on no more. When none: the errors of keyring_unlock.
 */
int keyring_unlock_all(const struct keyring *k, const struct keyring_offer *offer, struct keyring_unlocked **ret,
		       size_t *ret_n, struct fault *f) CL_MUST_USE;
void keyring_unlocked_free(struct keyring_unlocked *u, size_t n);

/*
 * HKDF-SHA-384 (RFC 5869, NIST SP 800-56C) of a label key, no salt,
 * info = "cloison 1 " || use || 0x00 || compartment id.
 * out_len at most 64. Uses: "root", "label-name", "volume-mac", "ledger", "anchor".
 */
int keyring_derive(const struct secret *label_key, const char *use, const uint8_t id[static KEYRING_ID_LEN],
		   uint8_t *out, size_t out_len) CL_MUST_USE;

/* A slot as it can be told without keys, for listings. */
struct keyring_slot_info {
	uint8_t id[KEYRING_ID_LEN];
	bool is_tpm2;
	size_t n_locks; /* compartments it opens */
	size_t n_pin;   /* of these, with a PIN */
};
size_t keyring_n_slots(const struct keyring *k);
int keyring_slot(const struct keyring *k, size_t i, struct keyring_slot_info *ret) CL_MUST_USE;

#endif
