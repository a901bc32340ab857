/* SPDX-License-Identifier: GPL-3.0-or-later */
/* For the tests of keyring/: a TPM made of memory, and small volumes. */
#include "tests/unit/keyring_fixture.h"

#include "common/file.h"
#include "common/log.h"

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *const fixture_text[] = { "NP-zero-label", "SECRET-one-label", "TRES-SECRET-two-label",
				     "TS//X-three-label" };
static const char *const dirs[] = { NULL, "gate-one", "gate-two", "gate-three" };

/* How the fake object is stored in private: what a TPM would do under its own storage key. */
struct object {
	uint8_t masked[32];
	uint8_t auth_check[16];
	uint8_t tag[16];
};
#define PUBLIC_LEN 17u /* id, unlock */

static void tpm_mac(const struct fixture_tpm *t, char what, const void *p, size_t n, const struct secret *auth,
		    size_t len, uint8_t *out)
{
	uint8_t msg[256] = { (uint8_t)what }, mac[KEYRING_MAC_LEN];
	size_t auth_len = auth ? secret_len(auth) : 0;

	while (auth_len && !secret_cbytes(auth)[auth_len - 1]) /* as TPM 2.0 does */
		auth_len--;
	ck_assert_uint_le(n + auth_len + 1, sizeof msg);
	memcpy(msg + 1, p, n);
	if (auth_len)
		memcpy(msg + 1 + n, secret_cbytes(auth), auth_len);
	ck_assert_int_eq(keyring_hmac(t->seed, sizeof t->seed, msg, 1 + n + auth_len, mac), 0);
	memcpy(out, mac, len);
}

static void tpm_seal(struct fixture_tpm *t, struct keyring_tpm_job *j)
{
	struct keyring_tpm_blob *b = &j->blob;
	struct object o;

	ck_assert_uint_eq(secret_len(j->secret), 32);
	ck_assert((j->unlock == KEYRING_PIN) == (j->auth != NULL));
	memset(b, 0, sizeof *b);
	b->len[KEYRING_SRK_NAME] = 34;
	tpm_mac(t, 'n', "", 0, NULL, 34, b->bytes[KEYRING_SRK_NAME]);
	b->len[KEYRING_SRK_PUBLIC] = 40;
	tpm_mac(t, 'k', "", 0, NULL, 40, b->bytes[KEYRING_SRK_PUBLIC]);
	b->len[KEYRING_PUBLIC] = PUBLIC_LEN;
	ck_assert_int_eq(keyring_random(b->bytes[KEYRING_PUBLIC], 16), 0);
	b->bytes[KEYRING_PUBLIC][16] = (uint8_t)j->unlock;
	tpm_mac(t, 's', b->bytes[KEYRING_PUBLIC], PUBLIC_LEN, j->auth, 32, o.masked);
	for (unsigned i = 0; i < 32; i++)
		o.masked[i] ^= secret_cbytes(j->secret)[i];
	tpm_mac(t, 'a', b->bytes[KEYRING_PUBLIC], PUBLIC_LEN, j->auth, 16, o.auth_check);
	memcpy(b->bytes[KEYRING_PRIVATE], &o, sizeof o);
	memcpy(b->bytes[KEYRING_PRIVATE] + 48, b->bytes[KEYRING_PUBLIC], PUBLIC_LEN);
	tpm_mac(t, 't', b->bytes[KEYRING_PRIVATE], 48 + PUBLIC_LEN, NULL, 16, o.tag);
	memset(b->bytes[KEYRING_PRIVATE], 0, sizeof b->bytes[0]);
	memcpy(b->bytes[KEYRING_PRIVATE], &o, sizeof o);
	b->len[KEYRING_PRIVATE] = sizeof o;
	ck_assert_uint_lt(t->n_objects, FIXTURE_OBJECTS);
	memcpy(t->objects[t->n_objects++].id, b->bytes[KEYRING_PUBLIC], 16);
}

static int tpm_fail(struct keyring_tpm_job *j, int err, const char *why)
{
	return fault_set(&j->fault, err, CL_EXIT_KEY, "%s", why);
}

