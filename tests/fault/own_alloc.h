/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Included before everything else in the files of a test whose linker replaces malloc and the like, so that they fail: the test's own
 * memory does not come from there.
 */
#ifndef CLOISON_TESTS_FAULT_OWN_ALLOC_H
#define CLOISON_TESTS_FAULT_OWN_ALLOC_H

#include <stdlib.h>

void *own_malloc(size_t n) __attribute__((malloc));
void *own_calloc(size_t n, size_t each) __attribute__((malloc));
void *own_realloc(void *p, size_t n);

#define malloc(n) own_malloc(n)
#define calloc(n, each) own_calloc(n, each)
#define realloc(p, n) own_realloc(p, n)

#endif
