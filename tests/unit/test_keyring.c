/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Tests of keyring/: vectors of doc/FORMAT, unlocking volumes, every way in and what it says when it fails. */
#include "tests/unit/keyring_fixture.h"

#include "common/bytes.h"

#include <check.h>
#include <stdlib.h>

static void fill(uint8_t *p, size_t n, uint8_t first)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)(first + i);
}

static struct secret *counting(size_t n, uint8_t first)
{
	struct secret *s = NULL;

	ck_assert_int_eq(secret_new(n, &s), 0);
	fill(secret_bytes(s), n, first);
	return s;
}

static void check_hex(const void *p, size_t n, const char *want)
{
	char hex[2 * 64 + 1];

	bytes_to_hex(p, n, hex);
	ck_assert_str_eq(hex, want);
}

/* Computed with `openssl kdf -keylen 32 -kdfopt digest:SHA384 -kdfopt hexkey:... -kdfopt hexinfo:... HKDF`. */
START_TEST(test_derive)
{
	struct secret *lk = counting(32, 0x00), *odd = counting(31, 0);
	uint8_t id[KEYRING_ID_LEN], out[65];

	fill(id, sizeof id, 0xa0);
	ck_assert_int_eq(keyring_derive(lk, "root", id, out, 32), 0);
	check_hex(out, 32, "788d612342a42a9fa043181d95cd7d6a75a9cedc8aaf69b6e405b383adb72eb8");
	ck_assert_int_eq(keyring_derive(lk, "volume-mac", id, out, 64), 0);
	check_hex(out, 64,
		  "afae4d980c9d1dc3974be7df18732c9cdf135ec4ee8f4176af67cb36f5b37d08"
		  "456ebf55c5ab52398bcda70fd57f8b9e6fd37e107fd25498c947634083dd488a");
	ck_assert_int_eq(keyring_derive(lk, "root", id, out, 65), -EINVAL);
	ck_assert_int_eq(keyring_derive(lk, "root", id, out, 0), -EINVAL);
	ck_assert_int_eq(keyring_derive(odd, "root", id, out, 32), -EINVAL);
	secret_free(lk);
	secret_free(odd);
	ck_assert_uint_eq(secret_live(), 0);
}
END_TEST

/* The example of doc/FORMAT, computed there by another implementation. */
static const char wrapped_passphrase[] =
	"303132333435363738393a3b14486e0eec1d651284fc2457ab426198fa0113b7859519658067d035"
	"abbaceb7c7080a6d9e5c692689a5f4d9a778721f";
static const char wrapped_host[] =
	"303132333435363738393a3be755d33ee582610622e45c5462b6244d174780a6fc532112a2768feee4b6197c"
	"b39e25f804a9c2d70cdc211aefa6b031";
static const char wrapped_pin[] =
	"303132333435363738393a3b6608de11a26434f1906f56ad26273c2e5d7e9f3a589717faa1094d79fd32bbcb9d"
	"82f7b083bde9dca5f95f20efc9d3a3";

static void check_unwraps(const struct keyring *k, const struct keyring_slot *s, const char *wrapped,
			  const struct secret *part, const struct secret *master)
{
	struct keyring_lock *l = s->locks;
	struct secret *lk = NULL;
	uint8_t want[KEYRING_KEY_LEN];

	fill(want, sizeof want, 0x80);
	ck_assert_int_eq(bytes_from_hex(wrapped, l->wrapped, sizeof l->wrapped), 0);
	ck_assert_int_eq(keyring_unwrap(k, s, l, part, master, &lk), 0);
	ck_assert_mem_eq(secret_cbytes(lk), want, sizeof want);
	secret_free(lk);
	l->wrapped[20] ^= 1;
	ck_assert_int_eq(keyring_unwrap(k, s, l, part, master, &lk), -EBADMSG);
	l->wrapped[20] ^= 1;
}