static int tpm_unseal(struct fixture_tpm *t, struct keyring_tpm_job *j)
{
	const struct keyring_tpm_blob *b = &j->blob;
	uint8_t name[34], want[32], checked[48 + PUBLIC_LEN];
	struct object o;

	for (size_t i = 0; i < t->n_objects; i++)
		if (b->len[KEYRING_PUBLIC] >= 16 && !memcmp(t->objects[i].id, b->bytes[KEYRING_PUBLIC], 16))
			t->objects[i].tries++;
	tpm_mac(t, 'n', "", 0, NULL, sizeof name, name);
	if (b->len[KEYRING_SRK_NAME] != sizeof name || memcmp(name, b->bytes[KEYRING_SRK_NAME], sizeof name) != 0)
		return tpm_fail(j, -ENOKEY, "the key is sealed to another TPM");
	if (b->len[KEYRING_PUBLIC] != PUBLIC_LEN || b->len[KEYRING_PRIVATE] != sizeof o)
		return tpm_fail(j, -EUCLEAN, "the sealed object is malformed");
	memcpy(&o, b->bytes[KEYRING_PRIVATE], sizeof o);
	memcpy(checked, &o, 48);
	memcpy(checked + 48, b->bytes[KEYRING_PUBLIC], PUBLIC_LEN);
	tpm_mac(t, 't', checked, sizeof checked, NULL, 16, want);
	if (memcmp(want, o.tag, 16) != 0)
		return tpm_fail(j, -ENOKEY, "the key is sealed to another TPM");
	if (b->bytes[KEYRING_PUBLIC][16] != (uint8_t)j->unlock || (j->unlock == KEYRING_PIN) != (j->auth != NULL))
		return tpm_fail(j, -EACCES, "policy not satisfied");
	if (j->unlock == KEYRING_PIN && t->lockout_at && t->wrong >= t->lockout_at)
		return tpm_fail(j, -EBUSY, "the TPM is locked up after too many wrong PINs");
	tpm_mac(t, 'a', b->bytes[KEYRING_PUBLIC], PUBLIC_LEN, j->auth, 16, want);
	if (memcmp(want, o.auth_check, 16) != 0) {
		t->wrong++;
		return tpm_fail(j, -EKEYREJECTED, "the PIN is wrong");
	}
	tpm_mac(t, 's', b->bytes[KEYRING_PUBLIC], PUBLIC_LEN, j->auth, 32, want);
	ck_assert_int_eq(secret_new(32, &j->secret), 0);
	for (unsigned i = 0; i < 32; i++)
		secret_bytes(j->secret)[i] = want[i] ^ o.masked[i];
	return 0;
}

static int tpm_run(void *arg, struct keyring_tpm_job *jobs, size_t n, struct fault *f)
{
	struct fixture_tpm *t = arg;

	t->runs++;
	if (t->run_error)
		return fault_set(f, t->run_error, CL_EXIT_TPM, "the TPM does not answer");
	for (size_t i = 0; i < n; i++) {
		if (jobs[i].seal) {
			tpm_seal(t, &jobs[i]);
			continue;
		}
		t->unseals++;
		ck_assert_ptr_null(jobs[i].secret);
		jobs[i].err = tpm_unseal(t, &jobs[i]);
	}
	return 0;
}

void fixture_tpm_init(struct fixture_tpm *t, uint8_t seed)
{
	memset(t, 0, sizeof *t);
	memset(t->seed, seed, sizeof t->seed);
	t->tpm.run = tpm_run;
	t->tpm.arg = t;
}

unsigned fixture_tries(const struct fixture_tpm *t, const struct keyring_part *public_area)
{
	for (size_t i = 0; i < t->n_objects; i++)
		if (!memcmp(t->objects[i].id, public_area->bytes, 16))
			return t->objects[i].tries;
	ck_abort_msg("no such object");
	return 0;
}

struct secret *fixture_secret(const char *text)
{
	struct secret *s = NULL;

	ck_assert_int_eq(secret_new(strlen(text), &s), 0);
	memcpy(secret_bytes(s), text, strlen(text));
	return s;
}

