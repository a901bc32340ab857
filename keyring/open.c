/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * From an offer to label keys, slot by slot: tpm2 slots first, passphrase slots for what is left. The stretching of a
 * passphrase costs a third of a second and 128 MiB, so it is done only when a tpm2 slot did not do.
 */
#include "keyring/model.h"

#include "common/bytes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * A TPM counts wrong PINs for all its objects together and locks up. So the PIN is tried on one lock until it fitted
 * somewhere, and no more often than this in one attempt.
 */
#define PIN_TRIES 3u

/* How much a reason tells the user, of several. */
static int weight(const struct keyring_way *w, int err)
{
	if (err && w->idle)
		return 1;
	switch (-err) {
	case EBADMSG:
	case EUCLEAN:
		return 8;
	case EKEYREJECTED:
		return 7;
	case EBUSY:
		return 6;
	case ENOENT:
		return 5;
	case ENOKEY:
		return 3;
	case ENODEV:
		return 2;
	case 0:
		return 0;
	default:
		return 4;
	}
}

/* Notes why a way did not help, unless it has a more telling reason. */
static void way_fails(struct keyring_way *w, int err, int exit, const char *why)
{
	char id[9];

	if (weight(w, err) < weight(w, w->err))
		return;
	bytes_to_hex(w->s->id, 4, id);
	w->err = err;
	w->why = (struct fault){ 0 };
	(void)fault_set(&w->why, err, exit ? exit : CL_EXIT_KEY, "key slot %s (%s): %s", id,
			w->s->type == KEYRING_TPM2 ? "tpm2" : "passphrase", why[0] ? why : strerror(-err));
}

static void opening_job(const struct keyring_slot *s, const struct keyring_part *public_area,
			const struct keyring_part *private_area, struct keyring_tpm_job *j)
{
	const struct keyring_part *parts[] = { [KEYRING_SRK_NAME] = &s->srk_name,
					       [KEYRING_SRK_PUBLIC] = &s->srk_public,
					       [KEYRING_PUBLIC] = public_area,
					       [KEYRING_PRIVATE] = private_area };

	*j = (struct keyring_tpm_job){ 0 };
	for (unsigned i = 0; i < CL_ARRAY_LEN(parts); i++) {
		j->blob.len[i] = parts[i]->len;
		memcpy(j->blob.bytes[i], parts[i]->bytes, parts[i]->len);
	}
}

void keyring_opening_start(struct keyring_opening *o, const struct keyring *k, const struct keyring_offer *offer)
{
	struct keyring_tpm_job *jobs;
	struct fault why = { 0 };
	size_t n = 0, at = 0;
	int err = 0;

	memset(o, 0, sizeof *o);
	o->k = k;
	o->offer = offer;
	for (size_t i = 0; i < k->n_slots; i++) {
		struct keyring_way *w = &o->ways[i];

		w->s = &k->slots[i];
		w->tried = w->s->type == KEYRING_TPM2;
		n += w->tried;
		if (w->tried && !offer->tpm)
			way_fails(w, -ENODEV, CL_EXIT_KEY, "needs the TPM that it was made with, and no TPM is in use");
	}
	if (!n || !offer->tpm)
		return;
	jobs = calloc(n, sizeof *jobs);
	if (!jobs)
		err = -ENOMEM;
	for (size_t i = 0; jobs && i < k->n_slots; i++)
		if (k->slots[i].type == KEYRING_TPM2)
			opening_job(&k->slots[i], &k->slots[i].locator_public, &k->slots[i].locator_private,
				    &jobs[at++]);
	if (!err)
		err = offer->tpm->run(offer->tpm->arg, jobs, n, &why);
	at = 0;
	for (size_t i = 0; i < k->n_slots; i++) {
		struct keyring_way *w = &o->ways[i];
		struct keyring_tpm_job *j;

		if (w->s->type != KEYRING_TPM2)
			continue;
		j = jobs ? &jobs[at++] : NULL;
		if (err)
			way_fails(w, err, why.exit, why.text);
		else if (j && j->err)
			way_fails(w, j->err, j->fault.exit, j->fault.text);
		else if (j && j->secret && secret_len(j->secret) == KEYRING_ROOT_LEN)
			w->finder = secret_steal(&j->secret);
		else
			way_fails(w, -EBADMSG, CL_EXIT_INTEGRITY, "its locator does not hold what was sealed");
		if (j)
			secret_free(j->secret);
	}
	free(jobs);
}

void keyring_opening_done(struct keyring_opening *o)
{
	for (size_t i = 0; i < KEYRING_MAX_SLOTS; i++) {
		secret_free(o->ways[i].finder);
		secret_free(o->ways[i].master);
	}
	for (size_t i = 0; i < KEYRING_MAX_LABELS; i++)
		secret_free(o->lk[i]);
	memset(o, 0, sizeof *o);
}

