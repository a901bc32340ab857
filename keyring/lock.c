/* SPDX-License-Identifier: GPL-3.0-or-later */
/* One lock: the hint by which its label is found, and the wrapped label key (doc/FORMAT, "Unwrapping a label key"). */
#include "keyring/model.h"

#include <string.h>

/* What every derivation and seal of a slot is bound to, so that nothing can be moved to another place of the file. */
struct place {
	uint8_t uuid[KEYRING_ID_LEN];
	uint8_t slot[KEYRING_ID_LEN];
	uint8_t compartment[KEYRING_ID_LEN];
};
#define SLOT_CONTEXT offsetof(struct place, compartment)

static struct place place_of(const struct keyring *k, const struct keyring_slot *s, const uint8_t *compartment)
{
	struct place p = { 0 };

	memcpy(p.uuid, k->uuid, KEYRING_ID_LEN);
	memcpy(p.slot, s->id, KEYRING_ID_LEN);
	if (compartment)
		memcpy(p.compartment, compartment, KEYRING_ID_LEN);
	return p;
}

int keyring_hint(const struct keyring *k, const struct keyring_slot *s, const struct secret *finder,
		 const uint8_t compartment[static KEYRING_ID_LEN], const char *label,
		 uint8_t ret[static KEYRING_HINT_LEN])
{
	struct place p = place_of(k, s, NULL);
	uint8_t key[KEYRING_MAC_LEN], mac[KEYRING_MAC_LEN], msg[KEYRING_ID_LEN + KEYRING_LABEL_MAX];
	size_t n = label ? strlen(label) : 0;
	int err;

	if (n > KEYRING_LABEL_MAX)
		return -EINVAL;
	err = keyring_hkdf(secret_cbytes(finder), secret_len(finder), label ? "hint" : "lowest", &p, SLOT_CONTEXT, key,
			   sizeof key);
	if (err)
		return err;
	memcpy(msg, compartment, KEYRING_ID_LEN);
	if (label)
		memcpy(msg + KEYRING_ID_LEN, label, n);
	err = keyring_hmac(key, sizeof key, msg, KEYRING_ID_LEN + n, mac);
	if (!err)
		memcpy(ret, mac, KEYRING_HINT_LEN);
	secret_wipe(key, sizeof key);
	secret_wipe(mac, sizeof mac);
	secret_wipe(msg, sizeof msg);
	return err;
}

int keyring_check(const struct keyring *k, const struct keyring_slot *s, const struct secret *finder,
		  uint8_t ret[static KEYRING_HINT_LEN])
{
	struct place p = place_of(k, s, NULL);

	return keyring_hkdf(secret_cbytes(finder), secret_len(finder), "check", &p, SLOT_CONTEXT, ret,
			    KEYRING_HINT_LEN);
}

int keyring_pin_auth(const struct keyring *k, const struct keyring_slot *s, const struct secret *master,
		     const uint8_t compartment[static KEYRING_ID_LEN], struct secret **ret)
{
	struct secret *CL_CLEANUP(secret_freep) auth = NULL;
	struct place p = place_of(k, s, compartment);
	int err = secret_new(KEYRING_ROOT_LEN, &auth);

	if (!err)
		err = keyring_hkdf(secret_cbytes(master), secret_len(master), "pin-auth", &p, sizeof p,
				   secret_bytes(auth), KEYRING_ROOT_LEN);
	if (!err)
		*ret = secret_steal(&auth);
	return err;
}

/*
 * KEK of a lock. A PIN counts twice: one half opens the TPM object, the other goes in here, so that neither a broken
 * TPM nor a leaked unsealed secret gives the label key without a guess of the PIN through scrypt.
 */
static int lock_kek(const struct keyring_slot *s, const struct keyring_lock *l, const struct place *p,
		    const struct secret *part, const struct secret *master, uint8_t kek[static KEYRING_KEY_LEN])
{
	struct secret *CL_CLEANUP(secret_freep) both = NULL;
	int err;

	if (secret_len(part) != KEYRING_ROOT_LEN)
		return -EBADMSG; /* the TPM gave something that this program did not seal */
	if (s->type == KEYRING_PASSPHRASE || l->unlock == KEYRING_HOST)
		return keyring_hkdf(secret_cbytes(part), KEYRING_ROOT_LEN,
				    s->type == KEYRING_PASSPHRASE ? "passphrase-kek" : "host-kek", p, sizeof *p, kek,
				    KEYRING_KEY_LEN);
	if (!master)
		return -EINVAL;
	err = secret_new(2 * KEYRING_ROOT_LEN, &both);
	if (err)
		return err;
	memcpy(secret_bytes(both), secret_cbytes(part), KEYRING_ROOT_LEN);
	err = keyring_hkdf(secret_cbytes(master), secret_len(master), "pin-mix", p, sizeof *p,
			   secret_bytes(both) + KEYRING_ROOT_LEN, KEYRING_ROOT_LEN);
	if (err)
		return err;
	return keyring_hkdf(secret_cbytes(both), secret_len(both), "pin-kek", p, sizeof *p, kek, KEYRING_KEY_LEN);
}

static void lock_aad(const struct place *p, struct keyring_aad *aad)
{
	static const char what[] = "cloison 1 lock"; /* with its zero byte */

	memcpy(aad->bytes, what, sizeof what);
	memcpy(aad->bytes + sizeof what, p, sizeof *p);
	aad->len = sizeof what + sizeof *p;
}

int keyring_wrap(const struct keyring *k, const struct keyring_slot *s, struct keyring_lock *l,
		 const struct secret *part, const struct secret *master, const struct secret *lk)
{
	struct place p = place_of(k, s, l->compartment);
	struct keyring_aad aad;
	uint8_t kek[KEYRING_KEY_LEN];
	int err = lock_kek(s, l, &p, part, master, kek);

	if (!err) {
		lock_aad(&p, &aad);
		err = keyring_seal(kek, &aad, secret_cbytes(lk), KEYRING_KEY_LEN, l->wrapped);
	}
	secret_wipe(kek, sizeof kek);
	return err;
}

int keyring_unwrap(const struct keyring *k, const struct keyring_slot *s, const struct keyring_lock *l,
		   const struct secret *part, const struct secret *master, struct secret **ret_lk)
{
	struct secret *CL_CLEANUP(secret_freep) lk = NULL;
	struct place p = place_of(k, s, l->compartment);
	struct keyring_aad aad;
	uint8_t kek[KEYRING_KEY_LEN];
	int err = secret_new(KEYRING_KEY_LEN, &lk);

	if (!err)
		err = lock_kek(s, l, &p, part, master, kek);
	if (!err) {
		lock_aad(&p, &aad);
		err = keyring_open(kek, &aad, l->wrapped, secret_bytes(lk), KEYRING_KEY_LEN);
	}
	secret_wipe(kek, sizeof kek);
	if (!err)
		*ret_lk = secret_steal(&lk);
	return err;
}
