/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Tests of keyring/ against damaged and hostile headers: each byte flipped, each rule broken, each way in altered. */
#include "tests/unit/keyring_fixture.h"

#include "common/file.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

static char *read_header(const struct fixture *x, size_t *ret_len)
{
	char *text = NULL;

	ck_assert_int_eq(file_read_all(x->dirfd, "volume.json", KEYRING_FILE_MAX, &text, ret_len), 0);
	return text;
}

/*
 * In every byte one bit flipped, and line feeds made tabs. What still parses either fails to unlock or gives exactly
 * the keys (white space, or what belongs to another label only).
 */
static void flip_all(const char *ways, const char *with, int label, bool use_tpm)
{
	unsigned parsed = 0, opened = 0, spent = 0;
	struct fixture x;
	size_t len, step = getenv("KEYRING_TEST_STEP") ? (size_t)atoi(getenv("KEYRING_TEST_STEP")) : 1;
	char *text;

	fixture_make(&x, ways, with);
	text = read_header(&x, &len);
	ck_assert_uint_gt(step, 0);
	if (!use_tpm)
		x.offer.tpm = NULL;
	else
		x.offer.passphrase = NULL;
	for (size_t i = 0; i < len; i++) {
		struct fault f = { 0 };
		struct keyring *k = NULL;
		char was = text[i];
		int err;

		if (i % step && was != '\n') /* a sample, for slow tools */
			continue;
		text[i] = (char)(was == '\n' ? '\t' : was ^ 1 << i % 8);
		err = keyring_parse(text, len, "volume.json", &k, &f);
		if (err) {
			ck_assert_ptr_null(k);
			ck_assert(err == -EUCLEAN || err == -EPROTONOSUPPORT);
			ck_assert_ptr_nonnull(strstr(f.text, "volume.json"));
		} else {
			parsed++;
			spent = x.tpm.wrong;
			if (k->slots[0].kdf.log2n <= 14) /* a greater cost is sound, and slow */
				opened += !fixture_unlock(&x, k, label, &f);
			ck_assert_uint_eq(x.tpm.wrong, spent);
		}
		keyring_free(k);
		text[i] = was;
	}
	ck_assert_uint_gt(parsed, 0);
	ck_assert_uint_gt(opened, 0);
	ck_assert_uint_lt(opened, parsed);
	free(text);
	fixture_done(&x);
}

START_TEST(test_flip_tpm)
{
	flip_all("h", "tr", 0, true);
}
END_TEST

START_TEST(test_flip_above)
{
	flip_all("hh", "t", 0, true);
}
END_TEST

START_TEST(test_flip_below)
{
	flip_all("hh", "t", 1, true);
}
END_TEST

START_TEST(test_flip_passphrase)
{
	flip_all("h", "r", 0, false);
}
END_TEST

/* One label's header on disk as keyring_load meets it, without the second copy. */
START_TEST(test_flip_on_disk)
{
	struct fixture x;
	size_t len;
	char *text;

	fixture_make(&x, "h", "t");
	text = read_header(&x, &len);
	fixture_write(&x, "volume.json.bak", NULL, 0);
	for (size_t i = 0; i < len; i += 97) {
		struct keyring *k = NULL;
		struct fault f = { 0 };

		text[i] ^= 0x10;
		fixture_write(&x, "volume.json", text, len);
		text[i] ^= 0x10;
		if (!keyring_load(x.dirfd, &k, &f))
			(void)fixture_unlock(&x, k, 0, &f);
		keyring_free(k);
	}
	free(text);
	fixture_done(&x);
}
END_TEST

