/* SPDX-License-Identifier: GPL-3.0-or-later */
/* struct keyring -> text of a header. */
#include "keyring/model.h"

#include "common/bytes.h"

#include <jansson.h>
#include <stdlib.h>

/* Each adds one member and returns -1 when memory ran out; the results are summed up and looked at once. */
static int add_text(json_t *o, const char *name, const char *text)
{
	return json_object_set_new(o, name, json_string(text));
}

static int add_number(json_t *o, const char *name, unsigned v)
{
	return json_object_set_new(o, name, json_integer(v));
}

static int add_id(json_t *o, const char *name, const uint8_t id[static KEYRING_ID_LEN])
{
	char hex[2 * KEYRING_ID_LEN + 1];

	bytes_to_hex(id, KEYRING_ID_LEN, hex);
	return add_text(o, name, hex);
}

static int add_bytes(json_t *o, const char *name, const uint8_t *p, size_t n)
{
	char *text;
	int r;

	if (bytes_to_base64(p, n, &text))
		return -1;
	r = add_text(o, name, text);
	free(text);
	return r;
}

static int add_part(json_t *o, const char *name, const struct keyring_part *p)
{
	return add_bytes(o, name, p->bytes, p->len);
}

static json_t *format_compartment(const struct keyring_compartment *c)
{
	json_t *o = json_object();
	int r = add_id(o, "id", c->id);

	r += add_bytes(o, "label", c->sealed, sizeof c->sealed);
	r += add_bytes(o, "mac", c->mac, sizeof c->mac);
	if (!r)
		return o;
	json_decref(o);
	return NULL;
}

static json_t *format_lock(const struct keyring_slot *s, const struct keyring_lock *l)
{
	json_t *o = json_object();
	int r = add_id(o, "compartment", l->compartment);

	r += add_bytes(o, "hint", l->hint, sizeof l->hint);
	r += add_bytes(o, "lowest", l->lowest, sizeof l->lowest);
	if (s->type == KEYRING_TPM2) {
		r += add_text(o, "unlock", l->unlock == KEYRING_PIN ? "pin" : "host");
		r += add_part(o, "public", &l->public_area);
		r += add_part(o, "private", &l->private_area);
	}
	r += add_bytes(o, "wrapped", l->wrapped, sizeof l->wrapped);
	if (!r)
		return o;
	json_decref(o);
	return NULL;
}

static json_t *format_kdf(const struct keyring_kdf *kdf)
{
	json_t *o = json_object();
	int r = add_text(o, "name", "scrypt");

	r += add_bytes(o, "salt", kdf->salt, sizeof kdf->salt);
	r += add_number(o, "log2n", kdf->log2n);
	r += add_number(o, "r", kdf->r);
	r += add_number(o, "p", kdf->p);
	if (!r)
		return o;
	json_decref(o);
	return NULL;
}

static int add_tpm(json_t *o, const struct keyring_slot *s)
{
	json_t *srk = json_object(), *locator = json_object();
	int r = add_part(srk, "name", &s->srk_name);

	r += add_part(srk, "public", &s->srk_public);
	r += add_part(locator, "public", &s->locator_public);
	r += add_part(locator, "private", &s->locator_private);
	r += json_object_set_new(o, "srk", srk);
	r += json_object_set_new(o, "locator", locator);
	return r;
}

static json_t *format_slot(const struct keyring_slot *s)
{
	json_t *o = json_object(), *locks = json_array();
	int r = add_id(o, "id", s->id);

	r += add_text(o, "type", s->type == KEYRING_TPM2 ? "tpm2" : "passphrase");
	r += json_object_set_new(o, "kdf", format_kdf(&s->kdf));
	if (s->type == KEYRING_TPM2)
		r += add_tpm(o, s);
	else
		r += add_bytes(o, "check", s->check, sizeof s->check);
	for (size_t i = 0; i < s->n_locks; i++)
		r += json_array_append_new(locks, format_lock(s, &s->locks[i]));
	r += json_object_set_new(o, "locks", locks);
	if (!r)
		return o;
	json_decref(o);
	return NULL;
}

static json_t *format_volume(const struct keyring *k)
{
	json_t *o = json_object();
	int r = add_number(o, "format", KEYRING_FORMAT);

	r += add_id(o, "uuid", k->uuid);
	if (k->name[0])
		r += add_text(o, "name", k->name);
	if (!r)
		return o;
	json_decref(o);
	return NULL;
}

int keyring_format(const struct keyring *k, char **ret_text, size_t *ret_len)
{
	keyring_json_start();
	json_t *root = json_object(), *compartments = json_array(), *slots = json_array();
	int r = json_object_set_new(root, "cloison", format_volume(k));
	char *text = NULL;
	size_t len;

	for (size_t i = 0; i < k->n_compartments; i++)
		r += json_array_append_new(compartments, format_compartment(&k->compartments[i]));
	for (size_t i = 0; i < k->n_slots; i++)
		r += json_array_append_new(slots, format_slot(&k->slots[i]));
	r += json_object_set_new(root, "compartments", compartments);
	r += json_object_set_new(root, "slots", slots);
	if (!r)
		text = json_dumps(root, JSON_INDENT(1));
	json_decref(root);
	/* Also when there is a text: something may be missing in it. */
	if (!text || keyring_json_no_memory()) {
		free(text);
		return -ENOMEM;
	}
	len = strlen(text);
	if (len + 1 > KEYRING_FILE_MAX) {
		free(text);
		return -EFBIG;
	}
	text[len] = '\n'; /* in the place of the NUL: the length goes with it */
	*ret_text = text;
	*ret_len = len + 1;
	return 0;
}
