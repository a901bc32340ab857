/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A new header: label keys, their records, a slot for this machine's TPM, a slot for the recovery passphrase. */
#include "keyring/model.h"

#include <stdlib.h>
#include <string.h>

/* What a creation works on. keys are in the order of the labels; the rest of the header is sorted by ids at the end. */
struct maker {
	const struct keyring_new *spec;
	struct keyring *k;
	struct secret **keys;
	uint8_t ids[KEYRING_MAX_LABELS][KEYRING_ID_LEN]; /* of label i */
	struct fault *f;
};

static int refuse(struct fault *f, int exit, const char *why)
{
	return fault_set(f, -EINVAL, exit, "%s", why);
}

static int check_labels(const struct keyring_new *spec, struct fault *f)
{
	for (size_t i = 0; i < spec->n_labels; i++) {
		const struct keyring_new_label *l = &spec->labels[i];
		size_t n = l->text ? strlen(l->text) : 0;

		if (!n || n > KEYRING_LABEL_MAX || !keyring_text_ok(l->text, n))
			return fault_set(f, -EINVAL, CL_EXIT_POLICY,
					 "label %zu: expected 1 to %u bytes of UTF-8 without "
					 "control characters",
					 i + 1, KEYRING_LABEL_MAX);
		if (!i && l->dir)
			return refuse(f, CL_EXIT_USAGE,
				      "the first label has the volume's root and no directory of its own");
		if (i && (!l->dir || !keyring_dir_ok(l->dir)))
			return fault_set(f, -EINVAL, CL_EXIT_USAGE,
					 "label %zu: expected a directory name of 1 to %u bytes of "
					 "UTF-8 without \"/\" and control characters",
					 i + 1, KEYRING_DIR_MAX);
		if (l->unlock != KEYRING_HOST && l->unlock != KEYRING_PIN)
			return fault_set(f, -EINVAL, CL_EXIT_USAGE, "label %zu: unknown way to unlock it", i + 1);
		for (size_t j = 0; j < i; j++) {
			if (strcmp(l->text, spec->labels[j].text) == 0)
				return fault_set(f, -EINVAL, CL_EXIT_POLICY, "label %zu is the same as label %zu",
						 i + 1, j + 1);
			if (j && strcmp(l->dir, spec->labels[j].dir) == 0)
				return fault_set(f, -EINVAL, CL_EXIT_USAGE,
						 "labels %zu and %zu have the same directory name", j + 1, i + 1);
		}
	}
	return 0;
}

static bool wants_pin(const struct keyring_new *spec)
{
	for (size_t i = 0; i < spec->n_labels; i++)
		if (spec->labels[i].unlock == KEYRING_PIN)
			return true;
	return false;
}

