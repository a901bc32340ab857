/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Unit tests of fs/seal.h: published vectors, the format of a page, what its tag binds; on each implementation. */
#include "tests/unit/seal_fixture.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>

static void from_hex(const char *hex, uint8_t *out, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char digits[3] = { hex[2 * i], hex[2 * i + 1], 0 };
		out[i] = (uint8_t)strtoul(digits, NULL, 16);
	}
}

START_TEST(test_c2sp_vectors)
{
	static const struct {
		int byte;
		const char *aad, *sealed;
	} vectors[] = {
		{ 1, "", "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271" },
		{ 3, "c2sp.org/XAES-256-GCM", "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d" },
	};
	uint8_t nonce[SEAL_NONCE_LEN], key[SEAL_KEY_LEN], want[28], out[28];

	memcpy(nonce, "ABCDEFGHIJKLMNOPQRSTUVWX", sizeof nonce);
	for (int b = 0; b < n_backends; b++) {
		use(backends[b]);
		for (size_t i = 0; i < CL_ARRAY_LEN(vectors); i++) {
			memset(key, vectors[i].byte, sizeof key);
			from_hex(vectors[i].sealed, want, sizeof want);
			ck_assert_int_eq(seal_message(key, nonce, vectors[i].aad, strlen(vectors[i].aad),
						      "XAES-256-GCM", 12, out, out + 12), 0);
			ck_assert_mem_eq(out, want, sizeof want);
			ck_assert_int_eq(seal_open_message(key, nonce, vectors[i].aad, strlen(vectors[i].aad), want,
							   12, out, want + 12), 0);
			ck_assert_mem_eq(out, "XAES-256-GCM", 12);
		}
	}
}
END_TEST

/* C2SP's accumulated randomized test, 10 000 iterations. */
START_TEST(test_c2sp_accumulated)
{
	enum { STREAM = 4 << 20 };
	uint8_t *stream = malloc(STREAM), want[32], found[32];
	EVP_MD *shake = EVP_MD_fetch(NULL, "SHAKE128", NULL);
	EVP_MD_CTX *md = EVP_MD_CTX_new();

	ck_assert(stream && shake && md);
	ck_assert_int_eq(EVP_DigestInit_ex2(md, shake, NULL), 1);
	ck_assert_int_eq(EVP_DigestFinalXOF(md, stream, STREAM), 1);
	from_hex("7f9c2ba4e88f827d616045507605853e", want, 16);
	ck_assert_mem_eq(stream, want, 16);
	from_hex("e6b9edf2df6cec60c8cbd864e2211b597fb69a529160cd040d56c0c210081939", want, sizeof want);
	for (int b = 0; b < n_backends; b++) {
		const uint8_t *p = stream;

		use(backends[b]);
		ck_assert_int_eq(EVP_DigestInit_ex2(md, shake, NULL), 1);
		for (int i = 0; i < 10000; i++) {
			const uint8_t *key = p, *nonce = key + 32, *text = nonce + 24 + 1, *aad;
			uint8_t out[255 + 16], back[255];
			size_t len = text[-1], aad_len;

			aad = text + len + 1;
			aad_len = aad[-1];
			p = aad + aad_len;
			ck_assert(p < stream + STREAM);
			ck_assert_int_eq(seal_message(key, nonce, aad, aad_len, text, len, out, out + len), 0);
			ck_assert_int_eq(seal_open_message(key, nonce, aad, aad_len, out, len, back, out + len), 0);
			ck_assert(memcmp(back, text, len) == 0);
			ck_assert_int_eq(EVP_DigestUpdate(md, out, len + 16), 1);
		}
		ck_assert_int_eq(EVP_DigestFinalXOF(md, found, sizeof found), 1);
		ck_assert_mem_eq(found, want, sizeof want);
	}
	EVP_MD_CTX_free(md);
	EVP_MD_free(shake);
	free(stream);
}
END_TEST

static void cmac(const uint8_t *key, const uint8_t *msg, size_t len, uint8_t *out)
{
	EVP_MAC *mac = EVP_MAC_fetch(NULL, "CMAC", NULL);
	EVP_MAC_CTX *ctx = EVP_MAC_CTX_new(mac);
	char cipher[] = "AES-256-CBC";
	OSSL_PARAM params[] = {
		OSSL_PARAM_utf8_string(OSSL_MAC_PARAM_CIPHER, cipher, sizeof cipher - 1),
		OSSL_PARAM_END
	};
	size_t n = 0;

	ck_assert(EVP_MAC_init(ctx, key, 32, params) == 1 && EVP_MAC_update(ctx, msg, len) == 1 &&
		  EVP_MAC_final(ctx, out, &n, 16) == 1 && n == 16);
	EVP_MAC_CTX_free(ctx);
	EVP_MAC_free(mac);
}