START_TEST(test_example)
{
	struct keyring_lock lock = { 0 };
	struct keyring_slot slot = {
		.type = KEYRING_PASSPHRASE, .kdf = { .log2n = 10, .r = 8, .p = 1 }, .locks = &lock, .n_locks = 1
	};
	struct keyring_compartment comp;
	struct keyring k = {
		.name = "example", .compartments = &comp, .n_compartments = 1, .slots = &slot, .n_slots = 1
	};
	struct secret *lk = counting(32, 0x80), *d = counting(32, 0xe0), *t = counting(32, 0xc0), *p = NULL, *m = NULL,
		      *auth = NULL, *pass = fixture_secret(FIXTURE_PASSPHRASE), *pin = fixture_secret(FIXTURE_PIN);
	uint8_t out[KEYRING_MAC_LEN];

	fill(k.uuid, sizeof k.uuid, 0);
	fill(comp.id, sizeof comp.id, 0x10);
	fill(lock.compartment, sizeof lock.compartment, 0x10);
	fill(slot.id, sizeof slot.id, 0x20);
	fill(slot.kdf.salt, sizeof slot.kdf.salt, 0x40);
	memset(comp.sealed, 0x5a, sizeof comp.sealed);
	ck_assert_int_eq(keyring_scrypt(pass, &slot.kdf, &p), 0);
	check_hex(secret_cbytes(p), 32, "da6e34e9361e576a9b22c12579dc4eafa7f6fd82e32b94714c4d86430db2b5f5");
	ck_assert_int_eq(keyring_check(&k, &slot, p, slot.check), 0);
	check_hex(slot.check, 16, "23ce0342ca227b4465809cbbc6098975");
	ck_assert_int_eq(keyring_hint(&k, &slot, p, comp.id, "SECRET//OPX", lock.hint), 0);
	check_hex(lock.hint, 16, "4dcf7f42fbef4498e461a15e34647488");
	ck_assert_int_eq(keyring_hint(&k, &slot, p, comp.id, NULL, lock.lowest), 0);
	check_hex(lock.lowest, 16, "b04d503e0cd5c34f7036ecdbe894e1be");
	check_unwraps(&k, &slot, wrapped_passphrase, p, NULL);
	ck_assert_int_eq(keyring_compartment_mac(&k, &comp, lk, out), 0);
	check_hex(out, 48,
		  "fa00abe4616f46fd33c804f6a5bbfb0244a79c1fab0dfce026e023fdbc7ce04415f6cb88d82dece1584d5415eebc8cbe");

	slot.type = KEYRING_TPM2;
	ck_assert_int_eq(keyring_hint(&k, &slot, d, comp.id, "SECRET//OPX", out), 0);
	check_hex(out, 16, "517e28fd26e2db6f3f342cf5f488aff8");
	ck_assert_int_eq(keyring_hint(&k, &slot, d, comp.id, NULL, out), 0);
	check_hex(out, 16, "cdd3b964e175c4744b4410f4be834931");
	check_unwraps(&k, &slot, wrapped_host, t, NULL);
	lock.unlock = KEYRING_PIN;
	ck_assert_int_eq(keyring_scrypt(pin, &slot.kdf, &m), 0);
	check_hex(secret_cbytes(m), 32, "0923d3ee66a3f34a050804ae0191d75e1310b4b97658066166a578a8b47713e3");
	ck_assert_int_eq(keyring_pin_auth(&k, &slot, m, comp.id, &auth), 0);
	check_hex(secret_cbytes(auth), 32, "e1485e3cd7eb2385850b3c4d8c64b11470e760fd77259d0cfe1902ddc2084e2a");
	check_unwraps(&k, &slot, wrapped_pin, t, m);

	struct secret *all[] = { lk, d, t, p, m, auth, pass, pin };

	for (size_t i = 0; i < CL_ARRAY_LEN(all); i++)
		secret_free(all[i]);
	ck_assert_uint_eq(secret_live(), 0);
}
END_TEST