/* Edits of a sound header. find: first occurrence behind from (NULL: from the start) is replaced. */
static const struct {
	const char *from, *find, *put;
	int err;
	const char *says;
} edits[] = {
	{ NULL, "\"format\": 1", "\"format\": 2", -EPROTONOSUPPORT, "has format 2" },
	{ NULL, "\"format\": 1", "\"format\": 0", -EUCLEAN, "cloison: format: expected an integer" },
	{ NULL, "\"format\": 1", "\"format\": 1.0", -EUCLEAN, "cloison: format: expected an integer" },
	{ NULL, "\"format\": 1", "\"format\": \"1\"", -EUCLEAN, "cloison: format: expected an integer" },
	{ NULL, "\"format\": 1", "\"format\": 1, \"format\": 1", -EUCLEAN, "a member occurs twice" },
	{ NULL, "\"format\": 1", "\"format\": 1, \"extra\": 1", -EUCLEAN,
	  "cloison: a member that format 1 does not have" },
	{ NULL, "\"format\": 1", "\"format\": 99999999999999999999999", -EUCLEAN, "not JSON" },
	{ NULL, "\"format\": 1,", "", -EUCLEAN, "member \"format\" is missing" },
	{ NULL, "\"name\": \"example\"", "\"name\": \"\"", -EUCLEAN, "cloison: name: expected" },
	{ NULL, "\"name\": \"example\"", "\"name\": \"a\\u001b[2J\"", -EUCLEAN, "cloison: name: expected" },
	{ NULL, "\"name\": \"example\"", "\"name\": \"a\\u0000b\"", -EUCLEAN, "not JSON" },
	{ NULL, "\"name\": \"example\"", "\"name\": \"\xff\"", -EUCLEAN, "not JSON" },
	{ NULL, "\"uuid\": \"", "\"uuid\": \"0", -EUCLEAN, "cloison: uuid: expected 32 lower-case hex digits" },
	{ NULL, "\"cloison\":", "\"cloisons\":", -EUCLEAN, "member \"cloison\" is missing" },
	{ NULL, "\"compartments\": [", "\"compartments\": [[[[[[[[[[", -EUCLEAN, "at most 8 deep" },
	{ NULL, "\"compartments\": [", "\"compartments\": [7, ", -EUCLEAN, "compartments[0]: expected an object" },
	{ NULL, "\"compartments\": [", "\"compartments\": [], \"was\": [", -EUCLEAN,
	  "a member that format 1 does not have" },
	{ "compartments", "\"label\": \"", "\"label\": \"AAAA", -EUCLEAN,
	  "compartments[0]: label: expected base64 of exactly 3072" },
	{ "compartments", "\"mac\": \"", "\"mac\": \"=", -EUCLEAN,
	  "compartments[0]: mac: expected base64 of exactly 48" },
	{ "compartments", "\"mac\": \"", "\"mac\": 5, \"x\": \"", -EUCLEAN, "compartments[0]: a member that" },
	{ "slots", "\"id\": \"", "\"id\": \"A", -EUCLEAN, "slots[0]: id: expected 32 lower-case hex digits" },
	{ "slots", "\"log2n\": 10", "\"log2n\": 21", -EUCLEAN,
	  "slots[0].kdf: log2n: expected an integer from 10 to 20" },
	{ "slots", "\"log2n\": 10", "\"log2n\": 9", -EUCLEAN,
	  "slots[0].kdf: log2n: expected an integer from 10 to 20" },
	{ "slots", "\"log2n\": 10", "\"log2n\": -10", -EUCLEAN,
	  "slots[0].kdf: log2n: expected an integer from 10 to 20" },
	{ "slots", "\"r\": 8", "\"r\": 0", -EUCLEAN, "slots[0].kdf: r: expected an integer from 1 to 16" },
	{ "slots", "\"r\": 8", "\"r\": 1000000000", -EUCLEAN, "slots[0].kdf: r: expected an integer from 1 to 16" },
	{ "slots", "\"p\": 1", "\"p\": 17", -EUCLEAN, "slots[0].kdf: p: expected an integer from 1 to 16" },
	{ "slots", "\"log2n\": 10,\n    \"r\": 8", "\"log2n\": 20,\n    \"r\": 9", -EUCLEAN,
	  "slots[0].kdf: expected r * 2^log2n" },
	{ "slots", "\"name\": \"scrypt\"", "\"name\": \"none\"", -EUCLEAN, "slots[0].kdf: name: expected \"scrypt\"" },
	{ "slots", "\"salt\": \"", "\"salt\": \"AAAA", -EUCLEAN, "slots[0].kdf: salt: expected base64 of exactly 32" },
	{ "slots", "\"unlock\": \"host\"", "\"unlock\": \"none\"", -EUCLEAN, "unlock: expected \"host\" or \"pin\"" },
	{ "slots", "\"compartment\": \"", "\"compartment\": \"0", -EUCLEAN,
	  ".locks[0]: compartment: expected 32 lower-case" },
	{ "slots", "\"hint\": \"", "\"hint\": \"AAAA", -EUCLEAN, ".locks[0]: hint: expected base64 of exactly 16" },
	{ "slots", "\"hint\": \"", "\"hint\": \"\", \"was\": \"", -EUCLEAN,
	  ".locks[0]: a member that format 1 does not have" },
	{ "\"locator\"", "\"public\": \"", "\"public\": \"\", \"was\": \"", -EUCLEAN, ".locator: a member that" },
	{ "\"type\": \"tpm2\"", "tpm2", "tpm3", -EUCLEAN, ": type: expected \"passphrase\" or \"tpm2\"" },
	{ "\"type\": \"tpm2\"", "tpm2", "passphrase", -EUCLEAN, ": a member that format 1 does not have" },
	{ "\"type\": \"passphrase\"", "\"check\": \"", "\"check\": \"AAAA", -EUCLEAN,
	  ": check: expected base64 of exactly 16" },
	{ "slots", "\"locks\": [", "\"locks\": [], \"was\": [", -EUCLEAN, ": a member that format 1 does not have" },
	{ "slots", "\n}", "\n} x", -EUCLEAN, "not JSON" },
	{ "slots", "\n}", "\n", -EUCLEAN, "not JSON" },
};

