/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * keyring and tpm joined by tools/common/unlock: a header sealed in a real (software) TPM, opened by options and
 * files.
 */
#include "common/secret.h"
#include "keyring/keyring.h"
#include "tests/tpm/swtpm.h"
#include "tools/common/unlock.h"
#include "tpm/tpm.h"

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PIN "271828"
#define PASSPHRASE "correct horse battery staple"

static char dir[32];
static struct swtpm tpm;
static struct keyring *volume;
static char pin_file[64], wrong_file[64], passphrase_file[64];

static void put(char path[64], const char *name, const char *text)
{
	snprintf(path, 64, "%s/%s", dir, name);
	FILE *out = fopen(path, "w");
	ck_assert_ptr_nonnull(out);
	fputs(text, out);
	ck_assert_int_eq(fclose(out), 0);
}

static struct secret *secret_of(const char *text)
{
	struct secret *s;
	ck_assert_int_eq(secret_new(strlen(text), &s), 0);
	memcpy(secret_bytes(s), text, strlen(text));
	return s;
}

/* Three labels, the highest with a PIN; through volume.json, as the commands do it. */
static void setup(void)
{
	snprintf(dir, sizeof dir, "/tmp/cloison-unlock-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	put(pin_file, "pin", PIN "\n");
	put(wrong_file, "wrong", "314159\n");
	put(passphrase_file, "passphrase", PASSPHRASE "\n");
	swtpm_new(&tpm);
	struct unlock_options o = { .tpm2 = tpm.tcti };
	struct unlock u;
	struct fault f = { 0 };
	ck_assert_msg(unlock_init(&u, &o, false, &f) == 0, "%s", f.text);
	const struct keyring_new_label labels[] = {
		{ .text = "NP" },
		{ .text = "SECRET//REL USA,FRA", .dir = "secret" },
		{ .text = "TS", .dir = "ts", .unlock = KEYRING_PIN },
	};
	struct secret *keys[3] = { NULL };
	struct secret *pin = secret_of(PIN), *passphrase = secret_of(PASSPHRASE);
	const struct keyring_new spec = {
		.labels = labels,
		.n_labels = 3,
		.tpm = unlock_tpm(&u),
		.pin = pin,
		.passphrase = passphrase,
		.scrypt_log2_n = 10,
	};
	struct keyring *made = NULL;
	ck_assert_msg(keyring_create(&spec, &made, keys, &f) == 0, "%s", f.text);
	int fd = open(dir, O_RDONLY | O_DIRECTORY);
	ck_assert_msg(keyring_save(made, fd, &f) == 0, "%s", f.text);
	ck_assert_msg(keyring_load(fd, &volume, &f) == 0, "%s", f.text);
	close(fd);
	keyring_free(made);
	for (int i = 0; i < 3; i++)
		secret_free(keys[i]);
	secret_free(pin);
	secret_free(passphrase);
	unlock_done(&u);
	ck_assert_uint_eq(secret_live(), 0);
}

static void teardown(void)
{
	static const char *const names[] = { "pin", "wrong", "passphrase", "volume.json", "volume.json.bak" };
	keyring_free(volume);
	swtpm_free(&tpm);
	for (size_t i = 0; i < CL_ARRAY_LEN(names); i++) {
		char path[96];
		snprintf(path, sizeof path, "%s/%s", dir, names[i]);
		ck_assert_int_eq(unlink(path), 0);
	}
	ck_assert_int_eq(rmdir(dir), 0);
	ck_assert_uint_eq(secret_live(), 0);
}

/* The error, with its sentence in f; *ret_n labels were opened. label NULL: all. */
static int open_with(const char *label, char *tcti, char *pin, char *passphrase, size_t *ret_n, struct fault *f)
{
	const struct unlock_options o = { .tpm2 = tcti, .pin_file = pin, .passphrase_file = passphrase };
	struct unlock u;
	struct keyring_unlocked *open = NULL;
	*f = (struct fault){ 0 };
	*ret_n = 0;
	int err = unlock_init(&u, &o, true, f);
	ck_assert_msg(err == 0, "%s", f->text);
	err = label ? unlock_label(&u, volume, label, &open, ret_n, f) : unlock_all(&u, volume, &open, ret_n, f);
	keyring_unlocked_free(open, err ? 0 : *ret_n);
	unlock_done(&u);
	return err;
}

START_TEST(by_tpm)
{
	struct fault f;
	size_t n;
	char none[] = "none";
	ck_assert_msg(open_with("NP", tpm.tcti, NULL, NULL, &n, &f) == 0, "%s", f.text);
	ck_assert_uint_eq(n, 1);
	ck_assert_msg(open_with("SECRET//REL USA,FRA", tpm.tcti, NULL, NULL, &n, &f) == 0, "%s", f.text);
	ck_assert_uint_eq(n, 2);
	ck_assert_msg(open_with("TS", tpm.tcti, pin_file, NULL, &n, &f) == 0, "%s", f.text);
	ck_assert_uint_eq(n, 3);
	ck_assert_msg(open_with(NULL, tpm.tcti, NULL, NULL, &n, &f) == 0, "%s", f.text);
	ck_assert_uint_eq(n, 2);
	/* No PIN: the sentence tells which option is missing. */
	ck_assert_int_ne(open_with("TS", tpm.tcti, NULL, NULL, &n, &f), 0);
	ck_assert_int_eq(f.exit, CL_EXIT_KEY);
	ck_assert_msg(strstr(f.text, "pin-file") != NULL, "%s", f.text);
	ck_assert_int_eq(open_with("TS", tpm.tcti, wrong_file, NULL, &n, &f), -EKEYREJECTED);
	ck_assert_int_eq(f.exit, CL_EXIT_KEY);
	ck_assert_int_ne(open_with("NP", none, NULL, NULL, &n, &f), 0);
	ck_assert_int_eq(f.exit, CL_EXIT_KEY);
	ck_assert_msg(strstr(f.text, "(not given: tpm2 pin-file passphrase-file)"), "%s", f.text);
}
END_TEST

START_TEST(by_passphrase)
{
	struct fault f;
	size_t n;
	char none[] = "none";
	ck_assert_msg(open_with("TS", none, NULL, passphrase_file, &n, &f) == 0, "%s", f.text);
	ck_assert_uint_eq(n, 3);
	ck_assert_msg(open_with(NULL, none, NULL, passphrase_file, &n, &f) == 0, "%s", f.text);
	ck_assert_uint_eq(n, 3);
	ck_assert_int_eq(open_with("TS", none, NULL, wrong_file, &n, &f), -EKEYREJECTED);
	/* The passphrase stands in where the PIN was wrong. */
	ck_assert_msg(open_with("TS", tpm.tcti, wrong_file, passphrase_file, &n, &f) == 0, "%s", f.text);
	ck_assert_int_eq(open_with("no such label", tpm.tcti, pin_file, passphrase_file, &n, &f), -ENOENT);
	ck_assert_int_eq(f.exit, CL_EXIT_POLICY);
}
END_TEST

START_TEST(other_machine)
{
	struct swtpm other;
	struct fault f;
	size_t n;
	swtpm_new(&other);
	ck_assert_int_eq(open_with("NP", other.tcti, NULL, NULL, &n, &f), -ENOKEY);
	ck_assert_int_eq(f.exit, CL_EXIT_KEY);
	ck_assert_msg(strstr(f.text, "another TPM") != NULL, "%s", f.text);
	ck_assert_msg(open_with("TS", other.tcti, NULL, passphrase_file, &n, &f) == 0, "%s", f.text);
	ck_assert_uint_eq(n, 3);
	swtpm_free(&other);
}
END_TEST

START_TEST(bad_offers)
{
	struct unlock u;
	struct fault f = { 0 };
	char nonsense[] = "nonsense", missing[] = "/nonexistent/file", dash[] = "-";
	ck_assert_int_eq(unlock_init(&u, &(struct unlock_options){ .tpm2 = nonsense }, false, &f), -EINVAL);
	ck_assert_int_eq(f.exit, CL_EXIT_USAGE);
	f = (struct fault){ 0 };
	ck_assert_int_eq(unlock_init(&u, &(struct unlock_options){ .pin_file = missing }, false, &f), -ENOENT);
	ck_assert_ptr_nonnull(strstr(f.text, missing));
	f = (struct fault){ 0 };
	ck_assert_int_eq(unlock_init(&u, &(struct unlock_options){ .pin_file = dash, .passphrase_file = dash }, false,
				     &f),
			 -EINVAL);
	ck_assert_int_eq(f.exit, CL_EXIT_USAGE);
}
END_TEST

int main(int argc, char **argv)
{
	tpm_helper_main(argc, argv);
	if (!swtpm_installed()) {
		fputs("swtpm is not installed\n", stderr);
		return 77;
	}
	Suite *s = suite_create("unlock");
	TCase *t = tcase_create("unlock");
	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, by_tpm);
	tcase_add_test(t, by_passphrase);
	tcase_add_test(t, other_machine);
	tcase_add_test(t, bad_offers);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