/* Makes the finder of a passphrase slot, once. */
static void try_passphrase(struct keyring_opening *o, struct keyring_way *w)
{
	struct secret *CL_CLEANUP(secret_freep) p = NULL;
	uint8_t check[KEYRING_HINT_LEN];
	int err;

	if (w->tried)
		return;
	w->tried = true;
	if (!o->offer->passphrase) {
		w->idle = true;
		way_fails(w, -ENOKEY, CL_EXIT_KEY, "no passphrase was given");
		return;
	}
	if (secret_len(o->offer->passphrase) < KEYRING_PASSPHRASE_MIN) {
		way_fails(w, -EKEYREJECTED, CL_EXIT_KEY, "the passphrase is wrong");
		return;
	}
	err = keyring_scrypt(o->offer->passphrase, &w->s->kdf, &p);
	if (!err)
		err = keyring_check(o->k, w->s, p, check);
	if (err)
		way_fails(w, err, CL_EXIT_FAILED, "");
	else if (!secret_equal(check, w->s->check, sizeof check))
		way_fails(w, -EKEYREJECTED, CL_EXIT_KEY, "the passphrase is wrong");
	else
		w->finder = secret_steal(&p);
}

/* Index of the compartment whose lock in this slot bears the label's hint, or -1. */
static ssize_t find_in(struct keyring_opening *o, struct keyring_way *w, const char *label)
{
	for (size_t i = 0; i < w->s->n_locks; i++) {
		const struct keyring_lock *l = &w->s->locks[i];
		uint8_t hint[KEYRING_HINT_LEN];
		int err = keyring_hint(o->k, w->s, w->finder, l->compartment, label, hint);

		if (err) {
			way_fails(w, err, CL_EXIT_FAILED, "");
			return -1;
		}
		if (secret_equal(hint, label ? l->hint : l->lowest, sizeof hint))
			return keyring_find_compartment(o->k, l->compartment);
	}
	way_fails(w, -ENOENT, CL_EXIT_POLICY, label ? "it opens no such label" : "it does not open the lowest label");
	return -1;
}

ssize_t keyring_opening_find(struct keyring_opening *o, const char *label)
{
	static const enum keyring_slot_type order[] = { KEYRING_TPM2, KEYRING_PASSPHRASE };
	ssize_t found = -1;

	for (size_t t = 0; t < CL_ARRAY_LEN(order) && found < 0; t++)
		for (size_t i = 0; i < o->k->n_slots && found < 0; i++) {
			struct keyring_way *w = &o->ways[i];

			if (w->s->type != order[t])
				continue;
			try_passphrase(o, w);
			if (w->finder)
				found = find_in(o, w, label);
		}
	/* Some slot knows it: that others do not is no reason any more. */
	for (size_t i = 0; found >= 0 && i < o->k->n_slots; i++)
		if (o->ways[i].err == -ENOENT)
			o->ways[i].err = 0;
	return found;
}

/* Whether the PIN may be tried on one more lock; if not, why is noted. */
static bool pin_ready(struct keyring_opening *o, struct keyring_way *w)
{
	const struct secret *pin = o->offer->pin;
	int err;

	if (w->err == -EBUSY || w->refused >= (w->accepted ? PIN_TRIES : 1u))
		return false;
	if (!pin) {
		way_fails(w, -ENOKEY, CL_EXIT_KEY, "needs a PIN, and none was given");
		return false;
	}
	if (secret_len(pin) < KEYRING_PIN_MIN || secret_len(pin) > KEYRING_PIN_MAX) {
		way_fails(w, -EKEYREJECTED, CL_EXIT_KEY,
			  "the PIN is wrong (a PIN has 4 to 128 bytes; it was not tried)");
		return false;
	}
	if (w->master)
		return true;
	err = keyring_scrypt(pin, &w->s->kdf, &w->master);
	if (err)
		way_fails(w, err, CL_EXIT_FAILED, "");
	return !err;
}

/* Locks that one run tries. */
struct batch {
	struct keyring_tpm_job jobs[KEYRING_MAX_LABELS];
	struct secret *auth[KEYRING_MAX_LABELS];
	size_t lock[KEYRING_MAX_LABELS];
	size_t n;
};

