/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Fuzz target: volume.json. Input: the text. What is taken is written again, and comes back the same. Where
 * stretching the passphrase is cheap, the header is then made to authenticate under keys of fixed bytes, whatever it
 * says, and unlocked: so that the code behind the MAC is reached.
 */
#include "tests/fuzz/fuzz.h"

#include "keyring/model.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PASSPHRASE "correct horse battery staple"
#define FILE_NAME "volume.json"

static const char *const texts[] = { "UNCLASSIFIED", "SECRET", "TOP SECRET//X" };

static struct secret *secret_of(const void *bytes, size_t n)
{
	uint8_t copy[64];
	struct secret *s;

	memcpy(copy, bytes, n);
	FUZZ_OK(secret_new_take(copy, n, &s));
	return s;
}

/* The sentence has nothing of the file in it: it is written by whoever has the disk. */
static void check_sentence(const struct fault *f, int err)
{
	fuzz_check_fault(f, err);
	for (const char *p = f->text; *p; p++)
		FUZZ_CHECK(isprint((unsigned char)*p), "a sentence with byte 0x%02x", (unsigned char)*p);
	FUZZ_CHECK(f->exit == (err == -EUCLEAN ? CL_EXIT_INTEGRITY : CL_EXIT_FAILED), "exit %d", f->exit);
}

/* One id, one item: the second of two would never be found. */
static void check_order(size_t i, const uint8_t *before, const uint8_t *now)
{
	FUZZ_CHECK(!i || memcmp(before, now, KEYRING_ID_LEN) < 0, "ids do not rise");
}

static void check_model(const struct keyring *k)
{
	FUZZ_CHECK(k->n_compartments >= 1 && k->n_compartments <= KEYRING_MAX_LABELS, "compartments");
	FUZZ_CHECK(k->n_slots >= 1 && k->n_slots <= KEYRING_MAX_SLOTS, "slots");
	FUZZ_CHECK(keyring_text_ok(k->name, strlen(k->name)), "name");
	for (size_t i = 0; i < k->n_compartments; i++)
		FUZZ_CHECK(keyring_find_compartment(k, k->compartments[i].id) == (ssize_t)i,
			   "compartment %zu is not found", i);
	for (size_t i = 0; i < k->n_compartments; i++)
		check_order(i, k->compartments[i - !!i].id, k->compartments[i].id);
	for (size_t i = 0; i < k->n_slots; i++) {
		struct keyring_slot_info info;
		check_order(i, k->slots[i - !!i].id, k->slots[i].id);
		FUZZ_OK(keyring_slot(k, i, &info));
		FUZZ_CHECK(info.n_locks >= 1 && info.n_locks <= k->n_compartments && info.n_pin <= info.n_locks,
			   "locks");
		FUZZ_CHECK(keyring_kdf_ok(&k->slots[i].kdf), "parameters of scrypt");
		for (size_t l = 0; l < k->slots[i].n_locks; l++) {
			const struct keyring_lock *lock = &k->slots[i].locks[l];
			check_order(l, lock[-(ptrdiff_t) !!l].compartment, lock->compartment);
			FUZZ_CHECK(keyring_find_compartment(k, lock->compartment) >= 0, "a lock of no compartment");
		}
	}
}

/* Written and read again it is the same, and so is what is written then. */
static void check_text(const struct keyring *k)
{
	char *text, *again;
	size_t len, len2;
	struct keyring *k2;
	struct fault f = { 0 };
	int err = keyring_format(k, &text, &len);

	FUZZ_ERROR(err, -EFBIG);
	if (err)
		return;
	FUZZ_OK(keyring_parse(text, len, FILE_NAME, &k2, &f));
	FUZZ_CHECK(k->n_compartments == k2->n_compartments && k->n_slots == k2->n_slots && !strcmp(k->name, k2->name),
		   "another header");
	FUZZ_CHECK(!memcmp(k->compartments, k2->compartments, k->n_compartments * sizeof *k->compartments),
		   "compartments");
	FUZZ_OK(keyring_format(k2, &again, &len2));
	FUZZ_CHECK(len == len2 && !memcmp(text, again, len), "another text");
	keyring_free(k2);
	free(text);
	free(again);
}

static void label_of(const struct keyring *k, size_t i, struct keyring_label *ret)
{
	*ret = (struct keyring_label){ .rank = (uint16_t)i, .n_below = (uint16_t)i };
	memcpy(ret->id, k->compartments[i].id, sizeof ret->id);
	snprintf(ret->text, sizeof ret->text, "%s", texts[i]);
	if (i)
		snprintf(ret->dir, sizeof ret->dir, "gate-%zu", i);
	for (size_t b = 0; b < i; b++)
		memcpy(ret->below[b], k->compartments[b].id, sizeof ret->below[b]);
}