static char *edited(const char *text, const char *from, const char *find, const char *put)
{
	const char *start = from ? strstr(text, from) : text, *at;
	char *out = malloc(strlen(text) + strlen(put) + 1);

	ck_assert_ptr_nonnull(start);
	at = strstr(start, find);
	ck_assert_msg(at != NULL, "%s is not in the header", find);
	ck_assert_ptr_nonnull(out);
	(void)sprintf(out, "%.*s%s%s", (int)(at - text), text, put, at + strlen(find));
	return out;
}

START_TEST(test_malformed)
{
	struct keyring *k = NULL;
	struct fault f = { 0 };
	char *text, *bad;
	struct fixture x;
	size_t len;

	fixture_make(&x, "hh", "tr");
	text = read_header(&x, &len);
	bad = edited(text, edits[_i].from, edits[_i].find, edits[_i].put);
	ck_assert_int_eq(keyring_parse(bad, strlen(bad), "volume.json", &k, &f), edits[_i].err);
	ck_assert_msg(strstr(f.text, edits[_i].says) != NULL, "says: %s", f.text);
	ck_assert_ptr_null(strchr(f.text, '\033'));
	free(bad);
	free(text);
	fixture_done(&x);
}
END_TEST

/* Formats what keyring_free will not see again, and parses it. */
static int reparse(const struct keyring *k, struct fault *f)
{
	struct keyring *again = NULL;
	char *text = NULL;
	size_t len = 0;
	int err;

	ck_assert_int_eq(keyring_format(k, &text, &len), 0);
	err = keyring_parse(text, len, "volume.json", &again, f);
	keyring_free(again);
	free(text);
	return err;
}

