/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Pool of page-aligned 4096-byte pages for plaintext metadata: kept out of core dumps, wiped when given back, taken from the system in
 * slabs and kept for reuse. Thread-safe.
 */
#ifndef CLOISON_FS_PAGE_H
#define CLOISON_FS_PAGE_H

#include "common/base.h"

/* Zeroed page, or NULL when memory is out. */
uint8_t *page_new(void);
/* Wipes and gives back. NULL is allowed. */
void page_free(uint8_t *p);

#endif