static int check_spec(const struct keyring_new *spec, struct fault *f)
{
	size_t name_len = spec->name ? strlen(spec->name) : 0;
	bool pin = wants_pin(spec);

	if (!spec->n_labels || spec->n_labels > KEYRING_MAX_LABELS)
		return fault_set(f, -EINVAL, CL_EXIT_USAGE, "expected 1 to %u labels", KEYRING_MAX_LABELS);
	if (spec->name && (!name_len || name_len > KEYRING_NAME_MAX || !keyring_text_ok(spec->name, name_len)))
		return fault_set(f, -EINVAL, CL_EXIT_USAGE,
				 "expected a volume name of 1 to %u bytes of UTF-8 without control "
				 "characters",
				 KEYRING_NAME_MAX);
	if (!spec->tpm && !spec->passphrase)
		return refuse(f, CL_EXIT_USAGE, "no way in: expected a TPM, a recovery passphrase, or both");
	if (pin && !spec->tpm)
		return refuse(f, CL_EXIT_USAGE, "a label with a PIN needs a TPM to keep the PIN from being guessed");
	if (pin != !!spec->pin)
		return refuse(f, CL_EXIT_USAGE,
			      pin ? "a label is to be unlocked with a PIN, but none was given"
				  : "a PIN was given, but no label is to be unlocked with one");
	if (pin && (secret_len(spec->pin) < KEYRING_PIN_MIN || secret_len(spec->pin) > KEYRING_PIN_MAX))
		return fault_set(f, -EINVAL, CL_EXIT_USAGE, "expected a PIN of %u to %u bytes", KEYRING_PIN_MIN,
				 KEYRING_PIN_MAX);
	if (spec->passphrase && secret_len(spec->passphrase) < KEYRING_PASSPHRASE_MIN)
		return fault_set(f, -EINVAL, CL_EXIT_USAGE, "expected a recovery passphrase of at least %u bytes",
				 KEYRING_PASSPHRASE_MIN);
	if (spec->scrypt_log2_n && (spec->scrypt_log2_n < KEYRING_LOG2N_MIN || spec->scrypt_log2_n > KEYRING_LOG2N_MAX))
		return fault_set(f, -EINVAL, CL_EXIT_USAGE, "expected a cost of scrypt from 2^%u to 2^%u",
				 KEYRING_LOG2N_MIN, KEYRING_LOG2N_MAX);
	return check_labels(spec, f);
}

static int make_compartments(struct maker *m)
{
	struct keyring *k = m->k;
	size_t n = m->spec->n_labels;
	int err = keyring_random(m->ids, sizeof m->ids);

	if (!err)
		err = keyring_random(k->uuid, sizeof k->uuid);
	k->compartments = calloc(n, sizeof *k->compartments);
	if (err || !k->compartments)
		return err ? err : -ENOMEM;
	k->n_compartments = n;
	for (size_t i = 0; i < n; i++)
		memcpy(k->compartments[i].id, m->ids[i], KEYRING_ID_LEN);
	for (size_t i = 0; i < n && !err; i++) {
		struct keyring_label label = { .rank = (uint16_t)i, .n_below = (uint16_t)i };

		memcpy(label.text, m->spec->labels[i].text, strlen(m->spec->labels[i].text));
		if (i)
			memcpy(label.dir, m->spec->labels[i].dir, strlen(m->spec->labels[i].dir));
		memcpy(label.below, m->ids, i * KEYRING_ID_LEN);
		err = secret_new_random(KEYRING_KEY_LEN, &m->keys[i]);
		if (!err)
			err = keyring_record_seal(k, &k->compartments[i], m->keys[i], &label);
		secret_wipe(&label, sizeof label);
	}
	return err;
}

/* A slot with an empty lock for each label, in the order of the labels. */
static int start_slot(struct maker *m, enum keyring_slot_type type, struct keyring_slot **ret)
{
	struct keyring_slot *s = &m->k->slots[m->k->n_slots];
	unsigned log2n = m->spec->scrypt_log2_n;
	int err = keyring_random(s->id, sizeof s->id);

	if (!err)
		err = keyring_random(s->kdf.salt, sizeof s->kdf.salt);
	if (err)
		return err;
	s->type = type;
	s->kdf.log2n = log2n ? log2n : KEYRING_LOG2N_DEFAULT;
	s->kdf.r = 8;
	s->kdf.p = 1;
	s->locks = calloc(m->spec->n_labels, sizeof *s->locks);
	if (!s->locks)
		return -ENOMEM;
	s->n_locks = m->spec->n_labels;
	m->k->n_slots++;
	for (size_t i = 0; i < s->n_locks; i++)
		memcpy(s->locks[i].compartment, m->ids[i], KEYRING_ID_LEN);
	*ret = s;
	return 0;
}

static int make_hints(struct maker *m, struct keyring_slot *s, size_t i, const struct secret *finder)
{
	struct keyring_lock *l = &s->locks[i];
	int err = keyring_hint(m->k, s, finder, l->compartment, m->spec->labels[i].text, l->hint);

	if (err)
		return err;
	if (!i)
		return keyring_hint(m->k, s, finder, l->compartment, NULL, l->lowest);
	return keyring_random(l->lowest, sizeof l->lowest); /* looks the same from outside */
}