static struct secret *label_key(size_t i)
{
	uint8_t bytes[KEYRING_KEY_LEN];

	memset(bytes, 0x61 + (int)i, sizeof bytes);
	return secret_of(bytes, sizeof bytes);
}

/* One stretching each. */
static void make_slot(struct keyring *k, struct keyring_slot *s, const struct secret *pass)
{
	struct secret *finder;

	FUZZ_OK(keyring_scrypt(pass, &s->kdf, &finder));
	FUZZ_OK(keyring_check(k, s, finder, s->check));
	for (size_t l = 0; l < s->n_locks; l++) {
		struct keyring_lock *lock = &s->locks[l];
		ssize_t c = keyring_find_compartment(k, lock->compartment);
		struct secret *lk = label_key((size_t)c);
		FUZZ_OK(keyring_hint(k, s, finder, lock->compartment, texts[c], lock->hint));
		if (c == 0)
			FUZZ_OK(keyring_hint(k, s, finder, lock->compartment, NULL, lock->lowest));
		FUZZ_OK(keyring_wrap(k, s, lock, finder, NULL, lk));
		secret_free(lk);
	}
	secret_free(finder);
}

/* True when it can be done at little cost. */
static bool make_authentic(struct keyring *k, const struct secret *pass)
{
	if (k->n_compartments > CL_ARRAY_LEN(texts) || k->n_slots > 2)
		return false;
	for (size_t i = 0; i < k->n_slots; i++)
		if (k->slots[i].type == KEYRING_PASSPHRASE &&
		    ((uint64_t)k->slots[i].kdf.r * k->slots[i].kdf.p << k->slots[i].kdf.log2n) > 8192)
			return false;
	for (size_t i = 0; i < k->n_slots; i++)
		if (k->slots[i].type == KEYRING_PASSPHRASE)
			make_slot(k, &k->slots[i], pass);
	for (size_t i = 0; i < k->n_compartments; i++) {
		struct secret *lk = label_key(i);
		struct keyring_label label;
		label_of(k, i, &label);
		FUZZ_OK(keyring_record_seal(k, &k->compartments[i], lk, &label));
		FUZZ_OK(keyring_compartment_mac(k, &k->compartments[i], lk, k->compartments[i].mac));
		secret_free(lk);
	}
	return true;
}

static void check_unlocked(const struct keyring_unlocked *u, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct secret *lk = label_key(u[i].label.rank);
		FUZZ_CHECK(!i || u[i - 1].label.rank < u[i].label.rank, "not lowest first");
		FUZZ_CHECK(secret_len(u[i].key) == KEYRING_KEY_LEN &&
				   secret_equal(secret_cbytes(u[i].key), secret_cbytes(lk), KEYRING_KEY_LEN),
			   "another key");
		secret_free(lk);
	}
}

/* Whether a passphrase slot has a lock for compartment i. */
static bool has_way(const struct keyring *k, size_t i)
{
	for (size_t s = 0; s < k->n_slots; s++)
		if (k->slots[s].type == KEYRING_PASSPHRASE &&
		    keyring_find_lock(&k->slots[s], k->compartments[i].id) >= 0)
			return true;
	return false;
}

static void unlock(const struct keyring *k, const struct secret *pass)
{
	const struct keyring_offer offer = { .passphrase = pass };
	struct keyring_unlocked *u;
	struct fault f = { 0 };
	bool all = true;
	size_t n, ways = 0;

	for (size_t i = 0; i < k->n_compartments; i++)
		ways += has_way(k, i);
	int err = keyring_unlock_all(k, &offer, &u, &n, &f);
	FUZZ_ERROR(err, -ENOENT, -ENOKEY, -EKEYREJECTED, -EBADMSG);
	FUZZ_CHECK(!err == !!ways, "%zu ways in, but %d %s", ways, err, f.text);
	if (!err) {
		FUZZ_CHECK(n == ways, "%zu of %zu", n, ways);
		check_unlocked(u, n);
		keyring_unlocked_free(u, n);
	}
	for (size_t i = 0; i < k->n_compartments; i++) {
		all &= has_way(k, i);
		f = (struct fault){ 0 };
		err = keyring_unlock(k, &offer, i ? texts[i] : NULL, &u, &n, &f);
		FUZZ_ERROR(err, -ENOENT, -ENOKEY, -EKEYREJECTED, -EBADMSG);
		FUZZ_CHECK(!err == all, "label %zu: %d %s", i, err, f.text);
		if (err) {
			fuzz_check_fault(&f, err);
			continue;
		}
		FUZZ_CHECK(n == i + 1 && !strcmp(u[n - 1].label.text, texts[i]), "another label");
		check_unlocked(u, n);
		keyring_unlocked_free(u, n);
	}
}

