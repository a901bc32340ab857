/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Sealing against software TPMs: what must open opens, and another TPM, a wrong PIN or a lockout says what to do. */
#include "common/bytes.h"
#include "tests/tpm/jobs.h"
#include "tpm/policy.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SKIP 77

/* Bytes as doc/FORMAT gives them: size, KEYEDHASH, SHA-256, attributes, policy, NULL scheme, 32 unique bytes. */
static void check_public(const struct tpm_blob *b, enum tpm_unlock unlock, const char *attributes)
{
	uint8_t policy[TPM_POLICY_LEN];
	char want[2 * 80 + 1] = "004e0008000b", have[2 * 80 + 1];

	ck_assert_int_eq(tpm_policy_digest(unlock, policy), 0);
	strcat(want, attributes);
	strcat(want, "0020");
	bytes_to_hex(policy, sizeof(policy), want + strlen(want));
	strcat(want, "00100020");
	ck_assert_uint_eq(b->public_len, 80);
	bytes_to_hex(b->public_area, 80, have);
	have[strlen(want)] = '\0';
	ck_assert_str_eq(have, want);
	ck_assert_uint_eq(b->srk_name_len, 34);
	ck_assert_uint_le(b->private_len, sizeof(b->private_area));
}

START_TEST(host_key_comes_back)
{
	struct tpm_blob a = jobs_seal(jobs_machine.tcti, 0xa1, NULL);
	struct tpm_blob b = jobs_seal(jobs_machine.tcti, 0xb2, NULL);

	check_public(&a, TPM_UNLOCK_HOST, "00000412");
	ck_assert_mem_eq(a.srk_name, b.srk_name, 34);
	ck_assert_mem_ne(a.private_area, b.private_area, a.private_len);
	jobs_unseal_ok(jobs_machine.tcti, &a, NULL, 0xa1);
	jobs_unseal_ok(jobs_machine.tcti, &b, NULL, 0xb2);
	swtpm_kill(&jobs_machine);
	swtpm_start(&jobs_machine);
	jobs_unseal_ok(jobs_machine.tcti, &a, NULL, 0xa1);
}
END_TEST

START_TEST(pin_key_comes_back)
{
	struct secret *pin = jobs_filled(0x31, 32, 0), *wrong = jobs_filled(0x32, 32, 0);
	struct tpm_blob b = jobs_seal(jobs_machine.tcti, 0xc3, pin);
	struct tpm_status st;

	check_public(&b, TPM_UNLOCK_PIN, "00000012");
	jobs_unseal_ok(jobs_machine.tcti, &b, pin, 0xc3);
	jobs_unseal_fails(jobs_machine.tcti, &b, wrong, -EKEYREJECTED, CL_EXIT_KEY, "wrong PIN: 2 tries left");
	jobs_unseal_fails(jobs_machine.tcti, &b, wrong, -EKEYREJECTED, CL_EXIT_KEY, "wrong PIN: 1 try left");
	jobs_unseal_ok(jobs_machine.tcti, &b, pin, 0xc3);
	ck_assert_int_eq(tpm_get_status(jobs_machine.tcti, &st, NULL), 0);
	ck_assert_uint_eq(st.tries_used, 2);
	ck_assert_uint_eq(st.tries_max, 3);
	ck_assert_uint_eq(st.recovery_seconds, 1000);
	ck_assert(!st.in_lockout && !st.lockout_auth_set);
	ck_assert_str_eq(st.manufacturer, "IBM");
	secret_free(pin);
	secret_free(wrong);
}
END_TEST

/* Each length of a PIN, each number of zeros at its end: tpm2-tss 3.2.1 fails on them unless they are cut off. */
START_TEST(pin_with_zeros_at_its_end)
{
	static const struct {
		size_t len, zeros;
	} cases[] = { { 32, 1 }, { 32, 2 }, { 32, 31 }, { 1, 0 }, { 20, 5 } };

	for (size_t i = 0; i < CL_ARRAY_LEN(cases); i++) {
		struct secret *pin = jobs_filled(0x77, cases[i].len, cases[i].zeros);
		struct secret *cut = jobs_filled(0x77, cases[i].len - cases[i].zeros, 0);
		struct tpm_blob b = jobs_seal(jobs_machine.tcti, 0xd4, pin);

		jobs_unseal_ok(jobs_machine.tcti, &b, pin, 0xd4);
		jobs_unseal_ok(jobs_machine.tcti, &b, cut, 0xd4);
		secret_free(pin);
		secret_free(cut);
	}
}
END_TEST

