/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A directory for a volume of a test: in memory where there is some, for what is tested is not the disk. */
#ifndef CLOISON_TESTS_MODEL_TEMPDIR_H
#define CLOISON_TESTS_MODEL_TEMPDIR_H

#include "common/base.h"

#define TEMPDIR_MAX 256u

int tempdir_make(char path[static TEMPDIR_MAX]) CL_MUST_USE;
/* With all that is in it. */
void tempdir_remove(const char *path);

#endif