/* A page's key, nonce and associated data, built by hand from the format's description, and sealed with OpenSSL. */
START_TEST(test_page_format)
{
	uint8_t k[SEAL_KEY_LEN], in[CL_PAGE], out[CL_PAGE], want[CL_PAGE], tag[16], kx[32];
	uint8_t kdf[16] = { 0, 1, 'X', 0 }, iv[12] = { 0 }, aad[40] = { 0 };
	struct seal_place place = { .object = 0x0102030405060708, .index = 0x1112131415161718, .level = 0x21222324 };
	struct seal_source *source;
	struct seal_key key;
	struct seal_ref ref;

	fill(k, sizeof k);
	fill(in, sizeof in);
	fill(place.compartment, sizeof place.compartment);
	seal_key_init(&key, k);
	ck_assert_int_eq(seal_source_new(&source), 0);
	memcpy(aad, place.compartment, 16);
	from_hex("0807060504030201" "1817161514131211" "24232221", aad + 16, 20);
	for (int b = 0; b < n_backends; b++) {
		EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
		int n;

		use(backends[b]);
		seal_source_set_counter(source, 0xa1a2a3a4);
		ck_assert_int_eq(seal_pages(source, &key, &place, in, out, &ref, 1), 0);
		from_hex("a4a3a2a1", iv + 8, 4);
		ck_assert_mem_eq(ref.counter.b, iv + 8, 4);
		memcpy(kdf + 4, ref.epoch, 12);
		kdf[1] = 1;
		cmac(k, kdf, sizeof kdf, kx);
		kdf[1] = 2;
		cmac(k, kdf, sizeof kdf, kx + 16);
		ck_assert(EVP_EncryptInit_ex2(ctx, EVP_aes_256_gcm(), kx, iv, NULL) == 1 &&
			  EVP_EncryptUpdate(ctx, NULL, &n, aad, sizeof aad) == 1 &&
			  EVP_EncryptUpdate(ctx, want, &n, in, sizeof in) == 1 &&
			  EVP_EncryptFinal_ex(ctx, want, &n) == 1 &&
			  EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, 16, tag) == 1);
		EVP_CIPHER_CTX_free(ctx);
		ck_assert_mem_eq(out, want, sizeof out);
		ck_assert_mem_eq(ref.tag, tag, sizeof tag);
	}
	seal_source_free(source);
	seal_key_wipe(&key);
}
END_TEST

/* Runs sealed with each implementation open with each, in place and not. */
START_TEST(test_cross)
{
	enum { N = 33 };
	uint8_t *in = malloc(N * CL_PAGE), *out = malloc(N * CL_PAGE), *same = malloc(N * CL_PAGE), page[CL_PAGE];
	struct seal_ref refs[N], again[N];
	struct bench t;

	ck_assert(in && out && same);
	bench_new(&t);
	for (int from = 0; from < n_backends; from++) {
		fill(in, N * CL_PAGE);
		memcpy(same, in, N * CL_PAGE);
		use(backends[from]);
		/* The same counters twice, for the same pages: only a test may. */
		seal_source_set_counter(t.source, 1000);
		ck_assert_int_eq(seal_pages(t.source, &t.key, &t.place, in, out, refs, N), 0);
		seal_source_set_counter(t.source, 1000);
		ck_assert_int_eq(seal_pages(t.source, &t.key, &t.place, same, same, again, N), 0);
		ck_assert_mem_eq(refs, again, sizeof refs);
		ck_assert(memcmp(same, out, N * CL_PAGE) == 0 && memcmp(in, out, N * CL_PAGE) != 0);
		for (int to = 0; to < n_backends; to++) {
			use(backends[to]);
			memcpy(same, out, N * CL_PAGE);
			for (unsigned i = 0; i < N; i++) {
				struct seal_place place = t.place;

				place.index += i;
				ck_assert_uint_eq(le32_get(refs[i].counter), 1000 + i);
				ck_assert_int_eq(seal_open_page(&t.key, &place, &refs[i], out + i * CL_PAGE, page), 0);
				ck_assert(memcmp(page, in + i * CL_PAGE, CL_PAGE) == 0);
				ck_assert_int_eq(seal_open_page(&t.key, &place, &refs[i], same + i * CL_PAGE,
								same + i * CL_PAGE), 0);
			}
			ck_assert(memcmp(same, in, N * CL_PAGE) == 0);
		}
	}
	bench_free(&t);
	free(in);
	free(out);
	free(same);
}
END_TEST

/* The one page of the tests below, and how it fails to open. */
static uint8_t plain[CL_PAGE], sealed[CL_PAGE];

static void refuses(const struct seal_key *key, const struct seal_place *place, const struct seal_ref *ref,
		    bool in_place)
{
	uint8_t out[CL_PAGE];

	memcpy(out, in_place ? sealed : plain, sizeof out);
	ck_assert_int_eq(seal_open_page(key, place, ref, in_place ? out : sealed, out), -EBADMSG);
	ck_assert(bytes_are_zero(out, sizeof out));
}