START_TEST(batch_of_six)
{
	struct secret *pin = jobs_filled(0x41, 32, 0), *wrong = jobs_filled(0x42, 32, 0), *s = jobs_filled(0xe5, 32, 0);
	struct tpm_blob host = jobs_seal(jobs_machine.tcti, 0x01, NULL),
			locked = jobs_seal(jobs_machine.tcti, 0x02, pin), bad = host;
	struct tpm_job jobs[] = {
		jobs_unseal(&host, NULL),
		jobs_unseal(&locked, wrong),
		{ .op = TPM_SEAL, .unlock = TPM_UNLOCK_PIN, .auth = pin, .secret = s },
		jobs_unseal(&bad, NULL),
		jobs_unseal(&locked, pin),
		{ .op = TPM_SEAL, .unlock = TPM_UNLOCK_HOST, .secret = s },
	};

	jobs[3].blob.private_area[40] ^= 1;
	jobs_run(jobs_machine.tcti, jobs, CL_ARRAY_LEN(jobs));
	jobs_check(&jobs[0], 0x01);
	ck_assert_int_eq(jobs[1].err, -EKEYREJECTED);
	ck_assert_int_eq(jobs[2].err, 0);
	ck_assert_int_eq(jobs[3].err, -ENOKEY);
	jobs_check(&jobs[4], 0x02);
	ck_assert_int_eq(jobs[5].err, 0);
	jobs_unseal_ok(jobs_machine.tcti, &jobs[2].blob, pin, 0xe5);
	jobs_unseal_ok(jobs_machine.tcti, &jobs[5].blob, NULL, 0xe5);
	secret_free(pin);
	secret_free(wrong);
	secret_free(s);
}
END_TEST

/* ---- the dictionary attack ---- */

START_TEST(lockout_stops_the_right_pin_too)
{
	struct secret *pin = jobs_filled(0x51, 32, 0), *wrong = jobs_filled(0x52, 32, 0);
	struct tpm_blob locked = jobs_seal(jobs_machine.tcti, 0x0f, pin),
			host = jobs_seal(jobs_machine.tcti, 0x10, NULL);
	struct tpm_status st;

	jobs_unseal_fails(jobs_machine.tcti, &locked, wrong, -EKEYREJECTED, CL_EXIT_KEY, "2 tries left");
	jobs_unseal_fails(jobs_machine.tcti, &locked, wrong, -EKEYREJECTED, CL_EXIT_KEY, "1 try left");
	jobs_unseal_fails(jobs_machine.tcti, &locked, wrong, -EKEYREJECTED, CL_EXIT_KEY,
			  "last try: the TPM is locked now");
	jobs_unseal_fails(jobs_machine.tcti, &locked, pin, -EBUSY, CL_EXIT_KEY, "one try back within 17 minutes");
	ck_assert_int_eq(tpm_get_status(jobs_machine.tcti, &st, NULL), 0);
	ck_assert(st.in_lockout);
	ck_assert_uint_eq(st.tries_used, 3);
	/* Keys without a PIN are not concerned, nor is sealing one. */
	jobs_unseal_ok(jobs_machine.tcti, &host, NULL, 0x10);
	jobs_seal(jobs_machine.tcti, 0x11, NULL);
	swtpm_reset_lockout(&jobs_machine);
	jobs_unseal_ok(jobs_machine.tcti, &locked, pin, 0x0f);
	secret_free(pin);
	secret_free(wrong);
}
END_TEST

/* ---- the wrong TPM ---- */

START_TEST(other_machine_refuses)
{
	static const char words[] = "sealed to another TPM (or this TPM was cleared): use the recovery passphrase";
	struct secret *pin = jobs_filled(0x61, 32, 0);
	struct tpm_blob host = jobs_seal(jobs_machine.tcti, 0x21, NULL),
			locked = jobs_seal(jobs_machine.tcti, 0x22, pin), mine, mixed = host;
	struct swtpm other;
	struct tpm_status st;

	swtpm_new(&other);
	jobs_unseal_fails(other.tcti, &host, NULL, -ENOKEY, CL_EXIT_KEY, words);
	jobs_unseal_fails(other.tcti, &locked, pin, -ENOKEY, CL_EXIT_KEY, words);
	mine = jobs_seal(other.tcti, 0x23, NULL);
	jobs_unseal_fails(other.tcti, &host, NULL, -ENOKEY, CL_EXIT_KEY, words);
	jobs_unseal_fails(other.tcti, &locked, pin, -ENOKEY, CL_EXIT_KEY, words);
	/* Who knows this TPM's storage key can write its name into the blob: the TPM itself does not open it. */
	memcpy(mixed.srk_name, mine.srk_name, sizeof(mixed.srk_name));
	memcpy(mixed.srk_public, mine.srk_public, sizeof(mixed.srk_public));
	ck_assert_uint_eq(mixed.srk_public_len, mine.srk_public_len);
	jobs_unseal_fails(other.tcti, &mixed, NULL, -ENOKEY, CL_EXIT_KEY, "does not recognise the sealed key");
	ck_assert_int_eq(tpm_get_status(other.tcti, &st, NULL), 0);
	ck_assert_uint_eq(st.tries_used, 0);
	ck_assert_uint_eq(swtpm_count_handles(&other), 0);
	jobs_unseal_ok(other.tcti, &mine, NULL, 0x23);
	jobs_unseal_ok(jobs_machine.tcti, &host, NULL, 0x21);
	secret_free(pin);
	swtpm_free(&other);
}
END_TEST

