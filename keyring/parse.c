/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Text of a header -> struct keyring. The text is hostile: everything is bounded and checked, and no byte of it is put
 * into a message. One error ends the parse; the getters do nothing after it (p->err), so that the code reads straight.
 */
#include "keyring/model.h"

#include "common/bytes.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define DEPTH_MAX 8u

struct parser {
	const char *file;
	struct fault *f;
	int err;
	size_t path_len;
	char path[96]; /* where we are, as slots[1].locks[0] */
};

/* One level of the path; leave() undoes it. name NULL: item i of an array. */
static size_t enter(struct parser *p, const char *name, size_t i)
{
	size_t old = p->path_len, room = sizeof p->path - old;
	int n = name ? snprintf(p->path + old, room, "%s%s", old ? "." : "", name)
		     : snprintf(p->path + old, room, "[%zu]", i);

	if (n > 0)
		p->path_len += CL_MIN((size_t)n, room - 1);
	return old;
}

static void leave(struct parser *p, size_t old)
{
	if (!p->err)
		p->path_len = old;
	p->path[p->path_len] = '\0';
}

static void bad(struct parser *p, const char *fmt, ...) CL_PRINTF(2, 3);
static void bad(struct parser *p, const char *fmt, ...)
{
	char what[200];
	va_list ap;

	if (p->err)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(what, sizeof what, fmt, ap);
	va_end(ap);
	p->err = fault_set(p->f, -EUCLEAN, CL_EXIT_INTEGRITY, "%s is malformed: %s%s%s", p->file, p->path,
			   p->path_len ? ": " : "", what);
}

static void no_memory(struct parser *p)
{
	if (!p->err)
		p->err = fault_set(p->f, -ENOMEM, CL_EXIT_FAILED, "%s: out of memory", p->file);
}

static json_t *get(struct parser *p, const json_t *o, const char *name)
{
	json_t *v = p->err ? NULL : json_object_get(o, name);

	if (!v)
		bad(p, "member \"%s\" is missing", name);
	return v;
}

/* known: names, ended by NULL. */
static void only(struct parser *p, json_t *o, const char *const *known)
{
	const char *name;
	json_t *v;

	if (p->err)
		return;
	json_object_foreach(o, name, v)
	{
		size_t i = 0;

		while (known[i] && strcmp(known[i], name) != 0)
			i++;
		if (!known[i]) {
			bad(p, "a member that format %u does not have", KEYRING_FORMAT);
			return;
		}
	}
}
#define ONLY(p, o, ...) only(p, o, (const char *const[]){ __VA_ARGS__, NULL })

static json_t *get_object(struct parser *p, const json_t *o, const char *name)
{
	json_t *v = get(p, o, name);

	if (v && !json_is_object(v))
		bad(p, "%s: expected an object", name);
	return p->err ? NULL : v;
}

static json_t *get_array(struct parser *p, const json_t *o, const char *name, size_t max)
{
	json_t *v = get(p, o, name);

	if (v && (!json_is_array(v) || !json_array_size(v) || json_array_size(v) > max))
		bad(p, "%s: expected an array of 1 to %zu objects", name, max);
	return p->err ? NULL : v;
}

static json_t *get_item(struct parser *p, const json_t *a, size_t i)
{
	json_t *v = p->err ? NULL : json_array_get(a, i);

	if (v && !json_is_object(v))
		bad(p, "expected an object");
	return p->err ? NULL : v;
}

static const char *get_text(struct parser *p, const json_t *o, const char *name)
{
	json_t *v = get(p, o, name);

	if (v && !json_is_string(v))
		bad(p, "%s: expected a string", name);
	return p->err ? NULL : json_string_value(v);
}

static unsigned get_number(struct parser *p, const json_t *o, const char *name, unsigned min, unsigned max)
{
	json_t *v = get(p, o, name);

	if (v && (!json_is_integer(v) || json_integer_value(v) < min || json_integer_value(v) > max))
		bad(p, "%s: expected an integer from %u to %u", name, min, max);
	return p->err ? min : (unsigned)json_integer_value(v);
}