/* Each byte of what a page is bound to, changed. */
START_TEST(test_tamper)
{
	struct seal_ref ref;
	struct bench t;

	bench_new(&t);
	fill(plain, sizeof plain);
	for (int b = 0; b < n_backends; b++) {
		uint8_t out[CL_PAGE], raw[SEAL_KEY_LEN];
		struct seal_place place;
		struct seal_key other;

		use(backends[b]);
		ck_assert_int_eq(seal_pages(t.source, &t.key, &t.place, plain, sealed, &ref, 1), 0);
		for (unsigned i = 0; i < CL_PAGE; i++) {
			sealed[i] ^= (uint8_t)(1 << i % 8);
			refuses(&t.key, &t.place, &ref, i & 1);
			sealed[i] ^= (uint8_t)(1 << i % 8);
		}
		/* A ref is epoch, counter and tag. */
		for (unsigned bit = 0; bit < 8 * sizeof ref; bit++) {
			struct seal_ref bad = ref;
			((uint8_t *)&bad)[bit / 8] ^= (uint8_t)(1 << bit % 8);
			refuses(&t.key, &t.place, &bad, bit & 1);
		}
		for (unsigned bit = 0; bit < 128; bit++) {
			place = t.place;
			place.compartment[bit / 8] ^= (uint8_t)(1 << bit % 8);
			refuses(&t.key, &place, &ref, false);
		}
		for (unsigned bit = 0; bit < 64; bit++) {
			place = t.place;
			place.object ^= UINT64_C(1) << bit;
			refuses(&t.key, &place, &ref, false);
			place = t.place;
			place.index ^= UINT64_C(1) << bit;
			refuses(&t.key, &place, &ref, false);
		}
		for (unsigned bit = 0; bit < 32; bit++) {
			place = t.place;
			place.level ^= UINT32_C(1) << bit;
			refuses(&t.key, &place, &ref, false);
		}
		for (unsigned i = 0; i < SEAL_KEY_LEN; i++) {
			memcpy(raw, t.key.key, sizeof raw);
			raw[i] ^= 0x10;
			seal_key_init(&other, raw);
			refuses(&other, &t.place, &ref, false);
			seal_key_wipe(&other);
		}
		/* All that refused above; the page itself still opens. */
		ck_assert_int_eq(seal_open_page(&t.key, &t.place, &ref, sealed, out), 0);
		ck_assert_mem_eq(out, plain, sizeof out);
	}
	bench_free(&t);
}
END_TEST

START_TEST(test_hole)
{
	struct seal_ref hole = { 0 };
	struct bench t;

	bench_new(&t);
	ck_assert(seal_ref_is_hole(&hole));
	for (int b = 0; b < n_backends; b++) {
		use(backends[b]);
		ck_assert_int_eq(seal_open_page(&t.key, &t.place, &hole, sealed, plain), -EINVAL);
	}
	hole.tag[15] = 1;
	ck_assert(!seal_ref_is_hole(&hole));
	refuses(&t.key, &t.place, &hole, false);
	bench_free(&t);
}
END_TEST

START_TEST(test_message)
{
	enum { MAX = 65536 };
	static uint8_t in[MAX], out[MAX], back[MAX];
	uint8_t key[SEAL_KEY_LEN], nonce[SEAL_NONCE_LEN], tag[16], none[16];
	static const size_t lens[] = { 1, 15, 16, 17, 255, 4096, 4097, MAX };

	fill(in, sizeof in);
	fill(key, sizeof key);
	fill(nonce, sizeof nonce);
	for (int b = 0; b < n_backends; b++) {
		use(backends[b]);
		for (size_t i = 0; i < CL_ARRAY_LEN(lens); i++) {
			size_t len = lens[i];

			ck_assert_int_eq(seal_message(key, nonce, in, len, in, len, out, tag), 0);
			use(backends[(b + 1) % n_backends]);
			ck_assert_int_eq(seal_open_message(key, nonce, in, len, out, len, back, tag), 0);
			ck_assert(memcmp(back, in, len) == 0);
			use(backends[b]);
			nonce[i] ^= 1;
			ck_assert_int_eq(seal_open_message(key, nonce, in, len, out, len, back, tag), -EBADMSG);
			ck_assert(bytes_are_zero(back, len));
			nonce[i] ^= 1;
			memset(back, 1, len);
			ck_assert_int_eq(seal_open_message(key, nonce, in, len - 1, out, len, back, tag), -EBADMSG);
			ck_assert(bytes_are_zero(back, len));
			tag[i] ^= 0x80;
			ck_assert_int_eq(seal_open_message(key, nonce, in, len, out, len, back, tag), -EBADMSG);
		}
		/* Nothing to hide, nothing to bind: a tag all the same. */
		ck_assert_int_eq(seal_message(key, nonce, NULL, 0, NULL, 0, NULL, none), 0);
		ck_assert_int_eq(seal_open_message(key, nonce, NULL, 0, NULL, 0, NULL, none), 0);
		ck_assert_int_eq(seal_open_message(key, nonce, "a", 1, NULL, 0, NULL, none), -EBADMSG);
		ck_assert_int_eq(seal_message(key, nonce, NULL, 0, in, MAX + 1, out, tag), -EINVAL);
		ck_assert_int_eq(seal_open_message(key, nonce, in, MAX + 1, in, 1, out, tag), -EINVAL);
	}
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		test_c2sp_vectors, test_c2sp_accumulated, test_page_format, test_cross, test_tamper, test_hole,
		test_message
	};

	return run("seal", tests, CL_ARRAY_LEN(tests));
}