/* The library's own limit of 32 MiB would refuse the default cost. */
START_TEST(test_scrypt_default_cost)
{
	struct keyring_kdf kdf = { .log2n = KEYRING_LOG2N_DEFAULT, .r = 8, .p = 1 };
	struct secret *pass = fixture_secret(FIXTURE_PASSPHRASE), *out = NULL;

	ck_assert_int_eq(keyring_scrypt(pass, &kdf, &out), 0);
	secret_free(out);
	kdf.log2n = 20;
	kdf.r = 16;
	ck_assert_int_eq(keyring_scrypt(pass, &kdf, &out), -EINVAL);
	secret_free(pass);
	ck_assert_uint_eq(secret_live(), 0);
}
END_TEST

static const struct {
	const char *ways, *with;
} mixes[] = {
	{ "h", "t" },   { "h", "r" },   { "h", "tr" },  { "p", "t" },    { "p", "tr" },   { "hhh", "t" },
	{ "hhh", "r" }, { "ppp", "t" }, { "hpp", "t" }, { "php", "tr" }, { "hhp", "tr" }, { "hphp", "tr" },
};

START_TEST(test_round_trip)
{
	struct keyring_unlocked *u = NULL;
	struct keyring_slot_info info;
	struct fault f = { 0 };
	struct fixture x;
	size_t n = 0;

	fixture_make(&x, mixes[_i].ways, mixes[_i].with);
	ck_assert_str_eq(keyring_name(x.k), "example");
	ck_assert_mem_eq(keyring_uuid(x.k), keyring_uuid(x.made), KEYRING_ID_LEN);
	ck_assert_uint_eq(keyring_n_compartments(x.k), x.n);
	ck_assert_uint_eq(keyring_n_slots(x.k), strlen(mixes[_i].with));
	for (size_t i = 1; i < x.n; i++)
		ck_assert_int_lt(
			memcmp(keyring_compartment_id(x.k, i - 1), keyring_compartment_id(x.k, i), KEYRING_ID_LEN), 0);
	for (size_t i = 0; i < keyring_n_slots(x.k); i++) {
		ck_assert_int_eq(keyring_slot(x.k, i, &info), 0);
		ck_assert_uint_eq(info.n_locks, x.n);
		for (const char *w = mixes[_i].ways; *w && info.is_tpm2; w++)
			info.n_pin -= *w == 'p';
		ck_assert_uint_eq(info.n_pin, 0);
	}
	ck_assert_int_eq(keyring_slot(x.k, keyring_n_slots(x.k), &info), -ENOENT);
	for (int i = -1; i < (int)x.n; i++)
		ck_assert_msg(!fixture_unlock(&x, x.k, i, &f), "label %d: %s", i, f.text);
	ck_assert_uint_eq(x.tpm.wrong, 0);
	ck_assert_int_eq(keyring_unlock_all(x.k, &x.offer, &u, &n, &f), 0);
	ck_assert_uint_eq(n, x.n);
	for (size_t i = 0; i < n; i++) {
		ck_assert(secret_equal(secret_cbytes(u[i].key), secret_cbytes(x.keys[i]), KEYRING_KEY_LEN));
		ck_assert_str_eq(u[i].label.text, fixture_text[i]);
	}
	keyring_unlocked_free(u, n);
	if (x.passphrase) {
		x.offer.tpm = NULL;
		x.offer.pin = NULL;
		ck_assert_int_eq(fixture_unlock(&x, x.k, (int)x.n - 1, &f), 0);
	}
	ck_assert_int_eq(keyring_unlock(x.k, &x.offer, "no such", &u, &n, &f), -ENOENT);
	ck_assert_int_eq(f.exit, CL_EXIT_POLICY);
	fixture_done(&x);
}
END_TEST

static void use_pin(struct fixture *x, const char *pin)
{
	secret_free(x->pin);
	x->pin = pin ? fixture_secret(pin) : NULL;
	x->offer.pin = x->pin;
}

