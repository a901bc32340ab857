/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Compartments as the engine wants them. */
#include "tools/common/compartments.h"

#include <string.h>

void compartments_of(const struct keyring_unlocked *u, size_t n, struct fs_compartment *out)
{
	for (size_t i = 0; i < n; i++) {
		out[i] = (struct fs_compartment){ .rank = u[i].label.rank, .dir = u[i].label.dir, .key = u[i].key };
		memcpy(out[i].id, u[i].label.id, sizeof out[i].id);
	}
}
