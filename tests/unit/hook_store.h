/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A store over another one that calls somebody before each of its calls: what happens in between is then not left to chance. */
#ifndef CLOISON_TESTS_UNIT_HOOK_STORE_H
#define CLOISON_TESTS_UNIT_HOOK_STORE_H

#include "fs/store.h"

/* inner is borrowed. Its calls that read only; who would write gets -EROFS. */
struct store *hook_store_new(struct store *inner, void (*before)(void *arg), void *arg);

#endif
