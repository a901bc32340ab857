/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * AES-256-GCM by Intel's Multi-Buffer Crypto for IPsec library, on CPUs with VAES.
 *
 * Only the direct calls are used. They are plain functions of the key data and a context that the caller owns, and
 * touch no manager: the manager serves to pick those for this CPU, and is freed again. So nothing is shared between
 * threads, although "the MB_MGR and the associated functions are not thread safe". (A library built with SAFE_PARAM
 * also stores 0 to its global error number on each call; nobody reads it.)
 *
 * What the library leaves in registers and on its stack is cleared by it when built with SAFE_DATA, its default.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "common/secret.h"
#include "fs/seal_backend.h"

#ifdef HAVE_IPSEC_MB

#include <intel-ipsec-mb.h>
#include <openssl/crypto.h>

static_assert(SEAL_IV_LEN == IMB_GCM_IV_DATA_LEN, "the library takes 12-byte nonces");

struct ipsecmb_ctx {
	struct gcm_key_data key;
	struct gcm_context_data state; /* of the current call; wiped together with the key */
};
static_assert(sizeof(struct ipsecmb_ctx) <= SEAL_CTX_LEN, "a context fits its slot");
static_assert(_Alignof(struct ipsecmb_ctx) <= SEAL_CTX_ALIGN, "a slot is aligned for a context");

/* Set by init, before threads. */
static aes_gcm_pre_t gcm_pre;
static aes_gcm_enc_dec_t gcm_enc, gcm_dec;

static bool has(const IMB_MGR *mgr, uint64_t features)
{
	return (mgr->features & features) == features;
}

/* The name of the code that mgr was set up with, when that is VAES code: the other is not faster than OpenSSL. */
static const char *vaes_code(const IMB_MGR *mgr)
{
	switch (mgr->used_arch) {
	case IMB_ARCH_NONE:
	case IMB_ARCH_SSE:
		return NULL;
	case IMB_ARCH_AVX2:
#if IMB_VERSION_NUM >= IMB_VERSION(1, 5, 0) /* the first with GCM for it */
		return has(mgr, IMB_CPUFLAGS_AVX2_T2) ? "ipsec-mb avx2" : NULL;
#else
		return NULL;
#endif
	case IMB_ARCH_AVX512:
		return has(mgr, IMB_CPUFLAGS_AVX512_T2) ? "ipsec-mb avx512" : NULL;
	default:
		return NULL;
	}
}

static int ipsecmb_init(const char **ret_label)
{
	IMB_MGR *mgr = alloc_mb_mgr(0);
	IMB_ARCH arch = IMB_ARCH_NONE;
	const char *label;
	int err = -ENOTSUP;

	if (!mgr)
		return -ENOTSUP;
	init_mb_mgr_auto(mgr, &arch);
	label = vaes_code(mgr);
	if (!label)
		goto out;
	if (imb_get_errno(mgr) || (has(mgr, IMB_FEATURE_SELF_TEST) && !has(mgr, IMB_FEATURE_SELF_TEST_PASS))) {
		err = -EIO;
		goto out;
	}
	gcm_pre = mgr->gcm256_pre;
	gcm_enc = mgr->gcm256_enc;
	gcm_dec = mgr->gcm256_dec;
	*ret_label = label;
	err = 0;
out:
	free_mb_mgr(mgr);
	return err;
}

static void ipsecmb_done(void)
{
	gcm_pre = NULL;
	gcm_enc = NULL;
	gcm_dec = NULL;
}

static void ipsecmb_wipe(void *ctx)
{
	secret_wipe(ctx, sizeof(struct ipsecmb_ctx));
}

static int ipsecmb_key(void *ctx, const uint8_t key[static SEAL_KEY_LEN])
{
	struct ipsecmb_ctx *c = ctx;

	ipsecmb_wipe(c); /* gcm_pre fills no more of the key data than its code needs */
	gcm_pre(key, &c->key);
	return 0;
}

static int ipsecmb_seal(void *ctx, const struct seal_job *job, uint8_t tag[static SEAL_TAG_LEN])
{
	struct ipsecmb_ctx *c = ctx;

	gcm_enc(&c->key, &c->state, job->out, job->in, job->len, job->iv, job->aad, job->aad_len, tag, SEAL_TAG_LEN);
	return 0;
}

static int ipsecmb_open(void *ctx, const struct seal_job *job, const uint8_t tag[static SEAL_TAG_LEN])
{
	struct ipsecmb_ctx *c = ctx;
	uint8_t found[SEAL_TAG_LEN];
	int differ;

	gcm_dec(&c->key, &c->state, job->out, job->in, job->len, job->iv, job->aad, job->aad_len, found, sizeof found);
	differ = CRYPTO_memcmp(found, tag, sizeof found);
	/* The right tag of a forged page is what a forger lacks. */
	secret_wipe(found, sizeof found);
	return differ ? -EBADMSG : 0;
}

const struct seal_backend seal_ipsecmb = {
	.name = "ipsec-mb",
	.init = ipsecmb_init,
	.done = ipsecmb_done,
	.key = ipsecmb_key,
	.wipe = ipsecmb_wipe,
	.seal = ipsecmb_seal,
	.open = ipsecmb_open,
};

#else

static int ipsecmb_init(const char **ret_label CL_UNUSED)
{
	return -ENOTSUP;
}

/* Not built in: never chosen, so the other functions are never called. */
const struct seal_backend seal_ipsecmb = {
	.name = "ipsec-mb",
	.init = ipsecmb_init,
};

#endif