static int make_passphrase_slot(struct maker *m)
{
	struct secret *CL_CLEANUP(secret_freep) p = NULL;
	struct keyring_slot *s;
	int err = start_slot(m, KEYRING_PASSPHRASE, &s);

	if (!err)
		err = keyring_scrypt(m->spec->passphrase, &s->kdf, &p);
	if (!err)
		err = keyring_check(m->k, s, p, s->check);
	for (size_t i = 0; i < m->spec->n_labels && !err; i++) {
		err = make_hints(m, s, i, p);
		if (!err)
			err = keyring_wrap(m->k, s, &s->locks[i], p, NULL, m->keys[i]);
	}
	return err;
}

/* What one TPM run seals: job i is label i's, the last one is the locator's. */
struct sealing {
	struct keyring_tpm_job *jobs; /* owned, with their secrets */
	struct secret *auth[KEYRING_MAX_LABELS];
	struct secret *master; /* stretched PIN, or NULL */
	size_t n_jobs;
};

static int take_part(const struct keyring_tpm_blob *b, unsigned which, struct keyring_part *out)
{
	if (!b->len[which] || b->len[which] > KEYRING_PART_MAX)
		return -EIO;
	out->len = b->len[which];
	memcpy(out->bytes, b->bytes[which], out->len);
	return 0;
}

static bool same_srk(const struct keyring_tpm_blob *a, const struct keyring_tpm_blob *b)
{
	for (unsigned i = KEYRING_SRK_NAME; i <= KEYRING_SRK_PUBLIC; i++)
		if (a->len[i] != b->len[i] || memcmp(a->bytes[i], b->bytes[i], a->len[i]) != 0)
			return false;
	return true;
}

static int seal_parts(struct maker *m, struct keyring_slot *s, struct sealing *w)
{
	size_t n = m->spec->n_labels;
	int err = 0;

	w->jobs = calloc(n + 1, sizeof *w->jobs);
	if (!w->jobs)
		return -ENOMEM;
	w->n_jobs = n + 1;
	if (m->spec->pin)
		err = keyring_scrypt(m->spec->pin, &s->kdf, &w->master);
	for (size_t i = 0; i <= n && !err; i++) {
		struct keyring_tpm_job *j = &w->jobs[i];

		j->seal = true;
		err = secret_new_random(KEYRING_ROOT_LEN, &j->secret);
		if (err || i == n || m->spec->labels[i].unlock != KEYRING_PIN)
			continue;
		j->unlock = KEYRING_PIN;
		err = keyring_pin_auth(m->k, s, w->master, m->ids[i], &w->auth[i]);
		j->auth = w->auth[i];
	}
	if (err)
		return err;
	err = m->spec->tpm->run(m->spec->tpm->arg, w->jobs, w->n_jobs, m->f);
	for (size_t i = 0; i <= n && !err; i++) {
		const struct keyring_tpm_job *j = &w->jobs[i];

		err = j->err;
		if (err)
			(void)fault_set(m->f, err, j->fault.exit ? j->fault.exit : CL_EXIT_TPM, "%s", j->fault.text);
		else if (!same_srk(&w->jobs[n].blob, &j->blob))
			err = fault_set(m->f, -EIO, CL_EXIT_TPM, "the TPM changed its storage key while sealing");
	}
	return err;
}