/* Index of the text among two. */
static unsigned get_choice(struct parser *p, const json_t *o, const char *name, const char *first, const char *second)
{
	const char *text = get_text(p, o, name);

	if (text && strcmp(text, first) == 0)
		return 0;
	if (text && strcmp(text, second) == 0)
		return 1;
	bad(p, "%s: expected \"%s\" or \"%s\"", name, first, second);
	return 0;
}

static void get_id(struct parser *p, const json_t *o, const char *name, uint8_t out[static KEYRING_ID_LEN])
{
	const char *text = get_text(p, o, name);
	char again[2 * KEYRING_ID_LEN + 1];

	if (!text)
		return;
	if (!bytes_from_hex(text, out, KEYRING_ID_LEN)) {
		bytes_to_hex(out, KEYRING_ID_LEN, again);
		if (strcmp(text, again) == 0) /* one id, one spelling: also the name of a folder */
			return;
	}
	bad(p, "%s: expected %u lower-case hex digits", name, 2 * KEYRING_ID_LEN);
}

static void get_bytes(struct parser *p, const json_t *o, const char *name, uint8_t *out, size_t len)
{
	const char *text = get_text(p, o, name);
	size_t n = 0;

	if (text && (bytes_from_base64(text, out, len, &n) || n != len))
		bad(p, "%s: expected base64 of exactly %zu bytes", name, len);
}

static void get_part(struct parser *p, const json_t *o, const char *name, struct keyring_part *out)
{
	const char *text = get_text(p, o, name);
	size_t n = 0;

	if (text && (bytes_from_base64(text, out->bytes, sizeof out->bytes, &n) || !n))
		bad(p, "%s: expected base64 of 1 to %u bytes", name, KEYRING_PART_MAX);
	out->len = (uint16_t)n;
}

static void check_order(struct parser *p, const char *name, size_t i, const uint8_t *before, const uint8_t *now)
{
	if (!p->err && i && memcmp(before, now, KEYRING_ID_LEN) >= 0)
		bad(p, "%s: expected a greater one than in the item before", name);
}

static void parse_kdf(struct parser *p, const json_t *slot, struct keyring_kdf *kdf)
{
	json_t *o = get_object(p, slot, "kdf");
	size_t old = enter(p, "kdf", 0);
	const char *name;

	if (!o)
		return;
	ONLY(p, o, "name", "salt", "log2n", "r", "p");
	name = get_text(p, o, "name");
	if (name && strcmp(name, "scrypt") != 0)
		bad(p, "name: expected \"scrypt\"");
	get_bytes(p, o, "salt", kdf->salt, sizeof kdf->salt);
	kdf->log2n = get_number(p, o, "log2n", KEYRING_LOG2N_MIN, KEYRING_LOG2N_MAX);
	kdf->r = get_number(p, o, "r", 1, KEYRING_R_MAX);
	kdf->p = get_number(p, o, "p", 1, KEYRING_P_MAX);
	if (!p->err && !keyring_kdf_ok(kdf))
		bad(p, "expected r * 2^log2n <= 2^23 and p * r * 2^log2n <= 2^25");
	leave(p, old);
}

static void parse_lock(struct parser *p, const struct keyring *k, bool tpm, json_t *o, struct keyring_lock *l)
{
	if (!o)
		return;
	if (tpm)
		ONLY(p, o, "compartment", "hint", "lowest", "unlock", "public", "private", "wrapped");
	else
		ONLY(p, o, "compartment", "hint", "lowest", "wrapped");
	get_id(p, o, "compartment", l->compartment);
	if (!p->err && keyring_find_compartment(k, l->compartment) < 0)
		bad(p, "compartment: expected one of those listed in \"compartments\"");
	get_bytes(p, o, "hint", l->hint, sizeof l->hint);
	get_bytes(p, o, "lowest", l->lowest, sizeof l->lowest);
	if (tpm) {
		l->unlock = get_choice(p, o, "unlock", "host", "pin") ? KEYRING_PIN : KEYRING_HOST;
		get_part(p, o, "public", &l->public_area);
		get_part(p, o, "private", &l->private_area);
	}
	get_bytes(p, o, "wrapped", l->wrapped, sizeof l->wrapped);
}