static void run(const uint8_t *data, size_t len)
{
	struct secret *pass;
	struct keyring *k;
	struct fault f = { 0 };
	char *text = malloc(len ? len : 1);

	FUZZ_CHECK(text, "out of memory");
	if (len)
		memcpy(text, data, len);
	int err = keyring_parse(text, len, FILE_NAME, &k, &f);
	free(text);
	FUZZ_ERROR(err, -EUCLEAN, -EPROTONOSUPPORT);
	if (err) {
		check_sentence(&f, err);
		return;
	}
	check_model(k);
	check_text(k);
	pass = secret_of(PASSPHRASE, strlen(PASSPHRASE));
	if (make_authentic(k, pass))
		unlock(k, pass);
	secret_free(pass);
	keyring_free(k);
}

/* A header of so many labels; with a slot that looks like a TPM's. Its bytes are no secrets, so they are patterns. */
static char *header(size_t n, bool tpm, size_t *ret_len)
{
	struct keyring_compartment c[3];
	struct keyring_lock locks[2][3];
	struct keyring_slot slots[2];
	struct keyring k = {
		.name = "seed", .compartments = c, .n_compartments = n, .slots = slots, .n_slots = tpm ? 2 : 1
	};
	char *text;

	memset(c, 0x11, sizeof c);
	memset(locks, 0x22, sizeof locks);
	memset(slots, 0x33, sizeof slots);
	memset(k.uuid, 0x44, sizeof k.uuid);
	for (unsigned s = 0; s < 2; s++) {
		slots[s].id[0] = (uint8_t)s;
		slots[s].type = s ? KEYRING_TPM2 : KEYRING_PASSPHRASE;
		slots[s].kdf.log2n = 10;
		slots[s].kdf.r = 4;
		slots[s].kdf.p = 1;
		slots[s].srk_name.len = slots[s].srk_public.len = slots[s].locator_public.len =
			slots[s].locator_private.len = 12;
		slots[s].locks = locks[s];
		slots[s].n_locks = n;
		for (unsigned i = 0; i < n; i++) {
			c[i].id[0] = locks[s][i].compartment[0] = (uint8_t)i;
			memcpy(locks[s][i].compartment, c[i].id, sizeof c[i].id);
			locks[s][i].unlock = i ? KEYRING_PIN : KEYRING_HOST;
			locks[s][i].public_area.len = locks[s][i].private_area.len = 9;
		}
	}
	FUZZ_OK(keyring_format(&k, &text, ret_len));
	return text;
}

static void seeds(fuzz_put_fn *put, void *arg)
{
	static const struct {
		const char *name, *text;
	} small[] = {
		{ "empty", "" },
		{ "object", "{}" },
		{ "no-object", "[1,2]" },
		{ "newer", "{\"cloison\":{\"format\":2,\"x\":[]}}" },
		{ "newer-big", "{\"cloison\":{\"format\":9223372036854775807}}" },
		{ "number", "{\"cloison\":{\"format\":99999999999999999999}}" },
		{ "real", "{\"cloison\":{\"format\":1.0}}" },
		{ "deep", "{\"a\":[[[[[[[[1]]]]]]]]}" },
		{ "twice", "{\"cloison\":{},\"cloison\":{}}" },
		{ "escape", "{\"cloison\":{\"format\":1,\"uuid\":\"44444444444444444444444444444444\",\"name\":"
			    "\"\\u00e9\\n\"}}" },
		{ "nul", "{\"cloison\":{\"format\":1,\"uuid\":\"4\\u0000\"}}" },
		{ "surrogate", "{\"cloison\":\"\\ud800\"}" },
		{ "quote", "{\"\\\"[[[[[[[[[[\":1}" },
	};

	for (size_t i = 0; i < CL_ARRAY_LEN(small); i++)
		put(arg, small[i].name, small[i].text, strlen(small[i].text));
	for (unsigned i = 0; i < 4; i++) {
		static const char *const names[] = { "one", "one-tpm", "three", "three-tpm" };
		size_t len;
		char *text = header(i / 2 ? 3 : 1, i % 2, &len);
		put(arg, names[i], text, len);
		/* The second id becomes the first once more. */
		for (char *p = text; i == 2 && (p = strstr(p, "\"01")); p++)
			p[2] = '0';
		if (i == 2)
			put(arg, "id-twice", text, len);
		free(text);
	}
}

const struct fuzz_target fuzz_volume_json = { "volume_json", 65536, run, seeds };