START_TEST(storage_key_evicted_or_replaced)
{
	struct tpm_blob b = jobs_seal(jobs_machine.tcti, 0x31, NULL), b2;
	struct tpm_job jobs[3];

	/* The seed is the same, so the same key can be made again; nothing persistent appears for it. */
	swtpm_evict_srk(&jobs_machine);
	for (size_t i = 0; i < CL_ARRAY_LEN(jobs); i++)
		jobs[i] = jobs_unseal(&b, NULL);
	jobs_run(jobs_machine.tcti, jobs, CL_ARRAY_LEN(jobs));
	for (size_t i = 0; i < CL_ARRAY_LEN(jobs); i++)
		jobs_check(&jobs[i], 0x31);
	swtpm_put_other_srk(&jobs_machine);
	jobs_unseal_ok(jobs_machine.tcti, &b, NULL, 0x31);
	/* New keys go under whatever is at the handle. */
	b2 = jobs_seal(jobs_machine.tcti, 0x32, NULL);
	ck_assert_mem_ne(b.srk_name, b2.srk_name, 34);
	jobs[0] = jobs_unseal(&b, NULL);
	jobs[1] = jobs_unseal(&b2, NULL);
	jobs[2] = jobs_unseal(&b, NULL);
	jobs_run(jobs_machine.tcti, jobs, CL_ARRAY_LEN(jobs));
	jobs_check(&jobs[0], 0x31);
	jobs_check(&jobs[1], 0x32);
	jobs_check(&jobs[2], 0x31);
	swtpm_evict_srk(&jobs_machine);
	jobs_unseal_ok(jobs_machine.tcti, &b2, NULL, 0x32);
}
END_TEST

START_TEST(cleared_tpm_refuses)
{
	struct tpm_blob b = jobs_seal(jobs_machine.tcti, 0x33, NULL);

	swtpm_clear(&jobs_machine);
	jobs_unseal_fails(jobs_machine.tcti, &b, NULL, -ENOKEY, CL_EXIT_KEY, "or this TPM was cleared");
	jobs_seal(jobs_machine.tcti, 0x34, NULL);
	jobs_unseal_fails(jobs_machine.tcti, &b, NULL, -ENOKEY, CL_EXIT_KEY, "or this TPM was cleared");
}
END_TEST

START_TEST(owner_with_a_password)
{
	struct secret *s = jobs_filled(0x35, 32, 0);
	struct tpm_job job = { .op = TPM_SEAL, .secret = s };
	struct tpm_blob b = jobs_seal(jobs_machine.tcti, 0x36, NULL);

	swtpm_set_owner_password(&jobs_machine, "boss");
	jobs_unseal_ok(jobs_machine.tcti, &b, NULL, 0x36);
	jobs_seal(jobs_machine.tcti, 0x37, NULL);
	swtpm_free(&jobs_machine);
	swtpm_new(&jobs_machine);
	swtpm_set_owner_password(&jobs_machine, "boss");
	jobs_run(jobs_machine.tcti, &job, 1);
	ck_assert_int_eq(job.err, -EACCES);
	ck_assert_ptr_nonnull(strstr(job.fault.text, "owner has set a password"));
	jobs_unseal_fails(jobs_machine.tcti, &b, NULL, -ENOKEY, CL_EXIT_KEY, "another TPM");
	secret_free(s);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("tpm");
	TCase *plain = tcase_create("plain"), *sealed = tcase_create("swtpm");

	jobs_add_name_tests(plain);
	suite_add_tcase(s, plain);
	if (!swtpm_installed())
		return s;
	tcase_set_timeout(sealed, 300);
	tcase_add_checked_fixture(sealed, jobs_setup, jobs_teardown);
	tcase_add_test(sealed, host_key_comes_back);
	tcase_add_test(sealed, pin_key_comes_back);
	tcase_add_test(sealed, pin_with_zeros_at_its_end);
	tcase_add_test(sealed, batch_of_six);
	tcase_add_test(sealed, lockout_stops_the_right_pin_too);
	tcase_add_test(sealed, other_machine_refuses);
	tcase_add_test(sealed, storage_key_evicted_or_replaced);
	tcase_add_test(sealed, cleared_tpm_refuses);
	tcase_add_test(sealed, owner_with_a_password);
	jobs_add_blob_tests(sealed);
	jobs_add_gone_tests(sealed);
	suite_add_tcase(s, sealed);
	return s;
}

int main(int argc, char **argv)
{
	SRunner *runner;
	int failed;

	tpm_helper_main(argc, argv);
	/* What the TSS prints for this process's own client is noise. */
	setenv("TSS2_LOG", "all+NONE", 1);
	runner = srunner_create(suite());
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	if (failed)
		return EXIT_FAILURE;
	if (!swtpm_installed()) {
		fprintf(stderr, "swtpm is not installed: only what needs no TPM was tested\n");
		return SKIP;
	}
	return EXIT_SUCCESS;
}
