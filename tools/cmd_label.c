/* SPDX-License-Identifier: GPL-3.0-or-later */
/* cloison label list: the labels that the keys at hand open. Of the others not even the text is known. */
#include "tools/cloison.h"

#include "common/bytes.h"
#include "tools/common/json_out.h"
#include "tools/common/say.h"

#include <stdio.h>
#include <stdlib.h>

static int print_json(const struct keyring_unlocked *u, size_t n, size_t closed)
{
	json_t *labels = json_array();
	for (size_t i = 0; i < n; i++) {
		char id[2 * KEYRING_ID_LEN + 1];
		bytes_to_hex(u[i].label.id, KEYRING_ID_LEN, id);
		json_array_append_new(labels, json_pack("{s:o, s:s, s:i, s:o}", "label", json_out_text(u[i].label.text),
							"id", id, "rank", (int)u[i].label.rank, "directory",
							json_out_text(u[i].label.rank ? u[i].label.dir : NULL)));
	}
	return json_out(json_pack("{s:o, s:i}", "labels", labels, "not_opened", (int)closed));
}

static void print(const struct keyring_unlocked *u, size_t n, size_t closed)
{
	for (size_t i = 0; i < n; i++)
		say_line("%-32s /%s", u[i].label.text, u[i].label.rank ? u[i].label.dir : "");
	if (closed)
		printf("(%zu more that were not opened)\n", closed);
}

int cmd_label_list(struct cmd *c, struct fault *f)
{
	struct keyring *k = NULL;
	struct keyring_unlocked *u = NULL;
	struct unlock unlock;
	char *dir = NULL;
	size_t n = 0;
	int err = cmd_load(c->path, &k, &dir, f);
	if (err)
		return err;
	err = unlock_init(&unlock, &c->key, true, f);
	if (!err) {
		if (c->key.label)
			err = unlock_label(&unlock, k, c->key.label, &u, &n, f);
		else
			err = unlock_all(&unlock, k, &u, &n, f);
		if (!err && f->text[0]) {
			say("%s", f->text);
			*f = (struct fault){ 0 };
		}
		unlock_done(&unlock);
	}
	size_t all = keyring_n_compartments(k); /* of the copy that was loaded; the other one may list more */
	size_t closed = err || all < n ? 0 : all - n;
	if (!err && c->json)
		err = print_json(u, n, closed);
	else if (!err)
		print(u, n, closed);
	keyring_unlocked_free(u, n);
	keyring_free(k);
	free(dir);
	return err;
}
