/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Fuzz target: labels. Input: what[1], then text: the arguments of --label, separated by newlines (what even); or
 * what is sealed for a label in the header (odd): changes to a good record, from 0x80 on the record itself.
 */
#include "tests/fuzz/fuzz.h"

#include "keyring/model.h"
#include "tools/common/label_spec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_text(const char *s)
{
	return keyring_text_ok(s, strlen(s));
}

/* What mkfs.cloison gives to keyring_create: it takes it, or says what is wrong. */
static void create(const struct label_spec_list *l)
{
	struct keyring_new_label *labels = calloc(l->n, sizeof *labels);
	char pass[] = "correct horse";
	struct secret *passphrase, **keys = calloc(l->n, sizeof(*keys));
	struct keyring_new spec = { .labels = labels, .n_labels = l->n, .scrypt_log2_n = 10 };
	struct keyring *k;
	struct fault f = { 0 };
	bool sound = true;

	FUZZ_CHECK(labels && keys, "out of memory");
	FUZZ_OK(secret_new_take(pass, sizeof pass - 1, &passphrase));
	spec.passphrase = passphrase;
	for (size_t i = 0; i < l->n; i++) {
		labels[i] = (struct keyring_new_label){ l->v[i].text, l->v[i].dir, KEYRING_HOST };
		sound &= is_text(l->v[i].text) && (!l->v[i].dir || is_text(l->v[i].dir));
	}
	int err = keyring_create(&spec, &k, keys, &f);
	FUZZ_ERROR(err, -EINVAL);
	FUZZ_CHECK(!err == sound, "%s: %s", sound ? "sound labels are refused" : "what is no text is taken", f.text);
	if (err) {
		fuzz_check_fault(&f, err);
	} else {
		for (size_t i = 0; i < l->n; i++)
			secret_free(keys[i]);
		keyring_free(k);
	}
	secret_free(passphrase);
	free(labels);
	free(keys);
}

static void check_list(const struct label_spec_list *l)
{
	FUZZ_CHECK(l->n >= 1 && l->n <= KEYRING_MAX_LABELS, "%zu labels", l->n);
	for (size_t i = 0; i < l->n; i++) {
		const struct label_spec *s = &l->v[i];
		FUZZ_CHECK(*s->text && strlen(s->text) <= KEYRING_LABEL_MAX, "length of a label");
		FUZZ_CHECK(!s->dir == !i, "gate of label %zu", i);
		if (!i)
			continue;
		FUZZ_CHECK(*s->dir && strlen(s->dir) <= KEYRING_DIR_MAX && !strchr(s->dir, '/'), "gate: %s", s->dir);
		FUZZ_CHECK(strcmp(s->dir, ".") && strcmp(s->dir, ".."), "gate: %s", s->dir);
		for (size_t j = 1; j < i; j++)
			FUZZ_CHECK(strcmp(s->dir, l->v[j].dir), "two gates %s", s->dir);
		for (size_t j = 0; j < i; j++)
			FUZZ_CHECK(strcmp(s->text, l->v[j].text), "two labels %s", s->text);
	}
}

static void arguments(char *text)
{
	struct label_spec_list l = { 0 };
	struct fault f = { 0 };
	char *save = NULL;
	int err = 0;

	for (char *a = strtok_r(text, "\n", &save); a && !err; a = strtok_r(NULL, "\n", &save))
		err = label_spec_add(&l, a, &f);
	if (!err)
		err = label_spec_finish(&l, &f);
	FUZZ_ERROR(err, -EINVAL);
	if (err) {
		fuzz_check_fault(&f, err);
	} else {
		check_list(&l);
		(void)label_spec_needs_pin(&l);
		if (l.n <= 4)
			create(&l);
	}
	label_spec_done(&l);
}

