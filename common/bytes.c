/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Hex and base64: strict readers, so that one value has one text. Not constant-time: never for key material. */
#include "common/bytes.h"

#include <stdlib.h>

void bytes_to_hex(const void *in, size_t n, char *out)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *b = in;

	for (size_t i = 0; i < n; i++) {
		out[2 * i] = digits[b[i] >> 4];
		out[2 * i + 1] = digits[b[i] & 15];
	}
	out[2 * n] = '\0';
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int bytes_from_hex(const char *hex, void *out, size_t n)
{
	uint8_t *b = out;

	/* Checked first, so that out is written only on success. */
	for (size_t i = 0; i < 2 * n; i++)
		if (hex_digit(hex[i]) < 0) /* also stops at an early NUL */
			return -EINVAL;
	if (hex[2 * n] != '\0')
		return -EINVAL;
	for (size_t i = 0; i < n; i++)
		b[i] = (uint8_t)(hex_digit(hex[2 * i]) << 4 | hex_digit(hex[2 * i + 1]));
	return 0;
}

static const char base64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

int bytes_to_base64(const void *in, size_t n, char **ret_text)
{
	const uint8_t *b = in;
	char *text, *t;

	if (n > SIZE_MAX / 2)
		return -ENOMEM;
	text = malloc((n + 2) / 3 * 4 + 1);
	if (!text)
		return -ENOMEM;
	t = text;
	for (size_t i = 0; i < n; i += 3) {
		uint32_t v = (uint32_t)b[i] << 16;

		if (i + 1 < n)
			v |= (uint32_t)b[i + 1] << 8;
		if (i + 2 < n)
			v |= b[i + 2];
		*t++ = base64_digits[v >> 18];
		*t++ = base64_digits[v >> 12 & 63];
		*t++ = i + 1 < n ? base64_digits[v >> 6 & 63] : '=';
		*t++ = i + 2 < n ? base64_digits[v & 63] : '=';
	}
	*t = '\0';
	*ret_text = text;
	return 0;
}

static int base64_digit(char c)
{
	const char *p = c ? strchr(base64_digits, c) : NULL;

	return p ? (int)(p - base64_digits) : -1;
}

int bytes_from_base64(const char *text, void *out, size_t max, size_t *ret_len)
{
	size_t n = strlen(text), pad = 0, len;
	uint8_t *b = out;

	if (n % 4)
		return -EINVAL;
	while (pad < 2 && pad < n && text[n - 1 - pad] == '=')
		pad++;
	for (size_t i = 0; i < n - pad; i++)
		if (base64_digit(text[i]) < 0)
			return -EINVAL;
	/* The bits that padding leaves over must be zero (RFC 4648 section 3.5). */
	if (pad && base64_digit(text[n - pad - 1]) & (pad == 1 ? 3 : 15))
		return -EINVAL;
	len = n / 4 * 3 - pad;
	if (len > max)
		return -EOVERFLOW;
	for (size_t i = 0, o = 0; i < n; i += 4) {
		uint32_t v = 0;

		for (size_t k = 0; k < 4; k++)
			v = v << 6 | (i + k < n - pad ? (uint32_t)base64_digit(text[i + k]) : 0);
		for (unsigned k = 0; k < 3 && o < len; k++)
			b[o++] = (uint8_t)(v >> (16 - 8 * k));
	}
	*ret_len = len;
	return 0;
}
