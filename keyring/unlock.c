/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Unlocking a label and those below it. Three TPM runs: locators; the label asked for; those below, which only its own
 * record tells (and a wrong PIN then costs one of the TPM's tries, not one for each label).
 */
#include "keyring/model.h"

#include "common/bytes.h"
#include "common/log.h"

#include <stdlib.h>
#include <string.h>

void keyring_unlocked_free(struct keyring_unlocked *u, size_t n)
{
	if (!u)
		return;
	for (size_t i = 0; i < n; i++)
		secret_free(u[i].key);
	secret_wipe(u, n * sizeof *u);
	free(u);
}

static int not_authentic(const struct keyring_compartment *c, const char *why, struct fault *f)
{
	char id[9];

	bytes_to_hex(c->id, 4, id);
	return fault_set(
		f, -EBADMSG, CL_EXIT_INTEGRITY,
		"volume.json: compartment %s %s: the header was damaged or changed; restore volume.json from a copy",
		id, why);
}

/* What one attempt gave. */
struct result {
	struct keyring_unlocked *u; /* owned */
	size_t n;
	bool pin_spent; /* the TPM counted a wrong PIN, or is locked up */
	bool damaged;   /* something did not authenticate */
	struct fault why;
};

/* Compartment c, whose key is unwrapped: nothing of its record is looked at before the MAC is verified. */
static int verify(struct keyring_opening *o, size_t c, struct keyring_unlocked *ret, struct fault *f)
{
	const struct keyring_compartment *comp = &o->k->compartments[c];
	uint8_t mac[KEYRING_MAC_LEN];
	int err = keyring_compartment_mac(o->k, comp, o->lk[c], mac);

	if (err)
		return fault_set(f, err, CL_EXIT_FAILED, "cannot verify volume.json: %s", strerror(-err));
	if (!secret_equal(mac, comp->mac, sizeof mac))
		return not_authentic(comp, "has a wrong MAC", f);
	err = keyring_record_open(o->k, comp, o->lk[c], &ret->label);
	if (err == -EBADMSG || err == -EUCLEAN)
		return not_authentic(comp, "has a bad label record", f);
	if (err)
		return fault_set(f, err, CL_EXIT_FAILED, "cannot open a label record: %s", strerror(-err));
	ret->key = secret_steal(&o->lk[c]);
	return 0;
}

/* Those below the label that u[n - 1] holds, to u[0 .. n - 2]. */
static int unlock_below(struct keyring_opening *o, struct keyring_unlocked *u, size_t n, struct fault *f)
{
	const struct keyring_label *top = &u[n - 1].label;
	bool want[KEYRING_MAX_LABELS] = { false };
	int err = 0;

	if (n == 1)
		return 0;
	for (size_t i = 0; i + 1 < n; i++)
		want[keyring_find_compartment(o->k, top->below[i])] = true;
	keyring_opening_unwrap(o, want);
	for (size_t i = 0; i + 1 < n && !err; i++) {
		size_t c = (size_t)keyring_find_compartment(o->k, top->below[i]);

		if (!o->lk[c])
			return fault_wrap(f, keyring_opening_error(o, f), CL_EXIT_KEY,
					  "a label below the one asked for stays shut");
		err = verify(o, c, &u[i], f);
		if (!err && (u[i].label.rank >= top->rank || (i && u[i].label.rank <= u[i - 1].label.rank)))
			err = not_authentic(&o->k->compartments[c], "has a rank that does not fit", f);
	}
	return err;
}

static int unlock_label(struct keyring_opening *o, const char *label, struct result *ret)
{
	struct keyring_unlocked top = { 0 };
	bool want[KEYRING_MAX_LABELS] = { false };
	ssize_t c = keyring_opening_find(o, label);
	int err;

	if (c < 0)
		return keyring_opening_error(o, &ret->why);
	want[c] = true;
	keyring_opening_unwrap(o, want);
	if (!o->lk[c])
		return keyring_opening_error(o, &ret->why);
	err = verify(o, (size_t)c, &top, &ret->why);
	if (err)
		return err;
	ret->u = calloc((size_t)top.label.n_below + 1, sizeof *ret->u);
	if (!ret->u) {
		secret_free(top.key);
		return -ENOMEM;
	}
	ret->n = (size_t)top.label.n_below + 1;
	ret->u[ret->n - 1] = top;
	secret_wipe(&top, sizeof top);
	return unlock_below(o, ret->u, ret->n, &ret->why);
}

static int by_rank(const void *a, const void *b)
{
	const struct keyring_unlocked *x = a, *y = b;

	return (int)x->label.rank - (int)y->label.rank;
}

/* Damage to one compartment's part of the header costs that compartment alone. */
static int unlock_all(struct keyring_opening *o, struct result *ret)
{
	bool want[KEYRING_MAX_LABELS];
	int err = 0;

	memset(want, true, sizeof want);
	keyring_opening_unwrap(o, want);
	/* What was not opened because memory is out is not left out as if there was no way in. */
	for (size_t i = 0; i < o->k->n_slots; i++)
		if (o->ways[i].err == -ENOMEM)
			return fault_set(&ret->why, -ENOMEM, CL_EXIT_FAILED, "%s", o->ways[i].why.text);
	ret->u = calloc(o->k->n_compartments, sizeof *ret->u);
	if (!ret->u)
		return -ENOMEM;
	for (size_t c = 0; c < o->k->n_compartments; c++) {
		struct fault why = { 0 };

		if (!o->lk[c])
			continue;
		err = verify(o, c, &ret->u[ret->n], &why);
		if (err && err != -EBADMSG)
			return fault_set(&ret->why, err, why.exit, "%s", why.text);
		ret->n += !err;
		if (err) {
			log_err("%s", why.text);
			ret->damaged = true;
			(void)fault_set(&ret->why, err, why.exit, "%s", why.text);
		}
	}
	if (!ret->n)
		return ret->damaged ? -EBADMSG : keyring_opening_error(o, &ret->why);
	qsort(ret->u, ret->n, sizeof *ret->u, by_rank);
	for (size_t i = 1; i < ret->n; i++)
		if (ret->u[i].label.rank == ret->u[i - 1].label.rank)
			return fault_set(&ret->why, -EBADMSG, CL_EXIT_INTEGRITY,
					 "volume.json: two labels have the same rank");
	return 0;
}

/* The slots that were tried in vain although another one did it: worth a line, as they may be lost. */
static void report_ways(const struct keyring_opening *o)
{
	for (size_t i = 0; i < o->k->n_slots; i++) {
		const struct keyring_way *w = &o->ways[i];

		if (w->err && (w->s->type == KEYRING_TPM2 ? o->offer->tpm != NULL : o->offer->passphrase != NULL))
			log_warn("%s; what other key slots open is open", w->why.text);
	}
}

/* What is asked for: all labels, or one (NULL: the lowest). */
struct request {
	bool all;
	const char *label;
};

/* One attempt with one copy of the header. */
static int attempt(const struct keyring *k, const struct keyring_offer *offer, const struct request *req,
		   struct result *ret)
{
	struct keyring_opening o;
	int err;

	*ret = (struct result){ 0 };
	keyring_opening_start(&o, k, offer);
	err = req->all ? unlock_all(&o, ret) : unlock_label(&o, req->label, ret);
	for (size_t i = 0; i < k->n_slots; i++) {
		ret->pin_spent |= o.ways[i].refused || o.ways[i].err == -EBUSY;
		ret->damaged |= o.ways[i].err == -EBADMSG;
		if (o.ways[i].err == -EBADMSG && !err)
			(void)fault_set(&ret->why, -EBADMSG, CL_EXIT_INTEGRITY, "%s", o.ways[i].why.text);
	}
	if (!err)
		report_ways(&o);
	keyring_opening_done(&o);
	if (!err)
		return 0;
	keyring_unlocked_free(ret->u, ret->n);
	ret->u = NULL;
	ret->n = 0;
	return fault_set(&ret->why, err, CL_EXIT_FAILED, "cannot unlock: %s", strerror(-err));
}

/*
 * Whether the other copy of the header may know better. Flipped bits in well-formed JSON show up only here: as a MAC
 * that does not verify, a hint that is not found, a blob that the TPM does not take for its own, a passphrase that
 * seems wrong. Not when a wrong PIN was counted: the second copy would cost a second try.
 */
static bool spare_may_help(const struct keyring *k, int err, const struct result *r)
{
	if (!k->spare || r->pin_spent)
		return false;
	return err == -EBADMSG || err == -EUCLEAN || err == -ENOENT || err == -ENOKEY || err == -EKEYREJECTED ||
	       (!err && r->damaged);
}

static int unlock(const struct keyring *k, const struct keyring_offer *offer, const struct request *req,
		  struct keyring_unlocked **ret, size_t *ret_n, struct fault *f)
{
	struct result first, second;
	int err = attempt(k, offer, req, &first);

	if (spare_may_help(k, err, &first)) {
		if (!attempt(k->spare, offer, req, &second) && second.n > first.n) {
			log_warn("%s; volume.json.bak is used instead",
				 first.why.text[0] ? first.why.text : "volume.json is damaged");
			keyring_unlocked_free(first.u, first.n);
			first = second;
			err = 0;
		} else {
			keyring_unlocked_free(second.u, second.n);
		}
	}
	if (err)
		return fault_set(f, err, first.why.exit, "%s", first.why.text);
	*ret = first.u;
	*ret_n = first.n;
	/* Some is open, and some is damaged: that is told as well. */
	if (req->all && first.damaged && first.why.text[0])
		(void)fault_set(f, -EBADMSG, first.why.exit, "%s", first.why.text);
	return 0;
}

int keyring_unlock(const struct keyring *k, const struct keyring_offer *offer, const char *label,
		   struct keyring_unlocked **ret, size_t *ret_n, struct fault *f)
{
	if (label && (!label[0] || strlen(label) > KEYRING_LABEL_MAX))
		return fault_set(f, -ENOENT, CL_EXIT_POLICY, "no such label: a label has 1 to %u bytes",
				 KEYRING_LABEL_MAX);
	return unlock(k, offer, &(struct request){ .label = label }, ret, ret_n, f);
}

int keyring_unlock_all(const struct keyring *k, const struct keyring_offer *offer, struct keyring_unlocked **ret,
		       size_t *ret_n, struct fault *f)
{
	return unlock(k, offer, &(struct request){ .all = true }, ret, ret_n, f);
}
