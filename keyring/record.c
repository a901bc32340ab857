/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a label key protects in the header: the sealed label record, and the MAC over every way to that key. */
#include "keyring/model.h"

#include "common/bytes.h"

#include <assert.h>
#include <stdlib.h>

/* doc/FORMAT, "Label record". */
struct record {
	le16 rank;
	le16 text_len;
	le16 dir_len;
	le16 n_below;
	uint8_t text[KEYRING_LABEL_MAX];
	uint8_t dir[KEYRING_DIR_MAX + 1];
	uint8_t below[KEYRING_MAX_LABELS][KEYRING_ID_LEN];
	uint8_t reserved[732];
};
static_assert(offsetof(struct record, text) == 8, "text");
static_assert(offsetof(struct record, dir) == 1032, "dir");
static_assert(offsetof(struct record, below) == 1288, "below");
static_assert(offsetof(struct record, reserved) == 2312, "reserved");
static_assert(sizeof(struct record) == KEYRING_RECORD_LEN, "a record fills its seal");

static void record_aad(const struct keyring *k, const struct keyring_compartment *c, struct keyring_aad *aad)
{
	static const char what[] = "cloison 1 label"; /* with its zero byte */

	memcpy(aad->bytes, what, sizeof what);
	memcpy(aad->bytes + sizeof what, k->uuid, KEYRING_ID_LEN);
	memcpy(aad->bytes + sizeof what + KEYRING_ID_LEN, c->id, KEYRING_ID_LEN);
	aad->len = sizeof what + 2 * KEYRING_ID_LEN;
}

int keyring_record_seal(const struct keyring *k, struct keyring_compartment *c, const struct secret *lk,
			const struct keyring_label *label)
{
	size_t text_len = strlen(label->text), dir_len = strlen(label->dir);
	struct record r = { .rank = le16_of(label->rank),
			    .text_len = le16_of((uint16_t)text_len),
			    .dir_len = le16_of((uint16_t)dir_len),
			    .n_below = le16_of(label->n_below) };
	struct keyring_aad aad;
	uint8_t key[KEYRING_KEY_LEN];
	int err = keyring_derive(lk, "label-name", c->id, key, sizeof key);

	if (!err) {
		memcpy(r.text, label->text, text_len);
		memcpy(r.dir, label->dir, dir_len);
		memcpy(r.below, label->below, (size_t)label->n_below * KEYRING_ID_LEN);
		record_aad(k, c, &aad);
		err = keyring_seal(key, &aad, &r, sizeof r, c->sealed);
	}
	secret_wipe(key, sizeof key);
	secret_wipe(&r, sizeof r);
	return err;
}

static bool below_ok(const struct keyring *k, const struct keyring_compartment *c, const struct record *r, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (!memcmp(r->below[i], c->id, KEYRING_ID_LEN) || keyring_find_compartment(k, r->below[i]) < 0)
			return false;
		for (size_t j = 0; j < i; j++)
			if (!memcmp(r->below[i], r->below[j], KEYRING_ID_LEN))
				return false;
	}
	return bytes_are_zero(r->below[n], (KEYRING_MAX_LABELS - n) * KEYRING_ID_LEN);
}

/* Who made a record held its key; it is checked all the same, so that a fault of a writer ends here. */
static int record_decode(const struct keyring *k, const struct keyring_compartment *c, const struct record *r,
			 struct keyring_label *ret)
{
	size_t text_len = le16_get(r->text_len), dir_len = le16_get(r->dir_len), n_below = le16_get(r->n_below);

	if (!text_len || text_len > KEYRING_LABEL_MAX || dir_len > KEYRING_DIR_MAX || n_below >= KEYRING_MAX_LABELS)
		return -EUCLEAN;
	memset(ret, 0, sizeof *ret);
	memcpy(ret->id, c->id, KEYRING_ID_LEN);
	memcpy(ret->text, r->text, text_len);
	memcpy(ret->dir, r->dir, dir_len);
	memcpy(ret->below, r->below, n_below * KEYRING_ID_LEN);
	ret->rank = le16_get(r->rank);
	ret->n_below = (uint16_t)n_below;
	if (!keyring_text_ok(ret->text, text_len) || !bytes_are_zero(r->text + text_len, sizeof r->text - text_len) ||
	    !bytes_are_zero(r->dir + dir_len, sizeof r->dir - dir_len) ||
	    !bytes_are_zero(r->reserved, sizeof r->reserved) || strlen(ret->dir) != dir_len || !ret->rank != !dir_len ||
	    (dir_len && !keyring_dir_ok(ret->dir)) || ret->rank >= KEYRING_MAX_LABELS || n_below > ret->rank ||
	    !below_ok(k, c, r, n_below))
		return -EUCLEAN;
	return 0;
}