static void parse_locks(struct parser *p, const struct keyring *k, const json_t *slot, struct keyring_slot *s)
{
	json_t *a = get_array(p, slot, "locks", KEYRING_MAX_LABELS);
	size_t old = enter(p, "locks", 0);

	if (!a)
		return;
	s->locks = calloc(json_array_size(a), sizeof *s->locks);
	if (!s->locks) {
		no_memory(p);
		return;
	}
	s->n_locks = json_array_size(a);
	for (size_t i = 0; i < s->n_locks && !p->err; i++) {
		size_t at = enter(p, NULL, i);

		parse_lock(p, k, s->type == KEYRING_TPM2, get_item(p, a, i), &s->locks[i]);
		check_order(p, "compartment", i, i ? s->locks[i - 1].compartment : NULL, s->locks[i].compartment);
		leave(p, at);
	}
	leave(p, old);
}

static void parse_tpm(struct parser *p, const json_t *slot, struct keyring_slot *s)
{
	json_t *srk = get_object(p, slot, "srk"), *locator = get_object(p, slot, "locator");
	size_t old;

	if (!srk || !locator)
		return;
	old = enter(p, "srk", 0);
	ONLY(p, srk, "name", "public");
	get_part(p, srk, "name", &s->srk_name);
	get_part(p, srk, "public", &s->srk_public);
	leave(p, old);
	old = enter(p, "locator", 0);
	ONLY(p, locator, "public", "private");
	get_part(p, locator, "public", &s->locator_public);
	get_part(p, locator, "private", &s->locator_private);
	leave(p, old);
}

static void parse_slot(struct parser *p, const struct keyring *k, json_t *o, struct keyring_slot *s)
{
	if (!o)
		return;
	get_id(p, o, "id", s->id);
	s->type = get_choice(p, o, "type", "passphrase", "tpm2") ? KEYRING_TPM2 : KEYRING_PASSPHRASE;
	if (s->type == KEYRING_TPM2) {
		ONLY(p, o, "id", "type", "kdf", "srk", "locator", "locks");
		parse_tpm(p, o, s);
	} else {
		ONLY(p, o, "id", "type", "kdf", "check", "locks");
		get_bytes(p, o, "check", s->check, sizeof s->check);
	}
	parse_kdf(p, o, &s->kdf);
	parse_locks(p, k, o, s);
}

static void parse_slots(struct parser *p, const json_t *root, struct keyring *k)
{
	json_t *a = get_array(p, root, "slots", KEYRING_MAX_SLOTS);
	size_t old = enter(p, "slots", 0);

	if (!a)
		return;
	k->slots = calloc(json_array_size(a), sizeof *k->slots);
	if (!k->slots) {
		no_memory(p);
		return;
	}
	k->n_slots = json_array_size(a);
	for (size_t i = 0; i < k->n_slots && !p->err; i++) {
		size_t at = enter(p, NULL, i);

		parse_slot(p, k, get_item(p, a, i), &k->slots[i]);
		check_order(p, "id", i, i ? k->slots[i - 1].id : NULL, k->slots[i].id);
		leave(p, at);
	}
	leave(p, old);
}

static void parse_compartments(struct parser *p, const json_t *root, struct keyring *k)
{
	json_t *a = get_array(p, root, "compartments", KEYRING_MAX_LABELS);
	size_t old = enter(p, "compartments", 0);

	if (!a)
		return;
	k->compartments = calloc(json_array_size(a), sizeof *k->compartments);
	if (!k->compartments) {
		no_memory(p);
		return;
	}
	k->n_compartments = json_array_size(a);
	for (size_t i = 0; i < k->n_compartments && !p->err; i++) {
		struct keyring_compartment *c = &k->compartments[i];
		size_t at = enter(p, NULL, i);
		json_t *o = get_item(p, a, i);

		if (o) {
			ONLY(p, o, "id", "label", "mac");
			get_id(p, o, "id", c->id);
			get_bytes(p, o, "label", c->sealed, sizeof c->sealed);
			get_bytes(p, o, "mac", c->mac, sizeof c->mac);
			check_order(p, "id", i, i ? k->compartments[i - 1].id : NULL, c->id);
		}
		leave(p, at);
	}
	leave(p, old);
}

