/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Fuzz target: sealed objects of a TPM as they come out of a key slot. Input: how[1], then (bit 7) four lengths[2]
 * and the four parts, else changes to good parts. Bit 0: an object with a PIN. Bit 1: its Name of the storage key is
 * made right, so that what is behind that is reached.
 */
#include "tests/fuzz/fuzz.h"

/*
 * What takes a blob apart is nobody else's business: so the whole file, with its own symbols in the place of the
 * library's.
 */
#include "tpm/object.c"

enum { PART_MAX = 512 };

static void good(enum tpm_unlock unlock, struct tpm_blob *ret)
{
	TPM2B_PRIVATE private = { .size = 100 };
	TPM2B_PUBLIC srk = {
		.publicArea = {
			.type = TPM2_ALG_ECC,
			.nameAlg = TPM2_ALG_SHA256,
			.objectAttributes = 0x00030472,
			.parameters.eccDetail = {
				.symmetric.algorithm = TPM2_ALG_AES,
				.symmetric.keyBits.aes = 128,
				.symmetric.mode.aes = TPM2_ALG_CFB,
				.scheme.scheme = TPM2_ALG_NULL,
				.curveID = TPM2_ECC_NIST_P256,
				.kdf.scheme = TPM2_ALG_NULL,
			},
			.unique.ecc = { .x.size = 32, .y.size = 32 },
		},
	};
	TPM2B_PUBLIC pub;
	struct tpm_context c = { .srk_public = srk };

	FUZZ_OK(tpm_policy_name(&srk, &c.srk_name));
	FUZZ_OK(object_template(unlock, &pub));
	pub.publicArea.unique.keyedHash.size = 32;
	memset(private.buffer, 0x3c, private.size);
	FUZZ_OK(encode_blob(&c, &pub, &private, ret));
}

static void read_blob(struct fuzz_in *in, struct tpm_blob *b)
{
	uint16_t *const lens[] = { &b->srk_name_len, &b->srk_public_len, &b->public_len, &b->private_len };
	uint8_t *const to[] = { b->srk_name, b->srk_public, b->public_area, b->private_area };
	static const size_t max[] = { sizeof b->srk_name, sizeof b->srk_public, sizeof b->public_area,
				      sizeof b->private_area };

	for (size_t i = 0; i < CL_ARRAY_LEN(lens); i++)
		*lens[i] = fuzz_u16(in);
	for (size_t i = 0; i < CL_ARRAY_LEN(lens); i++)
		fuzz_place(in, *lens[i], to[i], max[i]);
}

/* part[1] offset[2] length[1] bytes, over and over; part 4: the lengths. */
static void change_blob(struct fuzz_in *in, struct tpm_blob *b)
{
	while (in->n) {
		uint8_t part = fuzz_u8(in) % 5;
		uint8_t *const base[] = { b->srk_name, b->srk_public, b->public_area, b->private_area, (uint8_t *)b };
		static const size_t max[] = { sizeof b->srk_name, sizeof b->srk_public, sizeof b->public_area,
					      sizeof b->private_area, 8 };
		size_t off = fuzz_u16(in) % max[part], n = fuzz_u8(in);
		fuzz_place(in, n, base[part] + off, max[part] - off);
	}
}

static void rename_key(struct tpm_blob *b)
{
	TPM2B_PUBLIC srk;
	TPM2B_NAME name;

	if (!tpm_wire_blob_fits(b) || decode_public(b->srk_public, b->srk_public_len, &srk) ||
	    tpm_policy_name(&srk, &name))
		return;
	memcpy(b->srk_name, name.name, name.size);
	b->srk_name_len = name.size;
}

/* What was taken is one of ours, and encoding it gives the same bytes. */
static void check_parts(const struct tpm_blob *b, const struct parts *p, enum tpm_unlock unlock)
{
	uint8_t policy[TPM_POLICY_LEN];
	struct tpm_context c = { .srk_name = p->srk_name };
	struct tpm_blob again;

	FUZZ_OK(tpm_policy_digest(unlock, policy));
	FUZZ_CHECK(p->object.publicArea.authPolicy.size == sizeof policy &&
			   !memcmp(p->object.publicArea.authPolicy.buffer, policy, sizeof policy),
		   "another policy");
	FUZZ_CHECK(p->object.publicArea.objectAttributes == object_attributes(unlock), "other attributes");
	FUZZ_OK(decode_public(b->srk_public, b->srk_public_len, &c.srk_public));
	FUZZ_OK(encode_blob(&c, &p->object, &p->private, &again));
	FUZZ_CHECK(again.srk_name_len == b->srk_name_len && again.srk_public_len == b->srk_public_len &&
			   again.public_len == b->public_len && again.private_len == b->private_len,
		   "other lengths");
	FUZZ_CHECK(!memcmp(again.srk_name, b->srk_name, b->srk_name_len) &&
			   !memcmp(again.srk_public, b->srk_public, b->srk_public_len) &&
			   !memcmp(again.public_area, b->public_area, b->public_len) &&
			   !memcmp(again.private_area, b->private_area, b->private_len),
		   "other bytes");
}

