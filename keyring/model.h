/* SPDX-License-Identifier: GPL-3.0-or-later */
/* volume.json in memory, and what the parts of this module give each other. Not for other modules. */
#ifndef CLOISON_KEYRING_MODEL_H
#define CLOISON_KEYRING_MODEL_H

#include "keyring/keyring.h"

#define KEYRING_FORMAT 1u
#define KEYRING_NAME_MAX 255u
#define KEYRING_MAX_SLOTS 32u
#define KEYRING_SALT_LEN 32u
#define KEYRING_HINT_LEN 16u
#define KEYRING_MAC_LEN 48u
#define KEYRING_ROOT_LEN 32u /* a locator, a TPM secret, an output of scrypt */
#define KEYRING_NONCE_LEN 12u
#define KEYRING_TAG_LEN 16u
#define KEYRING_SEAL_EXTRA (KEYRING_NONCE_LEN + KEYRING_TAG_LEN)
#define KEYRING_WRAPPED_LEN (KEYRING_KEY_LEN + KEYRING_SEAL_EXTRA)
/* 3072 bytes sealed are 4096 characters of base64, for each label the same: the length says nothing. */
#define KEYRING_SEALED_LEN 3072u
#define KEYRING_RECORD_LEN (KEYRING_SEALED_LEN - KEYRING_SEAL_EXTRA)
#define KEYRING_PART_MAX 512u /* longest part of a TPM blob */

/*
 * Bounds on what a hostile header can make scrypt cost: r * N at most 2^23 is 1 GiB of memory, p * r * N at most 2^25
 * some ten seconds. The default (N = 2^17, r = 8, p = 1) is 2^20 in both.
 */
#define KEYRING_LOG2N_MIN 10u
#define KEYRING_LOG2N_MAX 20u
#define KEYRING_LOG2N_DEFAULT 17u
#define KEYRING_R_MAX 16u
#define KEYRING_P_MAX 16u
#define KEYRING_MEMORY_MAX ((uint64_t)1 << 23)
#define KEYRING_WORK_MAX ((uint64_t)1 << 25)

#define KEYRING_PIN_MIN 4u
#define KEYRING_PIN_MAX 128u
#define KEYRING_PASSPHRASE_MIN 8u

enum keyring_slot_type { KEYRING_PASSPHRASE = 1, KEYRING_TPM2 = 2 };
/* Indices into the parts of a struct keyring_tpm_blob. */
enum { KEYRING_SRK_NAME, KEYRING_SRK_PUBLIC, KEYRING_PUBLIC, KEYRING_PRIVATE };

struct keyring_part {
	uint16_t len;
	uint8_t bytes[KEYRING_PART_MAX];
};
struct keyring_kdf {
	uint8_t salt[KEYRING_SALT_LEN];
	unsigned log2n, r, p;
};
struct keyring_lock {
	uint8_t compartment[KEYRING_ID_LEN];
	uint8_t hint[KEYRING_HINT_LEN];
	uint8_t lowest[KEYRING_HINT_LEN];
	enum keyring_unlock unlock; /* tpm2 only, as the next two */
	struct keyring_part public_area, private_area;
	uint8_t wrapped[KEYRING_WRAPPED_LEN];
};
struct keyring_slot {
	uint8_t id[KEYRING_ID_LEN];
	enum keyring_slot_type type;
	struct keyring_kdf kdf;
	uint8_t check[KEYRING_HINT_LEN];          /* passphrase only */
	struct keyring_part srk_name, srk_public; /* tpm2 only, as the next two */
	struct keyring_part locator_public, locator_private;
	struct keyring_lock *locks; /* owned; ascending by compartment */
	size_t n_locks;
};
struct keyring_compartment {
	uint8_t id[KEYRING_ID_LEN];
	uint8_t sealed[KEYRING_SEALED_LEN];
	uint8_t mac[KEYRING_MAC_LEN];
};
struct keyring {
	uint8_t uuid[KEYRING_ID_LEN];
	char name[KEYRING_NAME_MAX + 1];
	struct keyring_compartment *compartments; /* owned; ascending by id */
	size_t n_compartments;
	struct keyring_slot *slots; /* owned; ascending by id */
	size_t n_slots;
	struct keyring *spare; /* owned: the other copy of the header, where it says something else */
};

/* json.c: before calls of jansson; and behind them: memory was out since, in this thread. */
void keyring_json_start(void);
bool keyring_json_no_memory(void);
/* parse.c: text of a header. file: its name, for the sentence. -EUCLEAN, -EPROTONOSUPPORT, -ENOMEM. */
int keyring_parse(const char *text, size_t len, const char *file, struct keyring **ret, struct fault *f) CL_MUST_USE;
/* format.c: *ret_text malloc'ed. -ENOMEM, -EFBIG when it would be longer than KEYRING_FILE_MAX. */
int keyring_format(const struct keyring *k, char **ret_text, size_t *ret_len) CL_MUST_USE;
/* model.c: both are -1 when there is none. */
ssize_t keyring_find_compartment(const struct keyring *k, const uint8_t id[static KEYRING_ID_LEN]);
ssize_t keyring_find_lock(const struct keyring_slot *s, const uint8_t id[static KEYRING_ID_LEN]);
bool keyring_kdf_ok(const struct keyring_kdf *kdf);
/* n bytes of UTF-8 (RFC 3629) without control characters, NUL included. */
bool keyring_text_ok(const char *text, size_t n);
bool keyring_dir_ok(const char *dir);