/* Order, doublets and strangers. */
START_TEST(test_order)
{
	struct fault f[5] = { 0 };
	struct keyring_slot *s;
	struct fixture x;
	uint8_t id[KEYRING_ID_LEN];

	fixture_make(&x, "hh", "tr");
	memcpy(id, x.k->compartments[1].id, sizeof id);
	memcpy(x.k->compartments[1].id, x.k->compartments[0].id, sizeof id);
	ck_assert_int_eq(reparse(x.k, &f[0]), -EUCLEAN);
	ck_assert_ptr_nonnull(strstr(f[0].text, "compartments[1]: id: expected a greater one"));
	memcpy(x.k->compartments[1].id, id, sizeof id);

	s = &x.k->slots[0];
	memcpy(s->locks[1].compartment, s->locks[0].compartment, sizeof id);
	ck_assert_int_eq(reparse(x.k, &f[1]), -EUCLEAN);
	ck_assert_ptr_nonnull(strstr(f[1].text, "slots[0].locks[1]: compartment: expected a greater one"));
	memset(s->locks[1].compartment, 0xff, sizeof id);
	ck_assert_int_eq(reparse(x.k, &f[2]), -EUCLEAN);
	ck_assert_ptr_nonnull(strstr(f[2].text, "slots[0].locks[1]: compartment: expected one of those listed"));
	memcpy(s->locks[1].compartment, id, sizeof id);

	memcpy(id, x.k->slots[1].id, sizeof id);
	memset(x.k->slots[1].id, 0, sizeof id);
	ck_assert_int_eq(reparse(x.k, &f[3]), -EUCLEAN);
	ck_assert_ptr_nonnull(strstr(f[3].text, "slots[1]: id: expected a greater one"));
	memcpy(x.k->slots[1].id, id, sizeof id);
	ck_assert_int_eq(reparse(x.k, &f[4]), 0); /* as it was */
	fixture_done(&x);
}
END_TEST

/* One id, one spelling. */
START_TEST(test_hex_case)
{
	struct keyring *k = NULL;
	struct fault f = { 0 };
	struct fixture x;
	char *text = NULL;
	size_t len = 0;

	fixture_make(&x, "h", "t");
	memset(x.k->uuid, 0xab, sizeof x.k->uuid);
	ck_assert_int_eq(keyring_format(x.k, &text, &len), 0);
	ck_assert_int_eq(keyring_parse(text, len, "volume.json", &k, &f), 0);
	keyring_free(k);
	k = NULL;
	*strstr(text, "abab") = 'A';
	ck_assert_int_eq(keyring_parse(text, len, "volume.json", &k, &f), -EUCLEAN);
	ck_assert_ptr_nonnull(strstr(f.text, "uuid: expected 32 lower-case hex digits"));
	free(text);
	fixture_done(&x);
}
END_TEST

/* What is changed in memory, whom it must stop (-EBADMSG), and whom it must not. */
static void tamper(unsigned i, struct fixture *x, struct keyring_lock *l, struct keyring_slot *s)
{
	struct keyring *k = x->k;
	struct keyring_compartment *c = &k->compartments[fixture_compartment(x, k, 1)];

	/* clang-format off */
	switch (i) {
	case 0: l->wrapped[5] ^= 1; break;
	case 1: l->public_area.bytes[0] ^= 1; break;
	case 2: l->private_area.len--; break;
	case 3: l->unlock = KEYRING_PIN; break;
	case 4: l->hint[3] ^= 1; break;
	case 5: l->lowest[3] ^= 1; break;
	case 6: s->kdf.log2n++; break;
	case 7: s->kdf.salt[9] ^= 1; break;
	case 8: s->srk_name.bytes[0] ^= 1; break;
	case 9: s->srk_public.bytes[1] ^= 1; break;
	case 10: s->locator_private.bytes[1] ^= 1; break;
	case 11: k->name[0] ^= 1; break;
	case 12: k->name[0] = '\0'; break;
	case 13: c->sealed[100] ^= 1; break;
	case 14: c->mac[47] ^= 1; break;
	case 15: k->slots[0] = *fixture_slot(k, KEYRING_PASSPHRASE); k->n_slots = 1; break; /* a way in taken away */
	case 16: s->id[15] ^= 1; break;
	default: ck_abort_msg("no such case");
	}
	/* clang-format on */
}
#define N_TAMPERS 17

