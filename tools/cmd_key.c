/* SPDX-License-Identifier: GPL-3.0-or-later */
/* cloison key list: the ways into a volume, as far as they can be told without a key. */
#include "tools/cloison.h"

#include "common/bytes.h"
#include "tools/common/json_out.h"
#include "tools/common/say.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static json_t *to_json(const struct keyring_slot_info *s)
{
	char id[2 * KEYRING_ID_LEN + 1];
	bytes_to_hex(s->id, KEYRING_ID_LEN, id);
	return json_pack("{s:s, s:s, s:i, s:i}", "id", id, "type", s->is_tpm2 ? "tpm2" : "passphrase", "labels",
			 (int)s->n_locks, "labels_with_pin", (int)s->n_pin);
}

static void print_slot(const struct keyring_slot_info *s, size_t n_compartments)
{
	char id[2 * KEYRING_ID_LEN + 1];
	bytes_to_hex(s->id, KEYRING_ID_LEN, id);
	printf("  %.8s  %-10s  opens %zu of %zu label%s", id, s->is_tpm2 ? "tpm2" : "passphrase", s->n_locks,
	       n_compartments, n_compartments == 1 ? "" : "s");
	if (s->n_pin)
		printf(", %zu with a PIN", s->n_pin);
	putchar('\n');
}

int cmd_key_list(struct cmd *c, struct fault *f)
{
	struct keyring *k = NULL;
	char *dir = NULL;
	int err = cmd_load(c->path, &k, &dir, f);
	if (err)
		return err;
	char uuid[2 * KEYRING_ID_LEN + 1];
	bytes_to_hex(keyring_uuid(k), KEYRING_ID_LEN, uuid);
	json_t *slots = json_array();
	if (!c->json)
		say_line("volume %s in %s", uuid, dir);
	for (size_t i = 0; i < keyring_n_slots(k) && !err; i++) {
		struct keyring_slot_info s;
		err = keyring_slot(k, i, &s);
		if (!err && c->json)
			json_array_append_new(slots, to_json(&s));
		else if (!err)
			print_slot(&s, keyring_n_compartments(k));
	}
	if (!err && c->json)
		err = json_out(json_pack("{s:s, s:o, s:o, s:i, s:O}", "uuid", uuid, "volume", json_out_text(dir),
					 "name", json_out_text(*keyring_name(k) ? keyring_name(k) : NULL), "labels",
					 (int)keyring_n_compartments(k), "slots", slots));
	json_decref(slots);
	keyring_free(k);
	free(dir);
	return err;
}
