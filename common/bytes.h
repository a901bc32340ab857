/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Little-endian integers as byte arrays, for everything that is stored; and hex. */
#ifndef CLOISON_COMMON_BYTES_H
#define CLOISON_COMMON_BYTES_H

#include "common/base.h"

#include <string.h>

typedef struct { uint8_t b[2]; } le16;
typedef struct { uint8_t b[4]; } le32;
typedef struct { uint8_t b[8]; } le64;

static inline uint16_t le16_get(le16 v)
{
	return (uint16_t)(v.b[0] | v.b[1] << 8);
}

static inline uint32_t le32_get(le32 v)
{
	return (uint32_t)v.b[0] | (uint32_t)v.b[1] << 8 | (uint32_t)v.b[2] << 16 | (uint32_t)v.b[3] << 24;
}

static inline uint64_t le64_get(le64 v)
{
	uint64_t r = 0;
	for (unsigned i = 0; i < 8; i++)
		r |= (uint64_t)v.b[i] << (8 * i);
	return r;
}

static inline le16 le16_of(uint16_t v)
{
	return (le16){ { (uint8_t)v, (uint8_t)(v >> 8) } };
}

static inline le32 le32_of(uint32_t v)
{
	return (le32){ { (uint8_t)v, (uint8_t)(v >> 8), (uint8_t)(v >> 16), (uint8_t)(v >> 24) } };
}

static inline le64 le64_of(uint64_t v)
{
	le64 r;
	for (unsigned i = 0; i < 8; i++)
		r.b[i] = (uint8_t)(v >> (8 * i));
	return r;
}

/* True iff all n bytes are zero. Not constant-time: for public structure only. */
static inline bool bytes_are_zero(const void *p, size_t n)
{
	const uint8_t *b = p;
	for (size_t i = 0; i < n; i++)
		if (b[i])
			return false;
	return true;
}

/* Writes 2n lower-case digits and a NUL to out (2n + 1 bytes). */
void bytes_to_hex(const void *in, size_t n, char *out);
/* Reads exactly 2n hex digits (either case), then NUL. -EINVAL otherwise. */
int bytes_from_hex(const char *hex, void *out, size_t n) CL_MUST_USE;

/*
 * Base64 (RFC 4648 section 4, padded). encode: *ret_text is malloc'ed, NUL-terminated, the caller frees; -ENOMEM.
 * decode: at most max bytes into out, length in *ret_len; -EINVAL (not base64), -EOVERFLOW (longer than max).
 */
int bytes_to_base64(const void *in, size_t n, char **ret_text) CL_MUST_USE;
int bytes_from_base64(const char *text, void *out, size_t max, size_t *ret_len) CL_MUST_USE;

#endif