/*
 * The tpm2 slot's part for label 1 is changed; the passphrase, whose slot is as it was, gives the label key and the MAC
 * then tells. So nobody changes, adds or takes away a way in unnoticed.
 */
START_TEST(test_tampered)
{
	struct keyring_slot *s, saved[2];
	struct fault f = { 0 };
	struct fixture x;
	size_t n;

	fixture_make(&x, "hhh", "tr");
	x.offer.tpm = NULL;
	s = fixture_slot(x.k, KEYRING_TPM2);
	memcpy(saved, x.k->slots, sizeof saved);
	n = x.k->n_slots;
	tamper((unsigned)_i, &x, fixture_lock(&x, x.k, KEYRING_TPM2, 1), s);
	ck_assert_int_eq(fixture_unlock(&x, x.k, 1, &f), -EBADMSG);
	ck_assert_int_eq(f.exit, CL_EXIT_INTEGRITY);
	/* A lock of label 1 is no business of label 0. */
	if (_i <= 5 || _i == 13 || _i == 14)
		ck_assert_int_eq(fixture_unlock(&x, x.k, 0, &f), 0);
	if (_i == 15) {
		memcpy(x.k->slots, saved, sizeof saved);
		x.k->n_slots = n;
	}
	fixture_done(&x);
}
END_TEST

/* Damage to one label's part costs that label, not all. */
START_TEST(test_unlock_all_damaged)
{
	struct keyring_unlocked *u = NULL;
	struct fault f = { 0 };
	struct fixture x;
	size_t n = 0;

	fixture_make(&x, "hhh", "t");
	x.k->compartments[fixture_compartment(&x, x.k, 1)].mac[0] ^= 1;
	fixture_log_start();
	ck_assert_int_eq(keyring_unlock_all(x.k, &x.offer, &u, &n, &f), 0);
	ck_assert_uint_eq(n, 2);
	ck_assert_str_eq(u[0].label.text, fixture_text[0]);
	ck_assert_str_eq(u[1].label.text, fixture_text[2]);
	ck_assert_ptr_nonnull(strstr(fixture_log(), "wrong MAC"));
	keyring_unlocked_free(u, n);
	fixture_tpm_init(&x.tpm, 7);
	ck_assert_int_eq(keyring_unlock_all(x.k, &x.offer, &u, &n, &f), -ENOKEY);
	fixture_done(&x);
}
END_TEST

static struct keyring *load(const struct fixture *x, int want, const char *says)
{
	struct keyring *k = NULL;
	struct fault f = { 0 };
	int err = keyring_load(x->dirfd, &k, &f);

	ck_assert_msg(err == want, "%d instead of %d: %s", err, want, f.text);
	if (want)
		ck_assert_msg(strstr(f.text, says) != NULL, "says: %s", f.text);
	return k;
}

START_TEST(test_backup)
{
	static const char newer[] = "{\"cloison\": {\"format\": 2}, \"new\": 1}";
	char *text, *big = calloc(1, KEYRING_FILE_MAX + 1);
	struct fault f = { 0 };
	struct keyring *k;
	struct fixture x;
	size_t len;

	fixture_make(&x, "hh", "t");
	text = read_header(&x, &len);
	fixture_log_start();
	/* Malformed, too big, missing: the backup does it, and the log says so. */
	fixture_write(&x, "volume.json", text, len / 2);
	keyring_free((k = load(&x, 0, NULL)));
	ck_assert_ptr_nonnull(strstr(fixture_log(), "volume.json.bak is used instead"));
	fixture_write(&x, "volume.json", big, KEYRING_FILE_MAX + 1);
	keyring_free((k = load(&x, 0, NULL)));
	fixture_write(&x, "volume.json", NULL, 0);
	k = load(&x, 0, NULL);
	ck_assert_int_eq(fixture_unlock(&x, k, 1, &f), 0);
	keyring_free(k);
	/* No second copy either. */
	fixture_write(&x, "volume.json.bak", "{}", 2);
	(void)load(&x, -EUCLEAN, "volume.json.bak is malformed: member \"cloison\" is missing");
	fixture_write(&x, "volume.json", "[]", 2);
	(void)load(&x, -EUCLEAN, "volume.json is malformed: expected an object");
	fixture_write(&x, "volume.json.bak", NULL, 0);
	(void)load(&x, -EUCLEAN, "volume.json is malformed");
	fixture_write(&x, "volume.json", NULL, 0);
	(void)load(&x, -ENOENT, "not a cloison volume");
	/* A newer one is not replaced by an old copy. */
	fixture_write(&x, "volume.json.bak", text, len);
	fixture_write(&x, "volume.json", newer, strlen(newer));
	(void)load(&x, -EPROTONOSUPPORT, "format 2");
	free(text);
	free(big);
	fixture_done(&x);
}
END_TEST