START_TEST(test_pin_wrong)
{
	struct fault f = { 0 }, f2 = { 0 }, f3 = { 0 };
	struct fixture x;

	fixture_make(&x, "ppp", "t");
	use_pin(&x, "271829");
	ck_assert_int_eq(fixture_unlock(&x, x.k, 2, &f), -EKEYREJECTED);
	ck_assert_int_eq(f.exit, CL_EXIT_KEY);
	ck_assert_ptr_nonnull(strstr(f.text, "the PIN is wrong"));
	/* One try, on the lock of the label that was asked for, and on no other. */
	ck_assert_uint_eq(x.tpm.wrong, 1);
	for (size_t i = 0; i < 3; i++)
		ck_assert_uint_eq(fixture_tries(&x.tpm, &fixture_lock(&x, x.k, KEYRING_TPM2, i)->public_area), i == 2);
	/* What cannot be a PIN is not tried at all. */
	use_pin(&x, "123");
	ck_assert_int_eq(fixture_unlock(&x, x.k, 0, &f2), -EKEYREJECTED);
	use_pin(&x, NULL);
	ck_assert_int_eq(fixture_unlock(&x, x.k, 0, &f3), -ENOKEY);
	ck_assert_ptr_nonnull(strstr(f3.text, "needs a PIN"));
	ck_assert_uint_eq(x.tpm.wrong, 1);
	fixture_done(&x);
}
END_TEST

START_TEST(test_pin_lockout)
{
	struct keyring_unlocked *u = NULL;
	struct fault f = { 0 }, f2 = { 0 };
	struct fixture x;
	size_t n = 0;

	fixture_make(&x, "pppp", "tr");
	use_pin(&x, "000000");
	x.offer.passphrase = NULL;
	ck_assert_int_eq(keyring_unlock_all(x.k, &x.offer, &u, &n, &f), -EKEYREJECTED);
	ck_assert_uint_eq(x.tpm.wrong, 1); /* not one for each label */
	use_pin(&x, FIXTURE_PIN);
	x.tpm.lockout_at = 1;
	ck_assert_int_eq(fixture_unlock(&x, x.k, 1, &f2), -EBUSY);
	ck_assert_int_eq(f2.exit, CL_EXIT_KEY);
	/* The passphrase does not care. */
	x.offer.passphrase = x.passphrase;
	ck_assert_int_eq(fixture_unlock(&x, x.k, 3, &f), 0);
	fixture_done(&x);
}
END_TEST

/* Three runs, and of the slot only those locks that are needed. */
START_TEST(test_only_what_is_needed)
{
	struct fault f = { 0 };
	struct fixture x;

	fixture_make(&x, "hphp", "tr");
	x.offer.passphrase = NULL;
	ck_assert_int_eq(fixture_unlock(&x, x.k, 1, &f), 0);
	ck_assert_uint_eq(x.tpm.runs, 3);
	for (size_t i = 0; i < 4; i++)
		ck_assert_uint_eq(fixture_tries(&x.tpm, &fixture_lock(&x, x.k, KEYRING_TPM2, i)->public_area), i <= 1);
	x.tpm.runs = 0;
	ck_assert_int_eq(fixture_unlock(&x, x.k, -1, &f), 0);
	ck_assert_uint_eq(x.tpm.runs, 2);
	x.tpm.runs = 0;
	ck_assert_int_eq(fixture_unlock(&x, x.k, 3, &f), 0);
	ck_assert_uint_eq(x.tpm.runs, 3);
	fixture_done(&x);
}
END_TEST