/* crypt.c. All: -EIO when the library fails, -ENOMEM. */
int keyring_hkdf(const void *ikm, size_t ikm_len, const char *use, const void *context, size_t context_len, void *out,
		 size_t out_len) CL_MUST_USE;
int keyring_hmac(const uint8_t *key, size_t key_len, const void *msg, size_t len, uint8_t mac[static KEYRING_MAC_LEN])
	CL_MUST_USE;
/* KEYRING_ROOT_LEN bytes; -EINVAL when the parameters are out of bounds. */
int keyring_scrypt(const struct secret *pass, const struct keyring_kdf *kdf, struct secret **ret) CL_MUST_USE;
struct keyring_aad {
	size_t len;
	uint8_t bytes[96];
};
/* out: len + KEYRING_SEAL_EXTRA bytes, nonce || ciphertext || tag. */
int keyring_seal(const uint8_t key[static KEYRING_KEY_LEN], const struct keyring_aad *aad, const void *in, size_t len,
		 uint8_t *out) CL_MUST_USE;
/* in: len + KEYRING_SEAL_EXTRA bytes. -EBADMSG: out is then zeroed. */
int keyring_open(const uint8_t key[static KEYRING_KEY_LEN], const struct keyring_aad *aad, const uint8_t *in, void *out,
		 size_t len) CL_MUST_USE;
int keyring_random(void *out, size_t n) CL_MUST_USE; /* public bytes: ids, salts */

/* record.c. Record: -EUCLEAN when a decoded record breaks a rule. */
int keyring_record_seal(const struct keyring *k, struct keyring_compartment *c, const struct secret *lk,
			const struct keyring_label *label) CL_MUST_USE;
int keyring_record_open(const struct keyring *k, const struct keyring_compartment *c, const struct secret *lk,
			struct keyring_label *ret) CL_MUST_USE;
int keyring_compartment_mac(const struct keyring *k, const struct keyring_compartment *c, const struct secret *lk,
			    uint8_t mac[static KEYRING_MAC_LEN]) CL_MUST_USE;

/* lock.c. finder: D of doc/FORMAT, of KEYRING_ROOT_LEN bytes. */
int keyring_hint(const struct keyring *k, const struct keyring_slot *s, const struct secret *finder,
		 const uint8_t compartment[static KEYRING_ID_LEN], const char *label,
		 uint8_t ret[static KEYRING_HINT_LEN]) CL_MUST_USE; /* label NULL: the hint of the lowest */
int keyring_check(const struct keyring *k, const struct keyring_slot *s, const struct secret *finder,
		  uint8_t ret[static KEYRING_HINT_LEN]) CL_MUST_USE;
/* The authValue half of a stretched PIN. */
int keyring_pin_auth(const struct keyring *k, const struct keyring_slot *s, const struct secret *master,
		     const uint8_t compartment[static KEYRING_ID_LEN], struct secret **ret) CL_MUST_USE;
/* part: P of a passphrase slot, else what the TPM keeps. master: stretched PIN, NULL unless the lock wants one. */
int keyring_wrap(const struct keyring *k, const struct keyring_slot *s, struct keyring_lock *l,
		 const struct secret *part, const struct secret *master, const struct secret *lk) CL_MUST_USE;
int keyring_unwrap(const struct keyring *k, const struct keyring_slot *s, const struct keyring_lock *l,
		   const struct secret *part, const struct secret *master, struct secret **ret_lk) CL_MUST_USE;

/* open.c: one attempt to open locks with an offer. */

/* What the attempt knows of one slot. */
struct keyring_way {
	const struct keyring_slot *s; /* borrowed */
	struct secret *finder;        /* owned; D, NULL as long as the slot is shut */
	struct secret *master;        /* owned; stretched PIN of a tpm2 slot, made when first needed */
	bool tried;                   /* the finder was asked for */
	bool idle;                    /* nothing was offered that it takes */
	bool accepted;                /* the PIN fitted one lock */
	unsigned refused;             /* tries of the PIN that the TPM counted */
	int err;                      /* most telling reason why this slot did not help; 0 = none */
	struct fault why;
};
struct keyring_opening {
	const struct keyring *k; /* borrowed, as the next */
	const struct keyring_offer *offer;
	struct keyring_way ways[KEYRING_MAX_SLOTS];
	struct secret *lk[KEYRING_MAX_LABELS]; /* owned; of compartment i, NULL as long as it is shut */
};
/* Unseals the locators of all tpm2 slots in one run. What fails is noted in the ways. */
void keyring_opening_start(struct keyring_opening *o, const struct keyring *k, const struct keyring_offer *offer);
void keyring_opening_done(struct keyring_opening *o);
/* Index of the compartment of label (NULL: the lowest), or -1. */
ssize_t keyring_opening_find(struct keyring_opening *o, const char *label);
/* Tries to unwrap the label keys of the compartments wanted (by index): one run per tpm2 slot, then passphrases. */
void keyring_opening_unwrap(struct keyring_opening *o, const bool want[static KEYRING_MAX_LABELS]);
/* The most telling error of all ways, with a sentence that names each slot and why. -ENOKEY when there is none. */
int keyring_opening_error(const struct keyring_opening *o, struct fault *f) CL_MUST_USE;

#endif
