/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Mutations of an input: what fuzzers do to one, without what they learn by it. */
#include "tests/fuzz/mutate.h"

#include <string.h>

uint64_t mutate_rand(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

/* Number below n; 0 for 0. */
static size_t below(uint64_t *state, size_t n)
{
	return n ? (size_t)(mutate_rand(state) % n) : 0;
}

static size_t insert(uint64_t *state, uint8_t *p, size_t len, size_t max, const uint8_t *from, size_t n)
{
	size_t at = below(state, len + 1);

	n = CL_MIN(n, max - len);
	memmove(p + at + n, p + at, len - at);
	if (from)
		memmove(p + at, from, n);
	else
		memset(p + at, (int)below(state, 256), n);
	return len + n;
}

static size_t cut(uint64_t *state, uint8_t *p, size_t len)
{
	size_t at = below(state, len), n = 1 + below(state, CL_MIN(len - at, 1 + below(state, 64)));

	n = CL_MIN(n, len - at);
	memmove(p + at, p + at + n, len - at - n);
	return len - n;
}

/* Numbers that lie at the borders of something. */
static void number(uint64_t *state, uint8_t *p, size_t len)
{
	static const uint64_t numbers[] = { 0,
					    1,
					    2,
					    16,
					    127,
					    128,
					    255,
					    256,
					    4095,
					    4096,
					    32767,
					    32768,
					    65535,
					    65536,
					    INT32_MAX,
					    UINT32_MAX,
					    (uint64_t)1 << 47,
					    INT64_MAX,
					    UINT64_MAX };
	size_t size = (size_t)1 << below(state, 4);
	uint64_t v = numbers[below(state, CL_ARRAY_LEN(numbers))];

	if (len < size)
		return;
	size_t at = below(state, len - size + 1);
	for (size_t i = 0; i < size; i++)
		p[at + i] = (uint8_t)(v >> (8 * i));
}

static size_t change(uint64_t *state, uint8_t *p, size_t len, size_t max, const uint8_t *other, size_t other_len)
{
	uint8_t piece[64];
	size_t n = 1 + below(state, sizeof piece), from = below(state, len);

	switch (len ? below(state, 8) : 7) {
	case 0:
		p[below(state, len)] ^= (uint8_t)(1u << below(state, 8));
		return len;
	case 1:
		p[below(state, len)] = (uint8_t)mutate_rand(state);
		return len;
	case 2:
		p[below(state, len)] += (uint8_t)(below(state, 2) ? 1 : -1);
		return len;
	case 3:
		number(state, p, len);
		return len;
	case 4:
		return cut(state, p, len);
	case 5: /* a piece of itself */
		n = CL_MIN(n, len - from);
		memcpy(piece, p + from, n);
		return insert(state, p, len, max, piece, n);
	case 6: /* a piece of the other over itself */
		if (other_len) {
			size_t at = below(state, other_len);
			n = CL_MIN(CL_MIN(n, other_len - at), len - from);
			memcpy(p + from, other + at, n);
		}
		return len;
	default:
		return insert(state, p, len, max, NULL, n);
	}
}

size_t mutate(uint64_t *state, uint8_t *p, size_t len, size_t max, const uint8_t *other, size_t other_len)
{
	for (size_t n = 1 + below(state, 6); n > 0; n--)
		len = change(state, p, len, max, other, other_len);
	return len;
}
