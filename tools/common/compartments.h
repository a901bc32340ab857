/* SPDX-License-Identifier: GPL-3.0-or-later */
/* From what the keyring unlocked to what the engine opens. */
#ifndef CLOISON_TOOLS_COMPARTMENTS_H
#define CLOISON_TOOLS_COMPARTMENTS_H

#include "common/base.h"
#include "fs/fs.h"
#include "keyring/keyring.h"

/* Borrows from u. out has room for n. */
void compartments_of(const struct keyring_unlocked *u, size_t n, struct fs_compartment *out);

#endif
