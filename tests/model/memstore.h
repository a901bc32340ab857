/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A store in plain memory: for valgrind, which knows no openat2(2), and for tests that look into lower files. */
#ifndef CLOISON_TESTS_MODEL_MEMSTORE_H
#define CLOISON_TESTS_MODEL_MEMSTORE_H

#include "fs/store.h"

/* Freed by its own free, with all files. Syncs do nothing; locks always succeed. */
struct store *memstore_new(void);

#endif