/* The format number comes first: what is newer may look different in every other respect. */
static void parse_volume(struct parser *p, const json_t *root, struct keyring *k)
{
	json_t *o = get_object(p, root, "cloison"), *format;
	size_t old = enter(p, "cloison", 0);
	const char *name;

	if (!o)
		return;
	format = get(p, o, "format");
	if (json_is_integer(format) && json_integer_value(format) > KEYRING_FORMAT) {
		p->err = fault_set(p->f, -EPROTONOSUPPORT, CL_EXIT_FAILED,
				   "%s has format %" JSON_INTEGER_FORMAT
				   ", this program knows format %u: use a newer cloison",
				   p->file, json_integer_value(format), KEYRING_FORMAT);
		return;
	}
	(void)get_number(p, o, "format", KEYRING_FORMAT, KEYRING_FORMAT);
	ONLY(p, o, "format", "uuid", "name");
	get_id(p, o, "uuid", k->uuid);
	if (!p->err && json_object_get(o, "name")) {
		name = get_text(p, o, "name");
		if (name && name[0] && strlen(name) <= KEYRING_NAME_MAX && keyring_text_ok(name, strlen(name)))
			memcpy(k->name, name, strlen(name));
		else
			bad(p, "name: expected 1 to %u bytes of text without control characters", KEYRING_NAME_MAX);
	}
	leave(p, old);
}

/* The JSON library recurses; its own bound is far above what this file needs. */
static bool too_deep(const char *text, size_t len)
{
	size_t depth = 0;
	bool quoted = false;

	for (size_t i = 0; i < len; i++) {
		if (quoted) {
			if (text[i] == '\\')
				i++;
			else if (text[i] == '"')
				quoted = false;
		} else if (text[i] == '"') {
			quoted = true;
		} else if (text[i] == '{' || text[i] == '[') {
			if (++depth > DEPTH_MAX)
				return true;
		} else if ((text[i] == '}' || text[i] == ']') && depth) {
			depth--;
		}
	}
	return false;
}

static json_t *parse_json(struct parser *p, const char *text, size_t len)
{
	json_error_t e;
	json_t *root;

	if (len > KEYRING_FILE_MAX) {
		bad(p, "expected at most %u bytes", KEYRING_FILE_MAX);
		return NULL;
	}
	if (too_deep(text, len)) {
		bad(p, "expected objects and arrays at most %u deep", DEPTH_MAX);
		return NULL;
	}
	keyring_json_start();
	root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &e);
	if (keyring_json_no_memory()) /* also when there is something */
		no_memory(p);
	else if (!root && json_error_code(&e) == json_error_duplicate_key)
		bad(p, "line %d, column %d: a member occurs twice", e.line, e.column);
	else if (!root)
		bad(p, "line %d, column %d: not JSON", e.line, e.column);
	else if (!json_is_object(root))
		bad(p, "expected an object");
	return root;
}

int keyring_parse(const char *text, size_t len, const char *file, struct keyring **ret, struct fault *f)
{
	struct parser p = { .file = file, .f = f };
	struct keyring *k = calloc(1, sizeof *k);
	json_t *root = NULL;

	if (!k)
		no_memory(&p);
	else
		root = parse_json(&p, text, len);
	if (!p.err) {
		parse_volume(&p, root, k);
		ONLY(&p, root, "cloison", "compartments", "slots");
		parse_compartments(&p, root, k);
		parse_slots(&p, root, k);
	}
	json_decref(root);
	if (p.err)
		keyring_free(k);
	else
		*ret = k;
	return p.err;
}
