/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Mutations of an input, for runs without a fuzzer. */
#ifndef CLOISON_TESTS_FUZZ_MUTATE_H
#define CLOISON_TESTS_FUZZ_MUTATE_H

#include "common/base.h"

uint64_t mutate_rand(uint64_t *state);
/*
 * A few changes to p[0 .. len - 1], which has room for max bytes; other is another input, to take pieces from.
 * Returns the new length.
 */
size_t mutate(uint64_t *state, uint8_t *p, size_t len, size_t max, const uint8_t *other, size_t other_len);

#endif
