/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Limits of a process that holds keys and many files. */
#ifndef CLOISON_TOOLS_LIMITS_H
#define CLOISON_TOOLS_LIMITS_H

#include "common/base.h"

/*
 * As many descriptors as the hard limit gives, 65536 at most; root gets 4096 at least. A warning when there are
 * fewer.
 */
void limits_raise_files(void);
/*
 * Keeps every page that is touched from now on out of swap, where no limit stands against it; else a line in the log.
 */
void limits_lock_memory(void);

#endif
