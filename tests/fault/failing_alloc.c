/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the linker puts in the place of allocators (-Wl,--wrap=NAME: callers get __wrap_NAME, __real_NAME is the allocator). */
#include "tests/fault/failing_alloc.h"

#include "common/secret.h"
#include "fs/page.h"
#include "fs/pagemap.h"
#include "tests/fault/own_alloc.h"

#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <sys/mman.h>
#include <xxhash.h>

#undef malloc
#undef calloc
#undef realloc

struct failing_alloc failing_alloc;

static bool fails(void)
{
	struct failing_alloc *a = &failing_alloc;

	if (!a->armed)
		return false;
	a->calls++;
	if (!a->fail_at || a->calls < a->fail_at || (a->calls > a->fail_at && !a->from_then_on))
		return false;
	a->hits++;
	return true;
}

/* An allocator of the C library or another that says NULL and ENOMEM. */
#define REPLACE(type, name, params, args) \
	type __real_##name params; \
	type __wrap_##name params; \
	type __wrap_##name params \
	{ \
		if (!fails()) \
			return __real_##name args; \
		errno = ENOMEM; \
		return NULL; \
	}
/* A function that returns a negative errno. */
#define REPLACE_INT(name, params, args) \
	int __real_##name params; \
	int __wrap_##name params; \
	int __wrap_##name params \
	{ \
		return fails() ? -ENOMEM : __real_##name args; \
	}

REPLACE(void *, malloc, (size_t n), (n))
REPLACE(void *, calloc, (size_t n, size_t each), (n, each))
REPLACE(void *, realloc, (void *p, size_t n), (p, n))
REPLACE(void *, aligned_alloc, (size_t align, size_t n), (align, n))
REPLACE(char *, strdup, (const char *s), (s))
REPLACE(uint8_t *, page_new, (void), ())
REPLACE(struct pagebuf *, pagemap_get_buf, (struct pagemap *pm), (pm))
REPLACE_INT(pagemap_get_bufs, (struct pagemap *pm, struct pagebuf **ret, size_t n), (pm, ret, n))
REPLACE_INT(secret_new, (size_t len, struct secret **ret), (len, ret))
REPLACE_INT(secret_new_random, (size_t len, struct secret **ret), (len, ret))
REPLACE(XXH3_state_t *, XXH3_createState, (void), ())
REPLACE(EVP_CIPHER_CTX *, EVP_CIPHER_CTX_new, (void), ())
REPLACE(EVP_KDF *, EVP_KDF_fetch, (OSSL_LIB_CTX *ctx, const char *name, const char *query), (ctx, name, query))
REPLACE(EVP_KDF_CTX *, EVP_KDF_CTX_new, (EVP_KDF *kdf), (kdf))

int __real_secret_new_take(void *src, size_t len, struct secret **ret);
int __wrap_secret_new_take(void *src, size_t len, struct secret **ret);
int __wrap_secret_new_take(void *src, size_t len, struct secret **ret)
{
	if (!fails())
		return __real_secret_new_take(src, len, ret);
	secret_wipe(src, len);
	return -ENOMEM;
}

void *__real_mmap64(void *at, size_t n, int prot, int flags, int fd, off_t off);
void *__wrap_mmap64(void *at, size_t n, int prot, int flags, int fd, off_t off);
void *__wrap_mmap64(void *at, size_t n, int prot, int flags, int fd, off_t off)
{
	if (!fails())
		return __real_mmap64(at, n, prot, flags, fd, off);
	errno = ENOMEM;
	return MAP_FAILED;
}

void *own_malloc(size_t n)
{
	return __real_malloc(n);
}

void *own_calloc(size_t n, size_t each)
{
	return __real_calloc(n, each);
}

void *own_realloc(void *p, size_t n)
{
	return __real_realloc(p, n);
}