static void collect(struct keyring_opening *o, struct keyring_way *w, const bool *want, bool *tried, struct batch *b)
{
	bool pin_in = false;

	b->n = 0;
	for (size_t i = 0; i < w->s->n_locks; i++) {
		const struct keyring_lock *l = &w->s->locks[i];
		size_t c = (size_t)keyring_find_compartment(o->k, l->compartment);
		struct keyring_tpm_job *j = &b->jobs[b->n];
		bool pin = l->unlock == KEYRING_PIN;

		if (tried[i] || !want[c] || o->lk[c] || (pin && pin_in && !w->accepted))
			continue;
		tried[i] = true;
		if (pin && !pin_ready(o, w))
			continue;
		pin_in |= pin;
		opening_job(w->s, &l->public_area, &l->private_area, j);
		j->unlock = l->unlock;
		b->auth[b->n] = NULL;
		if (pin) {
			int err = keyring_pin_auth(o->k, w->s, w->master, l->compartment, &b->auth[b->n]);

			if (err) {
				way_fails(w, err, CL_EXIT_FAILED, "");
				continue;
			}
			j->auth = b->auth[b->n];
		}
		b->lock[b->n++] = i;
	}
}

static void use_part(struct keyring_opening *o, struct keyring_way *w, const struct keyring_lock *l,
		     const struct secret *part)
{
	size_t c = (size_t)keyring_find_compartment(o->k, l->compartment);
	int err = part ? keyring_unwrap(o->k, w->s, l, part, w->master, &o->lk[c]) : -EBADMSG;

	if (err == -EBADMSG)
		way_fails(w, err, CL_EXIT_INTEGRITY,
			  "a wrapped key in it does not authenticate: the header was damaged or changed");
	else if (err)
		way_fails(w, err, CL_EXIT_FAILED, "");
}

static void unwrap_tpm(struct keyring_opening *o, struct keyring_way *w, const bool *want)
{
	bool tried[KEYRING_MAX_LABELS] = { false };
	struct batch *b = calloc(1, sizeof *b);

	if (!b) {
		way_fails(w, -ENOMEM, CL_EXIT_FAILED, "");
		return;
	}
	for (collect(o, w, want, tried, b); b->n; collect(o, w, want, tried, b)) {
		struct fault why = { 0 };
		int err = o->offer->tpm->run(o->offer->tpm->arg, b->jobs, b->n, &why);

		if (err)
			way_fails(w, err, why.exit, why.text);
		for (size_t i = 0; i < b->n; i++) {
			struct keyring_tpm_job *j = &b->jobs[i];

			if (!err && j->err)
				way_fails(w, j->err, j->fault.exit, j->fault.text);
			else if (!err)
				use_part(o, w, &w->s->locks[b->lock[i]], j->secret);
			w->accepted |= !err && !j->err && j->unlock == KEYRING_PIN;
			w->refused += !err && j->err == -EKEYREJECTED;
			secret_free(j->secret);
			secret_free(b->auth[i]);
		}
	}
	free(b);
}

static void unwrap_passphrase(struct keyring_opening *o, struct keyring_way *w, const bool *want)
{
	for (size_t i = 0; i < w->s->n_locks; i++) {
		size_t c = (size_t)keyring_find_compartment(o->k, w->s->locks[i].compartment);

		if (!want[c] || o->lk[c])
			continue;
		try_passphrase(o, w);
		if (!w->finder)
			return;
		use_part(o, w, &w->s->locks[i], w->finder);
	}
}

void keyring_opening_unwrap(struct keyring_opening *o, const bool want[static KEYRING_MAX_LABELS])
{
	for (size_t i = 0; i < o->k->n_slots; i++)
		if (o->ways[i].s->type == KEYRING_TPM2 && o->ways[i].finder)
			unwrap_tpm(o, &o->ways[i], want);
	for (size_t i = 0; i < o->k->n_slots; i++)
		if (o->ways[i].s->type == KEYRING_PASSPHRASE)
			unwrap_passphrase(o, &o->ways[i], want);
}

int keyring_opening_error(const struct keyring_opening *o, struct fault *f)
{
	const struct keyring_way *best = NULL;
	char text[sizeof f->text];
	size_t len;

	for (size_t i = 0; i < o->k->n_slots; i++)
		if (o->ways[i].err && (!best || weight(&o->ways[i], o->ways[i].err) > weight(best, best->err)))
			best = &o->ways[i];
	if (!best)
		return fault_set(f, -ENOKEY, CL_EXIT_KEY, "no key slot of this volume opens this label");
	len = (size_t)snprintf(text, sizeof text, "%s%s",
			       best->err == -ENOENT ? "no such label for the keys offered: " : "", best->why.text);
	for (size_t i = 0; i < o->k->n_slots && len < sizeof text; i++)
		if (o->ways[i].err && &o->ways[i] != best)
			len += (size_t)snprintf(text + len, sizeof text - len, "; %s", o->ways[i].why.text);
	return fault_set(f, best->err, best->why.exit, "%s", text);
}