void fixture_make(struct fixture *x, const char *ways, const char *with)
{
	struct keyring_new_label labels[CL_ARRAY_LEN(dirs)];
	struct keyring_new spec = {
		.name = "example", .labels = labels, .n_labels = strlen(ways), .scrypt_log2_n = 10
	};
	struct fault f = { 0 };

	memset(x, 0, sizeof *x);
	x->n = spec.n_labels;
	strcpy(x->dir, "/tmp/test_keyring.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(x->dir));
	x->dirfd = open(x->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_ge(x->dirfd, 0);
	fixture_tpm_init(&x->tpm, 1);
	for (size_t i = 0; i < x->n; i++)
		labels[i] = (struct keyring_new_label){ .text = fixture_text[i],
							.dir = dirs[i],
							.unlock = ways[i] == 'p' ? KEYRING_PIN : KEYRING_HOST };
	if (strchr(with, 't'))
		spec.tpm = &x->tpm.tpm;
	if (strchr(ways, 'p'))
		spec.pin = x->pin = fixture_secret(FIXTURE_PIN);
	if (strchr(with, 'r'))
		spec.passphrase = x->passphrase = fixture_secret(FIXTURE_PASSPHRASE);
	ck_assert_msg(!keyring_create(&spec, &x->made, x->keys, &f), "%s", f.text);
	ck_assert_msg(!keyring_save(x->made, x->dirfd, &f), "%s", f.text);
	ck_assert_msg(!keyring_load(x->dirfd, &x->k, &f), "%s", f.text);
	x->offer = (struct keyring_offer){ .tpm = spec.tpm, .pin = x->pin, .passphrase = x->passphrase };
	x->tpm.runs = 0;
}

void fixture_done(struct fixture *x)
{
	keyring_free(x->k);
	keyring_free(x->made);
	for (size_t i = 0; i < x->n; i++)
		secret_free(x->keys[i]);
	secret_free(x->pin);
	secret_free(x->passphrase);
	(void)unlinkat(x->dirfd, "volume.json", 0);
	(void)unlinkat(x->dirfd, "volume.json.bak", 0);
	(void)close(x->dirfd);
	ck_assert_msg(rmdir(x->dir) == 0, "files were left behind in %s", x->dir);
	ck_assert_uint_eq(secret_live(), 0);
}

static size_t find_record(const struct fixture *x, size_t i, const struct keyring *k)
{
	for (size_t c = 0; c < k->n_compartments; c++) {
		struct keyring_label label;

		/* Only the right key opens a record. */
		if (!keyring_record_open(k, &k->compartments[c], x->keys[i], &label))
			return c;
	}
	ck_abort_msg("label %zu has no compartment", i);
	return 0;
}

size_t fixture_compartment(const struct fixture *x, const struct keyring *k, size_t i)
{
	return (size_t)keyring_find_compartment(k, x->made->compartments[find_record(x, i, x->made)].id);
}

struct keyring_slot *fixture_slot(struct keyring *k, enum keyring_slot_type type)
{
	for (size_t i = 0; i < k->n_slots; i++)
		if (k->slots[i].type == type)
			return &k->slots[i];
	ck_abort_msg("no such slot");
	return NULL;
}

struct keyring_lock *fixture_lock(const struct fixture *x, struct keyring *k, enum keyring_slot_type type, size_t i)
{
	struct keyring_slot *s = fixture_slot(k, type);
	ssize_t l = keyring_find_lock(s, k->compartments[fixture_compartment(x, k, i)].id);

	ck_assert_int_ge(l, 0);
	return &s->locks[l];
}

int fixture_unlock(const struct fixture *x, const struct keyring *k, int i, struct fault *f)
{
	struct keyring_unlocked *u = NULL;
	size_t n = 0, want = i < 0 ? 1 : (size_t)i + 1;
	int err = keyring_unlock(k, &x->offer, i < 0 ? NULL : fixture_text[i], &u, &n, f);

	if (err) {
		ck_assert(f->text[0] && f->exit);
		ck_assert_ptr_null(u);
		return err;
	}
	ck_assert_uint_eq(n, want);
	for (size_t j = 0; j < n; j++) {
		ck_assert(secret_equal(secret_cbytes(u[j].key), secret_cbytes(x->keys[j]), KEYRING_KEY_LEN));
		ck_assert_str_eq(u[j].label.text, fixture_text[j]);
		ck_assert_str_eq(u[j].label.dir, dirs[j] ? dirs[j] : "");
		ck_assert_uint_eq(u[j].label.rank, j);
		ck_assert_uint_eq(u[j].label.n_below, j);
		for (size_t b = 0; b < j; b++)
			ck_assert_mem_eq(u[j].label.below[b], u[b].label.id, KEYRING_ID_LEN);
	}
	keyring_unlocked_free(u, n);
	return 0;
}

void fixture_write(const struct fixture *x, const char *name, const char *text, size_t len)
{
	if (!text) {
		ck_assert_int_eq(unlinkat(x->dirfd, name, 0), 0);
		return;
	}
	int fd = openat(x->dirfd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(file_write_full(fd, text, len), 0);
	ck_assert_int_eq(close(fd), 0);
}

static char log_text[65536];

static void log_append(enum log_level lvl CL_UNUSED, const char *line, void *arg CL_UNUSED)
{
	size_t n = strlen(log_text);

	(void)snprintf(log_text + n, sizeof log_text - n, "%s\n", line);
}

void fixture_log_start(void)
{
	log_text[0] = '\0';
	log_hook(log_append, NULL);
}

const char *fixture_log(void)
{
	return log_text;
}