static void run(const uint8_t *data, size_t len)
{
	struct fuzz_in in = { data, len };
	uint8_t how = fuzz_u8(&in);
	enum tpm_unlock unlock = how & 1 ? TPM_UNLOCK_PIN : TPM_UNLOCK_HOST;
	struct tpm_blob b = { 0 };
	struct tpm_wire_blob w;
	struct fault f = { 0 };
	struct parts parts;

	if (how & 0x80) {
		read_blob(&in, &b);
	} else {
		good(unlock, &b);
		change_blob(&in, &b);
	}
	if (how & 2)
		rename_key(&b);
	int err = decode_blob(&b, unlock, &parts, &f);
	FUZZ_ERROR(err, -EUCLEAN);
	if (err)
		fuzz_check_fault(&f, err);
	else
		check_parts(&b, &parts, unlock);
	/* To the helper process and back. */
	struct tpm_blob back;
	tpm_wire_put_blob(&w, &b);
	int err2 = tpm_wire_get_blob(&w, &back);
	FUZZ_CHECK(err2 == (tpm_wire_blob_fits(&b) ? 0 : -EUCLEAN), "wire: %d", err2);
	if (!err)
		FUZZ_OK(decode_blob(&back, unlock, &parts, &f));
}

static void seeds(fuzz_put_fn *put, void *arg)
{
	static const struct {
		const char *name;
		uint8_t how, part, off, len, bytes[4];
	} changes[] = {
		{ "same", 0, 4, 0, 0, { 0 } },          { "same-pin", 1, 4, 0, 0, { 0 } },
		{ "name", 0, 0, 5, 1, { 1 } },          { "srk-bytes", 2, 1, 60, 1, { 1 } },
		{ "srk-type", 2, 1, 3, 1, { 1 } },      { "srk-alg", 2, 1, 5, 1, { 4 } },
		{ "srk-curve", 2, 1, 0x15, 1, { 9 } },  { "type", 0, 2, 3, 1, { 0x23 } },
		{ "attributes", 0, 2, 9, 1, { 0x52 } }, { "policy", 0, 2, 20, 1, { 1 } },
		{ "policy-len", 0, 2, 11, 1, { 31 } },  { "scheme", 0, 2, 45, 1, { 5 } },
		{ "private-size", 0, 3, 1, 1, { 99 } }, { "lengths", 0, 4, 4, 2, { 255, 255 } },
		{ "empty", 0, 4, 6, 2, { 2, 0 } },
	};
	struct tpm_blob b;

	for (unsigned k = 0; k < CL_ARRAY_LEN(changes); k++) {
		struct fuzz_out o = { 0 };
		fuzz_put_u8(&o, changes[k].how);
		fuzz_put_u8(&o, changes[k].part);
		fuzz_put_patch(&o, changes[k].off, changes[k].bytes, changes[k].len);
		put(arg, changes[k].name, o.p, o.n);
	}
	for (unsigned pin = 0; pin < 2; pin++) {
		struct fuzz_out o = { 0 };
		good(pin ? TPM_UNLOCK_PIN : TPM_UNLOCK_HOST, &b);
		fuzz_put_u8(&o, (uint8_t)(0x80 | pin));
		fuzz_put_u16(&o, b.srk_name_len);
		fuzz_put_u16(&o, b.srk_public_len);
		fuzz_put_u16(&o, b.public_len);
		fuzz_put_u16(&o, b.private_len);
		fuzz_put_bytes(&o, b.srk_name, b.srk_name_len);
		fuzz_put_bytes(&o, b.srk_public, b.srk_public_len);
		fuzz_put_bytes(&o, b.public_area, b.public_len);
		fuzz_put_bytes(&o, b.private_area, b.private_len);
		put(arg, pin ? "whole-pin" : "whole", o.p, o.n);
	}
}

const struct fuzz_target fuzz_tpm = { "tpm", 2048, run, seeds };