int keyring_record_open(const struct keyring *k, const struct keyring_compartment *c, const struct secret *lk,
			struct keyring_label *ret)
{
	struct keyring_aad aad;
	struct record r;
	uint8_t key[KEYRING_KEY_LEN];
	int err = keyring_derive(lk, "label-name", c->id, key, sizeof key);

	if (err)
		return err;
	record_aad(k, c, &aad);
	err = keyring_open(key, &aad, c->sealed, &r, sizeof r);
	if (!err)
		err = record_decode(k, c, &r, ret);
	secret_wipe(key, sizeof key);
	secret_wipe(&r, sizeof r);
	return err;
}

/* Bytes that the MAC goes over; all of them stand in volume.json in the clear. */
struct message {
	uint8_t *bytes; /* owned */
	size_t len, cap;
	bool failed;
};

static void put(struct message *m, const void *p, size_t n)
{
	if (m->cap - m->len < n) {
		size_t cap = 2 * m->cap + n + 8192;
		uint8_t *more = m->failed ? NULL : realloc(m->bytes, cap);

		if (!more) {
			m->failed = true;
			return;
		}
		m->bytes = more;
		m->cap = cap;
	}
	memcpy(m->bytes + m->len, p, n);
	m->len += n;
}

static void put_u32(struct message *m, size_t v)
{
	le32 n = le32_of((uint32_t)v);

	put(m, &n, sizeof n);
}

static void put_field(struct message *m, const void *p, size_t n)
{
	put_u32(m, n);
	put(m, p, n);
}

static void put_text(struct message *m, const char *text)
{
	put_field(m, text, strlen(text));
}

static void put_part(struct message *m, const struct keyring_part *p)
{
	put_field(m, p->bytes, p->len);
}

static void put_slot(struct message *m, const struct keyring_slot *s, const struct keyring_lock *l)
{
	bool tpm = s->type == KEYRING_TPM2;

	put_field(m, s->id, sizeof s->id);
	put_text(m, tpm ? "tpm2" : "passphrase");
	put_text(m, "scrypt");
	put_field(m, s->kdf.salt, sizeof s->kdf.salt);
	put_u32(m, s->kdf.log2n);
	put_u32(m, s->kdf.r);
	put_u32(m, s->kdf.p);
	if (tpm) {
		put_part(m, &s->srk_name);
		put_part(m, &s->srk_public);
		put_part(m, &s->locator_public);
		put_part(m, &s->locator_private);
	} else {
		put_field(m, s->check, sizeof s->check);
	}
	put_field(m, l->hint, sizeof l->hint);
	put_field(m, l->lowest, sizeof l->lowest);
	if (tpm) {
		put_text(m, l->unlock == KEYRING_PIN ? "pin" : "host");
		put_part(m, &l->public_area);
		put_part(m, &l->private_area);
	}
	put_field(m, l->wrapped, sizeof l->wrapped);
}

int keyring_compartment_mac(const struct keyring *k, const struct keyring_compartment *c, const struct secret *lk,
			    uint8_t mac[static KEYRING_MAC_LEN])
{
	struct message m = { 0 };
	uint8_t key[KEYRING_MAC_LEN];
	size_t n_slots = 0;
	int err = keyring_derive(lk, "volume-mac", c->id, key, sizeof key);

	if (err)
		return err;
	for (size_t i = 0; i < k->n_slots; i++)
		n_slots += keyring_find_lock(&k->slots[i], c->id) >= 0;
	put_text(&m, "cloison 1 volume");
	put_u32(&m, KEYRING_FORMAT);
	put_field(&m, k->uuid, sizeof k->uuid);
	put_text(&m, k->name);
	put_field(&m, c->id, sizeof c->id);
	put_field(&m, c->sealed, sizeof c->sealed);
	put_u32(&m, n_slots);
	for (size_t i = 0; i < k->n_slots; i++) {
		ssize_t l = keyring_find_lock(&k->slots[i], c->id);

		if (l >= 0)
			put_slot(&m, &k->slots[i], &k->slots[i].locks[l]);
	}
	err = m.failed ? -ENOMEM : keyring_hmac(key, sizeof key, m.bytes, m.len, mac);
	free(m.bytes);
	secret_wipe(key, sizeof key);
	return err;
}