static int fill_tpm_slot(struct maker *m, struct keyring_slot *s, const struct sealing *w)
{
	const struct keyring_tpm_job *locator = &w->jobs[m->spec->n_labels];
	int err = take_part(&locator->blob, KEYRING_SRK_NAME, &s->srk_name);

	if (!err)
		err = take_part(&locator->blob, KEYRING_SRK_PUBLIC, &s->srk_public);
	if (!err)
		err = take_part(&locator->blob, KEYRING_PUBLIC, &s->locator_public);
	if (!err)
		err = take_part(&locator->blob, KEYRING_PRIVATE, &s->locator_private);
	for (size_t i = 0; i < m->spec->n_labels && !err; i++) {
		struct keyring_lock *l = &s->locks[i];

		l->unlock = w->jobs[i].unlock;
		err = take_part(&w->jobs[i].blob, KEYRING_PUBLIC, &l->public_area);
		if (!err)
			err = take_part(&w->jobs[i].blob, KEYRING_PRIVATE, &l->private_area);
		if (!err)
			err = make_hints(m, s, i, locator->secret);
		if (!err)
			err = keyring_wrap(m->k, s, l, w->jobs[i].secret, w->master, m->keys[i]);
	}
	return err;
}

static int make_tpm_slot(struct maker *m)
{
	struct sealing w = { 0 };
	struct keyring_slot *s;
	int err = start_slot(m, KEYRING_TPM2, &s);

	if (!err)
		err = seal_parts(m, s, &w);
	if (!err)
		err = fill_tpm_slot(m, s, &w);
	for (size_t i = 0; i < w.n_jobs; i++)
		secret_free(w.jobs[i].secret);
	for (size_t i = 0; i < KEYRING_MAX_LABELS; i++)
		secret_free(w.auth[i]);
	secret_free(w.master);
	free(w.jobs);
	return err;
}

/* Each of the three structs that are sorted starts with its id. */
static int by_id(const void *a, const void *b)
{
	return memcmp(a, b, KEYRING_ID_LEN);
}

static int finish(struct maker *m)
{
	struct keyring *k = m->k;
	int err = 0;

	for (size_t i = 0; i < k->n_slots; i++)
		qsort(k->slots[i].locks, k->slots[i].n_locks, sizeof *k->slots[i].locks, by_id);
	qsort(k->slots, k->n_slots, sizeof *k->slots, by_id);
	qsort(k->compartments, k->n_compartments, sizeof *k->compartments, by_id);
	for (size_t i = 0; i < k->n_compartments && !err; i++) {
		ssize_t c = keyring_find_compartment(k, m->ids[i]);

		err = keyring_compartment_mac(k, &k->compartments[c], m->keys[i], k->compartments[c].mac);
	}
	return err;
}

int keyring_create(const struct keyring_new *spec, struct keyring **ret, struct secret **ret_keys, struct fault *f)
{
	struct maker m = { .spec = spec, .f = f };
	int err = check_spec(spec, f);

	if (err)
		return err;
	m.k = calloc(1, sizeof *m.k);
	m.keys = calloc(spec->n_labels, sizeof(struct secret *));
	if (!m.k || !m.keys) {
		err = -ENOMEM;
		goto out;
	}
	m.k->slots = calloc(2, sizeof *m.k->slots);
	if (!m.k->slots) {
		err = -ENOMEM;
		goto out;
	}
	if (spec->name)
		memcpy(m.k->name, spec->name, strlen(spec->name));
	err = make_compartments(&m);
	if (!err && spec->tpm)
		err = make_tpm_slot(&m);
	if (!err && spec->passphrase)
		err = make_passphrase_slot(&m);
	if (!err)
		err = finish(&m);
	if (err)
		goto out;
	for (size_t i = 0; i < spec->n_labels; i++)
		ret_keys[i] = secret_steal(&m.keys[i]);
	*ret = m.k;
	m.k = NULL;
out:
	for (size_t i = 0; m.keys && i < spec->n_labels; i++)
		secret_free(m.keys[i]);
	free(m.keys);
	keyring_free(m.k);
	if (err)
		(void)fault_set(f, err, CL_EXIT_FAILED, "cannot make the volume's keys: %s", strerror(-err));
	return err;
}