START_TEST(test_other_machine)
{
	struct fault f = { 0 }, f2 = { 0 };
	struct fixture_tpm other;
	struct fixture x;

	fixture_make(&x, "hph", "tr");
	fixture_tpm_init(&other, 2);
	x.offer.tpm = &other.tpm;
	x.offer.passphrase = NULL;
	for (int i = -1; i < 3; i++) {
		f = (struct fault){ 0 };
		ck_assert_int_eq(fixture_unlock(&x, x.k, i, &f), -ENOKEY);
		ck_assert_int_eq(f.exit, CL_EXIT_KEY);
		ck_assert_ptr_nonnull(strstr(f.text, "sealed to another TPM"));
		ck_assert_ptr_nonnull(strstr(f.text, "no passphrase was given"));
	}
	ck_assert_uint_eq(other.unseals, 4); /* locators; nothing was asked of the locks */
	x.offer.passphrase = x.passphrase;
	fixture_log_start();
	for (int i = -1; i < 3; i++)
		ck_assert_int_eq(fixture_unlock(&x, x.k, i, &f), 0);
	ck_assert_ptr_nonnull(strstr(fixture_log(), "sealed to another TPM"));
	ck_assert_ptr_null(strstr(fixture_log(), "label"));
	secret_free(x.passphrase);
	x.offer.passphrase = x.passphrase = fixture_secret("correct horse battery stable");
	ck_assert_int_eq(fixture_unlock(&x, x.k, 1, &f2), -EKEYREJECTED);
	ck_assert_ptr_nonnull(strstr(f2.text, "passphrase is wrong"));
	ck_assert_ptr_nonnull(strstr(f2.text, "sealed to another TPM"));
	fixture_done(&x);
}
END_TEST

START_TEST(test_no_tpm)
{
	struct fault f = { 0 }, f2 = { 0 };
	struct fixture x;

	fixture_make(&x, "hp", "tr");
	x.offer = (struct keyring_offer){ 0 };
	ck_assert_int_eq(fixture_unlock(&x, x.k, 1, &f), -ENODEV);
	ck_assert_int_eq(f.exit, CL_EXIT_KEY);
	x.offer.tpm = &x.tpm.tpm;
	x.tpm.run_error = -EIO;
	ck_assert_int_eq(fixture_unlock(&x, x.k, 0, &f2), -EIO);
	ck_assert_int_eq(f2.exit, CL_EXIT_TPM);
	ck_assert_ptr_nonnull(strstr(f2.text, "does not answer"));
	x.offer.passphrase = x.passphrase;
	ck_assert_int_eq(fixture_unlock(&x, x.k, 1, &f), 0);
	fixture_done(&x);
}
END_TEST

/* A label that this machine's slot lacks looks like one that does not exist. */
START_TEST(test_not_enrolled)
{
	struct fault f = { 0 }, f2 = { 0 };
	struct keyring_slot *s;
	struct fixture x;
	size_t at;

	fixture_make(&x, "hhh", "tr");
	s = fixture_slot(x.k, KEYRING_TPM2);
	at = (size_t)(fixture_lock(&x, x.k, KEYRING_TPM2, 2) - s->locks);
	s->n_locks--;
	memmove(s->locks + at, s->locks + at + 1, (s->n_locks - at) * sizeof *s->locks);
	x.offer.passphrase = NULL;
	ck_assert_int_eq(fixture_unlock(&x, x.k, 2, &f), -ENOENT);
	ck_assert_int_eq(fixture_unlock(&x, x.k, 1, &f), 0); /* whose MAC does not cover that lock */
	x.offer.passphrase = x.passphrase;
	ck_assert_int_eq(fixture_unlock(&x, x.k, 2, &f2), -EBADMSG); /* but label 2's does */
	ck_assert_int_eq(f2.exit, CL_EXIT_INTEGRITY);
	fixture_done(&x);
}
END_TEST

