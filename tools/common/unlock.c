/* SPDX-License-Identifier: GPL-3.0-or-later */
/* From key options, files and prompts to an offer for the keyring. */
#include "tools/common/unlock.h"

#include "tools/common/opts.h"
#include "tools/common/prompt.h"
#include "tools/common/say.h"
#include "tools/common/tpm_join.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PIN_TRIES 3
#define PASSPHRASE_TRIES 3

int unlock_option(struct unlock_options *o, const char *name, const char *value, struct fault *f)
{
	const struct {
		const char *name;
		char **to;
	} known[] = {
		{ "label", &o->label },
		{ "tpm2", &o->tpm2 },
		{ "pin-file", &o->pin_file },
		{ "passphrase-file", &o->passphrase_file },
	};
	for (size_t i = 0; i < CL_ARRAY_LEN(known); i++) {
		if (strcmp(known[i].name, name))
			continue;
		if (!value || !*value)
			return fault_set(f, -EINVAL, CL_EXIT_USAGE, "option %s needs a value", name);
		char *copy = strdup(value);
		if (!copy)
			return fault_set(f, -ENOMEM, CL_EXIT_FAILED, "out of memory");
		free(*known[i].to); /* the last one counts: mount(8) puts the command line's behind those of fstab */
		*known[i].to = copy;
		return 1;
	}
	return 0;
}

void unlock_options_done(struct unlock_options *o)
{
	free(o->label);
	free(o->tpm2);
	free(o->pin_file);
	free(o->passphrase_file);
	*o = (struct unlock_options){ 0 };
}

static int read_file(const char *option, const char *path, size_t max, struct secret **ret, struct fault *f)
{
	if (!path)
		return 0;
	int err = secret_read_file(path, max, ret);
	if (err == -ENODATA)
		return fault_set(f, err, CL_EXIT_KEY, "%s: %s is empty", option, path);
	if (err == -EOVERFLOW)
		return fault_set(f, err, CL_EXIT_KEY, "%s: %s is longer than %zu bytes", option, path, max);
	if (err == -EPERM || err == -EAGAIN || err == -ENOMEM)
		return fault_set(f, err, CL_EXIT_FAILED,
				 "%s: no locked memory for key material: %s; raise the limit (ulimit -l)", option,
				 strerror(-err));
	if (err)
		return fault_set(f, err, CL_EXIT_KEY, "%s: cannot read %s: %s", option, path, strerror(-err));
	return 0;
}

static int find_tpm(struct unlock *u, const char *tpm2, struct fault *f)
{
	if (!tpm2 || !strcmp(tpm2, "auto")) {
		if (tpm_find(u->tcti))
			u->tcti[0] = '\0';
		return 0;
	}
	if (!strcmp(tpm2, "none"))
		return 0;
	int err = tpm_check_tcti(tpm2, f);
	if (err)
		return err;
	if (strlen(tpm2) >= sizeof u->tcti)
		return fault_set(f, -EINVAL, CL_EXIT_USAGE, "tpm2: longer than %zu bytes", sizeof u->tcti - 1);
	snprintf(u->tcti, sizeof u->tcti, "%s", tpm2);
	u->tpm_was_asked_for = true;
	return 0;
}

int unlock_init(struct unlock *u, const struct unlock_options *o, bool prompt, struct fault *f)
{
	const char *passphrase = o->passphrase_option ? o->passphrase_option : "passphrase-file";
	*u = (struct unlock){ .may_prompt = prompt && prompt_possible() };
	if (o->pin_file && o->passphrase_file && !strcmp(o->pin_file, "-") && !strcmp(o->passphrase_file, "-"))
		return fault_set(f, -EINVAL, CL_EXIT_USAGE,
				 "pin-file and %s cannot both be standard input", passphrase);
	int err = find_tpm(u, o->tpm2, f);
	if (!err)
		err = read_file("pin-file", o->pin_file, UNLOCK_PIN_MAX, &u->pin, f);
	if (!err)
		err = read_file(passphrase, o->passphrase_file, UNLOCK_PASSPHRASE_MAX, &u->passphrase, f);
	if (err) {
		unlock_done(u);
		return err;
	}
	u->tpm = (struct keyring_tpm){ .run = tpm_join_run, .arg = u->tcti };
	return 0;
}

void unlock_done(struct unlock *u)
{
	secret_free(u->pin);
	secret_free(u->passphrase);
	u->pin = NULL;
	u->passphrase = NULL;
}

const struct keyring_tpm *unlock_tpm(const struct unlock *u)
{
	return u->tcti[0] ? &u->tpm : NULL;
}

/* What is to be opened: one label with those below it, or all that can be. */
struct wanted {
	const struct keyring *k;
	const char *label;
	bool all;
	struct keyring_unlocked **ret;
	size_t *ret_n;
};

static int try(struct unlock *u, const struct wanted *w, struct fault *f)
{
	const struct keyring_offer offer = { .tpm = unlock_tpm(u), .pin = u->pin, .passphrase = u->passphrase };
	*f = (struct fault){ 0 };
	if (w->all)
		return keyring_unlock_all(w->k, &offer, w->ret, w->ret_n, f);
	return keyring_unlock(w->k, &offer, w->label, w->ret, w->ret_n, f);
}

