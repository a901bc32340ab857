/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Root pages taken apart and sealed again, for targets that change what is inside (doc/FORMAT section 4). */
#ifndef CLOISON_TESTS_FUZZ_RESEAL_H
#define CLOISON_TESTS_FUZZ_RESEAL_H

#include "fs/fs.h"

enum { RESEAL_HEAD = 40, RESEAL_PLAIN = 3968 };

/* The file root of a compartment's folder, and what is sealed in it. It is a good one. */
void reseal_open(struct store *folder, const struct fs_compartment *c, uint8_t raw[static CL_PAGE],
		 uint8_t plain[static RESEAL_PLAIN]);
/* Seals plain under raw's first 40 bytes into raw, with its own nonce. */
void reseal_root(const struct fs_compartment *c, uint8_t raw[static CL_PAGE], const uint8_t plain[static RESEAL_PLAIN]);

#endif
