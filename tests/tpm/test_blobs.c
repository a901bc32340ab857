/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Sealed keys with something wrong in them, jobs that make no sense: nothing opens, nothing counts as a wrong PIN. */
#include "tests/tpm/jobs.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

/* Byte i of all four parts, in order; NULL behind the last. */
static uint8_t *blob_byte(struct tpm_blob *b, size_t i)
{
	const struct {
		uint8_t *bytes;
		size_t len;
	} parts[] = {
		{ b->srk_name, b->srk_name_len },
		{ b->srk_public, b->srk_public_len },
		{ b->public_area, b->public_len },
		{ b->private_area, b->private_len },
	};

	for (size_t p = 0; p < CL_ARRAY_LEN(parts); p++) {
		if (i < parts[p].len)
			return parts[p].bytes + i;
		i -= parts[p].len;
	}
	return NULL;
}

static void flip_every_byte(const struct tpm_blob *good, const struct secret *pin)
{
	struct tpm_blob b = *good;
	struct tpm_job *jobs;
	struct tpm_status st;
	size_t n = 0;

	while (blob_byte(&b, n))
		n++;
	ck_assert_uint_gt(n, 300);
	jobs = calloc(n, sizeof(*jobs));
	ck_assert_ptr_nonnull(jobs);
	for (size_t i = 0; i < n; i++) {
		jobs[i] = jobs_unseal(good, pin);
		*blob_byte(&jobs[i].blob, i) ^= (uint8_t)(1u << i % 8);
	}
	jobs_run(jobs_machine.tcti, jobs, n);
	for (size_t i = 0; i < n; i++) {
		/* What only the TPM can judge: the unique field at the end of the public area, and the private area. */
		const bool sealed = i >= n - good->private_len - 32u;

		ck_assert_msg(jobs[i].err == -EUCLEAN || (sealed && jobs[i].err == -ENOKEY), "byte %zu: %d %s", i,
			      jobs[i].err, jobs[i].fault.text);
		ck_assert_ptr_null(jobs[i].secret);
		ck_assert_int_eq(jobs[i].fault.exit, CL_EXIT_KEY);
		ck_assert_str_ne(jobs[i].fault.text, "");
	}
	free(jobs);
	/* None of it counted as a wrong PIN. */
	ck_assert_int_eq(tpm_get_status(jobs_machine.tcti, &st, NULL), 0);
	ck_assert_uint_eq(st.tries_used, 0);
}

START_TEST(damaged_blobs_do_not_open)
{
	struct secret *pin = jobs_filled(0x71, 32, 0);
	struct tpm_blob host = jobs_seal(jobs_machine.tcti, 0x41, NULL),
			locked = jobs_seal(jobs_machine.tcti, 0x42, pin);

	flip_every_byte(&host, NULL);
	flip_every_byte(&locked, pin);
	jobs_unseal_ok(jobs_machine.tcti, &host, NULL, 0x41);
	jobs_unseal_ok(jobs_machine.tcti, &locked, pin, 0x42);
	secret_free(pin);
}
END_TEST

START_TEST(lengths_and_kinds_are_checked)
{
	struct secret *pin = jobs_filled(0x72, 32, 0);
	const struct tpm_blob host = jobs_seal(jobs_machine.tcti, 0x43, NULL),
			      host2 = jobs_seal(jobs_machine.tcti, 0x44, NULL);
	const struct tpm_blob locked = jobs_seal(jobs_machine.tcti, 0x45, pin);
	struct tpm_blob b;
	static const size_t fields[] = { offsetof(struct tpm_blob, srk_name_len),
					 offsetof(struct tpm_blob, srk_public_len),
					 offsetof(struct tpm_blob, public_len),
					 offsetof(struct tpm_blob, private_len) };
	static const uint16_t sizes[] = { sizeof(b.srk_name), sizeof(b.srk_public), sizeof(b.public_area),
					  sizeof(b.private_area) };

	for (size_t i = 0; i < CL_ARRAY_LEN(fields); i++) {
		uint16_t len;

		memcpy(&len, (const char *)&host + fields[i], sizeof(len));
		const uint16_t tries[] = {
			0, 1, (uint16_t)(len - 1), (uint16_t)(len + 1), sizes[i], (uint16_t)(sizes[i] + 1), 65535
		};

		for (size_t k = 0; k < CL_ARRAY_LEN(tries); k++) {
			b = host;
			memcpy((char *)&b + fields[i], &tries[k], sizeof(len));
			jobs_unseal_fails(jobs_machine.tcti, &b, NULL, -EUCLEAN, CL_EXIT_KEY, "malformed");
		}
	}
	/* One kind of key is not taken for the other. */
	jobs_unseal_fails(jobs_machine.tcti, &host, pin, -EUCLEAN, CL_EXIT_KEY, "kind of object");
	jobs_unseal_fails(jobs_machine.tcti, &locked, NULL, -EUCLEAN, CL_EXIT_KEY, "kind of object");
	/* Halves of two keys do not make one. */
	b = host;
	memcpy(b.private_area, host2.private_area, sizeof(b.private_area));
	b.private_len = host2.private_len;
	jobs_unseal_fails(jobs_machine.tcti, &b, NULL, -ENOKEY, CL_EXIT_KEY, "does not recognise");
	secret_free(pin);
}
END_TEST

START_TEST(jobs_are_checked)
{
	struct secret *pin = jobs_filled(0x74, 33, 0), *zeros = jobs_filled(0, 8, 0), *s = jobs_filled(1, 32, 0),
		      *brief = jobs_filled(1, 31, 0);
	struct tpm_job jobs[] = {
		{ .op = TPM_SEAL, .unlock = TPM_UNLOCK_HOST, .secret = NULL },
		{ .op = TPM_SEAL, .unlock = TPM_UNLOCK_HOST, .secret = brief },
		{ .op = TPM_SEAL, .unlock = TPM_UNLOCK_HOST, .secret = s, .auth = pin },
		{ .op = TPM_SEAL, .unlock = TPM_UNLOCK_PIN, .secret = s },
		{ .op = TPM_SEAL, .unlock = TPM_UNLOCK_PIN, .secret = s, .auth = pin },
		{ .op = TPM_SEAL, .unlock = TPM_UNLOCK_PIN, .secret = s, .auth = zeros },
		{ .op = TPM_SEAL, .unlock = (enum tpm_unlock)7, .secret = s },
	};

	jobs_run(jobs_machine.tcti, jobs, CL_ARRAY_LEN(jobs));
	for (size_t i = 0; i < CL_ARRAY_LEN(jobs); i++) {
		ck_assert_int_eq(jobs[i].err, -EINVAL);
		ck_assert_str_ne(jobs[i].fault.text, "");
	}
	secret_free(pin);
	secret_free(zeros);
	secret_free(s);
	secret_free(brief);
}
END_TEST

void jobs_add_blob_tests(TCase *t)
{
	tcase_add_test(t, damaged_blobs_do_not_open);
	tcase_add_test(t, lengths_and_kinds_are_checked);
	tcase_add_test(t, jobs_are_checked);
}
