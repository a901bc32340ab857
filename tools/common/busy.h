/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A volume that its last daemon is just leaving: umount(2) returns before everything is written. */
#ifndef CLOISON_TOOLS_BUSY_H
#define CLOISON_TOOLS_BUSY_H

#include "common/base.h"

/*
 * For a loop around what has failed with -EBUSY. True, after a short sleep: try again. False when the volume in dir
 * (canonical path) is mounted (*ret_target: where, malloc'ed), or was waited for long enough (*ret_target: NULL).
 * *waited_ms starts at 0.
 */
bool busy_again(const char *dir, unsigned *waited_ms, char **ret_target);

#endif
