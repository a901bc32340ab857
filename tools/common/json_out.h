/* SPDX-License-Identifier: GPL-3.0-or-later */
/* JSON on stdout for --json. */
#ifndef CLOISON_TOOLS_JSON_OUT_H
#define CLOISON_TOOLS_JSON_OUT_H

#include "common/base.h"

#include <jansson.h>

/* A string, null for NULL; bytes that are not UTF-8 become '?' (paths may be anything, JSON may not). */
json_t *json_out_text(const char *text);
/* Prints v and gives it up. -ENOMEM when v is NULL, -EIO. */
int json_out(json_t *v) CL_MUST_USE;

#endif
