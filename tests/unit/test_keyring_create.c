/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Tests of keyring/: making volumes: what a new header shows, how large it may get, what is refused. */
#include "tests/unit/keyring_fixture.h"

#include "common/file.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

/* What the file shows: nothing of the labels, not even how long they are. */
START_TEST(test_says_nothing)
{
	char *longest = calloc(1, KEYRING_LABEL_MAX + 1), *text = NULL;
	struct keyring_new_label labels[2] = { { .text = "A" }, { .text = "B", .dir = "b" } };
	struct secret *pass = fixture_secret(FIXTURE_PASSPHRASE), *keys[2];
	struct keyring_new spec = { .labels = labels, .n_labels = 2, .passphrase = pass, .scrypt_log2_n = 10 };
	struct keyring *k = NULL;
	size_t len[2];
	struct fixture x;

	memset(longest, 'L', KEYRING_LABEL_MAX);
	for (size_t i = 0; i < 2; i++) {
		ck_assert_int_eq(keyring_create(&spec, &k, keys, NULL), 0);
		ck_assert_int_eq(keyring_format(k, &text, &len[i]), 0);
		for (size_t c = 0; c < 2; c++)
			secret_free(keys[c]);
		keyring_free(k);
		free(text);
		labels[1].text = longest;
		labels[1].dir = "a much longer name for the directory of this label";
	}
	ck_assert_uint_eq(len[0], len[1]);
	free(longest);
	secret_free(pass);
	fixture_make(&x, "hhh", "tr");
	ck_assert_int_eq(file_read_all(x.dirfd, "volume.json", KEYRING_FILE_MAX, &text, &len[0]), 0);
	for (size_t i = 0; i < 3; i++)
		ck_assert_ptr_null(strstr(text, fixture_text[i]));
	ck_assert_ptr_null(strstr(text, "gate-"));
	free(text);
	fixture_done(&x);
}
END_TEST

/* The most labels that there can be still fit, with both slots; and the ids below are all kept. */
START_TEST(test_most_labels)
{
	struct keyring_new_label labels[KEYRING_MAX_LABELS];
	char texts[KEYRING_MAX_LABELS][8];
	struct secret *pass = fixture_secret(FIXTURE_PASSPHRASE), *pin = fixture_secret(FIXTURE_PIN);
	struct secret *keys[KEYRING_MAX_LABELS];
	struct keyring_new spec = {
		.labels = labels, .n_labels = KEYRING_MAX_LABELS, .passphrase = pass, .scrypt_log2_n = 10, .pin = pin
	};
	struct keyring_unlocked *u = NULL;
	struct keyring *k = NULL, *again = NULL;
	struct fault f = { 0 };
	struct fixture_tpm t;
	char *text = NULL;
	size_t len = 0, n = 0;

	fixture_tpm_init(&t, 3);
	spec.tpm = &t.tpm;
	for (unsigned i = 0; i < KEYRING_MAX_LABELS; i++) {
		(void)snprintf(texts[i], sizeof texts[i], "L%u", i);
		labels[i] = (struct keyring_new_label){ .text = texts[i],
							.dir = i ? texts[i] : NULL,
							.unlock = i % 2 ? KEYRING_PIN : KEYRING_HOST };
	}
	ck_assert_msg(!keyring_create(&spec, &k, keys, &f), "%s", f.text);
	ck_assert_int_eq(keyring_format(k, &text, &len), 0);
	ck_assert_msg(!keyring_parse(text, len, "volume.json", &again, &f), "%s", f.text);
	ck_assert_msg(!keyring_unlock(again, &(struct keyring_offer){ .tpm = &t.tpm, .pin = pin }, "L63", &u, &n, &f),
		      "%s", f.text);
	ck_assert_uint_eq(n, KEYRING_MAX_LABELS);
	ck_assert_uint_eq(t.runs, 4); /* sealing; locator, label, those below */
	for (size_t i = 0; i < n; i++) {
		ck_assert_str_eq(u[i].label.text, texts[i]);
		ck_assert(secret_equal(secret_cbytes(u[i].key), secret_cbytes(keys[i]), KEYRING_KEY_LEN));
		secret_free(keys[i]);
	}
	keyring_unlocked_free(u, n);
	keyring_free(k);
	keyring_free(again);
	free(text);
	secret_free(pass);
	secret_free(pin);
	ck_assert_uint_eq(secret_live(), 0);
}
END_TEST