/* Flipped bits that leave a well-formed file show up when unlocking; the second copy mends that, too. */
START_TEST(test_backup_unlocks)
{
	static const char *const members[] = { "\"mac\": \"",     "\"label\": \"",  "\"hint\": \"",
					       "\"wrapped\": \"", "\"public\": \"", "\"private\": \"" };
	struct fixture x;
	size_t len;
	char *text;

	fixture_make(&x, "h", "t");
	text = read_header(&x, &len);
	for (size_t i = 0; i < CL_ARRAY_LEN(members); i++) {
		char *at = strstr(text, members[i]) + strlen(members[i]) + 2, was = *at;
		struct fault f = { 0 };
		struct keyring *k;

		*at = was == 'A' ? 'B' : 'A';
		fixture_write(&x, "volume.json", text, len);
		*at = was;
		k = load(&x, 0, NULL);
		fixture_log_start();
		ck_assert_msg(!fixture_unlock(&x, k, 0, &f), "%s: %s", members[i], f.text);
		ck_assert_ptr_nonnull(strstr(fixture_log(), "volume.json.bak is used instead"));
		ck_assert_ptr_null(strstr(fixture_log(), fixture_text[0]));
		keyring_free(k);
	}
	free(text);
	fixture_done(&x);
}
END_TEST

/* A wrong PIN is not tried a second time for the second copy. */
START_TEST(test_backup_and_pin)
{
	struct fault f = { 0 };
	struct keyring *k;
	struct fixture x;

	fixture_make(&x, "p", "t");
	x.k->compartments[0].mac[0] ^= 1;
	char *text = NULL;
	size_t len = 0;

	ck_assert_int_eq(keyring_format(x.k, &text, &len), 0);
	fixture_write(&x, "volume.json", text, len);
	free(text);
	k = load(&x, 0, NULL);
	secret_free(x.pin);
	x.offer.pin = x.pin = fixture_secret("0000");
	ck_assert_int_eq(fixture_unlock(&x, k, 0, &f), -EKEYREJECTED);
	ck_assert_uint_eq(x.tpm.wrong, 1);
	keyring_free(k);
	fixture_done(&x);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("keyring-hostile");
	TCase *c = tcase_create("hostile");
	SRunner *r;
	int failed;

	tcase_set_timeout(c, 600);
	tcase_add_test(c, test_flip_tpm);
	tcase_add_test(c, test_flip_above);
	tcase_add_test(c, test_flip_below);
	tcase_add_test(c, test_flip_passphrase);
	tcase_add_test(c, test_flip_on_disk);
	tcase_add_loop_test(c, test_malformed, 0, CL_ARRAY_LEN(edits));
	tcase_add_test(c, test_order);
	tcase_add_test(c, test_hex_case);
	tcase_add_loop_test(c, test_tampered, 0, N_TAMPERS);
	tcase_add_test(c, test_unlock_all_damaged);
	tcase_add_test(c, test_backup);
	tcase_add_test(c, test_backup_unlocks);
	tcase_add_test(c, test_backup_and_pin);
	suite_add_tcase(s, c);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