/* Only the finder of a slot tells which lock is whose, and which is the lowest. */
START_TEST(test_hints)
{
	static const enum keyring_slot_type types[] = { KEYRING_TPM2, KEYRING_PASSPHRASE };
	struct secret *guess = counting(KEYRING_ROOT_LEN, 0), *p = NULL;
	uint8_t hint[KEYRING_HINT_LEN], low[KEYRING_HINT_LEN], seen[2][3][KEYRING_HINT_LEN];
	struct fixture x;

	fixture_make(&x, "hhh", "tr");
	ck_assert_int_eq(keyring_scrypt(x.passphrase, &fixture_slot(x.k, KEYRING_PASSPHRASE)->kdf, &p), 0);
	for (size_t t = 0; t < 2; t++)
		for (size_t i = 0; i < 3; i++) {
			struct keyring_slot *s = fixture_slot(x.k, types[t]);
			struct keyring_lock *l = fixture_lock(&x, x.k, types[t], i);

			ck_assert_int_eq(keyring_hint(x.k, s, guess, l->compartment, fixture_text[i], hint), 0);
			ck_assert_int_eq(keyring_hint(x.k, s, guess, l->compartment, NULL, low), 0);
			ck_assert_mem_ne(hint, l->hint, sizeof hint);
			ck_assert_mem_ne(low, l->lowest, sizeof low);
			ck_assert(!bytes_are_zero(l->lowest, sizeof low));
			memcpy(seen[t][i], l->hint, sizeof hint);
			if (types[t] == KEYRING_PASSPHRASE) {
				ck_assert_int_eq(keyring_hint(x.k, s, p, l->compartment, NULL, low), 0);
				ck_assert_int_eq(memcmp(low, l->lowest, sizeof low) == 0, i == 0);
			}
		}
	secret_free(guess);
	secret_free(p);
	fixture_tpm_init(&x.tpm, 9); /* the locator does not open: nothing is found */
	x.offer.passphrase = NULL;
	ck_assert_int_eq(fixture_unlock(&x, x.k, 1, &(struct fault){ 0 }), -ENOKEY);
	fixture_done(&x);

	/* The same labels in another volume, on the same TPM and under the same passphrase. */
	fixture_make(&x, "hhh", "tr");
	for (size_t t = 0; t < 2; t++)
		for (size_t i = 0; i < 3; i++)
			ck_assert_mem_ne(fixture_lock(&x, x.k, types[t], i)->hint, seen[t][i], KEYRING_HINT_LEN);
	ck_assert_mem_ne(seen[0][1], seen[1][1], KEYRING_HINT_LEN);
	fixture_done(&x);
}
END_TEST

/* Swapped hints lead nobody, and no PIN, to another label's lock. */
START_TEST(test_hints_swapped)
{
	uint8_t swap[KEYRING_HINT_LEN];
	struct keyring_lock *a, *b;
	struct fixture x;

	fixture_make(&x, "ppp", "t");
	a = fixture_lock(&x, x.k, KEYRING_TPM2, 1);
	b = fixture_lock(&x, x.k, KEYRING_TPM2, 2);
	memcpy(swap, a->hint, sizeof swap);
	memcpy(a->hint, b->hint, sizeof swap);
	memcpy(b->hint, swap, sizeof swap);
	ck_assert_int_eq(fixture_unlock(&x, x.k, 1, &(struct fault){ 0 }), -ENOENT);
	ck_assert_uint_eq(fixture_tries(&x.tpm, &a->public_area), 0);
	ck_assert_uint_eq(fixture_tries(&x.tpm, &b->public_area), 0);
	fixture_done(&x);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("keyring");
	TCase *c = tcase_create("keyring");
	SRunner *r;
	int failed;

	tcase_set_timeout(c, 120);
	tcase_add_test(c, test_derive);
	tcase_add_test(c, test_example);
	tcase_add_test(c, test_scrypt_default_cost);
	tcase_add_loop_test(c, test_round_trip, 0, CL_ARRAY_LEN(mixes));
	tcase_add_test(c, test_pin_wrong);
	tcase_add_test(c, test_pin_lockout);
	tcase_add_test(c, test_only_what_is_needed);
	tcase_add_test(c, test_other_machine);
	tcase_add_test(c, test_no_tpm);
	tcase_add_test(c, test_not_enrolled);
	tcase_add_test(c, test_hints);
	tcase_add_test(c, test_hints_swapped);
	suite_add_tcase(s, c);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