/* Each is a sound volume with one thing wrong. */
static void spoil(unsigned i, struct keyring_new *spec, struct keyring_new_label *labels, struct secret *tiny)
{
	/* clang-format off */
	switch (i) {
	case 0: spec->n_labels = 0; break;
	case 1: spec->n_labels = KEYRING_MAX_LABELS + 1; break;
	case 2: spec->name = ""; break;
	case 3: spec->name = "two\nlines"; break;
	case 4: spec->tpm = NULL; spec->passphrase = NULL; break;
	case 5: spec->tpm = NULL; break;             /* a PIN, and nothing that keeps it */
	case 6: spec->pin = NULL; break;
	case 7: labels[1].unlock = KEYRING_HOST; break; /* a PIN for nobody */
	case 8: spec->pin = tiny; break;
	case 9: spec->passphrase = tiny; break;
	case 10: spec->scrypt_log2_n = 9; break;
	case 11: spec->scrypt_log2_n = 21; break;
	case 12: labels[1].text = labels[0].text; break;
	case 13: labels[1].text = ""; break;
	case 14: labels[1].text = "bad\xc0\xaf"; break; /* overlong */
	case 15: labels[1].text = "\xed\xa0\x80"; break; /* surrogate */
	case 16: labels[1].text = "next\xc2\x85line"; break;
	case 17: labels[1].dir = NULL; break;
	case 18: labels[1].dir = ".."; break;
	case 19: labels[1].dir = "a/b"; break;
	case 20: labels[0].dir = "root"; break;
	case 21: labels[2].dir = labels[1].dir; break;
	default: ck_abort_msg("no such case");
	}
	/* clang-format on */
}
#define N_SPOILS 22

START_TEST(test_refused)
{
	struct secret *pin = fixture_secret(FIXTURE_PIN), *pass = fixture_secret(FIXTURE_PASSPHRASE),
		      *tiny = fixture_secret("abc");
	struct keyring_new_label labels[3] = { { .text = "A" },
					       { .text = "B", .dir = "b", .unlock = KEYRING_PIN },
					       { .text = "\xc3\x89 \xf0\x9f\x94\x92", .dir = "c" } };
	struct secret *keys[3] = { NULL };
	struct keyring *k = NULL;
	struct fault f = { 0 };
	struct fixture_tpm t;

	fixture_tpm_init(&t, 3);
	struct keyring_new spec = { .labels = labels,
				    .n_labels = 3,
				    .tpm = &t.tpm,
				    .pin = pin,
				    .passphrase = pass,
				    .scrypt_log2_n = 10,
				    .name = "n" };

	ck_assert_msg(!keyring_create(&spec, &k, keys, &f), "%s", f.text); /* sound as it is */
	keyring_free(k);
	k = NULL;
	for (size_t i = 0; i < 3; i++) {
		secret_free(keys[i]);
		keys[i] = NULL;
	}
	spoil((unsigned)_i, &spec, labels, tiny);
	ck_assert_int_eq(keyring_create(&spec, &k, keys, &f), -EINVAL);
	ck_assert(f.text[0] && (f.exit == CL_EXIT_USAGE || f.exit == CL_EXIT_POLICY));
	ck_assert_ptr_null(k);
	ck_assert_ptr_null(keys[0]);
	secret_free(pin);
	secret_free(pass);
	secret_free(tiny);
	ck_assert_uint_eq(secret_live(), 0);
}
END_TEST

/* A TPM that fails while sealing leaves nothing behind. */
START_TEST(test_create_without_answer)
{
	struct keyring_new_label label = { .text = "A" };
	struct fixture_tpm t;
	struct keyring_new spec = { .labels = &label, .n_labels = 1, .tpm = &t.tpm };
	struct secret *key = NULL;
	struct keyring *k = NULL;
	struct fault f = { 0 };

	fixture_tpm_init(&t, 3);
	t.run_error = -ENODEV;
	ck_assert_int_eq(keyring_create(&spec, &k, &key, &f), -ENODEV);
	ck_assert_str_eq(f.text, "the TPM does not answer");
	ck_assert_ptr_null(k);
	ck_assert_ptr_null(key);
	ck_assert_uint_eq(secret_live(), 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("keyring-create");
	TCase *c = tcase_create("keyring-create");
	SRunner *r;
	int failed;

	tcase_set_timeout(c, 120);
	tcase_add_test(c, test_says_nothing);
	tcase_add_test(c, test_most_labels);
	tcase_add_loop_test(c, test_refused, 0, N_SPOILS);
	tcase_add_test(c, test_create_without_answer);
	suite_add_tcase(s, c);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