/* A header of two compartments, as far as a record needs it. */
static void record(uint8_t what, struct fuzz_in *in)
{
	struct keyring_compartment c[2] = { { .id = { 1 } }, { .id = { 2 } } };
	struct keyring k = { .uuid = { 9 }, .compartments = c, .n_compartments = 2 };
	struct keyring_label good = { .rank = 1,
				      .text = "SECRET//X",
				      .dir = "secret",
				      .n_below = 1,
				      .below = { { 1 } } },
			     ret, again;
	uint8_t plain[KEYRING_RECORD_LEN] = { 0 }, key[KEYRING_KEY_LEN], lk_bytes[32] = { 7 };
	struct keyring_aad aad = { 0 };
	struct secret *lk;

	FUZZ_OK(secret_new_take(lk_bytes, sizeof lk_bytes, &lk));
	memcpy(good.id, c[1].id, sizeof good.id);
	FUZZ_OK(keyring_record_seal(&k, &c[1], lk, &good));
	FUZZ_OK(keyring_derive(lk, "label-name", c[1].id, key, sizeof key));
	static const char use[] = "cloison 1 label";
	memcpy(aad.bytes, use, sizeof use);
	memcpy(aad.bytes + sizeof use, k.uuid, sizeof k.uuid);
	memcpy(aad.bytes + sizeof use + sizeof k.uuid, c[1].id, sizeof c[1].id);
	aad.len = sizeof use + 2 * KEYRING_ID_LEN;
	FUZZ_OK(keyring_open(key, &aad, c[1].sealed, plain, sizeof plain));
	if (what & 0x80) {
		memset(plain, 0, sizeof plain);
		if (in->n)
			memcpy(plain, in->p, CL_MIN(in->n, sizeof plain));
	} else {
		fuzz_patch(in, plain, sizeof plain);
	}
	FUZZ_OK(keyring_seal(key, &aad, plain, sizeof plain, c[1].sealed));
	int err = keyring_record_open(&k, &c[1], lk, &ret);
	FUZZ_ERROR(err, -EUCLEAN);
	if (!err) {
		FUZZ_CHECK(is_text(ret.text) && *ret.text && ret.rank < KEYRING_MAX_LABELS && ret.n_below <= ret.rank,
			   "record");
		FUZZ_CHECK(!ret.dir[0] == !ret.rank && (!ret.rank || keyring_dir_ok(ret.dir)), "gate");
		FUZZ_OK(keyring_record_seal(&k, &c[1], lk, &ret));
		uint8_t sealed[KEYRING_RECORD_LEN];
		FUZZ_OK(keyring_open(key, &aad, c[1].sealed, sealed, sizeof sealed));
		FUZZ_CHECK(!memcmp(sealed, plain, sizeof plain), "other bytes");
		FUZZ_OK(keyring_record_open(&k, &c[1], lk, &again));
		FUZZ_CHECK(!memcmp(&again, &ret, sizeof ret), "another record");
	}
	/* Another byte of it does not authenticate. */
	c[1].sealed[KEYRING_SEALED_LEN / 2] ^= 1;
	FUZZ_CHECK(keyring_record_open(&k, &c[1], lk, &ret) == -EBADMSG, "a changed record opens");
	secret_free(lk);
}

static void run(const uint8_t *data, size_t len)
{
	struct fuzz_in in = { data, len };
	uint8_t what = fuzz_u8(&in);

	if (what & 1) {
		record(what, &in);
		return;
	}
	char *text = malloc(in.n + 1);
	FUZZ_CHECK(text, "out of memory");
	if (in.n)
		memcpy(text, in.p, in.n);
	text[in.n] = '\0';
	arguments(text);
	free(text);
}

static void seeds(fuzz_put_fn *put, void *arg)
{
	static const struct {
		const char *name, *text;
	} lines[] = {
		{ "default", "" },
		{ "list", "UNCLASSIFIED\nSECRET,unlock=pin\nTOP SECRET//REL A,B,dir=ts,unlock=host" },
		{ "policy", "@nato:NU\n@nato:NS//X/Y\n@nato:NS" },
		{ "accents", "A\nTR\xc3\x88S SECRET\n\xc4\xb0\n\xff\xfe" },
		{ "same-gates", "A\nB//1\nB//2\nB//3,dir=b" },
		{ "quotes", "A\n\"B,dir=x\",dir=\"y,z\"\nC\\,dir=q" },
		{ "no-name", "A\n.\n..\n//x\n /" },
		{ "bad-item", "A\nB,colour=red" },
		{ "twice", "A\nA" },
		{ "first-dir", "A,dir=x" },
		{ "bad-dir", "A\nB,dir=../x" },
		{ "two-person", "A\nB,unlock=two-person" },
	};
	static const struct {
		const char *name;
		uint16_t off;
		uint8_t len, bytes[3];
	} changes[] = {
		{ "rank", 0, 1, { 64 } },          { "rank-zero", 0, 1, { 0 } },
		{ "text-len", 2, 2, { 1, 4 } },    { "dir-len", 4, 2, { 0, 1 } },
		{ "below-len", 6, 1, { 2 } },      { "text-nul", 9, 1, { 0 } },
		{ "text-control", 9, 1, { 27 } },  { "text-utf8", 8, 3, { 0xed, 0xa0, 0x80 } },
		{ "dir-slash", 1033, 1, { '/' } }, { "below-own", 1288, 1, { 2 } },
		{ "below-other", 1288, 1, { 5 } }, { "reserved", 3043, 1, { 1 } },
		{ "good", 8, 1, { 'T' } },
	};

	for (size_t k = 0; k < CL_ARRAY_LEN(lines); k++) {
		struct fuzz_out o = { 0 };
		fuzz_put_u8(&o, 0);
		fuzz_put_bytes(&o, lines[k].text, strlen(lines[k].text));
		put(arg, lines[k].name, o.p, o.n);
	}
	for (size_t k = 0; k < CL_ARRAY_LEN(changes); k++) {
		struct fuzz_out o = { 0 };
		char name[40];
		snprintf(name, sizeof name, "record-%s", changes[k].name);
		fuzz_put_u8(&o, 1);
		fuzz_put_patch(&o, changes[k].off, changes[k].bytes, changes[k].len);
		put(arg, name, o.p, o.n);
	}
}

const struct fuzz_target fuzz_label = { "label", 4096, run, seeds };