struct ways {
	bool pin, passphrase, tpm2;
};

static struct ways ways_of(const struct keyring *k)
{
	struct ways w = { 0 };
	for (size_t i = 0; i < keyring_n_slots(k); i++) {
		struct keyring_slot_info s;
		if (keyring_slot(k, i, &s))
			continue;
		w.tpm2 |= s.is_tpm2;
		w.pin |= s.is_tpm2 && s.n_pin;
		w.passphrase |= !s.is_tpm2;
	}
	return w;
}

/* Trouble that another key could mend; a damaged header or no memory is none. */
static bool is_key_trouble(int err)
{
	switch (err) {
	case -ENOENT:
	case -ENOKEY:
	case -EKEYREJECTED:
	case -EBUSY:
	case -ENODEV:
	case -EACCES:
	case -EAGAIN:
	case -ETIMEDOUT:
	case -EIO:
		return true;
	default:
		return false;
	}
}

/* Tells what a wrong PIN would cost before it is asked for. */
static void tell_tries(const struct unlock *u)
{
	struct tpm_status st;
	struct fault f = { 0 };
	if (tpm_get_status(u->tcti, &st, &f))
		return;
	if (st.in_lockout)
		say("the TPM is locked after too many wrong PINs; it gives back one try every %u seconds",
		    st.recovery_seconds);
	else if (st.tries_max > st.tries_used)
		say("%u %s left before the TPM locks", st.tries_max - st.tries_used,
		    st.tries_max - st.tries_used == 1 ? "try" : "tries");
}

static int ask_pin(struct unlock *u, const struct wanted *w, int err, struct fault *f)
{
	for (int i = 0; i < PIN_TRIES && is_key_trouble(err); i++) {
		if (i && err != -EKEYREJECTED)
			break;
		if (i)
			say("%s", f->text);
		tell_tries(u);
		struct secret *pin = NULL;
		int got = prompt_secret("PIN (empty: none): ", UNLOCK_PIN_MAX, &pin);
		if (got == -ENODATA)
			break;
		if (got) {
			*f = (struct fault){ 0 };
			return fault_set(f, got, CL_EXIT_KEY, "no PIN was read: %s", strerror(-got));
		}
		secret_free(u->pin);
		u->pin = pin;
		err = try(u, w, f);
	}
	return err;
}

static int ask_passphrase(struct unlock *u, const struct wanted *w, int err, struct fault *f)
{
	if (err == -EKEYREJECTED) { /* the TPM counts each try of a wrong PIN */
		secret_free(u->pin);
		u->pin = NULL;
	}
	for (int i = 0; i < PASSPHRASE_TRIES && is_key_trouble(err); i++) {
		if (i && err != -EKEYREJECTED)
			break;
		if (i || u->tcti[0]) /* why the TPM did not do, or that the last one was wrong */
			say("%s", f->text);
		struct secret *p = NULL;
		int got = prompt_secret("Passphrase (empty: none): ", UNLOCK_PASSPHRASE_MAX, &p);
		if (got == -ENODATA)
			break;
		if (got) {
			*f = (struct fault){ 0 };
			return fault_set(f, got, CL_EXIT_KEY, "no passphrase was read: %s", strerror(-got));
		}
		secret_free(u->passphrase);
		u->passphrase = p;
		err = try(u, w, f);
	}
	return err;
}

/* The keyring knows what failed; which option would have helped is known here. */
static void add_hint(const struct unlock *u, const struct ways *ways, struct fault *f)
{
	bool tpm = ways->tpm2 && !u->tcti[0];
	bool pin = ways->pin && !u->pin;
	bool passphrase = ways->passphrase && !u->passphrase;
	size_t n = strlen(f->text);
	if (n && (tpm || pin || passphrase))
		snprintf(f->text + n, sizeof f->text - n, " (not given:%s%s%s)", tpm ? " tpm2" : "",
			 pin ? " pin-file" : "", passphrase ? " passphrase-file" : "");
}

static int run(struct unlock *u, const struct wanted *w, struct fault *f)
{
	struct fault mine = { 0 };
	const struct ways ways = ways_of(w->k);
	int err = try(u, w, &mine);
	if (err && u->may_prompt && is_key_trouble(err) && ways.pin && u->tcti[0] && !u->pin)
		err = ask_pin(u, w, err, &mine);
	if (err && u->may_prompt && is_key_trouble(err) && ways.passphrase && !u->passphrase)
		err = ask_passphrase(u, w, err, &mine);
	if (!err) {
		if (f && w->all && mine.text[0])
			*f = mine;
		return 0;
	}
	if (is_key_trouble(err))
		add_hint(u, &ways, &mine);
	if (f)
		*f = mine;
	return err;
}

int unlock_label(struct unlock *u, const struct keyring *k, const char *label, struct keyring_unlocked **ret,
		 size_t *ret_n, struct fault *f)
{
	const struct wanted w = { .k = k, .label = label, .ret = ret, .ret_n = ret_n };
	return run(u, &w, f);
}

int unlock_all(struct unlock *u, const struct keyring *k, struct keyring_unlocked **ret, size_t *ret_n, struct fault *f)
{
	const struct wanted w = { .k = k, .all = true, .ret = ret, .ret_n = ret_n };
	return run(u, &w, f);
}
